"""What rules with `figure: corrected` have in common: the corrected figures of weeks in place of those of days.

Each day ends a week, and two of these share days unless seven lie between them: what a week is compared with are the weeks that end 7,
14, 21, ... days before it (before the breach began, while one goes on), by the same method, since one method is not as far off
as the other. How sure a figure is says its stored interval. Without a sample that holds what the confusion leaves
open, which is much the same for every week and so mostly cancels in their difference; it is counted in full in both, and
is not thought to shrink in a mean over weeks: such a rule is rather late than wrong. Readers of samples, people or models, are taken
to read alike.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from statistics import fmean, variance

from monitor import config
from monitor.records import CorrectedWeek, DailyTrend
from monitor.rules import Outcome, Verdict, beyond_line, few, moved, no_data
from monitor.rules.statistics import t_quantile

WEEK = dt.timedelta(days=7)

ENOUGH_WEEKS = 3
"""A baseline of fewer weeks than this is none."""

WEEKS_DF, WEEKS_SD = 10, 0.05
"""What is held of the week-to-week standard deviation before any week is known, and how many weeks' worth of weight that has."""

_CORRECTED = "(corrected by "

_NORMAL = 1e6
"""Degrees of freedom of an interval that is none of Student's."""


def beyond(day: DailyTrend, rule: config.Rule, sign: int) -> Verdict:
    """Whether the week to `day` is under the line (`sign` 1) or over it (-1), and not by chance."""
    week = _judged(day, rule)
    if isinstance(week, Verdict):
        return week
    mean = week.mean or 0.0
    bound = mean + sign * t_quantile(rule.confidence, _degrees(week)) * _error(week)
    return beyond_line(week, rule, sign, mean, bound, shown(week))


def turned(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None, sign: int) -> Verdict:
    """Whether the last week is lower (`sign` 1) or higher (-1) than the weeks before it, by more than weeks differ anyway.

    The variance of that difference is the week's own, that of the mean of those before, and that between weeks (moments, as far as the
    intervals do not explain it, shrunk toward WEEKS_SD squared); its degrees of freedom are Satterthwaite's, as in drop.py.
    """
    compared = _compared(history, rule, began)
    if isinstance(compared, Verdict):
        return compared
    week, past = compared
    now, means, errors = week.mean or 0.0, [each.mean or 0.0 for each in past], [_error(each) for each in past]
    between = max(0.0, variance(means) - fmean(error**2 for error in errors))
    weeks_df = len(past) - 1 + WEEKS_DF
    weekly = ((len(past) - 1) * between + WEEKS_DF * WEEKS_SD**2) / weeks_df
    alike = week.method == "confusion"
    parts = (
        (weekly * (1 + 1 / len(past)), weeks_df),
        (fmean(errors) ** 2 if alike else sum(error**2 for error in errors) / len(past) ** 2, sum(map(_degrees, past))),
        (_error(week) ** 2, _degrees(week)),
    )
    total = sum(part for part, _ in parts)
    df = total**2 / sum(part**2 / df for part, df in parts)
    before, noise = fmean(means), t_quantile(rule.confidence, df) * math.sqrt(total)
    return moved(week, rule, sign, before, now, noise, f"corrected mean of {_span(past)}", shown(week))


