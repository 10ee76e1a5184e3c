"""What crawls remember of their manners: what a host's own files allow, how often it was asked, what was decided on each URL.

The promise: it outlives the process, so that a budget per hour and a robots.txt of today hold for every crawl; and it stays
small: decisions of each source's last crawl only, requests of the last hours only.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.records import from_text, to_text
from monitor.store.connection import Connection, storable

KEEP_VISITS = 5000
"""Decisions that are kept of one crawl: its first ones."""

_KEEP_ASKED = dt.timedelta(hours=2)


@dataclass(slots=True)
class SiteFile:
    """A host's /robots.txt or /.well-known/tdmrep.json. `host` is scheme, name and port; `read_at` is aware.

    `text` is empty where there is no such file, None where it could not be read; `verdict` says what follows from it.
    """

    host: str
    path: str
    text: str | None
    verdict: str
    read_at: dt.datetime


@dataclass(slots=True)
class Visit:
    """The decision on one URL (without its query and password): asked, with the answer's HTTP status, or refused.

    `reason` says why it was refused, why there was no answer, or why the answer was not used; else it is empty.
    """

    host: str
    url: str
    decision: Literal["asked", "refused"]
    at: dt.datetime
    status: int | None = None
    reason: str = ""


class Visits(Connection):
    """The tables `visits`, `site_files` and `asked`."""

    def site_file(self, host: str, path: str) -> SiteFile | None:
        """What was last read of a host's file."""
        rows = self.rows("SELECT host, path, text, verdict, read_at FROM site_files WHERE host = ? AND path = ?", (host, path))
        return next((SiteFile(row[0], row[1], row[2], row[3], from_text(row[4])) for row in rows), None)

    def asked(self, host: str, since: dt.datetime, until: dt.datetime) -> dict[dt.datetime, int]:
        """Requests to a host by the minute in which they were made, whichever source made them."""
        rows = self.rows(
            "SELECT minute, requests FROM asked WHERE host = ? AND minute BETWEEN ? AND ?", (host, to_text(since), to_text(until))
        )
        return {from_text(row["minute"]): int(row["requests"]) for row in rows}

    def save_visits(
        self,
        crawl_id: int,
        visits: Sequence[Visit],
        *,
        asked: Mapping[tuple[str, dt.datetime], int],
        files: Sequence[SiteFile],
        now: dt.datetime,
    ) -> None:
        """Add a batch of a crawl's decisions, of requests by (host, minute), and what was read of hosts' files.

        The decisions of the source's earlier crawls go; beyond KEEP_VISITS the crawl's own are dropped.
        """
        with self.writing() as connection:
            known = int(connection.execute("SELECT count(*) FROM visits WHERE crawl_id = ?", (crawl_id,)).fetchone()[0])
            if not known:
                connection.execute(
                    """DELETE FROM visits WHERE crawl_id IN (SELECT DISTINCT v.crawl_id FROM visits v JOIN crawls c ON c.id = v.crawl_id
                       WHERE c.source = (SELECT source FROM crawls WHERE id = :id) AND c.id <> :id)""",
                    {"id": crawl_id},
                )
            connection.executemany(
                "INSERT INTO visits (crawl_id, position, host, url, decision, status, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (crawl_id, known + n, one.host, storable(one.url), one.decision, one.status, storable(one.reason), to_text(one.at))
                    for n, one in enumerate(visits[: max(0, KEEP_VISITS - known)])
                ],
            )
            connection.executemany(
                "INSERT INTO asked VALUES (?, ?, ?) ON CONFLICT (host, minute) DO UPDATE SET requests = requests + excluded.requests",
                [(host, to_text(minute), count) for (host, minute), count in asked.items()],
            )
            connection.execute("DELETE FROM asked WHERE minute < ?", (to_text(now - _KEEP_ASKED),))
            connection.executemany(
                "INSERT OR REPLACE INTO site_files (host, path, text, verdict, read_at) VALUES (?, ?, ?, ?, ?)",
                [(one.host, one.path, storable(one.text), one.verdict, to_text(one.read_at)) for one in files],
            )

    def visits(self, source: str) -> list[sqlite3.Row]:
        """The decisions of a source's last crawl, in their order: url, decision, status, reason, at."""
        return self.rows(
            # Of the last crawl that has any: those that a merge brought have none.
            """SELECT url, decision, status, reason, at FROM visits WHERE crawl_id = (
                   SELECT max(v.crawl_id) FROM visits v JOIN crawls c ON c.id = v.crawl_id WHERE c.source = ?) ORDER BY position""",
            (source,),
        )

    def verdicts(self, source: str) -> list[sqlite3.Row]:
        """What the files of the hosts of a source's last recorded crawl said last: host, path, verdict, read_at."""
        return self.rows(
            # Few crawls have visits, of the many that a source has had: they are looked up one by one in the index.
            """WITH RECURSIVE recorded (id) AS (SELECT min(crawl_id) FROM visits
                   UNION ALL SELECT (SELECT min(crawl_id) FROM visits WHERE crawl_id > id)
                             FROM recorded WHERE id IS NOT NULL)
               SELECT host, path, verdict, read_at FROM site_files WHERE host IN (
                   SELECT v.host FROM recorded r CROSS JOIN crawls c ON c.id = r.id AND +c.source = ?
                   CROSS JOIN visits v ON v.crawl_id = r.id)
               ORDER BY host, path DESC""",
            (source,),
        )

    def source_coverage(self, source: str, first: dt.date, last: dt.date) -> float | None:
        """The share in [0, 1] of the days in `first`..`last`, since the source's own first day, that a finished crawl read.

        None where it had no day there.
        """
        row = self.rows(
            """WITH RECURSIVE days (day) AS (SELECT ? UNION ALL SELECT date(day, '+1 day') FROM days WHERE day < ?)
               SELECT avg(EXISTS (SELECT 1 FROM covered_days c WHERE c.day = days.day AND c.source = s.source))
               FROM days JOIN sources s ON s.source = ? AND days.day >= s.first_day""",
            (first.isoformat(), last.isoformat(), source),
        )[0]
        return None if row[0] is None else float(row[0])
