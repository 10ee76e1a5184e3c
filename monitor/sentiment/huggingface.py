"""Any text classifier that transformers can load, from a folder or the Hugging Face Hub, with torch (the extra `torch`).

The promises: a score does not depend on what is scored beside it (each run holds one text in float32, on one core, and
each core does its own runs); what a model's figures mean is read from its labels' names and never guessed; no code that
comes with a model is run. A model of the Hub stays at the commit that was first downloaded, which is its revision.

How a model is told which team is meant depends on how it was trained, `targeted` says which:

    mask   every mention as the tokenizer's mask token: trained so, as the embedded model is
    pair   the passage, and the mention's own words as a second sequence: aspect-based models
    nli    an entailment model: the passage, and "The author ... of X" as what may follow from it, once per label
    none   the passage alone: a model of moods, which cannot tell two teams in one sentence apart
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from monitor.errors import ModelError
from monitor.language import language
from monitor.records import Score
from monitor.scoring import Targeted
from monitor.sentiment import Item
from monitor.sentiment.passages import MASK, RECIPE, WINDOW, model_input

MAX_TOKENS = 512
"""Tokens that a model reads at most; fewer where its positions end before."""

HYPOTHESES = {
    "en": ("The author has a negative opinion of {}.", "The author has no opinion of {}.", "The author has a positive opinion of {}."),
    "fr": ("L'auteur a une opinion négative de {}.", "L'auteur n'a pas d'avis sur {}.", "L'auteur a une opinion positive de {}."),
    "zh": ("作者对{}持负面态度。", "作者对{}没有表明态度。", "作者对{}持正面态度。"),
}
"""What an entailment model is asked to infer: negative, neutral, positive, in the passage's language, else in English."""

_WHATEVER = {"en": "what it is about", "fr": "ce dont il parle", "zh": "所谈的事"}
"""What stands in a hypothesis where no team is named: the text as a whole is judged."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
_CONTENT = {".json", ".txt", ".model", ".safetensors", ".bin"}
"""Endings of the files that decide what a model says."""

# Which figures of a head make negative, neutral and positive, by the labels' names in the order of the scale.
_SCALES: dict[tuple[str, ...], tuple[tuple[int, ...], ...]] = {
    ("negative", "positive"): ((0,), (), (1,)),
    ("neg", "pos"): ((0,), (), (1,)),
    ("negative", "neutral", "positive"): ((0,), (1,), (2,)),
    ("neg", "neu", "pos"): ((0,), (1,), (2,)),
    ("very negative", "negative", "neutral", "positive", "very positive"): ((0, 1), (2,), (3, 4)),
    ("1 star", "2 star", "3 star", "4 star", "5 star"): ((0, 1), (2,), (3, 4)),
}


_Shares = Callable[[Sequence[Sequence[float]]], list[float]]
"""From a run's logits, or those of a run per hypothesis, to negative, neutral and positive."""


@dataclass(frozen=True)
class _Parts:
    """A loaded model, its tokenizer, and how many tokens the two take."""

    model: Any
    tokenizer: Any
    room: int

    def encode(self, passage: str, second: str) -> Any:
        """Tokens, the mask in its place; what a post spells like one of the tokenizer's own signs is set apart and stays text."""
        signs = [sign for sign in self.tokenizer.all_special_tokens if len(sign) > 2]
        texts = []
        for text in (*passage.split(MASK), second):
            for sign in signs:
                text = text.replace(sign, f"{sign[0]} {sign[1:]}")
            texts.append(text)
        passage = (self.tokenizer.mask_token or MASK).join(texts[:-1])
        return self.tokenizer(passage, *texts[-1:] if second else (), return_tensors="pt", verbose=False)


