"""Figures with the model's own errors taken out: by a random sample that was read, else by what the model mistakes on held-out posts.

The promise: each person counts once, a figure of fewer people than `min_authors` is none, and the interval holds what the
method does not know. The one by a sample is valid however wrong the model is; the one without is the weaker, since it takes
for granted that the model errs here as it did there. Pure and seeded: the same posts
give the same figure, to the last bit. monitor/weeks.py takes them from the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.evaluate import figures
from monitor.evaluate.figures import Floats
from monitor.records import Label
from monitor.rules.statistics import t_quantile
from monitor.sentiment.confusion import SURE

DRAWS = 500
"""From the posterior of a figure without a sample."""

CLIMB, WANDER = 60, 40
"""Steps toward the mode of such a posterior, and within it."""

BORROWED = 10
"""Pairs' worth of weight that the other languages' confusions have in a language's own, per label."""

LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")
_VALUES = np.array([-1.0, 0.0, 1.0])

Numbers = NDArray[np.intp]

Counts = Mapping[str, Sequence[Sequence[int]]]
"""Confusion by language: a row for each label that readers give, in the order of LABELS, a column for each outcome (`outcomes`)."""


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


@dataclass(frozen=True, slots=True)
class Pool:
    """Posts, a place in each array for each. `voice`, `thread`, `language` and `reader` are numbers from 0; `chance` is 0 for None.

    `shares` [n, 3] are the model's probabilities; `label` and `said` [n, 3] are 1 at the label's place, `said` nowhere if it was not read.
    """

    voice: Numbers
    thread: Numbers
    language: Numbers
    reader: Numbers
    shares: Floats
    label: Floats
    said: Floats
    chance: Floats
    languages: tuple[str, ...]
    readers: tuple[str, ...]

    @classmethod
    def of(cls, posts: Sequence[Heard]) -> Pool:
        """These posts, in this order."""
        if not posts:
            return cls.of_columns((), (), (), np.zeros((0, 3)), (), (), (), ())
        voice, thread, language, shares, label, chance, said, reader = zip(*posts, strict=True)
        return cls.of_columns(voice, thread, language, np.array(shares, dtype=np.float64), label, chance, said, reader)

    @classmethod
    def of_columns(
        cls, voice: Sequence[str], thread: Sequence[str], language: Sequence[str | None], shares: Floats, label: Sequence[Label],
        chance: Sequence[float | None], said: Sequence[Label | None], reader: Sequence[str | None],
    ) -> Pool:  # fmt: skip
        """The same of the fields of `Heard`, each of all posts."""
        languages, language_of = _numbered([each or "" for each in language])
        readers, reader_of = _numbered([each or "" for each in reader])
        return cls(
            _numbered(voice)[1], _numbered(thread)[1], language_of, reader_of, shares, _places(label), _places(said),
            np.array([each or 0.0 for each in chance]), languages, readers,
        )  # fmt: skip

    def where(self, chosen: NDArray[np.bool_] | slice) -> Pool:
        """Some of the posts, numbered as if there were no others: so are sums and draws, whatever they were read with."""
        kept = {name: getattr(self, name)[chosen] for name in ("shares", "label", "said", "chance")}
        for name in ("voice", "thread"):
            kept[name] = np.unique(getattr(self, name)[chosen], return_inverse=True)[1]
        for name, names in (("language", self.languages), ("reader", self.readers)):
            there, kept[name] = np.unique(getattr(self, name)[chosen], return_inverse=True)
            kept[f"{name}s"] = tuple(names[number] for number in there)
        return replace(self, **kept)

    @property
    def part(self) -> Floats:
        """Of each post, its part in the mean over voices: the voices count the same, and so do the posts of each."""
        posts = np.bincount(self.voice)
        return np.asarray(1 / posts[self.voice] / max(1, len(posts)))

    def voices(self) -> int:
        """How many different people speak."""
        return int(self.voice.max(initial=-1)) + 1


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """Mean in [-1, 1] and negative share in [0, 1] of the `authors` of a pool of `posts`, with the model's errors taken out.

    `method` is `sample` or, the weaker, `confusion`. `read` is how many posts of the sample were read, by `readers`.
    `model_mean` and `model_negative_share` are what the model says of the same people.
    """

    method: Literal["sample", "confusion"]
    posts: int
    authors: int
    read: int
    readers: tuple[str, ...]
    mean: Estimate
    negative_share: Estimate
    model_mean: float
    model_negative_share: float


def corrected(pool: Pool, held_out: Sequence[Counts], *, min_authors: int) -> Corrected | None:
    """The best figure that `pool` allows: by its sample, else by the model's confusions, else None."""
    return by_sample(pool, min_authors=min_authors) or by_confusion(pool, held_out, min_authors=min_authors)


# ---- with a sample ---------------------------------------------------------------------------------------------------


