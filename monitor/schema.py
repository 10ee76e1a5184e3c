"""The database's shape, as migrations that are only ever appended, and what each table and column means.

A database is brought up to date when it is opened; one from a newer version is refused and left as it is. Tables may
gain columns; the views `v_daily`, `v_posts`, `v_alerts`, `v_coverage`, `v_corrections` and `v_reviews` keep the
columns that they have, so queries written against them go on working.
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


@migrations()
def m002_corrections(db: Database) -> None:
    """A person's word on a post and a team, which counts in place of every model's."""
    for statement in _CORRECTIONS:
        db.execute(statement)


@migrations()
def m003_two_models(db: Database) -> None:
    """Which of two models that take turns gave a score, and what asking one behind an address costs."""
    for statement in _TWO_MODELS:
        db.execute(statement)


@migrations()
def m004_manners(db: Database) -> None:
    """What hosts' own files allow, how often each was asked, and what was decided on each URL of a source's last crawl."""
    for statement in _MANNERS:
        db.execute(statement)


@migrations()
def m005_echoes(db: Database) -> None:
    """Whose words a post repeats. Posts that were understood before are marked, and grouped by the next `trend`."""
    for statement in _ECHOES:
        db.execute(statement)


@migrations()
def m006_forgetting(db: Database) -> None:
    """Who and what is not to be stored again, posts that only count any more, and when a post was last looked at."""
    for statement in _FORGETTING:
        db.execute(statement)


@migrations()
def m007_effective_voices(db: Database) -> None:
    """How many independent voices a day's are worth. Every day is computed anew by the next `trend`."""
    for statement in _EFFECTIVE:
        db.execute(statement)


@migrations()
def m008_why(db: Database) -> None:
    """What moved the figure of an alert, in the sentences that its message says."""
    for statement in _WHY:
        db.execute(statement)


@migrations()
def m009_reviews(db: Database) -> None:
    """Random samples of what was said, with the probability of everything that could be drawn, and what readers said."""
    for statement in _REVIEWS:
        db.execute(statement)


