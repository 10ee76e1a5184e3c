"""alert: daily trends and rules into alert states, one persisted state machine per rule, team and source.

The promise: an alert is told once. A round stores every step, event and message of its own in one transaction; the
same round again, after a kill or a restart, finds nothing left to do. Rules are judged on each complete day, in order;
a day that still goes on may begin an alert, and never ends one. Each series has a health besides, as its last complete day
could be judged: ok, no data, inhibited (a crawl or the model has not read the day whole) or error. Only a day that could be
judged moves a state.

    normal -- breach --> pending -- `for` days in a row --> firing -- recovery --> recovering -- `recover_for` days --> resolved
       ^--- no breach ------'                                  ^--- none ---------------'                                  |
       ^--- the next complete day, when it is not a breach again ----------------------------------------------------------'
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

from monitor import explain, inhibit, rules, stopped, telling
from monitor.conditions import Figure
from monitor.config import Config, Rule
from monitor.errors import MonitorError
from monitor.privacy import suppressed
from monitor.records import ALL, POSTS_UNREAD, SOURCE_STOPPED, AlertState, DailyTrend, Health
from monitor.rules import Verdict, shift, weekly
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

    @property
    def stage(self) -> AlertState:
        """The name, or `recovering` while days of recovery are counted. In between the alert fires, for all that is told of it."""
        return "recovering" if self.name == "firing" and self.streak else self.name


def advance(state: State, verdict: Verdict, day: dt.date, rule: Rule, *, complete: bool) -> tuple[State, Event | None]:
    """The state after `verdict` on `day`, and the event if it is another than before. A day already checked changes nothing.

    A day without data leaves streaks as they are. A day that is not `complete` may begin a breach or make it fire;
    its part of a streak is not kept, since the same day is judged again.
    """
    if state.checked_day is not None and day <= state.checked_day:
        return state, None
    new = State(state.name, state.since, day, state.streak) if complete else state
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


def follow(
    state: State, days: Sequence[DailyTrend], rule: Rule, *, open_day: dt.date, unread: Mapping[dt.date, str] | None = None
) -> Iterator[tuple[State, Event | None, Verdict]]:
    """What each of `days`, one after another, that is not yet checked does to `state`. Days from `open_day` on are not complete.

    Those in `unread` are days without data, for the reason that stands there.
    """
    checked = (state.checked_day - days[0].day).days + 1 if days and state.checked_day else 0
    for index in range(max(0, checked), len(days)):
        day = days[index]
        complete = day.day < open_day
        if not complete and _whole_days_only(rule):
            break
        if unread and day.day in unread:
            verdict = rules.no_data(day, rule, unread[day.day])
        else:
            verdict = judge(state, days[: index + 1], rule, complete=complete)
        state, event = advance(state, verdict, day.day, rule, complete=complete)
        yield state, event, verdict


def _whole_days_only(rule: Rule) -> bool:
    """Whether a rule waits for a day's end: its condition holds on the morning of every day, or is on seven whole days."""
    return rule.type == "silence" or rule.figure == "corrected"


def _rests_on(rule: Rule) -> int:
    """How many days up to the one judged a verdict of the rule rests on."""
    return rule.for_ if rule.type == "silence" else weekly.WEEK.days if rule.figure == "corrected" else 1


