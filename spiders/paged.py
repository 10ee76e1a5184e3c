"""Forums that list their threads by the last post, and show a thread in numbered pages, its oldest post first.

The promise: in every thread that has a post since the last crawl's time, less the overlap, all pages with such posts are
read: the first, which tells how many there are, then from the last one backwards, so that a post which is deleted
meanwhile moves none past the reader. Such a page is taken whole: what waited for a moderator is older than the last crawl.
A stored post that its thread does not show any more is asked for by itself, and only what the forum answers then (not
found) makes it gone, unless another thread has shown it meanwhile.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from pydantic import Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from spiders.base import Days, ForumSpider, SpiderOptions, Url

NOT_FOUND = (404, 410)
_MOST_BARREN = 3  # pages in a row that bring no post which was not there before: more, and the server does not page


class PagedOptions(SpiderOptions):
    url: Url
    """The forum's address, with its folder if it has one."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Threads that one crawl looks at again for edits and deletions, those with the newest posts first."""


class Listed(NamedTuple):
    """A thread as a list shows it: `last` is the time of its last post (None: unknown, so it is read)."""

    thread: str
    last: dt.datetime | None
    pinned: bool = False
    gone: bool = False


class ThreadPage(NamedTuple):
    """A page of a thread: its posts as the site gives them, the number of pages, and what makes a Post of one of them."""

    items: list[Any]
    pages: int
    read: Callable[[Mapping[str, Any]], Iterator[Post | Gone]]


@dataclass
class Reading:
    """A thread under way: posts since `since` are due. `missing` are the stored ones of that time that no page has shown yet."""

    thread: str
    since: dt.datetime
    missing: set[str]
    essential: bool
    seen: set[str] = field(default_factory=set)
    barren: int = 0


