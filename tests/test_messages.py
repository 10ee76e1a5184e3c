"""A message says what a person needs, in words of the user's own if he likes, and whatever a post holds stays a quotation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outbox import DAY, HISTORIES, MODEL, NOW, TEXTS, composed, fire, resolve_alert, settings_for

from monitor import rules
from monitor.config import Config, Notify, Rule, Target, Team
from monitor.messages import Message, compose, excerpt, template_problems
from monitor.records import ALL
from monitor.store import Step, Store


def test_a_message_reads_as_a_person_needs_it(fresh_store: Store) -> None:
    """What moved, from what to what, n and interval, why, three links with the posts' own words: plain text, each said once."""
    fire(fresh_store, "console")
    [message] = composed(fresh_store, settings_for(Target(url="console")))
    assert message.title == "Meta GenAI: sentiment fell from +0.07 to -0.62"
    assert message.body == (
        "Meta GenAI, all sources, 24 January 2025 (days are UTC)\n\n"
        + rules.check(HISTORIES["drop"], Rule.model_validate({"id": "genai-falls", "type": "drop"})).reason
        + "\n\nPosts that show it:\n"
        "1. negative, employee-forum, 24 January 2025, 11:30 UTC\n"
        "   https://forum.example/t/7/1\n"
        "   “The GenAI org is in panic mode. Every leader is asking why a team with a tenth of our budget beat us.”\n"
        "2. negative, employee-forum, 24 January 2025, 12:30 UTC\n"
        "   https://forum.example/t/7/2\n"
        f"   “{TEXTS[1]}”\n"
        "3. negative, employee-forum, 24 January 2025, 13:30 UTC\n"
        "   https://forum.example/t/7/3\n"
        f"   “{TEXTS[2]}”\n\n"
        "Sent by the rule genai-falls (drop). Sentiment lies between -1 and +1, one voice per person.\n"
        "Scored by embedded@1f3a, which errs on single posts: read them before you act."
    )


@pytest.mark.parametrize(
    ("kind", "title", "said"),
    [
        ("drop", "Meta GenAI: sentiment fell from +0.07 to -0.62", ["+0.07", "-0.62", "24 voices", "95 % interval"]),
        ("below", "Meta GenAI: sentiment is low, -0.62", ["-0.62", "24 voices", "95 % interval"]),
        ("spike", "Meta GenAI: 88 people spoke, usually 10", ["88 people", "97 posts"]),
        ("silence", "Meta GenAI: gone quiet, from 41 posts a day to 1", ["1 posts", "(mean of"]),
    ],
)
def test_every_rule_says_its_figures_once(fresh_store: Store, kind: str, title: str, said: list[str]) -> None:
    """The subject names what moved and by how much; in the body each figure of the rule stands exactly once."""
    fire(fresh_store, "console", kind=kind)
    [message] = composed(fresh_store, settings_for(Target(url="console"), excerpt=0))
    assert message.title == title
    assert {words: message.body.count(words) for words in said} == dict.fromkeys(said, 1)


def test_the_end_of_an_alert_says_how_it_began(fresh_store: Store) -> None:
    """A message on an end says that it is one, why, and what had been told; it quotes no posts."""
    fire(fresh_store, "console")
    resolve_alert(fresh_store, "console")
    began, ended = composed(fresh_store, settings_for(Target(url="console")))
    assert ended.title == f"Resolved: {began.title}"
    assert "28 January 2025" in ended.body and "Sentiment is back at +0.04." in ended.body
    assert "It began on 24 January 2025: Sentiment went from" in ended.body
    assert "https://" not in ended.body


def test_a_quiet_source_is_named_as_such(fresh_store: Store) -> None:
    """An alert on a source, whatever it is about, is headed by the source and speaks of no model."""
    figures = {"value": 0.0, "before": 31.4, "threshold": 0.1, "authors": 0, "posts": 0}
    event = ("normal", "firing", DAY, "0 posts on 2025-01-24; usual are 31.40 a day.")
    step = Step("any-silence", "silence", ALL, "employee-forum", MODEL, "firing", DAY, DAY, 0, event, figures)
    fresh_store.save_steps([step], targets=["console"], at=NOW)
    [message] = composed(fresh_store, settings_for(Target(url="console")))
    assert message.title == "employee-forum: gone quiet, from 31 posts a day to 0"
    assert message.body.startswith("employee-forum, 24 January 2025 (days are UTC)\n")
    assert MODEL not in message.body


def test_no_excerpt_is_quoted_when_none_is_allowed(fresh_store: Store) -> None:
    """With privacy.excerpt 0 a message links the posts and quotes not a word of them."""
    fire(fresh_store, "console")
    [message] = composed(fresh_store, settings_for(Target(url="console"), excerpt=0))
    assert message.body.count("https://forum.example/") == 3
    assert "“" not in message.body and "panic" not in message.body


@pytest.mark.parametrize("text", ["A" * 100_000, "a." * 50_000, "01-" * 33_000])
def test_nobody_stops_the_program_with_a_long_post(text: str) -> None:
    """Masking takes time as the square of a text's length: ten seconds of a post as long as posts may be, in which nothing else runs."""
    began = time.process_time()
    assert len(excerpt(text, 200)) <= 202
    assert time.process_time() - began < 1


def test_what_is_masked_is_so_at_the_end_of_what_is_looked_at() -> None:
    """A text of addresses alone shrinks when they are masked, so that the last one that is read could be cut in two."""
    for shift in range(40):
        assert "ada" not in excerpt("x" * shift + " ada.lovelace.of.london@mail.example.org" * 500, 1000)


def test_an_excerpt_is_cut_where_a_reader_would() -> None:
    """Cut at a word where words have spaces, at a character in Chinese, never inside an emoji or before an accent."""
    assert excerpt("one two three four", 13) == "one two three …"
    assert excerpt("one two three, four", 15) == "one two three …"
    assert excerpt(f"DeepSeek {'很' * 50}", 30) == f"DeepSeek {'很' * 21} …"
    assert excerpt("hello 👩\u200d💻 there", 8) == "hello …"
    assert excerpt("x" * 9 + "e\u0301e\u0301", 10) == "x" * 9 + " …"
    assert excerpt("short", 5) == "short"


def test_a_post_cannot_call_a_chat_room_together() -> None:
    """A post that says @everyone does not make Slack or Discord ring everybody's phone, nor names anybody; other words stay."""
    assert "@everyone" not in excerpt("hey @everyone and <!channel>", 100)
    assert "<!" not in excerpt("hey @everyone and <!channel>", 100)
    assert excerpt("mail me@example.org, 3 < 4, @herewith", 100) == "mail …@…, 3 < 4, @…"


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=400), length=st.integers(0, 300))
def test_an_excerpt_never_breaks_out_of_its_line(text: str, length: int) -> None:
    """Whatever a post holds, its excerpt is one line without control characters, and no longer than allowed."""
    quoted = excerpt(text, length)
    assert len(quoted.splitlines()) <= 1 and not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2028" for c in quoted)
    assert len(quoted.replace("\u200b", "").removesuffix(" …")) <= length
    quoted.encode("utf-8")


@pytest.mark.parametrize("text", ["a\r\nSubject: x\r\n\r\nb", "a\x1b[2Jb\x9b1mc", "a\u2028b\u2029c\x0bd\x0ce\x85f", "a\u202eb\ud800c"])
def test_a_hostile_post_adds_no_line_to_a_message(fresh_store: Store, text: str) -> None:
    """Line breaks and control characters in a post, its address or a team's name cannot add a line, a header or a colour."""
    fire(fresh_store, "console")
    [due] = fresh_store.due(NOW)
    config = Config(teams=(Team(id="meta-genai", name="Meta\r\nBcc: all"),), notify=Notify(targets=(Target(url="console"),)))
    plain = compose(due.event, [{**due.posts[0], "text": "a", "url": "https://x/"}], config)
    message = compose(due.event, [{**due.posts[0], "text": text, "url": f"https://x/{text}"}], config)
    assert len(message.body.splitlines()) == len(plain.body.splitlines())
    assert len(message.title.splitlines()) == 1
    assert not set("\x1b\x9b\u202e\ud800") & set(message.body)


def test_a_post_scored_by_another_model_since_is_still_linked(fresh_store: Store) -> None:
    """A post without a score by the alert's model is linked without a label, not with the word None."""
    fire(fresh_store, "console")
    [due] = fresh_store.due(NOW)
    message = compose(due.event, [{**due.posts[0], "label": None}], settings_for(Target(url="console")))
    assert "1. employee-forum, 24 January 2025, 11:30 UTC" in message.body and "None" not in message.body


