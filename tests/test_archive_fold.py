"""Archives in the store: figures as if everything had been imported, a few posts that show them, nothing of what was forgotten."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from archived import archived
from test_trend import DAY, MODEL, Said, authors, say

from monitor import digested, report
from monitor.archive.fold import fold
from monitor.archive.layout import Root
from monitor.archive.voices import beyond, heard
from monitor.backtest import backtest
from monitor.config import Alias, Config, Privacy, Rule, Team
from monitor.errors import InputError
from monitor.forget import clean_archives, forget_posts, forget_source, found_at, kept_from, retire
from monitor.merging import merge
from monitor.records import Gone, Post, text_hash
from monitor.store import Counts, DigestOf, Reading, Store, Wanted
from monitor.trend import trend, window
from monitor.weeks import computed, settle

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)


def figures(store: Store) -> list[tuple[object, ...]]:
    """v_daily but for coverage, rounded: sums may be in another order."""
    return [
        tuple(round(value, 9) if isinstance(value, float) else value for value in row)
        for row in store.rows(
            """SELECT day, team, source, model, posts, authors, threads, sufficient, mean, low, high, negative_share, neutral_share,
                positive_share, effective FROM v_daily ORDER BY 1, 2, 3, 4"""
        )
    ]


def days(count: int, every: int = 3) -> list[dt.date]:
    return [DAY + dt.timedelta(days=n) for n in range(0, count * every, every)]


def some(count: int = 9) -> list[Said]:
    """A few weeks of two teams in two sources, some days with too few people."""
    return [
        dataclasses.replace(post, number=number)
        for n, day in enumerate(days(count))
        for number, said in enumerate(
            (
                authors(5 + n % 3, -0.5 + 0.1 * (n % 5), day=day),
                authors(2 + n % 4, 0.4, day=day, source="other", team="openai"),
                authors(3, 0.1 * (n % 7), day=day, source="other"),
            )
        )
        for post in said
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that imported everything. Nobody writes to it."""
    store = Store(tmp_path_factory.mktemp("whole") / "whole.db")
    say(store, some())
    trend(store, min_authors=5)
    return store


@pytest.fixture(scope="module")
def made(whole: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of that store, and a store that it was folded into."""
    folder = tmp_path_factory.mktemp("made")
    with Store(folder / "folded.db") as store:
        taken(store, archived(whole, folder / "archives"))
    return folder


def taken(store: Store, root: Any, name: str = "old", **settings: Any) -> tuple[int, int, int]:
    return tuple(fold(store, root, name, min_authors=5, now=NOW, **settings))  # type: ignore[return-value]


def test_the_figures_are_those_of_an_import(whole: Store, made: Path, fresh_store: Store) -> None:
    """A folded archive gives the figures that importing all of its posts gives; a second fold and a `trend` have nothing to do."""
    root = Root(str(made / "archives"))
    done = taken(fresh_store, root)
    assert figures(fresh_store) == figures(whole)
    assert done[:2] == (9, 18)
    assert trend(fresh_store, min_authors=5) == 0
    assert taken(fresh_store, root) == (0, 0, 0)
    assert trend(fresh_store, min_authors=5, rebuild=True, beyond=beyond(fresh_store)) == 18
    assert figures(fresh_store) == figures(whole)


def test_few_people_give_no_figure(folded: Store) -> None:
    """A day on which fewer than min_authors people spoke comes with its counts alone, though the archive's file has its figures."""
    rows = folded.rows("SELECT sufficient, mean, low, negative_share FROM daily_trends WHERE authors < 5")
    assert rows and all(tuple(row) == (0, None, None, None) for row in rows)


def together(store: Store) -> list[tuple[object, ...]]:
    """The figures of all days together, from wherever their posts lie."""
    first, last = days(9)[0], days(9)[-1]
    said = heard(store, ["meta", "openai"], first, last)
    found = window([voice for _, voice in said.voices], first, last, min_authors=5)
    assert found and not said.away
    return [(team, row.posts, row.authors, row.threads, round(row.mean or 0, 9)) for team, row in sorted(found.items())]


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.real) for n in range(1, 20))])
def test_a_store_and_an_archive_are_together_what_one_import_is(seed: int, whole: Store, tmp_path: Path, fresh_store: Store) -> None:
    """However posts lie in an archive, in the store or in both, before the fold or after: the figures are those of all of them."""
    rng = random.Random(seed)
    place = {post.key + post.source: rng.choice(["archive", "store", "both"]) for post in some()}

    def kept(row: Mapping[str, Any]) -> bool:
        return place[row["native_id"] + row["source"]] != "store"

    own = [post for post in some() if place[post.key + post.source] != "archive"]
    root = archived(whole, tmp_path / "archives", kept=kept)
    half = rng.randrange(len(own))
    say(fresh_store, own[:half])
    taken(fresh_store, root)
    trend(fresh_store, min_authors=5, beyond=beyond(fresh_store))
    say(fresh_store, own[half:])
    trend(fresh_store, min_authors=5, beyond=beyond(fresh_store))
    assert figures(fresh_store) == figures(whole)
    trend(fresh_store, min_authors=5, rebuild=True, beyond=beyond(fresh_store))
    assert figures(fresh_store) == figures(whole)
    assert together(fresh_store) == together(whole)


