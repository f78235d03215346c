"""Whatever data holds, it steers no terminal, and every encoding of an output can show it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.output.rows import cell
from bridge.cli.output.safe_text import SafeWriter, guard_streams, safe_text
from tests.cli.bridge_folder import FAILING, BridgeFolder, create_bridge_folder

EVIL = "Ärger\x1b[2J\x1b[8m\x9b31m\x07\r\u202eevil\U0001f600\u2028x\x7f"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COMMANDS = [
    ["tail", "customer", "--key", "1", "--no-follow"],
    ["tail", "customer", "--key", "1", "--no-follow", "--json"],
    ["tail", "dead", "--no-follow"],
    ["get", "customer", "1"],
    ["get", "customer", "1", "--json"],
    ["dead"],
    ["dead", "--json"],
    ["status"],
    ["commands"],
    ["get", EVIL, "1"],
    ["log", "topics"],
]
DRIVER = """
import json, sys
from bridge.cli import guard_streams
guard_streams()
from bridge.cli.app import group
for words in json.loads(sys.argv[1]):
    print("----", flush=True)
    try:
        group(words, prog_name="bridgectl")
    except SystemExit:
        pass
"""


@pytest.fixture(scope="module")
def evil(processes: None, tmp_path_factory: pytest.TempPathFactory) -> BridgeFolder:
    """A log whose rows, letters and errors hold what would steer a terminal."""
    bridge_folder = create_bridge_folder(tmp_path_factory.mktemp("evil") / "demo")
    failing = FAILING.replace('f"no idea', f'{EVIL!r} + f"no idea')
    (bridge_folder.folder / "agents" / "stumbler.py").write_text(failing)
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.running():
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
        bridge_folder.sql(f"update kna1 set name1 = '{EVIL}' where kunnr = '0000000001'")
        bridge_folder.until("dead", "--json")
    return bridge_folder


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp437", "ascii"])
def test_data_steers_no_terminal_in_any_encoding(evil: BridgeFolder, encoding: str) -> None:
    words = json.dumps([["-c", str(evil.config), *command] for command in COMMANDS])
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, words],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    # UTF-8 is written where the encoding is said to be ASCII.
    out, err = (
        text.decode("utf-8" if encoding == "ascii" else encoding)
        for text in (ran.stdout, ran.stderr)
    )
    assert not UNSAFE.findall(out.replace("\r\n", "\n")), out
    assert not UNSAFE.findall(err.replace("\r\n", "\n")), err
    assert "Traceback" not in err
    parts = out.split("----\n")[1:]
    assert len(parts) == len(COMMANDS)
    rows = [
        json.loads(line)
        for command, part in zip(COMMANDS, parts, strict=True)
        if "--json" in command
        for line in part.splitlines()
    ]
    names = [
        row["after"]["name"]
        for row in rows
        if row.get("entity") == "erp.customer" and row.get("after")
    ]
    assert EVIL in names
    assert "u001b[2J" in parts[COMMANDS.index(["dead"])]


@given(st.text())
def test_safe_text_is_safe_and_json_reads_it_as_it_was(text: str) -> None:
    assert not UNSAFE.search(safe_text(text))
    assert json.loads(safe_text(json.dumps(text, ensure_ascii=False))) == text
    assert not UNSAFE.search(cell(text))


def test_colours_of_the_program_pass_and_nothing_else_does() -> None:
    beneath = io.BytesIO()
    stream = SafeWriter(io.TextIOWrapper(beneath, encoding="utf-8"))
    stream.write("\x1b[1;31mred\x1b[0m\x1b]0;title\x07\x1b[2J\n\tx\r")
    stream.flush()
    assert beneath.getvalue() == b"\x1b[1;31mred\x1b[0m\\u001b]0;title\\u0007\\u001b[2J\n\tx\\u000d"


def test_an_encoding_that_lacks_a_character_shows_its_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beneath = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(beneath, encoding="cp1252"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    guard_streams()
    sys.stdout.write(json.dumps("→ 😀 ü", ensure_ascii=False))
    sys.stdout.flush()
    assert beneath.getvalue() == b'"\\u2192 \\ud83d\\ude00 \xfc"'
    assert json.loads(beneath.getvalue().decode("cp1252")) == "→ 😀 ü"
