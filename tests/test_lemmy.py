"""Lemmy is read whole, in both shapes of its API: nothing lost, nothing twice, and what was edited or deleted is noticed."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
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

from monitor.errors import CrawlError
from monitor.records import Gone, Post, clean
from monitor.store import Store
from spiders.lemmy import Lemmy

OPTIONS = {"urls": ["https://a.example"]}
HOUR = dt.timedelta(hours=1)


def make(options: Mapping[str, Any] = OPTIONS, **given: Any) -> Any:
    return reading.make(Lemmy, options, **given)


def view(kind: str, number: int, version: str = "v3", *, host: str = "a.example", **fields: Any) -> dict[str, Any]:
    """A post or a comment as an instance lists it; `fields` go into the item itself."""
    published, updated, actor = ("published_at", "updated_at", "ap_id") if version == "v4" else ("published", "updated", "actor_id")
    item: dict[str, Any] = {
        "id": number, "ap_id": f"https://{host}/{kind}/{number}", published: "2025-01-31T10:00:00.123456Z", updated: None,
        "deleted": False, "removed": False,
    }  # fmt: skip
    if kind == "post":
        item |= {"name": f"Title {number}", "body": f"Body {number}.", "featured_community": False, "featured_local": False}
        found = {"post": {**item, **fields}}
    else:
        item |= {"content": f"Comment {number}.", "path": f"0.{number}"}
        found = {"comment": {**item, **fields}, "post": {"id": 1, "ap_id": "https://a.example/post/1", "name": "Title 1"}}
    return {**found, "creator": {"id": 7, "name": "ann", actor: "https://home.example/u/ann", "deleted": False}}


class Instance:
    """What one Lemmy instance answers. `version` is "0.18" (numbered pages), "0.19" (cursors for posts) or "1" (version 4 of the API)."""

    def __init__(self, version: str, host: str = "a.example", most: int = 50) -> None:
        self.version, self.host, self.most = version, host, most
        self.items: dict[str, list[dict[str, Any]]] = {"post": [], "comment": []}
        self.asked: list[str] = []
        self.api = "v4" if version == "1" else "v3"

    def write(self, kind: str, when: dt.datetime, **fields: Any) -> str:
        number = len(self.items[kind]) + 1
        name = "published_at" if self.api == "v4" else "published"
        time = when.isoformat().replace("+00:00", "" if self.version == "0.18" else "Z")
        made = view(kind, number, self.api, host=self.host, **{name: time, **fields})
        self.items[kind].append(made)
        return str(made[kind]["ap_id"])

    def delete(self, ap_id: str) -> None:
        for kind, items in self.items.items():
            for item in items:
                if item[kind]["ap_id"] == ap_id:
                    item[kind]["deleted"] = True
                    item[kind]["body" if kind == "post" else "content"] = ""

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Pinned posts first, then by time; deleted posts are not there, deleted comments are, without words."""
        shown = [item for item in self.items[kind] if kind == "comment" or not item[kind]["deleted"]]
        time = "published_at" if self.api == "v4" else "published"
        return sorted(shown, key=lambda item: (bool(item[kind].get("featured_local")), item[kind][time]), reverse=True)

    def fetch(self, url: str) -> tuple[int, bytes]:
        parts, self.asked = urlsplit(url), [*self.asked, url]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not parts.path.startswith(f"/api/{self.api}/"):
            return 404, b""
        if parts.path.endswith("/resolve_object"):
            return self.resolve(query["q"])
        kind = parts.path.split("/")[3]
        assert (query["type_"], query["sort"]) == (("all", "new") if self.api == "v4" else ("All", "New"))
        assert query["limit"] == "50" and (self.api == "v3" or query["time_range_seconds"] == "0")
        found, cursors = self.listed(kind), self.version == "1" or (self.version == "0.19" and kind == "post")
        start = self.most * (int(query.get("page", 1)) - 1)
        if cursors:
            start = int(query.get("page_cursor", "P0").removeprefix("P"))
        page = found[start : start + self.most]
        following = f"P{start + self.most}" if cursors and (len(page) == self.most if self.version == "1" else page) else None
        if self.version == "1":
            return 200, json.dumps({"items": page, "next_page": following}).encode()
        return 200, json.dumps({f"{kind}s": page, **({"next_page": following} if kind == "post" else {})}).encode()

    def resolve(self, ap_id: str) -> tuple[int, bytes]:
        for kind, items in self.items.items():
            for item in items:
                if item[kind]["ap_id"] == ap_id:
                    if item[kind]["deleted"]:
                        return 404, b'{"error": "couldnt_find_object"}'
                    return 200, json.dumps({**item, "type_": kind} if self.api == "v4" else {kind: item}).encode()
        return 400, b'{"error": "couldnt_find_object"}'


