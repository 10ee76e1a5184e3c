"""The commands on sources: the register, a dry run of one, and every decision of its last crawl."""

from __future__ import annotations

import json
from typing import Any

import click

from monitor import clock
from monitor.cli.around import SOURCES, emit, loaded
from monitor.errors import CrawlError

_json = click.option("--json", "form", flag_value="json", help="JSON in place of a table.")


@click.group(invoke_without_command=True)
@_json
@click.pass_context
def sources(ctx: click.Context, form: str | None) -> None:
    """The register: each source with its terms, last crawl, coverage of seven days, next run and robots verdict."""
    if ctx.invoked_subcommand:
        return
    from monitor import sources as register
    from monitor.store import Store

    config = loaded(ctx, quiet=form is not None)
    if config.database.exists():
        with Store(config.database, read_only=True) as store:
            rows = register.register(config, store, clock.now())
    else:
        rows = register.register(config, None, clock.now())
    emit(rows, form, lambda: register.register_table(rows))


@sources.command()
@click.argument("name", shell_complete=SOURCES)
@_json
@click.pass_context
def test(ctx: click.Context, name: str, form: str | None) -> None:
    """Dry run: ask NAME as a first crawl would; show what robots.txt said and the first five posts; store nothing."""
    from monitor import sources as register

    config = loaded(ctx, quiet=form is not None)
    source = register.crawlable(config, name)
    from monitor.collect import sample

    found = sample(config, source, now=clock.now)
    row = register.sample_row(name, found)
    if form == "json":
        click.echo(json.dumps(row, ensure_ascii=False, indent=2))
    else:
        emit([], form, lambda: register.sample_view(row))
    good = found.result.finish_reason == "finished"
    told = f"reached, and robots.txt allows it; {len(found.posts)} posts shown" if good else found.result.finish_reason
    text = f"sources test {name}: {told}. {found.result.message}".strip()
    if not good:
        raise CrawlError(register.with_next_step(text, name, found.result.finish_reason, tried=True))
    if form is None:
        click.echo(text)


@sources.command()
@click.argument("name", shell_complete=SOURCES)
@_json
@click.pass_context
def audit(ctx: click.Context, name: str, form: str | None) -> None:
    """Every decision of the last crawl of NAME: what was asked and answered, what was refused, and why."""
    from monitor import sources as register
    from monitor.store import Store

    config = loaded(ctx, quiet=form is not None)
    register.known(config, name)
    with Store(config.database, read_only=True) as store:
        rows: list[Any] = store.visits(name)
    emit(rows, form, lambda: register.audit_table(rows, name))