def alert(store: Store, config: Config, *, now: dt.datetime, keep_unwatched: bool = False) -> list[str]:
    """One round at `now` (aware): every rule on every series; returns a sentence for each alert that began or ended.

    Trends must be up to date. A series that is new, or was not watched for a time, begins with its last `for` complete
    days, so that nobody is told of what was over long ago. What is no longer watched is ended, and told, unless
    `keep_unwatched`. A day that was not read whole waits inhibit.WAIT for its posts. A post that comes after its day was judged
    changes the trend, and nothing here. Raises MonitorError, after all else is stored, when a rule could not be checked.
    """
    stored, healths = _stored(store)
    series = series_of(config)
    today = now.astimezone(dt.UTC).date()
    open_days = {source: _open_day(config, source, now) for source in {key[2] for key in series}}
    states = {}
    for key, rule in series.items():
        state = stored.get(key) or State("normal", today, None)
        states[key] = state if state.checked_day else replace(state, checked_day=open_days[key[2]] - dt.timedelta(days=rule.for_ + 1))
    histories, rows = _histories(store, series, states, today, config.privacy.min_authors)
    steps, failed = [] if keep_unwatched else _unwatched(stored, series, config, today), []
    names = {key: state.name for key, state in stored.items()}
    steps += stopped.stopped(store, config, names, now=now) + stopped.unread(store, names, now=now)
    unread = _unread(store, config, series, states, rows, _stopped_since(stored, steps), now)
    step_of = partial(_step, store, config, store.model)
    taken: dict[Key, list[Step]] = {}
    for key in sorted(series, key=lambda each: each[1:]):  # what rules sum up over a series is kept until the next series
        rule = series[key]
        before = _Before(stored.get(key), states[key], healths.get(key, "ok"))
        open_day, days = open_days[key[2]], histories[key]
        waits = min((day for day in unread[key] if day < open_day and today - day <= inhibit.WAIT), default=None)
        if waits:
            days = [day for day in days if day.day < waits]
        try:
            judged = list(follow(states[key], days, rule, open_day=open_day, unread=unread[key]))
        except Exception as error:  # one rule that fails must not take the others with it
            failed.append(
                f"the rule {key[0]} could not be checked on {key[1]} in {key[2]} ({type(error).__name__}: {error}); the others "
                "were. Switch it off in config.yaml (enabled: false) until that is mended, and please report it"
            )
            log.exception("rule %s, team %s, source %s", *key)
            if before.health != "error":
                taken[key] = [step_of(key, rule, before.state, "error", f"The rule fails ({type(error).__name__}).")]
            continue
        taken[key] = _steps(step_of, key, rule, before, judged, unread[key], waits)
    steps += [step for key in series for step in taken.get(key, ())]
    steps = telling.addressed(store, config, steps, now=now)
    store.save_steps(steps, targets=[target.key for target in config.notify.targets], at=now)
    reminded = telling.remind(store, config, now=now)
    if failed:
        raise MonitorError("; ".join(failed))
    return [_sentence(config, step, step.event) for step in steps if step.event and step.told] + reminded


def _stored(store: Store) -> tuple[dict[Key, State], dict[Key, Health]]:
    rows = store.alert_states()
    states = {
        key: State(
            "firing" if row["state"] == "recovering" else row["state"],
            dt.date.fromisoformat(row["since"]),
            dt.date.fromisoformat(day) if (day := row["checked_day"]) else None,
            row["streak"],
        )
        for key, row in rows.items()
    }
    return states, {key: row["health"] for key, row in rows.items()}


def _stopped_since(stored: Mapping[Key, State], steps: Sequence[Step]) -> dict[str, dt.date]:
    """The sources that cannot be read after this round's `steps`, and since when."""
    found = {key[2]: state.since for key, state in stored.items() if key[0] == SOURCE_STOPPED and state.name == "firing"}
    for step in steps:
        if step.rule == SOURCE_STOPPED:
            found.pop(step.source, None)
            found.update({step.source: step.since} if step.state == "firing" else {})
    return found