# ---- what stands beside ---------------------------------------------------------------------------------------------


def ids(store: Store, where: str = "archived") -> set[str]:
    return {row[0] for row in store.rows(f"SELECT native_id FROM posts WHERE {where}")}


@pytest.fixture
def folded(made: Path, tmp_path: Path) -> Iterator[Store]:
    """A store that has the whole archive, and nothing else; both are the test's own."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with Store(tmp_path / "folded.db") as store, store.writing() as connection:
        connection.execute("UPDATE archives SET root = ?", (str(tmp_path / "archives"),))
    with Store(tmp_path / "folded.db") as store:
        yield store


def test_posts_that_show_a_day_are_seen_and_never_counted(folded: Store) -> None:
    """Alerts and lists of posts find the most negative and positive ones; nothing that counts posts of a source or samples them does."""
    first, last = days(9)[0], days(9)[-1]
    shown = folded.evidence("meta", "*", MODEL, first, last)
    assert 9 < len(shown) < 9 * 10
    assert folded.posts("meta") and folded.team_posts("meta", Wanted())[0]
    assert folded.voices(first, last) == [] and folded.volumes("forum", MODEL, first) == [] and folded.posters("forum", first, last) == []
    assert folded.drawable(first, None) == ([], 0) and folded.attention(first, last) == [] and folded.pool(first, last, "meta") == []
    assert folded.read_between(first, last) == (0, 0) and folded.recent("forum", NOW - dt.timedelta(days=900)) == []
    assert folded.voices_by_language(["meta"], first, last) == [] and folded.spoken("meta", MODEL, first, last) == []


def test_another_reader_leaves_them_as_they_are(folded: Store) -> None:
    """What an archive gave is not read anew by a model that the archive was not read by; its figures stay."""
    before = figures(folded)
    assert folded.read_by("another reader", "m@2") == 0 and folded.unread_count() == 0
    trend(folded, min_authors=5, beyond=beyond(folded))
    assert figures(folded) == before


def test_coverage_is_that_of_the_archive(folded: Store, whole: Store) -> None:
    """The archive's sources are read on every day from its first to its last, and v_coverage tells how many posts there were."""
    first, last = days(9)[0], days(9)[-1]
    assert folded.coverage(first, last) == 1.0
    told = folded.rows("SELECT day, source, posts, covered FROM v_coverage WHERE posts > 0 ORDER BY 1, 2")
    assert [tuple(row)[:3] for row in told] == [tuple(row) for row in whole.rows("SELECT day, source, posts FROM v_coverage ORDER BY 1, 2")]
    assert {row["covered"] for row in told} == {1}


