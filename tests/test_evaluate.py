"""Evaluation: the figures are what their formulas say, the model reads what the product reads, and chance is shown as chance."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import random
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat import Chat, Reply
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from monitor.charts import save_png
from monitor.config import Team, load
from monitor.errors import InputError, ModelError
from monitor.evaluate import Report, evaluate, figures, swap
from monitor.evaluate.chart import evaluation_chart
from monitor.evaluate.rows import LABELS, Places, Row, Target, opened, read
from monitor.evaluate.tables import report_view
from monitor.records import Post, Score
from monitor.sentiment import Item, Paused
from monitor.sentiment.passages import model_input
from monitor.store import Store
from monitor.understand import understand

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TEAMS = [
    Team.model_validate({"id": "meta", "name": "Meta", "aliases": [{"text": "Meta", "case": True}, "Llama"]}),
    Team.model_validate({"id": "meta-genai", "name": "Meta GenAI"}),
    Team.model_validate({"id": "alibaba-qwen", "name": "Alibaba Qwen", "aliases": ["Qwen", "通义千问"]}),
    Team.model_validate({"id": "deepseek", "name": "DeepSeek", "aliases": ["深度求索", {"text": "R1", "needs": ["DeepSeek"]}]}),
]


class FakeScorer:
    """Sure of what the words good and bad say; `prejudice` is a name in whose sentences it sees only bad; fails on `poison`."""

    name = "fake@1"

    def __init__(self, *, prejudice: str | None = None, poison: str | None = None) -> None:
        self.prejudice, self.poison = prejudice, poison
        self.read: list[Item] = []

    def score(self, items: Sequence[Item]) -> list[Score]:
        if self.poison and any(self.poison in item.text for item in items):
            raise RuntimeError("the runtime does not like this")
        self.read += items
        return [self._one(item.text) for item in items]

    def _one(self, text: str) -> Score:
        if "bad" in text or (self.prejudice and self.prejudice in text):
            return Score(self.name, 0.9, 0.05, 0.05)
        return Score(self.name, 0.05, 0.05, 0.9) if "good" in text else Score(self.name, 0.05, 0.9, 0.05)


def row(text: str, label: str = "neutral", alias: str | None = "OpenAI", **fields: Any) -> Row:
    target = Target(label, alias, (alias,) if alias else ())  # type: ignore[arg-type]
    return Row(text, (target,), **fields)


def posts(count: int, text: str, label: str, **fields: Any) -> list[Row]:
    return [row(f"OpenAI is {text}, says number {n}", label, **fields) for n in range(count)]


def parsed(*lines: object) -> list[Row | str]:
    return [found for _, found in read(line if isinstance(line, str) else json.dumps(line) for line in lines)]


def mentions(text: str, *targets: Target, teams: Sequence[Team] = ()) -> dict[object, list[str]]:
    """What stands where each target, or team that stands by, is named."""
    found = Places(teams).named(Row(text, targets))
    return {named.team if named.target is None else named.target: [text[start:end] for start, end in named.spans] for named in found}


def named(*names: str, team: str | None = None) -> Target:
    return Target("neutral", team or names[0], names)


# ---- figures -------------------------------------------------------------------------------------------------------


def test_figures_of_a_small_table() -> None:
    """By hand: F1 of 6/10, 4/7 and 2/3, and 6 of 10 pairs right."""
    confusion = np.array([[3.0, 1, 1], [1, 2, 0], [1, 0, 1]])
    assert figures.f1(confusion).tolist() == pytest.approx([6 / 10, 4 / 6, 2 / 4])
    assert figures.macro_f1(confusion) == pytest.approx((0.6 + 2 / 3 + 0.5) / 3)
    assert figures.accuracy(confusion) == pytest.approx(0.6)


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_macro_f1_is_the_mean_over_the_labels_that_occur(pairs: list[tuple[str, str]]) -> None:
    """The same as precision and recall worked out label by label; a label that nobody says is no label."""
    confusion = np.zeros((3, 3))
    for meant, said in pairs:
        confusion[LABELS.index(meant), LABELS.index(said)] += 1  # type: ignore[arg-type]
    found = []
    for label in {label for pair in pairs for label in pair}:
        right = sum(pair == (label, label) for pair in pairs)
        precision = right / max(1, sum(said == label for _, said in pairs))
        recall = right / max(1, sum(meant == label for meant, _ in pairs))
        found.append(2 * precision * recall / (precision + recall) if right else 0.0)
    assert figures.macro_f1(confusion) == pytest.approx(sum(found) / len(found))


def test_the_bootstrap_is_that_of_drawing_post_by_post() -> None:
    """The quick way gives the interval that drawing posts one at a time does; posts with several pairs are drawn whole."""
    draw = np.random.default_rng(5)
    parts = np.array([draw.multinomial(draw.integers(1, 4), np.full(9, 1 / 9)) for _ in range(80)], dtype=float)
    slow = np.array([parts[draw.integers(80, size=80)].sum(0) for _ in range(4000)])
    quick = figures.resampled(parts, 4000, [1])
    for figure in (figures.macro_f1, figures.accuracy):
        expected = figures.interval(figure(slow.reshape(-1, 3, 3)))
        assert figures.interval(figure(quick.reshape(-1, 3, 3))) == pytest.approx(expected, abs=0.015)
    assert slow.sum(1).std() == pytest.approx(quick.sum(1).std(), rel=0.1)


def test_calibration_error_by_hand() -> None:
    """Two pairs at 0.95 of which one is right, and one at 0.65 that is right: (2 x 0.45 + 0.35) / 3."""
    assert figures.calibration_error(np.array([0.95, 0.95, 0.65]), np.array([1.0, 0, 1])) == pytest.approx((2 * 0.45 + 0.35) / 3)
    assert figures.bins(np.array([1 / 3, 0.4, 0.4000001, 1.0])).tolist() == [3, 3, 4, 9], "bins are open below and closed above"


def test_what_chance_alone_would_show() -> None:
    """A model whose probabilities are true shows an error on few pairs, hardly any on many."""
    few, many = (figures.error_if_calibrated(np.linspace(0.4, 0.99, count), [0]) for count in (50, 20_000))
    assert 0.05 < few < 0.2 and many < 0.01


# ---- rows ----------------------------------------------------------------------------------------------------------


def test_each_shape_of_a_line_is_read() -> None:
    """Posts with targets, single pairs, whole texts, and what an export writes."""
    found = parsed(
        {"text": "A and B", "lang": "en", "kind": "news", "targets": [{"team": "Team A", "alias": "A", "also": ["a"], "label": "neutral"}]},
        {"text": "Only A", "target": "A", "label": "positive", "lang": "fr", "source": "hn"},
        {"text": "Whole", "target": None, "label": "negative"},
        {
            "text": "A",
            "lang": None,
            "targets": [{"team": "a", "alias": "A", "also": [], "label": "neutral", "note": None, "spans": [[0, 1]]}],
        },
    )
    assert found == [
        Row("A and B", (Target("neutral", "Team A", ("A", "a")),), "en", None, "news"),
        Row("Only A", (Target("positive", "A", ("A",)),), "fr", "hn"),
        Row("Whole", (Target("negative"),)),
        Row("A", (Target("neutral", "a", ("A",), ((0, 1),)),)),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[]", "needs a text"), ({"text": " ", "label": "neutral"}, "needs a text"),
        ({"text": "x"}, "needs a label"), ({"text": "x", "label": "good"}, "needs a label"), ({"text": "x", "label": []}, "needs a label"),
        ({"text": "x", "targets": []}, "needs targets"), ({"text": "x", "targets": {}}, "needs targets"),
        ({"text": "x", "target": 3, "label": "neutral"}, "needs names"),
        ({"text": "x", "target": "x", "also": "y", "label": "neutral"}, "needs names"),
        ({"text": "x", "target": "x", "label": "neutral", "spans": [[0]]}, "needs spans"),
        ({"text": "x", "target": "x", "label": "neutral", "spans": [[0, 2]]}, "do not fit"),
        ({"text": "x", "targets": [{"team": team, "label": "neutral", "spans": [[0, 1]]} for team in "ab"]}, "or overlap"),
        ({"text": " x", "target": "x", "label": "neutral", "spans": [[1, 2]]}, "do not fit"),
        ('{"text": "\udcff", "label": "neutral"}', "not UTF-8"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_a_sentence(line: object, words: str) -> None:
    """What is wrong and what to write; the lines around it are read."""
    good = {"text": "x", "label": "neutral"}
    first, told, last = parsed(good, line, good)
    assert isinstance(first, Row) and first == last
    assert isinstance(told, str) and words in told


def test_lines_are_numbered_as_in_the_file_gzipped_or_not(tmp_path: Path) -> None:
    """A byte order mark and blank lines count as an editor counts them."""
    text = '\ufeff{"text": "x", "label": "neutral"}\n\n{broken\n'
    (tmp_path / "a.jsonl").write_text(text, "utf-8")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("a.jsonl", "a.jsonl.gz"):
        with opened(tmp_path / name) as lines:
            assert [(number, isinstance(found, Row)) for number, found in read(lines)] == [(1, True), (3, False)]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(random.Random(1).randbytes(9999))[:5000])
    with pytest.raises(InputError, match="cut off"), opened(tmp_path / "cut.gz") as lines:
        list(lines)


# ---- mentions ------------------------------------------------------------------------------------------------------


def test_an_alias_is_found_wherever_it_stands_as_a_word() -> None:
    """In any mixture of upper and lower case, not within a longer word, and in Chinese without borders."""
    assert mentions("Mistral, MISTRAL and mistrals", named("mistral")) == {0: ["Mistral", "MISTRAL"]}
    assert mentions("我觉得月之暗面很强", named("月之暗面")) == {0: ["月之暗面"]}
    assert mentions("The boss of Mistral", named("Mistral", "the boss")) == {0: ["The boss", "Mistral"]}
    assert mentions("nothing here", named("Mistral")) == {}
    assert mentions("OpenAIs models", named("OpenAI")) == {0: ["OpenAI"]}, "written as it is, within a word, rather than not at all"


def test_what_the_product_finds_counts_as_well() -> None:
    """A team that config.yaml knows, by id, name or alias, has all of its names; other teams in the text stand by."""
    text = "Qwen beats Llama, 通义千问 is good"
    for team in ("alibaba-qwen", "Alibaba Qwen", "qwen"):
        assert mentions(text, named("Qwen", team=team), teams=TEAMS) == {0: ["Qwen", "通义千问"], "meta": ["Llama"]}
    assert mentions(text, named("Qwen", team="Qwen team"), teams=TEAMS) == {0: ["Qwen"], "alibaba-qwen": ["通义千问"], "meta": ["Llama"]}


def test_of_two_names_the_longer_counts() -> None:
    """As in the product: Meta GenAI is not Meta, whether the row or only config.yaml names it."""
    text = "Meta GenAI and Meta"
    assert mentions(text, named("Meta"), named("Meta GenAI")) == {0: ["Meta"], 1: ["Meta GenAI"]}
    assert mentions(text, named("Meta"), teams=TEAMS) == {0: ["Meta"], "meta-genai": ["Meta GenAI"]}
    assert mentions("Meta GenAI only", named("Meta"), teams=TEAMS) == {0: ["Meta"]}, "what the reader named is not lost"
    both = mentions("Llama is fine, Meta is not", named("Llama", team="meta"), named("Meta", team="Meta"), teams=TEAMS)
    assert both == {0: ["Llama"], 1: ["Meta"]}, "two targets of one team are told apart by the row's own names"


def test_spans_are_taken_as_they_are() -> None:
    """An export says which mentions the monitor found; no other is looked for."""
    text = "R1 and R1 of DeepSeek"
    target = Target("neutral", "deepseek", ("R1",), ((0, 2),))
    assert Places(TEAMS).named(Row(text, (target,)))[0].spans == ((0, 2),)


TEXTS = st.lists(st.sampled_from(["OpenAI", "Meta", "Meta GenAI", "Qwen", "通义千问", "r1", "DeepSeek", "is", ".", "的", "x"]), max_size=12)


@given(TEXTS.map(" ".join), TEXTS.map("".join), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_names_are_exchanged_and_nothing_else(spaced: str, joined: str, seed: int) -> None:
    """Each team becomes another one that the text does not name, all else stays, and the spans say where the new names stand."""
    for text in (spaced, joined):
        one = Row(text, (named("OpenAI"), named("Qwen")))
        found = Places(TEAMS).named(one)
        forms = swap.forms(TEAMS, [(one, found)])
        exchanged = swap.exchanged(text, found, forms, str(seed))
        if not found:
            assert exchanged is None
            continue
        assert exchanged is not None and exchanged == swap.exchanged(text, found, forms, str(seed))
        new, places = exchanged
        assert len({each.team for each in places}) == len(places)
        assert all(after.team != before.team and after.target == before.target for before, after in zip(found, places, strict=True))
        old_spans, new_spans = (sorted(span for each in every for span in each.spans) for every in (found, places))
        assert _without(text, old_spans) == _without(new, new_spans)
        assert all(new[start:end] in forms[each.team] for each in places for start, end in each.spans)


def _without(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    bounds = [0, *(bound for span in spans for bound in span), len(text)]
    return [text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)]


def test_names_keep_their_script_and_few_teams_take_turns() -> None:
    """A Chinese name becomes a Chinese one; two teams without a third take each other's names; one alone has none to take."""
    found = Places(TEAMS[2:]).named(Row("通义千问 or DeepSeek", ()))
    assert swap.exchanged("通义千问 or DeepSeek", found, swap.forms(TEAMS[2:], []), "0") is not None
    new, _ = swap.exchanged("通义千问 or DeepSeek", found, swap.forms(TEAMS[2:], []), "0") or ("", [])
    assert new in ("深度求索 or Qwen", "深度求索 or Alibaba Qwen")
    alone = Places(TEAMS[:1]).named(Row("Meta", ()))
    assert swap.exchanged("Meta", alone, swap.forms(TEAMS[:1], []), "0") is None


