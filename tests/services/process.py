"""One local program: started on free ports, in a folder of its own, and ended by its pid."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_until

# Ends the server when this process is gone, however it went: `read` returns once the last
# writer of the pipe has died.
GUARD = 'read -r line; kill -9 "$1" 2>/dev/null; sleep 1; rm -rf "$2"'
#: For a Java server that lives for minutes: what its second compiler would gain costs more.
BRIEF_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

server_pids: set[int] = set()
"""The servers of this process that run, and their guards: some are shared by the whole session."""


class Process:
    """A program that may be started, killed and started again over the same folder."""

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        seconds: float = 100,
    ) -> None:
        self.argv = list(argv)
        self.folder = folder
        self.output = folder / "output.log"
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._seconds = seconds
        self._running: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._running.pid if self._running else None

    def start(self) -> None:
        """Start the program and wait until it serves; does nothing when it runs."""
        if self._running and self._running.poll() is None:
            return
        with self.output.open("ab") as output:
            self._running = subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(self._running.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        server_pids.update((self._running.pid, self._guard.pid))
        wait_until(self._serves, self._seconds, describe=self._tail)

    def end(self, sign: signal.Signals, seconds: float = 30) -> None:
        """Send a signal and wait until the program is gone; SIGKILL after `seconds`."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            server_pids.discard(self._guard.pid)
            self._guard = None
        if self._running is None:
            return
        with suppress(ProcessLookupError):
            self._running.send_signal(sign)
        try:
            self._running.wait(seconds)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        server_pids.discard(self._running.pid)
        self._running = None

    def close(self) -> None:
        """End the program and remove its folder."""
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _serves(self) -> bool:
        if self._running is None or self._running.poll() is not None:
            raise RuntimeError(f"{self.argv[0]} ended while starting\n{self._tail()}")
        return self._ready()

    def _tail(self) -> str:
        return self.output.read_text(errors="replace")[-3000:]
