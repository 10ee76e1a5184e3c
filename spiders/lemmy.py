"""Lemmy, through the lists of its public API: version 4 (Lemmy 1), else version 3 (Lemmy 0.18 and 0.19), as each instance answers.

The promise: every post and comment that an instance lists since the last finished crawl is read, of some communities or of all;
one that several instances show is one post, since its id is the address that all of them know it by. Lists are read on
back to the oldest of the posts to be looked at again, fifty a request, since many instances ask for a minute between two:
they show edits and deleted comments. What is missing from all lists is asked for by its address, a few each crawl.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from markdown_it import MarkdownIt
from pydantic import AfterValidator, Field
from scrapy.http import Request, Response

from monitor.records import MAX_TEXT, Gone, Post, to_text
from monitor.words import plain
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier, shown

_PAGE = 50  # the most that Lemmy gives
_MOST_STALE = 3  # pages in a row without anything new; numbered ones move on while people write, so that one may come twice
_MOST_MISSING = 20  # posts that one crawl asks for one by one

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_SPOILER = re.compile(r"^:::+[ \t]*(?:spoiler\b)?", re.MULTILINE)  # Lemmy's own; the words in it are the author's


def _community(text: str) -> str:
    parts = re.fullmatch(r"(?:!|/?c/)?(\w+(?:@[\w.:-]+)?)", text.strip())
    if not parts:
        raise ValueError("write a community's name, as technology or technology@lemmy.world")
    return parts[1]


class LemmyOptions(SpiderOptions):
    urls: tuple[Url, ...] = Field(min_length=1)
    """Addresses of instances."""
    communities: tuple[Annotated[str, AfterValidator(_community)], ...] = ()
    """Names of communities, with the host of one that lives elsewhere (`technology@lemmy.world`); without any, all that is listed."""
    local: bool = False
    """Of all that is listed, read only what is in the instance's own communities."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=300, ge=0, le=10_000)
    """Posts that one crawl looks at again, newest first."""


@dataclass
class _Walk:
    """One list, read from its newest item back. `kind` is "post" or "comment", `due` whether the part that must be read is not read yet."""

    base: str
    community: str
    kind: str
    since: dt.datetime
    due: bool = True
    page: int = 1
    stale: int = 0
    met: set[str] = field(default_factory=set)


