"""README.md as a stranger follows it: its commands exist as written, its fragments of config.yaml are good, its links lead somewhere."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT

from monitor.cli import main
from monitor.config import load
from monitor.sources import wrong_options

README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _command_lines() -> Iterator[str]:
    """Every `forum-monitor ...` of README, in blocks, tables and sentences, without what surrounds it."""
    for line in "".join(_blocks("console") + _blocks("ini") + _blocks("cron")).splitlines():
        if found := re.search(r"(?:^\$ |/|; |&& )(forum-monitor [a-z].*?)(?:\s+#.*| >.*)?$", line):
            yield found[1]
    yield from re.findall(r"`(forum-monitor [a-z][^`\n]*)`", README)


def test_every_command_line_can_be_typed() -> None:
    """No command or option is documented that the program does not know."""
    lines = sorted({*_command_lines()})
    assert len(lines) > 40
    for line in lines:
        words = shlex.split(re.sub(r"[\[\]]|\.\.\.", "", line))[1:]
        if words[0] == "COMMAND":
            continue
        done = CliRunner().invoke(main, [*words, "--help"])
        assert done.exit_code == 0, f"{line}: {done.output}"


@pytest.mark.parametrize("fragment", _blocks("yaml"), ids=lambda text: re.sub(r"\W+", "-", text)[:40])
def test_every_fragment_of_config_yaml_is_good(fragment: str, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What README says to write passes `check`."""
    for name in re.findall(r"\$\{(\w+)\}", fragment):
        monkeypatch.setenv(name, "json://localhost")
    config, problems = load(write_config(**yaml.safe_load(fragment)))
    assert [*problems, *wrong_options(config)] == []


def test_the_two_commands_come_first() -> None:
    """What `.ci/run` runs word for word is what a stranger meets on the first screen."""
    assert [block.strip() for block in _blocks("sh")] == ["pip install . && forum-monitor demo", "pip install '.[test]' && pytest"]
    assert README.index("```sh") < 3000


def test_the_unit_and_the_container_run_the_daemon() -> None:
    """The systemd unit has the sections and keys of one; both it and the container run `forum-monitor run` as another user than root."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(_blocks("ini")[0])
    assert unit["Service"]["ExecStart"].endswith("/forum-monitor run")
    assert unit["Service"]["User"] == "forum-monitor" and unit["Install"]["WantedBy"] == "multi-user.target"
    steps = dict(line.split(" ", 1) for line in _blocks("dockerfile")[0].splitlines() if line[:1].isupper())
    assert json.loads(steps["ENTRYPOINT"]) + json.loads(steps["CMD"]) == ["forum-monitor", "run"]
    assert steps["USER"] == "monitor"


def test_links_and_the_picture_lead_somewhere() -> None:
    """Links inside README reach a heading, its picture is part of the repository and holds no script."""
    headings = {re.sub(r"[^\w\- ]", "", head.casefold()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert {*re.findall(r"\]\(#([^)]+)\)", README)} <= headings
    [picture] = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert not re.match(r"[a-z]+:|/", picture)
    drawn = ElementTree.parse(ROOT / picture).getroot()
    assert drawn.tag.endswith("svg") and not [part for part in drawn.iter() if part.tag.endswith("script")]
    assert (ROOT / picture).stat().st_size < 100_000
