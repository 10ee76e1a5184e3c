"""Corrected figures of weeks, kept in the store: one per last UTC day and team, all sources, by the model that is shown.

The promise: what is stored is what computing it anew would give, to the last bit; a change of a day costs the weeks that it is a
part of and no more; and a week of too few people has no figure there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from monitor.config import Config
from monitor.privacy import turns
from monitor.records import ALL, CorrectedWeek
from monitor.rules.weekly import WEEK
from monitor.sentiment.confusion import counted
from monitor.store import Store

if TYPE_CHECKING:
    from monitor.corrected import Corrected

DAYS = WEEK.days
"""Days that one corrected figure is of: a day's sample alone is too small to say much."""

_MONTH = 31
"""Weeks that are computed from one reading of the store."""

_FACT = "corrected_by"


def settle(store: Store, config: Config, today: dt.date) -> int:
    """Bring the stored corrected figures of the weeks that end by `today` (UTC) up to date; returns how many (week, team) were computed.

    A week is computed when one of its days changed: a post, a score, a reading, a correction; all of them when the model, what it
    mistakes, or the privacy of the figures did. Trends must be up to date. An interrupted run is gone on with by the next.
    """
    privacy, held_out = config.privacy, counted(config.scorer, store.model)
    basis = hashlib.sha256(repr((store.model, held_out, privacy.min_authors, privacy.rotate_keys)).encode()).hexdigest()[:16]
    if store.fact(_FACT) != basis:
        with store.writing():
            store.mark_all_weeks()
            store.set_fact(_FACT, basis)
    dirty = store.dirty_weeks(today)
    for team, ends in _runs(dirty):
        found = computed(store, config, team, ends[0], ends[-1], only=ends)
        rows = [as_row(dt.date.fromisoformat(day), team, store.model, figure) for day, figure in found.items()]
        store.replace_weeks({(day, team): dirty[day, team] for day in map(str, ends)}, rows)
    return len(dirty)


def _runs(dirty: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, list[dt.date]]]:
    """The last days of weeks by team, in runs that are read in one go: days near each other, at most _MONTH of them."""
    for team, pairs in itertools.groupby(sorted(dirty, key=lambda pair: (pair[1], pair[0])), key=lambda pair: pair[1]):
        run: list[dt.date] = []
        for day in (dt.date.fromisoformat(pair[0]) for pair in pairs):
            if run and ((day - run[-1]).days > DAYS or (day - run[0]).days >= _MONTH):
                yield team, run
                run = []
            run.append(day)
        yield team, run


def as_row(day: dt.date, team: str, model: str, found: Corrected) -> CorrectedWeek:
    """The figure as it is stored, and as rules meet it."""
    return CorrectedWeek(
        day, team, ALL, model, found.posts, found.authors, 0, sufficient=True, mean=found.mean.value, low=found.mean.low,
        high=found.mean.high, negative_share=found.negative_share.value, negative_low=found.negative_share.low,
        negative_high=found.negative_share.high, method=found.method, read=found.read, readers=", ".join(found.readers),
        model_mean=found.model_mean, model_negative_share=found.model_negative_share,
    )  # fmt: skip


def computed(
    store: Store, config: Config, team: str, first: dt.date, last: dt.date, *, only: Sequence[dt.date] | None = None
) -> dict[str, Corrected]:
    """The corrected figures of the DAYS days up to each of the UTC days `first`..`last`, or `only` some, as ISO text; computed anew.

    Where author keys turn within a week one person can be two voices, so twice as many are needed. A person whose posts were retired is
    known within the day alone: a week of several days that has such posts gets none, and so does one with a day of an archive, whose posts
    the store does not hold. (What was stored of it before stays while nothing
    of it changes.)
    """
    import numpy as np  # here and below, since most runs find nothing to do, and numpy takes longer than they do

    from monitor.corrected import Pool, corrected

    held_out = counted(config.scorer, store.model)
    rows = store.pool(_begin(first), last, team)
    if not rows:
        return {}
    day, voice, thread, language, *shares, label, chance, said, reader, retired = zip(*rows, strict=True)
    pool = Pool.of_columns(voice, thread, language, np.array(shares, dtype=np.float64).T, label, chance, said, reader)
    days, gone = np.array(day), np.array(retired, dtype=bool)
    archived = sorted(day for day, _ in store.archived_pairs(_begin(first), last, team=team))
    found = {}
    for end in only or [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]:
        begin = _begin(end)
        if bisect_left(archived, begin.isoformat()) < bisect_right(archived, end.isoformat()):
            continue
        week = slice(int(np.searchsorted(days, begin.isoformat())), int(np.searchsorted(days, end.isoformat(), "right")))
        if gone[week].any() and len(set(day[week])) > 1:
            continue
        least = config.privacy.min_authors * (1 + turns(begin, end, config.privacy.rotate_keys))
        if figure := corrected(pool.where(week), held_out, min_authors=least):
            found[end.isoformat()] = figure
    return found


def _begin(end: dt.date) -> dt.date:
    """The first day of the week that ends on `end`; the calendar has none before the year 1."""
    return end - min(dt.timedelta(days=DAYS - 1), end - dt.date.min)
