"""Who starts when, who is refused, and that everybody is answered."""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.limits.admission_control import AdmissionControl
from bridge.gateway.limits.admission_queue import MAX_WAITING, AdmissionQueue
from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.ceiling import QUERY, Admission, Cost
from bridge.model.errors import Rejected, RetryLater
from bridge.model.specs import SystemLimits, WindowLimit
from tests.gateway.limits.simulated_system import SimulatedSystem

AGENTS, COMMANDS, REPLAY = WorkClass.AGENTS, WorkClass.COMMANDS, WorkClass.REPLAY


def request(work: WorkClass = AGENTS, deadline: float = inf, **more: object) -> AdmissionRequest:
    return AdmissionRequest(work, 0.0, deadline, **more)  # type: ignore[arg-type]


def busy(limits: SystemLimits | None = None) -> tuple[AdmissionControl, Admission]:
    """A control whose only connection is in use."""
    control = AdmissionControl(limits or SystemLimits(connections=1))
    control.ask(0.0, request())
    return control, control.turn(0.0).started[0][1]


def starts(control: AdmissionControl, running: Admission, count: int) -> list[AdmissionRequest]:
    """Whom the only connection goes to in turn."""
    order = []
    for _ in range(count):
        control.end(0.0, running)
        ((waiting, running),) = control.turn(0.0).started
        order.append(waiting)
    return order


def test_a_class_goes_before_the_next_and_in_it_the_earliest_deadline() -> None:
    control, running = busy()
    requests = [
        request(REPLAY, 1.0),
        request(AGENTS),
        request(AGENTS, 9.0),
        request(AGENTS, 8.0),
        request(AGENTS, 9.0),
        request(COMMANDS),
    ]
    for each in requests:
        control.ask(0.0, each)
    assert starts(control, running, 6) == [requests[at] for at in (5, 3, 2, 4, 1, 0)]


def test_a_deadline_leaves_time_for_the_answer() -> None:
    control, running = busy()
    slow, quick = request(deadline=9.0, cost=Cost(seconds=5)), request(deadline=6.0)
    for each in (quick, slow):
        control.ask(0.0, each)
    assert starts(control, running, 2) == [slow, quick]


def test_who_continues_on_a_connection_goes_before_whoever_waits_for_one() -> None:
    """Otherwise both would wait for ever."""
    control, _ = busy()
    control.ask(0.0, request(COMMANDS))
    continuing = request(REPLAY, cost=Cost(connections=0))
    control.ask(0.0, continuing)
    assert [each for each, _ in control.turn(0.0).started] == [continuing]


def test_who_would_start_too_late_is_refused_at_once_with_the_reason() -> None:
    control = AdmissionControl(SystemLimits(queries_per_second=1))
    for deadline in (inf, 0.0, 1.5, 2.0):
        control.ask(0.0, request(deadline=deadline))
    assert control.turn(0.0).refused == [], "the earliest deadlines go first"
    control.ask(0.0, doomed := request(deadline=3.5, cost=Cost(seconds=1)))
    ((refused, error),) = control.turn(0.0).refused
    assert refused is doomed
    assert isinstance(error, RetryLater)
    assert error.after == 3.0
    assert "would have to start in 2.5 s, and starts in 3 s or later (2 before it)" in str(error)


def test_who_was_not_started_in_time_is_refused_then() -> None:
    control, _ = busy()
    control.ask(0.0, each := request(deadline=3.0))
    assert control.turn(0.0).again_at == 3.0
    assert control.turn(2.9).refused == []
    assert [refused for refused, _ in control.turn(3.0).refused] == [each]


def test_a_query_that_no_wait_helps_is_rejected() -> None:
    control = AdmissionControl(SystemLimits(batch_operations=10))
    control.ask(0.0, request(cost=Cost(operations=11)))
    ((_, error),) = control.turn(0.0).refused
    assert isinstance(error, Rejected)
    assert error.code == "over_limit"


