"""The pages of alerts, sources and the figures: what they say of a real store, and what the operator does there."""

from __future__ import annotations

import contextlib
import datetime as dt
import html
import re
from collections.abc import Iterator

import httpx
import pytest
from browsing import Site, csrf, serving

from monitor import clock
from monitor.conditions import false_alarms
from monitor.config import Config, Rule, Source, Team, Terms
from monitor.records import ALL, Post
from monitor.sentiment.card import WEIGHTS, card
from monitor.store import Counts, Step, Store
from monitor.web.about import rendered
from monitor.web.sources import strip

NOW = dt.datetime(2025, 1, 24, 12, tzinfo=dt.UTC)
TERMS = Terms(read_on=dt.date(2025, 1, 2), by="R. Eader", allows="reading <b>by</b> programs")
HOSTILE = '<script>alert("x")</script> \u202egnp'

CONFIG = Config(
    contact="who@example.org",
    teams=(Team(id="meta", name="Meta"), Team(id="openai", name="OpenAI")),
    rules=(Rule.model_validate({"id": "fall", "type": "drop"}), Rule.model_validate({"id": "many", "type": "spike"})),
    sources=(
        Source(name="forum", type="feed", terms=TERMS),
        Source(name="walled", type="feed", terms=TERMS),
        Source(name="sleeping", type="feed", enabled=False),
    ),
)


def day(n: int) -> dt.date:
    return NOW.date() - dt.timedelta(days=n)


def step(rule: str, team: str, state: str, on: dt.date, reason: str, *, source: str = ALL, **more: object) -> Step:
    event = (
        {"pending": "normal", "firing": "pending", "recovering": "firing", "resolved": "firing"}[state], state, on, reason,
    )  # fmt: skip
    kind = {"fall": "drop", "many": "spike"}.get(rule, "stopped")
    return Step(rule, kind, team, source, "m@1", state, on, on, 0, event, **more)  # type: ignore[arg-type]


FIGURES = {"value": -0.31, "before": 0.22, "threshold": 0.25, "low": -0.49, "high": -0.13, "authors": 23, "posts": 41}


