"""Two models that take turns: the embedded one reads everything, and what it is unsure of is asked of one behind an address.

The promise: each pair of post and team has exactly one score, and the score says which of the two gave it. A spent
allowance or an outage stops nothing: the embedded model's own score then stands, under its own name.

`name` covers both revisions and the bound, since figures of another mixture lie on another scale. Both models' scores
are looked up by their own names first, so that another bound, or going back to one model, asks for nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitor.errors import ModelError
from monitor.records import Score
from monitor.sentiment import Item, Ledger, Paused, Scorer, input_hash

log = logging.getLogger("forum-monitor")


class EscalatingScorer:
    """`first` reads everything; what it gives no label a probability of `below` or more, `second` reads too."""

    batch = 128
    """Posts between two savings: about as many requests as for the 32 of an endpoint alone, where one pair in four is unsure."""

    def __init__(self, first: Scorer, second: Scorer, *, below: float, ledger: Ledger | None = None) -> None:
        self._first, self._second, self._below, self._ledger = first, second, below, ledger
        self.name = f"{first.name}+{second.name}<{below:g}"
        self._told = ""

    def score(self, items: Sequence[Item]) -> list[Score | None]:
        """One score per item, in order, by the model that its `model` names; None for a text that neither can take."""
        scores, error = self._by(self._first, items)
        if error:
            raise error
        unsure = [position for position, score in enumerate(scores) if score is None or self._doubted(score)]
        second, error = self._by(self._second, [items[position] for position in unsure])
        if error and str(error) != self._told:  # once for a run, not for each of its batches
            self._told = str(error)
            log.warning("scorer: %s; until then the scores of %s stand", error, self._first.name)
        for position, score in zip(unsure, second, strict=True):
            scores[position] = score or scores[position]
        return scores

    def _doubted(self, score: Score) -> bool:
        return max(score.negative, score.neutral, score.positive) < self._below

    def _by(self, scorer: Scorer, items: Sequence[Item]) -> tuple[list[Score | None], ModelError | None]:
        """What one of the two says, or has said before, of each item; and why it says no more, if it does not."""
        hashes = [input_hash(scorer, item) for item in items]
        known = self._ledger.known_scores(scorer.name, hashes) if self._ledger else {}
        found = [known.get(digest) for digest in hashes]
        asked = [position for position, score in enumerate(found) if score is None]
        if not asked:
            return found, None
        try:
            fresh, error = dict(enumerate(scorer.score([items[position] for position in asked]))), None
        except ModelError as caught:
            fresh, error = dict(caught.done) if isinstance(caught, Paused) else {}, caught
        for number, score in fresh.items():
            found[asked[number]] = score
        return found, error
