"""Reddit is read through its API with approved credentials: its listings as far as they reach, and never beyond its limit."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import TERMS, Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, answer, as_rows, begin, read
from scrapy.http import Request, Response
from test_bluesky import follow, posting, rows

from monitor.errors import CrawlError
from monitor.records import Gone, Post, clean
from monitor.store import Store
from spiders.reddit import Reddit

SECRET, TOKEN = "s3cr3t-of-the-app", "eyJ.token_of-reddit"
APP = {"client_id": "our-client", "client_secret": SECRET, "subreddits": ["OpenAI"]}
HOUR = 3600.0


def link(key: str, title: object = "Morale at OpenAI", text: str = "", ago: float = HOUR, **fields: Any) -> dict[str, Any]:
    """A post as a listing holds it."""
    return {
        "kind": "t3",
        "data": {
            "name": f"t3_{key}", "id": key, "title": title, "selftext": text, "selftext_html": html_of(text) if text else None,
            "author": "ann", "created_utc": NOW.timestamp() - ago, "edited": False, "permalink": f"/r/OpenAI/comments/{key}/morale/",
            "removed_by_category": None, "score": 7, **fields,
        },
    }  # fmt: skip


def comment(key: str, text: str = "Low.", ago: float = HOUR, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "t1",
        "data": {
            "name": f"t1_{key}", "id": key, "body": text, "body_html": html_of(text), "author": "bob", "edited": False,
            "created_utc": NOW.timestamp() - ago, "link_id": "t3_a", "parent_id": "t1_p", "link_title": "Morale at OpenAI",
            "permalink": f"/r/OpenAI/comments/a/morale/{key}/", **fields,
        },
    }  # fmt: skip


def html_of(text: str) -> str:
    return f'<!-- SC_OFF --><div class="md"><p>{text}</p>\n</div><!-- SC_ON -->'


def listing(children: Sequence[object], after: object = None) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"after": after, "before": None, "children": children}}


def make(options: Mapping[str, Any] = APP, **given: Any) -> Any:
    return reading.make(Reddit, options, **given)


def reddit(
    new: Sequence[object] = (), comments: Sequence[object] = (), info: Sequence[object] = (), **headers: str
) -> Callable[[Request], Response]:
    """Reddit with these listings, each in one page."""
    pages = {"new": new, "comments": comments, "info": info}

    def fetch(request: Request) -> Response:
        if request.method == "POST":
            return answer(request, json.dumps({"access_token": TOKEN, "token_type": "bearer", "expires_in": 86400}).encode())
        assert request.headers["Authorization"] == f"Bearer {TOKEN}".encode()
        return answer(request, json.dumps(listing(pages[urlsplit(request.url).path.rpartition("/")[2]])).encode(), **headers)

    return fetch


# ---- posts and comments ----------------------------------------------------------------------------------------------


def test_listings_give_posts_and_comments() -> None:
    """Every field of every kind: a post begins with its title, a link's text is its title, quotes and code are not the author's words."""
    quote = '<div class="md"><blockquote><p>Is it?</p></blockquote>\n<p>It is &amp; was.</p><pre><code>x = 1</code></pre></div>'
    new = [
        link("a", "Morale & <pay> at OpenAI", "Low since the <b>reorg</b>.", edited=NOW.timestamp() - 60.5),
        link("b", "A link", url="https://news.example/1"),
        link("c", "Escaped", selftext_html="&lt;div class=&quot;md&quot;&gt;&lt;p&gt;A &amp;amp; B&lt;/p&gt;&lt;/div&gt;"),
        link("d", "Markdown only", "> theirs\n\nmine >!hidden!<", selftext_html=None),
        link("e", "Undated", created_utc="yesterday"),
        link("f", "Rules of this place", author="AutoModerator"),
    ]
    comments = [
        comment("a", body_html=quote),
        comment("b", "Nobody's.", author="[deleted]", parent_id="t3_a"),
        comment("c", "Lost.", permalink=None),
    ]
    spider = make()
    base, post_at = "https://www.reddit.com/r/OpenAI/comments", {"posted_at": "2025-01-31T11:00:00+00:00", "date_origin": "site"}
    ann, thread = {"author_key": "key of ann", **post_at}, {"thread_id": "t3_a", "title": "Morale at OpenAI", **post_at}
    assert as_rows(follow(spider, reddit(new, comments))) == [
        {**ann, "native_id": "t3_a", "url": f"{base}/a/morale/", "thread_id": "t3_a", "title": "Morale & <pay> at OpenAI",
         "text": "Morale & <pay> at OpenAI\n\nLow since the reorg.", "edited_at": "2025-01-31T11:58:59.500000+00:00"},
        {**ann, "native_id": "t3_b", "url": f"{base}/b/morale/", "thread_id": "t3_b", "title": "A link", "text": "A link"},
        {**ann, "native_id": "t3_c", "url": f"{base}/c/morale/", "thread_id": "t3_c", "title": "Escaped", "text": "Escaped\n\nA & B"},
        {**ann, "native_id": "t3_d", "url": f"{base}/d/morale/", "thread_id": "t3_d", "title": "Markdown only",
         "text": "Markdown only\n\nmine >!hidden!<"},
        {**ann, "native_id": "t3_e", "url": f"{base}/e/morale/", "thread_id": "t3_e", "title": "Undated", "text": "Undated",
         "posted_at": "2025-01-31T12:00:00+00:00", "date_origin": "fetched"},
        {**thread, "native_id": "t1_a", "url": f"{base}/a/morale/a/", "parent_id": "t1_p", "text": "It is & was.",
         "author_key": "key of bob"},
        {**thread, "native_id": "t1_b", "url": f"{base}/a/morale/b/", "parent_id": "t3_a", "text": "Nobody's."},
    ]  # fmt: skip
    assert spider.rejections == {"has no web address": 1} and not spider.failures
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)


def test_what_was_deleted_or_removed_is_gone() -> None:
    """By its author, a moderator or Reddit: gone in a listing, and gone when it is looked at again."""
    removed = [
        link("a", text="[deleted]", author="[deleted]"),
        link("b", text="[removed]"),
        link("c", removed_by_category="moderator"),
        link("d", "[ Removed by Reddit ]"),
        comment("e", "[deleted]", author="[deleted]"),
        comment("f", "[removed]"),
    ]
    gone = [Gone("s", item["data"]["name"]) for item in removed]
    assert follow(make(), reddit(new=removed)) == gone
    recent = [(item["data"]["name"], "", NOW) for item in removed]
    assert follow(make(recent=recent), reddit(info=removed)) == gone


def test_posts_are_looked_at_again() -> None:
    """A hundred at a time, the newest first: an edit is the post anew; what is not shown is no news, since its subreddit may be closed."""
    asked: list[list[str]] = []
    edited = comment("0", "In other words.", edited=NOW.timestamp() - 60)

    def fetch(request: Request) -> Response:
        if "/api/info" in request.url:
            words = parse_qs(urlsplit(request.url).query)
            assert words["raw_json"] == ["1"]
            asked.append(words["id"][0].split(","))
            return answer(request, json.dumps(listing([edited, comment("other")])).encode())
        return reddit()(request)

    spider = make({**APP, "refresh_limit": 120}, recent=[(f"t1_{n}", "t3_a", NOW) for n in range(200)])
    [found] = follow(spider, fetch)
    assert [len(names) for names in asked] == [100, 20]
    assert (found.text, found.edited_at) == ("In other words.", NOW - dt.timedelta(seconds=60))
    assert spider.rejections == {"is another item than those asked for": 3} and spider.covered


# ---- paging ----------------------------------------------------------------------------------------------------------


class Subreddit:
    """Listings by age, a hundred (or `page`) at a time, of which only the newest `cap` are given."""

    def __init__(self, times: Mapping[str, list[float]], page: int = 100, cap: int = 1000) -> None:
        self.times, self.page, self.cap, self.now = times, page, cap, NOW

    def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            return answer(request, json.dumps({"access_token": TOKEN}).encode())
        url = urlsplit(request.url)
        kind, words = url.path.rpartition("/")[2], parse_qs(url.query)
        assert words["limit"] == ["100"] and words["raw_json"] == ["1"]
        make_one = link if kind == "new" else comment
        newest = [
            make_one(str(number), ago=NOW.timestamp() - time)
            for time, number in sorted(((time, n) for n, time in enumerate(self.times[kind]) if time <= self.now.timestamp()), reverse=True)
        ][: self.cap]
        names = [item["data"]["name"] for item in newest]
        begin_at = names.index(words["after"][0]) + 1 if "after" in words else 0
        end = begin_at + self.page
        return answer(request, json.dumps(listing(newest[begin_at:end], names[end - 1] if end < len(newest) else None)).encode())


AGES = st.lists(st.integers(-86400 * 2, 86400 * 9).map(float), max_size=40)


@given(posts=AGES, comments=AGES, page=st.integers(1, 7), hours=st.lists(st.integers(1, 30), max_size=3))
@settings(max_examples=60, deadline=None)
def test_no_item_is_lost(posts: list[float], comments: list[float], page: int, hours: list[int]) -> None:
    """Over several crawls every post and comment since the last one, less the overlap, comes, and none twice in one."""
    times = {"new": [NOW.timestamp() - ago for ago in posts], "comments": [NOW.timestamp() - ago for ago in comments]}
    forum, cursor, now = Subreddit(times, page), {}, NOW
    for step in [0, *hours]:
        now += dt.timedelta(hours=step)
        forum.now = now
        spider = make(cursor=cursor, now=now)
        found = [item.native_id for item in follow(spider, forum)]
        since = spider.due[0].since
        due = [
            f"{kind}_{number}"
            for kind, name in (("t3", "new"), ("t1", "comments"))
            for number, time in enumerate(times[name])
            if since.timestamp() <= time <= now.timestamp()
        ]
        assert len(found) == len(set(found)) and set(due) <= set(found)
        assert not spider.failures and spider.covered and spider.covered[1] == now
        cursor = spider.next_cursor


@pytest.mark.parametrize(("page", "cap"), [(100, 1000), (93, 930), (100, 300)])
def test_a_listing_that_ends_too_soon_is_said(page: int, cap: int) -> None:
    """Where a listing ends before it reaches the last crawl, only what it reaches is covered; a small subreddit reaches everything."""
    times = [NOW.timestamp() - 60 * n for n in range(1500)]
    spider = make()
    assert len(follow(spider, Subreddit({"new": times, "comments": []}, page, cap))) == cap
    assert spider.covered == (NOW - dt.timedelta(minutes=cap - 1), NOW) and not spider.failures
    assert "older items than Reddit lists (about 1000)" in spider.summary() and "/r/OpenAI/new)" in spider.summary()
    small = make()
    assert len(follow(small, Subreddit({"new": times[:40], "comments": times[:30]}))) == 70
    assert small.covered == (NOW - dt.timedelta(days=7), NOW) and not small.summary()


def test_paging_stops_when_it_has_read_what_is_due() -> None:
    """No page is asked for beyond the one that reaches far enough; an old item above younger ones does not end it."""
    forum, asked = Subreddit({"new": [NOW.timestamp() - 3600 * n for n in range(900)], "comments": []}), []
    old = link("old", ago=86400 * 30)

    def fetch(request: Request) -> Response:
        asked.append(request.url)
        found = forum(request)
        if "/new" in request.url:
            page = json.loads(found.body)
            return answer(request, json.dumps(listing([old, *page["data"]["children"]], page["data"]["after"])).encode())
        return found

    assert len(follow(make(), fetch)) == 201  # seven days are 168 hours
    assert len(asked) == 4  # token, two pages, comments


def test_a_server_that_does_not_page_ends() -> None:
    """The same page for any `after` is a failure with a sentence, not a crawl for ever."""

    def fetch(request: Request) -> Response:
        if request.method == "POST":
            return reddit()(request)
        return answer(request, json.dumps(listing([link("a")], "t3_a")).encode())

    spider = make()
    assert len(follow(spider, fetch, most=10)) == 1
    assert "gives the same page again" in spider.failures[0][1] and spider.covered is None


# ---- the limit -------------------------------------------------------------------------------------------------------


def test_the_limit_is_not_hit() -> None:
    """The request after which none is left is the last one: the crawl is rate limited, its site is left alone until the window ends."""
    left = 4.0
    times = [NOW.timestamp() - 60 * n for n in range(900)]
    forum = Subreddit({"new": times, "comments": []})

    def fetch(request: Request) -> Response:
        nonlocal left
        found = forum(request)
        if request.method == "GET":
            left -= 1
            assert left >= 0, "asked once too often"
            found.headers.update({"x-ratelimit-remaining": f"{left}", "x-ratelimit-used": "996", "x-ratelimit-reset": "300.5"})
        return found

    spider = make()
    assert len(follow(spider, fetch)) == 400
    [(reason, sentence)] = spider.failures
    assert reason == "rate_limited" and "has given all that its limit allows" in sentence and "12:05 UTC" in sentence
    assert spider.not_before == {"https://oauth.reddit.com": "2025-01-31T12:05:00+00:00"}
    assert spider.covered is None and spider.next_cursor["until"] == {}


@pytest.mark.parametrize("remaining", ["0", "0.0", "0.9"])
def test_a_limit_reached_after_all_was_read_costs_nothing(remaining: str) -> None:
    """When the listings are read, the crawl is whole, though the rest of the second look has to wait."""
    headers = {"x-ratelimit-remaining": remaining, "x-ratelimit-reset": "60"}

    def fetch(request: Request) -> Response:
        return reddit(info=[comment("a", "[deleted]")], **(headers if "/comments" in request.url else {"x-ratelimit-remaining": "nan"}))(
            request
        )

    spider = make(recent=[("t1_a", "", NOW)])
    assert follow(spider, fetch) == []  # had t1_a been asked for, it would be the tombstone of `reddit`'s `info`
    assert spider.covered and not spider.failures and spider.not_before
    assert spider.rejections == {"a second look at stored posts, which Reddit's limit leaves to the next crawl": 1}


# ---- being let in ----------------------------------------------------------------------------------------------------


def test_the_two_grants() -> None:
    """A script or web app asks with its secret, an installed app without one; neither is in a URL."""
    [script] = begin(make())
    assert script.method == "POST" and script.url == "https://www.reddit.com/api/v1/access_token"
    assert parse_qs(script.body.decode()) == {"grant_type": ["client_credentials"]}
    assert script.headers["Authorization"] == b"Basic " + base64.b64encode(f"our-client:{SECRET}".encode())
    [installed] = begin(make({"client_id": "our-client", "subreddits": ["OpenAI"]}))
    grant = parse_qs(installed.body.decode())
    assert grant["grant_type"] == ["https://oauth.reddit.com/grants/installed_client"] and grant["device_id"]
    assert installed.headers["Authorization"] == b"Basic " + base64.b64encode(b"our-client:")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"message": "Unauthorized", "error": 401}', "answers 401: it takes no such client_id and client_secret"),
        (403, b"<html><body>Blocked", "answers 403: it takes no such client_id"),
        (200, b'{"error": "unsupported_grant_type"}', "gives no `access_token`"),
        (200, b'{"access_token": "a b"}', "gives no `access_token`"),
        (200, b"<html>", "gives HTML where JSON was due"),
        (200, b"null", "gives JSON of another shape"),
    ],
)
def test_credentials_that_are_not_taken(status: int, body: bytes, words: str) -> None:
    """It is one failure with a sentence that says what to do, in which there is no secret."""
    spider = make()
    [request] = begin(spider)
    assert read(request, answer(request, body, status)) == []
    [(reason, sentence)] = spider.failures
    assert reason == "failed" and words in sentence
    assert SECRET not in sentence and "our-client" not in sentence and SECRET not in repr(spider.options)


@pytest.mark.parametrize(
    ("status", "body", "reason", "words"),
    [
        (403, b'{"reason": "private", "message": "Forbidden"}', "banned", "/r/closed/new is private: take it out of subreddits"),
        (403, b'{"reason": "quarantined"}', "banned", "/r/closed/new is quarantined: take it out of subreddits"),
        (403, b"<html>", "banned", "/r/closed/new answers 403: take it out of subreddits"),
        (403, b'{"reason": []}', "banned", "/r/closed/new answers 403: take it out of subreddits"),
        (404, b'{"reason": "banned"}', "failed", "/r/closed/new answers 404: there is no such subreddit, or no more"),
        (302, b"", "failed", "/r/closed/new answers 302: there is no such subreddit, or no more"),
        (401, b"", "failed", "/r/closed/new answers 401: Reddit takes its token back"),
    ],
)
def test_a_subreddit_that_is_closed_costs_only_itself(status: int, body: bytes, reason: str, words: str) -> None:
    """It is said in a sentence, nothing of it is gone, and the other subreddit's cursor moves on."""

    def fetch(request: Request) -> Response:
        return answer(request, body, status) if "/r/closed/" in request.url else reddit([link("a")])(request)

    spider = make({**APP, "subreddits": ["r/closed", "OpenAI", "openai"]})
    assert [item.native_id for item in follow(spider, fetch)] == ["t3_a"]
    assert (spider.failures[0][0], spider.failures[0][1].removeprefix("https://oauth.reddit.com")[: len(words)]) == (reason, words)
    assert len(spider.failures) == 2 and spider.covered is None
    assert spider.next_cursor == {"api": "https://oauth.reddit.com", "until": {"openai": "2025-01-31T12:00:00Z"}}
    later = make({**APP, "subreddits": ["OpenAI", "closed"]}, cursor=spider.next_cursor)
    begin(later)
    assert [item.since for item in later.due[::2]] == [NOW - dt.timedelta(hours=1), NOW - dt.timedelta(days=7)]
    moved = make({**APP, "api": "https://else.example"}, cursor=spider.next_cursor)
    begin(moved)
    assert moved.due[0].since == NOW - dt.timedelta(days=7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subreddits": ["x1"]}, "sources.s.options.client_id is missing"),
        ({**APP, "client_id": ""}, "sources.s.options.client_id is wrong"),
        ({**APP, "subreddits": []}, "sources.s.options.subreddits is wrong"),
        ({**APP, "subreddits": ["a/../../api/v1/me"]}, "write a subreddit's name, as OpenAI or r/OpenAI"),
        ({**APP, "client_secret": [SECRET]}, "sources.s.options.client_secret is wrong"),
    ],
)
def test_options_that_cannot_work(options: Mapping[str, Any], words: str) -> None:
    """What is wrong is said in a sentence that holds no secret."""
    with pytest.raises(CrawlError) as caught:
        make(options)
    assert words in str(caught.value) and SECRET not in str(caught.value)


