"""Bluesky is read by search with an app password and by authors' feeds without one, and who asks not to be shown is not."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reading import NOW, answer, as_rows, begin, posts_of, read
from scrapy.http import Request, Response

from monitor.errors import CrawlError
from monitor.records import Gone, Post, clean
from monitor.store import Store
from spiders.bluesky import Bluesky

ANN = "did:plc:ann"
SECRET, TOKEN = "abcd-efgh-ijkl-mnop", "eyJ.token-of-the.session"
ACCOUNT = {"identifier": "us.example", "app_password": SECRET, "queries": ["OpenAI"]}


def iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def uri(key: object, did: str = ANN) -> str:
    return f"at://{did}/app.bsky.feed.post/{key}"


def post(key: object, text: object = "Morale is low.", at: dt.datetime = NOW - dt.timedelta(hours=1), **fields: Any) -> dict[str, Any]:
    """A post as Bluesky shows it (app.bsky.feed.defs#postView)."""
    record = {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2031-01-01T00:00:00Z", **fields.pop("record", {})}
    author = {"did": ANN, "handle": "ann.example", "labels": [], **fields.pop("author", {})}
    return {"uri": uri(key), "cid": "c", "author": author, "record": record, "indexedAt": iso(at), "labels": [], **fields}


def make(options: Mapping[str, Any] = ACCOUNT, **given: Any) -> Any:
    return reading.make(Bluesky, options, **given)


def follow(spider: Any, fetch: Callable[[Request], Response], most: int = 500) -> list[Any]:
    """Every request to its end; `most` requests are more than any of these crawls needs."""
    waiting, found, asked = begin(spider), [], 0
    while waiting:
        request = waiting.pop(0)
        asked += 1
        assert asked <= most, "it asks for ever"
        made = read(request, fetch(request))
        waiting += [item for item in made if isinstance(item, Request)]
        found += posts_of(made)
    return found


def words_of(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def method_of(request: Request) -> str:
    return urlsplit(request.url).path.rpartition("/")[2]


def listing(pages: Mapping[str | None, object], status: int = 200) -> Callable[[Request], Response]:
    """An account that is let in, and a list whose pages are known by their cursor."""

    def fetch(request: Request) -> Response:
        if method_of(request) == "com.atproto.server.createSession":
            return answer(request, json.dumps({"accessJwt": TOKEN}).encode())
        page = pages.get(words_of(request).get("cursor"))
        return answer(request, json.dumps(page).encode(), status if page is None else 200)

    return fetch


def search_page(posts: Sequence[object], spider: Any | None = None) -> tuple[list[Any], Any]:
    """What the spider makes of one page of a search."""
    spider = spider or make()
    return follow(spider, listing({None: {"posts": posts}})), spider


# ---- posts -----------------------------------------------------------------------------------------------------------


def test_a_search_gives_its_posts() -> None:
    """Every field of every kind of post: the time is Bluesky's, not the author's; a quoted post's words are not the author's."""
    quote = {"$type": "app.bsky.embed.record", "record": {"uri": uri("q", "did:plc:bob"), "cid": "c"}}
    reply = {"root": {"uri": uri("root", "did:plc:bob"), "cid": "c"}, "parent": {"uri": uri("p", "did:web:x.example"), "cid": "c"}}
    facets = [{"index": {"byteStart": 0, "byteEnd": 7}, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "OpenAI"}]}]
    quoted = {"$type": "app.bsky.embed.record#view", "record": {"value": {"text": "Not Ann's words."}}}
    found, spider = search_page(
        [
            post("a", "#OpenAI & co: <good> &amp; bad\r\nNext line 😀", record={"facets": facets}),
            post("b", "> is it?\n\nIt is.", record={"reply": reply}),
            post("c", "Look at this:", record={"embed": quote}, embed=quoted),
            post("d", "Undated.", indexedAt="soon"),
            post("e", "", record={"embed": {"$type": "app.bsky.embed.images"}}),
            post("a", "#OpenAI again, on the same page"),
            {**post("f"), "uri": f"at://{ANN}/app.bsky.feed.like/f"},
        ]
    )
    same = {"author_key": f"key of {ANN}", "date_origin": "site", "posted_at": "2025-01-31T11:00:00+00:00"}
    link = f"https://bsky.app/profile/{ANN}/post"
    assert as_rows(found) == [
        {**same, "native_id": uri("a"), "url": f"{link}/a", "thread_id": uri("a"), "text": "#OpenAI & co: <good> &amp; bad\nNext line 😀"},
        {**same, "native_id": uri("b"), "url": f"{link}/b", "thread_id": uri("root", "did:plc:bob"),
         "parent_id": uri("p", "did:web:x.example"), "text": "It is."},
        {**same, "native_id": uri("c"), "url": f"{link}/c", "thread_id": uri("c"), "text": "Look at this:"},
        {**same, "native_id": uri("d"), "url": f"{link}/d", "thread_id": uri("d"), "text": "Undated.", "date_origin": "fetched",
         "posted_at": "2025-01-31T12:00:00+00:00"},
    ]  # fmt: skip
    assert spider.rejections == {"holds no words of its author's own": 1, "has no post's address (at://...) for its id": 1}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW) and not spider.failures