def fill(store: Store) -> None:
    at = NOW - dt.timedelta(days=1)
    posts = [
        Post("forum", f"{n}", url, f"{HOSTILE} mail a@b.example", at, at, author_key=str(n))
        for n, url in enumerate(("https://forum.example/1", "javascript:alert(1)"))
    ]
    store.save_posts(posts)
    ids = [row[0] for row in store.rows("SELECT id FROM posts ORDER BY id")]
    targets = ["console", "mail"]
    for n in range(30, 5, -1):  # 25 that are over
        for state in ("firing", "resolved"):
            store.save_steps([step("many", "openai", state, day(n), f"spoken of on {n}")], targets=[], at=at)
    begun = step("fall", "meta", "firing", day(2), "Sentiment fell.", figures=FIGURES, evidence=ids, why="A thread.", severity="page")
    store.save_steps([begun], targets=targets, at=at)
    sent, failed = store.due(at)
    for due, sent_at in ((sent, at), (failed, None)):
        store.begin_delivery(due.id)
        store.end_delivery(due.id, sent_at=sent_at, error="secret.example refused")
    part = step("many", "meta", "firing", day(1), HOSTILE, untold="A part of the alert fall.", part_of=("fall", "meta", ALL))
    store.save_steps([part], targets=targets, at=at)
    stopped = step("source-stopped", ALL, "firing", day(1), "The crawl was banned.", source="walled")
    store.save_steps([stopped], targets=targets, at=at)
    store.save_steps([step("fall", "openai", "pending", day(0), "It falls.", source="forum")], targets=[], at=at)
    broken = Step("many", "spike", "meta", "forum", "m@1", "normal", day(1), day(1), 0, health="error", health_reason="The rule fails.")
    store.save_steps([broken], targets=[], at=at)
    for source, reason in (("forum", "finished"), ("walled", "banned")):
        crawl = store.begin_crawl(source, at)
        span = (at - dt.timedelta(days=9), at) if reason == "finished" else None
        store.end_crawl(crawl, at, finish_reason=reason, counts=Counts(), covered=span, message="a wall" if reason == "banned" else "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("web") / "monitor.db"
    with pytest.MonkeyPatch.context() as patch, Store(path) as store:
        patch.setattr(clock, "now", lambda: NOW)
        fill(store)
        with serving(CONFIG.model_copy(update={"database": path})) as found:
            yield found


@pytest.fixture(scope="module")
def reader(site: Site) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


def words(page: str) -> str:
    """What a person reads of a page."""
    text = re.sub(r"<(style|title|option)[^>]*>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


def article(page: str, name: str) -> str:
    found = re.search(rf'<article [^>]*id="{name}".*?</article>', page, re.DOTALL)
    assert found
    return found[0]


# ---- alerts ------------------------------------------------------------------------------------------------------------


def test_what_stands_now(reader: httpx.Client) -> None:
    """What fires and what is about to, with the reason; and what cannot be judged, with why."""
    now = words(reader.get("/alerts").text.partition('id="silences"')[0])
    for said in (
        "firing Meta fall 22 Jan 2025 Sentiment fell.",
        "firing walled source-stopped 23 Jan 2025",
        "pending OpenAI forum fall 24 Jan",
    ):
        assert said in now
    assert "1 series cannot be judged, since its rule fails Meta forum · many · The rule fails." in now
    assert "OpenAI many" not in now


def test_an_alert_that_was_told_with_another_has_its_messages(fresh_store: Store) -> None:
    """Of sources that stop in one round one message tells; it stands at each of their alerts, not at the first alone."""
    both = [step("source-stopped", ALL, "firing", day(1), "The crawl was banned.", source=name) for name in ("forum", "walled")]
    fresh_store.save_steps(both, targets=["mail"], at=NOW)
    one = {"target": "mail", "state": "due", "messages": 1}
    assert fresh_store.messages_on([1, 2]) == {1: [{"alert_id": 1, **one}], 2: [{"alert_id": 2, **one}]}


def test_an_alert_and_whom_it_reached(reader: httpx.Client) -> None:
    """Its figures with n and interval, how long it lasts, its posts, and its messages; not why one failed, which may name people."""
    page = reader.get("/alerts").text
    shown = words(article(page, "alert-26"))
    for said in (
        "22 Jan 2025 · 3 days so far · severity page", "Value −0.31", "Before +0.22", "95 % interval −0.49 to −0.13", "People 23",
        "Posts 41", "Sentiment fell. A thread.", "2 posts that show it", "1 message sent (console)", "1 message given up",
    ):  # fmt: skip
        assert said in shown, said
    assert "secret.example" not in page
    assert "Told to nobody: A part of the alert fall." in words(article(page, "alert-27"))
    assert 'href="/alerts?from=26#alert-26"' in article(page, "alert-27")
    assert "20 Jan 2025 – 20 Jan 2025 · 1 day" not in page


def test_posts_are_quoted_and_never_markup(reader: httpx.Client) -> None:
    """A hostile post or reason is text; only an address of the web is a link; people in it are masked."""
    page = reader.get("/alerts").text
    shown = article(page, "alert-26")
    assert 'href="https://forum.example/1" rel="noreferrer nofollow"' in shown and "javascript:" not in page and "a@b.example" not in page
    assert "<script" not in page and "&lt;script&gt;" in shown and "\u202e" not in shown


def test_history_is_paged_and_filtered(reader: httpx.Client) -> None:
    """Newest first, each alert once over the pages, whatever the filter; an alert's own address shows it first."""
    seen, address = [], "/alerts"
    while address:
        page = reader.get(address).text
        seen.append([int(number) for number in re.findall(r'<article [^>]*id="alert-(\d+)"', page)])
        older = re.search(r'href="(/alerts\?[^"#]*)#history" rel="next"', page)
        address = html.unescape(older[1]) if older else ""
    assert [len(page) for page in seen] == [20, 8] and [number for page in seen for number in page] == list(range(28, 0, -1))
    for query, expected in (
        ("team=meta", [27, 26]), ("rule=source-stopped", [28]), ("source=walled", [28]),
        ("stage=firing&team=meta&rule=fall", [26]),
        ("stage=resolved&from=3", [3, 2, 1]), ("from=26&team=meta", [26]), ("team=nobody", []),
        ("team=' OR 1=1 --", []), ("from=x&stage=x", []),
    ):  # fmt: skip
        found = re.findall(r'<article [^>]*id="alert-(\d+)"', reader.get(f"/alerts?{query}").text)
        assert [int(number) for number in found] == expected, query
    page = reader.get("/alerts?team=openai").text
    assert "team=openai" in page.partition('rel="next"')[0].rpartition("<a href")[2] and "team=openai&amp;lang=fr" in page


def test_the_operator_silences_and_ends_that(site: Site, reader: httpx.Client) -> None:
    """By the same rules as the command: what is named must be known, with a span and a reason; a mistake keeps what was written."""
    with contextlib.closing(site.operator()) as client:
        form = {"csrftoken": csrf(client, "/alerts"), "team": "meta", "rule": "", "source": "", "for": "2h", "reason": f"Known {HOSTILE}"}
        for wrong, said in (
            ({"for": "soon"}, "write a duration"), ({"reason": " "}, "give a reason"), ({"team": "nobody"}, "there is no team"),
            ({"team": ""}, "name what is silenced"), ({"for": "9999d"}, "at most a year"),
        ):  # fmt: skip
            answer = client.post("/alerts/silence", data={**form, **wrong})
            assert answer.status_code == 400 and said in answer.text and "<script" not in answer.text
            assert wrong.get("reason") or "Known &lt;script" in answer.text
        answer = client.post("/alerts/silence", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/alerts#silences")
        shown = reader.get("/alerts").text.partition('id="silences"')[2].partition('id="history"')[0]
        assert "Meta 24 Jan 2025 14:00 UTC Known <script>" in words(shown) and "<script" not in shown and "End it now" not in shown
        number = re.search(r'name="id" value="(\d+)"', client.get("/alerts").text)
        assert number
        assert client.post("/alerts/silence/end", data={"csrftoken": form["csrftoken"], "id": "77"}).status_code == 400
        assert client.post("/alerts/silence/end", data={"csrftoken": form["csrftoken"], "id": number[1]}).status_code == 303
        assert "Nothing is silenced." in client.get("/alerts").text
        assert client.get("/alerts/silence").status_code == 303


# ---- sources -----------------------------------------------------------------------------------------------------------


def test_what_is_known_of_each_source(reader: httpx.Client) -> None:
    """Terms and their reader, the last crawl, coverage, the next one; what went wrong and what to do; those that are off last, as off."""
    page = reader.get("/sources").text
    assert re.findall(r'<article [^>]*id="([^"]+)"', page) == ["forum", "walled", "sleeping"]
    fine, walled, off = (words(article(page, name)) for name in ("forum", "walled", "sleeping"))
    assert "86% of the days were read whole" in fine and "23 Jan 2025 12:00 UTC · finished" in fine and "What to do" not in fine
    assert "reading <b>by</b> programs (read on 2 Jan 2025 by R. Eader)" in fine and "<b>by" not in page
    assert 'aria-label="Of the last 28 days 10 were read whole and 0 were not."' in article(page, "forum")
    assert all(said in walled for said in ("cannot be read", "banned", "a wall", "The crawl was banned.", "never worked around"))
    assert all(said in off for said in ("off", "Last crawl never", "Next none", "nobody has read them", "sources.sleeping.terms"))


def test_a_strip_of_days() -> None:
    """A day is read whole, missed, not over yet, or before the source's first."""
    days = [day(n) for n in (4, 3, 2, 1, 0)]
    assert [cell for _, cell in strip(days, {day(2)}, day(3))] == ["before", "missed", "read", "missed", "open"]
    assert {cell for _, cell in strip(days, set(), None)} == {"before"}


# ---- about the figures -------------------------------------------------------------------------------------------------


def test_about_the_figures(site: Site, reader: httpx.Client) -> None:
    """Measured false alarms of the rules in use; the least number of people; whom to ask; of a model without a card its name alone."""
    page = reader.get("/about").text
    said = words(page)
    for rule in CONFIG.rules:
        assert f"{rule.id} {rule.type} {rule.min_authors} {rule.for_} {round(false_alarms(rule), 2):g}" in said
    assert "fewer than 5 people spoke" in said and 'href="mailto:who@example.org"' in page and "No post has been scored yet." in said
    with Store(site.pages.config.database) as store:
        store.set_fact("model", "other@1")
    page = reader.get("/about").text
    assert "<code>other@1</code>" in page and 'class="card"' not in page


def test_the_card_is_of_the_very_model(site: Site, reader: httpx.Client) -> None:
    """The embedded model's card stands under its own name and revision, also where another takes turns with it, and for nothing else."""
    revision = re.search(r'"revision": "(\w+)"', (WEIGHTS / "confusion.json").read_text("utf-8"))
    assert revision
    name = f"embedded@{revision[1]}"
    assert card(name) and card(f"{name}+big@2<0.6") and not any(map(card, ("embedded@older", "", "big@2", f"big@2+{name}")))
    with Store(site.pages.config.database) as store:
        store.set_fact("model", name)
    page = reader.get("/about").text
    assert "<h3>The embedded sentiment model</h3>" in page and "<th>macro-F1</th>" in page and "style=" not in page


def test_a_card_is_text_and_tables() -> None:
    """HTML and script addresses in one stay words."""
    shown = rendered('# A <script>x</script>\n\n[a](javascript:x) <b onclick="y">\n\n| a |\n|:--|\n| 1 |\n')
    assert "<script" not in shown and "<b " not in shown and 'href="javascript' not in shown and "style" not in shown
    assert shown.startswith("<h3>")
