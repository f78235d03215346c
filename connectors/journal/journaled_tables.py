"""Which tables are journaled just now, and what their rows in the journal hold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from sqlalchemy.engine import Connection

from bridge.connector import System, TableUse
from bridge.model.errors import ConfigurationError
from connectors.journal.dialects.contract import JournalDialect, TableProblem
from connectors.journal.layout import Frame, Layout, frame_for
from connectors.sql.schema.tables import TableCatalog, read_table


class JournaledTables:
    """What was last read of a system's tables, triggers and layouts.

    problems: by table, why its changes are not journaled.
    frames: by layout number, how its rows are read; only of configured tables.
    layouts: the numbers of all layouts that the journal describes.
    """

    def __init__(self, system: System, dialect: JournalDialect) -> None:
        self._dialect = dialect
        self._where = f"journal of {system.name!r}"
        self._name = system.name
        self._uses: Mapping[str, TableUse] = {use.table: use for use in system.tables}
        self._schema: Hashable | None = None
        self._untyped: dict[str, Layout] = {}
        """Tables that are there and whose keys may be ambiguous, by their newest layout."""
        self.problems: dict[str, TableProblem] = {}
        self.frames: dict[int, Frame] = {}
        self.layouts: frozenset[int] = frozenset()

    def refresh(self, connection: Connection) -> None:
        """Read tables and triggers again where somebody changed them since the last call."""
        schema = self._dialect.schema_token(connection)
        if schema != self._schema:
            self._read_schema(connection)
            self._schema = schema

    def check_keys(self, connection: Connection) -> None:
        """Read again which tables have two rows with one key in the log."""
        for table, layout in self._untyped.items():
            reason = self._dialect.ambiguous_key(connection, layout)
            if reason:
                self.problems[table] = TableProblem(reason)
            else:
                self.problems.pop(table, None)

    def read_layouts(self, connection: Connection) -> None:
        """Read what the rows of each layout hold."""
        catalogs: dict[str, TableCatalog | None] = {}
        layouts = self._dialect.layouts(connection)
        self.layouts = frozenset(layout.id for layout in layouts)
        for layout in layouts:
            use = self._uses.get(layout.table)
            if use is None:
                continue
            if layout.table not in catalogs:
                try:
                    catalogs[layout.table] = read_table(connection, layout.table, use.key)
                except ConfigurationError:
                    # Dropped or renamed since: its last changes are still emitted.
                    catalogs[layout.table] = None
            self.frames[layout.id] = frame_for(layout, catalogs[layout.table])

    def _read_schema(self, connection: Connection) -> None:
        self.frames.clear()
        self.layouts = frozenset()
        if not self._dialect.exists(connection):
            raise ConfigurationError(
                f"{self._where}: its tables are gone; make them with `bridgectl setup {self._name}`"
            )
        layouts: Sequence[Layout] = self._dialect.layouts(connection)
        self.problems = self._dialect.find_problems(connection, list(self._uses), layouts)
        newest = {layout.table: layout for layout in layouts if layout.table in self._uses}
        self._untyped = {
            table: layout
            for table, layout in newest.items()
            if table not in self.problems and self._dialect.may_be_ambiguous(layout)
        }
        self.check_keys(connection)
