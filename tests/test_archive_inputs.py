"""Archives are found, cut and read whatever they are packed in; what is broken costs itself alone; rows become what a crawl would make."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import http.server
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import reading
from hypothesis import given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
zstandard = pytest.importorskip("zstandard")
pytest.importorskip("fsspec")

import pyarrow.parquet as pq  # noqa: E402

from monitor.archive import inputs, shapes  # noqa: E402
from monitor.archive.inputs import plan, rows  # noqa: E402
from monitor.archive.job import Split  # noqa: E402
from monitor.errors import InputError  # noqa: E402
from monitor.importing import read  # noqa: E402
from monitor.pages import Rejected  # noqa: E402
from monitor.privacy import author_key  # noqa: E402
from monitor.records import ALL, Post  # noqa: E402
from spiders.discourse import Discourse  # noqa: E402
from spiders.hackernews import HackerNews  # noqa: E402
from spiders.reddit import Reddit  # noqa: E402

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

NOW = dt.datetime(2025, 1, 31, 12, 0, tzinfo=dt.UTC)
KEY = b"k" * 32

STORY: dict[str, Any] = {
    "id": 1, "type": "story", "by": "ada", "time": 1_700_000_000, "title": "Ask HN: Who &amp; what?", "text": "<p>Tell.", "parent": None,
    "url": None, "deleted": None, "dead": None,
}  # fmt: skip
COMMENT = STORY | {"id": 2, "type": "comment", "by": "bob", "title": None, "text": "It&#x27;s <i>so</i>", "parent": 1}


def hide(name: str, *_: object) -> str:
    return author_key(KEY, "x", name)


def numbered(count: int) -> list[dict[str, Any]]:
    return [COMMENT | {"id": n, "text": f"post {n}"} for n in range(1, count + 1)]


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def ids(splits: list[Split]) -> list[object]:
    """The ids of all rows, and of what is rejected its place."""
    return [("rejected", item.line) if isinstance(item, Rejected) else item[1]["id"] for split in splits for item in rows(split)]


def read_all(*given: str | Path, source: str | None = None, shape: str | None = None) -> list[object]:
    splits, left_out = plan([str(one) for one in given], source=source, shape=shape)
    assert left_out == []
    assert [split.order for split in splits] == list(range(len(splits))) and len({split.id for split in splits}) == len(splits)
    return ids(splits)


def made(shape: str, row: Mapping[str, object], source: str = "site", **mapping: str) -> Post | str | None:
    return shapes.post(shape, row, source, mapping=mapping, hide=hide, now=NOW, kind="import")


def one(shape: str, row: Mapping[str, object], source: str = "site", **mapping: str) -> Post:
    post = made(shape, row, source, **mapping)
    assert isinstance(post, Post), post
    return post


# ---- files ------------------------------------------------------------------------------------------------------------


PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": partial(bz2.compress, compresslevel=1), ".zst": zstandard.compress}


@pytest.mark.parametrize("ending", PACKED)
def test_lines_are_read_however_they_are_packed(tmp_path: Path, ending: str) -> None:
    """JSON lines are read plain and packed, a broken one is named by its number, and Hacker News' own columns tell what they are."""
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(PACKED[ending](as_lines(numbered(2)) + b"{broken\n" + as_lines([COMMENT | {"id": 4}])))
    (split,), left_out = plan([str(path)], source=None, shape=None)
    assert (split.source, split.shape, split.format, left_out) == ("hackernews", "hackernews", "jsonl", [])
    assert ids([split]) == [1, 2, ("rejected", 3), 4] and inputs.place(split) == "line"


def test_a_dump_with_a_long_window_and_several_frames(tmp_path: Path) -> None:
    """Dumps of forums are packed by `zstd --long=31`, and may be several files put one behind another."""
    long = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True))
    stream = long.compressobj()  # of a size that is not told, so that the window is not made smaller
    first = stream.compress(as_lines(numbered(3))) + stream.flush()
    assert zstandard.get_frame_parameters(first).window_size == 2**31
    (tmp_path / "a.ndjson.zst").write_bytes(first + zstandard.compress(as_lines([COMMENT | {"id": 4}])))
    assert read_all(tmp_path / "a.ndjson.zst") == [1, 2, 3, 4]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
