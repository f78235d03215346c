"""Suggestions for a misspelled name, as the end of a message. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_SUGGESTIONS = 3
MAX_LISTED_NAMES = 12
MIN_SIMILARITY = 0.5


def did_you_mean(name: str, candidates: Iterable[str], *, list_all: bool = False) -> str:
    """`; did you mean 'X' or 'Y'?` with the candidates that are similar to `name`. If none is:
    empty, or with `list_all` the first of all candidates.
    """
    names = list(candidates)
    close = difflib.get_close_matches(name, names, MAX_SUGGESTIONS, MIN_SIMILARITY)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f" (there are {', '.join(names[:MAX_LISTED_NAMES]) or 'none'})" if list_all else ""
