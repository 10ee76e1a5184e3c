"""The command that draws a random sample and takes readers' labels of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from monitor import clock
from monitor.cli.around import TEAMS, emit, loaded, output, team_id
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.store import Store

_KEYS = {"-": "negative", "0": "neutral", "+": "positive"}
_STOP = "q"


@click.command()
@click.argument("team", required=False, shell_complete=TEAMS)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The last day (UTC) to draw of; yesterday by default, which is over.")
@click.option("--days", type=click.IntRange(1, 366), default=1, show_default=True, help="So many days, up to that one.")
@click.option("--count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Posts to draw of each day.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed draws the same sample.")
@click.option("--from", "file", type=click.File("r", encoding="utf-8-sig", errors="replace"), help="Labels from JSON lines; - is stdin.")
@click.option("--ask", "asked", is_flag=True, help="Let the model of `review` in config.yaml read what waits.")
@output
@click.pass_context
def review(
    ctx: click.Context, team: str | None, day: dt.datetime | None, days: int, count: int, seed: int, file: Any, asked: bool,
    form: str | None,
) -> None:  # fmt: skip
    """Read a random sample of what was said, of TEAM or of all, so that figures can be corrected for the model's errors.

    Each post is shown without what the model says of it; what you say is kept as a correction. What is not read waits for the next
    time. --from takes lines {"post", "team", "label"} instead, and --json or --csv lists what waits to be read; a line that is
    no label of a post that was drawn is told on standard error with its number, and the exit code is then 1.
    """
    from monitor import review as reviews
    from monitor.store import Store
    from monitor.weeks import settle

    if sum((file is not None, asked, form is not None)) > 1:
        raise InputError("give one of --from, --ask and --json or --csv: each is another way of reading")
    config = loaded(ctx, quiet=form is not None)
    if asked and config.review is None:
        raise InputError("--ask needs the section `review` in config.yaml, which says what model reads; without it you do: leave --ask out")
    last = day.date() if day else clock.now().date() - dt.timedelta(days=1)
    if not 1980 <= last.year <= 9000:
        raise InputError(f"--day {last} is no day on which a forum could have been read: write one such as 2026-01-31")
    first, only = last - dt.timedelta(days=days - 1), team_id(config, team) if team else None
    with Store(config.database) as store:
        reviews.draw(store, first, last, only, count=count, seed=seed, now=clock.now())
        waiting = store.to_review(first, last, only)
        if form:
            emit([dict(row) for row in waiting], form, lambda: None)
            return
        broken, told = 0, ""
        if file:
            read, broken = _from_lines(store, file)
        elif asked:
            read, told = _ask(store, config, waiting)
        else:
            read = _in_terminal(store, config, waiting)
        left = len(store.to_review(first, last, only))
        settle(store, config, clock.now().astimezone(dt.UTC).date())
    click.echo(
        f"Read {read}; {left} drawn of {first} to {last} wait.{f' {told}' if told else ''} `forum-monitor show TEAM` has the figures."
    )
    ctx.exit(1 if broken else 0)


def _from_lines(store: Store, lines: Any) -> tuple[int, int]:
    """How many labels were kept, and how many lines were no label of what was drawn."""
    from monitor import review as reviews

    read = broken = 0
    for number, found in reviews.labels_in(lines):
        try:
            if isinstance(found, str):
                raise InputError(found)
            reviews.keep(store, *found, now=clock.now())
            read += 1
        except InputError as error:
            broken += 1
            click.echo(f"line {number}: {error}", err=True)
    return read, broken


def _ask(store: Store, config: Config, waiting: Sequence[Any]) -> tuple[int, str]:
    from monitor import review as reviews
    from monitor.sentiment import load_scorer

    assert config.review is not None  # noqa: S101 (the command has looked)
    return reviews.ask(store, waiting, load_scorer(config.review, store), now=clock.now())


def _in_terminal(store: Store, config: Config, waiting: Sequence[Any]) -> int:
    from rich.console import Console
    from rich.markup import escape

    from monitor import review as reviews
    from monitor.privacy import masked

    console, names = Console(emoji=False), {team.id: team.name for team in config.teams}
    for number, row in enumerate(waiting, 1):
        console.rule(f"{number} of {len(waiting)}: {escape(row['source'])}, {row['posted_at'][:10]}")
        if row["title"] and not row["text"].startswith(row["title"]):
            console.print(masked(row["title"]), style="dim", markup=False)
        console.print(masked(row["text"]), markup=False, highlight=False)
        question = f"Its attitude toward {names.get(row['team'], row['team'])}: - negative, 0 neutral or none, + positive, {_STOP} stop"
        try:
            said = click.prompt(question, type=click.Choice([*_KEYS, _STOP]), show_choices=False)
        except click.Abort:  # Ctrl-C, or the end of what is piped in; what was said is kept
            click.echo()
            said = _STOP
        if said == _STOP:
            return number - 1
        reviews.keep(store, row["id"], row["team"], _KEYS[said], now=clock.now())  # type: ignore[arg-type]
    return len(waiting)
