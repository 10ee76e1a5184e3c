"""The commands that begin and that run: from `demo` and `init` to each step of the chain and the daemon."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor import clock
from monitor.cli.around import PROBLEMS, SOURCES, emit, is_child, loaded, progress_bar, running, say
from monitor.errors import ConfigError, CrawlError, DeliveryError, InputError, MonitorError

if TYPE_CHECKING:
    from monitor.config import Config

# ---- the beginning ------------------------------------------------------------------------------------------------


@click.command()
@click.option("--fast", is_flag=True, help="No pauses for reading between the days.")
@click.option("--keep", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where the database and chart are left.")
def demo(fast: bool, folder: Path | None) -> None:
    """Replay January 2025 offline: a forum on this machine, the real crawlers, model, trends and alert. Takes a minute."""
    from monitor.demo.replay import replay

    replay(folder, pause=0.0 if fast or not sys.stdout.isatty() else 0.4)


@click.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Read config.yaml and report every problem at once: where, what is wrong, what to write instead."""
    from monitor.config import warnings
    from monitor.sources import wrong_options

    config = loaded(ctx, quiet=True)
    problems = [*ctx.meta[PROBLEMS], *wrong_options(config), *_notify_problems(config)]
    for text in warnings(config):
        click.echo(f"Note: {text}")
    if problems:
        raise ConfigError(str(config.path), problems)
    enabled = sum(source.enabled for source in config.sources)
    holds = f"{len(config.teams)} teams, {enabled} of {len(config.sources)} sources enabled, {len(config.rules)} rules"
    click.echo(f"{config.path}: no problem. {holds}.")


def _notify_problems(config: Config) -> list[Any]:
    """Delivery targets and templates that cannot be used; the URLs themselves are never shown."""
    from monitor.attempt import resolve
    from monitor.errors import Problem
    from monitor.messages import BUILT_IN, template_problems

    remedy = f"Correct it, or take it away; the built-in ones, in {BUILT_IN}, show what a template may say"
    found = [Problem("notify.templates", flaw, remedy) for flaw in template_problems(config.notify.templates)]
    for target in config.notify.targets:
        try:
            resolve(target)
        except DeliveryError as error:
            found.append(Problem("notify.targets", str(error), "Write console, or an Apprise URL such as ntfy://ntfy.sh/topic"))
    return found


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Examine config, store, model and the reach of each source; exit code 1 when something has to be done."""
    from monitor.doctor import examine

    sick = 0
    config = loaded(ctx)
    for name, fine, finding in examine(config, ctx.meta[PROBLEMS]):
        sick += not fine
        click.echo(f"{'ok  ' if fine else 'LOOK'}  {name}: {finding}")
    ctx.exit(1 if sick else 0)


# ---- running ------------------------------------------------------------------------------------------------------


@click.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon: every step at its time, until SIGTERM or Ctrl-C. SIGHUP takes up a changed config.yaml."""
    from monitor.config import warnings
    from monitor.daemon import Daemon

    config = loaded(ctx)
    for text in warnings(config):
        click.echo(f"Note: {text}", err=True)
    Daemon(config).run()


@click.command()
@click.pass_context
def once(ctx: click.Context) -> None:
    """Run the whole chain a single time: collect from every source, understand, trend, alert, deliver."""
    from monitor.daemon import run_once

    config = loaded(ctx)
    failed = run_once(config, sys.stderr.isatty())
    if failed:
        raise MonitorError(f"{', '.join(failed)} did not end well; the reason stands above. Everything else was done.")


