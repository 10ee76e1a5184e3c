"""Random samples: drawn by chance alone with known probabilities, read by people or a model, and nothing else counts as one."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Sequence
from subprocess import CompletedProcess
from typing import Any

import pytest
from chat import Chat
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import review
from monitor.clock import REPLAY
from monitor.config import Config, Team
from monitor.correct import correct, undo
from monitor.errors import InputError
from monitor.forget import retire
from monitor.records import Post, Score
from monitor.sentiment import Item
from monitor.store import Frame, Store
from monitor.trend import trend
from monitor.understand import understand
from monitor.weeks import computed

Run = Callable[..., "CompletedProcess[str]"]

NOW = dt.datetime(2025, 1, 24, 12, tzinfo=dt.UTC)
YESTERDAY = dt.datetime(2025, 1, 23, 12, tzinfo=dt.UTC)
DAY = YESTERDAY.date()
TEAMS = (Team.model_validate({"id": "openai", "name": "OpenAI"}), Team.model_validate({"id": "deepseek", "name": "DeepSeek"}))
CONFIG = Config(teams=TEAMS)


class Praising:
    """A model that is wrong of everything here: all is praise to it."""

    name = "praising@1"

    def score(self, items: Sequence[Item]) -> list[Score]:
        return [Score(self.name, 0.1, 0.2, 0.7) for _ in items]


def post(number: int, text: str = "", **fields: Any) -> Post:
    words = text or f"OpenAI is bad, reason{number} of many{number}."
    known: dict[str, Any] = {"author_key": f"author {number}", **fields}
    return Post("hn", str(number), f"https://x.org/{number}", words, YESTERDAY, YESTERDAY, **known)


def fill(store: Store, posts: Sequence[Post]) -> None:
    store.save_posts(posts)
    understand(store, TEAMS, Praising(), now=YESTERDAY)
    trend(store, min_authors=5)


@pytest.fixture
def store(fresh_store: Store) -> Store:
    """Thirty people who scold OpenAI on one day, each in a post."""
    fill(fresh_store, [post(number) for number in range(1, 31)])
    return fresh_store


def draw(store: Store, count: int = 10, seed: int = 0, team: str | None = "openai") -> int:
    return review.draw(store, DAY, DAY, team, count=count, seed=seed, now=NOW)


def waiting(store: Store, team: str | None = "openai") -> list[int]:
    return [row["id"] for row in store.to_review(DAY, DAY, team)]


def read(store: Store, label: Any = "negative", most: int = 1000) -> None:
    for number in waiting(store)[:most]:
        review.keep(store, number, "openai", label, now=NOW)


def week(store: Store) -> Any:
    return computed(store, CONFIG, "openai", DAY, DAY).get(DAY.isoformat())


# ---- the draw ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 15), st.integers(0, 999))
def test_a_draw_keeps_what_it_promises(posts: list[int], count: int, seed: int) -> None:
    """As many as the probabilities add up to, a person no likelier for posting more, the same again by the same seed in any order."""
    frame = [Frame(100 * voice + n, "t", f"v{voice}", "", f"{voice} {n}") for voice, many in enumerate(posts) for n in range(many)]
    found = review.sampled(frame, count / len(posts), f"{seed}")
    drawn = [each for each in found if each.order is not None]
    assert abs(len(drawn) - sum(each.chance for each in found)) < 1 + 1e-6
    assert sorted(each.order for each in drawn if each.order is not None) == list(range(len(drawn)))
    assert all(0 < each.chance <= 1 for each in found) and len(found) == len(frame)
    of_voice = Counter[int]()
    for each in found:
        of_voice[each.post_id // 100] += each.chance  # type: ignore[assignment]
    assert all(of_voice[voice] == pytest.approx(min(many, count / len(posts))) for voice, many in enumerate(posts))
    assert {(each.post_id, each.order) for each in review.sampled(frame[::-1], count / len(posts), f"{seed}")} == {
        (each.post_id, each.order) for each in found
    }


def test_each_post_is_drawn_as_often_as_its_probability_says() -> None:
    """Over many seeds, of people who post once and of one who posts ten times."""
    frame = [Frame(number, "t", f"v{min(number, 8)}", "", f"{number:02}") for number in range(18)]
    seeds = range(3000)
    drawn = Counter(each.post_id for seed in seeds for each in review.sampled(frame, 0.4, f"{seed}") if each.order is not None)
    for each in review.sampled(frame, 0.4, ""):
        error = (each.chance * (1 - each.chance) / len(seeds)) ** 0.5
        assert drawn[each.post_id] / len(seeds) == pytest.approx(each.chance, abs=4.5 * error)


def test_what_comes_later_changes_nothing_that_was_drawn(store: Store) -> None:
    """A second draw of the day finds the first one as it is, and draws of what came since at the same rate."""
    assert draw(store) == 10
    before = [tuple(row) for row in store.rows("SELECT * FROM reviews ORDER BY 1, 2")]
    assert draw(store) == draw(store, seed=5) == 0
    fill(store, [post(number) for number in range(31, 61)])
    assert draw(store, count=20) == 10, "a third of the thirty that came"
    after = {tuple(row) for row in store.rows("SELECT * FROM reviews")}
    assert after.issuperset(before) and len(after) == 60


def test_a_sample_is_of_all_teams_or_of_one(store: Store) -> None:
    """Without a team, the posts that are wanted are of all together."""
    fill(store, [post(number, f"DeepSeek is bad, reason{number} of many{number}.") for number in range(31, 61)])
    assert draw(store, team=None) == 10
    assert len(waiting(store, None)) == 10 > len(waiting(store, "deepseek")) > 0


# ---- what counts as read -------------------------------------------------------------------------------------------


def test_a_sample_sets_a_model_right_that_is_wrong_of_everything(store: Store) -> None:
    """The figure is that of the readers, from fewer posts than there are, and says how many those were."""
    draw(store)
    read(store)
    found = week(store)
    assert (found.method, found.authors, found.read, found.readers) == ("sample", 30, 10, ("person",))
    assert found.negative_share.value == pytest.approx(1) and found.model_negative_share == 0
    assert found.mean.low == -1 and -1 < found.mean.high < -0.4, "ten who agree are not everybody"
    assert found.model_mean == pytest.approx(0.6)


def test_corrections_of_what_struck_somebody_are_no_sample(store: Store) -> None:
    """They count in the raw figures, never as drawn at random, not even where the draw takes the same post later."""
    for number in range(1, 31):
        correct(store, CONFIG, str(number), "openai", "positive", now=NOW)
    assert week(store) is None
    draw(store)
    assert week(store) is None and len(waiting(store)) == 10, "what was drawn is to be read by somebody who did not pick it"
    read(store)
    assert week(store).read == 10
    assert sum(row["drawn"] for row in store.corrections()) == 10


def test_a_label_of_what_was_not_drawn_is_refused(store: Store) -> None:
    """With the command that takes such labels; nothing is kept."""
    draw(store)
    other = next(number for number in range(1, 31) if number not in waiting(store))
    with pytest.raises(InputError, match=f"post {other} was not drawn toward openai.*forum-monitor correct"):
        review.keep(store, other, "openai", "negative", now=NOW)
    assert store.corrections() == []


def test_what_is_taken_back_reworded_or_half_read_waits_or_goes(store: Store) -> None:
    """A correction that is undone is asked for again; a post with new words is no part of the sample; half a sample is a sample."""
    draw(store)
    read(store, most=6)
    assert week(store).read == 6 and week(store).authors == 30
    first = store.rows("SELECT id FROM v_reviews WHERE label IS NOT NULL ORDER BY id")[0]["id"]
    undo(store, str(first), "openai")
    assert first in waiting(store) and week(store).read == 5
    fill(store, [post(first, f"OpenAI is fine after all, I was wrong{first}.")])
    assert first not in waiting(store) and week(store).authors == 29


def test_too_few_people_give_no_figure(store: Store) -> None:
    """Four readings are below privacy.min_authors, as four voices are."""
    draw(store, count=4)
    read(store)
    assert week(store) is None


def test_a_corrected_figure_outlives_the_words_that_it_was_read_from(store: Store) -> None:
    """privacy.retention takes words, addresses and authors; who was drawn and what was said of it still counts."""
    draw(store)
    read(store)
    before = week(store)
    config = CONFIG.model_copy(update={"privacy": CONFIG.privacy.model_copy(update={"retention": 1})})
    assert retire(store, config, now=NOW + dt.timedelta(days=30)) == {"hn": 30}
    assert week(store).negative_share == pytest.approx(before.negative_share) and waiting(store) == []


# ---- a model that reads --------------------------------------------------------------------------------------------


def test_a_model_may_read_and_is_named(store: Store) -> None:
    """It is shown masked passages of what was drawn and no more; its labels are nobody's corrections, and the figure names it."""
    from monitor.scoring import Scorer as Settings
    from monitor.sentiment import load_scorer

    draw(store)
    with Chat() as chat:
        reader = load_scorer(Settings(endpoint=chat.url, model="judge", tokens_per_day=1_000_000), store)
        assert review.ask(store, store.to_review(DAY, DAY, "openai"), reader, now=NOW) == (10, "")
        assert sum(len(asked.texts) for asked in chat.asked) == 10
        assert all("OpenAI" not in text and "<mask>" in text for asked in chat.asked for text in asked.texts)
    assert waiting(store) == [] and store.corrections() == []
    assert week(store).readers == (reader.name,) and week(store).negative_share.value == pytest.approx(1)


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(store: Store, forum_monitor: Run, write_config: Callable[..., object]) -> Run:
    write_config(teams=[{"id": team.id, "name": team.name} for team in TEAMS])
    return lambda *words, **options: forum_monitor(*words, **{REPLAY: NOW.isoformat()}, **options)


