"""Charts for the pages: one definition as JSON for the script, and as a picture for who runs none.

The promise: the script that draws them is made from the installed package, is fetched from here alone, once, and evaluates
no code of its own (Vega's interpreter of expressions, which the pages' policy asks for).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import gzip
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import vl_convert
from datasette.utils.asgi import Request, Response

from monitor import charts, show
from monitor.store import Store
from monitor.web import packed, words
from monitor.web.app import NotHere, Pages, lasting, today
from monitor.web.words import gettext as _

RANGES: dict[str, int | None] = {"28": 28, "90": 90, "365": 365, "all": None}
"""What `?days=` may say, and how many days that is; None: all there are."""

BUNDLE = f"/chart/vega-{version('vl-convert-python')}.js"

_MOST_ALERTS = 200


@dataclass(frozen=True, slots=True)
class Span:
    """The UTC days that a page tells of: the word of RANGES that was asked for, the last day, and how many (None: all)."""

    word: str
    last: dt.date
    days: int | None

    @classmethod
    def of(cls, request: Request) -> Span:
        """That of `?days=`; 28 days where it says something else."""
        word = request.args.get("days") or ""
        word = word if word in RANGES else "28"
        return cls(word, today(), RANGES[word])

    def length(self, store: Store, teams: Sequence[str]) -> int:
        """How many days; of all, those since the first on which one of `teams` was named."""
        if self.days is not None:
            return self.days
        first = min((day for team in teams if (day := store.first_day(team))), default=self.last)
        return max(1, (self.last - first).days + 1)


def known_teams(pages: Pages, asked: Sequence[str]) -> dict[str, str]:
    """The names of teams by their ids, in the order asked. Raises NotHere, which is answered by 404, at one that is not configured."""
    teams = {team: pages.config.team(team) for team in asked}
    if unknown := next((team for team, found in teams.items() if found is None), None):
        raise NotHere(_("There is no team “%(team)s” in %(file)s.") % {"team": unknown[:60], "file": pages.config.path.name})
    return {team: found.name for team, found in teams.items() if found}


async def team_chart(pages: Pages, request: Request) -> Response:
    """GET /chart/team/ID.json and .svg"""
    names, span = known_teams(pages, [request.url_vars["team"]]), Span.of(request)

    def gather(store: Store) -> bytes:
        [team] = names
        days = show.team_days(store, pages.config, team, span.last, span.length(store, [team]))
        return _drawn(store, days, names, span, request)

    return _answer(request, await pages.read(gather))


async def compare_chart(pages: Pages, request: Request) -> Response:
    """GET /chart/compare.json and .svg?team=a&team=b"""
    asked = list(dict.fromkeys(request.args.getlist("team")))[: charts.MOST_TEAMS]
    names, span = known_teams(pages, asked), Span.of(request)

    def gather(store: Store) -> bytes:
        first = span.last - dt.timedelta(days=span.length(store, list(names)) - 1)
        days = [row for team in names for row in store.daily(team, first.isoformat(), span.last.isoformat())]
        return _drawn(store, days, names, span, request)

    return _answer(request, await pages.read(gather))


def _drawn(store: Store, days: Sequence[Mapping[str, Any]], names: Mapping[str, str], span: Span, request: Request) -> bytes:
    """The chart in the form and colours that were asked for."""
    first = span.last - dt.timedelta(days=span.length(store, list(names)) - 1)
    alerts = [
        row for team in names for row in store.team_alerts(team, _MOST_ALERTS) if first.isoformat() <= row["day"] <= span.last.isoformat()
    ]
    theme = charts.DARK if request.args.get("theme") == "dark" else charts.LIGHT
    live = request.url_vars["form"] == "json"
    chart = charts.trend_chart(days, names, "", alerts, span=(first, span.last), theme=theme, words=words.of_charts(), interactive=live)
    if not live:
        return charts.svg(chart, words.of_charts()).encode()
    locale = words.of_charts().locale
    told = {
        "spec": chart,
        "formatLocale": vl_convert.get_format_locale(locale),
        "timeFormatLocale": vl_convert.get_time_format_locale(locale),
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _answer(request: Request, body: bytes) -> Response:
    return Response(body, content_type="application/json" if request.url_vars["form"] == "json" else "image/svg+xml")


# ---- the script ----------------------------------------------------------------------------------------------------

_making = threading.Lock()


@lasting
async def vega(pages: Pages, request: Request) -> Response:
    """GET BUNDLE: what draws charts in the browser. Its address changes with every version, so it is fetched once."""
    plain, small = await asyncio.get_running_loop().run_in_executor(None, _bundle)
    kind, lasting = "text/javascript; charset=utf-8", {"cache-control": "public, max-age=31536000, immutable"}
    if not packed.takes_gzip(request.scope):
        return Response(plain, headers=lasting | {"vary": "Accept-Encoding"}, content_type=kind)
    return Response(small, headers=lasting | {"vary": "Accept-Encoding", "content-encoding": "gzip"}, content_type=kind)


def _bundle() -> tuple[bytes, bytes]:
    """The script, and the same gzipped. It takes seconds to make: whoever else asks meanwhile waits for the same."""
    with _making:
        return _made()


@functools.cache
def _made() -> tuple[bytes, bytes]:
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=charts.VEGA_LITE).encode()
    return script, gzip.compress(script, 9)
