"""What becomes of a change: entries, failures, dead letters."""

import hashlib
import json
import struct
from types import ModuleType
from typing import Any

import pytest

from bridge.connector import CREATE, DELETE, UPDATE, Change, SourceTransaction
from bridge.model.errors import RowError
from bridge.model.position import parse_position
from bridge.model.specs import FieldSpec
from bridge.plan.murmur2 import partition
from bridge.plan.steps import MISSING, Wire
from tests.plan.plans import CAPTURED, pgoutput, plan_of, read_change, read_key, shape

COLUMNS = [("id", "python", "integer"), ("name", "python", "string"), ("big", "python", "string")]
SHAPE = shape(COLUMNS, Wire.PYTHON)
ENTITY, PLAN = plan_of(SHAPE)
HERE = SourceTransaction("77", 0x10, 1_600_000_000_000_000)


def run(form: ModuleType, *changes: Change, limit: int = 900_000) -> tuple[list[Any], list[Any]]:
    out: list[Any] = []
    failures = form.RowEncoder(PLAN, "acme", 1, 2, 5, limit).changes(changes, 1, CAPTURED, out)
    return out, failures


def change(op: int, old: Any, full: bool, new: Any, index: int = 3) -> Change:
    return Change(SHAPE, op, old, full, new, index, HERE)


def test_a_changed_key_is_a_delete_a_tombstone_and_a_create(form: ModuleType) -> None:
    out, failures = run(form, change(UPDATE, (1, "a", "x"), True, (2, "b", "y")))
    assert failures == []
    deleted, tombstone, created = out
    assert tombstone == (deleted[0], None, deleted[2], deleted[3], deleted[4])
    assert read_key(ENTITY, deleted[0]) == {"id": 1}
    assert read_key(ENTITY, created[0]) == {"id": 2}
    gone, created_change = read_change(ENTITY, deleted[1]), read_change(ENTITY, created[1])
    assert (gone["op"], gone["before"]["name"], gone["after"]) == ("delete", "a", None)
    assert (created_change["op"], created_change["before"], created_change["after"]["name"]) == (
        "create",
        None,
        "b",
    )
    assert parse_position(gone["position"]) == (1, 0x10, 6)
    assert parse_position(created_change["position"]) == (1, 0x10, 7)


def test_positions_rise_with_every_entry_of_a_transaction(form: ModuleType) -> None:
    out, _ = run(
        form,
        change(CREATE, None, False, (1, "a", "x"), 0),
        change(UPDATE, (1, None, None), False, (2, "a", "x"), 1),
        change(DELETE, (2, None, None), False, None, 2),
    )
    positions = [read_change(ENTITY, entry[1])["position"] for entry in out if entry[1]]
    assert positions == sorted(set(positions))
    assert len(positions) == 4


def test_an_old_key_that_is_the_same_is_an_update(form: ModuleType) -> None:
    out, _ = run(form, change(UPDATE, (1, None, None), False, (1, "b", "y")))
    assert [read_change(ENTITY, entry[1])["op"] for entry in out] == ["update"]


def test_columns_that_were_not_sent_are_filled_from_a_whole_old_row_only(form: ModuleType) -> None:
    out, _ = run(
        form,
        change(UPDATE, (1, "a", "old"), True, (1, "b", MISSING)),
        change(UPDATE, (1, None, None), False, (1, "b", MISSING)),
        change(UPDATE, None, False, (1, "b", MISSING)),
        # An old row that calls itself whole and does not have a column is none.
        change(UPDATE, (1, "a", MISSING), True, (1, "b", MISSING)),
    )
    changes_written = [read_change(ENTITY, entry[1]) for entry in out]
    assert [each["after"]["big"] for each in changes_written] == ["old", None, None, None]
    assert [each["unavailable"] for each in changes_written] == [[], ["big"], ["big"], ["big"]]
    assert [each["before"] is None for each in changes_written] == [False, True, True, True]


