"""What people have a right to, in archives: what the store has forgotten leaves their files, and names and links leave with retention.

The promise: an archive that could not be reached is known as unclean until it is clean, and every `trend` tries again. A day is written
anew whole: killed in between, it is unfinished, and written again by the next try.

What repeated a post that is gone is not found out anew, since most archives keep no words: what was a repost stays one.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.archive.day import Row, write
from monitor.archive.fold import KeptFrom, fold
from monitor.archive.layout import Root, named
from monitor.errors import InputError, StoreError
from monitor.records import Post
from monitor.store import Archived, Store
from monitor.store.posts import distinctive, hidden_id, mark

FAILURES = (OSError, pa.ArrowException, NotImplementedError, InputError)
"""What reading and writing an archive fails with where it cannot be reached or written."""


def unreached(archive: Archived, error: Exception) -> StoreError:
    """What to say of an archive that failed with one of FAILURES."""
    return StoreError(
        f"the archive {archive.name} at {named(archive.root)} cannot be read or written ({type(error).__name__}): see that it can; "
        "what was forgotten leaves it at the next `forum-monitor trend`"
    )


# ---- posts that archives alone hold ---------------------------------------------------------------------------------


def at_addresses(store: Store, urls: Sequence[str]) -> list[Post]:
    """The posts in all archives at any of these addresses, without words. StoreError where an archive cannot be read."""
    found = {}
    for archive in store.archives():
        try:
            root = Root(archive.root)
            for day in store.archived_digests(archive.name):
                file = root.parquet(root.day(archive.name, archive.run, day, "posts.parquet"))
                if not pc.any(pc.is_in(file.read(["url"])["url"], pa.array(urls, pa.string()))).as_py():
                    continue
                for row in file.read().to_pylist():
                    if row["url"] in urls:
                        found[row["source"], row["native_id"]] = Post(
                            row["source"], row["native_id"], row["url"], "", row["posted_at"], row["posted_at"], row["thread_id"],
                            author_key=row["author_key"], date_origin=row["date_origin"], kind=row["kind"],
                        )  # fmt: skip
        except FAILURES as error:
            raise unreached(archive, error) from None
    return list(found.values())


# ---- what has to go -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goes:
    """What is not to be in an archive: posts by id, as it is or hidden; marks of authors and titles; sources but these."""

    ids: Mapping[str, Collection[str]]
    marks: Collection[str]
    sources: Collection[str]

    @classmethod
    def of(cls, store: Store, archive: Archived) -> Goes:
        marks = frozenset(row["mark"] for row in store.forgotten() if row["kind"] != "source")
        return cls({source: frozenset(store.buried_ids(source)) for source in archive.sources}, marks, archive.sources)

    def takes(self, row: Row) -> bool:
        """Whether a row goes whole."""
        source, author = row["source"], row["author_key"]
        if source not in self.sources or (author and self.marks and mark("author", source, author) in self.marks):
            return True
        ids = self.ids[source]
        return bool(ids) and (row["native_id"] in ids or hidden_id(source, row["native_id"]) in ids)

    def stripped(self, row: Row) -> Row:
        """A row that stays, without a forgotten title and ids that name a forgotten post; else the very same."""
        source = row["source"]
        changed: dict[str, Any] = {}
        if row["title"] and self.marks and mark("title", source, row["title"]) in self.marks:
            changed["title"] = None
        for column in ("parent_id", "thread_id", "origin_id"):
            if distinctive(value := row.get(column)) and (hidden := hidden_id(source, value)) in self.ids[source]:
                changed[column] = hidden if column == "thread_id" else None
        return {**row, **changed} if changed else row


@dataclass(frozen=True)
class Rows:
    """An archive's rows as they are to be: without what goes, and of days before those that may be kept without names and links."""

    archive: Archived
    goes: Goes
    kept_from: KeptFrom

    def changed(self, day: str, rows: Iterable[Row]) -> int:
        """How many rows of a day go, or are to be others."""
        return sum(self.too_old(day, row) or self.goes.takes(row) or self.goes.stripped(row) is not row for row in rows)

    def staying(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that do not go, without what names those that do."""
        return [self.goes.stripped(row) for row in rows if not self.goes.takes(row)]

    def retired(self, day: str, rows: Iterable[Row]) -> list[Row]:
        """The rows of a day, those that are too old as they are kept then; the others are the very same."""
        stand_ins: dict[tuple[str, str], str] = {}

        def stand_in(source: str, value: str | None) -> str | None:
            return None if value is None else stand_ins.setdefault((source, value), f"retired:{self.archive.name}:{len(stand_ins)}")

        return [{**row, **self._retired(row, stand_in)} if self.too_old(day, row) else row for row in rows]

    def too_old(self, day: str, row: Row) -> bool:
        """Whether a row is to be retired, and is not yet."""
        kept = self.kept_from(row["source"])
        return kept is not None and day < kept.isoformat() and not row["native_id"].startswith("hidden:")

    @staticmethod
    def _retired(row: Row, stand_in: Callable[[str, str | None], str | None]) -> dict[str, Any]:
        """What a row holds once it is too old: who is whose voice within the day, and the scores (as `Store.retire` leaves a post)."""
        source = row["source"]
        nothing = dict.fromkeys(("parent_id", "edited_at", "language", "title", "text", "origin_source", "origin_id"))
        return nothing | {
            "native_id": hidden_id(source, row["native_id"]), "url": "", "thread_id": stand_in(source, row["thread_id"]),
            "author_key": stand_in(source, row["author_key"]), "posted_at": dt.datetime.combine(row["posted_at"], dt.time(), dt.UTC),
            "text_hash": "", "mentions": [], "input_hash": "retired",
        }  # fmt: skip


def due(archive: Archived, kept_from: KeptFrom) -> bool:
    """Whether anything is to leave an archive's files."""
    return archive.unclean or _from(archive) < max(_limits(archive, kept_from).values(), default="")


def _limits(archive: Archived, kept_from: KeptFrom) -> dict[str, str]:
    return {source: str(kept_from(source) or "") for source in archive.sources}


def _from(archive: Archived) -> str:
    """The day before which nothing is left to be retired, of any source."""
    return min((archive.retired.get(source, "") for source in archive.sources), default="")


def clean(
    store: Store, *, min_authors: int, now: dt.datetime, kept_from: KeptFrom, progress: Callable[[int, int], None] | None = None
) -> tuple[Counter[str], list[str]]:
    """Take what was forgotten, or is too old to be kept, out of the files of the archives that hold any, and fold these days again.

    An unfinished run, and an archive of which no source is left, go whole. Returns how many rows went or were retired by archive, and
    in sentences which archives could not be reached; they are tried again by the next call. Nobody else may work on them meanwhile.
    """
    went, problems = Counter[str](), []
    for archive in store.archives():
        root, gone = Root(archive.root), f"archive {archive.name}"
        if not due(archive, kept_from):
            continue
        try:
            if not archive.sources:
                root.remove(root.path(archive.name))
                went[gone] += store.drop_archive(archive.name)
                continue
            archive = _folded(store, root, archive, min_authors=min_authors, now=now, kept_from=kept_from)
            limits = _limits(archive, kept_from)
            first, last = _from(archive), max(limits.values())
            days = [day for day in store.archived_digests(archive.name) if archive.unclean or first <= day < last]
            went[gone] += _cleaned(root, Rows(archive, Goes.of(store, archive), kept_from), days, progress)
            _folded(store, root, archive, min_authors=min_authors, now=now, kept_from=kept_from)
            store.cleaned(archive.name, limits)
        except FAILURES as error:
            problems.append(str(unreached(archive, error)))
    return +went, problems


def _folded(store: Store, root: Root, archive: Archived, *, min_authors: int, now: dt.datetime, kept_from: KeptFrom) -> Archived:
    """The archive with the sources that are left and no other run than the one that is shown, in the store as it is now."""
    current = root.current(archive.name)
    if current is None:
        raise FileNotFoundError
    for run in root.folders(root.path(archive.name, "runs")):
        if run != current.run:
            root.remove(root.path(archive.name, "runs", run))
    if current.run == archive.run and set(archive.sources) < set(current.sources):
        root.write_json(root.path(archive.name, "current.json"), asdict(replace(current, sources=archive.sources)))
    root.sweep(archive.name)
    fold(store, root, archive.name, min_authors=min_authors, now=now, kept_from=kept_from)
    return next(one for one in store.archives() if one.name == archive.name)


_TELLING = ["source", "native_id", "author_key", "title", "parent_id", "thread_id", "origin_id"]


def _cleaned(root: Root, rows: Rows, days: Sequence[str], progress: Callable[[int, int], None] | None) -> int:
    """Some days of an archive as they are to be; how many rows that changed."""
    went = 0
    for number, day in enumerate(days, 1):
        folder = (rows.archive.name, rows.archive.run, day)
        file = root.parquet(root.day(*folder, "posts.parquet"))
        changed = rows.changed(day, file.read(_TELLING).to_pylist())
        if changed or not root.exists(root.day(*folder, "manifest.json")):
            shown = root.parquet(root.day(*folder, "evidence.parquet")).read().to_pylist()
            left = rows.staying(row for row in shown if not rows.too_old(day, row))
            stay = rows.retired(day, rows.staying(file.read().to_pylist()))
            write(root, rows.archive.name, rows.archive.run, {day: (stay, left)}, model=rows.archive.model)
        went += changed
        if progress:
            progress(number, len(days))
    return went
