"""inhibit: days whose figures do not yet say what people said, because a crawl or the model has not read them whole.

The promise: what was not read is never taken for what was not said. Such a day begins no alert and ends none; it waits WAIT
for its posts, is judged if they come, and else counts as a day without data, with the reason kept.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from monitor.records import ALL, DailyTrend
from monitor.store import Store

WAIT = dt.timedelta(days=2)
"""How long a day that was not read whole is waited for, from its end."""

RESTS_ON = 0.25
"""The share of a team's posts, over the last REMEMBERED, from which on a figure over all sources rests on one of them."""

REMEMBERED = dt.timedelta(days=28)

UNREAD_SHARE = 0.1
"""The share of a day's posts that may wait to be understood."""

Lacking = Mapping[tuple[str, dt.date], str]
"""(source, UTC day) -> why its figures are not whole, as the end of a sentence."""


def not_crawled(store: Store, open_days: Mapping[str, dt.date], stopped: Mapping[str, dt.date], since: dt.date, today: dt.date) -> Lacking:
    """The days in `since`..`today` that the sources in `open_days` (name -> first day that is not over) were not crawled whole.

    `stopped` holds the sources that cannot be read, and since when. A source whose crawls never say what they covered counts as
    read while it is not among them; one that was imported only always does.
    """
    covered, read_to, first_days = store.covered(since)
    found = {}
    for source, open_day in open_days.items():
        for n in range((today - since).days + 1):
            day = since + dt.timedelta(days=n)
            if day < first_days.get(source, dt.date.max):
                continue
            if source in stopped and day >= stopped[source] and (source, day) not in covered:
                found[source, day] = f"{source} cannot be read since {stopped[source]}"
            elif source in read_to and ((source, day) not in covered or (day < open_day and read_to[source] <= day)):
                found[source, day] = f"{source} was not read to the end of that day"
    return found


def not_understood(store: Store, since: dt.date) -> Lacking:
    """The days from `since` on of which more than UNREAD_SHARE of a source's posts wait to be understood."""
    return {
        (source, day): f"{unread} of {posts} posts of {source} wait to be understood"
        for source, day, posts, unread in store.unread_days(since)
        if unread > UNREAD_SHARE * posts
    }


def rests_on(rows: Iterable[DailyTrend], today: dt.date) -> dict[str, list[str]]:
    """By team: the sources that its figures over all sources rest on, from its daily trends of every source."""
    posts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        if row.source != ALL and row.team != ALL and row.day > today - REMEMBERED:
            posts[row.team][row.source] += row.posts
    return {team: [source for source, count in of.items() if count >= RESTS_ON * sum(of.values())] for team, of in posts.items()}


def inhibited(sources: Collection[str], lacking: Lacking, days: Iterable[dt.date], judged: int = 1) -> dict[dt.date, str]:
    """Those of `days` that cannot be judged since one of `sources` is lacking on it, or on one of the `judged` days up to it; and why."""
    found = {}
    for day in days:
        window = (day - dt.timedelta(days=n) for n in range(judged))
        why = next((lacking[source, each] for each in window for source in sources if (source, each) in lacking), None)
        if why:
            found[day] = why
    return found
