"""The spiders read what sites answer: the right posts out of sound answers, and all that can be saved out of broken ones."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from broken import JUNK, mutated
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, answer, as_rows, begin, expected, over_http, posts_of, read, walk

from monitor.demo.forum import DemoForum, DemoPost
from monitor.errors import CrawlError
from monitor.records import Gone, Post, clean
from monitor.store import Store
from monitor.words import plain
from spiders.base import ForumSpider
from spiders.discourse import Discourse
from spiders.feed import Feed
from spiders.hackernews import HackerNews

SPIDERS: dict[str, tuple[type[ForumSpider], dict[str, Any]]] = {
    "discourse": (Discourse, {"url": "https://forum.example/"}),
    "hackernews": (HackerNews, {}),
    "feed": (Feed, {"urls": ["https://feeds.example/all?token=secret"]}),
}
PAGES = sorted(
    path for kind in SPIDERS for path in (Path(__file__).parent / "pages" / kind).glob("*.*") if not path.name.endswith(".posts.json")
)
recorded = pytest.mark.skipif(not SHARED.exists(), reason="the recorded answers do not lie beside this checkout")


def make(kind: str, options: Mapping[str, Any] | None = None, **given: Any) -> Any:
    spider, defaults = SPIDERS[kind]
    return reading.make(spider, defaults if options is None else options, **given)


# ---- pages of our own, and what must be read from them ---------------------------------------------------------------


def read_page(page: Path) -> tuple[list[dict[str, Any]], Any]:
    """The posts of a page as plain values, and the spider that read it."""
    spider = make(page.parent.name)
    request = begin(spider)[0]
    return as_rows(read(request, answer(request, page.read_bytes()))), spider


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_page_gives_its_posts(page: Path) -> None:
    """Every field of every post, quotes and markup gone; what is unusable is counted with its reason, and costs nothing else."""
    found, spider = read_page(page)
    due = expected(page)
    assert found == due["posts"]
    assert dict(spider.rejections) == due["left out"]
    assert not spider.failures


# ---- recorded answers of the real sites ------------------------------------------------------------------------------


@recorded
def test_recorded_hacker_news() -> None:
    """Hits of the real search become posts with their time, thread, parent and story title."""
    spider = make("hackernews")
    request = begin(spider)[0]
    first, second = posts_of(read(request, answer(request, (SHARED / "hackernews" / "1.1.json").read_bytes())))
    assert isinstance(first, Post) and isinstance(second, Post)
    assert (first.native_id, first.thread_id, first.parent_id) == ("18463371", "18445714", "18453018")
    assert first.posted_at == dt.datetime(2018, 11, 15, 21, 10, 34, tzinfo=dt.UTC) and first.date_origin == "site"
    assert first.url == "https://news.ycombinator.com/item?id=18463371"
    assert first.title == "Waymo CEO Says Alphabet Unit Plans to Launch Driverless Car Service"
    assert (
        first.text.startswith("Your example perfectly illustrates")
        and "quick left/right check" in first.text
        and "\n\nI don't have" in first.text
    )
    assert second.text == "Not sure I'd want to try moonshine from Monsanto..."
    assert not spider.rejections and not spider.failures


@recorded
def test_recorded_discourse_topic() -> None:
    """A real topic's posts come with title, number, parent and zone; Discourse's own notices are left out."""
    spider = make("discourse", {"url": "https://try.example"})
    begin(spider)
    request = spider.ask("https://try.example/t/57.json", spider.read_topic, essential=False, topic="57", known=["83", "226"])
    posts = [
        post
        for post in posts_of(read(request, answer(request, (SHARED / "discourse" / "topic.json").read_bytes())))
        if isinstance(post, Post)
    ]
    assert [post.native_id for post in posts] == ["83", "86", "226"]
    assert posts[0].text.startswith("THIS SITE IS A SANDBOX -- it is reset every day\n\nWelcome!")
    assert posts[0].url == "https://try.example/t/this-site-is-a-sandbox-it-is-reset-every-day/57/1"
    assert posts[0].posted_at == dt.datetime(2013, 2, 4, 20, 26, 26, 278000, tzinfo=dt.UTC) and posts[0].edited_at is not None
    assert posts[2].text == "What? So I have to post this every day?" and posts[2].parent_id == "57/1"
    assert not spider.rejections and not spider.failures


@recorded
def test_recorded_feeds() -> None:
    """Isso's and HyperKitty's real feeds: no made-up titles, no quoted lines, threads held together."""

    def posts(path: str) -> list[Any]:
        spider = make("feed", now=dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
        request = begin(spider)[0]
        found = posts_of(read(request, answer(request, (SHARED / path).read_bytes())))
        assert not spider.rejections and not spider.failures
        return found

    comments = posts("recorded/isso/_feed_uri__2_ai_teams_2_")
    assert len(comments) == 14 and {post.thread_id for post in comments} == {"http://127.0.0.1:8104/ai-teams/"}
    assert comments[-1].text == "Morale in GenAI is low & nobody explains why" and comments[-1].date_origin == "site"
    assert comments[0].parent_id == comments[-1].native_id
    mails = posts("recorded/hyperkitty/_archives_list_ai_teams_lists_example_test_feed_")
    assert len(mails) == 30 and len({post.thread_id for post in mails}) == 2
    assert mails[0].text == "Équipe Mistral : ambiance\n\nTrès bonne ambiance — 很好 😀"
    assert mails[1].text == "reply 29: agreed" and mails[1].title == "Morale in GenAI after the reorg"
    assert [post.text for post in posts("feeds/example.json")] == ["post 2\n\nThis is a second item.", "Hello, world!"]
    assert posts("feeds/atomthreadingwithentry.xml")[0].text == "bloffo bliff by te..."


# ---- Hacker News -----------------------------------------------------------------------------------------------------


def search(times: Mapping[str, int], most: int) -> Callable[[str], tuple[int, bytes]]:
    """A search like Algolia's over posts by id and time, that gives `most` hits of a query and no more."""

    def fetch(url: str) -> tuple[int, bytes]:
        bounds = parse_qs(urlsplit(url).query)["numericFilters"][0].split(",")
        above, below = (int(bound[len("created_at_i>") :]) for bound in bounds)
        within = sorted(((time, post) for post, time in times.items() if above < time < below), reverse=True)
        hits = [
            {"objectID": post, "created_at_i": time, "author": "a", "comment_text": f"Post {post}.", "story_id": 1} for time, post in within
        ]
        return 200, json.dumps({"hits": hits[:most], "nbHits": len(hits)}).encode()

    return fetch


