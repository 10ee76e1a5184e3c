"""What finding echoes takes, and what is found: a million posts with planted copies, edited copies and quotations."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.records import to_text
from monitor.store import Store

pytestmark = pytest.mark.benchmark

POSTS = int(os.environ.get("ECHO_POSTS", "1000000"))
DAYS = 90
FIRST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
ECHOES = 0.1
"""Share of posts that are planted echoes, a third of each kind."""

CHILD = """
import sys, time
from pathlib import Path
from monitor.store import Store
from monitor.trend import settle_echoes
begun = time.perf_counter()
with Store(Path(sys.argv[1])) as store:
    settle_echoes(store)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(f"{time.perf_counter() - begun:.1f} s, {time.process_time():.1f} s of one core, peak {int(peak) / 1024:.0f} MB")
"""


class Writer:
    """Made posts of 10 to 120 words whose frequencies fall as those of a language do, with idioms of 3 to 9 words in common."""

    def __init__(self) -> None:
        self.draw = random.Random(1)
        self.vocabulary = ["".join(self.draw.choices("abcdefghijklmnopqrstuvwxyz", k=self.draw.randint(2, 9))) for _ in range(30_000)]
        self.summed = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(self.vocabulary))))
        self.idioms = [self.words(self.draw.randint(3, 9)) for _ in range(500)]

    def words(self, count: int) -> list[str]:
        return self.draw.choices(self.vocabulary, cum_weights=self.summed, k=count)

    def post(self) -> list[str]:
        """A post of its own words, half of the time with an idiom in it."""
        words = self.words(self.draw.randint(10, 120))
        if self.draw.random() < 0.5:
            at = self.draw.randrange(len(words))
            words[at:at] = self.draw.choice(self.idioms)
        return words

    def edited(self, words: list[str]) -> list[str]:
        """Every word kept with probability 0.92, else replaced, dropped or preceded by another one."""
        kept: list[str] = []
        for word in words:
            chance = self.draw.random()
            kept += [word] if chance < 0.92 else self.words(1) if chance < 0.95 else [] if chance < 0.97 else [*self.words(1), word]
        return kept

    def echo(self, kind: str, words: list[str]) -> str:
        if kind == "copy":
            return " ".join(words).capitalize() + "!"
        if kind == "edited":
            return " ".join(self.edited(words))
        length = self.draw.randint(12, min(40, len(words)))
        at = self.draw.randrange(len(words) - length + 1)
        own = self.words(self.draw.randint(length + 10, 200))
        cut = self.draw.randrange(len(own))
        return " ".join([*own[:cut], "“", *words[at : at + length], "”", *own[cut:]])


def _rows(planted: dict[int, tuple[str, int]]) -> Iterator[tuple[int, str, str, str, str]]:
    """Posts as (id, author, time, kind, text); what is planted is noted as id: (kind of echo, id of the original)."""
    writer = Writer()
    recent: deque[tuple[int, list[str]]] = deque(maxlen=POSTS * 45 // DAYS // 100)  # no older than echo.REACH
    for number in range(1, POSTS + 1):
        at = to_text(FIRST + dt.timedelta(days=DAYS) * (number / POSTS))
        author, kind = f"{writer.draw.getrandbits(128):032x}", "voice"
        if len(recent) >= 200 and writer.draw.random() < ECHOES:
            echo = writer.draw.choice(("copy", "edited", "quoted"))
            original, words = writer.draw.choice(recent)
            planted[number] = (echo, original)
            text, kind = writer.echo(echo, words), "press" if echo == "quoted" else "voice"
        else:
            words = writer.post()
            text = " ".join(words)
            if number % 100 == 0 and len(words) >= 20:
                recent.append((number, words))
        yield number, author, at, kind, text


def _fill(path: Path) -> dict[int, tuple[str, int]]:
    planted: dict[int, tuple[str, int]] = {}
    with Store(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER posts_inserted")  # the search index has no part in this, and is slow to fill
    rows = _rows(planted)
    while batch := list(itertools.islice(rows, 10_000)):
        connection.executemany(
            """INSERT INTO posts (id, source, native_id, url, author_key, posted_at, kind, text, date_origin, fetched_at, text_hash, unread)
               VALUES (?, 'forum', ?, 'u', ?, ?, ?, ?, 'site', '', '', 0)""",
            [(number, str(number), author, at, kind, text) for number, author, at, kind, text in batch],
        )
        connection.executemany("INSERT INTO mentions VALUES (?, 'meta', 0, 4)", [(row[0],) for row in batch])
        connection.commit()
    connection.close()
    return planted


@pytest.mark.timeout(3600)
def test_echo_speed(tmp_path: Path) -> None:
    """Prints seconds and peak memory of grouping a million posts (to be at most 300 s and 2 GB), then recall and precision (0.95)."""
    path = tmp_path / "monitor.db"
    began = time.perf_counter()
    planted = _fill(path)
    print(f"\n{POSTS} posts over {DAYS} days made in {time.perf_counter() - began:.0f} s, {len(planted)} of them planted echoes")

    def settle(what: str) -> None:
        done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
        print(f"{what}: {done.stdout.strip()}")

    settle("all grouped")
    settle("nothing to do")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE echoes SET marks = 1 WHERE post_id > ?", (POSTS - 500,))
    settle("500 changed posts grouped again")
    found = {row[0]: (row[1], row[2]) for row in connection.execute("SELECT post_id, origin_id, repost FROM echoes WHERE origin_id > 0")}
    size = connection.execute("SELECT avg(length(sketch)) FROM echoes").fetchone()[0]
    connection.close()
    right = {post for post, (origin, _) in found.items() if post in planted and _root(origin, found) == planted[post][1]}
    print(f"sketches of {size:.0f} bytes; precision {len(right) / len(found):.4f} of {len(found)} found")
    for kind in ("copy", "edited", "quoted"):
        of_kind = {post for post, (each, _) in planted.items() if each == kind}
        reposts = sum(bool(found[post][1]) for post in of_kind & right)
        print(f"{kind}: recall {len(of_kind & right) / len(of_kind):.4f} of {len(of_kind)}, {reposts} of them reposts")
    false = sum(bool(repost) for post, (_, repost) in found.items() if post not in planted)
    print(f"voices lost to chance: {false} of {POSTS - len(planted)}")


def _root(post: int, found: dict[int, tuple[int, int]]) -> int:
    while post in found:
        post = found[post][0]
    return post
