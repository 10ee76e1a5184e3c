"""Isso, the comments under a website's pages: the pages named in `uris`, or those with new comments (`/latest`).

The promise: a page's comments come all in one answer, so that each crawl sees what is new, edited, approved late or
deleted on every page that it reads. Only where /latest is off, as it is by default, must the pages be named. Isso gives a
deleted comment's number to the next one when it was the newest; an id here holds the time of writing too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlencode, urljoin

from pydantic import Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from monitor.words import plain
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, shown, whole

_LATEST = 1000  # comments that /latest is asked for at first,
_MOST_LATEST = 50_000  # and where those do not reach back far enough
_PUBLIC, _WAITING, _DELETED = 1, 2, 4  # Isso's `mode`
_WRITTEN = "%/:?&=+,;@~!$'()*"  # characters of a page's address that are written as they are


class IssoOptions(SpiderOptions):
    url: Url
    """Isso's own address: the site's pages load `URL/js/embed.min.js`."""
    site: Url | None = None
    """The address of the website under whose pages the comments stand, where it is not Isso's."""
    uris: tuple[str, ...] = ()
    """The pages, as Isso knows them (most often the path, "/blog/post/"); none given means those in /latest."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Other pages that one crawl looks at again for edits and deletions, those with the newest comments first."""


@dataclass
class Page:
    """A page under way. `stored` are its stored comments, `seen` those that answers showed; `parts` of them are still due.

    Whether what is missing is gone is `sure` as long as every comment told its number and time.
    """

    uri: str
    essential: bool
    stored: set[str]
    seen: set[str] = field(default_factory=set)
    parts: int = 1
    sure: bool = True


