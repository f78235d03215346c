"""The content and outcome of each command id that has a receipt, in 16 bytes per command."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from sys import getsizeof

from bridge.model.receipt import Outcome

_BUCKET_SIZE, _ID_SIZE, _DIGEST_SIZE, _ROW_SIZE = 2, 9, 6, 16
_OUTCOMES = tuple(Outcome)
_UNKNOWN = _OUTCOMES.index(Outcome.UNKNOWN_OUTCOME)
_SUCCEEDED = _OUTCOMES.index(Outcome.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """What a receipt says about a command id.

    content: a hash of the digest of the command that it answers.
    outcome: how that command ended.
    """

    content: bytes
    outcome: Outcome

    def is_for(self, digest: str) -> bool:
        """Whether it is for a command with this digest."""
        return self.content == _content(digest)


def recorded_outcome(digest: str, outcome: Outcome) -> RecordedOutcome:
    """The recorded outcome of a command with this digest."""
    return RecordedOutcome(_content(digest), outcome)


class OutcomeTable:
    """Outcomes by command id. The first one of an id stays, unless it is `unknown_outcome`, which
    is not
    final: then the next one of the same content replaces it.

    A row of 16 bytes has nine of the id's hash (two more choose its bucket), six of the digest and
    one for the outcome: a tenth of a dict's size, because rows are kept for every command ever.
    """

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}

    def add(self, command_id: str, recorded: RecordedOutcome) -> None:
        """Keep an outcome, unless that id has one."""
        bucket, row_id = _hashed(command_id)
        rows = self._buckets.setdefault(bucket, bytearray())
        content = recorded.content + bytes([_OUTCOMES.index(recorded.outcome)])
        at = _find(rows, row_id)
        if at < 0:
            rows += row_id + content
        elif (
            rows[at + _ROW_SIZE - 1] == _UNKNOWN
            and rows[at + _ID_SIZE : at + _ROW_SIZE - 1] == recorded.content
        ):
            rows[at + _ID_SIZE : at + _ROW_SIZE] = content

    def dispute(self, command_id: str, digest: str) -> None:
        """The ledger denies that this content succeeded: its outcome is unknown from now on."""
        bucket, row_id = _hashed(command_id)
        rows = self._buckets.setdefault(bucket, bytearray())
        at = _find(rows, row_id)
        if at < 0:
            rows += row_id + _content(digest) + bytes([_UNKNOWN])
        elif rows[at + _ID_SIZE : at + _ROW_SIZE] == _content(digest) + bytes([_SUCCEEDED]):
            rows[at + _ROW_SIZE - 1] = _UNKNOWN

    def withdraw(self, command_id: str) -> None:
        """Remove the outcome of that id if it is unknown; any other outcome stays."""
        bucket, row_id = _hashed(command_id)
        rows = self._buckets.get(bucket, bytearray())
        at = _find(rows, row_id)
        if at >= 0 and rows[at + _ROW_SIZE - 1] == _UNKNOWN:
            del rows[at : at + _ROW_SIZE]

    def get(self, command_id: str) -> RecordedOutcome | None:
        """The outcome of that id, if it has one."""
        bucket, row_id = _hashed(command_id)
        rows = self._buckets.get(bucket, b"")
        at = _find(rows, row_id)
        if at < 0:
            return None
        content = bytes(rows[at + _ID_SIZE : at + _ROW_SIZE])
        return RecordedOutcome(content[:_DIGEST_SIZE], _OUTCOMES[content[_DIGEST_SIZE]])

    @property
    def nbytes(self) -> int:
        """Its memory in bytes."""
        return getsizeof(self._buckets) + sum(
            getsizeof(bucket) + getsizeof(rows) for bucket, rows in self._buckets.items()
        )


def _hashed(command_id: str) -> tuple[bytes, bytes]:
    """The bucket of an id, and the bytes with which its row begins."""
    hashed = blake2b(command_id.encode(), digest_size=_BUCKET_SIZE + _ID_SIZE).digest()
    return hashed[:_BUCKET_SIZE], hashed[_BUCKET_SIZE:]


def _content(digest: str) -> bytes:
    return blake2b(digest.encode(), digest_size=_DIGEST_SIZE).digest()


def _find(rows: bytes | bytearray, row_id: bytes) -> int:
    """Where the row that begins with `row_id` is, or -1."""
    at = rows.find(row_id)
    while at > 0 and at % _ROW_SIZE:
        at = rows.find(row_id, at + 1)
    return at
