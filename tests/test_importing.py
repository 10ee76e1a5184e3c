"""An import stores every good line and names every broken one, whatever the file; the same file again changes nothing."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.importing import MAX_LINE, ImportResult, Rejected, import_file, read
from monitor.privacy import author_key
from monitor.records import MAX_TEXT, Post, clean
from monitor.store import Counts, Store

NOW = dt.datetime(2025, 1, 31, 12, 0, tzinfo=dt.UTC)
KEY = b"k" * 32


def hide(name: str, *_: object) -> str:
    return author_key(KEY, "export", name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "monitor.db") as opened:
        yield opened


def load(store: Store, path: Path, **options: Any) -> ImportResult:
    return import_file(store, path, "export", hide=hide, now=NOW, **options)


def lines(path: Path, *rows: Any) -> Path:
    """A file of JSON lines; a row that is bytes or str is written as it is."""
    encoded = (row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows)
    path.write_bytes(b"".join(row + b"\n" for row in encoded))
    return path


def posts(path: Path) -> list[Post]:
    """The posts of a file that has no broken line."""
    found = list(read(path, "export", hide=hide, now=NOW))
    assert not [item for item in found if isinstance(item, Rejected)]
    return [item for item in found if isinstance(item, Post)]


def one(tmp_path: Path, **row: Any) -> Post:
    """The post that a single JSON line gives."""
    (post,) = posts(lines(tmp_path / "one.jsonl", row))
    return post


# ---- fields --------------------------------------------------------------------------------------------------------


def test_every_field_is_taken(tmp_path: Path) -> None:
    """A full line becomes a full post; the author's name becomes a keyed hash and appears nowhere."""
    post = one(
        tmp_path, id=17, url="https://example.org/p/17", title="On GenAI", text="It was rough.", author="jane_doe", thread_id="t1",
        created_at="2025-01-23T18:04:05+01:00", parent_id=16, lang="en-US", kind="press",
    )  # fmt: skip
    assert post == Post(
        source="export", native_id="17", url="https://example.org/p/17", title="On GenAI", text="It was rough.", thread_id="t1",
        parent_id="16", author_key=author_key(KEY, "export", "jane_doe"), posted_at=dt.datetime(2025, 1, 23, 17, 4, 5, tzinfo=dt.UTC),
        fetched_at=NOW, language="en", kind="press",
    )  # fmt: skip
    assert "jane" not in repr(post)


def test_a_words_only_line_is_enough(tmp_path: Path) -> None:
    """With words alone the post is kept: kind import, no author, the time of the import marked as such."""
    post = one(tmp_path, body="Just words")
    assert (post.text, post.kind, post.author_key, post.posted_at, post.date_origin) == ("Just words", "import", None, NOW, "fetched")


@pytest.mark.parametrize("row", [{"native_id": "a", "content": "x", "username": "u"}, {"ID": "a", " Body ": "x", "User": "u"}])
def test_names_of_fields_may_vary(tmp_path: Path, row: dict[str, str]) -> None:
    """Other names of a field, upper case and spaces around are understood."""
    post = one(tmp_path, **row)
    assert (post.native_id, post.text, post.author_key) == ("a", "x", author_key(KEY, "export", "u"))


def test_an_opening_post_begins_with_its_title(tmp_path: Path) -> None:
    """The author of an opening post wrote its title too; a reply only bears the thread's, and nothing is doubled."""
    assert one(tmp_path, title="Layoffs\n again", text="Who knows?").text == "Layoffs again\n\nWho knows?"
    assert one(tmp_path, id="1", thread_id="1", title="Layoffs", text="Layoffs, who knows?").text == "Layoffs, who knows?"
    assert one(tmp_path, id="2", thread_id="1", title="Layoffs", text="Who knows?").text == "Who knows?"
    assert one(tmp_path, parent_id="1", title="Layoffs", text="Who knows?").title == "Layoffs"
    assert one(tmp_path, title="Layoffs").text == "Layoffs"


def test_tags_are_words_like_any_other(tmp_path: Path) -> None:
    """Texts are plain: neither tags nor entities are interpreted."""
    assert one(tmp_path, text="if a<b and <b>c</b> &amp; d").text == "if a<b and <b>c</b> &amp; d"


@pytest.mark.parametrize("author", ["", None, "[deleted]", "Anonymous", ["x"]])
def test_nobody_is_not_an_author(tmp_path: Path, author: object) -> None:
    """Posts without an author's name are not taken for one person's."""
    assert one(tmp_path, text="x", author=author).author_key is None


