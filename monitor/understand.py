"""Unread posts to language, mentions and scores, newest first, a batch at a time.

The promise: a process that is killed loses at most the batch it was at; words that the model has scored before are not
scored again; a post that the model cannot take is read without a score and keeps no other waiting.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from monitor.config import Team
from monitor.errors import ModelError
from monitor.mentions import Finder, occurrences
from monitor.records import Mention, Score, clean, text_hash
from monitor.sentiment import Item, Scorer
from monitor.sentiment.passages import model_input, passage
from monitor.store import Reading, Store

LANGUAGES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja",
    "ko", "lt", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
"""The languages that a post may be said to be in. Fewer would pass Danish off as Swedish; all 140 make short posts doubtful."""

SURE = 0.7
"""The confidence below which a language is unknown. Above it 8 of 1,236 tweets and none of 2,629 forum posts got a wrong one."""


@dataclass(slots=True)
class Understood:
    """What a run did: posts read and stored, mentions in them, model runs (`scored`), scores known before, texts that failed."""

    posts: int = 0
    mentions: int = 0
    scored: int = 0
    known: int = 0
    failed: int = 0


def understand(
    store: Store,
    teams: Sequence[Team],
    scorer: Scorer,
    *,
    now: dt.datetime,
    batch: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Understood:
    """Read every unread post. `now` is the time noted on the scores; `progress` is told (posts done, posts in all).

    Other teams, aliases or another model than before make every stored post unread first; what the same model has
    scored by the same words is then only looked up. Raises ModelError when the model itself does not work.
    """
    finder = Finder(teams)
    store.read_by(f"{scorer.name} {finder.fingerprint}", scorer.name)
    total = store.unread_count()
    done = Understood()
    while posts := store.unread(batch):
        found = {post.id: finder.find(post.text, post.title or "") for post in posts}
        items = {post.id: _items(post.text, found[post.id]) for post in posts}
        wanted = {digest: item for of_post in items.values() for digest, item in of_post.values()}
        known = store.known_scores(scorer.name, list(wanted))
        fresh = _scores(scorer, {digest: item for digest, item in wanted.items() if digest not in known})
        scores = {**known, **fresh}
        readings = [
            Reading(
                post.id,
                post.text_hash,
                language(post.text),
                found[post.id],
                {team: (digest, scores[digest]) for team, (digest, _) in items[post.id].items() if digest in scores},
            )
            for post in posts
        ]
        stored = store.save_readings(readings, model=scorer.name, at=now)
        done.posts += stored
        done.mentions += sum(map(len, found.values()))
        done.scored += len(fresh)
        done.known += len(known)
        done.failed += len(wanted) - len(scores)
        if progress:
            progress(done.posts, max(total, done.posts))
        if not stored:  # every one of them was edited or deleted while it was read; the next run finds them
            break
    return done


def _items(text: str, mentions: Sequence[Mention]) -> dict[str, tuple[str, Item]]:
    """What the model reads of a text for each team in it, with a digest of exactly those words."""
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for mention in mentions:
        spans[mention.team].append((mention.start, mention.end))
    items = {team: passage(text, of_team) for team, of_team in spans.items()}
    return {team: (text_hash(model_input(item)), item) for team, item in items.items()}


def _scores(scorer: Scorer, items: Mapping[str, Item]) -> dict[str, Score]:
    """A score per key; a text on which the model fails has none. ModelError when the model fails on any text."""
    if not items:
        return {}
    try:
        return dict(zip(items, scorer.score(list(items.values())), strict=True))
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 (whatever one text provokes in the model's runtime)
        found = {key: score for key, item in items.items() if (score := _score_alone(scorer, item))}
    if not found and not _score_alone(scorer, Item("The new model is out today.")):
        raise ModelError(f"the sentiment model {scorer.name} fails on every text: run `forum-monitor doctor`; nothing was marked as read")
    return found


def _score_alone(scorer: Scorer, item: Item) -> Score | None:
    try:
        return scorer.score([item])[0]
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 (as above)
        return None


# ---- language ------------------------------------------------------------------------------------------------------

_ADDRESS = re.compile(r"https?://\S+|[@#]\w+")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")


def language(text: str) -> str | None:
    """The language of a text (ISO 639-1), or None where that would be a guess."""
    words = _ADDRESS.sub(" ", text[:2000])
    found, confidence = _identifier().classify(words)
    if confidence >= SURE:
        return str(found)
    # Too short for statistics, but a script may be one language's own.
    letters = sum(map(str.isalpha, words))
    if _KANA.search(words):
        return "ja"
    if 2 * len(_HANGUL.findall(words)) > letters:
        return "ko"
    return "zh" if 3 * len(_HAN.findall(words)) > letters else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


# ---- lines from a user ---------------------------------------------------------------------------------------------


def score_lines(lines: Iterable[str], scorer: Scorer, *, batch: int = 512) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Each line's number and either its score or the sentence that says why it has none, in order; blank lines are left out.

    A line is JSON: `{"id": any, "text": str, "target": str or null}`, where `target` is the string by which the text names
    the team, and null or nothing asks for the attitude of the whole text. A score is `{"id", "label", "negative",
    "neutral", "positive"}`: the one that a post with this text has toward a team whose only alias in it is that string.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while part := list(itertools.islice(numbered, batch)):
        asked = [(number, *_asked(line)) for number, line in part]
        items = {text_hash(model_input(item)): item for _, _, item in asked if isinstance(item, Item)}
        scores = _scores(scorer, items)
        for number, given, item in asked:
            if isinstance(item, str):
                yield number, item
            elif score := scores.get(text_hash(model_input(item))):
                shares = {label: round(getattr(score, label), 6) for label in ("negative", "neutral", "positive")}
                yield number, {"id": given, "label": score.label, **shares}
            else:
                yield number, "the model fails on this text"


def _asked(line: str) -> tuple[object, Item | str]:
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
    return row.get("id"), passage(text, spans)
