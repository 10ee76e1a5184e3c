"""What leaves the store for good: posts that are to be forgotten, whole sources, and the words of posts that are too old.

The promise: every table that holds a post's id is reached, whichever migration made it; the days whose figures change are
marked in the same transaction; and what is gone does not come back with the next crawl, although nothing is kept that
would tell what it was to who does not know it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from monitor import clock
from monitor.records import to_text
from monitor.store.connection import TIMEOUT
from monitor.store.posts import Posts, distinctive, hidden_id, mark

PART = 2000
"""Posts of a source that are forgotten in one transaction: others wait for it."""

WAIT_FOR_READING = dt.timedelta(days=7)
"""How long a post that is too old to keep still waits to be understood, so that an old archive can be imported."""

_KEPT_WITH_SOURCE = {"posts", "daily_trends", "daily_spreads", "forgotten", "alerts", "alert_events", "alert_states"}
"""Tables with a column `source` whose rows stay when one is forgotten, or go another way; alerts keep their figures."""


class Forgetting(Posts):
    """The table `forgotten`, and everything that has to go with a post."""

    def leaves_out(self, source: str, author_key: str) -> bool:
        """Whether nothing of this author is to be stored."""
        return bool(self.rows("SELECT 1 FROM forgotten WHERE kind = 'author' AND mark = ?", (mark("author", source, author_key),)))

    def leave_out(self, source: str, author_key: str) -> None:
        """Store nothing of this author from now on."""
        with self.writing() as connection:
            self._note(connection, source, "author", mark("author", source, author_key))

    def forgotten(self) -> list[sqlite3.Row]:
        """What is not to come back: source, kind, mark, forgotten_on."""
        return self.rows("SELECT * FROM forgotten ORDER BY forgotten_on, source, kind, mark")

    @staticmethod
    def _note(connection: sqlite3.Connection, source: str, kind: str, value: str, day: str | None = None) -> None:
        connection.execute(
            "INSERT INTO forgotten VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET forgotten_on = excluded.forgotten_on",
            (source, kind, value, day or clock.now().date().isoformat()),
        )

    # ---- posts ---------------------------------------------------------------------------------------------------

    def at_addresses(self, urls: Sequence[str]) -> list[sqlite3.Row]:
        """The living posts at any of these addresses, or with one of these numbers: id, url, source, author_key."""
        numbers = [int(url) for url in urls if re.fullmatch("[0-9]{1,18}", url)]
        marks, ids = (",".join("?" * len(each)) for each in (urls, numbers))
        sql = f"SELECT id, url, source, author_key FROM posts WHERE (url IN ({marks}) OR id IN ({ids})) AND deleted_at IS NULL ORDER BY id"
        return self.rows(sql, (*urls, *numbers))

    def by_author(self, source: str, author_key: str) -> list[int]:
        """The ids of an author's living posts."""
        rows = self.rows("SELECT id FROM posts WHERE +source = ? AND author_key = ? AND deleted_at IS NULL", (source, author_key))
        return [row[0] for row in rows]

    def in_source(self, source: str) -> list[int]:
        """The ids of a source's posts, tombstones too."""
        return [row[0] for row in self.rows("SELECT id FROM posts WHERE source = ?", (source,))]

    def words(self, ids: Iterable[int]) -> Iterator[sqlite3.Row]:
        """native_id, url, title, text and author_key of posts."""
        with self._errors():
            for post in ids:
                yield from self.connection.execute("SELECT native_id, url, title, text, author_key FROM posts WHERE id = ?", (post,))

    def forget_posts(self, ids: Iterable[int], *, author: tuple[str, str] | None = None) -> Counter[str]:
        """Forget these posts, in one transaction; returns how many rows went or lost what they held, by table.

        Each leaves a tombstone under another id, which a crawl cannot fill. Other people's posts no longer bear a title that
        a forgotten author gave their thread, nor name one of these posts. With `author` (source, key) nothing of his is
        stored any more. Rows that hold a post's id without a reference, as `echoes`, go by
        `unbound` once trends are up to date.
        """
        with self.writing() as connection:
            self._take(connection, ids)
            gone = [dict(row) for row in connection.execute("SELECT p.* FROM leaving JOIN posts p USING (id)")]
            counts = self._remove(connection)
            now = to_text(clock.now())
            connection.executemany(
                """UPDATE posts SET native_id = ?, url = '', thread_id = NULL, parent_id = NULL, title = NULL, text = '', language = NULL,
                   author_key = NULL, posted_at = ?, date_origin = 'fetched', edited_at = NULL, fetched_at = ?, kind = 'voice',
                   text_hash = '', unread = 0, retired = 0, looked_at = NULL, archived = 0, deleted_at = ? WHERE id = ?""",
                [(hidden_id(row["source"], row["native_id"]), now, now, now, row["id"]) for row in gone],
            )
            counts["posts"] = len(gone)
            for source in {row["source"] for row in gone}:
                counts["other posts' title, parent or thread"] += self._unname(
                    connection, source, [row for row in gone if row["source"] == source]
                )
            counts += self._redact(connection, gone)
            if author:
                self._note(connection, author[0], "author", mark("author", *author))
            self._note_leftovers(connection)
        return +counts

    def _take(self, connection: sqlite3.Connection, ids: Iterable[int]) -> None:
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS leaving (id INTEGER PRIMARY KEY)")
        connection.execute("DELETE FROM leaving")
        connection.executemany("INSERT OR IGNORE INTO leaving VALUES (?)", ((each,) for each in ids))

    def _holders(self) -> list[tuple[str, str, bool]]:
        """(table, column, whether it is a reference) of every column that holds ids of posts."""
        found = []
        for (table,) in self.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' AND name NOT IN ('posts', 'sqlite_stat1')"
        ):
            references = {row["from"] for row in self.rows(f"PRAGMA foreign_key_list({table})") if row["table"] == "posts"}
            columns = {row["name"] for row in self.rows(f"PRAGMA table_info({table})")}
            found += [(table, column, column in references) for column in sorted(references | (columns & {"post_id"}))]
        return found

    def _remove(self, connection: sqlite3.Connection) -> Counter[str]:
        """Delete what refers to the posts in `leaving`; the days in which they, or posts bound to them, count become dirty."""
        counts: Counter[str] = Counter()
        holders = self._holders()
        touched = "SELECT id FROM leaving"
        for table, column, _ in holders:
            for other in (other for name, other, _ in holders if name == table and other != column):
                touched += f" UNION SELECT {other} FROM {table} WHERE {column} IN (SELECT id FROM leaving)"
        connection.execute(
            f"""INSERT INTO dirty_days SELECT DISTINCT substr(p.posted_at, 1, 10), s.team, 1 FROM scores s JOIN posts p ON p.id = s.post_id
                WHERE p.id IN ({touched}) ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1"""
        )
        for table, column, bound in holders:
            if bound:
                counts[table] += connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM leaving)").rowcount
        return counts

    def unbound(self, ids: Iterable[int], *, sweep: bool = False) -> Counter[str]:
        """How many rows hold the id of one of these posts without a reference, by table; with `sweep` those on gone posts go."""
        with self.writing() as connection:
            self._take(connection, ids)
            counts: Counter[str] = Counter()
            for table, column, bound in self._holders():
                if not bound:
                    gone = f"NOT EXISTS (SELECT 1 FROM posts p WHERE p.id = {column} AND (p.deleted_at IS NULL OR p.retired))"
                    where = f"FROM {table} WHERE {column} IN (SELECT id FROM leaving)"
                    counts[table] += int(connection.execute(f"SELECT count(*) {where}").fetchone()[0])
                    if sweep:
                        counts[table] -= connection.execute(f"DELETE {where} AND {gone}").rowcount
        return counts

    def _unname(self, connection: sqlite3.Connection, source: str, gone: Sequence[dict[str, str]]) -> int:
        """Take forgotten posts' ids, and the titles that they gave their threads, out of other posts; how many fields that were."""
        titles = {mark("title", source, row["title"]) for row in gone if row["title"] and row["text"].startswith(row["title"])}
        for title in titles:
            self._note(connection, source, "title", title)
        rows = connection.execute("SELECT id, title FROM posts WHERE source = ? AND title IS NOT NULL", (source,)) if titles else ()
        same = [(row["id"],) for row in rows if mark("title", source, row["title"]) in titles]
        # A title can hold the words that an alias needs: those posts are read again without it.
        connection.executemany("UPDATE posts SET title = NULL, unread = max(unread, 1) WHERE id = ?", same)
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS named (id TEXT PRIMARY KEY, hidden TEXT)")
        connection.execute("DELETE FROM named")
        ids = [(row["native_id"], hidden_id(source, row["native_id"])) for row in gone if distinctive(row["native_id"])]
        connection.executemany("INSERT OR IGNORE INTO named VALUES (?, ?)", ids)
        changed = len(same)
        for column, instead in (("parent_id", "NULL"), ("thread_id", "(SELECT hidden FROM named WHERE id = thread_id)")):
            sql = f"UPDATE posts SET {column} = {instead} WHERE source = ? AND {column} IN (SELECT id FROM named)"
            changed += connection.execute(sql, (source,)).rowcount if ids else 0
        return changed

    def _redact(self, connection: sqlite3.Connection, gone: Iterable[dict[str, str]]) -> Counter[str]:
        """Take the addresses, ids and keys of forgotten posts out of what tables say in words: messages, cursors, visits."""
        counts: Counter[str] = Counter()
        named = _Named(gone)
        connection.create_function("without_forgotten", 1, named.out_of, deterministic=True)
        held = {table for table, _, _ in self._holders()} | {"posts", "forgotten"}
        for table, column in ((table, column) for table, columns in self.texts().items() if table not in held for column in columns):
            counts[table] += connection.execute(
                f"""UPDATE {table} SET "{column}" = without_forgotten("{column}")
                    WHERE length("{column}") > 10 AND without_forgotten("{column}") <> "{column}" """
            ).rowcount
        return counts

    def texts(self) -> dict[str, list[str]]:
        """The columns that hold text, in the order in which they are stored, by table; the search index apart."""
        tables = self.rows(
            """SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'
               AND name NOT LIKE 'posts!_fts%' ESCAPE '!' AND name NOT IN ('_sqlite_migrations', 'sqlite_stat1')"""
        )
        columns = {table: self.rows(f"PRAGMA table_info({table})") for (table,) in tables}
        found = {table: [row["name"] for row in rows if row["type"] == "TEXT"] for table, rows in columns.items()}
        return {table: names for table, names in found.items() if names}

    def values(self, table: str, columns: Sequence[str]) -> Iterator[list[str]]:
        """What the text columns of a table hold, row by row; empty for NULL."""
        names = ", ".join(f'"{column}"' for column in columns)
        with self._errors():
            for row in self.connection.execute(f"SELECT {names} FROM {table}"):
                yield ["" if value is None else str(value) for value in row]

    def tombstones(self) -> int:
        """How many posts are not to be filled again."""
        return int(self.rows("SELECT count(*) FROM posts WHERE deleted_at IS NOT NULL AND NOT retired")[0][0])

    # ---- sources -------------------------------------------------------------------------------------------------

    def forget_source(self, source: str, day: str | None = None) -> Counter[str]:
        """Forget all posts of a source, its crawls, its cursor and what it covered; returns how many rows went, by table.

        No tombstones stay, only the note that it was forgotten (today, or on the UTC `day`, ISO text), and the marks of authors who are to
        stay out of it. A run that is interrupted is gone on with by the next. Alerts keep their figures, and lose their evidence.
        """
        counts: Counter[str] = Counter()
        while True:
            with self.writing() as connection:
                self._take(connection, (row[0] for row in self.rows("SELECT id FROM posts WHERE source = ? LIMIT ?", (source, PART))))
                counts += self._remove(connection)
                part = connection.execute("DELETE FROM posts WHERE id IN (SELECT id FROM leaving)").rowcount
                counts["posts"] += part
                if part:
                    self._note_leftovers(connection)
                    continue
                connection.execute(
                    """INSERT INTO dirty_days SELECT DISTINCT day, team, 1 FROM daily_trends WHERE source = ?
                       ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
                    (source,),
                )
                for table, columns in self.texts().items():
                    if "source" in columns and table not in _KEPT_WITH_SOURCE:
                        counts[table] += connection.execute(f"DELETE FROM {table} WHERE source = ?", (source,)).rowcount
                connection.execute("DELETE FROM meta WHERE key = ?", (f"retired:{source}",))
                connection.execute("DELETE FROM forgotten WHERE kind = 'title' AND source = ?", (source,))
                connection.execute(
                    """UPDATE archives SET unclean = 1, sources = (SELECT json_group_array(value) FROM json_each(sources) WHERE value <> ?1)
                       WHERE EXISTS (SELECT 1 FROM json_each(sources) WHERE value = ?1)""",
                    (source,),
                )
                self._note(connection, source, "source", source, day)
                return +counts

    # ---- retention -----------------------------------------------------------------------------------------------

    def known_sources(self) -> list[str]:
        """Every source of which anything is stored."""
        return [row[0] for row in self.rows("SELECT source FROM posts UNION SELECT source FROM crawls UNION SELECT source FROM sources")]

    def sources_of_posts(self) -> list[str]:
        """Every source that has a post."""
        return [row[0] for row in self.rows("SELECT DISTINCT source FROM posts")]

    def retire(self, source: str, before: dt.date, now: dt.datetime) -> int:
        """Take the words, addresses, authors and times of day off a source's posts of the UTC days before `before`.

        What the figures of their days are made of stays, so that a day can be computed again to the same figures: who is whose
        voice within the day, and the scores. A day whose posts are not all understood waits, WAIT_FOR_READING at most.
        Returns how many posts it was. Days are looked through once for each `before`. What an archive gave goes whole, unless a person
        corrected it.
        """
        fact, done = f"retired:{source}", self._drop_shown(source, before)
        if (self.fact(fact) or "") >= before.isoformat():
            return done
        rows = self.rows(
            """SELECT substr(p.posted_at, 1, 10) AS day FROM posts p LEFT JOIN echoes e ON e.post_id = p.id
               WHERE +p.source = ? AND p.posted_at < ? AND p.deleted_at IS NULL GROUP BY 1
               HAVING NOT sum((p.unread AND p.fetched_at >= ?) OR coalesce(e.marks, 0) > 0)""",
            (source, before.isoformat(), to_text(now - WAIT_FOR_READING)),
        )
        for row in rows:
            done += self._retire_day(source, row["day"], to_text(now))
        self.set_fact(fact, before.isoformat())
        return done

    def _drop_shown(self, source: str, before: dt.date) -> int:
        with self.writing() as connection:
            count = connection.execute(
                """DELETE FROM posts WHERE archived AND source = ? AND posted_at < ? AND deleted_at IS NULL
                   AND id NOT IN (SELECT post_id FROM corrections)""",
                (source, before.isoformat()),
            ).rowcount
            if count:
                self._note_leftovers(connection)
            return count

    def _retire_day(self, source: str, day: str, now: str) -> int:
        with self.writing() as connection:
            posts = connection.execute(
                """SELECT p.id, p.native_id, p.author_key, p.thread_id, p.unread, coalesce(e.repost, 0) AS repost
                   FROM posts p LEFT JOIN echoes e ON e.post_id = p.id
                   WHERE +p.source = ? AND p.posted_at >= ? AND p.posted_at < ? AND p.deleted_at IS NULL ORDER BY p.id""",
                (source, day, f"{day}T24"),
            ).fetchall()
            self._take(connection, (post["id"] for post in posts))
            # A repost counts nowhere, and could not be told from a voice any more. Scores of older words count nowhere either.
            silent = [(post["id"],) for post in posts if post["repost"] or post["unread"] == 2]
            connection.executemany("DELETE FROM scores WHERE post_id = ?", silent)
            of_leaving = "post_id IN (SELECT id FROM leaving)"
            connection.execute(f"UPDATE scores SET input_hash = 'retired' WHERE {of_leaving} AND input_hash <> ''")
            for table in ("corrections", "reviews"):
                connection.execute(
                    f"DELETE FROM {table} WHERE {of_leaving} AND text_hash <> (SELECT text_hash FROM posts p WHERE p.id = {table}.post_id)"
                )
                connection.execute(f"UPDATE {table} SET text_hash = '' WHERE {of_leaving}")
            connection.execute(f"UPDATE corrections SET note = NULL WHERE {of_leaving}")
            for table, column, bound in self._holders():
                if bound and table not in ("scores", "corrections", "reviews"):
                    connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM leaving)")
            voices: dict[str, str] = {}
            threads: dict[str, str] = {}
            connection.executemany(
                """UPDATE posts SET native_id = ?, author_key = ?, thread_id = ?, url = '', parent_id = NULL, title = NULL, text = '',
                   language = NULL, posted_at = ?, edited_at = NULL, fetched_at = ?, text_hash = '', unread = 0, looked_at = NULL,
                   retired = 1, archived = 0, deleted_at = ? WHERE id = ?""",
                [
                    (
                        hidden_id(source, post["native_id"]), _stand_in(voices, post["author_key"], post["id"]),
                        _stand_in(threads, post["thread_id"], post["id"]), f"{day}T00:00:00Z", now, now, post["id"],
                    )
                    for post in posts
                ],
            )  # fmt: skip
            # The triggers have marked them as gone; what they had repeated, and who repeats them, is settled for good.
            connection.execute(f"UPDATE echoes SET marks = 0, sketch = NULL WHERE {of_leaving}")
            self._note_leftovers(connection)
        return len(posts)

    # ---- the files -----------------------------------------------------------------------------------------------

    def vacuum(self) -> None:
        """Write the file anew without what lingers in its pages. Needs as much free disk again, and nobody else at work."""
        with self._errors():
            self.connection.execute("VACUUM")
            self.connection.execute(f"PRAGMA busy_timeout = {TIMEOUT * 1000:.0f}")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _stand_in(known: dict[str, str], value: str | None, post: int) -> str | None:
    """What tells an author or a thread of one day from others of that day: the number of the first post."""
    return None if value is None else known.setdefault(value, f"retired:{post}")


_TOKEN = re.compile(r"""[^\s"'<>(),;]+""")


class _Named:
    """The addresses, ids and keys of posts, to be taken out of messages and cursors."""

    def __init__(self, posts: Iterable[dict[str, str]]) -> None:
        self.whole: set[str] = set()
        self.ids: set[str] = set()
        for post in posts:
            self.whole |= {value for value in (post["url"], post["author_key"]) if value}
            self.ids.add(post["native_id"])
        self.whole |= set(filter(distinctive, self.ids))

    def out_of(self, text: str | None) -> str | None:
        """The text, or the JSON object, without them."""
        if text is None:
            return None
        if text.startswith("{"):
            try:
                found = json.loads(text)
            except ValueError:
                pass
            else:
                rest = self._pruned(found)
                return text if rest == found else json.dumps(rest)
        return _TOKEN.sub(lambda match: "…" if self._names(match[0]) else match[0], text)

    def _names(self, word: str) -> bool:
        word = word.rstrip(".:!?")
        if word in self.whole:
            return True
        if "://" not in word:
            return False
        try:
            parts = urlsplit(word)
        except ValueError:
            return False
        # The address under which a site gives one post, such as /posts/57.json.
        return not self.ids.isdisjoint(re.split(r"[/.?=&#]", f"{parts.path}?{parts.query}")) or not self.whole.isdisjoint(
            (f"{parts.scheme}://{parts.netloc}{parts.path}", parts.path.rpartition("/")[2])
        )

    def _pruned(self, value: object) -> object:
        if isinstance(value, dict):
            return {key: self._pruned(each) for key, each in value.items() if not (self._holds(key) or self._holds(each))}
        return [self._pruned(each) for each in value if not self._holds(each)] if isinstance(value, list) else value

    def _holds(self, value: object) -> bool:
        return isinstance(value, str) and value in self.whole
