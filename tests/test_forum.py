"""The spider `forum`: whatever happens in a forum between two crawls, the posts that are stored are those that it shows."""

from __future__ import annotations

import datetime as dt
import html
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from answers import Answer, Site, crawl
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import NOW, answer, begin, make, read, walk

from monitor.errors import CrawlError
from monitor.records import Gone, Post
from monitor.store import Store
from spiders.forum import Forum

URL = "https://board.example"
PROFILE: dict[str, Any] = {
    "threads": {
        "threads": {"row": "li.thread", "link": "a::attr(href)", "time": "time::attr(datetime)"},
        "pages": "nav a",
        "number": r"[?&]page=(\d+)",
    },
    "posts": {
        "post": "article",
        "id": "::attr(id)",
        "author": "b",
        "time": "time::attr(datetime)",
        "body": "div",
        "title": "h1",
        "deleted": "article.deleted",
        "pages": "nav a",
        "number": r"[?&]page=(\d+)",
        "thread": r"/thread/(\d+)",
    },
}
UNNUMBERED = {
    "threads": {"threads": PROFILE["threads"]["threads"]},
    "posts": {name: value for name, value in PROFILE["posts"].items() if name not in ("pages", "number")},
}
"""A profile that knows pages by rel="next" and rel="prev" only."""


