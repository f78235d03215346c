import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.bridge_folder import BridgeFolder, create_bridge_folder, live
from tests.waiting import wait_until


@pytest.fixture
def bridge_folder(tmp_path: Path) -> BridgeFolder:
    """A configuration whose bridge has never run."""
    return create_bridge_folder(tmp_path / "demo")


@pytest.fixture(scope="session")
def lived_once(processes: None, tmp_path_factory: pytest.TempPathFactory) -> BridgeFolder:
    """A bridge that ran and was ended in order; for tests that only read."""
    bridge_folder = create_bridge_folder(tmp_path_factory.mktemp("lived") / "demo")
    live(bridge_folder)
    return bridge_folder


@pytest.fixture
def lived(lived_once: BridgeFolder, tmp_path: Path) -> BridgeFolder:
    """A copy of it for tests that write."""
    shutil.copytree(lived_once.folder, tmp_path / "demo")
    return BridgeFolder(tmp_path / "demo")


@pytest.fixture
def bridge_runs(processes: None, lived: BridgeFolder) -> Iterator[BridgeFolder]:
    """The copy with `bridgectl run` on it, once it captures."""
    with lived.running():
        wait_until(
            lambda: (
                "streaming" in {row.get("state") for row in lived.call("status", "--json").rows}
            ),
            describe=(lived.folder / "run.log").read_text,
        )
        yield lived
