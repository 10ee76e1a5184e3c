"""One echo is not a trend: who said it first is a voice, who repeats it is attention, in whatever order posts arrive."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from monitor import echo, schema, show
from monitor.alert import alert
from monitor.config import Config, Rule, Team
from monitor.records import ALL, Gone, Kind, Mention, Post, Score
from monitor.store import Reading, Store
from monitor.trend import settle_echoes, trend, window

NOON = dt.datetime(2025, 1, 23, 12, tzinfo=dt.UTC)
DAY = NOON.date()
CONFIG = Config(teams=(Team(id="meta", name="Meta"),))

BLIND = (
    "Engineers at Meta are moving frantically to dissect DeepSeek and copy anything and everything they can from it, I am not "
    "even exaggerating, and management is worried about justifying the massive cost of our organisation"
)
LE_MONDE = (
    f"Selon un message anonyme publié sur Blind, la panique gagne les équipes. « {BLIND[:118]} », écrit un salarié qui dit travailler dans "
    "le groupe, avant d'ajouter que les budgets seraient revus. L'entreprise n'a pas souhaité commenter ces propos."
)
FIGARO = (
    "Un employé raconte l'affolement des derniers jours dans un forum réservé aux professionnels : "
    f"{BLIND[:118].upper()}. Voilà le genre de témoignages qui circulent depuis lundi, et que personne ne dément officiellement chez Meta."
)
HAN = "我们组的人都在说DeepSeek的新模型比我们花了几个亿训练出来的要强得多，领导层现在天天开会，大家心里都很慌"


def post(number: str, text: str, author: str | None = None, *, hours: float = 0, source: str = "forum", kind: Kind = "voice") -> Post:
    at = NOON + dt.timedelta(hours=hours)
    return Post(source, number, "u", text, at, at, thread_id=number, author_key=author, kind=kind)


def collect(store: Store, posts: Iterable[Post | Gone]) -> None:
    """Store posts and understand what is new: each is about Meta, and good or bad as it begins."""
    store.read_by("reader", "m@1")
    store.save_posts(posts)
    for unread in store.unread(1000):
        value = -0.8 if unread.text.startswith("Engineers") else 0.4
        score = Score("m@1", max(0.0, -value), 1 - abs(value), max(0.0, value))
        reading = Reading(unread.id, unread.text_hash, "en", [Mention("meta", 0, 4)], {"meta": (unread.text_hash, score)})
        store.save_readings([reading], model="m@1", at=NOON)


def voices(store: Store) -> list[str]:
    """The ids of the posts that count toward Meta, after `trend`."""
    trend(store, min_authors=1)
    rows = store.rows(
        "SELECT source || ' ' || native_id FROM posts p JOIN echoes e ON e.post_id = p.id WHERE kind <> 'press' AND NOT repost"
    )
    counted = sum(row[0] for row in store.rows("SELECT posts FROM daily_trends WHERE source = '*'"))
    assert counted == len(rows)
    return sorted(row[0] for row in rows)


def stories(store: Store) -> set[frozenset[str]]:
    """Posts that belong together, by native id."""
    names = dict(tuple(row) for row in store.rows("SELECT id, native_id FROM posts"))
    found: dict[int, set[str]] = {}
    rows = store.rows("SELECT id FROM posts p JOIN echoes e ON e.post_id = p.id")
    origins = dict(tuple(row) for row in store.rows("SELECT post_id, origin_id FROM echoes"))
    for (one,) in rows:
        root = one
        while origins[root]:
            root = origins[root]
        found.setdefault(root, set()).add(names[one])
    return {frozenset(group) for group in found.values()}


def stored(store: Store) -> list[list[tuple[object, ...]]]:
    """What is stored of echoes and trends, whatever the posts' numbers are."""
    named = """SELECT p.source, p.native_id, e.posted_at, e.sketch, o.source, o.native_id, e.repost, e.marks FROM echoes e
               JOIN posts p ON p.id = e.post_id LEFT JOIN posts o ON o.id = e.origin_id ORDER BY 1, 2"""
    return [[tuple(row) for row in store.rows(sql)] for sql in (named, "SELECT * FROM daily_trends ORDER BY day, team, source, model")]


# ---- what counts ---------------------------------------------------------------------------------------------------


