"""A message as mail: text, HTML and the trend's chart in one, and its way to the server.

The promises: "resolved" stands below "firing" in a mailbox, also after a restart, since a mail's Message-ID is made of the event
and the target and never drawn; a mail sent again has the same one, by which mailboxes know it. Either every recipient whom the
server knows has a mail or none has. Passwords go over TLS unless the address says `mode=insecure`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import smtplib
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from monitor.errors import DeliveryError
from monitor.messages import Message, chart_id, fingerprint

log = logging.getLogger(__name__)

_NO_PASSWORD = 530
"""What a server answers to a sender who should have logged in (RFC 4954)."""


def write(service: Any, message: Message, target: str) -> EmailMessage:
    """The mail to a target of this name. `service` is Apprise's reading of its address: from whom, to whom, in which form.

    A target with `format=text` gets the plain text alone.
    """
    sender = service.from_addr[1]

    def message_id(key: str) -> str:
        return f"<{fingerprint(f'{key} {target}')}@{sender.rpartition('@')[2]}>"

    mail = EmailMessage(SMTP)
    mail["Subject"] = message.title
    mail["From"] = _address(service.from_addr[0], sender)
    mail["To"] = [_address(name, address) for name, address in service.targets]
    for header, addresses in (("Cc", service.cc), ("Reply-To", service.reply_to)):
        if addresses:
            mail[header] = [_address(service.names.get(address), address) for address in sorted(addresses)]
    mail["Date"] = dt.datetime.now(dt.UTC)
    mail["Message-ID"] = message_id(message.key)
    if message.answers:
        mail["In-Reply-To"] = mail["References"] = message_id(message.answers)
    mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence answers it (RFC 3834)
    for header, words in service.headers.items():
        if header not in mail:
            mail[header] = " ".join(words.split())
    mail.set_content(message.body, cte="quoted-printable")
    if message.html and service.resolve_format() != "text":
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
        if image := _chart(message):
            page: Any = mail.get_payload(1)
            page.add_related(image, "image", "png", cid=f"<{chart_id(message.key)}>", disposition="inline", filename="trend.png")
    return mail


def _address(name: str | None, address: str) -> Address:
    return Address(" ".join((name or "").split()), addr_spec=address)


def _chart(message: Message) -> bytes | None:
    """The days of the message as a PNG, with the day on which the alert began; None where none has a figure."""
    if not message.trend:
        return None
    team = message.facts["team"]
    from monitor import charts  # here, since Altair takes longer to load than a round without mail

    days = [{**dataclasses.asdict(day), "day": day.day.isoformat()} for day in message.trend]
    alert = {"day": message.facts["began_on"], "team": team, "rule": message.facts["rule"]}
    try:
        return charts.png(charts.trend_chart(days, {team: message.subject}, f"Sentiment toward {message.subject}", [alert]))
    except Exception as error:  # noqa: BLE001 (an alert without its picture is still an alert)
        log.warning("the chart of a mail could not be drawn (%s); it goes without one", type(error).__name__)
        return None


def send(service: Any, mail: EmailMessage) -> str | None:
    """Hand a mail to the server of `service`; returns a sentence on recipients that it refused for good while it took others.

    Raises DeliveryError with the server's words, permanent where it will not take this mail however often it is asked
    (RFC 5321, 4.2.1). A greeting, a certificate or a password that is wrong is not: that is what a person repairs.
    """
    recipients = list(dict.fromkeys([*(address for _, address in service.targets), *sorted(service.cc), *sorted(service.bcc)]))
    if not recipients:
        raise DeliveryError("its address names nobody to write to: add ?to=you@example.org", permanent=True)
    try:
        smtp = _connected(service)
        try:
            refused = _hand_over(smtp, service.from_addr[1], recipients, mail.as_bytes())
        except BaseException:
            smtp.close()
            raise
    except smtplib.SMTPRecipientsRefused as error:
        raise DeliveryError("; ".join(_words(*answer) for answer in error.recipients.values()), permanent=_for_good(error)) from None
    except smtplib.SMTPResponseException as error:
        about_the_mail = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError) and error.smtp_code != _NO_PASSWORD
        final = about_the_mail and 500 <= error.smtp_code < 600
        raise DeliveryError(_words(error.smtp_code, error.smtp_error), permanent=final) from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    with contextlib.suppress(OSError, smtplib.SMTPException):  # it is taken, whatever becomes of the connection
        smtp.quit()
    smtp.close()
    return f"{len(refused)} of {len(recipients)} recipients refused ({'; '.join(refused)})" if refused else None


def _connected(service: Any) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if not service.verify_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    where = (service.smtp_host, service.port)
    if service.secure_mode == "ssl":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=service.socket_read_timeout, context=context)
    else:
        smtp = smtplib.SMTP(*where, timeout=service.socket_read_timeout)
    try:
        if service.secure_mode == "starttls":
            smtp.starttls(context=context)
        if service.user and service.password:
            smtp.login(service.user, service.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _hand_over(smtp: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes) -> list[str]:
    """One mail in one transaction; returns the server's words on recipients that it refused for good.

    smtplib's own `sendmail` goes on without those whom the server will only take later, who would then never get it.
    """
    smtp.ehlo_or_helo_if_needed()
    code, words = smtp.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, words, sender)
    refused = {}
    for recipient in recipients:
        code, words = smtp.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = (code, words)
    error = smtplib.SMTPRecipientsRefused(refused)
    if len(refused) == len(recipients) or not _for_good(error):
        raise error
    code, words = smtp.data(content)
    if code != 250:
        raise smtplib.SMTPDataError(code, words)
    return [_words(*answer) for answer in refused.values()]


def _for_good(error: smtplib.SMTPRecipientsRefused) -> bool:
    return all(500 <= code < 600 for code, _ in error.recipients.values())


def _words(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}"
