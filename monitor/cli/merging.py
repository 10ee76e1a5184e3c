"""The command that makes the stores of several monitors one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.around import progress_bar, running

if TYPE_CHECKING:
    from monitor.merging import Merged


@click.command()
@click.argument("others", metavar="OTHER.db...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "form", flag_value="json", help="What became of each, as JSON.")
@click.pass_context
def merge(ctx: click.Context, others: tuple[Path, ...], form: str | None) -> None:
    """Take the databases of other monitors into this one: posts, scores, corrections, coverage. They are only read, and may be in use.

    Again it changes nothing. What either has forgotten goes. Alerts and messages stay with the monitor that sent them.
    """
    from monitor.merging import merge as taken_in

    done = []
    with running(ctx, "merge") as (config, store):
        for path in others:
            with progress_bar(f"merge {path.name}") as progress:
                merged = taken_in(store, config, path, progress=progress)
            done.append({"database": str(path), **merged.counts, "notes": merged.notes})
            if form is None:
                click.echo(_told(path, merged))
        unread, waits = store.unread_count(), bool(store.dirty_days())
    if form:
        click.echo(json.dumps(done, ensure_ascii=False, indent=2))
    elif unread:
        click.echo(f"{unread} posts wait to be understood: `forum-monitor once` reads them and computes the figures.")
    elif waits:
        click.echo("Figures wait to be computed: `forum-monitor trend` does it, as does the next round.")


def _told(path: Path, merged: Merged) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in merged.counts.items() if count or name in ("new", "changed", "unchanged"))
    return " ".join([f"merge {path.name}: {counts}.", *merged.notes])