def _unread(
    store: Store, config: Config, series: Mapping[Key, Rule], states: Mapping[Key, State], rows: Sequence[DailyTrend],
    stopped_since: Mapping[str, dt.date], now: dt.datetime,
) -> dict[Key, dict[dt.date, str]]:  # fmt: skip
    """For each series, the days yet to be judged that were not read whole, and why."""
    today = now.astimezone(dt.UTC).date()
    since = min(
        ((states[key].checked_day or today) - dt.timedelta(days=max(rule.for_, _rests_on(rule))) for key, rule in series.items()),
        default=today,
    )
    crawled = {source.name: _open_day(config, source.name, now) for source in config.sources if source.enabled}
    not_crawled = inhibit.not_crawled(store, crawled, stopped_since, since, today)
    lacking = {**inhibit.not_understood(store, since), **not_crawled}
    if not lacking:
        return {key: {} for key in series}
    rests_on = inhibit.rests_on(rows, today)
    found = {}
    for key, rule in series.items():
        teams = [team for team in (key[1], rule.against) if team]
        sources = {key[2]} if key[2] != ALL else {source for team in teams for source in rests_on.get(team, ())}
        days = [since + dt.timedelta(days=n) for n in range((today - since).days + 1)]
        days = [day for day in days if day > (states[key].checked_day or since)]
        # Posts are counted whether or not they are understood.
        of = not_crawled if key[1] == ALL else lacking
        found[key] = inhibit.inhibited(sorted(sources), of, days, _rests_on(rule))
    return found


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
) -> tuple[dict[Key, list[DailyTrend]], list[DailyTrend]]:
    """The days that each series needs, up to today, and the rows behind them. A day without a post is zeros once its source has had any."""
    model = store.model
    first = {key: begins(states[key], rule, today) for key, rule in series.items()}
    since = min(first.values(), default=today)
    # An alert on one source beside the figures of all would tell those of a source that is withheld.
    rows = suppressed(store.trends(model=model, since=since), min_authors) if series else []
    for source in sorted({key[2] for key in series if key[1] == ALL}):
        rows += store.volumes(source, model, since)
    corrected = any(rule.figure == "corrected" for rule in series.values())
    said: dict[tuple[str, str, Figure], dict[dt.date, DailyTrend]] = defaultdict(dict)
    for row in rows:
        said[row.team, row.source, "raw"][row.day] = row
    starts: dict[tuple[bool, str], dt.date] = {}
    for (team, source, _), known in said.items():
        kind = (team == ALL, source)
        starts[kind] = min(starts.get(kind, dt.date.max), min(known))
    for week in store.corrected_weeks(model, since, today) if corrected else ():
        said[week.team, week.source, "corrected"][week.day] = week
    calendar = [since + dt.timedelta(days=n) for n in range((today - since).days + 1)]

    @cache  # rules of one series share its days
    def whole(team: str, source: str, figure: Figure) -> list[DailyTrend]:
        known = said.get((team, source, figure), {})
        return [known.get(day) or DailyTrend(day, team, source, model, 0, 0, 0, False) for day in calendar]

    @cache
    def days(team: str, against: str | None, source: str, figure: Figure, start: int) -> list[DailyTrend]:
        these = whole(team, source, figure)[start:]
        return [difference(*pair) for pair in zip(these, whole(against, source, figure)[start:], strict=True)] if against else these

    found = {}
    for key, rule in series.items():
        _, team, source = key
        start = max(first[key], starts.get((team == ALL, source), today + dt.timedelta(days=1)))
        found[key] = days(team, rule.against, source, rule.figure, (start - since).days)
    return found, rows


class _Before(NamedTuple):
    """Where a series stood before the round: as it is stored, if it is, as it is judged from, and its health."""

    stored: State | None
    state: State
    health: Health


def _steps(
    step_of: Callable[..., Step], key: Key, rule: Rule, before: _Before, judged: Sequence[tuple[State, Event | None, Verdict]],
    unread: Mapping[dt.date, str], waits: dt.date | None,
) -> list[Step]:  # fmt: skip
    """A step for each day that changed the series' stage or health, and one for the last if its state is another than is stored."""
    steps = []
    stored, state, health = before
    for number, (new, event, verdict) in enumerate(judged):
        old_health = health
        if new.checked_day and new.checked_day != state.checked_day:
            health = "inhibited" if new.checked_day in unread else "no data" if verdict.outcome == "no data" else "ok"
            if event is None and new.stage != state.stage:
                event = (state.stage, new.stage, new.checked_day, _recovery(new, verdict, rule))
        elif health == "error":
            health = "ok"
        if event:
            event = (state.stage, *event[1:])
        if event or health != old_health or (number == len(judged) - 1 and new != stored):
            steps.append(step_of(key, rule, new, health, verdict.reason, event, verdict))
        state = new
    if waits and health != "inhibited":
        steps.append(step_of(key, rule, state, "inhibited", f"{waits} waits to be judged: {unread[waits]}."))
    return steps


