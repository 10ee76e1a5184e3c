"""report: some days in one HTML file that can be sent on, for readers who have neither the store nor the pages.

The promises: it holds what monitor/leaving.py lets leave and no more, so no author's key, and of posts only masked excerpts where they
are asked for. A figure of a whole period stands beside those of its days: where one of these is withheld, others are until it cannot be
computed. The file asks for nothing when it is opened (it says so to the browser), runs no script, and is there whole or not at all.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor import __version__, charts, digest, digested, leaving
from monitor.config import Config
from monitor.digest import AlertPart, Days, Digest, TeamPart, first_day
from monitor.messages import quotation
from monitor.privacy import names_somebody, withheld
from monitor.records import ALL, CorrectedWeek, DailyTrend
from monitor.store import DigestOf, Span, Store
from monitor.store.snapshot import replacing
from monitor.web import words

LONGEST = 366
"""Days that a report may be of."""

DRAWN = 28
"""Days that a chart shows at least, the last ones of the report."""

_LEAST_DRAWN = 3
"""Days with a figure from which on a team has a chart."""

_WIDTH = 330
"""Of a chart, in pixels: two stand side by side on paper, one on a telephone."""

_THEME = charts.Theme("none", "var(--ink)", "var(--quiet)", "var(--line)", ("var(--series)",))
"""The page's own colours, which follow dark and light and paper."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An alert: what it did in the period, the figures that may leave, why it moved, and posts that show it (messages.quotation)."""

    part: AlertPart
    subject: str
    type: str
    figures: Mapping[str, Any]
    why: str | None
    posts: Sequence[Mapping[str, Any]] = ()

    @property
    def counted(self) -> bool:
        """Whether its figures are counts and no sentiment."""
        return self.type in leaving.COUNTED


@dataclass(frozen=True, slots=True)
class SourceDays:
    """A source in the period: its posts, and of the days on which it was crawled those that were read whole (counts)."""

    name: str
    kind: str | None
    posts: int
    read: int
    days: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says. `days` are figures by day, of each team that has any, from `drawn` on; `weeks` corrected figures by team."""

    told: Digest
    turns: tuple[Turn, ...]
    names: Mapping[str, str]
    days: Mapping[str, Sequence[Mapping[str, Any]]]
    drawn: dt.date
    weeks: Mapping[str, CorrectedWeek]
    sources: tuple[SourceDays, ...]
    model: str
    made_at: dt.datetime
    hidden: frozenset[tuple[str, dt.date]] = field(default_factory=frozenset)
    """(team, day) whose figures were withheld for the sake of another day."""

    @property
    def moved(self) -> list[TeamPart]:
        """Teams that moved by more than chance makes."""
        return [part for part in self.told.teams if part.change and part.change.certain]


# ---- what it says ---------------------------------------------------------------------------------------------------


def gather(
    store: Store, config: Config, of: DigestOf | Days, *, now: dt.datetime, teams: Collection[str] = (), quotes: bool = False
) -> Report:
    """The report of a period whose days are over, of what is known at `now` (aware); of all teams where no `teams` are named."""
    names = {team.id: team.name for team in config.teams if not teams or team.id in teams}
    least, first, old = config.privacy.min_authors, first_day(of), digest.before(of)
    begin = min(first, of.last - dt.timedelta(days=DRAWN - 1))
    with store.reading():
        told = digested.gather(store, config, of, now=now)
        parts = {part.team: part for part in told.teams if part.team in names}
        series = {team: _series(store, least, Span(min(begin, first_day(old)), of.last, team)) for team in names}
        hidden: set[tuple[str, dt.date]] = set()
        for team, part in parts.items():
            now_days, closed = _beside(part.team, part.authors, part.posts, first, of.last, series[team], least)
            then_days, closed_then = _beside(part.team, part.before_authors, 0, first_day(old), old.last, series[team], least)
            hidden |= {(team, day) for day in now_days | then_days}
            parts[team] = _less(part, now=closed, then=closed_then)
        known = min((_day(row) for rows in series.values() for row in rows if _day(row) >= begin), default=first)
        drawn = min(known, first)
        weeks = store.corrected_weeks(store.model, of.last, of.last) if digest.length(of) == 7 else []
        return Report(
            told=dataclasses.replace(
                told,
                teams=tuple(parts.values()),
                unnamed=tuple(name for name in told.unnamed if name in names.values()),
                archived=tuple(name for name in told.archived if name in names.values()),
            ),
            turns=tuple(_turns(store, config, of, names, told.alerts, hidden, everything=not teams, quotes=quotes)),
            names=names,
            days={
                team: [row if (team, _day(row)) not in hidden else row | _NO_FIGURE for row in rows if _day(row) >= drawn]
                for team, rows in series.items()
            },
            drawn=drawn,
            weeks={week.team: week for week in weeks if week.team in parts and parts[week.team].mean is not None},
            sources=tuple(_sources(store, config, Span(first, of.last))),
            model=store.model,
            made_at=now,
            hidden=frozenset(hidden),
        )


_NO_FIGURE = {"mean": None, "low": None, "high": None, "sufficient": 0}


def _day(row: Mapping[str, Any]) -> dt.date:
    return dt.date.fromisoformat(row["day"])


def _series(store: Store, least: int, span: Span) -> list[dict[str, Any]]:
    """A team's days over all sources, without those that no snapshot would show."""
    return [row for row in leaving.daily(store, least, span) if row["source"] == ALL]


