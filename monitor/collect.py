"""Runs ONE source's spider to its end in this process, and says in the table `crawls` how it went.

The promise: every crawl that began is closed with its counts and a reason, and it is `finished` only when it read all
that was due; only then does its cursor move on, so that what was missed is read again. A spider is named, never imported.

The reasons: finished; failed (something due could not be read); timed out; stopped (SIGTERM, Ctrl-C); and, by the site's
own word, disallowed (robots.txt, an opt-out), robots_unreachable, rate_limited (also by our own budget), banned (a wall).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import importlib
import itertools
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings
from twisted.internet.error import ReactorNotRunning

from monitor import __version__, clock
from monitor.config import Config, Source, is_loopback_only
from monitor.errors import CrawlError, MonitorError
from monitor.privacy import author_key, hiding, load_keys
from monitor.records import Gone, Post
from monitor.store import Counts, Store

GRACE = 3.0
"""Seconds that requests under way have to end after a stop; then they are abandoned (a long Crawl-delay may hold them)."""

SAMPLE = 5
"""Posts after which a dry run has seen enough."""

_SAMPLE_PAGES = 10
"""Answers after which it gives up looking for them: robots.txt, tdmrep.json, and pages, some of which only list threads."""

_SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """How a crawl ended: the row in `crawls`. `requests` counts robots.txt and repeats too."""

    finish_reason: str
    counts: Counts
    rejected: int
    requests: int
    message: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a dry run found: how it ended, the first posts, and verdicts on files of hosts as {host: {path: verdict}}."""

    result: CrawlResult
    posts: list[Post]
    verdicts: dict[str, dict[str, str]]


def collect(
    config: Config, source: Source, *, now: Callable[[], dt.datetime] = clock.now, progress: Callable[[int, int], None] | None = None
) -> CrawlResult:
    """Crawl `source` from where its last crawl stopped. To be called once in a process: Scrapy's reactor cannot restart.

    `progress` is called with (posts read, 0): nobody knows how many there are.

    Raises CrawlError when the source cannot be crawled as it is configured, StoreError when the store fails.
    """
    with Store(config.database) as store:
        began = now()
        crawl_id = store.begin_crawl(source.name, began)
        try:
            hide = hiding(
                load_keys(config.author_key_file, config.privacy.rotate_keys, began.date()),
                source.name, leaves_out=store.leaves_out, leave_out=store.leave_out, now=began,
            )  # fmt: skip
            recent = _to_look_at(store, config, source, began)
            numbered = {"FORUM_MONITOR_CRAWL": crawl_id}
            _, result, cursor, covered = _crawl(
                config, source, hide, began, cursor=store.cursor(source.name), recent=recent, also=numbered, progress=progress
            )
        except BaseException as error:
            reason = "stopped" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
            message = str(error) if isinstance(error, MonitorError) else type(error).__name__
            store.end_crawl(crawl_id, now(), finish_reason=reason, counts=Counts(), message=message)
            raise
        store.end_crawl(
            crawl_id,
            now(),
            finish_reason=result.finish_reason,
            counts=result.counts,
            rejected=result.rejected,
            requests=result.requests,
            cursor=cursor,
            covered=covered,
            message=result.message,
        )
        return result


def sample(config: Config, source: Source, *, now: Callable[[], dt.datetime] = clock.now) -> Sample:
    """Ask a source as a first crawl would, up to its first posts, and keep nothing: `forum-monitor sources test NAME`.

    Raises CrawlError as `collect` does, and must likewise be called only once in a process.
    """
    posts: list[Post] = []
    also = {"ITEM_PIPELINES": {}, "FORUM_MONITOR_DATABASE": "", "CLOSESPIDER_PAGECOUNT": _SAMPLE_PAGES}
    crawler, result, _, _ = _crawl(
        config, source, lambda name, _: author_key(bytes(32), source.name, name), now(), cursor={}, recent=[], also=also, into=posts
    )
    return Sample(result, posts, {host: dict(verdicts) for host, verdicts in crawler.stats.get_value("verdicts", {}).items()})


