"""Each guard of a view, removed in turn: what it protects from then happens, and a test sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway.freshness.doubts import Doubts
from bridge.gateway.view import (
    pending_writes,
    system_view,
    view_applier,
    view_file,
    view_lookups,
    view_reads,
    view_session,
    view_store,
    view_topics,
)
from bridge.model.position import MAX_NUMBER, parse_position
from tests.gateway.view import test_system_view, test_view_file
from tests.gateway.view.change_records import order
from tests.gateway.view.stored_view import StoredView, file_spec, opened

Patch = Callable[[pytest.MonkeyPatch], None]


def patched(target: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(target, name, value)


def always_whole(patch: pytest.MonkeyPatch) -> None:
    """A row that was sent in part is taken for whole."""
    plain = pending_writes.PendingWrites.add

    def add(self: Any, entity: str, key: bytes, change: Any, layouts: Any) -> None:
        plain(self, entity, key, change._replace(missing=()), layouts)

    patch.setattr(pending_writes.PendingWrites, "add", add)


def without_end(patch: pytest.MonkeyPatch) -> None:
    """Each checkpoint counts as the end of its source's transaction."""

    def parse(text: str) -> Any:
        return parse_position(text)._replace(number=MAX_NUMBER)

    patch.setattr(view_session, "parse_position", parse)


def nothing_unknown(patch: pytest.MonkeyPatch) -> None:
    """Rows that aren't known count as absent."""
    patch.setattr(view_lookups, "UNKNOWN", b"no row")

    def get(self: Any, entity: str, key: bytes) -> Any:
        return plain(self, entity, key) or None

    plain = view_reads.ViewReads.get
    patch.setattr(view_reads.ViewReads, "get", get)


def unchecked_rows(patch: pytest.MonkeyPatch) -> None:
    """Rows are read as they are."""
    for module in (view_reads, view_store):
        patch.setattr(module, "check_row", lambda _: None)


async def no_check(*_: Any) -> None:
    """In the place of a check."""


def any_proof(patch: pytest.MonkeyPatch) -> None:
    """What was proved counts for every position."""
    plain = system_view.SystemView._with_proof

    def with_proof(self: Any, entity: str, claim: Any) -> Any:
        proof = self._parts.proofs.entity_claim(entity).claim
        claim = plain(self, entity, claim)
        return claim if proof is None else replace(claim, as_of=proof.as_of)

    patch.setattr(system_view.SystemView, "_with_proof", with_proof)


LIVE: dict[str, tuple[Patch, Any]] = {
    "the log isn't compared with the one that the file is of": (
        patched(view_topics, "check_log", no_check),
        test_system_view.test_a_view_of_another_log_with_the_same_name_is_built_again,
    ),
    "rows sent in part are taken for whole": (
        always_whole,
        test_system_view.test_a_row_sent_in_part_is_completed_and_one_that_can_not_be_is_asked_for,
    ),
    "changes are published before their transaction has ended": (
        without_end,
        test_system_view.test_a_transaction_that_has_not_ended_is_not_seen,
    ),
    "rows that aren't known count as absent": (
        nothing_unknown,
        test_system_view.test_a_row_sent_in_part_is_completed_and_one_that_can_not_be_is_asked_for,
    ),
    "dead letters are ignored": (
        patched(view_applier.ViewApplier, "read_letters", lambda *_: None),
        test_system_view.test_a_dead_letter_removes_the_row_until_a_whole_one_follows,
    ),
    "letters that aren't resolved are forgotten with the process": (
        patched(Doubts, "unresolved", lambda _: iter(())),
        test_system_view.test_a_dead_letter_removes_the_row_until_a_whole_one_follows,
    ),
    "any proof counts": (
        any_proof,
        test_system_view.test_the_claim_is_what_was_proved_about_a_position_that_is_in,
    ),
    "damaged rows are served": (
        unchecked_rows,
        test_system_view.test_a_file_that_is_damaged_while_it_is_read_is_built_again,
    ),
}


@pytest.mark.parametrize("guard", LIVE)
async def test_a_view_without_the_guard_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    remove, test = LIVE[guard]
    remove(monkeypatch)
    # What doesn't come without the guard isn't waited for.
    monkeypatch.setattr("tests.gateway.view.written_log.until.__defaults__", (5.0,))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await test(tmp_path)


FILES: dict[str, tuple[Patch, Callable[[StoredView, Path], None]]] = {
    "a file that was closed isn't compared with its mark": (
        patched(view_file, "_file_checksum", lambda _: (0, 0)),
        lambda view, _: damaged_after_closing(view),
    ),
    "the machine's restart is ignored": (
        patched(view_file, "_check_unclosed", lambda *_: None),
        lambda view, folder: (
            test_view_file.test_a_file_that_was_not_closed_is_of_no_use_after_a_restart_of_the_machine(
                view, folder, "boot-2"
            )
        ),
    ),
    "what a file is of is ignored": (
        patched(view_file, "why_rebuilt", lambda *_: ""),
        lambda view, _: test_view_file.test_a_file_of_something_else_is_built_again(
            view, {"bridge": "other"}, "it is of the bridge b"
        ),
    ),
    "the age of a file is ignored": (
        patched(view_file, "why_rebuilt", lambda *_: ""),
        lambda view, _: (
            test_view_file.test_a_file_is_continued_only_while_the_log_has_all_deletes_since(
                view, 10**12, False
            )
        ),
    ),
    "rows aren't checked": (
        unchecked_rows,
        lambda view, _: test_view_file.test_a_damaged_row_is_never_read(view, "row = x'00' || row"),
    ),
}


def damaged_after_closing(view: StoredView) -> None:
    view.close()
    path = view.spec.path
    data = bytearray(path.read_bytes())
    at = data.index(b"note 12")
    data[at] ^= 1
    path.write_bytes(data)
    assert opened(view.spec).rebuilt


@pytest.mark.parametrize("guard", FILES)
def test_a_file_without_the_guard_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    view = StoredView(file_spec(tmp_path / "views" / "b.erp.view"))
    for number in range(20):
        view.put(order(number, number % 4, f"note {number}"))
    view.finish()
    view.put(order(3, 9, "changed"))
    view.delete(7)
    view.publish()
    remove, test = FILES[guard]
    remove(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(view, tmp_path)
