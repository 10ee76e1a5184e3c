"""The rules and their statistics: what makes an alert, what ends one, and what is left to chance."""

from __future__ import annotations

import datetime as dt
import math
from statistics import NormalDist
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import rules
from monitor.conditions import FALSE_ALARMS
from monitor.config import Rule, RuleType, false_alarms
from monitor.records import DailyTrend
from monitor.rules.overtakes import difference
from monitor.rules.statistics import count_tails, margin, t_quantile, voice_variance

FIRST = dt.date(2025, 1, 1)


def day(n: int, mean: float | None = 0.0, authors: int = 20, posts: int | None = None, sd: float = 0.5) -> DailyTrend:
    """Day number `n` with so many voices; a mean of None is a day with insufficient data."""
    date, count = FIRST + dt.timedelta(days=n), authors if posts is None else posts
    if mean is None:
        return DailyTrend(date, "team", "*", "m@1", count, authors, authors, False)
    variance = voice_variance(sd**2, authors)
    reach = margin(variance, authors, 0.975)
    return DailyTrend(date, "team", "*", "m@1", count, authors, authors, True, mean, mean - reach, mean + reach, 0.2, 0.6, 0.2, variance)


def rule(kind: str, **settings: object) -> Rule:
    plain = {"for": 1, "confidence": 0.998}
    return Rule.model_validate({"id": kind, "type": kind, **plain, **settings})


def calm(days: int = 28, authors: int = 20, mean: float = 0.1) -> list[DailyTrend]:
    """Days around `mean`, a little up and down, with about `authors` voices."""
    return [day(n, mean + 0.04 * (n % 3 - 1), authors + n % 5 - 2) for n in range(days)]


def test_every_type_of_rule_that_a_config_may_name_is_there() -> None:
    """Each type judges a quiet month without an alert."""
    for kind in get_args(RuleType):
        more = {"against": "other"} if kind == "overtakes" else {}
        assert rules.check(calm(), rule(kind, **more)).outcome in ("clear", "between")


# ---- below ---------------------------------------------------------------------------------------------------------


def test_below_needs_the_whole_interval_under_the_line() -> None:
    """The same mean is an alert when a hundred say it, and not when ten do."""
    below = rule("below", threshold=-0.3)
    assert rules.check([day(0, -0.5, authors=100)], below).outcome == "breach"
    assert rules.check([day(0, -0.5, authors=10)], below).outcome == "between"


def test_below_is_over_at_its_recovery_threshold_only() -> None:
    """Between the line and the recovery threshold nothing is said; at the latter it is clear."""
    below = rule("below", threshold=-0.3, recover=-0.2)
    assert rules.check([day(0, -0.25)], below).outcome == "between"
    assert rules.check([day(0, -0.2)], below).outcome == "clear"


def test_below_says_what_it_saw() -> None:
    """The sentence holds the mean, the day, the number of voices, the interval and the line."""
    verdict = rules.check([day(22, -0.6, authors=40)], rule("below"))
    assert verdict.outcome == "breach"
    for part in ("-0.60", "2025-01-23", "40 voices", "95 % interval -0.76 to -0.44", "-0.30", "99.8 %"):
        assert part in verdict.reason


# ---- drop ----------------------------------------------------------------------------------------------------------


def test_drop_says_from_what_to_what() -> None:
    """The sentence names baseline, days, mean, voices, interval and threshold; the figures travel with the verdict."""
    verdict = rules.check([*calm(), day(28, -0.7, authors=30)], rule("drop"))
    assert verdict.outcome == "breach"
    for part in ("from +0.10 (mean of 28 days, 2025-01-01 to 2025-01-28)", "to -0.70 on 2025-01-29 (30 voices", "0.80 lower", "where 0.25"):
        assert part in verdict.reason
    assert verdict.value == -0.7 and verdict.before == pytest.approx(0.1, abs=0.01) and verdict.low is not None and verdict.low < -0.7


