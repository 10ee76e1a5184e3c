"""Every error this product raises on purpose, so that a caller can tell what the person must do.

    MonitorError                 one sentence: what, where, what to do
    ├── ConfigError              config.yaml is wrong: holds all of its problems at once
    ├── StoreError               the database cannot be opened, read or written
    │   ├── NewerSchema          it was written by a newer version of this program
    │   └── Busy                 another process holds it longer than the time-out
    ├── CrawlError               a source could not be crawled (permanent says whether to try again)
    ├── InputError               a file or line given by the user cannot be read
    ├── ModelError               the sentiment model is missing, broken or unknown
    │   └── sentiment.Paused     it may not be asked now, or does not answer: what it said before is kept
    └── DeliveryError            a message did not go out (permanent says whether to try again)

A message never holds a post's text, an author's name or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MonitorError(Exception):
    """The root: `str(error)` is a sentence for the person who must act. The command line exits with `exit_code`."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where (`rules.0.team`), what is wrong, what to write instead."""

    key: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.wrong}. {self.remedy}"


class ConfigError(MonitorError):
    """config.yaml cannot be used. `problems` holds every mistake found, never only the first."""

    exit_code = 2

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = list(problems)
        count = len(self.problems)
        lines = [f"{path}: {count} problem{'s' if count != 1 else ''}", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


class StoreError(MonitorError):
    """The database cannot be opened, read or written; what was stored before is untouched."""


class NewerSchema(StoreError):  # noqa: N818 (it names what was found)
    """The database was written by a newer version of this program."""


class Busy(StoreError):  # noqa: N818 (as above)
    """Another process holds the database, or the daemon's lock, longer than we wait."""

    exit_code = 3


class CrawlError(MonitorError):
    """A source could not be crawled. `permanent`: trying again will not help until somebody changes something."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class InputError(MonitorError):
    """A file, line or argument that the user gave cannot be read."""

    exit_code = 2


class ModelError(MonitorError):
    """The sentiment model is missing, broken, or not one that this program can use."""


class DeliveryError(MonitorError):
    """A message did not go out. `permanent`: the far side refused it for good; `retry_after`: seconds that it asks to be left alone."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
