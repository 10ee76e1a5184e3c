"""What every spider stands on: checked options, posts made safely, other people's words stripped, failures counted.

The promise: one broken item is counted and left out, and never more than that item; an answer that cannot be read ends
in one sentence with its URL. Neither ever holds a post's text, an author's name, or a URL's query (it may be a token).
A spider says where to ask and how to read an answer; it takes the time from `now` and knows neither clock nor store.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeGuard, TypeVar, get_origin
from urllib.parse import urlsplit

import scrapy
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from scrapy import signals
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response
from scrapy.spidermiddlewares.httperror import HttpError

from monitor.errors import CrawlError
from monitor.records import Gone, Kind, Post, clean

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

_EARLIEST = dt.datetime(1980, 1, 1, tzinfo=dt.UTC)
"""No forum is older (Usenet began then): an earlier date is a broken one, most often zero."""

LONGEST_WAIT = 120.0
"""Seconds of Retry-After that a crawl waits for; if the site asks for more, it ends and leaves the time to the next one."""

BROKEN = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, SyntaxError, AssertionError)
"""What reading an item of any shape can raise; lxml's errors on markup are SyntaxErrors."""


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an address that begins with https:// or http://")
    return text


_Shape = TypeVar("_Shape", dict[str, Any], list[Any])
Url = Annotated[str, AfterValidator(_url)]
Days = Annotated[float, Field(gt=0, le=3660)]


