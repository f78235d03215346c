"""Records that a listing can't read: left out, and said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.log.port import Record


class SkippedRecords:
    """How many records a listing left out, and the first of them."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""
        self._topic = ""

    def note(self, record: Record, reason: str) -> None:
        """One more; tombstones hold nothing to be read."""
        if record.value is None:
            return
        self._count += 1
        if self._count == 1:
            why = f" ({reason})" if reason else ""
            self._first = f"{record.topic}-{record.partition} offset {record.offset}{why}"
            self._topic = record.topic

    def tell(self) -> None:
        """On stderr, where there were any."""
        if self._count:
            what = "record" if self._count == 1 else "records"
            click.echo(
                f"{self._count} {what} could not be read and left out, the first at {self._first}: "
                f"`bridgectl tail {self._topic} --no-follow --raw` shows what stands there",
                err=True,
            )
