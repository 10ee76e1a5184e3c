"""below: a day's mean sentiment lies under a fixed line, and not by chance.

`threshold` and `recover` are means in [-1, 1]. Breach: even the upper one-sided bound of the day's mean (a t interval,
at `confidence`) is under `threshold`. Clear: the mean itself is back at `recover`.

False alarms per series and year on quiet simulated series around +0.05 of 5, 20 and 100 voices a day, measured by
tests/benchmarks/alerts.py: 0.13, 0.15 and 0.00 with `confidence` 0.95; 0.02, 0.03 and 0.00 with 0.99.

With `figure: corrected` the mean is that of the week (weekly.py), and the bound that of its stored interval. Of ten series-years each,
false alarms a year by a sample of 20 posts a day: 0.3, 0.0 and 0.0 with `confidence` 0.8; by the confusion 0.4, 0.0 and 0.0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import Verdict, beyond_line, few, shown, voices, weekly
from monitor.rules.statistics import margin


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history`, or the week to it; no other is looked at."""
    if rule.figure == "corrected":
        return weekly.beyond(history[-1], rule, 1)
    return beyond(history[-1], rule, 1)


def beyond(day: DailyTrend, rule: config.Rule, sign: int) -> Verdict:
    """Whether a day is under the line (`sign` 1) or over it (-1)."""
    now = voices(day)
    if now is None or now.authors < rule.min_authors:
        return few(day, rule)
    bound = now.mean + sign * margin(now.variance, now.effective, rule.confidence)
    return beyond_line(day, rule, sign, now.mean, bound, shown(day))
