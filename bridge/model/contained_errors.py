"""Converts exceptions that would end more than their own code to ordinary errors.

`sys.exit()` in a handler, a closed generator, or a group of these: if they propagate, they end an
event loop or a process, or leave a task that nobody waits for. When raised by user or library code,
they are failures of that code.
"""

from __future__ import annotations

from bridge.model.error_text import error_message, error_name


class EscapingError(Exception):
    """Replaces an exception that is not an `Exception`; `__cause__` is that one."""


def contained(error: BaseException, caller: str) -> Exception:
    """`error` itself if it is an Exception, else an EscapingError that says what `caller`
    raised.
    """
    if isinstance(error, Exception):
        return error
    name = error_name(error)
    message = error_message(error)
    detail = f": {message}" if message else ""
    escaping = EscapingError(f"{caller} raised {name}{detail}")
    escaping.__cause__ = error
    return escaping
