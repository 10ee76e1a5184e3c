"""Whether the monitor does its work: when each step and crawl last ended well, what waits, what fires. Pure but for the reading.

The promise: a step that nobody runs any more, that hangs or that fails each time is late here, whatever the reason, once it has not
ended well for twice its period and time limit together (as the dead man's ping has it, monitor/heartbeat.py). Nothing here
is a secret, a post's words or a path.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.config import Config
from monitor.daemon import CHAIN
from monitor.records import to_text
from monitor.store import SCHEMA, Store


@dataclass(frozen=True, slots=True)
class Work:
    """A step, or the crawls of a source: when it last ended well (aware; None: never), and within how long it is expected to again.

    `late` is whether that has passed; what never ended well is late when the store's first run is as long ago. `read_to` is the
    newest time that crawls have read up to, where they say so.
    """

    last_success: dt.datetime | None
    expected_within: dt.timedelta
    late: bool
    read_to: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Where everything stands at `at`. `states` and `healths` count the watched series, `lengths` are those of Store.lengths."""

    at: dt.datetime
    model: str
    steps: Mapping[str, Work]
    sources: Mapping[str, Work]
    """Of the sources that are on."""
    lengths: Mapping[str, int]
    states: Mapping[str, int]
    healths: Mapping[str, int]
    silences: int

    @property
    def well(self) -> bool:
        """Whether the steps run. A source that is late is an alert of its own, and no fault of this program."""
        return not any(step.late for step in self.steps.values())


def health(store: Store, config: Config, *, now: dt.datetime) -> Health:
    """Where everything stands at `now` (aware)."""
    begun, schedule = store.first_run(), config.schedule

    def work(last: dt.datetime | None, period: float, limit: float, read_to: dt.datetime | None = None) -> Work:
        within = 2 * dt.timedelta(seconds=period + limit)
        since = last or begun
        return Work(last, within, since is not None and now - since > within, read_to)

    sources = {}
    for source in config.sources:
        if source.enabled and source.terms:
            finished, read_to = store.last_finished(source.name) or (None, None)
            sources[source.name] = work(finished, source.every or schedule.collect, source.time_limit, read_to)
    steps = {step: work(store.last_success(step), getattr(schedule, step), schedule.time_limit) for step in CHAIN}
    states, healths = store.series_counts()
    return Health(now, store.model, steps, sources, store.lengths(), states, healths, len(store.silences(now)))


def as_json(found: Health) -> dict[str, Any]:
    """`found` for a program: times as UTC text, spans in seconds. `status` is `ok` or `late`."""
    return {
        "status": "ok" if found.well else "late",
        "at": to_text(found.at),
        "schema": SCHEMA,
        "model": found.model or None,
        "steps": {name: _as_json(work) for name, work in found.steps.items()},
        "sources": {name: _as_json(work) | {"read_to": _text(work.read_to)} for name, work in found.sources.items()},
        "queues": {
            "posts_unread": found.lengths["unread"],
            "days_to_compute": found.lengths["days"],
            "messages_due": found.lengths["due"],
            "messages_given_up": found.lengths["failed"],
        },
        "alerts": {"states": dict(found.states), "health": dict(found.healths), "silences": found.silences},
    }


def _as_json(work: Work) -> dict[str, Any]:
    within = round(work.expected_within.total_seconds())
    return {"last_success": _text(work.last_success), "expected_within_seconds": within, "late": work.late}


def _text(moment: dt.datetime | None) -> str | None:
    return to_text(moment) if moment else None
