"""A digest tells a period as it was, once, and only when its days were read: real stores, real servers on loopback."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from answers import TERMS
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outbox import Clock, Hook, Mailbox, free_port, mail_server, mail_url

from monitor import cli, digest, digested
from monitor.clock import REPLAY
from monitor.config import Config, Digest, Notify, Source, Target, Team, load, shipped
from monitor.deliver import deliver
from monitor.digest import Change, first_day, latest
from monitor.errors import ConfigError
from monitor.records import ALL, DailyTrend, Post, Score, to_text
from monitor.store import Counts, DigestOf, Reading, Step, Store
from monitor.trend import trend

MODEL = "m@1"
LAST = dt.date(2025, 1, 26)
"""A Sunday: the weekly digest of the seven days up to it goes out on Monday the 27th."""
MONDAY = dt.datetime(2025, 1, 27, 8, tzinfo=dt.UTC)
WEEK = DigestOf("week", LAST)
TEAMS = (Team(id="meta", name="Meta"), Team(id="deepseek", name="DeepSeek"), Team(id="xai", name="xAI"), Team(id="fair", name="FAIR"))


def settings_for(*targets: Target, sources: tuple[Source, ...] = (), every: Any = "week", **notify: Any) -> Config:
    chosen = Notify.model_validate({"targets": targets or (Target(url="console"),), "digest": [{"every": every}], **notify})
    return Config(teams=TEAMS, sources=sources, notify=chosen)


def crawled(store: Store, day: dt.date, reason: str = "finished", source: str = "forum", days: int = 14) -> None:
    """A crawl at two in the morning after `day` that read so many days up to its end."""
    at = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(2), dt.UTC)
    span = (at - dt.timedelta(days=days, hours=2), at)
    store.end_crawl(
        store.begin_crawl(source, at), at, finish_reason=reason, counts=Counts(), covered=span if reason == "finished" else None
    )


def say(store: Store, team: str, day: dt.date, values: list[float], source: str = "forum", thread_of: int = 1) -> None:
    """On a day so many people say so much of a team, so many of them in one thread."""
    store.read_by("reader", MODEL)
    at = dt.datetime.combine(day, dt.time(12), dt.UTC)
    posts = [
        Post(
            source,
            f"{team} {day} {n}",
            f"https://{source}.example/{n}",
            f"word {team} {day} {n}",
            at,
            at,
            f"{team}{day}{n // thread_of}",
            author_key=f"{team}{day}{n}",
        )
        for n in range(len(values))
    ]
    store.save_posts(posts)
    found = {post.native_id: value for post, value in zip(posts, values, strict=True)}
    for row in store.rows("SELECT id, native_id, text_hash FROM posts WHERE unread"):
        value = found[row["native_id"]]
        score = Score(MODEL, max(0.0, -value), 1 - abs(value), max(0.0, value))
        store.save_readings([Reading(row["id"], row["text_hash"], "en", [], {team: (row["native_id"], score)})], model=MODEL, at=at)


def two_weeks(store: Store) -> None:
    """Meta falls on 22 January, by an alert; DeepSeek stays; three people name xAI; nobody names FAIR; all of it read."""
    for n in range(14):
        day = LAST - dt.timedelta(days=n)
        say(store, "meta", day, [-0.6 + 0.1 * (k % 3) if n < 5 else 0.2 + 0.1 * (k % 3) for k in range(8)])
        say(store, "deepseek", day, [0.4, 0.5])
    say(store, "xai", LAST, [0.1, 0.2, 0.3])
    trend(store, min_authors=5)
    crawled(store, LAST)
    for rule, day, over, untold in (
        ("fall", 22, None, None),
        ("short", 20, 24, "Silence 1, until 2025-01-30T00:00:00Z: moving"),
        ("old", 10, 23, None),
        ("gone", 2, 12, None),
        ("lasts", 14, None, None),
    ):
        begun, ended = dt.date(2025, 1, day), dt.date(2025, 1, over) if over else None
        steps = [
            Step(rule, "drop", "meta", ALL, MODEL, "firing", begun, begun, 0, ("normal", "firing", begun, f"{rule} fell."), untold=untold)
        ]
        if ended:
            steps.append(Step(rule, "drop", "meta", ALL, MODEL, "resolved", ended, ended, 0, ("firing", "resolved", ended, "It is back.")))
        store.save_steps(steps, targets=[], at=MONDAY)


@pytest.fixture(scope="module")
def two_weeks_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lived") / "monitor.db"
    with Store(path) as store:
        two_weeks(store)
    return path


@pytest.fixture
def lived(two_weeks_on_disk: Path, tmp_path: Path) -> Iterator[Store]:
    with Store(shutil.copy(two_weeks_on_disk, tmp_path / "monitor.db")) as store:
        yield store


# ---- what it tells --------------------------------------------------------------------------------------------------


def test_a_week_is_told_with_all_that_belongs_to_its_figures(lived: Store) -> None:
    """Each team's mean with n, interval, share of voice, and its change with an interval; what moved; too few people in words."""
    found = digested.gather(lived, settings_for(), WEEK, now=MONDAY)
    meta, deepseek, xai = found.teams
    assert (found.first, found.coverage, found.posts, found.unread, found.unnamed) == (dt.date(2025, 1, 20), 1.0, 73, 0, ("FAIR",))
    assert (meta.team, meta.authors, meta.posts, meta.before_authors) == ("meta", 56, 56, 56)
    assert meta.mean == pytest.approx(-0.2875, abs=0.02) and meta.before_mean == pytest.approx(0.2875, abs=0.02)
    assert meta.change and meta.change.value == pytest.approx((meta.mean or 0) - (meta.before_mean or 0)) and meta.change.high < 0
    assert meta.share_of_voice == pytest.approx(56 / 73) and meta.moved and meta.moved.startswith("All of it is in forum")
    assert deepseek.change and deepseek.change.low < 0 < deepseek.change.high and deepseek.moved is None
    assert (xai.authors, xai.mean, xai.change) == (3, None, None)
    message = digested.compose(found, settings_for())
    assert message.title == "Digest of the week: 20 to 26 January 2025"
    assert "Read: 73 posts, none of which waits to be understood; 100% of the source days were read." in message.body
    assert (
        f"\nMeta\n  {meta.mean:+.2f} (95 % interval {meta.low:+.2f} to {meta.high:+.2f}), 56 people, 56 posts, 77% of voice\n"
        in message.body
    )
    assert "Insufficient data, fewer than 5 people: xAI (3 people)." in message.body and "Nobody spoke of FAIR." in message.body
    assert "word" not in message.body + message.html + json.dumps(message.facts), "no post's words"


