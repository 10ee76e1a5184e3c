"""Mail arrives once, whole and in its thread: a real SMTP server on loopback, with TLS where a password is sent."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from outbox import (
    DAY,
    HISTORIES,
    MODEL,
    TEXTS,
    Clock,
    Mailbox,
    composed,
    deliveries,
    fire,
    free_port,
    mail_server,
    resolve_alert,
    settings_for,
)

from monitor.config import Target
from monitor.deliver import deliver
from monitor.records import ALL, DailyTrend
from monitor.store import Store

OPS = "to=ops@example.org"


def url(port: int, words: str = OPS) -> str:
    return f"mailto://127.0.0.1:{port}?from=monitor@example.org&mode=insecure&{words}"


def test_mail_holds_text_page_and_chart(fresh_store: Store) -> None:
    """One mail: plain text, French and Chinese as they were written, the same as HTML, and in that the trend as a picture."""
    mailbox, port = Mailbox(), free_port()
    config = settings_for(Target(url=url(port), name="ops"))
    fresh_store.replace_trends({}, HISTORIES["drop"])
    fire(fresh_store, "ops")
    [message] = composed(fresh_store, config)
    with mail_server(mailbox, port):
        assert [deliver(fresh_store, config, clock=Clock()).sent for _ in range(2)] == [1, 0]
    [mail] = mailbox.received
    assert mail["Subject"] == message.title and mail["To"] == "ops@example.org" and mail["From"] == "monitor@example.org"
    assert mail["Auto-Submitted"] == "auto-generated" and not mail["In-Reply-To"]
    assert mail["Date"].datetime.utcoffset() == dt.timedelta(0), "it would tell where the machine stands"
    assert mail.get_content_type() == "multipart/alternative"
    plain, related = mail.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert plain.get_content().replace("\r\n", "\n").rstrip() == message.body
    assert TEXTS[1] in message.body and TEXTS[2] in message.body
    page, picture = related.iter_parts()
    words = page.get_content()
    assert page.get_content_type() == "text/html" and TEXTS[1] in words and '<a href="https://forum.example/t/7/1">' in words
    assert picture.get_content_type() == "image/png" and picture.get_content_disposition() == "inline"
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in words
    assert picture.get_content().startswith(b"\x89PNG")
    assert deliveries(fresh_store)[0]["state"] == "sent"


def test_a_mail_shows_no_chart_of_what_must_not_be_shown(fresh_store: Store) -> None:
    """Where too few people spoke for any figure a mail is text and HTML alone, and shows no broken picture."""
    mailbox, port = Mailbox(), free_port()
    fresh_store.replace_trends({}, [DailyTrend(DAY, "meta-genai", ALL, MODEL, 3, 3, 1, True, -0.5, -0.9, -0.1)])
    fire(fresh_store, "ops")
    with mail_server(mailbox, port):
        deliver(fresh_store, settings_for(Target(url=url(port), name="ops")), clock=Clock())
    assert [part.get_content_type() for part in mailbox.received[0].iter_parts()] == ["text/plain", "text/html"]
    assert "<img" not in str(mailbox.received[0])


def test_the_end_of_an_alert_answers_its_beginning(fresh_store: Store, tmp_path: Path) -> None:
    """A mailbox shows "resolved" under "firing", also when the process and the server were new in between; other alerts stand apart."""
    mailbox, port = Mailbox(), free_port()
    config = settings_for(Target(url=url(port), name="ops"))
    fire(fresh_store, "ops")
    fire(fresh_store, "ops", rule="another", kind="below")
    with mail_server(mailbox, port):
        deliver(fresh_store, config, clock=Clock())
    resolve_alert(fresh_store, "ops")
    with mail_server(mailbox, port), Store(tmp_path / "monitor.db") as again:
        deliver(again, config, clock=Clock())
    began, other, ended = mailbox.received
    assert ended["Subject"] == f"Resolved: {began['Subject']}"
    assert ended["In-Reply-To"] == ended["References"] == began["Message-ID"]
    assert len({mail["Message-ID"] for mail in (began, other, ended)}) == 3
    assert all(mail["Message-ID"].endswith("@example.org>") for mail in mailbox.received)


def test_a_mail_sent_again_is_known_to_be_the_same(fresh_store: Store) -> None:
    """When nobody can know whether a mail was taken it is sent again under its Message-ID; the same event to others has another."""
    mailbox, port = Mailbox(), free_port()
    config = settings_for(Target(url=url(port), name="ops"), Target(url=url(port, "to=desk@example.org"), name="desk"))
    fire(fresh_store, "ops", "desk")
    with mail_server(mailbox, port):
        deliver(fresh_store, config, clock=Clock())
        with fresh_store.writing() as connection:  # as if the process had been killed before it noted the answer
            connection.execute("UPDATE deliveries SET state = 'sending', sent_at = NULL, next_attempt_at = created_at WHERE target = 'ops'")
        deliver(fresh_store, config, clock=Clock())
    first, other, again = mailbox.received
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]


def test_mail_that_was_refused_is_sent_later(fresh_store: Store) -> None:
    """A mail server that is down, then puts off, then works: one mail, after two attempts that are counted and explained."""
    mailbox, port, clock = Mailbox(), free_port(), Clock()
    config = settings_for(Target(url=url(port), name="ops"))
    fire(fresh_store, "ops")
    assert deliver(fresh_store, config, clock=clock).waiting == 1
    with mail_server(mailbox, port):
        mailbox.answer = "451 try again later, ops@example.org"
        clock.now += dt.timedelta(minutes=1)
        [said] = deliver(fresh_store, config, clock=clock).errors
        assert said.startswith("ops: not accepted (451 try again later, …)") and "example.org" not in said
        mailbox.answer = "250 kept"
        clock.now += dt.timedelta(minutes=2)
        assert deliver(fresh_store, config, clock=clock).sent == 1
    assert len(mailbox.received) == 1
    assert deliveries(fresh_store)[0]["attempts"] == 3


@pytest.mark.parametrize(
    ("answer", "to_whom"), [("554 5.7.1 not wanted", None), ("552 5.3.4 too large", None), ("550 5.1.1 no such mailbox", "ops@example.org")]
)
def test_mail_that_is_refused_for_good_is_given_up(fresh_store: Store, answer: str, to_whom: str | None) -> None:
    """A server that will never take this mail (5xx) is not asked twice; its words stand in the list of what was given up."""
    mailbox, port = Mailbox(), free_port()
    if to_whom:
        mailbox.answers_to[to_whom] = answer
    else:
        mailbox.answer = answer
    fire(fresh_store, "ops")
    with mail_server(mailbox, port):
        done = deliver(fresh_store, settings_for(Target(url=url(port), name="ops")), clock=Clock())
    assert (done.failed, done.waiting, mailbox.received) == (1, 0, [])
    assert answer[:9] in fresh_store.given_up()[0]["error"]


def test_one_recipient_who_left_keeps_the_mail_from_no_other(fresh_store: Store) -> None:
    """A recipient whom the server does not know is left out, and said; the mail goes to the others, once."""
    mailbox, port = Mailbox(), free_port()
    mailbox.answers_to["left@example.org"] = "550 5.1.1 gone"
    fire(fresh_store, "ops")
    config = settings_for(Target(url=url(port, "to=ops@example.org,left@example.org&cc=desk@example.org&bcc=boss@example.org"), name="ops"))
    with mail_server(mailbox, port):
        done = deliver(fresh_store, config, clock=Clock())
    assert done.sent == 1 and done.errors == ["ops: sent, but 1 of 4 recipients refused (550 5.1.1 gone)"]
    assert mailbox.recipients == [["ops@example.org", "desk@example.org", "boss@example.org"]]
    assert "boss" not in str(mailbox.received[0]) and mailbox.received[0]["Cc"] == "desk@example.org"
    assert deliveries(fresh_store)[0]["state"] == "sent"


def test_one_recipient_who_must_wait_lets_all_wait(fresh_store: Store) -> None:
    """While the server takes one recipient only later nobody has the mail, so that nobody gets it twice."""
    mailbox, port, clock = Mailbox(), free_port(), Clock()
    mailbox.answers_to["slow@example.org"] = "450 4.2.0 greylisted"
    fire(fresh_store, "ops")
    config = settings_for(Target(url=url(port, "to=ops@example.org,slow@example.org"), name="ops"))
    with mail_server(mailbox, port):
        assert deliver(fresh_store, config, clock=clock).waiting == 1 and not mailbox.received
        mailbox.answers_to.clear()
        clock.now += dt.timedelta(minutes=1)
        assert deliver(fresh_store, config, clock=clock).sent == 1
    assert mailbox.recipients == [["ops@example.org", "slow@example.org"]]


def test_an_address_may_ask_for_plain_text_and_headers_of_its_own(fresh_store: Store) -> None:
    """`format=text` sends the text alone; a header that the address adds arrives."""
    mailbox, port = Mailbox(), free_port()
    fire(fresh_store, "ops")
    with mail_server(mailbox, port):
        config = settings_for(
            Target(url=url(port, f"{OPS}&format=text&+X-Room=alerts&name=The%20Monitor&reply=desk@example.org"), name="ops")
        )
        assert deliver(fresh_store, config, clock=Clock()).sent == 1
    [mail] = mailbox.received
    assert mail.get_content_type() == "text/plain" and mail["X-Room"] == "alerts" and mail["Reply-To"] == "desk@example.org"
    assert mail["From"] == "The Monitor <monitor@example.org>"


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, today - dt.timedelta(days=1), today + dt.timedelta(days=1))
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


def test_a_password_goes_only_to_a_server_that_proves_itself(fresh_store: Store, own_certificate: ssl.SSLContext) -> None:
    """Without a certificate that is trusted no password and no mail leave; who says `verify=no` has both sent, encrypted."""
    mailbox, port, clock = Mailbox(), free_port(), Clock()
    address = f"mailtos://u5er:S3cret@127.0.0.1:{port}?from=monitor@example.org&{OPS}&mode=starttls"
    fire(fresh_store, "ops")
    with mail_server(mailbox, port, own_certificate):
        done = deliver(fresh_store, settings_for(Target(url=address, name="ops")), clock=clock)
        assert done.waiting == 1 and "certificate verify failed" in done.errors[0].lower()
        assert (mailbox.logins, mailbox.received) == ([], [])
        clock.now += dt.timedelta(minutes=1)
        assert deliver(fresh_store, settings_for(Target(url=f"{address}&verify=no", name="ops")), clock=clock).sent == 1
    assert mailbox.logins == [b"S3cret"] and len(mailbox.received) == 1


def test_no_password_is_sent_unencrypted_to_a_server_without_tls(fresh_store: Store) -> None:
    """A server that offers no STARTTLS where it was asked for gets nothing, and the message waits for who repairs it."""
    mailbox, port = Mailbox(), free_port()
    fire(fresh_store, "ops")
    with mail_server(mailbox, port):
        address = f"mailtos://u5er:S3cret@127.0.0.1:{port}?from=monitor@example.org&{OPS}"
        done = deliver(fresh_store, settings_for(Target(url=address, name="ops")), clock=Clock())
    assert done.waiting == 1 and "STARTTLS" in done.errors[0] and mailbox.received == []


def test_a_post_stays_a_quotation_in_html(fresh_store: Store) -> None:
    """Markup in a post, or in its address, arrives as the words that it is."""
    mailbox, port = Mailbox(), free_port()
    fire(fresh_store, "ops")
    with fresh_store.writing() as connection:
        connection.execute("UPDATE posts SET text = '<img src=x onerror=alert(1)> & \"so\" on', url = 'javascript:alert(2)'")
    with mail_server(mailbox, port):
        deliver(fresh_store, settings_for(Target(url=url(port), name="ops")), clock=Clock())
    page = mailbox.received[0].get_body(("html",))
    assert page is not None
    words = page.get_content()
    assert "<img" not in words and "&lt;img src=x onerror=alert(1)&gt; &amp; &#34;so&#34; on" in words
    assert "href" not in words
