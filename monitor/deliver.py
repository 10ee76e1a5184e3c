"""The outbox to its targets: what `alert` stored goes out, as mail or by Apprise, again and again until it arrived or was given up.

The promises: one message per event and target; nothing is lost when this process is killed; nothing is sent twice
that we could know of. A message is noted as `sending` before it leaves. When a process dies in that moment nobody can
tell whether the far side took it, so it is sent again, with the same Message-ID or, where the target has headers,
Idempotency-Key. No address, which may hold a password, comes into the store, a log or a message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import logging
import random
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from typing import Any
from urllib.parse import unquote

from monitor import mail
from monitor.config import Config, Target
from monitor.errors import DeliveryError
from monitor.messages import Message, compose, digest
from monitor.privacy import suppressed
from monitor.records import ALL, DailyTrend
from monitor.store import Due, Store

LONGEST_WAIT = 6 * 3600.0
"""Seconds between two attempts at most."""

FOR_GOOD = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422, 431, 501})
"""HTTP statuses by which a server refuses this very message, so that sending it again cannot help (RFC 9110, 15.5)."""

CHART_DAYS = 42
"""Days up to the event that a mail shows."""

ANSWER_TIME = 10.0
"""Seconds that a web service may take to answer, unless its URL says otherwise by `rto=`. Apprise's own four would call
a slow hook a failure that has taken the message, and send it twice."""

LAST_SEND = 6.0
"""Seconds that a message under way still has when this process is told to stop: the daemon kills it after eight."""

LONGEST_SEND = 30.0
"""Seconds that one message may take in all: time-outs on single reads never end an answer that drips."""


@dataclass(slots=True)
class Delivered:
    """What a round did: messages sent, put off and given up, and a sentence for each that did not go out."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)


# ---- one attempt --------------------------------------------------------------------------------------------------


def resolve(target: Target, message: Message | None = None) -> tuple[str, Any]:
    """A target's address, which is a secret, and the Apprise service behind it (None for the console), made ready for `message`.

    Raises DeliveryError: permanent when Apprise knows no such address, else when the file with it cannot be read.
    """
    try:
        address = target.address
    except OSError as error:
        raise DeliveryError(
            f"{target.key}: the file with its address cannot be read ({error.strerror}): look at its url_file in config.yaml"
        ) from None
    except UnicodeDecodeError:
        raise DeliveryError(f"{target.key}: the file with its address is not UTF-8 text: write the address alone into it") from None
    if not address:
        raise DeliveryError(f"{target.key}: the file with its address is empty: write the address into it")
    if address == "console":
        return address, None
    import apprise
    from apprise.plugins import url_to_dict

    # A redirected POST arrives as a GET, whose answer of 200 tells nothing: a redirect is a failure.
    # No time limit by Apprise, since it would leave the message to a thread that may still send it.
    # No images, since they would be fetched from Apprise's own repository.
    asset = apprise.AppriseAsset(app_id="forum-monitor", http_redirects=False, service_timeout=0, image_url_mask="")
    with _apprise_says():
        parsed = url_to_dict(address)  # type: ignore[no-untyped-call]
        service: Any = apprise.Apprise.instantiate(_with(message, parsed), asset=asset) if parsed else None
    if service is None:
        wanted = "write console, or a URL such as mailto://..."
        raise DeliveryError(f"{target.key}: its address is none that Apprise knows; {wanted}", permanent=True)
    if service.socket_read_timeout == apprise.URLBase.socket_read_timeout:
        service.socket_read_timeout = ANSWER_TIME
    if message and isinstance(getattr(service, "headers", None), dict) and not is_mail(service):
        service.headers["Idempotency-Key"] = digest(f"{message.key} {target.key}")
    return address, service


def _with(message: Message | None, parsed: dict[str, Any]) -> dict[str, Any]:
    """An address that Apprise has taken apart, with what its service can tell of a message beside title and body.

    What the address says itself stands.
    """
    if message is None:
        return parsed
    if parsed["schema"] in ("json", "jsons"):
        return parsed | {"payload": {"alert": message.facts, **parsed["payload"]}}
    if parsed["schema"] in ("ntfy", "ntfys"):
        ours = {"priority": "default" if message.over else "high", "xtags": "white_check_mark" if message.over else "warning"}
        if message.link and message.link.isascii() and "%" not in message.link:  # else Apprise would quote it a second time
            ours["click"] = message.link
        return ours | parsed
    return parsed


def is_mail(service: Any) -> bool:
    """Whether we write the mail ourselves: Apprise's has one part, no chart and a Message-ID of its own. It alone knows PGP."""
    return bool(service.protocol == "mailto" and service.pgp_mode == "no")


