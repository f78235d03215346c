"""What a read has seen comes out of its text as it went in."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import SendsVisibility
from connectors.journal.connector import connector as journal
from connectors.journal.dialects.sqlite.tables import VisibleUpTo
from connectors.postgres.connector import connector as postgres
from connectors.postgres.protocol.pg_snapshot import PgSnapshot, ServerHistory

XIDS = st.integers(3, 1 << 40)
SNAPSHOTS = st.builds(
    PgSnapshot,
    XIDS,
    XIDS,
    st.frozensets(XIDS, max_size=5),
    st.booleans(),
    st.none() | st.builds(ServerHistory, st.from_regex(r"[0-9]{1,20}", fullmatch=True), XIDS),
)


@given(SNAPSHOTS)
def test_a_snapshot_of_postgresql(snapshot: PgSnapshot) -> None:
    assert isinstance(postgres, SendsVisibility)
    assert postgres.load_visibility(postgres.dump_visibility(snapshot)) == snapshot


@given(st.integers(0, 1 << 62))
def test_a_number_of_the_journal(number: int) -> None:
    assert isinstance(journal, SendsVisibility)
    assert journal.load_visibility(journal.dump_visibility(VisibleUpTo(number))) == VisibleUpTo(
        number
    )


@pytest.mark.parametrize("connector", [postgres, journal])
@given(text=st.text(max_size=30) | SNAPSHOTS.map(postgres.dump_visibility), cut=st.integers(0, 30))
def test_other_texts_are_refused(connector: SendsVisibility, text: str, cut: int) -> None:
    with suppress(ValueError):
        connector.load_visibility(text[:cut])


def test_a_visibility_of_another_connector_is_a_defect() -> None:
    with pytest.raises(TypeError, match="VisibleUpTo"):
        postgres.dump_visibility(VisibleUpTo(1))
    with pytest.raises(TypeError, match="PgSnapshot"):
        journal.dump_visibility(PgSnapshot(1, 1, frozenset()))
