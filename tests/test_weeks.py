"""Corrected figures of weeks: stored as computing them anew would give them, reached by forgetting, and never of too few people."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import corrected, review
from monitor.config import Config, Scorer, Team
from monitor.correct import correct, undo
from monitor.errors import InputError
from monitor.forget import forget_posts, retire
from monitor.privacy import turns
from monitor.records import CorrectedWeek, Gone, Post, Score
from monitor.sentiment import Item
from monitor.store import Store
from monitor.trend import trend
from monitor.understand import understand
from monitor.weeks import as_row, computed, settle

FIRST = dt.date(2025, 1, 1)
TODAY = FIRST + dt.timedelta(days=19)
"""On which the last week with a post, of day 13, ends."""
TEAMS = (Team.model_validate({"id": "openai", "name": "OpenAI"}), Team.model_validate({"id": "deepseek", "name": "DeepSeek"}))


class Loose:
    """A model that goes by one word, and a revision whose errors are known."""

    name = "loose@1"

    def score(self, items: Sequence[Item]) -> list[Score]:
        return [Score(self.name, 0.7, 0.2, 0.1) if "bad" in item.text else Score(self.name, 0.1, 0.2, 0.7) for item in items]


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """A figure without a sample is the mean of many draws; of how many is nothing that is looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DRAWS": 6, "CLIMB": 2, "WANDER": 2}.items():
            patch.setattr(corrected, name, value)
        yield


def config(folder: Path, right: int = 80, **privacy: object) -> Config:
    rows = [[right if n == k else 100 - right for k in range(3)] for n in range(3)]
    (folder / "confusion.json").write_text(json.dumps({"revision": "1", "texts": {"held out": {"en": rows}}}))
    known = Config(teams=TEAMS, scorer=Scorer(model=str(folder)))
    return known.model_copy(update={"privacy": known.privacy.model_copy(update=privacy)})


def at(n: int) -> dt.datetime:
    return dt.datetime.combine(FIRST + dt.timedelta(days=n), dt.time(12), dt.UTC)


def post(number: int, n: int, who: int, words: str = "bad", team: str = "OpenAI") -> Post:
    text = f"{team} is {words}, {number} times"
    return Post("hn", str(number), f"https://x.org/{number}", text, at(n), at(n), author_key=f"author {who}")


def bring(store: Store, known: Config, posts: Sequence[Post | Gone] = (), today: dt.date = TODAY) -> None:
    store.save_posts(posts)
    understand(store, TEAMS, Loose(), now=at(13))
    trend(store, min_authors=known.privacy.min_authors)
    settle(store, known, today)


def stored(store: Store) -> list[CorrectedWeek]:
    return store.corrected_weeks(store.model, dt.date.min, dt.date.max)


def anew(store: Store, known: Config) -> list[CorrectedWeek]:
    return [
        as_row(dt.date.fromisoformat(day), team.id, store.model, figure)
        for team in sorted(TEAMS, key=lambda team: team.id)
        for day, figure in computed(store, known, team.id, FIRST - dt.timedelta(days=9), TODAY).items()
    ]


days, people, numbers = st.integers(0, 13), st.integers(0, 9), st.integers(1, 40)
labels = st.sampled_from(["negative", "neutral", "positive"])
changes = st.one_of(
    st.tuples(st.just("post"), numbers, days, people, st.sampled_from(["bad", "fine"]), st.sampled_from(["OpenAI", "DeepSeek"])),
    st.tuples(st.just("gone"), numbers),
    st.tuples(st.just("draw"), days, st.sampled_from([None, "openai"])),
    st.tuples(st.just("read"), labels, st.sampled_from(["person", "judge@1"])),
    st.tuples(st.just("correct"), numbers, labels),
    st.tuples(st.just("undo"), numbers),
    st.tuples(st.just("forget"), numbers),
    st.tuples(st.just("settle")),
)