def test_while_the_system_pauses_only_those_wait_who_can() -> None:
    control, running = busy()
    patient, hasty, endless = request(deadline=50.0), request(deadline=5.0), request()
    for each in (patient, hasty, endless):
        control.ask(0.0, each)
    control.pause(0.0, 40.0, "429 Too Many Requests")
    control.pause(0.0, 20.0, "a shorter one")
    control.end(0.0, running)
    turn = control.turn(0.0)
    assert {each for each, _ in turn.refused} == {hasty, endless}
    assert {str(error) for _, error in turn.refused} == {"429 Too Many Requests (for 40 s more)"}
    assert (turn.started, turn.again_at) == ([], 40.0)
    assert [each for each, _ in control.turn(40.0).started] == [patient]


def test_who_asks_during_a_long_pause_hears_for_how_long() -> None:
    control = AdmissionControl(SystemLimits())
    control.pause(0.0, 100.0, "busy")
    for deadline in (inf, 50.0):
        control.ask(40.0, request(deadline=deadline))
    errors = [error for _, error in control.turn(40.0).refused]
    assert {str(error) for error in errors} == {"busy (for 60 s more)"}
    assert {error.after for error in errors if isinstance(error, RetryLater)} == {60.0}


def test_who_was_behind_somebody_refused_starts_in_the_same_turn() -> None:
    control, _ = busy(SystemLimits(connections=2))
    control.ask(0.0, large := request(deadline=3.0, cost=Cost(connections=2)))
    control.ask(0.0, small := request(deadline=9.0))
    assert control.turn(0.0).started == []
    turn = control.turn(3.0)
    assert [each for each, _ in turn.refused] == [large]
    assert [each for each, _ in turn.started] == [small]


def test_a_connection_that_is_given_back_is_used_without_another_event() -> None:
    control, _ = busy(SystemLimits(connections=2))
    control.system_refused(1.0, 1.0)
    control.ask(2.0, request())
    assert control.turn(2.0).again_at == 11.0
    assert len(control.turn(11.0).started) == 1


def test_nobody_starts_too_late_because_a_turn_was_late() -> None:
    control, running = busy()
    control.ask(0.0, request(deadline=3.0))
    control.end(5.0, running)
    turn = control.turn(5.0)
    assert (len(turn.started), len(turn.refused)) == (0, 1)


def test_who_can_no_longer_start_in_time_is_refused_as_soon_as_that_is_certain() -> None:
    control, _ = busy(SystemLimits(connections=9, queries_per_second=1))
    control.ask(0.0, agents := request(deadline=1.5))
    control.ask(0.0, request(COMMANDS))
    assert control.turn(0.0).refused == []
    ((refused, error),) = control.turn(1.0).refused
    assert refused is agents
    assert "starts in 1 s or later (1 requests per second)" in str(error)


def test_a_queue_that_stands_is_looked_at_without_another_event() -> None:
    control, _ = busy()
    for _ in range(3):
        control.ask(0.0, request())
    assert control.turn(0.0).again_at == pytest.approx(0.22)
    ((_, error),) = control.turn(0.221).refused
    assert str(error) == ("shed: the system is at its limit, and 2 more queries wait for agents")


def test_a_window_is_never_used_up_by_others_than_commands() -> None:
    control = AdmissionControl(SystemLimits(connections=99, windows=(WindowLimit(40, 60),)))
    for _ in range(50):
        control.ask(0.0, request(AGENTS))
    assert len(control.turn(0.0).started) == 38
    for _ in range(3):
        control.ask(0.0, request(COMMANDS))
    assert [each.work for each, _ in control.turn(0.0).started] == [COMMANDS, COMMANDS]


def test_a_queue_is_bounded() -> None:
    queue = AdmissionQueue()
    assert all(queue.add(request()) for _ in range(MAX_WAITING))
    assert not queue.add(request())
    assert queue.add(request(COMMANDS))


@pytest.mark.parametrize("work", [WorkClass.AGENTS, WorkClass.SURFACES, WorkClass.REPLAY])
def test_a_floor_is_one_of_twenty_starts(work: WorkClass) -> None:
    queue = AdmissionQueue()
    for _ in range(100):
        queue.add(request(COMMANDS))
        queue.add(request(work))
    order = []
    for _ in range(100):
        head = queue.head()
        assert head is not None
        order.append(head.work)
        queue.start(head)
    assert [at for at, each in enumerate(order) if each is work] == [19, 39, 59, 79, 99]


