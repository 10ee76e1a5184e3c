"""The operator: who knows the token may correct; everyone else reads.

The promise: the token is compared in constant time, never in an address, a log or a page, and a wrong one waits a second.
"""

from __future__ import annotations

import asyncio
import hmac
import time

from datasette.utils.asgi import Request, Response

from monitor.web.app import Pages
from monitor.web.words import gettext as _

COOKIE = "ds_actor"
"""Datasette's own, which it verifies."""

HOURS = 12
"""For which a sign-in holds, or until the server stops."""


async def sign_in(pages: Pages, request: Request) -> Response:
    """GET and POST /-/sign-in"""
    if request.method != "POST":
        return await pages.page("sign-in.html", request)
    form = await request.post_vars()
    given = str(form.get("token", "")).strip()
    if not hmac.compare_digest(given.encode("utf-8", "replace"), pages.served.token.encode()):
        await asyncio.sleep(1)
        return await pages.page("sign-in.html", request, status=403, message=_("That is not the token which `forum-monitor web` printed."))
    response = Response.redirect("/")
    actor = {"a": {"id": "operator"}, "e": _base62(int(time.time()) + HOURS * 3600)}
    response.set_cookie(COOKIE, pages.sign(actor, "actor"), max_age=HOURS * 3600, httponly=True, samesite="strict")
    return response


async def sign_out(pages: Pages, request: Request) -> Response:
    """POST /-/sign-out"""
    response = Response.redirect("/")
    if request.method == "POST":
        response.set_cookie(COOKIE, "", max_age=0, expires=0, httponly=True, samesite="strict")
    return response


def _base62(number: int) -> str:
    """As Datasette reads the time at which a sign-in ends."""
    from datasette.utils.baseconv import base62

    return str(base62.encode(number))
