"""Commands into Tryton: new rows, changes, deletions and buttons, one call each.

Tryton keeps no ledger, so a command whose answer is lost is never sent again from here: the executor
probes whether it took effect (`connectors.tryton.commands.probe`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bridge.connector import Done, Effect, System
from bridge.model.canonical import canonical_json
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    MissingRight,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from connectors.erp.sequential_execution import execute_in_order
from connectors.tryton.commands.binding import BoundStatement, bind
from connectors.tryton.commands.command_check import RIGHTS
from connectors.tryton.commands.definitions import ErpDefinitions
from connectors.tryton.commands.probe import TrytonProbe
from connectors.tryton.commands.statement import TrytonStatement, parse
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused, NoSession, warning_kind
from connectors.tryton.metadata.model import ID, VERSION
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.protocol.domain import domain_of

WARNING_MODEL = "res.user.warning"
"""Model with a user's confirmations of warnings, until a call has used them."""
MAX_PASSED_WARNINGS = 20
"""Maximum number of warnings that one command ignores, one after the other."""
MAX_CHANGED_ROWS = 1000
USER_ERROR = "UserError"
LOGIN_RETRY_AFTER_S = 30.0
"""Seconds before the next attempt after a failed login: with each wrong password Tryton makes the user
wait longer.
"""


