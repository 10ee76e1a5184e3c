"""What people have a right to: a post, all of an author's posts, or a whole source forgotten, with a proof; and retention.

The promise: what was forgotten is in no table, no index and no file of the database, no crawl brings it back, and the
figures that it was part of are computed again without it before the command ends. The proof is a search of the files
as they lie on the disk. What has left the store before (messages, exports, backups) is beyond its reach, and so is what
other people repeated in words of their own.
"""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
import itertools
import mmap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from monitor import clock
from monitor.archive.voices import beyond
from monitor.config import Config
from monitor.daemon import lock
from monitor.errors import Busy, InputError, StoreError
from monitor.store import Store
from monitor.store.posts import distinctive
from monitor.trend import trend
from monitor.weeks import settle

Kind = Literal["text", "address", "key"]
Needle = tuple[Kind, bytes]
"""A piece of what was forgotten, as it would stand in a file."""

_PIECE = 40
"""Bytes: SQLite may cut a long text anywhere to lay it on several pages, and one of several short pieces stays whole."""

_SHORTEST = 12
"""Bytes; of a shorter text, such as "I agree", finding it would tell nothing."""

MOST_NEEDLES = 50_000
"""Of more than these as many are searched for, taken evenly."""

_AROUND = 8
"""Bytes beside a piece by which its place in a living text is recognised."""

_EXTRA = "archives are read by the extra [archive]: pip install 'employee-forum-monitor[archive]'"

_URL_GOES_ON = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_%&=/")


