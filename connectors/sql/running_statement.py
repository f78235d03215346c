"""One use of a connection by a thread, which another thread may interrupt at the driver."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, local
from typing import Any, Final

from sqlalchemy.engine import Connection

from bridge.model.errors import RetryLater

Interrupt = Callable[[Any], None]
"""Ends the statement that the driver's connection runs, from another thread; nothing if it runs none."""

REPEAT_S: Final = 0.5
"""How long an interrupted statement may still run before it is interrupted again: the first time may have
come between two statements.
"""
_THREAD: Final = local()
"""`statement`: what this thread runs."""


class RunningStatement:
    """The statements that one thread runs on one connection. `begin` and `end` are that thread's, the
    others may be called by any.
    """

    def __init__(self, interrupt: Interrupt | None) -> None:
        self.is_interrupted = False
        self._interrupt = interrupt
        self._using = Lock()
        self._driver: Any = None
        self._ended = Event()

    def begin(self, connection: Connection) -> None:
        """From here on its statements are interrupted. Raises RetryLater if that was asked before."""
        _THREAD.statement = self
        driver = connection.connection.driver_connection
        with self._using:
            self._driver = driver
        raise_if_interrupted()

    def end(self, connection: Connection) -> None:
        """No interruption comes any more. A connection that may have been interrupted isn't used
        again: the interruption may reach it late, and would hit the next statement.
        """
        with self._using:
            self._driver = None
        self._ended.set()
        _THREAD.statement = None
        if self.is_interrupted:
            connection.invalidate()

    def interrupt(self) -> None:
        """Interrupt until the thread has ended its use. Blocks until then; at once, without effect,
        for a driver that can't.
        """
        self.is_interrupted = True
        while self._interrupt is not None and not self._ended.is_set():
            with self._using:
                if self._driver is not None:
                    self._interrupt(self._driver)
            self._ended.wait(REPEAT_S)

    def abandon(self) -> None:
        """The thread never began, so that nobody has to wait for its end."""
        self._ended.set()


def is_interrupted() -> bool:
    """Whether nobody waits any more for what this thread runs."""
    statement = getattr(_THREAD, "statement", None)
    return statement is not None and statement.is_interrupted


def raise_if_interrupted() -> None:
    """Raise RetryLater if nobody wants the result of this thread's next statement any more."""
    if is_interrupted():
        raise RetryLater("nobody waits for the statement any more")
