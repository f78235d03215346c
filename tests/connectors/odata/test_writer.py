"""Commands into a service: what they do, what they refuse, and what is unknown afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from bridge.connector import Done, Effect, Shape, TableUse
from bridge.model.errors import Fenced, OutcomeUnknown, Rejected, RetryLater, Unsupported
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.connector import connector
from tests.conftest import PrivateCap
from tests.connectors.odata.order_system import system
from tests.http_proxy import (
    CUT,
    DROP,
    HANG,
    CannedResponse,
    ForwardedRequest,
    HttpProxy,
    Rule,
    nothing,
)
from tests.services.cap import Cap, order_id
from tests.services.odatapy import Odatapy
from tests.waiting import until

FIRST_ORDER = order_id(1)
BOTH = pytest.mark.parametrize("version", ["v4", "v2"])


def url_of(cap: Cap, version: str) -> str:
    return cap.url if version == "v4" else cap.v2


def effect(
    statement: str,
    guard: Callable[[Shape | None, Any], None] | None = None,
    *,
    probe: str = "",
    table: str = "Orders",
    **parameters: Any,
) -> Effect:
    values = {"key": FIRST_ORDER, **parameters}
    key = {"ID": values["key"]}
    return Effect("tester:1", "digest", statement, values, table, key, guard, probe=probe)


@asynccontextmanager
async def writing(url: str, **options: Any) -> AsyncIterator[ODataWriter]:
    writer = ODataWriter(system(url, options=options))
    try:
        yield writer
    finally:
        await writer.close()


async def outcome(writer: ODataWriter, command: Effect) -> Done | Exception:
    [result] = await writer.execute([command])
    return result


async def done(writer: ODataWriter, command: Effect) -> Done:
    result = await outcome(writer, command)
    assert isinstance(result, Done), result
    return result


async def code(writer: ODataWriter, command: Effect) -> str:
    result = await outcome(writer, command)
    assert isinstance(result, Rejected), result
    return result.code


def order(cap: Cap, key: str = FIRST_ORDER) -> Mapping[str, Any]:
    with cap.client() as client:
        row: Mapping[str, Any] = client.get(f"Orders({key})").json()
    return row


def count(cap: Cap) -> int:
    with cap.client() as client:
        return int(client.get("Orders/$count").text)


@BOTH
async def test_a_row_is_made_changed_and_deleted(cap: Cap, version: str) -> None:
    new = order_id(7)
    async with writing(url_of(cap, version)) as writer:
        created = await done(
            writer,
            effect(
                "POST Orders ID=:key, number='7', total=:total, express=true, ordered=:day",
                key=new,
                total=Decimal("12345678901.25"),
                day="2026-02-28",
            ),
        )
        assert json.loads(created.result or "")[0]["number"] == "7"
        changed = await done(
            writer, effect("PATCH Orders(:key) status='H', note=:note", key=new, note="it's; so")
        )
        row = order(cap, new)
        assert (row["status"], row["note"], row["total"], row["express"], row["ordered"]) == (
            "H",
            "it's; so",
            "12345678901.25",
            True,
            "2026-02-28",
        )
        if version == "v4":
            assert changed.shape is not None
            names = [column.name for column in changed.shape.columns]
            assert changed.after[names.index("status")] == "H"
        await done(writer, effect("DELETE Orders(:key)", key=new))
    assert count(cap) == 0


@BOTH
async def test_what_is_not_there_is_not_found_and_never_made_by_a_change(
    cap: Cap, version: str
) -> None:
    """A PATCH without a condition makes the row, says V4."""
    async with writing(url_of(cap, version)) as writer:
        for statement in ("PATCH Orders(:key) note='x'", "DELETE Orders(:key)"):
            assert await code(writer, effect(statement)) == "not_found"
        lost = effect("PATCH Plains(:key) qty=1", key="1", table="Plains")
        assert await code(writer, lost) == "not_found"
    assert count(cap) == 0


async def test_actions_of_a_row_and_of_the_service_are_called(cap: Cap) -> None:
    cap.fill(orders=2)
    async with writing(cap.url) as writer:
        confirmed = await done(
            writer, effect("CALL Orders(:key)/confirm reason=:reason", reason="good")
        )
        assert confirmed.shape is not None
        assert (order(cap)["status"], order(cap)["note"]) == ("C", "good")
        await done(writer, effect("CALL take product=:product, quantity=3", product="P1"))
        refused = await outcome(writer, effect("CALL Orders(:key)/Erp.hold reason='late'"))
        assert isinstance(refused, Rejected)
        assert "Order 0000000001 is not open any more" in str(refused)
        assert await code(writer, effect("CALL take product='P1', quantity=999")) == "conflict"
        with cap.client() as client:
            assert client.get("Products('P1')").json()["stock"] == 98


async def test_function_imports_of_v2_are_called_with_the_key(cap: Cap) -> None:
    cap.fill(orders=2)
    async with writing(cap.v2) as writer:
        await done(writer, effect("CALL Orders_confirm ID=:key, reason='it''s good'"))
        assert (order(cap)["status"], order(cap)["note"]) == ("C", "it's good")


@BOTH
async def test_the_guard_sees_the_row_and_its_version_guards_the_write(
    cap: Cap, version: str
) -> None:
    cap.fill(orders=2)
    seen: list[dict[str, Any]] = []

    def look(shape: Shape | None, raw: Any) -> None:
        assert shape is not None
        seen.append({c.name: value for c, value in zip(shape.columns, raw, strict=True)})

    def refuse(shape: Shape | None, raw: Any) -> None:
        raise Rejected("conflict", "the row has changed")

    def meddle(shape: Shape | None, raw: Any) -> None:
        """Somebody else changes the row behind the guard's back."""
        with cap.client() as client:
            client.patch(
                f"Orders({FIRST_ORDER})", json={"note": "mine"}, headers={"If-Match": "*"}
            ).raise_for_status()

    patch = "PATCH Orders(:key) status='H'"
    async with writing(url_of(cap, version)) as writer:
        assert await code(writer, effect(patch, refuse)) == "conflict"
        assert await code(writer, effect(patch, meddle)) == "conflict"
        assert await code(writer, effect("DELETE Orders(:key)", meddle)) == "conflict"
        call = "CALL Orders(:key)/confirm" if version == "v4" else "CALL Orders_confirm ID=:key"
        assert await code(writer, effect(call, meddle)) == "conflict"
        assert order(cap)["status"] == "O"
        await done(writer, effect(patch, look))
    assert (seen[0]["number"], seen[0]["total"]) == ("0000000001", Decimal("10.00"))
    assert order(cap)["status"] == "H"


