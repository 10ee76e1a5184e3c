"""Alerts: told once, when it is so and not before, ended when it is over and not before, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from monitor.alert import State, advance, alert
from monitor.config import Config, Rule, Source, Team, Terms
from monitor.errors import MonitorError
from monitor.explain import representative
from monitor.records import DailyTrend, Mention, Post, Score, text_hash
from monitor.rules import Outcome, Verdict
from monitor.rules.statistics import margin, voice_variance
from monitor.settings import Notify
from monitor.store import Reading, Store

FIRST = dt.date(2025, 1, 1)
MODEL = "m@1"
TERMS = Terms(read_on=FIRST, by="us", allows="all")
DROP = {"id": "fall", "type": "drop", "for": 1, "confidence": 0.998}


def day(n: int) -> dt.date:
    return FIRST + dt.timedelta(days=n)


def morning(n: int) -> dt.datetime:
    """Six o'clock on day `n`: all days before it are complete, and nobody has spoken on it yet."""
    return dt.datetime.combine(day(n), dt.time(6), dt.UTC)


def evening(n: int) -> dt.datetime:
    """Ten in the evening of day `n`, which is not complete."""
    return dt.datetime.combine(day(n), dt.time(22), dt.UTC)


def watch(*rules: dict[str, object], teams: Sequence[str] = ("meta",), sources: Iterable[Source] = ()) -> Config:
    named = tuple(Team(id=team, name=team.title()) for team in teams)
    return Config(teams=named, sources=tuple(sources), rules=tuple(Rule.model_validate(one) for one in rules))


def say(store: Store, means: dict[int, float | None], team: str = "meta", authors: int = 30) -> None:
    """Store the trend of these days as `trend` would, from `authors` voices; None is a day on which three spoke."""
    store.read_by("reader", MODEL)
    rows = []
    for n, mean in means.items():
        if mean is None:
            rows.append(DailyTrend(day(n), team, "*", MODEL, 3, 3, 3, False))
            continue
        variance = voice_variance(0.25, authors)
        reach = margin(variance, authors, 0.975)
        rows.append(
            DailyTrend(day(n), team, "*", MODEL, authors, authors, authors, True, mean, mean - reach, mean + reach, 0.2, 0.6, 0.2, variance)
        )
    store.replace_trends({(row.day.isoformat(), team): 1 for row in rows}, rows)


def understood(store: Store) -> None:
    """Let the model have read every post; none of them names a team."""
    while waiting := store.unread(500):
        store.save_readings([Reading(post.id, post.text_hash, "en", [], {}) for post in waiting], model=MODEL, at=morning(0))


def calm(until: int) -> dict[int, float | None]:
    return {n: 0.1 + 0.03 * (n % 3 - 1) for n in range(until)}


def live(store: Store, config: Config, means: dict[int, float | None]) -> list[str]:
    """Let the days pass, with a round on the morning after each; returns the state after every one."""
    seen = []
    for n, mean in means.items():
        say(store, {n: mean})
        alert(store, config, now=morning(n + 1))
        seen.append(state(store))
    return seen


def events(store: Store) -> list[tuple[str, str, str]]:
    """(team, after, day) of every change of state that people are told of."""
    sql = """SELECT team, "after", day FROM alert_events WHERE "after" IN ('firing', 'resolved') AND "before" <> 'recovering'
             OR "after" = 'resolved' ORDER BY id"""
    return [(row[0], row[1], row[2]) for row in store.rows(sql)]


def state(store: Store, team: str = "meta") -> str:
    return next(row["state"] for (_, name, _), row in store.alert_states().items() if name == team)


def everything(store: Store) -> list[list[tuple[object, ...]]]:
    return [[tuple(row) for row in store.rows(f"SELECT * FROM {t}")] for t in ("alerts", "alert_states", "alert_events", "deliveries")]


