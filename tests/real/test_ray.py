"""`forum-monitor backfill --engine ray` on nodes of this machine: whatever is killed, the archive is the local engine's, byte for byte."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import archives
import psutil
import pytest
import yaml

pytest.importorskip("moto")
pytest.importorskip("ray")

from moto.server import ThreadedMotoServer
from pyarrow import fs
from ray.cluster_utils import Cluster

from monitor.archive import work
from monitor.archive.inputs import plan
from monitor.archive.job import Job
from monitor.archive.layout import Root
from monitor.archive.ray import RayEngine, seen
from monitor.config import Scorer, shipped
from monitor.errors import ModelError
from monitor.privacy import AuthorKeys

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

POSTS, FILES = 1_000_000, 40
RATE = 0.005
"""The share that names a team: a fourth of what is usual, so that the model is not most of what is waited for."""


class Monitor:
    """A folder with a config.yaml; all of them hash authors by the same keys."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        settings = {
            **yaml.safe_load(shipped()),
            "database": "monitor.db",
            "privacy": {"author_key_file": str(folder.parent / "author.key")},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
        self.folder, self.archive = folder, folder / "archive"

    def words(self, *more: str | Path) -> list[str]:
        command = [
            sys.executable,
            "-P",
            "-m",
            "monitor",
            "--config",
            str(self.folder / "config.yaml"),
            "backfill",
            "--source",
            "hackernews",
        ]
        return [*command, *map(str, more)]

    def backfill(self, *more: str | Path) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(self.words(*more), capture_output=True, text=True, timeout=400)
        assert ended.returncode == 0, ended.stderr
        return ended

    @contextlib.contextmanager
    def begun(self, *more: str | Path, scored: int) -> Iterator[subprocess.Popen[str]]:
        """A run that has scored so many chunks."""
        with subprocess.Popen(self.words(*more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while len(self.written("*/scores/*/*/*.parquet")) < scored:
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            yield process

    def written(self, pattern: str) -> dict[Path, int]:
        """When each file of the archive was written."""
        return {path: path.stat().st_mtime_ns for path in self.archive.glob(pattern) if path.is_file()}

    def days(self) -> dict[str, str]:
        """What the archive's days are made of: files, and a digest of each."""
        return {"/".join(path.parts[-2:]): digest(path.read_bytes()) for path in self.archive.glob("*/runs/*/days/*/*")}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a million posts in `given`, and monitors."""
    made = tmp_path_factory.mktemp("ray")
    archives.written(made / "given", POSTS, files=FILES, rate=RATE, broken=1, days=400)
    return made


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three machines of one core, and one that only leads them."""
    small = {"include_dashboard": False, "object_store_memory": 100 << 20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(3):
        made.add_node(num_cpus=1, object_store_memory=100 << 20)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def kill(raylet: int) -> None:
    """What becomes of a machine whose power is cut."""
    node = psutil.Process(raylet)
    for process in [node, *node.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_million_posts_while_a_machine_dies(folder: Path, cluster: Cluster) -> None:
    """Three machines make the local engine's archive, byte for byte, though one dies in the middle; asked again, nothing is done."""
    given, alone, made = folder / "given", Monitor(folder / "alone"), Monitor(folder / "cluster")
    alone.backfill(given)
    node = list(cluster.worker_nodes)[1]
    with made.begun(given, "--engine", "ray", "--address", cluster.address, scored=FILES // 4) as process:
        scored = made.written("*/scores/*/*/*")
        kill(node.all_processes["raylet"][0].process.pid)
        out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert len(scored) < FILES and scored.items() <= made.written("*/scores/*/*/*").items()
    assert f"{FILES} rejected" in out
    assert made.days() == alone.days() != {}

    before = made.written("**/*")
    assert "already" in made.backfill(given, "--engine", "ray", "--address", "127.0.0.1:1").stdout
    assert made.written("**/*") == before


def test_a_killed_driver_loses_only_what_was_at_work(folder: Path) -> None:
    """Killed, the command leaves no process behind; begun again it scores only what was not scored, and ends in the same archive."""
    few, alone, made = folder / "given" / "part-00[0-7].jsonl", Monitor(folder / "alone-few"), Monitor(folder / "killed")
    alone.backfill(few)
    with made.begun(few, "--engine", "ray", "--workers", "2", scored=2) as process:
        children = [each for each in psutil.Process(process.pid).children(recursive=True) if "Agent" not in each.name()]
        process.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []  # two agents try to tell Ray's head of it for a minute
    scored = made.written("*/scores/*/*/*")
    assert 2 <= len(scored) < 8 and made.days() == {}
    ended = made.backfill(few, "--engine", "ray", "--workers", "2")
    assert scored.items() <= made.written("*/scores/*/*/*").items()
    assert made.days() == alone.days() != {}
    assert len(ended.stderr.splitlines()) == 8, "the rejected lines, and not a word of Ray's"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server that holds a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[fs.FileSystem]:
    """An object store on loopback, as the environment names one, with the buckets `given` and `archives`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    reached = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "key", "DEFAULT_REGION": "us-east-1"}
    for name, value in reached.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    found = fs.S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", region="us-east-1", allow_bucket_creation=True)
    found.create_dir("given")
    found.create_dir("archives")
    yield found
    server.stop()


def test_an_object_store_and_a_web_server(folder: Path, s3: fs.FileSystem) -> None:
    """From s3:// and http:// into s3:// comes the archive that files make in a folder; again it does nothing."""
    paths = archives.written(folder / "small", 2_000, files=2, days=20)
    alone, made = Monitor(folder / "alone-small"), Monitor(folder / "addresses")
    alone.backfill(*paths)
    with s3.open_output_stream("given/part-000.jsonl") as stream:
        stream.write(paths[0].read_bytes())
    with served(folder / "small") as address:
        given = (
            "s3://given/part-000.jsonl",
            f"{address}/part-001.jsonl",
            "--archive",
            "s3://archives/hn",
            "--engine",
            "ray",
            "--workers",
            "2",
        )
        assert "archives/hn" in made.backfill(*given).stdout
        files = [file.path for file in s3.get_file_info(fs.FileSelector("archives/hn", recursive=True)) if file.is_file]
        assert "already" in made.backfill(*given).stdout
    days = [path for path in files if "/days/" in path]
    assert {"/".join(path.split("/")[-2:]): digest(s3.open_input_stream(path).read()) for path in days} == alone.days() != {}
    assert not [path for path in files if "/found/" in path or "/scored/" in path]


def test_what_fails_elsewhere_is_one_sentence_here(tmp_path: Path) -> None:
    """A piece's own error comes back as it was raised; a machine that does not see the archive says so."""
    splits, _ = plan([str(path) for path in archives.written(tmp_path, 200, files=1)], source="hackernews", shape=None)
    job = Job(
        root=Root(str(tmp_path / "archive")), name="hackernews", teams=archives.teams(), reader="m", model="m",
        scorer=Scorer(model=str(tmp_path / "none")), keys=AuthorKeys(b"k" * 32, b"k" * 32), forgotten=frozenset(), gone=frozenset(),
        now=dt.datetime.now(dt.UTC),
    ).of(splits)  # fmt: skip
    with RayEngine(None, 1) as engine:
        assert list(engine.each(work.sort, job, [])) == []
        with pytest.raises(ModelError, match="is no folder that is there"):
            list(engine.scored(job, splits))
    told = seen(job.root, job.path("nothing.json"), splits[0].where)
    assert told is not None and "does not see the archive" in told
