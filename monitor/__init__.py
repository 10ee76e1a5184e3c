"""Employee-forum sentiment monitor: what people say in public about AI teams, as daily trends and alerts."""

__version__ = "0.1.0"

CHILD = "FORUM_MONITOR_CHILD"
"""Set in the environment of the processes that the daemon starts: each ends when its standard input closes, that is when
the daemon dies, and leaves to the daemon what it has told already."""
