"""Reading to the end where no record is left to be read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.capture.checkpoint.store import read_range
from bridge.log import read_to_end as module
from bridge.log.port import GroupInfo, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.errors import RetryLater
from bridge.replay.rewind import _batches
from bridge.wiring.skip_records import next_records

_READ_TO_AN_END = re.compile(r"reader\.position\((?s:.)*reader\.read\(")
PARTITION = TopicPartition("t", 0)
END = 10


class MarkedLog:
    """A Kafka log whose last offset is the mark of a transaction: no read returns for it, and the
    position moves past it while one waits. `waited` is how long reads would have waited.
    """

    name = "kafka://marked"

    def __init__(self, *, moves: bool = True) -> None:
        self.waited = 0.0
        self._at = END - 1
        self._moves = moves

    async def groups(self) -> Mapping[str, GroupInfo]:
        return {"group": GroupInfo("group", (), {PARTITION: END - 1})}

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, END)

    async def reader(self, offsets: Mapping[TopicPartition, int]) -> MarkedLog:
        assert offsets == {PARTITION: self._at}
        return self

    async def read(self, limit: int, timeout: float) -> list[Record]:
        del limit
        self.waited += timeout
        if self._moves:
            self._at = END
        return []

    def position(self, partition: TopicPartition) -> int:
        assert partition == PARTITION
        return self._at

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Nothing comes anyway."""

    async def close(self) -> None:
        """Nothing is open."""


async def read_all(log: Any) -> None:
    assert [batch async for batch in read_to_end(log, {PARTITION: END - 1})] == []


async def replay_on(log: Any) -> None:
    batches = _batches(log, {PARTITION: END - 1}, {PARTITION: END})
    assert [batch async for batch in batches] == []


async def skip_records(log: Any) -> None:
    [group] = (await log.groups()).values()
    assert await next_records(log, group, PARTITION, 1) == []


async def read_between(log: Any) -> None:
    assert await read_range(log, PARTITION, END - 1) == []


@pytest.mark.parametrize("read_to_the_end", [read_all, replay_on, skip_records, read_between])
async def test_a_mark_of_a_transaction_is_read_past_without_waiting_for_a_record(
    read_to_the_end: Any,
) -> None:
    """Whoever has read everything stands at one on Kafka: `status` took half a minute of it."""
    log = MarkedLog()
    await read_to_the_end(log)
    assert 0 < log.waited < 1


def test_one_function_reads_up_to_an_end() -> None:
    """A loop of its own would wait for a record that never comes, or never end."""
    root = Path(__file__).parents[2]
    files = [file for folder in ("bridge", "connectors") for file in (root / folder).rglob("*.py")]
    texts = {file: file.read_text() for file in files}
    reading = {
        file.name
        for file, text in texts.items()
        if "kit" not in file.parts and _READ_TO_AN_END.search(text)
    }
    assert len(texts) > 200
    assert reading == {"read_to_end.py"}


def test_whoever_reads_to_an_end_closes_the_reader_also_where_a_record_ends_it() -> None:
    """Else the reader is open until the collector finds it, or its loop has ended."""
    root = Path(__file__).parents[2]
    files = [file for folder in ("bridge", "connectors") for file in (root / folder).rglob("*.py")]
    loops = [
        f"{file.relative_to(root)}:{node.lineno}"
        for file in files
        if "read_to_end" in (text := file.read_text()) or "read_by_time" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AsyncFor)
        and isinstance(node.iter, ast.Call)
        and ast.unparse(node.iter.func) in {"read_to_end", "read_by_time"}
    ]
    assert loops == []


async def test_a_log_that_answers_nothing_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.0)
    log: Any = MarkedLog(moves=False)
    with pytest.raises(RetryLater, match="could not be read to its end"):
        await read_all(log)
