"""One connection to the database: opened, brought up to date, written in whole transactions, its errors as sentences."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monitor.errors import Busy, NewerSchema, StoreError

SCHEMA = 15
"""The number of migrations in schema.py, which is what `PRAGMA user_version` holds in an up-to-date database."""

TIMEOUT = 30.0
"""Seconds that a writer waits for another one, unless it is opened with another `timeout`."""


def storable(text: str | None) -> str | None:
    """Text that SQLite can keep: a lone surrogate, which JSON and the command line can carry, would fail a whole batch."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class Connection:
    """An open SQLite file, as every subject of the store uses it. See `monitor.store.Store`."""

    def __init__(self, path: Path, *, read_only: bool = False, timeout: float = TIMEOUT) -> None:
        self.path, self.timeout = path, timeout
        try:
            if read_only:
                if not path.exists():
                    raise StoreError(f"{path} does not exist yet: run `forum-monitor once` or `forum-monitor import` first")
                self.connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
            self.connection.row_factory = sqlite3.Row
            with self._errors():
                self._prepare(read_only)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened ({error.strerror}): check the folder and its permissions") from None
        except sqlite3.Error as error:
            raise self._sentence(error) from None
        except BaseException:
            with contextlib.suppress(AttributeError):
                self.connection.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        found = int(self.connection.execute("PRAGMA user_version").fetchone()[0])
        tables = {row[0] for row in self.connection.execute("SELECT name FROM sqlite_master")}
        if tables and not tables >= {"_sqlite_migrations", "posts", "daily_trends"}:
            raise StoreError(f"{self.path} is a database of another program: name another file under `database` in config.yaml")
        if found > SCHEMA:
            raise NewerSchema(
                f"{self.path} was written by a newer version of forum-monitor (its schema is {found}, this program knows {SCHEMA}): "
                "upgrade with `pip install --upgrade employee-forum-monitor`, or name another database in config.yaml"
            )
        if read_only:
            if found < SCHEMA:
                raise StoreError(f"{self.path} is empty or from an older version: `forum-monitor doctor` brings it up to date")
            return
        self._write_ahead()
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, not only unlinked
        self.connection.execute("PRAGMA foreign_keys = ON")
        if found < SCHEMA:
            from monitor import schema  # here, since sqlite-utils brings in pandas: 50 MB that the idle daemon would carry

            with self.writing() as connection:
                schema.migrate(connection)

    def _write_ahead(self) -> None:
        """Turn to WAL mode. Of two processes that do so on a fresh file, SQLite fails one at once, whatever the time-out."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was written is written."""
        self.connection.close()

    def _sentence(self, error: sqlite3.Error) -> StoreError:
        """SQLite's words in ours: what to do about it."""
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Busy(f"{self.path} is held by another process for more than {self.timeout:.0f} s: wait, or stop the other one")
        if name.startswith("SQLITE_INTERRUPT"):
            return StoreError("that took too long to gather: ask for less, such as fewer days")
        if name.startswith("SQLITE_FULL"):
            return StoreError(
                f"no space is left on the disk of {self.path}: free some; everything stored before is intact and the step can run again"
            )
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return StoreError(
                f"{self.path} cannot be written: check that the file, its folder and its disk are writable by this user "
                "(SQLite needs that even to read)"
            )
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return StoreError(f"{self.path} is not a sound SQLite database: restore it from a backup, or name another file in config.yaml")
        if name.startswith("SQLITE_IOERR"):
            return StoreError(f"{self.path} cannot be read or written ({name}): check its disk")
        return StoreError(f"{self.path}: {error}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._sentence(error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that takes the write lock at once and is rolled back whole on any error. It may be nested."""
        with self._errors():
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of a statement of this file or of a test."""
        with self._errors():
            return self.connection.execute(sql, parameters).fetchall()

    def fact(self, key: str) -> str | None:
        """A fact on the database itself (table `meta`)."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def set_fact(self, key: str, value: str) -> None:
        """Note a fact on the database itself."""
        with self.writing() as connection:
            self._set_fact(connection, key, value)

    @staticmethod
    def _set_fact(connection: sqlite3.Connection, key: str, value: str) -> None:
        connection.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    @property
    def model(self) -> str:
        """name@revision of the model whose scores are shown; empty before the first post was understood."""
        return self.fact("model") or ""

    @staticmethod
    def _mark_dirty(connection: sqlite3.Connection, post_id: int, team: str | None = None) -> None:
        """The post's day is to be computed anew, for one team or for all that it has scores toward."""
        connection.execute(
            """INSERT INTO dirty_days SELECT DISTINCT substr(p.posted_at, 1, 10), s.team, 1 FROM scores s JOIN posts p ON p.id = s.post_id
               WHERE p.id = ? AND (? IS NULL OR s.team = ?) ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
            (post_id, team, team),
        )

    @staticmethod
    def _mark_beside(connection: sqlite3.Connection, source: str | None, day: str) -> None:
        """What archives that hold this source have of a UTC day (ISO text) is to be computed anew: a post came that they may hold too."""
        connection.execute(
            """INSERT INTO dirty_days SELECT t.day, t.team, 1 FROM archived_sources s JOIN archived_teams t USING (day, archive)
               WHERE s.day = ? AND s.source = ? ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
            (day, source),
        )
