"""The command for years of posts: from files, into an archive, and what the store shows of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from monitor import clock
from monitor.cli.around import progress_bar, running
from monitor.errors import InputError, MonitorError
from monitor.records import ALL

if TYPE_CHECKING:
    from monitor.archive.backfill import Progress
    from monitor.archive.job import Job, Split
    from monitor.archive.layout import Root
    from monitor.config import Config
    from monitor.store import Store

_DAY = click.DateTime(["%Y-%m-%d"])
_EVERY = 60.0
"""Seconds between two lines on the progress, where there is no terminal."""


@click.command()
@click.argument("given", nargs=-1, metavar="SOURCE...")
@click.option("--source", metavar="NAME", help="The name under which posts are kept; for each SOURCE its own as NAME=SOURCE.")
@click.option("--shape", metavar="SHAPE", help="hackernews, reddit, discourse, export or mapping; else told by the columns.")
@click.option("--field", "fields", multiple=True, metavar="FIELD=COLUMN", help="Shape `mapping`: what a field of `import` is called here.")
@click.option("--since", type=_DAY, metavar="DAY", help="First UTC day.")
@click.option("--until", type=_DAY, metavar="DAY", help="Last UTC day.")
@click.option("--text/--no-text", "words", default=False, help="Keep posts' words in the archive, too.")
@click.option(
    "--archive", "where", metavar="PLACE", help="A folder, or an address such as s3://bucket/folder; else `archive` beside the database."
)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where the work runs.")
@click.option(
    "--address", metavar="A", help="Ray: the cluster that this machine belongs to, `auto` or HOST:6379; else one of this machine."
)
@click.option("--workers", type=click.IntRange(1, 10_000), metavar="N", help="Models at work, each on one core; else one per core.")
@click.option("--less", is_flag=True, help="Let posts leave an archive whose inputs or days are not given any more.")
@click.option("--rescore", metavar="MODEL", help="Another model, on what is in the archive already (or on SOURCE).")
@click.pass_context
def backfill(
    ctx: click.Context, given: tuple[str, ...], source: str | None, shape: str | None, fields: tuple[str, ...], since: dt.datetime | None,
    until: dt.datetime | None, words: bool, where: str | None, engine: str, address: str | None, workers: int | None, less: bool,
    rescore: str | None,
) -> None:  # fmt: skip
    """Read years of posts from files (Parquet, JSON lines, CSV), score them, and keep daily figures of them.

    SOURCE is a file, a folder, a pattern or an address (s3://, https://). What is done is never done again: stopped, or
    given more files beside the same, the same command goes on. Without SOURCE, --archive PLACE takes over what another machine has made.
    """
    _needs("archive", "pyarrow", "duckdb")
    if engine == "ray":
        _needs("scale", "ray")
    elif address:
        raise InputError("--address is for --engine ray: write that too, or take the address out")
    if not given and not rescore and not where:
        raise InputError("nothing was given to read: write files, folders or addresses, such as `forum-monitor backfill hn/*.parquet`")
    from monitor.archive.backfill import backfill as make
    from monitor.archive.layout import Root, named

    told = {"given": list(given), "folder": os.getcwd(), "source": source, "shape": shape, "fields": list(fields), "words": words}
    told |= {"since": str(since.date()) if since else None, "until": str(until.date()) if until else None}
    with running(ctx, "backfill") as (config, store), _sentences():
        where = where or str(config.database.parent / "archive")
        root = Root(where if "://" in where else os.path.abspath(where))
        if not given and not rescore:
            for name in _made(root):
                _fold(store, config, root, name)
            return
        for settings in [told] if given else _kept(root):
            job, splits = _job(config, store, root, settings, rescore)
            with _progress(job.name) as progress:
                done = make(job, splits, _engine(engine, address, workers), told=settings, less=less, progress=progress)
            for place in done.tally.places:
                click.echo(place, err=True)
            if more := done.tally.rejected - len(done.tally.places):
                click.echo(f"... and {more} more", err=True)
            if not done.posts and not done.nothing_to_do:
                click.echo(
                    f"backfill {job.name}: {done.tally.rows} rows read, none of which names a team on a day asked for: nothing to keep"
                )
                continue
            if not done.nothing_to_do:
                failed = f", {done.failed} that the model could not take" if done.failed else ""
                click.echo(
                    f"backfill {job.name}: {done.tally.rows} rows read, {done.tally.rejected} rejected, {done.posts} posts on {done.days} "
                    f"days name a team; {done.passages} passages scored, {done.known} known already{failed}. Archive: {named(root.where)}"
                )
            _fold(store, config, root, job.name)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """A place that cannot be read or written, or is full, as a MonitorError."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise MonitorError(
            f"the archive, or a file for it, cannot be read or written ({why}): see that there is room, and that it may be; the same "
            "command then goes on where this one stopped"
        ) from None