def test_two_articles_that_quote_one_post_are_one_voice(fresh_store: Store) -> None:
    """The post on Blind is a voice; the two French articles are attention, and the three are one story."""
    collect(
        fresh_store, [post("lm", LE_MONDE, kind="press", hours=5), post("fig", FIGARO, kind="press", hours=30), post("1", BLIND, "ann")]
    )
    assert voices(fresh_store) == ["forum 1"]
    assert stories(fresh_store) == {frozenset({"1", "lm", "fig"})}
    row = show.attention(fresh_store, CONFIG, DAY + dt.timedelta(days=1))[0]
    assert [row[name] for name in ("voices", "articles", "reposts", "stories")] == [1, 2, 0, 1]
    days = show.attention(fresh_store, CONFIG, DAY + dt.timedelta(days=1), "meta")
    assert [(day["day"], day["voices"], day["articles"], day["stories"]) for day in days] == [
        ("2025-01-24", 0, 1, 1),
        ("2025-01-23", 1, 1, 1),
    ]


def test_articles_on_a_post_that_is_not_known_are_one_story(fresh_store: Store) -> None:
    """Nobody's voice, two articles, one story; an article on something else is another."""
    other = "La société annonce un nouveau centre de données dans le nord du pays, qui emploiera une centaine de personnes d'ici deux ans."
    articles = [(LE_MONDE, "lm"), (FIGARO, "fig"), (other, "x")]
    collect(fresh_store, [post(number, text, kind="press", hours=n) for n, (text, number) in enumerate(articles)])
    assert voices(fresh_store) == [] and stories(fresh_store) == {frozenset({"lm", "fig"}), frozenset({"x"})}
    row = show.attention(fresh_store, CONFIG, DAY)[0]
    assert [row[name] for name in ("voices", "articles", "reposts", "stories")] == [0, 3, 0, 2]


def test_a_flood_of_copies_moves_nothing(fresh_store: Store) -> None:
    """Forty people paste one angry post: the mean, the number of people and the rules see one voice more, and no alert goes out."""
    calm = [post(f"calm {n}", f"Nothing to complain about at Meta, {n}", f"calm {n}") for n in range(9)]
    collect(fresh_store, calm)
    collect(fresh_store, [post("first", BLIND, "ann", hours=1)])
    trend(fresh_store, min_authors=5)
    before = fresh_store.rows("SELECT * FROM daily_trends WHERE source = '*'")[0]
    volume = fresh_store.volumes("forum", "m@1", DAY)[0]
    assert before["authors"] == 10
    copies = [post(str(n), f"{BLIND}!!", f"copier {n}", hours=2 + n / 10, source=("forum", "hn")[n % 2]) for n in range(40)]
    collect(fresh_store, copies)
    config = Config(
        teams=CONFIG.teams,
        rules=(Rule.model_validate({"id": "low", "type": "below", "threshold": -0.2, "recover": 0, "min_authors": 5, "confidence": 0.9}),),
    )
    trend(fresh_store, min_authors=5)
    assert tuple(fresh_store.rows("SELECT * FROM daily_trends WHERE source = '*'")[0]) == tuple(before)
    assert fresh_store.volumes("forum", "m@1", DAY)[0].authors == volume.authors == 10
    assert alert(fresh_store, config, now=NOON + dt.timedelta(days=1, hours=6)) == []
    assert show.overview(fresh_store, CONFIG, DAY)[0]["today_authors"] == 10
    row = show.attention(fresh_store, CONFIG, DAY)[0]
    assert [row[name] for name in ("voices", "articles", "reposts", "stories")] == [10, 0, 40, 1]


def test_who_adds_as_much_of_his_own_keeps_his_voice(fresh_store: Store) -> None:
    """Half quoted, half one's own is one's own; a sentence put before a copy is not."""
    words = BLIND.split()
    own = [word[::-1] for word in words[:16]]
    quoting = " ".join([*words[: len(own)], *own])
    collect(
        fresh_store, [post("1", BLIND, "ann"), post("2", quoting, "ben", hours=1), post("3", f"Just saw this. {BLIND}", "cat", hours=2)]
    )
    assert voices(fresh_store) == ["forum 1", "forum 2"]
    assert stories(fresh_store) == {frozenset("123")}


