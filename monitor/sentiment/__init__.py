"""The seam between the product and a sentiment model: texts with the spans of a team in, a `Score` for each out.

The promise: a scorer tells its name and revision before anything heavy is loaded, and the same item gets the same score
at any time and in any company.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitor.config import Scorer as Settings
from monitor.records import Score

EMBEDDED = "embedded"
"""The model that comes with the product, in the folder `weights` beside this file."""


@dataclass(frozen=True, slots=True)
class Item:
    """A text, and where it names the team in question: half-open character offsets, by start. No span: the whole text."""

    text: str
    spans: tuple[tuple[int, int], ...] = ()


class Scorer(Protocol):
    """A sentiment model. `name` is name@revision, known without loading it; another revision may score otherwise."""

    @property
    def name(self) -> str: ...

    def score(self, items: Sequence[Item]) -> list[Score]:
        """One score per item, in order. ModelError when the model itself is missing or broken."""
        ...


def load_scorer(settings: Settings) -> Scorer:
    """The scorer that config.yaml asks for. Its files are looked at now (ModelError), the model is loaded at the first score."""
    from monitor.sentiment.onnx import OnnxScorer

    embedded = settings.model == EMBEDDED
    folder = Path(__file__).with_name("weights") if embedded else Path(settings.model).expanduser()
    return OnnxScorer(folder, name=EMBEDDED if embedded else folder.name, threads=settings.threads)
