"""A site is asked only what its robots.txt allows, as slowly as it wishes, and not at all once it shows that it does not want us."""

from __future__ import annotations

import datetime as dt
import email.utils
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from answers import Answer, Site, crawl
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego
from scrapy.http import HtmlResponse, Request

from monitor.store import Store
from spiders.optouts import Reservations, opt_out
from spiders.politeness import addressed, retry_after
from spiders.settings import ROBOTSTXT_USER_AGENT as NAME
from spiders.walls import login, unwelcome

FEED = """<rss version="2.0"><channel><title>Talk</title><item><guid>urn:{0}</guid><link>http://f.test/{0}</link>
<title>Morale {0}</title><pubDate>Thu, 30 Jan 2025 10:00:00 GMT</pubDate></item></channel></rss>"""
ALLOW = Answer("User-agent: *\nDisallow:\n")
NOW = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)


def site(robots: Any, feed: Any = None) -> Site:
    """A site with one feed."""
    return Site({"/robots.txt": robots, "/feed": feed or Answer(FEED.format(1), headers={"Content-Type": "application/rss+xml"})})


def stored(folder: Path) -> int:
    with Store(folder / "monitor.db", read_only=True) as store:
        return len(store.rows("SELECT 1 FROM posts"))


def last_crawl(folder: Path) -> Any:
    with Store(folder / "monitor.db", read_only=True) as store:
        return store.last_crawls()["s"]


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


def test_one_host_that_refuses_costs_the_other_hosts_nothing(tmp_path: Path) -> None:
    """A feed on another host is read, its ETag is kept, and the refusing host's other feeds are not tried any more."""
    refusing = Site({"/robots.txt": ALLOW, "/one": Answer(status=403), "/two": Answer(status=403)})
    with refusing, site(ALLOW, Answer(FEED.format(1), headers={"ETag": '"v1"'})) as open_one:
        urls = [f"{refusing.url}/one", f"{refusing.url}/two", f"{open_one.url}/feed"]
        result = crawl(tmp_path, "feed", {"urls": urls})
        assert result["finish_reason"] == "banned" and stored(tmp_path) == 1
        assert len(refusing.pages) == 1
        crawl(tmp_path, "feed", {"urls": urls})
    assert open_one.requests[-1][2]["If-None-Match"] == '"v1"'


