"""No author is named anywhere, and the key that hides them stays ours."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import StoreError
from monitor.privacy import author_key, hiding, load_key, load_keys, masked, period_start, suppressed, turns, withheld
from monitor.records import DailyTrend, Gone, Post
from monitor.store import Store


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """32 random bytes, mode 0600 whatever the umask, the same at every start, and no draft left beside it."""
    before = os.umask(0)
    try:
        key = load_key(tmp_path / "new" / "monitor.db.key")
    finally:
        os.umask(before)
    path = tmp_path / "new" / "monitor.db.key"
    assert len(key) == 32 and load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert load_key(tmp_path / "other.key") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With the key and a list of names, hashes could be tried; the sentence says what to run."""
    load_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        load_key(tmp_path / "key")


def test_a_key_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """An empty or shortened key would give every author a new identity: it is reported and left as it is."""
    path = tmp_path / "key"
    for content in (b"", b"x" * 31):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(StoreError, match="shorter than 32 bytes"):
            load_key(path)
        assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A file in place of the folder, or a folder in place of the file: what, where, and which setting."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "key", tmp_path):
        with pytest.raises(StoreError, match="author_key_file"):
            load_key(path)


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    """Eight at once on a fresh folder: nobody sees half a key, and nobody's key replaces another's."""
    program = f"from pathlib import Path; from monitor.privacy import load_key; print(load_key(Path({str(tmp_path / 'key')!r})).hex())"
    children = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    keys = {child.communicate(timeout=60)[0].strip() for child in children}
    assert keys == {(tmp_path / "key").read_bytes().hex()}


def test_a_hash_hides_a_name_and_tells_authors_apart() -> None:
    """The same name in the same source is always one author; another source, name or key is another. Any name has a hash."""
    key, other = b"k" * 32, b"o" * 32
    found = author_key(key, "hn", "ada")
    assert found == author_key(key, "hn", "ada")
    assert len({found, author_key(key, "hn", "Ada"), author_key(key, "forum", "ada"), author_key(other, "hn", "ada")}) == 4
    for name in ("", "名前", "\ud800", "a\0b", "x" * 100_000):
        assert len(author_key(key, "hn", name)) == 32


def test_no_author_name_is_in_any_file_of_the_store(tmp_path: Path) -> None:
    """The raw bytes of the database, its log and its key hold no name, while posts live and after they are gone."""
    key = load_key(tmp_path / "monitor.db.key")
    now = dt.datetime(2025, 1, 23, tzinfo=dt.UTC)
    names = [f"Zyxwv-author-{n}" for n in range(300)]
    with Store(tmp_path / "monitor.db") as store:
        store.save_posts(
            Post("hn", str(n), f"https://x.org/{n}", f"text {n}", now, now, author_key=author_key(key, "hn", name))
            for n, name in enumerate(names)
        )
        store.save_posts(Gone("hn", str(n)) for n in range(100))
        for file in tmp_path.iterdir():
            assert b"Zyxwv" not in file.read_bytes(), file.name
        assert store.rows("SELECT count(DISTINCT author_key) FROM posts WHERE deleted_at IS NULL")[0][0] == 200


# ---- keys that rotate -----------------------------------------------------------------------------------------------

MARCH = dt.date(2026, 3, 10)


def at(day: dt.date, hour: int = 12) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, tzinfo=dt.UTC)


def test_an_author_has_one_key_within_a_period_and_another_in_the_next(tmp_path: Path) -> None:
    """By the day of the post, whatever the hour and the day of the crawl: a day's voices are counted by one set of keys."""
    keys = load_keys(tmp_path / "key", 30, MARCH)
    begin = period_start(MARCH, 30)
    days = [begin + dt.timedelta(days=n) for n in range(30)]
    assert len({keys.key("hn", "ada", at(day, hour)) for day in days for hour in (0, 23)}) == 1
    after = begin + dt.timedelta(days=30)
    assert len({keys.key("hn", "ada", at(day)) for day in (begin - dt.timedelta(days=1), begin, after)}) == 3
    assert load_keys(tmp_path / "key", 30, after).key("hn", "ada", at(after)) == keys.key("hn", "ada", at(after))
    assert not turns(days[0], days[-1], 30) and turns(days[-1], after, 30) and not turns(days[0], after, None)


