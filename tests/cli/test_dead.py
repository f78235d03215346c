"""`bridgectl dead` as an operator on call uses it: which row, which handler, where, and what next."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click
import pytest

from bridge.cli.app import group
from bridge.config import load
from bridge.model.system_records import DeadLetter
from bridge.wiring import open_bridge
from tests.cli.bridge_folder import BridgeFolder

MANY = 126


def put_letters(bridge_folder: BridgeFolder, letters: Sequence[DeadLetter]) -> None:
    async def act() -> None:
        async with open_bridge(load(bridge_folder.config, os.environ)) as bridge:
            entries = [bridge.codec.letter(letter, 10_000) for letter in letters]
            await bridge.log.append("demo.dead", entries)

    asyncio.run(act())


def letter(number: int, source: str = "loud") -> DeadLetter:
    return DeadLetter("event", source, f"no {number}", datetime.now(UTC), "t", 0, number)


def test_more_letters_than_are_shown_are_said_and_can_be_paged_through(lived: BridgeFolder) -> None:
    put_letters(lived, [letter(number) for number in range(MANY)])
    newest = lived.call("dead", "--source", "loud", "--json")
    assert [row["reason"] for row in newest.rows] == [f"no {n}" for n in range(MANY - 50, MANY)]
    assert f"the newest 50 of {MANY} dead letters" in newest.err
    assert "--limit 0" in newest.err
    every = lived.call("dead", "--source", "loud", "--limit", "0", "--json")
    assert len(every.rows) == MANY
    assert every.err == ""
    seen = [every.rows[0]["letter"]]
    while True:
        page = lived.call(
            "dead", "--source", "loud", "--after", seen[-1], "--limit", "60", "--json"
        )
        if page.code == 3:
            break
        seen += [row["letter"] for row in page.rows]
        assert ("more follow: --after" in page.err) is (len(seen) < MANY)
    assert seen == [row["letter"] for row in every.rows]
    wrong = lived.call("dead", "--after", "0-99999")
    assert wrong.code == 2
    assert "--after 0-99999" in wrong.err


def test_commands_say_that_there_are_more_too(lived: BridgeFolder) -> None:
    total = len(lived.call("commands", "--limit", "0", "--json").rows)
    if total < 2:
        key = ("--key", "4711", "--arg", "reason=x")
        assert lived.call("commands", "send", "erp.block_order", *key).code == 0
        total += 1
    letter = lived.call("commands", "--limit", "1", "--json")
    assert len(letter.rows) == 1
    assert f"the newest 1 of {total} commands" in letter.err
    first = lived.call("commands", "--limit", "0", "--json").rows[0]["id"]
    assert len(lived.call("commands", "--after", first, "--json").rows) == total - 1


def test_rows_that_are_left_out_of_a_read_are_said(lived_once: BridgeFolder) -> None:
    few = lived_once.call("get", "erp.customer", "--limit", "2", "--json")
    assert len(few.rows) == 2
    assert "only the first 2 rows" in few.err
    assert "only the first" not in lived_once.call("get", "customer", "--limit", "40").err


def test_a_letter_names_its_row_handler_and_age(lived_once: BridgeFolder) -> None:
    (event,) = lived_once.call("dead", "--kind", "event", "--json").rows
    assert (event["entity"], event["row_key"]) == ("erp.customer", {"customer_id": "3"})
    assert event["handler"] == "stumble"
    (row,) = lived_once.call("dead", "--kind", "row", "--json").rows
    assert row["entity"] == "erp.sales_order"
    assert row["row_key"] == {"order_no": "0000004713"}
    table = lived_once.call("dead").out
    head, *lines = table.splitlines()
    assert "key" in head.split()
    assert "age" in head.split()
    assert not any(event["event_id"] in line for line in lines)


def test_a_row_without_a_declared_key_is_named_by_the_key_that_the_log_has(
    lived: BridgeFolder,
) -> None:
    system = lived.folder / "systems" / "erp.yaml"
    text = system.read_text()
    undeclared = text.replace("    key: order_no\n", "")
    assert undeclared != text
    system.write_text(undeclared)
    (row,) = lived.call("dead", "--kind", "row", "--json").rows
    assert row["row_key"] == {"order_no": "0000004713"}


def test_a_row_that_became_no_event_is_shown_by_what_its_log_line_says(
    lived_once: BridgeFolder,
) -> None:
    (row,) = lived_once.call("dead", "--kind", "row", "--json").rows
    (line,) = [
        line
        for line in (lived_once.folder / "run.log").read_text().splitlines()
        if "dead letter" in line and "kind=row" in line
    ]
    letter = re.search(r"show='bridgectl (dead show \S+)'", line)
    assert letter is not None, line
    answer = lived_once.call(*letter[1].split(), "--json")
    assert answer.rows[0]["letter"] == row["letter"]
    assert "entity=erp.sales_order" in line


def test_a_letter_is_found_by_what_the_log_line_says_of_it(lived: BridgeFolder) -> None:
    (event,) = lived.call("dead", "--kind", "event", "--json").rows
    record_position = f"{event['topic']}:{event['partition']}:{event['offset']}"
    for name in (event["letter"], event["event_id"], record_position):
        letter = lived.call("dead", "show", name, "--json")
        assert letter.rows[0]["letter"] == event["letter"], name
    assert lived.call("dead", "show", "erp:nothing").code == 3
    assert lived.call("dead", "retry", event["event_id"], "--yes").code == 0
    assert "already handed back" in lived.call("dead", "retry", event["letter"], "--yes").err


def test_an_event_that_two_agents_parked_is_named_by_their_numbers(lived: BridgeFolder) -> None:
    put_letters(lived, [letter(7, "one"), letter(7, "two"), letter(7, "two")])
    answer = lived.call("dead", "show", "t:0:7")
    assert answer.code == 2
    assert "ambiguous" in answer.err
    assert answer.err.count("-") >= 2


def test_where_a_handler_failed_is_shown_and_printed_in_the_log(lived_once: BridgeFolder) -> None:
    (event,) = lived_once.call("dead", "--kind", "event", "--json").rows
    assert "stumbler.py" in event["traceback"]
    letter = lived_once.call("dead", "show", event["letter"]).out
    assert "in stumble\n    raise RuntimeError(" in letter
    lines = (lived_once.folder / "run.log").read_text()
    assert f"show='bridgectl dead show {event['event_id']}'" in lines
    assert "in stumble\n    raise RuntimeError(" in lines


@pytest.mark.parametrize("name", ["first", "0_17", "--"])
def test_what_names_no_letter_is_refused(lived_once: BridgeFolder, name: str) -> None:
    assert lived_once.call("dead", "show", name).code == 2


def commands_of(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of `bridgectl` with its words."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from commands_of(inner, f"{name} {each}".strip())


def test_no_listing_ends_in_silence_by_a_limit_that_nobody_asked_for() -> None:
    """A new one takes its options from `bridge.cli.output.page`, and says what it leaves out."""
    limited = {
        name: {param.name for param in command.params}
        for name, command in commands_of(group)
        for param in command.params
        if param.name == "limit" and isinstance(param.default, int)
    }
    assert {"dead", "commands", "get"} <= limited.keys()
    del limited["get"]  # It says so itself, and is asked by key; its --after is a position.
    assert [name for name, params in limited.items() if "after" not in params] == []
