"""What a rule is: one file that reads a series of days and says whether its condition holds on the last one.

`monitor/rules/<type>.py` is the rule of that type in config.yaml; it has one function, `check`. The promise: rules are
pure. They read no clock and no store and remember nothing, so the same days give the same verdict at every run; what
is remembered (how long, already told) is monitor/alert.py's.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, Protocol, cast

from monitor import config
from monitor.records import DailyTrend

Outcome = Literal["breach", "clear", "between", "no data"]

ENOUGH_DAYS = 5
"""A baseline of fewer days than this is none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one day: breach, clear (the recovery threshold is met), between the two, or no data.

    `value` is what was judged and `before` what it was before, in the rule's own unit; `low`..`high` is the day's 95 %
    interval where there is one. `reason` is a sentence for a person. `days` is how many days in a row it speaks for.
    """

    outcome: Outcome
    reason: str
    threshold: float
    authors: int
    posts: int
    value: float | None = None
    before: float | None = None
    low: float | None = None
    high: float | None = None
    days: int = 1


class Rule(Protocol):
    """What a file in this folder offers."""

    def check(self, history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
        """Judge the last day of `history`: consecutive UTC days, oldest first, a day without posts being a row of zeros.

        `began` is the first day of a breach that still goes on: a baseline ends before it, so that what has fallen
        for good does not become its own baseline.
        """


class Voices(NamedTuple):
    """A day's figures where there are any: `variance` is that of one voice, `effective` how many voices count as independent."""

    authors: int
    effective: float
    mean: float
    variance: float


def check(history: Sequence[DailyTrend], rule: config.Rule, *, began: dt.date | None = None) -> Verdict:
    """Let the rule of this type judge the last day of `history`, which is not empty (see `Rule.check`)."""
    return _rule(rule.type).check(history, rule, began)


@cache
def _rule(name: str) -> Rule:
    return cast(Rule, importlib.import_module(f"monitor.rules.{name}"))


def baseline(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None, *, judged: int = 1) -> list[DailyTrend]:
    """The `rule.baseline_days` days before the last `judged` ones, and before `began`."""
    end = history[-1].day - dt.timedelta(days=judged - 1)
    if began is not None:
        end = min(end, began)
    first = end - dt.timedelta(days=rule.baseline_days)
    return [day for day in history if first <= day.day < end]


def voices(day: DailyTrend) -> Voices | None:
    """The day's figures, or None when too few people spoke for any."""
    if not day.sufficient or day.mean is None or day.variance is None:
        return None
    return Voices(day.authors, day.effective or float(day.authors), day.mean, day.variance)


def no_data(day: DailyTrend, rule: config.Rule, why: str) -> Verdict:
    """The verdict on a day that cannot be judged."""
    return Verdict("no data", f"{day.day} cannot be judged: {why}.", rule.threshold, day.authors, day.posts)


def few(day: DailyTrend, rule: config.Rule) -> Verdict:
    """The verdict on a day on which too few people spoke."""
    return no_data(day, rule, f"{day.authors} voices, of which the rule needs {rule.min_authors}")


def shown(day: DailyTrend) -> str:
    """A day's mean with what must travel with it: `-0.31 on 2025-01-23 (23 voices, 95 % interval -0.49 to -0.13)`."""
    return f"{day.mean:+z.2f} on {day.day} ({day.authors} voices, 95 % interval {day.low:+z.2f} to {day.high:+z.2f})"


def beyond_line(day: DailyTrend, rule: config.Rule, sign: int, mean: float, bound: float, told: str) -> Verdict:
    """Whether a mean is under the line (`sign` 1) or over it (-1), and its one-sided `bound` too; `told` is the figure in words."""
    breach, clear = sign * bound < sign * rule.threshold, sign * mean >= sign * rule.recover
    outcome: Outcome = "breach" if breach else "clear" if clear else "between"
    reason = f"Sentiment is {told}; the line is {rule.threshold:+z.2f}"
    if outcome == "breach":
        side = "under" if sign > 0 else "over"
        reason += f", and the true mean is {side} {bound:+z.2f} with {rule.confidence * 100:.4g} % confidence"
    return Verdict(outcome, f"{reason}.", rule.threshold, day.authors, day.posts, mean, None, day.low, day.high)


def moved(day: DailyTrend, rule: config.Rule, sign: int, before: float, now: float, noise: float, past: str, told: str) -> Verdict:
    """Whether a mean is lower (`sign` 1) or higher (-1) than `before` by the threshold, and by more than chance makes (`noise`).

    `past` and `told` say in words what was before and what is now.
    """
    drop = sign * (before - now)
    word, other = ("lower", "higher") if sign > 0 else ("higher", "lower")
    outcome: Outcome = "breach" if drop >= rule.threshold and drop > noise else "clear" if drop <= rule.recover else "between"
    reason = (
        f"Sentiment went from {before:+z.2f} ({past}) to {told}: "
        f"{abs(drop):.2f} {word if drop > 0 else other}, where {rule.threshold:.2f} {word} is an alert"
    )
    if outcome == "breach":
        reason += f"; chance alone makes less than {noise:.2f} with {rule.confidence * 100:.4g} % confidence"
    return Verdict(outcome, f"{reason}.", rule.threshold, day.authors, day.posts, now, before, day.low, day.high)
