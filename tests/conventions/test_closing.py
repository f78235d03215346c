"""What closes several things closes all of them, also when it is cancelled or one of them fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.conventions.sources import source_files

CLOSERS = {"close", "aclose", "_close"}


def endings(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The blocks that close things: of functions of that name, and of `finally`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name in CLOSERS:
            yield node.body
        elif isinstance(node, ast.Try):
            yield node.finalbody


def awaits(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    return isinstance(node, ast.Await) or any(map(awaits, ast.iter_child_nodes(node)))


def loops(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.For | ast.While) and awaits(statement)


def test_no_closing_depends_on_the_one_before_it() -> None:
    dependent = [
        f"{file}:{block[0].lineno}: use bridge.closing.close_all"
        for file, tree in source_files().items()
        if file.startswith(("bridge/", "connectors/"))
        for block in endings(tree)
        if sum(map(awaits, block)) > 1 or any(map(loops, block))
    ]
    assert dependent == []
