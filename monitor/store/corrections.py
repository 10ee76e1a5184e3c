"""What people say of posts that a model read wrongly, and how that counts wherever a score would.

A correction is of words: it counts while the post's words are those that the person read. A scores row is never changed
by one, so that undoing it, another model and `known_scores` find what the model said.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import Any

from monitor.records import Label, to_text
from monitor.store.connection import Connection, storable

CORRECTED = "LEFT JOIN corrections c ON c.post_id = s.post_id AND c.team = s.team AND c.text_hash = p.text_hash"
"""Joins the correction that counts to `scores s` and `posts p`; then LABEL and VALUE are what counts."""

LABEL = "coalesce(c.label, s.label)"
VALUE = "coalesce(1.0 * ((c.label = 'positive') - (c.label = 'negative')), s.value)"


def hold_place(connection: sqlite3.Connection, post_id: int, model: str) -> None:
    """Give a corrected team that the post names, and that `model` left without a score, a row for the correction to stand on."""
    connection.execute(
        """INSERT OR IGNORE INTO scores (post_id, team, model, input_hash, negative, neutral, positive, value, label, scored_at)
           SELECT c.post_id, c.team, ?, '', c.label = 'negative', c.label = 'neutral', c.label = 'positive',
               (c.label = 'positive') - (c.label = 'negative'), c.label, c.corrected_at
           FROM corrections c JOIN posts p ON p.id = c.post_id AND p.text_hash = c.text_hash
           WHERE c.post_id = ? AND EXISTS (SELECT 1 FROM mentions m WHERE m.post_id = c.post_id AND m.team = c.team)""",
        (model, post_id),
    )


class Corrections(Connection):
    """The table `corrections`. What changes a figure marks the post's day, as every write does."""

    def posts_at(self, place: str) -> list[sqlite3.Row]:
        """The posts with this id (posts.id, as text) or at this address: id, text, title, deleted_at."""
        number = int(place) if place.isascii() and place.isdigit() and len(place) < 19 else None
        sql = "SELECT id, text, title, deleted_at FROM posts WHERE id = ? OR url = ? ORDER BY id"
        return self.rows(sql, (number, storable(place) or None))  # the address of a tombstone is empty

    def correct(self, post_id: int, team: str, label: Label, *, note: str | None, at: dt.datetime) -> None:
        """Keep a person's label of a living post's present words, in place of an earlier one."""
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO corrections SELECT id, ?, ?, text_hash, ?, ? FROM posts WHERE id = ? AND deleted_at IS NULL",
                (team, label, storable(note), to_text(at), post_id),
            )
            hold_place(connection, post_id, self.model)
            self._mark_dirty(connection, post_id, team)

    def uncorrect(self, post_id: int, team: str) -> bool:
        """Take a correction back, so that the model's score counts again. False when there was none."""
        with self.writing() as connection:
            self._mark_dirty(connection, post_id, team)
            connection.execute("DELETE FROM scores WHERE post_id = ? AND team = ? AND input_hash = ''", (post_id, team))
            return bool(connection.execute("DELETE FROM corrections WHERE post_id = ? AND team = ?", (post_id, team)).rowcount)

    def corrections(self) -> list[dict[str, Any]]:
        """v_corrections, newest correction first."""
        return [dict(row) for row in self.rows("SELECT * FROM v_corrections ORDER BY corrected_at DESC, id DESC, team")]

    def corrected_mentions(self) -> list[sqlite3.Row]:
        """What the corrections that count are of, a row per mention: id, text, language, source, kind, team, label, note, start, end.

        By post, team and place. A lapsed correction has none, nor has one of a team that config.yaml no longer finds there.
        """
        return self.rows(
            """SELECT p.id, p.text, p.language, p.source, p.kind, c.team, c.label, c.note, m.start, m."end" FROM corrections c
               JOIN posts p ON p.id = c.post_id AND p.text_hash = c.text_hash
               JOIN mentions m ON m.post_id = c.post_id AND m.team = c.team ORDER BY p.id, c.team, m.start"""
        )
