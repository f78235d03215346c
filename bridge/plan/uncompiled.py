"""Stands for the module `cython` where Cython isn't installed: nothing is compiled then."""

from __future__ import annotations

from typing import Final

compiled: Final = False
