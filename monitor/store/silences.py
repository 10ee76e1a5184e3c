"""Silences, and alerts that fire: which were told, which were kept, and which are to be told now or again."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence

from monitor.records import from_text, to_text
from monitor.store.alerts import Alerts


class Silences(Alerts):
    """The table `silences`, and the columns `untold` and `part_of` of `alerts`."""

    def silences(self, at: dt.datetime | None = None) -> list[sqlite3.Row]:
        """Silences, oldest first: id, rule, team, source (`*`: any), begins_at, ends_at, reason. `at`: those in force then."""
        moment = to_text(at) if at else None
        return self.rows("SELECT * FROM silences WHERE ?1 IS NULL OR (begins_at <= ?1 AND ends_at > ?1) ORDER BY id", (moment,))

    def silence(self, rule: str, team: str, source: str, *, begins_at: dt.datetime, ends_at: dt.datetime, reason: str) -> int:
        """A new silence, whose id is returned."""
        row = (rule, team, source, to_text(begins_at), to_text(ends_at), reason)
        with self.writing() as connection:
            found = connection.execute(
                "INSERT INTO silences (rule, team, source, begins_at, ends_at, reason) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            return int(found.lastrowid or 0)

    def end_silence(self, silence_id: int, at: dt.datetime) -> bool:
        """End a silence; False where none with this id is in force."""
        with self.writing() as connection:
            sql = "UPDATE silences SET ends_at = ?1 WHERE id = ?2 AND ends_at > ?1"
            return bool(connection.execute(sql, (to_text(at), silence_id)).rowcount)

    def firing_alerts(self) -> list[sqlite3.Row]:
        """Alerts that fire, oldest first: the columns of `alerts`, and `told_at`, when the last message on it came into the outbox."""
        return self.rows(
            """SELECT a.*, (SELECT max(d.created_at) FROM deliveries d
                            JOIN alert_events e ON d.event_id = coalesce(e.told_with, e.id) WHERE e.alert_id = a.id) AS told_at
               FROM alerts a WHERE a.state = 'firing' ORDER BY a.id"""
        )

    def keep_untold(self, alert_id: int, why: str) -> None:
        """Note another reason why nobody is told of an alert."""
        with self.writing() as connection:
            connection.execute("UPDATE alerts SET untold = ? WHERE id = ? AND untold IS NOT NULL", (why, alert_id))

    def tell(self, alert_id: int, targets: Sequence[str], at: dt.datetime) -> bool:
        """Put the message on the beginning of an alert that fires and was told to nobody into the outbox; False where there is none."""
        with self.writing() as connection:
            sql = "UPDATE alerts SET untold = NULL, part_of = NULL WHERE id = ? AND untold IS NOT NULL AND state = 'firing'"
            if not connection.execute(sql, (alert_id,)).rowcount:
                return False
            opened = connection.execute("SELECT min(id) FROM alert_events WHERE alert_id = ?", (alert_id,)).fetchone()[0]
            self.enqueue(connection, opened, targets, at)
            return True

    def tell_again(self, alert_id: int, targets: Sequence[str], reason: str, at: dt.datetime, *, every: dt.timedelta) -> bool:
        """A further message on an alert that still fires, unless one came into the outbox within `every`."""
        with self.writing() as connection:
            row = next((row for row in self.firing_alerts() if row["id"] == alert_id), None)
            if row is None or row["told_at"] is None or from_text(row["told_at"]) + every > at:
                return False
            key, day = (row["rule"], row["team"], row["source"]), at.astimezone(dt.UTC).date()
            event_id = self._change(connection, key, alert_id, "firing", "firing", day, at, reason)
            self.enqueue(connection, event_id, targets, at)
            return True
