"""Forums that are HTML only, read through a profile (spiders/profiles.py): lists of threads, newest first, then their pages.

The promise: every post of each thread with activity since the last crawl's time, less the overlap, is read, from the last
page known or back from the newest. Posts younger than `refresh` are looked at again where they stood; one is gone when the
forum says so, or no page on which it could stand shows it. A page that may not be read proves nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any, Self

from pydantic import Field, model_validator
from scrapy.http import Request, Response, TextResponse
from scrapy.utils.response import get_base_url

from monitor.records import Gone, Post, to_text
from spiders import pages
from spiders.base import Days, ForumSpider, SpiderOptions, Url, shown
from spiders.dates import TimeZone
from spiders.pages import origin
from spiders.profiles import AnyProfile, Profile
from spiders.threads import Leaf, Thread, missing

_CLOSED = (401, 403, 404, 410)
_MOST_LISTS = 2000
"""Boards and pages of lists that one crawl reads."""
_MOST_ENDS = 1000
"""Threads of which the last page is remembered, those read last."""
_MOST_AGAIN = 20
"""Pages of one thread that are read only to find out which of its posts are gone."""


class ForumOptions(SpiderOptions):
    urls: tuple[Url, ...] = Field(min_length=1)
    """Boards (lists of threads), or the page that lists all boards; all of one forum."""
    profile: AnyProfile
    """The name of a built-in profile, or one written out."""
    timezone: TimeZone = "UTC"
    """Of times that name no zone: what the forum shows to guests."""
    day_first: bool | None = None
    """Whether 01/02 is 1 February; without it as the language of the date suggests."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Threads that one crawl looks at again, those with the newest posts first."""
    max_threads: int = Field(default=500, ge=1, le=100_000)
    """Threads with new posts that one crawl reads."""
    max_pages: int = Field(default=200, ge=1, le=100_000)
    """Pages of one list, and of one thread, that one crawl reads."""

    @model_validator(mode="after")
    def _one_forum(self) -> Self:
        if len({origin(url) for url in self.urls}) > 1:
            raise ValueError("has urls of several sites: make a source of each, since their posts' ids are not the same")
        return self


