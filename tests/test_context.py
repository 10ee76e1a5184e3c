"""What a day is seen against: what is usual, who is spoken of, and when the level changed."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Config, Team
from monitor.context import change_points, history, pelt, shares_of_voice, usual
from monitor.records import DailyTrend
from monitor.rules.statistics import margin
from monitor.show import team_days
from monitor.store import Store

FIRST = dt.date(2025, 1, 6)
"""A Monday."""


def day(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def row(n: int, mean: float | None, authors: int = 20, team: str = "meta") -> DailyTrend:
    if mean is None:
        return DailyTrend(day(n), team, "*", "m", 3, 3, 3, False)
    reach = margin(0.25, authors, 0.975)
    return DailyTrend(day(n), team, "*", "m", authors, authors, authors, True, mean, mean - reach, mean + reach, 0.2, 0.6, 0.2, 0.25)


def noise(count: int, seed: int, spread: float = 0.12) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0, spread) for _ in range(count)]


def test_usual_is_the_mean_over_the_people_of_four_weeks() -> None:
    """Older days are not in it, nor is the day itself; with four days of figures nothing is usual."""
    days = (
        [row(n, 0.9) for n in range(10)]
        + [row(n, 0.1, authors=30) for n in range(10, 24)]
        + [row(n, 0.4, authors=10) for n in range(24, 39)]
    )
    found = usual(days, day(38))
    assert found is not None and not found.weekday and found.authors == 20
    assert found.mean == pytest.approx((14 * 30 * 0.1 + 14 * 10 * 0.4) / (14 * 40))
    assert usual([row(n, 0.1 if n > 23 else None) for n in range(28)], day(28)) is None
    assert usual([], day(3)) is None


def test_a_weekday_has_its_own_usual_once_eight_weeks_are_known() -> None:
    """Gloomy, quiet weekends are usual for a weekend after eight weeks, and not after seven."""
    weekly = [row(n, (-0.4 if n % 7 >= 5 else 0.2) + 0.02 * (n % 3 - 1), authors=5 if n % 7 >= 5 else 40) for n in range(63)]
    saturday, monday = usual(weekly[:61], day(61)), usual(weekly, day(63))
    assert saturday is not None and monday is not None and saturday.weekday
    assert (monday.mean, saturday.mean) == (pytest.approx(0.2, abs=0.03), pytest.approx(-0.4, abs=0.03)) and (
        saturday.authors,
        monday.authors,
    ) == (5, 40)
    early = usual(weekly[:47], day(47))
    assert early is not None and not early.weekday and early.authors == 40


def test_a_series_without_a_rhythm_gets_hardly_any() -> None:
    """Weekdays that differ by chance alone are pulled together: over many series to less than half of what they seem to differ."""
    kept, seemed = [], []
    for seed in range(40):
        days = [row(n, x) for n, x in enumerate(noise(56, seed))]
        level = sum(one.mean or 0 for one in days[28:]) / 28
        found = usual(days, day(56))
        assert found is not None
        kept.append(abs(found.mean - level))
        seemed.append(abs(sum(one.mean or 0 for one in days[0::7]) / 8 - sum(one.mean or 0 for one in days) / 56))
    assert sum(kept) < sum(seemed) / 2


def test_share_of_voice_is_among_the_watched() -> None:
    """Shares of a day's people sum to 1 over the teams that are configured; others, and single sources, are left out."""
    rows = [row(0, 0.1, 30), row(0, 0.1, 10, "openai"), row(0, None, team="rare"), row(0, 0.1, 50, "gone"), row(1, 0.1, 7)]
    found = shares_of_voice(rows, ["meta", "openai", "rare"])
    assert found == {(day(0), "meta"): 30 / 43, (day(0), "openai"): 10 / 43, (day(0), "rare"): 3 / 43, (day(1), "meta"): 1.0}


