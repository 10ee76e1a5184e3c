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
from torch import Tensor

from monitor.errors import MonitorError
from monitor.sentiment.onnx import LABELS
from monitor.sentiment.training import base, calibration, card, data, export, smoothing, tuning, vocabulary
from monitor.sentiment.training.encoding import Encoder
from monitor.sentiment.training.network import Network, named
from monitor.sentiment.training.tuning import Encoded, Plan

GENERAL = Plan(epochs=2, rate=2e-4, smoothing=0.05)
"""First how people praise and blame at all, on public data."""
TEACHER = Plan(epochs=4, rate=1e-4, smoothing=0.05)
"""Then how they do it of AI teams, on the written posts but for a part, with some of the public data so that it is not forgotten."""
STUDENTS = tuple(
    (Plan(epochs=5, rate=rate, smoothing=0.0, unread=unread), share)
    for rate, unread, share in ((1e-4, 0.12, 0.5), (1e-4, 0.12, 0.3), (1e-4, 0.12, 0.7), (6e-5, 0.12, 0.5), (1.5e-4, 0.15, 0.5))
)
"""Then again from the first stage, in turn by these: `share` of what is to be said of a text is its reader's label, the rest what
the teachers say that have not seen it."""
NETWORKS = 16
"""Networks in each stage, which differ in their seed. The last one's weights are averaged (Wortsman et al. 2022, Model soups)."""
PARTS = 4
"""Parts of the written posts, of which each teacher leaves one out."""
REPLAYED = 6000
"""Public texts in each epoch on written posts, drawn anew from the folders below."""
REPLAYED_FROM = ("newsmtsc", "umsab_en", "umsab_fr", "umsab_de", "umsab_es")
COMPANY = 0.25
"""The share of written posts that are read beside another, drawn anew in each epoch; as many are joined with one into a sentence."""
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
    networks: int = NETWORKS
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
    parser.add_argument("--networks", type=int, default=NETWORKS, help="networks in each stage, at least 2 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.networks < 2:
        parser.error("--networks must be at least 2: what one has learned, another judges")
    networks, pairs = (2, QUICK) if given.quick else (given.networks, given.pairs)
    run = Run(given.work, given.data, given.benchmark, given.quick, given.seed, networks, pairs)
    say(f"on {'a graphics processor' if tuning.DEVICE.type == 'cuda' else 'the processor: a graphics processor takes a tenth of the time'}")
    try:
        _prepare(run)
        _general(run)
        _teachers(run)
        _soften(run)
        _students(run)
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
    if not (public := _public(run)):
        return
    for number in range(run.networks):
        _stage(run, "", f"general-{number + 1}", GENERAL, lambda encoder: lambda epoch, rng: encoder.encode(public), number)


def _public(run: Run) -> list[data.Example]:
    return data.clean(run.public, "train") if run.public and not run.quick else []


def _learned(run: Run) -> list[data.Example]:
    learned, _ = data.written()
    if run.pairs is not None:
        # A larger drawing holds the smaller ones, so that the points of a curve differ in nothing else.
        random.Random(run.seed).shuffle(learned)  # noqa: S311 (nothing secret is drawn)
    return learned[: run.pairs]


def _drawing(
    learned: Sequence[data.Example], public: Sequence[data.Example], targets: Sequence[tuning.Target]
) -> Callable[[Encoder], Callable[[int, random.Random], list[Encoded]]]:
    """What an epoch reads of `learned` and `public`, some of it in company; `targets` are those of the one and then of the other."""
    pools: dict[str, list[data.Example]] = defaultdict(list)
    for each in learned:
        pools[each.language].append(each)

    def met(example: data.Example, rng: random.Random) -> data.Example:
        drawn = rng.random()
        if drawn < COMPANY:
            return data.in_company(example, pools[example.language], rng)
        return data.in_one_sentence(example, pools[example.language], rng) if drawn < 2 * COMPANY else example

    replayed = [number for number, each in enumerate(public, len(learned)) if each.source in REPLAYED_FROM]

    def draw(encoder: Encoder) -> Callable[[int, random.Random], list[Encoded]]:
        def epoch(_: int, rng: random.Random) -> list[Encoded]:
            again = rng.sample(replayed, min(REPLAYED, len(replayed)))
            texts = [*(met(each, rng) for each in learned), *(public[number - len(learned)] for number in again)]
            numbers = [*range(len(learned)), *again]
            return [(tokens, targets[number]) for (tokens, _), number in zip(encoder.encode(texts), numbers, strict=True)]

        return epoch

    return draw


def _parts(run: Run) -> int:
    return min(PARTS, run.networks)


def _teachers(run: Run) -> None:
    learned, public = _learned(run), _public(run)
    for number in range(run.networks):
        seen = [each for each in learned if data.part(each, _parts(run)) != number % _parts(run)]
        draw = _drawing(seen, public, [each.label for each in [*seen, *public]])
        plan = replace(TEACHER, epochs=1) if run.quick else TEACHER
        _stage(run, f"general-{number + 1}" if public else "", f"teacher-{number + 1}", plan, draw, number)


def _soften(run: Run) -> None:
    """Write soft.pt: for each text, how likely each label is [texts, 3].

    Of a written post those say it that have not seen it; of a public text all of the first stage do, so that it is not forgotten.
    """
    result = run.work / "soft.pt"
    if result.exists():
        return
    learned, public = _learned(run), _public(run)
    network, encoder = _network(run)

    def said(stage: str, examples: Sequence[data.Example]) -> Tensor:
        tuning.load(network, run.work / f"{stage}.pt")
        return tuning.logits(network, encoder.encode(examples)).softmax(-1)

    parts = _parts(run)
    of = torch.tensor([data.part(each, parts) for each in learned])
    found = torch.zeros(len(learned), len(LABELS))
    for number in range(run.networks):
        unseen = (of == number % parts).nonzero().flatten()
        judges = len(range(number % parts, run.networks, parts))
        found[unseen] += said(f"teacher-{number + 1}", [learned[each] for each in unseen.tolist()]) / judges
    if public:
        heard = torch.stack([said(f"general-{number + 1}", public) for number in range(run.networks)])
        found = torch.cat([found, heard.mean(0)])
    tuning.save({"soft": found}, result)


def _students(run: Run) -> None:
    result = run.work / "averaged.pt"
    if result.exists():
        return
    learned, public = _learned(run), _public(run)
    soft: Tensor = torch.load(run.work / "soft.pt", weights_only=True)["soft"]
    given = torch.nn.functional.one_hot(torch.tensor([each.label for each in [*learned, *public]]), len(LABELS))
    begin = _best(run, run.public) if run.public and public else ""
    for number in range(run.networks):
        plan, share = STUDENTS[number % len(STUDENTS)]
        targets = [(one, two, three) for one, two, three in (share * given + (1 - share) * soft).tolist()]
        # All begin with the same weights, or their mean would be no network.
        _stage(
            run,
            begin,
            f"student-{number + 1}",
            replace(plan, epochs=1 if run.quick else plan.epochs),
            _drawing(learned, public, targets),
            number,
        )
    students = [run.work / f"student-{number + 1}.pt" for number in range(run.networks)]
    tuning.average(dict.fromkeys(students, 1 / run.networks), result)


def _best(run: Run, folder: Path) -> str:
    """The network of the first stage that is most often right on public texts that none has learned from."""
    network, encoder = _network(run)
    texts = [text for name, split in card.PUBLIC.values() for text in data.read(folder / name / f"{split}.jsonl.gz", name)]
    encoded, labels = encoder.encode(texts), torch.tensor([text.label for text in texts])

    def right(stage: str) -> int:
        tuning.load(network, run.work / f"{stage}.pt")
        return int((tuning.logits(network, encoded).argmax(1) == labels).sum())

    return max((f"general-{number + 1}" for number in range(run.networks)), key=right)


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