def test_the_command_lists_takes_labels_and_shows_the_figure(cli: Run) -> None:
    """Lines in, a sentence out; a line that is no label of the sample is told with its number; `show` has model and sample beside."""
    rows = json.loads(cli("review", "openai", "--json").stdout)
    assert len(rows) == 10 and {"id", "team", "url", "text"} <= rows[0].keys() and not {"label", "value"} & rows[0].keys()
    lines = [json.dumps({"post": row["id"], "team": "openai", "label": "negative"}) for row in rows]
    done = cli("review", "openai", "--from", "-", stdin="\n".join([*lines[:8], "?", '{"post": 999, "team": "openai", "label": "neutral"}']))
    assert done.returncode == 1 and "line 9: is no label" in done.stderr and "line 10: post 999 was not drawn" in done.stderr
    assert "Read 8; 2 drawn of 2025-01-23 to 2025-01-23 wait." in done.stdout
    [day] = json.loads(cli("show", "openai", "--day", "2025-01-23", "--json").stdout)
    assert (day["week_corrected_by"], day["week_read"], day["week_readers"]) == ("sample", 8, "person")
    assert day["week_corrected_negative_share"] == pytest.approx(1) and day["week_model_negative_share"] == 0
    shown = cli("show", "openai", "--day", "2025-01-23").stdout
    assert "corrected by a random sample of 8 posts, read by person" in shown and "model 0%, corrected 100%" in shown


def test_a_person_reads_in_the_terminal_without_the_models_word(cli: Run, store: Store) -> None:
    """Post by post, masked, until `q`; what is left waits for the next time."""
    fill(store, [post(31, "OpenAI is bad, write to jane@example.org, she31 knows31 why31.")])
    ended = cli("review", "--count", "31", stdin="")
    assert ended.returncode == 0 and "Read 0; 31 drawn" in ended.stdout, "the end of what is piped in is the end of reading"
    done = cli("review", "--count", "31", stdin="-\n?\n0\n+\nq\n")
    assert "1 of 31" in done.stdout and "Its attitude toward OpenAI" in done.stdout and "0.70" not in done.stdout
    assert "Read 3; 28 drawn" in done.stdout
    assert Counter(row["label"] for row in store.corrections()) == {"negative": 1, "neutral": 1, "positive": 1}
    assert "jane@example.org" not in cli("review", stdin="0\n" * 40).stdout
    assert waiting(store) == []


def test_asking_a_model_needs_one(cli: Run) -> None:
    """The sentence says where it is to be named."""
    done = cli("review", "--ask")
    assert done.returncode == 2 and "the section `review` in config.yaml" in done.stderr
