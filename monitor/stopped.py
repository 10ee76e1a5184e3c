"""stopped: the alert that a source cannot be read, told once, and ended once it is read again.

The promise: no source falls silent unnoticed. What a site says against being read (robots.txt, an opt-out, a wall) is told at
once; what may pass by itself (no answer, an unreachable robots.txt, a crawl that dies) once no crawl has finished for a day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from monitor.config import Config
from monitor.records import ALL, SOURCE_STOPPED
from monitor.store import Standing, Step, Store

PATIENCE = dt.timedelta(days=1)
"""How long crawls may fail before it is told."""

_SITES_WORD = ("banned", "disallowed")


def stopped(store: Store, config: Config, states: Mapping[tuple[str, str, str], str], *, now: dt.datetime) -> list[Step]:
    """Steps for each enabled source that cannot be read any more, or can again; `states` holds where each key stands, `now` is aware.

    Only a finished crawl ends the alert: one that was killed or cut short says nothing of the site.
    """
    steps = []
    standings = store.standings()
    for source in config.sources:
        key = (SOURCE_STOPPED, ALL, source.name)
        crawls, before = standings.get(source.name), states.get(key, "normal")
        if not source.enabled or crawls is None:
            continue
        every = dt.timedelta(seconds=source.every or config.schedule.collect)
        firing, reason = before == "firing", _stopped(crawls, now, max(PATIENCE, 2 * every))
        if firing and crawls.reason == "finished":
            after, reason = "resolved", f"The crawl that ended on {_moment(crawls.ended_at)} read all that was due."
        elif not firing and reason:
            after, reason = "firing", f"{reason} {_what_to_do(source.name)}"
        else:
            continue
        today = now.astimezone(dt.UTC).date()
        steps.append(Step(*key[:1], "stopped", *key[1:], store.model, after, today, today, 0, (before, after, today, reason)))
    return steps


def _stopped(crawls: Standing, now: dt.datetime, patience: dt.timedelta) -> str | None:
    """Why a source counts as stopped, as a sentence; None while it does not, and where what stopped it is long ago."""
    if crawls.reason == "finished" or now - crawls.ended_at > patience:
        return None
    said = f": {crawls.message.rstrip('.')}." if crawls.message else "."
    if crawls.reason in _SITES_WORD:
        return f"The crawl that ended on {_moment(crawls.ended_at)} was {crawls.reason}{said}"
    if now - crawls.failing_since <= patience:
        return None
    return f"No crawl has read all that was due since {_moment(crawls.failing_since)}; the last one ended as {crawls.reason}{said}"


def _what_to_do(source: str) -> str:
    return (
        "Days that are not read count as not covered, and figures lack what is said there. "
        f"`forum-monitor sources audit {source}` lists what was asked and why it ended. Where the owner does not want it read, "
        "set `enabled: false`; a wall is never worked around."
    )


def _moment(moment: dt.datetime) -> str:
    return f"{moment:%-d %B %Y, %H:%M} UTC"
