"""What correcting for the model's errors is worth: coverage and width with a sample that is read, error without one.

Simulated people, seeded. They come back on other days, some post far more than others, and threads have moods of their own.
Draws are made by the product's own `sampled`, and figures by its own `corrected`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from monitor.corrected import LABELS, Heard, Pool, by_confusion, by_sample
from monitor.review import sampled
from monitor.sentiment.confusion import FILE, SURE
from monitor.store import Frame

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

DAYS, RUNS = 7, 500
MOODS = np.array([[0.75, 0.2, 0.05], [0.35, 0.45, 0.2], [0.1, 0.35, 0.55]])
"""Shares of labels of what three kinds of people say; a thread moves them."""
KINDS = np.array([0.3, 0.45, 0.25])
PULL = 0.15
"""How much of what is said in a thread follows the thread's own mood."""
WEIGHTS = Path(__file__).parents[2] / "monitor" / "sentiment" / "weights"


SHOWN = [tuple(sure if place == label else (1 - sure) / 2 for place in range(3)) for label in range(3) for sure in (SURE - 0.1, SURE + 0.1)]
"""Probabilities for each outcome: a label, and whether the model is sure of it."""


def choose(draw: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """A label by each row of shares."""
    return (draw.random(len(shares))[:, None] > shares.cumsum(1)[:, :-1]).sum(1)


def said(draw: np.random.Generator, voices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(day, person, thread, true label) of each post of seven days, about `voices` people a day out of three times as many."""
    people = 3 * voices
    kind, eager = draw.choice(3, people, p=KINDS), draw.gamma(0.8, 1, people)
    counts = draw.poisson(eager / 2, (DAYS, people))
    day, person = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    thread = np.repeat(np.arange(len(day)), draw.geometric(0.4, len(day)))[: len(day)]
    draw.shuffle(thread)
    mood = draw.choice(3, len(day), p=KINDS)[thread]
    of_thread = draw.random(len(day)) < PULL
    return day, person, thread, choose(draw, MOODS[np.where(of_thread, mood, kind[person])])


def shares_of(draw: np.random.Generator, label: np.ndarray, model: str) -> np.ndarray:
    """What a model makes of posts with these true labels [n, 3]: its probabilities."""
    right = {"right in half": 0.5, "right in half, as sure when wrong": 0.5, "right in 90 %": 0.9}.get(model, 0.0)
    if model == "always negative":
        return np.tile([0.8, 0.1, 0.1], (len(label), 1)) + draw.normal(0, 0.01, (len(label), 3))
    sure = (1 + 2 * draw.beta(4 * right, 4 * (1 - right), len(label))) / 3
    hit = draw.random(len(label)) < (right if model.endswith("wrong") else sure + right - sure.mean())
    told = np.where(hit, label, (label + draw.integers(1, 3, len(label))) % 3)
    return np.where(np.arange(3) == told[:, None], sure[:, None], (1 - sure[:, None]) / 2)


def pool_of(draw: np.random.Generator, voices: int, count: int, model: str) -> list[Heard]:
    """Seven days of which about `count` posts were drawn and read on each."""
    day, person, thread, label = said(draw, voices)
    shares, pool = shares_of(draw, label, model), []
    for each in range(DAYS):
        frame = [Frame(int(post), "t", f"{person[post]:05}", "", f"{post:06}") for post in np.flatnonzero(day == each)]
        for drawn in sampled(frame, count / len({post.voice for post in frame}), f"{draw.integers(1 << 62)}"):
            at = drawn.post_id
            truth = LABELS[label[at]] if drawn.order is not None else None
            probabilities = (float(shares[at, 0]), float(shares[at, 1]), float(shares[at, 2]))
            heard = LABELS[int(np.argmax(shares[at]))]
            pool.append(Heard(f"{person[at]:05}", str(thread[at]), "en", probabilities, heard, drawn.chance, truth, truth and "person"))
    return pool


def truth() -> tuple[float, float]:
    """Mean and negative share of everybody: each person once, so of the kinds."""
    shares = KINDS @ ((1 - PULL) * MOODS + PULL * (KINDS @ MOODS))
    return float(shares[2] - shares[0]), float(shares[0])


@pytest.mark.parametrize("model", ["right in half", "right in half, as sure when wrong", "right in 90 %", "always negative"])
def test_coverage_with_a_sample(model: str) -> None:
    """Prints how often the 95 % intervals hold the truth, and how wide that of the share is beside that of the sample alone."""
    mean, negative = truth()
    print(
        f"\nmodel {model}, {RUNS} pools of {DAYS} days: coverage of mean, of negative share; width, of the sample alone; narrower, wider in"
    )
    for voices, count in ((60, 10), (60, 20), (60, 50), (200, 10), (200, 20), (200, 50)):
        draw, held, widths = np.random.default_rng([voices, count]), [], []
        for _ in range(RUNS):
            pool = pool_of(draw, voices, count, model)
            found = by_sample(Pool.of(pool), min_authors=5)
            alone = by_sample(Pool.of([each._replace(shares=(1 / 3, 1 / 3, 1 / 3)) for each in pool]), min_authors=5)
            assert found and alone
            held.append([each.low <= true <= each.high for each, true in ((found.mean, mean), (found.negative_share, negative))])
            widths.append([each.negative_share.high - each.negative_share.low for each in (found, alone)])
        (of_mean, of_share), (ours, sample) = np.mean(held, axis=0), np.mean(widths, axis=0)
        narrower, wider = (np.mean([sign * one < sign * other for one, other in widths]) for sign in (1, -1))
        parts = f"{of_mean:6.1%} {of_share:6.1%}   {ours:.3f} {sample:.3f}   {narrower:4.0%} {wider:4.0%}"
        print(f"{voices:4} voices a day, {count:3} read: {parts}")


@pytest.mark.parametrize("texts", ["domain benchmark", "written posts, held out"])
def test_error_without_a_sample(texts: str) -> None:
    """Prints the mean error of the negative share under prior shift, of the model's own count and of corrected ones in parts of it.

    True shares are drawn evenly over all that they can be, and the model errs as it was measured to on these texts. The correction
    knows that exactly, which is the best there can be, and by labels alone; from the counts of these texts drawn anew, so that they
    are off by chance; and from all that is shipped, as users do. The last are readers of every post: what is left then is the
    chance in who speaks. In brackets: how often the 95 % interval holds the truth.
    """
    shipped = json.loads((WEIGHTS / FILE).read_text("utf-8"))["texts"]
    counts = {language: np.array(each) for language, each in shipped[texts].items()}
    weight = np.array([each.sum() for each in counts.values()]) / sum(each.sum() for each in counts.values())
    names, rows = list(counts), {language: each / each.sum(1, keepdims=True) for language, each in counts.items()}
    exactly = {language: (1_000_000 * each).round().astype(int) for language, each in rows.items()}
    labels = {language: each.reshape(3, 3, 2).sum(2) for language, each in exactly.items()}
    print(
        f"\nmodel errs as on the {texts}: error of its own count; known exactly; by labels alone; drawn anew; all that is shipped; readers"
    )
    for voices in (70, 140, 350, 700, 2000):
        draw, errors, held, runs = np.random.default_rng(voices), [], [], 300
        for _ in range(runs):
            shares = draw.dirichlet(np.ones(3))
            languages = draw.choice(names, voices, p=weight)
            truth = draw.choice(3, voices, p=shares)
            told = choose(draw, np.array([rows[language][label] for language, label in zip(languages, truth, strict=True)]))
            heard = zip(languages, told, strict=True)
            pool = [
                Heard(str(n), str(n), str(language), SHOWN[outcome], LABELS[outcome // 2]) for n, (language, outcome) in enumerate(heard)
            ]
            anew = {name: [draw.multinomial(line.sum(), line / line.sum()) for line in each] for name, each in counts.items()}
            sets = ([exactly], [labels], [anew], list(shipped.values()))
            found = [each.negative_share for known in sets if (each := by_confusion(Pool.of(pool), known, min_authors=5))]
            values = (float(np.mean(told < 2)), *(each.value for each in found), float(np.mean(truth == 0)))
            errors.append([abs(value - shares[0]) for value in values])
            held.append([each.low <= shares[0] <= each.high for each in found])
        means, chance = np.mean(errors, axis=0), 1.96 * np.std(errors, axis=0) / math.sqrt(runs)
        parts = (f"{error / means[0]:.2f} ({hits:.0%})" for error, hits in zip(means[1:-1], np.mean(held, axis=0), strict=True))
        print(
            f"{voices:5} voices: {means[0]:.3f}; "
            + "; ".join(parts)
            + f"; {means[-1] / means[0]:.2f}  (± {chance[3] / means[0]:.2f} by chance)"
        )
