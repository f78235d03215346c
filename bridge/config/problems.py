"""Problems of a configuration: all at once, each with its location and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its file, its line (0: the file as a whole), its path in the document
    (`entities.order.fields.total`), what is wrong, and how to fix it.
    """

    file: str
    line: int
    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        location = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{location}: {where}{self.what}{hint}"


class ConfigProblems(ConfigurationError):
    """The configuration can't be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