def test_drop_is_judged_against_how_days_differ_anyway() -> None:
    """A fall that is far outside of a calm month is nothing in a restless one."""
    restless = [day(n, 0.1 + 0.5 * (-1) ** n, 60) for n in range(28)]
    fall = day(28, -0.35, 60)
    assert rules.check([*calm(authors=60), fall], rule("drop")).outcome == "breach"
    assert rules.check([*restless, fall], rule("drop")).outcome == "between"


def test_drop_smaller_than_the_threshold_is_none_however_certain() -> None:
    """Ten thousand voices that are 0.2 lower do not make an alert whose threshold is 0.25."""
    history = [*calm(authors=10_000), day(28, -0.1, 10_000)]
    assert rules.check(history, rule("drop")).outcome == "between"
    assert rules.check(history, rule("drop", threshold=0.15, recover=0.1)).outcome == "breach"


def test_drop_keeps_the_baseline_from_before_the_fall() -> None:
    """Two months after a fall that lasts, it is still a fall; without knowing of it, it would have become the baseline."""
    history = [*calm(), *(day(n, -0.7) for n in range(28, 90))]
    assert rules.check(history, rule("drop"), began=FIRST + dt.timedelta(days=28)).outcome == "breach"
    assert rules.check(history, rule("drop")).outcome == "clear"


def test_too_few_voices_or_days_are_no_data() -> None:
    """Neither a day with fewer voices than the rule needs nor a baseline of four days is judged, and the sentence says why."""
    few = rules.check([*calm(), day(28, -0.9, authors=7)], rule("drop", min_authors=8))
    assert few.outcome == "no data" and "7 voices" in few.reason
    withheld = rules.check([*calm(), day(28, None, authors=4)], rule("drop", min_authors=3))
    assert withheld.outcome == "no data"
    short = rules.check([*(day(n, None, 3) for n in range(20)), *(day(n) for n in range(20, 24)), day(24, -0.9)], rule("drop"))
    assert short.outcome == "no data" and "4 days" in short.reason


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-0.3, 0.3), st.integers(5, 200)), min_size=5, max_size=28),
    st.floats(-0.6, 0.3),
    st.integers(8, 200),
    st.floats(-0.3, 0.3),
    st.randoms(),
)
def test_drop_does_not_depend_on_the_level_nor_on_the_order_of_days(days, mean, authors, shift, random) -> None:  # type: ignore[no-untyped-def]
    """Everything moved up by as much, or the days of the baseline in another order: the same outcome."""
    drop = rule("drop")
    plain = rules.check([*(day(n, m, a) for n, (m, a) in enumerate(days)), day(len(days), mean, authors)], drop)
    moved = rules.check([*(day(n, m + shift, a) for n, (m, a) in enumerate(days)), day(len(days), mean + shift, authors)], drop)
    random.shuffle(days)
    mixed = rules.check([*(day(n, m, a) for n, (m, a) in enumerate(days)), day(len(days), mean, authors)], drop)
    assert plain.before is not None and moved.before is not None
    if min(abs(plain.before - mean - line) for line in (drop.threshold, drop.recover)) > 1e-6:
        assert plain.outcome == moved.outcome == mixed.outcome


# ---- spike ---------------------------------------------------------------------------------------------------------


def test_spike_counts_people_against_the_usual_number() -> None:
    """Three times the usual voices is a spike, in words too; twice is not, and one and a half is over."""
    spike = rule("spike", threshold=3, recover=1.5)
    verdict = rules.check([*calm(), day(28, authors=66)], spike)
    assert verdict.outcome == "breach" and verdict.value == 66 and verdict.before == 20
    for part in ("66 people", "2025-01-29", "usual are 20", "18 to 22", "3.30 times"):
        assert part in verdict.reason
    assert rules.check([*calm(), day(28, authors=40)], spike).outcome == "between"
    assert rules.check([*calm(), day(28, authors=30)], spike).outcome == "clear"


def test_spike_is_judged_against_how_numbers_go_up_and_down_anyway() -> None:
    """Where every fourth day has six times the people, one more such day is no alert."""
    restless = [day(n, authors=60 if n % 4 == 0 else 10) for n in range(28)]
    assert rules.check([*restless, day(28, authors=60)], rule("spike")).outcome == "between"
    assert rules.check([*calm(authors=10), day(28, authors=60)], rule("spike")).outcome == "breach"


