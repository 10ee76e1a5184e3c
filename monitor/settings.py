"""What config.yaml may hold: every section as a pydantic model, with its units, defaults and what makes no sense.

The promise: a value that got past these models can be used as it is. Messages say what to write, and never show a value
that may be a secret. `monitor.config` reads the file into them; the section `scorer` stands in monitor/scoring.py, `rules`
in monitor/conditions.py.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from monitor import mute
from monitor.conditions import Rule
from monitor.problems import Hidden
from monitor.records import Kind
from monitor.scoring import Scorer
from monitor.section import ID, File, Name, Seconds, Section, seconds


def _pause(value: object) -> float:
    return 0.0 if value in (0, "0") and not isinstance(value, bool) else seconds(value)


def _day(value: object) -> object:
    """Pydantic would take a number for seconds since 1970."""
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date | str):
        raise ValueError("write a day such as 2026-01-31")
    return value


def _whole_days(value: object) -> int:
    match = re.fullmatch(r"\s*(\d{1,5})\s*d\s*", value) if isinstance(value, str) else None
    days = int(match[1]) if match else 0
    if not 1 <= days <= 36_500:
        raise ValueError("write whole days, such as 90d or 730d")
    return days


Days = Annotated[int, BeforeValidator(_whole_days)]


class Alias(Section):
    """One way in which a team is named. A plain string in config.yaml is `{text: ...}`."""

    text: Name
    case: bool = False
    """Match upper and lower case as written; without it both are the same."""
    needs: tuple[str, ...] = ()
    """Counts only where one of these words stands in the same post (or its thread's title)."""
    not_: tuple[str, ...] = Field(default=(), alias="not")
    """Does not count where it is part of one of these phrases."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return value if isinstance(value, dict | list | Alias) else {"text": value}


class Team(Section):
    """A team that is watched. The name is itself an alias unless `aliases` holds it in another form."""

    id: str = Field(pattern=ID)
    name: Name
    parent: str | None = None
    aliases: tuple[Alias, ...] = ()

    @model_validator(mode="after")
    def _name_is_an_alias(self) -> Self:
        if self.name.casefold() not in {alias.text.casefold() for alias in self.aliases}:
            object.__setattr__(self, "aliases", (Alias(text=self.name), *self.aliases))
        return self


class Terms(Section):
    """What a site's terms of use said, read by a person; a source without it is not crawled."""

    read_on: Annotated[dt.date, BeforeValidator(_day)]
    by: str = Field(min_length=1)
    allows: str = Field(min_length=1)
    note: str = ""
    agreement: str = Field(default="", max_length=500)
    """What the site has granted you by name, such as the approval of your API application. A type that reads an API by such a grant
    (reddit) then asks that API whatever robots.txt says to crawlers; no other type and no page is concerned."""

    @field_validator("read_on")
    @classmethod
    def _has_been(cls, value: dt.date) -> dt.date:
        if value > dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1):  # far enough east it is tomorrow already
            raise ValueError("write the day on which you read them, not one to come")
        return value


