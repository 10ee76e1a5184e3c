"""A message as Slack's Block Kit: header, sections, figures as fields, posts as context, and the plain text where blocks are not shown.

The promises: Slack takes it (its limits: 50 blocks, 3,000 characters in a text, 2,000 in a field, 150 in a header, ten fields or
elements in a block); what does not fit is cut where that shows. Nothing that a post or a name holds is a link, a mention or
a call: the three characters by which Slack knows them are escaped, and it is told to look for no others.
https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from monitor.messages import Message, Note, Part

BLOCKS, TEXT, FIELD, HEADER, TOGETHER = 50, 3000, 2000, 150, 10
"""Slack's limits: blocks in a message; characters in a text, a field and a header; fields or elements in a block."""

FALLBACK = 4000
"""Characters of the plain text, which Slack shows in notifications and to screen readers; it advises no more."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

Block = dict[str, Any]


def payload(message: Message) -> dict[str, Any]:
    """The body of a request to Slack, but for the channel."""
    blocks: list[Block] = [{"type": "header", "text": _plain(message.title, HEADER)}]
    for part in message.parts or [Part(message.body)]:
        blocks += _blocks(part)
    if len(blocks) > BLOCKS:
        left_out = Note("The rest does not fit here: mail and the command line show all of it.")
        blocks = [*blocks[: BLOCKS - 1], _context(left_out)]
    fallback = fitting(f"{message.title}\n\n{message.body}", FALLBACK)
    return {"text": fallback, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False, "blocks": blocks}


def _blocks(part: Part) -> Iterator[Block]:
    texts = _split(part.text)
    if part.heading:
        heading = f"*{fitting(part.heading, 300)}*"
        if texts and len(heading) + 1 + len(fitting(texts[0], 2 * TEXT)) <= TEXT:
            heading += f"\n{fitting(texts.pop(0), TEXT)}"
        yield {"type": "section", "text": _marked(heading)}
    for text in texts:
        yield {"type": "section", "text": _plain(text, TEXT)}
    for start in range(0, len(part.figures), TOGETHER):
        some = part.figures[start : start + TOGETHER]
        yield {"type": "section", "fields": [_marked(f"*{fitting(name, 100)}*\n{fitting(value, FIELD - 103)}") for name, value in some]}
    for note in part.notes:
        yield _context(note)


def _context(note: Note) -> Block:
    link = re.sub(r"[<>|\s]", "", note.link).replace("&", "&amp;")
    fits = bool(link) and len(link) < TEXT // 2
    words = _marked(f"<{link}|{fitting(note.words.replace('|', '/'), 500)}>") if fits else _plain(note.words, TEXT)
    return {"type": "context", "elements": [words, _plain(f"“{note.quote}”", TEXT)] if note.quote else [words]}


def _plain(text: str, limit: int) -> Block:
    """Words as they are, at most `limit` characters of them: no markup, and no :smile: for two colons."""
    return {"type": "plain_text", "text": fitting(text, limit), "emoji": False}


def _marked(text: str) -> Block:
    """Words with our own markup; `verbatim`: Slack makes no links or mentions of its own in it."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def fitting(text: str, limit: int) -> str:
    """Text escaped for Slack, cut where more than `limit` characters would come of it."""
    escaped = [_ESCAPES.get(character, character) for character in text]
    if sum(map(len, escaped)) <= limit:
        return "".join(escaped)
    room, kept = limit - 2, list[str]()
    for character in escaped:
        room -= len(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + " …"


def _split(text: str) -> list[str]:
    """Text in pieces that fit into a section each, parted between lines where lines are short enough."""
    pieces = [""] if text.strip() else []
    for line in text.strip().splitlines():
        longer = f"{pieces[-1]}\n{line}" if pieces[-1] else line
        if pieces[-1] and len("".join(_ESCAPES.get(character, character) for character in longer)) > TEXT:
            pieces.append(line)
        else:
            pieces[-1] = longer
    return pieces
