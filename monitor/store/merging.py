"""What another monitor's store holds taken into this one: posts, what was made of them, and what crawls read.

The promise: what either store has forgotten is not in the result; the same store again changes nothing, so that a merge that
was killed is gone on with by the next; every day in which a post comes to count is marked in the transaction that brings the post.

Of two versions of a post the one that was seen or edited later wins, a tombstone wins over words, and a time that the site gave
over a time of fetching. Words that retention took away there stay here until retention here takes them.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from monitor.records import Gone
from monitor.store.another import FIELDS, HANGING, Another, Bundle
from monitor.store.corrections import hold_place
from monitor.store.heeding import Heeding
from monitor.store.posts import hidden_id, mark
from monitor.store.reviews import Reviews
from monitor.store.weeks import mark_weeks

_CRAWL = (
    "source, started_at, ended_at, finish_reason, covered_from, covered_to, requests, new, changed, unchanged, deleted, rejected, message"
)
"""Without the cursor: where this monitor's own crawler goes on is its own affair."""

_DRAW = "day, team, count, seed, drawn_at"


@dataclass(slots=True)
class Links:
    """Who of another store is who here, as posts tell that both hold.

    `known` maps ("author" or "thread", source, what stands for it there) to what stands for it here. `equal` and `different` are the
    sources of posts that both hold with equal keys, or different ones; `strangers` how many authors, by source, no such post links.
    """

    known: dict[tuple[str, str, str], str] = field(default_factory=dict)
    equal: set[str] = field(default_factory=set)
    different: set[str] = field(default_factory=set)
    strangers: Counter[str] = field(default_factory=Counter)

    def of(self, what: str, source: str, name: str | None) -> str | None:
        return None if name is None else self.known.get((what, source, name), name)


@dataclass(frozen=True, slots=True)
class Meeting:
    """What is to be known of two stores before posts of one come into the other."""

    links: Links
    without: Collection[str]
    """Sources that were forgotten here, and not there since."""
    model: str
    """Whose scores are shown here."""
    same_reader: bool
    marks: Set[str]
    """Of authors and titles that are not to be stored."""
    draws: Mapping[int, tuple[Any, ...]]
    """The other store's draws by id."""
    own_draws: dict[int, int] = field(default_factory=dict)
    """The same draws' ids here."""


