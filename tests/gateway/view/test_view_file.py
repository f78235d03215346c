"""The file of a view: continued only where everything in it can be trusted."""

from __future__ import annotations

import random
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.gateway.view.index_values import index_encoder
from bridge.gateway.view.owner_lock import OwnedElsewhere, OwnerLock, boot_id, is_owned
from bridge.gateway.view.row_parts import UNKNOWN
from bridge.gateway.view.view_file import close_view_file, remove_view_file
from bridge.gateway.view.view_reads import ViewReads
from bridge.gateway.view.view_state import DamagedFile
from bridge.gateway.view.view_store import ViewStore
from bridge.model.types import FieldType
from tests.gateway.view.change_records import order, order_key, row_of
from tests.gateway.view.stored_view import (
    FORMS,
    HISTORY_MS,
    NOW_MS,
    SCHEMAS,
    StoredView,
    file_spec,
    opened,
    stored_rows,
)

NUMBER = index_encoder(FieldType("integer"))


@pytest.fixture
def view(tmp_path: Path) -> StoredView:
    """Twenty orders of four customers, complete, and one commit after that."""
    view = StoredView(file_spec(tmp_path / "views" / "b.erp.view"))
    for number in range(20):
        view.put(order(number, number % 4, f"note {number}"))
    view.finish()
    view.put(order(3, 9, "changed"))
    view.delete(7)
    view.publish()
    return view


def test_a_new_file_is_only_its_owners(view: StoredView) -> None:
    path = view.spec.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    view.close()
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


def test_rows_are_looked_up_by_key_and_by_relation(view: StoredView) -> None:
    reads = ViewReads(view.spec.path, FORMS)
    row = reads.get("order", order_key(3))
    assert row is not None
    assert row_of(row) == order(3, 9, "changed")
    assert reads.get("order", order_key(7)) is None
    assert reads.get("order", order_key(99)) is None
    of_customer = reads.equal("order", ("customer_id",), (NUMBER(2),), 100)
    assert of_customer is not None
    assert [row_of(row)["id"] for _, row in of_customer] == [2, 6, 10, 14, 18]
    assert len(reads.equal("order", ("customer_id",), (NUMBER(2),), 2) or ()) == 2
    assert reads.equal("order", ("customer_id",), (NUMBER(77),), 2) == []
    assert reads.count("order") == (19, 0)
    reads.close()


def test_many_keys_are_looked_up_aligned(view: StoredView) -> None:
    reads = ViewReads(view.spec.path, FORMS)
    numbers = [19, 7, 0, 500, 0, *range(1000, 2000)]
    rows = reads.get_many("order", [order_key(number) for number in numbers])
    assert [row and row_of(row)["id"] for row in rows[:5]] == [19, None, 0, None, 0]
    assert rows[5:] == [None] * 1000
    reads.close()


def test_lists_are_not_known_while_a_row_is_not(view: StoredView) -> None:
    view.pending.mark_unknown("order", order_key(5), "0000-0000000000000009-0000000000")
    view.publish()
    reads = ViewReads(view.spec.path, FORMS)
    assert reads.get("order", order_key(5)) == UNKNOWN
    assert reads.equal("order", ("customer_id",), (NUMBER(2),), 100) is None
    assert reads.count("order") == (19, 1)
    view.put(order(5, 2))
    view.publish()
    assert len(reads.equal("order", ("customer_id",), (NUMBER(2),), 100) or ()) == 6
    reads.close()


def test_a_reader_sees_each_commit_as_a_whole(view: StoredView) -> None:
    reads = ViewReads(view.spec.path, FORMS)
    view.store.publish({}, {}, view.file.state)
    connection = view.file.connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute('DELETE FROM "rows_order"')
    assert reads.count("order")[0] == 19
    connection.execute("ROLLBACK")
    reads.close()


