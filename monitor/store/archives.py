"""Archives as the store knows them: which days they hold, the few posts that show these, and where a day is made of more than one of them.

The promise: a day of an archive is taken over whole or not at all, by its digest, so that what was interrupted is gone on with.
Posts of an archive are shown and never counted; what counts of such a day is its figures, or all rows of the archive.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.records import DailyTrend, Post, Spread, from_text, to_text
from monitor.store.posts import Posts, mark
from monitor.store.readings import Reading, put_reading

Pair = tuple[str, str]
"""UTC day, as ISO text, and team."""


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive whose days are in the store: `run` is the one that they are from, `reader` and `model` what read it.

    `words`: whether it keeps the posts' words. `unclean`: something that was forgotten may still be in its files. `retired`: the UTC day,
    as ISO text, before which posts of a source have lost names and links there.
    """

    name: str
    root: str
    run: str
    model: str
    reader: str
    sources: tuple[str, ...]
    first_day: dt.date
    last_day: dt.date
    words: bool
    folded_at: dt.datetime
    unclean: bool = False
    retired: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """A day of an archive: posts by source, the teams that were scored, its figures however few spoke, and the posts that show it."""

    day: str
    digest: str
    posts: int
    sources: Mapping[str, int]
    teams: frozenset[str]
    figures: Sequence[tuple[DailyTrend, Spread | None]] = ()
    evidence: Sequence[tuple[Post, Reading]] = ()


