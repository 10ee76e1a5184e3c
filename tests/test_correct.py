"""Corrections: a person's word counts wherever the model's would, for exactly the words that the person read."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlite_utils import Database

from monitor import clock, schema
from monitor.alert import alert
from monitor.config import Config, Team
from monitor.correct import correct, exported, undo
from monitor.errors import InputError
from monitor.evaluate import evaluate
from monitor.evaluate.rows import Row, Target, read
from monitor.records import Gone, Post, Score
from monitor.sentiment import Item
from monitor.sentiment.passages import model_input
from monitor.show import corrections_table, posts_table
from monitor.store import Step, Store
from monitor.trend import trend, window
from monitor.understand import understand

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NOW = dt.datetime(2025, 1, 23, 12, tzinfo=dt.UTC)
DAY = NOW.date()
TEAMS = (
    Team.model_validate({"id": "openai", "name": "OpenAI", "aliases": ["ChatGPT"]}),
    Team.model_validate({"id": "deepseek", "name": "DeepSeek"}),
)
CONFIG = Config(teams=TEAMS)


class FakeScorer:
    """Calls everything rather positive, has no score for what holds `refuses`, and keeps what it was given to read."""

    def __init__(self, name: str = "fake@1", refuses: str = "never") -> None:
        self.name, self.refuses = name, refuses
        self.read: list[str] = []

    def score(self, items: Sequence[Item]) -> list[Score]:
        if any(self.refuses in item.text for item in items):
            raise RuntimeError("the runtime does not like this")
        self.read += map(model_input, items)
        return [Score(self.name, 0.1, 0.2, 0.7) for _ in items]


def post(number: int, text: str = "OpenAI did it again.", **fields: Any) -> Post:
    return Post("hn", str(number), f"https://x.org/{number}", text, NOW, NOW, **{"author_key": f"author {number}", **fields})


@pytest.fixture
def store(fresh_store: Store) -> Store:
    """Six posts by six people, rather positive about OpenAI, understood and in the trends."""
    fresh_store.save_posts([post(n) for n in range(1, 7)])
    refresh(fresh_store)
    return fresh_store


def refresh(store: Store, scorer: FakeScorer | None = None, *, rebuild: bool = False) -> int:
    understand(store, TEAMS, scorer or FakeScorer(), now=NOW)
    return trend(store, min_authors=5, rebuild=rebuild)


def say(store: Store, place: object, label: Any, team: str = "openai", note: str = "") -> str:
    return correct(store, CONFIG, str(place), team, label, note=note, now=NOW)


def mean(store: Store, team: str = "openai") -> float | None:
    """What the day's trend says of a team; the seven days of `show` say the same."""
    [row] = [row for row in store.trends(team=team, source="*", model=store.model) if row.day == DAY]
    assert window(store.voices(DAY, DAY), DAY, DAY, min_authors=5)[team].mean == row.mean
    return row.mean


def labels(store: Store, team: str = "openai") -> dict[str, tuple[str, float, int]]:
    return {row["native_id"]: (row["label"], row["value"], row["corrected"]) for row in store.posts(team)}


# ---- what counts ---------------------------------------------------------------------------------------------------


def test_a_correction_counts_in_place_of_the_score(store: Store) -> None:
    """In the day's mean and shares, in the window of `show`, and in `posts`, which marks it; taken back, the model's counts again."""
    assert mean(store) == pytest.approx(0.6)
    say(store, 1, "negative")
    assert trend(store, min_authors=5) == 1, "the next trend computes that day of that team"
    assert mean(store) == pytest.approx((5 * 0.6 - 1) / 6)
    [row] = store.trends(team="openai", source="*", model=store.model)
    assert row.negative_share == pytest.approx(1 / 6)
    assert labels(store)["1"] == ("negative", -1.0, 1) and labels(store)["2"] == ("positive", pytest.approx(0.6), 0)
    shown = store.rows("SELECT negative, neutral, positive FROM v_posts WHERE id = 1")[0]
    assert tuple(shown) == (1.0, 0.0, 0.0)
    assert [found["id"] for found in store.posts("openai", label="negative")] == [1]
    say(store, 1, "neutral")
    trend(store, min_authors=5)
    assert mean(store) == pytest.approx(5 * 0.6 / 6), "the last word counts"
    undo(store, "1", "openai")
    assert trend(store, min_authors=5) == 1
    assert mean(store) == pytest.approx(0.6) and labels(store)["1"] == ("positive", pytest.approx(0.6), 0)


