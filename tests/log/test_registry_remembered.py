"""A registry that lost its database gives ids again: the log remembers what each one stood for."""

import asyncio
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log, TopicPartition
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry.remembered import FRESH_S, OtherRegistry, RememberedRegistry
from bridge.log.registry_port import Registry
from bridge.model.errors import ConfigurationError, Rejected
from bridge.observe import Notice, PartState
from bridge.wiring.run_parts import BridgePart, _verify, run_parts
from tests.example_counts import examples
from tests.log.conftest import OpenEmbedded
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.registry import RegistryServer as Server

BRIDGE = "acme"


class CountedRegistry:
    """A registry's database in memory; `lose` empties it, as a container without a volume does."""

    name = "http://registry"

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.requests: list[str] = []

    def lose(self) -> None:
        self.texts, self.subjects = {}, {}

    def client(self) -> HttpRegistry:
        """A client of it that asks this database instead of a server."""
        client = HttpRegistry("http://registry", patience=0.0)
        client._ask = self._ask  # type: ignore[method-assign]
        return client

    async def _ask(self, method: str, path: str, body: object = None, **_: object) -> object:
        self.requests.append(f"{method} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "config":
            return {"compatibility": "NONE"}
        if parts[0] == "schemas":
            text = self.texts.get(int(parts[2]))
            return None if text is None else {"schema": text}
        ids = self.subjects.get(parts[1], [])
        if method == "POST":
            assert isinstance(body, dict)
            return {"id": self._add(parts[1], body["schema"])}
        if parts[-1] == "versions":
            return [*range(1, len(ids) + 1)] or None
        if not ids:
            return None
        schema_id = ids[-1] if parts[-1] == "latest" else ids[int(parts[-1]) - 1]
        return {"id": schema_id, "schema": self.texts[schema_id]}

    def _add(self, subject: str, text: str) -> int:
        schema_id = next(
            (each for each, stored_text in self.texts.items() if stored_text == text),
            len(self.texts) + 1,
        )
        self.texts[schema_id] = text
        ids = self.subjects.setdefault(subject, [])
        if schema_id not in ids:
            ids.append(schema_id)
        return schema_id


def schema(entity: str, *fields: str) -> str:
    return json.dumps(
        {
            "type": "record",
            "name": "Change",
            "namespace": entity,
            "fields": [
                {"name": name, "type": ["null", "long"], "default": None} for name in fields
            ],
        }
    )


@pytest.fixture
async def log(open_embedded: OpenEmbedded) -> EmbeddedLog:
    return await open_embedded()


@pytest.fixture
def database() -> CountedRegistry:
    return CountedRegistry()


async def opened(registry: HttpRegistry, log: Log, **more: Callable[[], float]) -> Registry:
    remembered = RememberedRegistry(registry, log, BRIDGE, **more)
    await remembered.open()
    return remembered


async def test_ids_that_stand_for_other_schemas_are_refused_at_the_start(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    """Old records were read with swapped fields: the credit limit as the exposure."""
    registry = await opened(database.client(), log)
    old = schema("erp.customer", "credit_limit", "exposure")
    assert await registry.register("acme.erp.customer-value", old) == 1
    await registry.close()
    database.lose()
    await database.client().register(
        "acme.erp.customer-value", schema("erp.customer", "exposure", "credit_limit")
    )
    with pytest.raises(ConfigurationError, match="has another schema under the id 1") as refused:
        await opened(database.client(), log)
    assert "recorded in _acme.schema_ids" in str(refused.value)
    assert "log.kafka.registry" in str(refused.value)


@pytest.mark.parametrize("question", ["latest", "versions"])
async def test_what_another_process_registers_between_two_questions_is_no_other_registry(
    log: EmbeddedLog, database: CountedRegistry, question: str
) -> None:
    """`check` beside a bridge that starts: the registry had nothing yet, the log remembers it."""
    subject, text = "acme.erp.customer-value", schema("erp.customer", "a")
    client = database.client()
    checks, runs = await opened(client, log), await opened(database.client(), log)
    ask = getattr(client, question)

    async def ask_too_early(requested: str) -> object:
        setattr(client, question, ask)
        answer = await ask(requested)
        await runs.register(subject, text)
        return answer

    setattr(client, question, ask_too_early)
    assert "erp.customer" in str(await getattr(checks, question)(subject))


async def test_an_empty_registry_is_refused_before_anything_is_registered_with_it(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    registry = await opened(database.client(), log)
    await registry.register("acme.erp.customer-value", schema("erp.customer", "a"))
    database.lose()
    with pytest.raises(ConfigurationError, match="has no schema 1"):
        await opened(database.client(), log)
    assert database.texts == {}


async def test_a_registry_that_is_emptied_while_the_bridge_runs_is_refused_until_it_is_back(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    now = 0.0
    registry = await opened(database.client(), log, clock=lambda: now)
    text = schema("erp.customer", "a")
    await registry.register("acme.erp.customer-value", text)
    texts, subjects = database.texts, database.subjects
    database.lose()
    with pytest.raises(OtherRegistry, match="nothing under the subject"):
        await registry.latest("acme.erp.customer-value")
    with pytest.raises(OtherRegistry, match="nothing under the subject"):
        await registry.versions("acme.erp.customer-value")
    now += FRESH_S + 1
    with pytest.raises(OtherRegistry, match="has no schema 1"):
        await registry.register("acme.erp.order-value", schema("erp.order", "b"))
    assert database.texts == {}
    database.texts, database.subjects = texts, subjects
    assert await registry.register("acme.erp.order-value", schema("erp.order", "b")) == 2


async def test_a_reader_takes_nothing_from_another_registry_and_goes_on_with_the_right_one(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    writer = await opened(database.client(), log)
    text = schema("erp.customer", "credit_limit", "exposure")
    reader = await opened(database.client(), log)
    await writer.register("acme.erp.customer-value", text)
    texts = database.texts
    database.texts = {1: schema("erp.customer", "exposure", "credit_limit")}
    with pytest.raises(OtherRegistry, match="another schema under the id 1"):
        await reader.schema(1)
    database.texts = {}
    with pytest.raises(OtherRegistry, match="has no schema 1"):
        await reader.schema(1)
    database.texts = texts
    assert await reader.schema(1) == text


async def test_an_id_that_the_log_never_used_is_missing_as_ever(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    registry = await opened(database.client(), log)
    with pytest.raises(KeyError):
        await registry.schema(99)
    database.texts[99] = schema("other.thing", "x")
    assert await registry.schema(99) == database.texts[99]
    partition = TopicPartition("_acme.schema_ids", 0)
    assert (await log.end_offsets([partition]))[partition] == 0, "nobody wrote with it"


async def test_versions_from_before_the_log_remembered_are_learned_unless_they_are_foreign(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    client = database.client()
    await client.register("acme.erp.customer-value", schema("erp.customer", "a"))
    await client.register("acme.erp.customer-value", schema("erp.customer", "a", "b"))
    await client.register("acme.erp.order-value", schema("web.shop", "c"))
    registry = await opened(database.client(), log)
    for subject in ("acme.erp.customer-value", "acme.erp.order-value"):
        assert await registry.latest(subject) is not None
    database.lose()
    database.texts = {1: schema("erp.customer", "b"), 2: schema("erp.customer", "a", "b")}
    with pytest.raises(ConfigurationError, match="under the id 1"):
        await opened(database.client(), log)
    database.texts = {1: schema("erp.customer", "a"), 2: schema("erp.customer", "a", "b")}
    await opened(database.client(), log)


async def test_all_ids_are_compared_in_turn(log: EmbeddedLog, database: CountedRegistry) -> None:
    registry = RememberedRegistry(database.client(), log, BRIDGE)
    await registry.open()
    for number in range(30):
        await registry.register(f"acme.erp.e{number}-value", schema(f"erp.e{number}", "a"))
    database.requests.clear()
    for _ in range(6):
        await registry.verify()
    compared = {each.rpartition("/")[2] for each in database.requests}
    assert compared == {str(number) for number in range(1, 31)}


async def test_a_running_bridge_tells_of_another_registry_and_of_its_end(
    log: EmbeddedLog, database: CountedRegistry
) -> None:
    """Nobody noticed. What looks after the others ends with them."""
    registry = RememberedRegistry(database.client(), log, BRIDGE)
    await registry.open()
    await registry.register("acme.erp.customer-value", schema("erp.customer", "a"))
    texts, database.texts = database.texts, {}
    notices: list[Notice] = []
    stop, ended = asyncio.Event(), asyncio.Event()

    async def wait(_: asyncio.Event) -> None:
        await ended.wait()

    def states() -> list[str]:
        return [n.state for n in notices if isinstance(n, PartState) and n.kind == "registry"]

    running = asyncio.create_task(
        run_parts(
            [
                BridgePart("capture", "erp", wait),
                BridgePart("registry", registry.name, _verify(registry), watches=True),
            ],
            stop,
            notices.append,
        )
    )
    await until(lambda: "retrying" in states())
    database.texts = texts
    count = len(database.requests)
    await until(lambda: len(database.requests) > count)
    ended.set()
    await running
    [reason, *_] = [n.reason for n in notices if isinstance(n, PartState) and n.reason]
    assert "has no schema 1" in reason


async def test_apicurio_that_was_started_anew_is_refused(
    log: EmbeddedLog, private_registry: "Callable[[], Server]"
) -> None:
    """The real one, with its database in memory."""
    client = private_registry()
    bridge = f"t{secrets.token_hex(4)}"
    subject = f"{bridge}.erp.customer-value"
    registry = RememberedRegistry(HttpRegistry(client.url), log, bridge)
    await registry.open()
    schema_id = await registry.register(subject, schema("erp.customer", "limit", "exposure"))
    await registry.verify()
    await asyncio.to_thread(client.kill)
    await asyncio.to_thread(client.start)
    foreign = HttpRegistry(client.url)
    await foreign.open()
    for number in range(schema_id):
        await foreign.register(f"x{number}-value", schema(f"x.e{number}", "exposure", "limit"))
    await foreign.close()
    with pytest.raises(OtherRegistry, match=f"another schema under the id {schema_id}"):
        await registry.verify()
    await registry.close()


async def test_check_compares_every_id(log: EmbeddedLog, database: CountedRegistry) -> None:
    registry = RememberedRegistry(database.client(), log, BRIDGE)
    await registry.open()
    for number in range(50):
        await registry.register(f"acme.erp.e{number}-value", schema(f"erp.e{number}", "a"))
    await registry.verify_all()
    database.texts[23] = schema("erp.e22", "b")
    with pytest.raises(OtherRegistry, match="under the id 23"):
        await registry.verify_all()


ENTITIES, VERSIONS = 3, 3
STEPS = st.one_of(
    st.tuples(st.just("register"), st.integers(0, ENTITIES - 1), st.integers(1, VERSIONS)),
    st.tuples(st.just("foreign"), st.integers(0, ENTITIES - 1), st.integers(1, VERSIONS)),
    st.tuples(st.sampled_from(["lose", "restore", "restart", "wait"]), st.just(0), st.just(0)),
)


class History:
    """A registry that comes, goes and is exchanged under a bridge; `written` is what it wrote with."""

    def __init__(self, log: EmbeddedLog) -> None:
        self.log = log
        self.database = CountedRegistry()
        self.written: dict[int, str] = {}
        self.registry: RememberedRegistry | None = None
        self.client = self.database.client()
        self.now = 0.0
        self._kept: tuple[dict[int, str], dict[str, list[int]]] = ({}, {})

    async def step(self, action: str, entity: int, version: int) -> None:
        database = self.database
        subject = f"acme.erp.e{entity}-value"
        names = [f"f{number}" for number in range(version)]
        if action == "lose":
            self._kept = (database.texts, database.subjects)
            database.lose()
        elif action == "restore":
            database.texts, database.subjects = self._kept
        elif action == "foreign":
            text = schema(f"erp.e{entity}", *reversed(names), "foreign")
            await database.client().register(f"other{version}.{subject}", text)
        elif action == "wait":
            self.now += FRESH_S + 1
        elif action == "restart" or self.registry is None:
            self.registry = None
            self.client = database.client()
            registry = RememberedRegistry(self.client, self.log, BRIDGE, clock=lambda: self.now)
            with suppress(ConfigurationError):
                await registry.open()
                self.registry = registry
        else:
            text = schema(f"erp.e{entity}", *names)
            with suppress(OtherRegistry, Rejected):
                schema_id = await self.registry.register(subject, text)
                assert self.written.setdefault(schema_id, text) == text, "an id was given again"

    async def check(self) -> None:
        """Every id is read as it was written, or not at all."""
        if self.registry is None:
            return
        for schema_id, text in self.written.items():
            # As another process would, which hasn't read it before.
            self.client.forget(schema_id)
            with suppress(OtherRegistry):
                assert await self.registry.schema(schema_id) == text


@settings(max_examples=examples(30), deadline=None, derandomize=True)
@given(steps=st.lists(STEPS, max_size=14))
def test_whatever_becomes_of_the_registry_no_id_is_read_as_another_schema(
    steps: list[tuple[str, int, int]],
) -> None:
    async def act(folder: Path) -> None:
        log = EmbeddedLog(folder / "log.db", compact_every=None)
        await log.open()
        try:
            history = History(log)
            for step in steps:
                await history.step(*step)
                await history.check()
        finally:
            await log.close()

    with TemporaryDirectory() as folder:
        asyncio.run(act(Path(folder)))
