"""config.yaml read into typed settings, every mistake reported at once, each with its key and its remedy.

The promise: one broken team, source, rule or target never takes the others with it. `load` returns what is usable
together with the problems; only a file that cannot be read at all, that breaks a setting which every step needs, or
that leaves nothing to watch, is an error. Secrets stand in the environment (`${NAME}`) or in a file (`url_file`), and
are never printed.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from monitor.errors import ConfigError, Problem
from monitor.problems import Location, expand, in_words, key_path, kind, near, read, shown, written
from monitor.records import ALL, Kind, clean

ENVIRONMENT_KEY = "FORUM_MONITOR_CONFIG"
FILE_NAME = "config.yaml"
_ID = r"^[a-z0-9][a-z0-9_.-]*$"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> float:
    """A duration as people write it (`90s`, `30m`, `6h`, `1d`, or a number of seconds) in seconds."""
    found = 0.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)):
        found = float(match[1]) * _UNITS[match[2]]
    if not 0 < found <= 366 * 86400:
        raise ValueError("write a duration above 0 and of at most a year, such as 90s, 30m, 6h or 1d")
    return float(found)


def _pause(value: object) -> float:
    return 0.0 if value in (0, "0") and not isinstance(value, bool) else seconds(value)


def _visible(text: str) -> str:
    if not clean(text):
        raise ValueError("write a name that can be seen")
    return text


def _file(path: Path) -> Path:
    if str(path) in ("", ".") or "\0" in str(path) or ":/" in str(path):  # Path makes one slash of two
        raise ValueError("write the path of a file")
    return Path(os.path.expanduser(path))


def _day(value: object) -> object:
    """Pydantic would take a number for seconds since 1970."""
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date | str):
        raise ValueError("write a day such as 2026-01-31")
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_visible)]
File = Annotated[Path, AfterValidator(_file)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in (int, float):
            raise ValueError("write a number")
        return value


class Alias(_Section):
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


class Team(_Section):
    """A team that is watched. The name is itself an alias unless `aliases` holds it in another form."""

    id: str = Field(pattern=_ID)
    name: Name
    parent: str | None = None
    aliases: tuple[Alias, ...] = ()

    @model_validator(mode="after")
    def _name_is_an_alias(self) -> Self:
        if self.name.casefold() not in {alias.text.casefold() for alias in self.aliases}:
            object.__setattr__(self, "aliases", (Alias(text=self.name), *self.aliases))
        return self


class Terms(_Section):
    """What a site's terms of use said, read by a person; a source without it is not crawled."""

    read_on: Annotated[dt.date, BeforeValidator(_day)]
    by: str = Field(min_length=1)
    allows: str = Field(min_length=1)
    note: str = ""

    @field_validator("read_on")
    @classmethod
    def _has_been(cls, value: dt.date) -> dt.date:
        if value > dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1):  # far enough east it is tomorrow already
            raise ValueError("write the day on which you read them, not one to come")
        return value


