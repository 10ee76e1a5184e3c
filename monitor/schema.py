"""The database's shape, as migrations that are only ever appended, and what each table and column means.

A database is brought up to date when it is opened; one from a newer version is refused and left as it is. Tables may
gain columns; the views `v_daily`, `v_posts`, `v_alerts` and `v_coverage` keep the columns that they have, so queries
written against them go on working.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations


migrations = Migrations("forum_monitor")


@migrations()
def m001_initial(db: Database) -> None:
    """The store as first released."""
    for statement in _INITIAL:
        db.execute(statement)
    db["posts"].enable_fts(["title", "text"], fts_version="FTS5", create_triggers=True, tokenize="unicode61 remove_diacritics 2")


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is pending; `PRAGMA user_version` then holds the number of migrations (`store.SCHEMA`)."""
    db = Database(connection, execute_plugins=False)
    migrations.apply(db)
    connection.execute(f"PRAGMA user_version = {len(migrations.applied(db))}")


_INITIAL = (
    """CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE posts (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL, native_id TEXT NOT NULL, url TEXT NOT NULL, thread_id TEXT,
        parent_id TEXT, title TEXT, text TEXT NOT NULL, language TEXT, author_key TEXT, posted_at TEXT NOT NULL,
        date_origin TEXT NOT NULL, edited_at TEXT, fetched_at TEXT NOT NULL, kind TEXT NOT NULL, text_hash TEXT NOT NULL,
        deleted_at TEXT, unread INTEGER NOT NULL DEFAULT 1, UNIQUE (source, native_id))""",
    """CREATE INDEX posts_posted_at ON posts (posted_at)""",
    """CREATE INDEX posts_unread ON posts (posted_at) WHERE unread""",
    """CREATE TABLE mentions (
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE, team TEXT NOT NULL, start INTEGER NOT NULL,
        "end" INTEGER NOT NULL, PRIMARY KEY (post_id, start, team)) WITHOUT ROWID""",
    """CREATE TABLE scores (
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE, team TEXT NOT NULL, model TEXT NOT NULL,
        input_hash TEXT NOT NULL, negative REAL NOT NULL, neutral REAL NOT NULL, positive REAL NOT NULL,
        value REAL NOT NULL, label TEXT NOT NULL, scored_at TEXT NOT NULL, PRIMARY KEY (post_id, team, model)) WITHOUT ROWID""",
    """CREATE INDEX scores_input ON scores (input_hash, model)""",
    """CREATE TABLE dirty_days (day TEXT NOT NULL, team TEXT NOT NULL, marks INTEGER NOT NULL, PRIMARY KEY (day, team)) WITHOUT ROWID""",
    """CREATE TABLE daily_trends (
        day TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL, posts INTEGER NOT NULL,
        authors INTEGER NOT NULL, threads INTEGER NOT NULL, sufficient INTEGER NOT NULL, mean REAL, low REAL, high REAL,
        negative_share REAL, neutral_share REAL, positive_share REAL, variance REAL,
        PRIMARY KEY (day, team, source, model)) WITHOUT ROWID""",
    """CREATE INDEX daily_trends_team ON daily_trends (team, source, model, day)""",
    """CREATE TABLE crawls (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, finish_reason TEXT,
        covered_from TEXT, covered_to TEXT, requests INTEGER, new INTEGER NOT NULL DEFAULT 0,
        changed INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,
        rejected INTEGER NOT NULL DEFAULT 0, cursor TEXT, message TEXT)""",
    """CREATE INDEX crawls_source ON crawls (source, started_at)""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY, step TEXT NOT NULL, source TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
        outcome TEXT, message TEXT)""",
    """CREATE INDEX runs_step ON runs (step, source, started_at)""",
    """CREATE TABLE alerts (
        id INTEGER PRIMARY KEY, rule TEXT NOT NULL, type TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL,
        model TEXT NOT NULL, state TEXT NOT NULL, day TEXT NOT NULL, fired_at TEXT NOT NULL, resolved_at TEXT, resolved_day TEXT,
        value REAL, before REAL, threshold REAL, low REAL, high REAL, authors INTEGER, posts INTEGER, reason TEXT NOT NULL)""",
    """CREATE UNIQUE INDEX alerts_one_firing ON alerts (rule, team, source) WHERE state = 'firing'""",
    """CREATE TABLE alert_states (
        rule TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL, since TEXT NOT NULL,
        checked_day TEXT, streak INTEGER NOT NULL DEFAULT 0, alert_id INTEGER REFERENCES alerts (id),
        PRIMARY KEY (rule, team, source)) WITHOUT ROWID""",
    """CREATE TABLE alert_events (
        id INTEGER PRIMARY KEY, rule TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL, alert_id INTEGER REFERENCES alerts (id),
        before TEXT NOT NULL, after TEXT NOT NULL, day TEXT NOT NULL, at TEXT NOT NULL, reason TEXT NOT NULL)""",
    """CREATE TABLE alert_posts (
        alert_id INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE, PRIMARY KEY (alert_id, position)) WITHOUT ROWID""",
    """CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY, event_id INTEGER NOT NULL REFERENCES alert_events (id), target TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, next_attempt_at TEXT,
        sent_at TEXT, error TEXT, UNIQUE (event_id, target))""",
    """CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE state IN ('due', 'sending')""",
    """CREATE TABLE sources (source TEXT PRIMARY KEY, first_day TEXT NOT NULL, last_day TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE covered_days (day TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (day, source)) WITHOUT ROWID""",
    """CREATE VIEW v_coverage AS
        WITH counts AS (SELECT substr(posted_at, 1, 10) AS day, source, count(*) AS posts, sum(unread) AS unread
                        FROM posts WHERE deleted_at IS NULL GROUP BY 1, 2),
        crawled AS (SELECT day, source FROM covered_days
                    UNION SELECT substr(c.started_at, 1, 10), c.source FROM crawls c)
        SELECT coalesce(crawled.day, counts.day) AS day, coalesce(crawled.source, counts.source) AS source,
            coalesce(counts.posts, 0) AS posts, coalesce(counts.unread, 0) AS unread,
            CASE WHEN coalesce(crawled.source, counts.source) IN (SELECT source FROM sources) THEN EXISTS (
                SELECT 1 FROM covered_days d WHERE d.day = coalesce(crawled.day, counts.day)
                AND d.source = coalesce(crawled.source, counts.source)) END AS covered
        FROM counts FULL JOIN crawled ON crawled.day = counts.day AND crawled.source = counts.source""",
    """CREATE VIEW v_daily AS
        SELECT t.day, t.team, t.source, t.model, t.posts, t.authors, t.threads, t.sufficient, t.mean, t.low, t.high,
            t.negative_share, t.neutral_share, t.positive_share,
            (SELECT avg(EXISTS (SELECT 1 FROM covered_days d WHERE d.day = t.day AND d.source = s.source)) FROM sources s
             WHERE t.day BETWEEN s.first_day AND s.last_day AND t.source IN ('*', s.source)) AS coverage
        FROM daily_trends t""",
    """CREATE VIEW v_posts AS
        SELECT p.id, p.source, p.native_id, p.url, p.thread_id, p.parent_id, p.title, p.text, p.language, p.posted_at, p.date_origin,
            p.edited_at, p.fetched_at, p.kind, s.team, s.model, s.negative, s.neutral, s.positive, s.value, s.label
        FROM posts p LEFT JOIN scores s ON s.post_id = p.id WHERE p.deleted_at IS NULL""",
    """CREATE VIEW v_alerts AS
        SELECT a.id, a.rule, a.type, a.team, a.source, a.state, a.day, a.fired_at, a.resolved_day, a.resolved_at, a.value, a.before,
            a.threshold, a.low, a.high, a.authors, a.posts, a.reason,
            (SELECT count(*) FROM deliveries d JOIN alert_events e ON e.id = d.event_id WHERE e.alert_id = a.id AND d.state = 'sent') AS sent,
            (SELECT count(*) FROM deliveries d JOIN alert_events e ON e.id = d.event_id WHERE e.alert_id = a.id AND d.state <> 'sent') AS unsent
        FROM alerts a""",
)

