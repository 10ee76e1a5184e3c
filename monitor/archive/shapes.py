"""What the rows of known archives are: tables of Hacker News, dumps of Reddit, exports of Discourse, our own, and any that `import` reads.

The promise: a row becomes the post that a crawl of that site would have made of it, with the same ids and the author's own words alone.
Pure: nothing here opens a file.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, cast

from markdown_it import MarkdownIt

from monitor.errors import InputError
from monitor.importing import KINDS, NAMES, known_fields, moment, names_source, plain_name, post_of, words
from monitor.records import ALL, MAX_TEXT, Kind, Post, clean, text_hash
from monitor.words import plain

Row = Mapping[str, object]
Markup = Literal["html", "markdown"]

_HN_TYPES = {"1": "story", "2": "comment"}  # as ClickHouse numbers them; polls and job offers are no posts to a crawl either
_HN_THREAD = ("root", "story", "story_id", "root_id", "top_level_parent")
_FULLNAME = re.compile(r"t[13]_[a-z0-9]+")
_REMOVED = {"[deleted]", "[removed]", "[deleted by user]", "[ removed by reddit ]"}
_QUOTE = re.compile(r"\[quote(?:=[^\]]*)?\](?:(?!\[quote).)*?\[/quote\]", re.DOTALL | re.IGNORECASE)
_REDDIT = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_DISCOURSE = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


_UNREAD = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, SyntaxError, AssertionError)  # lxml's too


class _Broken(ValueError):  # noqa: N818 (what a row lacks, in words of ours)
    pass


class _Site(NamedTuple):
    """What every row of an input has in common."""

    source: str
    mapping: Mapping[str, str]
    hide: Callable[..., str]
    now: dt.datetime
    kind: Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of table. `source` is what its posts are called where the user names nothing else; `columns` are those it reads, None all.

    `texts` gives all words of a row that may become the post's, as they stand there; `markup` is what stands in them.
    """

    read: Callable[[Row, _Site], Post | str | None]
    texts: Callable[[Row, Mapping[str, str]], list[str]]
    fits: Callable[[Collection[str]], bool]
    columns: tuple[str, ...] | None
    markup: Markup | None
    source: str | None = None


def detect(names: Collection[str]) -> str | None:
    """The shape of a table with columns of these names; None when nothing in it can be told for words."""
    return next((name for name, shape in SHAPES.items() if shape.fits(names)), None)


def post(
    shape: str, row: Row, source: str, *, mapping: Mapping[str, str], hide: Callable[..., str], now: dt.datetime, kind: Kind
) -> Post | str | None:
    """The post that a row is; None for what is deleted or no post at all; a sentence that quotes nothing for what is broken.

    `source` is ALL where each row names its own (`export` alone). `mapping` and `hide` as in `Job` and `privacy.hiding`.
    """
    try:
        return SHAPES[shape].read(row, _Site(source, mapping, hide, now, kind))
    except _Broken as error:
        return str(error)
    except _UNREAD as error:
        return f"it is broken ({type(error).__name__})"


def check_mapping(mapping: Mapping[str, str]) -> None:
    """InputError when a field that is to be found elsewhere is none of `import`."""
    for field in mapping:
        if field not in NAMES:
            raise InputError(f"{field!r} is no field of a post: --field takes {', '.join(NAMES)}, as in --field text=body")


# ---- what all have in common ------------------------------------------------------------------------------------------


def _told(value: object) -> object:
    """A value as a line of JSON would hold it: Parquet has times, and whole numbers as floats where some are missing."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _id(value: object) -> str | None:
    return words(_told(value))[:500] or None


def _true(value: object) -> bool:
    return str(value).casefold() in ("true", "1", "1.0", "t", "yes")


def _given(row: Row, names: Iterable[str]) -> list[str]:
    return [value for name in names if isinstance(value := row.get(name), str)]


def _post(
    site: _Site,
    *,
    native_id: str | None,
    url: str,
    text: str,
    posted_at: object,
    edited_at: object = None,
    thread_id: str | None = None,
    parent_id: str | None = None,
    title: str | None = None,
    author: str | None = None,
) -> Post:
    """As `ForumSpider.post` makes it."""
    text, title, author = clean(text), clean(title or "")[:500], clean(author or "")
    if not native_id:
        raise _Broken("it has no id")
    if not text:
        raise _Broken("it has no words of its author's own")
    date = moment(_told(posted_at), site.now)
    return Post(
        source=site.source,
        native_id=native_id,
        url=url,
        text=text,
        posted_at=date or site.now,
        fetched_at=site.now,
        thread_id=thread_id,
        parent_id=parent_id,
        title=title or None,
        author_key=site.hide(author, date or site.now) if author else None,
        edited_at=moment(_told(edited_at), site.now),
        date_origin="site" if date else "fetched",
        kind=site.kind,
    )


# ---- Hacker News ------------------------------------------------------------------------------------------------------


def _hackernews(row: Row, site: _Site) -> Post | None:
    """A row of the table export. Where a comment's story is not in it, its thread is its parent: who answers one comment talks together."""
    given = str(_told(row.get("type")) or "")
    parent = _id(row.get("parent"))
    type_ = _HN_TYPES.get(given, given) or ("comment" if parent else "story")
    if type_ not in ("story", "comment") or _true(row.get("deleted")) or _true(row.get("dead")):
        return None
    native_id, comment = _id(row.get("id")), type_ == "comment"
    title, body, author = _text(row.get("story_title" if comment else "title")), _text(row.get("text")), _text(row.get("by"))
    title = html.unescape(title) if title else None
    if not (title or body or author):  # ids that were given to nothing
        return None
    parts = [title] if title and not comment else []
    return _post(
        site,
        native_id=native_id,
        url=f"https://news.ycombinator.com/item?id={native_id}",
        text="\n\n".join(parts + ([plain(body)] if body else [])),
        posted_at=row.get("time") or row.get("timestamp"),
        thread_id=next(filter(None, (_id(row.get(name)) for name in _HN_THREAD)), parent) if comment else native_id,
        parent_id=parent,
        title=title,
        author=author,
    )