def test_a_fall_is_told_once(fresh_store: Store) -> None:
    """An alert begins when sentiment falls, with a message in the outbox; however often the round is run again, it is one."""
    config = watch(DROP)
    say(fresh_store, calm(28))
    assert alert(fresh_store, config, now=morning(28)) == []
    say(fresh_store, {28: -0.6})
    told = alert(fresh_store, config, now=morning(29))
    assert len(told) == 1 and told[0].startswith("Meta in *: rule fall is firing on 2025-01-29. Sentiment went from +0.10")
    before = everything(fresh_store)
    assert alert(fresh_store, config, now=morning(29)) == [] and everything(fresh_store) == before
    row = fresh_store.rows("SELECT * FROM alerts")[0]
    assert (row["state"], row["day"], row["authors"], row["value"]) == ("firing", "2025-01-29", 30, -0.6)
    assert row["before"] == pytest.approx(0.1, abs=0.01) and row["low"] < -0.6 < row["high"]
    assert [tuple(one) for one in fresh_store.rows("SELECT target, state FROM deliveries")] == [("console", "due")]


def test_alerts_come_in_the_order_of_the_rules(fresh_store: Store) -> None:
    """Of several that begin in one round the first rule's are told first, team by team, in the order of config.yaml."""
    config = watch({"id": "slow", "type": "shift", "for": 1}, {**DROP, "id": "at-once"}, teams=("openai", "meta"))
    for team in ("meta", "openai"):
        say(fresh_store, {**calm(28), 28: -0.6}, team)
    alert(fresh_store, config, now=morning(29))
    rows = fresh_store.rows("""SELECT rule, team FROM alert_events WHERE "after" = 'firing' ORDER BY id""")
    assert [tuple(row) for row in rows] == [(rule, team) for rule in ("slow", "at-once") for team in ("openai", "meta")]


def test_it_waits_for_as_many_days_as_the_rule_says(fresh_store: Store) -> None:
    """With `for: 3` two bad days are pending and untold; a good one makes it normal again; three in a row fire."""
    config = watch({**DROP, "for": 3})
    say(fresh_store, calm(28))
    seen = live(fresh_store, config, {28: -0.6, 29: -0.6, 30: 0.1, 31: -0.6, 32: -0.6, 33: -0.6})
    assert seen == ["pending", "pending", "normal", "pending", "pending", "firing"]
    assert events(fresh_store) == [("meta", "firing", "2025-02-03")]
    assert fresh_store.rows("SELECT reason FROM alerts")[0][0].endswith("That is so for 3 days, since 2025-02-01.")


def test_a_day_that_goes_on_may_begin_an_alert_but_never_ends_one(fresh_store: Store) -> None:
    """Enough voices today fire at once. Good words today resolve nothing: that takes complete days."""
    config = watch({**DROP, "recover_for": 2})
    say(fresh_store, {**calm(28), 28: -0.7})
    assert alert(fresh_store, config, now=evening(28)) != []
    for n in (29, 30):
        say(fresh_store, {n: 0.1})
        assert alert(fresh_store, config, now=evening(n)) == []
        assert state(fresh_store) in ("firing", "recovering")
    alert(fresh_store, config, now=morning(31))
    assert events(fresh_store) == [("meta", "firing", "2025-01-29"), ("meta", "resolved", "2025-01-31")]


def test_a_day_that_goes_on_must_be_surer(fresh_store: Store) -> None:
    """A fall that is an alert of a complete day is none while its day goes on, since that is looked at again and again."""
    say(fresh_store, {**calm(28), 28: -0.25})
    assert alert(fresh_store, watch(DROP), now=evening(28)) == []
    assert alert(fresh_store, watch(DROP), now=morning(29)) != []


def test_a_day_that_goes_on_counts_once(fresh_store: Store) -> None:
    """With `for: 2`, a bad day looked at twenty times is one bad day."""
    config = watch({**DROP, "for": 2})
    say(fresh_store, {**calm(28), 28: -0.7})
    for _ in range(20):
        assert alert(fresh_store, config, now=evening(28)) == []
    assert state(fresh_store) == "pending"
    alert(fresh_store, config, now=morning(29))
    assert state(fresh_store) == "pending"
    say(fresh_store, {29: -0.7})
    assert alert(fresh_store, config, now=evening(29)) != []


def test_days_without_data_neither_begin_nor_end_anything(fresh_store: Store) -> None:
    """A month of too few voices leaves an alert firing; two days of recovery around such a day are two in a row."""
    config = watch({**DROP, "recover_for": 2})
    say(fresh_store, calm(28))
    assert set(live(fresh_store, config, {28: -0.6, **dict.fromkeys(range(29, 60))})) == {"firing"}
    assert live(fresh_store, config, {60: 0.1, 61: None, 62: 0.1}) == ["recovering", "recovering", "resolved"]
    assert events(fresh_store)[-1] == ("meta", "resolved", "2025-03-04")


