"""Real forum software for tests: installed from the package index into its own virtual environment, started on loopback.

The promises: nothing of it lands in the environment of this program; a second run finds it installed; a server that was
started is stopped, whatever the test did. Without a network there is nothing to test against, and the test says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import filelock
import pytest

_NO_NETWORK = ("connection broken by", "No matching distribution found")
"""What pip says, both, when it reaches no package index; any other failure of pip fails the test."""


def install(cache: Path, name: str, *steps: Sequence[str]) -> Path:
    """The folder of programs of a virtual environment in `cache` that holds what `pip install STEP` gives for each step.

    Made at first use, once even if several test runs want it. Skips the test when pip reaches no package index.
    """
    # Another list of packages, or another Python, is another environment.
    digest = hashlib.sha256(repr((steps, sys.version, sys.base_prefix)).encode()).hexdigest()[:12]
    folder = cache / f"{name}-{digest}"
    whole = folder / "whole"
    with filelock.FileLock(cache / f"{folder.name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            for step in steps:
                _pip_install(folder / "bin" / "python", name, step)
            whole.touch()
    return folder / "bin"


def _pip_install(python: Path, name: str, words: Sequence[str]) -> None:
    options = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries=2")
    done = subprocess.run([python, "-m", "pip", "install", *options, *words], capture_output=True, text=True)
    if done.returncode == 0:
        return
    if all(sign in done.stderr for sign in _NO_NETWORK):
        pytest.skip(f"{name} could not be installed: pip reaches no package index. {done.stderr.strip().splitlines()[-1]}")
    pytest.fail(f"pip could not install {name}:\n{done.stderr[-3000:]}")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: Sequence[str | Path], url: str, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A server for as long as the block lasts, which begins when `url` answers. Its output goes to `log`."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment}, cwd=log.parent)
        try:
            _wait(server, url, log)
            yield
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=10).close()
        except urllib.error.HTTPError:
            return  # it answers, if only that there is nothing
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server did not come up:\n{log.read_text('utf-8', 'replace')[-3000:]}")


@contextlib.contextmanager
def running(config: Path) -> Iterator[Path]:
    """`forum-monitor run` on the real clock; gives its log, and stops it by SIGTERM, which must take less than ten seconds."""
    path = config.with_name("daemon.log")
    with path.open("wb") as log:
        words = [sys.executable, "-P", "-m", "monitor", "--config", str(config), "run"]
        daemon = subprocess.Popen(words, stdout=log, stderr=log, cwd=config.parent, env={**os.environ, "FORUM_MONITOR_NOW": ""})
        try:
            yield path
            daemon.terminate()
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
            daemon.wait()


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