class Lemmy(ForumSpider):
    """`native_id` is the ap_id, `thread_id` the post's. `parent_id` is the post's ap_id too, or the answered comment's address at
    the instance that was asked, which is its ap_id if it was written there: an answer names its parent by number. An instance
    may call itself otherwise than it is asked; what was written on it tells."""

    name = "lemmy"
    options_type = LemmyOptions
    options: LemmyOptions
    independent = True

    async def start(self) -> AsyncIterator[Request]:
        read = self.cursor.get("read")
        self.read: Mapping[str, Any] = read if isinstance(read, Mapping) else {}
        self.next_cursor = {"read": {}}
        self.seen: set[str] = set()
        again = self.recent[: self.options.refresh_limit]
        self.again = [native_id for native_id, _, _ in again]
        self.oldest = min((posted_at for _, _, posted_at in again), default=self.now)
        self.versions = dict.fromkeys((url.rstrip("/") for url in self.options.urls), "v4")
        self.homes = {base: base for base in self.versions}
        """By the address that an instance is asked at, the one that it gives to what is written on it."""
        names = list(dict.fromkeys(self.options.communities)) or [""]
        walks = [_Walk(base, name, kind, self._since(base, name)) for base in self.versions for name in names for kind in _LISTS]
        self.unread = {self._key(walk.base, walk.community): len(_LISTS) for walk in walks}
        self.since = max(walk.since for walk in walks)
        self.walks = Counter(walk.base for walk in walks)
        self.waiting: dict[str, list[_Walk]] = {}
        """By instance, the lists to read once it is known which version it answers."""
        for walk in walks:
            self.waiting.setdefault(walk.base, []).append(walk)
        for base, lists in self.waiting.items():
            yield self._list(base, lists.pop(0))

    def _key(self, base: str, community: str) -> str:
        """A pair of lists in the cursor."""
        return f"{shown(base)} {community or ('(local)' if self.options.local else '(all)')}"

    def _since(self, base: str, community: str) -> dt.datetime:
        until = self.date(self.read.get(self._key(base, community)))
        if until is None:
            return self.now - dt.timedelta(days=self.options.first_days)
        self.next_cursor["read"][self._key(base, community)] = to_text(until)
        return min(until, self.now) - self.overlap

    def _list(self, base: str, walk: _Walk, cursor: str | None = None) -> Request:
        version = self.versions[base]
        listing = "local" if self.options.local and not walk.community else "all"
        words: dict[str, object] = {"type_": listing, "sort": "new", "limit": _PAGE}
        if version == "v3":
            words |= {"type_": listing.title(), "sort": "New"}
        else:
            words["time_range_seconds"] = 0  # without end, whatever the instance's own default
        if walk.community:
            words["community_name"] = walk.community
        if cursor:
            words["page_cursor"] = cursor
        elif walk.page > 1:
            words["page"] = walk.page
        url = f"{base}/api/{version}/{walk.kind}/list?{urlencode(words)}"
        return self.ask(url, self.read_list, essential=walk.due, accept=(400, 404), walk=walk, cursor=cursor)

    def read_list(self, response: Response, walk: _Walk, cursor: str | None) -> Iterator[Post | Gone | Request]:
        version = self.versions[walk.base]
        error = _error(response)
        if response.status == 404 and error != "couldnt_find_community" and version == "v4" and walk.base in self.waiting:
            self.versions[walk.base] = "v3"
            yield self._list(walk.base, walk)
            return
        yield from (self._list(walk.base, other) for other in self.waiting.pop(walk.base, ()))
        if response.status >= 400:
            self.lose(response, *_refusal(response.status, error, walk.community))
            return
        page = self.json(response)
        if page is None:
            return
        name = "items" if version == "v4" else f"{walk.kind}s"
        items = page.get(name)
        if not isinstance(items, list):
            self.lose(response, f"holds no list `{name}`: is this the address of a Lemmy instance?")
            return
        found = [view[walk.kind] for view in items if isinstance(view, Mapping) and isinstance(view.get(walk.kind), Mapping)]
        ids = {item["ap_id"] for item in found if isinstance(item.get("ap_id"), str)}
        own = (str(item.get("ap_id")).partition(f"/{walk.kind}/{item.get('id')}") for item in found if item.get("local") is True)
        self.homes[walk.base] = next((home for home, number, rest in own if number and not rest), self.homes[walk.base])
        yield from self.each(items, partial(self.read_view, kind=walk.kind, base=walk.base), response.url)
        walk.stale = 0 if ids - walk.met else walk.stale + 1
        walk.met |= ids
        # Pinned posts stand first, however old.
        dates = [self.date(_posted(item)) for item in found if not (item.get("featured_community") or item.get("featured_local"))]
        last = next((date for date in reversed(dates) if date), self.now)
        if last < walk.since:
            self._read(walk)
        following = page.get("next_page")
        following = following if isinstance(following, str) and following else None
        stuck = walk.stale >= _MOST_STALE or (following is not None and following == cursor)
        # A page that is not full is the last one, if nothing else follows it.
        ended = not items or (version == "v4" and not following) or (stuck and walk.stale and len(items) < _PAGE)
        if ended or last < min(walk.since, self.oldest):
            self._read(walk)
            self.walks[walk.base] -= 1
            if not self.walks[walk.base]:
                yield from self._missing(walk.base)
        elif stuck:
            self.lose(response, "gives the same page again and again: what is older cannot be read")
        else:
            walk.page += 1
            yield self._list(walk.base, walk, following)

    def _read(self, walk: _Walk) -> None:
        """What was due of a list is read."""
        if not walk.due:
            return
        walk.due, key = False, self._key(walk.base, walk.community)
        self.unread[key] -= 1
        if not self.unread[key]:
            self.next_cursor["read"][key] = to_text(self.now)
        if not any(self.unread.values()):
            self.covered = (self.since, self.now)

    def _missing(self, base: str) -> Iterator[Request]:
        """Ask for posts that no list shows any more, now that those of `base` are read: at the instance that they were written at
        if it is one of ours, else at each until one knows them, but only once all lists of all instances are read."""
        hosts = {urlsplit(home).netloc: base for base, home in self.homes.items()}
        last, count = not any(self.walks.values()), 0
        for native_id in self.again:
            home = hosts.get("".join(native_id.split("/")[2:3]))
            if native_id not in self.seen and (home == base or (home is None and last)) and count < _MOST_MISSING:
                count += 1
                yield self._resolve(native_id, [home] if home else list(self.versions))

    def _resolve(self, native_id: str, bases: Sequence[str]) -> Request:
        url = f"{bases[0]}/api/{self.versions[bases[0]]}/resolve_object?{urlencode({'q': native_id})}"
        return self.ask(url, self.read_again, essential=False, accept=(400, 404), native_id=native_id, bases=bases)

    def read_again(self, response: Response, native_id: str, bases: Sequence[str]) -> Iterator[Post | Gone | Request]:
        """Lemmy answers 404 to what it knows and hides, 400 to what it never knew, or purged; but some versions say 400 of all of them."""
        if response.status == 404 and _error(response) is not None:
            yield self.gone(native_id)
        elif response.status in (400, 404):
            if len(bases) > 1:
                yield self._resolve(native_id, bases[1:])
            elif native_id.startswith(f"{self.homes[bases[0]]}/"):
                yield self._itself(native_id, bases[0])
            else:
                self.reject("its instance does not know (any more)", response.url)
        elif (found := self.json(response)) is not None:
            kind = found["type_"] if found.get("type_") in _LISTS else next((kind for kind in _LISTS if found.get(kind)), "post")
            view = found if "type_" in found else found.get(kind)
            yield from self.each([view], partial(self.read_view, kind=kind, base=bases[0], expected=native_id), response.url)

    def _itself(self, native_id: str, base: str) -> Request:
        """Ask for a post as instances ask each other: Lemmy 0.19 tells only them that it is deleted."""
        url, headers = base + native_id.removeprefix(self.homes[base]), {"Accept": "application/activity+json"}
        return self.ask(url, self.read_itself, essential=False, accept=(400, 404, 410), headers=headers, native_id=native_id)

    def read_itself(self, response: Response, native_id: str) -> Iterator[Post | Gone]:
        if response.status == 410:
            yield self.gone(native_id)
        elif response.status >= 400:
            self.reject("its instance does not know (any more)", response.url)

    def read_view(self, view: Mapping[str, Any], kind: str, base: str, expected: str | None = None) -> Iterator[Post | Gone]:
        item, creator = view[kind], view.get("creator")
        native_id = identifier(item.get("ap_id"))
        if expected not in (None, native_id):
            raise UnusableError("is another post than the one asked for")
        if item.get("deleted") or item.get("removed"):
            yield self.gone(native_id)
            self.seen.add(native_id)
            return
        if native_id in self.seen:
            return
        post, body = (item, item.get("body")) if kind == "post" else (view.get("post"), item.get("content"))
        title = post.get("name") if isinstance(post, Mapping) else None
        if not isinstance(title if kind == "post" else body, str):
            raise UnusableError("has no text")
        text = plain(_MARKDOWN.render(_SPOILER.sub("", body[:MAX_TEXT]))) if isinstance(body, str) else ""
        author = creator if isinstance(creator, Mapping) and not creator.get("deleted") else {}
        thread = post.get("ap_id") if isinstance(post, Mapping) else None
        yield self.post(
            native_id=native_id,
            url=native_id,
            text=f"{title}\n\n{text}" if kind == "post" else text,
            posted_at=_posted(item),
            edited_at=item.get("updated_at") or item.get("updated"),
            thread_id=thread,
            parent_id=_parent(item.get("path"), self.homes[base]) or thread if kind == "comment" else None,
            title=title,
            author=author.get("actor_id") or author.get("ap_id") or author.get("name"),
        )
        self.seen.add(native_id)


