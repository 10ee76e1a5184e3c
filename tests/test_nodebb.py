"""NodeBB is read whole, page by page: nothing lost, nothing twice, and what was edited or deleted is noticed."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, answer, as_rows, begin, posts_of, read, walk

from monitor.records import Gone, Post
from monitor.store import Store
from spiders.nodebb import NodeBB

OPTIONS = {"url": "https://bb.example/forum/"}
HOUR = dt.timedelta(hours=1)


def make(options: Mapping[str, Any] = OPTIONS, **given: Any) -> Any:
    return reading.make(NodeBB, options, **given)


def milliseconds(when: dt.datetime) -> int:
    return int(when.timestamp() * 1000)


class Forum:
    """What a NodeBB answers. `posts` are in the order of writing; times are numbers, or digits as some versions give them."""

    def __init__(self, *, per_page: int = 20, digits: bool = False, most: int = 200) -> None:
        self.per_page, self.digits, self.most = per_page, digits, most
        self.posts: list[dict[str, Any]] = []
        self.written = 0
        self.pinned: set[int] = set()
        self.closed: dict[int, int] = {}
        self.private: set[int] = set()
        self.deleted: set[int] = set()
        self.asked: list[str] = []

    def write(self, tid: int, when: dt.datetime, text: str = "", **fields: Any) -> str:
        pid = self.written = self.written + 1
        time = milliseconds(when)
        post = {
            "pid": pid, "tid": tid, "uid": 3, "user": {"username": "ann", "signature": "Ann's"}, "deleted": 0, "edited": 0,
            "content": f"<p>{text or f'Words {pid}.'}</p>", "timestamp": str(time) if self.digits else time, **fields,
        }  # fmt: skip
        self.posts.append(post)
        return str(pid)

    def purge(self, pid: str) -> None:
        self.posts = [post for post in self.posts if str(post["pid"]) != pid]

    def topic(self, tid: int) -> list[dict[str, Any]]:
        return [post for post in self.posts if post["tid"] == tid]

    def listing(self, page: int, *, cut: int) -> dict[str, Any]:
        newest = {
            post["tid"]: int(post["timestamp"]) for post in self.posts if post["tid"] in self.deleted or post["tid"] not in self.closed
        }
        order = sorted(newest, key=lambda tid: (cut == 0 and tid in self.pinned, newest[tid]), reverse=True)[: cut or None]
        shown = order[(page - 1) * self.per_page : page * self.per_page]
        topics = [
            {"tid": tid, "lastposttime": newest[tid], "pinned": int(tid in self.pinned), "deleted": int(tid in self.deleted)}
            for tid in shown
        ]
        return {"topics": topics, "pagination": {"pageCount": -(-len(order) // self.per_page) or 1}}

    def fetch(self, url: str) -> tuple[int, bytes]:
        self.asked.append(url)
        parts = urlsplit(url)
        page = int(parse_qs(parts.query).get("page", ["1"])[0])
        if parts.path.endswith("/api/recent"):
            return 200, json.dumps(self.listing(page, cut=self.most)).encode()
        if re.search(r"/api/category/1$", parts.path):
            return 200, json.dumps(self.listing(page, cut=0)).encode()
        if found := re.search(r"/api/post/(\d+)$", parts.path):
            there = [post for post in self.posts if str(post["pid"]) == found[1]]
            if not there:
                return 404, b"{}"
            if there[0]["tid"] in self.private:
                return self.closed[there[0]["tid"]], b"{}"
            index = self.topic(there[0]["tid"]).index(there[0]) + 1
            return 200, json.dumps(f"/topic/{there[0]['tid']}/slug/{index}").encode()
        found = re.search(r"/api/topic/(\d+)(?:/slug/(\d+))?", parts.path)
        posts = self.topic(int(found[1])) if found else []
        if found and found[2]:
            page = -(-int(found[2]) // self.per_page)
        if found and int(found[1]) in self.closed:
            return self.closed[int(found[1])], b"{}"
        if not posts:
            return 404, b"{}"
        shown = posts[(page - 1) * self.per_page : page * self.per_page]
        shown = [{**post, "index": posts.index(post)} for post in shown]
        pages = -(-len(posts) // self.per_page)
        data = {"tid": posts[0]["tid"], "titleRaw": f"About {posts[0]['tid']} & more", "mainPid": posts[0]["pid"], "posts": shown}
        return 200, json.dumps({**data, "pagination": {"pageCount": pages}}).encode()


def test_every_field_of_a_topic() -> None:
    """Title, words without quotes and their heading, times in digits, the answered post, no author for guests, deleted posts gone."""
    quote = (
        '<p dir="auto">Hello<br />\n<a href="/forum/user/ann">@ann</a> a dit dans <a href="/forum/post/1">About 7</a> :</p>\n'
        '<blockquote><p>Theirs.</p></blockquote><p>Mine <img class="emoji emoji-android" title=":smile:" alt="😄" />.</p>'
    )
    posts = [
        {
            "pid": 1, "tid": 7, "uid": 3, "user": {"username": "ann"}, "index": 0, "timestamp": "1738231200500", "edited": "0",
            "editedISO": "", "content": "<p>Words: see <code>x</code>.</p><pre>code</pre>", "deleted": "0",
        },
        {
            "pid": "2", "tid": "7", "uid": 4, "user": {"username": "bob"}, "index": 1, "timestamp": 1738234800000, "edited": 1738238400000,
            "content": quote, "toPid": "1", "deleted": False,
        },
        {"pid": 3, "tid": 7, "uid": 0, "user": {"username": "Guest"}, "timestampISO": "2025-01-30T13:00:00.000Z", "content": "Guest."},
        {"pid": 4, "tid": 7, "uid": 9, "user": {"username": "[[global:former_user]]"}, "timestamp": "Invalid Date", "content": "Undated."},
        {"pid": 5, "tid": 7, "deleted": 1, "content": "[[topic:post-is-deleted]]", "timestamp": 1738238400000},
        {"pid": 6, "tid": 7, "timestamp": 1738238400000},
        "no object",
    ]  # fmt: skip
    spider = make()
    [request] = begin(spider)
    topics = {"topics": [{"tid": 7, "lastposttime": "1738238400000", "deleted": "0"}], "pagination": {"pageCount": 1}}
    [request] = read(request, answer(request, json.dumps(topics).encode()))
    assert request.url == "https://bb.example/forum/api/topic/7?sort=oldest_to_newest&page=1"
    topic = {"tid": 7, "title": "Morale &amp; pay", "mainPid": 1, "posts": posts, "pagination": {"pageCount": 1}}
    found = read(request, answer(request, json.dumps(topic).encode()))
    common = {"thread_id": "7", "title": "Morale & pay", "date_origin": "site"}
    assert as_rows(found) == [
        {**common, "native_id": "1", "url": "https://bb.example/forum/post/1", "text": "Morale & pay\n\nWords: see x.",
         "posted_at": "2025-01-30T10:00:00+00:00", "author_key": "key of ann"},
        {**common, "native_id": "2", "url": "https://bb.example/forum/post/2", "text": "Hello\n\nMine 😄.", "parent_id": "1",
         "posted_at": "2025-01-30T11:00:00+00:00", "edited_at": "2025-01-30T12:00:00+00:00", "author_key": "key of bob"},
        {**common, "native_id": "3", "url": "https://bb.example/forum/post/3", "text": "Guest.", "posted_at": "2025-01-30T13:00:00+00:00"},
        {**common, "native_id": "4", "url": "https://bb.example/forum/post/4", "text": "Undated.", "posted_at": NOW.isoformat(),
         "date_origin": "fetched"},
        {"native_id": "5"},
    ]  # fmt: skip
    assert dict(spider.rejections) == {"has no text": 1, "is not an object": 1}
    assert spider.next_cursor == {"url": "https://bb.example/forum", "until": "2025-01-31T12:00:00Z"}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)


@given(
    ages=st.lists(st.tuples(st.integers(1, 5), st.floats(0.1, 300)), max_size=60),
    late=st.lists(st.tuples(st.integers(1, 7), st.floats(0.1, 5.9)), max_size=20),
    per_page=st.integers(1, 7),
    pinned=st.sets(st.integers(1, 5)),
    digits=st.booleans(),
    category=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_no_post_is_lost_or_read_twice(
    ages: list[tuple[int, float]], late: list[tuple[int, float]], per_page: int, pinned: set[int], digits: bool, category: bool
) -> None:
    """Whatever the pages and the pinned topics: the first crawl reads seven days, the second what came since, each post once."""
    forum = Forum(per_page=per_page, digits=digits)
    forum.pinned = pinned
    options = {**OPTIONS, "categories": [1]} if category else OPTIONS
    for tid, hours in sorted(ages, key=lambda age: -age[1]):
        forum.write(tid, NOW - 6 * HOUR - hours * HOUR)
    first = make(options, now=NOW - 6 * HOUR)
    found = walk(first, forum.fetch)
    week = milliseconds(NOW - 6 * HOUR - dt.timedelta(days=7)) // 1000
    assert sorted(post.native_id for post in found) == sorted(
        str(post["pid"]) for post in forum.posts if int(post["timestamp"]) // 1000 >= week
    )
    new = [forum.write(tid, NOW - hours * HOUR) for tid, hours in sorted(late, key=lambda age: -age[1])]
    second = make(options, cursor=first.next_cursor, overlap=0.0)
    ids = [post.native_id for post in walk(second, forum.fetch)]
    assert set(ids) >= set(new) and len(ids) == len(set(ids)) and not first.failures and not second.failures
    assert second.covered == (NOW - 6 * HOUR, NOW)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_edits_and_deletions_are_noticed(data: st.DataObject) -> None:
    """Of stored posts, edited ones come anew, deleted, purged and moved ones are told from each other; the rest stays."""
    forum = Forum(per_page=data.draw(st.integers(1, 6)))
    ids = [forum.write(1 + n % 3, NOW - (60 - n) * HOUR) for n in range(data.draw(st.integers(1, 40)))]
    recent = [(native_id, str(forum.posts[int(native_id) - 1]["tid"]), NOW - (61 - int(native_id)) * HOUR) for native_id in reversed(ids)]
    fates = {native_id: data.draw(st.sampled_from(["stays", "edited", "deleted", "purged", "moved"])) for native_id in ids}
    for post in forum.posts:
        fate = fates[str(post["pid"])]
        if fate == "edited":
            post.update(content="<p>Other words.</p>", edited=milliseconds(NOW - HOUR))
        elif fate == "deleted":
            post.update(deleted=1, content="[[topic:post-is-deleted]]")
        elif fate == "moved":
            post["tid"] = 9
    for native_id, fate in fates.items():
        if fate == "purged":
            forum.purge(native_id)
    spider = make(cursor={"url": "https://bb.example/forum", "until": "2025-01-31T11:00:00Z"}, overlap=0.0, recent=recent)
    found = {item.native_id: item for item in walk(spider, forum.fetch)}
    for native_id, fate in fates.items():
        item = found.get(native_id)
        assert isinstance(item, Gone if fate in ("deleted", "purged") else Post), fate
        if isinstance(item, Post) and fate == "edited":
            assert item.text.endswith("Other words.") and item.edited_at == NOW - HOUR
        if isinstance(item, Post) and fate == "moved":
            assert item.thread_id == "9"
    assert not spider.failures and not spider.rejections


@pytest.mark.parametrize("status", [401, 403])
def test_a_deleted_topic_is_told_from_a_private_one(status: int) -> None:
    """Both are closed to guests, and to crawlers: of a deleted one the posts' addresses still lead to it, and they are gone."""
    forum = Forum()
    recent = [(forum.write(tid, NOW - 30 * HOUR), str(tid), NOW - 30 * HOUR) for tid in (1, 1, 2, 3)]
    forum.closed = {1: status, 2: status}
    forum.private = {2}
    forum.posts[1]["tid"] = 3  # moved out of the topic before that was deleted
    spider = make(cursor={"url": "https://bb.example/forum", "until": "2025-01-31T11:00:00Z"}, recent=recent)
    found = {item.native_id: item for item in walk(spider, forum.fetch)}
    assert set(found) == {"1", "2", "4"} and isinstance(found["1"], Gone)
    assert isinstance(found["2"], Post) and found["2"].thread_id == "3"
    assert not spider.failures and spider.rejections.total() == 1 and spider.covered


