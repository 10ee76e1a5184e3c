"""The work on an archive, in pieces that know of no other: posts found, scored, sorted into days, settled as figures.

The promise: each function writes whole files and answers with counts; what is there already is not done again; the same inputs
give the same bytes, wherever and how often they run. What is read, scored and counted is done by the functions of the steps.
"""

from __future__ import annotations

import datetime as dt
import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor import echo
from monitor.archive.day import write
from monitor.archive.evidence import evidence
from monitor.archive.finding import candidates
from monitor.archive.job import Chunk, Found, Job, Scored, Settled, Span, Split, Tally
from monitor.archive.layout import NAMED, PARTS, ROW_GROUP, SCORES, WRITTEN, Root, slug
from monitor.config import Scorer as Settings
from monitor.language import language
from monitor.records import Mention, Post, Score, text_hash
from monitor.sentiment import Scorer, load_scorer, scores_of
from monitor.understand import items_of

CHUNK = 2_000
"""Posts between the filter and the model: half a minute of one core."""

KEYS_HELD = 16_000_000
"""Keys of sketches that are compared in one go."""

_NAMES = [field.name for field in WRITTEN]


# ---- find -----------------------------------------------------------------------------------------------------------


def find(job: Job, split: Split) -> Iterator[Chunk | Found]:
    """The posts of a split that name a team, in files of CHUNK; each is told of when it is there, the split when it is read whole."""
    manifest = job.path("found", f"{split.id}.json")
    if done := job.root.read_json(manifest):
        yield from (Chunk(split.id, number, split.order) for number in range(done["chunks"]))
        yield Found(split.id, done["chunks"], Tally(**done["tally"]))
        return
    tally, number = Tally(), 0
    found = candidates(split, job, tally)
    while part := list(itertools.islice(found, CHUNK)):
        chunk = Chunk(split.id, number, split.order)
        if not job.root.exists(_manifest(job, chunk)):
            rows = [_written(post) | {"named": [asdict(mention) for mention in mentions]} for post, mentions in part]
            job.root.write_table(_found(job, chunk), pa.Table.from_pylist(rows, NAMED))
        yield chunk
        number += 1
    job.root.write_json(manifest, {"chunks": number, "tally": asdict(tally)})
    yield Found(split.id, number, tally)


def _found(job: Job, chunk: Chunk) -> str:
    return job.path("found", chunk.split, f"{chunk.number}.parquet")


def _part(job: Job, chunk: Chunk) -> str:
    return job.path("scored", f"{chunk.split}-{chunk.number}.parquet")


def _manifest(job: Job, chunk: Chunk) -> str:
    return job.path("scored", f"{chunk.split}-{chunk.number}.json")


def _written(post: Post) -> dict[str, Any]:
    """A post as columns, with times as the store keeps them. Its language is the one that its own words are in, as `understand` has it."""
    row = {name: getattr(post, name, None) for name in _NAMES}
    row |= {name: at.replace(microsecond=0) for name in ("posted_at", "edited_at") if (at := row[name]) is not None}
    return {**row, "text_hash": text_hash(post.text), "language": language(post.text) or post.language}


# ---- score ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _loaded(settings: Settings) -> Scorer:
    return load_scorer(settings)


def scorer(job: Job) -> Scorer:
    """The job's model on one core, loaded once in a process."""
    return _loaded(job.scorer.model_copy(update={"threads": 1}))


