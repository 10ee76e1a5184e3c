"""What a digest asks of a whole period: its alerts, how much of it was read, and which sources were tried since."""

from __future__ import annotations

import datetime as dt
import sqlite3

from monitor.records import from_text, to_text
from monitor.store.connection import Connection


class Periods(Connection):
    """Reading only, for monitor/digested.py. Days are UTC, both ends included."""

    def alerts_between(self, first: dt.date, last: dt.date) -> list[sqlite3.Row]:
        """The alerts that fired on any of these days, oldest first: the columns of `alerts`."""
        return self.rows(
            "SELECT * FROM alerts WHERE day <= ? AND (resolved_day IS NULL OR resolved_day >= ?) ORDER BY day, id",
            (last.isoformat(), first.isoformat()),
        )

    def read_between(self, first: dt.date, last: dt.date) -> tuple[int, int]:
        """Posts of these days, and how many of them wait to be understood; press is in neither, nor what archives gave."""
        row = self.rows(
            """SELECT count(*), count(*) FILTER (WHERE unread AND deleted_at IS NULL) FROM posts
               WHERE posted_at >= ? AND posted_at < ? AND (deleted_at IS NULL OR retired) AND kind <> 'press' AND NOT archived""",
            (first.isoformat(), f"{last}T24"),
        )[0]
        return int(row[0]), int(row[1])

    def known_since(self, day: dt.date) -> bool:
        """Whether anything is known of a day or one before it: a crawl reached there, or a post was counted."""
        sql = "SELECT EXISTS (SELECT 1 FROM sources WHERE first_day <= ?1) OR EXISTS (SELECT 1 FROM daily_trends WHERE day <= ?1)"
        return bool(self.rows(sql, (day.isoformat(),))[0][0])

    def tried(self, since: dt.datetime) -> dict[str, tuple[dt.datetime | None, bool]]:
        """Of each source that was ever crawled: when its first crawl that began at `since` or later did, and whether any of these ended."""
        rows = self.rows(
            """SELECT source, min(started_at) FILTER (WHERE started_at >= ?1),
                count(*) FILTER (WHERE started_at >= ?1 AND ended_at IS NOT NULL) FROM crawls GROUP BY source""",
            (to_text(since),),
        )
        return {row[0]: (from_text(row[1]) if row[1] else None, bool(row[2])) for row in rows}