class SpiderOptions(BaseModel):
    """The `options` of a source in config.yaml; each spider has its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_too(cls, given: Any) -> Any:
        """`tags: openai` is what people write for a list of one."""
        if not isinstance(given, Mapping):
            return given
        lists = {name for name, option in cls.model_fields.items() if get_origin(option.annotation) is tuple}
        return {name: [value] if name in lists and isinstance(value, str) else value for name, value in given.items()}


class UnusableError(ValueError):
    """An item that no post can be made of; the message says what it lacks, in words of ours only."""


class Refused(IgnoreRequest):
    """A request that must not be made, or whose answer must not be used. `reason` becomes the crawl's finish reason."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class ForumSpider(scrapy.Spider):
    """One source's crawl. Constructor arguments (all by name) become attributes:

    `source` its name; `options` as written in config.yaml (CrawlError when wrong); `cursor` what the last crawl left;
    `now` the time of this crawl; `overlap` in seconds; `recent` (native id, thread id or "", posted_at) of stored posts
    that are to be looked at again, mostly newest first; `author_key` hashes a name, by the post's time; `kind` of its posts.
    A spider fills `next_cursor` and `covered` (first and last time of posting that it read whole).
    """

    options_type: ClassVar[type[SpiderOptions]]
    options: SpiderOptions
    independent: ClassVar[bool] = False
    """Whether what `next_cursor` holds stays true when another request of the crawl failed."""

    def __init__(
        self,
        *,
        source: str,
        options: Mapping[str, Any],
        cursor: Mapping[str, Any],
        now: dt.datetime,
        overlap: float,
        recent: Sequence[tuple[str, str, dt.datetime]],
        author_key: Callable[..., str],
        kind: Kind,
    ) -> None:
        super().__init__()
        self.source = source
        self.options = self.checked(source, options)
        self.cursor = cursor
        self.now = now
        self.overlap = dt.timedelta(seconds=overlap)
        self.recent = recent
        self.author_key = author_key
        self.kind = kind
        self.next_cursor: dict[str, Any] = {}
        self.covered: tuple[dt.datetime, dt.datetime] | None = None
        self.not_before: dict[str, str] = {}
        """Origins that asked us to stay away, and until when (ISO); spiders/politeness.py keeps to it."""
        self.failures: list[tuple[str, str]] = []
        """(finish reason, sentence) of everything that cost coverage."""
        self.rejections: Counter[str] = Counter()
        self._rejected_at: dict[str, str] = {}
        self.crashed = False

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider._crashed, signals.spider_error)
        return spider

    @classmethod
    def checked(cls, source: str, options: Mapping[str, Any]) -> SpiderOptions:
        """The options of a source as this spider takes them. Raises CrawlError with every mistake in them."""
        try:
            return cls.options_type.model_validate(options)
        except ValidationError as error:
            wrong = error.errors()
            within = {details["loc"][:-1] for details in wrong}  # a list that is empty because what is in it is wrong
            told = [cls._wrong(source, details) for details in wrong if details["type"] != "too_short" or details["loc"] not in within]
            raise CrawlError("; ".join(told), permanent=True) from None

    @classmethod
    def _wrong(cls, source: str, details: Any) -> str:
        """One mistake in the options as a sentence, without the value, which may be a secret."""
        key = ".".join(str(part) for part in (f"sources.{source}.options", *details["loc"]))
        if details["type"] == "missing":
            return f"{key} is missing: a source of type {cls.name} needs it"
        if details["type"] == "extra_forbidden":
            return f"{key} is not an option of type {cls.name}: use {', '.join(sorted(cls.options_type.model_fields))}"
        said = re.sub(r"^(?:Input|String|Tuple)(?= should)", "it", details["msg"].removeprefix("Value error, "))
        return f"{key} is wrong: {said.replace('valid tuple', 'list')}"

    # ---- asking --------------------------------------------------------------------------------------------------

    def ask(
        self,
        url: str,
        callback: Callable[..., Any],
        *,
        essential: bool = True,
        accept: Sequence[int] = (),
        headers: Mapping[str, str] | None = None,
        posted: str | None = None,
        **passed: Any,
    ) -> Request:
        """A request (POST where there is a body, `posted`) whose answer, 2xx or one of `accept`, goes to `callback(response, **passed)`.

        Without its answer the crawl has failed if it is `essential`; otherwise that is counted like a broken item.
        """
        return Request(
            url,
            callback,
            errback=self._unanswered,
            method="GET" if posted is None else "POST",
            body=posted or b"",
            meta={"essential": essential, "handle_httpstatus_list": list(accept)},
            headers=dict(headers or {}),
            cb_kwargs=passed,
        )

    def lose(self, asked: Request | Response, what: str, reason: str = "failed") -> None:
        """Count an answer that cannot be used: `what` follows the URL in the sentence."""
        if asked.meta["essential"]:
            self.failures.append((reason, f"{shown(asked.url)} {what}"))
        else:
            self.reject(what, asked.url)

    def stay_away(self, url: str, until: dt.datetime) -> None:
        """Let neither this crawl nor a later one ask the site of `url` before `until`."""
        self.not_before[origin(url)] = until.isoformat(timespec="seconds")

    def _unanswered(self, failure: Any) -> None:
        error, request = failure.value, failure.request
        if isinstance(error, Refused):
            self.lose(request, str(error), error.reason)
        elif isinstance(error, HttpError):
            self.lose(request, f"answers {error.response.status}")
        else:
            self.lose(request, unread(error))

    def _crashed(self, failure: Any, response: Response | None) -> None:
        """An exception that a callback let through: a mistake of ours, told by its place, since its words may quote a post."""
        self.crashed = True
        error, place = failure.value, failure.value.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name} line {place.tb_lineno}" if place else "an unknown place"
        on = f" on {shown(response.url)}" if isinstance(response, Response) else ""
        self.failures.append(("failed", f"the spider broke{on} ({type(error).__name__} in {where}): please report this"))

    # ---- reading -------------------------------------------------------------------------------------------------

    def json(self, response: Response) -> dict[str, Any] | None:
        """The answer's JSON object; None when it is none, which is then counted."""
        return self._json(response, dict)

    def json_list(self, response: Response) -> list[Any] | None:
        """The answer's JSON list; None when it is none, which is then counted."""
        return self._json(response, list)

    def _json(self, response: Response, shape: type[_Shape]) -> _Shape | None:
        body = response.body.lstrip()
        try:
            # Forums with a broken byte somewhere exist; one replaced character is better than a page lost.
            found = json.loads(body.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            if body.startswith(b"<"):
                what = "gives HTML where JSON was due: check the address, and whether it needs a login"
            else:
                what = "gives JSON that is malformed or cut off"
            self.lose(response, what)
            return None
        if isinstance(found, shape):
            return found
        self.lose(response, "gives JSON of another shape than its interface promises")
        return None

    def each(self, items: Iterable[object], read: Callable[[Any], Iterable[Post | Gone]], url: str) -> Iterator[Post | Gone]:
        """What `read` makes of every item that is an object; an item that breaks it is rejected as a whole."""
        for item in items:
            try:
                if not isinstance(item, Mapping):
                    raise UnusableError("is not an object")
                found = list(read(item))
            except UnusableError as error:
                self.reject(str(error), url)
            except BROKEN as error:
                self.reject(f"is broken ({type(error).__name__})", url)
            else:
                yield from found

    def reject(self, reason: str, url: str) -> None:
        """Count an item or an answer that is left out. `reason` follows "one that"; it never holds a post's words."""
        self.rejections[reason] += 1
        self._rejected_at.setdefault(reason, shown(url))

    def summary(self) -> str:
        """What the crawl's message says: failures first, then what was left out and where it was first met."""
        told = list(dict.fromkeys(sentence for _, sentence in self.failures))
        parts = told[:3] + ([f"and {len(told) - 3} more"] if len(told) > 3 else [])
        for reason, count in self.rejections.most_common(3):
            parts.append(f"{count} left out: {reason} (first at {self._rejected_at[reason]})")
        return "; ".join(parts)

    def post(
        self,
        *,
        native_id: object,
        url: str,
        text: object,
        posted_at: object = None,
        edited_at: object = None,
        thread_id: object = None,
        parent_id: object = None,
        title: object = None,
        author: object = None,
    ) -> Post:
        """A post of whatever the site gave. Raises UnusableError when it has no id, text or web address.

        Times are as `date` takes them. Without a usable `posted_at` the time of fetching stands.
        """
        if not isinstance(text, str):
            raise UnusableError("has no text")
        if urlsplit(clean(url)).scheme not in ("http", "https"):
            raise UnusableError("has no web address")
        date = self.date(posted_at)
        return Post(
            source=self.source,
            native_id=identifier(native_id),
            url=clean(url),
            text=clean(text),
            posted_at=date or self.now,
            fetched_at=self.now,
            thread_id=identifier(thread_id) if thread_id else None,
            parent_id=identifier(parent_id) if parent_id else None,
            title=(clean(title)[:500] or None) if isinstance(title, str) else None,
            author_key=self.author_key(clean(author), date or self.now) if isinstance(author, str) and clean(author) else None,
            edited_at=self.date(edited_at),
            date_origin="site" if date else "fetched",
            kind=self.kind,
        )

    def gone(self, native_id: object) -> Gone:
        """The tombstone of a post."""
        return Gone(self.source, identifier(native_id))

    def date(self, value: object) -> dt.datetime | None:
        """A time that the site gave as epoch seconds or ISO text (UTC without a zone), or an aware time, in UTC.

        None when there is none, or none that can be: before 1980, or over a day ahead.
        """
        try:
            if isinstance(value, dt.datetime):
                found = value
            elif isinstance(value, int | float) and not isinstance(value, bool):
                found = dt.datetime.fromtimestamp(value, dt.UTC)
            elif isinstance(value, str):
                found = dt.datetime.fromisoformat(value.strip())
                found = found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)
            else:
                return None
        except (ValueError, OverflowError, OSError):
            return None
        return found if _EARLIEST <= found <= self.now + dt.timedelta(days=1) else None


