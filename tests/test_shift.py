"""The rule `shift` against its own definition, written out without any haste."""

from __future__ import annotations

import datetime as dt
import math
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Rule
from monitor.records import DailyTrend
from monitor.rules import shift

FIRST = dt.date(2025, 1, 1)


def a_day(n: int, mean: float | None, effective: float = 10.0, variance: float = 0.2) -> DailyTrend:
    if mean is None:
        return DailyTrend(FIRST + dt.timedelta(days=n), "t", "*", "m", 2, 2, 1, False)
    figures = (mean, mean - 0.1, mean + 0.1, 0.3, 0.4, 0.3, variance, effective)
    return DailyTrend(FIRST + dt.timedelta(days=n), "t", "*", "m", 22, 20, 12, True, *figures)


def likeliest(history: list[DailyTrend], rule: Rule) -> tuple[dt.date, float, float] | None:
    """(first day, how much lower, in standard errors) of the turn that is most certain, each tried by its definition."""
    days = [one for one in history if one.sufficient and (history[-1].day - one.day).days <= rule.baseline_days + shift.REACH]
    freedom = [max((one.effective or 0) - 1, 0) for one in days]
    pooled = sum(f * (one.variance or 0) for f, one in zip(freedom, days, strict=True)) / max(sum(freedom), 1)
    noise = [pooled / (one.effective or 1) for one in days]
    steps = [((days[n].mean or 0) - (days[n - 1].mean or 0)) ** 2 - noise[n] - noise[n - 1] for n in range(1, len(days))]
    between = (max(0, sum(steps) / 2) + shift.DAYS_DF * shift.DAYS_SD**2) / (len(steps) + shift.DAYS_DF)
    weights = {one.day: 1 / (between + error) for one, error in zip(days, noise, strict=True)}
    found = None
    for n, turn in enumerate(days):
        before = [one for one in days[:n] if (turn.day - one.day).days <= rule.baseline_days]
        if (history[-1].day - turn.day).days >= shift.REACH or len(before) < shift.LEAST:
            continue
        (low, a), (high, b) = (
            (math.fsum(weights[one.day] * (one.mean or 0) for one in part) / (w := math.fsum(weights[one.day] for one in part)), w)
            for part in (days[n:], before)
        )
        certain = (high - low) / math.sqrt(1 / a + 1 / b)
        if found is None or certain > found[2] + 1e-9:
            found = (turn.day, high - low, certain)
    return found


MEANS = st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=12, max_size=90)


@settings(max_examples=150, deadline=None)
@given(MEANS, st.floats(-1, 1), st.integers(0, 40), st.sampled_from([14, 28, 84]))
def test_it_finds_the_turn_that_its_definition_names(means: list[float | None], last: float, fallen: int, baseline_days: int) -> None:
    """Whatever the days: the same turn, the same fall, and a breach exactly where both are great enough."""
    values = [one if one is None or n < len(means) - fallen else one - 0.6 for n, one in enumerate(means)]
    history = [a_day(n, value, 5 + n % 7, 0.1 + 0.05 * (n % 3)) for n, value in enumerate([*values, last])]
    rule = Rule(id="x", type="shift", baseline_days=baseline_days)
    found, verdict = likeliest(history, rule), shift.check(history, rule, None)
    spoken = sum(one.sufficient and (history[-1].day - one.day).days <= baseline_days + shift.REACH for one in history)
    if found is None or spoken <= shift.LEAST:
        assert verdict.outcome == "no data"
        return
    turn, fall, certain = found
    assert verdict.days == (history[-1].day - turn).days + 1
    assert (verdict.before or 0) - (verdict.value or 0) == pytest.approx(fall, abs=1e-9)
    assert (verdict.outcome == "breach") == (certain > NormalDist().inv_cdf(rule.confidence) and fall >= rule.threshold)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 58), st.floats(-1, 1))
def test_what_rules_share_is_of_these_very_days(changed: int, mean: float) -> None:
    """A history that differs from the one judged just before on a single day, whichever, is judged by its own days."""
    history = [a_day(n, 0.3 if n % 5 else 0.2) for n in range(60)]
    late = [a_day(changed, mean) if n == changed else one for n, one in enumerate(history)]
    for days in (history, late, history):
        verdict, found = shift.check(days, Rule(id="x", type="shift"), None), likeliest(days, Rule(id="x", type="shift"))
        assert found and (verdict.before or 0) - (verdict.value or 0) == pytest.approx(found[1], abs=1e-9)


def test_days_too_far_apart_for_any_baseline_are_no_data() -> None:
    """Ten days long ago and one now are no baseline of four weeks: the rule says so in place of failing."""
    history = [a_day(n, 0.1 if n < 10 or n == 60 else None) for n in range(61)]
    verdict = shift.check(history, Rule(id="x", type="shift", baseline_days=28), None)
    assert verdict.outcome == "no data" and "10 of 28 days" in verdict.reason
