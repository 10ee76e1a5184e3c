"""From nothing to weights: `python -m monitor.sentiment.training --data FOLDER`, with the extra `train` installed.

Each stage leaves its result in the work folder and is skipped when that is there, so a run that was stopped goes on where
it was; tuning goes on after its last epoch. The result, `weights/` in the work folder, is what ships.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from monitor.errors import MonitorError
from monitor.sentiment.onnx import LABELS
from monitor.sentiment.training import base, calibration, card, data, export, smoothing, tuning, vocabulary
from monitor.sentiment.training.encoding import Encoder
from monitor.sentiment.training.network import Network, named
from monitor.sentiment.training.tuning import Encoded, Plan

GENERAL = Plan(epochs=2, rate=2e-4, smoothing=0.05)
"""First how people praise and blame at all, on public data."""
DOMAIN = Plan(epochs=4, rate=2e-4)
"""Then how they do it of AI teams, on the written posts, with some of the public data so that it is not forgotten."""
REPEATS = 2
"""Runs of the second stage, which differ in their seed; their weights are averaged (Wortsman et al. 2022, Model soups)."""
KEPT_GENERAL = 0.15
"""What the first stage's weights count in that mean (Wortsman et al. 2022, Robust fine-tuning of zero-shot models)."""
REPLAYED = 6000
"""Public texts in each epoch of the second stage, drawn anew from the folders below."""
REPLAYED_FROM = ("newsmtsc", "umsab_en", "umsab_fr", "umsab_de", "umsab_es")
COMPANY = 0.3
"""The share of written posts that are read beside another, drawn anew in each epoch."""
HEARD = 400
"""Pairs by which the channels' loudness is measured before int8."""
QUICK = 100
"""Texts that `--quick` learns from."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folders and choices. `public` is the folder of licence-clean data, `benchmark` a file to calibrate by and report on."""

    work: Path
    public: Path | None
    benchmark: Path | None
    quick: bool
    seed: int
    pairs: int | None = None
    """Written pairs to learn from at most; None: all."""


def say(text: str) -> None:
    """Tell the operator, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every stage that has not been run yet."""
    parser = argparse.ArgumentParser(
        prog="python -m monitor.sentiment.training", description="Train the embedded model, from nothing to weights."
    )
    parser.add_argument("--work", type=Path, default=Path("training-run"), help="folder for what the stages leave (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of licence-clean public data; without it only the written posts are learned from")
    parser.add_argument("--benchmark", type=Path, help="labelled posts to calibrate by and to report on; nothing else is learned from them")
    parser.add_argument("--quick", action="store_true", help=f"try every stage on {QUICK} texts, in a minute; the weights are worthless")
    parser.add_argument(
        "--pairs", type=int, help="learn from so many written pairs only: a point of a learning curve, in a folder of its own"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    run = Run(given.work, given.data, given.benchmark, given.quick, given.seed, QUICK if given.quick else given.pairs)
    try:
        _prepare(run)
        _general(run)
        _domain(run)
        _calibrate(run)
        _export(run)
        card.write(run.work, run.public, run.benchmark, quick=run.quick, say=say)
    except MonitorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    say(f"done: name the folder {run.work / 'weights'} under scorer.model in config.yaml, or put it in place of the shipped weights")
    return 0


def _prepare(run: Run) -> None:
    base.fetch(run.work / "base")
    tokenizer = run.work / "weights" / "tokenizer.json"
    if not tokenizer.exists():
        tokenizer.parent.mkdir(parents=True, exist_ok=True)
        rows = vocabulary.kept()
        trimmed = vocabulary.trim(run.work / "base" / "tokenizer.json", rows)
        tokenizer.write_text(json.dumps(trimmed, ensure_ascii=False), "utf-8")
        say(f"vocabulary: {len(rows)} pieces kept")


def _network(run: Run) -> tuple[Network, Encoder]:
    """The network with the base's weights and a new head, and the tokenizer that goes with it."""
    torch.manual_seed(run.seed)
    encoder = Encoder(run.work / "weights" / "tokenizer.json")
    config, weights = base.read(run.work / "base" / "e5-small-q4.bin")
    rows = np.array(vocabulary.kept())
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][rows]
    network = Network({**config, "vocab_size": len(rows)}, encoder.mask)
    network.load_state_dict(named(weights), strict=False)
    return network, encoder


