"""The files that archives are made of: found, cut into splits, and read row by row.

The promise: the same files give the same splits and rows in the same order; what is broken, a line, a part of a table or a whole file,
costs itself alone and is named with its place; and no more of a file is in memory at once than a few thousand rows.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import itertools
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from aiohttp import ClientError
from fsspec.utils import glob_translate
from pyarrow import fs

from monitor.archive.job import Format, Split
from monitor.archive.layout import named, reached
from monitor.archive.shapes import SHAPES, detect
from monitor.errors import InputError
from monitor.importing import Rows, check_source, csv_rows, json_rows, lines
from monitor.pages import Rejected

PIECE = 64 * 1024 * 1024
"""About so many bytes, as they are stored, make a split, where a file can be cut."""

FORMATS: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
}
"""What a file holds, by its ending, behind which .gz, .bz2 or .zst may stand (but for Parquet)."""

_PACKED = (".gz", ".bz2", ".zst")
_BUFFER = 1024 * 1024
_WINDOW = 2**31  # of zstd's --long=31, by which the dumps of forums are packed
_SAMPLE = 100  # lines by which the shape of a file is told
_DAMAGED = (EOFError, OSError, zstandard.ZstdError, zlib.error)
_UNREAD = (OSError, pa.ArrowException, ValueError, ClientError)
_LOOKING = 8  # files at once
_BATCH = 2_000


class Row(Mapping[str, object]):
    """A row of a table, of which only what is asked for is made a value of Python."""

    __slots__ = ("_at", "_columns")

    def __init__(self, columns: Mapping[str, pa.Array], at: int) -> None:
        self._columns, self._at = columns, at

    def __getitem__(self, name: str) -> object:
        return _value(self._columns[name][self._at])

    def get(self, name: str, default: object = None) -> object:  # Mapping's own raises and catches for every name that is not there
        column = self._columns.get(name)
        return default if column is None else _value(column[self._at])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _value(cell: pa.Scalar) -> object:
    """What stands in a cell. Databases write texts as bytes too, and nothing made sure that they are UTF-8."""
    try:
        value = cell.as_py()
    except UnicodeDecodeError:
        value = cell.as_buffer().to_pybytes()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# ---- which files, and which pieces of them ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _File:
    where: str
    name: str | None
    """What the user calls its source."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a look at a file's end or beginning found: the pieces are (start, stop, bytes)."""

    format: Format
    shape: str
    stamp: str
    pieces: tuple[tuple[int, int | None, int], ...]


def plan(given: Sequence[str], *, source: str | None, shape: str | None) -> tuple[list[Split], list[str]]:
    """The splits of all files that `given` ([NAME=]PATH_OR_ADDRESS) names, in their order, and a sentence on each that cannot be taken.

    A path may be of a file, of a folder or a listing (all files below it whose ending is known) or a pattern (`*`, `**`). NAME, else
    `source`, is what its posts are called; without either Hacker News and Reddit have their own names, and rows of `export` say theirs.
    `shape` is told by columns where it is None. InputError when nothing is left, or a source has no name.
    """
    if shape is not None and shape not in SHAPES:
        raise InputError(f"{shape!r} is no shape of a table that is known: --shape takes {', '.join(SHAPES)}")
    files: dict[_File, None] = {}
    left_out: list[str] = []
    for one in given:
        name, where = _parted(one)
        if name or source:
            check_source(name or source or "")
        try:
            found, foreign = _files(where)
        except InputError as error:
            left_out.append(str(error))
            continue
        files |= dict.fromkeys(_File(file, name or source) for file in found)
        if foreign:
            endings = ", ".join(f"{count} {ending or 'without one'}" for ending, count in sorted(foreign.items()))
            left_out.append(f"{named(where)}: files are left out whose ending tells no table ({endings}): it may be {', '.join(FORMATS)}")
    splits: list[Split] = []
    with ThreadPoolExecutor(_LOOKING) as pool:
        for file, looked in zip(files, pool.map(lambda file: _look(file.where, shape), files), strict=True):
            if isinstance(looked, str):
                left_out.append(looked)
                continue
            if not (called := file.name or SHAPES[looked.shape].source):
                raise InputError(f"{named(file.where)} does not say whose posts it holds: write NAME={named(file.where)}, or --source NAME")
            for start, stop, size in looked.pieces:
                splits.append(Split(file.where, called, looked.format, looked.shape, start, stop, size, looked.stamp, len(splits)))
    if not splits:
        raise InputError("; ".join(["there is no table to read", *left_out]))
    return splits, left_out


def _parted(given: str) -> tuple[str | None, str]:
    """NAME and address; a file's own name may have `=` in it."""
    name, equals, where = given.partition("=")
    if not equals or not where or not re.fullmatch(r"[^/\\:?*]+", name) or ("://" not in given and os.path.exists(given)):
        return None, given
    return name, where


