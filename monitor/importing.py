"""Posts that the operator lawfully holds, from JSON lines or CSV (plain or gzipped) or saved pages, into the store as they are.

The promise: a broken line costs that line alone, and is named with its number and the reason; every other one is
stored, and the same file again changes nothing. Of two lines with one id the last wins. Texts are taken as plain text:
tags and entities in them are words like any other. What cannot be seen or stored (NUL bytes, lone surrogates) is taken
out, and a text is cut at records.MAX_TEXT, as in a crawl.

Fields, by any of these names in any case: id, native_id | text, body, content | title | url | author, user, username |
created_at, posted_at, date, time | thread_id | parent_id | language, lang | kind. Only a text or a title is needed.
Without an id the address, else text and date together, tell a post from others. A time is ISO 8601 (UTC where it names
no zone) or seconds or milliseconds since 1970; a post without a usable one is kept under the time of the import.
Saved pages, and folders of them, are read by monitor/pages.py.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import datetime as dt
import gzip
import itertools
import json
import re
import sys
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from monitor.errors import InputError
from monitor.pages import Reading, Rejected, is_pages, read_pages
from monitor.records import Kind, Post, clean, text_hash
from monitor.store import Counts, Store

BATCH = 500
"""Posts per transaction."""

MAX_LINE = 64 * 1024 * 1024
"""A longer line (bytes) is not read into memory: it is a broken file, not a post."""

MAX_ROW_LINES = 1000
"""A CSV row may span so many lines; a quote that is still open then was never meant to be one."""

NAMES: Mapping[str, Sequence[str]] = {
    "id": ("id", "native_id"),
    "text": ("text", "body", "content"),
    "title": ("title",),
    "url": ("url",),
    "author": ("author", "user", "username"),
    "time": ("created_at", "posted_at", "date", "time"),
    "thread_id": ("thread_id",),
    "parent_id": ("parent_id",),
    "language": ("language", "lang"),
    "kind": ("kind",),
}
"""Each field of a post, and what it may be called."""

_NOBODY = {"[deleted]", "[removed]", "anonymous"}  # not one author, however many posts bear it
KINDS = ("voice", "press", "import")
_EARLIEST = dt.datetime(1980, 1, 1, tzinfo=dt.UTC)  # before the first forums: a clock that stood at zero
_DECODER = json.JSONDecoder(strict=False)
_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python's `surrogateescape` marks a byte that is not of the encoding


@dataclass(slots=True)
class ImportResult:
    """What an import did. `note` says in sentences what is to be known of the file as a whole; empty when nothing is."""

    counts: Counts = field(default_factory=Counts)
    rejected: list[Rejected] = field(default_factory=list)
    note: str = ""


def read(
    path: Path, source: str, *, hide: Callable[..., str], now: dt.datetime, kind: Kind = "import", reading: Reading | None = None
) -> Iterator[Post | Rejected]:
    """The posts and the broken lines of a file (`-`: JSON lines from standard input), or of saved pages, in order.

    `hide` makes a key of an author's name and the time of the post (privacy.hiding). InputError when the file cannot be read at all.
    """
    with _items(path, source, hide, now, kind, reading) as (items, _):
        yield from items()


def names_source(source: str) -> bool:
    """Whether a source can be called so."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", source) is not None


def check_source(source: str) -> None:
    """InputError when `source` cannot name one: it is part of addresses, files and config.yaml, where `*` stands for all."""
    if not names_source(source):
        raise InputError(f"{source!r} cannot name a source: use small letters, digits, `-`, `_` and `.`, such as `blind-export`")


def import_file(
    store: Store,
    path: Path,
    source: str,
    *,
    hide: Callable[..., str],
    now: dt.datetime,
    kind: Kind = "import",
    reading: Reading | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Store a file's posts, 500 at a time, and say what became of them. `progress` is called with (posts done, posts in all).

    InputError when the file cannot be read at all; StoreError as `Store.save_posts`: the batches before it are stored.
    """
    check_source(source)
    result = ImportResult()
    with _items(path, source, hide, now, kind, reading) as (items, encoding):
        # The first reading finds repeated ids: were an earlier line stored too, each import would change the post twice.
        last: dict[str, int] = {}
        total = 0
        for item in items():
            if isinstance(item, Rejected):
                result.rejected.append(item)
            else:
                last[item.native_id] = total
                total += 1
        posts = (item for item in items() if isinstance(item, Post))
        kept = ((number, post) for number, post in enumerate(posts) if last[post.native_id] == number)
        undated = 0
        while batch := list(itertools.islice(kept, BATCH)):
            result.counts.add(store.save_posts(post for _, post in batch))
            undated += sum(post.date_origin == "fetched" for _, post in batch)
            if progress:
                progress(batch[-1][0] + 1, total)
    notes = []
    if encoding != "utf-8":
        notes.append("The file is not UTF-8 and was read as Windows-1252: look whether accents came out right.")
    if repeated := total - len(last):
        what = "posts" if is_pages(path) else "lines"
        notes.append(f"{repeated} {what} bear the id (or, without one, the address) of a later one, which replaced them.")
    if undated:
        notes.append(f"{undated} posts bear no usable date, and are kept under the time of the import.")
    result.note = " ".join(notes)
    return result


# ---- files and lines -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _items(
    path: Path, source: str, hide: Callable[..., str], now: dt.datetime, kind: Kind, reading: Reading | None
) -> Iterator[tuple[Callable[[], Iterator[Post | Rejected]], str]]:
    """What gives the posts and what is none, as often as it is called; and the encoding of lines."""
    if is_pages(path):
        yield partial(read_pages, path, source, reading or Reading(), hide=hide, now=now, kind=kind), "utf-8"
        return
    if reading not in (None, Reading()):
        raise InputError(f"{path} is no saved page: --profile, --url, --timezone and --day-first are for pages")
    with _opened(path) as file:
        encoding = _encoding(file, path)
        yield partial(_read, file, path, source, hide, now, kind, encoding), encoding


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unzipped, to be read more than once."""
    try:
        with contextlib.ExitStack() as stack:
            if str(path) == "-":
                raw = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
                while chunk := sys.stdin.buffer.read(1 << 20):
                    raw.write(chunk)
                raw.seek(0)
            else:
                raw = stack.enter_context(path.open("rb"))
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw))) if zipped else raw
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its name and permissions") from None


