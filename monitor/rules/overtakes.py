"""overtakes: a team is better spoken of than another one, which it was not before.

The rule sees the difference between the two teams' means of each day on which both have one (`difference`). Breach: over
the last WEEK days with both the difference is above `threshold`, and so is its lower one-sided bound (at `confidence`),
while over the `baseline_days` before it was not. Clear: the difference is at most `recover`. `min_authors` are needed
of each team on a day.

False alarms per series and year on two quiet simulated series, 0.15 apart, of 5, 20 and 100 voices a day, measured by
tests/benchmarks/alerts.py: 0.00, 0.22 and 0.00 with `confidence` 0.9; 0.00, 0.08 and 0.00 with 0.95. With `figure: corrected` the last
week is compared with weeks before it (weekly.py): by a sample of 20 posts a day 0.9, 0.1 and 0.0 with 0.9; 0.2, 0.0 and 0.0 with 0.95.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from monitor import config
from monitor.records import CorrectedWeek, DailyTrend
from monitor.rules import ENOUGH_DAYS, Outcome, Verdict, no_data, weekly
from monitor.rules.statistics import t_quantile

WEEK = 7


def difference(one: DailyTrend, other: DailyTrend) -> DailyTrend:
    """What `one` is above `other`, on the same day, in [-2, 2]; withheld where either has no figure. `authors` is the smaller number.

    `effective` is 1, so that `variance` is that of the difference. Of two corrected weeks it is that of weekly.difference.
    """
    if isinstance(one, CorrectedWeek) and isinstance(other, CorrectedWeek):
        return weekly.difference(one, other)
    fewer = min(one.authors, other.authors)
    row = DailyTrend(
        one.day, one.team, one.source, one.model, one.posts + other.posts, fewer, one.threads + other.threads, sufficient=False
    )
    if not (one.sufficient and other.sufficient) or one.mean is None or other.mean is None:
        return row
    error = sum((each.variance or 0.0) / (each.effective or each.authors) for each in (one, other))
    mean, reach = one.mean - other.mean, 1.96 * math.sqrt(error)
    return DailyTrend(
        row.day, row.team, row.source, row.model, row.posts, row.authors, row.threads, sufficient=True, mean=mean, low=mean - reach,
        high=mean + reach, variance=error, effective=1.0,
    )  # fmt: skip


def check(history: Sequence[DailyTrend], rule: config.Rule, began: dt.date | None) -> Verdict:
    """Judge the last days of `history`, whose rows are differences."""
    if rule.figure == "corrected":
        return weekly.overtaken(history, rule, began)
    day = history[-1]
    if not day.sufficient or day.authors < rule.min_authors:
        return no_data(day, rule, f"{day.authors} voices on one of the two teams, of which the rule needs {rule.min_authors} on each")
    spoken = [past for past in history if past.sufficient and past.authors >= rule.min_authors]
    recent = [past for past in spoken if (day.day - past.day).days < WEEK and (began is None or past.day >= began)]
    first = recent[0].day
    before = [past for past in spoken if 0 < (first - past.day).days <= rule.baseline_days]
    if len(before) < ENOUGH_DAYS:
        return no_data(day, rule, f"{len(before)} days before it have enough voices on both teams, of which the rule needs {ENOUGH_DAYS}")
    now, usual = _mean(recent), _mean(before)
    noise = t_quantile(rule.confidence, len(before) + len(recent) - 1) * math.sqrt(_variance(before, recent))
    breach = now > rule.threshold and now - noise > rule.threshold and usual <= rule.threshold
    outcome: Outcome = "breach" if breach else "clear" if now <= rule.recover else "between"
    reason = (
        f"From {first} to {day.day} sentiment was {now:+z.2f} above that of {rule.against} (mean of {len(recent)} days); before, "
        f"{usual:+z.2f} (mean of {len(before)} days, {before[0].day} to {before[-1].day}); more than {rule.threshold:+z.2f} is an alert"
    )
    if outcome == "breach":
        reason += f", and it is above {now - noise:+z.2f} with {rule.confidence * 100:.4g} % confidence"
    posts, voices = sum(past.posts for past in recent), sum(past.authors for past in recent)
    return Verdict(outcome, f"{reason}.", rule.threshold, voices, posts, now, usual, now - noise, None)


def _mean(days: Sequence[DailyTrend]) -> float:
    return sum(day.mean or 0.0 for day in days) / len(days)


def _variance(before: Sequence[DailyTrend], recent: Sequence[DailyTrend]) -> float:
    """The variance of the mean of `recent` days: days differ as those before and these differ among themselves."""
    squares = sum(((day.mean or 0.0) - mean) ** 2 for days, mean in ((before, _mean(before)), (recent, _mean(recent))) for day in days)
    sampled = sum(day.variance or 0.0 for day in recent) / len(recent)
    return max(squares / max(len(before) + len(recent) - 2, 1), sampled) / len(recent)