def test_spike_of_a_team_hardly_ever_named() -> None:
    """From nobody to many is a spike; to fewer than min_authors it is none."""
    silent = [day(n, None, authors=0) for n in range(28)]
    assert rules.check([*silent, day(28, authors=25)], rule("spike", min_authors=8)).outcome == "breach"
    assert rules.check([*silent, day(28, None, authors=7)], rule("spike", min_authors=8)).outcome == "between"


def test_spike_that_lasts_is_not_its_own_baseline() -> None:
    """On the twentieth day of a spike the usual number is still that from before it."""
    history = [*calm(), *(day(n, authors=100) for n in range(28, 48))]
    verdict = rules.check(history, rule("spike"), began=FIRST + dt.timedelta(days=28))
    assert verdict.outcome == "breach" and verdict.before == 20


# ---- silence -------------------------------------------------------------------------------------------------------


def test_silence_is_a_day_without_what_is_usual() -> None:
    """No post where there are twenty a day is an alert that says so, and a day at half the usual ends it."""
    silence = rule("silence", threshold=0.1, recover=0.5)
    verdict = rules.check([*calm(), day(28, None, 0)], silence)
    assert verdict.outcome == "breach" and "0 posts on 2025-01-29" in verdict.reason and "a day (mean of 28 days" in verdict.reason
    assert rules.check([*calm(), day(28, authors=5)], silence).outcome == "between"
    assert rules.check([*calm(), day(28, authors=10)], silence).outcome == "clear"


def test_silence_of_a_small_series_takes_more_days() -> None:
    """One day without any of three voices is chance; three such days are not, and they count as three."""
    quiet = calm(authors=3)
    assert rules.check([*quiet, day(28, None, 0)], rule("silence", min_authors=2)).outcome == "between"
    verdict = rules.check([*quiet, *(day(n, None, 0) for n in (28, 29, 30))], rule("silence", min_authors=2, **{"for": 3}))
    assert verdict.outcome == "breach" and verdict.days == 3 and "from 2025-01-29 to 2025-01-31" in verdict.reason


def test_silence_means_nothing_where_few_speak() -> None:
    """With fewer usual authors than min_authors a silent day is no data, never an alert."""
    assert rules.check([*calm(authors=3), day(28, None, 0)], rule("silence", min_authors=8)).outcome == "no data"


def test_silence_that_lasts_stays_an_alert() -> None:
    """After two silent months the usual number is still that from before, and the first busy day is a recovery."""
    history = [*calm(), *(day(n, None, 0) for n in range(28, 90))]
    began = FIRST + dt.timedelta(days=28)
    assert rules.check(history, rule("silence"), began=began).outcome == "breach"
    assert rules.check([*history, day(90)], rule("silence"), began=began).outcome == "clear"


# ---- statistics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "df", "table"),
    [
        (0.975, 2, 4.302653), (0.975, 3, 3.182446), (0.975, 4, 2.776445), (0.975, 6, 2.446912), (0.975, 10, 2.228139),
        (0.975, 30, 2.042272), (0.975, 120, 1.979930), (0.995, 3, 5.840909), (0.995, 10, 3.169273), (0.999, 3, 10.214532),
        (0.999, 10, 4.143700), (0.999, 30, 3.385185), (0.95, 5, 2.015048), (0.75, 8, 0.706387),
    ],
)  # fmt: skip
def test_t_quantile_is_that_of_the_tables(probability: float, df: int, table: float) -> None:
    """Student's t as printed in statistical tables."""
    assert t_quantile(probability, df) == pytest.approx(table, rel=2e-6)


def test_t_quantile_of_many_voices_is_the_normal_one() -> None:
    """With many degrees of freedom it is the normal quantile."""
    assert t_quantile(0.998, 1e6) == pytest.approx(NormalDist().inv_cdf(0.998), rel=1e-5)


