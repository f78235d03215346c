"""One client of a system's owner."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol, cast

from bridge.connector import Rows, Shape
from bridge.gateway.remote import messages
from bridge.gateway.remote.address import peer_user
from bridge.gateway.remote.error_codec import encode_error
from bridge.gateway.remote.frame_protocol import FrameProtocol
from bridge.gateway.remote.frames import (
    MAX_PAYLOAD_BYTES,
    FrameType,
    ReadFrame,
    encode_frame,
)
from bridge.gateway.remote.messages import AnswerPart, Registration
from bridge.gateway.remote.served_system import ServedSystem
from bridge.gateway.remote.value_codec import BadFrame, FrameTooLarge
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RetryLater

RECEIVE_BYTES: Final = 16_384
MAX_SHAPES: Final = 1000
"""Shapes that a client may have to remember."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What all clients together, and each of them, may take.

    connections: clients. requests: open questions of all. requests_per_connection: of one.
    hello_s: how long a client may take to register. drain_s: how long one may take no answer while
    some wait. silent_s: after which one that says nothing counts as gone (clients ping more often).
    part_rows, part_bytes: of one frame. hello_bytes: of a registration. buffer_bytes: of answers on their way
    to one client.
    """

    connections: int = 500
    requests: int = 2000
    requests_per_connection: int = 64
    hello_s: float = 5.0
    drain_s: float = 30.0
    silent_s: float = 60.0
    part_rows: int = 2000
    part_bytes: int = MAX_PAYLOAD_BYTES
    hello_bytes: int = 10_000
    buffer_bytes: int = 1_000_000


class ConnectionHost(Protocol):
    """What a connection needs of its server."""

    served: ServedSystem
    limits: ServerLimits
    token: str
    users: frozenset[int]
    is_leaving: bool

    def opened(self, connection: ServerConnection) -> None:
        """Raises RetryLater if there are too many."""

    def closed(self, connection: ServerConnection) -> None:
        """It is gone, with all its requests."""

    def has_room(self) -> bool:
        """Whether one more question may be open."""

    def report(self, connection: ServerConnection, problem: str) -> None:
        """A client was sent away, and why."""


class ServerConnection(FrameProtocol):
    """Registers a client, then answers its questions side by side.

    Whatever the client sends ends at most its own connection.
    """

    def __init__(self, host: ConnectionHost) -> None:
        super().__init__(RECEIVE_BYTES, host.limits.hello_bytes)
        self.peer = "a client"
        self.requests: dict[int, asyncio.Task[None]] = {}
        self.is_registered = False
        self._host = host
        self._shapes: dict[Shape, int] = {}
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._heard = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    # -- of the transport ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connects."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self._host.limits.buffer_bytes)
        user = peer_user(transport.get_extra_info("socket"))
        try:
            if user is not None and user not in self._host.users:
                raise ConfigurationError(
                    f"the gateway's socket is for processes of user {os.geteuid()}, not {user}",
                )
            self._host.opened(self)
        except BridgeError as error:
            self._dismiss(error)
            return
        self._after(self._host.limits.hello_s, self._expect_registration)

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._heard = monotonic()
        try:
            for frame in self.frames.feed(data):
                if self._transport is None or self._transport.is_closing():
                    return
                self._receive(frame)
        except BadFrame as error:
            self._dismiss(
                Rejected("bad_frame", f"the gateway can't read what it was sent: {error}")
            )
        except BridgeError as error:
            self._dismiss(error)

    def pause_writing(self) -> None:
        """The client takes answers more slowly than they come."""
        self._may_write.clear()
        self._after(self._host.limits.drain_s, self._give_up_writing)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()
        self._watch_silence()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Nobody waits for the answers any more."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self.requests.values():
            task.cancel()
        self._host.closed(self)

    # -- of the server -------------------------------------------------------------------------

    def leave(self) -> None:
        """Say that no further question is taken."""
        if self.is_registered:
            self._send(FrameType.LEAVING)

    def close(self) -> None:
        """End the connection; what was written still goes out."""
        if self._transport is not None:
            self._transport.close()

    # -- frames --------------------------------------------------------------------------------

    def _receive(self, frame: ReadFrame) -> None:
        frame_type = frame.frame_type
        if not self.is_registered:
            if frame_type is not FrameType.HELLO:
                raise BadFrame("it begins without a registration")
            self._register(messages.decode_registration(frame.payload))
        elif frame_type is FrameType.ASK:
            self._ask(frame)
        elif frame_type is FrameType.CANCEL:
            if (task := self.requests.get(frame.request)) is not None:
                task.cancel()
        elif frame_type is FrameType.PING:
            self._send(FrameType.PONG)
        elif frame_type is not FrameType.PONG:
            raise BadFrame(f"a client doesn't send a frame {frame_type.name}")

    def _register(self, registration: Registration) -> None:
        served = self._host.served
        expected = self._host.token
        if not hmac.compare_digest(registration.token.encode(), expected.encode()):
            raise ConfigurationError(
                f"the gateway of system {served.name!r} doesn't know this token: `token:` under "
                "`gateway:` has to be the same for all processes",
            )
        self.peer = registration.instance[:200]
        if (registration.bridge, registration.system) != (served.bridge, served.name):
            raise ConfigurationError(
                f"this is the gateway of system {served.name!r} of bridge {served.bridge!r}, not of "
                f"{registration.system!r} of {registration.bridge!r}",
            )
        self.is_registered = True
        self.frames.max_payload_bytes = MAX_PAYLOAD_BYTES
        welcome = served.welcome(self._host.limits.requests_per_connection)
        self._send(FrameType.WELCOME, 0, messages.encode_welcome(welcome))
        if self._host.is_leaving:
            self.leave()
        self._watch_silence()

    def _ask(self, frame: ReadFrame) -> None:
        request = frame.request
        if request in self.requests:
            raise BadFrame(f"question {request} is open already")
        sent = messages.decode_ask(frame.payload, monotonic())
        if reason := self._refusal():
            name = self._host.served.name
            error = RetryLater(f"the gateway of system {name!r} {reason}")
            self._send(FrameType.ERROR, request, encode_error(error))
            return
        task = asyncio.get_running_loop().create_task(self._answer(request, sent))
        self.requests[request] = task
        task.add_done_callback(lambda _: self.requests.pop(request, None))

    def _refusal(self) -> str:
        """Why no further question is taken; empty if one is."""
        most = self._host.limits.requests_per_connection
        if self._host.is_leaving:
            return "is shutting down; ask again when it is back"
        if len(self.requests) >= most:
            return f"has {most} questions of this process open, and takes no more"
        if not self._host.has_room():
            return f"has {self._host.limits.requests} questions open, and takes no more"
        return ""

    async def _answer(self, request: int, sent: messages.SentAsk) -> None:
        try:
            # Whoever takes no answers keeps no connection of the system busy.
            await self._may_write.wait()
            rows = await self._host.served.read(sent)
            for payload in self._parts(rows):
                await self._may_write.wait()
                self._send(FrameType.ROWS, request, payload)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client waits for an answer
            self._send(FrameType.ERROR, request, encode_error(error))

    def _parts(self, answer: Rows) -> Iterator[bytes]:
        """The answer in payloads; the last one has what is said of all rows."""
        dump = self._host.served.dump_visibility
        visibility = dump(answer.visibility) if dump and answer.visibility is not None else None
        size, rows = self._host.limits.part_rows, answer.rows
        begin = 0
        while True:
            part = rows[begin : begin + size]
            is_last = begin + len(part) >= len(rows)
            try:
                payload = self._payload(answer, AnswerPart(0, part, is_last, visibility))
            except FrameTooLarge:
                if len(part) <= 1:
                    raise
                size = len(part) // 2
                continue
            yield payload
            if is_last:
                return
            begin += len(part)

    def _payload(self, answer: Rows, part: AnswerPart) -> bytes:
        number = self._number(answer.shape)
        payload = messages.encode_part(
            part._replace(shape=number, server=answer.server), answer.shape.wire
        )
        if len(payload) > self._host.limits.part_bytes:
            raise FrameTooLarge(
                f"{len(payload):,} bytes of rows of {answer.shape.table!r} are more than one frame "
                "between the processes of a gateway may hold"
            )
        return payload

    def _number(self, shape: Shape) -> int:
        """By what number the client knows a shape; one that it doesn't know is sent."""
        number = self._shapes.get(shape)
        if number is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            number = self._shapes[shape] = len(self._shapes)
            self._send(FrameType.SHAPE, 0, messages.encode_shape(number, shape))
        return number

    def _send(self, frame_type: FrameType, request: int = 0, payload: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(frame_type, request, payload))

    def _dismiss(self, error: BridgeError) -> None:
        """Say why, and end the connection."""
        self._host.report(self, str(error))
        self._send(FrameType.ERROR, 0, encode_error(error))
        self.close()

    # -- time ----------------------------------------------------------------------------------

    def _after(self, seconds: float, act: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, act)  # type: ignore[arg-type]

    def _expect_registration(self) -> None:
        if not self.is_registered:
            seconds = self._host.limits.hello_s
            self._dismiss(Rejected("no_hello", f"it did not register within {seconds:.0f} s"))

    def _give_up_writing(self) -> None:
        """A client that takes nothing for so long holds answers in memory."""
        self._host.report(self, f"it took no answer for {self._host.limits.drain_s:.0f} s")
        if self._transport is not None:
            self._transport.abort()

    def _watch_silence(self) -> None:
        silent = monotonic() - self._heard
        left = self._host.limits.silent_s - silent
        if left > 0:
            self._after(left, self._watch_silence)
            return
        self._host.report(self, f"it has sent nothing for {silent:.0f} s")
        if self._transport is not None:
            self._transport.abort()
