"""Any classifier of transformers: what its labels mean, what it is given to read, and that company changes nothing.

The models are tiny ones with random weights, made and saved here, so each test knows its model's labels and no more: what
the product makes of a figure is compared with what the bare model says of the same words.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from monitor.config import Scorer as Settings
from monitor.errors import ModelError
from monitor.records import Score
from monitor.sentiment import Item, Scorer, input_hash, load_scorer

pytestmark = pytest.mark.real

WORDS = ["x", "y", "is", "good", "bad", "here", "the", "of", "no", "a", "author", "has", "negative", "positive", "opinion", ".", ",",
         "好", "坏", "est", "bon", "une", "avis"]  # fmt: skip
THREE = {0: "negative", 1: "neutral", 2: "positive"}
NLI = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    pytest.importorskip("torch", reason="needs the extra torch")


Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Save a tiny BERT with these labels, and fields of its config.json over the usual ones, in a folder of its own."""

    def made(labels: Mapping[int, str], *, mask: bool = True, head: bool = True, positions: int = 64, **config: Any) -> Path:
        import torch
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

        folder = tmp_path_factory.mktemp("model") / "tiny"
        signs = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(["[MASK]"] if mask else [])]
        vocabulary = {word: number for number, word in enumerate([*signs, *WORDS])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        named |= {"mask_token": "[MASK]"} if mask else {}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=positions, **named).save_pretrained(folder)
        torch.manual_seed(len(labels))
        bert = BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=positions, num_labels=len(labels), id2label=dict(labels), label2id={v: k for k, v in labels.items()},
            initializer_range=0.5,
        )  # fmt: skip
        (BertForSequenceClassification if head else BertModel)(bert).save_pretrained(folder)
        if config:
            file = folder / "config.json"
            file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **config}), "utf-8")
        return folder

    return made


def scorer_of(folder: Path, targeted: str = "none", **options: Any) -> Scorer:
    return load_scorer(Settings(model=str(folder), targeted=targeted, **options))


def bare(folder: Path, *texts: str) -> list[float]:
    """The model's own probabilities for a text, or a pair, without anything of the product."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    given = AutoTokenizer.from_pretrained(folder)(*texts, return_tensors="pt")
    found: list[float] = AutoModelForSequenceClassification.from_pretrained(folder)(**given).logits[0].softmax(-1).tolist()
    return found


def about(text: str, name: str = "X") -> Item:
    return Item(text, tuple((at, at + len(name)) for at in range(len(text)) if text.startswith(name, at)))


def shares(score: Score | None) -> tuple[float, float, float]:
    assert score
    assert math.isclose(score.negative + score.neutral + score.positive, 1)
    return score.negative, score.neutral, score.positive


# ---- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "negative", "neutral", "positive"),
    [
        (["negative", "positive"], [0], [], [1]),
        (["POS", "NEG"], [1], [], [0]),
        (["NEG", "NEU", "POS"], [0], [1], [2]),
        (["Positive", "Neutral", "Negative"], [2], [1], [0]),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [0, 1], [2], [3, 4]),
        (["Very Negative", "Negative", "Neutral", "Positive", "Very Positive"], [0, 1], [2], [3, 4]),
        (["very_positive", "very_negative", "neutral", "positive", "negative"], [1, 4], [2], [0, 3]),
    ],
)
def test_a_head_s_figures_go_where_its_labels_say(
    labels: list[str], negative: list[int], neutral: list[int], positive: list[int], make: Make
) -> None:
    """Two, three and five classes in any order and spelling; a head that knows no neutral never says it."""
    folder = make(dict(enumerate(labels)))
    raw = bare(folder, "x is good")
    (score,) = scorer_of(folder).score([about("X is good")])
    assert shares(score) == pytest.approx([sum(raw[place] for place in places) for places in (negative, neutral, positive)], abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["joy", "anger", "fear"], "joy, anger, fear"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "label 0, label 1, label 2"),
        (["negative", "positive", "mixed"], "negative, positive, mixed"),
        (["negative", "negative ", "positive"], "not known"),
        (["score"], "score"),
        (["entailment", "neutral", "contradiction"], "targeted: nli"),
    ],
)
def test_a_head_whose_labels_are_not_known_is_refused_with_what_was_found(labels: list[str], said: str, make: Make) -> None:
    """Nothing is guessed from a number or an order, and nothing is loaded to find out."""
    with pytest.raises(ModelError, match="not known") as caught:
        scorer_of(make(dict(enumerate(labels))))
    assert said in str(caught.value) and "scorer.model" in str(caught.value)


def test_numbers_for_labels_will_do_where_the_config_names_them_elsewhere(make: Make) -> None:
    """label2id may hold the names that id2label lacks."""
    numbered = {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "label2id": {"positive": 0, "neutral": 1, "negative": 2}}
    folder = make(THREE, **numbered)
    raw = bare(folder, "x is bad")
    assert shares(scorer_of(folder).score([about("X is bad")])[0]) == pytest.approx(raw[::-1], abs=1e-6)


# ---- what is read --------------------------------------------------------------------------------------------------


def test_targeted_decides_what_the_model_is_given(make: Make) -> None:
    """The passage alone; with the mention's own words beside it; or with the mentions as the tokenizer's own mask."""
    folder = make(THREE)
    item = about("X is good , y is bad")
    given = {"none": ("x is good , y is bad",), "pair": ("x is good , y is bad", "x"), "mask": ("[MASK] is good , y is bad",)}
    found = {targeted: shares(scorer_of(folder, targeted).score([item])[0]) for targeted in given}
    for targeted, texts in given.items():
        assert found[targeted] == pytest.approx(bare(folder, *texts), abs=1e-6)
    assert len(set(found.values())) == 3


@pytest.mark.parametrize(
    ("text", "hypotheses"),
    [
        ("X is good and here is a long sentence in plain English words.", "The author has {} opinion of X."),
        ("X est très bon, et voici une longue phrase en français.", "fr"),
        ("我觉得X非常好用,强烈推荐给大家", "zh"),
        ("X ist sehr gut und das ist ein langer deutscher Satz.", "The author has {} opinion of X."),
    ],
)
def test_an_entailment_model_is_asked_once_per_label_in_the_text_s_language(text: str, hypotheses: str, make: Make) -> None:
    """English, French and Chinese in their own words, others in English; the likelier a hypothesis follows, the more its share."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    asked = {
        "fr": ["L'auteur a une opinion négative de X.", "L'auteur n'a pas d'avis sur X.", "L'auteur a une opinion positive de X."],
        "zh": ["作者对X持负面态度。", "作者对X没有表明态度。", "作者对X持正面态度。"],
    }.get(hypotheses) or [hypotheses.format(kind) for kind in ("a negative", "no", "a positive")]
    folder = make(NLI, positions=512)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    odds = [math.exp(model(**tokenizer(text, hypothesis, return_tensors="pt")).logits[0][2].item()) for hypothesis in asked]
    (score,) = scorer_of(folder, "nli").score([about(text)])
    assert shares(score) == pytest.approx([each / sum(odds) for each in odds], abs=1e-5)


