"""Which command ids have been answered, for which content and how: 16 bytes a command."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from sys import getsizeof

from bridge.model.receipt import Outcome

_BUCKET, _ID, _DIGEST, _ROW = 2, 9, 6, 16
_OUTCOMES = tuple(Outcome)
_UNKNOWN = _OUTCOMES.index(Outcome.UNKNOWN_OUTCOME)
_SUCCEEDED = _OUTCOMES.index(Outcome.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """The first receipt of a command id: for which content, and how it ended."""

    content: bytes
    outcome: Outcome

    def is_for(self, digest: str) -> bool:
        """Whether it answers a command with this digest."""
        return self.content == _content(digest)


def recorded_outcome(digest: str, outcome: Outcome) -> RecordedOutcome:
    """The answer that a receipt gives to a command of this digest."""
    return RecordedOutcome(_content(digest), outcome)


class OutcomeTable:
    """A set of answers, by command id; the first one of an id stays, unless it says
    `unknown_outcome`, which is no end: then it gives way to the next one of the same content.

    A row of 16 bytes is nine of the id's hash (two more choose its bucket), six of the digest, one
    for the outcome: a tenth of what a dict would take, since it is kept for every command ever.
    """

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}

    def add(self, command_id: str, given: RecordedOutcome) -> None:
        """Remember an answer, unless that id has one."""
        bucket, rest = _hashed(command_id)
        rows = self._buckets.setdefault(bucket, bytearray())
        told = given.content + bytes([_OUTCOMES.index(given.outcome)])
        at = _find(rows, rest)
        if at < 0:
            rows += rest + told
        elif rows[at + _ROW - 1] == _UNKNOWN and rows[at + _ID : at + _ROW - 1] == given.content:
            rows[at + _ID : at + _ROW] = told

    def dispute(self, command_id: str, digest: str) -> None:
        """That this content succeeded isn't borne out: its outcome is unknown from now on."""
        bucket, rest = _hashed(command_id)
        rows = self._buckets.setdefault(bucket, bytearray())
        at = _find(rows, rest)
        if at < 0:
            rows += rest + _content(digest) + bytes([_UNKNOWN])
        elif rows[at + _ID : at + _ROW] == _content(digest) + bytes([_SUCCEEDED]):
            rows[at + _ROW - 1] = _UNKNOWN

    def withdraw(self, command_id: str) -> None:
        """Forget that the outcome of that id is unknown; any other answer stays."""
        bucket, rest = _hashed(command_id)
        rows = self._buckets.get(bucket, bytearray())
        at = _find(rows, rest)
        if at >= 0 and rows[at + _ROW - 1] == _UNKNOWN:
            del rows[at : at + _ROW]

    def get(self, command_id: str) -> RecordedOutcome | None:
        """The answer to that id, if it has one."""
        bucket, rest = _hashed(command_id)
        rows = self._buckets.get(bucket, b"")
        at = _find(rows, rest)
        if at < 0:
            return None
        found = bytes(rows[at + _ID : at + _ROW])
        return RecordedOutcome(found[:_DIGEST], _OUTCOMES[found[_DIGEST]])

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return getsizeof(self._buckets) + sum(
            getsizeof(bucket) + getsizeof(rows) for bucket, rows in self._buckets.items()
        )


def _hashed(command_id: str) -> tuple[bytes, bytes]:
    hashed = blake2b(command_id.encode(), digest_size=_BUCKET + _ID).digest()
    return hashed[:_BUCKET], hashed[_BUCKET:]


def _content(digest: str) -> bytes:
    return blake2b(digest.encode(), digest_size=_DIGEST).digest()


def _find(rows: bytes | bytearray, rest: bytes) -> int:
    """Where the row that begins with `rest` stands, or -1."""
    at = rows.find(rest)
    while at > 0 and at % _ROW:
        at = rows.find(rest, at + 1)
    return at
