"""What agents and libraries print while the bridge runs, as lines of its log.

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
    """A standard stream of which each line that is written becomes one of `lines`.

    Threads don't cut into each other's lines. What has no line end yet waits for it, up to
    MAX_MESSAGE_CHARACTERS or `finish`. What is asked of the file itself is asked of `beneath`.
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
        """Bytes go past: nobody knows where their lines end."""
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
        """Tell what had no end of its line."""
        while self._unfinished:
            self._tell(self._unfinished.popitem()[1])

    def _tell(self, line: str) -> None:
        if line.strip():
            message = clean_text(line, MAX_MESSAGE_CHARACTERS)
            # A stream that nobody reads any more is no reason for a handler to fail.
            with suppress(OSError, ValueError):
                self._lines.log(self._level, message, logger=self._name)


@contextmanager
def printing_into(lines: Any) -> Iterator[None]:
    """Until the end of the block what is printed becomes lines: of stdout at `info`, of stderr at
    `warning`. `lines` has to hold the stream that it writes to, as made before the block.
    """
    out = PrintedLines(lines, logging.INFO, "stdout", sys.stdout)
    err = PrintedLines(lines, logging.WARNING, "stderr", sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.finish()
            err.finish()
