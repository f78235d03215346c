"""A client reads as if the owner's Reader were its own; each is protected from the other."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bridge.connector import Ask, Reader, Rows, Shape
from bridge.connector.ask import ReaderFeatures
from bridge.gateway import Gateway
from bridge.gateway.limiter import Limiter
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.limits.running_query import RunningQuery
from bridge.gateway.remote import client_connection, messages
from bridge.gateway.remote.address import GatewayAddress
from bridge.gateway.remote.frames import HEADER, VERSION, FrameType, encode_frame
from bridge.gateway.remote.messages import (
    Registration,
    SentAsk,
    encode_ask,
    encode_registration,
    encode_shape,
)
from bridge.gateway.remote.remote_reader import OwnerUnavailable
from bridge.gateway.remote.server_connection import ServerLimits
from bridge.model.errors import (
    ConfigurationError,
    DeadlineExceeded,
    Rejected,
    RetryLater,
    SystemBusy,
)
from bridge.model.specs import SystemLimits
from tests.gateway.memory_reader import PaddedTable, shape_of
from tests.gateway.remote.owners import CUSTOMERS, ShapedReader, by_ids, customers, owner_of
from tests.waiting import until


async def test_rows_are_those_of_the_owners_reader() -> None:
    reader = customers(max_keys=77, features=ReaderFeatures(order=True))
    async with owner_of(reader) as (_, client):
        remote: Reader = client()
        welcome = await remote.open()  # type: ignore[attr-defined]
        assert (welcome.instance, welcome.generation) == ("owner-1", 7)
        # Every client keeps deadlines by itself.
        assert (remote.max_keys, remote.features) == (77, ReaderFeatures(order=True, deadline=True))
        direct = await reader.fetch(by_ids("3", "1", "99"))
        answer = await remote.fetch(by_ids("3", "1", "99"))
        assert answer.rows == direct.rows == [("1", "customer 1"), ("3", "customer 3")]
        assert answer.shape.columns == direct.shape.columns
        assert answer.visibility is None


async def test_a_batch_is_one_question() -> None:
    reader = customers()
    async with owner_of(reader) as (_, client):
        remote = client()
        await remote.open()
        gateway = Gateway(
            "erp",
            remote,
            {"customer": PaddedTable("customer", "CUSTOMER", ["ID", "NAME"], ["id"], padded=["x"])},
            SystemLimits(),
        )
        rows = await asyncio.gather(*(gateway.get("customer", str(key)) for key in range(1, 9)))
        assert [row["name"] for row in rows if row] == [f"customer {key}" for key in range(1, 9)]
        assert len(reader.queries) == 1
        await gateway.close()


async def test_a_shape_is_sent_once_and_stays_the_same_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []

    def encode_and_count(number: int, shape: Shape) -> bytes:
        sent.append(number)
        return encode_shape(number, shape)

    monkeypatch.setattr(messages, "encode_shape", encode_and_count)
    async with owner_of(customers()) as (_, client):
        remote = client()
        answers = [await remote.fetch(by_ids("1")) for _ in range(3)]
        assert len({id(answer.shape) for answer in answers}) == 1
        assert sent == [0]


async def test_another_shape_is_another_object() -> None:
    reader = customers()
    async with owner_of(reader) as (_, client):
        remote = client()
        before = (await remote.fetch(by_ids("1"))).shape
        reader.tables = {"CUSTOMER": [{**row, "CITY": "Ulm"} for row in CUSTOMERS]}
        after = (await remote.fetch(by_ids("1"))).shape
        assert after is not before
        assert [column.name for column in after.columns] == ["ID", "NAME", "CITY"]


@pytest.mark.parametrize(
    ("part_rows", "part_bytes"), [(1, 1 << 20), (3, 1 << 20), (2000, 200), (2000, 1 << 20)]
)
async def test_a_large_answer_comes_in_parts(part_rows: int, part_bytes: int) -> None:
    limits = ServerLimits(part_rows=part_rows, part_bytes=part_bytes)
    async with owner_of(customers(), limits=limits) as (_, client):
        remote = client()
        answers = await asyncio.gather(*(remote.fetch(Ask("CUSTOMER")) for _ in range(5)))
        whole = [tuple(row.values()) for row in CUSTOMERS]
        assert [answer.rows for answer in answers] == [whole] * 5


async def test_a_row_that_no_frame_holds_is_refused_by_itself() -> None:
    async with owner_of(customers(), limits=ServerLimits(part_bytes=30)) as (_, client):
        with pytest.raises(Rejected, match="more than one frame"):
            await client().fetch(by_ids("1"))
        assert (await client().fetch(by_ids("none"))).rows == []


async def test_errors_come_with_their_types() -> None:
    reader = customers(poison=frozenset({"bad"}))
    async with owner_of(reader) as (_, client):
        remote = client()
        with pytest.raises(Rejected, match="can't be asked for") as raised:
            await remote.fetch(by_ids("1", "bad"))
        assert raised.value.code == "bad_key"
        reader.away = True
        with pytest.raises(RetryLater, match="the system is away"):
            await remote.fetch(by_ids("1"))
        reader.away = False
        assert (await remote.fetch(by_ids("1"))).rows


async def test_only_declared_tables_are_read() -> None:
    reader = customers()
    async with owner_of(reader) as (_, client):
        with pytest.raises(Rejected, match="no table 'SALARIES'"):
            await client().fetch(Ask("SALARIES"))
        assert reader.queries == []


async def test_a_read_that_nobody_waits_for_is_cancelled_at_the_owner() -> None:
    reader = customers(gate=asyncio.Event())
    async with owner_of(reader) as (server, client):
        remote = client()
        waiting = asyncio.create_task(remote.fetch(by_ids("1")))
        await until(lambda: reader.at_once == 1)
        waiting.cancel()
        await until(lambda: reader.at_once == 0 and server.requests == 0)
        reader.gate.set()  # type: ignore[union-attr]
        assert (await remote.fetch(by_ids("2"))).rows == [("2", "customer 2")]


async def test_the_reads_of_a_client_that_is_gone_are_cancelled() -> None:
    reader = customers(gate=asyncio.Event())
    async with owner_of(reader) as (server, client):
        remote = client()
        waiting = asyncio.create_task(remote.fetch(by_ids("1")))
        await until(lambda: reader.at_once == 1)
        await remote.close()
        with pytest.raises(RetryLater, match="gateway of system 'erp'"):
            await waiting
        await until(lambda: reader.at_once == 0 and not server.clients)


async def test_the_owner_keeps_the_deadline() -> None:
    reader = customers(gate=asyncio.Event())
    async with owner_of(reader) as (server, client):
        await client().open()
        sent = SentAsk(WorkClass.AGENTS, by_ids("1", deadline=monotonic() + 0.05))
        with pytest.raises(DeadlineExceeded, match="deadline"):
            await server.served.read(sent)
        assert reader.at_once == 0


async def test_the_deadline_holds_for_the_wait_at_the_owner_too() -> None:
    reader = customers(gate=asyncio.Event())
    limits = SystemLimits(connections=1)
    async with owner_of(reader, system_limits=limits) as (server, _):
        held = asyncio.create_task(server.served.read(SentAsk(WorkClass.AGENTS, by_ids("1"))))
        await until(lambda: reader.at_once == 1)
        late = SentAsk(WorkClass.AGENTS, by_ids("2", deadline=monotonic() + 0.05))
        with pytest.raises(RetryLater):
            await server.served.read(late)
        reader.gate.set()  # type: ignore[union-attr]
        assert (await held).rows
        assert len(reader.queries) == 1


async def test_a_client_keeps_the_deadline_though_the_owner_is_frozen() -> None:
    async with owner_of(customers()) as (server, client):
        remote = client()
        await remote.open()
        for connection in server._connections:
            connection._transport.pause_reading()  # type: ignore[union-attr]
        with pytest.raises(DeadlineExceeded, match="gateway of system 'erp'"):
            await remote.fetch(by_ids("1", deadline=monotonic() + 0.05))


async def test_the_owners_limits_hold_over_all_clients_and_the_urgent_come_first() -> None:
    gate = asyncio.Event()
    reader = customers(gate=gate)
    limits = SystemLimits(connections=1)
    async with owner_of(reader, system_limits=limits) as (server, client):
        surface, commands = client(work=WorkClass.SURFACES), client(work=WorkClass.COMMANDS)
        reads = [asyncio.create_task(surface.fetch(by_ids(str(key)))) for key in range(1, 4)]
        await until(lambda: server.requests == 3)
        reads.append(asyncio.create_task(commands.fetch(by_ids("9"))))
        await until(lambda: server.requests == 4)
        gate.set()
        await asyncio.gather(*reads)
        assert reader.most_at_once == 1
        assert [keys[0][0] for _, _, keys in reader.queries][:2] == ["1", "9"]


async def test_a_client_has_a_bounded_number_of_questions_open() -> None:
    reader = customers(gate=asyncio.Event())
    async with owner_of(reader, limits=ServerLimits(requests_per_connection=2)) as (_, client):
        remote, other = client(), client()
        reads = [asyncio.create_task(remote.fetch(by_ids("1"))) for _ in range(3)]
        done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        [refused] = done
        assert "2 questions of this process open" in str(refused.exception())
        theirs = asyncio.create_task(other.fetch(by_ids("1")))
        reader.gate.set()  # type: ignore[union-attr]
        answers = await asyncio.gather(*reads, theirs, return_exceptions=True)
        assert sum(isinstance(answer, Rows) for answer in answers) == 3


async def test_all_clients_have_a_bounded_number_of_questions_open() -> None:
    reader = customers(gate=asyncio.Event())
    limits = ServerLimits(requests=2, requests_per_connection=2)
    async with owner_of(reader, limits=limits) as (server, client):
        reads = [asyncio.create_task(client().fetch(by_ids("1"))) for _ in range(2)]
        await until(lambda: server.requests == 2)
        with pytest.raises(RetryLater, match="has 2 questions open"):
            await client().fetch(by_ids("1"))
        reader.gate.set()  # type: ignore[union-attr]
        await asyncio.gather(*reads)


async def test_a_bounded_number_of_clients_is_served() -> None:
    async with owner_of(customers(), limits=ServerLimits(connections=1)) as (_, client):
        first = client()
        await first.open()
        with pytest.raises(OwnerUnavailable, match="has 1 clients"):
            await client().open()
        assert (await first.fetch(by_ids("1"))).rows


async def test_a_client_that_takes_no_answers_keeps_nobody_waiting() -> None:
    reader = customers()
    reader.tables = {"CUSTOMER": [{"ID": str(key), "NAME": "x" * 50_000} for key in range(200)]}
    limits = ServerLimits(part_rows=5, buffer_bytes=100_000, drain_s=0.5)
    system = SystemLimits(connections=1)
    async with owner_of(reader, limits=limits, system_limits=system) as (server, client):
        path = server._address.path
        slow = socket.socket(socket.AF_UNIX)
        slow.setblocking(False)
        slow.connect(path)
        registration = Registration("acme", "erp", "", "slow")
        slow.send(encode_frame(FrameType.HELLO, 0, encode_registration(registration)))
        ask = encode_ask(SentAsk(WorkClass.AGENTS, Ask("CUSTOMER")), 0.0)
        slow.send(encode_frame(FrameType.ASK, 1, ask))
        await until(lambda: any(not each._may_write.is_set() for each in server._connections))
        for request in range(2, 20):
            slow.send(encode_frame(FrameType.ASK, request, ask))
        answer = await client().fetch(by_ids("7"))
        assert len(answer.rows) == 1
        # It is given up, and what it asked for isn't held any longer.
        await until(lambda: "slow" not in server.clients)
        assert len(reader.queries) == 2
        slow.close()


async def test_an_orderly_end_answers_what_is_under_way_and_refuses_the_rest() -> None:
    gate = asyncio.Event()
    async with owner_of(customers(gate=gate)) as (server, client):
        remote = client()
        waiting = asyncio.create_task(remote.fetch(by_ids("1")))
        await until(lambda: server.requests == 1)
        closing = asyncio.create_task(server.close())
        await until(lambda: remote._connection is not None and remote._connection.is_leaving)
        with pytest.raises(OwnerUnavailable):
            await remote.fetch(by_ids("2"))
        gate.set()
        assert (await waiting).rows == [("1", "customer 1")]
        await closing


async def test_a_question_on_its_way_while_the_owner_ends_is_refused() -> None:
    async with owner_of(customers(gate=asyncio.Event())) as (server, client):
        remote = client()
        await remote.open()
        server.is_leaving = True
        with pytest.raises(RetryLater, match="shutting down"):
            await remote.fetch(by_ids("1"))


async def test_without_an_owner_a_read_fails_at_once_and_says_where() -> None:
    now = 0.0
    async with owner_of(customers()) as (server, client):
        remote = client(clock=lambda: now)
        path = server._address.path
        await server.close()
        for expected in ("No such file", "No such file"):
            with pytest.raises(OwnerUnavailable, match=expected) as raised:
                await remote.fetch(by_ids("1"))
            assert path in str(raised.value)
            assert "'erp'" in str(raised.value)


async def test_no_connection_is_tried_before_the_pause_is_over() -> None:
    now = 0.0
    async with owner_of(customers()) as (server, client):
        remote = client(clock=lambda: now)
        await server.close()
        with pytest.raises(OwnerUnavailable):
            await remote.open()
        await server.open()
        server.is_leaving = False
        with pytest.raises(OwnerUnavailable):
            await remote.open()
        now = 0.2
        assert (await remote.fetch(by_ids("1"))).rows


async def test_the_connection_is_made_again_and_shapes_stay_the_same_objects() -> None:
    async with owner_of(customers()) as (server, client):
        remote = client()
        before = (await remote.fetch(by_ids("1"))).shape
        for connection in list(server._connections):
            connection.close()
        await until(lambda: not server._connections)
        await until(lambda: remote._connection is None or not remote._connection.is_usable)
        assert (await remote.fetch(by_ids("1"))).shape is before


async def test_an_owner_that_is_silent_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "PING_S", 0.02)
    monkeypatch.setattr(client_connection, "LOST_S", 0.2)
    reader = customers(gate=asyncio.Event())
    async with owner_of(reader) as (server, client):
        waiting = asyncio.create_task(client().fetch(by_ids("1")))
        await until(lambda: reader.at_once == 1)
        for connection in server._connections:
            connection._transport.pause_reading()  # type: ignore[union-attr]
        with pytest.raises(RetryLater, match="has not answered"):
            await waiting


async def test_both_sides_show_that_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "PING_S", 0.01)
    async with owner_of(customers()) as (server, client):
        remote = client()
        await remote.open()
        [theirs], ours = list(server._connections), remote._connection
        assert ours is not None
        ping, pong = theirs._heard, ours._heard
        await until(lambda: theirs._heard > ping and ours._heard > pong)


async def test_a_client_that_is_silent_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "PING_S", 60)
    async with owner_of(customers(), limits=ServerLimits(silent_s=0.1)) as (server, client):
        await client().open()
        await until(lambda: not server.clients)


async def test_another_user_is_refused() -> None:
    async with owner_of(customers(), users=frozenset()) as (_, client):
        with pytest.raises(ConfigurationError, match=f"not {os.geteuid()}"):
            await client().open()


async def test_the_socket_is_for_its_owner_alone() -> None:
    async with owner_of(customers()) as (server, _):
        path = Path(server._address.path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["erp.sock"]


async def test_a_socket_that_was_left_behind_is_replaced_and_anothers_stays() -> None:
    async with owner_of(customers()) as (first, client):
        address = first._address
        async with owner_of(customers(), address=address) as (second, _):
            remote = client()
            await remote.fetch(by_ids("1"))
            assert (len(first.clients), len(second.clients)) == (0, 1)
            await first.close()
            assert Path(address.path).exists()
        assert not Path(address.path).exists()


@pytest.mark.parametrize(
    ("registration", "why"),
    [
        (Registration("acme", "crm", "", "x"), "gateway of system 'erp'"),
        (Registration("other", "erp", "", "x"), "of bridge 'acme'"),
        (Registration("acme", "erp", "guess", "x"), "doesn't know this token"),
    ],
)
async def test_a_wrong_registration_is_refused(registration: Registration, why: str) -> None:
    async with owner_of(customers()) as (_, client):
        with pytest.raises(ConfigurationError, match=why):
            await client(registration).open()


HELLO = encode_frame(
    FrameType.HELLO, 0, encode_registration(Registration("acme", "erp", "", "hostile"))
)
ASK = encode_frame(
    FrameType.ASK, 5, encode_ask(SentAsk(WorkClass.AGENTS, by_ids("1", deadline=1e6)), 0.0)
)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        os.urandom(200),
        ASK,
        encode_frame(FrameType.HELLO, 0, b"rubbish"),
        encode_frame(FrameType.HELLO, 0, bytes(20_000)),
        HELLO + encode_frame(FrameType.ASK, 1, b"rubbish"),
        HELLO + encode_frame(FrameType.WELCOME),
        HELLO + b"\xff" * 10,
        HELLO + ASK + ASK,
    ],
    ids=[
        "http",
        "random",
        "no hello",
        "bad hello",
        "large hello",
        "bad ask",
        "role",
        "size",
        "twice",
    ],
)
async def test_hostile_bytes_end_their_connection_alone(data: bytes) -> None:
    gate = asyncio.Event()
    async with owner_of(customers(gate=gate)) as (server, client):
        remote = client()
        waiting = asyncio.create_task(remote.fetch(by_ids("1")))
        await until(lambda: server.requests == 1)
        reader, writer = await asyncio.open_unix_connection(server._address.path)
        writer.write(data)
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        writer.close()
        assert server.dismissed == 1
        gate.set()
        assert (await waiting).rows == [("1", "customer 1")]


async def test_a_large_registration_is_refused_before_it_is_received() -> None:
    async with owner_of(customers()) as (server, _):
        reader, writer = await asyncio.open_unix_connection(server._address.path)
        writer.write(HEADER.pack(20_000, VERSION, FrameType.HELLO, 0))
        assert b"at most 10,000" in await reader.read(1000)
        writer.close()


async def test_who_doesnt_register_is_dismissed() -> None:
    async with owner_of(customers(), limits=ServerLimits(hello_s=0.05)) as (server, _):
        reader, writer = await asyncio.open_unix_connection(server._address.path)
        assert b"did not register" in await reader.read(1000)
        writer.close()


class _Visible:
    """A visibility with a text."""

    def __init__(self, upto: int) -> None:
        self.upto = upto

    def contains(self, transaction: int) -> bool:
        return transaction <= self.upto

    def unseen(self) -> list[int]:
        return []


class _SeeingReader:
    max_keys, features = 10, ReaderFeatures()

    async def fetch(self, ask: Ask) -> Rows:
        return Rows(shape_of(ask.table, ["ID"]), [("1",)], _Visible(41), "db/3")

    async def close(self) -> None:
        return None


async def test_visibility_and_server_come_across_in_the_connectors_own_text() -> None:
    def dump(visibility: Any) -> str:
        return str(visibility.upto)

    def load(text: str) -> _Visible:
        return _Visible(int(text))

    async with owner_of(_SeeingReader(), dump_visibility=dump) as (_, client):
        answer = await client(load_visibility=load).fetch(by_ids("1"))
        assert answer.visibility is not None
        assert (answer.visibility.contains(41), answer.visibility.contains(42)) == (True, False)
        assert answer.server == "db/3"
        assert (await client().fetch(by_ids("1"))).visibility is None


async def test_a_visibility_that_cant_be_read_ends_the_connection() -> None:
    async with owner_of(_SeeingReader(), dump_visibility=lambda _: "nonsense") as (_, client):
        with pytest.raises(RetryLater, match="can't read"):
            await client(load_visibility=lambda text: _Visible(int(text))).fetch(by_ids("1"))


async def test_a_process_that_lost_the_system_asks_nothing_more() -> None:
    owns = True
    gate = asyncio.Event()
    reader = customers(gate=gate)

    def check() -> None:
        if not owns:
            raise RetryLater("the lease is over")

    limits = SystemLimits(connections=1)
    async with owner_of(reader, system_limits=limits, check_owner=check) as (server, client):
        remote = client()
        first = asyncio.create_task(remote.fetch(by_ids("1")))
        await until(lambda: reader.at_once == 1)
        second = asyncio.create_task(remote.fetch(by_ids("2")))
        await until(lambda: server.requests == 2)
        owns = False
        # At once, though the only connection is in use.
        with pytest.raises(RetryLater, match="the lease is over"):
            await remote.fetch(by_ids("4"))
        gate.set()
        assert (await first).rows
        with pytest.raises(RetryLater, match="the lease is over"):
            await second
        with pytest.raises(RetryLater, match="the lease is over"):
            await remote.fetch(by_ids("3"))
        assert len(reader.queries) == 1


async def test_a_path_that_is_too_long_is_a_clear_error() -> None:
    address = GatewayAddress(path=f"/tmp/{'x' * 120}/erp.sock")  # noqa: S108 - never made
    with pytest.raises(ConfigurationError, match="at most 100"):
        async with owner_of(customers(), address=address):
            pass


class _CountingLimiter(Limiter):
    """Keeps what it is told of queries."""

    def __init__(self) -> None:
        super().__init__(SystemLimits(connections=3))
        self.rows = 0
        self.refusals = 0

    def used(self, *, rows: int = 0, requests: int = 0, query: RunningQuery | None = None) -> None:
        self.rows += rows
        super().used(rows=rows, requests=requests, query=query)

    def system_refused(self, query: RunningQuery | None = None) -> bool:
        self.refusals += 1
        return super().system_refused(query)


class _BusyReader(ShapedReader):
    """Raises the errors that it has, then answers."""

    def __init__(self) -> None:
        super().__init__({"CUSTOMER": CUSTOMERS})
        self.errors: list[RetryLater] = []

    async def fetch(self, ask: Ask) -> Rows:
        if self.errors:
            raise self.errors.pop()
        return await super().fetch(ask)


async def test_the_owners_limiter_hears_of_rows_refusals_and_pauses() -> None:
    reader = _BusyReader()
    async with owner_of(reader) as (server, client):
        limiter = _CountingLimiter()
        server.served = replace(server.served, limiter=limiter)
        remote = client()
        await remote.fetch(by_ids("1", "2"))
        assert (limiter.rows, limiter.refusals) == (2, 0)
        reader.errors = [SystemBusy("too many sessions")]
        with pytest.raises(SystemBusy):
            await remote.fetch(by_ids("1"))
        assert limiter.refusals == 1
        reader.errors = [RetryLater("a pause", after=1000.0)]
        with pytest.raises(RetryLater) as raised:
            await remote.fetch(by_ids("1"))
        assert raised.value.after == 1000.0
        with pytest.raises(RetryLater, match="a pause"):
            await remote.fetch(by_ids("1", deadline=monotonic() + 5))
