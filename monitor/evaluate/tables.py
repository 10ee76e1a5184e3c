"""A report as a person reads it in the terminal, and as rows for a spreadsheet."""

from __future__ import annotations

from typing import Any

from rich.console import Group as Parts
from rich.table import Table
from rich.text import Text

from monitor.evaluate import FEW, Figure, Report
from monitor.evaluate.rows import LABELS


def group_rows(report: Report) -> list[dict[str, Any]]:
    """One row per group: by, name, posts, pairs, then macro_f1 and accuracy with their intervals, then F1 per label; shares."""
    return [
        {
            "by": group.by,
            "name": group.name,
            "posts": group.posts,
            "pairs": group.pairs,
            **_flat("macro_f1", group.macro_f1),
            **_flat("accuracy", group.accuracy),
            **{f"f1_{label}": value for label, value in zip(LABELS, group.f1, strict=True)},
        }
        for group in report.groups
    ]


def _flat(name: str, figure: Figure) -> dict[str, float]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}


def report_view(report: Report) -> Any:
    """Everything in the report: groups, confusion, calibration, names exchanged. Figures are per cent."""
    return Parts(_groups(report), *_notes(report), "", _confusion(report), "", _calibration(report), *_endnotes(report))


def _groups(report: Report) -> Table:
    table = _table(
        f"{report.model} against people's labels, per cent",
        ("", "posts", "pairs", "macro-F1", "95 % interval", "accuracy", "95 % interval", *(f"F1 {label}" for label in LABELS)),
    )
    by = report.groups[0].by
    for group in report.groups:
        if group.by != by:
            table.add_section()
            by = group.by
        shares = [_percent(value) for value in group.f1]
        table.add_row(
            group.name if by == "all" else f"{by} {group.name}", str(group.posts), str(group.pairs), _percent(group.macro_f1.value),
            _interval(group.macro_f1), _percent(group.accuracy.value), _interval(group.accuracy), *shares,
            style="dim" if group.pairs < FEW else "",
        )  # fmt: skip
    return table


def _notes(report: Report) -> list[Text]:
    notes = [f"Intervals: {report.resamples} bootstrap draws of the posts, seed {report.seed}."]
    if any(group.pairs < FEW for group in report.groups):
        notes.append(f"Dim: fewer than {FEW} pairs. Such figures say as little as their intervals are wide.")
    total = report.pairs + report.not_found + report.failed + report.waiting
    if report.not_found:
        notes.append(f"{report.not_found} of {total} labels ({report.not_found / total:.1%}) name a team that does not stand in the text.")
    if report.failed:
        notes.append(f"{report.failed} of {total} labels are of texts that the model cannot take.")
    if report.waiting:
        notes.append(f"{report.waiting} of {total} labels are of texts that were not read: {report.paused}.")
    if total > report.pairs:
        notes.append("They are in no figure.")
    return [Text(note, style="dim") for note in notes]


def _confusion(report: Report) -> Table:
    table = _table("Pairs by what people say (lines) and what the model says (columns)", ("", *LABELS, "found of these"))
    for index, (label, counts) in enumerate(zip(LABELS, report.confusion, strict=True)):
        table.add_row(label, *map(str, counts), _share(counts[index], sum(counts)))
    columns = list(zip(*report.confusion, strict=True))
    table.add_section()
    table.add_row("right of these", *(_share(counts[index], sum(counts)) for index, counts in enumerate(columns)), "")
    return table


def _calibration(report: Report) -> Table:
    table = _table("When the model is so sure, how often is it right?", ("probability", "pairs", "mean probability", "right", "difference"))
    for each in report.bins:
        table.add_row(
            f"{each.low:.1f} to {each.high:.1f}", str(each.pairs), _percent(each.confidence), _percent(each.accuracy),
            f"{100 * (each.accuracy - each.confidence):+z.1f}", style="dim" if each.pairs < FEW else "",
        )  # fmt: skip
    return table


def _endnotes(report: Report) -> list[Text]:
    notes = [
        f"Calibration error (ECE, 10 bins): {report.ece:.3f}. A model without any would show {report.ece_if_calibrated:.3f} by chance "
        f"on {report.pairs} pairs."
    ]
    if report.swap:
        change = report.swap.change
        notes.append(
            f"With the teams' names exchanged, value changes by {change.value:.3f} ({change.low:.3f} to {change.high:.3f}) on average, and "
            f"{report.swap.turned:.1%} of {report.swap.pairs} labels turn."
        )
    return [Text(note) for note in notes]


def _table(title: str, headers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number else "left", no_wrap=True)
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _share(part: int, whole: int) -> str:
    return _percent(part / whole if whole else None)


def _interval(figure: Figure) -> str:
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