@dataclass(slots=True)
class Search:
    """What a search of the database's files found. `hits` are places that nothing that lives explains."""

    files: dict[str, int] = field(default_factory=dict)
    """Bytes by file name."""
    searched: dict[Kind, int] = field(default_factory=dict)
    hits: dict[Kind, int] = field(default_factory=dict)
    too_short: int = 0
    """Texts too short to be searched for."""
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Rows, by table and column, of posts by others that hold the same words or address: copies, or the same page."""


@dataclass(slots=True)
class Proof:
    """What forgetting did: rows that went or lost what they held by table, what stays in their place, and the search."""

    forgotten: str
    posts: int
    rows: dict[str, int]
    tombstones: int
    """Tombstones that these posts left."""
    marks: dict[str, int]
    """Rows of the table `forgotten` in all, by kind."""
    team_days: int
    """Days of teams whose figures were computed again."""
    rewritten: bool
    """Whether the file had to be written anew (VACUUM) to be rid of everything."""
    search: Search
    unreached: list[str] = field(default_factory=list)
    """Archives that could not be reached, in sentences: what was forgotten leaves their files with a later `trend`."""

    @property
    def complete(self) -> bool:
        return not any(self.search.hits.values()) and not self.unreached

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


def found_at(store: Store, place: str, *, author: bool) -> tuple[list[int], tuple[str, str] | None]:
    """The posts at an address (or with a number), or all posts of their author; with the author's (source, key).

    One that only an archive holds comes into the store, without words, so that it leaves what every forgotten post does. InputError when
    there is none, or when it is not clear who is meant.
    """
    spellings = list(dict.fromkeys(_spellings(place)))
    found = store.at_addresses(spellings) or _from_archives(store, spellings)
    nearest = next((each for each in spellings if any(row["url"] == each for row in found)), None)
    rows = [row for row in found if nearest is None or row["url"] == nearest]
    if not rows:
        raise InputError(
            f"no stored post has the address {place}: what was forgotten, retired or deleted before has none any more; "
            "`forum-monitor posts TEAM` shows addresses and numbers"
        )
    if not author:
        return [row["id"] for row in rows], None
    authors = {(row["source"], row["author_key"]) for row in rows}
    if len(authors) > 1:
        numbers = ", ".join(f"#{row['id']}" for row in rows)
        raise InputError(f"{place} is the address of posts by several people ({numbers}): give the number of one of them")
    [(source, key)] = authors
    if key is None:
        raise InputError(f"the site did not say who wrote {place}: forget it by --url")
    return store.by_author(source, key), (source, key)


def _from_archives(store: Store, spellings: Sequence[str]) -> list[Any]:
    addresses = [each for each in spellings if "://" in each]
    if not (addresses and store.archives()):
        return []
    try:  # here and below: what reads archives is an extra
        from monitor.archive.forgetting import at_addresses
    except ImportError:
        raise StoreError(_EXTRA) from None
    store.show(at_addresses(store, addresses), at=clock.now())
    return store.at_addresses(spellings)


def _spellings(place: str) -> Iterator[str]:
    """An address as it was given, and as else it may have been stored."""
    place = place.strip().removeprefix("#")
    bare = place.partition("#")[0]
    for one in (place, bare):
        for scheme in ("", "https://", "http://"):
            address = scheme + one.partition("://")[2] if scheme and "://" in one else one
            yield from (address, address.rstrip("/"), address.rstrip("/") + "/")


def check_source(store: Store, config: Config, source: str) -> list[int]:
    """The posts of a source that may be forgotten whole. InputError while config.yaml would fill it again, or has none."""
    configured = config.source(source)
    if configured is not None and configured.enabled:
        raise InputError(
            f"the source {source} is enabled in {config.path.name}, and its next crawl would fetch everything again: "
            f"write `enabled: false` there (or take it out), then forget it"
        )
    posts = store.in_source(source)
    if not posts and source not in store.known_sources():
        raise InputError(f"nothing is stored of a source {source!r}: known are {', '.join(store.known_sources()) or 'none'}")
    return posts


def forget_posts(
    store: Store, config: Config, posts: Sequence[int], *, what: str, author: tuple[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proof:  # fmt: skip
    """Forget posts, and with `author` (source, key) whatever he writes there from now on. Nobody else may run `trend` meanwhile."""
    needles, short = _needles(store, posts)
    loose = store.unbound(posts)
    rows = store.forget_posts(posts, author=author)
    return _proved(store, config, posts, rows, loose, needles, short, what=what, tombstones=len(posts), progress=progress)


def forget_source(
    store: Store, config: Config, source: str, *, day: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Proof:  # fmt: skip
    """Forget a source whole, as of today or of a UTC `day` (ISO text). Nobody else may run `trend`, or crawl it, meanwhile."""
    posts = check_source(store, config, source)
    needles, short = _needles(store, posts)
    loose = store.unbound(posts)
    rows = store.forget_source(source, day)
    return _proved(store, config, posts, rows, loose, needles, short, what=f"source {source}", tombstones=0, progress=progress)


def _proved(
    store: Store, config: Config, posts: Sequence[int], rows: Counter[str], loose: Counter[str], needles: Sequence[Needle], short: int, *,
    what: str, tombstones: int, progress: Callable[[int, int], None] | None,
) -> Proof:  # fmt: skip
    """Bring figures and files up to date, then search the files."""
    more, unreached = clean_archives(store, config, now=clock.now(), progress=progress)
    rows += more
    days = trend(store, min_authors=config.privacy.min_authors, progress=progress, beyond=beyond(store))
    settle(store, config, clock.now().astimezone(dt.UTC).date())
    rows += loose - store.unbound(posts, sweep=True)
    store.purge()
    search, rewritten = searched(store, needles), False
    if any(search.hits.values()):
        with contextlib.suppress(StoreError):  # another process may hold the database; the search then says what is left
            store.vacuum()
            rewritten = True
        search = searched(store, needles)
    search.too_short = short
    marks = Counter(row["kind"] for row in store.forgotten())
    return Proof(what, len(posts), dict(sorted((+rows).items())), tombstones, dict(marks), days, rewritten, search, unreached)


# ---- the search ---------------------------------------------------------------------------------------------------


def _needles(store: Store, posts: Iterable[int]) -> tuple[list[Needle], int]:
    """What to look for once the posts are gone, and the number of texts that are too short to be looked for."""
    found: dict[Needle, None] = {}
    short = 0
    for row in store.words(posts):
        pieces = _pieces(row["text"])
        short += bool(row["text"]) and not pieces
        # The title of a thread that somebody else opened is that person's.
        title = _pieces(row["title"]) if row["title"] and row["text"].startswith(row["title"]) else []
        found.update((("text", piece), None) for piece in (*pieces, *title))
        found.update((("address", value.encode()), None) for value in (row["url"],) if value)
        found.update((("key", value.encode()), None) for value in (row["author_key"],) if value)
        if distinctive(row["native_id"]) and not row["native_id"].startswith("hidden:"):
            found["key", row["native_id"].encode()] = None
    needles = list(found)
    step = max(1, -(-len(needles) // MOST_NEEDLES))
    return needles[::step], short


def _pieces(text: str) -> list[bytes]:
    """Up to four short pieces of a text: its beginning, its end, and two between."""
    whole = text.encode("utf-8", "replace")
    if len(whole) < _SHORTEST:
        return []
    last = max(0, len(whole) - _PIECE)
    return list(dict.fromkeys(whole[start : start + _PIECE] for start in (0, last // 3, 2 * last // 3, last)))


def searched(store: Store, needles: Sequence[Needle]) -> Search:
    """Search all files of the database for the needles, byte by byte."""
    kinds = {bytes_: kind for kind, bytes_ in needles}
    result = Search(searched=dict(Counter(kinds.values())), hits=dict.fromkeys(("text", "address", "key"), 0))
    places: dict[Path, list[tuple[bytes, int]]] = {}
    for path in _files(store.path):
        result.files[path.name] = path.stat().st_size
        if kinds:
            places[path] = _places(path, list(kinds))
    met = {needle for found in places.values() for needle, _ in found}
    living = _living(store, met, kinds, result) if met else {}
    for path, found in places.items():
        with _mapped(path) as content:
            for needle, start in found:
                if not any(_same(content, start, len(needle), around) for around in living.get(needle, ())):
                    result.hits[kinds[needle]] += 1
    return result


def _files(database: Path) -> list[Path]:
    """The database, its write-ahead log and what else SQLite may have left beside it."""
    names = ("", "-wal", "-journal")
    return [path for path in (database.with_name(database.name + ending) for ending in names) if path.exists() and path.stat().st_size]


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _places(path: Path, needles: Sequence[bytes]) -> list[tuple[bytes, int]]:
    from ahocorasick_rs import BytesAhoCorasick

    with _mapped(path) as content:
        found = BytesAhoCorasick(needles).find_matches_as_indexes(content, overlapping=True)
    return [(needles[index], start) for index, start, _ in found]


_Around = tuple[bytes, bytes]


def _living(store: Store, met: set[bytes], kinds: dict[bytes, Kind], result: Search) -> dict[bytes, set[_Around]]:
    """What stands around each needle in rows that live on, of which files must hold a copy; counted as `elsewhere`.

    A row's texts are stored one behind the other: ".../15" before "77" is ".../1577" in the file, and in no column.
    """
    from ahocorasick_rs import BytesAhoCorasick

    needles = sorted(met)
    finder = BytesAhoCorasick(needles)
    living: dict[bytes, set[_Around]] = defaultdict(set)
    for table, columns in {**store.texts(), "sqlite_master": ["sql"]}.items():  # a post may say what the schema says
        for row in store.values(table, columns):
            texts = [text.encode("utf-8", "replace") for text in row]
            ends = list(itertools.accumulate(map(len, texts)))
            whole, holding = b"".join(texts), set()
            for index, start, end in finder.find_matches_as_indexes(whole, overlapping=True):
                needle, column = needles[index], bisect.bisect_right(ends, start)
                living[needle].add((whole[max(0, start - _AROUND) : start], whole[end : end + _AROUND]))
                begin, stop = ends[column] - len(texts[column]), ends[column]
                if end > stop:
                    continue
                living[needle].add((whole[max(begin, start - _AROUND) : start], whole[end : min(stop, end + _AROUND)]))
                if kinds[needle] != "address" or end == stop or whole[end] not in _URL_GOES_ON:  # ".../1" is not ".../10"
                    holding.add(f"{table}.{columns[column]}")
            for place in holding:
                result.elsewhere[place] = result.elsewhere.get(place, 0) + 1
    return living


def _same(content: mmap.mmap, start: int, length: int, around: _Around) -> bool:
    before, after = around
    return content[max(0, start - len(before)) : start] == before and content[start + length : start + length + len(after)] == after


# ---- retention ----------------------------------------------------------------------------------------------------


def retire(store: Store, config: Config, *, now: dt.datetime) -> dict[str, int]:
    """Take the words, addresses and authors off posts older than `retention` says; returns how many posts by source.

    Days are UTC, and whole: a post goes with the day on which the youngest of its day is old enough.
    """
    done, kept = {}, kept_from(config, now)
    for source in store.sources_of_posts():
        if (first := kept(source)) and (count := store.retire(source, first, now)):
            done[source] = count
    return done


def kept_from(config: Config, now: dt.datetime) -> Callable[[str], dt.date | None]:
    """By source, the first UTC day whose words may be kept at `now` (aware), as `retention` says; None: all may."""

    def first(source: str) -> dt.date | None:
        configured = config.source(source)
        days = (configured.retention if configured else None) or config.privacy.retention
        return now.astimezone(dt.UTC).date() - dt.timedelta(days=days) if days else None

    return first


def clean_archives(
    store: Store, config: Config, *, now: dt.datetime, progress: Callable[[int, int], None] | None = None
) -> tuple[Counter[str], list[str]]:
    """Take out of archives' files what was forgotten here, and what is too old: rows that went or lost what they held, by archive.

    And, in sentences, which archives could not be reached; the next call tries them again.
    """
    archives, kept = store.archives(), kept_from(config, now)
    if not archives:
        return Counter(), []
    try:
        from monitor.archive.forgetting import clean, due
    except ImportError:
        return Counter(), [_EXTRA]
    if not any(due(archive, kept) for archive in archives):
        return Counter(), []
    try:
        with lock(store.path, "backfill"):  # whose unfinished run is not to be taken away under it
            return clean(store, min_authors=config.privacy.min_authors, now=now, kept_from=kept, progress=progress)
    except Busy as error:
        return Counter(), [f"what was forgotten leaves the archives at the next `forum-monitor trend`: {error}"]