class Source(_Section):
    """A place that is crawled. `type` names a file in spiders/; `options` are that spider's own."""

    name: str = Field(pattern=_ID)
    type: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    enabled: bool = True
    kind: Kind = "voice"
    """`voice`: people speaking for themselves. `press`: articles, kept and shown but not counted as voices."""
    every: Seconds | None = None
    """Time between two crawls; without it `schedule.collect`."""
    time_limit: Seconds = 1200.0
    delay: Annotated[float, BeforeValidator(_pause)] = Field(default=1.0, le=600)
    """Time between two requests to one host; a longer Crawl-delay in robots.txt wins."""
    overlap: Seconds = 3600.0
    """How far behind its cursor a crawl looks again, for posts that came late."""
    refresh: Seconds = 172800.0
    """Posts younger than this are looked at again for edits and deletions."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    terms: Terms | None = None
    """Required of an enabled source: nothing is crawled before a person has read what its site allows."""


class Scorer(_Section):
    """The sentiment model: `embedded`, or a folder that holds model.onnx, config.json and tokenizer.json."""

    model: str = "embedded"
    threads: int = Field(default=0, ge=0, le=256)
    """Processor threads; 0 takes all cores."""


RuleType = Literal["below", "drop", "spike", "silence"]
_THRESHOLDS: dict[str, tuple[float, float, float]] = {  # the smallest that makes sense, the greatest, the default
    "below": (-1.0, 1.0, -0.3),
    "drop": (0.01, 2.0, 0.25),
    "spike": (1.01, 1000.0, 3.0),
    "silence": (0.0, 0.99, 0.1),
}
_MEASURED: dict[str, tuple[int, float]] = {"drop": (2, 0.97), "spike": (1, 0.999)}
"""`for` and `confidence` where (1, 0.998) gave more than one false alarm per series and year: tests/benchmarks/test_alert_rates.py."""


def _recover(rule_type: RuleType, threshold: float) -> float:
    """The default: clear of `threshold`, and within reach. With the default thresholds -0.2, 0.1, 1.5 and 0.5."""
    found = {
        "below": min(threshold + 0.1, 1.0),
        "drop": threshold * 0.4,
        "spike": 1 + (threshold - 1) / 4,
        "silence": threshold + (1 - threshold) * 4 / 9,
    }
    return round(found[rule_type], 6)


class Rule(_Section):
    """When an alert fires and when it is over. What `threshold` and `recover` mean stands in monitor/rules/<type>.py."""

    id: str = Field(pattern=_ID)
    type: RuleType
    enabled: bool = True
    teams: tuple[str, ...] = (ALL,)
    """Ids of teams, or `*` for each; none at all, with type silence, for the source as a whole."""
    source: str = ALL
    min_authors: int = Field(default=8, ge=1, le=100_000)
    for_: int = Field(default=None, validate_default=True, ge=1, le=60, alias="for")
    """Days in a row on which the condition must hold before the alert fires."""
    threshold: float = Field(default=None, validate_default=True, allow_inf_nan=False)
    recover: float = Field(default=None, validate_default=True, allow_inf_nan=False)
    recover_for: int = Field(default=2, ge=1, le=60)
    """Complete days in a row on which the recovery threshold must hold before the alert is resolved."""
    baseline_days: int = Field(default=28, ge=5, le=366)
    confidence: float = Field(default=None, validate_default=True, gt=0.5, lt=1)
    """How sure the statistics must be, one-sided. What it costs in false alarms stands in monitor/rules/<type>.py."""

    @field_validator("teams", mode="before")
    @classmethod
    def _one_team(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("for_", "confidence", mode="before")
    @classmethod
    def _as_measured(cls, value: object, info: ValidationInfo) -> object:
        days, confidence = _MEASURED.get(info.data.get("type", "below"), (1, 0.998))
        return value if value is not None else days if info.field_name == "for_" else confidence

    @field_validator("threshold", "recover", mode="before")
    @classmethod
    def _by_type(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            return value
        rule_type = info.data.get("type", "below")  # without a type there is a problem already
        default = _THRESHOLDS[rule_type][2]
        return default if info.field_name == "threshold" else _recover(rule_type, info.data.get("threshold", default))

    @field_validator("threshold")
    @classmethod
    def _makes_sense(cls, value: float, info: ValidationInfo) -> float:
        if "type" in info.data:
            least, most, _ = _THRESHOLDS[info.data["type"]]
            if not least <= value <= most:
                raise ValueError(f"write a number from {least:g} to {most:g}")
        return value

    @field_validator("recover")
    @classmethod
    def _keeps_clear(cls, value: float, info: ValidationInfo) -> float:
        if not {"type", "threshold"} <= info.data.keys():  # they have a problem of their own
            return value
        threshold, upward = info.data["threshold"], info.data["type"] in ("below", "silence")
        if value < threshold if upward else value > threshold:
            raise ValueError(
                f"write a recover that is {'above' if upward else 'below'} the threshold ({threshold:g}): "
                "with this one the alert would be over while it still fires"
            )
        return value


class Target(_Section):
    """Where alerts go: `console`, or an Apprise URL, given here, by `${NAME}`, or in a file. A plain string is `{url: ...}`."""

    url: str | None = Field(default=None, repr=False)
    url_file: File | None = None
    name: str = Field(default="", max_length=100)

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


class Notify(_Section):
    """Delivery of alerts."""

    targets: tuple[Target, ...] = (Target(url="console"),)
    max_attempts: int = Field(default=12, ge=1, le=1000)
    retry_after: Seconds = 60.0
    """Wait before the second attempt; it doubles each time, up to six hours."""
    link_posts: int = Field(default=3, ge=0, le=10)


class Privacy(_Section):
    """What is published and how authors are hidden."""

    min_authors: int = Field(default=5, ge=2, le=100_000)
    """Fewer distinct authors than this on a day is "insufficient data", never a number."""
    author_key_file: File | None = None
    """32 random bytes that author names are hashed with; without it `<database>.key`, made at first use, mode 0600."""
    excerpt: int = Field(default=200, ge=0, le=1000)
    """Characters of a post that an alert may quote; 0 quotes none."""


class Schedule(_Section):
    """How often each step runs in `forum-monitor run`, and how long it may take."""

    collect: Seconds = 1800.0
    understand: Seconds = 300.0
    trend: Seconds = 300.0
    alert: Seconds = 300.0
    deliver: Seconds = 60.0
    time_limit: Seconds = 3600.0


class Config(_Section):
    """The whole of config.yaml. Relative paths are relative to the file's own folder."""

    database: File = Path("monitor.db")
    contact: str = Field(default="", max_length=200)
    """E-mail address or page that site owners see in our user agent; without it only loopback hosts are crawled."""
    teams: tuple[Team, ...] = ()
    sources: tuple[Source, ...] = ()
    scorer: Scorer = Scorer()
    rules: tuple[Rule, ...] = ()
    notify: Notify = Notify()
    privacy: Privacy = Privacy()
    schedule: Schedule = Schedule()
    path: Path = Field(default=Path(FILE_NAME), exclude=True)
    """Where this was read from; not a key of the file."""

    @field_validator("contact")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():  # it becomes a header
            raise ValueError("write an e-mail address or the address of a page, on one line")
        return value

    @property
    def author_key_file(self) -> Path:
        return self.privacy.author_key_file or self.database.with_name(self.database.name + ".key")

    def source(self, name: str) -> Source | None:
        return next((source for source in self.sources if source.name == name), None)

    def team(self, team_id: str) -> Team | None:
        return next((team for team in self.teams if team.id == team_id), None)


