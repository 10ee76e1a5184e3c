"""The spider `semantic`: posts that pages describe in JSON-LD or microdata, and what becomes of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from answers import Answer, Site, crawl
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import NOW, as_rows, make, walk

from monitor.errors import CrawlError
from monitor.records import Gone, Post
from monitor.store import Store
from spiders.markup import read_markup
from spiders.pages import readers
from spiders.semantic import Semantic

URL = "https://talk.example"
MOMENT = readers(NOW, "UTC", None)[0]
POST: dict[str, Any] = {
    "@context": "https://schema.org", "@type": "DiscussionForumPosting", "@id": f"{URL}/t/1", "headline": "Pay &amp; rations",
    "text": "We &lt;3 it. <blockquote>not mine</blockquote><b>Deep</b>Seek <pre>code</pre>", "author": {"@type": "Person", "name": "Ann"},
    "datePublished": "2025-01-30T10:00:00+01:00", "dateModified": "2025-01-30T12:00:00Z",
    "sharedContent": {"@type": "SocialMediaPosting", "@id": "https://elsewhere.example/9", "text": "theirs"},
    "comment": [
        {"@type": "Comment", "url": f"{URL}/t/1#c2", "text": "So low", "author": "Bob", "dateCreated": "2025-01-30T11:00:00Z",
         "comment": {"@type": ["Comment"], "identifier": {"@type": "PropertyValue", "value": 5}, "text": "Lower",
                     "author": [{"name": "Guest"}]}},
        {"@type": "Comment", "@id": "#c3", "creativeWorkStatus": "Deleted"},
    ],
}  # fmt: skip


def block(*items: object) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(item)}</script>' for item in items)


def rows(page: str, url: str = f"{URL}/t/1") -> tuple[list[dict[str, Any]], list[str], list[str]]:
    read = read_markup(page, url, MOMENT)
    return [{name: value for name, value in fields.items() if value is not None} for fields in read.posts], read.deleted, read.left_out


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_every_field_of_json_ld() -> None:
    """A post and its nested comments: words of their own, authors, times in UTC, what answers what; shared posts are others'."""
    for page in (block(POST), block({"@graph": [{"@type": "WebPage", "mainEntity": POST}]}), block([POST])):
        assert rows(page) == (
            [
                {"native_id": f"{URL}/t/1", "url": f"{URL}/t/1", "thread_id": f"{URL}/t/1", "title": "Pay & rations", "author": "Ann",
                 "text": "Pay & rations\n\nWe <3 it. DeepSeek", "posted_at": utc("2025-01-30T09:00"), "edited_at": utc("2025-01-30T12:00")},
                {"native_id": f"{URL}/t/1#c2", "url": f"{URL}/t/1#c2", "thread_id": f"{URL}/t/1", "title": "Pay & rations", "author": "Bob",
                 "text": "So low", "posted_at": utc("2025-01-30T11:00"), "parent_id": f"{URL}/t/1"},
                {"native_id": f"{URL}/t/1#5", "url": f"{URL}/t/1", "thread_id": f"{URL}/t/1", "title": "Pay & rations", "text": "Lower",
                 "parent_id": f"{URL}/t/1#c2"},
            ],
            [f"{URL}/t/1#c3"],
            [],
        )  # fmt: skip


def test_broken_blocks_cost_only_themselves() -> None:
    """A block that is no JSON is counted; comments, CDATA marks and raw line breaks in a block are borne."""
    lenient = '// <![CDATA[\n{"@type":"Comment","@id":"#c9","text":"two\nlines", /* note */ "author":"Ann"}\n// ]]>'
    page = f'<script type="application/ld+json">{{broken, </script>{block(POST)}<script type="application/ld+json">{lenient}</script>'
    found, _, left_out = rows(page)
    assert [post["native_id"] for post in found] == [f"{URL}/t/1", f"{URL}/t/1#c2", f"{URL}/t/1#5", f"{URL}/t/1#c9"]
    assert found[-1]["text"] == "two\nlines" and left_out == ["is JSON-LD that is malformed"]


