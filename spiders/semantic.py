"""Pages that describe their posts for machines (JSON-LD or microdata, spiders/markup.py), and lists that lead to such pages.

The promise: each page that is named, or that a list leads to, is read whole; replies that the markup leaves out come
through a profile. A post is gone when its page says so or is gone, or when its thread stands on one page without it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

from pydantic import Field
from scrapy.http import Request, Response, TextResponse
from scrapy.utils.response import get_base_url

from monitor.records import Gone, Post, to_text
from spiders import pages
from spiders.base import Days, ForumSpider, SpiderOptions, Url, shown
from spiders.dates import TimeZone
from spiders.pages import origin
from spiders.profiles import AnyProfile, Element, Values
from spiders.saved import described


class SemanticOptions(SpiderOptions):
    urls: tuple[Url, ...] = Field(min_length=1)
    """Pages with posts, or, with `follow`, lists of them."""
    follow: Element | None = None
    """A CSS selector of links, on each of `urls`, to pages with posts."""
    next_page: Values = ("link[rel~='next']::attr(href)", "a[rel~='next']::attr(href)")
    """CSS selectors of the link to the next page of a thread."""
    profile: AnyProfile | None = None
    """For replies that the markup leaves out: the name of a built-in profile, or one written out."""
    timezone: TimeZone = "UTC"
    day_first: bool | None = None
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Threads that one crawl looks at again, those with the newest posts first."""
    max_pages: int = Field(default=200, ge=1, le=10_000)
    """Pages that one crawl reads."""


class Semantic(ForumSpider):
    """`native_id` is the post's address, or what else its markup names it by; `thread_id` the address of its thread's first page."""

    name = "semantic"
    options_type = SemanticOptions
    options: SemanticOptions

    async def start(self) -> AsyncIterator[Request]:
        known = self.cursor if self.cursor.get("urls") == list(self.options.urls) else {}
        until = self.date(known.get("until"))
        self.floor = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.since = self.floor
        self.known: dict[str, set[str]] = {}
        for native_id, thread_id, _ in self.recent:
            self.known.setdefault(thread_id, set()).add(native_id)
        self.moment, _ = pages.readers(self.now, self.options.timezone, self.options.day_first)
        self.asked: set[str] = set()
        self.open = self.filled = self.empty = 0
        way = "list" if self.options.follow else "page"
        begin = [request for url in self.options.urls for request in self._ask(url, pages.canonical(url), way)]
        for request in begin:
            yield request

    def _ask(self, url: str, thread: str, way: str) -> Iterator[Request]:
        """Ask for a page, once. `way`: a list, a page with posts, or one that is looked at again."""
        address = pages.canonical(url)
        if address in self.asked:
            return
        if len(self.asked) >= self.options.max_pages and way != "again":
            self.since = self.now
            self.reject("is a page beyond max_pages", address)
            return
        self.asked.add(address)
        if way == "list":
            request = self.ask(address, self.read_list)
        else:
            accept = (401, 403, 404, 410)
            request = self.ask(address, self.read_page, essential=False, accept=accept, thread=thread, way=way)
            request.meta["due"] = way == "page"
        self.open += way != "again"
        yield request

    def lose(self, asked: Request | Response, what: str, reason: str = "failed") -> None:
        """A page that is due counts like an essential one; but unlike that, it may be closed to the public."""
        if asked.meta.get("due"):
            self.failures.append((reason, f"{shown(asked.url)} {what}"))
        else:
            super().lose(asked, what, reason)

    def read_list(self, response: Response) -> Iterator[Post | Gone | Request]:
        if isinstance(response, TextResponse):
            links = response.css(self.options.follow or "a").xpath("@href").getall()
            found = [link for link in (urljoin(get_base_url(response), link) for link in links) if origin(link) == origin(response.url)]
            if not found:
                self.lose(response, "holds no links that `follow` selects, on the same site")
            for link in found:
                yield from self._ask(link, pages.canonical(link), "page")
        else:
            self.lose(response, "is no page of HTML")
        self.open -= 1
        yield from self._go_on()

    def read_page(self, response: Response, thread: str, way: str) -> Iterator[Post | Gone | Request]:
        if response.status in (404, 410):
            if pages.canonical(response.url) == thread:
                yield from map(self.gone, sorted(self.known.get(thread, ())))
        elif response.status in (401, 403):
            self.reject("is not open to the public", response.url)
        elif isinstance(response, TextResponse):
            yield from self._read(response, thread, way)
        else:
            self.reject("is no page of HTML", response.url)
        if way != "again":
            self.open -= 1
            yield from self._go_on()

    def _read(self, response: TextResponse, thread: str, way: str) -> Iterator[Post | Gone | Request]:
        address = pages.canonical(response.url)
        page = described(response, address, self.options.profile, self.moment, thread=thread)
        for reason in page.left_out:
            self.reject(reason, address)
        if not page.posts and not page.deleted:
            self.empty += 1
            self.reject("describes no posts", address)
            return
        self.filled += 1
        there = {fields["native_id"] for fields in page.posts} | set(page.deleted)
        yield from self.each(page.posts, self._post, address)
        yield from map(self.gone, page.deleted)
        following = next(
            (urljoin(get_base_url(response), link) for link in pages.values(response.selector.root, self.options.next_page)), None
        )
        if following and origin(following) == origin(address):
            yield from self._ask(following, thread, way)
        elif address == thread and not page.left_out:
            yield from map(self.gone, sorted(self.known.get(thread, set()) - there))

    def _post(self, fields: Mapping[str, Any]) -> Iterator[Post]:
        moment, native_id = fields["posted_at"], fields["native_id"]
        if moment is None or moment >= self.floor or native_id in self.known.get(fields["thread_id"], ()):
            yield self.post(**fields)

    def _go_on(self) -> Iterator[Request]:
        """When all that was due is read, look again at the threads of recent posts."""
        if self.open or self.failures:
            return
        if self.empty and not self.filled:
            sentence = f"{shown(self.options.urls[0])} describes no posts (DiscussionForumPosting, Comment) in JSON-LD or microdata"
            self.failures.append(("failed", sentence))
            return
        self.covered = (self.since, self.now)
        self.next_cursor = {"urls": list(self.options.urls), "until": to_text(self.now)}
        for thread in list(self.known)[: self.options.refresh_limit]:
            if origin(thread) == origin(self.options.urls[0]):
                yield from self._ask(thread, thread, "again")
