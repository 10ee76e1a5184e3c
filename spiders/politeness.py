"""Manners toward the sites: robots.txt and opt-outs, the pace that a site asks for, and staying out where we are not wanted.

The promise: nothing is fetched from a host whose robots.txt forbids it or cannot be read (RFC 9309 2.3.1.4), that reserves it
(W3C TDMRep), sooner than its Crawl-delay, its Retry-After or our own budget allows, or after it has shown a login or a bot
wall. None of these is ever worked around; each ends in a sentence, holds for this host alone, and stands in the table `visits`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy import signals
from scrapy.http import Request, Response
from scrapy.http.request import NO_CALLBACK

from monitor.errors import StoreError
from monitor.store import SiteFile
from spiders.base import LONGEST_WAIT, Refused, origin, shown, unread
from spiders.optouts import Reservations, opt_out
from spiders.visits import BATCH, Visits
from spiders.walls import LOGIN_WALL, login, unwelcome

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

ROBOTS, TDMREP = "/robots.txt", "/.well-known/tdmrep.json"

_WAITS = 2  # times that one request waits before its site is left alone
_LOGINS = 5  # pages in a row with a login in their place after which it is the site that asks for one
_CLOSED = "banned: asks for a login in place of one page, which is left out"
_STAY_AWAY = 900.0  # seconds, from a site that said 429 again and again and never for how long
_FILE_SIZE = 500 * 1024  # bytes of robots.txt that RFC 9309 2.5 asks to read


class Politeness:
    """The downloader middleware. It refuses a request by raising Refused, which the spider counts with its reason."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        spider: Any = crawler.spider
        self.spider = spider
        settings = crawler.settings
        self.name = settings["ROBOTSTXT_USER_AGENT"]
        self.agreed = settings.getbool("FORUM_MONITOR_AGREED")
        """Whether the site has granted this operator its API, for the requests that a spider makes by such a grant."""
        self.delay = settings.getfloat("DOWNLOAD_DELAY")
        self.time_limit = settings.getfloat("CLOSESPIDER_TIMEOUT")
        # One that hangs is tried again, and must leave time to say so.
        self.file_timeout = min(settings.getfloat("DOWNLOAD_TIMEOUT"), self.time_limit / 10)
        self.began = time.monotonic()
        database = settings["FORUM_MONITOR_DATABASE"]
        self.visits = Visits(
            Path(database) if database else None,
            settings.getint("FORUM_MONITOR_CRAWL"),
            settings.getint("FORUM_MONITOR_PER_HOUR"),
            self._now,
        )
        crawler.stats.set_value("verdicts", self.visits.verdicts)
        self.robots: dict[str, asyncio.Task[Protego]] = {}
        self.reservations: dict[str, asyncio.Task[Reservations]] = {}
        self.judged: dict[str, set[bool]] = {}
        """What robots.txt said so far of the URLs of a host: allowed, forbidden or both."""
        self.resume: dict[str, float] = {}
        """Hosts that asked for patience: the monotonic time at which to ask again."""
        self.closed: dict[str, tuple[str, str]] = {}
        """Hosts that are left alone: finish reason, and a sentence that follows on "its site"."""
        self.logins: Counter[str] = Counter()
        """Pages of a host in whose place there was a login."""
        asked = spider.cursor.get("not_before")
        for host, until in (asked if isinstance(asked, dict) else {}).items():
            if (moment := _moment(until)) and moment > spider.now:
                self._stay_away(host, moment)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        politeness = cls(crawler)
        crawler.signals.connect(politeness._answered, signals.response_downloaded)
        # Idle also because a crawl that is cut short by force closes nothing; monitor/collect.py then says at least that it is idle.
        crawler.signals.connect(politeness._save, signals.spider_idle)
        crawler.signals.connect(politeness._save, signals.spider_closed)
        return politeness

    def _now(self) -> dt.datetime:
        now: dt.datetime = self.spider.now + dt.timedelta(seconds=time.monotonic() - self.began)
        return now

    # ---- before a request ----------------------------------------------------------------------------------------

    async def process_request(self, request: Request) -> Response | None:
        host = origin(request.url)
        try:
            if not request.meta.get("robots"):
                if wall := login(request):
                    if self._closed_page(request):
                        self.visits.note(request.url, "refused", reason=_CLOSED)
                        return Response(request.url, status=403)
                    raise self._close(request, wall, request.meta["redirect_urls"])  # those that led there: the login may be another's
                self._check(host)
                await self._obey(request, host)
            await self._be_patient(host)
        except Refused as refusal:
            self.visits.note(request.url, "refused", reason=f"{refusal.reason}: {refusal}")
            raise
        self.visits.count(host)
        self._save(least=0 if self.visits.per_hour else BATCH)  # one budget for all crawls of a host: they count what we ask
        return None

    def _check(self, host: str) -> None:
        if host in self.closed:
            reason, sentence = self.closed[host]
            raise Refused(reason, f"is not asked, since its site {sentence}")

    async def _obey(self, request: Request, host: str) -> None:
        """Raise Refused unless the files of the host, read once, allow this URL."""
        if host not in self.robots:
            self.robots[host] = asyncio.ensure_future(self._read_robots(host))
        rules = await self.robots[host]
        allowed = rules.can_fetch(request.url, self.name)
        self._judge(host, rules, allowed)
        if not allowed and not (self.agreed and request.meta.get("by_agreement")):
            raise Refused("disallowed", "is forbidden by robots.txt")
        delay = rules.crawl_delay(self.name) or 0.0
        if delay > self.time_limit:
            raise Refused("disallowed", f"may be asked every {delay:.0f} s only (robots.txt): raise this source's time_limit")
        if not rules.can_fetch(f"{host}{TDMREP}", self.name):
            return
        if host not in self.reservations:
            self.reservations[host] = asyncio.ensure_future(self._read_reservations(host))
        reserved = (await self.reservations[host]).of(request.url)
        if reserved == "site":
            sentence = f"reserves itself from text and data mining ({TDMREP}): it is not read any further"
            raise self._close(request, ("disallowed", sentence), [request.url], told="is not asked, since its site ")
        if reserved == "page":
            raise Refused("disallowed", f"is reserved from text and data mining by its site's {TDMREP}")

    def _judge(self, host: str, rules: Protego, allowed: bool) -> None:
        """Keep in the verdict on a host's robots.txt what it said of the URLs that were to be asked."""
        judged = self.judged.setdefault(host, set())
        file = self.visits.files.get((host, ROBOTS))
        if allowed in judged or not file or not file.text:
            return
        judged.add(allowed)
        what = "allows what is asked" if judged == {True} else "forbids what is asked" if judged == {False} else "forbids a part"
        delay = rules.crawl_delay(self.name)
        file.verdict = f"{what}, at most every {delay:g} s" if delay else what
        self.visits.learn(file)

    async def _read_robots(self, host: str) -> Protego:
        file = await self._read(host, ROBOTS)
        if file.text is None:
            sentence = f"is not asked, since its host's robots.txt {file.verdict}: what cannot be read allows nothing"
            raise Refused("robots_unreachable", sentence)
        rules = Protego.parse(addressed(file.text, self.name))
        delay = rules.crawl_delay(self.name) or 0.0
        downloader, name = self.crawler.engine.downloader, urlsplit(host).hostname or ""
        if delay > downloader.per_slot_settings.get(name, {}).get("delay", self.delay):  # the slot is that of all ports
            # Scrapy throws a host's slot away after a minute without use, and then makes another from these settings.
            downloader.per_slot_settings[name] = {"delay": delay}
            if name in downloader.slots:
                downloader.slots[name].delay = delay
        return rules

    async def _read_reservations(self, host: str) -> Reservations:
        file = await self._read(host, TDMREP)
        if file.text is None:
            sentence = f"has a {TDMREP} that {file.verdict}: what cannot be read is taken for a reservation"
            self.closed[host] = "disallowed", sentence
            self._check(host)
        return Reservations(file.text or "")

    async def _read(self, host: str, path: str) -> SiteFile:
        """A host's file, from the last 24 hours or anew. Raises Refused where the host may not be asked for it now."""
        if known := self.visits.file(host, path):
            return known
        # Up to five redirects are followed, also to another host: the rules hold for this one (RFC 9309 2.3.1.2).
        meta = {"robots": True, "download_timeout": self.file_timeout}
        text, verdict = None, ""
        try:
            response = await self.crawler.engine.download_async(Request(f"{host}{path}", NO_CALLBACK, meta=meta, priority=1000))
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001  # whatever kept us from reading it, we have not read it
            verdict = unread(error)
        else:
            verdict = f"answers {response.status}"
            if 200 <= response.status < 300:
                text, verdict = _text(response.body), "is read"  # what it says of what is asked is added then
            elif 400 <= response.status < 500 and response.status != 429:
                text, verdict = "", f"is not there ({response.status})"  # RFC 9309 2.3.1.3: so all is allowed
        file = SiteFile(host, path, text, verdict, self._now())
        self.visits.learn(file)
        return file

    async def _be_patient(self, host: str) -> None:
        """Wait as long as the site asked for, and until our budget there allows a request. Raises Refused where that takes too long."""
        while True:
            self._check(host)
            pause, budget = self.resume.get(host, 0.0) - time.monotonic(), self.visits.wait(host)
            if budget and time.monotonic() - self.began + budget >= self.time_limit:
                after = self._now() + dt.timedelta(seconds=budget)
                sentence = f"has had the {self.visits.per_hour} requests of this hour: it is asked again after {after:%H:%M} UTC"
                self.closed[host] = ("rate_limited", f"{sentence} (raise sources.{self.spider.source}.per_hour if its owner agrees)")
            elif max(pause, budget) > 0:
                await asyncio.sleep(max(pause, budget))
            else:
                return

    # ---- after it ------------------------------------------------------------------------------------------------

    def _answered(self, response: Response, request: Request) -> None:
        """Every answer passes here, redirects and those that are tried again included."""
        request.meta["visit"] = self.visits.note(request.url, "asked", status=response.status)

    def process_exception(self, request: Request, exception: Exception) -> None:
        if not isinstance(exception, Refused):
            self.visits.note(request.url, "asked", reason=unread(exception))

    def process_response(self, request: Request, response: Response) -> Request | Response:
        try:
            return (self._heard if request.meta.get("robots") else self._welcome)(request, response)
        except Refused as refusal:
            request.meta["visit"].reason = f"{refusal.reason}: {refusal}"
            raise

    def _welcome(self, request: Request, response: Response) -> Request | Response:
        if wall := unwelcome(request, response):
            if wall == LOGIN_WALL and self._closed_page(request):
                request.meta["visit"].reason = _CLOSED
                return response.replace(status=403)
            raise self._close(request, wall, [request.url, *request.meta.get("redirect_urls", [])])
        if response.status < 400:
            self.logins[origin(request.url)] = 0
            if words := opt_out(response, self.name, self._now()):
                raise Refused("disallowed", f"opts out of being analysed ({words})")
        return self._heard(request, response)

    def _heard(self, request: Request, response: Response) -> Request | Response:
        """The answer; where it asks for patience, the request anew, to be made then. Raises Refused where that takes too long."""
        if response.status not in (429, 503):
            return response
        asked = retry_after(response.headers.get("Retry-After"), time.time())
        if asked is None and (response.status == 503 or request.meta.get("robots")):
            return response  # a fault, not a wish: Scrapy tries it again
        waits = request.meta.get("waits", 0)
        wait = 10 * self.delay * 2**waits if asked is None else asked
        spent = time.monotonic() - self.began
        host = origin(request.url)
        if waits < _WAITS and wait <= LONGEST_WAIT and spent + wait < self.time_limit:
            self.resume[host] = time.monotonic() + wait
            return request.replace(meta={**request.meta, "waits": waits + 1})
        self._stay_away(host, self._now() + dt.timedelta(seconds=_STAY_AWAY if asked is None else asked))
        raise Refused(self.closed[host][0], self.closed[host][1])

    def _close(self, request: Request, wall: tuple[str, str], urls: Iterable[str], told: str = "") -> Refused:
        """Leave the sites of these URLs alone from now on, and say so even where the page is not essential. To be raised."""
        reason, sentence = wall
        self.closed.update((origin(url), wall) for url in urls)
        self.spider.failures.append((reason, f"{shown(request.url)} {told}{sentence}"))
        return Refused(reason, told + sentence)

    def _closed_page(self, request: Request) -> bool:
        """Whether a login stands in place of one page that may be closed to the public, as by a 403; a few of those are the site's."""
        if 403 not in request.meta.get("handle_httpstatus_list", ()):
            return False
        host = origin(request.meta.get("redirect_urls", [request.url])[0])
        self.logins[host] += 1
        return self.logins[host] < _LOGINS

    def _stay_away(self, host: str, until: dt.datetime) -> None:
        self.spider.stay_away(host, until)
        self.closed[host] = ("rate_limited", f"asked us to stay away: it is asked again after {until:%Y-%m-%d %H:%M} UTC")

    def _save(self, least: int = 1) -> None:
        if self.crawler.stats.get_value("store_error"):
            return  # the crawl is ending
        try:
            self.visits.save(least)
        except StoreError as error:
            self.crawler.stats.set_value("store_error", str(error))
            self.ending = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="store_error"))


