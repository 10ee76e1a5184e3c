"""How often each rule cries wolf, and how soon it hears the wolf; the peers' rules beside ours.

`pytest -m benchmark -o addopts= -s tests/benchmarks/alerts.py`. Simulated voices, seeded. A quiet series is not a smooth one:
weekdays have more voices than weekends; some people speak every day and each has leanings; days and threads have moods of
their own; one of two sources is missing now and then; the model is right seven times in ten. Levels and falls are those
of the daily figure, which the model's errors have already shrunk. Every day is looked at LOOKS times while it goes on.
Rules on corrected figures have a section of their own (`-k of_corrected`; QUICK=1 for a look).
"""

from __future__ import annotations

import datetime as dt
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from statistics import fmean, median, stdev
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from monitor.alert import State, advance, judge
from monitor.conditions import FALSE_ALARMS, FALSE_ALARMS_CORRECTED
from monitor.config import Rule
from monitor.corrected import Counts, Pool, by_confusion, by_sample
from monitor.records import DailyTrend, Spread
from monitor.rules.overtakes import difference
from monitor.rules.statistics import correlation, evidence, margin, pooled
from monitor.trend import COLUMNS, MEMORY, summarise
from monitor.weeks import DAYS, as_row

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Day = list[DailyTrend]
"""What is known of a day at each look, the last being the complete day."""

FIRST = dt.date(2024, 1, 1)
WARM = 130
"""Days of history before a series is judged: the longest baseline and reach of a rule."""
YEARS = 60
LOOKS = 6
VOICES = (5, 20, 100)
QUIET = 0.05
DAY_MOOD, THREAD_MOOD, LEANING = 0.06, 0.12, 0.12
"""Standard deviations of what a day, a thread and a person add to the figure's expected value."""
RIGHT, TURNED = 0.72, 0.07
"""How often the model is right (as on held-out posts), and how often it takes a verdict for its opposite."""
SURE = 0.75
"""Mean size of a score that is not neutral."""


# ---- streams -------------------------------------------------------------------------------------------------------


def read(draw: np.random.Generator, level: Array) -> tuple[Labels, Labels, Array]:
    """Opinions (-1, 0, 1) of posts whose expected score is about `level`, the labels that the model gives them, and its scores."""
    positive = np.clip(0.35 + level / (2 * SURE * (RIGHT - TURNED)), 0, 0.7)
    kind = draw.random(len(level))
    truth = np.where(kind < positive, 1, np.where(kind < 0.7, -1, 0))
    seen = draw.random(len(level))
    other = np.where(truth == 0, np.where(draw.random(len(level)) < 0.5, 1, -1), np.where(seen < RIGHT + TURNED, -truth, 0))
    label = np.where(seen < RIGHT, truth, other)
    return truth, label, np.where(label == 0, draw.normal(0, 0.12, len(level)), label * draw.beta(6, 2, len(level))).clip(-1, 1)


def scores(draw: np.random.Generator, level: Array) -> Array:
    """The scores alone."""
    return read(draw, level)[2]


@cache
def _levels() -> tuple[Array, Array]:
    draw, given = np.random.default_rng(0), np.linspace(-0.6, 0.6, 61)
    noise = draw.normal(0, math.hypot(DAY_MOOD, THREAD_MOOD, LEANING), 60_000)
    return np.array([scores(draw, level + noise).mean() for level in given]), given


def planted(figure: float | Array) -> Array:
    """The level at which the expected figure is `figure`: moods reach the ends of the scale."""
    return np.interp(figure, *_levels())


class Posts(NamedTuple):
    """A day's posts, a place in each array for each: author, thread, what is meant, the label and the score that the model gives."""

    author: Labels
    thread: Labels
    truth: Labels
    label: Labels
    value: Array


