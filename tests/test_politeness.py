"""A site is asked only what its robots.txt allows, as slowly as it wishes, and not at all once it shows that it does not want us."""

from __future__ import annotations

import datetime as dt
import email.utils
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answers import Answer, Site, as_json, crawl
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import HtmlResponse, Request

from monitor.store import Store
from spiders.politeness import retry_after, unwelcome

FEED = """<rss version="2.0"><channel><title>Talk</title><item><guid>urn:{0}</guid><link>http://f.test/{0}</link>
<title>Morale {0}</title><pubDate>Thu, 30 Jan 2025 10:00:00 GMT</pubDate></item></channel></rss>"""
ALLOW = Answer("User-agent: *\nDisallow:\n")


def site(robots: Any, feed: Any = None) -> Site:
    """A site with one feed."""
    return Site({"/robots.txt": robots, "/feed": feed or Answer(FEED.format(1), headers={"Content-Type": "application/rss+xml"})})


def stored(folder: Path) -> int:
    with Store(folder / "monitor.db", read_only=True) as store:
        return len(store.rows("SELECT 1 FROM posts"))


def last_crawl(folder: Path) -> Any:
    with Store(folder / "monitor.db", read_only=True) as store:
        return store.last_crawls()["s"]


def test_a_robots_txt_that_cannot_be_read_forbids_everything(tmp_path: Path) -> None:
    """4xx means that there are no rules; 5xx, 429, silence and circles mean that nothing may be asked (RFC 9309), host by host."""
    robots: dict[str, Any] = {
        "none": Answer(status=404),
        "gone": Answer(status=410),
        "private": Answer(status=403),
        "allowing": ALLOW,
        "moved": Answer(status=301, headers={"Location": "/moved.txt"}),
        "huge": Answer("#" + "x" * 600 * 1024 + "\nUser-agent: *\nDisallow: /\n"),
        "not text": Answer(b"\xff\xfe\x00<html>"),
        "for others": Answer("User-agent: Googlebot\nDisallow: /\n"),
        "broken": Answer(status=500),
        "busy": Answer(status=429, headers={"Retry-After": "1"}),
        "mute": Answer(drop=True),
        "circling": Answer(status=302, headers={"Location": "/robots.txt"}),
        "cut off": Answer("User-agent: *\n", length=5000),
        "forbidding": Answer("User-agent: *\nDisallow: /feed\n"),
        "forbidding us": Answer("User-agent: employee-forum-monitor\nDisallow: /\n\nUser-agent: *\nAllow: /\n"),
    }
    sites = {name: site(answer) for name, answer in robots.items()}
    with sites["none"], sites["gone"], sites["private"], sites["allowing"], sites["moved"], sites["huge"], sites["not text"], \
            sites["for others"], sites["broken"], sites["busy"], sites["mute"], sites["circling"], sites["cut off"], \
            sites["forbidding"], sites["forbidding us"]:  # fmt: skip
        sites["none"].answers["/moved.txt"] = sites["moved"].answers["/moved.txt"] = Answer("User-agent: *\nDisallow: /other\n")
        result = crawl(tmp_path, "feed", {"urls": [f"{each.url}/feed" for each in sites.values()]})
    asked = {name for name, each in sites.items() if "/feed" in each.paths}
    assert asked == {"none", "gone", "private", "allowing", "moved", "huge", "not text", "for others"}
    assert result["finish_reason"] in ("robots_unreachable", "disallowed")
    assert all(each.paths[0] == "/robots.txt" for each in sites.values())


