"""Who reads the log alone needs the secrets of no system; who connects to one is told what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.bridge_folder import BridgeFolder

LOG_ALONE = [
    ["tail", "customer", "--no-follow", "--json", "--limit", "1"],
    ["tail", "commands", "--no-follow", "--json"],
    ["status", "--json"],
    ["dead", "--json"],
    ["commands", "--json"],
    ["log", "topics", "--json"],
    ["log", "groups", "--json"],
    ["schema", "topics"],
]
CONNECTING = [["get", "customer", "1"], ["setup", "erp", "--yes"], ["check"], ["run"]]


@pytest.fixture
def locked(lived: BridgeFolder, monkeypatch: pytest.MonkeyPatch) -> BridgeFolder:
    """A bridge whose system's address is somebody else's secret."""
    monkeypatch.delenv("ERP_URL", raising=False)
    path = Path(lived.folder, "systems", "erp.yaml")
    text = path.read_text()
    assert "url: sqlite:///../var/erp.db" in text
    text = text.replace(
        "url: sqlite:///../var/erp.db", "mask_key: ${file:no/key}\nurl: ${env:ERP_URL}"
    )
    path.write_text(text)
    return lived


@pytest.mark.parametrize("words", LOG_ALONE, ids=" ".join)
def test_commands_that_read_the_log_alone_need_no_secret_of_a_system(
    locked: BridgeFolder, words: list[str]
) -> None:
    answer = locked.call(*words)
    assert answer.code == 0, answer
    assert answer.out
    assert words[0] == "status" or "ERP_URL is not set" not in answer.out + answer.err


@pytest.mark.parametrize("words", CONNECTING, ids=" ".join)
def test_commands_that_connect_are_refused_with_all_that_is_missing(
    locked: BridgeFolder, words: list[str]
) -> None:
    answer = locked.call(*words)
    assert answer.code in {1, 2}, answer
    for missing in ("ERP_URL is not set", "no/key can't be read"):
        assert missing in answer.out + answer.err
    assert "systems/erp.yaml:" in answer.out + answer.err