def test_an_address_that_is_none_is_not_kept(tmp_path: Path) -> None:
    """Only http(s) addresses are kept, since they become links; the post stays."""
    assert one(tmp_path, text="x", url="javascript:alert(1)").url == ""


def test_ids_are_made_where_there_are_none(tmp_path: Path) -> None:
    """Without an id the address tells posts apart, without an address words and date do; numbers and strings are one."""
    assert one(tmp_path, id=5, text="a").native_id == one(tmp_path, id="5", text="b").native_id
    by_url = one(tmp_path, url="https://x.org/1", text="a")
    assert (
        by_url.native_id
        == one(tmp_path, url="https://x.org/1", text="b").native_id
        != one(tmp_path, url="https://x.org/2", text="a").native_id
    )
    by_words = one(tmp_path, text="a", date="2025-01-02")
    assert by_words.native_id == one(tmp_path, text="a", date="2025-01-02", author="x").native_id
    assert (
        len(
            {by_words.native_id, one(tmp_path, text="a", date="2025-01-03").native_id, one(tmp_path, text="b", date="2025-01-02").native_id}
        )
        == 3
    )
    assert one(tmp_path, id=float("nan"), text="a").native_id != one(tmp_path, id=float("nan"), text="b").native_id


# ---- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "2025-01-23T18:04:05Z", "2025-01-23 18:04:05", "2025-01-23T19:04:05.000+01:00", "20250123T180405Z", " 2025-01-23T18:04:05Z ",
        1737655445, 1737655445.0, 1737655445000, "1737655445", "1737655445.0", "1737655445000", "1.737655445e9",
    ],
)  # fmt: skip
def test_times_are_read_in_every_usual_form(tmp_path: Path, written: object) -> None:
    """ISO 8601 with or without a zone (none is UTC), seconds or milliseconds since 1970, as number or string."""
    post = one(tmp_path, text="x", posted_at=written)
    assert (post.posted_at, post.date_origin) == (dt.datetime(2025, 1, 23, 18, 4, 5, tzinfo=dt.UTC), "site")


def test_a_day_is_its_beginning(tmp_path: Path) -> None:
    """A date alone, with dashes or without, is midnight UTC."""
    assert {one(tmp_path, text="x", date=day).posted_at for day in ("2025-01-23", "20250123")} == {dt.datetime(2025, 1, 23, tzinfo=dt.UTC)}


@pytest.mark.parametrize(
    "written", ["", None, "yesterday", "Invalid Date", "2025-02-30", True, [1], 0, "0", -5, 1e300, "1" * 400, "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00", "2025-02-01T12:00:01Z", 17376554450000000, float("inf"), "1970-01-01T00:00:00Z"]
)  # fmt: skip
def test_no_time_is_invented(tmp_path: Path, written: object) -> None:
    """A missing, impossible, zero or future time leaves the post, under the time of the import and marked so."""
    post = one(tmp_path, text="x", time=written)
    assert (post.posted_at, post.date_origin) == (NOW, "fetched")


def test_a_clock_that_is_hours_ahead_is_believed(tmp_path: Path) -> None:
    """Up to a day ahead is another zone's clock; an unusable first field gives way to a usable second."""
    assert one(tmp_path, text="x", date="2025-02-01T11:59:00Z").date_origin == "site"
    assert one(tmp_path, text="x", created_at="n/a", date="2025-01-05").posted_at.day == 5


# ---- broken lines --------------------------------------------------------------------------------------------------


