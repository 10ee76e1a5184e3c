"""Alerts: what fires now, what cannot be judged and why, what is silenced, and everything that ever fired.

The promise: an alert is shown with the figures, the posts and the sentence that it was told with, and says whom it reached. Each has an
address of its own, `/alerts?from=ID#alert-ID`. The operator silences here by the same rules as `forum-monitor silence`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Request, Response

from monitor import clock, telling
from monitor.config import Config, seconds
from monitor.errors import InputError
from monitor.leaving import COUNTED
from monitor.messages import quotation
from monitor.records import ALL
from monitor.store import Store
from monitor.web import signing
from monitor.web.app import Pages, today
from monitor.web.words import gettext as _

SHOWN = 20
"""Alerts on a page."""

STAGES = ("firing", "recovering", "resolved")

FILTERS = ("team", "rule", "source", "stage")

SPANS = ("1h", "4h", "12h", "1d", "3d", "7d", "30d")
"""For how long silencing is offered; any other span can be written."""

Row = Mapping[str, Any]

_UNFIGURED = ("stopped", "unread")
"""Types of alerts that have no figures."""


async def alerts(pages: Pages, request: Request) -> Response:
    """GET /alerts"""
    return await _page(pages, request)


async def silence(pages: Pages, request: Request) -> Response:
    """POST /alerts/silence: a silence, by the operator."""
    if request.method != "POST":
        return Response.redirect("/alerts#silences", status=303)
    signing.require(request)
    form = await pages.form(request)
    named = {what: form.get(what, "") for what in telling.SILENCED}

    def act(store: Store) -> None:
        try:
            lasts = dt.timedelta(seconds=seconds(form.get("for", "")))
        except ValueError as error:
            raise InputError(f"{form.get('for', '')!r}: {error}") from None
        telling.silence(store, pages.config, named, lasts, form.get("reason", ""), now=clock.now())

    return await _done(pages, request, act, form)


async def end_silence(pages: Pages, request: Request) -> Response:
    """POST /alerts/silence/end: the end of a silence, by the operator."""
    if request.method != "POST":
        return Response.redirect("/alerts#silences", status=303)
    signing.require(request)
    number = _number((await pages.form(request)).get("id"))
    return await _done(pages, request, lambda store: telling.end_silence(store, number or 0, now=clock.now()), {})


async def _done(pages: Pages, request: Request, act: Any, form: Mapping[str, str]) -> Response:
    try:
        await pages.write(act)
    except InputError as error:
        return await _page(pages, request, status=400, wrong=str(error), form=form)
    return Response.redirect("/alerts#silences", status=303)


async def _page(pages: Pages, request: Request, status: int = 200, wrong: str = "", form: Mapping[str, str] | None = None) -> Response:
    config, now, excerpt = pages.config, clock.now(), pages.config.privacy.excerpt
    wanted = {name: request.args.get(name) or None for name in FILTERS} if request.method != "POST" else {}
    newest = _number(request.args.get("from"))

    def gather(store: Store) -> dict[str, Any]:
        page = store.alert_page(newest=newest, limit=SHOWN, **wanted)
        ids = [alert["id"] for alert in page.alerts]
        messages = store.messages_on(ids) if ids else {}
        return {
            "series": store.series(),
            "counts": store.series_counts(),
            "silences": [dict(row) for row in store.silences(now)],
            "older": page.older,
            "history": [
                _alert(alert, [quotation(post, excerpt) for post in store.alert_posts(alert["id"])], messages.get(alert["id"], ()), config)
                for alert in page.alerts
            ],
        }

    found = await pages.read(gather)
    kept = {name: value for name, value in wanted.items() if value}
    return await pages.page(
        "alerts.html", request, status=status,
        standing=[_series(row, config) for row in found["series"] if row["state"] in ("firing", "recovering", "pending")],
        unjudged=_unjudged(found["series"], config), watched=sum(found["counts"][0].values()),
        silences=[row | {"on": _silenced(row, config)} for row in found["silences"]],
        history=found["history"], older=urlencode({**kept, "from": found["older"]}) if found["older"] else None,
        newest=newest, wanted=wanted,
        choices=telling.silenceable(config) | {"stage": STAGES}, names={team.id: team.name for team in config.teams},
        spans=SPANS, form=form or {}, wrong=wrong,
    )  # fmt: skip


def _number(text: str | None) -> int | None:
    """An id of ours as it stands in an address or a form."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _subject(row: Row, config: Config) -> str:
    """The team, or the source, that an alert or a series is on."""
    if row["team"] == ALL:
        return _("All sources") if row["source"] == ALL else str(row["source"])
    team = config.team(row["team"])
    return team.name if team else str(row["team"])


def _where(row: Row) -> str:
    return "" if ALL in (row["team"], row["source"]) else str(row["source"])


def _series(row: Row, config: Config) -> Row:
    return {**row, "subject": _subject(row, config), "where": _where(row), "alert": row["alert_id"] if row["state"] != "pending" else None}


def _unjudged(rows: Sequence[Row], config: Config) -> list[tuple[str, list[Row]]]:
    """Series whose last day could not be judged, by health: what needs a person first."""
    found = ((health, [_series(row, config) for row in rows if row["health"] == health]) for health in ("error", "inhibited", "no data"))
    return [(health, of) for health, of in found if of]


def _silenced(row: Row, config: Config) -> str:
    """What a silence is on, in words."""
    team = config.team(row["team"])
    parts = (
        _("rule %(rule)s") % {"rule": row["rule"]} if row["rule"] != ALL else "",
        (team.name if team else str(row["team"])) if row["team"] != ALL else "",
        _("source %(source)s") % {"source": row["source"]} if row["source"] != ALL else "",
    )
    return ", ".join(part for part in parts if part) or _("everything")


def _alert(row: Row, posts: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Any]:
    """An alert as it stands on the page. `days` is how long it lasted, or has lasted so far, its first and last day included."""
    last = dt.date.fromisoformat(row["resolved_day"]) if row["resolved_day"] else today()
    sent: Counter[str] = Counter()
    for message in messages:
        sent["waiting" if message["state"] in ("due", "sending") else message["state"]] += message["messages"]
    return {
        **row,
        "subject": _subject(row, config),
        "where": _where(row),
        "days": max(1, (last - dt.date.fromisoformat(row["day"])).days + 1),
        "figured": row["type"] not in _UNFIGURED and row["value"] is not None,
        "counted": row["type"] in COUNTED,
        "evidence": posts,
        "sent": dict(sent),
        "targets": sorted({message["target"] for message in messages if message["state"] == "sent"}),
    }
