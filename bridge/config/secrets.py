"""Secrets by reference: `${env:NAME}` and `${file:/run/secrets/name}`.

The files contain references only. They are resolved when needed; the values are held in a `Secret`,
registered with the redactor, and never printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from bridge.config.clear_secrets import HIDDEN, REFERENCE
from bridge.model.errors import ConfigurationError
from bridge.model.redaction import register_secret
from bridge.model.secret_urls import secrets_in_url

_ANY = re.compile(r"\$\{[^}]*\}?")
_SETTINGS = re.compile(r"(^|.*\s)(host|hostaddr|port|dbname|user|service)\s*=", re.DOTALL)
#: Within and without quotes (https://www.postgresql.org/docs/current/libpq-connect.html).
_SETTING_SPECIAL = re.compile(r"[\\'\s]")
_OPEN_SETTING = re.compile(r"(^|\s)(host|hostaddr|port|dbname|user|service)\s*=\s*'?[^'\s=]*$")
_OPEN_VALUE = re.compile(r"[\w.,:\[\]-]*")
"""References in parts that name a server or a database: no login, no parameter."""


class Secret:
    """A text that must not be shown; call `reveal()` only where it is used."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))


def bad_reference(text: str) -> str:
    """What is wrong with the references in `text`, or an empty string."""
    for reference in _ANY.finditer(text):
        if not REFERENCE.fullmatch(reference[0]):
            return f"{reference[0]!r} is not a reference: write ${{env:NAME}} or ${{file:/path}}"
    return ""


def _look_up(kind: str, name: str, environ: Mapping[str, str], folder: Path) -> str:
    if kind == "env":
        try:
            value = environ.get(name)
        except ValueError:  # a name that no environment variable can have
            value = None
        if value is None:
            message = f"the environment variable {name} is not set"
            raise ConfigurationError(message)
        return value
    path = folder / name
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (
            "not a text file"
            if isinstance(error, UnicodeDecodeError)
            else "no file has such a name"
        )
        message = f"the secret file {name} can't be read: {reason}"
        raise ConfigurationError(message) from None


def resolve_references(text: str, environ: Mapping[str, str], folder: Path) -> Secret:
    """`text` with its references resolved: percent-encoded in a URL, escaped in a list of settings
    (`host=erp-db password=${env:PW}`, as for libpq).

    Raises ConfigurationError that names the missing reference, never a value.
    """
    if problem := bad_reference(text):
        raise ConfigurationError(problem)
    in_url = "://" in text and not REFERENCE.fullmatch(text)
    in_settings = not in_url and _SETTINGS.match(text) is not None

    def put(reference: re.Match[str]) -> str:
        value = _look_up(reference[1], reference[2].strip(), environ, folder)
        if not (_is_open_place(text, reference) and _OPEN_VALUE.fullmatch(value)):
            register_secret(value, reference[0])
        for number, secret in enumerate(secrets_in_url(value)):
            register_secret(secret, f"{reference[0]} {number}")
        if in_settings:
            return _SETTING_SPECIAL.sub(r"\\\g<0>", value)
        return quote(value, safe="") if in_url else value

    return Secret(REFERENCE.sub(put, text))


def _is_open_place(text: str, reference: re.Match[str]) -> bool:
    """Whether the reference is for a host, a port, or a database's user or name: if hidden, they
    and all equal words would be missing from messages.
    """
    before = REFERENCE.sub("x", text[: reference.start()])
    after = REFERENCE.sub("x", text[reference.end() :])
    scheme, mark, address = before.partition("://")
    if not mark:
        return _OPEN_SETTING.search(before) is not None
    is_host = re.match(r"[^/?#]*@", after) is None and not re.search(r"[/?#]", address)
    if scheme.lower() in {"http", "https"}:
        # A path may hold a key, and so may a user without a password.
        return is_host
    is_user = re.match(r"[^:/?#@]*:[^@]+@", after) is not None and not re.search(r"[:/?#]", address)
    return is_host or is_user or ("/" in address and not re.search(r"[?#]|/.*@", address))
