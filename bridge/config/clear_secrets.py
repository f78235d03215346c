"""Finds secrets in clear text where a reference belongs; never repeats them.

Nobody who reads a configuration file, a repository that contains it or an error that quotes an
address may learn a secret from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from bridge.config.document import Document, KeyPath
from bridge.config.problems import Problem

REFERENCE: Final = re.compile(r"\$\{(env|file):([^}]+)\}")
HIDDEN: Final = "***"
HINT: Final = "write it by reference: ${env:NAME}"

#: Replaces a reference while the text around it is checked.
_REFERRED: Final = "\0"
_SECRET_NAME: Final = re.compile(
    r"(password|passwd|passwort|passphrase|passcode|pwd|secret|token|credentials?|assertion|signature"
    r"|(api|access|auth|account|function|mask|shared|subscription)[-_.]?key|apikey|authorization)$",
    re.IGNORECASE,
)
_PASSWORD_NAME: Final = re.compile(r"pass|pwd", re.IGNORECASE)
#: Names that denote a secret only in an address: a system file's `key:` is a column, or a file.
_SHORT_NAMES: Final = frozenset({"key", "code", "sig", "auth", "pass", "pw", "jwt"})
#: `name=value` of a query, of libpq's other form (`host=h password='p'`) and of ODBC's (`PWD=p;`).
_PAIR: Final = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z][\w.-]*)\s*=\s*"
    r"(?=(?P<value>'(?:[^'\\]|\\.)*'|\{[^}]*\}|[^\s;&#]*))"
)
_LOGIN: Final = re.compile(
    r"(?P<before>://[^:/?#@\s]{0,500}:)(?P<value>[^/?#\s]{0,2000})(?P<after>@)"
)
#: A password with an unescaped slash or question mark: what follows the colon is not a port.
_LOGIN_CUT: Final = re.compile(
    r"(?P<before>://[^:/?#@\s]{0,500}:)"
    r"(?P<value>(?!\d{1,5}[/?#])[^/?#@\s]{0,2000}[/?#][^@\s]{0,2000})(?P<after>@)"
)
_LOGIN_BARE: Final = re.compile(
    r"(?P<before>(?<![^\s=])[^:/?#@=\s]{1,500}:)(?P<value>[^@\s]{1,2000})(?P<after>@)"
)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ADDRESS_IN_COMMAND: Final = re.compile(
    r"[?&](?P<name>[A-Za-z][\w.-]*)=(?P<value>[^\s&:{$'\"][^\s&'\"]*)"
)


def clear_secrets(text: str) -> Iterator[str]:
    """The kinds of secrets in clear in an address or a list of `name=value`: `a password`, `a
    secret (api_key)`.

    The text is as written in a file: references in it are no secrets.
    """
    plain = REFERENCE.sub(_REFERRED, text)
    if any(_is_literal(match["value"]) for match in _logins(plain)):
        yield "a password"
    names: dict[str, None] = {}
    for form in (plain, unquote_plus(plain)):
        for match in _PAIR.finditer(form):
            if _names_secret(match["name"]) and _is_literal(match["value"]):
                names[match["name"]] = None
    for name in names:
        yield f"{_kind(name)} ({name})"
    if _PRIVATE_KEY.search(plain):
        yield "a private key"


def hide_secrets(text: str) -> str:
    """The text for messages: references and everything that `clear_secrets` finds are hidden."""
    plain = REFERENCE.sub(HIDDEN, text)
    for form in (_LOGIN, _LOGIN_CUT) if "://" in plain else (_LOGIN_BARE,):
        plain = form.sub(_hide, plain)
    values = [
        match.span("value") for match in _PAIR.finditer(plain) if _names_secret(match["name"])
    ]
    for start, end in reversed(_outermost(values)):
        plain = f"{plain[:start]}{HIDDEN}{plain[end:]}"
    if any(clear_secrets(plain)):
        # A secret in another form, as in a nested text.
        return f"{plain.partition('://')[0]}://{HIDDEN}" if "://" in plain else HIDDEN
    return plain


def clear_secret_problems(document: Document, data: Any, where: KeyPath = ()) -> Iterator[Problem]:
    """Every secret in clear below `where`: found by the key's name, or in an address."""
    if isinstance(data, Mapping):
        for name, item in data.items():
            here = (*where, name)
            if _SECRET_NAME.search(str(name)) and isinstance(item, str | int | float):
                if _is_literal(REFERENCE.sub(_REFERRED, str(item))):
                    yield document.problem(here, f"holds {_kind(str(name))} in clear", HINT)
                continue
            yield from clear_secret_problems(document, item, here)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from clear_secret_problems(document, item, (*where, index))
    elif isinstance(data, str):
        for what in clear_secrets(data):
            yield document.problem(where, f"holds {what} in clear", HINT)


def clear_command_problems(document: Document, data: Any) -> Iterator[Problem]:
    """The same for commands, whose texts are statements: only addresses with a query are
    checked.
    """
    for name, command in data.items() if isinstance(data, Mapping) else ():
        for key in ("run", "probe"):
            text = command.get(key) if isinstance(command, Mapping) else None
            for match in _ADDRESS_IN_COMMAND.finditer(text if isinstance(text, str) else ""):
                if _SECRET_NAME.search(match["name"]):
                    what = f"holds {_kind(match['name'])} ({match['name']}) in clear"
                    hint = "put it into the query of `url`, by reference: ${env:NAME}"
                    yield document.problem(("commands", str(name), key), what, hint)


def _logins(plain: str) -> Iterator[re.Match[str]]:
    forms = (_LOGIN, _LOGIN_CUT) if "://" in plain else (_LOGIN_BARE,)
    for form in forms:
        yield from form.finditer(plain)


def names_secret(key: str) -> bool:
    """Whether a key's name suggests that it holds a secret."""
    return _SECRET_NAME.search(key) is not None


def _outermost(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans that are inside no other one, in order."""
    outer: list[tuple[int, int]] = []
    for start, end in spans:
        if not outer or start >= outer[-1][1]:
            outer.append((start, end))
    return outer


def _names_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) or name.lower() in _SHORT_NAMES


def _kind(name: str) -> str:
    return "a password" if _PASSWORD_NAME.search(name) else "a secret"


def _is_literal(value: str) -> bool:
    """Whether anything is left without its references."""
    value = value.strip("'{}") if value[:1] in {"'", "{"} else value
    return bool(value.replace(_REFERRED, "").replace(HIDDEN, "").strip())


def _hide(match: re.Match[str]) -> str:
    return f"{match['before']}{HIDDEN}{match['after']}"
