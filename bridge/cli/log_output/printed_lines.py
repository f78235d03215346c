"""Text printed by agents and libraries while the bridge runs, as log lines.

A collector of logs reads stdout and stderr of a container as one, and wants each line as JSON.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO

from bridge.cli.log_output.python_logging import MAX_MESSAGE_CHARACTERS
from bridge.model.error_text import clean_text


class PrintedLines(io.TextIOBase):
    """A standard stream that logs each written line to `lines`.

    Lines of different threads are not mixed. Text without a line end waits for it, up to
    MAX_MESSAGE_CHARACTERS or `finish`. Queries about the file itself are passed to `beneath`.
    """

    def __init__(self, lines: Any, level: int, name: str, beneath: TextIO) -> None:
        self._lines = lines
        self._level = level
        self._name = name
        self._beneath = beneath
        self._unfinished: dict[int, str] = {}

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has a plain attribute
        """That of the stream beneath."""
        return self._beneath.encoding

    @property
    def buffer(self) -> Any:
        """Bytes are written directly, because their line ends are unknown."""
        return self._beneath.buffer

    def fileno(self) -> int:
        """That of the stream beneath."""
        return self._beneath.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """As TextIO; never fails for what the text holds."""
        thread = threading.get_ident()
        *whole, rest = (self._unfinished.pop(thread, "") + text).split("\n")
        for line in whole:
            self._tell(line)
        if len(rest) > MAX_MESSAGE_CHARACTERS:
            self._tell(rest)
        elif rest:
            self._unfinished[thread] = rest
        return len(text)

    def finish(self) -> None:
        """Log a last line without a line end."""
        while self._unfinished:
            self._tell(self._unfinished.popitem()[1])

    def _tell(self, line: str) -> None:
        if line.strip():
            message = clean_text(line, MAX_MESSAGE_CHARACTERS)
            # A closed stream must not make a handler fail.
            with suppress(OSError, ValueError):
                self._lines.log(self._level, message, logger=self._name)


@contextmanager
def printing_into(lines: Any) -> Iterator[None]:
    """Within the block printed text becomes log lines: of stdout at `info`, of stderr at `warning`.
    `lines` must hold the stream that it writes to, created before the block.
    """
    out = PrintedLines(lines, logging.INFO, "stdout", sys.stdout)
    err = PrintedLines(lines, logging.WARNING, "stderr", sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.finish()
            err.finish()
