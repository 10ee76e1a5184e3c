"""backtest: the alerts that rules would have sent over the stored history, had they been switched on.

The promise: a day is judged once, when it was complete, by what was known then; a post that came later changes it only for the
days judged after. The states, the rules and the figures are those of `alert` and `trend` themselves. What the store has
forgotten, by design, cannot be replayed: CAVEATS says what that is, and goes with every result.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from monitor.alert import Event, Key, State, advance, begins, judge, series_of, settling
from monitor.conditions import Figure
from monitor.config import Config, Rule
from monitor.errors import InputError
from monitor.privacy import suppressed
from monitor.records import ALL, DailyTrend, Spread, from_text
from monitor.rules import Verdict
from monitor.rules.overtakes import difference
from monitor.store import Store
from monitor.trend import MEMORY, frame_of, summarise

Rounds = Mapping[dt.date, Sequence[DailyTrend]]
"""The days of a series (team and source) as they became known: those that the round which judges a day finds new or changed."""

CAVEATS = (
    "Each day is judged once, when it was complete. A live round also looks at the day that goes on, and may tell some hours earlier.",
    "Posts count from when they were fetched. Imported ones, those that a source's first crawl found, and retired ones, of which that "
    "is not known or says nothing, count from when they were written; days of archives are as they are stored.",
    "Edited and deleted posts are known only as they are now: their old words are gone for good. Corrections count, and the present "
    "model, teams and sources hold, from the beginning.",
)
WEEKS_CAVEAT = (
    "Rules on corrected figures are judged by those that are stored now: posts that came late, and readings of samples, count in their "
    "week from its end."
)

_MONTH = 31
_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert that would have been sent. `day` is the UTC day that made it fire and `told` the one on which that was known.

    `ended` is the day of recovery that ended it, None while it fires on the last day replayed, and `days` how long it
    lasted, so far in that case. `value` and `before` are in the rule's own unit.
    """

    rule: str
    type: str
    team: str
    source: str
    day: dt.date
    told: dt.date
    reason: str
    value: float | None
    before: float | None
    authors: int
    ended: dt.date | None
    days: int


@dataclass(frozen=True, slots=True)
class Followed:
    """A series to the end: how many days were replayed, how many of them the rule could judge, how many were fired on, and what fired."""

    key: Key
    days: int
    judged: int
    firing: int
    fired: list[Fired]


