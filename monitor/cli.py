"""The command line. Every command is thin: it reads config.yaml, opens the store, and calls the step of its name.

Nothing heavy is imported before it is needed: `--help` answers at once, and the daemon's children carry only what
their step uses.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor import CHILD, __version__, clock
from monitor.errors import ConfigError, CrawlError, InputError, MonitorError

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.store import Store


class _Commands(click.Group):
    """Commands in the order in which they are written here, and every error of ours as a sentence on standard error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of our output (head, less) has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", "config_path", metavar="FILE", help="Settings; else $FORUM_MONITOR_CONFIG, else ./config.yaml.")
@click.version_option(__version__, prog_name="forum-monitor")
@click.pass_context
def main(ctx: click.Context, config_path: str | None) -> None:
    """What people say in public about AI teams: collected, scored toward each team, as daily trends and alerts.

    New here? `forum-monitor demo` shows the whole way, offline. Then `forum-monitor init` writes a config.yaml.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    ctx.obj = config_path
    if _is_child():
        _stop_with_daemon()


def _is_child() -> bool:
    """Whether the daemon, or `once`, runs this process."""
    return bool(os.environ.get(CHILD))


def _stop_with_daemon() -> None:
    """In a child of the daemon: end as on SIGTERM when the daemon is gone, which closes our standard input."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=wait, daemon=True).start()


def _load(ctx: click.Context, *, quiet: bool = False) -> Config:
    """The configuration; what is wrong in it goes to standard error (once: the daemon's children keep still) and the rest is used."""
    from monitor.config import find, load

    config, ctx.meta[_PROBLEMS] = load(find(ctx.obj))
    if not quiet and not _is_child():
        for problem in ctx.meta[_PROBLEMS]:
            click.echo(f"{config.path.name}: {problem} (left out; the rest goes on)", err=True)
    return config


_PROBLEMS = "monitor.problems"
"""In a command's `meta`: the problems of its config.yaml, each of which had to be left out."""


@contextlib.contextmanager
def _step(ctx: click.Context, step: str, source: str = "", config: Config | None = None) -> Iterator[tuple[Config, Store]]:
    """What every step has around it: its configuration, its lock, the open store, and a row in `runs` that says how it ended."""
    from monitor.daemon import lock
    from monitor.store import Store

    config = config or _load(ctx)
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


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere. What it yields is called with (done, total)."""
    if not sys.stderr.isatty() or _is_child():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report(text: str, *, idle: bool) -> None:
    """A step's last line; under the daemon a step that found nothing to do is silent, so that its log stays readable."""
    if not (idle and _is_child()):
        click.echo(text)


