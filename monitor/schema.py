"""The database's shape, as migrations that are only ever appended. What tables and columns mean stands in monitor/glossary.py.

A database is brought up to date when it is opened; one from a newer version is refused and left as it is. Tables may
gain columns; the views `v_daily`, `v_posts`, `v_alerts`, `v_coverage`, `v_corrections`, `v_reviews` and
`v_corrected_weeks` keep the columns that they have, so queries written against them go on working.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from sqlite_utils import Database, Migrations

migrations = Migrations("forum_monitor")


def _execute(db: Database, statements: Iterable[str]) -> None:
    for statement in statements:
        db.execute(statement)


@migrations()
def m001_initial(db: Database) -> None:
    """The store as first released."""
    _execute(db, _INITIAL)


@migrations()
def m002_corrections(db: Database) -> None:
    """A person's word on a post and a team, which counts in place of every model's."""
    _execute(db, _CORRECTIONS)


@migrations()
def m003_two_models(db: Database) -> None:
    """Which of two models that take turns gave a score, and what asking one behind an address costs."""
    _execute(db, _TWO_MODELS)


@migrations()
def m004_manners(db: Database) -> None:
    """What hosts' own files allow, how often each was asked, and what was decided on each URL of a source's last crawl."""
    _execute(db, _MANNERS)


@migrations()
def m005_echoes(db: Database) -> None:
    """Whose words a post repeats. Posts that were understood before are marked, and grouped by the next `trend`."""
    _execute(db, _ECHOES)


@migrations()
def m006_forgetting(db: Database) -> None:
    """Who and what is not to be stored again, posts that only count any more, and when a post was last looked at."""
    _execute(db, _FORGETTING)


@migrations()
def m007_effective_voices(db: Database) -> None:
    """How many independent voices a day's are worth. Every day is computed anew by the next `trend`."""
    _execute(db, _EFFECTIVE)


@migrations()
def m008_why(db: Database) -> None:
    """What moved the figure of an alert, in the sentences that its message says."""
    _execute(db, _WHY)


@migrations()
def m009_reviews(db: Database) -> None:
    """Random samples of what was said, with the probability of everything that could be drawn, and what readers said."""
    _execute(db, _REVIEWS)


@migrations()
def m010_states(db: Database) -> None:
    """How the judging of a series goes, why an alert was told to nobody, how severe it is, and silences."""
    _execute(db, _STATES)


@migrations()
def m011_digests(db: Database) -> None:
    """Messages that no single event makes: digests, and what several events of one round say together; what a far side asked for."""
    _execute(db, _DIGESTS)


@migrations()
def m012_corrected_weeks(db: Database) -> None:
    """Corrected figures of weeks, and which weeks wait for theirs: all of them, until the next `trend`."""
    _execute(db, _CORRECTED_WEEKS)


@migrations()
def m013_spreads(db: Database) -> None:
    """How voices of a day differ, and those of its threads. Every day is computed anew by the next `trend`."""
    _execute(db, _SPREADS)


@migrations()
def m014_quick_views(db: Database) -> None:
    """Posts by day and source are counted as they come, for `v_coverage`; `v_posts` of one team is read from the newest post on."""
    _execute(db, _QUICK_VIEWS)


@migrations()
def m015_archives(db: Database) -> None:
    """Days that are kept in archives, as figures and a few posts that show them, which are no voices."""
    _execute(db, _ARCHIVES)


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

