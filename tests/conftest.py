"""Fixtures of the real servers. None starts unless a test asks for it.

`postgres`, `kafka` and `registry` are shared by the whole session; `database` is an empty
database of the test's own. A test that kills or sets up a server specially makes one of its own
by `private_postgres(settings)`, `private_kafka(settings)` or `private_registry()`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.services.errors import Unavailable

if TYPE_CHECKING:
    from tests.services.kafka import Kafka
    from tests.services.postgres import Postgres
    from tests.services.registry import Registry


class PrivatePostgres(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> "Postgres": ...


class PrivateKafka(Protocol):
    """Starts a broker that ends with the test."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> "Kafka": ...


@contextmanager
def available() -> Iterator[None]:
    """A server that is not to be had skips the test that asks for it; in CI it fails it."""
    try:
        yield
        return
    except Unavailable as error:
        reason = str(error)
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """The same for what a test asks of a server later, such as ending one that is not ours."""
    with available():
        return (yield)


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    from tests.services import provide

    with available():
        server = provide.postgres()
    with server:
        yield server


@pytest.fixture
def database(postgres: "Postgres") -> Iterator[str]:
    """The superuser's URL of an empty database; it is dropped with its slots afterwards."""
    url = postgres.new_database()
    yield url
    postgres.start()
    postgres.drop_database(url)


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda settings=None: stack.enter_context(provide.private_postgres(settings))


@pytest.fixture(scope="session")
def kafka() -> "Iterator[Kafka]":
    from tests.services import provide

    with available():
        broker = provide.kafka()
    with broker:
        yield broker


@pytest.fixture
def private_kafka() -> Iterator[PrivateKafka]:
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda settings=None: stack.enter_context(provide.private_kafka(settings))


@pytest.fixture(scope="session")
def registry() -> "Iterator[Registry]":
    from tests.services import provide

    with available():
        server = provide.registry()
    with server:
        yield server


@pytest.fixture
def private_registry() -> "Iterator[Callable[[], Registry]]":
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda: stack.enter_context(provide.private_registry())
