"""How long the next query will take, from how long the last ones took."""

from __future__ import annotations

KEPT = 0.95
"""What an earlier, longer query still counts after each shorter one."""


class DurationEstimate:
    """A maximum that is forgotten slowly: seldom too low, and back to normal after some dozens of
    queries. 0 before the first one has ended.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """A query took so long."""
        if seconds >= self.seconds:
            self.seconds = seconds
        else:
            self.seconds = KEPT * self.seconds + (1 - KEPT) * seconds
