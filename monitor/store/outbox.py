"""The outbox: messages on events and digests, one row per target; what is due, how it went, and what was given up."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from monitor.records import SOURCE_STOPPED, to_text
from monitor.store.connection import Connection
from monitor.store.corrections import CORRECTED, LABEL, VALUE

_TOLD_TOGETHER = (SOURCE_STOPPED,)
"""Rules whose alerts of one round are one event to a person: a network that is down stops every source."""

_EVENT = """SELECT e.id AS event_id, e."after" AS state, e.day AS event_day, e.at, e.reason AS event_reason,
    o.id AS opened_id, o.at AS opened_at, a.*
    FROM alert_events e JOIN alerts a ON a.id = e.alert_id
    JOIN alert_events f ON f.id = (SELECT min(id) FROM alert_events WHERE alert_id = a.id)
    JOIN alert_events o ON o.id = coalesce(f.told_with, f.id)"""


class DigestOf(NamedTuple):
    """What a digest is of: the UTC day `last`, or the seven days up to it."""

    every: Literal["day", "week"]
    last: dt.date


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to go out: the outbox row, and all that a message on an event says, or the period of a digest."""

    id: int
    target: str
    attempts: int
    event: Mapping[str, Any]
    posts: Sequence[Mapping[str, Any]]
    digest: DigestOf | None = None