def by_sample(pool: Pool, *, min_authors: int) -> Corrected | None:
    """Prediction-powered inference; None where fewer than `min_authors` people were read.

    Angelopoulos et al., Science 382 (2023) 669, with the power tuning of PPI++ (Angelopoulos, Duchi & Zrnic, arXiv 2311.01453),
    for clusters drawn with unequal probabilities (Horvitz & Thompson 1952, in Hájek's ratio form). The pool is what could have
    been drawn: posts without a `chance` are not in the figure.
    """
    pool = pool.where(pool.chance > 0)
    read = pool.said.any(axis=1)
    if len(np.unique(pool.voice[read])) < min_authors:
        return None
    part = pool.part
    weight = np.where(read, part / pool.chance, 0.0)
    design = _Design(_Clusters.of(pool), part, weight / weight.sum())
    return Corrected(
        "sample",
        posts=len(pool.voice),
        authors=pool.voices(),
        read=int(read.sum()),
        readers=tuple(pool.readers[number] for number in np.unique(pool.reader[read])),
        mean=design.estimate(pool.shares @ _VALUES, pool.said @ _VALUES, -1.0, 1.0),
        negative_share=design.estimate(pool.shares[:, 0], pool.said[:, 0], 0.0, 1.0),
        model_mean=float(part @ pool.shares @ _VALUES),
        model_negative_share=float(part @ pool.label[:, 0]),
    )


@dataclass(frozen=True, slots=True)
class _Design:
    """Per post: its voice and thread, its part in the pool's mean, and in the sample's, which is 0 if it was not read."""

    clusters: _Clusters
    pool: Floats
    sample: Floats

    def estimate(self, model: Floats, said: Floats, least: float, most: float) -> Estimate:
        """The mean over voices of what readers say (`said`, in `least`..`most`), given what the model says of all posts.

        It is the sample's mean, moved by `power` times what the model finds the sample to differ from the pool. Each post's
        influence on it is linear in the power, so the power of least variance is a ratio of sums over voices. With a
        power that does not pay for having been estimated the sample stands alone.
        """
        everywhere, here, truth = float(self.pool @ model), float(self.sample @ model), float(self.sample @ said)
        reading = self.sample * (said - truth)
        moving = self.pool * (model - everywhere) - self.sample * (model - here)
        alone, moved = (np.bincount(self.clusters.voice, each) for each in (reading, moving))
        power = float(np.clip(-(alone @ moved) / (moved @ moved), 0, 1)) if moved.any() else 0.0
        found = [self._interval(truth, reading, least, most, estimated=0)]
        if power:
            found.append(self._interval(truth + power * (everywhere - here), reading + power * moving, least, most, estimated=1))
        return min(found, key=lambda each: each.high - each.low)

    def _interval(self, value: float, influence: Floats, least: float, most: float, *, estimated: int) -> Estimate:
        """95 % by Student's t, at Kish's effective number of the voices that were read.

        An `estimated` power costs what it costs a regression estimator (Cochran, Sampling Techniques, 1977, section 7.7). Two more
        voices at each end see to it that a few who agree are not certain (Agresti & Coull, Am. Stat. 52 (1998) 119).
        """
        read = np.bincount(self.clusters.voice, self.sample)
        n = 1 / float(read @ read)
        left = max(1.0, n - 1 - estimated)
        of_one = self.clusters.variance(influence) * n * n / left * (1 + estimated / left)
        of_one = (n * of_one + 2 * (value - least) ** 2 + 2 * (value - most) ** 2) / (n + 4)
        reach = t_quantile(0.975, max(2.0, left)) * math.sqrt(of_one / n)
        return Estimate(*(min(most, max(least, each)) for each in (value, value - reach, value + reach)))


class _Clusters(NamedTuple):
    """Per post: its voice, its thread, and the two together (numbers from 0)."""

    voice: Numbers
    thread: Numbers
    both: Numbers

    @classmethod
    def of(cls, pool: Pool) -> _Clusters:
        both = pool.voice * (int(pool.thread.max()) + 1) + pool.thread
        return cls(pool.voice, pool.thread, np.unique(both, return_inverse=True)[1])

    def variance(self, influence: Floats) -> float:
        """Of a sum of influences of posts, which voices and threads share (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29 (2011) 238).

        At least that of independent voices.
        """
        voices, threads, crossed = (float((np.bincount(by, influence) ** 2).sum()) for by in self)
        return voices + max(0.0, threads - crossed)


# ---- without one -----------------------------------------------------------------------------------------------------


