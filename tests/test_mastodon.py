"""Tag timelines are read whole and once, with an eye on the instance's allowance and on authors who do not want to be read."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, answer, as_rows, begin, posts_of, read
from scrapy.http import Request

from monitor.records import Gone, Post, clean, text_hash
from monitor.store import Store
from spiders.base import Refused
from spiders.mastodon import Mastodon

OPTIONS = {"urls": ["https://m.example"], "tags": ["AI"]}
HOUR = dt.timedelta(hours=1)
LIMITS = {"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "299", "X-RateLimit-Reset": "2025-01-31T12:05:00.070144Z"}
Given = tuple[int, object, Mapping[str, str]]


def make(options: Mapping[str, Any] = OPTIONS, **given: Any) -> Any:
    return reading.make(Mastodon, options, **given)


def status(number: int, *, account: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A status as an instance shows it."""
    return {
        "id": str(number), "uri": f"https://m.example/users/ann/statuses/{number}", "url": f"https://m.example/@ann/{number}",
        "created_at": "2025-01-31T10:00:00.500Z", "edited_at": None, "in_reply_to_id": None, "visibility": "public", "sensitive": False,
        "spoiler_text": "", "language": "en", "reblog": None, "content": f"<p>Status {number}.</p>",
        "account": {
            "acct": "ann", "url": "https://m.example/@ann", "discoverable": None, "indexable": True, "noindex": False, **(account or {}),
        },
        **fields,
    }  # fmt: skip


def native(number: int) -> str:
    return text_hash(f"https://m.example/users/ann/statuses/{number}")


def walk(spider: Any, fetch: Callable[[str], Given]) -> list[Any]:
    """Follow every request to its end; `fetch` gives status, body and headers of a URL, or status 0 for no answer at all."""
    waiting, found = begin(spider), []
    while waiting:
        request = waiting.pop(0)
        code, value, headers = fetch(request.url)
        made: list[Any]
        if code:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            made = read(request, answer(request, body, code, **headers))
        else:
            failure = type("Failure", (), {"value": Refused("banned", "is closed"), "request": request})()
            made = list(request.errback(failure))
        waiting += [item for item in made if isinstance(item, Request)]
        found += posts_of(made)
    return found


class Instance:
    """A Mastodon instance's timelines of tags, `most` statuses a page, newest id first."""

    def __init__(self, most: int = 40, prefix: str = "https://m.example") -> None:
        self.most, self.prefix = most, prefix
        self.tagged: dict[str, list[dict[str, Any]]] = {}
        self.gone: set[str] = set()
        self.asked: list[str] = []

    def fetch(self, url: str) -> Given:
        parts = urlsplit(url)
        self.asked.append(f"{parts.path}?{parts.query}".removesuffix("?"))
        name = parts.path.rpartition("/")[2].lower()  # tags are found however they are written
        if "/statuses/" in parts.path:
            known = {item["id"]: item for items in self.tagged.values() for item in items}
            return (404, {"error": "Record not found"}, LIMITS) if name in self.gone else (200, known[name], LIMITS)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        below = int(query.get("max_id", 10**18))
        there = [item for item in self.tagged.get(name, []) if int(item["id"]) < below and item["id"] not in self.gone]
        page = sorted(there, key=lambda item: -int(item["id"]))[: self.most]
        if not page:
            return 200, [], LIMITS
        more, less = (
            f"<{self.prefix}{parts.path}?limit={query['limit']}&{key}={page[at]['id']}>" for key, at in (("max_id", -1), ("min_id", 0))
        )
        return 200, page, {**LIMITS, "Link": f'{more}; rel="next", {less}; rel="prev"'}


