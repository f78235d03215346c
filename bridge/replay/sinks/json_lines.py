"""A file of replayed events, one JSON object per line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from io import BufferedRandom
from pathlib import Path
from typing import Any

from bridge.log.port import TopicPartition
from bridge.model.canonical import canonical_json
from bridge.model.error_text import describe_error
from bridge.model.errors import Rejected
from bridge.model.event import Event
from bridge.private_files import make_private_file
from bridge.replay.contract import ResumePoint, SelectedRecord
from bridge.replay.event_json import event_json
from bridge.replay.select import Selection


class JsonLinesSink:
    """A file with one JSON object per line. An existing one is continued: its lines say how
    far it is and of which selection, and half a line at its end is cut off.
    """

    tombstones = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedRandom | None = None
        self._fingerprint: Mapping[str, Any] = {}

    async def open(self, selection: Selection) -> ResumePoint:
        """Where the lines that are there end. Raises Rejected for a file of something else, or of
        another selection.
        """
        return await asyncio.to_thread(self._open, selection)

    def _open(self, selection: Selection) -> ResumePoint:
        make_private_file(self._path)
        self._file = self._path.open("r+b")
        offsets: dict[TopicPartition, int] = {}
        mark: Mapping[str, Any] | None = None
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                line_json = json.loads(line)
                partition = TopicPartition(line_json["topic"], line_json["partition"])
                offsets[partition] = line_json["offset"] + 1
                noted = dict(line_json["replay"])
            except (ValueError, KeyError, TypeError):
                partition, noted = TopicPartition("", 0), {}
            if partition.topic != selection.topic:
                raise Rejected(
                    "not_a_replay",
                    f"{self._path}, line {number} is not of a replay of {selection.topic} that "
                    "says what was selected; give another file",
                )
            if noted != mark:
                selection = selection.continuing(noted, f"{self._path}")
                mark = noted
            whole += len(line)
        self._file.truncate(whole)
        self._file.seek(whole)
        self._fingerprint = selection.fingerprint()
        return ResumePoint(offsets, selection)

    async def take(
        self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
    ) -> None:
        """Append a line for each; they are on the disk when it returns.

        Lines tell how far it is themselves, so a resumed run reads again what came after the last
        event that was picked.
        """
        del upto
        lines = "".join(
            _line(selected.event, self._fingerprint)
            for selected in picked
            if selected.event is not None
        )
        if lines:
            await asyncio.to_thread(self._append, lines.encode())

    def _append(self, lines: bytes) -> None:
        assert self._file is not None, "open comes first"  # noqa: S101
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    async def finish(self) -> None:
        """Nothing: the lines say how far it is."""

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _line(event: Event, fingerprint: Any) -> str:
    try:
        return canonical_json({**event_json(event), "replay": fingerprint}) + "\n"
    except Exception as error:  # noqa: BLE001 - one row that can't be read: said so in its line
        line = {
            "topic": event.topic,
            "partition": event.partition,
            "offset": event.offset,
            "id": event.id,
            "unreadable": describe_error(error),
            "replay": fingerprint,
        }
        return canonical_json(line) + "\n"
