"""The clock: types the steps' commands at their times, each in a child process, and stops them when they take too long.

The promises: a step that crashes, hangs or is killed touches no other step, source or the daemon; SIGTERM ends
everything within ten seconds; SIGHUP takes up a changed config.yaml, and keeps the old one if the new is broken; one
daemon per database. It holds no state of its own: when each step last ran is in the store, the rest in config.yaml.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import filelock
from apscheduler.executors.pool import ThreadPoolExecutor as JobThreads
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from monitor import CHILD
from monitor.config import Config, load, warnings
from monitor.errors import Busy, ConfigError, MonitorError, StoreError
from monitor.store import Store

log = logging.getLogger("forum-monitor")

CHAIN = ("understand", "trend", "alert", "deliver")
"""The steps after `collect`, in order: one that ends well calls the next."""

GRACE = 8.0
"""Seconds that children have to end after SIGTERM before they are killed: the daemon promises ten in all."""

CRAWLS_AT_ONCE = 4


@contextlib.contextmanager
def lock(database: Path, what: str = "") -> Iterator[None]:
    """Hold the daemon's lock on a database, or that of one step. Raises Busy at once when another process has it."""
    path = Path(f"{database}{f'.{what}' if what else ''}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path)
    try:
        held.acquire(timeout=15 if what else 0)
    except filelock.Timeout:
        subject = f"step {what}" if what else "daemon"
        raise Busy(f"another {subject} is at work on {database}: stop it first, or give this one another database") from None
    except OSError as error:
        raise Busy(f"{path} cannot be made ({error.strerror}): check that the database's folder may be written") from None
    try:
        yield
    finally:
        held.release()


@contextlib.contextmanager
def _signals(*numbers: signal.Signals) -> Iterator[Iterator[int]]:
    """The signals of these numbers as they come, each once, to be read in the main thread.

    They come through a socket that the interpreter writes to: a wait on a queue or a lock would sleep through a signal that
    arrives just before it, or that the system hands to another thread, and the daemon would not stop.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)  # first: a signal in between would be swallowed
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield (number for number in iter(lambda: reader.recv(1)[0], 0) if number in numbers)
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def command(config_path: Path, *words: str) -> list[str]:
    """The command line of a step. `-P` keeps a folder `spiders` in the working directory from standing in for ours."""
    return [sys.executable, "-P", "-m", "monitor", "--config", str(config_path), *words]


@dataclass(slots=True)
class Ended:
    """How a child ended: its exit code, or None when it had to be stopped."""

    code: int | None
    seconds: float


@dataclass(slots=True)
class Children:
    """The child processes of this daemon; `stop` ends them all, and lets no new one begin."""

    alive: set[subprocess.Popen[bytes]] = field(default_factory=set)
    guard: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False

    def run(self, words: list[str], limit: float) -> Ended | None:
        """Run one child to its end, at most `limit` seconds; None when the daemon is stopping."""
        with self.guard:
            if self.stopping:
                return None
            # A session of its own: a Ctrl-C in the terminal reaches the daemon only, which then stops its children.
            child = subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, CHILD: "1"}, start_new_session=True)
            self.alive.add(child)
        begun = time.monotonic()
        try:
            try:
                code: int | None = child.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
                end([child], GRACE)
            except BaseException:  # the daemon itself is told to stop
                end([child], GRACE)
                raise
            return Ended(code, time.monotonic() - begun)
        finally:
            with self.guard:
                self.alive.discard(child)
            if child.stdin:
                child.stdin.close()

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not heed it within GRACE."""
        with self.guard:
            self.stopping = True
            children = list(self.alive)
        end(children, GRACE)


def end(children: list[subprocess.Popen[bytes]], grace: float) -> None:
    """Ask processes to end, wait `grace` seconds, and kill what is left with all that it started."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    deadline = time.monotonic() + grace
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


class Daemon:
    """The scheduled jobs of one config.yaml."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.accepted = config.path.with_name(f".{config.path.name}.running")
        """What the children read: config.yaml as it was when it was last accepted, beside it, so that its relative paths hold."""
        self.children = Children()
        # Crawls have threads of their own, so that slow ones never hold up the chain.
        self.scheduler = BackgroundScheduler(
            timezone=dt.UTC,
            executors={"default": JobThreads(len(CHAIN)), "crawls": JobThreads(CRAWLS_AT_ONCE)},
            # APScheduler's own grace of 1 s would skip every job that is 2 s late.
            job_defaults={"misfire_grace_time": 3600, "coalesce": True, "max_instances": 1},
        )

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises Busy when another daemon has this database."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with lock(self.config.database), self._accepted():
            # In a child, since migrations bring in sqlite-utils and pandas: 50 MB that the idle daemon would carry.
            migrated = self.children.run(command(self.accepted, "migrate"), 600.0)
            if migrated is None or migrated.code != 0:
                raise StoreError(f"{self.config.database} could not be made ready; the reason stands above")
            with _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as caught:
                self._schedule()
                self.scheduler.start()
                log.info("running; %d sources, %d rules, database %s", len(self._sources()), len(self.config.rules), self.config.database)
                while next(caught) == signal.SIGHUP:
                    self._reload()
                log.info("stopping")
                self.children.stop()
                self.scheduler.shutdown(wait=False)
                log.info("stopped")

    @contextlib.contextmanager
    def _accepted(self) -> Iterator[None]:
        """Keep a copy of config.yaml while the daemon runs, so that one that is being edited or is broken changes nothing."""
        self._accept(self.config.path.read_bytes())
        try:
            yield
        finally:
            self.accepted.unlink(missing_ok=True)

    def _accept(self, text: bytes) -> None:
        try:
            new = self.accepted.with_name(f"{self.accepted.name}.new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(text)
            new.replace(self.accepted)
        except OSError as error:
            raise StoreError(
                f"{self.accepted} cannot be written ({error.strerror}): put config.yaml into a folder that may be written"
            ) from None

    def _sources(self) -> list[str]:
        return [source.name for source in self.config.sources if source.enabled]

    def _schedule(self) -> None:
        """Jobs for every source and step, each first due when its period since the last run in the store is over."""
        with Store(self.config.database) as store:
            last = store.last_runs()
        now = dt.datetime.now(dt.UTC)

        def add(step: str, source: str, period: float, executor: str) -> None:
            before = last.get((step, source))
            due = max(now, before + dt.timedelta(seconds=period)) if before else now
            self.scheduler.add_job(
                self.step,
                IntervalTrigger(seconds=max(1, round(period)), timezone=dt.UTC),
                args=(step, source),
                id=f"{step} {source}".strip(),
                executor=executor,
                next_run_time=min(due, now + dt.timedelta(seconds=period)),
                replace_existing=True,
            )

        for source in self.config.sources:
            if source.enabled:
                add("collect", source.name, source.every or self.config.schedule.collect, "crawls")
        for step in CHAIN:
            add(step, "", getattr(self.config.schedule, step), "default")

    def step(self, step: str, source: str = "") -> None:
        """Run one step to its end, say how it ended, and call the next one."""
        limit = self.config.schedule.time_limit
        if source:
            found = self.config.source(source)
            # The crawl ends itself at its limit; a minute more, for one that hangs.
            limit = (found.time_limit if found else limit) + 60.0
        words = [word for word in (step, source) if word]
        ended = self.children.run(command(self.accepted, *words), limit)
        if ended is None:
            return
        what = " ".join(words)
        if ended.code is None:
            log.error("%s: stopped after %.0f s, its time limit", what, ended.seconds)
        elif ended.code != 0:
            log.error("%s: failed with exit code %d after %.1f s; what it stored before is kept", what, ended.code, ended.seconds)
        else:
            log.debug("%s: ok, %.1f s", what, ended.seconds)
        position = CHAIN.index(step) + 1 if step in CHAIN else 0
        # A crawl that failed half-way stored what it had: the chain goes on with that.
        if position < len(CHAIN) and (ended.code == 0 or step == "collect"):
            self._soon(CHAIN[position])

    def _soon(self, step: str) -> None:
        job = self.scheduler.get_job(step)
        if job and not self.children.stopping:
            job.modify(next_run_time=dt.datetime.now(dt.UTC))

    def _reload(self) -> None:
        """Take up config.yaml as it is now; the jobs under way are finished by the old one."""
        try:
            text = self.config.path.read_bytes()
            config, problems = load(self.config.path)
            if config.database != self.config.database:
                log.error("config.yaml names another database: restart the daemon for that; the old settings stay")
                return
        except (ConfigError, OSError) as error:
            log.error("the old settings stay, since the new ones cannot be used: %s", error)
            return
        for warning in [*map(str, problems), *warnings(config)]:
            log.warning("%s", warning)
        self.config = config
        try:
            self._accept(text)
            self.scheduler.remove_all_jobs()
            self._schedule()
        except MonitorError as error:
            log.error("%s", error)
            return
        log.info("took up %s: %d sources, %d rules", config.path, len(self._sources()), len(config.rules))


def run_once(config: Config, bar: bool) -> list[str]:
    """The whole chain a single time, crawls side by side, then each step; returns the steps that did not end well.

    Each step is the same child process as under the daemon, and a failed one does not keep the next from running.
    `bar` shows a progress bar on standard error.
    """
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.progress import Progress

    children = Children()
    crawls = [("collect", source.name, source.time_limit + 60.0) for source in config.sources if source.enabled]
    failed = []
    with Progress(console=Console(stderr=True), disable=not bar, transient=True) as progress, ThreadPoolExecutor(CRAWLS_AT_ONCE) as pool:
        task = progress.add_task("collect", total=len(crawls) + len(CHAIN))

        def one(step: str, source: str, limit: float) -> None:
            ended = children.run(command(config.path, *(word for word in (step, source) if word)), limit)
            if ended is None or ended.code != 0:
                failed.append(f"{step} {source}".strip())
            progress.advance(task)

        try:
            list(pool.map(lambda crawl: one(*crawl), crawls))
            for step in CHAIN:
                progress.update(task, description=step)
                one(step, "", config.schedule.time_limit)
        except BaseException:
            children.stop()
            raise
    return failed
