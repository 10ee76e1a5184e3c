"""Two models that take turns: which of them reads what, under whose name it is kept, and that it counts once."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from chat import Chat, Reply
from conftest import FILLER
from sqlite_utils import Database
from test_endpoint import TEAMS, about, labels, post

from monitor import schema
from monitor.clock import REPLAY
from monitor.config import Scorer as Settings
from monitor.errors import ModelError
from monitor.records import Score
from monitor.sentiment import Item, Scorer, load_scorer
from monitor.sentiment.escalation import EscalatingScorer
from monitor.sentiment.passages import model_input
from monitor.store import Store
from monitor.trend import trend
from monitor.understand import understand

DAY = dt.date(2025, 1, 20)
NOON = dt.datetime(2025, 1, 20, 12, tzinfo=dt.UTC)
SURE = "It is plain: "
"""How a text begins of which the small model below is sure."""


def filler(number: int) -> str:
    """Words that no other number's filler has: posts that share them would be echoes, and count once."""
    return " ".join(f"{word}{number}" for word in FILLER.split())


class Small:
    """Stands for the embedded model where a test must know what it says: all is praise, and it is sure where a text says so."""

    name = "small@1"

    def __init__(self) -> None:
        self.read: list[str] = []

    def score(self, items: Sequence[Item]) -> list[Score]:
        texts = [model_input(item) for item in items]
        self.read += texts
        return [Score(self.name, 0.05, 0.05, 0.9) if SURE in text else Score(self.name, 0.3, 0.2, 0.5) for text in texts]


class Broken:
    """A second model that is not to be had."""

    name = "broken@1"

    def score(self, items: Sequence[Item]) -> list[Score]:
        raise ModelError("it is broken")


@pytest.fixture
def chat() -> Iterator[Chat]:
    """A server whose model goes by the words good and bad."""
    with Chat() as chat:
        yield chat


def escalating(chat: Chat, store: Store | None = None, *, below: float = 0.6, small: Scorer | None = None, **options: Any) -> Scorer:
    endpoint = load_scorer(Settings(endpoint=chat.url, model="judge", **options), store)
    return EscalatingScorer(small or Small(), endpoint, below=below, ledger=store)


def kept(store: Store, scorer: Scorer) -> dict[tuple[str, str], tuple[str, str]]:
    """(post, team) to label and the model that gave it, under a scorer's name."""
    rows = store.rows(
        "SELECT p.native_id, s.team, s.label, s.read_by FROM scores s JOIN posts p ON p.id = s.post_id WHERE s.model = ?", (scorer.name,)
    )
    assert len(rows) == len({(row[0], row[1]) for row in rows})
    return {(row[0], row[1]): (row[2], row[3].partition("@")[0]) for row in rows}


def test_only_what_the_first_is_unsure_of_is_asked_of_the_second(chat: Chat) -> None:
    """Each score is that of one model and carries its name; the sure one's texts do not leave."""
    scores = escalating(chat).score(about(f"{SURE}X is bad", "X is bad", f"{SURE}X is here", "X is good"))
    assert [(score.label, score.model.partition("@")[0]) for score in scores if score] == [
        ("positive", "small"), ("negative", "judge"), ("positive", "small"), ("positive", "judge"),
    ]  # fmt: skip
    assert [asked.texts for asked in chat.asked] == [["<mask> is bad", "<mask> is good"]]


def test_the_bound_is_the_first_label_s_probability(chat: Chat) -> None:
    """What reaches it is sure; nothing is asked where all are."""
    assert labels(escalating(chat, below=0.5).score(about("X is bad"))) == ["positive"] and chat.asked == []
    assert labels(escalating(chat, below=0.51).score(about("X is bad"))) == ["negative"] and len(chat.asked) == 1
    assert escalating(chat).score([]) == []


def test_the_name_tells_both_models_and_the_bound(chat: Chat) -> None:
    """Another revision of either, or another mixture, is another scorer; the embedded one is the first of the two."""
    names = {escalating(chat).name, escalating(chat, below=0.7).name, load_scorer(Settings(endpoint=chat.url, model="judge")).name}
    assert len(names) == 3
    name = load_scorer(Settings(endpoint=chat.url, model="judge", escalate_below=0.6)).name
    assert name == f"{load_scorer(Settings()).name}+{load_scorer(Settings(endpoint=chat.url, model='judge')).name}<0.6"