def at(when: dt.datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


# ---- every field -----------------------------------------------------------------------------------------------------


def test_every_field() -> None:
    """The author's own words, the warning first, without the unseen parts of links; who, when, where, and what it answers."""
    content = (
        '<p class="quote-inline">RE: <a href="https://x.example/@bob/1"><span class="invisible">https://</span>x.example/@bob/1</a></p>'
        '<p>Morale at <a class="mention hashtag" href="https://m.example/tags/GenAI">#<span>GenAI</span></a> is <b>low</b>.<br>See '
        '<a href="https://x.example/long"><span class="invisible">https://www.</span><span class="ellipsis">x.example/lo</span>'
        '<span class="invisible">ng</span></a></p><blockquote>Theirs</blockquote><pre>code()</pre>'
    )
    posts = [
        status(1, content=content, spoiler_text="Work & a <rant>", sensitive=True, edited_at="2025-01-31T11:00:00.000Z"),
        status(2, uri="https://b.example/users/bob/statuses/9", url="https://b.example/@bob/9", in_reply_to_id="1",
               account={"acct": "bob@b.example", "url": "https://b.example/@bob"}),
        status(3, uri="tag:m.example,2025:3", url=None, created_at=None, account={"url": None}),
    ]  # fmt: skip
    spider = make()
    found = walk(spider, lambda url: (200, posts, LIMITS))
    common = {"date_origin": "site", "posted_at": "2025-01-31T10:00:00.500000+00:00"}
    assert as_rows(found) == [
        {
            "native_id": native(1), "url": "https://m.example/@ann/1", "thread_id": "m.example/1", "edited_at": "2025-01-31T11:00:00+00:00",
            "text": "Work & a <rant>\n\nMorale at #GenAI is low.\nSee x.example/lo",
            "author_key": "key of https://m.example/@ann", **common,
        },
        {
            "native_id": text_hash("https://b.example/users/bob/statuses/9"), "url": "https://b.example/@bob/9", "thread_id": "m.example/2",
            "parent_id": "m.example/1", "text": "Status 2.", "author_key": "key of https://b.example/@bob", **common,
        },
        {
            "native_id": text_hash("tag:m.example,2025:3"), "url": "https://m.example/@ann/3", "thread_id": "m.example/3",
            "text": "Status 3.", "author_key": "key of ann@m.example", **common,
            "date_origin": "fetched", "posted_at": NOW.isoformat(),
        },
    ]  # fmt: skip
    assert not spider.failures and not spider.rejections
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)
    assert spider.next_cursor == {"read": {"m.example ai": "2025-01-31T12:00:00Z"}}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"account": {"indexable": False}}, "is by an author who does not want to be found or indexed"),
        ({"account": {"discoverable": False}}, "is by an author who does not want to be found or indexed"),
        ({"account": {"noindex": True}}, "is by an author who does not want to be found or indexed"),
        (
            {"account": {"note": '<p>I build. <a href="https://m.example/tags/nobot">#<span>NoBot</span></a></p>'}},
            "is by an author who does not want to be found or indexed",
        ),
        ({"visibility": "unlisted"}, "is not public"),
        ({"reblog": status(9)}, None),
    ],
)  # fmt: skip
def test_what_is_left_out(fields: dict[str, Any], why: str | None) -> None:
    """Opt-outs and what is not public are left out with a reason; boosts are nobody's words; what is already stored is taken out."""
    for known in (False, True):
        spider = make(recent=[(native(1), "m.example/1", NOW - HOUR)] if known else [])
        found = walk(spider, lambda url: (200, [status(1, **fields), status(2)] if "/tag/" in url else status(2), LIMITS))
        opted_out = why is not None and "author" in why
        assert [item for item in found if isinstance(item, Gone)] == ([Gone("s", native(1))] if known and opted_out else [])
        assert [post.text for post in found if isinstance(post, Post)] == ["Status 2."]
        assert why is None or known or dict(spider.rejections) == {why: 1}


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded answers do not lie beside this checkout")
@pytest.mark.parametrize(("name", "words"), [("test_hashtag_tl", "#hoot (hashtag toot)"), ("test_public_tl_anonymous", "Toot, finally!")])
def test_recorded_timelines(name: str, words: str) -> None:
    """Real pages are read, and the next is asked for as their Link header says."""
    [recorded] = json.loads((SHARED / "mastodon" / f"{name}.json").read_text("utf-8"))
    headers = {key: values[0] for key, values in recorded["headers"].items()}
    spider = make(now=dt.datetime(2026, 8, 1, 13, 58, tzinfo=dt.UTC))
    [request] = begin(spider)
    body = recorded["body"] + [recorded["body"][0]] * (40 - len(recorded["body"]))
    *posts, following = read(request, answer(request, json.dumps(body).encode(), **headers))
    assert posts[0].text == words and posts[0].url.startswith("http://localhost:3000/@mastodonpy_test_2/")
    assert parse_qs(urlsplit(following.url).query)["max_id"] == parse_qs(urlsplit(headers["link"].split(">")[0]).query)["max_id"]
    assert following.url.startswith("https://m.example/api/v1/timelines/tag/AI?limit=40&")


# ---- paging over several crawls --------------------------------------------------------------------------------------


