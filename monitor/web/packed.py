"""Answers made smaller for whoever takes gzip, and the files of `static/`, which a browser keeps.

The promises: only what lies in that folder when the server starts is served from it, whatever path is asked; an address made by
`address` is that of one content, so that a browser need not ask for it again before that changes.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
import zlib
from dataclasses import dataclass
from pathlib import Path

from monitor.web.guard import App, Message, Receive, Scope, Send

FOLDER = Path(__file__).with_name("static")

PREFIX = "/static/"

LEAST = 1024
"""Bytes from which on an answer is packed; below, it would hardly become smaller."""

_PACKED_TYPES = ("text/", "application/json", "application/javascript", "application/openmetrics-text", "image/svg+xml")


@dataclass(frozen=True, slots=True)
class File:
    """A file of `static/`: its bytes as they are and packed, its media type, and what tells them from any other content."""

    body: bytes
    packed: bytes
    kind: str
    mark: str


@functools.cache
def files() -> dict[str, File]:
    """The files of `static/` by name, as they were when this was first asked."""
    found = {}
    for path in sorted(each for each in FOLDER.iterdir() if each.is_file()):
        body, kind = path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        kind += "; charset=utf-8" if kind.startswith("text/") else ""
        found[path.name] = File(body, gzip.compress(body, mtime=0), kind, hashlib.sha256(body).hexdigest()[:16])
    return found


def address(name: str) -> str:
    """Where a page finds a file of `static/`."""
    return f"{PREFIX}{name}?v={files()[name].mark}"


def packing(app: App) -> App:
    """The application with the files of `static/` before it, and with its text packed where that is taken."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif file := files().get(scope["path"].removeprefix(PREFIX)) if scope["path"].startswith(PREFIX) else None:
            await _send_file(file, scope, send)
        else:
            await app(scope, receive, _Packer(send).send if takes_gzip(scope) else send)

    return answer


async def _send_file(file: File, scope: Scope, send: Send) -> None:
    tag = f'W/"{file.mark}"'.encode()
    lasting = scope["query_string"] == f"v={file.mark}".encode()
    headers = [
        (b"content-type", file.kind.encode()),
        (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"public, no-cache"),
        (b"etag", tag),
        (b"vary", b"accept-encoding"),
    ]
    known = any(tag in value for name, value in scope["headers"] if name == b"if-none-match")
    body = b"" if known else file.body
    if not known and len(body) >= LEAST and takes_gzip(scope):
        body = file.packed
        headers.append((b"content-encoding", b"gzip"))
    if not known:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 304 if known else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def takes_gzip(scope: Scope) -> bool:
    """Whether the request takes gzip (RFC 9110, 12.5.3)."""
    asked = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-encoding").casefold()
    for part in asked.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") not in ("q=", "q")
    return False


class _Packer:
    """Sends an answer on, packed if it is text of more than LEAST bytes. Its beginning waits for its first part."""

    def __init__(self, send: Send) -> None:
        self.onward = send
        self.start: Message = {}
        self.gzip: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.start:
            start, self.start = self.start, {}
            headers = {name.lower(): value for name, value in start["headers"]}
            text = headers.get(b"content-type", b"").decode("latin-1").startswith(_PACKED_TYPES)
            if text and b"content-encoding" not in headers and (more or len(body) >= LEAST):
                self.gzip = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
                kept = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"vary")]
                vary = b", ".join(value for value in (headers.get(b"vary"), b"Accept-Encoding") if value)
                start = {**start, "headers": [*kept, (b"content-encoding", b"gzip"), (b"vary", vary)]}
            await self.onward(start)
        if self.gzip:
            body = self.gzip.compress(body) + (b"" if more else self.gzip.flush())
        await self.onward({**message, "body": body})
