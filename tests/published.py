"""A store with everything that must not leave it, of which tests publish a snapshot, and how they look for it there."""

from __future__ import annotations

import datetime as dt
import random
import struct
from pathlib import Path

from monitor.config import Config, load
from monitor.privacy import withheld
from monitor.records import ALL, DailyTrend, Mention, Post, Score, text_hash
from monitor.store import Counts, Reading, Step, Store

NOW = dt.datetime(2025, 1, 24, 12, tzinfo=dt.UTC)
MODEL = "m@1"
FIRST = dt.date(2025, 1, 10)

PEOPLE = {"forum": [9, 8, 7, 9], "board": [6, 3, 12, 2], "wall": [2, 0, 11, 1]}
"""People by source, in a cycle of days: now a source is too small, now it must go for another one's sake, now all are shown."""

URLS = (
    "https://forum.example/t/{n}", "https://social.example/@ada/{n}", "https://bsky.app/profile/ada.example/post/{n}",
    "https://forum.example/u/ada/posts/{n}",
)  # fmt: skip

CONFIG = """
database: monitor.db
privacy: {min_authors: 5}
teams: [{id: meta, name: Meta}, {id: meta-genai, name: Meta GenAI, parent: meta}]
sources:
  - {name: forum, type: discourse, terms: {read_on: 2025-01-02, by: Grace, allows: "reading, at night", note: "ask Linus"}, options: {url: "https://forum.example"}}
"""

MOVED = "Against 2025-01-01 to 2025-01-18 the mean of 9 people {} moved by -0.31."
HEARD = "Words heard more than before: zanzibar, turquoise."


def build(folder: Path) -> Config:
    """Write a config.yaml and its store; posts tell of Meta GenAI, by people whose keys and words are drawn."""
    (folder / "config.yaml").write_text(CONFIG, "utf-8")
    config, problems = load(folder / "config.yaml")
    assert not problems, problems
    with Store(config.database) as store:
        posts = list(_posts())
        store.save_posts(posts)
        store.read_by("reader", MODEL)
        score = Score(MODEL, 0.7, 0.2, 0.1)
        readings = [
            Reading(u.id, u.text_hash, "en", [Mention("meta-genai", 0, 4)], {"meta-genai": (text_hash(u.text), score)})
            for u in store.unread(1000)
        ]
        store.save_readings(readings, model=MODEL, at=NOW)
        store.replace_trends({}, cells())
        crawl = store.begin_crawl("forum", NOW)
        for first, last in ((10, 12), (15, 24)):
            span = tuple(dt.datetime(2025, 1, day, tzinfo=dt.UTC) for day in (first, last))
            store.end_crawl(crawl, NOW, finish_reason="finished", counts=Counts(), covered=(span[0], span[1]))
        store.save_steps(alerts(), targets=[], at=NOW)
    return config


def _posts() -> list[Post]:
    draw = random.Random(1)
    at = dt.datetime(2025, 1, 10, 9, tzinfo=dt.UTC)
    return [
        Post(
            source, f"{source}-{n}", URLS[n % len(URLS)].format(n=n), f"My words number {draw.getrandbits(40):x}, write to me@mail.example",
            at + dt.timedelta(hours=9 * n), NOW, thread_id=f"t{n}", title=f"A title {draw.getrandbits(40):x}",
            author_key=f"{draw.getrandbits(128):032x}",
        )
        for source in PEOPLE
        for n in range(40)
    ]  # fmt: skip


def cells() -> list[DailyTrend]:
    """Daily figures that are told apart from one another in every digit, to the day that goes on; and those of an older model."""
    draw = random.Random(2)

    def cell(day: dt.date, source: str, authors: int, model: str = MODEL) -> DailyTrend:
        figures = [draw.uniform(-1, 1) for _ in range(8)] if authors >= 5 else [None] * 8
        return DailyTrend(day, "meta-genai", source, model, authors + 1, authors, authors, authors >= 5, *figures)

    found = []
    for n in range(15):
        day = FIRST + dt.timedelta(days=n)
        people = {source: counts[n % 4] for source, counts in PEOPLE.items() if counts[n % 4]}
        found += [cell(day, ALL, sum(people.values())), cell(day, ALL, 20, "old@0")]
        found += [cell(day, source, authors) for source, authors in people.items()]
    return found


def alerts() -> list[Step]:
    """Alerts on everything and on single sources, one of the latter closed by a smaller sibling, and one on the crawler itself."""

    def step(
        rule: str, type_: str, source: str, value: float, team: str = "meta-genai", authors: int = 9, days: str = "on 2025-01-20"
    ) -> Step:
        day = dt.date(2025, 1, 20)
        figures = {
            "value": value,
            "before": value / 3,
            "threshold": 0.1,
            "low": value / 5,
            "high": value / 7,
            "authors": authors,
            "posts": 9,
        }
        event = ("normal", "firing", day, f"Sentiment was {value} in {source}.")
        return Step(rule, type_, team, source, MODEL, "firing", day, day, 0, event, figures, why=f"{MOVED.format(days)} {HEARD}")

    return [
        step("all", "drop", ALL, -0.31425),
        step("long", "shift", ALL, -0.2, days="from 2025-01-19 to 2025-01-20"),
        step("closed", "drop", "board", -0.27183),
        step("few", "drop", ALL, -0.57721, authors=4),
        step("many", "spike", "board", 41.0),
        step("stopped", "stopped", "forum", 0.0, team=ALL),
    ]


def figures(trend: DailyTrend) -> list[float]:
    """What a cell tells beside counts."""
    found = (trend.mean, trend.low, trend.high, trend.negative_share, trend.neutral_share, trend.positive_share, trend.effective)
    return [value for value in found if value is not None]


def secrets() -> list[bytes]:
    """What must be in no byte that is published: keys, words, and figures that are withheld, as text and as SQLite keeps them."""
    posts, known = _posts(), cells()
    hidden = withheld((cell for cell in known if cell.model == MODEL), 5)
    told = [
        value
        for cell in known
        if (cell.day, cell.team, cell.source, cell.model) in hidden or cell.day >= NOW.date() or cell.model != MODEL
        for value in figures(cell)
    ] + [value / part for value in (-0.27183, -0.57721) for part in (1, 3, 5, 7)]  # fmt: skip
    found = [post.author_key or "" for post in posts] + [post.text[16:28] for post in posts] + [(post.title or "")[8:] for post in posts]
    found += ["zanzibar", "turquoise", "Grace", "Linus", "me@mail", *(repr(value) for value in told)]
    assert len(told) > 100 and all(len(word) > 4 for word in found)
    return [word.encode() for word in found] + [struct.pack(">d", value) for value in told]
