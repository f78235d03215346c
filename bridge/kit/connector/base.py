"""What every part of the suite starts from."""

from __future__ import annotations

import pytest

from bridge.connector import Capabilities
from bridge.kit.connector.legacy import Legacy


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
