"""Whatever a message holds, Slack can take its blocks: within all limits, and with nothing in it that Slack would read as markup."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.messages import Message, Note, Part
from monitor.slack import BLOCKS, FALLBACK, FIELD, HEADER, TEXT, TOGETHER, fitting, payload

WORDS = st.text(st.sampled_from("ab <>&*\n好"), max_size=40).flatmap(lambda text: st.integers(0, 120).map(lambda n: text * n))
NOTES = st.builds(Note, WORDS, st.sampled_from(["", "https://x.example/?a=1&b=2", "https://x.example/" + "y" * 4000]), WORDS)
PARTS = st.builds(Part, WORDS, WORDS, st.lists(st.tuples(WORDS, WORDS), max_size=12), st.lists(NOTES, max_size=3))


def texts(value: Any) -> list[dict[str, Any]]:
    """Every text object in it."""
    if isinstance(value, dict):
        own = [value] if value.get("type") in ("plain_text", "mrkdwn") else []
        return own + [found for item in value.values() for found in texts(item)]
    return [found for item in value for found in texts(item)] if isinstance(value, list) else []


@given(title=WORDS.filter(str.strip), body=WORDS, parts=st.lists(PARTS, max_size=5))
@settings(max_examples=20, deadline=None)
def test_slack_can_take_whatever_is_to_be_said(title: str, body: str, parts: list[Part]) -> None:
    """No more blocks, characters, fields and elements than Slack takes; the three characters of its markup are escaped throughout."""
    found = payload(Message(title, body, "key", parts=parts))
    blocks = found["blocks"]
    assert 1 <= len(blocks) <= BLOCKS and len(found["text"]) <= FALLBACK
    assert blocks[0]["type"] == "header" and len(blocks[0]["text"]["text"]) <= HEADER
    for block in blocks[1:]:
        assert block["type"] in ("section", "context") and ("text" in block) + ("fields" in block) + ("elements" in block) == 1
        assert 1 <= len(block.get("fields", block.get("elements", [1]))) <= TOGETHER
        assert all(len(field["text"]) <= FIELD for field in block.get("fields", []))
    for text in texts(blocks):
        assert len(text["text"]) <= TEXT and (text["type"] == "plain_text" or text["verbatim"])
        ours = re.sub(r"<https://[^<>|]+\|([^<>|]*)>", r"\1", text["text"]) if text["type"] == "mrkdwn" else text["text"]
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", ours)


def test_what_does_not_fit_is_cut_where_it_shows() -> None:
    """Never inside an escape; a long text goes on in the next section; too many blocks end in words that say so."""
    assert fitting("a & b", 9) == "a &amp; b" and fitting("a & b", 8) == "a …" and fitting("abcdef", 5) == "abc …"
    lines = "\n".join(f"line {n} " + "x" * 90 for n in range(60))
    blocks = payload(Message("t", lines, "key"))["blocks"]
    assert len(blocks) == 3 and "\n".join(block["text"]["text"] for block in blocks[1:]) == lines
    many = payload(Message("t", "", "key", parts=[Part(f"part {n}") for n in range(60)]))["blocks"]
    assert len(many) == BLOCKS and "does not fit here" in many[-1]["elements"][0]["text"]
