"""What the embedded model learns from: the written posts, and how they are read."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ModelError
from monitor.sentiment import EMBEDDED
from monitor.sentiment.onnx import LABELS
from monitor.sentiment.training import data, vocabulary


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(data.WRITTEN.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]


def _row(text: str, *names: str) -> dict[str, Any]:
    return {"id": "a-1", "lang": "en", "text": text, "targets": [{"team": name, "alias": name, "label": "neutral"} for name in names]}


def test_the_written_posts_are_as_many_and_as_mixed_as_stated() -> None:
    """At least 8,000 pairs in three languages, no label under a quarter in any, every id and text once."""
    rows = _rows()
    pairs = Counter((row["lang"], target["label"]) for row in rows for target in row["targets"])
    assert pairs.total() >= 8000
    for language, least in (("en", 4000), ("fr", 2000), ("zh", 2000)):
        counts = [pairs[language, label] for label in LABELS]
        assert sum(counts) >= least
        assert min(counts) > sum(counts) / 4
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows)


def test_every_written_post_names_the_teams_that_it_is_labelled_for() -> None:
    """A label whose team could not be found would be learned as the mood of the whole text."""
    learned, held = data.written()
    examples = [*learned, *(each for line in held for each in data.examples(json.loads(line), "held"))]
    assert [each.post for each in examples if not each.spans] == []
    assert len(examples) == sum(len(row["targets"]) for row in _rows())


def test_no_post_is_on_both_sides_of_the_split() -> None:
    """The held-out tenth is the same each time, and shares no post with what is learned from."""
    learned, held = data.written()
    ids = {json.loads(line)["id"] for line in held}
    assert 0.05 < len(ids) / len(_rows()) < 0.15
    assert not ids & {each.post for each in learned}
    assert data.written()[1] == held


def test_another_name_for_the_other_team_leaves_this_one_masked_in_place() -> None:
    """Names carry no verdict: the other team's name changes, and the target's offsets move with it."""
    row = _row("DeepSeek beat Meta, and Meta knows. DeepSeek!", "Meta", "DeepSeek")
    meta, _ = data.examples(row, "test")
    renamed = data.renamed(meta, ["Hugging Face"], random.Random(0))
    assert renamed.text == "Hugging Face beat Meta, and Meta knows. Hugging Face!"
    assert [renamed.text[start:end] for start, end in renamed.spans] == ["Meta", "Meta"]


@given(st.lists(st.sampled_from(["Meta", "Qwen", "so", "，", "l'", "X"]), min_size=1, max_size=12), st.integers(0, 99))
def test_renaming_keeps_the_target_whatever_stands_around_it(words: list[str], seed: int) -> None:
    """Every mention of the target is found again, in order, and nothing of the other team's name is left."""
    text = " ".join(words)
    row = _row(text, "Meta", "Qwen")
    meta = next(iter(data.examples(row, "test")))
    renamed = data.renamed(meta, ["月之暗面", "X"], random.Random(seed))
    assert [renamed.text[start:end] for start, end in renamed.spans] == ["Meta"] * words.count("Meta")
    assert "Qwen" not in renamed.text


def test_a_broken_line_is_told_with_its_number(tmp_path: Path) -> None:
    """Whoever adds posts learns which line is wrong."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "fine", "target": null, "label": "neutral", "lang": "en"}\n{"text": "no label"}\n', "utf-8")
    with pytest.raises(ModelError, match=r"mine\.jsonl, line 2"):
        list(data.read(path, "mine"))


def test_the_shipped_tokenizer_holds_the_kept_pieces() -> None:
    """The list of kept pieces is the vocabulary of the weights that ship."""
    tokenizer = json.loads((Path(data.__file__).parents[1] / "weights" / "tokenizer.json").read_text("utf-8"))
    assert len(tokenizer["model"]["vocab"]) == len(vocabulary.kept())
    assert EMBEDDED == "embedded"