def test_a_crawl_takes_over_what_an_archive_gave(folded: Store, whole: Store) -> None:
    """A post that the store meets itself is its own from then on: a voice, read by its model, and the figures stay those of all posts."""
    post = some()[0]
    assert post.key in ids(folded)
    say(folded, some())
    assert not ids(folded)
    trend(folded, min_authors=5, beyond=beyond(folded))
    assert figures(folded) == figures(whole)


def reworded(store: Store, post: Said) -> None:
    """The store's own version of a post names no team."""
    at = dt.datetime.combine(post.day, dt.time(12), dt.UTC)
    store.save_posts([Post(post.source, post.key, "u", "of nobody", at, at, author_key=f"{post.source} {post.author}")])
    [row] = store.rows("SELECT id FROM posts WHERE native_id = ? AND source = ?", (post.key, post.source))
    store.save_readings([Reading(row["id"], text_hash("of nobody"), "en", [], {})], model=MODEL, at=at)


def deleted(store: Store, post: Said) -> None:
    say(store, [post])
    store.save_posts([Gone(post.source, post.key)])
    trend(store, min_authors=5, beyond=beyond(store))


def never_seen(store: Store, post: Said) -> None:
    store.save_posts([Gone(post.source, post.key)])


@pytest.mark.parametrize("happened", [reworded, deleted, never_seen])
@pytest.mark.parametrize("before", [True, False])
def test_what_the_store_has_of_a_post_counts(
    happened: Callable[[Store, Said], None], before: bool, whole: Store, made: Path, tmp_path: Path
) -> None:
    """A post of an archive that was deleted here, or names no team any more, counts no more, without a rebuild."""
    post = some()[2]
    with Store(tmp_path / "own.db") as store:
        store.read_by(f"reader of {MODEL}", MODEL)
        for step in (True, False):
            if step == before:
                happened(store, post)
            else:
                taken(store, Root(str(made / "archives")))
        trend(store, min_authors=5, beyond=beyond(store))
        if before or happened is not never_seen:  # that tombstone tells no day, and the archive's next fold settles it
            assert figures(store) == without(whole, tmp_path, lambda said: said == post) != figures(whole)


def test_a_correction_of_such_a_post_counts(folded: Store, whole: Store) -> None:
    """What a person says of a post that shows an archive's day moves the figure as it moves that of an imported one."""
    [post] = folded.rows("SELECT id, source, native_id FROM posts WHERE archived ORDER BY id LIMIT 1")
    folded.correct(post["id"], "meta", "positive", note=None, at=NOW)
    trend(folded, min_authors=5, beyond=beyond(folded))
    with Store(Path(str(folded.path) + ".other")) as other:
        say(other, some())
        [same] = other.rows("SELECT id FROM posts WHERE source = ? AND native_id = ?", (post["source"], post["native_id"]))
        other.correct(same["id"], "meta", "positive", note=None, at=NOW)
        trend(other, min_authors=5)
        assert figures(folded) == figures(other) != figures(whole)


@pytest.mark.real
def test_days_that_are_gone_are_taken_away(whole: Store, tmp_path: Path, folded: Store) -> None:
    """The archive's next run without some days and posts leaves the store as if only that run had been taken over."""
    last = days(9)[-4]
    root = archived(
        whole, tmp_path / "archives", run="f" * 16, kept=lambda row: row["posted_at"].date() <= last and row["source"] == "forum"
    )
    taken(folded, root)
    trend(folded, min_authors=5, beyond=beyond(folded))
    with Store(tmp_path / "anew.db") as anew:
        taken(anew, root)
        assert figures(folded) == figures(anew)
        assert ids(folded) == ids(anew)
        for table in ("sources", "covered_days", "archived_days", "archived_teams", "archived_sources"):
            assert [tuple(row) for row in folded.rows(f"SELECT * FROM {table}")] == [
                tuple(row) for row in anew.rows(f"SELECT * FROM {table}")
            ]


