"""Records of Python's `logging` from agents and libraries, as lines of the bridge's own log."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge.agent.error_trace import error_trace
from bridge.model.error_text import clean_text, describe_error
from bridge.retry_reports import RetryReports

MAX_MESSAGE_CHARACTERS = 10_000
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TAKEN = frozenset({"event", "level", "timestamp", "exc_info", "stack_info"})
"""Field names that lines use themselves."""
CLIENTS = frozenset({"aiokafka", "httpcore", "httpx", "psycopg", "sqlalchemy"})
"""Loggers of the client libraries. While a server is unavailable each of their tries is a warning:
hundreds per second, in addition to the line of the part that waits.
"""


class LineHandler(logging.Handler):
    """Each record as one line of `lines`, with its `extra` as fields."""

    def __init__(self, lines: Any, reports: RetryReports | None = None) -> None:
        """`reports`: which of the clients' warnings are news; None: all are."""
        super().__init__()
        self._lines = lines
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        """As logging.Handler; never raises, whatever a record contains."""
        try:
            facts = {
                (f"{name}_" if name in _TAKEN else name): value
                for name, value in vars(record).items()
                if name not in _OWN
            }
            if "agent" not in facts:
                facts["logger"] = record.name
            if self._reports is not None and record.name.partition(".")[0] in CLIENTS:
                repeats = self._reports.failed(record.name, str(record.msg))
                if repeats is None:
                    return
                if repeats.tries > 1:
                    facts["repeated"] = repeats.tries
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                facts["traceback"] = error_trace(error)
            self._lines.log(_standard_level(record.levelno), _message(record), **facts)
        except Exception:  # noqa: BLE001 - as logging does with what can't be written
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: a closed terminal or pipe can't show an error."""


def _standard_level(level: int) -> int:
    """The nearest named level at or below this one."""
    return max(logging.DEBUG, min(level // 10 * 10, logging.CRITICAL))


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001 - `ctx.log.info("%d", "text")` is no reason to fail
        message = f"{record.msg} (its arguments don't fit: {describe_error(error)})"
    return clean_text(message, MAX_MESSAGE_CHARACTERS)


def _log_failed_thread(args: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread as one line instead of a traceback."""
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        _log_error("threading", f"thread {name} failed", args.exc_value)


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    """Log what a `__del__` or a callback raised, which can't propagate."""
    if args.exc_value is not None:
        name = getattr(args.object, "__qualname__", type(args.object).__name__)
        _log_error("python", f"{args.err_msg or 'exception ignored in'} {name}", args.exc_value)


def _log_error(logger: str, what: str, error: BaseException) -> None:
    message = "%s: %s"
    logging.getLogger(logger).error(message, what, describe_error(error), exc_info=error)


@contextmanager
def logging_into(lines: Any, level: int) -> Iterator[None]:
    """Within the block all logging becomes lines: of agents from `level` on, of libraries from
    warnings on, and the errors that end threads.
    """
    root, own = logging.getLogger(), logging.getLogger("bridge")
    before = root.level, own.level
    handler = LineHandler(lines, RetryReports() if level > logging.DEBUG else None)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    own.setLevel(level)
    logging.captureWarnings(True)
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = _log_failed_thread, _log_unraisable
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before[0])
        own.setLevel(before[1])