def _files(where: str) -> tuple[list[str], Counter[str]]:
    """The tables at an address, sorted, and how many files of which other endings lie beside them."""
    files, path = reached(where)
    web = where.startswith(("http://", "https://"))
    try:
        kind = fs.FileType.Unknown if web else files.get_file_info(path).type
        if _ending(path) in FORMATS if web else kind == fs.FileType.File:
            found, folder = [path], path
        else:
            wild = None if kind == fs.FileType.Directory else re.search(r"\*" if web else r"[*?[]", path)
            folder = path[: path.rindex("/", 0, wild.start())] if wild else path.rstrip("/")
            fits = re.compile(glob_translate(path)).fullmatch if wild else lambda path: not web or "?" not in path
            below = files.get_file_info(fs.FileSelector(f"{folder}/" if web else folder, recursive=True))
            found = sorted({info.path for info in below if info.type == fs.FileType.File and fits(info.path)})
    except _UNREAD as error:
        raise InputError(f"{named(where)} cannot be listed ({_why(error)}): check the path or address, and who may read it") from None
    found = [one for one in found if not any(part.startswith((".", "_")) for part in one.removeprefix(folder).split("/"))]
    if not found:
        raise InputError(f"{named(where)}: no file lies there")
    before, behind = "", ""  # what makes a path an address again
    if "://" in where and not web:
        bare, mark, query = where.partition("?")
        before, behind = bare.rstrip("/").removesuffix(path), mark + query
    foreign = Counter(ending for one in found if (ending := _ending(one)) not in FORMATS)
    return [f"{before}{one}{behind}" for one in found if _ending(one) in FORMATS], foreign


def _ending(path: str) -> str:
    """A file's ending, in small letters, less what says how it is packed."""
    return Path(_name(path).removesuffix(_packed(path))).suffix


def _packed(path: str) -> str:
    """How a file is packed, by its ending; empty where it is not."""
    return next((ending for ending in _PACKED if _name(path).endswith(ending)), "")


def _name(path: str) -> str:
    return (path.partition("?")[0] if "://" in path else path).casefold()


def _look(where: str, shape: str | None) -> _Looked | str:
    """What a file is and how it can be cut, or why it cannot be taken."""
    files, path = reached(where)
    format_ = FORMATS[_ending(path)]
    try:
        size, stamp = _version(files, path)
        if format_ == "parquet":
            with files.open_input_file(path) as file:
                table = pq.ParquetFile(file)
                names: Sequence[str] = table.schema_arrow.names
                pieces = _groups(table.metadata)
        else:
            with _opened(files, path) as stream:
                rows = _rows(lines(stream, damaged=_DAMAGED), format_, where)
                sample = [row[1] for row in itertools.islice(rows, _SAMPLE) if not isinstance(row, Rejected)]
            names = list(dict.fromkeys(name for row in sample for name in row))
            cut = format_ == "jsonl" and size > PIECE and not _packed(path) and not isinstance(files, fs.PyFileSystem)
            starts = range(0, size, PIECE) if cut else ()
            pieces = [(start, start + PIECE, min(PIECE, size - start)) for start in starts] or [(0, None, size)]
    except InputError as error:
        return str(error)
    except _UNREAD as error:
        what = "is no Parquet that can be read" if format_ == "parquet" and isinstance(error, pa.ArrowInvalid) else "cannot be read"
        return f"{named(where)} {what} ({_why(error)}): it is left out"
    if not names:
        return f"{named(where)} is left out: no row can be read in its first {_SAMPLE} lines"
    found = shape or detect(names)
    if found is None:
        return f"{named(where)} is left out: no column's name says that it holds words; tell by --shape mapping --field text=COLUMN"
    if found != "mapping" and not SHAPES[found].fits(names):
        return f"{named(where)} is left out: its columns are not those of the shape {found}"
    return _Looked(format_, found, stamp, tuple(pieces))


def _version(files: fs.FileSystem, path: str) -> tuple[int, str]:
    """A file's size (0 where nobody tells) and what changes when it does."""
    if isinstance(files, fs.PyFileSystem):
        told = files.handler.fs.info(path)
        size, marks = told.get("size"), [told.get("ETag"), told.get("Last-Modified")]
    else:
        info = files.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(path)
        size, marks = info.size, [info.mtime_ns]
    return size or 0, "-".join(str(each) for each in (size, *marks) if each is not None)


def _groups(metadata: pq.FileMetaData) -> list[tuple[int, int | None, int]]:
    """Row groups taken together until they are about PIECE."""
    pieces: list[tuple[int, int | None, int]] = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        if pieces and pieces[-1][2] + size <= PIECE:
            pieces[-1] = (pieces[-1][0], number + 1, pieces[-1][2] + size)
        else:
            pieces.append((number, number + 1, size))
    return pieces


def _why(error: Exception) -> str:
    """What an error says, less the address in it."""
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    if type(error) is ValueError:  # fsspec's
        return "its server gives no parts of files: download it, and name the copy"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    told = re.search(r"AWS Error [A-Z_]+", str(error))
    return told[0] if told else type(error).__name__


# ---- rows -------------------------------------------------------------------------------------------------------------


def place(split: Split) -> str:
    """What the numbers of a split's rows count: bytes from the file's beginning where it was cut, else its lines or rows."""
    return "row" if split.format == "parquet" else "byte" if split.stop is not None else "line"


