"""What a connector can say of the rights that commands need, without carrying them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from bridge.connector.system import System
from bridge.model.specs import CommandSpec


class CommandRight(NamedTuple):
    """What the system says of one command under the bridge's login.

    `verdict`: `missing`, a right is (`fix` is the statement that gives it); `wrong`, the statement
    itself is refused; `unasked`, that could not be asked. `what` is a sentence.
    """

    command: str
    verdict: Literal["missing", "wrong", "unasked"]
    what: str
    fix: str = ""


@runtime_checkable
class ChecksRights(Protocol):
    """A Connector that can ask whether its login may do what commands do."""

    async def check_rights(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[CommandRight]:
        """Nothing of a command that may be carried out. Nothing is changed. Raises as `describe`."""