def test_one_bad_line_in_ten_thousand(store: Store, tmp_path: Path) -> None:
    """The bad line is named, the 9,999 others are stored."""
    rows: list[Any] = [{"id": n, "text": f"words {n}", "date": "2025-01-05"} for n in range(10_000)]
    rows[6_000] = '{"id": 6000, "text": "cut o'
    result = load(store, lines(tmp_path / "big.jsonl", *rows))
    assert result.counts == Counts(new=9_999)
    ((line, reason),) = result.rejected
    assert line == 6_001 and "not JSON" in reason and "cut o" not in reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<html>", "not JSON"), ("[1]", "not an object"), ('"text"', "not an object"), ("null", "not an object"),
        ("{}", "no text"), ('{"text": null}', "no text"),
        ('{"text": ""}', "no text"), ('{"text": ["a"]}', "no text"), ('{"text": " \\u200b\\u0000 "}', "no text"),
        ("[" * 100_000, "not usable JSON"), ('{"id": ' + "9" * 5000 + ', "text": "x"}', "not usable JSON"), (b"\0" * 40, "not JSON"),
        (b'{"text": "caf\xe9"}', "not UTF-8 (byte 0xE9)"),
    ],
)  # fmt: skip
def test_what_is_no_post_is_named_with_its_reason(store: Store, tmp_path: Path, line: str | bytes, reason: str) -> None:
    """Each kind of broken line is rejected with its number and a reason, and costs no other line."""
    path = lines(tmp_path / "x.jsonl", {"text": "café one"}, "", line, {"text": "two"})
    path.write_bytes(path.read_bytes().replace(b"caf\\u00e9 one", "café one".encode()))
    result = load(store, path)
    assert [found.line for found in result.rejected] == [3] and reason in result.rejected[0].reason
    assert result.counts.new == 2


def test_what_cannot_be_stored_is_taken_out(store: Store, tmp_path: Path) -> None:
    """NUL bytes, lone surrogates and unseen characters do not cost a post its other words, in whatever field they are."""
    odd = "a\0b\ud800c\u200bd"
    path = lines(
        tmp_path / "x.jsonl",
        dict.fromkeys(("id", "url", "title", "text", "author", "thread_id", "parent_id", "lang", "kind"), odd),
    )
    path.write_bytes(path.read_bytes() + b'{"text": "raw \0 NUL"}\n')
    assert load(store, path).counts.new == 2
    assert [row[0] for row in store.rows("SELECT text FROM posts ORDER BY id")] == ["ab\ufffdcd", "raw  NUL"]


def test_a_post_of_ten_megabytes_is_cut(store: Store, tmp_path: Path) -> None:
    """An enormous text is kept to records.MAX_TEXT characters, in JSON and in CSV; a line beyond reason is rejected unread."""
    enormous = "word " * 2_000_000
    path = lines(tmp_path / "x.jsonl", {"id": 1, "text": enormous}, b'{"text": "' + b"x" * MAX_LINE, {"id": 2, "text": "after"})
    result = load(store, path)
    assert result.counts.new == 2 and [found.line for found in result.rejected] == [2] and "64 MB" in result.rejected[0].reason
    (tmp_path / "x.csv").write_text(f"id,text\n3,{enormous}\n")
    assert load(store, tmp_path / "x.csv").counts.new == 1
    assert [row[0] for row in store.rows("SELECT length(text) FROM posts ORDER BY native_id")] == [MAX_TEXT - 1, 5, MAX_TEXT - 1]
    path.write_bytes(b'{"id": 4, "text": "before"}\n' + b"x" * (MAX_LINE + 1))
    result = load(store, path)
    assert result.counts.new == 1 and [found.line for found in result.rejected] == [2]


GOOD = st.fixed_dictionaries(
    {"text": st.text(min_size=1).filter(clean)}, optional={"title": st.text(), "author": st.text(), "date": st.text()}
)
BROKEN = st.sampled_from([b"{", b"[]", b"nonsense", b'{"text": 1', b'{"title": ""}', b'{"text": "\xff"}', b"\xc3\xa9\xe9"])


