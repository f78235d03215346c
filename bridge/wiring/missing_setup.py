"""What set-up would run in a system as it is now."""

from __future__ import annotations

from bridge.connector import Connector, System


async def missing_statements(connector: Connector, system: System) -> list[str]:
    """The statements that make what is missing now; those of `setup_sql` may be all that a system
    without any of it needs.

    Where nothing is missing, set-up is called: it runs nothing, but raises what keeps it from being
    complete.
    """
    missing = [finding.fix for finding in await connector.check(system) if finding.create]
    return missing or await connector.setup(system)
