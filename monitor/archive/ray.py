"""The work on an archive on Ray: the cores of many machines, or of this one.

The promise: a machine or a process that dies loses only the pieces that it was at, which others do again; posts go from file to file and
names of files from task to task; what a piece raises comes back as one sentence. A cluster that was begun here ends with the run, however
that ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
import ray.data
from pyarrow import fs
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from monitor import __version__
from monitor.archive import work
from monitor.archive.job import Chunk, Found, Job, Scored, Split
from monitor.archive.layout import Root, named, reached
from monitor.errors import InputError, MonitorError

T = TypeVar("T")
R = TypeVar("R")

MODEL_CORES, FILTER_CORES = 0.9, 0.1
"""Shares of a core that are asked for, so that on each core there is a model and, while there is something to be read, a filter for it."""

STORE = 200 << 20
"""Bytes of shared memory of a cluster that begins here: only names of files lie in it."""

_LEVEL = "RAY_BACKEND_LOG_LEVEL"


class RayEngine:
    """The cluster at `address` (as `ray.init` takes it), or one of this machine for as long as this is entered.

    `workers` is how many models are at work, each on one core; None: one per core of the cluster.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        self.address = address
        self.workers = workers

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local: dict[str, Any] = {"num_cpus": self.workers, "object_store_memory": STORE, "include_dashboard": False}
        local["_node_ip_address"] = "127.0.0.1"
        with _hushed():
            try:
                ray.init(self.address or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if self.address else local))
            except (OSError, RuntimeError, ValueError) as error:
                raise MonitorError(
                    f"Ray does not start at {self.address or 'this machine'} ({_line(error)}): on a machine that belongs to the cluster "
                    "(`ray start`), run this with --address auto"
                ) from None
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.raise_original_map_exception = True
        context.target_max_block_size = 1  # each file that is found is told of at once, not with the others of its split
        self.workers = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ray.shutdown()

    def scored(self, job: Job, splits: Sequence[Split]) -> Iterator[Found | Scored]:
        """`find` on each split and `score` on each of its chunks, in any order."""
        if self.address:
            self._look(job, splits)
        found = _pieces(splits).map_batches(partial(_find, job), batch_size=1, num_cpus=FILTER_CORES, compute=self._tasks(splits))
        models = ActorPoolStrategy(size=self.workers)
        return _told(found.map_batches(_Model, fn_constructor_args=(job,), batch_size=1, num_cpus=MODEL_CORES, compute=models))

    def each(self, step: Callable[[Job, T], R], job: Job, pieces: Sequence[T]) -> Iterator[R]:
        """A step on each piece, in any order."""
        if not pieces:
            return iter(())
        return _told(_pieces(pieces).map_batches(partial(_step, step, job), batch_size=1, num_cpus=1, compute=self._tasks(pieces)))

    def _tasks(self, pieces: Sequence[Any]) -> TaskPoolStrategy:
        return TaskPoolStrategy(min(self.workers or 1, len(pieces)))

    def _look(self, job: Job, splits: Sequence[Split]) -> None:
        """Have every machine say that it has this program, and sees the archive and the first of the inputs."""
        mark = job.path("seen.json")
        job.root.write_json(mark, __version__)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        look = ray.remote(num_cpus=0)(seen)
        asked = [
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)).remote(job.root, mark, splits[0].where)
            for node in nodes
        ]
        try:
            wrong = [problem for problem in ray.get(asked) if problem]
        except RayError as error:
            raise _sentence(error) from error
        finally:
            job.root.remove(mark)
        if wrong:
            raise InputError(wrong[0])


def _pieces(pieces: Sequence[Any]) -> Dataset:
    return ray.data.from_items([{"piece": piece} for piece in pieces], override_num_blocks=len(pieces))


def _find(job: Job, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    for outcome in work.find(job, batch["piece"][0]):
        yield {"piece": [outcome]}


class _Model:
    """A process that has the model: loaded at its first chunk, kept for the others."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        piece = batch["piece"][0]
        return {"piece": [work.score(self.job, piece) if isinstance(piece, Chunk) else piece]}


def _step(step: Callable[[Job, Any], Any], job: Job, batch: dict[str, Any]) -> dict[str, list[Any]]:
    return {"piece": [step(job, batch["piece"][0])]}


def seen(root: Root, mark: str, given: str) -> str | None:
    """Run on another machine: what is wrong there, if anything."""
    machine = ray.util.get_node_ip_address()
    found = root.read_json(mark)
    if found is None:
        return (
            f"the machine {machine} does not see the archive in {named(root.where)}: give as --archive a place that all machines of the "
            "cluster share, such as s3://bucket/folder or a network folder under the same path"
        )
    if found != __version__:
        return (
            f"the machine {machine} has version {__version__} of this program, not {found}: install the same on all machines of the cluster"
        )
    files, path = reached(given)
    if files.get_file_info(path).type == fs.FileType.NotFound:
        return f"the machine {machine} does not see {named(given)}: give inputs that all machines of the cluster see under the same name"
    return None


def _told(dataset: Dataset) -> Iterator[Any]:
    """What the pieces answer, as it comes."""
    try:
        for row in dataset.iter_rows():
            yield row["piece"]
    except RayError as error:
        raise _sentence(error) from error


def _sentence(error: BaseException) -> MonitorError:
    """What a piece raised where that is a sentence already, else what became of the piece. Messages of others may hold a post's words."""
    causes = []
    cause: BaseException | None = error
    while cause and cause not in causes:
        causes.append(cause)
        cause = getattr(cause, "cause", None) or cause.__cause__
    if told := next((each for each in causes if isinstance(each, MonitorError)), None):
        return told
    last = causes[-1]
    if isinstance(last, ModuleNotFoundError):
        return InputError(
            f"a machine of the cluster lacks {last.name}: pip install 'employee-forum-monitor[scale]=={__version__}' on all of them"
        )
    said = f"{type(last).__name__}: {_line(last)}" if isinstance(last, OSError) else type(last).__name__
    return MonitorError(
        f"a piece of the backfill failed on the cluster ({said}), as Ray's logs there tell; where a process was killed, memory ran out "
        "most often: run the same command again, which goes on where this one stopped, with fewer --workers"
    )


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep Ray's core from the terminal: it tells of what it mends by itself as of errors, and that it was asked to be silent."""
    before, terminal = os.environ.get(_LEVEL), os.dup(2)
    os.environ.setdefault(_LEVEL, "fatal")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        if before is None:
            del os.environ[_LEVEL]
