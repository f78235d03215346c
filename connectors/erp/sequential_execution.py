"""Commands of a system without a ledger: one after the other, and none after one whose answer was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridge.connector import Done, Effect
from bridge.model.error_text import describe_error
from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater


async def execute_in_order(
    effects: Sequence[Effect],
    execute: Callable[[Effect], Awaitable[Done]],
    *,
    login_retry_after_s: float | None = None,
) -> list[Done | Exception]:
    """The outcome of each effect, in order. Never raises, except if cancelled.

    Once the system can't be reached, or an answer was lost, the effects after that are not sent and
    RetryLater. An effect for which `execute` raises ConfigurationError is RetryLater, too: the address or
    the login is wrong, not the command. `login_retry_after_s` is the delay before those are tried again.
    Any other exception leaves the outcome unknown.
    """
    outcomes: list[Done | Exception] = []
    unavailable: RetryLater | None = None
    for effect in effects:
        if unavailable is not None:
            not_sent = f"{unavailable} (this command was not sent)"
            outcomes.append(RetryLater(not_sent, after=unavailable.after))
            continue
        try:
            outcomes.append(await execute(effect))
        except ConfigurationError as error:
            outcomes.append(unavailable := RetryLater(str(error), after=login_retry_after_s))
        except RetryLater as error:
            outcomes.append(unavailable := error)
        except OutcomeUnknown as error:
            outcomes.append(error)
            unavailable = RetryLater(str(error))
        except BridgeError as error:
            outcomes.append(error)
        except Exception as error:  # noqa: BLE001 - this command's; how far it came is probed
            outcomes.append(OutcomeUnknown(f"the connector failed: {describe_error(error)}"))
    return outcomes