def answered(body: bytes | str, status: int = 200, **headers: str) -> HtmlResponse:
    """An answer; `_` in a header's name stands for "-"."""
    content = body.encode() if isinstance(body, str) else body
    return HtmlResponse("http://f.test/t/1", status=status, body=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


PAGE = Request("http://f.test/t/1", meta={"essential": False})
LONG = "<p>" + "People say what they think of their managers here. " * 60

WALLS = {
    "Cloudflare": answered("<!DOCTYPE html><html><head><title>Just a moment...</title>", 403),
    "Cloudflare's ban": answered("<html><head><title>Attention Required! | Cloudflare</title></head>Sorry, you have been blocked", 200),
    "Cloudflare by header": answered("{}", 200, cf_mitigated="challenge"),
    "Cloudflare at 200": answered("<html><script>window._cf_chl_opt={cvId:'3'}</script><p>Checking"),
    "Cloudflare's words": answered("<!-- a --><html><body><noscript>Enable JavaScript and cookies to continue</noscript>", 200),
    "DataDome": answered("<html><script src='https://ct.captcha-delivery.com/c.js'></script>", 403),
    "DataDome for programs": answered('{"url": "https://geo.captcha-delivery.com/captcha/?initialCid=1"}', 403),
    "PerimeterX": answered("<html><head><title>Access to this page has been denied.</title><body><div id='px-captcha'>", 403),
    "Anubis": answered('<!doctype html><html><title>Un instant</title><script id="anubis_challenge" type="application/json">{}</script>'),
    "reCAPTCHA": answered("<html><form>Please confirm<div class='g-recaptcha' data-sitekey='x'></div></form>"),
    "hCaptcha": answered('<?xml version="1.0"?>\n<html><div class="box h-captcha"></div></html>'),
    "any CAPTCHA where the page is refused": answered(f"<html><body>Solve this CAPTCHA{LONG}", 429),
    "Cloudflare's ban on one page": answered(f"<html><title>Access denied | f.test used Cloudflare to restrict access</title>{LONG}", 403),
    "Akamai": answered('<!DOCTYPE html><html><title>x</title><script src="/_sec/cp_challenge/sec-cpt-4-4.js"></script><div>', 428),
    "Akamai's refusal": answered(
        "<HTML><TITLE>Access Denied</TITLE>Reference&#32;&#35;18.7d https&#58;&#47;&#47;errors&#46;edgesuite&#46;net", 403
    ),
    "SiteGround": answered('<html><meta http-equiv="refresh" content="0;/.well-known/sgcaptcha/?r=%2F">'),
    "go-away": answered("<!DOCTYPE html><html><title>Checking you are not a bot</title><h1>Checking you are not a bot</h1>"),
    "AWS": answered("", 202, x_amzn_waf_action="challenge"),
    "a login in place of the page": answered("<html><title>Log in | Forum</title><form><input name=p type=password></form>"),
}


@pytest.mark.parametrize("wall", WALLS)
def test_walls_are_known(wall: str) -> None:
    """Each of these is a wall for the whole site, on a page that is not essential too."""
    found = unwelcome(PAGE, WALLS[wall])
    assert found is not None and found[0] == "banned"


@pytest.mark.parametrize(
    "page",
    [
        answered('{"hits": [{"title": "<title>Just a moment...</title> captcha g-recaptcha"}]}'),
        answered("<?xml version='1.0'?><rss><title>captcha</title>enable javascript and cookies</rss>"),
        answered(f"<html><title>Just a moment... - Forum</title>{LONG}they use captcha-delivery.com and id='px-captcha'"),
        answered(f"<html><title>Login - Forum</title>{LONG}<form><input type=password></form>"),
        answered("<html><title>Just a moment... - Forum</title><p>It says: please enable JavaScript and cookies to continue. All day."),
        answered('<html><title>Captchas</title><code>&lt;div class="g-recaptcha" data-sitekey="k"&gt; id=\'px-captcha\'</code>'),
        answered(
            '<html><title>DataDome</title><meta name=description content="px-captcha"><a href="https://geo.captcha-delivery.com/">it</a>'
        ),
        answered('<html><script type="application/ld+json">{"text": "_cf_chl_opt, cf-chl-1"}</script><p>I met _cf_chl_opt again.'),
        answered("<html><p>Short words.<form><textarea></textarea><div class='h-captcha'></div></form>"),
        answered("<html><title>Log in | Forum</title><p>You must be logged in.<form><input type=password></form>", 403),
        answered("<html><script src=/cdn-cgi/challenge-platform/scripts/jsd/main.js></script><p>This topic is closed.", 403),
        answered(f"<html><script src=/cdn-cgi/challenge-platform/scripts/jsd/main.js></script>{LONG}<div class='h-captcha'></div>"),
        answered("<html>", 403),
        answered("<html>not found", 404),
    ],
)
def test_pages_about_walls_are_not_walls(page: HtmlResponse) -> None:
    """People discuss captchas, pages carry login forms and captchas for those who write, and one topic may be closed."""
    assert unwelcome(PAGE, page) is None


def test_a_login_in_place_of_the_list_of_topics() -> None:
    """A page that the crawl cannot do without shows a login also where its title begins with the site's name, as phpBB's does."""
    page = answered("<html><title>Staff lounge - Login</title>Please log in.<form><input type=password></form>")
    assert unwelcome(Request("http://f.test/viewforum.php"), page) is not None
    assert unwelcome(PAGE, page) is None


@pytest.mark.parametrize(
    "to", ["/login?return=/t/1", "/ucp.php?mode=login", "/users/sign_in", "https://sso.f.test/", "/index.php?action=login"]
)
def test_redirects_to_a_login(to: str) -> None:
    """They are known before the login is asked for; other redirects, and a topic on logins, are none."""
    came = {"redirect_urls": ["http://f.test/t/1"]}
    assert login(Request(urljoin("http://f.test/", to), meta=came)) is not None
    assert login(Request(urljoin("http://f.test/", to))) is None
    for other in ("http://f.test/t/login-problems/1", "http://f.test/t/login/1", "https://www.f.test/t/1"):
        assert login(Request(other, meta=came)) is None


@pytest.mark.parametrize(
    ("header", "heard"),
    [
        ("noindex", True), ("NoIndex, nofollow", True), ("none", True), ("index, noai", True), ("noimageai", False), ("nofollow", False),
        ("googlebot: noindex", False), ("otherbot: noindex, noai", False), ("employee-forum-monitor: noindex", True),
        ("Employee-Forum-Monitor: nofollow, none", True), ("googlebot: noindex, employee-forum-monitor: noai", True),
        ("noai, googlebot: nofollow", True), ("unavailable_after: 25 Jun 2040 15:00:00 GMT, noindex", True),
        ("max-snippet: 5, googlebot: noindex", False), ("all", False),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST", True), ("unavailable_after: Friday, 25-Jun-10 15:00:00 PST", True),
        ("unavailable_after: 2025-01-31T13:00:00+02:00", True), ("unavailable_after: 2025-02-01, nofollow", False),
        ("unavailable_after: Wed, 01 Jan 2020 00:00:00 GMT, googlebot: noindex", True), ("unavailable_after: soon", False),
        ("googlebot: unavailable_after: 2010-01-01", False),
    ],
)  # fmt: skip
def test_x_robots_tag(header: str, heard: bool) -> None:
    """What is said to everybody or to us, and for now, counts; what is said to another by name, of pictures or of later does not."""
    assert bool(opt_out(answered("{}", X_Robots_Tag=header), NAME, NOW)) is heard


@pytest.mark.parametrize(
    ("head", "heard"),
    [
        ('<meta name="robots" content="noindex,nofollow">', True), ("<META CONTENT='NOAI' NAME='Robots'>", True),
        ("<meta name=employee-forum-monitor content=none>", True), ('<meta name="tdm-reservation" content="1"/>', True),
        ('<meta name="tdm-reservation" content="0"/>', False), ('<meta name="robots" content="index, follow, noimageai">', False),
        ('<meta name="googlebot" content="noindex">', False), ('<!-- <meta name="robots" content="noindex"> -->', False),
        ('<meta name="robots" content="unavailable_after: 2010-06-25 15:00:00 GMT">', True),
        ('<meta name="robots" content="unavailable_after: 2040-06-25">', False),
        ('<meta name="description" content="robots: noindex">', False), ('<script>"<meta name=robots content=noindex>"</script>', False),
    ],
)  # fmt: skip
def test_meta_elements(head: str, heard: bool) -> None:
    """Any spelling that HTML allows is heard; comments, scripts and words to others are not, nor is JSON that quotes such a page."""
    assert bool(opt_out(answered(f"<!doctype html><html><head>{head}</head><p>&lt;meta name=robots content=noindex>"), NAME, NOW)) is heard
    assert opt_out(answered('{"text": "' + head.replace('"', "'") + '"}'), NAME, NOW) is None


@pytest.mark.parametrize(
    ("declared", "of"),
    [
        ('[{"location": "/", "tdm-reservation": 1}]', "site"), ('[{"location": "/*", "tdm-reservation": 1}]', "site"),
        ('{"tdm-reservation": 1}', "site"), ('[{"location": "/t/*", "tdm-reservation": 1}]', "page"),
        ('[{"location": "/t", "tdm-reservation": "1"}]', "page"), ('{"tdm-reservation": true}', "site"),
        ('{"tdm-reservation": 1.0}', "site"), ('[{"location": "/*.jpg$", "tdm-reservation": 1}]', "none"),
        ('[{"location": "/t/", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]', "none"),
        ('[{"location": "/", "tdm-reservation": 1}, {"location": "/t/", "tdm-reservation": 0}]', "site"),
        ('[{"location": "/", "tdm-reservation": 0}]', "none"), ("[]", "none"), ("", "none"), ("<!doctype html><p>404", "none"),
        ('[{"location": "/t', "site"), ("[1]", "site"),
    ],
)  # fmt: skip
def test_tdmrep(declared: str, of: str) -> None:
    """The first rule that fits a path counts; a page in place of the file says nothing, a broken file reserves everything."""
    assert Reservations(declared).of("http://f.test/t/1?page=2") == of


@given(st.text(max_size=80) | st.text('[{]},:"1/*$ locationtdm-reservation', max_size=80))
def test_any_tdmrep_is_understood(declared: str) -> None:
    """Nothing that a site writes there breaks the crawl."""
    assert Reservations(declared).of("http://f.test/") in ("none", "page", "site")


TWO_RULES = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif"
SIMPLE = """User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("robots", "crawler", "path", "allowed"),
    [
        (SIMPLE, "other", "/a.gif", False), (SIMPLE, "other", "/example/page.html", False), (SIMPLE, "other", "/publications/", True),
        (SIMPLE, "foobot", "/example/page.html", True), (SIMPLE, "foobot", "/other", False),
        (SIMPLE, "foobot", "/example/allowed.gif", True),
        (SIMPLE, "barbot", "/example/page.html", False), (SIMPLE, "bazbot", "/example/", True), (SIMPLE, "quxbot", "/a.gif", True),
        (TWO_RULES, "foobot", "/example/page/disallowed.gif", False), (TWO_RULES, "foobot", "/example/page/other", True),
        ("user-agent: A\ndisallow: /x\nuser-agent: *\ndisallow: /\nUSER-AGENT: a\ndisallow: /y", "a", "/y", False),  # 2.2.1: merged
        ("user-agent: a\ndisallow: /x\nuser-agent: *\ndisallow: /", "a", "/z", True),
        ("user-agent: *\ndisallow: /foo/bar?baz=http://foo.bar", "a", "/foo/bar?baz=http://foo.bar", False),  # 2.2.2
        ("user-agent: *\ndisallow: /foo/bar/U+E38384", "a", "/foo/bar/U+E38384", False),
        ("user-agent: *\ndisallow: /foo/bar/%62%61%7A", "a", "/foo/bar/baz", False),
        ("user-agent: *\ndisallow: /foo/bar/ツ", "a", "/foo/bar/%E3%83%84", False),
        ("user-agent: *\nallow: /\ndisallow: /", "a", "/x", True),  # as long as each other: allow wins
        ("user-agent: *\ndisallow: /", "a", "/robots.txt", True),
        ("user-agent: *\ndisallow: /this/*/exactly", "a", "/this/path/exactly", False),  # 2.2.3
        ("user-agent: *\nallow: /this/path/exactly$\ndisallow: /", "a", "/this/path/exactly", True),
        ("user-agent: *\nallow: /this/path/exactly$\ndisallow: /", "a", "/this/path/exactly/not", False),
        ("user-agent: * # all\ndisallow: /path/file-with-a-%2A.html # it", "a", "/path/file-with-a-*.html", False),
    ],
)  # fmt: skip
def test_robots_txt_by_the_examples_of_its_standard(robots: str, crawler: str, path: str, allowed: bool) -> None:
    """RFC 9309's own examples (2.2, 5.1, 5.2) are read as it says."""
    assert Protego.parse(addressed(robots, crawler)).can_fetch(f"http://f.test{path}", crawler) is allowed


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        ("User-agent: Employee-Forum-Monitor/1.0 (any)\nDisallow: /", False), ("User-agent: e\nDisallow: /", True),
        ("User-agent: employee\nAllow: /\nUser-agent: *\nDisallow: /", False), ("User-agent: *bot\nDisallow: /", True),
        ("User-agent: employee-forum-monitor\nNoindex: /y\nUser-agent: b\nDisallow: /", False),
        ("User-agent: employee-forum-monitor\nSitemap: http://f.test/s\nUser-agent: b\nDisallow: /", False),
        ("Disallow: /\nUser-agent: *\nDisallow:", True), ("\tuser-agent : * # all\r\n\r\n disallow : /", False),
        ("User-agent: *\rDisallow: /\r", False), ("<!doctype html>\nDisallow: /", True),
    ],
)  # fmt: skip
def test_groups_of_robots_txt(robots: str, allowed: bool) -> None:
    """A group is for us by our whole name, whatever version it gives; a record that nobody knows does not end it; no other name does."""
    assert Protego.parse(addressed(robots, NAME)).can_fetch("http://f.test/t/1", NAME) is allowed


@pytest.mark.parametrize(("written", "seconds"), [("2", 2), ("0.5", 0.5), ("1,5", 1.5), ("10s", 10), ("-1", None), ("soon", None)])
def test_crawl_delay_as_people_write_it(written: str, seconds: float | None) -> None:
    """Fractions, a unit behind the number; what is no number asks for nothing."""
    assert Protego.parse(addressed(f"User-agent: *\nCrawl-delay: {written} # s", NAME)).crawl_delay(NAME) == seconds


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
