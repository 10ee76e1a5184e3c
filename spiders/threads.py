"""What a crawl knows of one forum thread, and which of its posts are gone.

The promise: a post is gone only where the pages on which it could stand were read whole and do not show it. Posts move to
earlier pages when others before them are deleted, so that one page without a post proves nothing while its time lies at
that page's edge.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spiders.pages import Others


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page that was read whole. `first` and `last` are the times of its oldest and newest post, to the second; None if none is dated."""

    others: Others
    first: dt.datetime | None
    last: dt.datetime | None


@dataclass(slots=True)
class Thread:
    """`begin` and `end` are its first page and the last one known; `asked` and `leaves` go by what `spiders.pages.key` says of a URL."""

    id: str
    begin: str
    end: str
    asked: set[str] = field(default_factory=set)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    vanished: set[str] = field(default_factory=set)
    """Pages that answered that they do not exist (any more)."""
    seen: set[str] = field(default_factory=set)
    """Ids of its posts that were met."""
    open: int = 0
    """Pages that were asked for again and have not answered yet."""


def missing(thread: Thread, known: Mapping[str, tuple[dt.datetime, str]], key: Callable[[str], str]) -> tuple[set[str], set[str]]:
    """Which of the `known` posts (time, and URL of the page where each stood) are gone, and the pages to read before more can be said."""
    lost = {native_id: stood for native_id, stood in known.items() if native_id not in thread.seen}
    if key(thread.begin) in thread.vanished:
        return set(lost), set()
    gone, todo = set(), set()
    for native_id, (moment, url) in lost.items():
        needed = _unread(thread, moment, url, key)
        if needed:
            todo |= needed
        else:
            gone.add(native_id)
    return gone, todo


def _unread(thread: Thread, moment: dt.datetime, url: str, key: Callable[[str], str]) -> set[str]:
    """Pages on which a post of that time could stand, and that were not read."""
    if key(url) in thread.vanished:  # the thread became shorter: look from its end
        begin = thread.leaves.get(key(thread.begin))
        if begin is None:
            return {thread.begin}
        url = begin.others.last or begin.others.following or thread.begin
    return _walk(thread, moment, url, key, back=True) | _walk(thread, moment, url, key, back=False)


def _walk(thread: Thread, moment: dt.datetime, url: str, key: Callable[[str], str], *, back: bool) -> set[str]:
    passed: set[str] = set()
    here: str | None = url
    while here is not None and key(here) not in passed and key(here) not in thread.vanished:
        passed.add(key(here))
        leaf = thread.leaves.get(key(here))
        if leaf is None:
            return {here}
        edge = leaf.first if back else leaf.last
        if edge is not None and (moment > edge if back else moment < edge):
            return set()
        here = leaf.others.previous if back else leaf.others.following
    return set()
