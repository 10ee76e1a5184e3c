"""A source that cannot be read any more is told of once, with why, and again when it can be read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from answers import TERMS, Answer, Site, crawl

from monitor import alert as rounds
from monitor.config import Config, Source, Target, load
from monitor.deliver import deliver
from monitor.messages import compose
from monitor.settings import Notify
from monitor.store import Counts, Store

NOON = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)
FEED = """<rss version="2.0"><channel><title>Talk</title><item><guid>urn:1</guid><link>http://f.test/1</link>
<title>Morale</title><pubDate>Thu, 30 Jan 2025 10:00:00 GMT</pubDate></item></channel></rss>"""
WALL = Answer("<html><head><title>Just a moment...</title></head><body>cf-chl-opt</body></html>", 403)


def watching(*names: str, **source: Any) -> Config:
    sources = tuple(Source(name=name, type="feed", terms=TERMS, **source) for name in names)
    return Config(sources=sources, notify=Notify(targets=(Target(url="console"),)))


def ended(store: Store, reason: str, at: dt.datetime, source: str = "s", message: str = "") -> None:
    """A crawl of a minute that ended so."""
    number = store.begin_crawl(source, at - dt.timedelta(minutes=1))
    store.end_crawl(number, at, finish_reason=reason, counts=Counts(), message=message)


def alert(store: Store, config: Config, hours: float) -> list[str]:
    """A round so many hours after noon."""
    return rounds.alert(store, config, now=NOON + dt.timedelta(hours=hours))


@pytest.mark.real
def test_a_wall_is_told_of_once_and_so_is_its_end(tmp_path: Path) -> None:
    """A site that puts up a bot wall makes one message that says what it showed and what to do; the crawl that gets through ends it."""
    with Site({"/robots.txt": Answer("User-agent: *\nDisallow:\n"), "/feed": WALL}) as forum, Store(tmp_path / "monitor.db") as store:
        options, config = {"urls": [f"{forum.url}/feed?key=secret"]}, watching("s")
        assert crawl(tmp_path, "feed", options, now="2025-01-31T12:00:00Z")["finish_reason"] == "banned"
        told = alert(store, config, 0.1)
        assert len(told) == 1 and told[0].startswith("s: rule source-stopped is firing on 2025-01-31. The crawl that ended on 31 January")
        assert "shows a bot wall" in told[0] and "sources audit s" in told[0] and "secret" not in told[0]
        assert crawl(tmp_path, "feed", options, now="2025-01-31T12:30:00Z")["finish_reason"] == "banned"
        assert alert(store, config, 0.6) == []
        due = store.due(NOON + dt.timedelta(hours=1))
        assert [one.target for one in due] == ["console"]
        message = compose(due[0].event, due[0].posts, config)
        assert message.title == "s: not read any more" and "shows a bot wall" in message.body
        forum.answers["/feed"] = Answer(FEED)
        assert crawl(tmp_path, "feed", options, now="2025-01-31T13:00:00Z")["finish_reason"] == "finished"
        told = alert(store, config, 1.1)
        assert len(told) == 1 and "source-stopped is resolved" in told[0] and "read all that was due" in told[0]
        assert alert(store, config, 1.2) == []
        assert [one.event["state"] for one in store.due(NOON + dt.timedelta(hours=2))] == ["firing", "resolved"]


def titles(store: Store, config: Config, hours: float) -> list[tuple[str, str, str]]:
    """What a delivery so many hours after noon sends: target, title, body."""
    sent: list[tuple[str, str, str]] = []
    now = NOON + dt.timedelta(hours=hours)
    deliver(store, config, clock=lambda: now, send=lambda target, message: sent.append((target.key, message.title, message.body)))
    return sent


def test_sources_that_stop_in_one_round_are_one_message(fresh_store: Store) -> None:
    """A network that is down makes one message per target, which names each source and why, and so does its end; what stops later is
    told for itself, and so is what comes back later, below the message that told of its beginning."""
    config = watching("a", "b", "c", "d")
    config = config.model_copy(update={"notify": Notify(targets=(Target(url="console"), Target(url="json://127.0.0.1:9", name="hook")))})
    for source in ("a", "b", "c"):
        ended(fresh_store, "banned", NOON, source, f"{source} shows a wall")
    ended(fresh_store, "finished", NOON, "d")
    assert len(alert(fresh_store, config, 0.1)) == 3 and alert(fresh_store, config, 0.2) == []
    [one, other] = titles(fresh_store, config, 0.3)
    assert (one[0], other[0]) == ("console", "hook") and one[1:] == other[1:]
    assert one[1] == "a, b, c: not read any more"
    assert all(f"The crawl that ended on 31 January 2025, 12:00 UTC was banned: {source} shows a wall." in one[2] for source in "abc")
    assert "\n\nb: The crawl" in one[2]
    ended(fresh_store, "banned", NOON + dt.timedelta(hours=1), "d")
    ended(fresh_store, "finished", NOON + dt.timedelta(hours=1), "b")
    alert(fresh_store, config, 1.1)
    told = [title for target, title, _ in titles(fresh_store, config, 1.2) if target == "hook"]
    assert sorted(told) == ["Resolved: b: not read any more", "d: not read any more"]
    for source in ("a", "c", "d"):
        ended(fresh_store, "finished", NOON + dt.timedelta(hours=2), source)
    alert(fresh_store, config, 2.1)
    [(_, title, body), _] = titles(fresh_store, config, 2.2)
    assert title == "Resolved: a, c, d: not read any more" and body.count("read all that was due.") == 3
    assert titles(fresh_store, config, 3) == []
    sent = {row["source"]: row["sent"] for row in fresh_store.rows("SELECT source, sent FROM v_alerts")}
    assert sent == {"a": 4, "b": 4, "c": 4, "d": 4}, "each alert counts the messages that tell of it"


def test_the_end_of_a_part_is_told_to_those_who_were_told_of_the_whole(fresh_store: Store) -> None:
    """A part's end waits behind the message that tells its beginning, answers it, and goes to its targets alone."""
    config = watching("a", "b")
    for source in ("a", "b"):
        ended(fresh_store, "banned", NOON, source)
    alert(fresh_store, config, 0.1)
    [lead] = fresh_store.due(NOON + dt.timedelta(hours=0.2))
    fresh_store.begin_delivery(lead.id)
    again = NOON + dt.timedelta(hours=5)
    fresh_store.end_delivery(lead.id, sent_at=None, error="down", again_at=again)
    ended(fresh_store, "finished", NOON + dt.timedelta(hours=1), "b")
    more = config.model_copy(update={"notify": Notify(targets=(*config.notify.targets, Target(url="json://127.0.0.1:9", name="new")))})
    alert(fresh_store, more, 1.1)
    assert fresh_store.due(NOON + dt.timedelta(hours=2)) == []
    first, second = fresh_store.due(again)
    assert (first.id, second.target, second.event["source"]) == (lead.id, "console", "b")
    whole = compose(first.event, first.posts, config, also=fresh_store.told_with(first.event["event_id"]))
    assert whole.title == "a, b: not read any more" and compose(second.event, second.posts, config).answers == whole.key


