"""What a day is seen against: what is usual for a team, its share of voice, and the days on which its level changed.

The promise: a weekly rhythm is only told where eight weeks show one, and a change of level only where the days of a quiet
series would hardly show any. Pure functions over daily trends; each formula names its source.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from monitor.records import ALL, DailyTrend
from monitor.rules import ENOUGH_DAYS
from monitor.rules.drop import DAYS_DF, DAYS_SD

WEEKS = 4
"""Trailing weeks that a level is taken from."""

RHYTHM_WEEKS = 8
"""Weeks that have to be known before a day is compared with its own weekday, which must have figures in at least half of them."""

BASELINE = dt.timedelta(weeks=RHYTHM_WEEKS, days=1)
"""How far back `usual` reads, but for the first day of the series."""

HISTORY = dt.timedelta(days=366)
"""How far back change points are looked for."""

LEAST_DAYS = 3
"""Days with figures that a level lasts at least: one odd day is none."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual on a day: the mean in [-1, 1], people a day, and whether its weekday is in it."""

    mean: float
    authors: float
    weekday: bool


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The first day of a new level, and the means in [-1, 1] before it and from it on, up to the next."""

    day: dt.date
    before: float
    after: float


def usual(days: Iterable[DailyTrend], day: dt.date) -> Usual | None:
    """What is usual for a series (one team, source and model) on `day`, from the four weeks before; None with too few days.

    Once eight weeks are known, what its weekday differs from the others in these is added, and people are those of that weekday.
    """
    known = {one.day: one for one in days if one.day < day}
    recent = _told(known, day, 7 * WEEKS)
    if len(recent) < ENOUGH_DAYS:
        return None
    first = min(known)
    effects = _rhythm(_told(known, day, 7 * RHYTHM_WEEKS)) if first <= day - dt.timedelta(days=7 * RHYTHM_WEEKS) else {}
    level = sum(one.authors * ((one.mean or 0.0) - effects.get(one.day.weekday(), 0.0)) for one in recent)
    level /= sum(one.authors for one in recent)
    step, length = (7, 7 * RHYTHM_WEEKS) if effects else (1, min(7 * WEEKS, (day - first).days))
    past = (day - dt.timedelta(days=n) for n in range(step, length + 1, step))
    authors = median(known[one].authors if one in known else 0 for one in past)
    return Usual(level + effects.get(day.weekday(), 0.0), float(authors), weekday=bool(effects))


def history(series: Sequence[DailyTrend], day: dt.date) -> Sequence[DailyTrend]:
    """What `usual` reads of a series, oldest first, on `day`: for many days of a long one this saves reading all of it for each."""
    first = bisect_left(series, day - BASELINE, key=lambda one: one.day)
    return [*series[: min(first, 1)], *series[first : bisect_left(series, day, key=lambda one: one.day)]]


def _rhythm(days: Sequence[DailyTrend]) -> dict[int, float]:
    """What each weekday's mean differs from that of all; empty where one has figures in less than half of the weeks.

    Shrunk toward zero by what chance explains (positive-part James-Stein toward the common mean, k - 3 for k = 7 means:
    Efron & Morris, J. Am. Stat. Assoc. 70 (1975) 311), so that a series without a rhythm gets none.
    """
    means: dict[int, list[float]] = defaultdict(list)
    for one in days:
        means[one.day.weekday()].append(one.mean or 0.0)
    if len(means) < 7 or min(map(len, means.values())) < RHYTHM_WEEKS // 2:
        return {}
    middle = fmean(map(fmean, means.values()))
    effects = {weekday: fmean(values) - middle for weekday, values in means.items()}
    rest = math.fsum((value - fmean(values)) ** 2 for values in means.values() for value in values) / (len(days) - len(means))
    chance = rest * fmean(1 / len(values) for values in means.values())
    found = math.fsum(effect**2 for effect in effects.values())
    kept = max(0.0, 1 - (len(means) - 3) * chance / found) if found else 0.0
    return {weekday: kept * effect for weekday, effect in effects.items()}


def _told(known: Mapping[dt.date, DailyTrend], day: dt.date, length: int) -> list[DailyTrend]:
    """Those of the `length` days before `day` that have figures."""
    return [one for n in range(1, length + 1) if (one := known.get(day - dt.timedelta(days=n))) and one.mean is not None]


def shares_of_voice(trends: Iterable[DailyTrend], teams: Iterable[str]) -> dict[tuple[dt.date, str], float]:
    """Of the people who spoke of any of `teams` on a day, the share in [0, 1] that spoke of each, by (day, team).

    Who spoke of two teams is counted with both. Trends are those of all sources; counts are no figures, so few people count too.
    """
    counts = {(one.day, one.team): one.authors for one in trends if one.source == ALL}
    watched, whole = set(teams), defaultdict[dt.date, int](int)
    for (day, team), authors in counts.items():
        whole[day] += authors if team in watched else 0
    return {(day, team): authors / whole[day] for (day, team), authors in counts.items() if team in watched and authors}


# ---- change points ------------------------------------------------------------------------------------------------


def change_points(days: Iterable[DailyTrend]) -> list[ChangePoint]:
    """The days on which the level of a series (one team, source and model) changed, oldest first. Days without a figure are passed over.

    The levels that fit the days best, each change at a price: PELT (Killick, Fearnhead & Eckley, J. Am. Stat. Assoc. 107
    (2012) 1590) on every day, with the squared distance in units of each day's own variance, that of who spoke and that of how
    days differ. The price of 3 log n is the leading term of the modified BIC (Zhang & Siegmund, Biometrics 63 (2007) 22).
    """
    told = [(one.day, one.mean, one.variance / one.authors) for one in days if one.mean is not None and one.variance is not None]
    if len(told) < 2 * LEAST_DAYS:
        return []
    means = [mean for _, mean, _ in told]
    moods = _day_to_day(means, [variance for *_, variance in told])
    weights = [1 / (variance + moods) for *_, variance in told]
    starts = [0, *pelt(means, weights, 3 * math.log(len(told)), LEAST_DAYS), len(told)]
    levels = [
        math.fsum(w * x for w, x in zip(weights[start:end], means[start:end], strict=True)) / math.fsum(weights[start:end])
        for start, end in itertools.pairwise(starts)
    ]
    return [ChangePoint(told[start][0], *pair) for start, pair in zip(starts[1:-1], itertools.pairwise(levels), strict=True)]


def _day_to_day(means: Sequence[float], variances: Sequence[float]) -> float:
    """The variance by which days differ beyond who speaks, from differences of neighbours, which few changes of level touch.

    Half the median squared difference, over the median of chi-square with one degree of freedom, less what sampling adds;
    shrunk toward DAYS_SD squared as rules/drop.py does.
    """
    squares = [(after - before) ** 2 for before, after in itertools.pairwise(means)]
    found = max(0.0, median(squares) / 0.4549 / 2 - fmean(variances))
    return (len(squares) * found + DAYS_DF * DAYS_SD**2) / (len(squares) + DAYS_DF)


def pelt(values: Sequence[float], weights: Sequence[float], price: float, least: int) -> list[int]:
    """The first indices of all segments but the first that make the weighted squared error and `price` for each of them least.

    Every segment has `least` values or more. Exact; a start that cannot be best any more is given up (Killick et al., theorem
    3.1), `least` values later than there, since until then no segment could have begun in its place.
    """
    count = len(values)
    pairs = list(zip(values, weights, strict=True))
    columns = (weights, [w * x for x, w in pairs], [w * x * x for x, w in pairs])
    weight, total, square = ([0.0, *itertools.accumulate(column)] for column in columns)

    def cost(start: int, end: int) -> float:
        moved = total[end] - total[start]
        return square[end] - square[start] - moved * moved / (weight[end] - weight[start])

    best, last = [-price, *[math.inf] * count], [0] * (count + 1)
    starts: dict[int, float] = {}
    """Starts that may still be best, each with the end from which it is given up."""
    for end in range(least, count + 1):
        starts[end - least] = math.inf
        starts = {start: until for start, until in starts.items() if end < until}
        found = {start: best[start] + cost(start, end) for start in starts if best[start] < math.inf}
        last[end] = min(found, key=lambda start: found[start])
        best[end] = found[last[end]] + price
        for start, value in found.items():
            if value > best[end]:
                starts[start] = min(starts[start], end + least)
    points = []
    end = count if count >= least else 0
    while end and last[end]:
        end = last[end]
        points.append(end)
    return points[::-1]
