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


PAGES = {
    "overview": "/",
    "team": "/team/meta-genai",
    "quiet-team": "/team/bytedance-seed",
    "why": "/team/meta-genai/why?day=2025-01-24",
    "compare": "/compare?team=meta-genai&team=deepseek",
    "alerts": "/alerts",
    "sources": "/sources",
    "about": "/about",
    "sign-in": "/-/sign-in",
    "no-such-page": "/team/nobody",
    "data": "/store",
    "table": "/store/v_daily?_size=20",
    "query": "/store/posts_of_a_day?day=2025-01-23&team=meta-genai",
}
AXE = {"rules": {"target-size": {"enabled": True}}}
"""axe-core's rules beside those it has on: WCAG 2.2's least size of what a finger hits."""


def _pictured(page: Any, name: str) -> None:
    """Keep a screenshot where $FORUM_MONITOR_SCREENSHOTS says, for a person to look at."""
    if folder := os.environ.get("FORUM_MONITOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _drawn(page: Any, scheme: str = "light") -> None:
    """Wait until the chart, if there is one, is drawn, in the colours of `scheme`."""
    page.locator("figure[data-chart]:not(.drawn)").wait_for(state="detached")
    page.locator(".live:not(.dark)" if scheme == "dark" else ".live.dark").wait_for(state="detached")


def _faults(page: Any, **options: Any) -> list[tuple[str, str]]:
    """What axe-core finds on a page, by rule, with the first element of each."""
    found = axe.Axe().run(page, options=options).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("width", [390, 1440])
def test_pages_fit_read_and_are_accessible(visit: Any, site: Site, language: str, width: int) -> None:
    """Each page in both languages fits a phone and a desk, and axe-core finds nothing, in light and, for contrast, in dark."""
    page = visit("/", width=width, language=language)
    wrong = []
    for name, path in PAGES.items():
        page.emulate_media(color_scheme="light")
        page.goto(site.url + path, wait_until="networkidle" if "team" in name else "load")
        _drawn(page)
        _pictured(page, f"{name}-{language}-{width}-light")
        wide = page.evaluate("document.documentElement.scrollWidth")
        state = (page.locator("html").get_attribute("lang"), page.locator("h1").count(), wide <= width)
        wrong += [(name, state)] if state != (language, 1, True) else []
        wrong += [(name, fault) for fault in _faults(page, **AXE)]
        page.emulate_media(color_scheme="dark")
        _drawn(page, "dark")
        _pictured(page, f"{name}-{language}-{width}-dark")
        if language == "en":
            wrong += [(name, "dark", fault) for fault in _faults(page, runOnly=["color-contrast"])]
    site.said[:] = [text for text in site.said if "404" not in text]  # of the page that is not there
    assert wrong == []


def _tab_to(page: Any, selector: str) -> None:
    """Press Tab until what `selector` names has the focus, which can be seen at every stop."""
    for _ in range(150):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "s => [document.activeElement.matches(s), getComputedStyle(document.activeElement).outlineStyle,"
            " document.activeElement.outerHTML.slice(0, 200)]", selector,
        )  # fmt: skip
        assert stop[1] != "none", stop[2]
        if stop[0]:
            return
    pytest.fail(f"the keyboard does not reach {selector}")


def test_a_reader_goes_by_keyboard_alone(visit: Any) -> None:
    """From the first stop, which skips to the content, the keyboard reaches teams, ranges of the chart, the filter, older posts, pages."""
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.locator("main:focus").count() == 1
    _tab_to(page, "[href='/team/meta-genai']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/team/meta-genai")
    _tab_to(page, ".ranges a[href*='days=90']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/team/meta-genai?days=90#trend")
    assert page.locator(".ranges [aria-current]").inner_text() == "90 days"
    _tab_to(page, "[rel=next]")
    newest = page.locator(".posts > li").first.get_attribute("id")
    page.keyboard.press("Enter")
    page.wait_for_url("**before=*#posts")
    assert page.locator(".posts > li").count() > 0
    assert page.locator(f"#{newest}").count() == 0
    page.goto(page.url.partition("?")[0] + "?days=90#posts")
    _tab_to(page, "[name=label]")
    page.keyboard.type("neg")
    _tab_to(page, "[name=words]")
    page.keyboard.type("fiasco")
    page.keyboard.press("Enter")
    page.wait_for_url("**/team/meta-genai?days=90*words=fiasco#posts")
    found = page.locator(".posts > li").all_inner_texts()
    assert found
    assert all("fiasco" in post and "negative" in post for post in found)
    page.goto(page.url.partition("/team")[0])
    _tab_to(page, "nav [href='/alerts']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts")


