"""The pages' words in the reader's language, and figures as that language writes them.

The promise: a page is in one language, that of `?lang=`, else the one chosen before, else that of config.yaml, else the browser's first
that we have. What the store says (reasons of alerts, posts) stays as it was written, and is marked as such.

Words are gettext's, their French is in locales/fr.po, and tests/test_web_words.py says what is missing there. To take up words that
changed, before translating what is then empty:

    pybabel -q extract -F pyproject.toml --no-location -o /dev/stdout monitor/web |
    pybabel -q update -N --ignore-obsolete -l fr -w 120 -i /dev/stdin -o monitor/web/locales/fr.po
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from babel.core import Locale
from babel.dates import format_date, format_datetime
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from datasette.utils.asgi import Request, Response
from jinja2 import Environment
from markupsafe import Markup, escape

from monitor import charts

LANGUAGES = {"en": "English", "fr": "Français"}

COOKIE = "forum_monitor_language"

_YEAR = 365 * 86400

_LOCALES: dict[str, Literal["en-US", "fr-FR"]] = {"en": "en-US", "fr": "fr-FR"}

_chosen: ContextVar[str] = ContextVar("language", default="en")


def language() -> str:
    """The language of the request under way, ISO 639."""
    return _chosen.get()


@contextlib.contextmanager
def speaking(code: str) -> Iterator[None]:
    """Words and figures in one of LANGUAGES, where no request asks for it."""
    before = _chosen.set(code)
    try:
        yield
    finally:
        _chosen.reset(before)


def choose(request: Request, usual: str | None = None) -> None:
    """Take up the language that a request asks for; `usual` is that of whoever asks for none by name."""
    wanted = [
        request.args.get("lang") or "",
        request.cookies.get(COOKIE) or "",
        usual or "",
        *_accepted(request.headers.get("accept-language") or ""),
    ]
    _chosen.set(next((each for each in wanted if each in LANGUAGES), "en"))


def _accepted(header: str) -> list[str]:
    """The languages of an Accept-Language header, without their countries, the most wanted first (RFC 9110, 12.5.4)."""
    found = []
    for part in header[:1000].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            found.append((-float(weight or 1), tag.partition("-")[0].casefold()))
        except ValueError:
            continue
    return [tag for _, tag in sorted(found, key=lambda each: each[0])]


def remembered(request: Request, response: Response) -> Response:
    """The response, with the language kept for the next page where the request for a page named one.

    A chart names the language of the page it stands on, and may be answered after the reader has chosen another."""
    if request.args.get("lang") in LANGUAGES and response.content_type.startswith("text/html"):
        response.set_cookie(COOKIE, language(), max_age=_YEAR, httponly=True, samesite="lax")
    return response


@functools.cache
def _catalog(code: str) -> Catalog | None:
    path = Path(__file__).with_name("locales") / f"{code}.po"
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_po(file, locale=code)


def gettext(text: str) -> str:
    """A text of ours in the reader's language; English where it is not translated."""
    catalog = _catalog(language())
    message = catalog.get(text) if catalog else None
    return str(message.string) if message and message.string and isinstance(message.string, str) else text


def ngettext(one: str, many: str, count: int) -> str:
    """The form of a text of ours that fits a count."""
    catalog = _catalog(language())
    message = catalog.get(one) if catalog else None
    if message and isinstance(message.string, tuple | list) and all(message.string):
        return str(message.string[0 if Locale.parse(language()).plural_form(count) == "one" else -1])
    return one if count == 1 else many


# ---- terms of the store ---------------------------------------------------------------------------------------------


def label(value: str) -> str:
    """A post's label."""
    return {"negative": gettext("negative"), "neutral": gettext("neutral"), "positive": gettext("positive")}[value]


def alert_state(value: str) -> str:
    """Where an alert, or a series, stands."""
    return {
        "firing": gettext("firing"),
        "recovering": gettext("recovering"),
        "pending": gettext("pending"),
        "resolved": gettext("resolved"),
    }[value]


def rule_type(value: str) -> str:
    """What a rule looks for."""
    return {
        "below": gettext("below"),
        "above": gettext("above"),
        "drop": gettext("drop"),
        "rise": gettext("rise"),
        "shift": gettext("shift"),
        "overtakes": gettext("overtakes"),
        "spike": gettext("spike"),
        "silence": gettext("silence"),
    }[value]


