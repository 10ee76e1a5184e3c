"""telling: who is told of an alert, and when it is kept: silences, severities, and one message per turn.

The promise: nothing is lost. An alert that is silenced, or that is a part of one that was told already, is kept with the
reason; if it still fires once that is over, it is told then, once. The end of what was told is always told.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from monitor.conditions import DIRECTIONS
from monitor.config import Config
from monitor.errors import InputError
from monitor.records import ALL, POSTS_UNREAD, SOURCE_STOPPED, from_text
from monitor.store import Step, Store

TURN = dt.timedelta(days=7)
"""Alerts that begin within this time of each other can tell of the same turn."""

Row = Mapping[str, Any] | sqlite3.Row
"""An alert: rule, type, team, source, day (text), value, before, severity."""


MAX_REASON = 500
"""Characters of the reason of a silence; the rest is cut off."""

SILENCED = ("rule", "team", "source")
"""What a silence can name."""


def silence(store: Store, config: Config, named: Mapping[str, str], lasts: dt.timedelta, reason: str, *, now: dt.datetime) -> int:
    """Keep alerts from being sent for a time from `now` (aware) on; returns the silence's id.

    `named` says which: the id of a rule, a team or a source by the words of SILENCED; what it leaves out is any. Raises InputError
    where that or the reason will not do.
    """
    known = silenceable(config)
    key = []
    for what in SILENCED:
        word = named.get(what) or ALL
        if word != ALL and word not in known[what]:
            raise InputError(f"there is no {what} {word!r}: known are {', '.join(known[what])}")
        key.append(word)
    if set(key) == {ALL}:
        raise InputError("name what is silenced: a team, a rule or a source")
    if not reason.strip():
        raise InputError("give a reason, for those who look at it later")
    return store.silence(*key, begins_at=now, ends_at=now + lasts, reason=" ".join(reason.split())[:MAX_REASON])


def end_silence(store: Store, silence_id: int, *, now: dt.datetime) -> None:
    """End a silence now. Raises InputError where none with this id is in force."""
    if not store.end_silence(silence_id, now):
        raise InputError(f"no silence {silence_id} is in force: `forum-monitor silence --list` shows those that are")


def silenceable(config: Config) -> dict[str, list[str]]:
    """The ids that a silence can name, by the words of SILENCED."""
    return {
        "rule": [*(rule.id for rule in config.rules), SOURCE_STOPPED, POSTS_UNREAD],
        "team": [team.id for team in config.teams],
        "source": [source.name for source in config.sources],
    }


def addressed(store: Store, config: Config, steps: Sequence[Step], *, now: dt.datetime) -> list[Step]:
    """The steps of a round, parents' before their children's, with who is told of each alert that begins, or why nobody is."""
    silences = store.silences(now)
    told: list[Row] = [row for row in store.firing_alerts() if row["untold"] is None]
    found: dict[int, Step] = {}
    parts: dict[tuple[str, str, str], list[str]] = {}
    for number, step in sorted(enumerate(steps), key=lambda numbered: len(_ancestors(config, numbered[1].team))):
        if step.told:
            told = [row for row in told if _key(row) != step.key]
        if step.begins and step.event:
            row = {name: getattr(step, name) for name in ("rule", "type", "team", "source", "severity")}
            row |= {"day": step.event[2].isoformat(), "value": None, "before": None, **(step.figures or {})}
            why, root = _kept(row, silences, told, config)
            if root:
                parts.setdefault(_key(root), []).append(f"rule {step.rule} on {subject(config, step.team, step.source)}")
            if why is None:
                told.append(row)
            step = replace(step, targets=receivers(config, step.severity), untold=why, part_of=_key(root) if root else None)
        found[number] = step
    return [_with_parts(step, parts.get(step.key, [])) for step in found.values()]


def _with_parts(step: Step, parts: Sequence[str]) -> Step:
    if not (parts and step.begins and step.event and step.untold is None):
        return step
    before, after, day, reason = step.event
    return replace(step, event=(before, after, day, f"{reason} The same turn also sets off {', '.join(parts)}, which is not told apart."))


def remind(store: Store, config: Config, *, now: dt.datetime) -> list[str]:
    """Tell what was kept and still fires, where nothing stands in its way any more, and what has fired for `notify.repeat` since it was
    told; a sentence for each."""
    silences = store.silences(now)
    rows = store.firing_alerts()
    told: list[Row] = [row for row in rows if row["untold"] is None]
    said = []
    for row in rows:
        targets = receivers(config, row["severity"])
        what = f"{subject(config, row['team'], row['source'])}: rule {row['rule']}"
        if row["untold"] is not None:
            why, _ = _kept(row, silences, told, config, part_of=row["part_of"])
            if why is None:
                told.append(row)
                if store.tell(row["id"], targets, now):
                    said.append(f"{what} still fires, and is told now.")
            elif why != row["untold"]:
                store.keep_untold(row["id"], why)
        elif config.notify.repeat and row["told_at"] and not _silenced(row, silences):
            every = dt.timedelta(seconds=config.notify.repeat)
            reason = f"Still firing, since {row['day']}. Then: {row['reason']}"
            if from_text(row["told_at"]) + every <= now and store.tell_again(row["id"], targets, reason, now, every=every):
                said.append(f"{what} still fires, and is told again.")
    return said


def subject(config: Config, team_id: str, source: str) -> str:
    """What an alert is on: `Meta in *`, or the source where it is on one as a whole."""
    if team_id == ALL:
        return "All sources" if source == ALL else source
    team = config.team(team_id)
    return f"{team.name if team else team_id} in {source}"


def receivers(config: Config, severity: str | None) -> list[str]:
    """The keys of the targets that take alerts of a severity; all, where none does, so that no alert goes nowhere."""
    found = [target.key for target in config.notify.targets if not target.severities or severity in target.severities]
    return found or [target.key for target in config.notify.targets]


def _kept(
    row: Row, silences: Sequence[sqlite3.Row], told: Sequence[Row], config: Config, *, part_of: int | None = None
) -> tuple[str | None, Row | None]:
    """Why nobody is told of an alert now, as a sentence, and the alert that is told in its place."""
    silence = _silenced(row, silences)
    if silence:
        return f"Silence {silence['id']}, until {silence['ends_at']}: {silence['reason']}", None
    takes = set(receivers(config, row["severity"]))
    for root in told:
        of = subject(config, root["team"], root["source"])
        same = part_of is not None and "id" in root.keys() and root["id"] == part_of  # noqa: SIM118 (a sqlite3.Row iterates over values)
        if same or (one_turn(row, root, config) and takes <= set(receivers(config, root["severity"]))):
            return f"A part of the alert {root['rule']} on {of} of {root['day']}.", root
    return None, None


def one_turn(one: Row, other: Row, config: Config) -> bool:
    """Whether two alerts tell of the same turn: a team by two rules, or a team and one above it; within TURN; not up and down."""
    if ALL in (one["team"], other["team"]):
        related = one["team"] == other["team"] and one["source"] == other["source"] != ALL
    else:
        related = one["team"] in _ancestors(config, other["team"]) or other["team"] in _ancestors(config, one["team"])
    apart = abs(dt.date.fromisoformat(one["day"]) - dt.date.fromisoformat(other["day"]))
    return related and apart <= TURN and _direction(one) * _direction(other) >= 0


def _direction(row: Row) -> int:
    """+1 for an alert on a rise, -1 on a fall, 0 on neither."""
    if row["type"] == "shift" and row["value"] is not None and row["before"] is not None:
        return 1 if row["value"] > row["before"] else -1
    return DIRECTIONS.get(row["type"], 0)


def _ancestors(config: Config, team: str) -> list[str]:
    """A team and all above it, upward."""
    found, above = list[str](), team
    while above:
        found.append(above)
        parent = config.team(above)
        above = parent.parent or "" if parent else ""
    return found


def _silenced(row: Row, silences: Iterable[sqlite3.Row]) -> sqlite3.Row | None:
    return next((one for one in silences if all(one[name] in (ALL, row[name]) for name in ("rule", "team", "source"))), None)


def _key(row: Row) -> tuple[str, str, str]:
    return row["rule"], row["team"], row["source"]