def test_a_rebuild_gives_the_same_rows_with_corrections(store: Store) -> None:
    """To the last bit, as without them."""
    for number, label in ((1, "negative"), (3, "neutral"), (4, "positive")):
        say(store, number, label)
    trend(store, min_authors=5)
    before = [tuple(row) for row in store.rows("SELECT * FROM daily_trends ORDER BY day, team, source, model")]
    trend(store, min_authors=5, rebuild=True)
    assert [tuple(row) for row in store.rows("SELECT * FROM daily_trends ORDER BY day, team, source, model")] == before


def test_it_outlives_every_model(store: Store) -> None:
    """Scored anew, by the same model or another, a corrected post still counts as the person says."""
    say(store, 1, "negative")
    refresh(store, FakeScorer("other@2"))
    assert store.model == "other@2" and mean(store) == pytest.approx((5 * 0.6 - 1) / 6)
    refresh(store)
    assert mean(store) == pytest.approx((5 * 0.6 - 1) / 6)
    raw = [row["value"] for row in store.rows("SELECT value FROM scores WHERE post_id = 1")]
    assert raw == [pytest.approx(0.6)] * 2, "what the models said is kept"
    assert store.known_scores("fake@1", [store.rows("SELECT input_hash FROM scores")[0][0]]), "and found again for equal words"


def test_only_the_corrected_team_is_touched(store: Store) -> None:
    """Of a post about two teams one is corrected: the other keeps its score, and its day is not computed anew."""
    store.save_posts([post(7, "OpenAI and DeepSeek did it again.")])
    refresh(store)
    say(store, 7, "negative", "deepseek")
    assert store.dirty_days().keys() == {("2025-01-23", "deepseek")}
    assert labels(store)["7"][0] == "positive" and labels(store, "deepseek")["7"][0] == "negative"


def test_alerts_see_what_people_said(store: Store) -> None:
    """The posts that show an alert are chosen and shown by the corrected label, also in a message that is still to be sent."""
    say(store, 1, "negative")
    evidence = {row["id"]: (row["label"], row["value"]) for row in store.evidence("openai", "*", store.model, DAY, DAY)}
    assert evidence[1] == ("negative", -1.0) and evidence[2] == ("positive", pytest.approx(0.6))
    event = ("normal", "firing", DAY, "It fell.")
    step = Step("fall", "drop", "openai", "*", store.model, "firing", DAY, DAY, 0, event, evidence=[1, 2])
    store.save_steps([step], targets=["console"], at=NOW)
    assert [(row["label"], row["value"]) for row in store.due(NOW)[0].posts] == [("negative", -1.0), ("positive", pytest.approx(0.6))]


def test_a_rule_fires_on_corrected_figures(store: Store) -> None:
    """Six people who are said to be negative make `below` fire, though the model calls them positive."""
    for number in range(1, 7):
        say(store, number, "negative")
    trend(store, min_authors=5)
    rule = {"id": "low", "type": "below", "teams": ["openai"], "min_authors": 5}
    config = Config.model_validate({"teams": TEAMS, "rules": [rule]})
    told = alert(store, config, now=NOW + dt.timedelta(days=1))
    assert len(told) == 1 and "low is firing" in told[0]


def test_a_team_that_the_model_left_without_a_score_can_be_corrected(fresh_store: Store) -> None:
    """What the model could not take counts by the person's word alone, before and after it is read again; taken back, not at all."""
    fresh_store.save_posts([post(n, "OpenAI, poison." if n == 1 else "OpenAI, fine.") for n in range(1, 7)])
    refresh(fresh_store, FakeScorer(refuses="poison"))
    assert "1" not in labels(fresh_store)
    say(fresh_store, 1, "negative")
    for name in ("fake@1", "other@2"):
        refresh(fresh_store, FakeScorer(name, refuses="poison"))
        assert mean(fresh_store) == pytest.approx((5 * 0.6 - 1) / 6)
        assert labels(fresh_store)["1"] == ("negative", -1.0, 1)
        assert fresh_store.corrections()[0]["model_label"] is None
    undo(fresh_store, "1", "openai")
    refresh(fresh_store, FakeScorer("other@2", refuses="poison"))
    assert "1" not in labels(fresh_store) and mean(fresh_store) == pytest.approx(0.6)


