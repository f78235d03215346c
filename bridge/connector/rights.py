"""What a connector can say of the rights that commands need, without executing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from bridge.connector.system import System
from bridge.model.specs import CommandSpec


class CommandRight(NamedTuple):
    """What the system says of one command under the bridge's login.

    command: its name.
    verdict: `missing`: a right is; `wrong`: the statement itself is refused; `unasked`: the system
    could not be asked.
    what: as a sentence.
    fix: the statement that grants the missing right.
    """

    command: str
    verdict: Literal["missing", "wrong", "unasked"]
    what: str
    fix: str = ""


@runtime_checkable
class ChecksRights(Protocol):
    """A Connector that can ask whether its login has the rights that commands need."""

    async def check_rights(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[CommandRight]:
        """One entry for each command that may not be executed, none for the others. Changes nothing.
        Raises ConfigurationError or RetryLater where the system can't be asked.
        """
