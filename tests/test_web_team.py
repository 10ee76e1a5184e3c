"""The pages of a team and of teams beside each other: what a reader sees there, and the correction that an operator makes."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import html
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitor import clock
from monitor.config import load
from monitor.records import Mention, Post, Score
from monitor.store import Reading, Store, Wanted, queries
from monitor.trend import trend
from monitor.web import app
from monitor.web.charting import BUNDLE
from monitor.web.routes import ROUTES

TODAY = dt.datetime(2025, 1, 24, 12, tzinfo=dt.UTC)
TOKEN = "the-operators-own-token"
MODEL = "m@1"
NEGATIVE, NEUTRAL, POSITIVE = Score(MODEL, 0.8, 0.1, 0.1), Score(MODEL, 0.1, 0.8, 0.1), Score(MODEL, 0.1, 0.1, 0.8)
HOSTILE = [
    ("<script>document.title='taken'</script> Alpha is a mess", "javascript:alert(1)"),
    ('<img src=x onerror="alert(1)"> Alpha is a mess', "data:text/html,<script>alert(1)</script>"),
    ("<svg/onload=alert(1)><style>body{display:none}</style> Alpha </div></li></ol>", 'https://x.org/"onmouseover="alert(1)'),
    ("Alpha \u202egnihton\u202c \u2066is\u2069 {{ 7*7 }} {% raw %}", "https://x.org/bidi\u202e"),
]


def said(number: int, text: str, score: Score, *, team: str = "alpha", source: str = "forum", language: str = "en", days_ago: int = 0,
         url: str | None = None, author: str | None = None, title: str | None = None) -> tuple[Post, str, Score]:  # fmt: skip
    """A post and what the model makes of it toward a team."""
    at = TODAY - dt.timedelta(days=days_ago, minutes=number)
    url = url or f"https://x.org/{number}"
    post = Post(
        source, str(number), url, text, at, at, thread_id=f"t{number}", title=title, author_key=author or f"a{number}", language=language
    )
    return post, team, score


def stored(store: Store, posts: list[tuple[Post, str, Score]]) -> None:
    """Put posts into the store, read by the model and counted."""
    store.save_posts([post for post, _, _ in posts])
    store.read_by("reader", MODEL)
    of = {post.native_id: (post, team, score) for post, team, score in posts}
    names = {row["id"]: row["native_id"] for row in store.rows("SELECT id, native_id FROM posts")}
    readings = []
    for unread in store.unread(1000):
        post, team, score = of[names[unread.id]]
        readings.append(Reading(unread.id, unread.text_hash, post.language, [Mention(team, 0, 5)], {team: (unread.text_hash, score)}))
    store.save_readings(readings, model=MODEL, at=TODAY)
    trend(store, min_authors=5)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three teams: alpha rather badly spoken of, beta well, gamma by two people only."""
    folder = tmp_path_factory.mktemp("site")
    teams = [{"id": name, "name": name.title()} for name in ("alpha", "beta", "gamma", "delta")]
    (folder / "config.yaml").write_text(yaml.safe_dump({"database": "monitor.db", "teams": teams}), "utf-8")
    posts = [said(n, f"Alpha fails, says {n}", NEGATIVE, days_ago=n % 3) for n in range(12)]
    posts += [said(20 + n, f"Alpha échoue, dit {n}", NEUTRAL, source="board", language="fr") for n in range(7)]
    posts += [said(30 + n, f"Alpha wins, says {n}", POSITIVE, source="small") for n in range(2)]
    posts += [said(40 + n, f"Beta wins, says {n}", POSITIVE, team="beta", days_ago=n % 2) for n in range(9)]
    posts += [said(60 + n, f"Gamma, says {n}", NEGATIVE, team="gamma") for n in range(2)]
    posts += [
        said(70 + n, text, NEGATIVE, url=url, author="hostile", title="<b>title</b>", days_ago=20) for n, (text, url) in enumerate(HOSTILE)
    ]
    with Store(folder / "monitor.db") as store:
        stored(store, posts)
        with store.writing() as connection:  # as a store from before such characters were left out would hold them
            connection.execute("UPDATE posts SET text = replace(text, 'gnihton', ?) WHERE text LIKE '%gnihton%'", ("\u202egnihton\u202c",))
    return folder / "config.yaml"


