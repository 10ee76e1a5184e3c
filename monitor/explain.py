"""What moved: a team's figure of some days against the days before, taken apart by source, thread, person and word.

The promises: the parts sum to the change. No part is of fewer than `privacy.min_authors` people, and none can be computed
from the others: sources too small are joined with the next smallest, and threads are kept back until what a source has
beside the shown ones is of enough people too. That one person or thread matters is said, never how much. The choice of posts
is the same at every run, and shows as many different people and threads as there are. Pure: rows in, figures out.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from monitor.conditions import DIRECTIONS
from monitor.decompose import Cell, cells, difference, kitagawa, shares, thread, voice
from monitor.records import ALL
from monitor.store import Spoken
from monitor.terms import Term, heard_more

SHORT = 30
"""Characters; a shorter post says too little to be shown while there are others."""

MOST_TERMS, MOST_THREADS = 8, 3

_COUNTS = ("spike",)
"""Rules on how many people speak, not on what they say."""

_NOTHING_SAID = ("silence", "stopped")

_HEARD = "Words heard more than before:"
_SEVERAL = "people from "

Texts = Callable[[Sequence[Spoken]], Iterable[tuple[Spoken, str]]]
"""Gives the words of posts in their order, the team's own names taken out; a post without words is left out."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a source, or several small ones together, have to do with a change of the mean: `mood` + `mix` is their share of it.

    `daily` and `daily_before` are people a day. `mood`: its people speak otherwise than before. `mix`: it has another
    weight among the sources than before. Both in the unit of the mean, [-2, 2]; None where the means are not known.
    """

    source: str
    people: int
    daily: float
    daily_before: float
    mean: float | None = None
    before: float | None = None
    mood: float | None = None
    mix: float | None = None

    @property
    def contribution(self) -> float | None:
        return None if self.mood is None or self.mix is None else self.mood + self.mix


@dataclass(frozen=True, slots=True)
class Thread:
    """What a thread has to do with a change: its people's weight times how far their mean lies from the one before.

    Over all threads, those that are not shown too, contributions sum to the change. `post` is the id of its oldest living post
    of the days explained, None where none lives.
    """

    source: str
    post: int | None
    people: int
    mean: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Change:
    """How far the mean moved, with its 95 % interval low..high, and of what: `mood` + `mix` = `change`.

    Both are None where sources cannot be told apart. The last two are None where chance alone may make the whole change.
    """

    mean: float
    before: float
    change: float
    low: float
    high: float
    mood: float | None
    mix: float | None
    holds_without_person: bool | None
    holds_without_thread: bool | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What moved a team's figure on the UTC days `first`..`last` against `before_first`..`before_last`.

    `change` is None where too few people spoke then. `largest_thread` is the number of people in the thread that has the most.
    """

    first: dt.date
    last: dt.date
    before_first: dt.date
    before_last: dt.date
    people: int
    posts: int
    largest_thread: int
    daily: float
    daily_before: float
    change: Change | None
    sources: tuple[Part, ...]
    threads: tuple[Thread, ...]
    terms: tuple[Term, ...]


def explain(
    posts: Sequence[Spoken], texts: Texts, *, since: dt.date, min_authors: int, source: str = ALL, until: dt.date | None = None
) -> Explanation | None:
    """What moved the figure from `since` on, against the posts before it. `posts` are a team's, of all sources (`Store.spoken`).

    Days before on which fewer than `min_authors` people spoke have no figure, so they are in none here. With a `source`
    that source alone is explained. `until`: the day that an earlier turn began which still lasts, where the baseline ends.
    None when fewer people spoke than may be shown, or nobody did before.
    """
    now = [post for post in posts if post.day >= since.isoformat()]
    before = [post for post in posts if post.day < (until or since).isoformat()]
    groups = _grouped(now, _with_figures(before, min_authors), min_authors)
    if source != ALL:
        if groups.get(source) != source:
            return None
        now, before, groups = [p for p in now if p.source == source], [p for p in before if p.source == source], {source: source}
    people = len({post.voice for post in now})
    if people < min_authors or not before:
        return None
    first, last = (dt.date.fromisoformat(post.day) for post in (before[0], now[-1]))
    span = (since, last, first, (until or since) - dt.timedelta(days=1))
    lengths = (span[1] - span[0]).days + 1, (span[3] - span[2]).days + 1
    told = _with_figures(before, min_authors)
    parts = _parts(now, before, told, groups, lengths)
    change = _change(now, told, parts) if told else None
    crowds = Counter(thread for thread, _ in {(post.thread, post.voice) for post in now})
    words, words_before = (((post.day, post.voice, text) for post, text in texts(some)) for some in (now, before))
    return Explanation(
        *span, people, len(now), max(crowds.values()), _person_days(now) / lengths[0], _person_days(before) / lengths[1], change,
        tuple(parts), tuple(_threads(now, change.before, groups, min_authors)) if change else (),
        tuple(heard_more(words, words_before, min_authors, MOST_TERMS)),
    )  # fmt: skip


