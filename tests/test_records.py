"""Times and texts as the store keeps them, for anything that a site may send."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.records import MAX_TEXT, Score, clean, from_text, text_hash, to_text

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
"""Every code point, lone surrogates included."""
ODD_TEXT = st.lists(
    st.sampled_from(["e", "\u0301", "\u200b", "\u200d", "👩", "\ud83d", "\ude00", "\r", "\n", "\0", "\u202e", "\ufeff", "مر", " "])
)


@given(ANY_TEXT | ODD_TEXT.map("".join))
def test_cleaned_text_is_clean(text: str) -> None:
    """Whatever comes in: cleaning twice is cleaning once, and what comes out is NFC and holds nothing that cannot be kept or seen."""
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned) and cleaned == cleaned.strip()
    assert not re.search("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", cleaned)


@given(ANY_TEXT | ODD_TEXT.map("".join))
def test_cleaned_text_comes_back_from_sqlite_as_it_went_in(text: str) -> None:
    """Every cleaned text can be stored, keeps its length in characters (mentions are offsets), and has a hash."""
    cleaned = clean(text)
    found, length = sqlite3.connect(":memory:").execute("SELECT :text, length(:text)", {"text": cleaned}).fetchone()
    assert found == cleaned and length == len(cleaned) and re.fullmatch("[0-9a-f]{32}", text_hash(cleaned))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("cafe\u0301", "café"),
        ("e\u200b\u0301", "é"),
        ("👩\u200d🔬 👨\u200d👩\u200d👧 🇫🇷 👍🏽", "👩\u200d🔬 👨\u200d👩\u200d👧 🇫🇷 👍🏽"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\ud83d\ude00!", "😀!"),
        ("a\ud83db", "a\ufffdb"),
        ("a\udc00", "a\ufffd"),
        ("a\0b\x07", "ab"),
        ("soft\xadware \u202eevil\u202c\u2066", "software evil"),
        ("one\r\ntwo\rthree\x0cfour\u2028five\x85six\tseven", "one\ntwo\nthree\nfour\nfive\nsix\tseven"),
        ("  \ufeff\u200b \n", ""),
    ],
)
def test_clean_keeps_what_is_written_and_drops_what_only_disturbs(text: str, cleaned: str) -> None:
    """Emoji, joined scripts and accents stay; controls, direction marks and halves of characters go; line breaks are newlines."""
    assert clean(text) == cleaned


def test_a_text_of_ten_megabytes_is_cut() -> None:
    """One enormous post does not fill the store, whatever the cut goes through."""
    assert len(clean("x" * 10_000_000)) == MAX_TEXT
    assert len(clean("\u200b" * 10_000_000 + "x")) == 0
    cut = clean("e\u0301" * 5_000_000)
    assert cut == "é" * MAX_TEXT and clean(cut) == cut


MOMENTS = st.datetimes(timezones=st.timezones() | st.integers(-1439, 1439).map(lambda n: dt.timezone(dt.timedelta(minutes=n))))


@given(MOMENTS)
def test_a_time_comes_back_as_the_same_second(moment: dt.datetime) -> None:
    """Any year, any zone: 20 characters of UTC that read back as the same moment, to the second."""
    text = to_text(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    if 1 < moment.year < 9999:
        assert from_text(text) == moment.astimezone(dt.UTC).replace(microsecond=0)
    assert to_text(from_text(text)) == text


@given(st.lists(MOMENTS, min_size=2, max_size=2))
def test_times_sort_as_text(moments: list[dt.datetime]) -> None:
    """The store compares times as text."""
    first, second = sorted(to_text(moment) for moment in moments)
    assert from_text(first) <= from_text(second)


def test_a_time_beyond_the_calendar_is_its_nearest_end() -> None:
    """A broken date with an offset must not fail the batch that it comes in."""
    assert to_text(dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))) == "0001-01-01T00:00:00Z"
    assert to_text(dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-5)))) == "9999-12-31T23:59:59Z"


def test_a_time_without_a_zone_is_refused() -> None:
    """It could be any of 26 hours; guessing one would move posts to other days."""
    with pytest.raises(ValueError, match="time zone"):
        to_text(dt.datetime(2025, 1, 23))  # noqa: DTZ001 (that is the point)


@pytest.mark.parametrize(
    ("shares", "label"),
    [((0.5, 0.3, 0.2), "negative"), ((0.2, 0.3, 0.5), "positive"), ((0.4, 0.2, 0.4), "neutral"), ((0.4, 0.4, 0.2), "neutral")],
)
def test_a_score_has_the_likeliest_label(shares: tuple[float, float, float], label: str) -> None:
    """A tie takes no side; the value is positive minus negative."""
    score = Score("m@1", *shares)
    assert score.label == label and score.value == pytest.approx(shares[2] - shares[0])