def by_confusion(pool: Pool, held_out: Sequence[Counts], *, min_authors: int, seed: int = 0) -> Corrected | None:
    """What people say, by how likely each label is to come out as the model's: Bayesian quantification; None where that is not known.

    Adjusted counts (Forman, Data Min. Knowl. Disc. 17 (2008) 164) with a flat prior on the shares, and the confusion's own
    uncertainty (Ziegler & Czyż, Trans. Mach. Learn. Res. 2024): each draw takes one of the sets of texts that `held_out` was counted on,
    since nobody knows which the pool is more like, rows of its confusion from their Dirichlet posterior, and shares from theirs.
    The figure is the mean of the draws. Voices in threads that agree are fewer, by their design effect.
    """
    held_out = [counts for counts in held_out if counts]
    voices = pool.voices()
    if voices < min_authors or not held_out:
        return None
    part = pool.part
    told = outcomes(pool, len(next(iter(held_out[0].values()))[0]))
    seen = part @ told
    clusters = _Clusters.of(pool)
    spread = sum(clusters.variance(part * (each - share)) for each, share in zip(told.T, seen, strict=True))
    effect = max(1.0, spread * voices / max(1e-9, float(seen @ (1 - seen))))
    languages = dict(zip(pool.languages, np.bincount(pool.language, part, len(pool.languages)).tolist(), strict=True))
    rng = np.random.default_rng(seed)
    confusion = np.concatenate([_confusions(counts, languages, -(-DRAWS // len(held_out)), rng) for counts in held_out])
    drawn = shares_behind(np.rint(seen * voices / effect).astype(np.int64), confusion, rng)
    return Corrected(
        "confusion",
        posts=len(pool.voice),
        authors=voices,
        read=0,
        readers=(),
        mean=_of_draws(drawn @ _VALUES),
        negative_share=_of_draws(drawn[:, 0]),
        model_mean=float(part @ pool.shares @ _VALUES),
        model_negative_share=float(part @ pool.label[:, 0]),
    )


def outcomes(pool: Pool, count: int) -> Floats:
    """[n, count]: 1 at what the model made of each post. Of three outcomes these are its labels; of six each of them, unsure and sure."""
    if count == len(LABELS):
        return pool.label
    sure = (pool.shares * pool.label).sum(1) >= SURE
    return np.stack([pool.label * ~sure[:, None], pool.label * sure[:, None]], axis=2).reshape(-1, count)


def shares_behind(counts: NDArray[np.int64], confusion: Floats, rng: np.random.Generator) -> Floats:
    """For each of `confusion` [n, 3, k] (true label by outcome, shares in rows) a draw [n, 3] of the true shares behind `counts` [k].

    From the posterior under a flat prior: to its mode by expectation maximisation (Saerens, Latinne & Decaestecker, Neural Comput. 14
    (2002) 21), and on by data augmentation, true labels given shares and shares given labels in turn (Tanner & Wong 1987).
    """
    shares = np.full((len(confusion), 3), 1 / 3)
    for _ in range(CLIMB):
        ratio = counts / np.maximum(np.einsum("nj,njk->nk", shares, confusion), 1e-12)
        shares = shares * np.einsum("njk,nk->nj", confusion, ratio) / counts.sum()
    for _ in range(WANDER):
        behind = np.maximum(shares[:, :, None] * confusion, 1e-12).transpose(0, 2, 1)
        labels = rng.multinomial(counts, behind / behind.sum(-1, keepdims=True))
        gamma = rng.standard_gamma(1 + labels.sum(1))
        shares = gamma / gamma.sum(-1, keepdims=True)
    return np.asarray(shares)


def _confusions(counts: Counts, languages: Mapping[str, float], draws: int, rng: np.random.Generator) -> Floats:
    """Draws [draws, 3, k] of the pool's confusion: of each language's, by its part; an unknown language errs like all together."""
    of = {language: np.asarray(each, dtype=np.float64) for language, each in counts.items()}
    whole = np.sum(list(of.values()), axis=0) + 1 / 3
    borrowed = BORROWED * whole / whole.sum(1, keepdims=True)
    found = np.zeros((draws, *whole.shape))
    for language, part in languages.items():
        own = of[language] + borrowed if language in of else whole
        gamma = rng.standard_gamma(np.broadcast_to(own, found.shape))
        found += part * gamma / gamma.sum(-1, keepdims=True)
    return found


def _of_draws(drawn: Floats) -> Estimate:
    return Estimate(float(drawn.mean()), *figures.interval(drawn))


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _numbered(names: Sequence[str]) -> tuple[tuple[str, ...], Numbers]:
    """The different names in order, and each one's number."""
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return tuple(numbers), np.array([numbers[name] for name in names], dtype=np.intp)


def _places(labels: Sequence[Label | None]) -> Floats:
    """[n, 3]: 1 at each label's place; none at all where it is None."""
    rows = {label: tuple(float(label == each) for each in LABELS) for label in (*LABELS, None)}
    return np.array([rows[label] for label in labels], dtype=np.float64).reshape(-1, 3)
