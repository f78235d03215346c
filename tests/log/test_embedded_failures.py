"""What the disk and other processes can do to an embedded log."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.embedded.open_files import processes_on_removed_file
from bridge.log.port import Entry, Record, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, Fenced
from tests.waiting import WAIT_TIMEOUT_S, until

from .conftest import OpenEmbedded

FULL_DISK = """
import asyncio, pathlib, sys
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, TopicPartition, TopicSpec
from bridge.model.errors import RetryLater

async def main(folder):
    spare = pathlib.Path(folder, "spare")
    spare.write_bytes(b"x" * 1_000_000)
    log = EmbeddedLog(pathlib.Path(folder, "log.db"))
    await log.open()
    await log.create_topics([TopicSpec("t", partitions=2)])
    places = [TopicPartition("t", 0), TopicPartition("t", 1)]
    producer = await log.producer("id")
    async def write(number):
        async with producer.transaction() as transaction:
            for place in places:
                body = b"%d" % number + b"x" * 50_000
                await transaction.append("t", [Entry(b"k", body, partition=place.partition)])
            transaction.commit_offsets("g", {places[0]: number})
    number = 0
    try:
        while True:
            await write(number)
            number += 1
    except RetryLater as full:
        print(full)
    assert 1 < number < 60, number
    ends = await log.end_offsets(places)
    assert set(ends.values()) == {number}, (ends, number)
    assert await log.committed("g", places[:1]) == {places[0]: number - 1}
    spare.unlink()
    await write(number)
    reader = await log.reader(dict.fromkeys(places, 0))
    got: list[Record] = []
    while len(got) < 2 * (number + 1):
        got += await reader.read(10, 1.0)
    for place in places:
        mine = [r.value.rstrip(b"x") for r in got if r.partition == place.partition]
        assert mine == [b"%d" % at for at in range(number + 1)]
    await log.close()
    print("went on")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.usefixtures("processes")
def test_a_full_disk_is_named_writes_nothing_by_halves_and_is_survived(tmp_path: Path) -> None:
    """On a file system of 5 MB, in a mount namespace of its own that ends with the program."""
    private = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    mount = f'mount -t tmpfs -o size=5m tmpfs "{tmp_path}" && exec "$0" -c "$1" "{tmp_path}"'
    if shutil.which("unshare") is None:
        pytest.fail("install util-linux: `unshare` makes the small disk that this test fills")

    done = subprocess.run(
        [*private, "sh", "-c", mount, sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert done.returncode == 0, done.stderr
    report, went_on = done.stdout.splitlines()
    assert "is full: nothing was written; free some space" in report
    assert "log.db" in report
    assert went_on == "went on"


async def run_side_by_side(program: str, file: Path, names: Iterable[str]) -> None:
    """Run a program once for each name, at the same time: its arguments are the log's file and that."""
    path = os.pathsep.join(filter(None, sys.path))
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(file), name, env={**os.environ, "PYTHONPATH": path}
        )
        for name in names
    ]
    assert [await each.wait() for each in running] == [0] * len(running)


@pytest.mark.usefixtures("processes")
async def test_several_processes_append_at_once_and_lose_nothing(
    tmp_path: Path, open_embedded: OpenEmbedded
) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    program = (
        "import asyncio, sys\n"
        "from bridge.log.embedded import EmbeddedLog\n"
        "from bridge.log.port import Entry\n"
        "async def main(path, who):\n"
        "    log = EmbeddedLog(path); await log.open()\n"
        "    for at in range(40):\n"
        "        await log.append('t', [Entry(who, b'%d' % (at * 5 + n)) for n in range(5)])\n"
        "    await log.close()\n"
        "asyncio.run(main(sys.argv[1], sys.argv[2].encode()))\n"
    )
    await run_side_by_side(program, tmp_path / "log.db", ("a", "b", "c"))

    reader = await log.reader({TopicPartition("t", 0): 0})
    records: list[Record] = []
    while len(records) < 600:
        records += await reader.read(1000, 1.0)

    assert [record.offset for record in records] == [*range(600)]
    for who in (b"a", b"b", b"c"):
        assert [int(r.value or b"") for r in records if r.key == who] == [*range(200)]


