"""The section `rules` of config.yaml: when an alert fires, and when it is over.

The promise: what a rule leaves out is filled in so that it keeps its budget of false alarms, as tests/benchmarks/alerts.py
measured it; a rule that would be over while it still fires is refused.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.records import ALL, POSTS_UNREAD, SOURCE_STOPPED
from monitor.section import ID, Section

RuleType = Literal["below", "above", "drop", "rise", "shift", "overtakes", "spike", "silence"]
Direction = Literal["down", "up"]
Figure = Literal["raw", "corrected"]

_THRESHOLDS: dict[RuleType, tuple[float, float, float]] = {  # the smallest that makes sense, the greatest, the default
    "below": (-1.0, 1.0, -0.3),
    "above": (-1.0, 1.0, 0.3),
    "drop": (0.01, 2.0, 0.25),
    "rise": (0.01, 2.0, 0.25),
    "shift": (0.01, 2.0, 0.1),
    "overtakes": (0.0, 2.0, 0.0),
    "spike": (1.01, 1000.0, 3.0),
    "silence": (0.0, 0.99, 0.1),
}
_UPWARD = ("below", "silence")
"""Types whose recovery threshold lies above the threshold."""

DIRECTIONS: dict[str, int] = {"below": -1, "drop": -1, "above": 1, "rise": 1, "overtakes": 1}
"""What an alert by a type of rule tells of: a fall (-1) or a rise (1). Of `shift` its figures tell; all others tell of neither."""

_DAYS: dict[RuleType, int] = {"drop": 2, "rise": 2}
_BASELINE: dict[RuleType, int] = {"shift": 84}
_BASELINE_CORRECTED = 56

FALSE_ALARMS: dict[RuleType, tuple[tuple[float, float], ...]] = {
    "below": ((0.95, 0.15), (0.99, 0.03)),
    "above": ((0.95, 0.98), (0.99, 0.22)),
    "drop": ((0.95, 0.7), (0.97, 0.35)),
    "rise": ((0.95, 0.72), (0.97, 0.37)),
    "shift": ((0.999, 1.15), (0.9993, 0.9), (0.9995, 0.75), (0.9998, 0.43)),
    "overtakes": ((0.9, 0.22), (0.95, 0.08)),
    "spike": ((0.99, 0.98), (0.995, 0.73), (0.998, 0.37), (0.999, 0.2)),
    "silence": ((0.99, 1.15), (0.998, 0.97), (0.9995, 0.68), (0.9999, 0.55)),
}
"""(confidence, false alarms per series and year), with the other defaults: the worst of quiet series of 5, 20 and 100 voices a day."""

FALSE_ALARMS_CORRECTED: dict[RuleType, tuple[tuple[float, float], ...]] = {
    "below": ((0.8, 0.4), (0.9, 0.1)),
    "above": ((0.9, 1.5), (0.95, 0.4), (0.98, 0.1)),
    "drop": ((0.95, 2.1), (0.98, 0.8), (0.99, 0.6), (0.999, 0.2)),
    "rise": ((0.95, 3.5), (0.98, 1.4), (0.99, 0.6), (0.999, 0.1)),
    "overtakes": ((0.8, 2.3), (0.9, 0.9), (0.95, 0.2)),
}
"""The same with `figure: corrected`, for the types that can have it: the worst of figures corrected by a sample of 20 posts a day and
by the confusion (overtakes: by a sample alone). 0.1 stands where none came in ten years."""

_NO_WEEKS: dict[RuleType, str] = {
    "shift": "looks for the day of a turn, and the corrected figures of days next to each other share six days: write type drop, or rise, "
    "with `figure: corrected`, or leave `figure` out",
    "spike": "counts who speaks, which the model does not err on: leave `figure` out",
    "silence": "counts posts, which the model does not err on: leave `figure` out",
}

BUDGET = 0.75
"""False alarms per series and year for a rule without `budget` and `confidence`; below one, since measures have chance in them."""


_LEAST_CHANCE = 1e-6


def _table(rule_type: RuleType, figure: Figure) -> tuple[tuple[float, float], ...]:
    """Of types that cannot have the corrected figure the other one's: their rule has a problem already."""
    return (FALSE_ALARMS_CORRECTED if figure == "corrected" else {}).get(rule_type) or FALSE_ALARMS[rule_type]


