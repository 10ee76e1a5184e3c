"""Forgetting and retention: nothing is left in any file, nothing comes back, and the figures that remain are right."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.collect import _to_look_at
from monitor.config import Config, Privacy, Source
from monitor.errors import InputError
from monitor.forget import check_source, forget_posts, forget_source, found_at, retire, searched
from monitor.privacy import author_key, hiding, load_keys, period_start
from monitor.records import ALL, Gone, Mention, Post, Score, text_hash
from monitor.store import Counts, Reading, Step, Store, Visit
from monitor.trend import trend

NOW = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
TODAY = NOW.date()
MODEL = "seed@1"
CONFIG = Config(privacy=Privacy(min_authors=2))

Run = Callable[..., subprocess.CompletedProcess[str]]


def post(native_id: str, author: str = "ada", **fields: Any) -> Post:
    given = {
        "source": "hn",
        "native_id": native_id,
        "url": f"https://x.org/{native_id}",
        "text": f"OpenAI lost its way, says number {native_id}.",
        "posted_at": NOW,
        "fetched_at": NOW,
        "author_key": author_key(b"k" * 32, str(fields.get("source", "hn")), author),
        **fields,
    }
    return Post(**given)


def understand(store: Store) -> None:
    """Every unread post names the team at its beginning; how bad it is follows from its number."""
    store.read_by(MODEL, MODEL)
    for found in store.unread(10_000):
        score = Score(MODEL, 0.2 + (found.id % 7) / 10, 0.1, 0.7 - (found.id % 7) / 10)
        reading = Reading(found.id, found.text_hash, "en", [Mention("openai", 0, 6)], {"openai": (text_hash(found.text), score)})
        store.save_readings([reading], model=MODEL, at=NOW)


def filled(store: Store, posts: Iterable[Post | Gone]) -> None:
    store.save_posts(posts)
    understand(store)
    trend(store, min_authors=2)


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("monitor.db*")) if not path.name.endswith(".lock"))


def one(store: Store, sql: str) -> Any:
    return store.rows(sql)[0][0]


def authors(store: Store, source: str = ALL) -> int | None:
    rows = store.trends(model=MODEL, source=source)
    return rows[0].authors if rows else None


def forget(store: Store, place: str, *, author: bool = False, config: Config = CONFIG) -> Any:
    posts, who = found_at(store, place, author=author)
    return forget_posts(store, config, posts, what="posts", author=who)


# ---- one post ------------------------------------------------------------------------------------------------------


def test_a_forgotten_post_is_in_no_table_and_no_file(fresh_store: Store, tmp_path: Path) -> None:
    """Words, title, address, author, mentions, scores, correction and note, evidence, index, visits, messages and cursors that name it."""
    doomed = post("4711", title="The zebra question", text="The zebra question\n\nOpenAI is a quagga, if ever there was one.")
    filled(fresh_store, [doomed, post("1", "bob"), post("2", "cem")])
    fresh_store.correct(1, "openai", "positive", note="he means the quagga", at=NOW)
    figures = {"value": -0.5, "before": 0.1, "posts": 3}
    event = ("normal", "firing", TODAY, "It fell.")
    fresh_store.save_steps(
        [Step("fall", "drop", "openai", ALL, MODEL, "firing", TODAY, TODAY, 0, event, figures, (1, 2))], targets=["console"], at=NOW
    )
    crawl = fresh_store.begin_crawl("hn", NOW)
    visits = [
        Visit("https://x.org", "https://x.org/items/4711.json", "asked", NOW),
        Visit("https://x.org", "https://x.org/47110", "asked", NOW),
    ]
    fresh_store.save_visits(crawl, visits, asked={}, files=[], now=NOW)
    cursor = {"seen": {"https://x.org/4711": "etag", "https://x.org/47110": "etag"}, "until": 5}
    message = "https://x.org/4711 answers 500; https://x.org/47110 answers 500"
    fresh_store.end_crawl(crawl, NOW, finish_reason="failed", counts=Counts(), message=message, cursor=cursor)

    proof = forget(fresh_store, "https://x.org/4711")

    assert proof.complete and proof.search.hits == {"text": 0, "address": 0, "key": 0}
    assert proof.search.searched["text"] >= 2 and proof.search.searched["address"] == 1 and proof.search.files
    left = files(tmp_path)
    for words in (b"quagga", b"zebra", b"x.org/4711,", b'x.org/4711"', b"x.org/4711 ", b"4711.json", doomed.author_key.encode()):
        assert words not in left, words
    assert {"posts", "mentions", "scores", "corrections", "alert_posts", "crawls", "visits"} <= proof.rows.keys()
    assert fresh_store.rows("SELECT rowid FROM posts_fts WHERE posts_fts MATCH 'quagga'") == []
    assert fresh_store.cursor("hn") == {"seen": {"https://x.org/47110": "etag"}, "until": 5}
    assert one(fresh_store, "SELECT message FROM crawls") == "… answers 500; https://x.org/47110 answers 500"
    assert [row["url"] for row in fresh_store.visits("hn")] == ["…", "https://x.org/47110"]
    assert fresh_store.rows("SELECT value, posts FROM alerts")[0][:] == (-0.5, 3)
    assert [each["url"] for each in fresh_store.due(NOW)[0].posts] == ["https://x.org/1"]
    assert fresh_store.check() == []


def test_figures_are_right_when_the_command_ends(fresh_store: Store) -> None:
    """The day is computed again at once, without the voice that was forgotten; one that is left below the minimum shows nothing."""
    filled(fresh_store, [post("1"), post("2", "bob"), post("3", "cem")])
    assert authors(fresh_store) == 3
    assert forget(fresh_store, "https://x.org/3").team_days == 1
    [row] = fresh_store.trends(model=MODEL, source=ALL)
    assert (row.authors, row.sufficient) == (2, True) and fresh_store.dirty_days() == {}
    forget(fresh_store, "https://x.org/2")
    [row] = fresh_store.trends(model=MODEL, source=ALL)
    assert (row.authors, row.mean) == (1, None)


@pytest.mark.parametrize("native_id", ["57", "https://x.org/57", "at://did:plc:abcdefgh/app.bsky.feed.post/57"])
def test_no_crawl_brings_a_forgotten_post_back(fresh_store: Store, tmp_path: Path, native_id: str) -> None:
    """The same post, an edit of it, and its deletion all leave the tombstone as it is; its id is not kept where it could name somebody."""
    filled(fresh_store, [post(native_id, url="https://x.org/57"), post("1", "bob")])
    proof = forget(fresh_store, "https://x.org/57")
    assert proof.tombstones == 1
    before = fresh_store.snapshot()
    again = post(native_id, url="https://x.org/57")
    assert fresh_store.save_posts([again, dataclasses.replace(again, text="edited"), Gone("hn", native_id), again]) == Counts(unchanged=3)
    assert fresh_store.snapshot() == before and fresh_store.tombstones() == 1
    assert native_id == "57" or native_id.encode() not in files(tmp_path)


def test_a_forgotten_opener_leaves_neither_title_nor_id_in_its_thread(fresh_store: Store, tmp_path: Path) -> None:
    """Those who answered keep their words; the title that the author wrote goes from their rows and stays away."""
    root = "at://did:plc:abcdefgh/post/1"
    opener = post(
        root, thread_id=root, title="Zebras at OpenAI", text="Zebras at OpenAI\n\nOpenAI keeps zebras now.", url="https://x.org/z"
    )
    answers = [post(f"{n}", f"author {n}", thread_id=root, parent_id=root, title="Re: Zebras at OpenAI") for n in range(3)]
    filled(fresh_store, [opener, *answers])
    proof = forget(fresh_store, "https://x.org/z")
    assert proof.complete and proof.search.elsewhere == {}
    fresh_store.save_posts([dataclasses.replace(answer, text=f"{answer.text} Edited.") for answer in answers])
    rows = fresh_store.rows("SELECT title, parent_id, thread_id FROM posts WHERE deleted_at IS NULL")
    assert len(rows) == 3 and len({tuple(row) for row in rows}) == 1 and rows[0]["title"] is None and rows[0]["parent_id"] is None
    assert b"Zebras" not in files(tmp_path) and b"did:plc" not in files(tmp_path)
    assert {thread for _, thread, _ in fresh_store.recent("hn", NOW)} == {""}, "nobody asks a site for a thread of that name"


def test_an_address_is_found_as_people_write_it(fresh_store: Store) -> None:
    """With a slash or without, http or https, with a fragment, or by the post's number; anything else is a sentence."""
    fresh_store.save_posts([post("1", url="https://x.org/t/1/"), post("10", url="https://x.org/t/10/")])
    for place in ("https://x.org/t/1/", "https://x.org/t/1", "http://x.org/t/1", "https://x.org/t/1#answers", "#1", " https://x.org/t/1 "):
        assert found_at(fresh_store, place, author=False) == ([1], None)
    with pytest.raises(InputError, match="no stored post has the address"):
        found_at(fresh_store, "https://x.org/t", author=False)


