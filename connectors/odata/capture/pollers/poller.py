"""What the ways of noticing changes have in common: one Poller for each entity set.

Order of calls: `begin` or `restore`, then `step` again and again. A poll is as many steps as
`step` says that there are `more`; each brings one page. `took` is called for every item that was
handed on, in order, `turn` after the last one of a page. So `saved` resumes behind any item: what
was taken of the page under way is recognised (`Told`), and not told again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from connectors.odata.protocol.entity_table import Row, Table

DIGEST = 8
"""Bytes of a mark: two contents in 2**64 have the same."""
PART = 6
MARK = 2 * PART
"""Bytes that a row takes in the resume state: of its key, and of its content."""

State = dict[str, Any]


class Item(NamedTuple):
    """A change: `row` None for a delete. `at` is when it was made, where that is known."""

    op: int
    key: Row
    row: Row | None
    mark: bytes
    at: datetime | None = None


class Step(NamedTuple):
    """One page of a poll. `stale`: why the table has to be compared with the log."""

    items: list[Item]
    more: bool
    stale: str = ""


class Poller(Protocol):
    """Notices the changes of one entity set."""

    name: str
    table: Table

    async def begin(self) -> str:
        """From now on. Returns why the table is stale already, or ""."""

    def restore(self, state: State) -> None:
        """Go on where `saved` was."""

    async def step(self) -> Step:
        """The next page of the poll under way, or the first of the next one."""

    def took(self, item: Item) -> None:
        """An item was handed on."""

    def turn(self) -> None:
        """All items of the last step were."""

    def saved(self, marks: int) -> State:
        """The resume state, with at most so many marks in it; JSON-able."""


def mark_of(row: object) -> bytes:
    """What tells a row's content (or a key) apart from every other."""
    return blake2b(repr(row).encode(errors="surrogatepass"), digest_size=DIGEST).digest()


class Told:
    """What was told last of each key, so that it isn't told again: another content is, also one
    that was told before the last one. Oldest first, each with the moment that it carries.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[bytes, datetime | None]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def has(self, item: Item) -> bool:
        """Whether it is what was told last of its key."""
        found = self._last.get(mark_of(item.key)[:PART])
        return found is not None and found[0] == item.mark[:PART]

    def of(self, key: Row) -> tuple[bool, datetime | None]:
        """Whether anything is remembered of a key, and the moment that it carries."""
        found = self._last.get(mark_of(key)[:PART])
        return found is not None, found[1] if found else None

    def add(self, item: Item, at: datetime | None = None) -> None:
        """It was told."""
        key = mark_of(item.key)[:PART]
        self._last.pop(key, None)
        self._last[key] = item.mark[:PART], at

    def drop(self, count: int) -> list[datetime | None]:
        """Forget the oldest; returns their moments."""
        oldest = list(self._last)[:count]
        return [self._last.pop(key)[1] for key in oldest]

    def before(self, start: datetime) -> None:
        """Forget what carries an earlier moment."""
        self._last = {
            key: told for key, told in self._last.items() if told[1] is None or told[1] >= start
        }

    def at_least(self, moment: datetime) -> int:
        """How many carry that moment or a later one."""
        return sum(at is not None and at >= moment for _, at in self._last.values())

    def saved(self, marks: int) -> str:
        """The newest ones, as text; without their moments."""
        newest = list(self._last.items())[-marks:] if marks else []
        return packed(key + content for key, (content, _) in newest)

    def restore(self, text: str, at: datetime | None = None) -> None:
        """What `saved` was, all with one moment."""
        self._last = {mark[:PART]: (mark[PART:], at) for mark in unpacked(text, MARK)}


def packed(marks: Iterable[bytes]) -> str:
    """Marks as text."""
    return base64.b64encode(b"".join(marks)).decode()


def unpacked(text: str, size: int) -> list[bytes]:
    """What `packed` was given; all of one size."""
    whole = base64.b64decode(text)
    return [whole[at : at + size] for at in range(0, len(whole), size)]
