"""What the crawl tests stand on: a tiny site that answers as badly as told to, and a crawl in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
NOW = "2025-01-31T12:00:00Z"
TERMS = {"read_on": "2025-01-01", "by": "the tests", "allows": "everything: the site is our own"}


class QuietServer(socketserver.ThreadingTCPServer):
    """A server to whom a client that hangs up, as a stopped crawl or one that has waited long enough does, is no news."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None: ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer. `drop` closes the connection without a word; `wait` are seconds before it; `length` is what the header claims."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    drop: bool = False
    wait: float = 0.0
    length: int | None = None


def as_json(value: object, **fields: Any) -> Answer:
    return Answer(json.dumps(value), **{"headers": {"Content-Type": "application/json"}, **fields})


Given = Answer | Sequence[Answer] | Callable[[str], Answer]


class Site:
    """`with Site({"/robots.txt": ..., "/feed": ...}) as site:` on a port of 127.0.0.1; what is not there answers 404.

    A path's answer may be a list, of which the last one stays, or a function of the path with its query.
    """

    def __init__(self, answers: Mapping[str, Given]) -> None:
        self.answers = dict(answers)
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        """(monotonic time, path with query, headers) of every request."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                site.requests.append((time.monotonic(), self.path, dict(self.headers)))
                answer = site._answer(self.path)
                time.sleep(answer.wait)
                if answer.drop:
                    self.close_connection = True
                    self.connection.close()
                    return
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = answer.length is not None

            def log_message(self, *_: object) -> None: ...

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answer(self, path: str) -> Answer:
        given = self.answers.get(path, self.answers.get(path.partition("?")[0], Answer("nothing here", 404)))
        if callable(given):
            return given(path)
        if isinstance(given, Answer):
            return given
        asked = sum(path == asked for _, asked, _ in self.requests)
        return given[min(asked, len(given)) - 1]

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    @property
    def pages(self) -> list[str]:
        """What was asked besides the two files that say what may be asked."""
        return [path for path in self.paths if path not in ("/robots.txt", "/.well-known/tdmrep.json")]

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


_CHILD = """
import dataclasses, json, logging, sys
from pathlib import Path
from monitor.collect import collect
from monitor.config import Config, Source
from monitor.errors import MonitorError
import spiders
spiders.__path__ += sys.argv[3:]
logging.basicConfig(level=logging.INFO)
contact, source = json.loads(sys.argv[2])
config = Config(database=Path(sys.argv[1]), contact=contact, sources=(Source(**source),))
try:
    print(json.dumps(dataclasses.asdict(collect(config, config.sources[0]))))
except MonitorError as error:
    print(json.dumps({"error": str(error), "permanent": getattr(error, "permanent", None)}))
"""


@dataclasses.dataclass
class Child:
    """A crawl under way in a process of its own."""

    process: subprocess.Popen[str]

    def result(self, timeout: float = 60) -> dict[str, Any]:
        """The CrawlResult's fields, or {"error", "permanent"}; `log` holds what the process said besides."""
        out, log = self.process.communicate(timeout=timeout)
        assert out, log
        return {**json.loads(out.splitlines()[-1]), "log": log}


def begin(
    folder: Path,
    spider: str,
    options: Mapping[str, object],
    *,
    now: str = NOW,
    contact: str = "",
    spiders: Path | None = None,
    **source: Any,
) -> Child:
    """Start a crawl of a source named "s" into `folder`/monitor.db. A folder `spiders` holds spiders besides ours."""
    entry = {"name": "s", "type": spider, "delay": 0, "terms": TERMS, "options": options, **source}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORUM_MONITOR_NOW": now, "NO_PROXY": "127.0.0.1"}
    words = [sys.executable, "-P", "-c", _CHILD, str(folder / "monitor.db"), json.dumps([contact, entry])]
    words += [str(spiders)] if spiders else []
    return Child(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment))


def crawl(folder: Path, spider: str, options: Mapping[str, object], **settings: Any) -> dict[str, Any]:
    """A crawl from its beginning to its end."""
    return begin(folder, spider, options, **settings).result()
