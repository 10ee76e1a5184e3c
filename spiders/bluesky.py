"""Bluesky: its search, with an app password of the operator's own; without one, the feeds of listed accounts on the public API.

The promise: every post that a search or feed holds since its last reading, less the overlap, is read once, by the time
at which Bluesky saw it, never by the one that its author's program claims. A search gives some 10,000 posts at most
(bnewbold and others, bluesky-social/bsky-docs #296; medialab/minet #1018), so it is asked again from the oldest one seen
until nothing is left. Who asks not to be shown (labels, the author's own among them) is left out, and forgotten where stored.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator
from scrapy.http import Request, Response

from monitor.records import Gone, Post, clean, to_text
from monitor.words import unquoted
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, whole

_PAGE = 100
_REFRESH_PAGE = 25  # what getPosts takes
_MOST_IDLE = 20  # pages in a row without a new post, as an author who is much filtered has them, after which a server does not page
_POST = re.compile(r"at://(did:[a-z0-9]+:[A-Za-z0-9._:%-]+)/app\.bsky\.feed\.post/([A-Za-z0-9._~:-]+)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_UNSHOWN = ("!no-unauthenticated", "!hide", "!takedown", "!suspend")


class BlueskyOptions(SpiderOptions):
    api: Url | None = None
    """The account's own server (PDS), https://bsky.social where left out; without an account https://public.api.bsky.app."""
    identifier: str = Field(default="", repr=False)
    """The account's handle or e-mail address."""
    app_password: str = Field(default="", repr=False)
    queries: tuple[str, ...] = ()
    """Search words, each asked on its own; they need an app password."""
    actors: tuple[str, ...] = ()
    """Handles or DIDs of accounts whose posts are read."""
    first_days: Days = 7.0
    """How far back the first reading of a search or feed goes."""
    refresh_limit: int = Field(default=500, ge=0, le=100_000)
    """Posts that one crawl looks at again, newest first."""

    @model_validator(mode="after")
    def _something_to_read(self) -> Self:
        if bool(self.identifier) != bool(self.app_password):
            raise ValueError("write identifier and app_password, or neither")
        if self.queries and not self.app_password:
            raise ValueError("queries need identifier and app_password (Bluesky searches for accounts only): write them, or list actors")
        if not (self.queries or self.actors):
            raise ValueError("write queries, with identifier and app_password, or list actors")
        if not all(word.strip() for word in (*self.queries, *self.actors)):
            raise ValueError("write no empty words into queries or actors")
        return self


@dataclass
class _Listing:
    """One search or feed while it is read. `place` is its option, as `queries.0`: a message must not name an author."""

    place: str
    method: str
    asked: dict[str, str]
    since: dt.datetime
    until: dt.datetime
    reads_from: dt.datetime
    met: set[str] = field(default_factory=set)
    cursors: set[str] = field(default_factory=set)
    idle: int = 0
    oldest: dt.datetime | None = None
    # Of the span that is asked for now:
    count: int = 0
    new: int = 0
    beyond: bool = False
    """Whether posts came that are younger than `until`."""

    @property
    def key(self) -> str:
        """Its name in the cursor: not the word itself, which may be a person's handle."""
        return hashlib.sha256(json.dumps([self.method, self.asked]).encode()).hexdigest()[:12]

    @property
    def searches(self) -> bool:
        return self.method == "searchPosts"


