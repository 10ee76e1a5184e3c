"""trend: scores of posts into daily trends, one voice per author.

The promise: every row can be built again. Only days whose posts changed are computed, a full rebuild gives the same
rows to the last bit, and a day on which fewer than `privacy.min_authors` people spoke keeps its counts and no figure.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.records import ALL, DailyTrend
from monitor.rules.statistics import margin, voice_variance
from monitor.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("day", "team", "source", "model", "voice", "thread", "label", "value")
"""The columns of a frame of voices, as `Store.voices` gives them."""

_GROUP = ["day", "team", "source", "model"]
_LABELS = ["negative", "neutral", "positive"]
_FACT = "trend_min_authors"
_MONTH = 31


def trend(store: Store, *, min_authors: int, rebuild: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
    """Bring the daily trends up to date; returns the number of (day, team) pairs computed.

    `rebuild` computes all of them, and so does a `min_authors` other than that of the last run. Each chunk is stored
    for itself, so an interrupted run is gone on with by the next. `progress` is called with (pairs done, pairs in all).
    """
    if rebuild or store.fact(_FACT) != str(min_authors):
        with store.writing():
            store.mark_all_dirty()
            store.set_fact(_FACT, str(min_authors))
    dirty = store.dirty_days()
    done = 0
    for pairs in _chunks(dirty):
        teams = {team for _, team in pairs}
        first, last = (dt.date.fromisoformat(day) for day in (min(pairs)[0], max(pairs)[0]))
        rows = store.voices(first, last, team=teams.pop() if len(teams) == 1 else None)
        frame = _frame(row for row in rows if row[:2] in pairs)
        store.replace_trends(pairs, summarise(frame, min_authors))
        done += len(pairs)
        if progress:
            progress(done, len(dirty))
    return done


def window(store: Store, first: dt.date, last: dt.date, *, min_authors: int) -> dict[str, DailyTrend]:
    """The figures of each team over the UTC days `first`..`last` together, all sources, by the model that is shown.

    A voice is an author over the whole span, so seven days are not the mean of seven means. `day` is the last one.
    """
    model = store.model
    rows = ((last.isoformat(), team, ALL, *rest) for _, team, _, *rest in store.voices(first, last) if rest[0] == model)
    return {row.team: row for row in _figures(_frame(rows), min_authors)}


def summarise(frame: DataFrame, min_authors: int) -> list[DailyTrend]:
    """Daily trends of a frame of voices (`COLUMNS`, one row per post, team and model), by day, team, source and model.

    Every source has its rows, and all together have theirs under `*`. An author's value is the mean of that day's
    posts, and so are the shares of labels; figures are means over authors. `low`..`high` is the 95 % t interval of the
    mean with a shrunk variance (statistics.voice_variance), cut to [-1, 1].
    """
    found = _figures(frame, min_authors) + _figures(frame.assign(source=ALL), min_authors)
    return sorted(found, key=lambda row: (row.day, row.team, row.source, row.model))


def _frame(rows: Iterable[Sequence[object]]) -> DataFrame:
    import pandas as pd  # here, since most runs of `trend` find nothing to do, and pandas takes longer than they do

    # As categories each text is compared once, not at every grouping, which takes a seventh off a rebuild.
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[:-1], "category"))


def _figures(frame: DataFrame, min_authors: int) -> list[DailyTrend]:
    """One row per day, team, source and model of the frame."""
    shares = frame.assign(**{label: (frame["label"] == label).astype(float) for label in _LABELS})
    voices = shares.groupby([*_GROUP, "voice"], observed=True)[["value", *_LABELS]].mean()
    authors = voices.groupby(level=_GROUP, observed=True)
    posts = frame.groupby(_GROUP, observed=True)["thread"].agg(["size", "nunique"])
    table = posts.join(authors["value"].agg(["count", "mean", "var"])).join(authors[_LABELS].mean())
    return [_row(key, *figures, min_authors=min_authors) for key, *figures in table.itertuples(name=None)]


def _row(
    key: tuple[str, str, str, str], posts: int, threads: int, authors: int, mean: float, sample: float, *shares: float, min_authors: int
) -> DailyTrend:
    day, team, source, model = key
    row = DailyTrend(dt.date.fromisoformat(day), team, source, model, posts, authors, threads, sufficient=authors >= min_authors)
    if not row.sufficient:
        return row
    variance = voice_variance(0.0 if math.isnan(sample) else sample, authors)
    reach = margin(variance, authors, 0.975)
    negative, neutral, positive = shares
    return replace(
        row, mean=mean, low=max(-1.0, mean - reach), high=min(1.0, mean + reach), negative_share=negative, neutral_share=neutral,
        positive_share=positive, variance=variance,
    )  # fmt: skip


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
