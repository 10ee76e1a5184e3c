"""The demo forum answers over real HTTP as Discourse and Hacker News do, and shows nothing before its time."""

from __future__ import annotations

import datetime as dt
import html
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import feedparser
import pytest

from monitor.demo.forum import DemoForum, DemoPost, load_posts
from monitor.errors import InputError

START = dt.datetime(2025, 1, 10, 8, 0, tzinfo=dt.UTC)
QUOTED = "Nobody told us the <b>roadmap</b> & we're late."


def post(number: int, forum: str = "discourse", thread: str = "reorg", **fields: Any) -> DemoPost:
    """The `number`-th minute's post of a thread."""
    return DemoPost(
        **{
            "forum": forum, "thread": thread, "title": f"About {thread}", "author": f"a{number}",
            "at": START + dt.timedelta(minutes=number), "text": f"Words {number}.", **fields,
        }
    )  # fmt: skip


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer of any status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def read(url: str) -> Any:
    """The JSON of an answer that must be 200."""
    status, headers, body = get(url)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    return json.loads(body)


def search(forum: DemoForum, **parameters: str | int) -> Any:
    return read(f"{forum.hackernews_api}/search_by_date?{urlencode(parameters)}")


@pytest.fixture
def forum() -> Iterator[DemoForum]:
    """Two topics of 60 and 5 posts, and two stories with 3 and 1 comments."""
    posts = [post(n) for n in range(60)] + [post(100 + n, thread="pay") for n in range(5)]
    posts += [post(200, "hn", "deepseek", text="DeepSeek R1 is out.\n\nTry it's demo: a/b"), post(201, "hn", "deepseek")]
    posts += [
        post(202, "hn", "deepseek", quote="Words 201."),
        post(203, "hn", "deepseek"),
        post(300, "hn", "meta"),
        post(301, "hn", "meta"),
    ]
    with DemoForum(posts) as running:
        yield running


# ---- Discourse -----------------------------------------------------------------------------------------------------


def test_walking_back_by_before_reads_every_post_once(forum: DemoForum) -> None:
    """/posts.json gives 50 posts at a time, newest first; `before` gives those with smaller ids, to the first."""
    seen: list[int] = []
    page = read(f"{forum.discourse_url}/posts.json")["latest_posts"]
    sizes = []
    while page:
        sizes.append(len(page))
        seen += [entry["id"] for entry in page]
        page = read(f"{forum.discourse_url}/posts.json?before={seen[-1]}")["latest_posts"]
    assert sizes == [50, 15] and seen == sorted((id_ for id_, p in forum.posts().items() if p.forum == "discourse"), reverse=True)


def test_older_discourse_counts_ids_not_posts() -> None:
    """With id_windows `before` is included, and a page can be empty although older posts are there."""
    with DemoForum([post(n) for n in range(120)], id_windows=True) as forum:
        ids = sorted(forum.posts())
        for gone in ids[20:70]:
            forum.delete(gone)
        assert read(f"{forum.discourse_url}/posts.json?before={ids[69]}") == {"latest_posts": []}
        page = read(f"{forum.discourse_url}/posts.json?before={ids[19]}")["latest_posts"]
        assert [entry["id"] for entry in page] == ids[19::-1]


def test_post_has_discourses_fields(forum: DemoForum) -> None:
    """A post carries what a reader of Discourse's API needs, times in ISO 8601 with milliseconds and Z."""
    newest = read(f"{forum.discourse_url}/posts.json")["latest_posts"][0]
    expected = {
        "username": "a104", "created_at": "2025-01-10T09:44:00.000Z", "updated_at": "2025-01-10T09:44:00.000Z", "version": 1,
        "cooked": "<p>Words 104.</p>", "post_number": 5, "topic_slug": "pay", "topic_title": "About pay", "hidden": False,
        "user_deleted": False, "deleted_at": None, "reply_to_post_number": None,
    }  # fmt: skip
    assert newest.items() >= expected.items()


