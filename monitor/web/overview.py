"""Every team on one page: today, seven days, change, voices, a line of fourteen days, what is firing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from datasette.utils.asgi import Request, Response

from monitor import show
from monitor.records import ALL
from monitor.store import Store
from monitor.web.app import Pages, today

WIDTH, HEIGHT = 112, 28
"""A sparkline's, in pixels."""


async def overview(pages: Pages, request: Request) -> Response:
    """GET /"""
    day = today()

    def gather(store: Store) -> dict[str, Any]:
        days = show.recent(store, pages.config, day)
        return {
            "rows": show.overview(store, pages.config, day, days),
            "means": {team: [row.mean if row else None for row in rows] for team, rows in days.items()},
            "on_sources": [alert for alert in store.firing(day) if alert["team"] == ALL],
        }

    found = await pages.read(gather)
    spoken = [row for row in found["rows"] if row["week_posts"] or row["week_archived"]]
    return await pages.page(
        "overview.html", request, day=day, rows=spoken, silent=[row["name"] for row in found["rows"] if row not in spoken],
        on_sources=found["on_sources"], sparks={team: sparkline(means) for team, means in found["means"].items()},
        coverage=found["rows"][0]["week_coverage"] if found["rows"] else None, least=pages.config.privacy.min_authors,
    )  # fmt: skip


def sparkline(values: Sequence[float | None]) -> list[str]:
    """Means in [-1, 1], oldest first, as the `points` of SVG polylines, one for each run of days that have a figure."""
    step = WIDTH / max(1, len(values) - 1)
    return [" ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in _runs(values, step)]


def _runs(values: Sequence[float | None], step: float) -> Iterator[list[tuple[float, float]]]:
    for known, run in groupby(enumerate(values), lambda pair: pair[1] is not None):
        if known:
            places = [(n * step, (1 - (value or 0.0)) / 2 * (HEIGHT - 4) + 2) for n, value in run]
            # A day that stands alone would be no line.
            yield places if len(places) > 1 else [(places[0][0] - 1.5, places[0][1]), (places[0][0] + 1.5, places[0][1])]
