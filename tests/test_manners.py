"""The crawler that a forum's owner would welcome: what it asks for, in which order, how far apart, and where it stops asking.

Each test reads the request log of real servers on this machine; crawls are whole, in processes of their own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answers import Answer, Given, Site, as_json, begin, crawl

from monitor.store import Store

pytestmark = pytest.mark.real  # whole crawls that wait, for twenty seconds together

ROBOTS, TDMREP = "/robots.txt", "/.well-known/tdmrep.json"
HTML = {"Content-Type": "text/html; charset=utf-8"}
ALLOW = Answer("User-agent: *\nDisallow:\n")


def feed(number: int = 1, **headers: str) -> Answer:
    item = f"<item><guid>urn:{number}</guid><link>http://f.test/{number}</link><title>Morale {number}</title></item>"
    return Answer(f'<rss version="2.0"><channel>{item}</channel></rss>', headers={"Content-Type": "application/rss+xml", **headers})


def moved(to: str) -> Answer:
    return Answer(status=302, headers={"Location": to})


class Visited:
    """Sites, each with its answers, crawled together by one source of feeds, in their order."""

    def __init__(self, folder: Path, answers: Mapping[str, Mapping[str, Given]], urls: Mapping[str, list[str]], **settings: Any) -> None:
        self.folder = folder
        self.sites = {name: Site(given) for name, given in answers.items()}
        with contextlib.ExitStack() as servers:
            for site in self.sites.values():
                servers.enter_context(site)
            # A redirect to another site is written as {name}.
            for site in self.sites.values():
                for path, given in list(site.answers.items()):
                    if isinstance(given, Answer) and (to := given.headers.get("Location")):
                        site.answers[path] = moved(to.format(**{name: other.url for name, other in self.sites.items()}))
            options = {"urls": [f"{self.sites[name].url}{path}" for name, paths in urls.items() for path in paths]}
            self.result = crawl(folder, "feed", options, **settings)

    def paths(self, name: str) -> list[str]:
        return self.sites[name].paths

    def reasons(self) -> dict[str, str]:
        """Why each URL was not used, as `sources audit` shows it."""
        with Store(self.folder / "monitor.db", read_only=True) as store:
            return {f"{self._name(row['url'])}": row["reason"] for row in store.visits("s") if row["reason"]}

    def _name(self, url: str) -> str:
        return next((f"{name}{url.removeprefix(site.url)}" for name, site in self.sites.items() if url.startswith(f"{site.url}/")), url)

    def verdict(self, name: str, path: str = ROBOTS) -> str:
        with Store(self.folder / "monitor.db", read_only=True) as store:
            return {(row["host"], row["path"]): row["verdict"] for row in store.verdicts("s")}[self.sites[name].url, path]

    def stored(self) -> int:
        with Store(self.folder / "monitor.db", read_only=True) as store:
            return len(store.rows("SELECT 1 FROM posts"))


def test_robots_txt_in_every_state(tmp_path: Path) -> None:
    """4xx: there are no rules. 5xx, 429, silence, time-out, circles: nothing is asked. Redirects: followed five times, to any host."""
    whole = [ROBOTS, TDMREP, "/feed"]
    hops = {ROBOTS: moved("/1"), **{f"/{n}": moved(f"/{n + 1}") for n in range(1, 5)}, "/5": Answer("User-agent: *\nDisallow: /feed")}
    filler = "# " + "x" * 998 + "\n"
    cases: dict[str, tuple[Mapping[str, Given], list[str]]] = {
        "none": ({ROBOTS: Answer(status=404)}, whole),
        "gone": ({ROBOTS: Answer(status=410)}, whole),
        "private": ({ROBOTS: Answer(status=403)}, whole),
        "allowing": ({ROBOTS: ALLOW}, whole),
        "for_others": ({ROBOTS: Answer("User-agent: Googlebot\nDisallow: /\n")}, whole),
        "ours_first": ({ROBOTS: Answer("User-agent: *\nDisallow: /\n\nUser-agent: Employee-Forum-Monitor\nAllow: /\n")}, whole),
        "not_text": ({ROBOTS: Answer(b"\xff\xfe\x00<html>")}, whole),
        "huge": ({ROBOTS: Answer("User-agent: *\nDisallow: /other\n" + filler * 1000 + "Disallow: /\n")}, whole),
        "here": (
            {ROBOTS: moved("/rules.txt"), "/rules.txt": Answer("User-agent: *\nDisallow: /other\n")},
            [ROBOTS, "/rules.txt", *whole[1:]],
        ),
        "five_hops": (hops, [ROBOTS, "/1", "/2", "/3", "/4", "/5"]),
        "six_hops": ({**hops, "/5": moved("/6"), "/6": ALLOW}, [ROBOTS, "/1", "/2", "/3", "/4", "/5"]),
        "circling": ({ROBOTS: moved(ROBOTS)}, [ROBOTS] * 6),
        "lent": ({ROBOTS: moved("{lender}/theirs.txt")}, [ROBOTS]),
        "lender": ({ROBOTS: ALLOW, "/theirs.txt": Answer("User-agent: *\nDisallow: /feed")}, ["/theirs.txt", *whole]),
        "forbidding": ({ROBOTS: Answer("User-agent: *\nDisallow: /f*d$\n")}, [ROBOTS]),
        "forbidding_us": ({ROBOTS: Answer("User-agent: employee-forum-monitor\nDisallow: /\n\nUser-agent: *\nAllow: /\n")}, [ROBOTS]),
        "marked": ({ROBOTS: Answer("\ufeffUser-agent: *\nDisallow: /feed\n")}, [ROBOTS]),
        "huge_forbidding": ({ROBOTS: Answer("User-agent: *\nDisallow: /feed\n" + filler * 1000 + "Allow: /feed\n")}, [ROBOTS]),
        "broken": ({ROBOTS: Answer(status=503)}, [ROBOTS] * 3),
        "busy": ({ROBOTS: Answer(status=429, headers={"Retry-After": "0"})}, [ROBOTS] * 3),
        "mute": ({ROBOTS: Answer(drop=True)}, [ROBOTS] * 3),
        "cut_off": ({ROBOTS: Answer("User-agent: *\n", length=5000)}, [ROBOTS] * 3),
        "slow": ({ROBOTS: Answer("User-agent: *\nAllow: /\n", wait=3)}, [ROBOTS] * 3),
    }
    answers = {name: {**given, "/feed": feed()} for name, (given, _) in cases.items()}
    done = Visited(tmp_path, answers, {name: ["/feed"] for name in cases}, time_limit=9)
    assert {name: done.paths(name) for name in cases} == {name: log for name, (_, log) in cases.items()}
    assert done.result["finish_reason"] in ("robots_unreachable", "disallowed")
    read = {name for name, (_, log) in cases.items() if log[-1] == "/feed"}
    why = done.reasons()
    assert {name for name in cases if f"{name}/feed" in why} == cases.keys() - read
    assert why["lent/feed"] == why["five_hops/feed"] == "disallowed: is forbidden by robots.txt"
    assert "robots_unreachable: is not asked, since its host's robots.txt answers 503" in why["broken/feed"]
    assert "gives no answer in time" in why["slow/feed"] and why["slow/robots.txt"] == "gives no answer in time"
    assert done.verdict("none") == "is not there (404)" and done.verdict("broken") == "answers 503"
    assert done.verdict("allowing") == "allows what is asked" and done.verdict("lent") == "forbids what is asked"


def test_crawl_delay_and_identity(tmp_path: Path) -> None:
    """Requests are at least Crawl-delay apart; each says who asks and where to complain; no cookie and no referrer goes along."""
    post = {"id": 60, "topic_id": 1, "post_number": 1, "cooked": "<p>Morale.</p>", "created_at": "2025-01-31T10:00:00Z"}
    pages = {
        "/posts.json": as_json({"latest_posts": [post]}, headers={"Set-Cookie": "id=1"}),
        "/posts.json?before=60": as_json({"latest_posts": []}),
        "/posts.json?before=10": as_json({"latest_posts": []}),
    }
    with Site({ROBOTS: Answer("User-agent: *\nCrawl-delay: 0.8\n"), **pages}) as forum:
        result = crawl(tmp_path, "discourse", {"url": forum.url}, contact="us@example.org")
    assert result["finish_reason"] == "finished"
    assert forum.paths == [ROBOTS, TDMREP, *pages]
    times = [at for at, _, _ in forum.requests]
    assert all(later - earlier >= 0.75 for earlier, later in pairwise(times))
    for _, _, headers in forum.requests:
        assert headers["User-Agent"].startswith("employee-forum-monitor/") and headers["User-Agent"].endswith("(+us@example.org)")
        assert "Cookie" not in headers and "Referer" not in headers


def test_a_retry_after_beside_robots_txt_is_kept(tmp_path: Path) -> None:
    """A short one is waited for; an hour holds for the next crawls, and in either case nothing else is asked before."""
    short = [Answer(status=503, headers={"Retry-After": "1"}), ALLOW]
    tdmrep = [Answer(status=429, headers={"Retry-After": "1"}), Answer(status=404)]
    with (
        Site({ROBOTS: short, TDMREP: tdmrep, "/feed": feed()}) as soon,
        Site({ROBOTS: Answer(status=503, headers={"Retry-After": "3600"})}) as late,
    ):
        options = {"urls": [f"{soon.url}/feed", f"{late.url}/feed"]}
        first = crawl(tmp_path, "feed", options, now="2025-01-31T12:00:00Z")
        again = crawl(tmp_path, "feed", options, now="2025-01-31T12:59:00Z")
        assert soon.paths[:5] == [ROBOTS] * 2 + [TDMREP] * 2 + ["/feed"]
        times = [at for at, _, _ in soon.requests]
        assert times[1] - times[0] >= 0.95 and times[3] - times[2] >= 0.95
        assert (first["finish_reason"], again["finish_reason"], late.paths) == ("rate_limited", "rate_limited", [ROBOTS])
    assert first["counts"]["new"] == 1 and "2025-01-31 13:00 UTC" in again["message"]


def test_two_ports_of_one_host_share_the_longer_delay(tmp_path: Path) -> None:
    """What robots.txt of one asks for is not undone by that of the other, which asks for less."""
    slow, fast = ({ROBOTS: Answer(f"User-agent: *\nCrawl-delay: {delay}"), "/feed": feed()} for delay in (0.6, 0.1))
    with Site(slow) as one, Site(fast) as other:
        crawl(tmp_path, "feed", {"urls": [f"{one.url}/feed", f"{other.url}/feed", f"{one.url}/feed?page=2"]})
    times = sorted(at for forum in (one, other) for at, _, _ in forum.requests)
    assert len(times) == 7 and all(later - earlier >= 0.55 for earlier, later in pairwise(times))


def test_two_crawls_at_once_share_one_budget(tmp_path: Path) -> None:
    """Of a host that two sources read at the same time, both together ask no more than it allows in an hour."""
    pages = {f"/{n}": feed(n) for n in range(20)}
    with Site({ROBOTS: ALLOW, **pages}) as forum:
        urls = [[f"{forum.url}/{n}" for n in range(first, 20, 2)] for first in (0, 1)]
        crawls = [begin(tmp_path, "feed", {"urls": part}, per_hour=10, delay=delay) for part, delay in zip(urls, (0.2, 0.3), strict=True)]
        assert [each.result()["finish_reason"] for each in crawls] == ["rate_limited"] * 2
        assert len(forum.paths) <= 11  # the last two may be asked in the same instant


def test_opt_outs_of_pages_and_of_sites(tmp_path: Path) -> None:
    """A page that opts out is left out and the next one read; a site that reserves itself is not asked for a single page."""
    reserved = {"location": "/private*", "tdm-reservation": 1}
    pages = {
        "/plain": feed(1), "/noindex": feed(2, **{"X-Robots-Tag": "noindex, nofollow"}), "/noai": feed(3, **{"X-Robots-Tag": "noai"}),
        "/tdm": feed(4, **{"TDM-Reservation": "1"}), "/to_another": feed(5, **{"X-Robots-Tag": "googlebot: noindex"}),
        "/to_us": feed(6, **{"X-Robots-Tag": "employee-forum-monitor: none"}),
        "/meta": Answer('<!doctype html><meta name="robots" content="noindex"><article>Morale', headers=HTML),
        "/private/feed": feed(7), "/moved": moved("/private/feed"),
    }  # fmt: skip
    answers: dict[str, Mapping[str, Given]] = {
        "forum": {ROBOTS: ALLOW, TDMREP: as_json([reserved]), **pages},
        "whole": {TDMREP: as_json([{"location": "/", "tdm-reservation": 1}]), "/a": feed(8), "/b": feed(9)},
        "unreadable": {TDMREP: Answer(status=503), "/a": feed(10)},
        "soft": {TDMREP: Answer("<!doctype html>Home", headers=HTML), "/a": feed(11)},
        "hidden": {ROBOTS: Answer("User-agent: *\nDisallow: /.well-known/\n"), "/a": feed(12)},
    }
    urls = {"forum": list(pages), "whole": ["/a", "/b"], "unreadable": ["/a"], "soft": ["/a"], "hidden": ["/a"]}
    done = Visited(tmp_path, answers, urls)
    assert done.paths("forum") == [ROBOTS, TDMREP, *[path for path in pages if path != "/private/feed"]]
    assert done.paths("whole") == [ROBOTS, TDMREP]
    assert done.paths("unreadable") == [ROBOTS, TDMREP, TDMREP, TDMREP]
    assert done.paths("soft") == [ROBOTS, TDMREP, "/a"] and done.paths("hidden") == [ROBOTS, "/a"]
    assert done.stored() == 4  # plain, to_another, soft, hidden
    assert (
        done.result["finish_reason"] == "disallowed"
        and "/noindex opts out of being analysed (X-Robots-Tag: noindex)" in done.result["message"]
    )
    why = done.reasons()
    assert why["forum/meta"] == 'disallowed: opts out of being analysed (<meta name="robots" content="noindex">)'
    assert "tdm-reservation: 1" in why["forum/tdm"] and "is reserved from text and data mining" in why["forum/private/feed"]
    assert "since its site reserves itself" in why["whole/a"] and "since its site reserves itself" in why["whole/b"]
    assert "answers 503: what cannot be read is taken for a reservation" in why["unreadable/a"]


def test_walls_stop_the_site(tmp_path: Path) -> None:
    """After a bot wall, a CAPTCHA or a login nothing more is asked of that site, no login is looked at, and no wall becomes a post."""
    walls: dict[str, Given] = {
        "single_sign_on": moved("{refusing}/ucp.php?mode=login"),
        "refusing": Answer(status=403),
        "cloudflare": Answer("<html><title>Just a moment...</title>", 503, HTML),
        "anubis": Answer('<!doctype html><title>x</title><script id="anubis_challenge">{}</script><p>Making sure', 200, HTML),
        "javascript": Answer("<html><body>Please enable JavaScript and cookies to continue</body></html>", 200, HTML),
        "captcha": Answer('<html><body><div class="g-recaptcha" data-sitekey=k></div></body></html>', 200, HTML),
        "datadome": as_json({"url": "https://geo.captcha-delivery.com/captcha/"}, status=403),
        "members": moved("/login?return=/one"),
    }
    answers = {name: {"/one": wall, "/two": feed(2), "/login": feed(3), "/ucp.php": feed(4)} for name, wall in walls.items()}
    open_site: Mapping[str, Given] = {"/one": feed(5), "/two": feed(6)}
    done = Visited(tmp_path, {**answers, "open": open_site}, {name: ["/one", "/two"] for name in [*walls, "open"]})
    for name in walls:
        assert done.sites[name].pages == ["/one"], name
    assert done.sites["open"].pages == ["/one", "/two"] and done.stored() == 2
    assert done.result["finish_reason"] == "banned"
    why = done.reasons()
    assert all(why[f"{name}/two"].startswith("banned: is not asked, since its site ") for name in walls)
    assert why["members/login"].startswith("banned: asks for a login")


def test_one_closed_topic_is_not_the_site(tmp_path: Path) -> None:
    """A topic with a login in its place is left out and the others are read; when one after the other asks for one, the site is left."""
    about = {"@type": "DiscussionForumPosting", "text": "Morale is low.", "datePublished": "2025-01-30T10:00:00Z"}
    topic = Answer(f'<!doctype html><script type="application/ld+json">{json.dumps(about)}</script>', headers=HTML)
    form = Answer("<!doctype html><title>Log in | Forum</title><form><input type=password></form>", headers=HTML)
    listed = Answer("<!doctype html>" + "".join(f"<a href=/t/{n}>topic</a>" for n in range(9)), headers=HTML)
    topics: dict[str, Given] = {f"/t/{n}": topic for n in range(9)} | {"/t/1": moved("/login?return=/t/1"), "/t/2": form}
    with Site({ROBOTS: ALLOW, "/": listed, **topics}) as forum:
        one = crawl(tmp_path, "semantic", {"urls": [f"{forum.url}/"], "follow": "a"})
        assert (one["finish_reason"], one["counts"]["new"], one["rejected"]) == ("finished", 7, 2)
        assert "/login" not in forum.pages and "is not open to the public" in one["message"]
        with Store(tmp_path / "monitor.db", read_only=True) as store:
            assert sum("asks for a login in place of one page" in row["reason"] for row in store.visits("s")) == 2
        forum.answers |= {"/t/3": moved("/login"), "/t/4": form, "/t/5": form, "/t/7": form}
        forum.requests.clear()
        many = crawl(tmp_path, "semantic", {"urls": [f"{forum.url}/"], "follow": "a"})
        assert many["finish_reason"] == "banned" and forum.pages == ["/", *(f"/t/{n}" for n in range(8, 0, -1))]


def test_a_wall_on_a_side_page_is_told(tmp_path: Path) -> None:
    """A wall met while an old topic is looked at again ends the crawl as banned though all that is new was read; nothing is lost."""
    posts = [
        {"id": n, "topic_id": n, "post_number": 1, "cooked": f"<p>Morale {n}.</p>", "created_at": "2025-01-31T10:00:00Z"} for n in (60, 59)
    ]
    pages = {"/posts.json": as_json({"latest_posts": posts}), "/posts.json?before=59": as_json({"latest_posts": []}),
             "/posts.json?before=9": as_json({"latest_posts": []})}  # fmt: skip
    with Site({ROBOTS: ALLOW, "/t/60.json": as_json({}, status=403), **pages}) as forum:
        assert crawl(tmp_path, "discourse", {"url": forum.url})["finish_reason"] == "finished"
        forum.requests.clear()
        forum.answers |= dict.fromkeys(("/t/60.json", "/t/59.json"), Answer("<html><title>Just a moment...</title>", 403, HTML))
        again = crawl(tmp_path, "discourse", {"url": forum.url})
    assert forum.paths == ["/posts.json", "/t/60.json"]  # neither robots.txt, read within the day, nor another topic
    assert again["finish_reason"] == "banned" and "/t/60.json shows a bot wall" in again["message"]
    assert again["counts"]["unchanged"] == 2 and again["counts"]["deleted"] == 0


def test_a_budget_and_a_day_old_robots_txt(tmp_path: Path) -> None:
    """Four requests in an hour are four, over crawls: the next waits for the hour's end, or goes. A day later robots.txt is read anew."""
    pages = {"/a": feed(1), "/b": feed(2), "/c": feed(3)}
    with Site({ROBOTS: [ALLOW, Answer(status=503)], **pages}) as forum:
        options = {"urls": [f"{forum.url}{path}" for path in pages]}

        def at(now: str, **settings: Any) -> tuple[dict[str, Any], list[str]]:
            forum.requests.clear()
            return crawl(tmp_path, "feed", options, now=now, per_hour=4, **settings), forum.paths

        first, log = at("2025-01-31T12:00:30Z")
        assert (first["finish_reason"], log) == ("rate_limited", [ROBOTS, TDMREP, "/a", "/b"])
        assert "has had the 4 requests of this hour: it is asked again after 13:01 UTC" in first["message"]
        with Store(tmp_path / "monitor.db", read_only=True) as store:
            assert len(store.cursor("s")["urls"]) == 2
        waited, log = at("2025-01-31T13:00:58Z", time_limit=30)
        assert (waited["finish_reason"], log) == ("finished", ["/a", "/b", "/c"])
        with Store(tmp_path / "monitor.db", read_only=True) as store:
            assert store.visits("s")[0]["at"] >= "2025-01-31T13:01:00Z"
        forum.answers[ROBOTS] = Answer(status=503)
        late, log = at("2025-02-01T12:30:00Z")
        assert (late["finish_reason"], log) == ("robots_unreachable", [ROBOTS] * 3)
