"""Isso, a real comment server: its Atom feed and its own answers crawled by our program while people write, edit and delete comments.

Its feed gives `updated` and never `published`, quotes as <blockquote>, answers by thr:in-reply-to, and an ETag that only
names the comment it lists first. Its own answers hold a page's comments all; the number of the newest one, once it is
deleted, is given to the next.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import html
import json
import re
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from forums import free_port, install, running, serving, until

from monitor.errors import StoreError
from monitor.records import to_text
from monitor.store import Store

pytestmark = pytest.mark.real

# misaka, an old renderer that Isso lists but only loads when told to, would need a C compiler: hence --no-deps.
REQUIREMENTS = ("bleach", "html5lib", "itsdangerous", "jinja2", "mistune>=3.1,<4", "setuptools<81", "werkzeug>=1,<4")
ISSO = ("--no-deps", "isso==0.14.0")
SETTINGS = """
[general]
dbpath = {folder}/comments.db
host = {url}/
latest-enabled = true
[server]
listen = {url}/
[guard]
enabled = false
[rss]
base = {url}/
[markup]
renderer = mistune
"""
Ask = Callable[[str], list[tuple[Any, ...]]]
ATOM = {"atom": "http://www.w3.org/2005/Atom"}


@dataclass
class Comment:
    """A comment as Isso acknowledged it, with the cookie that lets its author edit and delete it."""

    id: int
    created: dt.datetime
    """To the second, as the store keeps times."""
    cookie: str


@dataclass
class Isso:
    """A running Isso and the people who comment on one page of it."""

    url: str
    comments: list[Comment] = field(default_factory=list)

    @property
    def feed(self) -> str:
        return f"{self.url}/feed?uri=/ai-teams/"

    def native_id(self, comment: Comment) -> str:
        """The id of a comment in the feed (RFC 4151)."""
        return f"tag:{self.url.removeprefix('http://')},2018:/isso/1/{comment.id}"

    def write(self, text: str, author: str | None, answers: Comment | None = None, *, page: str = "/ai-teams/") -> Comment:
        body = {"text": text, "author": author, "title": "AI teams", "parent": answers.id if answers else None}
        said, cookie = self._ask("POST", f"/new?uri={page}", body)
        comment = Comment(said["id"], dt.datetime.fromtimestamp(int(said["created"]), dt.UTC), cookie)
        self.comments.append(comment)
        return comment

    def edit(self, comment: Comment, text: str) -> None:
        _, comment.cookie = self._ask("PUT", f"/id/{comment.id}", {"text": text}, comment.cookie)

    def delete(self, comment: Comment) -> None:
        self._ask("DELETE", f"/id/{comment.id}", None, comment.cookie)

    def _ask(self, method: str, path: str, body: object, cookie: str = "") -> tuple[Any, str]:
        headers = {"Content-Type": "application/json", "Origin": self.url, "Cookie": cookie}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer), (answer.headers.get("Set-Cookie") or "").split(";")[0]

    def shown(self) -> dict[str, str]:
        """The words of every comment in the feed by its id: no markup, no quotes, one space between words."""
        with urllib.request.urlopen(self.feed, timeout=10) as answer:
            entries = ElementTree.parse(answer).findall("atom:entry", ATOM)
        words = {}
        for entry in entries:
            markup = entry.findtext("atom:content", "", ATOM)
            own = re.sub(r"<blockquote>.*?</blockquote>|<[^>]+>", " ", markup, flags=re.DOTALL)
            words[entry.findtext("atom:id", "", ATOM)] = " ".join(html.unescape(own).split())
        return words

    def held(self, *pages: str) -> dict[str, str]:
        """The words of every comment on these pages that is not deleted, by its address, as `shown` gives them."""
        words = {}
        for page in pages:
            with urllib.request.urlopen(f"{self.url}/?uri={page}", timeout=10) as answer:
                above = json.load(answer)["replies"]
            for comment in above + [below for one in above for below in one["replies"]]:
                own = re.sub(r"<blockquote>.*?</blockquote>|<[^>]+>", " ", comment["text"], flags=re.DOTALL)
                if comment["mode"] == 1:
                    words[f"{self.url}{page}#isso-{comment['id']}"] = " ".join(html.unescape(own).split())
        return words


@pytest.fixture(scope="module")
def programs(pytestconfig: pytest.Config) -> Path:
    """The folder of Isso's programs."""
    return install(pytestconfig.cache.mkdir("real-forums"), "isso", REQUIREMENTS, ISSO)


