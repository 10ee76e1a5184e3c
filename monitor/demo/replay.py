"""`forum-monitor demo`: January 2025 again, day by day, on this machine alone.

A real HTTP forum of ours stands on loopback with about 400 posts in English, French and Chinese, written for this.
The same spiders, model, trends, rules and outbox as in `forum-monitor run` work on it; only the clock is replayed.
Nothing is prepared: delete a post of the demo, and the figures change.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from rich.console import Console

from monitor import clock, show
from monitor.alert import alert
from monitor.charts import save_png, trend_chart
from monitor.config import Config, Target, load, shipped
from monitor.daemon import command
from monitor.deliver import deliver
from monitor.demo.forum import DemoForum, load_posts
from monitor.errors import InputError, MonitorError
from monitor.messages import Message
from monitor.sentiment import Scorer, load_scorer
from monitor.store import Store
from monitor.trend import trend
from monitor.understand import understand
from monitor.weeks import settle

CALM_UNTIL = dt.date(2025, 1, 20)
"""The days up to this one are read in one round; from then on one round a day."""

LAST_DAY = dt.date(2025, 1, 31)
TEAMS = ("meta-genai", "deepseek")
_CONTACT = "demo on loopback"  # by which a folder is known to hold a demo


def replay(folder: Path | None, *, pause: float = 0.0) -> None:
    """Run the demo and leave config.yaml, monitor.db and trend.png in `folder` (else a new temporary one).

    `pause` is the time in seconds to wait after each day, for the person who reads along.
    """
    begun = time.monotonic()
    console = Console(width=None if os.isatty(1) else 150, soft_wrap=not os.isatty(1), highlight=False)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="forum-monitor-demo-"))
    _clear(folder)
    posts = load_posts()
    with DemoForum(posts) as forum:
        config = _configure(folder, forum)
        languages = ", ".join(f"{sum(post.lang == language for post in posts)} {name}" for language, name in _LANGUAGES.items())
        console.print(f"A forum of our own stands on loopback with {len(posts)} posts ({languages}), written for this demo.")
        console.print(
            f"It is crawled over HTTP at {forum.discourse_url} (Discourse's API) and {forum.hackernews_api} (Hacker News' API).\n"
        )
        messages: list[tuple[dt.date, Message]] = []
        with Store(config.database) as store:
            scorer = load_scorer(config.scorer)
            day = CALM_UNTIL
            while day <= LAST_DAY:
                forum.now = dt.datetime.combine(day, dt.time(23, 30), dt.UTC)
                told = _round(store, config, forum.now, scorer)
                _say(console, store, config, day, told)
                messages += [(day, message) for message in told]
                day += dt.timedelta(days=1)
                time.sleep(pause)
            console.print()
            rows = show.overview(store, config, LAST_DAY)
            console.print(show.overview_table(rows, LAST_DAY, store.firing(LAST_DAY)))
            for on, message in messages:
                console.print(f"\nThe alert of {on:%-d %B}, as it would be mailed:\n", style="bold")
                console.print(f"Subject: {message.title}\n\n{message.body}", markup=False)
            chart = folder / "trend.png"
            _draw(store, config, chart)
    console.print(f"\nDone in {time.monotonic() - begun:.0f} s. It is left in {folder}, with a chart, {chart.name}. Look further:\n")
    for what, words in _FURTHER.items():
        console.print(f"  {what:<14} forum-monitor --config {shlex.quote(str(config.path))} {words}")
    console.print("\nFor real forums: `forum-monitor init`, which asks a few questions.")


_FURTHER = {
    "in the browser": "web --open",
    "what moved it": "explain meta-genai --day 2025-01-23",
    "the posts": "posts meta-genai --label negative",
    "your own SQL": "query --tables",
}
"""What to type after the demo."""

_LANGUAGES = {"en": "English", "fr": "French", "zh": "Chinese"}


def _clear(folder: Path) -> None:
    """Make the folder, and take an earlier demo out of it. InputError when it holds anything else: that may be the user's own."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "config.yaml"
    if any(folder.iterdir()) and not (settings.is_file() and _CONTACT in settings.read_text("utf-8", "replace")):
        raise InputError(f"{folder} is not empty and holds no earlier demo: name an empty or new folder")
    for old in folder.glob("monitor.db*"):
        old.unlink()


def _configure(folder: Path, forum: DemoForum) -> Config:
    """The shipped teams and rules, with the forum's two addresses as sources."""
    settings = yaml.safe_load(shipped())
    terms = {"read_on": "2025-01-10", "by": "us", "allows": "everything: the forum is our own", "note": "on this machine only"}
    options = {"first_days": 30}
    hackernews = {"api": forum.hackernews_api, "items": forum.hackernews_items, "site": f"{forum.hackernews_items}/item/"}
    settings |= {
        "database": "monitor.db",
        "contact": _CONTACT,
        "sources": [
            {"name": "employee-forum", "type": "discourse", "delay": 0, "terms": terms, "options": options | {"url": forum.discourse_url}},
            {"name": "hacker-forum", "type": "hackernews", "delay": 0, "terms": terms, "options": options | hackernews},
        ],
        "notify": {"targets": ["console"]},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), "utf-8")
    config, problems = load(path)
    if problems:
        raise MonitorError("; ".join(map(str, problems)))
    return config


def _round(store: Store, config: Config, now: dt.datetime, scorer: Scorer) -> list[Message]:
    """One round of the chain at `now`; returns the messages that went out. Crawls are child processes, as always."""
    environment = {**os.environ, clock.REPLAY: now.isoformat()}

    def crawl(name: str) -> None:
        done = subprocess.run(command(config.path, "collect", name), env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise MonitorError(f"the demo's crawl of {name} failed: {(done.stderr or done.stdout).strip()}")

    with ThreadPoolExecutor(len(config.sources)) as pool:
        list(pool.map(crawl, [source.name for source in config.sources]))
    understand(store, config.teams, scorer, now=now)
    trend(store, min_authors=config.privacy.min_authors)
    settle(store, config, now.astimezone(dt.UTC).date())
    alert(store, config, now=now)
    told: list[Message] = []

    def note(_: Target, message: Message) -> None:
        told.append(message)

    deliver(store, config, clock=lambda: now, send=note)
    return told


def _say(console: Console, store: Store, config: Config, day: dt.date, told: list[Message]) -> None:
    """A line on the round: how many posts are known, and where the two teams stand."""
    parts = []
    for team_id in TEAMS:
        team = config.team(team_id)
        rows = store.daily(team_id, day.isoformat(), day.isoformat())
        if rows and rows[0]["mean"] is not None:
            figure = f"{rows[0]['mean']:+z.2f} ({rows[0]['low']:+z.2f} to {rows[0]['high']:+z.2f}, {rows[0]['authors']} people)"
        else:
            figure = f"insufficient data ({rows[0]['authors'] if rows else 0} people)"
        parts.append(f"{team.name if team else team_id} {figure}")
    console.print(f"{day:%a %d %b}  {store.counts().split(',')[0]:>10}   {'   '.join(parts)}")
    for message in told:
        console.print(f"            ➜ {message.title}", style="bold red")


def _draw(store: Store, config: Config, path: Path) -> None:
    names = {team.id: team.name for team in config.teams if team.id in TEAMS}
    days = [row for team in names for row in store.daily(team, "2025-01-10", LAST_DAY.isoformat())]
    alerts = [row for team in names for row in store.team_alerts(team)]
    save_png(trend_chart(days, names, "January 2025, replayed: sentiment toward Meta GenAI and DeepSeek", alerts), path)