def settled(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a living post of which two stores have a version each; an author's key once stored stays."""
    newer, older = (theirs, mine) if _seen(theirs) > _seen(mine) else (mine, theirs)
    reworded = newer["text_hash"] != older["text_hash"]
    fields = {name: newer[name] for name in ("url", "text", "text_hash", "kind")}
    fields |= {name: newer[name] or older[name] for name in ("thread_id", "parent_id", "title", "edited_at")}
    dated = older if newer["date_origin"] == "fetched" and older["date_origin"] == "site" else newer
    fetched, looked = newer["fetched_at"], newer["looked_at"] or ""
    if not reworded:
        looked = max(looked, older["looked_at"] or "", fetched, older["fetched_at"])
        fetched = min(fetched, older["fetched_at"])
    return fields | {
        "language": newer["language"] or (None if reworded else older["language"]),
        "author_key": mine["author_key"] or theirs["author_key"],
        "posted_at": min(mine["posted_at"], theirs["posted_at"]) if dated["date_origin"] == "fetched" else dated["posted_at"],
        "date_origin": dated["date_origin"],
        "fetched_at": fetched,
        "looked_at": looked if looked > fetched else None,
    }


def _seen(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What orders two versions of a post: the last look at it or edit of it. The rest settles ties, alike in either store."""
    return max(row["fetched_at"], row["looked_at"] or "", row["edited_at"] or ""), row["edited_at"] or "", row["text_hash"]


class Merging(Another, Heeding, Reviews):
    """Writes to every table that a post's words and figures are in; `heed` comes first."""

    def meet(self, other: Another, without: Collection[str]) -> Meeting:
        """What is to be known before posts of `other` come, but those of the sources `without`; a store that has no reader takes its."""
        with self.writing() as connection:
            if self.fact("reader") is None:
                for key in ("reader", "model"):
                    if value := other.fact(key):
                        self._set_fact(connection, key, value)
        reader = self.fact("reader")
        marks = {row["mark"] for row in self.forgotten() if row["kind"] != "source"}
        draws = {row["id"]: tuple(row)[1:] for row in other.rows(f"SELECT id, {_DRAW} FROM draws")}
        self._veil(other.retired_sources())
        same_reader = reader is not None and reader == other.fact("reader")
        return Meeting(self._links(other), without, self.model, same_reader, marks, draws)

    def _veil(self, sources: Sequence[str]) -> None:
        """Note under what ids the living posts of these sources would stand once they are retired."""
        with self._errors():
            self.connection.create_function("hidden_id", 2, hidden_id, deterministic=True)
            self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS veiled (hidden TEXT PRIMARY KEY) WITHOUT ROWID")
            self.connection.execute("DELETE FROM veiled")
            for source in sources:
                self.connection.execute(
                    """INSERT OR IGNORE INTO veiled SELECT hidden_id(source, native_id) FROM posts
                       WHERE source = ? AND deleted_at IS NULL""",
                    (source,),
                )

    def _links(self, other: Another) -> Links:
        links, said = Links(), defaultdict[tuple[str, str, str], set[str]](set)
        strangers: set[tuple[str, str]] = set()
        both = self.authored_sources() & other.authored_sources()
        for theirs in other.authors():
            source, key = theirs["source"], theirs["author_key"]
            mine = self.connection.execute(
                "SELECT author_key, thread_id, deleted_at, retired FROM posts WHERE source = ? AND native_id = ?",
                (source, theirs["native_id"]),
            ).fetchone()
            if mine and theirs["retired"] and mine["retired"]:
                for what, column in (("author", "author_key"), ("thread", "thread_id")):
                    if theirs[column] and mine[column]:
                        said[what, source, theirs[column]].add(mine[column])
            elif not theirs["retired"] and source in both:
                if mine and not mine["deleted_at"] and mine["author_key"]:
                    said["author", source, key].add(mine["author_key"])
                    (links.equal if key == mine["author_key"] else links.different).add(source)
                else:
                    strangers.add((source, key))
        # Where keys turn here and not there, one stands for several: then nothing is linked.
        links.known = {theirs: next(iter(mine)) for theirs, mine in said.items() if len(mine) == 1}
        links.strangers = Counter(source for source, key in strangers if ("author", source, key) not in links.known)
        return links

    # ---- posts ---------------------------------------------------------------------------------------------------

    def absorb(self, bundle: Bundle, meeting: Meeting) -> Counter[str]:
        """Take posts in, in one transaction.

        Returns how many were `new`, `changed`, `unchanged`, `deleted` (became tombstones) or `left out` (forgotten, deleted or retired
        here, or there by now), and how many `corrections` and `readings` of samples came.
        """
        counts: Counter[str] = Counter()
        days: set[tuple[str, str]] = set()
        with self.writing() as connection:
            before = self.last_post()
            for theirs in bundle.posts:
                if theirs["source"] in meeting.without:
                    counts["left out"] += 1
                    continue
                hanging = {table: bundle.hanging[table].get(theirs["id"], ()) for table in HANGING}
                what, post = self._take_in(connection, dict(theirs), hanging, meeting)
                if post is not None:
                    self._take_judgements(connection, post, hanging, meeting, counts)
                if what == "new":
                    days |= {(theirs["posted_at"][:10], score["team"]) for score in hanging["scores"]}
                    self._mark_beside(connection, theirs["source"], theirs["posted_at"][:10])
                counts[what] += 1
            connection.executemany(
                "INSERT INTO dirty_days VALUES (?, ?, 1) ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1", sorted(days)
            )
            if (after := self.last_post()) > before:
                self._set_fact(connection, "merged", str(after))
        return counts

    def _take_in(
        self, connection: sqlite3.Connection, theirs: dict[str, Any], hanging: Mapping[str, Sequence[sqlite3.Row]], meeting: Meeting
    ) -> tuple[str, int | None]:
        """What became of a post, and its id here where people's judgements of it can come too."""
        source, native_id = theirs["source"], theirs["native_id"]
        row = connection.execute(
            f"SELECT id, {', '.join(FIELDS)} FROM posts WHERE source = ? AND native_id IN (?, ?)",
            (source, native_id, hidden_id(source, native_id)),
        ).fetchone()
        mine = dict(row) if row else None
        buried = mine is not None and mine["deleted_at"] and not mine["retired"]
        if theirs["deleted_at"] and not theirs["retired"]:
            if not buried:
                self._bury(connection, Gone(source, native_id))
            return ("unchanged" if buried else "deleted"), None
        if theirs["retired"]:
            if mine is None and not connection.execute("SELECT 1 FROM veiled WHERE hidden = ?", (native_id,)).fetchone():
                return "new", self._take_retired(connection, theirs, hanging, meeting)
            return ("left out" if buried else "unchanged"), mine["id"] if mine and mine["retired"] else None
        if mine and mine["deleted_at"]:
            return "left out", None
        key, title = theirs["author_key"], theirs["title"]
        theirs["author_key"] = meeting.links.of("author", source, key)
        if key and not meeting.marks.isdisjoint((mark("author", source, key), mark("author", source, theirs["author_key"]))):
            if mine:
                self._bury(connection, Gone(source, native_id), native_id=hidden_id(source, native_id))
            return "left out", None
        if title and mark("title", source, title) in meeting.marks:
            theirs["title"], theirs["unread"] = None, theirs["unread"] or 1
        hidden = self._hidden(connection, source, (native_id, theirs["parent_id"], theirs["thread_id"]))
        theirs["parent_id"] = None if theirs["parent_id"] in hidden else theirs["parent_id"]
        theirs["thread_id"] = hidden.get(theirs["thread_id"], theirs["thread_id"])
        if mine is None:
            known = theirs["unread"] < 2  # else what is stored there was read in older words
            unread = int(not (meeting.same_reader and not theirs["unread"]))
            post = self._insert(connection, theirs | {"unread": unread})
            if known:
                self._put_readings(connection, post, hanging["mentions"], hanging["scores"])
            return "new", post
        if connection.execute("UPDATE posts SET archived = 0 WHERE id = ? AND archived", (mine["id"],)).rowcount:
            self._mark_dirty(connection, mine["id"])  # the store has it for itself from now on
        return self._settle(connection, mine, theirs, hanging, meeting), mine["id"]

    def _settle(
        self, connection: sqlite3.Connection, mine: dict[str, Any], theirs: dict[str, Any],
        hanging: Mapping[str, Sequence[sqlite3.Row]], meeting: Meeting,
    ) -> str:  # fmt: skip
        """Make one of two versions of a living post, with what either monitor has read in the words that it has then."""
        post, fields = mine["id"], settled(mine, theirs)
        fits, theirs_fit = (row["text_hash"] == fields["text_hash"] for row in (mine, theirs))
        known = theirs_fit and theirs["unread"] < 2  # else what is stored there was read in older words
        read = fits and not mine["unread"] and mine["title"] == fields["title"]
        read_there = theirs_fit and not theirs["unread"] and theirs["title"] == fields["title"] and meeting.same_reader
        fields["unread"] = 0 if read or read_there else (mine["unread"] or 1) if fits else 1
        replaced = not read and (read_there or not fits)
        scores = hanging["scores"] if known else ()
        if scores and not replaced:
            present = {tuple(row) for row in connection.execute("SELECT team, model FROM scores WHERE post_id = ?", (post,))}
            # What the shown model says of a post that was read here is what it said here, be it nothing.
            scores = [row for row in scores if (row["team"], row["model"]) not in present and not (read and row["model"] == meeting.model)]
        moved = {name for name, value in fields.items() if value != mine[name]}
        changed = bool(moved - {"fetched_at", "looked_at"} or scores or replaced)
        if not (moved or changed):
            return "unchanged"
        if changed:
            self._mark_dirty(connection, post)
        if replaced:
            connection.execute("DELETE FROM mentions WHERE post_id = ?", (post,))
            older = not fits or mine["unread"] == 2
            connection.execute("DELETE FROM scores WHERE post_id = ? AND (? OR model = ?)", (post, older, meeting.model))
        if not fits:
            self._note_leftovers(connection)
        connection.execute(f"UPDATE posts SET {', '.join(f'{name} = :{name}' for name in fields)} WHERE id = :id", fields | {"id": post})
        self._put_readings(connection, post, hanging["mentions"] if replaced and known else (), scores)
        if replaced:
            hold_place(connection, post, meeting.model)
        if changed:
            self._mark_dirty(connection, post)
        return "changed" if changed else "unchanged"

    def _take_retired(
        self, connection: sqlite3.Connection, theirs: dict[str, Any], hanging: Mapping[str, Sequence[sqlite3.Row]], meeting: Meeting
    ) -> int:
        """Take in a post whose words retention took away there; its author and thread of the day have numbers of this store."""
        instead = f"retired:{self.last_post() + 1}"
        for what, column in (("author", "author_key"), ("thread", "thread_id")):
            if theirs[column] is not None:
                theirs[column] = meeting.links.known.setdefault((what, theirs["source"], theirs[column]), instead)
        post = self._insert(connection, theirs)
        self._put_readings(connection, post, (), hanging["scores"])
        if any(row["repost"] for row in hanging["echoes"]):
            connection.execute("INSERT INTO echoes (post_id, repost) VALUES (?, 1)", (post,))
        return post

    @staticmethod
    def _insert(connection: sqlite3.Connection, post: Mapping[str, Any]) -> int:
        cursor = connection.execute(
            f"INSERT INTO posts ({', '.join(FIELDS)}) VALUES ({','.join('?' * len(FIELDS))})", [post[name] for name in FIELDS]
        )
        return int(cursor.lastrowid or 0)

    @staticmethod
    def _put_readings(connection: sqlite3.Connection, post: int, mentions: Iterable[sqlite3.Row], scores: Iterable[sqlite3.Row]) -> None:
        for table, rows in (("mentions", mentions), ("scores", scores)):
            columns = HANGING[table]
            connection.executemany(
                f"INSERT OR IGNORE INTO {table} (post_id, {columns}) VALUES (?{', ?' * len(columns.split(','))})",
                [(post, *tuple(row)[1:]) for row in rows],
            )

    # ---- what people said ----------------------------------------------------------------------------------------

    def _take_judgements(
        self,
        connection: sqlite3.Connection,
        post: int,
        hanging: Mapping[str, Sequence[sqlite3.Row]],
        meeting: Meeting,
        counts: Counter[str],
    ) -> None:
        """Corrections: of two the one of the words that the post has now, then the later. Samples: the frame that a post is in stays.

        A post that one draw here could have drawn was in its frame with its chance: another store's draw is of the rest of what that
        one could draw, with the chances that those posts had.
        """
        if not (hanging["corrections"] or hanging["reviews"]):
            return
        words = connection.execute("SELECT text_hash FROM posts WHERE id = ?", (post,)).fetchone()[0]
        for row in hanging["corrections"]:
            mine = connection.execute("SELECT * FROM corrections WHERE post_id = ? AND team = ?", (post, row["team"])).fetchone()
            if mine is None or _standing(row, words) > _standing(mine, words):
                columns = HANGING["corrections"]
                connection.execute(f"INSERT OR REPLACE INTO corrections (post_id, {columns}) VALUES (?, ?, ?, ?, ?, ?)", (post, *row[1:]))
                hold_place(connection, post, meeting.model)
                self._mark_dirty(connection, post, row["team"])
                counts["corrections"] += 1
        for row in hanging["reviews"]:
            if row["text_hash"] == words:
                counts["readings"] += self._take_review(connection, post, row, meeting)

    @staticmethod
    def _take_review(connection: sqlite3.Connection, post: int, theirs: sqlite3.Row, meeting: Meeting) -> bool:
        """Whether what a reader said came over."""
        there, key = theirs["draw_id"], (post, theirs["team"])
        draw = meeting.draws[there]
        mine = connection.execute("SELECT draw_id, text_hash, read_at FROM reviews WHERE post_id = ? AND team = ?", key).fetchone()
        if there not in meeting.own_draws:
            found = connection.execute(f"SELECT id FROM draws WHERE ({_DRAW}) = (?, ?, ?, ?, ?)", draw).fetchone()
            meeting.own_draws[there] = found[0] if found else 0
        if mine is None or mine["text_hash"] != theirs["text_hash"]:
            if not meeting.own_draws[there]:
                made = connection.execute(f"INSERT INTO draws ({_DRAW}) VALUES (?, ?, ?, ?, ?)", draw)
                meeting.own_draws[there] = int(made.lastrowid or 0)
            connection.execute(
                f"INSERT OR REPLACE INTO reviews (post_id, {HANGING['reviews']}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (post, theirs["team"], meeting.own_draws[there], *theirs[3:]),
            )
        elif mine["draw_id"] == meeting.own_draws[there] and (theirs["read_at"] or "") > (mine["read_at"] or ""):
            connection.execute(
                "UPDATE reviews SET label = ?, read_by = ?, read_at = ? WHERE post_id = ? AND team = ?",
                (theirs["label"], theirs["read_by"], theirs["read_at"], *key),
            )
        else:
            return False
        mark_weeks(connection, draw[0], theirs["team"])
        return theirs["read_at"] is not None

    # ---- crawls --------------------------------------------------------------------------------------------------

    def take_crawls(self, other: Another, without: Collection[str]) -> Counter[str]:
        """Take in which days crawls have read, and how each went, in one transaction; returns how many `days` and `crawls` are new.

        It comes last: a day that is covered here has its posts here. Messages of crawls, which may name a post, stay behind where
        posts of their source were forgotten here.
        """
        counts: Counter[str] = Counter()
        with self.writing() as connection:
            quiet = {
                row[0] for row in self.rows("SELECT DISTINCT source FROM posts WHERE native_id LIKE 'hidden:%' AND NOT retired")
            } | self.sources_forgotten().keys()
            for row in other.sources_read():
                if row["source"] not in without:
                    connection.execute(
                        """INSERT INTO sources VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET
                           first_day = min(first_day, excluded.first_day), last_day = max(last_day, excluded.last_day)""",
                        tuple(row),
                    )
            for row in other.days_read():
                if row["source"] not in without:
                    counts["days"] += connection.execute("INSERT OR IGNORE INTO covered_days VALUES (?, ?)", tuple(row)).rowcount
            for row in other.rows(f"SELECT {_CRAWL} FROM crawls WHERE ended_at IS NOT NULL ORDER BY started_at, id"):
                if row["source"] not in without:
                    values = dict(row) | ({"message": ""} if row["source"] in quiet else {})
                    counts["crawls"] += connection.execute(
                        f"""INSERT INTO crawls ({_CRAWL}) SELECT {", ".join(f":{name}" for name in values)} WHERE NOT EXISTS (
                            SELECT 1 FROM crawls WHERE source = :source AND started_at = :started_at AND ended_at = :ended_at)""",
                        values,
                    ).rowcount
        return counts


def _standing(correction: sqlite3.Row, words: str) -> tuple[bool, str, str]:
    return correction["text_hash"] == words, correction["corrected_at"], correction["label"]
