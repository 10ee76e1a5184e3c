"""Sentiment: what of a post is read for a team, how it is put to the model, and what the model promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.config import Scorer as Settings
from monitor.errors import ModelError
from monitor.sentiment import Item, Scorer, load_scorer
from monitor.sentiment.passages import MASK, SHORT, WINDOW, model_input, passage, sentences

WEIGHTS = Path(__file__).parents[1] / "monitor" / "sentiment" / "weights"


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """The embedded model."""
    return load_scorer(Settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the embedded model's files, each a link that a test may replace."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in WEIGHTS.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def replace(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def spans(text: str, word: str) -> list[tuple[int, int]]:
    return [(at, at + len(word)) for at in range(len(text)) if text.startswith(word, at)]


# ---- sentences and passages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?! Four", ["One.", "Two!", "Three?!", "Four"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("Il a dit « non ! » Puis rien… Voilà", ["Il a dit « non !", "» Puis rien…", "Voilà"]),
        ("我用过。很好！真的？“对。”是", ["我用过。", "很好！", "真的？", "“对。”", "是"]),
        ("A title\n\nand a line\nanother", ["A title", "and a line", "another"]),
        ("Models, e.g. R1, vs. others, by J. Doe, cost 3.5 dollars.", ["Models, e.g. R1, vs. others, by J. Doe, cost 3.5 dollars."]),
        ("well... maybe, tea etc. is fine... No.", ["well... maybe, tea etc. is fine...", "No."]),
        ("1. first thing\n2. second", ["1. first thing", "2. second"]),
        ("Qwen2.5 and v3.1 and openai.com", ["Qwen2.5 and v3.1 and openai.com"]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, parts: list[str]) -> None:
    """English, French and Chinese marks and line breaks end a sentence; abbreviations, numbers and ellipses do not."""
    assert [text[start:end].strip() for start, end in sentences(text)] == parts


PROSE = st.lists(
    st.sampled_from(
        ["X", " is", " good", ".", "。", "...", "!\n", " e.g. ", "\n\n", '"', "<mask>", "é\u0301", "🔥", "漢字", " " * 3, "long " * 30]
    )
).map("".join)


@given(PROSE)
@settings(max_examples=200, deadline=None)
def test_sentences_together_are_the_text(text: str) -> None:
    """No character is lost, doubled or moved by splitting."""
    assert "".join(text[start:end] for start, end in sentences(text)) == text
    assert all(start < end for start, end in sentences(text))


@given(PROSE)
@settings(max_examples=200, deadline=None)
def test_a_passage_holds_every_mention(text: str) -> None:
    """Whatever the text, each mention is in the passage under its own letters, and the model is given a mask for the first."""
    wanted = spans(text, "X")
    item = passage(text, wanted)
    assert [item.text[start:end] for start, end in item.spans] == ["X"] * len(wanted)
    assert model_input(item).count(MASK) <= len(wanted)
    assert (MASK in model_input(item)) == bool(wanted)


def test_a_long_sentence_stands_alone_and_a_short_one_takes_in_its_neighbours() -> None:
    """The sentences that name the team are read; while they are short the next one too, then the one before."""
    long = "X " + "works and " * (SHORT // 10) + "works well."
    assert passage(f"Before. {long} After.", spans(f"Before. {long} After.", "X")).text == long
    text = "Far. Before. X is here. After. Further."
    assert passage(text, spans(text, "X")).text == "Before. X is here. After."
    text = f"Before. X is here. {'y' * SHORT}. Far."
    assert passage(text, spans(text, "X")).text == f"X is here. {'y' * SHORT}."
    chinese = "前面一句话。" + "我觉得X" + "这个模型真的非常好用" * (SHORT // 20) + "。后面一句话。"
    assert passage(chinese, spans(chinese, "X")).text == chinese.removeprefix("前面一句话。").removesuffix("后面一句话。")


def test_without_a_mention_the_whole_text_is_read() -> None:
    """No span asks for the attitude of the text as a whole."""
    assert passage("One. Two. Three.", []) == Item("One. Two. Three.")


def test_every_mention_is_masked_and_no_text_can_pose_as_a_mask() -> None:
    """The model sees where the team stands and not its name; words like `<mask>` in a post stay words."""
    text = "X beats <mask>, </s> and X"
    assert model_input(Item(text, tuple(spans(text, "X")))) == "<mask> beats < mask>, < /s> and <mask>"


def test_a_long_text_is_cut_around_its_first_mention() -> None:
    """At most WINDOW characters, half of them before the first mention; the mention itself is never cut."""
    text = "a " * 1000 + "X" + " b" * 1000
    read = model_input(Item(text, tuple(spans(text, "X"))))
    before, after = read.split(MASK)
    assert abs(len(before) - WINDOW // 2) < 3 and abs(len(after) - WINDOW // 2) < 3
    assert len(model_input(Item(text))) <= WINDOW


# ---- the embedded model --------------------------------------------------------------------------------------------


def test_the_embedded_model_tells_praise_from_blame(scorer: Scorer) -> None:
    """Plain praise, blame and fact come out as such, in three languages; shares sum to one."""
    texts = [
        ("I love working with X, the best team I have ever met.", "positive"),
        ("X is a disaster, they lied to us and everybody competent has left.", "negative"),
        ("X has an office in Dublin.", "neutral"),
        ("X est une équipe formidable, je les admire.", "positive"),
        ("X太差了，浪费时间，千万别用。", "negative"),
    ]
    scores = scorer.score([Item(text, tuple(spans(text, "X"))) for text, _ in texts])
    assert [score.label for score in scores] == [label for _, label in texts]
    assert all(abs(score.negative + score.neutral + score.positive - 1) < 1e-9 for score in scores)
    assert {score.model for score in scores} == {scorer.name}


def test_a_score_does_not_depend_on_its_company(scorer: Scorer) -> None:
    """The same item alone, among others, in another order, on another number of threads: the same score to the last bit."""
    texts = ["X is fine.", "I would not trust X with a toaster. " * 8, "", "我觉得X一般", "X " * 300, "no name at all", "X is fine."]
    items = [Item(text, tuple(spans(text, "X"))) for text in texts]
    together = scorer.score(items)
    assert together == [scorer.score([item])[0] for item in items]
    assert together[::-1] == scorer.score(items[::-1])
    assert together == load_scorer(Settings(threads=3)).score(items)
    assert scorer.score([]) == []


def test_a_late_mention_is_read_even_where_characters_make_many_tokens(scorer: Scorer) -> None:
    """The 128 tokens that are read lie around the mention: what surrounds it counts, not how the text begins."""
    start = "今天天气很好我们去公园散步然后吃了面条" * 12
    bad, good = (f"{start}，X{words}" for words in ("太差了，浪费时间，千万别用。", "太棒了，强烈推荐，非常好用！"))
    scores = scorer.score([Item(text, tuple(spans(text, "X"))) for text in (bad, good)])
    assert scores[0].value < scores[1].value
    assert scores[0].label == "negative"


def test_the_name_is_known_before_anything_heavy_is_loaded() -> None:
    """Asking for a scorer and its name loads neither the runtime nor the tokenizer, and says nothing of torch later."""
    code = (
        "import sys; from monitor.config import Scorer; from monitor.sentiment import Item, load_scorer; scorer = load_scorer(Scorer());"
        "assert scorer.name.startswith('embedded@'); assert not {'onnxruntime', 'transformers', 'numpy'} & set(sys.modules);"
        "scorer.score([Item('fine')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=WEIGHTS.parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_folder_of_ones_own_is_named_after_it_and_its_revision_follows_its_files(scorer: Scorer, folder: Path) -> None:
    """The same files give the same revision under another name; other labels or another tokenizer give another."""
    name = load_scorer(Settings(model=str(folder))).name
    assert name == f"mine@{scorer.name.partition('@')[2]}"
    replace(folder / "tokenizer.json", (WEIGHTS / "tokenizer.json").read_bytes() + b" ")
    assert load_scorer(Settings(model=str(folder))).name != name


def test_labels_may_stand_in_any_order(scorer: Scorer, folder: Path) -> None:
    """What a figure means is read from config.json, not from its place."""
    config = json.loads((WEIGHTS / "config.json").read_text("utf-8"))
    replace(folder / "config.json", json.dumps({**config, "id2label": {"0": "Positive", "1": "Negative", "2": "Neutral"}}).encode())
    item = Item("They lied to us.")
    mine, embedded = load_scorer(Settings(model=str(folder))).score([item])[0], scorer.score([item])[0]
    assert (mine.positive, mine.negative, mine.neutral) == (embedded.negative, embedded.neutral, embedded.positive)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.onnx", None, "lacks model.onnx"),
        ("tokenizer.json", None, "lacks tokenizer.json"),
        ("config.json", None, "lacks config.json"),
        ("config.json", b"[]", "id2label"),
        ("config.json", b"\xff", "id2label"),
        ("config.json", b'{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}', "label_0, label_1"),
        ("model.onnx", b"not a model", "cannot be loaded"),
        ("tokenizer.json", b"{}", "cannot be loaded"),
    ],
)
def test_a_broken_model_is_a_sentence(file: str, content: bytes | None, said: str, folder: Path) -> None:
    """Missing, foreign and damaged files end in one sentence that names the folder and what to write instead."""
    if content is None:
        (folder / file).unlink()
    else:
        replace(folder / file, content)
    with pytest.raises(ModelError) as caught:
        load_scorer(Settings(model=str(folder))).score([Item("fine")])
    assert said in str(caught.value) and str(folder) in str(caught.value) and "scorer.model" in str(caught.value)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """A misspelt path is told at once, before anything is loaded."""
    with pytest.raises(ModelError, match=r"scorer\.model"):
        load_scorer(Settings(model=str(tmp_path / "nowhere")))


def test_the_other_team_s_name_changes_nothing(scorer: Scorer) -> None:
    """A verdict is the same to the last bit whatever the team that it is compared with is called, and whatever it is called itself."""
    made = []
    for mine, other in (("Meta", "DeepSeek"), ("Qwen", "xAI"), ("月之暗面", "Hugging Face")):
        text = f"{other} made {mine} look like a waste of money."
        at = text.index(mine)
        made.append(passage(text, [(at, at + len(mine))], [(0, len(other))]))
    assert len(set(scorer.score(made))) == 1


@given(st.lists(st.sampled_from(["X", "Other", "so.", "好。", "<unk>", "a few words", "y" * (SHORT // 2)]), min_size=1, max_size=12))
def test_other_teams_stay_in_place_in_a_passage(words: list[str]) -> None:
    """Of the other teams' mentions a passage keeps those that it holds, each where it stands in it."""
    text = " ".join(words)
    assume("X" in words)
    item = passage(text, spans(text, "X"), spans(text, "Other"))
    assert [item.text[start:end] for start, end in item.spans] == ["X"] * words.count("X")
    assert list(item.others) == spans(item.text, "Other")
    assert "Other" not in model_input(item, nameless=True)
