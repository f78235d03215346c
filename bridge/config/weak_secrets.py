"""Weak secrets: too short to resist guessing, or empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bridge.config.clear_secrets import REFERENCE, clear_secrets, names_secret
from bridge.config.document import Document, KeyPath
from bridge.config.problems import Problem
from bridge.config.secrets import resolve_references
from bridge.model.errors import ConfigurationError

MIN_SECRET_CHARACTERS: Final = 8
MIN_MASK_KEY_BYTES: Final = 16
"""NIST SP 800-131A requires at least 14 bytes for an HMAC key; once the key is guessed, hashes of
names, mail addresses and telephone numbers reveal their values.
"""


def weak_secrets(
    document: Document, data: Any, environ: Mapping[str, str], folder: Path, where: KeyPath = ()
) -> Iterator[Problem]:
    """Every reference below `where` whose secret is short, by its name. Ones that can't be resolved
    are reported elsewhere.
    """
    if isinstance(data, Mapping):
        for name, item in data.items():
            yield from weak_secrets(document, item, environ, folder, (*where, name))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from weak_secrets(document, item, environ, folder, (*where, index))
    elif isinstance(data, str) and where:
        for match in REFERENCE.finditer(data):
            written_out = f"{data[: match.start()]}x{data[match.end() :]}"
            if not names_secret(str(where[-1])) and not any(clear_secrets(written_out)):
                continue
            try:
                value = resolve_references(match[0], environ, folder).reveal()
            except ConfigurationError:
                continue
            if what := _weakness(str(where[-1]), value):
                hint = f"set {match[0]} to a longer, randomly generated one"
                yield document.problem(where, f"{match[0]} is {what}", hint)


def _weakness(name: str, value: str) -> str:
    if not value:
        return "empty"
    if name == "mask_key":
        if len(value.encode()) < MIN_MASK_KEY_BYTES:
            return (
                f"a key of fewer than {MIN_MASK_KEY_BYTES} bytes: who guesses it reads what "
                "`mask: hash` hides"
            )
    elif len(value) < MIN_SECRET_CHARACTERS:
        return (
            f"a secret of fewer than {MIN_SECRET_CHARACTERS} characters: it is guessed soon, and a "
            "very short one can't be told from other text to be hidden in messages"
        )
    return ""
