"""A published snapshot under stock Datasette, served from a folder that nobody may write to, every answer searched; and Parquet."""

from __future__ import annotations

import datetime as dt
import html
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import httpx
import published
import pytest

from monitor import export, leaving
from monitor.config import Config
from monitor.publish import metadata_path, publish
from monitor.store import Store
from monitor.store.snapshot import TABLES, VIEWS

pytestmark = pytest.mark.real

DEPTH = 3
"""Links followed from the first page; beside them every table whole, as JSON and CSV."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of the store with everything that must not leave it."""
    return published.build(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def site(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of stock Datasette over the snapshot, with links and excerpts."""
    folder = tmp_path_factory.mktemp("published")
    file = folder / "out.db"
    with Store(config.database, read_only=True) as store:
        publish(store, config, file, now=published.NOW, posts=True, metadata=True)
    folder.chmod(0o555)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-P",
        "-m",
        "datasette",
        "serve",
        "--immutable",
        str(file),
        "--metadata",
        str(metadata_path(file)),
        "--port",
        str(port),
    ]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{base}/-/versions.json")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield base
    finally:
        server.terminate()
        server.wait(timeout=10)
    assert sorted(path.name for path in folder.iterdir()) == ["out.db", "out.metadata.json"]


def test_no_answer_tells_what_is_withheld(site: str) -> None:
    """Pages, JSON, CSV and downloads, following every link to a depth: no author key, no word of a post, no withheld figure."""
    whole = [
        f"{site}/out/{name}.{kind}" for name in (*TABLES, *VIEWS) for kind in ("json?_size=max&_shape=array", "csv?_stream=on&_size=max")
    ]
    waiting = [(address, DEPTH) for address in (*whole, f"{site}/out.db", f"{site}/out.json")] + [(site + "/", 0)]
    seen, kinds, found = {address for address, _ in waiting}, set(), []
    secrets = published.secrets()
    with httpx.Client(timeout=30) as client:
        while waiting:
            address, depth = waiting.pop(0)
            answer = client.get(address)
            assert answer.status_code in (200, 301, 302, 403), address
            kinds.add(answer.headers.get("content-type", "").partition(";")[0])
            found += [(address, secret) for secret in secrets if secret in answer.content]
            if depth < DEPTH - 1 and "html" in answer.headers.get("content-type", "") and len(seen) < 3000:
                links = {
                    urldefrag(urljoin(address, html.unescape(link)))[0] for link in re.findall(r'(?:href|action)="([^"]+)"', answer.text)
                }
                new = sorted(link for link in links if link.startswith(site) and link not in seen)
                seen.update(new)
                waiting += [(link, depth + 1) for link in new]
    assert {"text/html", "application/json", "text/plain"} <= kinds and len(seen) > 100
    assert found == []


def test_its_questions_are_asked_by_their_names(site: str) -> None:
    """Stock Datasette lists what can be asked, what columns mean, and counts days by team without a script."""
    page = httpx.get(f"{site}/out").text
    assert "A team’s last 30 days" in page and httpx.get(f"{site}/out/coverage_gaps.json?_shape=array").json()[0]["days"] == 2
    daily = httpx.get(f"{site}/out/daily").text
    assert "share of voices, 0..1" in daily and "source=forum" in html.unescape(daily)


def test_parquet_holds_what_csv_does(config: Config, tmp_path: Path) -> None:
    """Days are dates, times are UTC timestamps, withheld figures are null; rows are written in parts."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet`")
    span = leaving.whole_days(published.NOW.date())
    with Store(config.database, read_only=True) as store:
        for what in export.WHAT:
            columns = export.columns_of(what)
            wanted = list(export.rows_of(store, config, what, span))
            assert export.export_parquet(tmp_path / "x.parquet", iter(wanted), columns) == len(wanted)
            table = parquet.read_table(tmp_path / "x.parquet")
            assert table.column_names == list(columns) and table.num_rows == len(wanted) > 0
            first = table.slice(0, 1).to_pylist()[0]
            if "day" in columns:
                assert first["day"] == dt.date.fromisoformat(wanted[0]["day"])
            if what == "daily":
                assert table["mean"].to_pylist() == [row["mean"] for row in wanted]
            if what == "posts":
                assert first["posted_at"] == dt.datetime.fromisoformat(wanted[0]["posted_at"])