# ---- reports -------------------------------------------------------------------------------------------------------


def test_a_report_counts_what_people_and_model_say() -> None:
    """Groups by language, source and kind, each with its own n; the confusion matrix; F1 per label."""
    rows = [
        *posts(6, "good", "positive", lang="en", source="hn"),
        *posts(2, "bad", "positive", lang="fr", source="hn"),
        *posts(4, "plain", "neutral", lang="fr"),
    ]
    report = evaluate(rows, FakeScorer())
    assert (report.model, report.posts, report.pairs, report.not_found, report.failed) == ("fake@1", 12, 12, 0, 0)
    assert report.confusion == ((0, 0, 0), (0, 4, 0), (2, 0, 6))
    groups = {(group.by, group.name): group for group in report.groups}
    assert [(key, group.pairs) for key, group in groups.items()] == [
        (("all", "all"), 12), (("lang", "en"), 6), (("lang", "fr"), 6), (("source", "hn"), 8), (("source", "unknown"), 4),
    ]  # fmt: skip
    assert groups["all", "all"].accuracy.value == pytest.approx(10 / 12)
    assert groups["all", "all"].f1 == (0.0, 1.0, pytest.approx(12 / 14))
    assert groups["lang", "en"].f1 == (None, None, 1.0) and groups["lang", "en"].macro_f1.value == 1.0
    assert [(found.low, found.high, found.pairs, found.accuracy) for found in report.bins] == [(0.8, 0.9, 12, pytest.approx(10 / 12))]
    assert report.ece == pytest.approx(0.9 - 10 / 12)
    assert json.loads(json.dumps(report.as_json()))["groups"][1]["macro_f1"]["value"] == 1.0


