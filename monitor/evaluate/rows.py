"""Labelled texts as JSON lines, and where each of them names the teams that it is labelled for.

The promise: a bad line costs itself only, and is told with its number; a good one is read for mentions as the product
would read it, so that a figure is about what the monitor does.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from monitor.config import Alias, Team
from monitor.errors import InputError
from monitor.mentions import Finder, occurrences
from monitor.records import Label, clean

LABELS: tuple[Label, ...] = get_args(Label)
"""negative, neutral, positive: the order of every row and column of three."""

Span = tuple[int, int]
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Target:
    """The label that a text has toward a team; without a team, by itself.

    `names` are the strings by which the text names the team. `spans` are the mentions where they are known already, as
    in an export of corrections: half-open character offsets by start, which are then taken as they are.
    """

    label: Label
    team: str | None = None
    names: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A text as `records.clean` leaves it, with what readers say of it. `lang`, `source` and `kind` make groups."""

    text: str
    targets: tuple[Target, ...]
    lang: str | None = None
    source: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A team that a text names: its id in config.yaml, or the row's own name for it, and its mentions by start.

    `target` is the place in the row's targets, None for a team that only stands by.
    """

    team: str
    spans: tuple[Span, ...]
    target: int | None = None


# ---- lines ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a file (`-`: standard input), plain or gzipped. InputError when it cannot be read or is cut off."""
    try:
        with contextlib.nullcontext(cast(io.BufferedReader, sys.stdin.buffer)) if str(path) == "-" else path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            yield io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if zipped else raw, "utf-8-sig", "surrogateescape")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path} is cut off or damaged: unzip it, and see how far it goes") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its name and permissions") from None


def read(lines: Iterable[str]) -> Iterator[tuple[int, Row | str]]:
    """Each line's number with its row, or with the sentence that says what is wrong with it. Blank lines are left out.

    A line is `{"text", "targets": [{"team", "alias", "also": [...], "label", "spans"}], "lang", "source", "kind"}`, of which
    only text, alias or team, and label are needed, or `{"text", "target": string or null, "label", "lang", ...}`.
    """
    return ((number, _row(line)) for number, line in enumerate(lines, 1) if line.strip())


def _row(line: str) -> Row | str:
    if _UNDECODED.search(line):
        return "is not UTF-8: save the whole file as UTF-8"
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return 'is not JSON: write {"text": "...", "target": "...", "label": "negative"}'
    text = clean(given["text"]) if isinstance(given, dict) and isinstance(given.get("text"), str) else ""
    if not text:
        return "needs a text that is a string and not empty"
    listed = given.get("targets", [given])
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        return 'needs targets that are a list of {"team", "alias", "label"}'
    targets = []
    for each in listed:
        target = _target(each)
        if isinstance(target, str):
            return target
        targets.append(target)
    spans = sorted(span for target in targets for span in target.spans)
    bounds = [0, *itertools.chain(*spans), len(text)]
    if spans and (text != given["text"] or sorted(bounds) != bounds or any(start == end for start, end in spans)):
        return "has spans that do not fit its text, or overlap: leave them out, and the aliases are looked for"
    fields = {name: value for name in ("lang", "source", "kind") if isinstance(value := given.get(name), str) and value}
    return Row(text, tuple(targets), **fields)


def _target(given: Mapping[str, Any]) -> Target | str:
    if given.get("label") not in LABELS:
        return f"needs a label that is {', '.join(LABELS[:-1])} or {LABELS[-1]}"
    also = given.get("also", [])
    words = [given.get("alias"), given.get("target"), given.get("team"), *(also if isinstance(also, list) else [None, 0])]
    if not all(isinstance(word, str | None) for word in words):
        return "needs names of teams (team, alias, target) that are strings, and also that is a list of them"
    alias, target, team, *others = (clean(word) if word else "" for word in words)
    first = alias or target or team
    if not first:
        return Target(given["label"])
    spans = given.get("spans", [])
    if not isinstance(spans, list) or not all(isinstance(each, list) and [type(n) for n in each] == [int, int] for each in spans):
        return "needs spans that are a list of [start, end]"
    names = tuple(dict.fromkeys(filter(None, (first, *others))))
    return Target(given["label"], team or first, names, tuple(sorted((start, end) for start, end in spans)))


# ---- mentions ------------------------------------------------------------------------------------------------------


class Places:
    """Finds where rows name their teams, and which other teams of config.yaml stand by."""

    def __init__(self, teams: Sequence[Team] = ()) -> None:
        self._finder = Finder(teams)
        # An id before a name, a name before an alias, an earlier team before a later one.
        self._ids = {alias.text.casefold(): team.id for team in reversed(teams) for alias in team.aliases}
        self._ids |= {team.name.casefold(): team.id for team in reversed(teams)} | {team.id: team.id for team in teams}

    def named(self, row: Row) -> list[Named]:
        """The teams in a row's text, no mention overlapping another. A target that is found nowhere is not among them.

        A target's mentions are its spans; without any, every place where one of its names stands as a word, in any mixture of
        upper and lower case (Chinese needs no borders), and what the product finds for the team if config.yaml has it.
        As in the product, of two names that overlap the longer one counts. A target that would then have none takes
        its alias from a longer name of another team, or from within a word.
        """
        keys = [self._key(target.team) for target in row.targets]
        # Two targets that are one team in config.yaml, such as a product and its company: the row's own names tell them apart.
        clear = {key: index for index, key in enumerate(keys) if key and Counter(keys)[key] == 1}
        sought = [index for index, target in enumerate(row.targets) if target.team is not None and not target.spans]
        own = Finder([_as_team(index, row.targets[index].names) for index in sought])
        candidates: list[tuple[int, int, int | str]] = [(m.start, m.end, int(m.team)) for m in own.find(row.text)]
        for mention in self._finder.find(row.text):
            owner = clear.get(mention.team, mention.team)
            if isinstance(owner, str) or owner in sought:
                candidates.append((mention.start, mention.end, owner))
        fixed = [(*span, index) for index, target in enumerate(row.targets) for span in target.spans]
        found = _apart(fixed, candidates)
        if lost := [index for index in sought if index not in found]:
            candidates = [candidate for candidate in candidates if isinstance(candidate[2], int)]
            candidates += [(*span, index) for index in lost for span in occurrences(row.text, row.targets[index].names[0])]
            found = _apart(fixed, candidates)
        return [
            Named(owner, tuple(spans)) if isinstance(owner, str) else Named(keys[owner] or "", tuple(spans), owner)
            for owner, spans in found.items()
        ]

    def _key(self, team: str | None) -> str | None:
        return team and self._ids.get(team.casefold(), team.casefold())


def _as_team(index: int, names: Iterable[str]) -> Team:
    return Team.model_construct(id=str(index), name="", aliases=tuple(Alias.model_construct(text=name) for name in names))


def _apart(fixed: Sequence[tuple[int, int, int]], candidates: Iterable[tuple[int, int, int | str]]) -> dict[int | str, list[Span]]:
    """Spans by owner, by start: all of `fixed`, and of the others the longest first, a row's own (numbers) before another's."""
    taken: list[tuple[int, int, int | str]] = list(fixed)
    for start, end, owner in sorted(candidates, key=lambda each: (each[0] - each[1], isinstance(each[2], str), each[0])):
        if all(to <= start or at >= end for at, to, _ in taken):
            taken.append((start, end, owner))
    found: dict[int | str, list[Span]] = defaultdict(list)
    for start, end, owner in sorted(taken, key=lambda each: each[:2]):
        found[owner].append((start, end))
    return found