def test_a_longer_address_is_another_one(fresh_store: Store) -> None:
    """The search takes neither .../10, which lives on, nor .../ beside a thread of that number for .../1, which is forgotten."""
    filled(fresh_store, [post("1"), post("10", "bob"), post("100", "cem"), post("9", "dan", url="https://x.org/", thread_id="1")])
    proof = forget(fresh_store, "https://x.org/1")
    assert proof.complete and not proof.rewritten and proof.search.elsewhere == {}


def test_what_others_said_word_for_word_is_told_apart(fresh_store: Store) -> None:
    """A copy by somebody else lives on and is told as such; it is not taken for a leftover."""
    words = "OpenAI has lost its way, and everybody there knows."
    filled(fresh_store, [post("1", text=words), post("2", "bob", text=words)])
    proof = forget(fresh_store, "https://x.org/1")
    assert proof.complete and proof.search.elsewhere == {"posts.text": 1}
    assert one(fresh_store, "SELECT text FROM posts WHERE id = 2") == words


# ---- an author -----------------------------------------------------------------------------------------------------


def test_an_author_is_forgotten_for_good(fresh_store: Store, tmp_path: Path) -> None:
    """All his posts go, none of his later ones is stored, a post that turns out to be his goes too; others' are untouched."""
    filled(fresh_store, [post(str(n), posted_at=NOW - n * DAY) for n in range(5)] + [post("9", "bob"), post("8", author_key=None)])
    proof = forget(fresh_store, "https://x.org/3", author=True)
    assert proof.posts == proof.tombstones == 5 and proof.complete and proof.marks["author"] == 1
    assert fresh_store.save_posts([post("77"), post("8"), post("78", "bob"), post("79", source="forum")]) == Counts(
        new=2, unchanged=1, deleted=1
    )
    assert {row[0] for row in fresh_store.rows("SELECT native_id FROM posts WHERE deleted_at IS NULL")} == {"9", "78", "79"}
    fresh_store.purge()
    assert post("77").author_key.encode() not in files(tmp_path)