class Archives(Posts):
    """The tables `archives`, `archived_days`, `archived_teams` and `archived_sources`, and posts that are `archived`."""

    def archives(self) -> list[Archived]:
        """The archives whose days are in the store, by name."""
        return [
            Archived(
                row["name"], row["root"], row["run"], row["model"], row["reader"], tuple(json.loads(row["sources"])),
                dt.date.fromisoformat(row["first_day"]), dt.date.fromisoformat(row["last_day"]), bool(row["words"]),
                from_text(row["folded_at"]), bool(row["unclean"]), json.loads(row["retired"]),
            )
            for row in self.rows("SELECT * FROM archives ORDER BY name")
        ]  # fmt: skip

    def keep_archive(self, archive: Archived) -> None:
        """Note an archive, or what its present run is; its sources are covered on all of its days, those of its last run no more.

        A new run is unclean where anything was ever forgotten: that may have been while it was at work.
        """
        with self.writing() as connection:
            old = connection.execute("SELECT * FROM archives WHERE name = ?", (archive.name,)).fetchone()
            connection.execute(
                """INSERT OR REPLACE INTO archives VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
                    coalesce((SELECT unclean FROM archives WHERE name = ?1 AND (unclean OR run = ?3)),
                        EXISTS (SELECT 1 FROM forgotten WHERE kind <> 'source') OR EXISTS (SELECT 1 FROM json_each(?6) s JOIN posts p
                        ON p.source = s.value AND p.native_id >= 'hidden:' AND p.native_id < 'hidden;' AND NOT p.retired)),
                    coalesce((SELECT retired FROM archives WHERE name = ?1 AND run = ?3), '{}'))""",
                (
                    archive.name, archive.root, archive.run, archive.model, archive.reader, json.dumps(archive.sources),
                    archive.first_day.isoformat(), archive.last_day.isoformat(), archive.words, to_text(archive.folded_at),
                ),
            )  # fmt: skip
            spans = ("sources", "first_day", "last_day")
            new = connection.execute("SELECT * FROM archives WHERE name = ?", (archive.name,)).fetchone()
            if old and [old[name] for name in spans] != [new[name] for name in spans]:
                self._uncover(connection, json.loads(old["sources"]), old["first_day"], old["last_day"])
            for source in archive.sources:
                self._cover(connection, source)

    def drop_archive(self, name: str) -> int:
        """Take an archive out of the store; returns how many posts it had. The days that it had a part in are to be computed anew."""
        with self.writing() as connection:
            posts = int(connection.execute("SELECT coalesce(sum(posts), 0) FROM archived_days WHERE archive = ?", (name,)).fetchone()[0])
            self.mark_days(self.replace_archived(name, self.archived_digests(name), ()))
            old = connection.execute("SELECT * FROM archives WHERE name = ?", (name,)).fetchone()
            connection.execute("DELETE FROM archives WHERE name = ?", (name,))
            if old:
                self._uncover(connection, json.loads(old["sources"]), old["first_day"], old["last_day"])
            return posts

    def cleaned(self, name: str, retired: Mapping[str, str]) -> None:
        """Note that nothing that was forgotten is in an archive's files, and before which day each source was `retired` there."""
        with self.writing() as connection:
            connection.execute("UPDATE archives SET unclean = 0, retired = ? WHERE name = ?", (json.dumps(retired), name))

    def buried_ids(self, source: str) -> list[str]:
        """The ids, as they are stored, of a source's posts that are not to be filled again."""
        sql = "SELECT native_id FROM posts WHERE +source = ? AND deleted_at IS NOT NULL AND NOT retired"
        return [row[0] for row in self.rows(sql, (source,))]

    @staticmethod
    def _cover(connection: sqlite3.Connection, source: str) -> None:
        """A source is covered on the days of all of its archives."""
        of = "archives a, json_each(a.sources) s WHERE s.value = :source"
        connection.execute(
            f"""INSERT INTO sources SELECT :source, min(first_day), max(last_day) FROM {of} GROUP BY s.value
                ON CONFLICT (source) DO UPDATE
                SET first_day = min(first_day, excluded.first_day), last_day = max(last_day, excluded.last_day)""",
            {"source": source},
        )
        connection.execute(
            f"""WITH RECURSIVE days (day, last) AS (SELECT a.first_day, a.last_day FROM {of}
                    UNION SELECT date(day, '+1 day'), last FROM days WHERE day < last)
                INSERT OR IGNORE INTO covered_days SELECT day, :source FROM days""",
            {"source": source},
        )

    @classmethod
    def _uncover(cls, connection: sqlite3.Connection, sources: Iterable[str], first: str, last: str) -> None:
        """Sources are covered on the days `first`..`last` only where a finished crawl, or an archive that is left, says so."""
        for source in sources:
            span = {"source": source, "first": first, "last": last}
            connection.execute(
                """DELETE FROM covered_days WHERE source = :source AND day BETWEEN :first AND :last AND NOT EXISTS (
                    SELECT 1 FROM crawls c WHERE c.source = :source AND c.finish_reason = 'finished'
                    AND covered_days.day BETWEEN substr(c.covered_from, 1, 10) AND substr(c.covered_to, 1, 10))""",
                span,
            )
            connection.execute("DELETE FROM sources WHERE source = :source", span)
            connection.execute(
                """INSERT INTO sources SELECT source, min(substr(min(started_at), 1, 10), coalesce(
                       (SELECT min(day) FROM covered_days d WHERE d.source = crawls.source), substr(min(started_at), 1, 10))),
                       substr(max(started_at), 1, 10) FROM crawls WHERE source = :source GROUP BY source""",
                span,
            )
            cls._cover(connection, source)

    # ---- days ----------------------------------------------------------------------------------------------------

    def archived_digests(self, name: str) -> dict[str, str]:
        """The days of an archive that are in the store, with the digests of the files that they came from."""
        return {row[0]: row[1] for row in self.rows("SELECT day, digest FROM archived_days WHERE archive = ? ORDER BY day", (name,))}

    def archived_pairs(self, first: dt.date, last: dt.date, *, team: str | None = None) -> set[Pair]:
        """(day, team) of the UTC days `first`..`last` of which an archive holds scores."""
        rows = self.rows(
            "SELECT DISTINCT day, team FROM archived_teams WHERE day BETWEEN ? AND ? AND (? IS NULL OR team = ?)",
            (first.isoformat(), last.isoformat(), team, team),
        )
        return {(row[0], row[1]) for row in rows}

    def archived_to(self, first: dt.date, last: dt.date) -> dict[str, dt.date]:
        """By team, the last of the UTC days `first`..`last` of which an archive holds scores.

        What people said from the first day to that one is not all in the store: no figure can be made of it here but the stored ones.
        """
        sql = "SELECT team, max(day) FROM archived_teams WHERE day BETWEEN ? AND ? GROUP BY team"
        return {row[0]: dt.date.fromisoformat(row[1]) for row in self.rows(sql, (first.isoformat(), last.isoformat()))}

    def days_of(self, name: str, first: dt.date, last: dt.date, *, team: str | None = None) -> list[str]:
        """The UTC days `first`..`last` on which an archive holds scores, of one team or of any; in order."""
        rows = self.rows(
            "SELECT DISTINCT day FROM archived_teams WHERE day BETWEEN ? AND ? AND (? IS NULL OR team = ?) AND archive = ? ORDER BY day",
            (first.isoformat(), last.isoformat(), team, team, name),
        )
        return [row[0] for row in rows]

    def replace_archived(self, name: str, days: Iterable[str], found: Iterable[ArchivedDay]) -> set[Pair]:
        """Put `found` in place of what is stored of these `days` of an archive, figures and posts apart; the pairs that it had before."""
        with self.writing() as connection:
            had: set[Pair] = set()
            for day in days:
                rows = connection.execute("SELECT day, team FROM archived_teams WHERE day = ? AND archive = ?", (day, name))
                had |= {(row[0], row[1]) for row in rows}
                for table in ("archived_days", "archived_teams", "archived_sources"):
                    connection.execute(f"DELETE FROM {table} WHERE day = ? AND archive = ?", (day, name))
            for one in found:
                connection.execute("INSERT INTO archived_days VALUES (?, ?, ?, ?)", (one.day, name, one.digest, one.posts))
                connection.executemany("INSERT INTO archived_teams VALUES (?, ?, ?)", [(one.day, team, name) for team in one.teams])
                rows_of = [(one.day, source, name, posts) for source, posts in one.sources.items()]
                connection.executemany("INSERT INTO archived_sources VALUES (?, ?, ?, ?)", rows_of)
            return had

    def mixed_pairs(self, first: str, last: str) -> set[Pair]:
        """(day, team) of the UTC days `first`..`last` (ISO text) whose figures are not those of one archive: the store's own posts,
        another archive or a correction have a part in them."""
        rows = self.rows(
            """SELECT substr(p.posted_at, 1, 10), s.team FROM posts p JOIN scores s ON s.post_id = p.id
               WHERE p.posted_at >= :first AND p.posted_at < :last || 'T24' AND NOT p.archived
               UNION SELECT substr(p.posted_at, 1, 10), c.team FROM corrections c JOIN posts p ON p.id = c.post_id
               WHERE p.posted_at >= :first AND p.posted_at < :last || 'T24'
               UNION SELECT day, team FROM archived_teams WHERE day BETWEEN :first AND :last GROUP BY day, team HAVING count(*) > 1
               -- A post here, deleted or naming nobody by now, may stand in the archive with a team.
               UNION SELECT t.day, t.team FROM archived_sources s JOIN archived_teams t USING (day, archive)
               WHERE s.day BETWEEN :first AND :last AND EXISTS (SELECT 1 FROM posts p
                   WHERE +p.source = s.source AND p.posted_at >= s.day AND p.posted_at < s.day || 'T24' AND NOT p.archived)""",
            {"first": first, "last": last},
        )
        return {(row[0], row[1]) for row in rows}

    def mark_days(self, pairs: Iterable[Pair]) -> None:
        """Have these (day, team) computed anew."""
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO dirty_days VALUES (?, ?, 1) ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1", sorted(pairs)
            )

    # ---- beside the store's own posts ----------------------------------------------------------------------------

    def own_posts(self, source: str, native_ids: Collection[str]) -> set[str]:
        """Those of some ids of a source that the store holds itself: posts and tombstones, not what an archive gave."""
        rows = self.rows(
            """SELECT p.native_id FROM json_each(?) j CROSS JOIN posts p ON p.source = ? AND p.native_id = j.value
               WHERE NOT p.archived""",
            (json.dumps(sorted(native_ids)), source),
        )
        return {row[0] for row in rows}

    def hidden_ids(self, source: str) -> set[str]:
        """What stands for the ids of a source's posts that were forgotten or retired (`posts.hidden_id`)."""
        rows = self.rows("SELECT native_id FROM posts WHERE source = ? AND native_id >= 'hidden:' AND native_id < 'hidden;'", (source,))
        return {row[0] for row in rows}

    def archived_corrections(self) -> dict[tuple[str, str, str], str]:
        """What people say of posts that archives gave: the label by (source, native_id, team)."""
        rows = self.rows(
            """SELECT p.source, p.native_id, c.team, c.label FROM corrections c JOIN posts p ON p.id = c.post_id
               WHERE p.archived AND p.deleted_at IS NULL AND c.text_hash = p.text_hash"""
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    # ---- posts that show them ------------------------------------------------------------------------------------

    def replace_evidence(self, name: str, model: str, day: ArchivedDay, *, at: dt.datetime) -> int:
        """Put the posts that show a day of an archive in place of those that did; returns how many came.

        What the store has itself, living or not, is left; nothing of what was forgotten comes. What was corrected, or shows an alert,
        stays.
        """
        with self.writing() as connection:
            forgotten = {row[0] for row in connection.execute("SELECT mark FROM forgotten WHERE kind <> 'source'")}
            kept = [self._show(connection, post, reading, model, forgotten, at) for post, reading in day.evidence]
            ids = [post for post, _ in filter(None, kept)]
            connection.execute(
                f"""DELETE FROM posts WHERE archived AND posted_at >= ? AND posted_at < ? AND id NOT IN ({",".join("?" * len(ids))})
                    AND source NOT IN (SELECT s.value FROM archives a, json_each(a.sources) s WHERE a.name <> ?)
                    AND id NOT IN (SELECT post_id FROM corrections UNION SELECT post_id FROM alert_posts)""",
                (day.day, f"{day.day}T24", *ids, name),
            )
            return sum(new for _, new in filter(None, kept))

    def show(self, posts: Iterable[Post], *, at: dt.datetime) -> None:
        """Keep posts of archives as those that show a day are kept, without anything that was read of them."""
        with self.writing() as connection:
            for post in posts:
                self._show(connection, post, Reading(0, "", None, (), {}), self.model, (), at)

    def _show(
        self, connection: sqlite3.Connection, post: Post, reading: Reading, model: str, forgotten: Collection[str], at: dt.datetime
    ) -> tuple[int, bool] | None:
        """A post of an archive beside the store's own: its id, and whether it is new; None when it is not to come, or is here already."""
        if post.author_key and mark("author", post.source, post.author_key) in forgotten:
            return None
        hidden = self._hidden(connection, post.source, (post.native_id, post.parent_id, post.thread_id))
        if post.native_id in hidden:
            return None
        old = connection.execute(
            "SELECT id, archived AND deleted_at IS NULL AS shown FROM posts WHERE source = ? AND native_id = ?",
            (post.source, post.native_id),
        ).fetchone()
        if old and not old["shown"]:
            return None
        title = None if post.title and mark("title", post.source, post.title) in forgotten else post.title
        row = {
            "source": post.source, "native_id": post.native_id, "url": post.url, "thread_id": hidden.get(post.thread_id, post.thread_id),
            "parent_id": None if post.parent_id in hidden else post.parent_id, "title": title, "text": post.text,
            "language": post.language, "author_key": post.author_key, "posted_at": to_text(post.posted_at),
            "date_origin": post.date_origin, "edited_at": to_text(post.edited_at) if post.edited_at else None,
            "fetched_at": to_text(at), "kind": post.kind, "text_hash": reading.text_hash, "unread": 0, "archived": 1,
        }  # fmt: skip
        if old:
            connection.execute(f"UPDATE posts SET {', '.join(f'{name} = :{name}' for name in row)} WHERE id = :id", row | {"id": old["id"]})
            post_id = old["id"]
        else:
            sql = f"INSERT INTO posts ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
            post_id = int(connection.execute(sql, row).lastrowid or 0)
        put_reading(connection, replace(reading, post_id=post_id), model, at, every_model=True)
        return post_id, not old
