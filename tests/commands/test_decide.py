from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import Agent
from bridge.commands.decision.arguments import check_args
from bridge.commands.decision.decide import Await, Execute, Refuse, decide
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.receipt import Outcome
from bridge.model.specs import ArgSpec, CommandSpec, EntitySpec, FieldSpec, Tier
from bridge.model.system_records import Target
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from tests.agent.sqlite_erp import memory_shape

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
SHAPE = memory_shape("vbak", ["vbeln", "ztext"])
ORDER = EntitySpec(
    "erp",
    "sales_order",
    "vbak",
    ("order_no",),
    (FieldSpec("order_no", ("vbeln",), zeros=10), FieldSpec("note", ("ztext",))),
)
TABLE = EntityTable(ORDER, entity_type(ORDER, SHAPE), SHAPE)
TEXT, MONEY = FieldType("string"), FieldType("decimal", 15, 2)
SPEC = CommandSpec(
    "erp",
    "block_order",
    "sales_order",
    "update vbak set ztext = :reason where vbeln = :key",
    (
        ArgSpec("reason", TEXT, max_length=10, pattern="[a-z ]+"),
        ArgSpec("level", FieldType("integer"), required=False, minimum=1, maximum=9),
        ArgSpec("kind", TEXT, required=False, default="soft", choices=("soft", "hard")),
        ArgSpec("amount", MONEY, required=False),
    ),
    Tier.OUTSIDE_THE_LOOP,
)
COMMANDS = {
    "erp.block_order": SPEC,
    "erp.human_order": replace(SPEC, name="human_order", tier=Tier.IN_THE_LOOP),
    "erp.veto_order": replace(SPEC, name="veto_order", tier=Tier.ON_THE_LOOP),
}


def sealed(command: Command) -> CommandRecord:
    return seal(command, command.key, agent="tester", requested_at=NOW, idempotency_key="tester/1")


def decided(record: CommandRecord, entity: str = "sales_order") -> Any:
    record_target = Target("erp", entity, record.key)
    return decide(record, record_target, COMMANDS, {"sales_order": TABLE}, NOW)


def command(name: str = "erp.block_order", **more: Any) -> Command:
    return Command(name, **{"key": {"order_no": "1"}, "args": {"reason": "late"}, **more})


def test_a_good_command_becomes_an_effect_with_the_sources_own_key() -> None:
    decision = decided(sealed(command(args={"reason": "late", "amount": "5.00"})))
    assert isinstance(decision, Execute)
    effect = decision.effect
    assert effect.parameters == {
        "id": effect.command_id,
        "reason": "late",
        "level": None,
        "kind": "soft",
        "amount": Decimal("5.00"),
        "key": "0000000001",
        "key_order_no": "0000000001",
    }
    assert (effect.table, effect.key) == ("vbak", {"vbeln": "0000000001"})
    assert {name: str(kind) for name, kind in effect.types.items()} == {
        "reason": "string",
        "level": "integer",
        "kind": "string",
        "amount": "decimal(15,2)",
    }
    assert effect.guard is None


@pytest.mark.parametrize("name", ["erp.human_order", "erp.veto_order"])
def test_commands_of_the_stricter_tiers_wait_for_a_person(name: str) -> None:
    decision = decided(sealed(command(name)))
    assert isinstance(decision, Await)
    assert "a person has to approve it" in decision.message


@pytest.mark.parametrize(
    ("refused", "code", "message"),
    [
        (command("erp.blok_order"), "unknown_command", r"did you mean erp\.block_order"),
        (command("erp.zzz"), "unknown_command", "there are erp"),
        (command(key={"no": "1"}), "bad_key", "the fields order_no, not no"),
        (command(key={"order_no": ["1"]}), "bad_key", "not one value"),
        (command(key={"order_no": None}), "bad_key", "not one value"),
        (command(args={}), "bad_args", "reason is missing"),
        (
            command(args={"reason": "MUCH TOO LONG", "level": 0, "wrong": 1}),
            "bad_args",
            "wrong is not an argument.*reason should have at most 10.*level should be at least 1",
        ),
        (command(args={"reason": "A"}), "bad_args", r"should match \[a-z \]\+"),
        (command(args={"reason": "a", "kind": "mild"}), "bad_args", "one of soft, hard"),
        (command(args={"reason": "a", "level": 10}), "bad_args", "at most 9"),
    ],
)
def test_what_cannot_be_executed_is_rejected_with_a_sentence(
    refused: Command, code: str, message: str
) -> None:
    decision = decided(sealed(refused))
    assert isinstance(decision, Refuse)
    assert (decision.outcome, decision.code) == (Outcome.REJECTED, code)
    assert re.search(message, decision.message)


def test_a_command_past_its_deadline_is_expired_not_executed() -> None:
    decision = decided(sealed(command(deadline=NOW - timedelta(seconds=1))))
    assert isinstance(decision, Refuse)
    assert decision.outcome == Outcome.EXPIRED
    assert isinstance(decided(sealed(command(deadline=NOW))), Execute)


