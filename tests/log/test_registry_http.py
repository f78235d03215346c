"""The registry over HTTP where things go wrong, against a small real server."""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import fastavro
import pytest

from bridge.log.port import Record
from bridge.log.registry.http import HttpRegistry
from bridge.model import framing, headers
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.types import Entity, Field, FieldType
from bridge.plan.lazy_record import Decoder
from bridge.tls import TlsFiles
from bridge.wiring.registry_events import RegistryEventDecoder
from tests.log.certificates import Authority
from tests.services.ports import free_ports

ENTITY = Entity("erp", "o", ("no",), (Field("no", FieldType("string")),))
CHANGE_SCHEMA = schema_text(change_schema(ENTITY))

Answer = Callable[[str, str], tuple[int, object]]


class HttpRegistryServer:
    """Answers HTTP as told; remembers what was asked and with which login."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.logins: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        lower = {name.lower(): value for name, value in fields.items()}
        await reader.readexactly(int(lower.get("content-length", 0)))
        self.requests.append(f"{method} {path}")
        self.logins.add(lower.get("authorization", ""))
        status, body = self.answer(method, path)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status} x\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n".encode()
            + data
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


class Serving:
    """Starts servers that end with the test."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []

    async def __call__(
        self, answer: Answer, tls: ssl.SSLContext | None = None
    ) -> tuple[HttpRegistryServer, str]:
        server = HttpRegistryServer(answer)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
        self._servers.append(listening)
        port = listening.sockets[0].getsockname()[1]
        return server, f"{'https' if tls else 'http'}://127.0.0.1:{port}/apis/ccompat/v7"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    servers = Serving()
    yield servers
    await servers.close()


async def test_a_registry_that_is_down_is_asked_again_and_then_named() -> None:
    [port] = free_ports(1)
    registry = HttpRegistry(f"http://127.0.0.1:{port}", patience=0.3)
    with pytest.raises(RetryLater, match=f"registry http://127.0.0.1:{port} is away"):
        await registry.open()


async def test_a_busy_registry_is_asked_again_until_it_answers(serving: Serving) -> None:
    answers = iter([(503, "busy"), (429, "slow down"), (200, {"compatibility": "NONE"})])
    server, url = await serving(lambda *_: next(answers))
    registry = HttpRegistry(url)
    await registry.open()
    await registry.close()
    assert len(server.requests) == 3


async def test_a_wrong_password_is_a_configuration_error_without_the_password(
    serving: Serving,
) -> None:
    server, url = await serving(lambda *_: (401, {"message": "Unauthorized"}))
    registry = HttpRegistry(url, username="bridge", password="hidden-secret")
    with pytest.raises(ConfigurationError, match=r"check registry\.username") as refused:
        await registry.open()
    assert "hidden-secret" not in str(refused.value) + repr(registry) + repr(vars(registry))
    [login] = server.logins
    assert login.startswith("Basic ")


async def test_secrets_in_the_url_are_not_part_of_the_name() -> None:
    registry = HttpRegistry("http://bridge:hidden-secret@127.0.0.1:9/x")
    assert "hidden-secret" not in registry.name


async def test_a_reason_that_the_registry_gives_is_told(serving: Serving) -> None:
    def answer(method: str, _: str) -> tuple[int, object]:
        if method == "POST":
            return 409, {"error_code": 409, "message": "reader field 'x' does not have a default"}
        return (200, {})

    _, url = await serving(
        lambda m, p: (
            (404, {"error_code": 40401}) if p.endswith("/versions") and m == "GET" else answer(m, p)
        )
    )
    registry = HttpRegistry(url)
    await registry.open()
    with pytest.raises(Rejected, match="does not have a default") as refused:
        await registry.register("s-value", '"string"')
    assert refused.value.code == "incompatible_schema"
    await registry.close()


async def test_another_kind_of_server_is_a_configuration_error(serving: Serving) -> None:
    _, url = await serving(lambda *_: (200, "<html>hello</html>"))
    with pytest.raises(ConfigurationError, match="not JSON; check the url"):
        await HttpRegistry(url).open()
    _, url = await serving(lambda *_: (405, "no"))
    with pytest.raises(ConfigurationError, match="is this the address of a registry"):
        await HttpRegistry(url).open()


