"""One chart definition: daily means with their intervals above, people a day below. PNG and SVG here, interactive on the page.

The promise: a gap is shown as a gap. A day without enough people has no point, and the line does not run across it. Colours
are told apart by colour-blind eyes, and teams by the shape of their points too. Days are UTC days wherever the chart is read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from monitor.errors import InputError

# Okabe and Ito's colours, told apart by colour-blind eyes.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

MOST_TEAMS = len(COLOURS)
"""Teams that one chart can tell apart."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of paper, words, lines and teams."""

    paper: str
    ink: str
    quiet: str
    grid: str
    colours: tuple[str, ...]


LIGHT = Theme("#ffffff", "#1b1f24", "#57606a", "#e5e5e5", COLOURS)
DARK = Theme("#0f141a", "#e6edf3", "#9aa5b1", "#2b343e", ("#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#f0e442", "#ffffff"))


@dataclass(frozen=True, slots=True)
class Words:
    """What a chart says in words of its own, and how it writes days: `locale` is a name that d3 knows."""

    mean: str = "sentiment, mean over people"
    people: str = "people"
    usual: str = "usual"
    alert: str = "alert"
    level: str = "new level"
    day: str = "day"
    figure: str = "mean (95 % interval)"
    span: str = "to"
    too_few: str = "insufficient data"
    coverage: str = "coverage"
    note: str = "Bars and bands: 95 % interval. Days on which too few people spoke have no point."
    locale: Literal["en-US", "fr-FR"] = "en-US"


ENGLISH = Words()

_LEVELS = 5
"""Lines of text above the plot that the labels of alerts take in turn, so that neighbours do not overlap."""

_LEVEL = 0.11
"""Height of such a line, on the scale of the means."""

_LABELLED = 8
"""Alerts, or changes of level, up to which each has a label; of more only the lines are drawn."""

_SIDES: tuple[tuple[Literal["left", "right"], int], ...] = (("left", 5), ("right", -5))
"""How a label stands beside its line: alignment, and distance in pixels."""

_CLOSE = 62
"""Days up to which each has a bar for its interval, and a point that can be made out."""

_YEARS = 200
"""Days up to which the axis of time names days, and from which on it names months."""

Rows = Sequence[Mapping[str, Any]]


