"""A Reader whose questions are answered by the system's owner, a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Final

from bridge.connector import Ask, ReaderFeatures, Rows, Shape, until_deadline
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.remote.address import GatewayAddress, client_context
from bridge.gateway.remote.client_connection import ClientConnection, LoadVisibility
from bridge.gateway.remote.messages import Registration, SentAsk, Welcome
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.single_flight import SingleFlight
from bridge.tls import tls_refusal

CONNECT_TIMEOUT_S: Final = 5.0
"""For the connection and the owner's welcome."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""After a connection that failed, none is tried for so long: each read meanwhile fails at once."""


class OwnerUnavailable(RetryLater):
    """No process answers as the owner of a system's reads."""


class RemoteReader:
    """Implements `Reader` over one connection, which is made again when it is lost.

    Call `open` first: `max_keys` and `features` are the owner's, as of then. All methods may be called
    by any number of tasks of one event loop. While the owner is unavailable `fetch` raises
    OwnerUnavailable, at once where that is known.

    work: for whom this process reads.
    load_visibility: the connector's, from the text that the owner's connector made.
    """

    def __init__(
        self,
        registration: Registration,
        address: GatewayAddress,
        *,
        work: WorkClass = WorkClass.AGENTS,
        load_visibility: LoadVisibility | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._registration = registration
        self._address = address
        self._work = work
        self._load_visibility = load_visibility
        self._clock = clock
        self._where = (
            f"the gateway of system {registration.system!r} at {address} "
            "(bridgectl run --only gateway)"
        )
        self._connection: ClientConnection | None = None
        self._opening: SingleFlight[str, ClientConnection] = SingleFlight()
        self._welcome: Welcome | None = None
        self._shapes: dict[str, Shape] = {}
        self._pause_s = FIRST_PAUSE_S
        self._next_try = clock()
        self._failure = ""
        self._is_closed = False

    async def open(self) -> Welcome:
        """Connect and register. Raises OwnerUnavailable; ConfigurationError if the owner is another
        system's, or doesn't know the token.
        """
        await self._connected()
        return self.owner

    @property
    def owner(self) -> Welcome:
        """What the owner said last. Known once `open` has returned."""
        assert self._welcome is not None  # noqa: S101 - `open` was awaited
        return self._welcome

    @property
    def max_keys(self) -> int:
        """The owner's."""
        return self.owner.max_keys

    @property
    def features(self) -> ReaderFeatures:
        """The owner's; a deadline is kept here in any case, though the owner may be frozen."""
        return replace(self.owner.features, deadline=True)

    async def fetch(self, ask: Ask) -> Rows:
        """As `Reader.fetch`."""
        async with until_deadline(ask, f"{self._where}:"):
            connection = self._connection
            if connection is None or not connection.is_usable:
                connection = await self._connected()
            return await connection.ask(SentAsk(self._work, ask))

    async def close(self) -> None:
        """Disconnect."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> ClientConnection:
        connection = self._connection
        if connection is not None and connection.is_usable:
            return connection
        if self._is_closed:
            raise RetryLater(f"reads of system {self._registration.system!r} are closed")
        if self._clock() < self._next_try:
            raise OwnerUnavailable(f"{self._where} is unavailable: {self._failure}")
        return await self._opening.result("", self._connect)

    async def _connect(self) -> ClientConnection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._dial()
                try:
                    self._welcome = await connection.welcome
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError:
            raise self._failed(f"no answer within {CONNECT_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            if refusal := tls_refusal(error):
                self._failed(refusal)
                raise ConfigurationError(f"{self._where}: {refusal}") from None
            raise self._failed(error.strerror or str(error)) from None
        except RetryLater as error:
            raise self._failed(str(error)) from None
        except ConfigurationError as error:
            self._failed(str(error))
            raise
        self._pause_s = FIRST_PAUSE_S
        self._connection = connection
        return connection

    async def _dial(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        address = self._address
        if address.path:
            _, connection = await loop.create_unix_connection(self._protocol, address.path)
        else:
            _, connection = await loop.create_connection(
                self._protocol, address.host, address.port, ssl=client_context(address.tls)
            )
        return connection

    def _protocol(self) -> ClientConnection:
        return ClientConnection(
            self._registration, self._where, self._load_visibility, self._known_shape
        )

    def _failed(self, why: str) -> OwnerUnavailable:
        self._failure = why
        self._next_try = self._clock() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return OwnerUnavailable(f"{self._where} is unavailable: {why}")

    def _known_shape(self, shape: Shape) -> Shape:
        """The one of before, if its columns are the same: plans are made once for each object."""
        last = self._shapes.get(shape.table)
        if last is not None and (last.columns, last.wire, last.before) == (
            shape.columns,
            shape.wire,
            shape.before,
        ):
            return last
        self._shapes[shape.table] = shape
        return shape
