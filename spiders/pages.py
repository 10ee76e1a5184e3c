"""A forum's page, read through a profile: a list's threads and boards, a thread's posts as the fields that a Post is made of.

The promise: nothing here asks a network or a clock, and one broken post or row costs only itself. URLs come out in one
form: absolute, without session ids and fragments, so that a page is known again.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from lxml import etree
from parsel import Selector
from parsel.csstranslator import HTMLTranslator

from monitor.words import plain
from spiders import dates
from spiders.base import BROKEN, UnusableError
from spiders.profiles import Paging, Profile, Rows

Element = Any
"""An element of lxml, which has no types."""

_CSS = HTMLTranslator()

Moment = Callable[[object], dt.datetime | None]
"""Reads a time as the site prints it."""

_SESSION = re.compile(r"(?:sid|phpsessid|jsessionid|session_?id|hilit|highlight|utm_\w+)", re.IGNORECASE)
_SESSION_VALUE = re.compile(r"|[0-9a-f]{16,}", re.IGNORECASE)  # of `s`, which may be a search elsewhere
_PATH_SESSION = re.compile(r";(?:jsessionid|phpsessid)=[^/?#]*", re.IGNORECASE)
_JUMP = re.compile(r"/(?:unread|latest)/?(?:\?.*)?$")  # XenForo's links to the first unread and to the newest post
_OWN = re.compile(r"::attr\(([\w-]+)\)")
NOBODY = {"anonymous", "guest", "[deleted]", "deleted", "deleted user", "deleted member", "anonyme", "invité", "gast", "游客", "匿名"}


@dataclass(frozen=True, slots=True)
class Row:
    """A thread or a board in a list. `latest`: when its newest post was written at the latest; None when the list does not say."""

    url: str
    id: str
    latest: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Others:
    """The pages that a page leads to."""

    following: str | None = None
    previous: str | None = None
    last: str | None = None


@dataclass(slots=True)
class ListPage:
    threads: list[Row]
    boards: list[Row]
    others: Others


@dataclass(slots=True)
class ThreadPage:
    """`posts` are the arguments of ForumSpider.post; `deleted` the ids of posts that the forum shows as such."""

    title: str
    posts: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Why each of the other posts is none, as ForumSpider.reject takes it."""
    ids: set[str] = field(default_factory=set)
    """All posts that the page shows, in whatever state."""
    whole: bool = True
    """Whether every post on the page has an id, so that one whose id is not among `ids` does not stand there."""
    vanished: bool = False
    """Whether the forum says, in place of posts, that there is no such thread."""
    others: Others = Others()


def readers(now: dt.datetime, timezone: str, day_first: bool | None) -> tuple[Moment, Moment]:
    """How to read this site's times: as they are, and as the last moment that they can mean. `timezone` is an IANA name."""
    given: dict[str, Any] = {"now": now, "site": dates.zone(timezone), "day_first": day_first}
    return partial(dates.read, **given), partial(dates.latest, **given)


def canonical(url: str, drop: Iterable[str] = ()) -> str:
    """A page's address in one form: without fragment, session id, and the query parameters `drop`."""
    parts = urlsplit(url)
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not (_SESSION.fullmatch(name) or (name == "s" and _SESSION_VALUE.fullmatch(value)) or name in drop)
    ]
    # Some forums have parameters without a value: ?threads/title.12/
    written = "&".join(urlencode([(name, value)], safe="/:,.~-") if value else name for name, value in query)
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), _PATH_SESSION.sub("", parts.path) or "/", written, ""))


