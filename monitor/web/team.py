"""One team: its figures, trend, sources and languages, what moved it, and the posts behind all that.

The promise: a post's words are shown as text whatever they hold, in their own direction, without characters that turn the
writing around; only addresses of the web become links, and these tell nobody where the reader came from.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

from babel.core import Locale
from datasette.utils.asgi import Request, Response

from monitor import explained, show, standing
from monitor.archive import behind
from monitor.records import DailyTrend, Label, clean, from_text, to_text
from monitor.store import Place, Store, Wanted
from monitor.web import words
from monitor.web.app import Pages, today
from monitor.web.charting import BUNDLE, RANGES, Span, known_teams
from monitor.web.words import gettext as _

TABLE = 92
"""Days that the table holds at most; the chart shows all."""

CUT = 2000
"""Characters of a post that are shown; the whole stands at its address."""

_FILTERS = ("from", "to", "label", "source", "language", "words")


async def team(pages: Pages, request: Request) -> Response:
    """GET /team/ID"""
    [(team, name)] = known_teams(pages, [request.url_vars["team"]]).items()
    span, wanted = Span.of(request), wanted_of(request)

    def gather(store: Store) -> dict[str, Any]:
        found = standing.team_week(store, pages.config, team, span.last)
        archives = store.archives()
        posts = behind.team_posts(store, pages.config, team, wanted, before=place_of(request.args.get("before") or ""))
        return {
            "away": found.away,
            "figures": found.week,
            "change": show.changed(found.week, found.before),
            "share": standing.shares_of_voice(store, pages.config, span.last, standing.WEEK).get(team),
            "coverage": store.coverage(standing.first_day(span.last, standing.WEEK), span.last),
            "days": show.team_days(store, pages.config, team, span.last, min(TABLE, span.length(store, [team]))),
            "sources": found.sources,
            "languages": found.languages,
            "alerts": store.team_alerts(team),
            "firing": [alert["rule"] for alert in store.firing(span.last) if alert["team"] == team],
            "posts": [shown(post) for post in posts.posts],
            "further": posts.further and place_text(posts.further),
            "unread": sorted(posts.unread),
            "wordless": [each.name for each in archives if not each.words] if wanted.words else [],
            "elsewhere": {source for each in archives for source in each.sources},
        }

    found = await pages.read(gather)
    told = [row for row in found["days"] if row["mean"] is not None]
    filters = {key: value for key in _FILTERS if (value := request.args.get(key))}
    kept = {**filters, **({"days": span.word} if span.word != "28" else {})}
    return await pages.page(
        "team.html", request, **found, team=team, name=name, span=span, ranges=RANGES, told_day=told[0]["day"] if told else None,
        corrected=next((row for row in found["days"] if row["week_corrected_by"]), None), filters=filters, kept=kept,
        query=_query, paged="before" in request.args, back=request.full_path, labels=label_words(),
        language_name=language_name, every_source=sorted({*_choices(found["sources"], wanted.source), *found["elsewhere"]}),
        every_language=_choices(found["languages"], wanted.language), vega=BUNDLE, table=TABLE, cut=CUT,
        least=pages.config.privacy.min_authors,
    )  # fmt: skip


def _choices(parts: Sequence[DailyTrend], chosen: str | None) -> list[str]:
    """What a filter may choose: the sources, or languages, of a team's last days, and the one that is chosen."""
    return sorted({part.source for part in parts if part.source} | ({chosen} if chosen else set()))


async def why(pages: Pages, request: Request) -> Response:
    """GET /team/ID/why?day=: what moved the team's figure on a day; the team's page takes it in."""
    [(team, name)] = known_teams(pages, [request.url_vars["team"]]).items()
    day = day_of(request.args.get("day")) or today()
    told = await pages.read(lambda store: explained.explained(store, pages.config, team, day))
    posts = [{**post, "link": link(post["url"])} for post in told["representative"]]
    threads = [{**thread, "link": link(thread["url"] or "")} for thread in told["threads"] or ()]
    return await pages.page("why.html", request, team=team, name=name, told=told, posts=posts, threads=threads, labels=label_words())


# ---- what is asked for ---------------------------------------------------------------------------------------------


def wanted_of(request: Request) -> Wanted:
    """The filter of posts in an address; what cannot be understood filters nothing."""
    label = request.args.get("label")
    return Wanted(
        day_of(request.args.get("from")), day_of(request.args.get("to")) or today(), label if label in get_args(Label) else None,
        request.args.get("source") or None, request.args.get("language") or None, request.args.get("words") or "",
    )  # fmt: skip


def day_of(text: str | None) -> dt.date | None:
    """A day as addresses name it, `2025-01-24`; None for what is no day on which a forum could have been read."""
    with contextlib.suppress(ValueError):
        day = dt.date.fromisoformat(text or "")
        return day if 1980 <= day.year <= 9000 else None
    return None


def place_of(text: str) -> Place | None:
    """Where a page of posts goes on from: the time and number of the last post before; what is no such place is the beginning."""
    at, *numbers = text.split(".")
    known = [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 19]
    with contextlib.suppress(ValueError, OverflowError):
        return Place(at, *known) if to_text(from_text(at)) == at and len(numbers) == len(known) in (1, 2) else None
    return None


def place_text(place: Place) -> str:
    """A place as addresses have it."""
    return ".".join(map(str, (place.at, place.id, *([place.skip] if place.skip else []))))


def _query(values: Mapping[str, str], **others: str | None) -> str:
    """An address's query of these values, `others` in place of theirs; those that are None are left out."""
    return urlencode({key: value for key, value in {**values, **others}.items() if value})


# ---- what is shown -------------------------------------------------------------------------------------------------


def shown(post: Mapping[str, Any]) -> dict[str, Any]:
    """A post of behind.team_posts as the page shows it: text without unseen characters and at most CUT long, a link where it is one."""
    text, title = clean(post["text"]), " ".join(clean(post["title"] or "").split())
    in_thread = title if title and not text.startswith(title) else ""
    return {**post, "text": text[:CUT], "cut": len(text) > CUT, "title": in_thread[:200], "link": link(post["url"])}


def link(url: str) -> str | None:
    """An address that may become a link: one of the web."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(clean(url))
        return parts.geturl() if parts.scheme in ("http", "https") and parts.hostname else None
    return None


def language_name(code: str) -> str:
    """A language in the reader's."""
    return str(Locale.parse(words.language()).languages.get(code, code)) if code else _("unknown")


def label_words() -> dict[str, str]:
    """The labels in the reader's language."""
    return {each: words.label(each) for each in get_args(Label)}
