"""Every address of ours and the view that answers it. Datasette's own come after: /store and what is below it."""

from __future__ import annotations

import re

from monitor.web.about import about
from monitor.web.alerts import alerts, end_silence, silence
from monitor.web.app import View
from monitor.web.charting import BUNDLE, compare_chart, team_chart, vega
from monitor.web.compare import compare
from monitor.web.correcting import correct_post
from monitor.web.health import metrics, probe
from monitor.web.overview import overview
from monitor.web.signing import sign_in, sign_out
from monitor.web.sources import sources
from monitor.web.team import team, why

ROUTES: tuple[tuple[str, View], ...] = (
    (r"^/$", overview),
    (r"^/team/(?P<team>[\w.-]+)$", team),
    (r"^/team/(?P<team>[\w.-]+)/why$", why),
    (r"^/compare$", compare),
    (r"^/chart/team/(?P<team>[\w.-]+)\.(?P<form>json|svg)$", team_chart),
    (r"^/chart/compare\.(?P<form>json|svg)$", compare_chart),
    (rf"^{re.escape(BUNDLE)}$", vega),
    (r"^/-/correct$", correct_post),
    (r"^/alerts$", alerts),
    (r"^/alerts/silence$", silence),
    (r"^/alerts/silence/end$", end_silence),
    (r"^/sources$", sources),
    (r"^/about$", about),
    (r"^/metrics$", metrics),
    (r"^/-/health$", probe),
    (r"^/-/sign-in$", sign_in),
    (r"^/-/sign-out$", sign_out),
)
