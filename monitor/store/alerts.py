"""Alert states, the alerts that came of them, and the outbox: each step of a round stored whole."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.records import to_text
from monitor.store.connection import Connection
from monitor.store.corrections import CORRECTED, LABEL, VALUE
from monitor.store.echoes import OWN_WORDS


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


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to go out: the outbox row, and all that the message says."""

    id: int
    target: str
    attempts: int
    event: Mapping[str, Any]
    posts: Sequence[Mapping[str, Any]]


class Alerts(Connection):
    """The tables `alert_states`, `alert_events`, `alerts`, `alert_posts` and `deliveries`."""

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

        A change to firing makes the alert and one delivery per target; a change to resolved ends it and makes one
        delivery per target that the firing went to.
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
                        self._enqueue(connection, event_id, alert_id, after, chosen, at)
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

    @staticmethod
    def _enqueue(
        connection: sqlite3.Connection, event_id: int, alert_id: int | None, after: str, targets: Sequence[str], at: dt.datetime
    ) -> None:
        told = {
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT target FROM deliveries d JOIN alert_events e ON e.id = d.event_id WHERE e.alert_id = ?", (alert_id,)
            )
        }
        for target in targets:
            if after == "firing" or target in told:
                connection.execute(
                    "INSERT INTO deliveries (event_id, target, state, created_at, next_attempt_at) VALUES (?, ?, 'due', ?, ?)",
                    (event_id, target, to_text(at), to_text(at)),
                )

    def due(self, at: dt.datetime) -> list[Due]:
        """Messages to be sent now, oldest first: those due, and those that a killed process had begun to send.

        The end of an alert waits behind its beginning while that waits for its next attempt at the same target.
        """
        found = []
        for row in self.rows(
            """SELECT d.id, d.target, d.attempts, d.event_id FROM deliveries d JOIN alert_events e ON e.id = d.event_id
               WHERE d.state IN ('due', 'sending') AND d.next_attempt_at <= :at AND NOT EXISTS (
                   SELECT 1 FROM deliveries waiting JOIN alert_events earlier ON earlier.id = waiting.event_id
                   WHERE earlier.alert_id = e.alert_id AND earlier.id < e.id AND waiting.target = d.target
                   AND waiting.state IN ('due', 'sending') AND waiting.next_attempt_at > :at)
               ORDER BY d.event_id, d.id""",
            {"at": to_text(at)},
        ):
            event = self.rows(
                """SELECT e.id AS event_id, e."after" AS state, e.day AS event_day, e.at, e.reason AS event_reason,
                    o.id AS opened_id, o.at AS opened_at, a.*
                   FROM alert_events e JOIN alerts a ON a.id = e.alert_id
                   JOIN alert_events o ON o.id = (SELECT min(id) FROM alert_events WHERE alert_id = a.id) WHERE e.id = ?""",
                (row["event_id"],),
            )[0]
            posts = self.alert_posts(event["id"])
            found.append(Due(row["id"], row["target"], row["attempts"], {**dict(event), "state": event["state"]}, posts))
        return found

    def alert_posts(self, alert_id: int) -> list[dict[str, Any]]:
        """The living posts that show an alert: url, text, posted_at, source, label, value."""
        rows = self.rows(
            f"""SELECT p.url, p.text, p.posted_at, p.source, {LABEL} AS label, {VALUE} AS value
               FROM alert_posts x JOIN alerts a ON a.id = x.alert_id JOIN posts p ON p.id = x.post_id AND p.deleted_at IS NULL
               LEFT JOIN scores s ON s.post_id = p.id AND s.team = a.team AND s.model = a.model AND p.unread < 2 {CORRECTED}
               WHERE x.alert_id = ? ORDER BY x.position""",
            (alert_id,),
        )
        return [dict(row) for row in rows]

    def begin_delivery(self, delivery_id: int) -> None:
        """Note that a message is about to leave; until `end_delivery`, a restart cannot tell whether it did."""
        with self.writing() as connection:
            connection.execute("UPDATE deliveries SET state = 'sending', attempts = attempts + 1 WHERE id = ?", (delivery_id,))

    def end_delivery(
        self, delivery_id: int, *, sent_at: dt.datetime | None, error: str | None = None, again_at: dt.datetime | None = None
    ) -> None:
        """Note how it ended: sent (`error` is then what a person should know all the same), to be tried `again_at`, or given up."""
        state = "sent" if sent_at else "due" if again_at else "failed"
        with self.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, sent_at = ?, error = ?, next_attempt_at = ? WHERE id = ?",
                (state, to_text(sent_at) if sent_at else None, error, to_text(again_at) if again_at else None, delivery_id),
            )

    def given_up(self) -> list[dict[str, Any]]:
        """Messages that were given up, oldest first: id, target, state told of, rule, team, source, day, created_at, attempts, error."""
        rows = self.rows(
            """SELECT d.id, d.target, e."after" AS state, e.rule, e.team, e.source, e.day, d.created_at, d.attempts, d.error
               FROM deliveries d JOIN alert_events e ON e.id = d.event_id WHERE d.state = 'failed' ORDER BY d.id"""
        )
        return [dict(row) for row in rows]

    def refused(self) -> bool:
        """Whether a message waits that could not be sent before."""
        return bool(self.rows("SELECT 1 FROM deliveries WHERE state IN ('due', 'sending') AND attempts > 0 LIMIT 1"))

    def retry_deliveries(self, delivery_id: int | None, at: dt.datetime) -> int:
        """Make a message that was given up due again, with all its attempts before it (None: each of them); returns how many."""
        with self.writing() as connection:
            return connection.execute(
                """UPDATE deliveries SET state = 'due', attempts = 0, next_attempt_at = :at
                   WHERE state = 'failed' AND (:id IS NULL OR id = :id)""",
                {"at": to_text(at), "id": delivery_id},
            ).rowcount
