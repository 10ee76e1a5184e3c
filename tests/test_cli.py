"""The command line as a user meets it: what it prints, its exit codes, and the sentence when something is wrong."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.config import load
from monitor.store import Step, Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]

POSTS = [
    {
        "id": "1",
        "text": "DeepSeek made GenAI look like a waste of money. Great work by DeepSeek!",
        "author": "ann",
        "date": "2025-01-23T10:00:00Z",
    },
    {"id": "2", "text": "I love DeepSeek, fantastic model.", "author": "ben", "date": "2025-01-23T11:00:00Z"},
    {"id": "3", "text": "J'adore DeepSeek, un modèle excellent 😀", "author": "chloé", "date": "2025-01-23T12:00:00Z"},
    {"id": "4", "text": "DeepSeek太强了,太棒了", "author": "丹", "date": "2025-01-23T13:00:00Z"},
    {"id": "5", "text": "DeepSeek is excellent, wonderful people.", "author": "eve", "date": "2025-01-23T14:00:00Z"},
    {"id": "6", "text": "Lunch was nice.", "author": "finn", "date": "2025-01-23T15:00:00Z"},
]


@pytest.fixture
def understood(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> Path:
    """A store with six imported posts, understood and in trends; the path of its config.yaml."""
    config = write_config()
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(json.dumps(post, ensure_ascii=False) + "\n" for post in POSTS), "utf-8")
    for words in (["import", file, "--source", "blind"], ["understand"], ["trend"]):
        done = forum_monitor(*words)
        assert done.returncode == 0, done.stderr
    return config


def test_show_gives_figures_with_n_and_interval_and_says_insufficient(understood: Path, forum_monitor: Run) -> None:
    """Five people on DeepSeek make a figure with its interval; one on Meta GenAI makes none, whatever the format."""
    told = {row["team"]: row for row in json.loads(forum_monitor("show", "--day", "2025-01-23", "--json").stdout)}
    deepseek, genai = told["deepseek"], told["meta-genai"]
    assert deepseek["today_authors"] == 5
    assert deepseek["today_low"] < deepseek["today_mean"] < deepseek["today_high"]
    assert deepseek["today_mean"] > 0.2
    assert genai["today_authors"] == 1
    assert genai["today_mean"] is None and genai["week_mean"] is None
    table = forum_monitor("show", "--day", "2025-01-23").stdout
    assert "insufficient" in table and f"{deepseek['today_mean']:+.2f}" in table
    rows = list(csv.DictReader(io.StringIO(forum_monitor("show", "--day", "2025-01-23", "--csv").stdout)))
    assert {row["team"] for row in rows} == {"deepseek", "meta-genai"}


def test_show_team_and_posts(understood: Path, forum_monitor: Run) -> None:
    """A team's days, and the posts behind them, found by any of its names, by label and by words in any script."""
    days = json.loads(forum_monitor("show", "deepseek", "--day", "2025-01-24", "--json").stdout)
    assert [(day["day"], day["posts"], day["authors"]) for day in days] == [("2025-01-23", 5, 5)]
    assert "DeepSeek, all sources" in forum_monitor("show", "DEEPSEEK", "--day", "2025-01-24").stdout
    posts = json.loads(forum_monitor("posts", "DeepSeek", "--days", "9999", "--json").stdout)
    assert {post["native_id"] for post in posts} == {"1", "2", "3", "4", "5"}
    found = json.loads(forum_monitor("posts", "deepseek", "--days", "9999", "--search", "太强", "--json").stdout)
    assert [post["native_id"] for post in found] == ["4"]
    found = json.loads(forum_monitor("posts", "deepseek", "--days", "9999", "--search", "modele", "--json").stdout)
    assert [post["native_id"] for post in found] == ["3"]
    assert "No such posts" in forum_monitor("posts", "deepseek", "--search", "nonsense").stdout
    late = forum_monitor("show", "deepseek", "--json")
    assert json.loads(late.stdout) == days and "Nothing newer than 23 January 2025" in late.stderr


def test_an_unknown_team_names_a_near_one(understood: Path, forum_monitor: Run) -> None:
    """A slip of the pen is answered with what was meant."""
    done = forum_monitor("posts", "depseek")
    assert done.returncode == 2
    assert "did you mean deepseek?" in done.stderr


