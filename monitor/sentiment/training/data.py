"""What the model learns from: licence-clean labelled texts, and the posts written for it, read the way the product reads.

The promise: a training text is turned into tokens by the code that scores posts, no post stands on both sides of a split,
and no name carries a verdict, since neither the team's own nor another's is among what is read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitor.errors import ModelError
from monitor.mentions import occurrences
from monitor.sentiment import Item
from monitor.sentiment.onnx import LABELS
from monitor.sentiment.passages import passage

WRITTEN = Path(__file__).with_name("written")
CLEAN = ("mams_atsa", "newsmtsc", "sentfin", "senti4sd_so", "umsab_de", "umsab_en", "umsab_es", "umsab_fr")
"""The folders of public data under a licence that lets the weights be shipped (MIT or Apache-2.0), by name."""

NEIGHBOURS = 6
"""Posts with neighbouring numbers stay on one side of a split: contrast sets were written one after the other."""


LONGEST_COMPANY = 240
"""Characters of a post that is put beside another."""
LONGEST_CLAUSE = 130
"""Columns of a post that is made another's clause; the other has twice as many at most."""
JOINTS = {
    "en": (", while ", ", and ", ", but ", " - ", "; ", " whereas "),
    "fr": (", alors que ", ", et ", ", mais ", "; ", " tandis que "),
    "zh": ("，而", "，但是", "，不过", "；", "，"),
}
"""By language, what may stand between two clauses."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the places of the team in question, those of other labelled teams, and the label (its number in LABELS)."""

    text: str
    spans: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int], ...]
    label: int
    language: str
    source: str
    post: str


def examples(row: dict[str, Any], source: str) -> Iterator[Example]:
    """The examples in a row: one per labelled team of a post, or the one of a text with a single target or none."""
    text = row["text"]
    if "targets" not in row:
        spans = _places(text, [row["target"]]) if row.get("target") else ()
        if spans and row.get("start") is not None and (row["start"], row["end"]) not in spans:
            spans = ((row["start"], row["end"]),)
        yield Example(text, spans, (), LABELS.index(row["label"]), row.get("lang", ""), source, "")
        return
    places = [_places(text, [target["alias"], *target.get("also", ())]) for target in row["targets"]]
    for number, target in enumerate(row["targets"]):
        others = sorted(span for at, spans in enumerate(places) if at != number for span in spans)
        apart = tuple(span for span in others if not any(span[0] < end and span[1] > start for start, end in places[number]))
        yield Example(text, places[number], apart, LABELS.index(target["label"]), row.get("lang", ""), source, row.get("id", ""))


