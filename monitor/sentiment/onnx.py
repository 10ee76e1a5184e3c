"""A model as ONNX Runtime runs it, from a folder that holds model.onnx, tokenizer.json and config.json.

The promise: a score does not depend on what is scored beside it. The weights are quantised, and their scale is set anew
by every run of the model from all that is in it: in runs of 32 texts, one label in eleven came out differently than
alone. So each run holds one text, without padding, and each core does its own runs. On two cores that is 0.9 times the
rate of padded runs of 32 for texts of 28 tokens, and 1.05 times for those of 50.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monitor.errors import ModelError
from monitor.records import Score
from monitor.sentiment import Item
from monitor.sentiment.passages import MASK, OTHER, RECIPE, model_input

MAX_TOKENS = 128
"""Tokens that the model reads at most, its first and last sign among them."""

LABELS = ("negative", "neutral", "positive")
_NEEDED = ("config.json", "model.onnx", "tokenizer.json")
_SIGNS = (("<s>", "[CLS]"), ("<mask>", "[MASK]"), ("</s>", "[SEP]"))
"""The begin, the mask and the end, as RoBERTa's kin and BERT's spell them."""


def window(ids: list[int], mask: int, begin: int, finish: int) -> list[int]:
    """The text's tokens `ids` between `begin` and `finish`; of too many, those around the first `mask`, so that it is never cut off."""
    room = MAX_TOKENS - 2
    first = ids.index(mask) if mask in ids else 0
    start = max(0, min(first - room // 2, len(ids) - room))
    return [begin, *ids[start : start + room], finish]


@dataclass(frozen=True)
class _Parts:
    """A loaded model: what runs it, the names of its inputs, its tokenizer, how that spells an unknown word, and three signs' numbers."""

    session: Any
    inputs: tuple[str, ...]
    tokenizer: Any
    unknown: str
    begin: int
    mask: int
    finish: int


class OnnxScorer:
    """The model in `folder`, on `threads` cores (0 = all that this process may use).

    Making one reads and hashes the files, 0.1 s; the first score loads the model, 0.4 s and 215 MB. ModelError from either
    when a file is missing, broken, or not that of a sentiment model.
    """

    def __init__(self, folder: Path, *, name: str, threads: int = 0) -> None:
        self._folder = folder
        self._threads = threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
        digest = hashlib.sha256(f"{RECIPE} {MAX_TOKENS}".encode())
        try:
            for file in _NEEDED:
                with (folder / file).open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
            settings = json.loads((folder / "config.json").read_text("utf-8"))
            labels = [str(settings["id2label"][str(index)]).lower() for index in range(len(settings["id2label"]))]
        except OSError as error:
            raise self._broken(f"lacks {Path(error.filename).name} ({error.strerror})") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._broken("has no id2label in its config.json to say what its figures mean") from None
        if sorted(labels) != sorted(LABELS):
            raise self._broken(f"tells {', '.join(labels) or 'nothing'} apart, not {', '.join(LABELS)}")
        self._order = [labels.index(label) for label in LABELS]
        self.name = f"{name}@{digest.hexdigest()[:8]}"
        """name@revision: the revision changes with the weights, the tokenizer, the labels and the way the input is made."""

    def score(self, items: Sequence[Item]) -> list[Score]:
        """One score per item, in order; bit for bit the same for the same item whatever stands beside it."""
        tokenizer = self._parts.tokenizer
        texts = [self._read(item) for item in items]
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        signs = (self._parts.mask, self._parts.begin, self._parts.finish)
        return list(self._pool.map(self._run, [window(each.ids, *signs) for each in encoded]))

    def _read(self, item: Item) -> str:
        """The item's words in this tokenizer's signs; no team's name is among them."""
        tokenizer = self._parts.tokenizer
        return model_input(item, nameless=True).replace(MASK, tokenizer.id_to_token(self._parts.mask)).replace(OTHER, self._parts.unknown)

    @cached_property
    def _parts(self) -> _Parts:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
            session = onnxruntime.InferenceSession(self._folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each raises whatever its parsers do
            raise self._broken(f"cannot be loaded ({type(error).__name__}), so one of its files is broken") from error
        inputs = tuple(each.name for each in session.get_inputs())
        vocabulary = tokenizer.get_vocab()
        signs = [vocabulary[sign] for same in _SIGNS for sign in same if sign in vocabulary]
        if len(signs) != len(_SIGNS) or not {"input_ids"} <= set(inputs) <= {"input_ids", "attention_mask", "token_type_ids"}:
            raise self._broken("is no text classifier with a begin, an end and a mask token, and with input_ids as its input")
        # A tokenizer's file may ask for either, and one would mix the texts of a batch, the other cut off late mentions.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return _Parts(session, inputs, tokenizer, "<unk>" if "<unk>" in vocabulary else "[UNK]", *signs)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="scorer")

    def _run(self, ids: list[int]) -> Score:
        import numpy as np

        parts = self._parts
        tokens = np.array([ids], dtype=np.int64)
        given = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        logits = parts.session.run(None, {name: given[name] for name in parts.inputs})[0][0].tolist()
        if not all(map(math.isfinite, logits)):
            raise ArithmeticError("the model gave no number")
        odds = [math.exp(logits[index] - max(logits)) for index in self._order]
        return Score(self.name, *(each / math.fsum(odds) for each in odds))

    def _broken(self, wrong: str) -> ModelError:
        return ModelError(
            f"the sentiment model in {self._folder} {wrong}: name a folder with model.onnx, config.json and tokenizer.json under "
            "scorer.model in config.yaml, or write `embedded`; if that is what fails, install this program again"
        )
