"""Listings of topics in which something stands that can't be read, and the ways past it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence

import pytest

from bridge.config import load
from bridge.log.port import Entry
from bridge.model.system_records import DeadLetter, Target
from bridge.wiring import open_bridge
from tests.cli.bridge_folder import BridgeFolder
from tests.hostile_values import HALF_EMOJI
from tests.model.test_system_records import COMMAND

FOREIGN = '{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}'
FIXED = ("commands", "receipts", "audit", "approvals", "dead")


def append(bridge_folder: BridgeFolder, topic: str, entries: Sequence[Entry]) -> None:
    async def act() -> None:
        async with open_bridge(load(bridge_folder.config, os.environ)) as bridge:
            await bridge.log.append(topic, entries)

    asyncio.run(act())


def poison(bridge_folder: BridgeFolder, topic: str) -> int:
    """What other programs may write anywhere; how many records."""

    async def act() -> int:
        async with open_bridge(load(bridge_folder.config, os.environ)) as bridge:
            ids = [
                await bridge.registry.register(f"x{n}-value", text)
                for n, text in enumerate(('"string"', FOREIGN))
            ]
            framed = [b"\0" + number.to_bytes(4, "big") for number in ids]
            own = bridge.codec.entry("command", Target("erp", "x", "{}"), COMMAND)
            junk = [
                Entry(b"k", b"\0\0\0\0"),
                Entry(b"k", b"\0\xff\xff\xff\xffx"),
                Entry(b"k", framed[0] + b"\x04ab"),
                Entry(b"k", framed[1] + b"\x02" * 200_000),
                Entry(b"\xff", (own.value or b"")[:30], timestamp=2**60),
                Entry(b"no key", own.value),
                Entry(b"k", json.dumps({"emoji": HALF_EMOJI, "n": 1e999}).encode()),
                Entry(b"k", b"[" * 100_000),
                Entry(b"k", b'{"n": ' + b"9" * 5000 + b"}"),
                Entry(None, b""),
            ]
            await bridge.log.append(topic, junk)
            return len(junk)

    return asyncio.run(act())


@pytest.fixture
def poisoned(lived: BridgeFolder) -> BridgeFolder:
    for which in FIXED:
        poison(lived, f"demo.{which}")
    poison(lived, "demo.erp.sales_order")
    return lived


def test_every_listing_shows_or_skips_what_it_cant_read(poisoned: BridgeFolder) -> None:
    for which in (*FIXED, "sales_order"):
        for words in (("--json",), (), ("--raw", "--json")):
            listing = poisoned.call("tail", which, "--no-follow", *words)
            assert listing.code == 0, (which, words)
            assert len(listing.out.splitlines()) >= 10
        rows = poisoned.call("tail", which, "--no-follow", "--json").rows
        assert [row for row in rows if "contains itself" in row.get("unreadable", "")] or (
            which == "sales_order"
        )
    calls: list[tuple[str, ...]] = [
        ("commands",),
        ("dead",),
        ("dead", "--all"),
        ("commands", "show", COMMAND.id),
    ]
    for call in calls:
        for more in (("--json",), ()):
            listed = poisoned.call(*call, *more)
            assert listed.code in (0, 3), (call, listed)
            if call[-1] != COMMAND.id:
                assert listed.code == 0
            assert "could not be read and were skipped" in listed.err
            assert "contains itself" not in listed.out
    (letter, *_) = poisoned.call("dead", "--kind", "event", "--json").rows
    assert poisoned.call("dead", "show", letter["letter"], "--json").code == 0


def test_a_replay_counts_what_it_cant_read_and_copies_the_rest(poisoned: BridgeFolder) -> None:
    file = poisoned.folder / "replayed.jsonl"
    words = ("replay", "sales_order", "--offset", "0", "--to", str(file), "--json")
    (summary,) = poisoned.call(*words).rows
    assert summary["selected"] > 3
    assert summary["unreadable"] >= 9


@pytest.mark.parametrize(
    "topic",
    [
        *(f"demo.{which}" for which in FIXED),
        "demo.seals",
        "demo.erp.sales_order",
        "_demo.positions",
        "_demo.schemas",
        "_demo.replay.credit-watch",
    ],
)
def test_topics_of_the_bridges_own_are_no_target_of_a_replay(
    lived_once: BridgeFolder, topic: str
) -> None:
    words = ("replay", "sales_order", "--offset", "0", "--to", f"topic:{topic}")
    for more in ((), ("--dry-run",)):
        refused = lived_once.call(*words, *more)
        assert refused.code == 1
        assert "a topic of the bridge's own" in refused.err


def test_a_record_is_skipped_once_it_was_shown_and_stays_as_a_letter(lived: BridgeFolder) -> None:
    group, topic = "demo.executor.erp", "demo.commands"
    append(
        lived, topic, [Entry(b"k", b"poison 1", partition=0), Entry(b"k", b"poison 2", partition=0)]
    )
    skip = ("log", "offsets", "skip-record", group, "--topic", "commands", "--partition", "0")
    before = lived.call("log", "groups", group, "--partitions", "--json").rows
    dry = lived.call(*skip, "--dry-run", "--json")
    assert (dry.rows[0]["record"]["value"], dry.rows[0]["skipped"]) == ("poison 1", False)
    assert lived.call(*skip, stdin="n\n").code == 1
    assert lived.call("log", "groups", group, "--partitions", "--json").rows == before
    done = lived.call(*skip, "--yes")
    assert done.code == 0
    assert "poison 1" in done.out
    assert lived.call(*skip, "--dry-run", "--json").rows[0]["record"]["value"] == "poison 2"
    (letter,) = lived.call("dead", "--kind", "command", "--json").rows
    assert (letter["source"], letter["error"]) == ("erp", "Skipped")
    assert "an operator skipped it" in letter["reason"]
    assert lived.call(*skip, "--yes", "--count", "5").code == 0
    assert lived.call(*skip, "--yes").code == 3
    assert (
        lived.call(
            "log", "offsets", "skip-record", "nobody", "--topic", "dead", "--partition", "0"
        ).code
        == 3
    )


def test_a_skipped_event_can_be_handed_back(lived: BridgeFolder) -> None:
    group = "demo.agent.credit-watch"
    assert lived.call("log", "offsets", "reset", group, "--to", "beginning", "--yes").code == 0
    rows = lived.call("log", "groups", group, "--partitions", "--json").rows
    row = next(r for r in rows if r["topic"] == "demo.erp.sales_order" and r["lag"])
    skip = ("log", "offsets", "skip-record", group, "--topic", "sales_order")
    assert lived.call(*skip, "--partition", str(row["partition"]), "--yes").code == 0
    letters = lived.call("dead", "--source", "credit-watch", "--json").rows
    assert [letter["error"] for letter in letters] == ["Skipped"]
    assert lived.call("dead", "retry", letters[0]["letter"], "--yes").code == 0


def test_only_as_many_letters_are_held_as_are_listed(lived: BridgeFolder) -> None:
    """A topic of them may be larger than the memory."""

    async def act() -> None:
        async with open_bridge(load(lived.config, os.environ)) as bridge:
            await bridge.log.append(
                "demo.dead",
                [
                    bridge.codec.letter(
                        DeadLetter("event", "loud", str(n), COMMAND.requested_at, "t", 0, n), 10_000
                    )
                    for n in range(500)
                ],
            )

    asyncio.run(act())
    rows = lived.call("dead", "--source", "loud", "--limit", "3", "--json").rows
    assert [row["reason"] for row in rows] == ["497", "498", "499"]
