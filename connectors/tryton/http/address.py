"""The address, login and options of a system's remote calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlunsplit

from bridge.connector import System
from bridge.model.errors import ConfigurationError
from bridge.model.redaction import register_login
from bridge.model.web_address import split_web_address
from connectors.tryton.options import TrytonLogin, TrytonOptions


@dataclass(frozen=True, slots=True)
class RpcAddress:
    """The address and the user of a database's remote calls."""

    base: str
    database: str
    user: str
    password: str = field(repr=False)

    @property
    def rpc(self) -> str:
        """The URL of the database's calls."""
        return f"{self.base}/{self.database}/rpc/"


def address_of(system: System) -> RpcAddress:
    """Taken apart from `url` and `login:`. Raises ConfigurationError."""
    where = f"system {system.name!r}"
    try:
        parts = split_web_address(system.url)
    except ValueError as error:
        raise _wrong_form(system, str(error)) from None
    base, _, database = parts.path.rstrip("/").rpartition("/")
    if not database:
        raise _wrong_form(system, "it names no database")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if isinstance(system.login, TrytonLogin):
        user, password = system.login.user, system.login.password.get_secret_value()
    if not user or not password:
        raise ConfigurationError(
            f"{where}: user and password are missing: write `login: {{user: NAME, password: "
            "${env:NAME}}`"
        )
    register_login(user, password, where)
    netloc = parts.netloc.rpartition("@")[2]
    return RpcAddress(urlunsplit((parts.scheme, netloc, base, "", "")), database, user, password)


def _wrong_form(system: System, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"system {system.name!r}: `url` is not https://HOST:PORT/DATABASE but {system.shown_url}: {reason}"
    )


def options_of(system: System) -> TrytonOptions:
    """The validated options; the defaults where the configuration has none."""
    if isinstance(system.options, TrytonOptions):
        return system.options
    return TrytonOptions.model_validate(system.options or {})
