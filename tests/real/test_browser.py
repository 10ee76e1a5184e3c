"""The pages in a real browser: Debian's Chromium, driven by Playwright, on the demo's own database."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser's driver is the extra `browser`")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="as above")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TOKEN = "the-operators-own-token"
NOON = "2025-01-24T12:00:00Z"
"""The demo's last day, on which its alert fires."""

HOSTILE = [
    "<script>document.title='taken'</script> Meta GenAI is a mess",
    "<img src=x onerror=\"document.title='taken'\"> Meta GenAI is a mess",
    "<svg/onload=document.title='taken'> <style>body{display:none}</style> Meta GenAI </textarea></td></table>",
    "[click](javascript:document.title='taken') Meta GenAI \u202egnihton\u202c is a mess {{ 7*7 }} {% raw %}",
]

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`"),
]


@dataclass
class Site:
    """A running `forum-monitor web`, and what the browser noticed on its pages."""

    url: str
    folder: Path
    said: list[str] = field(default_factory=list)
    """What a page wrote to the console as a warning or error, and exceptions of its scripts."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests that a page made to anywhere but the site."""


def _monitor(folder: Path, *words: str) -> None:
    command = [sys.executable, "-P", "-m", "monitor", "--config", str(folder / "config.yaml"), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "FORUM_MONITOR_NOW": NOON})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The demo's store, hostile posts besides, served on a free port."""
    folder = tmp_path_factory.mktemp("site") / "demo"
    subprocess.run(
        [sys.executable, "-P", "-m", "monitor", "demo", "--fast", "--keep", str(folder)], check=True, capture_output=True, timeout=180
    )
    lines = [
        {"id": f"h{n}", "url": "javascript:alert(1)" if n == 0 else f"https://forum.example/h{n}", "author": f"h{n}", "text": text,
         "posted_at": "2025-01-24T09:00:00Z", "title": text[:60], "thread": f"h{n}"}
        for n, text in enumerate(HOSTILE)
    ]  # fmt: skip
    (folder / "hostile.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    _monitor(folder, "import", str(folder / "hostile.jsonl"), "--source", "hostile")
    _monitor(folder, "understand")
    _monitor(folder, "trend")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-P", "-m", "monitor", "--config", str(folder / "config.yaml"), "web", "--port", str(port)]
    server = subprocess.Popen(words, env={**os.environ, "FORUM_MONITOR_NOW": NOON, "FORUM_MONITOR_TOKEN": TOKEN})
    site = Site(f"http://127.0.0.1:{port}", folder)
    try:
        _answers(site.url)
        yield site
    finally:
        server.terminate()
        server.wait(10)


def _answers(url: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync"],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def visit(site: Site, chromium: Any) -> Iterator[Any]:
    """Open pages of the site in a context of its own: visit(path, width=1440, language="en", scheme="light")."""
    contexts = []

    def opened(path: str, *, width: int = 1440, language: str = "en", scheme: str = "light", script: bool = True) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale=language, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: site.said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: site.said.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((site.url, "data:", "blob:")) else site.elsewhere.append(asked.url))
        page.goto(site.url + path, wait_until="networkidle")
        return page

    site.said.clear()
    site.elsewhere.clear()
    yield opened
    for context in contexts:
        context.close()
    assert site.said == [], "the console keeps still"
    assert site.elsewhere == [], "nothing is asked of another machine"


PAGES = ["/", "/team/meta-genai", "/compare?team=meta-genai&team=deepseek", "/alerts", "/sources", "/about", "/-/sign-in"]


def _pictured(page: Any, name: str) -> None:
    """Keep a screenshot where $FORUM_MONITOR_SCREENSHOTS says, for a person to look at."""
    if folder := os.environ.get("FORUM_MONITOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_page_fits_reads_and_is_accessible(visit: Any, path: str, language: str, width: int) -> None:
    """Each page in both languages fits a phone and a desk, and axe-core finds nothing serious, in light and in dark."""
    for scheme in ("light", "dark"):
        page = visit(path, width=width, language=language, scheme=scheme)
        _pictured(page, f"{path.strip('/').replace('/', '-').partition('?')[0] or 'overview'}-{language}-{width}-{scheme}")
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off at the side"
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


def test_a_reader_goes_by_keyboard_alone(visit: Any, site: Site) -> None:
    """The first stop skips to the content; from the overview the keyboard reaches a team and what is wrong with a form's answer."""
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.locator("main:focus").count() == 1
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.locator(":focus").get_attribute("href") == "/team/meta-genai":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/team/meta-genai")
    assert "Meta GenAI" in page.locator("h1").inner_text()


def test_pages_can_be_read_without_script(visit: Any) -> None:
    """A browser that runs no script shows every figure all the same."""
    page = visit("/", script=False)
    assert page.get_by_role("row").count() > 5
    page = visit("/team/meta-genai", script=False)
    assert page.locator("table").count() >= 1
