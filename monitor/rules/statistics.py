"""The few statistics that trends and rules share: the variance of a voice, how many voices count, a t quantile, the tails of a count.

The promise: a small group is never certain. Five voices that happen to agree get the interval of five voices, and a
count is compared with how much such counts have been going up and down, never with a bare mean. Pure functions; each
formula names its source.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist, fmean, variance

from monitor.records import Spread

PRIOR_DF = 2
"""How many voices' worth of weight the prior variance has."""

PRIOR_SD = 0.5
"""Standard deviation, on the scale [-1, 1], that voices on one team have before any of them is heard."""


def voice_variance(sample: float, voices: float) -> float:
    """The variance of one voice, from the sample variance of `voices` voices, shrunk toward PRIOR_SD squared.

    The posterior scale under a scaled-inverse-chi-square prior and a flat mean: Gelman et al., Bayesian Data Analysis,
    3rd edition, section 3.3. The mean then follows a t distribution with `degrees(voices)` degrees of freedom.
    """
    return ((voices - 1) * sample + PRIOR_DF * PRIOR_SD**2) / degrees(voices)


def degrees(voices: float) -> float:
    """Degrees of freedom of a mean over `voices` voices (see `voice_variance`)."""
    return voices - 1 + PRIOR_DF


PRIOR_CORRELATION, CORRELATION_DF = 0.15, 5
"""What two voices of one thread are held to have in common before any is heard (the intraclass correlation), and with how much weight."""


def pooled(days: Iterable[Spread]) -> list[float]:
    """What `correlation` takes, of these days; in another order they give the same, to the last bit."""
    return [math.fsum(sums) for sums in list(zip(*days, strict=True))[3:]]


def correlation(within_df: float, between_df: float, within_squares: float, between_squares: float, sizes: float) -> float:
    """The intraclass correlation in [0, 1] of voices in the same thread, shrunk toward PRIOR_CORRELATION, from sums over days (Spread).

    By a one-way analysis of variance within days (Donner, Int. Stat. Rev. 54 (1986) 67), so that moods of whole days are not in it.
    """
    known = min(within_df, between_df)
    if known <= 0 or within_squares + between_squares <= 0:
        return PRIOR_CORRELATION
    within, between = within_squares / within_df, between_squares / between_df
    found = (between - within) / (between + (sizes / between_df - 1) * within)
    return min(1.0, max(0.0, (known * found + CORRELATION_DF * PRIOR_CORRELATION) / (known + CORRELATION_DF)))


def evidence(voices: int, total: float, crowding: float, correlation: float) -> tuple[float, float]:
    """The variance of one voice, and how many voices that know nothing of each other are as much evidence as these; at most `voices`.

    The latter by the design effect of clusters (Kish, Survey Sampling, 1965, section 5.4). `total` and `crowding` are as in Spread.
    What all of a thread have in common shows less in `total` the fewer threads there are: its expectation is the variance times
    `voices` less the design effect.
    """
    effect = max(1.0, 1 - correlation + correlation * voices * crowding)
    free = max(0.5, voices - effect)
    return voice_variance(total / free, free + 1), voices / effect


def margin(variance: float, voices: float, confidence: float) -> float:
    """How far the one-sided bound of a mean lies from it. `variance` is that of one voice, as `voice_variance` gives it."""
    return t_quantile(confidence, max(2.0, degrees(voices))) * math.sqrt(variance / voices)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """Student's t: the value that is not exceeded with `probability` (in [0.5, 1)), for `df` of at least 2.

    G. W. Hill, Algorithm 396, Communications of the ACM 13 (1970) 619; good to six digits.
    """
    tails = 2 * (1 - probability)
    if df == 2:
        return math.sqrt(2 / (tails * (2 - tails)) - 2)
    a = 1 / (df - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * df
    y = (d * tails) ** (2 / df)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tails / 2)
        y = x * x
        if df < 5:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = math.expm1(a * ((((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x) ** 2)
    else:
        y = ((1 / (((df + 6) / (df * y) - 0.089 * d - 0.822) * (df + 2) * 3) + 0.5 / (df + 4)) * y - 1) * (df + 1) / (df + 2) + 1 / y
    return math.sqrt(df * y)


def count_tails(count: int, past: Sequence[int], days: int = 1) -> tuple[float, float]:
    """How likely a sum over `days` days is to be at most, and at least, `count`, when days go on as in `past` (at least two).

    A negative binomial with the mean and the day-to-day variance of `past` (moments: Bliss & Fisher, Biometrics 9
    (1953) 176), Poisson where the days vary no more than that. The variance is widened by 1 + days/len(past), since the
    mean is itself only estimated from those days. Fewer than one a day is taken as one.
    """
    mean = days * max(fmean(past), 1.0)
    spread = max(days * variance(past), mean) * (1 + days / len(past))
    size = mean**2 / (spread - mean)
    share = mean / (size + mean)

    def chance(k: int) -> float:
        log = math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1)
        return math.exp(log + size * math.log1p(-share) + k * math.log(share))

    below = math.fsum(map(chance, range(count)))
    return min(1.0, below + chance(count)), max(0.0, 1 - below)
