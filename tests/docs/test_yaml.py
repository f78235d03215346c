"""Blocks of YAML are configuration that `bridgectl check --offline` takes as it stands.

A block that is a part of a file is put into one: what it refers to is declared around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from bridge.cli.app import group
from tests.docs.pages import Block, blocks
from tests.log.certificates import Authority

BRIDGE = {"bridge": "acme", "log": "sqlite:///bridge.db"}
URLS = {
    "postgres": "postgresql://bridge@localhost/erp",
    "odata": "https://erp.example.com/orders/",
    "tryton": "https://erp.example.com/DATABASE",
}
#: Verbs of commands that tell which connector they are for.
VERBS = {
    "odata": ("POST ", "PATCH ", "DELETE ", "CALL "),
    "tryton": ("CREATE ", "WRITE ", "BUTTON "),
}
_REFERENCE = re.compile(r"\$\{env:(\w+)\}")


def parts(block: Block) -> Iterator[dict[str, Any]]:
    """What a block holds; lines that say the same key in other ways are one part each."""
    lines = [line for line in block.text.splitlines() if not line.startswith(("#", " "))]
    if len(lines) > len({line.partition(":")[0] for line in lines}):
        for line in lines:
            yield YAML(typ="safe").load(line)
    else:
        yield YAML(typ="safe").load(block.text)


def files(part: dict[str, Any], block: Block) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bridge's and the system's file, with this part in the one to which it belongs."""
    if part.keys() <= {"bridge", "log", "systems", "agents", "budgets"}:
        return {**BRIDGE, **part, "agents": []}, system({}, block)
    return BRIDGE, system(part, block)


def system(part: dict[str, Any], block: Block) -> dict[str, Any]:
    """A whole system file around a part of one."""
    if "run" in part:
        part = {"commands": {"do": {"entity": "row", **part}}}
    commands = part.get("commands", {})
    if "arguments left out" in block.behind:
        for command in commands.values():
            parameters = re.findall(r":(\w+)", command["run"])
            command["args"] = {
                name: {"type": "string"} for name in parameters if not name.startswith("key")
            }
    connector = part.get("connector") or spoken(commands) or Path(block.page).stem
    connector = connector if connector in URLS or "connector" in part else "postgres"
    about = {command["entity"]: {"from": command["entity"]} for command in commands.values()} or {
        "row": {"from": "row"}
    }
    led_to = {
        relation["entity"]: {"from": relation["entity"]}
        for entity in part.get("entities", {}).values()
        for relation in entity.get("relations", {}).values()
    }
    return {
        "system": "erp",
        "connector": connector,
        **({} if "url" in part else {"url": URLS.get(connector, "")}),
        **part,
        "entities": {**led_to, **part["entities"]} if "entities" in part else about,
    }


def spoken(commands: Mapping[str, Any]) -> str:
    """The connector whose verbs the commands use."""
    for command in commands.values():
        for connector, verbs in VERBS.items():
            if command["run"].startswith(verbs):
                return connector
    return ""


@pytest.fixture(scope="module")
def certificates() -> Mapping[str, str]:
    """The files that pages name under `tls:`: `check` reads them."""
    authority = Authority()
    client = authority.issue("bridge")
    authorities = dict.fromkeys(("ca.pem", "company.pem"), authority.certificate)
    return {**authorities, "client.pem": client.certificate, "client.key": client.key}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_block_is_valid_configuration(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificates: Mapping[str, str]
) -> None:
    for name in _REFERENCE.findall(block.text):
        monkeypatch.setenv(name, "s3cret")
    (tmp_path / "systems").mkdir()
    for name, text in certificates.items():
        for folder in (tmp_path, tmp_path / "systems"):
            (folder / name).write_text(text)
    for part in parts(block):
        bridge, erp = files(part, block)
        (tmp_path / "bridge.yaml").write_text(json.dumps(bridge))
        (tmp_path / "systems" / "erp.yaml").write_text(json.dumps(erp))
        words = ["-c", str(tmp_path / "bridge.yaml"), "check", "--offline"]
        checked = CliRunner().invoke(group, words)
        assert checked.exit_code == 0, checked.output
