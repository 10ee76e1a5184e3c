"""publish: a snapshot of the store for others, in one file that explains itself.

The promise: what is in it is what monitor/leaving.py lets leave, of one moment; the file is there whole or not at all; the same
store at the same moment gives the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor import __version__, glossary, leaving
from monitor.config import Config
from monitor.errors import InputError
from monitor.records import to_text
from monitor.sentiment.card import card
from monitor.store import Span, Store
from monitor.store.questions import LINKS_OF_A_DAY, SNAPSHOT, questions
from monitor.store.snapshot import TABLES, VIEWS, replacing, write_snapshot

_ORDER = ("about", "daily", "alerts", "coverage", "sources", "teams", "posts", "glossary")


def publish(
    store: Store, config: Config, path: Path, *, now: dt.datetime, posts: bool = False, texts: bool = False, metadata: bool = False
) -> dict[str, int]:
    """Write the snapshot to `path`, in place of an older one; returns its rows by table.

    `posts` adds links of posts, `texts` (with them) masked excerpts of privacy.excerpt characters. `metadata` writes Datasette's
    metadata beside it (`metadata_path`). InputError: the path is the store's own or some other file's, or nothing may be quoted.
    """
    if path.resolve() == config.database.resolve():
        raise InputError(f"{path} is the store itself: name another file")
    span = leaving.whole_days(now.astimezone(dt.UTC).date())
    quoted = leaving.quotable(config, "--texts") if texts else 0
    names = [name for name in _ORDER if name != "posts" or posts or texts]
    without = {"posts": frozenset() if texts else frozenset({"excerpt"})}
    with store.reading():
        least = config.privacy.min_authors
        rows = {
            "about": ({"name": name, "value": value} for name, value in about(store, config, span, now, posts or texts, quoted).items()),
            "daily": leaving.daily(store, least, span),
            "alerts": leaving.alerts(store, least, span),
            "coverage": leaving.coverage(store, span),
            "sources": leaving.sources(config, store, span),
            "teams": leaving.teams(config),
            "posts": leaving.links(store, span, texts=quoted),
            "glossary": _glossary(names, without),
        }
        counts = write_snapshot(path, {name: rows[name] for name in names}, without)
    if metadata:
        described = json.dumps(datasette_metadata(path.stem, names, without), ensure_ascii=False, indent=2)
        with replacing(metadata_path(path)) as draft:
            draft.write_text(described + "\n", "utf-8")
    return counts


def about(store: Store, config: Config, span: Span, now: dt.datetime, posts: bool, quoted: int) -> dict[str, str]:
    """What the file says of itself: facts, and how far people are protected, in plain words."""
    least = config.privacy.min_authors
    told = {
        "title": "Sentiment toward AI teams: daily figures from public posts",
        "made_at": to_text(now),
        "made_by": f"forum-monitor {__version__}",
        "last_day": span.last.isoformat(),
        "model": store.model,
        "min_authors": str(least),
        "figures": "Means lie between -1 (all negative) and +1 (all positive). Each person counts once a day, by the mean of what they "
        "said of the team; posts that mostly repeat others' words do not count. `low` and `high` are a 95 % interval for whom "
        "we might as well have read; that the model itself errs is not in it (see `model_card`). `coverage` is how much of the "
        "sources was read that day.",
        "withheld": f"A figure of fewer than {least} people is withheld, and so is that of the next smallest source where the withheld one "
        "could be computed from the total and the others. Only days that are over are here. No sums over weeks or months and "
        "none by language are here, from which a withheld day or language could be had. Alerts on a single source are without "
        "figures once one of its days was withheld for another source's sake, and alerts on corrected weeks once one of their days "
        "was withheld at all; the words that people used, and means of several days, are cut from what they say. Counts are shown.",
        "not_protected": "The posts are public: who looks them up can read and judge them. Where all who spoke agreed, the figure "
        "tells what each of them said. Who keeps two of these files can see what a day's figure became when a post was found late, "
        "deleted or corrected between them. Who knows what others of a group said can subtract them from the group's figure.",
        "posts": "none" if not posts else "links; those whose address names a user are left out",
    }
    if quoted:
        told["posts"] += f"; with excerpts of {quoted} characters at most, addresses, numbers and handles of people masked"
    found = card(store.model) if config.scorer.endpoint is None else None
    return told | ({"model_card": found} if found else {})


def _glossary(names: list[str], without: Mapping[str, frozenset[str]]) -> Iterator[dict[str, str]]:
    for table, columns in _described(names, without).items():
        yield {"table_name": table, "column_name": "", "meaning": glossary.PUBLISHED[table]}
        for column, meaning in columns.items():
            yield {"table_name": table, "column_name": column, "meaning": meaning}


def _described(names: list[str], without: Mapping[str, frozenset[str]]) -> dict[str, dict[str, str]]:
    """The meaning of each column of each table and view."""
    tables = {name: [column for column in TABLES[name] if column not in without.get(name, ())] for name in names}
    return {table: {column: glossary.published_meaning(table, column) for column in columns} for table, columns in (tables | VIEWS).items()}


def metadata_path(path: Path) -> Path:
    """Where Datasette's metadata of a snapshot lies."""
    return path.with_name(f"{path.stem}.metadata.json")


def datasette_metadata(database: str, names: list[str], without: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """For `datasette serve FILE --metadata`: titles, what tables and columns mean, and questions to begin with."""
    tables: dict[str, Any] = {
        table: {"description": glossary.PUBLISHED[table], "columns": columns} for table, columns in _described(names, without).items()
    }
    tables["daily"] |= {"sort_desc": "day", "facets": ["team", "source"]}
    tables["alerts"] |= {"sort_desc": "day", "facets": ["team", "rule", "state"]}
    asked = questions(SNAPSHOT) | ({"links_of_a_day": LINKS_OF_A_DAY} if "posts" in names else {})
    queries = {name: question._asdict() for name, question in asked.items()}
    title = "Sentiment toward AI teams"
    return {"title": title, "databases": {database: {"description": glossary.PUBLISHED["about"], "tables": tables, "queries": queries}}}
