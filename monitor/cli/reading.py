"""The commands that read what is stored: figures, posts, and the user's own questions."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.around import SOURCES, TEAMS, day_shown, emit, loaded, output, printed, team_id, unwritable
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.archive.reading import Archives
    from monitor.config import Config
    from monitor.store import Store


@click.command()
@click.argument("team", required=False, shell_complete=TEAMS)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day to stand on (UTC); today by default.")
@click.option("--attention", is_flag=True, help="Instead: voices, press articles, reposts and distinct stories.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw 28 days too, as .png or .svg.")
@output
@click.pass_context
def show(ctx: click.Context, team: str | None, day: dt.datetime | None, attention: bool, chart: Path | None, form: str | None) -> None:
    """All teams: today, seven days, change, n, interval, trend. With TEAM: its days, sources and alerts."""
    from monitor import show as tables
    from monitor.store import Store

    if chart and attention:
        raise InputError("--chart draws sentiment: leave out --attention")
    config = loaded(ctx, quiet=form is not None)
    with Store(config.database, read_only=True) as store:
        on = _on(day, store)
        if chart:
            _draw(store, config, team_id(config, team) if team else None, on, chart)
        if attention:
            counts = tables.attention(store, config, on, team_id(config, team), days=28) if team else tables.attention(store, config, on)
            emit(counts, form, lambda: tables.attention_table(counts, on, archives=bool(store.archives())))
        elif team is None:
            rows = tables.overview(store, config, on)
            emit(rows, form, lambda: tables.overview_table(rows, on, store.firing(on), config.privacy.rotate_keys))
        else:
            days = tables.team_days(store, config, team_id(config, team), on)
            emit(days, form, lambda: tables.team_view(store, config, team_id(config, team), days))


def _on(day: dt.datetime | None, store: Store) -> dt.date:
    """The day that --day names, else today, or the store's last one once that is long past, which is said."""
    if day is None:
        return day_shown(store)
    if not 1980 <= day.year <= 9000:
        raise InputError(f"--day {day:%Y-%m-%d} is no day on which a forum could have been read: write one such as 2026-01-31")
    return day.date()


def _draw(store: Store, config: Config, team: str | None, day: dt.date, path: Path) -> None:
    """Write the chart of a team, or of those that most people spoke of."""
    from monitor import charts
    from monitor import show as tables

    first = day - dt.timedelta(days=27)
    if team:
        days, teams = tables.team_days(store, config, team, day, 28), [team]
    else:
        rows = {each.id: store.daily(each.id, first.isoformat(), day.isoformat()) for each in config.teams}
        teams = sorted((each for each in rows if rows[each]), key=lambda each: -sum(row["authors"] for row in rows[each]))[
            : charts.MOST_TEAMS
        ]
        days = [row for each in teams for row in rows[each]]
    names = {each.id: each.name for each in config.teams if each.id in teams}
    alerts = [row for each in teams for row in store.team_alerts(each, 50) if first.isoformat() <= row["day"] <= day.isoformat()]
    title = (
        f"Sentiment toward {' and '.join(names.values()) if len(names) < 3 else f'{len(names)} teams'}, 28 days to {day:%-d %B %Y} (UTC)"
    )
    try:
        charts.save(charts.trend_chart(days, names, title, alerts, span=(first, day)), path)
    except OSError as error:
        raise unwritable(path, error) from None


@click.command()
@click.argument("team", shell_complete=TEAMS)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day to explain (UTC); today by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def explain(ctx: click.Context, team: str, day: dt.datetime | None, as_json: bool) -> None:
    """What moved the figure of TEAM on a day: sources, mood or mix, threads, words, posts, and whether it hangs on one person or thread."""
    from monitor import explained
    from monitor.store import Store

    config = loaded(ctx, quiet=as_json)
    with Store(config.database, read_only=True) as store:
        told = explained.explained(store, config, team_id(config, team), _on(day, store))
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=2, default=str))
    else:
        printed(explained.explained_view(told))


@click.command()
@click.argument("team", shell_complete=TEAMS)
@click.option("--days", type=click.IntRange(1, 36_500), default=7, show_default=True, help="How far back.")
@click.option("--label", type=click.Choice(["negative", "neutral", "positive"]))
@click.option("--source", metavar="NAME", shell_complete=SOURCES, help="One source only.")
@click.option("--search", metavar="WORDS", help="Posts that hold all of these words.")
@click.option("--limit", default=50, show_default=True, help="At most so many, the newest.")
@output
@click.pass_context
def posts(
    ctx: click.Context, team: str, days: int, label: str | None, source: str | None, search: str | None, limit: int, form: str | None
) -> None:
    """The posts about TEAM behind the figures, newest first; of archives those that the store does not hold."""
    from monitor import show as tables
    from monitor.archive import behind
    from monitor.store import Store, Wanted

    config = loaded(ctx, quiet=form is not None)
    with Store(config.database, read_only=True) as store:
        since, id_ = _on(None, store) - dt.timedelta(days=days - 1), team_id(config, team)
        rows = store.posts(id_, since=since, label=label, source=source, search=search, limit=limit)
        if store.archives():
            wanted = Wanted(since, label=label, source=source, words=search or "")
            found = behind.beside(store, config, id_, wanted, rows, limit)
            rows = found.posts
            for name, why in found.unread.items():
                click.echo(f"Posts of the archive {name} are left out: {why}", err=True)
    emit(rows, form, lambda: tables.posts_table(rows))


@click.command()
@click.argument("sql", required=False)
@click.option("--tables", is_flag=True, help="List tables, views and columns with what they mean.")
@click.option("--archive", is_flag=True, help="Ask the archives of the store instead, post by post: tables posts, figures and evidence.")
@click.option("--at", metavar="PLACE", help="Ask what archives lie in this folder or at this address, in the store or not.")
@click.option("--limit", type=click.IntRange(1), default=10_000, show_default=True, help="At most so many rows.")
@output
@click.pass_context
def query(ctx: click.Context, sql: str | None, tables: bool, archive: bool, at: str | None, limit: int, form: str | None) -> None:
    """Ask the store in SQL, read-only. Stable views: v_daily, v_posts, v_alerts, v_coverage, v_corrections, v_reviews."""
    from monitor import show as shown

    config = loaded(ctx, quiet=form is not None)
    if not sql and not tables:
        example = "SELECT day, team, mean FROM figures LIMIT 20" if archive or at else "SELECT * FROM v_daily ORDER BY day DESC LIMIT 20"
        raise InputError(f'write a query, such as forum-monitor query {"--archive " if archive or at else ""}"{example}", or --tables')
    with _asked(config, archive, at) as asked:
        rows = asked.describe() if tables or not sql else asked.query(sql, limit + 1)
    if not tables and len(rows) > limit:
        rows = rows[:limit]
        click.echo(f"Only the first {limit} rows: --limit gives more.", err=True)
    emit(rows, form, lambda: shown.plain_table(rows))


def _asked(config: Config, archive: bool, at: str | None) -> Store | Archives:
    """What a query is put to."""
    from monitor.store import Store

    if not archive and at is None:
        return Store(config.database, read_only=True)
    from monitor.archive.reading import Archives, Lying, lying_at

    if at is not None:
        return Archives(lying_at(at), min_authors=config.privacy.min_authors)
    with Store(config.database, read_only=True) as store:
        found = [Lying.of(each) for each in store.archives()]
    if not found:
        raise InputError("the store has no archive: `forum-monitor backfill` makes one, and --at PLACE asks one that lies elsewhere")
    return Archives(found, min_authors=config.privacy.min_authors)