class Source(Section):
    """A place that is crawled. `type` names a file in spiders/; `options` are that spider's own."""

    name: str = Field(pattern=ID)
    type: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    enabled: bool = True
    kind: Kind = "voice"
    """`voice`: people speaking for themselves. `press`: articles, kept and shown but not counted as voices."""
    every: Seconds | None = None
    """Time between two crawls; without it `schedule.collect`."""
    time_limit: Seconds = 1200.0
    delay: Annotated[float, BeforeValidator(_pause)] = Field(default=1.0, le=600)
    """Time between two requests to one host; a longer Crawl-delay in robots.txt wins."""
    per_hour: int = Field(default=600, ge=1, le=1_000_000)
    """Requests to one host within an hour, over all crawls. Where it is not written, a source on this machine has no such budget."""
    overlap: Seconds = 3600.0
    """How far behind its cursor a crawl looks again, for posts that came late."""
    refresh: Seconds = 172800.0
    """Posts younger than this are looked at again by every crawl, for edits and deletions; later once more at 4, 8, 16 and 30 days."""
    retention: Days | None = None
    """Days after which posts lose their words, addresses and authors, as the site's terms ask; without it `privacy.retention`."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    terms: Terms | None = None
    """Required of an enabled source: nothing is crawled before a person has read what its site allows."""


class Target(Section):
    """Where alerts go: `console`, or an Apprise URL, given here, by `${NAME}`, or in a file. A plain string is `{url: ...}`."""

    url: str | None = Field(default=None, repr=False)
    url_file: File | None = None
    name: str = Field(default="", max_length=100)
    severities: tuple[str, ...] = ()
    """Takes only the alerts of rules with one of these severities; without it, all. What no target takes goes to all of them."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None and value != "console" and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
            raise ValueError("write console, or an Apprise URL such as ntfy://ntfy.example.org/topic")
        return value

    @field_validator("name")
    @classmethod
    def _no_address(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("write a name of your own, since it is shown; the address belongs in url")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("write either url or url_file")
        return self

    @property
    def address(self) -> str:
        """The URL itself, a secret. Raises OSError when `url_file` cannot be read, or not as UTF-8 text."""
        if self.url_file is None:
            return self.url or ""
        try:
            return self.url_file.read_text("utf-8").strip()
        except UnicodeDecodeError:
            raise OSError(errno.EILSEQ, "not UTF-8 text", str(self.url_file)) from None

    @property
    def key(self) -> str:
        """The target's name in the store and in messages: never the URL, which may hold a password."""
        if self.name:
            return self.name
        if self.url_file is not None:
            return f"file:{self.url_file.name}"
        if self.url == "console":
            return "console"
        scheme = (self.url or "").partition("://")[0]
        return f"{scheme}:{hashlib.sha256((self.url or '').encode('utf-8', 'replace')).hexdigest()[:8]}"


def _a_span(text: str) -> str:
    mute.span(text)
    return text


def _a_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):  # a name that leads out of the folder, a folder, an unknown one
        raise ValueError("write a time zone by its place, such as Europe/Paris, or UTC") from None
    return value


