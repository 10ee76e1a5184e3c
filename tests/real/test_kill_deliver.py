"""`forum-monitor deliver` killed by SIGKILL at random moments, again and again: nothing is lost, nothing sent twice that can be told."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from outbox import HISTORIES, NOW, Hook, Mailbox, fire, free_port, mail_server, mail_url, resolve_alert

from monitor.store import DigestOf, Store

pytestmark = [pytest.mark.real, pytest.mark.timeout(7200)]

KILLS = int(os.environ.get("FORUM_MONITOR_KILLS", "100"))
"""How many rounds are killed. The figure to report is that of 1000."""

WITH_CHART = 0.95
"""The share of the kills after which mails show a chart: drawing one takes longer than all else that a round does."""


class Nursery:
    """Starts rounds, one at a time, each a process of its own (see nursery.py)."""

    def __init__(self, config: Path) -> None:
        words = [sys.executable, "-P", str(Path(__file__).with_name("nursery.py")), str(config)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def begin(self) -> int:
        """Start a round; its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> bool:
        """Wait for the round to end; whether it was killed."""
        status = int(self._line())
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture
def nursery(write_config: Callable[..., Path]) -> Iterator[Callable[..., Nursery]]:
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Nursery:
            found = Nursery(write_config(**settings))
            stack.callback(found.process.wait)
            stack.callback(found.process.kill)
            return found

        yield start


def test_kill_9_at_any_moment_loses_nothing_and_sends_nothing_twice(
    fresh_store: Store, nursery: Callable[..., Nursery], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mail server and a web hook get every event and digest; what comes again, since nobody could know that it had come, has its old key.

    Half of the kills come at any moment of a round, half just after a message has come. The store knows of every attempt, "firing"
    always comes before "resolved", and the mail on the one answers that on the other.
    """
    chance, mailbox, port = random.Random(3), Mailbox(), free_port()
    with Hook() as hook, mail_server(mailbox, port):
        targets = [{"name": "mail", "url": mail_url(port)}, {"name": "hook", "url": hook.url()}]
        rounds = nursery(notify={"targets": targets, "max_attempts": 1000})
        killed = alerts = ended = 0
        longest = 1.0
        while killed < KILLS:
            while fresh_store.outbox()[0] < 6:
                fire(fresh_store, "mail", "hook", rule=f"rule-{alerts}")
                alerts += 1
                if alerts % 4 == 0:
                    for target in ("mail", "hook"):
                        fresh_store.enqueue_digest(DigestOf("day", _day(alerts)), target, NOW)
                if alerts > 2:
                    resolve_alert(fresh_store, "mail", "hook", rule=f"rule-{ended}")
                    ended += 1
            if killed == int(KILLS * WITH_CHART):
                fresh_store.replace_trends({}, HISTORIES["drop"])
            before, begun, child = len(mailbox.received) + len(hook.received), time.monotonic(), rounds.begin()
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, longest))
            else:
                while len(mailbox.received) + len(hook.received) == before and time.monotonic() - begun < 10:
                    time.sleep(0.0003)
                time.sleep(chance.uniform(0, 0.03))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            if rounds.end():
                killed += 1
            else:
                longest = 0.9 * longest + 0.1 * (time.monotonic() - begun)  # it was over before: nearer to the beginning from now on
        while fresh_store.outbox()[0]:
            rounds.begin()
            assert not rounds.end()

    came: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for mail in mailbox.received:
        body = mail.get_body(("plain",))
        assert body is not None
        of = str(mail["Subject"]) if mail["Subject"].startswith("Digest") else _rule(body.get_content())
        came["mail", of, mail["Subject"].startswith("Resolved: ")].append(mail["Message-ID"])
    for _, headers, body in hook.received:
        of = body["title"] if "digest" in body else body["alert"]["rule"]
        came["hook", of, body["type"] == "success"].append(headers["Idempotency-Key"])
    told = [(target, f"rule-{n}", over) for target in ("mail", "hook") for n in range(alerts) for over in (False, True)]
    expected = [one for one in told if not one[2] or int(one[1].removeprefix("rule-")) < ended]
    expected += [(target, _digest(_day(n)), False) for target in ("mail", "hook") for n in range(4, alerts + 1, 4)]
    lost = [one for one in expected if one not in came]
    twice = [one for one, keys in came.items() if len(set(keys)) > 1]
    again = sum(len(keys) - 1 for keys in came.values())
    attempts = {
        (row["target"], row["rule"] or _digest(dt.date.fromisoformat(row["digest_day"])), row["after"] == "resolved"): row["attempts"]
        for row in fresh_store.rows(
            'SELECT target, rule, "after", attempts, digest_day FROM deliveries d LEFT JOIN alert_events e ON e.id = d.event_id'
        )
    }
    with capsys.disabled():
        print(
            f"\n{killed} kills, {len(expected)} messages: {len(lost)} lost, {len(twice)} sent twice under two keys; "
            f"{again} came again under their key, which nobody could know, in {sum(attempts.values())} attempts"
        )
    assert not lost and not twice
    assert all(len(keys) <= attempts[one] for one, keys in came.items()), "a message was sent that the store does not know of"
    assert len({key for keys in came.values() for key in keys}) == len(expected)
    order = list(came)
    for target, rule, over in order:
        assert not over or order.index((target, rule, False)) < order.index((target, rule, True))
    for mail in mailbox.received:
        if mail["In-Reply-To"]:
            body = mail.get_body(("plain",))
            assert body is not None and mail["In-Reply-To"] == came["mail", _rule(body.get_content()), False][0]


def _day(n: int) -> dt.date:
    return dt.date(2024, 1, 1) + dt.timedelta(days=n)


def _digest(day: dt.date) -> str:
    return f"Digest of the day: {day:%-d %B %Y}"


def _rule(body: str) -> str:
    return body.partition("by the rule ")[2].partition(" ")[0]
