"""Rounds of hostile input at one running bridge, each followed by proof that nothing stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.connectors.odata.mutated_answers import Mutating
from tests.services.cap import PASSWORD, Cap
from tests.torture.crash_target import ObservedLog
from tests.torture_input import verdict
from tests.torture_input.bridge import TorturedBridge
from tests.torture_input.feed import Fed, feed_records, feed_rows, feed_tasks
from tests.torture_input.hostile import Hostile
from tests.waiting import wait_until

ROUND = 50
"""Inputs of each kind in a round."""


def torture(
    folder: Path,
    log: ObservedLog,
    cap: Cap,
    service: Mutating,
    *,
    inputs: int,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> int:
    """Throw so many inputs of each kind; returns how many pieces were accounted for.

    Fails where the bridge ends, a canary stands still, or something has neither event, receipt nor letter.
    """
    bridge = TorturedBridge(folder, log.setting, service.url(cap.url), PASSWORD)
    hostile, fed = Hostile(seed), Fed()
    with bridge.guarded.running() as run:

        def alive() -> bool:
            assert run.process.poll() is None, f"the bridge ended:\n{run.text}"
            return True

        def canary(number: int) -> None:
            # What the service says is honest again for as long as this is waited for.
            service.begin(None)
            _product(cap, number)
            bridge.sql("insert into task (seed) values (?)", (-number,))
            wait_until(
                lambda: alive() and bridge.canary() == number,
                describe=lambda: f"canary {number} has no effect:\n{run.text[-6000:]}",
            )
            wait_until(
                lambda: alive() and _captured_stock(bridge) == number,
                describe=lambda: (
                    f"canary {number} of the service isn't captured:\n{run.text[-6000:]}"
                ),
            )

        canary(1)
        for number, first in enumerate(range(0, inputs, ROUND), start=2):
            count = min(ROUND, inputs - first)
            service.begin(seed * 1000 + number)
            feed_rows(bridge, hostile, count, fed)
            feed_tasks(bridge, hostile, count, fed)
            asyncio.run(feed_records(bridge, hostile, count, fed))
            canary(number)
            report(f"{first + count} of {inputs} inputs of each kind")
        gaps: dict[str, object] = {}

        def accounted() -> bool:
            gaps.clear()
            gaps.update(verdict.missing(verdict.read(log, "acme"), fed, _effects(bridge)))
            return alive() and not gaps

        wait_until(accounted, describe=lambda: f"{verdict.as_text(gaps)}\n{run.text[-6000:]}")
    _check_listings(bridge)
    report(f"{fed.row_changes} rows, {len(fed.tasks)} tasks, {len(fed.commands)} commands")
    return fed.row_changes + len(fed.tasks) + len(fed.commands)


def _product(cap: Cap, stock: int) -> None:
    with cap.client() as users:
        body = {"ID": "canary", "name": "canary", "stock": stock}
        answer = users.put("Products('canary')", json=body, headers={"If-Match": "*"})
        if answer.status_code in {404, 412}:
            answer = users.post("Products", json=body)
        answer.raise_for_status()


def _captured_stock(bridge: TorturedBridge) -> object:
    """The canary's stock as the last event has it; records of others are shown without a key."""
    canaries = [
        event["after"]["stock"]
        for event in bridge.guarded.events("shop.product")
        if event["key"] == {"id": "canary"} and event["after"] is not None
    ]
    return canaries[-1] if canaries else None


def _effects(bridge: TorturedBridge) -> int:
    """How many changes commands made, by the ledger that is written with them."""
    return int(bridge.sql("select count(*) from bridge_ledger where outcome = 'succeeded'")[0][0])


def _check_listings(bridge: TorturedBridge) -> None:
    """Each listing ends in order, whatever stands in the topics; `Place` looks for tracebacks."""
    for words in (
        ["status"],
        ["commands", "--limit", "100000"],
        ["dead", "--limit", "100000"],
        ["tail", "erp.task", "--no-follow", "--from", "beginning"],
        ["tail", "erp.orders", "--no-follow", "--from", "beginning", "--json"],
    ):
        answer = bridge.guarded.call(*words)
        assert answer.code in {0, 1, 3}, (words, answer)
