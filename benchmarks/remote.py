"""A read in another process: the gateway's own frames, and the same question and rows over aiohttp.

Both servers run in a process of their own over a Unix socket, answer from rows in memory, and send
each value so that it comes out with its type: frames by `bridge.gateway.remote`, aiohttp with JSON
whose decimals and times are marked. One question at a time gives the round trip, and what it costs
both processes of the processor, which a busy machine doesn't lengthen.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from benchmarks.results import Results
from bridge.connector import Ask, Column, ReaderFeatures, Rows, Shape
from bridge.gateway.limiter import Limiter
from bridge.gateway.remote.address import GatewayAddress
from bridge.gateway.remote.messages import Registration
from bridge.gateway.remote.remote_reader import RemoteReader
from bridge.gateway.remote.served_system import ServedSystem
from bridge.gateway.remote.server import ReadServer
from bridge.model.specs import SystemLimits
from bridge.model.types import FieldType
from bridge.plan.steps import Wire

PEER = "aiohttp"
KEYS, ROUNDS = 1_000, 5
SINGLE_S, BATCH_S = 3.0, 5.0
WARM_UP = 50
NAMES = ("id", "name", "city", "status", "total", "limit", "ordered_at", "lines", "note", "open")
TEXT = FieldType("string")
SHAPE = Shape("orders", tuple(Column(name, "text", TEXT, "text") for name in NAMES), Wire.PYTHON)


def row_of(number: int) -> tuple[Any, ...]:
    """A row of ten columns, as a driver returns it."""
    return (
        number,
        f"customer {number}",
        "Düsseldorf",
        "open",
        Decimal(number) / 100,
        Decimal("10000.00"),
        datetime(2026, 1, 31, 10, 15, number % 60, tzinfo=UTC),
        number % 7,
        None if number % 3 else "call first",
        number % 2 == 0,
    )


class RowsInMemory:
    """A Reader that costs next to nothing."""

    max_keys = 10_000
    features = ReaderFeatures()

    def __init__(self) -> None:
        self._rows = {number: row_of(number) for number in range(KEYS)}

    async def fetch(self, ask: Ask) -> Rows:
        """The rows with these keys."""
        return Rows(SHAPE, [self._rows[number] for (number,) in ask.keys])

    async def close(self) -> None:
        """Nothing is open."""


async def serve_frames(path: str) -> None:
    """Until the process is ended."""
    limiter = Limiter(SystemLimits(connections=100))
    served = ServedSystem(
        "bench", "erp", RowsInMemory(), limiter, frozenset({"orders"}), "owner", 1
    )
    await ReadServer(served, GatewayAddress(path=path)).open()
    await asyncio.Event().wait()


async def serve_aiohttp(path: str) -> None:
    """The same over HTTP."""
    from aiohttp import web

    reader = RowsInMemory()

    async def respond(request: Any) -> Any:
        keys = [(number,) for number in json.loads(await request.read())]
        answer = await reader.fetch(Ask("orders", ("id",), keys))
        return web.Response(body=json.dumps(answer.rows, default=marked).encode())

    application = web.Application()
    application.router.add_post("/read", respond)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    await asyncio.Event().wait()


def marked(value: Any) -> Any:
    """What JSON has no form for."""
    return {"d": str(value)} if isinstance(value, Decimal) else {"t": value.isoformat()}


def unmarked(value: dict[str, Any]) -> Any:
    """The value of `marked`."""
    return Decimal(value["d"]) if "d" in value else datetime.fromisoformat(value["t"])


Read = Callable[[list[int]], Awaitable[list[tuple[Any, ...]]]]


class ReadCost(NamedTuple):
    """Seconds of one read: until its answer is there, and of both processes' time on a processor."""

    wall_s: float
    cpu_s: float


async def measure_frames(path: str, server: psutil.Process) -> dict[int, ReadCost]:
    """Seconds for one key, and for a batch of keys."""
    reader = RemoteReader(Registration("bench", "erp", "", "bench"), GatewayAddress(path=path))

    async def read(numbers: list[int]) -> list[tuple[Any, ...]]:
        answer = await reader.fetch(Ask("orders", ("id",), [(number,) for number in numbers]))
        return answer.rows

    try:
        return await measure(read, server)
    finally:
        await reader.close()


async def measure_aiohttp(path: str, server: psutil.Process) -> dict[int, ReadCost]:
    """The same over HTTP, one connection kept."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:

        async def read(numbers: list[int]) -> list[tuple[Any, ...]]:
            async with session.post("http://gateway/read", data=json.dumps(numbers)) as answer:
                rows = json.loads(await answer.read(), object_hook=unmarked)
            return [tuple(row) for row in rows]

        return await measure(read, server)


async def measure(read: Read, server: psutil.Process) -> dict[int, ReadCost]:
    """Medians of several rounds; each answer is compared once."""
    results = {}
    for keys, seconds in ((1, SINGLE_S), (KEYS, BATCH_S)):
        numbers = list(range(keys))
        assert await read(numbers) == [row_of(number) for number in numbers]
        for _ in range(WARM_UP):
            await read(numbers[:1])
        costs = [await per_read(read, server, numbers, seconds / ROUNDS) for _ in range(ROUNDS)]
        results[keys] = ReadCost(
            median(cost.wall_s for cost in costs), sum(cost.cpu_s for cost in costs) / ROUNDS
        )
    return results


async def per_read(
    read: Read, server: psutil.Process, numbers: list[int], seconds: float
) -> ReadCost:
    count, begun, before = 0, time.perf_counter(), cpu_time(server)
    while (took := time.perf_counter() - begun) < seconds:
        await read(numbers)
        count += 1
    return ReadCost(took / count, (cpu_time(server) - before) / count)


def cpu_time(server: psutil.Process) -> float:
    """Of the server and of this process."""
    times = server.cpu_times()
    return float(times.user + times.system) + time.process_time()


@contextmanager
def serving(kind: str, path: Path) -> Iterator[psutil.Process]:
    """A server in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.remote", kind, str(path)])
    try:
        while not path.exists():
            time.sleep(0.02)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Both in turn, in one run."""
    results = Results("remote")
    with tempfile.TemporaryDirectory() as folder:
        frames, http = Path(folder) / "frames.sock", Path(folder) / "http.sock"
        with serving("frames", frames) as owner, serving("aiohttp", http) as web:
            floor = asyncio.run(measure_aiohttp(str(http), web))
            own = asyncio.run(measure_frames(str(frames), owner))
    for keys, name in ((1, "round trip, one key"), (KEYS, f"a batch of {KEYS:,} keys")):
        for what, peer_s, own_s in (
            (name, floor[keys].wall_s, own[keys].wall_s),
            (f"processor time of {name}", floor[keys].cpu_s, own[keys].cpu_s),
        ):
            results.add(f"{PEER}: {what}", peer_s * 1e6, "µs")
            results.add(what, own_s * 1e6, "µs", PEER, peer_s / own_s)


if __name__ == "__main__":
    asyncio.run({"frames": serve_frames, "aiohttp": serve_aiohttp}[sys.argv[1]](sys.argv[2]))
