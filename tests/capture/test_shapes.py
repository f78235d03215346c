"""Tables that change their columns while they are captured."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.capture import control
from bridge.log.registry_port import RegisteredSchema
from bridge.model.avro import change_schema, schema_text
from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import Entity, Field, FieldType
from bridge.observe import EntityPaused, EntityState
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until


async def test_a_new_column_becomes_a_field_and_old_events_stay_readable(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", "INSERT INTO t VALUES (1, 'x')")
    await harness.declare("t")
    async with harness.capturing():
        harness.run("ALTER TABLE t ADD COLUMN b INTEGER")
        await harness.declare("t")
        harness.run("INSERT INTO t VALUES (2, 'y', 7)")
        await until(lambda: knows(harness, 2))
    state = await harness.state("t")
    assert state[1] == {"id": 1, "a": "x"}
    assert state[2] == {"id": 2, "a": "y", "b": 7}


async def test_a_dropped_column_stays_a_field_that_is_null(harness: CaptureHarness) -> None:
    harness.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)",
        "INSERT INTO t VALUES (1, 'x', 5)",
    )
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    drop_triggers(harness)
    harness.run("ALTER TABLE t DROP COLUMN b")
    await harness.declare("t")
    async with harness.capturing("two"):
        harness.run("INSERT INTO t VALUES (2, 'y')")
        await until(lambda: knows(harness, 2))
    state = await harness.state("t")
    assert state[2] == {"id": 2, "a": "y", "b": None}


async def test_an_incompatible_table_is_paused_alone_until_it_is_resumed(
    harness: CaptureHarness,
) -> None:
    harness.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    await harness.declare("t", "u")
    async with harness.capturing("one"):
        pass
    spec = EntitySpec(
        "erp", "t", "t", ("id",), (FieldSpec("id", ("id",)), FieldSpec("a", ("a",), unit="0.01"))
    )
    await harness.declare(spec, "u")
    async with harness.capturing("two"):
        harness.run("INSERT INTO t VALUES (3, 3)", "INSERT INTO u VALUES (1, 1)")
        await harness.equal("u")
    (paused,) = [notice for notice in harness.notices if isinstance(notice, EntityPaused)]
    assert paused.entity == "erp.t"
    assert "'a'" in paused.reason
    assert "new entity name" in paused.reason
    assert sorted(await harness.state("t")) == [1, 2]
    harness.run("DELETE FROM t WHERE id = 1")
    await harness.declare("t", "u")
    harness.notices.clear()
    async with harness.capturing("three") as capture:
        assert capture.stats.progress.paused["t"].skipped == 1
        harness.run("INSERT INTO t VALUES (4, 4)")
        await control.send(harness.log, BRIDGE, control.request("erp", "resume", "t"))
        await harness.equal("t")
        await until(lambda: not capture.stats.progress.paused)
        await until(lambda: EntityState("erp.t", "captured") in harness.notices)
    # Whoever watches from this start on has to know, and that it is over.
    assert [notice for notice in harness.notices if isinstance(notice, EntityPaused)] == [paused]
    assert sorted(await harness.state("t")) == [2, 3, 4]


async def test_another_key_pauses_the_entity(harness: CaptureHarness) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL)")
    await harness.declare(EntitySpec("erp", "t", "t", ("id",)))
    async with harness.capturing("one"):
        pass
    await harness.declare(EntitySpec("erp", "t", "t", ("a",)))
    async with harness.capturing("two") as capture:
        harness.run("INSERT INTO t VALUES (3, 3)")
        await until(lambda: "t" in capture.stats.progress.paused)
    assert "key" in capture.stats.progress.paused["t"].reason


async def test_another_order_of_the_key_pauses_the_entity(harness: CaptureHarness) -> None:
    """Its bytes would be read the wrong way round: both fields are of one type."""
    harness.run("CREATE TABLE t (id INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (id, b))")
    await harness.declare(EntitySpec("erp", "t", "t", ("id", "b")))
    async with harness.capturing("one"):
        pass
    await harness.declare(EntitySpec("erp", "t", "t", ("b", "id")))
    async with harness.capturing("two") as capture:
        harness.run("INSERT INTO t VALUES (3, 4)")
        await until(lambda: "t" in capture.stats.progress.paused)
    assert "key" in capture.stats.progress.paused["t"].reason
    assert await harness.records("t") == []


async def test_a_schema_of_somebody_elses_stops_with_its_subject_and_the_way_out(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)")
    await harness.declare("t")
    strange = '{"type": "record", "name": "Order", "fields": []}'
    for part in ("key", "value"):
        await harness.registry.register(f"{BRIDGE}.erp.t-{part}", strange)
    with pytest.raises(ConfigurationError, match=r"acme\.erp\.t-value.* another entity name"):
        async with harness.capturing():
            pass


class ForeignLatest:
    """A registry with somebody else's schema as the newest under one subject, until `deleted`."""

    def __init__(self, registry: Any, subject: str, text: str) -> None:
        self._registry = registry
        self._subject = subject
        self._text = text
        self.deleted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    async def latest(self, subject: str) -> RegisteredSchema | None:
        if subject == self._subject and not self.deleted:
            return RegisteredSchema(99, self._text)
        version: RegisteredSchema | None = await self._registry.latest(subject)
        return version


OTHER_ENTITY = schema_text(
    change_schema(Entity("web", "shop", ("id",), (Field("id", FieldType("integer")),)))
)


@pytest.mark.parametrize("text", ['"string"', '{"type": "record", "name": "X"}', OTHER_ENTITY])
async def test_a_foreign_newest_version_pauses_that_entity_alone_until_it_is_gone(
    harness: CaptureHarness, text: str
) -> None:
    """It ended the capture of the whole system."""
    harness.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER)",
        "INSERT INTO t VALUES (1, 1)",
    )
    await harness.declare("t", "u")
    async with harness.capturing("one"):
        pass
    foreign: Any = ForeignLatest(harness.registry, f"{BRIDGE}.erp.t-value", text)
    harness.registry = foreign
    async with harness.capturing("two") as capture:
        harness.run("INSERT INTO t VALUES (2, 2)", "INSERT INTO u VALUES (1, 1)")
        await harness.equal("u")
        await until(lambda: "t" in capture.stats.progress.paused)
        reason = capture.stats.progress.paused["t"].reason
        assert f"DELETE /subjects/{BRIDGE}.erp.t-value/versions/latest" in reason
        assert "bridgectl snapshot erp.t --resume" in reason
        foreign.deleted = True
        await control.send(harness.log, BRIDGE, control.request("erp", "resume", "t"))
        await harness.equal("t")
        await until(lambda: not capture.stats.progress.paused)
    assert sorted(await harness.state("t")) == [1, 2]


async def knows(harness: CaptureHarness, key: int) -> bool:
    return key in await harness.state("t")


def drop_triggers(harness: CaptureHarness) -> None:
    names = harness.database.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")[1]
    for (name,) in names:
        harness.run(f'DROP TRIGGER "{name}"')