def test_microdata() -> None:
    """Microdata gives the same; its quotations and code are dropped, and what looks like a tag in it is words."""
    page = """<div itemscope itemtype="http://schema.org/DiscussionForumPosting" itemid="https://talk.example/t/2">
      <h1 itemprop="headline">Pay &lt;b&gt;</h1>
      <span itemprop="author" itemscope itemtype="https://schema.org/Person"><b itemprop="name">Ann</b></span>
      <time itemprop="datePublished" datetime="2025-01-30T10:00:00Z">yesterday</time>
      <blockquote itemprop="articleBody"><blockquote>others</blockquote><p>My <b>Deep</b>Seek.</p><pre>code</pre></blockquote>
      <div itemprop="comment" itemscope itemtype="http://schema.org/Comment"><a itemprop="url" href="/t/2#c1">#</a>
        <div itemprop="text"><aside class="quote no-group"><div class="title">Ann:</div><blockquote>My</blockquote></aside>
        Yes 1 &lt; 2</div><meta itemprop="dateCreated" content="2025-01-30 12:00"></div></div>"""
    found, _, left_out = rows(page, f"{URL}/t/2")
    assert [(post["native_id"], post["text"], post.get("author"), post["posted_at"], post.get("parent_id")) for post in found] == [
        (f"{URL}/t/2", "Pay <b>\n\nMy DeepSeek.", "Ann", utc("2025-01-30T10:00"), None),
        (f"{URL}/t/2#c1", "Yes 1 < 2", None, utc("2025-01-30T12:00"), f"{URL}/t/2"),
    ]
    assert not left_out


def test_posts_that_share_an_address_are_told_apart() -> None:
    """Comments that bear their page's address, or none, are still different posts, and the same ones at the next reading."""
    page = block({**POST, "comment": [
        {"@type": "Comment", "url": f"{URL}/t/1", "text": text, "dateCreated": date}
        for text, date in (("a", "2025-01-30"), ("b", "2025-01-29"), ("c", "2025-01-29"), ("d", None))
    ]})  # fmt: skip
    ids = [post["native_id"] for post in rows(page)[0]]
    assert len(set(ids)) == 5 and ids == [post["native_id"] for post in rows(page + page)[0]]


def test_a_later_page_only_names_the_post_that_opens_its_thread() -> None:
    """As Google asks for it, and Discourse does it: its words stand on the first page, and a later one does not take them away."""
    opening = {name: value for name, value in POST.items() if name not in ("text", "comment")}
    comment = {"@type": "Comment", "text": "Late", "dateCreated": "2025-01-30T15:00:00Z"}
    (late,) = rows(block({**opening, "comment": comment}), f"{URL}/t/1?page=2")[0]
    assert (late["text"], late["thread_id"], late["parent_id"], late["title"]) == ("Late", f"{URL}/t/1", f"{URL}/t/1", "Pay & rations")
    (picture,) = rows(block(opening).replace("ld+json", "ld+json; charset=utf-8"))[0]
    assert picture["text"] == "Pay & rations"


# ---- crawls ----------------------------------------------------------------------------------------------------------


def fetching(pages: Mapping[str, Any], asked: list[str]) -> Any:
    def fetch(url: str) -> tuple[int, bytes]:
        asked.append(url.removeprefix(URL))
        found = pages.get(url.removeprefix(URL), 404)
        return (found, b"") if isinstance(found, int) else (200, found.encode())

    return fetch


def test_links_are_followed_and_threads_paged() -> None:
    """What `follow` selects on a list is read, each page once, and each thread to its last page; other sites are left alone."""
    asked: list[str] = []
    hrefs = ("/t/1?sid=77", "/t/2", "https://else.example/t/3")
    links = "".join(f'<a class="t" href="{href}">x</a>' for href in hrefs) + '<a href="/about">x</a>'
    second = {"@type": "Comment", "@id": f"{URL}/t/1#c9", "text": "On page two"}
    pages = {
        "/": links,
        "/t/1": block(POST) + '<a rel="next" href="/t/1?page=2">next</a>',
        "/t/1?page=2": block(second) + '<a rel="next" href="/t/1?page=2">next</a>',
        "/t/2": block({**POST, "@id": f"{URL}/t/2", "comment": [], "datePublished": "2024-01-01"}),
    }
    spider = make(Semantic, {"urls": [f"{URL}/"], "follow": "a.t"})
    found = [post for post in walk(spider, fetching(pages, asked)) if isinstance(post, Post)]
    assert sorted(asked) == ["/", "/t/1", "/t/1?page=2", "/t/2"]
    assert {post.native_id for post in found} == {f"{URL}/t/1", f"{URL}/t/1#c2", f"{URL}/t/1#5", f"{URL}/t/1#c9"}
    assert {post.thread_id for post in found} == {f"{URL}/t/1"}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW) and spider.next_cursor["urls"] == [f"{URL}/"]


