"""The outbox to its targets: alerts that `alert` stored, and digests that are due, again and again until they arrive or are given up.

The promises: one message per event, or digest, and target; nothing is lost when this process is killed; nothing is sent twice
that we could know of. A message is noted as `sending` before it leaves. When a process dies in that moment nobody can
tell whether the far side took it, so it is sent again, with the same Message-ID or, where the target has headers,
Idempotency-Key. A target that asks to be left alone for a time (Retry-After) is. No address, which may hold a password, comes into
the store, a log or a message.
"""

from __future__ import annotations

import datetime as dt
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor import attempt
from monitor.config import Config, Target
from monitor.errors import DeliveryError
from monitor.messages import Message, compose
from monitor.privacy import suppressed
from monitor.records import ALL, DailyTrend
from monitor.store import Due, Store

LONGEST_WAIT = 6 * 3600.0
"""Seconds between two attempts at most, also where a far side asks for more."""

CHART_DAYS = 42
"""Days up to the event that a mail shows."""

LAST_SEND = 6.0
"""Seconds that a message under way still has when this process is told to stop: the daemon kills it after eight."""


@dataclass(slots=True)
class Delivered:
    """What a round did: messages sent, put off and given up, and a sentence for each that did not go out."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)


def deliver(
    store: Store,
    config: Config,
    *,
    clock: Callable[[], dt.datetime],
    send: Callable[[Target, Message], str | None] = attempt.send,
    stop: threading.Event | None = None,
    logged: bool = False,
) -> Delivered:
    """Put digests whose time has come into the outbox, and send what is due, oldest first, until done or told to stop.

    A message once begun is finished. `logged`: standard output is a log, so what goes to the console quotes no posts and no words of
    theirs. A target that failed is left alone for the rest of the round, so that one dead server holds up nobody else, and one that
    asked for it for as long as it asked. In a time that `notify.mute` names all wait.
    """
    done = Delivered()
    if config.notify.digest:
        from monitor import digested  # here and below, since most rounds have no digest, and its figures take longer to load than they do

        digested.enqueue(store, config, now=clock())
    if config.notify.muted(clock()):
        done.waiting = len(store.due(clock()))
        return done
    targets = {target.key: target for target in config.notify.targets}
    down = store.held(clock())
    for due in store.due(clock()):
        if stop is not None and stop.is_set():
            break
        if due.target in down:
            done.waiting += 1
            continue
        store.begin_delivery(due.id)
        try:
            if due.attempts >= config.notify.max_attempts:  # a result was noted for none of them
                raise DeliveryError(
                    f"{due.target}: the process was killed at every attempt to send this: `deliver --retry` tries again", permanent=True
                )
            target = targets.get(due.target)
            if target is None:
                raise DeliveryError(
                    f"{due.target}: not among notify.targets in config.yaml now: write it there again, else this is given up in the end"
                )
            message = _message(store, config, due, now=clock(), wordless=logged and target.url == "console")
            done.errors += [flaw for flaw in message.flaws if flaw not in done.errors]
            said = send(target, message)
        except DeliveryError as error:
            if not error.permanent:
                down.add(due.target)
            _put_off(store, due, error, config, clock(), done)
        else:
            store.end_delivery(due.id, sent_at=clock(), error=said)
            done.sent += 1
            done.errors += [said] if said else []
    return done


def _message(store: Store, config: Config, due: Due, *, now: dt.datetime, wordless: bool) -> Message:
    """What a row of the outbox says, which has been begun; `wordless`: no post and no word of one."""
    if due.digest:
        from monitor import digested

        return digested.message(store, config, due.digest, now=now)
    event, also = due.event, store.told_with(due.event["event_id"])
    if wordless:
        event = {**event, "why": None}
        config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"excerpt": 0})})
    return compose(event, due.posts, config, trend_of(store, event, config), also)


def tried(
    config: Config, now: dt.datetime, send: Callable[[Target, Message], str | None] = attempt.send
) -> Iterator[tuple[str, str | None]]:
    """Send a test message to each target at once: its name, and what went wrong, if anything did. Nothing of it is stored."""
    message = Message(
        title="forum-monitor: a test",
        body=f"This is what an alert of yours would come as. It was asked for with `forum-monitor deliver --test` at {now:%H:%M} UTC.",
        key=f"test {now.isoformat()}",
    )
    for target in config.notify.targets:
        try:
            yield target.key, send(target, message)
        except DeliveryError as error:
            yield target.key, str(error)


def trend_of(store: Store, event: Mapping[str, Any], config: Config) -> list[DailyTrend]:
    """The days that a mail on the event shows, oldest first: its team's in its source, figures of too few people left out.

    None for an alert on a source as a whole, and where no day has a figure.
    """
    if event["team"] == ALL:
        return []
    last = dt.date.fromisoformat(event["event_day"])
    cells = store.trends(team=event["team"], model=event["model"], since=last - dt.timedelta(days=CHART_DAYS - 1))
    days = [day for day in suppressed(cells, config.privacy.min_authors) if day.source == event["source"] and day.day <= last]
    return days if any(day.mean is not None for day in days) else []


def _put_off(store: Store, due: Due, error: DeliveryError, config: Config, now: dt.datetime, done: Delivered) -> None:
    attempts, said, left_alone = due.attempts + 1, str(error), None
    if error.retry_after is not None:
        asked = dt.timedelta(seconds=min(error.retry_after, LONGEST_WAIT))
        left_alone = now + asked
        said += f"; it asks to be left alone for {error.retry_after:.0f} s"
        said += f", of which {asked.total_seconds():.0f} are waited" if error.retry_after > LONGEST_WAIT else ""
    if error.permanent or attempts >= config.notify.max_attempts:
        store.end_delivery(due.id, sent_at=None, error=said, retry_after=left_alone)
        done.failed += 1
        done.errors.append(f"{said}; given up at attempt {attempts} (`forum-monitor deliver --retry {due.id}` sends it again)")
        return
    again_at = now + dt.timedelta(seconds=wait(due.id, attempts, config.notify.retry_after))
    again_at = max(again_at, left_alone or again_at)
    store.end_delivery(due.id, sent_at=None, error=said, again_at=again_at, retry_after=left_alone)
    done.waiting += 1
    done.errors.append(f"{said}; attempt {attempts} of {config.notify.max_attempts}, the next after {again_at:%H:%M} UTC")


def wait(delivery_id: int, attempts: int, first: float) -> float:
    """Seconds to wait after so many attempts: `first`, doubled each time up to LONGEST_WAIT, less up to half of it by chance.

    Half of it is drawn ("equal jitter": Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that messages
    which failed together do not come back together. The same delivery draws the same at every run.
    """
    longest = min(first * 2.0 ** (attempts - 1), LONGEST_WAIT)
    return longest * random.Random(f"{delivery_id} {attempts}").uniform(0.5, 1.0)  # noqa: S311 (no secret depends on it)


def stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets in place of ending the process, so that the message under way is finished and noted."""
    event = threading.Event()

    def stop(*_: object) -> None:
        event.set()
        if signal.getitimer(signal.ITIMER_REAL)[0] > LAST_SEND:
            signal.setitimer(signal.ITIMER_REAL, LAST_SEND)

    signal.signal(signal.SIGTERM, stop)
    return event
