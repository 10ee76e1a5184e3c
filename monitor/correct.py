"""What a person says of a post against what the model said: kept, taken back, listed, and written out to be evaluated on.

The promise: a correction is of a post that is there, and toward a team that it names, so that none can be without effect.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from monitor.config import Config
from monitor.errors import InputError
from monitor.mentions import Finder
from monitor.records import Label, clean
from monitor.store import Store


def correct(store: Store, config: Config, place: str, team: str, label: Label, *, note: str = "", now: dt.datetime) -> str:
    """Keep `label` as what the post at `place` (its id or address) is toward `team` (an id of config.yaml); returns a sentence.

    It counts in place of every model's score, until it is taken back, the post is deleted, or its words change.
    InputError when there is no such post, or when it does not name the team.
    """
    with store.writing():
        post = _post(store, place)
        named = sorted({mention.team for mention in Finder(config.teams).find(post["text"], post["title"] or "")})
        if team not in named:
            told = f"it names {', '.join(named)}" if named else f"it names no team of {config.path.name}"
            raise InputError(f"post {post['id']} does not name {team}: {told}")
        store.correct(post["id"], team, label, note=clean(note) or None, at=now)
    return f"Post {post['id']} counts as {label} toward {team}, from the next `forum-monitor trend` on."


def undo(store: Store, place: str, team: str) -> str:
    """Take a correction back; returns a sentence. InputError when there is none."""
    with store.writing():
        post = _post(store, place)
        if not store.uncorrect(post["id"], team):
            raise InputError(f"post {post['id']} has no correction toward {team}: `forum-monitor corrections` lists those there are")
    return f"Post {post['id']} counts toward {team} as the model reads it, from the next `forum-monitor trend` on."


def _post(store: Store, place: str) -> Any:
    found = store.posts_at(place.removeprefix("#"))
    if not found:
        raise InputError(f"there is no post {place}: `forum-monitor posts TEAM` shows the number of each, and its address will do as well")
    if len(found) > 1:
        raise InputError(f"{place} is the address of the posts {', '.join(str(row['id']) for row in found)}: give one of these numbers")
    if found[0]["deleted_at"]:
        raise InputError(f"post {found[0]['id']} was deleted on its forum, and its words here: there is nothing left to correct")
    return found[0]


def exported(store: Store) -> Iterator[dict[str, Any]]:
    """The corrections that count, a row per post, in the form that `evaluate` reads: the post's text and its targets.

    A target's `spans` are the mentions that the monitor found, so that an evaluation reads what the monitor reads.
    """
    for _, of_post in itertools.groupby(store.corrected_mentions(), itemgetter("id")):
        targets = []
        for _, of_team in itertools.groupby(of_post, itemgetter("team")):
            mentions = list(of_team)
            row = mentions[0]
            alias, *also = dict.fromkeys(row["text"][each["start"] : each["end"]] for each in mentions)
            spans = [[each["start"], each["end"]] for each in mentions]
            targets.append({"team": row["team"], "alias": alias, "also": also, "label": row["label"], "note": row["note"], "spans": spans})
        yield {
            "id": row["id"], "lang": row["language"], "source": row["source"], "kind": row["kind"], "text": row["text"], "targets": targets,
        }  # fmt: skip
