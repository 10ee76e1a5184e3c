"""The outbox to its targets: what `alert` stored goes out by Apprise, again and again until it arrived or was given up.

The promises: one message per event and target; nothing is lost when this process is killed; nothing is sent twice
that we could know of. A message is noted as `sending` before it leaves. When a process dies in that moment nobody can
tell whether the far side took it, so it is sent again, with the same Idempotency-Key where the target has headers.
No address, which may hold a password, comes into the store, a log or a message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import logging
import re
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from monitor.config import Config, Target
from monitor.errors import DeliveryError
from monitor.privacy import masked
from monitor.records import ALL
from monitor.store import Due, Store

LONGEST_WAIT = 6 * 3600.0
"""Seconds between two attempts at most."""

ANSWER_TIME = 10.0
"""Seconds that a web service may take to answer, unless its URL says otherwise by `rto=`. Apprise's own four would call
a slow hook a failure that has taken the message, and send it twice."""

LAST_SEND = 6.0
"""Seconds that a message under way still has when this process is told to stop: the daemon kills it after eight."""

LONGEST_SEND = 30.0
"""Seconds that one message may take in all: time-outs on single reads never end an answer that drips."""


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: a title of one line and a plain text body. `key` is the event's own, the same at every attempt."""

    title: str
    body: str
    key: str