async def test_answers_are_kept_so_that_a_schema_is_asked_for_once(serving: Serving) -> None:
    def answer(method: str, path: str) -> tuple[int, object]:
        if method == "GET" and path.endswith("/versions"):
            return 404, {"error_code": 40401}
        return 200, {"id": 7, "schema": '"string"'}

    server, url = await serving(answer)
    registry = HttpRegistry(url)
    await registry.open()
    for _ in range(3):
        assert await registry.register("s-value", '"string"') == 7
        assert await registry.schema(7) == '"string"'
        assert await registry.schema(8) == '"string"'
    await registry.close()
    requests = [each for each in server.requests if "/config" not in each]
    assert [each.partition("/v7")[2] for each in requests] == [
        "/subjects/s-value/versions",
        "/subjects/s-value/versions",
        "/schemas/ids/8",
    ]


async def test_tls_needs_the_right_authority(serving: Serving, tmp_path: Path) -> None:
    authority = Authority()
    files = authority.issue("127.0.0.1").write(tmp_path, "server")
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*files)
    _, url = await serving(lambda *_: (200, {"compatibility": "NONE"}), tls)

    with pytest.raises(ConfigurationError, match=r"not trusted .*`ca` under `tls:`"):
        await HttpRegistry(url).open()
    trusting = HttpRegistry(url, tls=TlsFiles(ca=str(ca)))
    await trusting.open()
    await trusting.close()


async def test_an_authority_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError, match=r"under `tls:` can't be used \(.*ca\.pem\)"):
        await HttpRegistry("https://127.0.0.1:9", tls=TlsFiles(ca=str(missing))).open()


@pytest.mark.parametrize(
    "url", ["http://bob:hush@host:port/", "http://bob:hu/sh@host", "ftp://bob:hush@host", "hush"]
)
async def test_an_address_that_is_none_is_a_sentence_without_its_words(url: str) -> None:
    registry = HttpRegistry(url, patience=0.1)
    with pytest.raises(ConfigurationError, match=r"registry\.url is not the address") as wrong:
        await registry.open()
    assert "hush" not in str(wrong.value)
    assert wrong.value.__cause__ is None


