"""One chart definition: daily means with their intervals, one line per team. PNG now, pages later, from the same.

The promise: a gap is shown as a gap. A day without enough people has no point, and the line does not run across it.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import altair as alt

# Okabe and Ito's colours, told apart by colour-blind eyes.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

_LEVELS = 5
"""Lines of text above the plot that the labels of alerts take in turn, so that neighbours do not overlap."""

_LEVEL = 0.11
"""Height of such a line, on the scale of the means."""

_SIDES: tuple[tuple[Literal["left", "right"], int], ...] = (("left", 5), ("right", -5))
"""How a label stands beside its line: alignment, and distance in pixels."""


def trend_chart(days: Sequence[Mapping[str, Any]], names: Mapping[str, str], title: str, alerts: Sequence[Mapping[str, Any]] = ()) -> Any:
    """An Altair chart of `days` (rows of v_daily: day, team, mean, low, high, authors); `names` maps the ids of the teams shown to names.

    `alerts` (day, team, rule) are vertical lines on the day they fired; those of other teams are left out.
    """
    rows = [row for team, name in names.items() for row in _every_day([day for day in days if day["team"] == team], name)]
    labels = _labels([row for row in alerts if row["team"] in names], names, rows)
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, symbolType="circle")  # the band alone would make it faint
    colour = alt.Color("team:N", scale=alt.Scale(domain=list(names.values()), range=list(COLOURS)), legend=legend)
    day = alt.X("yearmonthdate(day):T", axis=alt.Axis(title=None, format="%-d %b", grid=False, labelOverlap=True))
    scale = alt.Scale(domain=[-1, 1 + _LEVEL * min(_LEVELS, len(labels))], nice=False)
    axis = alt.Axis(title="sentiment, mean over people", values=[-1, -0.5, 0, 0.5, 1], format="+.1f", gridColor="#e5e5e5", domain=False)
    low, mean = (alt.Y(field, type="quantitative", scale=scale, axis=axis) for field in ("low", "mean"))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=day, color=colour)
    layers = [
        alt.Chart(alt.InlineData(values=[{"mean": 0}])).mark_rule(color="#888").encode(y=mean),
        base.mark_area(opacity=0.12).encode(y=low, y2="high:Q"),
        base.mark_rule(opacity=0.3, strokeWidth=1.5).encode(y=low, y2="high:Q"),  # a day that stands alone has no band
        base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45)).encode(y=mean),
        alt.Chart(alt.InlineData(values=labels)).mark_rule(color="#444", strokeDash=[5, 3]).encode(x=day, y=mean, y2=alt.datum(-1)),
    ]
    for align, dx in _SIDES:
        text = alt.Chart(alt.InlineData(values=[label for label in labels if label["align"] == align]))
        layers.append(text.mark_text(align=align, dx=dx, color="#222").encode(x=day, y=mean, text="label:N"))
    subtitle = "Bars and bands: 95 % interval. Days on which too few people spoke have no point."
    heading = alt.TitleParams(title, subtitle=subtitle, subtitleColor="#555", anchor="start")
    chart = alt.layer(*layers).properties(width=800, height=360, title=heading, background="white", padding=12)
    return chart.configure_view(stroke=None)


def _every_day(days: Sequence[Mapping[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    """A row for each day from the first to the last, with None where there is no figure, so that the line is broken there."""
    known = {dt.date.fromisoformat(row["day"]): row for row in days}
    for n in range((max(known) - min(known)).days + 1 if known else 0):
        day = min(known) + dt.timedelta(days=n)
        row = known.get(day, {})
        figures = {key: row.get(key) for key in ("mean", "low", "high")}
        yield {"day": day.isoformat(), "team": name, "people": row.get("authors", 0), **figures}


def _labels(alerts: Sequence[Mapping[str, Any]], names: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The label of each alert, at its height above the plot (`mean`) and on that side of its line where there is room.

    On the left half of the chart the earlier stands higher, on the right half the later: no line then crosses a label.
    """
    days = sorted({row["day"] for row in rows} | {row["day"] for row in alerts})
    ordered = sorted(alerts, key=lambda row: (row["day"], row["team"], row["rule"]))
    early = sum(days.index(row["day"]) * 2 <= len(days) for row in ordered)
    ordered[early:] = reversed(ordered[early:])
    return [
        {
            "day": row["day"],
            "label": f"alert: {names[row['team']]}, {row['rule']}",
            "mean": 1 + _LEVEL * (min(_LEVELS, len(ordered)) - 0.5 - n % _LEVELS),
            "align": "left" if n < early else "right",
        }
        for n, row in enumerate(ordered)
    ]


def png(chart: Any) -> bytes:
    """A chart as PNG at twice the size of a plain screen, by vl-convert; no browser, nothing fetched."""
    image = io.BytesIO()
    chart.save(image, format="png", scale_factor=2)
    return image.getvalue()


def save_png(chart: Any, path: Path) -> None:
    """Write a chart as a PNG file."""
    path.write_bytes(png(chart))
