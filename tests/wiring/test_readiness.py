"""`/healthz` and `/readyz`: what they say, and when."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from bridge.model.errors import RetryLater
from bridge.observe import GroupJoined, Notice, PartState, ReadsOwned, SourceState
from bridge.wiring.metrics_server import HttpRequest
from bridge.wiring.readiness import LOG_CHECK_EVERY_S, EventLoopLiveness, Readiness
from tests.waiting import WAIT_TIMEOUT_S

SECRET = "pa55word"
PARTS = (("capture", "erp"), ("agent", "watch"), ("commands", "erp"))
MEMBERS = {"acme.agent.watch": ("agent", "watch"), "acme.executor.erp": ("commands", "erp")}
STARTED: tuple[Notice, ...] = (
    *(PartState(kind, name, "running") for kind, name in PARTS),
    SourceState("erp", "streaming"),
    *(GroupJoined(group) for group in MEMBERS),
)


class ReadinessClock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class CheckedLog:
    """A log that answers, or doesn't."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.hangs = False
        self.checks = 0

    async def __call__(self) -> None:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


def readiness(notices: Iterable[Notice], log: CheckedLog | None, **options: Any) -> Readiness:
    """As of after these notices."""
    options = {"log_timeout_s": WAIT_TIMEOUT_S, **options}
    noted = Readiness(asyncio.get_running_loop(), PARTS, MEMBERS, **options)
    if log is not None:
        noted.log_is_open(log)
    for notice in notices:
        noted(notice)
    return noted


async def response_of(noted: Readiness) -> tuple[int, dict[str, Any]]:
    response = await noted.respond(HttpRequest("GET", "/readyz"))
    return response.status.value, json.loads(response.body)


async def test_a_bridge_is_ready_once_every_part_has_started_and_the_log_answers() -> None:
    code, body = await response_of(readiness(STARTED, CheckedLog()))
    assert (code, body) == (200, {"ready": True, "reasons": [], "waiting": []})


async def test_before_its_log_is_open_it_is_not_ready() -> None:
    code, body = await response_of(readiness(STARTED, None))
    assert code == 503
    assert body["reasons"] == ["the log or its schema registry is not open yet"]


@pytest.mark.parametrize("left_out", STARTED[len(PARTS) :], ids=str)
async def test_each_part_has_to_have_started(left_out: Notice) -> None:
    code, body = await response_of(readiness([n for n in STARTED if n != left_out], CheckedLog()))
    assert code == 503
    assert len(body["reasons"]) == 1


async def test_nothing_is_ready_before_it_was_begun() -> None:
    _, body = await response_of(readiness([], CheckedLog()))
    assert body["reasons"] == [
        "capture erp does not stream yet",
        "agent watch has not joined its group yet",
        "commands erp has not joined its group yet",
    ]


@pytest.mark.parametrize(("kind", "name"), [*PARTS, ("registry", "http://registry")])
@pytest.mark.parametrize("state", ["failed", "stopped"])
async def test_a_part_that_ended_makes_it_unready_without_its_reason(
    kind: str, name: str, state: str
) -> None:
    """The reason may quote a system; it stands in the log, and in `status`."""
    failed = PartState(kind, name, state, f"password {SECRET}")
    noted = readiness([*STARTED, failed], CheckedLog())
    code, body = await response_of(noted)
    assert code == 503
    assert [f"{kind} {name}" in reason for reason in body["reasons"]] == [True]
    assert SECRET not in json.dumps(body)


async def test_a_system_that_is_away_after_the_start_only_waits() -> None:
    """Starting the process again would not help, so nothing should be told to do so."""
    away = SourceState("erp", "retrying", SECRET)
    noted = readiness([*STARTED, away, PartState("reads", "crm", "retrying", SECRET)], CheckedLog())
    code, body = await response_of(noted)
    assert (code, body["waiting"]) == (200, ["capture erp", "reads crm"])
    assert SECRET not in json.dumps(body)
    noted(SourceState("erp", "starting"))
    assert "capture erp" in (await response_of(noted))[1]["waiting"], (
        "one more try, which may take long"
    )
    noted(SourceState("erp", "streaming"))
    noted(PartState("reads", "crm", "running"))
    assert (await response_of(noted))[1]["waiting"] == []


async def test_a_log_that_is_away_makes_it_unready_until_it_is_back() -> None:
    log, clock = CheckedLog(), ReadinessClock()
    log.error = RetryLater(f"kafka {SECRET}")
    noted = readiness(STARTED, log, clock=clock)
    code, body = await response_of(noted)
    assert (code, SECRET in json.dumps(body)) == (503, False)
    log.error = None
    clock.now += LOG_CHECK_EVERY_S
    assert (await response_of(noted))[0] == 200


async def test_a_log_that_does_not_answer_makes_it_unready() -> None:
    log = CheckedLog()
    log.hangs = True
    code, body = await response_of(readiness(STARTED, log, log_timeout_s=0.01))
    assert code == 503
    assert "has not answered" in body["reasons"][0]


async def test_however_many_ask_the_log_is_asked_once() -> None:
    log = CheckedLog()
    noted = readiness(STARTED, log, clock=ReadinessClock())
    await asyncio.gather(*(response_of(noted) for _ in range(50)))
    assert log.checks == 1


@pytest.fixture
async def other_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """A bridge's loop, in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    await asyncio.to_thread(thread.join)
    loop.close()


async def test_a_process_lives_while_its_loop_turns(
    other_loop: asyncio.AbstractEventLoop,
) -> None:
    response = await EventLoopLiveness(other_loop, WAIT_TIMEOUT_S).respond(
        HttpRequest("GET", "/healthz")
    )
    assert (response.status, response.body) == (200, b"ok\n")


async def test_a_process_whose_loop_is_stuck_does_not(
    other_loop: asyncio.AbstractEventLoop,
) -> None:
    free = threading.Event()
    other_loop.call_soon_threadsafe(free.wait)
    response = await EventLoopLiveness(other_loop, 0.05).respond(HttpRequest("GET", "/healthz"))
    assert response.status == 503
    free.set()
    # What was asked of it is done before its fixture stops it.
    assert await EventLoopLiveness(other_loop, WAIT_TIMEOUT_S).turns()


async def test_a_gateway_is_ready_while_it_owns_its_system() -> None:
    """Nobody should be sent to one that stands by."""
    noted = Readiness(asyncio.get_running_loop(), [("gateway", "erp")], {})
    noted(PartState("gateway", "erp", "running"))
    assert noted.reasons() == ["gateway erp does not own the system's reads yet"]
    noted(ReadsOwned("erp", "erp.sock", 1, 4))
    assert noted.reasons() == []
    noted(PartState("gateway", "erp", "retrying", "another process has taken it over"))
    noted(PartState("gateway", "erp", "running"))
    assert noted.reasons() == ["gateway erp does not own the system's reads yet"]