def _person_days(posts: Sequence[Spoken]) -> int:
    return len({(post.day, post.voice) for post in posts})


def _with_figures(posts: Sequence[Spoken], min_authors: int) -> list[Spoken]:
    """The posts of the days on which enough people spoke."""
    voices = Counter(day for day, _ in {(post.day, post.voice) for post in posts})
    return [post for post in posts if voices[post.day] >= min_authors]


# ---- what may be shown --------------------------------------------------------------------------------------------


def _grouped(now: Sequence[Spoken], before: Sequence[Spoken], least: int) -> dict[str, str]:
    """Under which name each source is shown: its own, or that of several which together have enough people, then and now.

    Sources with too few people in either window are joined with the smallest of the others, until those joined are two
    and enough; the same choice as privacy.withheld makes of one day.
    """
    people = [Counter(source for source, _ in {(post.source, post.voice) for post in posts}) for posts in (now, before)]
    sources = sorted(people[0] | people[1])
    small = [source for source in sources if any(0 < window[source] < least for window in people)]
    others = sorted((source for source in sources if source not in small), key=lambda source: (people[0][source], source))
    while small and others and (len(small) < 2 or any(0 < sum(window[source] for source in small) < least for window in people)):
        small.append(others.pop(0))
    joined = " + ".join(sorted(small))
    return {source: joined if source in small else source for source in sources}


def _shown_threads(posts: Sequence[Spoken], groups: Mapping[str, str], least: int) -> set[str]:
    """Threads of enough people, less the smallest ones of a source whose remaining posts are of too few."""
    crowds: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for post in posts:
        crowds[groups[post.source]][post.thread].add(post.voice)
    found: set[str] = set()
    for threads in crowds.values():
        left = sorted(threads, key=lambda name: (-len(threads[name]), name))
        hidden: set[str] = set()
        while left and (len(threads[left[-1]]) < least or 0 < len(hidden) < least):
            hidden |= threads[left.pop()]
        found.update(left)
    return found


# ---- what moved ---------------------------------------------------------------------------------------------------


def _parts(
    now: Sequence[Spoken], before: Sequence[Spoken], told: Sequence[Spoken], groups: Mapping[str, str], lengths: tuple[int, int]
) -> list[Part]:
    """The sources, the one that moved the mean most first; none where all had to be joined."""
    if len(groups) > 1 and len(set(groups.values())) == 1:
        return []

    def group(post: Spoken) -> str:
        return groups.get(post.source, post.source)

    of, of_before = (shares(cells(posts, group)) for posts in (now, told))
    split = kitagawa(of_before, of) if told else {}
    days, days_before = (Counter(name for *_, name in {(p.day, p.voice, group(p)) for p in posts}) for posts in (now, before))
    people = Counter(name for _, name in {(post.voice, group(post)) for post in now})
    parts = [
        Part(
            name, people[name], days[name] / lengths[0], days_before[name] / lengths[1],
            of[name][1] if name in of else None, of_before[name][1] if name in of_before else None, *split.get(name, (None, None)),
        )
        for name in sorted(days | days_before)
    ]  # fmt: skip
    return sorted(parts, key=lambda part: -abs(part.contribution or 0))


def _threads(now: Sequence[Spoken], before: float, groups: Mapping[str, str], least: int) -> list[Thread]:
    """The threads that moved the mean most, of those that may be shown."""
    found = cells(now, thread)
    whole = math.fsum(cell.weight for cell in found.values())
    opened: dict[str, int] = {}
    for post in sorted(now, key=lambda post: post.id):
        if post.living:
            opened.setdefault(post.thread, post.id)
    sources = {post.thread: post.source for post in now}
    threads = [
        Thread(sources[name], opened.get(name), len(found[name].voices), found[name].mean, _excess(found[name], before) / whole)
        for name in sorted(_shown_threads(now, groups, least))
    ]
    return sorted(threads, key=lambda one: -abs(one.contribution))[:MOST_THREADS]


def _excess(cell: Cell, before: float) -> float:
    """How far a cell's posts lie from an earlier mean, in sum."""
    return cell.total - cell.weight * before


