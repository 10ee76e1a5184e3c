"""Questions of people: posts by words, their own SQL, figures with coverage, the state of the store."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import re
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from monitor.errors import InputError
from monitor.glossary import DESCRIPTIONS
from monitor.records import clean
from monitor.store.connection import Connection
from monitor.store.corrections import CORRECTED, LABEL, VALUE
from monitor.store.echoes import OWN_WORDS
from monitor.store.posts import hidden_id
from monitor.store.trends import VOICES

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


EXAMINED = 20_000
"""Posts that one page of a search goes through at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which posts about a team: of the UTC days `first`..`last`, of one label, source and language, with all of these words."""

    first: dt.date | None = None
    last: dt.date | None = None
    label: str | None = None
    source: str | None = None
    language: str | None = None
    words: str = ""


class Place(NamedTuple):
    """A place in the order of posts: the time of one, and its id.

    Behind the store's posts of a second come those of archives, which have no ids: `skip` is how many of them are before the place.
    """

    at: str
    id: int
    skip: int = 0


_NEWEST = Place("a", 0)
"""Before every post: a letter stands after the digits of any year."""


def _words(search: str, prefix: str = "") -> tuple[str, str, dict[str, str]]:
    """Words as a query of the search index, as conditions of SQL on the text (of those that it cannot find), and their parameters."""
    indexed, sql, parameters = [], "", {}
    for number, word in enumerate(clean(search)[:200].split()):
        if _UNSPACED.search(word) or not any(character.isalnum() for character in word):
            sql += f" AND {prefix}text LIKE :word{number} ESCAPE '\\'"
            parameters[f"word{number}"] = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
        else:
            indexed.append('"' + word.replace('"', '""') + '"')
    return " ".join(indexed), sql, parameters


class Queries(Connection):
    """Reading only. The user's SQL can neither write nor run without end."""

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
        match, plain, of_words = _words(search or "")
        sql += plain
        if match:
            sql += " AND id IN (SELECT rowid FROM posts_fts WHERE posts_fts MATCH :match)"
        sql += " ORDER BY posted_at DESC, id DESC LIMIT :limit"
        return [dict(row) for row in self.rows(sql, {**parameters, **of_words, "match": match, "limit": limit})]

    def team_posts(
        self, team: str, wanted: Wanted, *, before: Place | None = None, limit: int = 25
    ) -> tuple[list[dict[str, Any]], Place | None]:
        """A page of living posts about a team, newest first, from below `before` on; and the place to go on from, None at the end.

        id, source, url, title, text, language, posted_at, kind, repost; label and value that count, `model_label` and `model_value`
        (None where the model gave none), `corrected` and `note`. Looks at EXAMINED posts at most, so a page may hold fewer than
        `limit`, or none, and yet have a place to go on from.
        """
        match, plain, parameters = _words(wanted.words, "p.")
        rare = bool(match) and self._count_of(match) <= EXAMINED
        at = "+p.posted_at" if rare else "p.posted_at"  # "+": from the words to the posts, not through all posts by time
        span = f"{at} >= :since AND {at} < :until AND ({at}, p.id) < (:at, :id)"
        values: dict[str, Any] = {**parameters, **dataclasses.asdict(wanted), **(before or _NEWEST)._asdict()}
        values |= {"team": team, "model": self.model, "match": match, "limit": limit + 1}
        values |= {"since": wanted.first.isoformat() if wanted.first else "", "until": f"{wanted.last}T24" if wanted.last else _NEWEST.at}
        edge = None
        if not rare:
            found = self.rows(f"SELECT posted_at, id FROM posts p WHERE {span} ORDER BY 1 DESC, 2 DESC LIMIT 1 OFFSET {EXAMINED}", values)
            edge = Place(found[0]["posted_at"], found[0]["id"] + 1) if found else None
        rows = self.rows(
            f"""SELECT p.id, p.source, p.url, p.title, p.text, p.language, p.posted_at, p.kind, {LABEL} AS label, {VALUE} AS value,
                CASE WHEN s.input_hash <> '' THEN s.label END AS model_label, CASE WHEN s.input_hash <> '' THEN s.value END AS model_value,
                c.label IS NOT NULL AS corrected, c.note, NOT {OWN_WORDS} AS repost
                FROM posts p CROSS JOIN scores s ON s.post_id = p.id AND s.team = :team AND s.model = :model {CORRECTED}
                WHERE {span} {f"AND ({at}, p.id) >= (:edge_at, :edge_id)" if edge else ""} AND p.deleted_at IS NULL AND p.unread < 2
                AND (:label IS NULL OR {LABEL} = :label) AND (:source IS NULL OR p.source = :source)
                AND (:language IS NULL OR p.language = :language) {plain}
                {"AND p.id IN (SELECT rowid FROM posts_fts WHERE posts_fts MATCH :match)" if match else ""}
                ORDER BY p.posted_at DESC, p.id DESC LIMIT :limit""",
            {**values, "edge_at": edge and edge.at, "edge_id": edge and edge.id},
        )
        further = Place(rows[limit - 1]["posted_at"], rows[limit - 1]["id"]) if len(rows) > limit else edge
        return [dict(row) for row in rows[:limit]], further

    def stored_already(self, posts: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of some posts, by (source, native_id), that the store holds, or held once: buried, retired or forgotten since."""
        found = set()
        for source, native_id in posts:
            sql = "SELECT 1 FROM posts WHERE source = ? AND native_id IN (?, ?)"
            if self.rows(sql, (source, native_id, hidden_id(source, native_id))):
                found.add((source, native_id))
        return found

    def archived_posts(self) -> dict[str, int]:
        """How many posts that name a team each archive holds, by its name."""
        return {row[0]: row[1] for row in self.rows("SELECT archive, sum(posts) FROM archived_days GROUP BY archive")}

    def _count_of(self, match: str) -> int:
        """How many posts have the words, counted to EXAMINED + 1."""
        return int(
            self.rows(f"SELECT count(*) FROM (SELECT 1 FROM posts_fts WHERE posts_fts MATCH ? LIMIT {EXAMINED + 1})", (match,))[0][0]
        )

    def voices_by_language(self, teams: Sequence[str], first: dt.date, last: dt.date) -> list[tuple[Any, ...]]:
        """`Trends.voices` of some teams by the model in use, each with the post's language (empty: unknown) before it."""
        marks = ",".join("?" * len(teams))
        rows = self.rows(
            f"""SELECT coalesce(p.language, ''), {VOICES} AND s.team IN ({marks}) AND s.model = ?
                ORDER BY p.posted_at, p.source, p.native_id""",
            (first.isoformat(), f"{last}T24", *teams, self.model),
        )
        return [tuple(row) for row in rows]

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

    def first_day(self, team: str) -> dt.date | None:
        """The first UTC day on which a team has a trend by the model in use."""
        found = self.rows("SELECT min(day) FROM daily_trends WHERE team = ? AND source = '*' AND model = ?", (team, self.model))[0][0]
        return dt.date.fromisoformat(found) if found else None

    def team_alerts(self, team: str, limit: int = 5) -> list[dict[str, Any]]:
        """v_alerts of a team, newest first."""
        return [dict(row) for row in self.rows("SELECT * FROM v_alerts WHERE team = ? ORDER BY id DESC LIMIT ?", (team, limit))]

    def firing(self, day: dt.date) -> list[dict[str, Any]]:
        """The alerts that were firing on a day: team (`*`: the source as a whole), source, rule, reason."""
        rows = self.rows(
            "SELECT team, source, rule, reason FROM alerts WHERE day <= :day AND (resolved_day IS NULL OR resolved_day > :day) ORDER BY id",
            {"day": day.isoformat()},
        )
        return [dict(row) for row in rows]

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
            """SELECT p.source, p.native_id, c.team, c.label, c.note, c.text_hash FROM corrections c JOIN posts p ON p.id = c.post_id
               ORDER BY 1, 2, 3""",
            "SELECT day, team, source, model, posts, authors, threads, sufficient, round(mean, 4) FROM daily_trends ORDER BY 1, 2, 3, 4",
            'SELECT rule, team, source, "before", "after", day FROM alert_events ORDER BY 1, 2, 3, 6, 5',
            """SELECT target, d.state, e.rule, e.team, e.day FROM deliveries d JOIN alert_events e ON e.id = d.event_id
               ORDER BY 1, 3, 4, 5, 2""",
        ):
            for row in self.rows(sql):
                digest.update(repr(tuple(row)).encode("utf-8", "replace"))
        return digest.hexdigest()
