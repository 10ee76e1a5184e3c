"""The core types that the steps hand to one another, and the two functions that write and read a time.

Every time is aware and in UTC; in the database it is text, `2025-01-23T18:04:05Z`, to the second, so that it sorts.
A day is a UTC calendar day, `2025-01-23`. Nothing here reads a clock, a file or the network.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["voice", "press", "import"]
DateOrigin = Literal["site", "fetched"]
Label = Literal["negative", "neutral", "positive"]
AlertState = Literal["normal", "pending", "firing", "recovering", "resolved"]
Health = Literal["ok", "no data", "inhibited", "error"]

MAX_TEXT = 100_000
"""A post's text is cut here (characters): the longest forum posts known are below it, and one page must not fill the store."""

ALL = "*"
"""The source that stands for all sources together (a NULL in a key would never equal another NULL)."""

SOURCE_STOPPED = "source-stopped"
"""The rule that nobody writes: the alert that a source cannot be read (monitor/stopped.py)."""

POSTS_UNREAD = "posts-unread"
"""Another: the alert that posts wait to be understood."""


@dataclass(frozen=True, slots=True)
class Post:
    """One public post, as its author wrote it: plain text, other people's quoted words and markup removed.

    `text` of a post that opens a thread begins with its title, since the author wrote that too; `title` is the
    thread's title, for reading only. Key: (source, native_id). `author_key` is a keyed hash; a name is never kept.
    `date_origin` says whether `posted_at` is the site's own or, where the site gave none, the time of fetching.
    """

    source: str
    native_id: str
    url: str
    text: str
    posted_at: dt.datetime
    fetched_at: dt.datetime
    thread_id: str | None = None
    parent_id: str | None = None
    title: str | None = None
    language: str | None = None
    author_key: str | None = None
    edited_at: dt.datetime | None = None
    date_origin: DateOrigin = "site"
    kind: Kind = "voice"


@dataclass(frozen=True, slots=True)
class Gone:
    """A post that its forum no longer shows: its words, mentions and scores are to be removed, and stay removed."""

    source: str
    native_id: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A team named in a text: `start` and `end` are character offsets (Unicode code points), half-open."""

    team: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Score:
    """Sentiment of one post toward one team. Shares in [0, 1] that sum to 1; `value` = positive - negative, in [-1, 1]."""

    model: str
    negative: float
    neutral: float
    positive: float

    @property
    def value(self) -> float:
        return self.positive - self.negative

    @property
    def label(self) -> Label:
        """The likeliest of the three; a tie is neutral."""
        if self.negative > max(self.neutral, self.positive):
            return "negative"
        if self.positive > max(self.neutral, self.negative):
            return "positive"
        return "neutral"


@dataclass(slots=True)  # frozen it takes five times as long to make, and a round of `alert` makes tens of thousands
class DailyTrend:
    """What was said of one team on one UTC day in one source (`*` = all), by one model.

    `posts`, `authors` (voices) and `threads` are counts. Shares are of voices: each author counts once, by the mean of
    his posts of the day. `mean` is in [-1, 1] and `low`..`high` its 95 % interval. All figures but the counts are None
    when `authors` is below the configured minimum: `sufficient` is then False. `variance` is that of one voice, `effective` the
    number of independent voices that are as much evidence: those of one thread have something in common.
    Nobody changes one: rules keep sums over days (monitor/rules/shift.py).
    """

    day: dt.date
    team: str
    source: str
    model: str
    posts: int
    authors: int
    threads: int
    sufficient: bool
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    negative_share: float | None = None
    neutral_share: float | None = None
    positive_share: float | None = None
    variance: float | None = None
    effective: float | None = None


@dataclass(slots=True, kw_only=True)
class CorrectedWeek(DailyTrend):
    """The seven UTC days up to `day`, all sources, with the model's errors taken out, as a rule meets them in place of a day.

    `mean`, its 95 % interval `low`..`high` and `negative_share` are the corrected ones (monitor/corrected.py), `posts` and `authors` all
    of the week's. `read` is how many posts `readers` read of a sample. `model_mean` and `model_negative_share` are what the model says of
    the same people. Other fields say nothing.
    """

    method: Literal["sample", "confusion"]
    read: int
    readers: str = ""
    negative_low: float | None = None
    negative_high: float | None = None
    model_mean: float | None = None
    model_negative_share: float | None = None


class Spread(NamedTuple):
    """What a day's interval is made of: how its voices differ, and how alike those of one thread are.

    `total` is the sum of squares of the `voices` about their mean, `crowding` the sum of the squares of the shares that threads
    hold of them: one over the number of threads where all hold the same. The rest is a one-way analysis of variance by thread
    and adds up over days: its degrees of freedom, its sums of squares, and `sizes`, which is `between_df` times the mean size n0.
    """

    voices: int
    total: float
    crowding: float
    within_df: float
    between_df: float
    within_squares: float
    between_squares: float
    sizes: float


def to_text(moment: dt.datetime) -> str:
    """An aware time as the store keeps it: UTC, to the second. Raises ValueError for a time without a zone.

    A time whose UTC lies outside the years 1..9999, as a broken date with an offset can, becomes the nearest inside.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError:
        utc = dt.datetime(1, 1, 1, tzinfo=dt.UTC) if moment.year == 1 else dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def from_text(text: str) -> dt.datetime:
    """The reverse of `to_text`."""
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


_LINE_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Characters that cannot be seen and only break matching or storage: C0/C1 controls but tab and newline, soft hyphen,
# zero-width space, word joiner, byte order mark, bidirectional controls. The zero-width joiners stay: emoji and
# Persian or Indic script need them.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Text fit to store and to match: lone surrogates replaced, unseen characters dropped, NFC, at most MAX_TEXT long.

    Every kind of line break becomes a newline. `clean(clean(x)) == clean(x)`. Offsets of mentions are into the cleaned text.
    """
    text = text[: 4 * MAX_TEXT]
    if text.isascii() and text.isprintable():  # ids, addresses, names: most of what comes
        return text[:MAX_TEXT].strip()
    # A surrogate pair left by a JSON decoder is one character; a lone one is none.
    if not text.isascii() and _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _UNSEEN.sub("", _LINE_BREAK.sub("\n", text))
    # Last, since dropping a character can bring a base and its combining mark together.
    return unicodedata.normalize("NFC", text)[:MAX_TEXT].strip()


def text_hash(text: str) -> str:
    """32 hexadecimal digits that tell whether a text is unchanged (SHA-256, cut)."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