@migrations()
def m010_states(db: Database) -> None:
    """How the judging of a series goes, why an alert was told to nobody, how severe it is, and silences."""
    for statement in _STATES:
        db.execute(statement)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is pending, inside the caller's transaction; `PRAGMA user_version` then holds the number of migrations."""
    db = Database(connection, execute_plugins=False, recursive_triggers=False)
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
    # Written by hand and not by sqlite-utils' enable_fts, whose trigger would index a post anew whenever it is marked as read.
    """CREATE VIRTUAL TABLE posts_fts USING fts5 (
        title, text, content="posts", content_rowid="id", tokenize="unicode61 remove_diacritics 2")""",
    """CREATE TRIGGER posts_inserted AFTER INSERT ON posts BEGIN
        INSERT INTO posts_fts (rowid, title, text) VALUES (new.id, new.title, new.text); END""",
    """CREATE TRIGGER posts_deleted AFTER DELETE ON posts BEGIN
        INSERT INTO posts_fts (posts_fts, rowid, title, text) VALUES ('delete', old.id, old.title, old.text); END""",
    """CREATE TRIGGER posts_reworded AFTER UPDATE OF title, text ON posts WHEN old.title IS NOT new.title OR old.text <> new.text BEGIN
        INSERT INTO posts_fts (posts_fts, rowid, title, text) VALUES ('delete', old.id, old.title, old.text);
        INSERT INTO posts_fts (rowid, title, text) VALUES (new.id, new.title, new.text); END""",
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
        WITH counts AS (SELECT substr(posted_at, 1, 10) AS day, source, count(*) AS posts, sum(unread > 0) AS unread
                        FROM posts WHERE deleted_at IS NULL GROUP BY 1, 2),
        days AS (SELECT day, source FROM counts UNION SELECT day, source FROM covered_days
                 UNION SELECT substr(started_at, 1, 10), source FROM crawls)
        SELECT days.day, days.source, coalesce(counts.posts, 0) AS posts, coalesce(counts.unread, 0) AS unread,
            CASE WHEN days.source IN (SELECT source FROM sources) THEN EXISTS (
                SELECT 1 FROM covered_days d WHERE d.day = days.day AND d.source = days.source) END AS covered
        FROM days LEFT JOIN counts ON counts.day = days.day AND counts.source = days.source""",
    """CREATE VIEW v_daily AS
        SELECT t.day, t.team, t.source, t.model, t.posts, t.authors, t.threads, t.sufficient, t.mean, t.low, t.high,
            t.negative_share, t.neutral_share, t.positive_share,
            (SELECT avg(EXISTS (SELECT 1 FROM covered_days d WHERE d.day = t.day AND d.source = s.source)) FROM sources s
             WHERE t.day BETWEEN s.first_day AND s.last_day AND t.source IN ('*', s.source)) AS coverage
        FROM daily_trends t""",
    """CREATE VIEW v_posts AS
        SELECT p.id, p.source, p.native_id, p.url, p.thread_id, p.parent_id, p.title, p.text, p.language, p.posted_at, p.date_origin,
            p.edited_at, p.fetched_at, p.kind, s.team, s.model, s.negative, s.neutral, s.positive, s.value, s.label
        FROM posts p LEFT JOIN scores s ON s.post_id = p.id AND p.unread < 2 WHERE p.deleted_at IS NULL""",
    """CREATE VIEW v_alerts AS
        SELECT a.id, a.rule, a.type, a.team, a.source, a.state, a.day, a.fired_at, a.resolved_day, a.resolved_at, a.value, a.before,
            a.threshold, a.low, a.high, a.authors, a.posts, a.reason,
            count(d.id) FILTER (WHERE d.state = 'sent') AS sent, count(d.id) FILTER (WHERE d.state <> 'sent') AS unsent
        FROM alerts a LEFT JOIN alert_events e ON e.alert_id = a.id LEFT JOIN deliveries d ON d.event_id = e.id GROUP BY a.id""",
)

_CORRECTIONS = (
    """CREATE TABLE corrections (
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE, team TEXT NOT NULL, label TEXT NOT NULL,
        text_hash TEXT NOT NULL, note TEXT, corrected_at TEXT NOT NULL, PRIMARY KEY (post_id, team)) WITHOUT ROWID""",
    """DROP VIEW v_posts""",
    """CREATE VIEW v_posts AS
        SELECT p.id, p.source, p.native_id, p.url, p.thread_id, p.parent_id, p.title, p.text, p.language, p.posted_at, p.date_origin,
            p.edited_at, p.fetched_at, p.kind, s.team, s.model, coalesce(1.0 * (c.label = 'negative'), s.negative) AS negative,
            coalesce(1.0 * (c.label = 'neutral'), s.neutral) AS neutral, coalesce(1.0 * (c.label = 'positive'), s.positive) AS positive,
            coalesce(1.0 * ((c.label = 'positive') - (c.label = 'negative')), s.value) AS value, coalesce(c.label, s.label) AS label,
            CASE WHEN s.team IS NOT NULL THEN c.label IS NOT NULL END AS corrected
        FROM posts p LEFT JOIN scores s ON s.post_id = p.id AND p.unread < 2
        LEFT JOIN corrections c ON c.post_id = s.post_id AND c.team = s.team AND c.text_hash = p.text_hash WHERE p.deleted_at IS NULL""",
    """CREATE VIEW v_corrections AS
        SELECT p.id, p.source, p.native_id, p.url, p.posted_at, p.language, c.team, c.label, c.note, c.corrected_at,
            c.text_hash <> p.text_hash AS lapsed, s.model, s.label AS model_label, s.value AS model_value
        FROM corrections c JOIN posts p ON p.id = c.post_id
        LEFT JOIN scores s ON s.post_id = c.post_id AND s.team = c.team AND s.input_hash <> '' AND p.unread < 2
            AND s.model = (SELECT value FROM meta WHERE key = 'model')""",
)

_TWO_MODELS = (
    """ALTER TABLE scores ADD COLUMN read_by TEXT""",
    """UPDATE scores SET read_by = model WHERE input_hash <> ''""",
    """CREATE TABLE spending (
        day TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, cost REAL NOT NULL,
        PRIMARY KEY (day, model)) WITHOUT ROWID""",
    """DROP VIEW v_posts""",
    """CREATE VIEW v_posts AS
        SELECT p.id, p.source, p.native_id, p.url, p.thread_id, p.parent_id, p.title, p.text, p.language, p.posted_at, p.date_origin,
            p.edited_at, p.fetched_at, p.kind, s.team, s.model, coalesce(1.0 * (c.label = 'negative'), s.negative) AS negative,
            coalesce(1.0 * (c.label = 'neutral'), s.neutral) AS neutral, coalesce(1.0 * (c.label = 'positive'), s.positive) AS positive,
            coalesce(1.0 * ((c.label = 'positive') - (c.label = 'negative')), s.value) AS value, coalesce(c.label, s.label) AS label,
            CASE WHEN s.team IS NOT NULL THEN c.label IS NOT NULL END AS corrected, s.read_by
        FROM posts p LEFT JOIN scores s ON s.post_id = p.id AND p.unread < 2
        LEFT JOIN corrections c ON c.post_id = s.post_id AND c.team = s.team AND c.text_hash = p.text_hash WHERE p.deleted_at IS NULL""",
)

_MANNERS = (
    """CREATE TABLE visits (
        crawl_id INTEGER NOT NULL REFERENCES crawls (id) ON DELETE CASCADE, position INTEGER NOT NULL, host TEXT NOT NULL,
        url TEXT NOT NULL, decision TEXT NOT NULL, status INTEGER, reason TEXT NOT NULL, at TEXT NOT NULL,
        PRIMARY KEY (crawl_id, position)) WITHOUT ROWID""",
    """CREATE TABLE site_files (
        host TEXT NOT NULL, path TEXT NOT NULL, text TEXT, verdict TEXT NOT NULL, read_at TEXT NOT NULL, PRIMARY KEY (host, path))""",
    """CREATE TABLE asked (
        host TEXT NOT NULL, minute TEXT NOT NULL, requests INTEGER NOT NULL, PRIMARY KEY (host, minute)) WITHOUT ROWID""",
)

_ECHOES = (
    # The sketch last, so that SQLite does not read through it for the columns before. No reference to posts: the row of a
    # post that is gone is needed until those who repeat it have been told.
    """CREATE TABLE echoes (
        post_id INTEGER PRIMARY KEY, marks INTEGER NOT NULL DEFAULT 0, posted_at TEXT, origin_id INTEGER,
        repost INTEGER NOT NULL DEFAULT 0, sketch BLOB)""",
    """CREATE INDEX echoes_posted_at ON echoes (posted_at)""",
    """CREATE INDEX echoes_marked ON echoes (post_id) WHERE marks > 0""",
    """CREATE TRIGGER mentions_came AFTER INSERT ON mentions BEGIN
        INSERT INTO echoes (post_id) SELECT new.post_id WHERE NOT EXISTS (SELECT 1 FROM echoes WHERE post_id = new.post_id);
        UPDATE echoes SET marks = marks + 1 WHERE post_id = new.post_id; END""",
    """CREATE TRIGGER mentions_went AFTER DELETE ON mentions BEGIN
        UPDATE echoes SET marks = marks + 1 WHERE post_id = old.post_id; END""",
    """CREATE TRIGGER posts_moved AFTER UPDATE OF posted_at, author_key, kind ON posts
        WHEN old.posted_at <> new.posted_at OR old.author_key IS NOT new.author_key OR old.kind <> new.kind BEGIN
        UPDATE echoes SET marks = marks + 1 WHERE post_id = new.id; END""",
    """INSERT INTO echoes (post_id, marks) SELECT DISTINCT post_id, 1 FROM mentions""",
)

_FORGETTING = (
    """ALTER TABLE posts ADD COLUMN looked_at TEXT""",
    """ALTER TABLE posts ADD COLUMN retired INTEGER NOT NULL DEFAULT 0""",
    """CREATE TABLE forgotten (
        source TEXT NOT NULL, kind TEXT NOT NULL, mark TEXT NOT NULL, forgotten_on TEXT NOT NULL,
        PRIMARY KEY (source, kind, mark)) WITHOUT ROWID""",
    """DROP VIEW v_coverage""",
    """CREATE VIEW v_coverage AS
        WITH counts AS (SELECT substr(posted_at, 1, 10) AS day, source, count(*) AS posts, sum(unread > 0) AS unread
                        FROM posts WHERE deleted_at IS NULL OR retired GROUP BY 1, 2),
        days AS (SELECT day, source FROM counts UNION SELECT day, source FROM covered_days
                 UNION SELECT substr(started_at, 1, 10), source FROM crawls)
        SELECT days.day, days.source, coalesce(counts.posts, 0) AS posts, coalesce(counts.unread, 0) AS unread,
            CASE WHEN days.source IN (SELECT source FROM sources) THEN EXISTS (
                SELECT 1 FROM covered_days d WHERE d.day = days.day AND d.source = days.source) END AS covered
        FROM days LEFT JOIN counts ON counts.day = days.day AND counts.source = days.source""",
)

_EFFECTIVE = (
    """ALTER TABLE daily_trends ADD COLUMN effective REAL""",
    """DROP VIEW v_daily""",
    """CREATE VIEW v_daily AS
        SELECT t.day, t.team, t.source, t.model, t.posts, t.authors, t.threads, t.sufficient, t.mean, t.low, t.high,
            t.negative_share, t.neutral_share, t.positive_share,
            (SELECT avg(EXISTS (SELECT 1 FROM covered_days d WHERE d.day = t.day AND d.source = s.source)) FROM sources s
             WHERE t.day BETWEEN s.first_day AND s.last_day AND t.source IN ('*', s.source)) AS coverage, t.effective
        FROM daily_trends t""",
    """INSERT INTO dirty_days SELECT DISTINCT day, team, 1 FROM daily_trends WHERE true
        ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
)

