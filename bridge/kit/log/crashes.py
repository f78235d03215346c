"""`kill -9` and SIGSTOP of real processes, at any moment and at chosen ones."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from bridge.kit.log.harness import (
    LogHarness,
    from_beginning,
    read_all,
    read_count,
    read_until,
    topic,
)
from bridge.kit.log.process import ChildProcess, child_process
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, Record, TopicPartition

KILL_ROUNDS_S = 10.0
"""Seconds of a session that is not to end, however slow the machine; others' ends are noticed in
less.
"""


class CrashSuite(LogHarness):
    """What is left when a process ends or stops where it can't help it."""

    @pytest.mark.parametrize("after", [0.0, 0.05, 0.21])
    async def test_kill_9_in_mid_append_leaves_whole_batches_and_all_that_returned(
        self, log: Log, under_test: LogUnderTest, after: float
    ) -> None:
        name = await topic(log, under_test.name("killed"))
        with child_process(under_test, do="append", topic=name, batch=200) as process:
            process.wait_for("done")
            await asyncio.sleep(after)
            process.kill()
            returned = [0, *process.rest("done")]

        await log.append(name, [Entry(b"end", b"end")])
        records = [r.value for r in await read_until_value(log, name, b"end")]

        batches = returned[-1] + 1
        whole_batches = [b"%d/%d" % (number, at) for number in range(batches) for at in range(200)]
        one_more = [b"%d/%d" % (batches, at) for at in range(200)]
        assert records in ([*whole_batches, b"end"], [*whole_batches, *one_more, b"end"])

    @pytest.mark.parametrize("after", [0.0, 0.08, 0.33])
    async def test_kill_9_in_mid_commit_leaves_whole_transactions_and_all_that_returned(
        self, log: Log, under_test: LogUnderTest, after: float
    ) -> None:
        names = [await topic(log, under_test.name(f"killed{at}"), 2) for at in range(2)]
        positions = await topic(log, under_test.name("positions"))
        group, identity = under_test.name("group"), under_test.name("producer")
        everything = {
            **from_beginning(names[0], 2),
            **from_beginning(names[1], 2),
            **from_beginning(positions),
        }
        partition = TopicPartition(names[0], 0)
        done = 0
        for _ in range(2):
            with child_process(
                under_test,
                do="transact",
                topics=names,
                positions=positions,
                group=group,
                producer=identity,
                start=done,
                batch=50,
                partitions=2,
            ) as process:
                process.wait_for("done")
                await asyncio.sleep(after)
                process.kill()
                returned = [done, *process.rest("done")]

            settled = await log.producer(identity)
            records = await read_all(log, everything)
            committed = (await log.committed(group, [partition]))[partition]
            await settled.close()

            seen = transactions(records, names, positions, 50)
            assert seen == list(range(len(seen))), "no gap, none twice, in order"
            assert len(seen) in {returned[-1] + 1, returned[-1] + 2}, "what returned is there"
            assert committed == len(seen), "offsets belong to the same transactions"
            done = len(seen)

    async def test_a_killed_members_partitions_go_to_another_with_what_was_not_committed(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("dies"))
        group = under_test.name("group")
        await log.append(name, numbered(10))
        session = under_test.session_timeout
        with child_process(
            under_test, do="commit", topic=name, group=group, count=10, session=session
        ) as process:
            process.wait_for("read")
            survivor = await log.join(group, [name], session_timeout=KILL_ROUNDS_S)
            assert await survivor.read(10, 0.2) == []
            process.kill()

            records = await read_count(survivor, 10, patience=under_test.takeover_timeout_s)

        assert [record.value for record in records] == [b"%d" % at for at in range(10)]
        await survivor.close()

    async def test_a_member_frozen_past_its_session_can_not_commit_when_it_wakes(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("frozen"))
        group, partition = under_test.name("group"), TopicPartition(name, 0)
        await log.append(name, numbered(10))
        session = under_test.session_timeout
        with child_process(
            under_test, do="commit", topic=name, group=group, count=10, session=session
        ) as process:
            process.wait_for("read")
            process.freeze()
            survivor = await log.join(group, [name], session_timeout=KILL_ROUNDS_S)
            records = await read_count(survivor, 10, patience=under_test.takeover_timeout_s)
            await survivor.commit({partition: records[3].offset})

            process.wake()
            process.go_on()

            assert process.wait_for("outcome") == "fenced"
            assert await log.committed(group, [partition]) == {partition: records[3].offset}
            assert process.ends() == 0
        await survivor.close()

    async def test_an_owner_frozen_in_a_transaction_past_its_session_commits_nothing_twice(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("events"))
        answers = await topic(log, under_test.name("answers"))
        arguments = {
            "do": "own",
            "bridge": under_test.name("bridge"),
            "group": under_test.name("group"),
            "topic": name,
            "answers": answers,
            "limit": 10,
            "session": under_test.session_timeout,
        }
        await log.append(name, numbered(60))
        with child_process(under_test, **arguments, stop_at=2) as frozen:
            frozen.wait_for("open")
            frozen.freeze()
            with child_process(under_test, **arguments, stop_at=-1) as other:
                await until_answered(log, answers, 60, under_test.takeover_timeout_s)
                frozen.wake()
                frozen.go_on()
                assert frozen.wait_for("fenced") == 10
                await log.append(name, numbered(40, 60))
                await until_answered(log, answers, 100, under_test.takeover_timeout_s)
                other.kill()

        records = [
            int(record.value or b"") for record in await read_all(log, from_beginning(answers))
        ]
        assert records == list(range(100)), "each event is answered once, in order"

    async def test_owners_killed_again_and_again_answer_each_event_once_and_in_order(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"), 3)
        answers = await topic(log, under_test.name("answers"))
        arguments = {
            "do": "own",
            "bridge": under_test.name("bridge"),
            "group": under_test.name("group"),
            "topic": events,
            "answers": answers,
            "limit": 7,
            "session": under_test.session_timeout,
            "stop_at": -1,
        }
        written: list[bytes] = []
        with contextlib.ExitStack() as running:
            owners = [
                running.enter_context(child_process(under_test, **arguments)) for _ in range(2)
            ]
            for wave in range(4):
                more = [
                    Entry(b"k", b"%d/%d" % (at % 3, wave * 90 + at), partition=at % 3)
                    for at in range(90)
                ]
                await log.append(events, more)
                written += [entry.value or b"" for entry in more]
                busy = await first_done(owners, under_test.takeover_timeout_s)
                await asyncio.sleep(0.02 * wave)
                busy.kill()
                owners.remove(busy)
                owners.append(running.enter_context(child_process(under_test, **arguments)))
            await until_answered(log, answers, len(written), under_test.takeover_timeout_s)

        records = [record.value or b"" for record in await read_all(log, from_beginning(answers))]
        assert sorted(records) == sorted(written), "each event is answered once"
        for partition in (b"0/", b"1/", b"2/"):
            assert [value for value in records if value.startswith(partition)] == [
                value for value in written if value.startswith(partition)
            ]

    async def test_a_waiting_reader_does_not_spin(self, log: Log, under_test: LogUnderTest) -> None:
        name = await topic(log, under_test.name("idle"), 4)

        with child_process(under_test, do="wait", topic=name, seconds=3.0) as process:
            cpu = process.wait_for("cpu")

        assert cpu < 3.0 * under_test.idle_cpu


async def read_until_value(log: Log, name: str, value: bytes) -> list[Record]:
    """All records of the topic's only partition, up to one with that value."""
    reader = await log.reader(from_beginning(name))
    try:
        return await read_until(
            reader, lambda records: bool(records) and records[-1].value == value
        )
    finally:
        await reader.close()


async def first_done(children: list[ChildProcess], patience: float) -> ChildProcess:
    """The first that says that it has done something."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        for each in children:
            if each.has_said("done"):
                return each
        await asyncio.sleep(0.01)
    pytest.fail(f"no child process has done anything for {patience} s")


async def until_answered(log: Log, answers: str, count: int, patience: float) -> None:
    """Wait for that many answers."""
    reader = await log.reader(from_beginning(answers))
    try:
        await read_until(reader, lambda records: len(records) >= count, patience=patience)
    finally:
        await reader.close()


def transactions(records: list[Record], names: list[str], positions: str, batch: int) -> list[int]:
    """The numbers of the transactions seen; fails when one isn't whole in every topic."""
    seen = [int(record.value or b"") for record in records if record.topic == positions]
    for name in names:
        for partition in range(2):
            mine = [r.value for r in records if (r.topic, r.partition) == (name, partition)]
            assert mine == [
                b"%d/%d" % (number, at) for number in seen for at in range(partition, batch, 2)
            ]
    return seen
