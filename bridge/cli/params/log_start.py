"""An option for where reading begins: the beginning, the end, a time, or an offset."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.params.times import EPOCH, FORMS, MIN_EPOCH_MS, instant_ms, now_ms
from bridge.log.start_offsets import BEGINNING, END, LogStart


def parse_start(text: str, now_ms: int) -> LogStart:
    """Numbers below 100 000 000 000 are offsets, larger ones epoch milliseconds.

    Raises ValueError that lists the valid forms.
    """
    word = text.strip().lower()
    if word in ("beginning", "earliest"):
        return BEGINNING
    if word in ("end", "latest"):
        return END
    if EPOCH.fullmatch(word) and int(word) < MIN_EPOCH_MS:
        return LogStart("offset", int(word))
    try:
        return LogStart("time", instant_ms(text, now_ms))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a position: write beginning, end, an offset, {FORMS}"
        ) from None


class LogPositionParam(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """An option that is a Start."""

    name = "position"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> LogStart:
        if isinstance(value, LogStart):
            return value
        try:
            return parse_start(value, now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


LOG_POSITION = LogPositionParam()
