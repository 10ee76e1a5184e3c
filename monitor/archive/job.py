"""What one run over archives is: its settings, the pieces that its work comes in, and what each piece answers.

All of it is plain values that travel to other processes and machines. A run is named by what decides its rows (`Job.run`), so
that the same command goes on with what a killed one left, and another one begins anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from monitor.archive.layout import Root
from monitor.config import Scorer, Team
from monitor.privacy import AuthorKeys, author_key
from monitor.records import Kind

Format = Literal["parquet", "jsonl", "csv"]

FORMAT = 1
"""Raised whenever the code here and beside would write other rows from the same inputs."""


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of an input that one task reads from its beginning to its end.

    `source` is ALL where each row names its own. `start`..`stop` are row groups of Parquet or bytes of JSON lines (a line belongs where
    it begins); 0 and None: the whole file. `size` is in bytes of the file as it is stored, `stamp` tells another version of it. `order`
    is its place among all inputs: of two posts with one id the later counts (not where their times are so far apart that they are put
    together with other days, `Span`: then both do).
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
    """What reading a split found: `named` posts name a team. `places` says of the first of those `rejected` where and why."""

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


@dataclass(frozen=True, slots=True)
class Found:
    """A split that was read whole: its chunks are numbered from 0."""

    split: str
    chunks: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk that was read by the model: passages `scored` now, `known` from before, and `failed`, which it could not take.

    `days` are the numbers of posts by UTC day.
    """

    chunk: Chunk
    scored: int
    known: int
    failed: int
    days: dict[str, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring UTC days that are put together in one go. `parts` are the chunks that hold posts of them, in the order of inputs.

    `before` are the first days of the spans that hold the time before which reaches into it (echo.REACH).
    """

    first: str
    last: str
    parts: tuple[Chunk, ...]
    before: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """A span whose days are finished, with their numbers of posts, and the sources of these."""

    first: str
    days: dict[str, int]
    sources: list[str]


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
    """16 hexadecimal digits of what decides the rows; see `of`."""

    def of(self, splits: Sequence[Split]) -> Job:
        """The job over these inputs, named by them and by everything else that decides its rows."""
        who = author_key(self.keys.lasting, "archive", self.name)  # other keys give other rows; tells nothing of them
        told = [[split.id for split in splits], self.reader, self.model, who, self.kind, sorted(self.mapping.items()), self.words]
        told.append([str(self.since), str(self.until), FORMAT])
        return replace(self, run=hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16])

    def path(self, *parts: str) -> str:
        """A file of this run."""
        return self.root.path(self.name, "runs", self.run, *parts)
