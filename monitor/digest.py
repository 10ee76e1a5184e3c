"""What a digest tells of a day or a week: each team's figure against the period before, alerts, what was not read, silences.

The promise: the same rows give the same digest. A figure of fewer people than `min_authors` is in none (privacy.suppressed), no
post and no word of one is, and what was kept from people meanwhile is named as such. Pure: rows in, a digest out; days are UTC.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from monitor import context
from monitor.config import Digest as Schedule
from monitor.explain import Explanation
from monitor.inhibit import Lacking
from monitor.privacy import suppressed
from monitor.records import ALL, SOURCE_STOPPED, DailyTrend
from monitor.rules.drop import DAYS_DF, DAYS_SD
from monitor.rules.statistics import degrees, t_quantile
from monitor.store import DigestOf

Course = Literal["began", "began and ended", "goes on", "ended"]
"""What an alert did in a period."""

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Days(NamedTuple):
    """So many UTC days up to `last`: what a report may be of besides a day or a week."""

    days: int
    last: dt.date

    @property
    def every(self) -> Literal["days"]:
        return "days"


class Change(NamedTuple):
    """How far a mean moved, with its 95 % interval low..high."""

    value: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class TeamPart:
    """What was said of a team: people and posts of the period, its mean in [-1, 1] with the 95 % interval low..high; the period before.

    Figures of too few people are None. `share_of_voice` in [0, 1] is of all who spoke of any team; `moved` says what moved the mean.
    `before_archived`: posts of the period before are in an archive, so that it has no figure.
    """

    team: str
    name: str
    authors: int
    posts: int
    mean: float | None
    low: float | None
    high: float | None
    before_authors: int
    before_mean: float | None
    change: Change | None
    share_of_voice: float | None
    moved: str | None = None
    before_archived: bool = False


@dataclass(frozen=True, slots=True)
class AlertPart:
    """An alert that fired in the period. `why_not`: why nobody is told of it, in a sentence; None where people were."""

    course: Course
    rule: str
    team: str
    source: str
    day: dt.date
    resolved_day: dt.date | None
    reason: str
    why_not: str | None


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A source that stopped (from `stopped_on`, and up to `back_on` where it is read again), or of which days were not read whole."""

    source: str
    stopped_on: dt.date | None
    back_on: dt.date | None
    days_not_read: int
    reason: str


