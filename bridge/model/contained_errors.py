"""Errors that would end more than what raised them, as errors like any other.

`sys.exit()` in a handler, a generator that is closed, a group of such: raised on, they end an
event loop or a process, or leave a task that nobody waits for. Where code of somebody else is
called, they are that code's failure.
"""

from __future__ import annotations

from bridge.model.error_text import error_message, error_name


class EscapingError(Exception):
    """Stands for an exception that is no `Exception`; `__cause__` is that one."""


def contained(error: BaseException, caller: str) -> Exception:
    """`error` itself where it is an Exception, else one that says what `caller` raised."""
    if isinstance(error, Exception):
        return error
    name = error_name(error)
    message = error_message(error)
    detail = f": {message}" if message else ""
    escaping = EscapingError(f"{caller} raised {name}{detail}")
    escaping.__cause__ = error
    return escaping
