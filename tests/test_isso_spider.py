"""Isso's comments are read page by page, and a page whole: what is new, edited, approved late or deleted is noticed."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, answer, as_rows, begin, posts_of, read, walk

from monitor.records import Gone, Post
from monitor.store import Store
from spiders.isso import Isso

OPTIONS = {"url": "https://comments.example/isso/", "site": "https://www.example/blog/", "uris": ["/post/"]}
HOUR = dt.timedelta(hours=1)


def make(options: Mapping[str, Any] = OPTIONS, **given: Any) -> Any:
    return reading.make(Isso, options, **given)


class Comments:
    """What an Isso answers. `most` comments at most come at one level of an answer, as its `limit` does; `latest` may be off."""

    def __init__(self, *, most: int = 10**6, latest: bool = False) -> None:
        self.most, self.latest = most, latest
        self.comments: list[dict[str, Any]] = []
        self.written = 0
        self.asked: list[str] = []

    def write(self, uri: str, when: dt.datetime, parent: str | None = None, text: str = "", **fields: Any) -> str:
        self.written += 1
        above = int(parent.partition("-")[0]) if parent else None
        comment = {
            "id": self.written, "uri": uri, "parent": above, "created": when.timestamp(), "modified": None, "mode": 1,
            "text": f"<p>{text or f'Words {self.written}.'}</p>", "author": "ann", "website": None, "hash": "4505c1eeda98",
        }  # fmt: skip
        self.comments.append({**comment, **fields})
        return f"{self.written}-{int(when.timestamp() * 1000)}"

    def comment(self, native_id: str) -> dict[str, Any]:
        return next(comment for comment in self.comments if comment["id"] == int(native_id.partition("-")[0]))

    def delete(self, native_id: str) -> None:
        """As Isso does: a comment with answers stays, empty; another goes, and with it its parent if that is empty."""
        comment = self.comment(native_id)
        comment.update(mode=4, text="", author=None)
        while stale := [c for c in self.comments if c["mode"] == 4 and c["id"] not in {below["parent"] for below in self.comments}]:
            self.comments = [c for c in self.comments if c not in stale]

    def level(self, uri: str, parent: int | None, after: float) -> tuple[list[dict[str, Any]], int]:
        all_of_it = [c for c in self.comments if c["uri"] == uri and c["parent"] == parent]
        later = sorted((c for c in all_of_it if c["created"] > after), key=lambda c: c["created"])
        return [copy.deepcopy(c) for c in later[: self.most]], len(later) - len(later[: self.most])

    def fetch(self, url: str) -> tuple[int, bytes]:
        self.asked.append(url)
        parts = urlsplit(url)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/latest"):
            if not self.latest:
                return 404, b"<!doctype html>"
            # Isso 0.13: those that begin a thread, by time, then the answers, by time; of this the end.
            order = sorted(self.comments, key=lambda c: (c["created"] if c["parent"] else 0, c["created"]))
            return 200, json.dumps(order[-int(query["limit"]) :]).encode()
        parent = int(query["parent"]) if "parent" in query else None
        replies, hidden = self.level(query["uri"], parent, float(query.get("after", 0)))
        if parent is None:
            for comment in replies:
                comment["replies"], comment["hidden_replies"] = self.level(query["uri"], comment["id"], 0)
        return 200, json.dumps({"id": parent, "total_replies": 0, "hidden_replies": hidden, "replies": replies, "config": {}}).encode()


def test_every_field_of_a_page() -> None:
    """Words without quotes and code, times of floats, the answered comment, the page's address; deleted and waiting ones are no posts."""
    replies = [
        {"id": 2, "parent": 1, "created": 1738231201.25, "modified": 1738234800.5, "mode": 1, "author": None, "text": "<p>Yes.</p>"},
        {"id": 3, "parent": 1, "created": 1738231202.25, "mode": 2, "author": "eve", "text": "<p>Spam?</p>"},
    ]
    text = "<blockquote><p>Theirs.</p></blockquote><p>Mine &amp; <em>yours</em>.</p><pre><code>x = 1</code></pre>"
    page = [
        {"id": 1, "parent": None, "created": 1738231200.75, "modified": None, "mode": 1, "author": "ann", "text": text, "replies": replies},
        {"id": 4, "parent": None, "created": 1738231203.0, "mode": 4, "author": None, "text": "", "replies": []},
        {"id": 5, "parent": None, "created": "x", "mode": 1, "author": "bob", "text": "<p>Undated.</p>"},
        {"id": 6, "parent": None, "created": 1738231204.0, "mode": 1},
        7,
    ]
    spider = make({**OPTIONS, "uris": ["/étude/1?a=b"]}, recent=[("9-1", "/%C3%A9tude/1%3Fa%3Db", NOW)])
    [request] = begin(spider)
    assert request.url == "https://comments.example/isso/?uri=%2F%C3%A9tude%2F1%3Fa%3Db"
    found = read(request, answer(request, json.dumps({"replies": page, "hidden_replies": 0}).encode()))
    common = {"thread_id": "/%C3%A9tude/1%3Fa%3Db", "date_origin": "site"}
    url = "https://www.example/%C3%A9tude/1?a=b#isso-"
    assert as_rows(found) == [
        {**common, "native_id": "1-1738231200750", "url": f"{url}1", "text": "Mine & yours.",
         "posted_at": "2025-01-30T10:00:00.750000+00:00", "author_key": "key of ann"},
        {"native_id": "4-1738231203000"},
        {**common, "native_id": "5", "url": f"{url}5", "text": "Undated.", "posted_at": NOW.isoformat(), "date_origin": "fetched",
         "author_key": "key of bob"},
        {**common, "native_id": "2-1738231201250", "url": f"{url}2", "text": "Yes.", "posted_at": "2025-01-30T10:00:01.250000+00:00",
         "edited_at": "2025-01-30T11:00:00.500000+00:00", "parent_id": "1-1738231200750"},
    ]  # fmt: skip
    # A comment that does not tell its time may be the stored one: nothing that is missing is taken for deleted then.
    assert dict(spider.rejections) == {"has no text": 1, "is not an object": 1, "is not public": 1}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)
    assert spider.next_cursor == {"url": "https://comments.example/isso", "until": "2025-01-31T12:00:00Z"}


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded answers do not lie beside this checkout")
def test_recorded_answers() -> None:
    """Real answers: all comments with their parents, in one answer or by parts; and /latest that is off is told."""
    recorded = SHARED / "recorded" / "isso"
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    asked: list[str] = []

    def fetch(url: str, name: str) -> tuple[int, bytes]:
        asked.append(url)
        if "after=" in url:
            data = json.loads((recorded / "__uri__2_ai_teams_2_").read_bytes())
            replies = [comment for comment in data["replies"][0]["replies"] if comment["id"] > 4]
            return 200, json.dumps({"id": 1, "hidden_replies": 0, "replies": replies}).encode()
        return 200, (recorded / name).read_bytes()

    options = {"url": "http://127.0.0.1:8104", "uris": ["/ai-teams/"]}
    for name in ("__uri__2_ai_teams_2_", "__uri__2_ai_teams_2__limit_5_nested_limit_3"):
        spider = make(options, now=now)
        posts = walk(spider, partial(fetch, name=name))
        assert len(posts) == 14 and not spider.rejections and not spider.failures
        assert (posts[0].text, posts[0].parent_id) == ("Morale in GenAI is low & nobody explains why", None)
        assert {post.parent_id for post in posts[1:]} == {posts[0].native_id}
        assert posts[1].text == "Très bonne ambiance chez Mistral 😀" and posts[1].url == "http://127.0.0.1:8104/ai-teams/#isso-2"
    assert asked[-1].endswith("after=1795297034.4662733&parent=1")
    spider = make({"url": "http://127.0.0.1:8104"}, now=now)
    [request] = begin(spider)
    assert read(request, answer(request, (recorded / "_latest_limit_5").read_bytes(), 404)) == []
    assert "answers 404: name the pages in `uris`, or ask the site's owner for `latest-enabled = true`" in spider.summary()


