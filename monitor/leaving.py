"""What may leave the store, and in what form: the rows of a snapshot (`publish`) and of tables for others (`export`).

The promises: a figure of fewer people than `privacy.min_authors` is in none of them, and none can be computed from the others:
the smallest sources beside a withheld one are withheld too, only days that are over leave, no sums over weeks or languages leave
from which single days or languages could be had, and an alert on a source, or on weeks, tells no figure that its days do not. No row has an
author's key, a post's score, or a person's words; excerpts of posts, masked, are there only where they are asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from monitor.config import Config
from monitor.errors import InputError
from monitor.explain import of_several_days, without_words
from monitor.messages import excerpt
from monitor.privacy import names_somebody, suppressed
from monitor.records import ALL, DailyTrend
from monitor.rules.weekly import of_weeks
from monitor.store import Span, Store

Row = dict[str, Any]

COUNTED = ("spike", "silence")
"""Types of rules whose `value` and `before` are counts, which are no figures."""

WITHHELD = "Withheld: with what else is published, this would tell figures of too few people."
"""In place of an alert's reason."""


def whole_days(today: dt.date, since: dt.date | None = None, until: dt.date | None = None, team: str | None = None) -> Span:
    """The days that are asked for, as far as they are over on the UTC day `today`.

    A day that goes on would be published again with one more person, whose figure is then the difference of the two.
    """
    over = today - dt.timedelta(days=1)
    return Span(since or dt.date.min, min(until or over, over), team)


def daily(store: Store, least: int, span: Span) -> Iterator[Row]:
    """Daily figures by day, team and source (`*`: all together); None, and `sufficient` 0, where they are withheld."""
    for trend, coverage in _days(store, least, span):
        yield {
            "day": trend.day.isoformat(), "team": trend.team, "source": trend.source, "model": trend.model, "posts": trend.posts,
            "authors": trend.authors, "threads": trend.threads, "sufficient": int(trend.sufficient), "mean": trend.mean, "low": trend.low,
            "high": trend.high, "negative_share": trend.negative_share, "neutral_share": trend.neutral_share,
            "positive_share": trend.positive_share, "effective": trend.effective, "coverage": coverage,
        }  # fmt: skip


def _days(store: Store, least: int, span: Span) -> Iterator[tuple[DailyTrend, float | None]]:
    for _, together in groupby(store.published_days(span), key=lambda pair: (pair[0].day, pair[0].team)):
        trends, coverages = zip(*together, strict=True)
        yield from zip(suppressed(trends, least), coverages, strict=True)


def alerts(store: Store, least: int, span: Span) -> Iterator[Row]:
    """Alerts that fired on these days: what moved, from what, with its interval and why, without the words that people used.

    One on a single source is without figures once a day of that source was withheld for the sake of another one: what it
    says of the days before it would tell that day's. One on corrected weeks is so once any day of its series was withheld: all
    who spoke in a week are in its figure, those of that day too.
    """
    found = list(store.published_alerts(span))
    needed = any(row["source"] != ALL or of_weeks(row["reason"]) for row in found)
    closed, lacking = _closed(store, least, span.last) if needed else ({}, {})
    for row in found:
        why = without_words(row["why"])
        row["why"] = why if why and not of_several_days(why) else None  # less the days that are shown it would tell one that is not
        told_by_days = _is_closed(lacking if of_weeks(row["reason"]) else closed, row)
        if row["type"] not in COUNTED and ((row["authors"] or 0) < least or told_by_days):
            row |= dict.fromkeys(("value", "before", "low", "high", "why")) | {"reason": WITHHELD}
        yield row


def _closed(store: Store, least: int, last: dt.date) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """The first day on which a (team, source) of enough people was withheld for the sake of another source, and on which it was at all."""
    closed: dict[tuple[str, str], str] = {}
    lacking: dict[tuple[str, str], str] = {}
    for trend, _ in _days(store, least, Span(dt.date.min, last)):
        if not trend.sufficient:
            lacking.setdefault((trend.team, trend.source), trend.day.isoformat())
            if trend.source != ALL and trend.authors >= least:
                closed.setdefault((trend.team, trend.source), trend.day.isoformat())
    return closed, lacking


def _is_closed(closed: Mapping[tuple[str, str], str], alert: Row) -> bool:
    """Whether an alert stands on a series from its first closed day on; one that compares two teams stands on the source of both."""
    return any(
        source == alert["source"] and day <= alert["day"] and (team == alert["team"] or alert["type"] == "overtakes")
        for (team, source), day in closed.items()
    )


def coverage(store: Store, span: Span) -> Iterator[Row]:
    """Per day and source: posts, and whether a finished crawl read the day."""
    return store.published_coverage(span)


def links(store: Store, span: Span, *, texts: int = 0) -> Iterator[Row]:
    """Where posts that name a team stand, one row per post and team, without what any model makes of them.

    Addresses that name a user, and those that are not of the web, which a reader's program could run, are left out.
    `texts`: so many characters of each are quoted, masked; 0 quotes none.
    """
    for row in store.published_links(span):
        text = row.pop("text")
        if row["url"].startswith(("https://", "http://")) and not names_somebody(row["url"]):
            yield row | ({"excerpt": excerpt(text, texts)} if texts else {})


def quotable(config: Config, option: str) -> int:
    """How many characters of a post may be quoted. InputError, which names the option that asks for it, when it is none."""
    if not config.privacy.excerpt:
        raise InputError(
            f"privacy.excerpt is 0 in config.yaml, so nothing of a post is quoted: leave {option} out, or allow some characters"
        )
    return config.privacy.excerpt


def teams(config: Config) -> Iterator[Row]:
    """The teams that are watched."""
    return ({"team": team.id, "name": team.name, "parent": team.parent} for team in config.teams)


def sources(config: Config, store: Store, span: Span) -> Iterator[Row]:
    """The register of sources: what each site's terms allow, when that was read, and which days up to the last one crawls span.

    Who read it, and what was noted of it, is the operator's own.
    """
    crawled = store.crawled_sources()
    known = {source.name: source for source in config.sources}
    for name in sorted({*known, *crawled}):
        source, (first, last) = known.get(name), crawled.get(name, (None, None))
        terms = source.terms if source else None
        yield {
            "source": name, "type": source.type if source else None, "kind": source.kind if source else None,
            "terms_allow": terms.allows if terms else None, "terms_read_on": terms.read_on.isoformat() if terms else None,
            "first_day": first, "last_day": min(last, span.last.isoformat()) if last else None,
        }  # fmt: skip
