"""A crawl is closed with the truth: finished only when it read all that was due, and what was stored stays, once, whatever happens."""

from __future__ import annotations

import datetime as dt
import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from answers import Answer, Site, as_json, begin, crawl

from monitor import clock
from monitor.demo.forum import DemoForum, DemoPost
from monitor.errors import InputError
from monitor.store import Store

START = dt.datetime(2025, 1, 30, 8, tzinfo=dt.UTC)
TEXT = "Nobody told the platform crew about the reorganisation"


def demo_posts(forum: str, count: int) -> list[DemoPost]:
    return [
        DemoPost(forum, f"thread-{n % 4}", f"About {n % 4}", f"author-{n % 7}", START + dt.timedelta(minutes=5 * n), f"{TEXT} {n}.")
        for n in range(count)
    ]


def options(forum: DemoForum, kind: str) -> dict[str, object]:
    return {"url": forum.discourse_url} if kind == "discourse" else {"api": forum.hackernews_api, "items": forum.hackernews_items}


def rows(folder: Path, sql: str) -> list[Any]:
    with Store(folder / "monitor.db", read_only=True) as store:
        return [tuple(row) for row in store.rows(sql)]


def last_crawl(folder: Path) -> dict[str, Any]:
    with Store(folder / "monitor.db", read_only=True) as store:
        return dict(store.last_crawls()["s"])


def long_forum(wait: float = 0.0, pages: int = 200) -> Site:
    """A Discourse-shaped forum with `pages` full pages of posts, each answered after `wait` seconds. It has no topics to look at again."""

    def page(path: str) -> Answer:
        before = int(parse_qs(urlsplit(path).query).get("before", ["0"])[0]) or pages * 50 + 1
        posts = [
            {
                "id": n, "post_number": 2, "topic_id": n // 10, "topic_slug": "s", "topic_title": "Title", "username": f"secretive{n % 9}",
                "created_at": (START + dt.timedelta(seconds=n)).isoformat(), "cooked": f"<p>{TEXT} {n}.</p>",
            }
            for n in range(before - 1, max(0, before - 51), -1)
        ]  # fmt: skip
        return as_json({"latest_posts": posts}, wait=wait)

    return Site({"/posts.json": page})


def whole(forum: Site) -> dict[str, object]:
    return {"url": forum.url, "refresh_limit": 0}


@pytest.mark.parametrize("kind", ["discourse", "hackernews"])
def test_rounds_of_a_living_forum(tmp_path: Path, kind: str) -> None:
    """Three rounds over HTTP: everything once, then only what is new, then what was edited and deleted; nothing is doubled."""
    forum_name = "discourse" if kind == "discourse" else "hn"
    with DemoForum(demo_posts(forum_name, 130), now=START + dt.timedelta(hours=8)) as forum:
        first = crawl(tmp_path, kind, options(forum, kind), now="2025-01-30T16:00:00Z")
        assert (first["finish_reason"], first["counts"]["new"]) == ("finished", 97)
        forum.now = START + dt.timedelta(hours=24)
        second = crawl(tmp_path, kind, options(forum, kind), now="2025-01-31T08:00:00Z")
        assert (second["finish_reason"], second["counts"]["new"], second["counts"]["changed"]) == ("finished", 33, 0)
        assert last_crawl(tmp_path)["covered_from"] == "2025-01-30T15:00:00Z"  # an hour, the overlap, before the first
        ids = [post_id for post_id in forum.posts() if forum.posts()[post_id].forum == forum_name]
        forum.edit(ids[100], "Nobody told the data crew.", forum.now)
        forum.edit(ids[0], "An opening post in other words.", forum.now)
        forum.delete(ids[61])
        third = crawl(tmp_path, kind, {**options(forum, kind), "refresh_limit": 1000}, now="2025-01-31T08:30:00Z")
        assert (third["counts"]["new"], third["counts"]["changed"], third["counts"]["deleted"]) == (0, 2, 1)
    texts = dict(rows(tmp_path, "SELECT native_id, text FROM posts"))
    assert texts[str(ids[100])] == "Nobody told the data crew."
    assert texts[str(ids[0])] == "About 0\n\nAn opening post in other words."
    assert texts[str(ids[61])] == ""
    assert len(texts) == 130