PAGES = ("/a/", "/b/?x=1", "/ç d/")


@given(data=st.data(), most=st.integers(1, 50), latest=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_store_equals_what_isso_holds(data: st.DataObject, most: int, latest: bool) -> None:
    """Three crawls, whatever was written, edited and deleted between them, and however few comments one answer holds."""
    isso = Comments(most=most, latest=latest)
    options = {"url": "https://comments.example"} if latest else {"url": "https://comments.example", "uris": list(PAGES)}
    held: dict[str, Post] = {}
    cursor: Mapping[str, Any] = {}
    now = NOW
    for _ in range(3):
        for minute in range(data.draw(st.integers(0, 8))):
            fate = data.draw(st.sampled_from(["write", "write", "answer", "edit", "delete"]))
            when = now - HOUR + dt.timedelta(minutes=minute)
            living = [comment for comment in isso.comments if comment["mode"] == 1]
            if fate == "write" or not living:
                isso.write(data.draw(st.sampled_from(PAGES)), when)
                continue
            comment = data.draw(st.sampled_from(living))
            name = f"{comment['id']}-{int(comment['created'] * 1000)}"
            if fate == "answer" and not comment["parent"]:
                isso.write(comment["uri"], when, name)
            elif fate == "edit":
                comment.update(text=f"<p>Edited at {when}.</p>", modified=when.timestamp())
            elif fate == "delete":
                isso.delete(name)
        recent = [(post.native_id, post.thread_id or "", post.posted_at) for post in held.values()]
        spider = make(options, now=now, cursor=cursor, recent=recent)
        for item in walk(spider, isso.fetch):
            if isinstance(item, Gone):
                held.pop(item.native_id, None)
            else:
                held[item.native_id] = item
        assert not spider.failures and not spider.rejections
        shown = {f"{c['id']}-{int(c['created'] * 1000)}": c["text"][3:-4] for c in isso.comments if c["mode"] == 1}
        assert {native_id: post.text for native_id, post in held.items()} == shown
        cursor, now = spider.next_cursor, now + 2 * HOUR


def test_a_number_that_is_given_again() -> None:
    """Isso gives the number of the newest comment, once that is deleted, to the next one: these are two posts."""
    page = {"replies": [{"id": 5, "created": NOW.timestamp() - 60, "text": "<p>Another.</p>", "mode": 1}]}
    spider = make(recent=[("5-1738300000000", "/post/", NOW - HOUR)])
    [request] = begin(spider)
    post, gone = read(request, answer(request, json.dumps(page).encode()))
    assert post.text == "Another." and gone == Gone("s", "5-1738300000000") != post.native_id


def test_what_was_approved_late_is_read() -> None:
    """A comment that waited for its approval over a crawl is read by the next one; while it waits it leaves no tombstone."""
    isso = Comments()
    name = isso.write("/post/", NOW - 30 * HOUR, mode=2)
    cursor = {"url": "https://comments.example/isso", "until": "2025-01-31T11:00:00Z"}
    assert walk(make(cursor=cursor), isso.fetch) == []
    isso.comment(name)["mode"] = 1
    assert [post.native_id for post in walk(make(cursor=cursor), isso.fetch)] == [name]


def test_latest_tells_the_pages() -> None:
    """Answers push the newest comments that begin a thread out of /latest: it is asked for more until those are told too."""
    isso = Comments(latest=True)
    first = isso.write("/old/", NOW - 400 * HOUR)
    for _ in range(1000):
        isso.write("/old/", NOW - 300 * HOUR, first)
    new = isso.write("/new/", NOW - HOUR)
    spider = make({"url": "https://comments.example"})
    assert [post.native_id for post in walk(spider, isso.fetch)] == [new]
    assert [url.partition("example")[2] for url in isso.asked] == ["/latest?limit=1000", "/latest?limit=50000", "/?uri=%2Fnew%2F"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "gives HTML where JSON was due"),
        (200, b"[]", "gives JSON of another shape"),
        (200, b'{"id": null}', "holds no list `replies`: is this the address of Isso?"),
        (404, b"", "https://comments.example/isso answers 404 to every page: `url` is the address in front of /js/embed.min.js"),
        (200, b'{"replies": [], "hidden_replies": 3}', "hides comments, and gives the same ones again"),
    ],
)
def test_what_is_no_isso_is_said(status: int, body: bytes, words: str) -> None:
    """An answer of another shape ends the crawl with a sentence, and nothing is claimed."""
    spider = make()
    assert walk(spider, lambda _: (status, body)) == []
    assert words in spider.summary() and spider.failures and spider.covered is None and not spider.next_cursor


