"""How long a handler that failed waits before it is tried again, and what isn't tried again. Pure.

Waits double, as a person would wait longer each time. Jitter keeps events that failed together
from coming back together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError, Rejected, RetryLater, Unsupported

Random = Callable[[], float]
"""A number from 0 up to 1, another one each time."""

_NEVER_PASS = (
    Rejected,
    Unsupported,
    ConfigurationError,
    NameError,
    ImportError,
    SyntaxError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries, in seconds: `first`, doubled up to `longest`."""

    first: float = 1.0
    longest: float = 60.0

    def ceiling(self, failures: int) -> float:
        """The wait after so many failures in a row (from 1 on), without jitter."""
        # Doubled without end it would be no number any more.
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 60))


UNAVAILABLE_BACKOFF = Backoff(0.1, 30.0)
"""While something is unavailable tries aren't counted, and handlers resume soon after it is back."""


def never_passes(error: BaseException | None) -> bool:
    """Whether another try can't end otherwise: the answer was refused, or the program is wrong
    whatever the data. A None where a row was expected may be a row in a minute.
    """
    if isinstance(error, AttributeError):
        # Without one that it was raised with, nobody knows.
        return error.name is not None and error.obj is not None
    return isinstance(error, _NEVER_PASS)


def is_final_failure(error: BaseException, faults: int, attempts: int) -> bool:
    """Whether the event is given up after this error, the handler's `faults`th one of at most
    `attempts`. What is unavailable is waited for without end.
    """
    if isinstance(error, RetryLater):
        return False
    return faults >= attempts or never_passes(error)


def wait_after_failure(backoff: Backoff, failures: int, chance: Random = random.random) -> float:
    """Seconds to wait after so many failures: three quarters to five quarters of its ceiling."""
    return backoff.ceiling(failures) * (0.75 + chance() / 2)


def wait_while_unavailable(
    backoff: Backoff, error: RetryLater, failures: int, chance: Random = random.random
) -> float:
    """Seconds to wait for something that is away: any part of its ceiling, and at least as long as
    it asked for.
    """
    return max(backoff.ceiling(failures) * chance(), error.after or 0.0)