def overtaken(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Whether the last week's difference (`difference`) is above the line, and not by chance, which that of the weeks before was not."""
    compared = _compared(history, rule, began)
    if isinstance(compared, Verdict):
        return compared
    week, past = compared
    now, usual = week.mean or 0.0, fmean(each.mean or 0.0 for each in past)
    least = now - t_quantile(rule.confidence, _degrees(week)) * _error(week)
    breach = least > rule.threshold and usual <= rule.threshold
    outcome: Outcome = "breach" if breach else "clear" if now <= rule.recover else "between"
    reason = (
        f"What sentiment is above that of {rule.against} was {usual:+z.2f} (corrected mean of {_span(past)}) and is {shown(week)}; "
        f"more than {rule.threshold:+z.2f} is an alert"
    )
    if outcome == "breach":
        reason += f", and it is above {least:+z.2f} with {rule.confidence * 100:.4g} % confidence"
    return Verdict(outcome, f"{reason}.", rule.threshold, week.authors, week.posts, now, usual, week.low, week.high)


def difference(one: CorrectedWeek, other: CorrectedWeek) -> DailyTrend:
    """What the week of `one` is above that of `other`, in [-2, 2]; none where they are corrected by different methods.

    `authors` and `read` are the smaller numbers. The interval is that of independent errors, though what is alike in both cancels.
    """
    authors, posts = min(one.authors, other.authors), one.posts + other.posts
    if one.method != other.method:
        return DailyTrend(one.day, one.team, one.source, one.model, posts, authors, 0, sufficient=False)
    mean, reach = (one.mean or 0.0) - (other.mean or 0.0), math.hypot(_reach(one), _reach(other))
    return CorrectedWeek(
        one.day, one.team, one.source, one.model, posts, authors, 0, sufficient=True, mean=mean, low=mean - reach, high=mean + reach,
        method=one.method, read=min(one.read, other.read),
    )  # fmt: skip


def of_weeks(reason: str) -> bool:
    """Whether an alert's reason, and so its figures, are those of corrected weeks."""
    return _CORRECTED in reason


def shown(week: CorrectedWeek) -> str:
    """A week's corrected mean with what must travel with it: method, voices, interval."""
    by = f"a sample of {week.read} posts that were read" if week.method == "sample" else "what the model mistakes on held-out posts"
    return (
        f"{week.mean:+z.2f} in the seven days to {week.day} {_CORRECTED}{by}; {week.authors} voices, "
        f"95 % interval {week.low:+z.2f} to {week.high:+z.2f})"
    )


def _judged(day: DailyTrend, rule: config.Rule) -> CorrectedWeek | Verdict:
    if not isinstance(day, CorrectedWeek) or not day.sufficient:
        why = "the seven days to it have no corrected figure, since too few people spoke or too little is known of what the model mistakes"
        return no_data(day, rule, why)
    return day if day.authors >= rule.min_authors else few(day, rule)


def _before(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None, week: CorrectedWeek) -> list[CorrectedWeek]:
    """The weeks of the `rule.baseline_days` before `week`, or before the one that ends on `began`, that share no day, oldest first."""
    last = min(began or week.day, week.day)
    ends = {last - n * WEEK for n in range(1, rule.baseline_days // WEEK.days + 1)}
    weeks = (each for each in history if isinstance(each, CorrectedWeek) and each.sufficient and each.day in ends)
    return [each for each in weeks if each.method == week.method and each.authors >= rule.min_authors]


def _compared(
    history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None
) -> tuple[CorrectedWeek, list[CorrectedWeek]] | Verdict:
    """The last week and those that it is compared with; the verdict of no data where there are too few."""
    week = _judged(history[-1], rule)
    if isinstance(week, Verdict):
        return week
    past = _before(history, rule, began, week)
    if len(past) >= ENOUGH_WEEKS:
        return week, past
    why = f"{len(past)} weeks before it have a figure that was corrected in the same way, of which the rule needs {ENOUGH_WEEKS}"
    return no_data(week, rule, why)


def _span(past: Sequence[CorrectedWeek]) -> str:
    return f"{len(past)} weeks, {past[0].day - WEEK + dt.timedelta(days=1)} to {past[-1].day}"


def _reach(week: CorrectedWeek) -> float:
    """From the mean to the farther end of its interval: the nearer one may be cut at the end of the scale."""
    mean, low, high = (each or 0.0 for each in (week.mean, week.low, week.high))
    return max(high - mean, mean - low)


def _degrees(week: CorrectedWeek) -> float:
    """Of freedom: a sample has fewer than posts that were read."""
    return max(2.0, week.read - 2.0) if week.method == "sample" else _NORMAL


def _error(week: CorrectedWeek) -> float:
    """The standard error that the interval stands for."""
    return _reach(week) / t_quantile(0.975, _degrees(week))
