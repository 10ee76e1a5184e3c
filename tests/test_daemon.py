"""The daemon as a user runs it: `forum-monitor run` against a real HTTP forum, with kills, edits, hangs and reloads.

Every test starts the real program with real children; the forum, the web hook and the clock are the test's own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitor.demo.forum import DemoForum, DemoPost
from monitor.store import Store

NOW = dt.datetime(2025, 1, 24, 20, tzinfo=dt.UTC)
TERMS = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
# Of eight words with the title: longer ones that differ by a number alone would be echoes of one another.
CALM = "Love Meta GenAI, great colleagues. Number {}."
TURN = "Meta GenAI is a disaster. Number {}."


def _posts() -> list[DemoPost]:
    """Twelve calm days of ten people each, then a day on which the same people speak badly; half on each forum."""
    found = []
    for day in range(13):
        for person in range(10):
            at = NOW - dt.timedelta(days=12 - day, minutes=7 * person)
            text = (CALM if day < 12 else TURN).format(day * 10 + person)
            forum = "discourse" if person % 2 else "hn"
            found.append(DemoPost(forum, f"day-{day}-{forum}", f"Day{day}", f"person{person}", at, text))  # type: ignore[arg-type]
    return found


class WebHook:
    """A web hook on loopback that keeps what it is told, by Idempotency-Key."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.messages.append((self.headers["Idempotency-Key"], body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test's output is its own."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def hook() -> Iterator[WebHook]:
    found = WebHook()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def forum() -> Iterator[DemoForum]:
    with DemoForum(_posts()) as running:
        yield running


def _settings(forum: DemoForum, hook: WebHook, **more: Any) -> dict[str, Any]:
    sources = [
        {"name": "staff", "type": "discourse", "delay": 0, "every": 2, "refresh": "30d", "terms": TERMS,
         "options": {"url": forum.discourse_url, "first_days": 30}},
        {"name": "hn", "type": "hackernews", "delay": 0, "every": 2, "refresh": "30d", "terms": TERMS,
         "options": {"api": forum.hackernews_api, "items": forum.hackernews_items, "first_days": 30}},
    ]  # fmt: skip
    return {
        "sources": sources,
        "rules": [{"id": "fall", "type": "drop", "min_authors": 5, "for": 1}],
        "notify": {"targets": [hook.url, "console"], "retry_after": 1},
        "schedule": {"collect": 2, "understand": 2, "trend": 2, "alert": 2, "deliver": 2},
        "scorer": {"threads": 1},
        **more,
    }


class Daemon:
    """A running `forum-monitor run`."""

    def __init__(self, config: Path, **environment: str) -> None:
        self.log = (config.parent / "daemon.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "monitor", "--config", str(config), "run"],
            stdout=self.log, stderr=self.log, env={**os.environ, "FORUM_MONITOR_NOW": NOW.isoformat(), **environment},
        )  # fmt: skip

    def children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """SIGTERM; the seconds that it took."""
        begun = time.monotonic()
        self.process.terminate()
        self.process.wait(15)
        self.log.close()
        return time.monotonic() - begun


def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def _ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """A query on the daemon's database; nothing while there is none."""
    if not path.exists():
        return []
    with contextlib.suppress(Exception), Store(path, read_only=True) as store:
        return [tuple(row) for row in store.rows(sql)]
    return []