DESCRIPTIONS: dict[str, str] = {
    "posts": "One row per public post. `text` holds the author's own words, plain (an opening post's begin with its title). "
    "`author_key` is a keyed hash, never a name. Times are UTC text. `date_origin` is site, or fetched where the site gave no usable date. "
    "`kind` is voice, press or import. A row with `deleted_at` is a tombstone: its words are gone and stay gone. `unread` is 1 until understood.",
    "mentions": "Where a post names a team: [start, end) character offsets into posts.text.",
    "scores": "Sentiment of a post toward a team by `model` (name@revision): negative + neutral + positive = 1, value = positive - negative. "
    "`input_hash` tells whether what the model read is unchanged.",
    "daily_trends": "Per UTC day, team, source ('*' = all) and model: counts of posts, authors (voices) and threads; mean in [-1, 1] with its 95 % "
    "interval low..high; shares of voices. NULL figures and sufficient = 0 mean insufficient data: fewer authors than privacy.min_authors.",
    "dirty_days": "Days of a team whose trend has to be computed anew.",
    "crawls": "One row per crawl of a source: counts, `finish_reason` (finished, or why not), the span of post times it covered, its cursor.",
    "runs": "One row per run of a step: when, outcome (ok, failed, timed out, stopped), message.",
    "alerts": "One row per event: what moved (`value`, from `before`), its interval, when it fired and when it was over.",
    "alert_states": "Where each rule stands for each team: normal, pending, firing or resolved, since when, and the last complete day checked.",
    "alert_events": "Every change of such a state, with its reason. Events that people are told of have deliveries.",
    "alert_posts": "The posts that show an alert.",
    "deliveries": "The outbox: one row per event and target, with attempts, the next attempt, and when it was sent.",
    "sources": "Every source that was ever crawled: the first day that its crawls reached back to, the last day it was tried.",
    "covered_days": "Days of a source that a finished crawl has read.",
    "meta": "Facts on the database itself, such as which reader has read its posts.",
    "v_daily": "daily_trends with `coverage` in [0, 1]: the share of the sources crawled at that time whose finished crawls read that day (NULL: imported only).",
    "v_posts": "Posts with one row per score; deleted posts and author keys left out.",
    "v_alerts": "Alerts with the number of messages sent and unsent.",
    "v_coverage": "Per day and source: posts, posts not yet understood, and whether a finished crawl covered the day (NULL: imported only).",
}
