"""config.yaml read into typed settings, every mistake reported at once, each with its key and its remedy.

The promise: one broken team, source, rule or target never takes the others with it. `load` returns what is usable
together with the problems; only a file that cannot be read at all, that breaks a setting which every step needs, or
that leaves nothing to watch, is an error. Secrets stand in the environment (`${NAME}`) or in a file (`url_file`), and
are never printed.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from monitor.conditions import Rule, RuleType, false_alarms
from monitor.errors import ConfigError, Problem
from monitor.problems import Location, expand, in_words, key_path, kind, near, read, shown, written
from monitor.records import ALL
from monitor.scoring import LOOPBACK, Price, Scorer
from monitor.section import seconds
from monitor.settings import Alias, Config, Digest, Notify, Privacy, Schedule, Source, Target, Team, Terms

__all__ = [
    "ENVIRONMENT_KEY", "FILE_NAME", "Alias", "Config", "Digest", "Notify", "Price", "Privacy", "Rule", "RuleType", "Schedule", "Scorer",
    "Source", "Target", "Team", "Terms", "false_alarms", "find", "is_loopback_only", "load", "seconds", "shipped", "spider_types",
    "warnings",
]  # fmt: skip

ENVIRONMENT_KEY = "FORUM_MONITOR_CONFIG"
FILE_NAME = "config.yaml"


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


_LISTS: dict[Location, type[BaseModel]] = {
    ("teams",): Team, ("sources",): Source, ("rules",): Rule, ("notify", "targets"): Target, ("notify", "digest"): Digest,
}  # fmt: skip
_Items = dict[int, Any]
"""The usable items of a list, by their place in the file."""


def load(path: Path, *, rules: Path | None = None) -> tuple[Config, list[Problem]]:
    """Read `path`: what is usable, and every problem found. With `rules`, those of that file stand in place of its own.

    Raises ConfigError when nothing can be used: an unreadable file, broken YAML, a broken setting that every step
    needs, or no team left to watch. The environment is read for `${NAME}`.
    """
    raw = read(path)
    if rules:
        raw["rules"] = read(rules).get("rules")
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
    if written(raw, ("notify", "targets")) is None:
        lists["targets"] = dict(enumerate(Notify().targets))
    _cross_check(lists, raw, problems)
    if not lists["teams"]:
        problems.append(Problem("teams", "no usable team is left", "Name at least one team, with an id and a name"))
    names = tuple(key_path(location) for location in _LISTS)
    if config is None or not lists["teams"] or any(not f"{problem.key}.".startswith(tuple(f"{n}." for n in names)) for problem in problems):
        raise ConfigError(str(path), problems)
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
    folder = config.notify.templates
    notify = {"targets": tuple(targets), "digest": tuple(lists["digest"].values()), "templates": base / folder if folder else None}
    update = {
        "path": path,
        "database": base / config.database,
        "notify": config.notify.model_copy(update=notify),
        "privacy": config.privacy.model_copy(update={"author_key_file": base / key_file if key_file else None}),
        **{name: tuple(lists[name].values()) for name in ("teams", "sources", "rules")},
    }
    if config.scorer.model != "embedded" and config.scorer.endpoint is None and (base / model).is_dir():
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
    scorer = config.scorer
    if not (scorer.stays_here or scorer.tokens_per_day or scorer.spend_per_day):
        found.append(
            f"scorer.endpoint has no limit per day, and its first run reads every stored post: {scorer.host} may charge for all of them; "
            "write tokens_per_day, or price and spend_per_day"
        )
    for section, step, model in (("scorer", "understand", scorer), ("review", "review --ask", config.review or Scorer())):
        if model.key_env and not os.environ.get(model.key_env):
            found.append(f"{section}.key_env names {model.key_env}, which is not set here: set it for what runs `{step}`")
        if not model.stays_here and (model.endpoint or "").startswith("http:"):
            found.append(f"{section}.endpoint sends passages of posts, and the key, to {model.host} unencrypted: write https:// if it can")
    return found


def is_loopback_only(source: Source) -> bool:
    """Whether every URL that the source asks is on this machine; an address that its options leave out is the public site's."""
    asked = _ASKED.get(source.type, ())
    urls = [value for location, value in _strings(source.options, ()) if "://" in value and (location != ("site",) or "site" in asked)]
    public = not source.options.keys() >= set(asked)
    return bool(urls) and not public and all(_host(url) in LOOPBACK for url in urls)


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

    for place, key in zip(_LISTS, ("id", "name", "id", "key"), strict=False):  # digests have no name
        items, first = lists[str(place[-1])], dict[str, int]()
        for index, item in list(items.items()):
            if (other := first.setdefault(getattr(item, key), index)) != index:
                named = "name" if key == "key" else key
                wrong((*place, index, named), f"stands in {key_path((*place, other))} too, which is used", "Give each its own")
                del items[index]
    teams, sources, rules = lists["teams"], lists["sources"], lists["rules"]
    _check_digests(lists, wrong, unknown)
    _check_parents(teams, wrong, unknown)
    taken: dict[tuple[str, bool], int] = {}
    for index, team in teams.items():
        for alias in team.aliases:
            name = alias.text if alias.case else alias.text.casefold()
            if not alias.needs and (other := taken.setdefault((name, alias.case), index)) != index:
                what = f"{shown(alias.text)} is an alias of teams.{other} too, which gets it"
                wrong(("teams", index, "aliases"), what, "Keep it with one team, or tell them apart with needs")
    types = spider_types()
    for index, source in list(sources.items()):
        if source.type not in types:
            wrong(("sources", index, "type"), f"is {shown(source.type)}, and there is no such spider", near(source.type, types))
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
        if rule.against is not None and rule.against not in ids:
            unknown(("rules", index, "against"), rule.against, "teams", "id", ids)
        if rule.type == "overtakes" and rule.against is None:
            wrong(("rules", index, "against"), "is missing", "Name the team that the others are compared with")
        if rule.type == "overtakes" and rule.against not in ids:
            del rules[index]
            continue
        if not rule.teams and rule.type != "silence":
            wrong(("rules", index, "teams"), "is an empty list", 'Name teams, or write "*" for each')
        if rule.source != ALL and rule.source not in names:
            unknown(("rules", index, "source"), rule.source, "sources", "name", names)
        if (rule.source != ALL and rule.source not in names) or (not kept and (rule.teams or rule.type != "silence")):
            del rules[index]


