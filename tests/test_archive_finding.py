"""A cheap look at each row of an archive passes over nothing that names a team, and what a store forgot is not handed on."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
pytest.importorskip("zstandard")
pytest.importorskip("fsspec")

import pyarrow.parquet as pq  # noqa: E402

from monitor.archive import shapes  # noqa: E402
from monitor.archive.finding import Sieve, candidates  # noqa: E402
from monitor.archive.inputs import plan  # noqa: E402
from monitor.archive.job import Job, Tally  # noqa: E402
from monitor.archive.layout import Root  # noqa: E402
from monitor.config import Scorer, Team  # noqa: E402
from monitor.mentions import Finder  # noqa: E402
from monitor.privacy import AuthorKeys, author_key  # noqa: E402
from monitor.records import ALL, MAX_TEXT, Mention, Post  # noqa: E402
from monitor.store.posts import hidden_id, mark  # noqa: E402

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

NOW = dt.datetime(2025, 1, 31, 12, 0, tzinfo=dt.UTC)
KEY = b"k" * 32
TEAMS = tuple(
    Team.model_validate({"id": name.lower(), "name": name, "aliases": aliases})
    for name, aliases in {
        "OpenAI": ["OpenAI", "Open AI", "GPT-4o", {"text": "Sora", "case": True}],
        "xAI": ["x.ai", "xAI"],
        "Meta": [{"text": "FAIR", "case": True, "needs": ["meta", "LeCun"]}, "V-JEPA", {"text": "Meta AI", "not": ["Meta AI bot"]}],
        "Qwen": ["Qwen", "通义千问", "Kimi K2"],
        "Other": ["ΝΕΟΣ", "Île AI", "café", "İzmir"],
    }.items()
)
FINDER, SIEVE = Finder(TEAMS), Sieve(TEAMS)


Find = Callable[..., tuple[list[tuple[Post, list[Mention]]], Tally]]


@pytest.fixture
def found(tmp_path: Path) -> Find:
    """What `candidates` finds in rows, given as JSON lines, and its count."""

    def find(*rows: dict[str, Any] | str, source: str | None = "forum", **job: Any) -> tuple[list[tuple[Post, list[Mention]]], Tally]:
        path = tmp_path / "in.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
        (split,), _ = plan([str(path)], source=source, shape=None)
        keys, none = AuthorKeys(KEY, KEY), frozenset()
        given = {"forgotten": none, "gone": none} | job
        made = Job(Root(str(tmp_path)), "a", TEAMS, "r", Scorer(), "m", keys, now=NOW, **given)
        tally = Tally()
        return list(candidates(split, made, tally)), tally

    return find


def ids(found: tuple[list[tuple[Post, list[Mention]]], Tally]) -> list[str]:
    return [post.native_id for post, _ in found[0]]


def row(number: int, text: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "text": text, "created_at": f"2024-05-{number:02}T12:00:00Z", **fields}


# ---- nothing is passed over -------------------------------------------------------------------------------------------

NAMES = [alias.text for team in TEAMS for alias in team.aliases]
JOINTS = [
    "<b>", "</b>", "<i>", "</i></b>", "<p>", "<br/>", "</a> ", "<script>x</script>", "<!-- c -->", "<blockquote>q</blockquote>",
    "&shy;", "&#173;", "\u00ad", "\u200b", "&amp;shy;", "&#x27;", "&quot;", "&gt;", "&lt;b&gt;", "&nbsp;", "\n", "\r\n", " ", ".", "-", "_",
    "*", "**", "~~", "`", "\\", "](http://x.example)", "[", "]", "![a](b)", "<img class=emoji alt='", "'>", "<i class='tw-x' title='",
    "\u0301", "\b", "\0", "\x0b", "\u2028", "<td>", "</q>", "<span class=x>", "\n> ", "2.5", "é", "的", "&#65;", "[quote]", "[/quote]",
    "＜", "’", "\ud83d",
]  # fmt: skip


def _forms(name: str) -> st.SearchStrategy[str]:
    """A name as people and markup write it: in capitals, full width, decomposed, with entities, or with something within."""
    wide = "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in name)
    coded = "".join(f"&#{ord(letter)};" for letter in name)
    kelvin = name.replace("K", "\u212a").replace("É", "E\u0301").replace("é", "e\u0301")
    parted = st.tuples(st.integers(0, len(name)), st.lists(st.sampled_from(JOINTS), max_size=2)).map(
        lambda cut: name[: cut[0]] + "".join(cut[1]) + name[cut[0] :]
    )
    return st.sampled_from([name, name.upper(), name.lower(), wide, coded, kelvin]) | parted


TEXTS = st.lists(st.sampled_from(NAMES).flatmap(_forms) | st.sampled_from([*JOINTS, " and ", "x"]), min_size=1, max_size=4).map("".join)
ROWS: dict[str, tuple[Callable[[str], dict[str, Any]], ...]] = {
    "hackernews": (
        lambda text: {"id": 1, "type": "comment", "by": "a", "time": 1, "parent": 0, "text": text},
        lambda text: {"id": 1, "type": "story", "by": "a", "time": 1, "title": text},
    ),
    "reddit": (
        lambda text: {"id": "a", "subreddit": "s", "created_utc": 1, "body": text},
        lambda text: {"id": "a", "subreddit": "s", "created_utc": 1, "title": "x", "selftext": "x", "selftext_html": text},
    ),
    "discourse": (
        lambda text: {"id": 1, "topic_id": 1, "post_number": 2, "raw": text},
        lambda text: {"id": 1, "topic_id": 1, "post_number": 1, "cooked": text, "topic_title": text},
    ),
    "export": (lambda text: {"source": "s", "native_id": "1", "posted_at": 1, "url": "", "text": text},),
    "mapping": (lambda text: {"id": 1, "Text": text}, lambda text: {"id": 1, "title": text}),
}


@settings(max_examples=150, deadline=None)
@given(TEXTS)
@example("Open<b>AI</b>")
@example("Open**A**I")
@example("[Open](http://a.example)AI")
@example("Ｏｐｅｎ\u00adＡＩ")
def test_whatever_the_finder_would_find_passes(text: str) -> None:
    """However markup, entities, hidden characters and line breaks stand in a name, a row of which a post would name a team passes."""
    for shape, forms in ROWS.items():
        for form in forms:
            told = form(text)
            post = shapes.post(shape, told, "s", mapping={}, hide=lambda *_: "k", now=NOW, kind="import")
            if isinstance(post, Post) and FINDER.find(post.text, post.title or ""):
                texts = shapes.SHAPES[shape].texts(told, {})
                assert any(SIEVE.passes(each, shapes.SHAPES[shape].markup) for each in texts), (shape, told)


@pytest.mark.parametrize(
    "text", ["an open mind", "sora the bird", "fair enough", "openair and maxai", "<p>It&#x27;s <i>so</i>.<p>R &amp; D"]
)
def test_what_names_nobody_is_passed_over(text: str) -> None:
    """Words within words, words in another case, parts of a name and everyday markup cost no closer look."""
    assert not SIEVE.passes(text, "html")


def test_what_is_too_long_to_be_looked_at_is_read(found: Find) -> None:
    """A text longer than the store keeps passes unseen, and is cut as in a crawl before it is searched."""
    assert ids(found(row(1, "x " * MAX_TEXT + "OpenAI"), row(2, "OpenAI " + "x " * MAX_TEXT))) == ["2"]


# ---- what is handed on ------------------------------------------------------------------------------------------------


def test_posts_come_with_their_mentions_in_order_and_all_is_counted(found: Find) -> None:
    """Each post that names a team comes with its mentions, the thread's title helps, and rows, posts and broken lines are counted."""
    rows = [
        row(1, "OpenAI"), "{broken", row(3, "nobody"), row(4, "at FAIR", title="meta", thread_id="t"), row(5, "at FAIR"), {"id": 6},
        row(7, "OpenAI and xAI"),
    ]  # fmt: skip
    posts, tally = found(*rows)
    assert [(post.native_id, [mention.team for mention in mentions]) for post, mentions in posts] == [
        ("1", ["openai"]), ("4", ["meta"]), ("7", ["openai", "xai"]),
    ]  # fmt: skip
    assert (tally.rows, tally.posts, tally.named, tally.rejected) == (6, 5, 3, 2)
    assert ["line 2: it is not JSON" in tally.places[0], "line 6: it has no text" in tally.places[1]] == [True, True]