def test_few_pairs_have_a_wide_interval() -> None:
    """Three pairs that are all right prove little, three hundred a lot."""
    few, many = (evaluate(posts(count, "good", "positive"), FakeScorer()).groups[0] for count in (3, 300))
    assert few.macro_f1.value == many.macro_f1.value == 1.0
    assert few.macro_f1.low < 0.6 and few.accuracy.low < 0.6
    assert many.macro_f1.low > 0.95 and many.accuracy.low > 0.98


def test_the_same_text_is_one_post() -> None:
    """Pairs of one post on several lines are drawn together: they are no independent witnesses."""
    text = "OpenAI and Mistral and xAI are good, says number "
    lines = [row(f"{text}{n}", label, alias) for n in range(30) for alias in ("OpenAI", "Mistral", "xAI") for label in [LABELS[n % 3]]]
    together = [Row(f"{text}{n}", tuple(Target(LABELS[n % 3], name, (name,)) for name in ("OpenAI", "Mistral", "xAI"))) for n in range(30)]
    found, expected = (evaluate(rows, FakeScorer(), exchange=False) for rows in (lines, together))
    assert found.posts == 30 and found.pairs == 90
    assert found == expected


def test_the_same_rows_give_the_same_report() -> None:
    """To the last bit; another seed moves the intervals and no figure."""
    rows = [*posts(20, "good", "positive"), *posts(20, "bad", "neutral")]
    report, other = evaluate(rows, FakeScorer()), evaluate(rows, FakeScorer(), seed=1)
    assert report == evaluate(rows, FakeScorer())
    assert report.groups[0].macro_f1.value == other.groups[0].macro_f1.value
    assert report.groups[0].macro_f1 != other.groups[0].macro_f1