def _stage(
    run: Run, before: str, after: str, plan: Plan, draw: Callable[[Encoder], Callable[[int, random.Random], list[Encoded]]], seed: int = 0
) -> None:
    """Tune from the weights `before` (none: the base's) to `after`, unless that is there. `seed` is added to the run's."""
    result = run.work / f"{after}.pt"
    if result.exists():
        return
    network, encoder = _network(run)
    if before:
        tuning.load(network, run.work / f"{before}.pt")
    checkpoint = run.work / f"{after}.checkpoint"
    tuning.tune(network, draw(encoder), plan, checkpoint, seed=run.seed + seed, say=lambda text: say(f"{after}: {text}"))
    tuning.save(network.state_dict(), result)
    checkpoint.unlink()


def _general(run: Run) -> None:
    if run.public is None or run.quick:
        return
    rows = data.clean(run.public, "train")
    _stage(run, "", "general", GENERAL, lambda encoder: lambda epoch, rng: encoder.encode(rows))


def _domain(run: Run) -> None:
    learned, _ = data.written()
    public = data.clean(run.public, "train", REPLAYED_FROM) if run.public and not run.quick else []
    if run.pairs is not None:
        # A larger drawing holds the smaller ones, so that the points of a curve differ in nothing else.
        random.Random(run.seed).shuffle(learned)  # noqa: S311 (nothing secret is drawn)
        learned = learned[: run.pairs]

    pools: dict[str, list[data.Example]] = defaultdict(list)
    for each in learned:
        pools[each.language].append(each)

    def draw(encoder: Encoder) -> Callable[[int, random.Random], list[Encoded]]:
        def epoch(_: int, rng: random.Random) -> list[Encoded]:
            company = [data.in_company(each, pools[each.language], rng) if rng.random() < COMPANY else each for each in learned]
            return encoder.encode(company + rng.sample(public, min(REPLAYED, len(public))))

        return epoch

    plan = replace(DOMAIN, epochs=1) if run.quick else DOMAIN
    for number in range(REPEATS):
        _stage(run, "general" if public else "", f"domain-{number + 1}", plan, draw, number)
    if not (run.work / "averaged.pt").exists():
        kept = KEPT_GENERAL if public else 0.0
        shares = {run.work / f"domain-{number + 1}.pt": (1 - kept) / REPEATS for number in range(REPEATS)}
        tuning.average(shares | ({run.work / "general.pt": kept} if kept else {}), run.work / "averaged.pt")


def _calibrate(run: Run) -> None:
    result = run.work / "calibrated.pt"
    if result.exists():
        return
    network, encoder = _network(run)
    tuning.load(network, run.work / "averaged.pt")
    # Posts from elsewhere, where there are any: on the written ones the model is righter, and would come out too sure of itself.
    if run.benchmark:
        rows = list(data.read(run.benchmark, "benchmark"))
    else:
        rows = [example for line in data.written()[1] for example in data.examples(json.loads(line), "held")]
    rows = rows[: QUICK if run.quick else None]
    encoded = encoder.encode(rows)
    value = calibration.temperature(tuning.logits(network, encoded), torch.tensor([label for _, label in encoded]))
    calibration.apply(network, value)
    say(f"calibration: temperature {value:.2f} by {len(rows)} pairs that were not learned from")
    tuning.save(network.state_dict(), result)


def _export(run: Run) -> None:
    folder, plain = run.work / "weights", run.work / "fp32"
    if (folder / "model.onnx").exists():
        return
    network, encoder = _network(run)
    tuning.load(network, run.work / "calibrated.pt")
    config = {
        "model_type": "bert", "vocab_size": encoder.mask + 1,
        "id2label": dict(enumerate(LABELS)), "label2id": {label: number for number, label in enumerate(LABELS)},
    }  # fmt: skip
    signs = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "mask_token": "<mask>", "bos_token": "<s>",
        "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    learned = random.Random(run.seed).sample(data.written()[0], HEARD)  # noqa: S311 (nothing secret is drawn)
    evened = smoothing.smooth(network, encoder.encode(learned))
    for path, net, int8 in ((plain, network, False), (folder, evened, True)):
        export.export(net, path / "model.onnx", int8=int8)
        (path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        (path / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
        (path / "tokenizer_config.json").write_text(json.dumps(signs, indent=1), "utf-8")
    say(f"export: {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
