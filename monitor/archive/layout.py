"""Where an archive keeps what: its folders, the columns of its files, and how a file comes to be there whole or not at all.

    NAME/current.json                    which run is shown, with its settings (`Current`)
    NAME/scores/MODEL/SPLIT/*.parquet    SCORES: what the model said, by digest of the words it read; never scored again. A file for what
                                         stood in one chunk, named by that
    NAME/runs/RUN/found/, scored/, sorted/   work, with posts' words; gone when the run is done
    NAME/runs/RUN/days/day=YYYY-MM-DD/   POSTS as posts.parquet, FIGURES as figures.parquet, EVIDENCE as evidence.parquet, and, when these
                                         are whole, manifest.json: their digest, posts, posts by source, scores by team

An archive lies in a folder or at any address that Arrow or fsspec reaches (`s3://bucket/folder?endpoint_override=...`). A file is
written under another name and moved, or, in an object store, is there once it is closed. Times are UTC, to the second.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from monitor.errors import InputError
from monitor.records import text_hash

TIME = pa.timestamp("ms", tz="UTC")

SCORES = pa.schema(
    [
        pa.field("input_hash", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("negative", "neutral", "positive")),
        pa.field("model", pa.string()),
    ]
)
"""One row per passage that the model read; no figures where it could not take it."""


def _several(*fields: pa.Field | tuple[str, pa.DataType]) -> pa.ListType:
    """A list of such structures, as Parquet names its parts."""
    return pa.list_(pa.field("element", pa.struct(fields)))


_SPANS = _several(("start", pa.int32()), ("end", pa.int32()))


def _fields(of: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, of) for name in names]


WRITTEN = [
    *_fields(pa.string(), "source", "native_id", "url", "thread_id", "parent_id"),
    *_fields(TIME, "posted_at", "edited_at"),
    *_fields(pa.string(), "date_origin", "kind", "language", "author_key", "text_hash", "title", "text"),
]
"""As in `records.Post`. `title` and `text` are null where words were not asked for."""

_READ = [
    *_fields(pa.string(), "team"),
    *_fields(_SPANS, "mentions"),
    *_fields(pa.string(), "input_hash"),
    *_fields(pa.float64(), "negative", "neutral", "positive", "value"),
    *_fields(pa.string(), "label", "model"),
]
"""What a post says of one team. `mentions` are offsets into the text. Figures are null where the model could not take it."""

POSTS = pa.schema([*WRITTEN, *_READ, ("origin_source", pa.string()), ("origin_id", pa.string()), ("repost", pa.bool_())])
"""A day's posts that name a team: one row per (post, team), by posted_at, source, native_id and team. `origin_*` is whose words most
of it is, `repost` that most was first said by other people (monitor/echo.py)."""

NAMED = pa.schema([*WRITTEN, pa.field("named", _several(("team", pa.string()), ("start", pa.int32()), ("end", pa.int32())))])
"""Between the filter and the model: posts with their words, and the teams that they name."""

PARTS = pa.schema([*WRITTEN, pa.field("sketch", pa.binary()), pa.field("read", _several(*_READ))])
"""Behind the model: posts with their words, their sketch (monitor/echo.py) and what they say of each team."""

EVIDENCE = pa.schema([*WRITTEN, *_READ])
"""The posts of a day that show its figures, with their words: all rows of a post for every team that it names."""

FIGURES = pa.schema(
    [
        *_fields(pa.string(), "day", "team", "source", "model"),
        *_fields(pa.int64(), "posts", "authors", "threads"),
        *_fields(pa.float64(), "mean", "negative_share", "neutral_share", "positive_share"),
        *_fields(pa.float64(), "voices", "total", "crowding", "within_df", "between_df", "within_squares", "between_squares", "sizes"),
    ]
)
"""What `trend` makes of a day's posts, one row per team and source (`*`: all of this archive), however few spoke: who reads it withholds.
The first are fields of `DailyTrend`, the last those of `Spread`; the interval rests on other days too and is set when days are folded."""


ROW_GROUP = 5_000
"""Rows that a file is read in pieces of."""


@dataclass(frozen=True, slots=True)
class Current:
    """The run of an archive that is shown: what read it, what it was made from, and its days."""

    run: str
    model: str
    reader: str
    sources: tuple[str, ...]
    first: str
    last: str
    words: bool
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Root:
    """A folder or an address that archives lie under."""

    where: str

    def __reduce__(self) -> tuple[type[Root], tuple[str]]:  # another process reaches it for itself
        return Root, (self.where,)

    @cached_property
    def _found(self) -> tuple[fs.FileSystem, str]:
        return reached(self.where)

    def path(self, *parts: str) -> str:
        return "/".join((self._found[1], *parts))

    def write_table(self, path: str, table: pa.Table) -> str:
        """Rows as Parquet, the same bytes for the same rows; returns their SHA-256 in hexadecimal digits."""
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP)
        content = buffer.getvalue()
        self.write(path, content)
        return hashlib.sha256(content).hexdigest()

    def write_json(self, path: str, content: object) -> None:
        self.write(path, json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1).encode())

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        """A file that is there whole, or not under this name."""
        files = self._found[0]
        local = isinstance(files, fs.LocalFileSystem)
        if local:
            files.create_dir(path.rpartition("/")[0], recursive=True)
        draft = f"{path}.{uuid.uuid4().hex}.part" if local else path
        with files.open_output_stream(draft) as stream:
            stream.write(content)
        if local:
            files.move(draft, path)

    def read_json(self, path: str) -> Any:
        """What a file holds; None when it is not there."""
        try:
            with self._found[0].open_input_stream(path) as stream:
                return json.loads(stream.read())
        except FileNotFoundError:
            return None

    def parquet(self, path: str) -> pq.ParquetFile:
        """A file of rows, to be read in pieces."""
        return pq.ParquetFile(self._found[0].open_input_file(path))

    def listed(self, folder: str, *, recursive: bool = False) -> list[str]:
        """The paths of the files in a folder, sorted; none when it is not there."""
        found = self._found[0].get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=recursive))
        return sorted(info.path for info in found if info.type == fs.FileType.File and not info.path.endswith(".part"))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted."""
        found = self._found[0].get_file_info(fs.FileSelector(folder, allow_not_found=True))
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def exists(self, path: str) -> bool:
        return bool(self._found[0].get_file_info(path).type == fs.FileType.File)

    def remove(self, path: str) -> None:
        """Take away a file or a folder; nothing when it is not there."""
        files = self._found[0]
        kind = files.get_file_info(path).type
        if kind == fs.FileType.Directory:
            files.delete_dir(path)
        elif kind == fs.FileType.File:
            files.delete_file(path)

    def sweep(self, name: str) -> None:
        """Take away what a killed process had begun to write in an archive. Nobody else may write there meanwhile."""
        files = self._found[0]
        if isinstance(files, fs.LocalFileSystem):  # elsewhere nothing is there before it is whole
            for info in files.get_file_info(fs.FileSelector(self.path(name), allow_not_found=True, recursive=True)):
                if info.type == fs.FileType.File and info.path.endswith(".part"):
                    files.delete_file(info.path)

    # ---- what there is ---------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The archives that lie here and have a run to show."""
        return [name for name in self.folders(self.path()) if self.current(name)]

    def current(self, name: str) -> Current | None:
        """The run that is shown of an archive; None when none has been finished."""
        told = self.read_json(self.path(name, "current.json"))
        if not told:
            return None
        return Current(**{**told, "sources": tuple(told["sources"]), "inputs": tuple(told["inputs"])})

    def day(self, name: str, run: str, day: str, *file: str) -> str:
        """The folder of a UTC day (ISO text), or a file in it."""
        return self.path(name, "runs", run, "days", f"day={day}", *file)

    def days(self, name: str, run: str) -> list[str]:
        """The finished days of a run, as ISO text, in order."""
        folders = self.folders(self.path(name, "runs", run, "days"))
        days = [folder.removeprefix("day=") for folder in folders]
        return [day for day in days if self.exists(self.day(name, run, day, "manifest.json"))]


