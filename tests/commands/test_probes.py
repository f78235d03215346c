"""Questions whether commands have happened, to a system that may be away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.commands.contract import no_crash_points
from bridge.commands.strategy.contract import Reconciled
from bridge.commands.strategy.probes import PROBE_PAUSES_S, EffectProber
from bridge.connector import Done, Effect
from bridge.model.errors import ConfigurationError, OutcomeUnknown, RetryLater

Answer = Done | Exception | None


class RecordingWriter:
    """The port's fake: probes are answered by command id; `here` is what `prepare` raises."""

    in_doubt_timeout = 1.0

    def __init__(self, here: Exception | None = None, **answers: Answer) -> None:
        self._here = here
        self._answers = answers
        self.probed_ids: list[str] = []
        self.prepared = 0

    async def prepare(self) -> None:
        self.prepared += 1
        if self._here is not None:
            raise self._here

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        raise AssertionError(effects)

    async def probe(self, effect: Effect) -> Done | None:
        self.probed_ids.append(effect.command_id)
        answer = self._answers[effect.command_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None: ...


def effects(names: str) -> list[Effect]:
    return [Effect(name, "x", "", {}, "", {}) for name in names]


async def asking(
    writer: RecordingWriter, names: str
) -> tuple[list[Answer | Reconciled], list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    answers = await EffectProber(writer, sleep=sleep, crash_point=no_crash_points).probe(
        effects(names)
    )
    return list(answers), slept


@pytest.mark.parametrize("here", [RetryLater("away", after=9.0), ConfigurationError("no login")])
async def test_a_system_that_is_away_is_not_asked_about_every_command(here: Exception) -> None:
    """Each question would be a time-out of its own: fifty of them after a crash."""
    gone = RetryLater("timed out")
    writer = RecordingWriter(here, a=Done(1), b=gone, c=Done(1), d=None, e=gone)
    answers, slept = await asking(writer, "abcde")
    assert writer.probed_ids == ["a", "b"]
    assert writer.prepared == 1
    assert answers[0] == Reconciled(Done(1))
    assert answers[1] is gone
    assert [str(answer) for answer in answers[2:]] == [str(here)] * 3
    assert all(isinstance(answer, RetryLater) for answer in answers[2:])
    assert slept == [1.0]


async def test_a_question_that_fails_alone_keeps_no_other_from_being_answered() -> None:
    gone = RetryLater("a broken row")
    writer = RecordingWriter(a=gone, b=Done(1), c=None, d=gone)
    answers, _ = await asking(writer, "abcd")
    assert answers == [gone, Reconciled(Done(1)), None, gone]
    assert writer.probed_ids == list("abcd")


async def test_who_had_no_answer_before_is_not_asked_again_once_the_system_is_away() -> None:
    writer = RecordingWriter(RetryLater("away"), a=OutcomeUnknown("?"), b=RetryLater("away"))
    answers, slept = await asking(writer, "ab")
    assert isinstance(answers[0], OutcomeUnknown)
    assert writer.probed_ids == ["a", "b", *"aaa"]
    assert slept == [1.0, *PROBE_PAUSES_S[1:]]
