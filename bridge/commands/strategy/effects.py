"""Runs the effects of commands in order: the only caller of a Writer's `execute`."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.commands.contract import AFTER_LEGACY, BEFORE_LEGACY, CrashPointHook
from bridge.connector import Done, Effect, Writer
from bridge.model.error_text import describe_error
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    Fenced,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)


class EffectsFailed(Exception):
    """The Writer violated its contract: which effects took place is unknown."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"the connector failed: {describe_error(cause)}")
        self.cause = cause

    def as_refusal(self) -> Exception:
        """The error of a command that certainly had no effect."""
        if isinstance(self.cause, BridgeError):
            return self.cause
        return Rejected("connector_error", str(self))


async def run_effects(
    writer: Writer, effects: Sequence[Effect], crash_point: CrashPointHook
) -> Sequence[Done | Exception]:
    """Execute the effects in order; the results are aligned.

    Raises RetryLater (no effect took place) and OutcomeUnknown for all of them, ConfigurationError
    and Fenced if the system refuses this process as a whole, EffectsFailed for any other error.
    """
    crash_point(BEFORE_LEGACY)
    try:
        results = await writer.execute(effects)
    except (RetryLater, OutcomeUnknown, ConfigurationError, Fenced):
        raise
    except Exception as error:
        raise EffectsFailed(error) from error
    crash_point(AFTER_LEGACY)
    if len(results) != len(effects):
        raise EffectsFailed(
            Rejected(
                "connector_error",
                f"the writer returned {len(results)} outcomes for {len(effects)} effects",
            )
        )
    return results
