"""A report can be sent on: it says what happened, asks for nothing, and holds only what may leave the store."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import published
import pytest
from click.testing import CliRunner, Result

from monitor import cli, report
from monitor.clock import REPLAY
from monitor.config import Config, load
from monitor.digest import Days
from monitor.leaving import WITHHELD
from monitor.records import ALL, Post, Score
from monitor.store import Counts, DigestOf, Reading, Step, Store
from monitor.trend import trend

MODEL = "m@1"
LAST = dt.date(2025, 1, 23)
NOW = dt.datetime(2025, 1, 27, 12, tzinfo=dt.UTC)
WEEK = DigestOf("week", LAST)

HOSTILE = "<script>alert(1)</script> write to ada@mail.example {{ 7*7 }} @ada"
PEOPLE = [7, 8, 6, 2, 9, 10, 9] * 2
"""Who speaks of Meta, from the 10th on; on the fourth day of a week too few, so another day has to go with it."""

CONFIG = """
database: monitor.db
privacy: {min_authors: 5, excerpt: 80}
teams: [{id: meta, name: "Meta & <b>friends</b>"}, {id: deepseek, name: DeepSeek}, {id: xai, name: xAI}, {id: fair, name: FAIR}]
sources:
  - {name: forum, type: discourse, terms: {read_on: 2025-01-02, by: Grace, allows: "yes", note: "ask Linus"}, options: {url: "https://forum.example"}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two weeks: Meta falls by an alert, DeepSeek has a few people a day, xAI two; nobody names FAIR."""
    folder = tmp_path_factory.mktemp("lived")
    (folder / "config.yaml").write_text(CONFIG, "utf-8")
    config, problems = load(folder / "config.yaml")
    assert not problems
    with Store(config.database) as store:
        store.read_by("reader", MODEL)
        for n, count in enumerate(PEOPLE):
            day = LAST - dt.timedelta(days=13 - n)
            _say(store, "meta", day, [(-0.6 if n > 11 else 0.2) + 0.05 * (k % 3) for k in range(count)])
            _say(store, "deepseek", day, [0.4, 0.5])
        _say(store, "xai", LAST, [0.1, 0.2])
        trend(store, min_authors=5)
        span = (dt.datetime(2025, 1, 9, tzinfo=dt.UTC), dt.datetime(2025, 1, 24, tzinfo=dt.UTC))
        store.end_crawl(store.begin_crawl("forum", NOW), NOW, finish_reason="finished", counts=Counts(), covered=span)
        figures = {"value": -0.55, "before": 0.25, "threshold": 0.2, "low": -0.7, "high": -0.4, "authors": 9, "posts": 9}
        evidence = [row["id"] for row in store.rows("SELECT id FROM posts WHERE native_id LIKE 'meta 2025-01-23 %' ORDER BY id LIMIT 2")]
        event = ("normal", "firing", LAST, "It fell to -0.55 <i>far</i>.")
        why = "It holds without the person. Words heard more than before: zanzibar."
        store.save_steps(
            [Step("fall", "drop", "meta", ALL, MODEL, "firing", LAST, LAST, 0, event, figures, evidence, why)], targets=[], at=NOW
        )
    return config


def _say(store: Store, team: str, day: dt.date, values: list[float]) -> None:
    """On a day so many people say so much of a team, each in a thread of his own."""
    at = dt.datetime.combine(day, dt.time(12), dt.UTC)
    keys = [f"{team} {day} {n}" for n in range(len(values))]
    posts = [
        Post("forum", key, f"https://forum.example/{'@ada/' if key.endswith('0') else ''}{key.replace(' ', '-')}",
             f"{HOSTILE} {key}", at, at, key, author_key=f"key of {key}")
        for key in keys
    ]  # fmt: skip
    store.save_posts(posts)
    found = dict(zip(keys, values, strict=True))
    for row in store.rows("SELECT id, native_id, text_hash FROM posts WHERE unread"):
        value = found[row["native_id"]]
        score = Score(MODEL, max(0.0, -value), 1 - abs(value), max(0.0, value))
        store.save_readings([Reading(row["id"], row["text_hash"], "en", [], {team: (row["native_id"], score)})], model=MODEL, at=at)


@pytest.fixture(scope="module")
def store(config: Config) -> Iterator[Store]:
    with Store(config.database, read_only=True) as store:
        yield store


@pytest.fixture(scope="module")
def week(config: Config, store: Store) -> report.Report:
    return report.gather(store, config, WEEK, now=NOW)


@pytest.fixture(scope="module")
def html(week: report.Report) -> str:
    return report.page(week)


def _words(html: str) -> str:
    """What a reader sees: the document without its styles, drawings and markup."""
    bare = re.sub(r"<style>.*?</style>|<svg .*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(bare.split())


def test_it_says_what_turned_then_figures_then_how_they_are_made(html: str) -> None:
    """The alert with figures and reason comes first; every figure has its interval and people; what has none is said in words."""
    words = _words(html)
    assert words.index("began on 23 Jan 2025") < words.index("People Posts Share of voice") < words.index("Day by day")
    assert (
        "On that day −0.55 Before +0.25 95 % interval −0.70 to −0.40 People 9" in words
        and "It fell to -0.55 &lt;i&gt;far&lt;/i&gt;." in words
    )
    assert re.search(r"DeepSeek \+0\.45 \+0\.\d+ to \+0\.\d+", words) and "Insufficient data: xAI (2 people, 3%)." in words
    assert "Nobody spoke of FAIR." in words and "100% of the days of all sources were read whole." in words
    assert "17 Jan 2025 to 23 Jan 2025 (UTC)" in words and "with the model m@1 ." in words


def test_nothing_in_it_runs_or_asks_for_anything(html: str) -> None:
    """No script, no address that a browser would load, markup in names and reasons is text, and ids are unique, those of charts too."""
    assert "<script" not in html and "<b>friends" not in html and "<i>far" not in html and " on" + "load=" not in html
    assert re.search(r"""default-src 'none'; style-src 'unsafe-inline'; img-src data:""", html)
    assert not re.findall(r"""(?:src|href)=["'](?!data:,)[^"']*|url\((?!#)[^)]*\)|@import""", html)
    assert html.startswith("<!DOCTYPE html>") and '<html lang="en">' in html
    ids = Counter(re.findall(r'\bid="([^"]+)"', html))
    assert ids and set(ids.values()) == {1}
    assert {name.lstrip("#") for name in re.findall(r"url\(#([^)]+)\)", html)} <= set(ids)


def test_a_chart_says_in_words_what_it_shows(html: str) -> None:
    """Of each team with some days that have a figure; DeepSeek's days never have enough people."""
    assert html.count('role="img"') == html.count("<svg ") == 1
    assert re.search(r'aria-label="Daily means of Meta [^"]+: −0\.5\d on 2\d Jan 2025 at the lowest, \+0\.2\d on', html)


def test_no_word_or_author_of_a_post_is_in_it(config: Config, store: Store, html: str) -> None:
    """Not by default; with quotes there are excerpts, masked, with links but for those that name a user."""
    assert "key of" not in html and "write to" not in html and "forum.example" not in html and "zanzibar" not in html
    assert "Grace" not in html and "Linus" not in html
    quoted = report.page(report.gather(store, config, WEEK, now=NOW, quotes=True))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; write to …@… {{ 7*7 }} @…" in quoted and "ada" not in _words(quoted)
    assert "key of" not in quoted and re.findall(r'href="(https:[^"]+)"', quoted) == ["https://forum.example/meta-2025-01-23-1"]


def test_a_withheld_day_cannot_be_had_from_the_week(week: report.Report) -> None:
    """The figure of the week stands there, so beside a day of two people the smallest other one is withheld, in both weeks."""
    days = {row["day"]: row for row in week.days["meta"]}
    assert {day for day, row in days.items() if row["mean"] is None} == {"2025-01-12", "2025-01-13", "2025-01-19", "2025-01-20"}
    assert week.hidden == {("meta", dt.date(2025, 1, 12)), ("meta", dt.date(2025, 1, 19))}
    assert days["2025-01-19"]["authors"] == 6, "counts stay"


def test_the_figure_that_was_asked_for_stays_and_its_days_go(config: Config, store: Store) -> None:
    """Two days, one of two people: the figure of both, eight people, leaves, and neither day's does."""
    short = report.gather(store, config, Days(2, dt.date(2025, 1, 20)), now=NOW)
    part = next(part for part in short.told.teams if part.team == "meta")
    assert part.authors == 8 and part.mean is not None and part.change is not None
    assert {row["day"] for row in short.days["meta"] if row["mean"] is None} >= {"2025-01-19", "2025-01-20"}


def test_a_period_that_would_tell_a_withheld_day_has_no_figure(tmp_path: Path) -> None:
    """One day of two has people, whose figure is withheld for the sake of a source: the period's would be the same."""
    config = published.build(tmp_path)
    with Store(config.database) as store:
        with store.writing() as connection:
            connection.execute("DELETE FROM daily_trends WHERE day <> '2025-01-23' OR source NOT IN ('*', 'board')")
            connection.execute("UPDATE daily_trends SET authors = iif(source = '*', 5, 4)")
        [part] = report.gather(store, config, Days(2, LAST), now=published.NOW).told.teams
        assert part.authors >= 5 and part.mean is None is part.change is part.moved


def test_an_alert_tells_no_day_that_is_withheld(config: Config, store: Store) -> None:
    """Over two days of which the second is the alert's, and the first has too few people."""
    with Store(config.database) as writing, writing.writing() as connection:
        connection.execute("UPDATE alerts SET day = '2025-01-19'")
    try:
        [turn] = report.gather(store, config, WEEK, now=NOW, quotes=True).turns
        assert turn.part.reason == WITHHELD and turn.why is None and turn.figures["value"] is None and not turn.posts
        assert "-0.55" not in _words(report.page(report.gather(store, config, WEEK, now=NOW)))
    finally:
        with Store(config.database) as writing, writing.writing() as connection:
            connection.execute("UPDATE alerts SET day = '2025-01-23'")


def test_a_shift_tells_no_earlier_day_that_is_withheld(config: Config, store: Store) -> None:
    """It has the mean of the days since the turn, which of two days less the one that is shown is that of the other."""
    with Store(config.database) as writing, writing.writing() as connection:
        kind = connection.execute("SELECT type FROM alerts").fetchone()[0]
        connection.execute("UPDATE alerts SET day = '2025-01-21', type = 'shift'")
    try:
        [turn] = report.gather(store, config, WEEK, now=NOW).turns
        assert turn.part.reason == WITHHELD and turn.why is None and turn.figures["value"] is None
    finally:
        with Store(config.database) as writing, writing.writing() as connection:
            connection.execute("UPDATE alerts SET day = '2025-01-23', type = ?", (kind,))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_no_snapshot_tells_no_report_does(tmp_path: Path, language: str) -> None:
    """Of the store of the tests of `publish`: no key, word, or figure of a day that is withheld there, and alerts as they leave there."""
    config = published.build(tmp_path)
    with Store(config.database, read_only=True) as store:
        found = report.gather(store, config, WEEK, now=published.NOW)
    content = report.page(found, language).encode()
    assert not [secret for secret in published.secrets() if secret in content]
    reasons = {turn.part.rule: turn.part.reason for turn in found.turns}
    assert reasons["closed"] == reasons["few"] == WITHHELD and "stopped" not in reasons and reasons["many"].startswith("Sentiment was 41")
    assert b'<html lang="' + language.encode() in content


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(config: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(REPLAY, "2025-01-27T12:00:00Z")

    def run(*words: Any) -> Result:
        return CliRunner().invoke(cli.main, ["--config", str(config.path), "report", *map(str, words)])

    return run


def test_the_command_writes_one_file(run: Any, tmp_path: Path) -> None:
    """Of the period, teams and language that are asked for, in place of an older file."""
    path = tmp_path / "out.html"
    path.write_text("old")
    result = run(path, "--to", "2025-01-23", "--team", "DeepSeek", "--language", "fr")
    assert result.exit_code == 0 and "report: 2025-01-17 to 2025-01-23, 1 team, 0 alerts" in result.stdout, result.output
    html = path.read_text("utf-8")
    assert '<html lang="fr">' in html and "−" in html and "0,45" in html and "Meta" not in html
    assert [file.name for file in tmp_path.iterdir()] == ["out.html"]
    assert "2025-01-10 to 2025-01-19" in run(path, "--from", "2025-01-10", "--to", "2025-01-19").stdout
    assert "2025-01-23 to 2025-01-23" in run(path, "--day", "--to", "2025-01-23").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "2025-01-27"], "the last one is 2025-01-2"),
        (["--from", "2025-01-24", "--to", "2025-01-23"], "are 0 days"),
        (["--from", "2020-01-24", "--to", "2025-01-23"], "a report is of 1 to 366"),
        (["--team", "nobody"], "there is no team 'nobody'"),
    ],
)
def test_what_cannot_be_told_is_said_and_nothing_written(run: Any, tmp_path: Path, words: list[str], said: str) -> None:
    result = run(tmp_path / "out.html", *words)
    assert result.exit_code == 2 and said in result.output and not list(tmp_path.iterdir())


def test_the_store_is_never_written_over(run: Any, config: Config) -> None:
    """Whoever names the store's own file, or a folder that is not there, is told so."""
    before = config.database.read_bytes()
    assert "is the store itself" in run(config.database).output and config.database.read_bytes() == before
    assert "cannot be written" in run(config.path.parent / "none" / "out.html").output


@pytest.mark.parametrize("name", ["config.yaml", "monitor.db.key", "out"])
def test_only_a_page_is_written_over(run: Any, tmp_path: Path, name: str) -> None:
    """A file that is named by mistake, such as the config, stays what it is."""
    path = tmp_path / name
    path.write_text("mine")
    result = run(path)
    assert result.exit_code == 2 and "ends in neither .html nor .htm" in result.output and path.read_text() == "mine"