@pytest.mark.parametrize(
    ("robots", "reason", "words"),
    [
        (Answer(status=503), "robots_unreachable", "robots.txt answers 503"),
        (Answer("User-agent: *\nDisallow: /\n"), "disallowed", "forbidden by robots.txt"),
        (Answer("User-agent: *\nCrawl-delay: 86400\n"), "disallowed", "every 86400 s only"),
    ],
)
def test_the_crawl_says_why_nothing_was_asked(tmp_path: Path, robots: Answer, reason: str, words: str) -> None:
    """The reason and a sentence with the URL stand in the table `crawls`; the feed itself is never asked for."""
    with site(robots) as forum:
        crawl(tmp_path, "feed", {"urls": [f"{forum.url}/feed?token=secret"]})
    row = last_crawl(tmp_path)
    assert row["finish_reason"] == reason
    assert words in row["message"] and f"{forum.url}/feed " in row["message"] and "secret" not in row["message"]
    assert set(forum.paths) == {"/robots.txt"}


def test_crawl_delay_and_identity(tmp_path: Path) -> None:
    """Requests are at least Crawl-delay apart; each says who asks and where to complain; no cookie and no referrer goes along."""
    post = {"id": 60, "topic_id": 1, "post_number": 1, "cooked": "<p>Morale.</p>", "created_at": "2025-01-31T10:00:00Z"}
    pages = {
        "/posts.json": as_json({"latest_posts": [post]}, headers={"Set-Cookie": "id=1"}),
        "/posts.json?before=60": as_json({"latest_posts": []}),
        "/posts.json?before=10": as_json({"latest_posts": []}),
    }
    with Site({"/robots.txt": Answer("User-agent: *\nCrawl-delay: 1.2\n"), **pages}) as forum:
        result = crawl(tmp_path, "discourse", {"url": forum.url}, contact="us@example.org")
    assert result["finish_reason"] == "finished"
    assert forum.paths == ["/robots.txt", *pages]
    times = [at for at, _, _ in forum.requests]
    assert all(later - earlier >= 1.15 for earlier, later in pairwise(times))
    for _, _, headers in forum.requests:
        assert headers["User-Agent"].startswith("employee-forum-monitor/") and headers["User-Agent"].endswith("(+us@example.org)")
        assert "Cookie" not in headers and "Referer" not in headers


def test_a_short_retry_after_is_waited_for(tmp_path: Path) -> None:
    """429 and 503 with a short Retry-After cost the crawl that time and nothing else."""
    feed = [Answer(status=429, headers={"Retry-After": "1"}), Answer(status=503, headers={"Retry-After": "1"}), Answer(FEED.format(1))]
    with site(ALLOW, feed) as forum:
        result = crawl(tmp_path, "feed", {"urls": [f"{forum.url}/feed"]})
    assert result["finish_reason"] == "finished" and stored(tmp_path) == 1
    times = [at for at, path, _ in forum.requests if path == "/feed"]
    assert len(times) == 3 and times[1] - times[0] >= 0.95 and times[2] - times[1] >= 0.95


def test_a_long_retry_after_holds_for_the_next_crawls(tmp_path: Path) -> None:
    """A site that asks for an hour is left alone for an hour by later crawls too, its robots.txt included, and then asked again."""
    with site(ALLOW, [Answer(status=429, headers={"Retry-After": "3600"}), Answer(FEED.format(1))]) as forum:
        options = {"urls": [f"{forum.url}/feed"]}
        first = crawl(tmp_path, "feed", options, now="2025-01-31T12:00:00Z")
        assert first["finish_reason"] == "rate_limited" and "2025-01-31 13:00 UTC" in first["message"]
        asked = len(forum.requests)
        second = crawl(tmp_path, "feed", options, now="2025-01-31T12:30:00Z")
        assert second["finish_reason"] == "rate_limited" and second["requests"] == 0 and len(forum.requests) == asked
        third = crawl(tmp_path, "feed", options, now="2025-01-31T13:01:00Z")
        assert third["finish_reason"] == "finished" and third["counts"]["new"] == 1


def test_too_many_requests_without_end(tmp_path: Path) -> None:
    """429 again and again without a word on how long ends the crawl after three requests instead of a siege."""
    with site(ALLOW, Answer(status=429)) as forum:
        result = crawl(tmp_path, "feed", {"urls": [f"{forum.url}/feed"]}, delay=0.01)
    assert result["finish_reason"] == "rate_limited"
    assert forum.paths.count("/feed") == 3


HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (Answer(status=403), "banned", "answers 403"),
        (Answer("<html><title>Just a moment...</title>", 503, HTML), "banned", "bot wall"),
        (Answer("<html><body>Solve this CAPTCHA", 403, HTML), "banned", "bot wall"),
        (Answer("{}", 200, {"cf-mitigated": "challenge"}), "banned", "bot wall"),
        (Answer(status=302, headers={"Location": "/login?return=/posts.json"}), "banned", "asks for a login"),
        (as_json({"latest_posts": []}, headers={"tdm-reservation": "1"}), "disallowed", "opts out"),
        (as_json({"latest_posts": []}, headers={"X-Robots-Tag": "noai, noimageai"}), "disallowed", "opts out"),
    ],
)
def test_a_site_that_does_not_want_us_is_left_alone(tmp_path: Path, answer: Answer, reason: str, words: str) -> None:
    """A refusal, a bot wall, a login or an opt-out ends the reading of that site at once, with a sentence, and nothing is stored."""
    with Site({"/robots.txt": ALLOW, "/posts.json": answer, "/login": Answer("<html>Log in", headers=HTML)}) as forum:
        result = crawl(tmp_path, "discourse", {"url": forum.url})
    assert result["finish_reason"] == reason and words in result["message"]
    assert forum.paths.count("/posts.json") == 1
    assert stored(tmp_path) == 0


def test_one_host_that_refuses_costs_the_other_hosts_nothing(tmp_path: Path) -> None:
    """A feed on another host is read, its ETag is kept, and the refusing host's other feeds are not tried any more."""
    refusing = Site({"/robots.txt": ALLOW, "/one": Answer(status=403), "/two": Answer(status=403)})
    with refusing, site(ALLOW, Answer(FEED.format(1), headers={"ETag": '"v1"'})) as open_one:
        urls = [f"{refusing.url}/one", f"{refusing.url}/two", f"{open_one.url}/feed"]
        result = crawl(tmp_path, "feed", {"urls": urls})
        assert result["finish_reason"] == "banned" and stored(tmp_path) == 1
        assert len([path for path in refusing.paths if path != "/robots.txt"]) == 1
        crawl(tmp_path, "feed", {"urls": urls})
    assert open_one.requests[-1][2]["If-None-Match"] == '"v1"'


def test_posts_about_walls_are_not_walls() -> None:
    """People discuss captchas: a JSON answer or a feed with such words is read like any other."""
    request = Request("http://f.test/", meta={"essential": True})
    for body in (b'{"hits": [{"title": "<title>Just a moment...</title> captcha"}]}', b"<?xml version='1.0'?><rss><title>captcha"):
        assert unwelcome(request, HtmlResponse("http://f.test/", body=body)) is None


def test_a_closed_page_is_not_a_closed_site() -> None:
    """A topic that answers 403 while it is looked at again concerns that topic alone; a challenge concerns the site."""
    request = Request("http://f.test/t/1.json", meta={"essential": False})
    assert unwelcome(request, HtmlResponse(request.url, status=403)) is None
    assert unwelcome(request, HtmlResponse(request.url, status=403, headers={"cf-mitigated": "challenge"})) is not None


@given(st.integers(0, 10**6))
def test_retry_after_in_seconds_or_as_a_date(seconds: int) -> None:
    """Both forms of the header mean the same wait, never negative and at most a week."""
    now = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)
    date = email.utils.format_datetime(now + dt.timedelta(seconds=seconds), usegmt=True).encode()
    expected = min(seconds, 7 * 86400)
    assert retry_after(str(seconds).encode(), now.timestamp()) == expected
    assert retry_after(date, now.timestamp()) == expected
    assert retry_after(date, now.timestamp() + 10**7) == 0


@given(st.binary(max_size=40))
def test_any_retry_after_is_understood_or_ignored(header: bytes) -> None:
    """Nothing that a server writes there breaks the crawl."""
    wait = retry_after(header, 1738324800.0)
    assert wait is None or 0 <= wait <= 7 * 86400