@pytest.fixture
def isso(programs: Path, tmp_path: Path) -> Iterator[Isso]:
    """Isso with an empty page."""
    folder = tmp_path / "isso"
    folder.mkdir()
    forum = Isso(f"http://127.0.0.1:{free_port()}")
    (folder / "isso.cfg").write_text(SETTINGS.format(folder=folder, url=forum.url), "utf-8")
    # Isso writes the time of its own zone and calls it UTC.
    with serving([programs / "isso", "-c", "isso.cfg", "run"], f"{forum.url}/info", folder / "server.log", {"TZ": "UTC"}):
        yield forum


@pytest.fixture
def config(isso: Isso, write_config: Callable[..., Path]) -> Path:
    """A config.yaml that watches DeepSeek and Mistral on that page, with every step every two seconds."""
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
    return write_config(
        teams=[{"id": "deepseek", "name": "DeepSeek"}, {"id": "mistral", "name": "Mistral"}],
        sources=[{"name": "isso", "type": "feed", "delay": 0, "every": 2, "terms": terms, "options": {"urls": [isso.feed]}}],
        schedule={"collect": 2, "understand": 2, "trend": 2, "alert": 2, "deliver": 2},
        scorer={"threads": 1},
    )


@pytest.fixture
def collect(config: Path, forum_monitor: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Crawl the page once, now or at a replayed time."""

    def crawl(**environment: str) -> None:
        done = forum_monitor("--config", config, "collect", "isso", **environment)
        assert done.returncode == 0, done.stderr

    return crawl


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A query on the database; nothing while there is none."""

    def rows(sql: str) -> list[tuple[Any, ...]]:
        with contextlib.suppress(StoreError), Store(tmp_path / "monitor.db", read_only=True) as store:
            return [tuple(row) for row in store.rows(sql)]
        return []

    return rows


def _words(ask: Ask) -> dict[str, str]:
    """The words of every stored post by its id, one space between words."""
    return {native_id: " ".join(text.split()) for native_id, text in ask("SELECT native_id, text FROM posts")}


def test_comments_become_posts(isso: Isso, collect: Callable[..., None], ask: Ask) -> None:
    """Words as their author wrote them, in any script and without quotes; thread, answered post, time and address as on the site."""
    first = isso.write('DeepSeek at R&D: 5 > 3 <3 "quoted" &eacute; & *morale* is fine\nsecond line', "Ottokar")
    french = isso.write("> Ottokar nobody can say that\n\nÇa va très bien chez Mistral — « génial » 😀", "Zéphyrine", first)
    chinese = isso.write("DeepSeek太强了,太棒了 👩‍👩‍👧", "段誉", first)
    again = isso.write("- one\n- two\n\n<script>alert(1)</script>", None)
    collect()
    posts = ask("SELECT native_id, text, parent_id, thread_id, posted_at, date_origin, edited_at, title, url FROM posts ORDER BY url")
    page = f"{isso.url}/ai-teams/"
    assert posts == [
        (isso.native_id(comment), text, isso.native_id(answered) if answered else None, page, to_text(comment.created), "site",
         None, None, f"{page}#isso-{comment.id}")
        for comment, text, answered in (
            (first, 'DeepSeek at R&D: 5 > 3 <3 "quoted" &eacute; & morale is fine\nsecond line', None),
            (french, "Ça va très bien chez Mistral — « génial » 😀", first),
            (chinese, "DeepSeek太强了,太棒了 👩‍👩‍👧", first),
            (again, "one\ntwo\n\n<script>alert(1)</script>", None),
        )
    ]  # fmt: skip


def test_authors_are_hashed(isso: Isso, collect: Callable[..., None], ask: Ask, tmp_path: Path) -> None:
    """One author has one key, two have two, nobody has none; a name, or a quote that holds it, is in no file of ours."""
    for text, author in (("one", "Ottokar"), ("two", "Zéphyrine"), ("> Ottokar was here\n\nthree", "Ottokar"), ("four", None)):
        isso.write(text, author)
    collect()
    keys = dict(ask("SELECT text, author_key FROM posts"))
    assert keys["one"] == keys["three"] and re.fullmatch("[0-9a-f]{32}", keys["one"])
    assert keys["two"] not in (keys["one"], None)
    assert keys["four"] is None
    ours = [path for path in tmp_path.iterdir() if path.name.startswith("monitor.db")]
    assert (tmp_path / "monitor.db") in ours
    for path in ours:
        assert b"Ottokar" not in path.read_bytes() and "Zéphyrine".encode() not in path.read_bytes(), path.name


def test_an_edit_is_taken_up_and_moves_no_post_to_another_day(isso: Isso, collect: Callable[..., None], ask: Ask) -> None:
    """An entry with a known id and new words brings the post up to date; its time of posting stays, though Isso no longer tells it."""
    comment = isso.write("DeepSeek is wonderful", "Ottokar")
    collect()
    time.sleep(1.1)  # times are kept to the second
    isso.edit(comment, "DeepSeek is a disaster")
    isso.write("something else", "Zéphyrine")
    collect()
    found = ask(f"SELECT text, posted_at, edited_at > posted_at FROM posts WHERE native_id = '{isso.native_id(comment)}'")
    assert found == [("DeepSeek is a disaster", to_text(comment.created), 1)]
    assert ask("SELECT new, changed, unchanged FROM crawls ORDER BY id") == [(1, 0, 0), (1, 1, 0)]


def test_what_the_etag_hides_is_read_within_a_day(isso: Isso, collect: Callable[..., None], ask: Ask) -> None:
    """Isso says "not modified" after an answer or an edit, as long as no new thread begins: once a day that is not believed."""
    first = isso.write("DeepSeek is wonderful", "Ottokar")
    edited = isso.write("DeepSeek is fine", "Zéphyrine", first)
    collect()
    isso.write("DeepSeek is not, I think", "段誉", first)
    isso.edit(edited, "DeepSeek is a disaster")
    collect(FORUM_MONITOR_NOW=(dt.datetime.now(dt.UTC) + dt.timedelta(hours=25)).isoformat())
    assert _words(ask) == isso.shown()


def test_deleted_comments(isso: Isso, collect: Callable[..., None], ask: Ask) -> None:
    """A deleted comment that was answered stays in the feed without words: its words and author are then removed here too.

    One that was not answered just vanishes from the feed, and stays in the store: a feed holds its newest entries only,
    so that an entry which is no longer in it need not be gone. This is what the product promises of feeds, no more.
    """
    unanswered = isso.write("DeepSeek is fine", "段誉")
    answered = isso.write("DeepSeek is wonderful", "Ottokar")
    answer = isso.write("it is not", "Zéphyrine", answered)
    collect()
    isso.delete(unanswered)
    isso.delete(answered)
    last = isso.write("DeepSeek is a disaster", "Ottokar")
    collect()
    assert set(isso.shown()) == {isso.native_id(comment) for comment in (answered, answer, last)}
    posts = {row[0]: row[1:] for row in ask("SELECT native_id, text, deleted_at IS NULL, author_key IS NULL FROM posts")}
    assert posts == {
        isso.native_id(unanswered): ("DeepSeek is fine", 1, 0),
        isso.native_id(answered): ("", 0, 1),
        isso.native_id(answer): ("it is not", 1, 0),
        isso.native_id(last): ("DeepSeek is a disaster", 1, 0),
    }


def test_the_daemon_keeps_up_through_three_rounds(isso: Isso, config: Path, ask: Ask) -> None:
    """While people write, edit and delete, the daemon ends each round with the feed's comments, understood and in the trends.

    Of a comment that vanished the store keeps the words (see test_deleted_comments). A feed that did not change adds
    nothing. The team's day has its counts, and figures once five people spoke; the log holds no word and no name.
    """
    praise = [isso.write(f"I love DeepSeek, wonderful people, number {n}.", f"Author-{n}") for n in range(5)]
    isso.write("Mistral, quelle équipe formidable 😀", "Zéphyrine", praise[0])
    with running(config) as log:
        until(lambda: _settled(ask) and _words(ask) == isso.shown())
        assert ask("SELECT DISTINCT label FROM v_posts WHERE team = 'deepseek'") == [("positive",)]

        isso.edit(praise[0], "DeepSeek is a disaster, everybody hates it.")
        isso.write("DeepSeek太糟糕了,大家都讨厌它。", "段誉", praise[1])
        isso.write("> I love DeepSeek\n\nDeepSeek? Terrible, I despise it.", "Ottokar")
        until(lambda: _settled(ask) and _words(ask) == isso.shown())
        edited = f"native_id = '{isso.native_id(praise[0])}'"
        assert ask(f"SELECT label FROM v_posts WHERE team = 'deepseek' AND {edited}") == [("negative",)]

        vanished = {isso.native_id(praise[4]): isso.shown()[isso.native_id(praise[4])]}
        isso.delete(praise[4])
        isso.edit(praise[1], "DeepSeek is fine, I suppose.")
        isso.write("DeepSeek again & again: awful.", "Ottokar")
        until(lambda: _settled(ask) and _words(ask) == {**isso.shown(), **vanished})

        newest = ask("SELECT max(id) FROM crawls")[0][0]
        until(lambda: ask(f"SELECT 1 FROM crawls WHERE id > {newest + 1} AND finish_reason = 'finished'"))
        assert ask(f"SELECT max(new + changed + deleted + rejected) FROM crawls WHERE id > {newest} AND ended_at NOT NULL") == [(0,)]
    assert {row[0] for row in ask("SELECT finish_reason FROM crawls")} <= {"finished", "stopped"}
    for step in ("collect", "understand", "trend"):
        assert ask(f"SELECT count(*) FROM runs WHERE step = '{step}' AND outcome = 'ok'")[0][0] >= 3
    _check_trends(isso, ask)
    told = log.read_text("utf-8")
    assert "collect isso: finished" in told
    assert not [word for word in ("Ottokar", "Zéphyrine", "Author-", "段誉", "disaster", "wonderful") if word in told]


def _check_trends(isso: Isso, ask: Ask) -> None:
    """The daily counts are those of the comments that name DeepSeek, by the day on which they were written."""
    named = {isso.native_id(comment): comment.created for comment in isso.comments}
    authors: dict[str, list[str]] = defaultdict(list)
    for native_id, author in ask("SELECT native_id, author_key FROM posts WHERE text LIKE '%DeepSeek%'"):
        authors[f"{named[native_id]:%Y-%m-%d}"].append(author)
    assert sum(map(len, authors.values())) == 8
    rows = ask("SELECT day, posts, authors, threads, sufficient, mean FROM v_daily WHERE team = 'deepseek' AND source = '*' ORDER BY day")
    assert [row[:5] for row in rows] == [(day, len(keys), len(set(keys)), 1, len(set(keys)) >= 5) for day, keys in sorted(authors.items())]
    assert all((mean is not None and -1 < mean < 1) == bool(sufficient) for *_, sufficient, mean in rows)


def _kept(ask: Ask) -> dict[str, str]:
    """The words of every stored post that is not gone by its address, one space between words."""
    return {url: " ".join(text.split()) for url, text in ask("SELECT url, text FROM posts WHERE deleted_at IS NULL")}


@pytest.mark.parametrize("uris", [["/ai-teams/", "/jobs/"], []], ids=["pages named", "pages found"])
def test_the_spider_by_schedule(isso: Isso, write_config: Callable[..., Path], ask: Ask, uris: list[str]) -> None:
    """While people write, edit and delete on two pages, each round of the daemon ends with what Isso holds, no more and no less."""
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
    options = {"url": isso.url, "uris": uris}
    config = write_config(
        sources=[{"name": "isso", "type": "isso", "delay": 0, "every": 2, "terms": terms, "options": options}],
        schedule={"collect": 2, "understand": 2, "trend": 2, "alert": 2, "deliver": 2},
    )
    pages = ("/ai-teams/", "/jobs/")

    def equal() -> bool:
        return _kept(ask) == isso.held(*pages)

    first = isso.write("DeepSeek at R&D: *fine*\n\n> they said no\n\nI say yes 😀", "Ottokar")
    answer = isso.write("DeepSeek太强了", "段誉", first)
    other = isso.write("Nobody is hired at Mistral", "Zéphyrine", page="/jobs/")
    with running(config):
        until(equal)
        [row] = ask(f"SELECT text, posted_at, parent_id IS NULL, thread_id, date_origin FROM posts WHERE url LIKE '%#isso-{first.id}'")
        assert row == ("DeepSeek at R&D: fine\n\nI say yes 😀", to_text(first.created), 1, "/ai-teams/", "site")

        time.sleep(1.1)  # times are kept to the second
        isso.edit(other, "Everybody is hired at Mistral")
        last = isso.write("Another one", "Ottokar")
        until(equal)
        assert ask(f"SELECT text, edited_at > posted_at FROM posts WHERE url LIKE '%#isso-{other.id}'") == [
            ("Everybody is hired at Mistral", 1)
        ]

        isso.delete(first)  # which was answered, so that Isso keeps its place
        isso.delete(last)  # the newest, whose number the next one gets
        again = isso.write("Written anew", "Zéphyrine", page="/jobs/")
        assert again.id == last.id
        until(equal)

        isso.delete(answer)  # and with it the empty place of the first
        until(equal)
        assert len(_kept(ask)) == 2
    assert ask("SELECT count(*), max(text) FROM posts WHERE deleted_at NOT NULL") == [(3, "")]
    assert {row[0] for row in ask("SELECT finish_reason FROM crawls")} <= {"finished", "stopped"}
    assert ask("SELECT max(rejected) FROM crawls WHERE ended_at NOT NULL") == [(0,)]


def _settled(ask: Ask) -> bool:
    """Whether every stored post is understood and in the trends."""
    return ask("SELECT (SELECT count(*) FROM posts WHERE unread) + (SELECT count(*) FROM dirty_days)") == [(0,)]
