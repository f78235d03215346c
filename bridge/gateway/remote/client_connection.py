"""One connection of a client to a system's owner, over which all of its questions go side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, cast

from bridge.connector import Rows, Shape, Visibility
from bridge.gateway.remote import messages
from bridge.gateway.remote.error_codec import decode_error
from bridge.gateway.remote.frame_protocol import FrameProtocol
from bridge.gateway.remote.frames import (
    MAX_PAYLOAD_BYTES,
    FrameType,
    ReadFrame,
    encode_frame,
)
from bridge.gateway.remote.messages import AnswerPart, Registration, SentAsk, Welcome
from bridge.gateway.remote.value_codec import BadFrame
from bridge.model.errors import BridgeError, RetryLater

PING_S: Final = 5.0
"""After which silence the owner is asked whether it is there."""
LOST_S: Final = 15.0
"""After which silence it counts as gone. A connection whose other end is frozen stays open."""
RECEIVE_BYTES: Final = 65_536
MAX_REQUEST: Final = (1 << 32) - 1

LoadVisibility = Callable[[str], Visibility]


class PendingAnswer:
    """A question under way: the rows that came so far."""

    __slots__ = ("future", "rows")

    def __init__(self) -> None:
        self.future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self.rows: list[Any] = []


class ClientConnection(FrameProtocol):
    """Sends questions and gives each answer to who asked.

    where: the owner, for errors. load_visibility: of the connector. shape_of: the Shape to use for one
    that was received, so that equal ones of several connections are the same object.
    """

    def __init__(
        self,
        registration: Registration,
        where: str,
        load_visibility: LoadVisibility | None,
        shape_of: Callable[[Shape], Shape],
    ) -> None:
        super().__init__(RECEIVE_BYTES, MAX_PAYLOAD_BYTES)
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        # Whoever opens it may be gone before it is there.
        self.welcome.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.is_leaving = False
        self.lost: str = ""
        self._registration = registration
        self._where = where
        self._load_visibility = load_visibility
        self._shape_of = shape_of
        self._shapes: dict[int, Shape] = {}
        self._pending: dict[int, PendingAnswer] = {}
        self._request = 0
        self._transport: asyncio.Transport | None = None
        self._heard = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a further question may be sent."""
        return self._transport is not None and not self.is_leaving and not self.lost

    async def ask(self, sent: SentAsk) -> Rows:
        """The answer. Raises what the Reader raised, or RetryLater if the owner is gone. A cancelled
        call cancels the question.
        """
        self._request = self._request % MAX_REQUEST + 1
        request = self._request
        payload = messages.encode_ask(sent, monotonic())
        pending = self._pending[request] = PendingAnswer()
        try:
            self._write(FrameType.ASK, request, payload)
            return await pending.future
        except asyncio.CancelledError:
            self._write(FrameType.CANCEL, request)
            raise
        finally:
            del self._pending[request]

    def close(self, why: str = "it was closed") -> None:
        """End it; what is under way is answered with RetryLater."""
        self.lost = self.lost or why
        if self._transport is not None:
            self._transport.abort()

    # -- of the transport ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The owner is there: register."""
        self._transport = cast("asyncio.Transport", transport)
        self._write(FrameType.HELLO, 0, messages.encode_registration(self._registration))
        self._watch()

    def received(self, data: bytes) -> None:
        """Bytes of the owner."""
        self._heard = monotonic()
        try:
            for frame in self.frames.feed(data):
                self._receive(frame)
        except BadFrame as error:
            self.close(f"it sends what this version can't read: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything under way fails."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self.lost = self.lost or (f"the connection was lost ({exc})" if exc else "it has ended")
        self._fail_all(RetryLater(f"{self._where} is gone: {self.lost}"))

    # -- frames --------------------------------------------------------------------------------

    def _receive(self, frame: ReadFrame) -> None:
        frame_type = frame.frame_type
        if frame_type is FrameType.ROWS:
            pending = self._pending.get(frame.request)
            if pending is not None:
                self._add(pending, messages.decode_part(frame.payload))
        elif frame_type is FrameType.SHAPE:
            number, shape = messages.decode_shape(frame.payload)
            self._shapes[number] = self._shape_of(shape)
        elif frame_type is FrameType.ERROR:
            self._fail(frame.request, decode_error(frame.payload))
        elif frame_type is FrameType.WELCOME:
            welcome = messages.decode_welcome(frame.payload)
            if not self.welcome.done():
                self.welcome.set_result(welcome)
        elif frame_type is FrameType.LEAVING:
            self.is_leaving = True
        elif frame_type is FrameType.PING:
            self._write(FrameType.PONG)
        elif frame_type is not FrameType.PONG:
            raise BadFrame(f"an owner doesn't send a frame {frame_type.name}")

    def _add(self, pending: PendingAnswer, part: AnswerPart) -> None:
        pending.rows += part.rows
        if not part.is_last or pending.future.done():
            return
        shape = self._shapes.get(part.shape)
        if shape is None:
            raise BadFrame(f"rows of shape {part.shape}, which was never sent")
        visibility = None
        if part.visibility is not None and self._load_visibility is not None:
            try:
                visibility = self._load_visibility(part.visibility)
            except ValueError as error:
                raise BadFrame(f"what its rows have seen: {error}") from None
        pending.future.set_result(Rows(shape, pending.rows, visibility, part.server))

    def _fail(self, request: int, error: BridgeError) -> None:
        if not request:
            self.lost = str(error)
            self._fail_all(error)
            self.close()
            return
        pending = self._pending.get(request)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)

    def _fail_all(self, error: BridgeError) -> None:
        if not self.welcome.done():
            self.welcome.set_exception(error)
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(error)

    def _write(self, frame_type: FrameType, request: int = 0, payload: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(frame_type, request, payload))

    def _watch(self) -> None:
        """Ask an owner that is silent whether it is there, and give it up if it stays so."""
        silent = monotonic() - self._heard
        if silent >= LOST_S:
            self.close(f"it has not answered for {silent:.0f} s")
            return
        if silent >= PING_S:
            self._write(FrameType.PING)
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._watch)