def test_the_model_reads_what_the_product_gives_it(fresh_store: Store) -> None:
    """For the same texts and teams the very words that `understand` has scored: sentences, neighbours and masks."""
    texts = [
        "Llama is bad. Nobody here knows why, and nobody asks any more. 通义千问 is good! Meta GenAI was told so. Meta did nothing.",
        "deepseek's r1 is good, and " + "so on and so forth, " * 40 + "DeepSeek again.",
    ]
    at = dt.datetime(2025, 1, 23, tzinfo=dt.UTC)
    fresh_store.save_posts([Post("hn", str(n), "u", text, at, at) for n, text in enumerate(texts)])
    product, evaluated = FakeScorer(), FakeScorer()
    understand(fresh_store, TEAMS, product, now=at)
    rows = [
        Row(texts[0], tuple(Target("neutral", team.name, (team.name,)) for team in TEAMS[:3])),
        Row(texts[1], (named("DeepSeek"),)),
    ]
    evaluate(rows, evaluated, teams=TEAMS, exchange=False)
    assert Counter(map(model_input, evaluated.read)) == Counter(map(model_input, product.read))
    assert len(evaluated.read) == 4


def test_exchanging_names_shows_a_model_that_judges_by_the_name() -> None:
    """A fair model changes nothing; one to which a name is a verdict changes by what the name is worth to it."""
    rows = [row(f"Qwen did this and that, says number {n}", "neutral", "Qwen") for n in range(20)]
    fair = evaluate(rows, FakeScorer(), teams=TEAMS).swap
    assert fair is not None and (fair.pairs, fair.change.value, fair.turned) == (20, 0.0, 0.0)
    prejudiced = evaluate(rows, FakeScorer(prejudice="Qwen"), teams=TEAMS).swap
    assert prejudiced is not None and prejudiced.change.value == pytest.approx(0.85) and prejudiced.turned == 1.0
    half = evaluate([*rows, *posts(20, "good", "positive")], FakeScorer(prejudice="Qwen"), teams=TEAMS).swap
    assert half is not None and 0.3 < half.change.low < half.change.value < half.change.high < 0.9
    by = [row(f"Mistral is fine, says Qwen, number {n}", "neutral", "Mistral") for n in range(20)]
    bystander = evaluate(by, FakeScorer(prejudice="Qwen"), teams=TEAMS).swap
    assert bystander is not None and bystander.turned == 1.0, "names of those that stand by are exchanged too"
    assert evaluate(rows, FakeScorer(), teams=TEAMS, exchange=False).swap is None


