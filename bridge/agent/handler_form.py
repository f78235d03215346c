"""What kind of callable a handler is, and whether it accepts (event, ctx)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

HandlerForm = Literal["coroutine", "async_generator", "plain"]


def handler_form(run: Callable[..., Any]) -> HandlerForm:
    """How the bridge calls `run`: awaited, iterated, or in a thread.

    An object is judged by its `__call__`. An async function in a plain wrapper or a lambda is
    `plain`: the wrapper runs in a thread, and what it returns is awaited.
    """
    call = run if inspect.isroutine(run) else getattr(type(run), "__call__", run)  # noqa: B004
    for function in (run, call):
        if inspect.isasyncgenfunction(function):
            return "async_generator"
        if inspect.iscoroutinefunction(function):
            return "coroutine"
    return "plain"


def signature_problem(run: Callable[..., Any]) -> str | None:
    """Why `run(event, ctx)` can't be called; None if it can, or if the signature is unknown."""
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # a builtin without one
        return None
    try:
        signature.bind(None, None)
    except TypeError:
        return f"takes {signature}; a handler is called with two arguments, (event, ctx)"
    return None
