"""What leaves the store is what may: snapshots and tables, searched byte by byte for what may not."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import published
import pytest
from click.testing import CliRunner
from published import FIRST, MODEL, NOW

from monitor import cli, export, glossary, leaving
from monitor.config import Config
from monitor.errors import InputError
from monitor.privacy import withheld
from monitor.publish import metadata_path, publish
from monitor.records import CorrectedWeek
from monitor.rules import weekly
from monitor.store import Store
from monitor.store.questions import LINKS_OF_A_DAY, SNAPSHOT, questions
from monitor.store.snapshot import TABLES, VIEWS


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of the store with everything that must not leave it."""
    return published.build(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def store(config: Config) -> Iterator[Store]:
    """That store."""
    with Store(config.database, read_only=True) as store:
        yield store


@pytest.fixture(scope="module")
def snapshot(config: Config, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of it, with links, in a folder of its own that nobody may write to."""
    folder = tmp_path_factory.mktemp("published")
    publish(store, config, folder / "out.db", now=NOW, posts=True, metadata=True)
    folder.chmod(0o555)
    return folder / "out.db"


def _rows(path: Path, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """As Grafana and any other program reads it: no right to write, nothing said of it being immutable."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, parameters or {})]


def test_no_byte_tells_what_is_withheld(config: Config, store: Store, snapshot: Path, tmp_path: Path) -> None:
    """No author key, title, word of a post or of who read the terms, and no withheld figure stands in any file that is published."""
    columns = export.columns_of("daily")
    span = leaving.whole_days(NOW.date())
    export.export_csv(tmp_path / "daily.csv", export.rows_of(store, config, "daily", span), columns)
    export.export_csv(tmp_path / "alerts.csv", export.rows_of(store, config, "alerts", span), export.columns_of("alerts"))
    export.export_csv(tmp_path / "posts.csv", export.rows_of(store, config, "posts", span), export.columns_of("posts"))
    stored = config.database.read_bytes() + config.database.with_name("monitor.db-wal").read_bytes()
    assert sum(secret in stored for secret in published.secrets()) > 300, "the search finds what is there"
    for path in (snapshot, metadata_path(snapshot), *tmp_path.iterdir()):
        content = path.read_bytes()
        assert not [secret for secret in published.secrets() if secret in content], path.name


def test_figures_are_there_or_withheld_and_counts_stay(snapshot: Path) -> None:
    """Every cell of a day that is over has its counts; its figures are the store's, or none where they would tell of too few people."""
    cells = [cell for cell in published.cells() if cell.model == MODEL and cell.day < NOW.date()]
    hidden = withheld(cells, 5)
    rows = {(row["day"], row["source"]): row for row in _rows(snapshot, "SELECT * FROM daily")}
    assert len(rows) == len(cells) and hidden
    for cell in cells:
        row = rows[cell.day.isoformat(), cell.source]
        assert (row["authors"], row["posts"]) == (cell.authors, cell.posts)
        shown = (cell.day, cell.team, cell.source, cell.model) not in hidden
        assert row["sufficient"] == shown and (row["mean"], row["high"]) == ((cell.mean, cell.high) if shown else (None, None))
    assert {row["source"] for row in rows.values() if not row["sufficient"] and row["authors"] >= 5} == {"forum", "board"}


def test_a_day_that_goes_on_does_not_leave(store: Store, snapshot: Path) -> None:
    """Today's figure published twice would tell that of who came between; asking for it gives the days before."""
    assert _rows(snapshot, "SELECT max(day) AS day FROM daily")[0]["day"] == "2025-01-23"
    assert _rows(snapshot, "SELECT max(posted_at) AS at FROM posts")[0]["at"] < "2025-01-24"
    days = {row["day"] for row in leaving.daily(store, 5, leaving.whole_days(NOW.date(), dt.date(2025, 1, 22), dt.date(2025, 2, 1)))}
    assert days == {"2025-01-22", "2025-01-23"}


def test_alerts_tell_no_more_than_their_days(snapshot: Path) -> None:
    """An alert on all sources keeps its figures and sentences but the words people used; one on a source that had to be withheld, or of
    too few people, keeps neither; what tells a mean of several days is cut; alerts on the crawler are not there."""
    rows = {row["rule"]: row for row in _rows(snapshot, "SELECT * FROM alerts")}
    assert set(rows) == {"all", "long", "closed", "few", "many"}
    assert rows["all"]["value"] == -0.31425 and rows["all"]["why"] == published.MOVED.format("on 2025-01-20")
    assert rows["long"]["value"] == -0.2 and rows["long"]["why"] is None
    for rule in ("closed", "few"):
        assert rows[rule]["reason"] == leaving.WITHHELD
        assert [rows[rule][name] for name in ("value", "before", "low", "high", "why")] == [None] * 5
    assert rows["many"]["value"] == 41.0


def test_an_alert_on_corrected_weeks_tells_no_withheld_day(tmp_path: Path) -> None:
    """A week's figure less those of its shown days is that of the withheld one: of the series of such a day it does not leave."""
    config = published.build(tmp_path)
    week = CorrectedWeek(
        dt.date(2025, 1, 20), "meta-genai", "*", published.MODEL, 50, 40, 9, sufficient=True, mean=-0.31425, low=-0.4, high=-0.2,
        method="confusion", read=0,
    )  # fmt: skip
    reason = f"Sentiment is {weekly.shown(week)}."
    with Store(config.database) as store, store.writing() as connection:
        connection.execute("UPDATE alerts SET reason = ? WHERE rule = 'all'", (reason,))

    def told() -> dict[str, Any]:
        with Store(config.database, read_only=True) as store:
            span = leaving.whole_days(NOW.date())
            return next(row for row in leaving.alerts(store, 5, span) if row["rule"] == "all")

    assert (told()["value"], told()["reason"]) == (-0.31425, reason), "every day of the whole team is shown"
    with Store(config.database) as store, store.writing() as connection:
        connection.execute("UPDATE daily_trends SET authors = 4 WHERE day = '2025-01-16' AND source = '*'")
    assert told()["reason"] == leaving.WITHHELD
    assert [told()[name] for name in ("value", "before", "low", "high", "why")] == [None] * 5


def test_it_is_read_from_a_folder_that_nobody_writes_to(snapshot: Path) -> None:
    """Any program opens it read-only, leaves nothing beside it, and finds seconds since 1970 for a chart of Grafana's."""
    before = sorted(path.name for path in snapshot.parent.iterdir())
    assert _rows(snapshot, "PRAGMA journal_mode") == [{"journal_mode": "delete"}]
    assert _rows(snapshot, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    first = _rows(snapshot, "SELECT time, mean, authors FROM daily_by_time WHERE source = '*' ORDER BY time LIMIT 1")[0]
    assert first["time"] == int(dt.datetime.combine(FIRST, dt.time(), dt.UTC).timestamp()) and first["authors"] == 17
    assert _rows(snapshot, "SELECT time_end - time AS seconds FROM alerts_by_time LIMIT 1") == [{"seconds": 0}]
    assert sorted(path.name for path in snapshot.parent.iterdir()) == before == ["out.db", "out.metadata.json"]


def test_the_file_explains_itself(snapshot: Path) -> None:
    """Every column of every table and view has its meaning in the file and in Datasette's metadata; `about` says what protects whom."""
    tables = _rows(snapshot, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    told = {(row["table_name"], row["column_name"]): row["meaning"] for row in _rows(snapshot, "SELECT * FROM glossary")}
    described = json.loads(metadata_path(snapshot).read_text("utf-8"))["databases"]["out"]
    for (name,) in (row.values() for row in tables):
        columns = [row["name"] for row in _rows(snapshot, f"PRAGMA table_info({name})")]
        assert told[name, ""] and all(told[name, column] for column in columns), name
        assert list(described["tables"][name]["columns"]) == columns
    assert {row["name"] for row in tables} == {*TABLES, *VIEWS} == set(glossary.PUBLISHED)
    about = {row["name"]: row["value"] for row in _rows(snapshot, "SELECT * FROM about")}
    assert about["made_at"] == "2025-01-24T12:00:00Z" and about["last_day"] == "2025-01-23" and about["model"] == MODEL
    assert "fewer than 5 people" in about["withheld"] and "two of these files" in about["not_protected"]


@pytest.mark.parametrize("name", [*questions(SNAPSHOT), "links_of_a_day"])
def test_the_questions_in_the_metadata_have_answers(snapshot: Path, name: str) -> None:
    """Each question can be asked of the snapshot, of all and of one."""
    question = (questions(SNAPSHOT) | {"links_of_a_day": LINKS_OF_A_DAY})[name]
    empty = {"team": "", "year": "", "source": "", "day": ""}
    every = _rows(snapshot, question.sql, empty)
    assert every or name == "most_negative_days"
    one = _rows(snapshot, question.sql, empty | {"team": "meta-genai", "year": "2025", "source": "forum", "day": "2025-01-20"})
    none = _rows(snapshot, question.sql, {"team": "x", "year": "1999", "source": "x", "day": "1999-01-01"})
    assert len(one) <= max(len(every), 10) and not none
    if name == "coverage_gaps":
        assert every == one == [{"source": "forum", "first_day": "2025-01-13", "last_day": "2025-01-14", "days": 2}]


def test_the_same_store_gives_the_same_bytes(config: Config, store: Store, snapshot: Path, tmp_path: Path) -> None:
    """A snapshot takes the place of an older one; made at the same moment it is the same to the last bit."""
    for _ in range(2):
        publish(store, config, tmp_path / "again.db", now=NOW, posts=True)
        assert (tmp_path / "again.db").read_bytes() == snapshot.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.db"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "again.db").stat().st_mode) == 0o666 & ~umask


def test_nothing_else_is_written_over(config: Config, store: Store, tmp_path: Path) -> None:
    """The store itself, another program's file, a folder, and a snapshot that somebody writes to stay as they are."""
    (tmp_path / "mine.db").write_bytes(b"mine")
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as theirs:
        theirs.execute("CREATE TABLE t (x)")
    publish(store, config, tmp_path / "busy.db", now=NOW)
    (tmp_path / "busy.db-wal").write_bytes(b"x")
    for name, why in (
        (config.database, "the store itself"), ("mine.db", "no `forum-monitor publish` wrote it"), ("theirs.db", "wrote it"),
        (".", "not a file"), ("busy.db", "being written"), ("no/such/out.db", "cannot be written"),
    ):  # fmt: skip
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match=why):
            publish(store, config, tmp_path / name, now=NOW)
        assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "mine.db").read_bytes() == b"mine"


def test_links_name_nobody_and_quote_only_when_asked(config: Config, store: Store, snapshot: Path, tmp_path: Path) -> None:
    """By default there are no posts; links have no score and no address with a user's name; excerpts are masked, and need a length."""
    publish(store, config, tmp_path / "out.db", now=NOW)
    assert "posts" not in {row["name"] for row in _rows(tmp_path / "out.db", "SELECT name FROM sqlite_master")}
    rows = _rows(snapshot, "SELECT * FROM posts")
    assert rows and {row["url"].rpartition("/")[0] for row in rows} == {"https://forum.example/t"}
    assert set(rows[0]) == {"posted_at", "source", "kind", "language", "team", "url"}
    publish(store, config, tmp_path / "texts.db", now=NOW, texts=True)
    quoted = [row["excerpt"] for row in _rows(tmp_path / "texts.db", "SELECT excerpt FROM posts")]
    assert len(quoted) == len(rows) and all(text.startswith("My words number") and "@mail" not in text for text in quoted)
    silent = config.model_copy(update={"privacy": config.privacy.model_copy(update={"excerpt": 0})})
    with pytest.raises(InputError, match=r"privacy\.excerpt is 0"):
        publish(store, silent, tmp_path / "none.db", now=NOW, texts=True)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.example"])
def test_only_addresses_of_the_web_leave(tmp_path: Path, url: str) -> None:
    """What a post's site gave as its address may be anything, and a snapshot's reader may make a link of it."""
    config = published.build(tmp_path)
    with Store(config.database) as store, store.writing() as connection:
        before = len(list(leaving.links(store, leaving.whole_days(NOW.date()))))
        connection.execute("UPDATE posts SET url = ? WHERE id = 1", (url,))
        links = list(leaving.links(store, leaving.whole_days(NOW.date())))
    assert len(links) == before - 1 and url not in {row["url"] for row in links}


def test_export_writes_what_publish_does(config: Config, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSV from the command line holds the snapshot's rows of the days and team asked for, to a file or a pipe."""
    monkeypatch.setenv("FORUM_MONITOR_NOW", "2025-01-24T12:00:00Z")
    words = ["--config", str(config.path), "export"]
    shell = CliRunner()
    done = shell.invoke(cli.main, [*words, str(tmp_path / "daily.csv"), "--since", "2025-01-20", "--team", "Meta GenAI"])
    assert done.exit_code == 0 and "rows of daily" in done.output, done.output
    with (tmp_path / "daily.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = _rows(snapshot, "SELECT * FROM daily WHERE day >= '2025-01-20' ORDER BY day, team, source")
    assert rows == [{name: "" if value is None else str(value) for name, value in row.items()} for row in wanted]
    piped = shell.invoke(cli.main, [*words, "-", "--what", "coverage", "--until", "2025-01-10"]).output.splitlines()
    assert piped[0] == "day,source,posts,covered" and all(line.startswith("2025-01-10,") for line in piped[1:])
    for more, why in ((["x.txt"], "ends in neither"), (["x.csv", "--texts"], "--texts is for"), (["x.csv", "--team", "nobody"], "no team")):
        refused = shell.invoke(cli.main, [*words, *more])
        assert refused.exit_code == 2 and why in refused.output, refused.output


def test_a_cell_is_never_a_formula(tmp_path: Path) -> None:
    """What a spreadsheet would compute is text there; numbers stay numbers."""
    export.export_csv(tmp_path / "x.csv", [{"a": "=1+1", "b": -0.5, "c": None}], ["a", "b", "c"])
    assert (tmp_path / "x.csv").read_text("utf-8") == "a,b,c\n'=1+1,-0.5,\n"


def test_parquet_without_its_extra_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, and writes nothing."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"\[parquet\]"):
        export.export_parquet(tmp_path / "x.parquet", [], export.columns_of("daily"))
    assert not list(tmp_path.iterdir())


def test_a_snapshot_of_an_empty_store(tmp_path: Path) -> None:
    """It can be published, and holds no figures."""
    (tmp_path / "config.yaml").write_text("database: monitor.db\nteams: [{id: meta, name: Meta}]\n", "utf-8")
    with Store(tmp_path / "monitor.db") as store:
        counts = publish(store, Config(database=tmp_path / "monitor.db"), tmp_path / "out.db", now=NOW)
    assert counts["daily"] == counts["alerts"] == 0 and counts["about"] > 5
