"""Commands that can't be: refused with all that is wrong, and nothing takes effect."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.log.port import Entry, TopicSpec
from bridge.model.command import Command, seal
from bridge.model.system_records import target
from bridge.wiring import open_bridge
from tests.bad_input.erp import GuardedErp, demo_erp
from tests.waiting import wait_until

ORDER = (
    "insert into vbak values ('0000000007', '0000000001', '20260131', '101500', 100, 1, '', null)"
)
COMMANDS = """\
commands:
  change_order:
    entity: sales_order
    args:
      reason: {type: string, max_length: 8}
      total: {type: "decimal(9,2)", minimum: "0"}
      count: {type: integer, maximum: 10, default: 1}
      when: {type: date, required: false}
      sure: {type: boolean, required: false}
      colour: {type: string, choices: [red, green], required: false}
      code: {type: string, pattern: "[A-Z]{2}", required: false}
    run: "update vbak set ztext = :reason, netwr = netwr + :count, lifsk = '01' where vbeln = :key
      and (:total + 0 is not null or :when is null or :sure or :colour = :code)"
    tier: outside_the_loop
"""
RIGHT = {"reason": "fine", "total": "1.50"}
#: What is given, and what has to be said about it.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"reason": None}, "reason is missing"),
    ({"reason": "far too long"}, "reason should have at most 8 characters, not 12"),
    ({"total": "much"}, "total"),
    ({"total": "1.505"}, "total"),
    ({"total": "-1"}, "total should be at least 0, not -1"),
    ({"count": "many"}, "count"),
    ({"count": "1.5"}, "count"),
    ({"count": "11"}, "count should be at most 10, not 11"),
    ({"when": "tomorrow"}, "when"),
    ({"sure": "perhaps"}, "sure"),
    ({"colour": "blue"}, "colour should be one of red, green"),
    ({"code": "x"}, "code should match [A-Z]{2}"),
    ({"count": "--5"}, "count should be a whole number"),
    ({"count": "9" * 5000}, "count should be a whole number"),
    ({"total": "1e300000000"}, "total should be a decimal(9,2)"),
    ({"size": "1"}, "size is not an argument; there are reason, total"),
]


@pytest.fixture
def new_erp(tmp_path: Path) -> GuardedErp:
    """An ERP with one order and a command with arguments of every kind."""
    new_erp = demo_erp(tmp_path / "erp", set_up=False)
    file = new_erp.bridge.folder / "systems" / "erp.yaml"
    file.write_text(file.read_text().partition("commands:")[0] + COMMANDS)
    assert new_erp.bridge.call("setup", "erp", "--yes").code == 0
    new_erp.sql(ORDER)
    return new_erp


def unchanged(new_erp: GuardedErp) -> bool:
    return new_erp.sql("select netwr, lifsk, ztext from vbak") == [(100, "", None)]


@pytest.mark.usefixtures("processes")
def test_what_people_send_is_refused_in_words_before_it_is_sent(new_erp: GuardedErp) -> None:
    send = ("commands", "send")
    calls = []
    for wrong_part, says in WRONG:
        texts = [
            f"--arg={name}={value}" for name, value in {**RIGHT, **wrong_part}.items() if value
        ]
        calls.append(((*send, "erp.change_order", "--key", "7", *texts), says))
    right = [f"--arg={name}={value}" for name, value in RIGHT.items()]
    calls += [
        ((*send, "erp.chnge_order", "--key", "7"), "did you mean erp.change_order?"),
        ((*send, "nothing", "--key", "7"), "nothing is not declared"),
        ((*send, "change_order", *right), "--key"),
        ((*send, "change_order", "--key", '{"colour": 1}', *right), "order_no"),
        ((*send, "change_order", "--key", "7", "--arg", "reason"), "--arg"),
        ((*send, "change_order", "--key", "7", *right, "--deadline", "soon"), "soon"),
    ]
    for words, says in calls:
        answer = new_erp.bridge.inside(*words)
        assert answer.code == 2, (words, answer)
        assert says in answer.text, (words, says, answer)
    assert unchanged(new_erp)
    # One of them as a process, and then the right one takes effect.
    new_erp.bridge.fails(*calls[0][0], code=2, says=["reason is missing"])
    assert new_erp.bridge.call("commands").code == 3
    with new_erp.bridge.running():
        sent = new_erp.bridge.call(*send, "change_order", "--key", "7", *right, "--wait", "60")
        assert sent.code == 0, sent
    assert new_erp.sql("select netwr, lifsk, ztext from vbak") == [(101, "01", "fine")]


@pytest.mark.usefixtures("processes")
def test_what_other_programs_write_is_rejected_by_receipt_and_the_next_is_carried_out(
    new_erp: GuardedErp,
) -> None:
    key: dict[str, Any] = {"order_no": "7"}
    wrong = [("erp.change_order", key, {**RIGHT, **wrong_part}, says) for wrong_part, says in WRONG]
    wrong += [
        ("erp.nothing", key, {}, "erp.nothing is not declared"),
        ("erp.change_order", {"colour": "1"}, RIGHT, "has the fields order_no, not colour"),
        ("erp.change_order", {"order_no": [1]}, RIGHT, "use the key of its row"),
    ]
    with new_erp.bridge.running() as run:
        run.says("streaming")
        asyncio.run(write(new_erp, [(name, at, args) for name, at, args, _ in wrong]))
        asyncio.run(write(new_erp, [("erp.change_order", key, RIGHT)]))
        receipts_read = wait_until(
            lambda: receipts(new_erp, len(wrong) + 1), describe=lambda: run.text
        )
        assert [row["outcome"] for row in receipts_read].count("succeeded") == 1
        messages = [row["message"] for row in receipts_read if row["outcome"] == "rejected"]
        assert len(messages) == len(wrong)
        for *_, says in wrong:
            assert any(says in message for message in messages), (says, messages)
        # What is no command at all is put aside.
        (letter,) = new_erp.bridge.call("dead", "--kind", "command", "--json").rows
        assert "commands" in new_erp.bridge.call("dead", "show", letter["letter"]).text
    assert new_erp.sql("select netwr, lifsk, ztext from vbak") == [(101, "01", "fine")]


def receipts(new_erp: GuardedErp, count: int) -> list[dict[str, Any]]:
    answer = new_erp.bridge.inside("tail", "receipts", "--no-follow", "--json")
    return answer.rows if len(answer.rows) >= count else []


async def write(
    new_erp: GuardedErp, commands: list[tuple[str, dict[str, Any], dict[str, Any]]]
) -> None:
    """Commands and something that is none, as any program may append them."""
    async with open_bridge(load(new_erp.bridge.config, os.environ)) as bridge:
        topic = bridge.codec.topic("command")
        await bridge.log.create_topics([TopicSpec(topic)])
        records = [
            seal(
                Command(name, key, args),
                key,
                agent="stranger",
                requested_at=datetime.now(UTC),
                idempotency_key=f"{number}/{name}/{len(commands)}",
                handler="test",
            )
            for number, (name, key, args) in enumerate(commands)
        ]
        entries = [
            bridge.codec.entry("command", target("erp", "sales_order", record_key(key)), record)
            for (_, key, _), record in zip(commands, records, strict=True)
        ]
        if len(commands) == 1:
            entries.append(Entry(b"no key", b"no command"))
        await bridge.log.append(topic, entries)


def record_key(key: dict[str, Any]) -> dict[str, Any]:
    """What the record's own key holds; a program may put anything there."""
    return {name: str(value) for name, value in key.items()}