# ---- broken answers --------------------------------------------------------------------------------------------------


@given(data=st.data(), way=st.sampled_from(["new", "comments", "info"]))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject, way: str) -> None:
    """Whatever one item holds, nothing is raised, the sound one beside it comes, and all that comes can be stored."""
    items: list[Any] = [link("1", text="Words."), comment("2"), link("3", edited=NOW.timestamp()), comment("4", "[removed]")]
    broken = data.draw(mutated(items))
    broken.insert(data.draw(st.integers(0, len(broken))), comment("sound", "The sound one."))
    spider = make(recent=[("t1_sound", "", NOW)])
    found = follow(spider, reddit(**{way: broken}))
    assert "The sound one." in [item.text for item in found if isinstance(item, Post)]
    for item in found:
        if isinstance(item, Post):
            assert item.text == clean(item.text) and item.posted_at.tzinfo is not None
    fresh_store.save_posts(found)


@given(
    body=st.one_of(JUNK.map(lambda value: json.dumps({"data": value}).encode()), JUNK.map(lambda value: json.dumps(value).encode())),
    at=st.sampled_from(["token", "page"]),
)
@settings(max_examples=60, deadline=None)
def test_any_answer_ends_in_a_sentence(body: bytes, at: str) -> None:
    """An answer of any shape raises nothing; when nothing could be read, the crawl knows."""
    spider = make()

    def fetch(request: Request) -> Response:
        return answer(request, body) if (request.method == "POST") == (at == "token") else reddit()(request)

    assert follow(spider, fetch) == []
    assert spider.failures and spider.covered is None


