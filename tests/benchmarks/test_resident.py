"""What waiting costs: the daemon's memory between rounds, and the time to the first line of help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.benchmark


def test_idle_daemon(write_config: Callable[..., Path]) -> None:
    """Resident memory of `forum-monitor run` when its steps have run once. Goal: 80 MB."""
    config = write_config(rules=[{"id": "fall", "type": "drop"}])
    daemon = subprocess.Popen([sys.executable, "-P", "-m", "monitor", "--config", str(config), "run"], stderr=subprocess.DEVNULL)
    try:
        process = psutil.Process(daemon.pid)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (time.monotonic() < deadline - 50 or process.children()):
            time.sleep(0.5)
        print(f"\nidle daemon: {process.memory_info().rss / 2**20:.0f} MB resident")
    finally:
        daemon.terminate()
        daemon.wait(15)


def test_help() -> None:
    """Seconds to `forum-monitor --help`, median of ten. Goal: 0.4 s."""
    took = []
    for _ in range(10):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-m", "monitor", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - begun)
    print(f"\n--help: {statistics.median(took):.2f} s (fastest {min(took):.2f}, slowest {max(took):.2f})")
