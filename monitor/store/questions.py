"""Questions that readers ask of the figures, in SQL: the same of the store itself and of a published snapshot.

The promise: a parameter that is left empty asks of all, and each answer is read by an index or from figures, never from every post.
"""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """A query with its title, and what it answers. Its `:parameters` are text."""

    title: str
    description: str
    sql: str


class Tables(NamedTuple):
    """What the tables are called, and `shown`, the condition for the figures of the model in use."""

    daily: str
    alerts: str
    covered: str
    shown: str


STORE = Tables("v_daily", "v_alerts", "covered_days", "model = (SELECT value FROM meta WHERE key = 'model')")
SNAPSHOT = Tables("daily", "alerts", "(SELECT day, source FROM coverage WHERE covered)", "true")


def questions(tables: Tables) -> dict[str, Question]:
    """Every question by its name in addresses."""
    daily, alerts, covered, shown = tables
    return {
        "team_month": Question(
            "A team’s last 30 days",
            "Mean, interval, people and coverage of each day, all sources together. `team`: an id; empty: every team.",
            f"""SELECT day, team, mean, low, high, authors, posts, negative_share, coverage FROM {daily}
WHERE day > (SELECT date(max(day), '-30 days') FROM {daily}) AND source = '*' AND {shown}
  AND (:team = '' OR team = :team)
ORDER BY day DESC, team""",
        ),
        "most_negative_days": Question(
            "The most negative days",
            "Days whose whole interval lies below zero, the lowest mean first. `team`: an id; empty: every team.",
            f"""SELECT day, team, mean, low, high, authors, posts, negative_share, coverage FROM {daily}
WHERE source = '*' AND high < 0 AND {shown} AND (:team = '' OR team = :team)
ORDER BY mean, day LIMIT 100""",
        ),
        "alerts_of_a_year": Question(
            "Alerts of a year",
            "What fired, when it was over, and why. `year`: four digits; empty: every year.",
            f"""SELECT day, resolved_day, rule, team, source, state, value, low, high, authors, reason, why FROM {alerts}
WHERE :year = '' OR substr(day, 1, 4) = :year
ORDER BY day DESC, id DESC""",
        ),
        "coverage_gaps": Question(
            "Coverage gaps",
            "Runs of days that no finished crawl of a source has read, within the days that its crawls span. `source`: its name; empty: "
            "every source.",
            f"""WITH RECURSIVE span (source, day, last_day) AS (
  SELECT source, first_day, last_day FROM sources WHERE first_day <= last_day AND (:source = '' OR source = :source)
  UNION ALL SELECT source, date(day, '+1 day'), last_day FROM span WHERE day < last_day),
gaps AS (
  SELECT source, day, julianday(day) - row_number() OVER (PARTITION BY source ORDER BY day) AS run FROM span
  WHERE NOT EXISTS (SELECT 1 FROM {covered} c WHERE c.day = span.day AND c.source = span.source))
SELECT source, min(day) AS first_day, max(day) AS last_day, count(*) AS days FROM gaps GROUP BY source, run
ORDER BY last_day DESC, source""",
        ),
    }


POSTS_OF_A_DAY = Question(
    "Posts of a day",
    "Posts of a UTC day, the newest 300, with what the model in use, or a correction, says of them. `day`: such as 2025-01-23; empty: "
    "the newest day. "
    "`team`: an id; empty: every team.",
    """SELECT posted_at, source, team, label, value, corrected, text, url FROM v_posts
WHERE posted_at >= coalesce(nullif(:day, ''), (SELECT substr(max(posted_at), 1, 10) FROM posts))
  AND posted_at < coalesce(nullif(:day, ''), (SELECT substr(max(posted_at), 1, 10) FROM posts)) || 'T24'
  AND model = (SELECT value FROM meta WHERE key = 'model') AND (:team = '' OR team = :team)
ORDER BY posted_at DESC, id DESC LIMIT 300""",
)
"""Of the store alone: what leaves it has no posts with figures."""

LINKS_OF_A_DAY = Question(
    "Links of a day",
    "Where posts of a UTC day stand, the newest 300. `day`: such as 2025-01-23; empty: the newest. `team`: an id; empty: every team.",
    """SELECT * FROM posts WHERE posted_at >= coalesce(nullif(:day, ''), (SELECT substr(max(posted_at), 1, 10) FROM posts))
  AND posted_at < coalesce(nullif(:day, ''), (SELECT substr(max(posted_at), 1, 10) FROM posts)) || 'T24'
  AND (:team = '' OR team = :team)
ORDER BY posted_at DESC LIMIT 300""",
)
"""Of a snapshot with links."""