def origin(url: str) -> tuple[str, str]:
    """Scheme and host, with its port: what tells one site from another."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


def number(paging: Paging, url: str) -> int | None:
    """The number of a page by its URL; None where the profile does not say how to find it."""
    if paging.number is None:
        return None
    found = _group(paging.number, url)
    return int(found) if found and found.isdecimal() else paging.first


def key(paging: Paging, url: str) -> str:
    """What tells a page from the others of its thread or list."""
    found = number(paging, url)
    return url if found is None else str(found)


def thread_id(profile: Profile, url: str) -> str | None:
    return _group(profile.posts.thread, url)


# ---- lists ---------------------------------------------------------------------------------------------------------


def read_list(page: Selector, url: str, profile: Profile, latest: Moment, *, base: str | None = None) -> ListPage:
    """`url` is the page's own address; its links are relative to `base`, where that is another."""
    given, root = profile.threads, page.root
    threads = [
        Row(link, found, moment)
        for link, moment in _rows(root, base or url, given.threads, profile, latest)
        if (found := thread_id(profile, link))
    ]
    boards = [Row(link, link, moment) for link, moment in _rows(root, base or url, given.boards, profile, latest)] if given.boards else []
    return ListPage(threads, boards, _others(root, url, base or url, given, profile))


def _rows(page: Element, url: str, rows: Rows, profile: Profile, latest: Moment) -> Iterator[tuple[str, dt.datetime | None]]:
    found = _select(page, rows.row)
    skipped = _marked(page, rows.skip, found)
    for row in found:
        if row in skipped:
            continue
        link = next(iter(values(row, rows.link)), None)
        if link:
            moment = _first(latest, values(row, rows.time), rows.time_pattern)
            yield canonical(_JUMP.sub("/", urljoin(url, link.partition("#")[0])), profile.drop), moment


def _others(page: Element, url: str, base: str, paging: Paging, profile: Profile) -> Others:
    def full(link: str) -> str:
        return canonical(urljoin(base, link), profile.drop)

    def named(selectors: Sequence[str]) -> str | None:
        return next((full(link) for link in values(page, selectors) if not link.startswith(("#", "javascript:"))), None)

    following, previous, last = named(paging.next_page), named(paging.previous_page), None
    here = number(paging, url)
    if paging.pages and here is not None:
        numbered: dict[int, str] = {}
        for link in filter(None, (found.get("href") for found in _select(page, paging.pages))):
            if not link.startswith(("#", "javascript:")):
                found = number(paging, full(link))
                numbered.setdefault(paging.first if found is None else found, full(link))
        later = sorted(found for found in numbered if found > here)
        earlier = sorted(found for found in numbered if found < here)
        following = following or (numbered[later[0]] if later else None)
        previous = previous or (numbered[earlier[-1]] if earlier else None)
        last = numbered[later[-1]] if later else None
    return Others(following, previous, last)


# ---- threads -------------------------------------------------------------------------------------------------------


def read_thread(page: Selector, url: str, profile: Profile, moment: Moment, *, base: str | None = None) -> ThreadPage:
    """`url` is the page's own address; its links are relative to `base`, where that is another."""
    given, root = profile.posts, page.root
    others = _others(root, url, base or url, given, profile)
    read = ThreadPage(title=_words(root, given.title), others=others)
    posts = _select(root, given.post)
    skipped, deleted = _marked(root, given.skip, posts), _marked(root, given.deleted, posts)
    thread = thread_id(profile, url)
    here = number(given, url)
    opens = others.previous is None and here in (None, given.first)
    for post in posts:
        if post in skipped:
            continue
        native_id = _id(post, profile)
        if native_id is None:
            read.whole = opens = False
            read.left_out.append("has no id")
            continue
        read.ids.add(native_id)
        try:
            if post in deleted:
                read.deleted.append(native_id)
                opens = False
                continue
            read.posts.append(_post(post, native_id, url, base or url, profile, moment, thread, read.title, opens))
        except UnusableError as error:
            read.left_out.append(str(error))
        except BROKEN as error:
            read.left_out.append(f"is broken ({type(error).__name__})")
        opens = False
    read.vanished = not posts and given.no_thread is not None and bool(_select(root, given.no_thread))
    return read