def _encoding(file: BinaryIO, path: Path) -> str:
    """`utf-8`, unless there are bytes beyond ASCII and no line in which they are UTF-8: then `cp1252`."""
    found = "utf-8"
    file.seek(0)
    for number, line in lines(file, "latin-1"):
        if isinstance(line, Rejected) or line.isascii():
            continue
        if number == 1 and line.startswith(("\xff\xfe", "\xfe\xff")):
            raise InputError(f"{path} is UTF-16: save it as UTF-8 and import that")
        try:
            line.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            found = "cp1252"
        else:
            return "utf-8"
    return found


def lines(
    file: BinaryIO, encoding: str = "utf-8", damaged: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
) -> Iterator[tuple[int, str | Rejected]]:
    """Numbered lines from where the file stands, without byte order mark. Bytes that are not of the encoding come as _UNDECODED.

    `damaged` is what reading raises where the file's compression is broken.
    """
    for number in itertools.count(1):
        try:
            line = rest = file.readline(MAX_LINE)
            while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE)
        except damaged:
            yield number, Rejected(number, "the file is cut off or damaged here: all lines before were read, nothing from here on")
            return
        if not line:
            return
        if rest is not line:
            yield number, Rejected(number, f"the line is longer than {MAX_LINE >> 20} MB: is this file one post a line?")
            continue
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, line.decode(encoding, "surrogateescape")


Rows = Iterator[tuple[int, Mapping[str, object]] | Rejected]


def json_rows(lines: Iterable[tuple[int, str | Rejected]], path: str) -> Rows:
    """The objects in numbered lines of JSON, one a line. InputError, which names the file `path`, when the first line begins a list."""
    for number, line in lines:
        if isinstance(line, Rejected):
            yield line
            continue
        if not line.strip():
            continue
        if number == 1 and line.strip() == "[":
            raise InputError(
                f"{path} is one JSON list, not a post a line: `jq -c '.[]' {path.rpartition('/')[2]} > posts.jsonl` makes it so"
            )
        if undecoded := _UNDECODED.search(line):
            yield _not_utf8(number, undecoded[0])
            continue
        try:
            row = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            yield Rejected(number, f"it is not JSON ({error.msg}, column {error.colno})")
        except (ValueError, RecursionError):
            yield Rejected(number, "it is not usable JSON: a number of thousands of digits, or lists within lists without end")
        else:
            yield (
                (number, row)
                if isinstance(row, dict)
                else Rejected(number, "it is JSON, but not an object `{...}`: one post a line is wanted")
            )


def csv_rows(
    lines: Iterator[tuple[int, str | Rejected]], path: str, known: Callable[[Sequence[str]], Collection[str]] | None = None
) -> Rows:
    """Rows under the names of the first line, whose delimiter (comma, semicolon or tab) holds for all, by the number of their first line.

    `known` says which fields of a post columns of these names hold. InputError when there is neither text nor title among them.
    """
    known = known or known_fields
    number, header = next(lines, (1, ""))
    if isinstance(header, Rejected):
        yield header
        return
    if not header.strip():
        return
    csv.field_size_limit(MAX_LINE)
    try:
        names, delimiter = max(
            ((next(csv.reader([header], delimiter=delimiter)), delimiter) for delimiter in ",;\t"),
            key=lambda found: (len(known(found[0])), len(found[0])),
        )
    except csv.Error as error:
        raise InputError(f"{path} has a first line that names no columns ({error}): save it as CSV again, with a header line") from None
    if not {"text", "title"} & set(known(names)):
        raise InputError(
            f"{path} names no column `text`, `body`, `content` or `title` in its first line: CSV needs a header line with one of them"
        )
    waiting: deque[tuple[int, str | Rejected]] = deque()
    taken: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        taken.clear()
        while len(taken) < MAX_ROW_LINES:
            if not waiting and (following := next(lines, None)):
                waiting.append(following)
            if not waiting or isinstance(waiting[0][1], Rejected):
                return
            number, line = cast(tuple[int, str], waiting.popleft())
            taken.append((number, line))
            yield line

    while True:
        try:
            # A reader for each row: a quote that is never closed then costs its own line, not the rest of the file.
            row = next(csv.reader(feed(), delimiter=delimiter, strict=True), None)
        except csv.Error as error:
            yield Rejected(taken[0][0], f"its quotes are not closed, or not doubled within a field ({error})")
            waiting.extendleft(reversed(taken[1:]))
            continue
        if row is None:
            if not waiting:
                return
            yield cast(Rejected, waiting.popleft()[1])
            continue
        number = taken[0][0]
        if undecoded := next(filter(None, map(_UNDECODED.search, row)), None):
            yield _not_utf8(number, undecoded[0])
        elif any(row) and len(row) != len(names):
            yield Rejected(number, f"it has {len(row)} columns where the first line names {len(names)}")
        elif any(row):  # spreadsheets leave empty rows behind
            yield number, dict(zip(names, row, strict=True))


