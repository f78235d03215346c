"""The Dockerfile as instructions, so that its steps can be held and run without an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: `word` in capitals, `text` on one line."""

    word: str
    text: str


def instructions() -> list[Instruction]:
    """All of them, in order."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    pairs = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word, text) for word, text in pairs]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first."""
    stages_read: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            stages_read.append([])
        if stages_read:
            stages_read[-1].append(instruction)
    return stages_read


def environment(stage: list[Instruction]) -> dict[str, str]:
    """What the ENV instructions of a stage set."""
    pairs: dict[str, str] = {}
    for instruction in stage:
        if instruction.word == "ENV":
            pairs |= dict(part.split("=", 1) for part in instruction.text.split())
    return pairs
