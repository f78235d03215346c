"""Finds each service: an address in the environment, a container, or a local program.

A service of one's own (`private_*`) is never taken from the environment, because it is going
to be killed or set up specially.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from tests.services import cap as caps
from tests.services import kafka as kafkas
from tests.services import odatapy as odatapys
from tests.services import postgres as postgreses
from tests.services import registry as registries
from tests.services import tryton as trytons
from tests.services.cap import Auth, Cap
from tests.services.container import engine_answers
from tests.services.kafka import Kafka
from tests.services.odatapy import Odatapy
from tests.services.postgres import Postgres
from tests.services.registry import RegistryServer
from tests.services.tryton import Tryton


def postgres() -> Postgres:
    """A server to make databases in; to be entered. Raises Unavailable."""
    address = os.environ.get("BRIDGE_TEST_POSTGRES")
    return postgreses.elsewhere(address) if address else private_postgres()


def private_postgres(settings: Mapping[str, str] | None = None) -> Postgres:
    """A server of one's own, with settings such as `synchronous_standby_names`."""
    make = postgreses.in_container if engine_answers() else postgreses.local
    return make(settings)


def local_postgres(settings: Mapping[str, str] | None = None) -> Postgres:
    """The same as a local program, of which standbys can be made; to be entered."""
    return postgreses.local(settings)


def standby(
    primary: Postgres, name: str = "standby", settings: Mapping[str, str] | None = None
) -> Postgres:
    """A streaming standby of a `local_postgres`; to be entered. Its slot and `application_name` at the
    primary are `name`.
    """
    return postgreses.standby_of(primary, name, settings)


def kafka() -> Kafka:
    """A broker to make topics in; to be entered. Raises Unavailable."""
    address = os.environ.get("BRIDGE_TEST_KAFKA")
    return kafkas.elsewhere(address) if address else private_kafka(brief=True)


def private_kafka(settings: Mapping[str, str] | None = None, *, brief: bool = False) -> Kafka:
    """A broker of one's own, with settings of server.properties.

    `brief`: it lives for minutes, so starting fast counts more than running fast.
    """
    make = kafkas.in_container if engine_answers() else kafkas.local
    return make(settings, brief=brief)


def registry() -> RegistryServer:
    """A schema registry; to be entered. Raises Unavailable."""
    address = os.environ.get("BRIDGE_TEST_REGISTRY")
    return registries.elsewhere(address) if address else private_registry(brief=True)


def private_registry(*, brief: bool = False) -> RegistryServer:
    """A schema registry of one's own; `brief` as above."""
    make = registries.in_container if engine_answers() else registries.local
    return make(brief=brief)


def cap() -> Cap:
    """SAP CAP's ERP, by OData V4 and V2; to be entered. Raises Unavailable."""
    address = os.environ.get("BRIDGE_TEST_CAP")
    return caps.elsewhere(address) if address else private_cap()


def private_cap(
    auth: Auth = "basic",
    *,
    csrf: bool = False,
    page: int | None = None,
    token_seconds: float = 3600,
) -> Cap:
    """An ERP of one's own, with a login, a protection and pages of one's own."""
    return caps.local(auth, csrf=csrf, page=page, token_seconds=token_seconds)


def odatapy(*, keep: bool = False) -> Odatapy:
    """A V4 service with delta links, always of one's own; to be entered. `keep`: SIGKILL loses
    nothing that was answered. Raises Unavailable.
    """
    return odatapys.local(keep=keep)


@contextmanager
def tryton(
    session_seconds: int = 30 * 24 * 3600, *, on: Literal["sqlite", "postgres"] | None = None
) -> Iterator[Tryton]:
    """Tryton's ERP with a company that can sell, always of one's own, over a file of SQLite or a
    server of PostgreSQL of its own; BRIDGE_TEST_TRYTON_ON says which where `on` doesn't. Raises
    Unavailable.
    """
    if (on or os.environ.get("BRIDGE_TEST_TRYTON_ON")) == "postgres":
        with postgreses.local() as server, trytons.over(server, session_seconds) as erp:
            yield erp
    else:
        with trytons.local(session_seconds) as erp:
            yield erp
