"""Pages and commands over days whose posts lie in an archive: what stands there beside what the store holds itself."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import yaml

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from archived import archived
from click.testing import CliRunner, Result
from test_web_team import MODEL, NEGATIVE, NEUTRAL, POSITIVE, TODAY, TOKEN, asked, said, stored, words

from monitor import clock, show
from monitor.archive import behind
from monitor.archive.fold import fold
from monitor.cli import main
from monitor.config import Config, load
from monitor.store import Store, Wanted
from monitor.trend import trend
from monitor.web import app
from monitor.web.routes import ROUTES

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

OLD = range(100, 124)
"""The numbers of posts that an archive holds, of the three days to 4 January 2025."""

LIVE = range(6)
"""Those of posts that were crawled, on the day of the newest."""

Get = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A store of six posts of its own and the figures of an archive, which keeps words of a few posts alone."""
    folder = tmp_path_factory.mktemp("site")
    teams = [{"id": name, "name": name.title()} for name in ("alpha", "beta")]
    (folder / "config.yaml").write_text(yaml.safe_dump({"database": "monitor.db", "teams": teams}), "utf-8")
    old = [
        said(n, f"Alpha fails as it did before, says {n}", (NEGATIVE, NEUTRAL, POSITIVE)[n % 3], days_ago=20 + n % 3,
             source="board" if n % 4 == 0 else "forum", language="fr" if n % 6 == 0 else "en", author=f"who-{n}")
        for n in OLD
    ]  # fmt: skip
    live = [said(n, f"Alpha wins today, says {n}", POSITIVE) for n in LIVE]
    with Store(folder / "whole.db") as whole:
        stored(whole, old)
        root = archived(whole, folder / "archive", "years")
    with Store(folder / "monitor.db") as store:
        stored(store, live)
        fold(store, root, "years", min_authors=5, now=TODAY)
        trend(store, min_authors=5)
    return load(folder / "config.yaml")[0]


@pytest.fixture(scope="module")
def get(config: Config) -> Iterator[Get]:
    """Read an address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(clock.REPLAY, TODAY.isoformat())
        pages = app.application(config, app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), TOKEN), ROUTES)
        yield lambda path: asked(pages, lambda client: client.get(path))


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with Store(config.database, read_only=True) as found:
        yield found


def listed(page: httpx.Response) -> list[int]:
    """The numbers of the posts on a page, by their links."""
    return [int(number) for number in re.findall(r'href="https://x\.org/(\d+)"', page.text.partition('<ol class="posts">')[2])]


def newest_first(numbers: Any) -> list[int]:
    return sorted(numbers, key=lambda n: (20 + n % 3 if n >= OLD[0] else 0, n))


def test_posts_of_an_archive_stand_beside_the_stores(get: Get) -> None:
    """Newest first, each once, with link, time, source, label and value; words of the few that the store has, and of others that they are
    not kept."""
    first = get("/team/alpha")
    further = re.search(r'href="(\?[^"]*before=[^"]+)#posts" rel="next"', first.text)
    assert further
    second = get(f"/team/alpha{further[1].replace('&amp;', '&')}")
    assert listed(first) + listed(second) == newest_first([*LIVE, *OLD])
    told = words(get("/team/alpha?to=2025-01-04"))
    assert re.search(r"4 Jan 2025 10:18 UTC · forum · (archive years|#\d+) · negative −0\.70 · at its source", told)
    assert 0 < told.count("as it did before, says") < len(OLD)
    assert told.count("archive years") == told.count("Its words are not kept.") == len(OLD) - told.count("as it did before, says")


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("label=neutral", lambda n: n in OLD and n % 3 == 1),
        ("source=board", lambda n: n in OLD and n % 4 == 0),
        ("language=fr", lambda n: n in OLD and n % 6 == 0),
        ("from=2025-01-03&to=2025-01-03", lambda n: n in OLD and n % 3 == 1),
        ("from=2025-01-20", lambda n: n in LIVE),
    ],
)
def test_filters_hold_for_archives(get: Get, query: str, chosen: Callable[[int], bool]) -> None:
    """Day, label, source and language leave the same posts of an archive as of the store."""
    assert listed(get(f"/team/alpha?{query}")) == newest_first(n for n in (*LIVE, *OLD) if chosen(n))


def test_words_are_sought_where_they_are_kept(get: Get) -> None:
    """A search finds the posts that the store has with words, and says that the archive's others cannot be found."""
    page = get("/team/alpha?words=before")
    assert 0 < len(listed(page)) < len(OLD)
    assert "The archive years keeps no words, so its posts are not found by them." in words(page)


@pytest.mark.parametrize("looking", [-1.0, 60.0])
@pytest.mark.parametrize("wanted", [Wanted(), Wanted(source="board")])
def test_paging_leads_through_every_post_once(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, looking: float
) -> None:
    """However little is looked through for a page, going on from each shows all posts, newest first, each once."""
    monkeypatch.setattr(behind, "_FIRST_DAYS", 1)
    haste = behind.Haste(looking, 60.0)
    whole = [row["url"] for row in behind.team_posts(store, config, "alpha", wanted, limit=1000).posts]
    page = behind.team_posts(store, config, "alpha", wanted, limit=4, haste=haste)
    found = [row["url"] for row in page.posts]
    while page.further:
        page = behind.team_posts(store, config, "alpha", wanted, before=page.further, limit=4, haste=haste)
        found += [row["url"] for row in page.posts]
    assert found == whole and len(whole) > 3