_WHY = (
    """ALTER TABLE alerts ADD COLUMN why TEXT""",
    """DROP VIEW v_alerts""",
    """CREATE VIEW v_alerts AS
        SELECT a.id, a.rule, a.type, a.team, a.source, a.state, a.day, a.fired_at, a.resolved_day, a.resolved_at, a.value, a.before,
            a.threshold, a.low, a.high, a.authors, a.posts, a.reason,
            count(d.id) FILTER (WHERE d.state = 'sent') AS sent, count(d.id) FILTER (WHERE d.state <> 'sent') AS unsent, a.why
        FROM alerts a LEFT JOIN alert_events e ON e.alert_id = a.id LEFT JOIN deliveries d ON d.event_id = e.id GROUP BY a.id""",
)

_REVIEWS = (
    """CREATE TABLE draws (
        id INTEGER PRIMARY KEY, day TEXT NOT NULL, team TEXT NOT NULL, count INTEGER NOT NULL, seed INTEGER NOT NULL,
        drawn_at TEXT NOT NULL)""",
    """CREATE TABLE reviews (
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE, team TEXT NOT NULL,
        draw_id INTEGER NOT NULL REFERENCES draws (id), text_hash TEXT NOT NULL, probability REAL NOT NULL, position INTEGER,
        label TEXT, read_by TEXT, read_at TEXT,
        PRIMARY KEY (post_id, team)) WITHOUT ROWID""",
    """CREATE INDEX reviews_drawn ON reviews (draw_id) WHERE position IS NOT NULL""",
    """CREATE VIEW v_reviews AS
        SELECT r.post_id AS id, r.team, r.draw_id, d.day, d.drawn_at, r.probability, r.position,
            CASE r.read_by WHEN 'person' THEN c.label ELSE r.label END AS label, r.read_by, r.read_at
        FROM reviews r JOIN draws d ON d.id = r.draw_id JOIN posts p ON p.id = r.post_id AND p.text_hash = r.text_hash
        LEFT JOIN corrections c ON c.post_id = r.post_id AND c.team = r.team AND c.text_hash = r.text_hash""",
    """DROP VIEW v_corrections""",
    """CREATE VIEW v_corrections AS
        SELECT p.id, p.source, p.native_id, p.url, p.posted_at, p.language, c.team, c.label, c.note, c.corrected_at,
            c.text_hash <> p.text_hash AS lapsed, s.model, s.label AS model_label, s.value AS model_value,
            EXISTS (SELECT 1 FROM reviews r WHERE r.post_id = c.post_id AND r.team = c.team AND r.text_hash = c.text_hash
                    AND r.read_by = 'person') AS drawn
        FROM corrections c JOIN posts p ON p.id = c.post_id
        LEFT JOIN scores s ON s.post_id = c.post_id AND s.team = c.team AND s.input_hash <> '' AND p.unread < 2
            AND s.model = (SELECT value FROM meta WHERE key = 'model')""",
)

