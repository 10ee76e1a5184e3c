"""`forum-monitor doctor`: does everything that a round needs work here and now, and if not, what has to be done.

It changes nothing but the database, which it makes or brings up to date as every step would. A source is tried by the real
spider: its robots.txt and its first page are asked for, nothing is stored.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

from monitor.config import Config, warnings
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
                    f'{waiting} messages wait, {failed} were given up; see `forum-monitor query "SELECT * FROM deliveries"`',
                )
        free = shutil.disk_usage(config.database.parent).free // 2**20
        yield "disk", free >= _LITTLE, f"{free} MB free" + ("" if free >= _LITTLE else ": make room, the store will not grow without it")
    except MonitorError as error:
        yield "store", False, str(error)


def _model(config: Config) -> Iterator[tuple[str, bool, str]]:
    from monitor.sentiment import Item, load_scorer

    try:
        begun = time.perf_counter()
        scorer = load_scorer(config.scorer)
        score = scorer.score([Item("This team is a disaster, everybody competent has left.", ())])[0]
        took = time.perf_counter() - begun
    except MonitorError as error:
        yield "model", False, str(error)
        return
    fine = score.label == "negative"
    yield (
        "model",
        fine,
        f"{scorer.name}, loaded in {took:.1f} s" + ("" if fine else f"; it calls a plain complaint {score.label}: choose another model"),
    )


def _source(config: Config, name: str) -> tuple[str, bool, str]:
    from monitor.daemon import command

    try:
        done = subprocess.run(command(config.path, "collect", name, "--try"), capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired:
        return f"source {name}", False, "no answer within 90 s: try again, or look at the site"
    said = (done.stdout.strip() or done.stderr.strip() or "no word").splitlines()[-1]
    return f"source {name}", done.returncode == 0, said.removeprefix(f"collect {name}: ").removeprefix("Error: ")
