"""One remote call and its answer or error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx

from bridge.closing import close_all
from bridge.connector import System, request_sent
from bridge.model.errors import BridgeError, OutcomeUnknown, Rejected, RetryLater, SystemBusy
from connectors.http.client import http_client
from connectors.http.dates import http_date, retry_after_seconds
from connectors.http.error_words import MAX_SEARCHED_BYTES, one_line
from connectors.http.errors import AnswerTooLarge, UnreadableAnswer
from connectors.http.exchange_errors import lost_exchange
from connectors.http.tls import http_tls
from connectors.tryton.http.address import RpcAddress
from connectors.tryton.http.errors import (
    NoSession,
    error_of,
    fault_of,
    rollback_reason,
    status_error,
)
from connectors.tryton.protocol.json_rpc import dumps, loads

CONNECT_TIMEOUT_S = 10.0
MICROS_PER_SECOND = 1_000_000


class RpcTransport:
    """Calls to one database, in any session. May be used by several tasks at once.

    - `address`: of the calls; a login replaces it if `url` or the login has changed.
    - `answered_at`: microseconds since 1970 by the ERP's clock, in whole seconds, when it answered last.
    - `is_silent`: the last call has no answer: it was cancelled, or is still under way.
    """

    def __init__(
        self, system: System, address: RpcAddress, timeout_s: float, clock: Callable[[], float]
    ) -> None:
        self.address = address
        self.answered_at: int | None = None
        self.is_silent = False
        self._where = f"system {system.name!r}"
        self._masked = system.masked
        self._tables = frozenset(use.table for use in system.tables)
        self._clock = clock
        self._numbers = count(1)
        tls = http_tls(system)
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        limits = httpx.Limits(max_connections=system.connections)
        self._reads = http_client(tls=tls, timeout=timeout, limits=limits, trust_env=False)
        # The other side may close a kept connection just as the call is sent, and then it isn't known
        # whether
        # it arrived.
        unkept = httpx.Limits(max_connections=system.connections, max_keepalive_connections=0)
        self._writes = http_client(tls=tls, timeout=timeout, limits=unkept, trust_env=False)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._reads.is_closed

    async def close(self) -> None:
        """End the connections. May be called twice."""
        await close_all(self._reads.aclose, self._writes.aclose)

    async def send(
        self,
        method: str,
        params: list[Any],
        token: str,
        where: str,
        *,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> httpx.Response:
        """The answer to a call, whatever its status.

        - `token`: of the session; empty for a login.
        - `where`: the system and what is called, for people.
        - `changes`: the call may change the ERP; `begin` is called before it is sent.

        Raises RetryLater, NoSession, Rejected (`bad_value`, `too_large`), and OutcomeUnknown if the
        answer to a call that may change the ERP was lost.
        """
        try:
            body = dumps({"id": next(self._numbers), "method": method, "params": params})
        except TypeError as error:
            raise Rejected("bad_value", f"{where}: {error}") from error
        client = self._writes if changes else self._reads
        if begin is not None:
            begin()
        self.is_silent = True
        request_sent()
        try:
            response = await client.post(self.address.rpc, content=body, headers=_headers(token))
        except AnswerTooLarge as error:
            raise _too_large(where, error, changes=changes) from None
        except UnreadableAnswer as error:
            if changes:
                raise OutcomeUnknown(
                    f"{where}: the answer was lost ({error}); it may have taken effect"
                ) from error
            raise RetryLater(f"{where}: no answer came ({error})") from error
        except httpx.HTTPError as error:
            raise lost_exchange(
                error, where, writes=changes, system="the ERP", setup_error=NoSession
            ) from error
        self.is_silent = False
        date = http_date(response.headers.get("Date"))
        self.answered_at = None if date is None else int(date.timestamp()) * MICROS_PER_SECOND
        return response

    def result(self, response: httpx.Response, where: str, *, changes: bool = False) -> Any:
        """The result of an answer. Raises its error."""
        status = response.status_code
        if status == httpx.codes.OK:
            return self._result_of_body(response, where, changes=changes)
        if response.is_redirect:
            # Without its query, which may contain anything.
            target = response.headers.get("Location", "?").partition("?")[0]
            raise NoSession(f"{where}: the service has moved to {target}; change `url`")
        after = retry_after_seconds(response.headers, datetime.fromtimestamp(self._clock(), UTC))
        refusal = status_error(status, where, after)
        if refusal is not None:
            raise refusal
        if status == httpx.codes.SERVICE_UNAVAILABLE and (
            reason := rollback_reason(_beginning(response.content))
        ):
            # Tryton has tried again by itself a few times.
            raise SystemBusy(f"{where}: the ERP's database is busy ({reason})", after=after)
        if changes:
            raise OutcomeUnknown(f"{where}: the ERP failed ({status}); it may have taken effect")
        raise RetryLater(f"{where}: the ERP failed or is busy ({status})", after=after)

    def not_tryton(self, where: str, content: str) -> str:
        """The message for an answer that isn't Tryton's; `content` says what it is."""
        return (
            f"{where}: the answer isn't Tryton's ({content}); is something else at "
            f"{self.address.base}?"
        )

    def _result_of_body(self, response: httpx.Response, where: str, *, changes: bool) -> Any:
        try:
            body = loads(response.content)
        except AnswerTooLarge as error:
            raise _too_large(where, error, changes=changes) from None
        except UnreadableAnswer:
            body = None
        if isinstance(body, dict) and "error" in body:
            raise error_of(fault_of(body["error"]), where, masked=self._is_masked(where))
        if isinstance(body, dict) and "result" in body:
            return body["result"]
        content_type = one_line(str(response.headers.get("Content-Type")))
        message = self.not_tryton(where, content_type)
        raise (
            OutcomeUnknown(f"{message}; it may have taken effect")
            if changes
            else NoSession(message)
        )

    def _is_masked(self, where: str) -> bool:
        """Whether what was called, which ends `where`, is about a model with masked columns, or about
        one that isn't captured: wizards and reports may quote any row.
        """
        if not self._masked:
            return False
        method = where.rpartition(", ")[2]
        model = method.removeprefix("model.").rpartition(".")[0]
        return model in self._masked or (
            method.startswith(("model.", "wizard.", "report.")) and model not in self._tables
        )


def _headers(token: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return {**headers, "Authorization": f"Session {token}"} if token else headers


def _too_large(where: str, error: AnswerTooLarge, *, changes: bool) -> BridgeError:
    if changes:
        return OutcomeUnknown(f"{where}: the answer has {error}; it may have taken effect")
    return Rejected("too_large", f"{where}: the answer has {error}; ask for fewer rows by `page`")


def _beginning(page: bytes) -> str:
    return page[:MAX_SEARCHED_BYTES].decode(errors="replace")
