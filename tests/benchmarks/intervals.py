"""Whether a day's 95 % interval holds 95 %: people in threads of many sizes that have more or less in common, few voices and many.

`pytest -m benchmark -o addopts= -s tests/benchmarks/intervals.py`. Simulated and seeded: a normal variable that the people of a thread
share a part of is cut into negative, neutral and positive scores, so that the true mean is known. Figures are made by the product's
own statistics: the intraclass correlation of a day is that of the days before it too, as `trend` has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.records import Spread
from monitor.rules.statistics import correlation, evidence, margin, pooled
from monitor.trend import MEMORY

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

Array = NDArray[np.float64]

SERIES, JUDGED = 150, 15
"""Series for each cell of the tables, and days of each, at its end, whose intervals are looked at."""
CORRELATIONS = (0.0, 0.05, 0.15, 0.3, 0.6)
LEVELS = {"around zero": (-0.524, 0.385), "mostly negative": (0.524, 1.28)}
"""Where negative ends and positive begins on the normal scale: 30, 35, 35 % and 70, 20, 10 %."""
SURE = 0.75


def threads(draw: np.random.Generator, days: int, voices: int, size: int | str) -> NDArray[np.intp]:
    """The thread of each voice [days, voices]: geometric sizes of this mean, or half of all in one and the others in short ones."""
    if size == 1:
        return np.tile(np.arange(voices), (days, 1))
    new = draw.random((days, voices)) < (0.6 if isinstance(size, str) else 1 / size)
    if isinstance(size, str):
        new[:, : voices // 2] = False
    new[:, 0] = False
    return np.cumsum(new, 1)


def values(draw: np.random.Generator, thread: NDArray[np.intp], shared: float, level: tuple[float, float]) -> Array:
    """Scores of voices whose threads have the part `shared` of the variance in common."""
    mood = np.take_along_axis(draw.normal(size=thread.shape), thread, 1)
    mind = math.sqrt(shared) * mood + math.sqrt(1 - shared) * draw.normal(size=thread.shape)
    verdict = draw.beta(6, 2, thread.shape)
    return np.where(mind < level[0], -verdict, np.where(mind > level[1], verdict, draw.normal(0, 0.12, thread.shape)))


def spreads(thread: NDArray[np.intp], value: Array) -> list[Spread]:
    """One for each day; a voice speaks in one thread here."""
    days, voices = thread.shape
    at = (np.arange(days)[:, None] * voices + thread).ravel()
    sizes, sums = (np.bincount(at, weights, days * voices).reshape(days, voices) for weights in (None, value.ravel()))
    means = (sums**2 / np.maximum(sizes, 1)).sum(1)
    count, squares = (sizes > 0).sum(1), (sizes**2).sum(1)
    parts = (
        ((value - value.mean(1, keepdims=True)) ** 2).sum(1), squares / voices**2, voices - count, count - 1,
        np.maximum(0, (value**2).sum(1) - means), np.maximum(0, means - value.sum(1) ** 2 / voices), voices - squares / voices,
    )  # fmt: skip
    return [Spread(voices, *map(float, day)) for day in zip(*parts, strict=True)]


def held(
    draw: np.random.Generator, voices: int, size: int | str, shared: float, level: tuple[float, float], memory: int
) -> tuple[int, int]:
    """How many of how many intervals hold the true mean, `memory` days being known before each."""
    below, above = (0.5 * (1 + math.erf(cut / math.sqrt(2))) for cut in level)
    truth = SURE * (1 - above - below)
    days, hits = memory + JUDGED, 0
    for _ in range(SERIES):
        thread = threads(draw, days, voices, size)
        value = values(draw, thread, shared, level)
        made = spreads(thread, value)
        for day in range(memory, days):
            variance, effective = evidence(*made[day][:3], correlation(*pooled(made[day - memory : day + 1])))
            hits += abs(float(value[day].mean()) - truth) <= margin(variance, effective, 0.975)
    return hits, SERIES * JUDGED


@pytest.mark.parametrize("level", list(LEVELS))
@pytest.mark.parametrize("memory", [MEMORY, 14, 0])
def test_coverage(level: str, memory: int) -> None:
    """Prints the share of days whose interval holds the truth, with a whole memory, in the third week of a series, and on its first day."""
    print(
        f"\nscores {level}, {memory} days known before; what threads have in common: "
        + "".join(f"{shared:7.2f}" for shared in CORRELATIONS)
    )
    cells: list[float] = []
    for voices in (5, 20, 100):
        for size in (1, 3, 8, 20, "half in one"):
            line: list[float] = []
            for number, shared in enumerate(CORRELATIONS if size != 1 else CORRELATIONS[:1]):
                draw = np.random.default_rng(
                    [voices, number, memory, len(str(size)), int(size) if isinstance(size, int) else 0, len(level)]
                )
                hits, days = held(draw, voices, size, shared, LEVELS[level], memory)
                line.append(hits / days)
            cells += line
            print(f"{voices:4} voices, threads of {size!s:12}" + " " * 44 + "".join(f"{share:7.1%}" for share in line))
    chance = 1.96 * math.sqrt(0.05 * 0.95 / (SERIES * JUDGED))
    print(f"{_within(cells, 0.93, 0.97)} within 93 to 97 %, {_within(cells, 0.92, 0.98)} within 92 to 98 % (± {chance:.1%} by chance)")


def _within(cells: Sequence[float], low: float, high: float) -> str:
    return f"{sum(low <= share <= high for share in cells)} of {len(cells)} cells"