@pytest.fixture(scope="module")
def pages(config: Path) -> Iterator[app.Pages]:
    """The application over that store, on the day of the newest posts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(clock.REPLAY, TODAY.isoformat())
        yield app.application(load(config)[0], app.Served("127.0.0.1", 8001, app.names("127.0.0.1"), TOKEN), ROUTES)


Visit = Callable[..., httpx.Response]


def asked(pages: app.Pages, visits: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    """What `visits` makes of a browser's connection to the pages."""

    async def run() -> Any:
        transport = httpx.ASGITransport(app=pages.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001", headers={"accept-language": "en"}) as client:
            return await visits(client)

    return asyncio.run(run())


@pytest.fixture
def get(pages: app.Pages) -> Visit:
    """Read an address."""
    return lambda path, **more: asked(pages, lambda client: client.get(path, **more))


def words(page: httpx.Response) -> str:
    """What stands on a page, without its markup."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page.text)).split())


def numbers(page: httpx.Response) -> list[int]:
    """The numbers that posts on a page were said with."""
    return [int(number) for number in re.findall(r"(?:says|dit) (\d+)", words(page).partition("Words Filter")[2])]


def test_a_team_has_its_figure_with_interval_people_and_coverage(get: Visit) -> None:
    """The seven days' mean stands with its 95 % interval, people and posts, and what is known of coverage."""
    page = get("/team/alpha")
    assert page.status_code == 200
    told = words(page)
    assert re.search(r"Seven days −0\.\d\d 95 % interval −0\.\d\d to [−+]0\.\d\d", told)
    assert "People 21 21 posts, 66% of all voices" in told
    assert "unknown: nothing was crawled" in told


def test_too_few_people_have_no_figure(get: Visit) -> None:
    """Of a team that two people spoke of no mean is on the page: that is said in words."""
    told = words(get("/team/gamma"))
    assert "Seven days insufficient data fewer than 5 people" in told
    assert not re.search(r"[−+]0\.\d\d", told.partition("Posts From")[0])


def test_a_part_that_could_be_computed_from_the_others_is_withheld(get: Visit) -> None:
    """Two people speak in `small`: its figure is withheld, and with it that of the next smallest source, by which it could be computed."""
    told = words(get("/team/alpha")).partition("By source")[2].partition("By language")[0]
    assert re.search(r"forum −0\.70 .*board insufficient data 7 small insufficient data 2", told)


def test_an_unknown_team_is_not_found(get: Visit) -> None:
    """A team that config.yaml does not name is answered by 404 and a sentence, its name as text."""
    page = get("/team/nobody")
    assert page.status_code == 404 and "There is no team" in words(page)
    assert get("/chart/team/nobody.json").status_code == 404


# ---- posts ---------------------------------------------------------------------------------------------------------


def test_a_page_is_in_french_and_says_what_is_not(get: Visit) -> None:
    """Asked for French, words, languages, labels and a sentence about what went wrong are French, and not marked as anything else."""
    page = get("/team/alpha?lang=fr")
    told = words(page)
    assert '<html lang="fr">' in page.text and "Sept jours" in told and "anglais" in told and "négatif" in told
    assert "Insufficient" not in told and "insufficient" not in told
    wrong = get("/team/nobody?lang=fr").text
    assert "Il n’y a pas d’équipe «\xa0nobody\xa0»" in wrong and 'class="notice" lang="en"' not in wrong


def test_hostile_posts_are_text(get: Visit) -> None:
    """Markup in posts and titles is shown as written, never as markup; templates in it are not filled in."""
    page = get("/team/alpha?to=2025-01-10")
    for text, _ in HOSTILE[:3]:
        assert html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page.text
    assert "{{ 7*7 }}" in page.text and "&lt;b&gt;title&lt;/b&gt;" in page.text
    listed = page.text.partition('<ol class="posts">')[2].partition("</ol>")[0]
    assert not re.search(r"<(script|img|svg|style|b)\b", listed)
    assert listed.count("<li ") == 4


def test_only_addresses_of_the_web_are_links(get: Visit) -> None:
    """A javascript: or data: address is no link; what is one says no referrer, and cannot leave its quotes."""
    listed = get("/team/alpha?to=2025-01-10").text.partition('<ol class="posts">')[2].partition("</ol>")[0]
    links = re.findall(r"<a ([^>]*)>", listed)
    assert len(links) == 2
    assert all('rel="noopener noreferrer nofollow"' in link and 'href="https://x.org/' in link for link in links)
    assert "javascript:" not in listed and "onmouseover=&#34;" in listed


def test_the_direction_of_writing_stays_a_posts_own(get: Visit) -> None:
    """Characters that turn the writing around are left out, and each post has its language and a direction of its own."""
    page = get("/team/alpha?to=2025-01-10")
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.text)
    assert page.text.count('<div class="words" dir="auto" lang="en">') == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("label=neutral", set(range(7))),
        ("label=nonsense&words=fails", set(range(12))),
        ("source=small", {0, 1}),
        ("language=fr&words=echoue", set(range(7))),
        ("words=fails&from=2025-01-23&to=2025-01-23", {1, 4, 7, 10}),
        ("words=nobody-said-this", set()),
        ("from=not-a-day&words=wins", {0, 1}),
    ],
)
def test_posts_are_found_by_day_label_source_language_and_words(get: Visit, query: str, expected: set[int]) -> None:
    """Each filter leaves the posts that it names; what cannot be understood filters nothing."""
    assert set(numbers(get(f"/team/alpha?{query}"))) == expected


