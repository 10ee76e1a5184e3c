"""review: a random sample of what was said, read by a person or by another model, by which figures are corrected.

The promise: what is drawn is drawn by chance alone, each post with a probability that is kept, so that neither what comes later nor
what somebody thought worth correcting changes what the sample stands for. Who reads is not shown what the model says.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from monitor.errors import InputError
from monitor.records import ALL, Label
from monitor.sentiment import Item, Scorer, scores_of
from monitor.sentiment.passages import passage
from monitor.store import PERSON, Drawn, Frame, Store

_LABELS = ("negative", "neutral", "positive")
_BATCH = 32


def sampled(frame: Sequence[Frame], rate: float, seed: str) -> list[Drawn]:
    """A random sample of `frame`, in which a voice of one post is drawn with probability `rate`: all of `frame`, with what was drawn.

    A post of a voice of m has the m-th part of that, at most 1, so that a person counts once however often he posts. Systematic
    sampling in random order (Madow, Ann. Math. Stat. 20 (1949) 333): the probabilities hold exactly, and the number drawn is
    their sum, rounded up or down by chance. `order` is a random order to read in; None: not drawn. The same
    `frame`, in any order, and `seed` give the same sample.
    """
    rng = random.Random(seed)  # noqa: S311 (to be drawn anew by anybody, not to be kept from anybody)
    posts = Counter((each.team, each.voice) for each in frame)
    voices = sorted(posts)
    rng.shuffle(voices)
    place = {voice: number for number, voice in enumerate(voices)}
    line = sorted(frame, key=lambda each: (place[each.team, each.voice], each.key))
    chances = [min(1.0, rate / posts[each.team, each.voice]) for each in line]
    start = rng.random()
    ends = [start, *(start + end for end in itertools.accumulate(chances))]
    hits = [math.floor(end) > math.floor(begin) for begin, end in itertools.pairwise(ends)]
    orders = list(range(sum(hits)))
    rng.shuffle(orders)
    return [
        Drawn(each.post_id, each.team, each.text_hash, chance, orders.pop() if hit else None)
        for each, chance, hit in zip(line, chances, hits, strict=True)
    ]


def draw(store: Store, first: dt.date, last: dt.date, team: str | None, *, count: int, seed: int, now: dt.datetime) -> int:
    """Draw about `count` posts of each UTC day `first`..`last`, for one team or of all together; returns how many are new.

    What no draw could have drawn before is drawn from at the rate that `count` is of all voices of the day, so that posts that came
    after a draw are heard as much as those before, and a day that was drawn from is not drawn from again.
    """
    drawn = 0
    for day in (first + dt.timedelta(days=number) for number in range((last - first).days + 1)):
        with store.writing():
            frame, voices = store.drawable(day, team)
            if frame:
                sample = sampled(frame, count / voices, f"{seed} {day} {team or ALL} {voices}")
                store.save_draw(day, team or ALL, count, seed, sample, at=now)
                drawn += sum(each.order is not None for each in sample)
    return drawn


def labels_in(lines: Iterable[str]) -> Iterator[tuple[int, tuple[int, str, Label] | str]]:
    """The number of each line and its (post, team, label), or what is wrong with it; blank lines are left out."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            post, team, label = int(row["post"]), str(row["team"]), row["label"]
        except (ValueError, LookupError, TypeError, RecursionError):
            yield number, 'is no label: write {"post": 1, "team": "...", "label": "negative"}'
            continue
        yield number, (post, team, cast("Label", label)) if label in _LABELS else f"has a label that is none of {', '.join(_LABELS)}"


def keep(store: Store, post: int, team: str, label: Label, *, now: dt.datetime) -> None:
    """Keep what a person says of a post that was drawn. InputError where it was not, since then it is no random sample."""
    if not store.reviewed(post, team, label, reader=PERSON, at=now):
        raise InputError(f"post {post} was not drawn toward {team}, or has changed since: `forum-monitor correct` keeps what is no sample")


def ask(store: Store, rows: Sequence[Mapping[str, Any]], scorer: Scorer, *, now: dt.datetime) -> tuple[int, str]:
    """Let a model read what waits (rows of `Store.to_review`); how many it read, and why no more if it may not be asked any more.

    It is shown what a scorer is shown: the passage, with the team's name hidden. What it cannot read goes on waiting.
    """
    read = 0
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        scores, pause = scores_of(scorer, [_item(store, row) for row in part])
        for position, score in scores.items():
            row = part[position]
            if score and store.reviewed(row["id"], row["team"], score.label, reader=scorer.name, at=now):
                read += 1
        if pause:
            return read, str(pause)
    return read, ""


def _item(store: Store, row: Mapping[str, Any]) -> Item:
    mentions = [(each["team"], (each["start"], each["end"])) for each in store.mentions_of(row["id"])]
    own = [span for team, span in mentions if team == row["team"]]
    return passage(row["text"], own, [span for _, span in mentions if span not in own])
