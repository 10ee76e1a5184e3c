"""How often an explanation sees what is not there: terms, changes of level and turns in quiet series; and how surely those that are.

Simulated and seeded; 95 % intervals by Wilson's formula, and for means by the normal one. Prints; never fails on a figure.
"""

from __future__ import annotations

import datetime as dt
import math
import time

import numpy as np
import pytest

from monitor.context import change_points
from monitor.decompose import difference
from monitor.explain import explain
from monitor.records import DailyTrend
from monitor.rules.statistics import margin, voice_variance
from monitor.store import Spoken
from monitor.terms import heard_more

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

FIRST = dt.date(2024, 1, 1)
DAY_MOOD, THREAD_MOOD, VOICE = 0.08, 0.2, 0.45
"""Standard deviations of what a day, a thread and a person add to the mean."""


def wilson(hits: int, tries: int) -> str:
    share, z = hits / tries, 1.96
    middle, reach = share + z * z / (2 * tries), z * math.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))
    whole = 1 + z * z / tries
    return f"{100 * share:.1f} % ({100 * (middle - reach) / whole:.1f} to {100 * (middle + reach) / whole:.1f})"


def day_of(draw: np.random.Generator, n: int, voices: int, mean: float, mood: float = DAY_MOOD) -> list[Spoken]:
    """A day's posts: about `voices` people out of ten times as many, each with a mind of his own, in threads with theirs."""
    count, day = int(draw.poisson(voices)), (FIRST + dt.timedelta(days=n)).isoformat()
    people = draw.choice(10 * voices, size=count, replace=False)
    threads = np.repeat(np.arange(count), draw.geometric(1 / 3, count))[:count] if count else []
    moods = draw.normal(0, THREAD_MOOD, count)
    base = mean + draw.normal(0, mood)
    own = np.random.default_rng(7).normal(0, VOICE / 2, 10 * voices)
    return [
        Spoken(n, day, "f", f"{who}", f"{n} {t}", float(np.clip(base + own[who] + moods[t] + draw.normal(0, VOICE), -1, 1)), 1)
        for who, t in zip(people, threads, strict=True)
    ]


def test_terms_of_a_quiet_day() -> None:
    """Words drawn by Zipf's law, 30 a person: how many show as heard more though nothing is, and how often a new one is seen."""
    draw = np.random.default_rng(1)
    weights = 1 / np.arange(1, 8001) ** 1.05
    words = np.array(["".join(chr(97 + int(c)) for c in f"{n:04d}") for n in range(8000)])

    def said(days: range, people: int, extra: float = 0.0) -> list[tuple[str, str, str]]:
        return [
            (str(n), f"{n} {k}", " ".join(draw.choice(words, 30, p=weights / weights.sum())) + (" panic" if draw.random() < extra else ""))
            for n in days
            for k in range(people)
        ]

    for people in (20, 100):
        rounds = 60 if people == 20 else 20
        counts, seen = [], 0
        for _ in range(rounds):
            before, now = said(range(28), people), said(range(28, 29), people, extra=0.4)
            found = [term.term for term in heard_more(now, before, 5, 99)]
            counts.append(len([term for term in found if term != "panic"]))
            seen += "panic" in found
        mean, reach = np.mean(counts), 1.96 * np.std(counts, ddof=1) / math.sqrt(rounds)
        print(
            f"\n{people} people: {mean:.2f} terms by chance (+- {reach:.2f}); a new word of 40 % of them seen {wilson(seen, rounds)}",
            end="",
        )


def test_change_points_of_quiet_and_of_turning_series() -> None:
    """False changes per series-year, and how often, how early and how near a lasting fall is dated."""
    draw = np.random.default_rng(2)

    def trends(days: int, voices: int, fall: float, at: int) -> list[DailyTrend]:
        rows = []
        for n in range(days):
            posts = day_of(draw, n, voices, 0.1 - (fall if n >= at else 0))
            values = np.array([post.value for post in posts])
            day, count = FIRST + dt.timedelta(days=n), len(values)
            if count < 5:
                rows.append(DailyTrend(day, "t", "*", "m", count, count, count, False))
                continue
            variance = voice_variance(float(values.var(ddof=1)), count)
            reach, mean = margin(variance, count, 0.975), float(values.mean())
            rows.append(DailyTrend(day, "t", "*", "m", count, count, count, True, mean, mean - reach, mean + reach, 0, 1, 0, variance))
        return rows

    for voices in (7, 20, 100):
        false = [len(change_points(trends(365, voices, 0, 0))) for _ in range(60)]
        print(
            f"\n{voices} voices: {np.mean(false):.2f} false changes a series-year (+- {1.96 * np.std(false, ddof=1) / math.sqrt(60):.2f})",
            end="",
        )
        for fall in (0.25, 0.5):
            near = 0
            for _ in range(60):
                found = change_points(trends(90, voices, fall, 60))
                near += any(abs((point.day - FIRST).days - 60) <= 2 for point in found)
            print(f"; fall of {fall} dated within 2 days {wilson(near, 60)}", end="")


@pytest.mark.parametrize("mood", [0.0, DAY_MOOD])
def test_intervals_of_a_change(mood: float) -> None:
    """How often the 95 % interval of a change holds the true one, people and threads being of one mind, days too or not."""
    draw = np.random.default_rng(3)
    for voices in (7, 20, 100):
        held, tries = 0, 300
        for _ in range(tries):
            before = [post for n in range(28) for post in day_of(draw, n, voices, 0.1, mood)]
            now = day_of(draw, 28, voices, -0.1, mood)
            found = difference(now, before) if now else None
            held += found is not None and found.low <= -0.2 <= found.high
        print(f"\n{voices} voices, day mood {mood}: {wilson(held, tries)}", end="")


def test_time_of_an_explanation() -> None:
    """One explanation of a day with 400 people against four weeks of them, 100 words each."""
    draw = np.random.default_rng(4)
    posts = sorted((post for n in range(29) for post in day_of(draw, n, 400, 0.1)), key=lambda post: (post.day, post.voice))
    vocabulary = ["".join(draw.choice(list("abcdefghij"), 6)) for _ in range(8000)]
    texts = {id(post): " ".join(draw.choice(vocabulary, 100)) for post in posts}
    begun = time.perf_counter()
    explain(posts, lambda some: ((post, texts[id(post)]) for post in some), since=FIRST + dt.timedelta(days=28), min_authors=5)
    print(f"\n{len(posts)} posts explained in {time.perf_counter() - begun:.2f} s")