_DIGESTS = (
    """ALTER TABLE alert_events ADD COLUMN told_with INTEGER REFERENCES alert_events (id)""",
    """CREATE INDEX alert_events_told_with ON alert_events (told_with) WHERE told_with IS NOT NULL""",
    # SQLite cannot take NOT NULL from a column: the table is made anew. The view goes first, since it names the table.
    """DROP VIEW v_alerts""",
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY, event_id INTEGER REFERENCES alert_events (id), digest TEXT, digest_day TEXT, target TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, next_attempt_at TEXT, retry_after TEXT,
        sent_at TEXT, error TEXT, UNIQUE (event_id, target), UNIQUE (digest, digest_day, target),
        CHECK ((event_id IS NULL) = (digest IS NOT NULL AND digest_day IS NOT NULL)))""",
    """INSERT INTO outbox (id, event_id, target, state, attempts, created_at, next_attempt_at, sent_at, error)
        SELECT id, event_id, target, state, attempts, created_at, next_attempt_at, sent_at, error FROM deliveries""",
    """DROP TABLE deliveries""",
    """ALTER TABLE outbox RENAME TO deliveries""",
    """CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE state IN ('due', 'sending')""",
    """CREATE INDEX deliveries_held ON deliveries (retry_after) WHERE retry_after IS NOT NULL""",
    """CREATE VIEW v_alerts AS
        SELECT a.id, a.rule, a.type, a.team, a.source, a.state, a.day, a.fired_at, a.resolved_day, a.resolved_at, a.value, a.before,
            a.threshold, a.low, a.high, a.authors, a.posts, a.reason,
            count(d.id) FILTER (WHERE d.state = 'sent') AS sent, count(d.id) FILTER (WHERE d.state <> 'sent') AS unsent, a.why,
            a.severity, a.untold, a.part_of
        FROM alerts a LEFT JOIN alert_events e ON e.alert_id = a.id
        LEFT JOIN deliveries d ON d.event_id = coalesce(e.told_with, e.id) GROUP BY a.id""",
)

# No week ends after the year 9999: such a date is NULL.
_WEEKS_OF_DAY = """INSERT INTO dirty_weeks SELECT date(new.day, '+' || value || ' days') AS ends, new.team, 1
        FROM json_each('[0,1,2,3,4,5,6]') WHERE ends IS NOT NULL ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1"""

_CORRECTED_WEEKS = (
    """CREATE TABLE corrected_weeks (
        day TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL, method TEXT NOT NULL, posts INTEGER NOT NULL,
        authors INTEGER NOT NULL, read INTEGER NOT NULL, readers TEXT NOT NULL, mean REAL NOT NULL, low REAL NOT NULL,
        high REAL NOT NULL, negative_share REAL NOT NULL, negative_low REAL NOT NULL, negative_high REAL NOT NULL,
        model_mean REAL NOT NULL, model_negative_share REAL NOT NULL, PRIMARY KEY (team, day, model)) WITHOUT ROWID""",
    """CREATE TABLE dirty_weeks (day TEXT NOT NULL, team TEXT NOT NULL, marks INTEGER NOT NULL, PRIMARY KEY (day, team)) WITHOUT ROWID""",
    f"""CREATE TRIGGER weeks_of_new AFTER INSERT ON dirty_days BEGIN {_WEEKS_OF_DAY}; END""",
    f"""CREATE TRIGGER weeks_of_marked AFTER UPDATE ON dirty_days BEGIN {_WEEKS_OF_DAY}; END""",
    """CREATE VIEW v_corrected_weeks AS
        SELECT day, team, model, method, posts, authors, read, readers, mean, low, high, negative_share, negative_low, negative_high,
            model_mean, model_negative_share FROM corrected_weeks""",
)

_SPREADS = (
    """CREATE TABLE daily_spreads (
        day TEXT NOT NULL, team TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL, voices INTEGER NOT NULL,
        total REAL NOT NULL, crowding REAL NOT NULL, within_df REAL NOT NULL, between_df REAL NOT NULL,
        within_squares REAL NOT NULL, between_squares REAL NOT NULL, sizes REAL NOT NULL, PRIMARY KEY (day, team, source, model),
        FOREIGN KEY (day, team, source, model) REFERENCES daily_trends ON DELETE CASCADE) WITHOUT ROWID""",
    """INSERT INTO dirty_days SELECT DISTINCT day, team, 1 FROM daily_trends WHERE true
        ON CONFLICT (day, team) DO UPDATE SET marks = marks + 1""",
)

_COUNTS = "({0}.deleted_at IS NULL OR {0}.retired)"
_COUNT_NEW = f"""INSERT INTO post_days SELECT substr(new.posted_at, 1, 10), new.source, 1, new.unread > 0 WHERE {_COUNTS.format("new")}
        ON CONFLICT (day, source) DO UPDATE SET posts = posts + 1, unread = unread + excluded.unread"""
_UNCOUNT_OLD = f"""UPDATE post_days SET posts = posts - 1, unread = unread - (old.unread > 0)
        WHERE day = substr(old.posted_at, 1, 10) AND source = old.source AND {_COUNTS.format("old")}"""
_COUNTED = ("posted_at", "source", "unread", "deleted_at", "retired")

_QUICK_VIEWS = (
    """CREATE TABLE post_days (
        day TEXT NOT NULL, source TEXT NOT NULL, posts INTEGER NOT NULL, unread INTEGER NOT NULL,
        PRIMARY KEY (day, source)) WITHOUT ROWID""",
    f"""INSERT INTO post_days SELECT substr(posted_at, 1, 10), source, count(*), sum(unread > 0)
        FROM posts WHERE {_COUNTS.format("posts")} GROUP BY 1, 2""",
    f"""CREATE TRIGGER post_days_new AFTER INSERT ON posts BEGIN {_COUNT_NEW}; END""",
    f"""CREATE TRIGGER post_days_gone AFTER DELETE ON posts BEGIN {_UNCOUNT_OLD}; END""",
    f"""CREATE TRIGGER post_days_changed AFTER UPDATE OF {", ".join(_COUNTED)} ON posts
        WHEN ({", ".join(f"old.{name}" for name in _COUNTED)}) IS NOT ({", ".join(f"new.{name}" for name in _COUNTED)})
        BEGIN {_UNCOUNT_OLD}; {_COUNT_NEW}; END""",
    """DROP VIEW v_coverage""",
    """CREATE VIEW v_coverage AS
        WITH counts AS (SELECT day, source, posts, unread FROM post_days WHERE posts > 0),
        days AS (SELECT day, source FROM counts UNION SELECT day, source FROM covered_days
                 UNION SELECT substr(started_at, 1, 10), source FROM crawls)
        SELECT days.day, days.source, coalesce(counts.posts, 0) AS posts, coalesce(counts.unread, 0) AS unread,
            CASE WHEN days.source IN (SELECT source FROM sources) THEN EXISTS (
                SELECT 1 FROM covered_days d WHERE d.day = days.day AND d.source = days.source) END AS covered
        FROM days LEFT JOIN counts ON counts.day = days.day AND counts.source = days.source""",
    """DROP VIEW v_posts""",
    # The plus keeps SQLite from beginning with all scores where a team is asked for: a million of them, then sorted.
    _TWO_MODELS[-1].replace("s.post_id = p.id AND", "s.post_id = +p.id AND"),
)

# A post of an archive that shows its day is not counted: the archive's whole day is.
_COUNTS_HERE = f"({_COUNTS} AND NOT {{0}}.archived)"
_COUNT_NEW_HERE = _COUNT_NEW.replace(_COUNTS.format("new"), _COUNTS_HERE.format("new"))
_UNCOUNT_OLD_HERE = _UNCOUNT_OLD.replace(_COUNTS.format("old"), _COUNTS_HERE.format("old"))
_COUNTED_HERE = (*_COUNTED, "archived")

# What somebody has a right to be forgotten may be in an archive's files, whatever wrote that here.
_UNCLEAN = "UPDATE archives SET unclean = 1 WHERE NOT unclean AND EXISTS (SELECT 1 FROM json_each(sources) WHERE value = new.source)"

_ARCHIVES = (
    """ALTER TABLE posts ADD COLUMN archived INTEGER NOT NULL DEFAULT 0""",
    """CREATE TABLE archives (
        name TEXT PRIMARY KEY, root TEXT NOT NULL, run TEXT NOT NULL, model TEXT NOT NULL, reader TEXT NOT NULL, sources TEXT NOT NULL,
        first_day TEXT NOT NULL, last_day TEXT NOT NULL, words INTEGER NOT NULL, folded_at TEXT NOT NULL,
        unclean INTEGER NOT NULL, retired TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE archived_days (
        day TEXT NOT NULL, archive TEXT NOT NULL, digest TEXT NOT NULL, posts INTEGER NOT NULL,
        PRIMARY KEY (day, archive)) WITHOUT ROWID""",
    """CREATE TABLE archived_teams (
        day TEXT NOT NULL, team TEXT NOT NULL, archive TEXT NOT NULL, PRIMARY KEY (day, team, archive)) WITHOUT ROWID""",
    """CREATE TABLE archived_sources (
        day TEXT NOT NULL, source TEXT NOT NULL, archive TEXT NOT NULL, posts INTEGER NOT NULL,
        PRIMARY KEY (day, source, archive)) WITHOUT ROWID""",
    """CREATE INDEX posts_archived ON posts (posted_at) WHERE archived""",
    f"""CREATE TRIGGER archives_of_marked AFTER INSERT ON forgotten WHEN new.kind <> 'source' BEGIN {_UNCLEAN}; END""",
    f"""CREATE TRIGGER archives_of_hidden AFTER UPDATE OF native_id ON posts WHEN new.native_id <> old.native_id AND NOT new.retired
        BEGIN {_UNCLEAN}; END""",
    f"""CREATE TRIGGER archives_of_buried AFTER INSERT ON posts
        WHEN new.native_id >= 'hidden:' AND new.native_id < 'hidden;' AND NOT new.retired BEGIN {_UNCLEAN}; END""",
    *(f"DROP TRIGGER post_days_{what}" for what in ("new", "gone", "changed")),
    f"""CREATE TRIGGER post_days_new AFTER INSERT ON posts BEGIN {_COUNT_NEW_HERE}; END""",
    f"""CREATE TRIGGER post_days_gone AFTER DELETE ON posts BEGIN {_UNCOUNT_OLD_HERE}; END""",
    f"""CREATE TRIGGER post_days_changed AFTER UPDATE OF {", ".join(_COUNTED_HERE)} ON posts
        WHEN ({", ".join(f"old.{name}" for name in _COUNTED_HERE)}) IS NOT ({", ".join(f"new.{name}" for name in _COUNTED_HERE)})
        BEGIN {_UNCOUNT_OLD_HERE}; {_COUNT_NEW_HERE}; END""",
    """DROP VIEW v_coverage""",
    """CREATE VIEW v_coverage AS
        WITH counts AS (SELECT day, source, max(posts) AS posts, sum(unread) AS unread FROM (
                SELECT day, source, posts, unread FROM post_days WHERE posts > 0
                UNION ALL SELECT day, source, posts, 0 FROM archived_sources) GROUP BY day, source),
        days AS (SELECT day, source FROM counts UNION SELECT day, source FROM covered_days
                 UNION SELECT substr(started_at, 1, 10), source FROM crawls)
        SELECT days.day, days.source, coalesce(counts.posts, 0) AS posts, coalesce(counts.unread, 0) AS unread,
            CASE WHEN days.source IN (SELECT source FROM sources) THEN EXISTS (
                SELECT 1 FROM covered_days d WHERE d.day = days.day AND d.source = days.source) END AS covered
        FROM days LEFT JOIN counts ON counts.day = days.day AND counts.source = days.source""",
)