def send(target: Target, message: Message) -> str | None:
    """Hand a message to its target; returns a sentence where it arrived, but not at all recipients.

    Raises DeliveryError, permanent where the far side says that it will never take this message. All else is tried again, also
    what a person has to repair: a page that is not found, a wrong password.
    """
    address, service = resolve(target, message)
    if service is None:
        _print(target, message)
        return None
    if is_mail(service):
        try:
            written = mail.write(service, message, target.key)
            with _at_most(LONGEST_SEND):
                missed = mail.send(service, written)
        except (ValueError, MessageError):
            raise DeliveryError(
                f"{target.key}: no mail can be written from what its address says: look at its from= and to=", permanent=True
            ) from None
        except DeliveryError as error:
            raise _refused(target, address, str(error), permanent=error.permanent) from None
        except TimeoutError as error:
            raise _refused(target, address, str(error), permanent=False) from None
        return f"{target.key}: sent, but {_without(address, missed)}" if missed else None
    import apprise

    kind = apprise.NotifyType.SUCCESS if message.over else apprise.NotifyType.WARNING
    arrived = False
    with contextlib.suppress(TimeoutError), _apprise_says() as words, _at_most(LONGEST_SEND):
        arrived = bool(apprise.Apprise(service).notify(message.body, message.title, kind, body_format=apprise.NotifyFormat.TEXT))
    if not arrived:
        raise _refused(target, address, words.getvalue(), permanent=_for_good(words.getvalue()))
    return None


def _refused(target: Target, address: str, words: str, *, permanent: bool) -> DeliveryError:
    return DeliveryError(f"{target.key}: not accepted ({_without(address, words) or 'no reason given'})", permanent=permanent)


def _for_good(words: str) -> bool:
    """Whether the HTTP status in Apprise's words, which is all that it tells, is one of FOR_GOOD (each of them, where there are several).

    Services such as ntfy append digits of their own to it.
    """
    statuses = [int(status) for status in re.findall(r"\berror=(\d{3})", words)]
    return bool(statuses) and all(status in FOR_GOOD for status in statuses)


def _print(target: Target, message: Message) -> None:
    rule = "─" * 100
    text = f"\n{rule}\n{message.title}\n\n{message.body}\n{rule}"
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError as error:
        raise DeliveryError(f"{target.key}: standard output cannot be written ({error.strerror})") from None


@contextlib.contextmanager
def _apprise_says() -> Iterator[io.StringIO]:
    """Apprise's warnings, kept from every log, since they may hold the address."""
    logger = logging.getLogger("apprise")
    said = io.StringIO()
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [logging.StreamHandler(said)], False
    logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Break off what takes longer by a TimeoutError, which Apprise takes for a lost connection; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise TimeoutError(f"no end after {seconds:.0f} s")

    handler = signal.signal(signal.SIGALRM, end)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _without(address: str, words: str) -> str:
    """What Apprise said, on one line, with every part of the address and every other address taken out."""
    words = re.sub(r"\S+://\S+|\S+@\S+", "…", " ".join(words.split()))
    parts = re.split(r"[/:@?&=+#,;]+", address.partition("://")[2])
    for part in sorted({*parts, *map(unquote, parts)}, key=len, reverse=True):
        if len(part) > 2:
            words = re.sub(re.escape(part), "…", words, flags=re.IGNORECASE)
    return words[:200].rstrip(" .")


# ---- the round ----------------------------------------------------------------------------------------------------


def deliver(
    store: Store,
    config: Config,
    *,
    clock: Callable[[], dt.datetime],
    send: Callable[[Target, Message], str | None] = send,
    stop: threading.Event | None = None,
    logged: bool = False,
) -> Delivered:
    """Send what is due, oldest first, until done or told to stop; a message once begun is finished.

    `logged`: standard output is a log, so what goes to the console quotes no posts and no words of theirs. A target that
    failed is left alone for the rest of the round, so that one dead server holds up nobody else. In a time that `notify.mute`
    names all wait.
    """
    done = Delivered()
    if config.notify.muted(clock()):
        done.waiting = len(store.due(clock()))
        return done
    unquoted = config.model_copy(update={"privacy": config.privacy.model_copy(update={"excerpt": 0})})
    targets = {target.key: target for target in config.notify.targets}
    down: set[str] = set()
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
            wordless = logged and target.url == "console"
            event = {**due.event, "why": None} if wordless else due.event
            message = compose(event, due.posts, unquoted if wordless else config, trend_of(store, event, config))
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


def tried(config: Config, now: dt.datetime, send: Callable[[Target, Message], str | None] = send) -> Iterator[tuple[str, str | None]]:
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
    attempts = due.attempts + 1
    if error.permanent or attempts >= config.notify.max_attempts:
        store.end_delivery(due.id, sent_at=None, error=str(error))
        done.failed += 1
        done.errors.append(f"{error}; given up at attempt {attempts} (`forum-monitor deliver --retry {due.id}` sends it again)")
        return
    again_at = now + dt.timedelta(seconds=wait(due.id, attempts, config.notify.retry_after))
    store.end_delivery(due.id, sent_at=None, error=str(error), again_at=again_at)
    done.waiting += 1
    done.errors.append(f"{error}; attempt {attempts} of {config.notify.max_attempts}, the next after {again_at:%H:%M} UTC")


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
