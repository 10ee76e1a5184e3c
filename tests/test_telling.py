"""Who is told, and when: one message per turn, none in a silence, all of it in the end, and again while it lasts."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_alert import DROP, alert, calm, day, events, morning, say

from monitor.config import Config, Rule, Target, Team, load
from monitor.deliver import deliver
from monitor.errors import ConfigError
from monitor.messages import compose
from monitor.settings import Notify
from monitor.store import Store

FALL = {28: -0.6, **dict.fromkeys(range(29, 60), -0.6)}
FAMILY = (Team(id="meta", name="Meta"), Team(id="genai", name="GenAI", parent="meta"), Team(id="openai", name="OpenAI"))


def watch(*rules: dict[str, object], teams: tuple[Team, ...] = FAMILY[:1], **notify: object) -> Config:
    targets = (Target(url="console"),)
    chosen = Notify.model_validate({"targets": targets, **notify})
    return Config(teams=teams, rules=tuple(Rule.model_validate(one) for one in rules or (DROP,)), notify=chosen)


def messages(store: Store) -> list[tuple[str, str, str, str]]:
    """(target, rule, team, state told of) of everything in the outbox, in its order."""
    sql = 'SELECT d.target, e.rule, e.team, e."after" FROM deliveries d JOIN alert_events e ON e.id = d.event_id ORDER BY d.id'
    return [(row[0], row[1], row[2], row[3]) for row in store.rows(sql)]


def fall(store: Store, *teams: str, until: int = 60) -> None:
    for team in teams:
        say(store, {**calm(28), **FALL, **dict.fromkeys(range(until, 60), 0.1)}, team=team)


def test_what_is_silenced_is_kept_and_told_once_when_it_still_fires(fresh_store: Store) -> None:
    """In a silence an alert is a row with the reason and no message; when it ends, the alert that still fires is told, once."""
    fall(fresh_store, "meta")
    fresh_store.silence("*", "meta", "*", begins_at=morning(20), ends_at=morning(32), reason="a known outage")
    told = alert(fresh_store, watch(), now=morning(29))
    assert len(told) == 1 and told[0].endswith("Not sent: Silence 1, until 2025-02-02T06:00:00Z: a known outage")
    for n in (30, 31):
        assert alert(fresh_store, watch(), now=morning(n)) == []
    assert messages(fresh_store) == [] and fresh_store.rows("SELECT state FROM alerts")[0][0] == "firing"
    assert alert(fresh_store, watch(), now=morning(32)) == ["Meta in *: rule fall still fires, and is told now."]
    assert alert(fresh_store, watch(), now=morning(33)) == []
    assert messages(fresh_store) == [("console", "fall", "meta", "firing")]
    assert fresh_store.due(morning(33))[0].event["event_day"] == "2025-01-29"


def test_what_is_over_before_its_silence_is_never_told(fresh_store: Store) -> None:
    """An alert that began and ended in a silence makes no message; one that was told before it, and ends in it, is told to be over."""
    fall(fresh_store, "meta", "openai", until=33)
    teams = (FAMILY[0], FAMILY[2])
    fresh_store.silence("*", "meta", "*", begins_at=morning(20), ends_at=morning(50), reason="quiet")
    alert(fresh_store, watch(teams=teams), now=morning(29))
    fresh_store.silence("*", "openai", "*", begins_at=morning(30), ends_at=morning(50), reason="quiet")
    for n in range(30, 52):
        alert(fresh_store, watch(teams=teams), now=morning(n))
    assert len(events(fresh_store)) == 4
    assert messages(fresh_store) == [("console", "fall", "openai", "firing"), ("console", "fall", "openai", "resolved")]


@pytest.mark.parametrize(
    ("rule", "team", "source", "kept"),
    [
        ("fall", "*", "*", True),
        ("x", "*", "*", False),
        ("*", "openai", "*", False),
        ("*", "*", "forum", False),
        ("fall", "meta", "*", True),
    ],
)
def test_a_silence_holds_what_it_names(fresh_store: Store, rule: str, team: str, source: str, kept: bool) -> None:
    """A silence of a rule, a team or a source keeps these alone; what it does not name is told."""
    fall(fresh_store, "meta")
    fresh_store.silence(rule, team, source, begins_at=morning(20), ends_at=morning(90), reason="r")
    alert(fresh_store, watch(), now=morning(29))
    assert (messages(fresh_store) == []) == kept


def test_the_command_silences_lists_and_ends(
    write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A team is named as people name it; what is unknown, or lacks its time or reason, is refused with what to write."""
    write_config()
    made = forum_monitor("silence", "GenAI", "--for", "3d", "--reason", "moving house")
    assert made.returncode == 0 and made.stdout.startswith("silence: 1, until "), made.stderr
    [row] = json.loads(forum_monitor("silence", "--list", "--json").stdout)
    assert (row["team"], row["rule"], row["source"], row["reason"]) == ("meta-genai", "*", "*", "moving house")
    assert dt.datetime.fromisoformat(row["ends_at"]) - dt.datetime.fromisoformat(row["begins_at"]) == dt.timedelta(days=3)
    assert "moving house" in forum_monitor("silence", "--list").stdout
    for words, said in (
        (("GenAI", "--for", "3d"), "--reason"),
        (("--for", "3d", "--reason", "r"), "name what is silenced"),
        (("--rule", "nope", "--for", "3d", "--reason", "r"), "no rule 'nope'"),
        (("GenAI", "--for", "soon", "--reason", "r"), "--for soon: write a duration"),
        (("--end", "7"), "no silence 7 is in force"),
        (("--list", "--end", "1"), "alone"),
    ):
        refused = forum_monitor("silence", *words)
        assert refused.returncode != 0 and said in refused.stderr, (words, refused.stderr)
    assert forum_monitor("silence", "--end", "1").returncode == 0
    assert json.loads(forum_monitor("silence", "--list", "--json").stdout) == []


