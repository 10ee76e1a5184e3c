"""How many texts a second the embedded model scores, against what ONNX Runtime does on the same tokens by itself."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from monitor.config import Scorer as Settings
from monitor.demo.posts import load_posts
from monitor.sentiment import load_scorer
from monitor.sentiment.passages import model_input, passage

pytestmark = pytest.mark.benchmark

WEIGHTS = Path(__file__).parents[2] / "monitor" / "sentiment" / "weights"
PADDING = 1
"""The token that fills up; the graph knows by it what is none of the text's."""
CORES = len(os.sched_getaffinity(0))


def _measure(works: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Seconds and processor seconds of each, the best of five rounds in turn: the cores may have other work."""
    best = dict.fromkeys(works, (math.inf, math.inf))
    for what in [*works] * 5:
        begun, used = time.perf_counter(), time.process_time()
        works[what]()
        took = (time.perf_counter() - begun, time.process_time() - used)
        best[what] = (min(best[what][0], took[0]), min(best[what][1], took[1]))
    return best


def _session(threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(WEIGHTS / "model.onnx", options)


def test_scoring_speed() -> None:
    """The product (mask, tokens, runs, shares) and bare ONNX Runtime, which is given the tokens, in three ways."""
    items = [passage(post.text, [(0, len(post.text.split()[0]))]) for post in load_posts()[::2]]
    begun = time.perf_counter()
    scorer = load_scorer(Settings())
    scorer.score(items[:1])
    loading = time.perf_counter() - begun

    from transformers import AutoTokenizer

    tokens = [ids[:128] for ids in AutoTokenizer.from_pretrained(WEIGHTS)([model_input(item) for item in items])["input_ids"]]
    whole, single = _session(CORES), _session(1)

    def run(session: onnxruntime.InferenceSession, part: list[list[int]]) -> None:
        length = max(map(len, part))
        rows = np.array([ids + [PADDING] * (length - len(ids)) for ids in part])
        session.run(None, {"input_ids": rows})

    def one_by_one() -> None:
        for ids in tokens:
            run(whole, [ids])

    def padded() -> None:
        ordered = sorted(tokens, key=len)
        for start in range(0, len(ordered), 32):
            run(whole, ordered[start : start + 32])

    def one_per_core() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda ids: run(single, [ids]), tokens))

    alone = load_scorer(Settings(threads=1))
    best = _measure(
        {
            "the product": lambda: scorer.score(items),
            "bare ONNX Runtime, one by one, each core its own": one_per_core,
            "bare ONNX Runtime, one by one, all cores on each": one_by_one,
            "bare ONNX Runtime, 32 padded, all cores on each": padded,
            "the product on one core": lambda: alone.score(items),
        }
    )
    print(f"\nscoring: {len(items)} texts of {np.mean([*map(len, tokens)]):.0f} tokens, {CORES} cores, model ready in {loading:.1f} s")
    ours, ours_used = best["the product"]
    for what, (took, used) in best.items():
        print(
            f"scoring: {len(items) / took:4.0f} texts/s, {1000 * used / len(items):.1f} ms of processor a text, {what} "
            f"(the product's rate is {took / ours:.0%} of it, by processor time {used / ours_used:.0%})"
        )
