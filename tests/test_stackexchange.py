"""Stack Exchange: every post once, in its thread, whatever the pages; the API's wishes (backoff, quota, throttling) come first."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, answer, as_rows, begin, posts_of
from scrapy.http import Request

from monitor.records import Gone, Post, clean
from monitor.store import Store
from spiders.stackexchange import StackExchange

STAMP = int(NOW.timestamp())
HOUR = 3600
DAY = 24 * HOUR
OLD = NOW - dt.timedelta(days=2)


def make(options: dict[str, Any] | None = None, **given: Any) -> Any:
    return reading.make(StackExchange, options or {}, **given)


def read(request: Request, body: bytes, status: int = 200) -> list[Any]:
    """What the spider makes of an answer; its one callback is an asynchronous one, since it waits when the API asks for that."""

    async def made() -> list[Any]:
        return [item async for item in request.callback(answer(request, body, status), **request.cb_kwargs)]

    return asyncio.run(made())


def walk(spider: Any, fetch: Callable[[str], tuple[int, bytes]]) -> list[Any]:
    waiting, found = begin(spider), []
    while waiting:
        request = waiting.pop(0)
        status, body = fetch(request.url)
        made = read(request, body, status)
        waiting += [item for item in made if isinstance(item, Request)]
        found += posts_of(made)
    return found


def question(number: int, *, ago: float = 2, **fields: Any) -> dict[str, Any]:
    """A question asked `ago` hours before now."""
    at = STAMP - int(ago * HOUR)
    return {
        "question_id": number, "title": f"Question {number}?", "body": f"<p>Body {number}.</p>", "creation_date": at,
        "last_activity_date": at, "owner": {"user_id": number, "display_name": "Someone", "user_type": "registered"},
        "link": f"https://workplace.stackexchange.com/questions/{number}/slug", "content_license": "CC BY-SA 4.0", **fields,
    }  # fmt: skip


def reply(number: int, under: int, *, ago: float = 1, **fields: Any) -> dict[str, Any]:
    at = STAMP - int(ago * HOUR)
    return {
        "answer_id": number, "question_id": under, "body": f"<p>Answer {number}.</p>", "creation_date": at, "last_activity_date": at,
        "owner": {"user_id": 9}, **fields,
    }  # fmt: skip


def comment(number: int, under: int, *, ago: float = 1, **fields: Any) -> dict[str, Any]:
    return {
        "comment_id": number, "post_id": under, "body": f"Comment {number}.", "creation_date": STAMP - int(ago * HOUR), "edited": False,
        "owner": {"user_id": 9}, **fields,
    }  # fmt: skip


class Api:
    """API 2.3 that gives `most` posts per page, and `pages` pages at most, as without a key; `pages_only` keeps to no span of time."""

    def __init__(self, *items: dict[str, Any], most: int = 100, pages: int = 25, pages_only: bool = False) -> None:
        self.items, self.most, self.pages, self.pages_only = list(items), most, pages, pages_only
        self.asked: list[str] = []
        self.wrapper: dict[str, Any] = {"quota_max": 300, "quota_remaining": 250}

    def fetch(self, url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        words = {name: values[0] for name, values in parse_qs(parts.query).items()}
        method, _, ids = parts.path.rpartition("2.3/")[2].partition("/")
        self.asked.append(f"{method}/{ids}" if ids else method)
        kind = method.removesuffix("s")
        name = f"{kind}_id"
        found = [
            {"post_id": i.get("question_id") if "title" in i else i.get("answer_id"), **i} for i in self.items if "comment_id" not in i
        ]
        if kind != "post":
            found = [i for i in self.items if name in i and not (kind == "question" and "answer_id" in i)]
        if ids:
            wanted = {int(number) for number in ids.split(";")}
            assert len(wanted) <= 100
            return 200, json.dumps({"items": [i for i in found if i[name] in wanted], "has_more": False, **self.wrapper}).encode()
        dated_by = "creation_date" if words["sort"] == "creation" else "last_activity_date"
        low, high = ("fromdate", "todate") if words["sort"] == "creation" else ("min", "max")
        if not self.pages_only:
            found = [i for i in found if int(words[low]) <= i[dated_by] <= int(words.get(high, 10**12))]
        found = sorted(found, key=lambda i: (i[dated_by], i[name]), reverse=True)
        page = int(words["page"])
        if page > self.pages:
            return (
                400,
                b'{"error_id": 403, "error_name": "access_denied", "error_message": "page above 25 requires access token or app key"}',
            )
        shown = found[self.most * (page - 1) : self.most * page]
        return 200, json.dumps({"items": shown, "has_more": len(found) > self.most * page, **self.wrapper}).encode()


# ---- what a post becomes ---------------------------------------------------------------------------------------------


def test_every_field_of_question_answer_and_comment() -> None:
    """Title with its entities read and the software's notice off, quotes and code out; thread, parent, link, edit, author's number."""
    api = Api(
        question(
            5,
            title="My &quot;team&quot; &amp; <b>R1</b> [closed]",
            body="<p>It&#39;s <em>bad</em>.</p><blockquote>Theirs</blockquote><pre>x</pre>",
            last_edit_date=STAMP - HOUR,
            last_activity_date=STAMP,
        ),
        reply(6, 5, owner={"user_type": "does_not_exist", "display_name": "user5"}),
        comment(7, 5), comment(8, 6, body="@Ann I&#39;d <i>leave</i> &gt; stay"),
    )  # fmt: skip
    spider = make()
    title = 'My "team" & <b>R1</b>'
    thread = {"thread_id": "workplace/5", "title": title, "date_origin": "site"}
    ninth = {"posted_at": "2025-01-31T11:00:00+00:00", "author_key": "key of workplace/9", **thread}
    at = "https://workplace.stackexchange.com"
    assert as_rows(walk(spider, api.fetch)) == [
        {
            "native_id": "workplace/5", "url": f"{at}/questions/5/slug", "text": f"{title}\n\nIt's bad.",
            "author_key": "key of workplace/5", "posted_at": "2025-01-31T10:00:00+00:00",
            "edited_at": "2025-01-31T11:00:00+00:00", **thread,
        },
        {
            "native_id": "workplace/6", "url": f"{at}/a/6", "text": "Answer 6.", "parent_id": "workplace/5",
            "posted_at": "2025-01-31T11:00:00+00:00", **thread,
        },
        {"native_id": "workplace/c8", "url": f"{at}/a/6#comment8_6", "text": "@Ann I'd leave > stay", "parent_id": "workplace/6", **ninth},
        {"native_id": "workplace/c7", "url": f"{at}/q/5#comment7_5", "text": "Comment 7.", "parent_id": "workplace/5", **ninth},
    ]  # fmt: skip
    assert not spider.rejections and not spider.failures
    assert spider.next_cursor == {"api": "https://api.stackexchange.com/2.3", "until": {"workplace": "2025-01-31T12:00:00Z"}}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)


def test_comments_under_old_posts_find_their_thread() -> None:
    """What stands under posts older than the crawl is looked up by number: whose answer, and the question's title."""
    api = Api(question(1, ago=9999), reply(2, 1, ago=9000), comment(3, 2), comment(4, 1), comment(5, 99))
    spider = make()
    found = walk(spider, api.fetch)
    assert [(post.native_id, post.thread_id, post.parent_id, post.title) for post in found] == [
        ("workplace/c5", None, "workplace/99", None),
        ("workplace/c4", "workplace/1", "workplace/1", "Question 1?"),
        ("workplace/c3", "workplace/1", "workplace/2", "Question 1?"),
    ]
    assert api.asked == ["questions", "answers", "comments", "answers/1;2;99", "questions/1;99"]


