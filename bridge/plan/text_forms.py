"""Texts that stand for values without a field type of their own: intervals, ranges, offsets."""

from __future__ import annotations

from collections.abc import Sequence

_SECOND = 1_000_000


def interval_text(months: int, days: int, micros: int) -> str:
    """An interval in ISO 8601, as PostgreSQL writes it with `intervalstyle = iso_8601`.

    Each part keeps its own sign: `P1Y-2M3DT-4H`.
    """
    years, months = _towards_zero(months, 12)
    hours, rest = _towards_zero(micros, 3600 * _SECOND)
    minutes, rest = _towards_zero(rest, 60 * _SECOND)
    day = "".join(
        f"{value}{unit}" for value, unit in ((years, "Y"), (months, "M"), (days, "D")) if value
    )
    clock = "".join(f"{value}{unit}" for value, unit in ((hours, "H"), (minutes, "M")) if value)
    if rest:
        whole, fraction = divmod(abs(rest), _SECOND)
        digits = f".{fraction:06d}".rstrip("0") if fraction else ""
        clock += f"{'-' if rest < 0 else ''}{whole}{digits}S"
    if not day and not clock:
        return "PT0S"
    return f"P{day}" + (f"T{clock}" if clock else "")


def _towards_zero(value: int, by: int) -> tuple[int, int]:
    whole, rest = divmod(abs(value), by)
    return (whole, rest) if value >= 0 else (-whole, -rest)


def offset_text(seconds_east: int) -> str:
    """`+02`, `-03:30`, `+00:19:32`: a zone offset as PostgreSQL writes it."""
    sign = "-" if seconds_east < 0 else "+"
    minutes, seconds = divmod(abs(seconds_east), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{sign}{hours:02d}"
    if minutes or seconds:
        text += f":{minutes:02d}"
    return f"{text}:{seconds:02d}" if seconds else text


def bound_text(text: str) -> str:
    """A bound of a range, quoted where its text would be misread."""
    if text and not any(sign in '"\\()[], \t\n\r\v\f' for sign in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


def array_text(values: Sequence[str | None], sizes: Sequence[int], delimiter: str) -> str:
    """An array of several dimensions as PostgreSQL writes it: `{{1,2},{3,NULL}}`. `values` are the
    texts of its items.
    """
    if len(sizes) == 1:
        return "{" + delimiter.join(_item_text(value, delimiter) for value in values) + "}"
    step = len(values) // sizes[0]
    parts = (
        array_text(values[at : at + step], sizes[1:], delimiter)
        for at in range(0, len(values), step)
    )
    return "{" + delimiter.join(parts) + "}"


def _item_text(text: str | None, delimiter: str) -> str:
    if text is None:
        return "NULL"
    special = '{}"\\ \t\n\r\v\f' + delimiter
    if text and text.upper() != "NULL" and not any(sign in special for sign in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