class TrytonWriter:
    """`bridge.connector.Writer` without a ledger.

    Before a command its row is read and given to the guard, and the call carries the row's `_timestamp`.
    If somebody else has changed the row in between, Tryton refuses the call when it writes that row, and
    rolls everything back. With a button that never writes its row such a change isn't noticed.
    """

    def __init__(self, system: System) -> None:
        self._client = TrytonClient(system)
        self._tables = ModelTables(system, self._client)
        self._where = f"system {system.name!r}: writing"
        self._definitions = ErpDefinitions(self._client, self._where)
        self._ready = False

    @property
    def in_doubt_timeout(self) -> float:
        """As `bridge.connector.Writer.in_doubt_timeout`: a call that nobody waits for any more may itself
        still wait for a row that another transaction has locked.
        """
        options = self._client.options
        return options.overlap if options.in_doubt_timeout is None else options.in_doubt_timeout

    async def prepare(self) -> None:
        """As `bridge.connector.Writer.prepare`: logs in; later, finds out whether the ERP answers. A
        login that is refused later is RetryLater: it was accepted before.
        """
        try:
            await self._client.check_reachable()
        except NoSession as error:
            if not self._ready:
                raise
            raise RetryLater(str(error), after=LOGIN_RETRY_AFTER_S) from error
        self._ready = True

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """As `bridge.connector.Writer.execute`, without a ledger."""
        return await execute_in_order(
            effects, self._execute, login_retry_after_s=LOGIN_RETRY_AFTER_S
        )

    async def _execute(self, effect: Effect) -> Done:
        try:
            return await self._execute_statement(effect)
        except CallRefused as error:
            if error.fault.exception == USER_ERROR and await self._lacks_right(effect):
                # Tryton words both in the same form.
                raise MissingRight(error.code, str(error)) from error
            raise

    async def _lacks_right(self, effect: Effect) -> bool:
        """Whether this user has no right on the model; False if the ERP doesn't say."""
        with suppress(BridgeError):
            statement = parse(effect.statement)
            rights = await self._definitions.rights(statement.model)
            return not rights.get(RIGHTS[statement.verb], True)
        return False

    async def probe(self, effect: Effect) -> Done | None:
        """As `bridge.connector.Writer.probe`: by the command's own question, or by the row."""
        return await TrytonProbe(self._client, self._definitions.model).ask(effect)

    async def close(self) -> None:
        """End the session."""
        await self._client.close()

    # -- one command -------------------------------------------------------------------------

    async def _execute_statement(self, effect: Effect) -> Done:
        bound = await self._bound(effect)
        versions: dict[str, str] = {}
        if effect.guard is not None:
            versions = await self._guarded_versions(effect)
        if bound.key is None:
            created = await self._send("create", [[bound.values]], bound, versions, effect.begin)
            return Done(rows=1, result=canonical_json([{ID: key} for key in created]))
        ids = await self._ids(bound, many=effect.many)
        result = await self._send(*_call(bound, ids), bound, versions, effect.begin)
        # Some buttons only open a window in a person's client.
        opens_window = bound.statement.button and isinstance(result, int)
        action = {"action": result} if opens_window else {}
        return Done(rows=len(ids), result=canonical_json([{ID: key, **action} for key in ids]))

    async def _bound(self, effect: Effect) -> BoundStatement:
        try:
            statement = parse(effect.statement)
            if statement.verb == "FIND":
                raise ConfigurationError("FIND changes nothing; it belongs in `probe:`")  # noqa: TRY301
            try:
                return await self._bind(statement, effect)
            except NoSession:
                raise
            except ConfigurationError:
                # The ERP may have other modules by now.
                self._definitions.forget()
                return await self._bind(statement, effect)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_statement", f"{self._where}: {error}") from error

    async def _bind(self, statement: TrytonStatement, effect: Effect) -> BoundStatement:
        bound = await bind(statement, self._definitions.model, effect.parameters)
        if statement.button:
            await self._definitions.check_button(bound.model.name, statement.button)
        return bound

    async def _guarded_versions(self, effect: Effect) -> dict[str, str]:
        """Ask the guard about the current row; returns its version, which the call carries."""
        assert effect.guard is not None, "only guarded effects are asked about"  # noqa: S101
        table = await self._table(effect.table)
        names = list(dict.fromkeys((*table.names, VERSION)))
        rows = await self._client.search_read(
            effect.table, domain_of(table, effect.key), names, limit=2
        )
        if len(rows) > 1:
            raise Rejected(
                "too_many_rows", f"{self._where}: several rows of {effect.table} have this key"
            )
        effect.guard(table.shape, table.row(rows[0]) if rows else None)
        return {f"{effect.table},{row[ID]}": row[VERSION] for row in rows}

    async def _table(self, name: str) -> ModelTable:
        try:
            return await self._tables.table(name)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_table", f"{self._where}: {error}") from error

    async def _ids(self, bound: BoundStatement, *, many: bool) -> list[int]:
        """The command's rows."""
        rows = await self._client.search_read(
            bound.model.name, bound.where, [ID], limit=MAX_CHANGED_ROWS + 1 if many else 2
        )
        if not rows:
            raise Rejected("not_found", f"{self._where}: {bound.row} doesn't exist (any more)")
        if len(rows) > (MAX_CHANGED_ROWS if many else 1):
            raise Rejected("too_many_rows", f"{self._where}: {bound.row} is more than one row")
        return [row[ID] for row in rows]

    async def _send(
        self,
        method: str,
        params: list[Any],
        bound: BoundStatement,
        versions: Mapping[str, str],
        begin: Callable[[], None] | None,
    ) -> Any:
        """The call, once more for each warning that the command ignores."""
        context = {VERSION: dict(versions)} if versions else {}
        passed: set[str] = set()
        try:
            while True:
                try:
                    return await self._client.call_model(
                        bound.model.name,
                        method,
                        *params,
                        context=context,
                        changes=True,
                        begin=begin,
                    )
                except CallRefused as error:
                    warning = error.fault.name
                    passes = (
                        warning_kind(warning) in bound.statement.despite and warning not in passed
                    )
                    if error.code != "warning" or not passes or len(passed) >= MAX_PASSED_WARNINGS:
                        raise
                    passed.add(warning)
                # As a person's client does: only for this user, this warning and the next call.
                await self._client.call_model(WARNING_MODEL, "skip", warning, False)
        except OutcomeUnknown:
            raise
        except BridgeError:
            await self._withdraw_answers(passed)
            raise

    async def _withdraw_answers(self, passed: set[str]) -> None:
        """Remove confirmations that no call has used: the next command must not ignore the warning."""
        if not passed:
            return
        # The command's own failure is reported, not this one.
        with suppress(BridgeError):
            names = [["name", "in", sorted(passed)]]
            if left := await self._client.call_model(WARNING_MODEL, "search", names, 0, None, None):
                await self._client.call_model(WARNING_MODEL, "delete", left)


def _call(bound: BoundStatement, ids: list[int]) -> tuple[str, list[Any]]:
    if bound.statement.verb == "WRITE":
        return "write", [ids, dict(bound.values)]
    return bound.statement.button or "delete", [ids]