def test_a_day_is_told_as_it_is_shown_everywhere(fresh_store: Store) -> None:
    """The figures of a day's digest are those of the daily trend, with intervals that know of threads from the weeks before."""
    for n in range(20):
        thread = 0.4 if n % 2 else -0.4
        say(fresh_store, "meta", LAST - dt.timedelta(days=n), [thread] * 6 + [-thread] * 6, thread_of=6)
    trend(fresh_store, min_authors=5)
    of = DigestOf("day", LAST)
    [part] = digested.gather(fresh_store, settings_for(every="day"), of, now=MONDAY).teams
    [stored] = [row for row in fresh_store.trends(team="meta", source=ALL, model=MODEL) if row.day == LAST]
    assert (part.mean, part.low, part.high, part.authors) == (stored.mean, stored.low, stored.high, 12)


def test_alerts_are_told_by_what_they_did(lived: Store) -> None:
    """What began, went on, ended, or both; what was over before is not told; what a silence kept is named as such."""
    lived.silence("*", "meta", "*", begins_at=MONDAY - dt.timedelta(days=4), ends_at=MONDAY + dt.timedelta(days=3), reason="moving")
    lived.silence("*", "xai", "*", begins_at=MONDAY, ends_at=MONDAY + dt.timedelta(days=3), reason="later")
    message = digested.message(lived, settings_for(), WEEK, now=MONDAY)
    told = {(one["rule"], one["course"], one["resolved_day"]) for one in message.facts["alerts"]}
    assert told == {
        ("fall", "began", None),
        ("short", "began and ended", "2025-01-24"),
        ("old", "ended", "2025-01-23"),
        ("lasts", "goes on", None),
    }
    assert "- Meta, all sources, rule old: ended on 23 January 2025, since 10 January 2025. old fell." in message.body
    assert "  Not told: Silence 1, until 2025-01-30T00:00:00Z: moving" in message.body
    assert "- 1, until 30 January 2025, 08:00 UTC: rule *, team meta, source *. moving" in message.body and "later" not in message.body