def stream(seed: int, figure: Array, voices: float) -> Iterator[Day]:
    """A day for each expected figure in `figure`, with about `voices` people on a day."""
    spreads: deque[Spread] = deque(maxlen=MEMORY)
    for index, posts in enumerate(posted(seed, figure, voices)):
        parts = (len(posts.value) * look // LOOKS for look in range(1, LOOKS + 1))
        looks = [row(index, posts.author[:n], posts.thread[:n], posts.value[:n], spreads) for n in parts]
        yield [look for look, _ in looks]
        spreads.extend(spread for _, spread in looks[-1:] if spread)


def posted(seed: int, figure: Array, voices: float) -> Iterator[Posts]:
    """What is written on each of those days."""
    draw = np.random.default_rng(seed)
    people = int(8 * voices)
    activity = (1 + np.arange(people)) ** -0.6
    leaning = draw.normal(0, LEANING, people)
    leaning -= (leaning * activity).sum() / activity.sum()  # the loudest are no drift
    outage = np.zeros(2, int)
    for index, level in enumerate(planted(figure)):
        outage = np.maximum(outage - 1, np.where(draw.random(2) < 0.02, draw.integers(1, 4, 2), 0))
        there = float(np.dot(outage == 0, (0.7, 0.3)))
        weekday = 1.12 if index % 7 < 5 else 0.7
        count = int(draw.poisson(1.3 * voices * there * weekday * draw.lognormal(-0.045, 0.3)))
        author = draw.choice(people, count, p=activity / activity.sum())
        thread = np.repeat(np.arange(count), draw.geometric(1 / 3, count))[:count] if count else np.zeros(0, int)
        mood = level + draw.normal(0, DAY_MOOD) + draw.normal(0, THREAD_MOOD, count + 1)[thread] + leaning[author]
        yield Posts(author, thread, *read(draw, mood))


def row(
    index: int, author: NDArray[np.int64], thread: NDArray[np.int64], value: Array, earlier: Iterable[Spread] = ()
) -> tuple[DailyTrend, Spread | None]:
    """What `trend` makes of these posts (privacy.min_authors 5) after such days; see `test_rows_are_those_of_trend`."""
    day, posts = FIRST + dt.timedelta(days=index), len(value)
    if not posts:
        return DailyTrend(day, "t", "*", "m", 0, 0, 0, sufficient=False), None
    cells, at = np.unique(author * (posts + 1) + thread, return_inverse=True)
    written, said = np.bincount(at), np.bincount(at, value)
    who, of = np.unique(cells // (posts + 1), return_inverse=True)
    where, under = np.unique(cells % (posts + 1), return_inverse=True)
    voices = np.bincount(of, said) / np.bincount(of, written)
    count, threads = len(who), len(where)
    if count < 5:
        return DailyTrend(day, "t", "*", "m", posts, count, threads, sufficient=False), None
    mean, each, sizes = float(voices.mean()), said / written, np.bincount(under)
    sums = np.bincount(under, each)
    means = float((sums**2 / sizes).sum())
    shares = np.bincount(under, written / np.bincount(of, written)[of]) / count
    within, between = max(0.0, float((each**2).sum()) - means), max(0.0, means - float(sums.sum()) ** 2 / len(cells))
    larger = len(cells) - float((sizes**2).sum()) / len(cells)
    total, crowding = float(((voices - mean) ** 2).sum()), float((shares**2).sum())
    spread = Spread(count, total, crowding, len(cells) - threads, threads - 1, within, between, larger)
    variance, effective = evidence(count, total, crowding, correlation(*pooled([*earlier, spread])))
    reach = margin(variance, effective, 0.975)
    low, high = max(-1.0, mean - reach), min(1.0, mean + reach)
    return DailyTrend(day, "t", "*", "m", posts, count, threads, True, mean, low, high, 0.0, 0.0, 0.0, variance, effective), spread


@cache
def quiet(voices: int, years: int = YEARS) -> list[Day]:
    return list(stream(voices, np.full(WARM + 365 * years, QUIET), voices))


def turn(seed: int, voices: int, change: Array) -> list[Day]:
    """WARM quiet days, then days that differ from them by `change`, the quiet level chosen so that there is room for it."""
    level = max(-0.22, min(0.22, -float(change[-1]) / 2))
    return list(stream(10_000 + seed, np.concatenate([np.full(WARM, level), level + change]), voices))


# ---- rules and peers -----------------------------------------------------------------------------------------------


def rule(kind: str, **given: object) -> Rule:
    more = {"against": "other"} if kind == "overtakes" else {}
    return Rule.model_validate({"id": kind, "type": kind, **more, **given})


RULES = {kind: rule(kind) for kind in FALSE_ALARMS}


def firings(one: Rule, days: Sequence[Day], looks: bool = True, warm: int = WARM) -> list[int]:
    """The days (counted from the end of the warm-up) on which an alert begins, with a day's rounds as `alert` makes them."""
    state, found = State("normal", FIRST, None), []
    history = [day[-1] for day in days[:warm]]
    for index, day in enumerate(days[warm:]):
        for look in day if looks and one.type != "silence" else day[-1:]:
            complete = look is day[-1]
            state, event = advance(state, judge(state, [*history[-250:], look], one, complete=complete), look.day, one, complete=complete)
            if event and event[1] == "firing":
                found.append(index)
        history.append(day[-1])
    return found


def _peer(breach: Callable[[list[float], float], bool]) -> Callable[[Sequence[Day]], list[int]]:
    """The days on which a rule over complete days' means, however few spoke, begins to be breached."""

    def firings(days: Sequence[Day]) -> list[int]:
        means, found, on = [], [], False
        for index, day in enumerate(days):
            if day[-1].mean is None:
                continue
            breached = breach(means, day[-1].mean)
            if breached and not on and index >= WARM:
                found.append(index - WARM)
            on = breached
            means.append(day[-1].mean)
        return found

    return firings


PEERS = {
    "raw mean under -0.2": _peer(lambda means, now: now < -0.2),
    "mean - 3 sigma over 14 days": _peer(lambda means, now: len(means) >= 14 and now < fmean(means[-14:]) - 3 * stdev(means[-14:])),
    "7-day z-score under -2": _peer(lambda means, now: len(means) >= 7 and now < fmean(means[-7:]) - 2 * stdev(means[-7:])),
}


class Cusum:
    """The quickest there can be: told the means before and after, and what days differ by (Moustakides, Ann. Statist. 14 (1986) 1379)."""

    def __init__(self, calm: Sequence[Day], fall: float, alarms_per_year: float) -> None:
        rows = [day[-1] for day in calm if day[-1].mean is not None]
        self.before, self.fall = fmean(row.mean or 0.0 for row in rows), fall
        sampled = [(row.variance or 0.0) / (row.effective or 1.0) for row in rows]
        self.between = max(0.0, float(np.var([row.mean for row in rows])) - fmean(sampled))
        low, high = 0.01, 20.0
        while high - low > 0.02:
            self.threshold = (low + high) / 2
            often = len(self.firings(calm, 0.0)) / (len(calm) / 365)
            low, high = (self.threshold, high) if often > alarms_per_year else (low, self.threshold)

    def firings(self, days: Sequence[Day], shift: float) -> list[int]:
        """Days (from the first) on which it alarms; it begins anew after each. `shift`: their level before it, less the calm ones'."""
        total, found = 0.0, []
        for index, day in enumerate(days):
            now = day[-1]
            if now.mean is None:
                continue
            variance = self.between + (now.variance or 0.0) / (now.effective or 1.0)
            total = max(0.0, total + self.fall / variance * (self.before + shift - self.fall / 2 - now.mean))
            if total > self.threshold:
                found.append(index)
                total = 0.0
        return found


# ---- what is printed -----------------------------------------------------------------------------------------------


def _per_year(count: int, years: float) -> str:
    """A rate with its 95 % interval (Poisson, by the chi-square approximation of Wilson & Hilferty)."""

    def bound(number: float, z: float) -> float:
        return number * (1 - 1 / (9 * number) + z / (3 * math.sqrt(number))) ** 3 if number else 0.0

    return f"{count / years:5.2f} ({bound(count, -1.96) / years:.2f} to {bound(count + 1, 1.96) / years:.2f})"


def _doubled(days: Sequence[Day], others: Sequence[Day]) -> list[Day]:
    return [[difference(one, other) for one, other in zip(day, versus, strict=True)] for day, versus in zip(days, others, strict=True)]


def _quiet_for(kind: str, voices: int) -> list[Day]:
    if kind != "overtakes":
        return quiet(voices)
    better = list(stream(77 + voices, np.full(WARM + 365 * YEARS, QUIET + 0.15), voices))
    return _doubled(quiet(voices), better)


def test_rows_are_those_of_trend() -> None:
    """The rows that are simulated here are what monitor/trend.py makes of the same posts."""
    draw = np.random.default_rng(4)
    author, thread, value = draw.integers(0, 30, 60), np.repeat(np.arange(20), 3), draw.uniform(-1, 1, 60)
    posts = [(FIRST.isoformat(), "t", "s", "m", str(a), str(t), "neutral", float(v)) for a, t, v in zip(author, thread, value, strict=True)]
    made = next(one for one in summarise(pd.DataFrame(posts, columns=list(COLUMNS)), 5) if one.source == "*")
    ours, _ = row(0, author, thread, value)
    assert (made.authors, made.threads, made.posts) == (ours.authors, ours.threads, ours.posts)
    for name in ("mean", "low", "high", "variance", "effective"):
        assert getattr(made, name) == pytest.approx(getattr(ours, name)), name


@pytest.mark.parametrize("kind", list(FALSE_ALARMS))
def test_false_alarms(kind: str) -> None:
    """Prints the false alarms per series and year, with the defaults and with the confidences of conditions.FALSE_ALARMS."""
    print()
    days = {voices: _quiet_for(kind, voices) for voices in VOICES}
    given = [{}] + [{"confidence": confidence} for confidence, _ in FALSE_ALARMS[kind]]  # type: ignore[index]
    for settings in given:
        one = rule(kind, **settings)
        rates = "  ".join(f"{voices:3}: {_per_year(len(firings(one, days[voices])), YEARS)}" for voices in VOICES)
        print(f"{kind:10} {'defaults' if not settings else ''} for {one.for_}, confidence {one.confidence:.6g}: {rates}")


def test_false_alarms_of_peers() -> None:
    """Prints the same for what others do."""
    print()
    for name, peer in PEERS.items():
        print(f"{name:30} " + "  ".join(f"{voices:3}: {_per_year(len(peer(quiet(voices))), YEARS)}" for voices in VOICES))


TURNS = 200
AFTER = 60


@pytest.mark.parametrize("voices", [20, 100])
@pytest.mark.parametrize("fall", [0.15, 0.25, 0.5])
def test_delay(voices: int, fall: float) -> None:
    """Prints days until a lasting fall is told, for `shift`, `drop`, the best that there can be, and the peers, on the same streams."""
    streams = [turn(seed, voices, np.full(AFTER, -fall)) for seed in range(TURNS)]
    level = min(0.22, fall / 2)
    often = len(firings(RULES["shift"], quiet(voices))) / YEARS
    best = Cusum(quiet(voices), fall, max(often, 1 / YEARS))
    found: dict[str, list[float]] = {}
    for one in ("shift", "drop"):
        found[one] = [next((day + 1 for day in firings(RULES[one], days)), math.inf) for days in streams]
    found["CUSUM that is told"] = [next((day + 1 for day in best.firings(days[WARM:], level - QUIET)), math.inf) for days in streams]
    for name, peer in PEERS.items():
        found[name] = [next((day + 1 for day in peer(days)), math.inf) for days in streams]
    print(f"\na fall by {fall} at {voices} voices a day ({often:.2f} false alarms a year allowed to the CUSUM)")
    means = {}
    for name, days in found.items():
        cut = [min(day, AFTER) for day in days]
        means[name] = fmean(cut)
        error = 1.96 * stdev(cut) / math.sqrt(TURNS)
        told = sum(day <= AFTER for day in days) / TURNS
        print(f"  {name:30} mean {means[name]:5.2f} ± {error:.2f} days, median {median(cut):g}, told within {AFTER} days {told:.0%}")
    print(f"  shift takes {means['shift'] / means['CUSUM that is told']:.2f} times the best (to be at most 1.3)")


def test_drift() -> None:
    """Prints how many drifts of 0.01 a day at 20 voices are told within 30 days (to be 80 %)."""
    drift = np.maximum(-0.01 * (1 + np.arange(AFTER)), -0.44)
    streams = [turn(seed, 20, drift) for seed in range(TURNS)]
    for one in ("shift", "drop"):
        days = [next((day + 1 for day in firings(RULES[one], each)), math.inf) for each in streams]
        print(f"\n{one}: {sum(day <= 30 for day in days) / TURNS:.0%} of drifts by 0.01 a day told within 30 days, median {median(days):g}")


# ---- corrected figures ---------------------------------------------------------------------------------------------

QUICK = bool(os.environ.get("QUICK"))
"""With QUICK=1 a fifth of the streams, for a look."""
SERIES, YEARS_EACH = (1, 2) if QUICK else (5, 2)
WARM_WEEKS = 70
"""Days of history before such a series is judged."""
HELD_OUT = 200
"""Posts of each opinion on which the model's errors are known."""
WAYS = {"by confusion": 0, "by a sample of 20 a day": 20}


def weekly(seed: int, figure: Array, voices: int, sampled: int) -> list[Day]:
    """The corrected week to each day: by what the model mistakes on HELD_OUT posts, or by `sampled` a day that are read."""
    draw = np.random.default_rng(900_000 + seed)
    errors = held_out(draw)
    days: deque[tuple[Posts, Labels, float]] = deque(maxlen=DAYS)
    found: list[Day] = []
    for index, posts in enumerate(posted(seed, figure, voices)):
        chance = min(1.0, sampled / max(1, len(posts.value)))
        days.append((posts, draw.permutation(len(posts.value)) < sampled, chance))
        pool = pool_of(days)
        made = by_sample(pool, min_authors=5) if sampled else by_confusion(pool, [errors], min_authors=5)
        day = FIRST + dt.timedelta(days=index)
        found.append([as_row(day, "t", "m", made) if made else DailyTrend(day, "t", "*", "m", 0, 0, 0, sufficient=False)])
    return found


def held_out(draw: np.random.Generator) -> Counts:
    """What the model makes of held-out posts: the same errors as in `read`, seen in HELD_OUT posts of each opinion."""
    wrong = (1 - RIGHT) / 2
    rows = ((RIGHT, 1 - RIGHT - TURNED, TURNED), (wrong, RIGHT, wrong), (TURNED, 1 - RIGHT - TURNED, RIGHT))
    return {"": [draw.multinomial(HELD_OUT, row).tolist() for row in rows]}


def pool_of(days: Sequence[tuple[Posts, Labels, float]]) -> Pool:
    """The pool of some days' posts, of which some were drawn and read."""
    posts = Posts(*(np.concatenate(each) for each in zip(*(day for day, _, _ in days), strict=True)))
    size = [len(day.value) for day, _, _ in days]
    threads = [int(day.thread.max(initial=-1)) + 1 for day, _, _ in days]
    first = np.repeat(np.cumsum(threads) - threads, size)
    places = np.eye(3)
    strength = np.abs(posts.value)
    shares = np.stack([strength * (posts.value < 0), 1 - strength, strength * (posts.value > 0)], axis=1)
    said = places[posts.truth + 1] * np.concatenate([drawn for _, drawn, _ in days])[:, None]
    none = np.zeros(len(posts.value), dtype=np.intp)
    voice, thread = (np.unique(each, return_inverse=True)[1] for each in (posts.author, posts.thread + first))
    chance = np.repeat([chance for _, _, chance in days], size)
    return Pool(voice, thread, none, none, shares, places[posts.label + 1], said, chance, ("",), ("person",))


@cache
def quiet_weeks(voices: int, sampled: int, better: float = 0.0) -> list[list[Day]]:
    figure = np.full(WARM_WEEKS + 365 * YEARS_EACH, QUIET + better)
    return [weekly(1000 * voices + series + int(5000 * better), figure, voices, sampled) for series in range(SERIES)]


def corrected_rule(kind: str, **given: object) -> Rule:
    return rule(kind, figure="corrected", **given)


@pytest.mark.parametrize("way", list(WAYS))
def test_false_alarms_of_corrected(way: str) -> None:
    """Prints the false alarms per series and year of rules on corrected figures, and on how many days they can judge."""
    print()
    for voices in VOICES:
        series = quiet_weeks(voices, WAYS[way])
        rows = [day[-1] for days in series for day in days[WARM_WEEKS:]]
        known = [row for row in rows if row.mean is not None]
        width = fmean((row.high or 0) - (row.low or 0) for row in known) if known else math.nan
        print(f"{way}, {voices} voices: {len(known) / len(rows):.0%} of weeks have a figure, mean width of the interval {width:.2f}")
    for kind, table in FALSE_ALARMS_CORRECTED.items():
        for confidence in (None, *(confidence for confidence, _ in table)):
            one = corrected_rule(kind, **({"confidence": confidence} if confidence else {}))
            rates = []
            for voices in VOICES:
                days = quiet_weeks(voices, WAYS[way])
                if kind == "overtakes":
                    days = [_doubled(each, other) for each, other in zip(days, quiet_weeks(voices, WAYS[way], 0.15), strict=True)]
                count = sum(len(firings(one, each, looks=False, warm=WARM_WEEKS)) for each in days)
                rates.append(f"{voices:3}: {_per_year(count, SERIES * YEARS_EACH)}")
            print(f"{kind:10} {'' if confidence else 'defaults'} confidence {one.confidence:.6g}: {'  '.join(rates)}")


@pytest.mark.parametrize("way", list(WAYS))
def test_delay_of_corrected(way: str) -> None:
    """Prints days until a lasting fall of the daily figure is told by rules on corrected figures (a fall is greater there)."""
    turns = 4 if QUICK else 20
    for fall in (0.25, 0.5):
        for voices in (20, 100):
            figure = np.concatenate([np.full(WARM_WEEKS, fall / 2), np.full(AFTER, -fall / 2)])
            streams = [weekly(10_000 + seed, figure, voices, WAYS[way]) for seed in range(turns)]
            for kind in ("below", "drop"):
                first = (firings(corrected_rule(kind), days, looks=False, warm=WARM_WEEKS)[:1] for days in streams)
                found = [days[0] + 1 if days else math.inf for days in first]
                cut = [min(day, AFTER) for day in found]
                told = sum(day <= AFTER for day in found) / turns
                print(f"{way}, a fall by {fall} at {voices} voices: {kind:6} median {median(cut):g} days, told within {AFTER} {told:.0%}")
