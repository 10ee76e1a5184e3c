"""The chart shows what is known, and a gap where nothing is."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path
from typing import Any

import pytest

from monitor.charts import save_png, trend_chart

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


def drawn(chart: Any) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each layer of a chart with the rows that it draws."""
    drawing = chart.to_dict()
    return [(layer, drawing["datasets"][layer["data"]["name"]]) for layer in drawing["layer"]]


def means(chart: Any, name: str) -> dict[str, float | None]:
    """What the line of a team goes through, by day."""
    [rows] = [rows for layer, rows in drawn(chart) if layer["mark"]["type"] == "line"]
    return {row["day"]: row["mean"] for row in rows if row["team"] == name}


def heights(chart: Any) -> dict[str, float]:
    """The labels of alerts, and how high they stand on the scale of the means."""
    return {row["label"]: row["mean"] for layer, rows in drawn(chart) if layer["mark"]["type"] == "text" for row in rows}


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
    assert chart.to_dict()["background"] == "white"


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
    assert "openai" not in str(chart.to_dict())
    assert set(heights(chart)) == {"alert: Meta GenAI, drop", "alert: Meta GenAI, spike"}
    legends = [layer["encoding"]["color"]["scale"]["domain"] for layer, _ in drawn(chart) if "color" in layer["encoding"]]
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
