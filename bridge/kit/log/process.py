"""Runs `bridge.kit.log.child` and kills, freezes and wakes it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.kit.log.harness import WAIT_TIMEOUT_S
from bridge.kit.log.under_test import LogUnderTest


class ChildProcess:
    """A running child. Everything that it said can be waited for, in order."""

    def __init__(self, under_test: LogUnderTest, arguments: dict[str, Any]) -> None:
        whole = {
            **arguments,
            "build": under_test.build,
            "url": under_test.url,
            "options": dict(under_test.options),
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "bridge.kit.log.child", json.dumps(whole)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, what: str, patience: float = WAIT_TIMEOUT_S) -> Any:
        """The next line that has `what`; its value. Fails when the child ends before."""
        while True:
            try:
                line = self._lines.get(timeout=patience)
            except queue.Empty:
                pytest.fail(f"the child process has not said {what!r} for {patience} s")
            if line is None:
                pytest.fail(f"the child process ended before it said {what!r}")
            heard = json.loads(line)
            if what in heard:
                return heard[what]

    def has_said(self, what: str) -> bool:
        """Whether it said `what` since it was last listened to. Doesn't wait."""
        heard = False
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                heard = heard or what in json.loads(line)
        return heard

    def rest(self, what: str) -> list[Any]:
        """After its end: the values of all further lines that have `what`."""
        self._reading.join()
        heard = []
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(json.JSONDecodeError):  # cut by the kill
                heard.append(json.loads(line))
        return [each[what] for each in heard if what in each]

    def go_on(self) -> None:
        """Let it continue from where it waits."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def ends(self, patience: float = WAIT_TIMEOUT_S) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(patience)


@contextlib.contextmanager
def child_process(under_test: LogUnderTest, **arguments: Any) -> Iterator[ChildProcess]:
    """A child process that is gone afterwards, whatever happened."""
    running = ChildProcess(under_test, arguments)
    try:
        yield running
    finally:
        running.kill()
        running._reading.join()  # noqa: SLF001 - one file
        assert running._process.stdin is not None and running._process.stdout is not None  # noqa: SLF001, PT018
        with contextlib.suppress(BrokenPipeError):
            running._process.stdin.close()  # noqa: SLF001
        running._process.stdout.close()  # noqa: SLF001
