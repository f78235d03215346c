"""What the journal can't tell any more stops the source."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from bridge.model.errors import ConfigurationError, HistoryLost
from connectors.journal import connector

from .conftest import Legacy
from .opened import TABLE, opened


class TestHistory:
    """What the journal can't tell any more stops the source."""

    async def test_a_log_that_is_behind_the_acknowledged_journal_is_refused(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t", purge_after_ms=0))
        early = (await source.read(10, 0)).checkpoint
        legacy.run("INSERT INTO t VALUES (1, 1)")
        await source.ack((await source.read(10, 0)).checkpoint)
        await source.close()
        for after, reason in ((early, "what lies between is gone"), (None, "no checkpoint")):
            source = await connector.source(legacy.system("t"))
            with pytest.raises(HistoryLost, match=reason):
                await source.open(after)
            await source.close()
        legacy.run("UPDATE bridge_journal_state SET confirmed = NULL")
        source = await opened(legacy.system("t"))
        await source.close()

    async def test_a_journal_that_was_dropped_and_made_again_is_refused(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t"))
        after = (await source.read(10, 0)).checkpoint
        await source.close()
        legacy.run("DROP TABLE bridge_journal_state")
        await connector.setup(legacy.system("t"))
        source = await connector.source(legacy.system("t"))
        with pytest.raises(HistoryLost, match="created again"):
            await source.open(after)
        await source.close()

    @pytest.mark.parametrize("writes_after_restore", [0, 30])
    async def test_a_restored_backup_is_refused_even_after_new_writes_passed_the_checkpoint(
        self, legacy: Legacy, tmp_path: Path, writes_after_restore: int
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t", purge_after_ms=0))
        copy = tmp_path / "backup.db"
        with sqlite3.connect(copy) as backup:
            legacy.db.backup(backup)
        backup.close()
        after = b""
        for number in range(10):
            legacy.run(f"INSERT INTO t VALUES ({number}, 1)")
            after = (await source.read(10, 0)).checkpoint
            await source.ack(after)
        await source.close()
        legacy.db.close()
        for name in ("erp.db-wal", "erp.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        shutil.copy(copy, legacy.path)
        legacy.db = sqlite3.connect(legacy.path, isolation_level=None)
        for number in range(writes_after_restore):
            legacy.run(f"INSERT INTO t VALUES ({number}, 2)")
        source = await connector.source(legacy.system("t"))
        with pytest.raises(HistoryLost, match="backup"):
            await source.open(after)
        await source.close()

    async def test_a_checkpoint_of_another_connector_is_refused(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        await connector.setup(legacy.system("t"))
        source = await connector.source(legacy.system("t"))
        with pytest.raises(ConfigurationError, match="not a journal's"):
            await source.open(b"\x00\x01")
        await source.close()