@given(seconds=st.lists(st.integers(-3, 20) | st.integers(-200, 86400 * 8), min_size=10, max_size=60), most=st.integers(5, 9))
@settings(max_examples=60, deadline=None)
def test_no_hit_is_lost_to_the_cap(seconds: list[int], most: int) -> None:
    """Whatever the times, many in one second too: every post of the span is read exactly once, though a query gives few of them."""
    kept: dict[int, int] = defaultdict(int)
    times = {}
    for number, second in enumerate(seconds):
        if kept[second] < most - 1:  # a second that fills an answer by itself cannot be seen through
            kept[second] += 1
            times[str(number)] = int(NOW.timestamp()) - second
    spider = make("hackernews", {"refresh_limit": 0})
    found = [post.native_id for post in walk(spider, search(times, most))]
    assert sorted(found) == sorted(post for post, time in times.items() if spider.since.timestamp() <= time <= NOW.timestamp())
    assert not spider.failures and spider.next_cursor == {"until": int(NOW.timestamp())}


def test_a_second_with_a_thousand_posts_is_said() -> None:
    """What the search cannot give is a failure with a sentence, never silence; the rest is still read."""
    times = {str(number): int(NOW.timestamp()) - 60 for number in range(1200)} | {"older": int(NOW.timestamp()) - 61}
    spider = make("hackernews")
    assert len(walk(spider, search(times, 1000))) == 1001
    assert "1000 posts or more in one second" in spider.failures[0][1]


def test_a_search_that_ignores_the_span_ends() -> None:
    """An answer outside the span that was asked for ends the crawl as failed instead of asking for ever."""
    body = json.dumps(
        {"hits": [{"objectID": str(n), "created_at_i": int(NOW.timestamp()) + 5, "comment_text": "x"} for n in range(1000)], "nbHits": 5000}
    )
    spider = make("hackernews")
    walk(spider, lambda url: (200, body.encode()))
    assert "does not keep to the span of time" in spider.failures[0][1]


