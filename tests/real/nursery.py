"""Starts `forum-monitor --config FILE deliver` at each line of standard input, and says how each ended.

The child is a fork of this process, which has imported all that it needs: it is then sending for most of its life, so that a kill
at a random moment seldom finds it at Python's own beginnings.
"""

from __future__ import annotations

import os
import sys

import jinja2.sandbox  # noqa: F401 (for the children)

from monitor.attempt import resolve
from monitor.cli import main
from monitor.config import Target

resolve(Target(url="json://localhost"))  # Apprise looks for its services at the first address that it is asked to read
print("ready", flush=True)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            main(["--config", sys.argv[1], "deliver"])
        finally:
            os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
