"""The log that a copy goes into."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load
from bridge.model.errors import ConfigurationError
from bridge.wiring.copy_target import copy_target

SYSTEM = """
system: erp
connector: journal
url: sqlite:///erp.db
entities:
  customer: {from: customer}
"""


def bridge_file(folder: Path, bridge: str, log: str) -> Path:
    (folder / "systems").mkdir(parents=True)
    (folder / "systems" / "erp.yaml").write_text(SYSTEM)
    path = folder / "bridge.yaml"
    path.write_text(f"bridge: {bridge}\nlog: {log}\n")
    return path


def test_a_url_is_the_same_bridge_with_another_log(tmp_path: Path) -> None:
    config = load(bridge_file(tmp_path / "a", "acme", "sqlite:///a.db"))
    target = copy_target(config, f"sqlite:///{tmp_path}/b.db")
    assert (target.bridge, target.log.path) == ("acme", tmp_path / "b.db")


def test_a_file_is_of_the_same_bridge(tmp_path: Path) -> None:
    config = load(bridge_file(tmp_path / "a", "acme", "sqlite:///a.db"))
    same = bridge_file(tmp_path / "b", "acme", "sqlite:///b.db")
    other = bridge_file(tmp_path / "c", "beta", "sqlite:///c.db")

    assert copy_target(config, str(same)).log.path == tmp_path / "b" / "b.db"
    with pytest.raises(ConfigurationError, match="is of bridge 'beta', not 'acme'"):
        copy_target(config, str(other))


def test_a_log_is_not_copied_into_itself(tmp_path: Path) -> None:
    path = bridge_file(tmp_path / "a", "acme", "sqlite:///a.db")
    with pytest.raises(ConfigurationError, match="is the source log itself"):
        copy_target(load(path), str(path))