def test_hacker_news_items_are_looked_at_again() -> None:
    """Deleted and dead are gone, `null` is no news, other words are the post anew with its thread, and a refusal is only counted."""
    items = {
        "1": {"id": 1, "deleted": True, "type": "comment", "time": 1738231200},
        "2": {"id": 2, "dead": True, "by": "a", "text": "x", "type": "comment", "time": 1738231200},
        "3": None,
        "4": {"id": 4, "by": "a", "text": "In <i>other</i> words.", "parent": 9, "type": "comment", "time": 1738231200},
        "5": {"id": 5, "by": "a", "title": "R1 &gt; o1?", "text": "Asking.", "type": "story", "time": 1738231200},
        "6": {"id": 7, "by": "a", "text": "Another item.", "type": "comment", "time": 1738231200},
    }

    def fetch(url: str) -> tuple[int, bytes]:
        if "search_by_date" in url:
            return 200, b'{"hits": [], "nbHits": 0}'
        return 200, json.dumps(items[urlsplit(url).path.rpartition("/")[2].removesuffix(".json")]).encode()

    spider = make("hackernews", recent=[(str(n), "99", NOW) for n in range(1, 7)])
    found = walk(spider, fetch)
    assert found[:2] == [Gone("s", "1"), Gone("s", "2")]
    assert [(post.native_id, post.text, post.thread_id) for post in found[2:] if isinstance(post, Post)] == [
        ("4", "In other words.", "99"), ("5", "R1 > o1?\n\nAsking.", "99"),
    ]  # fmt: skip
    assert dict(spider.rejections) == {"is another item than the one asked for": 1}


# ---- Discourse -------------------------------------------------------------------------------------------------------


@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 120)), min_size=1, max_size=4),
    rounds=st.lists(st.integers(0, 240), min_size=1, max_size=3).map(sorted),
    id_windows=st.booleans(),
)
@example(runs=[(True, 10), (False, 110), (True, 10)], rounds=[240], id_windows=True)
@settings(max_examples=15, deadline=None)
def test_every_public_discourse_post_is_read(runs: list[tuple[bool, int]], rounds: list[int], id_windows: bool) -> None:
    """In old and new Discourse, with long runs of ids that are not public, over several crawls: every post is read."""
    gaps = [public for public, length in runs for _ in range(length)]
    start = NOW - dt.timedelta(days=5)
    forum = DemoForum(
        [DemoPost("discourse", f"t{n % 5}", "T", "a", start + dt.timedelta(minutes=30 * n), f"P{n}.") for n in range(len(gaps))],
        id_windows=id_windows,
    )
    for post_id, public in zip(list(forum.posts()), gaps, strict=True):
        if not public:
            forum.delete(post_id)
    seen: set[str] = set()
    cursor: dict[str, Any] = {}
    with forum:
        for step in rounds:
            forum.now = start + dt.timedelta(minutes=30 * step)
            spider = make("discourse", {"url": forum.discourse_url}, cursor=cursor, now=forum.now)
            seen |= {post.native_id for post in walk(spider, over_http)}
            assert not spider.failures and not spider.rejections
            cursor = spider.next_cursor
            shown = {str(post["id"]) for topic in range(101, 106) for post in topic_posts(forum, topic)}
            assert shown <= seen


def topic_posts(forum: DemoForum, topic: int) -> Iterator[dict[str, Any]]:
    status, body = over_http(f"{forum.discourse_url}/t/{topic}.json")
    if status == 200:
        stream = json.loads(body)["post_stream"]["stream"]
        yield from ({"id": post_id} for post_id in stream)


