"""What an explanation is made of: each post that counts about a team, its words, and what may be shown of a few of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from monitor.store.connection import Connection
from monitor.store.corrections import CORRECTED, LABEL, VALUE
from monitor.store.echoes import OWN_WORDS, VOICE


class Spoken(NamedTuple):
    """One post that counts about a team: `day` is its UTC day as text, `value` lies in [-1, 1]; `voice` and `thread` are keys.

    `living` is 1 while its words are there, and 0 where only its figure is (privacy.retention).
    """

    id: int
    day: str
    source: str
    voice: str
    thread: str
    value: float
    living: int


class Speaking(Connection):
    """Reading only, for monitor/explain.py. Keys of voices and threads are for counting; they go no further."""

    def spoken(self, team: str, model: str, first: dt.date, last: dt.date) -> list[Spoken]:
        """The posts that a team's trends of these UTC days are made of (see `Trends.voices`): a person's posts of a day in a row.

        None at all where an archive has a part in these days: what moved them cannot be told from what the store holds.
        """
        rows = self.rows(
            f"""SELECT p.id, substr(p.posted_at, 1, 10), p.source, {VOICE}, p.source || ':' || coalesce(p.thread_id, p.native_id), {VALUE},
                p.deleted_at IS NULL FROM posts p JOIN scores s ON s.post_id = p.id {CORRECTED}
               WHERE s.team = ?1 AND s.model = ?2 AND p.posted_at >= ?3 AND p.posted_at < ?4 AND p.kind <> 'press'
               AND (p.deleted_at IS NULL OR p.retired) AND p.unread < 2 AND NOT p.archived AND {OWN_WORDS}
               AND NOT EXISTS (SELECT 1 FROM archived_teams WHERE team = ?1 AND day >= ?3 AND day < ?4)
               ORDER BY 2, 4, p.posted_at, p.native_id""",
            (team, model, first.isoformat(), f"{last}T24"),
        )
        return [Spoken(*row) for row in rows]

    def wordings(self, team: str, posts: Sequence[Spoken]) -> Iterator[tuple[Spoken, str]]:
        """The text of each living post in the order of `posts`, with a line break in place of each of the team's names."""
        living = [post for post in posts if post.living]
        for start in range(0, len(living), 500):
            part = living[start : start + 500]
            ids, marks = [post.id for post in part], ",".join("?" * len(part))
            texts = {row[0]: row[1] for row in self.rows(f"SELECT id, text FROM posts WHERE id IN ({marks}) AND deleted_at IS NULL", ids)}
            for post, begin, end in self.rows(
                f"""SELECT post_id, start, "end" FROM mentions WHERE team = ? AND post_id IN ({marks}) ORDER BY post_id, start DESC""",
                (team, *ids),
            ):
                if post in texts:  # from the last to the first, so that the offsets before it stay
                    texts[post] = f"{texts[post][:begin]}\n{texts[post][end:]}"
            yield from ((post, texts[post.id]) for post in part if post.id in texts)

    def showing(self, team: str, model: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The living ones of a few posts, in the order of `ids`: id, url, title, text, posted_at, source, label, value."""
        marks = ",".join("?" * len(ids))
        rows = self.rows(
            f"""SELECT p.id, p.url, p.title, p.text, p.posted_at, p.source, {LABEL} AS label, {VALUE} AS value
                FROM posts p JOIN scores s ON s.post_id = p.id {CORRECTED}
                WHERE s.team = ? AND s.model = ? AND p.id IN ({marks}) AND p.deleted_at IS NULL""",
            (team, model, *ids),
        )
        return sorted(map(dict, rows), key=lambda row: ids.index(row["id"]))

    def turn_began(self, team: str, day: dt.date) -> dt.date | None:
        """The first day of the oldest alert on a team, over all sources, that was firing on a day; None when none was."""
        row = self.rows(
            """SELECT min(CASE WHEN s.alert_id = a.id AND s.state IN ('firing', 'recovering') THEN s.since ELSE a.day END)
               FROM alerts a LEFT JOIN alert_states s ON s.rule = a.rule AND s.team = a.team AND s.source = a.source
               WHERE a.team = ? AND a.source = '*' AND a.day <= ? AND (a.resolved_day IS NULL OR a.resolved_day > ?)""",
            (team, day.isoformat(), day.isoformat()),
        )[0]
        return dt.date.fromisoformat(row[0]) if row[0] else None
