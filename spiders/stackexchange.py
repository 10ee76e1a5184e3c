"""Stack Exchange: questions, answers and comments of any of its sites, through its API 2.3.

The promise: what was asked, answered, edited or commented since the last finished crawl, less the overlap, is read, however
much it is (an API without a key gives 25 pages, so it is asked again from the oldest post seen); stored posts are looked
up by number, and one that a whole answer leaves out is gone. `backoff` is waited out before anything else is asked, and
when the day's quota is used up the crawl ends there and says so. One request is under way at a time.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import html
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import Field, StringConstraints
from scrapy.http import Request, Response

from monitor.records import Gone, Post, to_text
from monitor.words import plain
from spiders.base import LONGEST_WAIT, Days, ForumSpider, SpiderOptions, UnusableError, Url, whole

_MOST = 100  # posts of one answer, and numbers that may be asked for at a time
_FEW = 10  # more posts than this are never all deleted at once: an answer without any of them is not believed
_ERRORS = (400, 404, 405, 406, 500, 502, 503)  # whose JSON says what is wrong; 401 and 403 say that we are not wanted
_THROTTLED = 502
_WRONG = {400: "does not accept what it was asked: check sites, filter and key", 503: "is out of order for now, as it says"}
_STAY_AWAY = dt.timedelta(minutes=15)  # from an API that throttles and does not say for how long
_NOTICE = re.compile(r"\s*\[(?:closed|duplicate|on hold|migrated|locked)\]\s*$")  # what the software puts behind a title
_OWN_DOMAIN = {name: f"{name}.com" for name in ("stackoverflow", "superuser", "serverfault", "askubuntu", "stackapps")}

_Kind = Literal["question", "answer", "comment"]
_KINDS: tuple[_Kind, ...] = ("question", "answer", "comment")  # a comment needs what the others tell: titles, and which answer is whose


class StackExchangeOptions(SpiderOptions):
    api: Url = "https://api.stackexchange.com/2.3"
    sites: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")], ...] = Field(default=("workplace",), min_length=1)
    """Names of sites as the API has them (workplace, stackoverflow, pt.stackoverflow), or their domains."""
    key: str = Field(default="", repr=False)
    """The key of an app that you registered at stackapps.com: 10,000 requests a day in place of 300."""
    filter: str = Field(default="withbody", pattern=r"^\S+$")
    """Which fields are given. One of your own (api.stackexchange.com/docs/create-filter) must hold those of `withbody`."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=1000, ge=0, le=100_000)
    """Posts that one crawl looks up again, newest first: a hundred per request."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """One kind of post of one site, newest first: by its last activity, a comment by its creation."""

    site: str
    kind: _Kind
    since: int
    """Epoch seconds, inclusive, as `before`."""
    before: int | None = None
    page: int = 1
    paged: bool = False
    """Whether the API was seen not to keep to `before`."""


class StackExchange(ForumSpider):
    """`native_id` is "site/number", of a comment "site/c" and its number; `thread_id` is the question's. An author is told by
    number, since names change and are shared; who deleted the account is nobody. The licence of all posts, CC BY-SA, asks for a
    link to them: that is `url`."""

    name = "stackexchange"
    options_type = StackExchangeOptions
    options: StackExchangeOptions

    async def start(self) -> AsyncIterator[Request]:
        self.api, self.key = self.options.api.rstrip("/"), self.options.key.strip()
        kept = self.cursor.get("until") if self.cursor.get("api") == self.api else None
        self.since: dict[str, dt.datetime] = {}
        for site in self.options.sites:
            until = self.date(kept.get(site)) if isinstance(kept, Mapping) else None
            self.since[site] = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.known = {native_id: thread for native_id, thread, _ in self.recent}
        self.seen: set[str] = set()
        self.titles: dict[str, str] = {}
        """The title of every question met, by its native id."""
        self.answered: dict[str, str] = {}
        """The question of every answer met, both as native ids."""
        listings = [_Listing(site, kind, int(since.timestamp())) for site, since in self.since.items() for kind in _KINDS]
        self.todo = deque(map(self._listed, listings))
        yield self.todo.popleft()

    # ---- asking --------------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, site: str, then: Callable[..., Iterator[Post | Gone]], words: Mapping[str, object] | None = None, *,
        essential: bool = True,
    ) -> Request:  # fmt: skip
        query = {"site": site, "filter": self.options.filter, "pagesize": _MOST, **(words or {}), **({"key": self.key} if self.key else {})}
        return self.ask(f"{self.api}/{method}?{urlencode(query)}", self.read, essential=essential, accept=_ERRORS, then=then)

    def _listed(self, listing: _Listing) -> Request:
        low, high, sort = ("fromdate", "todate", "creation") if listing.kind == "comment" else ("min", "max", "activity")
        span = {low: listing.since, **({} if listing.before is None else {high: listing.before})}
        words = {"order": "desc", "sort": sort, "page": listing.page, **span}
        return self._ask(f"{listing.kind}s", listing.site, partial(self.read_listing, listing=listing), words)

    async def read(self, response: Response, then: Callable[..., Iterator[Post | Gone]]) -> AsyncIterator[Post | Gone | Request]:
        """Every answer comes here: `then` reads its items, and may put requests into `todo`; the next goes out when the API allows it."""
        page = self._page(response)
        if page is not None:
            for post in then(response, page["items"], page.get("has_more") is True):
                yield post
        if not self.todo and not self.covered and not self.failures:
            self.next_cursor = {"api": self.api, "until": dict.fromkeys(self.since, to_text(self.now))}
            self.covered = (max(self.since.values()), self.now)
            self.todo.extend(self._again())
        backoff, quota = (page.get("backoff"), page.get("quota_remaining")) if page else (None, None)
        wait = backoff if whole(backoff) and backoff > 0 else 0
        if not self.todo:
            return
        if whole(quota) and quota <= 0:
            midnight = (self.now + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            self._end(response, midnight, "has no quota left for today: let this source run less often, or set its key")
        elif wait > LONGEST_WAIT:
            self._end(response, self.now + dt.timedelta(seconds=min(wait, 86400)), "asks us to stay away for now (backoff)")
        else:
            await asyncio.sleep(wait)
            yield self.todo.popleft()

    def _page(self, response: Response) -> dict[str, Any] | None:
        """The answer's wrapper with its list `items`; None when it is an error, which is then counted in words of ours."""
        page = self.json(response)
        if page is None:
            return None
        error = page.get("error_id")
        if error == _THROTTLED:
            told = re.search(r"(\d{1,6}) seconds", str(page.get("error_message")), re.ASCII)
            wait = dt.timedelta(seconds=int(told[1])) if told else _STAY_AWAY
            self._end(response, self.now + wait, "says that it was asked too often (throttle_violation)")
        elif whole(error) or response.status >= 400:
            number = error if whole(error) else response.status
            self.lose(response, _WRONG.get(number, f"answers with error {number}"))
        elif isinstance(page.get("items"), list):
            return page
        else:
            self.lose(response, "holds no list `items`: is this the address of the API?")
        return None

    def _end(self, response: Response, until: dt.datetime, why: str) -> None:
        """Ask nothing more in this crawl, nor before `until` in the next ones. Where only looking up again was left, nothing is lost."""
        self.stay_away(self.api, until)
        self.todo.clear()
        if self.covered:
            self.reject(why, response.url)
        else:
            self.lose(response, f"{why}; it is asked again after {until:%Y-%m-%d %H:%M} UTC", "rate_limited")

    # ---- reading -------------------------------------------------------------------------------------------------

    def read_listing(self, response: Response, items: list[Any], more: bool, listing: _Listing) -> Iterator[Post | Gone]:
        site, kind, since, before, page = listing.site, listing.kind, listing.since, listing.before, listing.page
        dated_by = "creation_date" if kind == "comment" else "last_activity_date"
        sound = [item for item in items if isinstance(item, Mapping)]
        new = [item for item in items if not isinstance(item, Mapping) or _native_id(item, site, kind) not in self.seen]
        under = {f"{site}/{item['post_id']}" for item in new if isinstance(item, Mapping) and whole(item.get("post_id"))}
        dates = [item[dated_by] for item in sound if whole(item.get(dated_by))]
        fresh = {_native_id(item, site, kind) for item in sound} - self.seen - {None}
        self.seen |= {native_id for native_id in fresh if native_id}
        self._note_titles(sound, site)
        for item in sound:
            native_id, question = _native_id(item, site, kind), item.get("question_id")
            if native_id and kind == "answer" and whole(question):
                self.answered[native_id] = f"{site}/{question}"
        if more and (not dates or max(dates) >= since):
            oldest = min(dates, default=None)
            paged = listing.paged or (before is not None and max(dates, default=before) > before)
            if not paged and fresh and oldest is not None and oldest >= since and (before is None or oldest < before):
                self.todo.appendleft(self._listed(replace(listing, before=oldest, page=1)))
            elif fresh or page == 1:  # a second that fills an answer by itself
                self.todo.appendleft(self._listed(replace(listing, page=page + 1, paged=paged)))
            else:
                self.lose(response, f"gives the same {kind}s on every page")
        if kind != "comment":
            yield from self.each(new, partial(self.read_post, site=site, kind=kind), response.url)
            return
        if unknown := under - self.titles.keys() - self.answered.keys():
            then = partial(self.read_parents, site=site, under=under, comments=new)
            self.todo.appendleft(self._ask(f"answers/{_numbers(unknown)}", site, then))
        else:
            yield from self.each(new, partial(self.read_post, site=site, kind="comment"), response.url)

    def read_parents(
        self, response: Response, items: list[Any], more: bool, site: str, under: set[str], comments: list[Any]
    ) -> Iterator[Post | Gone]:
        """Which of the posts `under` which `comments` stand are answers, and of what question. What is no answer is a question."""
        for item in items:
            if isinstance(item, Mapping) and whole(item.get("question_id")) and (native_id := _native_id(item, site, "answer")):
                self.answered[native_id] = f"{site}/{item['question_id']}"
        then = partial(self.read_titles, site=site, comments=comments)
        untitled = {self.answered.get(post, post) for post in under} - self.titles.keys()
        if untitled:
            self.todo.appendleft(self._ask(f"questions/{_numbers(untitled)}", site, then))
        else:
            yield from then(response, [], False)

    def read_titles(self, response: Response, items: list[Any], more: bool, site: str, comments: list[Any]) -> Iterator[Post | Gone]:
        self._note_titles(items, site)
        yield from self.each(comments, partial(self.read_post, site=site, kind="comment"), response.url)

    def _note_titles(self, items: Iterable[object], site: str) -> None:
        for item in items:
            if isinstance(item, Mapping) and isinstance(item.get("title"), str) and (native_id := _native_id(item, site, "question")):
                self.titles[native_id] = _title(item["title"])

    def read_post(self, item: Mapping[str, Any], site: str, kind: _Kind) -> Iterator[Post]:
        """What an activity brings up that is older than what is due, and not known, is left alone."""
        native_id, number = _native_id(item, site, kind), item.get(f"{kind}_id")
        link, body, owner = item.get("link"), item.get("body"), item.get("owner")
        if native_id is None:
            raise UnusableError("has no id")
        if not isinstance(body, str):
            raise UnusableError("has no text")
        posted_at = self.date(item.get("creation_date"))
        if posted_at and posted_at < self.since[site].replace(microsecond=0) and native_id not in self.known:
            return
        parent: str | None = None
        thread: str | None = native_id
        place = f"q/{number}"
        if kind == "answer":
            question = item.get("question_id")
            parent = thread = f"{site}/{question}" if whole(question) else None
            place = f"a/{number}"
        elif kind == "comment":
            post = item.get("post_id")
            if not whole(post):
                raise UnusableError("does not say what it stands under")
            parent = f"{site}/{post}"
            thread = self.answered.get(parent) or (parent if parent in self.titles else self.known.get(native_id))
            place = f"{'q' if parent == thread else 'a'}/{post}#comment{number}_{post}"
        title = self.titles.get(thread or "")
        text = "\n\n".join(filter(None, [title if kind == "question" else None, plain(body)]))
        if not text:
            raise UnusableError("holds no words of its author's own")
        user = owner.get("user_id") if isinstance(owner, Mapping) else None
        yield self.post(
            native_id=native_id,
            url=link if isinstance(link, str) and link.startswith(("http://", "https://")) else f"https://{_domain(site)}/{place}",
            text=text,
            posted_at=item.get("creation_date"),
            edited_at=item.get("last_edit_date"),
            thread_id=thread,
            parent_id=parent,
            title=title,
            author=f"{site}/{user}" if whole(user) else None,
        )

    # ---- looking up again ----------------------------------------------------------------------------------------

    def _again(self) -> Iterator[Request]:
        """Most edits came with the activity; what is left to learn is which posts are there no more, and which read otherwise."""
        groups: dict[tuple[str, _Kind], list[str]] = {}
        for native_id in list(self.known)[: self.options.refresh_limit]:
            found = re.fullmatch(r"(.+)/(c?)\d+", native_id, re.ASCII)
            if found and found[1] in self.since and native_id not in self.seen:
                kind: _Kind = "comment" if found[2] else "question" if self.known[native_id] == native_id else "answer"
                groups.setdefault((found[1], kind), []).append(native_id)
        for (site, kind), native_ids in groups.items():
            for start in range(0, len(native_ids), _MOST):
                asked = native_ids[start : start + _MOST]
                then = partial(self.read_again, site=site, kind=kind, asked=frozenset(asked))
                yield self._ask(f"{kind}s/{_numbers(asked)}", site, then, essential=False)

    def read_again(
        self, response: Response, items: list[Any], more: bool, site: str, kind: _Kind, asked: frozenset[str]
    ) -> Iterator[Post | Gone]:
        there = {_native_id(item, site, kind) if isinstance(item, Mapping) else None for item in items}
        if more or not there <= asked or (not there and len(asked) > _FEW):
            self.lose(response, "does not give the posts that it was asked for: none of them is taken for deleted")
            return
        self._note_titles(items, site)
        yield from self.each(items, partial(self.read_post, site=site, kind=kind), response.url)
        yield from map(self.gone, sorted(asked - there))


def _native_id(item: Mapping[str, Any], site: str, kind: str) -> str | None:
    number = item.get(f"{kind}_id")
    return f"{site}/{'c' if kind == 'comment' else ''}{number}" if whole(number) and number > 0 else None


def _numbers(native_ids: Iterable[str]) -> str:
    return ";".join(sorted(native_id.rpartition("/")[2].removeprefix("c") for native_id in native_ids))


def _title(markup: str) -> str:
    return _NOTICE.sub("", html.unescape(markup))


def _domain(site: str) -> str:
    part, dot, name = site.rpartition(".")
    if name in _OWN_DOMAIN:
        return f"{part}{dot}{_OWN_DOMAIN[name]}"
    return site if name in ("com", "net") else f"{site}.stackexchange.com"
