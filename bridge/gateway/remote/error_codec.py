"""Errors of a Reader as bytes: the same types come out in the other process. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.connector.answer_check import AnswerMismatch
from bridge.gateway.remote.messages import decode_values, encode_values
from bridge.gateway.remote.value_codec import BadFrame
from bridge.model.error_text import describe_error
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    DeadlineExceeded,
    LoginRefused,
    MissingRight,
    Rejected,
    RetryLater,
    RowError,
    SystemBusy,
    Unsupported,
)


class RemoteReadFailed(BridgeError):
    """A read failed in the gateway's process by a defect there; its message says which."""


def _rejected(
    kind: Callable[[str, str], BridgeError],
) -> Callable[[str, Mapping[str, Any]], BridgeError]:
    return lambda message, fields: kind(_text(fields, "code"), message)


def _retry_later(
    kind: type[RetryLater],
) -> Callable[[str, Mapping[str, Any]], BridgeError]:
    def build(message: str, fields: Mapping[str, Any]) -> RetryLater:
        after = fields.get("after")
        if type(after) not in (float, int, type(None)):
            raise BadFrame("a pause is no number")
        error = kind(message, after=after)
        error.system = _text(fields, "system")
        return error

    return build


def _row_error(_message: str, fields: Mapping[str, Any]) -> RowError:
    where = {name: _text(fields, name) for name in ("column", "field", "step")}
    return RowError(_text(fields, "reason"), **where)


#: The first one that an error is an instance of is its type in the other process.
_BUILDERS: Final[dict[type[BridgeError], Callable[[str, Mapping[str, Any]], BridgeError]]] = {
    DeadlineExceeded: _retry_later(DeadlineExceeded),
    SystemBusy: _retry_later(SystemBusy),
    RetryLater: _retry_later(RetryLater),
    AnswerMismatch: lambda message, _fields: AnswerMismatch(message),
    MissingRight: _rejected(MissingRight),
    Rejected: _rejected(Rejected),
    LoginRefused: lambda message, _fields: LoginRefused(message),
    ConfigurationError: lambda message, _fields: ConfigurationError(message),
    RowError: _row_error,
    Unsupported: lambda message, _fields: Unsupported(message),
    RemoteReadFailed: lambda message, _fields: RemoteReadFailed(message),
}
_BY_NAME: Final = {kind.__name__: build for kind, build in _BUILDERS.items()}
_FIELDS: Final = ("code", "after", "system", "reason", "column", "field", "step")


def encode_error(error: BaseException) -> bytes:
    """The payload of an error. One that the bridge doesn't raise on purpose becomes RemoteReadFailed."""
    kind = next((kind for kind in _BUILDERS if isinstance(error, kind)), RemoteReadFailed)
    message = str(error) if isinstance(error, kind) else describe_error(error)
    fields = {name: getattr(error, name) for name in _FIELDS if hasattr(error, name)}
    plain = {name: value for name, value in fields.items() if type(value) in (str, int, float)}
    return encode_values({"type": kind.__name__, "message": message, **plain})


def decode_error(payload: bytes) -> BridgeError:
    """The error, of the same type. Raises BadFrame."""
    fields = decode_values(payload)
    name = _text(fields, "type")
    build = _BY_NAME.get(name)
    if build is None:
        raise BadFrame(f"no error of the type {name[:40]!r} is known")
    return build(_text(fields, "message"), fields)


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name, "")
    if type(text) is not str:
        raise BadFrame(f"{name} of an error is no text")
    return text
