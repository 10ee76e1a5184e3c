"""Reddit, by its API alone, with credentials that Reddit has approved for the operator: /r/SUB/new, /r/SUB/comments, /api/info.

The promise: every post and comment that a listing holds since its last reading, less the overlap, is read once. A listing
ends near its 1000th item, and where that is younger than what was due, the days before are not called covered. The
crawl ends before Reddit's limit of requests is hit, and what a later look finds deleted or removed is forgotten.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from monitor.words import plain, unquoted
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, shown

_PAGE = 100  # items of a listing's page, and ids that /api/info takes
_MOST_PAGES = 10  # of a listing: about 1000 items, those that were filtered out included
_WINDOW = 600.0  # seconds over which Reddit counts requests
_NAME = re.compile(r"t[13]_[a-z0-9]+")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d*)?")
_REMOVED = {"[deleted]", "[removed]", "[deleted by user]", "[ removed by reddit ]"}
_CLOSED = {"private": "is private", "quarantined": "is quarantined", "gold_only": "is for paying members"}


def _subreddit(text: str) -> str:
    parts = re.fullmatch(r"(?:/?r/)?([A-Za-z0-9_]{2,23})/?", text.strip())
    if not parts:
        raise ValueError("write a subreddit's name, as OpenAI or r/OpenAI")
    return parts[1]


class RedditOptions(SpiderOptions):
    api: Url = "https://oauth.reddit.com"
    site: Url = "https://www.reddit.com"
    """Where the token comes from, and what links point to."""
    client_id: str = Field(min_length=1, repr=False)
    client_secret: str = Field(default="", repr=False)
    """Empty for an installed app, which has none."""
    subreddits: tuple[Annotated[str, AfterValidator(_subreddit)], ...] = Field(min_length=1)
    first_days: Days = 7.0
    """How far back the first reading of a subreddit goes, as far as its listings do."""
    refresh_limit: int = Field(default=500, ge=0, le=100_000)
    """Posts and comments that one crawl looks at again, newest first."""


@dataclass
class _Listing:
    """A subreddit's posts (`new`) or `comments`, newest first, while they are read."""

    subreddit: str
    kind: str
    since: dt.datetime
    reads_from: dt.datetime
    pages: int = 0
    met: set[str] = field(default_factory=set)


