"""Mistakes that people make, and whether `check` finds them."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.bad_input.guarded_bridge import GuardedBridge

Data = dict[str, Any]
WAY_OUT = re.compile(r"; |correct |check |needs one of|HOST:PORT|setup | by now")


@dataclass(frozen=True)
class ConfigMistake:
    """`seed` makes it on the ground; `check` then ends with `code` and says each of `says`."""

    name: str
    seed: Callable[[Any], object]
    code: int
    says: Sequence[str]
    offline: bool = False


def mistakes(*every: ConfigMistake) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mistake", every, ids=lambda mistake: mistake.name)


def change(file: Path, edit: Callable[[Data], object]) -> object:
    """Edit a YAML file as data, which is returned."""
    yaml = YAML()
    data = yaml.load(file.read_text())
    edit(data)
    with file.open("w") as stream:
        yaml.dump(data, stream)
    return data


def finds(bridge_folder: GuardedBridge, mistake: ConfigMistake) -> None:
    """`check` says it with its place and its exit code; `offline` mistakes need no server."""
    words = ("check", "--json", "--offline") if mistake.offline else ("check", "--json")
    answer = bridge_folder.inside(*words)
    assert answer.code == mistake.code, answer
    wrong = [row for row in answer.rows if row["severity"] != "ok"]
    output = " ".join(
        f"{row['severity']} {row['location']}: {row['message']} ({row['hint']}) {row['fix']}"
        for row in wrong
    )
    for part in mistake.says:
        assert part in output, (part, answer)
    for row in wrong:
        assert row["location"], row
    # The recovery option: a hint, the statement itself, or a sentence that has it.
    assert any(row["hint"] or row["fix"] or WAY_OUT.search(row["message"]) for row in wrong), wrong


def closed_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
