"""How a YAML file is read, and how a mistake in it is put into words: where, what is wrong, what to write instead.

The promise: whatever the file holds, the only error is a ConfigError. A value is quoted as the file writes it, never as
the environment fills it in, and without what stands behind a URL's scheme: no message shows a secret.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.errors import ConfigError, Problem

Location = tuple[str | int, ...]


class Hidden(ValueError):  # noqa: N818 (it names what is to be done)
    """A mistake in a value that may be a secret: the message does not show it."""


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_BEHIND_SCHEME = re.compile(r"://\S*")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error: PyYAML would silently keep the last.

    A key such as `on` is the text that it is, where PyYAML (as YAML 1.1) reads true: a digest has one of that name.
    A scalar that only looks like a date or a number (2026-02-30) stays the text that it is, to be judged where it stands.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
                if key.tag == "tag:yaml.org,2002:bool":
                    key.tag = "tag:yaml.org,2002:str"
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError):
            if not isinstance(node, yaml.ScalarNode):
                raise
            del self.recursive_objects[node]  # it is done with, and may stand elsewhere by its anchor
            return node.value


def read(path: Path) -> dict[Any, Any]:
    """The settings in the YAML file `path`. Raises ConfigError, with line and column where the file is not YAML."""

    def wrong(key: str, what: str, remedy: str) -> ConfigError:
        return ConfigError(str(path), [Problem(key, what, remedy)])

    try:
        text = path.read_text("utf-8")
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            raise wrong(path.name, f"cannot be read ({error.strerror})", "Name a file that exists and may be read") from None
        raise wrong(path.name, "is not UTF-8 text", "Save it as UTF-8") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise wrong(where, f"holds the control character U+{error.character:04X}", "Remove it") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else path.name
        what = _BEHIND_SCHEME.sub("://...", str(error.problem or error.context).splitlines()[0])
        raise wrong(where, f"is not YAML: {what}", "Check indentation, colons and quotes there") from None
    except RecursionError:
        raise wrong(path.name, "nests too deeply", "Write fewer brackets inside one another") from None
    if _loops(found, ()):
        raise wrong(path.name, "holds a part that contains itself", "Take out the * that leads back")
    if not isinstance(found, dict):
        raise wrong(path.name, "holds no settings", "Start from a fresh one: `forum-monitor init`")
    return found


def _loops(value: Any, above: tuple[int, ...]) -> bool:
    """Whether a part contains itself, which an anchor (&) and a reference (*) inside it can do."""
    if not isinstance(value, dict | list):
        return False
    return id(value) in above or any(_loops(item, (*above, id(value))) for item in (value.values() if isinstance(value, dict) else value))


def expand(value: Any, location: Location, problems: list[Problem]) -> Any:
    """A copy with `${NAME}` and `${NAME:-default}` in every text filled in from the environment; what is unset is a problem.

    A key that is left empty is left out, as if it were not written.
    """
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                remedy = f"Set it, or write ${{{match[1]}:-a default}}"
                problems.append(Problem(key_path(location), f"the environment variable {match[1]} is not set", remedy))
                return match[0]
            return found

        return _VARIABLE.sub(replace, value)
    if isinstance(value, dict):
        return {name: expand(item, (*location, name), problems) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [expand(item, (*location, index), problems) for index, item in enumerate(value)]
    return value


def key_path(location: Location) -> str:
    """`rules.0.teams`, without what may be a secret."""
    return ".".join(_BEHIND_SCHEME.sub("://...", str(part))[:80] for part in location) or "(top)"


def written(raw: Any, location: Location) -> Any:
    """What the file says at `location`, or at the last part of it that is there (`- Llama` is `{text: Llama}` in short)."""
    for part in location:
        try:
            raw = raw[part]
        except (LookupError, TypeError):
            return raw if isinstance(raw, str) else None
    return raw


def shown(value: object) -> str:
    """A value for a message: short, and without what stands behind a URL's scheme, which may be a password."""
    if isinstance(value, str):
        text = _BEHIND_SCHEME.sub("://...", value)
        return repr(text if len(text) <= 60 else f"{text[:60]}...")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**15:
        return "a huge number"
    if isinstance(value, bool | int | float | dt.date):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return kind(value)


def kind(value: object) -> str:
    """What sort of value this is, in YAML's words."""
    if value is None:
        return "empty"
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number", dt.date: "a date"}
    return names.get(type(value), "of a kind that has no place here")


def near(word: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not known."""
    names = sorted(known)
    found = difflib.get_close_matches(word[:80], names, n=1)
    return f"Did you mean {found[0]}?" if found else f"Use one of: {', '.join(names) or 'none is there yet'}"


def in_words(details: ErrorDetails, model: type[BaseModel], raw: Any, prefix: Location = ()) -> Problem:
    """A pydantic error on `model` in this product's words; `prefix` is where in the file `raw` the model stands."""
    location: Location = (*prefix, *details["loc"])
    key, value, error = key_path(location), written(raw, location), details["type"]
    if error == "missing":
        return Problem(key, "is missing", f"Add {location[-1]}: ...")
    if error == "extra_forbidden":
        fields = _fields(model, details["loc"])
        return Problem(key, "is not a setting", near(str(location[-1]), (f.alias or name for name, f in fields.items() if not f.exclude)))
    if error == "invalid_key":
        found = key_path((*location[:-1], shown(details["input"])))
        return Problem(found, "is a key that is not a text", "Put it in quotes")
    if error == "value_error":
        reason = details.get("ctx", {}).get("error", details["msg"])
        found = "is not what belongs here" if isinstance(reason, Hidden) else "is missing" if value is None else f"is {shown(value)}"
        return Problem(key, found, str(reason)[:1].upper() + str(reason)[1:])
    if error == "literal_error":
        return Problem(key, f"is {shown(value)}", f"Write one of {details.get('ctx', {}).get('expected', '')}")
    if error == "string_pattern_mismatch":
        return Problem(key, f"is {shown(value)}", "Use lower-case letters, digits, - _ and . only, and begin with a letter or a digit")
    if error == "string_type" and isinstance(value, bool):
        return Problem(key, f"is {shown(value)}", "Put it in quotes: YAML reads yes, no, on and off as true or false")
    if error == "string_type" and isinstance(value, int | float | dt.date):
        return Problem(key, f"is {shown(value)}", "Put it in quotes")
    if error in ("model_type", "dict_type", "model_attributes_type"):
        return Problem(key, f"is {kind(value)}", "Write key: value lines under it")
    if error in ("list_type", "tuple_type"):
        return Problem(key, f"is {kind(value)}, not a list", "Begin each entry with a dash")
    return Problem(key, f"is {shown(value)}", details["msg"].replace("Input should", "It should").replace("Input is", "It is"))


def _fields(model: type[BaseModel], location: Location) -> Mapping[str, Any]:
    """The fields allowed where `location` points, followed through nested models."""
    fields: Mapping[str, Any] = model.model_fields
    for part in location[:-1]:
        annotation = fields[str(part)].annotation if part in fields else None
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                fields = candidate.model_fields
    return fields