def test_an_edited_copy_is_a_copy(fresh_store: Store) -> None:
    """Case, punctuation, line breaks and a word here and there do not make words one's own; other accents make other words."""
    words = BLIND.split()
    words[3], words[11], words[20] = "have been", "take", "all"
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", ",\n".join(words).upper(), "ben", hours=1)])
    assert voices(fresh_store) == ["forum 1"]
    plain, marked = "ou la la peche a la ligne est salee", "où là là pêche à là ligne est salée"
    assert echo.standing(said(plain, "a"), [said(plain.title() + "...", "b")]) == (1, True)
    assert echo.standing(said(plain, "a"), [said(marked, "b")]) == (None, False)


def test_chinese_is_compared_by_characters(fresh_store: Store) -> None:
    """A copy with other punctuation and a quotation inside a longer post are found; a few characters in common are nothing."""
    copy, quoting = HAN.replace("，", "!").replace("DeepSeek", "ＤｅｅｐＳｅｅｋ"), f"昨天看到有人写“{HAN[5:40]}”，不知道是真是假，"
    quoting += "我个人觉得事情没有那么夸张，我身边的同事该干嘛还是干嘛，没有谁真的因为这件事情睡不着觉，预算也没有变"
    collect(fresh_store, [post("1", HAN, "ann"), post("2", copy, "ben", hours=1), post("3", quoting, "cat", hours=2)])
    collect(fresh_store, [post("4", "领导层现在天天开会，可是什么都没有决定下来，真是让人失望透顶了", "dan", hours=3)])
    assert voices(fresh_store) == ["forum 1", "forum 3", "forum 4"]
    assert stories(fresh_store) == {frozenset("123"), frozenset("4")}


@pytest.mark.parametrize(
    "text", ["same here", "+1 for DeepSeek", "DeepSeek is so much better than our model", "同意，DeepSeek真的太强了！"]
)
def test_short_posts_are_anybody_s(fresh_store: Store, text: str) -> None:
    """What everyone says in the same few words is said by everyone."""
    collect(fresh_store, [post(str(n), text, f"author {n}", hours=n) for n in range(6)])
    assert len(voices(fresh_store)) == 6 and len(stories(fresh_store)) == 6


def test_one_who_repeats_himself_is_no_echo(fresh_store: Store) -> None:
    """His words stay his, even after somebody else has copied them; the same words by another author, known or not, are an echo."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=1), post("3", BLIND, "ann", hours=30)])
    collect(fresh_store, [post("4", BLIND, hours=31), post("5", BLIND, hours=32)])
    assert voices(fresh_store) == ["forum 1", "forum 3"]
    assert [row.authors for row in fresh_store.trends(source=ALL, model="m@1")] == [1, 1]
    assert window(fresh_store.voices(DAY, last := DAY + dt.timedelta(days=2)), DAY, last, min_authors=1)["meta"].authors == 1


def test_press_takes_no_words_away(fresh_store: Store) -> None:
    """An article that bears an earlier date than the post that it quotes does not make the post an echo; a second paste is one."""
    collect(fresh_store, [post("lm", LE_MONDE, kind="press", hours=-12), post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=1)])
    assert voices(fresh_store) == ["forum 1"]
    assert stories(fresh_store) == {frozenset({"1", "2", "lm"})}


def test_an_import_leads_as_a_voice_does(fresh_store: Store) -> None:
    """A post that a user lawfully holds is an employee's voice like any other."""
    collect(fresh_store, [post("2", BLIND, "ben", hours=1), post("1", BLIND, "ann", source="blind", kind="import")])
    assert voices(fresh_store) == ["blind 1"]


