"""Examples as the token numbers that the shipped scorer would read them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from monitor.sentiment.onnx import window
from monitor.sentiment.passages import MASK, model_input
from monitor.sentiment.training.data import Example, item
from monitor.sentiment.training.tuning import Encoded


class Encoder:
    """The tokenizer in a tokenizer.json. `mask` is the number of the token that stands for the team's mentions."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        numbers = self._tokenizer.get_vocab()
        self.mask, self._begin, self._finish = (numbers[sign] for sign in (MASK, "<s>", "</s>"))

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The tokens and the label of each example, in order."""
        texts = [model_input(item(example), nameless=True) for example in examples]
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [
            (window(each.ids, self.mask, self._begin, self._finish), example.label) for each, example in zip(encoded, examples, strict=True)
        ]
