"""What stands before every answer: who may ask, and what a browser may do with what it gets.

The promises: a request that calls the server by a name that is not its own is refused (DNS rebinding); no script, style, frame,
font or connection but our own files is allowed on our pages; nothing that is asked is sent on as a referrer.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)

_NAME = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(?::\d+)?")
"""What `Host` says: a name, and a port, which a tunnel may change."""

MAX_BODY = 64 << 10
"""Bytes of a form; ours are small."""


def guarded(hosts: Collection[str]) -> Callable[[App], App]:
    """What wraps an application so that it answers to `hosts` (names in lower case, without port) only, under the policy above."""

    def wrap(app: App) -> App:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            asked = [_NAME.fullmatch(value.decode("latin-1").casefold()) for name, value in scope["headers"] if name == b"host"]
            if len(asked) != 1 or asked[0] is None or asked[0][1] not in hosts:
                await _refuse(send, 421, "This server does not go by that name: --name tells it of others.")
                return
            length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
            if scope["method"] not in ("GET", "HEAD") and (not length.isdigit() or int(length) > MAX_BODY or _chunked(scope)):
                await _refuse(send, 413, "That is more than any form here holds.")
                return

            async def with_headers(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    own = (b"content-security-policy", b"server", *(name for name, _ in _HEADERS))
                    kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in own]
                    message = {**message, "headers": [*kept, (b"content-security-policy", POLICY.encode()), *_HEADERS]}
                await send(message)

            await app(scope, receive, with_headers)

        return answer

    return wrap


def _chunked(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


async def _refuse(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-security-policy", POLICY.encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
