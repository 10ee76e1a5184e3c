"""What daily intervals are made of in and out: those of a day rest on what the weeks before it say of threads."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

from monitor.records import DailyTrend, Spread
from monitor.store.connection import Connection

Series = tuple[str, str, str]
"""(team, source, model)"""


class Spreads(Connection):
    """The table `daily_spreads`: a row for each of daily_trends that has figures, gone with it."""

    def keep_spreads(self, spreads: Iterable[tuple[DailyTrend, Spread]]) -> None:
        """Keep these beside their rows of daily_trends, which are stored and have none yet."""
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO daily_spreads VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                [(row.day.isoformat(), row.team, row.source, row.model, *spread) for row, spread in spreads],
            )

    def spreads(self, first: dt.date, last: dt.date, *, team: str | None = None) -> dict[Series, list[tuple[dt.date, Spread]]]:
        """Those of the UTC days `first`..`last`, by series, in order of day."""
        found: dict[Series, list[tuple[dt.date, Spread]]] = defaultdict(list)
        for day, own, source, model, *spread in self.rows(
            "SELECT * FROM daily_spreads WHERE day BETWEEN ? AND ? AND (? IS NULL OR team = ?) ORDER BY day",
            (first.isoformat(), last.isoformat(), team, team),
        ):
            found[own, source, model].append((dt.date.fromisoformat(day), Spread(*spread)))
        return found

    def set_intervals(self, intervals: Iterable[tuple[Series, dt.date, float, float, float]]) -> None:
        """Give rows of daily_trends (variance, effective, reach): `reach` is how far their intervals go to either side, within -1..1."""
        with self.writing() as connection:
            connection.executemany(
                """UPDATE daily_trends SET variance = ?, effective = ?, low = max(-1.0, mean - ?), high = min(1.0, mean + ?)
                   WHERE day = ? AND team = ? AND source = ? AND model = ?""",
                [(variance, effective, reach, reach, day.isoformat(), *series) for series, day, variance, effective, reach in intervals],
            )
