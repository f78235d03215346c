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
    """`early` was read after the first of two changes, `late` after both."""
    if not can.visibility:
        assert early is None
        return
    first, second = (change.transaction.visibility for change in changes)
    assert early is not None
    assert late is not None
    seen = [visibility.contains(at) for visibility in (early, late) for at in (first, second)]
    assert seen == [True, False, True, True]
