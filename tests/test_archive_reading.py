"""Archives asked in SQL and on pages: what can be asked and what cannot, and what stands where the store holds only counts."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from archived import write

from monitor.archive.layout import Root
from monitor.archive.reading import Archives, lying_at
from monitor.errors import InputError
from monitor.store import Wanted

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

MODEL = "m@1"
LABELS = {-0.7: "negative", 0.0: "neutral", 0.7: "positive"}


def said(number: int, day: str, team: str = "alpha", value: float = -0.7, **more: Any) -> dict[str, Any]:
    """A row of POSTS: the author, id and minute of the day are the number's."""
    at = dt.datetime.fromisoformat(f"{day}T00:00:00+00:00") + dt.timedelta(minutes=number)
    row = {
        "source": "old", "native_id": str(number), "url": f"https://old.example/{number}", "thread_id": f"t{number}", "parent_id": None,
        "posted_at": at, "edited_at": None, "date_origin": "site", "kind": "import", "language": "en", "author_key": f"key-of-{number}",
        "text_hash": "h", "title": None, "text": f"{team} old words {number}", "team": team, "mentions": [{"start": 0, "end": 5}],
        "input_hash": "h", "negative": (1 - value) / 2, "neutral": 0.0, "positive": (1 + value) / 2, "value": value,
        "label": LABELS[value], "model": MODEL, "origin_source": None, "origin_id": None, "repost": False,
    }  # fmt: skip
    return row | more


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """An archive of two days on which seven people speak of alpha and two of beta, and one of another day that keeps words."""
    found = Root(str(tmp_path_factory.mktemp("archives")))
    rows = [said(n, day) for day in ("2024-03-01", "2024-03-02") for n in range(7)]
    rows += [said(10 + n, "2024-03-02", "beta", 0.7) for n in range(2)]
    write(found, "first", rows, run="r1", model=MODEL)
    write(found, "second", [said(20, "2024-04-01", value=0.0)], run="r1", model=MODEL, words=True)
    return found


@pytest.fixture(scope="module")
def archives(root: Root) -> Iterable[Archives]:
    with Archives(lying_at(root.where), min_authors=5) as found:
        yield found


def test_all_archives_are_one_set_of_tables(archives: Archives) -> None:
    """Posts of every archive under a root are asked together, days and times as text, as the store has them."""
    rows = archives.query("SELECT archive, day, count(*) AS n, max(posted_at) AS last FROM posts GROUP BY ALL ORDER BY day")
    assert [(row["archive"], row["day"], row["n"]) for row in rows] == [
        ("first", "2024-03-01", 7), ("first", "2024-03-02", 9), ("second", "2024-04-01", 1),
    ]  # fmt: skip
    assert rows[0]["last"] == "2024-03-01T00:06:00Z"
    evidence = archives.query("SELECT count(*) AS n, count(text) AS words FROM evidence WHERE archive = 'first'")[0]
    assert evidence["words"] == evidence["n"] > 0


def test_small_groups_and_author_keys_do_not_come_out(archives: Archives) -> None:
    """Of fewer than five people counts are told and no figure, however it is asked; an author's key is in no table at all."""
    rows = archives.query("SELECT team, authors, mean, sufficient FROM figures WHERE source = '*' AND day = '2024-03-02' ORDER BY team")
    assert [(row["team"], row["authors"], row["mean"] is None, row["sufficient"]) for row in rows] == [
        ("alpha", 7, False, True), ("beta", 2, True, False),
    ]  # fmt: skip
    for table in archives.query("SHOW TABLES"):
        for column, told in archives.query(f"SELECT * FROM {table['name']} LIMIT 1000")[0].items():
            assert "key" not in column and "key-of" not in str(told)
    with pytest.raises(InputError, match="mean"):
        archives.query("SELECT mean FROM figures_withheld")


def test_only_the_days_asked_for_are_read(root: Root, tmp_path: Path) -> None:
    """A question on a day opens that day's files alone: what lies broken beside them does not matter to it, and is told when it does."""
    with Archives(lying_at(root.where), min_authors=5) as found:
        broken = Path(root.day("first", "r1", "2024-03-01", "posts.parquet"))
        whole = broken.read_bytes()
        broken.write_bytes(b"nothing")
        try:
            for asked in ("day = '2024-03-02'", "day >= DATE '2024-03-02'", "day BETWEEN '2024-03-02' AND '2024-03-09'"):
                assert found.query(f"SELECT count(*) AS n FROM posts WHERE archive = 'first' AND {asked}") == [{"n": 9}]
            with pytest.raises(InputError, match="cannot be read"):
                found.query("SELECT max(value) FROM posts")
        finally:
            broken.write_bytes(whole)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("CREATE TABLE x AS SELECT 1", "write one SELECT"),
        ("SELECT 1; SELECT 2", "write one SELECT"),
        ("", "write one SELECT"),
        ("COPY posts TO 'out.csv'", "write one SELECT"),
        ("SET memory_limit = '9GB'", "write one SELECT"),
        ("ATTACH 'x.db'", "write one SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "would reach for files"),
        ("SELECT * FROM 'x.parquet'", "would reach for files"),
        ("SELECT * FROM glob('*')", "would reach for files"),
        ("SELECT nothing FROM posts", r"the query failed(.|\n)*--archive --tables"),
        ("SELEKT", "the query failed"),
    ],
)
def test_a_question_reads_and_does_nothing_else(archives: Archives, sql: str, told: str, tmp_path: Path) -> None:
    """Whatever is asked, no file is read or written by the asking, and why it was refused is a sentence."""
    with pytest.raises(InputError, match=told):
        archives.query(sql)


def test_a_question_ends_in_time(archives: Archives) -> None:
    """One that would run for hours is stopped, and the next one is answered."""
    with pytest.raises(InputError, match=r"stopped after 0\.1 s"):
        archives.query("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3", seconds=0.1)
    assert archives.query("SELECT 1 AS one") == [{"one": 1}]


def test_an_answer_is_no_larger_than_it_may_be(archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that together would fill the memory, which DuckDB does not count as its own, are not taken."""
    monkeypatch.setattr("monitor.archive.reading.MOST", 1000)
    with pytest.raises(InputError, match="the answer is larger than"):
        archives.query("SELECT repeat('x', 100 + range) FROM range(20)")
    assert len(archives.query("SELECT repeat('x', 100 + range) FROM range(20)", limit=5)) == 5


def test_words_are_found_where_they_are_kept(archives: Archives) -> None:
    """An archive that keeps words is searched by them, without regard to case and accents; all of them must be there."""
    assert [row["text"] for row in archives.team_posts("alpha", Wanted(words="ÓLD alpha"))] == ["alpha old words 20"]
    assert archives.team_posts("alpha", Wanted(words="old nothing")) == []


def test_where_archives_lie(tmp_path: Path, root: Root) -> None:
    """A folder of archives and an archive's own folder are both taken; where none is, that is a sentence. One without posts has no rows."""
    assert [each.name for each in lying_at(root.where)] == ["first", "second"]
    assert [each.name for each in lying_at(f"{root.where}/second/")] == ["second"]
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="there is no finished archive in"):
            lying_at(str(place))
    told = {"run": "r", "model": MODEL, "reader": "", "sources": [], "first": "", "last": "", "words": False, "inputs": []}
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "current.json").write_text(json.dumps(told))
    with Archives(lying_at(str(tmp_path)), min_authors=5) as found:
        assert found.query("SELECT count(*) AS n FROM figures") == [{"n": 0}]