def test_an_author_who_is_not_known_cannot_be_forgotten_as_one(fresh_store: Store) -> None:
    """A post without an author, and a page that several people wrote on, are sentences that say what to do."""
    fresh_store.save_posts([post("1", author_key=None), post("2", url="https://x.org/page"), post("3", "bob", url="https://x.org/page")])
    with pytest.raises(InputError, match="--url"):
        found_at(fresh_store, "https://x.org/1", author=True)
    with pytest.raises(InputError, match="#2, #3"):
        found_at(fresh_store, "https://x.org/page", author=True)


def test_an_author_stays_forgotten_when_keys_turn(fresh_store: Store, tmp_path: Path) -> None:
    """Seen once more in the period in which he was forgotten, he is recognised in every later one, and none of his posts is stored."""
    begin = dt.datetime.combine(period_start(TODAY, 30), dt.time(12), dt.UTC)
    for days, native_id in ((0, "1"), (3, "2"), (35, "3"), (365, "4")):
        now = begin + days * DAY
        keys = load_keys(tmp_path / "key", 30, now.date())
        hide = hiding(keys, "hn", leaves_out=fresh_store.leaves_out, leave_out=fresh_store.leave_out, now=now)
        fresh_store.save_posts([post(native_id, posted_at=now, author_key=hide("ada", now))])
        fresh_store.save_posts([post(f"b{native_id}", posted_at=now, author_key=hide("bob", now))])
        if days == 0:
            forget(fresh_store, "https://x.org/1", author=True)
    assert [row[0] for row in fresh_store.rows("SELECT native_id FROM posts WHERE deleted_at IS NULL ORDER BY 1")] == [
        "b1",
        "b2",
        "b3",
        "b4",
    ]


# ---- a source ------------------------------------------------------------------------------------------------------


