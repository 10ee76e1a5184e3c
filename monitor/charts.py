"""One chart definition: daily means with their intervals, one line per team. PNG now, pages later, from the same.

Days with insufficient data have no point, and the line is broken there: a gap is shown as a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt

# Okabe and Ito's colours, told apart by colour-blind eyes.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def trend_chart(days: Sequence[Mapping[str, Any]], names: Mapping[str, str], title: str, alerts: Sequence[Mapping[str, Any]] = ()) -> Any:
    """A chart of `days` (rows of v_daily: day, team, mean, low, high, authors); `names` maps the team ids shown to names.

    `alerts` (day, team, rule) are drawn as vertical lines on the day they fired.
    """
    rows = [
        {"day": row["day"], "team": names[row["team"]], "mean": row["mean"], "low": row["low"], "high": row["high"], "people": row["authors"]}
        for row in days
        if row["team"] in names
    ]
    colour = alt.Color("team:N", title=None, scale=alt.Scale(domain=list(names.values()), range=list(COLOURS[: len(names)])))
    day = alt.X("yearmonthdate(day):T", title=None, axis=alt.Axis(format="%-d %b", grid=False))
    scale = alt.Scale(domain=[-1, 1])
    base = alt.Chart(alt.Data(values=rows)).encode(x=day, color=colour)
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", scale=scale, title="sentiment, mean of voices"), y2="high:Q")
    line = base.mark_line(point=True, strokeWidth=2).encode(y=alt.Y("mean:Q", scale=scale))
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color="#999", strokeDash=[2, 3]).encode(y="zero:Q")
    fired = [{"day": row["day"], "label": f"alert: {names[row['team']]}"} for row in alerts if row["team"] in names]
    marks = alt.Chart(alt.Data(values=fired)).encode(x=day)
    rule = marks.mark_rule(color="#444", strokeDash=[5, 3])
    label = marks.mark_text(align="left", dx=5, y=10, color="#444").encode(text="label:N")
    return (zero + band + line + rule + label).properties(width=760, height=320, title=title).configure_view(stroke=None)


def save_png(chart: Any, path: Path) -> None:
    """Write a chart as PNG at twice the size of a plain screen, by vl-convert; no browser, nothing fetched."""
    chart.save(str(path), format="png", scale_factor=2)
