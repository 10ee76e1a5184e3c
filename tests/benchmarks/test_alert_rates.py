"""How often the rules' defaults cry wolf, how often they hear the wolf, and whether 95 % intervals hold 95 %.

Simulated voices, seeded. A quiet series is not a smooth one: weekdays have more voices than weekends, days and threads
have moods of their own, and every day is judged six times while it goes on and once when it is complete.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pytest

from monitor.alert import State, advance, judge
from monitor.config import Rule
from monitor.records import DailyTrend
from monitor.rules.statistics import margin, voice_variance

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

FIRST = dt.date(2024, 1, 1)
WARM = 30
"""Days of history before a series is judged."""
LOOKS = 6
DAY_MOOD, THREAD_MOOD = 0.08, 0.2
"""Standard deviations of what a day and a thread add to everybody's mean."""


def opinions(draw: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Values as a three-class model gives them: sure of negative, neutral or positive, so that their mean is about `mean`."""
    positive = np.clip(0.3 + mean / 1.5, 0.02, 0.68)
    kind = draw.random(len(mean))
    sure = draw.beta(6, 2, len(mean))
    return np.where(kind < positive, sure, np.where(kind < 0.6, -sure, draw.normal(0, 0.12, len(mean)))).clip(-1, 1)


def day_of(draw: np.random.Generator, index: int, voices: float, mean: float) -> np.ndarray:
    """The values of a day's voices, in the order in which they speak: one per author."""
    weekday = 1.12 if index % 7 < 5 else 0.7
    count = int(draw.poisson(voices * weekday * draw.lognormal(-0.045, 0.3)))
    thread = np.repeat(draw.normal(0, THREAD_MOOD, count), draw.geometric(1 / 3, count))[:count] if count else np.zeros(0)
    return opinions(draw, mean + draw.normal(0, DAY_MOOD) + thread)


def trend_of(index: int, values: np.ndarray, posts: int) -> DailyTrend:
    """What `trend` makes of these voices (privacy.min_authors 5)."""
    day, n = FIRST + dt.timedelta(days=index), len(values)
    if n < 5:
        return DailyTrend(day, "t", "*", "m", posts, n, n, False)
    mean, variance = float(values.mean()), voice_variance(float(values.var(ddof=1)), n)
    reach = margin(variance, n, 0.975)
    return DailyTrend(day, "t", "*", "m", posts, n, n, True, mean, mean - reach, mean + reach, 0.0, 0.0, 0.0, variance)


def series(draw: np.random.Generator, days: int, voices: float, mean: float) -> Iterator[list[DailyTrend]]:
    """For each day what is known of it at each look, the last being the complete day."""
    for index in range(days):
        values = day_of(draw, index, voices, mean)
        posts = len(values) + draw.poisson(0.4, len(values)).sum()
        looks = [len(values) * look // LOOKS for look in range(1, LOOKS)]
        yield [trend_of(index, values[:n], n) for n in looks] + [trend_of(index, values, int(posts))]


def firings(rule: Rule, days: list[list[DailyTrend]]) -> list[int]:
    """The days (counted from the end of the warm-up) on which an alert begins, with a day's rounds as `alert` makes them."""
    state, found = State("normal", FIRST, None), []
    history = [looks[-1] for looks in days[:WARM]]
    for index, looks in enumerate(days[WARM:]):
        for look in looks if rule.type != "silence" else looks[-1:]:
            complete = look is looks[-1]
            state, event = advance(state, judge(state, [*history[-400:], look], rule, complete=complete), look.day, rule, complete=complete)
            if event and event[1] == "firing":
                found.append(index)
        history.append(looks[-1])
    return found


def rule(kind: str, **settings: object) -> Rule:
    return Rule.model_validate({"id": kind, "type": kind, **settings})


RULES = {
    **{f"{kind}, defaults": rule(kind) for kind in ("below", "drop", "spike", "silence")},
    "drop, for 1, 0.998": rule("drop", **{"for": 1, "confidence": 0.998}),
    "drop, for 1, 0.999": rule("drop", **{"for": 1, "confidence": 0.999}),
    "drop, for 2, 0.97": rule("drop", **{"for": 2, "confidence": 0.97}),
    "spike, 0.999": rule("spike", confidence=0.999),
    "silence, for 2, 5 authors": rule("silence", min_authors=5, **{"for": 2}),
}
VOICES = (5, 20, 100)


def test_false_alarms() -> None:
    """Prints the false alarms per series and year of each rule on quiet series around -0.1."""
    years = 40
    quiet = [list(series(np.random.default_rng(voices), WARM + 365 * years, voices, -0.1)) for voices in VOICES]
    print(f"\nfalse alarms per series and year, {years} quiet years\n{'voices a day':26}" + "".join(f"{voices:8}" for voices in VOICES))
    for name, one in RULES.items():
        print(f"{name:26}" + "".join(f"{len(firings(one, days)) / years:8.2f}" for days in quiet))


def test_detection() -> None:
    """Prints how soon `drop` tells of a fall that lasts."""
    within = (1, 2, 3, 7, 14)
    print("\nshare of lasting falls told within days" + "".join(f"{days:7}" for days in within))
    for name in ("drop, for 1, 0.999", "drop, for 2, 0.97"):
        for voices in VOICES:
            for fall in (0.3, 0.5):
                told = []
                for seed in range(100):
                    draw = np.random.default_rng(seed)
                    calm, fallen = list(series(draw, WARM, voices, 0.1)), list(series(draw, WARM + 14, voices, 0.1 - fall))[WARM:]
                    told.append(min(firings(RULES[name], calm + fallen), default=99))
                shares = [sum(day < days for day in told) / len(told) for days in within]
                print(f"{name:20}{voices:5} voices, -{fall}:" + "".join(f"{share:7.0%}" for share in shares))


def test_coverage() -> None:
    """Prints how often the 95 % interval of a day holds the true mean, for voices of several tempers."""
    draw = np.random.default_rng(3)
    tempers = {
        "mixed, around -0.1": lambda n: opinions(draw, np.full(n, -0.1)),
        "hostile, around -0.4": lambda n: opinions(draw, np.full(n, -0.4)),
        "two camps at +-0.9": lambda n: draw.choice([-0.9, 0.9], n),
        "nearly all neutral": lambda n: draw.normal(0, 0.1, n),
        "one in ten is furious": lambda n: np.where(draw.random(n) < 0.1, -0.9, 0.1),
    }
    print("\nshare of days whose 95 % interval holds the true mean\n" + f"{'voices':24}" + "".join(f"{n:8}" for n in (5, 8, 20, 100)))
    for name, temper in tempers.items():
        truth = float(temper(400_000).mean())
        held = []
        for n in (5, 8, 20, 100):
            values = temper(n * 20_000).reshape(20_000, n)
            reach = [margin(voice_variance(float(s), n), n, 0.975) for s in values.var(axis=1, ddof=1)]
            held.append(float((np.abs(values.mean(axis=1) - truth) <= reach).mean()))
        print(f"{name:24}" + "".join(f"{share:8.1%}" for share in held))