def test_what_cannot_be_compared_is_counted() -> None:
    """Labels of teams that do not stand in the text, and texts that the model cannot take, are in no figure and not hidden."""
    rows = [
        *posts(3, "good", "positive"),
        row("Nothing of the kind", "negative"),
        row("OpenAI is poison", "negative"),
        row("Fine", "neutral", None),
    ]
    report = evaluate(rows, FakeScorer(poison="poison"))
    assert (report.pairs, report.not_found, report.failed) == (4, 1, 1)
    with pytest.raises(InputError, match="nothing to compare"):
        evaluate(rows[3:5], FakeScorer(poison="poison"))

    class Broken(FakeScorer):
        def score(self, items: Sequence[Item]) -> list[Score]:
            raise ModelError("the model is gone")

    with pytest.raises(ModelError, match="gone"):
        evaluate(rows, Broken())


class Counted(FakeScorer):
    """May be asked about `allowed` texts, two at a time; gives no score to `refuses`."""

    batch = 2

    def __init__(self, allowed: int = 10**6, refuses: str = "never") -> None:
        super().__init__()
        self.allowed, self.refuses = allowed, refuses

    def score(self, items: Sequence[Item]) -> list[Score | None]:
        done = {place: self._one(item.text) for place, item in enumerate(items[: self.allowed])}
        self.allowed -= len(done)
        if len(done) < len(items):
            raise Paused("the allowance is spent", done=done, allowance_spent=True)
        return [None if self.refuses in item.text else done[place] for place, item in enumerate(items)]