@given(
    rounds=st.lists(st.lists(st.tuples(st.sampled_from(["ai", "ki", "both"]), st.integers(0, 50)), max_size=40), min_size=1, max_size=3),
    most=st.integers(2, 9),
    strayed=st.integers(1, 60),
)
@settings(max_examples=40, deadline=None)
def test_no_status_is_lost_and_none_comes_twice(rounds: list[list[tuple[str, int]]], most: int, strayed: int) -> None:
    """Over several crawls, whatever a page holds, with statuses under both tags and one of a strange time: each comes, once a crawl."""
    instance = Instance(most)
    seen: set[str] = set()
    cursor: dict[str, Any] = {}
    number = 0
    for turn, written in enumerate(rounds):
        now = NOW + turn * HOUR
        for tag, minutes in sorted(written, key=lambda pair: -pair[1]):
            number += 1
            made = status(number, created_at=at(now - dt.timedelta(minutes=minutes, days=300 * (number == strayed))))
            for name in ("ai", "ki") if tag == "both" else (tag,):
                instance.tagged.setdefault(name, []).append(made)
        spider = make({**OPTIONS, "tags": ["#AI", "ki"]}, cursor=cursor, now=now)
        found = [post.native_id for post in walk(spider, instance.fetch)]
        assert len(found) == len(set(found)) and not spider.failures and not spider.rejections
        seen |= set(found)
        young = {item["id"] for items in instance.tagged.values() for item in items if item["created_at"] >= at(spider.since)}
        assert {native(int(known)) for known in young} <= seen
        assert spider.covered is not None and spider.covered[1] == now
        cursor = spider.next_cursor


def test_a_page_that_is_old_ends_the_reading() -> None:
    """No more pages than are due are asked for, one strayed old status ends nothing, and only the instance's own host is asked."""
    instance = Instance(5, prefix="http://backend:3000")
    instance.tagged["ai"] = [status(n, created_at=at(NOW - (100 - n) * HOUR)) for n in range(1, 100)]
    instance.tagged["ai"][-5]["created_at"] = "2001-01-01T00:00:00Z"
    spider = make(cursor={"read": {"m.example ai": "2025-01-31T04:00:00Z"}})
    assert len(walk(spider, instance.fetch)) == 15
    assert instance.asked == [
        "/api/v1/timelines/tag/AI?limit=40", "/api/v1/timelines/tag/AI?limit=40&max_id=95", "/api/v1/timelines/tag/AI?limit=40&max_id=90",
    ]  # fmt: skip
    assert spider.covered == (NOW - 9 * HOUR, NOW)


def test_only_local_statuses() -> None:
    """Where only local ones are wanted, every page is asked for so, and the cursor is another one."""
    instance = Instance(1)
    instance.tagged["ai"] = [status(1), status(2)]
    spider = make({**OPTIONS, "local": True}, cursor={"read": {"m.example ai": "2025-01-31T11:00:00Z"}})
    walk(spider, instance.fetch)
    assert len(instance.asked) == 3 and all("local=true" in path for path in instance.asked)
    assert spider.next_cursor == {"read": {"m.example ai (local)": "2025-01-31T12:00:00Z"}}


def test_another_address_or_tag_begins_anew() -> None:
    """A cursor holds for its instance and tag, and never holds a password."""
    cursor = {"read": {"m.example ai": "2025-01-31T11:00:00Z"}}
    for options in ({**OPTIONS, "urls": ["https://b.example"]}, {**OPTIONS, "tags": ["ki"]}):
        spider = make(options, cursor=cursor)
        begin(spider)
        assert spider.since == NOW - dt.timedelta(days=7)
    spider = make({**OPTIONS, "urls": ["https://me:secret@m.example/"]}, cursor=cursor)
    walk(spider, lambda url: (500, b"", LIMITS))
    assert spider.since == NOW - 2 * HOUR and "secret" not in json.dumps(spider.next_cursor) + spider.summary()


def test_a_full_page_without_a_link_is_followed_all_the_same() -> None:
    """Where a proxy drops the Link header, the page after the last status is asked for."""
    instance = Instance()
    instance.tagged["ai"] = [status(n) for n in range(1, 81)]

    def fetch(url: str) -> Given:
        code, page, _ = instance.fetch(url)
        return code, page, LIMITS

    spider = make()
    assert len(walk(spider, fetch)) == 80 and spider.covered and not spider.failures