def test_an_outage_leaves_the_first_one_s_scores_under_its_own_name(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left out and nothing is passed off as the other's; it is said once for a run."""
    scorer = EscalatingScorer(Small(), Broken(), below=0.6)
    for _ in range(2):
        assert [score and score.model for score in scorer.score(about("X is bad", f"{SURE}X is bad"))] == ["small@1", "small@1"]
    assert caplog.text.count("it is broken") == 1 and "small@1" in caplog.text


def test_a_first_model_that_does_not_work_is_an_error(chat: Chat) -> None:
    """The second does not silently read everything: that would cost, and send, all."""
    with pytest.raises(ModelError, match="broken"):
        escalating(chat, small=Broken()).score(about("X is bad"))
    assert chat.asked == []


def test_each_pair_counts_once_in_the_trend(fresh_store: Store, chat: Chat) -> None:
    """Scores of both models make one row per day and team, under the name of the two together; who read what is kept."""
    texts = [
        f"{SURE}OpenAI is bad {filler(1)}.",
        f"OpenAI is bad {filler(2)}.",
        f"OpenAI is good {filler(3)}. DeepSeek is so bad {filler(4)}.",
    ]
    fresh_store.save_posts([post(number, text) for number, text in enumerate(texts)])
    scorer = escalating(chat, fresh_store)
    done = understand(fresh_store, TEAMS, scorer, now=NOON)
    assert (done.posts, done.scored, done.failed) == (3, 4, 0)
    assert kept(fresh_store, scorer) == {
        ("0", "openai"): ("positive", "small"), ("1", "openai"): ("negative", "judge"),
        ("2", "openai"): ("positive", "judge"), ("2", "deepseek"): ("negative", "judge"),
    }  # fmt: skip
    trend(fresh_store, min_authors=1)
    rows = fresh_store.rows("SELECT team, model, posts FROM daily_trends WHERE source = '*' ORDER BY team")
    assert [tuple(row) for row in rows] == [("deepseek", scorer.name, 1), ("openai", scorer.name, 3)]
    assert fresh_store.model == scorer.name and len(fresh_store.posts("openai")) == 3
    assert {row["read_by"].partition("@")[0] for row in fresh_store.posts("openai")} == {"small", "judge"}


def test_turning_it_on_and_off_asks_for_nothing_twice_and_mixes_nothing(fresh_store: Store, chat: Chat) -> None:
    """What either has read is looked up by its own name; each scorer keeps figures of its own, as they were."""
    fresh_store.save_posts([post(1, f"{SURE}OpenAI is bad {filler(1)}."), post(2, f"OpenAI is bad {filler(2)}.")])
    small = Small()
    alone = understand(fresh_store, TEAMS, small, now=NOON)
    assert (alone.scored, len(small.read)) == (2, 2)
    for below, asked in ((0.6, 1), (0.95, 2), (0.6, 2)):
        scorer = escalating(chat, fresh_store, below=below, small=small)
        understand(fresh_store, TEAMS, scorer, now=NOON)
        assert (len(small.read), sum(len(request.texts) for request in chat.asked)) == (2, asked)
    again = understand(fresh_store, TEAMS, small, now=NOON)
    assert (again.scored, again.known) == (0, 2)
    assert [tuple(row) for row in fresh_store.rows("SELECT model, read_by FROM scores WHERE model = 'small@1'")] == [
        ("small@1", "small@1")
    ] * 2
    assert sorted(kept(fresh_store, scorer).values()) == [("negative", "judge"), ("positive", "small")]
    trend(fresh_store, min_authors=1)
    posts = fresh_store.rows("SELECT model, posts FROM daily_trends WHERE source = '*' AND team = 'openai'")
    assert {row["posts"] for row in posts} == {2} and len(posts) == 3


def test_an_edited_post_keeps_what_was_paid_for(fresh_store: Store, chat: Chat) -> None:
    """Words elsewhere in the post change what nobody has read: the endpoint's score is looked up."""
    fresh_store.save_posts([post(1, f"OpenAI is bad {FILLER}. The old end {FILLER}.")])
    understand(fresh_store, TEAMS, escalating(chat, fresh_store), now=NOON)
    fresh_store.save_posts([post(1, f"OpenAI is bad {FILLER}. Another end {FILLER}.")])
    understand(fresh_store, TEAMS, scorer := escalating(chat, fresh_store), now=NOON)
    assert kept(fresh_store, scorer) == {("1", "openai"): ("negative", "judge")} and len(chat.asked) == 1


def test_a_spent_allowance_stops_no_post(
    fresh_store: Store, chat: Chat, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded model's scores stand in for what is over it, under its own name, and nothing stays unread."""
    monkeypatch.setenv(REPLAY, "2025-01-20T12:00:00")
    chat.always = lambda _: Reply(usage=(9000, 100))
    fresh_store.save_posts([post(number, f"OpenAI is bad, {number} {FILLER}.") for number in range(20)])
    scorer = escalating(chat, fresh_store, tokens_per_day=10_000)
    done = understand(fresh_store, TEAMS, scorer, now=NOON)
    assert (done.posts, done.waiting, fresh_store.unread_count(), len(chat.asked)) == (20, 0, 0, 1)
    assert sorted(kept(fresh_store, scorer).values()) == [("negative", "judge")] * 8 + [("positive", "small")] * 12
    assert caplog.text.count("scorer.tokens_per_day") == 1


def test_a_store_from_before_keeps_its_scores_and_knows_whose_they_are(tmp_path: Path) -> None:
    """Brought up to date, what a model had scored is still known by its name."""
    path = tmp_path / "monitor.db"
    old = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(old, execute_plugins=False), stop_before="m003_two_models")
    old.execute("PRAGMA user_version = 2")
    old.execute(
        """INSERT INTO posts (id, source, native_id, url, text, posted_at, date_origin, fetched_at, kind, text_hash, unread)
           VALUES (1, 'forum', '1', 'u', 'OpenAI', '2025-01-20T12:00:00Z', 'site', '', 'voice', 'h', 0)"""
    )
    old.execute("INSERT INTO scores VALUES (1, 'openai', 'small@1', 'abc', 0.1, 0.2, 0.7, 0.6, 'positive', '')")
    old.close()
    with Store(path) as store:
        assert store.known_scores("small@1", ["abc"]) == {"abc": Score("small@1", 0.1, 0.2, 0.7)}
        assert [row["read_by"] for row in store.rows("SELECT read_by FROM v_posts")] == ["small@1"]


Run = Callable[..., CompletedProcess[str]]


@pytest.mark.real
def test_the_embedded_model_hands_over_what_it_is_unsure_of(
    chat: Chat, write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path
) -> None:
    """In real processes with the real model: `understand`, `trend` and `posts` show one score each, and which model it is of."""
    clear = f"DeepSeek is a disaster, they lied to us and everybody competent has left. {filler(0)}."
    texts = [
        clear,
        *(f"DeepSeek {words} {filler(len(words))}." for words in ("is good or so, hm", "is bad in a good way", "was, well, good")),
    ]
    with Store(tmp_path / "monitor.db") as store:
        store.save_posts([post(number, text) for number, text in enumerate(texts)])
    embedded = load_scorer(Settings())
    found = embedded.score([Item(text, ((0, len("DeepSeek")),)) for text in texts])
    shares = sorted(max(score.negative, score.neutral, score.positive) for score in found)
    below = (shares[1] + shares[2]) / 2  # so that the real model is sure of two and not of the other two
    write_config(scorer={"endpoint": chat.url, "model": "judge", "escalate_below": below}, privacy={"min_authors": 2})
    done = forum_monitor("understand")
    assert (done.returncode, done.stderr) == (0, "") and "4 posts read" in done.stdout
    assert [len(asked.texts) for asked in chat.asked] == [2]
    assert forum_monitor("trend").returncode == 0
    with Store(tmp_path / "monitor.db") as store:
        rows = store.rows("SELECT read_by, count(*) FROM v_posts WHERE team = 'deepseek' GROUP BY 1 ORDER BY 1")
        assert [(row[0].partition("@")[0], row[1]) for row in rows] == [("embedded", 2), ("judge", 2)]
        assert [tuple(row) for row in store.rows("SELECT posts FROM v_daily WHERE team = 'deepseek' AND source = '*'")] == [(4,)]
    chat.always = lambda _: Reply(status=401)
    write_config(scorer={"endpoint": chat.url, "model": "judge", "escalate_below": 1}, privacy={"min_authors": 2})
    done = forum_monitor("understand")
    assert done.returncode == 0 and "401" in done.stderr and "4 posts read" in done.stdout
    with Store(tmp_path / "monitor.db") as store:
        assert [row["read_by"].partition("@")[0] for row in store.posts("deepseek")].count("judge") == 2
