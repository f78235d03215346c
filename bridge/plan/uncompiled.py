"""Stands for the module `cython` where Cython isn't installed: nothing is compiled then."""

from __future__ import annotations

from typing import Final, TypeVar

compiled: Final = False
Kind = TypeVar("Kind", bound=type)


def cclass(kind: Kind) -> Kind:
    """Nothing, uncompiled."""
    return kind


no_gc = cclass
