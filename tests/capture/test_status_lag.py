"""How far behind a source is said to be once nobody reports on it any more."""

from __future__ import annotations

import pytest

from bridge.capture.report.status_record import MICROSECONDS_PER_SECOND, TOO_OLD, SourceStatus

AT = 1_000 * MICROSECONDS_PER_SECOND


@pytest.mark.parametrize(
    ("behind", "seconds", "lag"),
    [
        (0.0, 0.0, 0.0),
        (0.0, TOO_OLD, 0.0),
        (0.0, 3600.0, 3600.0),
        (2.5, 3600.0, 3602.5),
        (None, 0.0, None),
        (None, 3600.0, None),
    ],
)
def test_the_last_figure_counts_no_more_once_it_is_old(
    behind: float | None, seconds: float, lag: float | None
) -> None:
    """A capture that had stopped a week ago was 0.0 s behind."""
    status = SourceStatus("erp", "stopped", AT, AT, behind=behind)
    assert status.lag(AT + int(seconds * MICROSECONDS_PER_SECOND)) == lag