class Reddit(ForumSpider):
    """`native_id` is the fullname, `t3_` and a post's id or `t1_` and a comment's; `thread_id` and `parent_id` are fullnames too.
    What AutoModerator writes is not a post. What /api/info leaves out is no news: its subreddit may be closed."""

    name = "reddit"
    options_type = RedditOptions
    options: RedditOptions
    independent = True

    async def start(self) -> AsyncIterator[Request]:
        self.base, self.site = self.options.api.rstrip("/"), self.options.site.rstrip("/")
        subreddits = {subreddit.casefold(): subreddit for subreddit in self.options.subreddits}
        kept = self.cursor.get("until") if self.cursor.get("api") == self.base else None
        kept = kept if isinstance(kept, Mapping) else {}
        self.next_cursor = {"api": self.base, "until": {key: kept[key] for key in subreddits if key in kept}}
        self.seen: set[str] = set()
        self.todo: deque[Request] = deque()
        self.due: list[_Listing] = []
        self.read: list[_Listing] = []
        for key, subreddit in subreddits.items():
            until = self.date(kept.get(key))
            since = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
            self.due += [_Listing(subreddit, kind, since, since) for kind in ("new", "comments")]
        yield self._login()

    def _login(self) -> Request:
        secret, device = self.options.client_secret, "DO_NOT_TRACK_THIS_DEVICE"
        grant = {"grant_type": "client_credentials"}
        if not secret:
            grant = {"grant_type": "https://oauth.reddit.com/grants/installed_client", "device_id": device}
        basic = base64.b64encode(f"{self.options.client_id}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        return self._ask(f"{self.site}/api/v1/access_token", self.read_token, (400, 401, 403), headers, posted=urlencode(grant))

    def _ask(
        self, url: str, callback: Any, accept: Sequence[int], headers: Mapping[str, str], *, due: bool = True, **passed: Any
    ) -> Request:
        # Not essential, for spiders/politeness.py would take one private subreddit for a site that wants no crawlers.
        request = self.ask(url, callback, essential=False, accept=accept, headers=headers, **passed)
        # Credentials go where they belong, and nowhere else. Reddit's robots.txt forbids all; its API is for those whom it let in.
        request.meta.update(due=due, dont_redirect=True, by_agreement=True)
        return request.replace(errback=self._missed)

    def _missed(self, failure: Any) -> Iterator[Request]:
        self._unanswered(failure)
        yield from self._go_on(getattr(failure.value, "response", None))

    def lose(self, asked: Request | Response, what: str, reason: str = "failed") -> None:
        asked.meta["essential"] = asked.meta["essential"] or asked.meta.get("due", False)
        super().lose(asked, what, reason)

    def read_token(self, response: Response) -> Iterator[Request]:
        if response.status != 200:
            self.lose(response, f"answers {response.status}: it takes no such client_id and client_secret, which Reddit must have approved")
            return
        answer = self.json(response)
        if answer is None:
            return
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            self.lose(response, "gives no `access_token`: check that client_secret belongs to client_id (an installed app has none)")
            return
        self.headers = {"Authorization": f"Bearer {token}"}
        self.todo = deque(self._page(listing, None) for listing in self.due)
        names = [native_id for native_id, _, _ in self.recent[: self.options.refresh_limit]]
        for start in range(0, len(names), _PAGE):
            asked = names[start : start + _PAGE]
            url = f"{self.base}/api/info?{urlencode({'id': ','.join(asked), 'raw_json': 1}, safe=',')}"
            self.todo.append(self._ask(url, self.read_again, (), self.headers, due=False, asked=asked))
        yield from self._go_on(None)

    def _go_on(self, response: Response | None) -> Iterator[Request]:
        """The next request: one at a time, since each answer says whether Reddit allows another."""
        remaining = None if response is None else _number(response, "x-ratelimit-remaining")
        if response is not None and remaining is not None and remaining < 1:
            reset = _number(response, "x-ratelimit-reset")
            until = self.now + dt.timedelta(seconds=_WINDOW if reset is None else reset)
            self.stay_away(self.base, until)
            if any(request.meta.get("due") for request in self.todo):
                what = f"has given all that its limit allows for now: the rest is read after {until:%Y-%m-%d %H:%M} UTC"
                self.failures.append(("rate_limited", f"{shown(response.url)} {what}"))
            elif self.todo:
                self.reject("a second look at stored posts, which Reddit's limit leaves to the next crawl", response.url)
        elif self.todo:
            yield self.todo.popleft()

    def _page(self, listing: _Listing, after: str | None) -> Request:
        words: dict[str, object] = {"limit": _PAGE, "raw_json": 1, **({"after": after} if after else {})}
        url = f"{self.base}/r/{listing.subreddit}/{listing.kind}?{urlencode(words)}"
        return self._ask(url, self.read_page, (301, 302, 401, 403, 404), self.headers, listing=listing)

    def read_page(self, response: Response, listing: _Listing) -> Iterator[Post | Gone | Request]:
        if response.status == 200:
            yield from self._read_listing(response, listing)
        elif response.status == 401:
            self.lose(response, "answers 401: Reddit takes its token back; check that client_id is still approved")
        elif response.status == 403:
            closed = _CLOSED.get(_reason(response), "answers 403")
            self.lose(response, f"{closed}: take it out of subreddits", "banned")
        else:
            self.lose(response, f"answers {response.status}: there is no such subreddit, or no more; correct or take it out of subreddits")
        yield from self._go_on(response)

    def _read_listing(self, response: Response, listing: _Listing) -> Iterator[Post | Gone]:
        found = self._children(response)
        if found is None:
            return
        children, after = found
        names = {name for child in children if isinstance(name := _data(child).get("name"), str)}
        dates = [date for child in children if (date := self.date(_data(child).get("created_utc")))]
        yield from self.each(children, self.read_thing, response.url)
        new, listing.pages = names - listing.met, listing.pages + 1
        listing.met |= names
        old = bool(dates) and dates[-1] < listing.since
        if not old and isinstance(after, str) and after:
            if new:
                self.todo.appendleft(self._page(listing, after))
            else:
                self.lose(response, "gives the same page again: it cannot be paged")
            return
        if not old and (listing.pages >= _MOST_PAGES or len(children) >= _PAGE):
            self.reject("older items than Reddit lists (about 1000): crawl this subreddit more often", response.url)
            listing.reads_from = max(listing.since, min(dates, default=self.now))
        self.read.append(listing)
        if {"new", "comments"} <= {read.kind for read in self.read if read.subreddit == listing.subreddit}:
            self.next_cursor["until"][listing.subreddit.casefold()] = to_text(self.now)
        if len(self.read) == len(self.due):
            self.covered = (max(read.reads_from for read in self.read), self.now)

    def read_again(self, response: Response, asked: Sequence[str]) -> Iterator[Post | Gone | Request]:
        found = self._children(response)
        if found:
            yield from self.each(found[0], partial(self.read_thing, asked=asked), response.url)
        yield from self._go_on(response)

    def _children(self, response: Response) -> tuple[list[Any], object] | None:
        """A listing's items, and what its next page comes after."""
        page = self.json(response)
        if page is None:
            return None
        data = page.get("data")
        children = data.get("children") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(children, list):
            self.lose(response, "holds no list `data.children`")
            return None
        return children, data.get("after")

    def read_thing(self, child: Mapping[str, Any], asked: Sequence[str] | None = None) -> Iterator[Post | Gone]:
        """A post or comment of a listing; or one of those that were `asked` for again."""
        thing = _data(child)
        name = identifier(thing.get("name"))
        if not _NAME.fullmatch(name):
            raise UnusableError("is neither a post (t3_) nor a comment (t1_)")
        if asked is None and name in self.seen:
            return
        if asked is not None and name not in asked:
            raise UnusableError("is another item than those asked for")
        if _removed(thing):
            self.seen.add(name)
            yield self.gone(name)
            return
        author, permalink = thing.get("author"), thing.get("permalink")
        if author == "AutoModerator":
            return
        if not isinstance(permalink, str) or not permalink.startswith("/"):
            raise UnusableError("has no web address")
        opens = name.startswith("t3_")
        title, words = thing.get("title" if opens else "link_title"), _words(thing, "selftext" if opens else "body")
        if opens and isinstance(title, str):
            words = f"{title}\n\n{words}" if words else title
        yield self.post(
            native_id=name,
            url=f"{self.site}{permalink}",
            text=words,
            posted_at=thing.get("created_utc"),
            edited_at=thing.get("edited"),
            thread_id=name if opens else _fullname(thing.get("link_id")),
            parent_id=None if opens else _fullname(thing.get("parent_id")),
            title=title,
            author=author if author != "[deleted]" else None,
        )
        self.seen.add(name)


def _data(child: object) -> Mapping[str, Any]:
    data = child.get("data") if isinstance(child, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _fullname(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _removed(thing: Mapping[str, Any]) -> bool:
    """Whether its author deleted it, or a moderator or Reddit removed it."""
    if thing.get("removed_by_category"):
        return True
    texts = (thing.get(name) for name in ("title", "selftext", "body"))
    return any(isinstance(text, str) and text.strip().casefold() in _REMOVED for text in texts)


def _words(thing: Mapping[str, Any], name: str) -> str | None:
    """Its author's own words, out of Reddit's HTML; where that is missing, out of the Markdown that was written."""
    markup, written = thing.get(f"{name}_html"), thing.get(name)
    if isinstance(markup, str):
        # A server that does not know raw_json=1 gives the markup itself with entities.
        return plain(html.unescape(markup) if markup.lstrip().startswith("&lt;") else markup)
    return unquoted(written) if isinstance(written, str) else None


def _reason(response: Response) -> str:
    """Why Reddit refuses a subreddit, in its word."""
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    reason = found.get("reason") if isinstance(found, Mapping) else None
    return reason if isinstance(reason, str) else ""


def _number(response: Response, header: str) -> float | None:
    text = (response.headers.get(header) or b"").decode("latin-1").strip()
    return float(text) if _NUMBER.fullmatch(text) else None