def test_one_page_without_comments_is_fine() -> None:
    """An old Isso answers 404 of a page without comments: the others are read, and what is stored of that page stays."""
    isso = Comments()
    isso.write("/post/", NOW - HOUR)
    spider = make({**OPTIONS, "uris": ["/none/", "/post/"]}, recent=[("9-1", "/none/", NOW - HOUR)])
    found = walk(spider, lambda url: (404, b"") if "none" in url else isso.fetch(url))
    assert [post.text for post in found] == ["Words 1."] and spider.covered and not spider.failures


COMMENT = {"id": 1, "parent": None, "created": 1738300000.5, "modified": None, "mode": 1, "text": "<p>The sound one.</p>", "author": "a"}


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject) -> None:
    """Whatever a comment holds, nothing is raised, the sound one comes, all can be stored, and no stored one is taken for deleted."""
    below = data.draw(mutated([{**COMMENT, "id": n, "parent": 1, "hidden_replies": 0} for n in range(5, 8)]))
    above = data.draw(mutated([{**COMMENT, "id": n, "replies": below, "modified": 1738300001.5} for n in range(2, 5)]))
    latest = data.draw(mutated([{**COMMENT, "id": n, "uri": "/post/"} for n in range(2, 5)]))
    stored = [(f"{n}-1738300000500", "/post/", NOW - HOUR) for n in range(2, 5)]
    spider = make({"url": "https://comments.example"}, recent=stored)

    def fetch(url: str) -> tuple[int, bytes]:
        if "/latest" in url:
            return 200, json.dumps([*latest, {**COMMENT, "uri": "/post/"}]).encode()
        return 200, json.dumps({"id": None, "replies": [*above, COMMENT]}).encode()

    found = walk(spider, fetch)
    assert any(isinstance(post, Post) and post.text == "The sound one." and post.native_id == "1-1738300000500" for post in found)
    if all(comment.get("id", 2) in (2, 3, 4) for comment in above if isinstance(comment, dict) and isinstance(comment.get("id", 2), int)):
        assert not any(isinstance(item, Gone) for item in found)
    fresh_store.save_posts(found)