def test_an_entailment_model_takes_two_classes_too_and_nothing_else(make: Make) -> None:
    """`entailment` and `not_entailment` will do; a head of moods is told apart."""
    (score,) = scorer_of(make({0: "entailment", 1: "not_entailment"}), "nli").score([Item("no team is named here")])
    shares(score)
    with pytest.raises(ModelError, match="needs entailment"):
        scorer_of(make(THREE), "nli")


def test_the_same_words_about_another_name_are_other_words_where_names_are_read(make: Make) -> None:
    """A stored score is taken over only where the model would be given the same: a mask hides the name, a pair shows it."""
    folder = make(THREE)
    one, other, again = about("X is good"), about("Y is good", "Y"), about("X is good")
    for targeted, same in (("mask", True), ("pair", False), ("none", False)):
        scorer = scorer_of(folder, targeted)
        assert (input_hash(scorer, one) == input_hash(scorer, other)) == same
        assert input_hash(scorer, one) == input_hash(scorer, again)
    two = Item("X is good , y is bad", ((0, 1),)), Item("X is good , y is bad", ((12, 13),))
    assert len({input_hash(scorer_of(folder, "pair"), item) for item in two}) == 2
    assert len({input_hash(scorer_of(folder, "none"), item) for item in two}) == 1


def test_a_text_cannot_pose_as_one_of_the_tokenizer_s_signs(make: Make) -> None:
    """A post that spells a mask or an end is read as the words it consists of, whatever sign the tokenizer has for them."""
    folder = make(THREE)
    for targeted in ("mask", "none", "pair"):
        scorer = scorer_of(folder, targeted)
        plain, *posing = (scorer.score([about(f"X is good {sign} y")])[0] for sign in ("[ MASK]", "[MASK]", "[ SEP]", "[SEP]"))
        assert shares(plain) == shares(posing[0]) and shares(posing[1]) == shares(posing[2])
    for targeted in ("none", "pair"):
        first, second = (scorer_of(folder, targeted).score([about(f"X is good {sign} y")])[0] for sign in ("< mask>", "<mask>"))
        assert shares(first) == shares(second)


@pytest.mark.parametrize("targeted", ["none", "pair", "mask"])
def test_of_a_long_text_the_words_around_the_mention_are_read(targeted: str, make: Make) -> None:
    """What the model's positions cannot hold is cut off at both ends, not the mention; far words change nothing."""
    scorer = scorer_of(make(THREE), targeted)
    far, near = "y is bad , " * 30, "here " * 45
    one, same, other = (
        scorer.score([Item(text, ((text.index("X"), text.index("X") + 1),))])[0]
        for text in (f"{near}X is good {near}{far}", f"{near}X is good {near}no {far}", f"{near}X is bad {near}{far}")
    )
    assert shares(one) == shares(same) != shares(other)
    shares(scorer.score([Item("")])[0])


