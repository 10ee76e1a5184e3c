"""The file that `publish` writes: a SQLite database of its own, of a few plain tables, which any program reads from a read-only folder.

The promise: it is there whole or not at all, it is never written over what is not such a file, it needs nothing beside it (no
write-ahead log), and the same rows give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from monitor.errors import InputError, StoreError

APPLICATION = 0x464D5053
"""SQLite's `application_id` of such a file: FMPS."""

Kind = Literal["text", "day", "moment", "integer", "real"]
"""What a column holds; a `day` is ISO text (UTC), a `moment` ISO text in UTC that ends in Z."""

TABLES: dict[str, dict[str, Kind]] = {
    "about": {"name": "text", "value": "text"},
    "daily": {
        "day": "day", "team": "text", "source": "text", "model": "text", "posts": "integer", "authors": "integer", "threads": "integer",
        "sufficient": "integer", "mean": "real", "low": "real", "high": "real", "negative_share": "real", "neutral_share": "real",
        "positive_share": "real", "effective": "real", "coverage": "real",
    },
    "alerts": {
        "id": "integer", "rule": "text", "type": "text", "severity": "text", "team": "text", "source": "text", "model": "text",
        "state": "text", "day": "day", "fired_at": "moment", "resolved_day": "day", "resolved_at": "moment", "value": "real",
        "before": "real", "threshold": "real", "low": "real", "high": "real", "authors": "integer", "posts": "integer", "reason": "text",
        "why": "text",
    },
    "coverage": {"day": "day", "source": "text", "posts": "integer", "covered": "integer"},
    "teams": {"team": "text", "name": "text", "parent": "text"},
    "sources": {
        "source": "text", "type": "text", "kind": "text", "terms_allow": "text", "terms_read_on": "day", "first_day": "day",
        "last_day": "day",
    },
    "posts": {
        "posted_at": "moment", "source": "text", "kind": "text", "language": "text", "team": "text", "url": "text", "excerpt": "text",
    },
    "glossary": {"table_name": "text", "column_name": "text", "meaning": "text"},
}  # fmt: skip
"""Every table that a snapshot may have, in its order, with its columns. Another one that is to leave the store is added here,
its rows in monitor/leaving.py, and what it means in monitor/glossary.py."""

_KEYS = {
    "about": "name", "daily": "day, team, source, model", "alerts": "id", "coverage": "day, source", "teams": "team", "sources": "source",
    "glossary": "table_name, column_name",
}  # fmt: skip

_TYPES: dict[Kind, str] = {"text": "TEXT", "day": "TEXT", "moment": "TEXT", "integer": "INTEGER", "real": "REAL"}

_INDEXES = {
    "daily": """CREATE INDEX daily_team ON daily (team, source, day)""",
    "alerts": """CREATE INDEX alerts_day ON alerts (day)""",
    "posts": """CREATE INDEX posts_posted_at ON posts (posted_at)""",
}

VIEWS: dict[str, list[str]] = {
    "daily_by_time": [
        "time", "team", "source", "mean", "low", "high", "negative_share", "neutral_share", "positive_share", "authors", "posts",
        "coverage",
    ],
    "alerts_by_time": ["time", "time_end", "team", "source", "title", "text"],
}  # fmt: skip
"""The views of every snapshot, with their columns: for programs that plot what has a `time` in seconds."""

_VIEWS = (
    f"""CREATE VIEW daily_by_time AS SELECT CAST(strftime('%s', day) AS INTEGER) AS {", ".join(VIEWS["daily_by_time"])} FROM daily""",
    """CREATE VIEW alerts_by_time AS SELECT CAST(strftime('%s', day) AS INTEGER) AS time,
        CAST(strftime('%s', coalesce(resolved_day, day)) AS INTEGER) AS time_end, team, source, rule AS title, reason AS text
        FROM alerts""",
)

Rows = Iterable[Mapping[str, Any]]


def refuse_foreign(path: Path) -> None:
    """InputError when what lies at `path` is not a snapshot, or is being written: it would be lost."""
    if not path.exists():
        return
    for ending in ("-wal", "-journal"):
        beside = path.with_name(path.name + ending)
        if beside.exists() and beside.stat().st_size:
            raise InputError(f"{path} is being written by another program ({beside.name} lies beside it): close that, or name another file")
    if not path.is_file():
        raise InputError(f"{path} is not a file: name one, such as out.db")
    with path.open("rb") as file:
        head = file.read(72)
    if head and (head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:72], "big") != APPLICATION):
        raise InputError(f"{path} exists, and no `forum-monitor publish` wrote it: name another file, or delete it first")


def write_snapshot(path: Path, tables: Mapping[str, Rows], without: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Write `tables` (rows as mappings with the columns of TABLES, less those in `without`) to `path`; returns rows by table.

    Raises InputError for a file that is not to be written over, StoreError when the disk refuses.
    """
    refuse_foreign(path)
    with replacing(path) as draft:
        try:
            connection = sqlite3.connect(draft, isolation_level=None)
            with contextlib.closing(connection):
                return _filled(connection, tables, without)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be written ({error}): check the space and permissions of its folder") from None


def _filled(connection: sqlite3.Connection, tables: Mapping[str, Rows], without: Mapping[str, frozenset[str]]) -> dict[str, int]:
    # The draft is nobody's yet: a journal would only be a second file, and one sync at the end does.
    for pragma in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", f"application_id = {APPLICATION}", "user_version = 1"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    counts = {}
    for name, rows in tables.items():
        columns = {column: kind for column, kind in TABLES[name].items() if column not in without.get(name, ())}
        parts = [f'"{column}" {_TYPES[kind]}' for column, kind in columns.items()]
        key = [f"PRIMARY KEY ({_KEYS[name]})"] if name in _KEYS else []
        connection.execute(f"CREATE TABLE {name} ({', '.join(parts + key)}){' WITHOUT ROWID' if key else ''}")
        values = (tuple(row[column] for column in columns) for row in rows)
        counts[name] = max(0, connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", values).rowcount)
        if name in _INDEXES:
            connection.execute(_INDEXES[name])
    for view in _VIEWS:
        connection.execute(view)
    connection.execute("COMMIT")
    return counts


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft in the folder of `path` that takes its place at the end, whole and on the disk; on any error it is gone.

    It has the permissions of the file that it replaces, else those of any new file. InputError when the folder cannot be written.
    """
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}): name a file in a folder that you may write to") from None
    draft = Path(name)
    try:
        yield draft
        draft.chmod(mode)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror or error}): free some space, or name another folder") from None
    finally:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found