def _id(post: Element, profile: Profile) -> str | None:
    return next(filter(None, (_group(profile.posts.id_pattern, value) for value in values(post, profile.posts.id))), None)


def _post(
    post: Element, native_id: str, url: str, base: str, profile: Profile, moment: Moment, thread: str | None, title: str, opens: bool
) -> dict[str, Any]:
    given = profile.posts
    bodies = _select(post, given.body)
    if not bodies:
        raise UnusableError("has no text")
    parent = next(filter(None, (_group(given.parent_pattern, value) for value in values(post, given.parent))), None)
    text = _own_words(bodies[0], given.others)
    own = next(iter(values(post, given.link)), None)
    link = urljoin(base, own) if own else f"{url}{given.anchor.replace('{id}', native_id)}"
    address, _, anchor = link.partition("#")
    author = _words(post, given.author)
    return {
        "native_id": native_id,
        "url": canonical(address) + (f"#{anchor}" if anchor else ""),
        "text": f"{title}\n\n{text}".strip() if opens and title else text,
        "posted_at": _first(moment, values(post, given.time), given.time_pattern),
        "edited_at": _first(moment, values(post, given.edited), given.edited_pattern),
        "thread_id": thread,
        "parent_id": parent if parent != native_id else None,
        "title": title or None,
        "author": author if author.casefold() not in NOBODY else None,
    }


def _own_words(body: Element, others: Sequence[str]) -> str:
    for selector in others:
        for part in _select(body, selector):
            if part is not body and part.getparent() is not None:
                part.drop_tree()
    # Without the element itself: vBulletin and XenForo 1 put a post into a <blockquote>, which elsewhere is a quotation.
    inner = (etree.tostring(part, encoding="unicode", method="html") for part in body)
    return plain(html.escape(body.text or "", quote=False) + "".join(inner))


# ---- selecting -----------------------------------------------------------------------------------------------------


@cache
def _compiled(selector: str) -> etree.XPath:
    return etree.XPath(_CSS.css_to_xpath(selector), smart_strings=False)


def _select(part: Element, selector: str) -> list[Any]:
    """What a CSS selector finds in an element, itself included: elements, or strings where it ends in ::text or ::attr()."""
    found: list[Any] = _compiled(selector)(part)
    return found


def values(part: Element, selectors: Sequence[str]) -> Iterator[str]:
    """What the selectors find, in their order: attributes (`::attr(x)` alone: the part's own), pieces of text, or elements' whole text."""
    for selector in selectors:
        own = _OWN.fullmatch(selector)
        found = [part.get(own[1], "")] if own else map(_text, _select(part, selector))
        yield from filter(None, (" ".join(value.split()) for value in found))


def _text(found: Any) -> str:
    """A string, or an element's whole text, where a line break is a space."""
    if isinstance(found, str):
        return found
    pieces = []
    for event, node in etree.iterwalk(found, events=("start", "end", "comment", "pi")):
        if event == "start":
            pieces += [" " if node.tag == "br" else "", node.text or ""]
        elif node is not found:
            pieces.append(node.tail or "")
    return "".join(pieces)


def _first(moment: Moment, found: Iterable[str], pattern: re.Pattern[str] | None) -> dt.datetime | None:
    """The first of the values that is a time; of each only what the pattern finds, where there is one."""
    times = (_group(pattern, value) if pattern else value for value in found)
    return next(filter(None, map(moment, times)), None)


def _words(part: Element, selectors: Sequence[str]) -> str:
    return next(values(part, selectors), "")


def _marked(page: Element, selector: str | None, items: Iterable[Element]) -> set[Element]:
    """Those of the items' elements that the selector finds, or that hold what it finds."""
    if selector is None:
        return set()
    there = set(items)
    return {element for found in _select(page, selector) for element in (found, *found.iterancestors()) if element in there}


def _group(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return next(filter(None, found.groups()), None) if found else None
