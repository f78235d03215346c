"""Whether a command has happened whose answer was lost."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from bridge.connector import Done, Effect
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.seen_again import RowsChange, contradiction
from bridge.model.errors import (
    ConfigurationError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    Unsupported,
)
from connectors.tryton.binding import Bound, Models, bind
from connectors.tryton.client import Client
from connectors.tryton.faults import NoSession
from connectors.tryton.fields import ID
from connectors.tryton.statement import parse

CONTROL_ROWS = 20
"""Rows among which one is looked for that a condition must find."""
_HOW = "declare a `probe:` that finds it, such as FIND sale.sale reference=:id"


class Probing:
    """Asks the ERP, by the command's `probe:`; without one by what the command itself says.

    - CREATE and BUTTON: can't be told.
    - DELETE: whether the row is gone.
    - WRITE: whether the row holds what was to be set. Where it doesn't, a guarded command may be
      sent again, because its guard decides then; whether another one did happen can't be told.
    """

    def __init__(self, client: Client, models: Models) -> None:
        self._client = client
        self._models = models

    async def ask(self, effect: Effect) -> Done | None:
        """Done, or None when it certainly did not happen. Raises Unsupported, OutcomeUnknown where
        the question was refused, RetryLater.
        """
        try:
            if effect.probe:
                return await self._declared(effect)
            return await self._itself(effect)
        except NoSession as error:
            raise RetryLater(str(error)) from error
        except AnswerMismatch as error:
            raise Unsupported(
                f"command {effect.command_id!r}: whether it has happened can't be told: {error}"
            ) from error
        except Rejected as error:
            raise OutcomeUnknown(
                f"command {effect.command_id!r}: the ERP can't be asked whether it has happened: "
                f"{error}"
            ) from error

    async def _declared(self, effect: Effect) -> Done | None:
        bound = await self._bound(effect, effect.probe)
        if not bound.finds:
            raise Unsupported(f"command {effect.command_id!r}: `probe:` asks by FIND alone")
        found = await self._find(bound, bound.where)
        if not found:
            await self._control(bound, [*bound.values, *(bound.key or {})])
        return Done(rows=len(found)) if found else None

    async def _itself(self, effect: Effect) -> Done | None:
        bound = await self._bound(effect, effect.statement)
        verb = bound.statement.verb
        if verb not in {"WRITE", "DELETE"} or not bound.key:
            raise Unsupported(f"command {effect.command_id!r} can't be probed: {_HOW}")
        rows = await self._find(bound, bound.where)
        if not rows:
            await self._control(bound, list(bound.key))
        if verb == "DELETE":
            return None if rows else Done(rows=1)
        lists = [name for name in bound.values if name in bound.model.lists]
        if not rows and not lists:
            return None
        if not lists and all(holds(row, bound) for row in rows):
            return Done(rows=len(rows))
        if effect.guard is not None and not lists:
            return None
        raise Unsupported(
            f"command {effect.command_id!r}: {bound.row} holds something else than the command "
            f"sets, which may have been there before or come later; {_HOW}"
        )

    async def _bound(self, effect: Effect, text: str) -> Bound:
        try:
            return await bind(parse(text), self._models, effect.parameters)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_statement", str(error)) from error

    async def _control(self, bound: Bound, names: list[str]) -> None:
        """That nothing is found means something only where the same condition finds a row that is
        there. Raises AnswerMismatch; of a model without rows nothing is known.
        """
        model = bound.model.name
        names = list(dict.fromkeys(name for name in names if name in bound.model.fields))
        try:
            if await contradiction(partial(self._overlooked, model, names)) is None:
                return
        except RowsChange:
            raise OutcomeUnknown(
                f"model {model!r}: its rows change faster than they can be asked for; it is asked again"
            ) from None
        raise AnswerMismatch(
            f"model {model!r}: the condition on {', '.join(names) or ID} doesn't find a row that is there"
        )

    async def _overlooked(self, model: str, names: list[str]) -> str | None:
        """A row that is there, where a condition on its own values doesn't find it."""
        rows = await self._client.search_read(model, [], [ID, *names], limit=CONTROL_ROWS)
        if not rows:
            return None
        whole = [row for row in rows if not any(row[name] is None for name in names)]
        row, by = (whole[0], names) if whole else (rows[0], [ID])
        domain = [[name, "=", row[name]] for name in by]
        found = await self._client.search_read(model, domain, [ID], limit=1)
        return None if found else repr((row[ID], domain))

    async def _find(self, bound: Bound, where: list[Any]) -> list[dict[str, Any]]:
        fields = [name for name in bound.values if name in bound.model.fields]
        return await self._client.search_read(bound.model.name, where, [ID, *fields], limit=2)


def holds(row: dict[str, Any], bound: Bound) -> bool:
    """Whether the row holds what the command sets; Tryton strips texts and keeps moments in UTC."""
    return all(_same(row.get(name), value) for name, value in bound.values.items())


def _same(found: Any, value: Any) -> bool:
    if isinstance(found, str) and isinstance(value, str):
        return found.strip() == value.strip()
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return bool(found == value)
