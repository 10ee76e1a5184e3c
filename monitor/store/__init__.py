"""The only folder that speaks SQL: one SQLite database in WAL mode, short writes, and nothing half done.

Every write is one transaction that begins IMMEDIATE (a deferred one that reads first fails beside another writer
whatever the time-out) and ends whole or not at all, so that a process may be killed between any two of them. What a
write changes in a day's figures is marked in `dirty_days` in the same transaction: `trend` can never miss it.
"""

from __future__ import annotations

from monitor.store.alerts import Step
from monitor.store.archives import Archived, ArchivedDay, Archives
from monitor.store.connection import SCHEMA, TIMEOUT
from monitor.store.echoes import Echoes
from monitor.store.forgetting import Forgetting
from monitor.store.known import Known
from monitor.store.merging import Links, Merging
from monitor.store.outbox import DigestOf, Due
from monitor.store.periods import Periods
from monitor.store.posts import PURGE_AFTER, Counts
from monitor.store.published import Published, Span
from monitor.store.queries import Place, Queries, Wanted
from monitor.store.readings import Reading, Readings, Unread
from monitor.store.reviews import PERSON, Drawn, Frame, Reviews
from monitor.store.runs import KEEP_RUNS, Runs, Standing
from monitor.store.silences import Silences
from monitor.store.spending import Spending
from monitor.store.spoken import Speaking, Spoken
from monitor.store.spreads import Spreads
from monitor.store.trends import Trends
from monitor.store.visits import KEEP_VISITS, SiteFile, Visit, Visits
from monitor.store.watched import PageOfAlerts, Watched
from monitor.store.weeks import Weeks

__all__ = [
    "KEEP_RUNS", "KEEP_VISITS", "PERSON", "PURGE_AFTER", "SCHEMA", "TIMEOUT", "Archived", "ArchivedDay", "Counts", "DigestOf", "Drawn",
    "Due", "Frame", "Links", "PageOfAlerts", "Place", "Reading", "SiteFile", "Span", "Spoken", "Standing", "Step", "Store", "Unread",
    "Visit", "Wanted",
]  # fmt: skip


class Store(
    Runs, Merging, Forgetting, Archives, Visits, Readings, Spending, Echoes, Trends, Spreads, Known, Silences, Reviews, Weeks, Speaking,
    Periods, Published, Watched, Queries,
):  # fmt: skip
    """An open database, each subject in its own file. One per process and thread; use as a context manager, or call `close`.

    Raises StoreError for what cannot be opened, NewerSchema for a database from a newer version, Busy when another
    process writes for longer than TIMEOUT seconds.
    """
