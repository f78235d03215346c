"""How often Python looks for reference cycles while a bridge runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Containers made, less those gone, before a collection of the youngest generation; Python's own
#: is 700. A log transaction holds some 20,000 that all go by themselves when it is committed:
#: looking through them repeatedly was a third of capture's CPU time.
YOUNG_THRESHOLD: Final = 50_000
OLDER_THRESHOLD, OLDEST_THRESHOLD = 20, 100


@contextmanager
def collect_garbage_rarely() -> Iterator[None]:
    """Collect seldom, and never look at what is already there; as before afterwards.

    For the whole process; inside another one of these it does nothing.
    """
    before = gc.get_threshold()
    if before[0] == 0 or before[0] >= YOUNG_THRESHOLD:
        yield
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_THRESHOLD, OLDER_THRESHOLD, OLDEST_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
