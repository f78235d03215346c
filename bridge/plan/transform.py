# ruff: noqa: DTZ001 - local times have no zone
"""The transforms of a field as functions of one value. None passes through; Refusal refuses."""

from __future__ import annotations

import hashlib
import hmac
import importlib
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from bridge.model.contained_errors import contained
from bridge.model.conversion_error import ConversionError
from bridge.model.errors import ConfigurationError
from bridge.plan.coerce import text_of
from bridge.plan.coerce_number import EXACT, number_of
from bridge.plan.steps import Transform
from bridge.plan.time_format import format_parser, instant, zone_of

Function = Callable[[Any], Any]

BLANKS = " "


def function(transform: Transform, mask_key: bytes | None) -> Function:
    """The function of one transform. Raises ConfigurationError if it can't be made."""
    name, args = transform.name, transform.args
    if name == "code_page":
        return _code_page(args[0])
    if name == "trim":
        return lambda value: text_of(value).strip(BLANKS)
    if name == "format":
        return format_parser(args[0], args[1])
    if name == "zone":
        return _zone(args[0])
    if name == "map":
        return _map(args)
    if name == "zeros":
        return _zeros(args[0])
    if name == "unit":
        factor = Decimal(args[0])
        return lambda value: EXACT.multiply(number_of(value), factor)
    if name == "mask":
        return _mask(args[0], mask_key)
    if name == "call":
        return _contained(imported(args[0]), f"call {args[0]!r}")
    raise ConfigurationError(f"transform {name!r} is not known")


def _code_page(name: str) -> Function:
    try:
        "".encode(name)
    except LookupError:
        raise ConfigurationError(
            f"code page {name!r} is not known; use one of Python's codecs, as cp1252 or cp037"
        ) from None

    def decode(value: Any) -> str:
        if isinstance(value, str):
            if not value.isascii():
                raise ConversionError("text that is decoded already; `code_page` is for bytes")
            # A driver that hands over text where it is valid UTF-8 (SQLite): the same bytes.
            value = value.encode()
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise ConversionError(f"a {type(value).__name__}, where `code_page` needs bytes", value)
        try:
            return bytes(value).decode(name)
        except UnicodeDecodeError as error:
            raise ConversionError(f"bytes that aren't {name} ({error.reason})") from None

    return decode


def _zone(name: str) -> Function:
    zone = zone_of(name)

    def attach(value: Any) -> datetime:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                raise ConversionError("text that isn't a local time in ISO 8601", value) from None
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime) or value.tzinfo is not None:
            raise ConversionError("not a local time, so that no zone applies", value)
        return instant(value, zone)

    return attach


def source_text(value: Any) -> str:
    """The text by which `map` and `mask` know a source value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ConversionError("bytes where text is needed; say their `code_page`")
    return text_of(value)


def _map(pairs: tuple[tuple[Any, Any], ...]) -> Function:
    table = {text_of(key): value for key, value in pairs}

    def mapped(value: Any) -> Any:
        text = source_text(value)
        if text not in table:
            raise ConversionError("a value that `map` doesn't list", text)
        return table[text]

    return mapped


def _zeros(width: int) -> Function:
    def strip(value: Any) -> str:
        text = source_text(value)
        if not (text.isascii() and text.isdigit()):
            return text
        if len(text) < width:
            raise ConversionError(
                f"{len(text)} digits where `zeros` says {width}: padding it outwards would give "
                "another value",
                text,
            )
        return (text.lstrip("0") or "0") if len(text) == width else text

    return strip


def _mask(how: str, key: bytes | None) -> Function:
    if how == "drop":
        return lambda _: None
    if how != "hash":
        raise ConfigurationError(f"mask {how!r} is not known; use hash or drop")
    if not key:
        raise ConfigurationError(
            "`mask: hash` needs a key: give the system's `mask_key` as a secret reference"
        )
    secret = key

    def hashed(value: Any) -> str:
        content = (
            bytes(value)
            if isinstance(value, (bytes, bytearray, memoryview))
            else (text_of(value).encode())
        )
        return hmac.new(secret, content, hashlib.sha256).hexdigest()

    return hashed


def _contained(run: Function, name: str) -> Function:
    """`run`, whose sys.exit() and the like are errors of its row and don't end the bridge."""

    def call(*values: Any) -> Any:
        try:
            return run(*values)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise contained(error, name) from error

    return call


def imported(name: str) -> Function:
    """The function `package.module:function`. Raises ConfigurationError."""
    module, _, attribute = name.partition(":")
    try:
        target: Any = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"call {name!r} can't be imported ({error}); write it as package.module:function"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"call {name!r} can't be imported ({type(error).__name__}: {error})"
        ) from error
    if not callable(target):
        raise ConfigurationError(f"call {name!r} is not a function")
    return target  # type: ignore[no-any-return]
