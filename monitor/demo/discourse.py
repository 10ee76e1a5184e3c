"""The demo forum's first face: the paths, pages and fields of Discourse's public API, and its two RSS feeds. Pure.

Shapes and limits follow Discourse's own source (PostsController#latest, LatestPostsQuery, the serializers, *.rss.erb).
"""

from __future__ import annotations

import email.utils
import html
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from monitor.demo.posts import Held, paragraphs, zulu
from monitor.demo.serving import Answer, Query, as_json, integer

_LATEST_PAGE = 50  # /posts.json
_TOPIC_PAGE = 30  # /latest.json
_STREAM_PAGE = 20  # posts that come with a topic

_ROBOTS = """\
User-agent: *
Disallow: /admin/
Disallow: /auth/
Disallow: /session
Disallow: /u/
Disallow: /my
Disallow: /search
Disallow: /tag/*/l
Disallow: /g
Disallow: /t/*/*.rss
Disallow: /c/*.rss
"""


def answer(begun: Sequence[Held], path: str, query: Query, *, base_url: str, id_windows: bool) -> Answer:
    """What Discourse answers. `begun`: the posts made so far, deleted ones too, by ascending id."""
    shown = [held for held in begun if not held.deleted and not (held.opener and held.opener.deleted)]
    topics: dict[int, list[Held]] = {}
    for held in shown:
        topics.setdefault(held.thread_id, []).append(held)
    stem, _, ending = path.strip("/").rpartition(".")
    match [ending, *stem.split("/")]:
        case ["txt", "robots"]:
            return Answer(200, "text/plain; charset=utf-8", _ROBOTS.encode())
        case ["json", "posts"]:
            page = _latest(shown, integer(query, "before"), id_windows)
            return as_json({"latest_posts": [{**_post(held), "topic_title": held.title} for held in page]})
        case ["rss", "posts"]:
            return _rss("Latest posts", base_url, path, ((held, f"post-{held.id}") for held in _latest(shown, 0, id_windows)))
        case ["json", "latest"]:
            return as_json({"users": [], "topic_list": _topic_list(topics.values(), query)})
        case ["rss", "latest"]:
            newest = sorted(topics.values(), key=lambda posts: posts[-1].id, reverse=True)[:_TOPIC_PAGE]
            return _rss("Latest topics", base_url, path, ((posts[0], f"topic-{posts[0].thread_id}") for posts in newest))
        case ["json", "t", number, "posts"] if number.isdecimal() and int(number) in topics:
            wanted = set(query.get("post_ids[]", []))
            found = [_post(held) for held in topics[int(number)] if str(held.id) in wanted]
            return as_json({"post_stream": {"posts": found}, "id": int(number)})
        case ["json", "t", number] | ["json", "t", _, number] if number.isdecimal() and int(number) in topics:
            posts = topics[int(number)]
            stream = {"posts": [_post(held) for held in posts[:_STREAM_PAGE]], "stream": [held.id for held in posts]}
            return as_json({"post_stream": stream, **_topic(posts)})
    return as_json({"errors": ["The requested URL or resource could not be found."], "error_type": "not_found"}, 404)


def _latest(shown: Sequence[Held], before: int, id_windows: bool) -> list[Held]:
    """Newest first: the 50 public posts below `before` (0: all). In older Discourse, those among the 50 ids up to it."""
    if id_windows:
        last = before or max((held.id for held in shown), default=0)
        return [held for held in reversed(shown) if last - _LATEST_PAGE < held.id <= last]
    return [held for held in reversed(shown) if not before or held.id < before][:_LATEST_PAGE]


def _topic_list(topics: Iterable[Sequence[Held]], query: Query) -> dict[str, object]:
    """By last activity, or by creation with `order=created`."""
    key = 0 if query.get("order") == ["created"] else -1
    ordered = sorted(topics, key=lambda posts: posts[key].id, reverse=True)
    page = integer(query, "page")
    end = (page + 1) * _TOPIC_PAGE
    more = {"more_topics_url": f"/latest?page={page + 1}"} if len(ordered) > end else {}
    return {**more, "per_page": _TOPIC_PAGE, "topics": [_topic(posts) for posts in ordered[end - _TOPIC_PAGE : end]]}


def _topic(posts: Sequence[Held]) -> dict[str, object]:
    first, last = posts[0], posts[-1]
    return {
        "id": first.thread_id, "title": first.title, "fancy_title": html.escape(first.title), "slug": first.post.thread,
        "posts_count": len(posts), "reply_count": len(posts) - 1, "highest_post_number": last.number,
        "created_at": zulu(first.post.at), "last_posted_at": zulu(last.post.at), "bumped_at": zulu(last.post.at),
        "archetype": "regular", "pinned": False, "visible": True, "closed": False, "archived": False, "deleted_at": None,
    }  # fmt: skip


def _post(held: Held) -> dict[str, object]:
    return {
        "id": held.id, "name": "", "username": held.post.author, "created_at": zulu(held.post.at), "cooked": _cooked(held),
        "post_number": held.number, "post_type": 1, "updated_at": zulu(held.edited_at or held.post.at),
        "reply_to_post_number": held.parent.number if held.parent else None, "quote_count": int(bool(held.post.quote)),
        "topic_id": held.thread_id, "topic_slug": held.post.thread, "display_username": "", "version": held.version, "hidden": False,
        "user_deleted": False, "deleted_at": None, "post_url": _permalink(held),
    }  # fmt: skip


def _permalink(held: Held) -> str:
    return f"/t/{held.post.thread}/{held.thread_id}" + (f"/{held.number}" if held.opener else "")


def _cooked(held: Held) -> str:
    body = "\n".join("<p>" + part.replace("\n", "<br>\n") + "</p>" for part in paragraphs(held.post.text))
    if not held.post.quote:
        return body
    quote = f"<blockquote>\n<p>{html.escape(held.post.quote)}</p>\n</blockquote>\n</aside>\n{body}"
    if not held.parent:
        return f'<aside class="quote no-group">\n{quote}'
    author = html.escape(held.parent.post.author)
    return (
        f'<aside class="quote no-group" data-username="{author}" data-post="{held.parent.number}" data-topic="{held.thread_id}">\n'
        f'<div class="title">\n<div class="quote-controls"></div>\n {author}:</div>\n{quote}'
    )


def _rss(title: str, base_url: str, path: str, entries: Iterable[tuple[Held, str]]) -> Answer:
    host = urlsplit(base_url).netloc
    items = "".join(
        f"<item><title>{escape(held.title)}</title><dc:creator>@{escape(held.post.author)}</dc:creator>"
        f"<description>{escape(_cooked(held))}</description><link>{base_url}{escape(_permalink(held))}</link>"
        f'<pubDate>{email.utils.format_datetime(held.post.at)}</pubDate><guid isPermaLink="false">{host}-{guid}</guid></item>\n'
        for held, guid in entries
    )
    feed = (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">\n<channel><title>{title}</title><link>{base_url}</link>'
        f"<description>{title}</description>"
        f'<atom:link href="{base_url}{path}" rel="self" type="application/rss+xml" />\n{items}</channel>\n</rss>\n'
    )
    return Answer(200, "application/rss+xml; charset=utf-8", feed.encode())