def test_what_is_told_again_is_told_together(fresh_store: Store) -> None:
    """With `repeat` sources that still cannot be read are one message again, not one each."""
    config = watching("a", "b")
    config = config.model_copy(update={"notify": config.notify.model_copy(update={"repeat": 86400.0})})
    for source in ("a", "b"):
        ended(fresh_store, "banned", NOON, source)
    alert(fresh_store, config, 0.1)
    assert [title for _, title, _ in titles(fresh_store, config, 0.2)] == ["a, b: not read any more"]
    assert len(alert(fresh_store, config, 25)) == 2
    assert [title for _, title, _ in titles(fresh_store, config, 25.1)] == ["Still firing: a, b: not read any more"]


def test_robots_txt_that_forbids_is_told_of_at_once(fresh_store: Store) -> None:
    """The site's own word needs no second crawl; other sources are not concerned."""
    ended(fresh_store, "disallowed", NOON, "a", "https://a.test/ is forbidden by robots.txt")
    ended(fresh_store, "finished", NOON, "b")
    assert [text[:2] for text in alert(fresh_store, watching("a", "b"), 0.1)] == ["a:"]


@pytest.mark.parametrize("reason", ["failed", "robots_unreachable", "timed out", "killed", "rate_limited"])
def test_what_may_pass_is_given_a_day(fresh_store: Store, reason: str) -> None:
    """Failures of some hours are nobody's night; after a day without a finished crawl they are told, with since when."""
    config = watching("s")
    ended(fresh_store, "finished", NOON - dt.timedelta(hours=1))
    for hour in range(0, 30, 3):
        ended(fresh_store, reason, NOON + dt.timedelta(hours=hour), message="https://f.test/ answers 500")
        told = alert(fresh_store, config, hour + 0.1)
        assert bool(told) == (hour == 24), hour
        if told:
            assert f"since 31 January 2025, 11:59 UTC; the last one ended as {reason}: https://f.test/ answers 500." in told[0]