def rows(split: Split) -> Rows:
    """The rows of a split, by their places in the file from 1 (bytes: from 0), and what of it cannot be read.

    InputError when the file cannot be reached, or is another version than the one that was planned.
    """
    files, path = reached(split.where)
    try:
        if _version(files, path)[1] != split.stamp:
            raise InputError(f"{named(split.where)} has changed since it was looked at: begin again")
        if split.format == "parquet":
            yield from _table(files, path, split)
        else:
            with _opened(files, path, split.start) as stream:
                numbered = lines(stream, damaged=_DAMAGED) if split.stop is None else _cut(stream, split.start, split.stop)
                yield from _rows(numbered, split.format, split.where)
    except _UNREAD as error:
        raise InputError(f"{named(split.where)} cannot be read any more ({_why(error)}): look whether it can be reached") from None


def _rows(numbered: Iterator[tuple[int, str | Rejected]], format_: Format, where: str) -> Rows:
    if format_ == "csv":
        return csv_rows(numbered, named(where), lambda names: ("text", *names))  # which columns hold words, shapes tell
    return json_rows(numbered, named(where))


def _table(files: fs.FileSystem, path: str, split: Split) -> Rows:
    with files.open_input_file(path) as file:
        table = pq.ParquetFile(file, buffer_size=4 * _BUFFER, pre_buffer=False)  # not a whole row group at once
        wanted = SHAPES[split.shape].columns
        columns = None if wanted is None else [name for name in table.schema_arrow.names if name in wanted]
        first = 1 + sum(table.metadata.row_group(number).num_rows for number in range(split.start))
        for group in range(split.start, cast(int, split.stop)):
            at = first
            try:
                for batch in table.iter_batches(_BATCH, row_groups=[group], columns=columns, use_threads=False):
                    held = dict(zip(batch.schema.names, batch.columns, strict=True))
                    for number in range(batch.num_rows):
                        yield at + number, Row(held, number)
                    at += batch.num_rows
            except (OSError, pa.ArrowException):
                file.seek(0)
                file.read(4)  # an error too where the file is out of reach: then nothing is known of its rows
                yield Rejected(at, f"row group {group} is damaged: its rows before this one were read, those from here on were not")
            first += table.metadata.row_group(group).num_rows


def _cut(stream: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, str | Rejected]]:
    """The lines that begin in [start, stop) of a file, by the byte at which they do. `stream` stands at `start`, or the byte before."""
    counted = _Counted(stream, max(0, start - 1))
    numbered = lines(cast(BinaryIO, counted))
    if start:
        next(numbered, None)  # the end of a line that begins before
    while (at := counted.at) < stop and (following := next(numbered, None)):
        line = following[1]
        yield at, line._replace(line=at) if isinstance(line, Rejected) else line


class _Counted:
    """A file that is read by lines, and where it stands."""

    def __init__(self, stream: BinaryIO, at: int) -> None:
        self._stream, self.at = stream, at

    def readline(self, size: int) -> bytes:
        line = self._stream.readline(size)
        self.at += len(line)
        return line


# ---- bytes ------------------------------------------------------------------------------------------------------------


class _Source(io.RawIOBase):
    """A file's bytes as they are stored. That they do not come any more is an InputError: it says nothing of what is in them."""

    def __init__(self, native: Any, where: str) -> None:
        self._native, self._where = native, where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            read: bytes = self._native.read(len(buffer))
        except _UNREAD as error:
            raise InputError(f"{named(self._where)} cannot be read to its end ({_why(error)}): look whether it can be reached") from None
        buffer[: len(read)] = read
        return len(read)


class _Zst(io.RawIOBase):
    """Frames of zstd, one after another. One that is cut off is an EOFError, which zstandard's own reader takes for the end."""

    _STEP = 8192  # packed bytes: what they become must not fill the memory, whatever they are

    def __init__(self, packed: BinaryIO) -> None:
        self._packed, self._left, self._ready = packed, b"", memoryview(b"")
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            step = self._left or self._packed.read(self._STEP)
            if not step:
                if self._frame:
                    raise EOFError
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            self._ready, self._left = memoryview(self._frame.decompress(step)), b""
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


_UNPACK: Mapping[str, Callable[[BinaryIO], Any]] = {
    "": lambda packed: packed,
    ".gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".bz2": bz2.BZ2File,
    ".zst": lambda packed: io.BufferedReader(_Zst(packed), _BUFFER),
}


@contextlib.contextmanager
def _opened(files: fs.FileSystem, path: str, start: int = 0) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked; or, of one that is cut, from the byte before `start` on."""
    if isinstance(files, fs.PyFileSystem):
        native = files.handler.fs.open(path, "rb", block_size=0)  # as one stream: not every server gives parts
    elif start:
        native = files.open_input_file(path)
        native.seek(start - 1)
    else:
        native = files.open_input_stream(path, compression=None)
    with native:
        yield _UNPACK[_packed(path)](cast(BinaryIO, io.BufferedReader(_Source(native, path), _BUFFER)))
