"""spike: many more people than usual speak on a day.

`threshold` and `recover` are ratios of the day's authors to the usual number, the median of the `baseline_days` before
(before the spike, while one goes on; fewer than one is taken as one). Breach: the ratio is at least `threshold`, and so
many authors are less likely than 1 - `confidence` given how the days before went up and down (a negative binomial, see
statistics.count_tails). Clear: the ratio is at most `recover`. `min_authors` is needed on the day for a breach.

False alarms per series and year on quiet simulated series of 5, 20 and 100 voices a day, measured by
tests/benchmarks/alerts.py: 0.98, 0.07 and 0.00 with `confidence` 0.99; 0.37, 0.07 and 0.00 with 0.998.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from statistics import median

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import ENOUGH_DAYS, Outcome, Verdict, baseline, no_data
from monitor.rules.statistics import count_tails


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history` by its number of authors."""
    day = history[-1]
    past = baseline(history, rule, began)
    if len(past) < ENOUGH_DAYS:
        return no_data(day, rule, f"{len(past)} days are known before it, of which the rule needs {ENOUGH_DAYS}")
    authors = [one.authors for one in past]
    usual = float(median(authors))
    ratio = day.authors / max(usual, 1.0)
    outcome: Outcome = "clear" if ratio <= rule.recover else "between"
    if ratio >= rule.threshold and day.authors >= rule.min_authors and count_tails(day.authors, authors)[1] < 1 - rule.confidence:
        outcome = "breach"
    reason = (
        f"{day.authors} people spoke on {day.day} (in {day.posts} posts and {day.threads} threads); usual are {usual:g} "
        f"(median of {len(past)} days, {min(authors)} to {max(authors)}, {past[0].day} to {past[-1].day}): "
        f"{ratio:.2f} times as many, where {rule.threshold:.2f} times is an alert."
    )
    return Verdict(outcome, reason, rule.threshold, day.authors, day.posts, float(day.authors), usual)
