"""Several monitors made one: nothing twice, nothing lost, nothing back that was forgotten, and the figures of one that read everything."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import clock
from monitor.config import Config, Privacy, Source
from monitor.errors import InputError, NewerSchema, StoreError
from monitor.forget import forget_posts, forget_source, found_at, retire
from monitor.merging import Merged, merge
from monitor.privacy import author_key
from monitor.records import Gone, Mention, Post, Score, text_hash
from monitor.review import draw, keep
from monitor.store import Counts, Reading, Store
from monitor.trend import trend

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
MODEL = "seed@1"

Run = Callable[..., subprocess.CompletedProcess[str]]


def post(native_id: str, author: str | None = "ada", *, key: bytes = b"k" * 32, **fields: Any) -> Post:
    given = {
        "source": "hn",
        "native_id": native_id,
        "url": f"https://x.org/{native_id}",
        "text": f"OpenAI lost its way, says number {native_id}.",
        "posted_at": NOW - DAY,
        "fetched_at": NOW,
        "author_key": author_key(key, str(fields.get("source", "hn")), author) if author else None,
        **fields,
    }
    return Post(**given)


def understand(store: Store, reader: str = MODEL, model: str = MODEL) -> None:
    """Every unread post names a team at its beginning; how bad it is follows from its words."""
    store.read_by(reader, model)
    for found in store.unread(10_000):
        digest = text_hash(found.text)
        low = int(digest[:2], 16) / 512
        reading = Reading(
            found.id, found.text_hash, "en", [Mention("openai", 0, 6)], {"openai": (digest, Score(model, 0.3 + low, 0.1, 0.6 - low))}
        )
        store.save_readings([reading], model=model, at=NOW)


def filled(store: Store, posts: Iterable[Post | Gone]) -> Store:
    store.save_posts(posts)
    understand(store)
    return store


def figures(store: Store) -> list[tuple[Any, ...]]:
    """What `trend` makes of a store, every column of v_daily."""
    understand(store)
    trend(store, min_authors=1)
    return [tuple(row) for row in store.rows("SELECT * FROM v_daily ORDER BY day, team, source, model")]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An up-to-date database that holds nothing, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "monitor.db"
    Store(path).close()
    return path


@pytest.fixture
def fresh_store(empty: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store in a real file."""
    shutil.copyfile(empty, tmp_path / "monitor.db")
    with Store(tmp_path / "monitor.db") as store:
        yield store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(path=tmp_path / "config.yaml", database=tmp_path / "monitor.db", privacy=Privacy(min_authors=2))


@pytest.fixture
def other(empty: Path, tmp_path: Path) -> Iterator[Store]:
    """The database of another monitor, which may be in use."""
    shutil.copyfile(empty, tmp_path / "other.db")
    with Store(tmp_path / "other.db") as store:
        yield store


def one(store: Store, sql: str) -> Any:
    return store.rows(sql)[0][0]


def came(merged: Merged) -> dict[str, int]:
    return {name: count for name, count in merged.counts.items() if count}


# ---- figures -------------------------------------------------------------------------------------------------------

Sight = tuple[int, int, str, str]
"""A post by its number, how many hours after it was written it was looked at, by which monitor, and what its site showed."""

_SIGHT = st.tuples(
    st.integers(0, 7), st.integers(0, 40), st.sampled_from(["here", "there", "both"]), st.sampled_from(["seen"] * 9 + ["gone"])
)


