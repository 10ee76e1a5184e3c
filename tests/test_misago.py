"""Misago is read from its pages for readers: nothing lost, nothing twice, and what was edited or deleted is noticed."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, answer, as_rows, begin, posts_of, read, walk

from monitor.records import Gone, Post
from monitor.store import Store
from spiders.misago import Misago

OPTIONS = {"url": "https://forum.example/"}
HOUR = dt.timedelta(hours=1)


def make(**given: Any) -> Any:
    return reading.make(Misago, OPTIONS, **given)


def html(carried: object) -> bytes:
    """A page as Misago writes it: the words for readers without scripts, and JSON in which "<" is escaped."""
    dumped = json.dumps(carried).replace("<", "\\u003c")
    return (
        f'<!DOCTYPE html>\n<html><body><li class="post"><article class="misago-markup">…</article></li>\n'
        f'<script type="text/javascript">\n  misago.init({dumped});\n</script></body></html>'
    ).encode()


class Forum:
    """What a Misago answers: a list by the last post in steps, threads whose pages repeat a post, and 404 for what is not there."""

    def __init__(self, *, per_page: int = 18, threads_at: str = "/") -> None:
        self.per_page, self.threads_at = per_page, threads_at
        self.posts: list[dict[str, Any]] = []
        self.written = 0
        self.pinned: set[int] = set()
        self.asked: list[str] = []

    def write(self, thread: int, when: dt.datetime, text: str = "", **fields: Any) -> str:
        number = self.written = self.written + 1
        post = {
            "id": number, "thread": thread, "poster": {"username": "ann", "signature": {"html": "<p>Ann's</p>"}}, "poster_name": "ann",
            "content": f"<p>{text or f'Words {number}.'}</p>", "posted_on": when.isoformat(), "updated_on": when.isoformat(), "edits": 0,
            "is_hidden": False, "is_unapproved": False, "is_event": False,
            "url": {"index": f"/t/slug-{thread}/{thread}/post/{number}/"}, "api": {"index": f"/api/threads/{thread}/posts/{number}/"},
        }  # fmt: skip
        self.posts.append({**post, **fields})
        return str(number)

    def remove(self, number: str) -> None:
        self.posts = [post for post in self.posts if str(post["id"]) != number]

    def row(self, thread: int) -> dict[str, Any]:
        posts = [post for post in self.posts if post["thread"] == thread]
        return {
            "id": thread, "title": f"About {thread} & more", "last_post_on": posts[-1]["posted_on"], "last_post": posts[-1]["id"],
            "weight": 2 if thread in self.pinned else 0, "is_hidden": False, "is_unapproved": False,
            "url": {"index": f"/t/slug-{thread}/{thread}/"},
        }  # fmt: skip

    def fetch(self, url: str) -> tuple[int, bytes]:
        self.asked.append(url)
        parts = urlsplit(url)
        if parts.path == self.threads_at:
            return self.listing(int(parse_qs(parts.query).get("start", ["0"])[0]))
        if parts.path == "/":
            return 200, html({"CATEGORIES": []})
        found = re.fullmatch(r"/t/[-\w]+/(\d+)/(?:(\d+)/|post/(\d+)/)?", parts.path)
        posts = [post for post in self.posts if found and post["thread"] == int(found[1])]
        if not found or not posts or (found[3] and found[3] not in [str(post["id"]) for post in posts]):
            return 404, b"<!DOCTYPE html><title>Not found</title>"
        step = self.per_page - 1  # a page ends with the post that the next one begins with
        pages = max(1, -(-(len(posts) - 1) // step))
        page = int(found[2] or 1)
        if found[3]:  # real Misago redirects to the page that shows it
            index = [str(post["id"]) for post in posts].index(found[3])
            page = min(pages, index // step + 1)
        if page > pages:
            return 404, b"<!DOCTYPE html><title>Not found</title>"
        shown = posts[(page - 1) * step : page * step + 1]
        return 200, html({"THREAD": self.row(int(found[1])), "POSTS": {"results": shown, "page": page, "pages": pages}})

    def listing(self, start: int) -> tuple[int, bytes]:
        rows = sorted(map(self.row, {post["thread"] for post in self.posts}), key=lambda row: -row["last_post"])
        pinned = [row for row in rows if row["weight"] and not start]
        rows = [row for row in rows if not row["weight"] and (not start or row["last_post"] <= start)]
        if start and not rows:
            return 404, b""
        following = rows[self.per_page]["last_post"] if len(rows) > self.per_page else None
        return 200, html({"THREADS": {"results": [*pinned, *rows[: self.per_page]], "subcategories": [], "next": following}})


def test_every_field_of_a_thread() -> None:
    """Title, words without quotes, their headings and code, spoilers kept; author, edit; hidden posts gone, events none."""
    quote = (
        '<aside class="quote-block"><div class="quote-heading" data-noquote="1">Ann has written:</div>'
        '<blockquote class="quote-body" data-block="quote" data-author="Ann"><p>Theirs.</p></blockquote></aside>'
        '<aside class="spoiler-block"><blockquote class="spoiler-body" data-block="spoiler"><p>My secret.</p></blockquote>'
        '<div class="spoiler-overlay" data-noquote="1"><button>Reveal</button></div></aside><p>Mine.</p>'
    )
    forum = Forum()
    early = NOW - 2 * HOUR
    forum.write(7, early, "Words &lt;b&gt; <code>x</code>.")
    forum.write(7, early, content=quote, poster=None, poster_name="Gone", edits=2, updated_on=NOW.isoformat())
    forum.write(7, early, is_event=True, content=None, event_type="closed")
    forum.write(7, early, is_hidden=True, content=None)
    forum.write(7, early, content=None)
    forum.write(7, early, posted_on=None, url=None)
    forum.write(7, early, is_unapproved=True)
    spider = make()
    common = {"thread_id": "7", "title": "About 7 & more", "date_origin": "site", "posted_at": early.isoformat()}
    assert as_rows(walk(spider, forum.fetch)) == [
        {**common, "native_id": "1", "url": "https://forum.example/t/slug-7/7/post/1/", "text": "About 7 & more\n\nWords <b> x.",
         "author_key": "key of ann"},
        {**common, "native_id": "2", "url": "https://forum.example/t/slug-7/7/post/2/", "text": "My secret.\n\nMine.",
         "edited_at": NOW.isoformat(), "author_key": "key of Gone"},
        {"native_id": "4"},
        {**common, "native_id": "6", "url": "https://forum.example/t/slug-7/7/post/6/", "text": "Words 6.", "posted_at": NOW.isoformat(),
         "date_origin": "fetched", "author_key": "key of ann"},
    ]  # fmt: skip
    assert dict(spider.rejections) == {"has no text": 1}
    assert not [url for url in forum.asked if "/api/" in url]
    assert spider.next_cursor == {"url": "https://forum.example", "until": "2025-01-31T12:00:00Z"}


@given(
    ages=st.lists(st.tuples(st.integers(1, 5), st.floats(0.1, 300)), max_size=60),
    late=st.lists(st.tuples(st.integers(1, 7), st.floats(0.1, 5.9)), max_size=20),
    per_page=st.integers(2, 7),
    pinned=st.sets(st.integers(1, 5)),
    on_index=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_no_post_is_lost_or_read_twice(
    ages: list[tuple[int, float]], late: list[tuple[int, float]], per_page: int, pinned: set[int], on_index: bool
) -> None:
    """Whatever the pages and the pinned threads: the first crawl reads seven days, the second what came since, each post once."""
    forum = Forum(per_page=per_page, threads_at="/" if on_index else "/threads/")
    forum.pinned = pinned
    for thread, hours in sorted(ages, key=lambda age: -age[1]):
        forum.write(thread, NOW - 6 * HOUR - hours * HOUR)
    first = make(now=NOW - 6 * HOUR)
    found = walk(first, forum.fetch)
    week = NOW - 6 * HOUR - dt.timedelta(days=7)
    assert sorted(post.native_id for post in found) == sorted(
        str(post["id"]) for post in forum.posts if dt.datetime.fromisoformat(post["posted_on"]) >= week
    )
    new = [forum.write(thread, NOW - hours * HOUR) for thread, hours in sorted(late, key=lambda age: -age[1])]
    second = make(cursor=first.next_cursor, overlap=0.0)
    ids = [post.native_id for post in walk(second, forum.fetch)]
    assert set(ids) >= set(new) and len(ids) == len(set(ids)) and not first.failures and not second.failures
    assert second.covered == (NOW - 6 * HOUR, NOW)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_edits_and_deletions_are_noticed(data: st.DataObject) -> None:
    """Of stored posts, edited ones come anew, hidden and deleted ones are gone, whole threads too; what was moved stays, as the rest."""
    forum = Forum(per_page=data.draw(st.integers(2, 6)))
    ids = [forum.write(1 + n % 3, NOW - (60 - n) * HOUR) for n in range(data.draw(st.integers(1, 40)))]
    recent = [(native_id, str(1 + (int(native_id) - 1) % 3), NOW - (61 - int(native_id)) * HOUR) for native_id in reversed(ids)]
    fates = {native_id: data.draw(st.sampled_from(["stays", "edited", "moved", "hidden", "unapproved", "deleted"])) for native_id in ids}
    if data.draw(st.booleans()):
        fates.update({native_id: "deleted" for native_id, thread, _ in recent if thread == "2"})
    for post in forum.posts:
        fate = fates[str(post["id"])]
        if fate == "edited":
            post.update(content="<p>Other words.</p>", edits=1, updated_on=(NOW - HOUR).isoformat())
        elif fate in ("hidden", "unapproved"):
            post.update({f"is_{fate}": True, "content": None})
        elif fate == "moved":  # to a thread split off, which the list shows by its posts' old times
            post["thread"] = 9
    for native_id, fate in fates.items():
        if fate == "deleted":
            forum.remove(native_id)
    spider = make(cursor={"url": "https://forum.example", "until": "2025-01-31T11:00:00Z"}, overlap=0.0, recent=recent)
    found = {item.native_id: item for item in walk(spider, forum.fetch)}
    for native_id, fate in fates.items():
        item = found.get(native_id)
        assert isinstance(item, Post if fate in ("stays", "edited", "moved") else Gone), fate
        if isinstance(item, Post) and fate == "moved":
            assert item.thread_id == "9"
        if isinstance(item, Post) and fate == "edited":
            assert item.text.endswith("Other words.") and item.edited_at == NOW - HOUR
    assert not spider.failures and not spider.rejections


def test_what_waited_for_a_moderator_is_read() -> None:
    """A thread that is approved a day after it was written is listed by the approval's time, and its posts are taken all the same."""
    forum = Forum()
    written = [forum.write(1, NOW - 30 * HOUR), forum.write(1, NOW - 29 * HOUR)]
    forum.write(1, NOW - HOUR, is_event=True, content=None)
    spider = make(cursor={"url": "https://forum.example", "until": "2025-01-31T10:00:00Z"}, overlap=0.0)
    assert [post.native_id for post in walk(spider, forum.fetch)] == written


