"""The project's own Python files, parsed, and the names that they bind."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("bridge", "connectors", "tests", "benchmarks", "examples")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class BoundName:
    """A name that a file gives to something. `kind`: file, class, def, param, local, field, import."""

    file: str
    line: int
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind} {self.name}"


@cache
def source_files() -> dict[str, ast.Module]:
    """Path from the project's root -> syntax tree."""
    # The trees are kept; searching a million nodes for garbage took twice as long as parsing them.
    gc.disable()
    try:
        return {
            path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for folder in FOLDERS
            for path in sorted((ROOT / folder).rglob("*.py"))
            if not {"node_modules", "var"} & set(path.parts)
        }
    finally:
        gc.enable()
        gc.freeze()


def bound_names(wanted: frozenset[str]) -> Iterator[BoundName]:
    """Whatever is bound to one of these names, or to one of them in capitals or with underscores."""
    for file, tree in source_files().items():
        if Path(file).stem in wanted:
            yield BoundName(file, 0, Path(file).stem, "file")
        for node in ast.walk(tree):
            for name, kind in _names_of(node):
                if name.strip("_").lower() in wanted:
                    yield BoundName(file, getattr(node, "lineno", 0), name, kind)


def shared_classes() -> Iterator[BoundName]:
    """Every class that other code than one function can use."""
    for file, tree in source_files().items():
        yield from _classes_of(file, tree)


def _classes_of(file: str, node: ast.AST) -> Iterator[BoundName]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield BoundName(file, child.lineno, child.name, "class")
        if not isinstance(child, FUNCTIONS):
            yield from _classes_of(file, child)


def _names_of(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.ClassDef(name=name):
            yield name, "class"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, "def"
        case ast.arg(arg=name):
            yield name, "param"
        case ast.Name(id=name, ctx=ast.Store()):
            yield name, "local"
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name, "field"
        case ast.alias(asname=str(name)):
            yield name, "import"
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name, "local"
        case ast.MatchStar(name=str(name)):
            yield name, "local"


def product_modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree, of what is shipped."""
    modules = {}
    for file, tree in source_files().items():
        if file.startswith(("bridge/", "connectors/")):
            parts = file.removesuffix(".py").split("/")
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = tree
    return modules
