"""Remote calls to Tryton, in the session of the system's user."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from bridge.connector import System
from bridge.model.errors import Rejected
from connectors.tryton.http.address import address_of, options_of
from connectors.tryton.http.errors import CallRefused, NoSession
from connectors.tryton.http.session import UNAUTHORIZED, RpcSession
from connectors.tryton.http.transport import RpcTransport
from connectors.tryton.protocol.domain_check import check_rows, names_in
from connectors.tryton.protocol.result_shapes import has_fields, is_answer_of

READ_RETRIES: Final = 3
_WITH_INACTIVE: Final = {"active_test": False}
_BY_ID: Final = [["id", "ASC"]]


class TrytonClient:
    """Calls in the user's own context. May be used by several tasks at once.

    `where` is the system, for people; `options` what its file says under `capture:`.

    Every call raises RetryLater (the ERP is unavailable or busy), NoSession (the login or the address is
    wrong), Rejected (as CallRefused: the ERP refused it); a call with `changes` whose answer was lost
    raises OutcomeUnknown.
    """

    def __init__(self, system: System, *, clock: Callable[[], float] = time.time) -> None:
        self.options = options_of(system)
        self.where = f"system {system.name!r}"
        self._transport = RpcTransport(system, address_of(system), self.options.timeout, clock)
        self._session = RpcSession(system, self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def answered_at(self) -> int | None:
        """Microseconds since 1970 by the ERP's clock, in whole seconds, when it answered last."""
        return self._transport.answered_at

    async def log_in(self) -> None:
        """Log in, so that a wrong login or address is reported first."""
        await self._session.token()

    async def check_reachable(self) -> None:
        """Find out whether the ERP answers, by logging in or in the existing session."""
        if self._session.is_open:
            await self.call("model.res.user.get_preferences", True)
        else:
            await self.log_in()

    async def close(self) -> None:
        """End the session and the connections, as `RpcSession.end`. May be called twice."""
        try:
            await self._session.end()
        finally:
            await self._transport.close()

    # -- methods -----------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        *params: Any,
        context: Mapping[str, Any] | None = None,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """The result of `model.MODEL.METHOD` and its like; the context is added at the end.

        - `changes`: it may change the ERP, so that a lost answer is OutcomeUnknown. Other calls are
        repeated if the ERP refuses them: between finding rows (sessions of this user among them) and
        reading them one may be deleted, which the ERP reports only in its user's language.
        - `begin`: called before each request, as `Effect.begin`.
        """
        for _ in range(0 if changes else READ_RETRIES):
            try:
                return await self._call(method, params, context or {})
            except CallRefused as error:
                if error.fault.exception != "UserError":
                    raise
        return await self._call(method, params, context or {}, changes=changes, begin=begin)

    async def call_model(
        self,
        model: str,
        method: str,
        *params: Any,
        context: Mapping[str, Any] | None = None,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """As `call`, of a model, with the context that `capture:` gives for the model. Raises Rejected
        for a result that this method can't have.
        """
        whole_context = {**self.options.contexts.get(model, {}), **(context or {})}
        name = f"model.{model}.{method}"
        result = await self.call(name, *params, context=whole_context, changes=changes, begin=begin)
        if not changes and not is_answer_of(method, result):
            raise self._unexpected(name, type(result).__name__)
        return result

    async def remote_methods(self) -> frozenset[str]:
        """All methods that the ERP offers to remote callers: `model.sale.sale.confirm` and its like."""
        names = await self._call("system.listMethods", (), None)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            where = f"{self.where}, system.listMethods"
            raise NoSession(self._transport.not_tryton(where, "no list of methods"))
        return frozenset(names)

    # -- rows --------------------------------------------------------------------------------

    async def search_read(
        self,
        model: str,
        domain: list[Any],
        fields: list[str],
        *,
        limit: int | None = None,
        ordered: bool = True,
    ) -> list[dict[str, Any]]:
        """Rows that a domain finds, inactive ones too, by id; with the fields that the domain names.
        Raises AnswerMismatch for other rows, or another order.
        """
        order = _BY_ID if ordered else None
        names = list(dict.fromkeys([*fields, *names_in(domain), *(["id"] if ordered else [])]))
        rows: list[dict[str, Any]] = await self.call_model(
            model, "search_read", domain, 0, limit, order, names, context=_WITH_INACTIVE
        )
        if not has_fields(rows, names):
            raise self._unexpected(model, "no rows")
        check_rows(model, rows, domain, ordered=ordered, where=self.where)
        return rows if limit is None else rows[:limit]

    async def search(self, model: str, domain: list[Any], *, limit: int | None = None) -> list[int]:
        """Ids that a domain finds, inactive ones too, in order. Raises AnswerMismatch for another
        order, or (a domain of ids alone) other ids.
        """
        ids = await self.call_model(
            model, "search", domain, 0, limit, _BY_ID, context=_WITH_INACTIVE
        )
        rows = [{"id": int(id_)} for id_ in ids]
        check_rows(model, rows, domain, ordered=True, where=self.where)
        return [row["id"] for row in rows]

    # -- one call ----------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        params: Sequence[Any],
        context: Mapping[str, Any] | None,
        *,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """As `call`, once more if the session has expired; a `context` of None: the method takes none."""
        where = f"{self.where}, {method}"
        expired = ""
        for _ in range(2):
            token = await self._session.token(expired)
            sent = [*params]
            if context is not None:
                sent.append({**self._session.context, **self.options.context, **context})
            response = await self._transport.send(
                method, sent, token, where, changes=changes, begin=begin
            )
            if response.status_code != UNAUTHORIZED:
                return self._transport.result(response, where, changes=changes)
            expired = token
        raise NoSession(
            f"{where}: the ERP ends the session of user {self._transport.address.user!r} at once; "
            "its clock or `[session]` in its configuration is wrong"
        )

    def _unexpected(self, method: str, content: str) -> Rejected:
        message = self._transport.not_tryton(f"{self.where}, {method}", content)
        return Rejected("legacy_error", message)
