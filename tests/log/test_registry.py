"""What every registry promises: the embedded one on both logs, and Apicurio over HTTP."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.port import Entry, Log
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry_port import Registry
from bridge.model.errors import ConfigurationError, Rejected

if TYPE_CHECKING:
    from tests.services.kafka import Kafka
    from tests.services.registry import RegistryServer as Server

Make = Callable[[], Registry]


def schema(scale: int = 2, precision: int = 15, **more: object) -> str:
    fields: list[object] = [
        {
            "name": "total",
            "type": {
                "type": "bytes",
                "logicalType": "decimal",
                "precision": precision,
                "scale": scale,
            },
        },
        *({"name": name, "type": ["null", kind], "default": None} for name, kind in more.items()),
    ]
    return json.dumps({"type": "record", "name": "Row", "namespace": "erp.o", "fields": fields})


@pytest.fixture(params=["embedded", "kafka", pytest.param("http", marks=pytest.mark.registry)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes clients of one registry, each as another process would."""
    bridge = f"t{secrets.token_hex(4)}"
    logs: list[Log] = []
    if request.param == "http":
        server: Server = request.getfixturevalue("registry")
        yield lambda: HttpRegistry(server.url)
        return

    def new_log() -> Log:
        if request.param == "embedded":
            return EmbeddedLog(tmp_path / "log.db")
        broker: Kafka = request.getfixturevalue("kafka")
        return from_url(f"kafka://{broker.bootstrap}")

    for _ in range(2):
        log = new_log()
        await log.open()
        logs.append(log)
    waiting = list(logs)
    yield lambda: EmbeddedRegistry(waiting.pop(), bridge)
    for log in logs:
        await log.close()


@pytest.fixture
async def registries(make: Make) -> AsyncIterator[tuple[Registry, Registry]]:
    registry, other = make(), make()
    await registry.open()
    await other.open()
    yield registry, other
    await registry.close()
    await other.close()


@pytest.fixture
def subject() -> str:
    return f"acme{secrets.token_hex(4)}.erp.o-value"


Two = tuple[Registry, Registry]


async def test_a_schema_is_found_again_by_id_and_by_subject(registries: Two, subject: str) -> None:
    registry, other = registries
    text = schema()
    schema_id = await registry.register(subject, text)
    assert json.loads(await other.schema(schema_id)) == json.loads(text)
    latest = await other.latest(subject)
    assert latest is not None
    assert (latest.id, json.loads(latest.text)) == (schema_id, json.loads(text))


async def test_registering_again_gives_the_same_id(registries: Two, subject: str) -> None:
    registry, other = registries
    ids = {await each.register(subject, schema()) for each in (registry, other, registry)}
    assert len(ids) == 1


async def test_two_processes_that_register_at_once_get_one_id(
    registries: Two, subject: str
) -> None:
    registry, other = registries
    ids = await asyncio.gather(
        *(each.register(subject, schema()) for _ in range(5) for each in (registry, other))
    )
    assert len(set(ids)) == 1


async def test_the_same_schema_under_two_subjects_has_one_id(registries: Two, subject: str) -> None:
    """Commands and receipts of one target must have the same key bytes."""
    registry, other = registries
    assert await registry.register(f"{subject}.a", schema()) == await other.register(
        f"{subject}.b", schema()
    )


async def test_a_wider_schema_is_a_new_version(registries: Two, subject: str) -> None:
    registry, other = registries
    first = await registry.register(subject, schema())
    second = await other.register(subject, schema(precision=17, note="string"))
    assert first != second
    latest = await registry.latest(subject)
    assert latest is not None
    assert latest.id == second
    assert await registry.register(subject, schema()) == first


async def test_a_changed_scale_is_refused_although_registries_ignore_it(
    registries: Two, subject: str
) -> None:
    registry, other = registries
    await registry.register(subject, schema(scale=2))
    with pytest.raises(Rejected, match="had 2 decimal places and would have 3") as refused:
        await other.register(subject, schema(scale=3))
    assert refused.value.code == "incompatible_schema"
    latest = await registry.latest(subject)
    assert latest is not None
    assert json.loads(latest.text) == json.loads(schema(scale=2))


async def test_every_earlier_version_counts(registries: Two, subject: str) -> None:
    registry, other = registries
    await registry.register(subject, schema())
    await registry.register(subject, schema(note="string"))
    await other.register(subject, schema())
    with pytest.raises(Rejected, match="'note' is gone"):
        await other.register(subject, schema(other="string"))


async def test_a_key_schema_never_changes(registries: Two) -> None:
    registry, other = registries
    subject = f"acme{secrets.token_hex(4)}.erp.o-key"
    await registry.register(subject, schema())
    with pytest.raises(Rejected, match="a key's schema never changes"):
        await other.register(subject, schema(note="string"))


async def test_an_unknown_id_or_subject_is_told_apart(registries: Two) -> None:
    registry, _ = registries
    with pytest.raises(KeyError):
        await registry.schema(2_000_000_000)
    assert await registry.latest(f"nobody{secrets.token_hex(4)}") is None


async def test_compatibility_can_be_set_before_there_is_a_schema(
    registries: Two, subject: str
) -> None:
    registry, other = registries
    await registry.set_compatibility(subject, "BACKWARD_TRANSITIVE")
    assert await other.register(subject, schema()) > 0


async def test_what_is_no_schema_is_refused(registries: Two, subject: str) -> None:
    registry, _ = registries
    with pytest.raises(Rejected, match=subject) as refused:
        await registry.register(subject, "{not json")
    assert refused.value.code == "invalid_schema"


async def test_versions_are_listed_oldest_first(registries: Two, subject: str) -> None:
    registry, other = registries
    assert await other.versions(subject) == []
    first = await registry.register(subject, schema())
    second = await registry.register(subject, schema(note="string"))
    assert [version.id for version in await other.versions(subject)] == [first, second]
    assert json.loads((await other.versions(subject))[0].text) == json.loads(schema())


#: Each is no schema of a registry's, and some are not even JSON.
JUNK = (
    None,
    b"",
    b"\xff\xfe",
    b"{",
    b"7",
    b"[]",
    b"[" * 5000,
    b'{"subject": "x"}',
    b'{"subject": 7, "schema": "\\"string\\""}',
    b'{"subject": "x", "schema": {"type": "string"}}',
    b'{"subject": "x", "schema": "{"}',
    b'{"subject": "x", "schema": "5"}',
    b'{"subject": "x", "schema": "{}"}',
    b'{"subject": "x", "schema": "{\\"type\\": []}"}',
)


@pytest.mark.parametrize("make", ["embedded", "kafka"], indirect=True)
async def test_what_is_no_schema_in_its_topic_is_left_out_visibly(
    make: Make, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry, other = make(), make()
    assert isinstance(registry, EmbeddedRegistry)
    await registry.open()
    before = await registry.register(subject, schema())
    topic = registry.name.partition(" ")[0]
    junk = before + 1
    await registry._log.append(topic, [Entry(b"k", value) for value in JUNK])
    after = await registry.register(subject, schema(note="string"))
    await other.open()
    for each in (registry, other):
        assert [version.id for version in await each.versions(subject)] == [before, after]
        assert json.loads(await each.schema(after)) == json.loads(schema(note="string"))
        with pytest.raises(ConfigurationError, match=f"{topic}.*offset {junk - 1} .*skipped"):
            await each.schema(junk)
        assert await each.versions("x") == []
    warnings = [record for record in caplog.records if "skipped" in record.message]
    assert len(warnings) == 2 * len(JUNK)
    await registry.close()
    await other.close()
