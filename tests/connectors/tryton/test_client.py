"""Sessions: begun once, renewed when they expire, and what is wrong with them in a sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bridge.connector import Done, Effect, System
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.tryton.commands.writer import TrytonWriter
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.options import TrytonLogin
from tests.connectors.tryton.erp import ErpUser, system
from tests.http_proxy import HANG, CannedResponse, ForwardedRequest, HttpProxy, nothing
from tests.services.tryton import PASSWORD, Tryton
from tests.waiting import until


async def problem(of: System) -> str:
    """What is said when a session begins."""
    async with TrytonClient(of) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.log_in()
    return str(caught.value)


def forget_sessions(tryton: Tryton) -> None:
    """As when they expire."""
    tryton.store.run("DELETE FROM ir_session")


async def test_an_expired_session_is_renewed_without_a_word_for_reads_and_commands(
    private_tryton: Callable[..., Tryton],
) -> None:
    tryton = private_tryton()
    key = ErpUser(tryton).sell()
    writer = TrytonWriter(system(tryton.url))
    async with TrytonClient(system(tryton.url)) as client:
        for _ in range(2):
            [row] = await client.search_read("sale.sale", [["id", "=", key]], ["state"])
            assert row["state"] == "draft"
            statement = "WRITE sale.sale(:key) comment='again'"
            effect = Effect("t:1", "d", statement, {"key": key}, "sale.sale", {"id": key})
            [done] = await writer.execute([effect])
            assert isinstance(done, Done), done
            forget_sessions(tryton)
    await writer.close()
    assert tryton.calls().count("common.db.login") == 5


async def test_a_login_that_is_refused_is_tried_once_by_all_who_wait(tryton: Tryton) -> None:
    """Each of them tried it in turn; a login that is refused again and again may be locked."""
    of = system(tryton.url_of("nobody", "wrong"))
    async with TrytonClient(of) as client:
        results = await asyncio.gather(
            *(client.search_read("party.party", [], ["id"]) for _ in range(8)),
            return_exceptions=True,
        )
    assert all(isinstance(each, ConfigurationError) for each in results)
    assert tryton.calls().count("common.db.login") == 1


async def test_a_session_is_begun_once_however_many_ask_at_the_same_time(tryton: Tryton) -> None:
    async with TrytonClient(system(tryton.url)) as client:
        await asyncio.gather(*(client.search_read("party.party", [], ["id"]) for _ in range(8)))
    assert tryton.calls().count("common.db.login") == 1
    assert tryton.calls().count("common.db.logout") == 1


async def test_a_wrong_password_an_unknown_database_and_a_bad_address_are_told_apart(
    tryton: Tryton,
) -> None:
    secret = "not the passphrase"
    refused = await problem(system(tryton.url_of("nobody", secret)))
    assert "Tryton refuses user 'nobody' of database 'erp'" in refused
    assert secret not in refused
    login = TrytonLogin(user="nobody", password=secret)  # type: ignore[arg-type]
    assert "refuses user 'nobody'" in await problem(system(f"{tryton.address}/erp", login=login))
    unknown = await problem(system(tryton.url.removesuffix("erp") + "nope"))
    assert "there is no such database" in unknown
    for url, words in {
        f"{tryton.address}/erp": "user and password are missing",
        tryton.url.removesuffix("/erp"): "`url` is not https://HOST:PORT/DATABASE",
        tryton.url.replace("http", "ftp", 1): "`url` is not https://HOST:PORT/DATABASE",
    }.items():
        with pytest.raises(ConfigurationError) as caught:
            TrytonClient(system(url))
        assert words in str(caught.value)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (
            CannedResponse(200, b"<html>", {"Content-Type": "text/html"}),
            "the answer isn't Tryton's (text/html)",
        ),
        (CannedResponse(200, b"[1]"), "the answer isn't Tryton's"),
        (
            CannedResponse(301, b"", {"Location": "https://new/?token=s3cret"}),
            "moved to https://new/; change `url`",
        ),
        (CannedResponse(404), "no such database, or no Tryton"),
    ],
)
async def test_what_is_no_tryton_or_has_moved_says_so(
    tryton: Tryton, say: CannedResponse, words: str
) -> None:
    async with HttpProxy(tryton.address).serving() as between:
        between.rule = lambda _: say
        assert words in await problem(system(between.url(tryton.url)))


async def test_a_session_that_ends_at_once_is_no_endless_loop(tryton: Tryton) -> None:
    def expired(request: ForwardedRequest) -> CannedResponse | None:
        return (
            None
            if b"login" in request.body or b"preferences" in request.body
            else CannedResponse(401)
        )

    async with HttpProxy(tryton.address).serving() as between:
        between.rule = expired
        async with TrytonClient(system(between.url(tryton.url))) as client:
            with pytest.raises(
                ConfigurationError, match="ends the session of user 'admin' at once"
            ):
                await client.search_read("party.party", [], ["id"])


@pytest.mark.parametrize(
    ("reaction", "options", "words", "after"),
    [
        (CannedResponse(503, b"", {"Retry-After": "9"}), {}, "failed or is busy (503)", 9),
        (CannedResponse(429), {}, "refuses for now", None),
        (HANG, {"timeout": 3}, "no answer came", None),
    ],
)
async def test_an_erp_that_is_busy_or_silent_is_asked_again_later(
    tryton: Tryton, reaction: Any, options: dict[str, Any], words: str, after: float | None
) -> None:
    async with HttpProxy(tryton.address).serving() as between:
        async with TrytonClient(system(between.url(tryton.url), options=options)) as client:

            async def begun() -> bool:
                """A slow ERP may answer later than the client waits."""
                with suppress(RetryLater):
                    await client.log_in()
                    return True
                return False

            await until(begun)
            between.rule = lambda request: reaction if b"search_read" in request.body else None
            with pytest.raises(RetryLater) as caught:
                await client.search_read("party.party", [], ["id"])
        assert words in str(caught.value)
        assert caught.value.after == after
    async with TrytonClient(system(between.url(tryton.url))) as client:
        with pytest.raises(RetryLater, match="can't be reached"):
            await client.log_in()


def hanging(_: ForwardedRequest) -> str:
    return HANG


async def test_a_session_is_ended_within_a_moment_whatever_the_erp_does(tryton: Tryton) -> None:
    """Whoever presses Ctrl-C waits for a few of these, one after the other."""
    async with HttpProxy(tryton.address).serving() as between:
        of = system(between.url(tryton.url))
        for busy in (False, True):
            client = TrytonClient(of)
            await client.log_in()
            between.rule = hanging
            between.requests.clear()
            if busy:
                call = asyncio.create_task(client.search_read("party.party", [], ["id"]))
                await until(lambda: between.requests)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            began = time.monotonic()
            await client.close()
            # Far below what an answer is waited for, on a machine that is busy.
            assert time.monotonic() - began < 20
            logouts = [request for request in between.requests if b"logout" in request.body]
            assert len(logouts) == (0 if busy else 1)
            between.rule = nothing