def score(job: Job, chunk: Chunk) -> Scored:
    """What the posts of a chunk say of each team that they name. Passages that this model has read in a former run are looked up."""
    if done := job.root.read_json(_manifest(job, chunk)):
        return Scored(chunk, **done)
    model = scorer(job)
    rows = job.root.parquet(_found(job, chunk)).read().to_pylist()
    named = [[Mention(**mention) for mention in row.pop("named")] for row in rows]
    items = [items_of(model, row["text"], mentions) for row, mentions in zip(rows, named, strict=True)]
    wanted = {digest: item for of_post in items for digest, item in of_post.values()}
    known = _known(job, chunk, list(wanted))
    fresh = [digest for digest in wanted if digest not in known]
    found, _ = scores_of(model, [wanted[digest] for digest in fresh])
    scores = {**known, **{fresh[position]: score for position, score in found.items()}}
    told = [{"input_hash": digest} | _figures(scores[digest]) for digest in wanted]
    name = text_hash("".join(wanted))[:16]  # not the chunk's number: of other teams that is another one, and would take this one's place
    job.root.write_table(_scores(job, chunk.split, name), pa.Table.from_pylist(told, SCORES))
    for row, mentions, of_post in zip(rows, named, items, strict=True):
        row["sketch"] = echo.sketch(row["text"])
        row["read"] = [_read(team, digest, scores[digest], mentions) for team, (digest, _) in sorted(of_post.items())]
    job.root.write_table(_part(job, chunk), pa.Table.from_pylist(rows, PARTS))
    days = Counter(row["posted_at"].date().isoformat() for row in rows)
    outcome = Scored(chunk, len(fresh), len(known), sum(scores[digest] is None for digest in fresh), dict(sorted(days.items())))
    job.root.write_json(_manifest(job, chunk), {name: value for name, value in asdict(outcome).items() if name != "chunk"})
    job.root.remove(_found(job, chunk))
    return outcome


def _scores(job: Job, split: str, name: str) -> str:
    return job.root.path(job.name, "scores", slug(job.model), split, f"{name}.parquet")


def _known(job: Job, chunk: Chunk, wanted: Sequence[str]) -> dict[str, Score | None]:
    """What this model said of these passages in former runs, by digest."""
    table = said_before(job.root, job.name, job.model, job.run, chunk.split)
    found: dict[str, Score | None] = {}
    for row in table.filter(pc.is_in(table["input_hash"], pa.array(wanted, pa.string()))).to_pylist():
        digest, model = row.pop("input_hash"), row.pop("model")
        found[digest] = Score(model, **row) if model is not None else None
    return found


@lru_cache(maxsize=4)
def said_before(root: Root, name: str, model: str, run: str, split: str) -> pa.Table:
    """What lies in the files of a split's scores when a process first asks in a run: all, since other teams cut it into other chunks."""
    files = root.listed(root.path(name, "scores", slug(model), split))
    return pa.concat_tables([SCORES.empty_table(), *(root.parquet(path).read() for path in files)])


def _figures(score: Score | None) -> dict[str, Any]:
    names = ("negative", "neutral", "positive", "model")
    return {name: getattr(score, name, None) for name in names}


def _read(team: str, digest: str, score: Score | None, mentions: Iterable[Mention]) -> dict[str, Any]:
    spans = [{"start": mention.start, "end": mention.end} for mention in mentions if mention.team == team]
    told = {"value": getattr(score, "value", None), "label": getattr(score, "label", None)}
    return {"team": team, "mentions": spans, "input_hash": digest} | _figures(score) | told


# ---- sort -----------------------------------------------------------------------------------------------------------


def _sorted(job: Job, first: str) -> str:
    return job.path("sorted", f"{first}.parquet")


def sort(job: Job, span: Span) -> int:
    """The posts of a span in the order in which they were written, one of each id: the last that the inputs hold. Returns their number."""
    path = _sorted(job, span.first)
    if job.root.exists(path):
        return int(job.root.parquet(path).metadata.num_rows)
    begin, end = (dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC) for day in (span.first, span.last))
    within = (pc.field("posted_at") >= begin) & (pc.field("posted_at") < end + dt.timedelta(days=1))
    tables = [job.root.parquet(_part(job, chunk)).read().filter(within) for chunk in span.parts]
    table = pa.concat_tables([PARTS.empty_table(), *tables])
    keys = zip(table["source"].to_pylist(), table["native_id"].to_pylist(), strict=True)
    last = {key: index for index, key in enumerate(keys)}
    order = sorted(zip(table["posted_at"].take(list(last.values())).to_pylist(), last, last.values(), strict=True))
    job.root.write_table(path, table.take(pa.array([index for *_, index in order], pa.int64())))
    return len(order)


# ---- settle ---------------------------------------------------------------------------------------------------------


