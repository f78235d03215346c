"""The group of commands. Each is a module that is imported when it is called, so that
`bridgectl --help` is fast; the table below has their lines of the overview.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from bridge import __version__
from bridge.cli.output.safe_text import safe_text
from bridge.model.errors import BridgeError, ConfigurationError
from bridge.model.redaction import redact

#: Exit codes that scripts may rely on.
DONE, FAILED, BAD_USAGE, NOTHING_FOUND = 0, 1, 2, 3

COMMANDS = {
    "check": "Check the configuration, the systems that it names, and the log.",
    "run": "Run the bridge: capture, agents and commands, until Ctrl-C.",
    "demo": "Show everything on a made-up ERP, in under a minute.",
    "status": "Show what runs, its progress and its lag.",
    "tail": "Follow the events of entities, or any topic.",
    "get": "Read rows of an entity through the gateway.",
    "view": "Show the local copy of a system's entities; have it built again.",
    "snapshot": "Read a table into the log again, while capture continues.",
    "replay": "Send past events to an agent, a topic or a file again.",
    "commands": "List commands and their outcomes, send one, retry failed ones.",
    "dead": "List dead letters with their reasons; hand parked events back.",
    "log": "Show topics and consumer groups; copy or back up the event log.",
    "schema": "Draft a system file; print schemas of the configuration, entities and topics, and plans.",
    "connector": "Begin a connector to a system of yours; list those that are installed.",
    "setup": "Create what capture and commands need in a legacy system.",
    "completion": "Print the completion script for your shell.",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"bridge.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"bridge.cli.{cmd_name}.command is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except KeyboardInterrupt:
            sys.exit(DONE)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            done = super().invoke(ctx)
            # Here, where a closed pipe can still be distinguished from a bug.
            sys.stdout.flush()
            return done
        except BrokenPipeError:
            _pipe_closed()
        except KeyboardInterrupt:
            # Before click treats it as a failure: nothing was started that had to be stopped.
            sys.exit(DONE)
        except BridgeError as error:
            _fail(error)
        except OSError as error:
            if not error.filename:
                raise
            click.echo(redact(f"{error.filename}: {error.strerror}"), err=True)
            sys.exit(FAILED)


def _fail(error: BridgeError) -> NoReturn:
    """Print one sentence (or one line per problem) to stderr and exit with the error's code."""
    click.echo(safe_text(redact(str(error))), err=True)
    sys.exit(exit_code(error))


def exit_code(error: BridgeError) -> int:
    """The exit code of a process that ends with this error."""
    return BAD_USAGE if isinstance(error, ConfigurationError) else FAILED


def _pipe_closed() -> NoReturn:
    """The reader of the output has closed the pipe (`| head`), which is not a failure. Discard the
    buffer, because otherwise Python would report an error at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(DONE)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: bridgectl -c examples/demo/bridge.yaml run",
)
@click.version_option(__version__, prog_name="bridgectl")
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(dir_okay=False),
    default="bridge.yaml",
    show_default=True,
    envvar="BRIDGE_CONFIG",
    show_envvar=True,
    help="The bridge's configuration file.",
)
@click.pass_context
def group(ctx: click.Context, config: str) -> None:
    """Capture changes of legacy systems as typed, ordered events, and execute commands on them once."""
    ctx.obj = config
    if os.environ.get("NO_COLOR"):
        ctx.color = False
