"""What was understood of posts: unread ones out, languages, mentions and scores in."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.records import Mention, Score, to_text
from monitor.store.connection import Connection
from monitor.store.corrections import hold_place


@dataclass(frozen=True, slots=True)
class Unread:
    """A post that has not been understood: `thread_title` is its thread's title where its own text does not hold it."""

    id: int
    text: str
    title: str | None
    text_hash: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What understanding a post gave. `scores` maps a team to (input_hash, Score); a team without one is only a mention.

    A post that is not `complete` stays unread: for one of its teams the model is to be asked another time.
    """

    post_id: int
    text_hash: str
    language: str | None
    mentions: Sequence[Mention]
    scores: Mapping[str, tuple[str, Score]]
    complete: bool = True


def put_reading(connection: sqlite3.Connection, reading: Reading, model: str, at: dt.datetime, *, every_model: bool) -> None:
    """Put mentions and `model`'s scores of a post in place of what there is; scores by `every_model` go, or by this one alone."""
    connection.execute("DELETE FROM mentions WHERE post_id = ?", (reading.post_id,))
    connection.execute("DELETE FROM scores WHERE post_id = ? AND (model = ? OR ?)", (reading.post_id, model, every_model))
    connection.executemany(
        "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?, ?)", [(reading.post_id, m.team, m.start, m.end) for m in reading.mentions]
    )
    connection.executemany(
        "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (reading.post_id, team, model, digest, s.negative, s.neutral, s.positive, s.value, s.label, to_text(at), s.model)
            for team, (digest, s) in reading.scores.items()
        ],
    )
    hold_place(connection, reading.post_id, model)


class Readings(Connection):
    """The tables `mentions` and `scores`."""

    def read_by(self, reader: str, model: str) -> int:
        """Tell which reader (model and team definitions) reads from now on. Another than before makes every post unread
        but those that archives gave, which come anew with an archive's next run.

        `model` is the name@revision whose scores and trends are shown from now on.

        Returns the number of posts that became unread.
        """
        with self.writing() as connection:
            if self.fact("reader") == reader:
                return 0
            count = connection.execute("UPDATE posts SET unread = 1 WHERE deleted_at IS NULL AND NOT unread AND NOT archived").rowcount
            self._set_fact(connection, "reader", reader)
            self._set_fact(connection, "model", model)
            return count

    def unread_count(self) -> int:
        """How many posts wait to be understood."""
        return int(self.rows("SELECT count(*) FROM posts WHERE unread")[0][0])

    def unread(self, limit: int) -> list[Unread]:
        """Posts to be understood, newest first."""
        rows = self.rows("SELECT id, text, title, text_hash FROM posts WHERE unread ORDER BY posted_at DESC LIMIT ?", (limit,))
        return [Unread(*row) for row in rows]

    def known_scores(self, model: str, input_hashes: Sequence[str]) -> dict[str, Score]:
        """Scores that this very model has already given to exactly these inputs, by input hash."""
        found: dict[str, Score] = {}
        for start in range(0, len(input_hashes), 500):
            part = input_hashes[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in self.rows(
                f"SELECT input_hash, negative, neutral, positive FROM scores WHERE read_by = ? AND input_hash IN ({marks})", (model, *part)
            ):
                found[row[0]] = Score(model, row[1], row[2], row[3])
        return found

    def save_readings(self, readings: Iterable[Reading], *, model: str, at: dt.datetime) -> int:
        """Store what `model` understood, in one transaction. Returns how many posts that were.

        A post whose words changed meanwhile is left unread. Scores that another model gave to these words are kept beside, and
        so are corrections of them.
        """
        stored = 0
        with self.writing() as connection:
            for reading in readings:
                row = connection.execute(
                    "SELECT unread FROM posts WHERE id = ? AND text_hash = ? AND deleted_at IS NULL", (reading.post_id, reading.text_hash)
                ).fetchone()
                if row is None:
                    continue
                self._mark_dirty(connection, reading.post_id)
                put_reading(connection, reading, model, at, every_model=row["unread"] == 2)
                connection.execute(
                    "UPDATE posts SET unread = ?, language = coalesce(?, language) WHERE id = ?",
                    (not reading.complete, reading.language, reading.post_id),
                )
                self._mark_dirty(connection, reading.post_id)
                stored += 1
        return stored
