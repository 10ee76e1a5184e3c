"""A difference of two means, taken apart: what each group has to do with it, and how much of it is chance.

The unit is a person's day, as in the daily trend: all that a person writes on a day has the weight 1 together. The promise: the
parts sum to the whole. Pure functions over `store.Spoken`; each formula names its source.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, variance
from typing import NamedTuple

from monitor.rules.drop import DAYS_DF, DAYS_SD
from monitor.rules.statistics import PRIOR_DF, PRIOR_SD, degrees, t_quantile
from monitor.store import Spoken

Key = Callable[[Spoken], str]


@dataclass(slots=True)
class Cell:
    """Some posts: their weight in people's days, the sum of their values so weighted, and whose they are."""

    weight: float = 0.0
    total: float = 0.0
    voices: set[str] = field(default_factory=set)

    @property
    def mean(self) -> float:
        return self.total / self.weight


class Difference(NamedTuple):
    """`mean` - `before` = `change`, with its 95 % interval low..high."""

    mean: float
    before: float
    change: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def voice(post: Spoken) -> str:
    return post.voice


def thread(post: Spoken) -> str:
    return post.thread


def weighed(posts: Sequence[Spoken]) -> Iterator[tuple[Spoken, float]]:
    """Each post with its weight: 1 by the number of posts that its author wrote on its day."""
    count = Counter((post.day, post.voice) for post in posts)
    for post in posts:
        yield post, 1 / count[post.day, post.voice]


def cells(posts: Sequence[Spoken], key: Key) -> dict[str, Cell]:
    """The posts by what `key` says of each."""
    found: dict[str, Cell] = defaultdict(Cell)
    for post, weight in weighed(posts):
        cell = found[key(post)]
        cell.weight += weight
        cell.total += weight * post.value
        cell.voices.add(post.voice)
    return found


def shares(found: Mapping[str, Cell]) -> dict[str, tuple[float, float]]:
    """(share of the weight, mean) of each cell."""
    whole = math.fsum(cell.weight for cell in found.values())
    return {group: (cell.weight / whole, cell.mean) for group, cell in found.items()}


def kitagawa(before: Mapping[str, tuple[float, float]], now: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """A change of a mean split by group into mood (the group's own mean moved) and mix (its share did): (mood, mix) of each.

    Groups map to (share, mean); shares sum to 1. Kitagawa, J. Am. Stat. Assoc. 50 (1955) 1168: each difference is weighted
    by the middle of the other factor. Mix is told against the middle of the two overall means, which leaves its sum as
    it is. A group that is new or gone has no mean on the other side: all of it is mix.
    """
    middle = math.fsum(share * mean for share, mean in (*before.values(), *now.values())) / 2
    found = {}
    for group in {**before, **now}:
        old_share, old = before.get(group) or (0.0, now[group][1])
        share, mean = now.get(group) or (0.0, old)
        found[group] = (share + old_share) / 2 * (mean - old), (share - old_share) * ((mean + old) / 2 - middle)
    return found


def difference(now: Sequence[Spoken], before: Sequence[Spoken]) -> Difference:
    """The means of two sets of posts, neither empty. The interval is that of who speaks, and of how days differ anyhow.

    Degrees of freedom of the sum of the errors: Satterthwaite, Biometrics Bulletin 2 (1946) 110.
    """
    (mean, error, df), (old, old_error, old_df) = (_mean(posts) for posts in (now, before))
    moods, moods_df = _day_to_day(before)
    days = moods * (_squares(now) + _squares(before))
    whole = error + old_error + days
    freedom = whole**2 / (error**2 / df + old_error**2 / old_df + days**2 / moods_df)
    reach = t_quantile(0.975, freedom) * math.sqrt(whole)
    return Difference(mean, old, mean - old, mean - old - reach, mean - old + reach)


def _mean(posts: Sequence[Spoken]) -> tuple[float, float, float]:
    """The mean, the variance of that mean, and its degrees of freedom.

    What one person says is alike on all days, and so is what several say in one thread: the variance is that of a ratio
    of sums, clustered both ways (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29 (2011) 238), and never less than that over
    people, shrunk as statistics.voice_variance is, and the same where each of them speaks on one day.
    """
    weights = list(weighed(posts))
    whole = math.fsum(weight for _, weight in weights)
    mean = math.fsum(weight * post.value for post, weight in weights) / whole
    people, threads, both = (_clusters(weights, mean, key) for key in (voice, thread, lambda post: f"{post.voice} {post.thread}"))
    prior = PRIOR_DF * PRIOR_SD**2 * fmean(weight**2 for weight, _ in people)
    square = (math.fsum(error**2 for _, error in people) + prior) * len(people) / degrees(len(people))
    more = math.fsum(error**2 for _, error in threads) - math.fsum(error**2 for _, error in both)
    if len(threads) > 1 and more > 0:
        return mean, (square + more * len(threads) / (len(threads) - 1)) / whole**2, degrees(min(len(people), len(threads)))
    return mean, square / whole**2, degrees(len(people))


def _day_to_day(posts: Sequence[Spoken]) -> tuple[float, int]:
    """The variance by which days differ beyond who speaks, and its degrees of freedom; shrunk as rules/drop.py does."""
    of_day: dict[str, list[Spoken]] = defaultdict(list)
    for post in posts:
        of_day[post.day].append(post)
    days = [_mean(day) for day in of_day.values()]
    known = len(days) - 1
    found = max(0.0, variance([mean for mean, *_ in days]) - fmean(error for _, error, _ in days)) if known else 0.0
    return (known * found + DAYS_DF * DAYS_SD**2) / (known + DAYS_DF), known + DAYS_DF


def _squares(posts: Sequence[Spoken]) -> float:
    """The sum of the squared shares of days: one by their number where all weigh the same."""
    people = Counter(day for day, _ in {(post.day, post.voice) for post in posts})
    return math.fsum(count**2 for count in people.values()) / people.total() ** 2


def _clusters(weights: Sequence[tuple[Spoken, float]], mean: float, key: Key) -> list[tuple[float, float]]:
    """(weight, sum of weighted deviations from the mean) of each cluster."""
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for post, weight in weights:
        whole, error = found[key(post)]
        found[key(post)] = whole + weight, error + weight * (post.value - mean)
    return list(found.values())
