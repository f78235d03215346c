"""`/healthz` and `/readyz`: whether the process is alive, and whether it does its work.

Neither contains an error's text, which may quote a system: details are in the log and in
`bridgectl status`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

from bridge.observe import GroupJoined, Notice, PartState, ReadsOwned, SourceState
from bridge.wiring.metrics_server import HttpRequest, HttpResponse

LOOP_TIMEOUT_S: Final = 5.0
"""An event loop that hasn't turned for so long is stuck."""
LOG_TIMEOUT_S: Final = 3.0
LOG_CHECK_EVERY_S: Final = 2.0
"""Seconds between queries of the log, however many readiness requests arrive."""
NOT_STARTED: Final = {
    "capture": "does not stream yet",
    "gateway": "does not own the system's reads yet",
    "agent": "has not joined its group yet",
    "commands": "has not joined its group yet",
}
ENDED: Final = {"failed": "has failed for good", "stopped": "has ended"}

CheckLog = Callable[[], Awaitable[None]]
"""Returns once the log answers, in the bridge's loop; raises the log's error."""


class EventLoopLiveness:
    """Whether the bridge's event loop turns; made in it, asked from any other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float = LOOP_TIMEOUT_S) -> None:
        self._loop = loop
        self._timeout_s = timeout_s

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """200 once the loop has turned, 503 where it doesn't in time."""
        del request
        if await self.turns():
            return HttpResponse(HTTPStatus.OK, b"ok\n")
        text = f"the event loop has not turned for {self._timeout_s:g} s\n"
        return HttpResponse(HTTPStatus.SERVICE_UNAVAILABLE, text.encode())

    async def turns(self) -> bool:
        """Whether it does within the time."""
        try:
            turned = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
            await asyncio.wait_for(asyncio.wrap_future(turned), self._timeout_s)
        except (TimeoutError, RuntimeError):  # stuck; closed
            return False
        return True


class Readiness:
    """An observer of what runs. Ready: the log answers, every part has started once, and none has
    given up. A part that waits for an unavailable system stays ready, and is listed as waiting:
    starting the process again would not help. A gateway that stands by is not ready: nobody should
    ask it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        parts: Iterable[tuple[str, str]],
        members: Mapping[str, tuple[str, str]],
        *,
        log_timeout_s: float = LOG_TIMEOUT_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`members`: the part that is a member of each consumer group."""
        self._loop = loop
        self._states: dict[tuple[str, str], str] = dict.fromkeys(parts, "")
        self._started: set[tuple[str, str]] = set()
        self._members = members
        self._check_log: CheckLog | None = None
        self._log_timeout_s = log_timeout_s
        self._clock = clock
        self._log_checked_at: float | None = None
        self._log_reason = ""
        self._checking = asyncio.Lock()

    def __call__(self, notice: Notice) -> None:
        """Note what a part does."""
        match notice:
            case PartState("bridge"):
                pass
            case PartState():
                if notice.kind == "gateway" and notice.state == "retrying":
                    # Another process may own the reads by now.
                    self._started.discard((notice.kind, notice.name))
                self._states[notice.kind, notice.name] = notice.state
            case SourceState():
                self._note_source(notice)
            case ReadsOwned():
                self._started.add(("gateway", notice.system))
            case GroupJoined() if notice.group in self._members:
                self._started.add(self._members[notice.group])
            case _:
                pass

    def _note_source(self, notice: SourceState) -> None:
        part = ("capture", notice.system)
        if notice.state == "streaming":
            self._started.add(part)
        # One more try is no news of a part that waits.
        if notice.state != "starting" and self._states.get(part) in {"running", "retrying"}:
            self._states[part] = "retrying" if notice.state == "retrying" else "running"

    def log_is_open(self, check_log: CheckLog) -> None:
        """From now on the log is asked whether it is there."""
        self._check_log = check_log

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """200 when ready, otherwise 503; both as JSON with what is missing and what waits."""
        del request
        log_reason = await self._log_is_away()
        reasons = [*filter(None, [log_reason]), *self.reasons()]
        body: dict[str, Any] = {"ready": not reasons, "reasons": reasons, "waiting": self.waiting()}
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return HttpResponse(status, f"{json.dumps(body)}\n".encode(), "application/json")

    def reasons(self) -> list[str]:
        """What keeps the parts from being ready, one each."""
        reasons = []
        for part, state in list(self._states.items()):
            kind, name = part
            if state in ENDED:
                reasons.append(f"{kind} {name} {ENDED[state]}")
            elif kind in NOT_STARTED and part not in self._started:
                reasons.append(f"{kind} {name} {NOT_STARTED[kind]}")
        return reasons

    def waiting(self) -> list[str]:
        """Parts that wait for something that is unavailable."""
        states = list(self._states.items())
        return [f"{kind} {name}" for (kind, name), state in states if state == "retrying"]

    async def _log_is_away(self) -> str:
        """Why the log can't be used; empty if it can. One question at a time."""
        async with self._checking:
            now = self._clock()
            at = self._log_checked_at
            if at is None or now - at >= LOG_CHECK_EVERY_S:
                self._log_reason = await self._ask_log()
                self._log_checked_at = self._clock()
            return self._log_reason

    async def _ask_log(self) -> str:
        if self._check_log is None:
            return "the log or its schema registry is not open yet"
        try:
            check = asyncio.run_coroutine_threadsafe(_checked(self._check_log), self._loop)
            return await asyncio.wait_for(asyncio.wrap_future(check), self._log_timeout_s)
        except (TimeoutError, RuntimeError):
            return f"the log has not answered for {self._log_timeout_s:g} s"


async def _checked(check_log: CheckLog) -> str:
    try:
        await check_log()
    except Exception:  # noqa: BLE001 - whatever it is, its text may quote what is nobody's business here
        return "the log does not answer, or its topics are missing"
    return ""
