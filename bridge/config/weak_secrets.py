"""Secrets that are there and protect little: too short to resist guessing, or empty."""

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
"""Below 14 bytes a key is shorter than NIST SP 800-131A asks of HMAC, and the hashes of names, mail
addresses and telephone numbers tell what they were as soon as the key is guessed.
"""


def weak_secrets(
    document: Document, data: Any, environ: Mapping[str, str], folder: Path, where: KeyPath = ()
) -> Iterator[Problem]:
    """Every reference below `where` whose secret is short, by its name. One that can't be looked up
    is told elsewhere.
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
                hint = f"let {match[0]} stand for a longer one, chosen by chance"
                yield document.problem(where, f"{match[0]} stands for {what}", hint)


def _weakness(name: str, value: str) -> str:
    if not value:
        return "nothing: it is empty"
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
