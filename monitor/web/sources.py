"""Sources: what each site allows and who read that, how its crawls go, which days were read, what went wrong and what to do.

The promise: whoever answers for a crawl, or wonders what a figure rests on, sees it here; a source that is off, or whose terms nobody
has read, is shown as such and with no date for a crawl.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Literal

from datasette.utils.asgi import Request, Response

from monitor import clock
from monitor.records import SOURCE_STOPPED
from monitor.sources import register
from monitor.store import Store
from monitor.web.app import Pages
from monitor.web.words import gettext as _

DAYS = 28
"""Days of a strip, the last one today."""

Cell = Literal["read", "missed", "open", "before"]


async def sources(pages: Pages, request: Request) -> Response:
    """GET /sources"""
    config, now = pages.config, clock.now()
    today = now.astimezone(dt.UTC).date()
    days = [today - dt.timedelta(days=n) for n in range(DAYS - 1, -1, -1)]

    def gather(store: Store) -> tuple[Any, ...]:
        covered, first_days = store.covered_days(days[0])
        stopped = {alert["source"]: alert["reason"] for alert in store.firing(today) if alert["rule"] == SOURCE_STOPPED}
        return register(config, store, now), covered, first_days, stopped, archives_of(store)

    rows, covered, first_days, stopped, archives = await pages.read(gather)
    shown = [
        row
        | {
            "strip": strip(days, {day for source, day in covered if source == row["source"]}, first_days.get(row["source"])),
            "stopped": stopped.get(row["source"]),
            "todo": to_do(row),
        }
        for row in rows
    ]
    shown.sort(key=lambda row: not (row["enabled"] and row["terms_read_on"]))
    return await pages.page("sources.html", request, rows=shown, days=days, archives=archives, on=sum(bool(row["enabled"]) for row in rows))


def archives_of(store: Store) -> list[dict[str, Any]]:
    """The archives whose days are in the store: name, sources, first_day, last_day, posts that name a team, model, words (kept or not)."""
    posts = store.archived_posts()
    kept = ("name", "sources", "first_day", "last_day", "model", "words")
    return [{key: getattr(each, key) for key in kept} | {"posts": posts.get(each.name, 0)} for each in store.archives()]


def strip(days: Collection[dt.date], read: Collection[dt.date], first: dt.date | None) -> list[tuple[dt.date, Cell]]:
    """What became of each day, oldest first: read whole, missed, `open` while it goes on unread, or before the source's `first` day."""
    last = max(days)
    return [
        (day, "read" if day in read else "before" if first is None or day < first else "open" if day == last else "missed") for day in days
    ]


def to_do(row: Mapping[str, Any]) -> str | None:
    """What whoever runs the monitor can do about how a source's last crawl ended; None where all is well."""
    source, outcome = row["source"], row["outcome"]
    if not row["terms_read_on"]:
        return _("Read what the site allows and write it down as sources.%(source)s.terms in config.yaml.") % {"source": source}
    if not row["enabled"] or outcome in ("finished", "under way"):
        return None
    if outcome is None:
        return _("`forum-monitor sources test %(source)s` tries it without storing anything.") % {"source": source}
    if outcome in ("disallowed", "banned"):
        return _("Its owner does not want it read: write `enabled: false`, or read another of its pages. A wall is never worked around.")
    told = {
        "robots_unreachable": _(
            "Its robots.txt could not be read, so nothing was asked. It is tried again; look at the site if it goes on."
        ),
        "rate_limited": _(
            "It was asked as often as it may be. The next crawl goes on; `per_hour` or `every` in config.yaml spread it out."
        ),
        "timed out": _("It took longer than its `time_limit`. The next crawl goes on; raise that limit if it repeats."),
        "stopped": _("Somebody stopped it. The next crawl goes on where it was."),
        "killed": _("Its process was killed, or the machine went down. The next crawl goes on where it was."),
    }
    audit = _("`forum-monitor sources audit %(source)s` lists what was asked, and why it ended.") % {"source": source}
    return f"{told[outcome]} {audit}" if outcome in told else audit
