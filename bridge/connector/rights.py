"""Optional check of the permissions that commands need, without executing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from bridge.connector.system import System
from bridge.model.specs import CommandSpec


class CommandRight(NamedTuple):
    """Whether the bridge's login may execute one command.

    command: its name.
    verdict: `missing`: a permission is missing; `wrong`: the statement itself is refused;
    `unasked`: the system could not be queried.
    what: the finding, as a sentence.
    fix: the statement that grants the missing permission.
    """

    command: str
    verdict: Literal["missing", "wrong", "unasked"]
    what: str
    fix: str = ""


@runtime_checkable
class ChecksRights(Protocol):
    """A Connector that can check whether its login has the permissions that commands need."""

    async def check_rights(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[CommandRight]:
        """One entry for each command that may not be executed, none for the others. Changes
        nothing. Raises ConfigurationError or RetryLater if the system can't be queried.
        """
