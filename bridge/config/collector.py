"""Reads files into models and collects all problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge.config.document import Document, KeyPath
from bridge.config.known_keys import has_key, nearest_key
from bridge.config.problems import Problem
from bridge.config.renamed_keys import renamed_key
from bridge.config.secrets import Secret, resolve_references
from bridge.model.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)

#: pydantic's name of the text form in a union of forms.
_SHORT_FORM = "constrained-str"
_DURATIONS = ("history", "stalled_after", "lease", "per")
_SECRET_HINTS = {
    "env": "set it where bridgectl runs, or correct the name",
    "file": "create it, readable by the user that runs bridgectl, or correct the path",
}


class Collector:
    """One pass over the files. `problems` are reported together at its end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        """Settings that work but are unwise; reported by `check`."""
        self.postponed: list[Problem] | None = None
        """Missing secrets that may not be needed; None: missing secrets are problems."""

    def model(self, document: Document, kind: type[M]) -> M | None:
        """The document as a model, or None after adding its problems."""
        if not isinstance(document.data, dict):
            self.problems.append(document.problem((), "is empty or not a mapping"))
            return None
        try:
            return kind.model_validate(document.data)
        except ValidationError as error:
            items = error.errors(include_input=False, include_url=False, include_context=False)
            self.problems.extend(problem_of(document, item, kind) for item in _meant(items))
            return None

    def secret(self, document: Document, where: KeyPath, text: str, folder: Path) -> Secret:
        """A text with its references resolved; otherwise an empty secret and a problem, which is
        one of the `postponed` ones if those are collected.
        """
        try:
            return resolve_references(text, self.environ, folder)
        except ConfigurationError as error:
            problems = self.problems if self.postponed is None else self.postponed
            what = str(error)
            hint = _SECRET_HINTS["file" if what.startswith("the secret file") else "env"]
            problems.append(document.problem(where, what, "" if "write ${" in what else hint))
            return Secret("")


def _meant(items: Sequence[Any]) -> list[Any]:
    """Drop the problems of the short form if the long form was written, whose problems say more."""
    places = [item["loc"] for item in items]

    def is_short_form(loc: tuple[Any, ...]) -> bool:
        around = loc[:-1]
        others = (other for other in places if other[: len(around)] == around)
        return loc[-1:] == (_SHORT_FORM,) and any(len(other) > len(loc) for other in others)

    return [item for item in items if not is_short_form(item["loc"])]


def problem_of(document: Document, error: Any, kind: Any, section: KeyPath = ()) -> Problem:
    """A pydantic error in a `section` of a file, in the words of the file; `kind`: the section's
    model.
    """
    loc = (*section, *error["loc"])
    where = tuple(part for part in loc if part not in ("str", _SHORT_FORM, "LogModel"))
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    hint = ""
    match error["type"]:
        case "extra_forbidden":
            message = f"{where[-1]!r} is not a known key here"
            hint = _hint_for_unknown(kind, where, section)
        case "missing":
            message = f"{where[-1]!r} is missing"
        case "string_pattern_mismatch":
            hint = "lower-case letters, digits and underscores, beginning with a letter"
            if where and where[-1] in _DURATIONS:
                hint = "a number and s, m, h or d: 30d"
        case "string_type":
            message = "should be a text"
            if isinstance(document.value(where), str | bool | int | float):
                hint = "put it in quotes"
            if where and where[-1] in _DURATIONS:
                hint = "a number and s, m, h or d: 30d"
    return document.problem(where, message, hint)


def _hint_for_unknown(kind: Any, where: KeyPath, section: KeyPath) -> str:
    renamed = renamed_key(where, lambda path: has_key(kind, path[len(section) :]))
    if renamed is not None:
        return renamed
    near = nearest_key(kind, where[len(section) :])
    return f"did you mean {near!r}?" if near else "see `bridgectl schema config`"