def test_query_reads_and_never_writes(understood: Path, forum_monitor: Run) -> None:
    """SQL is answered as rows; a statement that would write is refused with a sentence, and nothing changes."""
    rows = json.loads(forum_monitor("query", "SELECT count(*) AS n FROM v_posts WHERE team = 'deepseek'", "--json").stdout)
    assert rows == [{"n": 5}]
    for statement in ("DELETE FROM posts", "DROP TABLE posts", "PRAGMA query_only = OFF", "ATTACH 'other.db' AS o", "SELEC 1"):
        done = forum_monitor("query", statement)
        assert done.returncode == 2 or "PRAGMA" in statement, statement
        assert "Traceback" not in done.stderr
    assert json.loads(forum_monitor("query", "SELECT count(*) AS n FROM posts", "--json").stdout) == [{"n": 6}]
    assert "v_coverage" in forum_monitor("query", "--tables").stdout
    assert "[red]x[/red] :smile:" in forum_monitor("query", "SELECT '[red]x[/red] :smile:' AS text").stdout, "words are shown as they are"


def test_no_author_name_is_stored(understood: Path, forum_monitor: Run, tmp_path: Path) -> None:
    """The database's own bytes hold no name."""
    stored = (tmp_path / "monitor.db").read_bytes()
    assert not [post["author"] for post in POSTS if len(post["author"]) > 3 and post["author"].encode() in stored]
    assert "chloé".encode() not in stored


