"""How right a sentiment model is, on texts that people have labelled: any model, anybody's texts, every figure with its n.

The promise: the model is given exactly what the product would give it, the same rows give the same report, and no figure
stands without the interval that says how much chance is in it. Pure, apart from the scorer.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.config import Team
from monitor.errors import InputError
from monitor.evaluate import figures, swap
from monitor.evaluate.rows import LABELS, Named, Places, Row, Span, Target
from monitor.records import Score
from monitor.sentiment import Item, Paused, Scorer, scores_of
from monitor.sentiment.confusion import SURE
from monitor.sentiment.passages import passage

SEED = 0
RESAMPLES = 2000
FEW = 30
"""Pairs below which a group's figures say little, whatever they are."""

GROUPS = ("lang", "source", "kind")
UNKNOWN = "unknown"
"""The group of rows that do not say, where others do."""

_BATCH = 512
"""Texts between two words on the progress, but where the scorer asks for fewer."""

_UNSEEN = np.eye(len(LABELS) ** 2)
"""Every way in which one more pair could turn out."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % bootstrap interval, posts drawn anew."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of all pairs (`by` and `name` are "all"), or of those whose row has this lang, source or kind.

    Shares in [0, 1]. `f1` is per label; None for one that neither readers nor the model say in this group. `confusion` counts pairs:
    a row for each label that readers give, a column for each that the model gives; in `sureness` two for each, unsure and sure of it
    (confusion.SURE).
    """

    by: str
    name: str
    posts: int
    pairs: int
    macro_f1: Figure
    accuracy: Figure
    f1: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    sureness: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose greatest probability lies in (low, high]: their mean of it, and the share on which the model is right."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Swap:
    """What exchanging the names of teams changes: the mean of |new value - old value|, and the share of labels that turn."""

    pairs: int
    change: Figure
    turned: float


@dataclass(frozen=True, slots=True)
class Report:
    """An evaluation. `confusion` is that of all pairs (see `Group`).

    `not_found` pairs name a team that does not stand in their text, `failed` ones are of texts that the model cannot take,
    and `waiting` ones of texts that it was not asked about, since it may not be asked any more: `paused` says why. None of
    these are in any figure. `ece` is the calibration error, `ece_if_calibrated` what chance would show of a model without
    any. `bins` leaves out empty ones. `swap` is None where it was not asked for, or no text names a team.
    """

    model: str
    posts: int
    pairs: int
    not_found: int
    failed: int
    waiting: int
    paused: str | None
    groups: tuple[Group, ...]
    confusion: tuple[tuple[int, ...], ...]
    ece: float
    ece_if_calibrated: float
    bins: tuple[Bin, ...]
    swap: Swap | None
    seed: int
    resamples: int

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and strings."""
        return {**dataclasses.asdict(self), "labels": list(LABELS)}


@dataclass(frozen=True, slots=True)
class _Pair:
    """One label of one post: what the model reads for it, and what it would read were the teams others."""

    post: int
    row: Row
    target: Target
    item: Item
    other: Item | None


def evaluate(
    rows: Iterable[Row],
    scorer: Scorer,
    *,
    teams: Sequence[Team] = (),
    exchange: bool = True,
    seed: int = SEED,
    resamples: int = RESAMPLES,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score every pair of `rows` and compare. `teams` are those of config.yaml, whose names then count as well (`Places.named`).

    Rows with the same text are one post. `exchange` scores each text a second time with the names exchanged. `progress`
    is called with (texts scored, texts in all). InputError when no pair is left to compare; ModelError as the scorer's, but when
    it is Paused half way: what was read by then is evaluated, the texts as they are before any with other names.
    """
    pairs, not_found = _pairs(rows, teams, str(seed) if exchange else None)
    items = dict.fromkeys([*(pair.item for pair in pairs), *(pair.other for pair in pairs if pair.other is not None)])
    scores, pause = _scores(scorer, list(items), progress)
    scored = [(pair, score) for pair in pairs if (score := scores.get(pair.item))]
    if not scored and pause:
        raise pause
    if not scored:
        raise InputError(
            f"there is nothing to compare with: of {len(pairs) + not_found} labels {not_found} name a team that does not stand in its text "
            "(write it as the text does, under alias), and the model cannot take the others' texts"
        )
    waiting = sum(pair.item not in scores for pair in pairs)
    said = np.array([LABELS.index(score.label) for _, score in scored])
    meant = np.array([LABELS.index(pair.target.label) for pair, _ in scored])
    posts = np.array([pair.post for pair, _ in scored])
    cells = np.eye(9)[meant * 3 + said]
    confidence = np.array([max(score.negative, score.neutral, score.positive) for _, score in scored])
    right = (said == meant).astype(np.float64)
    return Report(
        model=scorer.name,
        posts=len(np.unique(posts)),
        pairs=len(scored),
        not_found=not_found,
        failed=len(pairs) - len(scored) - waiting,
        waiting=waiting,
        paused=str(pause) if pause else None,
        groups=tuple(
            _group(by, name, cells[members], confidence[members] >= SURE, posts[members], resamples, seed)
            for by, name, members in _members([pair.row for pair, _ in scored])
        ),
        confusion=_counts(cells),
        ece=float(figures.calibration_error(confidence, right)),
        ece_if_calibrated=figures.error_if_calibrated(confidence, [seed]),
        bins=tuple(_bins(confidence, right)),
        swap=_swap(scored, scores, resamples, seed),
        seed=seed,
        resamples=resamples,
    )


