"""A report in a real browser: Debian's Chromium opens the file that the demo's own database gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser's driver is the extra `browser`")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="as above")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOON = "2025-01-24T12:00:00Z"

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's, with a report in both languages."""
    folder = tmp_path_factory.mktemp("reported") / "demo"
    command = [sys.executable, "-P", "-m", "monitor"]
    subprocess.run([*command, "demo", "--fast", "--keep", str(folder)], check=True, capture_output=True, timeout=180)
    for language in ("en", "fr"):
        words = ["--config", str(folder / "config.yaml"), "report", "--quotes", "--language", language, str(folder / f"{language}.html")]
        subprocess.run([*command, *words], check=True, capture_output=True, timeout=120, env={**os.environ, "FORUM_MONITOR_NOW": NOON})
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync"]  # fmt: skip
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark"), (688, "print")])
def test_a_report_asks_for_nothing_fits_and_is_accessible(folder: Path, chromium: Any, language: str, width: int, scheme: str) -> None:
    """Nothing but the file is asked for, the console keeps still, nothing is cut off at the side, axe-core finds nothing serious."""
    printed = scheme == "print"
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme="light" if printed else scheme, bypass_csp=True)
    asked: list[str] = []
    said: list[str] = []
    for strict in (True, False):  # axe has to run its script in the page: once as readers open it, once with that allowed
        page = chromium.new_page() if strict else context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        if printed:
            page.emulate_media(media="print")
        page.goto((folder / f"{language}.html").as_uri(), wait_until="networkidle")
        assert page.evaluate("document.scripts.length") == 0
        if strict:
            page.close()
    assert page.locator("html").get_attribute("lang") == language and page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() == page.get_by_role("img").count() >= 1
    if pictures := os.environ.get("FORUM_MONITOR_SCREENSHOTS"):
        page.screenshot(path=Path(pictures) / f"report-{language}-{width}-{scheme}.png", full_page=True)
    assert {url.partition(":")[0] for url in asked if not url.endswith(f"/{language}.html")} <= {"data"}
    assert said == []
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
    context.close()