def test_a_crawl_is_recorded_and_its_clock_is_the_given_one(tmp_path: Path) -> None:
    """`crawls` holds counts, requests, cursor and the covered span; times are those of FORUM_MONITOR_NOW, not of the wall."""
    with DemoForum(demo_posts("hn", 10)) as forum:
        crawl(tmp_path, "hackernews", options(forum, "hackernews"), now="2025-01-31T12:00:00+01:00", kind="press")
    row = last_crawl(tmp_path)
    assert row["started_at"] == row["ended_at"] == "2025-01-31T11:00:00Z"
    assert (row["finish_reason"], row["new"], row["rejected"], row["message"]) == ("finished", 10, 0, "")
    assert (row["covered_from"], row["covered_to"]) == ("2025-01-24T11:00:00Z", "2025-01-31T11:00:00Z")
    assert row["requests"] == 3  # robots.txt, tdmrep.json and one page
    assert set(rows(tmp_path, "SELECT fetched_at, kind FROM posts")) == {("2025-01-31T11:00:00Z", "press")}


def test_no_author_name_and_no_post_reaches_disk_or_log(tmp_path: Path) -> None:
    """Author names are nowhere in the database, and a crawl logs nothing, though the command line logs at INFO."""
    with long_forum(pages=3) as forum:
        result = crawl(tmp_path, "discourse", whole(forum))
    assert result["counts"]["new"] == 150
    assert len(rows(tmp_path, "SELECT DISTINCT author_key FROM posts")) == 9
    for file in tmp_path.glob("monitor.db*"):
        assert b"secretive" not in file.read_bytes()
    assert result["log"] == ""


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("discourse", {}, "sources.s.options.url is missing"),
        ("discourse", {"url": "forum.example.org"}, "sources.s.options.url is wrong: write an address that begins with https://"),
        ("discourse", {"url": "http://127.0.0.1:1", "frist_days": 3}, "sources.s.options.frist_days is not an option of type discourse"),
        ("hackernews", {"api": "http://127.0.0.1:1", "queries": 5}, "sources.s.options.queries is wrong"),
        ("feed", {"urls": ["http://127.0.0.1:1/f"], "first_days": 1}, "sources.s.options.first_days is not an option"),
        ("hackernews", {}, "while contact is empty"),
    ],
)  # fmt: skip
def test_a_source_that_is_set_up_wrongly(tmp_path: Path, kind: str, given: dict[str, object], words: str) -> None:
    """The error names the key and what to do, will not go away by trying again, and the crawl's row is closed as failed."""
    result = crawl(tmp_path, kind, given, contact="" if "contact" in words else "us@example.org")
    assert words in result["error"] and result["permanent"]
    row = last_crawl(tmp_path)
    assert row["finish_reason"] == "failed" and row["ended_at"] and words in row["message"]


def test_a_listing_that_breaks_is_a_failure_and_is_read_again(tmp_path: Path) -> None:
    """Page two answers 500: what page one held is stored, the cursor stays, and the next crawl reads everything."""
    with long_forum(pages=4) as forum:
        sound = forum.answers["/posts.json"]
        forum.answers["/posts.json?before=151"] = Answer(status=500)
        broken = crawl(tmp_path, "discourse", whole(forum))
        assert broken["finish_reason"] == "failed" and broken["counts"]["new"] == 50
        assert f"{forum.url}/posts.json answers 500" in broken["message"]
        assert last_crawl(tmp_path)["cursor"] is None and last_crawl(tmp_path)["covered_from"] is None
        forum.answers["/posts.json?before=151"] = sound
        mended = crawl(tmp_path, "discourse", whole(forum))
    assert (mended["finish_reason"], mended["counts"]["new"], mended["counts"]["unchanged"]) == ("finished", 150, 50)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("<!doctype html><p>Maintenance"), "gives HTML where JSON was due"),
        (Answer('{"latest_posts": [{"id": 1, "coo'), "malformed or cut off"),
        (Answer("[" * 100_000), "malformed or cut off"),
        (Answer('{"errors": ["no"]}'), "holds no list `latest_posts`"),
        (Answer(b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"}), "compression is broken"),
        (Answer('{"latest_posts": []}', length=9000), "breaks off the connection"),
        (Answer(drop=True), "breaks off the connection"),
    ],
)
def test_an_unreadable_answer_is_one_sentence(tmp_path: Path, answer: Answer, words: str) -> None:
    """HTML for JSON, cut-off JSON, broken gzip, a dropped line: one sentence with the address, and no traceback in the log."""
    with Site({"/posts.json": answer}) as forum:
        result = crawl(tmp_path, "discourse", whole(forum))
    assert result["finish_reason"] == "failed"
    assert result["message"].startswith(f"{forum.url}/posts.json ") and words in result["message"]
    assert result["log"] == ""


