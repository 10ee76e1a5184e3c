"""Posts as they are collected: kept once, brought up to date, buried when their forum shows them no more."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from monitor import clock
from monitor.records import Gone, Post, clean, from_text, text_hash, to_text
from monitor.store.connection import TIMEOUT, Connection, storable

PURGE_AFTER = dt.timedelta(days=1)
"""How long the words of deleted and reworded posts may linger in the search index before the end of a crawl purges it."""

LOOKS = tuple(dt.timedelta(days=days) for days in (4, 8, 16, 30))
"""Ages at which a post that is no longer looked at by every crawl is looked at once more: most edits come early, few ever."""

_ANSWER = re.compile(r"^(?:\s*(?:re|aw|sv|回复|答复)\s*[:\uff1a])+\s*", re.IGNORECASE)


def hidden_id(source: str | None, native_id: str | None) -> str:
    """What stands for a post's id once it is forgotten or retired: it still tells the post, but not to who does not know it."""
    return "hidden:" + text_hash(f"post\0{source}\0{native_id}")


def mark(kind: str, source: str | None, value: str) -> str:
    """The mark in the table `forgotten` of an author (by key) or a thread's title that is not to come back."""
    if kind == "title":
        value = _ANSWER.sub("", value, count=1)
    return text_hash(f"{kind}\0{source}\0{value}")