def test_a_deleted_topic_in_a_category() -> None:
    """A category's list shows a deleted topic without its title: its stored posts are gone, but for those that were moved before."""
    forum = Forum()
    recent = [(forum.write(7, NOW - HOUR), "7", NOW - HOUR), (forum.write(7, NOW - HOUR), "7", NOW - HOUR)]
    forum.write(8, NOW - HOUR)
    forum.posts[1]["tid"] = 8
    forum.closed = {7: 403}
    forum.deleted = {7}
    found = {item.native_id: item for item in walk(make({**OPTIONS, "categories": [1]}, recent=recent), forum.fetch)}
    assert isinstance(found["1"], Gone) and isinstance(found["2"], Post) and found["2"].thread_id == "8"


def test_a_list_that_is_cut_claims_no_more_than_it_showed() -> None:
    """Where the list of recent topics ends before the last crawl's time, the crawl says so and covers what it read."""
    forum = Forum(most=120)
    for tid in range(150):
        forum.write(tid + 1, NOW - (150 - tid) * HOUR)
    spider = make()
    found = walk(spider, forum.fetch)
    assert len(found) == 120 and spider.covered == (NOW - 120 * HOUR, NOW)
    assert "its list of recent ones ends after 120: crawl more often, or name `categories`" in spider.summary()
    assert not spider.failures


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "gives HTML where JSON was due"),
        (b"[]", "gives JSON of another shape"),
        (b"{}", "holds no list `topics`: is this the address of a NodeBB forum?"),
        (b'{"topics": [{}, 1]}', "holds no topic with an id"),
    ],
)
def test_what_is_no_nodebb_is_said(body: bytes, words: str) -> None:
    """An answer of another shape ends the crawl with a sentence, and nothing is claimed."""
    spider = make()
    [request] = begin(spider)
    assert read(request, answer(request, body)) == []
    assert words in spider.summary() and spider.covered is None and not spider.next_cursor


