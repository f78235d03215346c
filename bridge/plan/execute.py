"""Executes plans: raw rows in, Avro keys and values with their headers out, in one pass.

The file runs interpreted as it stands, and compiled with the C types of `execute.pxd`. The quick
ways in here write what they are sure of and otherwise leave the field to the general way of
`convert.py`, which also knows every error: so both forms give the same.

Not safe for use by two threads at once: each Executor has one buffer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bridge.model import headers
from bridge.model.avro import OPS
from bridge.model.canonical import instant_text
from bridge.model.errors import RowError
from bridge.model.wire import header
from bridge.plan.compile import BINARY, OBJECT, TEXT, Ways
from bridge.plan.encode import moment
from bridge.plan.raw import Failure, Oversized, oversized, raw_text
from bridge.plan.steps import MISSING, Plan, Wire

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.

    class cython:  # type: ignore[no-redef]  # noqa: N801, D101
        compiled = False


#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)

if not cython.compiled:
    from bridge.plan.plain import *  # noqa: F403 - the C functions of execute.pxd, in Python
