"""The secrets in the address of a system: a URL, libpq's `key=value` form, an ODBC string. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_plus

_LOGIN: Final = re.compile(r"//(?P<user>[^:/@?#]*):(?P<password>[^/?#]*)@")
#: A password with a bare slash or question mark in it: what follows the colon is not a port.
_LOGIN_CUT: Final = re.compile(r"//(?P<user>[^:/@?#]*):(?P<password>(?!\d{1,5}[/?#]).*)@")
_SECRET_NAME: Final = re.compile(
    r"(?!passfile|sslkey)(pass\w*|pwd|pw|jwt|sslpassword|\w*secret|\w*token|[\w-]*key|sig(nature)?|credentials?"
    r"|auth(orization)?|assertion|code)",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z][\w.-]*)\s*=\s*"
    r"(?P<value>'(?:[^'\\]|\\.)*'|\{(?:[^}]|\}\})*\}|[^&;\s#]*)"
)


def secrets_in_url(url: str) -> Iterator[str]:
    """Every secret in a resolved `url`, as written and decoded; a password also together with its
    user, as logins send them.
    """
    login = _LOGIN.search(url) or _LOGIN_CUT.search(url)
    if login and login["password"]:
        yield from (login["password"], unquote(login["password"]))
        yield f"{unquote(login['user'])}:{unquote(login['password'])}"
    for parameter in _PARAMETER.finditer(url):
        if _SECRET_NAME.fullmatch(parameter["name"]):
            value = _bare(parameter["value"])
            yield from (value, unquote(value), unquote_plus(value))


def _bare(value: str) -> str:
    """Without the quotes of libpq or ODBC."""
    if len(value) > 1 and value[0] == value[-1] == "'":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    if len(value) > 1 and value[0] == "{" and value[-1] == "}":
        return value[1:-1].replace("}}", "}")
    return value
