"""Another monitor's database as it is read for a merge: opened whatever its state, and never changed.

The promise: its own monitor may go on. A database of an older schema, or one in a folder where SQLite may not make the files that it
needs even to read, is read from a private copy, which is gone when the reading ends.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from monitor.errors import InputError, StoreError
from monitor.store.connection import SCHEMA, TIMEOUT, Connection

BATCH = 2000
"""Posts in one bundle, and so in one transaction of the store that takes them in: others wait for it."""

FIELDS = (
    "source", "native_id", "url", "thread_id", "parent_id", "title", "text", "language", "author_key", "posted_at", "date_origin",
    "edited_at", "fetched_at", "kind", "text_hash", "looked_at", "unread", "deleted_at", "retired",
)  # fmt: skip
"""The columns of a post that go over."""

HANGING = {
    "mentions": 'team, start, "end"',
    "scores": "team, model, input_hash, negative, neutral, positive, value, label, scored_at, read_by",
    "corrections": "team, label, text_hash, note, corrected_at",
    "reviews": "team, draw_id, text_hash, probability, position, label, read_by, read_at",
    "echoes": "repost",
}
"""The tables whose rows go over with their post, and their columns behind its id."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Some posts of another store, and what hangs on each: rows by table and post."""

    posts: Sequence[sqlite3.Row]
    hanging: Mapping[str, Mapping[int, Sequence[sqlite3.Row]]]
    last: int
    """The highest posts.id that was looked at."""


class Another(Connection):
    """Reading only, but for the private copy."""

    @classmethod
    @contextlib.contextmanager
    def of_another(cls, path: Path) -> Iterator[Self]:
        """Another monitor's database; with `reading` around all that is read, one state of it.

        Raises InputError when there is none, NewerSchema for one from a newer version, StoreError for what is none of ours. A copy
        takes as much disk as the file, in the folder for temporary files ($TMPDIR).
        """
        if not path.is_file():
            raise InputError(f"{path} is not there: name the database of another monitor, as `database` in its config.yaml does")
        with contextlib.ExitStack() as stack:
            copied = stack.enter_context(_copy(path)) if _needs_copy(path) else None
            with cls(copied) if copied else cls(path, read_only=True) as store:
                yield store

    def bundles(self) -> Iterator[Bundle]:
        """All posts with what hangs on them, in the order in which they came; but those that show days of archives, which stay there."""
        last = 0
        sql = f"SELECT id, {', '.join(FIELDS)} FROM posts WHERE id > ? AND NOT archived ORDER BY id LIMIT ?"
        while posts := self.rows(sql, (last, BATCH)):
            first, last = posts[0]["id"], posts[-1]["id"]
            hanging: dict[str, dict[int, list[sqlite3.Row]]] = {}
            for table, columns in HANGING.items():
                of_post = hanging[table] = defaultdict(list)
                for row in self.rows(f"SELECT post_id, {columns} FROM {table} WHERE post_id BETWEEN ? AND ?", (first, last)):
                    of_post[row["post_id"]].append(row)
            yield Bundle(posts, hanging, last)

    def last_post(self) -> int:
        """The highest posts.id; 0: none."""
        return int(self.rows("SELECT coalesce(max(id), 0) FROM posts")[0][0])

    def forgotten_ids(self) -> set[str]:
        """What stands for the ids of posts that were forgotten here."""
        sql = "SELECT native_id FROM posts WHERE deleted_at IS NOT NULL AND NOT retired AND native_id LIKE 'hidden:%'"
        return {row[0] for row in self.rows(sql)}

    def days_read(self) -> list[sqlite3.Row]:
        """day and source of what crawls have covered; not what only archives hold, whose posts stay there."""
        return self.rows(
            """SELECT day, source FROM covered_days d
               WHERE NOT EXISTS (SELECT 1 FROM archives a, json_each(a.sources) s
                   WHERE s.value = d.source AND d.day BETWEEN a.first_day AND a.last_day)
               OR EXISTS (SELECT 1 FROM crawls c WHERE c.source = d.source AND c.finish_reason = 'finished'
                   AND d.day BETWEEN substr(c.covered_from, 1, 10) AND substr(c.covered_to, 1, 10))"""
        )

    def sources_read(self) -> list[sqlite3.Row]:
        """source, first_day and last_day of what crawls have been over."""
        return self.rows(
            """WITH archived AS (SELECT s.value AS source FROM archives a, json_each(a.sources) s)
               SELECT source, first_day, last_day FROM sources WHERE source NOT IN (SELECT source FROM archived)
               UNION ALL SELECT source, substr(min(min(started_at), coalesce(min(covered_from) FILTER (WHERE finish_reason = 'finished'),
                   min(started_at))), 1, 10), substr(max(started_at), 1, 10)
               FROM crawls WHERE source IN (SELECT source FROM archived) GROUP BY source"""
        )

    def retired_sources(self) -> list[str]:
        """The sources of posts that retention has taken the words off."""
        return [row[0] for row in self.rows("SELECT DISTINCT source FROM posts WHERE retired")]

    def authored_sources(self) -> set[str]:
        """The sources of living posts with an author."""
        return {row[0] for row in self.rows("SELECT DISTINCT source FROM posts WHERE author_key IS NOT NULL AND deleted_at IS NULL")}

    def authors(self) -> Iterator[sqlite3.Row]:
        """source, native_id, author_key, thread_id and retired of every living or retired post with an author, or without and retired."""
        with self._errors():
            yield from self.connection.execute(
                """SELECT source, native_id, author_key, thread_id, retired FROM posts
                   WHERE retired OR (deleted_at IS NULL AND author_key IS NOT NULL)"""
            )


def _needs_copy(path: Path) -> bool:
    """Whether SQLite cannot read it where it lies, or only a newer version than wrote it could."""
    try:
        with contextlib.closing(_reading(path)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            return bool(version < SCHEMA and connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone())
    except sqlite3.Error as error:
        # In WAL mode SQLite makes files beside the database even to read; any other error is told by opening it.
        return (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))


@contextlib.contextmanager
def _copy(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="forum-monitor-merge-") as folder:
        copy = Path(folder) / path.name
        try:
            try:
                with contextlib.closing(_reading(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
                    source.backup(target)
            except sqlite3.OperationalError:
                for ending in ("", "-wal"):  # nobody has it open, else SQLite could read it: the files are the whole of it
                    if (part := path.with_name(path.name + ending)).exists():
                        shutil.copyfile(part, copy.with_name(copy.name + ending))
        except OSError as error:
            raise StoreError(f"{path} cannot be copied to {folder} ({error.strerror}): free some space, or set TMPDIR") from None
        yield copy


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT)