def test_topic_gives_twenty_posts_and_all_ids(forum: DemoForum) -> None:
    """/t/ID.json and /t/SLUG/ID.json give the first 20 posts and every id; the rest comes by post_ids[]."""
    topic_id = read(f"{forum.discourse_url}/latest.json")["topic_list"]["topics"][1]["id"]
    topic = read(f"{forum.discourse_url}/t/{topic_id}.json")
    assert topic == read(f"{forum.discourse_url}/t/reorg/{topic_id}.json")
    assert (topic["title"], topic["slug"], topic["posts_count"]) == ("About reorg", "reorg", 60)
    stream = topic["post_stream"]
    assert len(stream["posts"]) == 20 and len(stream["stream"]) == 60
    wanted = stream["stream"][20:22]
    more = read(f"{forum.discourse_url}/t/{topic_id}/posts.json?" + urlencode([("post_ids[]", id_) for id_ in wanted]))
    assert [entry["id"] for entry in more["post_stream"]["posts"]] == wanted


def test_markup_and_quotes_are_html() -> None:
    """Plain text becomes escaped paragraphs; a quoted sentence stands in aside.quote and names the post it answers."""
    answer = post(2, text="I <disagree>.\nStill.\n\nSecond & last.", quote=QUOTED)
    with DemoForum([post(1, text=f"Listen. {QUOTED}"), answer, post(3, quote="said nowhere")]) as forum:
        lost, reply, _ = read(f"{forum.discourse_url}/posts.json")["latest_posts"]
    aside, body = reply["cooked"].split("</aside>")
    assert body.strip() == "<p>I &lt;disagree&gt;.<br>\nStill.</p>\n<p>Second &amp; last.</p>"
    assert aside.startswith('<aside class="quote') and 'data-username="a1" data-post="1"' in aside
    assert "Nobody told us the &lt;b&gt;roadmap&lt;/b&gt; &amp; we&#x27;re late." in aside
    assert reply["reply_to_post_number"] == 1 and reply["quote_count"] == 1
    assert lost["reply_to_post_number"] is None and "said nowhere" in lost["cooked"].split("</aside>")[0]


def test_topics_by_activity_or_creation() -> None:
    """/latest.json lists 30 topics a page, by last activity or with order=created by creation, and says when more follow."""
    with DemoForum([*(post(n, thread=f"t{n}") for n in range(35)), post(90, thread="t0")]) as forum:
        by_activity = read(f"{forum.discourse_url}/latest.json")["topic_list"]
        by_creation = read(f"{forum.discourse_url}/latest.json?order=created")["topic_list"]
        second = read(f"{forum.discourse_url}/latest.json?page=1")["topic_list"]
    assert by_activity["topics"][0]["slug"] == "t0" and by_creation["topics"][0]["slug"] == "t34"
    assert len(by_activity["topics"]) == 30 and "more_topics_url" in by_activity
    assert len(second["topics"]) == 5 and "more_topics_url" not in second


@pytest.mark.parametrize(("path", "count"), [("/posts.rss", 50), ("/latest.rss", 2)])
def test_feeds_are_sound_and_cached(forum: DemoForum, path: str, count: int) -> None:
    """The feeds parse without complaint; an unchanged one answers 304 to its ETag, a changed one 200."""
    status, headers, body = get(forum.discourse_url + path)
    feed = feedparser.parse(body)
    assert status == 200 and not feed.bozo and len(feed.entries) == count
    newest = feed.entries[0]
    assert newest.author == "@a104" if path == "/posts.rss" else newest.title == "About pay"
    assert newest.link.startswith(f"{forum.discourse_url}/t/pay/") and newest.published_parsed[:3] == (2025, 1, 10)
    assert len({entry.id for entry in feed.entries}) == count
    assert get(forum.discourse_url + path, **{"If-None-Match": headers["ETag"]})[0] == 304
    forum.edit(next(id_ for id_, p in forum.posts().items() if p.thread == "pay"), "Other words", START)
    assert get(forum.discourse_url + path, **{"If-None-Match": headers["ETag"]})[0] == 200


