"""The operator: who knows the token may correct and silence; everyone else reads.

The promise: the token is compared in constant time, never in an address, a log or a page. Guesses are heard one after the other and
a wrong one takes a second, however many come at once; beyond WAITING of them the rest is turned away unheard. Signing out ends
a session for whoever holds its cookie.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

from datasette.utils.asgi import Forbidden, Request, Response

from monitor.web.words import gettext as _

if TYPE_CHECKING:
    from monitor.web.app import Pages

COOKIE = "forum_monitor_operator"

HOURS = 12
"""For which a sign-in holds, or until the server stops."""

WAITING = 5
"""Guesses that wait for their turn."""

SESSIONS = 20
"""Sessions at a time; one more ends the oldest."""

_PAUSE = 1.0


class Crowded(Exception):  # noqa: N818 (it names what was found)
    """Too many guesses wait already."""


class Operator:
    """Who has signed in with a token. Sessions are kept here and nowhere else, by the hash of what is in the cookie."""

    def __init__(self, token: str) -> None:
        self._token = _hash(token)
        self._sessions: dict[bytes, float] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def sign_in(self, given: str) -> str | None:
        """A new session's cookie, or None after a second where the token is another. Raises Crowded."""
        if self._waiting >= WAITING:
            raise Crowded
        self._waiting += 1
        try:
            async with self._turn:
                if not hmac.compare_digest(_hash(given), self._token):
                    await asyncio.sleep(_PAUSE)
                    return None
        finally:
            self._waiting -= 1
        session = secrets.token_urlsafe(32)
        self._sessions[_hash(session)] = time.monotonic() + HOURS * 3600
        while len(self._sessions) > SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return session

    def knows(self, session: str) -> bool:
        """Whether this is the cookie of a session that goes on."""
        return self._sessions.get(_hash(session), 0.0) > time.monotonic()

    def sign_out(self, session: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(_hash(session), None)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def actor(pages: Pages, request: Request) -> dict[str, str] | None:
    """Who asks, as Datasette calls it: the operator, or nobody."""
    session = request.cookies.get(COOKIE)
    return {"id": "operator"} if session and pages.operator.knows(session) else None


def require(request: Request) -> None:
    """Raises Forbidden, which becomes a page of its own, where nobody has signed in."""
    if not request.actor:
        raise Forbidden(_("Sign in first: only who runs the monitor may do this."))


async def sign_in(pages: Pages, request: Request) -> Response:
    """GET and POST /-/sign-in"""
    if request.method != "POST":
        return await pages.page("sign-in.html", request)
    form = await pages.form(request)
    try:
        session = await pages.operator.sign_in(form.get("token", "").strip())
    except Crowded:
        message = _("Too many tokens are being tried: wait a few seconds.")
        return await pages.page("sign-in.html", request, status=429, message=message)
    if session is None:
        return await pages.page("sign-in.html", request, status=403, message=_("That is not the token which `forum-monitor web` printed."))
    response = Response.redirect("/", status=303)
    _keep(response, request, session, HOURS * 3600)
    return response


async def sign_out(pages: Pages, request: Request) -> Response:
    """POST /-/sign-out"""
    response = Response.redirect("/", status=303)
    if request.method == "POST":
        pages.operator.sign_out(request.cookies.get(COOKIE) or "")
        _keep(response, request, "", 0)
    return response


def _keep(response: Response, request: Request, value: str, seconds: int) -> None:
    response.set_cookie(COOKIE, value, max_age=seconds, httponly=True, samesite="strict", secure=request.scheme == "https")