def test_a_closed_file_is_continued_even_after_the_machine_was_started_again(
    view: StoredView,
) -> None:
    view.close()
    file = opened(view.spec, boot="boot-2")
    assert file.rebuilt == ""
    assert view.is_of_a_commit(file, view.spec.path)
    assert ViewStore(file.connection, FORMS).schemas() == SCHEMAS
    assert max(view.commits) == file.state.position
    file.connection.close()


def test_a_file_whose_process_was_killed_is_continued(view: StoredView, tmp_path: Path) -> None:
    spec = view.killed(tmp_path / "copy")
    file = opened(spec)
    assert file.rebuilt == ""
    assert view.is_of_a_commit(file, spec.path)
    assert max(view.commits) == file.state.position
    file.connection.close()


@pytest.mark.parametrize("boot", ["boot-2", ""])
def test_a_file_that_was_not_closed_is_of_no_use_after_a_restart_of_the_machine(
    view: StoredView, tmp_path: Path, boot: str
) -> None:
    spec = view.killed(tmp_path / "copy")
    assert opened(spec, boot=boot).rebuilt == "the machine stopped before it was closed"
    assert stored_rows(spec.path) == {}


def test_a_file_that_was_continued_and_killed_is_not_the_one_that_was_closed(
    view: StoredView, tmp_path: Path
) -> None:
    view.close()
    file = opened(view.spec)
    view.file = file
    view.store = ViewStore(file.connection, FORMS)
    view.put(order(50, 1))
    view.publish()
    spec = view.killed(tmp_path / "copy")
    assert opened(spec, boot="boot-2").rebuilt == "the machine stopped before it was closed"


def test_a_file_that_was_being_built_is_built_again(tmp_path: Path) -> None:
    view = StoredView(file_spec(tmp_path / "b.erp.view"))
    view.put(order(1))
    view.store.load(view.pending.take(), SCHEMAS)
    spec = view.killed(tmp_path / "copy")
    assert opened(spec).rebuilt == "it was not complete"
    assert stored_rows(spec.path) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bridge": "other"}, "it is of the bridge b"),
        ({"log": "kafka://k2"}, "it is of the log kafka://k1"),
        ({"version": 99}, "another version of the bridge wrote it"),
        ({"entities": {}}, "its entities, their keys or their relations have changed"),
    ],
)
def test_a_file_of_something_else_is_built_again(
    view: StoredView, change: dict[str, object], reason: str
) -> None:
    view.close()
    spec = replace(view.spec, binding={**view.spec.binding, **change})
    assert opened(spec).rebuilt == reason
    assert stored_rows(spec.path) == {}


@pytest.mark.parametrize(
    ("age_ms", "is_continued"),
    [
        (HISTORY_MS - 2 * 3_600_000, True),
        (HISTORY_MS - 3_600_000, False),
        (HISTORY_MS * 5, False),
        (-3_000_000, True),
        (-4_000_000, False),
    ],
)
def test_a_file_is_continued_only_while_the_log_has_all_deletes_since(
    view: StoredView, age_ms: int, is_continued: bool
) -> None:
    view.close()
    assert (opened(view.spec, now_ms=NOW_MS + age_ms).rebuilt == "") == is_continued


def test_a_file_that_no_other_program_reads_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "b.erp.view"
    path.write_bytes(b"notes\n" * 5000)
    assert opened(file_spec(path)).rebuilt == "file is not a database"
    other = sqlite3.connect(tmp_path / "other.view")
    other.execute("CREATE TABLE state (text, crc)")
    other.close()
    assert "isn't the file of a view" in opened(file_spec(tmp_path / "other.view")).rebuilt


@pytest.mark.parametrize(
    "change", ["row = row || 'x'", "row = x'00' || row", "position = zeroblob(15)", "crc = crc + 1"]
)
def test_a_damaged_row_is_never_read(view: StoredView, change: str) -> None:
    sql = "UPDATE \"rows_order\" SET row = row || x'00' WHERE key = ?"
    view.file.connection.execute(sql, (order_key(2),))
    reads = ViewReads(view.spec.path, FORMS)
    for read in (
        lambda: reads.get("order", order_key(2)),
        lambda: reads.get_many("order", [order_key(2)]),
        lambda: reads.equal("order", ("customer_id",), (NUMBER(2),), 9),
        lambda: view.store.held("order", order_key(2)),
    ):
        with pytest.raises(DamagedFile, match="one of its rows is damaged"):
            read()
    assert reads.get("order", order_key(1)) is not None
    reads.close()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("closed", [True, False])