def test_a_text_without_a_score_is_counted_and_in_no_figure() -> None:
    """As one that the model fails on: the others are compared, and the report says how many are not."""
    report = evaluate(posts(5, "good", "positive") + posts(1, "odd", "negative"), Counted(refuses="odd"))
    assert (report.pairs, report.failed, report.waiting, report.paused) == (5, 1, 0, None)


def test_what_was_read_before_a_limit_is_evaluated() -> None:
    """The texts as they are come first, so that a limit takes the exchange of names before it takes labels; nothing read is an error."""
    rows = [*posts(3, "good", "positive"), *posts(2, "bad", "neutral")]
    report = evaluate(rows, Counted(7), teams=TEAMS)
    assert (report.pairs, report.waiting, report.failed, report.paused) == (5, 0, 0, "the allowance is spent")
    assert report.swap is not None and report.swap.pairs == 2
    report = evaluate(rows, Counted(3), teams=TEAMS)
    assert (report.pairs, report.waiting, report.swap) == (3, 2, None)
    shown = Console(width=150, record=True, file=io.StringIO())
    shown.print(report_view(report))
    assert "2 of 5 labels are of texts that were not read: the allowance is spent." in shown.export_text()
    with pytest.raises(Paused, match="allowance"):
        evaluate(rows, Counted(0))


@pytest.fixture
def report() -> Report:
    """A report with a few groups, small ones among them."""
    rows = [*posts(40, "good", "positive", lang="en"), *posts(9, "bad", "neutral", lang="fr", kind="news")]
    return evaluate(rows, FakeScorer(), teams=TEAMS)


def test_the_chart_shows_calibration_confusion_and_groups(report: Report, tmp_path: Path) -> None:
    """A readable PNG; each group with its n and its interval."""
    chart = evaluation_chart(report)
    save_png(chart, tmp_path / "out.png")
    data = (tmp_path / "out.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and width > 1600 and height > 600
    drawn = [each for rows in chart.to_dict()["datasets"].values() for each in rows]
    assert {each["group"] for each in drawn if "group" in each} >= {"all (n 49)", "lang en (n 40)", "lang fr (n 9)", "kind news (n 9)"}
    assert all(each["low"] <= each["f1"] <= each["high"] for each in drawn if "f1" in each)
    assert sum(each["pairs"] for each in drawn if "people" in each) == 49


# ---- the command ---------------------------------------------------------------------------------------------------

LINES = [
    {"text": "I love OpenAI, wonderful people!", "target": "OpenAI", "label": "positive", "lang": "en"},
    {"text": "DeepSeek is a disaster, everything is broken.", "target": "DeepSeek", "label": "negative", "lang": "en"},
    {"text": "J'adore Mistral, c'est excellent", "targets": [{"team": "Mistral", "alias": "Mistral", "label": "positive"}], "lang": "fr"},
    {"text": "No such name here.", "target": "xAI", "label": "neutral", "lang": "en"},
    {"text": "What a lovely day.", "target": None, "label": "positive"},
]


@pytest.mark.real
def test_the_command_prints_a_report_in_every_form(forum_monitor: Run, tmp_path: Path) -> None:
    """Without a config.yaml the embedded model serves; a bad line is told with its number, and the exit code says so."""
    text = "".join(json.dumps(line) + "\n" for line in LINES)
    (tmp_path / "good.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    done = forum_monitor("evaluate", "good.jsonl.gz", "--json", "--chart", "out.png")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["pairs"], report["not_found"], report["labels"]) == (4, 1, ["negative", "neutral", "positive"])
    assert report["model"].startswith("embedded@") and sum(map(sum, report["confusion"])) == 4
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    done = forum_monitor("evaluate", "-", "--csv", "--no-swap", stdin=f"{text}{{broken\n")
    assert done.returncode == 1
    assert "line 6: is not JSON" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(each["by"], each["name"], each["pairs"]) for each in rows] == [
        ("all", "all", "4"), ("lang", "en", "2"), ("lang", "fr", "1"), ("lang", "unknown", "1"),
    ]  # fmt: skip
    table = forum_monitor("evaluate", "good.jsonl.gz").stdout
    for words in ("macro-F1", "95 % interval", "lang fr", "Calibration error", "names exchanged", "1 of 5 labels (20.0%) name a team"):
        assert words in table


@pytest.mark.real
def test_what_the_command_cannot_use_is_a_sentence(forum_monitor: Run, tmp_path: Path) -> None:
    """No file, no such file, no rows, no such model or way to use it, no such folder for the chart: what to do, and no traceback."""
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "one.jsonl").write_text(json.dumps(LINES[0]))
    for words, told in [
        ([], "name a FILE"), (["one.jsonl", "--corrections"], "name a FILE"), (["none.jsonl"], "cannot be read"), (["."], "cannot be read"),
        (["empty.jsonl"], "nothing to compare"), (["one.jsonl", "--model", "no/such"], "--targeted"),
        (["one.jsonl", "--targeted", "pair"], "write --model too"), (["one.jsonl", "--model", ""], "--model:"),
        (["one.jsonl", "--model", "embedded", "--targeted", "pair"], "--targeted: take it out"),
        (["one.jsonl", "--chart", "no/such/out.png"], "cannot be written"),
    ]:  # fmt: skip
        done = forum_monitor("evaluate", *words)
        assert done.returncode in (1, 2), words
        assert told in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.real
