"""What a person reads in the terminal: the table of teams, one team's days, posts. Rows first, tables from them.

The promise: no mean without its n, interval and coverage; too few voices are said in words, never as a number.
Rows are plain dictionaries whose keys are the columns of --json and --csv; figures that are withheld are None.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from monitor import context, trend
from monitor.archive.voices import heard
from monitor.config import Config
from monitor.digest import change
from monitor.privacy import turns
from monitor.records import ALL, CorrectedWeek, DailyTrend
from monitor.store import Store

_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {"negative": "red", "positive": "green"}
SPARK_DAYS = 14
"""Days that a sparkline shows."""

Recent = Mapping[str, Sequence[DailyTrend | None]]
"""By team, the rows of SPARK_DAYS days."""

STALE = dt.timedelta(days=7)
"""Where nothing has been counted for longer than this, figures of today would all be empty."""


def day_shown(store: Store, today: dt.date) -> dt.date:
    """The day on which figures stand that are asked for without one: today, or the store's last day once that is older than a week."""
    last = store.last_trend()
    return last if last and last < today - STALE else today


def overview(store: Store, config: Config, day: dt.date, days: Recent | None = None) -> list[dict[str, Any]]:
    """One row per configured team on `day`: that day, the seven days up to it, the change against the seven before.

    `days` is what `recent` gives, where that was read already. `week_archived`: posts of the fourteen days are in an archive that cannot
    be read, so that only single days have figures.
    """
    least = config.privacy.min_authors
    week = dt.timedelta(days=6)
    before = day - dt.timedelta(days=7)
    said, away = heard(store, [team.id for team in config.teams], before - week, day)
    voices = [voice for _, voice in said]
    now = trend.window(voices, day - week, day, min_authors=least)
    then = trend.window(voices, before - week, before, min_authors=least)
    days = recent(store, config, day) if days is None else days
    firing = store.firing(day)
    coverage = store.coverage(day - week, day)
    rows = []
    for team in config.teams:
        one, seven, old = days[team.id][-1], now.get(team.id), then.get(team.id)
        moved, low, high = changed(seven, old)
        rows.append(
            {
                "team": team.id,
                "name": team.name,
                "day": day.isoformat(),
                **_figures("today", one),
                **_figures("week", seven),
                "change": moved,
                "change_low": low,
                "change_high": high,
                "week_coverage": coverage,
                "week_archived": team.id in away,
                "min_authors": least,
                "sparkline": sparkline([row.mean if row else None for row in days[team.id]]),
                "alert": ", ".join(alert["rule"] for alert in firing if alert["team"] == team.id) or None,
            }
        )
    return sorted(rows, key=lambda row: (-row["week_authors"], row["team"]))


def recent(store: Store, config: Config, day: dt.date) -> Recent:
    """Of each configured team, the stored rows of the SPARK_DAYS days up to `day`, oldest first; None: nobody spoke."""
    first = day - dt.timedelta(days=SPARK_DAYS - 1)
    known = {(row.team, row.day): row for row in store.trends(source=ALL, model=store.model, since=first)}
    return {team.id: [known.get((team.id, first + dt.timedelta(days=n))) for n in range(SPARK_DAYS)] for team in config.teams}


def changed(now: DailyTrend | None, then: DailyTrend | None, days: int = 7) -> tuple[float | None, float | None, float | None]:
    """The difference of the means of two spans of `days` days and its 95 % interval (digest.change); None where one is insufficient."""
    found = change(now, then, days) if now and then else None
    return (found.value, found.low, found.high) if found else (None, None, None)


def _figures(name: str, row: DailyTrend | None) -> dict[str, Any]:
    return {
        f"{name}_mean": row.mean if row else None,
        f"{name}_low": row.low if row else None,
        f"{name}_high": row.high if row else None,
        f"{name}_authors": row.authors if row else 0,
        f"{name}_posts": row.posts if row else 0,
    }


def sparkline(values: Sequence[float | None]) -> str:
    """Means in [-1, 1] as blocks, lowest to highest; a day with insufficient data is a dot."""
    return "".join("·" if value is None else _BLOCKS[min(7, int((value + 1) * 4))] for value in values)


