"""A newcomer who follows the tutorial line by line sees what it shows.

Files are written as they stand on the page, commands are run by a shell, and what a block of `text`
shows below a command is among what it prints. Two commands are run elsewhere: `make setup` before any
test, `bridgectl demo` by tests/test_wheel.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.docs.pages import Block, page
from tests.waiting import end_in_order, wait_until

POSTGRES_HEADING = "## A table in PostgreSQL"
RUN_ELSEWHERE = ("make setup", ". .venv/bin/activate", "bridgectl demo")
#: What it prints changes until capture and executor are done.
FOLLOWING = ("bridgectl tail ", "bridgectl commands", "bridgectl get ")
_FILE_NAME = re.compile(r"`([\w./]+\.(?:py|yaml))`[^`]*\Z")
_EXIT_CODE = re.compile(r"# exit code (\d)")
_CHANGING = re.compile(r"\d\d:\d\d:\d\d\.\d+|(?<=large-orders:)\w+")


class Newcomer:
    """Somebody at two terminals, in a home folder of their own."""

    def __init__(self, home: Path, address: str = "") -> None:
        self.folder = home / "shop"
        self.address = address
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, "HOME": str(home), "PATH": programs, "COLUMNS": "200"}
        self.output = ""
        self.bridge: subprocess.Popen[bytes] | None = None

    def follow(self, before: str, block: Block) -> None:
        """Do what one block asks for. before: the text of the page between it and the last one."""
        file_name = _FILE_NAME.search(before)
        if block.language in ("python", "yaml"):
            self._write(file_name[1] if file_name else "sql.py", block.text, before)
        elif block.language == "sql":
            with psycopg.connect(self.address, autocommit=True) as connection:
                for statement in block.text.split(";\n"):
                    connection.execute(statement.encode())
        elif block.text == "bridgectl run\n":
            self.stop()
            self._start()
        elif block.language == "sh":
            *lines, last = block.text.splitlines()
            for line in lines:
                self._call(line, set())
            self._call(last, _lines_below(block))

    def _write(self, name: str, text: str, before: str) -> None:
        path = self.folder / name
        kept = path.read_text() if "at the end of" in " ".join(before.split()) else ""
        if self.address:
            password = urlsplit(self.address).password or ""
            self.environ["STOCK_PASSWORD"] = password
            url = self.address.replace(f":{password}@", ":${env:STOCK_PASSWORD}@")
            text = re.sub(r"(?<=^url: )postgresql:.*$", lambda _: url, text, flags=re.MULTILINE)
        path.write_text(kept + text)

    def _call(self, line: str, expected: set[str]) -> None:
        if line in RUN_ELSEWHERE:
            return
        if line.startswith(FOLLOWING):
            wait_until(lambda: expected <= self._printed(line), describe=lambda: self.output)
        else:
            assert expected <= self._printed(line), self.output

    def _printed(self, line: str) -> set[str]:
        """The lines that a command prints; an exit code that the page doesn't name is a failure."""
        folder = self.folder if self.folder.exists() else self.folder.parent
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        named = _EXIT_CODE.search(line)
        if not line.startswith(FOLLOWING):
            assert done.returncode == int(named[1] if named else 0), self.output
        return {_steady(each) for each in done.stdout.splitlines()}

    def _start(self) -> None:
        with (self.folder / "run.log").open("ab") as log_file:
            self.bridge = subprocess.Popen(
                ["bridgectl", "run"],
                cwd=self.folder,
                env=self.environ,
                executable=Path(sys.executable).with_name("bridgectl"),
                stdout=log_file,
                stderr=log_file,
            )

    def stop(self) -> None:
        """End the bridge, if it runs; in order, or the test fails."""
        if self.bridge is not None:
            code = end_in_order(self.bridge)
            self.bridge = None
            assert code == 0, (self.folder / "run.log").read_text()


def _steady(line: str) -> str:
    """A line without what is different each time, and without the width of columns."""
    words = _CHANGING.sub("_", line).split()
    return re.sub(r"\d+ passed.*", "passed", " ".join(words))


def _lines_below(block: Block) -> set[str]:
    """What the block of `text` right below shows; nothing where there is none."""
    blocks = list(page(block.page).blocks())
    index = blocks.index(block) + 1
    below = blocks[index] if index < len(blocks) else None
    if below is None or below.language != "text":
        return set()
    return {_steady(line) for line in below.text.splitlines()}


def steps() -> Iterator[tuple[str, Block]]:
    """Each block of the page, with the text above it."""
    tutorial = page("docs/tutorial.md")
    start = 0
    for block in tutorial.blocks():
        if block.language != "text":
            end = tutorial.text.index(f"```{block.language}\n{block.text}```", start)
            yield tutorial.text[start:end], block
            start = end + len(block.text)


@pytest.fixture
def newcomer(tmp_path: Path, processes: None) -> Iterator[Newcomer]:
    person = Newcomer(tmp_path)
    yield person
    with suppress(AssertionError):  # the test has failed by then, or has ended it itself
        person.stop()


def test_every_command_of_the_tutorial_does_what_it_shows(newcomer: Newcomer) -> None:
    for before, block in steps():
        if POSTGRES_HEADING in before:
            break
        newcomer.follow(before, block)
    newcomer.stop()


def test_a_table_in_postgresql_joins_the_log(newcomer: Newcomer, database: str) -> None:
    newcomer.address = database
    newcomer.folder.mkdir()
    (newcomer.folder / "systems").mkdir()
    (newcomer.folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///bridge.db\n")
    is_reached = False
    for before, block in steps():
        is_reached = is_reached or POSTGRES_HEADING in before
        if is_reached:
            newcomer.follow(before, block)
    assert is_reached
    newcomer.stop()