def test_a_post_that_is_not_read_yet_can_be_corrected(fresh_store: Store) -> None:
    """The correction waits for the reading, and counts from then on."""
    fresh_store.save_posts([post(n) for n in range(1, 7)])
    say(fresh_store, 1, "negative")
    assert fresh_store.dirty_days() == {}
    refresh(fresh_store)
    assert mean(fresh_store) == pytest.approx((5 * 0.6 - 1) / 6)


# ---- words that change or go ---------------------------------------------------------------------------------------


def test_a_correction_is_of_the_words_that_were_read(store: Store) -> None:
    """When the author changes them it lapses, is listed as such and not exported; given again, or the words restored, it counts."""
    say(store, 1, "negative")
    trend(store, min_authors=5)
    store.save_posts([post(1, "OpenAI did it again. Edit: sorry, I was wrong.")])
    refresh(store)
    assert mean(store) == pytest.approx(0.6) and labels(store)["1"][0] == "positive"
    assert [row["lapsed"] for row in store.corrections()] == [1] and list(exported(store)) == []
    store.save_posts([post(1)])
    refresh(store)
    assert labels(store)["1"][0] == "negative" and [row["lapsed"] for row in store.corrections()] == [0]
    store.save_posts([post(1, "OpenAI did it again. Edit: sorry, I was wrong.")])
    refresh(store)
    say(store, 1, "neutral")
    trend(store, min_authors=5)
    assert mean(store) == pytest.approx(5 * 0.6 / 6)


def test_reworded_and_not_read_again_counts_nowhere(store: Store) -> None:
    """Between the edit and the next reading neither the old score nor its correction is in a figure."""
    say(store, 1, "negative")
    store.save_posts([post(1, "OpenAI did something else.")])
    trend(store, min_authors=5)
    assert mean(store) == pytest.approx(0.6) and "1" not in labels(store)


def test_a_deleted_post_takes_its_correction_along(store: Store, tmp_path: Path) -> None:
    """Note and all: nothing of it is left in the table or, after the purge, in the files."""
    say(store, 1, "negative", note="zebra crossing")
    trend(store, min_authors=5)
    store.save_posts([Gone("hn", "1")])
    assert trend(store, min_authors=5) == 1 and mean(store) == pytest.approx(0.6)
    assert store.corrections() == [] and store.rows("SELECT * FROM corrections") == []
    assert store.purge()
    assert not [path for path in tmp_path.glob("monitor.db*") if b"zebra" in path.read_bytes()]


def test_a_post_that_moves_to_another_day_takes_its_correction_there(store: Store) -> None:
    """Both days are computed anew, and the person's word counts on the new one."""
    say(store, 1, "negative")
    trend(store, min_authors=5)
    there = NOW - dt.timedelta(days=2)
    store.save_posts([Post("hn", "1", "https://x.org/1", "OpenAI did it again.", there, NOW, author_key="author 1")])
    assert trend(store, min_authors=5) == 2
    assert mean(store) == pytest.approx(0.6)
    assert [row[:2] for row in store.voices(there.date(), there.date())] == [("2025-01-21", "openai")]
    assert [row[-1] for row in store.voices(there.date(), there.date())] == [-1.0]


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_what_cannot_be_corrected_is_a_sentence(store: Store) -> None:
    """An unknown post, a deleted one, a team that the post does not name, an address of two posts, nothing to take back."""
    store.save_posts([post(7, "Nobody in particular."), post(8), Gone("hn", "8"), post(9)])
    for place, team, told in [
        ("99", "openai", "there is no post 99"),
        ("https://x.org/none", "openai", "there is no post https://x.org/none"),
        ("", "openai", "there is no post"),
        ("9" * 30, "openai", "there is no post"),
        ("8", "openai", "post 8 was deleted"),
        ("1", "deepseek", "post 1 does not name deepseek: it names openai"),
        ("7", "openai", "post 7 does not name openai: it names no team"),
    ]:
        with pytest.raises(InputError, match=told):
            say(store, place, "negative", team)
    with pytest.raises(InputError, match="no correction toward openai"):
        undo(store, "1", "openai")
    store.save_posts([Post("forum", "a", "https://x.org/1", "OpenAI did it again.", NOW, NOW)])
    with pytest.raises(InputError, match=r"address of the posts 1, 10: give one"):
        say(store, "https://x.org/1", "negative")
    assert store.corrections() == []


