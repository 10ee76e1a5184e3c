"""Rows that may leave the store, as monitor/leaving.py asks for them; what of them is withheld is decided there.

The promise: nothing here reads an author's key, and only `published_links` reads a post's words. Rows come one after
another, so that a million of them fit, and within `reading` all of them are of one moment.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

from monitor.records import DailyTrend
from monitor.store.connection import Connection


class Span(NamedTuple):
    """The UTC days `first`..`last`, and a team alone where one is named."""

    first: dt.date
    last: dt.date
    team: str | None = None


class Published(Connection):
    """Reading only."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What is read within is what stood in the store when it began, whatever is written meanwhile."""
        with self._errors():
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    def _streamed(self, sql: str, span: Span, **more: Any) -> Iterator[dict[str, Any]]:
        values = {"first": span.first.isoformat(), "last": span.last.isoformat(), "team": span.team, "model": self.model, **more}
        with self._errors():
            for row in self.connection.execute(sql, values):
                yield dict(row)

    def published_days(self, span: Span) -> Iterator[tuple[DailyTrend, float | None]]:
        """Daily trends of the model in use with their coverage, by day, team and source."""
        sql = """SELECT day, team, source, model, posts, authors, threads, sufficient, mean, low, high, negative_share, neutral_share,
            positive_share, effective, coverage FROM v_daily WHERE day BETWEEN :first AND :last AND model = :model
            AND (:team IS NULL OR team = :team) ORDER BY day, team, source, model"""
        for row in self._streamed(sql, span):
            row["day"], row["sufficient"] = dt.date.fromisoformat(row["day"]), bool(row["sufficient"])
            coverage = row.pop("coverage")
            yield DailyTrend(**row), coverage

    def published_alerts(self, span: Span) -> Iterator[dict[str, Any]]:
        """Alerts of rules that fired on these days, by id; those on the state of the crawler itself are the operator's own."""
        return self._streamed(
            """SELECT id, rule, type, severity, team, source, model, state, day, fired_at, resolved_day, resolved_at, value, before,
                threshold, low, high, authors, posts, reason, why FROM alerts WHERE day BETWEEN :first AND :last
                AND type NOT IN ('stopped', 'unread') AND (:team IS NULL OR team = :team) ORDER BY id""",
            span,
        )

    def published_coverage(self, span: Span) -> Iterator[dict[str, Any]]:
        """day, source, posts, covered (see v_coverage), by day and source."""
        sql = "SELECT day, source, posts, covered FROM v_coverage WHERE day BETWEEN :first AND :last ORDER BY day, source"
        return self._streamed(sql, span)

    def published_links(self, span: Span) -> Iterator[dict[str, Any]]:
        """Where posts that name a team stand: posted_at, source, kind, language, team, url, text; the oldest first.

        Not those that archives gave, which were chosen for what they say.
        """
        return self._streamed(
            """SELECT posted_at, source, kind, language, team, url, text FROM v_posts
               WHERE posted_at >= :first AND posted_at < :last || 'T24' AND model = :model AND url <> ''
               AND id NOT IN (SELECT id FROM posts WHERE archived)
               AND (:team IS NULL OR team = :team) ORDER BY posted_at, id, team""",
            span,
        )

    def crawled_sources(self) -> dict[str, tuple[str, str]]:
        """The first and the last UTC day (ISO text) of each source that was ever crawled."""
        return {row[0]: (row[1], row[2]) for row in self.rows("SELECT source, first_day, last_day FROM sources ORDER BY source")}