def test_killed_at_any_moment_it_ends_the_same(whole: Store, made: Path, fresh_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that dies between two parts, again and again, is gone on with, and ends in the same store."""
    monkeypatch.setattr("monitor.archive.fold.PART", 2)
    root = Root(str(made / "archives"))

    def die(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            taken(fresh_store, root, progress=die)
    assert taken(fresh_store, root)[0] == 3
    assert figures(fresh_store) == figures(whole)


def test_an_archive_that_cannot_be_read_keeps_its_days_waiting(
    whole: Store, tmp_path: Path, folded: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Days of an archive that cannot be reached stay as they are and wait, which one sentence says; all others are computed."""
    before = figures(folded)
    say(folded, authors(6, 0.2, day=days(1)[0]) + authors(6, 0.2, day=NOW.date() + dt.timedelta(days=9)))
    (tmp_path / "archives").rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        assert trend(folded, min_authors=5, beyond=beyond(folded)) == 1
    assert len(caplog.messages) == 1 and "archive old cannot be read" in caplog.text and "2 team days wait" in caplog.text
    assert figures(folded)[: len(before)] == before and len(folded.dirty_days()) == 2
    (tmp_path / "away").rename(tmp_path / "archives")
    assert trend(folded, min_authors=5, beyond=beyond(folded)) == 2


def test_one_source_in_two_archives_is_refused(whole: Store, tmp_path: Path, folded: Store) -> None:
    """Posts of a source that two archives hold would count twice."""
    with pytest.raises(InputError, match="the archive old holds forum too"):
        taken(folded, archived(whole, tmp_path / "elsewhere", "new"), "new")


def test_weeks_of_an_archive_have_no_corrected_figure(folded: Store) -> None:
    """A corrected figure needs the posts themselves: a week with a day of an archive has none."""
    last = NOW.date() + dt.timedelta(days=60)
    assert settle(folded, Config(), last) == 0 and folded.corrected_weeks(MODEL, days(1)[0], last) == []
    say(folded, authors(9, 0.2, day=days(9)[-1] + dt.timedelta(days=3)))
    trend(folded, min_authors=5, beyond=beyond(folded))
    settle(folded, Config(), last)
    assert computed(folded, Config(), "meta", days(9)[-1], days(9)[-1] + dt.timedelta(days=5)) == {}


# ---- what people have a right to ------------------------------------------------------------------------------------


def held(root: Path, column: str) -> set[str]:
    """What a column of all rows of the archive holds, evidence too."""
    files = [*root.glob("old/runs/*/days/*/posts.parquet"), *root.glob("old/runs/*/days/*/evidence.parquet")]
    return {value for file in files for value in Root("").parquet(str(file)).read()[column].to_pylist()}


def without(whole: Store, tmp_path: Path, gone: Callable[[Said], bool]) -> list[tuple[object, ...]]:
    with Store(tmp_path / "without.db") as store:
        say(store, [post for post in some() if not gone(post)])
        trend(store, min_authors=5)
        return figures(store)


def test_an_author_is_forgotten_in_archives_too(whole: Store, tmp_path: Path, folded: Store) -> None:
    """Nothing of an author is in any file of the archive any more, unfinished runs are gone, and the figures are those without him."""
    root = tmp_path / "archives"
    (root / "old" / "runs" / "begun" / "found").mkdir(parents=True)
    [post] = folded.rows("SELECT id, source, author_key FROM posts WHERE archived AND source = 'forum' ORDER BY id LIMIT 1")
    who = (post["source"], post["author_key"])
    proof = forget_posts(folded, Config(), folded.by_author(*who), what="an author", author=who)
    assert proof.complete and proof.rows["archive old"] > 0
    assert post["author_key"] not in held(root, "author_key") and not (root / "old" / "runs" / "begun").exists()
    assert figures(folded) == without(whole, tmp_path, lambda said: f"forum {said.author}" == post["author_key"] and said.source == "forum")
    assert folded.dirty_days() == {} and taken(folded, Root(str(root))) == (0, 0, 0)


def test_a_post_that_only_the_archive_holds_is_forgotten_by_its_address(tmp_path: Path, fresh_store: Store) -> None:
    """`--url` finds it in the archive; it leaves a tombstone, so that neither a crawl nor another run brings it back."""
    with Store(tmp_path / "whole.db") as whole:
        say(whole, authors(12, 0.1))
        with whole.writing() as connection:
            connection.execute("UPDATE posts SET url = 'https://x.org/' || id")
        root = archived(whole, tmp_path / "archives")
        taken(fresh_store, root)
        [(address, native_id)] = [
            (row["url"], row["native_id"])
            for row in whole.rows("SELECT url, native_id FROM posts")
            if row["native_id"] not in ids(fresh_store)
        ][:1]
        posts, _ = found_at(fresh_store, address, author=False)
        proof = forget_posts(fresh_store, Config(), posts, what="a post")
        assert proof.complete and proof.tombstones == 1 and native_id not in held(tmp_path / "archives", "native_id")
        shutil.rmtree(tmp_path / "archives")
        taken(fresh_store, archived(whole, tmp_path / "archives"))
        assert native_id not in ids(fresh_store, "true")
        with pytest.raises(InputError, match="no stored post has the address"):
            found_at(fresh_store, "https://x.org/nowhere", author=False)


def test_an_archive_out_of_reach_is_told_of_and_cleaned_later(tmp_path: Path, folded: Store) -> None:
    """Forgetting says that it is not complete; what was forgotten does not count meanwhile, and leaves the files once they are back."""
    [post] = folded.rows("SELECT id, source, author_key FROM posts WHERE archived ORDER BY id LIMIT 1")
    who = (post["source"], post["author_key"])
    (tmp_path / "archives").rename(tmp_path / "away")
    proof = forget_posts(folded, Config(), folded.by_author(*who), what="an author", author=who)
    assert not proof.complete and "archive old" in proof.unreached[0]
    (tmp_path / "away").rename(tmp_path / "archives")
    rows, unreached = clean_archives(folded, Config(), now=NOW)
    assert rows["archive old"] > 0 and not unreached and post["author_key"] not in held(tmp_path / "archives", "author_key")
    assert clean_archives(folded, Config(), now=NOW) == ({}, [])


@pytest.mark.real
def test_who_was_forgotten_while_an_archive_was_made_leaves_it(whole: Store, tmp_path: Path, fresh_store: Store) -> None:
    """A run that had begun before somebody was forgotten is cleaned after it was folded; until then he shows no day."""
    fresh_store.leave_out("forum", "forum author 0")
    taken(fresh_store, archived(whole, tmp_path / "archives"))
    assert not ids(fresh_store, "author_key = 'forum author 0'")
    assert clean_archives(fresh_store, Config(), now=NOW)[0].total() == sum(
        post.author == "author 0" and post.source == "forum" for post in some()
    )
    assert figures(fresh_store) == without(whole, tmp_path, lambda said: said.author == "author 0" and said.source == "forum")


@pytest.mark.real
def test_a_source_is_forgotten_in_archives_too(tmp_path: Path, folded: Store) -> None:
    """A source leaves the archive's files and figures; once no source is left the archive is gone."""
    assert forget_source(folded, Config(), "other").rows["archive old"] == sum(post.source == "other" for post in some()) and held(
        tmp_path / "archives", "source"
    ) == {"forum"}
    assert {row[0] for row in folded.rows("SELECT DISTINCT source FROM daily_trends")} == {"*", "forum"}
    forget_source(folded, Config(), "forum")
    assert not (tmp_path / "archives" / "old").exists() and folded.archives() == [] and figures(folded) == []


def test_names_and_links_leave_with_retention(whole: Store, tmp_path: Path, folded: Store) -> None:
    """Days older than retention keep their figures, computed anew too, and hold no name, link or words any more; they come without any."""
    config = Config(privacy=Privacy(retention="20d"))
    retire(folded, config, now=NOW)
    rows, _ = clean_archives(folded, config, now=NOW)
    gone = {post.key for post in some() if post.day < (NOW - dt.timedelta(days=20)).date()}
    assert gone and not gone & held(tmp_path / "archives", "native_id") and not gone & ids(folded, "true") and rows.total() >= len(gone)
    assert figures(folded) == figures(whole)
    trend(folded, min_authors=5, rebuild=True, beyond=beyond(folded))
    assert figures(folded) == figures(whole)
    assert clean_archives(folded, config, now=NOW) == ({}, [])
    with Store(tmp_path / "late.db") as late:
        taken(late, archived(whole, tmp_path / "again"), kept_from=kept_from(config, NOW))
        assert not gone & ids(late, "true") and figures(late) == figures(whole)


# ---- backtest -------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_a_backtest_of_an_archive_is_that_of_an_import(tmp_path: Path, fresh_store: Store) -> None:
    """Alerts on figures fire on the same days with the same figures, whether the posts were imported or lie in an archive."""
    config = Config(
        teams=(Team(id="meta", name="Meta", aliases=(Alias(text="Meta"),)),),
        rules=(Rule.model_validate({"id": "fall", "type": "drop", "confidence": 0.9}), Rule.model_validate({"id": "low", "type": "below"})),
    )
    with Store(tmp_path / "whole.db") as whole:
        moods = [(DAY + dt.timedelta(days=n), -0.9 if n >= 23 else 0.2) for n in range(29)]
        say(whole, [dataclasses.replace(post, kind="import") for day, mood in moods for post in authors(9, mood, day=day)])
        trend(whole, min_authors=5)
        taken(fresh_store, archived(whole, tmp_path / "archives"))
        told = [
            [(one["rule"], one["day"], one["ended"], round(one["value"] or 0, 9)) for one in backtest(each, config, now=NOW)["alerts"]]
            for each in (whole, fresh_store)
        ]
    assert told[0] == told[1] and told[0]


# ---- merge ----------------------------------------------------------------------------------------------------------


def test_a_merge_takes_no_days_of_archives_for_read(tmp_path: Path, folded: Store, fresh_store: Store) -> None:
    """Days that only the other store's archives hold are not covered here, since their posts did not come, which is said."""
    done = merge(fresh_store, Config(), folded.path)
    assert fresh_store.coverage(days(9)[0], days(9)[-1]) is None and done.idle
    assert "its archives (old) do not come" in done.notes[0]
    crawl = folded.begin_crawl("forum", NOW)
    folded.end_crawl(crawl, NOW, finish_reason="finished", counts=Counts(), covered=(NOW - dt.timedelta(days=1), NOW))
    merge(fresh_store, Config(), folded.path)
    assert [tuple(row) for row in fresh_store.rows("SELECT * FROM sources")] == [("forum", "2025-02-28", "2025-03-01")]
    assert [row[0] for row in fresh_store.rows("SELECT day FROM covered_days ORDER BY 1")] == ["2025-02-28", "2025-03-01"]


# ---- digests and reports --------------------------------------------------------------------------------------------


def test_a_week_in_an_archive_is_not_told_as_silence(folded: Store) -> None:
    """A digest and a report of a week whose posts are in an archive say so, in every form; nobody is told that nobody spoke."""
    config = Config(teams=(Team(id="meta", name="Meta", aliases=(Alias(text="Meta"),)),))
    last = days(9)[-1]
    found = digested.gather(folded, config, DigestOf("week", last), now=NOW)
    assert (found.archived, found.unnamed, found.teams) == (("Meta",), (), ())
    told = digested.compose(found, config)
    parts = " ".join(part.text for part in told.parts)
    for words in (told.body, told.html, parts):
        assert "Posts on Meta are in an archive" in words and "Nobody spoke" not in words
    for language, said in (("en", "are in an archive"), ("fr", "sont dans une archive")):
        page = report.page(report.gather(folded, config, DigestOf("week", last), now=NOW), language)
        assert said in page and "Nobody spoke" not in page and "Personne n’a parlé" not in page
    say(folded, authors(9, 0.2, day=last + dt.timedelta(days=4)))
    [part] = digested.gather(folded, config, DigestOf("week", last + dt.timedelta(days=7)), now=NOW).teams
    assert part.before_archived and part.authors == 9
    after = digested.compose(digested.gather(folded, config, DigestOf("week", last + dt.timedelta(days=7)), now=NOW), config)
    assert "posts of the week before are in an archive" in after.body
