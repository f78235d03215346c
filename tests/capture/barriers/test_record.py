"""What a barrier's record says, and that nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.barriers.record import BarrierRecord, barrier_key, dump, load
from bridge.model.errors import ConfigurationError
from bridge.model.names import NAME
from bridge.model.position import ZERO

RECORD = BarrierRecord(7, 1, ZERO, ("gateway-3", "audit-1"))


def test_the_stored_form_is_this_one() -> None:
    assert json.loads(dump(RECORD)) == {
        "format": 1,
        "barrier": 7,
        "epoch": 1,
        "position": ZERO,
        "answered": ["gateway-3", "audit-1"],
    }


@given(st.integers(0), st.integers(0), st.text(), st.lists(st.text()))
def test_a_record_is_read_as_it_was_written(
    number: int, epoch: int, position: str, answered: list[str]
) -> None:
    record = BarrierRecord(number, epoch, position, tuple(answered))
    assert load(dump(record), "erp") == record


def test_its_key_is_no_systems_name() -> None:
    assert barrier_key("erp") == b"erp/barrier"
    assert not NAME.fullmatch(barrier_key("erp").decode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        b'{"format":1}',
        dump(RECORD).replace(b"7", b"true"),
        dump(RECORD).replace(b'"gateway-3"', b"5"),
        dump(RECORD).replace(f'"{ZERO}"'.encode(), b"null"),
    ],
)
def test_what_is_no_barrier_is_refused(value: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"barrier record of 'erp' can't be read"):
        load(value, "erp")


def test_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="has format 2, this version knows 1"):
        load(b'{"format":2,"proofs":[]}', "erp")
