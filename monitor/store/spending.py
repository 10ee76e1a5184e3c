"""What asking a model behind an address has cost, by UTC day, so that a limit per day outlives the process that counts."""

from __future__ import annotations

import datetime as dt

from monitor.store.connection import Connection


class Spending(Connection):
    """The table `spending`."""

    def spent(self, day: dt.date) -> tuple[int, float]:
        """Tokens of all models on a UTC day, and what they cost in the currency of scorer.price."""
        row = self.rows("SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0.0) FROM spending WHERE day = ?", (day.isoformat(),))[0]
        return int(row[0]), float(row[1])

    def spend(self, day: dt.date, model: str, *, requests: int, tokens: int, cost: float) -> None:
        """Add to a day's account; what was counted too high is taken off by negative figures."""
        with self.writing() as connection:
            connection.execute(
                """INSERT INTO spending VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, model) DO UPDATE SET
                   requests = requests + excluded.requests, tokens = tokens + excluded.tokens, cost = cost + excluded.cost""",
                (day.isoformat(), model, requests, tokens, cost),
            )