def test_an_old_post_that_was_touched() -> None:
    """An old question gives its new answer a title and is itself left alone, unless it is a stored one that was edited."""
    api = Api(question(1, ago=9999, last_activity_date=STAMP, last_edit_date=STAMP), reply(2, 1))
    assert [(post.native_id, post.title) for post in walk(make(), api.fetch)] == [("workplace/2", "Question 1?")]
    edited, _ = walk(make(recent=[("workplace/1", "workplace/1", OLD)]), api.fetch)
    assert (edited.native_id, edited.edited_at) == ("workplace/1", NOW)


@pytest.mark.parametrize(
    ("site", "domain"),
    [
        ("stackoverflow", "stackoverflow.com"),
        ("pt.stackoverflow", "pt.stackoverflow.com"),
        ("mathoverflow.net", "mathoverflow.net"),
        ("workplace.meta", "workplace.meta.stackexchange.com"),
        ("ai", "ai.stackexchange.com"),
        ("ai.stackexchange.com", "ai.stackexchange.com"),
    ],
)
def test_a_post_without_a_link_is_linked_all_the_same(site: str, domain: str) -> None:
    """The licence asks for a link, which the default fields of answers and comments lack: it is made of the site's name."""
    [_, post] = walk(make({"sites": [site]}), Api(question(1), reply(2, 1)).fetch)
    assert post.url == f"https://{domain}/a/2" and post.native_id == f"{site}/2"


