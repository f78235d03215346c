"""Changes of several partitions are handed out by whole source transactions."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.follower import TransactionGrouping, WholeTransaction
from bridge.model.position import Position, format_position

PARTITIONS = 3


def position(commit: int, number: int = 0, epoch: int = 1) -> str:
    return format_position(epoch, commit, number)


@dataclass(frozen=True)
class ArrivedChange:
    """A row's change in one partition."""

    position: Position
    partition: int


def histories() -> st.SearchStrategy[list[ArrivedChange]]:
    """Changes in the order of the source: transactions of up to five rows in random partitions."""
    transactions = st.lists(
        st.tuples(
            st.integers(0, 1), st.lists(st.integers(0, PARTITIONS - 1), min_size=1, max_size=5)
        ),
        max_size=8,
    )

    def write(drawn: list[tuple[int, list[int]]]) -> list[ArrivedChange]:
        changes, epoch = [], 1
        for commit, (raised, partitions) in enumerate(drawn):
            epoch += raised
            changes += [
                ArrivedChange(Position(epoch, commit, number), partition)
                for number, partition in enumerate(partitions)
            ]
        return changes

    return transactions.map(write)


@given(histories(), st.data())
def test_transactions_come_whole_in_order_and_once(
    history: list[ArrivedChange], data: st.DataObject
) -> None:
    """Partitions arrive at random speeds; a release counts what all of them have delivered."""
    lanes = [[each for each in history if each.partition == at] for at in range(PARTITIONS)]
    read = [0] * PARTITIONS
    grouping = TransactionGrouping[ArrivedChange]()
    handed_out: list[WholeTransaction[ArrivedChange]] = []
    for _ in range(data.draw(st.integers(0, 12))):
        at = data.draw(st.integers(0, PARTITIONS - 1))
        upto = data.draw(st.integers(read[at], len(lanes[at])))
        for change in lanes[at][read[at] : upto]:
            grouping.add(str(change.position), change)
        read[at] = upto
        unread = [
            lane[read[number]] for number, lane in enumerate(lanes) if read[number] < len(lane)
        ]
        if unread:
            # The first change that is missing somewhere: everything before it has arrived.
            handed_out += grouping.release(str(min(each.position for each in unread)))
    for at, lane in enumerate(lanes):
        for change in lane[read[at] :]:
            grouping.add(str(change.position), change)
    if history:
        handed_out += grouping.release(str(history[-1].position), ends_here=True)

    expected: dict[tuple[int, int], list[ArrivedChange]] = {}
    for change in history:
        expected.setdefault(change.position[:2], []).append(change)
    assert [list(each.changes) for each in handed_out] == list(expected.values())
    assert not any(each.late for each in handed_out)
    assert grouping.waiting == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=6),
)
def test_whatever_is_added_comes_out_once_and_is_counted(
    changes: list[tuple[int, int]], releases: list[tuple[int, bool]]
) -> None:
    """Also what arrives after its transaction was released, and positions that come twice."""
    grouping = TransactionGrouping[int]()
    out: list[int] = []
    for index, (commit, number) in enumerate(changes):
        grouping.add(position(commit, number), index)
        if releases and index % 3 == 2:
            until, ends_here = releases[index // 3 % len(releases)]
            for transaction in grouping.release(position(until, 2), ends_here=ends_here):
                out += transaction.changes
        assert grouping.waiting == index + 1 - len(out)
    for transaction in grouping.release(position(9)):
        out += transaction.changes
    assert sorted(out) == list(range(len(changes)))


def test_a_transaction_whose_end_is_not_certain_waits() -> None:
    """It is written to the log in several parts: a checkpoint may be in the middle of it."""
    grouping = TransactionGrouping[str]()
    grouping.add(position(5, 0), "order")
    grouping.add(position(4, 0), "customer")

    assert [each.changes for each in grouping.release(position(5, 0))] == [("customer",)]
    grouping.add(position(5, 2), "line")
    assert [each.changes for each in grouping.release(position(5, 2), ends_here=True)] == [
        ("order", "line")
    ]


def test_what_arrives_after_its_release_is_late() -> None:
    grouping = TransactionGrouping[str]()
    grouping.release(position(5))
    grouping.add(position(4), "snapshot row")
    grouping.add(position(5), "order")

    late, whole = grouping.release(position(5), ends_here=True)

    assert late == WholeTransaction(position(4)[:21], ("snapshot row",), late=True)
    assert whole == WholeTransaction(position(5)[:21], ("order",), late=False)
    grouping.add(position(5, 1), "line")
    assert [each.late for each in grouping.release(position(6))] == [True]


def test_a_smaller_release_takes_nothing_back() -> None:
    grouping = TransactionGrouping[str]()
    grouping.release(position(5))
    grouping.release(position(3))
    grouping.add(position(4), "row")

    assert [each.late for each in grouping.release(position(5))] == [True]


def test_after_clear_nothing_waits_and_nothing_is_late() -> None:
    grouping = TransactionGrouping[str]()
    grouping.add(position(5), "half")
    grouping.release(position(5))
    grouping.clear()
    grouping.add(position(1), "whole")

    assert grouping.waiting == 1
    assert grouping.release(position(6)) == [
        WholeTransaction(position(1)[:21], ("whole",), late=False)
    ]
