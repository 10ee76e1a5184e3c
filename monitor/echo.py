"""Who said it first: copies, near-copies and quoted passages among posts.

The promise: a post's standing depends on the posts that were written before it and on nothing else, so that the order in
which posts arrive changes nothing; and sketches only find what to compare, the words themselves decide.

Lengths are in units: a word is two, a character of a script that is written without spaces is one. A text of at most
SHORT units is anybody's ("same here"). Of a longer one the sketch keeps 32-bit keys of two kinds: hashes of runs of
_SHINGLE units, winnowed so that two texts which share PASSAGE units share a key (Schleimer, Wilkerson & Aiken, SIGMOD 2003),
and bands of a MinHash over runs of _PAIR units, for copies that were edited all over (Broder 1997; Leskovec, Rajaraman &
Ullman, Mining of Massive Datasets, 3.4). Numbers are 64 bits wide and wrap around.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from monitor.records import MAX_TEXT

Numbers = NDArray[np.uint64]
Keys = NDArray[np.uint32]
Flags = NDArray[np.bool_]

SHORT = 16
"""Units up to which a text is never an echo: eight words, or sixteen Chinese characters."""

PASSAGE = 24
"""Units in a row from which the same words are a quotation."""

REACH = dt.timedelta(days=60)
"""How long after a post its words are still recognised as its author's."""

_SHINGLE = 16
_WINDOW = 5
"""Neighbouring runs of which one is kept: a passage holds (PASSAGE - _SHINGLE) / 2 + 1 of them at the least."""

_PAIR = 4
_ROWS, _BANDS = 3, 16
"""Two texts that have half of their pairs of words in common are found with probability 1 - (1 - 1/8) ** 16 = 0.88; two thirds, 0.996."""

_RUN = 8
"""Units in a row that are counted as taken over, between two texts that are found to be of one stock."""

# Scripts written without spaces: Thai to Khmer, and the CJK ideographs and kana. Hangul has spaces.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SINGLE = re.compile(f"[{_ALONE}]")
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")

_BASE = 0x9E3779B97F4A7C15  # any odd number does: it has an inverse
_POWERS = np.multiply.accumulate(np.full(MAX_TEXT, _BASE, np.uint64))
_INVERSES = np.multiply.accumulate(np.full(MAX_TEXT, pow(_BASE, -1, 2**64), np.uint64))
# A scheme that datasketch promises to keep, since the sketches are stored. One for all texts: to make it takes longer than to use it.
_minhash = MinHash(_ROWS * _BANDS, seed=1, hashfunc=int, scheme="affine32")


class _Hashes(dict[str, int]):
    """Hashes of words, made once each. The lowest bit says that the word is a single character, which weighs one unit."""

    def __missing__(self, word: str) -> int:
        if len(self) >= 500_000:
            self.clear()
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        value = self[word] = digest & ~1 | (_SINGLE.fullmatch(word) is not None)
        return value


_hashes = _Hashes()