def test_a_fall_that_lasts_does_not_become_the_usual(fresh_store: Store) -> None:
    """Two months on the lower level the alert still stands, and it ends when the old level is back."""
    config = watch(DROP)
    say(fresh_store, calm(28))
    live(fresh_store, config, {**dict.fromkeys(range(28, 90), -0.6), 90: 0.1, 91: 0.1})
    assert events(fresh_store) == [("meta", "firing", "2025-01-29"), ("meta", "resolved", "2025-04-02")]


def test_the_next_fall_is_another_alert(fresh_store: Store) -> None:
    """Resolved is shown for a day, then normal; falling again fires and is told again."""
    config = watch(DROP)
    say(fresh_store, calm(28))
    seen = live(fresh_store, config, {28: -0.6, **{n: 0.1 + 0.03 * (n % 3 - 1) for n in range(29, 45)}, 45: -0.9})
    assert seen == ["firing", "recovering", "resolved"] + ["normal"] * 14 + ["firing"]
    assert [one[1] for one in events(fresh_store)] == ["firing", "resolved", "firing"]
    assert len(fresh_store.rows("SELECT * FROM deliveries")) == 3


def test_old_history_is_no_news(fresh_store: Store) -> None:
    """The first round on an archive with a fall months ago tells nobody of it; a fall of yesterday it tells."""
    config = watch(DROP, teams=("meta", "openai"))
    say(fresh_store, {**calm(100), 40: -0.9, 41: -0.9})
    say(fresh_store, {**calm(99), 99: -0.9}, team="openai")
    alert(fresh_store, config, now=morning(100))
    assert events(fresh_store) == [("openai", "firing", "2025-04-10")]


def test_a_day_without_posts_counts_once_the_source_is_known(fresh_store: Store) -> None:
    """A team hardly ever named spikes from nobody; in a source watched since yesterday the same voices are no spike."""
    spike = {"id": "many", "type": "spike"}
    say(fresh_store, {28: 0.1}, team="rare")
    assert alert(fresh_store, watch(spike, teams=("rare",)), now=evening(28)) == []
    say(fresh_store, calm(28))
    assert len(alert(fresh_store, watch(spike, teams=("rare",)), now=evening(28))) == 1


def test_what_is_no_longer_watched_is_ended_and_told(fresh_store: Store) -> None:
    """Removing a rule or a team ends its alert with that reason, once; put back, it starts from its last days."""
    both = watch(DROP, teams=("meta", "openai"))
    for team in ("meta", "openai"):
        say(fresh_store, {**calm(28), **dict.fromkeys(range(28, 36), -0.6), **dict.fromkeys(range(36, 50), 0.1)}, team=team)
    alert(fresh_store, both, now=morning(29))
    without = watch(DROP, teams=("openai",))
    told = alert(fresh_store, without, now=morning(30))
    assert len(told) == 1 and "meta" in told[0] and "No longer watched" in told[0]
    assert alert(fresh_store, without, now=morning(31)) == []
    assert len(alert(fresh_store, watch({**DROP, "enabled": False}, teams=("meta", "openai")), now=morning(32))) == 1
    assert {row["state"] for row in fresh_store.alert_states().values()} == {"resolved"}
    assert len(fresh_store.rows("SELECT * FROM deliveries")) == 4
    assert alert(fresh_store, both, now=morning(49)) == [], "what happened meanwhile is no news"
    assert {row["state"] for row in fresh_store.alert_states().values()} == {"normal"}


def test_a_rule_that_fails_does_not_stop_the_others(fresh_store: Store) -> None:
    """One team's damaged row is reported as an error in a sentence; the other team's alert is stored and goes out."""
    config = watch(DROP, teams=("broken", "meta"))
    for team in ("broken", "meta"):
        say(fresh_store, {**calm(28), 28: -0.6}, team=team)
    fresh_store.connection.execute("UPDATE daily_trends SET variance = 'damaged' WHERE team = 'broken'")
    with pytest.raises(MonitorError, match="the rule fall could not be checked on broken"):
        alert(fresh_store, config, now=morning(29))
    assert events(fresh_store) == [("meta", "firing", "2025-01-29")]


