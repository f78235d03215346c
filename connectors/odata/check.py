"""What is missing or dangerous, and by what means each entity set's changes are noticed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

from bridge.connector import Finding, System, TableUse
from bridge.model.errors import BridgeError, ConfigurationError
from connectors.odata.asking import query
from connectors.odata.changed import ChangedPoller
from connectors.odata.client import Client
from connectors.odata.means import choose
from connectors.odata.model import Service
from connectors.odata.options import options_of


async def check(system: System) -> list[Finding]:
    """As `bridge.connector.Connector.check`. A service that can't be reached is a finding too."""
    try:
        client = Client(system)
    except ConfigurationError as error:
        return [Finding(str(error))]
    try:
        service = await client.metadata()
        found = [Finding(text) for text in _unknown_sets(system, service)]
        for use in system.tables:
            found += [finding async for finding in _table(client, service, system, use)]
        return found
    except BridgeError as error:
        return [Finding(str(error))]
    finally:
        await client.close()


def _unknown_sets(system: System, service: Service) -> list[str]:
    captured = {use.table for use in system.tables}
    return [
        f"system {system.name!r}: capture.sets names {name!r}, on which no entity stands"
        for name in options_of(system.options).sets
        if name not in captured or name not in service.sets
    ]


async def _table(
    client: Client, service: Service, system: System, use: TableUse
) -> AsyncIterator[Finding]:
    where, options = f"system {system.name!r}", options_of(system.options)
    try:
        chosen = await choose(client, service, use, options)
        await client.page(use.table, query(chosen.table, top=1))
        poller = chosen.poller(client, options, time.monotonic)
        blind = isinstance(poller, ChangedPoller) and await poller.blind()
    except BridgeError as error:
        text = str(error)
        yield Finding(text if text.startswith(where) else f"{where}: {text}")
        return
    if chosen.means == "listing" and options.of(use.table).means is None:
        yield Finding(
            f"{where}: entity set {use.table!r} tracks no changes and tells no time of change, so "
            f"all of its rows are read every {options.poll:g} s",
            "switch change tracking on in the service, or name a property that every change "
            f"raises: capture: {{sets: {{{use.table}: {{changed: PROPERTY}}}}}}",
            fatal=False,
        )
    if blind:
        yield Finding(
            f"{where}: rows of entity set {use.table!r} carry no {chosen.changed}; changes of them "
            f"are found only by comparing with the log, every {options.reconcile:g} s",
            f"fill {chosen.changed} in, or say another property under capture.sets",
            fatal=False,
        )


async def means(system: System) -> Mapping[str, str]:
    """As `bridge.connector.Means.means`."""
    client, options = Client(system), options_of(system.options)
    try:
        service = await client.metadata()
        return {
            use.table: (await choose(client, service, use, options)).phrase(options)
            for use in system.tables
        }
    finally:
        await client.close()