def _output(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options --json and --csv of every command that shows rows."""
    function = click.option("--csv", "form", flag_value="csv", help="CSV with a header line.")(function)
    return click.option("--json", "form", flag_value="json", help="JSON, one list of objects.")(function)


def _emit(rows: Sequence[Mapping[str, Any]], form: str | None, table: Callable[[], Any]) -> None:
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
        from rich.console import Console

        # A pipe has no width: wide enough that nothing is cut there.
        Console(width=None if sys.stdout.isatty() else 150, soft_wrap=not sys.stdout.isatty()).print(table())


# ---- the beginning ------------------------------------------------------------------------------------------------


@main.command()
@click.option("--fast", is_flag=True, help="No pauses for reading between the days.")
@click.option("--keep", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where the database and chart are left.")
def demo(fast: bool, folder: Path | None) -> None:
    """Replay January 2025 offline: a forum on this machine, the real crawlers, model, trends and alert. Takes a minute."""
    from monitor.demo.replay import replay

    replay(folder, pause=0.0 if fast or not sys.stdout.isatty() else 0.4)


@main.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="config.yaml")
@click.option("--contact", default="", metavar="ADDRESS", help="E-mail address or page that site owners see in the user agent.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def init(path: Path, contact: str, force: bool) -> None:
    """Write a config.yaml to start from, every key explained."""
    from monitor.config import shipped

    text = shipped()
    if contact:
        text = text.replace('contact: ""', f"contact: {json.dumps(contact)}", 1)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists already: name another file, or write over it with --force") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name a file in a folder that you may write to") from None
    click.echo(
        f"Wrote {path}. Next: read it, then `forum-monitor check`, `forum-monitor once`, and `forum-monitor run` to leave it running."
    )


@main.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Read config.yaml and report every problem at once: where, what is wrong, what to write instead."""
    from monitor.config import warnings

    config = _load(ctx, quiet=True)
    problems = [*ctx.meta[_PROBLEMS], *_target_problems(config)]
    for text in warnings(config):
        click.echo(f"Note: {text}")
    if problems:
        raise ConfigError(str(config.path), problems)
    enabled = sum(source.enabled for source in config.sources)
    holds = f"{len(config.teams)} teams, {enabled} of {len(config.sources)} sources enabled, {len(config.rules)} rules"
    click.echo(f"{config.path}: no problem. {holds}.")


def _target_problems(config: Config) -> list[Any]:
    """Delivery targets that cannot be used; the URLs themselves are never shown."""
    from monitor.deliver import resolve
    from monitor.errors import DeliveryError, Problem

    found = []
    for target in config.notify.targets:
        try:
            resolve(target)
        except DeliveryError as error:
            found.append(Problem("notify.targets", str(error), "Write console, or an Apprise URL such as ntfy://ntfy.sh/topic"))
    return found


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Examine config, store, model and the reach of each source; exit code 1 when something has to be done."""
    from monitor.doctor import examine

    sick = 0
    config = _load(ctx)
    for name, fine, finding in examine(config, ctx.meta[_PROBLEMS]):
        sick += not fine
        click.echo(f"{'ok  ' if fine else 'LOOK'}  {name}: {finding}")
    ctx.exit(1 if sick else 0)


# ---- running ------------------------------------------------------------------------------------------------------


@main.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon: every step at its time, until SIGTERM or Ctrl-C. SIGHUP takes up a changed config.yaml."""
    from monitor.config import warnings
    from monitor.daemon import Daemon

    config = _load(ctx)
    for text in warnings(config):
        click.echo(f"Note: {text}", err=True)
    Daemon(config).run()


@main.command()
@click.pass_context
def once(ctx: click.Context) -> None:
    """Run the whole chain a single time: collect from every source, understand, trend, alert, deliver."""
    from monitor.daemon import run_once

    config = _load(ctx)
    failed = run_once(config, sys.stderr.isatty())
    if failed:
        raise MonitorError(f"{', '.join(failed)} did not end well; the reason stands above. Everything else was done.")


@main.command()
@click.argument("source")
@click.option("--try", "trial", is_flag=True, help="Ask for robots.txt and the first page only, and store nothing.")
@click.pass_context
def collect(ctx: click.Context, source: str, trial: bool) -> None:
    """Crawl ONE source to its end, from where its last crawl stopped."""
    config = _load(ctx)
    found = config.source(source)
    if found is None:
        known = ", ".join(each.name for each in config.sources)
        raise InputError(f"there is no source {source!r} in {config.path}: use one of {known or 'none'}")
    if found.terms is None:
        remedy = f"read what the site allows and write it down as sources.{source}.terms in {config.path.name}"
        raise CrawlError(f"{source} is not crawled before a person has read its terms: {remedy}", permanent=True)
    with contextlib.nullcontext() if trial else _step(ctx, "collect", source, config):
        from monitor import collect as crawls

        result = (crawls.attempt if trial else crawls.collect)(config, found, now=clock.now)
        good = result.finish_reason == "finished"
        c = result.counts
        told = [result.finish_reason, f"{c.new} new", f"{c.changed} changed", f"{c.deleted} deleted", f"{result.rejected} rejected"]
        if trial:
            told = ["reached, and robots.txt allows it" if good else result.finish_reason]
        text = f"collect {source}: {', '.join(told)}. {result.message}".strip()
        if not good:
            raise CrawlError(text)
    click.echo(text)


@main.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--source", required=True, metavar="NAME", help="The name under which the posts are kept.")
@click.pass_context
def import_(ctx: click.Context, file: Path, source: str) -> None:
    """Take in posts that you lawfully hold: JSON lines or CSV, plain or gzipped; `-` reads JSON lines from standard input."""
    from monitor.importing import check_source, import_file
    from monitor.privacy import load_key

    check_source(source)
    with _step(ctx, "import", source) as (config, store), _progress(f"import {source}") as progress:
        result = import_file(store, file, source, key=load_key(config.author_key_file), now=clock.now(), progress=progress)
    for line, reason in result.rejected[:20]:
        click.echo(f"{file}, line {line}: {reason}", err=True)
    if len(result.rejected) > 20:
        click.echo(f"... and {len(result.rejected) - 20} more lines", err=True)
    c = result.counts
    told = [f"{c.new} new", f"{c.changed} changed", f"{c.unchanged} unchanged", f"{len(result.rejected)} lines rejected"]
    click.echo(f"import {source}: {', '.join(told)}. {result.note}".strip())


@main.command()
@click.pass_context
def understand(ctx: click.Context) -> None:
    """Read the posts that are unread: language, teams named, sentiment toward each."""
    with _step(ctx, "understand") as (config, store):
        from monitor.sentiment import load_scorer
        from monitor.understand import understand as read

        with _progress("understand") as progress:
            done = read(store, config.teams, load_scorer(config.scorer), now=clock.now(), progress=progress)
    failed = f", {done.failed} that the model could not take" if done.failed else ""
    text = f"understand: {done.posts} posts read, {done.mentions} mentions, {done.scored} scored, {done.known} known already{failed}"
    _report(text, idle=not done.posts)


@main.command()
@click.option("--rebuild", is_flag=True, help="Compute every day anew, not only those that changed.")
@click.pass_context
def trend(ctx: click.Context, rebuild: bool) -> None:
    """Compute the daily trends of the days that changed."""
    with _step(ctx, "trend") as (config, store):
        from monitor.trend import trend as compute

        with _progress("trend") as progress:
            count = compute(store, min_authors=config.privacy.min_authors, rebuild=rebuild, progress=progress)
    _report(f"trend: {count} team days computed", idle=not count)


@main.command()
@click.pass_context
def alert(ctx: click.Context) -> None:
    """Check the rules against the trends, and put messages for what changed into the outbox."""
    with _step(ctx, "alert") as (config, store):
        from monitor.alert import alert as check_rules

        # What a slip of the pen left out is not taken for what somebody switched off.
        told = check_rules(store, config, now=clock.now(), keep_unwatched=bool(ctx.meta[_PROBLEMS]))
    for text in told:
        click.echo(f"alert: {text}")
    if not told:
        _report("alert: nothing changed", idle=True)


@main.command()
@click.pass_context
def deliver(ctx: click.Context) -> None:
    """Send the messages that are due."""
    from monitor.deliver import deliver as send_due
    from monitor.deliver import stop_on_sigterm

    stop = stop_on_sigterm()
    with _step(ctx, "deliver") as (config, store):
        logged = _is_child() and not sys.stdout.isatty()
        done = send_due(store, config, clock=clock.now, stop=stop, logged=logged)
    for text in done.errors:
        click.echo(f"deliver: {text}", err=True)
    idle = not (done.sent or done.waiting or done.failed)
    _report(f"deliver: {done.sent} sent, {done.waiting} waiting, {done.failed} given up", idle=idle)


@main.command()
@click.pass_context
def migrate(ctx: click.Context) -> None:
    """Make the database, or bring one from an older version up to date; every step does this by itself as well."""
    from monitor.store import Store

    config = _load(ctx, quiet=True)
    with Store(config.database):
        pass


# ---- reading ------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("team", required=False)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day to stand on (UTC); today by default.")
@_output
@click.pass_context
def show(ctx: click.Context, team: str | None, day: dt.datetime | None, form: str | None) -> None:
    """All teams: today, seven days, change, n, interval, trend. With TEAM: its days, sources and alerts."""
    from monitor import show as tables
    from monitor.store import Store

    config = _load(ctx, quiet=form is not None)
    on = day.date() if day else clock.now().date()
    if not 1980 <= on.year <= 9000:
        raise InputError(f"--day {on} is no day on which a forum could have been read")
    with Store(config.database, read_only=True) as store:
        if team is None:
            rows = tables.overview(store, config, on)
            _emit(rows, form, lambda: tables.overview_table(rows, on, store.firing(on)))
        else:
            days = tables.team_days(store, config, _team(config, team), on)
            _emit(days, form, lambda: tables.team_view(store, config, _team(config, team), days))


@main.command()
@click.argument("team")
@click.option("--days", type=click.IntRange(1, 36_500), default=7, show_default=True, help="How far back.")
@click.option("--label", type=click.Choice(["negative", "neutral", "positive"]))
@click.option("--source", metavar="NAME", help="One source only.")
@click.option("--search", metavar="WORDS", help="Posts that hold all of these words.")
@click.option("--limit", default=50, show_default=True, help="At most so many, the newest.")
@_output
@click.pass_context
def posts(
    ctx: click.Context, team: str, days: int, label: str | None, source: str | None, search: str | None, limit: int, form: str | None
) -> None:
    """The posts about TEAM behind the figures, newest first."""
    from monitor import show as tables
    from monitor.store import Store

    config = _load(ctx, quiet=form is not None)
    since = clock.now().date() - dt.timedelta(days=days - 1)
    with Store(config.database, read_only=True) as store:
        rows = store.posts(_team(config, team), since=since, label=label, source=source, search=search, limit=limit)
    _emit(rows, form, lambda: tables.posts_table(rows))


def _team(config: Config, word: str) -> str:
    """A team's id from its id, name or alias in any case. InputError names near ones."""
    import difflib

    names = {name.casefold(): team.id for team in reversed(config.teams) for name in (*(a.text for a in team.aliases), team.name, team.id)}
    if word.casefold() in names:
        return names[word.casefold()]
    near = difflib.get_close_matches(word.casefold(), names, n=1)
    known = ", ".join(team.id for team in config.teams)
    raise InputError(f"there is no team {word!r}: {f'did you mean {names[near[0]]}? ' if near else ''}Known are {known}")


@main.command()
@click.argument("sql", required=False)
@click.option("--tables", is_flag=True, help="List tables, views and columns with what they mean.")
@click.option("--limit", type=click.IntRange(1), default=10_000, show_default=True, help="At most so many rows.")
@_output
@click.pass_context
def query(ctx: click.Context, sql: str | None, tables: bool, limit: int, form: str | None) -> None:
    """Ask the store in SQL, read-only. Stable views: v_daily, v_posts, v_alerts, v_coverage."""
    from monitor import show as shown
    from monitor.store import Store

    config = _load(ctx, quiet=form is not None)
    with Store(config.database, read_only=True) as store:
        if tables:
            rows = store.describe()
        elif sql:
            rows = store.query(sql, limit + 1)
            if len(rows) > limit:
                rows = rows[:limit]
                click.echo(f"Only the first {limit} rows: --limit gives more.", err=True)
        else:
            raise InputError('write a query, such as forum-monitor query "SELECT * FROM v_daily ORDER BY day DESC LIMIT 20", or --tables')
    _emit(rows, form, lambda: shown.plain_table(rows))


@main.command()
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="replace"))
@click.pass_context
def score(ctx: click.Context, file: Any) -> None:
    """Score texts without a store: JSON lines {"id", "text", "target"} in, {"id", "label", "negative", "neutral", "positive"} out.

    `target` is the team as the text names it; null or absent scores the whole text. `-` reads standard input. A line
    that cannot be read is reported on standard error with its number, and the rest goes on; the exit code is then 1.
    """
    from monitor.config import Scorer
    from monitor.sentiment import load_scorer
    from monitor.understand import score_lines

    try:
        scorer = _load(ctx, quiet=True).scorer
    except ConfigError:
        if ctx.obj:  # a file that was named must be good; without any the embedded model serves
            raise
        scorer = Scorer()
    broken = 0
    for line, answer in score_lines(file, load_scorer(scorer)):
        if isinstance(answer, str):
            broken += 1
            click.echo(f"line {line}: {answer}", err=True)
        else:
            click.echo(json.dumps(answer))
    ctx.exit(1 if broken else 0)
