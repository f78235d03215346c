"""Which journal a system's database has: a new one is a folder beside `sqlite`, and a line in `DIALECTS`."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.connector import System
from bridge.model.errors import ConfigurationError
from connectors.journal.dialects.contract import JournalDialect
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.sql.engine import parse_url

DIALECTS: Mapping[str, JournalDialect] = {"sqlite": SqliteJournal()}


def dialect_for(system: System) -> JournalDialect:
    """The journal of the system's database; raises ConfigurationError where there is none."""
    name = parse_url(system).get_backend_name()
    if name not in DIALECTS:
        raise ConfigurationError(
            f"system {system.name!r}: the journal connector knows {', '.join(sorted(DIALECTS))}, "
            f"not {name!r}"
        )
    return DIALECTS[name]