def test_a_change_of_level_is_dated() -> None:
    """A fall by 0.5 and a later rise are found within a day of when they came; days without a figure are passed over."""
    levels = [0.1] * 40 + [-0.4] * 30 + [0.3] * 30
    days = [row(n, None if n % 9 == 0 else level + x) for n, (level, x) in enumerate(zip(levels, noise(100, 3), strict=True))]
    found = change_points(days)
    assert [abs((point.day - day(n)).days) <= 1 for point, n in zip(found, (40, 70), strict=True)] == [True, True]
    assert (found[0].before, found[0].after, found[1].before) == (pytest.approx(0.1, abs=0.1), *[pytest.approx(-0.4, abs=0.1)] * 2)


def test_an_odd_day_and_a_few_days_are_no_level() -> None:
    """One terrible day, a quiet series and one of five days show no change."""
    quiet = noise(60, 5)
    assert change_points([row(n, x) for n, x in enumerate(quiet)]) == []
    assert change_points([row(n, -0.7 if n == 30 else x) for n, x in enumerate(quiet)]) == []
    assert change_points([row(n, x) for n, x in enumerate((0.5, 0.5, -0.5, -0.5, -0.5))]) == [] == change_points([])


def _price_of(points: Sequence[int], values: Sequence[float], weights: Sequence[float], price: float) -> float:
    whole = price * len(points)
    for start, end in itertools.pairwise([0, *points, len(values)]):
        mean = sum(w * x for w, x in zip(weights[start:end], values[start:end], strict=True)) / sum(weights[start:end])
        whole += sum(w * (x - mean) ** 2 for w, x in zip(weights[start:end], values[start:end], strict=True))
    return whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 9)), min_size=2, max_size=11), st.floats(0.01, 3), st.integers(1, 3))
def test_no_other_division_is_better(days: list[tuple[float, float]], price: float, least: int) -> None:
    """Of all ways to part a short series the cheapest is found, whatever was given up on the way."""
    values, weights = [x for x, _ in days], [w for _, w in days]
    found = pelt(values, weights, price, least)
    if len(values) < least:
        assert found == []
        return
    ways = (
        points
        for size in range(len(values))
        for points in itertools.combinations(range(1, len(values)), size)
        if all(end - start >= least for start, end in itertools.pairwise([0, *points, len(values)]))
    )
    best = min((_price_of(points, values, weights, price) for points in ways), default=math.inf)
    assert _price_of(found, values, weights, price) == pytest.approx(best, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.just("silent"), st.none(), st.floats(-1, 1)), min_size=100, max_size=140))
def test_what_is_usual_needs_no_more_than_its_history(means: list[float | str | None]) -> None:
    """Of a long series what is usual on a day is the same from its history alone as from all of it."""
    series = [row(n, mean) for n, mean in enumerate(means) if not isinstance(mean, str)]
    for n in range(0, len(means) + 5, 7):
        assert usual(history(series, day(n)), day(n)) == usual(series, day(n))


def test_show_team_tells_the_context(fresh_store: Store, write_config: Callable[..., object]) -> None:
    """A team's days come with what is usual, its share of voice, the coverage, and the day from which the level is another."""
    fresh_store.read_by("reader", "m")
    rows = [row(n, 0.3 + x if n < 40 else -0.3 + x) for n, x in enumerate(noise(50, 1))] + [row(n, 0.1, 60, "openai") for n in range(50)]
    fresh_store.replace_trends({(one.day.isoformat(), one.team): 1 for one in rows}, rows)
    config = Config(teams=(Team(id="meta", name="Meta"), Team(id="openai", name="OpenAI")))
    days = team_days(fresh_store, config, "meta", day(49))
    assert len(days) == 28 and {one["share_of_voice"] for one in days} == {0.25} and days[0]["usual_authors"] == 20
    changed = {one["day"]: one["change_point"] for one in days if one["change_point"] is not None}
    assert changed == {day(40).isoformat(): pytest.approx(-0.6, abs=0.1)} and days[9]["usual"] == pytest.approx(0.3, abs=0.1)
