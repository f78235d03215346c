"""A legacy system that is only called: no transaction with the caller, no ledger. Its state is a
file, so that processes that are killed leave what a real one would keep.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.connector import Done, Effect
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater, Unsupported

Trouble = Callable[[int, Effect], Exception | None]
"""Asked about each call with its number, from 1 on: what goes wrong with it."""


def no_trouble(_number: int, _effect: Effect) -> Exception | None:
    return None


class RpcWriter:
    """The port's fake. `acted` is told after each effect, before its answer; `lost` and
    `refused` say which calls have no answer though they took effect, and which did not happen.
    """

    def __init__(
        self,
        folder: Path,
        *,
        probes: bool = True,
        in_doubt_timeout: float = 0.0,
        lost: Trouble = no_trouble,
        refused: Trouble = no_trouble,
        unsure: int = 0,
        acted: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._file = folder / "rpc.txt"
        self._probes = probes
        self.in_doubt_timeout = in_doubt_timeout
        self._lost = lost
        self._refused = refused
        self._unsure = unsure
        self._acted = acted
        self.calls = 0
        self.prepared = 0
        self.probed: list[str] = []

    async def prepare(self) -> None:
        self.prepared += 1

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        outcomes: list[Done | Exception] = []
        for effect in effects:
            try:
                if effect.begin is not None:
                    effect.begin()
            except Fenced as fenced:
                outcomes.append(fenced)
                continue
            self.calls += 1
            refused = self._refused(self.calls, effect)
            if refused is None:
                with self._file.open("a") as file:
                    file.write(f"{effect.command_id}\n")
                    file.flush()
                    os.fsync(file.fileno())
                self._acted(self.calls)
            lost = self._lost(self.calls, effect)
            outcomes.append(refused or lost or Done(1))
        return outcomes

    async def probe(self, effect: Effect) -> Done | None:
        self.probed.append(effect.command_id)
        if not self._probes:
            raise Unsupported(f"{effect.command_id} leaves nothing to look for")
        if len(self.probed) <= self._unsure:
            raise OutcomeUnknown("the search gave no answer")
        return Done(1) if effects(self._file.parent)[effect.command_id] else None

    async def close(self) -> None: ...


def effects(folder: Path) -> Counter[str]:
    """How often each command took effect."""
    file = folder / "rpc.txt"
    return Counter(file.read_text().split() if file.exists() else [])


def timed_out(*numbers: int) -> Trouble:
    """These calls have no answer."""
    return lambda number, _: OutcomeUnknown("the call timed out") if number in numbers else None


def away(*numbers: int) -> Trouble:
    """These calls find nobody."""
    return lambda number, _: RetryLater("the ERP is away") if number in numbers else None