@dataclass
class Board:
    """A small forum: threads of posts (id, text, time), `size` posts or threads a page."""

    size: int = 3
    threads: dict[int, list[list[Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    said: dict[str, bytes] = field(default_factory=dict)
    """Pages that it shows in place of its own."""
    count: int = 0

    def write(self, thread: int, moment: dt.datetime) -> int:
        self.count += 1
        self.threads.setdefault(thread, []).append([self.count, f"words {self.count}", moment])
        return self.count

    def posts(self) -> dict[str, str]:
        """The words of every post that is shown, by its id."""
        return {
            str(post): f"Title {thread}\n\n{text}" if post == posts[0][0] else text
            for thread, posts in self.threads.items()
            for post, text, _ in posts
        }

    def fetch(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        self.asked.append(url.removeprefix(URL))
        if url.removeprefix(URL) in self.status:
            return self.status[url.removeprefix(URL)], b"closed"
        if url.removeprefix(URL) in self.said:
            return 200, self.said[url.removeprefix(URL)]
        page = int(parse_qs(parts.query).get("page", ["1"])[0])
        if parts.path == "/":
            ordered = sorted(self.threads, key=lambda thread: self.threads[thread][-1][2], reverse=True)
            rows = [
                f'<li class="thread"><a href="/thread/{thread}?sid=0123456789abcdef0123">Title</a>'
                f'<time datetime="{self.threads[thread][-1][2].isoformat()}">then</time></li>'
                for thread in ordered
            ]
            return self._page(rows, page, "/", "")
        thread = int(parts.path.rpartition("/")[2])
        if thread not in self.threads:
            return 404, b"gone"
        articles = [
            f'<article id="p{post}"><b>Ann</b><time datetime="{moment.isoformat()}">then</time><div>{html.escape(text)}</div></article>'
            for post, text, moment in self.threads[thread]
        ]
        return self._page(articles, page, parts.path, f"<h1>Title {thread}</h1>")

    def _page(self, items: list[str], page: int, path: str, head: str) -> tuple[int, bytes]:
        last = max(1, math.ceil(len(items) / self.size))
        if page > last:
            return 404, b"no such page"
        shown = sorted({1, page - 1, page, page + 1, last} & set(range(1, last + 1)))
        rels = {page - 1: "prev", page + 1: "next"}
        links = "".join(f'<a rel="{rels.get(number, "")}" href="{path}?page={number}">{number}</a>' for number in shown if number != page)
        return 200, f"<html>{head}{''.join(items[(page - 1) * self.size : page * self.size])}<nav>{links}</nav></html>".encode()


@dataclass
class Reader:
    """Crawls a board again and again, and keeps what a store would."""

    board: Board
    options: dict[str, Any] = field(default_factory=dict)
    cursor: dict[str, Any] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    spider: Any = None

    def crawl(self, now: dt.datetime = NOW) -> list[Post | Gone]:
        recent = sorted(
            ((post.native_id, post.thread_id or "", post.posted_at.replace(microsecond=0)) for post in self.posts.values()
             if post.posted_at >= now - dt.timedelta(days=2)),
            key=lambda post: post[2],
            reverse=True,
        )  # fmt: skip
        options = {"urls": [f"{URL}/"], "profile": PROFILE, **self.options}
        self.spider = make(Forum, options, now=now, cursor=self.cursor, recent=recent)
        found = walk(self.spider, self.board.fetch)
        for item in found:
            if isinstance(item, Gone):
                self.posts.pop(item.native_id, None)
            else:
                self.posts[item.native_id] = item
        if self.spider.covered:
            self.cursor = self.spider.next_cursor
        return found

    def words(self) -> dict[str, str]:
        return {native_id: post.text for native_id, post in self.posts.items()}


OPERATION = st.tuples(st.sampled_from(["thread", "reply", "reply", "reply", "edit", "delete", "delete", "drop"]), st.integers(0, 10_000))


@settings(max_examples=60, deadline=None)
@given(
    rounds=st.lists(st.lists(OPERATION, max_size=12), min_size=1, max_size=5),
    size=st.integers(1, 4),
    step=st.sampled_from([0, 7, 600]),
    profile=st.sampled_from([PROFILE, UNNUMBERED]),
)
def test_the_store_holds_what_the_forum_shows(rounds: list[list[tuple[str, int]]], size: int, step: int, profile: dict[str, Any]) -> None:
    """After each crawl no post is lost, none is left that was deleted, and each has its newest words; also when times are equal."""
    board = Board(size=size)
    reader = Reader(board, {"profile": profile})
    now = NOW - dt.timedelta(days=1)
    board.write(1, now)
    for operations in rounds:
        for name, number in operations:
            now += dt.timedelta(seconds=step)
            thread = sorted(board.threads)[number % len(board.threads)]
            posts = board.threads[thread]
            if name == "thread":
                board.write(board.count + 2, now)  # no forum gives an id twice
            elif name == "reply":
                board.write(thread, now)
            elif name == "edit":
                posts[number % len(posts)][1] += " (changed)"
            elif name == "drop" and len(board.threads) > 1:
                del board.threads[thread]
            elif name == "delete" and len(posts) > 1:
                del posts[number % len(posts)]
        now += dt.timedelta(seconds=30)
        reader.crawl(now)
        assert not reader.spider.failures
        assert reader.words() == board.posts()


def hours(number: float) -> dt.datetime:
    """A time so many hours before now."""
    return NOW - dt.timedelta(hours=number)


def old_thread(board: Board, thread: int, posts: int, first: float, last: float) -> None:
    """A thread whose posts are spread evenly between two numbers of hours before now."""
    for number in range(posts):
        board.write(thread, hours(first - (first - last) * number / max(1, posts - 1)))


def test_a_long_thread_is_read_from_its_end() -> None:
    """Of an old thread with new answers only the first page and those with new posts are read, and old posts are left alone."""
    board = Board(size=10)
    old_thread(board, 1, 995, 5000, 300)
    old_thread(board, 1, 25, 100, 1)
    reader = Reader(board)
    reader.crawl()
    assert sorted(map(int, reader.posts)) == list(range(996, 1021))
    assert board.asked == ["/", "/thread/1", "/thread/1?page=102", "/thread/1?page=101", "/thread/1?page=100"]


def test_the_next_crawl_goes_on_where_the_last_one_ended() -> None:
    """A thread with new posts is read from the last page known on; one without any is looked at where its young posts stood."""
    board = Board(size=2)
    old_thread(board, 1, 9, 60, 30)
    old_thread(board, 2, 3, 40, 20)
    reader = Reader(board)
    reader.crawl()
    board.asked.clear()
    for _ in range(3):
        board.write(1, NOW + dt.timedelta(minutes=5))
    reader.crawl(NOW + dt.timedelta(minutes=10))
    assert reader.words() == board.posts()
    assert board.asked[:3] == ["/", "/thread/1?page=5", "/thread/1?page=6"]
    assert sorted(board.asked[3:]) == ["/thread/1?page=3", "/thread/1?page=4", "/thread/2", "/thread/2?page=2"]


def test_a_post_that_moved_to_an_earlier_page_is_not_deleted() -> None:
    """Where an old post was deleted, all after it move up: what now stands on a page that was not known is looked for there."""
    board = Board(size=2)
    old_thread(board, 1, 4, 90, 70)
    old_thread(board, 1, 3, 40, 20)
    reader = Reader(board)
    reader.crawl()
    del board.threads[1][0]
    board.asked.clear()
    found = reader.crawl(NOW + dt.timedelta(minutes=1))
    assert not [item for item in found if isinstance(item, Gone)]
    assert board.asked == ["/", "/thread/1?page=3", "/thread/1?page=4", "/thread/1?page=2"]
    del board.threads[1][3]
    assert Gone("s", "5") in reader.crawl(NOW + dt.timedelta(minutes=2))


def test_a_post_that_moved_to_another_thread_is_not_deleted() -> None:
    """A moderator merges two threads: the posts of the one that is no more are the other's now, and none is taken for deleted."""
    board = Board(size=10)
    old_thread(board, 1, 2, 5, 4)
    old_thread(board, 2, 2, 3, 2)
    reader = Reader(board)
    reader.crawl()
    board.threads[1] += board.threads.pop(2)
    found = reader.crawl(NOW + dt.timedelta(hours=4))
    assert not any(isinstance(item, Gone) for item in found) and set(reader.posts) == {"1", "2", "3", "4"}
    assert {post.thread_id for post in reader.posts.values()} == {"1"}


def test_a_list_is_read_until_it_is_old() -> None:
    """Pages of a list are read until they show nothing new; what is older than the first crawl's days is not asked for."""
    board = Board(size=2)
    for thread in range(1, 30):
        board.write(thread, hours(thread * 24))
    reader = Reader(board)
    reader.crawl()
    assert [path for path in board.asked if path.startswith("/?") or path == "/"] == ["/", *(f"/?page={page}" for page in (2, 3, 4))]
    assert {int(post.thread_id or 0) for post in reader.posts.values()} == set(range(1, 8))
    assert reader.spider.covered == (NOW - dt.timedelta(days=7), NOW)


def test_what_may_not_be_read_is_not_deleted() -> None:
    """A thread that answers 403 keeps its posts, one that answers 404 loses them; neither fails the crawl."""
    board = Board()
    old_thread(board, 1, 2, 5, 4)
    old_thread(board, 2, 2, 3, 2)
    reader = Reader(board)
    reader.crawl()
    board.status = {"/thread/1": 403, "/thread/2": 404}
    reader.crawl(NOW + dt.timedelta(minutes=1))
    assert set(reader.posts) == {"1", "2"} and reader.spider.covered
    assert dict(reader.spider.rejections) == {"is not open to the public": 1}


def test_a_board_that_is_closed_costs_only_itself() -> None:
    """A board that its forum lists and that is closed to guests, or leads to another site, is told; the rest is read."""
    rows = '<li class="thread"><a href="/thread/1">T</a></li><h3><a href="/members"></a></h3><h3><a href="/more"></a></h3>'
    pages = {
        "/": (200, rows),
        "/members": (403, "Log in"),
        "/more": (200, '<li class="thread"><a href="/thread/2">T</a></li>'),
        "/thread/1": (200, '<article id="p1"><div>One</div></article>'),
        "/thread/2": (200, '<article id="p2"><div>Two</div></article>'),
    }
    profile = {**PROFILE, "threads": {**PROFILE["threads"], "boards": {"row": "h3", "link": "a::attr(href)"}}}
    spider = make(Forum, {"urls": [f"{URL}/"], "profile": profile})
    found = walk(spider, lambda url: (pages[url.removeprefix(URL)][0], pages[url.removeprefix(URL)][1].encode()))
    assert {post.native_id for post in found} == {"1", "2"} and spider.covered and not spider.failures
    assert list(spider.rejections) == ["is a board that is not open to the public, or leads to another site"]


def test_an_address_that_leads_to_another_site_is_said() -> None:
    """Where `urls` holds an address that its forum has left, the crawl says which to write, and does not pass for an empty one."""
    spider = make(Forum, {"urls": [f"{URL}/"], "profile": PROFILE})
    (request,) = begin(spider)
    assert not read(request, answer(request.replace(url="https://new.example/"), b'<li class="thread"><a href="/thread/1">T</a></li>'))
    ((_, sentence),) = spider.failures
    assert sentence.startswith("https://new.example/ is another site") and not spider.covered


def test_threads_for_members_only_are_said() -> None:
    """A forum that shows its lists to all and its threads to members does not pass for a forum that was read."""
    board = Board(status={"/thread/1": 403})
    board.write(1, hours(4))
    reader = Reader(board)
    reader.crawl()
    assert not reader.spider.covered and "open to the public" in reader.spider.failures[0][1]


def test_a_forum_may_say_in_words_that_a_thread_is_gone() -> None:
    """Where a deleted thread answers 200, what the profile knows for such an answer makes its posts gone, and nothing else does."""
    board = Board()
    old_thread(board, 1, 2, 5, 4)
    old_thread(board, 2, 2, 3, 2)
    profile = {**PROFILE, "posts": {**PROFILE["posts"], "no_thread": "title:contains('Invalid thread')"}}
    reader = Reader(board, {"profile": profile})
    reader.crawl()
    there = set(reader.posts)
    board.said = {"/thread/1": b"<title>Invalid thread</title>", "/thread/2": b"<title>Back soon</title>"}
    reader.crawl(NOW + dt.timedelta(minutes=1))
    assert there - set(reader.posts) == {"1", "2"} and reader.spider.covered


def test_session_ids_are_in_no_address() -> None:
    """Neither an address that is asked nor one that is stored or remembered holds a session id."""
    board = Board()
    old_thread(board, 1, 2, 5, 4)
    reader = Reader(board)
    reader.crawl()
    assert "sid" not in repr([board.asked, reader.posts, reader.cursor])


def test_a_notice_in_place_of_a_post_is_a_deletion() -> None:
    """What the forum shows as deleted is gone at once, wherever it stands."""
    body = b'<article id="p1"><div>One</div></article><article id="p2" class="deleted">Removed</article>'
    pages = {"/": b'<li class="thread"><a href="/thread/1">T</a></li>', "/thread/1": body}
    spider = make(Forum, {"urls": [f"{URL}/"], "profile": PROFILE})
    one, two = walk(spider, lambda url: (200, pages[url.removeprefix(URL)]))
    assert (one.native_id, one.date_origin) == ("1", "fetched") and two == Gone("s", "2")


def test_a_post_without_words_or_id_is_not_deleted() -> None:
    """A post that cannot be read still stands there; and a page on which one has no id proves nothing of the others."""
    rows = '<li class="thread"><a href="/thread/1">T</a></li>'
    sound = '<article id="p1"><time datetime="2025-01-31T10:00:00Z"></time><div>One</div></article>'
    recent = [(number, "1", NOW - dt.timedelta(hours=2)) for number in "12"]
    cursor = {"urls": [f"{URL}/"], "until": "2025-01-31T11:00:00Z", "places": [f"{URL}/thread/1"], "stood": {"1": 0, "2": 0}, "ends": {}}
    for other, gone in (('<article id="p2">Moved</article>', []), ("<article>Buy!</article>", []), ("", ["2"])):
        spider = make(Forum, {"urls": [f"{URL}/"], "profile": PROFILE}, cursor=cursor, recent=recent)
        found = walk(spider, lambda url, other=other: (200, (rows if url == f"{URL}/" else sound + other).encode()))
        assert [item.native_id for item in found if isinstance(item, Gone)] == gone and spider.covered


def test_a_server_that_ignores_paging_ends() -> None:
    """A list or a thread whose pages are all the same is said to be so, and not read for ever."""
    rows = '<li class="thread"><a href="/thread/1">T</a></li>'
    for path in ("/", "/thread/1"):
        asked: list[str] = []

        def fetch(url: str, path: str = path, asked: list[str] = asked) -> tuple[int, bytes]:
            asked.append(url)
            parts = urlsplit(url)
            page = int(parse_qs(parts.query).get("page", ["1"])[0])
            more = f'<nav><a href="{path}?page={page + 1}">more</a></nav>' if parts.path == path else ""
            body = rows if parts.path == "/" else '<article id="p1"><div>One</div></article>'
            return 200, f"<html>{body}{more}</html>".encode()

        spider = make(Forum, {"urls": [f"{URL}/"], "profile": PROFILE})
        walk(spider, fetch)
        assert len(asked) <= 4 and not spider.covered
        assert any("the same" in sentence for _, sentence in spider.failures)


def test_a_bound_is_said_and_not_covered() -> None:
    """What a bound leaves out is told, and the span that counts as read begins after it."""
    board = Board(size=2)
    for thread in range(1, 9):
        board.write(thread, hours(thread))
    reader = Reader(board, {"max_threads": 3})
    reader.crawl()
    assert len(reader.posts) == 3 and reader.spider.covered[0] >= hours(4)
    assert reader.spider.rejections["is a thread beyond max_threads"] == 5
    reader = Reader(board, {"max_pages": 2})
    reader.crawl()
    assert len(reader.posts) == 4 and reader.spider.covered[0] >= hours(5)
    assert "is a list that goes on after max_pages" in reader.spider.rejections


def test_a_wrong_profile_is_said() -> None:
    """A page without threads, or threads without posts, ends in a sentence that names the page."""
    board = Board()
    old_thread(board, 1, 2, 5, 4)
    for name in ("threads", "posts"):
        wrong = {**PROFILE, name: {**PROFILE[name], **({"threads": {"row": "tr", "link": "a"}} if name == "threads" else {"post": "td"})}}
        reader = Reader(board, {"profile": wrong})
        reader.crawl()
        (sentence,) = (sentence for _, sentence in reader.spider.failures)
        assert sentence.startswith(f"{URL}/ ") and "profile" in sentence and not reader.spider.covered


def test_a_page_that_fails_is_read_by_the_next_crawl() -> None:
    """Without an answer from a thread with new posts the crawl has failed, and its cursor stays."""
    board = Board()
    old_thread(board, 1, 2, 5, 4)
    spider = make(Forum, {"urls": [f"{URL}/"], "profile": PROFILE})
    (request,) = begin(spider)
    (due,) = read(request, answer(request, board.fetch(request.url)[1]))
    spider.lose(due, "answers 500")
    assert spider.failures == [("failed", f"{URL}/thread/1 answers 500")] and not spider.next_cursor


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"urls": ["https://a.example/", "https://b.example/"]}, "make a source of each"),
        ({"timezone": "Mars/Olympus"}, "IANA name"),
        ({"profile": "fluxbb"}, "there is no such profile: use phpbb"),
        ({"profile": {**PROFILE, "posts": {**PROFILE["posts"], "body": "div["}}}, "posts.body is no CSS selector"),
        ({"profile": {"threads": PROFILE["threads"]}}, "posts is missing"),
        ({"profile": 7}, "write the name of a profile"),
        ({"profil": "phpbb"}, "is not an option of type forum"),
    ],
)
def test_mistakes_are_sentences(options: dict[str, Any], words: str) -> None:
    """A mistake in the options, or deep in a profile, names its key and what to write."""
    with pytest.raises(CrawlError, match=re.escape(words)) as caught:
        make(Forum, {"urls": [f"{URL}/"], "profile": "phpbb", **options})
    assert "sources.s.options" in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_broken_markup_never_breaks_a_crawl(data: st.DataObject) -> None:
    """Whatever is cut out of a page or put into it, the crawl ends, with posts, tombstones or sentences."""
    board = Board(size=2)
    old_thread(board, 1, 5, 5, 1)

    def fetch(url: str) -> tuple[int, bytes]:
        status, body = board.fetch(url)
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 40))
        junk = data.draw(
            st.sampled_from(
                [b"", b"<", b"\x00", b"</div></article>", b'id="', b"\xff\xfe", b"<!--", b"datetime='never'", b"<base href=':'>"]
            )
        )
        return data.draw(st.sampled_from([status] * 5 + [404, 403])), body[:start] + junk + body[end:]

    reader = Reader(board)
    for _ in range(2):
        reader.crawl()
        assert not reader.spider.crashed and len(board.asked) < 200


