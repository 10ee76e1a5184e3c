"""The posts of the replay: as they were written for it (`DemoPost`), and as the demo forum holds them (`Held`)."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from monitor.errors import InputError
from monitor.records import from_text


@dataclass(frozen=True, slots=True)
class DemoPost:
    """A made-up post. The earliest post of a `thread` (a slug, within its forum) opens it. `at` is aware, UTC.

    `text` is plain, paragraphs apart by an empty line; `quote` is another post's sentence that it answers. `labels`
    holds what a reader would say of it: team id to negative, neutral or positive.
    """

    forum: Literal["discourse", "hn"]
    thread: str
    title: str
    author: str
    at: dt.datetime
    text: str
    quote: str | None = None
    lang: str = "en"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Held:
    """A post as the forum holds it: `number` within its thread is 1 for the opening post; deletions leave gaps."""

    id: int
    thread_id: int
    number: int
    post: DemoPost
    parent: Held | None
    """The post whose sentence it quotes, if it quotes one of its thread."""
    opener: Held | None
    """The thread's opening post; None for that post itself."""
    edited_at: dt.datetime | None = None
    version: int = 1
    deleted: bool = False

    @property
    def title(self) -> str:
        """The thread's title."""
        return (self.opener or self).post.title


def load_posts() -> list[DemoPost]:
    """The posts of the replay, oldest first. InputError names the file and line that is not one."""
    posts = []
    for path in sorted(Path(__file__).parent.glob("posts_*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                fields = json.loads(line)
                posts.append(DemoPost(**{**fields, "at": from_text(fields["at"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{path.name} line {number} is no post of the demo ({error}): install the package again") from None
    return sorted(posts, key=lambda post: post.at)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a plain text, escaped for HTML as forums do (`&#x27;` for an apostrophe)."""
    return [html.escape(part) for part in re.split(r"\n\s*\n", text.strip())]


def zulu(at: dt.datetime) -> str:
    """A time as both forums' APIs write it: `2025-01-14T09:12:33.000Z`."""
    return at.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
