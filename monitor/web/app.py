"""The application: Datasette over the store's file, read-only, with our pages as a plugin, and a server for it on one address."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import ipaddress
import logging
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.asgi import BadRequest, Base400, NotFound, Request, Response
from datasette.views.base import DatasetteError
from jinja2 import Environment

from monitor import clock, show
from monitor.config import Config
from monitor.errors import InputError, MonitorError
from monitor.store import Store
from monitor.web import guard, packed, signing, tables, words

log = logging.getLogger("forum-monitor")

FOLDER = Path(__file__).parent

_SETTINGS = {
    "sql_time_limit_ms": 3000,
    "max_returned_rows": 1000,
    "default_page_size": 100,
    "allow_download": False,
    "facet_time_limit_ms": 150,
    "num_sql_threads": 3,
    "suggest_facets": False,  # guesses cost a query per column
    "default_cache_ttl": 0,
    "truncate_cells_html": 400,
}

PATIENCE = 5.0
"""Seconds that a page waits for another process to let go of the store."""

GATHERING = 10.0
"""Seconds that gathering what stands on a page may take."""

STOPPING = 3
"""Seconds that answers under way have to end once the server is told to stop."""

COOKIES = frozenset({signing.COOKIE, words.COOKIE, "ds_csrftoken", "ds_messages"})
"""Of the cookies of a request those that are read."""

View = Callable[["Pages", Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Served:
    """Where pages are served: `host` and `port` of the listening socket, and the names that requests may call it by (`hosts`)."""

    host: str
    port: int
    hosts: frozenset[str]
    token: str
    """What the operator signs in with."""

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine alone."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Pages(Datasette):  # type: ignore[misc]
    """One application over the database of one config.yaml."""

    def __init__(self, config: Config, served: Served, *, routes: Iterable[tuple[str, View]], metadata: Mapping[str, Any]) -> None:
        self.config, self.served, self.ours = config, served, tuple(routes)  # first: Datasette asks its plugins while it is made
        self.operator = signing.Operator(served.token)
        super().__init__(
            files=[], template_dir=str(FOLDER / "templates"), metadata=metadata,
            settings={**_SETTINGS, "default_allow_sql": served.loopback}, secret=secrets.token_hex(32),
        )  # fmt: skip
        self.remove_database("_memory")
        if served.loopback:
            self.add_database(tables.StoreFile(self, path=str(config.database), is_mutable=True), name=tables.DATABASE)

    async def read(self, gather: Callable[[Store], Any]) -> Any:
        """What `gather` makes of the store, opened read-only, in a thread of its own; the language of the request goes along."""

        def run() -> Any:
            with Store(self.config.database, read_only=True, timeout=PATIENCE) as store:
                end = time.monotonic() + GATHERING
                store.connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
                return gather(store)

        return await _in_thread(run)

    async def write(self, act: Callable[[Store], Any]) -> Any:
        """What `act` returns, which may change the store. For views that call `signing.require` first."""

        def run() -> Any:
            Store(self.config.database, read_only=True, timeout=PATIENCE).close()  # one that went away is not made anew
            with Store(self.config.database, timeout=PATIENCE) as store:
                return act(store)

        return await _in_thread(run)

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form that was sent."""
        try:
            return dict(parse_qsl((await request.post_body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
        except ValueError:
            raise BadRequest("That is more than any form here holds.") from None

    def told(self, message: str) -> str:
        """An error's sentence for whoever reads the pages, who need not know where the files of this machine lie."""
        return message.replace(f"{self.config.database.parent}{os.sep}", "")

    async def page(self, template: str, request: Request, status: int = 200, **context: Any) -> Response:
        """A page of ours."""
        html = await self.render_template(template, {"page": template.partition(".")[0], **context}, request=request)
        return Response.html(html, status=status)


async def _in_thread(run: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, run)


# ---- what the plugin adds to Datasette ---------------------------------------------------------------------------------


class _Plugin:
    """Our routes, words and guard. Datasette's plugins are the process's own: each hook looks whose application asks."""

    __name__ = "forum-monitor"

    @hookimpl
    def register_routes(self, datasette: Datasette) -> list[tuple[str, Any]]:
        if not isinstance(datasette, Pages):
            return []
        # Datasette's own come after, so what is closed here is closed.
        shut = tables.closed_paths(datasette.served.loopback)
        return [(pattern, _answering(view)) for pattern, view in (*datasette.ours, (shut, tables.closed))]

    @hookimpl
    def prepare_jinja2_environment(self, env: Environment, datasette: Datasette) -> None:
        if isinstance(datasette, Pages):
            words.install(env)
            env.globals["static"] = packed.address

    @hookimpl
    def prepare_connection(self, conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
        if isinstance(datasette, Pages) and database == tables.DATABASE:
            conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, tables.LONGEST_VALUE)

    @hookimpl
    def render_cell(self, datasette: Datasette, value: Any) -> str | None:
        return tables.shown(value) if isinstance(datasette, Pages) else None

    @hookimpl
    def actor_from_request(self, datasette: Datasette, request: Request) -> dict[str, str] | None:
        return signing.actor(datasette, request) if isinstance(datasette, Pages) else None

    @hookimpl(tryfirst=True)
    def forbidden(self, datasette: Datasette, request: Request, message: str) -> Any:
        if not isinstance(datasette, Pages):
            return None
        words.choose(request, datasette.config.language)
        return datasette.page("wrong.html", request, status=403, message=message)

    @hookimpl
    def extra_template_vars(self, request: Request | None, datasette: Datasette) -> dict[str, Any]:
        if not isinstance(datasette, Pages):
            return {}
        if request:
            words.choose(request, datasette.config.language)  # Datasette's own pages come by no view of ours
        site = {
            "language": words.language(),
            "languages": words.LANGUAGES,
            "data": tables.DATABASE if datasette.served.loopback else None,
            "stale": today() if today() != clock.now().date() else None,
            "operator": bool(request and request.actor),
            "kept_query": urlencode([(key, value) for key, value in parse_qsl(request.query_string) if key != "lang"]) if request else "",
        }
        return {"site": site}

    @hookimpl
    def handle_exception(self, datasette: Datasette, request: Request, exception: Exception) -> Any:
        """What went wrong, as a page or JSON. Datasette's own handler prints every local variable, posts' words among them."""
        if not isinstance(datasette, Pages):
            return None
        status, message, ours = _told(exception)
        message = datasette.told(message)
        if status >= 500:
            log.error("%s: %s at %s", request.path, type(exception).__name__, guard.place(exception))
        if request.path.endswith(".json"):
            return Response.json({"ok": False, "error": message, "status": status}, status=status)
        words.choose(request, datasette.config.language)
        return datasette.page("wrong.html", request, status=status, message=message, foreign=not ours)

    @hookimpl
    def asgi_wrapper(self, datasette: Datasette) -> Callable[[Any], Any]:
        if not isinstance(datasette, Pages):
            return lambda app: app
        guarded = guard.guarded(datasette.served.hosts, COOKIES)
        return lambda app: guarded(packed.packing(tables.bounded(app)))


_plugin = _Plugin()


class NotHere(InputError):  # noqa: N818 (it names what was found)
    """What an address asks for is not there, said in the reader's language."""


def _told(exception: Exception) -> tuple[int, str, bool]:
    """The HTTP status of an exception, a sentence that quotes nothing of the store, and whether it is in the reader's language."""
    if isinstance(exception, MonitorError):
        return (404 if isinstance(exception, InputError) else 503), str(exception), isinstance(exception, NotHere)
    if isinstance(exception, NotFound) and str(exception) in ("", "404"):
        return 404, words.gettext("There is no such page."), True
    if isinstance(exception, DatasetteError) and exception.message_is_html:  # that of a query which ran for too long
        return exception.status, words.gettext("The query took too long, and was stopped: narrow it, for example to a range of days."), True
    if isinstance(exception, Base400 | DatasetteError):
        return exception.status, str(getattr(exception, "message", None) or exception), False
    return 500, words.gettext("The page could not be made; the terminal of `forum-monitor web` says where it failed."), True


def _answering(view: View) -> Any:
    """A view in the language that is asked for."""

    async def answer(datasette: Pages, request: Request) -> Response:
        words.choose(request, datasette.config.language)
        with contextlib.suppress(MonitorError):  # a view that needs the store says itself that it cannot be read
            _day_shown.set(await datasette.read(lambda store: show.day_shown(store, clock.now().date())))
        return words.remembered(request, await view(datasette, request))

    answer.__dict__.update(view.__dict__)  # lasting()
    return answer


def lasting(view: View) -> View:
    """A view whose answer is the same for everyone, and kept by browsers as it says; others are not kept where a cookie came."""
    view.__dict__["_datasette_static"] = True
    return view


def application(config: Config, served: Served, routes: Iterable[tuple[str, View]]) -> Pages:
    """The application over the store of `config`. Raises StoreError when there is none yet."""
    with Store(config.database, read_only=True) as store:
        described = store.describe()
    if not pm.is_registered(_plugin):
        pm.register(_plugin, name="forum-monitor")
        pm.unregister(name="datasette.handle_exception")  # it would run beside ours
    return Pages(config, served, routes=routes, metadata=tables.metadata(described))


# ---- a server for it -----------------------------------------------------------------------------------------------


def names(host: str, others: Iterable[str] = ()) -> frozenset[str]:
    """What requests may call this server by in `Host`; another name is that of a page elsewhere that was made to point here."""
    own = f"[{host}]" if ":" in host else host
    loopback = ("localhost", "127.0.0.1", "[::1]") if is_loopback(host) else ()
    return frozenset(name.casefold() for name in (own, *loopback, *others))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises InputError when it cannot: the port is taken, or not ours to use."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"nothing can be served on {host} port {port} ({why}): give another --port, or stop what is there") from None
    # Connections have it from here: asyncio does not set it for a socket that it has not made, and each answer would wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def server(app: Pages) -> uvicorn.Server:
    """What answers HTTP for an application. Told to stop, it gives what is under way STOPPING seconds."""
    settings = uvicorn.Config(
        app.app(), http="h11", ws="none", log_level="warning", access_log=False, server_header=False, lifespan="on",
        timeout_graceful_shutdown=STOPPING,
    )  # fmt: skip
    return uvicorn.Server(settings)


def serve(app: Pages, listener: socket.socket) -> None:
    """Answer until SIGTERM or Ctrl-C."""
    server(app).run(sockets=[listener])


_day_shown: contextvars.ContextVar[dt.date | None] = contextvars.ContextVar("day_shown", default=None)


def today() -> dt.date:
    """The UTC day on which the pages of this request stand, unless they are asked for another: `show.day_shown`."""
    return _day_shown.get() or clock.now().date()