@pytest.mark.parametrize("hanging", [False, True])
def test_sigterm_ends_a_crawl_in_seconds_and_keeps_what_it_read(tmp_path: Path, hanging: bool) -> None:
    """Stopped is not finished: what was parsed is stored, the cursor stays; an answer that does not come does not hold the stop up."""
    with long_forum(wait=0.1) as forum:
        if hanging:
            forum.answers["/posts.json?before=9951"] = Answer(wait=20)
        child = begin(tmp_path, "discourse", whole(forum))
        while len(forum.requests) < (3 if hanging else 6):
            time.sleep(0.02)
        child.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        result = child.result()
        assert time.monotonic() - begun < 5
    assert result["finish_reason"] == "stopped" and result["log"] == ""
    row = last_crawl(tmp_path)
    assert row["finish_reason"] == "stopped" and row["cursor"] is None
    assert len(rows(tmp_path, "SELECT 1 FROM posts")) == row["new"] >= (50 if hanging else 200)


def test_the_time_limit_ends_a_crawl(tmp_path: Path) -> None:
    """A crawl that would take for ever ends at its time limit, keeps what it read, says where it goes on and which key to change."""
    with long_forum(wait=0.1) as forum:
        result = crawl(tmp_path, "discourse", whole(forum), time_limit=1.5)
    assert result["finish_reason"] == "timed out"
    assert "begins again from the last finished one: if that repeats, raise sources.s.time_limit (or lower first_days)" in result["message"]
    assert result["counts"]["new"] > 0 and last_crawl(tmp_path)["cursor"] is None


@pytest.mark.real
def test_kill_at_any_moment_then_again_gives_the_same_store(tmp_path: Path) -> None:
    """After kill -9 in the middle, the next crawl closes the dead one's row and ends with the posts of an undisturbed one."""
    (tmp_path / "killed").mkdir()
    (tmp_path / "calm").mkdir()
    with long_forum(wait=0.05, pages=12) as forum:
        child = begin(tmp_path / "killed", "discourse", whole(forum))
        while len(forum.requests) < 8:
            time.sleep(0.02)
        child.process.kill()
        child.process.wait()
        crawl(tmp_path / "killed", "discourse", whole(forum))
        crawl(tmp_path / "calm", "discourse", whole(forum))
    sql = "SELECT native_id, url, thread_id, title, text, posted_at FROM posts ORDER BY 1"
    assert rows(tmp_path / "killed", sql) == rows(tmp_path / "calm", sql)
    assert rows(tmp_path / "killed", "SELECT finish_reason FROM crawls ORDER BY id") == [("killed",), ("finished",)]


def test_a_store_that_fails_in_the_middle(tmp_path: Path) -> None:
    """The crawl ends as failed with the store's own sentence; what was stored before stays, and no text is logged."""
    with long_forum(pages=12) as forum:
        with Store(tmp_path / "monitor.db"):
            pass
        with sqlite3.connect(tmp_path / "monitor.db") as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON posts WHEN (SELECT count(*) FROM posts) >= 250 "
                "BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        connection.close()
        result = crawl(tmp_path, "discourse", whole(forum))
    assert result["finish_reason"] == "failed" and "no room" in result["message"]
    assert len(rows(tmp_path, "SELECT 1 FROM posts")) == 200  # two whole batches
    assert len(forum.requests) < 12 and result["log"] == ""


