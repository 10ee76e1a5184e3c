"""What the embedded model learns from: the written posts, and how they are read."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import ModelError
from monitor.sentiment.onnx import LABELS
from monitor.sentiment.passages import model_input
from monitor.sentiment.training import data, vocabulary


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for _, line in data.lines()]


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


@pytest.mark.real
def test_every_written_post_names_the_teams_that_it_is_labelled_for() -> None:
    """A label whose team could not be found would be learned as the mood of the whole text."""
    learned, held = data.written()
    examples = [*learned, *(each for line in held for each in data.examples(json.loads(line), "held"))]
    assert [each.post for each in examples if not each.spans] == []
    assert len(examples) == sum(len(row["targets"]) for row in _rows())


@pytest.mark.real
def test_no_post_is_on_both_sides_of_the_split() -> None:
    """The held-out tenth is the same each time, and shares no post with what is learned from."""
    learned, held = data.written()
    ids = {json.loads(line)["id"] for line in held}
    assert 0.05 < len(ids) / len(_rows()) < 0.15
    assert not ids & {each.post for each in learned}
    assert data.written()[1] == held


def test_no_name_of_a_team_is_learned() -> None:
    """What the model learns from a comparison holds the name of neither team."""
    meta, deepseek = data.examples(_row("DeepSeek beat Meta, and Meta knows. DeepSeek!", "Meta", "DeepSeek"), "test")
    assert model_input(data.item(meta), nameless=True) == "<unk> beat <mask>, and <mask> knows. <unk>!"
    assert model_input(data.item(deepseek), nameless=True) == "<mask> beat <unk>, and <unk> knows. <mask>!"


def test_a_post_beside_another_keeps_its_own_team() -> None:
    """Of two posts put together only the first one's team is asked about, wherever it stands; the other's is a bystander."""
    (mine,) = data.examples(_row("Meta did it again. I am impressed by Meta.", "Meta"), "test")
    (theirs,) = data.examples(_row("xAI is a mess.", "xAI"), "test")
    read = {model_input(data.item(data.in_company(mine, [theirs], random.Random(seed))), nameless=True) for seed in range(20)}
    assert read == {
        "<mask> did it again. I am impressed by <mask>.\n<unk> is a mess.",
        "<unk> is a mess.\n<mask> did it again. I am impressed by <mask>.",
    }
    (same,) = data.examples(_row("And still I left Meta.", "Meta"), "test")
    assert data.in_company(mine, [same], random.Random(0)) == mine


def test_of_two_clauses_the_team_s_own_keeps_its_label() -> None:
    """Two posts in one sentence, in either order: the other's team is a bystander, and nothing of the team's own words is lost."""
    (mine,) = data.examples(_row("Meta is a joy.", "Meta"), "test")
    (theirs,) = data.examples(_row("xAI is a mess.", "xAI"), "test")
    made = [data.in_one_sentence(mine, [theirs], random.Random(seed)) for seed in range(200)]
    read = {model_input(data.item(each), nameless=True) for each in made}
    joints = data.JOINTS["en"]
    assert read == {f"<mask> is a joy{joint}<unk> is a mess." for joint in joints} | {
        f"<unk> is a mess{joint}<mask> is a joy." for joint in joints
    }
    assert {each.label for each in made} == {mine.label}
    (same,) = data.examples(_row("And still I left Meta.", "Meta"), "test")
    assert data.in_one_sentence(mine, [same], random.Random(0)) == mine


def test_neighbours_are_in_one_part() -> None:
    """Contrasts that were written one after the other are all seen by a teacher, or none is; and each part has a fair share."""
    (post,) = data.examples(_row("Meta is a joy.", "Meta"), "en")
    parts = [data.part(replace(post, post=f"en-{number:05}"), 4) for number in range(600)]
    blocks = [set(parts[start : start + data.NEIGHBOURS]) for start in range(0, 600, data.NEIGHBOURS)]
    assert all(len(block) == 1 for block in blocks)
    assert all(80 < parts.count(number) < 220 for number in range(4))


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
