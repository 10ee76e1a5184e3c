"""Backtests: what the rules would have told, by what was known on each day, and what that says of them."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.alert import alert
from monitor.backtest import Fired, backtest, warnings
from monitor.config import Config, Rule, Source, Team, Terms
from monitor.errors import InputError
from monitor.records import Mention, Post, Score, text_hash
from monitor.store import Reading, Store
from monitor.trend import trend

FIRST = dt.date(2025, 1, 1)
MODEL = "m@1"
TEAM = {"id": "meta", "name": "Meta"}
DROP = {"id": "fall", "type": "drop", "for": 1, "confidence": 0.998}
LOW = {"id": "low", "type": "below", "threshold": -0.3}


def day(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def at(n: int, hour: int = 12) -> dt.datetime:
    return dt.datetime.combine(day(n), dt.time(hour), dt.UTC)


def watch(*rules: dict[str, Any], **settings: Any) -> Config:
    return Config(teams=(Team(**TEAM),), rules=tuple(map(Rule.model_validate, rules)), **settings)


def say(store: Store, n: int, mean: float, *, fetched: int | None = None, people: int = 20, who: str = "p", **fields: Any) -> None:
    """Posts of day `n` about meta by `people` people around `mean`, fetched on that day or on day `fetched`, and understood."""
    store.read_by("reader", MODEL)
    came = at(n if fetched is None else fetched, 13)
    ids = [f"{n}-{who}{k}" for k in range(people)]
    store.save_posts(
        Post("forum", one, "u", f"meta, said by {one}", at(n), came, thread_id=one, author_key=one.partition("-")[2], **fields)
        for one in ids
    )
    readings = []
    for k, unread in enumerate(sorted(store.unread(1000), key=lambda post: post.id)):
        value = max(-1.0, min(1.0, mean + (0.3 if k % 2 else -0.3) + 0.02 * (n % 3)))
        score = Score(MODEL, max(0.0, -value), 1 - abs(value), max(0.0, value))
        readings.append(Reading(unread.id, unread.text_hash, "en", [Mention("meta", 0, 4)], {"meta": (text_hash(unread.text), score)}))
    store.save_readings(readings, model=MODEL, at=came)


def crawled(store: Store, n: int = 0) -> None:
    """The source is crawled from day `n` on."""
    store.begin_crawl("forum", at(n, 0))


def replayed(store: Store, config: Config, until: int, **settings: Any) -> dict[str, Any]:
    trend(store, min_authors=5)
    return backtest(store, config, now=at(until, 6), **settings)


def fired(told: dict[str, Any]) -> list[tuple[str, dt.date, dt.date | None]]:
    return [(row["rule"], row["day"], row["ended"]) for row in told["alerts"]]


def test_it_tells_what_the_days_told(fresh_store: Store) -> None:
    """Days lived through with a round each morning, late posts among them, and the same days replayed: the same alerts, word for word."""
    config = watch(DROP, LOW, {"id": "slow", "type": "shift"}, {"id": "many", "type": "spike", "min_authors": 10})
    crawled(fresh_store)
    for n in range(26):
        say(fresh_store, n, -0.5 if 14 <= n < 19 else 0.1, people=70 if n == 23 else 20)
        if n in (13, 17, 22):
            say(fresh_store, n - 2, 0.9, fetched=n, people=12, who="late")
        trend(fresh_store, min_authors=5)
        alert(fresh_store, config, now=at(n + 1, 6))
    lived = fresh_store.rows("SELECT rule, day, resolved_day, reason FROM alerts ORDER BY day, rule")
    told = replayed(fresh_store, config, 26)
    assert {row["rule"] for row in told["alerts"]} == {"fall", "low", "slow", "many"}
    found = [(row["rule"], str(row["day"]), str(row["ended"]) if row["ended"] else None, row["reason"]) for row in told["alerts"]]
    # Beside the reason, a living alert names the others that the same turn set off.
    assert found == [(rule, day, ended, reason.partition(" The same turn")[0]) for rule, day, ended, reason in lived]


def test_rules_together_tell_what_each_tells_alone(fresh_store: Store) -> None:
    """Rules that watch the same days, and are judged on them in turn, fire on the days on which each fires by itself."""
    rules = [LOW, {"id": "slow", "type": "shift"}, {"id": "up", "type": "shift", "direction": "up", "recover_for": 1}]
    for n in range(30):
        say(fresh_store, n, -0.6 if 14 <= n < 20 else 0.7 if n > 24 else 0.1)
    config = watch(*rules)
    told = replayed(fresh_store, config, 30)
    alone = [backtest(fresh_store, config, now=at(30, 6), rules=[str(rule["id"])]) for rule in rules]
    assert told["rules"] == [row for one in alone for row in one["rules"]] and {row["rule"] for row in told["alerts"]} == {
        "low",
        "slow",
        "up",
    }
    assert sorted(fired(told)) == sorted(row for one in alone for row in fired(one))


def test_a_post_counts_from_when_it_was_fetched(fresh_store: Store) -> None:
    """A bad day whose posts all came three days later made no alert that morning, though its figure is bad now."""
    crawled(fresh_store)
    for n in range(12):
        say(fresh_store, n, 0.1, fetched=None)
    say(fresh_store, 13, 0.1)
    say(fresh_store, 12, -0.8, fetched=15)
    told = replayed(fresh_store, watch(LOW), 20)
    assert fired(told) == []
    assert fresh_store.trends(team="meta", source="*", model=MODEL, since=day(12))[0].mean == pytest.approx(-0.8, abs=0.15)


def test_an_archive_counts_from_when_it_was_written(fresh_store: Store) -> None:
    """What was imported, and what a source's first crawl found written already, is replayed as if read each day; that is said."""
    say(fresh_store, 5, -0.8, fetched=300, kind="import")
    crawled(fresh_store, 300)
    say(fresh_store, 9, -0.8, fetched=300, who="q")
    told = replayed(fresh_store, watch(LOW), 20)
    assert [row["day"] for row in told["alerts"]] == [day(5)]
    assert "Imported ones" in " ".join(told["caveats"])


