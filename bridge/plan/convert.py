"""One step of a plan as one function: what the raw row holds in, the field's value out.

The general way, in Python, for every wire, type and transform. The executor has quicker ways
for the common ones, which must give the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from bridge.model.conversion_error import ConversionError
from bridge.model.error_text import describe_error, error_name
from bridge.model.errors import ConfigurationError, RowError
from bridge.plan import postgres_binary, postgres_text
from bridge.plan.coerce import coercer, text_of
from bridge.plan.opcodes import AS_BINARY, AS_OBJECT
from bridge.plan.steps import PlanStep
from bridge.plan.transform import function

Convert = Callable[[Sequence[tuple[int, Any]]], Any]


def decoder(wire: str) -> Callable[[int, Any], Any]:
    """The function from (form, content) to a Python value, for one wire code.

    Raises ConfigurationError for a wire that the plan doesn't know.
    """
    if wire == "python":
        return lambda _, content: content
    if wire.startswith("text:"):
        from_text, as_text = postgres_text.parser(wire.removeprefix("text:")), _reading(wire)

        def parse(form: int, content: Any) -> Any:
            if form == AS_OBJECT and not isinstance(content, (str, bytes, memoryview)):
                return content  # a driver knows this one itself
            return from_text(content if isinstance(content, str) else as_text(content))

        return parse
    from_binary, from_text, as_text = (
        postgres_binary.decoder(wire),
        postgres_text.parser(wire),
        _reading(wire),
    )

    def decode(form: int, content: Any) -> Any:
        if form == AS_OBJECT:
            return content
        return from_binary(bytes(content)) if form == AS_BINARY else from_text(as_text(content))

    return decode


def _reading(wire: str) -> Callable[[Any], str]:
    """From the bytes of a text to the text. PostgreSQL up to 15 writes a "char" beyond ASCII as it
    is, later ones write it in octal.
    """
    return _octal if _ONE_BYTE.search(wire) else _utf8


_ONE_BYTE = re.compile(r"\bchar\b")


def _octal(content: Any) -> str:
    return "".join(chr(byte) if byte < 0x80 else f"\\{byte:o}" for byte in bytes(content))


def _utf8(content: Any) -> str:
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        raise ConversionError(postgres_binary.NOT_UTF8) from None


def converter(step: PlanStep, entity: str, mask_key: bytes | None) -> Convert:
    """The function of one step: (form, content) of each of its columns, none of them null or
    missing, to the field's value (None: null).

    It raises RowError that names column, field and step. Raises ConfigurationError if the
    step can't be made into one.
    """
    field_text = f"{entity}, field {step.field!r}"
    masked = any(part.name == "mask" for part in step.transforms)
    names = list(step.transforms)
    raw = bool(names) and names[0].name == "code_page"
    try:
        decoders = [_raw if raw and code != "bytea" else decoder(code) for code in step.wires]
        functions = [(part.name, function(part, mask_key)) for part in names]
    except ConfigurationError as error:
        raise ConfigurationError(f"{field_text}: {error}") from None
    fit = coercer(step.target)
    column = "+".join(step.names)

    def refused(error: Exception, at: str) -> RowError:
        if isinstance(error, ConversionError):
            reason = error.describe(masked=masked)
        else:
            reason = error_name(error) if masked else describe_error(error)
        return RowError(reason, column=column, field=step.field, step=at)

    def convert(contents: Sequence[tuple[int, Any]]) -> Any:
        at = "decode"
        try:
            if len(decoders) == 1:
                form, content = contents[0]
                value = decoders[0](form, content)
            else:
                parts = zip(decoders, contents, strict=True)
                value = "".join(text_of(decode(form, part)) for decode, (form, part) in parts)
            for at, apply in functions:  # noqa: B007 - `at` names the one that refused
                if value is None:
                    return None
                value = apply(value)
            at = "fit"
            return None if value is None else fit(value)
        except ConversionError as error:
            raise refused(error, at) from None
        except Exception as error:
            raise refused(error, at) from error

    return convert


def _raw(_: int, content: Any) -> Any:
    return content
