"""export: rows that may leave the store as a table for others, CSV or Parquet.

The promise: what is withheld in a published snapshot is withheld here, by the same code. Rows are written as they are read, so that
a million of them fit; the file is there whole or not at all.
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from monitor import leaving
from monitor.config import Config
from monitor.errors import InputError
from monitor.store import Span, Store
from monitor.store.snapshot import TABLES, Kind, replacing

WHAT = ("daily", "alerts", "coverage", "posts")
"""What there is to export."""

BATCH = 50_000
"""Rows that are in memory at once, of a Parquet file."""

Rows = Iterable[Mapping[str, Any]]


def columns_of(what: str, texts: bool = False) -> dict[str, Kind]:
    """The columns of `what`, and what they hold; `texts` as in `rows_of`."""
    return {column: kind for column, kind in TABLES[what].items() if texts or column != "excerpt"}


def rows_of(store: Store, config: Config, what: str, span: Span, *, texts: bool = False) -> Iterator[Mapping[str, Any]]:
    """What may leave the store of some days. `texts`: posts with masked excerpts. InputError when nothing may be quoted."""
    quoted = leaving.quotable(config, "--texts") if texts else 0
    least = config.privacy.min_authors
    if what == "daily":
        return leaving.daily(store, least, span)
    if what == "alerts":
        return leaving.alerts(store, least, span)
    if what == "coverage":
        return leaving.coverage(store, span)
    return leaving.links(store, span, texts=quoted)


def write_csv(rows: Rows, columns: Iterable[str], to: IO[str]) -> int:
    """Write a header and rows; None is an empty cell. Returns how many rows."""
    writer = csv.DictWriter(to, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 (the number of the last one)
        writer.writerow({name: _plain(value) for name, value in row.items()})
    return count


def _plain(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is parted from what it begins with by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else value


def export_csv(path: Path, rows: Rows, columns: Iterable[str]) -> int:
    """`write_csv` to a file (UTF-8)."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        return write_csv(rows, columns, file)


def export_parquet(path: Path, rows: Rows, columns: Mapping[str, Kind]) -> int:
    """Write a Parquet file: days as dates, moments as UTC timestamps. Returns how many rows. InputError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            "Parquet is written by pyarrow, which is not installed: `pip install 'employee-forum-monitor[parquet]'`, or name a .csv file"
        ) from None
    types = {"text": pa.string(), "day": pa.date32(), "moment": pa.timestamp("ms", "UTC"), "integer": pa.int64(), "real": pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    count = 0
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        waiting = iter(rows)
        while batch := list(itertools.islice(waiting, BATCH)):
            arrays = [pa.array([_typed(row[name], kind) for row in batch], types[kind]) for name, kind in columns.items()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(batch)
    return count


def _typed(value: Any, kind: Kind) -> Any:
    if value is None or kind not in ("day", "moment"):
        return value
    return dt.date.fromisoformat(value) if kind == "day" else dt.datetime.fromisoformat(value)
