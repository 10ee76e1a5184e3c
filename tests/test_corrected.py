"""Corrected figures: right although the model is wrong, one voice per person, and never surer than their method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.corrected import LABELS, Heard, Pool, by_confusion, by_sample, corrected, shares_behind
from monitor.records import Label
from monitor.scoring import Scorer as Settings
from monitor.sentiment import confusion, load_scorer
from monitor.sentiment.training.data import WRITTEN

SHARES: dict[str, tuple[float, float, float]] = {"negative": (0.8, 0.1, 0.1), "neutral": (0.1, 0.8, 0.1), "positive": (0.1, 0.1, 0.8)}
GOOD = {"en": [[95, 3, 2], [3, 94, 3], [2, 3, 95]]}
POOR = {"en": [[600, 200, 200], [200, 600, 200], [200, 200, 600]]}


def heard(voice: object, told: Label, said: Label | None = None, chance: float | None = 1.0, language: str = "en") -> Heard:
    return Heard(str(voice), f"thread {voice}", language, SHARES[told], told, chance, said, "person" if said else None)


def test_a_useless_model_leaves_the_sample_alone() -> None:
    """A model that always says the same adds nothing and takes nothing: the figure is the sample's."""
    pool = [heard(n, "positive", ("negative", "neutral")[n % 2] if n < 40 else None, 0.2) for n in range(200)]  # type: ignore[arg-type]
    found = by_sample(Pool.of(pool), min_authors=5)
    assert found and found.negative_share.value == pytest.approx(0.5) and found.mean.value == pytest.approx(-0.5)
    assert (found.read, found.authors) == (40, 200)


def test_a_good_model_narrows_the_interval() -> None:
    """Of two samples of the same readers the one beside a model that is mostly right is the surer."""
    truth: list[Label] = [LABELS[n % 3] for n in range(300)]
    good = [heard(n, label if n % 10 else "neutral", label if n % 7 == 0 else None, 1 / 7) for n, label in enumerate(truth)]
    blind = [heard(n, "neutral", label if n % 7 == 0 else None, 1 / 7) for n, label in enumerate(truth)]
    shares = [found.negative_share for pool in (blind, good) if (found := by_sample(Pool.of(pool), min_authors=5))]
    wide, narrow = (share.high - share.low for share in shares)
    assert narrow < 0.75 * wide


def test_one_person_is_one_voice() -> None:
    """Whoever posts fifty times counts once, in the sample as in what the model says of all, and is one person who was read."""
    loud = [heard("loud", "negative", "negative") for _ in range(50)]
    rest = [heard(n, "positive", "positive") for n in range(9)]
    found = by_sample(Pool.of(loud + rest), min_authors=5)
    assert found and found.authors == 10
    assert found.negative_share.value == pytest.approx(0.1) and found.model_negative_share == pytest.approx(0.1)
    assert by_sample(Pool.of(loud), min_authors=2) is None and by_confusion(Pool.of(loud), [GOOD], min_authors=2) is None


def test_unequal_chances_are_made_good() -> None:
    """Those who were ten times as likely to be drawn do not speak for the others."""
    pool = [heard(n, "neutral", "negative" if n < 100 else None, 1.0) for n in range(100)]
    pool += [heard(n, "neutral", "positive" if n < 110 else None, 0.1) for n in range(100, 200)]
    found = by_sample(Pool.of(pool), min_authors=5)
    assert found and found.negative_share.value == pytest.approx(0.5)


def test_what_could_not_be_drawn_is_in_no_figure_of_a_sample() -> None:
    """Posts that came after the draw are not spoken for; by the model's errors they are."""
    pool = [heard(n, "positive", "positive") for n in range(20)] + [heard(n, "negative", None, None) for n in range(20, 60)]
    found = by_sample(Pool.of(pool), min_authors=5)
    assert found and found.authors == 20
    without = by_confusion(Pool.of(pool), [GOOD], min_authors=5)
    assert without and without.authors == 60


def test_the_sample_is_preferred_and_the_weaker_way_is_named() -> None:
    """With a sample of enough people it is `sample`, without `confusion`, and with neither there is no figure."""
    pool = [heard(n, "positive", "positive" if n < 4 else None, 0.2) for n in range(20)]
    assert getattr(corrected(Pool.of(pool), [GOOD], min_authors=4), "method", None) == "sample"
    assert getattr(corrected(Pool.of(pool), [GOOD], min_authors=5), "method", None) == "confusion"
    for few, held_out in ((pool, []), (pool[:4], [GOOD]), ([], [GOOD])):
        assert corrected(Pool.of(few), held_out, min_authors=5) is None


# ---- without a sample ----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_shares_are_found_again_through_a_known_confusion(weights: list[float]) -> None:
    """Whatever people say, what a model with these errors makes of very many of them leads back to it."""
    shares = np.array(weights) / sum(weights)
    rows = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])
    seen = np.rint(100_000 * shares @ rows).astype(np.int64)
    found = shares_behind(seen, np.tile(rows, (100, 1, 1)), np.random.default_rng(0))
    assert found.mean(0) == pytest.approx(shares, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(LABELS), min_size=5, max_size=60), st.sampled_from([[GOOD], [POOR], [GOOD, POOR]]))
