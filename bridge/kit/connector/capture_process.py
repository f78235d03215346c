"""Runs `bridge.kit.connector.child` and kills it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from bridge.connector import Stale
from bridge.kit.connector.child import dump, load, load_steps
from bridge.kit.connector.legacy import LegacySystem
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S
from bridge.kit.connector.records import HistoryStep


class CaptureProcess:
    """A child process that captures, and the log made of its lines: whole lines count, nothing else."""

    def __init__(self, checkpoint: bytes) -> None:
        self.steps: list[HistoryStep] = []
        self.checkpoint = checkpoint
        self.stale: list[Stale] = []
        self.names: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._process: Process | None = None

    async def start(self, legacy: LegacySystem, limit: int) -> None:
        """Start a child after the last checkpoint in the log."""
        argument = {
            "build": legacy.build,
            "system": base64.b64encode(pickle.dumps(legacy.system())).decode(),
            "after": self.checkpoint.hex(),
            "limit": limit,
            "names": dump(list(self.names.items())),
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridge.kit.connector.child",
            json.dumps(argument),
            stdout=PIPE,
            limit=1 << 26,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    async def line(self) -> bool:
        """Take one line into the log; False at the child's end."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), WAIT_TIMEOUT_S)
        if not line.endswith(b"\n"):
            return False
        message = json.loads(line)
        if "steps" in message:
            self.steps += load_steps(message["steps"])
            self.names |= dict(load(message["names"]))
            self.checkpoint = bytes.fromhex(message["checkpoint"])
            self.stale += [Stale(tuple(tables), *rest) for tables, *rest in message["stale"]]
        return True

    async def kill(self) -> None:
        """SIGKILL, and take what it had written before."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        while await self.line():
            pass
        await self._process.wait()
