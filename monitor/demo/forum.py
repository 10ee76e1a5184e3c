"""A forum of our own on loopback, with two faces over real HTTP: Discourse's API, and Hacker News' two (Algolia, Firebase).

The promise: what it answers has the shapes, page sizes, limits and manners of the originals, so that the real spiders
run against it unchanged; and it shows no post before its time, so that a replayed clock sees a forum grow. It holds
everything in memory. `python -m monitor.demo.forum` serves the replay until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from monitor.demo import discourse, hackernews
from monitor.demo.posts import DemoPost, Held, load_posts
from monitor.demo.serving import Answer, Query, Request, Server

__all__ = ["DemoForum", "DemoPost", "Request", "load_posts"]

_FIRST_POST, _FIRST_TOPIC, _FIRST_ITEM = 1001, 101, 42_600_001


class DemoForum:
    """A running forum: `with DemoForum(posts) as forum:`, or start() and stop(). Safe to change while it serves.

    It shows the posts whose `at` is not after `now` (aware; set it to turn the clock; None shows all). `id_windows`
    makes /posts.json?before=N count as older Discourse does: the public posts among the ids N-49..N, which may be few
    or none; today's gives the 50 public posts below N. A forum that is started again keeps its ports.
    """

    discourse_url: str
    hackernews_api: str
    """Base of the search: http://127.0.0.1:PORT/api/v1."""
    hackernews_items: str
    """Base of the items: http://127.0.0.1:PORT/v0."""
    requests: list[Request]
    """Every request that was answered, in order."""

    def __init__(self, posts: Iterable[DemoPost], *, now: dt.datetime | None = None, id_windows: bool = False) -> None:
        self.now = now
        self.requests = []
        self._id_windows = id_windows
        self._ports = (0, 0)
        self._servers: list[Server] = []
        self._lock = threading.Lock()
        self._held: dict[int, Held] = {}
        self._threads: dict[tuple[str, str], list[Held]] = {}
        for post in sorted(posts, key=lambda post: post.at):
            self.add(post)

    def start(self) -> Self:
        """Bind two ports of 127.0.0.1 and serve from threads of this process."""
        for port, answer in zip(self._ports, (self._discourse, self._hackernews), strict=True):
            self._servers.append(Server(port, answer, self.requests))
        self._ports = (self._servers[0].port, self._servers[1].port)
        self.discourse_url = f"http://127.0.0.1:{self._ports[0]}"
        self.hackernews_api = f"http://127.0.0.1:{self._ports[1]}/api/v1"
        self.hackernews_items = f"http://127.0.0.1:{self._ports[1]}/v0"
        return self

    def stop(self) -> None:
        """Close both ports; the posts stay."""
        while self._servers:
            self._servers.pop().close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def add(self, post: DemoPost) -> int:
        """Hold one more post, under the next id of its forum, which is returned."""
        with self._lock:
            thread = self._threads.setdefault((post.forum, post.thread), [])
            count = sum(held.post.forum == post.forum for held in self._held.values())
            post_id = count + (_FIRST_POST if post.forum == "discourse" else _FIRST_ITEM)
            if thread:
                thread_id = thread[0].thread_id
            elif post.forum == "discourse":
                thread_id = _FIRST_TOPIC + sum(forum == "discourse" for forum, _ in self._threads) - 1
            else:
                thread_id = post_id
            quoted = next((held for held in reversed(thread) if post.quote and post.quote in held.post.text), None)
            held = Held(post_id, thread_id, len(thread) + 1, post, quoted, thread[0] if thread else None)
            thread.append(held)
            self._held[post_id] = held
            return post_id

    def edit(self, post_id: int, text: str, at: dt.datetime) -> None:
        """Give a post other words from now on; the forum says that this was done at `at`."""
        with self._lock:
            held = self._held[post_id]
            held.post, held.edited_at, held.version = replace(held.post, text=text), at, held.version + 1

    def delete(self, post_id: int) -> None:
        """Show a post no more. Discourse's topic goes with its opening post; Hacker News keeps the comments."""
        with self._lock:
            self._held[post_id].deleted = True

    def posts(self) -> dict[int, DemoPost]:
        """Every post that is held, shown or not, by its id: a Discourse post's or a Hacker News item's."""
        with self._lock:
            return {held.id: held.post for held in self._held.values()}

    def _begun(self, forum: str) -> list[Held]:
        return [held for held in self._held.values() if held.post.forum == forum and (self.now is None or held.post.at <= self.now)]

    def _discourse(self, path: str, query: Query) -> Answer:
        with self._lock:
            return discourse.answer(self._begun("discourse"), path, query, base_url=self.discourse_url, id_windows=self._id_windows)

    def _hackernews(self, path: str, query: Query) -> Answer:
        with self._lock:
            return hackernews.answer(self._begun("hn"), path, query)


if __name__ == "__main__":
    with DemoForum(load_posts()) as demo, contextlib.suppress(KeyboardInterrupt):
        print(f"{demo.discourse_url}/latest.rss\n{demo.hackernews_api}/search_by_date\nCtrl-C ends it.", flush=True)
        while not threading.Event().wait(1.0):  # for ever; a signal that comes just before a wait without end would be slept through
            pass