def find(given: str | None) -> Path:
    """The file to read: `given` (--config), else $FORUM_MONITOR_CONFIG, else ./config.yaml. ConfigError when there is none."""
    for key, name in (("--config", given), (f"${ENVIRONMENT_KEY}", os.environ.get(ENVIRONMENT_KEY))):
        if name:
            path = Path(os.path.expanduser(name)).absolute()
            if path.exists() and not path.is_dir():
                return path
            wrong = "is a folder" if path.is_dir() else "no such file"
            raise ConfigError(str(path), [Problem(key, wrong, "Name a file that exists, or write one with `forum-monitor init`")])
    path = Path(FILE_NAME).absolute()
    if path.is_file():
        return path
    remedy = "Write one with `forum-monitor init`, or name one with --config"
    raise ConfigError(FILE_NAME, [Problem(FILE_NAME, "is not in this folder", remedy)])


_LISTS: dict[Location, type[BaseModel]] = {("teams",): Team, ("sources",): Source, ("rules",): Rule, ("notify", "targets"): Target}
_Items = dict[int, Any]
"""The usable items of a list, by their place in the file."""


def load(path: Path) -> tuple[Config, list[Problem]]:
    """Read `path`: what is usable, and every problem found.

    Raises ConfigError when nothing can be used: an unreadable file, broken YAML, a broken setting that every step
    needs, or no team left to watch. The environment is read for `${NAME}`.
    """
    raw = read(path)
    problems: list[Problem] = []
    settings = expand(raw, (), problems)
    lists = {str(location[-1]): _items(settings, location, model, raw, problems) for location, model in _LISTS.items()}
    if "path" in settings:  # a field of Config, but not a key of the file
        problems.append(Problem("path", "is not a setting", near("path", Config.model_fields.keys() - {"path"})))
    config = None
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        problems += _fresh(problems, error, Config, raw)
    _cross_check(lists, raw, problems)
    if not lists["teams"]:
        problems.append(Problem("teams", "no usable team is left", "Name at least one team, with an id and a name"))
    names = tuple(key_path(location) for location in _LISTS)
    if config is None or not lists["teams"] or any(not f"{problem.key}.".startswith(tuple(f"{n}." for n in names)) for problem in problems):
        raise ConfigError(str(path), problems)
    if written(raw, ("notify", "targets")) is None:
        lists["targets"] = dict(enumerate(config.notify.targets))
    return _placed(config, lists, path), problems