# ---- a whole crawl ---------------------------------------------------------------------------------------------------

TOKEN_PATH = "/api/v1/access_token"
FILES = ("/robots.txt", "/.well-known/tdmrep.json")


@pytest.mark.real
def test_crawls_of_a_living_subreddit(tmp_path: Path) -> None:
    """Two rounds over HTTP, by agreement in spite of robots.txt: listed, looked at again, a deletion and an edit seen; no secret and
    no name reaches disk or log."""
    comments = [comment("1", "Nobody told the platform crew."), comment("2", "Nobody told the data crew.", ago=2 * HOUR)]
    new = [link("a", "Reorg", "Nobody was told.", ago=HOUR / 2)]
    headers = {"Content-Type": "application/json", "x-ratelimit-remaining": "995.0", "x-ratelimit-reset": "100"}
    let_in = {**TERMS, "agreement": "application 123, approved on 2025-01-02"}
    answers = {
        "/robots.txt": Answer("User-agent: *\nDisallow: /\n"),
        TOKEN_PATH: as_json({"access_token": TOKEN, "token_type": "bearer"}),
        "/r/OpenAI/new": lambda _: as_json(listing(new), headers=headers),
        "/r/OpenAI/comments": lambda _: as_json(listing(comments), headers=headers),
        "/api/info": lambda _: as_json(listing([*new, *comments]), headers=headers),
    }
    with Site(answers) as site:
        posted = posting(site)
        options = {**APP, "api": site.url, "site": site.url}
        first = crawl(tmp_path, "reddit", options, terms=let_in)
        assert (first["finish_reason"], first["counts"]["new"], first["message"]) == ("finished", 3, "")
        comments[0] = comment("1", "[deleted]", author="[deleted]")
        comments[1] = comment("2", "Somebody told the data crew.", ago=2 * HOUR, edited=NOW.timestamp())
        before = len(site.paths)
        second = crawl(tmp_path, "reddit", options, now="2025-01-31T12:30:00Z", terms=let_in)
        assert (second["finish_reason"], second["counts"]["deleted"], second["counts"]["changed"]) == ("finished", 1, 1)
        asked = [path for path in site.paths[before:] if path not in FILES]
        assert sorted(asked) == [
            "/api/info?id=t3_a,t1_1,t1_2&raw_json=1", TOKEN_PATH, "/r/OpenAI/comments?limit=100&raw_json=1",
            "/r/OpenAI/new?limit=100&raw_json=1",
        ]  # fmt: skip
        assert site.paths[0] == "/robots.txt"
        tokens = {headers.get("Authorization") for _, path, headers in site.requests if path not in (*FILES, TOKEN_PATH)}
        assert tokens == {f"Bearer {TOKEN}"}
    assert posted == [b"grant_type=client_credentials"] * 2
    assert dict(rows(tmp_path, "SELECT native_id, text FROM posts")) == {
        "t1_1": "", "t1_2": "Somebody told the data crew.", "t3_a": "Reorg\n\nNobody was told.",
    }  # fmt: skip
    for file in tmp_path.glob("monitor.db*"):
        held = file.read_bytes()
        assert not any(word.encode() in held for word in (SECRET, TOKEN, "our-client"))
    assert first["log"] == second["log"] == ""