def test_a_post_that_moved_is_not_deleted() -> None:
    """A post missing from its topic is looked up: found elsewhere it is kept with its new topic, not found it is gone."""
    page = {"latest_posts": []}
    moved = {
        "id": 5,
        "topic_id": 8,
        "topic_slug": "new",
        "post_number": 3,
        "cooked": "<p>Moved.</p>",
        "username": "a",
        "created_at": "2025-01-30T10:00:00Z",
    }
    answers: dict[str, tuple[int, object]] = {
        "/posts.json": (200, page), "/t/7.json": (200, {"title": "T", "post_stream": {"posts": [], "stream": [4]}}),
        "/t/7/posts.json": (200, {"post_stream": {"posts": [{**moved, "id": 4, "topic_id": 7}]}}),
        "/posts/5.json": (200, moved), "/posts/6.json": (404, {"errors": ["no"]}),
        "/t/9.json": (404, {"errors": ["no"]}), "/posts/10.json": (410, {}),
        "/t/11.json": (200, {"post_stream": {"posts": [], "stream": []}}),
    }  # fmt: skip

    def fetch(url: str) -> tuple[int, bytes]:
        status, value = answers[urlsplit(url).path]
        return status, json.dumps(value).encode()

    recent = [("4", "7", NOW), ("5", "7", NOW), ("6", "7", NOW), ("10", "9", NOW), ("12", "11", NOW)]
    spider = make("discourse", recent=recent)
    found = walk(spider, fetch)
    assert {post.native_id for post in found if isinstance(post, Gone)} == {"6", "10"}
    posts = [(post.native_id, post.thread_id, post.title) for post in found if isinstance(post, Post)]
    assert sorted(posts) == [("4", "7", "T"), ("5", "8", None)]  # a page of later posts does not tell the topic's title
    assert sum(spider.rejections.values()) == 1  # topic 11, whose list is empty: nothing is believed of it


def test_posts_that_were_imported_with_old_dates() -> None:
    """New ids with dates of years ago do not end a crawl: it goes back to the newest id that the last one knew."""
    cursor = {"url": "https://forum.example", "post_id": 10, "until": "2025-01-31T11:00:00Z"}
    new = [{**POST, "id": n, "created_at": f"20{n}-01-01T00:00:00Z"} for n in (23, 22, 21, 20)]
    pages = {"": new[:2], "before=22": new[2:], "before=20": [{**POST, "id": 9}]}

    def fetch(url: str) -> tuple[int, bytes]:
        return 200, json.dumps({"latest_posts": pages[urlsplit(url).query]}).encode()

    spider = make("discourse", cursor=cursor)
    assert [post.native_id for post in walk(spider, fetch)] == ["23", "22", "21", "20", "9"]
    assert spider.next_cursor == {"url": "https://forum.example", "post_id": 23, "until": "2025-01-31T12:00:00Z"}


def test_an_old_date_does_not_end_the_first_crawl() -> None:
    """Of posts that were moved the first gets a new id and keeps its old date: the newer ones below it are read all the same."""
    posts = [{**POST, "id": 90}, {**POST, "id": 80, "created_at": "2020-01-01T00:00:00Z"}, {**POST, "id": 70}]
    pages = {"": posts[:2], "before=80": posts[2:], "before=70": [{**POST, "id": 60, "created_at": "2020-01-01T00:00:00Z"}]}

    def fetch(url: str) -> tuple[int, bytes]:
        return 200, json.dumps({"latest_posts": pages[urlsplit(url).query]}).encode()

    assert [post.native_id for post in walk(make("discourse"), fetch)] == ["90", "80", "70", "60"]


def test_another_address_begins_anew() -> None:
    """A cursor of another forum's ids is not used when the source's address changes."""
    cursor = {"url": "https://old.example", "post_id": 10**6, "until": "2025-01-31T11:00:00Z"}
    spider = make("discourse", cursor=cursor)
    begin(spider)
    assert spider.known_id == 0 and spider.floor == NOW - dt.timedelta(days=7)


def test_a_list_of_one_may_be_written_without_brackets() -> None:
    """`urls: https://...` is a list of one; what is no list, or holds what is wrong, is told once and in plain words."""
    spider = reading.make(Feed, {"urls": "https://feeds.example/all"})
    assert spider.options.urls == ("https://feeds.example/all",)
    for urls, words in ((5, "urls is wrong: it should be a list"), ("feeds.example", "urls.0 is wrong: write an address that begins with")):
        with pytest.raises(CrawlError) as wrong:
            reading.make(Feed, {"urls": urls})
        assert str(wrong.value).startswith(f"sources.s.options.{words}") and "; " not in str(wrong.value)


# ---- feeds -----------------------------------------------------------------------------------------------------------


