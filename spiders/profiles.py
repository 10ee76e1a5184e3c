"""What a forum's pages look like, as data: CSS selectors for its lists of threads and for its threads.

The promise: a profile is checked whole before a crawl begins, and each mistake in it is a sentence; a user adds one in
config.yaml, in place of a name, without code. The built-in ones are in profiles.yaml, with where each was taken from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from parsel.csstranslator import HTMLTranslator
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

_FILE = Path(__file__).with_name("profiles.yaml")


def _selector(text: str) -> str:
    try:
        HTMLTranslator().css_to_xpath(text)
    except Exception as error:  # noqa: BLE001  # cssselect has several, and none in common
        raise ValueError(f"is no CSS selector ({str(error)[:80]})") from None
    return text


def _element(text: str) -> str:
    if "::" in text:
        raise ValueError("selects an element: leave out ::text and ::attr(...)")
    return _selector(text)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        found = re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
    if not found.groups:
        raise ValueError("needs a group, such as (\\d+), around what is wanted")
    return found


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Element = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_element)]
"""A selector of elements."""

Values = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_selector)], ...], BeforeValidator(_listed)]
"""Selectors, of which the first that finds something usable wins: an element's text, or with ::attr(name) an attribute; `::attr(name)`
alone is the post's or row's own."""

Pattern = Annotated[re.Pattern[str], BeforeValidator(lambda value: _pattern(value) if isinstance(value, str) else value)]
"""A regular expression; its first group that matches is what is wanted."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(_Part):
    """Rows of a page, each of which leads to a thread, or to a board."""

    row: Element
    link: Values
    """Within the row, the link (its href is taken)."""
    time: Values = ()
    """Within the row, when the last post was written."""
    time_pattern: Pattern | None = None
    """What of that text is the time."""
    skip: Element | None = None
    """Rows that lead nowhere (moved threads, advertisements), by themselves or by what they hold."""


class Paging(_Part):
    """How a page leads to the others of its list or thread: by links that say so, or by links with numbers."""

    next_page: Values = ("link[rel~='next']::attr(href)", "a[rel~='next']::attr(href)")
    previous_page: Values = ("link[rel~='prev']::attr(href)", "a[rel~='prev']::attr(href)")
    pages: Element | None = None
    """Links to pages; `number` finds their numbers."""
    number: Pattern | None = None
    """The number of a page within its URL."""
    first: int = 1
    """The number of a page whose URL has none."""


class ListPage(Paging):
    """A page that lists threads, those with the newest posts first; maybe boards too."""

    threads: Rows
    boards: Rows | None = None


class ThreadPage(Paging):
    """A page of posts, oldest first. All selectors but `post`, `title` and those of paging look within one post."""

    post: Element
    id: Values
    id_pattern: Pattern = re.compile(r"(\d+)")
    link: Values = ()
    """The post's own address. Without it `anchor` is put behind the page's address."""
    anchor: str = ""
    """Such as "#p{id}"."""
    author: Values = ()
    time: Values = ()
    time_pattern: Pattern | None = None
    """What of that text is the time."""
    edited: Values = ()
    """When the post was changed last."""
    edited_pattern: Pattern | None = None
    """What of that text is the time."""
    body: Element
    others: tuple[Element, ...] = ()
    """What within the body is not the author's own words: quotes, code, attachments, "edited by" lines, signatures."""
    parent: Values = ()
    """What names the post that is answered, in a quote for example."""
    parent_pattern: Pattern = re.compile(r"(\d+)\D*$")
    title: Values = ()
    """The thread's title, on the page."""
    skip: Element | None = None
    """What looks like a post and is none: advertisements, notices, posts of members that are ignored."""
    deleted: Element | None = None
    """Posts that the forum shows as deleted, hidden or awaiting approval, by themselves or by what they hold."""
    no_thread: Element | None = None
    """What the forum shows, under whatever status, in place of a thread that does not exist any more."""
    thread: Pattern
    """The thread's id within the URL of any of its pages."""


class Profile(_Part):
    """One forum software's pages, or one site's."""

    about: str = ""
    """Which versions, and where the selectors were taken from."""
    drop: tuple[str, ...] = ()
    """Query parameters that tell no pages apart, besides those of sessions."""
    threads: ListPage
    posts: ThreadPage


@cache
def built_in() -> Mapping[str, Profile]:
    """The profiles that come with the program, by name."""
    return {name: Profile.model_validate(data) for name, data in yaml.safe_load(_FILE.read_text("utf-8")).items()}


def profile(given: str | Mapping[str, Any]) -> Profile:
    """A built-in profile by its name, or one written out. Raises ValueError with a sentence for each mistake."""
    if isinstance(given, str):
        if given not in built_in():
            raise ValueError(f"there is no such profile: use {', '.join(built_in())}, or write one out")
        return built_in()[given]
    try:
        return Profile.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(map(_sentence, error.errors()))) from None


def _sentence(details: Any) -> str:
    key = ".".join(str(part) for part in details["loc"])
    if details["type"] == "missing":
        return f"{key} is missing"
    if details["type"] == "extra_forbidden":
        return f"{key} is not a part of a profile"
    return f"{key} {details['msg'].removeprefix('Value error, ').replace('Input should', 'should')}"


def _known(given: object) -> Profile:
    if isinstance(given, Profile):
        return given
    if isinstance(given, str | Mapping):
        return profile(given)
    raise ValueError("write the name of a profile, or a profile with its parts `threads` and `posts`")


AnyProfile = Annotated[Profile, BeforeValidator(_known)]
"""An option of a spider that takes a name or a profile."""