def test_five_voices_that_agree_are_not_certain() -> None:
    """The interval of five identical voices is wide, that of five hundred is narrow."""
    assert margin(voice_variance(0.0, 5), 5, 0.975) > 0.25
    assert margin(voice_variance(0.0, 500), 500, 0.975) < 0.005


def test_count_tails_where_days_do_not_vary_are_those_of_poisson() -> None:
    """Twenty-eight thousand days with five each: P(0) = exp(-5), and P(at least 1) is the rest."""
    at_most, at_least = count_tails(0, [5] * 28_000)
    assert at_most == pytest.approx(math.exp(-5), rel=1e-3) and at_least == 1
    assert count_tails(1, [5] * 28_000)[1] == pytest.approx(1 - math.exp(-5), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=5, max_size=28), st.integers(0, 400), st.integers(1, 7))
def test_count_tails_are_probabilities(past: list[int], count: int, days: int) -> None:
    """Both lie in [0, 1], overlap in the count itself, and the lower grows with the count."""
    at_most, at_least = count_tails(count, past, days)
    assert 0 <= at_most <= 1 and 0 <= at_least <= 1 and at_most + at_least >= 1 - 1e-9
    assert count_tails(count + 1, past, days)[0] >= at_most - 1e-9
    assert count_tails(count + 1, past, days)[1] == pytest.approx(1 - at_most, abs=1e-9)


# ---- rise and above ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.9, 0.9), min_size=12, max_size=35), st.sampled_from([("drop", "rise"), ("below", "above")]))
def test_rise_and_above_are_their_opposites_upside_down(means: list[float], kinds: tuple[str, str]) -> None:
    """What one says of a series, the other says of the same series with every sign turned."""
    down, up = kinds
    line = {"threshold": -0.3, "recover": -0.2} if down == "below" else {}
    turned = {name: -value for name, value in line.items()}
    series = [day(n, mean) for n, mean in enumerate(means)]
    mirrored = [day(n, -mean) for n, mean in enumerate(means)]
    assert rules.check(series, rule(down, **line)).outcome == rules.check(mirrored, rule(up, **turned)).outcome


def test_rise_and_above_say_what_they_saw() -> None:
    """The sentences speak of what is higher and of what lies over the line."""
    rise = rules.check([*calm(), day(28, 0.8, authors=30)], rule("rise"))
    assert rise.outcome == "breach" and "0.70 higher, where 0.25 higher is an alert" in rise.reason
    above = rules.check([day(0, 0.6, authors=40)], rule("above"))
    assert above.outcome == "breach" and "the true mean is over +0.3" in above.reason


# ---- shift ---------------------------------------------------------------------------------------------------------


def test_shift_tells_since_when() -> None:
    """A small fall that no single day shows is told, with the days and voices that it rests on and what was before."""
    history = [*calm(84), *(day(n, -0.1 + 0.04 * (n % 3 - 1)) for n in range(84, 94))]
    assert rules.check(history, rule("drop")).outcome == "between"
    verdict = rules.check(history, rule("shift", confidence=0.9995))
    assert verdict.outcome == "breach" and verdict.days == 10 and verdict.before == pytest.approx(0.1, abs=0.01)
    for part in ("since 2025-03-26 is -0.10 (", "on 10 days", "mean of 84 days, 2025-01-01 to 2025-03-25", "0.20 lower, where 0.10 lower"):
        assert part in verdict.reason


def test_shift_hears_a_slow_drift() -> None:
    """A hundredth a day is nothing from day to day and an alert within a month."""
    history = [*calm(84), *(day(84 + n, 0.1 - 0.01 * n + 0.04 * (n % 3 - 1)) for n in range(30))]
    assert rules.check(history, rule("shift", confidence=0.9995)).outcome == "breach"
    assert rules.check(history, rule("drop")).outcome != "breach"


def test_shift_looks_up_where_it_is_told_to() -> None:
    """A rise is nothing to a rule that looks for falls, and the other way about."""
    history = [*calm(84), *(day(n, 0.5) for n in range(84, 90))]
    assert rules.check(history, rule("shift")).outcome == "clear"
    up = rules.check(history, rule("shift", direction="up"))
    assert up.outcome == "breach" and "higher is an alert" in up.reason