def test_what_is_no_feed_is_said() -> None:
    """HTML, other JSON and plain text where a feed was due are failures with a sentence, without the address's token."""
    for body, words in (
        (b"<!DOCTYPE html><title>Hello</title>", "gives HTML where a feed was due"),
        (b'{"a": 1}', "is no JSON Feed"),
        (b"Nothing here", "is not a feed"),
        (b"", "is not a feed"),
    ):
        spider = make("feed")
        request = begin(spider)[0]
        assert read(request, answer(request, body)) == []
        assert spider.failures == [
            ("failed", f"https://feeds.example/all {words}" + (": it holds no list `items`" if b"{" in body else ""))
        ]


def test_what_only_tells_its_last_change() -> None:
    """Where a feed gives `updated` alone, an edited post keeps the day on which it was written; without words it is gone."""
    entry = "<entry><id>urn:{0}</id><title>Comment #{0}</title><updated>{1}</updated><content>{2}</content></entry>"
    body = (
        entry.format(4, "", "Undated.")
        + entry.format(1, "2025-01-31T10:00:00Z", "Other words.")
        + entry.format(2, "2025-01-31T10:00:00Z", "")
        + entry.format(3, "2025-01-31T09:00:00Z", "New.")
    )
    written = dt.datetime(2025, 1, 30, 22, tzinfo=dt.UTC)
    spider = make("feed", recent=[("urn:1", "", written), ("urn:2", "", written), ("urn:4", "", written)])
    request = begin(spider)[0]
    undated, edited, gone, new = posts_of(
        read(request, answer(request, f'<feed xmlns="http://www.w3.org/2005/Atom">{body}</feed>'.encode()))
    )
    assert gone == Gone("s", "urn:2")
    assert isinstance(edited, Post) and isinstance(new, Post) and isinstance(undated, Post)
    assert (undated.date_origin, undated.edited_at) == ("fetched", None)  # so the store keeps what it knows
    assert (edited.posted_at, edited.edited_at) == (written, dt.datetime(2025, 1, 31, 10, tzinfo=dt.UTC))
    assert (new.posted_at, new.edited_at, new.date_origin) == (dt.datetime(2025, 1, 31, 9, tzinfo=dt.UTC), None, "site")


def test_only_an_empty_entry_is_gone() -> None:
    """An entry of only code, a quote or a picture, or an answer by mail without a body, is left out: its words may come yet."""
    entry = "<item><guid>urn:{}</guid><title>{}</title><description><![CDATA[{}]]></description></item>"
    entries = [
        ("Re: Morale", "<pre>raise SystemExit</pre>"),
        ("Re: Morale", "<blockquote><p>Morale is low.</p></blockquote>"),
        ("Re: Morale", "&gt; Morale is low.\n&gt; Is it?"),
        ("Comment #4", "<p><img src='/chart.png'></p>"),
        ("Re: Morale", ""),
        ("Comment #6", ""),
        ("Comment #7", "<!-- off --><div class='md'><p>&nbsp;<br/></p>\n</div>"),
        ("", ""),
    ]
    items = "".join(entry.format(n, *values) for n, values in enumerate(entries, 1))
    spider = make("feed")
    request = begin(spider)[0]
    found = read(request, answer(request, f'<rss version="2.0"><channel>{items}</channel></rss>'.encode()))
    assert found == [Gone("s", "urn:6"), Gone("s", "urn:7"), Gone("s", "urn:8")]
    assert spider.rejections == {"holds no words of its author's own": 5}


def test_only_an_empty_json_entry_is_gone() -> None:
    """The same of a JSON Feed, where a text that is empty hides no markup that is not."""
    items = [
        {"id": "urn:1", "content_text": "> Morale is low."},
        {"id": "urn:2", "content_html": "<pre>raise SystemExit</pre>"},
        {"id": "urn:3", "content_text": "", "content_html": "<p>Morale is fine.</p>"},
        {"id": "urn:4", "content_text": " "},
        {"id": "urn:5", "content_html": "<p></p>"},
    ]
    spider = make("feed")
    request = begin(spider)[0]
    post, *gone = posts_of(read(request, answer(request, json.dumps({"items": items}).encode())))
    assert isinstance(post, Post) and post.text == "Morale is fine."
    assert gone == [Gone("s", "urn:4"), Gone("s", "urn:5")]
    assert spider.rejections == {"holds no words of its author's own": 2}


