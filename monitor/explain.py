"""What moved: the posts that show an alert.

The promise: the choice is the same at every run, and shows as many different people and threads as there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from monitor.config import RuleType

SHORT = 30
"""Characters; a shorter post says too little to be shown while there are others."""


def representative(rows: Sequence[Mapping[str, Any]], kind: RuleType, count: int) -> list[int]:
    """The ids of at most `count` posts of `rows` (as `Store.evidence` gives them) that show an alert of a `kind` of rule.

    Where sentiment fell these are the most negative, where it rose the most positive; otherwise those nearest to what most
    said. A second post by one author, then a second one of one thread, comes only when there is no other.
    """
    middle = median(row["value"] for row in rows) if rows else 0.0
    sign = {"below": 1, "drop": 1, "shift": 1, "above": -1, "rise": -1, "overtakes": -1}.get(kind, 0)
    left = sorted(rows, key=lambda row: (row["length"] < SHORT, sign * row["value"] if sign else abs(row["value"] - middle), row["id"]))
    chosen: list[Mapping[str, Any]] = []
    while left and len(chosen) < count:
        authors = {row["author_key"] for row in chosen} - {None}
        threads = {(row["source"], row["thread_id"]) for row in chosen if row["thread_id"] is not None}
        best = min(
            left, key=lambda row: (row["author_key"] in authors, (row["source"], row["thread_id"]) in threads, row["length"] < SHORT)
        )
        chosen.append(best)
        left.remove(best)
    return [row["id"] for row in chosen]