_STATES = (
    """ALTER TABLE alert_states ADD COLUMN health TEXT NOT NULL DEFAULT 'ok'""",
    """ALTER TABLE alerts ADD COLUMN severity TEXT""",
    """ALTER TABLE alerts ADD COLUMN untold TEXT""",
    """ALTER TABLE alerts ADD COLUMN part_of INTEGER REFERENCES alerts (id)""",
    """CREATE TABLE silences (
        id INTEGER PRIMARY KEY, rule TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL, begins_at TEXT NOT NULL,
        ends_at TEXT NOT NULL, reason TEXT NOT NULL)""",
    """DROP VIEW v_alerts""",
    """CREATE VIEW v_alerts AS
        SELECT a.id, a.rule, a.type, a.team, a.source, a.state, a.day, a.fired_at, a.resolved_day, a.resolved_at, a.value, a.before,
            a.threshold, a.low, a.high, a.authors, a.posts, a.reason,
            count(d.id) FILTER (WHERE d.state = 'sent') AS sent, count(d.id) FILTER (WHERE d.state <> 'sent') AS unsent, a.why,
            a.severity, a.untold, a.part_of
        FROM alerts a LEFT JOIN alert_events e ON e.alert_id = a.id LEFT JOIN deliveries d ON d.event_id = e.id GROUP BY a.id""",
)