def _beside(
    team: str, authors: int, posts: int, first: dt.date, last: dt.date, rows: Iterable[Mapping[str, Any]], least: int
) -> tuple[set[dt.date], bool]:
    """Of the days of a period with a figure those that are to be withheld, and whether the period's own is.

    A period and its days are to each other what a day and its sources are: the same rule decides (privacy.withheld).
    """
    if first == last:
        return set(), False  # the day is the period
    shown = {_day(row): row for row in rows if first <= _day(row) <= last}
    cells = [DailyTrend(last, team, ALL, "", posts, authors, 0, sufficient=authors >= least)]
    for day, row in shown.items():
        people = row["authors"] if row["sufficient"] else min(row["authors"], least - 1)
        cells.append(DailyTrend(last, team, day.isoformat(), "", row["posts"], people, 0, sufficient=bool(row["sufficient"])))
    hidden = {source for _, _, source, _ in withheld(cells, least)}
    return {day for day, row in shown.items() if day.isoformat() in hidden and row["sufficient"]}, ALL in hidden


def _less(part: TeamPart, *, now: bool, then: bool) -> TeamPart:
    """A team without the figures that are withheld, and what they would tell."""
    if now:
        part = dataclasses.replace(part, mean=None, low=None, high=None)
    if then:
        part = dataclasses.replace(part, before_mean=None)
    return dataclasses.replace(part, change=None, moved=None) if now or then else part


def _turns(
    store: Store, config: Config, of: DigestOf | Days, names: Mapping[str, str], told: Sequence[AlertPart],
    hidden: Collection[tuple[str, dt.date]], *, everything: bool, quotes: bool,
) -> Iterator[Turn]:  # fmt: skip
    """The alerts of these teams, and of whole sources where it is a report of `everything`; what began last stands first."""
    begin = min((part.day for part in told), default=of.last)
    rows = leaving.alerts(store, config.privacy.min_authors, Span(begin, of.last))
    for row in sorted(rows, key=lambda row: (row["day"], row["id"]), reverse=True):
        part = digest.alert_part({**row, "untold": None}, of)
        if part is None or not (part.team in names or (everything and part.team == ALL)):
            continue
        # A shift is told by the mean of the days since: less those that are shown, it would tell a hidden one.
        several = row["type"] == "shift" and any(team == part.team and day <= part.day for team, day in hidden)
        if (several or (part.team, part.day) in hidden) and row["type"] not in leaving.COUNTED:
            part = dataclasses.replace(part, reason=leaving.WITHHELD)
            row |= dict.fromkeys(("value", "before", "low", "high", "why"))
        open_to_all = quotes and part.reason != leaving.WITHHELD and not part.course.endswith("ended")
        yield Turn(
            part, names.get(part.team, part.source), row["type"],
            {name: row[name] for name in ("value", "before", "low", "high", "authors", "posts")}, row["why"],
            [_quoted(post, config.privacy.excerpt) for post in store.alert_posts(row["id"])] if open_to_all else (),
        )  # fmt: skip


