"""What a message says: an event, its figures and the posts that show it, as plain text, as HTML, and as facts for machines.

The promises: nothing that a post, its address or a name holds can leave its line, call a chat room together or become markup;
a post is quoted as an excerpt only, with people masked. The words stand in monitor/templates/ (Jinja); those in the folder
`notify.templates` stand in their place, run in a sandbox, and one that is broken never keeps a message from going out.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
import traceback
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from monitor.config import Config
from monitor.privacy import masked
from monitor.records import ALL, DailyTrend

if TYPE_CHECKING:
    from jinja2 import Environment

ALERT = ("title.txt", "body.txt", "body.html")
"""The templates of a message on an alert, in the order in which they are filled in: the later ones may show the `title`."""

DIGEST = ("digest_title.txt", "digest.txt", "digest.html")
"""Those of a digest, in the same order."""

BUILT_IN = Path(__file__).with_name("templates")
"""The folder of the templates that come with the program."""


@dataclass(frozen=True, slots=True)
class Note:
    """A small line below a part: words that lead to `link`, if that is an address of the web, and what is quoted there."""

    words: str
    link: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message for services that lay parts out themselves: a heading, plain text, named figures, notes; each may be empty."""

    text: str = ""
    heading: str = ""
    figures: Sequence[tuple[str, str]] = ()
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out on an event, or a digest. `title` is one line, `body` plain text, `html` the same for mail.

    `key` is the event's or digest's own, the same at every attempt; `answers` is that of the event which began the alert, where
    this is a later one. `subject` names what the alert is on, `link` is the first post's address, if any. `trend` holds the days
    (UTC) that a mail shows as a chart, oldest first. `facts` are the event's columns and posts, or the digest, as JSON knows them.
    `parts` say the same as `body`; there are none where the words are the user's own. `flaws` are sentences on templates that could
    not be used.
    """

    title: str
    body: str
    key: str
    kind: Literal["alert", "digest"] = "alert"
    html: str = ""
    answers: str = ""
    over: bool = False
    subject: str = ""
    link: str = ""
    trend: Sequence[DailyTrend] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    flaws: tuple[str, ...] = ()


def fingerprint(words: str) -> str:
    """32 hexadecimal digits that stand for `words` (SHA-256, cut)."""
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:32]


def chart_id(key: str) -> str:
    """The Content-ID of the chart in the mail on the event with this key, by which the HTML shows it (RFC 2392)."""
    return f"trend.{fingerprint(key)}@forum-monitor"


def compose(
    event: Mapping[str, Any], posts: Sequence[Mapping[str, Any]], config: Config, trend: Sequence[DailyTrend] = (),
    also: Sequence[Mapping[str, Any]] = (),
) -> Message:  # fmt: skip
    """The message on an event: what moved, from what to what, how sure that is, why it fired, what moved it, the posts that show it.

    `event` and `posts` are those of a `Due`, `trend` the days of its chart, `also` the other events that it tells. The figures stand
    in the rule's own sentence and are not said again; the end of an alert shows no posts.
    """
    key = _key(event, "event_id", "at")
    opened = _key(event, "opened_id", "opened_at")
    subject, over = _subject(event, config), event["state"] == "resolved"
    quoted = [] if over else [quotation(post, config.privacy.excerpt) for post in posts]
    values = {
        "over": over,
        "again": not over and key != opened,
        "subject": listed([subject, *(_subject(one, config) for one in also)]),
        "headline": _headline(event),
        "where": _where(event),
        "day": date(event["event_day"]),
        "reason": event["event_reason"],
        "began_on": date(event["day"]),
        "began_because": event["reason"],
        **{name: event[name] for name in ("state", "rule", "type", "team", "source", "model")},
        **{name: event[name] for name in _FIGURES},
        "why": "" if over else event["why"] or "",
        "of_sentiment": event["type"] not in _OF_NO_SENTIMENT,
        "chart": f"cid:{chart_id(key)}" if trend else "",
    }
    shown = {name: harmless(value) if isinstance(value, str) else value for name, value in values.items()}
    shown["also"] = [{"subject": harmless(_subject(one, config)), "reason": harmless(one["event_reason"])} for one in also]
    shown["posts"] = quoted
    words = written(ALERT, shown, config)
    facts = {
        **{name: event[name] for name in ("event_id", "state", "rule", "type", "team", "source", "model", *_FIGURES)},
        "day": event["event_day"],
        "reason": event["event_reason"],
        "why": event["why"],
        "began_on": event["day"],
        "posts_shown": [{name: post[name] for name in ("url", "source", "posted_at", "label", "excerpt")} for post in quoted],
        "also": [{"event_id": one["event_id"], "source": one["source"], "reason": one["event_reason"]} for one in also],
    }
    return Message(
        words.title, words.body, key, html=words.html, answers="" if opened == key else opened, over=over, subject=str(shown["subject"]),
        link=next((post["link"] for post in quoted if post["link"]), ""), trend=trend, facts=facts,
        parts=() if words.own else _parts(shown, event), flaws=words.flaws,
    )  # fmt: skip


def _parts(shown: Mapping[str, Any], event: Mapping[str, Any]) -> list[Part]:
    """The built-in words of a message on an event, in parts."""
    head = f"{shown['subject']}{shown['where']}, {shown['day']} (days are UTC)"
    parts = [Part(shown["reason"], head, () if shown["over"] else _told_figures(event))]
    parts += [Part(one["reason"], one["subject"]) for one in shown["also"]]
    if shown["why"]:
        parts.append(Part(shown["why"]))
    if shown["over"]:
        parts.append(Part(f"It began on {shown['began_on']}: {shown['began_because']}"))
    if shown["posts"]:
        parts.append(Part(heading="Posts that show it", notes=[_note(post) for post in shown["posts"]]))
    sent = f"Sent by the rule {shown['rule']} ({shown['type']})."
    if shown["of_sentiment"]:
        sent += " Sentiment lies between -1 and +1, one voice per person."
        sent += f" Scored by {shown['model']}, which errs on single posts: read them before you act."
    return [*parts, Part(notes=[Note(sent)])]


def _note(post: Mapping[str, Any]) -> Note:
    return Note(post["about"] if post["link"] else f"{post['about']}, {post['url']}", post["link"], post["excerpt"])


def _told_figures(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of an alert by their names, in the unit of its rule; those that it has none of are left out."""
    told = _count if event["type"] in _OF_NO_SENTIMENT else "{:+z.2f}".format
    found = [(name, told(event[column])) for name, column in (("Now", "value"), ("Before", "before")) if event[column] is not None]
    if event["low"] is not None and event["high"] is not None:
        found.append(("95 % interval", f"{told(event['low'])} to {told(event['high'])}"))
    return found + [(name, str(event[column])) for name, column in (("People", "authors"), ("Posts", "posts")) if event[column] is not None]


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a row; of more than `most` the first ones, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


