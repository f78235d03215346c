"""Random runs: whatever happens to the process and to the file, the view is the rows of the log."""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway.view.system_view import SystemView
from bridge.gateway.view.view_file import COMPANIONS
from bridge.model.position import format_position
from tests.gateway.view.change_records import order
from tests.gateway.view.test_view_file import damage
from tests.gateway.view.written_log import Change, WrittenLog, held, reaches, written_log

NUMBERS = range(12)


class ViewRun:
    """A view under random events. in_doubt: keys whose rows may have to be asked for; since their last
    whole row something of them failed, or was sent in part.
    """

    def __init__(self, log: WrittenLog, dice: random.Random) -> None:
        self.log = log
        self.dice = dice
        self.in_doubt: set[int] = set()
        self.view: SystemView | None = None
        self.running: asyncio.Task[None] | None = None
        self.rebuilt = 0

    def start(self) -> None:
        if self.running is None:
            self.view = SystemView(self.log.parts())
            self.running = asyncio.create_task(self.view.run())

    async def stop(self) -> None:
        """In order, at any time."""
        if self.running is not None:
            await asyncio.sleep(self.dice.choice([0, 0.001, 0.02]))
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.view = self.running = None

    async def kill(self) -> None:
        """What the process leaves if it is killed now is what the next one opens."""
        path = self.log.parts().path
        left = self.log.folder / "left"
        shutil.rmtree(left, ignore_errors=True)
        left.mkdir()
        if self.running is not None:
            await asyncio.sleep(self.dice.choice([0, 0.001, 0.02, 0.1]))
            for each in list(path.parent.glob(f"{path.name}*")):
                with suppress(FileNotFoundError):  # The view has removed it since.
                    shutil.copyfile(each, left / each.name)
            await self.stop()
            for suffix in COMPANIONS:
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            for each in left.iterdir():
                shutil.copyfile(each, path.with_name(each.name))

    async def damage(self) -> None:
        await self.dice.choice([self.stop, self.kill])()
        path = self.log.parts().path
        files = [
            each
            for suffix in COMPANIONS
            if (each := path.with_name(path.name + suffix)).exists() and each.stat().st_size
        ]
        if files:
            damage(self.dice, self.dice.choice(files))

    async def write(self) -> None:
        dice, missing = self.dice, {}
        changes: list[Change] = []
        for number in dice.sample(NUMBERS, dice.randint(1, 4)):
            row = order(number, dice.choice([None, 1, 2, 3]), f"note {dice.randrange(99)}")
            kind = dice.random()
            if kind < 0.25:
                changes.append(("order", number, None))
                self.in_doubt.discard(number)
                continue
            current = self.log.rows["order"].get(number)
            if kind < 0.5 and current is not None:
                row = {**row, "note": current["note"]}
                missing[number] = ["note"]
            else:
                self.in_doubt.discard(number)
            changes.append(("order", number, row))
        await self.log.write(*changes, missing=missing)

    async def fail(self) -> None:
        """A change of a key is dead-lettered, before others of it that are sent in part."""
        number = self.dice.choice(NUMBERS)
        self.log.commit += 1
        self.in_doubt.add(number)
        await self.log.dead_letter(number, format_position(0, self.log.commit, 0))
        if (current := self.log.rows["order"].get(number)) is not None:
            failed = {**current, "note": "what failed"}
            sent = {**failed, "customer_id": 7}
            self.log.rows["order"][number] = failed
            await self.log.write(("order", number, sent), missing={number: ["note"]})

    async def compare(self) -> None:
        self.start()
        assert self.view is not None
        await reaches(self.view, await self.log.write())
        rows = held(self.view, NUMBERS)
        expected: dict[int, Any] = dict(self.log.rows["order"])
        for number in self.in_doubt:
            # It may be known or not; what fails may not be taken for what was.
            assert rows.pop(number, None) in ("?", expected.pop(number, None))
        assert rows == expected
        if not self.in_doubt:
            for customer in (1, 2, 3):
                [orders] = self.view.equal("order", ["customer_id"], [(customer,)], 100)
                assert {row["id"] for _, row in orders} == {
                    number for number, row in expected.items() if row["customer_id"] == customer
                }


@pytest.mark.parametrize("seed", range(10))
async def test_a_view_is_what_the_log_says_whatever_happens_to_it(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - repeatable
    async with written_log(tmp_path) as log:
        run = ViewRun(log, dice)
        await log.finish_snapshots()
        for _ in range(30):
            event = dice.choices(
                [run.write, run.fail, run.stop, run.kill, run.damage, run.compare],
                [10, 1, 2, 2, 1, 3],
            )[0]
            await event()
            if dice.random() < 0.7:
                run.start()
        await run.compare()
        await run.stop()
