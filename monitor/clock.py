"""The time that every step goes by. Setting FORUM_MONITOR_NOW replays the past: the steps then take it as their present.

The promise: no step asks another clock for what it stores, so that a replayed week ends in the same rows as a lived one.
"""

from __future__ import annotations

import datetime as dt
import os

from monitor.errors import InputError

REPLAY = "FORUM_MONITOR_NOW"
"""Environment variable with an ISO time, `2025-01-23T18:00:00Z`; without a zone it is UTC. The clock then stands still there."""


def now() -> dt.datetime:
    """The present, aware, in UTC. InputError when FORUM_MONITOR_NOW is not a time."""
    replayed = os.environ.get(REPLAY)
    if not replayed:
        return dt.datetime.now(dt.UTC)
    try:
        moment = dt.datetime.fromisoformat(replayed)
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{REPLAY} is {replayed!r}: write a time such as 2025-01-23T18:00:00Z, or unset it") from None
