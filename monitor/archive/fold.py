"""Days of an archive into the store: figures as they are, and the few posts that show them.

The promise: whatever was interrupted, the next fold ends in the same store; a day that is there already costs a look at its
digest. Where the store itself, another archive or a correction has a part in a team's day, that day is left to `trend`, which
reads the archive's rows beside the store's.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from monitor.archive.layout import FIGURES, Current, Root
from monitor.errors import InputError
from monitor.privacy import counts_alone
from monitor.records import DailyTrend, Mention, Post, Score, Spread
from monitor.store import Archived, ArchivedDay, Reading, Store
from monitor.trend import begin, settle_intervals

PART = 31
"""Days that are taken over in one transaction: others wait for it, a few seconds."""

KeptFrom = Callable[[str], dt.date | None]
"""The first UTC day of a source whose words may be kept (privacy.retention); None: all may."""


class Folded(NamedTuple):
    """What a fold took over: days, their (day, team) pairs, and posts that show them."""

    days: int
    pairs: int
    posts: int


def fold(
    store: Store,
    root: Root,
    name: str,
    *,
    min_authors: int,
    now: dt.datetime,
    kept_from: KeptFrom = lambda source: None,
    progress: Callable[[int, int], None] | None = None,
) -> Folded:
    """Take over the days of the shown run of an archive that are not in the store as they are in its files.

    `now` is aware. `progress` is called with (days done, days in all). Raises InputError when the archive has no finished run, or another
    one in the store holds a source of it. Days that are marked are for the next `trend`.
    """
    current = root.current(name)
    if current is None:
        raise InputError(f"no run of the archive {name} is finished: `forum-monitor backfill` goes on with one")
    others = {other.name: other for other in store.archives()}
    held = others.pop(name, None)
    for other in others.values():
        if twice := set(current.sources) & set(other.sources):
            raise InputError(f"the archive {other.name} holds {min(twice)} too, whose posts would count twice: take it away, or forget it")
    if not store.model:  # nothing was ever understood here: what the archive was read by is shown
        store.read_by(current.reader, current.model)
    begin(store, min_authors)
    if held and held.unclean and held.run == current.run:  # what was forgotten whole does not come back before it is out of the files
        current = replace(current, sources=held.sources)
    store.keep_archive(_archived(root, name, current, now))
    manifests = {day: root.read_json(root.day(name, current.run, day, "manifest.json")) for day in root.days(name, current.run)}
    known = store.archived_digests(name)
    changed = sorted(day for day in manifests | known if known.get(day) != manifests.get(day, {}).get("digest"))
    waiting = {(day, team) for day in changed if day in manifests for team in manifests[day]["teams"]}
    buried = {source: ids for source in current.sources if (ids := frozenset(store.buried_ids(source)))}
    days = pairs = posts = 0
    while part := list(itertools.islice(changed, days, days + PART)):
        found = [_read(root, name, current, day, manifests[day], kept_from) for day in part if day in manifests]
        of_part = {(one.day, team) for one in found for team in one.teams}
        without = {one.day for one in found if buried and _holds(root, root.day(name, current.run, one.day, "posts.parquet"), buried)}
        waiting -= of_part
        with store.writing():
            had = store.replace_archived(name, part, found)
            mixed, dirty = store.mixed_pairs(part[0], part[-1]), store.dirty_days().keys()
            mixed |= {pair for pair in of_part if pair[0] in without}
            plain = of_part - mixed
            # What is marked is marked again, since a `trend` that goes on may have read it before.
            store.mark_days((of_part & (mixed | dirty)) | (had - of_part))
            figures = [(row, spread) for one in found for row, spread in one.figures if (one.day, row.team) in plain]
            shown = [row if row.authors >= min_authors else counts_alone(row) for row, _ in figures]
            store.replace_trends(dict.fromkeys(plain, 0), shown)
            store.keep_spreads((row, spread) for (row, spread) in figures if spread and row.authors >= min_authors)
            store.drop_weeks(plain)
            if plain:
                settle_intervals(store, plain, waiting | dirty)
            gone = [ArchivedDay(day, "", 0, {}, frozenset()) for day in part if day not in manifests]
            posts += sum(store.replace_evidence(name, current.model, one, at=now) for one in (*found, *gone))
        days, pairs = days + len(part), pairs + len(of_part)
        if progress:
            progress(days, len(changed))
    return Folded(days, pairs, posts)


def _archived(root: Root, name: str, current: Current, now: dt.datetime) -> Archived:
    where = root.where if "://" in root.where else root.path()
    first, last = dt.date.fromisoformat(current.first), dt.date.fromisoformat(current.last)
    return Archived(name, where, current.run, current.model, current.reader, current.sources, first, last, current.words, now)


# ---- files to records ---------------------------------------------------------------------------------------------


def _read(root: Root, name: str, current: Current, day: str, manifest: Mapping[str, Any], kept_from: KeptFrom) -> ArchivedDay:
    """A day as its files hold it, but for the posts that are too old to be kept."""
    on = dt.date.fromisoformat(day)
    columns = root.parquet(root.day(name, current.run, day, "figures.parquet")).read().to_pydict()
    rows = root.parquet(root.day(name, current.run, day, "evidence.parquet")).read().to_pylist()
    kept = [row for row in rows if on >= (kept_from(row["source"]) or on)]
    return ArchivedDay(
        day, manifest["digest"], manifest["posts"], manifest["sources"], frozenset(manifest["teams"]),
        list(figures_of(columns)), list(_evidence(kept, current.model)),
    )  # fmt: skip


def _holds(root: Root, file: str, buried: Mapping[str, Collection[str]]) -> bool:
    """Whether a day holds a post that was deleted or forgotten here: its tombstone may not say of what day it was."""
    table = root.parquet(file).read(["source", "native_id"])
    return any(post in buried.get(source, ()) for source, post in zip(*(column.to_pylist() for column in table.columns), strict=True))


def figures_of(columns: Mapping[str, Sequence[Any]]) -> Iterator[tuple[DailyTrend, Spread]]:
    """Columns of layout.FIGURES as rows of `trend.daily` for which one voice is enough; they have no interval yet."""
    for values in zip(*(columns[name] for name in FIGURES.names), strict=True):
        day, team, source, model, posts, authors, threads, mean, negative, neutral, positive, voices, *spread = values
        row = DailyTrend(dt.date.fromisoformat(day), team, source, model, posts, authors, threads, sufficient=True, mean=mean)
        row.negative_share, row.neutral_share, row.positive_share = negative, neutral, positive
        yield row, Spread(int(voices), *spread)


def _evidence(rows: Iterable[Mapping[str, Any]], model: str) -> Iterator[tuple[Post, Reading]]:
    """Rows of layout.EVIDENCE, which stand together by post, as posts and what was read of them."""
    for (source, native_id), of_post in itertools.groupby(rows, key=lambda row: (row["source"], row["native_id"])):
        read = list(of_post)
        first = read[0]
        post = Post(
            source, native_id, first["url"] or "", first["text"], first["posted_at"], first["posted_at"], first["thread_id"],
            first["parent_id"], first["title"], first["language"], first["author_key"], first["edited_at"], first["date_origin"],
            first["kind"],
        )  # fmt: skip
        mentions = [Mention(row["team"], span["start"], span["end"]) for row in read for span in row["mentions"]]
        scores = {
            row["team"]: (row["input_hash"], Score(row["model"] or model, row["negative"], row["neutral"], row["positive"]))
            for row in read
            if row["value"] is not None
        }
        yield post, Reading(0, first["text_hash"], first["language"], mentions, scores)
