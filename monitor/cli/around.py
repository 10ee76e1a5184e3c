"""What commands have around them: their configuration, a step's lock and row in `runs`, a progress bar, a form of output."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor import CHILD, clock
from monitor.errors import InputError, MonitorError

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.store import Store


def is_child() -> bool:
    """Whether the daemon, or `once`, runs this process."""
    return bool(os.environ.get(CHILD))


def loaded(ctx: click.Context, *, quiet: bool = False) -> Config:
    """The configuration; what is wrong in it goes to standard error (once: the daemon's children keep still) and the rest is used."""
    from monitor.config import find, load

    config, ctx.meta[PROBLEMS] = load(find(ctx.obj))
    if not quiet and not is_child():
        for problem in ctx.meta[PROBLEMS]:
            click.echo(f"{config.path.name}: {problem} (left out; the rest goes on)", err=True)
    return config


PROBLEMS = "monitor.problems"
"""In a command's `meta`: the problems of its config.yaml, each of which had to be left out."""


def day_shown(store: Store) -> dt.date:
    """Today, or the store's last day once that is long past, which is said."""
    from monitor import show

    today = clock.now().date()
    on = show.day_shown(store, today)
    if on != today:
        click.echo(f"Nothing newer than {on:%-d %B %Y} is known, so this stands on that day.", err=True)
    return on


@contextlib.contextmanager
def running(ctx: click.Context, step: str, source: str = "", config: Config | None = None) -> Iterator[tuple[Config, Store]]:
    """What every step has around it: its configuration, its lock, the open store, and a row in `runs` that says how it ended."""
    from monitor.daemon import lock
    from monitor.store import Store

    config = config or loaded(ctx)
    with lock(config.database, f"{step}.{source}".strip(".")), Store(config.database) as store:
        run = store.begin_run(step, source, clock.now())
        try:
            yield config, store
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            with contextlib.suppress(MonitorError):
                store.end_run(
                    run,
                    clock.now(),
                    outcome="stopped" if stopped else "failed",
                    message=str(error) if isinstance(error, MonitorError) else type(error).__name__,
                )
            raise
        store.end_run(run, clock.now(), outcome="ok")


def completing(section: str, key: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell completes: the `key` of each item of a `section` of config.yaml; nothing where that cannot be read."""

    def complete(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
        import yaml

        from monitor.config import find

        with contextlib.suppress(MonitorError, OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
            # In place of `load`: a person waits at every press of the key.
            text = find(ctx.find_root().params.get("config_path")).read_text("utf-8")
            items = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))[section]  # noqa: S506 (safe loaders)
            return [name for item in items if (name := str(item[key])).startswith(begun)]
        return []

    return complete


TEAMS, SOURCES, RULES = completing("teams", "id"), completing("sources", "name"), completing("rules", "id")


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None] | None]:
    """A bar on a terminal, nothing elsewhere. What it yields is called with (done, total); a total of 0 is one that nobody knows.

    A third word stands in place of `what` from then on.

    It appears with the first word on the progress: until then a person may be asked.
    """
    if not sys.stderr.isatty() or is_child():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # What goes to standard output is left alone: it may be a file.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    task = bar.add_task(what, total=None)

    def update(done: int, total: int, now: str = what) -> None:
        bar.update(task, completed=done, total=total or None, description=now)
        bar.start()

    try:
        yield update
    finally:
        bar.stop()


def say(text: str, *, idle: bool) -> None:
    """A step's last line; under the daemon a step that found nothing to do is silent, so that its log stays readable."""
    if not (idle and is_child()):
        click.echo(text)


def output(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options --json and --csv of every command that shows rows."""
    function = click.option("--csv", "form", flag_value="csv", help="CSV with a header line.")(function)
    return click.option("--json", "form", flag_value="json", help="JSON: a list of objects, or of `evaluate` the whole report.")(function)


def emit(rows: Sequence[Mapping[str, Any]], form: str | None, table: Callable[[], Any]) -> None:
    """Rows as JSON, as CSV, or as the table that `table` makes."""
    if form == "json":
        click.echo(json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=2, default=str))
    elif form == "csv":
        import csv

        if rows:
            writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        printed(table())


def printed(shown: Any) -> None:
    """Print what rich can lay out."""
    from rich.console import Console

    # A pipe has no width: wide enough that nothing is cut there.
    # What stands in a cell is shown as it is: a post may say [red] or :smile:.
    Console(width=None if sys.stdout.isatty() else 150, soft_wrap=not sys.stdout.isatty(), markup=False, emoji=False).print(shown)


def unwritable(file: Path, error: OSError) -> InputError:
    """What to say of a file that a command was to write."""
    return InputError(f"{file} cannot be written ({error.strerror}): name a file in a folder that you may write to")


def team_id(config: Config, word: str) -> str:
    """A team's id from its id, name or alias in any case. InputError names near ones."""
    import difflib

    names = {name.casefold(): team.id for team in reversed(config.teams) for name in (*(a.text for a in team.aliases), team.name, team.id)}
    if word.casefold() in names:
        return names[word.casefold()]
    near = difflib.get_close_matches(word.casefold(), names, n=1)
    known = ", ".join(team.id for team in config.teams)
    raise InputError(
        f"there is no team {word!r}: {f'did you mean {names[near[0]]}? ' if near else ''}Known are {known}; "
        "`forum-monitor add team` adds one"
    )