def _fold(store: Store, config: Config, root: Root, name: str) -> None:
    """Days of an archive that the store does not have into it, and what it holds then."""
    from monitor.archive.fold import fold
    from monitor.archive.layout import named
    from monitor.forget import kept_from

    now, least = clock.now(), config.privacy.min_authors
    with progress_bar(f"backfill {name}: fold") as bar:
        folded = fold(store, root, name, min_authors=least, now=now, kept_from=kept_from(config, now), progress=bar)
    if not folded.days:
        click.echo(f"backfill {name}: all of it is in {named(root.where)} already, and in the store")
        return
    click.echo(f"store: {folded.days} days folded, {folded.pairs} team days, {folded.posts} posts that show them")
    if (current := root.current(name)) and current.model != store.model:
        click.echo(
            f"Note: the archive {name} was read by {current.model}, and the store shows {store.model}: figures of the two are kept apart, "
            "and shown are those of the model in config.yaml.",
            err=True,
        )


def _made(root: Root) -> list[str]:
    """The archives in a place."""
    from monitor.archive.layout import named

    if found := root.names():
        return found
    raise InputError(f"{named(root.where)} holds no archive that is finished: give what to read as SOURCE, or another place as --archive")


def _needs(extra: str, *modules: str) -> None:
    from importlib.util import find_spec

    if missing := [module for module in modules if find_spec(module) is None]:
        raise InputError(f"this needs {missing[0]}, which is not installed: pip install 'employee-forum-monitor[{extra}]'")


def _kept(root: Root) -> list[dict[str, Any]]:
    """With what settings the archives that are there were made."""
    currents = [(name, root.current(name)) for name in _made(root)]
    return [root.read_json(root.path(name, "runs", current.run, "run.json")) for name, current in currents if current]


def _job(config: Config, store: Store, root: Root, told: dict[str, Any], model: str | None) -> tuple[Job, list[Split]]:
    from monitor.archive.inputs import plan
    from monitor.archive.job import Job
    from monitor.archive.shapes import check_mapping
    from monitor.config import Scorer
    from monitor.mentions import Finder
    from monitor.privacy import load_keys
    from monitor.sentiment import load_scorer

    mapping = dict(field.partition("=")[::2] for field in told["fields"])
    check_mapping(mapping)
    # Paths that are scored again were written where the first command was typed.
    with contextlib.chdir(told["folder"]) if os.path.isdir(told["folder"]) else contextlib.nullcontext():
        splits, problems = plan(told["given"], source=told["source"], shape=told["shape"] or ("mapping" if mapping else None))
    for problem in problems:
        click.echo(problem, err=True)
    settings = config.scorer
    if model:
        settings = Scorer(model=model, targeted=None if model == "embedded" else settings.targeted)
    elif settings.endpoint:
        settings = Scorer()
        click.echo("Note: an endpoint is not asked of years of posts; the embedded model reads them.", err=True)
    scorer, finder, now = load_scorer(settings), Finder(config.teams), clock.now()
    sources = sorted({split.source for split in splits})
    job = Job(
        root=root,
        name="_".join("export" if source == ALL else source for source in sources),
        teams=tuple(config.teams),
        reader=f"{scorer.name} {finder.fingerprint}",
        scorer=settings,
        model=scorer.name,
        keys=load_keys(config.author_key_file, config.privacy.rotate_keys, now.date()),
        forgotten=frozenset(row["mark"] for row in store.forgotten() if row["kind"] != "source"),
        gone=store.gone_ids(None if ALL in sources else sources),
        now=now,
        mapping=mapping,
        since=dt.date.fromisoformat(told["since"]) if told["since"] else None,
        until=dt.date.fromisoformat(told["until"]) if told["until"] else None,
        words=told["words"],
    )
    return job.of(splits), splits


def _engine(name: str, address: str | None, workers: int | None) -> Any:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if name == "local":
        from monitor.archive.engines import Local

        return Local(workers or cores)
    from monitor.archive.ray import RayEngine

    return RayEngine(address, workers)


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """What is done, the rate and the time left: a bar on a terminal, else a line in the log each minute."""
    doing, began, said = "", 0.0, 0.0
    with contextlib.ExitStack() as bars:
        bar: Callable[..., None] | None = None

        def update(what: str, done: int, total: int, rate: float) -> None:
            nonlocal doing, began, said, bar
            now = time.monotonic()
            if what != doing:
                doing, began, said = what, now, now
                bars.close()
                bar = bars.enter_context(progress_bar(f"backfill {name}: {what}"))
            speed = f", {rate:,.0f} posts/s" if rate else ""
            if bar:
                bar(done, total, f"backfill {name}: {what}{speed}")
            elif now - said >= _EVERY:
                said = now
                left = dt.timedelta(seconds=round((now - began) * (total / done - 1))) if done else "unknown"
                logging.getLogger("forum-monitor").info(
                    "backfill %s: %s, %.0f %%%s, %s left", name, what, 100 * done / (total or 1), speed, left
                )

        yield update
