"""The command that writes a report to send on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor import clock
from monitor.cli.around import day_shown, loaded, progress_bar, team_id
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.digest import Days
    from monitor.store import DigestOf

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--week", "every", flag_value="week", default=True, help="The last seven whole UTC days (by default).")
@click.option("--day", "every", flag_value="day", help="The last whole UTC day.")
@click.option("--from", "first", type=_DAY, help="The first day (UTC) of another period.")
@click.option("--to", "last", type=_DAY, help="The last day (UTC); the last whole one by default.")
@click.option("--team", "teams", multiple=True, metavar="TEAM", help="One team only; repeat it for more.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True)
@click.option("--quotes", is_flag=True, help="With the alerts, masked excerpts of posts as long as privacy.excerpt says, and links.")
@click.pass_context
def report(
    ctx: click.Context, file: Path, every: str, first: dt.datetime | None, last: dt.datetime | None, teams: tuple[str, ...], language: str,
    quotes: bool,
) -> None:  # fmt: skip
    """A report as one HTML FILE to send on: what turned, every team's figure, charts, sources. Only what may leave the store."""
    from monitor import digested, leaving
    from monitor import report as reporting
    from monitor.store import Store

    config, now = loaded(ctx), clock.now()
    if file.resolve() == config.database.resolve():
        raise InputError(f"{file} is the store itself: name another file")
    if file.suffix.casefold() not in (".html", ".htm"):
        raise InputError(f"{file} ends in neither .html nor .htm, and what is there already would be lost: name a file that does")
    if quotes:
        leaving.quotable(config, "--quotes")
    chosen = [team_id(config, team) for team in teams]
    whole = digested.open_day(config, now) - dt.timedelta(days=1)
    with Store(config.database, read_only=True) as store:
        end = last.date() if last else min(whole, day_shown(store))
        of = _period(every, first, end, whole=whole, longest=reporting.LONGEST)
        found = reporting.gather(store, config, of, now=now, teams=chosen, quotes=quotes)
    with progress_bar("report") as progress:
        reporting.write(file, reporting.page(found, language, progress))
    counts = [f"{count} {what}{'s' * (count != 1)}" for count, what in ((len(found.told.teams), "team"), (len(found.turns), "alert"))]
    click.echo(
        f"report: {found.told.first} to {found.told.last}, {', '.join(counts)}; to {file}. "
        f"{'It quotes posts, masked.' if quotes else 'It holds no word of a post.'}"
    )


def _period(every: str, first: dt.datetime | None, end: dt.date, *, whole: dt.date, longest: int) -> DigestOf | Days:
    """The period that the options name, whose days are over by `whole`."""
    from monitor.digest import Days
    from monitor.store import DigestOf

    if not dt.date(1980, 1, 1) <= end <= whole:
        raise InputError(f"--to {end} is no whole day that a forum could have been read on: the last one is {whole}")
    if first is None:
        return DigestOf("week" if every == "week" else "day", end)
    days = (end - first.date()).days + 1
    if not 1 <= days <= longest:
        raise InputError(f"{first.date()} to {end} are {days} days: a report is of 1 to {longest}; give another --from or --to")
    return DigestOf("week", end) if days == 7 else DigestOf("day", end) if days == 1 else Days(days, end)
