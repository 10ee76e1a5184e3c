"""What every section of config.yaml is made of: durations, names and files as people write them, and what is refused everywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from monitor.records import clean

ID = r"^[a-z0-9][a-z0-9_.-]*$"
"""What teams, sources and rules are called by."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> float:
    """A duration as people write it (`90s`, `30m`, `6h`, `1d`, or a number of seconds) in seconds."""
    found = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)):
        found = float(match[1]) * _UNITS[match[2]]
    if not 0 < found <= 366 * 86400:
        raise ValueError("write a duration above 0 and of at most a year, such as 90s, 30m, 6h or 1d")
    return float(found)


def _visible(text: str) -> str:
    if not clean(text):
        raise ValueError("write a name that can be seen")
    return text


def _file(path: Path) -> Path:
    if str(path) in ("", ".") or "\0" in str(path) or ":/" in str(path):  # Path makes one slash of two
        raise ValueError("write the path of a file")
    return Path(os.path.expanduser(path))


Seconds = Annotated[float, BeforeValidator(seconds)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_visible)]
File = Annotated[Path, AfterValidator(_file)]


class Section(BaseModel):
    """A mapping in config.yaml: no key that is not known, nothing changed after it was read, no value in a message."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in (int, float, int | None, float | None):
            raise ValueError("write a number")
        return value