def test_sources_that_stopped_or_were_not_read_are_told(lived: Store) -> None:
    """A source that stopped is told with since when and why, another with how many of the days it was not read."""
    terms = {"type": "feed", "terms": TERMS}
    sources = tuple(Source(name=name, **terms) for name in ("forum", "wall", "slow"))
    crawled(lived, LAST, source="wall", days=20)
    crawled(lived, LAST - dt.timedelta(days=2), source="slow", days=20)
    day = dt.date(2025, 1, 23)
    event = ("normal", "firing", day, "It shows a bot wall.")
    lived.save_steps([Step("source-stopped", "stopped", ALL, "wall", MODEL, "firing", day, day, 0, event)], targets=[], at=MONDAY)
    message = digested.message(lived, settings_for(sources=sources), WEEK, now=MONDAY)
    assert "- wall: stopped on 23 January 2025, not read since. It shows a bot wall." in message.body
    assert "- slow: 2 of 7 days not read whole. slow was not read to the end of that day." in message.body
    assert [one["source"] for one in message.facts["sources"]] == ["slow", "wall"] and "source-stopped" not in str(message.facts["alerts"])


@given(authors=st.lists(st.integers(0, 12), min_size=1, max_size=4), before=st.integers(0, 12), least=st.integers(2, 8))
def test_no_figure_of_few_people_is_in_a_digest(authors: list[int], before: int, least: int) -> None:
    """Whatever was stored, a mean, an interval or a change is of at least `min_authors` people; counts are told."""

    def cells(counts: list[int]) -> list[DailyTrend]:
        rows = [(f"s{n}", count) for n, count in enumerate(counts)] + [(ALL, sum(counts))]
        return [DailyTrend(LAST, "meta", name, MODEL, n, n, n, True, 0.1, 0.0, 0.2, 0.1, 0.8, 0.1, 0.2, float(n)) for name, n in rows if n]

    found = digest.digest(
        WEEK, names={"meta": "Meta"}, cells=cells(authors), cells_before=cells([before]), min_authors=least, alerts=[], silences=[],
        lacking={}, coverage=None, posts=0, unread=0,
    )  # fmt: skip
    for part in found.teams:
        assert (part.mean is None) == (part.low is None) == (part.authors < least)
        assert (part.before_mean is None) == (part.before_authors < least)
        assert (part.change is None) == (part.authors < least or part.before_authors < least)


def test_the_change_of_equal_weeks_holds_zero_and_is_narrower_with_more_people() -> None:
    """The interval knows how many people spoke, and that a week has more days than a day."""

    def cell(authors: int, mean: float) -> DailyTrend:
        return DailyTrend(LAST, "meta", ALL, MODEL, authors, authors, authors, True, mean, -1, 1, 0.3, 0.3, 0.4, 0.25, float(authors))

    def width(change: Change | None) -> float:
        assert change is not None
        return change.high - change.low

    few, many = (digest.change(cell(n, 0.1), cell(n, 0.1), 7) for n in (10, 1000))
    assert few and few.value == 0 and few.low < 0 < few.high
    assert width(digest.change(cell(1000, 0.1), cell(1000, 0.1), 1)) > width(many) > 0.1 and width(few) > width(many)
    lower = digest.change(cell(200, -0.3), cell(200, 0.1), 7)
    assert lower and lower.certain


# ---- when it goes out -----------------------------------------------------------------------------------------------


