"""Counts and reports records that a listing couldn't read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.log.port import Record


class SkippedRecords:
    """How many records a listing skipped, and the first of them."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""
        self._topic = ""

    def note(self, record: Record, reason: str) -> None:
        """Count one more record, unless it is a tombstone."""
        if record.value is None:
            return
        self._count += 1
        if self._count == 1:
            why = f" ({reason})" if reason else ""
            self._first = f"{record.topic}-{record.partition} offset {record.offset}{why}"
            self._topic = record.topic

    def tell(self) -> None:
        """Report them on stderr, if there were any."""
        if self._count:
            what = "record" if self._count == 1 else "records"
            click.echo(
                f"{self._count} {what} could not be read and were skipped, the first at "
                f"{self._first}: "
                f"`bridgectl tail {self._topic} --no-follow --raw` shows it",
                err=True,
            )
