"""The seam between the product and a sentiment model: texts with the spans of a team in, a `Score` for each out.

The promise: a scorer tells its name and revision before anything heavy is loaded, and a model that runs here gives the
same item the same score at any time and in any company. Which of the scorers it is, is read from config.yaml here only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitor.config import Scorer as Settings
from monitor.errors import ModelError
from monitor.records import Score, text_hash

EMBEDDED = "embedded"
"""The model that comes with the product, in the folder `weights` beside this file."""


@dataclass(frozen=True, slots=True)
class Item:
    """A text, and where it names the team in question: half-open character offsets, by start. No span: the whole text.

    `others` are the places of other teams' names, by start, none overlapping a span.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    others: tuple[tuple[int, int], ...] = ()


class Scorer(Protocol):
    """A sentiment model. `name` is name@revision, known without loading it; another revision may score otherwise.

    Two more members are optional: `reads(item)`, the words that decide a score where these are not the masked passage
    (see `input_hash`), and `batch`, how many posts are read between two savings where a model is slow or costs money.
    """

    @property
    def name(self) -> str: ...

    def score(self, items: Sequence[Item]) -> Sequence[Score | None]:
        """One score per item, in order, None for one that the model cannot take. Each names the model that gave it.

        ModelError when the model itself is missing or broken; Paused, which holds the scores so far, when it is to be
        asked again at another time.
        """
        ...


class Paused(ModelError):  # noqa: N818 (it names what was found)
    """The model may not be asked now (`allowance_spent`: no more on this UTC day), or gives no answer.

    `done` holds what it had said before, by the item's position; what is missing there has not been read.
    """

    def __init__(self, message: str, *, done: Mapping[int, Score | None] | None = None, allowance_spent: bool = False) -> None:
        super().__init__(message)
        self.done = done or {}
        self.allowance_spent = allowance_spent


class Ledger(Protocol):
    """What a scorer that costs money keeps between two runs: the scores that it gave, and what a day has cost. The store is one."""

    def known_scores(self, model: str, input_hashes: Sequence[str]) -> dict[str, Score]: ...

    def spent(self, day: dt.date) -> tuple[int, float]:
        """Tokens, and their cost in the currency of scorer.price, on a UTC day."""
        ...

    def spend(self, day: dt.date, model: str, *, requests: int, tokens: int, cost: float) -> None:
        """Add to a day's account; what was counted too high is taken off by negative figures."""
        ...


def input_hash(scorer: Scorer, item: Item) -> str:
    """32 hexadecimal digits, the same for two items that the scorer reads as the same words, and so scores alike."""
    from monitor.sentiment.passages import model_input

    reads = getattr(scorer, "reads", None)
    return text_hash(reads(item) if reads else f"{model_input(item)}\n{model_input(item, nameless=True)}")


def scores_of(scorer: Scorer, items: Sequence[Item]) -> tuple[dict[int, Score | None], Paused | None]:
    """A score per position in `items`, None for a text that the model cannot take; and why positions are missing, if some are.

    A text on which the model's runtime fails keeps no other from its score. ModelError when the model fails on any text.
    """
    if not items:
        return {}, None
    try:
        return dict(enumerate(scorer.score(items))), None
    except Paused as pause:
        return dict(pause.done), pause
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 (whatever one text provokes in the model's runtime)
        found = {position: _score_alone(scorer, item) for position, item in enumerate(items)}
    if not any(found.values()) and not _score_alone(scorer, Item("The new model is out today.")):
        raise ModelError(f"the sentiment model {scorer.name} fails on every text: run `forum-monitor doctor`, which tries it")
    return found, None


def _score_alone(scorer: Scorer, item: Item) -> Score | None:
    try:
        return scorer.score([item])[0]
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 (as above)
        return None


def load_scorer(settings: Settings, ledger: Ledger | None = None) -> Scorer:
    """The scorer that config.yaml asks for. Its files are looked at now (ModelError), the model is loaded at the first score.

    `ledger` is needed where scorer.endpoint has a limit per day; an escalating scorer also takes known scores from it.
    """
    if settings.endpoint is None:
        return _local(settings)
    from monitor.sentiment.endpoint import EndpointScorer

    endpoint = EndpointScorer(settings, ledger)
    if settings.escalate_below is None:
        return endpoint
    from monitor.sentiment.escalation import EscalatingScorer

    return EscalatingScorer(_local(Settings(threads=settings.threads)), endpoint, below=settings.escalate_below, ledger=ledger)


def _local(settings: Settings) -> Scorer:
    """The embedded model, that of a folder with model.onnx, or one for transformers, in this order."""
    from monitor.sentiment.onnx import OnnxScorer

    if settings.model == EMBEDDED:
        return OnnxScorer(Path(__file__).with_name("weights"), name=EMBEDDED, threads=settings.threads)
    folder = Path(settings.model).expanduser()
    if settings.targeted is None or (folder / "model.onnx").exists():
        if not folder.is_dir():
            raise ModelError(
                f"the sentiment model {settings.model} is no folder that is there: name one under scorer.model in config.yaml (or as "
                "--model) or, for a model of the Hugging Face Hub, say under scorer.targeted (or as --targeted) how it is told which team "
                "is meant: mask, pair, nli or none"
            )
        if settings.targeted not in (None, "mask"):
            raise ModelError(
                f"the sentiment model in {folder} is a model.onnx, which is given the mentions masked, but scorer.targeted (or --targeted) "
                f"is {settings.targeted}: take it out, or name a folder that holds the model for transformers"
            )
        return OnnxScorer(folder, name=folder.name, threads=settings.threads)
    from monitor.sentiment.huggingface import HuggingFaceScorer

    return HuggingFaceScorer(settings.model, targeted=settings.targeted, threads=settings.threads)
