"""What programs that watch the monitor are told: late when it is late, and in Prometheus' own words."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browsing import TOKEN, Site, serving
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from monitor import clock
from monitor.config import Config, Source, Target, Team, Terms
from monitor.daemon import CHAIN
from monitor.records import Post
from monitor.settings import Notify
from monitor.store import SCHEMA, Counts, Step, Store

NOW = dt.datetime(2025, 1, 24, 12, tzinfo=dt.UTC)
SECRET = "ntfy://user:password@ntfy.example/topic"
TERMS = Terms(read_on=dt.date(2025, 1, 2), by="us", allows="all")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("web") / "monitor.db"
    Store(path).close()
    config = Config(
        database=path,
        teams=(Team(id="meta", name="Meta"),),
        sources=(Source(name="forum", type="feed", terms=TERMS), Source(name="off", type="feed", enabled=False)),
        notify=Notify(targets=(Target(url=SECRET),)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOW)
        with serving(config) as found:
            yield found


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    with Store(site.pages.config.database) as found:
        with found.writing() as connection:
            for table in ("runs", "crawls", "posts", "silences", "deliveries", "alert_states", "alert_events", "alerts"):
                connection.execute(f"DELETE FROM {table}")
        yield found


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[httpx.Client]:
    with site.client() as found:
        yield found


def ran(store: Store, step: str, hours: float, outcome: str = "ok") -> None:
    at = NOW - dt.timedelta(hours=hours)
    store.end_run(store.begin_run(step, "", at), at, outcome=outcome)


def crawled(store: Store, hours: float, reason: str = "finished") -> None:
    at = NOW - dt.timedelta(hours=hours)
    crawl = store.begin_crawl("forum", at)
    store.end_crawl(
        crawl, at, finish_reason=reason, counts=Counts(), covered=(at - dt.timedelta(days=1), at) if reason == "finished" else None
    )


def test_nothing_is_late_before_anything_ran(client: httpx.Client, store: Store) -> None:
    """A store that only holds imports, or is new, is well."""
    answer = client.get("/-/health")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert answer.json()["steps"]["trend"] == {"last_success": None, "expected_within_seconds": 7800, "late": False}


def test_a_step_that_no_longer_ends_well_is_late(client: httpx.Client, store: Store) -> None:
    """After twice its period and time limit, however often it was begun since; one that never ended well likewise; and then it is not."""
    for step in ("migrate", *CHAIN):
        ran(store, step, 5 if step == "migrate" else 1)
    assert client.get("/-/health").status_code == 200
    for late in ("alert", "deliver"):
        store.connection.execute("DELETE FROM runs WHERE step = ?", (late,))
    ran(store, "alert", 2.5)
    ran(store, "alert", 0.1, "failed")
    answer = client.get("/-/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "late")
    assert {step for step, work in answer.json()["steps"].items() if work["late"]} == {"alert", "deliver"}
    assert answer.json()["steps"]["alert"]["last_success"] == "2025-01-24T09:30:00Z"
    for step in ("alert", "deliver"):
        ran(store, step, 0)
    assert client.get("/-/health").status_code == 200


def test_a_source_that_is_late_is_told_and_no_fault(client: httpx.Client, store: Store) -> None:
    """It has an alert of its own; a probe that restarts things must not do so for a site that is down. What is off is not awaited."""
    crawled(store, 5)
    crawled(store, 0.5, "failed")
    answer = client.get("/-/health")
    assert answer.status_code == 200
    assert answer.json()["sources"] == {
        "forum": {"last_success": "2025-01-24T07:00:00Z", "expected_within_seconds": 6000, "late": True, "read_to": "2025-01-24T07:00:00Z"}
    }


def figures(text: str, *, opened: bool = False) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and values of labels, as Prometheus' own parser reads them."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    families: Any = open_metrics(text) if opened else text_format(text)
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def busy(store: Store) -> None:
    """Something of everything."""
    ran(store, "alert", 1)
    crawled(store, 2)
    at = NOW - dt.timedelta(days=1)
    store.save_posts([Post("forum", str(n), "https://forum.example", "words of a post", at, at, author_key="k") for n in range(3)])
    store.silence("*", "meta", "*", begins_at=at, ends_at=NOW + dt.timedelta(days=1), reason="because")
    event = ("normal", "firing", at.date(), "It falls.")
    store.save_steps([Step("fall", "drop", "meta", "*", "m@1", "firing", at.date(), at.date(), 0, event)], targets=["one", "two"], at=at)
    store.end_delivery(store.due(NOW)[0].id, sent_at=None, error="no")
    store.set_fact("model", "m@1")


def test_metrics_are_prometheus(client: httpx.Client, busy: None) -> None:
    """Its own parsers read both formats, and what they read is what stands in the store."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
    found = figures(answer.text)
    assert found["forum_monitor_step_last_success_timestamp_seconds"] == {("alert",): NOW.timestamp() - 3600}
    assert found["forum_monitor_source_last_success_timestamp_seconds"] == {("forum",): NOW.timestamp() - 7200}
    assert found["forum_monitor_source_lag_seconds"] == {("forum",): 7200} and found["forum_monitor_source_late"] == {("forum",): 1}
    assert found["forum_monitor_posts_unread"] == {(): 3} and found["forum_monitor_posts"][()] >= 3
    assert found["forum_monitor_outbox_messages"] == {("due",): 1, ("failed",): 1} and found["forum_monitor_silences"] == {(): 1}
    assert found["forum_monitor_alert_series"][("firing",)] == 1 and found["forum_monitor_alert_series"][("pending",)] == 0
    assert found["forum_monitor_model_info"] == {("m", "1"): 1} and found["forum_monitor_schema_version"] == {(): SCHEMA}
    opened = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert (
        opened.headers["content-type"].startswith("application/openmetrics-text")
        and figures(opened.text, opened=True).keys() == found.keys()
    )


def test_names_and_units_are_as_they_should_be(client: httpx.Client, busy: None) -> None:
    """Of this program, in base units, gauges without the endings of other types, each with its meaning in a sentence."""
    for family in text_format(client.get("/metrics").text):
        assert re.fullmatch(r"forum_monitor(_[a-z]+)+", family.name) and family.documentation.endswith(".")
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")) and family.type == "gauge"
        assert not re.search("milli|minutes|hours|days$", family.name)


def test_neither_tells_secrets(site: Site, client: httpx.Client, busy: None) -> None:
    """No token, address of a target, path or post."""
    said = client.get("/-/health").text + client.get("/metrics").text
    for secret in (
        TOKEN,
        SECRET,
        "password",
        "words of a post",
        "forum.example",
        "because",
        "It falls",
        str(site.pages.config.database.parent),
    ):
        assert secret not in said, secret


def test_a_store_that_cannot_be_read(client: httpx.Client, site: Site) -> None:
    """Is an answer, not a failure: 503 with a sentence for the probe, a zero for Prometheus."""
    path = site.pages.config.database
    away = Path(f"{path}.away")
    path.rename(away)
    try:
        answer, told = client.get("/-/health"), client.get("/metrics")
    finally:
        away.rename(path)
    assert answer.status_code == 503 and answer.json()["status"] == "unreadable" and str(path.parent) not in answer.text
    assert told.status_code == 200 and figures(told.text)["forum_monitor_store_readable"] == {(): 0} and "lag" not in told.text
