"""alert: daily trends and rules into alert states, one persisted state machine per rule, team and source.

The promise: an alert is told once. A round stores every step, event and message of its own in one transaction; the
same round again, after a kill or a restart, finds nothing left to do. Rules are judged on each complete day, in order;
a day that still goes on may begin an alert, and never ends one.

    normal -- breach --> pending -- `for` days in a row --> firing -- recovery, `recover_for` days in a row --> resolved
       ^--- no breach ------'                                                                                      |
       ^--- the next complete day, when it is not a breach again --------------------------------------------------'
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from monitor import explain, rules, stopped
from monitor.config import Config, Rule
from monitor.errors import MonitorError
from monitor.privacy import suppressed
from monitor.records import ALL, SOURCE_STOPPED, AlertState, DailyTrend
from monitor.rules import Verdict, shift
from monitor.rules.overtakes import difference
from monitor.store import Step, Store

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""rule, team, source: what has one state."""

Event = tuple[str, str, dt.date, str]
"""before, after, day, reason: a change of state."""

OPEN_DAY_LOOKS = 10
"""How many independent looks the many looks at a day that goes on are worth, and a margin."""

_BREACHED = ("pending", "firing")
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
    if new.name == "firing" and rule.for_ > verdict.days:
        return f"{verdict.reason} That is so for {rule.for_} days, since {new.since}."
    return verdict.reason


def judge(state: State, days: Sequence[DailyTrend], rule: Rule, *, complete: bool) -> Verdict:
    """What the rule says of the last of `days`; while a breach goes on, its baseline stays the one from before.

    A day that is not complete is looked at again and again, and each look could be the one that errs: a breach must be
    as many times less likely by chance as OPEN_DAY_LOOKS says (Armitage, McPherson & Rowe, J. R. Stat. Soc. A 132 (1969) 235).
    """
    if not complete:
        rule = rule.model_copy(update={"confidence": 1 - (1 - rule.confidence) / OPEN_DAY_LOOKS})
    return rules.check(days, rule, began=state.since if state.name in _BREACHED else None)


def follow(state: State, days: Sequence[DailyTrend], rule: Rule, *, open_day: dt.date) -> Iterator[tuple[State, Event | None, Verdict]]:
    """What each day of `days` not yet checked does to `state`. Days from `open_day` on are not complete."""
    for index, day in enumerate(days):
        complete = day.day < open_day
        if (state.checked_day is not None and day.day <= state.checked_day) or (not complete and rule.type in _WHOLE_DAYS_ONLY):
            continue
        verdict = judge(state, days[: index + 1], rule, complete=complete)
        state, event = advance(state, verdict, day.day, rule, complete=complete)
        yield state, event, verdict


def alert(store: Store, config: Config, *, now: dt.datetime, keep_unwatched: bool = False) -> list[str]:
    """One round at `now` (aware): every rule on every series; returns a sentence for each alert that began or ended.

    Trends must be up to date. A series that is new, or was not watched for a time, begins with its last `for` complete
    days, so that nobody is told of what was over long ago. What is no longer watched is ended, and told, unless
    `keep_unwatched`. A post that comes after its day was judged changes the trend, and nothing here. Raises
    MonitorError, after all else is stored, when a rule could not be checked.
    """
    stored = _stored(store)
    series = series_of(config)
    today = now.astimezone(dt.UTC).date()
    open_days = {key: _open_day(config, key[2], now) for key in series}
    states = {}
    for key, rule in series.items():
        state = stored.get(key) or State("normal", today, None)
        states[key] = state if state.checked_day else replace(state, checked_day=open_days[key] - dt.timedelta(days=rule.for_ + 1))
    histories = _histories(store, series, states, today, config.privacy.min_authors)
    steps, failed = [] if keep_unwatched else _unwatched(stored, series, config, today), []
    steps += stopped.stopped(store, config, {key: state.name for key, state in stored.items()}, now=now)
    for key, rule in series.items():
        try:
            judged = list(follow(states[key], histories[key], rule, open_day=open_days[key]))
        except Exception as error:  # one rule that fails must not take the others with it
            failed.append(
                f"the rule {key[0]} could not be checked on {key[1]} in {key[2]} ({type(error).__name__}: {error}); the others were"
            )
            log.exception("rule %s, team %s, source %s", *key)
            continue
        # Of days without an event only the last one's state matters, and only if it is another than is stored.
        last = judged[-1:] if judged and judged[-1][0] != stored.get(key) else []
        steps += [_step(store, config, key, rule, *day) for day in [day for day in judged[:-1] if day[1]] + last]
    store.save_steps(steps, targets=[target.key for target in config.notify.targets], at=now)
    if failed:
        raise MonitorError("; ".join(failed))
    return [_sentence(config, step, step.event) for step in steps if step.event and step.event[1] in ("firing", "resolved")]


def _stored(store: Store) -> dict[Key, State]:
    return {
        key: State(
            row["state"],
            dt.date.fromisoformat(row["since"]),
            dt.date.fromisoformat(day) if (day := row["checked_day"]) else None,
            row["streak"],
        )
        for key, row in store.alert_states().items()
    }


def series_of(config: Config) -> dict[Key, Rule]:
    """Every series that the enabled rules watch. A rule without teams watches what is said in a source, whatever it is about."""
    sources = [source.name for source in config.sources if source.enabled]
    found = {}
    for rule in config.rules:
        if not rule.enabled or (rule.source != ALL and rule.source not in sources):
            continue
        teams = [team.id for team in config.teams] if ALL in rule.teams else list(rule.teams)
        teams = [team for team in teams if team != rule.against]
        found.update({(rule.id, team, rule.source): rule for team in teams})
        if not teams:
            found.update({(rule.id, ALL, source): rule for source in (sources if rule.source == ALL else [rule.source])})
    return found


