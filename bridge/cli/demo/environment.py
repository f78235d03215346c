"""The demo's environment: a folder with a copy of the example's files, configured for the given
servers.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.absolute_path import absolute_path
from bridge.model.errors import ConfigurationError
from bridge.private_files import make_private_folder
from bridge.resources import data_folder

MARK = ".bridge-demo"
URL = "ERP_URL"


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """The environment of the demo. `erp_url` is secret if it names a server."""

    folder: Path
    erp_url: str = field(repr=False)
    database: str = ""

    @property
    def config(self) -> Path:
        """The bridge's file."""
        return self.folder / "bridge.yaml"

    def erp(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the legacy ERP's own program, which doesn't know the bridge."""
        program = self.folder / "legacy" / "erp.py"
        return subprocess.Popen(  # noqa: S603 - our own programs, with our own words
            [sys.executable, str(program), "-", *words], env={**os.environ, URL: self.erp_url}
        )

    def executor(self, die_after: int) -> subprocess.Popen[bytes]:
        """Start the process that executes commands. It kills itself with SIGKILL between the
        legacy commit and the receipts of the `die_after`th batch (0: never).
        """
        module = "bridge.cli.demo.executor_process"
        return subprocess.Popen(  # noqa: S603 - our own programs, with our own words
            [sys.executable, "-m", module, str(self.config), str(die_after)],
            env={**os.environ, URL: self.erp_url},
        )


def prepare(
    folder: Path, postgres: str | None, kafka: str | None, registry: str | None
) -> DemoEnvironment:
    """Write the files again. Raises ConfigurationError instead of touching a folder of others."""
    folder = absolute_path(folder)
    try:
        _prepare_folder(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} can't be written ({error.strerror}): name another with --folder"
        ) from None
    if kafka:
        _set_log(folder / "bridge.yaml", kafka, registry)
    if not postgres:
        return DemoEnvironment(folder, f"sqlite:///{folder / 'var' / 'erp.db'}")
    database, url = _new_database(postgres)
    _set_postgres(folder / "systems" / "erp.yaml", database)
    return DemoEnvironment(folder, url, database)


def _prepare_folder(folder: Path) -> None:
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise ConfigurationError(
                f"{folder} exists and was not created by the demo: choose another with --folder"
            )
        shutil.rmtree(folder)
    skip = shutil.ignore_patterns("__pycache__", "var")
    shutil.copytree(data_folder("examples") / "demo", folder, ignore=skip)
    make_private_folder(folder / "var")
    (folder / MARK).write_text("made by `bridgectl demo`, which may delete it\n", encoding="utf-8")


def _set_log(file: Path, kafka: str, registry: str | None) -> None:
    """Configure Kafka; a new bridge name separates the topics of each run."""
    line = f"log: kafka://{kafka}" + (f"?registry={registry}" if registry else "")
    text = file.read_text(encoding="utf-8")
    changed = [
        f"bridge: demo_{secrets.token_hex(3)}"
        if row.startswith("bridge:")
        else line
        if row.startswith("log:")
        else row
        for row in text.splitlines()
    ]
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")


def _set_postgres(file: Path, database: str) -> None:
    text = file.read_text(encoding="utf-8")
    changed = []
    for row in text.splitlines():
        if row.startswith("connector:"):
            changed.append("connector: postgres                 # logical replication")
        elif row.startswith("url:"):
            changed.append(f"url: ${{env:{URL}}}")
            changed.append(f"capture: {{publication: {database}, slot: {database}}}")
        else:
            changed.append(row)
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")


def _new_database(url: str) -> tuple[str, str]:
    """Create a new database on the server, so that nothing else there is touched."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    name = f"bridge_demo_{secrets.token_hex(3)}"
    try:
        server = make_url(url).set(drivername="postgresql+psycopg")
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"create database {name}"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise ConfigurationError(
            f"--postgres: no database could be created there: {reason}; the login needs CREATEDB "
            "and REPLICATION"
        ) from None
    return name, server.set(database=name).render_as_string(hide_password=False)


def drop_database(stage: DemoEnvironment) -> None:
    """Drop the slot, which would retain the server's WAL. The database is kept for inspection."""
    if not stage.database:
        return
    from sqlalchemy import create_engine, text

    engine = create_engine(stage.erp_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                "where slot_name = :name and not active"
            ),
            {"name": stage.database},
        )
    engine.dispose()
