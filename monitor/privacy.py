"""How people are hidden: a keyed hash in place of every name, groups too small to be shown, what an excerpt must not say.

The promises: no name is stored. Without the key file a hash can be neither reversed nor confirmed by trying names. With
`privacy.rotate_keys` two posts that one author wrote in different periods cannot be linked by what is stored, and once a
period is over its secret is gone: nobody can compute its keys again, with the key file or without.

A key file that does not rotate is 32 or more random bytes. One that does is text: the first day that its secret serves, the
secret, and one more, under which people who are to be forgotten are recognised in every period. A day's secret is
the HMAC of the day before's, so the file leads forward only. A period has the secret of its first day. What was stored
before rotation began keeps its keys, and its secret, which becomes the one that recognises the forgotten.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import StoreError
from monitor.records import ALL, DailyTrend

LATE = dt.timedelta(days=2)
"""How long after its end a period's secret is kept, for posts that are found late: an author would count twice on its last days."""

_HEADER = b"forum-monitor author keys, since "


@dataclass(frozen=True, slots=True)
class AuthorKeys:
    """What authors of posts are hashed with. `since` is the first UTC day of `secret`, `period` in days; None: keys stay."""

    secret: bytes
    lasting: bytes
    since: dt.date | None = None
    period: int | None = None

    def key(self, source: str, name: str, posted_at: dt.datetime) -> str:
        """What is stored in place of the author of a post that was posted at this (aware) time, 32 hexadecimal digits.

        A post of a period whose secret is gone has a key of its period all the same, under the oldest secret there is:
        it is not linked to any other period's.
        """
        if self.since is None or self.period is None:
            return author_key(self.secret, source, name)
        begin = period_start(posted_at.astimezone(dt.UTC).date(), self.period)
        return author_key(_on(self.secret, (begin - self.since).days), f"{source}\0{begin}", name)


def load_keys(path: Path, rotate: int | None, today: dt.date) -> AuthorKeys:
    """The keys in `path`, made there at first use; `rotate` is privacy.rotate_keys in days.

    With it the file is rewritten, atomically and with mode 0600, once the secret in it has served. Several processes
    that do so at once write the same. Raises StoreError as `load_key` does.
    """
    content = load_key(path)
    secret, lasting, since = _parsed(content, path)
    if rotate is None:
        return AuthorKeys(secret, lasting)
    begin = period_start(today - LATE, rotate)
    if since is None or begin > since:
        secret = _on(secret, (begin - since).days) if since else hmac.new(content, b"rotation", hashlib.sha256).digest()
        since = begin
        draft = _draft(path, _HEADER + f"{since}\n{secret.hex()}\n{lasting.hex()}\n".encode())
        os.replace(draft, path)
    return AuthorKeys(secret, lasting, since, rotate)


def _parsed(content: bytes, path: Path) -> tuple[bytes, bytes, dt.date | None]:
    """The secret, the lasting one, and the first day of the former (None where it does not rotate)."""
    if not content.startswith(_HEADER):
        return content, content, None
    try:
        day, secret, lasting = content.removeprefix(_HEADER).decode("ascii").split()
        return bytes.fromhex(secret), bytes.fromhex(lasting), dt.date.fromisoformat(day)
    except ValueError:
        raise StoreError(f"the author key {path} is damaged: restore it from a backup, or delete it and the database together") from None


@functools.lru_cache(maxsize=8)
def _on(secret: bytes, days: int) -> bytes:
    """The secret of so many days later; of an earlier day, whose own is gone, the same."""
    for _ in range(days):
        secret = hmac.new(secret, b"next day", hashlib.sha256).digest()
    return secret


def period_start(day: dt.date, period: int) -> dt.date:
    """The first day of the period of so many days in which `day` lies. Periods are counted from 1 January 1970."""
    return dt.date.fromordinal(day.toordinal() - (day - dt.date(1970, 1, 1)).days % period)


def turns(first: dt.date, last: dt.date, rotate: int | None) -> bool:
    """Whether author keys turn within the days `first`..`last`: who wrote before and after then counts as two people there."""
    return rotate is not None and period_start(first, rotate) != period_start(last, rotate)


def hiding(
    keys: AuthorKeys, source: str, *, leaves_out: Callable[[str, str], bool], leave_out: Callable[[str, str], None], now: dt.datetime
) -> Callable[..., str]:
    """What makes a key of an author's name and, where it is known, the time of the post; `now` stands in for that.

    `leaves_out` and `leave_out` are those of the store. An author who was to be forgotten in one period is recognised by
    a key that does not rotate from his next post on, since what was stored of him told no name.
    """

    def key(name: str, posted_at: dt.datetime | None = None) -> str:
        found = keys.key(source, name, posted_at or now)
        if keys.period is None:
            return found
        lasting = author_key(keys.lasting, source, name)
        if leaves_out(source, lasting):
            return lasting
        if leaves_out(source, found):
            leave_out(source, lasting)
        return found

    return key


def load_key(path: Path) -> bytes:
    """The bytes in `path`, at least 32; made there at first use with mode 0600.

    Raises StoreError when the file cannot be made or read, is too short, or may be read by others. Of several processes
    that make it at once, all get the same key.
    """
    try:
        if not path.exists():
            _make(path)
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"the author key {path} cannot be made or read ({why}): check privacy.author_key_file and its folder") from None
    if mode & 0o077:
        raise StoreError(
            f"the author key {path} can be read by other users, who could find authors out with a list of names: run `chmod 600 {path}`"
        )
    if len(key) < 32:
        raise StoreError(
            f"the author key {path} is shorter than 32 bytes: restore it from a backup, or delete it and the database together"
        )
    return key


