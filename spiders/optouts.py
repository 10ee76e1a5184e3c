"""Opt-outs: what a site says of its pages to those who would analyse them, in headers, in HTML and in one file for all of it.

The promise: who says no to being indexed, mined or used by AI, to everybody or to us by name, is heard in each of these forms;
what is said to another crawler by name is not taken for a word to us. Pure: nothing here asks anybody.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

from protego import Protego
from scrapy import Selector
from scrapy.http import Response

_NO = {"noindex", "none", "noai", "unavailable_after"}  # not noimageai: no picture is looked at
_HEAD = 256 * 1024  # bytes of a page in which its meta elements are looked for
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype html|html|head|title|meta|body|script)\b",
    re.IGNORECASE | re.DOTALL,
)
_META = re.compile(rb"<meta\b[^>]{0,500}?(?:robots|tdm-reservation|employee-forum-monitor)", re.IGNORECASE)
_VALUED = {"max-snippet", "max-image-preview", "max-video-preview"}
_EXPIRY = re.compile(r"unavailable_after\s*:\s*((?:[a-z]{3,9},\s*)?[^,]*)")  # the date's own comma stands behind its weekday


def markup(response: Response) -> bytes:
    """The answer's body where it is an HTML page, else nothing: posts about walls and opt-outs, in JSON or a feed, are neither."""
    return response.body if _HTML.match(response.body) else b""


def opt_out(response: Response, name: str, now: dt.datetime) -> str | None:
    """What in an answer says that its page must not be used by the crawler of that name (in lower case); None where nothing does.

    `now` (aware) tells whether an `unavailable_after` has come.
    """
    said = [_expired(value.decode("latin-1"), now) for value in response.headers.getlist("X-Robots-Tag")]
    if words := _NO & _addressed(said, name):
        return f"X-Robots-Tag: {min(words)}"
    if any(value.strip() == b"1" for value in response.headers.getlist("tdm-reservation")):
        return "tdm-reservation: 1"
    page = markup(response)[:_HEAD]
    ends = [found.end() for found in _META.finditer(page)]
    if not ends:
        return None
    page = page[: ends[-1] + 500]  # what comes behind is no meta of ours, and parsing it would take long
    for meta in Selector(text=page.decode("utf-8", "replace")).xpath("//meta[@name and @content]"):
        key, content = meta.attrib["name"].strip().lower(), _expired(meta.attrib["content"], now)
        if key in ("robots", name) and (words := _NO.intersection(re.split(r"[\s,;]+", content))):
            return f'<meta name="{key}" content="{min(words)}">'
        if key == "tdm-reservation" and content.strip() == "1":
            return '<meta name="tdm-reservation" content="1">'
    return None


def _expired(directives: str, now: dt.datetime) -> str:
    """Directives in lower case; an `unavailable_after` whose date has passed is a bare word, any other one is gone."""

    def word(found: re.Match[str]) -> str:
        date = found[1].strip()
        try:
            until = dt.datetime.fromisoformat(re.sub(r"\s*(?:gmt|utc|z)$", "+00:00", date))
        except ValueError:
            try:
                until = parsedate_to_datetime(date)
            except (ValueError, OverflowError):
                return ""
        return "unavailable_after" if until.replace(tzinfo=until.tzinfo or dt.UTC) <= now else ""

    return _EXPIRY.sub(word, directives.lower())


def _addressed(headers: Iterable[str], name: str) -> set[str]:
    """The directives of X-Robots-Tag headers, in lower case, for everybody or for `name`: a name and a colon address what follows them."""
    found = set()
    for header in headers:
        ours = True
        for part in header.split(","):
            to, colon, rest = part.strip().partition(":")
            if colon and to not in _VALUED and re.fullmatch(r"[a-z][a-z0-9_.*-]*", to.strip()):
                ours, part = to.strip() == name, rest
            if ours:
                found.update(part.split())
    return found


class Reservations:
    """A host's /.well-known/tdmrep.json (W3C TDM Reservation Protocol, 2024): the first rule whose `location` fits a path counts.

    What is no JSON at all, such as a page that a site gives for any address, declares nothing; JSON that is broken, or of
    another shape, is taken for a reservation of the whole site.
    """

    def __init__(self, text: str) -> None:
        self.rules: list[tuple[Protego, bool, bool]] = []
        text = text.strip()
        if text[:1] not in ("[", "{"):
            return
        try:
            declared = json.loads(text)
        except (ValueError, RecursionError):
            declared = [{"tdm-reservation": 1}]
        for rule in declared if isinstance(declared, list) else [declared]:
            if not isinstance(rule, Mapping):
                rule = {"tdm-reservation": 1}
            location = (str(rule.get("location") or "/").split() or ["/"])[0].partition("#")[0]
            # Locations have robots.txt's own syntax, with * and $.
            pattern = Protego.parse(f"User-agent: *\nDisallow: {location}")
            self.rules.append((pattern, rule.get("tdm-reservation") in (1, "1"), location in ("/", "/*", "*")))

    def of(self, url: str) -> Literal["none", "page", "site"]:
        """Whether the URL is reserved, and if so whether by a rule for the whole site."""
        for pattern, reserved, everything in self.rules:
            if not pattern.can_fetch(url, "tdm"):
                return ("site" if everything else "page") if reserved else "none"
        return "none"
