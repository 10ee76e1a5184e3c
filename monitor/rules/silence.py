"""silence: a team that is usually spoken of, or a source that usually has posts, has gone quiet.

`threshold` and `recover` are ratios of posts a day to the usual number, the mean of the `baseline_days` before (before
the silence, while one goes on). Breach: over the last `for` days together the ratio is at most `threshold`, and so few
posts are less likely than 1 - `confidence` (statistics.count_tails). Clear: the last day alone is at `recover` or more.
Only complete days can be judged. `min_authors` is how many people a day must usually speak for silence to mean anything.

False alarms per series and year on quiet simulated series of 5, 20 and 100 voices a day, where one of two sources is
missing now and then, measured by tests/benchmarks/alerts.py: 0.00, 1.15 and 0.63 with `confidence` 0.99; 0.00, 0.68 and
0.58 with 0.9995: what is left are the missing sources.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from statistics import fmean

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import ENOUGH_DAYS, Outcome, Verdict, baseline, no_data
from monitor.rules.statistics import count_tails


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last `rule.for_` days of `history` together."""
    day = history[-1]
    past = baseline(history, rule, began, judged=rule.for_)
    if len(past) < ENOUGH_DAYS:
        return no_data(day, rule, f"{len(past)} days are known before it, of which the rule needs {ENOUGH_DAYS}")
    authors, usual = fmean(one.authors for one in past), fmean(one.posts for one in past)
    if authors < rule.min_authors:
        return no_data(day, rule, f"{authors:.2f} people a day usually speak, of which the rule needs {rule.min_authors}")
    window = history[-rule.for_ :]
    posts = sum(one.posts for one in window)
    ratio = posts / (usual * len(window))
    outcome: Outcome = "clear" if day.posts >= rule.recover * usual else "between"
    if ratio <= rule.threshold and count_tails(posts, [one.posts for one in past], len(window))[0] < 1 - rule.confidence:
        outcome = "breach"
    span = f"on {day.day}" if len(window) == 1 else f"from {window[0].day} to {day.day}"
    reason = (
        f"{posts} posts {span}; usual are {usual:.2f} a day (mean of {len(past)} days, {past[0].day} to {past[-1].day}): "
        f"{ratio:.0%} of the usual, where {rule.threshold:.0%} is an alert. Either people have gone quiet or the crawler sees them no more."
    )
    value = posts / len(window)
    return Verdict(outcome, reason, rule.threshold, sum(one.authors for one in window), posts, value, usual, days=len(window))
