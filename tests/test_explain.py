"""What moved: parts that sum to the change, nothing of too few people, and the same words in the store and in the message."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alert import alert
from monitor.config import Config, Rule, Team
from monitor.decompose import cells, kitagawa, thread
from monitor.deliver import compose
from monitor.explain import Explanation, explain, representative, sentences
from monitor.records import Mention, Post, Score, text_hash
from monitor.store import Reading, Spoken, Store
from monitor.terms import heard_more, terms_of
from monitor.trend import trend

FIRST = dt.date(2025, 1, 1)
MODEL = "m@1"
NOW = 28
"""The day that is explained, counted from FIRST; the days before are the baseline."""


def day(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def spoken(n: int, voice: str, value: float, source: str = "forum", thread: str | None = None, number: int = 0) -> Spoken:
    return Spoken(number, day(n).isoformat(), source, f"{source} {voice}", f"{source}:{thread or voice}", value, 1)


def explained(posts: Iterable[Spoken], least: int = 5, source: str = "*", since: int = NOW) -> Explanation | None:
    ordered = sorted(posts, key=lambda post: (post.day, post.voice))
    return explain(ordered, lambda some: (), since=day(since), min_authors=least, source=source)


def crowd(n: int, size: int, value: float, source: str = "forum", thread: str | None = None) -> list[Spoken]:
    """People with values around `value`, who speak on day `n`; the same ones in each source."""
    return [spoken(n, f"v{k}", value + 0.1 * (k % 3 - 1), source, thread) for k in range(size)]


def usual(*sources: tuple[str, int, float]) -> list[Spoken]:
    """The baseline: on each of 28 days these people speak in each source."""
    return [post for n in range(NOW) for source, size, value in sources for post in crowd(n, size, value, source)]


def test_the_same_sources_turned() -> None:
    """Where nobody new speaks and all think less of it, the whole change is mood, and none of it mix."""
    found = explained([*usual(("a", 6, 0.2), ("b", 6, 0.2)), *crowd(NOW, 6, -0.4, "a"), *crowd(NOW, 6, -0.2, "b")])
    assert found is not None and found.change is not None
    assert (found.change.change, found.change.mood, found.change.mix) == pytest.approx((-0.5, -0.5, 0))
    assert [(part.source, part.mood) for part in found.sources] == [("a", pytest.approx(-0.3)), ("b", pytest.approx(-0.2))]
    assert found.change.low < -0.5 < found.change.high < 0
    assert "-0.50 because the same sources turned, +0.00 because other sources speak" in (sentences(found, "drop") or "")


def test_other_sources_speak() -> None:
    """Where each source thinks what it did, and the gloomier one is louder, the whole change is mix."""
    found = explained([*usual(("a", 9, 0.4), ("b", 6, -0.4)), *crowd(NOW, 6, 0.4, "a"), *crowd(NOW, 9, -0.4, "b")])
    assert found is not None and found.change is not None
    assert found.change.mood == pytest.approx(0) and found.change.mix == pytest.approx(-0.16) == pytest.approx(found.change.change)


def test_what_one_person_writes_is_one_voice() -> None:
    """Fifty furious posts by one of ten people move the figure as one would."""
    calm = [*usual(("a", 10, 0.2)), *crowd(NOW, 10, 0.2, "a")]
    loud = [spoken(NOW, "loud", -1.0, "a", f"{n}") for n in range(50)]
    once, often = explained([*calm, loud[0]]), explained([*calm, *loud])
    assert once is not None and often is not None and once.change is not None and often.change is not None
    assert often.change.change == pytest.approx(once.change.change)
    assert (often.posts, often.people) == (60, 11)


def test_a_turn_of_one_thread_is_called_that() -> None:
    """A fall that one thread makes is said not to hold without it, and one that everybody makes is said to hold."""
    calm = usual(("a", 12, 0.2))
    brawl = [*crowd(NOW, 6, 0.2, "a"), *(spoken(NOW, f"w{k}", -0.9, "a", "brawl") for k in range(30))]
    found = explained([*calm, *brawl])
    assert found is not None and found.change is not None
    assert found.threads[0].people == 30 and found.threads[0].contribution == pytest.approx(30 / 36 * -1.1)
    assert found.change.holds_without_thread is False
    assert "it does not hold without the thread that counts most in it: read that first" in (sentences(found, "drop") or "")
    everybody = explained([*calm, *crowd(NOW, 12, -0.5, "a")])
    assert everybody is not None and everybody.change is not None
    assert (everybody.change.holds_without_person, everybody.change.holds_without_thread) == (True, True)
    assert "It holds without the person, and without the thread" in (sentences(everybody, "drop") or "")


def test_a_change_that_chance_may_make_is_called_that() -> None:
    """Five people who differ a little from before are no turn, and nothing is said of who makes it."""
    found = explained([*usual(("a", 6, 0.2)), *crowd(NOW, 5, 0.1, "a")])
    assert found is not None and found.change is not None
    assert found.change.holds_without_person is None and "by chance" in (sentences(found, "drop") or "")


def test_a_source_of_few_people_is_told_with_others_only() -> None:
    """Three people in a source beside two large ones: joined with the smaller of these; beside one large one nothing is told apart."""
    few = [
        *usual(("a", 9, 0.2), ("b", 7, 0.2), ("c", 3, 0.2)),
        *crowd(NOW, 9, -0.4, "a"),
        *crowd(NOW, 7, -0.4, "b"),
        *crowd(NOW, 3, 0.9, "c"),
    ]
    found = explained(few)
    assert found is not None and {part.source: part.people for part in found.sources} == {"a": 9, "b + c": 10}
    assert explained(few, source="c") is None and explained(few, source="b") is None, (
        "what an alert on one of the two would tell of the other"
    )
    alone = explained(few, source="a")
    assert alone is not None and [part.source for part in alone.sources] == ["a"]
    beside = explained([post for post in few if post.source != "b"])
    assert beside is not None and beside.change is not None and (beside.sources, beside.change.mood) == ((), None)


def test_a_thread_is_kept_back_where_it_would_tell_of_the_rest() -> None:
    """Of nine people in a source eight speak in one thread: its figure beside the source's would be the ninth person's."""
    said = [*usual(("a", 9, 0.2)), *crowd(NOW, 8, -0.5, "a", "big")]
    whole, rest = explained(said), explained([*said, spoken(NOW, "v8", -0.1, "a")])
    assert whole is not None and rest is not None
    assert [thread.people for thread in whole.threads] == [8] and rest.threads == ()


def test_more_people_are_told_by_source_and_thread() -> None:
    """A spike is explained by who speaks more than before, whatever they say."""
    found = explained([*usual(("a", 6, 0.2), ("b", 6, 0.2)), *crowd(NOW, 30, 0.2, "a", "big"), *crowd(NOW, 6, 0.2, "b")])
    assert sentences(found, "spike") == (
        "36 people a day speak, where 12 did from 2025-01-01 to 2025-01-28: +24 in a and +0 in b. "
        "The largest thread holds 30 of these 36 people."
    )
    assert sentences(found, "silence") is None


def test_too_few_people_explain_nothing() -> None:
    """Four people, or nobody before, give no explanation at all, and days of few people before give no figure."""
    assert explained([*usual(("a", 6, 0.2)), *crowd(NOW, 4, -0.9, "a")]) is None
    assert explained(crowd(NOW, 9, -0.9, "a")) is None
    found = explained([*usual(("a", 4, 0.2)), *crowd(NOW, 9, -0.9, "a")])
    assert found is not None and found.change is None and sentences(found, "drop") is None


POSTS = st.lists(
    st.builds(
        spoken,
        st.sampled_from([0, 1, 2, 5, NOW, NOW + 1]),
        st.sampled_from("abcdefgh"),
        st.sampled_from([-1.0, -0.4, 0.0, 0.3, 0.8]),
        source=st.sampled_from(["x", "y", "z"]),
        thread=st.sampled_from(["1", "2", None]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(POSTS)
def test_parts_sum_to_the_change_and_none_is_of_too_few(posts: list[Spoken]) -> None:
    """Whoever says whatever: sources sum to the change, and each figure, and what is left beside it, is of three people or more."""
    found = explained(posts, least=3)
    if found is None or found.change is None:
        return
    days = {post.day: {other.voice for other in posts if other.day == post.day} for post in posts}
    windows = (
        [post for post in posts if post.day >= day(NOW).isoformat()],
        [post for post in posts if post.day < day(NOW).isoformat() and len(days[post.day]) >= 3],
    )
    for part in found.sources:
        for window in windows:
            assert len({post.voice for post in window if post.source in part.source.split(" + ")}) not in (1, 2)
    if found.sources:
        assert sum(part.contribution or 0 for part in found.sources) == pytest.approx(found.change.change)
        assert (found.change.mood or 0) + (found.change.mix or 0) == pytest.approx(found.change.change)
    means = {name: cell.mean for name, cell in cells(windows[0], thread).items()}
    for group in [part.source.split(" + ") for part in found.sources] or [["x", "y", "z"]]:
        inside = [post for post in windows[0] if post.source in group]
        left = {post.thread: {other.voice for other in inside if other.thread == post.thread} for post in inside}
        for shown in found.threads:
            if shown.source in group:
                assert shown.people >= 3
                left.pop(next(name for name in left if len(left[name]) == shown.people and means[name] == pytest.approx(shown.mean)))
        assert len(set().union(*left.values())) not in (1, 2), "the rest of the source would be told too"
    assert found.change.low <= found.change.change <= found.change.high


SIDE = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.floats(0.01, 1), st.floats(-1, 1)), min_size=1)


@settings(max_examples=100, deadline=None)
@given(SIDE, SIDE)
def test_mood_and_mix_are_the_same_seen_from_the_other_side(
    before: dict[str, tuple[float, float]], now: dict[str, tuple[float, float]]
) -> None:
    """Told backwards the parts have the other sign; together they are the change; one group alone has no mix."""

    def whole(side: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        return {group: (share / sum(one for one, _ in side.values()), mean) for group, (share, mean) in side.items()}

    old, new = whole(before), whole(now)
    there, back = kitagawa(old, new), kitagawa(new, old)
    assert all(there[group] == pytest.approx([-part for part in back[group]]) for group in there)
    change = sum(share * mean for share, mean in new.values()) - sum(share * mean for share, mean in old.values())
    assert sum(mood + mix for mood, mix in there.values()) == pytest.approx(change)
    if len(there) == 1:
        assert next(iter(there.values()))[1] == pytest.approx(0)


# ---- words --------------------------------------------------------------------------------------------------------


def test_terms_are_words_and_runs_of_characters() -> None:
    """Accents and apostrophes stay, elisions go; Chinese is cut into runs of 2 to 4; names, links and numbers are none."""
    assert terms_of("L'équipe DON’T pay @sam_smith 42 https://x.com/sam a@b.org u/joe") == {"équipe", "don't", "pay"}
    assert terms_of("浪费钱了 wow") == {"浪费", "费钱", "钱了", "浪费钱", "费钱了", "浪费钱了", "wow"}
    assert terms_of("") == set()


def said(n: int, *texts: str) -> list[tuple[str, str, str]]:
    return [(str(n), f"{n} {k}", text) for k, text in enumerate(texts)]


def test_a_term_is_of_enough_people_and_heard_more_than_before() -> None:
    """What six say now and hardly one said before is a term; what all always say, or one person repeats fifty times, is none."""
    before = [post for n in range(28) for post in said(n, *["the model is fine and the team works"] * 20)]
    now = said(28, *["the model is a panic 太浪费钱"] * 6, *["the model is fine"] * 10, "outrage " * 50, *["outrage"] * 3)
    found = heard_more(now, before, 5, 9)
    assert {(term.term, term.people, term.before) for term in found} == {("panic", 6, 0), ("太浪费钱", 6, 0)}
    assert heard_more(now, before, 7, 9) == [] and heard_more(now, [], 5, 9) == [] and heard_more([], before, 5, 9) == []


# ---- from the store to the message --------------------------------------------------------------------------------

META = Team(id="meta", name="Meta GenAI")
DROP = {"id": "fall", "type": "drop", "for": 1, "confidence": 0.998}
CONFIG = Config(teams=(META,), rules=(Rule.model_validate(DROP),))


def tell(store: Store, n: int, value: float, people: int, words: str, source: str = "forum") -> None:
    """Store a day's posts as if they had been collected and understood, each by another person in a thread of its own.

    Each says `words` among many of its own, since who repeats others is no voice.
    """
    at = dt.datetime.combine(day(n), dt.time(12), dt.UTC)
    store.read_by("reader", MODEL)
    draw = random.Random(f"{source} {n}")
    texts = [f"Meta GenAI {words} {' '.join(''.join(draw.choices('abcdefgh', k=6)) for _ in range(9))}" for _ in range(people)]
    store.save_posts(
        Post(source, f"{n}-{k}", f"https://{source}/{n}/{k}", text, at, at, thread_id=f"{n}-{k}", author_key=f"{source} {k}")
        for k, text in enumerate(texts)
    )
    readings = []
    for unread in store.unread(people):
        k = texts.index(unread.text)
        told = max(-1.0, min(1.0, value + 0.1 * (k % 3 - 1)))
        score = Score(MODEL, max(0.0, -told), 1 - abs(told), max(0.0, told))
        found = {"meta": (f"{n} {k} {source}", score)}
        readings.append(Reading(unread.id, text_hash(unread.text), "en", [Mention("meta", 0, 10)], found))
    store.save_readings(readings, model=MODEL, at=at)


@pytest.fixture
def fallen(fresh_store: Store) -> Store:
    """Four calm weeks, then a day on which twelve people panic; in trends."""
    for n in range(NOW):
        tell(fresh_store, n, 0.2, 9, "works and is fine")
    tell(fresh_store, NOW, -0.6, 12, "is in panic")
    trend(fresh_store, min_authors=5)
    return fresh_store


def test_message_and_store_say_the_same(fallen: Store) -> None:
    """An alert's message tells what moved it in the very words that are stored, with terms and without the team's own name."""
    alert(fallen, CONFIG, now=dt.datetime.combine(day(NOW + 1), dt.time(6), dt.UTC))
    why = fallen.rows("SELECT why FROM v_alerts")[0]["why"]
    assert why.startswith(
        "Against 2025-01-01 to 2025-01-28 the mean of 12 people on 2025-01-29 moved by -0.80 (95 % interval -1.03 to -0.57)"
    )
    assert "all of it in forum. It holds without the person, and without the thread, that counts most in it." in why
    terms = re.search(r"Words heard more than before: (.*)\.$", why)
    assert terms and "panic" in terms[1].split(", ") and "genai" not in why
    due = fallen.due(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))[0]
    assert f"\n\n{why}\n\nPosts that show it:" in compose(due.event, due.posts, CONFIG).body


def test_an_alert_on_a_withheld_source_tells_no_more(fallen: Store) -> None:
    """Where three people speak in another source, what moved the first one's figure would tell of them, so no alert on it says so."""
    tell(fallen, NOW, 0.9, 3, "is great", source="small")
    posts = fallen.spoken("meta", MODEL, day(0), day(NOW))
    assert explain(posts, lambda some: (), since=day(NOW), min_authors=5, source="forum") is None
    assert explain(posts, lambda some: (), since=day(NOW), min_authors=5) is not None