def test_a_dead_feed_among_living_ones(tmp_path: Path) -> None:
    """The dead one is named, the living ones are stored, and what has not changed is not sent again."""
    entry = "<item><guid>urn:1</guid><title>Morale</title><link>http://f.test/1</link></item>"
    living = Answer(
        f'<rss version="2.0"><channel>{entry}</channel></rss>', headers={"ETag": '"a"', "Last-Modified": "Thu, 30 Jan 2025 10:00:00 GMT"}
    )
    with Site({"/living": [living, Answer(status=304)], "/dead": Answer(status=410)}) as site:
        given = {"urls": [f"{site.url}/dead", f"{site.url}/living"]}
        first = crawl(tmp_path, "feed", given)
        assert first["finish_reason"] == "failed" and first["counts"]["new"] == 1
        assert first["message"] == f"{site.url}/dead answers 410"
        site.answers["/dead"] = living
        second = crawl(tmp_path, "feed", given)
        assert second["finish_reason"] == "finished"
    headers = site.requests[-1][2]
    assert headers["If-None-Match"] == '"a"' and headers["If-Modified-Since"] == "Thu, 30 Jan 2025 10:00:00 GMT"
    assert site.url not in json.dumps(last_crawl(tmp_path)["cursor"])  # an address may hold a token


CLUMSY = """
from spiders.discourse import Discourse

class Clumsy(Discourse):
    name = "clumsy"

    def read_page(self, response, before, empty):
        yield from super().read_page(response, before, empty)
        raise ValueError(response.text)
"""


def test_a_spider_that_breaks(tmp_path: Path) -> None:
    """An exception is told by its place and not by its words, which may quote a post; what was read is stored, the cursor stays."""
    (tmp_path / "clumsy.py").write_text(CLUMSY, "utf-8")
    with long_forum(pages=3) as forum:
        result = begin(tmp_path, "clumsy", whole(forum), spiders=tmp_path).result()
    assert result["finish_reason"] == "failed" and result["counts"]["new"] == 150
    assert f"the spider broke on {forum.url}/posts.json (ValueError in clumsy.py line 9)" in result["message"]
    assert result["log"] == "" and last_crawl(tmp_path)["cursor"] is None


@pytest.mark.parametrize(
    ("code", "words"), [("import nothing_of_this_name", "nothing_of_this_name"), ("class:", "invalid syntax"), ("", "clumsy")]
)
def test_a_spider_that_cannot_be_loaded(tmp_path: Path, code: str, words: str) -> None:
    """It fails its own source with a sentence, and the crawl's row is closed."""
    (tmp_path / "clumsy.py").write_text(code, "utf-8")
    result = begin(tmp_path, "clumsy", {"url": "http://127.0.0.1:1"}, spiders=tmp_path).result()
    assert "sources.s.type: the spider 'clumsy' cannot be loaded" in result["error"] and words in result["error"]
    assert result["permanent"] and last_crawl(tmp_path)["finish_reason"] == "failed"


def test_the_replayed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORUM_MONITOR_NOW is the present while it is set, in any zone; what is no time is an error that says so."""
    monkeypatch.setenv(clock.REPLAY, "2025-01-23T19:00:00+01:00")
    assert clock.now() == dt.datetime(2025, 1, 23, 18, tzinfo=dt.UTC)
    monkeypatch.setenv(clock.REPLAY, "2025-01-23")
    assert clock.now() == dt.datetime(2025, 1, 23, tzinfo=dt.UTC)
    monkeypatch.setenv(clock.REPLAY, "yesterday")
    with pytest.raises(InputError, match="FORUM_MONITOR_NOW is 'yesterday'"):
        clock.now()
    monkeypatch.delenv(clock.REPLAY)
    assert abs(clock.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)
