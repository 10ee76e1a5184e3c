"""Figures with the model's own errors taken out: by a random sample that was read, else by what the model mistakes on held-out posts.

The promise: each person counts once, a figure of fewer people than `min_authors` is none, and the interval holds what the
method does not know. The one by a sample is valid however wrong the model is; the one without is the weaker, since it takes
for granted that the model errs here as it did there. Pure and seeded but for `weeks`, which reads the store.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.config import Config
from monitor.evaluate import figures
from monitor.evaluate.figures import Floats
from monitor.records import Label
from monitor.rules.statistics import margin, voice_variance
from monitor.sentiment.confusion import counted
from monitor.store import Store

POOL_DAYS = 7
"""Days that one corrected figure is of: a day's sample alone is too small to say much."""

DRAWS = 500
"""Of the confusion and of the voices, for the interval of a figure without a sample."""

STEPS = 100
"""Of expectation maximisation: with this model's confusions a share then moves by less than 0.001 a step."""

BORROWED = 10
"""Pairs' worth of weight that the other languages' confusions have in a language's own, per label."""

LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")
_VALUES = np.array([-1.0, 0.0, 1.0])

Numbers = NDArray[np.intp]

Counts = Mapping[str, Sequence[Sequence[int]]]
"""Confusion by language: a row for each label that readers give, a column for each that the model gives, in the order of LABELS."""


class Heard(NamedTuple):
    """What one post says of the team, as the model read it and, if it was drawn and read, as a reader did.

    `shares` are the model's probabilities in the order of LABELS, `label` its label. `chance` in (0, 1] is how likely the post
    was to be drawn and read; None where it came after the draw. `said` is the reader's label, `reader` "person" or a model.
    """

    voice: str
    thread: str
    language: str | None
    shares: tuple[float, float, float]
    label: Label
    chance: float | None = None
    said: Label | None = None
    reader: str | None = None


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """Mean in [-1, 1] and negative share in [0, 1] of the `authors` of a pool, with the model's errors taken out.

    `method` is `sample` or, the weaker, `confusion`. `read` is how many posts of the sample were read, by `readers`.
    `model_mean` and `model_negative_share` are what the model says of the same people.
    """

    method: Literal["sample", "confusion"]
    authors: int
    read: int
    readers: tuple[str, ...]
    mean: Estimate
    negative_share: Estimate
    model_mean: float
    model_negative_share: float


def corrected(pool: Sequence[Heard], held_out: Sequence[Counts], *, min_authors: int) -> Corrected | None:
    """The best figure that `pool` allows: by its sample, else by the model's confusions, else None."""
    return by_sample(pool, min_authors=min_authors) or by_confusion(pool, held_out, min_authors=min_authors)


def weeks(store: Store, config: Config, team: str, first: dt.date, last: dt.date) -> dict[str, Corrected]:
    """The corrected figures of the POOL_DAYS days up to each of the UTC days `first`..`last` (as ISO text) that has any."""
    reach = dt.timedelta(days=POOL_DAYS - 1)
    held_out, least = counted(config.scorer, store.model), config.privacy.min_authors
    rows = store.pool(first - reach, last, team)
    found = {}
    for day in (first + dt.timedelta(days=number) for number in range((last - first).days + 1)):
        begin, end = (day - reach).isoformat(), day.isoformat()
        pool = [
            Heard(
                row["voice"], row["thread"], row["language"], (row["negative"], row["neutral"], row["positive"]), row["label"],
                row["chance"], row["said"], row["reader"],
            )
            for row in rows
            if begin <= row["day"] <= end
        ]  # fmt: skip
        if figure := corrected(pool, held_out, min_authors=least):
            found[end] = figure
    return found


# ---- with a sample ---------------------------------------------------------------------------------------------------


