"""Where teams stand over some days together: figures, shares of voice, by source and by language, and two beside each other.

The promise: a person counts once over the whole span; too few people have no figure, and none that could be computed from
those beside it (privacy.suppressed).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from monitor import show, trend
from monitor.archive.voices import heard
from monitor.config import Config
from monitor.privacy import suppressed
from monitor.records import ALL, DailyTrend
from monitor.store import Store

WEEK = 7


@dataclass(frozen=True, slots=True)
class TeamWeek:
    """A team's figures over seven UTC days, and over the seven before; None where nobody spoke, or `away`: an archive cannot be read.

    `sources` and `languages` are those of the week, the one of most people first; what is withheld has counts alone. A row's
    `source` is the source, or the language (ISO 639; empty: unknown). Who writes in two languages is counted with both.
    """

    week: DailyTrend | None
    before: DailyTrend | None
    sources: tuple[DailyTrend, ...]
    languages: tuple[DailyTrend, ...]
    away: bool


@dataclass(frozen=True, slots=True)
class Apart:
    """How far the means of two teams (ids) lie apart, that of `first` less that of `second`, with its 95 % interval.

    None where one of them has no figure. As with `show.changed`, who spoke of both is taken for two people.
    """

    first: str
    second: str
    difference: float | None
    low: float | None
    high: float | None


def first_day(last: dt.date, days: int) -> dt.date:
    """The first of the `days` days to `last`."""
    return last - dt.timedelta(days=days - 1)


def team_week(store: Store, config: Config, team: str, last: dt.date) -> TeamWeek:
    """The week to `last` of a team, and the one before."""
    begin, least = first_day(last, WEEK), config.privacy.min_authors
    by: dict[str, list[tuple[object, ...]]] = {"week": [], "before": [], "source": [], "language": []}
    said, away = heard(store, [team], first_day(last, 2 * WEEK), last)
    for language, (day, _, source, _, *voice) in said:
        now = day >= begin.isoformat()
        by["week" if now else "before"].append((ALL, *voice))
        if now:
            by["source"].append((source, *voice))
            by["language"].append((language, *voice))
    # What rows are by stands where trends have models, so that those by one thing are never summed with those by another.
    rows = [(last.isoformat(), team, part, kind, *voice) for kind, voices in by.items() for part, *voice in voices]
    found = trend.figures(trend.frame_of(rows), least) if rows else []
    week, before = (next((row for row in found if row.model == kind), None) for kind in ("week", "before"))
    sources, languages = (_beside(week, [row for row in found if row.model == kind], least) for kind in ("source", "language"))
    return TeamWeek(week, before, sources, languages, away=bool(away))


def _beside(total: DailyTrend | None, parts: Sequence[DailyTrend], least: int) -> tuple[DailyTrend, ...]:
    """The parts as they may stand beside their total."""
    cells = suppressed([*parts, *(replace(total, model=part.model) for part in parts[:1] if total)], least)
    return tuple(sorted((cell for cell in cells if cell.source != ALL), key=lambda cell: (-cell.authors, cell.source)))


def windows(
    store: Store, config: Config, teams: Sequence[str], last: dt.date, lengths: Sequence[int]
) -> tuple[dict[int, dict[str, DailyTrend]], frozenset[str]]:
    """The figures of `teams` over so many UTC days to `last`, by number of days and team, where anybody spoke of it; and the teams that
    have none since an archive cannot be read."""
    said, away = heard(store, teams, first_day(last, max(lengths)), last)
    voices = [voice for _, voice in said]
    return {days: trend.window(voices, first_day(last, days), last, min_authors=config.privacy.min_authors) for days in lengths}, away


def shares_of_voice(store: Store, config: Config, last: dt.date, days: int) -> dict[str, float]:
    """Of the people who spoke of any configured team in the `days` UTC days to `last`, the share in [0, 1] that spoke of each.

    As context.shares_of_voice says it of a day: each person counts once a day, and with every team that he spoke of.
    """
    counts, model, since = Counter[str](), store.model, first_day(last, days)
    for team in config.teams:
        counts[team.id] = sum(row.authors for row in store.trends(team=team.id, source=ALL, model=model, since=since) if row.day <= last)
    return {team: authors / counts.total() for team, authors in counts.items() if authors}


def apart(found: Mapping[str, DailyTrend], teams: Sequence[str], days: int) -> list[Apart]:
    """Each two of `teams` beside each other over so many days, in their order."""
    return [Apart(one, other, *show.changed(found.get(one), found.get(other), days)) for one, other in combinations(teams, 2)]