class Outbox(Connection):
    """The table `deliveries`, and the column `told_with` of `alert_events`."""

    # ---- in ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def enqueue(connection: sqlite3.Connection, event_id: int, targets: Sequence[str], at: dt.datetime) -> None:
        """A message on an event for each target; for those alone who were told of its alert, where the event is its end.

        Where another message of the same round says the same of another source, to the same targets, it tells this one too.
        """
        event = connection.execute('SELECT rule, alert_id, "before", "after" FROM alert_events WHERE id = ?', (event_id,)).fetchone()
        if event["after"] != "firing":
            told = connection.execute(
                """SELECT target FROM deliveries d JOIN alert_events e ON d.event_id = coalesce(e.told_with, e.id)
                   WHERE e.alert_id = ?""",
                (event["alert_id"],),
            )
            targets = sorted({row[0] for row in told} & set(targets), key=list(targets).index)
        others: dict[int, set[str]] = {}
        if event["rule"] in _TOLD_TOGETHER:
            for row in connection.execute(
                """SELECT e.id, d.target FROM deliveries d JOIN alert_events e ON e.id = d.event_id
                   WHERE d.state = 'due' AND d.attempts = 0 AND d.created_at = ? AND e.id <> ? AND e.rule = ? AND e."after" = ?
                   AND (e."before" = e."after") = ? ORDER BY e.id""",
                (to_text(at), event_id, event["rule"], event["after"], event["before"] == event["after"]),
            ):
                others.setdefault(row[0], set()).add(row[1])
        lead = next((other for other, its in others.items() if its == set(targets)), None)
        if lead is not None:
            connection.execute("UPDATE alert_events SET told_with = ? WHERE id = ?", (lead, event_id))
            return
        connection.executemany(
            "INSERT INTO deliveries (event_id, target, state, created_at, next_attempt_at) VALUES (?, ?, 'due', ?, ?)",
            [(event_id, target, to_text(at), to_text(at)) for target in targets],
        )

    def enqueue_digest(self, digest: DigestOf, target: str, at: dt.datetime) -> bool:
        """Put a digest for a target into the outbox, once: False where it came into it before, whatever became of it."""
        with self.writing() as connection:
            row = (digest.every, digest.last.isoformat(), target, to_text(at))
            return bool(
                connection.execute(
                    """INSERT OR IGNORE INTO deliveries (digest, digest_day, target, state, created_at, next_attempt_at)
                       VALUES (?1, ?2, ?3, 'due', ?4, ?4)""",
                    row,
                ).rowcount
            )

    def digested_to(self, every: str, target: str) -> dt.date | None:
        """The last day of the latest digest of this length that came into the outbox for a target."""
        sql = "SELECT max(digest_day) FROM deliveries WHERE digest = ? AND target = ?"
        found = self.rows(sql, (every, target))[0][0]
        return dt.date.fromisoformat(found) if found else None

    # ---- out --------------------------------------------------------------------------------------------------------

    def due(self, at: dt.datetime) -> list[Due]:
        """Messages to be sent now, on events oldest first, then digests: those due, and those that a killed process had begun to send.

        The end of an alert waits behind its beginning while that waits for its next attempt at the same target.
        """
        found = []
        for row in self.rows(
            """SELECT d.id, d.target, d.attempts, d.event_id, d.digest, d.digest_day FROM deliveries d
               WHERE d.state IN ('due', 'sending') AND d.next_attempt_at <= :at AND NOT EXISTS (
                   SELECT 1 FROM alert_events mine JOIN alert_events earlier ON earlier.alert_id = mine.alert_id AND earlier.id < mine.id
                   JOIN deliveries waiting ON waiting.event_id = coalesce(earlier.told_with, earlier.id)
                   WHERE (mine.id = d.event_id OR mine.told_with = d.event_id) AND waiting.id <> d.id AND waiting.target = d.target
                   AND waiting.state IN ('due', 'sending') AND waiting.next_attempt_at > :at)
               ORDER BY d.event_id IS NULL, d.event_id, d.id""",
            {"at": to_text(at)},
        ):
            head = (row["id"], row["target"], row["attempts"])
            if row["event_id"] is None:
                found.append(Due(*head, {}, (), DigestOf(row["digest"], dt.date.fromisoformat(row["digest_day"]))))
                continue
            event = self.rows(f"{_EVENT} WHERE e.id = ?", (row["event_id"],))[0]
            found.append(Due(*head, {**dict(event), "state": event["state"]}, self.alert_posts(event["id"])))
        return found

    def told_with(self, event_id: int) -> list[dict[str, Any]]:
        """The other events that the message on an event tells, oldest first, with the columns of `Due.event`.

        They are all there once `begin_delivery` was called: no event joins a message that has been begun.
        """
        rows = self.rows(f"{_EVENT} WHERE e.told_with = ? ORDER BY e.id", (event_id,))
        return [{**dict(row), "state": row["state"]} for row in rows]

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
        self, delivery_id: int, *, sent_at: dt.datetime | None, error: str | None = None, again_at: dt.datetime | None = None,
        retry_after: dt.datetime | None = None,
    ) -> None:  # fmt: skip
        """Note how it ended: sent (`error` is then what a person should know all the same), to be tried `again_at`, or given up.

        `retry_after`: until when the far side asks to be left alone.
        """
        state = "sent" if sent_at else "due" if again_at else "failed"
        moments = (to_text(moment) if moment else None for moment in (sent_at, again_at, retry_after))
        with self.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, error = ?, sent_at = ?, next_attempt_at = ?, retry_after = ? WHERE id = ?",
                (state, error, *moments, delivery_id),
            )

    def held(self, at: dt.datetime) -> set[str]:
        """The targets that asked to be left alone for a time which is not over."""
        return {row[0] for row in self.rows("SELECT DISTINCT target FROM deliveries WHERE retry_after > ?", (to_text(at),))}

    # ---- given up ---------------------------------------------------------------------------------------------------

    def given_up(self) -> list[dict[str, Any]]:
        """Messages that were given up, oldest first: id, target, state told of, rule, team, source, day, created_at, attempts, error.

        Of a digest the rule is `digest` and the state its length.
        """
        rows = self.rows(
            """SELECT d.id, d.target, coalesce(e."after", d.digest) AS state, coalesce(e.rule, 'digest') AS rule,
                coalesce(e.team, '*') AS team, coalesce(e.source, '*') AS source, coalesce(e.day, d.digest_day) AS day, d.created_at,
                d.attempts, d.error
               FROM deliveries d LEFT JOIN alert_events e ON e.id = d.event_id WHERE d.state = 'failed' ORDER BY d.id"""
        )
        return [dict(row) for row in rows]

    def refused(self) -> bool:
        """Whether a message waits that could not be sent before."""
        return bool(self.rows("SELECT 1 FROM deliveries WHERE state IN ('due', 'sending') AND attempts > 0 LIMIT 1"))

    def retry_deliveries(self, delivery_id: int | None, at: dt.datetime) -> int:
        """Make a message that was given up due again, with all its attempts before it (None: each of them); returns how many."""
        with self.writing() as connection:
            return connection.execute(
                """UPDATE deliveries SET state = 'due', attempts = 0, next_attempt_at = :at, retry_after = NULL
                   WHERE state = 'failed' AND (:id IS NULL OR id = :id)""",
                {"at": to_text(at), "id": delivery_id},
            ).rowcount
