"""The field's own words, in code, messages and docs; and no key by its old name.

Only phrases are listed that can't be meant otherwise; single English words stay words in prose.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.conventions.sources import ROOT

#: Pattern -> what it is called here.
PHRASES = {
    r"\bset(s|ting)? aside\b": "dead-lettered",
    r"\banew\b": "again",
    r"\ba systems file\b|\bsystems files\b": "a system file",
    r"\bways? out\b": "recovery options, or what to do",
    r"\bin trouble\b|\btroubled\b": "degraded, or unavailable",
    r"(?<![`.])\blacks\b(?![`:=])": "is missing, or has no",
    r"\bin front of\b": "before",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bgo(es)? on\b": "continue, or resume",
    r"\btold by\b": "called by, or reported by",
    r"\bc[oa]mes? by\b": "is streamed, or arrives",
    r"\btakes? (its|their) leave\b": "cleans up, or ends",
    r"\bhangs? on\b": "depends on",
    r"\blets? go of\b": "closes, or releases",
    r"\bsigns? of life\b": "heartbeat",
    r"\bsigns? of (a|the) text\b": "character",
}
#: Keys, metrics, files and targets that were renamed.
OLD_NAMES = {
    r"^\s*means:": "change_detection:",
    r"^\s*settle:": "in_doubt_timeout:",
    r"\bbridge_entity_troubled\b": "bridge_entity_unavailable",
    r"\bbridge_held_back_seconds": "bridge_throttled_seconds",
    r"\bbridge_held_declarations\b": "bridge_commands_held_back",
    r"\bbridge_handler_seconds\b": "bridge_handler_duration_seconds",
    r"\bbridge_handler_blocks_": "bridge_handler_blocking_seconds",
    r"\bbridge_command_states_": "bridge_command_transitions_total",
    r"\bconstraints\.txt\b": "locks/",
    r"\bmake lint\b": "make check",
}


@cache
def texts() -> dict[str, str]:
    """The product's code, its docs and examples by their paths. What changed is told by old names."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for pattern in (
            "bridge/**/*.py",
            "connectors/**/*.py",
            "docs/*.md",
            "*.md",
            "examples/**/*.yaml",
        )
        for path in sorted(ROOT.glob(pattern))
        if path.name != "CHANGELOG.md"
    }


@pytest.mark.parametrize("pattern", [*PHRASES, *OLD_NAMES])
def test_nothing_is_said_in_words_that_the_field_does_not_use(pattern: str) -> None:
    better = (PHRASES | OLD_NAMES)[pattern]
    expression = re.compile(pattern, re.MULTILINE)
    matches = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for path, text in texts().items()
        for match in expression.finditer(text)
    ]
    assert matches == [], f"say {better!r}"
