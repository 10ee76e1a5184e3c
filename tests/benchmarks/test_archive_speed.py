"""Pages and questions over an archive of ten million rows: a thousand days of a hundred teams."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

import numpy as np
import pyarrow as pa
from test_web_team import MODEL, TOKEN, asked

from monitor import clock
from monitor.archive.fold import fold
from monitor.archive.layout import EVIDENCE, FIGURES, POSTS, Root
from monitor.archive.reading import Archives, lying_at
from monitor.config import load
from monitor.store import Store
from monitor.web import app
from monitor.web.routes import ROUTES

DAYS, ROWS, TEAMS = 1000, 10_000, 100
LAST = dt.date(2024, 9, 26)
ADDRESSES = (
    "/", "/team/team5", f"/team/team5?from={LAST}&to={LAST}", "/team/team5?to=2023-05-01",
    "/team/team5?source=hn&label=negative&language=fr", "/team/team5?language=xx", "/compare", "/sources",
)  # fmt: skip
QUESTIONS = (
    "SELECT count(*) FROM posts WHERE day BETWEEN '2023-05-01' AND '2023-05-28' AND label = 'negative'",
    "SELECT team, count(*), avg(value) FROM posts GROUP BY 1",
    "SELECT day, mean FROM figures WHERE team = 'team5' AND source = '*'",
)


def _day(day: dt.date, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Made posts of a day, and figures that are as many as theirs."""
    begin = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
    value = rng.uniform(-1, 1, ROWS)
    ids = [str(day.toordinal() * ROWS + n) for n in range(ROWS)]
    made: dict[str, Any] = {
        "source": rng.choice(["hn", "board", "forum"], ROWS), "native_id": ids,
        "url": [f"https://forum.example/item?id={each}" for each in ids],
        "thread_id": [str(n // 7) for n in range(ROWS)], "posted_at": (np.sort(rng.integers(0, 86400, ROWS)) + begin) * 1000,
        "kind": ["import"] * ROWS, "language": rng.choice(["en", "fr", "zh"], ROWS),
        "author_key": rng.bytes(16 * ROWS).hex(" ", 16).split(" "),
        "team": [f"team{n}" for n in rng.integers(0, TEAMS, ROWS)], "value": value, "model": [MODEL] * ROWS,
        "label": np.select([value < -0.3, value > 0.3], ["negative", "positive"], "neutral"), "repost": rng.random(ROWS) < 0.03,
    }  # fmt: skip
    posts = pa.table(
        [pa.array(made[field.name]).cast(field.type) if field.name in made else pa.nulls(ROWS, field.type) for field in POSTS], POSTS
    )
    each = dict.fromkeys(FIGURES.names, 1.0) | {
        "day": day.isoformat(),
        "source": "*",
        "model": MODEL,
        "posts": 100,
        "authors": 90,
        "threads": 50,
    }
    return posts, pa.Table.from_pylist([each | {"team": f"team{n}"} for n in range(TEAMS)], FIGURES)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config.yaml beside a store with an archive's days folded."""
    folder = tmp_path_factory.mktemp("site")
    root, rng = Root(str(folder / "archive")), np.random.default_rng(7)
    days = [LAST - dt.timedelta(days=n) for n in range(DAYS)]
    for day in days:
        posts, figures = _day(day, rng)
        for file, table in (("posts", posts), ("figures", figures), ("evidence", EVIDENCE.empty_table())):
            root.write_table(root.day("big", "r", day.isoformat(), f"{file}.parquet"), table)
        manifest = {"digest": str(day), "posts": ROWS, "sources": {"hn": ROWS}, "teams": {f"team{n}": 100 for n in range(TEAMS)}}
        root.write_json(root.day("big", "r", day.isoformat(), "manifest.json"), manifest)
    told = {"run": "r", "model": MODEL, "reader": "r", "sources": ["hn", "board", "forum"], "words": False, "inputs": []}
    root.write_json(root.path("big", "current.json"), told | {"first": str(days[-1]), "last": str(LAST)})
    teams = [{"id": f"team{n}", "name": f"Team {n}"} for n in range(TEAMS)]
    (folder / "config.yaml").write_text(yaml.safe_dump({"database": "monitor.db", "teams": teams}), "utf-8")
    with Store(folder / "monitor.db") as store:
        fold(store, root, "big", min_authors=5, now=dt.datetime.now(dt.UTC))
    return folder


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_pages_over_an_archive(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each page takes, the second time that it is asked for."""
    monkeypatch.setenv(clock.REPLAY, f"{LAST}T12:00:00+00:00")
    pages = app.application(load(site / "config.yaml")[0], app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), TOKEN), ROUTES)

    async def visit(client: httpx.AsyncClient) -> None:
        for address in ADDRESSES:
            assert (await client.get(address)).status_code == 200
            begin = time.perf_counter()
            posts = (await client.get(address)).text.count("archive big")
            print(f"{address}: {time.perf_counter() - begin:.2f} s, {posts} posts of the archive")

    asked(pages, visit)


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_questions_to_an_archive(site: Path) -> None:
    """What SQL over a month of it, and over all of it, takes."""
    begin = time.perf_counter()
    with Archives(lying_at(str(site / "archive")), min_authors=5) as archives:
        print(f"opened: {time.perf_counter() - begin:.2f} s")
        for question in QUESTIONS:
            begin = time.perf_counter()
            rows = archives.query(question)
            print(f"{question}: {time.perf_counter() - begin:.2f} s, {len(rows)} rows")
