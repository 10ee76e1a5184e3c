"""Digests from the store: which are to go out now, what each is made of, and what it says.

The promises: a digest goes out once per period and target. It waits for its days: until they are over, every source was tried
again since, and what came was understood and counted. It is made when it leaves, of what is known then. After a time in which
nothing ran only the latest goes out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from monitor import digest, explain, inhibit, trend
from monitor.alert import settling
from monitor.config import Config
from monitor.digest import AlertPart, Days, Digest, TeamPart, first_day
from monitor.messages import DIGEST, Message, Part, date, harmless, written
from monitor.privacy import turns
from monitor.records import ALL, SOURCE_STOPPED, DailyTrend
from monitor.store import DigestOf, Store

# ---- when -----------------------------------------------------------------------------------------------------------


def enqueue(store: Store, config: Config, *, now: dt.datetime) -> int:
    """Put the digests whose time has come at `now` (aware) into the outbox; returns how many."""
    came = 0
    for schedule in config.notify.digest:
        zone = ZoneInfo(schedule.timezone or config.notify.timezone)
        of = digest.latest(schedule, zone, now=now, open_day=open_day(config, now))
        targets = schedule.to or tuple(target.key for target in config.notify.targets)
        targets = tuple(target for target in targets if (store.digested_to(of.every, target) or dt.date.min) < of.last)
        if targets and store.known_since(of.last) and ready(store, config, of, now=now):
            came += sum(store.enqueue_digest(of, target, now) for target in targets)
    return came


def open_day(config: Config, now: dt.datetime) -> dt.date:
    """The first UTC day that is not complete yet, of all sources."""
    return (now.astimezone(dt.UTC) - settling(config, ALL)).date()


def ready(store: Store, config: Config, of: DigestOf, *, now: dt.datetime) -> bool:
    """Whether the days of a period, which are over, were read as far as they will be.

    After a time in which nothing ran they were not: every source that was ever crawled is tried first, for as long as a day takes to
    settle from the first crawl on. What was fetched since so long ago is to be understood, the days to be computed, the rules checked.
    """
    enabled = {source.name for source in config.sources if source.enabled}
    over = dt.datetime.combine(of.last + dt.timedelta(days=1), dt.time(), dt.UTC)
    tried = {source: begun for source, begun in store.tried(over).items() if source in enabled}
    patience = settling(config, ALL)
    first = min((begun for begun, _ in tried.values() if begun), default=None)
    if not all(ended for _, ended in tried.values()):
        waited = now - first >= patience if first else now - over >= inhibit.WAIT
        if not waited:
            return False
    days = {(first_day(of) + dt.timedelta(days=n)).isoformat() for n in range(digest.length(of))}
    if any(day in days for day, _ in store.dirty_days()) or _rules_wait(store, config, now):
        return False
    waiting = {row[:2]: row[3] for row in store.unread_days(first_day(of))}
    for_long = {row[:2]: row[3] for row in store.unread_days(first_day(of), now - patience)}
    return all(count <= for_long.get(key, 0) for key, count in waiting.items() if key[1] <= of.last)


def _rules_wait(store: Store, config: Config, now: dt.datetime) -> bool:
    """Whether trends were computed that `alert` has not seen, or is looking at."""
    runs = store.last_runs()
    computed, checked = runs.get(("trend", "")), runs.get(("alert", ""))
    behind = computed is not None and (checked is None or checked < computed)
    return behind or store.under_way("alert", now - dt.timedelta(seconds=config.schedule.time_limit))


# ---- what -----------------------------------------------------------------------------------------------------------


def gather(store: Store, config: Config, of: DigestOf | Days, *, now: dt.datetime) -> Digest:
    """The digest of a period, of what is known at `now` (aware)."""
    least, first = config.privacy.min_authors, first_day(of)
    alerts = [dict(row) for row in store.alerts_between(first, of.last)]
    stopped = {
        row["source"]: dt.date.fromisoformat(row["day"]) for row in alerts if row["rule"] == SOURCE_STOPPED and not row["resolved_day"]
    }
    open_days = {
        source.name: (now.astimezone(dt.UTC) - settling(config, source.name)).date() for source in config.sources if source.enabled
    }
    posts, unread = store.read_between(first, of.last)
    found = digest.digest(
        of,
        names={team.id: team.name for team in config.teams},
        cells=_cells(store, of, least),
        cells_before=_cells(store, digest.before(of), least),
        min_authors=least,
        alerts=alerts,
        silences=[dict(row) for row in store.silences()],
        lacking=inhibit.not_crawled(store, open_days, stopped, first, of.last),
        coverage=store.coverage(first, of.last),
        posts=posts,
        unread=unread,
        keys_turned=turns(first_day(digest.before(of)), of.last, config.privacy.rotate_keys),
    )
    found = _without_archived(store, config, of, found)
    return dataclasses.replace(found, teams=tuple(_explained(store, of, part, least) for part in found.teams))


def _without_archived(store: Store, config: Config, of: DigestOf | Days, found: Digest) -> Digest:
    """The digest that tells what is not known since posts are in an archive from what nobody said. A single day has its figures."""
    if digest.length(of) == 1:
        return found
    old = digest.before(of)
    away = {team.name for team in config.teams if team.id in store.archived_to(first_day(of), of.last)}
    away_before = store.archived_to(first_day(old), old.last)
    return dataclasses.replace(
        found,
        archived=tuple(sorted(away)),
        unnamed=tuple(name for name in found.unnamed if name not in away),
        teams=tuple(
            dataclasses.replace(  # a share of those who spoke of other teams would be no share of voice
                part, before_archived=part.team in away_before, share_of_voice=None if away else part.share_of_voice
            )
            for part in found.teams
            if part.name not in away
        ),
    )


def _cells(store: Store, of: DigestOf | Days, min_authors: int) -> list[DailyTrend]:
    """The figures of a whole period, by team and source, `*` included: an author is one voice in it, however many days it has.

    Those of a day are the stored ones, which show everywhere else: what their intervals hold of threads rests on the weeks before too.
    """
    model = store.model
    if digest.length(of) == 1:
        return [row for row in store.trends(model=model, since=of.last) if row.day == of.last]
    archived = store.archived_to(first_day(of), of.last)
    rows = (
        (of.last.isoformat(), *rest) for _, *rest in store.voices(first_day(of), of.last) if rest[2] == model and rest[0] not in archived
    )
    return trend.summarise(trend.frame_of(rows), min_authors)


def _explained(store: Store, of: DigestOf | Days, part: TeamPart, min_authors: int) -> TeamPart:
    """The team with what moved its figure, where it moved by more than chance makes."""
    if part.change is None or not part.change.certain:
        return part
    posts = store.spoken(part.team, store.model, first_day(digest.before(of)), of.last)
    found = explain.explain(posts, lambda _: (), since=first_day(of), min_authors=min_authors)
    return dataclasses.replace(part, moved=digest.moved(found))


# ---- in words -------------------------------------------------------------------------------------------------------


def message(store: Store, config: Config, of: DigestOf, *, now: dt.datetime) -> Message:
    """The message that a digest is."""
    return compose(gather(store, config, of, now=now), config)


def compose(found: Digest, config: Config) -> Message:
    """A digest in words: title, text and HTML by the templates, the same in parts, and as facts for machines."""
    shown = _shown(found, config)
    words = written(DIGEST, shown, config)
    facts = json.loads(json.dumps(_facts(found), default=str))
    return Message(
        words.title, words.body, f"digest {found.every} {found.last}", kind="digest", html=words.html, facts=facts,
        parts=() if words.own else _parts(shown), flaws=words.flaws,
    )  # fmt: skip


def _facts(found: Digest) -> dict[str, Any]:
    """A digest as JSON knows it: dates as text, the change as an object."""
    facts = dataclasses.asdict(found)
    for part, team in zip(facts["teams"], found.teams, strict=True):
        part["change"] = team.change._asdict() if team.change else None
    return facts


def _shown(found: Digest, config: Config) -> dict[str, Any]:
    """What the templates may say, every text on one line and harmless."""
    days = date(found.last) if found.every == "day" else f"{_span(found.first, found.last)}"
    quiet = [part for part in found.teams if part.mean is None and part.before_mean is None]
    waiting = f"{found.unread:,} of which wait" if found.unread else "none of which waits"
    coverage = "nothing was crawled then" if found.coverage is None else f"{found.coverage:.0%} of the source days were read"
    return {
        "every": found.every,
        "days": days,
        "first": str(found.first),
        "last": str(found.last),
        "min_authors": found.min_authors,
        "read": f"{found.posts:,} posts, {waiting} to be understood; {coverage}",
        "keys_turned": found.keys_turned,
        "teams": [_team(part, found) for part in found.teams if part.mean is not None or part.before_mean is not None],
        "few": [harmless(f"{part.name} ({_people(part.authors)})") for part in quiet if part.authors],
        "unnamed": [harmless(name) for name in (*(part.name for part in quiet if not part.authors), *found.unnamed)],
        "archived": [harmless(name) for name in found.archived],
        "alerts": [_alert(part, config) for part in found.alerts],
        "sources": [
            {
                "source": part.source,
                "what": _stopped(part.stopped_on, part.back_on, part.days_not_read, (found.last - found.first).days + 1),
                "reason": harmless(part.reason),
            }
            for part in found.sources
        ],
        "silences": [
            {
                "id": part.id,
                "what": harmless(f"rule {part.rule}, team {part.team}, source {part.source}"),
                "until": f"{date(part.ends_at[:10])}, {part.ends_at[11:16]} UTC",
                "reason": harmless(part.reason),
            }
            for part in found.silences
        ],
    }


def _span(first: dt.date, last: dt.date) -> str:
    """Days from first to last as people write them: `20 to 26 January 2025`."""
    begin = (
        f"{first:%-d}"
        if (first.year, first.month) == (last.year, last.month)
        else f"{first:%-d %B}" + f" {first.year}" * (first.year != last.year)
    )
    return f"{begin} to {date(last)}"


def _team(part: TeamPart, found: Digest) -> dict[str, Any]:
    """What is told of a team: its figure with all that belongs to it, or in words that there is none; the change; what moved."""
    spoke = _people(part.authors) + (f", {part.posts} posts" if part.posts != 1 else ", 1 post")
    spoke += f", {part.share_of_voice:.0%} of voice" if part.share_of_voice else ""
    if part.mean is None or part.low is None or part.high is None:
        figure = f"insufficient data: {spoke}; no figure is made of fewer than {found.min_authors} people"
    else:
        figure = f"{part.mean:+z.2f} (95 % interval {part.low:+z.2f} to {part.high:+z.2f}), {spoke}"
    before = f"the {found.every} before"
    if part.change:
        change = f"{part.change.value:+z.2f} against {before} (95 % interval {part.change.low:+z.2f} to {part.change.high:+z.2f}), "
        change += f"which had {part.before_mean:+z.2f} from {_people(part.before_authors)}"
    elif part.before_mean is not None:
        change = f"not known; {before} had {part.before_mean:+z.2f} from {_people(part.before_authors)}"
    elif part.before_archived:
        change = f"not known; posts of {before} are in an archive"
    else:
        change = f"not known; {before} too few people spoke, {part.before_authors}"
    return {
        **{name: getattr(part, name) for name in ("team", "authors", "posts", "mean", "low", "high", "share_of_voice")},
        "name": harmless(part.name),
        "figure": figure,
        "change": change,
        "moved": harmless(part.moved or ""),
    }


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _alert(part: AlertPart, config: Config) -> dict[str, Any]:
    team = config.team(part.team)
    name = (team.name if team else part.team) if part.team != ALL else "All sources" if part.source == ALL else part.source
    where = "" if part.team == ALL else ", all sources" if part.source == ALL else f", {part.source}"
    ended = f"ended on {date(part.resolved_day)}" if part.resolved_day else ""
    begun = f"began on {date(part.day)}" if part.course.startswith("began") else f"goes on, since {date(part.day)}"
    when = f"{ended}, since {date(part.day)}" if part.course == "ended" else ", ".join(filter(None, (begun, ended)))
    return {
        "course": part.course,
        "rule": part.rule,
        "subject": harmless(f"{name}{where}"),
        "when": when,
        "reason": harmless(part.reason),
        "why_not": harmless(part.why_not or ""),
    }


def _stopped(stopped_on: dt.date | None, back_on: dt.date | None, days_not_read: int, days: int) -> str:
    said = []
    if stopped_on:
        said.append(f"stopped on {date(stopped_on)}" + (f", read again since {date(back_on)}" if back_on else ", not read since"))
    if days_not_read:
        said.append(f"{days_not_read} of {days} days not read whole" if days > 1 else "not read whole")
    return "; ".join(said)


def _parts(shown: Mapping[str, Any]) -> list[Part]:
    """The built-in words of a digest, in parts."""
    parts = [Part(f"{shown['days']} (days are UTC). Read: {shown['read']}.")]
    for team in shown["teams"]:
        lines = (team["figure"], f"Change: {team['change']}.", team["moved"])
        parts.append(Part("\n".join(filter(None, lines)), team["name"]))
    if shown["few"]:
        parts.append(Part(f"Insufficient data, fewer than {shown['min_authors']} people: {', '.join(shown['few'])}."))
    if shown["unnamed"]:
        parts.append(Part(f"Nobody spoke of {', '.join(shown['unnamed'])}."))
    if shown["archived"]:
        parts.append(
            Part(f"Posts on {', '.join(shown['archived'])} are in an archive: each day has its figures, these together have none.")
        )
    alerts = [f"{one['subject']}, rule {one['rule']}: {one['when']}. {one['reason']}{_not_told(one)}" for one in shown["alerts"]]
    sources = [f"{one['source']}: {one['what']}. {one['reason']}" for one in shown["sources"]]
    silences = [f"{one['id']}, until {one['until']}: {one['what']}. {one['reason']}" for one in shown["silences"]]
    for heading, told in (("Alerts", alerts), ("Sources", sources), ("Silences", silences)):
        if told:
            parts.append(Part("\n".join(f"• {line}" for line in told), heading))
    return parts


def _not_told(alert: Mapping[str, Any]) -> str:
    return f" Not told: {alert['why_not']}" if alert["why_not"] else ""
