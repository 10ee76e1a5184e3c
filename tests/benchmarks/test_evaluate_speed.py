"""What an evaluation takes beside the model, and how often its 95 % intervals hold the truth."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.config import load
from monitor.evaluate import evaluate, figures
from monitor.evaluate.rows import LABELS, Row, Target
from monitor.records import Score
from monitor.sentiment import Item

pytestmark = pytest.mark.benchmark

PAIRS = 10_000
NAMES = ("OpenAI", "Meta", "DeepSeek", "Mistral", "xAI")


class Dice:
    """Scores by chance, at once."""

    name = "dice@1"

    def score(self, items: Sequence[Item]) -> list[Score]:
        draw = np.random.default_rng(len(items[0].text))
        return [Score(self.name, *map(float, shares)) for shares in draw.dirichlet([1, 1, 1], len(items))]


def test_evaluate_speed() -> None:
    """Prints seconds for 10,000 pairs in 3 languages, 4 sources and 9 kinds, the model's own time left out, 2,000 resamples."""
    draw = random.Random(1)
    rows = []
    for n in range(PAIRS * 3 // 4):
        teams = draw.sample(NAMES, draw.choice((1, 1, 2)))
        text = f"Post {n} says that {' and '.join(teams)} are what they are, and then goes on for a while about this and that."
        targets = tuple(Target(draw.choice(LABELS), team, (team,)) for team in teams)
        rows.append(Row(text, targets, draw.choice(("en", "fr", "zh")), draw.choice("abcd"), draw.choice("klmnopqrs")))
    teams = load(Path(__file__).parents[2] / "config.yaml")[0].teams
    begun = time.perf_counter()
    report = evaluate(rows, Dice(), teams=teams)
    took = time.perf_counter() - begun
    begun = time.perf_counter()
    evaluate(rows, Dice(), teams=teams, exchange=False)
    print(f"\n{report.pairs} pairs in {report.posts} posts: {took:.1f} s, without exchanging names {time.perf_counter() - begun:.1f} s")


def test_interval_coverage() -> None:
    """Prints how often the interval of macro-F1 and of accuracy holds the truth, with unseen outcomes and without."""
    fair = np.array([[66.0, 16, 21], [25, 32, 10], [30, 15, 33]]) / 248
    good = np.full((3, 3), 0.02 / 6)
    np.fill_diagonal(good, [0.4, 0.3, 0.28])
    draw = np.random.default_rng(0)
    print("\nshare of 95 % intervals that hold the truth: macro-F1 / accuracy, and without unseen outcomes")
    for name, truth in (("right in 53 %", fair), ("right in 98 %", good)):
        for posts in (3, 5, 10, 30, 100, 250):
            shares = [_coverage(truth, posts, unseen, draw) for unseen in (np.eye(9), None)]
            print(f"{name}, {posts:3} posts: " + "    ".join(f"{macro:6.1%} / {accuracy:6.1%}" for macro, accuracy in shares))


def _coverage(
    truth: figures.Floats, posts: int, unseen: figures.Floats | None, draw: np.random.Generator, times: int = 1000
) -> list[float]:
    held = np.zeros(2)
    for seed in range(times):
        parts = np.eye(9)[draw.choice(9, size=posts, p=truth.ravel())]
        seen, drawn = parts.sum(0).reshape(3, 3), figures.resampled(parts, 400, [seed], unseen).reshape(-1, 3, 3)
        intervals = figures.interval(figures.macro_f1(seen, drawn)), figures.interval(figures.accuracy(drawn))
        wanted = float(figures.macro_f1(truth)), float(figures.accuracy(truth))
        held += [low <= value <= high for (low, high), value in zip(intervals, wanted, strict=True)]
    return [float(share) for share in held / times]
