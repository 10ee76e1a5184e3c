"""What pages and a watching program ask of alerts, crawls and runs: where all of it stands now, and what was.

The promise: each answer comes from an index or from tables that stay small, so that asking every few seconds costs nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from monitor.records import from_text
from monitor.store.connection import Connection

_RECENT_EVENTS = 10_000
"""Of `alert_events` so many are looked through for the reasons of what stands now."""


class PageOfAlerts(NamedTuple):
    """Alerts, newest first, and the id with which the next page begins, if there is one."""

    alerts: list[dict[str, Any]]
    older: int | None


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["rule"], row["team"], row["source"]


class Watched(Connection):
    """Questions on `alert_states`, `alerts`, `deliveries`, `crawls` and `runs`."""

    def series(self) -> list[dict[str, Any]]:
        """Every series that is watched and is not normal and well: the columns of `alert_states`, `reason`, `health_reason`.

        A reason is None where it is that of an old event. What fires stands first.
        """
        rows = [
            dict(row)
            for row in self.rows(
                """SELECT s.*, a.reason FROM alert_states s LEFT JOIN alerts a ON a.id = s.alert_id AND s.state = 'firing'
                   WHERE s.checked_day IS NOT NULL AND (s.state IN ('pending', 'firing', 'recovering') OR s.health <> 'ok')
                   ORDER BY s.state <> 'firing', s.state <> 'recovering', s.state <> 'pending', s.since DESC, s.rule, s.team, s.source"""
            )
        ]
        standing = ("pending", "recovering")
        lacking = {(*_key(row), row["state"]) for row in rows if row["state"] in standing}
        reasons = self._reasons(lacking | {(*_key(row), row["health"]) for row in rows if row["health"] != "ok"})
        return [
            row
            | {
                "reason": reasons.get((*_key(row), row["state"])) if row["state"] in standing else row["reason"],
                "health_reason": reasons.get((*_key(row), row["health"])),
            }
            for row in rows
        ]

    def _reasons(self, wanted: set[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
        """By (rule, team, source, what began): why it last did, of the recent events."""
        found: dict[tuple[str, ...], str] = {}
        newest = self.connection.execute(
            'SELECT rule, team, source, "after", reason FROM alert_events ORDER BY id DESC LIMIT ?', (_RECENT_EVENTS,)
        )
        with self._errors(), contextlib.closing(newest):
            for rule, team, source, after, reason in newest if wanted else ():
                key = (rule, team, source, after)
                if key in wanted and key not in found:
                    found[key] = reason
                    if len(found) == len(wanted):
                        break
        return found

    def series_counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many watched series are in each state, and of each health."""
        states, healths = defaultdict[str, int](int), defaultdict[str, int](int)
        for row in self.rows("SELECT state, health, count(*) FROM alert_states WHERE checked_day IS NOT NULL GROUP BY 1, 2"):
            states[row[0]] += row[2]
            healths[row[1]] += row[2]
        return dict(states), dict(healths)

    def alert_page(self, *, newest: int | None = None, limit: int = 20, **wanted: str | None) -> PageOfAlerts:
        """`limit` alerts from id `newest` down, of those with the `team`, `rule`, `source` and `stage` that are `wanted`.

        Beside the columns of `alerts` each has its `stage`: firing, recovering or resolved.
        """
        rows = self.rows(
            """SELECT * FROM (SELECT a.*, CASE WHEN a.state = 'firing' AND s.state = 'recovering' THEN s.state ELSE a.state END AS stage
                              FROM alerts a LEFT JOIN alert_states s ON (s.rule, s.team, s.source) = (a.rule, a.team, a.source))
               WHERE (:newest IS NULL OR id <= :newest) AND (:team IS NULL OR team = :team) AND (:rule IS NULL OR rule = :rule)
               AND (:source IS NULL OR source = :source) AND (:stage IS NULL OR stage = :stage) ORDER BY id DESC LIMIT :more""",
            {"team": None, "rule": None, "source": None, "stage": None, **wanted, "newest": newest, "more": limit + 1},
        )
        return PageOfAlerts([dict(row) for row in rows[:limit]], rows[limit]["id"] if len(rows) > limit else None)

    def messages_on(self, alert_ids: Collection[int]) -> dict[int, list[dict[str, Any]]]:
        """By alert, the messages that tell of it: target, state (`due`, `sending`, `sent` or `failed`), and how many (`messages`)."""
        rows = self.rows(
            f"""SELECT e.alert_id, d.target, d.state, count(*) AS messages FROM alert_events e
                JOIN deliveries d ON d.event_id = coalesce(e.told_with, e.id)
                WHERE e.alert_id IN ({",".join("?" * len(alert_ids))}) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
            tuple(alert_ids),
        )
        found = defaultdict[int, list[dict[str, Any]]](list)
        for row in rows:
            found[row["alert_id"]].append(dict(row))
        return found

    def last_success(self, step: str) -> dt.datetime | None:
        """When a run of a step last ended well."""
        return self._moment(
            "SELECT ended_at FROM runs WHERE step = ? AND source = '' AND outcome = 'ok' ORDER BY started_at DESC LIMIT 1", step
        )

    def last_finished(self, source: str) -> tuple[dt.datetime, dt.datetime | None] | None:
        """When a crawl of a source last finished, and up to when it read, where it says so."""
        rows = self.rows(
            "SELECT ended_at, covered_to FROM crawls WHERE source = ? AND finish_reason = 'finished' ORDER BY started_at DESC LIMIT 1",
            (source,),
        )
        return next(((from_text(row[0]), from_text(row[1]) if row[1] else None) for row in rows), None)

    def covered_days(self, since: dt.date) -> tuple[set[tuple[str, dt.date]], dict[str, dt.date]]:
        """(source, UTC day) from `since` on that finished crawls have read; and the first day of each source."""
        days = self.rows("SELECT source, day FROM covered_days WHERE day >= ?", (since.isoformat(),))
        first = self.rows("SELECT source, first_day FROM sources")
        return {(row[0], dt.date.fromisoformat(row[1])) for row in days}, {row[0]: dt.date.fromisoformat(row[1]) for row in first}

    def first_run(self) -> dt.datetime | None:
        """When the oldest run began that is remembered."""
        return self._moment("SELECT started_at FROM runs ORDER BY id LIMIT 1")

    def _moment(self, sql: str, *parameters: str) -> dt.datetime | None:
        return next((from_text(row[0]) for row in self.rows(sql, parameters)), None)

    def lengths(self) -> Mapping[str, int]:
        """What waits, and how much there is: `unread` posts, `days` of teams to be computed, messages `due` and `failed`, `last_post`.

        `last_post` is the number of the newest post, which is how many were ever stored: counting them would read an index whole.
        """
        row = self.rows(
            """SELECT (SELECT count(*) FROM posts WHERE unread) AS unread, (SELECT count(*) FROM dirty_days) AS days,
                (SELECT count(*) FROM deliveries WHERE state IN ('due', 'sending')) AS due,
                (SELECT count(*) FROM deliveries WHERE state = 'failed') AS failed, (SELECT coalesce(max(id), 0) FROM posts) AS last_post"""
        )[0]
        return dict(row)
