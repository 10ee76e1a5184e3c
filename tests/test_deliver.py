"""Alerts reach people once, whatever dies in between: real web servers on loopback, real child processes."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox import DAY, MODEL, NOW, TEXTS, Clock, Hook, composed, deliveries, fire, free_port, mail_url, resolve_alert, settings_for

from monitor.attempt import LEFT_OUT, resolve, send
from monitor.clock import REPLAY
from monitor.config import Target
from monitor.deliver import LONGEST_WAIT, deliver, wait
from monitor.messages import Message
from monitor.records import ALL, from_text, to_text
from monitor.store import Step, Store


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


@pytest.fixture
def other_hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    return free_port()


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ---- arriving -----------------------------------------------------------------------------------------------------


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


def test_a_web_hook_gets_facts_beside_words(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """A generic hook's body holds the message, and the event's figures, reason and posts as JSON of their own types."""
    fire(fresh_store, "hook")
    resolve_alert(fresh_store, "hook")
    config = settings_for(Target(url=hook.url("/x?:room=alerts"), name="hook"))
    [began, ended] = composed(fresh_store, config)
    assert deliver(fresh_store, config, clock=clock).sent == 2
    (_, headers, body), (_, _, over) = hook.received
    assert headers["Content-Type"] == "application/json"
    assert set(body) == {"version", "title", "message", "attachments", "type", "alert", "room"} and body["room"] == "alerts"
    assert (body["title"], body["message"], body["type"]) == (began.title, began.body, "warning")
    alert, [row] = body["alert"], fresh_store.rows("SELECT * FROM alerts")
    assert {name: alert[name] for name in ("rule", "team", "source", "value", "low", "high", "authors")} == {
        name: row[name] for name in ("rule", "team", "source", "value", "low", "high", "authors")
    }
    assert (alert["state"], alert["day"], alert["reason"]) == ("firing", "2025-01-24", row["reason"])
    assert [post["url"] for post in alert["posts_shown"]] == [f"https://forum.example/t/7/{n}" for n in (1, 2, 3)]
    assert alert["posts_shown"][1]["excerpt"] == TEXTS[1] and "author" not in str(alert["posts_shown"])
    assert (over["title"], over["type"], over["alert"]["state"]) == (ended.title, "success", "resolved")
    assert (over["alert"]["day"], over["alert"]["began_on"]) == ("2025-01-28", "2025-01-24")


def test_ntfy_gets_title_priority_tags_and_link(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """An alert rings and opens its first post; its end does neither. What the address says of these stands, and no image is fetched."""
    fire(fresh_store, "plain", "own")
    resolve_alert(fresh_store, "plain")
    plain = Target(url=hook.url("/alerts", "ntfy"), name="plain")
    own = Target(url=hook.url("/alerts?priority=low&tags=eyes&click=https://wiki.example/", "ntfy"), name="own")
    [began, _, ended] = composed(fresh_store, settings_for(plain, own))
    assert deliver(fresh_store, settings_for(plain, own), clock=clock).sent == 3
    (_, first, body), (_, second, _), (_, third, over) = hook.received
    assert body == {"topic": "alerts", "title": began.title, "message": began.body}
    assert (first["X-Priority"], first["X-Tags"], first["X-Click"]) == ("high", "warning", "https://forum.example/t/7/1")
    assert (second["X-Priority"], second["X-Tags"], second["X-Click"]) == ("low", "eyes", "https://wiki.example/")
    assert over["title"] == ended.title and (third["X-Priority"], third["X-Tags"], third["X-Click"]) == (None, "white_check_mark", None)
    assert first["X-Icon"] is None


def test_a_message_that_is_too_long_for_its_service_arrives_cut(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a service takes only so much, the message is cut where that shows; another, or `overflow=` in its address, gets all of it."""
    monkeypatch.setattr("apprise.plugins.discord.NotifyDiscord.notify_url", hook.url("/discord", "http"))
    long = Message(title="Digest", body="A word said before, à la fois. " * 180, key="digest")
    for url in (hook.url("/t", "ntfy"), "discord://abcdefghijkl/abcdefghijkl", hook.url("/t?overflow=upstream", "ntfy"), hook.url()):
        send(Target(url=url, name="one"), long)
    note, chat, whole, plain = (body for _, _, body in hook.received)
    assert 4000 < len(note["message"].encode()) <= 4096 and note["message"].endswith(LEFT_OUT)
    assert 1800 < len(chat["content"]) <= 2000 and chat["content"].rstrip().endswith(LEFT_OUT)
    assert whole["message"].strip() == plain["message"].strip() == long.body.strip()
    short = Message(title="Digest", body="Short.", key="digest 2")
    send(Target(url=hook.url("/t", "ntfy"), name="one"), short)
    assert hook.received[-1][2]["message"] == "Short."


