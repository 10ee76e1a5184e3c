"""Corrected figures of weeks: which are to be computed anew, and what they are.

The promise: a week that a change of its posts, scores, readings or corrections touches is marked in the transaction of that
change. Triggers see to it for all that marks a day (`dirty_days`); what draws and readers change marks weeks alone.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping

from monitor.records import ALL, CorrectedWeek
from monitor.store.connection import Connection

_COLUMNS = (
    "day, team, model, method, posts, authors, read, readers, mean, low, high, negative_share, negative_low, negative_high, "
    "model_mean, model_negative_share"
)


def mark_weeks(connection: sqlite3.Connection, day: str, team: str) -> None:
    """The weeks of which the UTC day `day` is a part are to be computed anew."""
    connection.execute(
        """INSERT INTO dirty_weeks SELECT date(?, '+' || value || ' days') AS ends, ?, 1 FROM json_each('[0,1,2,3,4,5,6]')
           WHERE ends IS NOT NULL
           ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
        (day, team),
    )


class Weeks(Connection):
    """The tables `corrected_weeks` and `dirty_weeks`. A week is named by its last UTC day, as ISO text."""

    def dirty_weeks(self, last: dt.date) -> dict[tuple[str, str], int]:
        """(day, team) of weeks up to `last` that are to be computed anew, with the marks seen (see `replace_weeks`).

        Later ones wait until their day comes.
        """
        return {(row[0], row[1]): row[2] for row in self.rows("SELECT day, team, marks FROM dirty_weeks WHERE day <= ?", (str(last),))}

    def mark_all_weeks(self) -> None:
        """Mark every week that has a day with a trend. Trends must be up to date."""
        with self.writing() as connection:
            connection.execute(
                """INSERT INTO dirty_weeks SELECT DISTINCT date(t.day, '+' || value || ' days') AS ends, t.team, 1
                   FROM (SELECT day, team FROM daily_trends EXCEPT SELECT day, team FROM archived_teams) t,
                        json_each('[0,1,2,3,4,5,6]') WHERE ends IS NOT NULL
                   UNION SELECT DISTINCT day, team, 1 FROM corrected_weeks WHERE true
                   ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1"""
            )

    def drop_weeks(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take away the corrected figures of the weeks that these (day, team) are a part of: an archive's days have none."""
        with self.writing() as connection:
            connection.executemany(
                "DELETE FROM corrected_weeks WHERE team = ?2 AND day BETWEEN ?1 AND coalesce(date(?1, '+6 days'), '9999-12-31')", pairs
            )

    def replace_weeks(self, done: Mapping[tuple[str, str], int], weeks: Iterable[CorrectedWeek]) -> None:
        """Put `weeks` in place of all that is stored of the (day, team) pairs in `done`, by whatever model, in one transaction.

        A pair stays dirty when it was marked again since `done` was read from `dirty_weeks`.
        """
        with self.writing() as connection:
            connection.executemany("DELETE FROM corrected_weeks WHERE day = ? AND team = ?", list(done))
            connection.executemany(
                "DELETE FROM dirty_weeks WHERE day = ? AND team = ? AND marks <= ?", [(*pair, marks) for pair, marks in done.items()]
            )
            connection.executemany(
                f"INSERT INTO corrected_weeks ({_COLUMNS}) VALUES ({','.join('?' * 16)})",
                [
                    (w.day.isoformat(), w.team, w.model, w.method, w.posts, w.authors, w.read, w.readers, w.mean, w.low, w.high,
                     w.negative_share, w.negative_low, w.negative_high, w.model_mean, w.model_negative_share)
                    for w in weeks
                ],
            )  # fmt: skip

    def corrected_weeks(self, model: str, first: dt.date, last: dt.date, team: str | None = None) -> list[CorrectedWeek]:
        """The corrected figures of the weeks that end on the UTC days `first`..`last`, by team and day. Many a week has none."""
        rows = self.rows(
            f"""SELECT {_COLUMNS} FROM corrected_weeks WHERE model = ? AND day BETWEEN ? AND ? AND (? IS NULL OR team = ?)
                ORDER BY team, day""",
            (model, first.isoformat(), last.isoformat(), team, team),
        )
        return [
            CorrectedWeek(
                dt.date.fromisoformat(day), team, ALL, model, posts, authors, 0, sufficient=True, method=method, read=read, readers=readers,
                mean=mean, low=low, high=high, negative_share=share, negative_low=share_low, negative_high=share_high,
                model_mean=model_mean, model_negative_share=model_share,
            )
            for day, team, model, method, posts, authors, read, readers, mean, low, high, share, share_low, share_high,
                model_mean, model_share in map(tuple, rows)
        ]  # fmt: skip
