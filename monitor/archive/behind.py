"""The posts behind a team's figures, as one list: those that the store holds, and those that only archives do.

The promises: a post stands in it once, as the store has it where both do, and what the store has buried is not in it. Paging leads through
every post once, newest first. An archive that cannot be read is named, and everything else is there.
"""

from __future__ import annotations

import datetime as dt
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from monitor.config import Config
from monitor.errors import InputError
from monitor.store import Archived, Place, Store, Wanted


class Haste(NamedTuple):
    """Seconds: after `looking` no further days of archives are looked through, which may leave a page with fewer posts; after `patience`
    without an answer an archive is taken to be out of reach."""

    looking: float
    patience: float


PAGE, TERMINAL = Haste(0.4, 4.0), Haste(math.inf, 60.0)

_FIRST_DAYS, _MOST_DAYS = 4, 32
"""Days that are asked for at once: few, since they mostly fill a page, then twice as many each time."""

_ANY = 10**17
"""An id above that of every post."""

Row = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Behind:
    """A page of posts, where the next one goes on from (None at the end), and why each archive that cannot be read, by name, cannot be."""

    posts: list[Row]
    further: Place | None
    unread: dict[str, str]


def team_posts(
    store: Store, config: Config, team: str, wanted: Wanted, *, before: Place | None = None, limit: int = 25, haste: Haste = PAGE
) -> Behind:
    """A page of posts about a team from below `before` on, as `Store.team_posts` gives them, each with `archive`.

    `archive` is None where the store holds a post; others have no id, and no text but where their archive keeps words.
    """
    rows, edge = store.team_posts(team, wanted, before=before, limit=limit)
    found, edges, unread = _archived(store, config, team, wanted, before, limit, haste)
    kept = [{**row, "archive": None} for row in rows] + found
    kept.sort(key=_order, reverse=True)  # stable: archives' posts of one second stay in their order
    floor = max((each for each in (edge, *edges) if each), default=None)
    kept = [row for row in kept if floor is None or _order(row) >= (floor.at, floor.id)]
    return Behind(kept[:limit], _after(kept[:limit], before) if len(kept) > limit else floor, unread)


def beside(store: Store, config: Config, team: str, wanted: Wanted, rows: Sequence[Row], limit: int) -> Behind:
    """`rows` of `Store.posts` and the posts of archives that are `wanted`, the newest `limit` of both, each with the columns of both."""
    found, _, unread = _archived(store, config, team, wanted, None, limit, TERMINAL)
    columns = dict.fromkeys((*(rows[0] if rows else ()), *(found[0] if found else ())))
    kept = [{**columns, **row} for row in (*rows, *found)]
    kept.sort(key=_order, reverse=True)
    return Behind(kept[:limit], None, unread)


def _order(row: Row) -> tuple[str, int]:
    return row["posted_at"], row["id"] or 0


def _after(shown: Sequence[Row], before: Place | None) -> Place:
    """The place behind the last post shown; of an archive's it says how many of its second were, since those have no ids."""
    at, number = _order(shown[-1])
    same = sum(_order(row) == (at, 0) for row in shown) + (before.skip if before and before.at == at else 0)
    return Place(at, number, 0 if number else same)


def _archived(
    store: Store, config: Config, team: str, wanted: Wanted, before: Place | None, limit: int, haste: Haste
) -> tuple[list[Row], list[Place], dict[str, str]]:
    """More than `limit` posts of archives if there are as many, in order; up to where each archive was looked through; and who failed."""
    skip = before.skip if before else 0
    found: dict[tuple[str, str], Row] = {}
    edges, unread, end = [], dict[str, str](), time.monotonic() + haste.looking
    for archive in store.archives():
        if archive.model != store.model or (wanted.source and wanted.source not in archive.sources) or (wanted.words and not archive.words):
            continue
        try:
            rows, edge = _of(store, config, archive, team, wanted, before.at if before else None, limit + skip + 1, end, haste.patience)
        except InputError as error:
            unread[archive.name] = str(error)
            continue
        edges += [edge] if edge else []
        for row in rows:
            found.setdefault((row["source"], row["native_id"]), row)
    rows = sorted((found[key] for key in sorted(found)), key=lambda row: row["posted_at"], reverse=True)
    return rows[sum(row["posted_at"] == before.at for row in rows[:skip]) if before else 0 :], edges, unread


def _of(
    store: Store, config: Config, archive: Archived, team: str, wanted: Wanted, at: str | None, count: int, end: float, patience: float
) -> tuple[list[Row], Place | None]:
    """At least `count` posts of an archive that the store does not hold, and the place of what `end` left to be looked through."""
    last = min(wanted.last or dt.date.max, dt.date.fromisoformat(at[:10]) if at else dt.date.max)
    days = store.days_of(archive.name, wanted.first or dt.date.min, last, team=team)[::-1]
    found: list[Row] = []
    for part in _parts(days):
        if len(found) >= count:
            break
        if time.monotonic() > end and part[0] != days[0]:
            return found, Place(f"{part[0]}T23:59:59Z", _ANY)
        skip = 0
        while len(found) < count:
            rows = _within(patience, partial(_look, archive, part, config.privacy.min_authors, team, wanted, at, skip, count))
            held = store.stored_already([(row["source"], row["native_id"]) for row in rows])
            found += [_shown(row) for row in rows if (row["source"], row["native_id"]) not in held]
            skip += len(rows)
            if len(rows) < count:
                break
    return found, None


def _parts(days: Sequence[str]) -> Iterator[Sequence[str]]:
    """Days in their order, few at first."""
    start, size = 0, _FIRST_DAYS
    while start < len(days):
        yield days[start : start + size]
        start, size = start + size, min(2 * size, _MOST_DAYS)


def _look(
    archive: Archived, days: Sequence[str], least: int, team: str, wanted: Wanted, at: str | None, skip: int, count: int
) -> list[Row]:
    from monitor.archive.reading import Archives, Lying  # here, so that who has no archives need not install what reads them

    with Archives([Lying.of(archive)], min_authors=least, days=days) as asked:
        return asked.team_posts(team, wanted, at=at, skip=skip, limit=count)


def _shown(row: Row) -> Row:
    """A post of an archive as the store has its own."""
    return {"id": None, **row, "text": row["text"] or "", "url": row["url"] or "", "archived": 1, "corrected": 0}


def _within(seconds: float, ask: Callable[[], Found]) -> Found:
    """What `ask` returns or raises; InputError when that takes longer, since a place that does not answer may be waited for without end."""
    answers: queue.SimpleQueue[Found | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except Exception as error:  # noqa: BLE001 (raised again below)
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise InputError(f"it did not answer within {seconds:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer
