"""The pages' French: whole, with the same placeholders, and figures and days as French writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from datasette.utils.asgi import Request

from monitor.web import words

WEB = Path(words.__file__).parent
HOW = "monitor/web/words.py says how locales/fr.po is kept up with the pages"

Text = str | tuple[str, ...]


def in_pages() -> set[Text]:
    """Every text that the pages have in words of ours, with its plural where it has one."""
    found = extract_from_dir(WEB, method_map=[("**.py", "python"), ("**.html", "jinja2")])
    return {text for _, _, text, _, _ in found}


def in_catalog() -> list[Message]:
    with (WEB / "locales" / "fr.po").open("rb") as file:
        return [message for message in read_po(file, locale="fr") if message.id]


def forms(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def placeholders(text: str) -> set[str]:
    """What is filled in, and whether a percent sign is doubled: it is where something is, or a template has the text."""
    return set(re.findall(r"%\(\w+\)s|%%", text))


def test_every_text_of_the_pages_has_its_french() -> None:
    """No text of a page is left in English, none is translated that no page has any more, and what is filled in is the same."""
    texts, messages = in_pages(), in_catalog()
    assert len(texts) > 200
    french = {message.id: forms(message.string) for message in messages}
    assert not (left := texts - french.keys()), f"without French: {left}; {HOW}"
    assert not (gone := french.keys() - texts), f"French of what no page says: {gone}; {HOW}"
    for text, said in french.items():
        assert all(said) and len(said) == len(forms(text)), f"without French: {text}"
        for one, other in zip(forms(text), said, strict=True):
            assert placeholders(one) == placeholders(other) and re.findall("`[^`]+`", one) == re.findall("`[^`]+`", other), (
                f"{one} / {other}"
            )
    assert not [message.id for message in messages if message.fuzzy], "guessed by pybabel: read them, and take the mark away"


def typing_faults(text: str) -> Iterator[str]:
    """Where French typography is broken: a space before `: ; ? ! %` and within « » does not break, apostrophes and quotes are its own."""
    prose = re.sub("`[^`]+`", "", text)
    yield from re.findall(r"[^\xa0\u202f][:;?!%»](?!\w|\()|«[^\xa0\u202f]|['\"“”]", prose.replace("%(", "").replace("%%", "%"))


def test_french_typography() -> None:
    """Spaces that do not break stand where French has them, and its own apostrophes and quotation marks."""
    found = {said: faults for message in in_catalog() for said in forms(message.string) if (faults := list(typing_faults(said)))}
    assert not found
    assert list(typing_faults("l'an : 95 % ?")) and not list(typing_faults("l’an\xa0: 95\xa0%\u202f?"))


@pytest.fixture
def french() -> Iterator[None]:
    words.choose(Request.fake("/?lang=fr"))
    yield
    words.choose(Request.fake("/?lang=en"))


@pytest.mark.usefixtures("french")
def test_figures_and_days_as_french_writes_them() -> None:
    """Commas, spaces that do not break, the first of a month as an ordinal, the plural from two on, quotation marks."""
    assert (words.mean(-0.314), words.mean(0.0), words.percent(0.95)) == ("−0,31", "0,00", "95\xa0%")
    assert (words.number(1234567), words.interval(-0.1, 0.25)) == ("1\u202f234\u202f567", "−0,10 à +0,25")
    assert (words.day("2025-02-01"), words.day("2025-02-11")) == ("1er févr. 2025", "11 févr. 2025")
    assert words.moment("2025-08-01T07:05:00+00:00") == "1er août 2025 07:05 UTC"
    rows = [words.counted("%(num)s row", "%(num)s rows", count) for count in (0, 1, 2, 12000)]
    assert rows == ["0 ligne", "1 ligne", "2 lignes", "12\u202f000 lignes"]
    assert words.quoted("<b>") == '«\xa0<bdi lang="">&lt;b&gt;</bdi>\xa0»'
