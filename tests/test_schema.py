"""The database's shape: explained throughout, brought up to date in one step, with views that keep their columns."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from monitor import glossary, schema, store
from monitor.errors import StoreError
from monitor.records import Gone, Mention, Post, Score
from monitor.store import Counts, Reading, Store

NOW = dt.datetime(2025, 1, 23, 12, tzinfo=dt.UTC)

VIEWS = {
    "v_coverage": "day source posts unread covered",
    "v_daily": "day team source model posts authors threads sufficient mean low high negative_share neutral_share positive_share coverage "
    "effective",
    "v_posts": "id source native_id url thread_id parent_id title text language posted_at date_origin edited_at fetched_at kind "
    "team model negative neutral positive value label corrected read_by",
    "v_alerts": "id rule type team source state day fired_at resolved_day resolved_at value before threshold low high authors posts "
    "reason sent unsent why severity untold part_of",
    "v_corrections": "id source native_id url posted_at language team label note corrected_at lapsed model model_label model_value drawn",
    "v_corrected_weeks": "day team model method posts authors read readers mean low high negative_share negative_low negative_high "
    "model_mean model_negative_share",
    "v_reviews": "id team draw_id day drawn_at probability position label read_by read_at",
}
"""What is written against the views by people and pages. Append; never rename, reorder or remove."""


def columns(opened: Store, name: str) -> list[str]:
    return [row["name"] for row in opened.rows(f"PRAGMA table_info({name})")]


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_keep_their_columns(fresh_store: Store, name: str) -> None:
    """A query that was written against a view goes on working with every later version."""
    assert columns(fresh_store, name) == VIEWS[name].split()


def test_every_table_view_and_column_is_explained(fresh_store: Store) -> None:
    """Whoever opens the database finds out what everything in it means, in what unit; nothing that is gone is explained."""
    internal = ("_sqlite_migrations", "sqlite_stat1")
    names = {
        row["name"]
        for row in fresh_store.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        if row["name"] not in internal and not row["name"].startswith(("posts_fts_", "sqlite_"))
    }
    assert names == glossary.DESCRIPTIONS.keys()
    pairs = {(name, column) for name in names - {"posts_fts"} for column in columns(fresh_store, name)}
    assert {column for name, column in pairs if column not in glossary.COLUMNS and f"{name}.{column}" not in glossary.COLUMNS} == set()
    known = {column for _, column in pairs} | {f"{name}.{column}" for name, column in pairs}
    assert glossary.COLUMNS.keys() - known == set()


def test_an_up_to_date_database_says_so(tmp_path: Path) -> None:
    """The number in the file is the number of migrations, which the store knows without loading them; a second opening changes nothing."""
    path = tmp_path / "monitor.db"
    for _ in range(2):
        with Store(path) as opened:
            assert opened.rows("PRAGMA user_version")[0][0] == store.SCHEMA == opened.rows("SELECT count(*) FROM _sqlite_migrations")[0][0]
            before = [tuple(row) for row in opened.rows("SELECT name, sql FROM sqlite_master")]
    with Store(path, read_only=True) as opened:
        assert [tuple(row) for row in opened.rows("SELECT name, sql FROM sqlite_master")] == before


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a schema would never be finished: all is rolled back, and the next start begins anew."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_INITIAL", (*schema._INITIAL, "CREATE TABLE half (", "CREATE TABLE never (a)"))
        with pytest.raises(StoreError):
            Store(tmp_path / "monitor.db")
    assert sqlite3.connect(tmp_path / "monitor.db").execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    with Store(tmp_path / "monitor.db") as opened:
        assert opened.check() == []


def test_messages_of_older_databases_stay_in_the_outbox(tmp_path: Path) -> None:
    """What waited, was sent or was given up before digests were there is as it was, and nothing is sent a second time for it."""
    path = tmp_path / "monitor.db"
    old = sqlite3.connect(path, isolation_level=None)
    database = Database(old)
    schema.migrations.apply(database, stop_before="m011_digests")
    old.execute("PRAGMA user_version = 10")
    old.execute(
        "INSERT INTO alert_events VALUES (1, 'fall', 'a', '*', NULL, 'normal', 'firing', '2025-01-01', '2025-01-02T00:00:00Z', 'r')"
    )
    rows = [
        (1, 1, "x", "due", 2, "2025-01-02T00:00:00Z", "2025-01-02T01:00:00Z", None, "down"),
        (2, 1, "y", "sent", 1, "2025-01-02T00:00:00Z", None, "2025-01-02T00:00:01Z", None),
        (3, 1, "z", "failed", 12, "2025-01-02T00:00:00Z", None, None, "gone"),
    ]
    old.executemany("INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    old.close()
    with Store(path) as opened:
        names = "id, event_id, target, state, attempts, created_at, next_attempt_at, sent_at, error"
        assert [tuple(row) for row in opened.rows(f"SELECT {names} FROM deliveries ORDER BY id")] == rows
        assert opened.rows("SELECT count(*) FROM deliveries WHERE digest IS NULL AND retry_after IS NULL")[0][0] == 3
        assert opened.check() == [] and opened.given_up()[0]["rule"] == "fall"


def test_coverage_tells_a_quiet_day_from_one_that_was_not_read(fresh_store: Store) -> None:
    """Covered, crawled without reading the day whole, and imported only are three different things."""
    day = dt.timedelta(days=1)
    fresh_store.save_posts(
        [
            Post("hn", "1", "u", "OpenAI", NOW, NOW),
            Post("file", "1", "u", "OpenAI", NOW - 3 * day, NOW, kind="import"),
            Post("hn", "2", "u", "x", NOW, NOW),
            Gone("hn", "2"),
        ]
    )
    span = (NOW - day, NOW)
    fresh_store.end_crawl(fresh_store.begin_crawl("hn", NOW), NOW, finish_reason="finished", counts=Counts(), covered=span)
    fresh_store.end_crawl(fresh_store.begin_crawl("forum", NOW), NOW, finish_reason="timed out", counts=Counts(), covered=span)
    assert [tuple(row) for row in fresh_store.rows("SELECT day, source, posts, unread, covered FROM v_coverage ORDER BY 1, 2")] == [
        ("2025-01-20", "file", 1, 1, None),
        ("2025-01-22", "hn", 0, 0, 1),
        ("2025-01-23", "forum", 0, 0, 0),
        ("2025-01-23", "hn", 1, 1, 1),
    ]


def test_posts_are_counted_as_they_come_change_and_go(fresh_store: Store) -> None:
    """Whatever happens to posts, their counts by day and source are what counting them anew gives."""

    def execute(sql: str) -> None:
        with fresh_store.writing() as connection:
            connection.execute(sql)

    days = [NOW - dt.timedelta(days=n % 3) for n in range(12)]
    posts = [Post(("hn", "forum")[n % 2], str(n), "u", f"words {n}", day, NOW, author_key="a") for n, day in enumerate(days)]
    for change in (
        lambda: fresh_store.save_posts(posts),
        lambda: fresh_store.save_readings([Reading(u.id, u.text_hash, "en", [], {}) for u in fresh_store.unread(9)], model="m@1", at=NOW),
        lambda: fresh_store.save_posts([dataclasses.replace(post, text="reworded", edited_at=NOW) for post in posts[:3]]),
        lambda: fresh_store.save_posts([Gone("hn", "0"), Gone("forum", "1"), Gone("forum", "11")]),
        lambda: execute("UPDATE posts SET retired = 1, deleted_at = '2025-01-23T13:00:00Z' WHERE native_id = '4'"),
        lambda: execute("UPDATE posts SET posted_at = '2025-01-20T12:00:00Z' WHERE native_id = '6'"),
        lambda: execute("DELETE FROM posts WHERE native_id IN ('7', '8')"),
    ):
        change()
        anew = fresh_store.rows(
            """SELECT substr(posted_at, 1, 10), source, count(*), sum(unread > 0) FROM posts
               WHERE deleted_at IS NULL OR retired GROUP BY 1, 2 ORDER BY 1, 2"""
        )
        kept = fresh_store.rows("SELECT * FROM post_days WHERE posts > 0 ORDER BY day, source")
        assert [tuple(row) for row in kept] == [tuple(row) for row in anew] != []


def test_daily_figures_say_how_much_was_read(fresh_store: Store) -> None:
    """Half of the two sources crawled at the time is 0.5; a source on its own is 0 or 1; before any crawl nothing is said."""
    span = (NOW - dt.timedelta(days=1), NOW)
    for source, reason in (("hn", "finished"), ("forum", "failed")):
        fresh_store.end_crawl(fresh_store.begin_crawl(source, NOW), NOW, finish_reason=reason, counts=Counts(), covered=span)
    with fresh_store.writing() as connection:
        connection.executemany(
            "INSERT INTO daily_trends (day, team, source, model, posts, authors, threads, sufficient) VALUES (?, 'a', ?, 'm', 1, 1, 1, 0)",
            [("2025-01-23", "*"), ("2025-01-23", "hn"), ("2025-01-23", "forum"), ("2025-01-22", "*"), ("2025-01-20", "*")],
        )
    found = {(row["day"], row["source"]): row["coverage"] for row in fresh_store.rows("SELECT * FROM v_daily")}
    assert found == {
        ("2025-01-23", "*"): 0.5,
        ("2025-01-23", "hn"): 1,
        ("2025-01-23", "forum"): 0,
        ("2025-01-22", "*"): 1,
        ("2025-01-20", "*"): None,
    }


def test_posts_are_shown_once_per_score_without_their_authors(fresh_store: Store) -> None:
    """A post that names two teams has two rows, one that names none has one, a deleted one none."""
    fresh_store.save_posts([Post("hn", str(n), "u", f"text {n}", NOW, NOW, author_key="a" * 32) for n in range(3)])
    fresh_store.save_posts([Gone("hn", "2")])
    unread = {found.text: found for found in fresh_store.unread(9)}
    first, score = unread["text 0"], ("hash", Score("m@1", 0.1, 0.2, 0.7))
    mentions = [Mention("a", 0, 4), Mention("b", 5, 6)]
    fresh_store.save_readings([Reading(first.id, first.text_hash, "en", mentions, {"a": score, "b": score})], model="m@1", at=NOW)
    rows = fresh_store.rows("SELECT native_id, team, label FROM v_posts ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [("0", "a", "positive"), ("0", "b", "positive"), ("1", None, None)]


def test_marking_a_post_as_read_does_not_touch_the_index(fresh_store: Store) -> None:
    """`understand` marks every post; indexing each anew would take longer than finding its teams."""
    fresh_store.save_posts([Post("hn", "1", "u", "zebra", NOW, NOW, title="giraffe")])
    before = fresh_store.rows("SELECT count(*), max(length(block)) FROM posts_fts_data")[0][:]
    fresh_store.save_readings([Reading(1, fresh_store.unread(1)[0].text_hash, "en", [], {})], model="m@1", at=NOW)
    assert fresh_store.rows("SELECT count(*), max(length(block)) FROM posts_fts_data")[0][:] == before
    for word in ("zebra", "giraffe"):
        assert len(fresh_store.rows("SELECT rowid FROM posts_fts WHERE posts_fts MATCH ?", (word,))) == 1