def test_a_source_that_never_was_read_is_told_of_too(fresh_store: Store) -> None:
    """A new source whose crawls all fail does not stay unnoticed for want of a finished one."""
    for hour in (0, 12, 25):
        ended(fresh_store, "failed", NOON + dt.timedelta(hours=hour))
        assert bool(alert(fresh_store, watching("s"), hour + 0.1)) == (hour == 25)


def test_crawls_that_are_far_apart_have_longer(fresh_store: Store) -> None:
    """A source that is crawled once a week is not called unread for one crawl that failed."""
    config = watching("s", every="7d")
    ended(fresh_store, "failed", NOON)
    assert alert(fresh_store, config, 48) == []
    for day in (7, 15):
        ended(fresh_store, "failed", NOON + dt.timedelta(days=day))
    assert len(alert(fresh_store, config, 15 * 24 + 1)) == 1


@pytest.mark.parametrize("reason", ["stopped", "killed", "failed"])
def test_only_a_finished_crawl_ends_it(fresh_store: Store, reason: str) -> None:
    """A crawl that somebody stopped, or that died, says nothing of the site: the alert stays, untold again."""
    config = watching("s")
    ended(fresh_store, "banned", NOON)
    assert len(alert(fresh_store, config, 0.1)) == 1
    ended(fresh_store, reason, NOON + dt.timedelta(hours=1))
    assert alert(fresh_store, config, 1.1) == [] and fresh_store.rows("SELECT state FROM alerts")[0][0] == "firing"


def test_what_was_long_ago_is_not_told(fresh_store: Store) -> None:
    """A source that is switched on again, or a daemon that was off for a week, begins with crawls, not with an old verdict."""
    ended(fresh_store, "banned", NOON)
    assert alert(fresh_store, watching("s"), 7 * 24) == []


def test_taking_the_source_out_ends_it(fresh_store: Store) -> None:
    """Who takes the advice and switches the source off is told that the alert is over, once, and not that all is well."""
    ended(fresh_store, "banned", NOON)
    assert len(alert(fresh_store, watching("s"), 0.1)) == 1
    off = watching("s", enabled=False)
    told = alert(fresh_store, off, 0.2)
    assert len(told) == 1 and "the source s was removed from config.yaml or switched off there" in told[0]
    assert alert(fresh_store, off, 0.3) == []


def test_its_name_is_not_free(tmp_path: Path) -> None:
    """A rule of one's own cannot take the id of this alert."""
    file = tmp_path / "config.yaml"
    file.write_text("teams: [{id: meta, name: Meta}]\nrules: [{id: source-stopped, type: drop}]\n")
    config, problems = load(file)
    assert not config.rules and "Write another id" in str(problems[0])
