"""The register of sources: what each site's terms and robots.txt say, how its last crawl went, when the next is due, what was asked.

The promise: whoever answers for a crawl, or owns a forum, can see from it what was done there and on what ground. Rows first,
tables from them; no row holds a URL's query, a post's text or an author's name, but the words of a dry run's own posts.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from monitor.config import Config, Source
from monitor.errors import CrawlError, InputError, Problem
from monitor.records import Post, to_text
from monitor.store import KEEP_VISITS, Store

if TYPE_CHECKING:
    from monitor.collect import Sample

_COVERAGE_DAYS = 7
_NAMES = {"/robots.txt": "robots.txt", "/.well-known/tdmrep.json": "tdmrep.json"}
_STYLES = {"finished": "green", "refused": "yellow", None: "dim"}


def crawlable(config: Config, name: str) -> Source:
    """The source of that name. Raises InputError where there is none, CrawlError where nobody has read its site's terms."""
    found = known(config, name)
    if found.terms is None:
        remedy = f"read what the site allows and write it down as sources.{name}.terms in {config.path.name}"
        raise CrawlError(f"{name} is not crawled before a person has read its terms: {remedy}", permanent=True)
    return found


def known(config: Config, name: str) -> Source:
    """The source of that name, crawlable or not. Raises InputError where there is none."""
    found = config.source(name)
    if found is None:
        names = ", ".join(each.name for each in config.sources)
        raise InputError(f"there is no source {name!r} in {config.path}: use one of {names or 'none'}")
    return found


_NEXT = {
    "disallowed": "That is the site's word: ask its owner, or set `enabled: false`.",
    "banned": "A wall is not worked around: ask the site's owner, or set `enabled: false`.",
    "robots_unreachable": "The next crawl tries again.",
    "rate_limited": "The next crawl goes on from there; a longer `every` asks less.",
    "failed": "What was read is stored, and the next crawl tries again.",
}


def with_next_step(told: str, name: str, reason: str, *, tried: bool = False) -> str:
    """What is told of a crawl of the source `name` that ended for a `reason`, and what a person does about that.

    `tried` was a dry run, of which nothing is kept.
    """
    if tried:
        step = _NEXT[reason] if reason in ("disallowed", "banned") else "Look at its address and options in config.yaml, and try again."
    else:
        step = f"{_NEXT[reason]} `forum-monitor sources audit {name}` shows what was asked and answered." if reason in _NEXT else ""
    return f"{told.rstrip('. ')}. {step}".strip()


def wrong_options(config: Config) -> Iterator[Problem]:
    """What the spiders will not take of their sources' options."""
    for source in config.sources:
        module = importlib.import_module(f"spiders.{source.type}")
        spider: Any = next(one for one in vars(module).values() if getattr(one, "name", None) == source.type)
        try:
            spider.checked(source.name, source.options)
        except CrawlError as error:
            yield Problem(
                f"sources.{source.name}", str(error), f"README and the shipped config.yaml show the options of type {source.type}"
            )


def register(config: Config, store: Store | None, now: dt.datetime) -> list[dict[str, Any]]:
    """One row per source of config.yaml. Times are UTC text, `coverage` the share in [0, 1] of the last seven days that was read.

    `next_run` is when the daemon, if it runs, crawls it next; None for a source that is off or without terms.
    """
    crawls = store.last_crawls() if store else {}
    runs = store.last_runs() if store else {}
    today = now.astimezone(dt.UTC).date()
    rows = []
    for source in config.sources:
        crawl, began, terms = crawls.get(source.name), runs.get(("collect", source.name)), source.terms
        every = dt.timedelta(seconds=source.every or config.schedule.collect)
        coverage = store.source_coverage(source.name, today - dt.timedelta(days=_COVERAGE_DAYS - 1), today) if store else None
        rows.append(
            {
                "source": source.name,
                "type": source.type,
                "kind": source.kind,
                "enabled": source.enabled,
                "terms_read_on": terms.read_on.isoformat() if terms else None,
                "terms_by": terms.by if terms else None,
                "terms_allow": terms.allows if terms else None,
                "terms_note": (terms.note or None) if terms else None,
                "last_crawl": crawl["started_at"] if crawl else None,
                "outcome": (crawl["finish_reason"] or "under way") if crawl else None,
                "message": (crawl["message"] or None) if crawl else None,
                "coverage": coverage,
                "next_run": to_text(max(now, began + every) if began else now) if source.enabled and terms else None,
                "robots": [_verdict(**row) for row in store.verdicts(source.name)] if store else [],
            }
        )
    return rows


