"""trend: scores of posts into daily trends, one voice per author, and none for who repeats others.

The promise: every row can be built again. Only days whose posts changed are computed, a full rebuild gives the same
rows to the last bit, and a day on which fewer than `privacy.min_authors` people spoke keeps its counts and no figure.
What posts repeat is settled before any day is computed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.records import ALL, DailyTrend, from_text, to_text
from monitor.rules.statistics import correlation, effective_voices, margin, voice_variance
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
_BATCH = 500
_PART = 200_000
"""Posts whose echoes are found in one go: beside their sketches those of REACH before and after are in memory."""


def trend(store: Store, *, min_authors: int, rebuild: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
    """Bring the daily trends up to date; returns the number of (day, team) pairs computed.

    `rebuild` computes all of them, echoes too; a `min_authors` other than that of the last run all but echoes. Each chunk is
    stored for itself, so an interrupted run is gone on with by the next. `progress` is called with (pairs done, pairs in all).
    """
    if rebuild or store.fact(_FACT) != str(min_authors):
        with store.writing():
            store.mark_all_dirty()
            if rebuild:
                store.mark_all_echoes()
            store.set_fact(_FACT, str(min_authors))
    settle_echoes(store)
    dirty = store.dirty_days()
    done = 0
    for pairs in _chunks(dirty):
        teams = {team for _, team in pairs}
        first, last = (dt.date.fromisoformat(day) for day in (min(pairs)[0], max(pairs)[0]))
        rows = store.voices(first, last, team=teams.pop() if len(teams) == 1 else None)
        frame = frame_of(row for row in rows if row[:2] in pairs)
        store.replace_trends(pairs, summarise(frame, min_authors))
        done += len(pairs)
        if progress:
            progress(done, len(dirty))
    return done


def settle_echoes(store: Store) -> None:
    """Find what posts that are new, changed or gone repeat, and who repeats them; days that this changes become dirty.

    A run that is interrupted is gone on with by the next.
    """
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


def window(store: Store, first: dt.date, last: dt.date, *, min_authors: int) -> dict[str, DailyTrend]:
    """The figures of each team over the UTC days `first`..`last` together, all sources, by the model that is shown.

    A voice is an author over the whole span, so seven days are not the mean of seven means. `day` is the last one.
    """
    model = store.model
    rows = ((last.isoformat(), team, ALL, *rest) for _, team, _, *rest in store.voices(first, last) if rest[0] == model)
    return {row.team: row for row in figures(frame_of(rows), min_authors)}


def summarise(frame: DataFrame, min_authors: int) -> list[DailyTrend]:
    """Daily trends of a frame of voices (`COLUMNS`, one row per post, team and model), by day, team, source and model.

    Every source has its rows, and all together have theirs under `*`. An author's value is the mean of that day's
    posts, and so are the shares of labels; figures are means over authors. `low`..`high` is the 95 % t interval of the
    mean with a shrunk variance (statistics.voice_variance), cut to [-1, 1].
    """
    found = figures(frame, min_authors) + figures(frame.assign(source=ALL), min_authors)
    return sorted(found, key=lambda row: (row.day, row.team, row.source, row.model))


def frame_of(rows: Iterable[Sequence[object]]) -> DataFrame:
    """Rows as `Store.voices` gives them, as a frame of `COLUMNS`."""
    import pandas as pd  # here, since most runs of `trend` find nothing to do, and pandas takes longer than they do

    # As categories each text is compared once, not at every grouping, which takes a seventh off a rebuild.
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:-1], "category"))


def figures(frame: DataFrame, min_authors: int) -> list[DailyTrend]:
    """One row per day, team, source and model of the frame, as `summarise` says; sources stand for themselves alone."""
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
    sums = parts.groupby(level=_GROUP, observed=True)[["voices", "weight", "said", "squared", "shares", "sizes", "means"]].sum()
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
) -> DailyTrend:
    day, team, source, model = key
    row = DailyTrend(dt.date.fromisoformat(day), team, source, model, posts, authors, threads, sufficient=authors >= min_authors)
    if not row.sufficient:
        return row
    variance = voice_variance(0.0 if math.isnan(sample) else sample, authors)
    effective = _effective(authors, threads, *clusters)
    reach = margin(variance, effective, 0.975)
    return replace(
        row, mean=mean, low=max(-1.0, mean - reach), high=min(1.0, mean + reach), negative_share=negative, neutral_share=neutral,
        positive_share=positive, variance=variance, effective=effective,
    )  # fmt: skip


def _effective(
    authors: int, threads: int, cells: float, weight: float, said: float, squared: float, shares: float, sizes: float, means: float
) -> float:
    """statistics.effective_voices of sums over threads; `cells` are voices that count in each thread where they speak."""
    within, between = max(0.0, squared - means), max(0.0, means - said**2 / cells)
    alike = (cells - sizes / cells) / (threads - 1) if threads > 1 else cells
    return effective_voices(authors, shares / weight**2, correlation(cells, threads, within, between, alike))


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