def confidence_for(rule_type: RuleType, budget: float, figure: Figure = "raw") -> float:
    """The least confidence that keeps `budget`, by the measured table: log-linear between its rows and beyond its last.

    Raises ValueError where no confidence does: a source that is missing is silent however sure the statistics are.
    """
    table = _table(rule_type, figure)
    chance = 1 - table[0][0]
    for (low, often), (high, rarely) in pairwise(table):
        if budget < often:
            chance = (1 - low) * math.pow((1 - high) / (1 - low), math.log(often / budget) / math.log(often / rarely))
        if budget >= rarely:
            break
    if chance < _LEAST_CHANCE:
        raise ValueError(
            f"no confidence keeps a budget of {budget:g} per year with type {rule_type}: write a larger one, or more days in `for`"
        )
    return round(1 - chance, 9)


def false_alarms(rule: Rule) -> float:
    """False alarms per series and year of a rule with its confidence: the reverse of `confidence_for`."""
    for (low, often), (high, rarely) in pairwise(_table(rule.type, rule.figure)):
        steps = math.log((1 - low) / (1 - rule.confidence)) / math.log((1 - low) / (1 - high))
        found = often * math.pow(rarely / often, steps)
        if rule.confidence <= high:
            break
    return found


def _recover(rule_type: RuleType, threshold: float) -> float:
    """The default: clear of `threshold`, and within reach. With the default thresholds -0.2, 0.2, 0.1, 0.1, 0.05, -0.1, 1.5 and 0.5."""
    found = {
        "below": min(threshold + 0.1, 1.0),
        "above": max(threshold - 0.1, -1.0),
        "drop": threshold * 0.4,
        "rise": threshold * 0.4,
        "shift": threshold * 0.5,
        "overtakes": threshold - 0.1,
        "spike": 1 + (threshold - 1) / 4,
        "silence": threshold + (1 - threshold) * 4 / 9,
    }
    return round(found[rule_type], 6)