@pytest.mark.real  # a whole crawl in a process of its own
def test_a_limit_ends_a_crawl_and_keeps_what_was_read(tmp_path: Path) -> None:
    """With the last request that Reddit allows the crawl ends as rate limited; one that begins too soon asks its API for nothing."""
    limit = {"Content-Type": "application/json", "x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "600"}
    with Site({TOKEN_PATH: as_json({"access_token": TOKEN})}) as site, Site({}) as api:
        posting(site)
        for path in ("/r/OpenAI/new", "/r/OpenAI/comments"):
            api.answers[path] = as_json(listing([link("a")], after="t3_a"), headers=limit)
        options = {**APP, "api": api.url, "site": site.url}
        result = crawl(tmp_path, "reddit", options)
        assert (result["finish_reason"], result["counts"]["new"]) == ("rate_limited", 1)
        assert "has given all that its limit allows for now: the rest is read after 2025-01-31 12:10 UTC" in result["message"]
        assert len([path for path in api.paths if path not in FILES]) == 1
        again = crawl(tmp_path, "reddit", options, now="2025-01-31T12:05:00Z")
        assert again["finish_reason"] == "rate_limited" and len([path for path in api.paths if path not in FILES]) == 1
    assert result["log"] == again["log"] == ""


def test_only_by_agreement_against_robots(tmp_path: Path) -> None:
    """Reddit's robots.txt forbids everything: the API is asked only where terms.agreement says that Reddit let this operator in."""
    forbidding = {"/robots.txt": Answer("User-agent: *\nDisallow: /\n"), TOKEN_PATH: as_json({"access_token": TOKEN})}
    listings = {f"/r/OpenAI/{kind}": as_json(listing([])) for kind in ("new", "comments")}
    with Site({**forbidding, **listings}) as site:
        posting(site)
        options = {**APP, "api": site.url, "site": site.url}
        refused = crawl(tmp_path, "reddit", options)
        assert refused["finish_reason"] == "disallowed" and site.paths == ["/robots.txt"]
        let_in = crawl(tmp_path, "reddit", options, terms={**TERMS, "agreement": "application 123, approved on 2025-01-02"})
        assert let_in["finish_reason"] == "finished"


@pytest.mark.parametrize(
    ("token", "reason", "words"),
    [
        (as_json({"message": "Unauthorized", "error": 401}, status=401), "failed", "which Reddit must have approved"),
        (Answer(status=307, headers={"Location": "/elsewhere"}), "failed", "access_token answers 307"),
        (Answer(status=429, headers={"Retry-After": "300"}), "rate_limited", "asked us to stay away"),
    ],
)
@pytest.mark.real  # a whole crawl in a process of its own
def test_a_token_that_is_not_given(tmp_path: Path, token: Answer, reason: str, words: str) -> None:
    """The crawl ends with its reason and a sentence; the secret goes nowhere else, and nothing is asked without a token."""
    with Site({TOKEN_PATH: token, "/elsewhere": as_json({"access_token": TOKEN})}) as site:
        posting(site)
        result = crawl(tmp_path, "reddit", {**APP, "api": site.url, "site": site.url})
        assert {path for path in site.paths if path not in FILES} == {TOKEN_PATH}
    assert result["finish_reason"] == reason and words in result["message"]
    assert SECRET not in result["message"] + result["log"]
