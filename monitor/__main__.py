"""`python -m monitor` is `forum-monitor`; the daemon spawns its steps this way."""

from monitor.cli import main

main()
