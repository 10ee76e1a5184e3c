"""What was not read is not taken for what was not said: days wait for their posts, begin no alert and end none."""

from __future__ import annotations

import datetime as dt

import pytest
from test_alert import DROP, MODEL, TERMS, alert, calm, day, evening, events, morning, say, state, understood, watch

from monitor.config import Source
from monitor.records import DailyTrend, Post
from monitor.store import Counts, Store

FORUM = Source(name="forum", type="feed", terms=TERMS)
QUIET = {"id": "quiet", "type": "silence", "teams": []}


def crawled(store: Store, until: dt.datetime, reason: str = "finished", source: str = "forum") -> None:
    """A crawl at `until` of the three days up to it."""
    number = store.begin_crawl(source, until)
    span = (until - dt.timedelta(days=3), until) if reason == "finished" else None
    store.end_crawl(number, until, finish_reason=reason, counts=Counts(), covered=span)


def posted(store: Store, n: int, count: int = 20, source: str = "forum") -> None:
    at = dt.datetime.combine(day(n), dt.time(12), dt.UTC)
    store.save_posts([Post(source, f"{n}-{k}", "u", "words", at, at, author_key=f"{k}") for k in range(count)])


def health(store: Store) -> list[str]:
    return [row["health"] for row in store.alert_states().values() if row["rule"] != "source-stopped"]


def changes(store: Store) -> list[tuple[str, str]]:
    """(health, its reason) of each change of health."""
    sql = """SELECT "after", reason FROM alert_events WHERE "after" IN ('ok', 'no data', 'inhibited', 'error') ORDER BY id"""
    return [(row[0], row[1]) for row in store.rows(sql)]


def a_month(store: Store) -> None:
    for n in range(28):
        posted(store, n)
        crawled(store, morning(n + 1))
    understood(store)


def test_a_source_that_is_not_read_is_not_silent(fresh_store: Store) -> None:
    """A forum whose crawls fail since yesterday has not gone quiet: its day waits, with the reason kept, and is judged once it is read."""
    config = watch(QUIET, sources=[FORUM])
    a_month(fresh_store)
    alert(fresh_store, config, now=morning(28))
    crawled(fresh_store, morning(29), "failed")
    assert alert(fresh_store, config, now=morning(29)) == [] and health(fresh_store) == ["inhibited"]
    assert changes(fresh_store)[-1] == (
        "inhibited",
        "2025-01-29 waits to be judged: forum was not read to the end of that day.",
    )
    crawled(fresh_store, morning(30))
    assert [text.split(". ")[0] for text in alert(fresh_store, config, now=morning(30))] == ["forum: rule quiet is firing on 2025-01-29"]
    assert health(fresh_store) == ["ok"]


def test_a_day_that_is_never_read_is_one_without_data(fresh_store: Store) -> None:
    """After two days of waiting the rounds go on without it; it begins no alert, and the failure is one of its own."""
    config = watch(QUIET, sources=[FORUM])
    a_month(fresh_store)
    told = []
    for n in range(28, 36):
        crawled(fresh_store, morning(n + 1), "failed")
        told += alert(fresh_store, config, now=morning(n + 1))
    assert [text.split(" is ")[0] for text in told] == ["forum: rule source-stopped"]
    row = next(row for key, row in fresh_store.alert_states().items() if key[0] == "quiet")
    assert (row["state"], row["health"], row["checked_day"]) == ("normal", "inhibited", day(33).isoformat())


def test_a_figure_rests_on_a_source_that_gave_much_of_it(fresh_store: Store) -> None:
    """A fall over all sources is not told while a source that gives half of the posts is unread; one that gives little changes nothing."""
    big, small = (Source(name=name, type="feed", terms=TERMS) for name in ("big", "small"))
    config = watch(DROP, sources=[big, small])
    shares = [DailyTrend(day(n), "meta", name, MODEL, posts, 9, 9, False) for n in range(28) for name, posts in (("big", 90), ("small", 9))]
    for unread, fires in (("small", True), ("big", False)):
        with Store(fresh_store.path.with_name(f"{unread}.db")) as store:
            say(store, {**calm(28), 28: -0.6})
            rows = [*store.trends(model=MODEL), *shares]
            store.replace_trends({(row.day.isoformat(), "meta"): 1 for row in rows}, rows)
            for name in ("big", "small"):
                crawled(store, morning(28), source=name)
                crawled(store, morning(29), "failed" if name == unread else "finished", source=name)
            assert bool(alert(store, config, now=morning(29))) == fires
            assert bool(alert(store, config, now=evening(29))) is False