class HuggingFaceScorer:
    """The classifier `model`, a folder or `owner/name` of the Hub, on `threads` cores (0 = all that this process may use).

    Making one reads config.json, and hashes a folder's files (1 s per 1.5 GB); the first score loads the model, and
    downloads it if it is of the Hub and not there yet. ModelError from either when that cannot be done, when torch is
    missing, or when the model's labels are not known.
    """

    def __init__(self, model: str, *, targeted: Targeted, threads: int = 0) -> None:
        self._model, self._targeted = model, targeted
        self._threads = threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
        if importlib.util.find_spec("torch") is None:
            raise self._broken("needs torch, which is not installed: pip install 'employee-forum-monitor[torch]'; or")
        folder = Path(model).expanduser()
        if folder.is_dir():
            self._source: dict[str, Any] = {"pretrained_model_name_or_path": folder}
            config, revision, name = folder / "config.json", _digest(folder), folder.name
        else:
            config = self._downloaded_config()
            revision, name = config.parent.name, model
            self._source = {"pretrained_model_name_or_path": model, "revision": revision}
        labels = self._labels(config)
        self._shares = self._entailment(labels) if targeted == "nli" else self._scale(labels)
        recipe = json.dumps([revision, labels, targeted, HYPOTHESES, RECIPE, WINDOW, MAX_TOKENS])
        self.name = f"{name}@{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
        """name@revision: the revision changes with the model's files, or its commit, and with the way the input is made."""

    def reads(self, item: Item) -> str:
        """The words that decide an item's score: see `Scorer`."""
        passage, second, _ = self._reading(item)
        return f"{passage}\x1f{second}" if second else passage  # no text of a post holds this sign

    def score(self, items: Sequence[Item]) -> list[Score]:
        """One score per item, in order; bit for bit the same for the same item whatever stands beside it."""
        if not items:
            return []
        _ = self._parts  # loaded here once, not by each thread
        return list(self._pool.map(self._score, items))

    def _reading(self, item: Item) -> tuple[str, str, int]:
        """The passage, the mention's own words where the model is given them, and where in the passage the first mention is."""
        if self._targeted == "mask":
            passage = model_input(item)
            return passage, "", max(0, passage.find(MASK))
        mention, end = item.spans[0] if item.spans else (0, 0)
        start = max(0, min(mention - WINDOW // 2, len(item.text) - WINDOW))
        passage = item.text[start : start + WINDOW].replace(MASK, MASK.replace("<", "< "))  # a word like any other here
        return passage, item.text[mention:end] if self._targeted != "none" else "", mention - start

    def _score(self, item: Item) -> Score:
        passage, second, anchor = self._reading(item)
        if self._targeted != "nli":
            return Score(self.name, *self._shares([self._logits(passage, second, anchor)]))
        spoken = language(passage)
        spoken = spoken if spoken in HYPOTHESES else "en"
        about = [hypothesis.format(second or _WHATEVER[spoken]) for hypothesis in HYPOTHESES[spoken]]
        return Score(self.name, *self._shares([self._logits(passage, hypothesis, anchor) for hypothesis in about]))

    def _logits(self, passage: str, second: str, anchor: int) -> list[float]:
        """One run of the model; of too many tokens, those around the character `anchor`."""
        import torch

        parts, width = self._parts, len(passage)
        given = parts.encode(passage, second)
        while given["input_ids"].shape[1] > parts.room and width:
            width = width * 9 // 10
            start = max(0, min(anchor - width // 2, len(passage) - width))
            given = parts.encode(passage[start : start + width], second)
        with torch.inference_mode():
            logits: list[float] = parts.model(**given).logits[0].tolist()
        if not all(map(math.isfinite, logits)):
            raise ArithmeticError("the model gave no number")
        return logits

    # ---- loading -----------------------------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> _Parts:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        if not sys.stderr.isatty():
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]

        def load(**where: Any) -> tuple[Any, Any, Any]:
            where |= {"trust_remote_code": False}  # unset it would ask on a terminal
            how: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
            return AutoTokenizer.from_pretrained(**where), *AutoModelForSequenceClassification.from_pretrained(**where, **how)

        try:
            try:
                tokenizer, model, loaded = load(**self._source, local_files_only=True)
            except OSError:  # not all of it is here yet; to ask at every run would make each wait for the network
                tokenizer, model, loaded = load(**self._source)
        except Exception as error:  # each raises whatever its parsers and the network do
            raise self._broken(f"cannot be loaded ({type(error).__name__}): see that its files are whole, or within reach;") from error
        if loaded["missing_keys"] or loaded["mismatched_keys"]:
            raise self._broken("has no trained head to classify with;")
        if self._targeted == "mask" and tokenizer.mask_token is None:
            raise self._broken("has no mask token, so scorer.targeted cannot be mask;")
        positions = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
        room = min(tokenizer.model_max_length, positions - 2, MAX_TOKENS)  # RoBERTa's kin keep two positions for no token
        # One that asks for padding or cutting loses that at its first use, which two threads at once would fail at.
        tokenizer("")
        return _Parts(model.eval(), tokenizer, room)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        import torch

        return ThreadPoolExecutor(self._threads, thread_name_prefix="scorer", initializer=torch.set_num_threads, initargs=(1,))

    def _downloaded_config(self) -> Path:
        """config.json of a model of the Hub at the commit that is here already, else at the newest one."""
        if not _NAME.fullmatch(self._model):
            raise self._broken("is neither a folder that is there nor a name on the Hugging Face Hub:")
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            try:
                return Path(hf_hub_download(self._model, "config.json", local_files_only=True))
            except LocalEntryNotFoundError:
                return Path(hf_hub_download(self._model, "config.json"))
        except Exception as error:  # the network's, the Hub's and the disk's
            what = f"is no folder, and the Hugging Face Hub gives none of that name ({type(error).__name__}): look at it and the network;"
            raise self._broken(what) from error

    # ---- what its figures mean ---------------------------------------------------------------------------------------

    def _labels(self, path: Path) -> list[str]:
        """The labels' names by index, in lower case; from label2id where id2label has only numbers."""
        try:
            config = json.loads(path.read_text("utf-8"))
            names = [str(config["id2label"][str(index)]) for index in range(len(config["id2label"]))]
            if all(re.fullmatch(r"LABEL_\d+", name) for name in names):
                by_index = {index: name for name, index in config.get("label2id", {}).items()}
                names = [str(by_index.get(index, names[index])) for index in range(len(names))]
        except OSError as error:
            raise self._broken(f"lacks config.json ({error.strerror});") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._broken("has no id2label in its config.json to say what its figures mean;") from None
        return [re.sub(r"stars?$", "star", re.sub(r"[\s_-]+", " ", name.strip().lower())) for name in names]

    def _scale(self, labels: list[str]) -> _Shares:
        """Shares as sums of the probabilities of the labels on each side of the scale."""
        for scale, groups in _SCALES.items():
            if sorted(labels) == sorted(scale):
                return partial(_sums, [[labels.index(scale[step]) for step in group] for group in groups])
        if any(label.startswith("entail") for label in labels):
            raise self._unknown(labels, "an entailment model is used with targeted: nli;")
        raise self._unknown(labels, f"known are {'; '.join(', '.join(scale) for scale in _SCALES)};")

    def _entailment(self, labels: list[str]) -> _Shares:
        """Shares as a softmax over the three hypotheses' logits of entailment: Yin, Hay and Roth 2019, for one true label of several."""
        if "entailment" not in labels or not set(labels) <= {"entailment", "neutral", "contradiction", "not entailment", "non entailment"}:
            raise self._unknown(labels, "targeted: nli needs entailment among neutral, contradiction or not entailment;")
        place = labels.index("entailment")
        return lambda logits: _softmax([each[place] for each in logits])

    def _unknown(self, labels: list[str], known: str) -> ModelError:
        return self._broken(f"tells {', '.join(labels) or 'nothing'} apart, and what that means for praise and blame is not known: {known}")

    def _broken(self, wrong: str) -> ModelError:
        return ModelError(f"the sentiment model {self._model} {wrong} name another under scorer.model in config.yaml, or write `embedded`")


def _sums(places: Sequence[Sequence[int]], logits: Sequence[Sequence[float]]) -> list[float]:
    each = _softmax(logits[0])
    return [math.fsum(each[place] for place in group) for group in places]


def _softmax(logits: Sequence[float]) -> list[float]:
    odds = [math.exp(logit - max(logits)) for logit in logits]
    return [each / math.fsum(odds) for each in odds]


def _digest(folder: Path) -> str:
    """A digest of the files that decide what the model of a folder says."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _CONTENT and file.is_file():
            with file.open("rb") as content:
                digest.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
