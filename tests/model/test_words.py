"""Positions, names, commands, versions: the small values that everybody compares."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import headers, names
from bridge.model.command import Command, command_id, default_idempotency_key, seal
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RowError
from bridge.model.event import Event, Unavailable, row_version
from bridge.model.position import (
    MAX_COMMIT,
    MAX_EPOCH,
    MAX_NUMBER,
    ZERO,
    Position,
    format_position,
    parse_position,
)
from bridge.model.types import Entity, Field, FieldType

PARTS = st.tuples(st.integers(0, MAX_EPOCH), st.integers(0, MAX_COMMIT), st.integers(0, MAX_NUMBER))
AT = datetime(2024, 1, 31, tzinfo=UTC)


@given(PARTS, PARTS)
def test_positions_compare_as_text_as_they_do_as_numbers(
    left: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert (format_position(*left) < format_position(*other)) == (left < other)
    assert parse_position(str(Position(*left))) == left


def test_the_least_position_is_zero() -> None:
    assert format_position(0, 0, 0) == ZERO


@pytest.mark.parametrize("parts", [(-1, 0, 0), (2**16, 0, 0), (0, 2**64, 0), (0, 0, 2**40)])
def test_a_part_that_does_not_fit_is_never_cut(parts: tuple[int, int, int]) -> None:
    with pytest.raises(OverflowError):
        format_position(*parts)


@pytest.mark.parametrize("text", ["", "1", ZERO + "0", ZERO.replace("-", "_"), "x" * 32])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() has its own words for some
        parse_position(text)


@pytest.mark.parametrize("name", ["a", "sales_order2", "a" * 63])
def test_valid_names_pass(name: str) -> None:
    assert names.check_name(name, "entity") == name


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a.b", "a" * 64, "ä", "a\n"])
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"entity .* lower-case letter"):
        names.check_name(name, "entity")


def test_topics_are_made_of_names() -> None:
    assert names.change_topic("acme", "erp", "order") == "acme.erp.order"
    assert names.system_topic("acme", names.DEAD) == "acme.dead"
    assert names.internal_topic("acme", names.POSITIONS) == "_acme.positions"
    assert names.split_entity("erp.order") == ("erp", "order")


@pytest.mark.parametrize("text", ["erp", "erp.", ".x", "erp.A", "a.b.c"])
def test_what_names_no_entity_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"system\.entity"):
        names.split_entity(text)


def test_headers_follow_cloudevents() -> None:
    assert headers.event_id("erp", "P") == "erp:P"
    assert headers.event_type("acme", "erp", "order", "create") == "acme.erp.order.create"
    assert headers.event_source("acme", "erp") == "/acme/erp"


def sealed(command: Command, **options: Any) -> Any:
    return seal(
        command, {"id": "7"}, agent="watch", requested_at=AT, idempotency_key="k", **options
    )


def test_a_digest_binds_name_key_args_and_expect_and_nothing_else() -> None:
    command = sealed(Command("erp.block", "7", {"a": 1, "b": Decimal("1.0")}, "v1"))
    assert (
        command.digest
        == sealed(Command("erp.block", "7", {"b": Decimal("1.0"), "a": 1}, "v1", reason="x")).digest
    )
    for other in (
        Command("erp.unblock", "7", {"a": 1, "b": Decimal("1.0")}, "v1"),
        Command("erp.block", "7", {"a": 2, "b": Decimal("1.0")}, "v1"),
        Command("erp.block", "7", {"a": 1, "b": Decimal("1.00")}, "v1"),
        Command("erp.block", "7", {"a": 1, "b": Decimal("1.0")}, None),
    ):
        assert sealed(other).digest != command.digest
    assert (command.key, command.args) == ('{"id":"7"}', '{"a":1,"b":"1.0"}')


def test_a_command_id_is_the_agents_name_and_26_signs_of_its_key() -> None:
    id_text = command_id("watch", "k")
    agent, _, rest = id_text.partition(":")
    assert agent == "watch"
    assert len(rest) == 26
    assert set(rest) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert id_text != command_id("watch", "l")
    assert id_text == sealed(Command("erp.block", "7")).id


def test_the_default_idempotency_key_tells_commands_of_one_event_apart() -> None:
    first = default_idempotency_key("a", "h", "erp:P", 0)
    assert first != default_idempotency_key("a", "h", "erp:P", 1)
    assert first != default_idempotency_key("a", "other", "erp:P", 0)


def test_an_argument_without_a_canonical_form_is_refused() -> None:
    with pytest.raises(Rejected):
        sealed(Command("erp.block", "7", {"a": object()}))


ENTITY = Entity(
    "erp", "order", ("id",), (Field("id", FieldType("integer")), Field("n", FieldType("string")))
)
VERSIONED = Entity("erp", "order", ("id",), ENTITY.fields, version="n")


def test_a_version_is_a_hash_of_the_fields_or_the_systems_own() -> None:
    row = {"id": 1, "n": "x"}
    assert row_version(ENTITY, row) == row_version(ENTITY, {"n": "x", "id": 1})
    assert row_version(ENTITY, row) != row_version(ENTITY, {"id": 1, "n": "y"})
    assert row_version(ENTITY, row, ("id",)) == row_version(ENTITY, {"id": 1, "n": "y"}, ("id",))
    assert row_version(VERSIONED, row) == "x"
    assert row_version(VERSIONED, row, ("id",)) == row_version(ENTITY, row, ("id",))


def test_the_version_of_a_delete_is_that_of_the_row_that_was() -> None:
    row = {"id": 1, "n": "x"}

    def event(before: Any, after: Any) -> Event:
        return Event(
            "erp.order", "delete", {"id": 1}, before, after, (), ZERO, None, None, AT, "id", ENTITY
        )

    assert event(row, None).version == event(None, row).version


def test_an_unavailable_field_is_missing_as_an_attribute_and_as_a_key() -> None:
    error = Unavailable("no such luck")
    assert isinstance(error, AttributeError)
    assert isinstance(error, KeyError)
    assert str(error) == "no such luck"


def test_a_row_error_names_its_place() -> None:
    error = RowError("too big", column="netwr", field="total", step="fit")
    assert str(error) == "column 'netwr', field 'total', step 'fit': too big"
    assert str(RowError("too big")) == "too big"
    assert isinstance(error, BridgeError)
