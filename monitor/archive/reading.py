"""What lies in archives, asked in SQL: DuckDB over files that Arrow hands to it; by itself it can open no file and no address.

The promises: no table here has keys of authors, or figures of fewer than `privacy.min_authors` people. A question is one SELECT, bounded
in memory and time, and reads the files of those days alone that it asks for by `day`. Times are UTC.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import InputError
from monitor.records import clean, to_text
from monitor.store import Archived, Wanted

try:
    import duckdb
    import pyarrow as pa
    from pyarrow import compute, dataset

    from monitor.archive import layout
    from monitor.archive.layout import Root
except ImportError:
    raise InputError("archives are read by pyarrow and DuckDB: `pip install 'employee-forum-monitor[archive]'` brings both") from None

SECONDS = 60.0
"""How long a question may take where nothing else is said."""

MEMORY = "1GB"
"""What a question may hold in memory; beyond it, it fails."""

MOST = 200_000_000
"""Characters, bytes and values of lists in an answer: DuckDB's bound counts only what it holds itself."""

_UNSHOWN = {"author_key", "text_hash", "input_hash", "mentions"}
_COUNTS = ("team", "source", "model", "posts", "authors", "threads")
_MEANS = ("mean", "negative_share", "neutral_share", "positive_share")


def _seen(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """These columns behind those that say where a row lies. Times are without their zone, since DuckDB would turn them to its own."""
    fields = [schema.field(name) for name in names]
    plain = (pa.field(field.name, pa.timestamp("s") if field.type == layout.TIME else field.type) for field in fields)
    return pa.schema([pa.field("archive", pa.string()), pa.field("day", pa.date32()), *plain])


_POSTS, _EVIDENCE = (_seen(of, [name for name in of.names if name not in _UNSHOWN]) for of in (layout.POSTS, layout.EVIDENCE))
_TOLD, _WITHHELD = (_seen(layout.FIGURES, names) for names in (_COUNTS + _MEANS, _COUNTS))

MEANINGS = {
    "posts": "Posts that name a team: one row per (post, team), with what the model says of it. title and text are NULL in an archive that "
    "keeps no words; author keys are left out. `repost`: most of its words were first said by other people, in origin_source/origin_id.",
    "figures": "Per UTC day, team, source (`*`: all of the archive) and model: counts, shares of voices, and the mean. "
    "NULL figures and sufficient = false: too few people. Intervals, which rest on other days too, are in the store's v_daily.",
    "evidence": "The few posts of a day that show its figures, with their words: one row per (post, team).",
}
"""What each table is for. Each begins with `archive`, its name, and `day`, by which files are chosen."""


@dataclass(frozen=True, slots=True)
class Lying:
    """An archive's run that is shown, and where it lies."""

    root: Root
    name: str
    run: str

    @classmethod
    def of(cls, archive: Archived) -> Lying:
        """The run whose days are in the store. InputError while something that was forgotten may still be in its files."""
        if archive.unclean:
            raise InputError(
                f"the archive {archive.name} may still hold what was forgotten: it is read again once `forum-monitor forget` reached it"
            )
        return cls(Root(archive.root), archive.name, archive.run)

    def days(self) -> list[str]:
        """Its finished days, as ISO text."""
        days = self.root.path(self.name, "runs", self.run, "days")
        found = (path.removeprefix(f"{days}/day=").split("/") for path in self.root.listed(days, recursive=True))
        return [day for day, file in found if file == "manifest.json"]


def lying_at(where: str) -> list[Lying]:
    """All finished archives in a folder or at an address, or the one that it is itself. InputError where there is none."""
    root = Root(where)
    with _sentences(root):
        names = root.names()
        if not names and root.read_json(root.path("current.json")):
            place, mark, options = where.partition("?")
            folder, _, name = (place if "://" in place else str(Path(place).expanduser().resolve())).rstrip("/").rpartition("/")
            root, names = Root(f"{folder or '/'}{mark}{options}"), [name]
        found = [Lying(root, name, current.run) for name in names if (current := root.current(name))]
    if not found:
        raise InputError(f"there is no finished archive in {layout.named(where)}: `forum-monitor backfill` makes one")
    return found


class Archives:
    """Archives as the three tables of MEANINGS; with `days` (ISO text, finished ones) those alone, and nothing is looked for."""

    def __init__(self, found: Sequence[Lying], *, min_authors: int, days: Collection[str] | None = None) -> None:
        self._roots = [each.root for each in found]
        with _sentences(*self._roots):
            parts = [(each, each.days() if days is None else days) for each in found]
            figures = [_table(parts, "figures", seen) for seen in (_TOLD, _WITHHELD)]
            self._connection = _closed_in(
                posts=_table(parts, "posts", _POSTS),
                evidence=_table(parts, "evidence", _EVIDENCE),
                # Filtered by Arrow, so that no wording of a question reaches what is withheld.
                figures_told=figures[0].filter(compute.field("authors") >= min_authors),
                figures_withheld=figures[1].filter(compute.field("authors") < min_authors),
            )
            self._connection.execute(
                f"""CREATE VIEW figures AS SELECT *, authors >= {min_authors:d} AS sufficient
                    FROM (FROM figures_told UNION ALL BY NAME FROM figures_withheld)"""
            )

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def query(self, sql: str, limit: int = 10_000, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """The user's own SQL: one SELECT, at most `limit` rows, stopped after `seconds`. Days and times are text, as in the store.

        InputError tells what DuckDB made of it.
        """
        with _sentences(*self._roots, seconds=seconds):
            asked = self._connection.extract_statements(sql)
            if [statement.type for statement in asked] != [duckdb.StatementType.SELECT]:
                raise InputError("the query would do more than read, which `query` never does: write one SELECT")
            return self._asked(sql, (), limit, seconds)

    def team_posts(
        self, team: str, wanted: Wanted, *, at: str | None = None, skip: int = 0, limit: int = 25, seconds: float = SECONDS
    ) -> list[dict[str, Any]]:
        """Posts about a team that the model could take, newest first: as old as the time `at` or older, without the first `skip`.

        The columns are those of `posts` but its day. `words` finds posts of which the archive keeps words, and that hold all of these.
        """
        values = {
            "team = ?": team, "label = ?": wanted.label, "source = ?": wanted.source, "language = ?": wanted.language,
            "posted_at <= ?": dt.datetime.fromisoformat(at).replace(tzinfo=None) if at else None,
        }  # fmt: skip
        asked = [(condition, value) for condition, value in values.items() if value is not None]
        words = clean(wanted.words)[:200].split()
        asked += [("contains(strip_accents(lower(text)), strip_accents(lower(?)))", word) for word in words]
        sql = f"""SELECT * EXCLUDE (day, origin_source, origin_id) FROM posts
                  WHERE label IS NOT NULL AND {" AND ".join(condition for condition, _ in asked)}
                  ORDER BY posted_at DESC, source, native_id LIMIT {limit:d} OFFSET {skip:d}"""
        with _sentences(*self._roots, seconds=seconds):
            return self._asked(sql, [value for _, value in asked], limit, seconds)

    def _asked(self, sql: str, values: Sequence[object], limit: int, seconds: float) -> list[dict[str, Any]]:
        clock = threading.Timer(seconds, self._connection.interrupt)
        clock.start()
        try:
            result = self._connection.execute(sql, values)
            names = [column[0] for column in result.description]
            rows: list[dict[str, Any]] = []
            size = 0
            while len(rows) < limit and (row := result.fetchone()):
                size += sum(len(value) for value in row if isinstance(value, str | bytes | list))
                if size > MOST:
                    raise InputError(f"the answer is larger than {MOST // 1_000_000} MB: ask for fewer rows, or for less of each")
                rows.append(dict(zip(names, map(_plain, row), strict=True)))
            return rows
        finally:
            clock.cancel()

    def describe(self) -> list[dict[str, Any]]:
        """Every table: its columns, and what it is for."""
        columns = {name: [row[0] for row in self._connection.execute(f"DESCRIBE {name}").fetchall()] for name in MEANINGS}
        return [{"name": name, "columns": ", ".join(columns[name]), "meaning": meaning} for name, meaning in MEANINGS.items()]


def _table(parts: Iterable[tuple[Lying, Collection[str]]], name: str, schema: pa.Schema) -> dataset.Dataset:
    """The files of this name of all archives and days, each under what is known of it unopened: its archive and day."""
    parquet = dataset.ParquetFileFormat()
    found = []
    for each, days in parts:
        files, _ = layout.reached(each.root.where)
        pieces = [
            parquet.make_fragment(
                each.root.day(each.name, each.run, day, f"{name}.parquet"), files,
                (compute.field("archive") == each.name) & (compute.field("day") == dt.date.fromisoformat(day)),
            )
            for day in days
        ]  # fmt: skip
        found.append(dataset.FileSystemDataset(pieces, schema, parquet, files))
    return dataset.UnionDataset(schema, found)


def _closed_in(**tables: dataset.Dataset) -> duckdb.DuckDBPyConnection:
    """A database in memory that has these tables and reaches nothing else."""
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    connection.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = ''; SET enable_external_access = false")
    for name, table in tables.items():
        connection.register(name, table)
    connection.execute("SET lock_configuration = true")
    return connection


def _plain(value: object) -> object:
    """A value as the store has it: days and times as text."""
    if isinstance(value, dt.datetime):
        return to_text(value.replace(tzinfo=value.tzinfo or dt.UTC))
    return value.isoformat() if isinstance(value, dt.date) else value


@contextlib.contextmanager
def _sentences(*roots: Root, seconds: float = SECONDS) -> Iterator[None]:
    """What DuckDB and Arrow say, in ours: what went wrong, and what to do."""
    where = ", ".join(sorted({layout.named(root.where) for root in roots}))
    try:
        yield
    except duckdb.InterruptException:
        raise InputError(f"the query was stopped after {seconds:g} s: narrow it, for example to a range of days (`day`)") from None
    except duckdb.OutOfMemoryException:
        raise InputError(f"the query needs more than {MEMORY} of memory: narrow it, for example to a range of days (`day`)") from None
    except duckdb.PermissionException:
        raise InputError("the query would reach for files, which `query` never does: it reads posts, figures and evidence") from None
    except (OSError, pa.ArrowException) as error:
        raise _unreachable(where, error) from None
    except duckdb.Error as error:
        if isinstance(error, duckdb.IOException) or any(said in str(error) for said in _OF_ARROW):
            raise _unreachable(where, error) from None
        raise InputError(f"the query failed: {error}; tables are listed by `forum-monitor query --archive --tables`") from None


_OF_ARROW = ("reading the stream", "arrow_scan")
"""What DuckDB says around an error of Arrow's, by its version."""


def _unreachable(where: str, error: Exception) -> InputError:
    return InputError(f"the archives in {where} cannot be read ({str(error).splitlines()[0]}): see that the place is there and may be read")