async def test_outcomes_are_aligned_and_one_failure_spares_the_rest(cap: Cap) -> None:
    cap.fill(orders=4)
    async with writing(cap.url) as writer:
        outcomes = await writer.execute(
            [
                effect("PATCH Orders(:key) note='a'", key=order_id(1)),
                effect("PATCH Orders(:key) note='b'", key=order_id(99)),
                effect("PATCH Orders(:key) nope='c'", key=order_id(2)),
                effect("PATCH Orders(:key) total='c'", key=order_id(2)),
                effect("PATCH Orders(:key) note='d'", key=order_id(3)),
            ]
        )
    codes = [
        result.code if isinstance(result, Rejected) else type(result).__name__
        for result in outcomes
    ]
    assert codes == ["Done", "not_found", "bad_statement", "bad_value", "Done"]
    assert "did you mean 'note'?" in str(outcomes[2])


@BOTH
async def test_several_requests_of_a_command_happen_together_or_not_at_all(
    cap: Cap, version: str
) -> None:
    cap.fill(orders=2)
    both = "PATCH Orders(:key) note='x'; POST Customers ID=:customer, name='new'"
    async with writing(url_of(cap, version)) as writer:
        assert (await done(writer, effect(both, customer="N1"))).rows == 2
        assert order(cap)["note"] == "x"
        again = await outcome(writer, effect(both.replace("'x'", "'y'"), customer="N1"))
        assert isinstance(again, Rejected), again
        assert order(cap)["note"] == "x"


async def test_writes_get_the_token_that_the_service_asks_for_and_a_new_one_when_it_is_old(
    private_cap: PrivateCap,
) -> None:
    cap = private_cap(csrf=True)
    cap.fill(orders=2)
    async with writing(cap.url) as writer:
        await done(writer, effect("PATCH Orders(:key) note='a'"))
        cap.reset()
        await done(writer, effect("PATCH Orders(:key) note='b'"))
        assert cap.count().v4 == 1
        cap.forget()
        await done(writer, effect("PATCH Orders(:key) note='c'"))
        assert cap.count().v4 == 4
    assert order(cap)["note"] == "c"


