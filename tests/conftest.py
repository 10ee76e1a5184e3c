"""What many tests share: a fresh store in a real file, a configuration on loopback, and our command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.sentiment.passages import SHORT
from monitor.store import Store

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
"""Recorded answers and recipes that lie beside some checkouts; tests that need them skip where they are absent."""

FILLER = f"and then {'a great many words follow that say nothing at all of anybody, ' * (SHORT // 60 + 1)}as they do"
"""Makes any sentence so long that it is read without its neighbours."""


@pytest.fixture
def fresh_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a real file."""
    with Store(tmp_path / "monitor.db") as store:
        yield store


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a config.yaml from keyword settings (two teams unless given) and return its path."""

    def write(**settings: Any) -> Path:
        teams = [{"id": "meta-genai", "name": "Meta GenAI", "aliases": ["GenAI"]}, {"id": "deepseek", "name": "DeepSeek"}]
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"database": "monitor.db", "teams": teams, **settings}, allow_unicode=True), "utf-8")
        return path

    return write


@pytest.fixture
def forum_monitor(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `forum-monitor WORDS` in the test's folder as a child process; environment variables as keywords."""

    def run(*words: str | Path, stdin: str | None = None, timeout: float = 90, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "monitor", *map(str, words)],
            cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment},
        )  # fmt: skip

    return run
