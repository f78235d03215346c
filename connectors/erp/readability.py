"""When a source gives up: only if none of its tables can be read. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.errors import ConfigurationError, RetryLater


def check_any_readable(
    troubles: Sequence[str], *, by_configuration: bool, after: float | None = None
) -> None:
    """`troubles` has for each table why it can't be read; empty: it can. If no table can be read, raises
    ConfigurationError (`by_configuration`: at the first start, when nothing was captured before) or
    RetryLater with the delay `after`.
    """
    if not troubles or not all(troubles):
        return
    reasons = "; ".join(dict.fromkeys(troubles))
    raise ConfigurationError(reasons) if by_configuration else RetryLater(reasons, after=after)
