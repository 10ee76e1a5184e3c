"""Manners toward the sites: robots.txt, the delays that a site asks for, and staying out where we are not wanted.

The promise: nothing is fetched from a host whose robots.txt forbids it or cannot be read (RFC 9309 2.3.1.4), sooner than
its Crawl-delay or Retry-After allows, or after it has shown a login, a bot wall or an opt-out. None of these is ever
worked around; each ends in a sentence, and holds for this host alone (scheme, name and port).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import re
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy.http import Request, Response
from scrapy.http.request import NO_CALLBACK

from spiders.base import Refused, unread

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

LONGEST_WAIT = 120.0
"""Seconds of Retry-After that a crawl waits for; if the site asks for more, it ends and leaves the time to the next one."""

_WAITS = 2  # times that one request waits before its site is left alone
_STAY_AWAY = 900.0  # seconds, from a site that said 429 again and again and never for how long
_ROBOTS_SIZE = 500 * 1024  # bytes that RFC 9309 2.5 asks to read


class Politeness:
    """The downloader middleware. It refuses a request by raising Refused, which the spider counts with its reason."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        spider: Any = crawler.spider
        self.spider = spider
        self.name = crawler.settings["ROBOTSTXT_USER_AGENT"]
        self.delay = crawler.settings.getfloat("DOWNLOAD_DELAY")
        self.time_limit = crawler.settings.getfloat("CLOSESPIDER_TIMEOUT")
        self.began = time.monotonic()
        self.rules: dict[str, asyncio.Task[Protego | str]] = {}
        self.resume: dict[str, float] = {}
        """Origins that asked for patience: the monotonic time at which to ask again."""
        self.closed: dict[str, tuple[str, str]] = {}
        """Origins that are left alone: finish reason and sentence."""
        asked = spider.cursor.get("not_before")
        for origin, until in (asked if isinstance(asked, dict) else {}).items():
            if (moment := _moment(until)) and moment > spider.now:
                self._stay_away(origin, moment)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        origin = _origin(request.url)
        self._check(origin)
        if not request.meta.get("robots"):
            await self._obey(request, origin)
        while (wait := self.resume.get(origin, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        self._check(origin)

    def _check(self, origin: str) -> None:
        if origin in self.closed:
            raise Refused(*self.closed[origin])

    def process_response(self, request: Request, response: Response) -> Request | Response:
        if request.meta.get("robots"):
            return response
        origin = _origin(request.url)
        if wall := unwelcome(request, response):
            self.closed[origin] = wall
            raise Refused(*wall)
        if response.status not in (429, 503):
            return response
        asked = retry_after(response.headers.get("Retry-After"), time.time())
        if asked is None and response.status == 503:
            return response  # a fault, not a wish: Scrapy tries it again
        waits = request.meta.get("waits", 0)
        wait = 10 * self.delay * 2**waits if asked is None else asked
        spent = time.monotonic() - self.began
        if waits < _WAITS and wait <= LONGEST_WAIT and spent + wait < self.time_limit:
            self.resume[origin] = time.monotonic() + wait
            return request.replace(meta={**request.meta, "waits": waits + 1})
        self._stay_away(origin, self.spider.now + dt.timedelta(seconds=spent + (_STAY_AWAY if asked is None else asked)))
        raise Refused(*self.closed[origin])

    def _stay_away(self, origin: str, until: dt.datetime) -> None:
        self.spider.not_before[origin] = until.isoformat(timespec="seconds")
        self.closed[origin] = ("rate_limited", f"asked us to stay away: it is asked again after {until:%Y-%m-%d %H:%M} UTC")

    async def _obey(self, request: Request, origin: str) -> None:
        """Raise Refused unless the host's robots.txt, read once per crawl, allows this URL; set its Crawl-delay."""
        if origin not in self.rules:
            self.rules[origin] = asyncio.ensure_future(self._robots(origin))
        rules = await self.rules[origin]
        if isinstance(rules, str):
            raise Refused("robots_unreachable", f"is not asked, since its host's robots.txt {rules}: what cannot be read allows nothing")
        if not rules.can_fetch(request.url, self.name):
            raise Refused("disallowed", "is forbidden by robots.txt")
        delay = rules.crawl_delay(self.name) or 0.0
        if delay > self.time_limit:
            raise Refused("disallowed", f"may be asked every {delay:.0f} s only (robots.txt): raise this source's time_limit")
        if delay > self.delay:
            downloader, host = self.crawler.engine.downloader, urlsplit(origin).hostname or ""
            # Scrapy throws a host's slot away after a minute without use, and then makes another from these settings.
            downloader.per_slot_settings[host] = {"delay": delay}
            if host in downloader.slots:
                downloader.slots[host].delay = delay

    async def _robots(self, origin: str) -> Protego | str:
        """The host's rules, or why there are none."""
        request = Request(f"{origin}/robots.txt", NO_CALLBACK, meta={"robots": True}, priority=1000)
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001  # whatever kept us from reading it, we have not read it
            return unread(error)
        if 200 <= response.status < 300:
            return Protego.parse(response.body[:_ROBOTS_SIZE].decode("utf-8-sig", "replace"))
        if 400 <= response.status < 500 and response.status != 429:
            return Protego.parse("")  # RFC 9309 2.3.1.3: there is none, so all is allowed
        return f"answers {response.status}"


def retry_after(header: bytes | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3: seconds or a date), 0 to a week; None without a valid one.

    `now` is epoch seconds.
    """
    text = (header or b"").decode("latin-1").strip()
    if re.fullmatch(r"\d{1,18}(\.\d*)?", text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), 7 * 86400.0)


_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)  # posts about such walls, in JSON or a feed, are none
_WALL_TITLE = re.compile(
    rb"<title>\s*(just a moment\.\.\.|attention required!|are you (a |not a )?(human|robot)|robot check|verify(ing)? you are)",
    re.IGNORECASE,
)
_WALL = re.compile(rb"captcha|cf-chl|challenge-platform", re.IGNORECASE)
_LOGIN = re.compile(r"/(log-?in|sign-?in|users/sign_in|session)(/|$)", re.IGNORECASE)


def unwelcome(request: Request, response: Response) -> tuple[str, str] | None:
    """The finish reason and sentence where a site shows that it does not want to be read; None where it does not show that.

    A 401 or 403 on a page that is not essential (a topic that was closed to the public) concerns that page alone.
    """
    head = response.body[:65536] if _HTML.match(response.body) else b""
    wall = b"challenge" in (response.headers.get("cf-mitigated") or b"") or _WALL_TITLE.search(head)
    if wall or (response.status in (403, 429, 503) and _WALL.search(head)):
        return "banned", "shows a bot wall: it is not read any further, and a wall is never worked around"
    if request.meta.get("redirect_urls") and _LOGIN.search(urlsplit(response.url).path):
        return "banned", "asks for a login: it is not read any further; take this source out, or choose its public pages"
    if request.meta["essential"] and response.status in (401, 403):
        return "banned", f"answers {response.status}: crawlers are not wanted there, or it needs a login; it is not read any further"
    robots = b",".join(response.headers.getlist("X-Robots-Tag")).decode("latin-1").lower()
    if "noai" in re.split(r"[\s,:]+", robots) or (response.headers.get("tdm-reservation") or b"").strip() == b"1":
        return "disallowed", "opts out of being analysed by a header of its answer (tdm-reservation, or X-Robots-Tag: noai)"
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _moment(text: object) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
