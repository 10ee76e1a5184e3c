"""Which posts of a day are kept with their words, so that its figures can be seen in the people who made them.

The promise: an alert by any rule finds among them the posts that it would have chosen from the whole day, or as good ones.
Pure: rows in, keys out; the same rows give the same posts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.explain import representative
from monitor.records import ALL

ENOUGH = 3
"""Voices that a team has on a day whose posts are kept; of fewer nothing is ever told."""

_KEPT = {"drop": 2, "rise": 2, "spike": 1}
"""How many posts show a day to alerts of such a kind: the most negative, the most positive, the most usual."""


def evidence(rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """(source, native_id) of the few posts that show a UTC day. `rows` have the columns of layout.POSTS, with all texts.

    For each team, of all sources together and of each that has enough voices. Reposts and press are none.
    """
    said: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row["kind"] != "press" and not row["repost"] and row["value"] is not None:
            post = {"id": number, "length": len(row["text"])} | {name: row[name] for name in ("source", "thread_id", "author_key", "value")}
            for source in (ALL, row["source"]):
                said[row["team"], source].append(post)
    chosen: set[int] = set()
    for posts in said.values():
        if len({post["author_key"] or (post["source"], post["thread_id"] or post["id"]) for post in posts}) >= ENOUGH:
            for kind, count in _KEPT.items():
                chosen.update(representative(posts, kind, count))
    return {(rows[number]["source"], rows[number]["native_id"]) for number in chosen}
