"""What kind of callable a handler is, and whether it takes what it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

HandlerForm = Literal["coroutine", "async_generator", "plain"]


def handler_form(run: Callable[..., Any]) -> HandlerForm:
    """How the bridge calls `run`: awaited, iterated, or in a thread.

    An object is judged by its `__call__`. An async function behind a plain wrapper or a lambda is
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
    """Why `run(event, ctx)` can't be called, or None where it can or nobody knows."""
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # a builtin without one
        return None
    try:
        signature.bind(None, None)
    except TypeError:
        return f"takes {signature}; a handler is called with two arguments, (event, ctx)"
    return None
