"""The command that tries rules on the past."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor import clock
from monitor.cli.around import RULES, TEAMS, loaded, printed, progress_bar, team_id
from monitor.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.config import Config

_DAY = click.DateTime(["%Y-%m-%d"])


def _day(_: click.Context, option: click.Parameter, value: dt.datetime | None) -> dt.date | None:
    if value and not 1980 <= value.year <= 9000:
        raise InputError(f"{option.opts[0]} {value:%Y-%m-%d} is no day on which a forum could have been read: write one such as 2026-01-31")
    return value.date() if value else None


@click.command()
@click.option(
    "--rule", "rule_ids", multiple=True, metavar="ID", shell_complete=RULES, help="This rule only, though it may be off; can be repeated."
)
@click.option("--rules", "file", type=click.Path(dir_okay=False, path_type=Path), help="Rules of this YAML file in place of config.yaml's.")
@click.option("--team", metavar="TEAM", shell_complete=TEAMS, help="This team only.")
@click.option("--from", "first", type=_DAY, callback=_day, help="First day to judge (UTC); the first with figures by default.")
@click.option("--to", "last", type=_DAY, callback=_day, help="Last day to judge; the last complete one by default.")
@click.option("--warn-before", type=_DAY, callback=_day, metavar="DAY", help="How many days before this one an alert would have warned.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def backtest(
    ctx: click.Context, rule_ids: tuple[str, ...], file: Path | None, team: str | None, first: dt.date | None,
    last: dt.date | None, warn_before: dt.date | None, as_json: bool,
) -> None:  # fmt: skip
    """Try rules on the stored history, as it became known: each alert that would have fired, why, and how often that is."""
    from monitor.backtest import backtest as replay
    from monitor.backtest import backtest_view
    from monitor.store import Store

    config = loaded(ctx, quiet=as_json)
    if file:
        config = _with_rules(config, file)
    with Store(config.database, read_only=True) as store, progress_bar("backtest") as progress:
        told = replay(
            store, config, now=clock.now(), rules=rule_ids, team=team_id(config, team) if team else None,
            first=first, last=last, warn_before=warn_before, progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=2, default=str))
    else:
        printed(backtest_view(told, {one.id: one.name for one in config.teams}))


def _with_rules(config: Config, file: Path) -> Config:
    """The configuration with the rules of `file`, each of which must be good: no other than was meant is tried."""
    from monitor.config import load

    found, problems = load(config.path, rules=file)
    if wrong := [problem for problem in problems if problem.key.startswith("rules")]:
        raise ConfigError(str(file), wrong)
    return found
