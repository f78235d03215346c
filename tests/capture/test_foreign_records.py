"""Records of the internal topics that something else wrote: refused in words, or left out."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.capture import control
from bridge.capture.checkpoint import codec
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.report import status_record
from bridge.model.errors import ConfigurationError
from tests.hostile_values import JSON_VALUES, quick

STATUS = asdict(status_record.SourceStatus("erp", "streaming", 1, 1))
CHECKPOINT = json.loads(codec.dump(CheckpointRecord()))
REQUEST = {"id": "1", "action": "snapshot", "system": "erp", "entity": "t"}
ANY_BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"]
)


def changed(record: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The record with one field of another kind, or any JSON in its place, or any bytes."""
    field = st.tuples(st.sampled_from(sorted(record)), JSON_VALUES)
    return st.one_of(
        field.map(lambda pair: json.dumps({**record, pair[0]: pair[1]}).encode()),
        JSON_VALUES.map(lambda value: json.dumps(value).encode()),
        ANY_BYTES,
    )


@quick
@given(changed(STATUS))
def test_a_report_can_be_shown_or_is_none(value: bytes) -> None:
    try:
        status = status_record.load(value)
    except ValueError:
        return
    status.healthy(1)
    [dict(each) for each in (*status.snapshots, *status.results, *status.paused.values())]
    datetime.fromtimestamp(status.at / 1_000_000, UTC)


@quick
@given(changed(CHECKPOINT))
def test_a_checkpoint_is_read_or_refused_with_the_way_out(value: bytes) -> None:
    try:
        codec.load(value, "erp")
    except ConfigurationError as error:
        assert "erp" in str(error)  # noqa: PT017 - what isn't refused is read, which is right too


@quick
@given(changed(REQUEST))
def test_a_request_is_read_or_refused(value: bytes) -> None:
    try:
        control.load(value)
    except ValueError:
        return