@settings(max_examples=40, deadline=None)
@given(st.lists(GOOD | BROKEN, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_mixture_of_good_and_broken_lines(rows: list[Any], ending: str, zipped: bool) -> None:
    """Every good JSON line is stored and every broken one reported by its number, zipped or not; twice is as once."""
    data = "é".encode().join([b'{"text": "', b'"}' + ending.encode()])  # makes the file UTF-8, whatever follows
    for number, row in enumerate(rows):
        data += (row if isinstance(row, bytes) else json.dumps({"id": number, **row}).encode()) + ending.encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        path.write_bytes(gzip.compress(data) if zipped else data)
        with Store(Path(folder, "monitor.db")) as store:
            result = load(store, path)
            assert [found.line for found in result.rejected] == [number + 2 for number, row in enumerate(rows) if isinstance(row, bytes)]
            stored = {row[0] for row in store.rows("SELECT native_id FROM posts WHERE length(native_id) < 32")}
            assert stored == {str(number) for number, row in enumerate(rows) if not isinstance(row, bytes)}
            before = store.snapshot()
            again = load(store, path)
            assert again.counts == Counts(unchanged=result.counts.new) and store.snapshot() == before


# ---- CSV -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_csv_of_every_usual_kind(tmp_path: Path, delimiter: str, start: bytes) -> None:
    """Comma, semicolon or tab, with or without a byte order mark: quotes, delimiters and line breaks in a text survive."""
    text = 'She said "no";\r\n, tab\tand é 通义'
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows([["id", "Text", "likes"], ["1", text, "5"], ["2", "short", ""]])
    path = tmp_path / "x.csv"
    path.write_bytes(start + written.getvalue().encode())
    assert [(post.native_id, post.text) for post in posts(path)] == [("1", clean(text)), ("2", "short")]


def test_csv_needs_a_header(tmp_path: Path) -> None:
    """A table whose first line names no text is refused whole, with the names that it needs."""
    (tmp_path / "x.csv").write_text("1,words,2025-01-05\n2,more,2025-01-05\n")
    with pytest.raises(InputError, match="`text`, `body`, `content` or `title`"):
        posts(tmp_path / "x.csv")


def test_csv_rows_that_do_not_fit(store: Store, tmp_path: Path) -> None:
    """Too few or too many columns, and quotes that never close, cost their own line; line numbers count line breaks in texts."""
    (tmp_path / "x.csv").write_bytes(
        b'id,text,author\n1,"two\nlines",a\n2,few\n3,too,many,here\n4,"never closed,a\n5,fine,a\n,,,,\n6,caf\xe9,a\n'
        b'7,"stray" quote,a\n8,"x\0y",a\n9,"caf\xc3\xa9",a\n'
    )
    result = load(store, tmp_path / "x.csv")
    assert [line for line, _ in result.rejected] == [4, 5, 6, 9, 10]
    assert "2 columns" in result.rejected[0].reason and "4 columns" in result.rejected[1].reason
    assert "quotes" in result.rejected[2].reason and "0xE9" in result.rejected[3].reason
    assert [tuple(row) for row in store.rows("SELECT native_id, text FROM posts ORDER BY id")] == [
        ("1", "two\nlines"), ("5", "fine"), ("8", "xy"), ("9", "café"),
    ]  # fmt: skip


WORDS = st.text(st.sampled_from("ab é通,;\"'\n\t<"), max_size=12).map(lambda text: "w" + text + "w")
BROKEN_ROW = st.sampled_from(["one", "1,2,3,4,5", 'x,"open', 'x,"a"b,c'])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS) | BROKEN_ROW, max_size=10))
def test_any_mixture_of_good_and_broken_rows(rows: list[Any]) -> None:
    """Every good CSV row is stored whole and every broken one reported by the line that it begins on."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["id", "text", "author"])
    broken, good = [], []
    for number, row in enumerate(rows):
        if isinstance(row, str):
            broken.append(written.getvalue().count("\n") + 1)
            written.write(row + "\n")
        else:
            table.writerow([number, *row])
            good.append((str(number), clean(row[0])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        path.write_text(written.getvalue(), encoding="utf-8", newline="")
        found = list(read(path, "export", hide=hide, now=NOW))
    assert [item.line for item in found if isinstance(item, Rejected)] == broken
    assert [(item.native_id, item.text) for item in found if isinstance(item, Post)] == good


# ---- files ---------------------------------------------------------------------------------------------------------


def test_an_old_windows_file_is_read_and_said_to_be(store: Store, tmp_path: Path) -> None:
    """A file in which no line beyond ASCII is UTF-8 is read as Windows-1252, and the result says so."""
    (tmp_path / "x.csv").write_bytes("id;text\n1;L’équipe Llama, 3 €\n2;plain\n".encode("cp1252"))
    result = load(store, tmp_path / "x.csv")
    assert result.counts.new == 2 and "Windows-1252" in result.note and result.rejected == []
    assert store.rows("SELECT text FROM posts WHERE native_id = '1'")[0][0] == "L’équipe Llama, 3 €"


def test_a_cut_off_gzip_file_gives_what_was_readable(store: Store, tmp_path: Path) -> None:
    """The lines before the cut are stored, and the result names the line where the file ends; a later, whole file completes it."""
    rows = [{"id": n, "text": f"words {n} {n * 7919 % 10007}", "date": "2025-01-05"} for n in range(5000)]
    data = gzip.compress(lines(tmp_path / "x.jsonl", *rows).read_bytes())
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(data[: len(data) // 2])
    result = load(store, path)
    assert 1000 < result.counts.new < 5000
    assert [found.line for found in result.rejected] == [result.counts.new + 1] and "cut off" in result.rejected[0].reason
    path.write_bytes(data)
    assert load(store, path).counts == Counts(new=5000 - result.counts.new, unchanged=result.counts.new)


def test_a_damaged_gzip_file_is_reported(store: Store, tmp_path: Path) -> None:
    """Broken data within, or rubbish behind a gzip file, ends the reading with a reason and not with a crash."""
    whole = gzip.compress(b'{"text": "a"}\n')
    path = tmp_path / "x.jsonl.gz"
    for data, count in ((whole[:12] + b"\xff" * 20 + whole[20:], 0), (whole + b"rubbish", 1)):
        path.write_bytes(data)
        result = load(store, path)
        assert result.counts.new == count and "damaged" in result.rejected[0].reason


def test_standard_input_is_json_lines(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads JSON lines from standard input, zipped or not."""
    data = b'{"id": 1, "text": "a"}\nbad\n'
    for given_bytes in (data, gzip.compress(data)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given_bytes)))
        result = load(store, Path("-"))
        assert result.counts.new + result.counts.unchanged == 1 and [found.line for found in result.rejected] == [2]