def known_fields(names: Iterable[str]) -> set[str]:
    """Which fields of a post columns of these names hold."""
    return {meaning for meaning, accepted in NAMES.items() if {plain_name(name) for name in names} & set(accepted)}


def plain_name(name: str) -> str:
    """A field's name as NAMES has it."""
    return name.strip().casefold().replace(" ", "_")


def _not_utf8(number: int, mark: str) -> Rejected:
    return Rejected(number, f"it is not UTF-8 (byte 0x{ord(mark) - 0xDC00:02X}), while other lines are: save the whole file as UTF-8")


# ---- rows to posts -------------------------------------------------------------------------------------------------


def _read(
    file: BinaryIO, path: Path, source: str, hide: Callable[..., str], now: dt.datetime, kind: Kind, encoding: str
) -> Iterator[Post | Rejected]:
    file.seek(0)
    ending = Path(path.name.casefold().removesuffix(".gz")).suffix
    if str(path) == "-" or ending in {".jsonl", ".ndjson", ".json"}:
        rows = json_rows(lines(file, encoding), str(path))
    elif ending in {".csv", ".tsv"}:
        rows = csv_rows(lines(file, encoding), str(path))
    else:
        raise InputError(
            f"{path} is neither JSON lines nor CSV by its ending, nor a saved page: name it .jsonl or .csv (and .gz after that if it is "
            "gzipped), .html or .mhtml"
        )
    for row in rows:
        if isinstance(row, Rejected):
            yield row
        else:
            found = post_of(row[1], source, hide=hide, now=now, kind=kind)
            yield Rejected(row[0], found) if isinstance(found, str) else found


def post_of(row: Mapping[str, object], source: str, *, hide: Callable[..., str], now: dt.datetime, kind: Kind) -> Post | str:
    """A row with fields by NAMES as a post, or a sentence that says why it is none."""
    plain = {plain_name(name): value for name, value in row.items()}
    given = {meaning: [plain[name] for name in names if name in plain] for meaning, names in NAMES.items()}
    values = {meaning: next(filter(None, map(words, given[meaning])), "") for meaning in NAMES}
    title = " ".join(values["title"].split())
    text, url, author = values["text"], values["url"], values["author"]
    thread_id, parent_id = values["thread_id"] or None, values["parent_id"] or None
    posted_at = next(filter(None, (moment(value, now) for value in given["time"])), None)
    native_id = values["id"] or text_hash(url or f"{text or title}\0{values['time']}")
    opens = parent_id is None and thread_id in {None, native_id}
    if title and opens and not text.startswith(title):
        text = clean(f"{title}\n\n{text}")
    if not text:
        return "it has no text: one of the fields text, body, content or title must hold words"
    language = re.match(r"[a-z]{2,3}(?![a-z])", values["language"].casefold())
    return Post(
        source=source,
        native_id=native_id,
        url=url if url.startswith(("https://", "http://")) else "",
        text=text,
        posted_at=posted_at or now,
        fetched_at=now,
        thread_id=thread_id,
        parent_id=parent_id,
        title=title or None,
        language=language[0] if language else None,
        author_key=hide(author, posted_at or now) if author and author.casefold() not in _NOBODY else None,
        date_origin="site" if posted_at else "fetched",
        kind=cast(Kind, values["kind"]) if values["kind"] in KINDS else kind,
    )


def words(value: object) -> str:
    """A string or a number as clean text; nothing for anything else (JSON's null, true, lists, NaN)."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return ""
    return clean(str(value))


def moment(value: object, now: dt.datetime) -> dt.datetime | None:
    """A time in UTC; None when it is none, or not between 1980 and a day after `now`."""
    text = words(value)
    try:
        if re.fullmatch(r"[+-]?\d+(\.\d*)?(e\+?\d+)?", text, re.IGNORECASE) and len(text) != len("20250114"):
            number = float(text)
            found = dt.datetime.fromtimestamp(number / 1000 if number >= 1e11 else number, dt.UTC)
        else:
            found = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
            found = found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if _EARLIEST <= found <= now + dt.timedelta(days=1) else None
