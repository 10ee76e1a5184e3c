"""The command that serves pages."""

from __future__ import annotations

import os
import secrets
import webbrowser

import click

from monitor.cli.around import loaded
from monitor.errors import InputError

TOKEN = "FORUM_MONITOR_TOKEN"  # noqa: S105 (the name of the variable)
"""Environment variable with the operator's token; without it one is made at each start and printed."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen; tables and SQL on loopback only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 takes a free one.")
@click.option("--name", "others", multiple=True, metavar="NAME", help="Another name that requests may call the server by; repeat it.")
@click.option("--open", "open_browser", is_flag=True, help="Open the browser.")
@click.pass_context
def web(ctx: click.Context, host: str, port: int, others: tuple[str, ...], open_browser: bool) -> None:
    """Pages in the browser: every team, its trend and posts, comparisons, alerts, sources; read-only, on this machine."""
    from monitor.web import app
    from monitor.web.routes import ROUTES

    config = loaded(ctx)
    given = os.environ.get(TOKEN)
    if given is not None and len(given) < 16:
        raise InputError(f"{TOKEN} is shorter than 16 characters: give a longer one, or unset it and one is made")
    token = given or secrets.token_urlsafe(18)
    listener = app.listening(host, port)
    served = app.Served(host, listener.getsockname()[1], app.names(host, others), token)
    pages = app.application(config, served, ROUTES)
    address = f"http://{f'[{host}]' if ':' in host else host}:{served.port}/"
    click.echo(f"Pages: {address}")
    click.echo(f"To correct posts there, sign in with {f'the token in {TOKEN}' if given else f'the token {token}'}. Ctrl-C stops.")
    if not served.loopback:
        click.echo("Whoever reaches this address can read the pages, unencrypted: put a server with TLS before it.", err=True)
    if open_browser:
        webbrowser.open(address)
    app.serve(pages, listener)