class Forum(ForumSpider):
    """`native_id` is the post's id, `thread_id` the thread's, both as the profile finds them."""

    name = "forum"
    options_type = ForumOptions
    options: ForumOptions

    async def start(self) -> AsyncIterator[Request]:
        self.profile: Profile = self.options.profile
        self.key = partial(pages.key, self.profile.posts)
        self.moment, self.latest = pages.readers(self.now, self.options.timezone, self.options.day_first)
        known = self.cursor if self.cursor.get("urls") == list(self.options.urls) else {}
        until = self.date(known.get("until"))
        self.floor = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.since = self.floor
        self.recent_at = {native_id: posted_at for native_id, _, posted_at in self.recent}
        self._recall(known)
        self.threads: dict[str, Thread] = {}
        self.lists: set[str] = set()
        self.taken = self.filled = self.barren = self.closed = self.open = self.again = 0
        self.lost: set[str] = set()
        begin: list[Request] = []  # whole before the first answer, which may be the last that is open
        for url in dict.fromkeys(pages.canonical(url, self.profile.drop) for url in self.options.urls):
            thread_id = pages.thread_id(self.profile, url)
            begin += self._due(pages.Row(url, thread_id, None)) if thread_id else self._list(url, 1, set())
        for request in begin:
            yield request

    # ---- what the last crawl left ----------------------------------------------------------------------------------

    def _recall(self, known: Mapping[str, Any]) -> None:
        """`ends`: thread -> [first page, last page known]. `places` and `stood`: on which of these pages each recent post stood."""
        ends, places, stood = known.get("ends"), known.get("places"), known.get("stood")
        self.ends: dict[str, list[str]] = dict(ends) if isinstance(ends, Mapping) else {}
        self.places: dict[str, int] = {}
        self.stood: dict[str, int] = {}
        if isinstance(places, list) and isinstance(stood, Mapping):
            for native_id, place in stood.items():
                if native_id in self.recent_at:
                    self._place(native_id, places[place])
        self.stood_before = dict(self.stood)

    def _place(self, native_id: str, url: str) -> None:
        self.stood[native_id] = self.places.setdefault(url, len(self.places))

    def _remember(self) -> None:
        ends = dict(list(self.ends.items())[-_MOST_ENDS:])
        self.next_cursor.update(
            urls=list(self.options.urls), until=to_text(self.now), ends=ends, places=list(self.places), stood=self.stood
        )

    # ---- lists -----------------------------------------------------------------------------------------------------

    def _list(self, url: str, count: int, before: set[str], found: bool = False) -> Iterator[Request]:
        """Ask for a list, once: its page number `count`, after those that showed the threads `before`.

        One that was `found` on another may be closed to the public, or lead to another site.
        """
        if self._ours(url) and url not in self.lists:
            self.lists.add(url)
            self.open += 1
            yield self.ask(url, self.read_list, accept=_CLOSED if found else (), count=count, before=before, found=found)

    def read_list(self, response: Response, count: int, before: set[str], found: bool) -> Iterator[Post | Gone | Request]:
        if found and (response.status in _CLOSED or not self._ours(response.url)):
            self.reject("is a board that is not open to the public, or leads to another site", response.url)
        elif not isinstance(response, TextResponse):
            self.lose(response, "is no page of HTML")
        elif not self._ours(response.url):
            self.lose(response, "is another site, and one of `urls` leads there: write this address instead")
        else:
            yield from self._listed(response, count, before, found)
        self.open -= 1
        yield from self._go_on()

    def _listed(self, response: TextResponse, count: int, before: set[str], found: bool) -> Iterator[Request]:
        page = pages.read_list(response.selector, response.url, self.profile, self.latest, base=get_base_url(response))
        if page.threads or page.boards:
            self.filled += 1
        elif count == 1 and not found:
            self.reject("holds no threads (is it the address of a board, or of a thread as its board links to it?)", response.url)
        for row in page.boards:
            if len(self.lists) < _MOST_LISTS and (row.latest is None or row.latest >= self.floor):
                yield from self._list(row.url, 1, set(), found=True)
        for row in page.threads:
            if row.latest is None or row.latest >= self.floor:
                yield from self._due(row)
        dated = [row.latest for row in page.threads if row.latest]
        following, listed = page.others.following, {row.id for row in page.threads}
        if not following or not listed or (dated and dated[-1] < self.floor):
            return
        if listed <= before:
            self.lose(response, "gives the same threads as the page before it: is the profile right?")
        elif count >= self.options.max_pages:
            self._cut(dated[-1] if dated else None, response.url, "is a list that goes on after max_pages")
        else:
            yield from self._list(following, count + 1, listed)

    def _cut(self, moment: dt.datetime | None, url: str, reason: str) -> None:
        """Say that what is older than `moment` was not read."""
        self.since = max(self.since, moment or self.now)
        self.reject(reason, url)

    def _due(self, row: pages.Row) -> Iterator[Request]:
        """Ask for a thread that has new posts: from the last page known on, else from the first."""
        if row.id in self.threads or not self._ours(row.url):
            return
        if self.taken >= self.options.max_threads:
            self._cut(row.latest, row.url, "is a thread beyond max_threads")
            return
        self.taken += 1
        self.filled += 1
        thread = self._thread(row.id, row.url)
        yield from self._page(thread, thread.end, "forward" if thread.end != thread.begin else "first")

    def _thread(self, thread_id: str, url: str = "") -> Thread:
        begin, end = self.ends.get(thread_id, [url, url])
        return self.threads.setdefault(thread_id, Thread(thread_id, url or begin, end))

    # ---- threads ---------------------------------------------------------------------------------------------------

    def _page(self, thread: Thread, url: str | None, way: str) -> Iterator[Request]:
        """Ask for a page of a thread, once. `way`: the first page; forward or back from another; or again, for what was known."""
        if url is None or not self._ours(url) or self.key(url) in thread.asked:
            return
        if len(thread.asked) >= (self.options.max_pages if way != "again" else len(thread.leaves) + _MOST_AGAIN):
            if way == "back":
                self._cut(self.now, url, "is a thread that goes on before max_pages")
            elif way != "again":
                self.failures.append(("failed", f"{shown(url)} is a thread that goes on after max_pages ({self.options.max_pages})"))
            return
        thread.asked.add(self.key(url))
        request = self.ask(url, self.read_posts, essential=False, accept=_CLOSED, thread=thread, way=way)
        if way == "again":
            thread.open += 1
            self.again += 1
            request.errback = self._unread
        else:
            self.open += 1
            request.meta["due"] = True
        yield request

    def lose(self, asked: Request | Response, what: str, reason: str = "failed") -> None:
        """A page with new posts is due like an essential one; but unlike that, it may be closed to the public."""
        if asked.meta.get("due"):
            self.failures.append((reason, f"{shown(asked.url)} {what}"))
        else:
            super().lose(asked, what, reason)

    def read_posts(self, response: Response, thread: Thread, way: str) -> Iterator[Post | Gone | Request]:
        asked = response.meta.get("redirect_urls", [response.url])[0]
        if response.status in (404, 410):
            yield from self._vanished(asked, thread, way)
        elif response.status in (401, 403):
            self.closed += 1
            self.reject("is not open to the public", asked)
        elif not isinstance(response, TextResponse) or not self._ours(response.url):
            self.reject("is no page of this forum", response.url)
        else:
            yield from self._read(response, asked, thread, way)
        if way == "again":
            thread.open -= 1
            self.again -= 1
            yield from self._settle(thread)
            yield from self._bury()
        else:
            self.open -= 1
            yield from self._go_on()

    def _vanished(self, asked: str, thread: Thread, way: str) -> Iterator[Request]:
        """A page that does not exist any more; when it was the last one known, the thread is read from its first."""
        thread.vanished.add(self.key(asked))
        if way == "forward":
            yield from self._page(thread, thread.begin, "first")

    def _read(self, response: TextResponse, asked: str, thread: Thread, way: str) -> Iterator[Post | Gone | Request]:
        url = pages.canonical(response.url, self.profile.drop)
        page = pages.read_thread(response.selector, url, self.profile, self.moment, base=get_base_url(response))
        for reason in page.left_out:
            self.reject(reason, url)
        if page.vanished:
            yield from self._vanished(asked, thread, way)
            return
        if not page.ids:
            self.barren += 1
            self.reject("holds no posts (is it closed to the public, and is the profile right?)", url)
            if way == "forward" and thread.end != thread.begin:
                yield from self._page(thread, thread.begin, "first")
            return
        repeated = way in ("forward", "back") and page.ids <= thread.seen
        thread.seen |= page.ids
        times = sorted(fields["posted_at"] for fields in page.posts if fields["posted_at"])
        if page.whole:
            first, last = (times[0].replace(microsecond=0), times[-1].replace(microsecond=0)) if times else (None, None)
            thread.leaves[self.key(asked)] = thread.leaves[self.key(url)] = Leaf(page.others, first, last)
        yield from self.each(
            ({**fields, "thread_id": fields["thread_id"] or thread.id} for fields in page.posts), partial(self._post, page=url), url
        )
        yield from map(self.gone, page.deleted)
        if repeated:
            self.lose(response, "gives the same posts as another page of its thread: is the profile right?")
        elif way in ("first", "forward"):
            if way == "first" and times and times[-1] < self.floor and page.others.last:
                yield from self._page(thread, page.others.last, "back")
                thread.end = page.others.last
            else:
                thread.end = page.others.following or url
                yield from self._page(thread, page.others.following, "forward")
        elif way == "back" and times and times[0] >= self.floor:
            yield from self._page(thread, page.others.previous, "back")
        self.ends.pop(thread.id, None)
        self.ends[thread.id] = [thread.begin, thread.end]

    def _post(self, fields: Mapping[str, Any], page: str) -> Iterator[Post]:
        """Old posts that stand on a page with new ones are left alone, unless they are looked at again."""
        moment, native_id = fields["posted_at"], fields["native_id"]
        if moment is None or moment >= self.floor or native_id in self.recent_at:
            self._place(native_id, page)
            yield self.post(**fields)

    # ---- the end, and what was known -------------------------------------------------------------------------------

    def _go_on(self) -> Iterator[Post | Gone | Request]:
        """When all that was due is read, look again at recent threads."""
        if self.open or self.failures:
            return
        what = "" if self.filled else "holds no threads: is it the address of a board, and the profile right?"
        if (self.barren or (self.closed and not self.ends)) and not any(thread.seen for thread in self.threads.values()):
            what = "leads to threads without posts: is the profile right, and is the forum open to the public?"
        if what:
            self.failures.append(("failed", f"{shown(self.options.urls[0])} {what}"))
            return
        self.covered = (self.since, self.now)
        self._remember()
        self.known: dict[str, dict[str, tuple[dt.datetime, str]]] = {}
        places = list(self.places)
        for native_id, thread_id, posted_at in self.recent:
            if thread_id and native_id in self.stood_before:
                self.known.setdefault(thread_id, {})[native_id] = (posted_at, places[self.stood_before[native_id]])
        due = [self._thread(thread_id) for thread_id in list(self.known)[: self.options.refresh_limit]]
        yield from [request for thread in due for request in self._settle(thread)]  # all counted before the first is answered
        yield from self._bury()

    def _settle(self, thread: Thread) -> Iterator[Request]:
        """Read what must be read before it can be said which posts a thread has lost."""
        if thread.open:
            return
        known = self.known[thread.id]
        unread = {url for _, url in known.values() if not {self.key(url)} & (thread.leaves.keys() | thread.vanished)}
        gone, todo = missing(thread, known, self.key)
        requests = [request for url in sorted(unread | todo) for request in self._page(thread, url, "again")]
        if requests:
            yield from requests
            return
        self._remember()
        if not unread:
            self.lost |= gone

    def _bury(self) -> Iterator[Gone]:
        """At the end: what threads have lost is gone, unless another shows it, into which it was moved."""
        if self.again == 0:
            yield from map(self.gone, sorted(self.lost.difference(*(thread.seen for thread in self.threads.values()))))
            self.lost = set()

    def _unread(self, failure: Any) -> Iterator[Gone]:
        """A page that was asked for again gave no answer: its thread proves nothing, the others do."""
        self._unanswered(failure)
        self.again -= 1
        yield from self._bury()

    def _ours(self, url: str) -> bool:
        return origin(url) == origin(self.options.urls[0])
