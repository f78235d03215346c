"""Remote calls to Tryton: a session of a user, renewed when it has expired."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Self

import httpx

from bridge.connector import System
from bridge.model.errors import (
    BridgeError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from bridge.single_flight import SingleFlight
from connectors.http.client import http_client
from connectors.http.dates import http_date, retry_after_seconds
from connectors.http.errors import AnswerTooLarge, UnreadableAnswer
from connectors.http.exchange_errors import lost_exchange
from connectors.http.tls import http_tls
from connectors.http.words import MAX_SEARCHED_BYTES, one_line
from connectors.tryton.http.address import address_of, options_of
from connectors.tryton.http.errors import (
    CallRefused,
    NoSession,
    UserRefused,
    error_of,
    fault_of,
    rollback_reason,
    status_error,
)
from connectors.tryton.protocol.domain_check import check_rows, names_in
from connectors.tryton.protocol.json_rpc import dumps, loads
from connectors.tryton.protocol.result_shapes import has_fields, is_answer_of

UNAUTHORIZED = 401
CONNECT_TIMEOUT_S = 10.0
LOGOUT_TIMEOUT_S = 0.5
"""For the end of a session: whoever ends the bridge waits for a few of these, one after the other."""
READ_RETRIES = 3


class TrytonClient:
    """Calls in the user's own context. May be used by several tasks at once.

    Raises RetryLater (away, busy), NoSession (login, address), Rejected and its
    `Refused` (the ERP said no), OutcomeUnknown for a call with `changes` whose answer was lost.
    """

    def __init__(self, system: System, *, clock: Callable[[], float] = time.time) -> None:
        self.options = options_of(system)
        self._system = system
        self._address = address_of(system)
        self._where = f"system {system.name!r}"
        self._masked = system.masked
        self._tables = frozenset(use.table for use in system.tables)
        limits = httpx.Limits(max_connections=system.connections)
        timeout = httpx.Timeout(self.options.timeout, connect=CONNECT_TIMEOUT_S)
        self._clock = clock
        tls = http_tls(system)
        self._reads = http_client(tls=tls, timeout=timeout, limits=limits, trust_env=False)
        # A connection that was kept may be closed by the other side just as the call goes out,
        # and then nobody could tell whether it arrived.
        unkept = httpx.Limits(max_connections=system.connections, max_keepalive_connections=0)
        self._writes = http_client(tls=tls, timeout=timeout, limits=unkept, trust_env=False)
        self._numbers = count(1)
        self._logins: SingleFlight[str, str] = SingleFlight()
        self._token = ""
        self._context: dict[str, Any] = {}
        #: The last call has no answer: it was given up, or is still under way.
        self._silent = False
        self.answered_at: int | None = None
        """Microseconds since 1970 by the ERP's clock when it answered last; it tells whole seconds."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def begin(self) -> None:
        """Log in, so that what is wrong with the login or the address is told before anything."""
        if not self._token:
            await self._logged_in("")

    async def reach(self) -> None:
        """Find out whether the ERP answers, by logging in or in the session that there is."""
        if self._token:
            await self.call("model.res.user.get_preferences", True)
        else:
            await self.begin()

    async def call(
        self,
        method: str,
        *params: Any,
        context: Mapping[str, Any] | None = None,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """The result of `model.MODEL.METHOD` and its like; the context is added at the end.

        `changes`: it may change the ERP, so that a lost answer is OutcomeUnknown; `begin` is called in
        front of each request for it, as `Effect.begin`. Anything else is
        asked again where the ERP says no: between finding rows (sessions of this user among them)
        and reading them it may lose one of them, and says only in its user's language that it has.
        """
        for _ in range(0 if changes else READ_RETRIES):
            try:
                return await self._call(method, params, context or {})
            except CallRefused as error:
                if error.fault.kind != "UserError":
                    raise
        return await self._call(method, params, context or {}, changes=changes, begin=begin)

    async def methods(self) -> frozenset[str]:
        """Whatever the ERP offers to remote callers: `model.sale.sale.confirm` and its like."""
        found = await self._call("system.listMethods", (), None)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise NoSession(
                self._strange(f"{self._where}, system.listMethods", "no list of methods")
            )
        return frozenset(found)

    async def _call(
        self,
        method: str,
        params: Sequence[Any],
        context: Mapping[str, Any] | None,
        *,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """As `call`; None: the method takes no context."""
        where = f"{self._where}, {method}"
        for again in (False, True):
            token = self._token or await self._logged_in("")
            asked = [*params]
            if context is not None:
                asked.append({**self._context, **self.options.context, **context})
            answer = await self._send(method, asked, token, where, changes=changes, begin=begin)
            if answer.status_code != UNAUTHORIZED:
                return self._result(answer, where, changes=changes)
            if again:
                break
            await self._logged_in(token)
        raise NoSession(
            f"{where}: the ERP ends the session of user {self._address.user!r} at once; its clock "
            "or `[session]` in its configuration is wrong"
        )

    def _strange(self, where: str, what: str) -> str:
        return (
            f"{where}: what came is no answer of Tryton's ({what}); is something else at "
            f"{self._address.base}?"
        )

    async def model(self, model: str, method: str, *params: Any, **more: Any) -> Any:
        """A method of a model, with the context that `capture:` gives for the model."""
        given = {**self.options.contexts.get(model, {}), **(more.pop("context", None) or {})}
        found = await self.call(f"model.{model}.{method}", *params, context=given, **more)
        if not more.get("changes") and not is_answer_of(method, found):
            where = f"{self._where}, model.{model}.{method}"
            raise Rejected("legacy_error", self._strange(where, type(found).__name__))
        return found

    @property
    def where(self) -> str:
        """The system, for people."""
        return self._where

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
        order = [["id", "ASC"]] if ordered else None
        names = list(dict.fromkeys([*fields, *names_in(domain), *(["id"] if ordered else [])]))
        rows: list[dict[str, Any]] = await self.model(
            model, "search_read", domain, 0, limit, order, names, context={"active_test": False}
        )
        if not has_fields(rows, names):
            raise Rejected("legacy_error", self._strange(f"{self._where}, {model}", "no rows"))
        check_rows(model, rows, domain, ordered=ordered, where=self._where)
        return rows if limit is None else rows[:limit]

    async def search(self, model: str, domain: list[Any], *, limit: int | None = None) -> list[int]:
        """Ids that a domain finds, inactive ones too, in order. Raises AnswerMismatch for another
        order, or (a domain of ids alone) other ids.
        """
        inactive = {"active_test": False}
        order = [["id", "ASC"]]
        ids = await self.model(model, "search", domain, 0, limit, order, context=inactive)
        check_rows(
            model, [{"id": int(one)} for one in ids], domain, ordered=True, where=self._where
        )
        return [int(one) for one in ids]

    async def close(self) -> None:
        """End the session and the connections. Never raises for a lost connection; may come twice.

        Takes no longer than GOODBYE_SECONDS, and an ERP that owes an answer isn't asked for more: it
        ends the session by itself later.
        """
        try:
            if self._token and not self._silent and not self._reads.is_closed:
                headers = self._headers(self._token)
                body = dumps({"id": 0, "method": "common.db.logout", "params": []})
                async with asyncio.timeout(LOGOUT_TIMEOUT_S):
                    await self._reads.post(self._address.rpc, content=body, headers=headers)
        except (httpx.HTTPError, UnreadableAnswer, TimeoutError):
            self._token = ""
        finally:
            await self._reads.aclose()
            await self._writes.aclose()

    # -- the session -------------------------------------------------------------------------

    async def _logged_in(self, spent: str) -> str:
        """A session that is not `spent`; begun once, however many ask for it: a login that is refused
        again and again may be locked.
        """
        if self._token and self._token != spent:
            return self._token
        return await self._logins.result("", self._log_in)

    async def _log_in(self) -> str:
        """With the secrets as they are now."""
        while True:
            attempt = self._system.shared_login.attempt()
            credentials = attempt.credentials
            now = replace(self._system, url=credentials.url, login=credentials.login)
            self._address = address_of(now)
            try:
                token = await self._begin_session()
            except UserRefused as error:
                if (wrong := self._system.shared_login.refused(attempt, error)) is not None:
                    raise wrong from None
            else:
                self._system.shared_login.accepted(attempt)
                return token
            finally:
                self._system.shared_login.ended(attempt)

    async def _begin_session(self) -> str:
        address, where = self._address, f"{self._where}, login"
        asked = [address.user, {"password": address.password}, "en"]
        answer = await self._send("common.db.login", asked, "", where)
        if answer.status_code == UNAUTHORIZED:
            raise UserRefused(
                f"{self._where}: Tryton refuses user {address.user!r} of database "
                f"{address.database!r}: the name or the password is wrong; check `login:` or `url`"
            )
        found = self._result(answer, where)
        if not isinstance(found, list) or len(found) < 2:
            raise NoSession(self._strange(where, "no session, and no refusal of one"))
        token = b64encode(f"{address.user}:{found[0]}:{found[1]}".encode()).decode()
        answer = await self._send("model.res.user.get_preferences", [True, {}], token, where)
        context = self._result(answer, where)
        if not isinstance(context, dict):
            raise NoSession(self._strange(where, "no preferences"))
        # What only people's clients need.
        context.pop("locale", None)
        self._context, self._token = context, token
        return token

    def _headers(self, token: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return {**headers, "Authorization": f"Session {token}"} if token else headers

    # -- one call ----------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        params: list[Any],
        token: str,
        where: str,
        *,
        changes: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> httpx.Response:
        try:
            body = dumps({"id": next(self._numbers), "method": method, "params": params})
        except TypeError as error:
            raise Rejected("bad_value", f"{where}: {error}") from error
        client = self._writes if changes else self._reads
        if begin is not None:
            begin()
        self._silent = True
        try:
            answer = await client.post(
                self._address.rpc, content=body, headers=self._headers(token)
            )
        except AnswerTooLarge as error:
            raise _too_large(where, error, changes=changes) from None
        except UnreadableAnswer as error:
            if changes:
                raise OutcomeUnknown(
                    f"{where}: the answer was lost ({error}); it may have happened"
                ) from error
            raise RetryLater(f"{where}: no answer came ({error})") from error
        except httpx.HTTPError as error:
            raise lost_exchange(
                error, where, writes=changes, system="the ERP", setup_error=NoSession
            ) from error
        self._silent = False
        date = http_date(answer.headers.get("Date"))
        self.answered_at = None if date is None else int(date.timestamp()) * 1_000_000
        return answer

    def _is_masked(self, where: str) -> bool:
        """Whether what was asked, which ends `where`, is about a model with masked columns, or about
        one that isn't captured: wizards and reports may quote any row.
        """
        if not self._masked:
            return False
        method = where.rpartition(", ")[2]
        model = method.removeprefix("model.").rpartition(".")[0]
        return model in self._masked or (
            method.startswith(("model.", "wizard.", "report.")) and model not in self._tables
        )

    def _result(self, answer: httpx.Response, where: str, *, changes: bool = False) -> Any:
        status = answer.status_code
        if status == httpx.codes.OK:
            try:
                said = loads(answer.content)
            except AnswerTooLarge as error:
                raise _too_large(where, error, changes=changes) from None
            except UnreadableAnswer:
                said = None
            if isinstance(said, dict) and "error" in said:
                raise error_of(fault_of(said["error"]), where, masked=self._is_masked(where))
            if isinstance(said, dict) and "result" in said:
                return said["result"]
            what = self._strange(where, one_line(str(answer.headers.get("Content-Type"))))
            raise OutcomeUnknown(f"{what}; it may have happened") if changes else NoSession(what)
        if answer.is_redirect:
            # Without its query, which may hold anything.
            to = answer.headers.get("Location", "?").partition("?")[0]
            raise NoSession(f"{where}: the service has moved to {to}; change `url`")
        after = retry_after_seconds(answer.headers, datetime.fromtimestamp(self._clock(), UTC))
        no = status_error(status, where, after)
        if no is not None:
            raise no
        if status == httpx.codes.SERVICE_UNAVAILABLE and (
            why := rollback_reason(_beginning(answer.content))
        ):
            # Tryton has tried again by itself a few times.
            raise RetryLater(f"{where}: the ERP's database is busy ({why})", after=after)
        if changes:
            raise OutcomeUnknown(f"{where}: the ERP failed ({status}); it may have happened")
        raise RetryLater(f"{where}: the ERP failed or is busy ({status})", after=after)


def _too_large(where: str, error: AnswerTooLarge, *, changes: bool) -> BridgeError:
    if changes:
        return OutcomeUnknown(f"{where}: the answer has {error}; it may have happened")
    return Rejected("too_large", f"{where}: the answer has {error}; ask for fewer rows by `page`")


def _beginning(page: bytes) -> str:
    return page[:MAX_SEARCHED_BYTES].decode(errors="replace")
