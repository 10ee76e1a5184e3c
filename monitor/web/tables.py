"""The Data pages: Datasette's own pages of the store, with what each table and column means, and questions to begin with.

The promises: they are there on loopback only; the views whose columns stay come before the tables behind them; of Datasette's other
pages, which show settings, plugins and permissions or let somebody sign in, none answers anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from datasette.database import Database
from datasette.utils.asgi import Request, Response

from monitor import glossary
from monitor.store.questions import POSTS_OF_A_DAY, STORE, questions
from monitor.web import words
from monitor.web.guard import App, Receive, Scope, Send

DATABASE = "store"
"""The store's name in addresses: `/store/v_daily`."""

VIEWS: dict[str, dict[str, Any]] = {
    "v_daily": {"sort_desc": "day", "facets": ["team", "source"], "counted_by": ["team", "source", "model", "sufficient"]},
    "v_alerts": {"sort_desc": "id", "facets": ["state"], "counted_by": ["rule", "type", "team", "source", "state"]},
    "v_posts": {"sort_desc": "posted_at", "counted_by": ["source", "team", "label", "language", "kind"]},
    "v_coverage": {"sort_desc": "day", "counted_by": ["source", "covered"]},
    "v_corrections": {"sort_desc": "corrected_at", "counted_by": ["team", "label", "model_label", "language"]},
    "v_reviews": {"sort_desc": "id", "counted_by": ["team", "label", "read_by"]},
}
"""The views whose columns stay, in the order in which they are listed: how each is sorted, what it can be counted by (a click on a value
then narrows it down), and by what it is counted at once, where that is quick."""


def metadata(described: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Datasette's: what each table and column is for, and questions. `described` as Store.describe gives it."""
    tables: dict[str, Any] = {"_sqlite_migrations": {"hidden": True}}
    for row in described:
        name, columns = row["name"], row["columns"].split(", ")
        tables[name] = {"description": row["meaning"], "columns": {column: glossary.meaning(name, column) for column in columns if column}}
        tables[name] |= VIEWS.get(name) or {"hidden": True}
    asked = questions(STORE) | {"posts_of_a_day": POSTS_OF_A_DAY}
    queries = {name: question._asdict() for name, question in asked.items()}
    return {"title": "Sentiment toward AI teams", "databases": {DATABASE: {"tables": tables, "queries": queries, "first": list(VIEWS)}}}


def closed_paths(loopback: bool) -> str:
    """A pattern of the addresses at which nothing answers, whatever Datasette has there: its pages about itself, its own databases,
    downloads of the store, `//host/`, from which it would send the browser on to that host; and, off loopback, the Data pages."""
    return rf"^/(?!{DATABASE}(?:/|\.json$|$)|favicon\.ico$)" if loopback else "^/"


LONGEST_VALUE = 1 << 20
"""Bytes of a value in an answer to SQL, in which functions make any length out of nothing; a post's text is shorter."""

MOST_PARAMETERS = 50
"""Of an address of the Data pages: each may cost a query (`_facet`), and there are fewer columns."""


def bounded(app: App) -> App:
    """The application without addresses of the Data pages that ask for too much at once."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"].startswith(f"/{DATABASE}")
        if ours and scope["query_string"].count(b"&") >= MOST_PARAMETERS:
            response = Response.text(f"That is more than one address may ask: {MOST_PARAMETERS} parameters at most.", status=400)
            await response.asgi_send(send)
        else:
            await app(scope, receive, send)

    return answer


COUNT_MS = 100
"""How long Datasette may count the rows that a page is of: of a million posts it takes as long as all the rest ten times over."""


class StoreFile(Database):  # type: ignore[misc]
    """The store as Datasette reads it, read-only. A count that takes too long is none: the page says `many rows`.

    A reader's SQL that fails is told to the reader, and is not written to the terminal with what was looked for.
    """

    async def execute(self, sql: str, params: Any = None, truncate: bool = False, custom_time_limit: int | None = None, **more: Any) -> Any:
        if sql.startswith("select count(*) ") and not truncate:  # a reader's own query is truncated to the rows that are shown
            custom_time_limit = min(COUNT_MS, custom_time_limit or COUNT_MS)
        return await super().execute(sql, params, truncate, custom_time_limit, **{**more, "log_sql_errors": False})


def shown(value: Any) -> str | None:
    """A number in a cell as people read it; CSV and JSON have every digit. None: as Datasette shows it."""
    return f"{value:z.3f}" if isinstance(value, float) else None


async def closed(pages: Any, request: Request) -> Response:
    """What stands in place of a view of Datasette. Not its NotFound: that looks for other addresses, and may send the browser there."""
    answer: Response = await pages.page("wrong.html", request, status=404, message=words.gettext("There is no such page."))
    return answer