def _pairs(rows: Iterable[Row], teams: Sequence[Team], seed: str | None) -> tuple[list[_Pair], int]:
    """The pairs whose team is found, and the number of the others."""
    places = Places(teams)
    found = [(row, places.named(row)) for row in rows]
    names = swap.forms(teams, found) if seed is not None else {}
    numbers: dict[str, int] = {}
    pairs = []
    for row, named in found:
        post = numbers.setdefault(row.text, len(numbers))
        exchanged = swap.exchanged(row.text, named, names, f"{seed} {row.text}") if seed is not None else None
        spans = {each.target: each.spans for each in named}
        moved = {each.target: each.spans for each in exchanged[1]} if exchanged else {}
        for index, target in enumerate(row.targets):
            if target.team is None or index in spans:
                item = passage(row.text, spans.get(index, ()), _aside(named, index))
                other = passage(exchanged[0], moved.get(index, ()), _aside(exchanged[1], index)) if exchanged else None
                pairs.append(_Pair(post, row, target, item, other))
    return pairs, sum(len(row.targets) for row, _ in found) - len(pairs)


def _aside(named: Sequence[Named], index: int) -> list[Span]:
    """The mentions of all teams but the target `index`, by start."""
    return sorted(span for each in named if each.target != index for span in each.spans)


def _scores(
    scorer: Scorer, items: Sequence[Item], progress: Callable[[int, int], None] | None
) -> tuple[dict[Item, Score | None], Paused | None]:
    """A score per item, None for a text that the model cannot take; and why items are missing, if some are."""
    found: dict[Item, Score | None] = {}
    step = int(getattr(scorer, "batch", _BATCH))
    for start in range(0, len(items), step):
        scores, pause = scores_of(scorer, items[start : start + step])
        found |= {items[start + position]: score for position, score in scores.items()}
        if pause:
            return found, pause
        if progress:
            progress(min(start + step, len(items)), len(items))
    return found, None


def _members(rows: Sequence[Row]) -> Iterable[tuple[str, str, list[int]]]:
    """The groups and the places of their pairs: all, then each lang, source and kind that rows name, the largest first."""
    yield "all", "all", list(range(len(rows)))
    for by in GROUPS:
        members: Mapping[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            members[getattr(row, by) or UNKNOWN].append(index)
        if members.keys() != {UNKNOWN}:
            yield from ((by, name, places) for name, places in sorted(members.items(), key=lambda each: (-len(each[1]), each[0])))


def _group(by: str, name: str, cells: figures.Floats, sure: NDArray[np.bool_], posts: figures.Floats, resamples: int, seed: int) -> Group:
    parts = _per_post(cells, posts)
    drawn = figures.resampled(parts, resamples, [seed], _UNSEEN).reshape(-1, 3, 3)
    confusion = parts.sum(0).reshape(3, 3)
    return Group(
        by,
        name,
        posts=len(parts),
        pairs=len(cells),
        macro_f1=Figure(float(figures.macro_f1(confusion)), *figures.interval(figures.macro_f1(confusion, drawn))),
        accuracy=Figure(float(figures.accuracy(confusion)), *figures.interval(figures.accuracy(drawn))),
        f1=tuple(None if np.isnan(value) else float(value) for value in figures.f1(confusion)),
        confusion=_counts(cells),
        sureness=_counts(np.stack([cells * ~sure[:, None], cells * sure[:, None]], axis=2)),
    )


def _counts(cells: figures.Floats) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in line) for line in cells.sum(0).reshape(3, -1))


def _per_post(added: figures.Floats, posts: figures.Floats) -> figures.Floats:
    """What each post adds [posts, k], of what each pair adds [pairs, k]."""
    numbers, place = np.unique(posts, return_inverse=True)
    sums = np.zeros((len(numbers), added.shape[1]))
    np.add.at(sums, place, added)
    return sums


def _bins(confidence: figures.Floats, right: figures.Floats) -> Iterable[Bin]:
    place = figures.bins(confidence)
    for number in np.unique(place):
        inside = place == number
        yield Bin(
            int(number) / figures.BINS,
            (int(number) + 1) / figures.BINS,
            int(inside.sum()),
            float(confidence[inside].mean()),
            float(right[inside].mean()),
        )


def _swap(scored: Sequence[tuple[_Pair, Score]], scores: Mapping[Item, Score | None], resamples: int, seed: int) -> Swap | None:
    both = [(pair.post, score, other) for pair, score in scored if pair.other is not None and (other := scores.get(pair.other))]
    if not both:
        return None
    changes = np.array([[abs(other.value - score.value), 1.0] for _, score, other in both])
    drawn = figures.resampled(_per_post(changes, np.array([post for post, _, _ in both])), resamples, [seed])
    return Swap(
        pairs=len(both),
        change=Figure(float(changes[:, 0].mean()), *figures.interval(drawn[:, 0] / drawn[:, 1])),
        turned=sum(other.label != score.label for _, score, other in both) / len(both),
    )