def test_a_tag_that_nobody_used_yet() -> None:
    """An instance that does not know a tag has no posts under it: that is no failure. An address that is no instance's is one."""
    spider = make()
    assert walk(spider, lambda url: (404, {"error": "Record not found"}, LIMITS)) == []
    assert spider.covered and not spider.failures
    spider = make()
    walk(spider, lambda url: (404, b"<html>Not Found</html>", LIMITS))
    assert "check the address" in spider.failures[0][1] and spider.covered is None


@pytest.mark.parametrize("link", [{"Link": '<https://m.example/api/v1/timelines/tag/ai?max_id=1>; rel="next"'}, {}])
def test_a_timeline_that_cannot_be_followed(link: dict[str, str]) -> None:
    """The same page for ever, with a Link or without, ends as failed with a sentence, and covers nothing."""
    asked = []
    spider = make()
    page = [status(n) for n in range(40)]
    assert len(walk(spider, lambda url: (asked.append(url), (200, page, {**LIMITS, **link}))[1])) == 40
    assert len(asked) <= 2 and "gives nothing new as its next page" in spider.failures[0][1] and spider.covered is None
    assert spider.next_cursor == {"read": {}}


def test_a_status_that_two_instances_show_is_one() -> None:
    """It comes once, and stays with the instance that showed it first, also when another one shows it later."""
    remote = status(77, uri="https://m.example/users/ann/statuses/1")
    pages = {"m.example": [status(1)], "b.example": [remote, status(78, uri="https://b.example/users/bob/statuses/78")]}
    options = {**OPTIONS, "urls": ["https://b.example", "https://m.example"]}

    def fetch(url: str) -> Given:
        return 200, pages[urlsplit(url).netloc], LIMITS

    found = walk(make(options), fetch)
    assert [(post.native_id, post.thread_id) for post in found][:1] == [(native(1), "b.example/77")] and len(found) == 2
    again = walk(make(options, recent=[(native(1), "m.example/1", NOW)]), fetch)
    assert [post.thread_id for post in again if post.native_id == native(1)] == ["m.example/1"]
    moved = walk(make(options, recent=[(native(1), "left.example/5", NOW)]), fetch)
    assert [post.thread_id for post in moved if post.native_id == native(1)] == ["b.example/77"]


# ---- manners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "until"),
    [
        ("2025-01-31T12:05:00.070144Z", "2025-01-31T12:05:00+00:00"),
        ("never", "2025-01-31T12:05:00+00:00"),
        ("2025-01-31T11:59:59Z", None),
    ],
)
def test_a_used_up_allowance_ends_the_asking(reset: str, until: str | None) -> None:
    """With nothing remaining, that instance is asked no more and the next crawl waits till the reset; others are read to their end."""
    instance = Instance(2)
    instance.tagged["ai"] = [status(n) for n in range(1, 8)]
    asked = []

    def fetch(url: str) -> Given:
        asked.append(urlsplit(url).netloc)
        code, page, headers = instance.fetch(url)
        spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset} if asked[-1] == "m.example" else {}
        return code, page, {**headers, **spent}

    spider = make({"urls": ["https://m.example", "https://b.example"], "tags": ["ai", "ki"]}, recent=[("x", "m.example/5", NOW)])
    walk(spider, fetch)
    if until is None:
        assert not spider.failures and not spider.not_before and asked.count("m.example") == 7
        return
    assert asked.count("m.example") == 1 and asked.count("b.example") == 6
    assert spider.not_before == {"https://m.example": until}
    assert {reason for reason, _ in spider.failures} == {"rate_limited"} and spider.covered is None
    assert "https://m.example/api/v1/timelines/tag/ai is not asked: its instance allows no more requests before 2025-01-31 12:05 UTC" in (
        spider.summary()
    )
    assert spider.next_cursor == {"read": {"b.example ai": "2025-01-31T12:00:00Z", "b.example ki": "2025-01-31T12:00:00Z"}}


def test_an_allowance_used_up_by_looking_again_is_no_failure() -> None:
    """All that was due is read: the crawl is finished, what was not looked at again is counted, and the next crawl waits."""
    spider = make(recent=[(native(n), f"m.example/{n}", NOW - HOUR) for n in range(5)])
    left = iter("210")
    found = walk(spider, lambda url: (200, [] if "/tag/" in url else status(9), {**LIMITS, "X-RateLimit-Remaining": next(left)}))
    assert found == [] and not spider.failures and spider.covered and spider.not_before
    assert sum(count for reason, count in spider.rejections.items() if "allows no more requests" in reason) == 3


