"""Tracebacks for people: somebody's own lines and the error, never values, never endless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.agent.error_trace import MAX_FRAMES, MAX_TRACE_CHARACTERS, error_trace, handler_trace
from bridge.model.contained_errors import contained
from bridge.model.errors import Rejected
from tests.hostile_values import TextlessError


def raised(run: Any) -> BaseException:
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - any is shown
        return error
    raise AssertionError("nothing was raised")


def deep(left: int) -> None:
    if left:
        deep(left - 1)
    else:
        secret = "hunter2"
        raise ValueError(f"a text of {len(secret)} signs")


def test_it_names_file_line_and_source_and_no_values() -> None:
    trace = error_trace(raised(lambda: deep(1)))
    assert f'File "{__file__}"' in trace
    assert "deep(left - 1)" in trace
    assert trace.endswith("ValueError: a text of 7 signs")
    assert "left = " not in trace


def test_recursion_and_long_texts_are_bounded() -> None:
    assert error_trace(raised(lambda: deep(300))).count("File ") <= MAX_FRAMES
    long = ValueError("x" * 10_000_000)
    assert len(error_trace(long)) <= MAX_TRACE_CHARACTERS
    wide = ExceptionGroup("many", [ValueError("y" * 900) for _ in range(1000)])
    assert len(error_trace(wide)) <= MAX_TRACE_CHARACTERS


def test_causes_come_first_and_the_error_last() -> None:
    def run() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            raise LookupError("no order in the answer") from error

    trace = error_trace(raised(run))
    assert trace.index("JSONDecodeError") < trace.index("LookupError: no order in the answer")
    assert "json.loads" in trace
    assert "raw_decode" in trace, "where in the library"
    assert "decoder.py" in trace
    assert trace.count("File ") == 4, "and the lines that led there"


def test_causes_inside_of_libraries_have_their_sentence_and_no_frames() -> None:
    """A system's refusal had forty lines of a database driver's, for each event."""

    def run() -> None:
        try:
            json.loads("{")
        except ValueError as error:
            cause = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            raise LookupError("the system refuses") from cause

    trace = error_trace(raised(run))
    assert "JSONDecodeError" in trace
    assert "decoder.py" not in trace
    assert trace.count("File ") == 2, "the lines of one's own that led there"


def test_frames_of_the_bridge_are_left_out() -> None:
    def run() -> None:
        contained(TextlessError(), "x").missing  # type: ignore[attr-defined]  # noqa: B018

    assert str(Path("bridge") / "model") not in error_trace(raised(run))


def test_beside_its_sentence_an_error_of_no_line_of_code_has_none() -> None:
    """A command that is refused was its sentence twice, in the log and in the letter."""
    assert handler_trace(Rejected("unknown_command", "erp.blok is not declared")) == ""
    error = raised(lambda: deep(0))
    assert "in deep" in handler_trace(error)
    assert handler_trace(error) == error_trace(error)


@pytest.mark.parametrize("error", [TextlessError(), KeyboardInterrupt(), RecursionError()])
def test_any_error_has_one(error: BaseException) -> None:
    error.__context__ = error.__cause__ = error
    assert type(error).__name__ in error_trace(error)
