"""What a connector can do and how each entity is captured, in words, by check and status."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.connector import Capabilities, System
from bridge.model.errors import RetryLater
from bridge.wiring.capability_phrases import capability_phrases
from tests.cli.bridge_folder import BridgeFolder
from tests.connectors.polled import fake
from tests.connectors.polled.store import JsonStore, StoreTable

STRONG = Capabilities(
    before="full", every_change=True, transactions=True, snapshot=True, visibility=True,
    markers=True, read=True, write=True, ledger=True,
)  # fmt: skip


class AwayConnector(fake.PolledConnector):
    async def describe_change_detection(self, system: System) -> Mapping[str, str]:
        raise RetryLater(f"system {system.name!r} is away")


away = AwayConnector()


@pytest.fixture
def bridge_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BridgeFolder:
    """A system of the polling fake, registered as another package would."""
    store = JsonStore(tmp_path / "erp.json")
    with store.transaction() as tables:
        tables["orders"] = StoreTable("no", {"no": "integer", "note": "string"}, {})
    (tmp_path / "bridge.yaml").write_text("bridge: shop\nlog: sqlite:///bridge.db\n")
    (tmp_path / "systems").mkdir()
    package = tmp_path / "site" / "polled-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Name: polled\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        f"[bridge.connectors]\npolled = tests.connectors.polled.fake:connector\naway = {__name__}:away\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("KEY", "s3cr3t")
    return BridgeFolder(tmp_path)


def declare(bridge_folder: BridgeFolder, connector: str = "polled") -> None:
    answer = bridge_folder.call(
        *("schema", "import", connector, f"polled://{bridge_folder.folder}/erp.json"),
        *("--login", "key=${env:KEY}", "-o", str(bridge_folder.folder / "systems" / "erp.yaml")),
    )
    assert answer.code == 0, answer.err


def test_check_and_status_say_what_a_weak_source_promises_and_how_it_is_captured(
    bridge_folder: BridgeFolder,
) -> None:
    declare(bridge_folder)
    assert "s3cr3t" not in (bridge_folder.folder / "systems" / "erp.yaml").read_text()
    checked = bridge_folder.call("check")
    assert checked.code == 0, checked.out + checked.err
    status = bridge_folder.call("status")
    phrase = "modified with 0.2 s overlap, deletions by key listing every 0.3 s"
    assert f"orders is captured by {phrase}" in checked.out
    assert f"  orders: {phrase}\n" in status.out
    for output in (checked.out, status.out):
        assert "every_change: no" in output
        assert "before: none" in output
        assert "deletes are found by comparing keys" in output
        assert "positions are assigned by capture" in output
        assert "reads claim a time, not a position" in output
        assert "every_change: yes" not in output
        assert "no commands" in output
    (row,) = [row for row in bridge_folder.call("status", "--json").rows if row["kind"] == "system"]
    assert row["change_detection"] == {"orders": phrase}
    assert row["capability_phrases"] == capability_phrases(fake.connector.capabilities())
    assert row["capabilities"]["deletes"] == "reconciled"


def test_a_system_that_is_away_keeps_nobody_from_the_status_of_the_rest(
    bridge_folder: BridgeFolder,
) -> None:
    declare(bridge_folder, "away")
    status = bridge_folder.call("status")
    assert status.code == 0
    assert "isn't known now: system 'erp' is away" in status.out


def test_each_capability_has_words() -> None:
    strong, weak = capability_phrases(STRONG), capability_phrases(fake.connector.capabilities())
    assert "every change is emitted, in order (every_change: yes)" in strong
    assert "changes name the command that caused them" in strong
    assert not set(strong) & set(weak) - {"deletes are streamed as they happen"}
    assert capability_phrases(Capabilities(capture=False)) == [
        "changes aren't captured",
        "no reads",
        "no commands",
    ]
