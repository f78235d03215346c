from __future__ import annotations

from connectors.postgres.capture.feedback import StandbyFeedback
from connectors.postgres.capture.slot import confirmed_lsn


def test_what_is_durable_is_news_only_when_it_is_further() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    assert durable.reach(0x100, received=0x200)
    assert not durable.reach(0x100, received=0x200)
    assert not durable.reach(0x80, received=0x200)
    assert durable.reach(0x108, received=0x200)


def test_what_was_not_received_is_never_confirmed() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    assert durable.reach(0x1000, received=0x200)
    assert not durable.reach(0x200, received=0x200)
    assert durable.reach(0x208, received=0x208)


def test_what_the_server_knows_is_no_news() -> None:
    durable = StandbyFeedback(lambda: 0.0)
    durable.already_confirmed(confirmed_lsn(0x100))
    assert not durable.reach(0x100, received=0x100)