def test_replies_through_a_profile() -> None:
    """Where the markup has the first post only, a profile finds the answers, and the first post is not doubled."""
    asked: list[str] = []
    opener = {**POST, "comment": []}
    replies = '<h1>Pay &amp; rations</h1><p id="c7"><i>Bob</i><time datetime="2025-01-30T11:00:00Z"></time><span>Low indeed</span></p>'
    first = '<p id="c6"><i>Ann</i><time datetime="2025-01-30T09:00:00Z"></time><span>We &lt;3 it. DeepSeek</span></p>'
    mine = {
        "threads": {"threads": {"row": "li", "link": "a::attr(href)"}},
        "posts": {
            "post": "p", "id": "::attr(id)", "body": "span", "author": "i", "time": "time::attr(datetime)", "title": "h1",
            "thread": r"/t/(\d+)",
        },
    }  # fmt: skip
    for body, ids in ((replies, [f"{URL}/t/1", "7"]), (f"{first}{replies}", ["6", "7"])):
        spider = make(Semantic, {"urls": [f"{URL}/t/1"], "profile": mine})
        found = walk(spider, fetching({"/t/1": block(opener) + body}, asked))
        assert [row["native_id"] for row in as_rows(found)] == ids


def test_what_is_gone() -> None:
    """A thread that is gone, or that no longer shows a post, loses it; one that is closed keeps all."""
    thread = f"{URL}/t/1"
    recent = [(f"{thread}#c2", thread, NOW), (f"{thread}#c8", thread, NOW), (thread, thread, NOW)]
    for answer, gone in ((404, [f"{thread}#c2", f"{thread}#c8", thread]), (403, []), (block(POST), [f"{thread}#c3", f"{thread}#c8"])):
        spider = make(Semantic, {"urls": [f"{URL}/t/5"]}, recent=recent)
        found = walk(spider, fetching({"/t/5": block({**POST, "@id": f"{URL}/t/5", "comment": []}), "/t/1": answer}, []))
        assert sorted(item.native_id for item in found if isinstance(item, Gone)) == sorted(gone)
        assert spider.covered


def test_what_describes_nothing_is_said() -> None:
    """Pages without markup of posts, a list without links and a wrong selector end in sentences."""
    spider = make(Semantic, {"urls": [f"{URL}/t/1"]})
    walk(spider, fetching({"/t/1": "<p>words</p>"}, []))
    assert "describes no posts" in spider.failures[0][1] and not spider.covered
    spider = make(Semantic, {"urls": [f"{URL}/"], "follow": "a.t"})
    walk(spider, fetching({"/": "<a href='/x'>x</a>"}, []))
    assert "no links that `follow` selects" in spider.failures[0][1]
    with pytest.raises(CrawlError, match=r"options\.follow is wrong: is no CSS selector"):
        make(Semantic, {"urls": [URL], "follow": "a["})


KEYS = st.sampled_from(["@type", "@id", "text", "name", "url", "x"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_shape_of_any_field(data: st.DataObject) -> None:
    """A field that is missing, null, nested or of another type costs at most that item: the sound comment is always read."""
    values = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
                          lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
                          max_leaves=6)  # fmt: skip
    item = {**POST, "comment": []}
    for name in data.draw(st.lists(st.sampled_from(sorted(item)), max_size=4)):
        if data.draw(st.booleans()):
            item.pop(name, None)
        else:
            item[name] = data.draw(values)
    sound = {"@type": "Comment", "@id": f"{URL}/t/1#sound", "text": "Sound", "datePublished": "2025-01-30T10:00:00Z"}
    spider = make(Semantic, {"urls": [f"{URL}/t/1"]})
    found = walk(spider, fetching({"/t/1": block(item, sound)}, []))
    assert "Sound" in [post.text for post in found if isinstance(post, Post)]
    assert not spider.crashed


def test_a_whole_crawl(tmp_path: Path) -> None:
    """A crawl in a process of its own asks robots.txt first, then the page, and stores what that describes."""
    with Site(
        {"/robots.txt": Answer("User-agent: *\nDisallow: /private"), "/t/1": Answer(block(POST), headers={"Content-Type": "text/html"})}
    ) as site:
        result = crawl(tmp_path, "semantic", {"urls": [f"{site.url}/t/1"]})
        assert (result["finish_reason"], result["counts"]["new"]) == ("finished", 3), result
        assert site.paths == ["/robots.txt", "/.well-known/tdmrep.json", "/t/1"]
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        assert [tuple(row) for row in store.rows("SELECT text FROM posts ORDER BY native_id LIMIT 1")] == [("Lower",)]
