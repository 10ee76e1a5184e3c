"""One attempt to hand a message to its target, as mail or by Apprise, and what the far side made of it.

The promises: what is refused for good is told from what passes, and where a server says when to come again, that is passed on. No
address, which may hold a password, comes into an error. However slowly a server answers, an attempt ends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import io
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from email.errors import MessageError
from typing import Any
from urllib.parse import unquote

from monitor import mail, slack
from monitor.config import Target
from monitor.errors import DeliveryError
from monitor.messages import Message, fingerprint

FOR_GOOD = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422, 431, 501})
"""HTTP statuses by which a server refuses this very message, so that sending it again cannot help (RFC 9110, 15.5)."""

LATER = frozenset({429, 503})
"""HTTP statuses whose Retry-After says when to come again (RFC 9110, 10.2.3; RFC 6585)."""

ANSWER_TIME = 10.0
"""Seconds that a web service may take to answer, unless its URL says otherwise by `rto=`. Apprise's own four would call
a slow hook a failure that has taken the message, and send it twice."""

NTFY = 4096
"""Bytes of a message above which an ntfy server makes a file of it, or refuses it for good (message-size-limit, its default)."""

LEFT_OUT = "The rest does not fit here: mail and the command line show all of it."

LONGEST_SEND = 30.0
"""Seconds that one message may take in all: time-outs on single reads never end an answer that drips."""


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
        service.headers["Idempotency-Key"] = fingerprint(f"{message.key} {target.key}")
    if "overflow" not in parsed:
        service.overflow_mode = apprise.OverflowMode.TRUNCATE  # what is too long is refused for good by many services
    if message and service.service_name == "Slack" and service.mode in _SLACK_WITH_BLOCKS and not service.template:
        _lay_out(service, message)
    return address, service


_SLACK_WITH_BLOCKS = ("hook", "gov-hook", "bot")
"""Apprise's modes of Slack that take blocks; its workflows take a text alone."""


def _lay_out(service: Any, message: Message) -> None:
    """Have Apprise's Slack, which knows where a message goes, say it by our blocks; by itself it has plain text only."""
    post = service._send

    def send(url: str, payload: dict[str, Any], **options: Any) -> Any:
        where = {name: payload[name] for name in ("channel", "thread_ts", "username") if name in payload}
        return post(url, slack.payload(message) | where, **options)

    service._send = send


def _with(message: Message | None, parsed: dict[str, Any]) -> dict[str, Any]:
    """An address that Apprise has taken apart, with what its service can tell of a message beside title and body.

    What the address says itself stands.
    """
    if message is None:
        return parsed
    if parsed["schema"] in ("json", "jsons"):
        return parsed | {"payload": {message.kind: message.facts, **parsed["payload"]}}
    if parsed["schema"] in ("ntfy", "ntfys"):
        tag = "bar_chart" if message.kind == "digest" else "white_check_mark" if message.over else "warning"
        ours = {"priority": "high" if tag == "warning" else "default", "xtags": tag}
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

    types = apprise.NotifyType
    kind = types.INFO if message.kind == "digest" else types.SUCCESS if message.over else types.WARNING
    arrived = False
    with contextlib.suppress(TimeoutError), _apprise_says() as words, _answers() as answers, _at_most(LONGEST_SEND):
        body = _fitting(message, service)
        arrived = bool(apprise.Apprise(service).notify(body, message.title, kind, body_format=apprise.NotifyFormat.TEXT))
    if not arrived:
        later = _later(answers)
        raise _refused(target, address, words.getvalue(), permanent=later is None and _for_good(words.getvalue()), retry_after=later)
    return None


def _fitting(message: Message, service: Any) -> str:
    """The message's body, cut where that shows if its service takes no longer one; as it is where the address says `overflow=`."""
    kept = message.body
    if service.overflow_mode != "truncate":
        return kept
    room = max(0, service.body_maxlen - len(message.title) - 50)  # many count the title too, and some add words of their own
    rest = f" …\n\n{LEFT_OUT}" if room > 500 else " …"
    if service.protocol == "ntfy" and len(kept.encode()) > NTFY:
        kept = kept.encode()[: NTFY - len(rest.encode())].decode(errors="ignore")
    if len(kept) > room:
        kept = kept[: max(0, room - len(rest))]
    return kept if kept == message.body else kept.rstrip() + rest


def _refused(target: Target, address: str, words: str, *, permanent: bool, retry_after: float | None = None) -> DeliveryError:
    said = f"{target.key}: not accepted ({_without(address, words) or 'no reason given'})"
    return DeliveryError(said, permanent=permanent, retry_after=retry_after)


@contextlib.contextmanager
def _answers() -> Iterator[list[Any]]:
    """The HTTP answers that Apprise gets meanwhile (requests.Response), of which it tells the status at most."""
    import requests

    found: list[Any] = []
    sessions: Any = requests.Session
    ask = sessions.send

    def asking(session: Any, request: Any, **options: Any) -> Any:
        answer = ask(session, request, **options)
        found.append(answer)
        return answer

    sessions.send = asking
    try:
        yield found
    finally:
        sessions.send = ask


def _later(answers: Sequence[Any]) -> float | None:
    """The longest time in seconds that servers ask to be left alone for; None where none does."""
    now = dt.datetime.now(dt.UTC)
    asked = (retry_after(answer.headers.get("Retry-After", ""), now) for answer in answers if answer.status_code in LATER)
    return max((seconds for seconds in asked if seconds is not None), default=None)


def retry_after(text: str, now: dt.datetime) -> float | None:
    """Seconds from `now` (aware) on that a Retry-After header (RFC 9110, 10.2.3: seconds or a date) asks for; None without a valid one."""
    if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", text):  # Some services give fractions.
        return float(text)
    try:
        found = email.utils.parsedate_to_datetime(text)
        return max(0.0, (found.replace(tzinfo=found.tzinfo or dt.UTC) - now).total_seconds())
    except (ValueError, OverflowError):
        return None


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