def test_a_source_is_forgotten_whole(fresh_store: Store, tmp_path: Path) -> None:
    """Posts, tombstones, crawls, cursor, coverage and figures go, none of another source's; a mark says when it was. It may begin anew."""
    filled(fresh_store, [post(str(n), f"author {n}") for n in range(6)] + [Gone("hn", "5")])
    filled(fresh_store, [post(str(n), f"author {n}", source="forum", url=f"https://forum/{n}") for n in range(3)])
    for source in ("hn", "forum"):
        crawl = fresh_store.begin_crawl(source, NOW)
        fresh_store.end_crawl(crawl, NOW, finish_reason="finished", counts=Counts(), cursor={"after": 7}, covered=(NOW - DAY, NOW))
    assert (authors(fresh_store), authors(fresh_store, "hn")) == (8, 5)
    proof = forget_source(fresh_store, CONFIG, "hn")
    assert proof.posts == 6 and proof.tombstones == 0 and proof.complete and proof.marks == {"source": 1}
    assert (authors(fresh_store), authors(fresh_store, "hn"), authors(fresh_store, "forum")) == (3, None, 3)
    for table in ("posts", "crawls", "sources", "covered_days", "daily_trends"):
        assert one(fresh_store, f"SELECT count(*) FROM {table} WHERE source = 'hn'") == 0
        assert one(fresh_store, f"SELECT count(*) FROM {table} WHERE source = 'forum'") > 0
    assert b"https://x.org" not in files(tmp_path) and fresh_store.check() == []
    assert fresh_store.save_posts([post("1")]) == Counts(new=1) and fresh_store.cursor("hn") == {}
    with pytest.raises(InputError, match="nothing is stored of a source 'elsewhere': known are forum, hn"):
        check_source(fresh_store, CONFIG, "elsewhere")


# ---- what cannot be foreseen -----------------------------------------------------------------------------------------


def test_tables_that_come_later_are_reached(fresh_store: Store) -> None:
    """Any table that refers to posts, or holds a `post_id`, loses its rows; a post bound to a forgotten one is counted anew."""
    filled(fresh_store, [post("1"), post("2", "bob", posted_at=NOW - 3 * DAY), post("3", "cem")])
    with fresh_store.writing() as connection:
        connection.execute(
            "CREATE TABLE answers (question INTEGER REFERENCES posts (id), answer INTEGER REFERENCES posts (id), words TEXT)"
        )
        connection.execute("INSERT INTO answers VALUES (1, 2, 'a'), (3, 2, 'b')")
        connection.execute("CREATE TABLE sketches (post_id INTEGER, blob TEXT)")
        connection.execute("INSERT INTO sketches VALUES (1, 'a'), (3, 'b')")
    proof = forget(fresh_store, "https://x.org/1")
    assert (proof.rows["answers"], proof.rows["sketches"], proof.team_days) == (1, 1, 2)
    assert [row[0] for row in fresh_store.rows("SELECT words FROM answers UNION ALL SELECT blob FROM sketches")] == ["b", "b"]


def test_the_search_finds_what_is_left(fresh_store: Store, tmp_path: Path) -> None:
    """A proof that could not fail would be none: what lies in the file's free pages is found, and the file is then written anew."""
    filled(fresh_store, [post("1", text=f"OpenAI and the quagga. {'words ' * 40}"), post("2", "bob")])
    needle = ("text", b"OpenAI and the quagga. words words words")
    careless = sqlite3.connect(tmp_path / "monitor.db")
    careless.execute("PRAGMA secure_delete = OFF")
    with careless:
        careless.execute("CREATE TABLE careless AS SELECT text FROM posts")
        careless.execute("DROP TABLE careless")
    careless.close()
    assert searched(fresh_store, [needle]).hits["text"] == 0, "as long as the post lives, that is its place"
    proof = forget(fresh_store, "https://x.org/1")
    assert proof.rewritten and proof.complete and b"quagga" not in files(tmp_path)


