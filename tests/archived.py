"""Archives for tests, small and whole: of posts that a store has understood, without the stages that make large ones."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")  # here, so that every module of tests on archives is skipped without it

from monitor.archive.day import write as write_day
from monitor.archive.evidence import evidence
from monitor.archive.layout import Current, Root
from monitor.store import Store

RUN = "0123456789abcdef"


def archived(
    store: Store,
    root: Path,
    name: str = "old",
    *,
    run: str = RUN,
    words: bool = False,
    kept: Callable[[Mapping[str, Any]], bool] | None = None,
) -> Root:
    """Write an archive of what `store` has understood (of those posts that are `kept`), and show it."""
    rows = [row for row in _rows(store) if kept is None or kept(row)]
    write(Root(str(root)), name, rows, run=run, model=store.model, reader=store.fact("reader") or "", words=words)
    return Root(str(root))


def write(root: Root, name: str, rows: Iterable[Mapping[str, Any]], *, run: str, model: str, reader: str = "", words: bool = False) -> None:
    """Rows of layout.POSTS with their words, in order, as the finished and shown run of an archive."""
    days: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        days.setdefault(row["posted_at"].date().isoformat(), []).append(row)
    for day, of_day in days.items():
        shown = evidence(of_day)
        without = {} if words else {"title": None, "text": None}
        kept = [row for row in of_day if (row["source"], row["native_id"]) in shown]
        write_day(root, name, run, {day: ([{**row, **without} for row in of_day], kept)}, model=model)
    sources = sorted({row["source"] for of_day in days.values() for row in of_day})
    current = Current(run, model, reader, tuple(sources), min(days), max(days), words, inputs=())
    root.write_json(root.path(name, "current.json"), asdict(current))


def _rows(store: Store) -> list[dict[str, Any]]:
    """What a store has understood, as rows of layout.POSTS with all words."""
    found = []
    for row in map(
        dict,
        store.rows(
            """SELECT p.*, s.team, s.input_hash, s.negative, s.neutral, s.positive, s.value, s.label, s.model,
                coalesce(e.repost, 0) AS repost, o.source AS origin_source, o.native_id AS origin_id,
                (SELECT json_group_array(json_object('start', m.start, 'end', m."end")) FROM mentions m
                 WHERE m.post_id = p.id AND m.team = s.team) AS mentions
               FROM posts p JOIN scores s ON s.post_id = p.id LEFT JOIN echoes e ON e.post_id = p.id LEFT JOIN posts o ON o.id = e.origin_id
               WHERE p.deleted_at IS NULL AND NOT p.archived AND s.input_hash <> ''
               ORDER BY p.posted_at, p.source, p.native_id, s.team"""
        ),
    ):
        row["mentions"] = json.loads(row["mentions"])
        row["repost"] = bool(row["repost"])
        for name in ("posted_at", "edited_at"):
            row[name] = dt.datetime.fromisoformat(row[name]) if row[name] else None
        found.append(row)
    return found