@dataclass(frozen=True, slots=True)
class SilencePart:
    """A silence that was in force in the period; `*` stands for any. Times are UTC, as the store writes them."""

    id: int
    rule: str
    team: str
    source: str
    begins_at: str
    ends_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A day, a week, or some days. `coverage` in [0, 1] is the share of its source days that were read; None: nothing was crawled then.

    `unread` of its `posts` wait to be understood. `unnamed` are the names of teams of which nobody spoke, `archived` of those whose
    posts are in an archive: their days have figures, the period has none.
    """

    every: Literal["day", "week", "days"]
    first: dt.date
    last: dt.date
    min_authors: int
    coverage: float | None
    posts: int
    unread: int
    keys_turned: bool
    teams: tuple[TeamPart, ...]
    unnamed: tuple[str, ...]
    alerts: tuple[AlertPart, ...]
    sources: tuple[SourcePart, ...]
    silences: tuple[SilencePart, ...]
    archived: tuple[str, ...] = ()


# ---- when -----------------------------------------------------------------------------------------------------------


def length(of: DigestOf | Days) -> int:
    """How many days a digest is of."""
    return of.days if isinstance(of, Days) else 7 if of.every == "week" else 1


def first_day(of: DigestOf | Days) -> dt.date:
    return of.last - dt.timedelta(days=length(of) - 1)


def before(of: DigestOf | Days) -> DigestOf | Days:
    """The period of the same length that ends where this one begins."""
    return of._replace(last=first_day(of) - dt.timedelta(days=1))


def latest(schedule: Schedule, zone: ZoneInfo, *, now: dt.datetime, open_day: dt.date) -> DigestOf:
    """The newest digest whose time has come at `now` (aware) and whose days are before `open_day`, the first that is not complete.

    At its time a digest is of the UTC days that are over then, in summer time as in winter: else the day on which clocks are put back
    could be in none. None is older than that: what was missed stays missed.
    """
    local = now.astimezone(zone)
    for n in itertools.count():
        day = local.date() - dt.timedelta(days=n)
        if schedule.every == "week" and _WEEKDAYS[day.weekday()] != schedule.on:
            continue
        local_moment = dt.datetime.combine(day, schedule.at)
        moment = local_moment.replace(tzinfo=zone).astimezone(dt.UTC)
        ahead = max(local_moment.replace(month=month, day=1, tzinfo=zone).utcoffset() or dt.timedelta() for month in (1, 7))
        last = (local_moment - ahead).date() - dt.timedelta(days=1)
        if moment <= now and last < open_day:
            return DigestOf(schedule.every, last)
    raise AssertionError  # pragma: no cover (days never end)


# ---- what -----------------------------------------------------------------------------------------------------------


def digest(
    of: DigestOf | Days,
    *,
    names: Mapping[str, str],
    cells: Iterable[DailyTrend],
    cells_before: Iterable[DailyTrend],
    min_authors: int,
    alerts: Sequence[Mapping[str, Any]],
    silences: Iterable[Mapping[str, Any]],
    lacking: Lacking,
    coverage: float | None,
    posts: int,
    unread: int,
    keys_turned: bool = False,
) -> Digest:
    """The digest of a period from the store's rows.

    `names` maps the ids of the teams to their names. `cells` and `cells_before` are the figures of the whole period and of the one
    before by team and source, `*` included. `alerts` are rows of the table `alerts`, `silences` of that table, of which those that
    concern the period are taken. `lacking` holds the (source, day) that were not read whole, and why.
    """
    cells, old = list(cells), {row.team: row for row in suppressed(cells_before, min_authors) if row.source == ALL}
    shares = {team: share for (_, team), share in context.shares_of_voice(cells, names).items()}
    now = {row.team: row for row in suppressed(cells, min_authors) if row.source == ALL}
    teams = [
        _team(team, name, now.get(team), old.get(team), shares.get(team), length(of))
        for team, name in names.items()
        if team in now or team in old
    ]
    fired = [alert for row in alerts if (alert := alert_part(row, of))]
    first, last = first_day(of).isoformat(), f"{of.last}T24"
    return Digest(
        of.every, first_day(of), of.last, min_authors, coverage, posts, unread, keys_turned,
        teams=tuple(sorted(teams, key=lambda one: (-one.authors, one.team))),
        unnamed=tuple(name for team, name in names.items() if team not in now and team not in old),
        alerts=tuple(alert for alert in fired if alert.rule != SOURCE_STOPPED),
        sources=tuple(_sources([alert for alert in fired if alert.rule == SOURCE_STOPPED], lacking, of)),
        silences=tuple(
            SilencePart(**{name: row[name] for name in SilencePart.__dataclass_fields__})
            for row in silences
            if row["begins_at"] < last and row["ends_at"] > first
        ),
    )  # fmt: skip


def _team(team: str, name: str, now: DailyTrend | None, old: DailyTrend | None, share: float | None, days: int) -> TeamPart:
    now, old = now or _NOBODY, old or _NOBODY
    return TeamPart(team, name, now.authors, now.posts, now.mean, now.low, now.high, old.authors, old.mean, change(now, old, days), share)


_NOBODY = DailyTrend(dt.date.min, "", ALL, "", 0, 0, 0, sufficient=False)


def change(now: DailyTrend, old: DailyTrend, days: int) -> Change | None:
    """How far the mean moved from one period of so many days to the next; None where either has no figure.

    The variance is that of who speaks in both, and by how much days differ anyhow, as rules/drop.py holds before it knows any
    (DAYS_SD). Degrees of freedom of the sum of the three: Satterthwaite, Biometrics Bulletin 2 (1946) 110. Who speaks in both
    periods makes the true interval narrower, if anything.
    """
    if now.mean is None or old.mean is None or now.variance is None or old.variance is None:
        return None
    voices = [(row.variance or 0.0, row.effective or float(row.authors)) for row in (now, old)]
    errors = [(variance / count, max(2.0, degrees(count))) for variance, count in voices]
    errors.append((2 * DAYS_SD**2 / days, float(DAYS_DF)))
    whole = math.fsum(error for error, _ in errors)
    reach = t_quantile(0.975, whole**2 / math.fsum(error**2 / df for error, df in errors)) * math.sqrt(whole)
    moved = now.mean - old.mean
    return Change(moved, max(-2.0, moved - reach), min(2.0, moved + reach))


def moved(found: Explanation | None) -> str | None:
    """In one sentence what moved a figure, without figures of its own; None where nothing can be told, or chance may have moved it."""
    if found is None or found.change is None or found.change.holds_without_person is None or found.change.holds_without_thread is None:
        return None
    because = ""
    if len(found.sources) == 1:
        because = f"All of it is in {found.sources[0].source}; it"
    elif found.sources and (first := found.sources[0]).mood is not None and first.mix is not None:
        turned = abs(first.mood) >= abs(first.mix)
        how = "whose people speak otherwise than before" if turned else "which has another weight among the sources than before"
        because = f"Most of it is {first.source} ({first.people} people), {how}; it"
    lacking = [
        name for name, holds in (("person", found.change.holds_without_person), ("thread", found.change.holds_without_thread)) if not holds
    ]
    if not lacking:
        return f"{because or 'The change'} holds without the person, and without the thread, that counts most in it."
    return f"{because or 'The change'} does not hold without the {' or the '.join(lacking)} that counts most in it: read that first."


def alert_part(row: Mapping[str, Any], of: DigestOf | Days) -> AlertPart | None:
    """What an alert (a row of `alerts`) did in a period; None where it was over before, or began after it."""
    day, over = dt.date.fromisoformat(row["day"]), dt.date.fromisoformat(row["resolved_day"]) if row["resolved_day"] else None
    if day > of.last or (over and over < first_day(of)):
        return None
    began, ended = day >= first_day(of), over is not None and over <= of.last
    course: Course = "began and ended" if began and ended else "began" if began else "ended" if ended else "goes on"
    return AlertPart(course, row["rule"], row["team"], row["source"], day, over if ended else None, row["reason"], row["untold"])


def _sources(stopped: Iterable[AlertPart], lacking: Lacking, of: DigestOf | Days) -> list[SourcePart]:
    """Each source that stopped or was not read whole, by name; of one that stopped twice the last time."""
    alerts = {alert.source: alert for alert in stopped}
    days: dict[str, dict[dt.date, str]] = defaultdict(dict)
    for (source, day), why in lacking.items():
        if first_day(of) <= day <= of.last:
            days[source][day] = why
    found = []
    for source in sorted(alerts.keys() | days.keys()):
        alert, missed = alerts.get(source), days.get(source, {})
        reason = alert.reason if alert else f"{missed[max(missed)]}."
        found.append(SourcePart(source, alert.day if alert else None, alert.resolved_day if alert else None, len(missed), reason))
    return found