def test_old_numbered_lists() -> None:
    """Before Misago 0.20 the list of threads had numbered pages."""
    spider = make()
    [request] = begin(spider)
    threads = {"results": [{"id": 1, "last_post_on": NOW.isoformat()}], "page": 1, "pages": 3, "next": 2}
    first, second = read(request, answer(request, html({"THREADS": threads})))
    assert (first.url, second.url) == ("https://forum.example/t/-/1/", "https://forum.example/?page=2")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>Hello", "carries no `misago.init({...})`: is this the address of a Misago forum, version 0.39 or older?"),
        (b"misago.init({broken", "carries no `misago.init({...})`"),
        (html([]), "carries no `misago.init({...})`"),
        (html({"THREADS": {"results": [{}, 1]}}), "holds no thread with an id"),
    ],
)
def test_what_is_no_misago_is_said(body: bytes, words: str) -> None:
    """An answer of another shape ends the crawl with a sentence, and nothing is claimed."""
    spider = make()
    [request] = begin(spider)
    assert read(request, answer(request, body)) == []
    assert words in spider.summary() and spider.covered is None and not spider.next_cursor


def test_servers_that_do_not_page_are_left() -> None:
    """A list that leads to itself ends in a sentence instead of a loop."""
    spider = make()
    results = [{"id": 1, "last_post_on": NOW.isoformat()}]

    def fetch(url: str) -> tuple[int, bytes]:
        return (404, b"") if "/t/" in url else (200, html({"THREADS": {"results": results, "next": 5}}))

    assert walk(spider, fetch) == []
    assert "lists the same threads again" in spider.summary() and spider.covered is None


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject) -> None:
    """Whatever a thread of the list or a post holds, nothing is raised, and the sound one beside it comes and can be stored."""
    forum = Forum()
    for number in range(1, 5):
        forum.write(number, NOW - HOUR, "The sound one.")
    threads = data.draw(mutated([forum.row(number) for number in range(2, 5)]))
    posts = data.draw(mutated(forum.posts[1:]))
    outer = {key: data.draw(JUNK) for key in data.draw(st.sets(st.sampled_from(["title", "url", "is_hidden"])))}
    outer.pop("is_hidden", None)
    paging = {key: data.draw(JUNK) for key in data.draw(st.sets(st.sampled_from(["page", "pages"])))}

    def fetch(url: str) -> tuple[int, bytes]:
        if url == "https://forum.example/":
            return 200, html({"THREADS": {"results": [*threads, forum.row(1)], "next": data.draw(JUNK)}})
        if url == "https://forum.example/t/slug-1/1/":
            return 200, html({"THREAD": {**forum.row(1), **outer}, "POSTS": {"results": [forum.posts[0], *posts], **paging}})
        return 404, b""

    found = walk(make(), fetch)
    assert any(isinstance(post, Post) and post.native_id == "1" and "The sound one." in post.text for post in found)
    fresh_store.save_posts(found)