def test_parent_and_child_fire_as_one(fresh_store: Store) -> None:
    """A team and the team above it make one message, on the parent, which names the child; another team makes its own."""
    fall(fresh_store, "meta", "genai", "openai")
    alert(fresh_store, watch(teams=FAMILY[::-1]), now=morning(29))
    assert sorted(messages(fresh_store)) == [("console", "fall", "meta", "firing"), ("console", "fall", "openai", "firing")]
    due = next(one for one in fresh_store.due(morning(29)) if one.event["team"] == "meta")
    assert "also sets off rule fall on GenAI in *" in compose(due.event, due.posts, watch(teams=FAMILY)).body
    part = fresh_store.rows("SELECT c.untold, r.team FROM alerts c JOIN alerts r ON r.id = c.part_of WHERE c.team = 'genai'")[0]
    assert tuple(part) == ("A part of the alert fall on Meta in * of 2025-01-29.", "meta")


def test_several_rules_on_one_turn_are_one_message(fresh_store: Store) -> None:
    """Of two rules that fire on the same fall, days apart, the second is linked to the first; one that sees a rise is told."""
    low = {"id": "low", "type": "below", "threshold": -0.4, "recover": -0.3, "for": 3, "confidence": 0.9}
    fall(fresh_store, "meta")
    for n in range(28, 36):
        alert(fresh_store, watch(DROP, low), now=morning(n))
    assert [one[:2] for one in events(fresh_store)] == [("meta", "firing")] * 2
    assert messages(fresh_store) == [("console", "fall", "meta", "firing")]
    rise = {"id": "up", "type": "rise", "for": 1, "confidence": 0.998, "baseline_days": 5}
    say(fresh_store, {36: 0.9})
    for n in (36, 37):
        alert(fresh_store, watch(DROP, low, rise), now=morning(n))
    assert ("console", "up", "meta", "firing") in messages(fresh_store)


def test_a_part_is_told_when_it_outlasts_the_whole(fresh_store: Store) -> None:
    """When the parent's alert is over and the child's still fires, the child's is told then; when both end together it is not."""
    for until, expected in ((33, 2), (60, 3)):
        with Store(fresh_store.path.with_name(f"{until}.db")) as store:
            fall(store, "meta", until=33)
            fall(store, "genai", until=until)
            for n in range(29, 40):
                alert(store, watch(teams=FAMILY), now=morning(n))
            assert [one[2:] for one in messages(store)] == [("meta", "firing"), ("meta", "resolved"), ("genai", "firing")][:expected]


def test_what_lasts_is_told_again(fresh_store: Store) -> None:
    """With `repeat: 7d` an alert that still fires after a week is told again, once, and again a week later; its end is told as ever."""
    fall(fresh_store, "meta", until=45)
    config = watch(repeat="7d")
    for n in range(29, 50):
        alert(fresh_store, config, now=morning(n))
        alert(fresh_store, config, now=morning(n) + dt.timedelta(hours=1))
    told = fresh_store.rows('SELECT e."after", e.day, e.reason FROM deliveries d JOIN alert_events e ON e.id = d.event_id ORDER BY d.id')
    assert [(row[0], row[1]) for row in told] == [
        ("firing", "2025-01-29"), ("firing", day(36).isoformat()), ("firing", day(43).isoformat()), ("resolved", day(46).isoformat()),
    ]  # fmt: skip
    assert told[1][2].startswith("Still firing, since 2025-01-29. Then: Sentiment went from")
    due = fresh_store.due(morning(50))[1]
    message = compose(due.event, due.posts, config)
    assert message.title.startswith("Still firing: Meta: ") and message.answers
    assert len(fresh_store.rows("SELECT * FROM alerts")) == 1


