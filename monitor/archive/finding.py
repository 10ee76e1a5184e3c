"""The posts of a split that name a team: a cheap look at every row, a careful one at the few that it lets pass.

The promise: nothing that `Finder` would find is passed over by the cheap look, so that an archive holds what a store would that had
read the same rows; what the store is to forget is not handed on.
"""

from __future__ import annotations

import datetime as dt
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ahocorasick_rs import AhoCorasick, Implementation

from monitor.archive import shapes
from monitor.archive.inputs import place, rows
from monitor.archive.job import Job, Split, Tally
from monitor.archive.layout import named
from monitor.archive.shapes import Markup
from monitor.config import Team
from monitor.mentions import Finder, fold
from monitor.pages import Rejected
from monitor.privacy import hiding
from monitor.records import MAX_TEXT, Mention, Post, clean
from monitor.store.connection import storable
from monitor.store.posts import distinctive, hidden_id, mark

PLACES = 5
"""So many broken rows of a split are told by their place; all are counted."""

_W = r"[^\s!-/:-@\[-`{-~]"  # neither space nor ASCII punctuation: what markup never begins or ends with
_WORD = re.compile(f"{_W}+")
_LETTERS = frozenset(string.ascii_lowercase)
_ALNUM = _LETTERS | frozenset(string.digits)
# What `clean` drops and `fold` makes plain letters of, and the sigmas, whose small form hangs on their neighbours.
_ODD = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u0130\u03a3\u03c2\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff\ufeff\uff01-\uff5e"
    "\ufff9-\ufffb]"
)
# What can join letters that stand apart in HTML: right after a letter a tag that opens no paragraph, or closes and a letter or another
# tag follows; an entity for anything but a sign; a picture, which may be an emoji.
_IN_HTML = (
    rf"(?<=<)(?:(?<={_W}<)(?:(?!p>|br[\s/>]|/\w++>)|/\w++>(?:</\w++>)*+(?:<(?!p>|br[\s/>])|{_W}))|img|i\s)"
    r"|(?<=&)(?=[#a-z])(?!(?:quot|gt|lt|nbsp|\#x27|\#x2f|\#39|amp(?!;[#a-z]));)"
)
# And in Markdown: emphasis within a word, a link right after or before a letter.
_IN_MARKDOWN = rf"(?<=[*~`])(?<=[^\s!-/:-@\[-^`{{-~].)[*_~`]*+{_W}|(?<={_W}\[)|(?<=[)\]]){_W}"
_PIECES: Mapping[Markup, re.Pattern[str]] = {
    "html": re.compile(f"[<&](?:{_IN_HTML})"),
    "markdown": re.compile(rf"[<&*~`\[)\]](?:{_IN_HTML}|{_IN_MARKDOWN})"),
}


class Sieve:
    """Lets pass every text in which a `Finder` of these teams would find a name, and few others. Made once for many texts.

    It looks for the two longest words of each alias, where no letter joins them to a longer one: markup may stand between words. What
    may join or hide letters lets a text pass unread.
    """

    def __init__(self, teams: Sequence[Team]) -> None:
        patterns: dict[str, int] = {}
        tokens: dict[tuple[int, str | None], int] = {}
        names: set[frozenset[int]] = set()
        for alias in (alias for team in teams for alias in team.aliases):
            text = clean(alias.text)
            words = sorted(_WORD.finditer(fold(text).replace("ς", "σ")), key=lambda word: word.end() - word.start(), reverse=True)[:2]
            if len(words) == 2 and len(words[0][0]) > 3 and len(words[1][0]) == 1:
                words.pop()
            numbers = [patterns.setdefault(word[0], len(patterns)) for word in words]
            written = [text[word.start() : word.end()] if alias.case and text.isascii() else None for word in words]
            if text:
                names.add(frozenset(tokens.setdefault(token, len(tokens)) for token in zip(numbers, written, strict=True)))
        self._blind = frozenset() in names  # an alias of signs alone is looked for by nothing but the Finder
        self._tokens: list[list[tuple[int, str | None]]] = [[] for _ in patterns]
        for (pattern, as_written), token in tokens.items():
            self._tokens[pattern].append((token, as_written))
        self._beside = [[name - {token} for name in names if token in name] for token in range(len(tokens))]
        self._automaton = AhoCorasick(list(patterns), implementation=Implementation.DFA)

    def passes(self, text: str, markup: Markup | None) -> bool:
        """Whether `text`, as a row holds it, may name a team. `markup` is what stands in it."""
        if self._blind or len(text) > MAX_TEXT or "\0" in text:  # which Markdown makes a sign of
            return True
        if _ODD.search(text) or not unicodedata.is_normalized("NFC", text):
            text = clean(text)
            folded, plain = fold(text).replace("ς", "σ"), False
        else:
            folded, plain = text.lower(), True
        found: set[int] = set()
        for pattern, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            if start and folded[start - 1] in _ALNUM and folded[start] in _ALNUM:
                continue
            if folded[end - 1] in _ALNUM and folded[end : end + 1] in _LETTERS:
                continue  # a number may follow: Qwen2.5
            for token, written in self._tokens[pattern]:
                if not plain or written is None or text[start:end] == written:
                    found.add(token)
                    if any(others <= found for others in self._beside[token]):
                        return True
        return markup is not None and _PIECES[markup].search(folded) is not None


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
        if texts and not any(sieve.passes(text, shape.markup) for text in texts):
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
    """The post as `Posts.save_posts` would keep it; None where it would not, or the post is of another time."""
    source, day = post.source, post.posted_at.astimezone(dt.UTC).date()
    if (job.since and day < job.since) or (job.until and day > job.until):
        return None
    if (source, post.native_id) in job.gone or (source, hidden_id(source, post.native_id)) in job.gone:
        return None
    if post.author_key and mark("author", source, post.author_key) in job.forgotten:
        return None
    if not post.url.isascii():
        post = replace(post, url=storable(post.url) or "")
    if post.title and mark("title", source, post.title) in job.forgotten:
        post = replace(post, title=None)
    gone = {each: hidden_id(source, each) for each in (post.parent_id, post.thread_id) if each and distinctive(each)}
    gone = {each: hidden for each, hidden in gone.items() if (source, hidden) in job.gone}
    if not gone:
        return post
    parent_id, thread_id = post.parent_id or "", post.thread_id or ""
    return replace(post, parent_id=None if parent_id in gone else post.parent_id, thread_id=gone.get(thread_id, post.thread_id))


def _reject(tally: Tally, split: Split, number: int, reason: str) -> None:
    tally.rejected += 1
    if len(tally.places) < PLACES:
        tally.places.append(f"{named(split.where)}, {place(split)} {number}: {reason}")
