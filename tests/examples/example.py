"""A copy of an example's folder, on a port of its own, with its starter at work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.bridge_folder import BridgeFolder
from tests.services.ports import free_ports
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Example(BridgeFolder):
    """What a user has: the folder, and two commands."""

    port: int

    @property
    def password(self) -> str:
        return (self.folder / "var" / "password").read_text()

    @property
    def output(self) -> str:
        """What the starter and the ERP's users said so far."""
        return (self.folder / "start.log").read_text()

    @contextmanager
    def started(self, *words: str) -> Iterator[None]:
        """The first command, from when the ERP serves until it is ended in order."""
        program = [sys.executable, "-u", str(self.folder / "start.py"), "--port", str(self.port)]
        with (self.folder / "start.log").open("w") as log_file:
            starter = subprocess.Popen([*program, *words], stdout=log_file, stderr=log_file)
        try:
            self.wait(lambda: "Its users are at work" in self.output or starter.poll() is not None)
            assert starter.poll() is None, self.output
            yield
            assert starter.poll() is None, self.output
        finally:
            starter.terminate()
            starter.wait(60)

    def wait(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Until it holds; fails with what was said."""
        log = self.folder / "run.log"
        wait_until(
            condition,
            seconds,
            # Each check costs the ERP more than it costs us.
            interval=0.5,
            describe=lambda: self.output + (log.read_text() if log.exists() else ""),
        )


def copied(name: str, port: int, folder: Path) -> Example:
    """The example `name`, which names `port` in its files, below `folder`."""
    [free] = free_ports(1)
    to = folder / name
    shutil.copytree(EXAMPLES / name, to, ignore=shutil.ignore_patterns("var", "__pycache__"))
    (system,) = (to / "systems").glob("*.yaml")
    text = system.read_text()
    assert f":{port}/" in text
    system.write_text(text.replace(f":{port}/", f":{free}/"))
    return Example(to, free)
