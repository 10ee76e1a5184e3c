"""Hacker News: its search (Algolia, newest first) for what is new, its items (Firebase) for what was edited or deleted.

The promise: every story and comment that the search holds since the last crawl's time, less the overlap, is read. The
search gives 1000 hits at most, so it is asked again from the oldest one seen, that second included, until nothing is
left; what comes twice is dropped. The search matches words loosely: which team a post names is found out later.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from pydantic import Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post
from monitor.words import plain
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, whole

_MOST = 1000  # hits of one answer


class HackerNewsOptions(SpiderOptions):
    api: Url = "https://hn.algolia.com/api/v1"
    items: Url = "https://hacker-news.firebaseio.com/v0"
    site: Url = "https://news.ycombinator.com/item?id="
    """What a post's id is put behind to link to it."""
    queries: tuple[str, ...] = Field(default=("",), min_length=1)
    """Search words, each asked on its own; an empty one asks for everything (about 15,000 posts a day)."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=300, ge=0, le=100_000)
    """Posts that one crawl looks at again, newest first."""


class HackerNews(ForumSpider):
    """`native_id` is the item's id, `thread_id` the story's. An item that is `null` is no news; a dead one is gone."""

    name = "hackernews"
    options_type = HackerNewsOptions
    options: HackerNewsOptions

    async def start(self) -> AsyncIterator[Request]:
        until = self.date(self.cursor.get("until"))
        self.since = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.seen: set[str] = set()
        queries = list(dict.fromkeys(self.options.queries))
        self.open = len(queries)
        for query in queries:
            yield self._window(query, int(self.now.timestamp()) + 1)

    def _window(self, query: str, before: int) -> Request:
        """Ask for what was posted from `since` on and before `before` (epoch seconds)."""
        words = {
            "query": query,
            "tags": "(story,comment)",
            "numericFilters": f"created_at_i>{int(self.since.timestamp()) - 1},created_at_i<{before}",
            "hitsPerPage": _MOST,
        }
        return self.ask(f"{self.options.api.rstrip('/')}/search_by_date?{urlencode(words)}", self.read_window, query=query, before=before)

    def read_window(self, response: Response, query: str, before: int) -> Iterator[Post | Gone | Request]:
        page = self.json(response)
        if page is None:
            return
        hits = page.get("hits")
        if not isinstance(hits, list):
            self.lose(response, "holds no list `hits`")
            return
        yield from self.each(hits, self.read_hit, response.url)
        total = page.get("nbHits")
        if hits and (len(hits) >= _MOST or (whole(total) and total > len(hits))):
            times = [hit["created_at_i"] for hit in hits if isinstance(hit, Mapping) and whole(hit.get("created_at_i"))]
            oldest = min((time for time in times if time < before), default=None)
            if oldest is None:
                self.lose(response, "does not keep to the span of time that it was asked for")
                return
            if oldest + 1 == before and len(hits) >= _MOST:
                self.lose(response, f"has {_MOST} posts or more in one second, and gives no more than that")
            if oldest >= self.since.timestamp():
                yield self._window(query, min(oldest + 1, before - 1))
                return
        self.open -= 1
        if not self.open:
            self.next_cursor = {"until": int(self.now.timestamp())}
            self.covered = (self.since, self.now)
            for native_id, thread_id, _ in self.recent[: self.options.refresh_limit]:
                url = f"{self.options.items.rstrip('/')}/item/{native_id}.json"
                yield self.ask(url, self.read_item, essential=False, native_id=native_id, thread_id=thread_id)

    def read_hit(self, hit: Mapping[str, Any]) -> Iterator[Post]:
        native_id = identifier(hit.get("objectID"))
        if native_id in self.seen:
            return
        comment = isinstance(hit.get("comment_text"), str)
        title = hit.get("story_title" if comment else "title")
        yield self._post(
            native_id,
            own_title=None if comment else title,
            body=hit.get("comment_text" if comment else "story_text"),
            posted_at=hit.get("created_at_i") or hit.get("created_at"),
            thread_id=hit.get("story_id") if comment else native_id,
            parent_id=hit.get("parent_id"),
            title=html.unescape(title) if isinstance(title, str) else None,
            author=hit.get("author"),
        )
        self.seen.add(native_id)

    def read_item(self, response: Response, native_id: str, thread_id: str) -> Iterator[Post | Gone]:
        if response.body.strip() == b"null":
            return
        item = self.json(response)
        if item is None:
            return
        if item.get("deleted") or item.get("dead"):
            yield self.gone(native_id)
            return
        yield from self.each([item], partial(self.read_again, native_id=native_id, thread_id=thread_id), response.url)

    def read_again(self, item: Mapping[str, Any], native_id: str, thread_id: str) -> Iterator[Post]:
        if identifier(item.get("id")) != native_id:
            raise UnusableError("is another item than the one asked for")
        title = item.get("title")
        yield self._post(
            native_id,
            own_title=title,
            body=item.get("text"),
            posted_at=item.get("time"),
            thread_id=thread_id,
            parent_id=item.get("parent"),
            title=html.unescape(title) if isinstance(title, str) else None,
            author=item.get("by"),
        )

    def _post(self, native_id: str, *, own_title: object, body: object, **fields: object) -> Post:
        """A story's text begins with its title, in which "<" is a character; a comment's is its body alone, which is HTML."""
        parts = [html.unescape(own_title)] if isinstance(own_title, str) else []
        parts += [plain(body)] if isinstance(body, str) else []
        return self.post(native_id=native_id, url=f"{self.options.site}{native_id}", text="\n\n".join(parts) if parts else None, **fields)