def test_a_filter_shows_the_posts_it_names(visit: Any, site: Site) -> None:
    """Day, label, source and language narrow the posts alone and together, and what is chosen stays in the form."""
    page = visit("/team/meta-genai")
    everything = page.locator(".posts > li").count()

    def chosen(**fields: str) -> list[str]:
        page.goto(f"{site.url}/team/meta-genai", wait_until="domcontentloaded")
        form = page.locator("form[action='#posts']")
        for name, value in fields.items():
            field = form.locator(f"[name={name}]")
            (field.select_option if field.evaluate("each => each.tagName") == "SELECT" else field.fill)(value)
        form.get_by_role("button", name="Filter").click()
        page.wait_for_url("**?*#posts")
        assert {name: page.locator(f"form[action='#posts'] [name={name}]").input_value() for name in fields} == fields
        return list(page.locator(".posts .about").all_inner_texts())

    for fields, words in [
        ({"label": "positive"}, ["positive"]),
        ({"source": "hacker-forum"}, ["hacker-forum"]),
        ({"from": "2025-01-23", "to": "2025-01-23"}, ["23 Jan 2025"]),
        ({"label": "negative", "source": "employee-forum", "to": "2025-01-22"}, ["negative", "employee-forum"]),
    ]:
        posts = chosen(**fields)
        assert 0 < len(posts) <= everything
        assert [post for post in posts if not all(word in post for word in words)] == [], fields
    assert chosen(words="no such words at all") == []
    assert page.get_by_text("No such posts.").is_visible()


def _sign_in(page: Any, site: Site) -> None:
    page.goto(f"{site.url}/-/sign-in")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()


def test_the_operator_corrects_a_post_and_takes_it_back(visit: Any, site: Site) -> None:
    """Who signed in by the form can say what a post is, sees that it is kept, and can undo it; a reader is offered nothing of that."""
    page = visit("/team/meta-genai?source=employee-forum")
    assert page.locator("form[method=post], details.correct").count() == 0
    _sign_in(page, site)
    page.goto(f"{site.url}/team/meta-genai?source=employee-forum")
    post = page.locator(".posts > li").first
    place = f"#{post.get_attribute('id')}"
    post.locator("summary").click()
    post.get_by_label("Note").fill("meant <b>well</b>")
    _drawn(page)
    _pictured(page, "correcting")
    assert _faults(page, **AXE) == []
    post.get_by_role("button", name="positive").click()
    page.wait_for_url(f"**/team/meta-genai?source=employee-forum{place}")
    assert "counts as positive toward Meta GenAI" in page.get_by_role("status").inner_text()
    told = page.locator(place).locator(".about").inner_text()
    assert "positive corrected the model: " in " ".join(told.split())
    assert "“meant <b>well</b>”" in told
    page.locator(place).locator("summary").click()
    page.locator(place).get_by_role("button", name="Undo the correction").click()
    page.get_by_text("as the model reads it").wait_for()
    assert "corrected" not in page.locator(place).locator(".about").inner_text()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in to correct").wait_for()
    page.goto(f"{site.url}/team/meta-genai")
    assert page.locator("form[method=post], details.correct").count() == 0


def test_the_operator_silences_an_alert_and_ends_that(visit: Any, site: Site) -> None:
    """A silence that the form sets stands in the table with its reason until it is ended there; a reader has neither form."""
    page = visit("/alerts")
    assert page.locator("form[method=post]").count() == 0
    _sign_in(page, site)
    page.goto(f"{site.url}/alerts")
    form = page.locator("form[action='/alerts/silence']")
    form.get_by_label("Team").select_option("meta-genai")
    form.get_by_label("For how long").fill("3d")
    form.get_by_label("Why").fill("an outage <i>we</i> know of")
    form.get_by_role("button", name="Silence").click()
    row = page.get_by_role("row", name="Meta GenAI").filter(has_text="an outage <i>we</i> know of")
    row.wait_for()
    _pictured(page, "silencing")
    assert _faults(page, **AXE) == []
    row.get_by_role("button", name="End it now").click()
    page.get_by_text("Nothing is silenced.").wait_for()


