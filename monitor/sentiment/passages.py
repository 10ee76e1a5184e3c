"""What of a post a model reads to judge one team: the sentences around the team's mentions, the mentions masked.

Pure functions. The promise: what is read depends on the text and on where it names this team and others, on nothing else, so
a post and a line given to `forum-monitor score` that say the same are read the same.

The rule, on 248 labelled (post, team) pairs in 180 posts about AI teams, mostly of two or three sentences, with the embedded
model of the day (revision 230a97e7); macro-F1 and its 95 % interval, by a bootstrap over posts. `Long` puts two other posts around each:

    read                                                as they are           long, mean of 4 drawings
    the whole text (600 characters around the first)    59.6 (52.8 to 66.2)   54.7 (49.2 to 60.4)
    only the sentences with a mention                   53.5 (47.1 to 60.0)   53.5 (47.1 to 60.0)
    and neighbours up to 120 columns                    56.9 (49.8 to 64.1)   53.6 (47.2 to 60.0)
    and neighbours up to 200 columns                    58.4 (51.1 to 65.1)   55.9 (50.1 to 61.7)
    and neighbours up to SHORT columns: this rule       58.4 (51.1 to 65.1)   56.2 (50.7 to 61.7)

The intervals overlap: what this says is that a verdict often stands beside the sentence with the name, and seldom far off.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from monitor.sentiment import Item

Span = tuple[int, int]

RECIPE = 2
"""Raised whenever a model would be given other words for the same post and team; a part of every model's revision."""

MASK = "<mask>"
OTHER = "<unk>"
"""Any other team's name, so that no name carries a verdict."""
SHORT = 320
"""Columns (a Han character is two) below which the sentences with a mention take in the next one, and then the one before."""
WINDOW = 600
"""Characters around the first mention that a model is given at most."""

# Signs that end a sentence in English, French and Chinese. The look-behind keeps a long row of dots linear.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)\s*|[。！？；]+[”’」』）】\"]*\s*|\n\s*")
# Followed by a point that ends nothing: an abbreviation, an initial, the number of a list.
_SHORTENED = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|mr|mrs|dr|prof|st|mme|approx|resp|env|fig|inc|ltd|corp)|\b[a-z]|^\s*\d+)\.$", re.IGNORECASE
)
_GOES_ON = re.compile(r"(?:\betc\.|\.\.|…)$", re.IGNORECASE)
_SPECIAL = re.compile(r"<(?=(?:/?s|pad|unk|mask)>)")


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of `text` as (start, end), each with the space after it; together they are the text."""
    found = []
    start = 0
    for mark in _END.finditer(text):
        end = mark.end()
        tail = text[max(start, mark.start() - 12) : end].rstrip()
        if "\n" not in mark[0] and (_SHORTENED.search(tail) or (text[end : end + 1].islower() and _GOES_ON.search(tail))):
            continue
        found.append((start, end))
        start = end
    if start < len(text):
        found.append((start, len(text)))
    return found


def passage(text: str, spans: Sequence[Span], others: Sequence[Span] = ()) -> Item:
    """The sentences of `text` that hold one of `spans` (by start, a team's mentions), and neighbours while those are SHORT.

    Sentences that do not touch are joined as they stand. `others` (by start) are other teams' mentions, kept where the
    passage holds them. Without spans the item is the whole text.
    """
    if not spans:
        return Item(text, (), tuple(others))
    bounds = sentences(text)
    starts = [start for start, _ in bounds]

    def begun(places: Sequence[Span]) -> dict[int, list[Span]]:
        found: dict[int, list[Span]] = defaultdict(list)
        for start, end in places:
            found[bisect.bisect_right(starts, start) - 1].append((start, end))
        return found

    mine, theirs = begun(spans), begun(others)
    named = {index for start, end in spans for index in range(bisect.bisect_right(starts, start) - 1, bisect.bisect_left(starts, end))}
    chosen = set(named)
    for step in (1, -1):
        if sum(_columns(text[slice(*bounds[index])]) for index in chosen) < SHORT:
            chosen |= {index + step for index in named if 0 <= index + step < len(bounds)}
    parts: list[str] = []
    moved: list[Span] = []
    aside: list[Span] = []
    length = 0
    for index in sorted(chosen):
        start, end = bounds[index]
        moved += [(at - start + length, to - start + length) for at, to in mine.get(index, ())]
        aside += [(at - start + length, to - start + length) for at, to in theirs.get(index, ()) if to <= end]
        parts.append(text[start:end])
        length += end - start
    return Item("".join(parts).rstrip(), tuple(moved), tuple(aside))


def model_input(item: Item, *, nameless: bool = False) -> str:
    """The words that a model is given for `item`: its spans as `<mask>`, cut to WINDOW characters around the first.

    `nameless` puts `<unk>` for other teams' names as well. Text that spells one of the model's own signs (`<mask>`,
    `</s>` ...) is set apart, so that it stays text.
    """
    text = item.text
    start = max(0, min(item.spans[0][0] - WINDOW // 2, len(text) - WINDOW)) if item.spans else 0
    end = start + WINDOW
    parts = []
    at = start
    for mention, after, sign in sorted([(*span, MASK) for span in item.spans] + [(*span, OTHER) for span in item.others if nameless]):
        if mention >= end:
            break
        if mention >= at:
            parts += [_SPECIAL.sub("< ", text[at:mention]), sign]
            at = after
    return "".join([*parts, _SPECIAL.sub("< ", text[at:end])]).strip()


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
