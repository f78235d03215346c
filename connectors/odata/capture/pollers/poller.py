"""The port of the pollers: one Poller for each entity set.

Order of calls: `begin` or `restore`, then `next_page` repeatedly. A poll has further pages as long as
`next_page` returns `more`. `emitted` is called for every change that was emitted, in order, `end_page`
after the last one of a page. So `saved` resumes after any change: what was emitted of the current page is
recognised (`ReportedRows`), and not emitted again.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from connectors.odata.protocol.entity_table import EntitySetTable, Row

DIGEST_BYTES = 8
"""Bytes of a fingerprint: two of 2**64 contents share one."""
SHORT_DIGEST_BYTES = 6
FINGERPRINT_BYTES = 2 * SHORT_DIGEST_BYTES
"""Bytes that a row takes in the resume state: of its key, and of its content."""

PollerState = dict[str, Any]


class RowChange(NamedTuple):
    """A change. `row`: None for a delete. `at`: when it was made, if known."""

    op: int
    key: Row
    row: Row | None
    mark: bytes
    at: datetime | None = None


class PollPage(NamedTuple):
    """One page of a poll. `stale`: why the table has to be compared with the log."""

    items: list[RowChange]
    more: bool
    stale: str = ""


class Poller(Protocol):
    """Detects the changes of one entity set."""

    name: str
    table: EntitySetTable

    async def begin(self) -> str:
        """Begin now. Returns why the table is already stale, or ""."""

    def restore(self, state: PollerState) -> None:
        """Resume where `saved` was called."""

    async def next_page(self) -> PollPage:
        """The next page of the poll under way, or the first of the next one."""

    def emitted(self, item: RowChange) -> None:
        """A change was emitted."""

    def end_page(self) -> None:
        """All changes of the last page were emitted."""

    def saved(self, marks: int) -> PollerState:
        """The resume state with at most that many fingerprints, as JSON values."""


def digest_of(row: object) -> bytes:
    """A digest of a row's content, or of a key."""
    return blake2b(repr(row).encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


class ReportedRows:
    """The last emitted content of each key, so that it isn't emitted again. Different content is emitted,
    even if it was emitted at some time before. Oldest first, each with its timestamp.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[bytes, datetime | None]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def has(self, item: RowChange) -> bool:
        """Whether this content was the last emitted for its key."""
        entry = self._last.get(digest_of(item.key)[:SHORT_DIGEST_BYTES])
        return entry is not None and entry[0] == item.mark[:SHORT_DIGEST_BYTES]

    def of(self, key: Row) -> tuple[bool, datetime | None]:
        """Whether a key is remembered, and its timestamp."""
        entry = self._last.get(digest_of(key)[:SHORT_DIGEST_BYTES])
        return entry is not None, entry[1] if entry else None

    def add(self, item: RowChange, at: datetime | None = None) -> None:
        """It was emitted."""
        key = digest_of(item.key)[:SHORT_DIGEST_BYTES]
        self._last.pop(key, None)
        self._last[key] = item.mark[:SHORT_DIGEST_BYTES], at

    def drop(self, count: int) -> list[datetime | None]:
        """Forget the oldest; returns their timestamps."""
        oldest = list(self._last)[:count]
        return [self._last.pop(key)[1] for key in oldest]

    def before(self, start: datetime) -> None:
        """Forget everything with an earlier timestamp."""
        self._last = {
            key: entry for key, entry in self._last.items() if entry[1] is None or entry[1] >= start
        }

    def at_least(self, timestamp: datetime) -> int:
        """How many have that timestamp or a later one."""
        return sum(at is not None and at >= timestamp for _, at in self._last.values())

    def saved(self, marks: int) -> str:
        """The newest ones, as text; without their timestamps."""
        newest = list(self._last.items())[-marks:] if marks else []
        return pack_digests(key + content for key, (content, _) in newest)

    def restore(self, text: str, at: datetime | None = None) -> None:
        """Restore what `saved` returned, all with one timestamp."""
        self._last = {
            mark[:SHORT_DIGEST_BYTES]: (mark[SHORT_DIGEST_BYTES:], at)
            for mark in unpack_digests(text, FINGERPRINT_BYTES)
        }


def pack_digests(marks: Iterable[bytes]) -> str:
    """Fingerprints as text."""
    return base64.b64encode(b"".join(marks)).decode()


def unpack_digests(text: str, size: int) -> list[bytes]:
    """The fingerprints that `packed` got; all have one size."""
    whole = base64.b64decode(text)
    return [whole[at : at + size] for at in range(0, len(whole), size)]