@pytest.mark.parametrize(
    "wanted", [Wanted(), Wanted(label="negative"), Wanted(words="says"), Wanted(dt.date(2025, 1, 23), dt.date(2025, 1, 23))]
)
def test_paging_leads_through_every_post_once(config: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted) -> None:
    """However few posts are looked through for a page, going on from each shows all that are wanted, newest first, each once."""
    with Store(config.with_name("monitor.db"), read_only=True) as store:
        whole = [row["id"] for row in store.team_posts("alpha", wanted, limit=1000)[0]]
        assert len(whole) > 3
        for examined in (1, 4, 20_000):
            monkeypatch.setattr(queries, "EXAMINED", examined)
            rows, further = store.team_posts("alpha", wanted, limit=3)
            found = [row["id"] for row in rows]
            while further:
                rows, further = store.team_posts("alpha", wanted, before=further, limit=3)
                found += [row["id"] for row in rows]
            assert found == whole


# ---- charts --------------------------------------------------------------------------------------------------------


def test_the_page_has_its_chart_from_here_alone(get: Visit) -> None:
    """The script, its data and the picture that stands without it are all our own addresses; the data has a row for every day."""
    page = get("/team/alpha")
    assert not re.search(r'(?:src|href|srcset)="(?:https?:)?//(?!x\.org)', page.text)
    told = get("/chart/team/alpha.json?days=28").json()
    days = next(rows for rows in told["spec"]["datasets"].values() if len(rows) == 28)
    means = {row["day"]: row["mean"] for row in days}
    assert means["2025-01-24"] is not None and means["2025-01-20"] is None, "a day on which nobody spoke is there, as a gap"
    assert [part["day"] for part in days] == sorted(means)


def test_a_chart_speaks_the_readers_language_and_wears_his_colours(get: Visit) -> None:
    """Numbers and months are those of the reader's language, and dark is dark."""
    assert get("/chart/team/alpha.json?lang=fr").json()["formatLocale"]["decimal"] == ","
    picture = get("/chart/team/alpha.svg?theme=dark")
    assert picture.headers["content-type"] == "image/svg+xml" and "#0f141a" in picture.text


@pytest.mark.real
def test_the_script_is_fetched_once(get: Visit) -> None:
    """The script that draws is gzipped, and kept by browsers for good, whatever cookies they send."""
    script = get(BUNDLE, headers={"cookie": "forum_monitor_language=en"})
    assert script.headers["content-encoding"] == "gzip" and "vegaEmbed" in script.text
    assert "immutable" in script.headers["cache-control"] and "private" not in script.headers["cache-control"]
    assert len(gzip.compress(script.content, 9)) < 320_000


# ---- teams beside each other ---------------------------------------------------------------------------------------