def _mixed(values: Numbers) -> Numbers:
    """Each bit of a value spread over all of it (half of the finalizer of MurmurHash3, by Austin Appleby)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return values ^ (values >> np.uint64(33))


class Words:
    """A text as its words, whatever their case, punctuation and spacing. Accents count."""

    def __init__(self, text: str) -> None:
        plain = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")[:MAX_TEXT]
        found = _WORD.findall(plain)
        hashes = np.fromiter(map(_hashes.__getitem__, found), np.uint64, len(found))
        self.weights = 2 - (hashes & np.uint64(1)).astype(np.int64)
        self._upto = np.concatenate(([0], np.cumsum(self.weights)))
        self._sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(hashes * _POWERS[: len(found)], dtype=np.uint64)))
        self.units = int(self._upto[-1])

    def runs(self, units: int) -> tuple[Numbers, NDArray[np.int64]]:
        """A hash for each run of at least `units`, by the word that it begins with; and the word behind its end."""
        ends = np.searchsorted(self._upto, self._upto[:-1] + units)
        ends = ends[: np.searchsorted(ends, len(self._upto))]
        count = len(ends)
        return _mixed((self._sums[ends] - self._sums[:count]) * _INVERSES[:count]), ends


def sketch(text: str) -> bytes:
    """The keys of a text, 32 bits each; empty for a text that is too short to be an echo."""
    words = Words(text)
    if words.units <= SHORT:
        return b""
    hashes, _ = words.runs(_SHINGLE)
    least = hashes.copy()
    for step in range(1, _WINDOW):
        np.minimum(least[:-step], hashes[step:], out=least[:-step])
    return (np.concatenate((_once(least), _bands(words))) >> np.uint64(32)).astype("<u4").tobytes()


def _bands(words: Words) -> Numbers:
    pairs, _ = words.runs(_PAIR)
    _minhash.clear()
    _minhash.update_batch((pairs >> np.uint64(32)).tolist())
    rows = _minhash.hashvalues.astype(np.uint64).reshape(_BANDS, _ROWS)
    return _mixed(rows @ _POWERS[:_ROWS] + np.arange(_BANDS, dtype=np.uint64))


@dataclass(frozen=True, slots=True)
class Sketched:
    """Posts in the order in which they were written: parallel columns, and all keys one post after the other."""

    ids: NDArray[np.int64]
    times: NDArray[np.int64]
    spoken: Flags
    """Whether it can be a voice: it is not press."""
    origins: NDArray[np.int64]
    """The standing that is stored: posts.id, or 0."""
    reposts: Flags
    sizes: NDArray[np.int64]
    keys: Keys

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, int, int, bytes]]) -> Sketched:
        """From rows of (id, seconds, spoken, origin, repost, sketch), as `Store.sketches` gives them."""
        ids, times, spoken, origins, reposts, sizes = (array("q") for _ in range(6))
        keys = bytearray()
        for post, seconds, speaks, origin, repost, blob in rows:
            ids.append(post)
            times.append(seconds)
            spoken.append(speaks)
            origins.append(origin)
            reposts.append(repost)
            sizes.append(len(blob) // 4)
            keys += blob
        columns = [np.frombuffer(column, np.int64) for column in (ids, times, spoken, origins, reposts, sizes)]
        return cls(columns[0], columns[1], columns[2] > 0, columns[3], columns[4] > 0, columns[5], keys_of(keys))


def keys_of(blob: bytes | bytearray) -> Keys:
    """The keys of a sketch, or of several in a row."""
    return np.frombuffer(blob, "<u4")


_LOW = np.uint32(2**24 - 1)
_OWNER = np.uint64(2**32 - 1)
_KEY = np.uint64(32)


def _once(values: Numbers) -> Numbers:
    """Of equal neighbours one."""
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def _holders(posts: Sketched, wanted: Keys) -> Numbers:
    """Who holds what, as key << 32 | index of the post, sorted: at least the `wanted` keys, at most those with equal low bits.

    In a table of the low bits the many keys that nobody asks for cost a look each, and no sorting.
    """
    table = np.zeros(int(_LOW) + 1, np.bool_)
    table[wanted & _LOW] = True
    near = table[posts.keys & _LOW]
    owners = np.repeat(np.arange(len(posts.ids), dtype=np.uint64), posts.sizes)[near]
    held: Numbers = posts.keys[near].astype(np.uint64) << _KEY | owners
    held.sort()
    return held


def sharing(posts: Sketched, wanted: Keys) -> Flags:
    """Which posts hold one of these keys."""
    found = np.zeros(len(posts.ids), np.bool_)
    if len(wanted):
        held, wanted = _holders(posts, wanted), np.sort(wanted)
        keys = (held >> _KEY).astype(np.uint32)
        first = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        found[held[wanted[first] == keys] & _OWNER] = True
    return found


def earlier(posts: Sketched, asked: Flags, gone: Flags) -> Iterator[tuple[int, list[int]]]:
    """For each of the `asked` posts (by index) that may echo others, those others in order: who held one of its keys first.

    That is, per key, the first holder and the first that was no press, at most REACH before; a post that is `gone` holds none.
    """
    held = _holders(posts, posts.keys[np.repeat(asked, posts.sizes)])
    held = held[~gone[held & _OWNER]]
    since = np.searchsorted(posts.times, posts.times - int(REACH.total_seconds())).astype(np.uint64)
    mine = held[asked[held & _OWNER]]
    sought = (mine & ~_OWNER) | since[mine & _OWNER]
    pairs = []
    for holders in (held, held[posts.spoken[held & _OWNER]]):
        if len(holders):
            first = holders[np.minimum(np.searchsorted(holders, sought), len(holders) - 1)]
            found = (first >= sought) & (first < mine)
            pairs.append((mine[found] & _OWNER) << _KEY | (first[found] & _OWNER))
    both = _once(np.sort(np.concatenate(pairs))) if pairs else held
    for later, part in itertools.groupby(both.tolist(), lambda pair: pair >> 32):
        yield later, [pair & 0xFFFFFFFF for pair in part]


@dataclass(frozen=True, slots=True)
class Said:
    """A post as it is compared: its words, whether it can be a voice, and whose it is (None: not known, so another's)."""

    post: int
    words: Words
    spoken: bool
    author: str | None


def standing(said: Said, before: Sequence[Said]) -> tuple[int | None, bool]:
    """What a post is among those `before` it, given in their order: (origin, repost).

    Of one stock with an earlier post it is when the two share a passage, or when more than half of it stands there in runs.
    `origin` is the earlier post that holds most of it. It is a repost when more than half of its words were first
    said by other people; press takes no words away from those whom it quotes.
    """
    hashes, ends = said.words.runs(_RUN)
    weights = said.words.weights
    origin, most, foreign = None, 0, 0
    owned = np.zeros(len(weights), np.bool_)
    for other in before:
        theirs = np.sort(other.words.runs(_RUN)[0])
        same = np.searchsorted(theirs, hashes, "left") < np.searchsorted(theirs, hashes, "right")
        steps = np.bincount(np.flatnonzero(same), minlength=len(weights) + 1) - np.bincount(ends[same], minlength=len(weights) + 1)
        taken = np.cumsum(steps[:-1]) > 0
        amount = int(weights[taken].sum())
        if _longest(taken, weights) < PASSAGE and 2 * amount <= said.words.units:
            continue
        if amount > most:
            origin, most = other.post, amount
        if other.spoken:
            if said.author is None or other.author != said.author:
                foreign += int(weights[taken & ~owned].sum())
            owned |= taken
    return origin, said.spoken and 2 * foreign > said.words.units


def _longest(taken: Flags, weights: NDArray[np.int64]) -> int:
    """The most units in a row that are taken."""
    total = np.cumsum(weights * taken)
    return int((total - np.maximum.accumulate(np.where(taken, 0, total))).max(initial=0))
