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
from monitor.config import Config
from monitor.privacy import suppressed
from monitor.records import ALL, DailyTrend
from monitor.store import Store

WEEK = 7


@dataclass(frozen=True, slots=True)
class TeamWeek:
    """A team's figures over seven UTC days, and over the seven before; None where nobody spoke.

    `sources` and `languages` are those of the week, the one of most people first; what is withheld has counts alone. A row's
    `source` is the source, or the language (ISO 639; empty: unknown). Who writes in two languages is counted with both.
    """

    week: DailyTrend | None
    before: DailyTrend | None
    sources: tuple[DailyTrend, ...]
    languages: tuple[DailyTrend, ...]


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
    """The week to `last` of a team, and the one before; without what an archive has a part in."""
    begin, least = first_day(last, WEEK), config.privacy.min_authors
    by: dict[str, list[tuple[object, ...]]] = {"week": [], "before": [], "source": [], "language": []}
    archived = store.archived_to(first_day(last, 2 * WEEK), last).get(team)
    for language, day, _, source, _, *voice in store.voices_by_language([team], first_day(last, 2 * WEEK), last):
        now = day >= begin.isoformat()
        if archived and (archived >= begin or not now):
            continue
        by["week" if now else "before"].append((ALL, *voice))
        if now:
            by["source"].append((source, *voice))
            by["language"].append((language, *voice))
    # What rows are by stands where trends have models, so that those by one thing are never summed with those by another.
    rows = [(last.isoformat(), team, part, kind, *voice) for kind, voices in by.items() for part, *voice in voices]
    found = trend.figures(trend.frame_of(rows), least) if rows else []
    week, before = (next((row for row in found if row.model == kind), None) for kind in ("week", "before"))
    sources, languages = (_beside(week, [row for row in found if row.model == kind], least) for kind in ("source", "language"))
    return TeamWeek(week, before, sources, languages)


def _beside(total: DailyTrend | None, parts: Sequence[DailyTrend], least: int) -> tuple[DailyTrend, ...]:
    """The parts as they may stand beside their total."""
    cells = suppressed([*parts, *(replace(total, model=part.model) for part in parts[:1] if total)], least)
    return tuple(sorted((cell for cell in cells if cell.source != ALL), key=lambda cell: (-cell.authors, cell.source)))


def windows(store: Store, config: Config, teams: Sequence[str], last: dt.date, lengths: Sequence[int]) -> dict[int, dict[str, DailyTrend]]:
    """The figures of `teams` over so many UTC days to `last`, by number of days and team; a team that nobody spoke of, or whose days
    are partly in an archive, has none."""
    begins = {days: first_day(last, days).isoformat() for days in lengths}
    voices = store.voices_by_language(teams, first_day(last, max(lengths)), last) if teams else []
    archived = store.archived_to(first_day(last, max(lengths)), last) if teams else {}
    rows = [
        (last.isoformat(), team, ALL, str(days), *voice)
        for _, day, team, _, _, *voice in voices
        for days, begin in begins.items()
        if day >= begin and (team not in archived or archived[team].isoformat() < begin)
    ]
    found = trend.figures(trend.frame_of(rows), config.privacy.min_authors) if rows else []
    return {days: {row.team: row for row in found if row.model == str(days)} for days in lengths}


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
