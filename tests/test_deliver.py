"""Alerts reach people once, whatever dies in between: real mail and web servers on loopback, real child processes."""

from __future__ import annotations

import contextlib
import datetime as dt
import email
import email.policy
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import rules
from monitor.clock import REPLAY
from monitor.config import Config, Notify, Privacy, Rule, Target, Team
from monitor.deliver import LONGEST_WAIT, compose, deliver, excerpt, resolve
from monitor.records import ALL, DailyTrend, Post, Score, from_text, to_text
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
    """A web hook on loopback that keeps what it was sent. `status` is its answer, given after `hold` seconds."""

    daemon_threads = True
    status = 200
    hold = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.received: list[tuple[str, Any, dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str = "/hook") -> str:
        return f"json://127.0.0.1:{self.server_address[1]}{path}"

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
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.command, self.headers, json.loads(body) if body else {}))
        time.sleep(self.server.hold)
        self.send_response(self.server.status if self.command == "POST" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


@pytest.fixture
def other_hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


class Mailbox:
    """What an SMTP server does with mail: keeps it, or refuses it."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.refuses = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuses:
            return "451 try again later, ops@example.org"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.received.append(mail)
        return "250 kept"


@contextlib.contextmanager
def mail_server(mailbox: Mailbox, port: int) -> Iterator[None]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@pytest.fixture
def closed_port() -> int:
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


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


# ---- what a message says ------------------------------------------------------------------------------------------


def composed(store: Store, config: Config) -> list[Any]:
    return [compose(due.event, due.posts, config) for due in store.due(NOW)]


def test_a_message_reads_as_a_person_needs_it(fresh_store: Store) -> None:
    """What moved, from what to what, n and interval, why, three links with the posts' own words: plain text, each said once."""
    fire(fresh_store, "console")
    [message] = composed(fresh_store, settings_for(Target(url="console")))
    assert message.title == "Meta GenAI: sentiment fell from +0.07 to -0.62"
    assert message.body == (
        "Meta GenAI, all sources, 24 January 2025 (days are UTC)\n\n"
        + rules.check(HISTORIES["drop"], Rule.model_validate({"id": "genai-falls", "type": "drop"})).reason
        + "\n\nPosts that show it:\n"
        "1. negative, employee-forum, 24 January 2025, 11:30 UTC\n"
        "   https://forum.example/t/7/1\n"
        "   “The GenAI org is in panic mode. Every leader is asking why a team with a tenth of our budget beat us.”\n"
        "2. negative, employee-forum, 24 January 2025, 12:30 UTC\n"
        "   https://forum.example/t/7/2\n"
        f"   “{TEXTS[1]}”\n"
        "3. negative, employee-forum, 24 January 2025, 13:30 UTC\n"
        "   https://forum.example/t/7/3\n"
        f"   “{TEXTS[2]}”\n\n"
        "Sent by the rule genai-falls (drop). Sentiment lies between -1 and +1, one voice per person.\n"
        "Scored by embedded@1f3a, which errs on single posts: read them before you act."
    )


@pytest.mark.parametrize(
    ("kind", "title", "said"),
    [
        ("drop", "Meta GenAI: sentiment fell from +0.07 to -0.62", ["+0.07", "-0.62", "24 voices", "95 % interval"]),
        ("below", "Meta GenAI: sentiment is low, -0.62", ["-0.62", "24 voices", "95 % interval"]),
        ("spike", "Meta GenAI: 88 people spoke, usually 10", ["88 people", "97 posts"]),
        ("silence", "Meta GenAI: gone quiet, from 41 posts a day to 1", ["1 posts", "(mean of"]),
    ],
)
def test_every_rule_says_its_figures_once(fresh_store: Store, kind: str, title: str, said: list[str]) -> None:
    """The subject names what moved and by how much; in the body each figure of the rule stands exactly once."""
    fire(fresh_store, "console", kind=kind)
    [message] = composed(fresh_store, settings_for(Target(url="console"), excerpt=0))
    assert message.title == title
    assert {words: message.body.count(words) for words in said} == dict.fromkeys(said, 1)


def test_the_end_of_an_alert_says_how_it_began(fresh_store: Store) -> None:
    """A message on an end says that it is one, why, and what had been told; it quotes no posts."""
    fire(fresh_store, "console")
    resolve_alert(fresh_store, "console")
    began, ended = composed(fresh_store, settings_for(Target(url="console")))
    assert ended.title == f"Resolved: {began.title}"
    assert "28 January 2025" in ended.body and "Sentiment is back at +0.04." in ended.body
    assert "It began on 24 January 2025: Sentiment went from" in ended.body
    assert "https://" not in ended.body


def test_a_quiet_source_is_named_as_such(fresh_store: Store) -> None:
    """An alert on a source, whatever it is about, is headed by the source and speaks of no model."""
    figures = {"value": 0.0, "before": 31.4, "threshold": 0.1, "authors": 0, "posts": 0}
    event = ("normal", "firing", DAY, "0 posts on 2025-01-24; usual are 31.40 a day.")
    step = Step("any-silence", "silence", ALL, "employee-forum", MODEL, "firing", DAY, DAY, 0, event, figures)
    fresh_store.save_steps([step], targets=["console"], at=NOW)
    [message] = composed(fresh_store, settings_for(Target(url="console")))
    assert message.title == "employee-forum: gone quiet, from 31 posts a day to 0"
    assert message.body.startswith("employee-forum, 24 January 2025 (days are UTC)\n")
    assert MODEL not in message.body


def test_no_excerpt_is_quoted_when_none_is_allowed(fresh_store: Store) -> None:
    """With privacy.excerpt 0 a message links the posts and quotes not a word of them."""
    fire(fresh_store, "console")
    [message] = composed(fresh_store, settings_for(Target(url="console"), excerpt=0))
    assert message.body.count("https://forum.example/") == 3
    assert "“" not in message.body and "panic" not in message.body


def test_an_excerpt_is_cut_where_a_reader_would() -> None:
    """Cut at a word where words have spaces, at a character in Chinese, never inside an emoji or before an accent."""
    assert excerpt("one two three four", 13) == "one two three …"
    assert excerpt("one two three, four", 15) == "one two three …"
    assert excerpt(f"DeepSeek {'很' * 50}", 30) == f"DeepSeek {'很' * 21} …"
    assert excerpt("hello 👩\u200d💻 there", 8) == "hello …"
    assert excerpt("x" * 9 + "e\u0301e\u0301", 10) == "x" * 9 + " …"
    assert excerpt("short", 5) == "short"


def test_a_post_cannot_call_a_chat_room_together() -> None:
    """A post that says @everyone does not make Slack or Discord ring everybody's phone, nor names anybody; other words stay."""
    assert "@everyone" not in excerpt("hey @everyone and <!channel>", 100)
    assert "<!" not in excerpt("hey @everyone and <!channel>", 100)
    assert excerpt("mail me@example.org, 3 < 4, @herewith", 100) == "mail …@…, 3 < 4, @…"


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=400), length=st.integers(0, 300))
def test_an_excerpt_never_breaks_out_of_its_line(text: str, length: int) -> None:
    """Whatever a post holds, its excerpt is one line without control characters, and no longer than allowed."""
    quoted = excerpt(text, length)
    assert len(quoted.splitlines()) <= 1 and not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2028" for c in quoted)
    assert len(quoted.replace("\u200b", "").removesuffix(" …")) <= length
    quoted.encode("utf-8")


