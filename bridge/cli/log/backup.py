"""`bridgectl log backup`: a copy of the embedded log's file, while it is in use."""

from __future__ import annotations

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

    FILE must not exist yet. To restore it see docs/restore.md. Kafka has its own backups.
    """
    from bridge.log.embedded.backup import copy_file

    log = load_configuration(ctx).log.path
    if log is None:
        raise ConfigurationError(
            "the log is Kafka, which keeps its own copies (`replication`); `bridgectl log copy` "
            "copies it to another log"
        )
    if not log.is_file():
        raise ConfigurationError(f"there is no log at {log} yet")
    size = copy_file(log, file)
    if as_json:
        print_json({"log": str(log), "file": str(file), "bytes": size})
    else:
        click.echo(f"{file}: {size} bytes, the log's state when the backup began")
