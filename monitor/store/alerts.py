"""Alert states and the alerts that came of them, each step of a round stored whole, with its messages."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.records import to_text
from monitor.store.corrections import CORRECTED, LABEL, VALUE
from monitor.store.echoes import OWN_WORDS
from monitor.store.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alert's state machine, to be stored whole: the new state, the event if it changed, and the alert."""

    rule: str
    type: str
    team: str
    source: str
    model: str
    state: str
    since: dt.date
    checked_day: dt.date | None
    streak: int
    event: tuple[str, str, dt.date, str] | None = None
    """(before, after, day, reason) when the state changed."""
    figures: Mapping[str, float | int | str | None] | None = None
    """value, before, threshold, low, high, authors, posts of the alert that begins with this step."""
    evidence: Sequence[int] = ()
    why: str | None = None
    """What moved the figure, in plain sentences (monitor/explain.py), of the alert that begins with this step."""
    health: str = "ok"
    health_reason: str = ""
    """Why the health is another than before, if it is."""
    severity: str | None = None
    targets: Sequence[str] | None = None
    """Who is told of the alert that begins with this step, of all targets; None: all."""
    untold: str | None = None
    """Why nobody is told of it, in a sentence."""
    part_of: tuple[str, str, str] | None = None
    """The key of the alert that is told in its place."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What has one state: rule, team, source."""
        return self.rule, self.team, self.source

    @property
    def begins(self) -> bool:
        """Whether an alert begins with this step, and not one goes on that had begun to recover."""
        return self.event is not None and self.event[1] == "firing" and self.event[0] != "recovering"

    @property
    def told(self) -> bool:
        """Whether people are told of this step, unless a silence or another alert stands in its way."""
        return self.begins or (self.event is not None and self.event[1] == "resolved")


class Alerts(Outbox):
    """The tables `alert_states`, `alert_events`, `alerts` and `alert_posts`."""

    def alert_states(self) -> dict[tuple[str, str, str], sqlite3.Row]:
        """Where each (rule, team, source) stands: state, since, checked_day, streak, alert_id, health."""
        return {(row["rule"], row["team"], row["source"]): row for row in self.rows("SELECT * FROM alert_states")}

    def evidence(self, team: str, source: str, model: str, first: dt.date, last: dt.date) -> list[dict[str, Any]]:
        """Scored posts of these days about a team: id, posted_at, source, thread_id, author_key, value, label, text length; no reposts."""
        rows = self.rows(
            f"""SELECT p.id, p.posted_at, p.source, p.thread_id, p.author_key, {VALUE} AS value, {LABEL} AS label,
                length(p.text) AS length FROM posts p JOIN scores s ON s.post_id = p.id {CORRECTED}
               WHERE s.team = ? AND s.model = ? AND (? = '*' OR p.source = ?)
               AND p.posted_at >= ? AND p.posted_at < ? AND p.kind <> 'press' AND p.deleted_at IS NULL AND p.unread < 2
               AND {OWN_WORDS} ORDER BY p.posted_at, p.id""",
            (team, model, source, source, first.isoformat(), f"{last}T24"),
        )
        return [dict(row) for row in rows]

    def save_steps(self, steps: Iterable[Step], *, targets: Sequence[str], at: dt.datetime) -> list[int]:
        """Store steps of alert state machines, in one transaction; returns the ids of events that people will be told of.

        A change to firing makes the alert and one message per target; a change to resolved ends it and makes one
        message per target that the firing went to (see `Outbox.enqueue`).
        """
        told = []
        with self.writing() as connection:
            for step in steps:
                key = step.key
                old = self._standing(connection, key)
                alert_id = old["alert_id"] if old else None
                if step.health != (old["health"] if old else "ok"):
                    day = step.checked_day or at.astimezone(dt.UTC).date()
                    self._change(connection, key, None, old["health"] if old else "ok", step.health, day, at, step.health_reason)
                if step.event:
                    before, after, day, reason = step.event
                    if step.begins:
                        alert_id = self._open_alert(connection, step, day, reason, at)
                    elif after == "resolved":
                        connection.execute(
                            "UPDATE alerts SET state = 'resolved', resolved_at = ?, resolved_day = ? WHERE id = ?",
                            (to_text(at), day.isoformat(), alert_id),
                        )
                    of = alert_id if after in ("firing", "recovering", "resolved") else None
                    event_id = self._change(connection, key, of, before, after, day, at, reason)
                    if step.told and not (step.begins and step.untold):
                        told.append(event_id)
                        chosen = step.targets if step.begins and step.targets is not None else targets
                        self.enqueue(connection, event_id, chosen, at)
                connection.execute(
                    "INSERT OR REPLACE INTO alert_states VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *key,
                        step.state,
                        step.since.isoformat(),
                        step.checked_day.isoformat() if step.checked_day else None,
                        step.streak,
                        alert_id,
                        step.health,
                    ),
                )
        return told

    @staticmethod
    def _standing(connection: sqlite3.Connection, key: tuple[str, str, str]) -> sqlite3.Row | None:
        sql = "SELECT alert_id, health FROM alert_states WHERE rule = ? AND team = ? AND source = ?"
        found: sqlite3.Row | None = connection.execute(sql, key).fetchone()
        return found

    @staticmethod
    def _change(
        connection: sqlite3.Connection, key: tuple[str, str, str], alert_id: int | None, before: str, after: str, day: dt.date,
        at: dt.datetime, reason: str,
    ) -> int:  # fmt: skip
        """A new row in `alert_events`."""
        return int(
            connection.execute(
                """INSERT INTO alert_events (rule, team, source, alert_id, "before", "after", day, at, reason)
                   VALUES (?,?,?,?,?,?,?,?,?)""",
                (*key, alert_id, before, after, day.isoformat(), to_text(at), reason),
            ).lastrowid
            or 0
        )

    @classmethod
    def _open_alert(cls, connection: sqlite3.Connection, step: Step, day: dt.date, reason: str, at: dt.datetime) -> int:
        figures = step.figures or {}
        root = cls._standing(connection, step.part_of) if step.part_of else None
        alert_id = connection.execute(
            """INSERT INTO alerts (rule, type, team, source, model, state, day, fired_at, value, "before", threshold, low, high,
                authors, posts, reason, why, severity, untold, part_of)
               VALUES (?, ?, ?, ?, ?, 'firing', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (step.rule, step.type, step.team, step.source, step.model, day.isoformat(), to_text(at),
             *(figures.get(name) for name in ("value", "before", "threshold", "low", "high", "authors", "posts")), reason, step.why,
             step.severity, step.untold, root["alert_id"] if root else None),
        ).lastrowid  # fmt: skip
        connection.executemany("INSERT INTO alert_posts VALUES (?, ?, ?)", [(alert_id, n, post) for n, post in enumerate(step.evidence)])
        return int(alert_id or 0)
