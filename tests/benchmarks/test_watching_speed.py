"""How long the pages of alerts, sources and figures, and the answers to probes, take after three years with a million posts.

pytest -m benchmark -o addopts= -s tests/benchmarks/test_watching_speed.py
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from browsing import serving

from monitor import clock
from monitor.config import Config, Rule, Source, Team, Terms
from monitor.records import to_text
from monitor.store import Store

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TERMS = Terms(read_on=dt.date(2025, 1, 2), by="us", allows="all")
SOURCES = tuple(Source(name=f"source-{n}", type="feed", terms=TERMS) for n in range(10))
CONFIG = Config(
    teams=tuple(Team(id=f"team-{n}", name=f"Team {n}") for n in range(15)),
    sources=SOURCES,
    rules=(Rule.model_validate({"id": "fall", "type": "drop"}),),
)

FILL = (
    "DROP TRIGGER posts_inserted",
    """INSERT INTO posts (source, native_id, url, text, posted_at, date_origin, fetched_at, kind, text_hash, unread)
       SELECT 'source-' || (n % 10), n, 'https://example.org/' || n, 'some words of a post that is as long as they are',
       strftime('%Y-%m-%dT%H:%M:%SZ', :now, '-' || ((1000000 - n) / 913) || ' days'), 'site', :now, 'voice', 'x', n > 990000
       FROM n LIMIT 1000000""",
    """INSERT INTO sources SELECT 'source-' || n, date(:now, '-1095 days'), date(:now) FROM n LIMIT 10""",
    """INSERT INTO covered_days SELECT DISTINCT date(:now, '-' || (n / 10) || ' days'), 'source-' || (n % 10) FROM n LIMIT 10950""",
    """INSERT INTO crawls (source, started_at, ended_at, finish_reason, covered_from, covered_to, message)
       SELECT 'source-' || (n % 10), t, t,
       CASE WHEN n % 10 = 3 AND n > 438000 OR n % 7 = 0 THEN 'failed' ELSE 'finished' END, t, t, 'a word'
       FROM (SELECT n, strftime('%Y-%m-%dT%H:%M:%SZ', :now, '-' || ((525600 - n) * 3) || ' minutes') AS t FROM n LIMIT 525600)""",
    """INSERT INTO visits SELECT c.id, n, 'https://example.org', 'https://example.org/' || n, 'asked', 200, '', :now
       FROM (SELECT max(id) AS id FROM crawls GROUP BY source) c, (SELECT n FROM n LIMIT 5000)""",
    """INSERT INTO site_files VALUES ('https://example.org', '/robots.txt', '', 'allows what is asked', :now)""",
    """INSERT INTO runs (step, source, started_at, ended_at, outcome)
       SELECT CASE n % 8 WHEN 0 THEN 'understand' WHEN 1 THEN 'trend' WHEN 2 THEN 'alert' ELSE 'deliver' END, '', t, t, 'ok'
       FROM (SELECT n, strftime('%Y-%m-%dT%H:%M:%SZ', :now, '-' || ((69120 - n) * 37) || ' seconds') AS t FROM n LIMIT 69120)""",
    """INSERT INTO alerts (rule, type, team, source, model, state, day, fired_at, resolved_day, value, "before", low, high, authors, posts,
       reason)
       SELECT 'fall', 'drop', 'team-' || (n % 15), '*', 'm@1', CASE WHEN n > 1990 THEN 'firing' ELSE 'resolved' END,
       date(:now, '-' || ((2000 - n) / 2) || ' days'), :now, CASE WHEN n <= 1990 THEN date(:now, '-' || ((2000 - n) / 2) || ' days') END,
       -0.3, 0.1, -0.5, -0.1, 20, 30, 'Sentiment fell on that day, as a sentence of the usual length says.' FROM n LIMIT 2000""",
    """INSERT INTO alert_posts SELECT a.id, p.n, a.id * 3 + p.n FROM alerts a, (SELECT n FROM n LIMIT 3) p""",
    """INSERT INTO alert_states SELECT 'fall', 'team-' || (n % 15), 'source-' || (n / 15),
       CASE WHEN n % 20 = 0 THEN 'pending' ELSE 'normal' END, date(:now), date(:now), 0, NULL,
       CASE n % 3 WHEN 0 THEN 'no data' ELSE 'ok' END FROM n LIMIT 150""",
    """INSERT INTO alert_events (rule, team, source, alert_id, "before", "after", day, at, reason)
       SELECT 'fall', 'team-' || (n % 15), 'source-' || (n / 15 % 10), CASE WHEN n % 40 = 0 THEN n / 40 + 1 END, 'ok',
       CASE n % 2 WHEN 0 THEN 'no data' ELSE 'ok' END, date(:now), :now, 'That day cannot be judged: 3 voices, of which the rule needs 8.'
       FROM n LIMIT 80000""",
    """INSERT INTO deliveries (event_id, target, state, created_at) SELECT id, 'console', 'sent', :now FROM alert_events
       WHERE alert_id IS NOT NULL""",
)


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_pages_after_three_years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints the median and the slowest of ten requests each, in ms, and the bytes of an answer as packed."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    path = tmp_path / "monitor.db"
    with Store(path) as store, store.writing() as connection:
        for statement in FILL:
            head, _, rest = statement.partition("SELECT")
            numbers = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n)"
            connection.execute(f"{numbers} {head} SELECT {rest}" if rest else head, {"now": to_text(NOW)} if ":now" in statement else ())
    with serving(CONFIG.model_copy(update={"database": path})) as site, site.client() as client:
        for address in ("/alerts", "/alerts?team=team-3&stage=resolved", "/sources", "/about", "/-/health", "/metrics"):
            client.get(address)
            took = []
            for _ in range(10):
                begun = time.perf_counter()
                answer = client.get(address)
                took.append((time.perf_counter() - begun) * 1000)
            print(f"{address:40} {sorted(took)[5]:6.0f} ms, at most {max(took):6.0f} ms, {answer.num_bytes_downloaded:7} bytes")