async def test_processes_that_open_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    logs = [EmbeddedLog(tmp_path / "new.db") for _ in range(8)]

    await asyncio.gather(*(log.open() for log in logs))

    for log in logs:
        await log.create_topics([TopicSpec("t", partitions=3)])
        assert (await log.topics())["t"].partitions == 3
        await log.close()


@pytest.mark.usefixtures("processes")
async def test_programs_that_open_and_close_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    """The last one that closes it takes it for itself for a moment; topics come up meanwhile."""
    program = (
        "import asyncio, sys\n"
        "from bridge.log.embedded import EmbeddedLog\n"
        "from bridge.log.port import TopicSpec\n"
        "async def main(path):\n"
        "    for at in range(10):\n"
        "        log = EmbeddedLog(path); await log.open(); await log.topics()\n"
        "        await log.create_topics([TopicSpec(f'{sys.argv[2]}{at}{n}') for n in range(5)])\n"
        "        await log.topics(); await log.close()\n"
        "asyncio.run(main(sys.argv[1]))\n"
    )
    await run_side_by_side(program, tmp_path / "new.db", "abc")


async def test_a_write_that_fails_spares_those_that_share_its_flush(
    open_embedded: OpenEmbedded,
) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    old = await log.producer("id")
    await log.producer("id")

    async def zombie() -> None:
        async with old.transaction() as transaction:
            await transaction.append("t", [Entry(b"zombie", b"")])

    done = await asyncio.gather(
        *(log.append("t", [Entry(b"%d" % at, b"")]) for at in range(10)),
        zombie(),
        *(log.append("t", [Entry(b"%d" % at, b"")]) for at in range(10, 20)),
        return_exceptions=True,
    )

    assert [type(each) for each in done if each is not None] == [Fenced]
    reader = await log.reader({TopicPartition("t", 0): 0})
    assert sorted(int(r.key or b"") for r in await reader.read(100, 1.0)) == [*range(20)]


