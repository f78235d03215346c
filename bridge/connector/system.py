"""A configured system as its connector sees it, and what a check of it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridge.connector.current_login import Credentials, CurrentLogin
from bridge.model.delete_limit import DEFAULT_LIMIT, DeleteLimit
from bridge.model.redaction import register_secret
from bridge.model.secret_urls import secrets_in_url
from bridge.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that the configuration names: its declared key columns (empty: the primary key)
    and the columns that are used (empty: all). A source that derives deletes by comparing, more of
    them than `max_deletes`, yields `Stale` in their place.
    """

    table: str
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    max_deletes: DeleteLimit = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class System:
    """One configured system as a connector sees it.

    `url` is resolved and secret: never print it; `shown_url` is for people. `options` is the
    validated model of `Connector.options`, `login` that of `LogsIn.login` (None: nothing is said).
    `connections`: at most so many for reads. `commands`: whether any are declared, so that `check`
    and `setup` care for the ledger. `tls`: the section of that name, which only connectors with
    `SpeaksHttp` are given. `logins`: see `shared_login`. `masked`: tables with a column that an
    entity masks: no message may repeat a server's own words about one of them, unless it is certain
    that they quote no value (`bridge.model.withheld`).
    """

    bridge: str
    name: str
    url: str = field(repr=False)
    shown_url: str
    options: Any
    tables: tuple[TableUse, ...]
    connections: int = 4
    commands: bool = True
    login: Any = field(default=None, repr=False)
    tls: TlsFiles | None = None
    logins: CurrentLogin | None = field(default=None, repr=False, compare=False)
    masked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Whatever a connector does with `url`, no message repeats its secrets."""
        if self.logins is None:
            mine = CurrentLogin(Credentials(self.url, self.login))
            object.__setattr__(self, "logins", mine)
        for number, secret in enumerate(secrets_in_url(self.url)):
            register_secret(secret, f"{self.bridge}.{self.name} url {number}")

    @property
    def shared_login(self) -> CurrentLogin:
        """Of all parts of this system in this process: connectors log in with its credentials, which
        may be newer than `url` and `login`, and tell it how that went.
        """
        assert self.logins is not None  # noqa: S101 - made above
        return self.logins


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `check` found: `what` is wrong, `fix` the exact statement that mends it.

    `fatal`: capture or commands would not work. `create`: the bridge can do `fix` on request.
    """

    what: str
    fix: str = ""
    fatal: bool = True
    create: bool = False


@dataclass(frozen=True, slots=True)
class SetupStatement:
    """A statement that a system needs. `login`: who may run it, for people; `note`: why."""

    sql: str
    login: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What a system needs, in the order in which it is run. `unasked`: why the system couldn't say
    what is there already, so that these are all statements; empty: they are what is missing.
    """

    statements: tuple[SetupStatement, ...]
    unasked: str = ""
