"""What a backtest takes: three years of 20 teams under 20 rules, a year of a million posts; and one round of `alert` beside it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest

from monitor.alert import alert
from monitor.config import Config, Rule, Source, Team, Terms
from monitor.records import DailyTrend
from monitor.store import Store

pytestmark = pytest.mark.benchmark

FIRST = dt.date(2022, 1, 1)
TEAMS, SOURCES = 20, 3
LATE = 0.002
"""The share of posts that come days late one by one, as when a moderator lets them through."""
OUTAGE, EVERY = 3, 50
"""Each source cannot be read for so many days of every so many; what was written then comes all at once."""
MODEL = "m@1"
TERMS = Terms(read_on=FIRST, by="us", allows="all")
LABELS = (("negative", -0.8, 0.85, 0.1, 0.05), ("neutral", 0.0, 0.1, 0.8, 0.1), ("positive", 0.8, 0.05, 0.1, 0.85))
KINDS: tuple[dict[str, object], ...] = (
    {"type": "shift"}, {"type": "shift", "direction": "up"}, {"type": "drop"}, {"type": "rise"}, {"type": "below"}, {"type": "above"},
    {"type": "spike"}, {"type": "silence"}, {"type": "overtakes", "against": "team-0"},
)  # fmt: skip
RULES = [{"id": f"rule-{n}", **kind} for n, kind in zip(range(20), itertools.cycle(KINDS))]
"""Twenty rules of all types: six of them look for slow shifts, the most work."""


def fill(store: Store, days: int, posts: int) -> None:
    """Posts that name a team each, by direct inserts, evenly over `days`; sources are crawled from the first of them on."""
    draw = random.Random(1)
    rows, scores = [], []
    for post in range(posts):
        day = FIRST + dt.timedelta(days=post * days // posts)
        at = dt.datetime.combine(day, dt.time(draw.randrange(24)))
        source = post % SOURCES
        out = OUTAGE - ((day - FIRST).days + source * EVERY // SOURCES) % EVERY  # days until it can be read again
        fetched = at + dt.timedelta(minutes=20) if out <= 0 else dt.datetime.combine(day + dt.timedelta(days=out), dt.time(9))
        fetched += dt.timedelta(days=draw.randint(2, 5)) if draw.random() < LATE else dt.timedelta()
        author = f"{draw.randrange(2000):032x}"
        times = (f"{at.isoformat()}Z", "site", f"{fetched.isoformat()}Z")
        rows.append((post, f"source-{source}", str(post), "u", str(post // 8), "t", author, *times, "voice", "h", 0))
        label, value, *shares = draw.choice(LABELS)
        scores.append((post, f"team-{draw.randrange(TEAMS)}", MODEL, "h", *shares, value, label, times[2]))
    # Ids are given in the order of arrival, by which a backtest tells when a post was known.
    arrival = {row[0]: place for place, row in enumerate(sorted(rows, key=lambda row: row[9]))}
    with store.writing() as connection:
        for source in range(SOURCES):
            connection.execute("INSERT INTO crawls (source, started_at) VALUES (?, ?)", (f"source-{source}", f"{FIRST}T00:00:00Z"))
        connection.executemany(
            """INSERT INTO posts (id, source, native_id, url, thread_id, text, author_key, posted_at, date_origin, fetched_at, kind,
                                  text_hash, unread) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)""",
            sorted((arrival[row[0]], *row[1:]) for row in rows),
        )
        connection.executemany(
            """INSERT INTO scores (post_id, team, model, input_hash, negative, neutral, positive, value, label, scored_at)
               VALUES (?,?,?,?,?,?,?,?,?,?)""",
            sorted((arrival[score[0]], *score[1:]) for score in scores),
        )
        connection.execute("INSERT INTO meta VALUES ('model', ?)", (MODEL,))


CHILD = f"""
import datetime as dt, json, sys, time
from pathlib import Path
begun = time.perf_counter()
from monitor.backtest import backtest
from monitor.config import Config, Rule, Team
from monitor.store import Store
path, first, days, rules = Path(sys.argv[1]), dt.date.fromisoformat(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
teams = tuple(Team(id=f"team-{{n}}", name=f"Team {{n}}") for n in range({TEAMS}))
config = Config(teams=teams, rules=tuple(map(Rule.model_validate, rules)))
with Store(path, read_only=True) as store:
    last = first + dt.timedelta(days=days - 1)
    told = backtest(store, config, now=dt.datetime.combine(last + dt.timedelta(days=9), dt.time(), dt.UTC), first=first, last=last)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
took, series = time.perf_counter() - begun, sum(rule["series"] for rule in told["rules"])
print(f"{{took:.1f}} s with imports ({{time.process_time():.1f}} s of processor), peak {{int(peak) / 1024:.0f}} MB", end="; ")
print(f"{{series}} series, {{len(told['alerts'])}} alerts")
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("years", "posts"), [(3, 438_000), (1, 1_000_000)])
def test_backtest_speed(tmp_path: Path, years: int, posts: int) -> None:
    """Prints seconds and peak memory in a process of its own (to be at most 30 s), of 20 teams with 20 posts a day or more."""
    path = tmp_path / "monitor.db"
    with Store(path) as store:
        fill(store, 365 * years, posts)
    words = [sys.executable, "-c", CHILD, str(path), FIRST.isoformat(), str(365 * years), json.dumps(RULES)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    print(f"\n{years} years, {posts:,} posts, {len(RULES)} rules: {done.stdout.strip()} (to be at most 30 s)")


def test_one_round(tmp_path: Path) -> None:
    """Prints the seconds of a round of `alert` over 200 series under 20 rules (to be at most 0.5 s): median and range of five stores.

    The first round begins every state; one within a day looks at the day that goes on; that of a new day judges one more day besides.
    """
    draw, days = random.Random(1), 140
    sources = [f"source-{n}" for n in range(10)]
    teams = tuple(Team(id=f"team-{n}", name=f"Team {n}") for n in range(TEAMS))
    rules = tuple(Rule.model_validate({**rule, "id": f"{rule['id']}-{source}", "source": source}) for source in sources for rule in RULES)
    config = Config(teams=teams, sources=tuple(Source(name=name, type="feed", terms=TERMS) for name in sources), rules=rules)
    rows = []
    for n, team, source in itertools.product(range(days), teams, sources):
        mean = draw.gauss(0, 0.1)
        day, figures = FIRST + dt.timedelta(days=n), (mean, mean - 0.2, mean + 0.2, 0.3, 0.4, 0.3, 0.3, 15.0)
        rows.append(DailyTrend(day, team.id, source, MODEL, 30, 20, 12, True, *figures))
    now = dt.datetime.combine(FIRST + dt.timedelta(days=days - 2), dt.time(12), dt.UTC)
    rounds = {"the first": now, "within a day": now + dt.timedelta(minutes=10), "of a new day": now + dt.timedelta(days=1)}
    wall, worked = defaultdict(list), defaultdict(list)
    for n in range(5):
        with Store(tmp_path / f"{n}.db") as store:
            store.read_by("reader", MODEL)
            store.replace_trends({}, rows)
            for what, at in rounds.items():
                began, at_work = time.perf_counter(), time.process_time()
                alert(store, config, now=at)
                wall[what].append(time.perf_counter() - began)
                worked[what].append(time.process_time() - at_work)
            states = len(store.alert_states())
    print(f"\n`alert` over {states} states (to be at most 0.5 s):")
    for what in rounds:
        each = worked[what]
        print(f"{what}: {median(wall[what]):.2f} s, of processor {median(each):.2f} s ({min(each):.2f} to {max(each):.2f})")