def _change(now: Sequence[Spoken], before: Sequence[Spoken], parts: Sequence[Part]) -> Change:
    """The change itself, and whether it is still there without the person, and without the thread, that counts most in it."""
    found = difference(now, before)
    split = [(part.mood, part.mix) for part in parts if part.mood is not None and part.mix is not None]
    mood, mix = (math.fsum(column) for column in zip(*split, strict=True)) if split else (None, None)
    holds: list[bool | None] = [None, None]
    if found.certain:
        for n, key in enumerate((voice, thread)):
            of = cells(now, key)
            loudest = max(sorted(of), key=lambda name: _excess(of[name], found.before) * found.change)
            rest = [[post for post in posts if key(post) != loudest] for posts in (now, before)]
            left = difference(*rest) if all(rest) else None
            holds[n] = left is not None and left.certain and left.change * found.change > 0
    return Change(*found, mood, mix, *holds)


# ---- in words -----------------------------------------------------------------------------------------------------


def sentences(found: Explanation | None, kind: str) -> str | None:
    """Two or three plain sentences on what moved the figure of an alert by a `kind` of rule; None where nothing can be told."""
    if found is None or kind in _NOTHING_SAID:
        return None
    told = _attention(found) if kind in _COUNTS else _sentiment(found)
    if found.terms:
        told.append(f"{_HEARD} {', '.join(term.term for term in found.terms)}.")
    return " ".join(told) or None


def without_words(told: str | None) -> str | None:
    """What `sentences` said, without the words that people used."""
    return (told or "").partition(_HEARD)[0].strip() or None


def of_several_days(told: str) -> bool:
    """Whether what `sentences` said tells a mean of several days together."""
    return _SEVERAL in told


def _sentiment(found: Explanation) -> list[str]:
    move = found.change
    if move is None:
        return []
    on = f"on {found.last}" if found.first == found.last else f"from {found.first} to {found.last}"
    told = (  # `of_several_days` knows "people from"
        f"Against {found.before_first} to {found.before_last} the mean of {found.people} people {on} moved by {move.change:+z.2f} "
        f"(95 % interval {move.low:+z.2f} to {move.high:+z.2f})"
    )
    most = []
    if len(found.sources) == 1:
        told += f", all of it in {found.sources[0].source}"
    elif found.sources and move.mood is not None and move.mix is not None:
        told += f": {move.mood:+z.2f} because the same sources turned, {move.mix:+z.2f} because other sources speak"
        first = found.sources[0]
        most.append(f"{first.source} makes {first.contribution or 0:+z.2f} ({first.people} people)")
    if found.threads:
        largest = found.threads[0]
        most.append(f"one thread in {largest.source} makes {largest.contribution:+z.2f} ({largest.people} people)")
    robust = _robust(move)
    return [f"{told}.", f"Of that {', '.join(most)}; {robust[0].lower()}{robust[1:]}" if most else robust]


def _robust(move: Change) -> str:
    person, thread = move.holds_without_person, move.holds_without_thread
    if person is None:
        return "So few people or threads may make such a change by chance."
    if person and thread:
        return "It holds without the person, and without the thread, that counts most in it."
    lacking = " or ".join(name for name, holds in (("the person", person), ("the thread", thread)) if not holds)
    return f"It does not hold without {lacking} that counts most in it: read that first."


def _attention(found: Explanation) -> list[str]:
    told = f"{found.daily:.3g} people a day speak, where {found.daily_before:.3g} did from {found.before_first} to {found.before_last}"
    more = sorted(found.sources, key=lambda part: part.daily_before - part.daily)[:2]
    if len(found.sources) > 1:
        told += ": " + " and ".join(f"{part.daily - part.daily_before:+.3g} in {part.source}" for part in more)
    return [f"{told}.", f"The largest thread holds {found.largest_thread} of these {found.people} people."]


# ---- the posts that show it ---------------------------------------------------------------------------------------


def representative(rows: Sequence[Mapping[str, Any]], kind: str, count: int) -> list[int]:
    """The ids of at most `count` posts of `rows` (as `Store.evidence` gives them) that show an alert of a `kind` of rule.

    Where sentiment fell these are the most negative, where it rose the most positive; otherwise those nearest to what most said.
    A second post by one author, then a second one of one thread, comes only when there is no other.
    """
    middle = median(row["value"] for row in rows) if rows else 0.0
    direction = DIRECTIONS.get(kind)
    left = sorted(
        rows,
        key=lambda row: (row["length"] < SHORT, -direction * row["value"] if direction else abs(row["value"] - middle), row["id"]),
    )
    chosen: list[Mapping[str, Any]] = []
    while left and len(chosen) < count:
        authors = {row["author_key"] for row in chosen} - {None}
        threads = {(row["source"], row["thread_id"]) for row in chosen if row["thread_id"] is not None}
        best = min(
            left, key=lambda row: (row["author_key"] in authors, (row["source"], row["thread_id"]) in threads, row["length"] < SHORT)
        )
        chosen.append(best)
        left.remove(best)
    return [row["id"] for row in chosen]