def test_a_thread_is_not_named_by_its_words() -> None:
    """Mails of one subject share a thread, whose name does not tell the subject: it would outlive the words in backups and logs."""
    entry = "<item><guid>urn:{}</guid><title>{}</title><description>Words.</description></item>"
    items = entry.format(1, "Giraffe morale") + entry.format(2, "Re: giraffe Morale") + entry.format(3, "Zebra")
    spider = make("feed")
    request = begin(spider)[0]
    first, second, third = (
        post.thread_id
        for post in posts_of(read(request, answer(request, f'<rss version="2.0"><channel>{items}</channel></rss>'.encode())))
        if isinstance(post, Post)
    )
    assert first == second != third
    assert first and "giraffe" not in first


def test_not_modified_is_believed_for_a_day() -> None:
    """Some servers say "not modified" of a feed whose entries were edited: after a day it is read in whole all the same."""
    first = make("feed")
    request = begin(first)[0]
    read(request, answer(request, b'<rss version="2.0"><channel><title>T</title></channel></rss>', ETag='"1"'))
    for hours, asked in ((1, b'"1"'), (23, b'"1"'), (25, None)):
        later = make("feed", cursor=first.next_cursor, now=NOW + dt.timedelta(hours=hours))
        request = begin(later)[0]
        assert request.headers.get("If-None-Match") == asked
        read(request, answer(request, b"", 304))
        assert later.covered == (NOW, later.now)


@pytest.mark.parametrize(
    ("title", "body", "text", "thread"),
    [
        ("Software: OpenAI", "<p>Mine.</p>", "Software: OpenAI\n\nMine.", "Software: OpenAI"),
        ("[ai] Re: Morale", "<p>Mine.</p>", "Mine.", "[ai] Morale"),
        ("General • Re: Morale", "<p>Mine.</p><p>Statistics: Posted by <a href='/u'>Ann</a> — 30 Jan</p><hr />", "Mine.", "Morale"),
        ("General • Morale", "Mine — all<hr />", "Morale\n\nMine — all", "Morale"),
        ("Morale", "<div class='md'><p>Mine.</p></div> &#32; submitted by &#32; <a href='/user/ann'> /u/ann </a> <a href='/x'>[link]</a>",
         "Morale\n\nMine.", "Morale"),
        ("/u/ann on Morale", "<p>Mine.</p>", "Mine.", None),
        ("Morale", "submitted by <a href='https://l.example/u/ann'>ann</a> to <a href='https://l.example/c/ai'>ai</a><br>2 points | "
         "<a href='https://l.example/post/1'>3 comments</a><br><a href='https://n.example'>https://n.example</a><p>Mine.</p>",
         "Morale\n\nMine.", "Morale"),
        ("Morale", "<p>Mine.</p><p><small>5 posts - 3 participants</small></p>\n<p><a href='/t/1'>Read full topic</a></p>",
         "Morale\n\nMine.", "Morale"),
        ("Morale", "<p>Mine.</p><p>The post <a href='/p'>Morale</a> appeared first on <a href='/'>B</a>.</p>", "Morale\n\nMine.", "Morale"),
    ],
)  # fmt: skip
def test_what_software_writes_into_an_entry(title: str, body: str, text: str, thread: str | None) -> None:
    """Names, dates and counts that phpBB, Reddit, Lemmy, Discourse and WordPress put around the author's words are not theirs."""
    feed = f"""<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>urn:5</id><link href="https://f.example/viewtopic.php?p=5#p5"/>
      <title>{title}</title><category term="General" label="General"/><content type="html"><![CDATA[{body}]]></content></entry></feed>"""
    spider = make("feed")
    request = begin(spider)[0]
    (post,) = posts_of(read(request, answer(request, feed.encode())))
    assert (post.text, post.title) == (text, thread)
    assert "viewtopic" not in (post.thread_id or "")  # phpBB gives each post a page of its own: that is no thread


def test_an_empty_feed_is_fine() -> None:
    """No entries is an answer too."""
    spider = make("feed")
    request = begin(spider)[0]
    assert read(request, answer(request, b'<rss version="2.0"><channel><title>T</title></channel></rss>')) == []
    assert not spider.failures and spider.covered == (NOW, NOW)


