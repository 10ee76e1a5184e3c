"""V2EX: both versions of its API give the same posts, and what its short lists leave out is never claimed to be covered."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, answer, as_rows, begin, posts_of, read, walk

from monitor.records import Gone, Post, clean
from monitor.store import Store
from spiders.v2ex import V2ex

BASE = "https://v2ex.example"
SITE = "https://www.v2ex.com"  # as the site calls itself, wherever it is asked
STAMP = int(NOW.timestamp())
HOUR = 3600


def make(options: dict[str, Any] | None = None, **given: Any) -> Any:
    return reading.make(V2ex, {"url": BASE, **(options or {})}, **given)


def topic(number: int, *, ago: float = 2, **fields: Any) -> dict[str, Any]:
    """A topic written `ago` hours before now, as version 1 shows it."""
    created = STAMP - int(ago * HOUR)
    return {
        "id": number, "title": f"话题 {number}", "content": "不看", "content_rendered": f"<p>正文 {number}</p>", "replies": 0, "deleted": 0,
        "member": {"id": 7, "username": "someone"}, "node": {"name": "openai"}, "url": f"{SITE}/t/{number}",
        "created": created, "last_modified": created, "last_touched": created, **fields,
    }  # fmt: skip


def reply(number: int, *, ago: float = 1, **fields: Any) -> dict[str, Any]:
    created = STAMP - int(ago * HOUR)
    return {
        "id": number, "content": "不看", "content_rendered": f"回复 {number}", "member": {"username": "other"}, "created": created,
        "last_modified": created, **fields,
    }  # fmt: skip


class Forum:
    """A site that answers like both versions of the API: lists of `latest` topics, pages of `listed`, pages of `page` replies."""

    def __init__(self, topics: list[dict[str, Any]], replies: dict[int, list[dict[str, Any]]] | None = None, **how: Any) -> None:
        self.topics, self.replies = topics, replies or {}
        self.latest, self.listed, self.page = how.get("latest", 20), how.get("listed", 20), how.get("page", 100)
        self.order, self.pages, self.now = how.get("order", "created"), how.get("pages", True), how.get("now", STAMP)
        self.asked: list[str] = []

    def shown(self) -> list[dict[str, Any]]:
        """The topics of this moment with their figures, newest first."""
        found = []
        for item in self.topics:
            if item["created"] <= self.now:
                times = [r["created"] for r in self.answers(item["id"])]
                found.append({**item, "replies": len(times), "last_touched": max([item["created"], *times])})
        return sorted(
            found, key=lambda item: (item["created"] if self.order == "created" else item["last_touched"], item["id"]), reverse=True
        )

    def answers(self, number: int) -> list[dict[str, Any]]:
        return [r for r in self.replies.get(number, []) if r["created"] <= self.now]

    def fetch(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        words = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/")
        self.asked.append(f"{path}?{parts.query}" if parts.query else path)
        page = int(words.get("page") or words.get("p") or 1)
        if path == "topics/latest.json":
            found: Any = self.shown()[: self.latest]
        elif "node_name" in words:
            found = self.paged(self.shown(), page, self.listed)
        elif path == "topics/show.json":
            found = [item for item in self.shown() if item["id"] == int(words["id"])]
        elif path == "replies/show.json":
            found = self.paged(self.answers(int(words["topic_id"])), page, self.page)
        elif path.startswith("v2/nodes/"):
            found = [{k: v for k, v in t.items() if k != "member"} for t in self.paged(self.shown(), page, self.listed)]
        elif path.endswith("/replies"):
            found = self.paged(self.answers(int(path.split("/")[2])), page, self.page)
        else:
            found = next((item for item in self.shown() if item["id"] == int(path.split("/")[2])), None)
            if found is None:
                return 404, b'{"success": false, "message": "Topic not found"}'
        if path.startswith("v2/"):
            found = {"success": True, "message": "", "result": found}
        return 200, json.dumps(found).encode()

    def paged(self, items: list[Any], page: int, size: int) -> list[Any]:
        return items[size * (page - 1) : size * page] if self.pages else items[:size]


# ---- what a post becomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "secret-token"])
def test_every_field_of_topic_and_reply(token: str) -> None:
    """Title first, rendered text preferred, quotes and code out, appended text in; both versions of the API give the same posts."""
    opening = topic(
        5, title="GenAI &amp; 我们", content_rendered="<p>团队 <b>很好</b></p><pre>code</pre><blockquote>别人</blockquote>",
        supplements=[{"content": "x", "content_rendered": "<p>补充</p>", "created": STAMP}, None, {"content": 3}],
        last_modified=STAMP - HOUR,
    )  # fmt: skip
    answers = [
        reply(5, content_rendered="", content="> 别人说\r\n\r\n真的吗"),
        reply(6, content_rendered='@<a href="/member/someone">someone</a> 同意<br>\n是'),
        reply(8, member=None, deleted=0),
    ]
    spider = make({"nodes": ["openai"], "token": token})
    found = walk(spider, Forum([opening], {5: answers}).fetch)
    assert as_rows(found) == [
        {
            "native_id": "t5", "url": f"{SITE}/t/5", "text": "GenAI & 我们\n\n团队 很好\n\n补充", "title": "GenAI & 我们",
            "posted_at": "2025-01-31T10:00:00+00:00", "edited_at": "2025-01-31T11:00:00+00:00", "thread_id": "t5",
            "author_key": "key of someone", "date_origin": "site",
        },
        {
            "native_id": "r5", "url": f"{SITE}/t/5#r_5", "text": "真的吗", "title": "GenAI & 我们", "thread_id": "t5", "parent_id": "t5",
            "posted_at": "2025-01-31T11:00:00+00:00", "author_key": "key of other", "date_origin": "site",
        },
        {
            "native_id": "r6", "url": f"{SITE}/t/5#r_6", "text": "@someone 同意\n是", "title": "GenAI & 我们", "thread_id": "t5",
            "parent_id": "t5", "posted_at": "2025-01-31T11:00:00+00:00", "author_key": "key of other", "date_origin": "site",
        },
        {
            "native_id": "r8", "url": f"{SITE}/t/5#r_8", "text": "回复 8", "title": "GenAI & 我们", "thread_id": "t5", "parent_id": "t5",
            "posted_at": "2025-01-31T11:00:00+00:00", "date_origin": "site",
        },
    ]  # fmt: skip
    assert not spider.rejections and not spider.failures


def test_what_has_no_words_or_no_date() -> None:
    """A reply of only a quotation is left out with its reason; one without a date has the time of fetching; a deleted one is gone."""
    answers = [
        reply(1, content_rendered="<blockquote>x</blockquote>"),
        reply(2, created="soon"),
        reply(3, deleted=1),
        reply(4, deleted="x"),
    ]
    opening = topic(9, replies=4, content=None, content_rendered=None)
    spider = make()
    bodies = {"/api/topics/latest.json": [opening, topic(8, deleted=1)], "/api/replies/show.json": answers}
    found = walk(spider, lambda url: (200, json.dumps(bodies[urlsplit(url).path]).encode()))
    assert [post.native_id for post in found] == ["t9", "t8", "r2", "r3", "r4"]
    assert found[0].text == "话题 9" and found[1] == Gone("s", "t8") and found[3] == Gone("s", "r3")
    assert (found[2].posted_at, found[2].date_origin) == (NOW, "fetched")
    assert dict(spider.rejections) == {"holds no words of its author's own": 1}


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded answers do not lie beside this checkout")
def test_recorded_topics() -> None:
    """A real answer of version 1 is read whole: title, text, author, time; unedited is not edited."""
    body = (SHARED / "v2ex" / "her-cat-hot.json").read_bytes()
    spider = make(now=dt.datetime(2019, 6, 17, tzinfo=dt.UTC))
    request = begin(spider)[0]
    made = read(request, answer(request, body))
    [post] = posts_of(made)
    assert isinstance(post, Post)
    assert (post.native_id, post.url, post.thread_id) == ("t574429", f"{SITE}/t/574429", "t574429")
    assert post.text.startswith("30 岁大龄剩女日常吐槽\n\n最近看到好多") and post.author_key == "key of fyy5520"
    assert post.posted_at == dt.datetime(2019, 6, 16, 6, 6, 12, tzinfo=dt.UTC) and post.edited_at is None
    assert made[-1].url == f"{BASE}/api/replies/show.json?topic_id=574429&page=1"
    assert not spider.rejections and not spider.failures


# ---- lists, pages, and what is covered -------------------------------------------------------------------------------


@given(
    topics=st.lists(st.tuples(st.integers(0, 240), st.lists(st.integers(0, 240), max_size=5)), min_size=1, max_size=30),
    latest=st.integers(1, 8),
    listed=st.integers(1, 8),
    page=st.integers(1, 4),
    order=st.sampled_from(["created", "touched"]),
    how=st.sampled_from(["latest", "node", "token"]),
    pages=st.booleans(),
    steps=st.lists(st.integers(0, 240), min_size=1, max_size=3).map(sorted),
)
@settings(max_examples=80, deadline=None)
def test_nothing_that_is_covered_is_missing(
    topics: list[tuple[int, list[int]]], latest: int, listed: int, page: int, order: str, how: str, pages: bool, steps: list[int]
) -> None:
    """Whatever the lists' lengths and order, over several crawls: each topic of the covered time is read, and where lists go on in
    pages all that is due is covered; each crawl gives no post twice."""
    zero = STAMP - 240 * HOUR
    opened = sorted(topics)
    made = [topic(n, created=zero + hour * HOUR, last_modified=zero) for n, (hour, _) in enumerate(opened, 1)]
    numbers = iter(range(1, 1000))
    replies = {
        n: [reply(next(numbers), created=zero + HOUR * max(hour, later)) for later in sorted(hours)]
        for n, (hour, hours) in enumerate(opened, 1)
    }
    forum = Forum(made, replies, latest=latest, listed=listed, page=page if pages else 100, order=order, pages=pages)
    cursor: dict[str, Any] = {}
    seen: set[str] = set()
    options = {"nodes": [""] if how == "latest" else ["openai"], "token": "t" if how == "token" else ""}
    for step in steps:
        forum.now = zero + step * HOUR
        now = dt.datetime.fromtimestamp(forum.now, dt.UTC)
        spider = make(options, cursor=cursor, now=now)
        if not forum.shown():
            continue
        found = [post.native_id for post in walk(spider, forum.fetch)]
        assert len(found) == len(set(found)) and not spider.failures and not spider.rejections
        seen |= set(found)
        cursor = spider.next_cursor
        first, last = spider.covered
        assert last == now
        due = [item for item in forum.shown() if item["created"] > first.timestamp()]
        assert {f"t{item['id']}" for item in due} <= seen
        assert {f"r{r['id']}" for item in due for r in forum.answers(item["id"])} <= seen
        shown = forum.shown()
        if how != "latest" and pages and min(item["last_touched"] for item in shown) <= spider.floors["openai"].timestamp():
            assert first == spider.floors["openai"]


def test_a_pinned_topic_does_not_end_a_list() -> None:
    """An old topic that is pinned to the top of its node is no sign that the list reaches back: the next page is asked for."""
    forum = Forum([topic(1, ago=1), topic(2, ago=5), topic(3, ago=9), topic(4, ago=999)], listed=2)
    pinned = json.dumps([topic(99, ago=5000), topic(1, ago=1), topic(2, ago=5)]).encode()
    spider = make({"nodes": ["openai"]})
    found = walk(spider, lambda url: (200, pinned) if url.endswith("=openai") else forum.fetch(url))
    assert [post.native_id for post in found] == ["t99", "t1", "t2", "t3", "t4"]
    assert spider.covered[0] == spider.floors["openai"]


def test_a_node_without_topics_is_said() -> None:
    """A name that is not a node's, or another site's address, ends in a sentence that says what to check; the cursor stays."""
    for status, body in ((200, b"[]"), (404, b'{"status": "error"}')):
        spider = make({"nodes": ["opneai"]})
        assert walk(spider, lambda url, status=status, body=body: (status, body)) == []
        assert spider.failures == [
            ("failed", f"{BASE}/api/topics/show.json gives no topics: check the address, and the names of the nodes")
        ]
        assert not spider.next_cursor and spider.covered is None


def test_replies_that_the_site_withholds_are_not_covered() -> None:
    """A topic that has more replies than any page gives is said, the same page is not asked for ever, and nothing is claimed."""
    forum = Forum([topic(1, ago=200), topic(2)], {2: [reply(n) for n in range(1, 9)]}, page=5, pages=False)
    spider = make(recent=[("r9", "t2", NOW - dt.timedelta(hours=5))])
    assert [post.native_id for post in walk(spider, forum.fetch)] == ["t2", "t1", "r1", "r2", "r3", "r4", "r5"]
    assert dict(spider.rejections) == {"has more replies than the site gives": 1}
    assert spider.covered == (NOW, NOW) and len(forum.asked) == 3


def test_another_address_or_node_begins_anew() -> None:
    """A cursor counts for the address and the nodes that it was written for; it holds no token."""
    forum = Forum([topic(1)])
    spider = make({"nodes": ["openai"], "token": "secret-token"})
    walk(spider, forum.fetch)
    assert spider.next_cursor == {"url": BASE, "until": {"openai": "2025-01-31T12:00:00Z"}}
    later = make({"nodes": ["openai", "jobs"]}, cursor=spider.next_cursor)
    begin(later)
    assert later.floors == {"openai": NOW - dt.timedelta(hours=1), "jobs": NOW - dt.timedelta(days=7)}
    moved = make({"url": "https://other.example", "nodes": ["openai"]}, cursor=spider.next_cursor)
    begin(moved)
    assert moved.floors == {"openai": NOW - dt.timedelta(days=7)}


# ---- looking again ---------------------------------------------------------------------------------------------------

LONG_AGO = NOW - dt.timedelta(days=2)
OLD = {"created": STAMP - 48 * HOUR}


@pytest.mark.parametrize("token", ["", "t"])
def test_edits_late_replies_and_deletions_of_old_topics(token: str) -> None:
    """Topics that no list shows any more are asked by number: new words, late replies, replies and topics that are gone."""
    old = [topic(n, ago=48, last_modified=STAMP - HOUR) for n in (3, 4)]
    fresh = [topic(n, ago=1) for n in range(20, 40)]
    forum = Forum(old + fresh, {3: [reply(31, **OLD), reply(33)], 4: []})
    known = [("r31", "t3"), ("r32", "t3"), ("t3", "t3"), ("t5", "t5"), ("r51", "t5"), ("r41", "t4")]
    spider = make({"token": token}, recent=[(native_id, thread, LONG_AGO) for native_id, thread in known])
    found = walk(spider, forum.fetch)[20:]
    assert {item.native_id for item in found if isinstance(item, Gone)} == {"r32", "t5", "r51", "r41"}
    posts = {post.native_id: post for post in found if isinstance(post, Post)}
    assert set(posts) == {"t3", "t4", "r31", "r33"} and posts["t3"].edited_at == NOW - dt.timedelta(hours=1)
    assert not spider.failures and not spider.rejections


def test_what_is_missing_for_another_reason_is_not_gone() -> None:
    """Errors, an empty answer of a site that gives no topic at all, a young reply that a cache lacks, a reply without a number,
    an answer of another topic: none of them deletes anything."""
    listed = json.dumps([topic(1, ago=200)]).encode()
    recent = [("r31", "t3", LONG_AGO)]

    def gone(answers: dict[str, tuple[int, object]], recent: list[Any] = recent) -> list[Any]:
        spider = make(recent=recent)
        found = walk(
            spider,
            lambda url: (
                (200, listed) if "latest" in url else (lambda s: (s[0], json.dumps(s[1]).encode()))(answers[urlsplit(url).path[5:]])
            ),
        )
        assert spider.covered and not spider.failures
        return [item.native_id for item in found if isinstance(item, Gone)]

    for status in (500, 503):
        assert gone({"topics/show.json": (status, {})}) == []
    assert gone({"topics/show.json": (200, [])}) == []
    assert gone({"topics/show.json": (200, [topic(4)])}) == []
    there = {"topics/show.json": (200, [topic(3, replies=2)])}
    assert gone({**there, "replies/show.json": (200, [])}) == []
    assert gone({**there, "replies/show.json": (200, [reply(1), reply(2)])}) == ["r31"]
    assert gone({**there, "replies/show.json": (200, [reply(1), reply(2)])}, [("r31", "t3", NOW - dt.timedelta(minutes=30))]) == []
    assert gone({**there, "replies/show.json": (200, [reply(1), reply(2), reply(2, id=None)])}) == []


def test_a_broken_topic_does_not_keep_others_from_being_looked_at() -> None:
    """One of the known topics answers 500: it is counted, and the next one is asked."""
    forum = Forum([topic(1, ago=200), topic(4, ago=48)])
    spider = make(recent=[("t3", "t3", LONG_AGO), ("t4", "t4", LONG_AGO)])
    found = walk(spider, lambda url: (500, b"") if "id=3" in url else forum.fetch(url))
    assert [post.native_id for post in found] == ["t4", "t1"] and dict(spider.rejections) == {"answers 500": 1}


# ---- manners ---------------------------------------------------------------------------------------------------------


def test_a_used_up_allowance_ends_the_asking() -> None:
    """No request follows an answer that says that none is left; what is due waits, and a cached answer's old figure is no news."""
    for ahead, requests in ((1800, 1), (-1800, 2)):
        spider = make()
        request = begin(spider)[0]
        headers = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(STAMP + ahead)}
        made = read(request, answer(request, json.dumps([topic(1, replies=1)]).encode(), **headers))
        assert len(made) == requests
    spider = make()
    request = begin(spider)[0]
    read(request, answer(request, json.dumps([topic(1, replies=1)]).encode(), **{**headers, "X-Rate-Limit-Reset": str(STAMP + 1800)}))
    assert spider.failures[0][0] == "rate_limited" and "no more requests before 2025-01-31 12:30 UTC" in spider.failures[0][1]
    assert spider.not_before == {BASE: "2025-01-31T12:30:00+00:00"} and spider.covered is None
    done = make(recent=[("t3", "t3", LONG_AGO)])
    request = begin(done)[0]
    read(request, answer(request, json.dumps([topic(1, ago=200)]).encode(), **{**headers, "X-Rate-Limit-Reset": str(STAMP + 1800)}))
    assert done.covered and not done.failures and sum(done.rejections.values()) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"status": "error", "message": "secretive"}', b"[[]]", b"7", b"", b'[{"id": 1'])  # fmt: skip
def test_an_answer_of_another_shape_is_one_sentence(body: bytes) -> None:
    """What is no list of topics ends in a sentence without the site's words or the token, and claims nothing that it did not read."""
    spider = make({"nodes": ["openai"], "token": "secret-token"})
    assert walk(spider, lambda url: (200, body)) == []
    assert spider.failures or spider.rejections == {"is not an object": 2} or spider.covered == (NOW, NOW)
    assert "secret" not in spider.summary() + repr(spider.options) + json.dumps(spider.next_cursor)


@given(data=st.data(), token=st.sampled_from(["", "t"]), at=st.integers(0, 2))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject, token: str, at: int) -> None:
    """Whatever topics and replies hold, nothing is raised, the asking ends, the sound ones come, and all can be stored."""
    topics = data.draw(mutated([topic(1, replies=2), topic(2, supplements=[{"content": "x"}])]))
    replies = data.draw(mutated([reply(1), reply(2)]))
    topics.insert(at, topic(77, replies=3, title="The sound one."))
    replies.insert(at, reply(88, content_rendered="A sound reply."))
    bodies = {"latest": topics, "nodes": {"result": topics}, "replies": replies, "show": topics[at:]}

    def fetch(url: str) -> tuple[int, bytes]:
        path = urlsplit(url).path
        name = "latest" if "latest" in path else "replies" if "replies" in path else "nodes" if "nodes" in path else "show"
        return 200, json.dumps(bodies[name]).encode()

    spider = make({"token": token, "nodes": ["", "openai"]}, recent=[("t1", "t1", LONG_AGO), ("r1", "t1", LONG_AGO)])
    found = posts_of(walk(spider, fetch))
    texts = [post.text for post in found if isinstance(post, Post)]
    assert any(text.startswith("The sound one.") for text in texts) and "A sound reply." in texts
    for post in found:
        if isinstance(post, Post):
            assert post.text == clean(post.text) and post.posted_at.tzinfo is not None
    fresh_store.save_posts(found)


# ---- whole crawls ----------------------------------------------------------------------------------------------------


def asked(site: Site) -> list[str]:
    """What was asked of a site, but the file of opt-outs that every crawl reads."""
    return [path for path in site.paths if not path.startswith("/.well-known/")]


@pytest.mark.real
def test_a_crawl_over_http(tmp_path: Path) -> None:
    """Two crawls of a site: robots.txt first, one list, the replies of what was touched, nothing more; the token goes to version 2
    only, in a header, and reaches neither log nor store."""
    forum = Forum([topic(1, ago=200), topic(2, ago=3)], {2: [reply(21)]})
    with Site({}) as site:

        def page(path: str) -> Answer:
            status, body = forum.fetch(site.url + path)
            return Answer(body, status)

        v1 = ("/api/topics/latest.json", "/api/topics/show.json", "/api/replies/show.json")
        v2 = ("/api/v2/nodes/openai/topics", *(f"/api/v2/topics/{n}{end}" for n in (1, 2, 3) for end in ("", "/replies")))
        site.answers = {"/robots.txt": Answer("User-agent: *\nDisallow: /member\n"), **dict.fromkeys((*v1, *v2), page)}
        first = crawl(tmp_path, "v2ex", {"url": site.url, "refresh_limit": 0})
        assert (first["finish_reason"], first["counts"]["new"], first["message"], first["log"]) == ("finished", 3, "", "")
        assert asked(site) == ["/robots.txt", "/api/topics/latest.json", "/api/replies/show.json?topic_id=2&page=1"]
        site.requests.clear()
        forum.topics.append(topic(3, created=STAMP + HOUR))
        forum.replies[2] = [reply(22, created=STAMP + HOUR)]
        forum.now = STAMP + 2 * HOUR
        given = {"url": site.url, "token": "secret-token", "nodes": ["openai"]}
        second = crawl(tmp_path, "v2ex", given, now="2025-01-31T14:00:00Z")
        assert second["finish_reason"] == "finished"
        assert (second["counts"]["new"], second["counts"]["deleted"]) == (2, 1)
        sent = {path: headers.get("Authorization") for _, path, headers in site.requests if path.startswith("/api/")}
    assert list(sent) == ["/api/v2/nodes/openai/topics?p=1", "/api/v2/topics/3", "/api/v2/topics/2", "/api/v2/topics/2/replies?p=1"]
    assert set(sent.values()) == {"Bearer secret-token"}
    for file in tmp_path.glob("monitor.db*"):
        assert b"secret-token" not in file.read_bytes() and b"someone" not in file.read_bytes()
    assert second["log"] == ""


@pytest.mark.real  # a whole crawl in a process of its own
def test_a_site_that_refuses(tmp_path: Path) -> None:
    """A 403, as V2EX answers when it was asked too much, ends the crawl at once; nothing else is asked."""
    with Site({"/api/topics/latest.json": as_json({"status": "error"}, status=403)}) as site:
        result = crawl(tmp_path, "v2ex", {"url": site.url})
    assert result["finish_reason"] == "banned" and "answers 403" in result["message"]
    assert asked(site) == ["/robots.txt", "/api/topics/latest.json"]