def test_a_file_that_is_cut_off_or_damaged_costs_its_rest(tmp_path: Path, ending: str) -> None:
    """All lines before the place where a packed file ends too early are read, the place is named, and other files are read whole."""
    rows = [COMMENT | {"id": n, "text": author_key(KEY, "noise", str(n)) * 4} for n in range(1, 3001)]
    whole = PACKED[ending](as_lines(rows))
    (tmp_path / f"a.jsonl{ending}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.jsonl").write_bytes(as_lines([COMMENT | {"id": "last"}]))
    found = read_all(tmp_path)
    good = [each for each in found if isinstance(each, int)]
    assert good == list(range(1, len(good) + 1)) and 1 < len(good) < 3000
    assert found[len(good) :] == [("rejected", len(good) + 1), "last"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_cut_anywhere_each_line_is_read_once(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever a file is cut into byte ranges, its lines come once each and in order, by the byte at which they begin."""
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    words = data.draw(st.lists(st.text(max_size=30), min_size=1, max_size=12))
    rows_ = [{"id": n, "text": f"x{word}"} for n, word in enumerate(words)]
    content = as_lines(rows_)[: data.draw(st.sampled_from([None, -1]))]
    path.write_bytes(content)
    (whole,), _ = plan([str(path)], source="a", shape=None)
    size = len(content)
    places = [0, *sorted(data.draw(st.lists(st.integers(1, size - 1), max_size=4, unique=True))), size]
    splits = [
        Split(whole.where, "a", "jsonl", "mapping", start, stop, stop - start, whole.stamp, n)
        for n, (start, stop) in enumerate(itertools.pairwise(places))
    ]
    found = [item for split in splits for item in rows(split) if not isinstance(item, Rejected)]
    assert [row for _, row in found] == rows_
    assert [json.loads(content[at:].split(b"\n")[0]) for at, _ in found] == rows_


def test_large_lines_are_cut_and_a_broken_one_is_told_by_its_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large plain file becomes several splits, which count bytes; a packed one stays whole."""
    monkeypatch.setattr(inputs, "PIECE", 1000)
    content = as_lines(numbered(20)) + b"{broken\n"
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    splits, _ = plan([str(tmp_path)], source=None, shape=None)
    assert len(splits) == 5 and sum(split.size for split in splits[:-1]) == len(content) > 3000
    assert ids(splits[:-1]) == [*range(1, 21), ("rejected", len(content) - len(b"{broken\n"))] and inputs.place(splits[0]) == "byte"


def test_tables_are_cut_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of Parquet are taken together up to a size; a row is told by its number; columns that nobody asks for are not read."""
    monkeypatch.setattr(inputs, "PIECE", 2500)
    pq.write_table(pa.Table.from_pylist(numbered(100)), tmp_path / "a.parquet", row_group_size=10)
    splits, _ = plan([str(tmp_path / "a.parquet")], source=None, shape=None)
    assert 1 < len(splits) < 10 and splits[-1].stop == 10 and inputs.place(splits[0]) == "row"
    found = [item for split in splits for item in rows(split) if not isinstance(item, Rejected)]
    assert [number for number, _ in found] == [row["id"] for _, row in found] == list(range(1, 101))
    assert dict(found[41][1]) == {name: value for name, value in numbered(42)[41].items() if name != "url"}


def test_a_damaged_row_group_costs_itself(tmp_path: Path) -> None:
    """Bytes that are wrong within one row group of Parquet leave the other groups readable, and their rows their numbers."""
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist([row | {"text": author_key(KEY, "noise", str(row["id"]))} for row in numbered(300)])
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    column = next(c for n in range(table.num_columns) if (c := pq.read_metadata(path).row_group(1).column(n)).path_in_schema == "text")
    content = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 200] = b"\0" * 200
    path.write_bytes(content)
    assert read_all(path) == [*range(1, 101), ("rejected", 101), *range(201, 301)]


def test_texts_that_databases_write_as_bytes(tmp_path: Path) -> None:
    """Columns of bytes are read as UTF-8, and what is none in them, or in a column that says it is, costs its letters alone."""
    columns: dict[str, Any] = {name: [value, value] for name, value in COMMENT.items() if value is not None}
    columns |= {"by": [b"ada", b"bob"], "type": [b"comment", b"comment"]}
    broken = pa.array([b"caf\xc3\xa9", b"caf\xe9"])
    for number, text in enumerate((broken, pa.StringArray.from_buffers(2, *broken.buffers()[1:]))):
        pq.write_table(pa.table(columns | {"text": text}), tmp_path / f"{number}.parquet")
    splits, _ = plan([str(tmp_path)], source=None, shape=None)
    found = [one("hackernews", item[1]).text for split in splits for item in rows(split) if not isinstance(item, Rejected)]
    assert found == ["café", "caf\ufffd"] * 2


def test_what_cannot_be_taken_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Unknown endings, broken tables, lists and files without words are told in a sentence each; hidden files in none."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "good.jsonl").write_bytes(as_lines(numbered(1)))
    pq.write_table(pa.table({"id": [1], "number": [2]}), tmp_path / "wordless.parquet")
    contents = {"readme.md": b"x", "notes": b"x", "broken.parquet": b"PAR1 no", "list.json": b"[\n{}\n]", "empty.csv": b"", "_SUCCESS": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    splits, left_out = plan([str(tmp_path)], source="forum", shape=None)
    assert ids(splits) == [1]
    told = "\n".join(left_out)
    assert len(left_out) == 5 and "(1 without one, 1 .md)" in told and "_SUCCESS" not in told
    for name, what in {"broken.parquet": "no Parquet", "list.json": "jq", "empty.csv": "no row", "wordless.parquet": "--field"}.items():
        assert any(name in sentence and what in sentence for sentence in left_out), name
    with pytest.raises(InputError, match=r"no table to read.*its columns are not those of the shape reddit"):
        plan([str(tmp_path / "deep")], source=None, shape="reddit")
    with pytest.raises(InputError, match="no file lies there"):
        plan([str(tmp_path / "*.tsv")], source="forum", shape=None)
    with pytest.raises(InputError, match="takes hackernews"):
        plan([str(tmp_path)], source="forum", shape="usenet")


def test_names_of_sources(tmp_path: Path) -> None:
    """NAME= beats --source, which beats a shape's own name; what has none asks for one, and a name must be usable."""
    plain, known, odd = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "day=1.jsonl"
    plain.write_bytes(b'{"text": "x"}\n')
    odd.write_bytes(b'{"text": "x"}\n')
    known.write_bytes(as_lines(numbered(1)))

    def sources(*given: str, source: str | None = None) -> list[str]:
        return [split.source for split in plan(given, source=source, shape=None)[0]]

    assert sources(f"mine={plain}", str(known), str(odd), source="rest") == ["mine", "rest", "rest"]
    assert sources(str(known)) == ["hackernews"] and sources(f"hn={known}") == ["hn"]
    with pytest.raises(InputError, match="write NAME="):
        sources(str(plain))
    with pytest.raises(InputError, match="cannot name a source"):
        sources(f"My Forum={plain}")


def test_patterns_and_order(tmp_path: Path) -> None:
    """Inputs come in the order given, files within one by name, and a file that two of them name once."""
    assert read_all(_written(tmp_path / "odd [x]" / "a?.jsonl.gz", gzip.compress(as_lines(numbered(1)))).parent) == [1]
    for name in ("2.jsonl", "1.jsonl", "deep/3.jsonl"):
        _written(tmp_path / name, as_lines([COMMENT | {"id": name}]))
    assert read_all(tmp_path) == ["1.jsonl", "2.jsonl", "deep/3.jsonl", 1]
    assert read_all(tmp_path / "*.jsonl") == ["1.jsonl", "2.jsonl"]
    assert read_all(tmp_path / "**" / "3*") == ["deep/3.jsonl"]
    assert read_all(tmp_path / "2.jsonl", tmp_path) == ["2.jsonl", "1.jsonl", "deep/3.jsonl", 1]


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_that_changed_since_is_not_taken_for_the_one_that_was_planned(tmp_path: Path) -> None:
    """A split is of one version of its file: another one, or none, ends in a sentence and not in other rows."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_lines(numbered(1)))
    (split,), _ = plan([str(path)], source=None, shape=None)
    path.write_bytes(as_lines(numbered(2)))
    with pytest.raises(InputError, match="has changed"):
        list(rows(split))
    assert plan([str(path)], source=None, shape=None)[0][0].id != split.id
    path.unlink()
    with pytest.raises(InputError, match="cannot be read any more"):
        list(rows(split))


def test_csv(tmp_path: Path) -> None:
    """CSV and TSV of any shape are read by their header, a row with too many fields alone is left out, packed or not."""
    (tmp_path / "a.csv").write_text("id,topic_id,post_number,cooked\n1,1,1,a\n2,1,2,b,c\n3,1,3,c\n", "utf-8")
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b'id\ttopic_id\tpost_number\traw\n4\t1\t4\t"two\nlines"\n'))
    assert read_all(tmp_path, source="forum") == ["1", ("rejected", 3), "3", "4"]


# ---- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's folder: it lists folders, and gives no parts of files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_over_http(tmp_path: Path, web: str) -> None:
    """A file and a listing are read over HTTP, packed or not, large ones too; a key in an address is in no message."""
    (tmp_path / "in").mkdir()
    many = [COMMENT | {"id": n, "text": "x" * 3000} for n in range(1, 2501)]  # more than one block of a client's
    (tmp_path / "in" / "a.jsonl").write_bytes(as_lines(many))
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(gzip.compress(as_lines([COMMENT | {"id": "b"}])))
    pq.write_table(pa.Table.from_pylist(numbered(2)), tmp_path / "in" / "c.parquet")
    assert read_all(f"{web}/in") == [*range(1, 2501), "b", 1, 2]
    assert read_all(f"hn={web}/in/b.jsonl.gz?token=secret") == ["b"]
    assert read_all(f"{web}/in/*.gz") == ["b"]
    with pytest.raises(InputError, match=r"nothere\.jsonl cannot be read") as caught:
        plan([f"{web}/nothere.jsonl?token=secret"], source="x", shape=None)
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be listed"):
        plan(["http://127.0.0.1:9/in"], source="x", shape=None)


# ---- shapes -----------------------------------------------------------------------------------------------------------


def crawled(made_by_spider: object, post: Post) -> None:
    """Assert that a row gave the post that the spider makes of the site's own answer."""
    assert isinstance(made_by_spider, Post)
    assert post == replace(made_by_spider, source=post.source, kind=post.kind)


def test_hacker_news_as_a_crawl_reads_it() -> None:
    """Rows of the table export are the posts that a crawl makes of the same items: title first, markup gone, the same ids and times."""
    spider = reading.make(HackerNews, {})
    spider.seen = set()
    as_read = partial(shapes.post, source="s", mapping={}, hide=lambda name, *_: f"key of {name}", now=NOW, kind="import")
    hit = {"objectID": "1", "title": STORY["title"], "story_text": STORY["text"], "created_at_i": STORY["time"], "author": "ada"}
    crawled(next(spider.read_hit(hit)), as_read("hackernews", STORY))
    hit = {"objectID": "2", "comment_text": COMMENT["text"], "story_title": STORY["title"], "created_at_i": STORY["time"], "author": "bob"}
    row = COMMENT | {"story": 1, "story_title": STORY["title"], "parent": 7}
    crawled(next(spider.read_hit(hit | {"story_id": 1, "parent_id": 7})), as_read("hackernews", row))


def test_hacker_news_in_its_many_tables() -> None:
    """Tables write times, types and numbers in several ways; a comment whose story is not told belongs to its parent's thread."""
    told = one("hackernews", COMMENT)
    assert (told.native_id, told.thread_id, told.parent_id, told.text) == ("2", "1", "1", "It's so")
    moment = dt.datetime.fromtimestamp(STORY["time"], dt.UTC)
    for time in (moment, moment.replace(tzinfo=None), str(STORY["time"]), "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20Z"):
        assert one("hackernews", COMMENT | {"time": time, "type": 2, "parent": 1.0}) == told
    assert one("hackernews", COMMENT | {"time": None, "timestamp": moment}) == told
    assert one("hackernews", COMMENT | {"top_level_parent": 9}).thread_id == "9"
    for nothing in ({"deleted": True}, {"dead": "true"}, {"deleted": 1}, {"type": "job"}, {"type": "pollopt"}, {"by": None, "text": None}):
        assert made("hackernews", COMMENT | nothing) is None, nothing
    assert made("hackernews", COMMENT | {"text": "&gt; quoted"}) == "it has no words of its author's own"
    assert made("hackernews", COMMENT | {"id": None}) == "it has no id"


LINK = {
    "id": "abc", "author": "ada", "title": "On &amp; off", "selftext": "", "created_utc": 1_700_000_000, "subreddit": "Sub",
    "edited": False,
}  # fmt: skip
ANSWER = {
    "id": "xyz", "author": "bob", "body": "&gt; old\n\nIt *is* [so](http://a.example) &amp; good", "created_utc": "1700000000",
    "subreddit": "Sub", "link_id": "t3_abc", "parent_id": "t1_uvw",
}  # fmt: skip


def test_reddit_as_a_crawl_reads_it() -> None:
    """Rows of a dump, in which Markdown stands with three characters escaped, are what a crawl makes of the same in Reddit's HTML."""
    spider = reading.make(Reddit, {"client_id": "x", "subreddits": ["Sub"]})
    spider.site, spider.seen = "https://www.reddit.com", set()
    as_read = partial(shapes.post, source="s", mapping={}, hide=lambda name, *_: f"key of {name}", now=NOW, kind="import")
    html = "<blockquote><p>old</p></blockquote>\n<p>It <em>is</em> <a href='http://a.example'>so</a> &amp; good</p>"
    told = {"name": "t1_xyz", "body_html": html, "permalink": "/r/Sub/comments/abc/_/xyz/", "created_utc": 1_700_000_000.0}
    crawled(next(spider.read_thing({"data": ANSWER | told})), as_read("reddit", ANSWER))
    assert as_read("reddit", ANSWER | {"body_html": html.replace("<", "&lt;")}) == as_read("reddit", ANSWER)
    told = {"name": "t3_abc", "title": "On & off", "permalink": "/r/Sub/comments/abc/"}
    crawled(next(spider.read_thing({"data": LINK | told})), as_read("reddit", LINK))


def test_what_is_no_post_on_reddit() -> None:
    """What its author deleted or a moderator removed is no post, nor what AutoModerator writes; a deleted author leaves the words."""
    for nothing in ({"body": "[removed]"}, {"body": " [deleted] "}, {"author": "AutoModerator"}, {"removed_by_category": "moderator"}):
        assert made("reddit", ANSWER | nothing) is None, nothing
    assert made("reddit", LINK | {"selftext": "[removed]"}) is None
    assert one("reddit", ANSWER | {"author": "[deleted]"}).author_key is None
    assert one("reddit", ANSWER | {"parent_id": 36, "permalink": "/r/Sub/x"}).url == "https://www.reddit.com/r/Sub/x"


def test_discourse_as_a_crawl_reads_it() -> None:
    """Rows of an export are what a crawl makes of the same posts, out of HTML or Markdown; quotes and hidden posts are left out."""
    spider = reading.make(Discourse, {"url": "https://forum.example"})
    spider.base = "https://forum.example"
    row: dict[str, Any] = {
        "id": 9, "topic_id": 4, "post_number": 1, "username": "ada", "created_at": "2024-05-01T10:00:00.000Z", "topic_title": "Hello",
        "cooked": '<aside class="quote"><blockquote>old</blockquote></aside><p>It <b>is</b> so</p>', "version": 2,
        "updated_at": "2024-05-02T10:00:00.000Z", "reply_to_post_number": None, "url": "https://forum.example/t/-/4/1",
    }  # fmt: skip
    as_read = partial(shapes.post, source="s", mapping={}, hide=lambda name, *_: f"key of {name}", now=NOW, kind="import")
    crawled(next(spider.read_post(row)), as_read("discourse", row))
    answer = row | {"post_number": 3, "reply_to_post_number": 1, "version": 1}
    crawled(next(spider.read_post(answer | {"topic_slug": ""})), as_read("discourse", answer | {"url": "https://forum.example/t/-/4/3"}))
    raw = row | {"cooked": None, "raw": '[quote="bob, post:1"]\n[quote]older[/quote]\nold\n[/quote]\n\nIt **is** so'}
    assert as_read("discourse", raw) == as_read("discourse", row)
    for nothing in ({"hidden": True}, {"post_type": 3}, {"deleted_at": "2024-05-01"}, {"user_deleted": "true"}):
        assert as_read("discourse", row | nothing) is None, nothing


def test_what_was_exported_comes_in_again(tmp_path: Path) -> None:
    """Rows of an archive's posts with words, and of `export posts --texts`, are read under the sources that they name, keys as they are."""
    kept = {
        "source": "forum", "native_id": "7", "url": "https://f.example/7", "thread_id": "t", "parent_id": None, "title": "T",
        "text": "T\n\nx", "posted_at": NOW, "date_origin": "fetched", "kind": "press", "language": "en", "author_key": "ab" * 16,
        "edited_at": None,
    }  # fmt: skip
    post = one("export", kept, ALL)
    assert {name: getattr(post, name) for name in kept} == kept and one("export", kept, "other").source == "other"
    linked = {
        "posted_at": "2025-01-02T00:00:00Z",
        "source": "forum",
        "kind": "voice",
        "language": None,
        "team": "a",
        "url": "https://f.example/8",
    }
    first, second = (one("export", linked | {"excerpt": "x", "team": team}, ALL) for team in "ab")
    assert first == second and (first.text, first.kind) == ("x", "voice")
    assert made("export", linked | {"source": None, "excerpt": "x"}, ALL) == "it names no source: give one with NAME="
    assert "no source can have the name" in made("export", linked | {"source": ALL, "excerpt": "x"}, ALL)
    pq.write_table(pa.Table.from_pylist([kept]), tmp_path / "a.parquet")
    assert [split.source for split in plan([str(tmp_path)], source=None, shape=None)[0]] == [ALL]


def test_any_other_table(tmp_path: Path) -> None:
    """Other rows are read by the names that `import` knows, or by those that a mapping says, which may lie deeper; as `import` does."""
    row = {"id": 5, "text": "x", "author": "ada", "created_at": "2024-05-01T10:00:00Z"}
    (tmp_path / "a.jsonl").write_bytes(as_lines([row]))
    (imported,) = read(tmp_path / "a.jsonl", "site", hide=hide, now=NOW)
    assert one("mapping", row) == imported
    odd = {
        "no": 5.0,
        "says": "x",
        "text": "not this",
        "who": {"name": "ada"},
        "when": dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC),
        "date": "2020-01-01",
    }
    assert one("mapping", odd, id="no", text="says", author="who.name", time="when") == imported
    assert made("mapping", {"id": 5}) == "it has no text: one of the fields text, body, content or title must hold words"
    shapes.check_mapping({"text": "says"})
    with pytest.raises(InputError, match="is no field of a post"):
        shapes.check_mapping({"words": "says"})


def test_tables_are_told_apart() -> None:
    """A table's shape is told by its columns, the more special one first; where nothing holds words it has none."""
    assert shapes.detect(STORY) == "hackernews" and shapes.detect(LINK) == shapes.detect(ANSWER) == "reddit"
    assert shapes.detect(["id", "topic_id", "post_number", "raw"]) == "discourse"
    assert shapes.detect(["posted_at", "source", "url", "excerpt"]) == "export"
    assert shapes.detect(["ID", "Body"]) == "mapping" and shapes.detect(["id", "number"]) is None


@given(st.sampled_from([*shapes.SHAPES]), st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_in_a_row_breaks_the_reading(shape: str, data: st.DataObject) -> None:
    """Whatever stands in a row, it is a post, no post, or broken in a sentence: never an exception, and nothing of it in the sentence."""
    simple = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
    anything = simple | st.lists(simple, max_size=2) | st.just({})
    names = shapes.SHAPES[shape].columns or ("id", "text", "title", "time", "author", "url")
    row = {name: data.draw(anything) for name in names} | {"text": "needle"}
    found = made(shape, row)
    assert found is None or isinstance(found, Post) or "needle" not in found
