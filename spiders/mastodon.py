"""Mastodon, and what speaks its API: the public timelines of tags, a page at a time by the Link header alone, without a login.

The promise: every public status that an instance shows under a tag since the last finished crawl is read, boosts left out and
authors who do not want to be found or indexed obeyed; one that several instances show is one post. Those young enough are
asked for again one by one. One request to an instance is under way at a time: where it allows no more for now it is left
alone until it does, where its timelines are closed for good, and neither costs the other instances anything.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import Field, StringConstraints
from scrapy.http import Request, Response

from monitor.records import Gone, Post, text_hash, to_text
from monitor.words import plain, unquoted
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier

_PAGE = 40  # the most that Mastodon gives
_CLOSED = (401, 403, 422)  # the last from older versions
_MISSING = (404, 410)
_PERIOD = dt.timedelta(minutes=5)  # in which Mastodon allows 300 requests
_NEXT = re.compile(r"""<([^<>]*)>[^<]*;\s*rel\s*=\s*"?next\b""", re.IGNORECASE)
# The parts of a link that Mastodon does not show, and the link to a quoted status that it puts before the author's words.
_UNSEEN = re.compile(r"""<span class="invisible">[^<]*</span>|<(p|span) class="quote-inline">.{0,2000}?</\1>""", re.DOTALL)

_NO_CRAWLERS = re.compile(r"#(?:<span>)?no(?:bots?|index|search|archive)\b", re.IGNORECASE)  # in an author's note on themselves


class MastodonOptions(SpiderOptions):
    urls: tuple[Url, ...] = Field(min_length=1)
    """Addresses of instances; each is asked for every tag, and shows what has reached it."""
    tags: tuple[Annotated[str, StringConstraints(pattern=r"^#?\w+$")], ...] = Field(min_length=1)
    """Tags, with or without "#"."""
    local: bool = False
    """Only what was written on the instance itself."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Statuses that one crawl looks at again, newest first, with a request each."""


