"""Scores by voice out, daily trends in; and which days have to be computed anew."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from monitor.records import ALL, DailyTrend
from monitor.store.connection import Connection
from monitor.store.corrections import CORRECTED, LABEL, VALUE
from monitor.store.echoes import OWN_WORDS, VOICE

_TREND_COLUMNS = (
    "day, team, source, model, posts, authors, threads, sufficient, mean, low, high, "
    "negative_share, neutral_share, positive_share, variance, effective"
)
"""In the order of DailyTrend's fields."""

VOICES = f"""substr(p.posted_at, 1, 10), s.team, p.source, s.model, {VOICE}, p.source || ':' || coalesce(p.thread_id, p.native_id),
    {LABEL}, {VALUE} FROM posts p JOIN scores s ON s.post_id = p.id {CORRECTED}
    WHERE p.posted_at >= ? AND p.posted_at < ? AND p.kind <> 'press' AND (p.deleted_at IS NULL OR p.retired) AND p.unread < 2
    AND NOT p.archived AND {OWN_WORDS}"""
"""What counts in daily trends, from one time to another; see `Trends.voices`."""

AUTHOR = f"CASE WHEN {OWN_WORDS} THEN coalesce(author_key, thread_id, native_id) END"
"""Who a row of `posts p` adds to the people of a source; NULL: nobody, since the words are others'."""

THREAD = "coalesce(thread_id, native_id)"


class Trends(Connection):
    """The tables `daily_trends` and `dirty_days`."""

    def dirty_days(self) -> dict[tuple[str, str], int]:
        """(day, team) whose trend has to be computed anew, with the number of marks seen (see `replace_trends`)."""
        return {(row[0], row[1]): row[2] for row in self.rows("SELECT day, team, marks FROM dirty_days")}

    def voices(self, first: dt.date, last: dt.date, *, team: str | None = None) -> list[tuple[str, str, str, str, str, str, str, float]]:
        """What employees' voices said on the UTC days `first`..`last`: one row per (post, team, model).

        Each is (day, team, source, model, voice, thread, label, value). `voice` is the author's key; a post without a
        known author shares one voice with the others of its thread, since nothing says that they are different people.
        A person's correction stands in place of a score. Press is left out, and so are posts that are mostly other people's words
        (see `Echoes`). Ordered by post, so that sums are the same at every run.
        """
        return [
            tuple(row)
            for row in self.rows(
                f"SELECT {VOICES} AND (? IS NULL OR s.team = ?) ORDER BY p.posted_at, p.source, p.native_id",
                (first.isoformat(), f"{last}T24", team, team),
            )
        ]

    def replace_trends(self, done: Mapping[tuple[str, str], int], trends: Iterable[DailyTrend]) -> None:
        """Put `trends` in place of all rows of the (day, team) pairs in `done`, in one transaction.

        A pair stays dirty when it was marked again since `done` was read from `dirty_days`.
        """
        with self.writing() as connection:
            connection.executemany("DELETE FROM daily_trends WHERE day = ? AND team = ?", list(done))
            connection.executemany(
                "DELETE FROM dirty_days WHERE day = ? AND team = ? AND marks <= ?", [(*pair, marks) for pair, marks in done.items()]
            )
            connection.executemany(
                f"INSERT INTO daily_trends ({_TREND_COLUMNS}) VALUES ({','.join('?' * 16)})",
                [
                    (t.day.isoformat(), t.team, t.source, t.model, t.posts, t.authors, t.threads, t.sufficient, t.mean, t.low, t.high,
                     t.negative_share, t.neutral_share, t.positive_share, t.variance, t.effective)
                    for t in trends
                ],
            )  # fmt: skip

    def mark_all_dirty(self) -> None:
        """Mark every (day, team) that has scores or trends, so that the next `trend` builds everything anew."""
        with self.writing() as connection:
            connection.execute(
                """INSERT INTO dirty_days SELECT DISTINCT substr(p.posted_at, 1, 10), s.team, 1 FROM scores s
                   JOIN posts p ON p.id = s.post_id
                   UNION SELECT DISTINCT day, team, 1 FROM daily_trends WHERE true
                   ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1"""
            )

    def trends(self, *, team: str | None = None, source: str | None = None, model: str, since: dt.date | None = None) -> list[DailyTrend]:
        """Stored daily trends by day, team and source. Days without a post have no row."""
        wanted = {"model = ?": model, "team = ?": team, "source = ?": source, "day >= ?": since.isoformat() if since else None}
        wanted = {condition: value for condition, value in wanted.items() if value is not None}
        with self._errors():
            # One row after another, since a round of `alert` reads tens of thousands.
            rows = self.connection.execute(
                f"SELECT {_TREND_COLUMNS} FROM daily_trends WHERE {' AND '.join(wanted)} ORDER BY day, team, source", list(wanted.values())
            )
            return [
                DailyTrend(dt.date.fromisoformat(day), team, source, model, posts, authors, threads, bool(sufficient), *figures)
                for day, team, source, model, posts, authors, threads, sufficient, *figures in rows
            ]

    def volumes(self, source: str, model: str, since: dt.date) -> list[DailyTrend]:
        """Posts, authors and threads per day of one source, whatever they are about (team `*`); figures are None.

        Who only repeats others is no author. Archives keep posts that name a team alone, and are not counted here.
        """
        rows = self.rows(
            f"""SELECT substr(posted_at, 1, 10), count(*), count(DISTINCT {AUTHOR}), count(DISTINCT {THREAD}) FROM posts p
               WHERE +source = ? AND posted_at >= ? AND (deleted_at IS NULL OR retired) AND NOT archived
               GROUP BY 1 ORDER BY 1""",
            (source, since.isoformat()),
        )
        return [DailyTrend(dt.date.fromisoformat(row[0]), ALL, source, model, row[1], row[2], row[3], False) for row in rows]