def test_an_archive_that_is_not_there_is_named(get: Get, config: Config) -> None:
    """Where the archive cannot be reached a sentence says so, in the reader's language too, and the store's posts and figures are shown."""
    folder = config.database.parent
    (folder / "archive").rename(folder / "away")
    try:
        page = get("/team/alpha?to=2025-01-24")
        assert page.status_code == 200 and set(LIVE) < set(listed(page))
        assert "The archive years cannot be read now: its posts are missing here" in words(page)
        assert "L’archive years ne peut pas être lue en ce moment" in words(get("/team/alpha?lang=fr"))
    finally:
        (folder / "away").rename(folder / "archive")
    assert "cannot be read" not in words(get("/team/alpha?lang=en"))


def test_what_may_hold_forgotten_posts_is_not_read(config: Config, store: Store) -> None:
    """While an archive may still hold what was forgotten, its posts are left out of pages, and it is said which archive that is."""
    with Store(config.database) as writing, writing.writing() as connection:
        connection.execute("UPDATE archives SET unclean = 1")
    page = behind.team_posts(store, config, "alpha", Wanted(), limit=100)
    with Store(config.database) as writing, writing.writing() as connection:
        connection.execute("UPDATE archives SET unclean = 0")
    assert len(page.posts) < len(OLD) and "may still hold what was forgotten" in page.unread["years"]


@pytest.mark.parametrize(
    "before", ["20250104T100000Z.0.1", "2025-01-04T10:00:00Z.1.2.3", "x.1", ".", "0001-01-01T00:00:00+23:00.1", "2025-01-04T10:00:00Z.-1"]
)
def test_a_place_that_is_none_is_the_beginning(get: Get, before: str) -> None:
    """An address that was made up leads to the newest posts, never to an error."""
    assert listed(get(f"/team/alpha?before={before}")) == listed(get("/team/alpha"))


def test_what_moved_an_archived_day_is_told_plainly(get: Get) -> None:
    """Of a day in an archive the posts that show it are there, and that nothing else is told; of days far from it all is as ever."""
    told = words(get("/team/alpha/why?day=2025-01-03"))
    assert "are in an archive: what moved the figure is not told of them" in told and "Posts that show it" in told
    assert "in an archive" not in words(get("/team/alpha"))


def test_several_archived_days_have_a_figure_together(config: Config, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standing on days of an archive, a week's figure is made of its posts; where it cannot be read, that is said and nothing made up."""
    monkeypatch.setenv(clock.REPLAY, "2025-01-05T12:00:00+00:00")
    pages = app.application(config, app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), TOKEN), ROUTES)

    def told() -> list[str]:
        paths = ("/", "/team/alpha", "/compare?team=alpha&team=beta")
        return [words(asked(pages, lambda client, path=path: client.get(path))) for path in paths]

    assert not any("in an archive that cannot be read" in page for page in told())
    [alpha, _] = show.overview(store, config, dt.date(2025, 1, 4))
    assert not alpha["week_archived"] and alpha["week_posts"] == len(OLD) and alpha["week_mean"] is not None
    place = config.database.parent / "archive"
    place.rename(place.with_name("away"))
    try:
        for page in told():
            assert "Posts of some of these days are in an archive that cannot be read: each day has its figures" in page
            assert re.search(r"(Alpha|Seven days –) in an archive", page) and "Alpha insufficient data" not in page
        [alpha, _] = show.overview(store, config, dt.date(2025, 1, 4))
        assert alpha["week_archived"] and alpha["week_mean"] is None and alpha["today_mean"] is not None
    finally:
        place.with_name("away").rename(place)


def test_archives_are_listed(get: Get) -> None:
    """The page of sources says which archives there are: their days, posts, model, and whether they keep words; the one about figures that
    they have a part."""
    told = words(get("/sources"))
    assert f"years (board, forum) · 2 Jan 2025 to 4 Jan 2025 · {len(OLD)} posts that name a team · words are not kept · {MODEL}" in told
    assert "1 archive of older posts has a part in these figures" in words(get("/about"))


# ---- the command line ------------------------------------------------------------------------------------------------


def test_posts_and_queries_in_the_terminal(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """`posts` has those of archives in every form, `query --archive` asks them in SQL, and without DuckDB it is said what to install."""
    monkeypatch.setenv(clock.REPLAY, TODAY.isoformat())

    def run(*given: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(config.path), *given])

    found = json.loads(run("posts", "alpha", "--days", "60", "--json").stdout)
    assert [int(row["url"].rpartition("/")[2]) for row in found] == newest_first([*LIVE, *OLD])
    assert len({tuple(row) for row in found}) == 1 and {row["archive"] for row in found} == {None, "years"}
    assert run("query", "--archive", "SELECT label, count(*) AS n FROM posts WHERE day = '2025-01-03' GROUP BY ALL", "--csv").stdout == (
        "label,n\nneutral,8\n"
    )
    assert "Posts of 3 of these days, 2025-01-02 to 2025-01-04, are in an archive" in run("show", "alpha").stdout
    assert "figures" in run("query", "--tables", "--at", str(config.database.parent / "archive")).stdout
    assert "--limit gives more" in run("query", "--archive", "FROM posts", "--limit", "3").stderr
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "monitor.archive.reading")
    done = run("query", "--archive", "FROM posts")
    assert done.exit_code == 2 and "pip install 'employee-forum-monitor[archive]'" in done.stderr
    done = run("posts", "alpha", "--days", "60")
    assert done.exit_code == 0 and "left out: archives are read by" in done.stderr and "Alpha wins today" in done.stdout
