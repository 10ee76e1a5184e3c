"""merge: the stores of several monitors, by region or by network, made one.

The promise: the same store again changes nothing, a merge that was killed is gone on with by the next, and after the next `trend`
the figures are those of a monitor that had collected everything itself. What either store has forgotten is in the result no more.

What goes over: posts with mentions, scores, corrections and samples that were read, what crawls covered and how they went. What
stays: alerts with their states, messages, silences and spending, since each was told, muted or paid for by one monitor, and the
next `alert` judges the figures of both by the rules of this one; cursors, requests and what sites' files said, since they are
one crawler's. A correction that was taken back here comes again from a store that still has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor import forget
from monitor.config import Config
from monitor.daemon import lock
from monitor.errors import InputError
from monitor.store import Links, Store

COUNTS = ("new", "changed", "unchanged", "deleted", "left out", "forgotten", "corrections", "readings", "crawls", "days")


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did. `counts` has every one of COUNTS, and `notes` are sentences on what a person should know.

    Posts of the other store are `new`, `changed`, `unchanged`, `deleted` (tombstones made) or `left out` (forgotten, deleted or retired
    here); `forgotten` are posts of this store that the other had forgotten. `readings` are of samples, `days` covered days of sources.
    """

    counts: dict[str, int]
    notes: list[str]

    @property
    def idle(self) -> bool:
        return not any(self.counts[name] for name in COUNTS if name not in ("unchanged", "left out"))


def merge(store: Store, config: Config, path: Path, *, progress: Callable[[int, int], None] | None = None) -> Merged:
    """Take the store at `path` into `store`. `progress` is told (the number of the last post looked at, that of the last of all).

    The other store is only read; it may be in use. Raises InputError when it is none, is this one, or has forgotten a source
    that config.yaml has enabled here; StoreError as Store.
    """
    if path.exists() and path.samefile(store.path):
        raise InputError(f"{path} is this monitor's own database: name that of another one")
    counts = Counter(dict.fromkeys(COUNTS, 0))
    notes = []
    with Store.of_another(path) as other, other.reading():
        here, there = store.sources_forgotten(), other.sources_forgotten()
        without = {source for source, day in here.items() if day > there.get(source, "")}
        gone = {source: day for source, day in there.items() if day > here.get(source, "")}
        proofs = _forget_sources(store, config, gone)
        if leaving := store.heed(other):
            with lock(config.database, "trend"):  # one that began before would store figures of what is gone
                proofs.append(forget.forget_posts(store, config, leaving, what=f"what {path.name} has forgotten"))
        counts["forgotten"] = sum(proof.posts for proof in proofs)
        if not all(proof.complete for proof in proofs):
            notes.append(
                "Of what was forgotten something is left in the files: the end of a crawl, a day from now at the latest, takes it out."
            )
        meeting = store.meet(other, without)
        last = other.last_post()
        for bundle in other.bundles():
            counts.update(store.absorb(bundle, meeting))
            if progress:
                progress(bundle.last, last)
        counts.update(store.take_crawls(other, without))
        held = {(each.name, each.root) for each in store.archives()}
        if archives := [each.name for each in other.archives() if (each.name, each.root) not in held]:
            notes.append(f"Days in its archives ({_list(archives)}) do not come: `forum-monitor backfill --archive PLACE` takes them over.")
        if without:
            notes.append(f"Nothing came of {_list(without)}: forgotten here, and not there since.")
        marks = any(row["kind"] == "author" for row in store.forgotten())
        notes += _on_keys(path.name, meeting.links, marks)
    return Merged(dict(counts), notes)


def _forget_sources(store: Store, config: Config, gone: dict[str, str]) -> list[forget.Proof]:
    """Forget what the other store has forgotten since; all are checked before the first goes."""
    stored = [source for source in gone if source in store.known_sources()]
    for source in stored:
        forget.check_source(store, config, source)
    proofs = []
    for source, day in gone.items():
        if source not in stored:
            store.forget_source(source, day)  # the note alone
            continue
        with ExitStack() as locks:
            for step in ("trend", f"collect.{source}"):
                locks.enter_context(lock(config.database, step))
            proofs.append(forget.forget_source(store, config, source, day=day))
    return proofs


def _on_keys(other: str, links: Links, marks: bool) -> list[str]:
    """What two keys, or what may be two, make of people."""
    # Sources of which a post shows that names are hashed alike are in no doubt, unless others show that they are not.
    doubtful = {source: count for source, count in links.strangers.items() if links.different or source not in links.equal}
    if not doubtful:
        return []
    strangers = f"{sum(doubtful.values())} authors of {_list(doubtful)}"
    if links.different:
        told = (
            f"{other} hashes authors' names with another key. Who wrote a post that both stores hold is one voice here; {strangers} "
            "wrote none, and count as a second voice where they also stand here under this monitor's key."
        )
    else:
        told = (
            f"Whether {other} hashes authors' names with this monitor's key cannot be told: of {_list(doubtful)} no post "
            f"with an author is in both stores. If not, {strangers} count as a second voice where they also stand here."
        )
    more = " Nobody who was forgotten under one key is known by the other: look whether such a person's posts came." if marks else ""
    return [f"{told}{more} Monitors that are to be merged should begin with the same privacy.author_key_file."]


def _list(sources: Any) -> str:
    return ", ".join(sorted(sources))
