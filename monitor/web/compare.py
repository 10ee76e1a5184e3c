"""Teams beside each other: their trends, their figures of seven and of 28 days, and how far each two lie apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Request, Response

from monitor import charts, standing
from monitor.store import Store
from monitor.web.app import Pages
from monitor.web.charting import BUNDLE, RANGES, Span, known_teams

WINDOWS = (7, 28)
"""Days that figures are of."""


async def compare(pages: Pages, request: Request) -> Response:
    """GET /compare?team=a&team=b; without teams, of the two that most people speak of."""
    span = Span.of(request)
    asked = list(dict.fromkeys(request.args.getlist("team")))
    names = known_teams(pages, asked[: charts.MOST_TEAMS])

    def gather(store: Store) -> dict[str, Any]:
        shares = {days: standing.shares_of_voice(store, pages.config, span.last, days) for days in WINDOWS}
        teams = list(names) or sorted(shares[WINDOWS[-1]], key=lambda team: -shares[WINDOWS[-1]][team])[:2]
        figures, away = standing.windows(store, pages.config, teams, span.last, WINDOWS)
        return {
            "teams": teams,
            "away": away,
            "figures": figures,
            "shares": shares,
            "apart": {days: standing.apart(figures[days], teams, days) for days in WINDOWS},
            "coverage": {days: store.coverage(standing.first_day(span.last, days), span.last) for days in WINDOWS},
        }

    found = await pages.read(gather)
    every = {team.id: team.name for team in pages.config.teams}
    chosen = [("team", team) for team in found["teams"]]
    return await pages.page(
        "compare.html", request, **found, names=every, span=span, ranges=RANGES, windows=WINDOWS, vega=BUNDLE,
        too_many=len(asked) > charts.MOST_TEAMS, most=charts.MOST_TEAMS, least=pages.config.privacy.min_authors,
        query=urlencode(chosen),
    )  # fmt: skip
