"""Feeds: RSS and Atom as they are found, through feedparser, and JSON Feed. Widest cover for least code.

The promise: a feed that did not change is not sent again (ETag, Last-Modified), one that is broken gives what can still
be read, and one dead feed costs none of the others anything. What a feed leaves out it cannot tell: a deletion is not
seen, and what came and went between two crawls is missing; then the days before its oldest entry do not count as covered.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import html
import io
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urldefrag, urljoin

import feedparser
from pydantic import Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post, clean, text_hash, to_text
from monitor.words import plain, unquoted
from spiders.base import BROKEN, ForumSpider, SpiderOptions, UnusableError, Url, identifier, shown

_FIRST = dt.timedelta(days=30)  # a reading covers no more, though a quiet feed may reach back for years
_BELIEVED = dt.timedelta(days=1)  # how long "not modified" is believed: Isso says so though a comment was edited or answered

_GENERATED = re.compile(
    r"""(comment|commentaire|kommentar|reply|réponse)\s*\#?\s*\d+$
      | (new\s+)?(comments?|commentaires?)\s+(on|by|from|sur|de|par)\b
      | (in\s+)?(reply|réponse)\s+(to|à)\b
      | /?u/[\w-]+\s+on\b
      | by\s*:""",
    re.IGNORECASE | re.VERBOSE,
)
_EMPTY = re.compile(r"<!--[^<>]*-->|</?(?:br|div|p|span)\b[^<>]*>", re.IGNORECASE)  # markup that shows nothing; a picture does
# At the beginning, or behind the name of the forum (phpBB: "General • Re: X") or list ("[ai] Re: X").
_REPLY = re.compile(r"(?:^|(?<=• )|(?<=\] ))(?:(?:re|aw|antw|sv|tr|回复|答复)\s*[:：]\s*)+", re.IGNORECASE)
_FURNITURE = re.compile(
    r"""<p>(?:(?!</?p\b).){1,300}\s—\s(?:(?!</?p\b).){1,300}</p>\s*<hr\s*/?>\s*\Z   # phpBB: "Statistics: Posted by NAME — DATE"
      | submitted\ by(?:&\#32;|\s){1,20}<a\s[^<>]*>\s*/u/.*\Z                # Reddit: "submitted by /u/NAME [link] [comments]"
      | \A[^<]*<a\s[^<>]*/u/[^<>]*>[^<]*</a>[^<]*<a\s[^<>]*/c/[^<>]*>[^<]*</a><br>[^<]*<a\s[^<>]*>[^<]*</a>
        (?:<br><a\s[^<>]*>(?:https?://[^<]*|<img[^<>]*>)</a>)?                     # Lemmy: "submitted by NAME to COMMUNITY, 3 points"
      | <p><small>[^<]*</small></p>\s*<p><a\s[^<>]*>[^<]*</a></p>\s*\Z             # Discourse: "5 posts - 3 participants, Read full topic"
      | <p>The\ post\ <a\s[^<>]*>(?:(?!</p>).){1,600}</a>\ (?:first\ )?appeared\ (?:first\ )?on\s
        (?:(?!</p>).){1,600}</p>\s*\Z                                              # WordPress""",
    re.VERBOSE | re.DOTALL,
)
"""What software writes into an entry before or behind its author's words: names, dates, counts, links."""


class FeedOptions(SpiderOptions):
    urls: tuple[Url, ...] = Field(min_length=1)
    """Addresses of feeds. Ids are told apart by feed where they are not URIs, so several fit into one source."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What RSS, Atom and JSON Feed have in common; every field as found, `body` already plain text."""

    native_id: object
    link: object
    title: str
    body: str
    raw: str
    """The body as the feed holds it, with markup, quotes and code."""
    published: object
    updated: object
    author: object
    parent: object = None
    """Id of the entry that this one answers (thr:in-reply-to)."""
    page: object = None
    """Address of the page that the answered one stands on."""


class Feed(ForumSpider):
    """A title that the author wrote begins the text; one that the software made does not: "Comment #14", "Comment on X by Y",
    "Re: X", any title of an answer (thr:in-reply-to), and a title that only repeats how the body begins.

    `thread_id` is the page that an entry stands on, if its link points into a page or it says what it answers; else
    its title without "Re:", by which mailing lists hold together; else its own id.

    An entry whose body is empty and whose title is not its author's is gone: that is what a deleted comment with answers
    leaves behind. One that holds only a quote, code or a picture is left out, since its author may yet add words. Where a feed
    tells only when an entry was last changed, a post that is known keeps its time of posting."""

    name = "feed"
    options_type = FeedOptions
    options: FeedOptions
    independent = True

    async def start(self) -> AsyncIterator[Request]:
        kept = self.cursor.get("urls")
        self.urls = {_key(url): url for url in self.options.urls}
        self.kept = {key: kept[key] for key in self.urls if key in kept} if isinstance(kept, Mapping) else {}
        self.next_cursor = {"urls": dict(self.kept)}
        self.posted = {native_id: posted_at for native_id, _, posted_at in self.recent}
        self.open, self.since = len(self.urls), self.now - _FIRST
        for key, url in self.urls.items():
            left = self.kept.get(key, {})
            read = self.date(left.get("read"))
            headers = {"If-None-Match": left.get("etag"), "If-Modified-Since": left.get("modified")}
            headers = {name: value for name, value in headers.items() if value} if read and self.now - read < _BELIEVED else {}
            yield self.ask(url, self.read_feed, accept=(304,), headers=headers, key=key)

    def read_feed(self, response: Response, key: str) -> Iterator[Post | Gone]:
        left = self.kept.get(key, {})
        until = self.date(left.get("until"))
        if response.status == 304:
            self._done(key, until or self.now, left)
            return
        found = self._json_feed(response) if response.body.lstrip()[:1] == b"{" else self._xml_feed(response)
        if found is None:
            return
        items, read, sound = found
        met: set[str] = set()
        oldest = None
        for post in self.each(items, lambda item: [self._post(read(item), key, met, sound)], response.url):
            if isinstance(post, Post) and post.date_origin == "site":
                oldest = min(oldest or post.posted_at, post.posted_at)
            yield post
        reaches = until is not None and (oldest is None or oldest <= until)
        # After a feed that was cut short, the same one must be sent again in whole.
        names = {"etag": "ETag", "modified": "Last-Modified"} if sound else {}
        headers = {name: (response.headers.get(header) or b"").decode("latin-1")[:500] for name, header in names.items()}
        state = {"read": to_text(self.now), **{name: value for name, value in headers.items() if value}}
        self._done(key, until if until and reaches else oldest or self.now, state)

    def _done(self, key: str, since: dt.datetime, state: Mapping[str, Any]) -> None:
        """Keep what one feed left, which covers the time from `since` on. What all of them cover is covered."""
        self.next_cursor["urls"][key] = {**state, "until": to_text(self.now)}
        self.since, self.open = max(self.since, since), self.open - 1
        if not self.open:
            self.covered = (self.since, self.now)

    def _json_feed(self, response: Response) -> tuple[list[Any], Any, bool] | None:
        feed = self.json(response)
        if feed is None:
            return None
        items = feed.get("items")
        if not isinstance(items, list):
            self.lose(response, "is no JSON Feed: it holds no list `items`")
            return None
        return items, partial(_from_json, feed=feed, base=response.url), True

    def _xml_feed(self, response: Response) -> tuple[list[Any], Any, bool] | None:
        headers = {"content-location": response.url, "content-type": (response.headers.get("Content-Type") or b"").decode("latin-1")}
        try:
            # A stream, since feedparser would take a text for the name of a file or an address to open.
            feed = feedparser.parse(io.BytesIO(response.body), response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
        except BROKEN as error:
            self.lose(response, f"cannot be read as a feed ({type(error).__name__})")
            return None
        version = feed.get("version", "")
        if not version and not feed.entries:
            markup = re.match(rb"\s*<(!doctype html|html)", response.body, re.IGNORECASE)
            self.lose(response, "gives HTML where a feed was due" if markup else "is not a feed")
            return None
        harmless = (feedparser.CharacterEncodingOverride, feedparser.NonXMLContentType)
        sound = not feed.bozo or isinstance(feed.get("bozo_exception"), harmless)
        return feed.entries, partial(_from_xml, author=feed.feed.get("author") if version.startswith("atom") else None), sound

    def _post(self, entry: _Entry, key: str, met: set[str], sound: bool) -> Post | Gone:
        native_id = _told_apart(entry.native_id or entry.link, key)
        if native_id in met:
            raise UnusableError("has an id that stands twice in its feed")
        met.add(native_id)
        subject = _REPLY.sub("", entry.title, count=1)
        made_up = _GENERATED.match(entry.title) is not None
        generated = made_up or entry.parent or subject != entry.title or _repeats(entry.title, entry.body)
        text = entry.body if generated else f"{entry.title}\n\n{entry.body}"
        title = None if made_up or entry.parent else subject
        if not clean(text):
            if not sound:
                raise UnusableError("is cut off")
            if title or clean(html.unescape(_EMPTY.sub("", entry.raw))):
                raise UnusableError("holds no words of its author's own")
            return self.gone(native_id)
        link = next(
            (url for url in (entry.link, entry.native_id) if isinstance(url, str) and url.startswith(("http://", "https://"))), None
        )
        page = entry.page if isinstance(entry.page, str) else (link if link and _points_into(link) else None)
        published, updated = self.date(entry.published), self.date(entry.updated)
        if updated and not published:
            published = min(updated, self.posted.get(native_id, updated))
        return self.post(
            native_id=native_id,
            url=link or shown(self.urls[key]),
            text=text,
            posted_at=published,
            edited_at=updated if updated and published and to_text(updated) > to_text(published) else None,
            thread_id=urldefrag(page).url if page else (f"{key}:{text_hash(title.casefold())}" if title else native_id),
            parent_id=_told_apart(entry.parent, key) if entry.parent else None,
            title=title,
            author=entry.author,
        )


def _from_xml(entry: dict[str, Any], author: object) -> _Entry:
    body = next(iter(entry.get("content") or ()), None) or entry.get("summary_detail") or {}
    title = entry.get("title_detail") or {}
    answered = entry.get("thr_in-reply-to") or {}
    heading = " ".join(_as_plain(title).split())
    for tag in entry.get("tags") or ():  # phpBB puts the forum's name before a title
        heading = heading.removeprefix(f"{tag.get('label') or tag.get('term')} • ")
    return _Entry(
        native_id=entry.get("id"),
        link=entry.get("link"),
        title=heading,
        body=_as_plain(body),
        raw=body.get("value") or "",
        # dict.get, since feedparser's own gives `published` for a missing `updated`, with a warning.
        published=_epoch(dict.get(entry, "published_parsed")),
        updated=_epoch(dict.get(entry, "updated_parsed")),
        author=entry.get("author") or author,
        parent=answered.get("ref"),
        page=answered.get("href"),
    )


def _as_plain(detail: Mapping[str, Any]) -> str:
    value = detail.get("value") or ""
    return unquoted(html.unescape(value)) if detail.get("type") == "text/plain" else plain(_FURNITURE.sub("", value))


def _from_json(item: Mapping[str, Any], feed: Mapping[str, Any], base: str) -> _Entry:
    text, title, link = item.get("content_text"), item.get("title"), item.get("url") or item.get("external_url")
    markup = item.get("content_html") or item.get("summary") or ""
    found = text if isinstance(text, str) and (text.strip() or not markup) else None
    return _Entry(
        native_id=item.get("id"),
        link=urljoin(base, link) if isinstance(link, str) else None,
        title=" ".join(title.split()) if isinstance(title, str) else "",
        body=plain(markup) if found is None else unquoted(found),
        raw=markup if found is None else found,
        published=item.get("date_published"),
        updated=item.get("date_modified"),
        author=_json_author(item) or _json_author(feed),
    )


def _json_author(holder: Mapping[str, Any]) -> object:
    """The first author's name: `authors` in version 1.1, `author` in version 1."""
    authors: Iterable[Any] = holder.get("authors") or [holder.get("author")]
    return next((author.get("name") for author in authors if isinstance(author, Mapping)), None)


def _points_into(link: str) -> bool:
    """Whether a link leads to a place on a page that others share: not so phpBB's viewtopic.php?p=5#p5, a page for each post."""
    page, place = urldefrag(link)
    number = re.search(r"\d+$", place)
    return bool(place) and not (number and re.search(rf"\D{number[0]}/?$", page))


def _epoch(parsed: time.struct_time | None) -> int | None:
    return calendar.timegm(parsed) if parsed else None


def _repeats(title: str, body: str) -> bool:
    """Whether a title is only the beginning of the body, as blogs and short posts without a title have it."""
    begin = title.rstrip(".… ").casefold()
    return bool(begin) and " ".join(body.split()).casefold().startswith(begin)


def _key(url: str) -> str:
    """A feed's name in the cursor and in ids: not its address, which may hold a token."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _told_apart(entry_id: object, key: str) -> str:
    """An entry's id; with its feed's name before it where it is not a URI, and so may stand in another feed too."""
    found = identifier(entry_id)
    return found if re.match(r"[a-z][a-z0-9+.-]*:\S", found, re.IGNORECASE) else f"{key}:{found}"