def _verdict(host: str, path: str, verdict: str, **more: str) -> dict[str, str]:
    return {"host": host, "file": _NAMES.get(path, path), "verdict": verdict, **more}


def _told(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Verdicts as lines; a host without a tdmrep.json, as nearly all are, is told of once."""
    return [
        f"{one['host'].partition('://')[2]} {one['file']} {one['verdict']}"
        for one in verdicts
        if one["file"] != "tdmrep.json" or not one["verdict"].startswith("is not there")
    ]


def register_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """`register` as a table, with what went wrong below it."""
    if not rows:
        return Text("No sources. config.yaml lists them under `sources`.", style="dim")
    table = Table(title="Sources (times in UTC)", title_justify="left", header_style="bold")
    for header in ("source", "type", "on", "terms", "last crawl", "7 days", "next", "robots.txt"):
        table.add_column(header, no_wrap=header in ("source", "type", "on", "7 days"))
    for row in rows:
        terms = Text("not read: it does not run", style="red")
        if row["terms_read_on"]:
            terms = Text(f"{row['terms_allow']} (read {row['terms_read_on']} by {row['terms_by']})")
        crawl = Text("never", style="dim")
        if row["last_crawl"]:
            crawl = Text(f"{_short(row['last_crawl'])} ").append(row["outcome"], style=_STYLES.get(row["outcome"], "red"))
        table.add_row(
            row["source"], row["type"], "yes" if row["enabled"] else "off", terms, crawl,
            "" if row["coverage"] is None else f"{row['coverage']:.0%}", _short(row["next_run"] or ""),
            Text("\n".join(_told(row["robots"])) or "not asked yet"),
        )  # fmt: skip
    notes = [Text(f"{row['source']}: {row['message']}", style="dim") for row in rows if row["message"]]
    return Group(table, *notes)


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")


def audit_table(rows: Sequence[Mapping[str, Any]], source: str) -> Any:
    """Every decision of a source's last crawl (Store.visits), with how many of each kind there were."""
    if not rows:
        return Text(f"No crawl of {source} is recorded: `forum-monitor collect {source}` makes one.", style="dim")
    table = Table(title=f"The last crawl of {source}: what was asked, and what was not", title_justify="left", header_style="bold")
    for header in ("at (UTC)", "decision", "answer", "URL, without its query", "why"):
        table.add_column(header, overflow="fold")
    for row in rows:
        answer = "" if row["decision"] == "refused" else str(row["status"] or "none")
        table.add_row(
            row["at"][:19].replace("T", " "),
            Text(row["decision"], style=_STYLES.get(row["decision"], "")),
            answer,
            row["url"],
            row["reason"],
        )
    counts = Counter(row["decision"] for row in rows)
    told = f"{counts['asked']} asked, {counts['refused']} refused."
    if len(rows) >= KEEP_VISITS:
        told += f" Only the first {KEEP_VISITS} decisions of a crawl are kept."
    return Group(table, Text(told, style="dim"))


def sample_row(source: str, sample: Sample) -> dict[str, Any]:
    """A dry run: how it ended, what the hosts' files say, the first posts with their fields; of their authors only that there is one."""
    return {
        "source": source,
        "outcome": sample.result.finish_reason,
        "message": sample.result.message or None,
        "requests": sample.result.requests,
        "robots": [_verdict(host, path, verdict) for host, files in sample.verdicts.items() for path, verdict in files.items()],
        "posts": [_fields(post) for post in sample.posts],
    }


def _fields(post: Post) -> dict[str, Any]:
    return {
        "native_id": post.native_id,
        "url": post.url,
        "thread_id": post.thread_id,
        "parent_id": post.parent_id,
        "title": post.title,
        "text": post.text,
        "posted_at": to_text(post.posted_at),
        "date_origin": post.date_origin,
        "edited_at": to_text(post.edited_at) if post.edited_at else None,
        "kind": post.kind,
        "has_author": post.author_key is not None,
    }


def sample_view(row: Mapping[str, Any]) -> Any:
    """`sample_row` for the terminal: verdicts, then each post with one line per field that it has."""
    parts: list[Any] = [Text(line, style="dim") for line in _told(row["robots"])]
    for post in row["posts"]:
        shown = {**post, "text": " ".join(post["text"].split())[:300], "has_author": "yes" if post["has_author"] else "no"}
        fields = Table.grid(padding=(0, 1))
        for name, value in shown.items():
            if value is not None:
                fields.add_row(Text(f"  {name}", style="dim"), Text(value, overflow="fold"))
        parts += [Text(""), fields]
    return Group(*parts)