def test_an_edit_does_not_make_a_post_late(fresh_store: Store) -> None:
    """A post that was reworded weeks later was there all the time, with what it says now."""
    crawled(fresh_store)
    say(fresh_store, 5, -0.8)
    say(fresh_store, 6, 0.1)
    fresh_store.save_posts([Post("forum", "5-p0", "u", "meta, in other words", at(5), at(30), thread_id="5-p0", author_key="p0")])
    assert fresh_store.late_posts() == []


def test_a_source_that_could_not_be_read_was_silent(fresh_store: Store) -> None:
    """Posts of an outage came after it: on those days the source was silent, as the alert of then says, and it was over when they came."""
    source = Source(name="forum", type="feed", terms=Terms(read_on=FIRST, by="us", allows="all"))
    config = watch({"id": "quiet", "type": "silence", "teams": []}, sources=(source,))
    crawled(fresh_store)
    for n in [*range(15), *range(18, 24)]:
        say(fresh_store, n, 0.1)
        if n == 18:
            for missed in (15, 16, 17):
                say(fresh_store, missed, 0.1, fetched=18)
    told = replayed(fresh_store, config, 24)
    assert fired(told) == [("quiet", day(15), day(19))] and "0 posts on 2025-01-16" in told["alerts"][0]["reason"]


def test_the_summary_says_how_often_how_long_and_how_early(fresh_store: Store) -> None:
    """Two falls in thirteen months: the rate per series and year that could be judged, the median length, and the warning before a day."""
    for n in range(400):
        bad = 200 <= n < 210 or n >= 390
        say(fresh_store, n, -0.6 if bad else 0.1, people=6)
    config = watch({**LOW, "min_authors": 5, "confidence": 0.9, "threshold": -0.1})
    told = replayed(fresh_store, config, 400, warn_before=day(398))
    assert fired(told) == [("low", day(200), day(211)), ("low", day(390), None)]
    (row,) = told["rules"]
    assert (row["series"], row["alerts"], row["median_days"]) == (1, 2, 10.5)
    assert row["per_year"] == pytest.approx(2 / (400 / 365.25)) and row["firing"] == pytest.approx(21 / 400)
    assert [(one["days"], one["team"], one["told"]) for one in told["warnings"]] == [(7, "meta", day(391))]
    alerts = [Fired(**row) for row in told["alerts"]]
    assert warnings(alerts, day(391)) == [], "it was told on that very day"
    assert warnings(alerts, day(300)) == [], "the first was over long before"
    half = replayed(fresh_store, config, 400, first=day(205), last=day(300))
    assert fired(half) == [("low", day(205), day(211))] and half["rules"][0]["per_year"] is None, "96 days tell no rate"


def test_what_cannot_be_replayed_is_said(fresh_store: Store) -> None:
    """An unknown rule, no rule at all, an empty store and days to come: a sentence each."""
    off = watch({**LOW, "enabled": False})
    for settings, words in (
        ({"rules": ["lw"]}, "known are low"),
        ({}, "--rule tries one that is off"),
        ({"rules": ["low"]}, "no daily trend"),
    ):
        with pytest.raises(InputError, match=words):
            backtest(fresh_store, off, now=at(5), **settings)  # type: ignore[arg-type]
    say(fresh_store, 1, -0.8)
    assert fired(replayed(fresh_store, off, 5, rules=["low"])) == [("low", day(1), None)]
    with pytest.raises(InputError, match="no complete day"):
        backtest(fresh_store, off, now=at(5), rules=["low"], first=day(9))


def test_the_command_tries_rules_of_another_file(
    tmp_path: Path, write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """`--rules FILE` replays those in place of config.yaml's; a mistake in it is told with the file's name and nothing is replayed."""
    write_config(teams=[TEAM], rules=[{**DROP, "enabled": False}])
    with Store(tmp_path / "monitor.db") as store:
        for n in range(4):
            say(store, n, -0.8)
        trend(store, min_authors=5)
    tried = tmp_path / "tried.yaml"
    tried.write_text(json.dumps({"rules": [LOW]}), "utf-8")
    done = forum_monitor(
        "backtest", "--rules", tried, "--team", "Meta", "--warn-before", "2025-01-04", "--json", FORUM_MONITOR_NOW="2025-01-05T06:00:00Z"
    )
    told = json.loads(done.stdout)
    assert [(row["rule"], row["day"], row["told"]) for row in told["alerts"]] == [("low", "2025-01-01", "2025-01-02")], done.stderr
    assert told["warnings"][0]["days"] == 2
    shown = forum_monitor("backtest", "--rules", tried, FORUM_MONITOR_NOW="2025-01-05T06:00:00Z").stdout
    assert "Meta in *: low, told on 2025-01-02, not over after 4 days" in shown and "Posts count from when they were fetched" in shown
    tried.write_text(json.dumps({"rules": [{**LOW, "threshold": -9}]}), "utf-8")
    broken = forum_monitor("backtest", "--rules", tried)
    assert broken.returncode == 2 and "tried.yaml: 1 problem" in broken.stderr and "rules.0.threshold" in broken.stderr