def test_two_teams_stand_beside_each_other(get: Visit) -> None:
    """The figures of both, how far they lie apart with an interval, and what that means."""
    told = words(get("/compare?team=alpha&team=beta"))
    assert re.search(r"Alpha less Beta: −\d\.\d\d \(−\d\.\d\d to −\d\.\d\d\)\. Beta is better spoken of\.", told)
    assert re.search(r"Beta \+0\.70 \+0\.\d\d to \+\d\.\d\d 0% 9 9 28%", told)
    assert "Alpha less Gamma: insufficient data" in words(get("/compare?team=alpha&team=gamma"))
    assert "Alpha less Beta" in words(get("/compare")), "the two most spoken of, where none is named"
    assert get("/compare?team=alpha&team=nobody").status_code == 404
    found = get("/chart/compare.json?team=alpha&team=beta").json()["spec"]["datasets"]
    assert {row["team"] for rows in found.values() for row in rows if "team" in row} == {"Alpha", "Beta"}


def test_what_moved_it_has_a_page(get: Visit) -> None:
    """The reasons for a day's figure are read without script; where too few spoke that is said."""
    assert "/team/alpha/why?day=2025-01-24" in get("/team/alpha").text
    assert "too few people spoke" in words(get("/team/gamma/why"))
    for day in ("2025-01-24", "0001-01-01", "yesterday"):
        assert get(f"/team/alpha/why?day={day}").status_code == 200


# ---- corrections ---------------------------------------------------------------------------------------------------


async def _signed_in(client: httpx.AsyncClient) -> str:
    """Sign in; returns the CSRF token of the pages' forms."""
    page = await client.get("/-/sign-in")
    token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
    assert token
    await client.post("/-/sign-in", data={"csrftoken": token[1], "token": TOKEN})
    return token[1]


def test_the_operator_corrects_a_post_and_takes_it_back(pages: app.Pages, config: Path) -> None:
    """The form on a post keeps its label and note, leads back with a message, and the post is marked; undo is the way back."""

    async def visit(client: httpx.AsyncClient) -> None:
        assert 'action="/-/correct"' not in (await client.get("/team/beta")).text, "no form for who has not signed in"
        token = await _signed_in(client)
        page = await client.get("/team/beta?label=positive")
        assert 'action="/-/correct"' in page.text
        number = re.findall(r'id="post-(\d+)"', page.text)[0]
        form = {"csrftoken": token, "post": number, "team": "beta", "back": "/team/beta?label=positive"}
        done = await client.post("/-/correct", data={**form, "label": "negative", "note": "<i>irony</i>"})
        assert (done.status_code, done.headers["location"]) == (302, f"/team/beta?label=positive#post-{number}")
        page = await client.get("/team/beta?label=negative")
        assert f"Post {number} counts as negative toward Beta, from the next trend on." in words(page)
        assert "corrected the model: positive +0.70" in words(page) and "&lt;i&gt;irony&lt;/i&gt;" in page.text
        for back in (
            "//evil.example",
            "/team/beta?\x01",
            "/team/b\u00e9ta",
            "/team/beta?a\r\nSet-Cookie: a=b",
            "https://evil.example/team/beta",
        ):
            done = await client.post("/-/correct", data={**form, "label": "negative", "back": back})
            assert done.headers["location"] == f"/#post-{number}", "it leads nowhere else"
        await client.post("/-/correct", data={**form, "undo": "1"})
        assert "as the model reads it" in words(await client.get("/team/beta"))
        done = await client.post("/-/correct", data={**form, "post": "999", "label": "negative"})
        assert "there is no post 999" in words(await client.get("/team/beta"))

    asked(pages, visit)
    with Store(config.with_name("monitor.db"), read_only=True) as store:
        assert store.corrections() == []


def test_nobody_else_corrects(pages: app.Pages, config: Path) -> None:
    """Without the sign-in, or from a page that is not ours, nothing is kept; and an address elsewhere is not gone back to."""

    async def visit(client: httpx.AsyncClient) -> None:
        form = {"post": "1", "team": "alpha", "label": "positive", "back": "//evil.example/"}
        assert (await client.post("/-/correct", data=form)).status_code == 403
        token = await _signed_in(client)
        assert (await client.post("/-/correct", data=form)).status_code == 403, "no token of ours in the form"
        assert (await client.post("/-/correct", data={**form, "csrftoken": token, "label": "awful"})).status_code == 400
        assert (await client.get("/-/correct")).status_code == 405
        done = await client.post("/-/correct", data={**form, "csrftoken": token, "undo": "1"})
        assert done.headers["location"] == "/#post-1"

    asked(pages, visit)
    with Store(config.with_name("monitor.db"), read_only=True) as store:
        assert store.corrections() == []