def by_sample(pool: Sequence[Heard], *, min_authors: int) -> Corrected | None:
    """Prediction-powered inference; None where fewer than `min_authors` people were read.

    Angelopoulos et al., Science 382 (2023) 669, with the power tuning of PPI++ (Angelopoulos, Duchi & Zrnic, arXiv 2311.01453),
    for clusters drawn with unequal probabilities (Horvitz & Thompson 1952, in Hájek's ratio form). The pool is what could have
    been drawn: posts without a `chance` are not in the figure.
    """
    pool = [heard for heard in pool if heard.chance]
    read = [heard for heard in pool if heard.said]
    if len({heard.voice for heard in read}) < min_authors:
        return None
    voice, part = _voices(pool)
    thread = np.unique([heard.thread for heard in pool], return_inverse=True)[1]
    weight = part * [1 / heard.chance if heard.said and heard.chance else 0.0 for heard in pool]
    design = _Design(voice, thread, part, weight / weight.sum())
    model, said = np.array([heard.shares for heard in pool]), _indicators([heard.said for heard in pool])
    return Corrected(
        "sample",
        authors=int(voice.max()) + 1,
        read=len(read),
        readers=tuple(sorted({heard.reader or "" for heard in read})),
        mean=design.estimate(model @ _VALUES, said @ _VALUES, -1.0, 1.0),
        negative_share=design.estimate(model[:, 0], said[:, 0], 0.0, 1.0),
        **_model(pool, part),
    )


@dataclass(frozen=True, slots=True)
class _Design:
    """Per post: its voice and thread (numbers from 0), its part in the pool's mean, and in the sample's, which is 0 if it was not read."""

    voice: Numbers
    thread: Numbers
    pool: Floats
    sample: Floats

    def estimate(self, model: Floats, said: Floats, least: float, most: float) -> Estimate:
        """The mean over voices of what readers say, given what the model says of all posts.

        It is the sample's mean, moved by `power` times what the model finds the sample to differ from the pool. Each post's
        influence on it is linear in the power, so the power of least variance is a ratio of sums over voices. Variance:
        sums of influences over voices and threads (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29 (2011) 238), at least
        that over voices; t quantiles at Kish's effective number of the voices read. That the power is estimated costs what it
        costs a regression estimator (Cochran, Sampling Techniques, 1977, section 7.7).
        """
        everywhere, here, truth = float(self.pool @ model), float(self.sample @ model), float(self.sample @ said)
        reading = self.sample * (said - truth)
        moving = self.pool * (model - everywhere) - self.sample * (model - here)
        per_voice = (np.bincount(self.voice, reading), np.bincount(self.voice, moving))
        spread = float(per_voice[1] @ per_voice[1])
        power = min(1.0, max(0.0, -float(per_voice[0] @ per_voice[1]) / spread)) if spread else 0.0
        read = np.bincount(self.voice, self.sample)
        effective = 1 / float(read @ read)
        tuned = power > 0
        left = max(1.0, effective - 1 - tuned)
        of_one = self._variance(reading + power * moving) * effective * effective / left * (1 + tuned / left)
        # As for the raw figures, a small group that agrees is not certain; the prior there is that of a scale two units long.
        unit, n = 2 / (most - least), max(2, math.floor(effective + 1e-9) - tuned)
        reach = margin(voice_variance(unit**2 * of_one, n) / unit**2, n, 0.975)
        value = truth + power * (everywhere - here)
        return Estimate(*(min(most, max(least, each)) for each in (value, value - reach, value + reach)))

    def _variance(self, influence: Floats) -> float:
        _, both = np.unique(self.voice * (int(self.thread.max()) + 1) + self.thread, return_inverse=True)
        voices, threads, crossed = (float((np.bincount(by, influence) ** 2).sum()) for by in (self.voice, self.thread, both))
        return voices + max(0.0, threads - crossed)


# ---- without one -----------------------------------------------------------------------------------------------------


