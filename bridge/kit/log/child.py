"""A process of its own that uses the log, so that it can be killed or frozen.

Told what to do by one JSON argument; says what it did in JSON lines; where it asks to go on
(`say(..., wait=True)`) it waits for a line of input, so that the suite knows where it stands.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from bridge.kit.log.under_test import make
from bridge.log.partition_owner import own_partitions
from bridge.log.port import Entry, Log, Record, TopicPartition
from bridge.model.errors import Fenced


def say(**what: Any) -> None:
    """One line to the suite."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def go_on() -> None:
    """Wait for a line from the suite; the event loop and its heartbeats run meanwhile."""
    if not await asyncio.to_thread(sys.stdin.readline):
        raise SystemExit


async def append(log: Log, told: Mapping[str, Any]) -> None:
    """Batches of `batch` numbered records to one partition, until killed."""
    number = 0
    say(ready=True)
    while True:
        await log.append(told["topic"], numbered(number, told["batch"]))
        say(done=number)
        number += 1


async def transact(log: Log, told: Mapping[str, Any]) -> None:
    """Numbered transactions over several topics, an offset and a checkpoint, until killed."""
    producer = await log.producer(told["producer"])
    number = told["start"]
    say(ready=True)
    while True:
        async with producer.transaction() as transaction:
            for topic in told["topics"]:
                await transaction.append(topic, numbered(number, told["batch"], told["partitions"]))
            await transaction.append(told["positions"], [Entry(b"source", b"%d" % number)])
            transaction.commit_offsets(
                told["group"], {TopicPartition(told["topics"][0], 0): number + 1}
            )
        say(done=number)
        number += 1


async def commit(log: Log, told: Mapping[str, Any]) -> None:
    """A plain member: reads, waits, then commits what it read."""
    member = await log.join(told["group"], [told["topic"]], session_timeout=told["session"])
    records: list[Record] = []
    while len(records) < told["count"]:
        records += await member.read(1000, 1.0)
    say(read=len(records))
    await go_on()
    place = TopicPartition(told["topic"], 0)
    try:
        await member.commit({place: records[-1].offset + 1})
        say(outcome="committed")
    except Fenced:
        say(outcome="fenced")
    await member.close()


async def own(log: Log, told: Mapping[str, Any]) -> None:
    """An owner of partitions: answers each record once; `stop_at` waits in that transaction."""
    count = 0
    async with own_partitions(
        log,
        told["bridge"],
        told["group"],
        [told["topic"]],
        session_timeout=told["session"],
    ) as owned:
        while True:
            records = await owned.read(told["limit"], 1.0)
            for place in {TopicPartition(r.topic, r.partition) for r in records}:
                mine = [r for r in records if (r.topic, r.partition) == place]
                try:
                    async with owned.transaction(place) as transaction:
                        await transaction.append(
                            told["answers"], [Entry(r.key, r.value) for r in mine]
                        )
                        transaction.commit_offsets(told["group"], {place: mine[-1].offset + 1})
                        if told["stop_at"] == count:
                            say(open=len(mine))
                            await go_on()
                        count += 1
                    say(done=len(mine))
                except Fenced:
                    count += 1
                    say(fenced=len(mine))


async def wait(log: Log, told: Mapping[str, Any]) -> None:
    """Waits for records that don't come and tells what that cost."""
    reader = await log.reader({TopicPartition(told["topic"], at): 0 for at in range(4)})
    await reader.read(10, 1.0)
    began, used = time.monotonic(), time.process_time()
    got = await reader.read(10, told["seconds"])
    say(
        records=len(got),
        seconds=time.monotonic() - began,
        cpu=time.process_time() - used,
    )
    await reader.close()


def numbered(number: int, count: int, partitions: int = 1) -> list[Entry]:
    """The records of batch `number`: `number/at`, spread over the partitions."""
    return [
        Entry(b"%d" % at, b"%d/%d" % (number, at), partition=at % partitions) for at in range(count)
    ]


async def main(told: Mapping[str, Any]) -> None:
    """Open the log and do what was told."""
    log = make(told["build"], told["url"], told["options"])
    await log.open()
    await {"append": append, "transact": transact, "commit": commit, "own": own, "wait": wait}[
        told["do"]
    ](log, told)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
