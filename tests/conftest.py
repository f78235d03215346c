"""Fixtures of the real servers. None starts unless a test asks for it.

`postgres`, `kafka` and `registry` are shared by the whole session; `database` is an empty
database of the test's own. A test that kills or sets up a server specially makes one of its own
by `private_postgres(settings)`, `private_kafka(settings)` or `private_registry()`.

`cap` is SAP CAP's ERP, empty at the start of each test that asks for it (OData V4 at `cap.url`);
`odata_v2` is the same server for tests of V2 (`odata_v2.v2`); `odatapy` is a V4 service with delta
links, empty, too; `private_cap(auth, csrf=..., page=..., token_seconds=...)` one of CAP that is set up
specially: the one of the test before where that wanted the same, with nothing left in it.

What a test starts, its markers say (`tests/marks.py`); what starts other processes than servers asks
for `processes`.
"""

import gc
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

from bridge.model import redaction
from bridge.model.redaction import Redactor
from tests import secret_scan
from tests.example_counts import IN_CI, examples
from tests.leftovers import Leftovers
from tests.marks import mark, may_start_processes
from tests.process_guard import ProcessGuard
from tests.secret_scan import leaks_in_topics
from tests.services.errors import ServerUnavailable

if TYPE_CHECKING:
    from tests.services.cap import Auth, Cap
    from tests.services.kafka import Kafka
    from tests.services.odatapy import Odatapy
    from tests.services.postgres import Postgres
    from tests.services.registry import RegistryServer
    from tests.services.tryton import Tryton


