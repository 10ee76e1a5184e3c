"""backfill: what was given, into an archive that is whole; on any engine, and on from wherever a run before was killed.

The promise: until the last day is finished what is shown is the run before, from then on this one, which has all that was asked for
then and now; and what nobody needs any more is taken away, an unfinished run with other settings too, since its work holds words. A run
whose archive is there already does nothing. One goes on with what another left only where nothing was forgotten since.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from monitor.archive import work
from monitor.archive.engines import Engine
from monitor.archive.job import Chunk, Found, Job, Span, Split, Tally
from monitor.archive.layout import Current, named
from monitor.echo import REACH
from monitor.errors import InputError
from monitor.privacy import author_key

SPAN_POSTS = 50_000
"""Posts that are put together in one go, unless one day has more: 250 MB."""

SPAN_DAYS = 31
MOST_PLACES = 20

Progress = Callable[[str, int, int, float], None]
"""Is told of (what is being done, done, in all, posts a second or 0)."""


@dataclass(slots=True)
class Done:
    """What a run did. `passages` were read by the model in it, `known` in former ones, `failed` are those that it could not take."""

    run: str
    tally: Tally = field(default_factory=Tally)
    passages: int = 0
    known: int = 0
    failed: int = 0
    days: int = 0
    posts: int = 0
    nothing_to_do: bool = False


def backfill(
    job: Job, splits: Sequence[Split], engine: Engine, *, told: Mapping[str, object], less: bool = False, progress: Progress | None = None
) -> Done:
    """Make the archive of `splits`, whose job is `Job.of` them. `told` is kept beside the run, so that it can be repeated.

    Where no post names a team no archive is made, and one that is there stays. InputError when another archive in the same place holds
    one of the sources, whose posts would count twice, or when posts of the run that is shown would leave and `less` does not allow it.
    """
    done = Done(job.run)
    _alone(job, {split.source for split in splits})
    sources: set[str] = set()
    current = job.root.current(job.name)
    if current and current.run == job.run:
        _tidy(job, {job.run})
        return Done(job.run, nothing_to_do=True)
    if current and not less:
        _whole(job, current, splits)
    shown = {current.run} if current else set()
    _tidy(job, {job.run, *shown}, work=False)
    job = _begun(job)
    with engine:
        days, held = _read(job, splits, engine, done, progress)
        spans = list(_spans(days, held))
        for number, _ in enumerate(engine.each(work.sort, job, spans), 1):
            if progress:
                progress("sort", number, len(spans), 0.0)
        for number, settled in enumerate(engine.each(work.settle, job, spans), 1):
            done.days += len(settled.days)
            done.posts += sum(settled.days.values())
            sources.update(settled.sources)
            if progress:
                progress("count", number, len(spans), 0.0)
    if not days:
        _tidy(job, shown)
        return done
    try:
        _alone(job, sources)  # now that rows which name their own are read
    except InputError:
        _tidy(job, shown)
        raise
    job.root.write_json(job.path("run.json"), {**told, "tally": asdict(done.tally)})
    given = tuple(dict.fromkeys(split.where for split in splits))
    made = Current(job.run, job.model, job.reader, tuple(sorted(sources)), min(days, default=""), max(days, default=""), job.words, given)
    job.root.write_json(job.root.path(job.name, "current.json"), asdict(made))
    _tidy(job, {job.run})
    return done


def _alone(job: Job, sources: Iterable[str]) -> None:
    for name in job.root.names():
        other = job.root.current(name)
        if name != job.name and other and (twice := set(sources) & set(other.sources)):
            raise InputError(
                f"the archive {name} holds {min(twice)} already, and its posts would count twice: give all inputs of a source in one "
                "command, or another place as --archive"
            )


def _whole(job: Job, current: Current, splits: Sequence[Split]) -> None:
    """InputError when what is shown was made from files, or of days, that are not asked for now."""
    if missing := [where for where in current.inputs if where not in {split.where for split in splits}]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"the archive {job.name} was made from {named(missing[0])}{more} too, whose posts would leave it: give all inputs of one "
            "archive in one command (those that it has cost little), or write --less where they are to leave"
        )
    told = job.root.read_json(job.root.path(job.name, "runs", current.run, "run.json")) or {}
    since, until = told.get("since") or "", told.get("until") or "9"
    if str(job.since or "") > since or str(job.until or "9") < until:
        raise InputError(
            f"the archive {job.name} has days that --since or --until leave out now, which would leave it: write --less where they are to"
        )


def _begun(job: Job) -> Job:
    """The job as of when its run was begun, whose undated posts are of that day. Where what is hidden or forgotten has changed since,
    the same rows would be other posts, or in other chunks: the run begins anew, and only scores are kept."""
    keys = [job.keys.secret.hex(), str(job.keys.since), job.keys.period]
    told = json.dumps([*keys, sorted(job.forgotten), sorted(job.gone)])
    without = author_key(job.keys.lasting, "archive", told)  # tells nothing of them
    begun = job.root.read_json(job.path("begun.json"))
    if begun and begun["without"] == without:
        return replace(job, now=dt.datetime.fromisoformat(begun["now"]))
    job.root.remove(job.path())
    job.root.write_json(job.path("begun.json"), {"without": without, "now": job.now.isoformat()})
    return job


def _read(
    job: Job, splits: Sequence[Split], engine: Engine, done: Done, progress: Progress | None
) -> tuple[Counter[str], list[tuple[str, str, Chunk]]]:
    """Every split found and scored: the number of posts by day, and (first day, last day, chunk) in the order of the inputs."""
    days: Counter[str] = Counter()
    held: list[tuple[str, str, Chunk]] = []
    chunks: dict[str, int] = {}
    scored: Counter[str] = Counter()
    sizes = {split.id: split.size for split in splits}
    rejected: dict[str, list[str]] = {}
    began, whole = time.monotonic(), sum(sizes.values())
    for outcome in engine.scored(job, splits):
        if isinstance(outcome, Found):
            chunks[outcome.split] = outcome.chunks
            tally = outcome.tally
            for name in ("rows", "posts", "named", "rejected"):
                setattr(done.tally, name, getattr(done.tally, name) + getattr(tally, name))
            rejected[outcome.split] = tally.places
        else:
            scored[outcome.chunk.split] += 1
            days.update(outcome.days)
            held.append((min(outcome.days), max(outcome.days), outcome.chunk))
            done.passages, done.known, done.failed = (
                done.passages + outcome.scored, done.known + outcome.known, done.failed + outcome.failed,
            )  # fmt: skip
        if progress:
            read = sum(sizes[split] * (scored[split] / count if count else 1) for split, count in chunks.items())
            progress("read and score", int(read), whole, done.tally.rows / (time.monotonic() - began))
    done.tally.places = [place for split in splits for place in rejected.get(split.id, ())][:MOST_PLACES]
    return days, sorted(held, key=lambda one: (one[2].order, one[2].number))


def _spans(days: Mapping[str, int], held: Sequence[tuple[str, str, Chunk]]) -> Iterable[Span]:
    """Neighbouring days in spans of SPAN_POSTS and SPAN_DAYS at the most."""
    groups: list[list[str]] = []
    for day in sorted(days):
        fits = (
            groups
            and sum(days[one] for one in groups[-1]) + days[day] <= SPAN_POSTS
            and (dt.date.fromisoformat(day) - dt.date.fromisoformat(groups[-1][0])).days < SPAN_DAYS
        )
        if fits:
            groups[-1].append(day)
        else:
            groups.append([day])
    for group in groups:
        first, last = group[0], group[-1]
        since = (dt.date.fromisoformat(first) - REACH).isoformat()
        parts = tuple(chunk for begin, end, chunk in held if begin <= last and end >= first)
        yield Span(first, last, parts, tuple(other[0] for other in groups if other[-1] >= since and other[0] < first))


def _tidy(job: Job, runs: Collection[str], *, work: bool = True) -> None:
    """Take away all runs of this archive but these and, where it is done, this run's `work`."""
    for run in job.root.folders(job.root.path(job.name, "runs")):
        if run not in runs:
            job.root.remove(job.root.path(job.name, "runs", run))
    for each in ("found", "scored", "sorted", "settled", "begun.json") if work else ():
        job.root.remove(job.path(each))
    job.root.sweep(job.name)
