"""The command that shows a digest, and puts one into the outbox when asked to."""

from __future__ import annotations

import datetime as dt
import json

import click

from monitor import clock
from monitor.cli.around import day_shown, loaded
from monitor.errors import InputError


@click.command()
@click.option("--week", "every", flag_value="week", default=True, help="The last seven whole UTC days (by default).")
@click.option("--day", "every", flag_value="day", help="The last whole UTC day.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Another last day (UTC).")
@click.option("--as", "form", type=click.Choice(["text", "html", "json"]), default="text", show_default=True)
@click.option("--send", "target", metavar="TARGET", help="Put it into the outbox for this one of notify.targets, instead of showing it.")
@click.pass_context
def digest(ctx: click.Context, every: str, last: dt.datetime | None, form: str, target: str | None) -> None:
    """What happened: each team's figure against the period before, alerts, what was not read. Sends nothing unless --send is there."""
    from monitor import digested
    from monitor.store import DigestOf, Store

    config, now = loaded(ctx, quiet=form == "json"), clock.now()
    whole = digested.open_day(config, now) - dt.timedelta(days=1)
    if last:
        day = last.date()
    elif target:
        day = whole
    else:
        with Store(config.database, read_only=True) as store:
            day = min(whole, day_shown(store))
    if not dt.date(1980, 1, 1) <= day <= whole:
        raise InputError(f"--to {day} is no whole day that a forum could have been read on: the last one is {whole}")
    of = DigestOf("week" if every == "week" else "day", day)
    if target is None:
        with Store(config.database, read_only=True) as store:
            message = digested.message(store, config, of, now=now)
        for flaw in message.flaws:
            click.echo(f"digest: {flaw}", err=True)
        said = {"text": f"{message.title}\n\n{message.body}", "html": message.html}
        click.echo(said.get(form) or json.dumps(message.facts, ensure_ascii=False, indent=2))
        return
    known = [each.key for each in config.notify.targets]
    if target not in known:
        raise InputError(f"there is no target {target!r} in notify.targets: known are {', '.join(known)}")
    with Store(config.database) as store:
        if not store.enqueue_digest(of, target, now):
            raise InputError(
                f"the digest of this {every} was sent to {target} before, or waits to be: `forum-monitor deliver` sends what waits"
            )
    click.echo(f"digest: in the outbox for {target}; `forum-monitor deliver`, or the daemon within a minute, sends it.")