def test_another_model_takes_the_place_of_the_whole_scorer(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """With --model nothing is asked of the endpoint that config.yaml names, by `evaluate` or by `score`."""
    (tmp_path / "one.jsonl").write_text(json.dumps(LINES[0]))
    with Chat() as chat:
        write_config(scorer={"endpoint": chat.url, "model": "judge"})
        for words in (["evaluate", "one.jsonl", "--json"], ["score", "one.jsonl"]):
            done = forum_monitor(*words, "--model", "embedded")
            assert done.returncode == 0, done.stderr
            assert not chat.asked and "positive" in done.stdout
        done = forum_monitor("evaluate", "one.jsonl", "--json")
        assert json.loads(done.stdout)["model"].startswith("judge@") and len(chat.asked) == 1


def test_a_limit_ends_the_reading_with_what_was_read(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """The figures of that much, why it is no more, and exit code 1."""
    lines = [{"text": f"OpenAI is good, says number {n}", "target": "OpenAI", "label": "positive"} for n in range(20)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Chat(always=lambda _: Reply(usage=(9000, 100))) as chat:
        write_config(scorer={"endpoint": chat.url, "model": "judge", "tokens_per_day": 10_000})
        done = forum_monitor("evaluate", "many.jsonl", "--no-swap", "--json")
        assert done.returncode == 1 and "scorer.tokens_per_day" in done.stderr, done.stderr
        report = json.loads(done.stdout)
        assert (report["pairs"], report["waiting"]) == (8, 12) and "scorer.tokens_per_day" in report["paused"]
        done = forum_monitor("evaluate", "many.jsonl", "--no-swap", "--json")
        assert done.returncode == 1 and done.stdout == "" and "scorer.tokens_per_day" in done.stderr


def test_a_broken_config_is_not_passed_over(write_config: Callable[..., Path], forum_monitor: Run, tmp_path: Path) -> None:
    """What it means to name may be another model: none judges in its place."""
    (tmp_path / "one.jsonl").write_text(json.dumps(LINES[0]))
    write_config(scorer={"model": "owner/name", "targeted": "pairs"})
    for command in ("evaluate", "score"):
        done = forum_monitor(command, "one.jsonl")
        assert done.returncode == 2 and "scorer.targeted" in done.stderr and done.stdout == "", done.stderr


def test_the_benchmark_beside_some_checkouts_is_read_whole() -> None:
    """Every label of the labelled posts about AI teams finds its team, with the shipped teams and without."""
    from conftest import ROOT, SHARED

    path = SHARED / "benchmarks/domain/posts.jsonl"
    if not path.exists():
        pytest.skip("no benchmark beside this checkout")
    with opened(path) as lines:
        rows = [found for _, found in read(lines)]
    assert all(isinstance(found, Row) for found in rows)
    teams = load(ROOT / "config.yaml")[0].teams
    for known in ((), teams):
        assert evaluate([found for found in rows if isinstance(found, Row)], FakeScorer(), teams=known).not_found == 0
