"""HyperKitty, Mailman's real archive of mailing lists: its RSS feed and its own interface crawled by our program.

Its feed puts plain mails where RSS has HTML, hides addresses behind a full-width @, gives its links the host of an
unfinished installation (example.com), names no answered mail, and shows the 30 newest.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import mailbox
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from forums import free_port, install, running, serving, until

from monitor.errors import StoreError
from monitor.records import to_text
from monitor.store import Store

pytestmark = pytest.mark.real

REQUIREMENTS = ("mailman-web==0.0.9", "HyperKitty==1.3.12", "django-haystack>=3.3,<4", "setuptools<81", "whoosh==2.7.4")
LIST = "ai-teams@lists.example.test"
KEY = "of-a-test"
DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)
SETTINGS = """
from mailman_web.settings.base import *
from mailman_web.settings.mailman import *
ALLOWED_HOSTS = ["127.0.0.1"]
BASE_DIR = {folder!r}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR + "/mails.sqlite3"}}}}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
HAYSTACK_CONNECTIONS = {{"default": {{"ENGINE": "haystack.backends.whoosh_backend.WhooshEngine", "PATH": BASE_DIR + "/words"}}}}
LOGGING = {{"version": 1, "disable_existing_loggers": False}}
MAILMAN_ARCHIVER_FROM = ("127.0.0.1",)
MAILMAN_ARCHIVER_KEY = SECRET_KEY = {key!r}
Q_CLUSTER = {{"orm": "default", "sync": True, "retry": 400, "timeout": 300}}
SITE_ID = 1
"""


@dataclass(frozen=True)
class Mail:
    """A mail to the list, sent three days ago at `at` in California; `own` is what its author wrote of `body`."""

    name: str
    author: str
    at: str
    subject: str
    body: str
    own: str
    answers: str = ""

    @property
    def hash(self) -> str:
        """HyperKitty's name of the mail, a hash of its Message-ID (Mailman's X-Message-ID-Hash)."""
        return base64.b32encode(hashlib.sha1(f"{self.name}@example.test".encode()).digest()).decode()

    @property
    def link(self) -> str:
        """Its address in the feed."""
        return f"http://example.com/archives/list/{LIST}/message/{self.hash}/"

    @property
    def sent(self) -> dt.datetime:
        return dt.datetime.fromisoformat(f"{DAY}T{self.at}:00-08:00")

    def message(self) -> EmailMessage:
        found = EmailMessage()
        found["From"], found["To"], found["Subject"] = self.author, LIST, self.subject
        found["Date"] = format_datetime(self.sent)
        found["Message-ID"] = f"<{self.name}@example.test>"
        if self.answers:
            found["In-Reply-To"] = found["References"] = f"<{self.answers}@example.test>"
        found.set_content(self.body)
        return found


OTTOKAR, ZEPHYRINE, DUAN = "Ottokar <otto@example.test>", "Zéphyrine <zeph@example.test>", "段誉 <duan@example.test>"
MAILS = (
    Mail("begin", OTTOKAR, "09:30", "Morale at DeepSeek",
         "R&D is *tired*; 1 < 2, and 3 > 2.\n\nNobody says why.\n",
         "Morale at DeepSeek\n\nR&D is *tired*; 1 < 2, and 3 > 2.\n\nNobody says why."),
    Mail("answer", ZEPHYRINE, "15:45", "Re: Morale at DeepSeek",
         "On Mon, 20 Jan 2025 at 09:30, Ottokar <otto@example.test> wrote:\n> R&D is *tired*;\n> and 3 > 2.\n\n"
         "I am not.\n\n> Nobody says why.\n\nI do: see <https://example.test/why>.\n",
         "I am not.\n\nI do: see <https://example.test/why>.", "begin"),
    Mail("wrapped", DUAN, "16:20", "Re: Morale at DeepSeek",
         "On Mon, 20 Jan 2025 at 15:45, Zéphyrine\n<zeph@example.test> wrote:\n> I am not.\n\nMoi non plus.\n",
         "Moi non plus.", "answer"),
    Mail("french", ZEPHYRINE, "17:00", "Équipe Mistral : ambiance", "Très bonne ambiance — « géniale » 😀\n",
         "Équipe Mistral : ambiance\n\nTrès bonne ambiance — « géniale » 😀"),
    Mail("chinese", DUAN, "18:10", "DeepSeek怎么样", "DeepSeek太强了。\n我们都很喜欢。\n",
         "DeepSeek怎么样\n\nDeepSeek太强了。\n我们都很喜欢。"),
)  # fmt: skip
LATE = Mail("late", OTTOKAR, "20:00", "RE: Morale at DeepSeek", "It got better.\n", "It got better.", "wrapped")


@dataclass(frozen=True)
class HyperKitty:
    """A running HyperKitty and the means to put mails into its archive."""

    url: str
    program: Path
    folder: Path

    @property
    def feed(self) -> str:
        return f"{self.url}/archives/list/{LIST}/feed/"

    def receive(self, mails: Sequence[Mail]) -> None:
        box = mailbox.mbox(self.folder / f"{mails[0].name}.mbox")
        for mail in mails:
            box.add(mail.message())
        box.close()
        self.do("hyperkitty_import", "-l", LIST, f"{mails[0].name}.mbox")

    def archive(self, mail: Mail) -> None:
        """Give it a mail as Mailman does when somebody writes to the list."""
        boundary = "of-a-test"
        parts = [f'name="mlist"\r\n\r\n{LIST}\r\n', f'name="message"; filename="m"\r\n\r\n{mail.message().as_string()}\r\n']
        body = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {part}" for part in parts) + f"--{boundary}--\r\n"
        headers = {"Authorization": f"Token {KEY}", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(f"{self.url}/archives/api/mailman/archive", body.encode(), headers)
        urllib.request.urlopen(request, timeout=10).close()

    def delete(self, mail: Mail) -> None:
        self.do("shell", "-c", f"from hyperkitty.models import Email; Email.objects.get(message_id_hash='{mail.hash}').delete()")

    def held(self) -> set[str]:
        """The names of the mails that it holds."""
        with urllib.request.urlopen(f"{self.url}/archives/api/list/{LIST}/emails/?format=json", timeout=10) as answer:
            return {mail["message_id_hash"] for mail in json.load(answer)}

    def do(self, *words: str) -> None:
        done = subprocess.run(
            [self.program, *words], cwd=self.folder, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    @property
    def environment(self) -> dict[str, str]:
        return {"MAILMAN_WEB_CONFIG": str(self.folder / "settings.py")}


@pytest.fixture(scope="module")
def hyperkitty(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HyperKitty]:
    """HyperKitty with MAILS in its archive."""
    programs = install(pytestconfig.cache.mkdir("real-forums"), "hyperkitty", REQUIREMENTS)
    port = free_port()
    forum = HyperKitty(f"http://127.0.0.1:{port}", programs / "mailman-web", tmp_path_factory.mktemp("hyperkitty"))
    (forum.folder / "logs").mkdir()
    (forum.folder / "settings.py").write_text(SETTINGS.format(folder=str(forum.folder), key=KEY), "utf-8")
    forum.do("migrate")
    forum.receive(MAILS)
    server = [forum.program, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with serving(server, forum.feed, forum.folder / "server.log", forum.environment):
        yield forum


@pytest.fixture
def crawl(
    hyperkitty: HyperKitty, write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[[], None]:
    """Crawl the list's feed once."""
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
    config = write_config(sources=[{"name": "list", "type": "feed", "delay": 0, "terms": terms, "options": {"urls": [hyperkitty.feed]}}])

    def run() -> None:
        done = forum_monitor("--config", config, "collect", "list")
        assert done.returncode == 0, done.stderr

    return run