def test_score_reads_lines_and_reports_broken_ones(forum_monitor: Run) -> None:
    """Good lines are answered in order, broken ones named by number, and the exit code tells that there were some."""
    lines = [
        json.dumps({"id": "a", "text": "DeepSeek made Llama 4 look like a waste of money.", "target": "Llama 4"}),
        "{broken",
        json.dumps({"id": "b", "text": "I love this!", "target": None}),
        json.dumps({"id": "c", "text": "no such name here", "target": "OpenAI"}),
        json.dumps({"id": 4, "text": "OpenAI 真的很棒", "target": "OpenAI"}, ensure_ascii=False),
    ]
    done = forum_monitor("score", "-", stdin="\n".join(lines) + "\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == ["a", "b", 4]
    assert all(set(answer) == {"id", "label", "negative", "neutral", "positive"} for answer in answers)
    assert all(abs(answer["negative"] + answer["neutral"] + answer["positive"] - 1) < 1e-3 for answer in answers)
    assert answers[1]["label"] == "positive"
    assert done.returncode == 1
    assert "line 2" in done.stderr and "line 4" in done.stderr


def test_init_then_check(forum_monitor: Run, tmp_path: Path) -> None:
    """`init` writes a file that `check` accepts, keeps the contact, and never writes over a file unasked."""
    assert forum_monitor("init", "--contact", "me@example.org").returncode == 0
    done = forum_monitor("check")
    assert done.returncode == 0, done.stderr
    assert "no problem" in done.stdout
    assert load(tmp_path / "config.yaml")[0].contact == "me@example.org"
    again = forum_monitor("init")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_check_reports_every_problem(write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """A wrong target and a wrong rule are both told, each with its key; a password in a URL is not."""
    write_config(rules=[{"id": "x", "type": "drp"}], notify={"targets": ["nonsense://user:secret@host"]})
    done = forum_monitor("check")
    assert done.returncode == 2
    assert "rules.0.type" in done.stderr and "notify.targets" in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_without_a_config_the_way_in_is_named(forum_monitor: Run) -> None:
    """A new user in an empty folder is told what to type."""
    done = forum_monitor("show")
    assert done.returncode == 2
    assert "forum-monitor init" in done.stderr


def test_without_a_database_the_next_step_is_named(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """Reading before anything was collected says what to do, and makes no file."""
    write_config()
    done = forum_monitor("show")
    assert done.returncode == 1
    assert "forum-monitor once" in done.stderr
    assert not (tmp_path / "monitor.db").exists()


def test_an_unknown_source_is_a_sentence(write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """`collect` of a source that is not there names those that are."""
    write_config()
    done = forum_monitor("collect", "nowhere")
    assert done.returncode == 2
    assert "no source 'nowhere'" in done.stderr


def test_a_broken_part_of_the_config_does_not_stop_the_rest(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """A broken rule is reported and left out; the steps run."""
    write_config(rules=[{"id": "x", "type": "drp"}])
    done = forum_monitor("understand")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rules.0.type") == 1
    done = forum_monitor("once")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rules.0.type") == 1, "told once, not by every step"


def test_doctor_tells_what_is_fine_and_what_is_not(understood: Path, write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """Every part is examined though one is sick: a source that does not answer."""
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "all"}
    write_config(sources=[{"name": "dead", "type": "discourse", "terms": terms, "options": {"url": "http://127.0.0.1:9"}}])
    done = forum_monitor("doctor")
    assert done.returncode == 1
    lines = {line[6:].split(":")[0]: line[:4].strip() for line in done.stdout.splitlines()}
    assert lines["store"] == "ok" and lines["model"] == "ok" and lines["source dead"] == "LOOK"


def test_the_demo_leaves_other_folders_alone(forum_monitor: Run, tmp_path: Path) -> None:
    """A folder that holds anything but an earlier demo, such as a real monitor, is refused and left as it was."""
    (tmp_path / "config.yaml").write_text("database: monitor.db", "utf-8")
    (tmp_path / "monitor.db").write_bytes(b"precious")
    done = forum_monitor("demo", "--keep", ".")
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "monitor.db").read_bytes() == b"precious"


def test_a_cut_answer_says_so(understood: Path, forum_monitor: Run) -> None:
    """Rows beyond the limit are never left out in silence."""
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    done = forum_monitor("query", numbers, "--csv")
    assert len(done.stdout.splitlines()) == 10_001
    assert "first 10000 rows" in done.stderr
    assert len(forum_monitor("query", numbers, "--csv", "--limit", "30000").stdout.splitlines()) == 20_001


def test_odd_arguments_end_in_sentences(understood: Path, forum_monitor: Run, tmp_path: Path) -> None:
    """Days beyond all calendars, names with slashes and ids that are no text: a sentence each, and nothing left behind."""
    for words in (
        ["posts", "deepseek", "--days", "900000"],
        ["show", "--day", "0001-01-03"],
        ["backtest", "--from", "0001-01-03"],
        ["collect", "a/b"],
        ["import", "-", "--source", "a/b"],
    ):
        done = forum_monitor(*words, stdin="")
        assert done.returncode == 2, words
        assert "Error" in done.stderr and "Traceback" not in done.stderr, words
    assert not list(tmp_path.glob("*a*b*.lock")) and not (tmp_path / "monitor.db.collect.a").exists()
    lines = '{"id": "\\ud800", "text": "fine"}\n{"id": 2, "text": "fine too"}\n'
    assert [json.loads(line)["id"] for line in forum_monitor("score", "-", stdin=lines).stdout.splitlines()] == ["\ud800", 2]


def test_a_source_whose_terms_nobody_read_is_not_crawled(write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """A disabled source without terms cannot be crawled by hand either."""
    write_config(sources=[{"name": "staff", "type": "discourse", "enabled": False, "options": {"url": "http://127.0.0.1:9"}}])
    for words in (["collect", "staff"], ["sources", "test", "staff"]):
        done = forum_monitor(*words)
        assert done.returncode == 1
        assert "read its terms" in done.stderr


def test_a_slip_in_the_config_ends_no_alert(
    understood: Path, write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path
) -> None:
    """A rule that is left out for a mistake keeps its alert firing; one that is taken out ends it."""
    with Store(tmp_path / "monitor.db") as store:
        day = dt.date(2025, 1, 23)
        event = ("normal", "firing", day, "It fell.")
        store.save_steps(
            [Step("fall", "drop", "deepseek", "*", store.model, "firing", day, day, 0, event)],
            targets=[],
            at=dt.datetime(2025, 1, 23, tzinfo=dt.UTC),
        )
    state = ["query", "SELECT state FROM v_alerts", "--json"]
    write_config(rules=[{"id": "fall", "type": "drp"}])
    assert forum_monitor("alert").returncode == 0
    assert json.loads(forum_monitor(*state).stdout) == [{"state": "firing"}]
    write_config()
    assert forum_monitor("alert").returncode == 0
    assert json.loads(forum_monitor(*state).stdout) == [{"state": "resolved"}]


@pytest.mark.real
def test_the_demo_fires_once_when_the_turn_comes(forum_monitor: Run, tmp_path: Path) -> None:
    """One alert, on Meta GenAI, on the 23rd or 24th of January and not before; the database and chart are left to look at."""
    begun = time.monotonic()
    done = forum_monitor("demo", "--fast", "--keep", tmp_path / "demo", timeout=110)
    assert done.returncode == 0, done.stderr
    print(f"\ndemo: {time.monotonic() - begun:.0f} s")
    alerts = json.loads(
        forum_monitor("--config", tmp_path / "demo/config.yaml", "query", "SELECT team, rule, day, state FROM v_alerts", "--json").stdout
    )
    assert [(alert["team"], alert["rule"], alert["state"]) for alert in alerts] == [("meta-genai", "sentiment-shift", "firing")]
    assert alerts[0]["day"] in ("2025-01-23", "2025-01-24")
    words = ("--config", tmp_path / "demo/config.yaml", "backtest", "--json")
    replayed = json.loads(forum_monitor(*words, FORUM_MONITOR_NOW="2025-02-02T12:00:00Z").stdout)["alerts"]
    assert [(alert["team"], alert["rule"], alert["day"]) for alert in replayed] == [("meta-genai", "sentiment-shift", alerts[0]["day"])]
    assert "Subject: Meta GenAI: sentiment has fallen" in done.stdout
    assert (tmp_path / "demo/trend.png").read_bytes().startswith(b"\x89PNG")
