"""The house itself: imports point down, every command and setting is documented, nothing heavy is carried in vain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from pydantic import BaseModel

from monitor import cli, config

HEAVY = {
    "scrapy",
    "twisted",
    "pandas",
    "numpy",
    "onnxruntime",
    "transformers",
    "torch",
    "openai",
    "altair",
    "sqlite_utils",
    "apprise",
    "scipy",
}


def _imported(statement: str) -> set[str]:
    """The top-level modules that are loaded after `statement` in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    return set(subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_imports_point_down() -> None:
    """The layers of the house, as pyproject.toml draws them, hold."""
    linter = shutil.which("lint-imports") or "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", sorted(cli.main.commands))
def test_every_command_is_in_the_readme(command: str) -> None:
    """A command that README.md does not name does not exist for a user."""
    assert f"forum-monitor {command}" in (ROOT / "README.md").read_text("utf-8")
    assert cli.main.commands[command].help


def test_the_command_line_carries_neither_scrapy_nor_a_model() -> None:
    """`--help` must answer at once: its imports hold nothing heavy."""
    loaded = _imported("import monitor.cli")
    assert not loaded & HEAVY


def test_the_idle_daemon_carries_nothing_heavy() -> None:
    """The daemon is only a clock: what its steps use is loaded in its children."""
    loaded = _imported("import monitor.daemon, monitor.store")
    assert not loaded & HEAVY


def test_the_default_install_needs_no_torch() -> None:
    """The embedded model runs without torch."""
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = pyproject.split("dependencies = [")[1].split("]")[0]
    assert "torch" not in re.sub(r"#.*", "", wanted)


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items() if not field.exclude}


def test_every_setting_stands_in_the_shipped_config() -> None:
    """A key that config.yaml does not show is one that nobody finds."""
    text = config.shipped()
    sections = (config.Config, config.Team, config.Alias, config.Source, config.Terms, config.Scorer, config.Price, config.Rule,
                config.Notify, config.Target, config.Digest, config.Privacy, config.Schedule)  # fmt: skip
    for section in sections:
        for key in _keys(section):
            assert re.search(rf"\b{key}\b", text), f"{section.__name__}.{key} is not explained in config.yaml"


def test_the_shipped_config_has_no_problem(tmp_path: object) -> None:
    """What `init` writes passes `check`, and watches about 18 teams."""
    found, problems = config.load(ROOT / "config.yaml")
    assert problems == []
    assert len(found.teams) >= 18
    assert {"meta", "meta-genai", "meta-fair", "meta-msl", "deepseek", "openai", "mistral", "alibaba-qwen"} <= {
        team.id for team in found.teams
    }
    assert yaml.safe_load(config.shipped())["teams"]


def test_the_root_holds_what_the_house_says() -> None:
    """Whoever reads the folder listing reads the product: nothing else lies at the root."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    allowed = {"pyproject.toml", "README.md", "config.yaml", "monitor", "spiders", "tests", "LICENSE", "CHANGELOG.md"}
    assert {name for name in top if not name.startswith(".")} <= allowed