def test_posts_past_their_retention_count_and_have_no_words(fallen: Store) -> None:
    """Figures are those of the trend, retired posts too; words are only those that are still there."""
    with fallen.writing() as connection:
        connection.execute("UPDATE posts SET text = '', retired = 1, deleted_at = posted_at WHERE posted_at < '2025-01-15'")
    posts = fallen.spoken("meta", MODEL, day(0), day(NOW))
    assert len(posts) == NOW * 9 + 12
    words = [text for _, text in fallen.wordings("meta", posts[: 15 * 9])]
    assert len(words) == 9 and all(text.startswith("\n works and is fine ") for text in words)


def test_explain_on_the_command_line(
    fallen: Store, write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`explain TEAM --day` tells change, parts, words and posts, as text and as one JSON object without any author's key."""
    write_config(teams=[{"id": "meta", "name": "Meta GenAI"}])
    done = forum_monitor("explain", "meta genai", "--day", day(NOW), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and "author_key" not in done.stdout and "forum 1" not in done.stdout
    assert told["change"]["change"] == pytest.approx(-0.8) and told["change"]["mood"] == pytest.approx(-0.8)
    assert told["why"] in forum_monitor("explain", "meta", "--day", day(NOW)).stdout
    assert len(told["representative"]) == 5 and told["representative"][0]["url"].startswith(f"https://forum/{NOW}/")
    later = forum_monitor("explain", "meta", "--day", day(NOW + 3))
    assert "too few people spoke" in later.stdout and f"last day with enough is {day(NOW)}" in later.stdout


def test_a_turn_that_lasts_is_seen_against_the_days_before_it(fallen: Store) -> None:
    """While an alert fires, the days since it began are no baseline."""
    alert(fallen, CONFIG, now=dt.datetime.combine(day(NOW + 1), dt.time(6), dt.UTC))
    assert fallen.turn_began("meta", day(NOW + 9)) == day(NOW)
    assert fallen.turn_began("meta", day(NOW - 1)) is None


def test_posts_that_show_a_rise_are_the_best() -> None:
    """Where sentiment rose the most positive posts show it."""
    rows = [
        {"id": n, "value": v, "length": 90, "author_key": str(n), "source": "f", "thread_id": str(n)}
        for n, v in enumerate((0.1, 0.9, -0.9))
    ]
    assert representative(rows, "rise", 2) == [1, 0] and representative(rows, "drop", 2) == [2, 0]
