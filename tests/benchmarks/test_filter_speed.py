"""How many posts of an archive a second are read and looked at for every shipped team, by one core."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pa = pytest.importorskip("pyarrow")
pytest.importorskip("zstandard")
pytest.importorskip("fsspec")

import pyarrow.parquet as pq  # noqa: E402

from monitor.archive.finding import candidates  # noqa: E402
from monitor.archive.inputs import plan  # noqa: E402
from monitor.archive.job import Job, Tally  # noqa: E402
from monitor.archive.layout import Root  # noqa: E402
from monitor.config import Scorer, Team  # noqa: E402
from monitor.privacy import AuthorKeys  # noqa: E402

pytestmark = pytest.mark.benchmark

COUNT = 200_000
QUIET = (
    "Three years on this and the build is still the worst part of the job. We tried to move to something else last spring, it "
    "did not go well, and everybody said again that we should wait.<p>My manager agreed with that plan, which is at <i>least</i> "
    "something &quot;new&quot;. Anyway, it&#x27;s back to work: the tests are red since Friday."
)


def _row(number: int, named: int, curly: bool) -> dict[str, Any]:
    text = QUIET[number % 20 :] if number % named else f"{QUIET[:200]} I think that OpenAI did well."
    return {
        "id": number, "type": "comment", "by": f"user{number % 5000}", "time": 1_600_000_000 + number * 60, "parent": number - 1,
        "title": None, "url": None, "deleted": None, "dead": None, "text": text.replace("&#x27;", "’") if curly else text,
    }  # fmt: skip


def _lines(rows: list[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _table(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize(("write", "ending"), [(_lines, "jsonl"), (_table, "parquet")])
def test_filter_speed(tmp_path: Path, write: Callable[[list[dict[str, Any]], Path], None], ending: str) -> None:
    """Comments of about 300 characters of HTML: one in 50 names a team; the same with a curly apostrophe; and one in five names one."""
    config = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text("utf-8"))
    teams = tuple(Team.model_validate(team) for team in config["teams"])
    keys, none, now = AuthorKeys(b"k" * 32, b"k" * 32), frozenset(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    job = Job(Root(str(tmp_path)), "a", teams, "r", Scorer(), "m", keys, none, none, now)
    print()
    for named, curly in ((50, False), (50, True), (5, False)):
        path = tmp_path / f"{named}{curly}.{ending}"
        write([_row(number, named, curly) for number in range(1, COUNT + 1)], path)
        splits, _ = plan([str(path)], source=None, shape=None)
        tally, begun = Tally(), time.process_time()
        for split in splits:
            for _ in candidates(split, job, tally):
                pass
        took = time.process_time() - begun
        what = f"one in {named} names a team{', beyond ASCII' if curly else ''}"
        print(f"filter: {tally.rows / took:9,.0f} posts/s of {ending}, {what} ({tally.named:,} handed on of {tally.rows:,})")