@settings(max_examples=5, deadline=None)
@given(st.lists(changes, max_size=12))
def test_what_is_stored_is_what_computing_anew_gives(steps: list[tuple[object, ...]]) -> None:
    """Whatever was posted, edited, moved to another day, deleted, drawn, read, corrected and forgotten in between, to the last bit."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "monitor.db") as store:
        known = config(Path(folder))
        bring(store, known, [post(100 + n, n % 14, n % 9) for n in range(50)])
        for what, *given_ in steps:
            try:
                change(store, known, what, *given_)
            except InputError:  # such as correcting what is not there
                continue
        bring(store, known)
        assert stored(store) == anew(store, known)


def change(store: Store, known: Config, what: object, *given_: object) -> None:
    match what, *given_:
        case "post", int(number), int(n), int(who), str(words), str(team):
            store.save_posts([post(number, n, who, words, team)])
        case "gone", int(number):
            store.save_posts([Gone("hn", str(number))])
        case "draw", int(n), team:
            on = FIRST + dt.timedelta(days=n)
            review.draw(store, on, on, team, count=6, seed=n, now=at(13))  # type: ignore[arg-type]
        case "read", label, reader:
            for row in store.to_review(FIRST, TODAY, None)[:3]:
                store.reviewed(row["id"], row["team"], label, reader=reader, at=at(13))  # type: ignore[arg-type]
        case "correct", int(number), label:
            correct(store, known, str(number), "openai", label, now=at(13))  # type: ignore[arg-type]
        case "undo", int(number):
            undo(store, str(number), "openai")
        case "forget", int(number):
            forget_posts(store, known, [number], what="a post")
        case _:
            bring(store, known)


@pytest.mark.parametrize("reader", ["person", "judge@1"])
def test_a_reading_reaches_the_weeks_of_its_day(fresh_store: Store, tmp_path: Path, reader: str) -> None:
    """Drawn and read after the week was computed, and no post was touched: the next run has it by the sample, and says who read."""
    known = config(tmp_path)
    bring(fresh_store, known, [post(n, n % 3, n) for n in range(30)])
    day = FIRST + dt.timedelta(days=1)
    review.draw(fresh_store, day, day, "openai", count=10, seed=1, now=at(13))
    settle(fresh_store, known, TODAY)
    assert stored(fresh_store) == anew(fresh_store, known) and {week.method for week in stored(fresh_store)} == {"confusion"}
    for row in fresh_store.to_review(day, day, "openai")[:6]:
        fresh_store.reviewed(row["id"], "openai", "neutral", reader=reader, at=at(13))
    settle(fresh_store, known, TODAY)
    assert stored(fresh_store) == anew(fresh_store, known)
    assert {(week.method, week.read, week.readers) for week in stored(fresh_store) if week.day >= day} >= {("sample", 6, reader)}


def test_the_ends_of_the_calendar_are_days(fresh_store: Store, tmp_path: Path) -> None:
    """A broken clock gives its posts a figure of the week, as any other."""
    known = config(tmp_path)
    for n, day in enumerate((dt.date.min, dt.date.max)):
        noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
        fresh_store.save_posts([replace(post(10 * n + who, 0, who), posted_at=noon) for who in range(5)])
    bring(fresh_store, known, today=dt.date.max)
    assert {week.day for week in stored(fresh_store)} == {*(dt.date.min + dt.timedelta(days=n) for n in range(7)), dt.date.max}


def test_a_figure_goes_with_the_fifth_person(fresh_store: Store, tmp_path: Path) -> None:
    """Five people have a figure, four have none; forgetting one of the five takes it away before the command ends."""
    known = config(tmp_path)
    bring(fresh_store, known, [post(n, n, n) for n in range(4)])
    assert stored(fresh_store) == []
    bring(fresh_store, known, [post(4, 4, 4)])
    assert [str(week.day) for week in stored(fresh_store)] == ["2025-01-05", "2025-01-06", "2025-01-07"]
    forget_posts(fresh_store, known, fresh_store.by_author("hn", "author 2"), what="an author", author=("hn", "author 2"))
    assert stored(fresh_store) == []


def test_only_the_weeks_of_a_changed_day_are_computed(fresh_store: Store, tmp_path: Path) -> None:
    """A late post costs the seven weeks that it is a part of; weeks that are not over are computed when their day comes."""
    known = config(tmp_path)
    today = FIRST + dt.timedelta(days=13)
    bring(fresh_store, known, [post(n, n % 14, n) for n in range(60)], today)
    assert settle(fresh_store, known, today) == 0
    fresh_store.save_posts([post(60, 3, 60)])
    understand(fresh_store, TEAMS, Loose(), now=at(13))
    assert settle(fresh_store, known, today) == 7
    assert settle(fresh_store, known, today + dt.timedelta(days=1)) == 1
    assert max(week.day for week in stored(fresh_store)) == today + dt.timedelta(days=1)


@pytest.mark.parametrize(("right", "least"), [(60, 5), (80, 10), (80, 61)])
def test_another_confusion_and_another_minimum_reach_the_past(fresh_store: Store, tmp_path: Path, right: int, least: int) -> None:
    """What figures rest on changes all of them, also those of days that nothing was posted on since."""
    bring(fresh_store, config(tmp_path), [post(n, n % 14, n) for n in range(60)])
    before, known = stored(fresh_store), config(tmp_path, right, min_authors=least)
    bring(fresh_store, known)
    assert stored(fresh_store) == anew(fresh_store, known) != before
    assert all(week.authors >= least for week in stored(fresh_store))


def test_retired_people_are_not_counted_twice(fresh_store: Store, tmp_path: Path) -> None:
    """What is stored outlives the words. Computed again, a week whose people cannot be told apart any more has no figure."""
    known = config(tmp_path, retention=30)
    bring(fresh_store, known, [post(10 * n + who, n, who) for n in range(14) for who in range(6)])
    before = stored(fresh_store)
    assert retire(fresh_store, known, now=at(40))["hn"] > 0
    assert settle(fresh_store, known, TODAY) == 0 and stored(fresh_store) == before
    fresh_store.mark_all_weeks()
    settle(fresh_store, known, TODAY)
    assert {week.authors for week in stored(fresh_store)} <= {6} and len(stored(fresh_store)) < len(before)


def test_keys_that_turn_want_twice_the_people(fresh_store: Store, tmp_path: Path) -> None:
    """Who wrote before and after counts as two people, so that five of them can be three."""
    plain, turning = config(tmp_path), config(tmp_path, rotate_keys=5)
    bring(fresh_store, plain, [post(n, n % 3, n) for n in range(6)])
    assert stored(fresh_store)
    bring(fresh_store, turning)
    assert all(not turns(week.day - dt.timedelta(days=6), week.day, 5) for week in stored(fresh_store))
