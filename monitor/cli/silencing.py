"""The command that keeps alerts from being sent for a time, says which are kept, and ends that."""

from __future__ import annotations

import datetime as dt

import click

from monitor import clock
from monitor.cli.around import RULES, SOURCES, TEAMS, emit, loaded, output, team_id
from monitor.errors import InputError


@click.command()
@click.argument("team", required=False, shell_complete=TEAMS)
@click.option("--rule", metavar="R", shell_complete=RULES, help="Only alerts of this rule.")
@click.option("--source", metavar="S", shell_complete=SOURCES, help="Only alerts on this source.")
@click.option("--for", "duration", metavar="TIME", help="How long: 12h, 3d.")
@click.option("--reason", default="", help="Why, for those who look at it later.")
@click.option("--list", "listed", is_flag=True, help="List the silences in force.")
@click.option("--end", type=int, metavar="ID", help="End a silence now.")
@output
@click.pass_context
def silence(
    ctx: click.Context, team: str | None, rule: str | None, source: str | None, duration: str | None, reason: str, listed: bool,
    end: int | None, form: str | None,
) -> None:  # fmt: skip
    """Keep alerts of a team, a rule or a source from being sent for a time. What still fires when it ends is told then, once."""
    from monitor import telling
    from monitor.section import seconds
    from monitor.show import silences_table
    from monitor.store import Store

    config, now = loaded(ctx), clock.now()
    begins = any((team, rule, source, duration, reason))
    if (begins + listed + (end is not None)) != 1:
        raise InputError("write what is silenced with --for and --reason, or --list, or --end ID alone")
    if listed:
        with Store(config.database, read_only=True) as store:
            rows = [dict(row) for row in store.silences(now)]
        emit(rows, form, lambda: silences_table(rows))
        return
    if end is not None:
        with Store(config.database) as store:
            telling.end_silence(store, end, now=now)
        click.echo(f"silence: {end} is over. What was kept and still fires is told by the next round.")
        return
    if not (team or rule or source):
        raise InputError("name what is silenced: a team, --rule R or --source S")
    if not duration or not reason.strip():
        raise InputError("say how long and why: --for 3d --reason '...'")
    try:
        lasts = dt.timedelta(seconds=seconds(duration))
    except ValueError as error:
        raise InputError(f"--for {duration}: {error}") from None
    named = {"rule": rule or "", "team": team_id(config, team) if team else "", "source": source or ""}
    with Store(config.database) as store:
        number = telling.silence(store, config, named, lasts, reason, now=now)
    click.echo(f"silence: {number}, until {now + lasts:%-d %B %Y, %H:%M} UTC. `forum-monitor silence --end {number}` ends it sooner.")