def lists_of(found: Mapping[str, list[Any]], version: str = "v3") -> Any:
    """An instance that gives these items, and then nothing."""

    def fetch(url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        if f"/api/{version}/" not in parts.path:
            return 404, b'{"error": "no such page"}'
        kind = parts.path.split("/")[3]
        items = found.get(kind, []) if "page" not in parts.query.replace("page_cursor", "") else []
        return 200, json.dumps({"items" if version == "v4" else f"{kind}s": items}).encode()

    return fetch


# ---- every field -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_every_field(version: str) -> None:
    """Post and comment, whichever API the instance answers: the author's own words, the parent by its path, times in UTC."""
    published, updated = ("published_at", "updated_at") if version == "v4" else ("published", "updated")
    body = "Morale at **GenAI** is _low_.\nStill.\n\n> Theirs.\n\n```\ncode()\n```\n\n::: spoiler Why\n1 < 2 & [a link](https://x.example)\n:::"
    post = view("post", 1, version, name="Qwen < R1?", body=body, **{published: "2025-01-31T09:00:00.5", updated: "2025-01-31T09:30:00Z"})
    comment = view("comment", 15, version, host="b.example", path="0.11.15", content="> Theirs.\n\nMine, <sic>.\n\n    code")
    top = view("comment", 16, version, content="Top.")
    spider = make()
    found = walk(spider, lists_of({"post": [post], "comment": [comment, top]}, version))
    common = {"date_origin": "site", "author_key": "key of https://home.example/u/ann", "thread_id": "https://a.example/post/1"}
    assert as_rows(found) == [
        {
            "native_id": "https://a.example/post/1", "url": "https://a.example/post/1", "title": "Qwen < R1?",
            "text": "Qwen < R1?\n\nMorale at GenAI is low. Still.\n\nWhy 1 < 2 & a link",
            "posted_at": "2025-01-31T09:00:00.500000+00:00", "edited_at": "2025-01-31T09:30:00+00:00", **common,
        },
        {
            "native_id": "https://b.example/comment/15", "url": "https://b.example/comment/15", "title": "Title 1", "text": "Mine, <sic>.",
            "posted_at": "2025-01-31T10:00:00.123456+00:00", "parent_id": "https://a.example/comment/11", **common,
        },
        {
            "native_id": "https://a.example/comment/16", "url": "https://a.example/comment/16", "title": "Title 1", "text": "Top.",
            "posted_at": "2025-01-31T10:00:00.123456+00:00", "parent_id": "https://a.example/post/1", **common,
        },
    ]  # fmt: skip
    assert not spider.rejections and not spider.failures
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)
    assert spider.next_cursor == {"read": {"https://a.example (all)": "2025-01-31T12:00:00Z"}}


def test_what_is_deleted_and_who_is() -> None:
    """Deleted by its author or removed by moderators is gone; a deleted account's words have no author; no usable date is said."""
    views = [
        view("comment", 1, deleted=True, content=""),
        view("comment", 2, removed=True, content=""),
        {**view("comment", 3), "creator": {"actor_id": "https://home.example/u/ann", "deleted": True}},
        view("comment", 4, published="never"),
    ]
    found = walk(make(), lists_of({"comment": views}))
    assert found[:2] == [Gone("s", "https://a.example/comment/1"), Gone("s", "https://a.example/comment/2")]
    assert [(post.author_key, post.date_origin) for post in found[2:]] == [
        (None, "site"), ("key of https://home.example/u/ann", "fetched"),
    ]  # fmt: skip


