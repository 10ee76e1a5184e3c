"""What one run over archives is: its settings, the pieces that its work comes in, and what each piece answers.

All of it is plain values that travel to other processes and machines. A run is named by what decides its rows (`Job.run`), so
that the same command goes on with what a killed one left, and another one begins anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.archive.layout import Root
from monitor.config import Scorer, Team
from monitor.privacy import AuthorKeys
from monitor.records import Kind

Format = Literal["parquet", "jsonl", "csv"]


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of an input that one task reads from its beginning to its end.

    `start`..`stop` are row groups of Parquet or bytes of JSON lines (a line belongs where it begins); 0 and None: the whole file.
    `size` is in bytes of the file as it is stored, `stamp` tells another version of the file. `order` is its place among all inputs:
    of two posts with one id the later counts.
    """

    where: str
    source: str
    format: Format
    shape: str
    start: int
    stop: int | None
    size: int
    stamp: str
    order: int

    @property
    def id(self) -> str:
        """16 hexadecimal digits that are the same for the same piece of the same version of a file."""
        told = json.dumps([self.where, self.source, self.shape, self.start, self.stop, self.stamp])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Tally:
    """What reading a split found: `named` posts name a team. `places` says of the first few of those `rejected` where and why, in sentences."""

    rows: int = 0
    posts: int = 0
    named: int = 0
    rejected: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Posts of a split that name a team, as they are handed from the filter to the model: a file of a bounded number of rows."""

    split: str
    number: int
    order: int


@dataclass(frozen=True)
class Job:
    """A run: everything that its pieces have to know. `keys` and `forgotten` are secrets of the store, and no part of `run`.

    `forgotten` are marks (store.posts.mark) of authors and titles, `gone` are (source, native_id) of tombstones: neither is kept.
    `mapping` gives a field of `import` the name that it has in inputs of the shape `mapping`. `since`..`until` are UTC days.
    """

    root: Root
    name: str
    teams: tuple[Team, ...]
    reader: str
    scorer: Scorer
    model: str
    keys: AuthorKeys
    forgotten: frozenset[str]
    gone: frozenset[tuple[str, str]]
    now: dt.datetime
    kind: Kind = "import"
    mapping: Mapping[str, str] = field(default_factory=dict)
    since: dt.date | None = None
    until: dt.date | None = None
    words: bool = False
    run: str = ""
    """16 hexadecimal digits of what decides the rows; see `named`."""
