"""About the figures: how each of them comes about, in plain words, and what the model that makes them is worth.

The promise: no figure stands here that was not measured: the false alarms are those of monitor/conditions.py, the model's are those
of the card that its training wrote. Of a model without a card only the name is told.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import urlsplit

from datasette.utils.asgi import Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from monitor.conditions import BUDGET
from monitor.config import Config, false_alarms
from monitor.sentiment.card import card
from monitor.web.app import Pages


async def about(pages: Pages, request: Request) -> Response:
    """GET /about"""
    config = pages.config
    model, archived = await pages.read(lambda store: (store.model, len(store.archives())))
    text = card(model)
    return await pages.page(
        "about.html", request, model=model, archived=archived, card=rendered(text) if text else None, rules=_rules(config), budget=BUDGET,
        least=config.privacy.min_authors, retention=config.privacy.retention, contact=config.contact, contact_link=_link(config.contact),
        endpoint=None if config.scorer.stays_here else config.scorer.host,
    )  # fmt: skip


def _rules(config: Config) -> list[dict[str, Any]]:
    """The rules that are on, with what the measured table says of how often each errs."""
    on = [rule for rule in config.rules if rule.enabled]
    return [{"id": rule.id, "type": rule.type, "often": false_alarms(rule), "least": rule.min_authors, "days": rule.for_} for rule in on]


def _link(contact: str) -> str | None:
    """Where a contact leads: a page, or a mail to be written."""
    if urlsplit(contact).scheme in ("http", "https"):
        return contact
    return f"mailto:{contact}" if "@" in contact and " " not in contact else None


@functools.lru_cache(maxsize=2)
def rendered(markdown: str) -> Markup:
    """Markdown as HTML for a section of a page: its headings two levels down, no HTML of its own, no style attributes."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.tag in ("h1", "h2", "h3", "h4"):
            token.tag = f"h{int(token.tag[1]) + 2}"
        token.attrs.pop("style", None)
    html = parser.renderer.render(tokens, parser.options, {})
    return Markup(html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>"))  # noqa: S704 (html off)
