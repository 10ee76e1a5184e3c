"""config.yaml as people write it, mistakes included: all are told at once, and none takes the rest with it."""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import config
from monitor.config import Config, Target, find, load, warnings
from monitor.errors import ConfigError, Problem

SECRET = "ntfy://ada:Hunter2Secret@ntfy.example.org/Topic"
TERMS = {"read_on": "2025-01-31", "by": "us", "allows": "reading"}
VALID: dict[str, Any] = {
    "database": "data/monitor.db",
    "contact": "us@example.org",
    "teams": [
        {"id": "meta", "name": "Meta", "aliases": ["META", {"text": "meta", "case": True, "needs": ["llama"], "not": ["meta-analysis"]}]},
        {"id": "genai", "name": "Meta GenAI", "parent": "meta"},
    ],
    "sources": [
        {"name": "hn", "type": "hackernews", "every": "30m", "delay": 2, "options": {"api": "https://x.org/v1"}, "terms": TERMS},
        {"name": "forum", "type": "discourse", "enabled": False, "options": {"url": "http://127.0.0.1:8000"}},
    ],
    "scorer": {"model": "embedded", "threads": 2},
    "rules": [{"id": "fall", "type": "drop", "teams": ["genai"], "source": "hn", "for": 2, "threshold": 0.3, "recover": 0.1}],
    "notify": {"targets": ["console", {"url_file": "url.txt", "name": "mail"}], "max_attempts": 3},
    "privacy": {"min_authors": 5, "author_key_file": "author.key", "excerpt": 100},
    "schedule": {"collect": "1h", "trend": 60},
}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a configuration: the way to every value in it."""
    if at:
        yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*at, key))


def put(at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The valid configuration with `value` in one place."""
    changed = copy.deepcopy(VALID)
    inner: Any = changed
    for part in at[:-1]:
        inner = inner[part]
    inner[at[-1]] = value
    return changed