async def test_an_append_that_was_cancelled_before_its_turn_never_happens(
    open_embedded: OpenEmbedded,
) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    writer = log._store.writer
    begun, go_on = threading.Event(), threading.Event()

    def long(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    first = asyncio.create_task(writer.run(long))
    await until(begun.is_set)
    second = asyncio.create_task(log.append("t", [Entry(b"second", b"")]))
    await until(lambda: not writer._jobs.empty())

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    await log.append("t", [Entry(b"third", b"")])

    reader = await log.reader({TopicPartition("t", 0): 0})
    assert [record.key for record in await reader.read(10, WAIT_TIMEOUT_S)] == [b"third"]


async def test_closing_the_log_ends_those_who_wait_and_leaves_their_groups(
    open_embedded: OpenEmbedded,
) -> None:
    log, other = await open_embedded(), await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    member = await log.join("g", ["t"], session_timeout=2 * WAIT_TIMEOUT_S)
    reader = await log.reader({TopicPartition("t", 0): 0})
    await member.read(1, 0.0)
    waiting = asyncio.create_task(reader.read(1, WAIT_TIMEOUT_S))
    await asyncio.sleep(0.05)

    await log.close()

    with pytest.raises(RuntimeError, match="closed"):
        await asyncio.wait_for(waiting, WAIT_TIMEOUT_S / 2)
    assert (await other.groups())["g"].members == ()


async def test_a_reader_of_another_client_wakes_within_a_few_polls(
    open_embedded: OpenEmbedded,
) -> None:
    log, other = await open_embedded(), await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    reader = await other.reader({TopicPartition("t", 0): 0})
    took = []
    for _ in range(11):
        waiting = asyncio.create_task(reader.read(1, WAIT_TIMEOUT_S))
        await asyncio.sleep(0.03)
        began = time.monotonic()
        await log.append("t", [Entry(b"k", b"v")])
        assert len(await waiting) == 1
        took.append(time.monotonic() - began)

    assert sorted(took)[5] < 2  # it would wait thirty times as long for its own time-out


async def test_offsets_of_a_topic_that_another_process_made_can_be_committed(
    open_embedded: OpenEmbedded,
) -> None:
    log, other = await open_embedded(), await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    partition = TopicPartition("t", 0)

    producer = await other.producer("id")
    async with producer.transaction() as transaction:
        transaction.commit_offsets("g", {partition: 3})

    assert await log.committed("g", [partition]) == {partition: 3}


async def test_closing_lets_go_of_the_file_whatever_went_wrong_before(tmp_path: Path) -> None:
    """A damaged record ends compaction, and with it the first step of closing."""
    before = set(threading.enumerate())
    log = EmbeddedLog(tmp_path / "log.db", compact_every=0.01)
    await log.open()
    await log.create_topics([TopicSpec("t", "compact", 1)])
    member = await log.join("g", ["t"])
    assert await member.read(1, 0.0) == []
    await log.append("t", [Entry(b"k", b"v")] * 2000)
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
        other.execute("UPDATE batch SET data = x'00'")
    compacting = log._compacting
    assert compacting is not None
    await asyncio.wait([compacting], timeout=20)
    why = compacting.exception()
    assert why is not None
    with pytest.raises(type(why)):
        await log.close()
    left = set(threading.enumerate()) - before
    assert not {"Reader", "Writer"} & {thread.name for thread in left}
    again = EmbeddedLog(tmp_path / "log.db")
    await again.open()
    assert (await again.groups())["g"].members == ()
    await again.close()


GONE = {None: "was removed while it was open", "another log": "was replaced by another file"}


@pytest.mark.parametrize("replacement", [None, "another log"])
async def test_a_file_that_is_replaced_while_it_is_open_takes_no_more_records(
    open_embedded: OpenEmbedded, tmp_path: Path, replacement: str | None
) -> None:
    """They went into a file without a name, and were gone with the process."""
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    await log.append("t", [Entry(b"k", b"1")])
    member = await log.join("g", ["t"], session_timeout=1.0)
    assert await member.read(10, 10.0)
    for path in tmp_path.glob("log.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    if replacement is not None:
        await open_embedded()
    with pytest.raises(ConfigurationError, match=GONE[replacement]):
        await log.append("t", [Entry(b"k", b"2")])

    async def read_on() -> None:
        while True:
            await member.read(10, 1.0)

    with pytest.raises(ConfigurationError, match=GONE[replacement]):
        await read_on()


@pytest.mark.parametrize("part", ["-wal", "-shm"])
async def test_a_part_of_the_log_that_is_removed_while_it_is_open_is_noticed_at_once(
    open_embedded: OpenEmbedded, tmp_path: Path, part: str
) -> None:
    """What is committed stands in the -wal file first: it went with the process, silently."""
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    await log.append("t", [Entry(b"k", b"1")])
    (tmp_path / f"log.db{part}").unlink()
    with pytest.raises(ConfigurationError, match=f"log.db{part}, which is a part of it, was rem"):
        await log.append("t", [Entry(b"k", b"2")])


async def test_what_a_file_took_that_went_meanwhile_is_no_success(
    open_embedded: OpenEmbedded, tmp_path: Path
) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])

    def remove(_: sqlite3.Connection) -> None:
        (tmp_path / "log.db").unlink()

    with pytest.raises(ConfigurationError, match="was removed while it was open"):
        await log._store.writer.run(remove)


async def test_nothing_is_read_from_a_file_that_was_removed(
    open_embedded: OpenEmbedded, tmp_path: Path
) -> None:
    """`tail` would wait for ever for what another process writes into the new one."""
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    (tmp_path / "log.db").unlink()
    with pytest.raises(ConfigurationError, match="was removed while it was open"):
        await log.topics()
    assert processes_on_removed_file(tmp_path / "log.db") == [os.getpid()]
    assert processes_on_removed_file(tmp_path / "other.db") == []
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    assert processes_on_removed_file(link / "log.db") == [os.getpid()]


async def test_no_new_log_is_made_where_parts_of_a_removed_one_are_left(
    open_embedded: OpenEmbedded, tmp_path: Path
) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", partitions=1)])
    (tmp_path / "log.db").unlink()
    with pytest.raises(ConfigurationError, match=r"log\.db-wal .*still there"):
        await open_embedded()
    assert not (tmp_path / "log.db").exists()