class Mastodon(ForumSpider):
    """`native_id` is a hash of the status's URI, which is the same on all instances and holds its author's name. `thread_id` is
    "host/number", its own at the instance that showed it first, where it is looked at again: what thread it belongs to is not
    told. `parent_id` is the answered status's in the same way. Its language is found out later, as every post's is."""

    name = "mastodon"
    options_type = MastodonOptions
    options: MastodonOptions
    independent = True

    async def start(self) -> AsyncIterator[Request]:
        read = self.cursor.get("read")
        read = read if isinstance(read, Mapping) else {}
        self.seen: set[str] = set()
        self.known = {native_id: thread for native_id, thread, _ in self.recent}
        self.bases = {urlsplit(url).netloc.rpartition("@")[2].lower(): url.rstrip("/") for url in self.options.urls}
        self.due: dict[str, deque[Request]] = {host: deque() for host in self.bases}
        self.next_cursor = {"read": {}}
        self.unread: set[str] = set()
        floors = []
        for host in self.bases:
            for name, tag in {tag.removeprefix("#").lower(): tag.removeprefix("#") for tag in self.options.tags}.items():
                key = f"{host} {name}" + (" (local)" if self.options.local else "")
                until = self.date(read.get(key))
                since = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
                if until:
                    self.next_cursor["read"][key] = to_text(until)
                self.unread.add(key)
                floors.append(since)
                words = {"limit": str(_PAGE), **({"local": "true"} if self.options.local else {})}
                self.due[host].append(self._page(host, tag, words, key=key, since=since, met=set()))
        self.since = max(floors)
        for native_id, thread, _ in self.recent[: self.options.refresh_limit]:
            host, _, number = thread.partition("/")
            if host in self.bases and number:
                url = f"{self.bases[host]}/api/v1/statuses/{quote(number, safe='')}"
                asked = self._ask(url, self.read_again, host, essential=False, accept=_MISSING, native_id=native_id)
                self.due[host].append(asked)
        for host in self.bases:
            yield self.due[host].popleft()

    def _ask(self, url: str, read: Callable[..., Iterator[Post | Gone]], host: str, **passed: Any) -> Request:
        asked = self.ask(url, self.read, then=read, host=host, **passed)
        return asked.replace(errback=self.failed)

    def _page(self, host: str, tag: str, words: Mapping[str, str], **passed: Any) -> Request:
        url = f"{self.bases[host]}/api/v1/timelines/tag/{quote(tag)}?{urlencode(words)}"
        return self._ask(url, self.read_page, host, accept=(*_CLOSED, *_MISSING), tag=tag, words=words, **passed)

    def read(self, response: Response, then: Callable[..., Iterator[Post | Gone]], host: str, **passed: Any) -> Iterator[Any]:
        """What `then` makes of the answer, and the next request to its instance."""
        yield from then(response, host=host, **passed)
        if until := self._spent(response):
            self.stay_away(self.bases[host], until)
            for asked in self.due[host]:
                self.lose(asked, f"is not asked: its instance allows no more requests before {until:%Y-%m-%d %H:%M} UTC", "rate_limited")
            self.due[host].clear()
        yield from self._next(host)

    def failed(self, failure: Any) -> Iterator[Request]:
        """A request that was not answered; the others of its instance go on."""
        self._unanswered(failure)
        yield from self._next(failure.request.cb_kwargs["host"])

    def _next(self, host: str) -> Iterator[Request]:
        """The next request to an instance; a status that a timeline has just shown is not asked for again."""
        while due := self.due[host]:
            asked = due.popleft()
            if asked.cb_kwargs.get("native_id") not in self.seen:
                yield asked
                return

    def _spent(self, response: Response) -> dt.datetime | None:
        """Until when an instance allows no more requests."""
        remaining, reset = (response.headers.get(f"X-RateLimit-{name}") or b"" for name in ("Remaining", "Reset"))
        until = self.date(reset.decode("latin-1")) or self.now + _PERIOD
        return until if remaining.strip() == b"0" and until > self.now else None

    def read_page(
        self, response: Response, host: str, tag: str, words: Mapping[str, str], key: str, since: dt.datetime, met: set[str]
    ) -> Iterator[Post | Gone]:
        if response.status in _CLOSED:
            remedy = "take it out of urls" if self.options.local else "set local: true, which some allow, or take it out of urls"
            self.lose(response, f"answers {response.status}: this instance shows its timelines only to its members; {remedy}", "banned")
            self.due[host].clear()
            return
        unknown = response.status in _MISSING  # nobody has used the tag there yet, if it is the API that says so
        statuses = self.json(response) if unknown else self.json_list(response)
        if statuses is None:
            return
        statuses = [] if unknown else statuses
        yield from self.each(statuses, partial(self.read_status, host=host), response.url)
        found = [status for status in statuses if isinstance(status, Mapping)]
        ids = [status["id"] for status in found if isinstance(status.get("id"), str)]
        dates = [date for status in found if (date := self.date(status.get("created_at")))]
        link = _NEXT.search(b",".join(response.headers.getlist("Link")).decode("latin-1"))
        # Only a page that is old as a whole ends the reading: statuses stand in the order of their ids, not quite of their times.
        if not statuses or (dates and max(dates) < since) or (not link and len(statuses) < _PAGE):
            self.next_cursor["read"][key] = to_text(self.now)
            self.unread.discard(key)
            if not self.unread:
                self.covered = (self.since, self.now)
        elif met.issuperset(ids):
            self.lose(response, "gives nothing new as its next page: what is older cannot be read")
        else:
            # Never the whole address: behind a proxy it may begin with another host, or http. A proxy may also drop the header.
            following = parse_qsl(urlsplit(link[1]).query) if link else [("max_id", ids[-1])]
            words = {**words, **dict(following)}
            self.due[host].appendleft(self._page(host, tag, words, key=key, since=since, met=met.union(ids)))

    def read_again(self, response: Response, host: str, native_id: str) -> Iterator[Post | Gone]:
        """A status that its instance does not find is deleted, if it is the API that says so and not another page in its place."""
        status = self.json(response)
        if status is None:
            return
        if response.status in _MISSING:
            yield self.gone(native_id)
        else:
            yield from self.each([status], partial(self.read_status, host=host, expected=native_id), response.url)

    def read_status(self, status: Mapping[str, Any], host: str, expected: str | None = None) -> Iterator[Post | Gone]:
        if status.get("reblog"):
            return
        number, account, answered = identifier(status.get("id")), status["account"], status.get("in_reply_to_id")
        native_id = text_hash(identifier(status.get("uri") or f"{host}/{number}"))
        if expected not in (None, native_id):
            raise UnusableError("is another status than the one asked for")
        if native_id in self.seen:
            return
        if status.get("visibility", "public") != "public":
            raise UnusableError("is not public")
        if _opted_out(account):
            if native_id in self.known:
                yield self.gone(native_id)
                self.seen.add(native_id)
                return
            raise UnusableError("is by an author who does not want to be found or indexed")
        content, warning = status.get("content"), status.get("spoiler_text")
        if not isinstance(content, str):
            raise UnusableError("has no text")
        words = [unquoted(warning) if isinstance(warning, str) else "", plain(_UNSEEN.sub("", content))]
        thread, acct = self.known.get(native_id, ""), account.get("acct")
        links = [
            link for link in (status.get("url"), status.get("uri")) if isinstance(link, str) and link.startswith(("http://", "https://"))
        ]
        yield self.post(
            native_id=native_id,
            url=links[0] if links else f"{self.bases[host]}/@{identifier(acct)}/{number}",
            text="\n\n".join(filter(None, words)),
            posted_at=status.get("created_at"),
            edited_at=status.get("edited_at"),
            thread_id=thread if thread.partition("/")[0] in self.bases else f"{host}/{number}",
            parent_id=f"{host}/{answered}" if isinstance(answered, str) and answered else None,
            author=account.get("url") or (f"{acct}@{host}" if isinstance(acct, str) and "@" not in acct else acct),
        )
        self.seen.add(native_id)


def _opted_out(account: Mapping[str, Any]) -> bool:
    """Whether an author wants to be in no index of others. Mastodon's documentation asks to respect `indexable` and `discoverable`
    (docs.joinmastodon.org/spec/activitypub) where they are present; many have never set `indexable`, and then it is false."""
    note = account.get("note")
    noted = isinstance(note, str) and _NO_CRAWLERS.search(note) is not None
    return noted or account.get("indexable") is False or account.get("discoverable") is False or account.get("noindex") is True