def test_a_whole_crawl(tmp_path: Path) -> None:
    """A crawl in a process of its own, through a built-in profile: robots.txt is obeyed, and an edit is stored by the next crawl."""
    folder = Path(__file__).parent / "pages" / "forum" / "phpbb"
    thread = (folder / "thread.html").read_text("utf-8")
    answers = {
        "/robots.txt": Answer("User-agent: *\nDisallow: /viewforum.php?f=12\nDisallow: /viewtopic.php?f=9&t=41&start="),
        "/viewforum.php?f=9": Answer((folder / "list.html").read_bytes(), headers={"Content-Type": "text/html"}),
        "/viewforum.php?f=9&start=25": Answer("<p>No topics</p>"),
        "/viewtopic.php?f=9&t=41": [Answer(thread), Answer(thread.replace("Same at ours.", "Not at ours."))],
    }
    with Site(answers) as site:
        options = {"urls": [f"{site.url}/viewforum.php?f=9"], "profile": "phpbb"}
        first = crawl(tmp_path, "forum", options)
        assert first["finish_reason"] == "disallowed" and first["counts"]["new"] == 3, first
        assert "viewforum.php is forbidden by robots.txt" in first["message"]
        site.answers["/robots.txt"] = Answer("", 404)
        site.answers["/viewforum.php?f=12"] = Answer("<ul class='topiclist topics'></ul>")
        site.answers["/viewtopic.php?f=9&t=41&start=10"] = Answer("gone", 404)
        second = crawl(tmp_path, "forum", options, now="2025-02-01T13:00:00Z")  # robots.txt is kept for a day
        assert (second["finish_reason"], second["counts"]["changed"]) == ("finished", 1), second
        assert all("sid" not in path for path in site.paths)
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = dict(tuple(row) for row in store.rows("SELECT native_id, text FROM posts WHERE text <> ''"))
    assert texts["104"] == "Not at ours. :(" and set(texts) == {"101", "104", "107"}


def test_a_thread_that_leads_to_a_login_costs_only_itself(tmp_path: Path) -> None:
    """A thread that only members may read stops neither its forum nor the crawl, and its login is never asked for."""
    rows = "".join(f'<li class="thread"><a href="/thread/{number}">T</a></li>' for number in (1, 2))
    page = {"headers": {"Content-Type": "text/html"}}
    answers = {
        "/": Answer(rows, **page),
        "/thread/1": Answer("", 302, headers={"Location": "/auth/login?next=%2Fthread%2F1"}),
        "/thread/2": Answer('<article id="p2"><div>Two</div></article>', **page),
        "/auth/login": Answer("<title>Login</title><input type=password>", **page),
    }
    with Site(answers) as site:
        done = crawl(tmp_path, "forum", {"urls": [f"{site.url}/"], "profile": PROFILE})
        assert (done["finish_reason"], done["counts"]["new"]) == ("finished", 1), done
        assert "1 left out: is not open to the public" in done["message"] and not any("login" in path for path in site.paths)