@pytest.mark.parametrize("text", ["a\r\nSubject: x\r\n\r\nb", "a\x1b[2Jb\x9b1mc", "a\u2028b\u2029c\x0bd\x0ce\x85f", "a\u202eb\ud800c"])
def test_a_hostile_post_adds_no_line_to_a_message(fresh_store: Store, text: str) -> None:
    """Line breaks and control characters in a post, its address or a team's name cannot add a line, a header or a colour."""
    fire(fresh_store, "console")
    [due] = fresh_store.due(NOW)
    config = Config(teams=(Team(id="meta-genai", name="Meta\r\nBcc: all"),), notify=Notify(targets=(Target(url="console"),)))
    plain = compose(due.event, [{**due.posts[0], "text": "a", "url": "https://x/"}], config)
    message = compose(due.event, [{**due.posts[0], "text": text, "url": f"https://x/{text}"}], config)
    assert len(message.body.splitlines()) == len(plain.body.splitlines())
    assert len(message.title.splitlines()) == 1
    assert not set("\x1b\x9b\u202e\ud800") & set(message.body)


def test_a_post_scored_by_another_model_since_is_still_linked(fresh_store: Store) -> None:
    """A post without a score by the alert's model is linked without a label, not with the word None."""
    fire(fresh_store, "console")
    [due] = fresh_store.due(NOW)
    message = compose(due.event, [{**due.posts[0], "label": None}], settings_for(Target(url="console")))
    assert "1. employee-forum, 24 January 2025, 11:30 UTC" in message.body and "None" not in message.body