class Bluesky(ForumSpider):
    """`native_id` is the at:// URI, `thread_id` the URI of the thread's first post. Reposts are no words of their author's,
    and what a post quotes is not part of its text. A post is gone when getPosts leaves it out: it is deleted, or its
    author is, or has blocked the account that asks."""

    name = "bluesky"
    options_type = BlueskyOptions
    options: BlueskyOptions
    independent = True

    async def start(self) -> AsyncIterator[Request]:
        account = bool(self.options.app_password)
        self.base = (self.options.api or ("https://bsky.social" if account else "https://public.api.bsky.app")).rstrip("/")
        self.headers: dict[str, str] = {}
        self.seen: set[str] = set()
        kept = self.cursor.get("until") if self.cursor.get("api") == self.base else None
        kept = kept if isinstance(kept, Mapping) else {}
        self.listings = {listing.key: listing for listing in self._listings(kept)}
        self.read: list[_Listing] = []
        self.next_cursor = {"api": self.base, "until": {key: kept[key] for key in self.listings if key in kept}}
        if account:
            yield self._login()
        else:
            for request in self._begin():
                yield request

    def _listings(self, kept: Mapping[str, Any]) -> Iterator[_Listing]:
        for option, method, name in (("queries", "searchPosts", "q"), ("actors", "getAuthorFeed", "actor")):
            for number, word in enumerate(getattr(self.options, option)):
                listing = _Listing(f"{option}.{number}", method, {name: word.strip()}, self.now, self.now, self.now)
                until = self.date(kept.get(listing.key))
                first = self.now - dt.timedelta(days=self.options.first_days)
                listing.since = listing.reads_from = min(until, self.now) - self.overlap if until else first
                yield listing

    def _login(self) -> Request:
        body = json.dumps({"identifier": self.options.identifier, "password": self.options.app_password})
        url = f"{self.base}/xrpc/com.atproto.server.createSession"
        headers = {"Content-Type": "application/json"}
        # Not essential, for spiders/politeness.py would take a wrong password for a site that wants no crawlers.
        request = self.ask(url, self.read_session, essential=False, accept=(400, 401, 403), headers=headers, posted=body)
        request.meta.update(due=True, dont_redirect=True)  # the password goes where it belongs, and nowhere else
        return request

    def lose(self, asked: Request | Response, what: str, reason: str = "failed") -> None:
        asked.meta["essential"] = asked.meta["essential"] or asked.meta.get("due", False)
        super().lose(asked, what, reason)

    def read_session(self, response: Response) -> Iterator[Request]:
        if response.status != 200:
            remedy = "check both, and make an app password in Bluesky's settings (privacy and security); the account's own does not do"
            self.lose(response, f"answers {response.status}: it does not take this identifier and app_password: {remedy}")
            return
        session = self.json(response)
        if session is None:
            return
        token = session.get("accessJwt")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            self.lose(response, "opens no session (`accessJwt`): is `api` the address of the account's server?")
            return
        self.headers = {"Authorization": f"Bearer {token}"}
        yield from self._begin()

    def _begin(self) -> Iterator[Request]:
        uris = [native_id for native_id, _, _ in self.recent[: self.options.refresh_limit]]
        for start in range(0, len(uris), _REFRESH_PAGE):
            asked = uris[start : start + _REFRESH_PAGE]
            url = f"{self.base}/xrpc/app.bsky.feed.getPosts?{urlencode([('uris', uri) for uri in asked])}"
            yield self.ask(url, self.read_again, essential=False, headers=self.headers, asked=asked)
        for listing in self.listings.values():
            yield self._page(listing, None)

    def _page(self, listing: _Listing, cursor: str | None) -> Request:
        words: dict[str, object] = {**listing.asked, "limit": _PAGE}
        if listing.searches:
            words |= {"sort": "latest", "since": _iso(listing.since), "until": _iso(listing.until)}
        if cursor:
            listing.cursors.add(cursor)
            words["cursor"] = cursor
        url = f"{self.base}/xrpc/app.bsky.feed.{listing.method}?{urlencode(words)}"
        return self.ask(url, self.read_page, accept=(400,), headers=self.headers, listing=listing, cursor=cursor)

    def read_page(self, response: Response, listing: _Listing, cursor: str | None) -> Iterator[Post | Gone | Request]:
        refused = response.status == 400
        if refused and not (listing.searches and cursor):
            remedy = "correct it, or take it out; an account may be gone, or have blocked yours"
            self.lose(response, f"answers 400 for options.{listing.place}: {remedy}")
            return
        page: Mapping[str, Any] | None = {"posts": []} if refused else self.json(response)
        if page is None:
            return
        name = "posts" if listing.searches else "feed"
        entries = page.get(name)
        if not isinstance(entries, list):
            self.lose(response, f"holds no list `{name}`")
            return
        yield from self.each(entries, self.read_post if listing.searches else self.read_entry, response.url)
        places = [_place(entry) for entry in entries]
        new = {mark for mark, _ in places} - listing.met
        dates = [date for date in (self.date(time) for _, time in places) if date]
        listing.met |= new
        listing.count, listing.new = listing.count + len(entries), listing.new + len(new)
        listing.idle = 0 if new else listing.idle + 1
        listing.oldest = min((date for date in (*dates, listing.oldest) if date and date >= listing.since), default=None)
        listing.beyond = listing.beyond or any(date > listing.until for date in dates)
        following = page.get("cursor")
        if dates and dates[-1] < listing.since:
            self._done(listing)
        elif isinstance(following, str) and following:
            if following in listing.cursors or listing.idle > _MOST_IDLE:
                self.lose(response, "gives the same page again and again: it cannot be paged")
                return
            yield self._page(listing, following)
        else:
            yield from self._ended(listing, response, page.get("hitsTotal"), refused)

    def _ended(self, listing: _Listing, response: Response, total: object, refused: bool) -> Iterator[Request]:
        """A list without a next page has ended; a search may only have reached its cap, which nothing but asking further back tells."""
        maybe = listing.searches and (refused or listing.count >= _PAGE or (whole(total) and total > listing.count))
        # The search sorts by the earlier of two times, and shows the later one: up to that, everything was given.
        until = listing.oldest + dt.timedelta(milliseconds=1) if listing.oldest else listing.until
        if maybe and listing.new and until < listing.until:
            listing.until, listing.count, listing.new, listing.beyond = until, 0, 0, False
            listing.cursors.clear()
            yield self._page(listing, None)
            return
        if maybe and (refused or listing.count >= _PAGE or listing.beyond):
            self.reject("the older part of a search that gives no more than this: take rarer words, or crawl more often", response.url)
            listing.reads_from = max(listing.since, listing.oldest or self.now)
        self._done(listing)

    def _done(self, listing: _Listing) -> None:
        self.next_cursor["until"][listing.key] = to_text(self.now)
        self.read.append(listing)
        if len(self.read) == len(self.listings):
            self.covered = (max(read.reads_from for read in self.read), self.now)

    def read_again(self, response: Response, asked: Sequence[str]) -> Iterator[Post | Gone]:
        """A URI that a whole answer leaves out is gone; of an answer with a post that has none, nothing like that is believed."""
        page = self.json(response)
        if page is None:
            return
        posts = page.get("posts")
        if not isinstance(posts, list):
            self.lose(response, "holds no list `posts`")
            return
        yield from self.each(posts, partial(self.read_post, asked=asked), response.url)
        there = {post.get("uri") if isinstance(post, Mapping) and isinstance(post.get("uri"), str) else None for post in posts}
        if None not in there:
            yield from (self.gone(uri) for uri in asked if uri not in there)

    def read_entry(self, entry: Mapping[str, Any]) -> Iterator[Post | Gone]:
        """One of a feed's entries: a post, or another's that was reposted."""
        reason, post = entry.get("reason"), entry.get("post")
        if not isinstance(post, Mapping) or not isinstance(reason, Mapping | None):
            raise UnusableError("is not an object")
        if reason is None or reason.get("$type") != "app.bsky.feed.defs#reasonRepost":
            yield from self.read_post(post)

    def read_post(self, post: Mapping[str, Any], asked: Sequence[str] | None = None) -> Iterator[Post | Gone]:
        """A post of a search or feed; or one of those that were `asked` for again."""
        native_id = identifier(post.get("uri"))
        parts = _POST.fullmatch(native_id)
        if not parts:
            raise UnusableError("has no post's address (at://...) for its id")
        if asked is None and native_id in self.seen:
            return
        if asked is not None and native_id not in asked:
            raise UnusableError("is another post than those asked for")
        record = post.get("record")
        text = record.get("text") if isinstance(record, Mapping) else None
        if label := _unshown(post, record):
            if asked is None:
                raise UnusableError(f"is labelled {label}: it is not to be shown")
            yield self.gone(native_id)
            return
        if not isinstance(record, Mapping) or not isinstance(text, str):
            raise UnusableError("has no text")
        if not clean(text := unquoted(text)):
            raise UnusableError("holds no words of its author's own")
        reply = record.get("reply")
        yield self.post(
            native_id=native_id,
            url=f"https://bsky.app/profile/{parts[1]}/post/{parts[2]}",
            text=text,
            posted_at=post.get("indexedAt"),
            thread_id=_uri(reply, "root") if reply else native_id,
            parent_id=_uri(reply, "parent"),
            author=parts[1],
        )
        self.seen.add(native_id)


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _uri(reply: object, end: str) -> str | None:
    """The address of the post that a reply answers (`parent`), or of its thread's first one (`root`)."""
    found = reply.get(end) if isinstance(reply, Mapping) else None
    uri = found.get("uri") if isinstance(found, Mapping) else None
    return uri if isinstance(uri, str) else None