@given(body=st.one_of(JUNK.map(lambda value: json.dumps(value).encode()), st.binary(max_size=100)), latest=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_answer_ends_in_a_sentence(body: bytes, latest: bool) -> None:
    """An answer of any shape raises nothing; where nothing could be read, the crawl knows (an empty list of comments is one)."""
    spider = make({"url": "https://comments.example"} if latest else OPTIONS)
    [request] = begin(spider)
    assert posts_of(read(request, answer(request, body))) == []
    assert spider.failures or (latest and body.strip() == b"[]")


def test_a_whole_crawl(tmp_path: Path) -> None:
    """Two crawls over HTTP: all comments, then what is new, edited and deleted; each page is asked once, and no name is kept."""
    isso = Comments()
    first = isso.write("/post/", NOW - 5 * HOUR, author="secretive")
    second = isso.write("/post/", NOW - 4 * HOUR, first)
    third = isso.write("/post/", NOW - 3 * HOUR, first)

    def page(path: str) -> Answer:
        status, body = isso.fetch(path)
        return as_json(json.loads(body), status=status)

    with Site({"/": page}) as site:
        options = {"url": site.url, "uris": ["/post/"]}
        result = crawl(tmp_path, "isso", options)
        assert (result["finish_reason"], result["counts"]["new"], result["rejected"]) == ("finished", 3, 0), result
        isso.comment(second).update(text="<p>Other words.</p>", modified=NOW.timestamp())
        isso.delete(third)
        isso.write("/post/", NOW + HOUR / 2)
        counts = crawl(tmp_path, "isso", options, now="2025-01-31T13:00:00Z")["counts"]
        assert (counts["new"], counts["changed"], counts["unchanged"], counts["deleted"]) == (1, 1, 1, 1)
        assert [path for path in site.paths if path.startswith("/?")] == ["/?uri=%2Fpost%2F"] * 2
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = sorted(row[0] for row in store.rows("SELECT text FROM posts"))
    assert texts == ["", "Other words.", "Words 1.", "Words 4."]
    assert all(b"secretive" not in file.read_bytes() for file in tmp_path.glob("monitor.db*"))