def by_confusion(pool: Sequence[Heard], held_out: Sequence[Counts], *, min_authors: int, seed: int = 0) -> Corrected | None:
    """The shares under which the model's labels would come out as they did, given what it mistakes; None where that is not known.

    Adjusted counts (Forman, Data Min. Knowl. Disc. 17 (2008) 164), their matrix inverse kept to shares by expectation
    maximisation (Saerens, Latinne & Decaestecker, Neural Comput. 14 (2002) 21). `held_out` are counts on different sets of
    labelled texts: each draw takes one of them, since nobody knows which the pool is more like, its rows from their Dirichlet
    posterior, and voices drawn anew. The figure is the mean of the draws.
    """
    held_out = [counts for counts in held_out if counts]
    if len({heard.voice for heard in pool}) < min_authors or not held_out:
        return None
    voice, part = _voices(pool)
    each = _indicators([heard.label for heard in pool]) * part[:, None]
    labels: Floats = np.stack([np.bincount(voice, column) for column in each.T], axis=1).astype(np.float64)
    languages: dict[str, float] = defaultdict(float)
    for heard, weight in zip(pool, part, strict=True):
        languages[heard.language or ""] += float(weight)
    rng = np.random.default_rng(seed)
    confusion = np.concatenate([_confusions(counts, languages, -(-DRAWS // len(held_out)), rng) for counts in held_out])
    seen = figures.resampled(labels * len(labels), len(confusion), [seed], np.eye(3)) / len(labels)
    drawn = adjusted(seen, confusion)
    return Corrected(
        "confusion",
        authors=len(labels),
        read=0,
        readers=(),
        mean=_of_draws(drawn @ _VALUES),
        negative_share=_of_draws(drawn[:, 0]),
        **_model(pool, part),
    )


def adjusted(seen: Floats, confusion: Floats) -> Floats:
    """Shares [n, 3] of true labels under which those `seen` [n, 3] of the model's are likeliest, by `confusion` [n, 3, 3] as shares."""
    shares = np.full(seen.shape, 1 / seen.shape[-1])
    for _ in range(STEPS):
        ratio = seen / np.maximum(np.einsum("nj,njk->nk", shares, confusion), 1e-12)
        shares = shares * np.einsum("njk,nk->nj", confusion, ratio)
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def _confusions(counts: Counts, languages: Mapping[str, float], draws: int, rng: np.random.Generator) -> Floats:
    """Draws [draws, 3, 3] of the pool's confusion: of each language's, by its part; an unknown language errs like all together."""
    of = {language: np.asarray(each, dtype=np.float64) for language, each in counts.items()}
    whole = sum(of.values(), np.full((3, 3), 1 / 3))
    borrowed = BORROWED * whole / whole.sum(1, keepdims=True)
    found = np.zeros((draws, 3, 3))
    for language, part in languages.items():
        own = of[language] + borrowed if language in of else whole
        gamma = rng.standard_gamma(np.broadcast_to(own, found.shape))
        found += part * gamma / gamma.sum(-1, keepdims=True)
    return found


def _of_draws(drawn: Floats) -> Estimate:
    return Estimate(float(drawn.mean()), *figures.interval(drawn))


# ---- both ------------------------------------------------------------------------------------------------------------


def _voices(pool: Sequence[Heard]) -> tuple[Numbers, Floats]:
    """Of each post: its voice, a number from 0, and its part in the mean over voices."""
    names, voice = np.unique([heard.voice for heard in pool], return_inverse=True)
    return voice, 1 / np.bincount(voice)[voice] / len(names)


def _indicators(labels: Sequence[Label | None]) -> Floats:
    """[n, 3]: 1 at each label's place; none at all where it is None."""
    return np.array([[label == each for each in LABELS] for label in labels], dtype=np.float64)


def _model(pool: Sequence[Heard], part: Floats) -> dict[str, float]:
    """What the model says of the pool, as daily trends would."""
    value = np.array([heard.shares for heard in pool]) @ _VALUES
    return {"model_mean": float(part @ value), "model_negative_share": float(part @ [heard.label == "negative" for heard in pool])}