DESCRIPTIONS: dict[str, str] = {
    "posts": "One row per public post: its author's own words, plain. With `deleted_at` it is a tombstone: the words are gone for good.",
    "posts_fts": "Full-text index of posts.title and posts.text (FTS5); its rowid is posts.id.",
    "mentions": "Where a post names a team: [start, end) character offsets into posts.text.",
    "scores": "Sentiment of a post toward a team, by one model: negative + neutral + positive = 1, value = positive - negative. "
    "What counts is this, or the post's correction.",
    "corrections": "A person's label of a post toward a team. It counts in place of every model's score, as long as the post's words are "
    "those that the person read (`text_hash`).",
    "spending": "What asking the model behind scorer.endpoint has cost, per UTC day and model.",
    "draws": "One row per random sample: of which day and team (`*`: all together), how many posts of the day were wanted, and when.",
    "reviews": "What draws could have drawn, each with its probability; what was drawn has a `position`, and what was read a reader.",
    "daily_trends": "Per UTC day, team, source and model: counts, shares of voices, and the mean with its 95 % interval low..high. "
    "NULL figures and sufficient = 0 mean insufficient data: fewer authors than privacy.min_authors.",
    "echoes": "Whose words a post repeats, for every post that names a team. A repost is no voice and not in the trends.",
    "dirty_days": "Days of a team whose trend has to be computed anew.",
    "crawls": "One row per crawl of a source: what it stored, how it ended, the span of post times it covered, its cursor.",
    "runs": "One row per run of a step: when, and how it ended.",
    "alerts": "One row per event: what moved (`value`, from `before`), its interval, when it fired and when it was over.",
    "alert_states": "Where each rule stands for each team and source, since when, the last complete day it has checked, and how that went.",
    "alert_events": "Every change of such a state or health, with its reason. Events that people are told of have deliveries.",
    "silences": "Which alerts are kept and not sent, from when to when, and why.",
    "alert_posts": "The posts that show an alert, in order.",
    "deliveries": "The outbox: one row per event and target.",
    "sources": "Every source that was ever crawled, and the days that its crawls span.",
    "visits": "What was decided on each URL of each source's last crawl: asked or refused, and why.",
    "site_files": "What each host's robots.txt and tdmrep.json held when last read, and what followed; a day old it is read anew.",
    "asked": "Requests made to each host by minute, of the last hours: what sources.per_hour is counted by.",
    "covered_days": "Days of a source that a finished crawl has read.",
    "forgotten": "Whose posts, and which threads' titles, are not stored again; and which sources were forgotten whole.",
    "meta": "Facts on the database itself: `reader` (what reads its posts), `model` (whose scores are shown), "
    "`leftovers` (since when words that are gone linger in the index), `retired:SOURCE` (the day before which its posts were retired), "
    "`heartbeat` (the end of the last run of `alert` that notify.heartbeat was told of).",
    "v_daily": "daily_trends with `coverage`: how far the sources crawled at that time were read on that day.",
    "v_posts": "Posts with one row per score, or per correction in its place; deleted posts and author keys left out.",
    "v_corrections": "Corrections with their posts' addresses, and what the model that is shown made of the same post and team.",
    "v_reviews": "reviews of posts that have kept their words, with the day and time of the draw and the reader's label.",
    "v_alerts": "Alerts with the number of messages sent and unsent.",
    "v_coverage": "Per UTC day and source: posts, posts not yet understood, and whether a finished crawl covered the day.",
}
"""What each table and view is for."""

