"""What corrected figures of weeks take: a month of 100,000 posts on one team computed whole, and one changed day of it."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from pathlib import Path

import pytest

import monitor
from monitor.config import Config, Team
from monitor.store import Store
from monitor.weeks import settle

pytestmark = pytest.mark.benchmark

FIRST = dt.date(2024, 1, 1)
DAYS, POSTS = 28, 100_000
LABELS = (("negative", -0.8, 0.85, 0.1, 0.05), ("neutral", 0.0, 0.1, 0.8, 0.1), ("positive", 0.8, 0.05, 0.1, 0.85))


def _fill(store: Store, model: str) -> None:
    draw = random.Random(1)
    posts, scores = [], []
    for post in range(1, POSTS + 1):
        at = f"{FIRST + dt.timedelta(days=(post - 1) * DAYS // POSTS)}T{draw.randrange(24):02}:00:00Z"
        author, language = f"{draw.randrange(8000):032x}", draw.choice(("en", "fr", "zh"))
        posts.append((post, f"s{post % 3}", str(post), "u", str(post // 8), "t", author, at, "site", at, "voice", "h", 0, language))
        label, value, *shares = draw.choice(LABELS)
        scores.append((post, "t", model, "h", *shares, value, label, at))
    with store.writing() as connection:
        connection.executemany(
            """INSERT INTO posts (id, source, native_id, url, thread_id, text, author_key, posted_at, date_origin, fetched_at, kind,
                                  text_hash, unread, language) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)""",
            posts,
        )
        connection.executemany(
            """INSERT INTO scores (post_id, team, model, input_hash, negative, neutral, positive, value, label, scored_at)
               VALUES (?,?,?,?,?,?,?,?,?,?)""",
            scores,
        )
        connection.execute("INSERT INTO meta VALUES ('model', ?)", (model,))
    store.mark_all_dirty()


@pytest.mark.timeout(300)
def test_weeks_speed(tmp_path: Path) -> None:
    """Prints seconds: all weeks, the last day changed (one week), a day in the middle changed (seven), nothing to do."""
    weights = Path(monitor.__file__).parent / "sentiment" / "weights" / "confusion.json"
    config, last = Config(teams=(Team.model_validate({"id": "t", "name": "T"}),)), FIRST + dt.timedelta(days=DAYS - 1)
    with Store(tmp_path / "monitor.db") as store:
        _fill(store, f"m@{json.loads(weights.read_text())['revision']}")
        for what, changed in (("all", None), ("the last day", last), ("a day in the middle", last - dt.timedelta(days=13)), ("none", None)):
            if changed:
                with store.writing() as connection:
                    connection.execute("INSERT OR REPLACE INTO dirty_days VALUES (?, 't', 1)", (changed.isoformat(),))
            begun, used = time.perf_counter(), time.process_time()
            weeks = settle(store, config, last)
            took, used = time.perf_counter() - begun, time.process_time() - used
            print(f"\n{what}: {weeks} weeks, {took:.2f} s ({used:.2f} s of processor)")