def test_severities_choose_the_targets(fresh_store: Store) -> None:
    """A target that names severities gets those alone; one that names none gets all; what nobody takes goes to everybody."""
    phone = {"url": "json://127.0.0.1/phone", "name": "phone", "severities": ["page"]}
    fall(fresh_store, "meta")
    for severity, others, expected in (
        ("page", ["console"], {"phone", "console"}),
        ("mail", ["console"], {"console"}),
        (None, ["console"], {"console"}),
        ("mail", [], {"phone"}),
    ):
        with Store(fresh_store.path.with_name(f"{severity}{len(others)}.db")) as store:
            fall(store, "meta")
            alert(store, watch({**DROP, "severity": severity}, targets=[*others, phone]), now=morning(29))
            assert {one[0] for one in messages(store)} == expected


def test_a_page_is_no_part_of_a_mail(fresh_store: Store) -> None:
    """An alert that wakes somebody is not swallowed by one on the same turn that went to the mailbox only."""
    mailed, paged = {**DROP, "severity": "mail"}, {**DROP, "id": "steep", "severity": "page"}
    phone, box = ({"url": f"json://127.0.0.1/{name}", "name": name, "severities": [name]} for name in ("page", "mail"))
    fall(fresh_store, "meta")
    alert(fresh_store, watch(mailed, paged, targets=[phone, box]), now=morning(29))
    assert sorted(one[:2] for one in messages(fresh_store)) == [("mail", "fall"), ("page", "steep")]


@pytest.mark.parametrize(
    ("mute", "moment", "quiet"),
    [
        ("22:00-07:00", "2025-01-30T21:30:00Z", True),  # 22:30 in Paris
        ("22:00-07:00", "2025-01-31T05:59:00Z", True),
        ("22:00-07:00", "2025-01-31T06:00:00Z", False),
        ("22:00-07:00", "2025-07-31T05:00:00Z", False),  # seven o'clock there, in summer
        ("12:00-13:30", "2025-01-31T12:29:00Z", True),
        ("12:00-13:30", "2025-01-31T12:30:00Z", False),
        ("sat", "2025-01-31T23:00:00Z", True),
        ("sat", "2025-02-01T23:00:00Z", False),
    ],
)
def test_mute_times_are_those_of_the_wall_clock_there(mute: str, moment: str, quiet: bool) -> None:
    """A night goes over midnight, a day from midnight to midnight, by the clock of `timezone`, summer time included."""
    assert Notify(mute=(mute,), timezone="Europe/Paris").muted(dt.datetime.fromisoformat(moment)) == quiet


def test_what_is_held_back_by_a_mute_time_goes_out_after(fresh_store: Store) -> None:
    """At night nothing is sent and nothing is lost: in the morning it leaves, once."""
    fall(fresh_store, "meta")
    config, sent = watch(mute="22:00-07:00"), list[str]()
    alert(fresh_store, config, now=morning(29))
    for hour in (6, 6.5, 7, 8):
        now = morning(29) + dt.timedelta(hours=hour - 6)
        done = deliver(fresh_store, config, clock=lambda now=now: now, send=lambda _, message: sent.append(message.title))
        assert (done.waiting, done.sent) == {6: (1, 0), 6.5: (1, 0), 7: (0, 1), 8: (0, 0)}[hour]
    assert len(sent) == 1


def test_mistakes_in_mute_times_are_said(tmp_path: Path) -> None:
    """A span that is none, a zone that is none, and a week without a day for messages are each refused with what to write."""
    for text, said in (
        ("mute: [22-7]", "Write a span of the clock such as 22:00-07:00"),
        ("mute: ['25:00-07:00']", "Write a span of the clock"),
        ("timezone: Mars/Olympus", "Write a time zone by its place"),
        ("mute: [mon, tue, wed, thu, fri, sat, sun]", "Leave a day"),
    ):
        (tmp_path / "config.yaml").write_text(f"teams: [{{id: meta, name: Meta}}]\nnotify: {{{text}}}\n")
        with pytest.raises(ConfigError, match=said):
            load(tmp_path / "config.yaml")
