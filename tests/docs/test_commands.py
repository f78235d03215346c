"""Commands that pages and messages name exist, with the options that they are given."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from bridge.cli.app import COMMANDS, group
from tests.docs.pages import ROOT, Block, DocsPage, blocks, page, pages

#: Ends of a command within a line of a shell.
_ENDS = re.compile(r" (?:\||&&|>|;) ")
_NAMED_CALL = re.compile(r"`bridgectl ([^`]+)`")


def found_in(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name and what it is given. Raises UsageError."""
    command: click.Command = group
    while isinstance(command, click.Group):
        ctx = click.Context(command)
        parser = command.make_parser(ctx)
        parser.allow_interspersed_args = False
        _, rest, _ = parser.parse_args(list(words))
        if not rest:
            return command, words
        inner = command.get_command(ctx, rest[0])
        if inner is None:
            raise click.UsageError(f"there is no command {rest[0]!r}")
        command, words = inner, rest[1:]
    return command, words


def named(text: str) -> None:
    """Raise UsageError unless the command and its options exist; its values are placeholders."""
    words_text = re.sub(r"[\[\]]|\s\|\s", " ", text.replace("\\|", "|")).replace("...", "X")
    command, words = found_in(shlex.split(words_text))
    command.make_parser(click.Context(command)).parse_args(list(words))


def typed(block: Block) -> Iterator[list[str]]:
    """The words of each `bridgectl` of a block, as a shell would split them."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in _ENDS.split(line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["bridgectl"]:
                yield words[1:]


@pytest.mark.parametrize(
    "block", [block for block in blocks("sh", "") if "bridgectl " in block.text], ids=str
)
def test_every_command_line_is_taken_as_it_stands(block: Block) -> None:
    for words in typed(block):
        if "|" in " ".join(words):
            named(" ".join(words))
            continue
        command, rest = found_in(words)
        command.make_context(" ".join(words), list(rest))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_in_the_text_exists_with_its_options(page: DocsPage) -> None:
    for code in page.inline():
        if code.startswith("bridgectl ") and code != "bridgectl COMMAND --help":
            named(code.removeprefix("bridgectl "))


def test_the_table_of_commands_has_all_of_them() -> None:
    cells = re.findall(r"^\| (`.+?`) \| ", page("docs/cli.md").prose, re.MULTILINE)
    lines = [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]
    rows = [code for code in lines if code.split()[0] in COMMANDS]
    for code in rows:
        named(code)
    assert {code.split()[0] for code in rows} == set(COMMANDS)


def test_every_command_that_a_message_names_exists() -> None:
    calls = [
        call
        for folder in ("bridge", "connectors", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "`bridgectl " in (code := path.read_text(encoding="utf-8"))
        for text in texts(ast.parse(code))
        for call in _NAMED_CALL.findall(text)
    ]
    assert len(calls) > 50
    for call in calls:
        named(" ".join(call.split()))


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module; what is put in at run time is an X."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (
                part.value
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else "X"
                for part in node.values
            )
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
