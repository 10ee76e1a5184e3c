"""The commands by which figures leave the store: a snapshot for others, and tables for other programs."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import click

from monitor import clock
from monitor.cli.around import loaded, team_id
from monitor.errors import InputError

_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--posts", is_flag=True, help="Also links of posts, without scores; not those whose address names a user.")
@click.option("--texts", is_flag=True, help="With the links, excerpts as long as privacy.excerpt says, masked.")
@click.option("--metadata", is_flag=True, help="Also write FILE's .metadata.json, for `datasette serve --metadata`.")
@click.pass_context
def publish(ctx: click.Context, file: Path, posts: bool, texts: bool, metadata: bool) -> None:
    """A snapshot with only what may leave the store: SQLite, for Datasette, Grafana and SQL. No author keys; no texts by default."""
    from monitor.publish import metadata_path
    from monitor.publish import publish as published
    from monitor.store import Store

    config = loaded(ctx)
    with Store(config.database, read_only=True) as store:
        counts = published(store, config, file, now=clock.now(), posts=posts, texts=texts, metadata=metadata)
    told = ", ".join(f"{words} {counts[name]}" for name, words in _COUNTED.items() if name in counts)
    click.echo(f"publish: {told}; to {file}. Its table `about` says what was left out.")
    described = f" --metadata {metadata_path(file)}" if metadata else ""
    click.echo(f"Look at it with `datasette serve --immutable {file}{described}`.")


_COUNTED = {"daily": "daily figures", "alerts": "alerts", "coverage": "days of sources", "posts": "links of posts"}


@click.command()
@click.argument("file", type=_FILE)
@click.option("--what", type=click.Choice(["daily", "alerts", "coverage", "posts"]), default="daily", show_default=True)
@click.option("--since", type=_DAY, help="The first day (UTC).")
@click.option("--until", type=_DAY, help="The last day (UTC); the one before today at most, since today goes on.")
@click.option("--team", metavar="TEAM", help="One team only.")
@click.option("--texts", is_flag=True, help="With --what posts: excerpts as long as privacy.excerpt says, masked.")
@click.pass_context
def export(
    ctx: click.Context, file: Path, what: str, since: dt.datetime | None, until: dt.datetime | None, team: str | None, texts: bool
) -> None:
    """Figures as a table: FILE ends in .csv or .parquet, or is `-` (CSV to standard output). What `publish` withholds is withheld."""
    from monitor import export as exporting
    from monitor import leaving
    from monitor.store import Store

    piped = str(file) == "-"
    if not piped and file.suffix not in (".csv", ".parquet"):
        raise InputError(f"{file} ends in neither .csv nor .parquet: name a file of one of these, or - for CSV on standard output")
    if texts and what != "posts":
        raise InputError("--texts is for --what posts: nothing else has any")
    if team and what == "coverage":
        raise InputError("coverage is of sources, whatever they speak of: leave --team out")
    config = loaded(ctx, quiet=piped)
    span = leaving.whole_days(
        clock.now().date(), since.date() if since else None, until.date() if until else None, team_id(config, team) if team else None
    )
    columns = exporting.columns_of(what, texts)
    with Store(config.database, read_only=True) as store, store.reading():
        rows = exporting.rows_of(store, config, what, span, texts=texts)
        if piped:
            exporting.write_csv(rows, columns, sys.stdout)
            return
        count = exporting.export_csv(file, rows, columns) if file.suffix == ".csv" else exporting.export_parquet(file, rows, columns)
    click.echo(f"export: {count} rows of {what}; to {file}")