def test_edits_and_deletions_show(forum: DemoForum) -> None:
    """An edited post has its new words, a later updated_at and the next version; a deleted one is gone everywhere."""
    pay = [id_ for id_, p in forum.posts().items() if p.thread == "pay"]
    forum.edit(pay[2], "Better words.", START + dt.timedelta(days=1))
    forum.delete(pay[3])
    latest = {entry["id"]: entry for entry in read(f"{forum.discourse_url}/posts.json")["latest_posts"]}
    edited = latest[pay[2]]
    assert (edited["cooked"], edited["version"], edited["updated_at"]) == ("<p>Better words.</p>", 2, "2025-01-11T08:00:00.000Z")
    assert pay[3] not in latest and latest[pay[4]]["post_number"] == 5
    topic_url = f"{forum.discourse_url}/t/{edited['topic_id']}.json"
    assert read(topic_url)["post_stream"]["stream"] == [pay[0], pay[1], pay[2], pay[4]]
    forum.delete(pay[0])
    assert get(topic_url)[0] == 404
    assert not {entry["id"] for entry in read(f"{forum.discourse_url}/posts.json")["latest_posts"]} & set(pay)


@pytest.mark.parametrize("path", ["/t/9.json", "/t/none/9.json", "/t/x.json", "/search.json", "/nowhere", "/t/102", "/"])
def test_unknown_paths_are_404_in_json(forum: DemoForum, path: str) -> None:
    """What is not there, and HTML pages that this forum has not, answer 404 in Discourse's JSON."""
    status, _, body = get(forum.discourse_url + path)
    assert status == 404 and json.loads(body)["error_type"] == "not_found"


def test_robots(forum: DemoForum) -> None:
    """Discourse's robots.txt forbids the search and users and allows what is read; Hacker News' hosts have none."""
    status, _, body = get(forum.discourse_url + "/robots.txt")
    forbidden = [line.removeprefix("Disallow: ") for line in body.decode().splitlines() if line.startswith("Disallow")]
    assert status == 200 and {"/search", "/u/"} <= set(forbidden) and not any("/posts.json".startswith(path) for path in forbidden)
    assert get(forum.hackernews_api.removesuffix("/api/v1") + "/robots.txt")[0] == 404


# ---- Hacker News ---------------------------------------------------------------------------------------------------


def test_search_is_newest_first_with_algolias_fields(forum: DemoForum) -> None:
    """Stories carry title and story_text, comments comment_text, story and parent; texts are HTML with entities."""
    hits = search(forum, tags="(story,comment)", hitsPerPage=1000)["hits"]
    assert [hit["created_at_i"] for hit in hits] == sorted((hit["created_at_i"] for hit in hits), reverse=True) and len(hits) == 6
    story, _, reply = hits[5], hits[4], hits[3]
    assert story["title"] == "About deepseek" and story["comment_text"] is None and story["parent_id"] is None
    assert story["story_text"] == "DeepSeek R1 is out.<p>Try it&#x27;s demo: a&#x2F;b"
    assert story["created_at"] == "2025-01-10T11:20:00.000Z" and story["_tags"] == ["story", "author_a200", f"story_{story['objectID']}"]
    assert reply["title"] is None and reply["story_title"] == "About deepseek" and str(reply["story_id"]) == story["objectID"]
    assert reply["comment_text"] == "&gt; Words 201.<p>Words 202." and str(reply["parent_id"]) == hits[4]["objectID"]


def test_filters_narrow_the_search(forum: DemoForum) -> None:
    """Words and phrases must all be found, tags are or'ed in brackets and and'ed between, bounds hold to the second."""
    at = int((START + dt.timedelta(minutes=201)).timestamp())
    assert [hit["author"] for hit in search(forum, query="deepseek r1")["hits"]] == ["a200"]
    assert search(forum, query='"R1 DeepSeek"')["nbHits"] == 0 and search(forum, query='"deepseek r1"')["nbHits"] == 1
    assert search(forum, query="eepseek")["nbHits"] == 0
    assert search(forum, tags="comment")["nbHits"] == 4 and search(forum, tags="comment,author_a203")["nbHits"] == 1
    assert search(forum, tags="(author_a203,author_a301),comment")["nbHits"] == 2
    for filters, expected in {
        f"created_at_i>{at}": 4, f"created_at_i>={at}": 5, f"created_at_i<{at}": 1, f"created_at_i<={at}": 2,
        f"created_at_i>={at},created_at_i<{at + 61}": 2,
    }.items():  # fmt: skip
        assert search(forum, numericFilters=filters)["nbHits"] == expected, filters


