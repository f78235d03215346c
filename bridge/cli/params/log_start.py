"""Where reading begins: the beginning, the end, an instant, or an offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import click

from bridge.cli.params.times import EPOCH, FORMS, MIN_EPOCH_MS, instant_ms, now_ms
from bridge.log.port import Log, TopicPartition


@dataclass(frozen=True, slots=True)
class LogStart:
    """`value` is milliseconds since 1970 for a time, an offset for an offset."""

    kind: Literal["beginning", "end", "time", "offset"]
    value: int = 0


BEGINNING, END = LogStart("beginning"), LogStart("end")


def parse_start(text: str, now_ms: int) -> LogStart:
    """Numbers below 100 000 000 000 are offsets, larger ones epoch milliseconds.

    Raises ValueError that says which forms there are.
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
            f"{text!r} is no position: write beginning, end, an offset, {FORMS}"
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


async def resolve_offsets(
    log: Log, partitions: Iterable[TopicPartition], start: LogStart
) -> dict[TopicPartition, int]:
    """The offset of each partition where `start` is; an offset is held inside of what is there."""
    wanted = list(partitions)
    if start.kind == "end":
        return dict(await log.end_offsets(wanted))
    if start.kind == "time":
        return dict(await log.offsets_at(wanted, start.value))
    first = await log.beginning_offsets(wanted)
    if start.kind == "beginning":
        return dict(first)
    last = await log.end_offsets(wanted)
    return clamp_offset(wanted, start.value, first, last)


def clamp_offset(
    partitions: Iterable[TopicPartition],
    offset: int,
    first: Mapping[TopicPartition, int],
    last: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """`offset` in each partition, neither before its first record nor behind its end."""
    return {
        partition: min(max(offset, first[partition]), last[partition]) for partition in partitions
    }
