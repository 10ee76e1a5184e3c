"""Posts as they are collected: kept once, brought up to date, buried when their forum shows them no more."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from monitor import clock
from monitor.records import Gone, Post, clean, from_text, text_hash, to_text
from monitor.store.connection import TIMEOUT, Connection, storable

PURGE_AFTER = dt.timedelta(days=1)
"""How long the words of deleted and reworded posts may linger in the search index before the end of a crawl purges it."""


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


class Posts(Connection):
    """The table `posts`, and what of deleted words has to go from the search index."""

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
            storable, (post.source, post.native_id, post.url, post.thread_id, post.parent_id, post.author_key)
        )
        posted_at = to_text(post.posted_at)
        edited_at = to_text(post.edited_at) if post.edited_at else None
        cursor = connection.execute(
            """INSERT INTO posts (source, native_id, url, thread_id, parent_id, title, text, language, author_key, posted_at,
                date_origin, edited_at, fetched_at, kind, text_hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING""",
            (source, native_id, url, thread_id, parent_id, title, text, storable(post.language), author, posted_at,
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
                "language": storable(post.language),
                "id": old["id"],
            },
        )
        self._mark_dirty(connection, old["id"])
        counts.changed += 1

    def _bury(self, connection: sqlite3.Connection, gone: Gone) -> int:
        key, now = (storable(gone.source), storable(gone.native_id)), to_text(clock.now())
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
        for table in ("mentions", "scores", "corrections", "alert_posts"):
            connection.execute(f"DELETE FROM {table} WHERE post_id = ?", (row["id"],))
        connection.execute(  # the address and the thread go too: many hold the title
            """UPDATE posts SET url = '', thread_id = NULL, parent_id = NULL, title = NULL, text = '', language = NULL, author_key = NULL,
               edited_at = NULL, kind = 'voice', text_hash = '', unread = 0, deleted_at = ? WHERE id = ?""",
            (now, row["id"]),
        )
        self._note_leftovers(connection)
        return 1

    @staticmethod
    def _note_leftovers(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('leftovers', ?)", (to_text(clock.now()),))

    def purge(self) -> bool:
        """Rid the search index and the files of the words that deleted and reworded posts left there.

        SQLite's index keeps a removed word until it next merges the part that holds it; this merges all, at about 3 s
        per million posts. The end of a crawl does it when the oldest leftover is older than PURGE_AFTER. Returns False when a
        reader still needs the write-ahead log: the next purge will finish.
        """
        with self.writing() as connection:
            since = self.fact("leftovers")
            connection.execute("INSERT INTO posts_fts (posts_fts) VALUES ('optimize')")
            # Here and not at the end: by then another crawl may have left words, which the note must outlive.
            connection.execute("DELETE FROM meta WHERE key = 'leftovers'")
        busy = True
        try:
            self.rows("PRAGMA busy_timeout = 1000")  # a reader may take minutes, and nothing here is urgent
            busy = bool(self.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0])
        finally:
            self.rows(f"PRAGMA busy_timeout = {TIMEOUT * 1000:.0f}")
            if busy and since:
                self.set_fact("leftovers", since)
        return not busy

    def recent(self, source: str, since: dt.datetime) -> list[tuple[str, str, dt.datetime]]:
        """(native_id, thread_id or "", posted_at) of a source's living posts from `since` on, newest first: what to refresh."""
        rows = self.rows(  # "+" keeps SQLite from reading all posts of the source by the index over its ids
            """SELECT native_id, thread_id, posted_at FROM posts WHERE +source = ? AND posted_at >= ? AND deleted_at IS NULL
               ORDER BY posted_at DESC""",
            (source, to_text(since)),
        )
        return [(row[0], row[1] or "", from_text(row[2])) for row in rows]