@pytest.mark.parametrize("parameters", ["numericFilters=created_at_i~5", "hitsPerPage=1001", "hitsPerPage=0"])
def test_search_refuses_what_algolia_refuses(forum: DemoForum, parameters: str) -> None:
    """An unknown filter or too large a page is a 400 with a message, not an empty answer."""
    status, _, body = get(f"{forum.hackernews_api}/search_by_date?{parameters}")
    assert status == 400 and json.loads(body)["message"]


def test_chinese_is_found_inside_a_text() -> None:
    """Chinese has no spaces: a word is found in the middle of a sentence."""
    with DemoForum([post(1, "hn", text="我们用通义千问写代码。")]) as forum:
        assert read(f"{forum.hackernews_api}/search_by_date?query={quote('通义')}")["nbHits"] == 1


def test_no_query_gives_more_than_1000_hits() -> None:
    """The first 1000 hits come in pages, what lies beyond is an empty answer; a time window reaches it."""
    with DemoForum([post(n, "hn") for n in range(1100)]) as forum:
        pages = [search(forum, hitsPerPage=300, page=page) for page in range(5)]
        assert [len(page["hits"]) for page in pages] == [300, 300, 300, 100, 0]
        assert pages[0]["nbHits"] == 1100 and pages[0]["nbPages"] == 4
        assert pages[4]["nbHits"] == 0 and "1000" in pages[4]["message"]
        oldest = pages[3]["hits"][-1]["created_at_i"]
        assert search(forum, numericFilters=f"created_at_i<{oldest}", hitsPerPage=1000)["nbHits"] == 100


def test_items_and_maxitem(forum: DemoForum) -> None:
    """Firebase gives a story with its kids, a comment with its parent, and `null` for what it does not know."""
    ids = [id_ for id_, p in forum.posts().items() if p.forum == "hn"]
    story, comment = (read(f"{forum.hackernews_items}/item/{id_}.json") for id_ in ids[:2])
    assert story["type"] == "story" and story["title"] == "About deepseek" and story["kids"] == [ids[1], ids[3]] and story["by"] == "a200"
    assert html.unescape(story["text"]) == "DeepSeek R1 is out.<p>Try it's demo: a/b"
    assert comment == {
        "id": ids[1], "type": "comment", "by": "a201", "parent": ids[0], "kids": [ids[2]], "text": "Words 201.",
        "time": int((START + dt.timedelta(minutes=201)).timestamp()),
    }  # fmt: skip
    assert read(f"{forum.hackernews_items}/item/1.json") is None
    assert read(f"{forum.hackernews_items}/maxitem.json") == ids[-1]


def test_deleted_item_says_so(forum: DemoForum) -> None:
    """A deleted comment leaves the search; its item keeps id, time and parent, and loses author and words."""
    id_ = next(id_ for id_, p in forum.posts().items() if p.author == "a203")
    forum.delete(id_)
    item = read(f"{forum.hackernews_items}/item/{id_}.json")
    assert item["deleted"] is True and not {"text", "by"} & item.keys() and "parent" in item
    assert search(forum, tags="author_a203")["nbHits"] == 0


# ---- the clock, and the server -------------------------------------------------------------------------------------


def test_nothing_is_shown_before_its_time(forum: DemoForum) -> None:
    """With `now` set, no face knows of a later post, by any path; turning the clock brings exactly the posts between."""
    ids = {p.author: id_ for id_, p in forum.posts().items()}
    forum.now = START + dt.timedelta(minutes=201)
    assert read(f"{forum.hackernews_items}/maxitem.json") == ids["a201"]
    assert read(f"{forum.hackernews_items}/item/{ids['a202']}.json") is None
    assert {hit["author"] for hit in search(forum)["hits"]} == {"a200", "a201"}
    forum.now = START + dt.timedelta(minutes=101, seconds=59)
    assert read(f"{forum.discourse_url}/posts.json")["latest_posts"][0]["id"] == ids["a101"]
    assert len(feedparser.parse(get(f"{forum.discourse_url}/posts.rss")[2]).entries) == 50
    assert read(f"{forum.discourse_url}/latest.json")["topic_list"]["topics"][0]["posts_count"] == 2
    forum.now = START - dt.timedelta(days=1)
    assert read(f"{forum.discourse_url}/posts.json") == {"latest_posts": []} and search(forum)["hits"] == []
    assert read(f"{forum.hackernews_items}/maxitem.json") == 0


