"""The register as a person reads it: what was agreed to, what was asked, what a dry run shows, and that it keeps nothing."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import TERMS, Answer, Site, as_json

from monitor.demo.forum import DemoForum, DemoPost
from monitor.records import to_text
from monitor.store import KEEP_VISITS, Counts, SiteFile, Store, Visit

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NOW = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)


@pytest.mark.real
def test_the_register_and_the_audit(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """Before a crawl the register says so; after it, how it went, what robots.txt said, how far the week was read, when the next is due."""
    page = {"latest_posts": [{"id": 1, "topic_id": 1, "post_number": 1, "cooked": "<p>Morale.</p>", "created_at": "2025-01-31T10:00:00Z"}]}
    pages = {"/posts.json": as_json(page), "/posts.json?before=1": as_json({"latest_posts": []}), "/t/1.json": as_json({})}
    with Site({"/robots.txt": Answer("User-agent: *\nDisallow: /t/\nCrawl-delay: 0.2\n"), **pages}) as forum:
        staff = {
            "name": "staff",
            "type": "discourse",
            "delay": 0,
            "every": "6h",
            "terms": TERMS,
            "options": {"url": f"{forum.url}?key=secret"},
        }
        staff["options"] = {"url": forum.url}
        unread = {"name": "unread", "type": "discourse", "enabled": False, "options": {"url": forum.url}}
        write_config(sources=[staff, unread])
        before = {row["source"]: row for row in json.loads(forum_monitor("sources", "--json", FORUM_MONITOR_NOW=to_text(NOW)).stdout)}
        assert (before["staff"]["last_crawl"], before["staff"]["next_run"]) == (None, "2025-01-31T12:00:00Z")
        assert not (tmp_path / "monitor.db").exists()
        for minutes in (0, 60):  # the second looks again at what the first stored
            now = to_text(NOW + dt.timedelta(minutes=minutes))
            done = forum_monitor("collect", "staff", FORUM_MONITOR_NOW=now)
            assert done.returncode == 0, done.stderr
    rows = {row["source"]: row for row in json.loads(forum_monitor("sources", "--json", FORUM_MONITOR_NOW=now).stdout)}
    row = rows["staff"]
    assert (row["type"], row["enabled"], row["terms_by"], row["terms_allow"]) == ("discourse", True, TERMS["by"], TERMS["allows"])
    assert (row["last_crawl"], row["outcome"], row["coverage"], row["next_run"]) == (now, "finished", 1.0, "2025-01-31T19:00:00Z")
    assert row["robots"][0]["verdict"] == "forbids a part, at most every 0.2 s" and row["robots"][0]["host"] == forum.url
    assert rows["unread"]["terms_read_on"] is None and rows["unread"]["next_run"] is None
    table = forum_monitor("sources", FORUM_MONITOR_NOW=now).stdout
    assert "staff" in table and "forbids a part" in table and "it does not run" in table
    audit = json.loads(forum_monitor("sources", "audit", "staff", "--json").stdout)
    assert [(row["url"].removeprefix(forum.url), row["decision"], row["status"]) for row in audit] == [
        ("/posts.json", "asked", 200), ("/t/1.json", "refused", None),
    ]  # fmt: skip
    assert audit[-1]["reason"] == "disallowed: is forbidden by robots.txt"
    assert "1 asked, 1 refused." in forum_monitor("sources", "audit", "staff").stdout
    assert "no source 'nowhere'" in forum_monitor("sources", "audit", "nowhere").stderr
    assert "No crawl of unread is recorded" in forum_monitor("sources", "audit", "unread").stdout


def test_a_dry_run_shows_five_posts_and_keeps_nothing(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """`sources test` says what robots.txt said and how the first posts are read, names no author, and leaves no database."""
    start = NOW - dt.timedelta(days=1)
    posts = [DemoPost("discourse", f"t{n}", f"About {n}", f"secretive{n}", start + dt.timedelta(minutes=n), f"Text {n}.") for n in range(9)]
    with DemoForum(posts, now=NOW) as forum:
        options = {"url": forum.discourse_url}
        write_config(sources=[{"name": "staff", "type": "discourse", "delay": 0, "terms": TERMS, "options": options}])
        done = forum_monitor("sources", "test", "staff", FORUM_MONITOR_NOW=to_text(NOW))
        assert done.returncode == 0, done.stderr
        asked = [request.path for request in forum.requests]
        assert asked[:3] == ["/robots.txt", "/.well-known/tdmrep.json", "/posts.json"]
        assert len(asked) <= 4  # one more may be on its way when the fifth post is read
        row = json.loads(forum_monitor("sources", "test", "staff", "--json", FORUM_MONITOR_NOW=to_text(NOW)).stdout)
    assert done.stdout.splitlines()[-1].startswith("sources test staff: reached, and robots.txt allows it; 5 posts shown.")
    assert "robots.txt allows what is asked" in done.stdout and "About 8" in done.stdout and "secretive" not in done.stdout
    assert (row["outcome"], len(row["posts"]), row["robots"][0]["verdict"]) == ("finished", 5, "allows what is asked")
    assert row["posts"][0]["text"] == "About 8\n\nText 8." and row["posts"][0]["posted_at"] == "2025-01-30T12:08:00Z"
    assert row["posts"][0]["has_author"] is True and "author_key" not in row["posts"][0]
    assert not list(tmp_path.glob("monitor.db*"))
    done = forum_monitor("sources", "test", "staff")
    assert done.returncode == 1 and "refuses the connection" in done.stderr


def test_what_is_kept_of_crawls_is_bounded(fresh_store: Store) -> None:
    """Only each source's last crawl, of it only the first decisions, and of requests only the last hours; other sources keep theirs."""

    def crawl(source: str, count: int, minutes: int) -> None:
        now = NOW + dt.timedelta(minutes=minutes)
        number = fresh_store.begin_crawl(source, now)
        visits = [Visit("http://f.test", f"http://f.test/{source}/{n}", "asked", now, 200) for n in range(count)]
        file = SiteFile("http://f.test", "/robots.txt", None, f"answers {minutes}", now)
        for half in (visits[: count // 2], visits[count // 2 :]):
            fresh_store.save_visits(number, half, asked={("http://f.test", now): len(half)}, files=[file], now=now)
        fresh_store.end_crawl(number, now, finish_reason="finished", counts=Counts())

    crawl("a", 10, 0)
    crawl("b", 4, 1)
    crawl("a", KEEP_VISITS + 10, 30)
    assert len(fresh_store.visits("a")) == KEEP_VISITS and fresh_store.visits("a")[0]["url"] == "http://f.test/a/0"
    assert len(fresh_store.visits("b")) == 4
    assert fresh_store.asked("http://f.test", NOW, NOW + dt.timedelta(hours=1)) == {
        NOW: 10, NOW + dt.timedelta(minutes=1): 4, NOW + dt.timedelta(minutes=30): KEEP_VISITS + 10
    }  # fmt: skip
    crawl("a", 2, 180)
    assert len(fresh_store.visits("a")) == 2 and fresh_store.rows("SELECT count(*) FROM visits")[0][0] == 6
    assert fresh_store.asked("http://f.test", NOW, NOW + dt.timedelta(hours=4)) == {NOW + dt.timedelta(hours=3): 2}
    found = fresh_store.site_file("http://f.test", "/robots.txt")
    assert found is not None and (found.text, found.verdict) == (None, "answers 180")


def test_coverage_of_one_source(fresh_store: Store) -> None:
    """The share of the days since a source's first one that a finished crawl has read; nothing where it was never crawled."""
    day = dt.timedelta(days=1)
    number = fresh_store.begin_crawl("a", NOW)
    fresh_store.end_crawl(number, NOW, finish_reason="finished", counts=Counts(), covered=(NOW - 3 * day, NOW))
    assert fresh_store.source_coverage("a", (NOW - 6 * day).date(), NOW.date()) == 1.0
    assert fresh_store.source_coverage("a", (NOW - 2 * day).date(), (NOW + 3 * day).date()) == 0.5
    assert fresh_store.source_coverage("b", (NOW - 6 * day).date(), NOW.date()) is None


def test_check_knows_what_the_spiders_take(write_config: Callable[..., Path], forum_monitor: Run) -> None:
    """A slip in a source's options is told by `check`, with its place and what the type takes, and not first at night by a crawl."""
    sources = [
        {"name": "staff", "type": "discourse", "terms": TERMS, "options": {"url": "https://forum.test", "categorys": [1]}},
        {"name": "tags", "type": "mastodon", "enabled": False, "options": {"instances": ["https://one.test"]}},
    ]
    write_config(sources=sources)
    done = forum_monitor("check")
    assert done.returncode == 2
    assert "sources.staff.options.categorys is not an option of type discourse: use" in done.stderr
    assert "sources.tags.options" in done.stderr