_OF_NO_SENTIMENT = ("spike", "silence", "stopped", "unread")
"""Types of rules on how much is said."""

_FIGURES = ("value", "before", "threshold", "low", "high", "authors", "posts")


def _key(event: Mapping[str, Any], number: str, at: str) -> str:
    """The key of the message on an event; those that are told together have rule and team in common, and so the key of the first."""
    return f"{event['rule']} {event['team']} {event[number]} {event[at]}"


def _subject(event: Mapping[str, Any], config: Config) -> str:
    """What the alert is on: a team, or a source whose posts are counted whatever they are about."""
    if event["team"] == ALL:
        return "All sources" if event["source"] == ALL else str(event["source"])
    team = config.team(event["team"])
    return team.name if team else str(event["team"])


def _where(event: Mapping[str, Any]) -> str:
    if event["team"] == ALL:
        return ""
    return ", all sources" if event["source"] == ALL else f", {event['source']}"


def _headline(event: Mapping[str, Any]) -> str:
    value, before = event["value"], event["before"]
    match event["type"]:
        case "drop":
            return f"sentiment fell from {before:+z.2f} to {value:+z.2f}"
        case "rise":
            return f"sentiment rose from {before:+z.2f} to {value:+z.2f}"
        case "shift":
            return f"sentiment has {'fallen' if value < before else 'risen'} from {before:+z.2f} to {value:+z.2f}"
        case "below":
            return f"sentiment is low, {value:+z.2f}"
        case "above":
            return f"sentiment is high, {value:+z.2f}"
        case "overtakes":
            return f"better spoken of than another team, by {value:.2f}"
        case "stopped":
            return "not read any more"
        case "unread":
            return "posts wait to be understood"
        case "spike":
            return f"{value:.0f} people spoke, usually {_count(before)}"
        case _:
            return f"gone quiet, from {_count(before)} posts a day to {_count(value)}"


def _count(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def date(day: dt.date | str) -> str:
    """A day, or its ISO text, as people write it: `24 January 2025`."""
    return f"{dt.date.fromisoformat(day) if isinstance(day, str) else day:%-d %B %Y}"


def quotation(post: Mapping[str, Any], length: int) -> dict[str, Any]:
    """What is told of a post. `link` is its address where that is one of the web, which alone may become a link."""
    told = [post["label"], post["source"], f"{date(post['posted_at'][:10])}, {post['posted_at'][11:16]} UTC"]
    url = _one_line(post["url"])
    return {
        "about": harmless(", ".join(word for word in told if word)),
        "url": url,
        "link": url if re.match(r"https?://", url) else "",
        "excerpt": excerpt(post["text"], length),
        **{name: post[name] for name in ("source", "posted_at", "label")},
    }


# ---- words that stay where they are put ---------------------------------------------------------------------------

# Joiners hold emoji and some scripts together, so they stay; every other control, and what turns the writing
# direction, could make a terminal or a mail show something else than was written.
_UNSAFE = ("Cc", "Cf", "Cs")
_JOINERS = "\u200c\u200d"
_PING = re.compile(r"@(?=(?:all|channel|everyone|here|room)\b)|<(?=[!@#])", re.IGNORECASE)


def _one_line(text: str) -> str:
    """Text on a single line, without characters that cannot be seen."""
    return "".join(c for c in " ".join(text.split()) if c in _JOINERS or unicodedata.category(c) not in _UNSAFE)


def harmless(text: str) -> str:
    """Text on a single line that calls no chat room together: what would (`@everyone`) is parted by a zero-width space."""
    return _PING.sub("\\g<0>\u200b", _one_line(text))


_MASKED, _LONGEST_NAME = 2000, 400
"""Characters that are masked beyond those that an excerpt may need, since masking a text takes time as its square; and those at their
end that are dropped, since half an address or number would not be known for one."""


def excerpt(text: str, length: int) -> str:
    """The beginning of a post on one line, at most `length` characters of it, cut at a word where words have spaces.

    Addresses, numbers and handles of people are masked (privacy.masked), and with them what would call a whole chat room
    together (`@everyone`); what is left of that is parted by a zero-width space.
    """
    line = _one_line(text)
    most = 4 * length + _MASKED
    line = masked(line) if len(line) <= most else masked(line[:most])[:-_LONGEST_NAME]
    if len(line) > length:
        end = length
        while end > 0 and (unicodedata.category(line[end])[0] == "M" or _JOINERS[1] in line[end - 1 : end + 1]):
            end -= 1  # never between a letter and its accent, or inside an emoji
        space = line.rfind(" ", 0, end + 1)
        cut = line[: space if space > end * 2 // 3 else end].rstrip(" ,;:，、；：")
        line = f"{cut} …" if cut else ""
    return _PING.sub("\\g<0>\u200b", line)


# ---- templates ----------------------------------------------------------------------------------------------------


def template_problems(folder: Path | None) -> list[str]:
    """Sentences on what in the folder `notify.templates` cannot be used, as far as that shows before a message is there."""
    if folder is None:
        return []
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        return [f"{folder} cannot be read ({error.strerror}); the built-in templates are used"]
    templates = (*ALERT, *DIGEST)
    known = ", ".join(templates)
    found = [f"{folder / name} is none of the templates ({known}) and is not used" for name in names if name not in templates]
    for name in templates:
        if name in names:
            try:
                _environment(html=name.endswith(".html")).from_string((folder / name).read_text("utf-8"))
            except Exception as error:  # noqa: BLE001 (see _filled_in)
                found.append(_flaw(folder / name, error))
    return found


class Words(NamedTuple):
    """A message's title, plain text and HTML. `own`: the plain text is by a template of the user's."""

    title: str
    body: str
    html: str
    own: bool
    flaws: tuple[str, ...]


def written(names: tuple[str, str, str], values: Mapping[str, Any], config: Config) -> Words:
    """The templates of title, plain text and HTML filled in; the later ones are given `title` besides `values`."""
    folder = config.notify.templates
    title, _, title_flaw = _filled_in(names[0], values, folder)
    values = {**values, "title": harmless(title)}
    body, own, body_flaw = _filled_in(names[1], values, folder)
    html, _, html_flaw = _filled_in(names[2], values, folder)
    flaws = tuple(flaw for flaw in (title_flaw, body_flaw, html_flaw) if flaw)
    return Words(values["title"], body.rstrip(), html.rstrip(), own, flaws)


def _filled_in(name: str, values: Mapping[str, Any], folder: Path | None) -> tuple[str, bool, str | None]:
    """A template filled in, whether it is that in `folder`, and why that could not be used: the built-in one then stands in for it."""
    environment, flaw = _environment(html=name.endswith(".html")), None
    if folder is not None:
        try:
            filled = environment.from_string((folder / name).read_text("utf-8")).render(values)
            if filled.strip():
                return filled, True, None
            flaw = f"{folder / name} leaves nothing to say; the built-in template was used"
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001 (whatever somebody's own template does, the message goes out)
            flaw = _flaw(folder / name, error)
    return environment.get_template(name).render(values), False, flaw


def _flaw(path: Path, error: Exception) -> str:
    """What is wrong with a template, and in which line; the words of an error while it ran are left out, since they may hold a post's."""
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        why = f"fails in line {error.lineno} ({error.message})"
    elif isinstance(error, OSError | UnicodeDecodeError) and not isinstance(error, TemplateNotFound):  # which is an OSError too
        why = "cannot be read as UTF-8 text"
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        why = f"fails in line {lines[-1] if lines else '?'} ({type(error).__name__})"
    return f"{path} {why}; the built-in template was used"


@functools.cache
def _environment(*, html: bool) -> Environment:
    """Templates in a sandbox: they read the values that they are given and reach nothing else. In HTML every value is escaped."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(BUILT_IN), autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
