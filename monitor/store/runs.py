"""When each step and crawl ran, how it ended, and from where the next crawl goes on."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor import clock
from monitor.records import from_text, to_text
from monitor.store.connection import storable
from monitor.store.posts import PURGE_AFTER, Counts, Posts

KEEP_RUNS = dt.timedelta(days=30)
"""How long the table `runs` remembers: `deliver` alone adds 1440 rows a day."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source's crawls go: the last that ended, cut short ones apart, and when the first since the last finished one began.

    Times are aware. `message` says of a crawl what cost it.
    """

    reason: str
    message: str
    ended_at: dt.datetime
    failing_since: dt.datetime


class Runs(Posts):
    """The tables `crawls`, `sources`, `covered_days` and `runs`. The end of a crawl also purges what its deletions left."""

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
                    to_text(covered[0]) if covered else None, to_text(covered[1]) if covered else None, storable(message[:500]), crawl_id,
                ),
            )  # fmt: skip
            if covered and finish_reason == "finished":
                first, last = (moment.astimezone(dt.UTC).date() for moment in covered)
                days = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
                connection.executemany("INSERT OR IGNORE INTO covered_days VALUES (?, ?)", [(day, row["source"]) for day in days])
                connection.execute("UPDATE sources SET first_day = min(first_day, ?) WHERE source = ?", (first.isoformat(), row["source"]))
        leftovers = self.fact("leftovers")
        if leftovers and clock.now() - from_text(leftovers) > PURGE_AFTER:
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
        """Close a run: outcome is ok, failed or stopped (`begin_run` closes one that was killed)."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, outcome = ?, message = ? WHERE id = ?",
                (to_text(at), outcome, storable(message[:500]), run_id),
            )

    def under_way(self, step: str, since: dt.datetime) -> bool:
        """Whether a run of a step that began after `since` has not ended."""
        return bool(self.rows("SELECT 1 FROM runs WHERE step = ? AND ended_at IS NULL AND started_at > ?", (step, to_text(since))))

    def ended_well(self, steps: Sequence[str]) -> dict[str, dt.datetime]:
        """Of each of these steps whose last ended run was ok: when that ended."""
        rows = self.rows(
            f"""SELECT step, outcome, ended_at FROM runs WHERE id IN (SELECT max(id) FROM runs WHERE step IN ({",".join("?" * len(steps))})
                AND ended_at IS NOT NULL GROUP BY step)""",
            tuple(steps),
        )
        return {row[0]: from_text(row[2]) for row in rows if row[1] == "ok"}

    def last_runs(self) -> dict[tuple[str, str], dt.datetime]:
        """When each (step, source) last began."""
        rows = self.rows("SELECT step, source, max(started_at) FROM runs GROUP BY step, source")
        return {(row[0], row[1]): from_text(row[2]) for row in rows}

    def last_crawls(self) -> dict[str, sqlite3.Row]:
        """The newest crawl of each source."""
        rows = self.rows(
            """SELECT c.* FROM sources s JOIN crawls c ON c.id = (
                SELECT id FROM crawls WHERE source = s.source ORDER BY started_at DESC, id DESC LIMIT 1)"""
        )
        return {row["source"]: row for row in rows}

    def covered(self, since: dt.date) -> tuple[set[tuple[str, dt.date]], dict[str, dt.date], dict[str, dt.date]]:
        """What finished crawls have read: (source, day) from `since` on; the first day that each has not read to its end; its first day."""
        days = self.rows("SELECT source, day FROM covered_days WHERE day >= ?", (since.isoformat(),))
        to = self.rows("SELECT source, max(covered_to) FROM crawls WHERE finish_reason = 'finished' AND covered_to IS NOT NULL GROUP BY 1")
        first = self.rows("SELECT source, first_day FROM sources")
        return (
            {(row[0], dt.date.fromisoformat(row[1])) for row in days},
            {row[0]: from_text(row[1]).date() for row in to},
            {row[0]: dt.date.fromisoformat(row[1]) for row in first},
        )

    def unread_days(self, since: dt.date, fetched_before: dt.datetime | None = None) -> list[tuple[str, dt.date, int, int]]:
        """(source, UTC day, posts, of them not understood and fetched before a time) of days from `since` on with any such."""
        rows = self.rows(
            """SELECT source, substr(posted_at, 1, 10) AS day, count(*), count(*) FILTER (WHERE unread AND (?2 IS NULL OR fetched_at < ?2))
               FROM posts WHERE posted_at >= ?1 AND deleted_at IS NULL AND kind <> 'press' AND NOT archived
               AND EXISTS (SELECT 1 FROM posts WHERE unread AND posted_at >= ?1) GROUP BY 1, 2 HAVING count(*) FILTER (WHERE unread) > 0""",
            (since.isoformat(), to_text(fetched_before) if fetched_before else None),
        )
        return [(row[0], dt.date.fromisoformat(row[1]), row[2], row[3]) for row in rows]

    def standings(self) -> dict[str, Standing]:
        """The standing of every source that a crawl was made of; one that only ever was cut short by its operator has none."""
        rows = self.rows(
            # By time, since a merge brings older crawls later.
            """WITH newest AS (SELECT source, max(started_at) AS began,
                                   max(started_at) FILTER (WHERE finish_reason = 'finished') AS finished
                               FROM crawls WHERE finish_reason <> 'stopped' GROUP BY source)
               SELECT c.source, c.finish_reason, c.message, c.ended_at, (SELECT min(started_at) FROM crawls f
                   WHERE f.source = c.source AND f.started_at > coalesce(n.finished, '') AND f.finish_reason <> 'stopped') AS failing_since
               FROM newest n JOIN crawls c ON c.id = (SELECT max(id) FROM crawls l
                   WHERE l.source = n.source AND l.started_at = n.began AND l.finish_reason <> 'stopped')"""
        )
        return {
            row["source"]: Standing(
                row["finish_reason"], row["message"] or "", from_text(row["ended_at"]), from_text(row["failing_since"] or row["ended_at"])
            )
            for row in rows
        }