COLUMNS: dict[str, str] = {
    "after": "the state or health that began; `firing` after `firing`: told again",
    "alert_id": "alerts.id",
    "at": "when, UTC",
    "attempts": "how often it was tried",
    "author_key": "keyed hash of the author's name within the source; the name itself is nowhere",
    "authors": "distinct voices: authors, or threads where no author is known",
    "before": "what the value was before, in the rule's own unit",
    "alert_events.before": "the state or health that ended",
    "begins_at": "when, UTC",
    "changed": "known posts that had changed",
    "checked_day": "the last complete UTC day that the rule has judged",
    "corrected": "1 if a person's correction stands in place of the model's figures, else 0",
    "corrected_at": "when the person said so, UTC",
    "count": "posts that were to be drawn of a day",
    "coverage": "share in [0, 1] of the sources crawled at that time whose finished crawls read that day; NULL: imported only",
    "cost": "in the currency of scorer.price; 0 where no price is given",
    "covered": "1 if a finished crawl read the day, else 0; NULL: imported only",
    "covered_from": "the oldest post time that the crawl read whole, UTC",
    "covered_to": "the newest, UTC",
    "created_at": "when it came into the outbox, UTC",
    "crawl_id": "crawls.id",
    "cursor": "where the next crawl goes on, as JSON",
    "date_origin": "`site`, or `fetched` where the site gave no usable date",
    "day": "UTC calendar day",
    "decision": "`asked`, or `refused`: by the site's rules, its budget, or after it showed that it does not want to be read",
    "deleted": "posts whose words were removed",
    "deleted_at": "when the post's words were removed, UTC; NULL while it lives",
    "draw_id": "draws.id",
    "drawn": "1 if the post was drawn at random and read for `review`; what somebody thought worth correcting is no sample",
    "drawn_at": "when, UTC; what became known later was not among what could be drawn",
    "edited_at": "when its author last edited it, UTC",
    "end": "offset behind the mention's last character",
    "ended_at": "UTC; NULL while it goes on",
    "ends_at": "when, UTC",
    "error": "why the last attempt failed; where it was sent all the same, whom it did not reach",
    "event_id": "alert_events.id",
    "fetched_at": "when its present words were fetched, UTC",
    "finish_reason": "`finished`, or why the crawl did not come to its end",
    "fired_at": "when the alert fired, UTC",
    "forgotten_on": "UTC day",
    "first_day": "the first UTC day that its crawls reached back to",
    "health": "how judging the last complete day went: `ok`, `no data`, `inhibited` (not read whole) or `error`",
    "high": "upper end of the 95 % interval",
    "host": "scheme, name and port",
    "id": "number of the row",
    "input_hash": "tells whether what the model read is unchanged; empty: the model gave no score, and a correction holds its place",
    "key": "the fact's name",
    "kind": "`voice`, `press` or `import`; press is no voice and not in the trends",
    "label": "the likeliest of negative, neutral and positive",
    "corrections.label": "negative, neutral or positive, as a person says",
    "v_corrections.label": "negative, neutral or positive, as a person says",
    "reviews.label": "negative, neutral or positive, as a model says; a person's label is in corrections",
    "v_reviews.label": "negative, neutral or positive, as its reader says; NULL: not read",
    "language": "ISO 639 code",
    "last_day": "the last UTC day on which it was crawled",
    "lapsed": "1 if the post was reworded since: the correction counts no more, until the person gives it again",
    "forgotten.kind": "`author`, `title` or `source`",
    "looked_at": "when an older post was last looked at again, UTC; NULL: not since `fetched_at`",
    "low": "lower end of the 95 % interval",
    "mark": "a hash of what is not to come back, which tells nothing of it to who does not know it; the name of a source",
    "marks": "how often it was marked",
    "mean": "mean of the voices' values, -1..1",
    "message": "what went wrong, in a sentence",
    "minute": "when it began, UTC",
    "model": "name@revision of the sentiment model, or of the two that take turns (scorer.escalate_below); figures never mix two of these",
    "model_label": "the model's own label; NULL: it gave none to the present words",
    "model_value": "the model's own value, -1..1",
    "native_id": "the post's id on its site; `hidden:` and a hash of it where the post was forgotten or retired",
    "negative": "probability, 0..1",
    "negative_share": "share of voices, 0..1",
    "neutral": "probability, 0..1",
    "neutral_share": "share of voices, 0..1",
    "new": "posts not known before",
    "next_attempt_at": "not tried again before, UTC",
    "note": "why, in the person's words",
    "origin_id": "posts.id of the earlier post that holds most of this one; NULL: none is known",
    "outcome": "`ok`, `failed`, `stopped` or `killed`; NULL while it goes on",
    "part_of": "alerts.id of the alert that was told in its place, since both tell of one turn; NULL: none",
    "parent_id": "native_id of the post it answers",
    "path": "/robots.txt or /.well-known/tdmrep.json",
    "position": "its place in the message, from 0",
    "visits.position": "its place in the crawl, from 0",
    "reviews.position": "its place in the order to read in, from 0; NULL: not drawn",
    "v_reviews.position": "its place in the order to read in, from 0; NULL: not drawn",
    "positive": "probability, 0..1",
    "positive_share": "share of voices, 0..1",
    "post_id": "posts.id",
    "posted_at": "when it was posted, UTC",
    "posts": "number of posts",
    "probability": "how likely it was to be drawn, above 0 and at most 1",
    "reviews.read_at": "when, UTC",
    "v_reviews.read_at": "when, UTC",
    "reviews.read_by": "`person`, or name@revision of the model that read it; NULL: not read",
    "v_reviews.read_by": "`person`, or name@revision of the model that read it; NULL: not read",
    "read_at": "when it was read, or could not be, UTC",
    "read_by": "name@revision of the very model that gave the score, which of two that take turns it was; NULL: a correction alone",
    "reason": "why, in a sentence",
    "visits.reason": "why it was refused, not answered, or its answer not used; empty where all went well",
    "rejected": "entries of the site that are no usable posts",
    "repost": "1 if most of its words were first said by other people, else 0",
    "requests": "requests made",
    "resolved_at": "when the alert was over, UTC",
    "resolved_day": "the UTC day that ended it",
    "retired": "1 if its words, address and author went by privacy.retention, and it still counts in its day's figures",
    "rule": "the rule's id in config.yaml",
    "silences.reason": "why, in the person's words",
    "silences.rule": "the rule's id; `*`: every rule",
    "scored_at": "UTC",
    "seed": "what the sample can be drawn again with",
    "sent": "messages sent",
    "severity": "that of the rule, in config.yaml's own words; NULL: none",
    "silences.source": "`*`: alerts on every source, and those on all together",
    "sent_at": "when it went out, UTC",
    "since": "the UTC day on which the state began",
    "sketch": "hashes of some of its words, by which posts to compare are found; empty: too short; NULL: not made yet",
    "source": "the source's name in config.yaml, or of an import; `*` is all together",
    "start": "offset of the mention's first character (Unicode code points)",
    "started_at": "UTC",
    "state": "`normal`, `pending`, `firing`, `recovering` or `resolved`",
    "deliveries.state": "`due`, `sending`, `sent` or `failed` (given up)",
    "status": "the answer's HTTP status; NULL: there was none",
    "step": "collect, understand, trend, alert, deliver, ...",
    "streak": "days in a row toward the next state",
    "sufficient": "1 if there were enough authors for figures",
    "target": "the target's name; never its URL, which may hold a password",
    "team": "the team's id in config.yaml",
    "silences.team": "the team's id; `*`: every team, and alerts on sources as a whole",
    "text": "the author's own words; those of a post that opens a thread begin with its title",
    "site_files.text": "the file; empty: there is none; NULL: it could not be read",
    "text_hash": "tells whether the text is unchanged",
    "reviews.text_hash": "posts.text_hash of the words that could be drawn",
    "corrections.text_hash": "posts.text_hash of the words that the person read",
    "thread_id": "the thread's id on its site",
    "threads": "distinct threads",
    "tokens": "tokens asked and answered, as the endpoint counts them; estimated where it does not say",
    "threshold": "the rule's threshold when it fired",
    "title": "the thread's title",
    "type": "the rule's type",
    "unchanged": "posts known as they were",
    "unread": "0 understood, 1 not yet, 2 reworded since: its scores are of older words and count nowhere",
    "v_coverage.unread": "posts not yet understood",
    "untold": "why nobody was told so far, in a sentence; NULL: it was told",
    "unsent": "messages that wait, or were given up",
    "url": "the post's address",
    "visits.url": "what was to be asked, without query and password",
    "value": "positive - negative, -1..1",
    "alerts.value": "what the rule judged, in its own unit",
    "v_alerts.value": "what the rule judged, in its own unit",
    "meta.value": "the fact",
    "verdict": "what follows from it, in words",
    "why": "what moved the figure, in sentences; NULL: nothing that could be told of enough people",
    "variance": "variance of one voice's value",
    "effective": "independent voices that are as much evidence as `authors`, since those of one thread have something in common",
}
"""What a column holds: `column`, or `table.column` where the same word means something else there."""
