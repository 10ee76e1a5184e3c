"""Understanding: unread posts become language, mentions and scores, once, in batches, whatever happens in between."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import FILLER
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Scorer as Settings
from monitor.config import Team
from monitor.errors import ModelError
from monitor.language import language
from monitor.records import Gone, Post, Score
from monitor.sentiment import Item, Scorer, load_scorer
from monitor.sentiment.passages import model_input
from monitor.store import Store
from monitor.understand import Understood, score_lines, understand

NOON = dt.datetime(2025, 1, 20, 12, tzinfo=dt.UTC)
OPENAI = Team.model_validate({"id": "openai", "name": "OpenAI", "aliases": ["ChatGPT"]})
DEEPSEEK = Team.model_validate({"id": "deepseek", "name": "DeepSeek", "aliases": [{"text": "R1", "case": True, "needs": ["DeepSeek"]}]})
TEAMS = (OPENAI, DEEPSEEK)


class FakeScorer:
    """Scores by the words good and bad, keeps what it was given to read, and fails on `poison`."""

    def __init__(self, name: str = "fake@1", *, poison: str | None = None, before: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.poison = poison
        self.before = before
        self.read: list[str] = []

    def score(self, items: Sequence[Item]) -> list[Score]:
        self.before()
        texts = [model_input(item) for item in items]
        if self.poison is not None and any(self.poison in text for text in texts):
            raise RuntimeError("the runtime does not like this")
        self.read += texts
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Score:
        if "bad" in text:
            return Score(self.name, 0.8, 0.1, 0.1)
        return Score(self.name, 0.1, 0.1, 0.8) if "good" in text else Score(self.name, 0.1, 0.8, 0.1)


def post(number: int, text: str, title: str | None = None) -> Post:
    at = NOON + dt.timedelta(minutes=number)
    return Post("forum", str(number), f"https://forum.example/{number}", text, posted_at=at, fetched_at=at, title=title)


def scores(store: Store, model: str = "fake@1") -> dict[tuple[str, str], str]:
    rows = store.rows("SELECT p.native_id, s.team, s.label FROM scores s JOIN posts p ON p.id = s.post_id WHERE s.model = ?", (model,))
    return {(row[0], row[1]): row[2] for row in rows}


def run(store: Store, scorer: Scorer, teams: Sequence[Team] = TEAMS, **options: int) -> Understood:
    return understand(store, teams, scorer, now=NOON, **options)


def test_each_team_is_judged_by_the_sentences_that_name_it(fresh_store: Store) -> None:
    """One post praises one team and blames another: each gets its own score, and its mentions their offsets."""
    text = f"ChatGPT is good {FILLER}. DeepSeek is bad {FILLER}."
    fresh_store.save_posts([post(1, text)])
    done = run(fresh_store, FakeScorer())
    assert scores(fresh_store) == {("1", "openai"): "positive", ("1", "deepseek"): "negative"}
    found = fresh_store.rows('SELECT team, start, "end" FROM mentions ORDER BY start')
    assert [(row[0], text[row[1] : row[2]]) for row in found] == [("openai", "ChatGPT"), ("deepseek", "DeepSeek")]
    assert done == Understood(posts=1, mentions=2, scored=2, known=0, failed=0)
    assert fresh_store.model == "fake@1"


def test_the_thread_title_helps_an_ambiguous_name(fresh_store: Store) -> None:
    """A reply that says only R1 is about DeepSeek under a title that says DeepSeek; the title itself is not scored."""
    fresh_store.save_posts([post(1, "R1 is good", title="DeepSeek is bad"), post(2, "R1 is good", title="Routers")])
    scorer = FakeScorer()
    run(fresh_store, scorer)
    assert scores(fresh_store) == {("1", "deepseek"): "positive"}
    assert scorer.read == ["<mask> is good"]


def test_the_same_words_are_scored_once(fresh_store: Store) -> None:
    """In one batch, in a later batch and in a later run: what the model has read it does not read again."""
    fresh_store.save_posts([post(n, f"OpenAI is good {FILLER}. Number {n} {FILLER}.") for n in range(5)])
    scorer = FakeScorer()
    done = run(fresh_store, scorer, batch=2)
    fresh_store.save_posts([post(9, f"chatgpt is good {FILLER}.")])
    later = run(fresh_store, scorer)
    assert len(scorer.read) == 1 and len(scores(fresh_store)) == 6
    assert (done.posts, done.scored, done.known, later.scored, later.known) == (5, 1, 2, 0, 1)


def test_an_edit_elsewhere_in_the_post_is_not_scored_again(fresh_store: Store) -> None:
    """What the model reads of an edited post, if it is what it has read before, keeps its score without another run."""
    fresh_store.save_posts([post(1, f"OpenAI is good {FILLER}. The old end {FILLER}.")])
    run(fresh_store, FakeScorer())
    fresh_store.save_posts([post(1, f"OpenAI is good {FILLER}. Another end {FILLER}.")])
    assert fresh_store.voices(NOON.date(), NOON.date()) == []
    later = run(fresh_store, FakeScorer())
    assert (later.posts, later.scored, later.known) == (1, 0, 1)
    assert scores(fresh_store) == {("1", "openai"): "positive"}


def test_other_aliases_read_every_post_again_and_score_only_what_is_new(fresh_store: Store) -> None:
    """A team added to config.yaml is found in old posts; the scores of the others are taken over, not computed again."""
    fresh_store.save_posts([post(1, f"OpenAI is good {FILLER}. DeepSeek is bad {FILLER}.")])
    scorer = FakeScorer()
    run(fresh_store, scorer, [OPENAI])
    assert scores(fresh_store) == {("1", "openai"): "positive"}
    run(fresh_store, scorer, TEAMS)
    assert scores(fresh_store) == {("1", "openai"): "positive", ("1", "deepseek"): "negative"}
    assert len(scorer.read) == 2
    assert run(fresh_store, scorer, TEAMS) == Understood()


def test_another_model_scores_everything_anew_beside_the_old(fresh_store: Store) -> None:
    """Scores of two revisions never mix: both are kept, and the new one is the one shown."""
    fresh_store.save_posts([post(1, "OpenAI is good")])
    run(fresh_store, FakeScorer())
    run(fresh_store, FakeScorer("fake@2"))
    assert scores(fresh_store, "fake@1") == scores(fresh_store, "fake@2") == {("1", "openai"): "positive"}
    assert fresh_store.model == "fake@2"


def test_nothing_to_score_runs_no_model(fresh_store: Store) -> None:
    """Posts that name no team, or only by known words, and an empty store leave the model alone."""
    scorer = FakeScorer(before=lambda: pytest.fail("the model was run"))
    assert run(fresh_store, scorer) == Understood()
    fresh_store.save_posts([post(1, "good morning")])
    assert run(fresh_store, scorer) == Understood(posts=1)


def test_a_post_that_the_model_cannot_take_stops_no_other(fresh_store: Store) -> None:
    """It is read without a score and counted; the rest of its batch is scored, and the next run does not meet it again."""
    fresh_store.save_posts([post(1, "OpenAI is good"), post(2, "OpenAI says cursed things"), post(3, "OpenAI is bad")])
    done = run(fresh_store, FakeScorer(poison="cursed"))
    assert scores(fresh_store) == {("1", "openai"): "positive", ("3", "openai"): "negative"}
    assert (done.posts, done.scored, done.failed) == (3, 2, 1)
    assert fresh_store.unread_count() == 0


def test_a_single_post_that_the_model_cannot_take_is_told_from_a_broken_model(fresh_store: Store) -> None:
    """With nothing beside it to compare, a harmless text is tried before the post is given up."""
    fresh_store.save_posts([post(1, "OpenAI says cursed things")])
    assert run(fresh_store, FakeScorer(poison="cursed")).failed == 1
    assert fresh_store.unread_count() == 0


def test_a_broken_model_leaves_every_post_unread(fresh_store: Store) -> None:
    """A model that fails on everything is an error for the user, not a reason to give up posts."""
    fresh_store.save_posts([post(1, "OpenAI is good"), post(2, "OpenAI is bad")])
    with pytest.raises(ModelError, match="doctor"):
        run(fresh_store, FakeScorer(poison=""))
    assert fresh_store.unread_count() == 2


def test_a_post_edited_while_it_is_read_is_read_again(fresh_store: Store) -> None:
    """What is stored belongs to the words that stand there now; a post deleted meanwhile stays deleted."""
    fresh_store.save_posts([post(1, "OpenAI is good"), post(2, "DeepSeek is good"), post(3, "OpenAI is bad")])
    edits = [[post(1, "ChatGPT is bad"), Gone("forum", "2")]]

    def edit() -> None:
        if edits:
            with Store(fresh_store.path) as other:
                other.save_posts(edits.pop())

    done = run(fresh_store, FakeScorer(before=edit))
    assert scores(fresh_store) == {("1", "openai"): "negative", ("3", "openai"): "negative"}
    assert fresh_store.unread_count() == 0
    assert done.posts == 2


def _killed(path: Path, batches: int) -> None:
    """Understand until so many batches are stored, then die as a machine dies."""
    left = [batches]

    def count() -> None:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    with Store(path) as store:
        run(store, FakeScorer(before=count), batch=4)


def test_a_kill_loses_at_most_the_batch_and_a_restart_ends_in_the_same_store(tmp_path: Path) -> None:
    """kill -9 in the third batch: the newest two are kept, and going on gives what an undisturbed run gives."""
    posts = [post(n, f"OpenAI is {'good' if n % 3 else 'bad'}, part {n} {FILLER}") for n in range(20)]
    with Store(tmp_path / "whole.db") as whole, Store(tmp_path / "killed.db") as killed:
        whole.save_posts(posts)
        killed.save_posts(posts)
        run(whole, FakeScorer())
        child = multiprocessing.get_context("spawn").Process(target=_killed, args=(killed.path, 2))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        assert {int(number) for number, _ in scores(killed)} == set(range(12, 20))
        assert run(killed, FakeScorer()).posts == 12
        assert killed.snapshot() == whole.snapshot()


def test_progress_ends_at_all_posts(fresh_store: Store) -> None:
    """A progress bar is told after every batch how many posts are done, of how many."""
    fresh_store.save_posts([post(n, "hello") for n in range(5)])
    told: list[tuple[int, int]] = []
    understand(fresh_store, TEAMS, FakeScorer(), now=NOON, batch=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


PIECES = st.one_of(st.text(max_size=10), st.sampled_from(["OpenAI", " R1 ", "DeepSeek", "\ud800", "\x00", "\u202e", "\n"]))


@given(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=6))
@settings(max_examples=25, deadline=None)
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Whatever a forum sends is read to the end: no text is an error, none stays unread."""
    with Store(tmp_path_factory.mktemp("any") / "monitor.db") as store:
        store.save_posts([post(n, text) for n, text in enumerate(texts)])
        assert run(store, FakeScorer()).posts == len(texts)
        assert store.unread_count() == 0


