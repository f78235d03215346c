"""What a read says of which transactions it has seen, compared with what was streamed."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.connector import Capabilities, Change, Visibility


def check_seen(
    can: Capabilities,
    changes: Sequence[Change],
    early: Visibility | None,
    late: Visibility | None,
) -> None:
    """`early` was read after the first of two changes, `late` after both. Transactions are taken
    from where a log's record has them.
    """
    if not can.visibility:
        assert early is None
        return
    first, second = (recorded_transaction(change) for change in changes)
    assert early is not None
    assert late is not None
    seen = [visibility.contains(at) for visibility in (early, late) for at in (first, second)]
    assert seen == [True, False, True, True]


def recorded_transaction(change: Change) -> int:
    """The number that `Visibility.contains` takes, from the text that the change record has."""
    recorded, visibility = change.transaction.id, change.transaction.visibility
    assert recorded is not None, "with `visibility`, every change names its transaction"
    assert recorded == str(visibility), f"recorded {recorded!r}, reads are asked for {visibility}"
    return int(recorded)