def _quoted(post: Mapping[str, Any], length: int) -> dict[str, Any]:
    """A post's place, time and excerpt; not what the model makes of it, and no address that names a user."""
    told = quotation(post, length)
    link = "" if names_somebody(post["url"]) else told["link"]
    return {"source": post["source"], "posted_at": post["posted_at"], "link": link, "excerpt": told["excerpt"]}


def _sources(store: Store, config: Config, span: Span) -> Iterator[SourceDays]:
    """The sources that were crawled in the period, by name."""
    kinds = {row["source"]: row["kind"] for row in leaving.sources(config, store, span)}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in leaving.coverage(store, span):
        found.setdefault(row["source"], []).append(row)
    for name, rows in sorted(found.items()):
        known = [bool(row["covered"]) for row in rows if row["covered"] is not None]
        yield SourceDays(name, kinds.get(name), sum(row["posts"] for row in rows), sum(known), len(known))


# ---- how it looks ---------------------------------------------------------------------------------------------------


def page(report: Report, language: str = "en", progress: Callable[[int, int], None] | None = None) -> str:
    """The report as an HTML document, in one of words.LANGUAGES; `progress` is told of each chart (drawn, of how many)."""
    with words.speaking(language):
        drawn = {}
        for number, team in enumerate(teams := _ordered(report), 1):
            if chart := _drawn(report, team):
                drawn[team] = chart
            if progress:
                progress(number, len(teams))
        return _environment().get_template("report.html").render(
            report=report, told=report.told, language=language, drawn=drawn, version=__version__,
            made_at=report.made_at.astimezone(dt.UTC).isoformat(),
        )  # fmt: skip


def write(path: Path, html: str) -> None:
    """Write the document, in place of an older one. InputError or StoreError when it cannot be."""
    with replacing(path) as draft:
        draft.write_text(html, "utf-8")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as SVG, and what it shows in figures: days with one, and the lowest and the highest of them (rows)."""

    svg: Markup
    days: int
    lowest: Mapping[str, Any]
    highest: Mapping[str, Any]


def _ordered(report: Report) -> list[str]:
    """Teams as the table has them, by how many people spoke; those of whom nobody did come last."""
    spoken = [part.team for part in report.told.teams]
    return [*spoken, *(team for team in report.names if team not in spoken)]


def _drawn(report: Report, team: str) -> Drawn | None:
    """A team's chart; None where too few days have a figure."""
    rows = report.days[team]
    told = [row for row in rows if row["mean"] is not None]
    if len(told) < _LEAST_DRAWN:
        return None
    alerts = [
        {"day": turn.part.day.isoformat(), "team": team, "rule": turn.part.rule}
        for turn in report.turns
        if turn.part.team == team and turn.part.day >= report.drawn
    ]
    said = words.of_charts()
    chart = charts.trend_chart(
        rows, {team: report.names[team]}, "", alerts, span=(report.drawn, report.told.last), theme=_THEME, words=said, width=_WIDTH
    )
    low, high = (extreme(told, key=lambda row: row["mean"]) for extreme in (min, max))
    return Drawn(_inline(charts.svg(chart, said), team), len(told), low, high)


def _inline(svg: str, name: str) -> Markup:
    """A chart as part of a page: hidden from what reads aloud, since the figure around it says what it shows; its ids are its own."""
    named = re.sub(r'(id="|url\(#)', rf"\g<1>{re.sub('[^A-Za-z0-9-]', '-', name)}-", svg)
    return Markup(named.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))  # noqa: S704 (Vega escapes what it writes)


@functools.cache
def _environment() -> Environment:
    """The templates of the pages, and their styles to be included."""
    folder = Path(words.__file__).parent
    environment = Environment(
        loader=FileSystemLoader([folder / "templates", folder / "static"]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    words.install(environment)
    return environment