# ---- promises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("targeted", "labels"), [("none", THREE), ("pair", THREE), ("mask", THREE), ("nli", NLI)])
def test_a_score_does_not_depend_on_its_company(targeted: str, labels: dict[int, str], make: Make) -> None:
    """The same item alone, among others, in another order, on another number of threads: the same to the last bit."""
    folder = make(labels)
    scorer = scorer_of(folder, targeted)
    items = [about(text) for text in ("X is good", "X is bad " * 9, "", "no name here", "X 好", "X " * 50, "X is good")]
    together = scorer.score(items)
    assert together == [scorer.score([item])[0] for item in items]
    assert together[::-1] == scorer.score(items[::-1])
    assert together == scorer_of(folder, targeted, threads=3).score(items)
    assert scorer.score([]) == [] and {score.model for score in together if score} == {scorer.name}


def test_the_revision_follows_what_decides_a_score(make: Make) -> None:
    """Weights, labels and the way the input is made; not the folder's place, and not a file that says nothing."""
    folder = make(THREE)
    name = scorer_of(folder).name
    assert name.startswith("tiny@") and len(name) == len("tiny@12345678")
    copy = folder.parent / "elsewhere" / "tiny"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("a word")
    assert scorer_of(copy).name == name != scorer_of(copy, "pair").name
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b" ")
    assert scorer_of(copy).name != name


def test_the_name_is_known_before_anything_heavy_is_loaded(make: Make) -> None:
    """Asking for the scorer loads neither torch nor transformers, and scoring says nothing on standard error."""
    code = (
        "import sys; from monitor.config import Scorer; from monitor.sentiment import Item, load_scorer;"
        f"scorer = load_scorer(Scorer(model={str(make(THREE))!r}, targeted='pair'));"
        "assert scorer.name.startswith('tiny@'); assert not {'torch', 'transformers', 'numpy'} & set(sys.modules);"
        "scorer.score([Item('fine', ((0, 4),))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "lacks config.json"),
        ("config.json", b"[]", "id2label"),
        ("config.json", b"\xff", "id2label"),
        ("model.safetensors", b"not a model", "cannot be loaded"),
        ("model.safetensors", None, "cannot be loaded"),
        ("tokenizer.json", b"{", "cannot be loaded"),
    ],
)
def test_a_broken_folder_is_a_sentence(name: str, content: bytes | None, said: str, make: Make) -> None:
    """It names the folder and what to write instead."""
    folder = make(THREE)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        scorer_of(folder).score([Item("fine")])
    assert said in str(caught.value) and str(folder) in str(caught.value) and "scorer.model" in str(caught.value)


def test_a_model_without_a_trained_head_is_refused(make: Make) -> None:
    """Transformers would make one up at random, and its figures would look like any other's."""
    with pytest.raises(ModelError, match="no trained head"):
        scorer_of(make(THREE, head=False)).score([Item("fine")])


def test_a_tokenizer_without_a_mask_cannot_be_given_one(make: Make) -> None:
    """Told with the setting to change; the other ways of telling the team work."""
    folder = make(THREE, mask=False)
    with pytest.raises(ModelError, match=r"scorer\.targeted"):
        scorer_of(folder, "mask").score([about("X is good")])
    shares(scorer_of(folder, "pair").score([about("X is good")])[0])


def test_without_torch_the_extra_is_named(make: Make) -> None:
    """As a user without it sees it: one sentence with the command to run."""
    code = (
        "import sys; sys.modules['torch'] = None; import importlib.util; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest);"
        "from monitor.config import Scorer; from monitor.sentiment import load_scorer;"
        f"load_scorer(Scorer(model={str(make(THREE))!r}, targeted='none'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "pip install 'employee-forum-monitor[torch]'" in done.stderr.splitlines()[-1]


# ---- the Hub -------------------------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(SimpleHTTPRequestHandler):
    """As much of the Hub's protocol as a download takes: files of one model at one commit, with the headers that say so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self, *, body: bool = True) -> None:
        name = self.path.partition("/resolve/")[2].partition("/")[2]
        file = Path(self.directory) / name
        if not self.path.startswith("/owner/tiny/resolve/") or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if "/owner/tiny/" in self.path else "RepoNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hash(content):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def log_message(self, *_: object) -> None: ...


def test_a_model_of_the_hub_is_downloaded_once_and_stays_at_its_commit(make: Make, tmp_path: Path) -> None:
    """By its name; later runs need no network, and its revision is the commit's, not that of whatever is newest."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(make(THREE))))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    code = (
        "from monitor.config import Scorer; from monitor.sentiment import Item, load_scorer;"
        "scorer = load_scorer(Scorer(model='owner/{}', targeted='none')); print(scorer.name, scorer.score([Item('x is good')])[0].value)"
    )

    def run(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"}
        environment = {key: value for key, value in environment.items() if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
        return subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, env=environment, cwd=ROOT)

    first = run("tiny")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("owner/tiny@")
    missing = run("nothing")
    assert "ModelError" in missing.stderr and "Hugging Face Hub" in missing.stderr.splitlines()[-1]
    server.shutdown()
    server.server_close()
    assert run("tiny").stdout == first.stdout