def test_servers_that_do_not_page_are_left() -> None:
    """A list, or a topic, that is the same on every page ends in a sentence instead of a loop."""
    forum = Forum()
    forum.write(1, NOW - HOUR)
    for broken, words in (("topics", "lists the same threads again"), ("posts", "holds no post that other pages")):

        def fetch(url: str, broken: str = broken) -> tuple[int, bytes]:
            status, body = forum.fetch(re.sub(r"page=\d+", "page=1", url))
            data = json.loads(body)
            return status, json.dumps({**data, "pagination": {"pageCount": 10**9 if broken in data else 1}}).encode()

        spider = make()
        assert [post.native_id for post in walk(spider, fetch)] == ["1"]
        assert words in spider.summary() and spider.covered is None
    assert len(forum.asked) < 20


TOPIC = {"tid": 1, "lastposttime": 1738300000000, "pinned": 0, "deleted": 0}
POST = {"pid": 1, "tid": 1, "uid": 2, "user": {"username": "a"}, "content": "<p>The sound one.</p>", "timestamp": 1738300000000}


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject) -> None:
    """Whatever a topic of the list or a post holds, nothing is raised, and the sound one beside it comes and can be stored."""
    topics = data.draw(mutated([{**TOPIC, "tid": n} for n in range(2, 5)]))
    broken = {**POST, "index": 1, "toPid": 3, "edited": 1738300001000, "editedISO": "", "timestampISO": "", "deleted": 0}
    posts = data.draw(mutated([{**broken, "pid": n} for n in range(2, 5)]))
    outer = {key: copy.deepcopy(data.draw(JUNK)) for key in data.draw(st.sets(st.sampled_from(["titleRaw", "mainPid", "pagination"])))}

    def fetch(url: str) -> tuple[int, bytes]:
        if "/api/recent" in url:
            return 200, json.dumps({"topics": [*topics, TOPIC], "pagination": {"pageCount": 1}}).encode()
        if "/api/post/" in url:
            return 404, b""
        return 200, json.dumps({"tid": 1, "posts": [*posts, POST], **outer}).encode()

    spider = make()
    found = walk(spider, fetch)
    assert any(isinstance(post, Post) and post.text.endswith("The sound one.") for post in found)
    fresh_store.save_posts(found)


