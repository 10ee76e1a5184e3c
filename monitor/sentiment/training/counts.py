"""What a model takes for what, counted anew: `python -m monitor.sentiment.training.counts WEIGHTS [--benchmark FILE]`.

WEIGHTS is a folder of model.onnx, tokenizer.json and config.json; confusion.json is written into it, as a training run does. Only
held-out posts about AI teams are counted on: public data are about others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from monitor.evaluate import Report, evaluate
from monitor.evaluate.rows import Row, opened, read
from monitor.sentiment.confusion import FILE
from monitor.sentiment.onnx import LABELS, OnnxScorer
from monitor.sentiment.training import data


def held_out(benchmark: Path | None, *, quick: bool = False) -> dict[str, list[Row]]:
    """The texts to count on, by the name of their set."""
    _, held = data.written()
    texts = {"written posts, held out": rows(held[:60] if quick else held)}
    if benchmark is None:
        return texts
    with opened(benchmark) as lines:
        return {"domain benchmark": rows(lines)} | texts


def rows(lines: Iterable[str]) -> list[Row]:
    """The good lines."""
    return [row for _, row in read(lines) if isinstance(row, Row)]


def write(weights: Path, reports: Mapping[str, Report], model: str) -> None:
    """Write confusion.json: how often each label of a reader came out as what, on each set of texts, by language."""
    texts = {name: {group.name: group.sureness for group in report.groups if group.by == "lang"} for name, report in reports.items()}
    columns = [f"{label}, {how}" for label in LABELS for how in ("unsure", "sure")]
    found = {"revision": model.rpartition("@")[2], "labels": LABELS, "columns": columns, "texts": texts}
    (weights / FILE).write_text(json.dumps(found) + "\n", "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m monitor.sentiment.training.counts", description="Write confusion.json.")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="folder of the weights")
    parser.add_argument("--benchmark", type=Path, metavar="FILE", help="further labelled texts that the model has not seen")
    given = parser.parse_args()
    scorer = OnnxScorer(given.weights, name="embedded")
    write(given.weights, {name: evaluate(texts, scorer, exchange=False) for name, texts in held_out(given.benchmark).items()}, scorer.name)