class Rule(Section):
    """When an alert fires and when it is over. What `threshold` and `recover` mean stands in monitor/rules/<type>.py."""

    id: str = Field(pattern=ID)
    type: RuleType
    enabled: bool = True
    teams: tuple[str, ...] = (ALL,)
    """Ids of teams, or `*` for each; none at all, with type silence, for the source as a whole."""
    against: str | None = None
    """With type overtakes: the team that the others are compared with."""
    source: str = ALL
    figure: Figure = "raw"
    """With types below, above, drop, rise and overtakes: the day's figure as the model reads it, or that of the seven days up to it with
    the model's errors taken out (of all sources together). A corrected rule judges whole days alone, and compares weeks."""
    direction: Direction = "down"
    """With type shift: whether falls or rises are looked for."""
    min_authors: int = Field(default=8, ge=1, le=100_000)
    for_: int = Field(default=None, validate_default=True, ge=1, le=60, alias="for")
    """Days in a row on which the condition must hold before the alert fires."""
    threshold: float = Field(default=None, validate_default=True, allow_inf_nan=False)
    recover: float = Field(default=None, validate_default=True, allow_inf_nan=False)
    recover_for: int = Field(default=2, ge=1, le=60)
    """Complete days in a row on which the recovery threshold must hold before the alert is resolved."""
    baseline_days: int = Field(default=None, validate_default=True, ge=5, le=366)
    budget: float | None = None
    """False alarms per series and year that are put up with, written as `1 per year`; `confidence` is set from it."""
    confidence: float = Field(default=None, validate_default=True, gt=0.5, lt=1)
    """How sure the statistics must be, one-sided. What it costs in false alarms stands in README."""
    severity: str | None = Field(default=None, pattern=ID)
    """How urgent its alerts are, in words of your own; a target with `severities` takes those alone that it names."""

    @field_validator("id")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value in (SOURCE_STOPPED, POSTS_UNREAD):
            what = "a source cannot be read" if value == SOURCE_STOPPED else "posts wait to be understood"
            raise ValueError(f"write another id: this one is that of the alert that {what}")
        return value

    @field_validator("teams", mode="before")
    @classmethod
    def _one_team(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("against")
    @classmethod
    def _only_where_it_means_something(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("type") != "overtakes":
            raise ValueError("take it out: only type overtakes compares with another team")
        return value

    @field_validator("figure")
    @classmethod
    def _of_sentiment_in_all_sources(cls, value: Figure, info: ValidationInfo) -> Figure:
        rule_type = info.data.get("type")
        if value == "corrected" and rule_type in _NO_WEEKS:
            raise ValueError(f"type {rule_type} cannot use the corrected figure: it {_NO_WEEKS[rule_type]}")
        if value == "corrected" and info.data.get("source", ALL) != ALL:
            raise ValueError("corrected figures are of all sources together: leave `figure` out, or `source`")
        return value

    @field_validator("for_", "baseline_days", mode="before")
    @classmethod
    def _by_type(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            return value
        rule_type = info.data.get("type", "below")  # without a type there is a problem already
        if info.field_name == "for_":
            return _DAYS.get(rule_type, 1)
        return _BASELINE_CORRECTED if info.data.get("figure") == "corrected" else _BASELINE.get(rule_type, 28)

    @field_validator("baseline_days")
    @classmethod
    def _enough_weeks(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("figure") == "corrected" and value < 21:
            raise ValueError("write at least 21: a corrected figure is compared with three whole weeks or more")
        return value

    @field_validator("threshold", "recover", mode="before")
    @classmethod
    def _clear_of_each_other(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            return value
        rule_type = info.data.get("type", "below")
        default = _THRESHOLDS[rule_type][2]
        return default if info.field_name == "threshold" else _recover(rule_type, info.data.get("threshold", default))

    @field_validator("threshold")
    @classmethod
    def _makes_sense(cls, value: float, info: ValidationInfo) -> float:
        if "type" in info.data:
            least, most, _ = _THRESHOLDS[info.data["type"]]
            if not least <= value <= most:
                raise ValueError(f"write a number from {least:g} to {most:g}")
        return value

    @field_validator("recover")
    @classmethod
    def _keeps_clear(cls, value: float, info: ValidationInfo) -> float:
        if not {"type", "threshold"} <= info.data.keys():  # they have a problem of their own
            return value
        threshold, upward = info.data["threshold"], info.data["type"] in _UPWARD
        if value < threshold if upward else value > threshold:
            raise ValueError(
                f"write a recover that is {'above' if upward else 'below'} the threshold ({threshold:g}): "
                "with this one the alert would be over while it still fires"
            )
        return value

    @field_validator("budget", mode="before")
    @classmethod
    def _per_year(cls, value: object) -> object:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+per\s+(year|month)\s*", value) if isinstance(value, str) else None
        often = float(match[1]) * (12 if match[2] == "month" else 1) if match else 0.0
        if value is not None and not 0.01 <= often <= 24:
            raise ValueError("write how many false alarms a series may make, such as 1 per year or 2 per month")
        return often or None

    @field_validator("confidence", mode="before")
    @classmethod
    def _within_the_budget(cls, value: object, info: ValidationInfo) -> object:
        budget = info.data.get("budget")
        if value is not None and budget is not None:
            raise ValueError("take it or budget out: the one sets the other")
        if value is not None:
            return value
        return confidence_for(info.data.get("type", "below"), budget or BUDGET, info.data.get("figure", "raw"))
