"""stopped: the alerts that a source cannot be read and that posts are not understood, told once, and ended once they are again.

The promise: no source and no model falls silent unnoticed. What a site says against being read (robots.txt, an opt-out, a wall) is told at
once; what may pass by itself (no answer, an unreachable robots.txt, a crawl that dies) once no crawl has finished for a day. Sources that
stop in one round, and those that come back in one, are told in one message (`Outbox.enqueue`): to a person that is one event.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from monitor.config import Config
from monitor.inhibit import UNREAD_SHARE
from monitor.records import ALL, POSTS_UNREAD, SOURCE_STOPPED
from monitor.store import Standing, Step, Store

PATIENCE = dt.timedelta(days=1)
"""How long crawls may fail, and posts wait to be understood, before it is told."""

LOOKED_BACK = dt.timedelta(days=7)
"""Posts of so many days are looked at for those that wait: older ones are read last, after all that is new."""

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


def unread(store: Store, states: Mapping[tuple[str, str, str], str], *, now: dt.datetime) -> list[Step]:
    """The step for posts that have waited for longer than PATIENCE to be understood, or wait no longer; none while a run goes on."""
    key = (POSTS_UNREAD, ALL, ALL)
    if store.under_way("understand", now - PATIENCE):
        return []
    rows = store.unread_days((now - LOOKED_BACK).astimezone(dt.UTC).date(), now - PATIENCE)
    waiting, posts = sum(row[3] for row in rows), sum(row[2] for row in rows)
    before = states.get(key, "normal")
    if before != "firing" and waiting > UNREAD_SHARE * posts:
        after, reason = (
            "firing",
            (
                f"{waiting} posts of the last {LOOKED_BACK.days} days have waited for more than a day to be understood. Their days are not "
                "judged meanwhile. `forum-monitor understand` reads them or says why it cannot; an endpoint may be out of its allowance."
            ),
        )
    elif before == "firing" and not waiting:
        after, reason = "resolved", "No post of the last days waits for long to be understood any more."
    else:
        return []
    today = now.astimezone(dt.UTC).date()
    return [Step(key[0], "unread", *key[1:], store.model, after, today, today, 0, (before, after, today, reason))]


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
