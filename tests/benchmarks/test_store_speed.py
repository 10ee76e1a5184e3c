"""What the store takes: new posts, posts known already, deletions, and what is asked at every round."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.records import Gone, Mention, Post, Score, text_hash
from monitor.store import Reading, Store

pytestmark = pytest.mark.benchmark

POSTS, BATCH = 50_000, 500
FIRST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def _posts() -> list[Post]:
    """Posts of 10 to 120 words whose frequencies fall as those of a language do, one in five with a letter beyond ASCII."""
    draw = random.Random(1)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    words = draw.choices(vocabulary, weights, k=POSTS * 65)
    found, at = [], 0
    for number in range(POSTS):
        count = draw.randint(10, 120)
        text = " ".join(words[at : at + count]) + (" café" if number % 5 == 0 else "")
        at = (at + count) % (len(words) - 120)
        moment = FIRST + dt.timedelta(minutes=number)
        fields = {"thread_id": str(number // 20), "title": " ".join(words[at : at + 6]), "author_key": f"{draw.getrandbits(128):032x}"}
        found.append(Post("hn", str(number), f"https://example.org/{number}", text, moment, moment, **fields))
    return found


def test_saving_posts(tmp_path: Path) -> None:
    """Prints posts per second into a fresh file (goal: 10,000 or more), and the time of what follows on it."""
    posts = _posts()
    batches = [posts[start : start + BATCH] for start in range(0, POSTS, BATCH)]
    with Store(tmp_path / "monitor.db") as store:

        def measured(what: str, count: int, act: Callable[[], object]) -> None:
            began = time.perf_counter()
            act()
            took = time.perf_counter() - began
            print(f"{what}: {count / took:,.0f}/s ({took:.2f} s)")

        def understand() -> None:
            score = Score("m@1", 0.2, 0.3, 0.5)
            while unread := store.unread(BATCH):
                readings = [Reading(u.id, u.text_hash, "en", [Mention("a", 0, 4)], {"a": (text_hash(u.text), score)}) for u in unread]
                store.save_readings(readings, model="m@1", at=FIRST)

        print()
        measured(f"new posts, {BATCH} a batch", POSTS, lambda: [store.save_posts(batch) for batch in batches])
        measured("posts known already", POSTS, lambda: [store.save_posts(batch) for batch in batches])
        measured("readings", POSTS, understand)
        measured("deletions", 5000, lambda: store.save_posts(Gone("hn", str(number)) for number in range(0, POSTS, 10)))
        measured("purges of the index", 1, store.purge)
        measured("posts to refresh, two days of them", 1, lambda: store.recent("hn", posts[-2880].posted_at))
        measured("searches", 1, lambda: store.posts("a", search="café"))
        print(f"the file: {(tmp_path / 'monitor.db').stat().st_size / POSTS:,.0f} bytes a post")
