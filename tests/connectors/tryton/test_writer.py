"""Commands into Tryton: what they do, what they refuse, and what is unknown afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bridge.connector import Done, Shape
from bridge.model.errors import (
    Fenced,
    MissingRight,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    SystemBusy,
)
from connectors.tryton.commands.writer import TrytonWriter
from tests.connectors.tryton.erp import ErpUser, system
from tests.connectors.tryton.written_commands import (
    created_id,
    done,
    effect,
    fits,
    outcome,
    refused,
    writing,
)
from tests.http_proxy import DROP, CannedResponse, ForwardedRequest, HttpProxy
from tests.services.tryton import OUTSIDER, Tryton


async def test_a_sale_is_made_with_its_lines_changed_and_deleted(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    party, address = erp_user.customers[0]
    reference = erp_user.reference()
    async with writing(tryton.url) as writer:
        key = created_id(
            await done(
                writer,
                effect(
                    "CREATE sale.sale party=:party, reference=:ref, invoice_address=:address, "
                    "shipment_address=:address, sale_date=:day, comment='it''s; new', lines=["
                    "(product=:product, quantity=:quantity, unit=:unit, unit_price=2.50), "
                    "(type='comment', description='thanks')]",
                    party=party,
                    address=address,
                    ref=reference,
                    day=date(2026, 2, 28),
                    product=erp_user.products[0],
                    quantity=3,
                    unit=erp_user.unit,
                ),
            )
        )
        row = erp_user.row(key, "party", "reference", "comment", "lines", "untaxed_amount")
        assert erp_user.referring(reference) == [key]
        assert (row["party"], row["comment"]) == (party, "it's; new")
        assert row["untaxed_amount"] == Decimal("7.50")
        first, second = sorted(row["lines"])

        lines = json.dumps([{"id": first, "quantity": 5}, {"type": "comment", "description": "x"}])
        await done(
            writer, effect("WRITE sale.sale(:key) comment=null, lines=:more", key, more=lines)
        )
        row = erp_user.row(key, "comment", "lines", "untaxed_amount")
        assert (row["comment"], len(row["lines"])) == (None, 3)
        assert row["untaxed_amount"] == Decimal("12.50")

        line = effect("DELETE sale.line(:key)", second, table="sale.line")
        await done(writer, line)
        assert second not in erp_user.row(key, "lines")["lines"]
        assert (await refused(writer, line))[0] == "not_found"
        await done(writer, effect("BUTTON sale.sale(:key)/cancel", key))
        await done(writer, effect("DELETE sale.sale(:key)", key))
    assert erp_user.referring(reference) == []


async def test_what_is_not_there_is_not_found(tryton: Tryton) -> None:
    async with writing(tryton.url) as writer:
        for statement in (
            "WRITE sale.sale(:key) comment='x'",
            "DELETE sale.sale(:key)",
            "BUTTON sale.sale(:key)/quote",
        ):
            assert (await refused(writer, effect(statement, 987_654)))[0] == "not_found"


async def test_buttons_take_a_sale_through_its_workflow_and_out_of_turn_the_erp_says_why(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    async with writing(tryton.url) as writer:
        code, why = await refused(writer, effect("BUTTON sale.sale(:key)/confirm", key))
        assert code == "legacy_error"
        assert 'You can not call "confirm" on' in why
        for button, state in (("quote", "quotation"), ("confirm", "processing")):
            await done(writer, effect(f"BUTTON sale.sale(:key)/{button}", key))
            assert erp_user.row(key, "state")["state"] == state
        await done(writer, effect("BUTTON sale.sale(:key)/process", key))
        code, why = await refused(writer, effect("DELETE sale.sale(:key)", key))
    assert "you must cancel it" in why
    assert len(erp_user.row(key, "shipments")["shipments"]) == 1


async def test_the_guard_sees_the_row_and_its_timestamp_guards_the_call(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    seen: list[dict[str, Any]] = []

    def look(shape: Shape | None, raw: Any) -> None:
        assert shape is not None
        seen.append({c.name: value for c, value in zip(shape.columns, raw, strict=True)})

    def refuse(shape: Shape | None, raw: Any) -> None:
        raise Rejected("conflict", "the row has changed")

    def meddle(shape: Shape | None, raw: Any) -> None:
        """Somebody else changes the row behind the guard's back."""
        erp_user.rpc.call("model.sale.sale.write", [key], {"comment": "mine"})

    async with writing(tryton.url) as writer:
        write = "WRITE sale.sale(:key) comment='ours'"
        assert (await refused(writer, effect(write, key, refuse)))[0] == "conflict"
        assert erp_user.row(key, "comment")["comment"] is None
        for statement in (write, "DELETE sale.sale(:key)", "BUTTON sale.sale(:key)/quote"):
            code, why = await refused(writer, effect(statement, key, meddle))
            assert code == "conflict", why
            assert "somebody else changed the row" in why
        row = erp_user.row(key, "comment", "state")
        assert (row["comment"], row["state"]) == ("mine", "draft")
        await done(writer, effect("BUTTON sale.sale(:key)/quote", key, look))
    assert (seen[0]["id"], seen[0]["state"], seen[0]["comment"]) == (key, "draft", "mine")
    assert erp_user.row(key, "state")["state"] == "quotation"