def overview_table(
    rows: Sequence[Mapping[str, Any]], day: dt.date, firing: Sequence[Mapping[str, Any]] = (), rotate_keys: int | None = None
) -> Any:
    """`overview` as a table for the terminal; of `firing` alerts (Store.firing) those on whole sources stand below it."""
    table = Table(title=f"Sentiment toward AI teams, {day:%-d %B %Y} (UTC)", title_justify="left", header_style="bold")
    for header, justify in (
        ("team", "left"), ("today", "right"), ("people", "right"), ("7 days", "right"), ("95 % interval", "right"),
        ("people", "right"), ("posts", "right"), ("change", "right"), (f"{SPARK_DAYS} days", "left"), ("alert", "left"),
    ):  # fmt: skip
        table.add_column(header, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    silent = []
    for row in rows:
        if not row["week_posts"] and not row["week_archived"]:
            silent.append(row["name"])
            continue
        interval = f"{row['week_low']:+z.2f} to {row['week_high']:+z.2f}" if row["week_low"] is not None else ""
        missing, counts = "insufficient", [str(row["week_authors"]), str(row["week_posts"])]
        if row["week_archived"]:
            missing, counts = "in an archive", ["", ""]
        table.add_row(
            row["name"], _mean(row["today_mean"]), str(row["today_authors"]), _mean(row["week_mean"], missing), interval, *counts,
            _mean(row["change"], missing=""), row["sparkline"], Text(row["alert"] or "", style="bold red"),
        )  # fmt: skip
    coverage = rows[0]["week_coverage"] if rows else None
    least = rows[0]["min_authors"] if rows else 0
    notes = [
        f"Means lie between -1 and +1, one voice per person. “insufficient”: fewer than {least} people, so no figure.",
        "Coverage of the seven days: "
        + (f"{coverage:.0%} of the source days were read." if coverage is not None else "unknown, nothing was crawled."),
    ]
    notes += [f"Alert {alert['rule']} on {alert['source']}: {alert['reason']}" for alert in firing if alert["team"] == ALL]
    if turns(day - dt.timedelta(days=6), day, rotate_keys):
        notes.append("Author keys turned within these days: who wrote before and after counts as two people.")
    if archived := [row["name"] for row in rows if row["week_archived"]]:
        notes.append(f"Posts on {', '.join(archived)} are in an archive that cannot be read: each day has its figures, the week has none.")
    if silent:
        notes.append(f"Not named in these seven days: {', '.join(silent)}.")
    if len(silent) == len(rows):
        return Text("No team was named in these seven days. `forum-monitor doctor` says whether the sources were reached.")
    return Group(table, *(Text(note, style="dim") for note in notes))


def _mean(value: float | None, missing: str = "insufficient") -> Text:
    if value is None:
        return Text(missing, style="dim")
    return Text(f"{value:+z.2f}", style="red" if value <= -0.2 else "green" if value >= 0.2 else "")


def team_days(store: Store, config: Config, team: str, day: dt.date, days: int = 28) -> list[dict[str, Any]]:
    """The last `days` days of a team, all sources, newest first, with coverage and context; days without a post have no row.

    `share_of_voice` in [0, 1] is among the configured teams, `usual` the mean and `usual_authors` the people a day that were
    usual then. `change_point` is how far the level moved on the first day of a new one, else None (monitor/context.py). Each has
    the corrected figures of the week that it ends (`week_...`), and what the model says of the same people.
    """
    since = day - dt.timedelta(days=days - 1)
    begin = min(day - context.HISTORY, since - context.BASELINE)
    series = [row for row in store.trends(team=team, source=ALL, model=store.model, since=begin) if row.day <= day]
    known = [row for each in config.teams for row in store.trends(team=each.id, source=ALL, model=store.model, since=since)]
    shares = context.shares_of_voice(known, [each.id for each in config.teams])
    points = {point.day: point.after - point.before for point in context.change_points(series)}
    rows = store.daily(team, since.isoformat(), day.isoformat())
    weeks = {week.day.isoformat(): week for week in store.corrected_weeks(store.model, since, day, team)}
    found = []
    for row in rows:
        on = dt.date.fromisoformat(row["day"])
        usual = context.usual(context.history(series, on), on)
        found.append(
            {
                **row,
                "share_of_voice": shares.get((on, team)),
                "usual": usual.mean if usual else None,
                "usual_authors": usual.authors if usual else None,
                "change_point": points.get(on),
                **_week(weeks.get(row["day"])),
            }
        )
    return found


def _week(found: CorrectedWeek | None) -> dict[str, Any]:
    columns = {
        "authors": "authors", "model_mean": "model_mean", "model_negative_share": "model_negative_share", "corrected_by": "method",
        "read": "read", "readers": "readers", "corrected_mean": "mean", "corrected_mean_low": "low", "corrected_mean_high": "high",
        "corrected_negative_share": "negative_share", "corrected_negative_share_low": "negative_low",
        "corrected_negative_share_high": "negative_high",
    }  # fmt: skip
    return {f"week_{column}": getattr(found, name, None) for column, name in columns.items()}


def team_view(store: Store, config: Config, team_id: str, days: Sequence[Mapping[str, Any]]) -> Any:
    """`team_days` as a table, with the team's alerts below it."""
    team = config.team(team_id)
    table = Table(title=f"{team.name if team else team_id}, all sources, days in UTC", title_justify="left", header_style="bold")
    for header in (
        "day",
        "mean",
        "95 % interval",
        "people",
        "posts",
        "threads",
        "negative",
        "neutral",
        "positive",
        "usual",
        "of voice",
        "coverage",
    ):
        table.add_column(header, justify="left" if header == "day" else "right", no_wrap=True)
    for row in days:
        known = row["mean"] is not None
        shares = [f"{row[name]:.0%}" if known else "" for name in ("negative_share", "neutral_share", "positive_share")]
        interval = f"{row['low']:+z.2f} to {row['high']:+z.2f}" if known else ""
        context_of = ("" if row[name] is None else f"{row[name]:.0%}" for name in ("share_of_voice", "coverage"))
        table.add_row(
            row["day"], _mean(row["mean"]), interval, str(row["authors"]), str(row["posts"]), str(row["threads"]), *shares,
            _mean(row["usual"], missing=""), *context_of,
        )  # fmt: skip
    parts: list[Any] = [table]
    parts += [
        Text(f"From {row['day']} on the level is another than before, by {row['change_point']:+z.2f}.")
        for row in days
        if row["change_point"] is not None
    ]
    for alert in store.team_alerts(team_id):
        over = f", over since {alert['resolved_day']}" if alert["resolved_day"] else ""
        parts.append(
            Text(f"{alert['state']}: {alert['rule']} on {alert['day']}{over}. {alert['reason']}", style="" if over else "bold red")
        )
        if alert["why"]:
            parts.append(Text(alert["why"], style="dim"))
    if days:
        first, last = (dt.date.fromisoformat(row["day"]) for row in (days[-1], days[0]))
        if archived := sorted(day for day, _ in store.archived_pairs(first, last, team=team_id)):
            span = f"{len(archived)} of these days, {archived[0]} to {archived[-1]},"
            parts.append(Text(f"Posts of {span} are in an archive: `posts` and `query --archive` show them.", style="dim"))
    if days and days[0]["week_corrected_by"]:
        parts.insert(1, _week_text(days[0]))
    return Group(*parts) if days else Group(Text(f"Nothing is known of {team_id} in these days.", style="dim"), *parts[1:])


def _week_text(row: Mapping[str, Any]) -> Text:
    """The corrected figures of the week that a day ends, beside the model's own."""
    by = f"by a random sample of {row['week_read']} posts, read by {row['week_readers']}"
    if row["week_corrected_by"] == "confusion":
        by = "by what the model mistakes on held-out posts (weaker than a sample: `forum-monitor review` draws one)"
    text = Text(f"\nSeven days to {row['day']}, {row['week_authors']} people, corrected {by}:")
    text.append(f"\n  mean      model {row['week_model_mean']:+z.2f}, corrected {row['week_corrected_mean']:+z.2f}")
    text.append(f" (95 % interval {row['week_corrected_mean_low']:+z.2f} to {row['week_corrected_mean_high']:+z.2f})")
    text.append(f"\n  negative  model {row['week_model_negative_share']:.0%}, corrected {row['week_corrected_negative_share']:.0%}")
    text.append(f" ({row['week_corrected_negative_share_low']:.0%} to {row['week_corrected_negative_share_high']:.0%})\n")
    return text


def attention(store: Store, config: Config, day: dt.date, team: str | None = None, days: int = 7) -> list[dict[str, Any]]:
    """How much was said of teams and how much of it was passed on, over the `days` up to `day`: a row per configured team.

    With `team` a row for each of its days on which anything was, newest first. `voices` are people with words of their own, `articles`
    and `reposts` are posts, `stories` are what these two are about: those that go back to one post are one.
    """
    first = day - dt.timedelta(days=days - 1)
    found: dict[tuple[str, str], list[tuple[str, str, int]]] = defaultdict(list)
    for on, of, what, voice, story in store.attention(first, day):
        found[of, on if team else ""].append((what, voice, story))
    if team:
        return [{"team": team, "day": on, **_attention(found[of, on])} for of, on in sorted(found, reverse=True) if of == team]
    span = {"first_day": first.isoformat(), "last_day": day.isoformat()}
    rows = [{"team": each.id, "name": each.name, **span, **_attention(found[each.id, ""])} for each in config.teams]
    return sorted(rows, key=lambda row: (-row["articles"] - row["reposts"], -row["voices"], row["team"]))


def _attention(posts: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    passed_on = [(what, story) for what, _, story in posts if what != "voice"]
    return {
        "voices": len({voice for what, voice, _ in posts if what == "voice"}),
        "articles": sum(what == "article" for what, _ in passed_on),
        "reposts": sum(what == "repost" for what, _ in passed_on),
        "stories": len({story for _, story in passed_on}),
    }


def attention_table(rows: Sequence[Mapping[str, Any]], day: dt.date, *, archives: bool = False) -> Any:
    """`attention` as a table: of all teams, or of one team's days. `archives`: whether there are any, whose posts are not counted."""
    of_days = bool(rows) and "day" in rows[0]
    spoken = [row for row in rows if row["voices"] or row["articles"] or row["reposts"]]
    if not spoken:
        beside = " Posts in archives are not counted here." if archives else ""
        return Text(f"No team was named in these days.{beside}", style="dim")
    title = f"Attention to {rows[0]['team']}, days in UTC" if of_days else f"Attention, seven days to {day:%-d %B %Y} (UTC)"
    table = Table(title=title, title_justify="left", header_style="bold")
    for header in ("day" if of_days else "team", "voices", "press articles", "reposts", "stories"):
        table.add_column(header, justify="left" if header in ("day", "team") else "right", no_wrap=True)
    for row in spoken:
        counts = (str(row[name]) for name in ("voices", "articles", "reposts", "stories"))
        table.add_row(row["day"] if of_days else row["name"], *counts)
    note = "Only voices are in the sentiment figures. Articles and reposts that go back to one post, or quote one passage, are one story."
    return Group(table, Text(note, style="dim"))


def posts_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Posts, each with its number, its link and what the model, or a person who corrected it, made of it."""
    if not rows:
        return Text("No such posts. Try more --days, or another --search.", style="dim")
    parts: list[Any] = []
    for row in rows:
        number = f"#{row['id']}" if row["id"] else f"archive {row['archive']}"
        head = Text(f"{row['posted_at'][:16].replace('T', ' ')}  {number}  {row['source']}  ")
        figure = "(corrected)" if row["corrected"] else f"{row['value']:+z.2f}"
        head.append(f"{row['label']} {figure}", style=_STYLES.get(row["label"], ""))
        head.append(f"  {row['url']}", style="dim")
        kept = row["text"] or row["id"]
        parts += [head, Text("    " + " ".join(row["text"].split())[:400]) if kept else Text("    (its words are not kept)", style="dim")]
    return Group(*parts)


def corrections_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """What people say of posts, beside what the model that is shown says."""
    if not rows:
        return Text("No corrections. `forum-monitor correct POST TEAM LABEL` makes one.", style="dim")
    table = Table(title="Corrections, newest first", title_justify="left", header_style="bold")
    for header in ("post", "posted", "source", "team", "the model", "corrected to", "note"):
        table.add_column(header, justify="right" if header == "post" else "left", no_wrap=header != "note")
    for row in rows:
        model = "no score" if row["model_label"] is None else f"{row['model_label']} {row['model_value']:+z.2f}"
        label = Text(row["label"], style=_STYLES.get(row["label"], ""))
        if row["lapsed"]:
            label.append(" (lapsed: reworded since)", style="dim")
        elif row["drawn"]:
            label.append(" (drawn)", style="dim")
        table.add_row(f"#{row['id']}", row["posted_at"][:10], row["source"], row["team"], model, label, row["note"] or "")
    return table


def failed_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Messages that were given up, each with the ID by which it is sent again."""
    if not rows:
        return Text("No message was given up.", style="dim")
    table = Table(title="Messages given up", title_justify="left", header_style="bold")
    for header in ("ID", "target", "alert", "team", "day", "attempts", "why"):
        table.add_column(header, justify="right" if header in ("ID", "attempts") else "left", no_wrap=header != "why", overflow="fold")
    for row in rows:
        told = (row["id"], row["target"], f"{row['rule']}, {row['state']}", row["team"], row["day"], row["attempts"], row["error"] or "")
        table.add_row(*(Text(str(word)) for word in told))
    return Group(table, Text("`forum-monitor deliver --retry` sends all of them again, `--retry ID` one.", style="dim"))


def silences_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Silences, each with the ID by which it is ended."""
    if not rows:
        return Text("Nothing is silenced.", style="dim")
    table = Table(title="Silences", title_justify="left", header_style="bold")
    for header in ("ID", "rule", "team", "source", "until", "why"):
        table.add_column(header, justify="right" if header == "ID" else "left", no_wrap=header != "why", overflow="fold")
    for row in rows:
        until = f"{row['ends_at'][:10]} {row['ends_at'][11:16]} UTC"
        table.add_row(*(Text(str(word)) for word in (row["id"], row["rule"], row["team"], row["source"], until, row["reason"])))
    return Group(table, Text("`*`: any. `forum-monitor silence --end ID` ends one.", style="dim"))


def plain_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Any rows as a table."""
    if not rows:
        return Text("No rows.", style="dim")
    table = Table(header_style="bold")
    for name in rows[0]:
        table.add_column(str(name), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    return table