def _seen(number: int, hours: int) -> Post:
    """A post as its site shows it at a time: edited after 10 hours and 20; numbers 6 and 7 say what number 1 says, 4 and 5 no time."""
    written = NOW - 9 * DAY + number * DAY
    at, version = written + hours * HOUR, min(2, hours // 10)
    own = " ".join(f"word{1 if number > 5 else number}{letter}" for letter in "abcdefghijkl")
    words = f"OpenAI, of which {own} is {version} times true"
    return post(
        str(number), f"author {number % 4}" if number % 5 else None, source="hn" if number % 2 else "forum", text=words,
        thread_id=f"thread {number % 2}", posted_at=at if number in (4, 5) else written, fetched_at=at,
        date_origin="fetched" if number in (4, 5) else "site", edited_at=written + 10 * version * HOUR if version else None,
    )  # fmt: skip


def as_if_one_saw_everything(empty: Path, config: Config, sights: Iterable[Sight], understood: bool) -> None:
    """Split what was seen between two stores, merge them in every way, and compare with a third that saw all of it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        stores = {}
        for name in ("here", "there", "all", "first", "second"):
            path = Path(shutil.copyfile(empty, Path(folder) / f"{name}.db"))
            stores[name] = opened.enter_context(Store(path))
        for number, hours, who, what in sorted(sights, key=lambda sight: sight[1] + 24 * sight[0]):
            seen = _seen(number, hours)
            for name in {"all", *(("here", "there") if who == "both" else (who,))}:
                stores[name].save_posts([seen if what == "seen" else Gone(seen.source, seen.native_id)])
        for name, days in (("here", 9), ("there", 4), ("all", 9)):
            crawl = stores[name].begin_crawl("hn", NOW)
            stores[name].end_crawl(crawl, NOW, finish_reason="finished", counts=Counts(), covered=(NOW - days * DAY, NOW))
        for name in ("here", "there") if understood else ():
            figures(stores[name])
        for into, order in {"first": "here there", "second": "there here", "here": "there", "there": "here"}.items():
            for again in (False, True):
                for name in order.split():
                    assert merge(stores[into], config, stores[name].path).idle >= again
        wanted = figures(stores["all"])
        for name, store in stores.items():
            assert figures(store) == wanted, name
            assert store.check() == []


def test_the_figures_are_those_of_one_monitor_that_saw_everything(empty: Path, config: Config) -> None:
    """Whichever store is merged into which, or both into an empty one in either order; and the same store again changes nothing."""
    sights: list[Sight] = [
        (0, 1, "here", "seen"), (0, 25, "there", "seen"), (2, 5, "both", "seen"), (2, 12, "here", "seen"),  # edited
        (1, 1, "there", "seen"), (6, 1, "here", "seen"), (7, 2, "there", "seen"),  # copied
        (3, 1, "both", "seen"), (3, 39, "there", "gone"),
        (4, 2, "here", "seen"), (4, 30, "there", "seen"), (5, 3, "there", "seen"), (5, 35, "here", "seen"),  # without a time
    ]  # fmt: skip
    as_if_one_saw_everything(empty, config, sights, understood=True)


@pytest.mark.real
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sights=st.lists(_SIGHT, min_size=6, max_size=40), understood=st.booleans())
def test_so_they_are_however_what_was_seen_is_split(empty: Path, config: Config, sights: list[Sight], understood: bool) -> None:
    """Edits, deletions, copies, unknown authors and times included, and whether either monitor had read its posts or not."""
    as_if_one_saw_everything(empty, config, sights, understood)


# ---- versions ------------------------------------------------------------------------------------------------------


def test_of_two_versions_the_later_wins_and_nothing_known_is_lost(fresh_store: Store, other: Store, config: Config) -> None:
    """Words, address and title of the last look; thread, author and the site's own time from whichever store has them."""
    early = post("1", None, thread_id="t", title="Old title", posted_at=NOW - DAY, fetched_at=NOW - HOUR)
    late = post(
        "1", url="https://x.org/new", text="OpenAI, edited.", posted_at=NOW, fetched_at=NOW, edited_at=NOW - HOUR / 2, date_origin="fetched"
    )
    filled(fresh_store, [late])
    filled(other, [early])
    assert came(merge(fresh_store, config, other.path)) == {"changed": 1}
    assert came(merge(other, config, fresh_store.path)) == {"changed": 1}
    columns = "url, text, thread_id, title, author_key, posted_at, date_origin, edited_at, fetched_at, kind"
    both = [tuple(store.rows(f"SELECT {columns} FROM posts")[0]) for store in (fresh_store, other)]
    assert both[0] == both[1]
    assert both[0][:7] == ("https://x.org/new", late.text, "t", "Old title", late.author_key, "2026-03-19T12:00:00Z", "site")
    for store in (fresh_store, other):
        understand(store)
        assert [row[0] for row in store.rows("SELECT input_hash FROM scores")] == [text_hash(late.text)]


def test_a_tombstone_wins_over_words(fresh_store: Store, other: Store, config: Config) -> None:
    """Wherever the post was deleted, its words are gone from the result, and a tombstone comes that nothing was known of."""
    filled(fresh_store, [post("1"), post("2", "bob"), Gone("hn", "3")])
    filled(other, [post("1"), Gone("hn", "1"), post("3", "cem"), Gone("hn", "4")])
    assert came(merge(fresh_store, config, other.path)) == {"deleted": 2, "left out": 1}
    assert [row[0] for row in fresh_store.rows("SELECT native_id FROM posts WHERE deleted_at IS NULL")] == ["2"]
    assert one(fresh_store, "SELECT count(*) FROM scores") == 1
    assert fresh_store.save_posts([post("4")]) == Counts(unchanged=1)
    assert fresh_store.rows("SELECT 1 FROM posts_fts WHERE posts_fts MATCH '\"number 1\"'") == []


# ---- what was read -------------------------------------------------------------------------------------------------


def test_what_the_same_reader_read_stays_read(fresh_store: Store, other: Store, config: Config) -> None:
    """An empty store takes the other's reader; posts that were read elsewhere by other definitions wait, with the scores kept."""
    filled(other, [post("1"), post("2", "bob")])
    merge(fresh_store, config, other.path)
    assert (fresh_store.unread_count(), fresh_store.model) == (0, MODEL)
    with Store(other.path.with_name("third.db")) as third:
        third.save_posts([post("2", "bob"), post("3", "cem")])
        understand(third, "other teams", "other@1")
        assert came(merge(fresh_store, config, third.path)) == {"new": 1, "changed": 1}
        assert came(merge(fresh_store, config, third.path)) == {"unchanged": 2}
    assert [row[0] for row in fresh_store.rows("SELECT native_id FROM posts WHERE unread")] == ["3"]
    scores = fresh_store.rows("SELECT p.native_id, s.model, s.read_by FROM scores s JOIN posts p ON p.id = s.post_id ORDER BY 1, 2")
    assert [tuple(row) for row in scores] == [
        ("1", MODEL, MODEL), ("2", "other@1", "other@1"), ("2", MODEL, MODEL), ("3", "other@1", "other@1"),
    ]  # fmt: skip
    assert one(fresh_store, "SELECT count(*) FROM mentions") == 3
    assert set(fresh_store.dirty_days()) == {("2026-03-19", "openai")}


def test_of_two_corrections_the_later_counts(fresh_store: Store, other: Store, config: Config) -> None:
    """Unless it is of words that the post has no more; it counts at once where the model gave no score."""
    for store in (fresh_store, other):
        filled(store, [post("1"), post("2", "bob"), post("3", "cem")])
    fresh_store.correct(1, "openai", "negative", note="first", at=NOW)
    other.correct(1, "openai", "positive", note="second", at=NOW + HOUR)
    fresh_store.correct(2, "openai", "negative", note=None, at=NOW + HOUR)
    other.correct(2, "openai", "positive", note=None, at=NOW)
    other.correct(3, "openai", "positive", note="of older words", at=NOW + 2 * HOUR)
    fresh_store.save_posts([post("3", "cem", text="OpenAI, reworded.", fetched_at=NOW + HOUR)])
    understand(fresh_store)
    fresh_store.correct(3, "openai", "neutral", note="of these", at=NOW + HOUR)
    assert came(merge(fresh_store, config, other.path)) == {"unchanged": 3, "corrections": 1}
    assert {row["id"]: (row["label"], row["note"], row["lapsed"]) for row in fresh_store.corrections()} == {
        1: ("positive", "second", 0), 2: ("negative", None, 0), 3: ("neutral", "of these", 0),
    }  # fmt: skip
    assert came(merge(fresh_store, config, other.path)) == {"unchanged": 3}
    with fresh_store.writing() as connection:
        connection.execute("DELETE FROM corrections WHERE post_id = 1")
        connection.execute("DELETE FROM scores WHERE post_id = 1")
    merge(fresh_store, config, other.path)
    assert one(fresh_store, "SELECT label FROM v_posts WHERE id = 1 AND team = 'openai'") == "positive"


def test_samples_that_were_read_go_over_with_their_chances(fresh_store: Store, other: Store, config: Config) -> None:
    """A post that no draw here could have drawn comes with the chance that it had; one that could stays in its own frame."""
    filled(fresh_store, [post(str(n), f"author {n}") for n in range(6)])
    filled(other, [post(str(n), f"author {n}") for n in range(4, 12)])
    day = (NOW - DAY).date()
    draw(fresh_store, day, day, "openai", count=3, seed=1, now=NOW)
    draw(other, day, day, "openai", count=4, seed=2, now=NOW)
    first = other.to_review(day, day, "openai")
    keep(other, first[0]["id"], "openai", "negative", now=NOW)
    merge(fresh_store, config, other.path)
    chances = {row[0]: row[1] for row in fresh_store.rows("SELECT p.native_id, r.probability FROM v_reviews r JOIN posts p USING (id)")}
    assert chances == {str(n): 0.5 for n in range(12)} and one(fresh_store, "SELECT count(*) FROM draws") == 2
    for row in first[1:]:
        keep(other, row["id"], "openai", "positive", now=NOW + HOUR)
    merge(fresh_store, config, other.path)
    labels = "SELECT p.native_id, r.label FROM v_reviews r JOIN posts p USING (id) WHERE label IS NOT NULL ORDER BY 1"
    there = [tuple(row) for row in other.rows(labels)]
    assert [tuple(row) for row in fresh_store.rows(labels)] == [row for row in there if row[0] not in ("4", "5")] != []
    assert merge(fresh_store, config, other.path).idle


# ---- forgetting ----------------------------------------------------------------------------------------------------

ROOT = "at://did:plc:abcdefgh/post/1"
OPENER = post(ROOT, "zoe", title="Zebras at OpenAI", text="Zebras at OpenAI\n\nOpenAI keeps zebras.", url="https://x.org/z", thread_id=ROOT)


def forget(store: Store, config: Config, place: str, *, author: bool = False) -> None:
    posts, who = found_at(store, place, author=author)
    forget_posts(store, config, posts, what="posts", author=who)


def files(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")) if not each.name.endswith(".lock"))


def test_what_the_other_store_has_forgotten_goes_here(fresh_store: Store, other: Store, config: Config) -> None:
    """Posts, an author's posts, titles and ids are in no table and no file; whoever was to stay out stays out."""
    answer = post("5", "eve", thread_id=ROOT, parent_id=ROOT, title="Re: Zebras at OpenAI")
    filled(other, [OPENER, post("1"), post("2", "bob")])
    forget(other, config, "https://x.org/z")
    forget(other, config, "https://x.org/1", author=True)
    filled(fresh_store, [answer, OPENER, post("2", "bob"), post("7", text="OpenAI, says a quagga."), post("8", "cem")])
    merged = merge(fresh_store, config, other.path)
    assert came(merged) == {"forgotten": 2, "unchanged": 2, "deleted": 1} and merged.notes == []
    assert {row[0] for row in fresh_store.rows("SELECT native_id FROM posts WHERE deleted_at IS NULL")} == {"2", "5", "8"}
    left = files(fresh_store.path)
    for words in (b"quagga", b"Zebras", b"did:plc", str(post("7").author_key).encode()):
        assert words not in left, words
    assert fresh_store.save_posts([OPENER, post("1"), post("99")]) == Counts(unchanged=3)
    assert merge(fresh_store, config, other.path).idle
    assert fresh_store.check() == []


def test_titles_and_ids_go_of_posts_that_only_answered(fresh_store: Store, other: Store, config: Config) -> None:
    """The post that was forgotten there was never here: nobody's answer here tells its id or title any more."""
    filled(other, [OPENER])
    forget(other, config, "https://x.org/z")
    filled(fresh_store, [post("5", "eve", thread_id=ROOT, parent_id=ROOT, title="Re: Zebras at OpenAI")])
    merge(fresh_store, config, other.path)
    fresh_store.purge()
    assert b"Zebras" not in files(fresh_store.path) and b"did:plc" not in files(fresh_store.path)
    assert fresh_store.unread_count() == 1, "a title may have held the words that an alias needs"


def test_what_this_store_has_forgotten_does_not_come(fresh_store: Store, other: Store, config: Config) -> None:
    """Neither the post, nor another one by the author, nor a title or an id in what others wrote."""
    filled(fresh_store, [OPENER, post("1")])
    forget(fresh_store, config, "https://x.org/z")
    forget(fresh_store, config, "https://x.org/1", author=True)
    filled(other, [OPENER, post("1"), post("2"), post("5", "eve", thread_id=ROOT, parent_id=ROOT, title="Re: Zebras at OpenAI")])
    assert came(merge(fresh_store, config, other.path)) == {"new": 1, "left out": 3}
    [row] = fresh_store.rows("SELECT * FROM posts WHERE deleted_at IS NULL")
    assert (row["native_id"], row["title"], row["parent_id"], row["thread_id"][:7]) == ("5", None, None, "hidden:")
    assert b"Zebras" not in files(fresh_store.path) and b"did:plc" not in files(fresh_store.path)


def test_a_source_that_either_has_forgotten_is_gone_until_that_one_begins_anew(
    fresh_store: Store, other: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, with its crawls; while config.yaml would fill it again the merge is refused before anything is changed."""
    forum = [post(str(n), f"author {n}", source="forum") for n in range(3)]
    for store in (fresh_store, other):
        filled(store, [*forum, post("1")])
        crawl = store.begin_crawl("forum", NOW)
        store.end_crawl(crawl, NOW, finish_reason="finished", counts=Counts(), covered=(NOW - DAY, NOW))
    monkeypatch.setattr(clock, "now", lambda: NOW)
    forget_source(other, config, "forum")
    enabled = config.model_copy(update={"sources": (Source.model_validate({"name": "forum", "type": "hackernews"}),)})
    with pytest.raises(InputError, match="enabled: false"):
        merge(fresh_store, enabled, other.path)
    assert one(fresh_store, "SELECT count(*) FROM posts WHERE source = 'forum'") == 3
    other.save_posts([post("7", source="forum")])
    monkeypatch.setattr(clock, "now", lambda: NOW + 5 * DAY)
    assert came(merge(fresh_store, config, other.path)) == {"forgotten": 3, "new": 1, "unchanged": 1}
    assert merge(fresh_store, config, other.path).idle
    assert [tuple(row) for row in fresh_store.rows("SELECT native_id FROM posts WHERE source = 'forum'")] == [("7",)]
    assert fresh_store.rows("SELECT 1 FROM covered_days WHERE source = 'forum'") == []
    with Store(other.path.with_name("third.db")) as third:
        filled(third, forum)
        merged = merge(fresh_store, config, third.path)
        assert came(merged) == {"left out": 3} and "forum" in merged.notes[0]


def test_retired_posts_count_once_and_stay_without_words(fresh_store: Store, other: Store, config: Config) -> None:
    """Those that both stores retired are one; one that still has its words here keeps them; figures are those of all voices."""
    short = config.model_copy(update={"privacy": Privacy(min_authors=2, retention="5d")})  # type: ignore[arg-type]
    old = [post(str(n), f"author {n // 2}", posted_at=NOW - 9 * DAY, fetched_at=NOW - 9 * DAY) for n in range(10)]
    with Store(other.path.with_name("third.db")) as third:
        wanted = figures(filled(third, old))
    figures(filled(fresh_store, old[:4]))
    figures(filled(other, old[2:]))
    retire(other, short, now=NOW)
    merge(fresh_store, config, other.path)
    assert one(fresh_store, "SELECT count(*) FROM posts WHERE retired") == 6 and one(fresh_store, "SELECT count(*) FROM posts") == 10
    assert figures(fresh_store) == wanted
    retire(fresh_store, short, now=NOW)
    assert merge(fresh_store, config, other.path).idle
    assert figures(fresh_store) == wanted
    with Store(other.path.with_name("fourth.db")) as fourth:
        figures(filled(fourth, old[:7]))
        retire(fourth, short, now=NOW)
        for again in range(2):
            assert came(merge(fourth, config, other.path)) == ({"unchanged": 5, "new": 3} if not again else {"unchanged": 8})
        assert figures(fourth) == wanted


# ---- whose voice ---------------------------------------------------------------------------------------------------


def test_two_keys_are_told_and_one_voice_stays_one_where_posts_show_it(fresh_store: Store, other: Store, config: Config) -> None:
    """Who wrote a post that both hold has one key in the result; of the rest a sentence says that they may count twice."""
    filled(fresh_store, [post("1"), post("2", "bob"), post("9", "dan")])
    theirs = b"other" * 8
    filled(
        other, [post("1", key=theirs), post("3", key=theirs), post("4", "bob", key=theirs), post("5", "eve", source="forum", key=theirs)]
    )
    [told] = merge(fresh_store, config, other.path).notes
    assert "another key" in told and "1 authors of hn" in told and "forum" not in told and "author_key_file" in told
    keys = dict(tuple(row) for row in fresh_store.rows("SELECT native_id, author_key FROM posts WHERE source = 'hn'"))
    assert keys["1"] == keys["3"] == post("1").author_key and keys["4"] == post("4", "bob", key=theirs).author_key
    forget(fresh_store, config, "https://x.org/1", author=True)
    assert came(merge(fresh_store, config, other.path)).get("new") is None


def test_one_key_is_not_worth_a_word_and_none_to_compare_is(fresh_store: Store, other: Store, config: Config) -> None:
    """Nothing is said where posts show that names are hashed alike, or where the stores share no source."""
    filled(fresh_store, [post("1")])
    filled(other, [post("1"), post("2", "bob")])
    assert merge(fresh_store, config, other.path).notes == []
    with Store(other.path.with_name("third.db")) as third:
        filled(third, [post("7", "cem", source="forum")])
        assert merge(fresh_store, config, third.path).notes == []
        filled(third, [post("8", "cem")])
        [told] = merge(fresh_store, config, third.path).notes
        assert "cannot be told" in told and "1 authors of hn" in told


# ---- crawls --------------------------------------------------------------------------------------------------------


def test_coverage_and_health_are_true_and_the_own_crawler_goes_on_where_it_was(fresh_store: Store, other: Store, config: Config) -> None:
    """Days that either read are covered; how a source stands is told by the crawl that began last, whoever made it."""
    for store, at, reason, days in ((fresh_store, NOW, "failed", 1), (other, NOW - HOUR, "finished", 3)):
        crawl = store.begin_crawl("hn", at)
        store.end_crawl(
            crawl, at, finish_reason=reason, counts=Counts(), cursor={"of": store.path.name}, covered=(at - days * DAY, at), message="m"
        )
    other.begin_crawl("forum", NOW)
    assert came(merge(fresh_store, config, other.path)) == {"crawls": 1, "days": 4}
    assert merge(fresh_store, config, other.path).idle
    standing = fresh_store.standings()["hn"]
    assert (standing.reason, standing.failing_since) == ("failed", NOW) and fresh_store.cursor("hn") == {"of": "monitor.db"}
    assert fresh_store.coverage((NOW - 3 * DAY).date(), NOW.date()) == pytest.approx(4 / 5)  # of forum today is not read
    assert fresh_store.known_sources() == ["forum", "hn"]


def test_a_merge_does_not_make_late_posts_seem_in_time(fresh_store: Store, other: Store, config: Config) -> None:
    """What came days after it was written is still known to have, although older posts have higher numbers now."""
    fresh_store.end_crawl(fresh_store.begin_crawl("hn", NOW - 9 * DAY), NOW, finish_reason="finished", counts=Counts())
    filled(fresh_store, [post("1", posted_at=NOW - 5 * DAY, fetched_at=NOW)])
    filled(other, [post("2", posted_at=NOW - 8 * DAY, fetched_at=NOW - 8 * DAY)])
    merge(fresh_store, config, other.path)
    assert [row[0] for row in fresh_store.late_posts()] == [1]


# ---- the other file ------------------------------------------------------------------------------------------------


def test_the_other_database_is_read_and_not_changed(fresh_store: Store, other: Store, config: Config) -> None:
    """Byte by byte, while its own monitor is in the middle of a write."""
    filled(other, [post("1")])
    with other.writing() as connection:
        connection.execute("UPDATE posts SET url = 'half'")
        before = files(other.path)[: other.path.stat().st_size]
        assert came(merge(fresh_store, config, other.path)) == {"new": 1}
        assert files(other.path)[: other.path.stat().st_size] == before
    assert one(fresh_store, "SELECT url FROM posts") == "https://x.org/1"


def test_an_older_database_is_read_from_a_copy(fresh_store: Store, config: Config, tmp_path: Path) -> None:
    """It is brought up to date in a private file, which is gone afterwards; the database itself stays of its version."""
    from sqlite_utils import Database

    from monitor import schema

    path = tmp_path / "old.db"
    old = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(old), stop_before="m006_forgetting")
    old.execute("PRAGMA user_version = 5")
    old.execute(
        """INSERT INTO posts (source, native_id, url, text, posted_at, date_origin, fetched_at, kind, text_hash)
           VALUES ('hn', '1', 'u', 'OpenAI', '2026-03-19T00:00:00Z', 'site', '2026-03-19T00:00:00Z', 'voice', ?)""",
        (text_hash("OpenAI"),),
    )
    before, lying = files(path), set(Path(tempfile.gettempdir()).glob("forum-monitor-merge-*"))
    assert came(merge(fresh_store, config, path)) == {"new": 1}
    assert files(path) == before and set(Path(tempfile.gettempdir()).glob("forum-monitor-merge-*")) == lying
    assert old.execute("PRAGMA user_version").fetchone() == (5,)
    old.close()


def test_a_database_in_a_read_only_folder_is_read(tmp_path: Path, empty: Path) -> None:
    """As on a mounted backup: with its write-ahead log, or without."""
    from test_store import apart

    (tmp_path / "apart").mkdir()
    with Store(tmp_path / "apart/monitor.db") as store:
        store.save_posts([post("1")])
        for ending in ("", "-wal"):
            shutil.copyfile(f"{store.path}{ending}", tmp_path / f"apart/killed.db{ending}")
    program = """
from test_merging import *
for name in ("monitor.db", "killed.db"):
    with Store(Path(name).absolute()) as store:
        print(merge(store, Config(database=store.path), Path("apart") / name).counts["new"])
"""
    assert apart(tmp_path, "mount --bind apart apart && mount -o remount,ro,bind apart", program).split() == ["1", "1"]


def test_what_is_no_other_monitors_database_is_a_sentence(fresh_store: Store, other: Store, config: Config, tmp_path: Path) -> None:
    """Nothing there, this very database, a text, another program's database, one from a newer version."""
    (tmp_path / "text.db").write_text("no database " * 100)
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE recipes (name)")
    foreign.close()
    other.connection.execute("PRAGMA user_version = 99")
    for name, kind, words in (
        ("none.db", InputError, "is not there"), ("monitor.db", InputError, "own database"), ("text.db", StoreError, "not a sound SQLite"),
        ("foreign.db", StoreError, "another program"), ("other.db", NewerSchema, "newer version"),
    ):  # fmt: skip
        with pytest.raises(kind, match=words):
            merge(fresh_store, config, tmp_path / name)


# ---- running -------------------------------------------------------------------------------------------------------


def test_a_merge_that_was_stopped_is_gone_on_with(
    fresh_store: Store, other: Store, config: Config, monkeypatch: pytest.MonkeyPatch, empty: Path
) -> None:
    """At whatever batch: what is there is whole, its days are marked, and the next run ends where one run would have."""
    monkeypatch.setattr("monitor.store.another.BATCH", 3)
    filled(other, [post(str(n), f"author {n}", posted_at=NOW - n * DAY) for n in range(10)] + [Gone("hn", "4")])
    other.end_crawl(other.begin_crawl("hn", NOW), NOW, finish_reason="finished", counts=Counts(), covered=(NOW - DAY, NOW))
    steps: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        steps.append((done, total))
        if len(steps) in (1, 3):
            raise KeyboardInterrupt

    for so_far in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            merge(fresh_store, config, other.path, progress=stop)
        assert one(fresh_store, "SELECT count(*) FROM posts") == so_far and fresh_store.rows("SELECT 1 FROM covered_days") == []
        assert len(fresh_store.dirty_days()) == one(fresh_store, "SELECT count(*) FROM scores")
    assert came(merge(fresh_store, config, other.path, progress=stop)) == {"new": 4, "unchanged": 6, "crawls": 1, "days": 2}
    assert steps[-1] == (10, 10)
    assert figures(fresh_store) == figures(other) and fresh_store.snapshot() == other.snapshot()


def test_the_command_says_what_it_did_and_what_comes_next(
    write_config: Callable[..., Path], forum_monitor: Run, fresh_store: Store, other: Store, empty: Path
) -> None:
    """In a line for each database, or as JSON; what is wrong is a sentence and exit code 2."""
    write_config()
    other.save_posts([post("1"), post("2", "bob")])
    done = forum_monitor("merge", "other.db")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "merge other.db: 2 new, 0 changed, 0 unchanged.",
        "2 posts wait to be understood: `forum-monitor once` reads them and computes the figures.",
    ]
    [row] = json.loads(forum_monitor("merge", "other.db", "--json").stdout)
    assert (row["database"], row["new"], row["unchanged"], row["notes"]) == ("other.db", 0, 2, [])
    wrong = forum_monitor("merge", "none.db")
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.startswith("Error: none.db is not there")