@dataclass(slots=True)
class Delivered:
    """What a round did: messages sent, put off and given up, and a sentence for each that did not go out."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)


# ---- the message --------------------------------------------------------------------------------------------------


def compose(event: Mapping[str, Any], posts: Sequence[Mapping[str, Any]], config: Config) -> Message:
    """The message on an event: what moved, from what to what, how sure that is, why it fired, what moved it, the posts that show it.

    `event` and `posts` are those of a `Due`. The figures stand in the rule's own sentence and are not said again.
    """
    subject = _subject(event, config)
    headline = f"{subject}: {_headline(event)}"
    over = event["state"] == "resolved"
    lines = [f"{subject}{_where(event)}, {_date(event['event_day'])} (days are UTC)", "", event["event_reason"]]
    if over:
        lines += ["", f"It began on {_date(event['day'])}: {event['reason']}"]
    elif event["why"]:
        lines += ["", event["why"]]
    if posts and not over:
        lines += ["", "Posts that show it:"]
        for number, post in enumerate(posts, 1):
            told = [post["label"], post["source"], f"{_date(post['posted_at'][:10])}, {post['posted_at'][11:16]} UTC"]
            lines += [f"{number}. {', '.join(word for word in told if word)}", f"   {_one_line(post['url'])}"]
            if quoted := excerpt(post["text"], config.privacy.excerpt):
                lines.append(f"   “{quoted}”")
    lines += ["", f"Sent by the rule {event['rule']} ({event['type']})."]
    if event["type"] not in ("spike", "silence", "stopped"):
        lines[-1] += " Sentiment lies between -1 and +1, one voice per person."
        lines.append(f"Scored by {event['model']}, which errs on single posts: read them before you act.")
    title = f"Resolved: {headline}" if over else headline
    return Message(_one_line(title), "\n".join(lines), f"{event['rule']} {event['team']} {event['event_id']} {event['at']}")


def _subject(event: Mapping[str, Any], config: Config) -> str:
    """What the alert is on: a team, or a source whose posts are counted whatever they are about."""
    if event["team"] == ALL:
        return "All sources" if event["source"] == ALL else str(event["source"])
    team = config.team(event["team"])
    return team.name if team else str(event["team"])


def _where(event: Mapping[str, Any]) -> str:
    if event["team"] == ALL:
        return ""
    return ", all sources" if event["source"] == ALL else f", {event['source']}"


def _headline(event: Mapping[str, Any]) -> str:
    value, before = event["value"], event["before"]
    match event["type"]:
        case "drop":
            return f"sentiment fell from {before:+z.2f} to {value:+z.2f}"
        case "rise":
            return f"sentiment rose from {before:+z.2f} to {value:+z.2f}"
        case "shift":
            return f"sentiment has {'fallen' if value < before else 'risen'} from {before:+z.2f} to {value:+z.2f}"
        case "below":
            return f"sentiment is low, {value:+z.2f}"
        case "above":
            return f"sentiment is high, {value:+z.2f}"
        case "overtakes":
            return f"better spoken of than another team, by {value:.2f}"
        case "stopped":
            return "not read any more"
        case "spike":
            return f"{value:.0f} people spoke, usually {_count(before)}"
        case _:
            return f"gone quiet, from {_count(before)} posts a day to {_count(value)}"


def _count(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _date(day: str) -> str:
    return f"{dt.date.fromisoformat(day):%-d %B %Y}"


# Joiners hold emoji and some scripts together, so they stay; every other control, and what turns the writing
# direction, could make a terminal or a mail show something else than was written.
_UNSAFE = ("Cc", "Cf", "Cs")
_JOINERS = "\u200c\u200d"
_PING = re.compile(r"@(?=(?:all|channel|everyone|here|room)\b)|<(?=[!@#])", re.IGNORECASE)


def _one_line(text: str) -> str:
    """Text on a single line, without characters that cannot be seen."""
    return "".join(c for c in " ".join(text.split()) if c in _JOINERS or unicodedata.category(c) not in _UNSAFE)


def excerpt(text: str, length: int) -> str:
    """The beginning of a post on one line, at most `length` characters of it, cut at a word where words have spaces.

    Addresses, numbers and handles of people are masked (privacy.masked), and with them what would call a whole chat room
    together (`@everyone`); what is left of that is parted by a zero-width space.
    """
    line = masked(_one_line(text))
    if len(line) > length:
        end = length
        while end > 0 and (unicodedata.category(line[end])[0] == "M" or _JOINERS[1] in line[end - 1 : end + 1]):
            end -= 1  # never between a letter and its accent, or inside an emoji
        space = line.rfind(" ", 0, end + 1)
        cut = line[: space if space > end * 2 // 3 else end].rstrip(" ,;:，、；：")
        line = f"{cut} …" if cut else ""
    return _PING.sub("\\g<0>\u200b", line)


# ---- one attempt --------------------------------------------------------------------------------------------------


def resolve(target: Target) -> tuple[str, Any]:
    """A target's address, which is a secret, and the Apprise service behind it (None for the console).

    Raises DeliveryError: permanent when Apprise knows no such address, else when the file with it cannot be read.
    """
    try:
        address = target.address
    except OSError as error:
        raise DeliveryError(f"{target.key}: the file with its address cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DeliveryError(f"{target.key}: the file with its address is not UTF-8 text") from None
    if not address:
        raise DeliveryError(f"{target.key}: the file with its address is empty")
    if address == "console":
        return address, None
    import apprise

    # A redirected POST arrives as a GET, whose answer of 200 tells nothing: a redirect is a failure.
    # No time limit by Apprise, since it would leave the message to a thread that may still send it.
    asset = apprise.AppriseAsset(app_id="forum-monitor", http_redirects=False, service_timeout=0)
    with _apprise_says():
        service = apprise.Apprise.instantiate(address, asset=asset)
    if service is None:
        wanted = "write console, or a URL such as mailto://..."
        raise DeliveryError(f"{target.key}: its address is none that Apprise knows; {wanted}", permanent=True)
    if service.socket_read_timeout == apprise.URLBase.socket_read_timeout:
        service.socket_read_timeout = ANSWER_TIME
    return address, service


def send(target: Target, message: Message) -> None:
    """Hand a message to its target. Raises DeliveryError, which says whether trying again can help.

    Whatever the far side answers, it is tried again: a page not found or a wrong password is what a person repairs.
    """
    address, service = resolve(target)
    if service is None:
        _print(target, message)
        return
    import apprise

    if isinstance(getattr(service, "headers", None), dict):
        service.headers["Idempotency-Key"] = hashlib.sha256(f"{message.key} {target.key}".encode()).hexdigest()[:32]
    arrived = False
    with contextlib.suppress(TimeoutError), _apprise_says() as said, _at_most(LONGEST_SEND):
        arrived = bool(apprise.Apprise(service).notify(message.body, title=message.title, body_format=apprise.NotifyFormat.TEXT))
    if not arrived:
        raise DeliveryError(f"{target.key}: not accepted ({_without(address, said.getvalue()) or 'no reason given'})")


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
    send: Callable[[Target, Message], None] = send,
    stop: threading.Event | None = None,
    logged: bool = False,
) -> Delivered:
    """Send what is due, oldest first, until done or told to stop; a message once begun is finished.

    `logged`: standard output is a log, so what goes to the console quotes no posts, only links to them. A target that
    failed is left alone for the rest of the round, so that one dead server holds up nobody else.
    """
    done = Delivered()
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
                raise DeliveryError(f"{due.target}: the process was killed at every attempt to send this", permanent=True)
            target = targets.get(due.target)
            if target is None:
                raise DeliveryError(f"{due.target}: not among notify.targets in config.yaml now")
            send(target, compose(due.event, due.posts, unquoted if logged and target.url == "console" else config))
        except DeliveryError as error:
            down.add(due.target)
            _put_off(store, due, error, config, clock(), done)
        else:
            store.end_delivery(due.id, sent_at=clock())
            done.sent += 1
    return done


def _put_off(store: Store, due: Due, error: DeliveryError, config: Config, now: dt.datetime, done: Delivered) -> None:
    attempts = due.attempts + 1
    if error.permanent or attempts >= config.notify.max_attempts:
        store.end_delivery(due.id, sent_at=None, error=str(error))
        done.failed += 1
        done.errors.append(f"{error}; given up at attempt {attempts}")
        return
    again_at = now + dt.timedelta(seconds=min(config.notify.retry_after * 2 ** (attempts - 1), LONGEST_WAIT))
    store.end_delivery(due.id, sent_at=None, error=str(error), again_at=again_at)
    done.waiting += 1
    done.errors.append(f"{error}; attempt {attempts} of {config.notify.max_attempts}, the next after {again_at:%H:%M} UTC")


def stop_on_sigterm() -> threading.Event:
    """An event that SIGTERM sets in place of ending the process, so that the message under way is finished and noted."""
    event = threading.Event()

    def stop(*_: object) -> None:
        event.set()
        if signal.getitimer(signal.ITIMER_REAL)[0] > LAST_SEND:
            signal.setitimer(signal.ITIMER_REAL, LAST_SEND)

    signal.signal(signal.SIGTERM, stop)
    return event