@click.command()
@click.argument("source", shell_complete=SOURCES)
@click.pass_context
def collect(ctx: click.Context, source: str) -> None:
    """Crawl ONE source to its end, from where its last crawl stopped."""
    from monitor.sources import crawlable, with_next_step

    config = loaded(ctx)
    found = crawlable(config, source)
    with running(ctx, "collect", source, config), progress_bar(f"collect {source}") as progress:
        from monitor.collect import collect as crawl

        result = crawl(config, found, now=clock.now, progress=progress)
        c = result.counts
        told = [result.finish_reason, f"{c.new} new", f"{c.changed} changed", f"{c.deleted} deleted", f"{result.rejected} rejected"]
        text = f"collect {source}: {', '.join(told)}. {result.message}".strip()
        if result.finish_reason != "finished":
            raise CrawlError(with_next_step(text, source, result.finish_reason))
    click.echo(text)


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--source", required=True, metavar="NAME", help="The name under which the posts are kept.")
@click.option("--profile", metavar="NAME|FILE.yaml", help="Saved pages: how to read them, such as phpbb; else their JSON-LD or microdata.")
@click.option("--url", metavar="URL", help="A saved page: its address, where the file does not tell.")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Saved pages: of times without one, such as Europe/Paris.")
@click.option("--day-first/--month-first", default=None, help="Saved pages: how 01/02 is meant.")
@click.pass_context
def import_(
    ctx: click.Context, file: Path, source: str, profile: str | None, url: str | None, timezone: str, day_first: bool | None
) -> None:
    """Take in posts that you lawfully hold: JSON lines or CSV, plain or gzipped (`-` reads JSON lines from standard input);
    web pages as a browser saved them (HTML, MHTML), or a folder of them."""
    from monitor import pages
    from monitor.importing import check_source, import_file
    from monitor.privacy import hiding, load_keys

    check_source(source)
    reading = pages.Reading(pages.profile(profile) if profile else None, url, timezone, day_first)
    with running(ctx, "import", source) as (config, store), progress_bar(f"import {source}") as progress:
        now = clock.now()
        keys = load_keys(config.author_key_file, config.privacy.rotate_keys, now.date())
        hide = hiding(keys, source, leaves_out=store.leaves_out, leave_out=store.leave_out, now=now)
        result = import_file(store, file, source, hide=hide, now=now, reading=reading, progress=progress)
    whole = pages.is_pages(file)
    for line, reason in result.rejected[:20]:
        click.echo(reason if whole else f"{file}, line {line}: {reason}", err=True)
    what = "rejected" if whole else "lines rejected"
    if len(result.rejected) > 20:
        click.echo(f"... and {len(result.rejected) - 20} more{'' if whole else ' lines'}", err=True)
    c = result.counts
    told = [f"{c.new} new", f"{c.changed} changed", f"{c.unchanged} unchanged", f"{len(result.rejected)} {what}"]
    click.echo(f"import {source}: {', '.join(told)}. {result.note}".strip())


@click.command()
@click.pass_context
def understand(ctx: click.Context) -> None:
    """Read the posts that are unread: language, teams named, sentiment toward each."""
    with running(ctx, "understand") as (config, store):
        from monitor.sentiment import load_scorer
        from monitor.understand import understand as read

        with progress_bar("understand") as progress:
            done = read(store, config.teams, load_scorer(config.scorer, store), now=clock.now(), progress=progress)
    failed = f", {done.failed} that the model could not take" if done.failed else ""
    text = f"understand: {done.posts} posts read, {done.mentions} mentions, {done.scored} scored, {done.known} known already{failed}"
    say(text, idle=not done.posts)


@click.command()
@click.option("--rebuild", is_flag=True, help="Compute every day anew, not only those that changed.")
@click.pass_context
def trend(ctx: click.Context, rebuild: bool) -> None:
    """Compute the daily trends of the days that changed."""
    with running(ctx, "trend") as (config, store):
        from monitor.archive.voices import beyond
        from monitor.trend import trend as compute

        with progress_bar("trend") as progress:
            count = compute(store, min_authors=config.privacy.min_authors, rebuild=rebuild, progress=progress, beyond=beyond(store))
        from monitor.forget import clean_archives, retire
        from monitor.weeks import settle

        settle(store, config, clock.now().astimezone(dt.UTC).date())
        retired = retire(store, config, now=clock.now())  # here: what counts in a day has just been settled
        cleaned, unreached = clean_archives(store, config, now=clock.now())
    for archive, rows in cleaned.items():
        click.echo(f"trend: {rows} rows of the {archive} were forgotten, or are older than retention allows, and are gone or nameless")
    for text in unreached:
        click.echo(f"trend: {text}", err=True)
    for source, posts in retired.items():
        click.echo(f"trend: {posts} posts of {source} are older than retention allows; their words and authors are gone")
    say(f"trend: {count} team days computed", idle=not count)


