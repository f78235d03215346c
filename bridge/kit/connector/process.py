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
from bridge.kit.connector.child import dumped, loaded, unpacked
from bridge.kit.connector.legacy import Legacy
from bridge.kit.connector.opening import PATIENCE
from bridge.kit.connector.records import Told


class Captured:
    """A log made of a child's lines: what arrived whole stands, and nothing else."""

    def __init__(self, checkpoint: bytes) -> None:
        self.told: list[Told] = []
        self.checkpoint = checkpoint
        self.stale: list[Stale] = []
        self.names: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._process: Process | None = None

    async def start(self, legacy: Legacy, limit: int) -> None:
        """Start a child behind the last checkpoint that stands in the log."""
        argument = {
            "build": legacy.build,
            "system": base64.b64encode(pickle.dumps(legacy.system())).decode(),
            "after": self.checkpoint.hex(),
            "limit": limit,
            "names": dumped(list(self.names.items())),
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
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not line.endswith(b"\n"):
            return False
        said = json.loads(line)
        if "told" in said:
            self.told += unpacked(said["told"])
            self.names |= dict(loaded(said["names"]))
            self.checkpoint = bytes.fromhex(said["checkpoint"])
            self.stale += [Stale(tuple(tables), *rest) for tables, *rest in said["stale"]]
        return True

    async def kill(self) -> None:
        """SIGKILL, and take what it had written before."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        while await self.line():
            pass
        await self._process.wait()