def _make(path: Path) -> None:
    """Write a key beside `path` and link it there: nobody ever sees a key that is half written, and the first one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, secrets.token_bytes(32))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _draft(path: Path, content: bytes) -> str:
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return draft


def author_key(key: bytes, source: str, name: str) -> str:
    """HMAC-SHA256 of an author's name within its source, 32 hexadecimal digits. One name in two sources gives two keys."""
    return hmac.new(key, f"{source}\0{name}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


# ---- groups too small to be shown -----------------------------------------------------------------------------------


def withheld(cells: Iterable[DailyTrend], min_authors: int) -> set[tuple[dt.date, str, str, str]]:
    """The (day, team, source, model) whose figures must not leave the store, given all cells of some days or one window.

    Those are cells of fewer than `min_authors` people, and, where one could be computed from the total (source `*`) and its
    shown siblings, the smallest of these too, until what the total less the shown ones tells is of two cells and of
    `min_authors` people at least; with nothing left to hide the total goes (complementary suppression: Willenborg & de Waal,
    Elements of Statistical Disclosure Control, 2001, chapter 4). Counts are no figures: they may be shown.
    """
    cells = list(cells)
    small = {(cell.day, cell.team, cell.model) for cell in cells if cell.authors < min_authors}
    tables: dict[tuple[dt.date, str, str], list[DailyTrend]] = defaultdict(list)
    for cell in cells:
        if (key := (cell.day, cell.team, cell.model)) in small:  # in the others nothing is to be hidden
            tables[key].append(cell)
    hidden = set()
    for (day, team, model), rows in tables.items():
        total = next((row for row in rows if row.source == ALL), None)
        parts = sorted((row for row in rows if row.source != ALL and row.authors), key=lambda row: (row.authors, row.source))
        out = [row for row in parts if row.authors < min_authors]
        if total is not None and total.authors < min_authors:
            out.append(total)
        elif total is not None and out:
            shown = parts[len(out) :]
            while shown and (len(out) < 2 or sum(row.authors for row in out) < min_authors):
                out.append(shown.pop(0))
            if len(out) < 2 or sum(row.authors for row in out) < min_authors:
                out.append(total)
        hidden |= {(day, team, row.source, model) for row in out}
    return hidden


def suppressed(cells: Iterable[DailyTrend], min_authors: int) -> list[DailyTrend]:
    """The same cells in the same order, with the figures of those that are `withheld` taken out: counts alone stay."""
    cells = list(cells)
    hidden = withheld(cells, min_authors)
    return [counts_alone(row) if (row.day, row.team, row.source, row.model) in hidden else row for row in cells]


def counts_alone(row: DailyTrend) -> DailyTrend:
    """A cell without its figures."""
    return DailyTrend(row.day, row.team, row.source, row.model, row.posts, row.authors, row.threads, sufficient=False)


# ---- what an excerpt must not say -----------------------------------------------------------------------------------

_NAMES = (
    # user:password@ in an address, and the part of its path that names a person
    (re.compile(r"(?<=://)[^\s/@]+@"), "…@"),
    (
        re.compile(
            r"(?P<before>://[^\s/]+/(?:(?:[^\s/]+/)*(?:u|user|users|usr|profile|profiles|people|person|member|members|author|authors|in)/|[@~]))"
            r"[^\s/?#.,;:!)\]]+",
            re.IGNORECASE,
        ),
        r"\g<before>…",
    ),
    (re.compile(r"(?P<before>://(?:www\.|mobile\.)?(?:x|twitter|instagram|facebook|t|threads)\.(?:com|me|net)/)[^\s/?#]+"), r"\g<before>…"),
    # e-mail addresses, then handles: @name, @name@host, u/name
    (re.compile(r"[A-Za-z0-9._%+-]+@[\w-]+(?:\.[\w-]+)+"), "…@…"),
    (re.compile("(?<![A-Za-z0-9_.@/…])[@\uff20]\\w(?:[\\w.-]{0,29}\\w)?(?:@[\\w-]+(?:\\.[\\w-]+)+)?"), "@…"),
    (re.compile(r"(?<![\w/])/?u/[\w-]{2,}"), "u/…"),
)
_NUMBERS = (
    # telephone numbers: international, national with a leading 0, North American, Chinese mobile
    (re.compile(r"(?<![\w+])(?:\+|00)[1-9](?:[\s()./-]{0,2}\d){6,14}(?!\d)"), "…"),
    (re.compile(r"(?<![\w.,:+-])(?<!\d\s)(?!\d{2}[./-]\d{2}[./-]\d{2,4}\b)\(?0[1-9]\d{0,3}\)?(?:[\s./-]?\d{2,4}){2,4}(?![\w:])"), "…"),
    (re.compile(r"(?<![\w.,+-])(?:1[\s.-])?\(?\d{3}\)?[\s.-]{1,2}\d{3}[\s.-]\d{4}(?!\w)"), "…"),
    (re.compile(r"(?<!\d)1[3-9]\d[\s-]?\d{4}[\s-]?\d{4}(?!\d)"), "…"),
)


def masked(text: str) -> str:
    """Text in which e-mail addresses, telephone numbers, @handles and the user parts of addresses are an ellipsis."""
    for pattern, instead in (*_NAMES, *_NUMBERS):
        text = pattern.sub(instead, text)
    return text


def names_somebody(url: str) -> bool:
    """Whether an address holds the name of a user."""
    return any(pattern.search(url) for pattern, _ in _NAMES)
