"""Team mentions: what counts as a name, where it stands, and which of two names wins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import Team
from monitor.mentions import Finder, fold, occurrences

TEAMS = [
    {"id": "meta", "name": "Meta", "aliases": [{"text": "Meta", "case": True, "not": ["Meta-analysis"]}, "Llama", "Meta AI"]},
    {"id": "meta-genai", "name": "Meta GenAI", "parent": "meta", "aliases": [{"text": "GenAI", "case": True, "needs": ["Llama", "Zuck"]}]},
    {"id": "openai", "name": "OpenAI", "aliases": ["GPT", "l'OpenAI Paris"]},
    {"id": "deepseek", "name": "DeepSeek", "aliases": ["深度求索", {"text": "R1", "case": True, "needs": ["DeepSeek", "model"]}]},
    {"id": "qwen", "name": "Qwen", "aliases": ["通义", "通义千问"]},
    {"id": "alexa", "name": "Alexa+"},
    {
        "id": "mistral",
        "name": "Mistral",
        "aliases": [{"text": "Mistral", "case": True}, {"text": "Le Chat", "case": True, "not": ["Le Chat Noir"]}],
    },
]
FINDER = Finder([Team.model_validate(team) for team in TEAMS])


def named(text: str, context: str = "", finder: Finder = FINDER) -> list[tuple[str, str]]:
    return [(mention.team, text[mention.start : mention.end]) for mention in finder.find(text, context)]


@pytest.fixture(scope="module")
def shipped() -> Finder:
    """A finder for the teams of the config.yaml that ships."""
    settings = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text("utf-8"))
    return Finder([Team.model_validate(team) for team in settings["teams"]])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("OpenAI's move", "OpenAI"),
        ("OpenAI’s move", "OpenAI"),
        ("ce que l'OpenAI fait", "OpenAI"),
        ("#DeepSeek is back", "DeepSeek"),
        ("ask @OpenAI", "OpenAI"),
        ("GPT-4o is out", "GPT"),
        ("ex-OpenAI people", "OpenAI"),
        ("OpenAI/Anthropic offers", "OpenAI"),
        ("_OpenAI_ and **more**", "OpenAI"),
        ("(openai)", "openai"),
        ("Qwen2.5 很好", "Qwen"),
        ("llama3 runs here", "llama"),
        ("Qwen3-32B", "Qwen"),
        ("我用DeepSeek写代码", "DeepSeek"),
        ("OpenAI는 좋다", "OpenAI"),
        ("我觉得深度求索不错", "深度求索"),
        ("ＯｐｅｎＡＩ 全角", "ＯｐｅｎＡＩ"),
        ("🔥OpenAI🔥", "OpenAI"),
        ("❤️OpenAI", "OpenAI"),
        ("Deep\u2011Seek no, DeepSeek yes", "DeepSeek"),
        ("wrapped by the mailer: Meta\nAI", "Meta\nAI"),
        ("Alexa+ is slow", "Alexa+"),
        ("...openai again", "openai"),
        ("I tried it.OpenAI won", "OpenAI"),
        ("I like OpenAI.But not much", "OpenAI"),
        ("看 https://example.org/x，DeepSeek更好", "DeepSeek"),
    ],
)
def test_a_name_is_found_as_people_write_it(text: str, found: str) -> None:
    """Possessives, articles, tags, versions, emphasis, full-width letters, emoji and Chinese around a name do not hide it."""
    assert [words for _, words in named(text)] == [found]


@pytest.mark.parametrize(
    "text",
    [
        "OpenAIs", "myopenai", "Llamas eat grass", "GPT4All", "openai_key", "MY_OPENAI", "__openai__", "Llamaé", "Llama\u0301", "élLlama",
        "https://openai.com/deepseek", "see openai.com", "status.openai.com is down", "github.com/openai/whisper", "(https://x.org/a_(DeepSeek))",
        "mail sam@openai.com", "deepseek@example.org", "OPENAI.md", "openai.Audio.create()", "~/models/llama/weights", "C:\\llama\\w",
        "/usr/lib/deepseek/x", "@openai@mastodon.example",
    ],
)  # fmt: skip
def test_a_part_of_something_else_is_no_name(text: str) -> None:
    """Inside a longer word, an identifier, a link, a mail address, a file's path or code nothing counts."""
    assert named(text) == []


