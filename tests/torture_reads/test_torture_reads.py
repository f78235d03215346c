"""A seeded part of what `make torture-reads` does at length; and the judge itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.torture_reads.observer import JudgedAnswer, NotedHistory
from tests.torture_reads.torture import TortureResult, torture_reads

READS = 4_000


def check(result: TortureResult) -> None:
    assert result.stale == []
    assert result.reads >= READS
    assert result.risky_cached > 100, str(result)
    assert result.sources["cache"] > 200, str(result)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_read_of_postgresql_is_older_than_it_claims(tmp_path: Path, database: str) -> None:
    check(await torture_reads(tmp_path, READS, seed=2026, postgres_url=database))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_read_of_the_journal_is_older_than_it_claims(tmp_path: Path) -> None:
    check(await torture_reads(tmp_path, READS, seed=2026))


def answer(version: int | None, as_of: float, answered_at: float = 100.0) -> JudgedAnswer:
    return JudgedAnswer(1, version, as_of, answered_at)


def changed() -> NotedHistory:
    """Created at 10, changed at 20, deleted at 30; each commit takes 1."""
    history = NotedHistory()
    for version, at in ((7, 10.0), (8, 20.0), (None, 30.0)):
        history.begin(1, version, at, 5, None).done = at + 1
    return history


@pytest.mark.parametrize(
    ("version", "as_of", "is_right"),
    [
        (None, 5.0, True),
        (None, 11.5, True),  # deleted later
        (7, 21.0, True),  # its successor may have come at 21
        (7, 21.1, False),
        (8, 31.0, True),
        (8, 31.1, False),
        (None, 99.0, True),
        (9, 0.0, False),
    ],
)
def test_an_answer_is_right_if_its_state_may_have_been_the_last_one(
    version: int | None, as_of: float, is_right: bool
) -> None:
    assert (changed().why_stale(answer(version, as_of)) == "") is is_right


def test_a_state_of_later_than_the_answer_is_of_no_time_at_all() -> None:
    assert changed().why_stale(answer(8, 0.0, answered_at=19.0))
    assert not changed().why_stale(answer(7, 0.0, answered_at=19.0))


def test_a_change_that_is_being_committed_may_be_seen_or_not() -> None:
    history = changed()
    history.begin(1, 9, 40.0, 6, None)
    assert history.of(1)[-1].done == math.inf
    assert not history.why_stale(answer(9, 99.0))
    assert not history.why_stale(answer(None, 99.0))


def test_a_row_that_was_of_the_parent_all_the_time_has_to_be_in_its_list() -> None:
    history = changed()
    assert history.why_missing(1, 5, 12.0, 28.0)
    assert not history.why_missing(1, 5, 12.0, 31.0)
    assert not history.why_missing(1, 6, 12.0, 28.0)


def test_what_the_database_recorded_is_compared_with_what_was_noted() -> None:
    assert changed().differences({1: [7, 8, None]}) == []
    assert len(changed().differences({1: [7, None]})) == 1
