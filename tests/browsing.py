"""Pages as a browser asks for them: a real server on loopback in a thread, a client that signs in, and bytes as they are on the wire."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpx

from monitor.config import Config
from monitor.web import app
from monitor.web.routes import ROUTES

TOKEN = "a-token-of-the-tests"


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    pages: app.Pages

    @property
    def port(self) -> int:
        return self.pages.served.port

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, trust_env=False, verify=False)  # no TLS context to be made

    def operator(self) -> httpx.Client:
        """A client that has signed in, as a browser does it."""
        client = self.client()
        answer = client.post("/-/sign-in", data={"token": TOKEN, "csrftoken": csrf(client, "/-/sign-in")})
        assert answer.status_code == 303, answer.text
        return client

    def raw(self, head: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """The answer to these bytes: lines of a request's head, `HOST` standing for the server's own."""
        lines = head.replace("HOST", f"127.0.0.1:{self.port}").strip().splitlines()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            wire.sendall("\r\n".join([*(line.strip() for line in lines), "Connection: close", "", ""]).encode("latin-1") + body)
            answer = b""
            while part := wire.recv(65536):
                answer += part
        first, _, rest = answer.partition(b"\r\n\r\n")
        status, *fields = first.decode("latin-1").split("\r\n")
        return int(status.split()[1]), {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}, rest


def csrf(client: httpx.Client, page: str) -> str:
    """The token in the forms of a page."""
    found = re.search(r'name="csrftoken" value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


@contextlib.contextmanager
def serving(config: Config, more: Iterable[tuple[str, app.View]] = ()) -> Iterator[Site]:
    """The pages of a config.yaml, whose store is there already, on a free port."""
    with app.listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        pages = app.application(config, app.Served("127.0.0.1", port, app.names("127.0.0.1"), TOKEN), [*ROUTES, *more])
        server = app.server(pages)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Site(pages)
        finally:
            server.should_exit = True
            thread.join(10)
