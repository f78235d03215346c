"""Runs capture as a process of its own and ends it the hard way, again and again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.torture.child import READY
from tests.torture.crash_target import CrashTarget
from tests.waiting import WAIT_TIMEOUT_S, wait_until

ROOT = Path(__file__).parents[2]
Harm = Callable[[], None]
#: Steps that come by again and again; the others come once a start, or once a snapshot.
OFTEN = {
    *("append.before", "append.after", "commit.after", "ack.before", "ack.after"),
    *("chunk.after", "high.before", "high.after", "emit.before"),
}


class TorturedCapture:
    """One capture process."""

    def __init__(self, target: CrashTarget, step: str = "", nth: int = 1) -> None:
        self._log = (target.folder / "child.log").open("ab")
        self._output_start = self._log.tell()
        arguments = [step, str(nth)] if step else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.child", str(target.folder), *arguments],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._target = target

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL. Fails when the process had ended by itself, which it never should."""
        code = self._process.poll()
        self._process.kill()
        self._process.wait()
        self._log.close()
        assert code is None, f"capture ended by itself with {code}:\n{self.output()}"

    def died(self, seconds: float) -> bool:
        """Whether it killed itself at its step within so many seconds."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._log.close()
        assert code == -signal.SIGKILL, f"capture ended with {code}:\n{self.output()}"
        return True

    def end(self) -> None:
        """SIGTERM: it ends in order. One that is still starting is waited for: until it handles the
        signal, the signal kills it.
        """
        wait_until(
            lambda: READY in self._own_output() or self._process.poll() is not None,
            describe=lambda: f"capture doesn't start:\n{self.output()}",
        )
        self._process.terminate()
        code = self._process.wait(WAIT_TIMEOUT_S)
        self._log.close()
        assert code == 0, f"capture ended with {code}:\n{self.output()}"

    def _own_output(self) -> str:
        log = (self._target.folder / "child.log").read_bytes()
        return log[self._output_start :].decode(errors="replace")

    def output(self) -> str:
        return (self._target.folder / "child.log").read_text(errors="replace")[-4000:]


def silent(_: str) -> None:
    """Tell nobody."""


def torture(
    target: CrashTarget,
    kills: int,
    seed: int,
    harms: list[Harm],
    *,
    pause: float,
    report: Callable[[str], None] = silent,
) -> int:
    """So many kills at random moments under load, with other harm in between; then the verdict:
    how many changes were held against the log.
    """
    rng = random.Random(seed)  # noqa: S311 - seeded, so that a failure can be repeated
    begin(target)
    target.fill()
    target.load(seed, pause)
    for number in range(kills):
        child = TorturedCapture(target)
        if rng.random() < 0.4:
            target.ask_for_snapshot(reconcile=rng.random() < 0.3)
        if harms and rng.random() < 0.3:
            time.sleep(rng.uniform(0.5, 2.0))
            rng.choice(harms)()
        time.sleep(rng.uniform(0.3, 2.5))
        child.kill()
        done = sum(each.done for each in target.loaders)
        report(f"kill {number + 1} of {kills}, after {done} transactions")
    target.end_load()
    return settle(target)


def at_first(step: str) -> bool:
    """Whether it is a step of the first start."""
    return step.startswith("first")


def filled(target: CrashTarget) -> None:
    """What a kill at a step begins with: capture was here, and rows came since."""
    begin(target)
    target.fill()


def at_step(target: CrashTarget, step: str, nth: int, seed: int, *, pause: float) -> int:
    """One kill at the nth time of a step, under load and during a snapshot; then the verdict.

    `target` is `filled`, or new for steps of the first start.
    """
    first = at_first(step)
    if not first:
        target.load(seed, pause)
        target.ask_for_snapshot(reconcile=step == "deletes.before")
    child = TorturedCapture(target, step, nth)
    if not child.died(WAIT_TIMEOUT_S):
        child.kill()
        raise AssertionError(f"capture never came to step {step!r} for time {nth}")
    if first:
        begin(target)
        target.load(seed, pause)
        time.sleep(0.5)
    target.end_load()
    return settle(target)


def begin(target: CrashTarget) -> None:
    """Let capture start for the first time: what happens from now on must be in the log."""
    child = TorturedCapture(target)
    wait_until(target.started, describe=lambda: f"capture doesn't start:\n{child.output()}")
    child.end()


def settle(target: CrashTarget) -> int:
    """Let capture catch up undisturbed, and compare."""
    child = TorturedCapture(target)
    try:
        changes = target.verdict()
    except BaseException as error:
        error.add_note(f"capture said:\n{child.output()}")
        child.kill()
        raise
    child.end()
    return changes
