"""The dead man's ping: an address of a watching service is asked after each whole round that ended well, and only then.

The promise: who watches hears nothing when posts are not understood, rules not checked or messages not delivered, whatever it
is that failed, this program's own death included. The address may hold a secret: it is in no log and no message.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import urllib.request

from monitor.config import Config
from monitor.deliver import Delivered
from monitor.records import from_text, to_text
from monitor.store import Store

ROUND = ("understand", "trend", "alert")
"""The steps before `deliver`, whose last runs must have ended well."""

ANSWER_TIME = 10.0
"""Seconds that the watching service may take."""


def beat(store: Store, config: Config, done: Delivered, *, now: dt.datetime) -> str | None:
    """Ask `notify.heartbeat` if a round has ended well since it was asked last, its delivery with it; a sentence where it did not answer.

    `done` is what the delivery that ends the round did; a message that waits for its next attempt is a failure too. The
    address is asked once for each run of `alert`, and again at the next delivery where it did not answer.
    """
    if config.notify.heartbeat is None or done.errors or store.refused():
        return None
    ended = store.ended_well(ROUND)
    last = store.fact("heartbeat")
    if len(ended) < len(ROUND) or (last and from_text(last) >= ended["alert"]):
        return None
    # A step that has not run for so long is as one that failed.
    if any(now - ended[step] > 2 * dt.timedelta(seconds=getattr(config.schedule, step) + config.schedule.time_limit) for step in ROUND):
        return None
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        request = urllib.request.Request(config.notify.heartbeat, headers={"User-Agent": "forum-monitor"})  # noqa: S310 (http or https, by settings)
        with urllib.request.urlopen(request, timeout=ANSWER_TIME):  # noqa: S310 (as above)
            store.set_fact("heartbeat", to_text(ended["alert"]))
            return None
    return "notify.heartbeat did not answer; it is asked again by the next delivery"