def test_days_that_a_feed_does_not_reach_are_not_covered() -> None:
    """A feed whose oldest entry is younger than the last reading has a gap; one that reaches back covers all since then."""
    entry = "<item><guid>urn:{0}</guid><title>T</title><pubDate>{0} Jan 2025 00:00:00 GMT</pubDate></item>"

    def covered(*days: int) -> Any:
        first = make("feed")
        [request] = begin(first)
        key = request.cb_kwargs["key"]
        spider = make("feed", cursor={"urls": {key: {"until": "2025-01-20T00:00:00Z"}}})
        [request] = begin(spider)
        items = "".join(entry.format(day) for day in days)
        read(request, answer(request, f'<rss version="2.0"><channel>{items}</channel></rss>'.encode()))
        return spider.covered[0]

    assert covered(30, 25, 19) == dt.datetime(2025, 1, 20, tzinfo=dt.UTC)
    assert covered(30, 25) == dt.datetime(2025, 1, 25, tzinfo=dt.UTC)
    assert covered() == dt.datetime(2025, 1, 20, tzinfo=dt.UTC)


# ---- broken answers --------------------------------------------------------------------------------------------------

HIT = {"objectID": "1", "created_at_i": 1738231200, "author": "a", "comment_text": "The sound one.", "story_id": 2, "parent_id": 2}
ENTRY = {"id": "urn:sound", "url": "https://f.example/1", "content_html": "<p>The sound one.</p>", "date_published": "2025-01-30T10:00:00Z"}
POST = {"id": 1, "topic_id": 2, "post_number": 2, "cooked": "<p>The sound one.</p>", "username": "a", "created_at": "2025-01-30T10:00:00Z"}


@given(data=st.data(), kind=st.sampled_from(sorted(SPIDERS)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject, kind: str) -> None:
    """Whatever one item holds, nothing is raised, the sound item beside it comes, and all that comes can be stored."""
    name, sound = {"discourse": ("latest_posts", POST), "hackernews": ("hits", HIT), "feed": ("items", ENTRY)}[kind]
    page = {"discourse": "discourse/posts.json", "hackernews": "hackernews/search.json", "feed": "feed/blog.json"}[kind]
    items = json.loads((Path(__file__).parent / "pages" / page).read_text("utf-8"))[name]
    broken = data.draw(mutated(items))
    broken.insert(data.draw(st.integers(0, len(broken))), sound)
    spider = make(kind)
    request = begin(spider)[0]
    found = posts_of(read(request, answer(request, json.dumps({name: broken}).encode())))
    assert "The sound one." in [post.text for post in found if isinstance(post, Post)]
    for post in found:
        if isinstance(post, Post):
            assert post.text == clean(post.text) and post.posted_at.tzinfo is not None
            assert dt.datetime(1980, 1, 1, tzinfo=dt.UTC) <= post.posted_at <= NOW + dt.timedelta(days=1)
    fresh_store.save_posts(found)


@given(kind=st.sampled_from(sorted(SPIDERS)), body=st.one_of(JUNK.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200)))
@settings(max_examples=100, deadline=None)
def test_any_answer_ends_in_posts_or_a_sentence(kind: str, body: bytes) -> None:
    """An answer of any shape raises nothing; when nothing could be read, the crawl knows."""
    spider = make(kind)
    request = begin(spider)[0]
    assert posts_of(read(request, answer(request, body))) == []
    assert spider.failures


@given(
    cut=st.integers(0, 2000),
    at=st.integers(0, 2000),
    byte=st.integers(0, 255),
    page=st.sampled_from(["comments.atom", "list.rss", "cut.rss"]),
)
@settings(max_examples=80, deadline=None)
def test_a_feed_that_is_cut_or_garbled(cut: int, at: int, byte: int, page: str) -> None:
    """A feed cut anywhere, with a wrong byte anywhere, raises nothing, deletes nothing, and is sent again in whole next time."""
    body = bytearray((Path(__file__).parent / "pages" / "feed" / page).read_bytes())
    body[at % len(body)] = byte
    spider = make("feed")
    request = begin(spider)[0]
    found = posts_of(read(request, answer(request, bytes(body[: cut % (len(body) - 20)]), ETag='"1"')))
    assert len({post.native_id for post in found}) == len(found) and not any(isinstance(post, Gone) for post in found)
    assert all("etag" not in kept for kept in spider.next_cursor["urls"].values())


