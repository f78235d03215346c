"""`bridgectl log`: topics, groups and copies of the event log."""

from __future__ import annotations

import click

from bridge.cli.log.backup import backup
from bridge.cli.log.copy import copy
from bridge.cli.log.delete_group import delete
from bridge.cli.log.groups import groups, reset, skip
from bridge.cli.log.skip_record import skip_record
from bridge.cli.log.topics import topics


@click.group(epilog="Example: bridgectl log topics")
def command() -> None:
    """Show topics and consumer groups; copy or back up the event log."""


@click.group(epilog="Example: bridgectl log offsets reset my-group --to '1h ago' --dry-run")
def offsets() -> None:
    """Change where consumer groups continue reading."""


offsets.add_command(delete)
offsets.add_command(reset)
offsets.add_command(skip)
offsets.add_command(skip_record)
for part in (topics, groups, offsets, copy, backup):
    command.add_command(part)