def test_keys_of_a_period_that_is_over_cannot_be_computed_again(tmp_path: Path) -> None:
    """Its secret is out of the file two days after its end, and the present one leads only forward; the file stays its owner's."""
    path = tmp_path / "key"
    then = load_keys(path, 30, MARCH).key("hn", "ada", at(MARCH))
    before = path.read_bytes()
    end = period_start(MARCH, 30) + dt.timedelta(days=30)
    assert load_keys(path, 30, end + dt.timedelta(days=1)).key("hn", "ada", at(MARCH)) == then, "a post that is found late"
    later = load_keys(path, 30, end + dt.timedelta(days=2))
    assert later.key("hn", "ada", at(MARCH)) != then
    secret = before.split()[-2]
    assert secret not in path.read_bytes() and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_rotation_goes_on_over_restarts_pauses_and_other_periods(tmp_path: Path) -> None:
    """A year without a start, a daemon that starts every day, and another length of periods: the same key for the same day."""
    daily, seldom = tmp_path / "daily", tmp_path / "seldom"
    load_keys(daily, 30, MARCH)
    seldom.write_bytes(daily.read_bytes())
    seldom.chmod(0o600)
    for n in range(0, 400, 7):
        load_keys(daily, 30, MARCH + dt.timedelta(days=n))
    end = MARCH + dt.timedelta(days=400)
    assert load_keys(daily, 30, end).key("hn", "ada", at(end)) == load_keys(seldom, 30, end).key("hn", "ada", at(end))
    assert load_keys(daily, 90, end).key("hn", "ada", at(end)) != load_keys(daily, 30, end).key("hn", "ada", at(end))
    assert load_keys(daily, None, end).key("hn", "ada", at(end)) == load_keys(daily, None, end).key("hn", "ada", at(MARCH))


def test_keys_that_do_not_rotate_are_what_they_were(tmp_path: Path) -> None:
    """Without rotate_keys an existing file gives the keys that it always gave, and is not written."""
    path = tmp_path / "key"
    secret = load_key(path)
    assert load_keys(path, None, MARCH).key("hn", "ada", at(MARCH)) == author_key(secret, "hn", "ada")
    assert path.read_bytes() == secret


def test_a_damaged_key_file_is_a_sentence(tmp_path: Path) -> None:
    """Half a line is no key: everybody would get a new identity."""
    path = tmp_path / "key"
    load_keys(path, 30, MARCH)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(StoreError, match="damaged"):
        load_keys(path, 30, MARCH)


def test_posts_of_two_periods_are_not_linked_by_what_is_stored(tmp_path: Path) -> None:
    """Two posts of one author, a period apart, have two keys in the store; a crawl that sees the older again changes nothing."""
    end = period_start(MARCH, 30) + dt.timedelta(days=40)
    with Store(tmp_path / "monitor.db") as store:
        for day, today in ((MARCH, MARCH), (end, end), (MARCH, end)):
            keys = load_keys(tmp_path / "key", 30, today)
            hide = hiding(keys, "hn", leaves_out=store.leaves_out, leave_out=store.leave_out, now=at(today))
            store.save_posts([Post("hn", str(day), "https://x.org", "words", at(day), at(today), author_key=hide("ada", at(day)))])
        [(first,), (second,)] = store.rows("SELECT author_key FROM posts ORDER BY posted_at")
        assert first != second
        assert first not in [load_keys(tmp_path / "key", rotate, end).key("hn", "ada", at(MARCH)) for rotate in (30, None)]


# ---- groups too small to be shown -----------------------------------------------------------------------------------


