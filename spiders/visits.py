"""What a crawl knows of its manners: files of hosts read within a day, requests within the hour, and every decision on a URL.

The promise: it is in the store after every batch and at the end of a crawl, however that ends; a dry run keeps it in memory only.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from monitor.store import SiteFile, Store, Visit
from spiders.base import origin, shown

BATCH = 100
"""Decisions per transaction."""

FRESH = dt.timedelta(hours=24)
"""How long a file of a host may be used before it is read anew: RFC 9309 2.4."""

_WINDOW = dt.timedelta(minutes=61)  # requests are counted by the minute, so that no hour can hold more than its budget


class Visits:
    """The crawl's memory. `clock` gives its time; without a `database` nothing is read or kept, without `per_hour` nothing is limited."""

    def __init__(self, database: Path | None, crawl_id: int, per_hour: int, clock: Callable[[], dt.datetime]) -> None:
        self.store = Store(database) if database else None
        self.crawl_id = crawl_id
        self.per_hour = per_hour
        self.clock = clock
        self.pending: list[Visit] = []
        self.made: Counter[tuple[str, dt.datetime]] = Counter()
        self.hours: dict[str, Counter[dt.datetime]] = {}
        self.files: dict[tuple[str, str], SiteFile] = {}
        self.learnt: set[tuple[str, str]] = set()
        self.verdicts: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """By host and path, for who looks on."""

    def file(self, host: str, path: str) -> SiteFile | None:
        """A host's file, if it was read whole within the last 24 hours, by whichever crawl."""
        found = self.files.get((host, path)) or (self.store.site_file(host, path) if self.store else None)
        if found is None or found.text is None or not dt.timedelta(0) <= self.clock() - found.read_at < FRESH:
            return None
        self.files[host, path] = found
        self.verdicts[host][path] = found.verdict
        return found

    def learn(self, file: SiteFile) -> None:
        """Keep what a host's file said, in place of what was known of it."""
        self.files[file.host, file.path] = file
        self.learnt.add((file.host, file.path))
        self.verdicts[file.host][file.path] = file.verdict

    def wait(self, host: str) -> float:
        """Seconds until a host may be asked again by the budget; 0 where it may be asked now."""
        if not self.per_hour:
            return 0.0
        now = self.clock()
        hour = self._hour(host, now)
        over = hour.total() - self.per_hour
        if over < 0:
            return 0.0
        minutes = sorted(hour)
        passed = itertools.accumulate(hour[minute] for minute in minutes)
        freed = next(minute for minute, count in zip(minutes, passed, strict=True) if count > over)
        return (freed + _WINDOW - now).total_seconds()

    def _hour(self, host: str, now: dt.datetime) -> Counter[dt.datetime]:
        if host not in self.hours:
            self.hours[host] = Counter(self.store.asked(host, now - _WINDOW, now) if self.store else {})
        hour = self.hours[host]
        for minute in [minute for minute in hour if minute <= now - _WINDOW]:
            del hour[minute]
        return hour

    def count(self, host: str) -> None:
        """A request is about to be made."""
        now = self.clock()
        minute = now.replace(second=0, microsecond=0)
        self._hour(host, now)[minute] += 1
        self.made[host, minute] += 1

    def note(self, url: str, decision: Literal["asked", "refused"], *, status: int | None = None, reason: str = "") -> Visit:
        """Keep a decision. Its reason may still be added until the next request is made."""
        visit = Visit(origin(url), shown(url)[:500], decision, self.clock(), status, reason)
        self.pending.append(visit)
        return visit

    def save(self, least: int = 1) -> None:
        """Store what is new, if that is `least` decisions or more. Raises StoreError."""
        if len(self.pending) < least:
            return
        if self.store:
            files = [self.files[key] for key in self.learnt]
            self.store.save_visits(self.crawl_id, self.pending, asked=self.made, files=files, now=self.clock())
            self.hours.clear()  # to be read again: another source's crawl may be asking the same host
        self.pending, self.made, self.learnt = [], Counter(), set()
