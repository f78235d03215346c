"""Replaces a system's own error texts about a table with masked columns.

A server's message may quote any column of any row, so values that `mask:` keeps out of the log
would get into receipts, dead letters, status and log lines. For such tables only codes and names
are passed on, and texts that certainly contain no value.
"""

from __future__ import annotations

import re
from typing import Final

WITHHELD: Final = (
    "its message is withheld, because it may quote a masked column; see the system's log"
)
_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")


def withheld(code: object = None) -> str:
    """`WITHHELD`, with the system's code if it is valid."""
    if isinstance(code, str | int) and _CODE.fullmatch(str(code)):
        return f"code {code}, {WITHHELD}"
    return WITHHELD