def _ask(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Store(folder / "monitor.db", read_only=True) as store:
        return [tuple(row) for row in store.rows(sql)]


def test_mails_become_posts(hyperkitty: HyperKitty, crawl: Callable[[], None], tmp_path: Path) -> None:
    """What each author wrote, without the mail that he answers and the line that names its author; the time of sending in UTC.

    A mail that begins a thread begins with its subject. The address is what the feed gives, though its host is wrong:
    links of a feed often and rightly lead to another host than the feed's.
    """
    crawl()
    posts = _ask(tmp_path, "SELECT native_id, url, text, posted_at, date_origin, title FROM posts ORDER BY posted_at")
    assert posts == [(mail.link, mail.link, mail.own, to_text(mail.sent), "site", mail.subject.removeprefix("Re: ")) for mail in MAILS]


def test_a_thread_holds_together(hyperkitty: HyperKitty, crawl: Callable[[], None], tmp_path: Path) -> None:
    """A mail and its answers are one thread, though the feed does not say so; other subjects are others."""
    crawl()
    begin, answer, wrapped, *others = (thread for (thread,) in _ask(tmp_path, "SELECT thread_id FROM posts ORDER BY posted_at"))
    assert begin == answer == wrapped
    assert len({begin, *others}) == 3


def test_authors_are_hashed(hyperkitty: HyperKitty, crawl: Callable[[], None], tmp_path: Path) -> None:
    """Each author has one key; neither a name nor an address, however it is written, is in any file of ours."""
    crawl()
    keys = [key for (key,) in _ask(tmp_path, "SELECT author_key FROM posts ORDER BY posted_at")]
    assert None not in keys
    first = {mail.author: key for mail, key in zip(MAILS, keys, strict=True)}
    assert len(set(first.values())) == 3
    assert keys == [first[mail.author] for mail in MAILS]
    ours = [path for path in tmp_path.iterdir() if path.name.startswith("monitor.db")]
    assert (tmp_path / "monitor.db") in ours
    secrets = ("Ottokar", "Zéphyrine", "段誉", "otto@", "otto＠", "zeph@", "zeph＠", "duan@", "duan＠")
    assert not [(path.name, word) for path in ours for word in secrets if word.encode() in path.read_bytes()]


def test_the_next_crawl_adds_what_is_new(hyperkitty: HyperKitty, crawl: Callable[[], None], tmp_path: Path) -> None:
    """An unchanged feed changes nothing; a mail that came since is added, to the thread that it answers."""
    crawl()
    crawl()
    # The archive is shared: only the test of the spider, which knows of this mail, may come after this one.
    hyperkitty.receive([LATE])
    crawl()
    assert _ask(tmp_path, "SELECT new, changed, rejected FROM crawls ORDER BY id") == [(len(MAILS), 0, 0), (0, 0, 0), (1, 0, 0)]
    assert _ask(tmp_path, f"SELECT text FROM posts WHERE native_id = '{LATE.link}'") == [(LATE.own,)]
    assert _ask(tmp_path, "SELECT count(*) FROM posts GROUP BY thread_id ORDER BY 1 DESC") == [(4,), (1,), (1,)]


def test_the_spider_by_schedule(hyperkitty: HyperKitty, write_config: Callable[..., Path], tmp_path: Path) -> None:
    """While mails come and are deleted, each round of the daemon ends with the archive's mails: their words, threads and answers.

    A mail that comes late has an old Date; one whose parent is deleted stays, in its thread; nothing of a deleted one is left.
    """
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
    options = {"url": f"{hyperkitty.url}/archives/list/{LIST}/"}
    source = {"name": "list", "type": "hyperkitty", "delay": 0, "every": 2, "refresh": "30d", "terms": terms, "options": options}
    config = write_config(sources=[source], schedule={"collect": 2, "understand": 2, "trend": 2, "alert": 2, "deliver": 2})
    known = {mail.hash: mail for mail in (*MAILS, LATE)}
    if LATE.hash not in hyperkitty.held():
        hyperkitty.receive([LATE])

    def equal() -> bool:
        with contextlib.suppress(StoreError):
            rows = dict(_ask(tmp_path, "SELECT native_id, text FROM posts WHERE deleted_at IS NULL"))
            return rows == {name: known[name].own for name in hyperkitty.held()}
        return False

    begin, answer, wrapped = MAILS[:3]
    with running(config):
        until(equal)
        rows = {row[0]: row[1:] for row in _ask(tmp_path, "SELECT native_id, thread_id, parent_id, posted_at, title, url FROM posts")}
        for mail in known.values():
            above = next((other.hash for other in known.values() if other.name == mail.answers), None)
            title = mail.subject.removeprefix("Re: ").removeprefix("RE: ")
            thread = begin.hash if mail.answers or mail == begin else mail.hash
            link = f"{hyperkitty.url}/archives/list/{LIST}/message/{mail.hash}/"
            assert rows[mail.hash] == (thread, above, to_text(mail.sent), title, link)

        held = Mail(
            "held", ZEPHYRINE, "09:00", "[ai-teams] Held by a moderator", "So late.\n\n-- \nZ.\n", "Held by a moderator\n\nSo late."
        )
        known[held.hash] = held
        hyperkitty.archive(held)
        assert held.hash in hyperkitty.held()
        until(equal)

        for mail in (answer, held):
            hyperkitty.delete(mail)
        until(equal)

        hyperkitty.delete(begin)  # the thread goes on without it
        until(equal)
        assert _ask(tmp_path, f"SELECT thread_id FROM posts WHERE native_id = '{wrapped.hash}'") == [(begin.hash,)]
    assert _ask(tmp_path, "SELECT count(*), max(text) FROM posts WHERE deleted_at NOT NULL") == [(3, "")]
    assert {row[0] for row in _ask(tmp_path, "SELECT finish_reason FROM crawls")} <= {"finished", "stopped"}
    assert _ask(tmp_path, "SELECT max(rejected) FROM crawls WHERE ended_at NOT NULL") == [(0,)]