class Isso(ForumSpider):
    """`native_id` is "number-milliseconds of writing", `thread_id` the page's percent-encoded name."""

    name = "isso"
    options_type = IssoOptions
    options: IssoOptions

    async def start(self) -> AsyncIterator[Request]:
        self.base = self.options.url.rstrip("/")
        known = self.cursor if self.cursor.get("url") == self.base else {}
        until = self.date(known.get("until"))
        first = self.now - dt.timedelta(days=self.options.first_days)
        self.floor = min(until, self.now) - self.overlap if until else first
        # What was approved late is older than the last crawl; a page comes whole, so that it costs nothing to look there too.
        self.since = min(self.floor, first)
        self.stored: dict[str, set[str]] = {}
        for native_id, thread, _ in self.recent:
            if thread:
                self.stored.setdefault(unquote(thread), set()).add(native_id)
        self.begun: set[str] = set()
        self.found = False
        """Whether any page was found."""
        self.open = len(set(self.options.uris)) or 1
        if self.options.uris:
            for uri in dict.fromkeys(self.options.uris):
                yield self._page(uri, essential=True)
        else:
            yield self._latest(_LATEST)

    # ---- which pages -------------------------------------------------------------------------------------------------

    def _latest(self, limit: int) -> Request:
        return self.ask(f"{self.base}/latest?limit={limit}", self.read_latest, accept=(404,), limit=limit)

    def read_latest(self, response: Response, limit: int) -> Iterator[Request]:
        """The newest comments, of which Isso 0.13 gives answers first: only a comment that is none tells how far they reach."""
        if response.status == 404:
            self.lose(response, "answers 404: name the pages in `uris`, or ask the site's owner for `latest-enabled = true`")
            return
        comments = self.json_list(response)
        if comments is None:
            return
        told = (comment for comment in comments if isinstance(comment, Mapping) and isinstance(comment.get("uri"), str))
        sound = [comment for comment in told if comment["uri"].isprintable()]  # a lone surrogate, say, is no part of an address
        if comments and not sound:
            self.lose(response, "holds no comment with its `uri`")
            return
        dates = [self.date(comment.get("created")) for comment in sound]
        reached = any(date and date < self.floor and not comment.get("parent") for date, comment in zip(dates, sound, strict=True))
        if len(comments) >= limit and not reached:
            if limit < _MOST_LATEST:
                yield self._latest(_MOST_LATEST)
            else:
                self.lose(response, f"gives {limit} comments, and more are due: name the pages in `uris`")
            return
        uris = dict.fromkeys(comment["uri"] for date, comment in zip(dates, sound, strict=True) if date is None or date >= self.since)
        self.open += len(uris)
        for uri in uris:
            yield self._page(uri, essential=True)
        yield from self._closed()

    def _closed(self) -> Iterator[Request]:
        self.open -= 1
        if self.open:
            return
        if self.begun and not self.found:
            told = "answers 404 to every page: `url` is the address in front of /js/embed.min.js in the source of the site's pages"
            self.failures.append(("failed", f"{shown(self.base)} {told}"))
            return
        self.next_cursor = {"url": self.base, "until": to_text(self.now)}
        self.covered = (self.floor, self.now)
        others = [uri for uri in self.stored if uri not in self.begun]
        for uri in others[: self.options.refresh_limit]:
            yield self._page(uri, essential=False)

    # ---- one page ----------------------------------------------------------------------------------------------------

    def _page(self, uri: str, *, essential: bool) -> Request:
        self.begun.add(uri)
        return self._part(Page(uri, essential, self.stored.pop(uri, set())), {}, None)

    def _part(self, page: Page, within: Mapping[str, object], parent: str | None) -> Request:
        url = f"{self.base}/?{urlencode({'uri': page.uri, **within})}"
        return self.ask(url, self.read_part, essential=page.essential, accept=(404, 410), page=page, parent=parent)

    def read_part(self, response: Response, page: Page, parent: str | None) -> Iterator[Post | Gone | Request]:
        """Comments and the answers to them; all, unless the server hides some, which are then asked for. `parent` is theirs."""
        if response.status in (404, 410):  # an old Isso, of a page without comments
            self.reject("a page without comments, or not Isso", response.url)
            yield from self._closed() if page.essential else ()
            return
        data = self.json(response)
        if data is None:
            return
        if not isinstance(data.get("replies"), list):
            self.lose(response, "holds no list `replies`: is this the address of Isso?")
            return
        self.found = True
        before, comments, hidden = len(page.seen), list[object](), list[Request]()
        levels: list[tuple[Mapping[str, Any], str | None]] = [(data, parent)]
        for above, above_id in levels:  # which grows meanwhile
            replies = above.get("replies")
            replies = replies if isinstance(replies, list) else []
            below = [comment for comment in replies if isinstance(comment, Mapping)]
            comments += (broken := [comment for comment in replies if not isinstance(comment, Mapping)])
            page.sure = page.sure and not broken
            for comment in below:
                native_id = self._native(comment)
                page.sure = page.sure and native_id is not None
                page.seen.add(native_id or "")
                comments.append({**comment, "native_id": native_id, "parent": above_id})
                levels.append((comment, native_id))
            if whole(above.get("hidden_replies")) and above["hidden_replies"] > 0:
                after = max((comment["created"] for comment in below if self.date(comment.get("created"))), default=0)
                within = {"after": after} if above.get("id") is None else {"after": after, "parent": above["id"]}
                hidden.append(self._part(page, within, above_id))
        for post in self.each(comments, partial(self.read_comment, page=page), response.url):
            is_stored = post.native_id in page.stored
            if is_stored or isinstance(post, Gone) or post.posted_at >= self.since:
                yield post
        if hidden and len(page.seen) == before:
            self.lose(response, "hides comments, and gives the same ones again when it is asked for those")
            return
        page.parts += len(hidden) - 1
        yield from hidden
        if not page.parts:
            yield from map(self.gone, page.stored - page.seen if page.sure else ())
            yield from self._closed() if page.essential else ()

    def _native(self, comment: Mapping[str, Any]) -> str | None:
        """None for a comment that does not tell its number and time."""
        number, created = comment.get("id"), comment.get("created")
        return f"{number}-{int(created * 1000)}" if whole(number) and isinstance(created, int | float) and self.date(created) else None

    def read_comment(self, comment: Mapping[str, Any], page: Page) -> Iterator[Post | Gone]:
        native_id, number, mode = comment["native_id"], identifier(comment.get("id")), comment.get("mode", _PUBLIC)
        if mode == _DELETED or (mode == _WAITING and native_id in page.stored):
            yield self.gone(native_id)
            return
        if mode != _PUBLIC:
            raise UnusableError("is not public")
        markup = comment.get("text")
        if not isinstance(markup, str):
            raise UnusableError("has no text")
        yield self.post(
            native_id=native_id or number,
            url=f"{urljoin(self.options.site or self.base, quote(page.uri, safe=_WRITTEN))}#isso-{number}",
            text=plain(markup),
            posted_at=comment.get("created"),
            edited_at=comment.get("modified"),
            thread_id=quote(page.uri, safe="/"),
            parent_id=comment["parent"],
            author=comment.get("author"),
        )