# ---- Reddit -----------------------------------------------------------------------------------------------------------


def _reddit(row: Row, site: _Site) -> Post | None:
    name, own = _text(row.get("name")) or "", _id(row.get("id"))
    if not _FULLNAME.fullmatch(name):
        opens = _text(row.get("body")) is None
        name = f"{'t3' if opens else 't1'}_{own}" if own else ""
    opens = name.startswith("t3_")
    title, author, subreddit = _text(row.get("title" if opens else "link_title")), _text(row.get("author")), _text(row.get("subreddit"))
    told = (row.get(field) for field in ("title", "selftext", "body"))
    if row.get("removed_by_category") or any(isinstance(text, str) and text.strip().casefold() in _REMOVED for text in told):
        return None
    if author == "AutoModerator":
        return None
    thread = name if opens else _fullname(row.get("link_id"))
    body = _markdown(row, "selftext" if opens else "body")
    if opens and title:
        title = html.unescape(title)
        body = f"{title}\n\n{body}" if body else title
    permalink = _text(row.get("permalink"))
    if not permalink:
        story = (thread or "").removeprefix("t3_")
        permalink = f"/r/{subreddit}/comments/{story}/" + ("" if opens else f"_/{name.removeprefix('t1_')}/")
    return _post(
        site,
        native_id=name,
        url=f"https://www.reddit.com{permalink}" if permalink.startswith("/") else permalink,
        text=body,
        posted_at=row.get("created_utc"),
        edited_at=row.get("edited"),
        thread_id=thread,
        parent_id=None if opens else _fullname(row.get("parent_id")),
        title=title,
        author=author if author != "[deleted]" else None,
    )


def _fullname(value: object) -> str | None:
    return value if isinstance(value, str) and _FULLNAME.fullmatch(value) else None


def _markdown(row: Row, name: str) -> str:
    """Its author's own words, out of Reddit's HTML; dumps mostly hold the Markdown alone, in which Reddit escapes three characters."""
    markup, written = _text(row.get(f"{name}_html")), _text(row.get(name))
    if markup:
        return plain(_unescaped(markup))
    if not written:
        return ""
    written = written.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return plain(_REDDIT.render(written[:MAX_TEXT]))


def _unescaped(markup: str) -> str:
    """Markup that was escaped as a whole, as Reddit does unless it is told not to."""
    return html.unescape(markup) if markup.lstrip().startswith("&lt;") else markup


def _reddit_texts(row: Row, _: Mapping[str, str]) -> list[str]:
    return [_unescaped(text) for text in _given(row, ("body", "title", "selftext", "body_html", "selftext_html"))]


# ---- Discourse --------------------------------------------------------------------------------------------------------


def _discourse(row: Row, site: _Site) -> Post | None:
    """A row of an export of posts: `cooked` (HTML) where it has that, else `raw` (Markdown)."""
    if _id(row.get("post_type")) not in (None, "1") or any(_true(row.get(name)) for name in ("hidden", "user_deleted")):
        return None
    if _id(_told(row.get("deleted_at"))):
        return None
    topic, number, reply = (_id(row.get(name)) for name in ("topic_id", "post_number", "reply_to_post_number"))
    title = _text(row.get("topic_title")) or _text(row.get("title"))
    cooked, raw = _text(row.get("cooked")), _text(row.get("raw"))
    text = plain(cooked) if cooked else plain(_DISCOURSE.render(_without_quotes(raw[:MAX_TEXT]))) if raw else ""
    version, url = _id(row.get("version")), _text(row.get("url")) or _text(row.get("post_url")) or ""
    return _post(
        site,
        native_id=_id(row.get("id")),
        url=url if url.startswith(("https://", "http://")) else "",
        text=f"{title}\n\n{text}" if number == "1" and title else text,
        posted_at=row.get("created_at"),
        edited_at=row.get("updated_at") if version and version != "1" else None,
        thread_id=topic,
        parent_id=f"{topic}/{reply}" if reply else None,
        title=title,
        author=_text(row.get("username")),
    )


