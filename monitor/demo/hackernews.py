"""The demo forum's second face: Hacker News' search (Algolia, search_by_date) and its items (Firebase). Pure.

What bites in the originals is kept: no query gives more than its first 1000 hits, the search forgets a deleted post
while the item says `deleted`, an unknown item is `null`, and texts are HTML with entities.
"""

from __future__ import annotations

import html
import operator
import re
from collections.abc import Callable, Sequence

from monitor.demo.posts import Held, paragraphs, zulu
from monitor.demo.serving import Answer, Query, as_json, integer, one

_LIMIT = 1000  # hits of one query, over all its pages
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}


def answer(begun: Sequence[Held], path: str, query: Query) -> Answer:
    """What the two APIs answer. `begun`: the posts made so far, deleted ones too, by ascending id."""
    if path == "/api/v1/search_by_date":
        return _search([held for held in begun if not held.deleted], query)
    if path == "/v0/maxitem.json":
        return as_json(begun[-1].id if begun else 0)
    if asked := re.fullmatch(r"/v0/item/(\d+)\.json", path):
        held = next((held for held in begun if held.id == int(asked[1])), None)
        return as_json(held and _item(held, [child for child in begun if _parent(child) is held]))
    return as_json({"error": "Not found"}, 404)


def _search(shown: Sequence[Held], query: Query) -> Answer:
    per_page, page = integer(query, "hitsPerPage", 20), integer(query, "page")
    if not 0 < per_page <= _LIMIT:
        return as_json({"message": "hitsPerPage: expected an integer between 1 and 1000", "status": 400}, 400)
    try:
        matches = _filter(query)
    except ValueError as error:
        return as_json({"message": f"invalid filter: {error}", "status": 400}, 400)
    common = {"page": page, "hitsPerPage": per_page, "query": one(query, "query"), "exhaustiveNbHits": True, "processingTimeMS": 1}
    if page * per_page >= _LIMIT:
        return as_json({"hits": [], "nbHits": 0, "nbPages": 0, "message": "you can only fetch the 1000 hits for this query", **common})
    found = sorted(filter(matches, shown), key=lambda held: (held.post.at, held.id), reverse=True)
    reachable = found[:_LIMIT]
    hits = [_hit(held) for held in reachable[page * per_page : (page + 1) * per_page]]
    return as_json({"hits": hits, "nbHits": len(found), "nbPages": -(-len(reachable) // per_page), **common})


def _filter(query: Query) -> Callable[[Held], bool]:
    """What `query`, `tags` and `numericFilters` ask of a post. ValueError for a filter that Algolia would refuse."""
    # Words and "phrases" must all be found, each at the beginning of a word (which Chinese does not mark).
    phrases = re.findall(r'"([^"]+)"|([^\s"]+)', one(query, "query").casefold())
    words = [re.compile("(?<![a-z0-9])" + re.escape(phrase or word)) for phrase, word in phrases]
    tags = [set(group.strip("()").split(",")) for group in re.findall(r"\([^)]*\)|[^,()]+", one(query, "tags"))]
    bounds = []
    for part in filter(None, one(query, "numericFilters").split(",")):
        bound = re.fullmatch(r"\s*created_at_i\s*(<=|>=|<|>|=)\s*(\d+)\s*", part)
        if not bound:
            raise ValueError(part)
        bounds.append((_COMPARE[bound[1]], int(bound[2])))

    def matches(held: Held) -> bool:
        post = held.post
        text = "\n".join(("" if held.opener else post.title, post.quote or "", post.text, post.author)).casefold()
        return (
            all(word.search(text) for word in words)
            and all(group.intersection(_tags(held)) for group in tags)
            and all(compare(int(post.at.timestamp()), second) for compare, second in bounds)
        )

    return matches


def _hit(held: Held) -> dict[str, object]:
    post, story, parent = held.post, held.opener or held, _parent(held)
    return {
        "objectID": str(held.id), "created_at": zulu(post.at), "created_at_i": int(post.at.timestamp()), "author": post.author,
        "title": None if parent else post.title, "url": None, "points": None if parent else 1, "num_comments": None,
        "story_text": None if parent else _text(held), "comment_text": _text(held) if parent else None,
        "story_id": story.id, "story_title": story.title if parent else None, "story_url": None,
        "parent_id": parent.id if parent else None, "_tags": _tags(held),
    }  # fmt: skip


def _tags(held: Held) -> list[str]:
    return ["comment" if held.opener else "story", f"author_{held.post.author}", f"story_{held.thread_id}"]


def _item(held: Held, kids: Sequence[Held]) -> dict[str, object]:
    parent = _parent(held)
    item: dict[str, object] = {"id": held.id, "time": int(held.post.at.timestamp()), "type": "comment" if parent else "story"}
    if parent:
        item["parent"] = parent.id
    if kids:
        item["kids"] = [kid.id for kid in kids]
    if held.deleted:
        return {**item, "deleted": True}
    if not parent:
        item |= {"title": html.escape(held.title), "score": 1, "descendants": len(kids)}
    return {**item, "by": held.post.author, "text": _text(held)}


def _parent(held: Held) -> Held | None:
    return held.parent or held.opener


def _text(held: Held) -> str:
    quote = [f"&gt; {html.escape(held.post.quote)}"] if held.post.quote else []
    return "<p>".join([*quote, *paragraphs(held.post.text)]).replace("/", "&#x2F;")
