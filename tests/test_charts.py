"""The chart shows what is known, and a gap where nothing is."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.charts import COLOURS, DARK, MOST_TEAMS, Words, save, save_png, svg, trend_chart
from monitor.cli import main
from monitor.errors import InputError
from monitor.store import Store

NAMES = {"meta-genai": "Meta GenAI", "deepseek": "DeepSeek"}
FIRST = dt.date(2025, 1, 20)


def day(n: int, team: str, mean: float | None) -> dict[str, Any]:
    """A row of v_daily on the n-th day; without a mean it is one on which too few people spoke."""
    low, high = (None, None) if mean is None else (mean - 0.2, mean + 0.2)
    authors = 2 if mean is None else 9
    return {"day": (FIRST + dt.timedelta(days=n)).isoformat(), "team": team, "mean": mean, "low": low, "high": high, "authors": authors}


DAYS = [
    *(day(n, "meta-genai", mean) for n, mean in enumerate([0.05, None, 0.02, -0.61, -0.58])),
    *(day(n, "deepseek", mean) for n, mean in ((0, 0.3), (3, 0.6), (4, 0.55))),
    *(day(n, "openai", 0.1) for n in range(5)),
]
ALERTS = [
    {"day": "2025-01-23", "team": "meta-genai", "rule": "drop"},
    {"day": "2025-01-23", "team": "meta-genai", "rule": "spike"},
    {"day": "2025-01-23", "team": "openai", "rule": "drop"},
]


Layers = list[tuple[dict[str, Any], list[dict[str, Any]]]]


def drawn(chart: dict[str, Any], panel: int = 0) -> Layers:
    """Each layer of a panel of a chart (0: means, 1: people) with the rows that it draws."""
    whole = chart["vconcat"][panel]
    return [(layer, chart["datasets"][layer.get("data", whole.get("data"))["name"]]) for layer in whole["layer"]]


def means(chart: dict[str, Any], name: str) -> dict[str, float | None]:
    """What the line of a team goes through, by day."""
    rows = next(rows for layer, rows in drawn(chart) if layer["mark"]["type"] == "line" and layer["encoding"]["y"]["field"] == "mean")
    return {row["day"]: row["mean"] for row in rows if row["team"] == name}


def heights(chart: dict[str, Any]) -> dict[str, float]:
    """The labels of alerts, and how high they stand on the scale of the means."""
    return {row["label"]: row["mean"] for layer, rows in drawn(chart) if layer["mark"]["type"] == "text" for row in rows if "label" in row}


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_png_of_readable_size_is_written(tmp_path: Path, count: int) -> None:
    """The chart is a PNG file, twice as large as a plain screen needs, however many alerts there are, and over white."""
    path = tmp_path / "trend.png"
    chart = trend_chart(DAYS, NAMES, "Sentiment", [{**ALERTS[0], "rule": f"rule {n}"} for n in range(count)])
    save_png(chart, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1600 and height > 700
    assert chart["background"] == "#ffffff"


def test_a_day_without_enough_people_is_a_gap() -> None:
    """A day of insufficient data has no mean in the chart and is not left out, so that the line breaks there."""
    assert means(trend_chart(DAYS, NAMES, "Sentiment"), "Meta GenAI") == {
        "2025-01-20": 0.05, "2025-01-21": None, "2025-01-22": 0.02, "2025-01-23": -0.61, "2025-01-24": -0.58,
    }  # fmt: skip


def test_a_day_without_a_row_is_a_gap_too() -> None:
    """Days on which nobody spoke have no row in the store; the line does not run across them."""
    found = means(trend_chart(DAYS, NAMES, "Sentiment"), "DeepSeek")
    assert list(found) == ["2025-01-20", "2025-01-21", "2025-01-22", "2025-01-23", "2025-01-24"]
    assert found["2025-01-21"] is None and found["2025-01-22"] is None and found["2025-01-23"] == 0.6


def test_only_the_teams_asked_for_are_drawn() -> None:
    """Days and alerts of a team that is not among the names are left out; every team shown is in the legend."""
    chart = trend_chart(DAYS, NAMES, "Sentiment", ALERTS)
    assert "openai" not in str(chart)
    assert set(heights(chart)) == {"alert: Meta GenAI, drop", "alert: Meta GenAI, spike"}
    coloured = [layer["encoding"] for layer, _ in drawn(chart) if "color" in layer["encoding"]]
    legends = [encoding["color"]["scale"]["domain"] for encoding in coloured]
    assert legends and all(domain == ["Meta GenAI", "DeepSeek"] for domain in legends)


def test_labels_of_alerts_on_one_day_stand_one_above_the_other() -> None:
    """Labels of alerts that fired together are at different heights, all above the plot of means in [-1, 1]."""
    found = heights(trend_chart(DAYS, NAMES, "Sentiment", ALERTS))
    assert len(set(found.values())) == len(found) == 2
    assert min(found.values()) > 1


def test_nothing_known_is_an_empty_chart(tmp_path: Path) -> None:
    """Before the first post the chart is empty axes, not an error."""
    save_png(trend_chart([], NAMES, "Sentiment"), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


ONE = {"meta-genai": "Meta GenAI"}


def test_a_team_alone_has_its_baseline_changes_and_people() -> None:
    """What was usual is a line of its own, a change of level a line with its size, and people a day stand below, few of them paler."""
    days = [{**row, "usual": 0.1, "usual_authors": 8.0, "change_point": -0.6 if row["mean"] == -0.61 else None} for row in DAYS]
    chart = trend_chart(days, ONE, "Sentiment")
    fields = [layer["encoding"].get("y", {}).get("field") for layer, _ in drawn(chart) if layer["mark"]["type"] == "line"]
    assert fields == ["usual", "mean"]
    changes = [row["day"] for layer, rows in drawn(chart) if layer["mark"].get("strokeDash") == [1, 2] for row in rows]
    assert changes == ["2025-01-23"]
    bars, rows = drawn(chart, panel=1)[0]
    assert [row["people"] for row in rows] == [9, 2, 9, 9, 9]
    assert bars["encoding"]["opacity"]["condition"]["test"] == "isValid(datum.mean)"
    assert "usual" in svg(chart) and "new level \u22120.60" in svg(chart)


def test_the_axis_is_that_of_the_days_asked_for() -> None:
    """Days before the first post are on the axis, and nothing is said of them: not even that nobody spoke."""
    chart = trend_chart(DAYS, ONE, "", span=(FIRST - dt.timedelta(days=2), FIRST + dt.timedelta(days=4)))
    rows = drawn(chart, panel=1)[0][1]
    assert [row["people"] for row in rows][:3] == [None, None, 9] and len(rows) == 7


def test_many_alerts_are_lines_without_words() -> None:
    """More alerts than labels have room for each have a line and a mark at one height, and no label runs into another."""
    chart = trend_chart(DAYS, ONE, "", [{**ALERTS[0], "rule": f"rule {n}"} for n in range(9)])
    assert heights(chart) == {}
    marks = next(rows for layer, rows in drawn(chart) if layer["mark"].get("shape") == "triangle-down")
    assert len(marks) == 9 and len({mark["mean"] for mark in marks}) == 1


def test_colours_are_told_apart_on_light_and_dark() -> None:
    """Dark paper has light words; and whatever the paper, teams differ by the shape of their points too."""
    dark = trend_chart(DAYS, NAMES, "Sentiment", theme=DARK)
    assert dark["background"] == DARK.paper and dark["title"]["color"] == DARK.ink
    shapes = [layer["encoding"]["shape"]["scale"]["range"] for layer, _ in drawn(dark) if "shape" in layer["encoding"]]
    assert shapes and all(len(set(each)) == len(each) >= MOST_TEAMS for each in shapes)
    assert len(set(DARK.colours)) == len(set(COLOURS)) == MOST_TEAMS


def test_a_chart_is_written_by_the_ending_of_its_name(tmp_path: Path) -> None:
    """`.svg` is SVG with its words as text, in the words' language; any other ending than it and `.png` is answered by a sentence."""
    chart = trend_chart(DAYS, NAMES, "Sentiment <toward> two", words=Words(people="personnes", locale="fr-FR"))
    save(chart, tmp_path / "trend.SVG")
    drawing = (tmp_path / "trend.SVG").read_text("utf-8")
    assert drawing.startswith("<svg") and "personnes" in drawing and "Sentiment &lt;toward&gt; two" in drawing
    assert "+0,5" in svg(chart, Words(locale="fr-FR"))
    with pytest.raises(InputError, match="neither in"):
        save(chart, tmp_path / "trend.gif")


def test_show_draws_its_chart(tmp_path: Path, write_config: Callable[..., Path]) -> None:
    """`show --chart FILE` writes the picture beside its table; one that cannot be written is told."""
    path = write_config()
    Store(tmp_path / "monitor.db").close()

    def show(*words: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(path), "show", *words])

    assert show("deepseek", "--chart", str(tmp_path / "one.svg")).exit_code == 0
    assert "Sentiment toward DeepSeek" in (tmp_path / "one.svg").read_text("utf-8")
    assert show("--chart", str(tmp_path / "all.svg")).exit_code == 0
    assert (tmp_path / "all.svg").exists()
    for words, told in (
        (["--chart", str(tmp_path / "no" / "one.svg")], "cannot be written"),
        (["--attention", "--chart", "a.svg"], "leave out"),
    ):
        done = show(*words)
        assert done.exit_code == 2 and told in done.stderr
