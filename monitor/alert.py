"""alert: daily trends and rules into alert states, one persisted state machine per rule, team and source.

The promise: an alert is told once. A round stores every step, event and message of its own in one transaction; the
same round again, after a kill or a restart, finds nothing left to do. Rules are judged on each complete day, in order;
a day that still goes on may begin an alert, and never ends one.

    normal --breach--> pending --`for` days in a row--> firing --recovered `recover_for` days in a row--> resolved
       ^------------------'                                                      the next day without breach |
       '-----------------------------------------------------------------------------------------------------'
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from monitor import explain, rules
from monitor.config import Config, Rule
from monitor.errors import MonitorError
from monitor.records import ALL, AlertState, DailyTrend
from monitor.rules import Verdict
from monitor.store import Step, Store

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""rule, team, source: what has one state."""

Event = tuple[str, str, dt.date, str]
"""before, after, day, reason: a change of state."""

_WHOLE_DAYS_ONLY = ("silence",)
"""Rules whose condition holds on the morning of every day."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a rule stands for a series. `since`: in pending and firing the first day of the breach, else the day it began.

    `streak` counts complete days in a row: of breach while pending, of recovery while firing. `checked_day` is the last
    complete day judged; None in a series that is not watched now.
    """

    name: AlertState
    since: dt.date
    checked_day: dt.date | None
    streak: int = 0


def advance(state: State, verdict: Verdict, day: dt.date, rule: Rule, *, complete: bool) -> tuple[State, Event | None]:
    """The state after `verdict` on `day`, and the event if it is another than before. A day already checked changes nothing.

    A day without data leaves streaks as they are. A day that is not `complete` may begin a breach or make it fire;
    its part of a streak is not kept, since the same day is judged again.
    """
    if state.checked_day is not None and day <= state.checked_day:
        return state, None
    new = replace(state, checked_day=day) if complete else state
    if verdict.outcome == "breach" and state.name != "firing":
        counted = state.streak if state.name == "pending" else 0
        streak = max(counted + 1, verdict.days)
        since = state.since if state.name == "pending" else day - dt.timedelta(days=verdict.days - 1)
        if streak >= rule.for_:
            new = replace(new, name="firing", since=since, streak=0)
        else:
            new = replace(new, name="pending", since=since, streak=streak if complete else counted)
    elif not complete:
        return state, None
    elif state.name == "firing":
        if verdict.outcome != "no data":
            new = replace(new, streak=state.streak + 1 if verdict.outcome == "clear" else 0)
        if new.streak >= rule.recover_for:
            new = replace(new, name="resolved", since=day, streak=0)
    elif state.name == "resolved" or (state.name == "pending" and (verdict.outcome != "no data" or not state.streak)):
        new = replace(new, name="normal", since=day, streak=0)
    if new.name == state.name:
        return new, None
    return new, (state.name, new.name, day, _reason(new, verdict, rule))


def _reason(new: State, verdict: Verdict, rule: Rule) -> str:
    if new.name == "resolved":
        return f"{verdict.reason} The alert ends at {rule.recover:g}, which has held for {rule.recover_for} complete days."
    if new.name == "firing" and rule.for_ > 1:
        return f"{verdict.reason} It is so for {rule.for_} days, since {new.since}."
    return verdict.reason


def alert(store: Store, config: Config, *, now: dt.datetime) -> list[str]:
    """One round at `now` (aware): every rule on every series; returns a sentence for each alert that began or ended.

    Trends must be up to date. A series that is new, or was not watched for a time, begins with its last complete days,
    so that nobody is told of what was over long ago; what is no longer watched is ended, and told. Raises MonitorError
    after everything else is stored when a rule could not be checked.
    """
    series = _series(config)
    states = {
        key: State(cast(AlertState, row["state"]), dt.date.fromisoformat(row["since"]), _date(row["checked_day"]), row["streak"])
        for key, row in store.alert_states().items()
    }
    today = now.astimezone(dt.UTC).date()
    steps: list[Step] = []
    failed: list[str] = []
    spoken = _spoken(store, series, states, today)
    for key, rule in series.items():
        known = states.get(key)
        days = _filled(spoken, key, today)
        ended = _first_open_day(config, rule, key[2], now)
        state = known or State("normal", today, None)
        if state.checked_day is None:
            state = replace(state, checked_day=ended - dt.timedelta(days=rule.for_ + 1))
        try:
            passed = list(_follow(state, days, rule, ended))
        except Exception as error:  # noqa: BLE001: one rule's mistake must not take the others with it
            failed.append(f"rule {key[0]} could not be checked for {key[1]} in {key[2]} ({type(error).__name__}: {error}); please report this")
            log.exception("rule %s on %s in %s", *key)
            continue
        steps += [_step(store, config, key, rule, *one) for one in passed]
    steps += _ended(states, series, config, today)
    store.save_steps(steps, targets=[target.key for target in config.notify.targets], at=now)
    if failed:
        raise MonitorError("; ".join(failed))
    return [f"{step.event[1]}: {step.rule} on {step.team} ({step.event[2]}). {step.event[3]}" for step in steps if step.event and _told(step.event)]


def _told(event: Event) -> bool:
    return event[1] in ("firing", "resolved")