def _text(body: bytes) -> str:
    """A file's text; of one that is too long, its first whole lines."""
    if len(body) > _FILE_SIZE:
        body = body[:_FILE_SIZE].rpartition(b"\n")[0]
    return body.decode("utf-8-sig", "replace")


_CALLED = re.compile(r"\s*user[- ]?agent\s*[:\s]\s*(\*(?=[\s#]|$)|[a-z_-]*)", re.IGNORECASE)
_DELAY = re.compile(r"\s*crawl[- ]delay\s*[:\s]\s*(\d+)(?:[.,](\d+))?", re.IGNORECASE)
_RULE = re.compile(r"\s*(?:allow|dis{1,2}al{1,2}[oa]w|diasllow)\b", re.IGNORECASE)


def addressed(robots: str, name: str) -> str:
    """A robots.txt as RFC 9309 reads it, for Protego, which takes `User-agent: e` for anybody whose name begins so.

    A group is ours by the whole product token, whatever version stands behind it (2.2.1); records that the standard does not
    know are left out, since they end no group (2.2.4).
    """
    lines = []
    for line in robots.splitlines():
        if called := _CALLED.match(line):
            token = called[1].lower()
            lines.append(f"User-agent: {token if token in ('*', name) else 'another'}")
        elif delay := _DELAY.match(line):
            lines.append(f"Crawl-delay: {delay[1]}.{delay[2] or 0}")
        elif _RULE.match(line):
            lines.append(line)
    return "\n".join(lines)


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


def _moment(text: object) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
