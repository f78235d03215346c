"""Executors in processes of their own, killed or frozen at a step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _start(folder: Path, step: str, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.commands.crash_target", str(folder), step, *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def killed(folder: Path, step: str, *more: str) -> None:
    """An executor that ends by SIGKILL at this step."""
    assert _start(folder, step, *more).wait(timeout=90) == -signal.SIGKILL


@contextmanager
def frozen(folder: Path, step: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """An executor that has stopped at this step; it ends with the block."""
    process = _start(folder, step, "--freeze", *more)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended instead of freezing"
        yield process
    finally:
        process.kill()
        process.wait()