async def test_500_concurrent_reads_of_an_id_are_one_request_and_one_decoder(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were 500 requests, which held the loop for seconds and took minutes with the retries."""
    server, url = await serving(lambda *_: (200, {"schema": CHANGE_SCHEMA}))
    registry = HttpRegistry(url)
    await registry.open()
    decoders = 0

    class Counting(Decoder):
        def __init__(self, text: str, entity: Entity) -> None:
            nonlocal decoders
            decoders += 1
            super().__init__(text, entity)

    monkeypatch.setattr("bridge.wiring.registry_events.Decoder", Counting)
    events = RegistryEventDecoder(registry, {})
    record = Record("t.erp.o", 0, 0, 0, b"", framing.header(7) + b"\xff", ())
    results = await asyncio.gather(
        *(events.decode(record) for _ in range(500)),
        *(registry.schema(7) for _ in range(500)),
        return_exceptions=True,
    )
    await registry.close()
    assert sum(isinstance(each, ValueError) for each in results) == 500
    assert results[500:] == [CHANGE_SCHEMA] * 500
    assert [each for each in server.requests if "/schemas/ids/" in each] == [
        "GET /apis/ccompat/v7/schemas/ids/7"
    ]
    assert decoders == 1


async def test_a_record_under_the_id_of_another_entitys_schema_is_no_event(
    serving: Serving,
) -> None:
    """After a registry gave ids again it would be read with the fields of the other entity."""
    _, url = await serving(lambda *_: (200, {"schema": CHANGE_SCHEMA}))
    registry = HttpRegistry(url)
    await registry.open()
    events = RegistryEventDecoder(registry, {})
    key, value = io.BytesIO(framing.header(6)), io.BytesIO(framing.header(7))
    for out in (key, value):
        out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(key, fastavro.parse_schema(key_schema(ENTITY)), {"no": "1"})
    change: dict[str, object] = {
        "op": "create",
        "before": None,
        "after": {"no": "1"},
        "unavailable": [],
    }
    about = {"position": "p", "transaction": None, "occurred_at": None, "captured_at": 0}
    parsed = fastavro.parse_schema(json.loads(CHANGE_SCHEMA))
    fastavro.schemaless_writer(value, parsed, {**change, **about})
    with pytest.raises(ValueError, match=r"schema id 7 is that of erp\.o, and t\.erp\.p holds"):
        await events.decode(Record("t.erp.p", 0, 0, 0, b"", value.getvalue(), ()))
    replayed = [(headers.REPLAY, b"erp:1")]
    targets: list[tuple[str, list[tuple[str, bytes]]]] = [
        ("t.erp.o", []),
        ("_t.replay.watch", []),
        ("any.other.topic", replayed),
    ]
    for topic, more in targets:
        event = await events.decode(Record(topic, 0, 0, 0, key.getvalue(), value.getvalue(), more))
        assert event is not None
        assert event.after["no"] == "1"
    await registry.close()


async def test_concurrent_registrations_of_one_schema_are_one_request(serving: Serving) -> None:
    server, url = await serving(
        lambda method, path: (
            (404, {"error_code": 40401})
            if method == "GET" and path.endswith("/versions")
            else (200, {"id": 7, "schema": '"string"'})
        )
    )
    registry = HttpRegistry(url)
    await registry.open()
    ids = await asyncio.gather(*(registry.register("s-value", '"string"') for _ in range(50)))
    await registry.close()
    assert set(ids) == {7}
    assert sum(each.startswith("POST") for each in server.requests) == 1


PROXY_404 = [(404, "<html>no such page</html>"), (404, {"message": "no route"}), (200, "<html>")]


async def schema_after(serving: Serving, answer: tuple[int, object]) -> str:
    """A schema of a registry that gives this answer three times before the right one."""
    first_answers = iter([answer] * 3)
    config: tuple[int, object] = (200, {"compatibility": "NONE"})
    _, url = await serving(
        lambda _, path: (
            config
            if path.endswith("/config")
            else next(first_answers, (200, {"schema": '"string"'}))
        )
    )
    registry = HttpRegistry(url, patience=60.0)
    await registry.open()
    schema = await registry.schema(7)
    await registry.close()
    return schema


@pytest.mark.parametrize("answer", PROXY_404)
async def test_a_404_that_is_not_the_registrys_own_is_waited_for(
    serving: Serving, answer: tuple[int, object]
) -> None:
    """Good events became dead letters while a proxy answered for some seconds."""
    assert await schema_after(serving, answer) == '"string"'


@pytest.mark.parametrize("answer", PROXY_404)
async def test_a_proxy_that_goes_on_answering_is_an_absence_and_no_missing_schema(
    serving: Serving, answer: tuple[int, object]
) -> None:
    config: tuple[int, object] = (200, {"compatibility": "NONE"})
    _, url = await serving(lambda _, path: config if path.endswith("/config") else answer)
    registry = HttpRegistry(url, patience=0.1)
    await registry.open()
    for call in (registry.schema(7), registry.latest("s-value"), registry.versions("s-value")):
        with pytest.raises(RetryLater, match="perhaps a proxy does now"):
            await call
    await registry.close()


async def test_a_schema_that_the_registry_has_not_got_yet_is_waited_for(serving: Serving) -> None:
    """Registries of several nodes follow each other: a new schema comes to some of them later."""
    missing = (404, {"error_code": 40403, "message": "Schema 7 not found"})
    assert await schema_after(serving, missing) == '"string"'


async def test_a_schema_that_is_nowhere_is_waited_for_once(serving: Serving) -> None:
    config: tuple[int, object] = (200, {"compatibility": "NONE"})
    server, url = await serving(
        lambda _, path: config if path.endswith("/config") else (404, {"error_code": 40403})
    )
    registry = HttpRegistry(url, patience=0.2)
    await registry.open()
    with pytest.raises(KeyError):
        await registry.schema(7)
    count = len(server.requests)
    assert count > 2
    with pytest.raises(KeyError):
        await registry.schema(7)
    assert len(server.requests) == count + 1
    await registry.close()


@pytest.mark.parametrize("status", [401, 403, 409, 422])
async def test_a_refusal_while_it_runs_says_nothing_about_the_schema(
    serving: Serving, status: int
) -> None:
    """A login that is over, or a proxy: the record that names the schema would be a dead letter."""
    config: tuple[int, object] = (200, {"compatibility": "NONE"})
    _, url = await serving(
        lambda _, path: config if path.endswith("/config") else (status, {"message": "no"})
    )
    registry = HttpRegistry(url, patience=0.1)
    await registry.open()
    with pytest.raises(RetryLater, match=str(status) if status < 409 else "no"):
        await registry.schema(7)
    await registry.close()
