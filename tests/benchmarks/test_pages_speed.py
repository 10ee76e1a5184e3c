"""How long the pages of teams take on three years and a million posts, and how much they send."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

import httpx
import pytest
import years

from monitor import clock
from monitor.config import load
from monitor.web import app
from monitor.web.routes import ROUTES

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

POSTS = 1_000_000
PATHS = (
    "/", "/team/meta-genai", "/team/meta-genai?days=all", "/team/meta-genai?label=negative&language=fr", "/team/meta-genai?words=cafe",
    "/team/meta-genai?to=2023-01-01", "/team/meta-genai/why?day=2025-01-24", "/chart/team/meta-genai.json?days=28",
    "/chart/team/meta-genai.json?days=all", "/chart/team/meta-genai.svg", "/compare?team=meta-genai&team=deepseek",
    "/chart/compare.json?team=meta-genai&team=deepseek&days=all",
)  # fmt: skip


def test_pages_of_a_million_posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints the median wall and processor time of five answers, and the bytes sent (goals: 300 ms, 300 KB).

    $FORUM_MONITOR_YEARS names a folder where the store is kept from one run to the next.
    """
    folder = Path(os.environ.get("FORUM_MONITOR_YEARS", tmp_path))
    path = folder / "config.yaml" if (folder / "monitor.db").exists() else years.built(folder, POSTS)
    monkeypatch.setenv(clock.REPLAY, f"{years.LAST}T12:00:00Z")
    pages = app.application(load(path)[0], app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), "-" * 20), ROUTES)

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