def _a_time(value: object) -> dt.time:
    """YAML reads a bare 8:30 as 510, in base sixty."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write the time of day in quotes, such as "08:00"')
    return dt.time(int(match[1]), int(match[2]))


Zone = Annotated[str, AfterValidator(_a_zone)]


class Digest(Section):
    """What happened, told at a time whether or not there was an alert."""

    every: Literal["day", "week"] = "week"
    """Of the last whole UTC day, or of the last seven."""
    to: tuple[str, ...] = ()
    """Names of the targets that get it (`console`, where that is one); without it, all."""
    on: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "mon"
    """The day of the week on which a weekly one goes out."""
    at: Annotated[dt.time, BeforeValidator(_a_time)] = dt.time(8)
    """When, by the clock of `timezone`; later where the last day has not been read whole by then."""
    timezone: Zone | None = None
    """Such as Asia/Shanghai; without it `notify.timezone`."""

    @field_validator("to", mode="before")
    @classmethod
    def _one_target(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Notify(Section):
    """Delivery of alerts and digests."""

    targets: tuple[Target, ...] = (Target(url="console"),)
    mute: tuple[Annotated[str, AfterValidator(_a_span)], ...] = ()
    """When no message is sent: `22:00-07:00`, `sat`, ... What comes meanwhile goes out after."""
    timezone: Zone = "UTC"
    """The clock that `mute` means, such as Europe/Paris."""
    digest: tuple[Digest, ...] = ()
    """Daily and weekly digests; without it none is sent."""
    repeat: Seconds | None = None
    """An alert that still fires so long after it was last told is told again; without it, never."""
    max_attempts: int = Field(default=12, ge=1, le=1000)
    retry_after: Seconds = 60.0
    """Wait before the second attempt; it doubles each time, up to six hours, and is shortened at random by up to half."""
    heartbeat: str | None = Field(default=None, repr=False)
    """An address that is asked after each whole round that ended well: a watching service, which says when no more of them come."""
    templates: File | None = None
    """Folder of templates in place of the built-in ones in monitor/templates/."""
    link_posts: int = Field(default=3, ge=0, le=10)

    @field_validator("mute", mode="before")
    @classmethod
    def _one_span(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("mute")
    @classmethod
    def _not_all_week(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if {mute.span(text) for text in value} >= set(range(7)):
            raise ValueError("leave a day on which messages are sent, or take the targets out")
        return value

    @field_validator("heartbeat")
    @classmethod
    def _of_the_web(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]", value):
            raise Hidden("write an address that begins with https:// or http://")
        return value

    def muted(self, now: dt.datetime) -> bool:
        """Whether no message is to be sent at an aware time."""
        return mute.muted(now, self.mute, ZoneInfo(self.timezone))


class Privacy(Section):
    """What is published and how authors are hidden."""

    min_authors: int = Field(default=5, ge=2, le=100_000)
    """Fewer distinct authors than this on a day is "insufficient data", never a number."""
    author_key_file: File | None = None
    """32 random bytes that author names are hashed with; without it `<database>.key`, made at first use, mode 0600."""
    excerpt: int = Field(default=200, ge=0, le=1000)
    """Characters of a post that an alert may quote; 0 quotes none."""
    rotate_keys: Days | None = None
    """Days after which authors get other keys, so that what one wrote before and after is not linked; without it keys stay.

    Off by default, since a figure over days on both sides of a turn counts a person twice, and it cannot be taken back.
    """
    retention: Days | None = None
    """Days after which posts lose their words, addresses and authors; their days' figures stay. Without it they are kept."""


class Schedule(Section):
    """How often each step runs in `forum-monitor run`, and how long it may take."""

    collect: Seconds = 1800.0
    understand: Seconds = 300.0
    trend: Seconds = 300.0
    alert: Seconds = 300.0
    deliver: Seconds = 60.0
    time_limit: Seconds = 3600.0


class Config(Section):
    """The whole of config.yaml. Relative paths are relative to the file's own folder."""

    database: File = Path("monitor.db")
    contact: str = Field(default="", max_length=200)
    """E-mail address or page that site owners see in our user agent; without it only loopback hosts are crawled."""
    language: Literal["en", "fr"] | None = None
    """Of the pages, unless their reader chooses another; None: the browser's."""
    teams: tuple[Team, ...] = ()
    sources: tuple[Source, ...] = ()
    scorer: Scorer = Scorer()
    review: Scorer | None = None
    """The model that reads random samples for `review --ask`: one behind an endpoint, better than that of `scorer`."""
    rules: tuple[Rule, ...] = ()
    notify: Notify = Notify()
    privacy: Privacy = Privacy()
    schedule: Schedule = Schedule()
    path: Path = Field(default=Path("config.yaml"), exclude=True)
    """Where this was read from; not a key of the file."""

    @field_validator("contact")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():  # it becomes a header
            raise ValueError("write an e-mail address or the address of a page, on one line")
        return value

    @field_validator("review")
    @classmethod
    def _another_reader(cls, value: Scorer | None) -> Scorer | None:
        if value and (value.endpoint is None or value.escalate_below is not None):
            raise ValueError("write endpoint and model, and no escalate_below: a model that is asked of every post that was drawn")
        return value

    @property
    def author_key_file(self) -> Path:
        return self.privacy.author_key_file or self.database.with_name(self.database.name + ".key")

    def source(self, name: str) -> Source | None:
        return next((source for source in self.sources if source.name == name), None)

    def team(self, team_id: str) -> Team | None:
        return next((team for team in self.teams if team.id == team_id), None)
