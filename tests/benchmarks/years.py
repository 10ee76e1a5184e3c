"""A store of three years and a million posts on the shipped teams, written by plain SQL: what pages are timed on."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

from monitor.config import load, shipped
from monitor.records import to_text
from monitor.store import Store
from monitor.trend import trend

MODEL = "m@1"
LAST = dt.date(2025, 1, 24)
DAYS = 1096
SOURCES = ("employee-forum", "hacker-forum", "mastodon", "reddit", "v2ex")
LANGUAGES = ("en", "en", "en", "en", "zh", "zh", "fr", None)
_LABELS = ("negative", "neutral", "positive")
_POSTS = "INSERT INTO posts ({}, unread) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'site', ?, 'voice', ?, 0)".format(
    "id, source, native_id, url, thread_id, title, text, language, author_key, posted_at, date_origin, fetched_at, kind, text_hash"
)


def built(folder: Path, posts: int) -> Path:
    """Write config.yaml and monitor.db with so many posts in `folder`; returns the path of the former."""
    path = folder / "config.yaml"
    path.write_text(shipped(), "utf-8")
    config, _ = load(path)
    teams = [team.id for team in config.teams]
    with Store(config.database) as store:
        with store.writing() as connection:
            connection.execute("DROP TRIGGER mentions_came")  # nobody repeats anybody here
            draw = random.Random(1)
            for batch in _batched(posts, draw, teams):
                connection.executemany(_POSTS, [row[0] for row in batch])
                connection.executemany("INSERT INTO mentions VALUES (?, ?, 0, 4)", [(row[0][0], row[1]) for row in batch])
                connection.executemany(
                    "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [(row[0][0], row[1], MODEL, *row[2]) for row in batch]
                )
            for source in SOURCES:
                connection.execute("INSERT INTO sources VALUES (?, ?, ?)", (source, str(LAST - dt.timedelta(DAYS - 1)), str(LAST)))
                days = [(str(LAST - dt.timedelta(n)), source) for n in range(DAYS)]
                connection.executemany("INSERT INTO covered_days VALUES (?, ?)", days)
            store.set_fact("model", MODEL)
        store.mark_all_dirty()
        trend(store, min_authors=config.privacy.min_authors)
    return path


def _batched(posts: int, draw: random.Random, teams: list[str]) -> Iterator[list[tuple[tuple[object, ...], str, tuple[object, ...]]]]:
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(30_000)]
    words = draw.choices(vocabulary, [1 / (rank + 1) for rank in range(len(vocabulary))], k=500_000)
    weights = [1 / (rank + 1) for rank in range(len(teams))]
    began = dt.datetime.combine(LAST - dt.timedelta(DAYS - 1), dt.time(), dt.UTC)
    step = dt.timedelta(days=DAYS) / posts
    batch = []
    for number in range(posts):
        at = draw.randrange(len(words) - 130)
        text = " ".join(words[at : at + draw.randint(10, 120)])
        moment = to_text(began + step * number)
        label = draw.choices(_LABELS, (3, 4, 3))[0]
        shares = [0.8 if name == label else 0.1 for name in _LABELS]
        source = draw.choice(SOURCES)
        author = f"{draw.randrange(posts // 20):032x}"
        row = (number + 1, source, str(number), f"https://example.org/{number}", f"t{number // 15}", "a thread", text,
               draw.choice(LANGUAGES), author, moment, moment, f"{number:032x}")  # fmt: skip
        score = (f"{number:032x}", *shares, shares[2] - shares[0], label, moment, MODEL)
        batch.append((row, draw.choices(teams, weights)[0], score))
        if len(batch) == 20_000:
            yield batch
            batch = []
    yield batch
