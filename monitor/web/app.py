"""The application: Datasette over the store's file, read-only, with our pages as a plugin, and a server for it on one address."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import ipaddress
import logging
import secrets
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.plugins import pm
from datasette.utils.asgi import Base400, Request, Response
from datasette.views.base import DatasetteError
from jinja2 import Environment

from monitor import clock, glossary
from monitor.config import Config
from monitor.errors import InputError, MonitorError
from monitor.store import Store
from monitor.web import guard, words

log = logging.getLogger("forum-monitor")

FOLDER = Path(__file__).parent

DATABASE = "store"
"""The store's name in addresses: `/store/v_daily`."""

_SETTINGS = {
    "sql_time_limit_ms": 3000,
    "max_returned_rows": 1000,
    "default_page_size": 100,
    "allow_download": False,
    "facet_time_limit_ms": 500,
    "num_sql_threads": 3,
    "suggest_facets": False,  # guesses cost a query per column
    "default_cache_ttl": 0,
}

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

    def __init__(self, config: Config, served: Served, *, routes: Iterable[tuple[str, View]]) -> None:
        self.config, self.served, self.ours = config, served, tuple(routes)  # first: Datasette asks its plugins while it is made
        super().__init__(
            files=[], template_dir=str(FOLDER / "templates"), static_mounts=[("static", str(FOLDER / "static"))],
            metadata=_metadata(), settings={**_SETTINGS, "default_allow_sql": served.loopback}, secret=secrets.token_hex(32),
        )  # fmt: skip
        if served.loopback:
            self.add_database(Database(self, path=str(config.database), is_mutable=True), name=DATABASE)

    async def read(self, gather: Callable[[Store], Any]) -> Any:
        """What `gather` makes of the store, opened read-only, in a thread of its own; the language of the request goes along."""

        def run() -> Any:
            with Store(self.config.database, read_only=True) as store:
                return gather(store)

        return await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, run)

    async def page(self, template: str, request: Request, status: int = 200, **context: Any) -> Response:
        """A page of ours."""
        html = await self.render_template(template, {"page": template.partition(".")[0], **context}, request=request)
        return Response.html(html, status=status)


def _metadata() -> dict[str, Any]:
    """Datasette's: what each table and column is for."""
    tables: dict[str, Any] = {name: {"description": meaning} for name, meaning in glossary.DESCRIPTIONS.items()}
    return {"title": "Sentiment toward AI teams", "databases": {DATABASE: {"tables": tables}}}


# ---- what the plugin adds to Datasette ---------------------------------------------------------------------------------


class _Plugin:
    """Our routes, words and guard. Datasette's plugins are the process's own: each hook looks whose application asks."""

    __name__ = "forum-monitor"

    @hookimpl
    def register_routes(self, datasette: Datasette) -> list[tuple[str, Any]]:
        return [(pattern, _answering(view)) for pattern, view in datasette.ours] if isinstance(datasette, Pages) else []

    @hookimpl
    def prepare_jinja2_environment(self, env: Environment, datasette: Datasette) -> None:
        if isinstance(datasette, Pages):
            words.install(env)

    @hookimpl
    def extra_template_vars(self, request: Request | None, datasette: Datasette) -> dict[str, Any]:
        if not isinstance(datasette, Pages):
            return {}
        site = {
            "language": words.language(),
            "languages": words.LANGUAGES,
            "data": DATABASE if datasette.served.loopback else None,
            "operator": bool(request and request.actor),
        }
        return {"site": site}

    @hookimpl
    def handle_exception(self, datasette: Datasette, request: Request, exception: Exception) -> Any:
        """What went wrong, as a page or JSON. Datasette's own handler prints every local variable, posts' words among them."""
        if not isinstance(datasette, Pages):
            return None
        status, message = _told(exception)
        if status >= 500:
            at = traceback.extract_tb(exception.__traceback__)[-1]
            log.error("%s: %s at %s:%s", request.path, type(exception).__name__, Path(at.filename).name, at.lineno)
        if request.path.endswith(".json"):
            return Response.json({"ok": False, "error": message, "status": status}, status=status)
        words.choose(request)
        return datasette.page("wrong.html", request, status=status, message=message)

    @hookimpl
    def asgi_wrapper(self, datasette: Datasette) -> Callable[[Any], Any]:
        return guard.guarded(datasette.served.hosts) if isinstance(datasette, Pages) else lambda app: app


_plugin = _Plugin()


def _told(exception: Exception) -> tuple[int, str]:
    """The HTTP status of an exception, and a sentence that quotes nothing of the store."""
    if isinstance(exception, MonitorError):
        return (404 if isinstance(exception, InputError) else 503), str(exception)
    if isinstance(exception, Base400 | DatasetteError):
        return exception.status, str(getattr(exception, "message", None) or exception) or words.gettext("There is no such page.")
    return 500, words.gettext("The page could not be made; the terminal of `forum-monitor web` says where it failed.")


def _answering(view: View) -> Any:
    """A view in the language that is asked for."""

    async def answer(datasette: Pages, request: Request) -> Response:
        words.choose(request)
        return words.remembered(request, await view(datasette, request))

    answer.__dict__.update(view.__dict__)  # lasting()
    return answer


def lasting(view: View) -> View:
    """A view whose answer is the same for everyone, and kept by browsers as it says; others are not kept where a cookie came."""
    view.__dict__["_datasette_static"] = True
    return view


def application(config: Config, served: Served, routes: Iterable[tuple[str, View]]) -> Pages:
    """The application over the store of `config`. Raises StoreError when there is none yet."""
    Store(config.database, read_only=True).close()
    if not pm.is_registered(_plugin):
        pm.register(_plugin, name="forum-monitor")
        pm.unregister(name="datasette.handle_exception")  # it would run beside ours
    return Pages(config, served, routes=routes)


# ---- a server for it -----------------------------------------------------------------------------------------------


def names(host: str, others: Iterable[str] = ()) -> frozenset[str]:
    """What requests may call this server by in `Host`; another name is that of a page elsewhere that was made to point here."""
    own = ["localhost", "127.0.0.1", "[::1]"] if is_loopback(host) else [f"[{host}]" if ":" in host else host]
    return frozenset(name.casefold() for name in (*own, *others))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises InputError when it cannot: the port is taken, or not ours to use."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"nothing can be served on {host} port {port} ({why}): give another --port, or stop what is there") from None


def serve(app: Pages, listener: socket.socket) -> None:
    """Answer until SIGTERM or Ctrl-C."""
    server = uvicorn.Server(uvicorn.Config(app.app(), log_level="warning", access_log=False, server_header=False, lifespan="on"))
    server.run(sockets=[listener])


def today() -> dt.date:
    """The UTC day on which pages stand, unless they are asked for another."""
    return clock.now().date()
