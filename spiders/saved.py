"""One page of posts, from a crawl or as a browser saved it, as the fields that a Post is made of.

The promise: a page is read the same however it came. Its words for time ("3 hours ago") count from when it was saved, so
that the same file always gives the same posts. Nothing here asks a network or a clock.
"""

from __future__ import annotations

import datetime as dt
import email
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parsel import Selector
from scrapy.http import HtmlResponse, TextResponse
from scrapy.utils.response import get_base_url

from spiders import dates, pages
from spiders.base import BROKEN
from spiders.markup import Described, read_markup
from spiders.profiles import Profile, profile

_SAVED_FROM = re.compile(rb"<!--\s*saved from url=\(\d+\)\s*(https?://\S+?)\s*-->")  # Chrome, Edge, Internet Explorer
_SINGLE_FILE = re.compile(rb"<!--\s*Page saved with SingleFile\s+url:\s*(https?://\S+)\s+saved date:\s*([^\n]+)\n")
_ADDRESS = ("link[rel='canonical']::attr(href)", "meta[property='og:url']::attr(content)")
_HEAD = 16384  # bytes in which a browser says where a page came from
_MHTML = re.compile(rb"\s*(?:[\w-]+:[^\n]*\n(?:[ \t]+[^\n]*\n)*)*?(?:MIME-Version|Content-Type):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Saved:
    """A page as a browser saved it. `encoding`, `url` and `at` (when) are None where the file does not tell."""

    body: bytes
    encoding: str | None = None
    url: str | None = None
    at: dt.datetime | None = None


def read_page(
    body: bytes,
    *,
    url: str | None,
    reader: str | Mapping[str, Any] | None,
    saved_at: dt.datetime,
    timezone: str = "UTC",
    day_first: bool | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The posts of a saved page (HTML or MHTML) as the arguments of ForumSpider.post, and why each other one is none.

    `url` is its address, which goes before what the file tells; `reader` is a profile, its name, or None for JSON-LD and
    microdata; `saved_at` is when it was saved, where the file does not tell. Raises ValueError, with a sentence, for a
    profile or a time zone that is wrong.
    """
    known = profile(reader) if reader is not None else None
    dates.zone(timezone)
    saved = _unpacked(body)
    if saved is None:
        return [], ["is MHTML without a page in it, or cut off"]
    at = min(saved.at, saved_at) if saved.at else saved_at
    moment, _ = pages.readers(at, timezone, day_first)
    try:
        address = url or saved.url
        page = HtmlResponse(address or "about:blank", body=saved.body, encoding=saved.encoding)
        if not address and (address := next(pages.values(page.selector.root, _ADDRESS), "")):
            page = page.replace(url=address)
        address = pages.canonical(address) if address else ""
        if known:
            read = _through(page.selector, address, known, moment, base=get_base_url(page))
        else:
            read = read_markup(page.text, address, moment)
    except BROKEN as error:
        return [], [f"is broken ({type(error).__name__})"]
    return read.posts, read.left_out


def described(page: TextResponse, url: str, known: Profile | None, moment: pages.Moment, *, thread: str) -> Described:
    """The posts of a page of `thread`: those in its markup, and those that only the profile finds."""
    read = read_markup(page.text, url, moment, thread=thread)
    if known is None:
        return read
    more = _through(page.selector, url, known, moment, base=get_base_url(page))
    for fields in more.posts:
        fields["thread_id"] = thread
    found = {_words(fields) for fields in more.posts}
    only = [fields for fields in read.posts if _words(fields) not in found]
    return Described([*only, *more.posts], read.deleted + more.deleted, read.left_out + more.left_out)


def _words(fields: Mapping[str, Any]) -> str:
    return " ".join(fields["text"].split())


def _through(page: Selector, url: str, known: Profile, moment: pages.Moment, *, base: str) -> Described:
    read = pages.read_thread(page, url, known, moment, base=base)
    return Described(read.posts, read.deleted, read.left_out)


def _unpacked(body: bytes) -> _Saved | None:
    """The page within the file. None where an archive holds none."""
    if _MHTML.match(body[:_HEAD]):
        return _from_mhtml(body)
    if found := _SINGLE_FILE.search(body[:_HEAD]):
        return _Saved(body, url=found[1].decode("ascii", "replace"), at=_browsers_date(found[2].decode("utf-8", "replace")))
    found = _SAVED_FROM.search(body[:_HEAD])
    return _Saved(body, url=found[1].decode("ascii", "replace") if found else None)


def _from_mhtml(body: bytes) -> _Saved | None:
    message = email.message_from_bytes(body)
    for part in message.walk():
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            page = part.get_payload(decode=True)
            if not isinstance(page, bytes):
                continue
            address = str(message.get("Snapshot-Content-Location") or part.get("Content-Location") or "")
            return _Saved(
                page,
                encoding=part.get_content_charset(),
                url=address if address.startswith(("https://", "http://")) else None,
                at=_mail_date(str(message.get("Date") or "")),
            )
    return None


def _mail_date(text: str) -> dt.datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)


def _browsers_date(text: str) -> dt.datetime | None:
    """A date as JavaScript prints it: Fri Jan 31 2025 12:00:00 GMT+0100 (heure normale d’Europe centrale)."""
    try:
        return dt.datetime.strptime(text.partition(" (")[0].strip(), "%a %b %d %Y %H:%M:%S GMT%z").astimezone(dt.UTC)
    except ValueError:
        return None
