"""What stands before every answer: who may ask, and what a browser may do with what it gets.

The promises: a request that calls the server by a name that is not its own is refused (DNS rebinding), and so is one that a page
elsewhere sends to change something; no script, style, frame, font or connection but our own files is allowed on our pages; no other
site is told which of them somebody came from. No answer is kept by a browser or on the way, but files that say so. Whatever goes
wrong behind, the answer has these headers and quotes nothing, and the log says where it happened and never what it was about.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from pathlib import Path
from typing import Any

log = logging.getLogger("forum-monitor")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer browsers say `Origin: null` to our own forms
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_REPLACED = {b"content-security-policy", b"server", *(name for name, _ in _HEADERS)}

_NAME = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(?::[0-9]+)?")
"""What `Host` says: a name, and a port, which a tunnel may change."""

_PATH = re.compile(r"/[!-\[\]-~]*")
"""What a path may hold: visible ASCII, no backslash, which some browsers take for a slash."""

_COOKIE = re.compile(r"[!#-+\--:<-\[\]-~]*")
"""A cookie's value (RFC 6265, 4.1.1)."""

METHODS = ("GET", "HEAD", "POST")

MAX_BODY = 64 << 10
"""Bytes of a form; ours are small."""


def guarded(hosts: Collection[str], cookies: Collection[str]) -> Callable[[App], App]:
    """What wraps an application so that it answers to `hosts` (names in lower case, without port) only, under the policy above.

    Of the cookies of a request it sees those named: every server on this machine shares them, and a broken one stops Datasette.
    """

    def wrap(app: App) -> App:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun = False

            async def with_headers(message: Message) -> None:
                nonlocal begun
                if message["type"] == "http.response.start":
                    begun, message = True, {**message, "headers": _headers(message.get("headers", ()), POLICY)}
                await send(message)

            refused = _refusal(scope, hosts)
            if refused:
                await _say(with_headers, *refused)
                return
            try:
                await app({**scope, "headers": _known(scope["headers"], cookies)}, receive, with_headers)
            except Exception as error:  # noqa: BLE001 (whatever it is, the server's own handler would print what it holds)
                if not begun and place(error).startswith("asgi_csrf."):
                    await _say(with_headers, 400, "That is no form of this server.")  # what came cannot be read as one
                    return
                log.error("%s: %s at %s", scope["path"].encode("unicode_escape").decode(), type(error).__name__, place(error))
                if not begun:
                    await _say(with_headers, 500, "This could not be answered; the terminal of `forum-monitor web` says where it failed.")
            # An answer that broke off is left without an end, on which the server closes the connection.

        return answer

    return wrap


def _refusal(scope: Scope, hosts: Collection[str]) -> tuple[int, str] | None:
    """The status and the sentence with which a request is turned away, if it is."""
    headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
    given = [value.casefold() for name, value in headers if name == b"host"]
    asked = _NAME.fullmatch(given[0]) if len(given) == 1 else None
    if asked is None or asked[1] not in hosts:
        return 421, "This server does not go by that name: --name tells it of others."
    if not _PATH.fullmatch((scope.get("raw_path") or scope["path"].encode()).decode("latin-1")):
        return 400, "That is no address of a page."
    if scope["method"] not in METHODS:
        return 405, "Pages are read, and forms are sent."
    said = dict(headers)
    if said.get(b"sec-fetch-site") in ("cross-site", "same-site") and said.get(b"sec-fetch-mode") != "navigate":
        return 403, "A page of another site has asked for this."  # it could not read the answer, but have us work for it
    if scope["method"] == "POST":
        if not _same_origin(said.get(b"sec-fetch-site"), said.get(b"origin"), given[0]):
            return 403, "A page of another site has sent this."
        length = said.get(b"content-length", "0")
        if b"transfer-encoding" in said:
            return 411, "Say how long it is."
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_BODY:
            return 413, "That is more than any form here holds."
        if length != "0" and said.get(b"content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return 415, "Forms here are application/x-www-form-urlencoded."
    return None


def _same_origin(site: str | None, origin: str | None, host: str) -> bool:
    """Whether a page of ours, or no page at all, sends a form: as Go's http.CrossOriginProtection tells it.

    Other servers on this machine are the same *site*, so that SameSite cookies alone do not keep their pages out.
    """
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.casefold().partition("://")[2] == host


def _known(headers: Iterable[tuple[bytes, bytes]], cookies: Collection[str]) -> list[tuple[bytes, bytes]]:
    """The headers with those cookies alone that are ours and whole."""
    found = []
    for name, value in headers:
        if name == b"cookie":
            parts = (part.strip().partition("=") for part in value.decode("latin-1").split(";"))
            value = "; ".join(f"{key}={held}" for key, _, held in parts if key in cookies and _COOKIE.fullmatch(held)).encode()
        if name != b"cookie" or value:
            found.append((name, value))
    return found


def _headers(given: Iterable[tuple[bytes, bytes]], policy: str) -> list[tuple[bytes, bytes]]:
    """An answer's headers and ours; nothing is kept but what says that it is public."""
    found = [(name.lower(), value) for name, value in given if name.lower() not in _REPLACED]
    if not any(name == b"cache-control" and value.startswith(b"public") for name, value in found):
        found = [(name, value) for name, value in found if name != b"cache-control"] + [(b"cache-control", b"no-store")]
    return [*found, (b"content-security-policy", policy.encode()), *_HEADERS]


async def _say(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(sentence)).encode())]
    if status == 405:
        headers.append((b"allow", ", ".join(METHODS).encode()))
    # What a refused request still holds is not read, so that the connection cannot go on.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


def place(error: BaseException) -> str:
    """The file and line in which an error came up."""
    at = traceback.extract_tb(error.__traceback__)
    return f"{Path(at[-1].filename).name}:{at[-1].lineno}" if at else "?"