@pytest.mark.parametrize("code", [401, 403, 422])
@pytest.mark.parametrize("local", [True, False])
def test_closed_timelines_are_said(code: int, local: bool) -> None:
    """An instance that shows its timelines to members only is asked once, and the sentence says what to do; the others go on."""
    asked = []

    def fetch(url: str) -> Given:
        asked.append(urlsplit(url).netloc)
        return (code, {"error": "This method requires an authenticated user"}, LIMITS) if asked[-1] == "m.example" else (200, [], LIMITS)

    spider = make({"urls": ["https://m.example", "https://b.example"], "tags": ["ai", "ki"], "local": local})
    walk(spider, fetch)
    [(reason, sentence)] = spider.failures
    assert reason == "banned" and f"tag/ai answers {code}: this instance shows its timelines only to its members" in sentence
    assert ("set local: true" in sentence) != local and "take it out of urls" in sentence
    assert asked.count("m.example") == 1 and len(spider.next_cursor["read"]) == 2


def test_an_instance_that_is_dead_costs_the_others_nothing() -> None:
    """The one without an answer is named, for each of its tags; those of the others are read, and their cursors move on."""
    spider = make({"urls": ["https://m.example", "https://b.example"], "tags": ["ai", "ki"]})
    found = walk(spider, lambda url: (0, b"", {}) if "m.example" in url else (200, [status(1)], LIMITS))
    assert len(found) == 1 and len(spider.failures) == 2 and spider.covered is None
    assert set(spider.next_cursor["read"]) == {"b.example ai", "b.example ki"}


# ---- looked at again -------------------------------------------------------------------------------------------------


def test_statuses_are_looked_at_again() -> None:
    """Edited ones come anew, deleted ones are gone; a refusal, a page in its place or another status changes nothing and is counted."""
    edited = status(2, content="<p>In other words.</p>", edited_at="2025-01-31T11:30:00Z")
    answers: dict[str, Given] = {
        "1": (404, {"error": "Record not found"}, LIMITS), "2": (200, edited, LIMITS), "3": (404, b"<!doctype html>Moved", LIMITS),
        "5": (200, status(6), LIMITS), "7": (410, {"error": "Gone"}, LIMITS), "8": (200, [], LIMITS), "9": (0, b"", {}),
    }  # fmt: skip
    asked = []

    def fetch(url: str) -> Given:
        asked.append(url)
        return answers[url.rpartition("/")[2]] if "/statuses/" in url else (200, [status(4)], LIMITS)

    recent = [(native(n), f"m.example/{n}", NOW - n * HOUR) for n in (1, 2, 3, 4, 5, 7, 8, 9)] + [
        ("x", "left.example/4", NOW),
        ("y", "", NOW),
    ]
    spider = make(recent=recent)
    found = walk(spider, fetch)
    assert [item.native_id for item in found if isinstance(item, Gone)] == [native(1), native(7)]
    assert [(post.text, post.edited_at) for post in found if isinstance(post, Post)] == [
        ("Status 4.", None), ("In other words.", dt.datetime(2025, 1, 31, 11, 30, tzinfo=dt.UTC)),
    ]  # fmt: skip
    assert not any(url.endswith("/statuses/4") for url in asked) and len(asked) == 8
    assert sum(spider.rejections.values()) == 4 and spider.covered
    few = make({**OPTIONS, "refresh_limit": 2}, recent=recent)
    asked.clear()
    walk(few, fetch)
    assert [url.rpartition("/")[2] for url in asked if "/statuses/" in url] == ["1", "2"]


# ---- broken answers --------------------------------------------------------------------------------------------------

OWN_JUNK = JUNK | st.sampled_from(['<p class="quote-inline">' * 9, '<span class="invisible">'])


@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject) -> None:
    """Whatever an item holds at any depth, nothing is raised, the sound one beside it comes, and what comes can be stored."""
    items: list[Any] = data.draw(mutated([status(number) for number in range(3)], OWN_JUNK))
    items.insert(data.draw(st.integers(0, 3)), status(4, content="<p>The sound one.</p>"))
    spider = make()
    found = walk(spider, lambda url: (200, items, LIMITS))
    assert "The sound one." in [post.text for post in found if isinstance(post, Post)]
    assert all(post.text == clean(post.text) and post.posted_at.tzinfo for post in found if isinstance(post, Post))
    fresh_store.save_posts(found)