# ---- arriving -----------------------------------------------------------------------------------------------------


def test_mail_arrives_once_and_intact(fresh_store: Store, clock: Clock, closed_port: int) -> None:
    """A mail server gets exactly one plain text mail with the subject and the body, French and Chinese as they were written."""
    mailbox = Mailbox()
    config = settings_for(Target(url=mail_url(closed_port), name="ops"))
    fire(fresh_store, "ops")
    [message] = composed(fresh_store, config)
    with mail_server(mailbox, closed_port):
        assert deliver(fresh_store, config, clock=clock).sent == 1
        assert deliver(fresh_store, config, clock=clock).sent == 0
    [mail] = mailbox.received
    assert mail["Subject"] == message.title and mail["To"] == "ops@example.org" and mail["From"] == "monitor@example.org"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n").rstrip() == message.body
    assert TEXTS[1] in message.body and TEXTS[2] in message.body
    assert deliveries(fresh_store)[0]["state"] == "sent"


def test_mail_that_was_refused_is_sent_later(fresh_store: Store, clock: Clock, closed_port: int) -> None:
    """A mail server that is down, then refuses, then works: one mail, after two attempts that are counted and explained."""
    mailbox = Mailbox()
    config = settings_for(Target(url=mail_url(closed_port), name="ops"))
    fire(fresh_store, "ops")
    assert deliver(fresh_store, config, clock=clock).waiting == 1
    with mail_server(mailbox, closed_port):
        mailbox.refuses = True
        clock.now += dt.timedelta(minutes=1)
        [said] = deliver(fresh_store, config, clock=clock).errors
        assert said.startswith("ops: not accepted (") and "example.org" not in said
        mailbox.refuses = False
        clock.now += dt.timedelta(minutes=2)
        assert deliver(fresh_store, config, clock=clock).sent == 1
    assert len(mailbox.received) == 1
    assert deliveries(fresh_store)[0]["attempts"] == 3


def test_a_web_hook_can_tell_a_message_from_its_repetition(fresh_store: Store, clock: Clock, hook: Hook, other_hook: Hook) -> None:
    """The Idempotency-Key is the same at every attempt to tell one event to one target, and different for any other."""
    config = settings_for(Target(url=hook.url(), name="a"), Target(url=other_hook.url(), name="b"))
    fire(fresh_store, "a", "b")
    fire(fresh_store, "a", "b", rule="another", kind="below")
    hook.status = 503
    deliver(fresh_store, config, clock=clock)
    hook.status = 200
    clock.now += dt.timedelta(hours=1)
    assert deliver(fresh_store, config, clock=clock).sent == 2
    assert hook.titles == [hook.titles[0], hook.titles[0], "Meta GenAI: sentiment is low, -0.62"]
    assert hook.keys[0] == hook.keys[1]
    assert len({*hook.keys, *other_hook.keys}) == 4
    assert all(key and key.isascii() for key in hook.keys)