# ---- templates of one's own ---------------------------------------------------------------------------------------

HOSTILE = "<b>bold</b> & @everyone {{ 7 * 7 }}"


@pytest.fixture
def own_words(fresh_store: Store, tmp_path: Path) -> Callable[..., Message]:
    """The message on an alert, one of whose posts is HOSTILE, with templates of one's own by their names (`body_txt`)."""
    fire(fresh_store, "console")
    with fresh_store.writing() as connection:
        connection.execute("UPDATE posts SET text = ? WHERE native_id = '1'", (HOSTILE,))

    def message(**templates: str) -> Message:
        for name, words in templates.items():
            (tmp_path / name.replace("_", ".")).write_text(words, "utf-8")
        [found] = composed(fresh_store, settings_for(Target(url="console"), templates=tmp_path))
        return found

    return message


def test_messages_may_be_worded_anew(own_words: Callable[..., Message]) -> None:
    """Templates in the folder stand in place of the built-in ones, each for itself, and know the event, its figures and its posts."""
    built_in = own_words()
    message = own_words(
        title_txt="{{ subject }} ({{ rule }}): {{ '%+.1f' % value }}\n", body_txt="{% for p in posts %}{{ p.url }}\n{% endfor %}"
    )
    assert message.title == "Meta GenAI (genai-falls): -0.6"
    assert message.body.splitlines() == [f"https://forum.example/t/7/{n}" for n in (1, 2, 3)]
    assert message.html == built_in.html.replace(built_in.title, message.title) and message.flaws == ()


def test_what_a_post_says_is_never_markup_or_template(own_words: Callable[..., Message]) -> None:
    """In HTML of one's own every value is escaped too; a post that looks like a template is not run, and calls nobody together."""
    message = own_words(body_html="<p>{{ posts[0].excerpt }}</p>", body_txt="{{ posts[0].excerpt }}")
    assert message.html == "<p>&lt;b&gt;bold&lt;/b&gt; &amp; @… {{ 7 * 7 }}</p>"
    assert message.body == "<b>bold</b> & @… {{ 7 * 7 }}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{% for post in posts %}{{ post.url }}", "fails in line 1 ("),
        ("\n{{ subjct }}", "fails in line 2 (UndefinedError)"),
        ("{{ {}[posts[0].excerpt] }}", "fails in line 1 (UndefinedError)"),
        ("{{ 1 / 0 }}", "fails in line 1 (ZeroDivisionError)"),
        ("{{ posts.__class__.__mro__ }}", "fails in line 1 (SecurityError)"),
        ("{{ posts.clear() }}", "fails in line 1 (SecurityError)"),
        ("{% include '/etc/passwd' %}", "fails in line 1 (TemplateNotFound)"),
        ("  ", "leaves nothing to say"),
        ("\ud800", "cannot be read as UTF-8 text"),
    ],
)
def test_a_broken_template_keeps_no_message_from_going_out(
    own_words: Callable[..., Message], tmp_path: Path, words: str, said: str
) -> None:
    """The built-in words stand in, and a sentence says which template is broken and where, without a word of a post."""
    built_in = own_words()
    (tmp_path / "body.txt").write_bytes(words.encode("utf-8", "surrogatepass"))
    message = own_words()
    assert message.body == built_in.body
    [flaw] = message.flaws
    assert flaw.startswith(f"{tmp_path / 'body.txt'} {said}") and flaw.endswith("the built-in template was used") and "bold" not in flaw


def test_check_finds_templates_that_cannot_be_used(
    tmp_path: Path, write_config: Callable[..., Path], forum_monitor: Callable[..., Any]
) -> None:
    """`forum-monitor check` names a template with a slip of the pen, one that nothing would read, and a folder that is not there."""
    folder = tmp_path / "words"
    assert "cannot be read (No such file or directory)" in template_problems(folder)[0]
    folder.mkdir()
    assert template_problems(folder) == template_problems(None) == []
    (folder / "body.html").write_text("{% if over %}")
    (folder / "body.htm").write_text("")
    done = forum_monitor("--config", write_config(notify={"templates": "words"}), "check")
    assert done.returncode == 2 and f"{folder / 'body.html'} fails in line 1" in done.stderr
    assert "body.htm is none of the templates (title.txt, body.txt, body.html, digest_title.txt," in done.stderr
