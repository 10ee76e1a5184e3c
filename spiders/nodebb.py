"""NodeBB forums: the list of recent topics (or of some categories), and the topics in which something was said.

The promise is that of spiders/paged.py. NodeBB gives every page as JSON under /api. Its list of recent topics ends after
200 or so (`recentMaxTopics`): where that cuts off what is due, the crawl says so and claims no more than it read. A topic
that was deleted answers guests as a private one does (401, or 403 to a crawler); its posts' own addresses still lead to it,
which those of a private topic do not.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from scrapy.http import Request, Response

from monitor.records import Gone, Post
from monitor.words import plain
from spiders.base import UnusableError, identifier, whole
from spiders.paged import Listed, PagedOptions, PagedSpider, ThreadPage

_CUT = 100
"""A list of recent topics that ends after so many may have been cut: 200 is the default, less those that guests may not read."""

# "<p><a href=".../user/ann">@ann</a> said in <a href=".../post/5">Title</a>:</p>" before a quote, in any language
_SAID = re.compile(
    r"<(?:p|br)\b[^>]*>(?:(?!</p>|<br).){0,600}?/(?:post|topic|user)/(?:(?!</p>|<br).){0,600}?[:：]\s*</p>\s*(?=<blockquote)", re.DOTALL
)


class NodeBBOptions(PagedOptions):
    categories: tuple[int, ...] = ()
    """The numbers of the categories to read (in their addresses); none given means the forum's recent topics."""


class NodeBB(PagedSpider):
    """`native_id` is the post's id (`pid`), `thread_id` the topic's (`tid`), `parent_id` the `pid` of the post that it answers."""

    name = "nodebb"
    options_type = NodeBBOptions
    options: NodeBBOptions
    closed = (401, 403)

    def lists(self) -> list[str]:
        if self.options.categories:
            return [f"{self.base}/api/category/{cid}?sort=recently_replied&page=1" for cid in dict.fromkeys(self.options.categories)]
        return [f"{self.base}/api/recent?page=1"]

    def list_page(self, response: Response) -> tuple[list[Listed], str | None] | None:
        data = self.json(response)
        if data is None:
            return None
        topics = data.get("topics")
        if not isinstance(topics, list):
            self.lose(response, "holds no list `topics`: is this the address of a NodeBB forum?")
            return None
        listed = []
        for topic in topics:
            try:
                last = self.moment(topic.get("lastposttime"), topic.get("lastposttimeISO"))
                listed.append(Listed(identifier(topic.get("tid")), last, _is(topic.get("pinned")), _is(topic.get("deleted"))))
            except (UnusableError, AttributeError):
                self.reject("is a topic without an id", response.url)
        if topics and not listed:
            self.lose(response, "holds no topic with an id")
            return None
        url, _, page = response.url.rpartition("page=")
        more = listed and int(page) < _pages(data, fallback=int(page) + 1)
        return listed, f"{url}page={int(page) + 1}" if more else None

    def cut_off(self, response: Response, listed: Mapping[str, dt.datetime | None]) -> None:
        if not self.options.categories and len(listed) >= _CUT:
            self.covered_from = max([self.floor, *filter(None, [min(filter(None, listed.values()), default=None)])])
            told = f"older topics, since its list of recent ones ends after {len(listed)}: crawl more often, or name `categories`"
            self.reject(told, response.url)

    def thread_url(self, thread: str, page: int) -> str:
        return f"{self.base}/api/topic/{quote(thread, safe='')}?sort=oldest_to_newest&page={page}"

    def thread_page(self, response: Response) -> ThreadPage | None:
        topic = self.json(response)
        if topic is None:
            return None
        posts = topic.get("posts")
        if not isinstance(posts, list):
            self.lose(response, "holds no list `posts`")
            return None
        return ThreadPage(posts, _pages(topic, fallback=1), partial(self.read_post, topic=topic))

    def read_post(self, post: Mapping[str, Any], topic: Mapping[str, Any]) -> Iterator[Post | Gone]:
        native_id = identifier(post.get("pid"))
        if _is(post.get("deleted")) or _is(topic.get("deleted")):
            yield self.gone(native_id)
            return
        content = post.get("content")
        if not isinstance(content, str):
            raise UnusableError("has no text")
        user = post.get("user")
        # Guests and deleted accounts have the number 0, and a name that NodeBB made up ("[[global:former_user]]").
        name = user.get("username") if isinstance(user, Mapping) and post.get("uid") not in (0, "0") else None
        given = topic.get("titleRaw") or topic.get("title")
        title = html.unescape(given) if isinstance(given, str) and given else None
        text = plain(_SAID.sub("", content))
        opens = post.get("index") in (0, "0") or post.get("pid") == topic.get("mainPid")
        edited = self.moment(post.get("edited"), post.get("editedISO"))
        yield self.post(
            native_id=native_id,
            url=native_id if native_id.startswith(("http://", "https://")) else f"{self.base}/post/{native_id}",  # federated posts
            text=f"{title}\n\n{text}" if opens and title else text,
            posted_at=self.moment(post.get("timestamp"), post.get("timestampISO")),
            edited_at=edited,
            thread_id=post.get("tid") or topic.get("tid"),
            parent_id=post.get("toPid") if post.get("toPid") not in (0, "0") else None,
            title=title,
            author=name if isinstance(name, str) and not name.startswith("[[") else None,
        )

    def post_url(self, thread: str, native_id: str) -> str:
        return f"{self.base}/api/post/{quote(native_id, safe='')}"

    def read_elsewhere(self, response: Response, native_id: str) -> Iterator[Post | Gone | Request]:
        """A post's own address gives that of its topic, as a JSON string: it was moved there, or that topic is deleted."""
        try:
            path = json.loads(response.body)
        except ValueError:
            path = None
        if isinstance(path, str) and path.startswith("/topic/"):
            if unquote(path.split("/")[2]) in self.shut:
                yield self.gone(native_id)
                return
            yield self.ask(f"{self.base}/api{path}", self.only, essential=False, native_id=native_id)
        else:
            self.lose(response, "does not tell the topic of a post")

    def moment(self, milliseconds: object, iso: object) -> dt.datetime | None:
        """A time as NodeBB gives it: milliseconds, as a number or its digits, or ISO text."""
        if isinstance(milliseconds, str) and re.fullmatch(r"[0-9]{1,16}", milliseconds):
            milliseconds = int(milliseconds)
        if isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool):
            return self.date(milliseconds // 1000) or self.date(iso)
        return self.date(iso)


def _is(flag: object) -> bool:
    """A flag as NodeBB gives it, by its version: 1, "1" or true."""
    return flag in (1, "1", "true")


def _pages(page: Mapping[str, Any], *, fallback: int) -> int:
    pagination = page.get("pagination")
    count = pagination.get("pageCount") if isinstance(pagination, Mapping) else None
    return count if whole(count) else fallback
