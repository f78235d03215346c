"""Probes the legacy system for whether effects took place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bridge.commands.contract import AFTER_PROBE, BEFORE_PROBE, CrashPointHook
from bridge.commands.strategy.contract import PendingCommand, Reconciled
from bridge.connector import Effect, Writer
from bridge.model.error_text import describe_error
from bridge.model.errors import (
    ConfigurationError,
    Fenced,
    OutcomeUnknown,
    RetryLater,
    Unsupported,
)

PROBE_PAUSES_S = (0.0, 0.5, 2.0, 8.0)
"""Seconds before each probe of a command; further ones only for those without an answer."""


class EffectProber:
    """Waits out the in-doubt timeout, then probes, several times if necessary."""

    def __init__(
        self,
        writer: Writer,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        crash_point: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._sleep = sleep
        self._crash_point = crash_point

    async def probe(
        self, effects: Sequence[Effect | None], *, settled: bool = False
    ) -> list[Reconciled | Exception | None]:
        """As `ExecutionStrategy.reconcile`, aligned. An effect that is None can't be probed. Once
        the system is unavailable it isn't asked again.
        settled: don't wait out the in-doubt timeout.
        """
        results: list[Reconciled | Exception | None] = [
            OutcomeUnknown("its declaration has changed since") for _ in effects
        ]
        unanswered = [(index, effect) for index, effect in enumerate(effects) if effect is not None]
        if unanswered and not settled and self._writer.in_doubt_timeout > 0:
            await self._sleep(self._writer.in_doubt_timeout)
        for pause_s in PROBE_PAUSES_S:
            if not unanswered:
                break
            if pause_s:
                await self._sleep(pause_s)
            retried = []
            unavailable: RetryLater | None = None
            for index, effect in unanswered:
                results[index] = result = unavailable or await self._probe_once(effect)
                if isinstance(result, OutcomeUnknown):
                    retried.append((index, effect))
                elif isinstance(result, Unsupported):
                    results[index] = OutcomeUnknown(str(result))
                elif isinstance(result, RetryLater) and unavailable is None:
                    unavailable = await self.find_unavailable()
            unanswered = retried
        return results

    async def find_unavailable(self) -> RetryLater | None:
        """Why the whole system can't be probed; None if only single probes failed. The other probes
        must wait neither for a timeout each, nor for a row that always fails.
        """
        try:
            await self._writer.prepare()
        except RetryLater as error:
            return error
        except ConfigurationError as error:
            return RetryLater(str(error))
        return None

    async def _probe_once(self, effect: Effect) -> Reconciled | Exception | None:
        self._crash_point(BEFORE_PROBE)
        try:
            done = await self._writer.probe(effect)
        except (OutcomeUnknown, RetryLater, Unsupported) as error:
            return error
        except (ConfigurationError, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - it ends with this question
            return OutcomeUnknown(f"probing it failed: {describe_error(error)}")
        self._crash_point(AFTER_PROBE)
        return None if done is None else Reconciled(done)


def effects_of(commands: Sequence[PendingCommand]) -> list[Effect | None]:
    """The effects of these commands, aligned."""
    return [command.effect for command in commands]
