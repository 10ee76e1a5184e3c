"""What archives hold of a day beside the store, as voices that `trend` counts with the store's own.

The promise: of a post that both hold the store's own counts, whether it lives, was deleted, forgotten or retired; and what a person said
of a post that shows an archive's day counts in place of the model's word.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from monitor.archive.day import Row, counts, voice
from monitor.errors import StoreError
from monitor.store import Archived, Store
from monitor.store.posts import hidden_id, mark
from monitor.trend import Beyond, Voice

_VALUES = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_COLUMNS = ["source", "native_id", "thread_id", "author_key", "kind", "language", "team", "label", "value", "repost"]


def beyond(store: Store) -> Beyond:
    """What `trend` asks of the archives of a store."""
    return partial(voices, store)


def voices(store: Store, first: dt.date, last: dt.date, team: str | None = None) -> Iterator[Voice]:
    """What all archives hold of the UTC days `first`..`last` and the store does not: rows as `Store.voices` gives them, in their order.

    StoreError where an archive cannot be read, or lacks a day that it held.
    """
    return (voice for _, voice in _spoken(store, first, last, team))


class Heard(NamedTuple):
    """What was said on some days, in the store and in archives, by the model in use: the language (empty: unknown), then a row of voices.

    Of the teams `away` an archive holds a part that cannot be read, and nothing is here.
    """

    voices: list[tuple[str, Voice]]
    away: frozenset[str]


def heard(store: Store, teams: Sequence[str], first: dt.date, last: dt.date) -> Heard:
    """What was said of some teams on the UTC days `first`..`last`."""
    found: list[tuple[str, Voice]] = [(row[0], row[1:]) for row in store.voices_by_language(teams, first, last)]
    if not (archived := store.archived_to(first, last).keys() & set(teams)):
        return Heard(found, frozenset())
    try:
        only = next(iter(archived)) if len(archived) == 1 else None
        beside = [row for row in _spoken(store, first, last, only) if row[1][1] in archived]
    except StoreError:
        return Heard([row for row in found if row[1][1] not in archived], frozenset(archived))
    return Heard(found + [row for row in beside if row[1][3] == store.model], frozenset())


def _spoken(store: Store, first: dt.date, last: dt.date, team: str | None) -> Iterator[tuple[str, Voice]]:
    """`voices`, each behind its language."""
    own, said = _Own(store), store.archived_corrections()
    for archive in store.archives():
        for day in store.days_of(archive.name, first, last, team=team):
            rows = [row for row in _read(archive, day, team) if counts(row) and row["source"] in archive.sources]
            held = own.among(rows)
            for row in rows:
                label = said.get((row["source"], row["native_id"], row["team"]))
                value = _VALUES[label] if label else row["value"]
                if value is not None and (row["source"], row["native_id"]) not in held:
                    yield row["language"] or "", voice(day, row, archive.model, label or row["label"], value)


def _read(archive: Archived, day: str, team: str | None) -> list[dict[str, Any]]:
    """The rows of a day of an archive, of one team or all."""
    try:
        import pyarrow.compute as pc

        from monitor.archive.layout import Root, named
    except ImportError:
        raise StoreError("days of an archive are read by the extra [archive]: pip install 'employee-forum-monitor[archive]'") from None
    try:
        root = Root(archive.root)
        table = root.parquet(root.day(archive.name, archive.run, day, "posts.parquet")).read(_COLUMNS)
        if team is not None:
            table = table.filter(pc.equal(table["team"], team))
    except Exception as error:  # noqa: BLE001 (an archive may lie behind any of fsspec's file systems, which raise what they like)
        why = "it holds that day no more" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise StoreError(
            f"{day} of the archive {archive.name} cannot be read from {named(archive.root)} ({why}): see that it can be reached, or "
            "`forum-monitor backfill` makes it anew"
        ) from None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


class _Own:
    """What of archives' posts the store holds itself, or is not to count."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forgotten = {row["mark"] for row in store.forgotten() if row["kind"] == "author"}
        self._hidden: dict[str, set[str]] = {}

    def among(self, rows: Iterable[Row]) -> set[tuple[str, str]]:
        """(source, native_id) of those of some rows that do not count here."""
        ids: dict[str, set[str]] = defaultdict(set)
        found = set()
        for row in rows:
            ids[row["source"]].add(row["native_id"])
            if self._forgotten and row["author_key"] and mark("author", row["source"], row["author_key"]) in self._forgotten:
                found.add((row["source"], row["native_id"]))
        for source, of_source in ids.items():
            if source not in self._hidden:
                self._hidden[source] = self._store.hidden_ids(source)
            found |= {(source, each) for each in self._store.own_posts(source, of_source)}
            if hidden := self._hidden[source]:
                found |= {(source, each) for each in of_source if hidden_id(source, each) in hidden}
        return found