def reached(where: str) -> tuple[fs.FileSystem, str]:
    """The file system that an address or a path lies in, and the path there. InputError where nothing reaches it."""
    scheme = urlsplit(where).scheme if "://" in where else ""
    if scheme and (urlsplit(where).username or "_key=" in urlsplit(where).query):
        raise InputError(f"{named(where)} was given with a key in it, which would be stored: put keys into the environment (AWS_...)")
    try:
        if scheme in ("http", "https"):
            import fsspec

            return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme))), where
        if not scheme:
            return fs.LocalFileSystem(), str(Path(where).expanduser().resolve())
        files, path = fs.FileSystem.from_uri(where)
    except (pa.ArrowInvalid, ValueError, ImportError, OSError) as error:
        raise InputError(f"{named(where)} cannot be reached ({error}): give a path, or an address such as s3://bucket/folder") from None
    return files, path.rstrip("/")


def named(where: str) -> str:
    """An address as it may be said: without what follows `?` and without a password, which may be keys."""
    parts = urlsplit(where)
    return where if "://" not in where else parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def slug(name: str) -> str:
    """A model's name as one folder's, still telling one from another."""
    return f"{re.sub('[^A-Za-z0-9.@-]+', '_', name)[:60]}-{text_hash(name)[:8]}"
