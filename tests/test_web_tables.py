"""The Data pages: Datasette's pages of the store in our own clothes, on loopback only."""

from __future__ import annotations

import asyncio
import html
import re

import httpx
import published
import pytest
from published import MODEL

from monitor.store import Store
from monitor.web import app, tables
from monitor.web.routes import ROUTES

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} javascript:alert(1)"

INLINE = re.compile(r"<script|<style|<[^>]*\s(?:style|on[a-z]+)=|(?:href|src|action)=.javascript:", re.IGNORECASE)
"""What our Content-Security-Policy would refuse."""

PATHS = (
    "/store", "/store?sql=select+day,+mean+from+v_daily+where+team=:team", "/store/posts/1", "/store/v_daily?_facet=model&team=meta-genai",
    "/store/scores", "/store/posts", *(f"/store/{view}" for view in tables.VIEWS),
)  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> app.Pages:
    """The application on loopback, over a store with a hostile post."""
    config = published.build(tmp_path_factory.mktemp("store"))
    with Store(config.database) as store, store.writing() as connection:
        connection.execute("UPDATE posts SET text = ?, url = 'javascript:alert(1)' WHERE id = 40", (HOSTILE,))
    return app.application(config, app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), "0123456789abcdef"), ROUTES)


@pytest.fixture(scope="module")
def elsewhere(pages: app.Pages) -> app.Pages:
    """The same, served to a network."""
    return app.application(pages.config, app.Served("192.0.2.1", 8001, frozenset({"localhost"}), "0123456789abcdef"), ROUTES)


def _get(pages: app.Pages, *paths: str) -> list[httpx.Response]:
    async def all_of() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=pages.app())) as client:
            return [await client.get(f"http://localhost{path}") for path in paths]

    return asyncio.run(all_of())