def test_after_two_months_words_are_said_anew(fresh_store: Store) -> None:
    """The same complaint in the next season is news again."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=24 * 60), post("3", BLIND, "cat", hours=24 * 125)])
    assert voices(fresh_store) == ["forum 1", "forum 3"]


# ---- what changes --------------------------------------------------------------------------------------------------


def test_an_original_that_comes_later_takes_the_lead(fresh_store: Store) -> None:
    """A copy counts until the post that it copies is stored; both days are then computed anew. A tie is led by source, then id."""
    collect(fresh_store, [post("2", BLIND, "ben", hours=24, source="hn")])
    assert voices(fresh_store) == ["hn 2"]
    collect(fresh_store, [post("1", BLIND, "ann")])
    assert voices(fresh_store) == ["forum 1"]
    assert [row.day for row in fresh_store.trends(source=ALL, model="m@1")] == [DAY]
    collect(fresh_store, [post("0", BLIND, "cat"), post("0", BLIND, "dan", source="blind")])
    assert voices(fresh_store) == ["blind 0"]


def test_a_leader_that_goes_passes_the_lead_on(fresh_store: Store) -> None:
    """Deleted, or edited into something else, it leads no more, and nothing of its words is kept; who comes next counts."""
    collect(fresh_store, [post(str(n), BLIND, f"author {n}", hours=n) for n in range(1, 4)])
    assert voices(fresh_store) == ["forum 1"]
    collect(fresh_store, [Gone("forum", "1")])
    assert voices(fresh_store) == ["forum 2"]
    assert fresh_store.rows("SELECT 1 FROM echoes WHERE post_id = 1") == []
    collect(
        fresh_store,
        [post("2", "I was wrong about all of this at Meta, and I am sorry that I wrote it in such a hurry.", "author 2", hours=2)],
    )
    assert voices(fresh_store) == ["forum 2", "forum 3"] and len(stories(fresh_store)) == 2


def test_a_row_that_is_removed_passes_the_lead_on(fresh_store: Store) -> None:
    """Whatever removes a post, be it a row deleted by hand, those who repeated it are told."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=1)])
    assert voices(fresh_store) == ["forum 1"]
    with fresh_store.writing() as connection:
        connection.execute("INSERT INTO dirty_days VALUES ('2025-01-23', 'meta', 1)")
        connection.execute("DELETE FROM posts WHERE native_id = '1'")
    assert voices(fresh_store) == ["forum 2"] and len(fresh_store.rows("SELECT 1 FROM echoes")) == 1


def test_a_post_of_another_time_author_or_kind_is_judged_anew(fresh_store: Store) -> None:
    """What a site says of a post later than its words counts from the next `trend` on."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, hours=1)])
    assert voices(fresh_store) == ["forum 1"]
    collect(fresh_store, [post("2", BLIND, hours=-24 * 100)])
    assert voices(fresh_store) == ["forum 1", "forum 2"]
    collect(fresh_store, [post("2", BLIND, hours=-24)])
    assert voices(fresh_store) == ["forum 2"]
    collect(fresh_store, [post("2", BLIND, "ann", hours=-24)])
    assert voices(fresh_store) == ["forum 1", "forum 2"]
    collect(fresh_store, [post("2", BLIND, "ann", hours=-24, kind="press")])
    assert voices(fresh_store) == ["forum 1"]


def test_a_post_that_names_no_team_any_more_leads_nobody(fresh_store: Store) -> None:
    """When the aliases in config.yaml change, posts that fall out are not compared with."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=1)])
    assert voices(fresh_store) == ["forum 1"]
    first = fresh_store.rows("SELECT id, text_hash FROM posts WHERE native_id = '1'")[0]
    fresh_store.save_readings([Reading(first["id"], first["text_hash"], "en", [], {})], model="m@1", at=NOON)
    assert voices(fresh_store) == ["forum 2"]


def test_a_run_that_was_killed_is_gone_on_with(fresh_store: Store) -> None:
    """Between sketching and judging, or half of the posts taken out: the next run finds the same as an undisturbed one."""
    posts = [post(str(n), BLIND, f"author {n}", hours=n) for n in range(4)]
    collect(fresh_store, posts)
    joining = fresh_store.joining_echoes(9)
    fresh_store.save_sketches([(joining[0][0], joining[0][1], echo.sketch(BLIND))])
    assert voices(fresh_store) == ["forum 0"]
    undisturbed = stored(fresh_store)
    with fresh_store.writing() as connection:
        connection.execute("UPDATE echoes SET marks = 1")
    fresh_store.save_standings({}, left=[joining[0][0], joining[2][0]])
    assert voices(fresh_store) == ["forum 0"] and stored(fresh_store) == undisturbed


