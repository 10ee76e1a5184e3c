"""terms: the words that are heard more in one set of posts than in another.

The promises: a person counts once a day for a term, however often he writes it, and no term is shown that fewer people
than asked for have used, so that nobody is quoted. Handles, addresses and numbers are no terms. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor.mentions import fold

CERTAIN = 2.58
"""Standard errors that a term's log-odds must lie above zero. On quiet days of 20 and 100 people 0.13 and 0.45 terms do by chance, and
a new word of 40 % of them is seen on 83 % and all of such days: tests/benchmarks/test_explain_rates.py."""

LONGEST = 30
"""Characters; longer runs of letters are no words."""

GRAMS = (2, 3, 4)
"""Lengths of terms in scripts that part no words."""

_APART = re.compile(r"[\s,;!。、]+")
_NAMING = re.compile(r"@|://|(?<!\w)u/")
"""What stands in addresses of people and pages."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
# Scripts written without spaces between words: Thai to Khmer, kana, Han.
_UNPARTED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)")
_ELISION = re.compile("^(?:[cdjlmnst]|qu)'(?=..)")


@dataclass(frozen=True, slots=True)
class Term:
    """A term heard more than before: the people who used it now, people's days with it before, and how sure that is.

    `z` is its log-odds ratio in standard errors.
    """

    term: str
    people: int
    before: int
    z: float


def terms_of(text: str) -> set[str]:
    """The terms of a text in lower case: words of two letters and more, and runs of 2 to 4 characters of what is written without spaces."""
    found: set[str] = set()
    folded = fold(text)
    if _NAMING.search(folded):
        folded = " ".join(run for run in _APART.split(folded) if not _NAMING.search(run))
    for word in set(_WORD.findall(folded)):
        for n, part in enumerate([word] if word.isascii() else _UNPARTED.split(word)):
            if n % 2:
                found.update(part[at : at + size] for size in GRAMS for at in range(len(part) - size + 1))
            elif 1 < len(bare := _ELISION.sub("", part, count=1) if "'" in part else part) <= LONGEST:
                found.add(bare)
    return found


def heard_more(now: Iterable[tuple[str, str, str]], before: Iterable[tuple[str, str, str]], least: int, count: int) -> list[Term]:
    """At most `count` terms that at least `least` people use `now` and that are heard more than `before`, the surest first.

    Posts are (day, voice, text), a voice's posts of a day in a row; what is counted are people's days. Log-odds with an
    informative Dirichlet prior: Monroe, Colaresi & Quinn, Political Analysis 16 (2008) 372, equations 16, 20 and 22, where the
    prior is how often both sets together use the term (equation 23), with as much weight as all that is said `now`.
    """
    users: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    size = size_before = 0
    for voice, terms in _person_days(now):
        size += len(terms)
        counts.update(terms)
        for term in terms:
            users[term].add(voice)
    candidates = {term for term, voices in users.items() if len(voices) >= least}
    counts_before: Counter[str] = Counter()
    for _, terms in _person_days(before):
        size_before += len(terms)
        counts_before.update(terms & candidates)
    if not size or not size_before:
        return []
    found = []
    for term in candidates:
        prior = size * (counts[term] + counts_before[term]) / (size + size_before)
        here, there = counts[term] + prior, counts_before[term] + prior
        difference = math.log(here / (2 * size - here)) - math.log(there / (size_before + size - there))
        z = difference / math.sqrt(1 / here + 1 / there)
        if z >= CERTAIN:
            found.append(Term(term, len(users[term]), counts_before[term], z))
    return _apart(sorted(found, key=lambda term: (-term.z, -len(term.term), term.term)), count)


def _person_days(posts: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, set[str]]]:
    """Whose day it is and the terms of it; posts of one person and day stand in a row."""
    for (_, voice), group in itertools.groupby(posts, key=lambda post: post[:2]):
        yield voice, set().union(*(terms_of(text) for _, _, text in group))


def _apart(terms: Iterable[Term], count: int) -> list[Term]:
    """The first `count` terms of which none shares two characters in a row, where words are not parted, with one before it."""
    chosen: list[Term] = []
    taken: set[str] = set()
    for found in terms:
        if len(chosen) == count:
            break
        pairs = {found.term[at : at + 2] for at in range(len(found.term) - 1)} if _UNPARTED.match(found.term) else set()
        if not pairs & taken:
            chosen.append(found)
            taken |= pairs
    return chosen