def write(folder: Path, settings: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def problems_of(path: Path) -> list[Problem]:
    """Every problem of a file, whether something of it is usable or not."""
    try:
        return load(path)[1]
    except ConfigError as error:
        return error.problems


def refused(path: Path) -> Problem:
    """The one problem for which a file is not usable at all."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.problems) == 1, caught.value
    return caught.value.problems[0]


def test_a_sound_file_is_read_whole(tmp_path: Path) -> None:
    """No problem, every setting as written, and every path relative to the file and not to where one stands."""
    found, problems = load(write(tmp_path, VALID))
    assert problems == []
    assert found.database == tmp_path / "data/monitor.db" and found.author_key_file == tmp_path / "author.key"
    assert found.notify.targets[1].url_file == tmp_path / "url.txt"
    assert [alias.text for alias in found.teams[0].aliases] == ["META", "meta"]
    assert [alias.text for alias in found.teams[1].aliases] == ["Meta GenAI"]
    assert (found.sources[0].every, found.sources[0].delay, found.schedule.collect, found.schedule.trend) == (1800.0, 2.0, 3600.0, 60.0)
    assert found.rules[0].for_ == 2 and found.path == tmp_path / "config.yaml"


def test_without_a_key_file_the_key_lies_beside_the_database(tmp_path: Path) -> None:
    """A database is moved together with the key that its authors are hashed with."""
    found, _ = load(write(tmp_path, {"teams": VALID["teams"], "database": "data/forum.db"}))
    assert found.author_key_file == tmp_path / "data/forum.db.key"
    assert found.notify.targets == (Target(url="console"),)


def test_many_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its key path, what is wrong, and what to write instead; what is right is usable."""
    monkeypatch.delenv("NOT_SET", raising=False)
    text = """
        teams:
          - {id: meta, name: Meta}
          - {id: Deep Seek, name: DeepSeek}
          - {id: a, name: A, parent: b}
          - {id: b, name: B, parent: a}
          - {id: meta, name: Meta again}
          - {id: seven, name: 7}
          - {id: c, name: C, parent: metta}
          - {id: d, name: no}
          - {id: e, nmae: E}
        sources:
          - {name: hn, type: hackernewz, terms: {read_on: 2025-01-31, by: us, allows: all}}
          - {name: forum, type: discourse, every: soon, terms: {read_on: 2025-02-31, by: us, allows: all}}
          - {name: late, type: discourse, terms: {read_on: 2999-01-01, by: us, allows: all}}
          - {name: unread, type: feed, options: {urls: [https://x.org/feed, ftp://x.org/feed]}}
          - {name: good, type: feed, options: {urls: ["${NOT_SET}/feed"]}, terms: {read_on: 2025-01-31, by: us, allows: all}}
        rules:
          - {id: one, type: drop, teams: [meta, metta]}
          - {id: two, type: below, threshold: -0.3, recover: -0.5}
          - {id: three, type: drop, threshold: 25}
          - {id: four, type: fall}
          - {id: five, type: spike, teams: []}
          - {id: six, type: silence, source: hn, for: 0}
        notify:
          targets: [console, console, me@example.org]
    """
    found, problems = load(write(tmp_path, text))
    told = {problem.key: problem for problem in problems}
    assert len(told) == len(problems), [str(problem) for problem in problems]
    for key, wrong, remedy in [
        ("teams.1.id", "Deep Seek", "lower-case"),
        ("teams.2.parent", "part of itself", "Take one"),
        ("teams.3.parent", "part of itself", "Take one"),
        ("teams.4.id", "stands in teams.0 too", "its own"),
        ("teams.5.name", "is 7", "quotes"),
        ("teams.6.parent", "'metta'", "Did you mean meta?"),
        ("teams.7.name", "is false", "YAML reads yes, no"),
        ("teams.8.name", "is missing", "Add name"),
        ("teams.8.nmae", "not a setting", "Did you mean name?"),
        ("sources.0.type", "'hackernewz'", "Did you mean hackernews?"),
        ("sources.1.every", "'soon'", "30m"),
        ("sources.1.terms.read_on", "2025-02-31", ""),
        ("sources.2.terms.read_on", "2999-01-01", "on which you read them"),
        ("sources.3.terms", "is missing", "read_on: 2026-01-31"),
        ("sources.3.options.urls.1", "ftp://", "https://"),
        ("sources.4.options.urls.0", "NOT_SET is not set", "${NOT_SET:-"),
        ("rules.0.teams.1", "'metta'", "Did you mean meta?"),
        ("rules.1.recover", "-0.5", "above the threshold (-0.3)"),
        ("rules.2.threshold", "25", "from 0.01 to 2"),
        ("rules.3.type", "'fall'", "'drop'"),
        ("rules.4.teams", "empty list", '"*"'),
        ("rules.5.for", "is 0", "greater than or equal to 1"),
        ("notify.targets.1.name", "notify.targets.0", "its own"),
        ("notify.targets.2.url", "'me@example.org'", "ntfy://"),
    ]:
        problem = told.pop(key)
        assert wrong in problem.wrong and remedy in problem.remedy, str(problem)
    assert told == {}
    assert [team.id for team in found.teams] == ["meta", "a", "b", "c"]
    assert [team.parent for team in found.teams] == [None] * 4
    assert [rule.id for rule in found.rules] == ["one"] and found.rules[0].teams == ("meta",)
    assert found.sources == () and [target.key for target in found.notify.targets] == ["console"]


@pytest.mark.parametrize("at", [at for at in places(VALID) if len(at) > 2 and isinstance(at[-2], int) and at[0] != "notify"], ids=str)
def test_one_broken_entry_never_takes_the_others_with_it(tmp_path: Path, at: tuple[Any, ...]) -> None:
    """A mistake anywhere in a team, source or rule leaves every other one as it was."""
    whole, _ = load(write(tmp_path, VALID))
    found, problems = load(write(tmp_path, put(at, [[{"x": ["y"]}]])))
    assert problems, at
    for name in ("teams", "sources", "rules"):
        untouched = [item for index, item in enumerate(getattr(whole, name)) if (name, index) != at[:2]]
        if name == "teams" and at[:2] == ("teams", 0):  # its part stays, without the parent
            untouched = [team.model_copy(update={"parent": None}) for team in untouched]
        if name == "rules" and at[:2] in (("teams", 1), ("sources", 0)):  # it watches nothing else
            untouched = []
        assert [item for item in getattr(found, name) if item in untouched] == untouched, at


def test_a_mistake_at_the_root_of_others_is_told_as_such(tmp_path: Path) -> None:
    """What names an entry that was left out is told to wait for that, not that there is no such thing."""
    broken = put(("teams", 0, "name"), 7)
    told = {problem.key: problem for problem in problems_of(write(tmp_path, broken))}
    assert told.keys() == {"teams.0.name", "teams.1.parent"}
    assert told["teams.1.parent"].remedy == "Correct teams.0 first"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"databse": "x.db"}, "databse"),
        ({"path": "x"}, "path"),
        ({"contact": "a\nb: c"}, "contact"),
        ({"contact": "${NOT_SET}"}, "contact"),
        ({"privacy": {"min_authors": 1}}, "privacy.min_authors"),
        ({"privacy": {"min_authors": True}}, "privacy.min_authors"),
        ({"schedule": {"collect": 10**400}}, "schedule.collect"),
        ({"schedule": {"collect": float("nan")}}, "schedule.collect"),
        ({"scorer": {"threads": "many"}}, "scorer.threads"),
        ({"scorer": [1]}, "scorer"),
        ({"notify": 5}, "notify"),
        ({"database": ""}, "database"),
        ({"database": "a\0b"}, "database"),
        ({"teams": []}, "teams"),
        ({True: 1}, "true"),
    ],
    ids=str,
)
def test_a_broken_setting_that_every_step_needs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[Any, Any], key: str
) -> None:
    """A database, a privacy limit or a contact that is not what was meant is never replaced by a default."""
    monkeypatch.delenv("NOT_SET", raising=False)
    assert refused(write(tmp_path, {**VALID, "rules": [], **change})).key == key


