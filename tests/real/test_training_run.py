"""The training command on a hundred texts: every stage, from the published base weights to a folder that the product loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.sentiment import Item
from monitor.sentiment.onnx import OnnxScorer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def _train(work: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-P", "-m", "monitor.sentiment.training", "--work", str(work), "--quick", *more]
    return subprocess.run(words, capture_output=True, text=True, timeout=560, check=False)


def test_from_nothing_to_weights_and_on_from_where_it_was(tmp_path: Path) -> None:
    """One command ends in a folder that scores, with a card of what was measured; run again, it does only what is missing."""
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    benchmark = tmp_path / "posts.jsonl"
    posts = [("Meta is great", "positive"), ("Meta is a mess", "negative"), ("Meta has an office in Paris", "neutral")]
    rows = [{"text": text, "targets": [{"team": "Meta", "alias": "Meta", "label": label}], "lang": "en"} for text, label in posts]
    benchmark.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")

    ended = _train(tmp_path / "run", "--benchmark", str(benchmark))
    assert ended.returncode == 0, ended.stderr[-2000:]
    weights = tmp_path / "run" / "weights"
    score = OnnxScorer(weights, name="quick", threads=1).score([Item("Meta is great", ((0, 4),))])[0]
    assert score.negative + score.neutral + score.positive == pytest.approx(1)
    assert (weights / "model.onnx").stat().st_size < 40e6
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    assert report["int8"]["domain benchmark"]["pairs"] == 3
    assert "domain benchmark" in (weights / "MODEL_CARD.md").read_text("utf-8")

    tuned = (tmp_path / "run" / "student-2.pt").read_bytes()
    (weights / "model.onnx").unlink()
    again = _train(tmp_path / "run", "--benchmark", str(benchmark))
    assert again.returncode == 0, again.stderr[-2000:]
    assert "epoch" not in again.stdout
    assert (tmp_path / "run" / "student-2.pt").read_bytes() == tuned
    assert (weights / "model.onnx").exists()


def test_the_written_posts_hold_no_near_copies() -> None:
    """No two written posts say nearly the same, but for contrasts that were written one after the other."""
    pytest.importorskip("datasketch")
    from monitor.sentiment.training import data

    for path in sorted(data.WRITTEN.glob("*.jsonl")):
        texts = [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
        assert [(texts[one], texts[other]) for one, other in data.near_copies(texts) if one - other > data.NEIGHBOURS] == []
