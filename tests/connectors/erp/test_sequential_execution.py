"""Commands of a system without a ledger, one after the other."""

from __future__ import annotations

from bridge.connector import Done, Effect
from bridge.model.errors import ConfigurationError, OutcomeUnknown, Rejected, RetryLater
from connectors.erp.sequential_execution import execute_in_order


def effects(*ids: str) -> list[Effect]:
    """Effects of these commands."""
    return [Effect(command_id, "digest", "", {}, "sale", {}) for command_id in ids]


async def outcomes(*errors: Exception | None) -> tuple[list[Done | Exception], list[str]]:
    """What becomes of as many effects, each of which raises that, and which were executed."""
    executed: list[str] = []
    by_id = {str(number): error for number, error in enumerate(errors)}

    async def execute(effect: Effect) -> Done:
        executed.append(effect.command_id)
        if (error := by_id[effect.command_id]) is not None:
            raise error
        return Done(rows=1)

    return await execute_in_order(effects(*by_id), execute, login_retry_after_s=30.0), executed


async def test_a_refused_command_does_not_keep_the_next_one_from_being_executed() -> None:
    refused = Rejected("conflict", "somebody else changed the row")
    results, executed = await outcomes(refused, None)
    assert results == [refused, Done(rows=1)]
    assert executed == ["0", "1"]


async def test_nothing_is_sent_after_an_answer_was_lost() -> None:
    lost = OutcomeUnknown("the answer was lost")
    results, executed = await outcomes(lost, None)
    assert results[0] is lost
    assert isinstance(results[1], RetryLater)
    assert "this command was not sent" in str(results[1])
    assert executed == ["0"]


async def test_what_was_not_sent_waits_as_long_as_the_system_asks_for() -> None:
    results, executed = await outcomes(RetryLater("busy", after=7.0), None, None)
    assert [getattr(result, "after", None) for result in results] == [7.0, 7.0, 7.0]
    assert executed == ["0"]


async def test_a_wrong_login_is_no_fault_of_the_command() -> None:
    results, executed = await outcomes(ConfigurationError("the password is wrong"), None)
    assert all(isinstance(result, RetryLater) for result in results)
    assert [getattr(result, "after", None) for result in results] == [30.0, 30.0]
    assert executed == ["0"]


async def test_a_defect_of_the_connector_leaves_the_outcome_of_its_command_alone_unknown() -> None:
    results, executed = await outcomes(KeyError("id"), None)
    assert isinstance(results[0], OutcomeUnknown)
    assert results[1] == Done(rows=1)
    assert executed == ["0", "1"]