@given(body=st.one_of(JUNK.map(lambda value: json.dumps(value).encode()), st.binary(max_size=100)), step=st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_any_answer_ends_in_posts_or_a_sentence(body: bytes, step: int) -> None:
    """A list, a topic or a post's address of any shape raises nothing, and is counted."""
    spider = make()
    [request] = begin(spider)
    if step:
        [request] = read(request, answer(request, json.dumps({"topics": [TOPIC], "pagination": {"pageCount": 1}}).encode()))
    if step == 2:
        request = spider.ask(spider.post_url("1", "5"), spider.read_missing, essential=False, native_id="5")
    assert posts_of(read(request, answer(request, body))) == []
    assert spider.failures or spider.rejections


def test_another_address_begins_anew() -> None:
    """A cursor of another forum is not used when the source's address changes."""
    spider = make(cursor={"url": "https://old.example", "until": "2025-01-31T11:00:00Z"})
    begin(spider)
    assert spider.floor == NOW - dt.timedelta(days=7)


@pytest.mark.real
def test_a_whole_crawl(tmp_path: Path) -> None:
    """Two crawls over HTTP: everything once, then only the topic with a new post, and the stored ones again; robots.txt is asked first."""
    forum = Forum(per_page=2)
    for n in range(5):
        forum.write(1, NOW - (40 - n) * HOUR)
    forum.write(2, NOW - 20 * HOUR, "Nobody tells us anything.", user={"username": "secretive"})

    def page(path: str) -> Answer:
        status, body = forum.fetch(path)
        return as_json(json.loads(body), status=status)

    paths = ["/api/recent", "/api/topic/1", "/api/topic/2", *(f"/api/post/{n}" for n in range(1, 9))]
    with Site(dict.fromkeys(paths, page)) as site:
        result = crawl(tmp_path, "nodebb", {"url": site.url})
        assert (result["finish_reason"], result["counts"]["new"], result["rejected"]) == ("finished", 6, 0)
        topic = "/api/topic/{}?sort=oldest_to_newest&page={}"
        assert [path for path in site.paths if path.startswith("/api")] == [
            "/api/recent?page=1", topic.format(1, 1), topic.format(2, 1), topic.format(1, 3), topic.format(1, 2),
        ]  # fmt: skip
        assert site.paths[0] == "/robots.txt"
        forum.posts[1]["content"] = "<p>Other words.</p>"
        forum.purge("3")
        forum.write(2, NOW + HOUR / 2)
        result = crawl(tmp_path, "nodebb", {"url": site.url}, now="2025-01-31T13:00:00Z")
        counts = result["counts"]
        assert (counts["new"], counts["changed"], counts["deleted"]) == (1, 1, 1), result
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = {row[0]: row[1] for row in store.rows("SELECT native_id, text FROM posts")}
    assert texts["2"] == "Other words." and texts["3"] == "" and texts["7"] == "Words 7."
    assert all(b"secretive" not in file.read_bytes() for file in tmp_path.glob("monitor.db*"))


@pytest.mark.real  # a whole crawl in a process of its own
def test_a_private_category_ends_the_crawl_with_a_sentence(tmp_path: Path) -> None:
    """A category that guests may not read answers 403 (older: 401): nothing else of it is asked, and the message says what to do."""
    with Site({"/api/category/5": as_json({"error": "not-authorized"}, status=403)}) as site:
        result = crawl(tmp_path, "nodebb", {"url": site.url, "categories": [5]})
        assert result["finish_reason"] == "banned" and "answers 403" in result["message"] and "needs a login" in result["message"]
        assert len([path for path in site.paths if path.startswith("/api")]) == 1
