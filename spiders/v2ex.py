"""V2EX, through its public API (version 1), or with a personal access token through version 2, which tells pages of a node.

The promise: every topic that a node's list shows, and every reply of those that were touched since the last finished crawl, is
read; topics of posts that are young enough are looked at again, so that edits, deletions and late replies are seen. The newest
topics of all are a list of 20 or so: what came and went between two crawls is missing, and the time before a list's last topic
does not count as covered. One request is under way at a time, so that an hour's used-up allowance ends the asking at once.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote, urldefrag

from pydantic import Field, StringConstraints
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from monitor.words import plain, unquoted
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, whole

_CACHED = dt.timedelta(hours=1)  # answers may come from a cache: a younger reply that is missing may only not be in it yet
_MISSING = (404, 410)
_BROKEN = (500, 502, 503, 504)  # of one topic that is looked at again; it must not keep the others from it


class V2exOptions(SpiderOptions):
    url: Url = "https://www.v2ex.com"
    nodes: tuple[Annotated[str, StringConstraints(pattern=r"^[\w.-]*$")], ...] = Field(default=("",), min_length=1)
    """Names of nodes, as they stand in /go/NAME; an empty one asks for the newest topics of all (20 or so)."""
    token: str = Field(default="", repr=False)
    """A personal access token (v2ex.com/settings/tokens), with which nodes are read page by page."""
    first_days: Days = 7.0
    """How far back the first crawl reads, as far as the lists go."""
    refresh_limit: int = Field(default=30, ge=0, le=10_000)
    """Topics that one crawl looks at again, those with the newest posts first: two requests each, of 120 an hour (600 with a token)."""


class V2ex(ForumSpider):
    """`native_id` is "t" and the topic's number or "r" and the reply's, which are counted apart; `thread_id` is the topic's.
    Text that an author appended to a topic later (version 2 gives it) is part of the topic's."""

    name = "v2ex"
    options_type = V2exOptions
    options: V2exOptions

    async def start(self) -> AsyncIterator[Request]:
        self.base, self.token = self.options.url.rstrip("/"), self.options.token.strip()
        read = self.cursor.get("until") if self.cursor.get("url") == self.base else None
        self.floors: dict[str, dt.datetime] = {}
        for node in self.options.nodes:
            until = self.date(read.get(node)) if isinstance(read, Mapping) else None
            self.floors[node] = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.since = max(self.floors.values())
        self.known: dict[int, list[tuple[str, dt.datetime]]] = {}
        for native_id, thread, posted_at in self.recent:
            if topic := re.fullmatch(r"t(\d+)", thread, re.ASCII):
                self.known.setdefault(int(topic[1]), []).append((native_id, posted_at))
        self.given: set[str] = set()
        self.met: set[int] = set()  # topics whose replies are read, or will be
        self.found = False
        self.absent: list[int] = []
        self.todo = deque(map(self._list, self.floors))
        yield self.todo.popleft()

    def _next(self, response: Response) -> Iterator[Post | Gone | Request]:
        """The next request that is due; when there is none, all has been read, and what is known is looked at again."""
        if not self.todo and not self.covered:
            self.next_cursor = {"url": self.base, "until": dict.fromkeys(self.floors, to_text(self.now))}
            self.covered = (self.since, self.now)
            again = [topic for topic in self.known if topic not in self.met][: self.options.refresh_limit]
            self.todo.extend(self._topic(topic, essential=False) for topic in again)
        if not self.todo:
            # An empty answer is believed only of a site that gave another topic in the same way.
            for topic in self.absent if self.found else ():
                yield from self._bury(topic)
        elif until := self._spent(response):
            self.stay_away(self.base, until)
            what = f"allows no more requests before {until:%Y-%m-%d %H:%M} UTC: let this source run less often, or lower its refresh_limit"
            if self.covered:
                self.reject(what, response.url)
            else:
                self.lose(response, what, "rate_limited")
        else:
            yield self.todo.popleft()

    def _spent(self, response: Response) -> dt.datetime | None:
        """Until when the site allows nothing more. A cached answer's headers may be old, and then do not count."""
        remaining, reset = ((response.headers.get(f"X-Rate-Limit-{name}") or b"").strip() for name in ("Remaining", "Reset"))
        until = self.date(int(reset)) if re.fullmatch(rb"\d{1,15}", reset) else None
        return until if remaining == b"0" and until and until > self.now else None

    # ---- asking --------------------------------------------------------------------------------------------------

    def _ask(self, old: str, new: str, read: Any, *, essential: bool = True, **passed: Any) -> Request:
        """Ask version 2 where there is a token and it has such an address, else version 1."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token and new else {}
        url = f"{self.base}/api/{f'v2/{new}' if headers else old}"
        return self.ask(url, read, essential=essential, accept=_MISSING if essential else (*_MISSING, *_BROKEN), headers=headers, **passed)

    def _list(self, node: str, *, page: int = 1, seen: frozenset[int] = frozenset(), oldest: dt.datetime | None = None) -> Request:
        name = quote(node, safe="")
        old = f"topics/show.json?node_name={name}" + (f"&page={page}" if page > 1 else "") if node else "topics/latest.json"
        new = f"nodes/{name}/topics?p={page}" if node else ""
        return self._ask(old, new, self.read_list, node=node, page=page, seen=seen, oldest=oldest)

    def _topic(self, topic: int, *, essential: bool) -> Request:
        return self._ask(f"topics/show.json?id={topic}", f"topics/{topic}", self.read_topic, essential=essential, topic=topic)

    def _replies(self, topic: int, *, essential: bool, page: int, **passed: Any) -> Request:
        old, new = f"replies/show.json?topic_id={topic}&page={page}", f"topics/{topic}/replies?p={page}"
        return self._ask(old, new, self.read_replies, essential=essential, topic=topic, page=page, **passed)

    # ---- reading -------------------------------------------------------------------------------------------------

    def _items(self, response: Response) -> list[Any] | None:
        """Version 1 gives a list; version 2 an object with a list, or with one topic, as its `result`."""
        if response.status in _BROKEN:
            self.lose(response, f"answers {response.status}")
            return None
        if response.body.lstrip()[:1] != b"{":
            return self.json_list(response)
        page = self.json(response)
        if page is None:
            return None
        result = page.get("result")
        if isinstance(result, list | Mapping):
            return result if isinstance(result, list) else [result]
        self.lose(response, "gives neither topics nor replies: check the address, and the token if there is one")
        return None

    def read_list(
        self, response: Response, node: str, page: int, seen: frozenset[int], oldest: dt.datetime | None
    ) -> Iterator[Post | Gone | Request]:
        """`seen` are the topics on the pages before, and `oldest` is the time back to which these are whole."""
        topics = [] if response.status in _MISSING else self._items(response)
        if topics is None:
            return
        if not topics and page == 1:
            self.lose(response, "gives no topics: check the address, and the names of the nodes")
            return
        paged, floor = bool(self.token and node), self.floors[node]
        if not paged:
            yield from self.each(topics, self.read_opening, response.url)
        listed = {topic["id"]: topic for topic in topics if isinstance(topic, Mapping) and _number(topic.get("id"))}
        for number, topic in listed.items():
            touched = self._touched(topic)
            if number in self.met or (touched and touched < floor):
                continue
            if paged:  # whose lists do not tell the author
                self.met.add(number)
                self.todo.append(self._topic(number, essential=True))
            elif not _deleted(topic):
                self._due(number, topic, essential=True)
        oldest = self._oldest(list(listed.values())) or oldest
        if oldest is None or oldest > floor:
            if node and not listed.keys() <= seen:
                self.todo.appendleft(self._list(node, page=page + 1, seen=seen | listed.keys(), oldest=oldest))
            else:
                self.since = max(self.since, min(oldest or self.now, self.now))
        yield from self._next(response)

    def _touched(self, topic: Mapping[str, Any]) -> dt.datetime | None:
        """When a topic last was written, answered or changed."""
        return max(filter(None, (self.date(topic.get(name)) for name in ("created", "last_modified", "last_touched"))), default=None)

    def _oldest(self, topics: list[Mapping[str, Any]]) -> dt.datetime | None:
        """The time back to which a list is whole, whether it is in the order of creation or in that of the last touch.

        A topic older in both respects than one below it is in neither order: it was pinned to the top.
        """
        oldest = latest = newest = None
        for topic in reversed(topics):
            created, touched = self.date(topic.get("created")), self._touched(topic)
            if created and touched and not (newest and latest and created < newest and touched < latest):
                oldest = min(oldest or touched, touched)
                newest, latest = max(newest or created, created), max(latest or touched, touched)
        return oldest

    def _due(self, number: int, topic: Mapping[str, Any], *, essential: bool) -> None:
        """Have a topic's replies read, unless it has none and never had."""
        count, title = topic.get("replies"), topic.get("title")
        self.met.add(number)
        if count != 0 or number in self.known:
            count = count if whole(count) else None
            told = {"count": count, "title": title, "place": self._place(topic, number)}
            self.todo.appendleft(self._replies(number, essential=essential, page=1, seen=frozenset(), **told))

    def _place(self, topic: Mapping[str, Any], number: object) -> str:
        """A topic's address, which the site itself may give another host than the one that it is asked at."""
        url = topic.get("url")
        return urldefrag(url).url if isinstance(url, str) and url.startswith(("http://", "https://")) else f"{self.base}/t/{number}"

    def read_topic(self, response: Response, topic: int) -> Iterator[Post | Gone | Request]:
        """One topic by its number. One that is not there has a 404, or an empty list."""
        if response.status in _MISSING:
            yield from self._bury(topic)
        elif (found := self._items(response)) is None:
            if response.meta["essential"]:
                return
        elif not found:
            self.absent.append(topic)
        elif isinstance(found[0], Mapping) and found[0].get("id") == topic:
            self.found = True
            yield from self.each(found[:1], self.read_opening, response.url)
            if not _deleted(found[0]):
                self._due(topic, found[0], essential=response.meta["essential"])
        else:
            self.reject("is another topic than the one asked for", response.url)
        yield from self._next(response)

    def _bury(self, topic: int) -> Iterator[Gone]:
        """A topic is gone, and with it every reply that stood under it."""
        yield from map(self.gone, dict.fromkeys([f"t{topic}", *(native_id for native_id, _ in self.known.get(topic, ()))]))

    def read_replies(self, response: Response, topic: int, page: int, seen: frozenset[int], **told: Any) -> Iterator[Post | Gone | Request]:
        """`seen` are the numbers of the replies on the pages before. The topic `told` its title, its place, and a count of replies."""
        count = told["count"]
        vanished, essential = response.status in _MISSING, response.meta["essential"]
        replies = None if vanished else self._items(response)
        if replies is None:
            if vanished or not essential:
                yield from self._next(response)
            return
        yield from self.each(replies, partial(self.read_reply, topic=topic, told=told), response.url)
        numbers = frozenset(reply["id"] for reply in replies if isinstance(reply, Mapping) and _number(reply.get("id")))
        if len(numbers) < len(replies):
            self.known.pop(topic, None)  # a reply whose number cannot be read may be any of them: none is missing
        there = seen | numbers
        if not numbers <= seen and (count is None or len(there) < count):
            self.todo.appendleft(self._replies(topic, essential=essential, page=page + 1, seen=there, **told))
        elif (count is not None and len(there) >= count) or (seen and not replies):
            for native_id, posted_at in self.known.get(topic, ()):
                if native_id[:1] == "r" and native_id not in {f"r{number}" for number in there} and posted_at < self.now - _CACHED:
                    yield self.gone(native_id)
        elif count is not None:
            self.reject("has more replies than the site gives", response.url)
            self.since = self.now if not self.covered else self.since
        yield from self._next(response)

    def read_opening(self, topic: Mapping[str, Any]) -> Iterator[Post | Gone]:
        number, title, appended = identifier(topic.get("id")), topic.get("title"), topic.get("supplements")
        if _deleted(topic):
            yield from self._bury(topic["id"])
            return
        parts = [html.unescape(title)] if isinstance(title, str) else []
        parts += map(_words, [topic, *(part for part in (appended if isinstance(appended, list) else []) if isinstance(part, Mapping))])
        yield from self._post(topic, f"t{number}", self._place(topic, number), parts, thread_id=f"t{number}", title=title)

    def read_reply(self, reply: Mapping[str, Any], topic: int, told: Mapping[str, Any]) -> Iterator[Post | Gone]:
        number = identifier(reply.get("id"))
        if _deleted(reply):
            yield self.gone(f"r{number}")
            return
        url, thread = f"{told['place']}#r_{number}", f"t{topic}"
        yield from self._post(reply, f"r{number}", url, [_words(reply)], thread_id=thread, parent_id=thread, title=told["title"])

    def _post(
        self, item: Mapping[str, Any], native_id: str, url: str, parts: list[str], *, title: object, **fields: object
    ) -> Iterator[Post]:
        """The post, unless this crawl has given it already: pages overlap, and a topic may stand in several lists."""
        if native_id in self.given:
            return
        text = "\n\n".join(part for part in parts if part.strip())
        if not text:
            raise UnusableError("holds no words of its author's own")
        member, created, changed = item.get("member"), item.get("created"), item.get("last_modified")
        yield self.post(
            native_id=native_id,
            url=url,
            text=text,
            posted_at=created,
            edited_at=changed if whole(created) and whole(changed) and changed > created else None,
            title=html.unescape(title) if isinstance(title, str) else None,
            author=member.get("username") if isinstance(member, Mapping) else None,
            **fields,
        )
        self.given.add(native_id)


def _number(value: object) -> bool:
    return whole(value) and value > 0


def _deleted(item: Mapping[str, Any]) -> bool:
    return item.get("deleted") in (1, "1")


def _words(item: Mapping[str, Any]) -> str:
    rendered, content = item.get("content_rendered"), item.get("content")
    if isinstance(rendered, str) and rendered.strip():
        return plain(rendered)
    return unquoted(content) if isinstance(content, str) else ""
