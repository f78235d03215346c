"""Whether a command whose answer was lost took effect."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from bridge.connector import Done, Effect
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from connectors.erp.probe import (
    MAX_CONTROL_ROWS,
    conclude_from_row,
    finds_existing_rows,
    probe_errors,
)
from connectors.tryton.commands.binding import BoundStatement, FindModel, bind
from connectors.tryton.commands.statement import parse
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import NoSession
from connectors.tryton.metadata.model import ID

_ADVICE = "declare a `probe:` that finds it, such as FIND sale.sale reference=:id"


class TrytonProbe:
    """Probes by the command's `probe:`; without one, by the command's own statement.

    - CREATE and BUTTON: can't be probed.
    - DELETE: whether the row is deleted.
    - WRITE: whether the row holds what was to be set. If it doesn't, a guarded command may be sent again,
    because its guard then decides; for any other the outcome stays unknown.
    """

    def __init__(self, client: TrytonClient, find_model: FindModel) -> None:
        self._client = client
        self._find_model = find_model

    async def ask(self, effect: Effect) -> Done | None:
        """Done, or None when it certainly did not take effect. Raises as
        `connectors.erp.probe.probe_errors`.
        """
        with probe_errors(effect):
            if effect.probe:
                return await self._by_probe(effect)
            return await self._by_statement(effect)

    async def _by_probe(self, effect: Effect) -> Done | None:
        bound = await self._bound(effect, effect.probe)
        if not bound.finds:
            raise Unsupported(f"command {effect.command_id!r}: `probe:` may only use FIND")
        rows = await self._find(bound)
        if not rows:
            await self._check_condition(bound, [*bound.values, *(bound.key or {})])
        return Done(rows=len(rows)) if rows else None

    async def _by_statement(self, effect: Effect) -> Done | None:
        bound = await self._bound(effect, effect.statement)
        verb = bound.statement.verb
        if verb not in {"WRITE", "DELETE"} or not bound.key:
            raise Unsupported(f"command {effect.command_id!r} can't be probed: {_ADVICE}")
        rows = await self._find(bound)
        if not rows:
            await self._check_condition(bound, list(bound.key))
        # Rows of a list are not compared.
        comparable = verb == "DELETE" or not any(name in bound.model.lists for name in bound.values)
        return conclude_from_row(
            effect,
            row=bound.row,
            deletes=verb == "DELETE",
            exists=bool(rows) or not comparable,
            holds=comparable and all(holds(row, bound) for row in rows),
            repeatable=comparable,
            done=Done(rows=1 if verb == "DELETE" else len(rows)),
            advice=_ADVICE,
        )

    async def _bound(self, effect: Effect, text: str) -> BoundStatement:
        try:
            return await bind(parse(text), self._find_model, effect.parameters)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_statement", str(error)) from error

    async def _check_condition(self, bound: BoundStatement, names: list[str]) -> None:
        """An empty answer counts only if the same condition finds an existing row. Raises AnswerMismatch;
        nothing is known for a model without rows.
        """
        model = bound.model.name
        names = list(dict.fromkeys(name for name in names if name in bound.model.fields))
        if await finds_existing_rows(partial(self._overlooked, model, names), f"model {model!r}"):
            return
        raise AnswerMismatch(
            f"model {model!r}: the condition on {', '.join(names) or ID} doesn't find an existing row"
        )

    async def _overlooked(self, model: str, names: list[str]) -> str | None:
        """An existing row, if a condition on its own values doesn't find it."""
        rows = await self._client.search_read(model, [], [ID, *names], limit=MAX_CONTROL_ROWS)
        if not rows:
            return None
        whole = [row for row in rows if not any(row[name] is None for name in names)]
        row, columns = (whole[0], names) if whole else (rows[0], [ID])
        domain = [[name, "=", row[name]] for name in columns]
        matching = await self._client.search_read(model, domain, [ID], limit=1)
        return None if matching else repr((row[ID], domain))

    async def _find(self, bound: BoundStatement) -> list[dict[str, Any]]:
        fields = [name for name in bound.values if name in bound.model.fields]
        return await self._client.search_read(bound.model.name, bound.where, [ID, *fields], limit=2)


def holds(row: dict[str, Any], bound: BoundStatement) -> bool:
    """Whether the row holds what the command sets; Tryton strips texts and keeps timestamps in UTC."""
    return all(_equals(row.get(name), value) for name, value in bound.values.items())


def _equals(current: Any, value: Any) -> bool:
    if isinstance(current, str) and isinstance(value, str):
        return current.strip() == value.strip()
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return bool(current == value)