@click.command()
@click.pass_context
def alert(ctx: click.Context) -> None:
    """Check the rules against the trends, and put messages for what changed into the outbox."""
    with running(ctx, "alert") as (config, store):
        from monitor.alert import alert as check_rules

        # What a slip of the pen left out is not taken for what somebody switched off.
        told = check_rules(store, config, now=clock.now(), keep_unwatched=bool(ctx.meta[PROBLEMS]))
    for text in told:
        click.echo(f"alert: {text}")
    if not told:
        say("alert: nothing changed", idle=True)


@click.command()
@click.option("--failed", is_flag=True, help="Send nothing: list the messages that were given up, and why.")
@click.option("--test", "trial", is_flag=True, help="Send a test message to every target now, and nothing else.")
@click.option("--retry", metavar="[ID]", is_flag=False, flag_value="all", help="Send those again first; with an ID that one only.")
@click.pass_context
def deliver(ctx: click.Context, failed: bool, trial: bool, retry: str | None) -> None:
    """Send the messages that are due."""
    from monitor.deliver import deliver as send_due
    from monitor.deliver import stop_on_sigterm
    from monitor.heartbeat import beat

    if failed + trial + bool(retry) > 1:
        raise InputError("--failed, --test and --retry each do another thing: write one of them")
    if trial:
        _try_targets(loaded(ctx))
        return
    if failed:
        _list_failed(loaded(ctx))
        return
    if retry not in (None, "all") and not (retry.isdecimal() and len(retry) < 19):  # SQLite knows no longer one
        raise InputError(f"--retry {retry} is no ID of a message: `forum-monitor deliver --failed` lists those that were given up")
    stop = stop_on_sigterm()
    with running(ctx, "deliver") as (config, store):
        if retry and not store.retry_deliveries(None if retry == "all" else int(retry), clock.now()) and retry != "all":
            raise InputError(f"no message {retry} was given up: `forum-monitor deliver --failed` lists those that were")
        logged = is_child() and not sys.stdout.isatty()
        done = send_due(store, config, clock=clock.now, stop=stop, logged=logged)
        unheard = beat(store, config, done, now=clock.now())
    for text in [*done.errors, *filter(None, [unheard])]:
        click.echo(f"deliver: {text}", err=True)
    idle = not (done.sent or done.waiting or done.failed)
    say(f"deliver: {done.sent} sent, {done.waiting} waiting, {done.failed} given up", idle=idle)


def _try_targets(config: Config) -> None:
    from monitor.deliver import tried

    wrong = 0
    for target, problem in tried(config, clock.now()):
        wrong += problem is not None
        click.echo(f"{target}: a test message was sent" if problem is None else problem)
    if wrong:
        raise DeliveryError("look at notify.targets in config.yaml, and at the address in the environment or file that it names")


def _list_failed(config: Config) -> None:
    from monitor.show import failed_table
    from monitor.store import Store

    with Store(config.database, read_only=True) as store:
        rows = store.given_up()
    emit(rows, None, lambda: failed_table(rows))


@click.command()
@click.pass_context
def migrate(ctx: click.Context) -> None:
    """Make the database, or bring one from an older version up to date; every step does this by itself as well."""
    from monitor.store import Store

    config = loaded(ctx, quiet=True)
    with Store(config.database):
        pass
