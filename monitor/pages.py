"""Saved web pages that the operator lawfully holds, as posts: read by the same code as a crawl's, and no network asked.

The promise: a page, or a folder of them, gives the posts that its profile, or its JSON-LD and microdata, tell of; what
cannot be read is named with its file and the reason, and the rest goes on. The spiders' code is named, never imported.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from monitor.errors import InputError
from monitor.records import Kind, Post, clean

ENDINGS = {".html", ".htm", ".xhtml", ".mhtml", ".mht"}
MAX_PAGE = 64 * 1024 * 1024
"""A larger file (bytes) is not read into memory: it is no page."""

_BESIDES = ("_files", "_fichiers", "-dateien", "_archivos", "_file")  # where browsers put a page's images and frames


class Rejected(NamedTuple):
    """What is no post: the number of its line, from 1 (0 on a page), and the reason in a sentence that quotes nothing of it."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How saved pages are to be read. `profile`: a profile or its name, None for JSON-LD and microdata. `url`: the address of
    a single page that does not tell its own. `timezone`, `day_first`: of times that do not tell."""

    profile: str | Mapping[str, Any] | None = None
    url: str | None = None
    timezone: str = "UTC"
    day_first: bool | None = None


def profile(text: str) -> str | Mapping[str, Any]:
    """What `--profile` names: a built-in profile, or a YAML file that holds one. InputError when that cannot be read."""
    if not text.endswith((".yaml", ".yml")):
        return text
    try:
        found = yaml.safe_load(Path(text).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{text} cannot be read as a profile ({' '.join(str(error).split())[:200]}): README shows one") from None
    if not isinstance(found, Mapping):
        raise InputError(f"{text} holds no profile: it needs the parts `threads` and `posts`")
    return found


def is_pages(path: Path) -> bool:
    """Whether a file is a saved page by its name, or a folder."""
    return path.is_dir() or path.suffix.casefold() in ENDINGS


def read_pages(
    path: Path, source: str, reading: Reading, *, hide: Callable[..., str], now: dt.datetime, kind: Kind
) -> Iterator[Post | Rejected]:
    """The posts of a page, or of all pages in a folder, and what is none. InputError when nothing can be read at all."""
    files = sorted(_files(path)) if path.is_dir() else [path]
    if not files:
        raise InputError(
            f"{path} is a folder, and cannot be read as one of saved pages: it holds none ({', '.join(sorted(ENDINGS))}). Name another, or "
            "a file"
        )
    if path.is_dir() and reading.url:
        raise InputError("--url is the address of one page: import the pages one by one, or leave it out")
    read_page = importlib.import_module("spiders.saved").read_page
    for file in files:
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        try:
            size, at = file.stat().st_size, dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC)
            body = file.read_bytes() if size <= MAX_PAGE else None
        except OSError as error:
            if not path.is_dir():
                raise InputError(f"{path} cannot be read ({error.strerror or error}): check its name and permissions") from None
            yield Rejected(0, f"{name} cannot be read ({error.strerror or error})")
            continue
        if body is None:
            yield Rejected(0, f"{name} is larger than {MAX_PAGE >> 20} MB, which no page is")
            continue
        try:
            posts, left_out = read_page(
                body, url=reading.url, reader=reading.profile, saved_at=min(at, now), timezone=reading.timezone, day_first=reading.day_first
            )
        except ValueError as error:
            raise InputError(f"the profile or time zone is wrong ({error}): correct --profile or --timezone") from None
        for reason in left_out:
            yield Rejected(0, f"{name}: something on it {reason}")
        if not posts and not left_out:
            how = "the profile finds no posts on it" if reading.profile else "it holds no JSON-LD or microdata of posts: name a --profile"
            yield Rejected(0, f"{name}: {how}")
        for fields in posts:
            yield _post(fields, source, hide, now, kind, name)


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        beside = any(part.casefold().endswith(_BESIDES) for part in file.relative_to(folder).parts[:-1])
        if file.suffix.casefold() in ENDINGS and file.is_file() and not beside:
            yield file


def _post(fields: Mapping[str, Any], source: str, hide: Callable[..., str], now: dt.datetime, kind: Kind, name: str) -> Post | Rejected:
    """What a reader found as a post, as ForumSpider.post makes it."""
    text, author, url = clean(fields["text"]), clean(fields["author"] or ""), clean(fields["url"])
    if not text:
        return Rejected(0, f"{name}: a post on it holds nothing but other people's words")
    title = fields["title"]
    return Post(
        source=source,
        native_id=clean(fields["native_id"])[:500],
        url=url if url.startswith(("https://", "http://")) else "",
        text=text,
        posted_at=fields["posted_at"] or now,
        fetched_at=now,
        thread_id=fields["thread_id"],
        parent_id=fields["parent_id"],
        title=clean(title)[:500] if title else None,
        author_key=hide(author, fields["posted_at"] or now) if author else None,
        edited_at=fields["edited_at"],
        date_origin="site" if fields["posted_at"] else "fetched",
        kind=kind,
    )