def settle(job: Job, span: Span) -> Settled:
    """The days of a span: who said it first, what was said of each team in figures, and the posts that show it."""
    manifest = job.path("settled", f"{span.first}.json")
    if done := job.root.read_json(manifest):
        return Settled(span.first, **done)
    posts = job.root.parquet(_sorted(job, span.first)).read().to_pylist()
    outcome = Settled(span.first, {}, sorted({post["source"] for post in posts}))
    days = {}
    for post, (origin, repost) in zip(posts, _standings(job, span, posts), strict=True):
        post.update(origin_source=origin and origin[0], origin_id=origin and origin[1], repost=repost)
    for day, of_day in itertools.groupby(posts, lambda post: post["posted_at"].date().isoformat()):
        several = list(of_day)
        outcome.days[day] = len(several)
        rows = [{**post, **read} for post in several for read in post["read"]]
        shown = evidence(rows)
        kept = [row for row in rows if (row["source"], row["native_id"]) in shown]
        days[day] = (rows if job.words else [{**row, "title": None, "text": None} for row in rows]), kept
    write(job.root, job.name, job.run, days, model=job.model)
    job.root.write_json(manifest, {"days": outcome.days, "sources": outcome.sources})
    return outcome


def _standings(job: Job, span: Span, posts: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, str] | None, bool]]:
    """Whose words each post of a span is, (source, native_id) or None, and whether it is a repost: what `trend` finds among all posts."""
    files = [_sorted(job, first) for first in (*span.before, span.first)]
    sizes = [job.root.parquet(path).metadata.num_rows for path in files]
    own = sum(sizes[:-1])
    pairs: dict[int, set[int]] = defaultdict(set)
    slices = 1 + 64 * sum(sizes) // KEYS_HELD
    for number in range(slices):
        sketched = _sketched(job, files, number, slices)
        indexes = np.arange(len(sketched.ids))
        for later, earlier in echo.earlier(sketched, indexes >= own, np.zeros(len(indexes), np.bool_)):
            pairs[later].update(earlier)
    rows = _rows_at(job, files, sizes, {index for before in pairs.values() for index in before if index < own})
    rows.update((own + index, post) for index, post in enumerate(posts))

    @lru_cache(maxsize=4_096)
    def said(index: int) -> echo.Said:
        row = rows[index]
        return echo.Said(index, echo.Words(row["text"]), row["kind"] != "press", row["author_key"])

    found: list[tuple[tuple[str, str] | None, bool]] = [(None, False)] * len(posts)
    for later, before in sorted(pairs.items()):
        origin, repost = echo.standing(said(later), [said(index) for index in sorted(before)])
        found[later - own] = (None if origin is None else (rows[origin]["source"], rows[origin]["native_id"]), repost)
    return found


def _sketched(job: Job, files: Iterable[str], number: int, slices: int) -> echo.Sketched:
    """The posts of sorted files, with every so manyth key of their sketches: two posts share a key in one of the slices or in none."""
    tables = [job.root.parquet(path).read(["posted_at", "kind", "sketch"]) for path in files]
    table = pa.concat_tables(tables)
    sketches = table["sketch"].to_pylist()
    keys = echo.keys_of(b"".join(sketches))
    sizes = np.fromiter((len(blob) // 4 for blob in sketches), np.int64, len(sketches))
    if slices > 1:
        kept = keys % slices == number
        sizes = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[kept], minlength=len(sizes)).astype(np.int64)
        keys = keys[kept]
    nothing = np.zeros(len(sketches), np.int64)
    times = pc.cast(table["posted_at"], pa.int64()).to_numpy() // 1_000
    spoken = pc.not_equal(table["kind"], "press").to_numpy()
    return echo.Sketched(np.arange(1, len(sketches) + 1), times, spoken, nothing, nothing > 0, sizes, keys)


def _rows_at(job: Job, files: Sequence[str], sizes: Sequence[int], wanted: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """What `Said` is made of, of some posts in sorted files, by their place in all of them."""
    starts = [0, *itertools.accumulate(sizes)]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in sorted(wanted):
        number = bisect_right(starts, index) - 1
        groups[number, (index - starts[number]) // ROW_GROUP].append(index)
    found: dict[int, Mapping[str, Any]] = {}
    for (number, group), places in groups.items():
        file = job.root.parquet(files[number])
        table = file.read_row_group(group, columns=["source", "native_id", "kind", "author_key", "text"])
        offset = starts[number] + group * ROW_GROUP
        found.update(zip(places, table.take([index - offset for index in places]).to_pylist(), strict=True))
    return found
