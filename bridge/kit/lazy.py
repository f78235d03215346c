"""Suites that are loaded when they are asked for.

A suite's child processes, which are many, import the package that it is in and need no pytest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def loader(
    package: str, homes: Mapping[str, str], asserting: Sequence[str]
) -> Callable[[str], Any]:
    """A package's `__getattr__`: names by the modules that have them; `asserting` are the modules
    whose assertions say what they compared.
    """

    def load(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import pytest

        for module in asserting:
            # Before they are imported: pytest rewrites nothing later.
            if f"{package}.{module}" not in sys.modules:
                pytest.register_assert_rewrite(f"{package}.{module}")
        return getattr(import_module(f"{package}.{home}"), name)

    return load
