"""A config.yaml to begin with, made of the shipped one and a few answers, and what is added to one later. Pure: text in, text out."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monitor import amend
from monitor.config import Team
from monitor.errors import InputError
from monitor.section import ID

_SEARCHING = ("hackernews", "bluesky")
"""Types of sources that find posts by search words, their option `queries`: a team that is in none of them is not found there."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a person has read in a site's terms."""

    allows: str
    by: str
    on: dt.date


@dataclass(frozen=True, slots=True)
class NewTeam:
    """A team to be watched that is not among those shipped."""

    id: str
    name: str
    aliases: Sequence[str] = ()
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class NewSource:
    """A place to crawl; without `terms` it stays off."""

    name: str
    type: str
    options: Mapping[str, Any]
    terms: Read | None
    kind: str = "voice"


def of_name(name: str) -> str:
    """An id made of a name: `Acme AI` is `acme-ai`. InputError where nothing of it can stand in one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    found = re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")
    if not found:
        raise InputError(f"no id can be made of {name!r}: give one of small letters, digits and - with --id")
    return found


def of_address(url: str, taken: Collection[str]) -> str:
    """A name for the source at an address: its host, with a number where that is taken. InputError where it is no web address."""
    try:
        parts = urlsplit(url)
        host, right = (parts.hostname or "").removeprefix("www."), parts.scheme in ("http", "https")
    except ValueError:
        host, right = "", False
    if not host or not right:
        raise InputError(f"{url!r} is no address of the web: write one that begins with https:// or http://")
    base = re.sub(r"[^a-z0-9.-]+", "-", host).strip("-.") or "source"
    return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)


def variable(name: str) -> str:
    """The name of an environment variable, however it was written. InputError for an address, which may be a secret."""
    found = re.fullmatch(r"\$?\{?([A-Za-z_][A-Za-z0-9_]*)\}?", name.strip())
    if not found:
        raise InputError(
            "name the environment variable that holds the address, since an address may hold a password, which has no place in "
            "config.yaml: export ALERT_URL='mailto://...', then write ALERT_URL here"
        )
    return found[1]


def shipped_team(teams: Sequence[Team], word: str) -> Team | None:
    """The shipped team that a word names by its id or name; None where it names another. InputError where it looks mistyped."""
    known = {name.casefold(): team for team in teams for name in (team.id, team.name)}
    if word.casefold() in known:
        return known[word.casefold()]
    if near := difflib.get_close_matches(word.casefold(), known, n=1, cutoff=0.8):
        raise InputError(
            f"there is no team {word!r} among those shipped: did you mean {known[near[0]].id}? "
            "If it is another one, take it in afterwards with `forum-monitor add team`"
        )
    return None


def drafted(
    text: str, teams: Sequence[Team], *, contact: str = "", watched: Sequence[Team | NewTeam] = (), language: str | None = None
) -> str:
    """The shipped `text` with a contact, the language of pages, and the teams `watched` alone: of its own, `teams`, and new ones.

    Parents stay, since they take what their children do not. Rules on teams that go are taken out too, and Hacker News is
    searched for the teams that are left. None to be watched are all.
    """
    if contact:
        text = amend.replaced(text, ("contact",), contact)
    if language:
        text = amend.replaced(text, ("language",), language)
    if not watched:
        return text
    by_id = {team.id: team for team in teams}
    kept = {team.id for team in watched}
    for team in watched:
        above = team.parent
        while above:
            kept.add(above)
            above = by_id[above].parent if above in by_id else None
    new = [team for team in watched if isinstance(team, NewTeam)]
    for team in new:
        text = amend.appended(text, ("teams",), _team(team))
    if gone := by_id.keys() - kept:
        text = amend.without(text, ("teams",), "id", gone)
    rules = [rule["id"] for rule in amend.texts(text)["rules"] if not {*_list(rule["teams"]), rule.get("against", "*")} <= {"*", *kept}]
    if rules:
        text = amend.without(text, ("rules",), "id", rules)
    for place, queries in _searches(text):
        found = _queries(queries, [team for team in teams if team.id in kept])
        text = amend.replaced(text, place, found + [team.name for team in new])
    return text


def _queries(queries: Sequence[str], teams: Sequence[Team]) -> list[str]:
    """Those search words that name one of the teams, and the name of each team that none names."""
    aliases = {team.id: {alias.text.casefold() for alias in team.aliases} for team in teams}
    asked = {word.casefold() for word in queries}
    return [word for word in queries if any(word.casefold() in texts for texts in aliases.values())] + [
        team.name for team in teams if not asked & aliases[team.id]
    ]


def _team(team: NewTeam) -> dict[str, Any]:
    """A new team as an item of config.yaml."""
    if not re.fullmatch(ID, team.id):
        raise InputError(f"--id {team.id} cannot name a team: use small letters, digits, - _ and . only")
    item = {"id": team.id, "name": team.name, "parent": team.parent, "aliases": list(team.aliases)}
    return {key: value for key, value in item.items() if value}


def with_team(text: str, team: NewTeam) -> tuple[str, list[str]]:
    """`text` with one more team, which every source that searches is to search for; the names of those sources."""
    text = amend.appended(text, ("teams",), _team(team))
    searching = []
    for place, queries in _searches(text):
        if team.name.casefold() not in {word.casefold() for word in queries}:
            text = amend.appended(text, place, team.name)
            searching.append(str(amend.texts(text)["sources"][place[1]]["name"]))
    return text, searching


def with_source(text: str, source: NewSource) -> str:
    """`text` with one more source, off unless somebody has read its terms."""
    item: dict[str, Any] = {"name": source.name, "type": source.type}
    if source.kind != "voice":
        item["kind"] = source.kind
    if source.terms:
        item["terms"] = {"read_on": source.terms.on, "by": source.terms.by, "allows": source.terms.allows}
    else:
        item["enabled"] = False
    return amend.appended(text, ("sources",), item | {"options": dict(source.options)})


def target_name(variable: str) -> str:
    """What the target is called whose address is in a variable: ALERT_URL is `alert-url`."""
    return variable.casefold().replace("_", "-")


def with_target(text: str, name: str, severities: Sequence[str] = ()) -> str:
    """`text` with one more target, whose address is in the environment variable `name`."""
    item = {"name": target_name(name), "url": f"${{{name}}}", "severities": list(severities)}
    return amend.appended(text, ("notify", "targets"), {key: value for key, value in item.items() if value})


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _searches(text: str) -> list[tuple[amend.Place, list[str]]]:
    """Where sources write what they search for, and what that is."""
    sources = amend.texts(text).get("sources") or []
    return [
        (("sources", number, "options", "queries"), source["options"]["queries"])
        for number, source in enumerate(sources)
        if source.get("type") in _SEARCHING and (source.get("options") or {}).get("queries")
    ]
