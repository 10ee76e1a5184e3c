"""Daily trends: one voice per author, never a figure without enough voices, and every row built again the same."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.records import DailyTrend, Gone, Kind, Mention, Post, Score, text_hash
from monitor.store import Reading, Store
from monitor.trend import trend, window

DAY = dt.date(2025, 1, 23)
MODEL = "m@1"


@dataclass(frozen=True)
class Said:
    """A post about a team in a test: who, on which day, how good or bad (-1..1)."""

    author: str
    value: float
    day: dt.date = DAY
    team: str = "meta"
    source: str = "forum"
    thread: str = "1"
    kind: Kind = "voice"
    number: int = 0
    model: str = MODEL

    @property
    def key(self) -> str:
        return f"{self.day}-{self.author}-{self.thread}-{self.number}"


def say(store: Store, posts: Iterable[Said]) -> None:
    """Store posts as if they had been collected and understood."""
    said = list(posts)
    at = {post: dt.datetime.combine(post.day, dt.time(12), dt.UTC) for post in said}
    texts = {post: f"{post.team} {post.key}" for post in said}
    store.save_posts(
        Post(
            post.source, post.key, "u", texts[post], at[post], at[post], thread_id=post.thread,
            author_key=f"{post.source} {post.author}", kind=post.kind,
        )
        for post in said
    )  # fmt: skip
    ids = {(row[0], row[1]): row[2] for row in store.rows("SELECT source, native_id, id FROM posts")}
    for model, of_model in itertools.groupby(said, key=lambda post: post.model):
        store.read_by(f"reader of {model}", model)
        readings = []
        for post in of_model:
            score, digest = Score(model, max(0.0, -post.value), 1 - abs(post.value), max(0.0, post.value)), text_hash(texts[post])
            number = ids[post.source, post.key]
            readings.append(Reading(number, digest, "en", [Mention(post.team, 0, 4)], {post.team: (digest, score)}))
        store.save_readings(readings, model=model, at=max(at.values()))


def authors(count: int, value: float, **settings: object) -> list[Said]:
    return [Said(f"author {n}", value, thread=str(n % 3), **settings) for n in range(count)]  # type: ignore[arg-type]


def row(store: Store, source: str = "*", team: str = "meta", day: dt.date = DAY) -> DailyTrend:
    return next(one for one in store.trends(team=team, source=source, model=MODEL) if one.day == day)


def stored(store: Store) -> list[tuple[object, ...]]:
    """Every stored row, to the last bit."""
    return [tuple(one) for one in store.rows("SELECT * FROM daily_trends ORDER BY day, team, source, model")]


def test_an_author_counts_once_however_much_he_writes(fresh_store: Store) -> None:
    """One who writes twenty posts on a day is one voice, with the mean of his posts."""
    say(fresh_store, [*authors(9, 0.5), *(Said("loud", -1.0, number=n) for n in range(19)), Said("loud", 0.9, number=19)])
    trend(fresh_store, min_authors=5)
    found = row(fresh_store)
    assert (found.posts, found.authors, found.threads) == (29, 10, 3)
    assert found.mean == pytest.approx((9 * 0.5 + (-19 + 0.9) / 20) / 10)
    assert found.negative_share == pytest.approx(0.1 * 19 / 20) and found.positive_share == pytest.approx(0.0 + 0.1 / 20, abs=1e-9)


def test_mean_travels_with_its_interval(fresh_store: Store) -> None:
    """Six voices at 0, +-0.3, +-0.6, 0: mean 0, variance (5 * 0.18 + 2 * 0.25) / 7 = 0.2, reach t(7; 97.5 %) * sqrt(0.2 / 6)."""
    say(fresh_store, [Said(str(n), value, thread=str(n)) for n, value in enumerate((0.0, 0.3, -0.3, 0.6, -0.6, 0.0))])
    trend(fresh_store, min_authors=5)
    found = row(fresh_store)
    assert found.mean == pytest.approx(0) and found.variance == pytest.approx(0.2)
    reach = 2.364624 * (0.2 / 6) ** 0.5
    assert (found.low, found.high) == (pytest.approx(-reach), pytest.approx(reach))


def test_a_thread_that_agrees_with_itself_is_few_voices(fresh_store: Store) -> None:
    """Twenty people in two threads, each of one mind, are less evidence than twenty who never met; the counts stay those of people."""
    apart = [Said(f"a{n}", 0.6 if n % 2 else -0.6, thread=str(n)) for n in range(20)]
    together = [Said(f"b{n}", 0.6 if n % 2 else -0.6, thread=str(n % 2), team="other") for n in range(20)]
    say(fresh_store, [*apart, *together])
    trend(fresh_store, min_authors=5)
    alone, grouped = row(fresh_store), row(fresh_store, team="other")
    assert alone.effective == 20 and alone.authors == grouped.authors == 20 and alone.mean == grouped.mean == pytest.approx(0)
    assert grouped.effective is not None and 5 < grouped.effective < 8  # r = (1 * 1 + 5 * 0.15) / 6, design effect 1 + 9 r
    assert grouped.high is not None and alone.high is not None and grouped.high > 1.5 * alone.high


def test_a_day_knows_from_the_weeks_before_how_alike_threads_are(fresh_store: Store) -> None:
    """The same day is less certain after a month of threads of one mind than after one of mixed threads.

    A late post on a day before it changes its interval, to that of a rebuild.
    """
    for team, group in (("meta", 1), ("other", 4)):
        for back in range(12):
            day = DAY - dt.timedelta(days=back)
            say(
                fresh_store,
                [Said(f"{team} {n}", 0.6 if n // (group if back else 1) % 2 else -0.6, day, team, thread=str(n % 4)) for n in range(16)],
            )
    trend(fresh_store, min_authors=5)
    agreeing, mixed = row(fresh_store), row(fresh_store, team="other")
    assert agreeing.mean == mixed.mean == pytest.approx(0)
    assert agreeing.effective is not None and mixed.effective is not None and agreeing.effective < 0.7 * mixed.effective
    say(fresh_store, [Said(f"late {n}", 0.6, DAY - dt.timedelta(days=9), thread="0") for n in range(6)])
    assert trend(fresh_store, min_authors=5) == 1
    late = row(fresh_store)
    assert late.effective != agreeing.effective
    trend(fresh_store, min_authors=5, rebuild=True)
    assert row(fresh_store) == late


def test_voices_that_agree_pretend_no_certainty(fresh_store: Store) -> None:
    """Five authors who all say -0.9 leave an interval, and it does not reach beyond the scale."""
    say(fresh_store, authors(5, -0.9))
    trend(fresh_store, min_authors=5)
    found = row(fresh_store)
    assert found.low == -1 and found.high is not None and found.high > -0.7


def test_too_few_voices_are_counts_without_figures(fresh_store: Store) -> None:
    """Below the minimum of distinct authors every figure is withheld, however many posts there are."""
    say(fresh_store, [Said(f"author {n % 4}", 0.5, number=n) for n in range(40)])
    trend(fresh_store, min_authors=5)
    assert row(fresh_store) == DailyTrend(DAY, "meta", "*", MODEL, 40, 4, 1, False)


def test_sources_are_counted_apart_and_together(fresh_store: Store) -> None:
    """Each source has its own row, and `*` has all of them; press is in neither."""
    say(fresh_store, [*authors(6, 0.4), *authors(8, -0.6, source="other"), *authors(9, 1.0, source="news", kind="press")])
    trend(fresh_store, min_authors=5)
    assert [(one.source, one.authors) for one in fresh_store.trends(team="meta", model=MODEL)] == [("*", 14), ("forum", 6), ("other", 8)]
    assert row(fresh_store).mean == pytest.approx((6 * 0.4 - 8 * 0.6) / 14)


def test_two_models_are_never_mixed(fresh_store: Store) -> None:
    """The same posts scored by another model give rows of their own."""
    say(fresh_store, authors(6, 0.4))
    say(fresh_store, authors(6, -0.4, model="m@2"))
    trend(fresh_store, min_authors=5)
    means = [(model, one.mean) for model in ("m@1", "m@2") for one in fresh_store.trends(source="*", model=model)]
    assert means == [("m@1", pytest.approx(0.4)), ("m@2", pytest.approx(-0.4))]


def test_only_what_changed_is_computed(fresh_store: Store) -> None:
    """A second run finds nothing to do; a new post makes its own day and team be computed, and no other."""
    say(fresh_store, [*authors(6, 0.4), *authors(6, 0.1, day=DAY - dt.timedelta(days=40)), *authors(6, 0.1, team="other", source="o")])
    assert trend(fresh_store, min_authors=5) == 3
    assert trend(fresh_store, min_authors=5) == 0
    say(fresh_store, [Said("new", -0.8)])
    assert trend(fresh_store, min_authors=5) == 1
    assert row(fresh_store).authors == 7


def test_a_day_whose_posts_are_gone_has_no_row(fresh_store: Store) -> None:
    """When the last post of a day is deleted on its forum, the day's trend goes too."""
    posts = authors(6, 0.4)
    say(fresh_store, posts)
    trend(fresh_store, min_authors=5)
    fresh_store.save_posts([Gone(post.source, post.key) for post in posts[:2]])
    trend(fresh_store, min_authors=5)
    assert row(fresh_store).authors == 4 and row(fresh_store).mean is None
    fresh_store.save_posts([Gone(post.source, post.key) for post in posts[2:]])
    trend(fresh_store, min_authors=5)
    assert stored(fresh_store) == []


