"""Alerts in a store, and the mail and web servers on loopback that tests have them delivered to."""

from __future__ import annotations

import contextlib
import datetime as dt
import email
import email.policy
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from monitor import rules
from monitor.config import Config, Notify, Privacy, Rule, Target, Team
from monitor.messages import Message, compose
from monitor.records import ALL, DailyTrend, Post, Score
from monitor.rules.statistics import margin, voice_variance
from monitor.store import Reading, Step, Store

NOW = dt.datetime(2025, 1, 25, 6, 30, tzinfo=dt.UTC)
DAY = dt.date(2025, 1, 24)
MODEL = "embedded@1f3a"
TEXTS = (
    "The GenAI org is in panic mode.\n\nEvery leader is asking why a team with a tenth of our budget beat us.",
    "Franchement, l’équipe GenAI est dépassée : ça fait des mois qu’on nous promet mieux, où est-ce passé ?",
    "看到 DeepSeek 的论文之后，Meta GenAI 的同事都很沮丧，管理层也说不清楚钱花到哪里去了。",
)


# ---- servers ------------------------------------------------------------------------------------------------------


class Hook(ThreadingHTTPServer):
    """A web hook on loopback that keeps what it was sent. `status` is its answer, given after `hold` seconds with `words` and `headers`.

    What has `too_large` in its title it answers with 413.
    """

    daemon_threads = True
    status = 200
    hold = 0.0
    words = b""
    headers: ClassVar[dict[str, str]] = {}
    too_large = "\0"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.received: list[tuple[str, Any, dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str = "/hook", scheme: str = "json") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def titles(self) -> list[str]:
        return [body["title"] for _, _, body in self.received]

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for _, headers, _ in self.received]

    def wait(self, count: int) -> None:
        """Wait until so many requests have come."""
        deadline = time.monotonic() + 20
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} requests came"
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The tests kill clients in the middle of a request."""


class _Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # its sender died on the way
            return
        found = json.loads(body) if body else {}
        self.server.received.append((self.command, self.headers, found))
        time.sleep(self.server.hold)
        status = 413 if self.server.too_large in found.get("title", "") else self.server.status
        self.send_response(status if self.command == "POST" else 200)
        for name, value in {"Location": "/elsewhere", **self.server.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.words)))
        self.end_headers()
        self.wfile.write(self.server.words)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Mailbox:
    """What an SMTP server does with mail: keeps it, or answers the mail or a recipient with words of its own."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[bytes] = []
        self.answer = "250 kept"
        self.answers_to: dict[str, str] = {}

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        answer = self.answers_to.get(address, "250 known")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(mail, EmailMessage)
            self.received.append(mail)
            self.recipients.append(envelope.rcpt_tos)
        return self.answer

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Takes every password, and notes it."""
        self.logins.append(data.password)
        return AuthResult(success=True)


@contextlib.contextmanager
def mail_server(mailbox: Mailbox, port: int, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """An SMTP server on a port of loopback; with `tls` it wants STARTTLS and a password."""
    wanted = {"tls_context": tls, "require_starttls": True, "auth_required": True, "authenticator": mailbox.login} if tls else {}
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **wanted)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mail_url(port: int) -> str:
    return f"mailto://127.0.0.1:{port}?from=monitor@example.org&to=ops@example.org&mode=insecure"


# ---- alerts -------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


def a_day(n: int, posts: int, authors: int, mean: float | None = None) -> DailyTrend:
    """The trend of the day n days before DAY."""
    day = DAY - dt.timedelta(days=n)
    if mean is None:
        return DailyTrend(day, "meta-genai", ALL, MODEL, posts, authors, min(authors, 3), False)
    variance = voice_variance(0.09, authors)
    reach = margin(variance, authors, 0.975)
    return DailyTrend(day, "meta-genai", ALL, MODEL, posts, authors, 3, True, mean, mean - reach, mean + reach, 0.5, 0.3, 0.2, variance)


HISTORIES = {
    "drop": [*(a_day(n, 14, 12, 0.05 + 0.02 * (n % 3)) for n in range(14, 0, -1)), a_day(0, 31, 24, -0.62)],
    "below": [a_day(0, 31, 24, -0.62)],
    "spike": [*(a_day(n, 11, 9 + n % 3) for n in range(14, 0, -1)), a_day(0, 97, 88)],
    "silence": [*(a_day(n, 40 + n % 3, 21) for n in range(14, 0, -1)), a_day(0, 1, 1)],
}
"""Days of which the last is a breach, by type of rule."""


def evidence(store: Store) -> list[int]:
    """The ids of three understood posts, made at the first call."""
    posts = [
        Post("employee-forum", str(n), f"https://forum.example/t/7/{n}", text, NOW - dt.timedelta(hours=20 - n), NOW)
        for n, text in enumerate(TEXTS, 1)
    ]
    store.save_posts(posts)
    score = Score(MODEL, 0.9, 0.06, 0.04)
    readings = [Reading(post.id, post.text_hash, "en", [], {"meta-genai": (str(post.id), score)}) for post in store.unread(10)]
    store.save_readings(readings, model=MODEL, at=NOW)
    return [row["id"] for row in store.rows("SELECT id FROM posts ORDER BY native_id")]


def fire(store: Store, *targets: str, rule: str = "genai-falls", kind: str = "drop", at: dt.datetime = NOW) -> None:
    """Store an alert as `alert` does, with the words and figures of the real rule."""
    verdict = rules.check(HISTORIES[kind], Rule.model_validate({"id": rule, "type": kind}))
    assert verdict.outcome == "breach"
    figures = {name: getattr(verdict, name) for name in ("value", "before", "threshold", "low", "high", "authors", "posts")}
    event = ("normal", "firing", DAY, verdict.reason)
    step = Step(rule, kind, "meta-genai", ALL, MODEL, "firing", DAY, DAY, 0, event, figures, evidence(store))
    store.save_steps([step], targets=targets, at=at)


def resolve_alert(store: Store, *targets: str, rule: str = "genai-falls", kind: str = "drop", at: dt.datetime = NOW) -> None:
    """End that alert."""
    day = DAY + dt.timedelta(days=4)
    event = ("firing", "resolved", day, "Sentiment is back at +0.04.")
    store.save_steps([Step(rule, kind, "meta-genai", ALL, MODEL, "resolved", day, day, 0, event)], targets=targets, at=at)


def settings_for(*targets: Target, excerpt: int = 200, **notify: Any) -> Config:
    teams = (Team(id="meta-genai", name="Meta GenAI"),)
    return Config(teams=teams, notify=Notify(targets=targets, **notify), privacy=Privacy(excerpt=excerpt))


def deliveries(store: Store) -> list[dict[str, Any]]:
    return [
        dict(row)
        for row in store.rows("SELECT event_id, target, state, attempts, next_attempt_at, sent_at, error FROM deliveries ORDER BY id")
    ]


def composed(store: Store, config: Config) -> list[Message]:
    """What is due, as messages."""
    return [compose(due.event, due.posts, config) for due in store.due(NOW)]