def _without_quotes(raw: str) -> str:
    """Without what stands in quotes; the innermost go first."""
    while (left := _QUOTE.sub("\n\n", raw)) != raw:
        raw = left
    return raw


# ---- our own, and others ----------------------------------------------------------------------------------------------


def _export(row: Row, site: _Site) -> Post:
    """A row of `forum-monitor export posts --texts`, or of an archive's posts with their words. Authors are keys already."""
    source = site.source if site.source != ALL else words(row.get("source"))
    if not source:
        raise _Broken("it names no source: give one with NAME=")
    if not names_source(source):  # `*` stands for all
        raise _Broken("no source can have the name that it gives: give one with NAME=")
    url, text, key = words(row.get("url")), words(row.get("text")) or words(row.get("excerpt")), words(row.get("author_key"))
    kind, language = words(row.get("kind")), words(row.get("language"))
    made = _post(
        site._replace(source=source, kind=cast(Kind, kind) if kind in KINDS else site.kind),
        native_id=_id(row.get("native_id")) or text_hash(url or f"{text}\0{_told(row.get('posted_at'))}"),
        url=url if url.startswith(("https://", "http://")) else "",
        text=text,
        posted_at=row.get("posted_at"),
        edited_at=row.get("edited_at"),
        thread_id=_id(row.get("thread_id")),
        parent_id=_id(row.get("parent_id")),
        title=_text(row.get("title")),
    )
    origin = "fetched" if row.get("date_origin") == "fetched" else made.date_origin
    return replace(made, language=language or None, author_key=key or None, date_origin=origin)


def _mapped(row: Row, site: _Site) -> Post | str:
    """A row with the fields of `import`, by their own names or by those that `mapping` says."""
    fields = {name: _told(value) for name, value in row.items()}
    fields |= {NAMES[field][0]: _told(_at(row, name)) for field, name in site.mapping.items()}
    return post_of(fields, site.source, hide=site.hide, now=site.now, kind=site.kind)


def _at(row: Row, name: str) -> object:
    """What stands under a name; `account.name` is also the name within the account."""
    if name in row or "." not in name:
        return row.get(name)
    outer, _, inner = name.partition(".")
    within = row.get(outer)
    return _at(within, inner) if isinstance(within, Mapping) else None


@lru_cache(maxsize=1000)
def _says(name: str) -> bool:
    """Whether `import` looks for words under this name."""
    return plain_name(name) in (*NAMES["text"], *NAMES["title"])


def _mapped_texts(row: Row, mapping: Mapping[str, str]) -> list[str]:
    values = [row[name] for name in row if _says(name)]
    values += [_at(row, mapping[field]) for field in ("text", "title") if field in mapping]
    return [text for value in values if (text := value if isinstance(value, str) else words(_told(value)))]


SHAPES: Mapping[str, Shape] = {
    "hackernews": Shape(
        _hackernews,
        lambda row, _: _given(row, ("text", "title")),
        lambda names: {"id", "by", "type"} <= {*names} and bool({"time", "timestamp"} & {*names}),
        ("id", "type", "by", "time", "timestamp", "title", "story_title", "text", "parent", "deleted", "dead", *_HN_THREAD),
        "html",
        source="hackernews",
    ),
    "reddit": Shape(
        _reddit,
        _reddit_texts,
        lambda names: {"id", "created_utc", "subreddit"} <= {*names} and bool({"body", "title", "selftext"} & {*names}),
        ("id", "name", "author", "title", "link_title", "selftext", "body", "selftext_html", "body_html", "created_utc", "edited",
         "subreddit", "link_id", "parent_id", "permalink", "removed_by_category"),
        "markdown",
        source="reddit",
    ),
    "discourse": Shape(
        _discourse,
        lambda row, _: _given(row, ("cooked", "raw", "topic_title", "title")),
        lambda names: {"topic_id", "post_number"} <= {*names} and bool({"cooked", "raw"} & {*names}),
        ("id", "topic_id", "post_number", "reply_to_post_number", "post_type", "raw", "cooked", "username", "created_at", "updated_at",
         "version", "topic_title", "title", "url", "post_url", "hidden", "user_deleted", "deleted_at"),
        "markdown",
    ),
    "export": Shape(
        _export,
        lambda row, _: _given(row, ("text", "excerpt")),
        lambda names: {"source", "posted_at", "url"} <= {*names} and ("excerpt" in names or {"native_id", "text"} <= {*names}),
        ("source", "native_id", "url", "thread_id", "parent_id", "posted_at", "edited_at", "date_origin", "kind", "language", "author_key",
         "title", "text", "excerpt"),
        None,
        source=ALL,
    ),
    "mapping": Shape(_mapped, _mapped_texts, lambda names: bool(known_fields(names) & {"text", "title"}), None, None),
}  # fmt: skip
"""By name, those first that are told by more columns."""
