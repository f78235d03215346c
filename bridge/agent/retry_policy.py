"""How long a failed handler waits before its next try, and which errors are final. Pure.
Waits double. Jitter keeps events that failed together from being retried together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError, Rejected, RetryLater, Unsupported

Random = Callable[[], float]
"""A random number from 0 to 1, a new one at each call."""

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
        """The wait after `failures` failures in a row (at least 1), without jitter."""
        # Capped: doubled without end it would overflow.
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 60))


UNAVAILABLE_BACKOFF = Backoff(0.1, 30.0)
"""While something is unavailable, tries aren't counted, and handlers resume soon after it is
back.
"""


def never_passes(error: BaseException | None) -> bool:
    """Whether a retry can't succeed: the handler's result was rejected, or its code is wrong
    whatever the data. An error on None may pass: the missing row may exist in a minute.
    """
    if isinstance(error, AttributeError):
        # Without the object that it was raised for, this can't be known.
        return error.name is not None and error.obj is not None
    return isinstance(error, _NEVER_PASS)


def is_final_failure(error: BaseException, faults: int, attempts: int) -> bool:
    """Whether the event is given up after this error, the handler's `faults`th of at most
    `attempts`. Never while something is unavailable.
    """
    if isinstance(error, RetryLater):
        return False
    return faults >= attempts or never_passes(error)


def wait_after_failure(backoff: Backoff, failures: int, chance: Random = random.random) -> float:
    """Seconds to wait after so many failures: 75 to 125 % of the ceiling."""
    return backoff.ceiling(failures) * (0.75 + chance() / 2)


def wait_while_unavailable(
    backoff: Backoff, error: RetryLater, failures: int, chance: Random = random.random
) -> float:
    """Seconds to wait for something unavailable: a random part of the ceiling, but at least as long
    as it asked for.
    """
    return max(backoff.ceiling(failures) * chance(), error.after or 0.0)