class PagedSpider(ForumSpider, ABC):
    """What is left to a forum's own spider: addresses, and how to read a list, a page, a post and a post's own address."""

    options_type: ClassVar[type[SpiderOptions]] = PagedOptions
    options: PagedOptions
    finds_moved: ClassVar[bool] = True
    """Whether `post_url` finds a post that was moved to another thread."""
    closed: ClassVar[tuple[int, ...]] = ()
    """What the forum answers of a thread that is deleted, and of a private one: its posts' own addresses tell which."""

    @abstractmethod
    def lists(self) -> list[str]:
        """The first page's address of every list of threads to be read."""

    @abstractmethod
    def list_page(self, response: Response) -> tuple[list[Listed], str | None] | None:
        """The threads of a list's page and the next page's address; None when it cannot be read, which is then counted.

        A page without threads has a next one only where that is another list.
        """

    @abstractmethod
    def thread_url(self, thread: str, page: int) -> str:
        """The address of a thread's page, counted from 1."""

    @abstractmethod
    def thread_page(self, response: Response) -> ThreadPage | None:
        """None when it cannot be read, which is then counted."""

    @abstractmethod
    def post_url(self, thread: str, native_id: str) -> str:
        """An address that answers "not found" when the post is gone."""

    def read_elsewhere(self, response: Response, native_id: str) -> Iterator[Post | Gone | Request]:
        """What `post_url` says of a post that is still there."""
        yield from self.only(response, native_id)

    def cut_off(self, response: Response, listed: Mapping[str, dt.datetime | None]) -> None:
        """A list ended before it came to a thread that is not due."""

    async def start(self) -> AsyncIterator[Request]:
        self.base = self.options.url.rstrip("/")
        known = self.cursor if self.cursor.get("url") == self.base else {}
        until = self.date(known.get("until"))
        self.floor = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.covered_from = self.floor
        self.oldest = min(self.floor, self.now - dt.timedelta(days=self.options.first_days))
        """From when on an unknown post is taken where it is met."""
        self.known: dict[str, dt.datetime] = {}
        self.met: set[str] = set()
        """Posts that a thread has shown."""
        self.listed: dict[str, dt.datetime | None] = {}
        self.further: set[str] = set()
        """Where the lists go on that were read as far as they are due."""
        self.sought = self.now
        """The time of the oldest post that is looked for elsewhere."""
        self.stored: dict[str, dict[str, dt.datetime]] = {}
        """The stored posts of threads that were not read yet, newest first."""
        for native_id, thread, posted_at in self.recent:
            self.known[native_id] = posted_at
            if thread:
                self.stored.setdefault(thread, {})[native_id] = posted_at
        self.refreshes = self.options.refresh_limit
        self.begun: set[str] = set()
        self.shut: set[str] = set()
        """Threads that answered as `closed`."""
        lists = self.lists()
        self.open = len(lists)
        for url in lists:
            yield self._ask_list(url, {})

    # ---- lists -------------------------------------------------------------------------------------------------------

    def _ask_list(self, url: str, listed: dict[str, dt.datetime | None]) -> Request:
        return self.ask(url, self.read_list, accept=NOT_FOUND if listed else (), listed=listed)

    def read_list(self, response: Response, listed: dict[str, dt.datetime | None]) -> Iterator[Post | Gone | Request]:
        """`listed` are the threads of the list's earlier pages."""
        found = self.list_page(response) if response.status not in NOT_FOUND else ([], None)
        if found is None:
            return
        threads, following = found
        before = len(listed)
        reached = False
        for thread, last, pinned, gone in threads:
            listed.setdefault(thread, last)
            self.listed[thread] = last
            if gone:
                if stored := self.stored.get(thread):  # they may have been moved to another thread before
                    yield self._begin(thread, essential=False, since=min(stored.values()))
            elif last is None or last >= self.floor:
                if thread not in self.begun:
                    yield self._begin(thread, essential=True)
            elif not pinned:
                reached = True
        if not reached and following:
            if len(listed) > before or not threads:
                yield self._ask_list(following, listed)
            else:
                self.lose(response, "lists the same threads again when it is asked for the next ones")
            return
        if following:
            self.further.add(following)
        if not reached:
            self.cut_off(response, listed)
        yield from self._closed()

    def _closed(self) -> Iterator[Request]:
        """One list or thread that was due has been read; when it was the last one, stored posts are looked at again."""
        self.open -= 1
        if self.open:
            return
        self.next_cursor = {"url": self.base, "until": to_text(self.now)}
        self.covered = (self.covered_from, self.now)
        for thread in list(self.stored)[: self.refreshes]:
            yield self._begin(thread, essential=False)

    # ---- threads -----------------------------------------------------------------------------------------------------

    def _begin(self, thread: str, *, essential: bool, since: dt.datetime | None = None) -> Request:
        self.begun.add(thread)
        self.open += essential
        stored = self.stored.pop(thread, {})
        since = since or (self.floor if essential else self.now)
        if stored and self.refreshes > 0:
            self.refreshes -= 1
            since = min(since, *stored.values())
        missing = {native_id for native_id, posted_at in stored.items() if posted_at >= since}
        return self._ask_thread(Reading(thread, since, missing, essential), 1)

    def _ask_thread(self, reading: Reading, page: int) -> Request:
        url = self.thread_url(reading.thread, page)
        accept = NOT_FOUND if reading.essential else (*NOT_FOUND, *self.closed)
        return self.ask(url, self.read_thread, essential=reading.essential, accept=accept, reading=reading, page=page)

    def read_thread(self, response: Response, reading: Reading, page: int) -> Iterator[Post | Gone | Request]:
        """A page of a thread. One that is not found any more, beyond the first, was emptied by deletions."""
        if response.status in self.closed:
            self.shut.add(reading.thread)
        there = response.status not in (*NOT_FOUND, *self.closed)
        shown = self.thread_page(response) if there else ThreadPage([], 1, lambda _: iter(()))
        if shown is None:
            return
        before, oldest = len(reading.seen), None
        for post in self.each(shown.items, shown.read, response.url):
            left_out = post.native_id in reading.seen
            reading.seen.add(post.native_id)
            reading.missing.discard(post.native_id)
            if isinstance(post, Post):
                if post.date_origin == "site":
                    oldest = min(oldest or post.posted_at, post.posted_at)
                self.met.add(post.native_id)
                left_out = left_out or (post.posted_at < min(reading.since, self.oldest) and post.native_id not in self.known)
            if not left_out:
                yield post
        reading.barren = 0 if len(reading.seen) > before else reading.barren + 1
        earlier = page - 1 if oldest is None or oldest >= reading.since else 1
        following = shown.pages if page == 1 else earlier
        if following > 1 and reading.barren > _MOST_BARREN:
            self.lose(response, "holds no post that other pages of its thread do not hold, like those read before it")
        elif following > 1:
            yield self._ask_thread(reading, following)
        else:
            yield from self._look_for(reading, there=there)
            if reading.essential:
                yield from self._closed()

    def _look_for(self, reading: Reading, *, there: bool) -> Iterator[Request]:
        """Ask for the stored posts that a thread does not show, after all else: until then they may be met elsewhere."""
        lost = sorted(reading.missing)
        if there or self.finds_moved:
            for native_id in lost:
                url = self.post_url(reading.thread, native_id)
                yield self.ask(url, self.read_missing, essential=False, accept=NOT_FOUND, native_id=native_id).replace(priority=-1)
        elif lost:
            url = self.thread_url(reading.thread, 1)
            yield self.ask(url, self.read_lost, essential=False, accept=NOT_FOUND, lost=lost).replace(priority=-1)
        if lost and not self.finds_moved:
            self.sought = min(self.sought, *(self.known[native_id] for native_id in lost))
            yield from self._elsewhere(further=self.sought < self.floor)

    def _elsewhere(self, *, further: bool) -> Iterator[Request]:
        """Other threads that may hold what is sought now, and if need be the rest of the lists, which tell of more."""
        for thread, last in list(self.listed.items()):
            if thread not in self.begun and (last is None or last >= self.sought):
                yield self._begin(thread, essential=False, since=self.sought)
        if further:
            yield from (self.ask(url, self.read_further, essential=False, accept=NOT_FOUND) for url in sorted(self.further))
            self.further.clear()

    def read_further(self, response: Response) -> Iterator[Request]:
        found = self.list_page(response) if response.status not in NOT_FOUND else None
        threads, following = found or ([], None)
        new = [listed for listed in threads if listed.thread not in self.listed]
        self.listed.update((listed.thread, listed.last) for listed in new)
        if following and new:
            self.further.add(following)
        reached = any(listed.last is not None and listed.last < self.sought for listed in new if not listed.pinned)
        yield from self._elsewhere(further=not reached)

    def read_lost(self, response: Response, lost: list[str]) -> Iterator[Gone]:
        """A thread that was not found, once more: the posts that it had."""
        if response.status in NOT_FOUND:
            yield from (self.gone(native_id) for native_id in lost if native_id not in self.met)

    def read_missing(self, response: Response, native_id: str) -> Iterator[Post | Gone | Request]:
        if native_id in self.met:
            return
        if response.status in NOT_FOUND:
            yield self.gone(native_id)
        else:
            yield from self.read_elsewhere(response, native_id)

    def only(self, response: Response, native_id: str) -> Iterator[Post | Gone]:
        """One post of a thread's page."""
        shown = self.thread_page(response)
        if shown is not None:
            yield from (post for post in self.each(shown.items, shown.read, response.url) if post.native_id == native_id)