def distinctive(native_id: str | None) -> bool:
    """Whether an id is found nowhere else by chance, and may name its author: an address or `at://did...`, not a number."""
    return native_id is not None and len(native_id) >= 12 and not native_id.isdigit()


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
        is only brought up to date. One that an archive gave is the store's own from now on, and unread. A tombstone is never filled
        again, and a post that is gone before it was ever seen leaves one, so that the order in which two pages of a site arrive
        changes nothing. The last of two posts with one key wins. Text and title are stored as `records.clean` leaves them. Nothing of
        an author who is to be forgotten is stored, and an author's key once stored stays (keys may rotate).
        """
        counts = Counts()
        with self.writing() as connection:
            forgotten = {row[0] for row in connection.execute("SELECT mark FROM forgotten WHERE kind <> 'source'")}
            for item in batch:
                if isinstance(item, Gone):
                    counts.deleted += self._bury(connection, item)
                else:
                    self._save_post(connection, item, counts, forgotten)
        return counts

    def _save_post(self, connection: sqlite3.Connection, post: Post, counts: Counts, forgotten: Collection[str]) -> None:
        text, title = clean(post.text), clean(post.title or "") or None
        digest = text_hash(text)
        source, native_id, url, thread_id, parent_id, author = map(
            storable, (post.source, post.native_id, post.url, post.thread_id, post.parent_id, post.author_key)
        )
        if author and mark("author", source, author) in forgotten:
            known = connection.execute("SELECT 1 FROM posts WHERE source = ? AND native_id = ?", (source, native_id)).fetchone()
            buried = self._bury(connection, Gone(post.source, post.native_id), native_id=hidden_id(source, native_id)) if known else 0
            counts.deleted += buried
            counts.unchanged += not buried
            return
        if title and mark("title", source, title) in forgotten:
            title = None
        hidden = self._hidden(connection, source, (native_id, parent_id, thread_id))
        if native_id in hidden:
            counts.unchanged += 1
            return
        parent_id, thread_id = None if parent_id in hidden else parent_id, hidden.get(thread_id, thread_id)
        posted_at = to_text(post.posted_at)
        edited_at = to_text(post.edited_at) if post.edited_at else None
        cursor = connection.execute(
            """INSERT INTO posts (source, native_id, url, thread_id, parent_id, title, text, language, author_key, posted_at,
                date_origin, edited_at, fetched_at, kind, text_hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING""",
            (source, native_id, url, thread_id, parent_id, title, text, storable(post.language), author, posted_at,
             post.date_origin, edited_at, to_text(post.fetched_at), post.kind, digest),
        )  # fmt: skip
        if cursor.rowcount:
            self._mark_beside(connection, source, posted_at[:10])
            counts.new += 1
            return
        old = connection.execute(
            """SELECT id, text_hash, deleted_at, posted_at, date_origin, author_key, thread_id, title, url, kind, edited_at,
                parent_id, archived, max(fetched_at, coalesce(looked_at, '')) AS looked_at FROM posts WHERE source = ? AND native_id = ?""",
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
            "author_key": old["author_key"] or author,
            "posted_at": posted_at,
            "date_origin": date_origin,
            "edited_at": edited_at or old["edited_at"],
            "kind": post.kind,
        }
        reworded = digest != old["text_hash"]
        if not reworded and not old["archived"] and all(fields[name] == old[name] for name in fields):
            written = from_text(old["posted_at"])
            if _looks(post.fetched_at - written) > _looks(from_text(old["looked_at"]) - written):
                connection.execute("UPDATE posts SET looked_at = ? WHERE id = ?", (to_text(post.fetched_at), old["id"]))
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
                unread = CASE WHEN :reworded THEN 2 WHEN unread THEN unread ELSE archived OR title IS NOT :title END,
                archived = 0 WHERE id = :id""",
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

    @staticmethod
    def _hidden(connection: sqlite3.Connection, source: str | None, ids: Iterable[str | None]) -> dict[str | None, str]:
        """Those of a post's ids (its own, its parent's, its thread's) that are not to be kept, and what stands for them."""
        own, *others = ids
        names = {hidden_id(source, each): each for each in (own, *filter(distinctive, others))}
        rows = connection.execute(
            f"SELECT native_id, retired FROM posts WHERE source = ? AND native_id IN ({','.join('?' * len(names))})", (source, *names)
        )
        # The thread of a retired post lives on, and is still asked for by its id.
        return {names[row[0]]: row[0] for row in rows if names[row[0]] == own or not row[1]}

    def _bury(self, connection: sqlite3.Connection, gone: Gone, native_id: str | None = None) -> int:
        """Make a post a tombstone, under another id if one is given. Returns how many became one, 0 or 1."""
        key, now = (storable(gone.source), storable(gone.native_id)), to_text(clock.now())
        row = connection.execute(
            "SELECT id, deleted_at IS NOT NULL AND NOT retired AS done, native_id FROM posts WHERE source = ? AND native_id IN (?, ?)",
            (*key, hidden_id(*key)),
        ).fetchone()
        if row is None:
            connection.execute(
                """INSERT INTO posts (source, native_id, url, text, posted_at, date_origin, fetched_at, kind, text_hash, unread, deleted_at)
                   VALUES (?, ?, '', '', ?, 'fetched', ?, 'voice', '', 0, ?)""",
                (*key, now, now, now),
            )
        if row is None or row["done"]:
            return 0
        self._mark_dirty(connection, row["id"])
        for table in ("mentions", "scores", "corrections", "alert_posts"):
            connection.execute(f"DELETE FROM {table} WHERE post_id = ?", (row["id"],))
        connection.execute(  # the address and the thread go too: many hold the title
            """UPDATE posts SET url = '', thread_id = NULL, parent_id = NULL, title = NULL, text = '', language = NULL, author_key = NULL,
               edited_at = NULL, kind = 'voice', text_hash = '', unread = 0, retired = 0, archived = 0, deleted_at = ?,
               native_id = ? WHERE id = ?""",
            (now, native_id or row["native_id"], row["id"]),
        )
        self._note_leftovers(connection)
        return 1

    def gone_ids(self, sources: Collection[str] | None) -> frozenset[tuple[str, str]]:
        """(source, id as it is stored) of posts whose words are gone: deleted, forgotten or retired. None: of all sources."""
        rows = self.rows("SELECT source, native_id FROM posts WHERE deleted_at IS NOT NULL")
        return frozenset((row[0], row[1]) for row in rows if sources is None or row[0] in sources)

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
        return self._to_look_at("posted_at >= ?", source, to_text(since))

    def older(self, source: str, now: dt.datetime, within: dt.timedelta) -> list[tuple[str, str, dt.datetime]]:
        """Like `recent`, posts that came to an age of LOOKS `within` the time before `now` and were not looked at since."""
        due = "posted_at > ? AND posted_at <= ? AND max(fetched_at, coalesce(looked_at, '')) < strftime('%Y-%m-%dT%H:%M:%SZ', posted_at, ?)"
        spans = [(to_text(now - age - within), to_text(now - age), f"+{age.days} days") for age in LOOKS]
        return self._to_look_at(" OR ".join([f"({due})"] * len(spans)), source, *(value for span in spans for value in span))

    def _to_look_at(self, when: str, source: str, *values: str) -> list[tuple[str, str, dt.datetime]]:
        rows = self.rows(  # "+" keeps SQLite from reading all posts of the source by the index over its ids
            f"""SELECT native_id, CASE WHEN thread_id NOT LIKE 'hidden:%' THEN thread_id ELSE '' END, posted_at FROM posts
                WHERE +source = ? AND deleted_at IS NULL AND NOT archived AND ({when}) ORDER BY posted_at DESC""",
            (source, *values),
        )
        return [(row[0], row[1], from_text(row[2])) for row in rows]


def _looks(age: dt.timedelta) -> int:
    """How many looks at a post of this age are behind it."""
    return sum(age >= look for look in LOOKS)
