"""Parses `--login KEY=VALUE` and `--tls KEY=VALUE` to the mappings of a system file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

EXAMPLES = {"--login": "--login user=bridge", "--tls": "--tls ca=ca.pem"}


def parse_nested_pairs(pairs: Iterable[str], option: str = "--login") -> dict[str, Any]:
    """The mapping; `oauth.scope=x` is a key of a mapping in it. Raises click.UsageError."""
    mapping: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        *around, last = key.split(".")
        if not equals or not all((*around, last)):
            # The pair may hold a secret: it isn't repeated.
            raise click.UsageError(f"{option} is written KEY=VALUE, such as {EXAMPLES[option]}")
        section = mapping
        for name in around:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise click.UsageError(f"{option} {key}: {name!r} already has a value")
        if last in section:
            raise click.UsageError(f"{option} {key} is repeated")
        section[last] = value
    return mapping