async def test_a_warning_refuses_a_command_that_does_not_name_it(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    """Nobody is there to answer it; the receipt tells what it says and how to allow it."""
    button, key = "BUTTON stock.move(:key)/do", erp_user.arrival()
    async with writing(tryton.url) as writer:
        code, why = await refused(writer, effect(button, key, table="stock.move"))
        assert code == "warning"
        assert "in the future" in why
        assert "despite 'effective_date_future'" in why
        other = effect(f"{button} despite 'done'", key, table="stock.move")
        assert (await refused(writer, other))[0] == "warning"
        assert erp_user.row(key, "state", model="stock.move")["state"] == "draft"
        allowed = effect(
            f"{button} despite 'other', 'effective_date_future'", key, table="stock.move"
        )
        await done(writer, allowed)
        assert erp_user.row(key, "state", model="stock.move")["state"] == "done"
        another = effect(button, erp_user.arrival(), table="stock.move")
        assert (await refused(writer, another))[0] == "warning"


async def test_an_answer_to_a_warning_does_not_outlive_the_command_that_gave_it(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    """Else the next command would pass the warning without being allowed to."""
    key = erp_user.arrival()
    button = "BUTTON stock.move(:key)/do despite 'effective_date_future'"

    def agree(shape: Shape | None, raw: Any) -> None:
        return None

    def meddle(request: ForwardedRequest) -> None:
        """Somebody else changes the row between the warning and its answer."""
        if b"res.user.warning.skip" in request.body:
            erp_user.rpc.call("model.stock.move.write", [key], {"quantity": 2.0})

    async with HttpProxy(tryton.address).serving() as between:
        between.rule = meddle
        async with writing(between.url(tryton.url)) as writer:
            code, _ = await refused(writer, effect(button, key, agree, table="stock.move"))
    assert code == "conflict"
    assert erp_user.rpc.search("res.user.warning") == []
    async with writing(tryton.url) as writer:
        plain = effect(button.partition(" despite")[0], key, table="stock.move")
        assert (await refused(writer, plain))[0] == "warning"


async def test_outcomes_are_aligned_and_one_failure_spares_the_rest(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    first, second = erp_user.sell(), erp_user.sell()
    wrong = {
        "WRITE sale.sale(:key) coment='a'": ("bad_statement", "did you mean 'comment'"),
        "WRITE sale.sale(:key) state='lost'": ("bad_value", "expected one of draft, quotation"),
        "WRITE sale.sale(:key) party='Brown'": ("bad_value", "field 'party' (many2one of party"),
        "WRITE sale.sale(:key) lines=7": ("bad_value", "expected a list"),
        "WRITE sale.sale(:key) lines=[1]": ("bad_value", "is no row"),
        "WRITE sale.sale(:key) lines=[(qty=1)]": ("bad_statement", "no field 'qty'"),
        "WRITE sale.sale(:key) create_date=null": ("bad_statement", "fills in 'create_date'"),
        "WRITE sale.sale(:key) comment=:nope": ("bad_statement", ":nope is not declared"),
        # The ERP names any one of the fields that no longer fit: the party or its address.
        "WRITE sale.sale(:key) party=987654": ("legacy_error", 'of "Sale" is not valid'),
        "WRITE sale.nope(:key) comment=1": ("bad_statement", "no model 'sale.nope'"),
        "BUTTON sale.sale(:key)/confrim": (
            "bad_statement",
            "no button 'confrim'; did you mean 'confirm'",
        ),
        "BUTTON sale.sale(:key)/read": ("bad_statement", "no button 'read'"),
        "FIND sale.sale(:key) state='draft'": ("bad_statement", "belongs in `probe:`"),
        "PATCH sale.sale(:key) state='x'": ("bad_statement", "CREATE, WRITE, DELETE, BUTTON"),
    }
    async with writing(tryton.url) as writer:
        outcomes = await writer.execute(
            [
                effect("WRITE sale.sale(:key) comment='a'", first),
                *(effect(statement, first) for statement in wrong),
                effect("WRITE sale.sale(:key) comment='b'", second),
            ]
        )
    for result, (code, why) in zip(outcomes[1:-1], wrong.values(), strict=True):
        assert isinstance(result, Rejected)
        assert not isinstance(result, MissingRight)
        assert (result.code, why in str(result)) == (code, True), result
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[-1], Done)
    assert [erp_user.row(key, "comment")["comment"] for key in (first, second)] == ["a", "b"]


async def test_rows_are_named_by_fields_of_theirs_and_several_only_where_that_is_meant(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    reference = erp_user.reference()
    keys = [erp_user.sell(), erp_user.sell()]
    erp_user.rpc.call("model.sale.sale.write", keys, {"reference": reference})
    write = "WRITE sale.sale(reference=:ref) comment='both'"
    async with writing(tryton.url) as writer:
        assert (await refused(writer, effect(write, ref=reference)))[0] == "too_many_rows"
        assert (await done(writer, effect(write, ref=reference, many=True))).rows == 2
        assert (await refused(writer, effect(write, ref="nobody's")))[0] == "not_found"
    assert [erp_user.row(key, "comment")["comment"] for key in keys] == ["both", "both"]


async def test_who_may_not_is_told_in_the_erps_words(tryton: Tryton, erp_user: ErpUser) -> None:
    key = erp_user.sell()
    async with writing(tryton.url_of(OUTSIDER)) as writer:
        for statement in ("BUTTON sale.sale(:key)/quote", "WRITE sale.sale(:key) comment='x'"):
            result = await outcome(writer, effect(statement, key))
            # Its commands wait: a right can be given.
            assert isinstance(result, MissingRight), result
            assert result.code == "legacy_error"
            assert 'You are not allowed to access "Sale"' in str(result)


async def test_an_erp_that_is_away_or_busy_or_something_else_is_asked_again_later(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    command = effect("WRITE sale.sale(:key) comment='later'", key)
    answers = {
        "refuses for now": CannedResponse(429, b"", {"Retry-After": "7"}),
        "has moved to https://elsewhere/": CannedResponse(
            301, b"", {"Location": "https://elsewhere/"}
        ),
    }
    between = HttpProxy(tryton.address)
    async with between.serving(), writing(between.url(tryton.url)) as writer:
        await writer.prepare()
        for words, say in answers.items():
            between.rule = fits("model.sale.sale.write", say)
            result = await outcome(writer, command)
            assert isinstance(result, RetryLater)
            assert words in str(result)
        between.rule = fits(
            "model.sale.sale.write", CannedResponse(200, b"<html>", {"Content-Type": "x"})
        )
        assert isinstance(await outcome(writer, command), OutcomeUnknown)
        assert erp_user.row(key, "comment")["comment"] is None
        between.rule = fits("common.db.login", CannedResponse(401))
        async with writing(between.url(tryton.url)) as locked:
            result = await outcome(locked, command)
            assert isinstance(result, RetryLater)
            assert "refuses user 'admin'" in str(result)
            with pytest.raises(RetryLater, match="refuses user 'admin'"):
                await locked.probe(command)


BUSY = "<h1>Service Unavailable</h1>\n<p>{}</p>"


@pytest.mark.parametrize(
    ("text", "error_type"),
    [
        ("could not serialize access due to concurrent update", SystemBusy),
        ("could not obtain lock on relation &quot;ir_sequence_strict&quot;", SystemBusy),
        ("deadlock detected", SystemBusy),
        ("database is locked", SystemBusy),
        ("couldn&#39;t get a connection after 30.00 sec", SystemBusy),
        ("the connection is lost", OutcomeUnknown),
        ("", OutcomeUnknown),
    ],
)
async def test_what_the_erps_database_took_back_did_not_happen_and_what_it_lost_is_unknown(
    tryton: Tryton, text: str, error_type: type[Exception]
) -> None:
    key = tryton.rpc.create("kit.order", {"order_no": "1"})
    command = effect("WRITE kit.order(:key) qty=1", key, table="kit.order")
    between = HttpProxy(tryton.address)
    async with between.serving(), writing(between.url(tryton.url)) as writer:
        between.rule = fits(
            "model.kit.order.write", CannedResponse(503, BUSY.format(text).encode())
        )
        result = await outcome(writer, command)
    assert type(result) is error_type, result


def test_an_answer_that_was_lost_is_waited_for_as_long_as_a_transaction_may_last() -> None:
    for options, seconds in (({}, 300), ({"overlap": 900}, 900), ({"in_doubt_timeout": 5}, 5)):
        assert TrytonWriter(system("http://a:b@erp/x", options=options)).in_doubt_timeout == seconds


@pytest.mark.parametrize(
    "reaction", [DROP, CannedResponse(503), CannedResponse(401)], ids=["away", "busy", "login"]
)
async def test_before_commands_that_wait_are_tried_it_is_asked_whether_the_erp_is_there(
    tryton: Tryton, reaction: str | CannedResponse
) -> None:
    """Otherwise each try would announce all of them in the log, for as long as it is away."""
    between = HttpProxy(tryton.address)
    async with between.serving(), writing(between.url(tryton.url)) as writer:
        await writer.prepare()
        between.rule = lambda _: reaction
        with pytest.raises(RetryLater):
            await writer.prepare()
        between.rule = lambda _: None
        await writer.prepare()


async def test_nothing_is_sent_in_a_new_session_that_it_is_too_late_to_begin(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    begun: list[str] = []

    def too_late() -> None:
        if begun:
            raise Fenced("it was announced too long ago")
        begun.append("once")

    between = HttpProxy(tryton.address)
    async with between.serving(), writing(between.url(tryton.url)) as writer:
        between.rule = fits("model.sale.sale.write", CannedResponse(401))
        command = replace(effect("WRITE sale.sale(:key) comment='late'", key), begin=too_late)
        assert isinstance(await outcome(writer, command), Fenced)
    sent = [request for request in between.requests if b"model.sale.sale.write" in request.body]
    assert len(sent) == 1
    assert erp_user.row(key, "comment")["comment"] is None