@pytest.mark.parametrize(
    ("content", "where", "wrong"),
    [
        (b"teams:\n  - {id: a\n", "line 3, column 1", "is not YAML"),
        (b"a: 1\n\tb: 2\n", "line 2, column 1", "is not YAML"),
        (b"contact: x\ncontact: y\n", "line 2, column 1", "the key 'contact' stands twice"),
        (b"teams:\n- id: a\n  name: A\n  id: b\n", "line 4, column 3", "the key 'id' stands twice"),
        (b"a: 1\nb: \x07\n", "line 2, column 4", "control character U+0007"),
        (b"a: *nowhere\n", "line 1, column 4", "undefined alias"),
        (b"a: !!python/object/apply:os.system [ls]\n", "line 1, column 4", "could not determine a constructor"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1", "is not YAML"),
        (b"[a]: 1\n? {}\n: 2\n", "line 1, column 1", "is not YAML"),
        (b"a: &a [*a]\n", "config.yaml", "contains itself"),
        (b"a: " + b"[" * 5000, "config.yaml", "nests too deeply"),
        (b"contact: \xe9\n", "config.yaml", "not UTF-8"),
        (b"", "config.yaml", "holds no settings"),
        (b"- a\n", "config.yaml", "holds no settings"),
        ("teams:".encode("utf-16"), "config.yaml", "not UTF-8"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_place(tmp_path: Path, content: bytes, where: str, wrong: str) -> None:
    """A person finds the line, and reads a sentence and not a traceback."""
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    problem = refused(path)
    assert problem.key == where and wrong in problem.wrong and problem.remedy


def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config comes first, then the environment, then the folder; what is named must be there and be a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(config.ENVIRONMENT_KEY, raising=False)
    with pytest.raises(ConfigError, match="forum-monitor init"):
        find(None)
    here = write(tmp_path, VALID)
    assert find(None) == here
    (tmp_path / "other.yaml").write_text("")
    monkeypatch.setenv(config.ENVIRONMENT_KEY, "other.yaml")
    assert find(None) == tmp_path / "other.yaml" and find("config.yaml") == here
    with pytest.raises(ConfigError, match="--config: no such file"):
        find("missing.yaml")
    monkeypatch.setenv(config.ENVIRONMENT_KEY, str(tmp_path))
    with pytest.raises(ConfigError, match=r"\$FORUM_MONITOR_CONFIG: is a folder"):
        find(None)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    here.unlink()
    with pytest.raises(ConfigError, match="--config: no such file"):
        find("config.yaml")


def test_a_key_left_empty_is_as_if_it_were_not_written(tmp_path: Path) -> None:
    """`rules:` with nothing under it, or every line of a section made a comment, means the default."""
    text = "teams:\n- {id: a, name: A, parent: , aliases: }\nsources:\nrules:\nscorer:\nprivacy:\n  excerpt:\nnotify:\n  targets:\n"
    found, problems = load(write(tmp_path, text))
    assert problems == []
    assert (found.rules, found.scorer, found.privacy.excerpt) == ((), config.Scorer(), 200)
    assert [target.key for target in found.notify.targets] == ["console"]
    assert any("rules is empty" in warning for warning in warnings(found))


def test_the_environment_fills_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everywhere, inside longer texts, with defaults, and as numbers and durations."""
    monkeypatch.setenv("WHO", "ada")
    monkeypatch.setenv("EVERY", "90")
    monkeypatch.delenv("NOT_SET", raising=False)
    changed = {
        **VALID,
        "contact": "${WHO}@${NOT_SET:-example.org}",
        "schedule": {"trend": "${EVERY}"},
        "scorer": {"threads": "${NOT_SET:-4}"},
    }
    found, problems = load(write(tmp_path, changed))
    assert problems == []
    assert (found.contact, found.schedule.trend, found.scorer.threads) == ("ada@example.org", 90.0, 4)


def test_what_would_not_be_watched_as_meant_is_told(tmp_path: Path) -> None:
    """One alias in two teams, and a team's part that names a chain of parents with a gap above."""
    teams = [
        {"id": "a", "name": "A", "aliases": ["Same"]},
        {"id": "b", "name": "B", "aliases": ["same"]},
        {"id": "c", "name": "C", "parent": "d"},
    ]
    teams += [{"id": "d", "name": "D", "parent": "gone"}, {"id": "e", "name": "E", "parent": "e"}]
    found, problems = load(write(tmp_path, {"teams": teams}))
    assert {problem.key for problem in problems} == {"teams.1.aliases", "teams.3.parent", "teams.4.parent"}
    assert [team.parent for team in found.teams] == [None, None, "d", None, None]


@pytest.mark.parametrize(
    ("rule", "threshold", "recover"),
    [
        ({"type": "below"}, -0.3, -0.2),
        ({"type": "below", "threshold": -0.5}, -0.5, -0.4),
        ({"type": "below", "threshold": 0.95}, 0.95, 1.0),
        ({"type": "drop"}, 0.25, 0.1),
        ({"type": "drop", "threshold": 0.1}, 0.1, 0.04),
        ({"type": "spike"}, 3.0, 1.5),
        ({"type": "spike", "threshold": 1.4}, 1.4, 1.1),
        ({"type": "silence"}, 0.1, 0.5),
        ({"type": "silence", "threshold": 0.82}, 0.82, 0.9),
        ({"type": "drop", "threshold": 0.2, "recover": 0.2}, 0.2, 0.2),
    ],
)
def test_a_rule_without_a_recovery_gets_one_that_can_be_reached(
    tmp_path: Path, rule: dict[str, Any], threshold: float, recover: float
) -> None:
    """Otherwise an alert would never be over, or be over while it fires."""
    found, problems = load(write(tmp_path, {**VALID, "rules": [{"id": "r", **rule}]}))
    assert problems == []
    assert (found.rules[0].threshold, found.rules[0].recover) == (threshold, recover)


@pytest.mark.parametrize(("value", "found"), [("90s", 90), ("1.5h", 5400), (" 2 d ", 172800), (30, 30), (0.5, 0.5), ("45", 45)])
def test_durations_are_read_as_people_write_them(value: object, found: float) -> None:
    """Seconds, minutes, hours, days, or a bare number of seconds."""
    assert config.seconds(value) == found


@pytest.mark.parametrize(
    "value", ["", "h", "1w", "-5m", "0s", 0, -1, True, None, "366d1", "367d", [], float("inf"), float("nan"), 10**400, "9" * 400]
)
def test_other_durations_are_refused(value: object) -> None:
    """With a sentence that shows how to write one."""
    with pytest.raises(ValueError, match="such as 90s, 30m"):
        config.seconds(value)


def test_a_target_is_named_without_its_secret(tmp_path: Path) -> None:
    """The name that reaches the store and the log is stable, tells targets apart, and cannot be turned back."""
    (tmp_path / "url.txt").write_text(f"  {SECRET}\n")
    named = Target(url=SECRET, name="my phone")
    bare, other = Target(url=SECRET), Target(url=f"{SECRET}2")
    filed = Target(url_file=tmp_path / "url.txt")
    assert (named.key, filed.key, Target(url="console").key) == ("my phone", "file:url.txt", "console")
    assert re.fullmatch("ntfy:[0-9a-f]{8}", bare.key) and bare.key != other.key
    assert filed.address == SECRET == bare.address
    for target in (named, bare, filed):
        assert "Hunter2" not in f"{target!r} {target} {target.key}"
    (tmp_path / "url.txt").write_bytes(b"\xff\xfe")
    for broken in (filed, Target(url_file=tmp_path / "missing")):
        with pytest.raises(OSError, match=r"UTF-8|No such file"):
            _ = broken.address


@pytest.mark.parametrize("at", [at for at in places(VALID) if "terms" not in at], ids=str)
@pytest.mark.parametrize("way", ["written", "environment", "key"])
def test_a_secret_in_the_wrong_place_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[Any, ...], way: str) -> None:
    """A URL with a password, written or from the environment, pasted anywhere as a value or a key, is in no problem, warning or repr."""
    monkeypatch.setenv("ALERT_URL", SECRET)
    value = {"written": SECRET, "environment": "${ALERT_URL}", "key": {SECRET: SECRET}}[way]
    path = write(tmp_path, put(at, value))
    told = " ".join(map(str, problems_of(path)))
    try:
        found, _ = load(path)
    except ConfigError as error:
        told += f"{error} {error!r}"
    else:
        told += "\n".join(warnings(found)) + "\n".join(f"{source!r}{source}" for source in found.sources) + repr(found.notify)
    assert "Hunter2" not in told


def test_a_secret_in_broken_yaml_is_never_shown(tmp_path: Path) -> None:
    """Even where the file cannot be read at all."""
    for text in (f"{SECRET}: 1\n{SECRET}: 2\n", f"notify: {{targets: [{SECRET}\n", f"a: '{SECRET}\n", f"a: *{SECRET}\n"):
        assert "Hunter2" not in str(refused(write(tmp_path, text)))


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates() | st.datetimes() | st.binary(max_size=6)
    | st.sampled_from(["${HOME}", "${NOT_SET}", "*", "console", "http://[", "http://h:99999", "~nobody-here/x", "1h", "meta", "\0", "https://"])
    | st.just(10**400)
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(at=st.sampled_from(list(places(VALID))), value=VALUES)
def test_whatever_stands_anywhere_only_a_config_error_comes_out(tmp_path: Path, at: tuple[Any, ...], value: Any) -> None:
    """Any value that YAML can hold, at any place of a sound file: it is usable, or its problems are told; never a crash."""
    path = write(tmp_path, put(at, value))
    try:
        found, problems = load(path)
    except ConfigError as error:
        problems = error.problems
        assert problems
    else:
        assert isinstance(found, Config) and found.teams
        warnings(found)
    for problem in problems:
        assert problem.key and problem.wrong and problem.remedy.strip() and len(str(problem)) < 1000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(max_size=60) | st.text("ab:-[]{}&*!|>'\"#%@ \n\t<0", max_size=40))
def test_whatever_the_file_holds_only_a_config_error_comes_out(tmp_path: Path, content: str) -> None:
    """Any text in place of the file is refused with a sentence."""
    path = tmp_path / "config.yaml"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        load(path)


def test_dates_are_days_and_not_seconds(tmp_path: Path) -> None:
    """A number, a moment or a day to come is not when the terms were read; today is."""
    for value, fine in [(20250131, False), ("2025-01-31T10:00:00Z", False), (dt.datetime.now(dt.UTC).date(), True), ("2025-01-31", True)]:
        found, problems = load(write(tmp_path, put(("sources", 0, "terms", "read_on"), value)))
        assert (problems == []) is fine and (len(found.sources) == 2) is fine, value


def test_the_fixture_writes_a_sound_file(write_config: Callable[..., Path]) -> None:
    """What the other tests build on passes without a problem."""
    assert load(write_config())[1] == []