def cell(source: str, authors: int, mean: float = 0.0) -> DailyTrend:
    return DailyTrend(MARCH, "openai", source, "m@1", authors, authors, 1, True, mean, -1, 1, 0.2, 0.3, 0.5, 0.1)


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"a": 9, "b": 8}, set()),
        ({"a": 9, "b": 2, "c": 7}, {"b", "c"}),
        ({"a": 9, "b": 2, "c": 4}, {"b", "c"}),
        ({"a": 9, "b": 1, "c": 2}, {"a", "b", "c"}),
        ({"a": 9, "b": 2}, {"a", "b"}),
        ({"a": 2, "b": 1}, {"*", "a", "b"}),
        ({"a": 6}, set()),
    ],
)
def test_a_cell_that_could_be_computed_is_withheld_with_the_small_one(sizes: dict[str, int], hidden: set[str]) -> None:
    """Beside one small cell the next smallest goes too, and on until what the total gives away is of enough people."""
    cells = [cell(source, authors) for source, authors in {**sizes, "*": sum(sizes.values())}.items()]
    assert {source for _, _, source, _ in withheld(cells, 5)} == hidden
    for row in suppressed(cells, 5):
        assert (row.mean is None and row.variance is None and not row.sufficient) == (row.source in hidden)
        assert row.authors == {**sizes, "*": sum(sizes.values())}[row.source], "counts are no figures"


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=7),
    means=st.lists(st.floats(-1, 1), min_size=7, max_size=7),
    least=st.integers(2, 8),
)
@settings(max_examples=300, deadline=None)
def test_what_is_withheld_cannot_be_worked_out(sizes: list[int], means: list[float], least: int) -> None:
    """Whoever subtracts all that is shown from the total gets figures of no single source, and of no group below the minimum."""
    cells = [cell(f"s{n}", size, mean) for n, (size, mean) in enumerate(zip(sizes, means, strict=False)) if size]
    people = sum(row.authors for row in cells)
    if not people:
        return
    cells.append(cell("*", people, sum(row.authors * (row.mean or 0) for row in cells) / people))
    shown = {row.source: row for row in suppressed(cells, least) if row.mean is not None}
    assert all(row.authors >= least for row in shown.values())
    left = [row for row in cells if row.source not in shown and row.source != "*"]
    if "*" in shown and left:
        told = people - sum(row.authors for row in shown.values() if row.source != "*")
        assert len(left) >= 2 and told == sum(row.authors for row in left) >= least


# ---- what an excerpt must not say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "jane.doe+x@example.org", "@jane_doe", "@jane@mastodon.social", "\uff20jane_doe", "u/jane_doe", "/u/jane_doe", "+33 6 12 34 56 78",
        "0033612345678", "06 12 34 56 78", "(650) 555-1234", "13812345678", "+86 138 1234 5678", "https://jane:pw@x.org/a",
        "https://forum.example/u/jane_doe/summary", "https://mastodon.social/@jane", "https://x.com/jane/status/1", "http://x.org/~jane/",
        "https://www.linkedin.com/in/jane-doe",
    ],
)  # fmt: skip
def test_an_excerpt_names_nobody(text: str) -> None:
    """Addresses, numbers, handles and the parts of links that name a person are an ellipsis, the words beside them stay."""
    found = masked(f"say {text} or not")
    assert found.startswith("say ") and found.endswith(" or not") and "…" in found
    assert not any(part in found for part in ("jane", "doe", "612", "12 34", "555", "138", "pw"))


@pytest.mark.parametrize(
    "text",
    [
        "on 05.03.2025 at 12:30, and 2025-01-23 18:04", "1 000 000 000 users, 100,000 of them in 2024", "GPT 3.5-1106, v3.11.2, 8x7B, 0.85",
        "https://example.org/teams/meta-genai?x=1", "3 < 4 @ 5", "a/b, r/MachineLearning", "192.168.0.1:8080", "20250123",
    ],
)  # fmt: skip
def test_what_names_nobody_stays(text: str) -> None:
    """Dates, amounts, versions and ordinary links are quoted as they were written."""
    assert masked(text) == text
