"""Every command explains itself."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bridge.cli.app import COMMANDS, group
from tests.cli.bridge_folder import BridgeFolder


def every(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            command_object = command.get_command(ctx, name)
            assert command_object is not None
            yield from every(command_object, (*words, name))


@pytest.mark.parametrize("words", list(every(group, ())), ids=" ".join)
def test_every_help_shows_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(group, [*words, "--help"], prog_name="bridgectl")
    assert result.exit_code == 0
    assert "Example: bridgectl" in " ".join(result.output.split())


def test_the_overview_lists_every_command() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert all(f"  {name} " in result.output for name in COMMANDS)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    result = CliRunner().invoke(group, ["completion", shell])
    assert "_BRIDGECTL_COMPLETE" in result.output


def test_a_misspelt_command_is_told_with_what_is_like_it() -> None:
    result = CliRunner().invoke(group, ["statu"])
    assert result.exit_code == 2
    assert "No such command 'statu'. Did you mean 'status'" in result.stderr


def test_no_color_is_heeded(lived_once: BridgeFolder) -> None:
    words = ["-c", str(lived_once.config), "check", "--offline"]
    painted = CliRunner().invoke(group, words, color=True)
    assert "\x1b[" in painted.stdout
    plain = CliRunner(env={"NO_COLOR": "1"}).invoke(group, words, color=True)
    assert "\x1b[" not in plain.stdout
    assert plain.stdout
