"""The way in: `init` asks or takes flags, `add` changes config.yaml and leaves its comments alone, and a shell completes names."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from monitor import amend
from monitor.cli import main
from monitor.cli.around import progress_bar
from monitor.config import load, shipped
from monitor.errors import InputError
from monitor.records import DailyTrend
from monitor.store import Store
from monitor.web import app
from monitor.web.routes import ROUTES

TERMS = ("--allows", "reading by feed readers", "--read-by", "me", "--read-on", "2026-01-31")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run our command line in the test's folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERT_URL", raising=False)
    return lambda *words: CliRunner().invoke(main, list(words))


def _comments(text: str) -> list[str]:
    return re.findall(r"#.*", text)


def test_init_takes_flags(typed: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is watched and read, and nothing else; every key stays explained, and `check` finds no problem."""
    done = typed(
        "init", "--contact", "me@example.org", "--team", "microsoft-ai", "--team", "Acme AI", "--alias", "Acme",
        "--feed", "https://www.example.org/feed.xml", *TERMS, "--notify", "ALERT_URL", "--language", "fr",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "export ALERT_URL=" in done.output
    monkeypatch.setenv("ALERT_URL", "json://localhost")
    config, problems = load(tmp_path / "config.yaml")
    assert problems == [] and typed("check").exit_code == 0
    assert [team.id for team in config.teams] == ["microsoft-ai", "acme-ai"]
    whole = next(team for team in load(_written(tmp_path))[0].teams if team.id == "microsoft-ai")
    assert config.team("microsoft-ai") == whole, "what it refers to of a team that is gone stays with it"
    feed, news = config.source("example.org"), config.source("hackernews")
    assert feed and feed.enabled and feed.terms and (feed.terms.by, str(feed.terms.read_on)) == ("me", "2026-01-31")
    assert news and news.options["queries"] == ["Copilot", "Acme AI"]
    assert (config.contact, config.language) == ("me@example.org", "fr")
    assert [target.key for target in config.notify.targets] == ["console", "alert-url"]
    explained, told = re.compile(r"^#.*", re.MULTILINE), (tmp_path / "config.yaml").read_text("utf-8")
    assert explained.findall(told) == explained.findall(shipped())


def _written(folder: Path) -> Path:
    path = folder / "shipped.yaml"
    path.write_text(shipped(), "utf-8")
    return path


def test_a_part_of_a_team_brings_the_whole(typed: Callable[..., Result], tmp_path: Path) -> None:
    """Meta GenAI without Meta would take what is said of Meta alone for its own; rules on teams that are gone go with them."""
    assert typed("init", "--team", "meta-genai").exit_code == 0
    config, problems = load(tmp_path / "config.yaml")
    assert problems == []
    assert {team.id for team in config.teams} == {"meta", "meta-genai"}
    assert "deepseek-overtakes-meta" not in {rule.id for rule in config.rules}


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    """Questions, asked again where an answer is mistyped; an address whose terms nobody has read is written down, and off."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-P", "-m", "monitor", "init"]
    answers = ["me@example.org", "depseek", "deepseek, Acme AI", "Acme", "https://example.org/feed.xml", "", "", "", "browser"]
    with subprocess.Popen(words, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as asking:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        told = b""
        try:
            while part := os.read(ours, 4096):
                told += part
        except OSError:
            pass  # so a terminal ends on Linux
        os.close(ours)
    assert asking.returncode == 0, told.decode()
    config, problems = load(tmp_path / "config.yaml")
    assert problems == []
    assert [team.name for team in config.teams] == ["DeepSeek", "Acme AI"]
    feed = config.source("example.org")
    assert feed and not feed.enabled
    assert "did you mean deepseek?" in told.decode() and "off until somebody has read" in told.decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--team", "depseek"], "did you mean deepseek?"),
        (["--notify", "mailto://user:secret@example.org"], "name the environment variable"),
        (["--alias", "Acme"], "forum-monitor add team"),
        (["--feed", "example.org"], "begins with https://"),
        (["--feed", "https://example.org", "--allows", "all"], "--read-by"),
        (["--team", "幻想"], "--id"),
    ],
)
def test_init_says_what_to_write_instead(typed: Callable[..., Result], tmp_path: Path, words: list[str], said: str) -> None:
    """A mistake in the flags is a sentence with its remedy, shows no secret, and leaves no file."""
    done = typed("init", *words)
    assert done.exit_code == 2 and said in done.output and "secret" not in done.output
    assert not list(tmp_path.iterdir())


def test_add_changes_nothing_else(typed: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A team, a source and a target are put in, and no other line of the file is another than before."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "contact: me@example.org  # mine\nteams:   # of us\n- {id: a, name: A}  # first\n\n- id: b   # second\n  name: B\n# then\n"
        "sources:\n  - name: news\n    type: hackernews\n    terms: {read_on: 2026-01-31, by: me, allows: all}\n"
        "    options: {queries: [A, B]} # both\n"
        "notify: {targets: [console]}  # here\n",
        "utf-8",
    )
    path.chmod(0o640)
    before = path.read_text("utf-8").splitlines()
    for words in (
        ["team", "Gamma: AI", "--parent", "b", "--alias", "γ"],
        ["source", "https://forum.example.org", "--type", "discourse", "--option", "first_days=30", *TERMS],
        ["target", "$ALERT_URL"],
    ):
        done = typed("add", *words)
        assert done.exit_code == 0, done.output
    monkeypatch.setenv("ALERT_URL", "json://localhost")
    config, problems = load(path)
    assert problems == []
    team = config.teams[-1]
    assert (team.id, team.parent, [alias.text for alias in team.aliases]) == ("gamma-ai", "b", ["Gamma: AI", "γ"])
    assert config.sources[0].options["queries"] == ["A", "B", "Gamma: AI"], "what is not searched for is not found"
    assert config.sources[1].options == {"url": "https://forum.example.org", "first_days": 30}
    assert [target.key for target in config.notify.targets] == ["console", "alert-url"]
    changed = [line for line in before if line not in path.read_text("utf-8").splitlines()]
    assert changed == ["    options: {queries: [A, B]} # both", "notify: {targets: [console]}  # here"]
    assert _comments(path.read_text("utf-8")) == _comments("\n".join(before))
    assert path.stat().st_mode & 0o777 == 0o640


def test_add_refuses_what_check_would_not_accept(typed: Callable[..., Result], write_config: Callable[..., Path]) -> None:
    """A team that is there, a type that is not, an option that its type does not know: said, and the file is as it was."""
    path = write_config(sources=[])
    before = path.read_bytes()
    for words, said in (
        (["team", "DeepSeek"], "stands in"),
        (["source", "https://example.org", "--type", "mastodn"], "Did you mean mastodon?"),
        (["source", "https://example.org", "--option", "colour=red", *TERMS], "not an option of type feed"),
        (["source", "https://example.org", "--option", "colour"], "KEY=VALUE"),
    ):
        done = typed("add", *words)
        assert done.exit_code == 2 and said in done.output, done.output
    assert path.read_bytes() == before
    assert {each.name for each in path.parent.iterdir()} == {"config.yaml"}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("a: 1\nteams: []  # none\n", 'a: 1\nteams: [{"id": "z"}]  # none\n'),
        ("teams:\nb: 1\n", 'teams: [{"id": "z"}]\nb: 1\n'),
        ("b: 1", "b: 1\n\nteams:\n  - {id: z}\n"),
        ("teams: [{id: a}]\nb: 2", 'teams: [{id: a}, {"id": "z"}]\nb: 2'),
        ("teams:\n- id: a\n  x: |\n    foo\n# c\nb: 1\n", "teams:\n- id: a\n  x: |\n    foo\n- {id: z}\n# c\nb: 1\n"),
        ("teams:\n  - &x {id: b}\n  - *x", "teams:\n  - &x {id: b}\n  - *x\n  - {id: z}\n"),
    ],
)
def test_a_list_is_added_to_however_it_is_laid_out(text: str, changed: str) -> None:
    """Blocks, brackets, an empty list, none at all: the item comes last, and the rest of the text stays to the letter."""
    assert amend.appended(text, ("teams",), {"id": "z"}) == changed


@pytest.mark.parametrize("text", ["teams: {a: 1}", "teams: a word", "x: &t [1]\nteams: *t"])
def test_what_cannot_be_added_to_says_what_to_write(text: str) -> None:
    """A layout that an insertion would break is left alone, and the lines to add are told."""
    with pytest.raises(InputError, match=r"by hand:\n  - \{id: z\}"):
        amend.appended(text, ("teams",), {"id": "z"})


def test_a_shell_completes_names_from_the_config(typed: Callable[..., Result], write_config: Callable[..., Path]) -> None:
    """The three shells get their script; teams, sources and rules complete, and a broken config.yaml completes nothing in silence."""
    for shell in ("bash", "zsh", "fish"):
        script = CliRunner().invoke(main, prog_name="forum-monitor", env={"_FORUM_MONITOR_COMPLETE": f"{shell}_source"})
        assert "_FORUM_MONITOR_COMPLETE" in script.output and script.exit_code == 0

    def completed(*words: str) -> list[str]:
        env = {
            "_FORUM_MONITOR_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["forum-monitor", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = CliRunner().invoke(main, prog_name="forum-monitor", env=env)
        return [line.removeprefix("plain,") for line in done.output.split()]

    assert completed("show", "de") == []
    path = write_config(sources=[{"name": "news", "type": "hackernews", "enabled": False}], rules=[{"id": "fall", "type": "drop"}])
    assert completed("show", "de") == ["deepseek"]
    assert completed("collect", "n") == ["news"]
    assert completed("silence", "--rule", "f") == ["fall"]
    assert completed("sources", "te") == ["test"]
    path.write_text("teams: [", "utf-8")
    assert completed("show", "de") == []


def test_a_mistyped_command_names_the_near_one(typed: Callable[..., Result]) -> None:
    """`shwo` is answered with `show`."""
    done = typed("shwo")
    assert done.exit_code == 2 and "Did you mean 'show'" in done.output


def test_the_shipped_file_can_be_added_to(tmp_path: Path) -> None:
    """Its lists take items, and all of its lines stay."""
    text = amend.appended(shipped(), ("notify", "targets"), {"url": "${X}"})
    assert [line for line in text.splitlines() if line not in shipped().splitlines()] == ["    - {url: '${X}'}"]
    assert yaml.safe_load(text)["notify"]["targets"] == ["console", {"url": "${X}"}]


@pytest.mark.parametrize(("now", "said"), [("2025-01-30T12:00:00+00:00", False), ("2025-02-02T12:00:00+00:00", True)])
def test_pages_of_a_store_whose_last_day_is_past_stand_on_it(
    now: str, said: bool, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A week after the last day, as with the demo, pages would be empty: they stand on that day then, and say so."""
    monkeypatch.setenv("FORUM_MONITOR_NOW", now)
    config, _ = load(write_config())
    with Store(config.database) as store:
        day = dt.date(2025, 1, 24)
        store.replace_trends({(day.isoformat(), "deepseek"): 1}, [DailyTrend(day, "deepseek", "*", store.model, 3, 3, 1, False)])
    pages = app.application(config, app.Served("127.0.0.1", 1, app.names("127.0.0.1"), "t" * 20), ROUTES)
    answer = asyncio.run(pages.client.get("/"))
    assert answer.status_code == 200
    assert ("Nothing newer than 24 Jan 2025" in answer.text) == said
    assert ("Seven days to 24 Jan 2025" in answer.text) == said
    french = asyncio.run(app.application(config.model_copy(update={"language": "fr"}), pages.served, ROUTES).client.get("/"))
    assert '<html lang="fr">' in french.text


def test_targets_can_be_tried(typed: Callable[..., Result], write_config: Callable[..., Path]) -> None:
    """Each target gets a test message at once; one that does not take it is named, with what to look at, and nothing is stored."""
    path = write_config(notify={"targets": ["console", {"name": "hook", "url": "json://127.0.0.1:9"}]})
    done = typed("deliver", "--test")
    assert done.exit_code == 1
    assert "console: a test message was sent" in done.output and "hook: not accepted" in done.output and "notify.targets" in done.output
    assert [each.name for each in path.parent.iterdir()] == ["config.yaml"]


def test_a_bar_shows_on_a_terminal_and_leaves_standard_output_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Long work shows how far it is on standard error, if that is a terminal; what is printed meanwhile goes where it belongs."""
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress_bar("collect news") as progress:
            assert progress
            print("a line", flush=True)
            progress(3, 0)
            print("another", flush=True)
            progress(7, 9)
        terminal.flush()
        shown = b""
        while select.select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 65536)
    os.close(ours)
    assert b"collect news" in shown and b"7/9" in shown and b"line" not in shown
    assert capfd.readouterr().out == "a line\nanother\n"
    monkeypatch.undo()
    with progress_bar("collect news") as progress:
        assert progress is None
