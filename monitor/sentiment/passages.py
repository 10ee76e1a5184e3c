"""What of a post a model reads to judge one team: the sentences around the team's mentions, the mentions masked.

Pure functions. The promise: what is read depends on the text and on where it names this team, on nothing else, so a post
and a line given to `forum-monitor score` that say the same are read the same.

The rule was chosen on the domain benchmark (248 pairs in 180 short posts, seed model; macro-F1, 95 % interval by a
bootstrap over posts): whole text 49.2 (42.2 to 55.9), sentences with a mention only 48.8 (41.8 to 55.5), with one
neighbour on either side 50.2 (43.1 to 56.8), this rule @RULE@. With two foreign posts put
around each, as a long thread would: whole text 41.9 (35.5 to 47.9), sentences only 49.1 (42.2 to 55.6), either side 50.4
(43.9 to 56.6), this rule @LONG@. Short posts cannot tell the rules apart; long ones do tell the whole text from a part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from monitor.sentiment import Item

RECIPE = 1
"""Raised whenever `model_input` would give a model other words for the same item; a part of every model's revision."""

MASK = "<mask>"
SHORT = 100
"""Columns (a Han character is two) below which the sentences with a mention take in the next one, and then the one before."""
WINDOW = 600
"""Characters around the first mention that a model is given at most."""

# Signs that end a sentence in English, French and Chinese. The look-behind keeps a long row of dots linear.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)\s*|[。！？；]+[”’」』）】\"]*\s*|\n\s*")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|mr|mrs|ms|dr|prof|st|mme|approx|resp|env|fig|max|min|inc|ltd|corp)|\b[a-z]|^\s*\d+)\.$", re.IGNORECASE)
_SPECIAL = re.compile(r"<(?=(?:/?s|pad|unk|mask)>)")


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of `text` as (start, end), each with the space after it; together they are the text."""
    found = []
    start = 0
    for end in _END.finditer(text):
        # "etc." and an ellipsis go on in lower case; "e.g." and an initial go on in any.
        sign = end[0].rstrip()
        if sign == "." and _ABBREVIATION.search(text[max(start, end.start() - 12) : end.start() + 1]):
            continue
        found.append((start, end.end()))
        start = end.end()
    if start < len(text):
        found.append((start, len(text)))
    return found
