"""Asks the legacy system whether commands have happened."""

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

PAUSES = (0.0, 0.5, 2.0, 8.0)
"""Seconds before each probe of a command about which the one before had no answer."""


class EffectProber:
    """Waits until what was asked for is settled, then probes, a few times where need be."""

    def __init__(
        self,
        writer: Writer,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steps: CrashPointHook,
    ) -> None:
        self._writer = writer
        self._sleep = sleep
        self._steps = steps

    async def ask(
        self, effects: Sequence[Effect | None], *, settled: bool = False
    ) -> list[Reconciled | Exception | None]:
        """As `Carrier.ask`; an effect that is None can't be asked about. Once the system is away
        no further question is put to it. `settled`: nothing has to be waited for.
        """
        answers: list[Reconciled | Exception | None] = [
            OutcomeUnknown("it isn't declared any more as it was then") for _ in effects
        ]
        open_ = [(index, effect) for index, effect in enumerate(effects) if effect is not None]
        if open_ and not settled and self._writer.in_doubt_timeout > 0:
            await self._sleep(self._writer.in_doubt_timeout)
        for pause in PAUSES:
            if not open_:
                break
            if pause:
                await self._sleep(pause)
            again = []
            away: RetryLater | None = None
            for index, effect in open_:
                answers[index] = answer = away or await self._probe(effect)
                if isinstance(answer, OutcomeUnknown):
                    again.append((index, effect))
                elif isinstance(answer, Unsupported):
                    answers[index] = OutcomeUnknown(str(answer))
                elif isinstance(answer, RetryLater) and away is None:
                    away = await self.away()
            open_ = again
        return answers

    async def away(self) -> RetryLater | None:
        """Whether the whole system can't be asked, or it was that one question alone: the others
        must neither wait for one time-out each, nor for a row that always fails.
        """
        try:
            await self._writer.prepare()
        except RetryLater as error:
            return error
        except ConfigurationError as error:
            return RetryLater(str(error))
        return None

    async def _probe(self, effect: Effect) -> Reconciled | Exception | None:
        self._steps(BEFORE_PROBE)
        try:
            done = await self._writer.probe(effect)
        except (OutcomeUnknown, RetryLater, Unsupported) as error:
            return error
        except (ConfigurationError, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - it ends with this question
            return OutcomeUnknown(f"asking for it failed: {describe_error(error)}")
        self._steps(AFTER_PROBE)
        return None if done is None else Reconciled(done)


def effects_of(works: Sequence[PendingCommand]) -> list[Effect | None]:
    """The effects of these commands, aligned."""
    return [work.effect for work in works]