def test_communities_are_asked_by_name() -> None:
    """Each community is read by itself, also where only the local is wanted; the version is found out once."""
    asked: list[str] = []
    fetch = lists_of({})
    spider = make({**OPTIONS, "communities": ["openai", "ml@b.example"], "local": True})
    walk(spider, lambda url: (asked.append(url), fetch(url))[1])
    assert [url.split("?")[0].removeprefix("https://a.example/api/") for url in asked] == [
        "v4/post/list", "v3/post/list", "v3/comment/list", "v3/post/list", "v3/comment/list",
    ]  # fmt: skip
    names = [parse_qs(urlsplit(url).query)["community_name"][0] for url in asked]
    assert names == ["openai"] * 3 + ["ml@b.example"] * 2 and all("type_=All" in url for url in asked[1:])
    assert set(spider.next_cursor["read"]) == {"https://a.example openai", "https://a.example ml@b.example"}
    local = make({**OPTIONS, "local": True})
    assert "type_=local" in begin(local)[0].url


# ---- paging over several crawls --------------------------------------------------------------------------------------


@given(
    version=st.sampled_from(["0.18", "0.19", "1"]),
    rounds=st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 55)), max_size=30), min_size=1, max_size=3),
    pinned=st.integers(0, 3),
    most=st.integers(2, 7),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_and_nothing_twice(
    version: str, rounds: list[list[tuple[bool, int]]], pinned: int, most: int, data: st.DataObject
) -> None:
    """Over several crawls of any version, with pinned old posts first: all that is there is read, deletions come, edits come."""
    instance = Instance(version, most=most)
    for _ in range(pinned):
        instance.write("post", NOW - dt.timedelta(days=300), featured_local=True)
    stored: dict[str, Post] = {}
    cursor: dict[str, Any] = {}
    alive: dict[str, dt.datetime] = {}
    for turn, written in enumerate(rounds):
        now = NOW + turn * HOUR
        for is_post, minutes in written:
            when = now - dt.timedelta(minutes=minutes + 1)
            alive[instance.write("post" if is_post else "comment", when)] = when
        for ap_id in data.draw(st.lists(st.sampled_from(sorted(alive)), unique=True, max_size=3)) if alive else []:
            instance.delete(ap_id)
            del alive[ap_id]
        recent = sorted(((key, "", post.posted_at) for key, post in stored.items()), key=lambda row: row[2], reverse=True)
        spider = make(cursor=cursor, now=now, recent=recent)
        found = walk(spider, instance.fetch)
        ids = [item.native_id for item in found]
        assert len(ids) == len(set(ids)) and not spider.failures and not spider.rejections
        for item in found:
            if isinstance(item, Gone):
                stored.pop(item.native_id, None)
            else:
                stored[item.native_id] = item
        assert {key for key, post in stored.items() if post.posted_at > NOW - dt.timedelta(days=1)} == set(alive)
        assert spider.covered is not None and spider.covered[1] == now
        cursor = spider.next_cursor


@pytest.mark.parametrize("version", ["0.18", "0.19", "1"])
def test_a_later_crawl_stops_where_the_last_one_began(version: str) -> None:
    """Only the pages since the last crawl less the overlap are asked, and those back to the oldest post to be looked at again."""
    instance = Instance(version, most=5)
    for hours in range(60):
        instance.write("comment", NOW - hours * HOUR)
    cursor = {"read": {"https://a.example (all)": "2025-01-31T10:00:00Z"}}
    walk(make(cursor=cursor), instance.fetch)
    lists = len([url for url in instance.asked if "/comment/" in url])
    assert lists == 1
    spider = make(cursor=cursor, recent=[("https://a.example/comment/12", "", NOW - 11 * HOUR)])
    walk(spider, instance.fetch)
    assert len([url for url in instance.asked if "/comment/" in url]) - lists == 3
    assert spider.covered == (NOW - 3 * HOUR, NOW)


def test_the_same_post_of_two_instances_is_one() -> None:
    """What two instances show has one id, comes once in a crawl, and is gone when either has removed it."""
    first, second = view("post", 1), view("post", 99, ap_id="https://a.example/post/1")
    removed = view("comment", 5, ap_id="https://a.example/comment/4", removed=True)
    lists = {"a.example": {"post": [first], "comment": [view("comment", 4)]}, "b.example": {"post": [second], "comment": [removed]}}
    spider = make({"urls": ["https://a.example", "https://b.example/"]})
    found = walk(spider, lambda url: lists_of(lists[urlsplit(url).netloc])(url))
    assert [item.native_id for item in found if isinstance(item, Post)].count("https://a.example/post/1") == 1
    assert Gone("s", "https://a.example/comment/4") in found
    assert set(spider.next_cursor["read"]) == {"https://a.example (all)", "https://b.example (all)"} and spider.covered


