"""What `trend` takes: a rebuild of a million scores, one changed day, and a run that finds nothing to do."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.store import Store
from monitor.trend import trend

pytestmark = pytest.mark.benchmark

FIRST = dt.date(2024, 1, 1)
DAYS, TEAMS, SOURCES = 365, 20, 3
SCORES = 1_000_000
LABELS = (("negative", -0.8, 0.85, 0.1, 0.05), ("neutral", 0.0, 0.1, 0.8, 0.1), ("positive", 0.8, 0.05, 0.1, 0.85))


def _fill(store: Store) -> None:
    """A million scores by direct inserts: two teams a post, authors who write about three posts a day."""
    draw = random.Random(1)
    posts, scores = [], []
    for post in range(SCORES // 2):
        day = FIRST + dt.timedelta(days=post * DAYS // (SCORES // 2))
        source = f"source-{post % SOURCES}"
        author = f"{draw.randrange(2000):032x}"
        posted_at = f"{day}T{draw.randrange(24):02}:00:00Z"
        posts.append((post, source, str(post), "u", str(post // 8), "t", author, posted_at, "site", posted_at, "voice", "h", 0))
        for team in draw.sample(range(TEAMS), 2):
            label, value, *shares = draw.choice(LABELS)
            scores.append((post, f"team-{team}", "m@1", "h", *shares, value, label, posted_at))
    with store.writing() as connection:
        connection.executemany(
            """INSERT INTO posts (id, source, native_id, url, thread_id, text, author_key, posted_at, date_origin, fetched_at, kind,
                                  text_hash, unread) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)""",
            posts,
        )
        connection.executemany(
            """INSERT INTO scores (post_id, team, model, input_hash, negative, neutral, positive, value, label, scored_at)
               VALUES (?,?,?,?,?,?,?,?,?,?)""",
            scores,
        )
        connection.execute("INSERT INTO meta VALUES ('model', 'm@1')")


CHILD = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
from monitor.store import Store
from monitor.trend import trend
with Store(Path(sys.argv[1])) as store:
    pairs = trend(store, min_authors=5, rebuild=len(sys.argv) > 2)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
took, loaded = time.perf_counter() - begun, "loaded" if "pandas" in sys.modules else "not loaded"
print(f"{took:.2f} s with imports, {pairs} team days, peak {int(peak) / 1024:.0f} MB, pandas {loaded}")
"""


@pytest.mark.timeout(300)
def test_trend_speed(tmp_path: Path) -> None:
    """Prints seconds and peak memory, each in a process of its own: a million scores rebuilt, one changed day, nothing to do."""
    path = tmp_path / "monitor.db"
    with Store(path) as store:
        _fill(store)

    def run(what: str, *arguments: str) -> None:
        done = subprocess.run([sys.executable, "-c", CHILD, str(path), *arguments], capture_output=True, text=True, check=True)
        print(f"\n{what}: {done.stdout.strip()}", end="")

    run("rebuild of 1,000,000 scores", "rebuild")
    run("nothing to do")
    for what, teams in (("one changed day of one team", 1), (f"one changed day of {TEAMS} teams", TEAMS)):
        mark = [(f"team-{n}",) for n in range(teams)]
        with Store(path) as store:
            with store.writing() as connection:
                connection.executemany("INSERT INTO dirty_days VALUES ('2024-06-01', ?, 1)", mark)
            run(what)
            with store.writing() as connection:
                connection.executemany("INSERT INTO dirty_days VALUES ('2024-06-01', ?, 1)", mark)
            begun = time.perf_counter()
            assert trend(store, min_authors=5) == teams
            print(f"; in a process that has pandas loaded {time.perf_counter() - begun:.3f} s", end="")
