"""Every address of ours and the view that answers it. Datasette's own come after: /store and what is below it."""

from __future__ import annotations

from monitor.web.about import about
from monitor.web.alerts import alerts, end_silence, silence
from monitor.web.app import View
from monitor.web.health import metrics, probe
from monitor.web.overview import overview
from monitor.web.signing import sign_in, sign_out
from monitor.web.sources import sources

ROUTES: tuple[tuple[str, View], ...] = (
    (r"^/$", overview),
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
