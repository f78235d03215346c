"""How many examples hypothesis makes: all of them in CI, fewer where somebody waits for the result.

Other examples are made in each run but where a test is derandomized; `CI=true make unit` makes all.
"""

from __future__ import annotations

import os
from typing import Final

IN_CI: Final = os.environ.get("CI", "").lower() in {"true", "1"}
LOCAL_SHARE: Final = 5
"""Outside of CI, one of so many."""
DEFAULT_EXAMPLES: Final = 100
"""Hypothesis's own number."""


def examples(in_ci: int = DEFAULT_EXAMPLES) -> int:
    """Return for `max_examples` what a test has in CI, or its share of that."""
    return in_ci if IN_CI else max(1, in_ci // LOCAL_SHARE)
