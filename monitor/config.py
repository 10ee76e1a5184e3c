"""config.yaml read into typed settings, every mistake reported at once, each with its key and its remedy.

The promise: one broken team, source, rule or target never takes the others with it. `load` returns what is usable
together with the problems; only a file that cannot be read at all, or that leaves nothing to watch, is an error.
Secrets stand in the environment (`${NAME}`) or in a file (`url_file`), and are never printed.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from monitor.errors import ConfigError, Problem
from monitor.records import ALL, Kind

ENVIRONMENT_KEY = "FORUM_MONITOR_CONFIG"
FILE_NAME = "config.yaml"
_ID = r"^[a-z0-9][a-z0-9_.-]*$"
_Item = TypeVar("_Item", bound=BaseModel)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> float:
    """A duration as people write it (`90s`, `30m`, `6h`, `1d`, or a number of seconds) in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", str(value))
        if not match:
            raise ValueError("write a duration such as 90s, 30m, 6h or 1d")
        found = float(match[1]) * _UNITS[match[2]]
    if not 0 < found <= 366 * 86400:
        raise ValueError("write a duration above 0 and of at most a year, such as 90s, 30m, 6h or 1d")
    return found


Seconds = Annotated[float, BeforeValidator(seconds)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Alias(_Section):
    """One way in which a team is named. A plain string in config.yaml is `{text: ...}`."""

    text: str = Field(min_length=1, max_length=200)
    case: bool = False
    """Match upper and lower case as written; without it both are the same."""
    needs: tuple[str, ...] = ()
    """Counts only where one of these words stands in the same post (or its thread's title)."""
    not_: tuple[str, ...] = Field(default=(), alias="not")
    """Does not count where it is part of one of these phrases."""


class Team(_Section):
    """A team that is watched. The name is itself an alias unless `aliases` holds it in another form."""

    id: str = Field(pattern=_ID)
    name: str = Field(min_length=1)
    parent: str | None = None
    aliases: tuple[Alias, ...] = ()

    @field_validator("aliases", mode="before")
    @classmethod
    def _plain_strings(cls, value: object) -> object:
        return [{"text": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _name_is_an_alias(self) -> Self:
        if self.name.casefold() not in {alias.text.casefold() for alias in self.aliases}:
            object.__setattr__(self, "aliases", (Alias(text=self.name), *self.aliases))
        return self


class Terms(_Section):
    """What a site's terms of use said, read by a person; a source without it is not crawled."""

    read_on: dt.date
    by: str = Field(min_length=1)
    allows: str = Field(min_length=1)
    note: str = ""


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
    delay: float = Field(default=1.0, ge=0, le=600)
    """Seconds between two requests to one host; a longer Crawl-delay in robots.txt wins."""
    overlap: Seconds = 3600.0
    """How far behind its cursor a crawl looks again, for posts that came late."""
    refresh: Seconds = 172800.0
    """Posts younger than this are looked at again for edits and deletions."""
    options: dict[str, Any] = Field(default_factory=dict)
    terms: Terms | None = None
    """Required of an enabled source: nothing is crawled before a person has read what its site allows."""


class Scorer(_Section):
    """The sentiment model: `embedded`, or a folder that holds model.onnx, config.json and tokenizer.json."""

    model: str = "embedded"
    threads: int = Field(default=0, ge=0, le=256)
    """Processor threads; 0 takes all cores."""
    batch: int = Field(default=32, ge=1, le=1024)


RuleType = Literal["below", "drop", "spike", "silence"]
_DEFAULTS: dict[str, tuple[float, float]] = {  # threshold, recover
    "below": (-0.3, -0.2),
    "drop": (0.25, 0.1),
    "spike": (3.0, 1.5),
    "silence": (0.1, 0.5),
}


class Rule(_Section):
    """When an alert fires and when it is over. What `threshold` and `recover` mean stands in monitor/rules/<type>.py."""

    id: str = Field(pattern=_ID)
    type: RuleType
    enabled: bool = True
    teams: tuple[str, ...] = (ALL,)
    source: str = ALL
    min_authors: int = Field(default=8, ge=1)
    for_: int = Field(default=1, ge=1, le=60, alias="for")
    """Days in a row on which the condition must hold before the alert fires."""
    threshold: float = Field(default=float("nan"), validate_default=False)
    recover: float = Field(default=float("nan"), validate_default=False)
    recover_for: int = Field(default=2, ge=1, le=60)
    """Complete days in a row on which the recovery threshold must hold before the alert is resolved."""
    baseline_days: int = Field(default=28, ge=3, le=366)
    confidence: float = Field(default=0.998, gt=0.5, lt=1)
    """How sure the statistics must be, one-sided: 0.998 is about one false alarm in two years of daily checks."""

    @field_validator("teams", mode="before")
    @classmethod
    def _one_team(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _thresholds(self) -> Self:
        threshold, recover = _DEFAULTS[self.type]
        if self.threshold != self.threshold:  # NaN: not given
            object.__setattr__(self, "threshold", threshold)
        if self.recover != self.recover:
            distance = recover - threshold
            object.__setattr__(self, "recover", recover if self.threshold == threshold else self.threshold + distance)
        easier = self.recover >= self.threshold if self.type in ("below", "silence") else self.recover <= self.threshold
        if not easier:
            raise ValueError(
                f"recover ({self.recover:g}) would resolve the alert while the threshold ({self.threshold:g}) still fires; "
                f"write a recover that is {'above' if self.type in ('below', 'silence') else 'below'} the threshold"
            )
        return self


class Target(_Section):
    """Where alerts go: `console`, or an Apprise URL, given here, by `${NAME}`, or in a file."""

    url: str | None = None
    url_file: Path | None = None
    name: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("write either url or url_file")
        return self

    @property
    def address(self) -> str:
        """The URL itself, a secret. Raises OSError when `url_file` cannot be read."""
        return self.url if self.url is not None else Path(self.url_file or "").expanduser().read_text("utf-8").strip()

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
        return f"{scheme}:{hashlib.sha256((self.url or '').encode()).hexdigest()[:8]}"


class Notify(_Section):
    """Delivery of alerts."""

    targets: tuple[Target, ...] = (Target(url="console"),)
    max_attempts: int = Field(default=12, ge=1, le=1000)
    retry_after: Seconds = 60.0
    """Wait before the second attempt; it doubles each time, up to six hours."""
    link_posts: int = Field(default=3, ge=0, le=10)


class Privacy(_Section):
    """What is published and how authors are hidden."""

    min_authors: int = Field(default=5, ge=2)
    """Fewer distinct authors than this on a day is "insufficient data", never a number."""
    author_key_file: Path | None = None
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

    database: Path = Path("monitor.db")
    contact: str = ""
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

    @property
    def author_key_file(self) -> Path:
        return self.privacy.author_key_file or self.database.with_name(self.database.name + ".key")

    def source(self, name: str) -> Source | None:
        return next((source for source in self.sources if source.name == name), None)

    def team(self, team_id: str) -> Team | None:
        return next((team for team in self.teams if team.id == team_id), None)


def find(given: str | None) -> Path:
    """The file to read: `given` (--config), else $FORUM_MONITOR_CONFIG, else ./config.yaml. ConfigError when there is none."""
    for candidate in (given, os.environ.get(ENVIRONMENT_KEY), FILE_NAME):
        if candidate:
            path = Path(candidate).expanduser()
            if path.is_file():
                return path.absolute()
            if candidate is not FILE_NAME:
                remedy = "Name a file that exists, or write one with `forum-monitor init`"
                raise ConfigError(str(path), [Problem("--config", "no such file", remedy)])
    raise ConfigError(FILE_NAME, [Problem(FILE_NAME, "not in this folder", "Write one with `forum-monitor init`, or name one with --config")])


def load(path: Path) -> tuple[Config, list[Problem]]:
    """Read `path`: what is usable, and every problem found.

    Raises ConfigError when nothing can be used: an unreadable file, broken YAML, a broken setting that every step
    needs, or no team left to watch. The environment is read for `${NAME}`.
    """
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=_UniqueKeys)  # noqa: S506: a SafeLoader
    except OSError as error:
        raise ConfigError(str(path), [Problem(path.name, f"cannot be read ({error.strerror})", "Check that the file exists and may be read")]) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Problem(path.name, "is not UTF-8 text", "Save it as UTF-8")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else path.name
        wrong = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(str(path), [Problem(where, f"is not YAML: {wrong}", "Check indentation, colons and quotes there")]) from None
    if not isinstance(raw, dict):
        raise ConfigError(str(path), [Problem(path.name, "holds no settings", "Start from a fresh one: `forum-monitor init`")])
    problems: list[Problem] = []
    raw = _expand(raw, "", problems)
    lists: dict[str, list[Any]] = {}
    for key, model in (("teams", Team), ("sources", Source), ("rules", Rule)):
        lists[key] = _items(key, raw.pop(key, None), model, problems)
    notify = raw.get("notify")
    if isinstance(notify, dict) and "targets" in notify:
        targets = notify["targets"]
        targets = [{"url": item} if isinstance(item, str) else item for item in targets] if isinstance(targets, list) else targets
        raw["notify"] = {**notify, "targets": _items("notify.targets", targets, Target, problems)}
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [_problem((), details, Config) for details in error.errors()]
        _cross_check(lists, problems)
        raise ConfigError(str(path), problems) from None
    _cross_check(lists, problems)
    if not lists["teams"]:
        problems.append(Problem("teams", "no usable team is left", "Name at least one team, with an id and a name"))
        raise ConfigError(str(path), problems)
    base = path.parent
    privacy = config.privacy
    if privacy.author_key_file is not None:
        privacy = privacy.model_copy(update={"author_key_file": base / privacy.author_key_file.expanduser()})
    update = {**{key: tuple(value) for key, value in lists.items()}, "path": path, "privacy": privacy}
    return config.model_copy(update={**update, "database": base / config.database.expanduser()}), problems


def warnings(config: Config) -> list[str]:
    """Sentences on what is allowed but will surprise: nothing here stops a step."""
    found = []
    outward = [source.name for source in config.sources if source.enabled and not is_loopback_only(source)]
    if outward and not config.contact:
        found.append(
            f"contact is empty, so {', '.join(outward)} will not be crawled: write an e-mail address or a page where a site's owner can reach you"
        )
    if not config.rules:
        found.append("rules is empty, so no alert will ever go out: copy one from the shipped config.yaml (`forum-monitor init`)")
    return found


def is_loopback_only(source: Source) -> bool:
    """Whether every URL in the source's options is on this machine; a source without any goes to its site."""
    urls = [value for value in _strings(source.options) if "://" in value]
    return bool(urls) and all((urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1") for url in urls)


def _strings(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error: PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _expand(value: Any, key: str, problems: list[Problem]) -> Any:
    """`${NAME}` and `${NAME:-default}` in every string replaced from the environment; what is unset is a problem."""
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            found = os.environ.get(match[1], match[2])
            if found is None:
                problems.append(
                    Problem(key, f"the environment variable {match[1]} is not set", f"Set it, or write ${{{match[1]}:-a default}}")
                )
                return match[0]
            return found

        return _VARIABLE.sub(replace, value)
    if isinstance(value, dict):
        return {name: _expand(item, f"{key}.{name}".lstrip("."), problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{key}.{index}", problems) for index, item in enumerate(value)]
    return value


def _items(key: str, raw: object, model: type[_Item], problems: list[Problem]) -> list[_Item]:
    """The usable items of a list; the others become problems."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        problems.append(Problem(key, f"is {_kind(raw)}, not a list", "Begin each entry with a dash"))
        return []
    usable = []
    for index, item in enumerate(raw):
        if any(problem.key.startswith(f"{key}.{index}.") or problem.key == f"{key}.{index}" for problem in problems):
            continue  # it names an environment variable that is not set
        try:
            usable.append(item if isinstance(item, model) else model.model_validate(item))
        except ValidationError as error:
            problems += [_problem((*key.split("."), index), details, model) for details in error.errors()]
    return usable


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "empty")


def _problem(prefix: tuple[str | int, ...], details: ErrorDetails, model: type[BaseModel]) -> Problem:
    """A pydantic error in this product's words."""
    location = (*prefix, *details["loc"])
    key = ".".join(str(part) for part in location) or "(top)"
    kind, value = details["type"], details.get("input")
    context: dict[str, Any] = details.get("ctx") or {}
    if kind == "missing":
        return Problem(key, "is missing", f"Add {location[-1]}: ..." if location[-1] != "terms" else "Read the site's terms and add terms: {read_on: 2026-01-31, by: you, allows: what they allow}")
    if kind == "extra_forbidden":
        names = [field.alias or name for name, field in _fields(model, details["loc"]).items()]
        near = difflib.get_close_matches(str(location[-1]), names, n=1)
        return Problem(key, "is not a setting", f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(sorted(names))}")
    if kind == "value_error":
        return Problem(key, f"is wrong ({_shown(value)})", str(context.get("error", details["msg"])).capitalize())
    if kind == "literal_error":
        return Problem(key, f"is {_shown(value)}", f"Write one of {context.get('expected', '')}")
    if kind == "string_pattern_mismatch":
        return Problem(key, f"is {_shown(value)}", "Use lower-case letters, digits, - _ and . only")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return Problem(key, f"is {_kind(value)}", "Write key: value lines under it")
    if kind in ("list_type", "tuple_type"):
        return Problem(key, f"is {_kind(value)}, not a list", "Begin each entry with a dash")
    return Problem(key, f"is {_shown(value)}", details["msg"].replace("Input should", "It should"))


def _fields(model: type[BaseModel], location: tuple[str | int, ...]) -> Mapping[str, Any]:
    """The fields allowed where `location` points, followed through nested models."""
    fields: Mapping[str, Any] = model.model_fields
    for part in location[:-1]:
        if isinstance(part, int) or part not in fields:
            continue
        annotation = fields[part].annotation
        for candidate in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                fields = candidate.model_fields
    return fields


_SECRET = re.compile(r"://[^\s]*")


def _shown(value: object) -> str:
    """A value for a message: short, and without what stands behind a URL's scheme, which may be a password."""
    if isinstance(value, str):
        return repr(_SECRET.sub("://...", value)[:60])
    return repr(value) if isinstance(value, int | float | type(None)) else _kind(value)


def _cross_check(lists: dict[str, list[Any]], problems: list[Problem]) -> None:
    """Drop from `lists` what contradicts the rest (unknown parent, team, spider; a name used twice), and say so."""
    teams: list[Team] = lists["teams"]
    for name, key in (("teams", "id"), ("sources", "name"), ("rules", "id")):
        kept: dict[str, Any] = {}
        for item in lists[name]:
            value = getattr(item, key)
            if value in kept:
                problems.append(Problem(f"{name}: {value}", f"the {key} stands twice; the first is used", "Give each its own"))
            else:
                kept[value] = item
        lists[name] = list(kept.values())
    teams = lists["teams"]
    parents = {team.id: team.parent for team in teams}
    for index, team in enumerate(teams):
        if team.parent is None:
            continue
        seen, at = {team.id}, team.parent
        while at is not None and at in parents and at not in seen:
            seen.add(at)
            at = parents[at]
        if at is not None:
            wrong = f"parent {team.parent!r} is not a team's id" if team.parent not in parents else "its parents form a circle"
            problems.append(Problem(f"teams: {team.id}", wrong, _near(team.parent, parents)))
            teams[index] = team.model_copy(update={"parent": None})
    taken: dict[tuple[str, bool], str] = {}
    for team in teams:
        for alias in team.aliases:
            name = alias.text if alias.case else alias.text.casefold()
            if not alias.needs and taken.setdefault((name, alias.case), team.id) != team.id:
                other = taken[(name, alias.case)]
                problems.append(Problem(f"teams: {team.id}", f"the alias {alias.text!r} is also {other}'s", "Keep it with one team, or tell them apart with needs"))
    sources: list[Source] = lists["sources"]
    for source in list(sources):
        if importlib.util.find_spec(f"spiders.{source.type}") is None:
            problems.append(Problem(f"sources: {source.name}", f"there is no spider {source.type!r}", f"Use one of: {', '.join(spider_types())}"))
            sources.remove(source)
        elif source.enabled and source.terms is None:
            remedy = "Read the site's terms, then add terms: {read_on: 2026-01-31, by: your name, allows: what they allow}"
            problems.append(Problem(f"sources: {source.name}", "terms is missing, so it is not crawled", remedy))
            sources.remove(source)
    rules: list[Rule] = lists["rules"]
    ids = {team.id for team in teams}
    names = {source.name for source in sources}
    for rule in list(rules):
        unknown = [team for team in rule.teams if team != ALL and team not in ids]
        for team_id in unknown:
            problems.append(Problem(f"rules: {rule.id}", f"there is no team {team_id!r}", _near(team_id, ids)))
        if rule.source != ALL and rule.source not in names:
            problems.append(Problem(f"rules: {rule.id}", f"there is no source {rule.source!r}", _near(rule.source, names)))
            unknown.append(rule.source)
        if unknown:
            rules.remove(rule)


def _near(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known) or 'none'}"


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
    raise ConfigError(FILE_NAME, [Problem(FILE_NAME, "is not part of this installation", "Install again: pip install employee-forum-monitor")])