def test_case_counts_only_where_an_alias_says_so() -> None:
    """`case` tells Meta from "meta" and Le Chat from the cat; other aliases are found in any case."""
    assert named("so meta, le chat dort, OPENAI and openai") == [("openai", "OPENAI"), ("openai", "openai")]
    assert named("Meta and Le Chat") == [("meta", "Meta"), ("mistral", "Le Chat")]


def test_needed_words_may_stand_anywhere_in_the_post_or_in_its_thread_title() -> None:
    """An ambiguous name counts beside one of its words, as a whole word, in the text or the context; never by itself."""
    assert named("R1 is cheap") == []
    assert named("R1 is cheap", "The new model") == [("deepseek", "R1")]
    assert named("R1 is a cheap model") == [("deepseek", "R1")]
    assert named("R1 is remodelled", "supermodels") == []
    assert named("GenAI is everywhere") == []
    assert named("GenAI shipped, says zuck") == [("meta-genai", "GenAI")]


def test_an_alias_does_not_vouch_for_itself() -> None:
    """A needed word that stands inside the name only is not beside it."""
    finder = Finder([Team.model_validate({"id": "a", "name": "AGI org", "aliases": [{"text": "AGI org", "needs": ["AGI"]}]})])
    assert named("the AGI org moved", finder=finder) == []
    assert named("the AGI org wants AGI", finder=finder) == [("a", "AGI org")]


def test_a_spoiling_phrase_takes_only_its_own_mention() -> None:
    """`not` silences the name where the phrase stands, and nowhere else."""
    assert named("A Meta-analysis of Meta") == [("meta", "Meta")]
    assert named("Au Le Chat Noir, on parle du Le Chat") == [("mistral", "Le Chat")]


def test_the_longest_name_wins_and_parent_and_child_can_stand_apart() -> None:
    """ "Meta GenAI" is the child alone; beside it a "Meta" of its own is the parent."""
    assert named("Meta GenAI shipped") == [("meta-genai", "Meta GenAI")]
    assert named("Meta AI, not Meta GenAI, says Meta") == [("meta", "Meta AI"), ("meta-genai", "Meta GenAI"), ("meta", "Meta")]
    assert named("通义千问和通义") == [("qwen", "通义千问"), ("qwen", "通义")]


def test_of_equal_names_the_first_in_the_configuration_that_holds_wins() -> None:
    """Two teams may share a name told apart by `needs`; where both hold, the order of config.yaml decides."""
    finder = Finder([Team.model_validate(team) for team in (
        {"id": "one", "name": "One Nova", "aliases": [{"text": "Nova", "needs": ["Amazon"]}]},
        {"id": "two", "name": "Two Nova", "aliases": [{"text": "Nova"}]},
    )])  # fmt: skip
    assert named("Nova by Amazon", finder=finder) == [("one", "Nova")]
    assert named("Nova by others", finder=finder) == [("two", "Nova")]


def test_the_fingerprint_changes_with_every_definition() -> None:
    """Another alias, case, need, phrase or team gives another fingerprint; the same definitions give the same."""
    base = {"id": "a", "name": "Alpha", "aliases": [{"text": "Alpha", "case": True, "needs": ["x"], "not": ["Alpha male"]}]}
    alias = base["aliases"][0]
    others = [
        {**base, "id": "b"},
        *({**base, "aliases": [{**alias, **change}]} for change in ({"text": "alpha"}, {"case": False}, {"needs": ["y"]}, {"not": []})),
    ]
    prints = [Finder([Team.model_validate(team)]).fingerprint for team in (base, *others)]
    assert len(set(prints)) == len(prints)
    assert Finder([Team.model_validate(base)]).fingerprint == prints[0]


def test_no_team_finds_nothing() -> None:
    """Without a team, or with a target that cannot be seen, there is nothing to find, and no error."""
    assert Finder([]).find("OpenAI") == []
    assert occurrences("OpenAI\u200b", "\u200b") == []


