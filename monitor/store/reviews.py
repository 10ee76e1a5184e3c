"""Random samples of what was said: what could be drawn, what was, what readers said of it, and the pools that are corrected by it."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.records import Label, to_text
from monitor.store.corrections import Corrections
from monitor.store.echoes import OWN_WORDS, VOICE
from monitor.store.weeks import mark_weeks

PERSON = "person"
"""The reader of what people read; any other is the name@revision of a model."""

_OF_MODEL = "s.input_hash <> '' AND s.model = (SELECT value FROM meta WHERE key = 'model')"
"""Of `scores s`: given by the model that is shown, not the place that a correction holds."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A post toward a team that can be drawn: `key` is the same in any store that holds the post."""

    post_id: int
    team: str
    voice: str
    text_hash: str
    key: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a draw made of one of its frame: the probability in (0, 1], and the place in the order of reading if it was drawn."""

    post_id: int
    team: str
    text_hash: str
    chance: float
    order: int | None


class Reviews(Corrections):
    """The tables `draws` and `reviews`. A post is in one frame per team, as long as its words stay what they were."""

    def drawable(self, day: dt.date, team: str | None) -> tuple[list[Frame], int]:
        """What can be drawn of a UTC day, for one team or all: what no draw could have drawn before; and the day's voices in all.

        The posts that show an archive's day are no sample of it, and cannot be drawn.

        A voice is counted for each team that it speaks of.
        """
        rows = self.rows(
            f"""SELECT p.id, s.team, {VOICE} AS voice, p.text_hash, p.source || ' ' || p.native_id AS key,
                EXISTS (SELECT 1 FROM reviews r WHERE r.post_id = p.id AND r.team = s.team AND r.text_hash = p.text_hash) AS framed
                FROM posts p JOIN scores s ON s.post_id = p.id
                WHERE p.posted_at >= ? AND p.posted_at < ? AND p.kind <> 'press' AND p.deleted_at IS NULL AND NOT p.unread
                AND NOT p.archived
                AND {_OF_MODEL} AND {OWN_WORDS} AND (? IS NULL OR s.team = ?)""",
            (day.isoformat(), f"{day}T24", team, team),
        )
        fresh = [Frame(row["id"], row["team"], row["voice"], row["text_hash"], row["key"]) for row in rows if not row["framed"]]
        return fresh, len({(row["team"], row["voice"]) for row in rows})

    def save_draw(self, day: dt.date, team: str, count: int, seed: int, drawn: Iterable[Drawn], *, at: dt.datetime) -> None:
        """Keep a draw: its whole frame, with every probability. `team` is `*` for all teams together."""
        drawn = list(drawn)
        with self.writing() as connection:
            row = (day.isoformat(), team, count, seed, to_text(at))
            draw = connection.execute("INSERT INTO draws (day, team, count, seed, drawn_at) VALUES (?, ?, ?, ?, ?)", row).lastrowid
            connection.executemany(
                """INSERT OR REPLACE INTO reviews (post_id, team, draw_id, text_hash, probability, position)
                   SELECT id, ?, ?, text_hash, ?, ? FROM posts WHERE id = ? AND text_hash = ?""",
                [(each.team, draw, each.chance, each.order, each.post_id, each.text_hash) for each in drawn],
            )
            for each_team in sorted({each.team for each in drawn}):
                mark_weeks(connection, day.isoformat(), each_team)

    def to_review(self, first: dt.date, last: dt.date, team: str | None) -> list[sqlite3.Row]:
        """What was drawn of these UTC days and is not read, in the order to read in.

        id, team, source, url, posted_at, language, title, text.
        """
        return self.rows(
            """SELECT p.id, v.team, p.source, p.url, p.posted_at, p.language, p.title, p.text FROM v_reviews v JOIN posts p ON p.id = v.id
               WHERE v.day BETWEEN ? AND ? AND (? IS NULL OR v.team = ?) AND v.position IS NOT NULL AND v.label IS NULL
               AND p.deleted_at IS NULL ORDER BY v.day, v.draw_id, v.position""",
            (first.isoformat(), last.isoformat(), team, team),
        )

    def mentions_of(self, post_id: int) -> list[sqlite3.Row]:
        """Where a post names teams: team, start, end; by place."""
        return self.rows('SELECT team, start, "end" FROM mentions WHERE post_id = ? ORDER BY start', (post_id,))

    def reviewed(self, post_id: int, team: str, label: Label, *, reader: str, at: dt.datetime) -> bool:
        """Keep what `reader` says of a post that was drawn; False where it was not, or has other words now.

        A person's label is a correction too, and counts as long as it stands; a model's counts in corrected figures alone.
        """
        with self.writing() as connection:
            found = connection.execute(
                """UPDATE reviews SET label = ?, read_by = ?, read_at = ? WHERE post_id = ? AND team = ? AND position IS NOT NULL
                   AND text_hash = (SELECT text_hash FROM posts p WHERE p.id = post_id AND p.deleted_at IS NULL)""",
                (None if reader == PERSON else label, reader, to_text(at), post_id, team),
            ).rowcount
            if found:  # what is read moves the chances of its whole draw
                drawn_of = "SELECT day FROM draws WHERE id = (SELECT draw_id FROM reviews WHERE post_id = ? AND team = ?)"
                mark_weeks(connection, connection.execute(drawn_of, (post_id, team)).fetchone()[0], team)
            if found and reader == PERSON:
                self.correct(post_id, team, label, note=None, at=at)
            return bool(found)

    def pool(self, first: dt.date, last: dt.date, team: str) -> list[sqlite3.Row]:
        """What voices said of a team on the UTC days `first`..`last`, as the model reads it, and readers where they read it.

        day, voice, thread, language, negative, neutral, positive, label, chance, said, reader, retired. `chance` is the probability of
        having been drawn and read: of a draw that was read in part that part of it, since the order to read in is random; NULL: none.
        A post that turned out to be of another day than it was drawn on was not drawn.
        """
        return self.rows(
            f"""WITH drawn AS MATERIALIZED (
                    SELECT v.id, v.draw_id, v.probability, v.position, v.label, v.read_by FROM v_reviews v JOIN posts p ON p.id = v.id
                    WHERE v.team = :team AND v.day BETWEEN :first AND :last AND v.day = substr(p.posted_at, 1, 10)),
                rates AS (SELECT draw_id, avg(label IS NOT NULL) AS rate FROM drawn WHERE position IS NOT NULL GROUP BY 1)
                SELECT substr(p.posted_at, 1, 10) AS day, {VOICE} AS voice,
                p.source || ':' || coalesce(p.thread_id, p.native_id) AS thread, p.language, s.negative, s.neutral, s.positive, s.label,
                nullif(v.probability * coalesce(rates.rate, 1), 0) AS chance, CASE WHEN v.position IS NOT NULL THEN v.label END AS said,
                v.read_by AS reader, p.retired
                FROM posts p JOIN scores s ON s.post_id = p.id LEFT JOIN drawn v ON v.id = p.id LEFT JOIN rates USING (draw_id)
                WHERE p.posted_at >= :first AND p.posted_at < :last || 'T24' AND p.kind <> 'press' AND (p.deleted_at IS NULL OR p.retired)
                AND p.unread < 2 AND NOT p.archived AND {_OF_MODEL} AND {OWN_WORDS} AND s.team = :team
                ORDER BY p.posted_at, p.source, p.native_id""",
            {"first": first.isoformat(), "last": last.isoformat(), "team": team},
        )
