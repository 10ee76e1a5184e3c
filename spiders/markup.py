"""Posts that a page describes for machines: schema.org's DiscussionForumPosting, Comment and their like, in JSON-LD or microdata.

The promise: a block that is no JSON, and an item of any shape, cost only themselves. What an item quotes, shares or
answers is not its author's; a comment within a post answers that post.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from extruct.jsonld import JsonLdExtractor
from extruct.utils import parse_html
from extruct.w3cmicrodata import MicrodataExtractor

from monitor.records import text_hash
from monitor.words import plain, unquoted
from spiders.base import BROKEN, UnusableError
from spiders.pages import NOBODY, Moment, canonical

_OPENERS = {"DiscussionForumPosting", "SocialMediaPosting", "Question"}
_POSTS = _OPENERS | {"Comment", "Answer"}
_NOT_ITS_OWN = {
    "parentItem",
    "isPartOf",
    "sharedContent",
    "citation",
    "about",
    "mentions",
    "author",
    "creator",
    "publisher",
    "isBasedOn",
    "hasPart",
}
_DELETED = {"deleted", "removed", "hidden"}
_TEXT = "//*[@itemprop='text' or @itemprop='articleBody']"
_NOT_WORDS = " or ".join(
    [f"self::{tag}" for tag in ("blockquote", "pre", "script", "style")]
    + [f"contains(concat(' ', @class, ' '), ' {name} ')" for name in ("quote", "bbcode_quote", "onebox", "signature")]
)
_QUOTES = f"{_TEXT}//*[{_NOT_WORDS}]"
_INLINE = (
    f"{_TEXT}//*[not(@itemprop) and not(@itemscope)"
    " and contains(' a abbr b code em font i mark s span strong u ', concat(' ', name(), ' '))]"
)
_CDATA = re.compile(r"^\s*(?://|/\*)?\s*(?:<!\[CDATA\[|\]\]>)\s*(?:\*/)?\s*$", re.MULTILINE)
_DEEPEST = 50


@dataclass(slots=True)
class Described:
    """`posts` are the arguments of ForumSpider.post; `deleted` the ids of posts that the page says are; `left_out` as for reject."""

    posts: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Around:
    """What an item stands in: the thread, its title, and the post that it answers."""

    thread: str | None
    title: str | None = None
    parent: str | None = None


def read_markup(page: str, url: str, moment: Moment, *, thread: str | None = None) -> Described:
    """`thread` names the page's thread; without it the outermost post does, or the page's address."""
    read = Described()
    if not page.strip():
        return read
    try:
        tree = parse_html(page.encode("utf-8", "replace"), "utf-8")
    except BROKEN:
        read.left_out.append("is no HTML")
        return read
    if tree is None:
        return read
    seen: dict[str, str | None] = {}
    for items, exact in ((list(_json(tree, read)), False), (list(_microdata(tree, url, read)), True)):
        for item in items:
            _walk(item, _Around(thread), 0, read, seen, url, moment, exact)
        if read.posts or read.deleted:
            break  # the same posts, described twice
    return read


def _json(tree: Any, read: Described) -> Iterator[Any]:
    extractor = JsonLdExtractor()
    for script in tree.xpath("//script[starts-with(@type, 'application/ld+json')]"):
        script.set("type", "application/ld+json")  # the extractor wants nothing behind it
        script.text = _CDATA.sub("", script.text or "")
        try:
            yield from extractor.extract_items(script)
        except BROKEN:
            read.left_out.append("is JSON-LD that is malformed")


def _microdata(tree: Any, url: str, read: Described) -> Iterator[Any]:
    for quote in tree.xpath(_QUOTES):
        if quote.getparent() is not None:
            quote.drop_tree()
    for element in tree.xpath(_INLINE):
        element.drop_tag()  # the extractor would put a space there: "Deep Seek"
    try:
        yield from map(_as_json, MicrodataExtractor().extract_items(tree, url))
    except BROKEN:
        read.left_out.append("is microdata that is malformed")


def _as_json(item: Any) -> Any:
    """An item of microdata in the form of JSON-LD."""
    if isinstance(item, list):
        return [_as_json(each) for each in item]
    if not isinstance(item, dict) or "properties" not in item:
        return item.get("value") if isinstance(item, dict) else item
    return {"@type": item.get("type"), "@id": item.get("id"), **{name: _as_json(value) for name, value in item["properties"].items()}}


def _walk(
    item: Any, around: _Around, depth: int, read: Described, seen: dict[str, str | None], url: str, moment: Moment, exact: bool
) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(item, list):
        for each in item:
            _walk(each, around, depth + 1, read, seen, url, moment, exact)
    if not isinstance(item, Mapping):
        return
    if _types(item) & _POSTS:
        try:
            around = _post(item, around, read, seen, url, moment, exact)
        except UnusableError as error:
            read.left_out.append(str(error))
        except BROKEN as error:
            read.left_out.append(f"is broken ({type(error).__name__})")
    for name, value in item.items():
        if name not in _NOT_ITS_OWN and isinstance(value, list | Mapping):
            _walk(value, around, depth + 1, read, seen, url, moment, exact)


def _post(
    item: Mapping[str, Any], around: _Around, read: Described, seen: dict[str, str | None], url: str, moment: Moment, exact: bool
) -> _Around:
    """Read one post. Returns what its comments stand in."""
    opens = around.parent is None and bool(_types(item) & _OPENERS)
    title = _words(item, "headline", "name", "title") if opens else None
    title = plain(title) if title and not exact else title
    posted = _first(moment, item, "datePublished", "dateCreated", "uploadDate")
    text = _words(item, "text", "articleBody")
    native_id = _id(item, posted, text, url, around.thread or canonical(url), seen)
    thread = around.thread or (native_id if opens else canonical(url))
    inner = _Around(thread, title or around.title, native_id)
    if native_id in seen or (opens and text is None and _elsewhere(item, url)):
        return inner
    seen[native_id] = text
    if (_words(item, "creativeWorkStatus") or "").casefold() in _DELETED:
        read.deleted.append(native_id)
        return inner
    if text is None and not (opens and title):
        raise UnusableError("has no text")
    own = (unquoted(text) if exact else plain(text)) if text else ""
    edited = _first(moment, item, "dateModified")
    author = _name(item.get("author") or item.get("creator"))
    read.posts.append({
        "native_id": native_id,
        "url": _address(item, url) or canonical(url),
        "text": f"{title}\n\n{own}".strip() if title and not own.startswith(title) else own,
        "posted_at": posted,
        "edited_at": edited if edited and posted and edited > posted else None,
        "thread_id": thread,
        "parent_id": _reference(item.get("parentItem"), url) or around.parent,
        "title": title or around.title,
        "author": author if author and author.casefold() not in NOBODY else None,
    })  # fmt: skip
    return inner


def _types(item: Mapping[str, Any]) -> set[str]:
    given = item.get("@type")
    names = given if isinstance(given, list) else [given]
    return {name.rstrip("/").rpartition("/")[2].rpartition(":")[2] for name in names if isinstance(name, str)}


def _elsewhere(item: Mapping[str, Any], url: str) -> bool:
    """Whether a post without words stands on another page: later pages of a thread, and lists, only name the post that opens it."""
    address = _reference(item, url)
    return bool(url and address) and urlsplit(address)[2:4] != urlsplit(url)[2:4]


def _id(
    item: Mapping[str, Any], posted: dt.datetime | None, text: str | None, url: str, thread: str, seen: Mapping[str, str | None]
) -> str:
    """Its own address, unless another post has that too; else its identifier or its time in the thread, or both it and its words."""

    def free(native_id: str) -> bool:
        """Whether no other post has it; the same one may be described twice."""
        return native_id not in seen or text in (None, seen[native_id])

    address = _reference(item, url)
    if address and address != url and free(address):
        return address
    identifier = item.get("identifier")
    value = identifier.get("value") if isinstance(identifier, Mapping) else identifier
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return f"{thread}#{str(value).strip()}"
    if address == url and free(url) and _types(item) & _OPENERS:
        return url
    moment = f"{thread}#{posted:%Y%m%dT%H%M%S}" if posted else None
    if moment and free(moment):
        return moment
    if text is None:
        raise UnusableError("has no id")
    return f"{moment or f'{thread}#'}-{text_hash(text)[:12]}"


def _reference(value: Any, url: str) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, Mapping):
        value = value.get("@id") or value.get("url")
        value = value.get("@id") if isinstance(value, Mapping) else value
    return _full(value, url) if isinstance(value, str) and value.strip() and not value.startswith("_:") else None


def _address(item: Mapping[str, Any], url: str) -> str | None:
    found = next((value for value in (item.get("url"), item.get("@id")) if isinstance(value, str) and value.strip()), None)
    full = _full(found, url) if found else None
    return full if full and urlsplit(full).scheme in ("http", "https") else None


def _full(link: str, url: str) -> str:
    address, _, anchor = urljoin(url, link.strip()).partition("#")
    return (canonical(address) if urlsplit(address).netloc else address) + (f"#{anchor}" if anchor else "")


def _words(item: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = item.get(name)
        value = value[0] if isinstance(value, list) and value else value
        value = value.get("@value") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            return value
    return None


def _first(moment: Moment, item: Mapping[str, Any], *names: str) -> dt.datetime | None:
    return next(filter(None, (moment(_words(item, name)) for name in names)), None)


def _name(author: Any) -> str | None:
    if isinstance(author, list):
        author = author[0] if author else None
    if isinstance(author, Mapping):
        return _words(author, "name", "alternateName")
    return author if isinstance(author, str) and "://" not in author else None
