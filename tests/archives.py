"""Made archives: posts in the shape of Hacker News' table, as many as wanted, of which a share names a team. The same for the same seed.

What one reads in years of a forum, as far as it decides how long reading takes: some 300 characters a post, words with the frequencies of
the demo's, HTML and entities, words that only look like a team's name, deleted posts, and a few people who say again what was said.
"""

from __future__ import annotations

import datetime as dt
import functools
import html
import itertools
import json
import random
import re
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.config import Team, load, shipped
from monitor.demo.posts import load_posts

pa = pytest.importorskip("pyarrow")  # here, so that every module of tests on made archives is skipped without it
pq = pytest.importorskip("pyarrow.parquet")

FIRST = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
"""When the first post was written."""

RATE = 0.02
"""The share of posts that name a team."""

ECHOES = 0.03
"""The share of those that say again what another one said in the days before."""

NEAR = 0.05
"""The share of posts with a word of a team's name that names nobody."""

PART = 50_000
"""Posts made at a time, and rows of a group of Parquet."""

LINK = '<p><a href="https:&#x2F;&#x2F;example.org&#x2F;a" rel="nofollow">https:&#x2F;&#x2F;example.org&#x2F;a</a>'

ROW = pa.schema(
    [
        ("id", pa.int64()), ("type", pa.string()), ("by", pa.string()), ("time", pa.int64()), ("title", pa.string()), ("text", pa.string()),
        ("url", pa.string()), ("parent", pa.int64()), ("deleted", pa.bool_()), ("dead", pa.bool_()),
    ]
)  # fmt: skip

BROKEN = (
    b'{"id": 1, "type": "comment", "tex\n',
    b"[1, 2]\n",
    b'{"type": "comment", "text": "no id"}\n',
    b'{"id": 7, "text": "\xff\xfe"}\n',
    b"\x00\n",
)
"""Lines that are no post."""


@functools.cache
def teams() -> tuple[Team, ...]:
    """The teams that the product comes with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(shipped(), "utf-8")
        return load(path)[0].teams


@functools.cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """The words of the demo's English posts in which no name stands, and their frequencies, added up."""
    names = {word for team in teams() for alias in team.aliases for word in alias.text.lower().split()}
    counts = Counter(html.escape(word) for post in load_posts() if post.lang == "en" for word in post.text.split())
    for word in list(counts):
        bare = word.lower().strip(".,!?:;()'\"")
        if bare in names or any(sign.isdigit() for sign in word) or any(len(name) > 3 and name in bare for name in names):
            del counts[word]
    return list(counts), list(itertools.accumulate(counts.values()))


def posts(
    n: int,
    seed: int = 1,
    *,
    rate: float = RATE,
    days: float = 365,
    of: Sequence[Team] | None = None,
    first: int = 1,
    since: dt.datetime = FIRST,
) -> Iterator[dict[str, Any]]:
    """`n` rows, one after the other over `days` from `since` on, with ids from `first` on."""
    draw = random.Random(seed)
    words, shares = _vocabulary()
    plain = [[alias.text for alias in team.aliases if not alias.needs][:2] for team in of or teams()]
    names = [alias.text.lower().split() for team in of or teams() for alias in team.aliases]
    near = sorted({name[0] for name in names if len(name) > 1} - {name[0] for name in names if len(name) == 1})
    background = " ".join(draw.choices(words, cum_weights=shares, k=200_000))
    starts = [0, *(found.end() for found in re.finditer(" ", background))]
    said: deque[str] = deque(maxlen=50)
    started, step, authors = int(since.timestamp()), days * 86_400 / n, max(n // 20, 10)
    for number in range(n):
        length = 8 + int(draw.expovariate(1 / 44))
        naming = draw.random() < rate
        if not naming:  # nobody looks at these again, so that they may repeat each other
            at = int(draw.random() * (len(starts) - length))
            text = background[starts[at] : starts[at + length - 1] - 1]
            if draw.random() < NEAR:
                text = f"{text} {draw.choice(near)} of us"
        elif said and draw.random() < ECHOES:
            text = draw.choice(said)
        else:
            told = draw.choices(words, cum_weights=shares, k=length)
            for names in draw.sample(plain, 1 if draw.random() < 0.8 else 2):
                told.insert(draw.randrange(len(told)), html.escape(draw.choice(names)))
            if length > 60:
                told[length // 2] += LINK
            text = " ".join(told)
            said.append(text)
        story, title = number % 10 == 0, number % 100_000
        yield {
            "id": first + number, "type": "story" if story else "comment", "by": f"user{int(authors * draw.random() ** 2)}",
            "time": started + int(number * step), "text": text,
            "title": background[starts[title] : starts[title + 6] - 1] if story else None,
            "url": None, "parent": None if story else first + number - number % 10, "deleted": draw.random() < 0.01 or None, "dead": None,
        }  # fmt: skip


def written(
    folder: Path, n: int, seed: int = 1, *, files: int = 4, form: str = "jsonl", broken: int = 0, days: float = 365, **how: Any
) -> list[Path]:
    """`posts` in so many files of the form `jsonl` or `parquet`, in order; of JSON lines, `broken` in each file are no post."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{number:03}.{form}" for number in range(files)]
    size = n // files
    for number, path in enumerate(paths):
        since = FIRST + dt.timedelta(days=number * days / files)
        rows = posts(size, seed + number, days=days / files, first=1 + number * size, since=since, **how)
        if form == "parquet":
            with pq.ParquetWriter(path, ROW, compression="zstd") as writer:
                while part := list(itertools.islice(rows, PART)):
                    writer.write_table(pa.Table.from_pylist(part, ROW), row_group_size=PART)
        else:
            every = size // (broken + 1)
            with path.open("wb") as stream:
                for place, row in enumerate(rows, 1):
                    stream.write(json.dumps({name: value for name, value in row.items() if value is not None}).encode() + b"\n")
                    if broken and place % every == 0 and place // every <= broken:
                        stream.write(BROKEN[place // every % len(BROKEN)])
    return paths