@pytest.mark.parametrize("cursor_too", [True, False])
@pytest.mark.parametrize("due", [True, False])
def test_a_server_that_ignores_paging(due: bool, cursor_too: bool) -> None:
    """It is asked a few times and no more; where posts are due that is a failure, in the part looked at again a count."""
    items = [view("comment", number) for number in range(50)]
    asked = []

    def fetch(url: str) -> tuple[int, bytes]:
        asked.append(url)
        parts = urlsplit(url)
        if "/v4/" in parts.path:
            return 404, b""
        kind = parts.path.split("/")[3]
        return 200, json.dumps({f"{kind}s": items if kind == "comment" else [], "next_page": "P1" if cursor_too else None}).encode()

    given = {} if due else {"cursor": {"read": {"https://a.example (all)": "2025-01-31T11:59:00Z"}}, "overlap": 60.0}
    spider = make(recent=[("https://a.example/comment/7", "", NOW - 60 * HOUR)], **given)
    found = walk(spider, fetch)
    assert len(found) == 50 and len(asked) <= 8
    told = [sentence for _, sentence in spider.failures] if due else list(spider.rejections)
    assert any("the same page again and again" in sentence for sentence in told)
    assert bool(spider.failures) == due and bool(spider.covered) != due


def test_another_address_or_scope_begins_anew() -> None:
    """A cursor holds for the instance, the community and the scope that it was made of, and holds no password."""
    cursor = {"read": {"https://a.example (all)": "2025-01-31T11:00:00Z"}}
    for options in ({"urls": ["https://b.example"]}, {**OPTIONS, "local": True}, {**OPTIONS, "communities": ["ml"]}):
        spider = make(options, cursor=cursor)
        begin(spider)
        assert spider.since == NOW - dt.timedelta(days=7)
    same = make({"urls": ["https://me:secret@a.example/"]}, cursor=cursor)
    walk(same, lists_of({}))
    assert same.since == NOW - 2 * HOUR and "secret" not in json.dumps(same.next_cursor) + same.summary()


# ---- looked at again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.19", "1"])
def test_edits_and_deletions_are_seen(version: str) -> None:
    """Old posts come anew from the lists; one that is missing is asked for, and only its own instance's word makes it gone."""
    instance = Instance(version, most=5)
    ids = [instance.write("post", NOW - hours * HOUR) for hours in range(20, 30)]
    instance.items["post"][3]["post"]["body"] = "In other words."
    instance.delete(ids[5])
    cursor = {"read": {"https://a.example (all)": "2025-01-31T11:00:00Z"}}
    recent = [(ap_id, "", NOW - hours * HOUR) for hours, ap_id in enumerate(ids, 20)]
    spider = make(cursor=cursor, recent=recent)
    found = walk(spider, instance.fetch)
    assert [item.native_id for item in found if isinstance(item, Gone)] == [ids[5]]
    assert {item.native_id: item.text for item in found if isinstance(item, Post)}[ids[3]].endswith("In other words.")
    assert len([url for url in instance.asked if "resolve_object" in url]) == 1
    few = make(cursor=cursor, recent=recent, options={**OPTIONS, "refresh_limit": 2})
    asked = len(instance.asked)
    walk(few, instance.fetch)
    assert len(instance.asked) - asked <= 5


