"""The store: nothing is lost, doubled or half done, whatever is saved in whatever order and whenever a process is killed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import clock
from monitor.errors import Busy, InputError, NewerSchema, StoreError
from monitor.records import DailyTrend, Gone, Mention, Post, Score, text_hash
from monitor.store import SCHEMA, Counts, Reading, Step, Store, runs

NOW = dt.datetime(2025, 1, 23, 12, tzinfo=dt.UTC)
DAY = NOW.date()
MODEL = "seed@1"


def post(native_id: str = "1", text: str = "OpenAI is fine", **fields: Any) -> Post:
    settings = {
        "source": "hn",
        "native_id": native_id,
        "url": f"https://x.org/{native_id}",
        "text": text,
        "posted_at": NOW,
        "fetched_at": NOW,
    }
    return Post(**{**settings, **fields})


def understand(store: Store, *, team: str = "openai", model: str = MODEL) -> int:
    """Every unread post mentions the team at its beginning and is rather negative about it."""
    score = Score(model, 0.6, 0.3, 0.1)
    store.read_by(model, model)
    readings = [
        Reading(found.id, found.text_hash, "en", [Mention(team, 0, 6)], {team: (text_hash(found.text), score)})
        for found in store.unread(10_000)
    ]
    return store.save_readings(readings, model=model, at=NOW)


def computed(store: Store) -> None:
    """Take note of every dirty day as `trend` does."""
    store.replace_trends(store.dirty_days(), [])


def one(store: Store, sql: str) -> Any:
    return store.rows(sql)[0][0]


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("monitor.db*")))


# ---- posts ---------------------------------------------------------------------------------------------------------


def test_saving_a_batch_again_changes_nothing(fresh_store: Store) -> None:
    """A crawl that is repeated, as after a kill, leaves the same store and counts every post as unchanged."""
    batch: list[Post | Gone] = [post(str(n), f"text {n}", title="A title", author_key="a") for n in range(20)]
    batch.append(Gone("hn", "7"))
    assert fresh_store.save_posts(batch) == Counts(new=20, deleted=1)
    before = fresh_store.snapshot()
    assert fresh_store.save_posts(batch) == Counts(unchanged=20)
    assert fresh_store.snapshot() == before and fresh_store.unread_count() == 19


def test_an_edited_post_is_read_anew(fresh_store: Store) -> None:
    """New words make a post unread; its mentions and scores count nowhere from then on, and the days they counted in are marked."""
    fresh_store.save_posts([post()])
    understand(fresh_store)
    computed(fresh_store)
    assert fresh_store.save_posts([post(text="Never mind", edited_at=NOW)]) == Counts(changed=1)
    assert [found.text for found in fresh_store.unread(9)] == ["Never mind"]
    assert one(fresh_store, "SELECT (SELECT count(team) FROM v_posts) + (SELECT count(*) FROM mentions)") == 0
    assert fresh_store.voices(NOW.date(), NOW.date()) == []
    assert fresh_store.dirty_days().keys() == {("2025-01-23", "openai")}
    assert fresh_store.rows("SELECT rowid FROM posts_fts WHERE posts_fts MATCH 'fine'") == []


def test_a_post_understood_before_it_was_edited_stays_unread(fresh_store: Store) -> None:
    """What a slow `understand` read from the old words is not stored for the new ones."""
    fresh_store.save_posts([post()])
    old = fresh_store.unread(1)[0]
    fresh_store.save_posts([post(text="Never mind")])
    reading = Reading(old.id, old.text_hash, "en", [Mention("openai", 0, 6)], {})
    assert fresh_store.save_readings([reading], model=MODEL, at=NOW) == 0
    assert fresh_store.unread_count() == 1 and one(fresh_store, "SELECT count(*) FROM mentions") == 0


def test_a_post_that_moves_marks_both_days(fresh_store: Store) -> None:
    """The day that it leaves and the day that it comes to are computed anew, and its scores stay."""
    fresh_store.save_posts([post()])
    understand(fresh_store)
    computed(fresh_store)
    assert fresh_store.save_posts([post(posted_at=NOW - dt.timedelta(days=2))]) == Counts(changed=1)
    assert fresh_store.dirty_days().keys() == {("2025-01-23", "openai"), ("2025-01-21", "openai")}
    assert fresh_store.unread_count() == 0 and one(fresh_store, "SELECT count(*) FROM scores") == 1


def test_a_new_title_is_read_anew_and_a_new_address_is_not(fresh_store: Store) -> None:
    """A title can hold the words that an alias needs; an address says nothing."""
    fresh_store.save_posts([post(title="Old")])
    understand(fresh_store)
    assert fresh_store.save_posts([post(title="Old", url="https://y.org/1")]) == Counts(changed=1)
    assert fresh_store.unread_count() == 0
    assert fresh_store.save_posts([post(title="New", url="https://y.org/1")]) == Counts(changed=1)
    assert fresh_store.unread_count() == 1


def test_what_an_answer_leaves_out_is_kept(fresh_store: Store) -> None:
    """A page that knows less (no title, no author, no date) takes nothing away; a time of fetching never moves a post."""
    full = post(title="Title", author_key="a", thread_id="t", parent_id="p", edited_at=NOW)
    fresh_store.save_posts([full])
    later = NOW + dt.timedelta(days=3)
    poor = dataclasses.replace(
        full,
        title=None,
        author_key=None,
        thread_id=None,
        parent_id=None,
        edited_at=None,
        date_origin="fetched",
        posted_at=later,
        fetched_at=later,
    )
    assert fresh_store.save_posts([poor]) == Counts(unchanged=1)
    fresh_store.save_posts([post("2", date_origin="fetched"), post("2", date_origin="fetched", posted_at=later)])
    assert one(fresh_store, "SELECT count(*) FROM posts WHERE posted_at LIKE '2025-01-23%'") == 2
    fresh_store.save_posts([post("2", posted_at=later)])
    assert fresh_store.rows("SELECT posted_at, date_origin FROM posts WHERE native_id = '2'")[0][:] == ("2025-01-26T12:00:00Z", "site")


def test_the_last_of_two_posts_with_one_id_wins(fresh_store: Store) -> None:
    """A site that lists a post twice on a page gives one post."""
    assert fresh_store.save_posts([post(text="first"), post(text="second")]) == Counts(new=1, changed=1)
    assert [row[0] for row in fresh_store.rows("SELECT text FROM posts")] == ["second"]


@given(order=st.permutations(range(6)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_post_that_is_gone_stays_gone_in_any_order(tmp_path: Path, order: list[int]) -> None:
    """A deletion seen before, between or after what stale pages still show ends in the same store: one tombstone without words."""
    path = tmp_path / "monitor.db"
    path.unlink(missing_ok=True)
    items: list[Post | Gone] = [post(text="one"), post(text="two"), Gone("hn", "1"), Gone("hn", "1"), post("2"), post("2")]
    with Store(path) as store:
        for place in order:
            store.save_posts([items[place]])
        assert [tuple(row) for row in store.rows("SELECT native_id, text, url, deleted_at IS NULL FROM posts ORDER BY 1")] == [
            ("1", "", "", 0),
            ("2", "OpenAI is fine", "https://x.org/2", 1),
        ]
        assert [found.text for found in store.unread(9)] == ["OpenAI is fine"]
        assert [found[0] for found in store.recent("hn", NOW)] == ["2"]


def test_a_tombstone_is_the_same_whichever_came_first(tmp_path: Path) -> None:
    """Nothing of a post is left that was seen before its deletion and not after: thread, answered post, edit and kind go too."""
    full = post(title="Title", author_key="a", thread_id="feed:title", parent_id="p", edited_at=NOW, kind="press", language="en")
    with Store(tmp_path / "post.db") as known, Store(tmp_path / "gone.db") as unknown:
        known.save_posts([full, Gone("hn", "1")])
        unknown.save_posts([Gone("hn", "1"), full])
        assert known.snapshot() == unknown.snapshot()
        [left], [never] = (store.rows("SELECT thread_id, parent_id, edited_at, kind FROM posts") for store in (known, unknown))
        assert tuple(left) == tuple(never) == (None, None, None, "voice")


def test_a_deleted_post_takes_all_that_was_said_of_it_along(fresh_store: Store) -> None:
    """Words, title, address, thread, author, mentions, scores and its place in an alert go; its day is marked; the key stays."""
    fresh_store.save_posts([post(text="Zebra crossing", title="Giraffe", thread_id="feed:giraffe", author_key="a" * 32)])
    understand(fresh_store)
    computed(fresh_store)
    fresh_store.save_steps([firing(evidence=[1])], targets=["console"], at=NOW)
    assert fresh_store.save_posts([Gone("hn", "1"), Gone("hn", "1"), Gone("hn", "unknown")]) == Counts(deleted=1)
    row = dict(fresh_store.rows("SELECT * FROM posts WHERE native_id = '1'")[0])
    assert (row["text"], row["title"], row["url"], row["author_key"], row["text_hash"]) == ("", None, "", None, "")
    assert row["thread_id"] is None
    assert row["deleted_at"] and fresh_store.dirty_days().keys() == {("2025-01-23", "openai")}
    for table in ("mentions", "scores", "alert_posts", "v_posts"):
        assert one(fresh_store, f"SELECT count(*) FROM {table}") == 0
    assert fresh_store.due(NOW)[0].posts == []


def test_deleted_and_reworded_words_leave_the_files(tmp_path: Path) -> None:
    """After `purge` no byte of the database files holds the words of deleted posts, of edited ones, or of the index over them."""
    chance = random.Random(1)
    vocabulary = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(3000)]
    posts = []
    for n in range(3000):
        words = chance.choices(vocabulary, k=chance.choice([5, 30, 120, 1500 if n % 50 == 0 else 60]))
        words[len(words) // 2] = f"zq{n:05d}qz"
        posts.append(post(str(n), " ".join(words), title=f"ttq{n:05d}qtt", posted_at=NOW - dt.timedelta(minutes=chance.randrange(90_000))))
    gone, reworded = posts[::10], posts[5::10]
    with Store(tmp_path / "monitor.db") as store:
        for start in range(0, len(posts), 200):
            store.save_posts(posts[start : start + 200])
        store.save_posts(Gone(item.source, item.native_id) for item in gone)
        store.save_posts(dataclasses.replace(item, text="Never mind.") for item in reworded)
        assert store.fact("leftovers") and store.purge() and store.fact("leftovers") is None
        left = files(tmp_path)
        found = store.rows("SELECT rowid FROM posts_fts WHERE posts_fts MATCH 'zq00001qz OR zq00000qz'")
    numbers = {ending: {int(digits) for digits in re.findall(rb"(\d{5})" + ending, left)} for ending in (b"qz", b"qtt")}
    assert numbers[b"qz"] == {n for n in range(3000) if n % 10 not in (0, 5)}
    assert numbers[b"qtt"] == {n for n in range(3000) if n % 10 != 0}
    assert [row[0] for row in found] == [2]


def test_the_end_of_a_crawl_purges_what_has_lingered(fresh_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once would rewrite the index at every crawl; after a day it is done without anyone asking."""
    fresh_store.save_posts([post(text="zebra crossing")])
    fresh_store.save_posts([Gone("hn", "1")])

    def crawl() -> None:
        fresh_store.end_crawl(fresh_store.begin_crawl("hn", NOW), NOW, finish_reason="finished", counts=Counts())

    crawl()
    assert fresh_store.fact("leftovers")
    monkeypatch.setattr(runs, "PURGE_AFTER", dt.timedelta(0))
    crawl()
    assert fresh_store.fact("leftovers") is None and b"zebra" not in files(tmp_path)


