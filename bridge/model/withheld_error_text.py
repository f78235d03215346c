"""What stands in place of a system's own words about a table with masked columns.

A server's sentence may quote any column of any row: the values that `mask:` keeps away from the log
would get into receipts, dead letters, status and log lines by it. So of such tables only codes and
names are passed on, and words of which it is certain that they hold no value.
"""

from __future__ import annotations

import re
from typing import Final

WITHHELD: Final = "its own words are withheld: they may quote a masked column; its log has them"
_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")


def withheld(code: object = None) -> str:
    """`WITHHELD`, with the system's code where that is one."""
    if isinstance(code, str | int) and _CODE.fullmatch(str(code)):
        return f"code {code}, {WITHHELD}"
    return WITHHELD
