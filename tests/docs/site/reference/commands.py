"""Every command of `bridgectl` with its arguments and options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

from bridge.cli.app import COMMANDS, group
from tests.docs.site.reference.table import code, plain, table

HEAD = """# Commands and options

Made from the program: what `bridgectl COMMAND --help` says. How commands are used, what their exit codes are and
how entities, times and keys are written: [the command line](../cli.md).
"""


def commands_page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_command_text(path, command) for path, command in commands())])


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each command by its words, in the order of the overview; a group before what is in it."""
    context = click.Context(group, info_name="bridgectl")
    yield "bridgectl", group
    for name in COMMANDS:
        yield from _within(f"bridgectl {name}", group.get_command(context, name))


def _within(path: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    assert command is not None, path
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            yield from _within(f"{path} {name}", command.get_command(context, name))


def _command_text(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    level = "##" if path.count(" ") < 2 else "###"
    parts = [f"{level} {path}", f"```text\n{usage}\n```", _paragraphs(command.help or "")]
    rows = [_row(param, context) for param in command.params if not getattr(param, "hidden", False)]
    options = [row for row in rows if row]
    if options:
        parts.append(table(("option", "meaning"), options))
    if command.epilog:
        parts.append(f"```text\n{command.epilog}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(param: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    record = param.get_help_record(context)
    return None if record is None else (code(record[0]), plain(record[1]))


def _paragraphs(text: str) -> str:
    """A help text; what click keeps as it is (`\\b`) is a block."""
    paragraphs = []
    for paragraph in textwrap.dedent(text).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append(f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```")
        else:
            paragraphs.append(plain(paragraph))
    return "\n\n".join(paragraphs)
