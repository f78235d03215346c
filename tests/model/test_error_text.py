from __future__ import annotations

from hypothesis import given

from bridge.model.contained_errors import EscapingError, contained
from bridge.model.error_text import (
    MAX_ERROR_CHARACTERS,
    clean_text,
    describe_error,
    error_message,
    error_name,
)
from tests.hostile_values import ERRORS, HALF_EMOJI, TextlessError, Unprintable, quick


@quick
@given(ERRORS)
def test_whatever_is_raised_has_a_text_that_a_record_can_hold(error: Exception) -> None:
    for text in (describe_error(error), error_message(error), error_name(error)):
        assert len(text) <= MAX_ERROR_CHARACTERS
        assert text.encode().decode() == text
    assert describe_error(error).startswith(error_name(error))


def test_an_error_whose_text_cant_be_made_says_so() -> None:
    assert (
        describe_error(TextlessError()) == "TextlessError: (its text can't be made: RuntimeError)"
    )
    assert describe_error(AssertionError()) == "AssertionError"
    assert describe_error(ValueError("no")) == "ValueError: no"


def test_half_an_emoji_becomes_a_question_mark() -> None:
    assert clean_text(f"late {HALF_EMOJI}!") == "late ?!"


def test_what_escapes_is_an_error_with_a_text_whatever_its_own_is() -> None:
    """It was made where an event's task ends: had that failed, its partition would have stood still."""
    for escaping in (
        SystemExit(Unprintable()),
        SystemExit(HALF_EMOJI),
        BaseExceptionGroup("x", [KeyboardInterrupt()]),
    ):
        error = contained(escaping, "the handler")
        assert isinstance(error, EscapingError)
        assert str(error).encode()
        assert error.__cause__ is escaping
