"""What years of archives take: both engines on the same posts, the filter alone, memory by the number of posts, and a billion on paper.

Run by its name: `pytest -n0 -s -m benchmark tests/benchmarks/scale.py`. FORUM_MONITOR_POSTS: the most posts of the memory test.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import archives
import psutil
import pytest

from monitor.archive import work
from monitor.archive.backfill import backfill
from monitor.archive.engines import Engine, Local
from monitor.archive.finding import candidates
from monitor.archive.inputs import plan
from monitor.archive.job import Job, Scored, Split, Tally
from monitor.archive.layout import Root
from monitor.archive.ray import RayEngine
from monitor.config import Scorer
from monitor.mentions import Finder
from monitor.privacy import AuthorKeys
from monitor.records import Mention
from monitor.sentiment import load_scorer
from monitor.understand import items_of

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]

POSTS = 100_000
MOST = int(os.environ.get("FORUM_MONITOR_POSTS", "10000000"))
SPARSE = 0.0002
"""The share of posts that name a team where only memory is looked at."""

PRICE = 0.05
"""Assumed price of an hour of one core with 4 GB in a cloud, on demand, in dollars (2026)."""

BILLION = 1_000_000_000
PASSAGES = 1.15
"""Passages that a post which names a team has."""

measured: dict[str, float] = {}
"""What the last test reckons with, of those before it."""


def job(folder: Path, splits: list[Split]) -> Job:
    scorer = load_scorer(Scorer())
    return Job(
        root=Root(str(folder)), name="hackernews", teams=archives.teams(), reader=f"{scorer.name} {Finder(archives.teams()).fingerprint}",
        scorer=Scorer(), model=scorer.name, keys=AuthorKeys(b"k" * 32, b"k" * 32), forgotten=frozenset(), gone=frozenset(),
        now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ).of(splits)  # fmt: skip


def planned(folder: Path) -> list[Split]:
    splits, problems = plan([str(folder)], source="hackernews", shape=None)
    assert not problems
    return splits


ENGINES: dict[str, Callable[[], Engine]] = {
    "local, 1 worker": lambda: Local(1),
    "local, 2 workers": lambda: Local(2),
    "ray, 1 worker": lambda: RayEngine(None, 1),
    "ray, 2 workers": lambda: RayEngine(None, 2),
}


def test_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows from both engines; two workers beside one (goal: 1.8 times); Ray beside the bare scorer (goal: 10 % more at most).

    All posts are found first, so that only the model's time counts; a worker's first chunk, in which it loads the model, does not.
    """
    monkeypatch.setattr(work, "CHUNK", 50)  # so that no worker waits long for the other's last
    archives.written(tmp_path / "given", POSTS, files=4, days=POSTS / 20_000)
    splits = planned(tmp_path / "given")
    found = job(tmp_path / "found", splits)
    for split in splits:
        list(work.find(found, split))
    rate, cost = bare(found)
    print(f"\nbare scorer on one core: {rate:.0f} passages/s, {cost:.0f} in a second of its own")
    digests = set()
    for name, make in ENGINES.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "found", folder)
        one, workers = job(folder, splits), int(name.split()[1])
        asked, passages = time.monotonic(), 0
        with make() as engine:
            ready = time.monotonic()
            for number, outcome in enumerate((each for each in engine.scored(one, splits) if isinstance(each, Scored)), 1):
                passages += outcome.scored
                if number == workers:
                    loaded, before, first = time.monotonic(), spent(), passages
            took, after = time.monotonic() - loaded, spent()
        passages -= first
        measured[name] = passages / took
        cores = sum(seconds - before.get(process, 0.0) for process, seconds in after.items())
        begun = time.monotonic()
        measured["counted"] = backfill(one, splits, Local(1), told={}).posts / (time.monotonic() - begun)
        digests.add(digest(folder))
        print(
            f"{name}: {measured[name]:.0f} passages/s, {measured[name] / rate / workers:.2f} of the bare scorer per worker; in seconds of "
            f"cores {cores / passages * cost:.2f} times it; engine after {ready - asked:.1f} s, models after {loaded - ready:.1f} s more"
        )
    print(f"sorted into days and counted: {measured['counted']:,.0f} posts/s that name a team, on one core")
    measured["bytes"] = sum(path.stat().st_size for path in (tmp_path / "local, 1 worker").rglob("*") if path.is_file()) / POSTS
    for engine_name in ("local", "ray"):
        print(
            f"{engine_name}: two workers are {measured[f'{engine_name}, 2 workers'] / measured[f'{engine_name}, 1 worker']:.2f} times one"
        )
    print(f"rows of all four are {'the same, byte for byte' if len(digests) == 1 else 'NOT THE SAME'}: {POSTS} posts")