def test_a_post_is_found_by_number_or_address(store: Store) -> None:
    """As the product prints it, with or without its sign, or as an alert links it."""
    for place in ("3", "#3", "https://x.org/3"):
        assert "Post 3 counts as neutral toward openai" in say(store, place, "neutral")
    assert [row["id"] for row in store.corrections()] == [3]


# ---- lists and exports ---------------------------------------------------------------------------------------------


def test_corrections_are_listed_beside_what_the_model_says(store: Store) -> None:
    """Newest first, with the note; a terminal shows the post's number as `posts` does."""
    say(store, 2, "negative", note="sarcasm")
    correct(store, CONFIG, "5", "openai", "neutral", now=NOW + dt.timedelta(hours=1))
    rows = store.corrections()
    assert [(row["id"], row["label"], row["note"], row["model_label"], row["model"]) for row in rows] == [
        (5, "neutral", None, "positive", "fake@1"), (2, "negative", "sarcasm", "positive", "fake@1"),
    ]  # fmt: skip
    assert rows[1]["model_value"] == pytest.approx(0.6)
    table, posts = printed(corrections_table(rows)), printed(posts_table(store.posts("openai")))
    assert "#2" in table and "sarcasm" in table and "positive +0.60" in table
    assert "#2  hn  negative (corrected)" in posts and "#3  hn  positive +0.60" in posts


def printed(table: Any) -> str:
    console = Console(width=150)
    with console.capture() as found:
        console.print(table)
    return found.get()


def test_an_export_is_read_as_the_product_read_it(store: Store) -> None:
    """Text, language, labels and mentions: evaluated, the model is given the words that it was given here."""
    text = "ChatGPT and DeepSeek: ChatGPT again. This is a sentence that names nobody. The last one names OpenAI."
    store.save_posts([post(7, text)])
    product, evaluated = FakeScorer(), FakeScorer()
    refresh(store, product)
    say(store, 7, "negative")
    say(store, 7, "positive", "deepseek", note="why")
    [(_, row)] = read(json.dumps(line) for line in exported(store))
    targets = (
        Target("positive", "deepseek", ("DeepSeek",), ((12, 20),)),
        Target("negative", "openai", ("ChatGPT", "OpenAI"), ((0, 7), (22, 29), (text.index("OpenAI"), text.index("OpenAI") + 6))),
    )
    assert row == Row(text, targets, "en", "hn", "voice")
    assert isinstance(row, Row)
    report = evaluate([row], evaluated, exchange=False)
    assert report.confusion == ((0, 0, 1), (0, 0, 0), (0, 0, 1))
    assert sorted(evaluated.read) == sorted(product.read) and len(evaluated.read) == 2


def test_a_team_that_is_not_found_any_more_is_left_out(store: Store) -> None:
    """After an alias is taken from config.yaml the correction stays listed, counts nowhere and is not exported."""
    say(store, 1, "negative")
    other = Team.model_validate({"id": "openai", "name": "Open AI"})
    understand(store, (other,), FakeScorer(), now=NOW)
    trend(store, min_authors=5)
    assert store.voices(DAY, DAY) == [] and list(exported(store)) == [] and len(store.corrections()) == 1


# ---- the file ------------------------------------------------------------------------------------------------------


def test_a_database_from_before_corrections_goes_on(tmp_path: Path) -> None:
    """Its posts and scores are there, its views answer, and its posts can be corrected."""
    path = tmp_path / "monitor.db"
    old = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(old, execute_plugins=False), stop_before="m002_corrections")
    old.execute("PRAGMA user_version = 1")
    old.execute(
        """INSERT INTO posts (source, native_id, url, text, author_key, posted_at, date_origin, fetched_at, kind, text_hash, unread)
           VALUES ('hn', '1', 'u', 'OpenAI did it again.', 'a', '2025-01-23T12:00:00Z', 'site', '2025-01-23T12:00:00Z', 'voice', 'h', 0)"""
    )
    old.execute("INSERT INTO mentions VALUES (1, 'openai', 0, 6)")
    old.execute("INSERT INTO scores VALUES (1, 'openai', 'm@1', 'h', 0.1, 0.2, 0.7, 0.6, 'positive', '2025-01-23T12:00:00Z')")
    old.execute("INSERT INTO meta VALUES ('model', 'm@1')")
    old.close()
    with Store(path) as store:
        assert labels(store) == {"1": ("positive", 0.6, 0)}
        say(store, 1, "negative")
        assert labels(store) == {"1": ("negative", -1.0, 1)}
        assert [row[-1] for row in store.voices(DAY, DAY)] == [-1.0]


