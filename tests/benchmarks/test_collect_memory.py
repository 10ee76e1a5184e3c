"""What a crawl child takes, however much it reads: its peak memory, against a server on this machine and without a delay."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from answers import NOW, ROOT, TERMS, Answer, Site, as_json

from monitor.store import Store

pytestmark = pytest.mark.benchmark

SIZES = (20_000, 100_000)
END = int(dt.datetime.fromisoformat(NOW).timestamp())
WORDS = "The reorganisation was announced on a Friday, and nobody in our team knows yet who they will report to. " * 4

CHILD = """
import json, sys
from pathlib import Path
from monitor.collect import collect
from monitor.config import Config, Source
source = Source(name="s", delay=0, **json.loads(sys.argv[2]))
result = collect(Config(database=Path(sys.argv[1]), sources=(source,)), source)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(result.finish_reason, result.counts.new, int(peak) // 1024)
"""


def hacker_news(total: int, path: str) -> Answer:
    """Windows of 1000 hits of `total`, each with what the real search sends along."""
    bounds = parse_qs(urlsplit(path).query)["numericFilters"][0].split(",")
    newest = min(END, int(bounds[1].removeprefix("created_at_i<")) - 1)
    numbers = range(newest, max(newest - 1000, END - total), -1)
    hits = [
        {
            "objectID": str(n), "created_at_i": n, "author": f"author{n % 999}", "comment_text": f"<p>{WORDS}", "story_id": n // 50,
            "parent_id": n - 1, "story_title": "A story", "_tags": ["comment"],
            "_highlightResult": {"comment_text": {"value": WORDS, "matchLevel": "none"}},
        }
        for n in numbers
    ]  # fmt: skip
    return as_json({"hits": hits, "nbHits": newest - (END - total)})


def discourse(total: int, path: str) -> Answer:
    """Pages of 50 of `total` posts."""
    before = int(parse_qs(urlsplit(path).query).get("before", [str(total + 1)])[0])
    posts = [
        {
            "id": n, "username": f"author{n % 999}", "created_at": dt.datetime.fromtimestamp(END - total + n, dt.UTC).isoformat(),
            "cooked": f"<p>{WORDS}</p>", "post_number": 2, "topic_id": n // 50, "topic_slug": "topic", "topic_title": "A topic",
        }
        for n in range(before - 1, max(0, before - 51), -1)
    ]  # fmt: skip
    return as_json({"latest_posts": posts})


@pytest.mark.parametrize(
    ("spider", "path", "answer"), [("hackernews", "/api/search_by_date", hacker_news), ("discourse", "/posts.json", discourse)]
)
@pytest.mark.timeout(1800)
def test_a_crawl_child(tmp_path: Path, spider: str, path: str, answer: Callable[[int, str], Answer]) -> None:
    """Prints the peak resident memory of crawls of 20,000 and 100,000 posts into an empty database (to be at most 150 MB, and the same)."""
    database = tmp_path / "monitor.db"
    with Store(database):
        pass  # its making, which brings in pandas, is not the crawl's
    for posts in SIZES:
        with Site({path: partial(answer, posts)}) as site:
            places = {"hackernews": {"api": f"{site.url}/api", "items": f"{site.url}/v0"}, "discourse": {"url": site.url}}
            source = json.dumps({"type": spider, "terms": TERMS, "options": {**places[spider], "refresh_limit": 0}})
            begun = time.perf_counter()
            words = [sys.executable, "-P", "-c", CHILD, str(database), source]
            environment = {"PYTHONPATH": str(ROOT), "FORUM_MONITOR_NOW": NOW}
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            reason, count, peak = done.stdout.split()
            assert (reason, count) == ("finished", str(posts)), done.stdout + done.stderr
            print(f"\n{spider}: {posts} posts in {time.perf_counter() - begun:.1f} s, peak {peak} MB (to be at most 150)")
        with sqlite3.connect(database) as connection:
            connection.executescript("DELETE FROM posts; DELETE FROM crawls;")
        connection.close()
