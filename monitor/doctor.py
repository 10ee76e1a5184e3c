"""`forum-monitor doctor`: does everything that a round needs work here and now, and if not, what has to be done.

It changes nothing but the database, which it makes or brings up to date as every step would. A source is tried by the real
spider, as `forum-monitor sources test` does: its robots.txt and its first pages are asked for, nothing is stored.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

from monitor import clock
from monitor.config import Config, Scorer, warnings
from monitor.errors import MonitorError, Problem
from monitor.store import Store

_LITTLE = 500
"""MB of free disk below which doctor says so."""


def examine(config: Config, problems: Sequence[Problem]) -> Iterator[tuple[str, bool, str]]:
    """(what, whether it is fine, what was found and what to do), one after the other as each is known."""
    yield "config", not problems, f"{config.path}, {len(problems)} problems" + ("; `forum-monitor check` lists them" if problems else "")
    for text in warnings(config):
        yield "config", False, text
    yield from _store(config)
    yield from _model(config)
    for source in config.sources:
        if source.enabled:
            yield _source(config, source.name)


def _store(config: Config) -> Iterator[tuple[str, bool, str]]:
    try:
        with Store(config.database) as store:
            wrong = store.check()
            yield "store", not wrong, f"{config.database}, {store.counts()}" if not wrong else f"{'; '.join(wrong[:3])}: restore a backup"
            for source, crawl in sorted(store.last_crawls().items()):
                fine = crawl["finish_reason"] in ("finished", None)
                said = f" ({crawl['message']})" if crawl["message"] else ""
                yield (
                    f"last crawl of {source}",
                    fine,
                    f"{crawl['started_at']}, {crawl['finish_reason'] or 'under way'}, {crawl['new']} new{said}",
                )
            waiting, failed = store.outbox()
            if waiting or failed:
                yield (
                    "outbox",
                    not failed,
                    f"{waiting} messages wait, {failed} were given up"
                    + ("; `forum-monitor deliver --failed` lists them" if failed else ""),
                )
        free = shutil.disk_usage(config.database.parent).free // 2**20
        yield "disk", free >= _LITTLE, f"{free} MB free" + ("" if free >= _LITTLE else ": make room, the store will not grow without it")
    except MonitorError as error:
        yield "store", False, str(error)


def _model(config: Config) -> Iterator[tuple[str, bool, str]]:
    """What is scored where, and each model at work on one plain sentence, whichever of two that take turns would get it."""
    settings = config.scorer
    unsure = "" if settings.escalate_below is None else f" of which the embedded model is less than {settings.escalate_below:.0%} sure"
    if settings.endpoint is None:
        yield "text", True, "no text leaves this machine to be scored"
    elif settings.stays_here:
        yield "text", True, f"no text leaves this machine to be scored; passages{unsure} go to {settings.host}"
    else:
        yield "text", True, f"passages of posts{unsure} LEAVE THIS MACHINE to be scored, for {settings.host} (scorer.endpoint)"
    if settings.escalate_below is not None:
        yield _at_work("model", Scorer(threads=settings.threads), None)
    if settings.endpoint is None:
        yield _at_work("model", settings, None)
        return
    try:
        with Store(config.database) as store:
            yield _at_work("endpoint", settings.model_copy(update={"escalate_below": None}), store)
            tokens, cost = store.spent(clock.now().date())
    except MonitorError:  # told by _store already
        return
    of = f" of {settings.tokens_per_day}" if settings.tokens_per_day else ""
    money = f", {cost:.4f}{f' of {settings.spend_per_day:g}' if settings.spend_per_day else ''} spent" if settings.price else ""
    yield "spending", True, f"{tokens}{of} tokens used today (UTC){money}"


def _at_work(what: str, settings: Scorer, store: Store | None) -> tuple[str, bool, str]:
    from monitor.sentiment import Item, Paused, load_scorer

    try:
        begun = time.perf_counter()
        scorer = load_scorer(settings, store)
        score = scorer.score([Item("This team is a disaster, everybody competent has left.", ())])[0]
        took = time.perf_counter() - begun
    except MonitorError as error:
        return what, isinstance(error, Paused) and error.allowance_spent, str(error)
    except Exception as error:  # noqa: BLE001 (whatever a model's runtime raises is a finding)
        return what, False, f"{settings.model} fails on a plain complaint ({type(error).__name__}): choose another model"
    said = f"calls a plain complaint {score.label}" if score else "gives no answer to a plain complaint"
    fine = score is not None and score.label == "negative"
    return what, fine, f"{scorer.name}, answered after {took:.1f} s" + ("" if fine else f"; it {said}: choose another model")


def _source(config: Config, name: str) -> tuple[str, bool, str]:
    from monitor.daemon import command

    try:
        done = subprocess.run(command(config.path, "sources", "test", name), capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired:
        return f"source {name}", False, "no answer within 90 s: try again, or look at the site"
    said = ((done.stderr if done.returncode else done.stdout).strip() or "no word").splitlines()[-1]
    return f"source {name}", done.returncode == 0, said.removeprefix("Error: ").removeprefix(f"sources test {name}: ")
