"""YAML documents with the line of each key and item."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scalarbool import ScalarBoolean

from bridge.config.composer import MAX_DEPTH, StrictComposer, StrictConstructor
from bridge.config.problems import ConfigProblems, Problem
from bridge.model.error_text import error_message

KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """A YAML file as plain data, with the line of every key and item."""

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, where: KeyPath) -> int:
        """The line of `where`, or of the nearest thing around it that is in the file."""
        for end in range(len(where), -1, -1):
            if (line := self.lines.get(where[:end])) is not None:
                return line
        return 0

    def value(self, where: KeyPath) -> Any:
        """The value at `where`; None if there is none."""
        value = self.data
        for part in where:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def problem(self, where: KeyPath, what: str, hint: str = "") -> Problem:
        """A Problem at `where`."""
        return Problem(self.file, self.line(where), ".".join(map(str, where)), what, hint)


def _plain(node: Any, where: KeyPath, lines: dict[KeyPath, int]) -> Any:
    if isinstance(node, CommentedMap):
        positions = node.lc.data or {}  # None for a mapping that has nothing but `<<:`
        for name in node:
            position = positions.get(name)
            if position is not None:
                lines[(*where, name)] = position[0] + 1
        return {name: _plain(item, (*where, name), lines) for name, item in node.items()}
    if isinstance(node, CommentedSeq):
        positions = node.lc.data or {}
        for index in range(len(node)):
            position = positions.get(index)
            if position is not None:
                lines[(*where, index)] = position[0] + 1
        return [_plain(item, (*where, index), lines) for index, item in enumerate(node)]
    return bool(node) if isinstance(node, ScalarBoolean) else node


def read(path: Path, shown_as: str, hint: str = "") -> Document:
    """Read one YAML 1.2 file. Raises ConfigProblems naming the line if it is not YAML; `hint`: for
    a file that can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = Problem(shown_as, 0, "", f"can't be read: {error.strerror}", hint)
        raise ConfigProblems([problem]) from None
    except UnicodeDecodeError as error:
        problem = Problem(shown_as, 0, "", f"is not UTF-8 (byte {error.start})")
        raise ConfigProblems([problem]) from None
    return parse(text, shown_as)


def parse(text: str, shown_as: str) -> Document:
    """The document in a text; as `read`.

    It takes about 6 s per megabyte, nearly all of it in ruamel's scanner, which its other pure
    loaders share (the safe one saves a third). libyaml, as in PyYAML, composes 15 to 20 times as
    fast, but it scans YAML 1.1 and has different error messages: a file's meaning must not depend
    on the parser.
    """
    loader = YAML(typ="rt", pure=True)
    loader.preserve_quotes = False
    loader.Composer = StrictComposer
    loader.Constructor = StrictConstructor
    loader.max_depth = MAX_DEPTH
    try:
        node = loader.load(text)
    except MaxDepthExceededError as error:
        line = error.problem_mark.line + 1
        what = f"nested more than {MAX_DEPTH} levels deep"
        raise ConfigProblems([Problem(shown_as, line, "", what)]) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        what = f"not valid YAML: {error.problem or error.context}"
        raise ConfigProblems([Problem(shown_as, line, "", what)]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"not valid YAML: the character U+{error.character:04X} is not allowed in a file"
        raise ConfigProblems([Problem(shown_as, line, "", what)]) from None
    except ValueError as error:  # raised for an escape of a character that doesn't exist
        what = f"not valid YAML: {error_message(error, 100)}"
        raise ConfigProblems([Problem(shown_as, 0, "", what)]) from None
    lines: dict[KeyPath, int] = {(): 1}
    return Document(shown_as, _plain(node, (), lines), lines)
