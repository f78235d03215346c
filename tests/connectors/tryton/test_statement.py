"""The grammar of commands, and what Tryton says when it says no. Pure."""

from __future__ import annotations

import pytest

from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from connectors.erp.statement_parser import Parameter
from connectors.tryton.commands.statement import ListLiteral, RowLiteral, TrytonStatement, parse
from connectors.tryton.http.errors import (
    CallRefused,
    error_of,
    fault_of,
    status_error,
    warning_kind,
)

NONE: frozenset[str] = frozenset()
KEY = (("", Parameter("key")),)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (
            "CREATE sale.sale party=:key,\n  comment='it''s', lines=[(product=1, note=null), :id]",
            TrytonStatement(
                "CREATE",
                "sale.sale",
                None,
                "",
                (
                    ("party", Parameter("key")),
                    ("comment", "it's"),
                    (
                        "lines",
                        ListLiteral(
                            (RowLiteral((("product", "1"), ("note", None))), Parameter("id"))
                        ),
                    ),
                ),
                NONE,
            ),
        ),
        (
            "write party.party-party.category(a=:key_a, b='x') active=true, n=-1.50",
            TrytonStatement(
                "WRITE",
                "party.party-party.category",
                (("a", Parameter("key_a")), ("b", "x")),
                "",
                (("active", True), ("n", "-1.50")),
                NONE,
            ),
        ),
        ("DELETE sale.line(:key)", TrytonStatement("DELETE", "sale.line", KEY, "", (), NONE)),
        (
            "BUTTON sale.sale(:key)/confirm despite 'a.b', 'c'",
            TrytonStatement("BUTTON", "sale.sale", KEY, "confirm", (), frozenset({"a.b", "c"})),
        ),
        (
            "WRITE x.y(:key) despite=1 despite 'w'",
            TrytonStatement("WRITE", "x.y", KEY, "", (("despite", "1"),), frozenset({"w"})),
        ),
        (
            "FIND sale.sale state=['draft', 'done'], reference=:id",
            TrytonStatement(
                "FIND",
                "sale.sale",
                None,
                "",
                (("state", ListLiteral(("draft", "done"))), ("reference", Parameter("id"))),
                NONE,
            ),
        ),
    ],
)
def test_statements_are_read(text: str, means: TrytonStatement) -> None:
    assert parse(text) == means


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a statement for Tryton is missing, such as WRITE"),
        ("sale.sale(:key)", "it should begin with one of CREATE, WRITE"),
        ("WRITE", "a model is missing at its end"),
        ("WRITE sale.sale", "WRITE names its row: WRITE sale.sale(:key)"),
        ("WRITE sale.sale()", "the row has no name: sale.sale(:key)"),
        ("WRITE sale.sale(:key)", "changes at least one field"),
        ("WRITE sale.sale(:key) comment", "comment is missing its value: comment=:value"),
        ("WRITE sale.sale(:key) comment=", "a value is missing at its end"),
        ("WRITE sale.sale(:key) comment=open", "'open' is no value: use :parameter, 'text'"),
        ("WRITE sale.sale(:key) a=1 b=2", "a comma is missing"),
        ("WRITE sale.sale(:key) a=1, a=2", "a is given twice"),
        ("WRITE sale.sale(:key) a=[1", "a comma is missing"),
        ("WRITE sale.sale(:key) a='x", "\"'x\" can't be read"),
        ("WRITE sale.sale(:key) a=1; DELETE b(:key)", "a command is one statement"),
        ("CREATE sale.sale(:key) a=1", "CREATE creates a new row"),
        ("DELETE sale.sale(:key) a=1", "DELETE takes no fields"),
        ("BUTTON sale.sale/confirm", "BUTTON names a row and its button"),
        ("BUTTON sale.sale(:key)/confirm state='x'", "BUTTON takes no fields"),
        ("WRITE sale.sale(:key)/confirm", "a button is pressed by BUTTON sale.sale(:key)/confirm"),
        ("BUTTON sale.sale(:key)/confirm despite", "a warning's name is missing at its end"),
        ("BUTTON sale.sale(:key)/confirm despite done", "is in quotes: despite 'NAME'"),
        ("BUTTON sale.sale(:key)/confirm despite 'a' 'b'", "\"'b'\" is too much at its end"),
        ("FIND sale.sale", "FIND names a row, or values of it"),
        ("FIND sale.sale(:key) a=1 despite 'b'", "FIND changes nothing, so there are no warnings"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert why in str(caught.value)


HASH = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            ["UserError", ["Not now.", "Try\nlater", None]],
            "legacy_error",
            "x: Not now. - Try; later",
        ),
        (
            ["UserWarning", [f"{HASH}.delete.delegated", "Sure?", ""]],
            "warning",
            "'delete.delegated'",
        ),
        (["ConcurrencyException", "Records were modified"], "conflict", "somebody else changed"),
        (["division by zero", "Traceback\n  more"], "legacy_error", "x: division by zero"),
        (["'sale.nope'", ""], "legacy_error", "x: 'sale.nope'"),
        ("anything", "legacy_error", "x: anything"),
        ([], "legacy_error", "x: the ERP failed"),
    ],
)
def test_what_tryton_says_becomes_a_sentence(error: object, code: str, text: str) -> None:
    refusal = error_of(fault_of(error), "x")
    assert isinstance(refusal, CallRefused)
    assert refusal.code == code
    assert text in str(refusal)
    assert "Traceback" not in str(refusal)


@pytest.mark.parametrize(
    "text",
    [
        "database is locked",
        "could not serialize access due to concurrent update",
        "deadlock detected\nDETAIL: Process 7 waits",
        "canceling statement due to lock timeout",
    ],
)
def test_a_database_in_which_others_came_first_is_asked_again(text: str) -> None:
    """All of it was rolled back, and by then the others are done."""
    assert isinstance(error_of(fault_of([text, "Traceback"]), "x"), RetryLater)
    assert isinstance(error_of(fault_of(["UserError", [text, ""]]), "x"), CallRefused)


def test_a_second_factor_and_a_forbidden_call_are_no_fault_of_a_command() -> None:
    login_error = error_of(fault_of(["LoginException", ["device", "Code", "char"]]), "x")
    assert isinstance(login_error, ConfigurationError)
    assert "user of its own" in str(login_error)
    forbidden = status_error(403, "x")
    assert isinstance(forbidden, Rejected)
    assert forbidden.code == "forbidden"


def test_a_warning_s_name_is_that_without_the_records_it_is_about() -> None:
    assert warning_kind(f"{HASH}.done") == "done"
    assert warning_kind(f"{HASH}.delete.delegated") == "delete.delegated"
    assert warning_kind("taxes_changed") == "taxes_changed"
    assert warning_kind("sale.late") == "sale.late"