def test_sites_do_not_collide() -> None:
    """Two sites of one source that use the same numbers give different posts, each with a span of its own."""
    cursor = {"api": "https://api.stackexchange.com/2.3", "until": {"ai": "2025-01-31T11:00:00Z"}}
    spider = make({"sites": ["ai", "workplace"]}, cursor=cursor)
    found = walk(spider, Api(question(1, ago=1), comment(1, 1)).fetch)
    assert Counter(post.native_id for post in found) == Counter(["ai/1", "ai/c1", "workplace/1", "workplace/c1"])
    assert spider.since == {"ai": NOW - dt.timedelta(hours=2), "workplace": NOW - dt.timedelta(days=7)}
    assert spider.covered[0] == NOW - dt.timedelta(hours=2)
    moved = make({"api": "https://other.example", "sites": ["ai"]}, cursor=cursor)
    begin(moved)
    assert moved.since == {"ai": NOW - dt.timedelta(days=7)}


# ---- pages -----------------------------------------------------------------------------------------------------------


@given(
    asked=st.lists(st.integers(0, 12) | st.integers(0, 9 * DAY), max_size=25),
    answers=st.lists(st.integers(0, 9 * DAY), max_size=20),
    comments=st.lists(st.integers(0, 3) | st.integers(0, 9 * DAY), max_size=30),
    most=st.integers(1, 5),
    pages_only=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_no_post_is_lost_to_pages(asked: list[int], answers: list[int], comments: list[int], most: int, pages_only: bool) -> None:
    """Whatever the times, many in one second too, and though only a few pages are given: every due post comes exactly once."""
    if pages_only:
        most = max(most, 2)
        asked, answers, comments = (list(dict.fromkeys(times)) for times in (asked, answers, comments))
    items = [question(n, ago=0, creation_date=STAMP - s, last_activity_date=STAMP - s) for n, s in enumerate(asked, 1)]
    items += [reply(n, 1, ago=0, creation_date=STAMP - s, last_activity_date=STAMP - s) for n, s in enumerate(answers, 101)]
    items += [comment(n, 1, ago=0, creation_date=STAMP - s) for n, s in enumerate(comments, 1)]
    deepest = max([1, *(-(-count // most) for times in (asked, answers, comments) for count in Counter(times).values())])
    spider = make()
    found = [
        post.native_id
        for post in walk(spider, Api(*items, most=most, pages=99 if pages_only else deepest + 1, pages_only=pages_only).fetch)
    ]
    due = [item for item in items if item["creation_date"] >= STAMP - 7 * DAY]
    assert Counter(found) == Counter(
        f"workplace/c{item['comment_id']}" if "comment_id" in item else f"workplace/{item.get('answer_id', item.get('question_id'))}"
        for item in due
    )
    assert spider.covered and not spider.failures and not spider.rejections


def test_an_api_that_gives_the_same_page_for_ever_ends() -> None:
    """It is said, nothing is claimed, and each kind of post is asked a few times at most."""
    asked = []

    def fetch(url: str) -> tuple[int, bytes]:
        asked.append(url)
        return 200, json.dumps({"items": [question(1), comment(1, 1)], "has_more": True}).encode()

    spider = make()
    assert {post.native_id for post in walk(spider, fetch)} == {"workplace/1", "workplace/c1"}
    assert len(asked) <= 12 and spider.covered is None and not spider.next_cursor
    assert spider.failures[0] == ("failed", "https://api.stackexchange.com/2.3/questions gives the same questions on every page")


# ---- looking up again ------------------------------------------------------------------------------------------------


def test_posts_that_a_whole_answer_leaves_out_are_gone() -> None:
    """Stored posts are looked up a hundred at a time; missing ones are gone, the others come with the words that they have now."""
    there = [question(n, ago=999) for n in range(1, 150)]
    recent = [(f"workplace/{n}", f"workplace/{n}", OLD) for n in range(1, 161)]
    recent += [("workplace/c1", "workplace/1", OLD), ("workplace/c2", "workplace/1", OLD), ("other/3", "", OLD), ("odd", "", OLD)]
    api = Api(*there, comment(1, 1, ago=999, body="In other words.", edited=True))
    spider = make(recent=recent)
    found = walk(spider, api.fetch)
    assert {post.native_id for post in found if isinstance(post, Gone)} == {f"workplace/{n}" for n in range(150, 161)} | {"workplace/c2"}
    *questions, post = [post for post in found if isinstance(post, Post)]
    assert [post.native_id for post in questions] == [f"workplace/{n}" for n in range(1, 150)]
    assert (post.native_id, post.text, post.thread_id) == ("workplace/c1", "In other words.", "workplace/1")
    again = ["questions", "questions", "comments"]
    assert [re.sub(r"/.*", "", method) for method in api.asked] == ["questions", "answers", "comments", *again]
    limited = make({"refresh_limit": 1}, recent=recent)
    assert len([post for post in walk(limited, api.fetch) if isinstance(post, Gone)]) == 0


@pytest.mark.parametrize(
    "page",
    [
        {"items": [], "has_more": False},  # twenty posts at once are not all deleted
        {"items": [{"answer_id": 1}], "has_more": True},
        {"items": [{"answer_id": 1}, {"answer_id": None}], "has_more": False},
        {"items": [{"answer_id": 1}, "x"], "has_more": False},
        {"items": [{"answer_id": 77}], "has_more": False},
        {"items": None},
        {"error_id": 500, "error_name": "internal_error"},
    ],
)
def test_an_answer_that_is_not_whole_deletes_nothing(page: dict[str, Any]) -> None:
    """None of them, a part of them, others than asked, or an error: counted, and nobody's words are removed."""
    spider = make(recent=[(f"workplace/{n}", "", OLD) for n in range(1, 21)])
    found = walk(spider, lambda url: (200, json.dumps(page if "/answers/" in url else {"items": [], "has_more": False}).encode()))
    assert found == [] and spider.covered and not spider.failures and sum(spider.rejections.values()) == 1


# ---- manners ---------------------------------------------------------------------------------------------------------


def test_backoff_is_waited_out_before_the_next_request() -> None:
    """No request leaves before the seconds are over; more than a crawl may wait ends it, and the next one knows until when."""
    request = begin(make())[0]
    begun = time.monotonic()
    assert len(read(request, b'{"items": [], "has_more": false, "backoff": 1}')) == 1
    assert time.monotonic() - begun >= 1
    spider = make()
    assert read(begin(spider)[0], b'{"items": [], "has_more": false, "backoff": 600}') == []
    assert spider.failures[0][0] == "rate_limited" and spider.not_before == {"https://api.stackexchange.com": "2025-01-31T12:10:00+00:00"}


def test_a_quota_that_is_used_up() -> None:
    """The last answer that the day allows is read, nothing else is asked, the cursor stays, and the sentence says what helps."""
    spider = make({"key": "secret-key"})
    made = read(begin(spider)[0], json.dumps({"items": [question(1)], "has_more": True, "quota_remaining": 0}).encode())
    assert [type(item) for item in made] == [Post]
    assert spider.failures == [(
        "rate_limited",
        "https://api.stackexchange.com/2.3/questions has no quota left for today: let this source run less often, or set its key; "
        "it is asked again after 2025-02-01 00:00 UTC",
    )]  # fmt: skip
    assert spider.not_before == {"https://api.stackexchange.com": "2025-02-01T00:00:00+00:00"}
    assert spider.covered is None and not spider.next_cursor
    api = Api(question(1))
    api.wrapper = {"quota_remaining": 0}
    done = make(recent=[("workplace/7", "", OLD)])
    done_requests = begin(done)
    done.todo.clear()  # that was the last of what is due: only looking up again is left
    made = read(done_requests[0], api.fetch(done_requests[0].url)[1])
    assert len(made) == 1 and done.covered and not done.failures and sum(done.rejections.values()) == 1


@pytest.mark.parametrize("status", [200, 400])
def test_throttling_is_obeyed(status: int) -> None:
    """error_id 502 ends the crawl; the seconds that it names are kept for the next one, and its own words are not repeated."""
    body = {"error_id": 502, "error_name": "throttle_violation", "error_message": "secretive: more requests available in 7200 seconds"}
    for message, until in ((body["error_message"], "14:00"), (None, "12:15"), ([], "12:15")):
        spider = make()
        assert read(begin(spider)[0], json.dumps({**body, "error_message": message}).encode(), status) == []
        assert spider.failures[0][0] == "rate_limited" and f"after 2025-01-31 {until} UTC" in spider.failures[0][1]
        assert "secretive" not in spider.summary()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, b'{"error_id": 400, "error_message": "secretive"}', "does not accept what it was asked: check sites, filter and key"),
        (500, b'{"error_id": 503}', "is out of order for now"),
        (404, b'{"error_id": 404}', "answers with error 404"),
        (503, b"{}", "is out of order for now"),
        (200, b'{"items": {}}', "holds no list `items`"),
        (200, b"<html>", "gives HTML where JSON was due"),
        (200, b"[1]", "of another shape"),
        (200, b"", "malformed or cut off"),
    ],
)
def test_an_error_is_one_sentence_and_other_sites_are_still_read(status: int, body: bytes, words: str) -> None:
    """What cannot be read is a failure in our words, without the key; the second site's posts come, and the cursor stays."""
    api = Api(question(1))
    spider = make({"sites": ["bogus", "workplace"], "key": "secret-key"})
    found = walk(spider, lambda url: (status, body) if "bogus" in url else api.fetch(url))
    assert [post.native_id for post in found] == ["workplace/1"]
    assert words in spider.failures[0][1] and spider.covered is None and not spider.next_cursor
    assert "secret" not in spider.summary() + repr(spider.options)


# ---- broken items ----------------------------------------------------------------------------------------------------


@given(data=st.data(), at=st.integers(0, 2), wrapper=st.dictionaries(st.sampled_from(["quota_remaining", "has_more"]), JUNK))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject, at: int, wrapper: dict[str, Any]) -> None:
    """Whatever posts hold, nothing is raised, the asking ends, the sound ones come, and all that comes can be stored."""
    bodies = {
        "questions": data.draw(mutated([question(1), question(2)])), "answers": data.draw(mutated([reply(3, 1), reply(4, 2)])),
        "comments": data.draw(mutated([comment(5, 3), comment(6, 1)])),
    }  # fmt: skip
    sound = {"questions": question(11, body="Sound question."), "answers": reply(12, 11, body="Sound answer."),
             "comments": comment(13, 12, body="Sound comment.")}  # fmt: skip
    for method, item in sound.items():
        bodies[method].insert(at, item)
    requests = []

    def fetch(url: str) -> tuple[int, bytes]:
        requests.append(url)
        method = urlsplit(url).path.rpartition("2.3/")[2].partition("/")[0]
        quota = {"quota_remaining": 5} if wrapper.get("quota_remaining") in (0, -1) else {}
        return 200, json.dumps({"items": bodies[method], "has_more": False, **wrapper, **quota}).encode()

    spider = make(recent=[(f"workplace/{n}", "", OLD) for n in (1, 7, 8, 9)] + [("workplace/c5", "", OLD)])
    found = walk(spider, fetch)
    texts = [post.text for post in found if isinstance(post, Post)]
    assert {"Question 11?\n\nSound question.", "Sound answer.", "Sound comment."} <= set(texts) and len(requests) < 30
    for post in found:
        if isinstance(post, Post):
            assert post.text == clean(post.text) and post.posted_at.tzinfo is not None
    fresh_store.save_posts(found)


# ---- whole crawls ----------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_crawls_over_http(tmp_path: Path) -> None:
    """Three crawls: all that is due in three requests; then what is new, edited and deleted, with the pause that was asked for; then
    one request, after which the day's quota is used up. The key reaches neither message, log nor store."""
    api = Api(question(1), question(2), reply(3, 1, ago=1.5), comment(4, 3, ago=1.5))
    with Site({"/robots.txt": Answer("User-agent: *\nDisallow: /docs\n")}) as site:

        def page(path: str) -> Answer:
            status, body = api.fetch(site.url + path)
            api.wrapper.pop("backoff", None)
            return Answer(body, status)

        site.answers |= dict.fromkeys((f"/2.3/{name}" for name in ("questions", "answers", "comments")), page)
        given = {"api": f"{site.url}/2.3", "key": "secret-key"}
        first = crawl(tmp_path, "stackexchange", given)
        assert (first["finish_reason"], first["counts"]["new"], first["message"], first["log"]) == ("finished", 4, "", "")
        due = ["/2.3/questions", "/2.3/answers", "/2.3/comments"]
        assert asked(site) == ["/robots.txt", *due]
        words = [parse_qs(urlsplit(path).query) for path in site.paths if path.startswith("/2.3/")]
        assert all(w["site"] == ["workplace"] and w["filter"] == ["withbody"] and w["key"] == ["secret-key"] for w in words)
        assert words[0]["min"] == words[2]["fromdate"] == [str(STAMP - 7 * DAY)]

        site.requests.clear()
        api.items[0] |= {"body": "In other words.", "last_edit_date": STAMP + HOUR, "last_activity_date": STAMP + HOUR}
        del api.items[1]
        api.items.append(comment(5, 1, ago=-1))
        api.wrapper = {"quota_remaining": 100, "backoff": 1}
        site.answers |= dict.fromkeys(("/2.3/questions/2", "/2.3/answers/3", "/2.3/comments/4"), page)
        second = crawl(tmp_path, "stackexchange", given, now="2025-01-31T14:00:00Z")
        assert (second["finish_reason"], second["message"]) == ("finished", "")
        assert second["counts"] == {"new": 1, "changed": 1, "unchanged": 2, "deleted": 1}
        times = [moment for moment, path, _ in site.requests if path.startswith("/2.3/")]
        assert times[1] - times[0] >= 1 and len(times) == 6

        site.requests.clear()
        api.wrapper = {"quota_remaining": 0}
        third = crawl(tmp_path, "stackexchange", given, now="2025-01-31T18:00:00Z")
        assert third["finish_reason"] == "rate_limited" and "has no quota left for today" in third["message"]
        assert len([path for path in site.paths if path.startswith("/2.3/")]) == 1
    assert "secret-key" not in json.dumps([first, second, third])
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        cursor = json.dumps(store.cursor("s"))
        texts = {row[0]: row[1] for row in store.rows("SELECT native_id, text FROM posts")}
    assert "secret-key" not in cursor and "2025-01-31T14:00:00Z" in cursor
    assert texts["workplace/1"] == "Question 1?\n\nIn other words." and texts["workplace/2"] == ""


def asked(site: Site) -> list[str]:
    """The paths that were asked of a site, but the file of opt-outs that every crawl reads."""
    return [path.partition("?")[0] for path in site.paths if not path.startswith("/.well-known/")]


@pytest.mark.real  # a whole crawl in a process of its own
def test_an_api_that_refuses(tmp_path: Path) -> None:
    """A 403 ends the crawl at once, and what was not read is not covered."""
    with Site({"/questions": as_json({"error_id": 403}, status=403)}) as site:
        result = crawl(tmp_path, "stackexchange", {"api": site.url})
    assert result["finish_reason"] == "banned" and "answers 403" in result["message"]
    assert asked(site) == ["/robots.txt", "/questions"]
