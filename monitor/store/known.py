"""What is stored by when it became known, for replaying the past: posts that came late, and what counts post by post."""

from __future__ import annotations

import datetime as dt
from typing import Any

from monitor.store.connection import Connection
from monitor.store.trends import AUTHOR, THREAD, VOICES


class Known(Connection):
    """Reading only; the tables are those of `Posts` and `Readings`."""

    def late_posts(self) -> list[tuple[int, str, str]]:
        """Posts that were first fetched after the day on which they were written: (id, posted_at, when it was known at the latest).

        Of posts that their source's first crawl found written already, that were imported, are retired or from an archive, nothing is
        known, and they are none. `fetched_at` moves when a post changes, but ids are given in the order of arrival: what was fetched after
        a post bounds when it came, so an edit hides none of its time. Up to the last post that a merge brought ids tell nothing.
        """
        rows = self.rows(
            """SELECT id, posted_at, known FROM (
                   SELECT p.id, p.posted_at, CASE WHEN p.id <= CAST(coalesce((SELECT value FROM meta WHERE key = 'merged'), 0) AS INTEGER)
                           THEN p.fetched_at ELSE min(p.fetched_at) OVER (ORDER BY p.id DESC ROWS UNBOUNDED PRECEDING) END AS known,
                       p.posted_at >= c.began AND p.kind <> 'import' AND NOT p.retired AND NOT p.archived AS awaited
                   FROM posts p LEFT JOIN (SELECT source, min(started_at) AS began FROM crawls GROUP BY source) c ON c.source = p.source)
               WHERE awaited AND substr(known, 1, 10) > substr(posted_at, 1, 10)"""
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def voices_by_post(self, first: dt.date, last: dt.date, model: str) -> list[tuple[int, tuple[Any, ...]]]:
        """The rows of `voices` of one model, in their order, each behind its post's id."""
        rows = self.rows(
            f"SELECT p.id, {VOICES} AND s.model = ? ORDER BY p.posted_at, p.source, p.native_id", (first.isoformat(), f"{last}T24", model)
        )
        return [(row[0], row[1:]) for row in map(tuple, rows)]

    def posters(self, source: str, first: dt.date, last: dt.date) -> list[tuple[int, str, str | None, str]]:
        """What `volumes` counts, post by post: (id, day, author or None, thread)."""
        rows = self.rows(
            f"""SELECT id, substr(posted_at, 1, 10), {AUTHOR}, {THREAD} FROM posts p
               WHERE +source = ? AND posted_at >= ? AND posted_at < ? AND (deleted_at IS NULL OR retired)
               AND NOT archived ORDER BY posted_at, id""",
            (source, first.isoformat(), f"{last}T24"),
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def last_trend(self) -> dt.date | None:
        """The last day (UTC) of which anything is counted."""
        row = self.rows("SELECT max(day) FROM daily_trends")[0]
        return dt.date.fromisoformat(row[0]) if row[0] else None

    def first_trend(self, model: str) -> dt.date | None:
        """The first day with a figure of any team; without any, the first with a count; None: neither."""
        row = self.rows("SELECT coalesce(min(day) FILTER (WHERE sufficient), min(day)) FROM daily_trends WHERE model = ?", (model,))[0]
        return dt.date.fromisoformat(row[0]) if row[0] else None
