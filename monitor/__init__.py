"""Employee-forum sentiment monitor: what people say in public about AI teams, as daily trends and alerts."""

__version__ = "0.1.0"
