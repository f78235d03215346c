"""Writers without a ledger: a defect at one command leaves the others of its batch what they are."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.connector import Done, Effect
from bridge.model.errors import OutcomeUnknown
from connectors.odata.commands.writer import ODataWriter
from connectors.tryton.commands.writer import TrytonWriter
from tests.hostile_values import TextlessError


class BreakingOData(ODataWriter):
    """Meets a defect at the second command."""

    def __init__(self) -> None:
        async def metadata() -> None:
            return None

        self._client: Any = SimpleNamespace(metadata=metadata)

    async def _execute(self, service: Any, effect: Effect) -> Done:
        return done_or_broken(effect)


class BreakingTryton(TrytonWriter):
    """The same."""

    def __init__(self) -> None:
        pass

    async def _execute(self, effect: Effect) -> Done:
        return done_or_broken(effect)


def done_or_broken(effect: Effect) -> Done:
    if effect.command_id == "2":
        raise TextlessError
    return Done(1)


@pytest.mark.parametrize("make_writer", [BreakingOData, BreakingTryton])
async def test_a_defect_at_one_command_is_asked_about_and_the_others_are_done(
    make_writer: Callable[[], Any],
) -> None:
    effects = [Effect(number, "d", "", {}, "", {}) for number in "123"]
    first, second, third = await make_writer().execute(effects)
    assert (first, third) == (Done(1), Done(1))
    assert isinstance(second, OutcomeUnknown)
    assert "TextlessError" in str(second)
