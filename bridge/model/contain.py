"""Errors that would end more than what raised them, as errors like any other.

`sys.exit()` in a handler, a generator that is closed, a group of such: raised on, they end an
event loop or a process, or leave a task that nobody waits for. Where code of somebody else is
called, they are that code's failure.
"""

from __future__ import annotations


class EscapingError(Exception):
    """Stands for an exception that is no `Exception`; `__cause__` is that one."""


def contained(error: BaseException, caller: str) -> Exception:
    """`error` itself where it is an Exception, else one that says what `caller` raised."""
    if isinstance(error, Exception):
        return error
    name = type(error).__name__
    # Only of these the text is sure to be one: a class of somebody's own may fail at it.
    detail = f": {error}" if isinstance(error, (SystemExit, BaseExceptionGroup)) else ""
    escaping = EscapingError(f"{caller} raised {name}{detail}")
    escaping.__cause__ = error
    return escaping