def _to_look_at(store: Store, config: Config, source: Source, now: dt.datetime) -> list[tuple[str, str, dt.datetime]]:
    """Stored posts to look at again: three of the young ones, newest first, then one of the older whose time has come, and so on.

    A spider looks at so many and no more, and so gets to both. Two crawls, at least, fall into an older post's time.
    """
    within = dt.timedelta(seconds=max(source.refresh, 2 * (source.every or config.schedule.collect)))
    older = iter(store.older(source.name, now, within))
    found = []
    for number, post in enumerate(store.recent(source.name, now - dt.timedelta(seconds=source.refresh)), 1):
        found += [post, *itertools.islice(older, number % 3 == 0)]
    return [*found, *older]


def user_agent(config: Config) -> str:
    """How we introduce ourselves to a site."""
    contact = " ".join(config.contact.split())
    return f"employee-forum-monitor/{__version__}" + (f" (+{contact})" if contact else "")


def _crawl(
    config: Config,
    source: Source,
    hide: Callable[..., str],
    began: dt.datetime,
    *,
    cursor: Mapping[str, Any],
    recent: Sequence[tuple[str, str, dt.datetime]],
    also: Mapping[str, Any],
    into: list[Post] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Any, CrawlResult, Mapping[str, Any] | None, tuple[dt.datetime, dt.datetime] | None]:
    """The ended crawler, the result, the cursor to keep (if any), and the span of post times that was read whole.

    With a list, `into`, the crawl ends when it holds the first posts.
    """
    if not config.contact.strip() and not is_loopback_only(source):
        raise CrawlError(
            f"{source.name} is not crawled while contact is empty: write an e-mail address or a page into {config.path.name} "
            "where the site's owner can reach you",
            permanent=True,
        )
    settings = Settings()
    settings.setmodule("spiders.settings")
    settings.setdict(
        {
            "SPIDER_MODULES": [f"spiders.{source.type}"],  # one that fails to import would disable all
            "USER_AGENT": user_agent(config),
            "DOWNLOAD_DELAY": source.delay,
            "CLOSESPIDER_TIMEOUT": source.time_limit,
            "FORUM_MONITOR_DATABASE": str(config.database),
            "FORUM_MONITOR_AGREED": bool(source.terms and source.terms.agreement.strip()),
            # A host on this machine belongs to whoever runs us, and tests and demos ask it fast.
            "FORUM_MONITOR_PER_HOUR": source.per_hour if "per_hour" in source.model_fields_set or not is_loopback_only(source) else 0,
            **also,
        },
        priority="cmdline",
    )
    try:
        logging.disable(logging.INFO)  # Scrapy announces itself before its loggers can be told not to
        process = AsyncCrawlerProcess(settings)
        crawler = process.create_crawler(source.type)
    except (ImportError, SyntaxError, KeyError) as error:
        raise CrawlError(
            f"sources.{source.name}.type: the spider {source.type!r} cannot be loaded ({error}): name another type, or install "
            "the program again",
            permanent=True,
        ) from None
    finally:
        logging.disable(logging.NOTSET)
    # Scrapy set its own loggers to DEBUG, where posts are printed; its scraper prints them, and what broke on them, even as errors.
    logging.getLogger("scrapy").setLevel(settings["LOG_LEVEL"])
    logging.getLogger("scrapy.core.scraper").setLevel(logging.CRITICAL)
    task = process.crawl(
        crawler,
        source=source.name,
        options=source.options,
        cursor=cursor,
        now=began,
        overlap=source.overlap,
        recent=recent,
        author_key=hide,
        kind=source.kind,
    )
    if into is not None:
        end = _end_with_sample(crawler, into)
        crawler.signals.connect(end, signals.item_scraped)
    if progress:
        count = _counting(progress)  # held here, since signals hold weakly
        crawler.signals.connect(count, signals.item_scraped)
    cut_short = _run(process, crawler, source.time_limit)
    broke = task.exception() if task.done() else None
    if isinstance(broke, MonitorError):
        raise broke
    if broke:
        raise CrawlError(
            f"the crawl of {source.name} could not begin ({type(broke).__name__}: {broke}): `forum-monitor check` looks "
            "its settings through"
        ) from broke
    return crawler, *_judged(source, crawler, cut_short)


