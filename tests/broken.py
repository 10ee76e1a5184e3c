"""Answers that are not what their interface promises: values of any shape, and items that hold them, or lack some, however deep."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, -1, 0, 10**40, 1.5e308, float("nan"), "", " ", "x", "\ud800", "a\x00b", "<p", "]]>", "https://[", "2025-13-45",
        "9" * 5000, [], {}, [[]], {"a": {}},
    ]
)  # fmt: skip


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, item in inner for way in [(*at, key), *paths(item, (*at, key))]]


@st.composite
def mutated(draw: st.DrawFn, items: list[Any], junk: st.SearchStrategy[Any] = JUNK) -> list[Any]:
    """Items, some of which, or of whose values, are anything but what they should be, or missing."""
    items = copy.deepcopy(items)
    for _ in range(draw(st.integers(1, 6))):
        number = draw(st.integers(0, len(items) - 1))
        ways = paths(items[number])
        if not ways or draw(st.integers(0, 5)) == 0:
            items[number] = copy.deepcopy(draw(junk))
            continue
        *way, last = draw(st.sampled_from(ways))
        holder: Any = items[number]
        for key in way:
            holder = holder[key]
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = copy.deepcopy(draw(junk))
    return items
