"""Where the work on an archive runs. The local engine has processes of this machine; the one on Ray (monitor/archive/ray.py) many machines.

The promise: an engine hands out pieces and hears counts; no post passes through the process that asks. It holds only a few pieces
at a time, and ends when the process that asked does.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from monitor.archive import work
from monitor.archive.job import Chunk, Found, Job, Scored, Split
from monitor.errors import MonitorError

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Runs pieces of work; use as a context manager. Raises what a piece raises, as a MonitorError where it is one."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def scored(self, job: Job, splits: Sequence[Split]) -> Iterator[Found | Scored]:
        """`find` on each split and `score` on each of its chunks, in any order."""
        ...

    def each(self, step: Callable[[Job, T], R], job: Job, pieces: Sequence[T]) -> Iterator[R]:
        """A step on each piece, in any order."""
        ...


class Local:
    """So many processes of this machine; one is this process itself."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        work.said_before.cache_clear()  # this process may have made an archive before
        if self.workers > 1:
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_stop_with, initargs=(os.getpid(),))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def scored(self, job: Job, splits: Sequence[Split]) -> Iterator[Found | Scored]:
        chunks: deque[Chunk] = deque()
        left = iter(splits)

        def calls() -> Iterator[tuple[Callable[..., Any], Job, Any]]:
            while True:  # chunks first, so that what is found does not pile up
                if chunks:
                    yield work.score, job, chunks.popleft()
                elif (split := next(left, None)) is not None:
                    yield found, job, split
                else:
                    return

        for outcome in self._run(calls):
            if isinstance(outcome, Scored):
                yield outcome
            else:
                chunks.extend(one for one in outcome if isinstance(one, Chunk))
                yield from (one for one in outcome if isinstance(one, Found))

    def each(self, step: Callable[[Job, T], R], job: Job, pieces: Sequence[T]) -> Iterator[R]:
        left = iter(pieces)
        return self._run(lambda: ((step, job, piece) for piece in left))

    def _run(self, calls: Callable[[], Iterable[tuple[Callable[..., R], Job, Any]]]) -> Iterator[R]:
        """What calls return, as they end. `calls` is asked again after each, since an end may bring more of them."""
        if self._pool is None:
            while call := next(iter(calls()), None):
                step, job, piece = call
                yield step(job, piece)
            return
        pending: set[Future[R]] = set()
        try:
            while True:
                free = 2 * self.workers - len(pending)
                pending |= {self._pool.submit(step, job, piece) for step, job, piece in itertools.islice(calls(), free)}
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise MonitorError(
                "a process of the backfill was killed, most often because memory ran out: run the same command again, which goes on where "
                "this one stopped, with fewer --workers"
            ) from None


def found(job: Job, split: Split) -> list[Chunk | Found]:
    """`work.find` to its end, as one answer."""
    return list(work.find(job, split))


def _stop_with(parent: int) -> None:
    """End this process when the one that asked is gone: killed, it cannot tell."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
