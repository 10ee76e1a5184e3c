"""rise: a day's mean sentiment is higher than it was before, by more than days differ anyway.

`drop` (monitor/rules/drop.py) with its signs turned: the same statistics and settings. False
alarms per series and year, of 5, 20 and 100 voices a day: 0.03, 0.72 and 0.00 with `for` 2 and `confidence` 0.95
(tests/benchmarks/alerts.py). With `figure: corrected`, of ten series-years each: by a sample of 20 posts a day 1.4, 0.7 and 0.1 with
`confidence` 0.98; 0.5, 0.6 and 0.1 with 0.99; by the confusion none with 0.95.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import Verdict, weekly
from monitor.rules.drop import turned


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history` against the days before it, or the week to it against weeks."""
    if rule.figure == "corrected":
        return weekly.turned(history, rule, began, -1)
    return turned(history, rule, began, -1)