_LISTS = ("post", "comment")
_NO_COMMUNITY = ("couldnt_find_community", "not_found")


def _posted(item: Mapping[str, Any]) -> object:
    return item.get("published_at") or item.get("published")


def _parent(path: object, home: str) -> str | None:
    """The address of the comment that is answered; `path` is "0.", its ancestors' numbers and its own. None where that is the post."""
    numbers = re.fullmatch(r"0(?:\.\d+)*\.(\d+)\.\d+", path, re.ASCII) if isinstance(path, str) else None
    return f"{home}/comment/{numbers[1]}" if numbers else None


def _error(response: Response) -> str | None:
    """The name of Lemmy's error, such as "not_found"; None where the answer is none of its errors."""
    try:
        error = json.loads(response.body).get("error") if response.status >= 400 else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return error if isinstance(error, str) else None


def _refusal(status: int, error: str | None, community: str) -> tuple[str, str]:
    """Why a list is not given, as the end of a sentence that begins with its URL, and the reason for the crawl's end."""
    if error == "instance_is_private":
        return "is a private instance, which only its members may read: take it out of urls", "banned"
    if error == "rate_limit_error":
        return "allows no more requests for now: raise this source's delay", "rate_limited"
    if community and error in _NO_COMMUNITY:
        return f"knows no community {community}: write it as name@host, as its own instance names it", "failed"
    return f"answers {status}" + ("" if error else ": is this the address of a Lemmy instance?"), "failed"