# ---- texts and dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One<br>two</p><p>three &amp; four</p>", "One\ntwo\n\nthree & four"),
        ('<aside class="quote no-group"><blockquote>Theirs</blockquote></aside><p>Mine</p>', "Mine"),
        ('<p>Before</p><aside class="onebox allowlistedgeneric">A preview</aside> after', "Before\n\nafter"),
        ("<blockquote>Outer <blockquote>inner</blockquote></blockquote>tail stays", "tail stays"),
        ('Good<img class="smilies" src="s" alt=":)"> work<img class="emoji" alt="🎉">队<img src="cat.png" alt="A cat">', "Good:) work🎉队"),
        ('Good <i class="tw tw-heart" title=":heart:"></i>', "Good :heart:"),
        ("Use <code>pip</code><pre>pip install x</pre>", "Use pip"),
        ("&gt; theirs\n\nmine\n&gt;theirs too\n>> and this", "mine"),
        (">50 % of us left >_<", ">50 % of us left >_<"),
        ("Le 3 janvier, Zoé a écrit :\n\n> oui\n\nNon.", "Non."),
        ("On Mon, 20 Jan 2025 at 15:45, Zoé\n<zoe@x.example> wrote:\n> so\n\nSee <https://x.example>.", "See <https://x.example>."),
        ("Yes.\nAnn wrote:\n> so", "Yes."),
        ("People wrote:\nnothing quoted here", "People wrote:\nnothing quoted here"),
        ("<script>alert(1)</script><style>p{}</style><!-- no -->Yes", "Yes"),
        ("a < b & c > d", "a < b & c > d"),
        ("團隊 <b>很好</b>，是嗎", "團隊 很好，是嗎"),
        ('See<a class="lightbox"><img alt="chart"><div class="meta"><span class="filename">chart</span><span>9 KB</span></div></a>', "See"),
        ('Mine<details class="elided"><summary>···</summary>On Monday Ann wrote: theirs</details>', "Mine"),
        ('<div class="poll"><ul><li>Stay</li></ul><div class="poll-info">0 voters</div></div>', "Stay"),
        ('Paid<img class="emoji" title=":tada:" alt="🎉"><img src="x.png" alt="photo">!', "Paid🎉!"),
        ('<img src="s.gif" class="smilies" alt=":-)" title="Smile"> so', ":-) so"),
        ("", ""),
        ("<blockquote>All quoted</blockquote>", ""),
    ],
)
def test_plain(markup: str, text: str) -> None:
    """Only the author's own words stay, with their line breaks."""
    assert plain(markup) == text


@given(st.text(alphabet=st.one_of(st.sampled_from("<>/&;pbq=\"'!-? \n\x00\ud800"), st.characters()), max_size=300))
@settings(max_examples=200, deadline=None)
def test_plain_of_anything(markup: str) -> None:
    """Any text whatever, as markup, becomes text without raising."""
    assert isinstance(plain(markup), str)


def test_plain_of_a_huge_post() -> None:
    """Ten megabytes, or thousands of nested tags, are read in bounded time."""
    assert len(plain("<p>word " * 1_500_000)) <= 1_000_000
    assert plain("<div>" * 20_000 + "deep") in ("deep", "")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2013-02-04T15:26:25.977-05:00", dt.datetime(2013, 2, 4, 20, 26, 25, 977000, tzinfo=dt.UTC)),
        ("2025-01-30T10:00:00", dt.datetime(2025, 1, 30, 10, tzinfo=dt.UTC)),
        (1738231200, dt.datetime(2025, 1, 30, 10, tzinfo=dt.UTC)),
        (1738231200.5, dt.datetime(2025, 1, 30, 10, 0, 0, 500000, tzinfo=dt.UTC)),
        ("2025-02-01T11:59:00Z", dt.datetime(2025, 2, 1, 11, 59, tzinfo=dt.UTC)),  # clocks differ by less than a day
        ("2025-02-01T12:01:00Z", None),
        (0, None), (True, None), (None, None), ("Invalid Date", None), ("", None), (float("nan"), None), (float("inf"), None),
        (1e300, None), (-(10**30), None), ("0001-01-01T00:00:00+14:00", None), ([2025], None),
    ],
)  # fmt: skip
def test_dates(value: object, moment: dt.datetime | None) -> None:
    """A usable date comes out in UTC; a missing, impossible or future one is none, and is never made up."""
    assert make("feed").date(value) == moment
    assert make("feed").post(native_id=1, url="https://x.example", text="t", posted_at=value).date_origin == (
        "site" if moment else "fetched"
    )