def test_nothing_is_left_over_from_the_change_before(form: ModuleType) -> None:
    out, _ = run(
        form,
        change(UPDATE, (1, "secret", "secret"), True, (1, "b", MISSING)),
        change(UPDATE, None, False, (2, "b", MISSING)),
        change(UPDATE, None, False, (3, "c", "d")),
    )
    assert read_change(ENTITY, out[1][1])["unavailable"] == ["big"]
    assert b"secret" not in out[1][1]
    assert read_change(ENTITY, out[2][1])["unavailable"] == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((CREATE, None, False, (None, "a", "b")), "field 'id', step 'key': the key is null"),
        ((UPDATE, None, False, (MISSING, "a", "b")), "the source did not send the key"),
        ((UPDATE, (None, "a", "b"), True, (1, "\ud800", "b")), "surrogate"),
        ((DELETE, (None, "a", "b"), True, None), "the key is null"),
        ((DELETE, None, False, None), "has no old key"),
        ((CREATE, None, False, None), "without its row"),
        ((9, None, False, (1, "a", "b")), "op 9"),
        ((CREATE, None, False, (1, "a")), "tuple of 3 values"),
        ((CREATE, None, False, [1, "a", "b"]), "tuple of 3 values"),
    ],
)
def test_a_change_that_fails_has_no_entry_and_spares_the_others(
    form: ModuleType, bad: tuple[int, Any, bool, Any], reason: str
) -> None:
    good = change(CREATE, None, False, (1, "a", "b"))
    out, [failure] = run(form, good, change(*bad, index=8), good)
    assert len(out) == 2
    assert reason in str(failure.error)
    assert isinstance(failure.error, RowError)
    assert failure.kind == "row"
    assert parse_position(failure.position).number == 16


def test_an_old_row_that_cannot_be_normalised_is_told_as_none(form: ModuleType) -> None:
    """Else a row that somebody fixed would never come into the log, and one that was deleted
    would stay there.
    """
    out, failures = run(
        form,
        change(UPDATE, (1, "\ud800", "b"), True, (1, "fixed", "b")),
        change(UPDATE, (1, "\ud800", "b"), True, (1, "fixed", MISSING)),
        change(DELETE, (1, "\ud800", "b"), True, None),
        change(UPDATE, (1, "\ud800", "b"), True, (2, "fixed", "b")),
    )
    assert failures == []
    changes_written = [read_change(ENTITY, entry[1]) for entry in out if entry[1]]
    assert [each["op"] for each in changes_written] == [
        "update",
        "update",
        "delete",
        "delete",
        "create",
    ]
    assert [each["before"] for each in changes_written] == [None] * 5
    assert [each["unavailable"] for each in changes_written] == [[], ["big"], [], [], []]
    assert [read_key(ENTITY, entry[0])["id"] for entry in out] == [1, 1, 1, 1, 1, 1, 2]
    assert [entry[1] is None for entry in out] == [False, False, False, True, False, True, False]


def test_a_key_that_could_never_be_told_needs_no_delete_once_it_is_mended(
    form: ModuleType,
) -> None:
    out, failures = run(form, change(UPDATE, (None, "a", "b"), True, (1, "a", "b")))
    assert failures == []
    [(key, value, *_)] = out
    assert read_key(ENTITY, key) == {"id": 1}
    assert read_change(ENTITY, value)["before"] is None


def test_a_row_that_was_too_large_comes_once_it_is_small_and_goes_when_it_is_deleted(
    form: ModuleType,
) -> None:
    large = (1, "a", "x" * 10_000)
    out, failures = run(
        form,
        change(UPDATE, large, True, (1, "a", "b")),
        change(DELETE, large, True, None),
        limit=10_000,
    )
    assert failures == []
    changes_written = [read_change(ENTITY, entry[1]) for entry in out if entry[1]]
    assert [(each["op"], each["before"]) for each in changes_written] == [
        ("update", None),
        ("delete", None),
    ]


def test_a_changed_key_whose_second_half_fails_leaves_no_first_half(form: ModuleType) -> None:
    out, [failure] = run(form, change(UPDATE, (1, "a", "b"), True, (2, "\ud800", "b")))
    assert out == []
    assert "surrogate" in str(failure.error)


