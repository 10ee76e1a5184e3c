"""trend: scores of posts into daily trends, one voice per author, and none for who repeats others.

The promise: every row can be built again. Only days whose posts changed are computed, a full rebuild gives the same
rows to the last bit, and a day on which fewer than `privacy.min_authors` people spoke keeps its counts and no figure.
What posts repeat is settled before any day is computed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from monitor.errors import MonitorError, StoreError
from monitor.records import ALL, DailyTrend, Spread, from_text, to_text
from monitor.rules.statistics import correlation, evidence, margin, pooled
from monitor.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

    from monitor.echo import Said

COLUMNS = ("day", "team", "source", "model", "voice", "thread", "label", "value")
"""The columns of a frame of voices, as `Store.voices` gives them."""

_GROUP = ["day", "team", "source", "model"]
_LABELS = ["negative", "neutral", "positive"]
_FACT = "trend_min_authors"
_MONTH = 31
MEMORY = 90
"""Days before a day that tell, with it, how alike those are who speak in one thread: a day alone has too few threads."""

_BATCH = 500
_PART = 200_000
"""Posts whose echoes are found in one go: beside their sketches those of REACH before and after are in memory."""


Voice = tuple[str, str, str, str, str, str, str, float]
"""A row of a frame of voices."""

Beyond = Callable[[dt.date, dt.date, str | None], Iterable[Voice]]
"""Gives what archives hold beside the store of some UTC days, of one team or all, as `Store.voices` does; MonitorError: cannot be read."""

log = logging.getLogger("forum-monitor")


def _no_archive(*_: object) -> list[Voice]:
    raise StoreError("days of an archive cannot be computed without it")


def trend(
    store: Store,
    *,
    min_authors: int,
    rebuild: bool = False,
    progress: Callable[[int, int], None] | None = None,
    beyond: Beyond = _no_archive,
) -> int:
    """Bring the daily trends up to date; returns the number of (day, team) pairs computed.

    `rebuild` computes all of them, echoes too; a `min_authors` other than that of the last run all but echoes. Each chunk is
    stored for itself, so an interrupted run is gone on with by the next. `progress` is called with (posts looked through for echoes,
    0), since nobody counts them before, and then with (pairs done, pairs in all). Days of which archives hold a part are computed from
    the store's voices and those that `beyond` gives; where these cannot be read, the days stay marked for the next run, which is said.
    """
    if rebuild or store.fact(_FACT) != str(min_authors):
        with store.writing():
            store.mark_all_dirty()
            if rebuild:
                store.mark_all_echoes()
            store.set_fact(_FACT, str(min_authors))
    settle_echoes(store, progress)
    dirty = store.dirty_days()
    done, all_pairs = 0, len(dirty)
    waits: list[str] = []
    waiting = 0
    for chunk in list(_chunks(dirty)):
        teams = {team for _, team in chunk}
        team = teams.pop() if len(teams) == 1 else None
        first, last = (dt.date.fromisoformat(day) for day in (min(chunk)[0], max(chunk)[0]))
        archived = store.archived_pairs(first, last, team=team) & chunk.keys()
        pairs, more = chunk, []
        try:
            more = [row for row in beyond(first, last, team) if row[:2] in archived] if archived else []
        except MonitorError as error:
            waits.append(str(error))
            waiting += len(archived)
            pairs = {pair: marks for pair, marks in chunk.items() if pair not in archived}
        if not pairs:
            continue
        frame = frame_of([*(row for row in store.voices(first, last, team=team) if row[:2] in pairs), *more])
        found = daily(frame, min_authors) + daily(frame.assign(source=ALL), min_authors)
        for pair in pairs:
            del dirty[pair]
        with store.writing():
            store.replace_trends(pairs, [row for row, _ in found])
            store.keep_spreads((row, spread) for row, spread in found if spread)
            settle_intervals(store, pairs, dirty)
        done += len(pairs)
        if progress:
            progress(done, all_pairs)
    if waits:
        log.warning("trend: %s; %d team days wait", waits[0], waiting)
    return done


def begin(store: Store, min_authors: int) -> None:
    """Note, where nothing was ever computed, for how many people the figures are that come from elsewhere."""
    if store.fact(_FACT) is None:
        store.set_fact(_FACT, str(min_authors))


def settle_intervals(store: Store, pairs: Iterable[tuple[str, str]], waiting: Container[tuple[str, str]]) -> None:
    """Set the intervals of these (day, team), and of the MEMORY days after each, which rest on them.

    Those that are `waiting` to be computed themselves are left: each interval is set after the last change of what it rests on.
    """
    changed: dict[str, list[dt.date]] = defaultdict(list)
    for text, team in sorted(pairs):
        changed[team].append(dt.date.fromisoformat(text))
    first, last = min(days[0] for days in changed.values()), max(days[-1] for days in changed.values())
    only = next(iter(changed)) if len(changed) == 1 else None
    intervals = []
    for series, days in store.spreads(_moved(first, -MEMORY), _moved(last, MEMORY), team=only).items():
        own = changed.get(series[0], [])
        columns = list(zip(*(spread[3:] for _, spread in days), strict=True))
        for index, (day, spread) in enumerate(days):
            earlier = bisect_right(own, day)
            if earlier and (day - own[earlier - 1]).days <= MEMORY and (day.isoformat(), series[0]) not in waiting:
                begin = bisect_left(days, _moved(day, -MEMORY), hi=index, key=itemgetter(0))
                alike = correlation(*(math.fsum(column[begin : index + 1]) for column in columns))
                intervals.append((series, day, *_interval(spread, alike)))
    store.set_intervals(intervals)


def _interval(spread: Spread, correlation: float) -> tuple[float, float, float]:
    """(variance of a voice, effective voices, reach of the 95 % interval to either side)."""
    variance, effective = evidence(spread.voices, spread.total, spread.crowding, correlation)
    return variance, effective, margin(variance, effective, 0.975)


def _moved(day: dt.date, days: int) -> dt.date:
    """`day` and so many days, as far as the calendar goes."""
    return dt.date.fromordinal(min(dt.date.max.toordinal(), max(1, day.toordinal() + days)))


def settle_echoes(store: Store, progress: Callable[[int, int], None] | None = None) -> None:
    """Find what posts that are new, changed or gone repeat, and who repeats them; days that this changes become dirty.

    A run that is interrupted is gone on with by the next. `progress` is called with (posts done, 0).
    """
    done = 0
    while leaving := store.leaving_echoes(_PART):
        ids = [post for post, _, _ in leaving]
        standings = _standings(store, ids, leaving[0][1], leaving[-1][1], b"".join(blob for _, _, blob in leaving), leave=True)
        store.save_standings(standings, left=ids)
    while joining := store.joining_echoes(_PART):
        from monitor import echo  # here and below, since most runs find nothing to do, and numpy takes longer than they do

        keys = bytearray()
        for start in range(0, len(joining), _BATCH):
            part = joining[start : start + _BATCH]
            words = store.words_of([post for post, _, _ in part])
            sketches = [(post, at, echo.sketch(words[post][0]) if post in words else b"") for post, at, _ in part]
            store.save_sketches(sketches)
            keys += b"".join(blob for _, _, blob in sketches)
            done += len(part)
            if progress:
                progress(done, 0)
        standings = _standings(store, [post for post, _, _ in joining], joining[0][1], joining[-1][1], keys, leave=False)
        store.save_standings(standings, joined={post: marks for post, _, marks in joining})


def _standings(
    store: Store, changed: Sequence[int], first: str, last: str, keys: bytes | bytearray, *, leave: bool
) -> dict[int, tuple[int | None, bool]]:
    """(origin, repost) of the posts for which it is another than is stored, now that `changed` ones join or leave.

    Those were written from `first` to `last`; `keys` are the sketches of all of them.
    """
    import numpy as np

    from monitor import echo

    begin, end = from_text(first), from_text(last)
    begin -= min(echo.REACH, begin - dt.datetime.min.replace(tzinfo=dt.UTC))
    end += min(echo.REACH, dt.datetime.max.replace(tzinfo=dt.UTC) - end)
    posts = echo.Sketched.of(store.sketches(to_text(begin), to_text(end)))
    own = np.isin(posts.ids, changed)
    gone = own if leave else np.zeros_like(own)
    # What was written before is as it was.
    asked = (echo.sharing(posts, echo.keys_of(keys)) | own) & ~gone & (posts.times >= int(from_text(first).timestamp()))
    found: dict[int, tuple[int | None, bool]] = {
        int(posts.ids[index]): (None, False) for index in np.flatnonzero(asked & ((posts.origins > 0) | posts.reposts))
    }
    pairs = echo.earlier(posts, asked, gone)
    while part := list(itertools.islice(pairs, _BATCH)):
        said = _said(store, sorted({int(posts.ids[index]) for later, before in part for index in (later, *before)}))
        for later, before in part:
            post = int(posts.ids[later])
            if post in said:
                standing = echo.standing(said[post], [said[other] for index in before if (other := int(posts.ids[index])) in said])
                if standing == (int(posts.origins[later]) or None, bool(posts.reposts[later])):
                    found.pop(post, None)
                else:
                    found[post] = standing
    return found


def _said(store: Store, posts: Sequence[int]) -> dict[int, Said]:
    from monitor.echo import Said, Words

    return {post: Said(post, Words(text), spoken, author) for post, (text, spoken, author) in store.words_of(posts).items()}


def window(voices: Iterable[Voice], first: dt.date, last: dt.date, *, min_authors: int) -> dict[str, DailyTrend]:
    """The figures of each team over the UTC days `first`..`last` together, all sources, of one model's voices.

    A voice is an author over the whole span, so seven days are not the mean of seven means. `day` is the last one.
    """
    span = (first.isoformat(), last.isoformat())
    rows = [(span[1], team, ALL, *rest) for day, team, _, *rest in voices if span[0] <= day <= span[1]]
    return {row.team: row for row in figures(frame_of(rows), min_authors)} if rows else {}


def summarise(
    frame: DataFrame, min_authors: int, earlier: Mapping[tuple[str, str], Sequence[tuple[dt.date, Spread]]] = MappingProxyType({})
) -> list[DailyTrend]:
    """Daily trends of a frame of voices (`COLUMNS`, one row per post, team and model), by day, team, source and model.

    Every source has its rows, and all together have theirs under `*`. An author's value is the mean of that day's posts, and so
    are the shares of labels; figures are means over authors. `low`..`high` is the 95 % t interval of the mean with a shrunk
    variance and the design effect of threads (statistics.evidence), cut to [-1, 1]. How alike those of a thread are is told by the
    day and by the MEMORY days before it in `earlier`: of each (team, source), in order of day.
    """
    found = daily(frame, min_authors) + daily(frame.assign(source=ALL), min_authors)
    rows = [_with_interval(row, spread, earlier.get((row.team, row.source), ())) for row, spread in found]
    return sorted(rows, key=lambda row: (row.day, row.team, row.source, row.model))


def frame_of(rows: Iterable[Sequence[object]]) -> DataFrame:
    """Rows as `Store.voices` gives them, as a frame of `COLUMNS`."""
    import pandas as pd  # here, since most runs of `trend` find nothing to do, and pandas takes longer than they do

    # Where pyarrow is installed, pandas would keep texts there, and its joins fail on frames without rows.
    pd.set_option("mode.string_storage", "python")
    # As categories each text is compared once, not at every grouping, which takes a seventh off a rebuild.
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:-1], "category"))


def figures(frame: DataFrame, min_authors: int) -> list[DailyTrend]:
    """One row per day, team, source and model of the frame, as `summarise` says; sources and days stand for themselves alone."""
    return [_with_interval(row, spread) for row, spread in daily(frame, min_authors)]


def daily(frame: DataFrame, min_authors: int) -> list[tuple[DailyTrend, Spread | None]]:
    """One row per day, team, source and model of the frame, and what its interval is made of, which it does not have yet.

    With `min_authors` = 1 every row has its figures. Sources stand for themselves: `frame.assign(source=ALL)` gives all together.
    """
    shares = frame.assign(posts=1, **{label: (frame["label"] == label).astype(float) for label in _LABELS})
    # What a voice says in a thread, then what it says in all: each voice weighs one, whatever it writes.
    cells = shares.groupby([*_GROUP, "thread", "voice"], observed=True)[["posts", "value", *_LABELS]].sum()
    written = cells.groupby(level=[*_GROUP, "voice"], observed=True).sum()
    voices = written[["value", *_LABELS]].div(written["posts"], axis=0)
    cells = cells.join(written["posts"].rename("in_all"), on=[*_GROUP, "voice"])
    said = (cells["value"] / cells["posts"]).to_numpy()
    threads = (
        cells.assign(voices=1.0, weight=cells["posts"] / cells["in_all"], said=said, squared=said**2)
        .groupby(level=[*_GROUP, "thread"], observed=True)[["voices", "weight", "said", "squared"]]
        .sum()
    )
    parts = threads.assign(shares=threads["weight"] ** 2, sizes=threads["voices"] ** 2, means=threads["said"] ** 2 / threads["voices"])
    sums = parts.groupby(level=_GROUP, observed=True)[["voices", "said", "squared", "shares", "sizes", "means"]].sum()
    authors = voices.groupby(level=_GROUP, observed=True)
    posts = frame.groupby(_GROUP, observed=True)["thread"].agg(["size", "nunique"])
    table = posts.join(authors["value"].agg(["count", "mean", "var"])).join(authors[_LABELS].mean()).join(sums)
    return [_row(key, *figures, min_authors=min_authors) for key, *figures in table.itertuples(name=None)]


def _row(
    key: tuple[str, str, str, str],
    posts: int,
    threads: int,
    authors: int,
    mean: float,
    sample: float,
    negative: float,
    neutral: float,
    positive: float,
    *clusters: float,
    min_authors: int,
) -> tuple[DailyTrend, Spread | None]:
    day, team, source, model = key
    row = DailyTrend(dt.date.fromisoformat(day), team, source, model, posts, authors, threads, sufficient=authors >= min_authors)
    if not row.sufficient:
        return row, None
    total = 0.0 if authors == 1 else sample * (authors - 1)
    row = replace(row, mean=mean, negative_share=negative, neutral_share=neutral, positive_share=positive)
    return row, _spread(authors, threads, total, *clusters)


def _spread(
    authors: int, threads: int, total: float, cells: float, said: float, squared: float, shares: float, sizes: float, means: float
) -> Spread:
    """Of sums over threads; `cells` are voices that count in each thread where they speak."""
    within, between = max(0.0, squared - means), max(0.0, means - said**2 / cells)
    return Spread(authors, total, shares / authors**2, cells - threads, threads - 1, within, between, cells - sizes / cells)


def _with_interval(row: DailyTrend, spread: Spread | None, earlier: Sequence[tuple[dt.date, Spread]] = ()) -> DailyTrend:
    if spread is None or row.mean is None:
        return row
    first, last = (bisect_left(earlier, since, key=itemgetter(0)) for since in (_moved(row.day, -MEMORY), row.day))
    alike = correlation(*pooled([*(each for _, each in earlier[first:last]), spread]))
    variance, effective, reach = _interval(spread, alike)
    return replace(row, low=max(-1.0, row.mean - reach), high=min(1.0, row.mean + reach), variance=variance, effective=effective)


def _chunks(dirty: Mapping[tuple[str, str], int]) -> Iterator[dict[tuple[str, str], int]]:
    """The pairs in runs of days that follow one another, at most a month long: what is read and held at a time."""
    chunk: dict[tuple[str, str], int] = {}
    first = last = dt.date.min
    for pair in sorted(dirty):
        day = dt.date.fromisoformat(pair[0])
        if chunk and ((day - last).days > 1 or (day - first).days >= _MONTH):
            yield chunk
            chunk = {}
        first, last = (first if chunk else day), day
        chunk[pair] = dirty[pair]
    if chunk:
        yield chunk
