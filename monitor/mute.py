"""The times at which no message is sent, as `notify.mute` writes them: `22:00-07:00` every night, `sat` and `sun` all day."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def span(text: str) -> int | tuple[dt.time, dt.time]:
    """A weekday (0 is Monday), or a span of the clock from its first minute up to its last, which it leaves out. Else ValueError."""
    word = text.strip().lower()
    if word in _DAYS:
        return _DAYS.index(word)
    match = re.fullmatch(r"(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})", word)
    try:
        if match is None:
            raise ValueError
        begins, ends = (dt.time(int(hour), int(minute)) for hour, minute in (part.split(":") for part in match.groups()))
    except ValueError:
        raise ValueError("write a span of the clock such as 22:00-07:00, or a day: mon, tue, wed, thu, fri, sat or sun") from None
    if begins == ends:
        raise ValueError("write two different times, or days of the week")
    return begins, ends


def muted(now: dt.datetime, spans: Iterable[str], zone: ZoneInfo) -> bool:
    """Whether an aware time lies in one of the spans, by the clock of `zone`. One whose end is before its begin goes over midnight."""
    local = now.astimezone(zone)
    clock = local.time()
    for found in map(span, spans):
        if isinstance(found, int):
            if local.weekday() == found:
                return True
        elif found[0] <= clock < found[1] if found[0] < found[1] else not found[1] <= clock < found[0]:
            return True
    return False