@pytest.mark.parametrize(
    ("bad", "keys"),
    [
        ((CREATE, None, False, (1, "\ud800", "b")), [1]),
        ((UPDATE, None, False, (1, "\ud800", "b")), [1]),
        ((UPDATE, (1, "a", "b"), True, (1, "\ud800", "b")), [1]),
        ((UPDATE, (1, "a", "b"), True, (2, "\ud800", "b")), [1, 2]),
        ((UPDATE, (1, None, None), False, (2, "\ud800", "b")), [1, 2]),
        ((UPDATE, (1, "a", "b"), True, (MISSING, "\ud800", "b")), [1]),
        ((UPDATE, (1, "a"), True, (2, "\ud800", "b")), [None, 2]),
        ((UPDATE, (1, "a", "b"), True, (None, "a", "b")), [1, None]),
        ((UPDATE, (None, "a", "b"), True, ("x", "a", "b")), [None]),
        ((CREATE, None, False, (None, "a", "b")), [None]),
        ((CREATE, None, False, ("x", "a", "b")), [None]),
        ((DELETE, (None, "a", "b"), True, None), [None]),
        ((DELETE, None, False, None), [None]),
        ((CREATE, None, False, None), [None]),
        ((CREATE, None, False, (1, "a")), [None]),
    ],
)
def test_the_keys_that_a_failed_change_touches_need_no_other_column(
    form: ModuleType, bad: tuple[int, Any, bool, Any], keys: list[int | None]
) -> None:
    encoder = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    good: list[Any] = []
    [failure] = encoder.changes([change(*bad)], 1, CAPTURED, [])
    encoder.changes([change(CREATE, None, False, (key, "a", "b")) for key in keys], 1, 0, good)
    expected = iter([entry[0] for entry in good])
    assert encoder.change_keys(failure.change) == [key and next(expected) for key in keys]


def test_a_record_that_is_too_large_names_its_columns_with_length_and_hash(
    form: ModuleType,
) -> None:
    text = "ä" * 5000
    bad = change(UPDATE, (1, "a", text), True, (1, "b", text))
    out, [failure] = run(form, bad, limit=10_000)
    assert out == []
    assert failure.kind == "record"
    assert "max_record_bytes is 10000" in str(failure.error)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert failure.oversized == (("big", 10_000, digest),)
    letter = form.RowEncoder(PLAN, "acme", 1, 2, 5, 10_000).raw_text(failure.change)
    assert len(letter) < 10_000
    raw_columns = json.loads(letter)
    assert raw_columns["new"]["name"] == "b"
    assert raw_columns["new"]["big"]["length"] == 10_000
    assert raw_columns["new"]["big"]["sha256"] == digest
    assert text.startswith(raw_columns["new"]["big"]["start"])


@pytest.mark.parametrize("sign", ["\x01", '"', "\ud800", "x", "€"])
@pytest.mark.parametrize("length", [300, 830, 5000])
def test_a_dead_letter_fits_the_limit_whatever_its_text_becomes_in_json(
    form: ModuleType, sign: str, length: int
) -> None:
    """One that didn't would stop the whole system."""
    text = sign * length
    bad = change(UPDATE, (None, text, text), True, (None, text, text))
    letter = form.RowEncoder(PLAN, "acme", 1, 2, 5, 20_000).raw_text(bad)
    assert len(letter.encode()) < 10_000
    assert set(json.loads(letter)["new"]) == {"id", "name", "big"}


def test_a_value_that_nobody_can_write_down_is_set_aside_by_its_type(form: ModuleType) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    bad = change(CREATE, None, False, (1, deep, deep))
    out, [failure] = run(form, bad)
    assert out == []
    assert "name" in str(failure.error)
    letter = form.RowEncoder(PLAN, "acme", 1, 2, 5).raw_text(bad)
    assert json.loads(letter)["new"] == {"id": 1, "name": "<list>", "big": "<list>"}
    assert run(form, bad, limit=10)[1][0].kind in {"row", "record"}


def test_the_limit_counts_key_value_and_headers(form: ModuleType) -> None:
    good = change(CREATE, None, False, (1, "a", "b"))
    [entry], _ = run(form, good)
    size = len(entry[0]) + len(entry[1]) + sum(len(name) + len(value) for name, value in entry[2])
    assert run(form, good, limit=size)[1] == []
    [failure] = run(form, good, limit=size - 1)[1]
    assert failure.kind == "record"


def test_a_masked_column_that_is_too_large_gives_no_hash_away(form: ModuleType) -> None:
    fields = [
        FieldSpec("id", ("id",)),
        FieldSpec("name", ("name",)),
        FieldSpec("big", ("big",), mask="hash"),
    ]
    fields.append(FieldSpec("copy", ("name",)))
    _, plan = plan_of(SHAPE, fields)
    executor = form.RowEncoder(plan, "acme", 1, 2, 5, 9_000, b"key")
    bad = change(CREATE, None, False, (1, "n" * 5000, "s" * 5000))
    out: list[Any] = []
    [failure] = executor.changes([bad], 1, CAPTURED, out)
    assert [tuple(each)[:2] for each in failure.oversized] == [("name", 5000), ("big", 5000)]
    assert failure.oversized[1].sha256 == ""
    assert "sss" not in executor.raw_text(bad)


