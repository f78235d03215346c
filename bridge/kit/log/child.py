"""A process of its own that uses the log, so that it can be killed or frozen.

Its one argument is JSON and says what to do; it prints what it did as JSON lines, and waits for a line
of input where the suite has to know how far it is (`go_on`).
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


def print_message(**what: Any) -> None:
    """One line to the suite."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def go_on() -> None:
    """Wait for a line from the suite; the event loop and its heartbeats run meanwhile."""
    if not await asyncio.to_thread(sys.stdin.readline):
        raise SystemExit


async def append(log: Log, arguments: Mapping[str, Any]) -> None:
    """Batches of `batch` numbered records to one partition, until killed."""
    number = 0
    print_message(ready=True)
    while True:
        await log.append(arguments["topic"], numbered(number, arguments["batch"]))
        print_message(done=number)
        number += 1


async def transact(log: Log, arguments: Mapping[str, Any]) -> None:
    """Numbered transactions over several topics, an offset and a checkpoint, until killed."""
    producer = await log.producer(arguments["producer"])
    number = arguments["start"]
    print_message(ready=True)
    while True:
        async with producer.transaction() as transaction:
            for topic in arguments["topics"]:
                await transaction.append(
                    topic, numbered(number, arguments["batch"], arguments["partitions"])
                )
            await transaction.append(arguments["positions"], [Entry(b"source", b"%d" % number)])
            transaction.commit_offsets(
                arguments["group"], {TopicPartition(arguments["topics"][0], 0): number + 1}
            )
        print_message(done=number)
        number += 1


async def commit(log: Log, arguments: Mapping[str, Any]) -> None:
    """A plain member: reads, waits, then commits what it read."""
    member = await log.join(
        arguments["group"], [arguments["topic"]], session_timeout=arguments["session"]
    )
    records: list[Record] = []
    while len(records) < arguments["count"]:
        records += await member.read(1000, 1.0)
    print_message(read=len(records))
    await go_on()
    partition = TopicPartition(arguments["topic"], 0)
    try:
        await member.commit({partition: records[-1].offset + 1})
        print_message(outcome="committed")
    except Fenced:
        print_message(outcome="fenced")
    await member.close()


async def own(log: Log, arguments: Mapping[str, Any]) -> None:
    """An owner of partitions: answers each record once; `stop_at` waits in that transaction."""
    count = 0
    async with own_partitions(
        log,
        arguments["bridge"],
        arguments["group"],
        [arguments["topic"]],
        session_timeout=arguments["session"],
    ) as owned:
        while True:
            records = await owned.read(arguments["limit"], 1.0)
            for partition in {TopicPartition(r.topic, r.partition) for r in records}:
                mine = [r for r in records if (r.topic, r.partition) == partition]
                try:
                    async with owned.transaction(partition) as transaction:
                        await transaction.append(
                            arguments["answers"], [Entry(r.key, r.value) for r in mine]
                        )
                        transaction.commit_offsets(
                            arguments["group"], {partition: mine[-1].offset + 1}
                        )
                        if arguments["stop_at"] == count:
                            print_message(open=len(mine))
                            await go_on()
                        count += 1
                    print_message(done=len(mine))
                except Fenced:
                    count += 1
                    print_message(fenced=len(mine))


async def wait(log: Log, arguments: Mapping[str, Any]) -> None:
    """Waits for records that don't come and prints what that cost."""
    reader = await log.reader({TopicPartition(arguments["topic"], at): 0 for at in range(4)})
    await reader.read(10, 1.0)
    began, used = time.monotonic(), time.process_time()
    records = await reader.read(10, arguments["seconds"])
    print_message(
        records=len(records),
        seconds=time.monotonic() - began,
        cpu=time.process_time() - used,
    )
    await reader.close()


def numbered(number: int, count: int, partitions: int = 1) -> list[Entry]:
    """The records of batch `number`: `number/at`, spread over the partitions."""
    return [
        Entry(b"%d" % at, b"%d/%d" % (number, at), partition=at % partitions) for at in range(count)
    ]


async def main(arguments: Mapping[str, Any]) -> None:
    """Open the log and do what the argument says."""
    log = make(arguments["build"], arguments["url"], arguments["options"])
    await log.open()
    await {"append": append, "transact": transact, "commit": commit, "own": own, "wait": wait}[
        arguments["do"]
    ](log, arguments)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
