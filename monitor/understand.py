"""Unread posts to language, mentions and scores, newest first, a batch at a time.

The promise: a process that is killed loses at most the batch it was at; words that the model has scored before are not
scored again; a post that the model cannot take is read without a score and keeps no other waiting; one that the model
may not be asked about today stays unread.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from monitor.config import Team
from monitor.language import language
from monitor.mentions import Finder, occurrences
from monitor.records import Mention, Score, clean
from monitor.sentiment import Item, Paused, Scorer, input_hash, scores_of
from monitor.sentiment.passages import passage
from monitor.store import Reading, Store

BATCH = 512
"""Posts between two savings, and lines between two answers, but where the scorer asks for fewer."""

log = logging.getLogger("forum-monitor")


@dataclass(slots=True)
class Understood:
    """What a run did: posts read and stored, mentions in them, model runs (`scored`), scores known before, texts that failed.

    Of two models that take turns (see `monitor.sentiment.escalation`), what either had said before is among the scored.
    `waiting` is how many posts stay unread because the model was not to be asked any more.
    """

    posts: int = 0
    mentions: int = 0
    scored: int = 0
    known: int = 0
    failed: int = 0
    waiting: int = 0


def understand(
    store: Store,
    teams: Sequence[Team],
    scorer: Scorer,
    *,
    now: dt.datetime,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Understood:
    """Read every unread post. `now` is the time noted on the scores; `progress` is told (posts done, posts in all).

    Other teams, aliases or another model than before make every stored post unread first; what the same model has
    scored by the same words is then only looked up. A scorer whose allowance of the day is spent ends the run; what is
    not read by then waits. Raises ModelError when the model itself does not work.
    """
    finder = Finder(teams)
    store.read_by(f"{scorer.name} {finder.fingerprint}", scorer.name)
    total = store.unread_count()
    done = Understood()
    batch = batch or int(getattr(scorer, "batch", BATCH))
    while posts := store.unread(batch):
        found = {post.id: finder.find(post.text, post.title or "") for post in posts}
        items = {post.id: items_of(scorer, post.text, found[post.id]) for post in posts}
        wanted = {digest: item for of_post in items.values() for digest, item in of_post.values()}
        known = store.known_scores(scorer.name, list(wanted))
        fresh, pause = _scores(scorer, {digest: item for digest, item in wanted.items() if digest not in known})
        scores: dict[str, Score | None] = {**known, **fresh}
        readings = []
        for post in posts:
            digests = [digest for digest, _ in items[post.id].values()]
            complete = all(digest in scores for digest in digests)
            if complete or not fresh.keys().isdisjoint(digests):
                given = {team: (digest, score) for team, (digest, _) in items[post.id].items() if (score := scores.get(digest))}
                readings.append(Reading(post.id, post.text_hash, language(post.text), found[post.id], given, complete))
        stored = store.save_readings(readings, model=scorer.name, at=now)
        done.posts += stored
        done.mentions += sum(len(reading.mentions) for reading in readings)
        done.scored += sum(score is not None for score in fresh.values())
        done.known += len(known)
        done.failed += sum(score is None for score in fresh.values())
        if progress:
            progress(done.posts, max(total, done.posts))
        if pause:
            done.waiting = store.unread_count()
            if not pause.allowance_spent:
                raise pause
            log.warning("understand: %s; %d posts wait", pause, done.waiting)
            break
        if not stored:  # every one of them was edited or deleted while it was read; the next run finds them
            break
    return done


def items_of(scorer: Scorer, text: str, mentions: Sequence[Mention]) -> dict[str, tuple[str, Item]]:
    """What the model reads of a text for each team in it, with a digest of exactly those words."""
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for mention in mentions:
        spans[mention.team].append((mention.start, mention.end))
    every = [(mention.start, mention.end) for mention in mentions]
    items = {team: passage(text, of_team, [span for span in every if span not in of_team]) for team, of_team in spans.items()}
    return {team: (input_hash(scorer, item), item) for team, item in items.items()}


def _scores(scorer: Scorer, items: Mapping[str, Item]) -> tuple[dict[str, Score | None], Paused | None]:
    """`scores_of`, by key."""
    keys = list(items)
    found, pause = scores_of(scorer, list(items.values()))
    return {keys[position]: score for position, score in found.items()}, pause


# ---- lines from a user ---------------------------------------------------------------------------------------------


def score_lines(
    lines: Iterable[str], scorer: Scorer, *, teams: Sequence[Team] = (), batch: int | None = None
) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Each line's number and either its score or the sentence that says why it has none, in order; blank lines are left out.

    A line is JSON: `{"id": any, "text": str, "target": str or null}`, where `target` is the string by which the text names
    the team, and null or nothing asks for the attitude of the whole text. A score is `{"id", "label", "negative",
    "neutral", "positive"}`: the one that a post with this text has toward a team whose only alias in it is that string. The
    model is shown no name of the other `teams`.
    """
    batch = batch or int(getattr(scorer, "batch", BATCH))
    finder = Finder(teams)
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while part := list(itertools.islice(numbered, batch)):
        asked = [(number, *_asked(line, finder)) for number, line in part]
        items = {input_hash(scorer, item): item for _, _, item in asked if isinstance(item, Item)}
        scores, pause = _scores(scorer, items)
        for number, given, item in asked:
            digest = input_hash(scorer, item) if isinstance(item, Item) else ""
            if isinstance(item, str):
                yield number, item
            elif score := scores.get(digest):
                shares = {label: round(getattr(score, label), 6) for label in ("negative", "neutral", "positive")}
                yield number, {"id": given, "label": score.label, **shares}
            else:
                yield number, str(pause) if pause and digest not in scores else "the model fails on this text"


def _asked(line: str, finder: Finder) -> tuple[object, Item | str]:
    """A line's id, and what the model is to read or what is wrong with the line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, 'is not JSON: write {"id": 1, "text": "...", "target": "..."}'
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not isinstance(row.get("target"), str | None):
        return None, "needs a text that is a string, and a target that is a string or null"
    text, target = clean(row["text"]), row.get("target")
    spans = [] if target is None else occurrences(text, clean(target))
    if target is not None and not spans:
        return row.get("id"), "the target does not stand in the text: write it as the text does, or null for the whole text"
    mentions = finder.find(text)
    mine = {each.team for each in mentions if any(each.start < end and each.end > start for start, end in spans)}
    return row.get("id"), passage(text, spans, [(each.start, each.end) for each in mentions if each.team not in mine])
