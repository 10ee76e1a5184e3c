"""How long every address of the pages takes on three years and a million posts, and how much it sends; and a report of a week."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import statistics
import time
from pathlib import Path

import httpx
import pytest
import years

from monitor import clock
from monitor.config import Config, load
from monitor.records import ALL
from monitor.store import Counts, DigestOf, Step, Store
from monitor.web import app
from monitor.web.routes import ROUTES

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

POSTS = 1_000_000
NOW = dt.datetime.combine(years.LAST, dt.time(12), dt.UTC)
PATHS = (
    "/", "/alerts", "/alerts?team=meta-genai", "/sources", "/about", "/store", "/store/v_daily", "/store/v_daily?team=meta-genai",
    "/store/v_posts", "/store/v_posts?team=meta-genai", "/store/v_posts?team=bytedance-seed", "/store/v_posts?_facet=label",
    "/store/v_alerts", "/store/v_coverage", "/store/v_coverage?source=reddit", "/-/health", "/metrics", "/team/meta-genai",
    "/team/meta-genai?days=all", "/team/meta-genai?label=negative&language=fr", "/team/meta-genai?words=cafe",
    "/team/meta-genai?to=2023-01-01", "/team/meta-genai/why?day=2025-01-24", "/compare?team=meta-genai&team=deepseek",
    "/chart/team/meta-genai.json?days=28", "/chart/team/meta-genai.json?days=all", "/chart/team/meta-genai.svg",
    "/chart/compare.json?team=meta-genai&team=deepseek&days=all",
)  # fmt: skip


def _lived_in(config: Config) -> None:
    """Crawls every hour of a month, and some hundreds of alerts."""
    with Store(config.database) as store:
        if store.alerts_between(dt.date.min, years.LAST):
            return
        for hour in range(30 * 24):
            at = NOW - dt.timedelta(hours=hour)
            for source in years.SOURCES:
                store.end_crawl(store.begin_crawl(source, at), at, finish_reason="finished", counts=Counts(), covered=(at, at))
        steps = []
        figures = {"value": -0.3, "before": 0.1, "threshold": 0.2, "low": -0.5, "high": -0.1, "authors": 12, "posts": 15}
        for number in reversed(range(600)):
            day = years.LAST - dt.timedelta(days=number)
            head = ("fall", "drop", ("meta-genai", "deepseek", "openai")[number % 3], ALL, years.MODEL)
            steps.append(Step(*head, "firing", day, day, 0, ("normal", "firing", day, "It fell."), figures))
            over = min(day + dt.timedelta(days=2), years.LAST)
            steps.append(Step(*head, "resolved", over, over, 0, ("firing", "resolved", over, "It is back.")))
        store.save_steps(steps, targets=[], at=NOW)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """$FORUM_MONITOR_YEARS names a folder where the store is kept from one run to the next."""
    folder = Path(os.environ.get("FORUM_MONITOR_YEARS") or tmp_path_factory.mktemp("years"))
    path = folder / "config.yaml" if (folder / "monitor.db").exists() else years.built(folder, POSTS)
    config, _ = load(path)
    _lived_in(config)
    return config


def test_every_address(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints the median wall and processor time of five answers and the bytes sent (goals: 300 ms, 300 KB)."""
    monkeypatch.setenv(clock.REPLAY, NOW.isoformat())
    pages = app.application(config, app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), "-" * 20), ROUTES)

    async def visit() -> None:
        transport = httpx.ASGITransport(app=pages.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers={"accept-encoding": "gzip"}) as client:
            print()
            for address in PATHS:
                await client.get(address)
                wall, processor, size = [], [], 0
                for _ in range(5):
                    began = time.perf_counter(), time.process_time()
                    async with client.stream("GET", address) as answer:
                        size = sum([len(part) async for part in answer.aiter_raw()])
                    wall.append(time.perf_counter() - began[0])
                    processor.append(time.process_time() - began[1])
                    assert answer.status_code == 200
                told = f"{statistics.median(wall) * 1000:5.0f} ms, {statistics.median(processor) * 1000:5.0f} ms of processor"
                print(f"{address:65} {told}, {size / 1000:6.1f} KB")

    asyncio.run(visit())


def test_report_of_a_week(config: Config) -> None:
    """Prints how long it takes to gather a report of all teams and to write it, and how large it is."""
    from monitor import report

    report.page(_gathered(config))  # what is imported and made once
    began = time.perf_counter(), time.process_time()
    found = _gathered(config)
    gathered = time.perf_counter(), time.process_time()
    size = len(report.page(found).encode())
    ended = time.perf_counter(), time.process_time()
    print()
    for what, first, last in (("gathered", began, gathered), ("drawn and written", gathered, ended)):
        print(f"{what}: {last[0] - first[0]:.2f} s, {last[1] - first[1]:.2f} s of processor")
    print(f"{size / 1000:.0f} KB")


def _gathered(config: Config):  # type: ignore[no-untyped-def]
    from monitor import report

    with Store(config.database, read_only=True) as store:
        return report.gather(store, config, DigestOf("week", years.LAST - dt.timedelta(days=1)), now=NOW)
