"""The condition of a requested snapshot, as the source knows it."""

from __future__ import annotations

import json

from bridge.capture.source_condition import source_condition
from bridge.model.encoded_text import condition_from_json
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from tests.agent.sqlite_erp import CUSTOMER, memory_shape

SHAPE = memory_shape("kna1", ("kunnr", "klimk", "skfor"))
TABLE = EntityTable(CUSTOMER, entity_type(CUSTOMER, SHAPE), SHAPE)


def test_fields_become_the_sources_columns_and_values() -> None:
    """Zeros in front are the source's, not the entity's."""
    condition = source_condition(TABLE, {"customer_id": "7"})
    assert condition_from_json(json.loads(json.dumps(condition))) == {"kunnr": "0000000007"}


def test_without_fields_there_is_no_condition() -> None:
    assert source_condition(TABLE, {}) == {}
