"""Any Discourse forum, through its public JSON: /posts.json backwards from the newest post, /t/ID.json for what changed.

The promise: every public post since the last crawl's newest id, and within the overlap before its time, is read once
or more; an edit or a deletion of a post younger than `refresh` is seen at the next crawl. Discourse's own source
of today answers `before=N` with the 50 posts below N, older ones with the public posts among the ids N-49..N, maybe none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from monitor.words import plain
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, whole

_PAGE = 50
_TOPIC_PAGE = 20
_MOST_EMPTY = 10  # pages in a row without a public post (500 ids, in an old Discourse), after which there are no more


class DiscourseOptions(SpiderOptions):
    url: Url
    """The forum's address, with its folder if it has one."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Topics that one crawl looks at again, those with the newest posts first."""


class Discourse(ForumSpider):
    """`native_id` is the post's id, `thread_id` the topic's. `parent_id` is "topic/number", the end of the parent's URL:
    an answer names its parent by number, and its id is not always known. Notices that Discourse writes itself are not posts."""

    name = "discourse"
    options_type = DiscourseOptions
    options: DiscourseOptions

    async def start(self) -> AsyncIterator[Request]:
        self.base = self.options.url.rstrip("/")
        known = self.cursor if self.cursor.get("url") == self.base else {}
        until = self.date(known.get("until"))
        self.floor = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.known_id = known["post_id"] if isinstance(known.get("post_id"), int) else 0
        self.highest = self.known_id
        yield self._page(None, 0)

    def _page(self, before: int | None, empty: int) -> Request:
        query = "" if before is None else f"?before={before}"
        return self.ask(f"{self.base}/posts.json{query}", self.read_page, before=before, empty=empty)

    def read_page(self, response: Response, before: int | None, empty: int) -> Iterator[Post | Gone | Request]:
        page = self.json(response)
        if page is None:
            return
        posts = page.get("latest_posts")
        if not isinstance(posts, list):
            self.lose(response, "holds no list `latest_posts`: is this the address of a Discourse forum?")
            return
        yield from self.each(posts, self.read_post, response.url)
        dates = {post["id"]: self.date(post.get("created_at")) for post in posts if isinstance(post, Mapping) and whole(post.get("id"))}
        self.highest = max([self.highest, *dates])
        lower = [post_id for post_id in dates if before is None or post_id < before]
        if lower:
            lowest = min(lower)
            date = dates[lowest]
            if self.known_id:
                done = lowest <= self.known_id and (date is None or date < self.floor)
            else:  # one old date is no end: the first of posts that are moved gets a new id
                done = all(date and date < self.floor for date in map(dates.get, lower))
            before, empty = lowest, 0
        else:
            before, empty = (before or 0) - _PAGE, empty + 1
            done = before <= 0 or empty > _MOST_EMPTY
        if not done:
            yield self._page(before, empty)
            return
        self.next_cursor = {"url": self.base, "post_id": self.highest, "until": to_text(self.now)}
        self.covered = (self.floor, self.now)
        yield from self._refresh()

    def _refresh(self) -> Iterator[Request]:
        topics: dict[str, list[str]] = {}
        for native_id, topic, _ in self.recent:
            if topic:
                topics.setdefault(topic, []).append(native_id)
        for topic in list(topics)[: self.options.refresh_limit]:
            url = f"{self.base}/t/{topic}.json"
            yield self.ask(url, self.read_topic, essential=False, accept=(404, 410), topic=topic, known=topics[topic])

    def read_topic(self, response: Response, topic: str, known: Sequence[str]) -> Iterator[Post | Gone | Request]:
        """`known` are the ids of the topic's stored posts. A topic that is forbidden (403) is not a deleted one."""
        if response.status in (404, 410):
            yield from map(self._verify, known)
            return
        data = self.json(response)
        if data is None:
            return
        stream = data.get("post_stream")
        ids = stream.get("stream") if isinstance(stream, Mapping) else None
        posts = stream.get("posts") if isinstance(stream, Mapping) else None
        if not isinstance(ids, list) or not all(map(whole, ids)) or not ids or not isinstance(posts, list):
            self.lose(response, "holds no list `post_stream.stream` of ids")
            return
        yield from self.each(posts, partial(self.read_post, title=data.get("title")), response.url)
        there = set(map(str, ids))
        yield from (self._verify(native_id) for native_id in known if native_id not in there)
        read = {str(post.get("id")) for post in posts if isinstance(post, Mapping)}
        later = [native_id for native_id in known if native_id in there - read]
        for start in range(0, len(later), _TOPIC_PAGE):
            query = "&".join(f"post_ids[]={native_id}" for native_id in later[start : start + _TOPIC_PAGE])
            yield self.ask(f"{self.base}/t/{topic}/posts.json?{query}", self.read_later, essential=False, title=data.get("title"))

    def _verify(self, native_id: str) -> Request:
        """A post that its topic does not show any more is deleted, or was moved to another topic: only its own page tells."""
        url = f"{self.base}/posts/{native_id}.json"
        return self.ask(url, self.read_missing, essential=False, accept=(404, 410), native_id=native_id)

    def read_missing(self, response: Response, native_id: str) -> Iterator[Post | Gone]:
        if response.status in (404, 410):
            yield self.gone(native_id)
        elif (post := self.json(response)) is not None:
            yield from self.each([post], self.read_post, response.url)

    def read_later(self, response: Response, title: object) -> Iterator[Post | Gone]:
        """The posts of a topic beyond those that came with it."""
        data = self.json(response)
        if data is None:
            return
        stream = data.get("post_stream")
        posts = stream.get("posts") if isinstance(stream, Mapping) else None
        if isinstance(posts, list):
            yield from self.each(posts, partial(self.read_post, title=title), response.url)
        else:
            self.lose(response, "holds no list `post_stream.posts`")

    def read_post(self, post: Mapping[str, Any], title: object = None) -> Iterator[Post | Gone]:
        if post.get("post_type", 1) != 1:
            return
        if post.get("hidden") or post.get("user_deleted") or post.get("deleted_at"):
            yield self.gone(post.get("id"))
            return
        topic, number, reply = identifier(post.get("topic_id")), post.get("post_number"), post.get("reply_to_post_number")
        title, cooked, slug = post.get("topic_title") or title, post.get("cooked"), post.get("topic_slug")
        if not isinstance(cooked, str):
            raise UnusableError("has no text")
        text = plain(cooked)
        url = f"{self.base}/t/{slug if isinstance(slug, str) and slug else '-'}/{topic}"
        version = post.get("version")
        yield self.post(
            native_id=post.get("id"),
            url=f"{url}/{number}" if whole(number) else url,
            text=f"{title}\n\n{text}" if number == 1 and isinstance(title, str) else text,
            posted_at=post.get("created_at"),
            edited_at=post.get("updated_at") if whole(version) and version > 1 else None,
            thread_id=topic,
            parent_id=f"{topic}/{reply}" if whole(reply) else None,
            title=title,
            author=post.get("username"),
        )