@pytest.mark.parametrize(("name", "content", "words"), [
    ("x.xlsx", b"PK", "by its ending"), ("x.json", b'[\n{"text": "a"}\n]\n', "jq"), ("x.csv", "id,text\n1,a\n".encode("utf-16"), "UTF-16"),
    ("x.csv", b"id,text\r1,a\r", "header"), ("missing.csv", None, "cannot be read"), ("", None, "cannot be read"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    store: Store, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    """What is no file of posts at all is refused with its name and what to do, and nothing is stored."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load(store, path)
    assert str(path) in str(caught.value) and store.counts().startswith("0 posts")


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.tsv.gz"])
def test_an_empty_file_is_no_error(store: Store, tmp_path: Path, name: str) -> None:
    """An empty export stores nothing and is nothing to complain of."""
    (tmp_path / name).write_bytes(b"")
    assert load(store, tmp_path / name) == ImportResult()


def test_a_source_needs_a_plain_name(store: Store, tmp_path: Path) -> None:
    """`*` stands for all sources; a name that cannot stand in config.yaml is refused."""
    path = lines(tmp_path / "x.jsonl", {"text": "a"})
    for name in ("*", "", "My export"):
        with pytest.raises(InputError, match="cannot name a source"):
            import_file(store, path, name, hide=hide, now=NOW)


# ---- again ---------------------------------------------------------------------------------------------------------


def test_importing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    """The same file a day later gives the same store, posts without a date included; one changed text is one change."""
    rows = [{"id": n, "text": f"words {n}", "author": "a", **({"date": "2025-01-05"} if n % 2 else {})} for n in range(1200)]
    path = lines(tmp_path / "x.jsonl", *rows)
    first = load(store, path)
    assert first.counts == Counts(new=1200) and "600 posts bear no usable date" in first.note
    before = store.snapshot()
    assert import_file(store, path, "export", hide=hide, now=NOW + dt.timedelta(days=1)).counts == Counts(unchanged=1200)
    assert store.snapshot() == before
    rows[700]["text"] = "other words"
    assert load(store, lines(path, *rows)).counts == Counts(changed=1, unchanged=1199)


def test_of_two_lines_with_one_id_the_last_wins(store: Store, tmp_path: Path) -> None:
    """However far apart the two are, the last is stored, once, so that a second import still changes nothing."""
    rows = [{"id": n % 1500, "text": f"words {n}", "date": "2025-01-05"} for n in range(1502)]
    path = lines(tmp_path / "x.jsonl", *rows)
    result = load(store, path)
    assert result.counts == Counts(new=1500) and result.note.startswith("2 lines bear the id")
    assert store.rows("SELECT text FROM posts WHERE native_id = '1'")[0][0] == "words 1501"
    assert load(store, path).counts == Counts(unchanged=1500)


def test_progress_ends_at_the_total(store: Store, tmp_path: Path) -> None:
    """A progress bar is told of each batch of 500, and the last call is (total, total)."""
    calls: list[tuple[int, int]] = []
    load(store, lines(tmp_path / "x.jsonl", *({"text": f"w{n}"} for n in range(1100)), "bad"), progress=lambda *call: calls.append(call))
    assert calls == [(500, 1100), (1000, 1100), (1100, 1100)]
