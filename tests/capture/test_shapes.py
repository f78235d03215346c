"""Tables that change their columns while they are captured."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.capture import control
from bridge.log.port import RegisteredSchema
from bridge.model.avro import change_schema, schema_text
from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import Entity, Field, FieldType
from bridge.observe import EntityPaused, EntityState
from tests.capture.legacy import BRIDGE
from tests.capture.rig import Rig, until


async def test_a_new_column_becomes_a_field_and_old_events_stay_readable(rig: Rig) -> None:
    rig.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", "INSERT INTO t VALUES (1, 'x')")
    await rig.declare("t")
    async with rig.capturing():
        rig.run("ALTER TABLE t ADD COLUMN b INTEGER")
        await rig.declare("t")
        rig.run("INSERT INTO t VALUES (2, 'y', 7)")
        await until(lambda: knows(rig, 2))
    state = await rig.state("t")
    assert state[1] == {"id": 1, "a": "x"}
    assert state[2] == {"id": 2, "a": "y", "b": 7}


async def test_a_dropped_column_stays_a_field_that_is_null(rig: Rig) -> None:
    rig.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)",
        "INSERT INTO t VALUES (1, 'x', 5)",
    )
    await rig.declare("t")
    async with rig.capturing("one"):
        pass
    drop_triggers(rig)
    rig.run("ALTER TABLE t DROP COLUMN b")
    await rig.declare("t")
    async with rig.capturing("two"):
        rig.run("INSERT INTO t VALUES (2, 'y')")
        await until(lambda: knows(rig, 2))
    state = await rig.state("t")
    assert state[2] == {"id": 2, "a": "y", "b": None}


async def test_an_incompatible_table_is_paused_alone_until_it_is_resumed(rig: Rig) -> None:
    rig.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    await rig.declare("t", "u")
    async with rig.capturing("one"):
        pass
    spec = EntitySpec(
        "erp", "t", "t", ("id",), (FieldSpec("id", ("id",)), FieldSpec("a", ("a",), unit="0.01"))
    )
    await rig.declare(spec, "u")
    async with rig.capturing("two"):
        rig.run("INSERT INTO t VALUES (3, 3)", "INSERT INTO u VALUES (1, 1)")
        await rig.equal("u")
    (paused,) = [notice for notice in rig.notices if isinstance(notice, EntityPaused)]
    assert paused.entity == "erp.t"
    assert "'a'" in paused.reason
    assert "new entity name" in paused.reason
    assert sorted(await rig.state("t")) == [1, 2]
    rig.run("DELETE FROM t WHERE id = 1")
    await rig.declare("t", "u")
    rig.notices.clear()
    async with rig.capturing("three") as capture:
        assert capture.pulse.progress.paused["t"].skipped == 1
        rig.run("INSERT INTO t VALUES (4, 4)")
        await control.send(rig.log, BRIDGE, control.request("erp", "resume", "t"))
        await rig.equal("t")
        await until(lambda: not capture.pulse.progress.paused)
        await until(lambda: EntityState("erp.t", "captured") in rig.notices)
    # Whoever watches from this start on has to know, and that it is over.
    assert [notice for notice in rig.notices if isinstance(notice, EntityPaused)] == [paused]
    assert sorted(await rig.state("t")) == [2, 3, 4]


async def test_another_key_pauses_the_entity(rig: Rig) -> None:
    rig.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL)")
    await rig.declare(EntitySpec("erp", "t", "t", ("id",)))
    async with rig.capturing("one"):
        pass
    await rig.declare(EntitySpec("erp", "t", "t", ("a",)))
    async with rig.capturing("two") as capture:
        rig.run("INSERT INTO t VALUES (3, 3)")
        await until(lambda: "t" in capture.pulse.progress.paused)
    assert "key" in capture.pulse.progress.paused["t"].reason


async def test_another_order_of_the_key_pauses_the_entity(rig: Rig) -> None:
    """Its bytes would be read the wrong way round: both fields are of one type."""
    rig.run("CREATE TABLE t (id INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (id, b))")
    await rig.declare(EntitySpec("erp", "t", "t", ("id", "b")))
    async with rig.capturing("one"):
        pass
    await rig.declare(EntitySpec("erp", "t", "t", ("b", "id")))
    async with rig.capturing("two") as capture:
        rig.run("INSERT INTO t VALUES (3, 4)")
        await until(lambda: "t" in capture.pulse.progress.paused)
    assert "key" in capture.pulse.progress.paused["t"].reason
    assert await rig.told("t") == []


async def test_a_schema_of_somebody_elses_stops_with_its_subject_and_the_way_out(rig: Rig) -> None:
    rig.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)")
    await rig.declare("t")
    strange = '{"type": "record", "name": "Order", "fields": []}'
    for part in ("key", "value"):
        await rig.registry.register(f"{BRIDGE}.erp.t-{part}", strange)
    with pytest.raises(ConfigurationError, match=r"acme\.erp\.t-value.* another entity name"):
        async with rig.capturing():
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
    rig: Rig, text: str
) -> None:
    """It ended the capture of the whole system."""
    rig.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER)",
        "INSERT INTO t VALUES (1, 1)",
    )
    await rig.declare("t", "u")
    async with rig.capturing("one"):
        pass
    foreign: Any = ForeignLatest(rig.registry, f"{BRIDGE}.erp.t-value", text)
    rig.registry = foreign
    async with rig.capturing("two") as capture:
        rig.run("INSERT INTO t VALUES (2, 2)", "INSERT INTO u VALUES (1, 1)")
        await rig.equal("u")
        await until(lambda: "t" in capture.pulse.progress.paused)
        reason = capture.pulse.progress.paused["t"].reason
        assert f"DELETE /subjects/{BRIDGE}.erp.t-value/versions/latest" in reason
        assert "bridgectl snapshot erp.t --resume" in reason
        foreign.deleted = True
        await control.send(rig.log, BRIDGE, control.request("erp", "resume", "t"))
        await rig.equal("t")
        await until(lambda: not capture.pulse.progress.paused)
    assert sorted(await rig.state("t")) == [1, 2]


async def knows(rig: Rig, key: int) -> bool:
    return key in await rig.state("t")


def drop_triggers(rig: Rig) -> None:
    names = rig.legacy.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")[1]
    for (name,) in names:
        rig.run(f'DROP TRIGGER "{name}"')