def spent() -> dict[int, float]:
    """Seconds of cores that this process and all below it have used, by process."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = sum(process.cpu_times()[:2])
    return found


def bare(found: Job) -> tuple[float, float]:
    """Passages a second of the scorer alone, one thread, on those of all chunks; and a second that it has a core to itself."""
    paths = found.root.listed(found.path("found"), recursive=True)
    rows = [row for path in paths if path.endswith(".parquet") for row in found.root.parquet(path).read().to_pylist()]
    model = work.scorer(found)
    wanted = {}
    for row in rows:
        wanted |= dict(items_of(model, row["text"], [Mention(**each) for each in row["named"]]).values())
    items = list(wanted.values())
    model.score(items[:10])
    begun, used = time.monotonic(), time.process_time()
    for start in range(0, len(items), 100):
        model.score(items[start : start + 100])
    return len(items) / (time.monotonic() - begun), len(items) / (time.process_time() - used)


def digest(folder: Path) -> str:
    days = sorted(folder.glob("*/runs/*/days/*/*"))
    assert days
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in days)).hexdigest()


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_filter(tmp_path: Path, form: str) -> None:
    """Posts a second that one core looks through for the shipped teams. Goal: 50,000."""
    paths = archives.written(tmp_path / "given", POSTS * 2, files=1, form=form)
    splits = planned(tmp_path / "given")
    one, tally = job(tmp_path / "archive", splits), Tally()
    begun = time.process_time()
    for split in splits:
        for _ in candidates(split, one, tally):
            pass
    rate = tally.rows / (time.process_time() - begun)
    measured[form], measured[f"{form} bytes"] = rate, paths[0].stat().st_size / tally.rows
    print(f"\nfilter on {form}: {rate:,.0f} posts/s a core; {tally.rows} posts, {tally.named} name one of {len(one.teams)} teams")


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """The most memory that a process below this one had, in bytes, by what it is; asked four times a second."""
    most: dict[str, int] = defaultdict(int)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    for step in ("_find", "_Model", "_step"):
                        if step in process.name():
                            most[step] = max(most[step], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def test_memory(tmp_path: Path) -> None:
    """Resident memory of Ray's workers at its peak, from one to ten million posts. Goal: 1.2 GB at most, and flat."""
    for posts in sorted({MOST // 10, MOST}):
        archives.written(tmp_path / str(posts), posts, files=math.ceil(posts / 500_000), form="parquet", rate=SPARSE, days=posts / 100_000)
        splits = planned(tmp_path / str(posts))
        one = job(tmp_path / f"archive {posts}", splits)
        begun = time.monotonic()
        with watched() as most:
            done = backfill(one, splits, RayEngine(None, 2), told={})
        took = time.monotonic() - begun
        told = ", ".join(f"{step} {size / 2**20:.0f} MB" for step, size in sorted(most.items()))
        driver = psutil.Process().memory_info().rss / 2**20
        print(f"\n{posts:,} posts, {done.tally.named} name a team, 2 workers, {took:.0f} s; at most {told}; this process {driver:.0f} MB")


def test_a_billion_on_paper() -> None:
    """Workers, hours, bytes and money for a billion posts, by what the tests before measured."""
    scoring = BILLION * archives.RATE * PASSAGES / measured["ray, 1 worker"] / 3600
    hours = scoring + (BILLION / measured["parquet"] + BILLION * archives.RATE / measured["counted"]) / 3600
    print(f"\na billion posts of which {archives.RATE:.0%} name a team: {hours:,.0f} hours of a core, {scoring:,.0f} of them the model's;")
    print(f"${hours * PRICE:,.0f} at ${PRICE} an hour; read {BILLION * measured['parquet bytes'] / 1e9:,.0f} GB of Parquet")
    print(f"or {BILLION * measured['jsonl bytes'] / 1e9:,.0f} GB of JSON lines; an archive of {BILLION * measured['bytes'] / 1e9:,.1f} GB")
    for workers in (2, 16, 64, 256):
        print(f"  {workers:>4} workers: {hours / workers:>6,.1f} hours")