def test_a_command_that_was_tampered_with_is_rejected() -> None:
    good = sealed(command())
    for bad, code in (
        (replace(good, args='{"reason":"other"}'), "bad_digest"),
        (replace(good, expect="v"), "bad_digest"),
        (replace(good, agent="another"), "bad_id"),
        (replace(good, idempotency_key="x"), "bad_id"),
        (replace(good, args="{"), "bad_command"),
        (replace(good, key="[]"), "bad_command"),
    ):
        decision = decided(bad)
        assert isinstance(decision, Refuse)
        assert decision.code == code
    assert decided(good, "customer").code == "bad_target"


@given(
    st.sampled_from(["erp", "shop", "", "ERP"]),
    st.sampled_from(["sales_order", "customer"]),
    st.sampled_from(["1", "2", "01", " 1"]),
    st.sampled_from(["{0}", " {0}", "{0} ", "[{0}]"]),
)
def test_a_command_is_carried_out_only_on_the_row_that_its_log_key_names(
    system: str, entity: str, order: str, form: str
) -> None:
    """The log's key is that of its order, its partition and its receipt."""
    key = form.format(f'{{"order_no":"{order}"}}')
    decision = decide(
        sealed(command()), Target(system, entity, key), COMMANDS, {"sales_order": TABLE}, NOW
    )
    fits = (system, entity, key) == ("erp", "sales_order", '{"order_no":"1"}')
    assert isinstance(decision, Execute) == fits
    if not fits:
        assert isinstance(decision, Refuse)
        assert (decision.outcome, decision.code) == (Outcome.REJECTED, "bad_target")


PRETENDERS = [
    "person-root", "person", "person_ann", "executor", "executor-2", "bridge", "bridgectl",
    "system", "coordinator", "policy", "people", "bootstrap",
]  # fmt: skip
MISSPELT = ["Person-root", "person root", "p\u0435rson-root", "", "x" * 64, "root\n", "-x", "ann/1"]


@pytest.mark.parametrize("name", [*PRETENDERS, *MISSPELT])
def test_a_name_that_poses_as_a_person_or_the_bridge_is_refused_to_agents_and_foreign_records(
    name: str,
) -> None:
    with pytest.raises(ConfigurationError, match=r"is a reserved name|is not a valid name"):
        Agent(name)
    record = seal(
        command(),
        {"order_no": "1"},
        agent=name,
        requested_at=NOW,
        idempotency_key="1",
        handler="watch",
        caused_by="erp:1",
    )
    decision = decided(record)
    assert (decision.outcome, decision.code) == (Outcome.REJECTED, "bad_agent")


@pytest.mark.parametrize("name", ["personal", "systematic", "policy-watch", "bridge-builder"])
def test_a_name_that_only_begins_like_a_reserved_word_is_an_agents(name: str) -> None:
    assert Agent(name).name == name


def test_what_a_person_sends_by_bridgectl_is_carried_out() -> None:
    record = seal(
        command(),
        {"order_no": "1"},
        agent="person-ann",
        requested_at=NOW,
        idempotency_key="1",
        handler="bridgectl",
    )
    assert isinstance(decided(record), Execute)
    for forged in (replace(record, handler="watch"), replace(record, caused_by="erp:1")):
        assert decided(forged).code == "bad_agent"


def test_an_argument_that_is_null_counts_as_missing() -> None:
    with pytest.raises(Rejected, match="reason is missing"):
        check_args(SPEC, {"reason": None})
    assert check_args(SPEC, {"reason": "a", "level": None})["level"] is None


@pytest.mark.parametrize(
    ("key", "args"),
    [
        ("[" * 100_000, "{}"),
        ('{"order_no": "1"}', '{"reason": ' + "[" * 900 + "]" * 900 + "}"),
        ('{"order_no": "1"}', '{"reason": "\\ud800"}'),
        ('{"order_no": "1"}', '{"\\ud800": 1, "b": 2}'),
        ('{"order_no": "\\udfff"}', "{}"),
    ],
    ids=["deep key", "deep args", "surrogate", "surrogate name", "surrogate key"],
)
def test_content_of_which_no_digest_can_be_made_is_rejected(key: str, args: str) -> None:
    """Whoever may write commands could end the executor by it, again and again."""
    record = replace(sealed(Command("erp.block_order", {"order_no": "1"})), key=key, args=args)
    refused = decided(record)
    assert isinstance(refused, Refuse)
    assert refused.code == "bad_command"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(("reason", "level", "kind", "amount", "other"))


@given(key=JSON, args=st.dictionaries(NAMES, JSON, max_size=4), expect=st.none() | st.text())
def test_whatever_a_command_holds_something_is_decided(
    key: Any, args: dict[str, Any], expect: str | None
) -> None:
    command = Command("erp.block_order", {"order_no": key}, args=args, expect=expect)
    try:
        record = sealed(command)
    except (ValueError, TypeError, Rejected):
        return
    assert isinstance(decided(record), Execute | Refuse)
