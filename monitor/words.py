"""An author's own words, out of what a site serves: HTML or plain text, without quotes, code and link previews.

The promise: what other people said, and what no one said, is not counted as this author's; line breaks and emoji stay. Pure.
"""

from __future__ import annotations

import html
import re

import html_text
from lxml import etree

from monitor.records import MAX_TEXT

_MAX_HTML = 10 * MAX_TEXT
_TAG = re.compile(r"<(?:!--|/?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>)")  # neither "1 < 2" nor <https://x.example> in a mail
_OTHERS = etree.XPath(  # Discourse's quotes and link previews, mails' quoted rest, polls' counts, ways back from notes, captions
    "//aside[contains(concat(' ', @class, ' '), ' quote ') or contains(concat(' ', @class, ' '), ' onebox ')]"
    " | //details[@class='elided'] | //div[@class='poll-info'] | //a[@class='footnote-backref'] | //a[@class='lightbox']/div"
)
_SIGNS_OF_OTHERS = ("<aside", "elided", "poll-info", "footnote-backref", "lightbox")
_EMOJI = etree.XPath("//img[@alt][contains(@class, 'emoji') or contains(@class, 'smil')] | //i[@title][contains(@class, 'tw-')]")
_NO_WORDS = ("blockquote", "pre", "script", "style", "iframe", "object", "embed", "applet", etree.Comment, etree.ProcessingInstruction)
_INLINE = ("a", "abbr", "b", "code", "del", "em", "font", "i", "ins", "mark", "s", "small", "span", "strong", "u")


def plain(markup: str) -> str:
    """HTML (or plain text with entities) as the author's own words: breaks and emoji kept, quotes, link previews and code dropped."""
    markup = markup[:_MAX_HTML].encode("utf-8", "replace").decode()
    if not _TAG.search(markup):
        return unquoted(html.unescape(markup))
    tree = html_text.parse_html(markup)
    for element in _OTHERS(tree) if any(sign in markup for sign in _SIGNS_OF_OTHERS) else ():
        if element.getparent() is not None:
            element.drop_tree()
    etree.strip_elements(tree, *_NO_WORDS, with_tail=False)
    for picture in _EMOJI(tree) if "<img" in markup or "tw-" in markup else ():
        picture.tag, picture.text = "span", picture.get("alt") or picture.get("title")
    etree.strip_tags(tree, *_INLINE)  # html_text would put a space there: "Deep Seek", and amid Chinese words
    return unquoted(html_text.etree_to_text(tree))


_QUOTED = re.compile(r"\s*>(?:[\s>]|$|[^\W\d_])")  # "> so", ">so", ">>", but neither ">50 % left" nor ">_<"
_WROTE = re.compile(r".{0,300}\b(?:wrote|writes|a écrit|schrieb(?:\s.{0,100})?|escribió|写道)\s?[:：]\s*")
_ON = re.compile(r"\s*(?:On|Le|Am|El)\b.{0,200}\d.{0,200}")  # "On Friday 3 January, Ann": the beginning where it is wrapped


def unquoted(text: str) -> str:
    """Plain text without the lines that quote (`> so`), and without the one or two before them that say "On 3 May Ann wrote:"."""
    kept: list[str] = []
    for line in text.splitlines():
        if not _QUOTED.match(line):
            kept.append(line)
            continue
        while kept and not kept[-1].strip():
            kept.pop()
        if kept and _WROTE.fullmatch(kept[-1]) and not _ON.fullmatch(kept.pop()) and kept and _ON.fullmatch(kept[-1]):
            kept.pop()
        kept.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