@pytest.mark.parametrize(
    ("status", "body", "gone", "why"),
    [
        (404, b'{"error": "couldnt_find_object"}', True, ""),
        (200, json.dumps({"post": view("post", 9, deleted=True)}).encode(), True, ""),
        (404, b"<!doctype html>Not here", False, "its instance does not know (any more)"),
        (404, b"", False, "its instance does not know (any more)"),
        (400, b'{"error": "couldnt_find_object"}', False, "its instance does not know (any more)"),
        (200, b"<!doctype html>Maintenance", False, "gives HTML where JSON was due: check the address, and whether it needs a login"),
        (200, json.dumps({"post": view("post", 8)}).encode(), False, "is another post than the one asked for"),
        (200, json.dumps({"person": {}}).encode(), False, "is not an object"),
    ],
)  # fmt: skip
def test_what_makes_a_post_gone(status: int, body: bytes, gone: bool, why: str) -> None:
    """Lemmy's own 404 or its mark; a page, an unknown address or another item leaves the post, and is counted."""
    native_id = "https://a.example/post/9"
    empty = lists_of({})
    spider = make(recent=[(native_id, "", NOW - HOUR)])
    found = walk(spider, lambda url: (status, body) if "resolve_object" in url else empty(url))
    assert found == ([Gone("s", native_id)] if gone else [])
    assert dict(spider.rejections) == ({why: 1} if why else {}) and not spider.failures


@pytest.mark.parametrize(("status", "gone"), [(410, True), (404, False), (400, False), (200, False)])
def test_a_deletion_that_only_other_instances_are_told(status: int, gone: bool) -> None:
    """Lemmy 0.19.9 says of its deleted post that it cannot find it, as of one it never knew; asked as instances do, it says 410."""
    native_id, empty = "https://a.example/post/9", lists_of({})
    spider = make(recent=[(native_id, "", NOW - HOUR)])

    def fetch(url: str) -> tuple[int, bytes]:
        if "resolve_object" in url:
            return 400, b'{"error": "couldnt_find_object"}'
        return (status, b"{}") if url == native_id else empty(url)

    assert walk(spider, fetch) == ([Gone("s", native_id)] if gone else []) and not spider.failures


def test_an_instance_that_never_knew_a_post_is_not_believed() -> None:
    """A post of elsewhere is asked of each instance until one knows it, and stays where none does; few are asked for in one crawl."""
    asked = []
    empty = lists_of({})

    def fetch(url: str) -> tuple[int, bytes]:
        if "resolve_object" not in url:
            return empty(url)
        asked.append(url)
        knows = urlsplit(url).netloc == "b.example" and "post%2F2" in url
        return (404, b'{"error": "not_found"}') if knows else (400, b'{"error": "resolve_object_failed"}')

    recent = [(f"https://c.example/post/{n}", "", NOW - HOUR) for n in (1, 2)] + [("urn:other", "", NOW)]
    spider = make({"urls": ["https://a.example", "https://b.example"]}, recent=recent)
    assert walk(spider, fetch) == [Gone("s", "https://c.example/post/2")]
    assert len(asked) == 6 and sum(spider.rejections.values()) == 2
    asked.clear()
    walk(make(recent=[(f"https://c.example/post/1{n}", "", NOW - HOUR) for n in range(60)]), fetch)
    assert len(asked) == 20