def test_shift_is_over_when_a_week_is_as_before() -> None:
    """While it lasts, days before it stay the measure, however long; a week at the old level is clear, one good day is not."""
    began = FIRST + dt.timedelta(days=84)
    shift = rule("shift", recover=0.05)
    low = [*calm(84), *(day(n, -0.4) for n in range(84, 180))]
    assert rules.check(low, shift, began=began).outcome == "breach"
    assert rules.check([*low, day(180, 0.1)], shift, began=began).outcome == "breach"
    assert rules.check([*low, *(day(n, 0.1) for n in range(180, 187))], shift, began=began).outcome == "clear"


def test_shift_needs_voices_since_the_turn_and_days_before_it() -> None:
    """Few people on each day are enough when they are enough together; without ten days of figures there is nothing to compare with."""
    small = [*calm(84, authors=6), *(day(n, -0.9, authors=6) for n in range(84, 88))]
    assert rules.check(small, rule("shift", min_authors=20)).outcome == "breach"
    assert rules.check(small, rule("shift", min_authors=30)).outcome == "between"
    assert rules.check([*calm(8), day(8, -0.9)], rule("shift")).outcome == "no data"
    assert rules.check([*calm(40), day(40, None, authors=3)], rule("shift")).outcome == "no data"


# ---- overtakes -----------------------------------------------------------------------------------------------------


def between(one: list[DailyTrend], other: list[DailyTrend]) -> list[DailyTrend]:
    return [difference(*pair) for pair in zip(one, other, strict=True)]


def test_overtakes_tells_when_the_order_turns() -> None:
    """The team that was behind for four weeks and is ahead for one is told; one that always was ahead is not."""
    behind = [*calm(28, mean=-0.1), *(day(n, 0.5) for n in range(28, 35))]
    ahead = calm(35, mean=0.2)
    overtakes = rule("overtakes", against="other", teams="team")
    verdict = rules.check(between(behind, ahead), overtakes)
    assert verdict.outcome == "breach" and verdict.value == pytest.approx(0.3, abs=0.02) and "above that of other" in verdict.reason
    assert rules.check(between(ahead, calm(35, mean=-0.3)), overtakes).outcome == "between"
    assert rules.check(between(calm(35, mean=-0.1), ahead), overtakes).outcome == "clear"


def test_overtakes_needs_voices_on_both() -> None:
    """Where only one of the two is spoken of by enough people nothing is compared."""
    few = [*calm(28), *(day(n, 0.9, authors=6) for n in range(28, 35))]
    assert rules.check(between(few, calm(35)), rule("overtakes", against="other", min_authors=8)).outcome == "no data"
    assert difference(day(0, 0.5), day(0, None, authors=2)).sufficient is False


# ---- the budget ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(RuleType))
def test_a_smaller_budget_wants_more_certainty(kind: str) -> None:
    """`budget` sets the confidence by what was measured: fewer false alarms, more certainty; and the two agree both ways."""
    more = {"against": "other"} if kind == "overtakes" else {}
    wanted = [0.5, 1.0, 2.0] if kind == "silence" else [0.1, 0.2, 0.5, 1.0, 2.0]
    found = [Rule.model_validate({"id": "x", "type": kind, "budget": f"{often} per year", **more}) for often in wanted]
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    for often, one in zip(wanted, found, strict=True):
        worst = max(rate for _, rate in FALSE_ALARMS[one.type])
        assert false_alarms(one) == pytest.approx(min(often, worst), rel=0.02)
    assert Rule.model_validate({"id": "x", "type": kind, "budget": "1 per month", **more}).budget == 12


def test_a_budget_that_cannot_be_kept_is_refused() -> None:
    """However sure a rule on silence is, a source that is missing now and then is silent then."""
    with pytest.raises(ValueError, match="no confidence keeps a budget of"):
        Rule.model_validate({"id": "x", "type": "silence", "budget": "0.1 per year"})