@given(
    body=JUNK.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100),
    header=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_any_answer_ends_in_posts_or_a_sentence(body: bytes, header: str) -> None:
    """An answer of any shape with any header raises nothing; only a list lets the crawl finish."""
    headers = {"Link": header, "X-RateLimit-Remaining": header, "X-RateLimit-Reset": header}
    spider = make(recent=[(native(1), "m.example/1", NOW)])
    found = walk(spider, lambda url: (200, body, headers))
    assert not any(isinstance(item, Post) for item in found)
    assert bool(spider.covered) == (body == b"[]" or body == b"[[]]") != bool(spider.failures)


# ---- a whole crawl ---------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_crawls_of_a_real_server(tmp_path: Path) -> None:
    """Two crawls over HTTP: all once, then what is new, edited and deleted; nobody's name is stored but in a living post's address."""
    instance = Instance()
    instance.tagged["ai"] = [status(n, created_at=at(NOW - dt.timedelta(minutes=500 - n))) for n in range(1, 101)]

    def given(path: str) -> Answer:
        code, page, headers = instance.fetch(f"http://localhost{path}")
        return as_json(page, status=code, headers=dict(headers))

    robots = Answer("User-agent: *\nDisallow: /media_proxy/\nDisallow: /interact/\n")
    paths = ["/api/v1/timelines/tag/AI", *(f"/api/v1/statuses/{n}" for n in range(1, 101))]
    with Site({"/robots.txt": robots, **dict.fromkeys(paths, given)}) as site:
        options = {"urls": [site.url], "tags": ["AI"], "refresh_limit": 60}
        first = crawl(tmp_path, "mastodon", options)
        assert (first["finish_reason"], first["message"], first["counts"]["new"]) == ("finished", "", 100)
        assert [path for path in site.paths if path.startswith("/api")] == [
            "/api/v1/timelines/tag/AI?limit=40", "/api/v1/timelines/tag/AI?limit=40&max_id=61",
            "/api/v1/timelines/tag/AI?limit=40&max_id=21", "/api/v1/timelines/tag/AI?limit=40&max_id=1",
        ]  # fmt: skip
        site.requests.clear()
        instance.tagged["ai"][44]["content"] = "<p>In other words.</p>"
        instance.gone |= {"50", "90"}
        second = crawl(tmp_path, "mastodon", options, now="2025-01-31T13:30:00Z")
        assert (second["finish_reason"], second["message"]) == ("finished", "")
        assert (second["counts"]["new"], second["counts"]["changed"], second["counts"]["deleted"]) == (0, 1, 2)
        assert len([path for path in site.paths if "/statuses/" in path]) == 20
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        rows = {row[0]: (row[1], row[2]) for row in store.rows("SELECT native_id, text, url FROM posts")}
    assert rows[native(45)][0] == "In other words." and rows[native(50)] == rows[native(90)] == ("", "") and len(rows) == 100
    assert not any("ann" in native_id for native_id in rows)


@pytest.mark.real  # a whole crawl in a process of its own
def test_a_crawl_of_a_closed_instance_and_of_one_without_allowance(tmp_path: Path) -> None:
    """Each is asked once and told in a sentence; until the allowance is there again, the next crawl does not ask for it at all."""
    spent = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "2025-01-31T12:04:00.5Z",
        "Link": '<https://m.example/x?max_id=1>; rel="next"',
    }
    page = as_json([status(n) for n in range(40)], headers=spent)
    path = "/api/v1/timelines/tag/ai"
    with Site({path: page}) as site, Site({path: as_json({"error": "no"}, status=401)}) as closed:
        options = {"urls": [closed.url, site.url], "tags": ["ai", "ki"]}
        result = crawl(tmp_path, "mastodon", options)
        assert (result["finish_reason"], result["counts"]["new"]) == ("banned", 40)
        assert f"{closed.url}{path} answers 401" in result["message"]
        assert f"{site.url}{path} is not asked: its instance allows no more requests before 2025-01-31 12:04 UTC" in result["message"]
        assert [asked for asked in (*site.paths, *closed.paths) if asked.startswith("/api")] == [f"{path}?limit=40"] * 2
        site.requests.clear()
        result = crawl(tmp_path, "mastodon", {**options, "urls": [site.url]}, now="2025-01-31T12:03:00Z")
        assert result["finish_reason"] == "rate_limited" and not [asked for asked in site.paths if asked.startswith("/api")]
