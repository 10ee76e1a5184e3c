"""drop: a day's mean sentiment is lower than it was before, by more than days differ anyway.

`threshold` and `recover` are differences on the scale [-1, 1]. The baseline is the mean over the voices of the
`baseline_days` before (before the fall, while one goes on). Breach: the day is lower by at least `threshold`, and the
one-sided bound of that difference (at `confidence`) is above zero. Clear: lower by no more than `recover`.

False alarms per series and year on quiet simulated series of 5, 20 and 100 voices a day, measured by
tests/benchmarks/alerts.py: 0.17, 0.70 and 0.03 with `for` 2 and `confidence` 0.95; 0.12, 0.35 and 0.02 with 0.97. It
compares one day at a time: of lasting falls by 0.25 at 20 voices a day it tells fewer than half, where `shift` tells all.

With `figure: corrected` it compares a week with weeks before it (weekly.py). Of ten series-years each, false alarms a year by a sample of
20 posts a day: 0.8, 0.8 and 0.6 with `confidence` 0.98; 0.0, 0.0 and 0.2 with 0.999; by the confusion 0.3, 0.7 and 0.1 with 0.95, none with
0.99. Of lasting falls of the daily figure by 0.25 and 0.5 at 20 voices a day it tells all, by a sample after 5 and 3 days (medians; with
0.985), by the confusion after 6.5 and 3.5 (with 0.95).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import ENOUGH_DAYS, Verdict, Voices, baseline, few, moved, no_data, shown, voices, weekly
from monitor.rules.statistics import degrees, t_quantile

DAYS_DF, DAYS_SD = 10, 0.1
"""What is held of the day-to-day standard deviation before any day is known, and how many days' worth of weight that has."""


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history` against the days before it, or the week to it against weeks."""
    if rule.figure == "corrected":
        return weekly.turned(history, rule, began, 1)
    return turned(history, rule, began, 1)


def turned(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None, sign: int) -> Verdict:
    """Whether the last day is lower (`sign` 1) or higher (-1) than the days before it."""
    day = history[-1]
    now = voices(day)
    if now is None or now.authors < rule.min_authors:
        return few(day, rule)
    days = [(past.day, figures) for past in baseline(history, rule, began) if (figures := voices(past))]
    if len(days) < ENOUGH_DAYS:
        return no_data(day, rule, f"{len(days)} days before it have enough voices, of which the rule needs {ENOUGH_DAYS}")
    before, noise = _difference([figures for _, figures in days], now, rule.confidence)
    past = f"mean of {len(days)} days, {days[0][0]} to {days[-1][0]}"
    return moved(day, rule, sign, before, now.mean, noise, past, shown(day))


def _difference(past: Sequence[Voices], now: Voices, confidence: float) -> tuple[float, float]:
    """The baseline's mean, and how far below it a day like `now` may lie by chance.

    Days differ by more than sampling (a thread, a weekday): their variance is the analysis-of-variance estimator of an
    unbalanced one-way random model (Searle, Casella & McCulloch, Variance Components, 1992, section 3.6), shrunk toward
    DAYS_SD squared as statistics.voice_variance is, so that a few days which happen to agree are no certainty. Degrees
    of freedom of the sum of the three errors: Satterthwaite, Biometrics Bulletin 2 (1946) 110.
    """
    total = sum(day.effective for day in past)
    mean = sum(day.effective * day.mean for day in past) / total
    inner = max(1.0, total - len(past))
    within = sum((day.effective - 1) * day.variance for day in past) / inner
    between = sum(day.effective * (day.mean - mean) ** 2 for day in past) / (len(past) - 1)
    squares = sum(day.effective**2 for day in past) / total
    found = max(0.0, (between - within) / ((total - squares) / (len(past) - 1)))
    days_df = len(past) - 1 + DAYS_DF
    day_to_day = ((len(past) - 1) * found + DAYS_DF * DAYS_SD**2) / days_df
    errors = (
        (day_to_day * (1 + squares / total), days_df),
        (within / total, inner),
        (now.variance / now.effective, degrees(now.effective)),
    )
    variance = sum(part for part, _ in errors)
    df = variance**2 / sum(part**2 / df for part, df in errors)
    return mean, t_quantile(confidence, df) * math.sqrt(variance)