def test_shares_stay_shares(told: list[Label], held_out: list[Any]) -> None:
    """Where a bare matrix inverse gives less than nothing, figure and interval stay within what can be; few voices are never certain."""
    pool = [heard(n, label) for n, label in enumerate(told)]
    found = by_confusion(Pool.of(pool), held_out, min_authors=5)
    assert found and found == by_confusion(Pool.of(pool), held_out, min_authors=5)
    assert 0 <= found.negative_share.low < found.negative_share.value < found.negative_share.high <= 1
    assert found.negative_share.high - found.negative_share.low > 0.04
    assert -1 <= found.mean.low <= found.mean.value <= found.mean.high <= 1


def test_the_worse_the_model_the_wider_the_interval() -> None:
    """And the fewer texts its errors were counted on."""
    pool = [heard(n, "negative" if n < 250 else "positive") for n in range(500)]
    few = {"en": [[3, 1, 1], [1, 3, 1], [1, 1, 3]]}
    found = [by_confusion(Pool.of(pool), [held], min_authors=5) for held in (GOOD, POOR, few)]
    widths = [each.negative_share.high - each.negative_share.low for each in found if each]
    assert widths == sorted(widths) and widths[2] > 2 * widths[0]


def test_what_the_model_blurs_is_sharpened() -> None:
    """A model that takes two of five for something else says 52 % of a crowd that is 80 % negative."""
    told: list[Label] = ["negative"] * 260 + ["neutral"] * 120 + ["positive"] * 120
    found = by_confusion(Pool.of([heard(n, label) for n, label in enumerate(told)]), [POOR], min_authors=5)
    assert found and found.model_negative_share == pytest.approx(0.52)
    assert found.negative_share.value == pytest.approx(0.8, abs=0.03) and found.negative_share.low < 0.8 < found.negative_share.high


def test_each_language_errs_in_its_own_way() -> None:
    """The same labels mean something else in a language in which the model calls everything negative."""
    held = {"en": GOOD["en"], "fr": [[90, 5, 5], [60, 35, 5], [60, 5, 35]]}
    told: list[Label] = ["negative"] * 60 + ["positive"] * 20
    english, french = (
        found.negative_share.value
        for language in ("en", "fr")
        if (found := by_confusion(Pool.of([heard(n, label, language=language) for n, label in enumerate(told)]), [held], min_authors=5))
    )
    assert french < english - 0.1


def test_how_sure_the_model_is_counts() -> None:
    """Of two crowds with the same labels that of sure ones is the more negative, where only sure verdicts have been right."""
    held = {"en": [[10, 80, 5, 0, 5, 0], [40, 5, 10, 40, 5, 0], [40, 5, 5, 0, 10, 40]]}
    told: list[Label] = ["negative"] * 60 + ["neutral"] * 20 + ["positive"] * 20
    unsure = {"negative": (0.5, 0.3, 0.2), "neutral": (0.3, 0.5, 0.2), "positive": (0.3, 0.2, 0.5)}
    sure, doubtful = (
        found.negative_share.value
        for shares in (SHARES, unsure)
        if (
            found := by_confusion(
                Pool.of([heard(n, label)._replace(shares=shares[label]) for n, label in enumerate(told)]), [held], min_authors=5
            )
        )
    )
    assert sure > 0.5 > 0.2 > doubtful


# ---- the counts that come with the weights -------------------------------------------------------------------------


def test_the_shipped_counts_are_of_the_shipped_weights() -> None:
    """Counted on both sets of held-out posts about AI teams, in each language, with no word of theirs."""
    shipped = load_scorer(Settings()).name
    benchmark, written = confusion.counted(Settings(), shipped)
    assert benchmark.keys() == written.keys() == {path.stem for path in WRITTEN.glob("*.jsonl")}
    card = (ROOT / "monitor/sentiment/weights/MODEL_CARD.md").read_text("utf-8")
    assert f"| **domain benchmark** | {np.sum(list(benchmark.values()))} |" in card


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"revision": "1", "texts": 3}'])
def test_counts_of_another_model_are_not_used(tmp_path: Path, broken: str) -> None:
    """Nor those of a file that is broken, of a model behind an address, or none; a model of one's own brings its own."""
    good = {"revision": "1", "texts": {"mine": GOOD}}
    (tmp_path / confusion.FILE).write_text(json.dumps(good), "utf-8")
    assert confusion.counted(Settings(model=str(tmp_path)), "mine@1") == [GOOD]
    assert confusion.counted(Settings(model=str(tmp_path)), "mine@2") == []
    assert confusion.counted(Settings(endpoint="http://localhost:1/v1", model="mine"), "mine@1") == []
    (tmp_path / confusion.FILE).write_text(broken, "utf-8")
    assert confusion.counted(Settings(model=str(tmp_path)), "mine@1") == []
