"""Misago forums: the list of threads, and the threads in which something was said.

The promise is that of spiders/paged.py. Misago's own robots.txt keeps crawlers out of /api/, so the pages for readers are
read, and the JSON that they carry for their own scripts (`misago.init({...})`, up to Misago 0.39). A thread that is hidden,
waits for approval or lies in a hidden category answers "not found" like a deleted one. A post that was moved is found in
the threads that the crawl reads: those with stored posts, and those listed beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urljoin

from scrapy import Selector
from scrapy.http import Response

from monitor.records import MAX_TEXT, Gone, Post
from monitor.words import plain
from spiders.base import UnusableError, identifier, whole
from spiders.paged import Listed, PagedSpider, ThreadPage

_BEGIN = "misago.init("
_SLUG = re.compile(r"/t/([-\w]+)/[0-9]+/")


class Misago(PagedSpider):
    """`native_id` and `thread_id` are Misago's numbers. An answer does not say which post it answers."""

    name = "misago"
    finds_moved = False

    def lists(self) -> list[str]:
        self.slugs: dict[str, str] = {}
        return [f"{self.base}/"]

    def list_page(self, response: Response) -> tuple[list[Listed], str | None] | None:
        page = self._carried(response)
        if page is None:
            return None
        threads = page.get("THREADS")
        results = threads.get("results") if isinstance(threads, Mapping) else None
        if not isinstance(threads, Mapping) or not isinstance(results, list):
            if response.url == f"{self.base}/":  # a forum may show its categories there
                return [], f"{self.base}/threads/"
            self.lose(response, "holds no list of threads")
            return None
        listed = []
        for thread in results:
            try:
                native_id = identifier(thread.get("id"))
                hidden = bool(thread.get("is_hidden") or thread.get("is_unapproved"))
                listed.append(Listed(native_id, self.date(thread.get("last_post_on")), bool(thread.get("weight")), hidden))
                self._learn(native_id, thread)
            except (UnusableError, AttributeError):
                self.reject("is a thread without an id", response.url)
        if results and not listed:
            self.lose(response, "holds no thread with an id")
            return None
        following = threads.get("next") if listed else None
        parameter = "page" if "pages" in threads else "start"  # before Misago 0.20, and since
        return listed, f"{response.url.partition('?')[0]}?{parameter}={following}" if whole(following) and following > 0 else None

    def thread_url(self, thread: str, page: int) -> str:
        number = f"{page}/" if page > 1 else ""
        # Misago leads from a wrong slug to the right one.
        return f"{self.base}/t/{self.slugs.get(thread, '-')}/{thread}/{number}"

    def thread_page(self, response: Response) -> ThreadPage | None:
        page = self._carried(response)
        if page is None:
            return None
        thread, posts = page.get("THREAD"), page.get("POSTS")
        results = posts.get("results") if isinstance(posts, Mapping) else None
        if not isinstance(thread, Mapping) or not isinstance(posts, Mapping) or not isinstance(results, list):
            self.lose(response, "holds no posts of a thread")
            return None
        number = str(thread.get("id"))
        self._learn(number, thread)
        pages, first = posts.get("pages"), posts.get("page") in (1, None)
        opening = min((post["id"] for post in results if _is_post(post)), default=None) if first else None
        return ThreadPage(results, pages if whole(pages) else 1, partial(self.read_post, thread=thread, opening=opening))

    def read_post(self, post: Mapping[str, Any], thread: Mapping[str, Any], opening: int | None) -> Iterator[Post | Gone]:
        if post.get("is_event"):
            return
        native_id = identifier(post.get("id"))
        waits = post.get("is_unapproved") or thread.get("is_unapproved")
        if waits or post.get("is_hidden") or thread.get("is_hidden"):
            if native_id in self.known or not waits:  # what may yet be approved leaves no tombstone
                yield self.gone(native_id)
            return
        content = post.get("content")
        if not isinstance(content, str):
            raise UnusableError("has no text")
        number = identifier(thread.get("id"))
        poster, title, links = post.get("poster"), thread.get("title"), post.get("url")
        link = links.get("index") if isinstance(links, Mapping) else None
        here = f"{self.base}/t/{self.slugs.get(number, '-')}/{number}/post/{native_id}/"
        text = plain(_unquoted(content))
        yield self.post(
            native_id=native_id,
            url=urljoin(f"{self.base}/", link) if isinstance(link, str) and link else here,
            text=f"{title}\n\n{text}" if post.get("id") == opening and isinstance(title, str) else text,
            posted_at=post.get("posted_on"),
            edited_at=post.get("updated_on") if post.get("edits") else None,
            thread_id=number,
            title=title,
            author=(poster.get("username") if isinstance(poster, Mapping) else None) or post.get("poster_name"),
        )

    def post_url(self, thread: str, native_id: str) -> str:
        """Leads to the page of the thread that shows the post."""
        return f"{self.thread_url(thread, 1)}post/{native_id}/"

    def _learn(self, thread: str, given: Mapping[str, Any]) -> None:
        """Keep a thread's slug, which saves the way over a wrong one."""
        links = given.get("url")
        link = links.get("index") if isinstance(links, Mapping) else None
        found = _SLUG.search(re.split("[?#]", link)[0]) if isinstance(link, str) else None  # urlsplit raises on some that are none
        if found:
            self.slugs[thread] = found[1]

    def _carried(self, response: Response) -> dict[str, Any] | None:
        """The JSON object that a page carries; None when there is none, which is then counted."""
        page = response.body.decode("utf-8-sig", "replace")
        begin = page.find(_BEGIN)
        try:
            found, _ = json.JSONDecoder().raw_decode(page, begin + len(_BEGIN)) if begin >= 0 else (None, 0)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.lose(response, "carries no `misago.init({...})`: is this the address of a Misago forum, version 0.39 or older?")
            return None
        return found


def _is_post(item: object) -> bool:
    return isinstance(item, Mapping) and whole(item.get("id")) and not item.get("is_event")


def _unquoted(markup: str) -> str:
    """A post without the headings of its quotes ("Ann wrote:"). Spoilers, blockquotes in Misago too, are its author's words."""
    if "data-noquote" not in markup:
        return markup
    page = Selector(text=markup[: 10 * MAX_TEXT].encode("utf-8", "replace").decode())
    page.css("[data-noquote]").drop()
    for spoiler in page.css("blockquote.spoiler-body"):
        spoiler.root.tag = "div"
    return str(page.get())
