"""The text of errors, safe for any record, log line or terminal. Nothing here raises, although an
error may come from any code, with a text that is endless, not valid Unicode, or raises itself.
Secrets are removed from each text before it is cut.
"""

from __future__ import annotations

from bridge.model.redaction import redact_cut

MAX_ERROR_CHARACTERS = 1000


def clean_text(text: str, limit: int = MAX_ERROR_CHARACTERS) -> str:
    """At most `limit` characters of `text` without secrets, encodable as UTF-8: foreign texts may
    contain lone surrogates (JSON can), but records can't.
    """
    return redact_cut(text, limit).encode(errors="replace").decode()


def error_name(error: BaseException) -> str:
    """The name of the error's class."""
    try:
        return clean_text(str(type(error).__name__))
    except BaseException:  # noqa: BLE001 - whatever a foreign class does, this says something
        return "Exception"


def value_text(value: object, limit: int = MAX_ERROR_CHARACTERS) -> str:
    """The text of any object."""
    try:
        return clean_text(str(value), limit)
    except BaseException as failure:  # noqa: BLE001 - whatever a foreign class does, as above
        return f"(its text can't be made: {error_name(failure)})"


def error_message(error: BaseException, limit: int = MAX_ERROR_CHARACTERS) -> str:
    """The error's own text; empty if it has none."""
    return value_text(error, limit)


def describe_error(error: BaseException, limit: int = MAX_ERROR_CHARACTERS) -> str:
    """`ValueError: text`, or `ValueError` if it has no text; at most `limit` characters."""
    name, message = error_name(error), error_message(error, limit)
    return (f"{name}: {message}" if message else name)[:limit]