def outcome(value: str) -> str:
    """How a crawl ended (monitor.collect); a word that is none of ours as it is."""
    told = {
        "finished": gettext("finished"),
        "under way": gettext("under way"),
        "failed": gettext("failed"),
        "timed out": gettext("timed out"),
        "stopped": gettext("stopped"),
        "killed": gettext("killed"),
        "disallowed": gettext("disallowed"),
        "robots_unreachable": gettext("robots.txt unreachable"),
        "rate_limited": gettext("rate limited"),
        "banned": gettext("banned"),
    }
    return told.get(value, value)


def comparison(key: str, usual: str) -> str:
    """One of Datasette's comparisons of a column, by its key; `usual` is its own word for it."""
    told = {
        "contains": gettext("contains"),
        "endswith": gettext("ends with"),
        "startswith": gettext("starts with"),
        "in": gettext("in"),
        "notin": gettext("not in"),
        "arraycontains": gettext("array contains"),
        "arraynotcontains": gettext("array does not contain"),
        "date": gettext("date"),
        "isnull": gettext("is null"),
        "notnull": gettext("is not null"),
        "isblank": gettext("is blank"),
        "notblank": gettext("is not blank"),
    }
    return told.get(key, usual)


def of_charts() -> charts.Words:
    """A chart's words in the reader's language."""
    return charts.Words(
        mean=gettext("sentiment, mean over people"), people=gettext("people"), usual=gettext("usual"), alert=gettext("alert"),
        level=gettext("new level"), day=gettext("day"), figure=gettext("mean (95 % interval)"), span=gettext("to"),
        too_few=gettext("insufficient data"), coverage=gettext("coverage"),
        note=gettext("Bars and bands: 95 % interval. Days on which too few people spoke have no point."),
        locale=_LOCALES[language()],
    )  # fmt: skip


# ---- figures -------------------------------------------------------------------------------------------------------


def mean(value: float) -> str:
    """A mean in [-1, 1]: `+0.31`, `−0,31`."""
    rounded = round(value, 2)
    return format_decimal(rounded, format="+0.00;−0.00" if rounded else "0.00", locale=language())


def percent(share: float) -> str:
    """A share in [0, 1] in whole percent."""
    return format_percent(share, format="#,##0%" if language() == "en" else None, locale=language())


def number(count: float) -> str:
    """A count."""
    return format_decimal(count, locale=language())


def day(value: dt.date | str) -> str:
    """A UTC day: `24 Jan 2025`."""
    on = dt.date.fromisoformat(value[:10]) if isinstance(value, str) else value
    return format_date(on, format=_day_format(on), locale=language())


def moment(value: dt.datetime | str) -> str:
    """A time in UTC to the minute, said to be so."""
    at = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return format_datetime(at, format=f"{_day_format(at)} HH:mm", locale=language()) + " UTC"


def _day_format(on: dt.date) -> str:
    """French writes the first of a month, and it alone, as an ordinal."""
    return "d'er' MMM y" if language() == "fr" and on.day == 1 else "d MMM y"


def interval(low: float, high: float) -> str:
    """A 95 % interval of a mean."""
    return gettext("%(low)s to %(high)s") % {"low": mean(low), "high": mean(high)}


def time_tag(value: str) -> Markup:
    """A time with its machine-readable form."""
    return Markup('<time datetime="{}">{}</time>').format(value, moment(value))


def code(text: str) -> Markup:
    """A text of ours with what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def quoted(text: str) -> Markup:
    """Somebody's words between quotation marks of the reader's language, in their own direction and language."""
    return Markup(gettext("“%(words)s”")) % {"words": Markup('<bdi lang="">{}</bdi>').format(text)}  # noqa: S704 (ours)


def counted(one: str, many: str, count: int, **said: object) -> Markup:
    """`ngettext` for templates: with the count as `%(num)s`, as the reader's language writes it, and what else is said escaped."""
    return Markup(ngettext(one, many, count)) % {"num": number(count), **said}  # noqa: S704 (ours)


def install(env: Environment) -> None:
    """Give an environment our words: `_()`, `ngettext()`, {% trans %}, and the filters for figures."""
    env.add_extension("jinja2.ext.i18n")
    env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    env.filters.update(mean=mean, percent=percent, number=number, day=day, moment=moment, time_tag=time_tag, code=code, quoted=quoted)
    env.filters.update(label=label, alert_state=alert_state, rule_type=rule_type, outcome=outcome, comparison=comparison)
    env.globals.update(interval=interval, escape=escape, ngettext=counted)