def test_a_class_saves_no_turns_up_while_it_does_not_wait() -> None:
    queue = AdmissionQueue()
    for _ in range(60):
        queue.add(each := request(COMMANDS))
        queue.start(each)
    queue.add(withdrawn := request(REPLAY))
    for _ in range(25):
        queue.add(each := request(COMMANDS))
        queue.start(each)
    queue.remove(withdrawn)
    queue.add(request(REPLAY))
    queue.add(request(COMMANDS))
    head = queue.head()
    assert head is not None
    assert head.work is COMMANDS


@given(
    st.builds(
        SystemLimits,
        connections=st.integers(1, 4),
        queries_per_second=st.sampled_from((0, 1, 20)),
        burst=st.integers(1, 4),
        windows=st.sampled_from(((), (WindowLimit(4, 5),), (WindowLimit(9, 1.5),))),
    ),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_everybody_is_answered_once_and_in_time(limits: SystemLimits, seed: int) -> None:
    """With withdrawals, refusals by the system, and pauses."""
    random = Random(seed)  # noqa: S311 - a history
    system = SimulatedSystem(AdmissionControl(limits), random)
    control, withdrawn = system.control, []

    def ask() -> None:
        patience = random.choice((0.0, 0.5, 5.0, 40.0, inf))
        continuing = Cost(connections=0, seconds=random.choice((0, 0.5)))
        cost = continuing if random.random() < 0.1 else Cost(requests=1)
        each = AdmissionRequest(
            random.choice(list(WorkClass)),
            system.now,
            system.now + patience,
            cost,
            random.random() < 0.7,
        )
        requests.append(each)
        control.ask(system.now, each)

    def disturb() -> None:
        match random.randrange(3):
            case 0 if control.withdraw(each := random.choice(requests)):
                withdrawn.append(each)
            case 1:
                control.system_refused(system.now, system.now)
            case _:
                control.pause(system.now, system.now + random.choice((0.1, 3, 31)), "busy")

    requests: list[AdmissionRequest] = []
    system.at(0.0, ask)
    for _ in range(80):
        system.at(random.uniform(0, 20), ask)
        if random.random() < 0.2:
            system.at(random.uniform(0.1, 20), disturb)
    system.run()
    answered = Counter(
        [each for _, each in system.started] + [each for _, each, _ in system.refused] + withdrawn
    )
    assert answered == Counter(requests)
    assert all(at <= each.start_by for at, each in system.started)
    assert control.ceilings.connections.in_use == 0
    assert 1 <= control.ceilings.connections.limit <= limits.connections


def test_a_request_without_a_deadline_is_not_passed_over_for_ever() -> None:
    """One slot; every second the one that runs ends, and two more come that can wait for 3 s."""
    control = AdmissionControl(SystemLimits(1))
    running = control.start(0.0, QUERY)
    patient = AdmissionRequest(WorkClass.AGENTS, 0.0, inf, QUERY, sheddable=False)
    control.ask(0.0, patient)
    control.turn(0.0)
    for second in range(1, 30):
        now = float(second)
        for _ in range(2):
            control.ask(now, AdmissionRequest(WorkClass.AGENTS, now, now + 3, QUERY, False))
        assert running is not None
        control.end(now, running)
        turn = control.turn(now)
        [(request, running)] = turn.started
        if request is patient:
            return
    raise AssertionError("it never started")


def test_a_deadline_is_noticed_behind_a_request_that_has_none() -> None:
    control = AdmissionControl(SystemLimits(1))
    control.start(0.0, QUERY)
    control.ask(0.0, AdmissionRequest(WorkClass.AGENTS, 0.0, inf, QUERY, sheddable=False))
    late = AdmissionRequest(WorkClass.AGENTS, 0.0, 12.0, QUERY, sheddable=False)
    control.ask(0.0, late)
    assert control.turn(0.0).again_at == 12.0
    assert [request for request, _ in control.turn(12.0).refused] == [late]