def test_days(found: Find) -> None:
    """Only posts from `since` to `until`, both included, are handed on."""
    rows = [row(day, "OpenAI") for day in (1, 2, 3, 4)]
    assert ids(found(*rows, since=dt.date(2024, 5, 2), until=dt.date(2024, 5, 3))) == ["2", "3"]


def test_what_was_forgotten_does_not_come_back(found: Find) -> None:
    """Authors, titles, posts and threads that a store forgot, and posts that are gone, are left out; another source's are not."""
    rows = [
        row(1, "OpenAI", author="ada"),
        row(2, "OpenAI", author="bob"),
        row(3, "OpenAI"),
        row(4, "at FAIR", title="meta", thread_id="t"),
    ]
    forgotten = frozenset({mark("author", "forum", author_key(KEY, "forum", "ada")), mark("title", "forum", "meta")})
    assert ids(found(*rows, forgotten=forgotten)) == ["2", "3"]
    assert ids(found(*rows, gone=frozenset({("forum", "2"), ("forum", hidden_id("forum", "3")), ("other", "1")}))) == ["1", "4"]
    long = "at://did:plc:somebody/1"
    ((post, _),), _ = found(row(1, "OpenAI", thread_id=long, parent_id=long), gone=frozenset({("forum", hidden_id("forum", long))}))
    assert (post.parent_id, post.thread_id) == (None, hidden_id("forum", long))


def test_a_post_that_an_export_holds_once_for_each_team_comes_once(found: Find) -> None:
    """Rows of `export posts` repeat a post for each team that it names: it is one post."""
    told = {"posted_at": "2024-05-01T00:00:00Z", "source": "s", "url": "https://a.example/1", "excerpt": "OpenAI and xAI"}
    posts, tally = found(*(told | {"team": team} for team in ("openai", "xai")), source=None)
    assert len(posts) == tally.named == 1 and posts[0][0].source == "s" != ALL


def test_tables_give_what_lines_give(tmp_path: Path, found: Find) -> None:
    """The same rows as Parquet and as JSON lines give the same posts."""
    rows = [row(1, "OpenAI", author="ada"), row(2, "nobody"), row(3, "Qwen2.5")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (split,), _ = plan([str(tmp_path / "a.parquet")], source="forum", shape=None)
    job = Job(Root(str(tmp_path)), "a", TEAMS, "r", Scorer(), "m", AuthorKeys(KEY, KEY), frozenset(), frozenset(), NOW)
    assert list(candidates(split, job, Tally())) == found(*rows)[0]


def test_an_address_that_cannot_be_stored_costs_no_run(found: Find) -> None:
    """A lone surrogate in an address becomes what it becomes in the store, since no file could hold it."""
    told = {"id": "a", "subreddit": "s", "created_utc": 1_700_000_000, "body": "OpenAI", "permalink": "/r/\ud800/a"}
    [(post, _)], _ = found(told)
    assert post.url == "https://www.reddit.com/r/?/a"
