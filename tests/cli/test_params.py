"""What people write on the command line: times, places, keys, values, names."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.app import group
from bridge.cli.command_runner import NothingFound
from bridge.cli.params.field_values import (
    parse_condition,
    parse_key,
    parse_key_parts,
    parse_pairs,
    parse_value,
)
from bridge.cli.params.log_start import LogPositionParam as StartType
from bridge.cli.params.log_start import parse_start
from bridge.cli.params.times import TimeParam, instant_ms, span_ms
from bridge.cli.params.topics import existing_topics, resolve_topics
from bridge.log.port import TopicPartition
from bridge.log.start_offsets import BEGINNING, END, LogStart, clamp_offset
from bridge.model.types import Entity, Field, FieldType, parse_type
from tests.hostile_values import EARLY, LATE, quick

NOW = 1_800_000_000_000
LINE = Entity(
    "erp",
    "order_line",
    ("order_no", "line_no"),
    (
        Field("order_no", FieldType("string")),
        Field("line_no", FieldType("integer")),
        Field("price", FieldType("decimal", 15, 2)),
    ),
)
ENTITIES = ["erp.order", "erp.customer", "crm.customer"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOW),
        ("10m ago", NOW - 600_000),
        ("-10m", NOW - 600_000),
        ("-1h30m", NOW - 5_400_000),
        ("1.5h ago", NOW - 5_400_000),
        ("2 d ago", NOW - 172_800_000),
        ("1700000000000", 1_700_000_000_000),
        ("2026-01-31T10:00:00Z", 1_769_853_600_000),
        ("2026-01-31T11:00:00+01:00", 1_769_853_600_000),
        ("2026-01-31T10:00:00.250Z", 1_769_853_600_250),
    ],
)
def test_instants_are_understood_as_people_write_them(text: str, instant: int) -> None:
    assert instant_ms(text, NOW) == instant


def test_a_time_without_zone_is_this_machines() -> None:
    here = datetime(2026, 1, 31, 10, 0).astimezone()
    assert instant_ms("2026-01-31T10:00", NOW) == here.timestamp() * 1000
    assert instant_ms("2026-01-31", NOW) == datetime(2026, 1, 31).astimezone().timestamp() * 1000


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "10", "10m", "ago", "-", "10 parsecs ago", "-2026", "99999999999999999", "9" * 5000,
        "9" * 400 + "d ago", "1969-12-31", "0001-01-01", "9999-12-31T23:59:59Z",
        "\u00b2\u00b3", "\u0661\u0660m ago",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="10m ago"):
        instant_ms(text, NOW)


@given(st.integers(1, 10_000), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_a_span_ago_is_that_span_before_now(number: int, unit: str) -> None:
    span = span_ms(f"{number}{unit}")
    assert span is not None
    assert instant_ms(f"{number}{unit} ago", NOW) == max(0, NOW - span)


def test_places_are_ends_offsets_and_times() -> None:
    assert parse_start("beginning", NOW) == BEGINNING
    assert parse_start("end", NOW) == END
    assert parse_start("42", NOW) == LogStart("offset", 42)
    assert parse_start("1700000000000", NOW) == LogStart("time", 1_700_000_000_000)
    assert parse_start("1s ago", NOW) == LogStart("time", NOW - 1000)
    with pytest.raises(ValueError, match="beginning"):
        parse_start("middle", NOW)


def test_an_offset_is_held_inside_of_what_is_there() -> None:
    places = [TopicPartition("t", number) for number in range(3)]
    first, last = (
        dict(zip(places, (0, 20, 50), strict=True)),
        dict(zip(places, (10, 40, 90), strict=True)),
    )
    assert list(clamp_offset(places, 30, first, last).values()) == [10, 30, 50]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "007", "007"),
        ("integer", "7", 7),
        ("decimal(9,2)", "7.10", Decimal("7.10")),
        ("boolean", "yes", True),
        ("boolean", "false", False),
        ("double", "1e3", 1000.0),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("timestamp", "2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("local_timestamp", "2026-01-31T10:00:00", datetime(2026, 1, 31, 10)),  # noqa: DTZ001 - local is meant
        (
            "uuid",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ),
        ("array(integer)", "[1, 2]", [1, 2]),
        ("bytes", "00ff", b"\x00\xff"),
    ],
)
def test_values_are_of_their_fields_type(kind: str, text: str, value: object) -> None:
    assert parse_value(parse_type(kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "7.5"),
        ("decimal(9,2)", "NaN"),
        ("decimal(9,2)", "7,10"),
        ("boolean", "maybe"),
        ("date", "31.1.2026"),
        ("local_timestamp", "2026-01-31T10:00:00Z"),
        ("array(integer)", "1,2"),
    ],
)
def test_values_of_another_type_are_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="is not of type"):
        parse_value(parse_type(kind), text)


@pytest.mark.parametrize(
    "text",
    ["order_no=4711,line_no=10", "line_no=10,order_no=4711", '{"order_no": "4711", "line_no": 10}'],
)
def test_keys_of_several_fields_are_json_or_pairs(text: str) -> None:
    assert list(parse_key(LINE, text).items()) == [("order_no", "4711"), ("line_no", 10)]


@pytest.mark.parametrize(
    "text",
    [
        "4711",
        "order_no=4711",
        "order_no=1,line_no=1,x=1",
        '{"order_no": "1"}',
        "{",
        "line_no=x,order_no=1",
    ],
)
def test_keys_that_lack_a_field_or_have_another_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"key|line_no"):
        parse_key(LINE, text)


@given(st.text(min_size=1).filter(lambda text: text[0] != "{" and not text.startswith("no=")))
def test_a_key_of_one_field_is_the_text_itself(text: str) -> None:
    assert parse_key_parts(("no",), text) == {"no": text}


def test_conditions_name_fields_that_are_there() -> None:
    assert parse_condition(LINE, ["price=1.50", "line_no=3"]) == {
        "price": Decimal("1.50"),
        "line_no": 3,
    }
    with pytest.raises(ValueError, match="no field 'colour'; it has order_no"):
        parse_condition(LINE, ["colour=red"])
    with pytest.raises(ValueError, match="repeated"):
        parse_pairs(["a=1", "a=2"])


def test_names_of_topics_are_entities_systems_fixed_topics_and_topics_in_full() -> None:
    topic_names = {"acme.erp.order", "acme.commands", "elsewhere"}
    assert resolve_topics("acme", "erp.order", ENTITIES, topic_names) == ["acme.erp.order"]
    assert resolve_topics("acme", "order", ENTITIES, topic_names) == ["acme.erp.order"]
    assert resolve_topics("acme", "erp", ENTITIES, topic_names) == [
        "acme.erp.order",
        "acme.erp.customer",
    ]
    assert resolve_topics("acme", "dead", ENTITIES, topic_names) == ["acme.dead"]
    assert resolve_topics("acme", "elsewhere", ENTITIES, topic_names) == ["elsewhere"]
    with pytest.raises(click.UsageError, match=r"several systems: erp\.customer, crm\.customer"):
        resolve_topics("acme", "customer", ENTITIES, topic_names)
    with pytest.raises(click.UsageError, match=r"entities are crm\.customer"):
        resolve_topics("acme", "nothing", ENTITIES, topic_names)


def test_topics_that_nobody_has_written_to_are_nothing_found() -> None:
    assert existing_topics("acme", [], ENTITIES, {"acme.erp.order"}) == ["acme.erp.order"]
    with pytest.raises(NothingFound, match="bridgectl run"):
        existing_topics("acme", ["crm"], ENTITIES, {"acme.erp.order"})


@quick
@given(
    st.sampled_from(
        [
            "boolean",
            "integer",
            "double",
            "decimal(9,2)",
            "bytes",
            "date",
            "time",
            "timestamp",
            "local_timestamp",
            "uuid",
            "array(integer)",
        ]
    ),
    st.text()
    | st.sampled_from(
        ["9" * 5000, "[" * 100_000, LATE, EARLY, "NaN", "1e999999999999999999", "--5"]
    ),
)
def test_any_text_is_a_value_of_the_type_or_refused_in_words(kind: str, text: str) -> None:
    try:
        parse_value(parse_type(kind), text)
    except ValueError:
        return


@quick
@given(st.text() | st.sampled_from(["{" + "[" * 100_000, '{"order_no": ' + "9" * 5000 + "}"]))
def test_any_text_is_a_key_or_refused_in_words(text: str) -> None:
    for written in (text, "{" + text):
        try:
            parse_key(LINE, written)
        except ValueError:
            continue


def _options(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    for option in command.params:
        yield f"{path} {option.name}", option
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _options(inner, f"{path} {name}")


@pytest.mark.parametrize(("name", "option"), [*_options(group)], ids=str)
def test_no_number_and_no_time_of_an_option_is_endless(name: str, option: click.Parameter) -> None:
    kind = option.type
    assert kind not in {click.INT, click.FLOAT}, f"{name}: give it an end"
    if isinstance(kind, click.IntRange | click.FloatRange | TimeParam | StartType):
        for text in ("9" * 400, "nan", "inf", "-9999999999999999999", "1e400"):
            with pytest.raises(click.BadParameter):
                kind.convert(cast("Any", text), option, None)
