"""What the ways of noticing changes have in common: one Poller for each entity set.

Order of calls: `begin` or `restore`, then `step` again and again. A poll is as many steps as
`step` says that there are `more`; each brings one page. `took` is called for every item that was
handed on, in order, `turn` after the last one of a page. So `saved` resumes behind any item: what
was taken of the page under way is recognised by its `mark`, and not told again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from connectors.odata.answer import Answer, Page
from connectors.odata.table import Row, Table

MARK = 8
"""Bytes of a mark: two rows in 2**64 have the same."""

State = dict[str, Any]


class Asks(Protocol):
    """What a poller needs of the HTTP client."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Answer: ...

    async def page(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Page: ...


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
    tells_deletes: bool

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
    """What tells a row's content apart from every other."""
    return blake2b(repr(row).encode(errors="surrogatepass"), digest_size=MARK).digest()


def packed(marks: Iterable[bytes]) -> str:
    """Marks as text."""
    return base64.b64encode(b"".join(marks)).decode()


def unpacked(text: str) -> list[bytes]:
    """What `packed` was given."""
    whole = base64.b64decode(text)
    return [whole[at : at + MARK] for at in range(0, len(whole), MARK)]