async def test_a_service_that_refuses_its_own_token_is_told_and_nothing_is_lost(
    private_cap: PrivateCap,
) -> None:
    cap = private_cap(csrf=True)
    cap.fill(orders=2)

    def forgetful(request: ForwardedRequest) -> None:
        request.headers.pop("cookie", None)

    async with HttpProxy(cap.address).serving() as between:
        between.rule = forgetful
        async with writing(between.url(cap.url)) as writer:
            result = await outcome(writer, effect("PATCH Orders(:key) note='a'"))
    assert isinstance(result, RetryLater)
    assert "its cookies have to be sent along" in str(result)


async def test_nothing_is_sent_again_that_it_is_too_late_to_begin(private_cap: PrivateCap) -> None:
    """Between a refusal for want of a token and the second try much time may pass."""
    cap = private_cap(csrf=True)
    cap.fill(orders=2)
    begun: list[str] = []

    def too_late() -> None:
        if begun:
            raise Fenced("it was announced too long ago")
        begun.append("once")

    async with HttpProxy(cap.address).serving() as between, writing(between.url(cap.url)) as writer:
        command = replace(effect("PATCH Orders(:key) note='late'"), begin=too_late)
        assert isinstance(await outcome(writer, command), Fenced)
    assert [request.method for request in between.requests].count("PATCH") == 1
    assert order(cap)["note"] is None


POST = "POST Orders ID=:key, number='7'"


@pytest.mark.parametrize("reaction", [CUT, HANG])
async def test_a_post_whose_answer_is_lost_is_unknown_and_the_probe_finds_it(
    cap: Cap, reaction: str
) -> None:
    async with HttpProxy(cap.address).serving() as between:
        between.rule = lambda request: reaction if request.method == "POST" else None
        timeout = 3 if reaction == HANG else 60
        async with writing(between.url(cap.url), timeout=timeout) as writer:
            post = effect(POST)

            async def is_written() -> bool:
                """The service, to the writer: a slow one may answer later than it waits."""
                with suppress(RetryLater):
                    return await writer.probe(post) is None
                return False

            await until(is_written)
            lost, later = await writer.execute([post, effect(POST, key=order_id(2))])
            assert isinstance(lost, OutcomeUnknown)
            assert isinstance(later, RetryLater)
            await until(lambda: between.quiet)
        async with writing(cap.url) as writer:
            result = await writer.probe(post)
            assert isinstance(result, Done)
            assert await writer.probe(effect(POST, key=order_id(2))) is None
    assert count(cap) == 1


async def test_a_post_that_never_arrived_is_unknown_and_the_probe_says_that_it_did_not_happen(
    cap: Cap,
) -> None:
    async with HttpProxy(cap.address).serving() as between:
        between.rule = lambda request: DROP if request.method == "POST" else None
        async with writing(between.url(cap.url)) as writer:
            assert isinstance(await outcome(writer, effect(POST)), OutcomeUnknown)
            assert await writer.probe(effect(POST)) is None


async def test_probes_tell_by_the_row_what_may_have_happened(cap: Cap) -> None:
    cap.fill(orders=3)
    patch = "PATCH Orders(:key) status=:status, total=:total"
    confirm = "CALL Orders(:key)/confirm"

    def guard(shape: Shape | None, raw: Any) -> None:
        return None

    async with writing(cap.url) as writer:
        update = effect(patch, status="H", total=Decimal("1.5"))
        with pytest.raises(Unsupported, match="declare a `probe:`"):
            await writer.probe(update)
        assert await writer.probe(effect(patch, guard, status="H", total=Decimal("1.5"))) is None
        await done(writer, update)
        assert isinstance(await writer.probe(update), Done)
        assert await writer.probe(effect(patch, key=order_id(99), status="H", total=1)) is None

        taken = effect("POST Orders ID=:key, number='7'")
        with pytest.raises(Unsupported, match=r"holds something else(.|\n)*declare a `probe:`"):
            await writer.probe(taken)

        assert await writer.probe(effect("DELETE Orders(:key)")) is None
        assert isinstance(await writer.probe(effect("DELETE Orders(:key)", key=order_id(99))), Done)
        with pytest.raises(Unsupported, match="can't be probed"):
            await writer.probe(effect(confirm))
        own = effect(confirm, probe="GET Orders(:key) status='C'")
        assert await writer.probe(own) is None
        await done(writer, own)
        assert isinstance(await writer.probe(own), Done)

        numbered = "GET Orders number=:number, customer_ID='C2'"
        create = effect("POST Orders number=:number", probe=numbered, number="0000000002")
        assert isinstance(await writer.probe(create), Done)
        missing = effect("POST Orders number=:number", probe=numbered, number="77")
        assert await writer.probe(missing) is None


