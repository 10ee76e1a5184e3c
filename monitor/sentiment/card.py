"""The card of the embedded model: what it is made of and what it was measured at, as its training wrote it.

The promise: the card is shown for the very weights that it was written of, and for no other model.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitor.sentiment import EMBEDDED
from monitor.sentiment.confusion import FILE

WEIGHTS = Path(__file__).with_name("weights")


def card(model: str) -> str | None:
    """The card as Markdown, where `model` (name@revision, or two that take turns) is or begins with the embedded one; else None."""
    try:
        revision = json.loads((WEIGHTS / FILE).read_text("utf-8"))["revision"]
        text = (WEIGHTS / "MODEL_CARD.md").read_text("utf-8")
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return text if model.partition("+")[0] == f"{EMBEDDED}@{revision}" else None