def _place(entry: object) -> tuple[str, object]:
    """What tells an entry of a list from others, and the time by which the list is sorted: none for a post pinned at the top."""
    if not isinstance(entry, Mapping):
        return repr(entry), None
    reason = entry.get("reason")
    post = entry.get("post", entry)
    time = post.get("indexedAt") if isinstance(post, Mapping) else None
    uri = post.get("uri") if isinstance(post, Mapping) else None
    if isinstance(reason, Mapping):
        time = reason.get("indexedAt")
    return repr((uri, time)), time


def _unshown(post: Mapping[str, Any], record: object) -> str | None:
    """The label by which a post or its author is not to be shown. Raises UnusableError where labels cannot be read."""
    author = post.get("author")
    if not isinstance(author, Mapping):
        raise UnusableError("has no author whose labels could be read")
    own = record.get("labels") if isinstance(record, Mapping) else None
    if not isinstance(own, Mapping | None):
        raise UnusableError("has labels that cannot be read")
    for labels in (post.get("labels"), author.get("labels"), own.get("values") if own else None):
        if not isinstance(labels, list | None):
            raise UnusableError("has labels that cannot be read")
        for label in labels or ():
            if not isinstance(label, Mapping):
                raise UnusableError("has labels that cannot be read")
            if label.get("val") in _UNSHOWN and label.get("neg") is not True:
                return str(label["val"])
    return None
