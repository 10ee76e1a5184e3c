"""Every address of ours and the view that answers it. Datasette's own come after: /store and what is below it."""

from __future__ import annotations

from monitor.web.app import View
from monitor.web.overview import overview
from monitor.web.signing import sign_in, sign_out

ROUTES: tuple[tuple[str, View], ...] = (
    (r"^/$", overview),
    (r"^/-/sign-in$", sign_in),
    (r"^/-/sign-out$", sign_out),
)
