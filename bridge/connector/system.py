"""A configured system as passed to its connector, and the findings of a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.connector.current_login import Credentials, CurrentLogin
from bridge.model.delete_limit import DEFAULT_LIMIT, DeleteLimit
from bridge.model.redaction import register_secret
from bridge.model.secret_urls import secrets_in_url
from bridge.model.specs import SystemLimits
from bridge.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that the configuration names.

    table: its configured name.
    key: declared key columns; empty: the primary key.
    columns: the columns that are used; empty: all.
    max_deletes: a source that derives more deletes than this by comparing emits `Stale` instead.
    """

    table: str
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    max_deletes: DeleteLimit = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class ReadSessions:
    """Sessions of reads of a process that owns a system, as long as it does.

    label: tells them from those of owners before it, where the system shows sessions' names; letters,
    digits and hyphens, at most 24.
    check: raises RetryLater if none may be opened any more. Called just before one is opened, in
    whatever thread does that.
    """

    label: str
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class System:
    """One configured system, as passed to its connector.

    bridge, name: of the bridge and of the system in it.
    url: resolved and secret; never print it.
    shown_url: without secrets, for people.
    options: the validated model of `Connector.options`.
    tables: the tables of declared entities.
    connections: maximum number of connections for reads.
    limits: all limits of its reads, of which the Reader keeps `batch_operations` by itself.
    commands: whether any are declared, so that `check` and `setup` include the ledger.
    login: the validated model of `LogsIn.login`; None: the file has no `login`.
    tls: the section of that name; only connectors with `SpeaksHttp` get one.
    logins: see `shared_login`.
    one_reader: whether one process reads it for all others.
    read_sessions: of an owner of the system's reads; None: nobody owns them.
    masked: tables with a masked column: no message may quote a server's error about one of them,
    unless it certainly contains no value (`bridge.model.withheld_error_text`).
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
    one_reader: bool = False
    read_sessions: ReadSessions | None = field(default=None, repr=False, compare=False)
    limits: SystemLimits = field(default_factory=SystemLimits)

    def __post_init__(self) -> None:
        """Keep the secrets of `url` out of all messages."""
        if self.logins is None:
            mine = CurrentLogin(Credentials(self.url, self.login))
            object.__setattr__(self, "logins", mine)
        for number, secret in enumerate(secrets_in_url(self.url)):
            register_secret(secret, f"{self.bridge}.{self.name} url {number}")

    @property
    def shared_login(self) -> CurrentLogin:
        """Shared by all parts of this system in this process: connectors log in with its
        credentials, which may be newer than `url` and `login`, and report the result to it.
        """
        assert self.logins is not None  # noqa: S101 - made above
        return self.logins


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that `check` reports.

    what: the problem, as a sentence.
    fix: the exact statement that fixes it; empty: there is none.
    fatal: whether capture or commands would fail.
    create: `setup` runs `fix` on request.
    """

    what: str
    fix: str = ""
    fatal: bool = True
    create: bool = False


@dataclass(frozen=True, slots=True)
class SetupStatement:
    """A statement that a system needs.

    sql: to run.
    login: who may run it, for people.
    note: why.
    """

    sql: str
    login: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What a system needs.

    statements: in the order in which they are run.
    unasked: why the system couldn't be queried, in which case `statements` are all that are needed;
    empty: `statements` are those that are missing.
    """

    statements: tuple[SetupStatement, ...]
    unasked: str = ""