def identifier(value: object) -> str:
    """An id as text. Raises UnusableError for what is none."""
    if whole(value):
        return str(value)
    found = clean(value)[:500] if isinstance(value, str) else ""
    if not found:
        raise UnusableError("has no id")
    return found


def whole(value: object) -> TypeGuard[int]:
    """Whether a site gave a whole number (in JSON, `true` is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(url: str) -> str:
    """A URL for a message: without its query and password, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def origin(url: str) -> str:
    """The host that a URL's rules belong to: scheme, name and port."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host.removesuffix(':443' if parts.scheme == 'https' else ':80')}"


_UNREAD = {
    "DownloadTimeoutError": "gives no answer in time",
    "CannotResolveHostError": "has a host name that is not found",
    "DownloadConnectionRefusedError": "refuses the connection",
    "DownloadCancelledError": "gives an answer that is too large",
    "EOFError": "gives an answer whose compression is broken",
    "BadGzipFile": "gives an answer whose compression is broken",
    "error": "gives an answer whose compression is broken",  # zlib's
    "IgnoreRequest": "redirects in circles, or gives an answer that is too large once unpacked",
}


def unread(error: BaseException) -> str:
    """Why no answer could be read, as the end of a sentence that begins with the URL."""
    name = type(error).__name__
    return _UNREAD.get(name, f"breaks off the connection ({name})")