# ---- language ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I think the new model is much better than the old one.", "en"),
        ("Je trouve que le nouveau modèle est bien meilleur.", "fr"),
        ("我觉得新模型比旧的好多了", "zh"),
        ("我用DeepSeek写代码", "zh"),
        ("谢谢", "zh"),
        ("これはすごい", "ja"),
        ("대박", "ko"),
        ("Das neue Modell ist viel besser geworden.", "de"),
        ("Новая модель намного лучше старой.", "ru"),
        ("Jeg synes, den nye model er meget bedre.", "da"),
        ("", None),
        ("👍", None),
        ("+1", None),
        ("ok", None),
        ("R1 > o1", None),
        ("DeepSeek!", None),
        ("https://forum.example/le-nouveau-modele-est-bien-meilleur", None),
    ],
)
def test_a_language_is_named_only_where_it_is_sure(text: str, found: str | None) -> None:
    """Sentences are recognised, a script that is one language's own too; a word or a link is no language."""
    assert language(text) == found


# ---- lines from a user ---------------------------------------------------------------------------------------------


def test_every_line_is_answered_in_order_and_a_bad_one_with_a_sentence() -> None:
    """Good lines give scores under their own id, bad ones the reason; nothing ends the run; blank lines are passed over."""
    lines = [
        json.dumps({"id": 7, "text": "OpenAI is good", "target": "openai"}),
        "",
        "{",
        "[1]",
        json.dumps({"id": "b", "text": "nobody is named, but bad", "target": None}),
        json.dumps({"id": "c", "text": "OpenAI is good", "target": "Anthropic"}),
        json.dumps({"id": "d", "text": 5}),
        json.dumps({"text": "OpenAI, cursed", "target": "OpenAI"}),
        json.dumps({"id": None, "text": "good OpenAI", "target": ""}),
    ]
    answers = list(score_lines(lines, FakeScorer(poison="cursed"), batch=3))
    assert [number for number, _ in answers] == [1, 3, 4, 5, 6, 7, 8, 9]
    rows = [answer for _, answer in answers if isinstance(answer, dict)]
    assert rows == [
        {"id": 7, "label": "positive", "negative": 0.1, "neutral": 0.1, "positive": 0.8},
        {"id": "b", "label": "negative", "negative": 0.8, "neutral": 0.1, "positive": 0.1},
    ]
    said = [answer for _, answer in answers if isinstance(answer, str)]
    assert [words in text for words, text in zip(["JSON", "text", "target", "text", "model", "target"], said, strict=True)] == [True] * 6


