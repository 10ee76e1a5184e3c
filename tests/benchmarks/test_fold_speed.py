"""What folding an archive takes: 10 million scores as the figures of 1,000 days of 100 teams, with five posts for a tenth of these.

Printed: seconds of the first fold, of one that finds nothing to do, and of one after a single day has changed; the size of the store.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

from monitor.archive.fold import fold  # noqa: E402
from monitor.archive.layout import EVIDENCE, FIGURES, Current, Root  # noqa: E402
from monitor.store import Store  # noqa: E402

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

FIRST = dt.date(2020, 1, 1)
DAYS, TEAMS, SCORES = 1_000, 100, 100
SOURCES = {"*": 1.0, "hackernews": 0.6, "reddit": 0.4}
RUN, MODEL = "0" * 16, "m@1"


def made(root: Root, days: int = DAYS) -> None:
    """An archive of so many days, of figures and evidence alone."""
    rng = random.Random(1)
    for n in range(days):
        day = FIRST + dt.timedelta(days=n)
        figures = [_figure(rng, day, f"team-{team}", *of) for team in range(TEAMS) for of in SOURCES.items()]
        posts = [_post(rng, day, f"team-{team}", number) for team in range(0, TEAMS, 10) for number in range(5)]
        root.write_table(root.day("old", RUN, str(day), "figures.parquet"), pa.Table.from_pylist(figures, FIGURES))
        root.write_table(root.day("old", RUN, str(day), "evidence.parquet"), pa.Table.from_pylist(posts, EVIDENCE))
        finished(root, day, "1")
    last = FIRST + dt.timedelta(days=days - 1)
    current = Current(RUN, MODEL, "reader", ("hackernews", "reddit"), str(FIRST), str(last), words=False, inputs=())
    root.write_json(root.path("old", "current.json"), asdict(current))


def finished(root: Root, day: dt.date, digest: str) -> None:
    counts = {source: int(TEAMS * SCORES * share) for source, share in SOURCES.items() if source != "*"}
    teams = {f"team-{team}": SCORES for team in range(TEAMS)}
    told = {"digest": digest, "posts": TEAMS * SCORES, "sources": counts, "teams": teams}
    root.write_json(root.day("old", RUN, str(day), "manifest.json"), told)


def _figure(rng: random.Random, day: dt.date, team: str, source: str, share: float) -> dict[str, Any]:
    posts = int(SCORES * share)
    voices, threads = int(0.8 * posts), int(0.3 * posts)
    return {
        "day": str(day), "team": team, "source": source, "model": MODEL, "posts": posts, "authors": voices, "threads": threads,
        "mean": rng.uniform(-0.5, 0.5), "negative_share": 0.4, "neutral_share": 0.3, "positive_share": 0.3, "voices": voices,
        "total": 0.3 * voices, "crowding": 0.05, "within_df": voices - threads, "between_df": threads - 1,
        "within_squares": 0.1 * voices, "between_squares": 0.1 * threads * rng.random(), "sizes": 0.9 * voices,
    }  # fmt: skip


def _post(rng: random.Random, day: dt.date, team: str, number: int) -> dict[str, Any]:
    key = f"{day}-{team}-{number}"
    text = f"{team} said " + " ".join(rng.choice(["model", "release", "people", "good", "bad", "think"]) for _ in range(45))
    return {
        "source": "hackernews", "native_id": key, "url": f"https://x.org/{key}", "thread_id": str(number), "kind": "import",
        "language": "en", "posted_at": dt.datetime.combine(day, dt.time(12), dt.UTC), "date_origin": "site", "author_key": key,
        "text_hash": key, "text": text, "team": team, "mentions": [{"start": 0, "end": len(team)}], "input_hash": key,
        "negative": 0.5, "neutral": 0.3, "positive": 0.2, "value": -0.3, "label": "negative", "model": MODEL,
    }  # fmt: skip


def test_fold(tmp_path: Path) -> None:
    """Print what each kind of fold takes."""
    root = Root(str(tmp_path / "archives"))
    made(root)
    with Store(tmp_path / "monitor.db") as store:
        for what in ("10 million scores", "nothing to do", "one day changed"):
            if what == "one day changed":
                finished(root, FIRST + dt.timedelta(days=DAYS // 2), "2")
            start, used = time.perf_counter(), time.process_time()
            done = fold(store, root, "old", min_authors=5, now=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
            wall, cpu = time.perf_counter() - start, time.process_time() - used
            print(f"\nfold, {what}: {wall:.1f} s ({cpu:.1f} s of one core); {done}", end="")
    print(f"\nstore: {(tmp_path / 'monitor.db').stat().st_size / 1e6:.0f} MB")
