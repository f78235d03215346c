"""Commands that a writer is given, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bridge.connector import Done, Effect, Shape
from bridge.model.errors import (
    Rejected,
)
from connectors.tryton.commands.writer import TrytonWriter
from tests.connectors.tryton.erp import system
from tests.http_proxy import CannedResponse, ForwardedRequest

Guard = Callable[[Shape | None, Any], None]


def effect(
    statement: str,
    key: Any = 0,
    guard: Guard | None = None,
    *,
    table: str = "sale.sale",
    probe: str = "",
    many: bool = False,
    **parameters: Any,
) -> Effect:
    values = {"id": "tester:1", "key": key, **parameters}
    return Effect(
        "tester:1", "digest", statement, values, table, {"id": key}, guard, many, probe=probe
    )


@asynccontextmanager
async def writing(url: str, **options: Any) -> AsyncIterator[TrytonWriter]:
    writer = TrytonWriter(system(url, options=options))
    try:
        yield writer
    finally:
        await writer.close()


async def outcome(writer: TrytonWriter, command: Effect) -> Done | Exception:
    [result] = await writer.execute([command])
    return result


async def done(writer: TrytonWriter, command: Effect) -> Done:
    result = await outcome(writer, command)
    assert isinstance(result, Done), result
    return result


async def refused(writer: TrytonWriter, command: Effect) -> tuple[str, str]:
    result = await outcome(writer, command)
    assert isinstance(result, Rejected), result
    return result.code, str(result)


def created_id(result: Done) -> int:
    return int(json.loads(result.result or "")[0]["id"])


def fits(
    part: str, reaction: str | CannedResponse
) -> Callable[[ForwardedRequest], str | CannedResponse | None]:
    """Reacts to remote calls of this method."""
    return lambda request: reaction if f'"{part}"'.encode() in request.body else None
