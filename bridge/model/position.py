"""Positions of events in their system's history, comparable as text.

`EEEE-PPPPPPPPPPPPPPPP-NNNNNNNNNN`: epoch, commit position, and twice the row's index in its
transaction (plus one for the create half of a changed key), all upper-case hexadecimal of
fixed width, so that comparing text compares history.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 4 + 1 + 16 + 1 + 10
MAX_EPOCH, MAX_COMMIT, MAX_NUMBER = 0xFFFF, 0xFFFF_FFFF_FFFF_FFFF, 0xFF_FFFF_FFFF
ZERO = "0000-0000000000000000-0000000000"


class Position(NamedTuple):
    """The parts of a position: epoch (16 bit), commit (64 bit), number (40 bit)."""

    epoch: int
    commit: int
    number: int

    def __str__(self) -> str:
        return format_position(self.epoch, self.commit, self.number)


def format_position(epoch: int, commit: int, number: int) -> str:
    """The text form. Raises OverflowError if a part doesn't fit its width."""
    if not (0 <= epoch <= MAX_EPOCH and 0 <= commit <= MAX_COMMIT and 0 <= number <= MAX_NUMBER):
        message = f"position ({epoch}, {commit}, {number}) is out of range"
        raise OverflowError(message)
    return f"{epoch:04X}-{commit:016X}-{number:010X}"


def parse_position(text: str) -> Position:
    """The parts of a position's text. Raises ValueError if it isn't one."""
    if len(text) != WIDTH or text[4] != "-" or text[21] != "-":
        message = f"{text!r} is not a position: it should look like {ZERO}"
        raise ValueError(message)
    return Position(int(text[:4], 16), int(text[5:21], 16), int(text[22:], 16))