def test_deletions_go_by_the_replayed_clock(fresh_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replayed week notes its own times of deletion, and purges a day later by its own clock."""

    def crawl() -> None:
        fresh_store.end_crawl(fresh_store.begin_crawl("hn", NOW), NOW, finish_reason="finished", counts=Counts())

    monkeypatch.setenv(clock.REPLAY, "2025-01-23T12:00:00Z")
    fresh_store.save_posts([post(), Gone("hn", "1"), Gone("hn", "2")])
    times = [tuple(row) for row in fresh_store.rows("SELECT DISTINCT deleted_at FROM posts")]
    assert times == [("2025-01-23T12:00:00Z",)] and fresh_store.fact("leftovers") == "2025-01-23T12:00:00Z"
    monkeypatch.setenv(clock.REPLAY, "2025-01-24T12:00:00Z")
    crawl()
    assert fresh_store.fact("leftovers")
    monkeypatch.setenv(clock.REPLAY, "2025-01-24T12:00:01Z")
    crawl()
    assert fresh_store.fact("leftovers") is None


def test_a_deletion_during_a_purge_is_not_forgotten(fresh_store: Store, tmp_path: Path) -> None:
    """What another crawl deletes after the index was merged, and before the purge is done, is still noted for the next purge."""
    fresh_store.save_posts([post("1", "zebra crossing"), post("2", "giraffe crossing"), Gone("hn", "1")])

    def delete(statement: str) -> None:
        if "wal_checkpoint" in statement:
            fresh_store.connection.set_trace_callback(None)
            other.save_posts([Gone("hn", "2")])

    with Store(tmp_path / "monitor.db") as other:
        fresh_store.connection.set_trace_callback(delete)
        fresh_store.purge()
        assert one(other, "SELECT count(*) FROM posts WHERE deleted_at IS NOT NULL") == 2
        assert other.fact("leftovers")
    assert fresh_store.purge() and fresh_store.fact("leftovers") is None and b"giraffe" not in files(tmp_path)


def test_a_reader_postpones_a_purge(fresh_store: Store, tmp_path: Path) -> None:
    """A long query of another process is not broken and not waited for; the next purge finishes."""
    fresh_store.save_posts([post(text="zebra crossing")])
    with Store(tmp_path / "monitor.db", read_only=True) as reader:
        reading = reader.connection.execute("SELECT 1 FROM posts UNION ALL SELECT 2")
        assert next(reading)[0] == 1
        fresh_store.save_posts([Gone("hn", "1")])
        noted = fresh_store.fact("leftovers")
        assert noted and fresh_store.purge() is False and fresh_store.fact("leftovers") == noted
        assert next(reading)[0] == 2
        reading.close()
    assert fresh_store.purge() is True and b"zebra" not in files(tmp_path)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@given(text=ANY_TEXT, other=ANY_TEXT, moment=st.datetimes(timezones=st.timezones()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_post_can_be_saved_and_deleted(fresh_store: Store, text: str, other: str, moment: dt.datetime) -> None:
    """Lone surrogates, NUL bytes, years 1 and 9999 in any field: no batch is lost to them, and saving again changes nothing."""
    odd = Post(f"s{other}", other, other, text, moment, moment, other, other, other, other[:2], other, moment)
    fresh_store.save_posts([odd])
    assert fresh_store.save_posts([odd]).changed == 0
    fresh_store.save_posts([Gone(odd.source, odd.native_id)])
    assert fresh_store.save_posts([odd]) == Counts(unchanged=1)


def test_a_batch_that_fails_leaves_nothing_behind(fresh_store: Store) -> None:
    """Half a batch would be a gap that the cursor has passed."""
    with pytest.raises(ValueError, match="time zone"):
        fresh_store.save_posts([post("1"), post("2", posted_at=dt.datetime(2025, 1, 1))])  # noqa: DTZ001 (that is the mistake)
    assert one(fresh_store, "SELECT count(*) FROM posts") == 0
    fresh_store.save_posts([post("1")])
    assert one(fresh_store, "SELECT count(*) FROM posts") == 1


# ---- understanding -------------------------------------------------------------------------------------------------


def test_another_reader_reads_everything_again(fresh_store: Store) -> None:
    """New aliases or another model make every living post unread, once; scores of the old model stay beside the new."""
    fresh_store.save_posts([post("1"), post("2"), post("3"), Gone("hn", "3")])
    assert understand(fresh_store) == 2
    assert fresh_store.read_by(MODEL, MODEL) == 0
    assert fresh_store.read_by("other", "other@2") == 2
    assert understand(fresh_store, model="other@2") == 2
    assert [row[:] for row in fresh_store.rows("SELECT model, count(*) FROM scores GROUP BY 1")] == [("other@2", 2), (MODEL, 2)]
    assert fresh_store.model == "other@2"


def test_scores_of_older_words_never_count_again(fresh_store: Store) -> None:
    """A post that was reworded, and is then read by another model first, has no score left of the words that are gone."""
    fresh_store.save_posts([post()])
    understand(fresh_store)
    fresh_store.save_posts([post(text="Never mind")])
    understand(fresh_store, model="other@2")
    assert [row[3] for row in fresh_store.voices(DAY, DAY)] == ["other@2"]


def test_what_a_model_has_scored_is_found_again(fresh_store: Store) -> None:
    """By the input's hash, for more inputs than SQLite takes at once, and never another model's."""
    fresh_store.save_posts(post(str(n), f"text {n}") for n in range(1200))
    understand(fresh_store)
    hashes = [text_hash(f"text {n}") for n in range(1200)]
    known = fresh_store.known_scores(MODEL, [*hashes, text_hash("never seen")])
    assert known.keys() == set(hashes) and known[hashes[7]] == Score(MODEL, 0.6, 0.3, 0.1)
    assert fresh_store.known_scores("other@2", hashes) == {} == fresh_store.known_scores(MODEL, [])


def test_unread_posts_come_newest_first(fresh_store: Store) -> None:
    """What people read first is understood first; a limit leaves the rest for the next round."""
    fresh_store.save_posts(post(str(n), posted_at=NOW + dt.timedelta(hours=n)) for n in range(5))
    assert [found.id for found in fresh_store.unread(2)] == [5, 4]


def test_a_pair_marked_again_while_it_is_computed_stays_dirty(fresh_store: Store) -> None:
    """A post that comes between reading the scores and storing the trend is not lost to the trend."""
    fresh_store.save_posts([post("1")])
    understand(fresh_store)
    done = fresh_store.dirty_days()
    fresh_store.save_posts([post("2")])
    understand(fresh_store)
    trend = DailyTrend(DAY, "openai", "*", MODEL, 1, 1, 1, False)
    fresh_store.replace_trends(done, [trend])
    assert fresh_store.dirty_days().keys() == {("2025-01-23", "openai")}
    assert fresh_store.trends(model=MODEL) == [trend]
    computed(fresh_store)
    assert fresh_store.dirty_days() == {}


# ---- alerts and deliveries -----------------------------------------------------------------------------------------


def firing(rule: str = "fall", *, evidence: Iterable[int] = ()) -> Step:
    event = ("normal", "firing", DAY, "It fell.")
    return Step(
        rule, "drop", "openai", "*", MODEL, "firing", DAY, DAY, 0, event, {"value": -0.5, "before": 0.1, "posts": 9}, tuple(evidence)
    )


def test_steps_are_stored_together_or_not_at_all(fresh_store: Store) -> None:
    """An alert that cannot be stored takes the whole round with it: no message without a state, no state without its message."""
    with pytest.raises(StoreError):
        fresh_store.save_steps([firing("one"), firing("two", evidence=[404])], targets=["console"], at=NOW)
    for table in ("alerts", "alert_states", "alert_events", "deliveries"):
        assert one(fresh_store, f"SELECT count(*) FROM {table}") == 0
    assert len(fresh_store.save_steps([firing("one"), firing("two")], targets=["console", "mail"], at=NOW)) == 2
    assert one(fresh_store, "SELECT count(*) FROM deliveries") == 4


def test_a_rule_fires_once_for_a_team(fresh_store: Store) -> None:
    """Two processes that both see the turn make one alert: the second is refused, and nobody gets a second message."""
    fresh_store.save_steps([firing()], targets=["console"], at=NOW)
    with pytest.raises(StoreError):
        fresh_store.save_steps([firing()], targets=["console"], at=NOW)
    assert one(fresh_store, "SELECT count(*) FROM deliveries") == 1


def test_a_message_waits_is_tried_again_and_is_sent_once(fresh_store: Store) -> None:
    """Due, begun (also after a kill), put off, sent: at each moment the outbox says what is to be done."""
    fresh_store.save_posts([post(text="a reason")])
    fresh_store.save_steps([firing(evidence=[1])], targets=["console"], at=NOW)
    later = NOW + dt.timedelta(minutes=5)
    due = fresh_store.due(NOW)[0]
    assert (due.target, due.attempts, due.event["rule"], due.posts[0]["text"]) == ("console", 0, "fall", "a reason")
    fresh_store.begin_delivery(due.id)
    assert fresh_store.due(NOW)[0].attempts == 1
    fresh_store.end_delivery(due.id, sent_at=None, error="no answer", again_at=later)
    assert fresh_store.due(NOW) == [] and fresh_store.due(later)[0].id == due.id
    fresh_store.begin_delivery(due.id)
    fresh_store.end_delivery(due.id, sent_at=later)
    assert fresh_store.due(later) == [] and fresh_store.outbox() == (0, 0)
    over = dataclasses.replace(firing(), state="resolved", event=("firing", "resolved", DAY, "It is over."))
    assert len(fresh_store.save_steps([over], targets=["console", "new"], at=later)) == 1
    assert [(found.target, found.event["state"]) for found in fresh_store.due(later)] == [("console", "resolved")]
    fresh_store.end_delivery(fresh_store.due(later)[0].id, sent_at=None, error="refused")
    assert fresh_store.outbox() == (0, 1)


# ---- crawls --------------------------------------------------------------------------------------------------------


def test_a_crawl_that_was_killed_is_closed_by_the_next(fresh_store: Store) -> None:
    """It is told apart from one that ended, keeps the cursor before it, and covers no day."""
    first = fresh_store.begin_crawl("hn", NOW)
    span = (NOW - dt.timedelta(days=1), NOW)
    odd = {"after": 7, "seen": ["é", "\ud800"]}
    fresh_store.end_crawl(first, NOW, finish_reason="finished", counts=Counts(new=3), cursor=odd, covered=span, message="\ud800" * 600)
    fresh_store.begin_crawl("hn", NOW)
    fresh_store.begin_crawl("forum", NOW)
    fresh_store.begin_crawl("hn", NOW)
    reasons = [(row["source"], row["finish_reason"]) for row in fresh_store.rows("SELECT * FROM crawls ORDER BY id")]
    assert reasons == [("hn", "finished"), ("hn", "killed"), ("forum", None), ("hn", None)]
    assert fresh_store.cursor("hn") == odd and fresh_store.cursor("forum") == {}
    assert [row[:] for row in fresh_store.rows("SELECT day, covered FROM v_coverage WHERE source = 'hn' ORDER BY 1")] == [
        ("2025-01-22", 1),
        ("2025-01-23", 1),
    ]
    assert fresh_store.last_crawls()["hn"]["id"] == 4


def test_days_are_covered_in_utc(fresh_store: Store) -> None:
    """A span given in another zone covers the days that it has in UTC, as posts are counted."""
    zone = dt.timezone(dt.timedelta(hours=-8))
    span = (dt.datetime(2025, 1, 21, 20, tzinfo=zone), dt.datetime(2025, 1, 22, 20, tzinfo=zone))
    fresh_store.end_crawl(fresh_store.begin_crawl("hn", NOW), NOW, finish_reason="finished", counts=Counts(), covered=span)
    assert [row[0] for row in fresh_store.rows("SELECT day FROM covered_days ORDER BY day")] == ["2025-01-22", "2025-01-23"]


# ---- reading -------------------------------------------------------------------------------------------------------


def test_search_finds_words_in_any_script(fresh_store: Store) -> None:
    """Latin words by the index, whatever their case and accents; Chinese of two characters inside a sentence; emoji; mixed."""
    texts = ["Le café de Mistral", "通义千问很好用", "Claude 裁员了吗", "so happy 😀", "100% R1-Zero_a \\ done", "한국어로 말해요"]
    fresh_store.save_posts(post(str(n), text) for n, text in enumerate(texts))
    understand(fresh_store)
    for search, found in [
        ("CAFE", [0]), ("mistral café", [0]), ("千问", [1]), ("通", [1]), ("裁员 claude", [2]), ("😀", [3]), ("😀 happy", [3]), ("😡", []),
        ("R1-Zero", [4]), ("100%", [4]), ("%", [4]), ("\\", [4]), ("zero a", [4]), ("말해", [5]), ("  ", [5, 4, 3, 2, 1, 0]),
        ("happy OR mistral", []), ("NOT", []), ("absent", []),
    ]:  # fmt: skip
        assert [int(row["native_id"]) for row in fresh_store.posts("openai", search=search)] == found, search


@given(search=ANY_TEXT | st.text('"*()-^:+{}[]%_\\ NEARORAND通义😀\0', max_size=20) | st.just("x " * 3000))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_search_is_answered(fresh_store: Store, search: str) -> None:
    """Quotes, operators, wild cards, emoji, half characters: never an error."""
    assert fresh_store.posts("openai", search=search) == []


def test_posts_are_filtered(fresh_store: Store) -> None:
    """By day, label and source, newest first, up to a limit; only by the model in use."""
    fresh_store.save_posts(post(str(n), posted_at=NOW + dt.timedelta(days=n), source="hn" if n % 2 else "forum") for n in range(6))
    understand(fresh_store)
    assert [row["native_id"] for row in fresh_store.posts("openai", limit=2)] == ["5", "4"]
    assert [row["native_id"] for row in fresh_store.posts("openai", since=DAY + dt.timedelta(days=3), source="hn")] == ["5", "3"]
    assert len(fresh_store.posts("openai", label="negative")) == 6
    assert fresh_store.posts("openai", label="positive") == [] == fresh_store.posts("meta")


WRITES = [
    "INSERT INTO posts (source) VALUES ('x')",
    "DELETE FROM posts",
    "UPDATE posts SET text = ''",
    "UPDATE sqlite_master SET sql = ''",
    "DELETE FROM sqlite_master",
    "DROP TABLE posts",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t AS SELECT * FROM posts",
    "ATTACH '{elsewhere}' AS other",
    "VACUUM",
    "VACUUM INTO '{elsewhere}'",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "PRAGMA user_version = 99",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "SELECT load_extension('{elsewhere}')",
    "BEGIN IMMEDIATE",
    "SAVEPOINT s",
    "REINDEX",
    "ANALYZE",
    "INSERT INTO posts_fts (posts_fts) VALUES ('delete-all')",
    "WITH t AS (SELECT 1) DELETE FROM posts",
    "SELECT 1; DELETE FROM posts",
]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("sql", WRITES)
def test_a_query_only_reads(fresh_store: Store, tmp_path: Path, sql: str, read_only: bool) -> None:
    """Whatever it says, the store, its settings and every other file are as before, and the next write works."""
    fresh_store.save_posts([post()])
    before, elsewhere = fresh_store.snapshot(), tmp_path / "elsewhere.db"
    with Store(tmp_path / "monitor.db", read_only=read_only) as store:
        with pytest.raises(InputError):
            store.query(sql.format(elsewhere=elsewhere))
        assert not store.connection.in_transaction
        assert store.query("SELECT count(*) AS n FROM posts") == [{"n": 1}]
    assert not elsewhere.exists() and fresh_store.snapshot() == before
    assert [row[0] for row in fresh_store.rows("PRAGMA user_version")] == [SCHEMA]
    assert fresh_store.save_posts([post("2")]) == Counts(new=1)


def test_queries_that_read_are_answered(fresh_store: Store) -> None:
    """Views, the search index, recursion, window functions, JSON, and the schema itself."""
    fresh_store.save_posts([post()])
    understand(fresh_store)
    for sql, first in [
        ("SELECT team, label FROM v_posts", {"team": "openai", "label": "negative"}),
        ("SELECT rowid FROM posts_fts WHERE posts_fts MATCH 'fine' ORDER BY rank", {"rowid": 1}),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT max(i) AS i FROM n", {"i": 9}),
        ("SELECT row_number() OVER (ORDER BY id) AS n FROM posts", {"n": 1}),
        ("SELECT json_extract('{\"a\": 2}', '$.a') AS a", {"a": 2}),
        ("SELECT name FROM pragma_table_info('sources') ORDER BY cid", {"name": "source"}),
        ("SELECT name FROM sqlite_master WHERE name = 'v_daily'", {"name": "v_daily"}),
        ("EXPLAIN QUERY PLAN SELECT 1", None),
    ]:
        for read_only in (False, True):
            with Store(fresh_store.path, read_only=read_only) as store:  # a fresh one, which has not used any virtual table yet
                rows = store.query(sql)
                assert first is None or rows[0] == first, sql
    assert fresh_store.query("SELECT id FROM posts WHERE id < 0") == [] == fresh_store.query("-- nothing")
    assert len(fresh_store.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", limit=7)) == 7


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT nothing", "SELECT '\ud800'", "SELECT 1\0", "SELECT CAST(x'ff' AS TEXT)", "'", "((((((("]
)
def test_a_query_that_is_wrong_is_told(fresh_store: Store, sql: str) -> None:
    """With SQLite's own words and where the tables are listed."""
    with pytest.raises(InputError, match="the query failed"):
        fresh_store.query(sql)


def test_a_query_without_end_is_stopped(fresh_store: Store) -> None:
    """It does not run for ever, and the store goes on."""
    began = time.monotonic()
    with pytest.raises(InputError, match=r"stopped after 0\.2 s"):
        fresh_store.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", seconds=0.2)
    assert time.monotonic() - began < 10
    assert fresh_store.save_posts([post()]) == Counts(new=1)


# ---- the file ------------------------------------------------------------------------------------------------------


def test_a_database_from_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    """The sentence says how to upgrade; not a byte changes."""
    path = tmp_path / "monitor.db"
    with Store(path) as store:
        store.connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(NewerSchema, match="upgrade with"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before


def test_what_is_no_database_of_ours_is_left_as_it_is(tmp_path: Path) -> None:
    """A text file, another program's database, a folder, a file in place of the folder, an empty file that is only to be read."""
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at " * 20)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE posts (a)")
    other.close()
    (tmp_path / "empty.db").touch()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, words, read_only in [
        ("text.db", "not a sound SQLite database", False), ("text.db", "not a sound SQLite database", True),
        ("other.db", "database of another program", False), ("other.db", "database of another program", True),
        (".", "cannot be", False), (".", "cannot be", True), ("text.db/x.db", "cannot be opened", False),
        ("empty.db", "empty or from an older version", True), ("none.db", "does not exist yet", True),
    ]:  # fmt: skip
        with pytest.raises(StoreError, match=words):
            Store(tmp_path / name, read_only=read_only)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    """`database: data/monitor.db` needs no mkdir; a name with odd characters is a name."""
    for name in ("data/deep/monitor.db", "a b?c#d%20é.db"):
        with Store(tmp_path / name) as store:
            store.save_posts([post()])
        with Store(tmp_path / name, read_only=True) as store:
            assert one(store, "SELECT count(*) FROM posts") == 1


def test_an_open_store_is_read_while_it_is_written(tmp_path: Path) -> None:
    """A reader sees whole batches only, keeps its view until it asks again, and cannot write."""
    with Store(tmp_path / "monitor.db") as writer, Store(tmp_path / "monitor.db", read_only=True) as reader:
        with writer.writing():
            writer.save_posts([post("1")])
            assert one(reader, "SELECT count(*) FROM posts") == 0
            writer.save_posts([post("2")])
        assert one(reader, "SELECT count(*) FROM posts") == 2
        with pytest.raises(StoreError, match="cannot be written"):
            reader.save_posts([post("3")])


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    """The batch that does not fit is left out whole, the sentence says so, and with space the same step goes on."""
    with Store(tmp_path / "monitor.db") as store:
        store.connection.execute(f"PRAGMA max_page_count = {one(store, 'PRAGMA page_count') + 40}")
        saved = 0

        def fill() -> None:
            nonlocal saved
            while True:
                store.save_posts(post(f"{saved}.{n}", "words " * 50) for n in range(20))
                saved += 1

        with pytest.raises(StoreError, match="no space is left") as caught:
            fill()
        assert "words" not in str(caught.value)
        assert saved and one(store, "SELECT count(*) FROM posts") == saved * 20 and store.check() == []
        store.connection.execute("PRAGMA max_page_count = 1000000")
        store.save_posts(post(f"{saved}.{n}", "words " * 50) for n in range(20))
        assert one(store, "SELECT count(*) FROM posts") == (saved + 1) * 20


def apart(tmp_path: Path, mount: str, program: str) -> str:
    """The output of a Python program for which `mount` was done to the folder "apart"; skips where that is not possible."""
    (tmp_path / "apart").mkdir(exist_ok=True)
    words = ["unshare", "-rm", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*words, mount], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount in a namespace of his own")
    root = Path(__file__).parent
    begin = f"import sys; sys.path.insert(0, {str(root)!r})\nfrom test_store import *\npath = Path('apart/monitor.db')\n"
    done = subprocess.run(
        [*words, f'{mount} && exec "$0" -c "$1"', sys.executable, begin + program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a file system of 2 MB: a sentence, whole batches, and a sound database, which can be opened and read again."""
    program = """
saved = 0
with Store(path) as store:
    try:
        while True:
            store.save_posts(post(f"{saved}.{n}", "words " * 50) for n in range(20))
            saved += 1
    except StoreError as error:
        print(error)
with Store(path) as store:
    assert one(store, "SELECT count(*) FROM posts") == saved * 20 > 0 and store.check() == []
"""
    assert "no space is left" in apart(tmp_path, "mount -t tmpfs -o size=2m none apart", program)


def test_a_read_only_disk_is_a_sentence(tmp_path: Path) -> None:
    """Old posts are readable where the log lies beside them; nothing can be written, and each time a sentence says why."""
    program = """
for where in (path, Path("apart/new.db")):
    try:
        with Store(where) as store:
            store.save_posts([post("2")])
    except StoreError as error:
        print(error)
with Store(path, read_only=True) as store:
    assert one(store, "SELECT count(*) FROM posts") == 1
"""
    (tmp_path / "apart").mkdir()
    with Store(tmp_path / "apart/monitor.db") as store:
        store.save_posts([post("1")])
        assert apart(tmp_path, "mount --bind apart apart && mount -o remount,ro,bind apart", program).count("cannot be written") == 2
        assert one(store, "SELECT count(*) FROM posts") == 1


# ---- several processes ---------------------------------------------------------------------------------------------


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a Python program beside this one, with the names of this file and `path`; it waits until its input ends with a line."""
    started = []
    root = Path(__file__).parent
    begin = f"import sys; sys.path.insert(0, {str(root)!r})\nfrom test_store import *\npath = Path({str(tmp_path / 'monitor.db')!r})\n"

    def start(program: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", f"{begin}print('ready', flush=True); input()\n{program}"]
        started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(children: Iterable[subprocess.Popen[str]]) -> None:
    """Let them all begin at one moment, when each has come up."""
    for process in children:
        assert process.stdout and process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    for process in children:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return out


def test_processes_that_open_a_fresh_file_at_once_all_get_it(tmp_path: Path, child: Callable[[str], subprocess.Popen[str]]) -> None:
    """The daemon's children start together on the first day: one makes the tables, the others wait, and none fails."""
    children = [child("for n in range(6):\n    Store(path.with_name(f'{n}.db')).close()") for _ in range(3)]
    go(children)
    for process in children:
        finished(process)
    for n in range(6):
        with Store(tmp_path / f"{n}.db") as store:
            assert store.check() == [] and one(store, "PRAGMA journal_mode") == "wal"


def test_a_fresh_file_that_another_process_has_begun_is_waited_for(tmp_path: Path) -> None:
    """The moment at which two meet on a new file, which SQLite itself would not wait for."""
    other = sqlite3.connect(tmp_path / "monitor.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    with Store(tmp_path / "monitor.db") as store:
        assert store.save_posts([post()]) == Counts(new=1)
    other.close()


def test_two_writers_and_a_reader_lose_nothing(tmp_path: Path, child: Callable[[str], subprocess.Popen[str]]) -> None:
    """Crawls of two sources, one of them reading before it writes, beside a page that is open: all posts are there, in whole batches."""
    write = """
with Store(path) as store:
    for batch in range(40):
        with store.writing():
            store.rows("SELECT count(*) FROM posts")
            store.save_posts(post(f"{batch}.{n}", source=NAME, thread_id=f"{batch}") for n in range(25))
"""
    children = [child(write.replace("NAME", repr(name))) for name in ("hn", "forum")]
    with Store(tmp_path / "monitor.db") as store:
        go(children)
        seen = 0
        while any(process.poll() is None for process in children):
            count = one(store, "SELECT count(*) FROM posts")
            assert count % 25 == 0 and count >= seen
            seen = count
        for process in children:
            finished(process)
        assert one(store, "SELECT count(*) FROM posts") == 2000 and store.check() == []


@pytest.mark.real
def test_a_process_killed_at_any_moment_leaves_whole_batches(tmp_path: Path, child: Callable[[str], subprocess.Popen[str]]) -> None:
    """Ten times kill -9 while batches of new, edited and deleted posts are written: the database, and the search index, stay sound."""
    write = """
with Store(path) as store:
    first = one(store, "SELECT coalesce(max(CAST(thread_id AS INTEGER)), 0) + 1 FROM posts")
    for batch in range(first, first + 100000):
        before = max(batch - 1, 1)
        edited = [post(f"{before}.{n}", f"edited {batch} " * 20, thread_id=str(before)) for n in range(0, 50, 5)]
        gone = [Gone("hn", f"{before}.{n}") for n in range(0, 50, 7)]
        store.save_posts([*(post(f"{batch}.{n}", "some words " * 30, thread_id=str(batch)) for n in range(50)), *edited, *gone])
        understand(store)
"""
    chance, batches = random.Random(3), 0
    for _ in range(10):
        process = child(write)
        go([process])
        time.sleep(chance.uniform(0.02, 0.4))
        process.kill()
        process.wait()
        with Store(tmp_path / "monitor.db") as store:
            assert store.check() == []
            store.connection.execute("INSERT INTO posts_fts (posts_fts) VALUES ('integrity-check')")
            assert store.rows("SELECT CAST(native_id AS INTEGER) FROM posts GROUP BY 1 HAVING count(*) <> 50") == []
            understood = "SELECT count(*) FROM v_posts v JOIN posts p ON p.id = v.id WHERE p.unread AND v.team IS NOT NULL"
            assert one(store, understood) == 0
            batches = one(store, "SELECT count(DISTINCT thread_id) FROM posts")
    assert batches > 10


def test_a_database_that_is_held_is_told_after_the_time_out(tmp_path: Path) -> None:
    """A backup program that sits on the file is a sentence and not a hang, for writers and at opening."""
    with (
        Store(tmp_path / "monitor.db") as holder,
        holder.writing(),
        Store(tmp_path / "monitor.db", timeout=0.2) as other,
        pytest.raises(Busy, match="held by another process"),
    ):
        other.save_posts([post()])