def _check_digests(lists: Mapping[str, _Items], wrong: Callable[[Location, str, str], None], unknown: Callable[..., None]) -> None:
    """A digest goes to targets that are there, and no target gets two of one length."""
    targets, first = [target.key for target in lists["targets"].values()], dict[tuple[str, str], int]()
    for index, digest in list(lists["digest"].items()):
        place: Location = ("notify", "digest", index)
        for number, name in enumerate(digest.to):
            if name not in targets:
                unknown((*place, "to", number), name, "notify.targets", "name", targets)
        known = [name for name in digest.to or targets if name in targets]
        taken = {name: other for name in known if (other := first.setdefault((digest.every, name), index)) != index}
        for name, other in taken.items():
            what = f"sends {shown(name)} a second digest of each {digest.every}, beside {key_path((*place[:-1], other))}, which is used"
            wrong((*place, "to"), what, "Name each target in one of them")
        if kept := tuple(name for name in known if name not in taken):
            lists["digest"][index] = digest.model_copy(update={"to": kept})
        else:
            del lists["digest"][index]


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


_ASKED = {"hackernews": ("api", "items"), "reddit": ("api", "site")}
"""Types that ask at several addresses, each of which is a public one unless the options say otherwise."""
_ADDRESSES = {"url", "urls", "api", "items", "site", "feeds"}
"""Options of spiders that hold addresses."""


def spider_types() -> list[str]:
    """The types that a source may have: the files in spiders/ that hold a spider of their own name."""
    spec = importlib.util.find_spec("spiders")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = (path for folder in folders for path in Path(folder).glob("*.py"))
    return sorted(path.stem for path in files if f'\n    name = "{path.stem}"\n' in path.read_text("utf-8"))


def shipped() -> str:
    """The text of the config.yaml that comes with the program: from the installed package, else the checkout's root."""
    here = Path(__file__).parent
    for path in (here / FILE_NAME, here.parent / FILE_NAME):
        if path.is_file():
            return path.read_text("utf-8")
    raise ConfigError(
        FILE_NAME, [Problem(FILE_NAME, "is not part of this installation", "Install again: pip install employee-forum-monitor")]
    )
