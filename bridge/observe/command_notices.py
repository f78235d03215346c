"""What the commands' executor reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandsHeld:
    """The commands of one declaration are held, while others of their system continue.

    state: held, until a person does what `reason` says; released: they continue
    """

    system: str
    command: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CommandMoved:
    """A command reached a state of `bridge.model.receipt.State`.

    repeated: the command already had a receipt
    key: canonical JSON of its row's key
    reason: empty for a success
    """

    command_id: str
    name: str
    state: str
    code: str = ""
    repeated: bool = False
    key: str = ""
    reason: str = ""