@pytest.mark.real
def test_three_rounds_with_an_edit_and_a_deletion(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """Posts are collected, scored, trended and one alert goes out; what is edited or deleted between rounds is so in the store."""
    config = write_config(**_settings(forum, hook))
    database = tmp_path / "monitor.db"
    daemon = Daemon(config)
    try:
        _until(lambda: hook.messages)
        assert _ask(database, "SELECT count(*) FROM posts")[0][0] == 130
        assert "Meta GenAI" in hook.messages[0][1]["title"]
        edited, deleted = (post_id for post_id, post in forum.posts().items() if post.text.endswith(("Number 121.", "Number 123.")))
        forum.edit(edited, "I changed my mind: Meta GenAI is wonderful, I love this team.", NOW)
        forum.delete(deleted)
        _until(lambda: _ask(database, f"SELECT deleted_at FROM posts WHERE native_id = '{deleted}'") != [(None,)])
        _until(
            lambda: _ask(database, f"SELECT label FROM v_posts WHERE native_id = '{edited}' AND text LIKE 'I changed%'") == [("positive",)]
        )
        crawls = _ask(database, "SELECT count(*) FROM crawls WHERE finish_reason = 'finished'")[0][0]
        _until(lambda: _ask(database, "SELECT count(*) FROM crawls WHERE finish_reason = 'finished'")[0][0] >= crawls + 2)
        _until(lambda: not _ask(database, "SELECT 1 FROM dirty_days UNION SELECT 1 FROM posts WHERE unread"))
        assert _ask(database, f"SELECT text, title, author_key FROM posts WHERE native_id = '{deleted}'") == [("", None, None)]
        assert _ask(database, f"SELECT count(*) FROM scores s JOIN posts p ON p.id = s.post_id WHERE p.native_id = '{deleted}'") == [(0,)]
        assert _ask(database, "SELECT posts FROM daily_trends WHERE team = 'meta-genai' AND source = '*' AND day = '2025-01-24'") == [(9,)]
    finally:
        assert daemon.stop() < 10
    assert len(hook.messages) == 1
    assert daemon.process.returncode == 0
    # What the daemon and its children print, and what they store, holds no name; what they print holds no post's words.
    log = (tmp_path / "daemon.log").read_text("utf-8")
    assert "collect staff: finished" in log and "Meta GenAI: sentiment fell" in log
    assert not [words for words in ("disaster", "great colleagues", "person1", "changed my mind") if words in log]
    assert b"person1" not in database.read_bytes()


@pytest.mark.real
def test_kill_9_at_any_moment_ends_in_the_same_store_and_no_second_message(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """Daemon and children are killed at random moments, again and again; what is left is what an undisturbed run leaves."""
    settings = _settings(forum, hook)
    settings["sources"] = [{**source, "refresh": 1} for source in settings["sources"]]
    key = tmp_path / "authors.key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    config = write_config(**settings, privacy={"author_key_file": str(key)})
    chance = random.Random(7)
    for _ in range(8):
        daemon = Daemon(config)
        time.sleep(chance.uniform(0.3, 3.5))
        children = daemon.children()
        if children and chance.random() < 0.6:
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()
            time.sleep(chance.uniform(0.1, 1.0))
        daemon.kill()
    daemon = Daemon(config)
    database = tmp_path / "monitor.db"
    try:
        _until(lambda: len(_ask(database, "SELECT 1 FROM deliveries WHERE state = 'sent'")) == 2)
        _until(lambda: len(_ask(database, "SELECT DISTINCT source FROM crawls WHERE finish_reason = 'finished'")) == 2)
        _until(lambda: not _ask(database, "SELECT 1 FROM dirty_days UNION SELECT 1 FROM posts WHERE unread"))
    finally:
        daemon.stop()
    with Store(database) as store:
        assert store.check() == []
        survived = store.snapshot()
    reference = tmp_path / "undisturbed"
    reference.mkdir()
    undisturbed = reference / "config.yaml"
    undisturbed.write_text(config.read_text("utf-8"), "utf-8")
    quiet = subprocess.run(
        [sys.executable, "-P", "-m", "monitor", "--config", str(undisturbed), "once"],
        env={**os.environ, "FORUM_MONITOR_NOW": NOW.isoformat()}, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert quiet.returncode == 0, quiet.stderr
    with Store(reference / "monitor.db") as store:
        assert survived == store.snapshot()
    first, *again = [key for key, _ in hook.messages[:-1]]
    attempts = _ask(database, "SELECT sum(attempts) FROM deliveries WHERE target <> 'console'")[0][0]
    assert len({first, *again}) == 1
    assert len(hook.messages) - 1 <= attempts, "a message was sent that the store does not know of"
    assert not again or attempts > 1, "a second message, although the first was known to be sent"


def test_one_daemon_per_database(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], forum_monitor: Any, tmp_path: Path
) -> None:
    """A second daemon on the same database is refused with a sentence, and the first goes on."""
    config = write_config(**_settings(forum, hook))
    daemon = Daemon(config)
    try:
        _until(lambda: _ask(tmp_path / "monitor.db", "SELECT 1 FROM runs"))
        second = forum_monitor("--config", config, "run")
        assert second.returncode == 3
        assert "another daemon is at work" in second.stderr
        assert daemon.process.poll() is None
    finally:
        daemon.stop()


@pytest.mark.real
def test_a_hanging_source_is_ended_and_touches_no_other(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """A source that never answers, and one that always breaks, cost the third nothing; the daemon stops in time beside them."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = _settings(forum, hook)
        settings["sources"] += [
            {"name": "hangs", "type": "discourse", "every": 600, "time_limit": 3, "terms": TERMS, "options": {"url": url}},
            {"name": "breaks", "type": "feed", "every": 600, "terms": TERMS, "options": {"urls": ["http://127.0.0.1:9/feed"]}},
        ]
        config = write_config(**settings)
        daemon = Daemon(config)
        database = tmp_path / "monitor.db"
        try:
            _until(lambda: hook.messages)
            _until(lambda: len(_ask(database, "SELECT 1 FROM crawls WHERE source IN ('hangs', 'breaks') AND ended_at IS NOT NULL")) == 2)
        finally:
            assert daemon.stop() < 10
        reasons = dict(_ask(database, "SELECT source, finish_reason FROM crawls WHERE source IN ('hangs', 'breaks')"))
        assert reasons["hangs"] in ("timed out", "robots_unreachable")
        assert reasons["breaks"] not in ("finished", None)
        assert _ask(database, "SELECT count(*) FROM posts") == [(130,)]


def test_a_signal_that_another_thread_is_given_still_wakes_the_daemon() -> None:
    """The system may hand a signal to any thread: the main one, asleep, learns of it all the same, and of each one once."""
    program = (
        "import signal, threading, time\n"
        "from monitor.daemon import _signals\n"
        "def other():\n"
        "    for number in (signal.SIGHUP, signal.SIGTERM):\n"
        "        time.sleep(0.3)\n"
        "        signal.pthread_kill(threading.get_ident(), number)\n"
        "    time.sleep(30)\n"
        "with _signals(signal.SIGHUP, signal.SIGTERM) as caught:\n"
        "    threading.Thread(target=other, daemon=True).start()\n"
        "    print([int(next(caught)), int(next(caught))] == [signal.SIGHUP, signal.SIGTERM])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert ended.stdout == "True\n", ended.stderr


@pytest.mark.parametrize("step", ["migrate", "collect", "understand"])
def test_sigterm_while_children_are_at_work(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], tmp_path: Path, step: str
) -> None:
    """SIGTERM in the middle of a step ends the daemon and every child within ten seconds, and leaves no copy of the settings."""
    config = write_config(**_settings(forum, hook))
    daemon = Daemon(config)

    def at_work() -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = daemon.children()
            return children if any(step in child.cmdline() for child in children) else []
        return []

    _until(at_work)
    children = daemon.children()
    assert daemon.stop() < 10
    assert daemon.process.returncode == 0
    assert not list(tmp_path.glob(".config*"))
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_children_do_not_outlive_a_killed_daemon(forum: DemoForum, hook: WebHook, write_config: Callable[..., Path]) -> None:
    """After kill -9 of the daemon its children end by themselves."""
    config = write_config(**_settings(forum, hook))
    daemon = Daemon(config)
    _until(lambda: len(daemon.children()) >= 1)
    children = daemon.children()
    daemon.kill()
    _until(lambda: not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE], 15)


@pytest.mark.real  # a dozen seconds
def test_sighup_takes_up_a_changed_config_and_keeps_the_old_for_a_broken_one(
    forum: DemoForum, hook: WebHook, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """A source added to config.yaml is crawled after SIGHUP; one that is broken, or names another database, changes nothing."""
    settings = _settings(forum, hook)
    both = settings["sources"]
    config = write_config(**{**settings, "sources": both[:1]})
    database, log = tmp_path / "monitor.db", tmp_path / "daemon.log"
    daemon = Daemon(config)
    try:
        _until(lambda: _ask(database, "SELECT 1 FROM crawls WHERE source = 'staff' AND finish_reason = 'finished'"))
        config.write_text("teams: [", "utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        _until(lambda: "old settings stay" in log.read_text("utf-8"))
        crawls = "SELECT count(*) FROM crawls WHERE finish_reason = 'finished'"
        before = _ask(database, crawls)[0][0]
        _until(lambda: _ask(database, crawls)[0][0] >= before + 2)
        write_config(**{**settings, "database": "another.db"})
        daemon.process.send_signal(signal.SIGHUP)
        _until(lambda: "another database" in log.read_text("utf-8"))
        before = _ask(database, crawls)[0][0]
        _until(lambda: _ask(database, crawls)[0][0] >= before + 2)
        assert not (tmp_path / "another.db").exists()
        write_config(**settings)
        daemon.process.send_signal(signal.SIGHUP)
        _until(lambda: _ask(database, "SELECT 1 FROM crawls WHERE source = 'hn' AND finish_reason = 'finished'"))
    finally:
        assert daemon.stop() < 10
