"""Where the monitor stands, for programs that watch it: JSON for a probe, figures for Prometheus. Nobody need sign in.

The promise: both answer in a few milliseconds whatever lies in the store, also when it cannot be read, and hold no secret and
nothing of a post. Names and units are as Prometheus has them: base units, times in seconds since 1970, `_info` for words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from datasette.utils.asgi import Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor import __version__, clock
from monitor.errors import StoreError
from monitor.health import Health, as_json, health
from monitor.store import SCHEMA
from monitor.web.app import Pages

STATES = ("normal", "pending", "firing", "recovering", "resolved")
HEALTHS = ("ok", "no data", "inhibited", "error")


async def probe(pages: Pages, request: Request) -> Response:
    """GET /-/health: 200 while the store can be read and no step is late, else 503; sources that are late are told, and no fault.

    `status` is `ok`, `late` or `unreadable`; the rest is monitor.health.as_json.
    """
    try:
        found = await pages.read(partial(health, config=pages.config, now=clock.now()))
    except StoreError as error:
        return Response.json({"status": "unreadable", "error": pages.told(str(error))}, status=503)
    return Response.json(as_json(found), status=200 if found.well else 503)


async def metrics(pages: Pages, request: Request) -> Response:
    """GET /metrics, in the text format or OpenMetrics, as asked. A store that cannot be read is a figure, not an error."""
    try:
        found = await pages.read(partial(health, config=pages.config, now=clock.now()))
    except StoreError:
        found = None
    registry = CollectorRegistry()
    registry.register(Figures(found))
    encode, content_type = choose_encoder(request.headers.get("accept") or "")
    return Response(encode(registry).decode("utf-8"), content_type=content_type)


class Figures(Collector):
    """The figures of one moment; None: the store could not be read."""

    def __init__(self, found: Health | None) -> None:
        self.found = found

    def collect(self) -> Iterator[Metric]:
        """Every figure with what it means."""
        yield InfoMetricFamily("forum_monitor_build", "The program's version.", {"version": __version__})
        yield _one("forum_monitor_store_readable", "1 if the store could be read just now, else 0.", self.found is not None)
        if self.found is None:
            return
        found, lengths = self.found, self.found.lengths
        yield _one("forum_monitor_schema_version", "Migrations that the store has been through.", SCHEMA)
        if found.model:
            name, _, revision = found.model.rpartition("@") if found.model.count("@") == 1 else (found.model, "", "")
            yield InfoMetricFamily("forum_monitor_model", "The model whose scores are shown.", {"name": name, "revision": revision})
        for what, works in (("step", found.steps), ("source", found.sources)):
            last = GaugeMetricFamily(
                f"forum_monitor_{what}_last_success_timestamp_seconds",
                f"When each {what}'s last good {'run' if what == 'step' else 'crawl'} ended; without a sample there was none.",
                labels=[what],
            )
            late = GaugeMetricFamily(
                f"forum_monitor_{what}_late", f"1 if that {what} has not done well within twice its period and time limit.", labels=[what]
            )
            for name, work in works.items():
                if work.last_success:
                    last.add_metric([name], work.last_success.timestamp())
                late.add_metric([name], work.late)
            yield last
            yield late
        yield _lag(found)
        yield _one("forum_monitor_posts", "Posts that were ever stored, those deleted or forgotten since among them.", lengths["last_post"])
        yield _one("forum_monitor_posts_unread", "Posts that wait to be understood.", lengths["unread"])
        yield _one("forum_monitor_team_days_dirty", "Days of a team whose figures are to be computed anew.", lengths["days"])
        messages = GaugeMetricFamily(
            "forum_monitor_outbox_messages", "Messages that wait to be sent (due) or were given up (failed).", labels=["state"]
        )
        for state in ("due", "failed"):
            messages.add_metric([state], lengths[state])
        yield messages
        yield _by("forum_monitor_alert_series", "Watched series (rule, team, source) in each state.", "state", STATES, found.states)
        yield _by(
            "forum_monitor_alert_series_health", "Watched series by how their last day could be judged.", "health", HEALTHS, found.healths
        )
        yield _one("forum_monitor_silences", "Silences in force.", found.silences)


def _lag(found: Health) -> Metric:
    lag = GaugeMetricFamily(
        "forum_monitor_source_lag_seconds",
        "How far what was read of each source lies behind now; without a sample it does not say.",
        labels=["source"],
    )
    for name, work in found.sources.items():
        if work.read_to:
            lag.add_metric([name], max(0.0, (found.at - work.read_to).total_seconds()))
    return lag


def _one(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=float(value))


def _by(name: str, meaning: str, label: str, known: tuple[str, ...], counts: Mapping[str, int]) -> Metric:
    """A sample for each known value, so that a state which nothing is in reads 0 and not nothing."""
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value in known:
        family.add_metric([value], counts.get(value, 0))
    return family