def test_only_what_changed_is_read_again(fresh_store: Store) -> None:
    """A run after nothing happened marks no day; a new post that repeats nobody marks only its own."""
    collect(fresh_store, [post("1", BLIND, "ann"), post("2", BLIND, "ben", hours=30)])
    assert trend(fresh_store, min_authors=1) == 2
    settle_echoes(fresh_store)
    assert fresh_store.dirty_days() == {}
    collect(fresh_store, [post("3", LE_MONDE.replace(BLIND[:118], ""), "cat", hours=60)])
    assert trend(fresh_store, min_authors=1) == 1


def test_a_database_from_before_echoes_is_grouped(tmp_path: Path) -> None:
    """What was understood by an older version is compared by the first `trend` of this one."""
    path = tmp_path / "monitor.db"
    old = sqlite3.connect(path, isolation_level=None)
    schema.migrations.apply(Database(old, execute_plugins=False), stop_before="m005_echoes")
    old.execute(f"PRAGMA user_version = {old.execute('SELECT count(*) FROM _sqlite_migrations').fetchone()[0]}")
    old.execute("INSERT INTO meta VALUES ('model', 'm@1')")
    for n, author in ((1, "ann"), (2, "ben")):
        old.execute(
            """INSERT INTO posts (source, native_id, url, text, author_key, posted_at, date_origin, fetched_at, kind, text_hash, unread)
               VALUES ('hn', ?, 'u', ?, ?, ?, 'site', '', 'voice', 'h', 0)""",
            (str(n), BLIND, author, f"2025-01-23T1{n}:00:00Z"),
        )
        old.execute("INSERT INTO mentions VALUES (?, 'meta', 0, 6)", (n,))
        old.execute("INSERT INTO scores VALUES (?, 'meta', 'm@1', 'h', 0.1, 0.2, 0.7, 0.6, 'positive', '', 'm@1')", (n,))
        old.execute("INSERT OR IGNORE INTO dirty_days VALUES ('2025-01-23', 'meta', 1)")
    old.close()
    with Store(path) as store:
        assert voices(store) == ["hn 1"]


# ---- invariants ----------------------------------------------------------------------------------------------------

PARTS = [
    BLIND[:118],
    BLIND[119:],
    LE_MONDE[-120:],
    FIGARO[-110:],
    HAN,
    "same here",
    "I do not think that Meta will ever let us say so in public",
]
WRITTEN = st.lists(
    st.builds(
        lambda parts, author, hours, source, kind: post(
            f"{hours} {author} {len(parts)}", ". ".join(parts), author, hours=hours, source=source, kind=kind
        ),
        parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
        author=st.sampled_from(["ann", "ben", "cat", None]),
        hours=st.sampled_from([0, 1, 30, 24 * 50, 24 * 59, 24 * 61, 24 * 110]),
        source=st.sampled_from(["forum", "hn"]),
        kind=st.sampled_from(["voice", "voice", "press", "import"]),
    ),
    max_size=14,
    unique_by=lambda one: (one.source, one.native_id),
)


@settings(max_examples=8, deadline=None)
@given(WRITTEN, st.integers(0, 14), st.randoms(use_true_random=False), st.data())
def test_the_order_of_arrival_changes_nothing(posts: list[Post], cut: int, random, data) -> None:  # type: ignore[no-untyped-def]
    """In two rounds, in another order, built anew, or with posts that came and went: the same standings and trends, to the last bit."""
    passing = data.draw(st.lists(st.sampled_from(posts), unique=True) if posts else st.just([]))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "a.db")) as store, Store(Path(folder, "b.db")) as other:
        collect(store, posts[:cut])
        trend(store, min_authors=1)
        collect(store, posts[cut:])
        trend(store, min_authors=1)
        found = stored(store)
        trend(store, min_authors=1, rebuild=True)
        assert stored(store) == found
        collect(other, [post(f"was {n}", one.text, "dan", hours=-1) for n, one in enumerate(passing)])
        collect(other, random.sample(posts, len(posts)))
        trend(other, min_authors=1)
        collect(other, [Gone("forum", f"was {n}") for n in range(len(passing))])
        trend(other, min_authors=1)
        assert stored(other) == found


def said(text: str, author: str) -> echo.Said:
    return echo.Said(1, echo.Words(text), spoken=True, author=author)


WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=4) | st.sampled_from([*HAN[:12]]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS, st.lists(st.text("klmnop", min_size=2, max_size=5), min_size=12, max_size=30))
def test_a_shared_passage_is_always_found(a: list[str], b: list[str], c: list[str], d: list[str], passage: Sequence[str]) -> None:
    """Two texts with twelve words in a row in common, whatever is around them, share a key, and are of one story."""
    one, two = " ".join([*a, *passage, *b]), " ".join([*c, *passage, *d])
    assert set(echo.keys_of(echo.sketch(one))) & set(echo.keys_of(echo.sketch(two)))
    assert echo.standing(said(two, "b"), [said(one, "a")])[0] == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abcdefghij", min_size=3, max_size=6), min_size=20, max_size=80, unique=True), st.data())
def test_words_of_one_s_own_are_never_an_echo(words: list[str], data: st.DataObject) -> None:
    """Two texts that have no four words in a row in common have nothing to do with each other."""
    other = data.draw(st.permutations(words))
    assume(not {tuple(words[n : n + 4]) for n in range(len(words) - 3)} & {tuple(other[n : n + 4]) for n in range(len(other) - 3)})
    assert echo.standing(said(" ".join(words), "a"), [said(" ".join(other), "b")]) == (None, False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 12), max_size=5), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=12))
def test_who_held_a_key_first_is_found(rows: list[tuple[list[int], bool, bool, int]]) -> None:
    """The same as by looking at every pair of posts."""
    months, keys = 0, []
    times = [months := months + step for *_, step in rows]
    keys = [np.array(held, "<u4") for held, *_ in rows]
    month = int(echo.REACH.total_seconds()) // 2
    posts = echo.Sketched.of((n, times[n] * month, spoken, 0, 0, keys[n].tobytes()) for n, (_, spoken, _, _) in enumerate(rows))
    gone = np.array([gone for _, _, gone, _ in rows], np.bool_)
    wanted = {}
    for n, (held, *_) in enumerate(rows):
        near = [m for m in range(n) if times[n] - times[m] <= 2 and not gone[m]]
        first = {min((m for m in near if key in rows[m][0] and (rows[m][1] or any_kind)), default=n) for key in held for any_kind in (0, 1)}
        if not gone[n] and first - {n}:
            wanted[n] = sorted(first - {n})
    assert dict(echo.earlier(posts, ~gone, gone)) == wanted


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.real  # the command line, several times
def test_show_attention(
    write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """In real processes with the real model: what is said and what is passed on, per team and per day, as table, JSON and CSV."""
    write_config()
    for source, kind, texts in (("blind", "import", [BLIND, BLIND]), ("news", "press", [LE_MONDE, FIGARO])):
        lines = [
            {"id": str(n), "text": f"{text} DeepSeek", "author": f"{source} {n}", "date": f"2025-01-{23 + n}T10:00:00Z", "kind": kind}
            for n, text in enumerate(texts)
        ]
        file = tmp_path / f"{source}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        assert forum_monitor("import", file, "--source", source).returncode == 0
    assert forum_monitor("show", "--attention", "--day", "2025-01-24").stdout == "No team was named in these days.\n"
    assert forum_monitor("understand").returncode == forum_monitor("trend").returncode == 0
    rows = json.loads(forum_monitor("show", "--attention", "--day", "2025-01-25", "--json").stdout)
    assert rows[0] == {
        "team": "deepseek", "name": "DeepSeek", "first_day": "2025-01-19", "last_day": "2025-01-25",
        "voices": 1, "articles": 2, "reposts": 1, "stories": 1,
    }  # fmt: skip
    assert [row["team"] for row in rows] == ["deepseek", "meta-genai"] and rows[1]["voices"] == 0
    days = forum_monitor("show", "deepseek", "--attention", "--day", "2025-01-25", "--csv").stdout
    assert days == "team,day,voices,articles,reposts,stories\ndeepseek,2025-01-24,0,1,1,1\ndeepseek,2025-01-23,1,1,0,1\n"
    table = forum_monitor("show", "--attention", "--day", "2025-01-25").stdout
    assert "press articles" in table and "DeepSeek" in table and "Meta GenAI" not in table