def trend_chart(
    days: Rows, names: Mapping[str, str], title: str, alerts: Rows = (), *, span: tuple[dt.date, dt.date] | None = None,
    theme: Theme = LIGHT, words: Words = ENGLISH, width: int = 800, interactive: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A chart, as Vega-Lite knows it, of `days` (rows of v_daily: day, team, mean, low, high, authors).

    `names` maps the ids of the teams that are shown to their names. `alerts` (day, team, rule) are vertical lines on the day they
    fired; those of other teams are left out. A single team has its baseline and changes of level too, where days hold `usual`,
    `usual_authors` and `change_point` (show.team_days). `span`: the first and last day of the axis, else those of `days`.
    `interactive`: with what a pointer is told.
    """
    rows = [row for team, name in names.items() for row in _every_day([day for day in days if day["team"] == team], name, span)]
    drawing = _Drawing(rows, list(names.values()), theme, words, interactive)
    marks = _marks([row for row in alerts if row["team"] in names], names, rows, words)
    note: dict[str, Any] = {"subtitle": words.note, "subtitleColor": theme.quiet, "color": theme.ink, "anchor": "start", "offset": 12}
    chart = alt.VConcatChart(
        vconcat=[
            alt.layer(*drawing.means(marks), width=width, height=300),
            alt.layer(*drawing.people(), width=width, height=70),
        ],
        spacing=8, background=theme.paper, padding=12, resolve=alt.Resolve(scale=alt.ScaleResolveMap(x="shared", color="shared")),
        title=alt.TitleParams(title, **note) if title else alt.Undefined, config=_config(theme),
    )  # fmt: skip
    # Unvalidated: what differs from one chart to the next is words and rows, and validation takes longer than all the rest.
    return {**chart.to_dict(validate=False), "datasets": drawing.datasets}


def _config(theme: Theme) -> dict[str, Any]:
    """What holds for all of a chart. `aria`: the page says once what it shows and has a table; not every point is told again."""
    axis = {
        "labelColor": theme.quiet,
        "titleColor": theme.quiet,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "gridColor": theme.grid,
        "tickColor": theme.grid,
    }
    return {
        "aria": False,
        "font": "sans-serif",
        "axis": axis,
        "legend": {"labelColor": theme.ink, "labelFontSize": 12},
        "view": {"stroke": None},
    }


def _every_day(days: Rows, name: str, span: tuple[dt.date, dt.date] | None) -> Iterator[dict[str, Any]]:
    """A row for each day from the first to the last, with None where there is no figure, so that the line is broken there.

    Within the days that are known one without a row is one on which nobody spoke; of those around them that is not said.
    """
    known = {dt.date.fromisoformat(row["day"]): row for row in days}
    inside = [*sorted(known), *(span or ())]
    for n in range((max(inside) - min(inside)).days + 1 if inside else 0):
        day = min(inside) + dt.timedelta(days=n)
        row = known.get(day, {})
        people = row.get("authors", 0) if known and min(known) <= day <= max(known) else None
        figures = {key: _rounded(row.get(key)) for key in ("mean", "low", "high", "usual", "change_point", "coverage")}
        yield {"day": day.isoformat(), "team": name, "people": people, "usual_people": row.get("usual_authors"), **figures}


def _rounded(value: float | None) -> float | None:
    """As precise as a picture can show: three years of days have to be sent."""
    return None if value is None else round(value, 4)


def _marks(alerts: Rows, names: Mapping[str, str], rows: Rows, words: Words) -> list[dict[str, Any]]:
    """The label of each alert, at its height above the plot (`mean`) and on that side of its line where there is room.

    On the left half of the chart the earlier stands higher, on the right half the later: no line then crosses a label.
    Where there are too many for labels all stand at one height.
    """
    days = sorted({row["day"] for row in rows} | {row["day"] for row in alerts})
    ordered = sorted(alerts, key=lambda row: (row["day"], row["team"], row["rule"]))
    early = sum(days.index(row["day"]) * 2 <= len(days) for row in ordered)
    ordered[early:] = reversed(ordered[early:])
    levels = min(_LEVELS, len(ordered)) if len(ordered) <= _LABELLED else 1
    return [
        {
            "day": row["day"],
            "label": f"{words.alert}: " + (f"{names[row['team']]}, " if len(names) > 1 else "") + row["rule"],
            "mean": 1 + _LEVEL * (levels - 0.5 - n % levels),
            "align": "left" if n < early else "right",
        }
        for n, row in enumerate(ordered)
    ]


def _alone(rows: Rows) -> Iterator[Mapping[str, Any]]:
    """Rows with a figure between days without one, where neither line nor band shows it."""
    padded = [{}, *rows, {}]
    for before, row, after in zip(padded, rows, padded[2:], strict=False):
        same = [each for each in (before, after) if each.get("team") == row["team"]]
        if row["mean"] is not None and all(each["mean"] is None for each in same):
            yield row


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The layers of both panels, from a row for every day of every team."""

    rows: Rows
    names: Sequence[str]
    theme: Theme
    words: Words
    interactive: bool
    datasets: dict[str, Rows] = field(default_factory=dict)
    """What the layers that were asked for draw, by name."""

    def means(self, marks: Rows) -> Iterator[Any]:
        """Above: intervals, baseline, means, changes of level, alerts, and what a pointer is told."""
        theme, day, close = self.theme, self.day(labels=False), self.close
        highest = 1 + _LEVEL * (min(_LEVELS, len(marks)) if len(marks) <= _LABELLED else 1)
        scale = alt.Scale(domain=[-1, highest], nice=False)
        axis = alt.Axis(title=self.words.mean, values=[-1, -0.5, 0, 0.5, 1], format="+.1f", domain=False)
        low, mean, usual = (alt.Y(field, type="quantitative", scale=scale, axis=axis) for field in ("low", "mean", "usual"))
        base = self.of(self.rows).encode(x=day, color=self.colour())
        yield self.of([{"mean": 0}]).mark_rule(color=theme.quiet, strokeWidth=0.8).encode(y=mean)
        yield base.mark_area(opacity=0.14).encode(y=low, y2="high:Q")
        if bars := self.rows if close else list(_alone(self.rows)):
            yield self.of(bars).mark_rule(opacity=0.35, strokeWidth=1.5).encode(x=day, color=self.colour(), y=low, y2="high:Q")
        if self.baseline:
            yield base.mark_line(strokeWidth=1.5, strokeDash=[2, 3]).encode(y=usual, color=self.colour(self.words.usual))
        yield base.mark_line(strokeWidth=2.5 if close else 1.2).encode(y=mean)
        points = base.mark_point(size=45 if close else 6, filled=True, opacity=1).encode(y=mean)
        if not self.single:
            points = points.encode(
                shape=alt.Shape("team:N", scale=alt.Scale(domain=list(self.names), range=list(SHAPES)), legend=_legend())
            )
        yield points
        if self.single:
            yield from self.changes(day, mean)
        if self.interactive and self.single:
            pointed = alt.selection_point("pointed", on="pointerover", clear="pointerout", empty=False)
            shade = alt.condition(pointed, alt.value(0.1), alt.value(0))
            column = self.told().mark_rect(color=theme.ink).encode(x=self.day("begin:T", labels=False), x2="end", opacity=shade)
            yield column.add_params(pointed)
        elif self.interactive:
            yield self.told().mark_point(size=250, filled=True, opacity=0).encode(x=day, y=mean)
        yield from self.alerts(marks, day, mean)

    def alerts(self, marks: Rows, day: Any, mean: Any) -> Iterator[Any]:
        """A line for each; a layer without any would leave Vega without the ends of its axis."""
        ink, few = self.theme.ink, len(marks) <= _LABELLED
        if marks:
            yield self.of(marks).mark_rule(color=ink, strokeDash=[5, 3]).encode(x=day, y=mean, y2=alt.datum(-1))
        if not few:
            yield self.of(marks).mark_point(shape="triangle-down", filled=True, color=ink, size=50).encode(x=day, y=mean, tooltip="label:N")
        for align, dx in _SIDES:
            if text := [mark for mark in marks if few and mark["align"] == align]:
                yield self.of(text).mark_text(align=align, dx=dx, color=ink).encode(x=day, y=mean, text="label:N")

    def changes(self, day: Any, mean: Any) -> Iterator[Any]:
        quiet, days = self.theme.quiet, [row["day"] for row in self.rows]
        found = [row for row in self.rows if row["change_point"] is not None]
        label = f"{json.dumps(self.words.level)} + ' ' + format(datum.change_point, '+.2f')"
        if found:
            yield self.of(found).mark_rule(color=quiet, strokeDash=[1, 2]).encode(x=day, y=alt.datum(-1), y2=alt.datum(1))
        for late, (align, dx) in enumerate(_SIDES):
            if text := [row for row in found if len(found) <= _LABELLED and (2 * days.index(row["day"]) > len(days)) == late]:
                base = self.of(text).transform_calculate(mean="-0.92", label=label)
                yield base.mark_text(align=align, dx=dx, color=quiet).encode(x=day, y=mean, text="label:N")

    def people(self) -> Iterator[Any]:
        """Below: people a day, and what was usual. Bars of days with too few of them for a figure are pale."""
        y = alt.Y("people:Q", axis=alt.Axis(title=self.words.people, tickCount=3, format="d", domain=False))
        if not self.single:
            yield self.of(self.rows).mark_line(strokeWidth=1.5).encode(x=self.day(), y=y, color=self.colour())
            return
        base = self.of(self.rows).transform_calculate(begin="time(toDate(datum.day)) - 3.6e7", end="time(toDate(datum.day)) + 3.6e7")
        enough = alt.condition("isValid(datum.mean)", alt.value(0.7), alt.value(0.3))
        yield base.mark_bar(orient="vertical").encode(
            x=self.day("begin:T"), x2="end", y=y, y2=alt.datum(0), color=self.colour(), opacity=enough
        )
        if self.baseline:
            line = self.of(self.rows).mark_line(strokeWidth=1.5, strokeDash=[2, 3])
            usual = alt.Y("usual_people:Q", axis=alt.Axis(title=self.words.people))
            yield line.encode(x=self.day(), y=usual, color=self.colour(self.words.usual))

    def of(self, rows: Rows) -> Any:
        """What layers of these rows begin with. Rows stand beside the drawing, so that Altair does not look through them for each."""
        name = next((name for name, each in self.datasets.items() if each is rows), f"rows{len(self.datasets)}")
        self.datasets[name] = rows
        return alt.Chart(alt.NamedData(name))

    # ---- what layers have in common ------------------------------------------------------------------------------------

    @property
    def single(self) -> bool:
        return len(self.names) == 1

    @property
    def baseline(self) -> bool:
        return self.single and any(row["usual"] is not None for row in self.rows)

    @property
    def close(self) -> bool:
        return len({row["day"] for row in self.rows}) <= _CLOSE

    def day(self, field: str = "day:T", *, labels: bool = True) -> Any:
        years = len({row["day"] for row in self.rows}) > _YEARS
        form, ticks = ("%b %Y", {"interval": "month", "step": 3}) if years else ("%-d %b", 10)
        axis = alt.Axis(title=None, format=form, grid=False, labels=labels, labelOverlap=True, tickCount=ticks)
        return alt.X(field, scale=alt.Scale(type="utc"), axis=axis)

    def colour(self, of: str | None = None) -> Any:
        """That of a row's team, or of one word of the legend: what is usual stands there beside a single team."""
        domain, colours = list(self.names), list(self.theme.colours)
        if self.baseline:
            domain, colours = [*domain, self.words.usual], [colours[0], self.theme.quiet]
        scale = alt.Scale(domain=domain, range=colours)
        return alt.ColorDatum(of) if of else alt.Color("team:N", scale=scale, legend=_legend())

    def told(self) -> Any:
        """Every day of every team, `begin` to `end`, with what a pointer is told of it. Formatted here: a tooltip writes None as 0."""
        words = {name: json.dumps(getattr(self.words, name)) for name in ("span", "too_few")}
        mean, low, high, usual = (f"format(datum.{name}, '+.2f')" for name in ("mean", "low", "high", "usual"))
        figure = f"{mean} + ' (' + {low} + ' ' + {words['span']} + ' ' + {high} + ')'"
        lines = {
            self.words.day: "utcFormat(toDate(datum.day), '%-d %b %Y')",
            self.words.figure: f"isValid(datum.mean) ? {figure} : {words['too_few']}",
            self.words.people: "isValid(datum.people) ? format(datum.people, 'd') : '–'",
            **({self.words.usual: f"isValid(datum.usual) ? {usual} : '–'"} if self.baseline else {}),
            self.words.coverage: "isValid(datum.coverage) ? format(datum.coverage, '.0%') : '–'",
        }
        tips = [alt.Tooltip(f"told{n}:N", title=name) for n, name in enumerate(lines)]
        texts = {f"told{n}": expression for n, expression in enumerate(lines.values())}
        return self.of(self.rows).transform_calculate(**texts, **_COLUMN).encode(tooltip=[alt.Tooltip("team:N", title=" "), *tips])


_COLUMN = {"begin": "time(toDate(datum.day)) - 4.32e7", "end": "time(toDate(datum.day)) + 4.32e7"}
"""A day of 24 hours about its point, in milliseconds."""


def _legend() -> Any:
    return alt.Legend(title=None, orient="top", symbolOpacity=1, symbolStrokeWidth=2)  # the band alone would make it faint


# ---- files ---------------------------------------------------------------------------------------------------------

VEGA_LITE = str(alt.SCHEMA_VERSION).rpartition(".")[0]
"""The version of Vega-Lite that Altair writes for, as vl-convert names it."""


def _spec(chart: Any) -> dict[str, Any]:
    found: dict[str, Any] = chart if isinstance(chart, dict) else chart.to_dict()
    return found


def png(chart: Any) -> bytes:
    """A chart (Altair's, or as `trend_chart` gives it) as PNG at twice the size of a plain screen; no browser, nothing fetched."""
    return bytes(vl_convert.vegalite_to_png(_spec(chart), vl_version=VEGA_LITE, scale=2))


def svg(chart: Any, words: Words = ENGLISH) -> str:
    """A chart as SVG, by vl-convert; its numbers and months are those of the words' locale."""
    return str(vl_convert.vegalite_to_svg(_spec(chart), vl_version=VEGA_LITE, format_locale=words.locale, time_format_locale=words.locale))


def save_png(chart: Any, path: Path) -> None:
    """Write a chart as a PNG file."""
    path.write_bytes(png(chart))


def save(chart: Any, path: Path) -> None:
    """Write a chart as a PNG or SVG file, by the ending of its name. Raises InputError at any other."""
    match path.suffix.lower():
        case ".png":
            save_png(chart, path)
        case ".svg":
            path.write_text(svg(chart), "utf-8")
        case _:
            raise InputError(f"{path} ends neither in .png nor in .svg, the two forms that a chart can be written in")