def test_an_address_may_have_parameters_of_its_own(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """Headers and parameters that the user put into the URL arrive beside ours."""
    config = settings_for(Target(url=hook.url("/x?+X-Room=alerts&-token=1"), name="hook"))
    fire(fresh_store, "hook")
    assert deliver(fresh_store, config, clock=clock).sent == 1
    assert hook.received[0][1]["X-Room"] == "alerts" and hook.keys[0]


def test_events_arrive_in_the_order_in_which_they_happened(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """Several messages that are due at once go out oldest first."""
    for number in range(4):
        fire(fresh_store, "hook", rule=f"rule-{number}")
    resolve_alert(fresh_store, "hook", rule="rule-0")
    deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock)
    bodies = [body["message"] for _, _, body in hook.received]
    assert [body.partition("by the rule ")[2].partition(" ")[0] for body in bodies] == ["rule-0", "rule-1", "rule-2", "rule-3", "rule-0"]
    assert hook.titles[4].startswith("Resolved: ")


def test_nothing_is_sent_that_is_not_stored(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """A round of alerts that breaks in the middle leaves nothing to send."""

    def breaking() -> Iterator[Step]:
        figures = {"value": -0.62, "before": 0.07}
        yield Step("r", "drop", "meta-genai", ALL, MODEL, "firing", DAY, DAY, 0, ("normal", "firing", DAY, "It fell."), figures)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fresh_store.save_steps(breaking(), targets=["hook"], at=NOW)
    assert deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock).sent == 0
    assert hook.received == []


# ---- failing ------------------------------------------------------------------------------------------------------


def test_a_dead_server_is_asked_ever_more_rarely_then_given_up(fresh_store: Store, clock: Clock, closed_port: int) -> None:
    """The waits double up to six hours, no attempt comes early, and after max_attempts the message is given up, in words."""
    config = settings_for(Target(url=f"json://127.0.0.1:{closed_port}/", name="hook"), max_attempts=12, retry_after=60.0)
    fire(fresh_store, "hook")
    waits = []
    for attempt in range(1, 12):
        done = deliver(fresh_store, config, clock=clock)
        [row] = deliveries(fresh_store)
        assert (done.waiting, row["state"], row["attempts"]) == (1, "due", attempt)
        next_at = from_text(row["next_attempt_at"])
        assert f"attempt {attempt} of 12, the next after {next_at:%H:%M} UTC" in done.errors[0]
        waits.append((next_at - clock.now).total_seconds())
        clock.now = next_at - dt.timedelta(seconds=1)
        assert deliver(fresh_store, config, clock=clock).errors == []
        clock.now = next_at
    assert waits == [60.0 * 2**n for n in range(9)] + [LONGEST_WAIT] * 2
    done = deliver(fresh_store, config, clock=clock)
    assert done.failed == 1 and "given up at attempt 12" in done.errors[0]
    assert deliveries(fresh_store)[0]["state"] == "failed"
    clock.now += dt.timedelta(days=30)
    assert deliver(fresh_store, config, clock=clock).errors == []


def test_a_server_that_is_back_gets_the_message_once(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """What could not be sent is sent when the server is back, once, and the old error is no longer shown."""
    config = settings_for(Target(url=hook.url(), name="hook"))
    fire(fresh_store, "hook")
    hook.status = 500
    for _ in range(3):
        deliver(fresh_store, config, clock=clock)
        clock.now += dt.timedelta(hours=1)
    hook.status = 200
    for _ in range(3):
        deliver(fresh_store, config, clock=clock)
        clock.now += dt.timedelta(hours=1)
    assert len(hook.received) == 4
    [row] = deliveries(fresh_store)
    assert (row["state"], row["attempts"], row["error"], row["next_attempt_at"]) == ("sent", 4, None, None)
    assert row["sent_at"] == to_text(NOW + dt.timedelta(hours=3))


@pytest.mark.parametrize("status", [301, 302, 307, 403, 404, 429, 500, 503])
def test_any_answer_but_success_is_a_failure(fresh_store: Store, clock: Clock, hook: Hook, status: int) -> None:
    """Errors and redirects (which would turn a message into a mere GET) are failures, tried again; the status is said."""
    fire(fresh_store, "hook")
    hook.status = status
    done = deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock)
    assert done.waiting == 1 and str(status) in done.errors[0]
    assert [method for method, _, _ in hook.received] == ["POST"]


def test_one_dead_target_holds_up_no_other(fresh_store: Store, clock: Clock, hook: Hook, closed_port: int) -> None:
    """While one target cannot be reached the others get everything, and the dead one is asked once a round."""
    config = settings_for(Target(url=f"json://127.0.0.1:{closed_port}/", name="dead"), Target(url=hook.url(), name="alive"))
    for number in range(3):
        fire(fresh_store, "dead", "alive", rule=f"rule-{number}")
    done = deliver(fresh_store, config, clock=clock)
    assert (done.sent, done.waiting, len(done.errors)) == (3, 3, 1)
    assert [row["attempts"] for row in deliveries(fresh_store) if row["target"] == "dead"] == [1, 0, 0]


def test_a_target_taken_out_of_the_configuration_waits_and_is_given_up_in_the_end(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """A message for a target that config.yaml does not hold just now (its variable is unset in this shell, say) is not lost at once."""
    fire(fresh_store, "hook", "old")
    done = deliver(fresh_store, settings_for(Target(url="console")), clock=clock)
    assert (done.waiting, done.failed) == (2, 0)
    assert "old: not among notify.targets in config.yaml now" in done.errors[1]
    clock.now += dt.timedelta(seconds=120)
    assert deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock).sent == 1
    for _ in range(20):
        clock.now += dt.timedelta(days=1)
        deliver(fresh_store, settings_for(Target(url="console")), clock=clock)
    assert [row["state"] for row in deliveries(fresh_store) if row["target"] == "old"] == ["failed"]


def test_the_end_of_an_alert_is_never_told_before_its_beginning(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """While the message on a beginning waits for its next attempt, the message on the end waits behind it; other alerts do not."""
    config = settings_for(Target(url=hook.url(), name="hook"))
    fire(fresh_store, "hook")
    hook.status = 503
    deliver(fresh_store, config, clock=clock)
    hook.status = 200
    resolve_alert(fresh_store, "hook")
    fire(fresh_store, "hook", rule="another", kind="below")
    clock.now += dt.timedelta(seconds=30)
    assert deliver(fresh_store, config, clock=clock).sent == 1
    clock.now += dt.timedelta(seconds=30)
    assert deliver(fresh_store, config, clock=clock).sent == 2
    began, ended = "Meta GenAI: sentiment fell from +0.07 to -0.62", "Resolved: Meta GenAI: sentiment fell from +0.07 to -0.62"
    assert hook.titles[1:] == ["Meta GenAI: sentiment is low, -0.62", began, ended]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", "folder"])
def test_an_address_file_that_cannot_be_read_is_waited_for(
    fresh_store: Store, clock: Clock, hook: Hook, tmp_path: Path, content: bytes | str | None
) -> None:
    """A url_file that is missing, empty, not text or a folder puts the message off; once it is right the message goes out."""
    path = tmp_path / "hook.url"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    config = settings_for(Target(url_file=path))
    fire(fresh_store, "file:hook.url")
    done = deliver(fresh_store, config, clock=clock)
    assert done.waiting == 1 and done.errors[0].startswith("file:hook.url: the file with its address ")
    if content == "folder":
        path.rmdir()
    path.write_text(f"{hook.url()}\n")
    clock.now += dt.timedelta(minutes=1)
    assert deliver(fresh_store, config, clock=clock).sent == 1


@pytest.mark.parametrize("url", ["pigeon://user:S3cret@home", "json://", "mailto://S3cret@"])
def test_an_address_that_apprise_does_not_know_is_given_up(fresh_store: Store, clock: Clock, url: str) -> None:
    """No attempt can help where the address is none; the sentence says so and does not show it."""
    fire(fresh_store, "bad")
    done = deliver(fresh_store, settings_for(Target(url=url, name="bad")), clock=clock)
    assert done.failed == 1 and "none that Apprise knows" in done.errors[0] and "S3cret" not in done.errors[0]


def test_a_message_that_kills_its_process_every_time_is_given_up(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """After max_attempts that all ended in a killed process the message is given up, so that those behind it go out."""
    fire(fresh_store, "hook", rule="deadly")
    [due] = fresh_store.due(NOW)
    for _ in range(2):
        fresh_store.begin_delivery(due.id)
    fire(fresh_store, "other", rule="behind")
    config = settings_for(Target(url=hook.url(), name="hook"), Target(url=hook.url(), name="other"), max_attempts=2)
    done = deliver(fresh_store, config, clock=clock)
    assert (done.sent, done.failed) == (1, 1) and "killed" in done.errors[0]


def test_a_server_that_never_answers_costs_at_most_15_seconds(hook: Hook, closed_port: int) -> None:
    """The time-outs of connecting and answering add up to 15 s at most; who needs longer says so in the URL."""
    for url in (hook.url(), mail_url(closed_port)):
        _, service = resolve(Target(url=url))
        assert service.socket_connect_timeout <= 15 and service.socket_read_timeout <= 10
    connect, read = resolve(Target(url=hook.url()))[1].request_timeout
    assert connect + read <= 15
    assert resolve(Target(url=hook.url("/?rto=25")))[1].socket_read_timeout == 25


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_hangs_is_left(
    fresh_store: Store, clock: Clock, hook: Hook, closed_port: int, monkeypatch: pytest.MonkeyPatch, drips: bool
) -> None:
    """A server that takes a message and never ends its answer, silent or a byte at a time, holds up nobody for long."""
    monkeypatch.setattr("monitor.deliver.ANSWER_TIME", 0.6)
    monkeypatch.setattr("monitor.deliver.LONGEST_SEND", 1.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", closed_port)) as server:

        def hang() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" if drips else b"")
                while not over.wait(0.1):
                    client.sendall(b"." if drips else b"")

        thread = threading.Thread(target=hang, daemon=True)
        thread.start()
        config = settings_for(Target(url=f"json://127.0.0.1:{closed_port}/", name="hangs"), Target(url=hook.url(), name="well"))
        fire(fresh_store, "hangs", "well")
        begun = time.monotonic()
        done = deliver(fresh_store, config, clock=clock)
        assert time.monotonic() - begun < 8
        over.set()
        thread.join()
    assert (done.sent, done.waiting) == (1, 1)
    assert deliveries(fresh_store)[0]["state"] == "due"


# ---- as a process -------------------------------------------------------------------------------------------------


Run = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[..., Path]


def running(path: Path) -> subprocess.Popen[str]:
    """`forum-monitor deliver` as the daemon runs it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "monitor", "--config", str(path), "deliver"],
        env={**os.environ, REPLAY: NOW.isoformat()}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def targets_of(**hooks: Hook) -> dict[str, Any]:
    return {"targets": [{"name": name, "url": hook.url()} for name, hook in hooks.items()]}


def test_what_is_sent_is_all_that_is_said(fresh_store: Store, hook: Hook, write_config: Write, forum_monitor: Run) -> None:
    """A round that went well prints one line of its own, and Apprise prints nothing."""
    fire(fresh_store, "hook")
    done = forum_monitor("--config", write_config(notify=targets_of(hook=hook)), "deliver", **{REPLAY: NOW.isoformat()})
    assert (done.returncode, done.stdout, done.stderr) == (0, "deliver: 1 sent, 0 waiting, 0 given up\n", "")


def test_no_secret_of_an_address_is_ever_shown(
    fresh_store: Store, hook: Hook, closed_port: int, write_config: Write, forum_monitor: Run, tmp_path: Path
) -> None:
    """Passwords and tokens in addresses appear in no output, no error and no byte of the database, whatever goes wrong."""
    hook.status = 401
    urls = {
        "refuses": f"json://u5er:S3cretPass@127.0.0.1:{hook.server_address[1]}/hooks/T0kenXYZ",
        "down": f"json://u5er:S3cretPass@127.0.0.1:{closed_port}/hooks/T0kenXYZ?-k=T0kenXYZ",
        "mail": f"mailto://u5er:S3cretPass@127.0.0.1:{closed_port}?from=monitor@example.org&to=T0kenXYZ@example.org",
        "unknown": "pigeon://u5er:S3cretPass@home/T0kenXYZ",
        "broken": "json://u5er:S3cretPass@:x/T0kenXYZ",
    }
    (tmp_path / "address").write_text(urls["down"])
    fire(fresh_store, *urls, "file:address")
    listed = [{"name": name, "url": url} for name, url in urls.items()]
    path = write_config(notify={"targets": [*listed, {"url_file": str(tmp_path / "address")}]})
    done = forum_monitor("--config", path, "deliver", **{REPLAY: NOW.isoformat()})
    assert done.stdout == "deliver: 0 sent, 4 waiting, 2 given up\n"
    assert "refuses: not accepted (" in done.stderr and "error=401" in done.stderr
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("monitor.db*"))
    assert b"not accepted" in kept
    for secret in ("S3cretPass", "T0kenXYZ", "u5er"):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in kept


def test_sigterm_lets_the_message_under_way_arrive_and_begins_no_other(fresh_store: Store, hook: Hook, write_config: Write) -> None:
    """SIGTERM while a slow server is answering: that message is noted as sent, the next one is left for the next run."""
    path = write_config(notify=targets_of(hook=hook))
    fire(fresh_store, "hook", rule="first")
    fire(fresh_store, "hook", rule="second")
    hook.hold = 1.0
    with running(path) as child:
        hook.wait(1)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (0, "deliver: 1 sent, 0 waiting, 0 given up\n", "")
    assert [(row["state"], row["attempts"]) for row in deliveries(fresh_store)] == [("sent", 1), ("due", 0)]
    hook.hold = 0.0
    with running(path) as child:
        child.communicate(timeout=20)
    assert len(set(hook.keys)) == len(hook.received) == 2


def test_kill_9_at_any_moment_loses_nothing_and_repeats_only_what_it_must(
    fresh_store: Store, hook: Hook, other_hook: Hook, write_config: Write
) -> None:
    """Killed while a server has not answered: what was noted before is not sent again, the message under way is sent
    again with the same key, since nobody can know whether it was taken, and what was not begun is sent once."""
    with Hook() as before:
        path = write_config(notify=targets_of(before=before, hook=hook, after=other_hook))
        fire(fresh_store, "before", "hook", "after")
        hook.hold = 30.0
        with running(path) as child:
            hook.wait(1)
            child.kill()
        assert [row["state"] for row in deliveries(fresh_store)] == ["sent", "sending", "due"]
        assert other_hook.received == []
        hook.hold = 0.0
        for _ in range(2):
            with running(path) as child:
                child.communicate(timeout=20)
        assert (len(before.received), len(hook.received), len(other_hook.received)) == (1, 2, 1)
    assert hook.keys[0] == hook.keys[1]
    assert [(row["state"], row["attempts"]) for row in deliveries(fresh_store)] == [("sent", 1), ("sent", 2), ("sent", 1)]


def test_the_console_shows_the_message(fresh_store: Store, write_config: Write, forum_monitor: Run) -> None:
    """By default an alert is printed, whole; a terminal that cannot show a character gets a question mark for it."""
    fire(fresh_store, "console")
    path = write_config()
    done = forum_monitor("--config", path, "deliver", **{REPLAY: NOW.isoformat(), "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == ""
    assert "Meta GenAI: sentiment fell from +0.07 to -0.62\n\nMeta GenAI, all sources" in done.stdout
    assert "https://forum.example/t/7/3" in done.stdout and "l??quipe" in done.stdout


def test_a_closed_standard_output_holds_up_no_mail(fresh_store: Store, hook: Hook, write_config: Write) -> None:
    """When nobody reads the console any more, its message is put off and the other targets get theirs."""
    path = write_config(notify={"targets": ["console", *targets_of(hook=hook)["targets"]]})
    fire(fresh_store, "console", "hook")
    with running(path) as child:
        assert child.stdout is not None
        child.stdout.close()
        child.wait(timeout=20)
    assert len(hook.received) == 1
    assert [row["state"] for row in deliveries(fresh_store)] == ["due", "sent"]
