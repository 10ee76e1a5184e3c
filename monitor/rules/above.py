"""above: a day's mean sentiment lies over a fixed line, and not by chance.

`below` (monitor/rules/below.py) with its signs turned: the same statistics, the same settings, the same figures.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from monitor import config
from monitor.records import DailyTrend
from monitor.rules import Verdict
from monitor.rules.below import beyond


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last day of `history`; no other day is looked at."""
    return beyond(history[-1], rule, -1)