def test_hostile_posts_are_text(visit: Any, site: Site) -> None:
    """Script, markup, a link that is script, template words and characters that turn writing around are shown as text, and do nothing."""
    page = visit("/team/meta-genai?source=hostile")
    for path in ("/team/meta-genai?source=hostile", "/team/meta-genai/why?day=2025-01-24", "/alerts", "/store/v_posts?source=hostile"):
        page.goto(site.url + path, wait_until="networkidle")
        assert "taken" not in page.title()
        assert page.locator("main :is(script, style, textarea, iframe), main img:not(.chart img), [onload], [onerror]").count() == 0
        addresses = page.evaluate("[...document.links].map(each => each.protocol)")
        assert set(addresses) <= {"http:", "https:"}
        assert "\u202e" not in page.content() or "v_posts" in path  # the Data pages show what is stored, a cell for each value
    page.goto(site.url + "/team/meta-genai?source=hostile", wait_until="networkidle")
    shown = page.locator(".posts .words").all_inner_texts()
    assert sorted(shown) == sorted(text.replace("\u202e", "").replace("\u202c", "") for text in HOSTILE)
    assert [post.locator("a").count() for post in page.locator(".posts > li").all() if "<script>" in post.inner_text()] == [0]


def test_a_chart_answers_a_pointer(visit: Any) -> None:
    """A day tells its figures under the pointer, and a click leads to the day's posts."""
    page = visit("/team/meta-genai")
    _drawn(page)
    assert not page.locator(".chart picture").is_visible()
    day = page.locator(".live .mark-rect").first.locator("path").last
    day.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "24 Jan" in tooltip.inner_text()
    _pictured(page, "tooltip")
    day.click(force=True)
    page.wait_for_url("**/team/meta-genai?from=2025-01-24&to=2025-01-24#posts")
    assert all("24 Jan 2025" in post for post in page.locator(".posts .about").all_inner_texts())


def test_pages_can_be_read_without_script_and_printed(visit: Any) -> None:
    """Without script every figure is there, and each chart as a picture; paper has the content without what is to be pressed."""
    page = visit("/", script=False)
    assert page.get_by_role("row").count() > 5
    for path in ("/team/meta-genai", "/compare?team=meta-genai&team=deepseek"):
        page = visit(path, script=False)
        assert page.locator("table").count() >= 1
        picture = page.locator(".chart img")
        picture.scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")
        assert picture.is_visible()
        assert picture.bounding_box()["height"] > 200
    page = visit("/team/meta-genai", scheme="dark")
    _drawn(page, "dark")
    page.emulate_media(media="print")
    _pictured(page, "printed")
    assert page.locator(".chart").is_visible()
    assert [page.locator(each).is_visible() for each in (".top", ".bottom", ".ranges", "form.filter")] == [False] * 4
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_another_language_keeps_the_page_and_its_query(visit: Any, site: Site) -> None:
    """Changing the language leaves everything else of the address as it is, and holds for the pages after."""
    page = visit("/")
    for path in (
        "/compare?team=openai&team=deepseek&days=90", "/team/meta-genai?label=negative&words=panique+%26+co&days=90",
        "/alerts?rule=sentiment-shift", "/team/meta-genai/why?day=2025-01-23", "/team/meta-genai?before=2025-01-23T17%3A33%3A00Z.269",
    ):  # fmt: skip
        page.goto(site.url + path, wait_until="domcontentloaded")
        page.get_by_role("link", name="Français").click()
        page.wait_for_url("**lang=fr")
        assert page.url == f"{site.url}{path}&lang=fr"
        assert page.locator("html").get_attribute("lang") == "fr"
        page.request.get(f"{site.url}/chart/team/openai.svg?lang=en")  # what a page left behind may come late
        page.goto(f"{site.url}/about")
        assert page.locator("html").get_attribute("lang") == "fr"
        page.get_by_role("link", name="English").click()
        page.wait_for_url("**/about?lang=en")