@given(body=st.one_of(JUNK.map(html), JUNK.map(lambda value: html({"THREADS": value, "POSTS": value})), st.binary(max_size=100)))
@settings(max_examples=100, deadline=None)
def test_any_answer_ends_in_a_sentence(body: bytes) -> None:
    """A page of any shape raises nothing, and is counted, be it a list or a thread."""
    spider = make()
    [request] = begin(spider)
    made = read(request, answer(request, body))
    for following in made:
        made = read(following, answer(following, body))
    assert posts_of(made) == [] and spider.failures
    spider = make()
    begin(spider)
    request = spider.ask(spider.post_url("1", "5"), spider.read_missing, essential=False, native_id="5")
    assert read(request, answer(request, body)) == [] and spider.rejections


def test_a_whole_crawl(tmp_path: Path) -> None:
    """Two crawls over HTTP by Misago's own robots.txt: once, then what changed; a wrong slug leads to the right one."""
    forum = Forum(per_page=3)
    for n in range(5):
        forum.write(1, NOW - (40 - n) * HOUR)
    forum.write(2, NOW - 20 * HOUR, "Nobody tells us anything.", poster={"username": "secretive"})

    def page(path: str) -> Answer:
        if found := re.fullmatch(r"/t/-/(\d+)/(.*)", path):
            return Answer("", 301, {"Location": f"/t/slug-{found[1]}/{found[1]}/{found[2]}"})
        status, body = forum.fetch(path)
        return Answer(body, status, {"Content-Type": "text/html"})

    robots = Answer("User-agent: *\nDisallow: /api/\nDisallow: /p/\nDisallow: /search/\nDisallow: /u/")
    threads = [f"/t/{slug}/{n}/{rest}" for n in (1, 2) for slug in ("-", f"slug-{n}") for rest in ("", "2/", "post/3/")]
    with Site({"/robots.txt": robots, **dict.fromkeys(["/", *threads], page)}) as site:
        result = crawl(tmp_path, "misago", {"url": site.url})
        assert (result["finish_reason"], result["counts"]["new"], result["rejected"]) == ("finished", 6, 0), result
        asked = [path for path in site.paths if not path.startswith(("/robots", "/.well"))]
        assert asked == ["/", "/t/slug-1/1/", "/t/slug-2/2/", "/t/slug-1/1/2/"]
        forum.posts[1]["content"] = "<p>Other words.</p>"
        forum.remove("3")
        forum.write(2, NOW + HOUR / 2)
        counts = crawl(tmp_path, "misago", {"url": site.url}, now="2025-01-31T13:00:00Z")["counts"]
        assert (counts["new"], counts["changed"], counts["deleted"]) == (1, 1, 1)
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = {row[0]: row[1] for row in store.rows("SELECT native_id, text FROM posts")}
    assert texts["2"] == "Other words." and texts["3"] == "" and texts["7"] == "Words 7."
    assert all(b"secretive" not in file.read_bytes() for file in tmp_path.glob("monitor.db*"))
