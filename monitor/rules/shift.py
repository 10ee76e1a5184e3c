"""shift: sentiment has been lower for some days than in the weeks before, whenever that began; slow drifts too.

Every moment within the last REACH days is tried as the beginning: the mean since then against that of the `baseline_days`
before it. Breach: the most certain of these turns is as unlikely by chance as `confidence` says, and the difference is at
least `threshold`. That is a generalised likelihood ratio over a window (Siegmund & Venkatraman, Ann. Statist. 23 (1995) 255;
Lai, IEEE Trans. Inf. Theory 44 (1998) 2917), nearly as quick as a test that is told what change to look for. While it goes
on, the last WEEK days with voices are compared with the weeks before it began. Clear: lower by no more than `recover`.
`min_authors` are needed since the turn, not on every day. `direction: up` looks for rises.

False alarms per series and year on quiet simulated series of 5, 20 and 100 voices a day, measured by
tests/benchmarks/alerts.py: 0.38, 0.67 and 0.75 with `confidence` 0.9995. Lasting falls by 0.15, 0.25 and 0.5 are told after
10.6, 4.1 and 1.4 days at 20 voices a day, after 4.5, 1.8 and 1.0 at 100: 0.95 to 1.16 times what a CUSUM takes that is told
the means before and after and makes as many false alarms.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import mul, sub
from statistics import NormalDist
from typing import NamedTuple

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import Outcome, Verdict, no_data

REACH = 42
"""Days that a turn may lie back."""

LEAST = 10
"""Days with voices that a baseline has."""

WEEK = 7

DAYS_DF, DAYS_SD = 10, 0.08
"""What is held of the day-to-day standard deviation before any day is known, and how many days' worth of weight that has."""


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history` against the days before the likeliest turn, or before `began`."""
    day = history[-1]
    first = (began or day.day) - dt.timedelta(days=rule.baseline_days + (0 if began else REACH))
    if not day.sufficient:
        return no_data(day, rule, f"{day.authors} voices are too few for a figure")
    places, spoken, weight, total = _sums(_Window(history[max(0, (first - history[0].day).days) :]))
    known = sum(past.day < began for past in spoken) if began else len(spoken) - 1
    if known < LEAST:
        return no_data(day, rule, f"{known} days before it have enough voices, of which the rule needs {LEAST}")
    sign = 1.0 if rule.direction == "down" else -1.0
    if began:
        split, start = max(known, len(spoken) - WEEK), 0
        before = total[known] / weight[known]
        fall = sign * (before - (total[-1] - total[split]) / (weight[-1] - weight[split]))
        outcome: Outcome = "clear" if fall <= rule.recover else "breach" if fall >= rule.threshold else "between"
        baseline = spoken[:known]
    else:
        earliest = bisect_right(places, places[-1] - REACH)
        split, start, fall, certain = _likeliest(places, weight, total, max(LEAST, earliest), rule.baseline_days, sign)
        if not split:
            return no_data(day, rule, f"before no turn {LEAST} of {rule.baseline_days} days have enough voices, which the rule needs")
        before = (total[split] - total[start]) / (weight[split] - weight[start])
        needed = NormalDist().inv_cdf(rule.confidence)
        enough = sum(past.authors for past in spoken[split:]) >= rule.min_authors
        outcome = "breach" if certain > needed and fall >= rule.threshold and enough else "clear" if fall <= rule.recover else "between"
        baseline = spoken[start:split]
    since = spoken[split:]
    now = (total[-1] - total[split]) / (weight[-1] - weight[split])
    reach = 1.96 / math.sqrt(weight[-1] - weight[split])
    voices = sum(past.authors for past in since)
    word, other = ("lower", "higher") if sign > 0 else ("higher", "lower")
    span = f"since {since[0].day}" if len(since) > 1 else f"on {day.day}"
    days_told = f" on {len(since)} days" if len(since) > 1 else ""
    interval = f"{voices} voices{days_told}, 95 % interval {now - reach:+z.2f} to {now + reach:+z.2f}"
    reason = (
        f"Sentiment {span} is {now:+z.2f} ({interval}); before, it was {before:+z.2f} (mean of {len(baseline)} days, {baseline[0].day} to "
        f"{baseline[-1].day}): {abs(fall):.2f} {word if fall > 0 else other}, where {rule.threshold:.2f} {word} is an alert"
    )
    if outcome == "breach" and not began:
        reason += f"; chance alone makes so clear a turn {config.false_alarms(rule):.1f} times a year"
    days = (day.day - since[0].day).days + 1
    posts = sum(past.posts for past in since)
    return Verdict(outcome, f"{reason}.", rule.threshold, voices, posts, now, before, now - reach, now + reach, days=days)


def _likeliest(
    places: Sequence[int], weight: Sequence[float], total: Sequence[float], first: int, baseline_days: int, sign: float
) -> tuple[int, int, float, float]:
    """The turn from index `first` on that is the most standard errors wide: its index, that of its baseline's first day, how far sentiment
    fell (rose), and in standard errors; the index is 0 when no day has a baseline. `weight` and `total` are sums up to each index,
    `places` the days' numbers. One loop, since no rule has more work.
    """
    found, start = (0, 0, 0.0, -math.inf), 0
    all_weight, all_total = weight[-1], total[-1]
    for split in range(first, len(places)):
        while places[split] - places[start] > baseline_days:
            start += 1
        if split - start < LEAST:
            continue
        before, since = weight[split] - weight[start], all_weight - weight[split]
        fall = sign * ((total[split] - total[start]) / before - (all_total - total[split]) / since)
        certain = fall / math.sqrt(1 / before + 1 / since)
        if certain > found[3]:
            found = (split, start, fall, certain)
    return found


class _Window(tuple[DailyTrend, ...]):
    """Consecutive days of a series. Hashed by the last, since hashing all takes as long as summing up; `==` looks at each."""

    __slots__ = ()

    def __hash__(self) -> int:
        last = self[-1]
        return hash((last.day, last.team, last.source))


class _Sums(NamedTuple):
    """The days of a window that have voices: where each lies, and the sums of weights, and of means by weight, up to each."""

    places: list[int]
    days: list[DailyTrend]
    weight: list[float]
    total: list[float]


@lru_cache(maxsize=16)  # the rules of a series look at the same days one after another
def _sums(window: _Window) -> _Sums:
    """What all rules sum up over a window of consecutive days. The first sums are 0, the last those of all days.

    A weight is one over the variance of a day's mean: that of its voices, pooled over all days, and that from day to day.
    Pooled, since a day of five voices that agree would weigh most. The second by differences of neighbours, which a lasting
    turn does not widen (von Neumann et al., Ann. Math. Statist. 12 (1941) 153), shrunk toward DAYS_SD squared.
    """
    places = [place for place, day in enumerate(window) if day.sufficient]
    days = [window[place] for place in places]
    means = [day.mean or 0.0 for day in days]
    voices = [day.effective or float(day.authors) for day in days]
    freedom = [count - 1 for count in voices]
    pooled = sum(map(mul, freedom, [day.variance or 0.0 for day in days])) / max(sum(freedom), 1.0)
    sampling = [pooled / count for count in voices]
    steps = list(map(sub, means[1:], means))
    sampled = sum(sampling[:-1]) + sum(sampling[1:])
    found = max(0.0, (sum(map(mul, steps, steps)) - sampled) / max(len(steps), 1) / 2)
    between = (len(steps) * found + DAYS_DF * DAYS_SD**2) / (len(steps) + DAYS_DF)
    weights = [1 / (between + one) for one in sampling]
    return _Sums(places, days, [0.0, *accumulate(weights)], [0.0, *accumulate(map(mul, weights, means))])
