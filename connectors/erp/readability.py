"""When a source whose tables can't be read gives up: only once none of them can. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.errors import ConfigurationError, RetryLater


def check_any_readable(
    troubles: Sequence[str], *, by_configuration: bool, after: float | None = None
) -> None:
    """`troubles` says of each table why it can't be read; empty where it can.

    Raises, where no table can be read, ConfigurationError (`by_configuration`: at the first start, when
    nothing was captured before) or RetryLater with the delay `after`.
    """
    if not troubles or not all(troubles):
        return
    reasons = "; ".join(dict.fromkeys(troubles))
    raise ConfigurationError(reasons) if by_configuration else RetryLater(reasons, after=after)
