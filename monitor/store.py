"""The only file that speaks SQL: one SQLite database in WAL mode, short writes, and nothing half done.

Every write is one transaction that begins IMMEDIATE (a deferred one that reads first fails beside another writer
whatever the time-out) and ends whole or not at all, so that a process may be killed between any two of them. What a
write changes in a day's figures is marked in `dirty_days` in the same transaction: `trend` can never miss it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monitor.errors import Busy, InputError, NewerSchema, StoreError
from monitor.records import ALL, DailyTrend, Gone, Mention, Post, Score, clean, from_text, text_hash, to_text

SCHEMA = 1
"""The number of migrations in schema.py, which is what `PRAGMA user_version` holds in an up-to-date database."""

KEEP_RUNS = dt.timedelta(days=30)
"""How long the table `runs` remembers: `deliver` alone adds 1440 rows a day."""

TIMEOUT = 30.0
"""Seconds that a writer waits for another one."""

PURGE_AFTER = dt.timedelta(days=1)
"""How long the words of deleted and reworded posts may linger in the search index before the end of a crawl purges it."""

_TREND_COLUMNS = (
    "day, team, source, model, posts, authors, threads, sufficient, mean, low, high, "
    "negative_share, neutral_share, positive_share, variance"
)

# Thai to Khmer, and everything from the CJK radicals to Hangul: written without spaces, or with what belongs to a word
# stuck to it, so the search index, which cuts words at spaces, does not find a part of a run of them.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_READING_PRAGMAS = {"data_version", "table_info", "table_xinfo", "table_list"}  # the first is the search index's own question


def _only_reading(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """SQLite's authorizer for the user's own SQL. ATTACH and VACUUM INTO write other files, which `query_only` allows.

    A virtual table that is first used asks to update the schema, in memory; a real update of it `query_only` stops.
    """
    fine = (
        action in _READING
        or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
        or (action == sqlite3.SQLITE_FUNCTION and second != "load_extension")
        or (action == sqlite3.SQLITE_PRAGMA and first in _READING_PRAGMAS)
    )
    return sqlite3.SQLITE_OK if fine else sqlite3.SQLITE_DENY


def _utf8(text: str | None) -> str | None:
    """Text that SQLite can keep: a lone surrogate, which JSON and the command line can carry, would fail a whole batch."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


