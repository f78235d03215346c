"""Declared statements: which parameters they name, and what binds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from bridge.model.errors import ConfigurationError


@lru_cache(maxsize=1024)
def parameters_of(statement: str) -> tuple[str, ...]:
    r"""The `:name` parameters of a statement (`\\:` is a colon, `::` a cast), in order."""
    return tuple(sa.text(statement).compile().params)


def bound(
    statement: str, parameters: Mapping[str, Any], bind: Callable[[Any], Any]
) -> dict[str, Any]:
    """Values for each parameter that the statement names.

    Raises ConfigurationError when it names one that isn't declared.
    """
    named = parameters_of(statement)
    unknown = sorted(set(named) - parameters.keys())
    if unknown:
        raise ConfigurationError(
            f"the statement {statement!r} names {', '.join(f':{name}' for name in unknown)}, which "
            f"is not declared (declared: {', '.join(sorted(parameters)) or 'nothing'})"
        )
    return {name: bind(parameters[name]) for name in sorted(named)}