def test_posts_that_wait_for_the_model_hold_the_day(fresh_store: Store) -> None:
    """With a tenth of the day's posts unread nothing is judged of teams; after a day that is an alert; read, the fall is told."""
    config = watch({**DROP, "source": "forum"}, sources=[FORUM])
    say(fresh_store, {**calm(28), 28: -0.6})
    a_month(fresh_store)
    rows = [
        DailyTrend(**{**{name: getattr(row, name) for name in row.__slots__}, "source": "forum"}) for row in fresh_store.trends(model=MODEL)
    ]
    fresh_store.replace_trends({(row.day.isoformat(), "meta"): 1 for row in rows}, rows)
    posted(fresh_store, 28, 200)
    crawled(fresh_store, morning(29))
    assert alert(fresh_store, config, now=morning(29)) == []
    assert changes(fresh_store)[-1][1] == "2025-01-29 waits to be judged: 200 of 200 posts of forum wait to be understood."
    crawled(fresh_store, morning(30))
    told = alert(fresh_store, config, now=morning(30))
    assert len(told) == 1 and told[0].startswith("All sources: rule posts-unread is firing on 2025-01-31. 200 posts of the last 7 days")
    understood(fresh_store)
    told = alert(fresh_store, config, now=morning(30) + dt.timedelta(hours=1))
    assert [text.split(" on ")[0] for text in told] == ["All sources: rule posts-unread is resolved", "Meta in forum: rule fall is firing"]


def test_what_is_not_read_ends_no_alert(fresh_store: Store) -> None:
    """A fall that fires goes on firing while its source is unread, whatever the few posts that are there say."""
    config = watch(DROP, sources=[FORUM])
    forum = [DailyTrend(day(n), "meta", "forum", MODEL, 30, 9, 9, False) for n in range(29)]
    say(fresh_store, {**calm(28), 28: -0.6})
    rows = [*fresh_store.trends(model=MODEL), *forum]
    fresh_store.replace_trends({(row.day.isoformat(), "meta"): 1 for row in rows}, rows)
    crawled(fresh_store, morning(29))
    assert len(alert(fresh_store, config, now=morning(29))) == 1
    for n in range(29, 36):
        say(fresh_store, {n: 0.1})
        crawled(fresh_store, morning(n + 1), "failed")
        alert(fresh_store, config, now=morning(n + 1))
        assert state(fresh_store) == "firing"


def test_every_change_of_state_and_health_is_kept_with_its_reason(fresh_store: Store) -> None:
    """Too few voices, a rule that fails, a recovery that breaks off: each is a row that says why; only begin and end are told."""
    config = watch({**DROP, "recover_for": 2})
    say(fresh_store, calm(28))
    for n, mean in {28: -0.6, 29: 0.1, 30: -0.6, 31: None, 32: 0.1, 33: 0.1}.items():
        say(fresh_store, {n: mean})
        alert(fresh_store, config, now=morning(n + 1))
    rows = [tuple(row) for row in fresh_store.rows('SELECT "before", "after", reason FROM alert_events ORDER BY id')]
    assert [row[:2] for row in rows] == [
        ("normal", "firing"), ("firing", "recovering"), ("recovering", "firing"), ("ok", "no data"), ("no data", "ok"),
        ("firing", "recovering"), ("recovering", "resolved"),
    ]  # fmt: skip
    assert all(row[2].endswith(".") for row in rows) and "The alert goes on" in rows[2][2] and "3 voices" in rows[3][2]
    assert [row[1] for row in events(fresh_store)] == ["firing", "resolved"]
    assert len(fresh_store.rows("SELECT * FROM deliveries")) == 2


def test_a_rule_that_fails_says_so_in_its_row_and_recovers(fresh_store: Store) -> None:
    """The series' health is error while its rule fails, and ok again by itself."""
    config = watch(DROP)
    say(fresh_store, calm(29))
    fresh_store.connection.execute("UPDATE daily_trends SET variance = 'damaged'")
    with pytest.raises(Exception, match="could not be checked"):
        alert(fresh_store, config, now=morning(29))
    assert health(fresh_store) == ["error"]
    say(fresh_store, calm(29))
    alert(fresh_store, config, now=morning(29))
    assert health(fresh_store) == ["ok"] and [row[0] for row in changes(fresh_store)] == ["error", "ok"]
