"""Posts into the store, in small batches, while the crawl goes on.

The promise: what was parsed is stored at the latest with the batch's last post or the end of the crawl, so that a killed
crawl loses one batch at most; and since no cursor is kept then, the next crawl reads that batch again.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scrapy import signals

from monitor.errors import StoreError
from monitor.records import Gone, Post
from monitor.store import Store

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

BATCH = 100
"""Posts per transaction."""


class Storing:
    """The item pipeline. Counts go to the crawl's stats as `posts/new`, `posts/changed`, ...; a StoreError ends the crawl."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.batch: list[Post | Gone] = []
        self.closing: asyncio.Future[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        storing = cls(crawler)
        # A crawl that is cut short by force closes no pipeline; monitor/collect.py then says at least that it is idle.
        crawler.signals.connect(storing._flush, signals.spider_idle)
        return storing

    def open_spider(self) -> None:
        self.store = Store(Path(self.crawler.settings["FORUM_MONITOR_DATABASE"]))

    def process_item(self, item: Post | Gone) -> Post | Gone:
        self.batch.append(item)
        if len(self.batch) >= BATCH:
            self._flush()
        return item

    def close_spider(self) -> None:
        self._flush()
        self.store.close()

    def _flush(self) -> None:
        stats = self.crawler.stats
        if not self.batch or stats.get_value("store_error"):
            return  # after an error the crawl is ending; what it still parses comes again, since no cursor is kept
        batch, self.batch = self.batch, []
        try:
            counts = self.store.save_posts(batch)
        except StoreError as error:
            stats.set_value("store_error", str(error))
            # Raising here would only lose this item: Scrapy goes on after a pipeline's error.
            self.closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="store_error"))
            return
        for name, count in dataclasses.asdict(counts).items():
            stats.inc_value(f"posts/{name}", count)