def test_slack_shows_a_post_as_it_was_written(fresh_store: Store, clock: Clock, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's web hook gets header, figures and posts as blocks, in which nothing of a post is a link, a mention or a call."""
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", hook.url("/services", "http"))
    hook.words = b"ok"
    fire(fresh_store, "slack")
    with fresh_store.writing() as connection:
        connection.execute("UPDATE posts SET text = 'Hey <!channel> and @here & <https://evil.example|click>, a < b' WHERE native_id = '1'")
    config = settings_for(Target(url="slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", name="slack"))
    [message] = composed(fresh_store, config)
    assert deliver(fresh_store, config, clock=clock).errors == []
    [(_, headers, body)] = hook.received
    assert headers["Content-Type"].startswith("application/json")
    header, head, figures, _, post, *_, sent = body["blocks"]
    assert body["text"].startswith(f"{message.title}\n\nMeta GenAI, all sources, 24 January 2025") and "attachments" not in body
    assert header == {"type": "header", "text": {"type": "plain_text", "text": message.title, "emoji": False}}
    assert head["type"] == "section" and head["text"]["text"].startswith(
        "*Meta GenAI, all sources, 24 January 2025 (days are UTC)*\nSentiment went"
    )
    assert [field["text"] for field in figures["fields"][:2]] == ["*Now*\n-0.62", "*Before*\n+0.07"]
    assert post["type"] == "context" and sent["type"] == "context"
    link, quote = (element["text"] for element in post["elements"])
    assert link == "<https://forum.example/t/7/1|negative, employee-forum, 24 January 2025, 11:30 UTC>"
    assert "&lt;\u200b!channel&gt; and @…" in quote and "&amp; &lt;https://evil.example|click&gt;, a &lt; b" in quote
    assert "<!" not in str(body) and "@here" not in str(body)


def test_a_slack_app_posts_blocks_to_its_channel(fresh_store: Store, clock: Clock, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bot's token the blocks go to the channel that the address names; the user's own words stand in them where there are any."""
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.api_url", hook.url("/api/{}", "http"))
    hook.words = b'{"ok": true, "channel": "C1"}'
    fire(fresh_store, "slack")
    folder = fresh_store.path.parent / "words"
    folder.mkdir()
    (folder / "body.txt").write_text("Look at {{ subject }}")
    config = settings_for(Target(url="slack://xoxb-1234-1234-abc123/#alerts", name="slack"), templates=folder)
    assert deliver(fresh_store, config, clock=clock).errors == []
    [(_, headers, body)] = hook.received
    assert headers["Authorization"] == "Bearer xoxb-1234-1234-abc123" and body["channel"] == "#alerts"
    assert [block["text"]["text"] for block in body["blocks"]] == ["Meta GenAI: sentiment fell from +0.07 to -0.62", "Look at Meta GenAI"]


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
    """No attempt comes before its wait is over, and after max_attempts the message is given up, in words."""
    config = settings_for(Target(url=f"json://127.0.0.1:{closed_port}/", name="hook"), max_attempts=12, retry_after=60.0)
    fire(fresh_store, "hook")
    [due], waits = fresh_store.due(clock.now), []
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
    assert waits == [int(wait(due.id, attempt, 60.0)) for attempt in range(1, 12)]
    done = deliver(fresh_store, config, clock=clock)
    assert done.failed == 1 and "given up at attempt 12" in done.errors[0]
    assert deliveries(fresh_store)[0]["state"] == "failed"
    clock.now += dt.timedelta(days=30)
    assert deliver(fresh_store, config, clock=clock).errors == []


@given(delivery=st.integers(1, 10**9), attempts=st.integers(1, 1000), first=st.floats(1, 3600))
def test_waits_double_up_to_six_hours_and_spread(delivery: int, attempts: int, first: float) -> None:
    """A wait is the doubled one or up to half of it shorter, the same whenever it is asked for, and another for other messages."""
    longest = min(first * 2.0 ** (attempts - 1), LONGEST_WAIT)
    drawn = wait(delivery, attempts, first)
    assert longest / 2 <= drawn <= longest and drawn == wait(delivery, attempts, first)
    assert len({wait(delivery + n, attempts, first) for n in range(5)}) == 5


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


@pytest.mark.parametrize("status", [400, 405, 410, 413, 415, 422])
@pytest.mark.parametrize("scheme", ["json", "ntfy"])
def test_a_message_that_will_never_be_taken_is_given_up_at_once(
    fresh_store: Store, clock: Clock, hook: Hook, status: int, scheme: str
) -> None:
    """An answer that speaks of this very message is final: it is not sent again, and what to do stands in the sentence."""
    fire(fresh_store, "hook")
    hook.status = status
    hook.words = b'{"code": %d, "error": "it says why"}' % (status * 100 + 1)  # as ntfy does, with digits of its own
    done = deliver(fresh_store, settings_for(Target(url=hook.url("/topic", scheme), name="hook")), clock=clock)
    [given_up] = fresh_store.given_up()
    assert done.failed == 1 and str(status) in done.errors[0] and f"deliver --retry {given_up['id']}" in done.errors[0]
    clock.now += dt.timedelta(days=1)
    assert deliver(fresh_store, settings_for(Target(url=hook.url("/topic", scheme), name="hook")), clock=clock).errors == []
    assert len(hook.received) == 1


@pytest.mark.parametrize("scheme", ["json", "ntfy"])
@pytest.mark.parametrize(
    ("status", "asked", "seconds"), [(429, "1800", 1800), (503, "date", 7200), (429, "999999", LONGEST_WAIT), (503, "5", 60)]
)
def test_a_server_that_says_when_to_come_again_is_left_alone_until_then(
    fresh_store: Store, clock: Clock, hook: Hook, status: int, asked: str, seconds: float, scheme: str
) -> None:
    """Retry-After, in seconds or as a date, is heeded up to six hours, by all messages to that target; it never makes us come sooner."""
    date = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds), usegmt=True)
    hook.status, hook.headers = status, {"Retry-After": date if asked == "date" else asked}
    config = settings_for(Target(url=hook.url("/topic", scheme), name="hook"), Target(url="console"), retry_after=120.0)
    fire(fresh_store, "hook")
    done = deliver(fresh_store, config, clock=clock)
    [row] = deliveries(fresh_store)
    waits = (from_text(row["next_attempt_at"]) - clock.now).total_seconds()
    assert done.waiting == 1 and "it asks to be left alone for " in done.errors[0] and "it asks to be left alone" in row["error"]
    assert abs(waits - seconds) < 4 if seconds > 60 else waits >= 60
    held = from_text(fresh_store.rows("SELECT retry_after FROM deliveries")[0][0])
    hook.status, hook.headers = 200, {}
    clock.now = held - dt.timedelta(seconds=1)
    fire(fresh_store, "hook", "console", rule="another", at=clock.now)
    done = deliver(fresh_store, config, clock=clock)
    assert (done.sent, len(hook.received)) == (1, 1), "the console is not concerned"
    clock.now = max(held, from_text(row["next_attempt_at"]))
    assert deliver(fresh_store, config, clock=clock).sent == 2
    assert fresh_store.rows("SELECT count(*) FROM deliveries WHERE retry_after IS NOT NULL OR error IS NOT NULL")[0][0] == 0


@pytest.mark.parametrize(("status", "asked"), [(429, "soon"), (503, ""), (500, "1800"), (503, "-5")])
def test_what_is_no_time_to_come_again_is_not_heeded(fresh_store: Store, clock: Clock, hook: Hook, status: int, asked: str) -> None:
    """A Retry-After that is none, or of another answer, leaves the message to our own back-off."""
    hook.status, hook.headers = status, {"Retry-After": asked}
    fire(fresh_store, "hook")
    assert deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock).waiting == 1
    [row] = deliveries(fresh_store)
    assert from_text(row["next_attempt_at"]) - clock.now <= dt.timedelta(seconds=60) and "left alone" not in row["error"]


def test_a_message_that_will_never_be_taken_holds_up_no_other(fresh_store: Store, clock: Clock, hook: Hook) -> None:
    """A target that refuses one message for good gets the next one in the same round."""
    hook.too_large = "fell"
    fire(fresh_store, "hook")
    fire(fresh_store, "hook", rule="another", kind="below")
    done = deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock)
    assert (done.sent, done.failed, done.waiting) == (1, 1, 0)


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
    monkeypatch.setattr("monitor.attempt.ANSWER_TIME", 0.6)
    monkeypatch.setattr("monitor.attempt.LONGEST_SEND", 1.5)
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


def test_what_was_given_up_is_listed_and_sent_again(
    fresh_store: Store, clock: Clock, hook: Hook, write_config: Write, forum_monitor: Run
) -> None:
    """`deliver --failed` lists what was given up, and why; `--retry ID` sends one again, `--retry` all, each with its old key."""
    for rule in ("first", "second", "third"):
        fire(fresh_store, "hook", rule=rule)
    hook.status = 410
    assert deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock).failed == 3
    hook.status = 200
    assert deliver(fresh_store, settings_for(Target(url=hook.url(), name="hook")), clock=clock).sent == 0
    path = write_config(notify=targets_of(hook=hook))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return forum_monitor("--config", path, "deliver", *words, **{REPLAY: NOW.isoformat()})

    listed = run("--failed").stdout
    assert "error=410" in listed and "second, firing" in listed and "--retry ID" in listed
    ids = {row["rule"]: row["id"] for row in fresh_store.given_up()}
    assert run("--retry", str(ids["second"])).stdout == "deliver: 1 sent, 0 waiting, 0 given up\n"
    assert [row["rule"] for row in fresh_store.given_up()] == ["first", "third"]
    assert run("--retry").stdout == "deliver: 2 sent, 0 waiting, 0 given up\n"
    assert [hook.keys[n] for n in (3, 4, 5)] == [hook.keys[n] for n in (1, 0, 2)]
    done = run("--retry", str(ids["second"]))
    assert done.returncode == 2 and "deliver --failed" in done.stderr and len(hook.received) == 6


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
