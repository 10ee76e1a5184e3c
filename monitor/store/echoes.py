"""Whose words posts repeat: sketches and standings, and what of a team's posts is attention and not voice.

The promise: triggers mark a post whenever it comes to name a team or names none any more, is reworded, deleted, or turns out to be
of another time, author or kind; whatever writes it. A marked post is first taken out with the sketch that it had, so that
no other post stands on words that are gone, and then put in again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from monitor.store.connection import Connection

OWN_WORDS = "NOT EXISTS (SELECT 1 FROM echoes x WHERE x.post_id = p.id AND x.repost)"
"""Of `posts p`: most of its words were not first said by other people."""

VOICE = "coalesce(p.author_key, 'thread:' || p.source || ':' || coalesce(p.thread_id, p.native_id))"
"""Whose voice a row of `posts p` is; see `Trends.voices`."""


class Echoes(Connection):
    """The table `echoes`. Posts that name no team are not in it."""

    def leaving_echoes(self, limit: int) -> list[tuple[int, str, bytes]]:
        """Marked posts that are sketched: (id, posted_at and sketch that they stand with), by time."""
        rows = self.rows(  # "+" keeps SQLite from reading all posts in the order of their index
            "SELECT post_id, posted_at, sketch FROM echoes WHERE marks > 0 AND sketch IS NOT NULL ORDER BY +posted_at, post_id LIMIT ?",
            (limit,),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def joining_echoes(self, limit: int) -> list[tuple[int, str, int]]:
        """Marked posts that are to be sketched: (id, posted_at, marks seen), by time. Those that name no team any more are dropped."""
        with self.writing() as connection:
            connection.execute(
                """DELETE FROM echoes WHERE marks > 0 AND sketch IS NULL
                   AND NOT EXISTS (SELECT 1 FROM mentions m WHERE m.post_id = echoes.post_id)"""
            )
        rows = self.rows(
            """SELECT e.post_id, p.posted_at, e.marks FROM echoes e JOIN posts p ON p.id = e.post_id
               WHERE e.marks > 0 AND e.sketch IS NULL ORDER BY p.posted_at, p.id LIMIT ?""",
            (limit,),
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def words_of(self, posts: Sequence[int]) -> dict[int, tuple[str, bool, str | None]]:
        """The living ones of some posts: text, whether it can be a voice (it is not press), and author key, by id."""
        found = {}
        for start in range(0, len(posts), 500):
            part = posts[start : start + 500]
            marks = ",".join("?" * len(part))
            sql = f"SELECT id, text, kind <> 'press', author_key FROM posts WHERE deleted_at IS NULL AND id IN ({marks})"
            found.update({row[0]: (row[1], bool(row[2]), row[3]) for row in self.rows(sql, part)})
        return found

    def save_sketches(self, sketches: Iterable[tuple[int, str, bytes]]) -> None:
        """Store (id, posted_at, sketch); the posts stay marked until their standing is stored too."""
        with self.writing() as connection:
            connection.executemany(
                "UPDATE echoes SET posted_at = ?, sketch = ? WHERE post_id = ?", ((at, blob, post) for post, at, blob in sketches)
            )

    def sketches(self, first: str, last: str) -> Iterator[tuple[int, int, int, int, int, bytes]]:
        """Sketched posts from `first` to `last` in order: (id, seconds since 1970, can be a voice, origin or 0, repost, sketch).

        The order is that in which posts lead: by time, then source and native id.
        """
        with self._errors():
            yield from self.connection.execute(
                """SELECT e.post_id, CAST(strftime('%s', e.posted_at) AS INTEGER), p.kind <> 'press', coalesce(e.origin_id, 0), e.repost,
                    e.sketch FROM echoes e JOIN posts p ON p.id = e.post_id
                   WHERE e.posted_at BETWEEN ? AND ? AND e.sketch IS NOT NULL ORDER BY e.posted_at, p.source, p.native_id""",
                (first, last),
            )

    def save_standings(
        self, standings: Mapping[int, tuple[int | None, bool]], *, left: Collection[int] = (), joined: Mapping[int, int] | None = None
    ) -> None:
        """Store (origin, repost) by post, in one transaction, and mark the days of those that became a repost, or are none any more.

        Posts that `left` lose sketch and standing, and wait to join. Those that `joined` lose the marks that were seen.
        """
        with self.writing() as connection:
            for post, (origin, repost) in {**standings, **dict.fromkeys(left, (None, False))}.items():
                row = connection.execute("SELECT repost FROM echoes WHERE post_id = ?", (post,)).fetchone()
                if row and bool(row["repost"]) != repost:
                    self._mark_dirty(connection, post)
                connection.execute("UPDATE echoes SET origin_id = ?, repost = ? WHERE post_id = ?", (origin, repost, post))
            connection.executemany("UPDATE echoes SET sketch = NULL WHERE post_id = ?", ((post,) for post in left))
            marks = ((seen, post) for post, seen in (joined or {}).items())
            connection.executemany("UPDATE echoes SET marks = marks - ? WHERE post_id = ?", marks)

    def mark_all_echoes(self) -> None:
        """Take standings back, so that they are found anew, but for those beside a retired post.

        The days are not marked: see `mark_all_dirty`.
        """
        with self.writing() as connection:
            # What echoes a retired post stays its echo: those words are not there any more to be compared.
            connection.execute(
                """UPDATE echoes SET sketch = NULL, origin_id = NULL, repost = 0, marks = marks + 1
                   WHERE NOT EXISTS (SELECT 1 FROM posts p WHERE p.retired AND p.id IN (echoes.post_id, echoes.origin_id))"""
            )

    def attention(self, first: dt.date, last: dt.date) -> list[tuple[str, str, str, str, int]]:
        """What was said and passed on of teams on the UTC days `first`..`last`: (day, team, what, voice, story), a row per post.

        `what` is voice, article or repost. `story` is the post at whose words a chain of echoes ends, which is the post itself
        where nobody is known to have said it before. A voice that the shown model could not score is left out, as in trends, and so is
        what only an archive holds.
        """
        rows = self.rows(
            f"""WITH RECURSIVE named AS (
                   SELECT DISTINCT p.id, substr(p.posted_at, 1, 10) AS day, m.team, {VOICE} AS voice,
                       CASE WHEN p.kind = 'press' THEN 'article' WHEN {OWN_WORDS} THEN 'voice' ELSE 'repost' END AS what
                   FROM posts p JOIN mentions m ON m.post_id = p.id
                   WHERE p.posted_at >= ? AND p.posted_at < ? AND p.deleted_at IS NULL AND p.unread < 2
                       AND NOT p.archived),
               up (id, story) AS (
                   SELECT DISTINCT id, id FROM named
                   UNION SELECT up.id, e.origin_id FROM up JOIN echoes e ON e.post_id = up.story WHERE e.origin_id IS NOT NULL)
               SELECT n.day, n.team, n.what, n.voice, up.story FROM named n JOIN up ON up.id = n.id
                   AND NOT EXISTS (SELECT 1 FROM echoes e WHERE e.post_id = up.story AND e.origin_id IS NOT NULL)
               WHERE n.what <> 'voice' OR EXISTS (SELECT 1 FROM scores s WHERE s.post_id = n.id AND s.team = n.team AND s.model = ?)""",
            (first.isoformat(), f"{last}T24", self.model),
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
