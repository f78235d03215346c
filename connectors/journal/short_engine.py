"""An engine for one question to the system's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Engine

from bridge.connector import System
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors


@contextmanager
def engine_for(system: System) -> Iterator[Engine]:
    """An engine for one task, closed afterwards."""
    engine = make_engine(system)
    try:
        with translating_errors(f"system {system.name!r}"):
            yield engine
    finally:
        engine.dispose()