def _open_day(config: Config, source: str, now: dt.datetime) -> dt.date:
    """The first day that is not complete yet."""
    return (now.astimezone(dt.UTC) - settling(config, source)).date()


def settling(config: Config, source: str) -> dt.timedelta:
    """How long after its end a day is complete: when a crawl begun after it has ended, and its posts were read."""
    waits = [
        (one.every or config.schedule.collect) + one.time_limit
        for one in config.sources
        if one.enabled and (one.name == source or (source == ALL and one.kind != "press"))
    ]
    return dt.timedelta(seconds=max(waits, default=0.0) + config.schedule.understand + config.schedule.trend)


def begins(state: State, rule: Rule, day: dt.date) -> dt.date:
    """The first day that judging a series up to `day` looks at."""
    first = min(state.since if state.name in _BREACHED else day, state.checked_day or day)
    return first - dt.timedelta(days=rule.baseline_days + rule.for_ + shift.REACH * (rule.type == "shift"))


def _histories(
    store: Store, series: Mapping[Key, Rule], states: Mapping[Key, State], today: dt.date, min_authors: int
) -> dict[Key, list[DailyTrend]]:
    """The days that each series needs, up to today. A day without a post is zeros once its source has had any post."""
    model = store.model
    first = {key: begins(states[key], rule, today) for key, rule in series.items()}
    since = min(first.values(), default=today)
    # An alert on one source beside the figures of all would tell those of a source that is withheld.
    rows = suppressed(store.trends(model=model, since=since), min_authors) if series else []
    for source in sorted({key[2] for key in series if key[1] == ALL}):
        rows += store.volumes(source, model, since)
    spoken = {(row.team, row.source, row.day): row for row in rows}
    starts: dict[tuple[bool, str], dt.date] = {}
    for row in rows:
        kind = (row.team == ALL, row.source)
        starts[kind] = min(row.day, starts.get(kind, row.day))

    @cache  # rules of one series share its days
    def days(team: str, source: str, start: dt.date) -> list[DailyTrend]:
        these = (start + dt.timedelta(days=n) for n in range((today - start).days + 1))
        return [spoken.get((team, source, day)) or DailyTrend(day, team, source, model, 0, 0, 0, False) for day in these]

    found = {}
    for key, rule in series.items():
        _, team, source = key
        start = max(first[key], starts.get((team == ALL, source), today + dt.timedelta(days=1)))
        found[key] = days(team, source, start)
        if rule.against:
            found[key] = [difference(*pair) for pair in zip(found[key], days(rule.against, source, start), strict=True)]
    return found


def _step(store: Store, config: Config, key: Key, rule: Rule, state: State, event: Event | None, verdict: Verdict) -> Step:
    """The row to be stored, with the figures and the posts of an alert that begins, and what moved it."""
    step = Step(key[0], rule.type, key[1], key[2], store.model, state.name, state.since, state.checked_day, state.streak, event)
    if event is None or event[1] != "firing":
        return step
    figures = {name: getattr(verdict, name) for name in ("value", "before", "threshold", "low", "high", "authors", "posts")}
    posts = store.evidence(key[1], key[2], store.model, state.since, event[2])
    said = store.spoken(key[1], store.model, state.since - dt.timedelta(days=rule.baseline_days), event[2])
    found = explain.explain(said, partial(store.wordings, key[1]), since=state.since, min_authors=config.privacy.min_authors, source=key[2])
    kind = "rise" if rule.type == "shift" and rule.direction == "up" else rule.type
    chosen = explain.representative(posts, kind, config.notify.link_posts)
    return replace(step, figures=figures, evidence=chosen, why=explain.sentences(found, kind))


def _unwatched(stored: Mapping[Key, State], series: Mapping[Key, Rule], config: Config, today: dt.date) -> list[Step]:
    """Steps that end what was watched and is not any more. Without a `checked_day` it begins anew should it come back."""
    steps = []
    rule_ids = {SOURCE_STOPPED, *(rule.id for rule in config.rules if rule.enabled)}
    watched = series.keys() | {(SOURCE_STOPPED, ALL, source.name) for source in config.sources if source.enabled}
    for key, state in stored.items():
        if key in watched or state.checked_day is None:
            continue
        of = f"the source {key[2]}" if key[1] == ALL else f"the team {key[1]} in the source {key[2]}"
        what = of if key[0] in rule_ids else f"the rule {key[0]}"
        reason = f"No longer watched: {what} was removed from config.yaml or switched off there. Whether it is over is not known."
        after: AlertState = "resolved" if state.name == "firing" else "normal"
        if state.name in _BREACHED:
            state, event = State(after, today, None), (state.name, after, today, reason)
        else:
            event = None
        rule, team, source = key
        steps.append(Step(rule, "", team, source, "", state.name, state.since, checked_day=None, streak=0, event=event))
    return steps


def _sentence(config: Config, step: Step, event: Event) -> str:
    team = config.team(step.team)
    subject = step.source if step.team == ALL and step.source != ALL else f"{team.name if team else step.team} in {step.source}"
    return f"{subject}: rule {step.rule} is {event[1]} on {event[2]}. {event[3]}"
