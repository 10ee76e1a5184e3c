"""Rules on corrected figures: weeks that share no day, by one method, as sure as their stored intervals, and plain about it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import rules
from monitor.alert import alert
from monitor.backtest import WEEKS_CAVEAT, backtest
from monitor.conditions import FALSE_ALARMS_CORRECTED
from monitor.config import Config, Rule, Source, Team, Terms, false_alarms
from monitor.records import CorrectedWeek, DailyTrend
from monitor.rules.overtakes import difference
from monitor.store import Store

FIRST = dt.date(2025, 1, 1)
MODEL = "m@1"


def week(n: int, mean: float, reach: float = 0.1, **fields: Any) -> CorrectedWeek:
    """The corrected week to day number `n`."""
    plain: dict[str, Any] = {"method": "confusion", "read": 0, **fields}
    return CorrectedWeek(
        FIRST + dt.timedelta(days=n), "meta", "*", MODEL, 40, plain.pop("authors", 30), 0, sufficient=True, mean=mean, low=mean - reach,
        high=mean + reach, negative_share=0.3, negative_low=0.2, negative_high=0.4, model_mean=0.0, model_negative_share=0.3, **plain,
    )  # fmt: skip


def none(n: int) -> DailyTrend:
    return DailyTrend(FIRST + dt.timedelta(days=n), "meta", "*", MODEL, 0, 0, 0, sufficient=False)


def rule(kind: str, **given_: object) -> Rule:
    more = {"against": "other"} if kind == "overtakes" else {}
    return Rule.model_validate({"id": kind, "type": kind, "figure": "corrected", "for": 1, "confidence": 0.95, **more, **given_})


def calm(days: int = 70, mean: float = 0.1, **fields: Any) -> list[DailyTrend]:
    return [week(n, mean, **fields) for n in range(days)]


def fallen(to: float = -0.5, **fields: Any) -> list[DailyTrend]:
    return [*calm(**fields), week(70, to, **fields)]


# ---- what is judged ------------------------------------------------------------------------------------------------


def test_below_says_whose_figure_it_is() -> None:
    """An alert tells that the figure is corrected and of a week, by what, of how many voices, and how sure it is."""
    verdict = rules.check([week(0, -0.5)], rule("below"))
    assert verdict.outcome == "breach" and (verdict.low, verdict.high, verdict.authors) == (-0.6, -0.4, 30)
    assert verdict.reason == (
        "Sentiment is -0.50 in the seven days to 2025-01-01 (corrected by what the model mistakes on held-out posts; 30 voices, "
        "95 % interval -0.60 to -0.40); the line is -0.30, and the true mean is under -0.42 with 95 % confidence."
    )
    assert "by a sample of 25 posts that were read" in rules.check([week(0, -0.5, method="sample", read=25)], rule("below")).reason
    assert rules.check([week(0, 0.5)], rule("above")).outcome == "breach"


def test_a_wide_interval_and_a_small_sample_are_not_certain() -> None:
    """The same mean is an alert by the interval that it has, and a sample of a few posts has heavier tails than one of many."""
    assert rules.check([week(0, -0.5, reach=0.3)], rule("below")).outcome == "between"
    few, many = (week(0, -0.5, reach=0.2, method="sample", read=read) for read in (6, 100))
    strict = rule("below", confidence=0.99)
    assert (rules.check([few], strict).outcome, rules.check([many], strict).outcome) == ("between", "between")
    likely = rule("below", confidence=0.985, threshold=-0.27)
    assert (rules.check([few], likely).outcome, rules.check([many], likely).outcome) == ("between", "breach")


@pytest.mark.parametrize("kind", ["below", "above", "drop", "rise", "overtakes"])
def test_without_a_corrected_figure_there_is_no_data(kind: str) -> None:
    """A day whose week has none, or one of fewer people than the rule wants, is neither good nor bad news."""
    for last in (none(70), week(70, -0.9, authors=7)):
        verdict = rules.check([*calm(), last], rule(kind))
        assert verdict.outcome == "no data" and ("no corrected figure" in verdict.reason) == (last.authors == 0)


# ---- against the weeks before --------------------------------------------------------------------------------------


def test_a_drop_is_against_weeks_that_share_no_day() -> None:
    """Eight weeks, the last of which ended seven days ago; what the weeks in between say does not matter."""
    verdict = rules.check(fallen(), rule("drop"))
    assert verdict.outcome == "breach" and verdict.before == pytest.approx(0.1)
    assert "from +0.10 (corrected mean of 8 weeks, 2025-01-09 to 2025-03-05) to -0.50 in the seven days to 2025-03-12" in verdict.reason
    assert rules.check([*calm(), week(70, 0.6)], rule("rise")).outcome == "breach"
    assert rules.check([*calm(), week(70, 0.05)], rule("drop")).outcome == "clear"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=70, max_size=70))
def test_weeks_that_overlap_are_never_compared(means: list[float]) -> None:
    """Whatever weeks that share days with each other say, the verdict is that of every seventh day."""
    history = [week(n, mean if (70 - n) % 7 else 0.1) for n, mean in enumerate(means)]
    assert rules.check([*history, week(70, -0.5)], rule("drop")) == rules.check(fallen(), rule("drop"))


def test_while_a_fall_goes_on_it_is_compared_with_before() -> None:
    """Weeks of the fall do not become their own baseline: those before the first day of the breach, and clear of its week, count."""
    history = [*calm(), *(week(n, -0.5) for n in range(70, 120))]
    began = FIRST + dt.timedelta(days=70)
    assert rules.check(history, rule("drop"), began=began).before == pytest.approx(0.1)
    assert rules.check(history, rule("drop")).before == pytest.approx(-0.5, abs=0.2)


def test_one_method_is_not_compared_with_the_other() -> None:
    """When the first sample is read nothing has turned: the rule waits for three weeks of samples."""
    verdict = rules.check([*calm(), week(70, -0.5, method="sample", read=100)], rule("drop"))
    assert verdict.outcome == "no data" and "0 weeks before it have a figure that was corrected in the same way" in verdict.reason


def test_what_the_confusion_leaves_open_does_not_shrink_with_weeks() -> None:
    """Its error is the same in every week, so that eight of them are no surer than one; those of samples are."""
    alike, apart = fallen(-0.22, reach=0.2), fallen(-0.22, reach=0.2, method="sample", read=200)
    assert (rules.check(alike, rule("drop")).outcome, rules.check(apart, rule("drop")).outcome) == ("breach", "breach")
    sure = rule("drop", confidence=0.99)
    assert (rules.check(alike, sure).outcome, rules.check(apart, sure).outcome) == ("between", "breach")


def test_overtakes_compares_what_lies_between_two_teams() -> None:
    """One team was under the other for weeks and is above it now, by more than both intervals leave open."""
    other = calm(71)
    between = [difference(one, two) for one, two in zip([*calm(mean=-0.2), week(70, 0.5)], other, strict=True)]
    verdict = rules.check(between, rule("overtakes"))
    assert verdict.outcome == "breach" and verdict.value == pytest.approx(0.4) and verdict.before == pytest.approx(-0.3)
    assert "corrected mean of 8 weeks" in verdict.reason and verdict.low == pytest.approx(0.4 - 0.02**0.5)
    assert rules.check([*between[:-1], difference(week(70, 0.2), other[-1])], rule("overtakes")).outcome == "between"
    assert not difference(week(70, 0.2), week(70, 0.1, method="sample", read=20)).sufficient
    assert not difference(week(70, 0.2), none(70)).sufficient


# ---- config.yaml ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"type": "shift"}, "type shift cannot use the corrected figure: it looks for the day of a turn.*write type drop"),
        ({"type": "spike"}, "type spike cannot use the corrected figure: it counts who speaks.*leave `figure` out"),
        ({"type": "silence"}, "type silence cannot use the corrected figure: it counts posts"),
        ({"type": "drop", "source": "hn"}, "corrected figures are of all sources together"),
        ({"type": "drop", "baseline_days": 14}, "write at least 21"),
    ],
)
def test_what_a_corrected_rule_cannot_be_is_a_sentence(more: dict[str, object], told: str) -> None:
    """`check` says why, and what to write in its place."""
    with pytest.raises(ValueError, match=told):
        Rule.model_validate({"id": "x", "figure": "corrected", **more})


@pytest.mark.parametrize("kind", list(FALSE_ALARMS_CORRECTED))
def test_a_budget_sets_the_confidence_of_corrected_rules_too(kind: str) -> None:
    """By what was measured of them, and not of the raw figure."""
    strict, loose = (rule(kind, budget=f"{often} per year", confidence=None) for often in (0.2, 0.35))
    assert strict.confidence > loose.confidence
    assert false_alarms(strict) == pytest.approx(0.2, rel=0.02)


# ---- rounds and replays --------------------------------------------------------------------------------------------


def known(store: Store, until: int) -> Config:
    """A store in which the corrected figure falls on day 65, while the raw one does not, and what watches it."""
    store.read_by("reader", MODEL)
    days = range(until + 1)
    rows = [replace(none(n), posts=30, authors=30, threads=30, sufficient=True, mean=0.1, low=0.0, high=0.2, variance=0.2) for n in days]
    store.replace_trends({(str(row.day), "meta"): 1 for row in rows}, rows)
    weeks = [week(n, -0.5 if n >= 65 else 0.1) for n in days]
    store.replace_weeks({(str(one.day), "meta"): 1 for one in weeks}, weeks)
    source = Source(name="forum", type="feed", terms=Terms(read_on=FIRST, by="us", allows="all"))
    fall = Rule.model_validate({"id": "fall", "type": "drop", "figure": "corrected"})
    raw = Rule.model_validate({"id": "raw", "type": "drop"})
    return Config(teams=(Team(id="meta", name="Meta"),), sources=(source,), rules=(fall, raw))


def test_an_alert_and_its_replay_are_on_the_corrected_figure(fresh_store: Store) -> None:
    """It is told on the second whole day of the fall, once, and a backtest tells the same and how it knows."""
    config = known(fresh_store, 75)
    told = [alert(fresh_store, config, now=dt.datetime.combine(FIRST + dt.timedelta(days=n), dt.time(6), dt.UTC)) for n in range(60, 77)]
    [[sentence]] = [each for each in told if each]
    assert sentence.startswith("Meta in *: rule fall is firing on 2025-03-08. Sentiment went from +0.10 (corrected mean of 8 weeks")
    assert "corrected by what the model mistakes on held-out posts; 30 voices, 95 % interval -0.60 to -0.40" in sentence
    replayed = backtest(fresh_store, config, now=dt.datetime.combine(FIRST + dt.timedelta(days=76), dt.time(6), dt.UTC))
    [row] = replayed["alerts"]
    assert (row["rule"], str(row["day"])) == ("fall", "2025-03-08") and row["reason"] in sentence
    assert WEEKS_CAVEAT in replayed["caveats"]


def test_a_week_that_is_not_over_is_not_judged(fresh_store: Store) -> None:
    """A corrected rule waits for the end of the day, whatever the hours before say."""
    config = known(fresh_store, 66)
    evening = dt.datetime.combine(FIRST + dt.timedelta(days=66), dt.time(22), dt.UTC)
    assert alert(fresh_store, config, now=evening) == []
