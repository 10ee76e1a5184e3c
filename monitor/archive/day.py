"""A day of an archive: who speaks in its rows, what `trend` makes of them, and its files.

The promise: rows of an archive count as the store's posts do: press is no voice, nor is what is mostly other people's words. A day is
finished when its manifest is there, whose digest is another one for other rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor.records import ALL
from monitor.trend import Voice, daily, frame_of

if TYPE_CHECKING:
    from monitor.archive.layout import Root

Row = Mapping[str, Any]
"""A row of layout.POSTS."""

_COUNTED = ("team", "source", "model", "posts", "authors", "threads", "mean", "negative_share", "neutral_share", "positive_share")


def counts(row: Row) -> bool:
    """Whether a row can be a voice."""
    return row["kind"] != "press" and not row["repost"]


def voice(day: str, row: Row, model: str, label: str, value: float) -> Voice:
    """A row as `Store.voices` gives a post: by `model`, which is another than the row's own where two take turns."""
    thread = f"{row['source']}:{row['native_id'] if row['thread_id'] is None else row['thread_id']}"
    who = f"thread:{thread}" if row["author_key"] is None else row["author_key"]
    return day, row["team"], row["source"], model, who, thread, label, value


def figures(days: Mapping[str, Iterable[Row]], model: str) -> dict[str, list[dict[str, Any]]]:
    """The figures of whole UTC days as rows of layout.FIGURES, by team and source. All at once, since a call takes longer than its rows."""
    said = (voice(day, row, model, row["label"], row["value"]) for day, rows in days.items() for row in rows if _told(row))
    frame = frame_of(said)
    found: dict[str, list[dict[str, Any]]] = {day: [] for day in days}
    for row, spread in sorted((*daily(frame, 1), *daily(frame.assign(source=ALL), 1)), key=lambda pair: (pair[0].team, pair[0].source)):
        day = row.day.isoformat()
        found[day].append({"day": day, **{name: getattr(row, name) for name in _COUNTED}, **(spread._asdict() if spread else {})})
    return found


def _told(row: Row) -> bool:
    return counts(row) and row["value"] is not None


def write(root: Root, name: str, run: str, days: Mapping[str, tuple[Sequence[Row], Sequence[Row]]], *, model: str) -> None:
    """The files of UTC days, in place of those that may be there: rows, their figures, and the rows that show these, with their words."""
    import pyarrow as pa

    from monitor.archive.layout import EVIDENCE, FIGURES, POSTS

    counted = figures({day: rows for day, (rows, _) in days.items()}, model)
    for day, (rows, shown) in days.items():
        manifest = root.day(name, run, day, "manifest.json")
        root.remove(manifest)
        tables = (("posts", rows, POSTS), ("figures", counted[day], FIGURES), ("evidence", shown, EVIDENCE))
        digests = [
            root.write_table(root.day(name, run, day, f"{file}.parquet"), pa.Table.from_pylist(of, schema)) for file, of, schema in tables
        ]
        posts = Counter(source for source, _ in {(row["source"], row["native_id"]) for row in rows})
        told = {
            "digest": hashlib.sha256("".join(digests).encode()).hexdigest(),
            "posts": posts.total(),
            "sources": posts,
            "teams": Counter(row["team"] for row in rows if row["value"] is not None),
        }
        root.write_json(manifest, told)