def test_whatever_happens_to_its_bytes_it_is_built_again_or_holds_the_rows_of_a_commit(
    view: StoredView, tmp_path: Path, closed: bool, seed: int
) -> None:
    """Bytes changed, cut off, doubled and swapped, in the file or its journal."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    if closed:
        view.close()
    trusted = 0
    for number in range(25):
        spec = view.killed(tmp_path / f"copy{number}")
        files = [each for each in spec.path.parent.iterdir() if each.stat().st_size]
        damage(dice, dice.choice(files))
        file = opened(spec)
        if file.rebuilt:
            assert file.state.position == ""
            assert stored_rows(spec.path) == {}
        else:
            trusted += 1
            assert view.is_of_a_commit(file, spec.path)
        file.connection.close()
    # What was closed has a checksum; otherwise bytes that nothing uses may change.
    assert trusted < (3 if closed else 26)


def damage(dice: random.Random, path: Path) -> None:
    """Damage a file at random."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    kind = dice.randrange(4)
    if kind == 0:
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at : at + 64] = data[:64]
    else:
        data[at : at + 16] = dice.randbytes(16)
    path.write_bytes(data)


def test_a_full_file_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    view = StoredView(file_spec(tmp_path / "b.erp.view", max_bytes=200_000))
    view.put(order(1, 1))
    view.finish()
    before = dict(view.rows)
    for number in range(100, 1100):
        view.put(order(number, 1, "x" * 500))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        view.publish()
    assert stored_rows(view.spec.path) == before
    view.close()
    file = opened(view.spec)
    assert file.rebuilt == ""
    assert stored_rows(view.spec.path) == before


def test_a_file_that_can_not_be_closed_in_order_has_no_mark(view: StoredView) -> None:
    mark = view.spec.path.with_name(view.spec.path.name + ".clean")
    view.close()
    assert mark.exists()
    opened(view.spec).connection.close()
    assert not mark.exists()


def test_a_journal_beside_a_closed_file_is_not_its_own(view: StoredView) -> None:
    view.close()
    view.spec.path.with_name(view.spec.path.name + "-wal").write_bytes(b"x" * 100)
    assert opened(view.spec).rebuilt == "it has a journal that isn't its own"


def test_a_removed_file_leaves_nothing_but_the_lock(view: StoredView) -> None:
    lock = OwnerLock(view.spec.path)
    view.close()
    remove_view_file(view.spec.path)
    assert [each.name for each in view.spec.path.parent.iterdir()] == [lock.path.name]
    lock.close()


def test_one_process_owns_a_file(tmp_path: Path) -> None:
    path = tmp_path / "b.erp.view"
    assert not is_owned(path)
    lock = OwnerLock(path)
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert is_owned(path)
    with pytest.raises(OwnedElsewhere, match=r"another process owns .*b\.erp\.view"):
        OwnerLock(path)
    lock.close()
    assert not is_owned(path)
    OwnerLock(path).close()


def test_the_boot_of_this_machine_is_known_where_the_system_says_it(tmp_path: Path) -> None:
    assert boot_id(tmp_path / "missing") == ""
    (tmp_path / "boot").write_text("abc\n", encoding="ascii")
    assert boot_id(tmp_path / "boot") == "abc"


def test_a_closed_file_survives_only_with_its_own_mark(view: StoredView, tmp_path: Path) -> None:
    view.close()
    mark = view.spec.path.with_name(view.spec.path.name + ".clean")
    mark.write_text("{", encoding="ascii")
    assert opened(view.spec).rebuilt == "it isn't as it was closed"
    close_view_file(view.spec.path, opened(view.spec).connection)