def _recovery(new: State, verdict: Verdict, rule: Rule) -> str:
    if new.stage == "recovering":
        return f"{verdict.reason} The alert ends when {rule.recover:g} has held for {rule.recover_for} complete days."
    return f"{verdict.reason} The alert goes on: {rule.recover:g} has not held for {rule.recover_for} complete days."


def _step(
    store: Store, config: Config, model: str, key: Key, rule: Rule, state: State, health: Health, health_reason: str,
    event: Event | None = None, verdict: Verdict | None = None,
) -> Step:  # fmt: skip
    """The row to be stored, with the figures and the posts of an alert that begins, and what moved it."""
    step = Step(
        key[0], rule.type, key[1], key[2], model, state.stage, state.since, state.checked_day, state.streak, event,
        health=health, health_reason=health_reason, severity=rule.severity,
    )  # fmt: skip
    if event is None or verdict is None or not step.begins:
        return step
    figures = {name: getattr(verdict, name) for name in ("value", "before", "threshold", "low", "high", "authors", "posts")}
    since = state.since - weekly.WEEK + dt.timedelta(days=1) if rule.figure == "corrected" else state.since
    posts = store.evidence(key[1], key[2], model, since, event[2])
    said = store.spoken(key[1], model, since - dt.timedelta(days=rule.baseline_days), event[2])
    found = explain.explain(said, partial(store.wordings, key[1]), since=since, min_authors=config.privacy.min_authors, source=key[2])
    kind = rule.type if rule.type != "shift" else "drop" if rule.direction == "down" else "rise"
    chosen = explain.representative(posts, kind, config.notify.link_posts)
    return replace(step, figures=figures, evidence=chosen, why=explain.sentences(found, kind))


def _unwatched(stored: Mapping[Key, State], series: Mapping[Key, Rule], config: Config, today: dt.date) -> list[Step]:
    """Steps that end what was watched and is not any more. Without a `checked_day` it begins anew should it come back."""
    steps = []
    rule_ids = {SOURCE_STOPPED, POSTS_UNREAD, *(rule.id for rule in config.rules if rule.enabled)}
    watched = (
        series.keys() | {(POSTS_UNREAD, ALL, ALL)} | {(SOURCE_STOPPED, ALL, source.name) for source in config.sources if source.enabled}
    )
    for key, state in stored.items():
        if key in watched or state.checked_day is None:
            continue
        of = f"the source {key[2]}" if key[1] == ALL else f"the team {key[1]} in the source {key[2]}"
        what = of if key[0] in rule_ids else f"the rule {key[0]}"
        reason = f"No longer watched: {what} was removed from config.yaml or switched off there. Whether it is over is not known."
        after: AlertState = "resolved" if state.name == "firing" else "normal"
        if state.name in _BREACHED:
            state, event = State(after, today, None), (state.stage, after, today, reason)
        else:
            event = None
        rule, team, source = key
        steps.append(
            Step(rule, "", team, source, "", state.name, state.since, checked_day=None, streak=0, event=event, health_reason=reason)
        )
    return steps


def _sentence(config: Config, step: Step, event: Event) -> str:
    subject = telling.subject(config, step.team, step.source)
    return f"{subject}: rule {step.rule} is {event[1]} on {event[2]}. {event[3]}{f' Not sent: {step.untold}' if step.untold else ''}"