# ---- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def imported(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> Path:
    """A store with three posts about two teams, made through the command line."""
    config = write_config()
    rows = [
        {"id": "1", "text": "I love DeepSeek, fantastic model.", "author": "ann", "date": "2025-01-23T10:00:00Z", "url": "https://x.org/1"},
        {"id": "2", "text": "DeepSeek is great, wonderful!", "author": "ben", "date": "2025-01-23T11:00:00Z"},
        {"id": "3", "text": "Lunch was nice.", "author": "eve", "date": "2025-01-23T12:00:00Z"},
    ]
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    for words in (["import", file, "--source", "blind"], ["understand"], ["trend"]):
        assert forum_monitor(*words).returncode == 0
    return config


def test_a_person_corrects_lists_exports_and_evaluates(imported: Path, forum_monitor: Run, tmp_path: Path) -> None:
    """The whole way on the command line, in every form of output."""
    assert "No corrections" in forum_monitor("corrections").stdout
    done = forum_monitor("correct", "https://x.org/1", "DEEPSEEK", "Negative", "--note", "sarcasm")
    assert done.returncode == 0 and "Post 1 counts as negative toward deepseek" in done.stdout, done.stderr
    assert forum_monitor("correct", "2", "deepseek", "positive").returncode == 0
    assert "1 team days" in forum_monitor("trend").stdout
    posts = {row["id"]: row for row in json.loads(forum_monitor("posts", "deepseek", "--days", "9999", "--json").stdout)}
    assert (posts[1]["label"], posts[1]["corrected"], posts[2]["corrected"]) == ("negative", 1, 1)
    listed = json.loads(forum_monitor("corrections", "--json").stdout)
    assert {(row["id"], row["label"], row["model_label"], row["note"]) for row in listed} == {
        (1, "negative", "positive", "sarcasm"), (2, "positive", "positive", None),
    }  # fmt: skip
    assert {row["team"] for row in csv.DictReader(io.StringIO(forum_monitor("corrections", "--csv").stdout))} == {"deepseek"}
    assert "sarcasm" in forum_monitor("corrections").stdout
    done = forum_monitor("corrections", "--export", "mine.jsonl")
    assert "Wrote 2 corrections of 2 posts" in done.stdout
    of_file, of_store = (json.loads(forum_monitor("evaluate", words, "--json").stdout) for words in ("mine.jsonl", "--corrections"))
    assert of_file == of_store and of_store["confusion"] == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert forum_monitor("query", "SELECT label FROM v_corrections WHERE id = 1", "--csv").stdout == "label\nnegative\n"
    assert forum_monitor("correct", "1", "deepseek", "--undo").returncode == 0
    assert [row["id"] for row in json.loads(forum_monitor("corrections", "--json").stdout)] == [2]


def test_odd_arguments_of_the_commands_end_in_sentences(imported: Path, forum_monitor: Run) -> None:
    """What is wrong and what to do; nothing is stored."""
    for words, told in [
        (["correct", "1", "deepseek"], "either a label"), (["correct", "1", "deepseek", "negative", "--undo"], "either a label"),
        (["correct", "1", "deepseek", "bad"], "'bad' is not one of"), (["correct", "1", "depseek", "negative"], "did you mean deepseek?"),
        (["correct", "1", "meta-genai", "negative"], "it names deepseek"), (["correct", "77", "deepseek", "negative"], "no post 77"),
        (["evaluate", "--corrections"], "no correction that counts"), (["corrections", "--export", "no/such/file"], "cannot be written"),
    ]:  # fmt: skip
        done = forum_monitor(*words)
        assert done.returncode == 2, words
        assert told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert json.loads(forum_monitor("corrections", "--json").stdout) == []


def test_a_correction_goes_by_the_replayed_clock(imported: Path, forum_monitor: Run) -> None:
    """A replayed week notes its own times."""
    forum_monitor("correct", "1", "deepseek", "negative", **{clock.REPLAY: "2025-01-24T12:00:00Z"})
    assert json.loads(forum_monitor("corrections", "--json").stdout)[0]["corrected_at"] == "2025-01-24T12:00:00Z"
