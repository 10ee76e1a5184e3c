"""The one form that changes the store: what a post is toward a team, in the operator's word.

The promise: only who signed in may send it, from our own pages only (Datasette's CSRF token; the sign-in's cookie goes with no
request of another site), and it leads back to the page that it was sent from, never elsewhere.
"""

from __future__ import annotations

import re
from typing import cast

from datasette.utils.asgi import Request, Response

from monitor import clock, correct
from monitor.errors import InputError
from monitor.records import Label
from monitor.store import Store
from monitor.web import signing, words
from monitor.web.app import Pages
from monitor.web.words import gettext as _

LABELS: tuple[Label, ...] = ("negative", "neutral", "positive")

_BACK = re.compile(r"/team/[\w.-]+(\?[!\"$-\[\]-~]*)?", re.ASCII)
"""As browsers write addresses: visible ASCII, without what would end up in another header, fragment or host."""


async def correct_post(pages: Pages, request: Request) -> Response:
    """POST /-/correct: post, team, and label or undo; note; back, the page that it was sent from."""
    if request.method != "POST":
        return await pages.page("wrong.html", request, status=405, message=_("Corrections are sent from the posts of a team."))
    signing.require(request)
    form = await pages.form(request)
    post, team, label = (form.get(name, "")[:100] for name in ("post", "team", "label"))
    undo, note, back = "undo" in form, form.get("note", "")[:500], form.get("back", "")
    if not undo and label not in LABELS:
        return await pages.page("wrong.html", request, status=400, message=_("Choose negative, neutral or positive."))

    def keep(store: Store) -> None:
        if undo:
            correct.undo(store, post, team)
        else:
            correct.correct(store, pages.config, post, team, cast(Label, label), note=note, now=clock.now())

    try:
        await pages.write(keep)
    except InputError as error:
        pages.add_message(request, str(error), pages.ERROR)
    else:
        pages.add_message(request, _told(pages, post, team, None if undo else label), pages.INFO)
    return Response.redirect(f"{back if _BACK.fullmatch(back) else '/'}#post-{post if re.fullmatch('[0-9]+', post) else ''}")


def _told(pages: Pages, post: str, team: str, label: str | None) -> str:
    found = pages.config.team(team)
    name = found.name if found else team
    if label is None:
        return _("Post %(post)s counts toward %(team)s as the model reads it, from the next trend on.") % {"post": post, "team": name}
    said = {"post": post, "label": words.label(label), "team": name}
    return _("Post %(post)s counts as %(label)s toward %(team)s, from the next trend on.") % said