def _places(text: str, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where `names` stand in `text`, by start; where two overlap, the longer."""
    found: list[tuple[int, int]] = []
    for span in sorted((span for name in names for span in occurrences(text, name)), key=lambda span: (span[0], -span[1])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
    return tuple(found)


def read(path: Path, source: str) -> Iterator[Example]:
    """The examples in a file of JSON lines, gzipped or not. Raises ModelError with the number of a line that is none."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield from examples(json.loads(line), source)
            except (ValueError, LookupError, TypeError) as error:
                raise ModelError(f"{path}, line {number}, is no labelled text ({error}): mend it, or take it out") from None


def part(example: Example, parts: int) -> int:
    """Which of `parts` equal parts a written post belongs to; neighbours are in one."""
    block = f"part {example.source}{_block(example.post)}"
    return hashlib.md5(block.encode(), usedforsecurity=False).digest()[0] % parts


def _block(post: str) -> int:
    return int(re.findall(r"[0-9]+$", post)[0]) // NEIGHBOURS


def written(folder: Path = WRITTEN) -> tuple[list[Example], list[str]]:
    """The posts written for this model: examples of those to learn from, and the lines of the tenth held out; always the same."""
    learned: list[Example] = []
    held: list[str] = []
    for source, line in lines(folder):
        row = json.loads(line)
        block = f"{source}{_block(row['id'])}"
        if hashlib.md5(block.encode(), usedforsecurity=False).digest()[0] % 10 == 0:
            held.append(line)
        else:
            learned += examples(row, source)
    return learned, held


def lines(folder: Path = WRITTEN) -> Iterator[tuple[str, str]]:
    """The written posts, each as the name of its file without the suffix, and its line."""
    return ((path.stem, line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines())


def clean(folder: Path, split: str, names: Sequence[str] = CLEAN) -> list[Example]:
    """The licence-clean examples of a split (train, dev, val ...) in `folder`, whose sub-folders are named as in CLEAN."""
    return [example for name in names if (path := folder / name / f"{split}.jsonl.gz").exists() for example in read(path, name)]


def item(example: Example) -> Item:
    """What a scorer is given of `example`: the passage around its mentions, as for a post."""
    return passage(example.text, example.spans, example.others)


def in_company(example: Example, pool: Sequence[Example], rng: random.Random) -> Example:
    """`example` with somebody else's post from `pool` before or after it, whose teams are bystanders: its label stays what it was.

    So what decides is what stands by the team's name, not the mood of the whole. `pool` is of the same language. The example
    as it is where the drawn post is long, or names the same team.
    """
    other = rng.choice(pool)
    return example if len(other.text) > LONGEST_COMPANY else _beside(example, other, "\n", rng)


def in_one_sentence(example: Example, pool: Sequence[Example], rng: random.Random) -> Example:
    """As `in_company`, but with a short post, and joined into one sentence: of two clauses the one with the team decides."""
    room = LONGEST_CLAUSE // (2 if example.language == "zh" else 1)
    drawn = (rng.choice(pool) for _ in range(8))
    other = next((each for each in drawn if len(each.text) <= room and "\n" not in each.text), None)
    if other is None or len(example.text) > 2 * room:
        return example
    return _beside(example, other, rng.choice(JOINTS.get(example.language, JOINTS["en"])), rng)


def _beside(example: Example, other: Example, joint: str, rng: random.Random) -> Example:
    names = {example.text[start:end] for start, end in example.spans}
    if not example.spans or any(occurrences(other.text, name) for name in names):
        return example
    first, second = (example, other) if rng.random() < 0.5 else (other, example)
    begin = first.text if joint == "\n" else first.text.rstrip(" \n.!。！")
    if any(end > len(begin) for _, end in [*first.spans, *first.others]):
        return example
    moved = len(begin) + len(joint)

    def places(of: Example, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        by = moved if of is second else 0
        return [(start + by, end + by) for start, end in spans]

    others = sorted(places(example, example.others) + places(other, [*other.spans, *other.others]))
    return replace(example, text=begin + joint + second.text, spans=tuple(places(example, example.spans)), others=tuple(others))


def near_copies(texts: Sequence[str], others: Sequence[str] = (), *, threshold: float = 0.6) -> list[tuple[int, int]]:
    """Pairs (number in `texts`, number of an earlier one, or -1 - number in `others`) whose five-character shingles are alike.

    Likeness is the Jaccard index, estimated by MinHash with 128 permutations (Broder 1997).
    """
    from datasketch import MinHash, MinHashLSH

    def sketch(text: str) -> Any:
        plain = re.sub(r"\W+", " ", text.lower()).strip()
        size = 5 if plain.isascii() or len(re.findall("[\u3400-\u9fff]", plain)) * 3 < len(plain) else 2
        made = MinHash(num_perm=128, seed=1)
        made.update_batch([plain[at : at + size].encode() for at in range(max(1, len(plain) - size + 1))])
        return made

    index = MinHashLSH(threshold=threshold, num_perm=128)
    for number, text in enumerate(others):
        index.insert(-1 - number, sketch(text))
    found = []
    for number, text in enumerate(texts):
        made = sketch(text)
        found += [(number, other) for other in index.query(made)]
        index.insert(number, made)
    return found