def _words(response: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", response.text))


def test_every_page_is_plain_html_of_ours(pages: app.Pages) -> None:
    """Views, tables, a row, questions and SQL: no inline script or style, nothing of Datasette's own looks, the strict policy."""
    asked = pages.metadata("queries", database="store", fallback=False)
    paths = [*PATHS, *(f"/store/{name}" for name in asked)]
    for path, answer in zip(paths, _get(pages, *paths), strict=True):
        assert answer.status_code == 200, path
        assert not INLINE.search(answer.text), path
        assert "-/static" not in answer.text and "app.css" not in answer.text and "/static/tables.css" in answer.text, path
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_stable_views_come_first_and_are_described(pages: app.Pages) -> None:
    """The page lists the views whose columns stay, then questions, then the tables behind; each view says what its columns mean."""
    (listed, daily) = (_words(each) for each in _get(pages, "/store", "/store/v_daily"))
    order = [listed.index(word) for word in (*tables.VIEWS, "A team’s last 30 days", "Coverage gaps", "daily_trends", "dirty_days")]
    assert order == sorted(order)
    assert "share of voices, 0..1" in daily and "UTC calendar day" in daily


def test_rows_are_counted_and_narrowed_down_by_links(pages: app.Pages) -> None:
    """Without any script: what v_daily can be counted by are links, and following one gives its rows alone."""
    (daily,) = _get(pages, "/store/v_daily")
    link = next(each for each in re.findall(r'href="([^"]+)"', daily.text) if "source=board" in each)
    (board, also) = _get(pages, html.unescape(link).removeprefix("http://localhost"), "/store/v_daily?_facet=model")
    assert "15 rows" in _words(board)
    assert "old@0" in also.text and "_facet=sufficient" in also.text


def test_a_post_is_text_in_every_cell(pages: app.Pages) -> None:
    """Markup in a post's words is shown as it was written, and an address that is none is no link."""
    for answer in _get(pages, "/store/posts/40", "/store/v_posts?id=40", "/store?sql=select+text,url+from+posts+where+id=40"):
        assert html.escape(HOSTILE, quote=False) in answer.text and "<script" not in answer.text
        assert 'href="javascript' not in answer.text


def test_a_query_cannot_run_without_end_or_write(pages: app.Pages) -> None:
    """One that takes too long ends with a sentence, one that would write with a reason; neither with markup of Datasette's."""
    endless = "/store?sql=with recursive c(n) as (select 1 union all select n%2B1 from c) select count(*) from c&_timelimit=20"
    long, wrong = _get(pages, endless, "/store?sql=delete from posts")
    assert long.status_code == 400 and "took too long" in long.text
    assert wrong.status_code == 400 and "must be a SELECT" in wrong.text
    assert not INLINE.search(long.text + wrong.text)


_NAMES = {"format": "json", "database": "store", "table": "v_daily", "pks": "1", "path": "app.css", "rest": ""}


def _sample(pattern: str) -> set[str]:
    """Addresses that a route of Datasette answers: with each optional part and without."""
    named = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", lambda match: _NAMES.get(match[1], "x"), pattern.removesuffix("$"))
    found = {re.sub(r"\((.*?)\)\?", part, named).replace("\\", "") for part in ("", r"\1")}
    matching = {path for path in found if re.match(pattern, path)}
    assert matching, pattern
    return matching


def _theirs(pages: app.Pages) -> set[str]:
    """Addresses of every route but ours and files."""
    ours = len(pages.ours) + 1
    return {path for pattern, _ in pages._routes()[ours:] for path in _sample(pattern.pattern) if not path.startswith("/static/")}


def test_one_address_cannot_ask_for_everything(pages: app.Pages, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither thousands of facets, each a query, nor a value of any length; and a query that fails is not written to the terminal."""
    many, long, wrong = _get(
        pages, "/store/v_posts?" + "&".join(["_facet=text"] * 60), "/store.json?sql=select+hex(zeroblob(1000000))",
        "/store.json?sql=select+'somebody'+from+nowhere",
    )  # fmt: skip
    assert many.status_code == 400 and "50 parameters" in many.text
    assert long.status_code == 400 and len(long.content) < 1000
    assert wrong.status_code == 400 and "somebody" not in "".join(capfd.readouterr())


def test_on_a_network_no_table_and_no_sql_is_there(elsewhere: app.Pages) -> None:
    """Of every route that Datasette has, none answers but ours: no table, row, JSON, CSV, SQL, file, or list of what there is."""
    paths = sorted(_theirs(elsewhere) - {"/"})
    assert {"/store", "/store.json", "/store/v_daily", "/store/v_daily/1", "/store.db", "/-/metadata.json", "/.json"} <= set(paths)
    paths += [
        "/store/v_daily.csv",
        "/store.csv?sql=select+1",
        "/store.json?sql=select+1",
        "/_memory?sql=select+1",
        "/_internal",
        "/store/posts/1.json",
    ]
    paths += ["/store/posts_of_a_day.json", "/%73tore/v_daily", "//store/v_daily", "/static/../store/v_daily.json", "/static/%2e%2e/app.py"]
    for path, answer in zip(paths, _get(elsewhere, *paths), strict=True):
        assert answer.status_code == 404, path
        assert "My words" not in answer.text and MODEL not in answer.text and "v_posts" not in answer.text
    assert not elsewhere.databases.keys() & {"store", "_memory"}
    assert "/store" not in _get(elsewhere, "/")[0].text


def test_datasettes_pages_about_itself_are_closed(pages: app.Pages) -> None:
    """On loopback too: no page of settings, permissions, plugins, messages or tokens, no other database, no download of the store."""
    paths = sorted(path for path in _theirs(pages) if path != "/" and not path.startswith("/store") and path != "/favicon.ico")
    paths += ["/store.db", "/_memory", "/_memory?sql=select+1", "/_internal", "/-/auth-token?token=x", "/-/settings.json?x=1"]
    assert {"/-/permissions", "/-/allow-debug", "/-/messages", "/-/patterns", "/-/threads.json", "/-/actor.json", "/-/logout"} <= set(paths)
    paths += ["//evil.example/", "/\\evil.example/", "//evil.example/%2e"]
    for path, answer in zip(paths, _get(pages, *paths), strict=True):
        assert answer.status_code in (400, 404) and "location" not in answer.headers, path


def test_json_and_csv_have_every_digit(pages: app.Pages) -> None:
    """A page rounds; what other programs read is the store's own figure."""
    cell = next(cell for cell in published.cells() if cell.source == "*")
    where = f"day={cell.day}&source=*&model={cell.model}"
    page, as_json, as_csv = _get(pages, *(f"/store/v_daily{kind}?{where}" for kind in ("", ".json", ".csv")))
    assert f"{cell.mean:.3f}" in page.text and repr(cell.mean) not in page.text
    assert repr(cell.mean) in as_json.text and repr(cell.mean) in as_csv.text
