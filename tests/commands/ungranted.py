"""The ERP's writer, whose login does not have what one statement needs until somebody gives it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.connector import Done, Effect, System
from bridge.model.errors import ConfigurationError
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.sql.write.writer import SqlWriter

NEEDED = "lifsk"
DENIED = "permission denied for table vbak; grant the user in `url` that right"


class UngrantedWriter(SqlWriter):
    """Refuses what writes the block, but for keys that are `granted_keys`; a file in `folder` is the
    GRANT. `forbidden` are keys that are refused whatever is granted (a row's own policy).
    """

    def __init__(
        self,
        system: System,
        folder: Path,
        forbidden: Sequence[str] = (),
        revoked_after: Sequence[str] = (),
    ) -> None:
        """Behind the first effect on one of `revoked_after` the right is taken away again."""
        super().__init__(system, SqliteJournal().sql)
        self._folder = folder
        self._revoked_after = {key.zfill(10) for key in revoked_after}
        self._forbidden = {key.zfill(10) for key in forbidden}
        self.refusal_counts: list[int] = []

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        refused = set()
        for effect in effects:
            key = effect.parameters["key"]
            if NEEDED in effect.statement:
                if not is_granted(self._folder) or key in self._forbidden:
                    refused.add(effect.command_id)
                elif key in self._revoked_after:
                    self._revoked_after.clear()
                    (self._folder / "granted").unlink()
        self.refusal_counts.append(len(refused))
        passed = [effect for effect in effects if effect.command_id not in refused]
        outcomes = iter(await super().execute(passed))
        return [
            ConfigurationError(DENIED) if effect.command_id in refused else next(outcomes)
            for effect in effects
        ]


def is_granted(folder: Path) -> bool:
    return (folder / "granted").exists()


def grant(folder: Path) -> None:
    (folder / "granted").touch()
