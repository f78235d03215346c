"""What every part of the suite starts from."""

from __future__ import annotations

from typing import Literal

import pytest

from bridge.connector import Capabilities
from bridge.kit.connector.legacy import Legacy
from bridge.model.errors import Unsupported

Capability = Literal["capture", "snapshot", "read", "write"]


async def needs(legacy: Legacy, *capabilities: Capability) -> None:
    """Skip a test of what the connector doesn't declare, once it has refused that as it must."""
    lacking = await refused(legacy, *capabilities)
    if lacking:
        pytest.skip(f"the connector does not declare {', '.join(lacking)}, and refuses it")


async def refused(legacy: Legacy, *capabilities: Capability) -> list[Capability]:
    """Those that the connector doesn't declare; each of them raises Unsupported."""
    connector, system = legacy.connector, legacy.system()
    makes = {
        "capture": connector.source,
        "snapshot": connector.snapshot,
        "read": connector.reader,
        "write": connector.writer,
    }
    declared = connector.capabilities()
    lacking = [name for name in capabilities if not getattr(declared, name)]
    for name in lacking:
        with pytest.raises(Unsupported):
            await makes[name](system)
    return lacking


class ConnectorTests:
    """Subclasses define the fixture `fresh`: a Legacy whose system holds nothing yet."""

    @pytest.fixture
    def fresh(self) -> Legacy:
        """The legacy system under test, one for each test."""
        raise NotImplementedError("define the fixture `fresh` in your test class")

    @pytest.fixture
    async def legacy(self, fresh: Legacy) -> Legacy:
        """The legacy system with the suite's table, set up for the bridge."""
        fresh.start()
        await fresh.connector.setup(fresh.system())
        return fresh

    @pytest.fixture
    def can(self, legacy: Legacy) -> Capabilities:
        """What the connector declares."""
        return legacy.connector.capabilities()

    @pytest.fixture
    def every_change(self, can: Capabilities) -> None:
        """Asked for by tests of what only a source that tells every change can promise."""
        if not can.every_change:
            pytest.skip("every_change: no; WeakerTests hold the connector to what it promises")