async def test_a_service_that_insists_on_etags_gets_them(odatapy: Odatapy) -> None:
    with odatapy.client() as client:
        client.post("Orders", json={"ID": "1", "status": "O"}).raise_for_status()
        client.post("Customers", json={"ID": "1", "name": "a"}).raise_for_status()
    uses = (TableUse("Orders"), TableUse("Customers"))
    writer = ODataWriter(replace(system(odatapy.url), tables=uses))
    try:
        for statement in ("PATCH Orders(:key) status='C'", "DELETE Orders(:key)"):
            await done(writer, effect(statement, key="1"))
        await done(writer, effect("PATCH Customers(:key) name='b'", key="1", table="Customers"))
        lost = effect("PATCH Customers(:key) name='b'", key="2", table="Customers")
        assert await code(writer, lost) == "not_found"
    finally:
        await writer.close()


async def test_a_service_that_is_away_or_busy_is_asked_again_later(cap: Cap) -> None:
    cap.fill(orders=2)
    command = effect("PATCH Orders(:key) note='a'")
    between = HttpProxy(cap.address)
    async with between.serving(), writing(between.url(cap.url)) as writer:
        await writer.prepare()
        between.rule = lambda _: CannedResponse(429, b"slow down", {"Retry-After": "7"})
        busy = await outcome(writer, command)
        between.rule = lambda _: CannedResponse(403)
        assert await code(writer, command) == "forbidden"
        between.rule = lambda _: CannedResponse(401)
        locked = await outcome(writer, command)
    assert isinstance(busy, RetryLater)
    assert busy.after == 7
    assert isinstance(locked, RetryLater)
    assert "login was refused" in str(locked)
    assert order(cap)["note"] is None


async def prepared(writer: ODataWriter) -> bool:
    """Whether the service is there, as far as the writer knows."""
    try:
        await writer.prepare()
    except RetryLater:
        return False
    return True


def always(say: CannedResponse) -> Rule:
    return lambda _: say


@pytest.mark.parametrize(
    "reaction", [DROP, CannedResponse(503), CannedResponse(401)], ids=["away", "busy", "login"]
)
async def test_before_commands_that_wait_are_tried_it_is_asked_whether_the_service_is_there(
    cap: Cap, reaction: str | CannedResponse
) -> None:
    """Otherwise each try would announce all of them in the log, for as long as it is away."""
    async with HttpProxy(cap.address).serving() as between, writing(between.url(cap.url)) as writer:
        await writer.prepare()
        between.rule = lambda _: reaction
        with pytest.raises(RetryLater):
            await writer.prepare()
        # A login that was refused is tried again after a second.
        between.rule = nothing
        await until(partial(prepared, writer))
        for is_reachable in (always(CannedResponse(404)), always(CannedResponse(403)), nothing):
            between.rule = is_reachable
            await writer.prepare()


@pytest.mark.parametrize(
    ("options", "in_doubt_timeout"),
    [
        ({}, 120),
        ({"timeout": 5}, 120),
        ({"timeout": 300}, 600),
        ({"timeout": 300, "in_doubt_timeout": 2}, 2),
        ({"in_doubt_timeout": 0}, 0),
    ],
)
async def test_a_service_is_given_at_least_the_time_that_servers_take(
    options: dict[str, float], in_doubt_timeout: float
) -> None:
    """Asked too early whether a command has happened, it says no, and gets it twice."""
    writer = ODataWriter(system("http://127.0.0.1:1/", options=options))
    assert writer.in_doubt_timeout == in_doubt_timeout
    await writer.close()


async def test_check_tells_of_a_settling_time_in_which_nobody_may_answer(cap: Cap) -> None:
    """Such as that of an example, which was written for a small service."""

    async def findings_about(commands: bool, **options: float) -> list[tuple[str, bool]]:
        findings = await connector.check(
            replace(system(cap.url, options=options), commands=commands)
        )
        return [
            (finding.what, finding.fatal)
            for finding in findings
            if "in_doubt_timeout" in finding.what
        ]

    [(what, fatal)] = await findings_about(True, in_doubt_timeout=2)
    assert "`in_doubt_timeout` (2 s) is shorter than `timeout` (30 s)" in what
    assert not fatal
    assert await findings_about(True) == []
    assert await findings_about(True, in_doubt_timeout=2, timeout=2) == []
    assert await findings_about(False, in_doubt_timeout=2) == []