def test_folding_keeps_every_offset() -> None:
    """Every character of Unicode becomes exactly one, alone and after another (U+0130 and the final sigma included)."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert len(fold(everything)) == len(everything)
    assert fold("İSTANBUL ΣΑΣ") == "istanbul σας"


TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("OpenAI DeepSeek._-@/:'’é\u0301\u200d\ufe0f🔥深度求索İ\ud800\n")), max_size=60)
WORDS = st.lists(
    st.sampled_from(["OpenAI", "Meta GenAI", "R1", "model", "深度求索", "Meta-analysis", "llama3", " ", ", ", ".", "_", "@", "/", "x"]),
    max_size=12,
)


@given(st.one_of(TEXTS, WORDS.map("".join)), TEXTS)
@settings(max_examples=300, deadline=None)
def test_mentions_are_ordered_disjoint_and_spell_an_alias(text: str, context: str) -> None:
    """On any text: no error, offsets inside it, each slice an alias of its team, none overlapping, the same at every run."""
    aliases = {
        team["id"]: {fold(str(team["name"])), *(fold(a if isinstance(a, str) else a["text"]) for a in team.get("aliases", ()))}
        for team in TEAMS
    }
    mentions = FINDER.find(text, context)
    assert mentions == FINDER.find(text, context)
    end = 0
    for mention in mentions:
        assert end <= mention.start < mention.end <= len(text)
        assert fold(text[mention.start : mention.end]) in aliases[mention.team]
        end = mention.end


@given(st.text(st.sampled_from("é\u0301🔥👩\u200d💻\ufe0f漢 z1İ"), max_size=20), WORDS.map(" ".join))
@settings(max_examples=200, deadline=None)
def test_text_put_before_moves_offsets_by_its_length(before: str, text: str) -> None:
    """Emoji, joined emoji and combining marks count as what they are: so many code points."""
    moved = [(m.team, m.start - len(before) - 3, m.end - len(before) - 3) for m in FINDER.find(f"{before} , {text}")]
    assert moved == [(m.team, m.start, m.end) for m in FINDER.find(text)]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text", ["openai,", "openai.", "Meta AI Meta GenAI ", "a.b-c+", "/a", "R1 said ", "e\u0301", "DeepSeek写。", "_", "a@"]
)
def test_hostile_text_does_not_hang(text: str) -> None:
    """The longest text that is kept, repeated so that anything quadratic would run for minutes, is read at once."""
    long = (text * 100_000)[:100_000]
    assert len(FINDER.find(long)) == len(FINDER.find(" " + long))


@pytest.mark.parametrize(
    ("text", "teams"),
    [
        ("Meta's GenAI org lost half its people", {"meta-genai"}),
        ("La GenAI de Meta se vide, mais Meta s'en moque", {"meta-genai", "meta"}),
        ("Superintelligence chez Meta, vraiment ?", {"meta-msl"}),
        ("6 yrs at FAIR, the best years of my life", {"meta-fair"}),
        ("that's not fair, and a fair lab is rare", set()),
        ("a meta-analysis of studies at google", set()),
        ("left meta for openai", {"meta", "openai"}),
        ("R1 and V3 by DeepSeek", {"deepseek"}),
        ("the Rabbit R1 is no model of anything", set()),
        ("we serve Gemini protocol capsules", set()),
        ("Gemini beats Claude", {"google-deepmind", "anthropic"}),
        ("Jean-Claude and Claude Monet", set()),
        ("I finally grok it, this model is clear", set()),
        ("I asked grok, the AI of Musk", {"xai"}),
        ("le mistral souffle fort, un vrai coup de mistral", set()),
        ("Mistral et Le Chat", {"mistral"}),
        ("Apple sells phones", set()),
        ("Apple will never ship a decent LLM", {"apple-ai"}),
        ("通义千问比豆包强，月之暗面也不错", {"alibaba-qwen", "bytedance-seed", "moonshot"}),
        ("谷歌的大模型，微软AI，苹果智能", {"google-deepmind", "microsoft-ai", "apple-ai"}),
        ("英伟达，抱抱脸，亚马逊AGI", {"nvidia", "hugging-face", "amazon-agi"}),
        ("ollama and llama.cpp run on my GPT partition", set()),
    ],
)  # fmt: skip
def test_the_shipped_teams_are_told_from_their_namesakes(text: str, teams: set[str], shipped: Finder) -> None:
    """The aliases of the shipped config.yaml find the teams in three languages and leave everyday words alone."""
    assert {mention.team for mention in shipped.find(text)} == teams


def test_a_target_is_found_as_an_alias_would_be_else_by_its_letters() -> None:
    """`score` masks whole words in any case outside links; only a target that stands nowhere so is taken as plain letters."""
    text = "OpenAI, openai and openai.com"
    assert [text[slice(*span)] for span in occurrences(text, "openai")] == ["OpenAI", "openai"]
    assert [text[slice(*span)] for span in occurrences(text, "penA")] == ["penA", "pena", "pena"]
    assert occurrences(text, "Anthropic") == occurrences(text, "") == []
    assert occurrences("ask " + "x" * 300, "x" * 300) == [(4, 304)]
