"""The dead man's ping: heard after each whole round that ended well, and after no other."""

from __future__ import annotations

import datetime as dt

import pytest
from answers import Answer, Site
from pydantic import ValidationError

from monitor.config import Config
from monitor.deliver import Delivered
from monitor.heartbeat import ROUND, beat
from monitor.settings import Notify
from monitor.store import Store

NOON = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)


def ran(store: Store, at: dt.datetime, **outcomes: str) -> None:
    """A round at `at`, every step of which ended well but for `outcomes`."""
    for step in ROUND:
        store.end_run(store.begin_run(step, "", at), at, outcome=outcomes.get(step, "ok"))


def after(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def test_each_whole_round_is_heard_once(fresh_store: Store) -> None:
    """The service hears of a round at the delivery that ends it, not again at the next deliveries, and of the next round."""
    with Site({"/ping/secret": Answer("ok")}) as service:
        config = Config(notify=Notify(heartbeat=f"{service.url}/ping/secret"))
        for minutes, heard in ((0, 0), (1, 1), (2, 1), (11, 2)):
            if minutes in (1, 11):
                ran(fresh_store, after(minutes - 1))
            assert beat(fresh_store, config, Delivered(), now=after(minutes)) is None
            assert len(service.requests) == heard


@pytest.mark.parametrize("step", ROUND)
@pytest.mark.parametrize("outcome", ["failed", "killed", "stopped"])
def test_a_round_that_did_not_end_well_is_not_heard(fresh_store: Store, step: str, outcome: str) -> None:
    """Whatever step failed, the service hears nothing, and so raises its alarm."""
    with Site({"/ping": Answer("ok")}) as service:
        ran(fresh_store, NOON, **{step: outcome})
        beat(fresh_store, Config(notify=Notify(heartbeat=f"{service.url}/ping")), Delivered(), now=after(1))
        assert service.requests == []


def test_messages_that_do_not_leave_are_not_well(fresh_store: Store) -> None:
    """A delivery with errors ends no round well; nor does one between two attempts; nor do steps that have not run for hours."""
    with Site({"/ping": Answer("ok")}) as service:
        config = Config(notify=Notify(heartbeat=f"{service.url}/ping"))
        ran(fresh_store, NOON)
        beat(fresh_store, config, Delivered(waiting=1, errors=["refused"]), now=after(1))
        beat(fresh_store, config, Delivered(), now=after(300))
        assert service.requests == []


def test_a_service_that_does_not_answer_is_asked_again(fresh_store: Store) -> None:
    """Its failure is said without its address, harms nothing, and the next delivery asks again."""
    with Site({"/ping/secret": [Answer("no", 500), Answer("ok")]}) as service:
        config = Config(notify=Notify(heartbeat=f"{service.url}/ping/secret"))
        ran(fresh_store, NOON)
        said = beat(fresh_store, config, Delivered(), now=after(1))
        assert said and "asked again" in said and "secret" not in said
        assert beat(fresh_store, config, Delivered(), now=after(2)) is None
        assert len(service.requests) == 2


def test_an_address_that_is_none_is_refused_unseen() -> None:
    """A slip in it is said without showing what may hold a secret."""
    with pytest.raises(ValidationError) as refused:
        Notify(heartbeat="hc/secret-uuid")
    assert "begins with https://" in str(refused.value) and "secret" not in str(refused.value)