def test_who_asks_not_to_be_shown_is_left_out() -> None:
    """Labels of the author's account, of the post itself, and of Bluesky's moderation are obeyed; others, and ones taken back, are not."""
    no = [{"val": "!no-unauthenticated", "src": ANN}]
    found, spider = search_page(
        [
            post(1, author={"labels": no}),
            post(2, record={"labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "!no-unauthenticated"}]}}),
            post(3, labels=[{"val": "!hide"}]),
            post(4, labels=[{"val": "porn"}, {"val": "!takedown"}]),
            post(5, labels="!hide"),
            post(6, author={"labels": ["!no-unauthenticated"]}),
            post(7, author={"labels": [{"val": "!no-unauthenticated", "neg": True}]}, labels=[{"val": "!warn"}]),
            {**post(8), "author": None},
        ]
    )
    assert [item.native_id for item in found] == [uri(7)]
    assert spider.rejections == {
        "is labelled !no-unauthenticated: it is not to be shown": 2,
        "is labelled !hide: it is not to be shown": 1,
        "is labelled !takedown: it is not to be shown": 1,
        "has labels that cannot be read": 2,
        "has no author whose labels could be read": 1,
    }


def test_an_author_s_feed_needs_no_account() -> None:
    """Without an app password the public API gives listed accounts' posts and replies; reposts do not count, a pinned post ends nothing."""
    old = NOW - dt.timedelta(days=400)
    repost = {"$type": "app.bsky.feed.defs#reasonRepost", "by": {"did": ANN}, "indexedAt": iso(NOW - dt.timedelta(hours=2))}
    pin = {"$type": "app.bsky.feed.defs#reasonPin"}
    pages = {
        None: {
            "feed": [
                {"post": post("pinned", "Pinned.", old), "reason": pin},
                {"post": post("new", "New.")},
                {"post": {**post("bobs", "Bob's words.", old), "uri": uri("bobs", "did:plc:bob")}, "reason": repost},
            ],
            "cursor": "2",
        },
        "2": {"feed": [{"post": post("older", "Older.", NOW - dt.timedelta(days=6))}, {"post": post("too old", at=old)}], "cursor": "3"},
    }
    spider = make({"actors": ["ann.example"]})
    asked: list[Request] = []

    def fetch(request: Request) -> Response:
        asked.append(request)
        return listing(pages)(request)

    assert [item.text for item in follow(spider, fetch)] == ["Pinned.", "New.", "Older."]
    assert [urlsplit(request.url).netloc for request in asked] == ["public.api.bsky.app"] * 2
    assert words_of(asked[0]) == {"actor": "ann.example", "limit": "100"} and "Authorization" not in asked[0].headers
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW) and not spider.failures
    assert "ann.example" not in json.dumps(spider.next_cursor)


# ---- paging ----------------------------------------------------------------------------------------------------------


class Search:
    """Bluesky's search: newest first by the earlier of a post's two times, at most `cap` of one search, by opaque cursors."""

    def __init__(self, posts: Mapping[str, tuple[dt.datetime, dt.datetime]], page: int, cap: int, counts: bool) -> None:
        self.posts, self.page, self.cap, self.counts = posts, page, cap, counts

    def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            return answer(request, json.dumps({"accessJwt": TOKEN}).encode())
        assert request.headers["Authorization"] == f"Bearer {TOKEN}".encode()
        words = words_of(request)
        since, until = (dt.datetime.fromisoformat(words[name]) for name in ("since", "until"))
        within = sorted(((min(times), key) for key, times in self.posts.items() if since <= min(times) < until), reverse=True)
        begin_at = int(words.get("cursor", "o0")[1:])
        end = min(begin_at + self.page, self.cap)
        if begin_at >= self.cap:
            return answer(request, b'{"error": "InvalidRequest"}', 400)
        found = [post(key, f"Post {key}.", self.posts[key][1]) for _, key in within[begin_at:end]]
        given: dict[str, object] = {"posts": found} | ({"hitsTotal": len(within)} if self.counts else {})
        if end < len(within) and (end < self.cap or not self.counts):
            given["cursor"] = f"o{end}"
        return answer(request, json.dumps(given).encode())


@given(
    minutes=st.lists(st.tuples(st.integers(0, 60 * 24 * 8), st.integers(0, 90)), max_size=60),
    page=st.integers(3, 9),
    cap=st.integers(5, 20),
    counts=st.booleans(),
    hours=st.lists(st.integers(1, 72), min_size=1, max_size=3),
)
@example(minutes=[(n, 0) for n in range(60)], page=5, cap=10, counts=True, hours=[1])
@example(minutes=[(n, 0) for n in range(60)], page=5, cap=10, counts=False, hours=[1])
@example(minutes=[(n // 2, 0) for n in range(60)], page=5, cap=5, counts=True, hours=[1])
@settings(max_examples=60, deadline=None)
def test_no_post_is_lost_to_the_cap(minutes: list[tuple[int, int]], page: int, cap: int, counts: bool, hours: list[int]) -> None:
    """Whatever pages and cap a search has, and though programs date posts back: every post of the span comes, once in a crawl."""
    end = NOW + dt.timedelta(hours=sum(hours))
    posts = {}
    for number, (minute, back) in enumerate(minutes):
        seen = end - dt.timedelta(minutes=minute, milliseconds=number // 2)  # an instant that fills a search cannot be seen through
        posts[str(number)] = (seen - dt.timedelta(minutes=back if minute % 3 == 0 else 0), seen)
    search, cursor, now = Search(posts, page, cap, counts), {}, NOW
    for step in [0, *hours]:
        now += dt.timedelta(hours=step)
        search.posts = {key: times for key, times in posts.items() if times[1] < now}
        spider = make({**ACCOUNT, "first_days": 3}, cursor=cursor, now=now, overlap=5400.0)
        found = [item.native_id for item in follow(spider, search)]
        since = spider.read[0].since
        assert sorted(found) == sorted(uri(key) for key, times in search.posts.items() if since <= min(times))
        assert not spider.failures and not spider.rejections
        assert spider.covered == (since, now)
        cursor = spider.next_cursor


def test_a_cap_that_cannot_be_passed_is_said() -> None:
    """A search that ends before its hits do, and does not keep to a span of time, says so; only what was read is covered."""
    times = [NOW - dt.timedelta(minutes=n) for n in range(1, 31)]
    page = {"posts": [post(n, at=time) for n, time in enumerate(times)], "hitsTotal": 5000}
    spider = make()
    assert len(follow(spider, listing({None: page}))) == 30
    assert spider.covered == (times[-1], NOW)
    assert "the older part of a search that gives no more than this" in spider.summary()
    assert "/xrpc/app.bsky.feed.searchPosts)" in spider.summary()


@pytest.mark.parametrize("cursors", ["the same", "ever new"])
def test_a_server_that_does_not_page_ends(cursors: str) -> None:
    """The same page for any cursor ends the crawl as failed, with a sentence, after a bounded number of requests."""
    served = 0

    def fetch(request: Request) -> Response:
        nonlocal served
        served += 1
        if request.method == "POST":
            return answer(request, json.dumps({"accessJwt": TOKEN}).encode())
        return answer(request, json.dumps({"posts": [post(1)], "cursor": "x" if cursors == "the same" else str(served)}).encode())

    spider = make()
    assert len(follow(spider, fetch, most=40)) == 1
    assert "cannot be paged" in spider.failures[0][1] and spider.covered is None
    assert spider.next_cursor["until"] == {}


def test_one_account_that_is_gone_costs_only_itself() -> None:
    """Its place in the options is told, never its name; the other's cursor moves on, and a word that is new begins with `first_days`."""

    def fetch(request: Request) -> Response:
        if words_of(request)["actor"] == "bob.example":
            return answer(request, b'{"error": "InvalidRequest", "message": "Profile not found"}', 400)
        return answer(request, json.dumps({"feed": [{"post": post(1)}]}).encode())

    spider = make({"actors": ["ann.example", "bob.example"]})
    assert len(follow(spider, fetch)) == 1
    [(reason, sentence)] = spider.failures
    assert reason == "failed" and "answers 400 for options.actors.1: correct it, or take it out" in sentence and "bob" not in sentence
    later = make({"actors": ["bob.example", "ann.example"]}, cursor=spider.next_cursor)
    begin(later)
    assert [item.since for item in later.listings.values()] == [NOW - dt.timedelta(days=7), NOW - dt.timedelta(hours=1)]
    moved = make({"actors": ["ann.example"], "api": "https://else.example"}, cursor=spider.next_cursor)
    begin(moved)
    assert [item.since for item in moved.listings.values()] == [NOW - dt.timedelta(days=7)]


# ---- looking again ---------------------------------------------------------------------------------------------------


def test_posts_are_looked_at_again() -> None:
    """25 at a time, the newest first: what a whole answer leaves out, or what is labelled since, is gone; a refusal changes nothing."""
    there = {uri(n): post(n, f"Post {n}.") for n in range(60)}
    there[uri(3)]["author"]["labels"] = [{"val": "!no-unauthenticated"}]
    del there[uri(7)], there[uri(30)]
    asked: list[int] = []

    def fetch(request: Request) -> Response:
        if method_of(request) == "app.bsky.feed.getAuthorFeed":
            return answer(request, b'{"feed": []}')
        uris = parse_qs(urlsplit(request.url).query)["uris"]
        asked.append(len(uris))
        if uri(50) in uris:
            return answer(request, b'{"posts": [{"uri": null}]}')
        return answer(request, json.dumps({"posts": [there[each] for each in uris if each in there] + [post("other")]}).encode())

    recent = [(uri(n), "", NOW) for n in range(60)]
    spider = make({"actors": ["ann.example"], "refresh_limit": 55}, recent=recent)
    found = follow(spider, fetch)
    assert asked == [25, 25, 5]
    assert [item.native_id for item in found if isinstance(item, Gone)] == [uri(3), uri(7), uri(30)]
    assert len(found) == 50
    assert spider.rejections == {"is another post than those asked for": 2, "has no id": 1}
    assert spider.covered and not spider.failures


# ---- being let in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"error": "AuthenticationRequired"}', "answers 401: it does not take this identifier and app_password"),
        (400, b'{"error": "InvalidRequest"}', "answers 400: it does not take this identifier and app_password"),
        (200, b"<!doctype html><p>Hello", "gives HTML where JSON was due"),
        (200, b'{"accessJwt": "a\\r\\nX-Evil: 1"}', "opens no session"),
        (200, b'{"accessJwt": 7}', "opens no session"),
        (200, b"[]", "gives JSON of another shape"),
    ],
)
def test_a_server_that_does_not_let_us_in(status: int, body: bytes, words: str) -> None:
    """It is one failure with a sentence that says what to do, in which there is no secret."""
    spider = make()
    [request] = begin(spider)
    assert request.method == "POST" and json.loads(request.body) == {"identifier": "us.example", "password": SECRET}
    assert request.url == "https://bsky.social/xrpc/com.atproto.server.createSession"
    assert read(request, answer(request, body, status)) == []
    [(reason, sentence)] = spider.failures
    assert reason == "failed" and words in sentence
    assert SECRET not in sentence and "us.example" not in sentence and SECRET not in repr(spider.options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "write queries, with identifier and app_password, or list actors"),
        ({"queries": ["x"]}, "queries need identifier and app_password"),
        ({"queries": ["x"], "identifier": "us.example"}, "write identifier and app_password, or neither"),
        ({**ACCOUNT, "queries": ["x", " "]}, "write no empty words"),
        ({**ACCOUNT, "queries": {SECRET: 1}}, "sources.s.options.queries is wrong"),
        ({**ACCOUNT, "passwort": SECRET}, "is not an option of type bluesky"),
    ],
)
def test_options_that_cannot_work(options: Mapping[str, Any], words: str) -> None:
    """What is missing is said in a sentence that holds no secret."""
    with pytest.raises(CrawlError) as caught:
        make(options)
    assert words in str(caught.value) and SECRET not in str(caught.value)


# ---- broken answers --------------------------------------------------------------------------------------------------

REPLY = {"reply": {"root": {"uri": uri(8)}, "parent": {"uri": uri(9)}}, "labels": {"values": [{"val": "other"}]}}


@given(data=st.data(), way=st.sampled_from(["search", "feed", "again"]))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_post_costs_only_itself(fresh_store: Store, data: st.DataObject, way: str) -> None:
    """Whatever one post holds, nothing is raised, the sound one beside it comes, and all that comes can be stored."""
    posts: list[Any] = [post(1, labels=[{"val": "spam"}]), post(2, record=REPLY), post(3, author={"labels": [{"val": "!hide"}]})]
    reason = {"$type": "app.bsky.feed.defs#reasonRepost", "indexedAt": iso(NOW)}
    items: list[Any] = [{"post": each, "reason": reason} for each in posts] if way == "feed" else posts
    broken = data.draw(mutated(items))
    sound = post("sound", "The sound one.")
    broken.insert(data.draw(st.integers(0, len(broken))), {"post": sound} if way == "feed" else sound)
    spider = make({"actors": ["ann.example"]}, recent=[(uri("sound"), "", NOW)]) if way != "search" else make()
    pages = {"search": {"posts": broken}, "feed": {"feed": broken}, "again": {"posts": broken}}

    def fetch(request: Request) -> Response:
        if request.method == "POST":
            return answer(request, json.dumps({"accessJwt": TOKEN}).encode())
        refresh = method_of(request) == "app.bsky.feed.getPosts"
        page = pages[way] if refresh == (way == "again") else {"posts": [sound], "feed": []}
        return answer(request, json.dumps(page).encode())

    found = follow(spider, fetch)
    assert "The sound one." in [item.text for item in found if isinstance(item, Post)]
    assert Gone("s", uri("sound")) not in found
    for item in found:
        if isinstance(item, Post):
            assert item.text == clean(item.text) and item.posted_at.tzinfo is not None
    fresh_store.save_posts(found)


@given(body=st.one_of(JUNK.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200)), account=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_answer_ends_in_a_sentence(body: bytes, account: bool) -> None:
    """An answer of any shape raises nothing; when nothing could be read, the crawl knows."""
    spider = make(ACCOUNT if account else {"actors": ["ann.example"]})
    [request] = begin(spider)
    assert read(request, answer(request, body)) == []
    assert spider.failures


# ---- a whole crawl ---------------------------------------------------------------------------------------------------


def posting(site: Site) -> list[bytes]:
    """Let a site take POST too: what was posted to it, in order."""
    posted: list[bytes] = []
    handler: Any = site.server.RequestHandlerClass

    def do_post(self: Any) -> None:
        posted.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    handler.do_POST = do_post
    return posted


def rows(folder: Path, sql: str) -> list[Any]:
    with Store(folder / "monitor.db", read_only=True) as store:
        return [tuple(row) for row in store.rows(sql)]


XRPC = "/xrpc/app.bsky.feed"
LOGIN = "/xrpc/com.atproto.server.createSession"


def test_crawls_of_a_living_network(tmp_path: Path) -> None:
    """Two rounds over HTTP: let in, searched, looked at again, a deletion seen; no secret and no name reaches disk or log."""
    there = {n: post(n, f"Nobody told the platform crew {n}.", NOW - dt.timedelta(hours=n)) for n in (1, 2)}
    answers = {
        LOGIN: as_json({"accessJwt": TOKEN, "refreshJwt": "another-secret"}),
        f"{XRPC}.searchPosts": lambda _: as_json({"posts": list(there.values())}),
        f"{XRPC}.getPosts": lambda _: as_json({"posts": list(there.values())}),
    }
    with Site(answers) as site:
        posted = posting(site)
        options = {**ACCOUNT, "api": site.url}
        first = crawl(tmp_path, "bluesky", options)
        assert (first["finish_reason"], first["counts"]["new"], first["message"]) == ("finished", 2, "")
        del there[2]
        before = len(site.paths)
        second = crawl(tmp_path, "bluesky", options, now="2025-01-31T12:30:00Z")
        assert (second["finish_reason"], second["counts"]["deleted"]) == ("finished", 1)
        paths = [path for path in site.paths[before:] if path.startswith("/xrpc")]
        requests = {urlsplit(path).path: parse_qs(urlsplit(path).query) for path in paths}
        assert len(paths) == 3 and requests[LOGIN] == {}
        assert requests[f"{XRPC}.getPosts"] == {"uris": [uri(1), uri(2)]}
        assert requests[f"{XRPC}.searchPosts"] == {
            "q": ["OpenAI"], "limit": ["100"], "sort": ["latest"], "since": ["2025-01-31T11:00:00.000Z"],
            "until": ["2025-01-31T12:30:00.000Z"],
        }  # fmt: skip
        assert site.paths[0] == "/robots.txt"
        headers = {path: headers for _, path, headers in site.requests}
        assert all(headers[path].get("Authorization") == f"Bearer {TOKEN}" for path in paths if path != LOGIN)
    assert [json.loads(body) for body in posted] == [{"identifier": "us.example", "password": SECRET}] * 2
    assert rows(tmp_path, f"SELECT text FROM posts WHERE native_id = '{uri(2)}'") == [("",)]
    for file in tmp_path.glob("monitor.db*"):
        held = file.read_bytes()
        assert not any(word.encode() in held for word in (SECRET, TOKEN, "another-secret", "ann.example", "us.example"))
    assert first["log"] == second["log"] == ""


@pytest.mark.parametrize(
    ("login", "reason", "words"),
    [
        (as_json({"error": "AuthenticationRequired"}, status=401), "failed", "make an app password in Bluesky's settings"),
        (Answer(status=307, headers={"Location": "/elsewhere"}), "failed", "createSession answers 307"),
        (Answer(status=429, headers={"Retry-After": "300"}), "rate_limited", "asked us to stay away"),
        (Answer(status=500), "failed", "createSession answers 500"),
    ],
)
@pytest.mark.real  # a whole crawl in a process of its own
def test_a_login_that_fails(tmp_path: Path, login: Answer, reason: str, words: str) -> None:
    """The crawl ends with its reason and a sentence; the password goes nowhere else, and nothing is searched without it."""
    with Site({LOGIN: login, "/elsewhere": as_json({"accessJwt": TOKEN})}) as site:
        posting(site)
        result = crawl(tmp_path, "bluesky", {**ACCOUNT, "api": site.url})
        assert {path for path in site.paths if path not in ("/robots.txt", "/.well-known/tdmrep.json")} == {LOGIN}
    assert result["finish_reason"] == reason and words in result["message"]
    assert SECRET not in result["message"] + result["log"]
