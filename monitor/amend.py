"""Changes to the text of a config.yaml: a team, a source or a target more, fewer teams, another value.

The promise: comments and layout stay, and nothing changes but what was asked. Text is put in or cut out where PyYAML's parser says
that the part stands; what comes out is read again and compared with what was wanted, and is no answer unless it is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from monitor.errors import InputError

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as the text that it is, so that a date that is none is no obstacle. In C, where PyYAML has that, ten times as fast."""

Place = tuple[str | int, ...]
"""Keys, and numbers of items, from the top down: ("notify", "targets"), ("sources", 0, "options")."""


@dataclass(slots=True)
class _Part:
    """A value in the text: where it begins and ends (characters), what is in it, and its anchor (&) or what it refers to (*)."""

    start: int
    column: int
    end: int = 0
    flow: bool = False
    anchor: str | None = None
    refers: str | None = None
    keys: dict[str, _Part] = field(default_factory=dict)
    items: list[_Part] = field(default_factory=list)

    def all(self) -> Iterator[_Part]:
        """This part and those in it, as they stand in the text."""
        yield self
        for inner in (*self.keys.values(), *self.items):
            yield from inner.all()


def _parts(text: str) -> _Part:
    """The one document in `text`."""
    events = iter(yaml.parse(text, Loader=_LOADER))

    def part(event: Any) -> _Part:
        found = _Part(event.start_mark.index, event.start_mark.column, event.end_mark.index)
        if isinstance(event, yaml.AliasEvent):
            found.refers = event.anchor
            return found
        found.anchor = event.anchor
        found.flow = bool(getattr(event, "flow_style", False))
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(event := next(events), yaml.MappingEndEvent):
                found.keys[getattr(event, "value", "")] = part(next(events))
        elif isinstance(event, yaml.SequenceStartEvent):
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                found.items.append(part(event))
        # A block ends, to the parser, where the next one begins: comments between them are not in it.
        within = not found.flow and (found.keys or found.items)
        found.end = max(each.end for each in found.all()) if within else event.end_mark.index
        return found

    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            return part(event)
    raise yaml.YAMLError("no settings")


def _at(top: _Part, place: Place) -> _Part | None:
    found: _Part | None = top
    for key in place:
        if found and isinstance(key, int):
            found = found.items[key] if key < len(found.items) else None
        elif found:
            found = found.keys.get(str(key))
    return found


def _told(place: Place) -> str:
    return ".".join(map(str, place))


def block(item: Mapping[str, Any]) -> str:
    """An item of a list as this program writes it: a key a line, lists and small mappings on one."""
    return yaml.safe_dump(dict(item), allow_unicode=True, sort_keys=False, default_flow_style=None, width=10_000)


def _flow(value: Any) -> str:
    """A value on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def appended(text: str, place: Place, item: Any) -> str:
    """`text` with one more item at the end of the list at `place`. InputError, with what to write, where it cannot be."""
    top = _parts(text)
    part = _at(top, place)
    if part is None and len(place) == 1:
        changed = f"{text.rstrip()}\n\n{place[0]}:\n{_dashed(item, 2)}"
    elif part and part.items and not part.flow:
        end = _line_end(text, part.end)
        changed = f"{text[:end].rstrip(chr(10))}\n{_dashed(item, part.column)}{text[end:]}"
    elif part and part.flow and part.items:
        changed = f"{text[: part.items[-1].end]}, {_flow(item)}{text[part.items[-1].end :]}"
    elif part and (part.flow or part.start == part.end) and not part.keys:  # [] or nothing
        changed = f"{text[: part.start].rstrip(' ')} [{_flow(item)}]{text[part.end :]}"
    else:
        changed = ""

    def wanted(settings: Any) -> None:
        inner = settings
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = [*(inner.get(place[-1]) or []), item]

    return _proved(text, changed, wanted, f"add these lines under {_told(place)} by hand:\n{_dashed(item, 2)}")


def replaced(text: str, place: Place, value: Any) -> str:
    """`text` with another value of one line at `place`, which must be there."""
    part = _at(_parts(text), place)

    def wanted(settings: Any) -> None:
        for key in place[:-1]:
            settings = settings[key]
        settings[place[-1]] = value

    changed = text[: part.start] + _flow(value) + text[part.end :] if part else ""
    return _proved(text, changed, wanted, f"write {_told(place)}: {_flow(value)} by hand")


def without(text: str, place: Place, key: str, names: Collection[str]) -> str:
    """`text` without those items of the block list at `place` whose `key` is in `names`. What others refer to (*) stays with them."""
    top = _parts(text)
    part = _at(top, place)
    if part is None or part.flow:
        raise InputError(f"{_told(place)} is no list with an item a line: take {', '.join(names)} out by hand")
    gone = [item for item in part.items if _value(text, item.keys.get(key)) in names]
    starts = [text.rfind("\n", 0, item.start) + 1 for item in part.items]
    ends = [*starts[1:], _line_end(text, part.end)]
    cuts = [(start, end) for item, start, end in zip(part.items, starts, ends, strict=True) if item in gone]
    defined = {each.anchor: text[each.start : each.end] for each in top.all() if each.anchor}
    lost = {each.anchor for item in gone for each in item.all() if each.anchor}
    edits = [(start, end, "") for start, end in cuts]
    for each in top.all():
        if each.refers in lost and not any(start <= each.start < end for start, end in cuts):
            edits.append((each.start, each.end, defined[each.refers]))  # begins with its &anchor, to which the next ones refer
            lost.discard(each.refers)
    changed = text
    for start, end, new in sorted(edits, reverse=True):
        changed = changed[:start] + new + changed[end:]

    def wanted(settings: Any) -> None:
        for word in place[:-1]:
            settings = settings[word]
        settings[place[-1]] = [item for item in settings[place[-1]] if item.get(key) not in names]

    return _proved(text, changed, wanted, f"take {', '.join(names)} out of {_told(place)} by hand")


def _dashed(item: Any, column: int) -> str:
    """An item of a block list whose dashes stand at `column`."""
    lines = (block(item) if isinstance(item, Mapping) else _flow(item)).rstrip("\n").split("\n")
    return "".join(f"{' ' * column}{'- ' if number == 0 else '  '}{line}\n" for number, line in enumerate(lines))


def _line_end(text: str, at: int) -> int:
    """Where the line ends that holds the character before `at`, its line break included."""
    found = text.find("\n", max(at - 1, 0))
    return len(text) if found < 0 else found + 1


def _value(text: str, part: _Part | None) -> str:
    return str(texts(text[part.start : part.end])) if part else ""


def _proved(before: str, after: str, change: Callable[[Any], None], by_hand: str) -> str:
    """`after`, if it says what `before` says with `change` made to it. InputError else."""
    try:
        wanted, found = texts(before), texts(after)
        change(wanted)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError):
        wanted, found = True, False
    if found != _as_texts(wanted):
        raise InputError(f"the file is laid out in a way that this cannot change: {by_hand}")
    return after


def texts(text: str) -> Any:
    """What YAML says, every scalar as the text that is written."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 (makes texts only)


def _as_texts(value: Any) -> Any:
    """A value of ours as `texts` would read it."""
    if isinstance(value, Mapping):
        return {key: _as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_texts(inner) for inner in value]
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool | int | float) else str(value)
