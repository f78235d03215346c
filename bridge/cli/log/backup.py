"""`bridgectl log backup`: a copy of the embedded log's file, while it is in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import click

from bridge.cli.command_runner import as_json, load_configuration
from bridge.cli.output.rows import print_json
from bridge.model.errors import ConfigurationError


@click.command(epilog="Example: bridgectl log backup /backup/bridge.db")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def backup(ctx: click.Context, *, file: Path, as_json: bool) -> None:
    """Back up the embedded log into FILE, as of one point in time; the bridge may be running.

    FILE must not be there yet. How it is put back: docs/restore.md. Kafka has backups of its own.
    """
    log = load_configuration(ctx).log.path
    if log is None:
        raise ConfigurationError(
            "the log is Kafka, which keeps its own copies (`replication`); `bridgectl log copy` "
            "carries it into another log"
        )
    if not log.is_file():
        raise ConfigurationError(f"there is no log at {log} yet")
    size = copy_file(log, file)
    if as_json:
        print_json({"log": str(log), "file": str(file), "bytes": size})
    else:
        click.echo(f"{file}: {size} bytes, as the log was when this began")


def copy_file(log: Path, file: Path) -> int:
    """Copy within one read transaction, which holds up no writer; returns the size. What was begun
    is removed where it fails. Raises ConfigurationError.
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ConfigurationError(f"{file} is there already: name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}") from None
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{log.absolute().as_uri()}?mode=ro", uri=True)
            ) as source,
            contextlib.closing(sqlite3.connect(file)) as target,
        ):
            # In one step: a copy in several begins again whenever the bridge writes in between.
            source.backup(target, pages=-1)
    except sqlite3.Error as error:
        file.unlink(missing_ok=True)
        raise ConfigurationError(f"{log} can't be copied to {file}: {error}") from None
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file.stat().st_size