ROWS = st.dictionaries(st.sampled_from(["id", "text", "target"]), st.one_of(st.none(), st.text(max_size=9), st.integers()))


@given(st.lists(st.one_of(st.text(max_size=20), ROWS.map(json.dumps)), max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_line_is_an_error(lines: list[str]) -> None:
    """Any lines whatever: one answer for each that is not blank, never an exception."""
    answers = list(score_lines(lines, FakeScorer()))
    assert [number for number, _ in answers] == [number for number, line in enumerate(lines, 1) if line.strip()]


def test_score_and_the_store_agree(fresh_store: Store) -> None:
    """With the real model: a post's score toward a team is what `score` says of the same text with the team's string."""
    texts = [
        "OpenAI pays well. I would never go back, though. They broke every promise they made to us, one after the other.",
        "Moved from a bank last year. OpenAI is the best place I have worked at! The food is fine too.",
        "先说结论。OpenAI的模型真的很好用，就是太贵。别的不说了。",
        f"{FILLER}. {FILLER}. openai.com is not a mention, OpenAI is. {FILLER}.",
        "On m'avait prévenu. OpenAI, c'est non : management absent, promesses en l'air.",
    ]
    fresh_store.save_posts([post(n, text) for n, text in enumerate(texts)])
    scorer = load_scorer(Settings())
    run(fresh_store, scorer)
    stored = fresh_store.rows(
        "SELECT s.negative, s.neutral, s.positive FROM scores s JOIN posts p ON p.id = s.post_id ORDER BY p.posted_at"
    )
    said = [answer for _, answer in score_lines([json.dumps({"text": text, "target": "OpenAI"}) for text in texts], scorer)]
    assert [tuple(round(share, 6) for share in row) for row in stored] == [
        (row["negative"], row["neutral"], row["positive"]) for row in said
    ]
    assert len(set(map(tuple, stored))) == len(texts)