def test_requests_are_logged_with_their_user_agent(forum: DemoForum) -> None:
    """A test can see who asked for what: method, path with its query, status, user agent."""
    get(f"{forum.discourse_url}/posts.json?before=7", **{"User-Agent": "monitor (+mailto:me@example.org)"})
    get(f"{forum.discourse_url}/t/1.json", **{"User-Agent": "x"})
    urllib.request.urlopen(urllib.request.Request(f"{forum.hackernews_items}/maxitem.json", method="HEAD"), timeout=10).close()
    first, second, third = forum.requests
    assert first == ("GET", "/posts.json?before=7", 200, "monitor (+mailto:me@example.org)")
    assert second.status == 404 and (third.method, third.status) == ("HEAD", 200)


def test_stopping_frees_the_ports_and_starting_takes_them_again(forum: DemoForum) -> None:
    """A stopped forum refuses connections; the same forum started again answers at the same address with the same posts."""
    url, before = forum.discourse_url, read(f"{forum.discourse_url}/posts.json")
    forum.stop()
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/posts.json")
    forum.start()
    assert forum.discourse_url == url and read(f"{url}/posts.json") == before


def test_posts_may_be_added_while_it_serves(forum: DemoForum) -> None:
    """Readers in other threads see whole answers while posts are added, edited and deleted."""
    failures: list[Exception] = []

    def walk() -> None:
        try:
            for _ in range(15):
                ids = [entry["id"] for entry in read(f"{forum.discourse_url}/posts.json")["latest_posts"]]
                assert ids == sorted(set(ids), reverse=True) and len(ids) == 50
        except Exception as error:  # noqa: BLE001  # carried to the test's own thread
            failures.append(error)

    readers = [threading.Thread(target=walk) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(400, 500):
        added = forum.add(post(number, thread=f"new{number % 3}"))
        forum.edit(added, "changed", START)
        if number % 2:
            forum.delete(added)
    for reader in readers:
        reader.join()
    assert not failures
    assert max(entry["id"] for entry in read(f"{forum.discourse_url}/posts.json")["latest_posts"]) == added - 1


def test_a_client_that_vanishes_leaves_the_forum_well(forum: DemoForum, capfd: pytest.CaptureFixture[str]) -> None:
    """A connection dropped in the middle of a request neither stops the forum nor prints a traceback."""
    port = int(forum.discourse_url.rsplit(":", 1)[1])
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"GET /posts.json HTTP/1.1\r\n\r\n")
    assert len(read(f"{forum.discourse_url}/posts.json")["latest_posts"]) == 50
    assert "Traceback" not in capfd.readouterr().err


def test_it_can_be_looked_at_in_a_browser() -> None:
    """`python -m monitor.demo.forum` prints where it stands, answers there, and ends with Ctrl-C without a traceback."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "monitor.demo.forum"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs, such as these tests may be, are deaf to it
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heard}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        assert process.stdout
        assert get(process.stdout.readline().strip())[0] == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0 and errors == ""


# ---- the written posts ---------------------------------------------------------------------------------------------


def test_the_replays_posts_make_a_sound_forum() -> None:
    """Every written post has words, a time in January 2025, labels of the three kinds, and one title per thread."""
    posts = load_posts()
    assert posts == sorted(posts, key=lambda written: written.at)
    titles: dict[tuple[str, str], set[str]] = {}
    for written in posts:
        assert written.forum in {"discourse", "hn"} and written.text.strip() and written.author and written.lang in {"en", "fr", "zh"}
        assert (written.at.year, written.at.month) == (2025, 1) and set(written.labels.values()) <= {"negative", "neutral", "positive"}
        titles.setdefault((written.forum, written.thread), set()).add(written.title)
    assert [thread for thread, found in titles.items() if len(found) != 1] == []


def test_a_broken_line_of_the_replay_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file of posts is reported with its name and line."""
    (tmp_path / "posts_xx.jsonl").write_text('{"forum": "hn"}\n', encoding="utf-8")
    monkeypatch.setattr("monitor.demo.posts.__file__", str(tmp_path / "posts.py"))
    with pytest.raises(InputError, match=r"posts_xx\.jsonl line 1 "):
        load_posts()
