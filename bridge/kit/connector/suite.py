"""All of the suite in one class."""

from __future__ import annotations

import pytest

from bridge.kit.connector.asks import AskTests
from bridge.kit.connector.changes import ChangeTests
from bridge.kit.connector.polled_changes import PolledChangeTests
from bridge.kit.connector.reading import ReaderTests
from bridge.kit.connector.resuming import ResumeTests
from bridge.kit.connector.server_lies import ServerLieTests
from bridge.kit.connector.setup import SetupTests
from bridge.kit.connector.snapshots import SnapshotTests
from bridge.kit.connector.writing import WriterTests


@pytest.mark.asyncio
class ConnectorSuite(
    SetupTests,
    ChangeTests,
    ResumeTests,
    PolledChangeTests,
    SnapshotTests,
    ReaderTests,
    AskTests,
    WriterTests,
    ServerLieTests,
):
    """Everything that `bridge.connector` promises. Subclass it and define the fixture `fresh`."""