def test_a_source_gone_quiet_is_told_on_complete_days_only(fresh_store: Store) -> None:
    """A rule without teams watches all that is said in a source: an empty morning is no silence, an empty day is."""
    config = watch(
        {"id": "quiet", "type": "silence", "teams": []},
        sources=[Source(name=name, type="feed", terms=TERMS) for name in ("forum", "hn")],
    )
    for n in range(30):
        at = dt.datetime.combine(day(n), dt.time(12), dt.UTC)
        for source, end in (("forum", 28), ("hn", 30)):
            posts = [Post(source, f"{n}-{k}", "u", "words", at, at, author_key=f"{k}") for k in range(20)]
            fresh_store.save_posts(posts if n < end else [])
    understood(fresh_store)
    assert alert(fresh_store, config, now=evening(28)) == []
    assert alert(fresh_store, config, now=dt.datetime.combine(day(29), dt.time(0, 10), dt.UTC)) == [], "its last crawl may still run"
    told = alert(fresh_store, config, now=morning(29))
    assert len(told) == 1 and "forum: rule quiet is firing on 2025-01-29. 0 posts on 2025-01-29" in told[0]


def test_a_source_crawled_once_a_day_is_not_silent_at_midnight(fresh_store: Store) -> None:
    """A day is complete when a crawl begun after its end has had the time to end."""
    source = Source(name="forum", type="discourse", every=86400.0, terms=TERMS)
    config = watch({"id": "quiet", "type": "silence", "teams": []}, sources=[source])
    for n in range(28):
        at = dt.datetime.combine(day(n), dt.time(12), dt.UTC)
        fresh_store.save_posts([Post("forum", f"{n}-{k}", "u", "words", at, at, author_key=f"{k}") for k in range(20)])
    understood(fresh_store)
    assert alert(fresh_store, config, now=evening(29)) == []
    assert alert(fresh_store, config, now=morning(30)) != []


def test_an_alert_brings_posts_that_show_it(fresh_store: Store) -> None:
    """Three of the most negative posts of the fall, by different people in different threads, not the two-word one."""
    say(fresh_store, {**calm(28), 28: -0.6})
    at = dt.datetime.combine(day(28), dt.time(12), dt.UTC)
    said = [("a", "1", -0.9), ("a", "2", -0.95), ("b", "1", -0.8), ("c", "3", -0.7), ("d", "4", 0.8), ("e", "5", -0.6), ("f", "6", -1.0)]
    for n, (author, thread, value) in enumerate(said):
        text = "meta bad" if author == "f" else f"meta, and number {n} of some honest sentences"
        fresh_store.save_posts([Post("forum", str(n), f"https://forum/{n}", text, at, at, thread_id=thread, author_key=author)])
        score = Score(MODEL, max(0.0, -value), 1 - abs(value), max(0.0, value))
        reading = Reading(n + 1, text_hash(text), "en", [Mention("meta", 0, 4)], {"meta": (str(n), score)})
        fresh_store.save_readings([reading], model=MODEL, at=at)
    alert(fresh_store, watch(DROP), now=morning(29))
    assert [post["url"] for post in fresh_store.alert_posts(1)] == ["https://forum/1", "https://forum/2", "https://forum/3"]


def test_representative_of_a_spike_is_what_most_said() -> None:
    """Where more people than usual speak, the posts shown are the typical ones, whatever order the rows come in."""
    values = (-0.9, -0.1, 0.0, 0.1, 0.9)
    rows = [{"id": n, "value": v, "length": 90, "author_key": str(n), "source": "f", "thread_id": str(n)} for n, v in enumerate(values)]
    assert representative(rows, "spike", 3) == representative(rows[::-1], "spike", 3) == [2, 1, 3]
    assert representative(rows, "spike", 0) == [] and representative([], "drop", 3) == []


# ---- the state machine ---------------------------------------------------------------------------------------------


OUTCOMES: tuple[Outcome, ...] = ("breach", "clear", "between", "no data")