def test_another_minimum_applies_to_all_days(fresh_store: Store) -> None:
    """When privacy.min_authors is raised, figures shown before are withheld, on old days too."""
    say(fresh_store, authors(6, 0.4))
    trend(fresh_store, min_authors=5)
    assert row(fresh_store).sufficient
    assert trend(fresh_store, min_authors=7) == 1
    assert not row(fresh_store).sufficient and trend(fresh_store, min_authors=7) == 0


def test_an_interrupted_run_is_gone_on_with(fresh_store: Store) -> None:
    """What was computed before the interruption stays, and the next run computes the rest only."""
    say(fresh_store, [post for months in range(3) for post in authors(5, 0.1 * months, day=DAY + dt.timedelta(days=40 * months))])

    def interrupt(done: int, total: int) -> None:
        if total:  # before, posts are looked through for echoes, and nobody knows how many
            assert (done, total) == (1, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trend(fresh_store, min_authors=5, progress=interrupt)
    assert len(stored(fresh_store)) == 2
    assert trend(fresh_store, min_authors=5) == 2
    assert len(stored(fresh_store)) == 6


def test_the_last_day_of_the_calendar_is_a_day(fresh_store: Store) -> None:
    """A post with a broken date far away is computed like any other, on its own."""
    say(fresh_store, [*authors(5, 0.4, day=dt.date.max), *authors(5, 0.4), *authors(5, 0.4, day=dt.date(1, 1, 2))])
    assert trend(fresh_store, min_authors=5) == 3
    assert row(fresh_store, day=dt.date.max).authors == 5


def test_window_counts_an_author_once_over_its_days(fresh_store: Store) -> None:
    """Seven days of the same six authors are six voices, each with the mean of all posts; days outside are not in it."""
    days = [DAY - dt.timedelta(days=n) for n in range(9)]
    say(fresh_store, [post for n, day in enumerate(days) for post in authors(6, 1.0 if n >= 7 else 0.1 * n, day=day)])
    found = window(fresh_store.voices(DAY - dt.timedelta(days=6), DAY), DAY - dt.timedelta(days=6), DAY, min_authors=5)
    assert list(found) == ["meta"]
    assert (found["meta"].posts, found["meta"].authors, found["meta"].day) == (42, 6, DAY)
    assert found["meta"].mean == pytest.approx(0.3)


def test_pandas_is_not_loaded_when_nothing_changed(fresh_store: Store) -> None:
    """A run that finds nothing to do does not pay for the library that it does not need."""
    say(fresh_store, authors(6, 0.4))
    trend(fresh_store, min_authors=5)
    code = (
        "import sys; from pathlib import Path; from monitor.store import Store; from monitor.trend import trend\n"
        "with Store(Path(sys.argv[1])) as store: print(trend(store, min_authors=5), 'pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(fresh_store.path)], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert run.stdout == "0 False\n", run.stderr


POSTS = st.lists(
    st.builds(
        Said,
        author=st.sampled_from("abcdefgh"),
        value=st.floats(-1, 1),
        day=st.sampled_from([DAY, DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=60), DAY + dt.timedelta(days=120)]),
        team=st.sampled_from(["meta", "other"]),
        source=st.sampled_from(["forum", "hn"]),
        thread=st.sampled_from("12"),
    ),
    max_size=40,
    unique_by=lambda post: (post.source, post.key),
)


@settings(max_examples=8, deadline=None)
@given(POSTS, st.integers(0, 40), st.randoms())
def test_a_rebuild_gives_the_same_rows_to_the_last_bit(posts: list[Said], cut: int, random) -> None:  # type: ignore[no-untyped-def]
    """Computed in two rounds as posts came, all at once, or from posts stored in another order: the same bytes.

    And in every row: shares that sum to 1, and a mean inside its interval and the scale.
    """
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "a.db")) as store, Store(Path(folder, "b.db")) as other:
        say(store, posts[:cut])
        trend(store, min_authors=3)
        say(store, posts[cut:])
        trend(store, min_authors=3)
        rows = stored(store)
        trend(store, min_authors=3, rebuild=True)
        assert stored(store) == rows
        say(other, random.sample(posts, len(posts)))
        trend(other, min_authors=3)
        assert stored(other) == rows
        for found in store.trends(model=MODEL):
            assert found.sufficient == (found.authors >= 3) and found.posts >= found.authors
            if found.mean is not None:
                assert -1 <= found.low <= found.mean <= found.high <= 1  # type: ignore[operator]
                assert found.negative_share + found.neutral_share + found.positive_share == pytest.approx(1)  # type: ignore[operator]
