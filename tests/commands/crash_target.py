"""Runs an executor of the test's ERP and dies (SIGKILL) or freezes (SIGSTOP) at the named step.

Kafka and PostgreSQL are loaded where they are asked for: this is started many times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bridge.commands import CommandExecutor
from bridge.connector import Writer
from connectors.journal import connector
from tests.agent.sqlite_erp import BRIDGE, SPEC, ErpHarness, open_erp
from tests.commands.rpc_writer import RpcWriter
from tests.commands.ungranted import UngrantedWriter

SESSION = 3.0
"""Seconds: a third of its heir's, who looks for the dead no sooner (a broker's way is another)."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", help="of bridge.commands.contract, or acted:NUMBER")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--rpc", action="store_true")
    parser.add_argument("--blind", action="store_true", help="a probe can't tell")
    parser.add_argument(
        "--ungranted", action="store_true", help="block_order does not have a right"
    )
    parser.add_argument("--postgres", default="")
    parser.add_argument("--kafka", default="")
    parser.add_argument("--bridge", default=BRIDGE)
    return parser.parse_args()


async def writer_of(
    options: argparse.Namespace, here: ErpHarness, reach_step: Callable[[str], None]
) -> Writer:
    if options.rpc:
        return RpcWriter(
            options.folder,
            probes=not options.blind,
            acted=lambda number: reach_step(f"acted:{number}"),
        )
    if options.postgres:
        from connectors.postgres.capture_dialect import POSTGRES
        from connectors.sql.write.writer import SqlWriter

        return SqlWriter(replace(here.system, url=options.postgres, logins=None), POSTGRES)
    if options.ungranted:
        return UngrantedWriter(here.system, options.folder)
    return await connector.writer(here.system)


async def main(options: argparse.Namespace) -> None:
    stops = 0

    def reach_step(reached: str) -> None:
        nonlocal stops
        if reached == options.step and not (options.freeze and stops):
            stops += 1
            os.kill(os.getpid(), signal.SIGSTOP if options.freeze else signal.SIGKILL)

    log = None
    if options.kafka:
        from bridge.log.kafka import from_url

        log = from_url(options.kafka)
    async with open_erp(options.folder, partitions=1, log=log, bridge=options.bridge) as here:
        executor = CommandExecutor(
            SPEC,
            bridge=options.bridge,
            log=here.log,
            codec=here.codec,
            writer=await writer_of(options, here, reach_step),
            ledger=not options.rpc,
            tables=here.tables,
            crash_point=reach_step,
            session_timeout=6.0 if options.kafka else SESSION,
        )
        await executor.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(options()))