# How long an example takes says how busy the machine is. In CI hypothesis has such a profile itself.
if settings.get_current_profile_name() != "ci":
    settings.register_profile(
        "busy",
        max_examples=examples(),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    secret_scan.pytest_configure(config)
    # A shell that starts us in the background has SIGINT ignored, and so would each program of ours.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(ProcessGuard(), "bridge-process-guard")
    config.pluginmanager.register(Leftovers(), "bridge-leftovers")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays, so that to look for garbage in it, again and again, finds none. It
    was a quarter of the time in which the tests are collected.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    secret_scan.pytest_unconfigure(config)


class PrivatePostgres(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> "Postgres": ...


class StandbyOf(Protocol):
    """Starts a streaming standby of a server that ends with the test; its slot and `application_name`
    at the primary are `name`.
    """

    def __call__(self, primary: "Postgres", name: str = "standby") -> "Postgres": ...


class PrivateKafka(Protocol):
    """Starts a broker that ends with the test."""

    def __call__(self, settings: Mapping[str, str] | None = None) -> "Kafka": ...


class PrivateCap(Protocol):
    """Starts an ERP that ends with the test."""

    def __call__(
        self,
        auth: "Auth" = "basic",
        *,
        csrf: bool = False,
        page: int | None = None,
        token_seconds: float = 3600,
    ) -> "Cap": ...


@contextmanager
def available() -> Iterator[None]:
    """A server that is not to be had skips the test that asks for it; in CI it fails it."""
    try:
        yield
        return
    except ServerUnavailable as error:
        reason = str(error)
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """The same for what a test asks of a server later, such as ending one that is not ours."""
    with available():
        return (yield)


@pytest.fixture(autouse=True)
def own_redactor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test keeps secret, another one may want to read."""
    monkeypatch.setattr(redaction, "REDACTOR", Redactor())


@pytest.fixture(scope="session")
def processes() -> None:
    """Permission to start processes; what asks for it is marked `process` and is no unit test."""


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


@pytest.fixture
def local_postgres() -> Iterator[PrivatePostgres]:
    """As `private_postgres`, of which standbys can be made."""
    from tests.services import provide

    with available(), ExitStack() as stack:
        yield lambda settings=None: stack.enter_context(provide.local_postgres(settings))


@pytest.fixture
def standby_of(local_postgres: PrivatePostgres) -> Iterator[StandbyOf]:
    from tests.services import provide

    del local_postgres  # ends after its standbys
    with ExitStack() as stack:
        yield lambda primary, name="standby": stack.enter_context(provide.standby(primary, name))


@pytest.fixture(scope="session")
def kafka() -> "Iterator[Kafka]":
    from tests.services import provide

    with available():
        broker = provide.kafka()
    with broker:
        yield broker
        # Whatever all tests of the session left in topics that are still there.
        leaks = list(leaks_in_topics(broker.data)) if broker.data else []
        assert not leaks, "a secret of the tests is in the log:\n" + "\n".join(leaks)


@pytest.fixture
def private_kafka() -> Iterator[PrivateKafka]:
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda settings=None: stack.enter_context(provide.private_kafka(settings, brief=True))


@pytest.fixture(scope="module")
def module_kafka() -> Iterator[PrivateKafka]:
    """Starts brokers that end with the module."""
    from tests.services import provide

    def start(settings: Mapping[str, str] | None = None) -> "Kafka":
        with available():
            broker = provide.private_kafka(settings, brief=True)
        return stack.enter_context(broker)

    with ExitStack() as stack:
        yield start


@pytest.fixture(scope="session")
def registry() -> "Iterator[RegistryServer]":
    from tests.services import provide

    with available():
        server = provide.registry()
    with server:
        yield server


@pytest.fixture
def private_registry() -> "Iterator[Callable[[], RegistryServer]]":
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda: stack.enter_context(provide.private_registry(brief=True))


@pytest.fixture(scope="session")
def cap_server() -> "Iterator[Cap]":
    from tests.services import provide

    with available():
        server = provide.cap()
    with server:
        yield server


@pytest.fixture
def cap(cap_server: "Cap") -> "Cap":
    cap_server.start()
    cap_server.empty()
    cap_server.reset()
    return cap_server


@pytest.fixture
def odata_v2(cap: "Cap") -> "Cap":
    return cap


@pytest.fixture(scope="session")
def spare_caps() -> "Iterator[list[tuple[object, Cap]]]":
    """At most one server of `private_cap`, with how it was set up: starting one costs seconds."""
    spare: list[tuple[object, Cap]] = []
    yield spare
    for _, server in spare:
        server.close()


@pytest.fixture
def private_cap(spare_caps: "list[tuple[object, Cap]]") -> Iterator[PrivateCap]:
    from tests.services import provide

    used: list[tuple[object, Cap]] = []

    def start(
        auth: "Auth" = "basic",
        *,
        csrf: bool = False,
        page: int | None = None,
        token_seconds: float = 3600,
    ) -> "Cap":
        wanted = (auth, csrf, page, token_seconds)
        server = None
        if spare_caps:
            as_before, server = spare_caps.pop()
            if as_before != wanted:
                server.close()
                server = None
        if server is None:
            server = provide.private_cap(auth, csrf=csrf, page=page, token_seconds=token_seconds)
        used.append((wanted, server))
        server.start()
        server.empty()
        server.forget()
        server.reset()
        return server

    yield start
    for _, server in used[:-1]:
        server.close()
    spare_caps += used[-1:]


@pytest.fixture(scope="session")
def odatapy_server() -> "Iterator[Odatapy]":
    from tests.services import provide

    with available():
        server = provide.odatapy()
    with server:
        yield server


@pytest.fixture
def odatapy(odatapy_server: "Odatapy") -> "Odatapy":
    odatapy_server.start()
    odatapy_server.empty()
    odatapy_server.reset()
    return odatapy_server


@pytest.fixture(scope="session")
def tryton_server() -> "Iterator[Tryton]":
    from tests.services import provide

    with ExitStack() as stack:
        with available():
            server = stack.enter_context(provide.tryton())
        yield server


@pytest.fixture
def tryton(tryton_server: "Tryton") -> "Tryton":
    """Tryton's ERP, shared by all tests: rows of other tests may be there. The count is 0."""
    tryton_server.start()
    tryton_server.reset()
    return tryton_server


@pytest.fixture(scope="session")
def tryton_on_postgres_server() -> "Iterator[Tryton]":
    from tests.services import provide

    with ExitStack() as stack:
        with available():
            server = stack.enter_context(provide.tryton(on="postgres"))
        yield server


@pytest.fixture
def tryton_on_postgres(tryton_on_postgres_server: "Tryton") -> "Tryton":
    """The same with its data in PostgreSQL, where transactions overlap."""
    tryton_on_postgres_server.start()
    tryton_on_postgres_server.reset()
    return tryton_on_postgres_server


@pytest.fixture
def private_tryton() -> "Iterator[Callable[..., Tryton]]":
    """An ERP that ends with the test: one to stop, or whose sessions last `session_seconds`; `on`
    is as `provide.tryton` has it.
    """
    from tests.services import provide

    with ExitStack() as stack:
        yield lambda session_seconds=3600, on=None: stack.enter_context(
            provide.tryton(session_seconds, on=on)
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several workers: a file's tests share one, and files with slow tests begin first, then
    those that start something, so that no worker is left alone with them at the end.

    Each worker starts servers of its own, so nothing that one does is seen by another.
    """
    for item in items:
        mark(item)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    started = {item.path for item in items if may_start_processes(item)}
    items.sort(key=lambda item: (item.path not in slow, item.path not in started))
