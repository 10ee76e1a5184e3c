"""Where a text names a team: every alias of every team found in one pass, as character offsets.

The promise: offsets are those of the text as given; a name inside a longer word, an address or a piece of code is none;
of two names that overlap the longer one counts. Pure: no clock, no file, no model.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation

from monitor.config import Alias, Team
from monitor.records import Mention, clean

RULES = 1
"""Raised whenever this file would find other mentions in the same text by the same aliases."""

# Typographic and full-width forms of what a keyboard types plainly; a line break is a space, since mail wraps inside names.
_PLAIN: dict[int, int] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "‘’ʼ′"), ord("'")),
    **dict.fromkeys(map(ord, "‐‑‒–−"), ord("-")),
    **dict.fromkeys(map(ord, "\n\t\u00a0\u2007\u2009\u202f\u3000"), ord(" ")),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),  # a lone surrogate cannot be searched
}
_DOTTED_I = "\u0130"  # the only character whose lower case is longer than itself

# Scripts written without spaces between words, and Hangul, whose particles follow a name directly.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2e80-\u31ff\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_CALL = re.compile(r"\.[a-z_]\w*[.(]", re.IGNORECASE)
_RUN = re.compile(r"[!-~]+")
_LINK = re.compile(r"://|\.(?:com|org|net|edu|gov|ai|io|co|dev|app|me|fr|be|ch|ca|de|eu|uk|cn|jp)(?=[/:?#])", re.IGNORECASE)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w.-]+")
_PATH = re.compile(r"[\"'(\[<`]*(?:~|\.\.?|[a-z]:)?[/\\][\w.@-]+[/\\]", re.IGNORECASE)

Places = Mapping[int, Mapping[int, int]]
"""Where patterns stand in a text as whole words: pattern -> start -> end."""


def fold(text: str) -> str:
    """`text` in lower case, its typographic and full-width forms made plain: character for character, so that offsets stay."""
    return _plain(text).replace(_DOTTED_I, "i").lower()


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ") if text.isascii() else text.translate(_PLAIN)


@dataclass(frozen=True, slots=True)
class _Name:
    """An alias made ready. Words and phrases are numbers of patterns; a phrase comes with the offset of the name in it."""

    team: str
    order: int
    written: str | None
    needs: tuple[int, ...]
    unless: tuple[tuple[int, int], ...]


class Finder:
    """Finds the mentions of `teams`. Making one takes milliseconds; use it for many texts."""

    def __init__(self, teams: Sequence[Team]) -> None:
        aliases = [(team.id, alias) for team in teams for alias in team.aliases]
        numbers: dict[str, int] = {}
        names: dict[int, list[_Name]] = defaultdict(list)

        def number(folded: str) -> int:
            return numbers.setdefault(folded, len(numbers))

        for order, (team, alias) in enumerate(aliases):
            text = clean(alias.text)
            if not text:
                continue
            folded = fold(text)
            needs = tuple(number(fold(word)) for word in map(clean, alias.needs) if word)
            phrases = [fold(clean(phrase)) for phrase in alias.not_]
            unless = tuple((number(phrase), at) for phrase in phrases for at in _occurrences(folded, phrase))
            names[number(folded)].append(_Name(team, order, _plain(text) if alias.case else None, needs, unless))
        self._names = [tuple(names.get(pattern, ())) for pattern in range(len(numbers))]
        self._automaton = AhoCorasick(list(numbers), implementation=Implementation.DFA)
        self.fingerprint = _fingerprint(aliases)
        """16 hexadecimal digits that change whenever an alias, or a rule of this file, does."""

    def find(self, text: str, context: str = "") -> list[Mention]:
        """The mentions in `text`, by start, none overlapping another.

        `context`, such as the thread's title, may hold the words that an alias needs; nothing in it is a mention.
        """
        folded = fold(text)
        hits: list[tuple[int, int, int]] = self._automaton.find_matches_as_indexes(folded, overlapping=True)
        candidates = [(start - end, start, name.order, end, name) for pattern, start, end in hits for name in self._names[pattern]]
        if not candidates:
            return []
        candidates.sort()  # the longest first, then by place and by order in config.yaml
        taken = _addresses(text)
        places: Places | None = None
        around: Places | None = None
        found = []
        for _, start, _, end, name in candidates:
            if taken.find(1, start, end) >= 0 or (name.written is not None and _plain(text[start:end]) != name.written):
                continue
            if not _is_word(folded, start, end) or _in_code(text, start, end):
                continue
            if name.unless or name.needs:
                if places is None:
                    places = _places(folded, hits)
                if any(start - offset in places.get(phrase, ()) for phrase, offset in name.unless):
                    continue
                if name.needs and not _stands_apart(name.needs, places, start, end):
                    if around is None:
                        title = fold(context)
                        around = _places(title, self._automaton.find_matches_as_indexes(title, overlapping=True))
                    if not any(word in around for word in name.needs):
                        continue
            taken[start:end] = b"\1" * (end - start)
            found.append(Mention(name.team, start, end))
        found.sort(key=lambda mention: mention.start)
        return found


def occurrences(text: str, target: str) -> list[tuple[int, int]]:
    """Where `target`, the name of a team as a user gives it, stands in `text`: (start, end) by start.

    As `Finder` would find it were it an alias; where that finds nothing, wherever its letters stand.
    """
    team = Team.model_construct(id="target", name=target, aliases=(Alias.model_construct(text=target),))
    spans = [(mention.start, mention.end) for mention in Finder([team]).find(text)]
    if spans or not (folded := fold(clean(target))):
        return spans
    return [found.span() for found in re.finditer(re.escape(folded), fold(text))]


def _occurrences(folded: str, phrase: str) -> list[int]:
    return [found.start() for found in re.finditer(f"(?={re.escape(folded)})", phrase)]


def _places(folded: str, hits: Collection[tuple[int, int, int]]) -> Places:
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for pattern, start, end in hits:
        if _is_word(folded, start, end):
            found[pattern][start] = end
    return found


def _stands_apart(words: Collection[int], places: Places, start: int, end: int) -> bool:
    """Whether one of the words stands outside [start, end): a name does not vouch for itself."""
    return any(to <= start or at >= end for word in words for at, to in places.get(word, {}).items())


def _is_word(folded: str, start: int, end: int) -> bool:
    """Whether [start, end) is no part of a longer word or identifier. A version number may follow a name directly: Qwen2.5."""
    if start:
        at = start - 1
        if _is_letter(folded[start]) and _joins(folded, _base(folded, at)):
            return False
        if folded[at] == "_" and at and (folded[at - 1] == "_" or _joins(folded, at - 1)):
            return False
    if end < len(folded):
        if folded[end] == "_":
            return not (end + 1 < len(folded) and (folded[end + 1] == "_" or _joins(folded, end + 1)))
        if _is_letter(folded[end - 1]):
            if not folded[end - 1].isdigit() and (version := _VERSION.match(folded, end)):
                end = version.end()
            return end == len(folded) or not _joins(folded, end)
    return True


def _base(folded: str, at: int) -> int:
    """The character that the combining marks at `at` belong to: the mark of an emoji is no letter."""
    while at and unicodedata.category(folded[at]).startswith("M"):
        at -= 1
    return at


def _is_letter(character: str) -> bool:
    """Whether it belongs to words that are kept apart by spaces."""
    return character.isalnum() and (character.isascii() or not _UNSPACED.match(character))


def _joins(folded: str, at: int) -> bool:
    """Whether the character runs on into a word beside it; a combining mark belongs to what stands before it."""
    character = folded[at]
    return _is_letter(character) or (not character.isascii() and unicodedata.category(character) in ("Mn", "Mc"))


def _in_code(text: str, start: int, end: int) -> bool:
    """Whether a dot makes [start, end) a part of a host, a file or an expression: openai.com, CLAUDE.md, openai.Audio.create()."""
    after, before = text[end : end + 2], text[max(0, start - 2) : start]
    if after[:1] == "." and (after[1:].islower() or after[1:] == "_" or _CALL.match(text, end)):
        return True
    return before[-1:] == "." and text[start].islower() and before != ".."


def _addresses(text: str) -> bytearray:
    """One byte per character: 1 where it belongs to a link (from the end of its host on), a mail address or a file's path."""
    marks = bytearray(len(text))
    if "/" not in text and "@" not in text and "\\" not in text:
        return marks
    for run in _RUN.finditer(text):
        word, at = run[0], run.start()
        spans = [mail.span() for mail in _MAIL.finditer(word)] if "@" in word else []
        if link := _LINK.search(word):
            spans.append((link.start(), len(word)))
        elif _PATH.match(word):
            spans.append((0, len(word)))
        for start, end in spans:
            marks[at + start : at + end] = b"\1" * (end - start)
    return marks


def _fingerprint(aliases: Sequence[tuple[str, Alias]]) -> str:
    definitions = [(team, alias.text, alias.case, alias.needs, alias.not_) for team, alias in aliases]
    return hashlib.sha256(json.dumps([RULES, definitions]).encode()).hexdigest()[:16]