@dataclass(slots=True)
class Counts:
    """What saving a batch of posts did: each post is exactly one of these (`deleted` counts tombstones made)."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0

    def add(self, other: Counts) -> None:
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.deleted += other.deleted


@dataclass(frozen=True, slots=True)
class Unread:
    """A post that has not been understood: `thread_title` is its thread's title where its own text does not hold it."""

    id: int
    text: str
    title: str | None
    text_hash: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What understanding a post gave. `scores` maps a team to (input_hash, Score); a team without one is only a mention."""

    post_id: int
    text_hash: str
    language: str | None
    mentions: Sequence[Mention]
    scores: Mapping[str, tuple[str, Score]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alert's state machine, to be stored whole: the new state, the event if it changed, and the alert."""

    rule: str
    type: str
    team: str
    source: str
    model: str
    state: str
    since: dt.date
    checked_day: dt.date | None
    streak: int
    event: tuple[str, str, dt.date, str] | None = None
    """(before, after, day, reason) when the state changed."""
    figures: Mapping[str, float | int | str | None] | None = None
    """value, before, threshold, low, high, authors, posts of the alert that begins with this step."""
    evidence: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to go out: the outbox row, and all that the message says."""

    id: int
    target: str
    attempts: int
    event: Mapping[str, Any]
    posts: Sequence[Mapping[str, Any]]


class Store:
    """An open database. One per process and thread; use as a context manager, or call `close`.

    Raises StoreError for what cannot be opened, NewerSchema for a database from a newer version, Busy when another
    process writes for longer than TIMEOUT seconds.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        try:
            if read_only:
                if not path.exists():
                    raise StoreError(f"{path} does not exist yet: run `forum-monitor once` or `forum-monitor import` first")
                self.connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.connection = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)
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
        end = time.monotonic() + TIMEOUT
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
            return Busy(f"{self.path} is held by another process for more than {TIMEOUT:.0f} s: wait, or stop the other one")
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

    # ---- posts -------------------------------------------------------------------------------------------------

    def save_posts(self, batch: Iterable[Post | Gone]) -> Counts:
        """Insert, update or delete a batch in one transaction; the same batch again changes nothing.

        A post whose words changed is unread again and its mentions and scores count no more; one whose other fields changed
        is only brought up to date. A tombstone is never filled again, and a post that is gone before it was ever seen
        leaves one, so that the order in which two pages of a site arrive changes nothing. The last of two posts with
        one key wins. Text and title are stored as `records.clean` leaves them.
        """
        counts = Counts()
        with self.writing() as connection:
            for item in batch:
                if isinstance(item, Gone):
                    counts.deleted += self._bury(connection, item)
                else:
                    self._save_post(connection, item, counts)
        return counts

    def _save_post(self, connection: sqlite3.Connection, post: Post, counts: Counts) -> None:
        text, title = clean(post.text), clean(post.title or "") or None
        digest = text_hash(text)
        source, native_id, url, thread_id, parent_id, author = map(
            _utf8, (post.source, post.native_id, post.url, post.thread_id, post.parent_id, post.author_key)
        )
        posted_at = to_text(post.posted_at)
        edited_at = to_text(post.edited_at) if post.edited_at else None
        cursor = connection.execute(
            """INSERT INTO posts (source, native_id, url, thread_id, parent_id, title, text, language, author_key, posted_at,
                date_origin, edited_at, fetched_at, kind, text_hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING""",
            (source, native_id, url, thread_id, parent_id, title, text, _utf8(post.language), author, posted_at,
             post.date_origin, edited_at, to_text(post.fetched_at), post.kind, digest),
        )  # fmt: skip
        if cursor.rowcount:
            counts.new += 1
            return
        old = connection.execute(
            """SELECT id, text_hash, deleted_at, posted_at, date_origin, author_key, thread_id, title, url, kind, edited_at, parent_id
               FROM posts WHERE source = ? AND native_id = ?""",
            (source, native_id),
        ).fetchone()
        if old["deleted_at"]:
            counts.unchanged += 1
            return
        if post.date_origin == "fetched":  # a time of fetching never replaces what is known, and does not move
            posted_at, date_origin = old["posted_at"], old["date_origin"]
        else:
            date_origin = post.date_origin
        fields = {
            "url": url,
            "thread_id": thread_id or old["thread_id"],
            "parent_id": parent_id or old["parent_id"],
            "title": title or old["title"],
            "author_key": author or old["author_key"],
            "posted_at": posted_at,
            "date_origin": date_origin,
            "edited_at": edited_at or old["edited_at"],
            "kind": post.kind,
        }
        reworded = digest != old["text_hash"]
        if not reworded and all(fields[name] == old[name] for name in fields):
            counts.unchanged += 1
            return
        self._mark_dirty(connection, old["id"])
        if reworded:
            connection.execute("DELETE FROM mentions WHERE post_id = ?", (old["id"],))
            # The shown model's scores stay until the new words are read, and count nowhere (unread = 2): what it is
            # to read of the new words is often what it has read already.
            connection.execute("DELETE FROM scores WHERE post_id = ? AND model <> ?", (old["id"], self.model))
            self._note_leftovers(connection)
        connection.execute(
            """UPDATE posts SET url = :url, thread_id = :thread_id, parent_id = :parent_id, title = :title, author_key = :author_key,
                posted_at = :posted_at, date_origin = :date_origin, edited_at = :edited_at, kind = :kind, text = :text,
                text_hash = :digest, fetched_at = :fetched_at, language = CASE WHEN :reworded THEN :language ELSE language END,
                unread = CASE WHEN :reworded THEN 2 WHEN unread THEN unread ELSE title IS NOT :title END WHERE id = :id""",
            {
                **fields,
                "text": text,
                "digest": digest,
                "fetched_at": to_text(post.fetched_at),
                "reworded": reworded,
                "language": _utf8(post.language),
                "id": old["id"],
            },
        )
        self._mark_dirty(connection, old["id"])
        counts.changed += 1

    def _bury(self, connection: sqlite3.Connection, gone: Gone) -> int:
        key, now = (_utf8(gone.source), _utf8(gone.native_id)), to_text(dt.datetime.now(dt.UTC))
        row = connection.execute("SELECT id, deleted_at FROM posts WHERE source = ? AND native_id = ?", key).fetchone()
        if row is None:
            connection.execute(
                """INSERT INTO posts (source, native_id, url, text, posted_at, date_origin, fetched_at, kind, text_hash, unread, deleted_at)
                   VALUES (?, ?, '', '', ?, 'fetched', ?, 'voice', '', 0, ?)""",
                (*key, now, now, now),
            )
        if row is None or row["deleted_at"]:
            return 0
        self._mark_dirty(connection, row["id"])
        for table in ("mentions", "scores", "alert_posts"):
            connection.execute(f"DELETE FROM {table} WHERE post_id = ?", (row["id"],))
        connection.execute(  # the address goes too: many hold the title
            """UPDATE posts SET url = '', text = '', title = NULL, author_key = NULL, language = NULL, text_hash = '', unread = 0,
               deleted_at = ? WHERE id = ?""",
            (now, row["id"]),
        )
        self._note_leftovers(connection)
        return 1

    @staticmethod
    def _note_leftovers(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('leftovers', ?)", (to_text(dt.datetime.now(dt.UTC)),))

    def purge(self) -> bool:
        """Rid the search index and the files of the words that deleted and reworded posts left there.

        SQLite's index keeps a removed word until it next merges the part that holds it; this merges all, at about 3 s
        per million posts. The end of a crawl does it when the oldest leftover is older than PURGE_AFTER. Returns False when a
        reader still needs the write-ahead log: the next purge will finish.
        """
        with self.writing() as connection:
            connection.execute("INSERT INTO posts_fts (posts_fts) VALUES ('optimize')")
        with self._errors():
            self.connection.execute("PRAGMA busy_timeout = 1000")  # a reader may take minutes, and nothing here is urgent
            try:
                busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {TIMEOUT * 1000:.0f}")
        if busy:
            return False
        with self.writing() as connection:
            connection.execute("DELETE FROM meta WHERE key = 'leftovers'")
        return True

    @staticmethod
    def _mark_dirty(connection: sqlite3.Connection, post_id: int) -> None:
        connection.execute(
            """INSERT INTO dirty_days SELECT DISTINCT substr(p.posted_at, 1, 10), s.team, 1 FROM scores s JOIN posts p ON p.id = s.post_id
               WHERE p.id = ? ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
            (post_id,),
        )

    def recent(self, source: str, since: dt.datetime) -> list[tuple[str, str, dt.datetime]]:
        """(native_id, thread_id or "", posted_at) of a source's living posts from `since` on, newest first: what to refresh."""
        rows = self.rows(  # "+" keeps SQLite from reading all posts of the source by the index over its ids
            """SELECT native_id, thread_id, posted_at FROM posts WHERE +source = ? AND posted_at >= ? AND deleted_at IS NULL
               ORDER BY posted_at DESC""",
            (source, to_text(since)),
        )
        return [(row[0], row[1] or "", from_text(row[2])) for row in rows]

    # ---- understanding -----------------------------------------------------------------------------------------

    def read_by(self, reader: str, model: str) -> int:
        """Tell which reader (model and team definitions) reads from now on. Another than before makes every post unread.

        `model` is the name@revision whose scores and trends are shown from now on.

        Returns the number of posts that became unread.
        """
        with self.writing() as connection:
            if self.fact("reader") == reader:
                return 0
            count = connection.execute("UPDATE posts SET unread = 1 WHERE deleted_at IS NULL AND NOT unread").rowcount
            self._set_fact(connection, "reader", reader)
            self._set_fact(connection, "model", model)
            return count

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

    def unread_count(self) -> int:
        """How many posts wait to be understood."""
        return int(self.rows("SELECT count(*) FROM posts WHERE unread")[0][0])

    def unread(self, limit: int) -> list[Unread]:
        """Posts to be understood, newest first."""
        rows = self.rows("SELECT id, text, title, text_hash FROM posts WHERE unread ORDER BY posted_at DESC LIMIT ?", (limit,))
        return [Unread(*row) for row in rows]

    def known_scores(self, model: str, input_hashes: Sequence[str]) -> dict[str, Score]:
        """Scores that the model has already given to exactly these inputs, by input hash."""
        found: dict[str, Score] = {}
        for start in range(0, len(input_hashes), 500):
            part = input_hashes[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in self.rows(
                f"SELECT input_hash, negative, neutral, positive FROM scores WHERE model = ? AND input_hash IN ({marks})", (model, *part)
            ):
                found[row[0]] = Score(model, row[1], row[2], row[3])
        return found

    @property
    def model(self) -> str:
        """name@revision of the model whose scores are shown; empty before the first post was understood."""
        return self.fact("model") or ""

    def save_readings(self, readings: Iterable[Reading], *, model: str, at: dt.datetime) -> int:
        """Store what `model` understood, in one transaction. Returns how many posts that were.

        A post whose words changed meanwhile is left unread. Scores that another model gave to these words are kept beside.
        """
        stored = 0
        with self.writing() as connection:
            for reading in readings:
                row = connection.execute(
                    "SELECT unread FROM posts WHERE id = ? AND text_hash = ? AND deleted_at IS NULL", (reading.post_id, reading.text_hash)
                ).fetchone()
                if row is None:
                    continue
                self._mark_dirty(connection, reading.post_id)
                connection.execute("DELETE FROM mentions WHERE post_id = ?", (reading.post_id,))
                connection.execute("DELETE FROM scores WHERE post_id = ? AND (model = ? OR ? = 2)", (reading.post_id, model, row["unread"]))
                connection.executemany(
                    "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?, ?)",
                    [(reading.post_id, m.team, m.start, m.end) for m in reading.mentions],
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (reading.post_id, team, s.model, digest, s.negative, s.neutral, s.positive, s.value, s.label, to_text(at))
                        for team, (digest, s) in reading.scores.items()
                    ],
                )
                connection.execute(
                    "UPDATE posts SET unread = 0, language = coalesce(?, language) WHERE id = ?", (reading.language, reading.post_id)
                )
                self._mark_dirty(connection, reading.post_id)
                stored += 1
        return stored

    # ---- trends ------------------------------------------------------------------------------------------------

    def dirty_days(self) -> dict[tuple[str, str], int]:
        """(day, team) whose trend has to be computed anew, with the number of marks seen (see `replace_trends`)."""
        return {(row[0], row[1]): row[2] for row in self.rows("SELECT day, team, marks FROM dirty_days")}

    def voices(self, first: dt.date, last: dt.date, *, team: str | None = None) -> list[tuple[str, str, str, str, str, str, str, float]]:
        """What employees' voices said on the UTC days `first`..`last`: one row per (post, team, model).

        Each is (day, team, source, model, voice, thread, label, value). `voice` is the author's key; a post without a
        known author shares one voice with the others of its thread, since nothing says that they are different people.
        Press is left out. Ordered by post, so that sums are the same at every run.
        """
        return [
            tuple(row)
            for row in self.rows(
                """SELECT substr(p.posted_at, 1, 10), s.team, p.source, s.model,
                    coalesce(p.author_key, 'thread:' || p.source || ':' || coalesce(p.thread_id, p.native_id)),
                    p.source || ':' || coalesce(p.thread_id, p.native_id), s.label, s.value
                FROM posts p JOIN scores s ON s.post_id = p.id
                WHERE p.posted_at >= ? AND p.posted_at < ? AND p.kind <> 'press' AND p.deleted_at IS NULL AND p.unread < 2
                AND (? IS NULL OR s.team = ?)
                ORDER BY p.posted_at, p.source, p.native_id""",
                (first.isoformat(), f"{last}T24", team, team),
            )
        ]

    def replace_trends(self, done: Mapping[tuple[str, str], int], trends: Iterable[DailyTrend]) -> None:
        """Put `trends` in place of all rows of the (day, team) pairs in `done`, in one transaction.

        A pair stays dirty when it was marked again since `done` was read from `dirty_days`.
        """
        with self.writing() as connection:
            connection.executemany("DELETE FROM daily_trends WHERE day = ? AND team = ?", list(done))
            connection.executemany(
                "DELETE FROM dirty_days WHERE day = ? AND team = ? AND marks <= ?", [(*pair, marks) for pair, marks in done.items()]
            )
            connection.executemany(
                f"INSERT INTO daily_trends ({_TREND_COLUMNS}) VALUES ({','.join('?' * 15)})",
                [
                    (t.day.isoformat(), t.team, t.source, t.model, t.posts, t.authors, t.threads, t.sufficient, t.mean, t.low, t.high,
                     t.negative_share, t.neutral_share, t.positive_share, t.variance)
                    for t in trends
                ],
            )  # fmt: skip

    def mark_all_dirty(self) -> None:
        """Mark every (day, team) that has scores or trends, so that the next `trend` builds everything anew."""
        with self.writing() as connection:
            connection.execute(
                """INSERT INTO dirty_days SELECT DISTINCT substr(p.posted_at, 1, 10), s.team, 1 FROM scores s
                   JOIN posts p ON p.id = s.post_id
                   UNION SELECT DISTINCT day, team, 1 FROM daily_trends WHERE true
                   ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1"""
            )

    def trends(self, *, team: str | None = None, source: str | None = None, model: str, since: dt.date | None = None) -> list[DailyTrend]:
        """Stored daily trends by team, source and day. Days without a post have no row."""
        rows = self.rows(
            f"""SELECT {_TREND_COLUMNS} FROM daily_trends WHERE model = ? AND (? IS NULL OR team = ?) AND (? IS NULL OR source = ?)
                AND day >= ? ORDER BY team, source, day""",
            (model, team, team, source, source, since.isoformat() if since else ""),
        )
        return [
            DailyTrend(**{**dict(row), "day": dt.date.fromisoformat(row["day"]), "sufficient": bool(row["sufficient"])}) for row in rows
        ]

    def volumes(self, source: str, model: str, since: dt.date) -> list[DailyTrend]:
        """Posts, authors and threads per day of one source, whatever they are about (team `*`); figures are None."""
        rows = self.rows(
            """SELECT substr(posted_at, 1, 10), count(*), count(DISTINCT coalesce(author_key, thread_id, native_id)),
                count(DISTINCT coalesce(thread_id, native_id)) FROM posts
               WHERE +source = ? AND posted_at >= ? AND deleted_at IS NULL GROUP BY 1 ORDER BY 1""",
            (source, since.isoformat()),
        )
        return [DailyTrend(dt.date.fromisoformat(row[0]), ALL, source, model, row[1], row[2], row[3], False) for row in rows]

    # ---- alerts ------------------------------------------------------------------------------------------------

    def alert_states(self) -> dict[tuple[str, str, str], sqlite3.Row]:
        """Where each (rule, team, source) stands: state, since, checked_day, streak, alert_id."""
        return {(row["rule"], row["team"], row["source"]): row for row in self.rows("SELECT * FROM alert_states")}

    def evidence(self, team: str, source: str, model: str, first: dt.date, last: dt.date) -> list[dict[str, Any]]:
        """Scored posts of these days about a team: id, posted_at, source, thread_id, author_key, value, label, text length."""
        rows = self.rows(
            """SELECT p.id, p.posted_at, p.source, p.thread_id, p.author_key, s.value, s.label, length(p.text) AS length FROM posts p
               JOIN scores s ON s.post_id = p.id WHERE s.team = ? AND s.model = ? AND (? = '*' OR p.source = ?)
               AND p.posted_at >= ? AND p.posted_at < ? AND p.kind <> 'press' AND p.deleted_at IS NULL AND p.unread < 2
               ORDER BY p.posted_at, p.id""",
            (team, model, source, source, first.isoformat(), f"{last}T24"),
        )
        return [dict(row) for row in rows]

    def save_steps(self, steps: Iterable[Step], *, targets: Sequence[str], at: dt.datetime) -> list[int]:
        """Store steps of alert state machines, in one transaction; returns the ids of events that people will be told of.

        A change to firing makes the alert and one delivery per target; a change to resolved ends it and makes one
        delivery per target that the firing went to.
        """
        told = []
        with self.writing() as connection:
            for step in steps:
                key = (step.rule, step.team, step.source)
                old = connection.execute("SELECT alert_id FROM alert_states WHERE rule = ? AND team = ? AND source = ?", key).fetchone()
                alert_id = old["alert_id"] if old else None
                if step.event:
                    before, after, day, reason = step.event
                    if after == "firing":
                        alert_id = self._open_alert(connection, step, day, reason, at)
                    elif after == "resolved":
                        connection.execute(
                            "UPDATE alerts SET state = 'resolved', resolved_at = ?, resolved_day = ? WHERE id = ?",
                            (to_text(at), day.isoformat(), alert_id),
                        )
                    event_id = connection.execute(
                        """INSERT INTO alert_events (rule, team, source, alert_id, "before", "after", day, at, reason)
                           VALUES (?,?,?,?,?,?,?,?,?)""",
                        (*key, alert_id if after in ("firing", "resolved") else None, before, after, day.isoformat(), to_text(at), reason),
                    ).lastrowid
                    if after in ("firing", "resolved"):
                        told.append(int(event_id or 0))
                        self._enqueue(connection, int(event_id or 0), alert_id, after, targets, at)
                connection.execute(
                    "INSERT OR REPLACE INTO alert_states VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *key,
                        step.state,
                        step.since.isoformat(),
                        step.checked_day.isoformat() if step.checked_day else None,
                        step.streak,
                        alert_id,
                    ),
                )
        return told

    @staticmethod
    def _open_alert(connection: sqlite3.Connection, step: Step, day: dt.date, reason: str, at: dt.datetime) -> int:
        figures = step.figures or {}
        alert_id = connection.execute(
            """INSERT INTO alerts (rule, type, team, source, model, state, day, fired_at, value, "before", threshold, low, high,
                authors, posts, reason) VALUES (?, ?, ?, ?, ?, 'firing', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (step.rule, step.type, step.team, step.source, step.model, day.isoformat(), to_text(at),
             *(figures.get(name) for name in ("value", "before", "threshold", "low", "high", "authors", "posts")), reason),
        ).lastrowid  # fmt: skip
        connection.executemany("INSERT INTO alert_posts VALUES (?, ?, ?)", [(alert_id, n, post) for n, post in enumerate(step.evidence)])
        return int(alert_id or 0)

    @staticmethod
    def _enqueue(
        connection: sqlite3.Connection, event_id: int, alert_id: int | None, after: str, targets: Sequence[str], at: dt.datetime
    ) -> None:
        told = {
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT target FROM deliveries d JOIN alert_events e ON e.id = d.event_id WHERE e.alert_id = ?", (alert_id,)
            )
        }
        for target in targets:
            if after == "firing" or target in told:
                connection.execute(
                    "INSERT INTO deliveries (event_id, target, state, created_at, next_attempt_at) VALUES (?, ?, 'due', ?, ?)",
                    (event_id, target, to_text(at), to_text(at)),
                )

    # ---- deliveries --------------------------------------------------------------------------------------------

    def due(self, at: dt.datetime) -> list[Due]:
        """Messages to be sent now, oldest first: those due, and those that a killed process had begun to send.

        The end of an alert waits behind its beginning while that waits for its next attempt at the same target.
        """
        found = []
        for row in self.rows(
            """SELECT d.id, d.target, d.attempts, d.event_id FROM deliveries d JOIN alert_events e ON e.id = d.event_id
               WHERE d.state IN ('due', 'sending') AND d.next_attempt_at <= :at AND NOT EXISTS (
                   SELECT 1 FROM deliveries waiting JOIN alert_events earlier ON earlier.id = waiting.event_id
                   WHERE earlier.alert_id = e.alert_id AND earlier.id < e.id AND waiting.target = d.target
                   AND waiting.state IN ('due', 'sending') AND waiting.next_attempt_at > :at)
               ORDER BY d.event_id, d.id""",
            {"at": to_text(at)},
        ):
            event = self.rows(
                """SELECT e.id AS event_id, e."after" AS state, e.day AS event_day, e.at, e.reason AS event_reason, a.*
                   FROM alert_events e JOIN alerts a ON a.id = e.alert_id WHERE e.id = ?""",
                (row["event_id"],),
            )[0]
            posts = self.alert_posts(event["id"])
            found.append(Due(row["id"], row["target"], row["attempts"], {**dict(event), "state": event["state"]}, posts))
        return found

    def alert_posts(self, alert_id: int) -> list[dict[str, Any]]:
        """The living posts that show an alert: url, text, posted_at, source, label, value."""
        rows = self.rows(
            """SELECT p.url, p.text, p.posted_at, p.source, s.label, s.value FROM alert_posts x JOIN alerts a ON a.id = x.alert_id
               JOIN posts p ON p.id = x.post_id AND p.deleted_at IS NULL
               LEFT JOIN scores s ON s.post_id = p.id AND s.team = a.team AND s.model = a.model AND p.unread < 2
               WHERE x.alert_id = ? ORDER BY x.position""",
            (alert_id,),
        )
        return [dict(row) for row in rows]

    def begin_delivery(self, delivery_id: int) -> None:
        """Note that a message is about to leave; until `end_delivery`, a restart cannot tell whether it did."""
        with self.writing() as connection:
            connection.execute("UPDATE deliveries SET state = 'sending', attempts = attempts + 1 WHERE id = ?", (delivery_id,))

    def end_delivery(
        self, delivery_id: int, *, sent_at: dt.datetime | None, error: str | None = None, again_at: dt.datetime | None = None
    ) -> None:
        """Note how it ended: sent, to be tried `again_at`, or (neither) given up."""
        state = "sent" if sent_at else "due" if again_at else "failed"
        with self.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, sent_at = ?, error = ?, next_attempt_at = ? WHERE id = ?",
                (state, to_text(sent_at) if sent_at else None, error, to_text(again_at) if again_at else None, delivery_id),
            )

    # ---- crawls and runs ---------------------------------------------------------------------------------------

    def cursor(self, source: str) -> dict[str, Any]:
        """What the source's last crawl that kept a cursor left for the next one; empty at first."""
        rows = self.rows("SELECT cursor FROM crawls WHERE source = ? AND cursor IS NOT NULL ORDER BY id DESC LIMIT 1", (source,))
        return dict(json.loads(rows[0][0])) if rows else {}

    def begin_crawl(self, source: str, at: dt.datetime) -> int:
        """A new row in `crawls`; one of this source that never ended was killed, and is closed as such."""
        with self.writing() as connection:
            connection.execute(
                """UPDATE crawls SET ended_at = ?, finish_reason = 'killed', message = 'the process ended without a word'
                   WHERE source = ? AND ended_at IS NULL""",
                (to_text(at), source),
            )
            day = to_text(at)[:10]
            connection.execute(
                "INSERT INTO sources VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET last_day = max(last_day, excluded.last_day)",
                (source, day, day),
            )
            return int(connection.execute("INSERT INTO crawls (source, started_at) VALUES (?, ?)", (source, to_text(at))).lastrowid or 0)

    def end_crawl(
        self,
        crawl_id: int,
        at: dt.datetime,
        *,
        finish_reason: str,
        counts: Counts,
        rejected: int = 0,
        requests: int = 0,
        cursor: Mapping[str, Any] | None = None,
        covered: tuple[dt.datetime, dt.datetime] | None = None,
        message: str = "",
    ) -> None:
        """Close a crawl. `cursor` is kept for the next one when given; `covered` is the span of post times that it read whole.

        What deleted and reworded posts left in the search index is purged once it is older than PURGE_AFTER.
        """
        with self.writing() as connection:
            row = connection.execute("SELECT source FROM crawls WHERE id = ?", (crawl_id,)).fetchone()
            connection.execute(
                """UPDATE crawls SET ended_at = ?, finish_reason = ?, new = ?, changed = ?, unchanged = ?, deleted = ?, rejected = ?,
                    requests = ?, cursor = ?, covered_from = ?, covered_to = ?, message = ? WHERE id = ?""",
                (
                    to_text(at), finish_reason, counts.new, counts.changed, counts.unchanged, counts.deleted, rejected, requests,
                    json.dumps(cursor) if cursor is not None else None,
                    to_text(covered[0]) if covered else None, to_text(covered[1]) if covered else None, _utf8(message[:500]), crawl_id,
                ),
            )  # fmt: skip
            if covered and finish_reason == "finished":
                first, last = (moment.astimezone(dt.UTC).date() for moment in covered)
                days = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
                connection.executemany("INSERT OR IGNORE INTO covered_days VALUES (?, ?)", [(day, row["source"]) for day in days])
                connection.execute("UPDATE sources SET first_day = min(first_day, ?) WHERE source = ?", (first.isoformat(), row["source"]))
        leftovers = self.fact("leftovers")
        if leftovers and dt.datetime.now(dt.UTC) - from_text(leftovers) > PURGE_AFTER:
            self.purge()

    def begin_run(self, step: str, source: str, at: dt.datetime) -> int:
        """A new row in `runs`; an earlier one of the same step that never ended was killed. Rows are kept for KEEP_RUNS."""
        with self.writing() as connection:
            kept_from = to_text(at - KEEP_RUNS)
            connection.execute("DELETE FROM runs WHERE step = ? AND source = ? AND started_at < ?", (step, source, kept_from))
            connection.execute(
                "UPDATE runs SET ended_at = ?, outcome = 'killed' WHERE step = ? AND source = ? AND ended_at IS NULL",
                (to_text(at), step, source),
            )
            row = (step, source, to_text(at))
            return int(connection.execute("INSERT INTO runs (step, source, started_at) VALUES (?, ?, ?)", row).lastrowid or 0)

    def end_run(self, run_id: int, at: dt.datetime, *, outcome: str, message: str = "") -> None:
        """Close a run: outcome is ok, failed, timed out or stopped."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, outcome = ?, message = ? WHERE id = ?", (to_text(at), outcome, _utf8(message[:500]), run_id)
            )

    def last_runs(self) -> dict[tuple[str, str], dt.datetime]:
        """When each (step, source) last began."""
        rows = self.rows("SELECT step, source, max(started_at) FROM runs GROUP BY step, source")
        return {(row[0], row[1]): from_text(row[2]) for row in rows}

    def last_crawls(self) -> dict[str, sqlite3.Row]:
        """The newest crawl of each source."""
        return {row["source"]: row for row in self.rows("SELECT * FROM crawls WHERE id IN (SELECT max(id) FROM crawls GROUP BY source)")}

    # ---- reading -----------------------------------------------------------------------------------------------

    def posts(self, team: str, *, since: dt.date | None = None, label: str | None = None, source: str | None = None,
              search: str | None = None, limit: int = 50) -> list[dict[str, Any]]:  # fmt: skip
        """Posts about a team, newest first: what v_posts says of them."""
        sql = "SELECT * FROM v_posts WHERE team = :team AND model = :model"
        if since:
            sql += " AND posted_at >= :since"
        if label:
            sql += " AND label = :label"
        if source:
            sql += " AND source = :source"
        parameters = {"team": team, "model": self.model, "since": since.isoformat() if since else None, "label": label, "source": source}
        indexed = []
        for number, word in enumerate(clean(search or "")[:200].split()):
            if _UNSPACED.search(word) or not any(character.isalnum() for character in word):
                sql += f" AND text LIKE :word{number} ESCAPE '\\'"
                parameters[f"word{number}"] = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
            else:
                indexed.append('"' + word.replace('"', '""') + '"')
        if indexed:
            sql += " AND id IN (SELECT rowid FROM posts_fts WHERE posts_fts MATCH :match)"
            parameters["match"] = " ".join(indexed)
        sql += " ORDER BY posted_at DESC, id DESC LIMIT :limit"
        return [dict(row) for row in self.rows(sql, {**parameters, "limit": limit})]

    def query(self, sql: str, limit: int = 10_000, seconds: float = 60.0) -> list[dict[str, Any]]:
        """The user's own SQL: at most `limit` rows, read-only whatever it says, stopped after `seconds`.

        InputError tells what SQLite made of it.
        """
        end = time.monotonic() + seconds
        self.connection.execute("PRAGMA query_only = ON")
        self.connection.set_authorizer(_only_reading)
        self.connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        try:
            with contextlib.closing(self.connection.execute(sql)) as cursor:
                return [dict(row) for row in cursor.fetchmany(limit)]
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            name = getattr(error, "sqlite_errorname", "")
            if name == "SQLITE_AUTH":
                raise InputError("the query would do more than read, which `query` never does: write one SELECT") from None
            if name == "SQLITE_INTERRUPT":
                raise InputError(f"the query was stopped after {seconds:g} s: narrow it, for example to a range of days") from None
            raise InputError(f"the query failed: {error}; tables and views are listed by `forum-monitor query --tables`") from None
        finally:
            self.connection.set_authorizer(None)
            self.connection.set_progress_handler(None, 0)
            self.connection.execute("PRAGMA query_only = OFF")

    def describe(self) -> list[dict[str, Any]]:
        """Every table and view: its columns, and what they mean."""
        from monitor.schema import DESCRIPTIONS

        return [
            {"name": name, "columns": ", ".join(row["name"] for row in self.rows(f"PRAGMA table_info({name})")), "meaning": meaning}
            for name, meaning in DESCRIPTIONS.items()
        ]

    def daily(self, team: str, first: str, last: str) -> list[dict[str, Any]]:
        """v_daily of a team over all sources by the model in use, newest first; days are ISO text, both included."""
        rows = self.rows(
            "SELECT * FROM v_daily WHERE team = ? AND source = '*' AND model = ? AND day BETWEEN ? AND ? ORDER BY day DESC",
            (team, self.model, first, last),
        )
        return [dict(row) for row in rows]

    def team_alerts(self, team: str, limit: int = 5) -> list[dict[str, Any]]:
        """v_alerts of a team, newest first."""
        return [dict(row) for row in self.rows("SELECT * FROM v_alerts WHERE team = ? ORDER BY id DESC LIMIT ?", (team, limit))]

    def firing_teams(self) -> dict[str, list[str]]:
        """The rules that are firing now, by team."""
        found: dict[str, list[str]] = {}
        for row in self.rows("SELECT team, rule FROM alerts WHERE state = 'firing' ORDER BY id"):
            found.setdefault(row[0], []).append(row[1])
        return found

    def coverage(self, first: dt.date, last: dt.date) -> float | None:
        """The share in [0, 1] of the source days in `first`..`last` that a finished crawl has read; None when none was crawled."""
        row = self.rows(
            """WITH RECURSIVE days (day) AS (SELECT ? UNION ALL SELECT date(day, '+1 day') FROM days WHERE day < ?)
               SELECT avg(EXISTS (SELECT 1 FROM covered_days c WHERE c.day = days.day AND c.source = s.source))
               FROM days JOIN sources s ON days.day BETWEEN s.first_day AND s.last_day""",
            (first.isoformat(), last.isoformat()),
        )[0]
        return None if row[0] is None else float(row[0])

    def counts(self) -> str:
        """A few words on how much is stored."""
        row = self.rows("SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FILTER (WHERE unread) FROM posts")[0]
        return f"{row[0]} posts, {row[1]} of them not yet understood"

    def outbox(self) -> tuple[int, int]:
        """Messages that wait to be sent, and messages that were given up."""
        row = self.rows(
            "SELECT count(*) FILTER (WHERE state IN ('due', 'sending')), count(*) FILTER (WHERE state = 'failed') FROM deliveries"
        )[0]
        return int(row[0]), int(row[1])

    def check(self) -> list[str]:
        """What is wrong with the database, by SQLite's own examination; empty when it is sound."""
        found = [str(row[0]) for row in self.rows("PRAGMA quick_check") if row[0] != "ok"]
        return found + [f"{row[0]} row {row[1]} refers to a missing {row[2]}" for row in self.rows("PRAGMA foreign_key_check")]

    def snapshot(self) -> str:
        """A digest of everything that is the store's meaning and not the time of writing: two equal stores have equal snapshots."""
        digest = hashlib.sha256()
        for sql in (
            """SELECT source, native_id, url, thread_id, parent_id, title, text, language, author_key,
                CASE WHEN deleted_at IS NULL THEN posted_at END, kind FROM posts ORDER BY 1, 2""",
            """SELECT p.source, p.native_id, m.team, m.start, m."end" FROM mentions m JOIN posts p ON p.id = m.post_id
               ORDER BY 1, 2, 4, 3""",
            """SELECT p.source, p.native_id, s.team, s.model, s.input_hash, round(s.value, 4) FROM scores s
               JOIN posts p ON p.id = s.post_id ORDER BY 1, 2, 3, 4""",
            "SELECT day, team, source, model, posts, authors, threads, sufficient, round(mean, 4) FROM daily_trends ORDER BY 1, 2, 3, 4",
            'SELECT rule, team, source, "before", "after", day FROM alert_events ORDER BY 1, 2, 3, 6, 5',
            """SELECT target, d.state, e.rule, e.team, e.day FROM deliveries d JOIN alert_events e ON e.id = d.event_id
               ORDER BY 1, 3, 4, 5, 2""",
        ):
            for row in self.rows(sql):
                digest.update(repr(tuple(row)).encode("utf-8", "replace"))
        return digest.hexdigest()