@given(
    every=st.sampled_from(["day", "week"]),
    on=st.sampled_from(["mon", "sun"]),
    hour=st.integers(0, 23),
    zone=st.sampled_from(["UTC", "Pacific/Auckland", "America/New_York", "Asia/Kolkata"]),
    hours=st.floats(0, 24 * 400),
    settles=st.floats(0, 24 * 9),
)
@example(every="day", on="mon", hour=2, zone="America/New_York", hours=24 * 98 + 7.5, settles=0)  # 2:00 is left out that night
@example(
    every="day", on="mon", hour=12, zone="Pacific/Auckland", hours=2642, settles=0
)  # noon there is one UTC day in winter, one in summer
@settings(max_examples=60)
def test_a_digest_is_of_whole_days_and_each_comes_once(every: Any, on: Any, hour: int, zone: str, hours: float, settles: float) -> None:
    """At any time the newest one is of days that are complete; as time goes by each period comes once, none is left out."""
    schedule, place = Digest.model_validate({"every": every, "on": on, "at": f"{hour}:00"}), ZoneInfo(zone)
    begin = dt.datetime(2024, 12, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hours)
    seen = []
    for n in range(0, 24 * 16, 2):
        now = begin + dt.timedelta(hours=n)
        open_day = (now - dt.timedelta(hours=settles)).date()
        of = latest(schedule, place, now=now, open_day=open_day)
        assert of.last < open_day and of.last - first_day(of) == dt.timedelta(days=6 if every == "week" else 0)
        seen += [of.last] if not seen or seen[-1] != of.last else []
    steps = {(after - before).days for before, after in itertools.pairwise(seen)}
    assert steps <= ({1} if every == "day" else {7}) and len(seen) >= 2


def test_it_waits_for_its_hour_and_goes_out_once(lived: Store) -> None:
    """Not before Monday at eight, by the clock of the zone, then once, however often the round is run."""
    config, sent = settings_for(timezone="Europe/Paris"), list[str]()
    lived.enqueue_digest(DigestOf("week", LAST - dt.timedelta(days=7)), "console", MONDAY - dt.timedelta(days=7))
    lived.end_delivery(lived.due(MONDAY)[0].id, sent_at=MONDAY)
    for hour in (0, 6.99, 7, 7.1, 9, 100):
        now = MONDAY.replace(hour=0) + dt.timedelta(hours=hour)
        deliver(lived, config, clock=lambda now=now: now, send=lambda _, message: sent.append(message.title))
        assert sent == ["Digest of the week: 20 to 26 January 2025"] * (hour >= 7)


def test_it_waits_until_its_days_were_read(lived: Store) -> None:
    """After a time in which nothing ran the sources are tried first, and what they bring is understood and counted."""
    source = Source(name="forum", type="feed", terms=TERMS)
    config = settings_for(sources=(source,), every="day")
    sent: list[str] = []

    def run(now: dt.datetime) -> list[str]:
        deliver(lived, config, clock=lambda: now, send=lambda _, message: sent.append(message.title))
        return sent

    later = MONDAY + dt.timedelta(days=10, hours=1)
    assert run(MONDAY) == ["Digest of the day: 26 January 2025"]
    assert run(MONDAY + dt.timedelta(days=1)) == ["Digest of the day: 26 January 2025"], "nobody has looked since"
    yesterday = (later - dt.timedelta(days=1)).date()
    lived.begin_crawl("forum", later)
    lived.save_posts([Post("forum", "new", "u", "words", later - dt.timedelta(days=1), later)])
    assert run(later) == ["Digest of the day: 26 January 2025"]
    crawled(lived, yesterday + dt.timedelta(days=1))
    at = later + dt.timedelta(minutes=2)
    lived.end_crawl(lived.begin_crawl("forum", at), at, finish_reason="failed", counts=Counts())
    assert run(at) == ["Digest of the day: 26 January 2025"], "a post of that day waits to be understood"
    [row] = lived.rows("SELECT id, text_hash FROM posts WHERE unread")
    lived.save_readings([Reading(row["id"], row["text_hash"], "en", [], {"meta": ("x", Score(MODEL, 0, 1, 0))})], model=MODEL, at=at)
    assert run(at) == ["Digest of the day: 26 January 2025"], "and then to be counted"
    trend(lived, min_authors=5)
    lived.end_run(lived.begin_run("trend", "", at), at, outcome="ok")
    assert run(at) == ["Digest of the day: 26 January 2025"], "and then the rules are to be checked"
    lived.end_run(lived.begin_run("alert", "", at), at, outcome="failed")
    assert run(at) == ["Digest of the day: 26 January 2025", "Digest of the day: 5 February 2025"], "only the latest of ten"