# ---- refusals and broken answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "options", "words", "reason"),
    [
        (400, b'{"error": "instance_is_private"}', {}, "is a private instance, which only its members may read", "banned"),
        (400, b'{"error": "rate_limit_error"}', {}, "allows no more requests for now", "rate_limited"),
        (404, b'{"error": "not_found"}', {"communities": ["ml", "ai"]}, "knows no community ml: write it as name@host", "failed"),
        (400, b'{"error": "couldnt_find_community"}', {"communities": ["ml"]}, "knows no community ml", "failed"),
        (400, b'{"error": "unknown", "message": "secret"}', {}, "answers 400", "failed"),
        (404, b"", {}, "answers 404: is this the address of a Lemmy instance?", "failed"),
        (200, b"<!doctype html>", {}, "gives HTML where JSON was due", "failed"),
        (200, b'{"error": 1}', {}, "is this the address of a Lemmy instance?", "failed"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence(status: int, body: bytes, options: dict[str, Any], words: str, reason: str) -> None:
    """What an instance does not give ends as failed with a sentence on what to do, and never quotes what the answer says."""
    spider = make({**OPTIONS, **options})
    assert walk(spider, lambda url: (status, body)) == []
    assert spider.failures[0][0] == reason and words in spider.summary() and "secret" not in spider.summary()
    assert spider.covered is None and spider.next_cursor == {"read": {}}


def test_half_of_a_pair_does_not_move_the_cursor() -> None:
    """Where the comments cannot be read, the posts come all the same, and all is read again next time."""
    sound = lists_of({"post": [view("post", 1, "v4")]}, "v4")
    spider = make()
    assert len(walk(spider, lambda url: (400, b"{}") if "/comment/" in url else sound(url))) == 1
    assert spider.failures and spider.covered is None and spider.next_cursor == {"read": {}}


def test_a_community_however_it_is_written() -> None:
    """People write a community as its instance shows it, `!ml@b.example`, or as its address ends, `/c/ml`."""
    spider = make({**OPTIONS, "communities": ["!ml@b.example", "/c/ml", "c/ml"]})
    assert [request.url.rpartition("community_name=")[2] for request in begin(spider)] == ["ml%40b.example"]
    assert spider.options.communities == ("ml@b.example", "ml", "ml")


def test_an_older_instance_that_says_not_found_of_all_that_it_does_not_know() -> None:
    """Whether version 4 or the community is unknown, "not_found" does not tell: version 3 is asked before the community is given up."""
    lists = lists_of({"post": [view("post", 1)]})
    spider = make({**OPTIONS, "communities": ["ml"]})
    found = walk(spider, lambda url: (404, b'{"error": "not_found"}') if "/v4/" in url else lists(url))
    assert len(found) == 1 and spider.covered and not spider.failures


def test_lists_that_ignore_paging() -> None:
    """A list that is shorter than a page and comes again unchanged is read whole; one that fills its page may hide older posts."""
    for count, failed in ((3, False), (50, True)):
        views = {kind: [view(kind, number) for number in range(1, count + 1)] for kind in ("post", "comment")}
        spider, first = make(), lists_of(views)
        found = walk(spider, lambda url, first=first: first(url.partition("&page=")[0]))
        assert len(found) == 2 * count and bool(spider.failures) is failed and bool(spider.covered) is not failed


def test_an_instance_that_calls_itself_otherwise_than_it_is_asked() -> None:
    """Behind a proxy the addresses of its posts have another host: parents and second looks go by that one."""
    comments = [view("comment", 12, path="0.11.12", local=True), view("comment", 900, host="far.example", path="0.11.900", local=False)]
    comments[1]["comment"]["id"] = 13
    views = {"post": [], "comment": comments}
    spider = make({"urls": ["http://inside:8536"]}, recent=[("https://a.example/comment/5", "https://a.example/post/1", NOW)])
    asked: list[str] = []
    lists = lists_of(views, "v3")
    found = walk(spider, lambda url: (asked.append(url), lists(url))[1] if "resolve" not in url else (404, b'{"error":"not_found"}'))
    assert [item.parent_id for item in found if isinstance(item, Post)] == ["https://a.example/comment/11"] * 2
    assert [item for item in found if isinstance(item, Gone)] == [Gone("s", "https://a.example/comment/5")]


def test_options_that_are_wrong() -> None:
    """A community that is no name, and no instance at all, are told by their key."""
    with pytest.raises(CrawlError, match=r"sources\.s\.options\.communities\.0 is wrong: write a community's name"):
        make({**OPTIONS, "communities": ["https://a.example/c/ml"]})
    with pytest.raises(CrawlError, match=r"sources\.s\.options\.urls is wrong"):
        make({"urls": []})


OWN_JUNK = JUNK | st.sampled_from([{"post": 1}, {"post": {"ap_id": []}}, "[](" * 99, "> " * 99])


@given(data=st.data(), version=st.sampled_from(["v3", "v4"]), kind=st.sampled_from(["post", "comment"]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject, version: str, kind: str) -> None:
    """Whatever an item holds at any depth, nothing is raised, the sound one beside it comes, and what comes can be stored."""
    items: list[Any] = data.draw(mutated([view(kind, number, version) for number in range(3)], OWN_JUNK))
    sound = view(kind, 4, version, **{"name" if kind == "post" else "content": "The sound one."})
    items.insert(data.draw(st.integers(0, 3)), sound)
    spider = make()
    found = walk(spider, lists_of({kind: items}, version))
    assert any(post.text.startswith("The sound one.") for post in found if isinstance(post, Post))
    assert all(post.text == clean(post.text) and post.posted_at.tzinfo for post in found if isinstance(post, Post))
    fresh_store.save_posts(found)


@given(body=JUNK.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100), status=st.sampled_from([200, 400, 404]))
@settings(max_examples=60, deadline=None)
def test_any_answer_ends_in_a_sentence(body: bytes, status: int) -> None:
    """An answer of any shape raises nothing, whatever it answers; the crawl knows that nothing was read."""
    spider = make(recent=[("https://a.example/post/1", "", NOW)])
    [request] = begin(spider)
    posts = read(request, answer(request, body, status))
    again = spider._resolve("https://a.example/post/1", ["https://a.example"])
    posts += read(again, answer(again, body, status))
    assert not any(isinstance(item, Post) for item in posts_of(posts)) and spider.covered is None


# ---- a whole crawl ---------------------------------------------------------------------------------------------------


def site(instance: Instance) -> Site:
    """An instance on a local port."""

    def given(path: str) -> Answer:
        status, body = instance.fetch(f"http://{instance.host}{path}")
        return Answer(body, status, {"Content-Type": "application/json"})

    paths = [f"/api/{version}/{name}" for version in ("v3", "v4") for name in ("post/list", "comment/list", "resolve_object")]
    robots = Answer("User-agent: *\nDisallow: /search/\nDisallow: /login\n")
    return Site({"/robots.txt": robots, **dict.fromkeys(paths, given)})


def calls(asked: Site) -> list[str]:
    """The requests to the API, without their limits and orders."""
    return [re.sub(r"type_=\w+&sort=\w+&limit=50&?", "", path) for path in asked.paths if path.startswith("/api/")]


def last_cursor(folder: Path) -> Any:
    with Store(folder / "monitor.db", read_only=True) as store:
        return json.loads(store.last_crawls()["s"]["cursor"])


@pytest.mark.real
def test_crawls_of_a_real_server(tmp_path: Path) -> None:
    """Two crawls over HTTP: all is stored once, then what is new, edited and deleted; a dead instance beside it costs it nothing."""
    now = NOW.replace(tzinfo=None)
    instance = Instance("0.19")
    ids = [instance.write(kind, NOW - n * HOUR) for kind in ("post", "comment") for n in range(1, 61)]
    with site(instance) as asked:
        for kind in instance.items:
            for item in instance.items[kind]:
                item[kind]["ap_id"] = item[kind]["ap_id"].replace("https://a.example", asked.url)
        ids = [ap_id.replace("https://a.example", asked.url) for ap_id in ids]
        given = {"urls": ["http://127.0.0.1:1", asked.url]}
        first = crawl(tmp_path, "lemmy", given)
        assert (first["finish_reason"], first["counts"]["new"]) == ("robots_unreachable", 120)
        assert "127.0.0.1:1" in first["message"]
        assert calls(asked) == [
            "/api/v4/post/list?time_range_seconds=0", "/api/v3/post/list?", "/api/v3/post/list?page_cursor=P50",
            "/api/v3/comment/list?", "/api/v3/post/list?page_cursor=P100", "/api/v3/comment/list?page=2", "/api/v3/comment/list?page=3",
        ]  # fmt: skip
        assert last_cursor(tmp_path) == {"read": {f"{asked.url} (all)": "2025-01-31T12:00:00Z"}}
        asked.requests.clear()
        instance.delete(ids[3])
        instance.delete(ids[63])
        instance.items["comment"][5]["comment"]["content"] = "In other words."
        later = (now + HOUR).isoformat() + "Z"
        second = crawl(tmp_path, "lemmy", {"urls": [asked.url]}, now=later)
        assert (second["finish_reason"], second["message"]) == ("finished", "")
        assert (second["counts"]["new"], second["counts"]["changed"], second["counts"]["deleted"]) == (0, 1, 2)
        assert [path for path in calls(asked) if "resolve_object" in path] == [
            f"/api/v3/resolve_object?q={ids[3].replace(':', '%3A').replace('/', '%2F')}"
        ]
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = {row[0]: row[1] for row in store.rows("SELECT native_id, text FROM posts")}
    assert texts[ids[65]] == "In other words." and texts[ids[3]] == texts[ids[63]] == "" and len(texts) == 120