def says(outcome: Outcome) -> Verdict:
    return Verdict(outcome, "because", 0.25, 30, 30)


class Rounds(RuleBasedStateMachine):
    """Any verdicts on any days, complete or not, in the order in which days go."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = Rule.model_validate({"id": "r", "type": "drop", "for": 2, "recover_for": 2})
        self.state = State("normal", FIRST, None)
        self.today = FIRST
        self.told: list[str] = []
        self.breaches = self.recoveries = 0

    @rule(outcome=st.sampled_from(OUTCOMES))
    def look_at_today(self, outcome: Outcome) -> None:
        before = self.state
        self.state, event = advance(before, says(outcome), self.today, self.rule, complete=False)
        assert advance(self.state, says(outcome), self.today, self.rule, complete=False) == (self.state, None), "looking twice"
        assert before.name != "firing" or self.state == before
        assert event is None or outcome == "breach"
        assert self.state.checked_day == before.checked_day
        if event:
            self.note(event[1], self.breaches + 1)

    @rule(outcome=st.sampled_from(OUTCOMES))
    def end_the_day(self, outcome: Outcome) -> None:
        before = self.state
        self.state, event = advance(before, says(outcome), self.today, self.rule, complete=True)
        assert advance(self.state, says(outcome), self.today, self.rule, complete=True) == (self.state, None), "judging twice"
        if outcome != "no data":
            self.breaches = self.breaches + 1 if outcome == "breach" else 0
            self.recoveries = self.recoveries + 1 if outcome == "clear" else 0
        elif before.name == "firing":
            assert self.state.name == "firing" and self.state.streak == before.streak
        if event:
            assert event[:2] == (before.name, self.state.name)
            self.note(event[1], self.breaches)
        self.today += dt.timedelta(days=1)

    def note(self, after: str, breaches: int) -> None:
        if after == "firing":
            assert breaches >= self.rule.for_
        if after == "resolved":
            assert self.recoveries >= self.rule.recover_for and self.told[-1] == "firing"
        if after in ("firing", "resolved"):
            assert not self.told or self.told[-1] != after, "never twice"
            self.told.append(after)

    @invariant()
    def what_was_told_is_what_is(self) -> None:
        assert (self.state.name == "firing") == (bool(self.told) and self.told[-1] == "firing")


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


TEAMS = ("meta", "openai")


class Operation(RuleBasedStateMachine):
    """Rounds over months on a real file, whatever the figures, with late posts, silences, rules taken out and put back, and kills."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "monitor.db")
        self.today = 30
        with Store(self.path) as store:  # one team has just fallen, and nobody has looked yet
            say(store, {**calm(29), 29: -0.9})
            say(store, calm(30), team="openai")

    def teardown(self) -> None:
        self.folder.cleanup()

    def round(self, store: Store, *, enabled: bool = True) -> list[str]:
        config = watch({**DROP, "recover_for": 2, "baseline_days": 10, "enabled": enabled}, teams=TEAMS)
        return alert(store, config.model_copy(update={"notify": Notify(repeat="5d")}), now=morning(self.today))

    @rule(
        means=st.tuples(*[st.sampled_from([0.1, -0.9, None])] * len(TEAMS)),
        days=st.integers(1, 7),
        looks=st.sampled_from([True, True, False]),
    )
    def days_pass(self, means: tuple[float | None, ...], days: int, looks: bool) -> None:
        with Store(self.path) as store:
            for _ in range(days):
                for team, mean in zip(TEAMS, means, strict=True):
                    say(store, {self.today: mean and mean + 0.03 * (self.today % 3 - 1)}, team=team)
                self.today += 1
                if looks:
                    self.round(store)
            if looks:
                before = everything(store)
                assert self.round(store) == [] and everything(store) == before, "a round again does nothing"

    @rule(back=st.integers(1, 5), mean=st.sampled_from([0.1, -0.7]), team=st.sampled_from(TEAMS))
    def posts_come_late(self, back: int, mean: float, team: str) -> None:
        with Store(self.path) as store:
            told = [tuple(row) for row in store.rows("SELECT * FROM alerts")]
            say(store, {self.today - back: mean}, team=team)
            self.round(store)
            after = {row["id"]: tuple(row) for row in store.rows("SELECT * FROM alerts")}
            assert all(after[row[0]][7] == row[7] for row in told), "what was told is not told to be another day's"

    @rule(team=st.sampled_from((*TEAMS, "*")), days=st.integers(1, 6))
    def somebody_silences(self, team: str, days: int) -> None:
        with Store(self.path) as store:
            store.silence("*", team, "*", begins_at=morning(self.today), ends_at=morning(self.today + days), reason="because")

    @rule()
    def somebody_ends_the_silences(self) -> None:
        with Store(self.path) as store:
            for silence in store.silences(morning(self.today)):
                store.end_silence(silence["id"], morning(self.today))
            self.round(store)
            assert not store.rows("SELECT 1 FROM alerts WHERE state = 'firing' AND untold IS NOT NULL"), "what still fires is told"

    @rule(days=st.integers(0, 3))
    def the_rule_is_taken_out_and_put_back(self, days: int) -> None:
        with Store(self.path) as store:
            self.round(store, enabled=False)
            assert not store.rows("SELECT 1 FROM alerts WHERE state = 'firing'"), "what is not watched does not fire"
            self.today += days

    @rule(after=st.integers(0, 25))
    def a_round_is_killed(self, after: int) -> None:
        store, left = Store(self.path), after

        def trace(sql: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                store.connection.interrupt()

        store.connection.set_trace_callback(trace)
        with contextlib.suppress(MonitorError, sqlite3.OperationalError):
            self.round(store)
        store.close()

    @invariant()
    def people_know_what_is_so(self) -> None:
        """People hear of an alert's beginning at most once, of its end once after that, and of nothing untold; one fires at a time."""
        with Store(self.path) as store:
            for alert_id, state, untold in store.rows("SELECT id, state, untold FROM alerts"):
                sql = """SELECT e."before", e."after", e.reason FROM deliveries d JOIN alert_events e ON e.id = d.event_id
                         WHERE e.alert_id = ? ORDER BY d.id"""
                heard = [tuple(row) for row in store.rows(sql, (alert_id,))]
                begins = [row for row in heard if row[1] == "firing" and row[0] != "firing"]
                assert all(reason for _, _, reason in heard)
                assert (len(begins), bool(untold)) in ((0, True), (1, False))
                assert (heard[-1:] != [] and heard[-1][1] == "resolved") == (state == "resolved" and not untold)
                assert sum(row[1] == "resolved" for row in heard) <= 1
            firing = {(row[0], row[1]) for row in store.rows("SELECT rule, team FROM alerts WHERE state = 'firing'")}
            standing = {key[:2] for key, row in store.alert_states().items() if row["state"] in ("firing", "recovering")}
            assert firing == standing
            gaps = """SELECT rule, team, "before", "after" FROM alert_events WHERE "after" NOT IN ('ok', 'no data', 'error', 'inhibited')
                      AND NOT ("before" = 'firing' AND "after" = 'firing') ORDER BY id"""
            last: dict[tuple[str, str], str] = {}
            for name, team, before, after in store.rows(gaps):
                assert last.get((name, team), before) == before, "no change goes unwritten"
                last[name, team] = after


TestOperation = Operation.TestCase
TestOperation.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from([0.1, 0.1, -0.1, -0.7, None]), min_size=4, max_size=14),
    st.sets(st.integers(0, 13)),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_pauses_and_restarts_change_nothing(means: list[float | None], pauses: set[int], days: int, recover: int) -> None:
    """One round a day, or none for days, each twice and each in a process of its own: the same events and the same state."""
    config = watch({**DROP, "for": days, "recover_for": recover})
    ends = []
    for skipped in (set(), pauses - {0, len(means)}):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "monitor.db")
            for n in range(len(means) + 1):
                with Store(path) as store:
                    say(store, calm(28) if n == 0 else {27 + n: means[n - 1]})
                    if n in skipped:
                        continue
                    alert(store, config, now=morning(28 + n))
                    once = everything(store)
                    alert(store, config, now=morning(28 + n))
                    assert everything(store) == once
                    assert store.rows("SELECT count(*) FROM alerts WHERE state = 'firing'")[0][0] <= 1
            with Store(path) as store:
                ends.append((events(store), [tuple(row) for row in store.alert_states().values()]))
    assert ends[0] == ends[1]
