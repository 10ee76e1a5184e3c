"""What a model takes for what, counted on held-out texts: the file confusion.json that comes with its weights.

The promise: counts are used for the very model that they were counted with, and for no other.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitor.scoring import Scorer as Settings

FILE = "confusion.json"

SURE = 0.65
"""The probability from which a model is sure of its label. How sure it is says more than its label alone: on held-out posts shares
told by both had standard errors lower by 9 and 16 %. More steps than these two gained at most 6 % again."""

Counts = dict[str, list[list[int]]]
"""By language: a row for each label that readers give, two columns for each that the model gives, unsure and sure of it. Labels are in
the order negative, neutral, positive. Files from before this have one column for each label.
"""


def counted(settings: Settings, model: str) -> list[Counts]:
    """The counts on each set of held-out texts for `model` (name@revision); none where its weights come without, or are others.

    A file that is broken counts as none: what it is for can be done without.
    """
    if settings.endpoint is not None:
        return []
    folder = Path(__file__).with_name("weights") if settings.model == "embedded" else Path(settings.model).expanduser()
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        same = model.rpartition("@")[2] == found["revision"]
        return [dict(texts) for texts in found["texts"].values()] if same else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