def test_a_source_that_is_never_tried_again_holds_it_up_for_a_time_only(lived: Store) -> None:
    """While others are crawled, one that cannot be is waited for as long as a day takes to settle, no longer."""
    sources = tuple(Source(name=name, type="feed", terms=TERMS) for name in ("forum", "dead"))
    crawled(lived, LAST - dt.timedelta(days=9), source="dead")
    config = settings_for(sources=sources)
    assert not digested.ready(lived, config, WEEK, now=MONDAY.replace(hour=2, minute=30))
    assert digested.ready(lived, config, WEEK, now=MONDAY)


def test_nothing_is_told_of_a_time_before_anything_was_known(fresh_store: Store) -> None:
    """A fresh installation does not begin with a digest of a week that nobody watched."""
    assert digested.enqueue(fresh_store, settings_for(), now=MONDAY) == 0
    crawled(fresh_store, LAST, days=3)
    assert digested.enqueue(fresh_store, settings_for(), now=MONDAY) == 1


# ---- on its way -----------------------------------------------------------------------------------------------------


def test_a_digest_arrives_everywhere_in_the_form_of_its_place(lived: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail has text and HTML, a generic hook the digest as JSON, ntfy a quiet note, Slack blocks; each once, each with its key."""
    mailbox, port, clock = Mailbox(), free_port(), Clock()
    clock.now = MONDAY
    with Hook() as plain, Hook() as ntfy, Hook() as slack, mail_server(mailbox, port):
        slack.words = b"ok"
        monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", slack.url("/services", "http"))
        targets = (
            Target(url=mail_url(port), name="mail"),
            Target(url=plain.url(), name="hook"),
            Target(url=ntfy.url("/topic", "ntfy"), name="ntfy"),
            Target(url="slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", name="slack"),
            Target(url="console"),
        )
        config = settings_for(*targets, digest=[{"every": "week", "to": ["mail", "hook", "ntfy", "slack"]}])
        for _ in range(2):
            assert deliver(lived, config, clock=clock).errors == []
    [mail], [(_, headers, body)], [(_, quiet, note)], [(_, _, blocks)] = mailbox.received, plain.received, ntfy.received, slack.received
    message = digested.message(lived, config, WEEK, now=MONDAY)
    text, page = mail.iter_parts()
    assert mail["Subject"] == message.title and text.get_content().replace("\r\n", "\n").rstrip() == message.body
    assert page.get_content_type() == "text/html" and "<th scope" in page.get_content() and not mail["In-Reply-To"]
    assert (body["title"], body["type"], body["digest"]) == (message.title, "info", message.facts) and "alert" not in body
    assert headers["Idempotency-Key"] and (quiet["X-Priority"], quiet["X-Tags"]) == (None, "bar_chart") and note["message"] == message.body
    kinds = [block["type"] for block in blocks["blocks"]]
    assert kinds[0] == "header" and set(kinds[1:]) == {"section"} and blocks["text"].startswith("Digest of the week: 20 to 26 January 2025")
    assert any(block["text"]["text"].startswith("*Meta*\n-0.2") for block in blocks["blocks"])


def test_a_digest_has_the_promises_of_an_alert(lived: Store) -> None:
    """Refused it waits, killed in between it comes again under its key, refused for good it is listed and can be sent again."""
    clock = Clock()
    clock.now = MONDAY
    with Hook() as hook:
        config = settings_for(Target(url=hook.url(), name="hook"))
        hook.status = 503
        assert deliver(lived, config, clock=clock).waiting == 1
        clock.now += dt.timedelta(hours=1)
        lived.begin_delivery(lived.due(clock.now)[0].id)  # and killed
        hook.status = 410
        assert deliver(lived, config, clock=clock).failed == 1
        [row] = lived.given_up()
        assert (row["rule"], row["state"], row["day"], row["attempts"]) == ("digest", "week", "2025-01-26", 3)
        hook.status = 200
        assert deliver(lived, config, clock=clock).sent == 0
        lived.retry_deliveries(row["id"], clock.now)
        assert deliver(lived, config, clock=clock).sent == 1
        assert len(set(hook.keys)) == 1 and len(hook.received) == 3
        assert lived.rows("SELECT count(*) FROM deliveries")[0][0] == 1


def test_a_digest_may_be_worded_anew(lived: Store, tmp_path: Path) -> None:
    """Its templates stand in the same folder as those of alerts, and one that is broken keeps none from going out."""
    (tmp_path / "digest.txt").write_text("{% for team in teams %}{{ team.name }} {{ '%+.1f' % team.mean }}\n{% endfor %}")
    (tmp_path / "digest_title.txt").write_text("{{ nothing }}")
    message = digested.message(lived, settings_for(templates=tmp_path), WEEK, now=MONDAY)
    assert (
        message.body == "Meta -0.3\nDeepSeek +0.5" and message.parts == () and message.title == "Digest of the week: 20 to 26 January 2025"
    )
    assert len(message.flaws) == 1 and "digest_title.txt fails in line 1 (UndefinedError)" in message.flaws[0]


# ---- asked for ------------------------------------------------------------------------------------------------------


def test_the_command_shows_one_and_sends_nothing_unless_asked(lived: Store, write_config: Callable[..., Path]) -> None:
    """`digest` prints the last whole week or day; --send puts it into the outbox, once; a day that is not over is refused."""
    path = write_config(teams=[{"id": "meta", "name": "Meta"}], notify={"targets": [{"url": "json://127.0.0.1:9/", "name": "hook"}]})

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli.main, ["--config", str(path), "digest", *words], env={REPLAY: to_text(MONDAY)})

    shown = run()
    assert shown.exit_code == 0 and shown.stdout.startswith("Digest of the week: 20 to 26 January 2025\n\n20 to 26 January"), shown.stderr
    facts = json.loads(run("--day", "--to", "2025-01-25", "--as", "json").stdout)
    assert (facts["every"], facts["first"], facts["last"], facts["teams"][0]["authors"]) == ("day", "2025-01-25", "2025-01-25", 8)
    assert run("--as", "html").stdout.startswith("<!DOCTYPE html>") and lived.rows("SELECT count(*) FROM deliveries")[0][0] == 0
    assert run("--send", "hook").exit_code == 0
    again = run("--send", "hook")
    assert (
        again.exit_code == 2 and "before" in again.stderr and lived.rows("SELECT digest, target FROM deliveries")[0][:] == ("week", "hook")
    )
    early = run("--to", "2025-01-27")
    assert early.exit_code == 2 and "the last one is 2025-01-26" in early.stderr
    assert run("--send", "nobody").exit_code == 2


def test_the_digest_that_the_shipped_settings_show_can_be_copied(tmp_path: Path) -> None:
    """The example beside `digest` in config.yaml is read as it stands there, its day `on` too, which YAML 1.1 takes for true."""
    [line] = [line for line in shipped().splitlines() if line.startswith("  digest: []")]
    shown = line[line.index("such as ") + 8 : line.rindex("]") + 1]
    file = tmp_path / "config.yaml"
    file.write_text(f"teams: [{{id: meta, name: Meta}}]\nnotify: {{targets: [{{url: console, name: mail}}], digest: {shown}}}\n")
    config, problems = load(file)
    assert problems == [] and [(one.every, one.on, one.to) for one in config.notify.digest] == [("week", "mon", ("mail",))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{to: [mial]}]", "notify.digest.0.to.0: is 'mial', which is no name in notify.targets. Did you mean mail?"),
        ("[{every: day}, {every: day, to: mail}]", "sends 'mail' a second digest of each day, beside notify.digest.0"),
        ('[{at: "25:00"}]', 'Write the time of day in quotes, such as "08:00"'),
        ("[{at: 18:30}]", 'Write the time of day in quotes, such as "08:00"'),
        ("[{every: month}]", "Write one of 'day' or 'week'"),
        ("[{timezone: Mars/Olympus}]", "Write a time zone by its place"),
        ("{every: day}", "is a mapping, not a list"),
    ],
)
def test_mistakes_in_digests_are_said(tmp_path: Path, text: str, said: str) -> None:
    """Each with what to write; what is usable beside it is used."""
    file = tmp_path / "config.yaml"
    file.write_text(f"teams: [{{id: meta, name: Meta}}]\nnotify: {{targets: [{{url: console, name: mail}}], digest: {text}}}\n")
    try:
        config, problems = load(file)
    except ConfigError as error:
        problems, config = error.problems, None
    assert len(problems) == 1 and said in str(problems[0]), problems
    assert config is not None and len(config.notify.digest) == ("second" in said)
