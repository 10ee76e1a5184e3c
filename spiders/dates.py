"""Times as forums print them ("yesterday 14:05", "il y a 2 jours", "Nov. 21, 2026, 9:28 p.m.", "2小时前") as aware UTC.

The promise: a time that is none, that cannot be (before 1980) or that lies over a day ahead gives None, never a guess;
ages and days without a year count from the `now` that the caller names, never from the machine's clock.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dateparser
from pydantic import AfterValidator

from spiders.base import BROKEN

_EARLIEST = dt.datetime(1980, 1, 1, tzinfo=dt.UTC)
_AHEAD = dt.timedelta(days=1)
"""How far a forum's clock may be ahead of ours."""

_LANGUAGES = ["en", "fr", "zh", "de", "es"]
_LONGEST = 100  # characters; what is longer is a sentence, not a date
_SPACES = re.compile(r"[\s\u200e\u200f]+")
_DOTTED = re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{2}", re.ASCII)  # wherever dots are written, the day comes first
_EPOCH = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}", re.ASCII)
_ISO = re.compile(r"\d{4}-?\d\d-?\d\d(?:$|[T ]\d\d)", re.ASCII)
_NO_DATE = re.compile(r"[\W_]*\d{0,9}[\W_]*")  # no word at all, or a bare number: a count, not a date
_SAID = re.compile(  # what stands before a date
    r"^(?:(?:last |dernière )?(?:posted|published|written|sent|edited|created|updated|modified|replied|started|post[ée]+|publi[ée]+|"
    r"envoy[ée]+|[ée]crit|créé+|modifi[ée]+|modification|[ée]dition|geschrieben|erstellt|publicado|enviado)\b"
    r"|(?:最后)?(?:发表|发布|回复|编辑|更新|修改)(?:于|在|时间)?)\s*[:：]?\s*(?:(?:on|at|le|à|am|el)\b\s*)?",
    re.IGNORECASE,
)
_NOW = re.compile(
    r"(?:just )?now|(?:an? (?:few )?|few )(?:moment|instant|second)s? ago|刚刚|刚才|片刻前|几秒前"
    r"|à l['’]instant|il y a (?:un instant|quelques (?:instants|secondes))",
    re.IGNORECASE,
)
_AGE = re.compile(r"\bago\b|\bil y a\b|前$|\bvor\b|\bhace\b", re.IGNORECASE)
_SHORT = re.compile(r"(\d{1,4})\s?(s|m|h|d|w|mo|y)", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months", "y": "years"}
_CHINESE_NUMBER = re.compile(r"([一二两三四五六七八九十])(?=\s*个?(?:秒|分钟|小时|天|周|星期|月|年)前)")


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name, such as Europe/Paris. Raises ValueError with a sentence for what is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("write a time zone's IANA name, such as Europe/Paris or Asia/Shanghai") from None


def _zone_name(name: str) -> str:
    zone(name)
    return name


TimeZone = Annotated[str, AfterValidator(_zone_name)]
"""An option of a spider that names a time zone."""


def read(value: object, *, now: dt.datetime, site: dt.tzinfo = dt.UTC, day_first: bool | None = None) -> dt.datetime | None:
    """The time in UTC that `value` tells: an aware or naive datetime, epoch seconds or milliseconds (number or digits), or text.

    Text is ISO 8601, a localised date, or an age. `now` is the aware time of reading; `site` is the zone of times that
    name none; `day_first` says how "01/02" is meant, None as dots or the words around it suggest (else the month is first).
    """
    try:
        found = _read(value, now, site, day_first)
    except (*BROKEN, OSError):
        return None
    return found if found is not None and _EARLIEST <= found <= now + _AHEAD else None


def latest(value: object, *, now: dt.datetime, site: dt.tzinfo = dt.UTC, day_first: bool | None = None) -> dt.datetime | None:
    """The last moment that `value` can mean, for words that are rounded: "2 days ago" is said of all that is over a day old."""
    found = read(value, now=now, site=site, day_first=day_first)
    if found is None or not isinstance(value, str):
        return found
    text = value.strip()
    if _AGE.search(text) or _SHORT.fullmatch(text):
        less = re.sub(r"\d+", lambda number: str(int(number[0]) - 1), text, count=1)
        return (read(less, now=now, site=site, day_first=day_first) if less != text else None) or now
    return found + (dt.timedelta(minutes=1) if ":" in text or _EPOCH.fullmatch(text) else dt.timedelta(days=1))


def _read(value: object, now: dt.datetime, site: dt.tzinfo, day_first: bool | None) -> dt.datetime | None:
    if isinstance(value, dt.datetime):
        return _utc(value, site)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return dt.datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, dt.UTC)
    if not isinstance(value, str):
        return None
    text = _SPACES.sub(" ", value).strip(" ,;|·•«»()[]")
    if _EPOCH.fullmatch(text):
        return _read(float(text), now, site, day_first)
    if not _ISO.match(text):
        return _written(_SAID.sub("", text), now, site, day_first)
    try:
        return _utc(dt.datetime.fromisoformat(text), site)
    except ValueError:
        return _written(text, now, site, day_first)


def _utc(moment: dt.datetime, site: dt.tzinfo) -> dt.datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=site)).astimezone(dt.UTC)


def _written(text: str, now: dt.datetime, site: dt.tzinfo, day_first: bool | None) -> dt.datetime | None:
    """A time in a person's words: localised, relative or an age."""
    if len(text) > _LONGEST or _NO_DATE.fullmatch(text):
        return None
    if _NOW.fullmatch(text):
        return now.astimezone(dt.UTC)
    if short := _SHORT.fullmatch(text):
        text = f"{short[1]} {_UNITS[short[2].lower()]} ago"
    text = _CHINESE_NUMBER.sub(lambda number: str("一二三四五六七八九十".find(number[1].replace("两", "二")) + 1), text)
    # An age counts real hours; a day and clock time are the site's, also across a change of its clocks.
    base = dt.UTC if _AGE.search(text) and ":" not in text else site
    settings: dict[str, Any] = {
        "RELATIVE_BASE": now.astimezone(base).replace(tzinfo=None),
        "TIMEZONE": str(base),
        "TO_TIMEZONE": "UTC",
        "RETURN_AS_TIMEZONE_AWARE": True,
        "PREFER_DATES_FROM": "past",
    }
    if day_first is None and _DOTTED.search(text):
        day_first = True
    if day_first is not None:
        settings["DATE_ORDER"] = "DMY" if day_first else "MDY"
    found: dt.datetime | None = dateparser.parse(text, languages=_LANGUAGES, settings=settings)
    return found.astimezone(dt.UTC) if found and found.tzinfo else None