@pytest.mark.real  # it waits as long as a writer does, half a minute
def test_a_reader_that_holds_the_log_is_told(fresh_store: Store, tmp_path: Path) -> None:
    """While another process reads an older state its log must stay: the proof says so, and is not taken for complete."""
    filled(fresh_store, [post("1", text="OpenAI and the quagga, a sad story."), post("2", "bob")])
    with Store(tmp_path / "monitor.db", read_only=True) as reader:
        reading = reader.connection.execute("SELECT 1 FROM posts UNION ALL SELECT 2")
        next(reading)
        proof = forget(fresh_store, "https://x.org/1")
        assert not proof.complete and proof.search.hits["text"] > 0
        assert one(fresh_store, "SELECT count(*) FROM posts WHERE text LIKE '%quagga%'") == 0
        reading.close()
    assert fresh_store.purge() and b"quagga" not in files(tmp_path)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300), min_size=2, max_size=8, unique=True)
)
@example(texts=["negative_sha", "another"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_post_can_be_forgotten(tmp_path: Path, texts: list[str]) -> None:
    """Whatever a post says, the proof is complete, and every other post is as it was."""
    for path in tmp_path.glob("monitor.db*"):
        path.unlink()
    with Store(tmp_path / "monitor.db") as store:
        filled(store, [post(str(n), f"author {n}", text=text) for n, text in enumerate(texts)])
        others = [tuple(row) for row in store.rows("SELECT id, text, url FROM posts WHERE native_id <> '0'")]
        assert forget(store, "https://x.org/0").complete
        assert [tuple(row) for row in store.rows("SELECT id, text, url FROM posts WHERE deleted_at IS NULL")] == others


# ---- the command ---------------------------------------------------------------------------------------------------


def test_the_command_asks_shows_its_proof_and_refuses_what_would_come_back(
    fresh_store: Store, tmp_path: Path, write_config: Callable[..., Path], forum_monitor: Run
) -> None:
    """Nothing happens without a yes; text and JSON say what went; an enabled source is refused with what to write."""
    filled(fresh_store, [post(str(n), f"author {n % 3}") for n in range(6)])
    fresh_store.close()
    terms = {"read_on": "2026-01-01", "by": "us", "allows": "reading"}
    source = {"name": "hn", "type": "feed", "options": {"urls": ["http://127.0.0.1:9/feed"]}, "terms": terms}
    write_config(sources=[source])
    asked = forum_monitor("forget", "--url", "https://x.org/1", stdin="n\n")
    assert asked.returncode == 1 and "cannot be taken back" in asked.stdout
    told = forum_monitor("forget", "--url", "https://x.org/1", "--yes")
    assert told.returncode == 0, told.stderr
    assert "posts: 1" in told.stdout and "address: 1 searched for, 0 found" in told.stdout and "x.org" not in told.stdout
    proof = json.loads(forum_monitor("forget", "--author-of", "https://x.org/0", "--yes", "--json").stdout)
    assert proof["complete"] and proof["posts"] == 2 and proof["rows"]["posts"] == 2 and proof["search"]["hits"]["key"] == 0
    refused = forum_monitor("forget", "--source", "hn", "--yes")
    assert refused.returncode != 0 and "enabled: false" in refused.stderr
    write_config(sources=[{**source, "enabled": False}])
    assert "hn (3" not in forum_monitor("forget", "--source", "hn", "--yes").stdout
    with Store(tmp_path / "monitor.db") as store:
        assert one(store, "SELECT count(*) FROM posts") == 0
        assert [(row["kind"], row["source"]) for row in store.forgotten()] == [("author", "hn"), ("source", "hn")]
    both = forum_monitor("forget", "--url", "a", "--source", "b")
    assert both.returncode != 0 and "give one of" in both.stderr


# ---- retention -----------------------------------------------------------------------------------------------------


def old(native_id: str, author: str, days: int, **fields: Any) -> Post:
    return post(native_id, author, posted_at=NOW - days * DAY + dt.timedelta(minutes=int(native_id)), **fields)


KEPT = Config(privacy=Privacy(min_authors=2, retention="30d"))  # type: ignore[arg-type]


def figures(store: Store) -> list[Any]:
    return [tuple(row) for row in store.rows("SELECT day, source, posts, authors, threads, sufficient, round(mean, 9), round(variance, 9) FROM daily_trends")]  # fmt: skip  # noqa: E501


def test_old_posts_lose_words_and_authors_and_their_days_keep_their_figures(fresh_store: Store, tmp_path: Path) -> None:
    """After retention nothing tells who wrote what; a full rebuild, and another minimum and back, give the same figures."""
    posts = [old(str(n), f"author {n % 4}", 28 + n % 6, thread_id=f"t{n % 3}") for n in range(60)] + [old("90", "x", 40, author_key=None)]
    filled(fresh_store, posts)
    fresh_store.correct(6, "openai", "positive", note="the quagga again", at=NOW)
    trend(fresh_store, min_authors=2)
    before, volumes = figures(fresh_store), fresh_store.volumes("hn", MODEL, TODAY - 90 * DAY)
    gone = [each for each in posts if each.posted_at.date() < TODAY - 30 * DAY]
    assert retire(fresh_store, KEPT, now=NOW) == {"hn": len(gone)}
    fresh_store.purge()
    left = files(tmp_path)
    for each in gone:
        assert each.text.encode() not in left
    assert (
        one(fresh_store, "SELECT count(*) FROM posts WHERE retired AND (url <> '' OR parent_id <> '' OR posted_at NOT LIKE '%T00:00:00Z')")
        == 0
    )
    assert b"quagga" not in left
    keys = {row[0] for row in fresh_store.rows("SELECT author_key FROM posts WHERE retired AND author_key <> ''")}
    assert not keys & {each.author_key for each in posts}
    for _ in range(2):
        trend(fresh_store, min_authors=2, rebuild=True)
        assert figures(fresh_store) == before
        trend(fresh_store, min_authors=3)
        trend(fresh_store, min_authors=2)
    assert figures(fresh_store) == before and fresh_store.volumes("hn", MODEL, TODAY - 90 * DAY) == volumes
    assert retire(fresh_store, KEPT, now=NOW + dt.timedelta(hours=1)) == {} and fresh_store.check() == []


def test_an_author_is_not_linked_from_one_retired_day_to_another(fresh_store: Store) -> None:
    """Within a day his posts are one voice; between two days, and from the retired to the living, nothing tells that they are his."""
    filled(fresh_store, [old(str(n), "ada", 60 + n % 2) for n in range(4)] + [old("9", "ada", 1)])
    retire(fresh_store, KEPT, now=NOW)
    rows = fresh_store.rows("SELECT substr(posted_at, 1, 10), count(*), count(DISTINCT author_key), min(author_key) FROM posts GROUP BY 1")
    assert [row[1:3] for row in rows] == [(2, 1), (2, 1), (1, 1)] and len({row[3] for row in rows}) == 3


def test_no_crawl_fills_a_retired_post_again(fresh_store: Store) -> None:
    """What a feed or an old page still shows stays retired; a deletion on the forum takes the figures too."""
    filled(fresh_store, [old("1", "ada", 60), old("2", "bob", 60)])
    retire(fresh_store, KEPT, now=NOW)
    assert fresh_store.save_posts([old("1", "ada", 60), old("2", "bob", 60, text="edited")]) == Counts(unchanged=2)
    assert fresh_store.save_posts([Gone("hn", "1"), Gone("hn", "1")]) == Counts(deleted=1)
    trend(fresh_store, min_authors=2)
    assert authors(fresh_store) == 1 and one(fresh_store, "SELECT count(*) FROM posts") == 2


def test_each_source_has_its_own_retention(fresh_store: Store) -> None:
    """A source's own setting goes before the general one, and a source that is not configured, as an import's, has the general one."""
    filled(fresh_store, [old("1", "ada", 20, source=source) for source in ("hn", "forum", "import")])
    short = Config(
        privacy=Privacy(retention="365d"),  # type: ignore[arg-type]
        sources=(Source(name="hn", type="feed", retention="10d"), Source(name="forum", type="feed")),  # type: ignore[arg-type]
    )
    assert retire(fresh_store, short, now=NOW) == {"hn": 1}
    assert retire(fresh_store, short, now=NOW + 400 * DAY) == {"forum": 1, "import": 1}
    assert retire(fresh_store, CONFIG, now=NOW + 400 * DAY) == {}


def test_an_old_archive_is_read_before_it_is_retired(fresh_store: Store) -> None:
    """Posts that come in old wait until they were understood, a week at most, so that their days get their figures."""
    fresh_store.save_posts([old("1", "ada", 400), old("2", "bob", 400)])
    assert retire(fresh_store, KEPT, now=NOW) == {}
    filled(fresh_store, [])
    assert retire(fresh_store, KEPT, now=NOW + DAY) == {"hn": 2}
    trend(fresh_store, min_authors=2, rebuild=True)
    assert authors(fresh_store) == 2
    fresh_store.save_posts([old("3", "cem", 500)])
    assert retire(fresh_store, KEPT, now=NOW + 8 * DAY) == {"hn": 1}


def test_a_repost_stays_no_voice_when_both_are_retired(fresh_store: Store) -> None:
    """Who only repeated others did not count, and does not begin to when the words that showed it are gone."""
    words = "OpenAI has told everybody on the team to be in the office by nine every day, and nobody there believes that it will help."
    filled(fresh_store, [old("1", "ada", 61, text=words), old("2", "bob", 60, text=words), old("3", "cem", 60)])
    before = figures(fresh_store)
    retire(fresh_store, KEPT, now=NOW)
    trend(fresh_store, min_authors=2, rebuild=True)
    assert figures(fresh_store) == before


def test_a_source_whose_posts_are_retired_can_still_be_forgotten(fresh_store: Store) -> None:
    """Their figures go with them."""
    filled(fresh_store, [old("1", "ada", 60), old("2", "bob", 60, source="forum")])
    retire(fresh_store, KEPT, now=NOW)
    forget_source(fresh_store, CONFIG, "hn")
    assert (authors(fresh_store), authors(fresh_store, "hn")) == (1, None)


def test_trend_retires_and_says_how_many(fresh_store: Store, write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """The chain does it, and its log has a count and no word of a post."""
    filled(fresh_store, [old("1", "ada", 4000), old("2", "bob", 4000)])
    fresh_store.close()
    write_config(privacy={"retention": "730d"})
    told = forum_monitor("trend")
    assert told.returncode == 0 and "2 posts of hn are older than retention allows" in told.stdout
    assert "quagga" not in told.stdout and "says number" not in told.stdout


# ---- looking again -------------------------------------------------------------------------------------------------


def test_an_older_post_is_looked_at_once_at_each_age(fresh_store: Store) -> None:
    """Every crawl looks at a post for two days, then one each at 4, 8, 16 and 30 days, and no more; a failed one is tried for two days."""
    source = Source(name="hn", type="feed")
    fresh_store.save_posts([post("1"), post("2")])
    looks: dict[str, list[float]] = {"1": [], "2": []}
    for hours in range(1, 40 * 24, 5):
        now = NOW + dt.timedelta(hours=hours)
        for native_id, _, _ in _to_look_at(fresh_store, CONFIG, source, now):
            looks[native_id].append(hours / 24)
            if native_id == "1":  # the other one's page does not answer
                fresh_store.save_posts([post("1", fetched_at=now)])
    assert [round(age) for age in looks["1"] if age > 2] == [4, 8, 16, 30]
    assert len([age for age in looks["1"] if age <= 2]) == 10
    tried = [age for age in looks["2"] if age > 2]
    assert len(tried) > 30 and all(any(mark <= age <= mark + 2 for mark in (4, 8, 16, 30)) for age in tried)


def test_young_and_old_posts_are_looked_at_in_turn(fresh_store: Store) -> None:
    """A spider that looks at the first twenty only gets to the older ones too."""
    fresh_store.save_posts([post(f"y{n}") for n in range(100)])
    fresh_store.save_posts([post(f"o{n}", posted_at=NOW - 8 * DAY, fetched_at=NOW - 8 * DAY) for n in range(100)])
    first = [native_id[0] for native_id, _, _ in _to_look_at(fresh_store, CONFIG, Source(name="hn", type="feed"), NOW)]
    assert first[:20].count("o") == 5 and len(first) == 200


@given(gaps=st.lists(st.integers(1, 200), min_size=1, max_size=60))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_post_is_looked_at_more_than_four_times_after_two_days(tmp_path: Path, gaps: list[int]) -> None:
    """However crawls fall, an older post costs a site four requests in all at the most."""
    for path in tmp_path.glob("monitor.db*"):
        path.unlink()
    with Store(tmp_path / "monitor.db") as store:
        store.save_posts([post("1")])
        now, looks = NOW, 0
        for gap in gaps:
            now += dt.timedelta(hours=gap)
            due = _to_look_at(store, CONFIG, Source(name="hn", type="feed"), now)
            looks += bool(due) and now - NOW > 2 * DAY
            if due:
                store.save_posts([post("1", fetched_at=now)])
        assert looks <= 4