def _fresh(problems: list[Problem], error: ValidationError, model: type[BaseModel], raw: Any, prefix: Location = ()) -> list[Problem]:
    """The problems of a validation, but for the keys that have one already: a variable that is not set."""
    known = {problem.key for problem in problems}
    return [problem for details in error.errors() if (problem := in_words(details, model, raw, prefix)).key not in known]


def _items(settings: Any, location: Location, model: type[BaseModel], raw: Any, problems: list[Problem]) -> _Items:
    """Take a list out of `settings`: its usable items. The others become problems."""
    for part in location[:-1]:
        settings = settings.get(part) if isinstance(settings, dict) else None
    found = settings.pop(location[-1], None) if isinstance(settings, dict) else None
    if not isinstance(found, list | None):
        problems.append(Problem(key_path(location), f"is {kind(found)}, not a list", "Begin each entry with a dash"))
    usable = {}
    for index, item in enumerate(found if isinstance(found, list) else []):
        place: Location = (*location, index)
        unset = any(f"{problem.key}.".startswith(f"{key_path(place)}.") for problem in problems)
        try:
            value = model.model_validate(item)
        except ValidationError as error:
            problems += _fresh(problems, error, model, raw, place)
        else:
            if not unset:
                usable[index] = value
    return usable


def _placed(config: Config, lists: Mapping[str, _Items], path: Path) -> Config:
    """The settings with their usable items, and with relative paths made relative to the file's folder."""
    base = path.parent
    targets = (t.model_copy(update={"url_file": base / t.url_file}) if t.url_file else t for t in lists["targets"].values())
    key_file, model = config.privacy.author_key_file, Path(os.path.expanduser(config.scorer.model))
    update = {
        "path": path,
        "database": base / config.database,
        "notify": config.notify.model_copy(update={"targets": tuple(targets)}),
        "privacy": config.privacy.model_copy(update={"author_key_file": base / key_file if key_file else None}),
        **{name: tuple(lists[name].values()) for name in ("teams", "sources", "rules")},
    }
    if config.scorer.model != "embedded" and (base / model).is_dir():
        update["scorer"] = config.scorer.model_copy(update={"model": str(base / model)})
    return config.model_copy(update=update)


def warnings(config: Config) -> list[str]:
    """Sentences on what is allowed but will surprise: nothing here stops a step."""
    found = []
    outward = [source.name for source in config.sources if source.enabled and not is_loopback_only(source)]
    if outward and not config.contact:
        found.append(
            f"contact is empty, so {', '.join(outward)} will not be crawled: "
            "write an e-mail address or a page where a site's owner can reach you"
        )
    if not config.rules:
        found.append("rules is empty, so no alert will ever go out: copy one from the shipped config.yaml (`forum-monitor init`)")
    if not config.notify.targets:
        found.append("notify.targets has no usable target, so alerts are kept in the database and go nowhere: write at least console")
    return found


def is_loopback_only(source: Source) -> bool:
    """Whether every URL that the source asks is on this machine; an address that its options leave out is the public site's."""
    urls = [value for location, value in _strings(source.options, ()) if "://" in value and location != ("site",)]
    public = source.type == "hackernews" and not source.options.keys() >= {"api", "items"}
    return bool(urls) and not public and all(_host(url) in ("localhost", "127.0.0.1", "::1") for url in urls)