def backtest(
    store: Store,
    config: Config,
    *,
    now: dt.datetime,
    rules: Collection[str] = (),
    team: str | None = None,
    first: dt.date | None = None,
    last: dt.date | None = None,
    warn_before: dt.date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Replay `rules` (ids, enabled or not; empty: those that are enabled) on the UTC days `first`..`last`.

    Without `first` it is the first day with a figure, without `last` the last day that is complete at `now` (aware). Keys of
    what is returned: first, last, rules (summaries), alerts, warnings (of `warn_before`), caveats; rows of plain values.
    InputError when there is nothing to replay. `progress` is called with (series done, series in all).
    """
    series = {key: rule for key, rule in series_of(_trying(config, rules)).items() if team in (None, key[1])}
    if not series:
        raise InputError("no rule watches anything here: `forum-monitor check` looks rules through, and --rule tries one that is off")
    wait = max(settling(config, source) for source in {key[2] for key in series})
    complete = (now.astimezone(dt.UTC) - wait).date() - dt.timedelta(days=1)
    last = min(last or complete, complete)
    first = first or store.first_trend(store.model)
    if first is None or first > last:
        why = f"from {first} to {last} there is no complete day" if first else "no daily trend is stored"
        raise InputError(f"there is nothing to replay: {why}; `forum-monitor once` reads posts, --from and --to choose the days")
    earliest = min(begins(State("normal", first, None), rule, first) for rule in series.values())
    rounds = as_known(store, earliest, last, wait, {key[2] for key in series if key[1] == ALL}, config.privacy.min_authors)
    corrected = any(rule.figure == "corrected" for rule in series.values())
    weeks = weeks_as_stored(store, earliest, last) if corrected else {}
    starts: dict[tuple[bool, str], dt.date] = {}
    for (team_id, source), days in (*rounds.items(), *weeks.items()):
        kind = (team_id == ALL, source)
        starts[kind] = min(starts.get(kind, dt.date.max), *(row.day for rows in days.values() for row in rows))
    same_days: dict[tuple[str, str, str | None, Figure], dict[Key, Rule]] = defaultdict(dict)
    for key, rule in series.items():
        same_days[key[1], key[2], rule.against, rule.figure][key] = rule
    followed: dict[Key, Followed] = {}
    for (team_id, source, other, figure), watching in same_days.items():
        of = weeks if figure == "corrected" else rounds
        known: Rounds = of.get((team_id, source), {})
        if other:
            known = against(known, of.get((other, source), {}))
        begin = max(earliest, starts.get((team_id == ALL, source), dt.date.max))
        followed.update((one.key, one) for one in follow_to_end(watching, known, begin, first, last, wait))
        if progress:
            progress(len(followed), len(series))
    return _told([followed[key] for key in series], first, last, warn_before, (*CAVEATS, WEEKS_CAVEAT) if corrected else CAVEATS)


def _trying(config: Config, rules: Collection[str]) -> Config:
    """The configuration with `rules`, switched on, as its only ones. InputError names those that there are."""
    if unknown := set(rules) - {rule.id for rule in config.rules}:
        raise InputError(f"there is no rule {min(unknown)!r}: known are {', '.join(rule.id for rule in config.rules) or 'none'}")
    chosen = tuple(rule.model_copy(update={"enabled": True}) for rule in config.rules if rule.id in rules or (not rules and rule.enabled))
    return config.model_copy(update={"rules": chosen})


# ---- what was known -------------------------------------------------------------------------------------------------


def as_known(
    store: Store, first: dt.date, last: dt.date, wait: dt.timedelta, volumes: Collection[str], min_authors: int
) -> dict[tuple[str, str], dict[dt.date, list[DailyTrend]]]:
    """The `Rounds` of each (team, source) on the UTC days `first`..`last`, a day being judged `wait` after its end.

    `volumes` are the sources that are themselves watched, as team `*`. Figures that would tell of too few people are withheld.
    """
    late = {post: at for post, posted_at, known in store.late_posts() if (at := str((from_text(known) - wait).date())) > posted_at[:10]}
    model, until = store.model, last.isoformat()
    spreads = store.spreads(first - dt.timedelta(days=MEMORY), last)
    earlier = {(team, source): days for (team, source, of), days in spreads.items() if of == model}
    found: dict[tuple[str, str], dict[dt.date, list[DailyTrend]]] = defaultdict(lambda: defaultdict(list))
    for row in _archived(store, first, last, min_authors):
        found[row.team, row.source][row.day].append(row)
    for month in range(0, (last - first).days + 1, _MONTH):
        begin = first + dt.timedelta(days=month)
        end = min(last, begin + dt.timedelta(days=_MONTH - 1))
        stored = store.archived_pairs(begin, end)
        said = ((late.get(post, voice[0]), voice) for post, voice in store.voices_by_post(begin, end, model) if voice[:2] not in stored)
        for found_by, row in figures_as_known((one for one in said if one[0] <= until), model, min_authors, earlier):
            found[row.team, row.source][found_by].append(row)
        for source in volumes:
            posts = ((late.get(post, day), day, author, thread) for post, day, author, thread in store.posters(source, begin, end))
            for found_by, row in volumes_as_known((one for one in posts if one[0] <= until), source, model):
                found[ALL, source][found_by].append(row)
    return found


def _archived(store: Store, first: dt.date, last: dt.date, min_authors: int) -> list[DailyTrend]:
    """The figures of the days that an archive has a part in, as they are stored: there is one version of each."""
    pairs = store.archived_pairs(first, last)
    rows = store.trends(model=store.model, since=first) if pairs else []
    return suppressed((row for row in rows if (row.day.isoformat(), row.team) in pairs), min_authors)


def weeks_as_stored(store: Store, first: dt.date, last: dt.date) -> dict[tuple[str, str], dict[dt.date, list[DailyTrend]]]:
    """The `Rounds` of corrected weeks that end on the UTC days `first`..`last`, by (team, source); see WEEKS_CAVEAT."""
    found: dict[tuple[str, str], dict[dt.date, list[DailyTrend]]] = defaultdict(dict)
    for week in store.corrected_weeks(store.model, first, last):
        found[week.team, week.source][week.day] = [week]
    return found


def figures_as_known(
    said: Iterable[tuple[str, Sequence[Any]]],
    model: str,
    min_authors: int,
    earlier: Mapping[tuple[str, str], Sequence[tuple[dt.date, Spread]]],
) -> Iterator[tuple[dt.date, DailyTrend]]:
    """Each version of the daily trends of whole days by `model`, with the day whose round finds it first.

    `said` are that model's voices (`trend.COLUMNS`), each behind the ISO day whose round finds its post first. How alike threads
    are is taken from the days before as they are stored now (`earlier`): a late post changes that by next to nothing.
    """
    rows = list(said)
    frame = frame_of(voice for _, voice in rows).assign(at=[at for at, _ in rows])
    versions = frame[["day", "team", "at"]].drop_duplicates().rename(columns={"at": "now"})
    known = frame.merge(versions, on=["day", "team"])
    known = known[known["at"] <= known["now"]]
    # All versions at once, which are kept apart as models are: a call takes longer than its rows do.
    for row in suppressed(summarise(known.assign(model=known["now"].astype("category")), min_authors, earlier), min_authors):
        yield dt.date.fromisoformat(row.model), replace(row, model=model)


def volumes_as_known(posts: Iterable[tuple[str, str, str | None, str]], source: str, model: str) -> Iterator[tuple[dt.date, DailyTrend]]:
    """Each version of a source's volumes (`Store.volumes`), likewise. `posts` are (ISO day of the round, day, author, thread)."""
    days: dict[str, list[tuple[str, str | None, str]]] = defaultdict(list)
    for at, day, author, thread in posts:
        days[day].append((at, author, thread))
    for day, all_posts in days.items():
        for now in sorted({at for at, _, _ in all_posts}):
            known = [(author, thread) for at, author, thread in all_posts if at <= now]
            authors, threads = {author for author, _ in known} - {None}, {thread for _, thread in known}
            row = DailyTrend(dt.date.fromisoformat(day), ALL, source, model, len(known), len(authors), len(threads), sufficient=False)
            yield dt.date.fromisoformat(now), row


def against(one: Rounds, other: Rounds) -> dict[dt.date, list[DailyTrend]]:
    """The rounds of what one team is above another one; they change whenever either's do."""
    known: tuple[dict[dt.date, DailyTrend], dict[dt.date, DailyTrend]] = ({}, {})
    found = {}
    for at in sorted(one.keys() | other.keys()):
        changed = set()
        for rows, days in zip((one.get(at, ()), other.get(at, ())), known, strict=True):
            days.update((row.day, row) for row in rows)
            changed |= {row.day for row in rows}
        pairs = ((known[0].get(day) or _nobody(known[1][day]), known[1].get(day) or _nobody(known[0][day])) for day in sorted(changed))
        found[at] = [difference(*pair) for pair in pairs]
    return found


def _nobody(row: DailyTrend) -> DailyTrend:
    """The day of `row` on which nobody spoke of the other team."""
    return DailyTrend(row.day, row.team, row.source, row.model, 0, 0, 0, sufficient=False)


# ---- what came of it ------------------------------------------------------------------------------------------------


def follow_to_end(
    watching: Mapping[Key, Rule], known: Rounds, begin: dt.date, first: dt.date, last: dt.date, wait: dt.timedelta
) -> list[Followed]:
    """Judge the days `first`..`last` one after another, each by the rounds up to it, by all rules that watch the same days.

    The days known begin on `begin`. A day is judged by one rule after another, since these share what they sum up over the days before.
    """
    _, team, source = next(iter(watching))
    history = [DailyTrend(begin + dt.timedelta(days=n), team, source, "", 0, 0, 0, False) for n in range((last - begin).days + 1)]
    courses = [_Course(key, rule, State("normal", first, first - dt.timedelta(days=1))) for key, rule in watching.items()]
    for n, day in enumerate([row.day for row in history]):
        for row in known.get(day, ()):
            history[(row.day - begin).days] = row
        if day < first:
            continue
        for course in courses:
            start = max(0, (begins(course.state, course.rule, day) - begin).days)
            course.judge(history[start : n + 1], wait)
    return [course.followed(max(begin, first), last) for course in courses]


@dataclass(slots=True)
class _Course:
    """A series so far, as `Followed` tells it in the end."""

    key: Key
    rule: Rule
    state: State
    judged: int = 0
    firing: int = 0
    fired: list[Fired] = field(default_factory=list)

    def judge(self, days: Sequence[DailyTrend], wait: dt.timedelta) -> None:
        """What the last of `days` does, which is the next day."""
        day = days[-1].day
        verdict = judge(self.state, days, self.rule, complete=True)
        self.state, event = advance(self.state, verdict, day, self.rule, complete=True)
        self.judged += verdict.outcome != "no data"
        lasting = bool(self.fired) and self.fired[-1].ended is None
        if event and event[1] == "firing" and not lasting:
            self.fired.append(_fired(self.key, self.rule, event, verdict, wait))
        elif event and event[1] == "resolved" and lasting:
            self.fired[-1] = replace(self.fired[-1], ended=day, days=(day - self.fired[-1].day).days)
        self.firing += bool(self.fired) and self.fired[-1].ended is None

    def followed(self, begin: dt.date, last: dt.date) -> Followed:
        """The whole of it, once the days `begin`..`last` are judged."""
        if self.fired and self.fired[-1].ended is None:
            self.fired[-1] = replace(self.fired[-1], days=(last - self.fired[-1].day).days + 1)
        return Followed(self.key, max(0, (last - begin).days + 1), self.judged, self.firing, self.fired)


def _fired(key: Key, rule: Rule, event: Event, verdict: Verdict, wait: dt.timedelta) -> Fired:
    _, _, day, reason = event
    told = (dt.datetime.combine(day, dt.time()) + dt.timedelta(days=1) + wait).date()
    return Fired(key[0], rule.type, key[1], key[2], day, told, reason, verdict.value, verdict.before, verdict.authors, None, 0)


def summary(followed: Sequence[Followed]) -> dict[str, Any]:
    """What a rule would have done on all of its series. `years` are those of days that it could judge, of all series together.

    `per_year` is alerts per series and such year, None where less than one was; `median_days` how long they lasted, so far if
    they go on; `firing` the share of days, in [0, 1], on which a series was firing: a rule that always is warns of everything.
    """
    fired = [one for series in followed for one in series.fired]
    days = sum(series.days for series in followed)
    years = sum(series.judged for series in followed) / _YEAR
    return {
        "rule": followed[0].key[0],
        "series": len(followed),
        "years": years,
        "alerts": len(fired),
        "per_year": len(fired) / years if years >= 1 else None,
        "median_days": median(one.days for one in fired) if fired else None,
        "firing": sum(series.firing for series in followed) / days if days else None,
    }


def warnings(fired: Iterable[Fired], day: dt.date) -> list[dict[str, Any]]:
    """The alerts that had been told before `day` and were not over then, the earliest first, with the days from the one to the other."""
    lasting = [one for one in fired if one.told < day and (one.ended is None or one.ended >= day)]
    rows = [{"days": (day - one.told).days, "rule": one.rule, "team": one.team, "source": one.source, "told": one.told} for one in lasting]
    return sorted(rows, key=lambda row: (-row["days"], row["rule"], row["team"], row["source"]))


def _told(
    followed: Sequence[Followed], first: dt.date, last: dt.date, warn_before: dt.date | None, caveats: Sequence[str]
) -> dict[str, Any]:
    by_rule: dict[str, list[Followed]] = defaultdict(list)
    for series in followed:
        by_rule[series.key[0]].append(series)
    fired = sorted((one for series in followed for one in series.fired), key=lambda one: (one.day, one.rule, one.team, one.source))
    return {
        "first": first,
        "last": last,
        "rules": [summary(series) for series in by_rule.values()],
        "alerts": [asdict(one) for one in fired],
        "warn_before": warn_before,
        "warnings": warnings(fired, warn_before) if warn_before else [],
        "caveats": list(caveats),
    }


def backtest_view(told: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """`backtest` as tables and sentences; `names` are teams' names by id."""
    parts: list[Any] = [Text(f"{told['first']} to {told['last']} (UTC), day by day as it became known", style="bold")]
    for row in told["alerts"]:
        of = row["source"] if row["team"] == ALL else f"{names.get(row['team'], row['team'])} in {row['source']}"
        over = f"over on {row['ended']}, after {row['days']} days" if row["ended"] else f"not over after {row['days']} days"
        head = Text(f"\n{row['day']}  {of}: {row['rule']}, told on {row['told']}, {over}", style="bold red")
        parts += [head, Text(row["reason"])]
    if not told["alerts"]:
        parts.append(Text("\nNo alert would have fired.", style="dim"))
    table = Table(title="\nEach rule", title_justify="left", header_style="bold")
    for header in ("rule", "series", "series-years", "alerts", "per series-year", "median days", "firing"):
        table.add_column(header, justify="left" if header == "rule" else "right")
    for row in told["rules"]:
        figures = (f"{row['years']:.2f}", str(row["alerts"]), _shown(row["per_year"], ".2f"), _shown(row["median_days"], "g"))
        table.add_row(row["rule"], str(row["series"]), *figures, _shown(row["firing"], ".1%"))
    parts += [
        table,
        Text(
            "Series-years are of days that could be judged; less than one tells no rate. Firing: the share of days on which a series was.",
            style="dim",
        ),
    ]
    if told["warn_before"]:
        for row in told["warnings"]:
            of = row["source"] if row["team"] == ALL else names.get(row["team"], row["team"])
            parts.append(Text(f"{row['days']} days of warning before {told['warn_before']}: {row['rule']}, {of}, told on {row['told']}."))
        if not told["warnings"]:
            parts.append(Text(f"No warning: on the eve of {told['warn_before']} no alert that had been told was firing."))
    return Group(*parts, Text("\n" + "\n".join(told["caveats"]), style="dim"))


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
