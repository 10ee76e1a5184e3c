"""explain TEAM: what moved a team's figure on a day, gathered from the store and shown in the terminal.

The promise: what is shown is what an alert on that day would be told with. Posts and titles are quoted as masked excerpts.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from monitor import context, explain
from monitor.config import Config
from monitor.messages import excerpt
from monitor.records import ALL
from monitor.store import Store

SHOWN = 5
"""Posts that show what moved."""


def explained(store: Store, config: Config, team: str, day: dt.date) -> dict[str, Any]:
    """What moved the figure of a team on a UTC day, against the four weeks before; while an alert lasts, those before it began.

    Keys: team, name, day, why (sentences; None: too few people to tell anything), last_day (up to `day`, the last one on which
    enough people spoke), archived (posts of these days are in an archive, so that nothing but posts is told), those of
    explain.Explanation (None where `why` is) and representative (posts).
    """
    least, model = config.privacy.min_authors, store.model
    until = min(store.turn_began(team, day) or day, day)
    first = until - dt.timedelta(weeks=context.WEEKS)
    archived = bool(store.archived_pairs(first, day, team=team))
    posts = [] if archived else store.spoken(team, model, first, day)
    found = explain.explain(posts, partial(store.wordings, team), since=day, until=until, min_authors=least)
    told = [row.day for row in store.trends(team=team, source=ALL, model=model) if row.sufficient and row.day <= day]
    named = config.team(team)
    head = {"team": team, "name": named.name if named else team, "day": day, "last_day": max(told, default=None), "archived": archived}
    if found is None:
        nothing = {part.name: None for part in dataclasses.fields(explain.Explanation)}
        posts_of_day = _quoted(store, config, team, day, "spike") if archived and day in told else []
        return head | {"why": None} | nothing | {"representative": posts_of_day}
    kind = "spike" if found.change is None else "drop" if found.change.change < 0 else "rise"
    figures = dataclasses.asdict(found)
    for thread in figures["threads"]:
        shown = store.showing(team, model, [thread["post"]]) if thread["post"] else []
        thread["title"], thread["url"] = (excerpt(shown[0]["title"] or "", 80), shown[0]["url"]) if shown else (None, None)
    return head | {"why": explain.sentences(found, kind)} | figures | {"representative": _quoted(store, config, team, day, kind)}


def _quoted(store: Store, config: Config, team: str, day: dt.date, kind: str) -> list[dict[str, Any]]:
    """The posts of a day that show what an alert by a `kind` of rule tells."""
    chosen = explain.representative(store.evidence(team, ALL, store.model, day, day), kind, SHOWN)
    quoted = [post | {"text": excerpt(post["text"], config.privacy.excerpt)} for post in store.showing(team, store.model, chosen)]
    for post in quoted:
        del post["title"]
    return quoted


def explained_view(told: Mapping[str, Any]) -> Any:
    """`explained` as sentences, tables of sources and threads, terms and posts."""
    if told["people"] is None and told["archived"]:
        why = f"Posts of {told['day']}, or of the four weeks before, are in an archive: what moved {told['name']} is not told of them."
        return Group(Text(why, style="dim"), *_posts_view(told))
    if told["people"] is None:
        other = f" The last day with enough is {told['last_day']}." if told["last_day"] else ""
        return Text(f"On {told['day']}, or before it, too few people spoke of {told['name']} to tell what moved.{other}", style="dim")
    parts: list[Any] = [Text(f"{told['name']}, {told['day']:%-d %B %Y} (UTC)", style="bold"), Text(told["why"] or "")]
    if told["sources"]:
        sources = _table("source", "people", "a day", "before", "mean", "before", "same people’s mood", "other weight")
        for one in told["sources"]:
            figures = (_signed(one[name]) for name in ("mean", "before", "mood", "mix"))
            sources.add_row(one["source"], str(one["people"]), f"{one['daily']:.3g}", f"{one['daily_before']:.3g}", *figures)
        parts += ["", sources]
    else:
        parts.append(Text("Too few people speak in single sources for any of them to be told apart.", style="dim"))
    if told["threads"]:
        threads = _table("thread", "people", "mean", "makes")
        for one in told["threads"]:
            place = Text(" ".join(word for word in (one["title"], one["url"]) if word) or one["source"])
            threads.add_row(place, str(one["people"]), _signed(one["mean"]), _signed(one["contribution"]))
        parts += ["", threads]
    if told["terms"]:
        parts += ["", Text("Heard more: " + ", ".join(f"{one['term']} ({one['people']} people)" for one in told["terms"]))]
    return Group(*parts, *_posts_view(told))


def _posts_view(told: Mapping[str, Any]) -> list[Any]:
    """The posts that show it, if there are any."""
    parts: list[Any] = ["", Text("Posts that show it:")] if told["representative"] else []
    for number, post in enumerate(told["representative"], 1):
        parts.append(Text(f"{number}. {post['label']} {post['value']:+z.2f}, {post['source']}, {post['posted_at'][11:16]} UTC"))
        parts += [Text(f"   {line}", style="dim") for line in (post["url"], f"“{post['text']}”" if post["text"] else "") if line]
    return parts


def _table(*headers: str) -> Table:
    table = Table(header_style="bold")
    for n, header in enumerate(headers):
        table.add_column(header, justify="right" if n else "left", overflow="fold")
    return table


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+z.2f}"
