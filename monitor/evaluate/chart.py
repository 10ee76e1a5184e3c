"""A report as one picture: how far its probabilities can be trusted, which labels it takes for which, and F1 by group.

The promise: every point shows its interval or its n, so that a lucky handful does not look like a finding.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from monitor.charts import COLOURS
from monitor.evaluate import FEW, Report
from monitor.evaluate.rows import LABELS

_SIDE = 260
"""Width and height of a part in pixels; that of the groups grows with their number."""

_SHARE = alt.Scale(domain=[0, 1])


def evaluation_chart(report: Report) -> Any:
    """An Altair chart of a report: reliability diagram, confusion matrix, and macro-F1 by group with intervals."""
    subtitle = f"{report.pairs} pairs in {report.posts} posts. Bars: 95 % intervals, posts drawn anew."
    heading = alt.TitleParams(f"{report.model} against people's labels", subtitle=subtitle, subtitleColor="#555", anchor="start")
    chart = alt.hconcat(_reliability(report), _confusion(report), _groups(report), spacing=40)
    return chart.properties(title=heading, background="white", padding=12).configure_view(stroke=None)


def _reliability(report: Report) -> Any:
    rows = [{"confidence": each.confidence, "accuracy": each.accuracy, "pairs": each.pairs} for each in report.bins]
    x = alt.X("confidence:Q", title="probability that the model gives its label", scale=_SHARE)
    y = alt.Y("accuracy:Q", title="share on which it is right", scale=_SHARE)
    ideal = [{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y)
    title = f"Calibration: ECE {report.ece:.3f} (chance alone: {report.ece_if_calibrated:.3f})"
    layers = alt.layer(
        alt.Chart(alt.InlineData(values=ideal)).mark_line(color="#888", strokeDash=[5, 3]).encode(x=x, y=y),
        base.mark_line(color=COLOURS[1]),
        base.mark_circle(color=COLOURS[1], opacity=1).encode(size=alt.Size("pairs:Q", scale=alt.Scale(range=[20, 400]), legend=None)),
        base.mark_text(dy=-14, color="#222").encode(text="pairs:Q"),
    )
    return _square(layers, title, "Above the line: too modest. Below: too sure.")


def _confusion(report: Report) -> Any:
    rows = [
        {"people": people, "model": model, "pairs": count, "share": count / max(1, sum(counts))}
        for people, counts in zip(LABELS, report.confusion, strict=True)
        for model, count in zip(LABELS, counts, strict=True)
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("model:N", sort=None, title="the model says", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("people:N", sort=None, title="people say"),
    )
    share = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#ffffff", COLOURS[1]], interpolate="rgb"), legend=None)
    ink = alt.condition("datum.share > 0.6", alt.value("white"), alt.value("#222"))
    layers = alt.layer(base.mark_rect(stroke="#ddd").encode(color=share), base.mark_text(fontSize=14).encode(text="pairs:Q", color=ink))
    return _square(layers, "Labels, in pairs", "Shade: share of the line.")


def _groups(report: Report) -> Any:
    rows = [
        {
            "group": f"{group.name if group.by == 'all' else f'{group.by} {group.name}'} (n {group.pairs})",
            "f1": group.macro_f1.value,
            "low": group.macro_f1.low,
            "high": group.macro_f1.high,
            "opacity": 0.4 if group.pairs < FEW else 1.0,
        }
        for group in report.groups
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=300)),
        opacity=alt.Opacity("opacity:Q", scale=None, legend=None),
    )
    layers = alt.layer(
        base.mark_rule(color=COLOURS[1], strokeWidth=2).encode(x=alt.X("low:Q", scale=_SHARE, title="macro-F1"), x2="high:Q"),
        base.mark_circle(color=COLOURS[1], size=70).encode(x=alt.X("f1:Q", scale=_SHARE)),
    )
    return _square(layers, "Macro-F1 by group", f"Pale: fewer than {FEW} pairs.").properties(height=max(_SIDE, 22 * len(rows)))


def _square(layers: Any, title: str, subtitle: str) -> Any:
    return layers.properties(width=_SIDE, height=_SIDE, title=alt.TitleParams(title, subtitle=subtitle, fontSize=12))