def _counting(progress: Callable[[int, int], None]) -> Callable[..., None]:
    """A handler of items that says how many there were. To be held while it runs."""
    numbers = itertools.count(1)

    def count() -> None:
        progress(next(numbers), 0)

    return count


def _end_with_sample(crawler: Crawler, posts: list[Post]) -> Callable[..., None]:
    """A handler of items that puts posts into `posts` and ends the crawl with the last one wanted. To be held while it runs."""
    ending = []

    def take(item: Post | Gone) -> None:
        if isinstance(item, Post) and len(posts) < SAMPLE:
            posts.append(item)
            if len(posts) == SAMPLE:
                ending.append(asyncio.ensure_future(crawler.engine.close_spider_async(reason=_SAMPLED)))

    return take


def _run(process: AsyncCrawlerProcess, crawler: Crawler, time_limit: float) -> str | None:
    """Run the crawl to its end. Returns "stopped" or "timed out" when a signal or the time limit ended it here."""
    # Not before AsyncCrawlerProcess has chosen which reactor it is; its type is known at run time only.
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    cut_short: list[str] = []
    stopping = []

    def abandon() -> None:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would lament every request left behind
        crawler.signals.send_catch_log(signals.spider_idle)  # spiders/storing.py then stores its last batch
        with contextlib.suppress(ReactorNotRunning):  # it has stopped by itself meanwhile
            reactor.stop()

    def stop(reason: str) -> None:
        if not cut_short:
            cut_short.append(reason)
            stopping.append(loop.create_task(process.stop()))
            loop.call_later(GRACE, abandon)

    loop = asyncio.get_event_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, "stopped")
    # CLOSESPIDER_TIMEOUT ends a crawl gently, and waits for its requests; this one is for those that never end.
    loop.call_later(time_limit + GRACE, stop, "timed out")
    process.start(install_signal_handlers=False)
    return cut_short[0] if cut_short else None


def _judged(
    source: Source, crawler: Any, cut_short: str | None
) -> tuple[CrawlResult, Mapping[str, Any] | None, tuple[dt.datetime, dt.datetime] | None]:
    spider, stats = crawler.spider, crawler.stats
    ended = stats.get_value("finish_reason")
    store_error = stats.get_value("store_error")
    told = [store_error] if store_error else []
    if store_error:
        reason = "failed"
    elif cut_short == "timed out" or ended == "closespider_timeout":
        reason = "timed out"
        told.append(
            f"the time limit of {source.time_limit:.0f} s ended it; what was read is stored, and the next crawl begins again from the "
            f"last finished one: if that repeats, raise sources.{source.name}.time_limit (or lower first_days)"
        )
    elif cut_short or ended == "shutdown":
        reason = "stopped"
        told.append("stopped before its end; what was read is stored")
    elif spider.failures:
        reason = spider.failures[0][0]
    elif (ended == "finished" and spider.covered) or ended in (_SAMPLED, "closespider_pagecount"):  # those end a dry run only
        reason = "finished"
    else:
        reason = "failed"
        told.append(f"it ended ({ended}) before all that was due was read")
    told.append(spider.summary())
    result = CrawlResult(
        finish_reason=reason,
        counts=Counts(**{name: stats.get_value(f"posts/{name}", 0) for name in ("new", "changed", "unchanged", "deleted")}),
        rejected=sum(spider.rejections.values()),
        requests=stats.get_value("downloader/request_count", 0),
        message="; ".join(filter(None, told)),
    )
    before = {key: value for key, value in spider.cursor.items() if key != "not_before"}
    stay_away = {"not_before": spider.not_before} if spider.not_before else {}
    cursor: Mapping[str, Any] | None = None
    if reason == "finished":
        cursor = {**spider.next_cursor, **stay_away}
    elif spider.independent and ended == "finished" and not store_error and not spider.crashed:
        cursor = {**before, **spider.next_cursor, **stay_away}
    elif stay_away:
        cursor = {**before, **stay_away}
    return result, cursor, spider.covered if reason == "finished" else None
