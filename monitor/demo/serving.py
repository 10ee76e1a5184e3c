"""HTTP for the demo forum: a function from path and query to an answer, served on a port of 127.0.0.1 and logged.

The promise: what the caches and the polite of the web rely on is there: ETag and 304, HEAD, the right Content-Type.
"""

from __future__ import annotations

import hashlib
import json
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

Query = Mapping[str, list[str]]


class Answer(NamedTuple):
    """What is sent: HTTP status, Content-Type, body."""

    status: int
    type: str
    body: bytes


class Request(NamedTuple):
    """A request that was answered: `path` with its query string, as it was asked for."""

    method: str
    path: str
    status: int
    user_agent: str


def as_json(value: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, "application/json; charset=utf-8", json.dumps(value, ensure_ascii=False).encode())


def one(query: Query, name: str) -> str:
    """A parameter's first value, or nothing."""
    return query.get(name, [""])[0]


def integer(query: Query, name: str, default: int = 0) -> int:
    """A parameter that is a whole number, or the default for any other."""
    text = one(query, name)
    return int(text) if text.isdecimal() else default


class Server(socketserver.ThreadingTCPServer):
    """Serves `answer` from a thread of its own from the moment it is made until `close`."""

    # Not http.server's own class, which asks the resolver for its host's name: seconds on a machine without a network.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, answer: Callable[[str, Query], Answer], log: list[Request]) -> None:
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                status, content_type, body = answer(parts.path, parse_qs(parts.query))
                etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
                if status == 200 and etag in self.headers.get("If-None-Match", ""):
                    status, body = 304, b""
                log.append(Request(self.command, self.path, status, self.headers.get("User-Agent", "")))
                self.send_response(status)
                self.send_header("ETag", etag)
                if status != 304:
                    self.send_header("Content-Type", content_type)
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

            def log_message(self, *_: Any) -> None:
                """Write nothing to the terminal: the log holds every request."""

        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop and free the port."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; what else fails is a mistake of ours and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
