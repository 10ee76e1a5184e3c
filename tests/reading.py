"""What the spiders' tests stand on: a spider as a crawl makes it, and answers given to its requests without a network."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scrapy.http import Request, Response, TextResponse

from monitor.records import Gone, Post
from spiders.base import ForumSpider

NOW = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)
SHARED = Path(__file__).parents[1].parent / "shared" / "fixtures"
"""Recorded answers of real sites, where they lie beside this checkout."""


def make(spider: type[ForumSpider], options: Mapping[str, Any], **given: Any) -> Any:
    """A spider as monitor/collect.py makes it, its author key a readable one."""
    given = {"cursor": {}, "now": NOW, "overlap": 3600.0, "recent": [], "kind": "voice", **given}
    return spider(source="s", options=options, author_key=lambda name, *_: f"key of {name}", **given)


def begin(spider: ForumSpider) -> list[Request]:
    """The spider's first requests."""

    async def requests() -> list[Any]:
        return [request async for request in spider.start()]

    return asyncio.run(requests())


def answer(request: Request, body: bytes, status: int = 200, **headers: str) -> Response:
    """What a site says to `request`."""
    return TextResponse(request.url, body=body, status=status, headers=headers, request=request)


def read(request: Request, response: Response) -> list[Any]:
    """What the spider makes of an answer."""
    assert request.callback is not None
    return list(request.callback(response, **request.cb_kwargs))


def posts_of(found: Iterable[Any]) -> list[Any]:
    """The posts and tombstones among what a spider made."""
    return [item for item in found if isinstance(item, Post | Gone)]


def walk(spider: ForumSpider, fetch: Callable[[str], tuple[int, bytes]]) -> list[Any]:
    """Follow every request to its end, as a crawl does; `fetch` gives status and body of a URL."""
    waiting, found = begin(spider), []
    while waiting:
        request = min(waiting, key=lambda request: -request.priority)
        waiting.remove(request)
        status, body = fetch(request.url)
        made = read(request, answer(request, body, status))
        waiting += [item for item in made if isinstance(item, Request)]
        found += posts_of(made)
    return found


def over_http(url: str) -> tuple[int, bytes]:
    """Status and body as a real server gives them."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def as_rows(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Posts as plain values, without what is the same in all of them."""
    rows = []
    for post in posts_of(found):
        values = {name: value for name, value in dataclasses.asdict(post).items() if value is not None}
        for name in ("source", "kind", "fetched_at"):
            values.pop(name, None)
        for name in ("posted_at", "edited_at"):
            if name in values:
                values[name] = values[name].isoformat()
        rows.append(values)
    return rows


def expected(page: Path) -> Any:
    """What must be read from a page of tests/pages: {"posts": [...], "left out": {reason: count}}."""
    return json.loads(page.with_name(page.name + ".posts.json").read_text("utf-8"))