def test_a_dead_letter_shows_text_where_it_can_and_hexadecimal_where_it_must(
    form: ModuleType,
) -> None:
    source_shape = shape(
        [("id", "int4", "integer"), ("n", "numeric", "decimal(9,2)"), ("t", "text", "string")]
    )
    _, plan = plan_of(source_shape)
    nan = struct.pack(">hhHH", 0, 0, 0xC000, 0)
    row = pgoutput([struct.pack(">i", 7), nan, b"caf\xe9"])
    bad = Change(source_shape, CREATE, None, False, row, 0, HERE)
    out: list[Any] = []
    executor = form.RowEncoder(plan, "acme", 1, 2, 5)
    [failure] = executor.changes([bad], 1, CAPTURED, out)
    assert json.loads(executor.raw_text(failure.change)) == {
        "old": None,
        "new": {"id": 7, "n": "NaN", "t": "\\x636166e9"},
    }


def test_a_failed_snapshot_row_keeps_its_number_and_spares_the_others(form: ModuleType) -> None:
    executor = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    out: list[Any] = []
    [failure] = executor.rows(
        [(1, "a", "b"), (None, "a", "b"), (3, "a", "b")], 1, 9, 4, CAPTURED, out
    )
    numbers = [parse_position(read_change(ENTITY, entry[1])["position"]).number for entry in out]
    assert numbers == [4, 6]
    assert parse_position(failure.position) == (1, 9, 5)
    assert json.loads(executor.raw_text(failure.change))["new"]["name"] == "a"


def test_rows_that_are_gone_become_deletes_with_tombstones(form: ModuleType) -> None:
    executor = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    keys = executor.keys([(1, "a", "b"), (2, "a", "b")])
    out: list[Any] = []
    executor.deletes(keys, 1, 9, 4, CAPTURED, out)
    assert [entry[0] for entry in out] == [keys[0], keys[0], keys[1], keys[1]]
    assert [entry[1] is None for entry in out] == [False, True, False, True]
    gone = read_change(ENTITY, out[2][1])
    assert (gone["op"], gone["before"], gone["after"]) == ("delete", None, None)
    assert parse_position(gone["position"]) == (1, 9, 5)
    assert out[2][4] == partition(keys[1], 5)


def test_a_read_of_a_row_that_lacks_a_column_is_refused(form: ModuleType) -> None:
    executor = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    with pytest.raises(RowError, match="'big'"):
        executor.row((1, "a", MISSING))


def test_numbers_and_positions_out_of_range_are_errors_not_wrapped(form: ModuleType) -> None:
    executor = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    good = (1, "a", "b")
    with pytest.raises(OverflowError):
        executor.rows([good], 1, 9, 2**40, CAPTURED, [])
    with pytest.raises(OverflowError):
        executor.rows([good], 1, 2**64, 0, CAPTURED, [])
    with pytest.raises(OverflowError):
        executor.rows([good], 2**16, 0, 0, CAPTURED, [])


def test_changes_are_grouped_by_shape_in_their_order(form: ModuleType) -> None:
    other = shape(COLUMNS, Wire.PYTHON)
    first = change(CREATE, None, False, (1, "a", "b"))
    second = first._replace(shape=other)
    third = first._replace(index=9)
    assert form.by_shape([first, second, third]) == {SHAPE: [first, third], other: [second]}


def test_a_large_row_makes_room_for_itself(form: ModuleType) -> None:
    texts = ["x" * size for size in (1, 4_000, 4_090, 4_096, 70_000, 800_000)]
    out, failures = run(form, *(change(CREATE, None, False, (1, text, "e")) for text in texts))
    assert failures == []
    assert [read_change(ENTITY, entry[1])["after"]["name"] for entry in out] == texts


def test_a_partial_row_says_which_fields_are_missing(form: ModuleType) -> None:
    """A projection has only the columns that were asked for."""
    executor = form.RowEncoder(PLAN, "acme", 1, 2, 5)
    whole = executor.row((1, "a", None))
    assert executor.partial_row((1, "a", MISSING)) == (whole, ("big",))
    assert executor.partial_row((1, "a", None)) == (whole, ())
    with pytest.raises(RowError, match="the source did not send it"):
        executor.row((1, "a", MISSING))
    assert executor.row((1, "a", None)) == whole