def _host(url: str) -> str:
    """The host of an http or https URL; empty where it is none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") and parts.port != 0 else ""
    except ValueError:
        return ""


def _strings(value: object, location: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _strings(item, (*location, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _strings(item, (*location, index))


def _cross_check(lists: dict[str, _Items], raw: Any, problems: list[Problem]) -> None:
    """Take out of `lists` what contradicts the rest, and say so; what it names that is not there is left out alone."""

    def wrong(location: Location, what: str, remedy: str) -> None:
        problems.append(Problem(key_path(location), what, remedy))

    def unknown(location: Location, word: str, name: str, key: str, known: Iterable[str]) -> None:
        """`word` is no `key` of the list `name`: it was left out, or it never was there."""
        items = written(raw, (name,))
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and item.get(key) == word:
                return wrong(location, f"is {shown(word)}, which is left out for a mistake of its own", f"Correct {name}.{index} first")
        return wrong(location, f"is {shown(word)}, which is no {key} in {name}", near(word, known))

    for place, key in zip(_LISTS, ("id", "name", "id", "key"), strict=True):
        items, first = lists[str(place[-1])], dict[str, int]()
        for index, item in list(items.items()):
            if (other := first.setdefault(getattr(item, key), index)) != index:
                named = "name" if key == "key" else key
                wrong((*place, index, named), f"stands in {key_path((*place, other))} too, which is used", "Give each its own")
                del items[index]
    teams, sources, rules = lists["teams"], lists["sources"], lists["rules"]
    _check_parents(teams, wrong, unknown)
    taken: dict[tuple[str, bool], int] = {}
    for index, team in teams.items():
        for alias in team.aliases:
            name = alias.text if alias.case else alias.text.casefold()
            if not alias.needs and (other := taken.setdefault((name, alias.case), index)) != index:
                what = f"{shown(alias.text)} is an alias of teams.{other} too, which gets it"
                wrong(("teams", index, "aliases"), what, "Keep it with one team, or tell them apart with needs")
    for index, source in list(sources.items()):
        if source.type not in spider_types():
            wrong(("sources", index, "type"), f"is {shown(source.type)}, and there is no such spider", near(source.type, spider_types()))
            del sources[index]
        if source.enabled and source.terms is None:
            remedy = "Read the site's terms, then add terms: {read_on: 2026-01-31, by: your name, allows: what they allow}"
            wrong(("sources", index, "terms"), "is missing, so the source is not crawled", remedy)
            sources.pop(index, None)
        for location, text in _strings(source.options, ("sources", index, "options")):
            if ("://" in text or not _ADDRESSES.isdisjoint(location[3:])) and not _host(text):
                wrong(location, f"is {shown(written(raw, location))}", "Write an address that begins with https:// or http://")
                sources.pop(index, None)
    ids, names = {team.id for team in teams.values()}, {source.name for source in sources.values()}
    for index, rule in list(rules.items()):
        for number, team_id in enumerate(rule.teams):
            if team_id != ALL and team_id not in ids:
                unknown(("rules", index, "teams", number), team_id, "teams", "id", ids)
        kept = tuple(team_id for team_id in rule.teams if team_id == ALL or team_id in ids)
        rules[index] = rule.model_copy(update={"teams": kept})
        if not rule.teams and rule.type != "silence":
            wrong(("rules", index, "teams"), "is an empty list", 'Name teams, or write "*" for each')
        if rule.source != ALL and rule.source not in names:
            unknown(("rules", index, "source"), rule.source, "sources", "name", names)
        if (rule.source != ALL and rule.source not in names) or (not kept and (rule.teams or rule.type != "silence")):
            del rules[index]


def _check_parents(teams: _Items, wrong: Callable[[Location, str, str], None], unknown: Callable[..., None]) -> None:
    """A parent that is not there, or that leads back to its own child, is none."""
    parents = {team.id: team.parent for team in teams.values()}
    for index, team in teams.items():
        if team.parent is None:
            continue
        if team.parent not in parents:
            unknown(("teams", index, "parent"), team.parent, "teams", "id", parents)
        else:
            seen, above = set[str](), team.parent
            while above in parents and above not in seen and above != team.id:
                seen.add(above)
                above = parents[above]
            if above != team.id:
                continue
            wrong(
                ("teams", index, "parent"), f"is {shown(team.parent)}, and so the team is a part of itself", "Take one of these parents out"
            )
        teams[index] = team.model_copy(update={"parent": None})


_ADDRESSES = {"url", "urls", "api", "items", "site", "feeds"}
"""Options of spiders that hold addresses."""


def spider_types() -> list[str]:
    """The types that a source may have: the spiders that are there."""
    spec = importlib.util.find_spec("spiders")
    folders = list(spec.submodule_search_locations or []) if spec else []
    own = {"__init__", "settings", "base", "storing", "politeness"}
    return sorted({path.stem for folder in folders for path in Path(folder).glob("*.py")} - own)


def shipped() -> str:
    """The text of the config.yaml that comes with the program: from the installed package, else the checkout's root."""
    here = Path(__file__).parent
    for path in (here / FILE_NAME, here.parent / FILE_NAME):
        if path.is_file():
            return path.read_text("utf-8")
    raise ConfigError(
        FILE_NAME, [Problem(FILE_NAME, "is not part of this installation", "Install again: pip install employee-forum-monitor")]
    )
