"""The posts of a split that name a team: a cheap look at every row, a careful one at the few that it lets pass.

The promise: nothing that `Finder` would find is passed over by the cheap look, so that an archive holds what a store would that had
read the same rows; what the store is to forget is not handed on.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ahocorasick_rs import AhoCorasick, Implementation

from monitor.archive import shapes
from monitor.archive.inputs import place, rows
from monitor.archive.job import Job, Split, Tally
from monitor.archive.layout import named
from monitor.config import Team
from monitor.mentions import Finder, fold
from monitor.pages import Rejected
from monitor.privacy import hiding
from monitor.records import MAX_TEXT, Mention, Post, clean
from monitor.store.posts import hidden_id, mark

PLACES = 5
"""So many broken rows of a split are told by their place; all are counted."""

_WORD = re.compile(r"[^\s!-/:-@\[-`{-~]+")  # neither space nor ASCII punctuation: what markup cannot begin or end with


class Sieve:
    """Lets pass every text in which a `Finder` of these teams could find one, and few others. Made once for many texts."""

    def __init__(self, teams: Sequence[Team]) -> None:
        names = {_folded(clean(alias.text)) for team in teams for alias in team.aliases} - {""}
        words = [max(_WORD.findall(name), key=len, default="") for name in names]
        self._everything = "" in words  # an alias of signs alone
        self._automaton = AhoCorasick(sorted({*words} - {""}), implementation=Implementation.DFA)

    def passes(self, text: str, *, joined: bool) -> bool:
        """Whether `text`, as a row holds it, may name a team. `joined` as in `Shape`: then its markup may hide a name in pieces."""
        if len(text) > MAX_TEXT:
            return True
        if text.isascii():
            if _UNSEEN.search(text):
                return True
            text = text.lower()
        else:
            text = _folded(clean(text))
        return self._everything or bool(self._automaton.find_matches_as_indexes(text)) or (joined and _PIECES.search(text) is not None)


# What joins words that stand apart in HTML or Markdown: a tag or a comment right after a letter that opens no paragraph, an entity
# for anything but a sign, a picture that is an emoji, emphasis within a word, a link right before a letter.
_W = r"[^\s!-/:-@\[-`{-~]"
_PIECES = re.compile(
    rf"[<&)\]*~`](?:"
    rf"(?<=(?<={_W})<)(?!p>|br[\s/>]|/\w++>)"
    rf"|(?<=(?<={_W})<)(?:/\w++>)(?:</\w++>)*+(?:<(?!p>|br[\s/>])|{_W})"
    rf"|(?<=<)(?:img|i\s)"
    rf"|(?<=&)(?=[#a-z])(?!(?:quot|gt|lt|apos|nbsp|\#x27|\#x2f|\#39|\#34|\#47|amp);)"
    rf"|(?<=[)\]])(?={_W})"
    rf"|(?<=[*~`])[*_~`]*+(?={_W})"
    rf")"
)
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def _folded(text: str) -> str:
    """`fold`, less what depends on the neighbours: a Greek sigma that ends a word is another letter."""
    return fold(text).replace("ς", "σ")


def candidates(split: Split, job: Job, tally: Tally) -> Iterator[tuple[Post, list[Mention]]]:
    """The posts of a split that name a team of the job, in the order of their rows, with their mentions; `tally` is counted up.

    Posts outside `since`..`until`, deleted ones and those that the store forgot are left out. A row that cannot name a team is counted
    as a post once it holds words, without a closer look.
    """
    shape, sieve, finder = shapes.SHAPES[split.shape], Sieve(job.teams), Finder(job.teams)
    hide = hiding(
        job.keys,
        split.source,
        leaves_out=lambda source, key: mark("author", source, key) in job.forgotten,
        leave_out=lambda source, key: None,  # the store notes that at its next crawl
        now=job.now,
    )
    last: Post | None = None
    for item in rows(split):
        if isinstance(item, Rejected):
            _reject(tally, split, item.line, item.reason)
            continue
        number, row = item
        tally.rows += 1
        texts = shape.texts(row, job.mapping)
        if texts and not any(sieve.passes(text, joined=shape.joined) for text in texts):
            tally.posts += 1
            continue
        found = shapes.post(split.shape, row, split.source, mapping=job.mapping, hide=hide, now=job.now, kind=job.kind)
        if isinstance(found, str):
            _reject(tally, split, number, found)
        elif found is not None:
            tally.posts += 1
            post = _kept(found, job)
            if post is not None and post != last and (mentions := finder.find(post.text, post.title or "")):
                tally.named += 1
                last = post  # exports hold a post once for each team
                yield post, mentions


def _kept(post: Post, job: Job) -> Post | None:
    """The post as the store would keep it; None where it is not to be kept (`Posts.save_posts`)."""
    day = post.posted_at.astimezone(dt.UTC).date()
    if (job.since and day < job.since) or (job.until and day > job.until):
        return None
    source = post.source
    if {(source, post.native_id), (source, hidden_id(source, post.native_id))} & job.gone:
        return None
    if post.author_key and mark("author", source, post.author_key) in job.forgotten:
        return None
    if post.title and mark("title", source, post.title) in job.forgotten:
        post = replace(post, title=None)
    return post


def _reject(tally: Tally, split: Split, number: int, reason: str) -> None:
    tally.rejected += 1
    if len(tally.places) < PLACES:
        tally.places.append(f"{named(split.where)}, {place(split)} {number}: {reason}")
