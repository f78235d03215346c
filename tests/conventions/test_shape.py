"""Functions that are read at one go, and imports without circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tests.conventions.sources import FUNCTIONS, product_modules

MAX_FUNCTION_LINES = 60
#: Compiled: one function is one C function, and a call in the hot loop costs.
COMPILED = {"bridge.plan.execute", "bridge.log.kafka.pack", "connectors.postgres.protocol.frames"}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module, tree in product_modules().items()
        if module not in COMPILED
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = product_modules()
    graph = {module: set(_imports(module, tree, set(modules))) for module, tree in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def _imports(module: str, tree: ast.Module, modules: set[str]) -> Iterator[str]:
    """What a module imports, inside of functions too, but for type checkers alone."""
    for node in _running(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        for target in targets:
            imported = target if target in modules else target.rpartition(".")[0]
            if imported in modules and imported != module:
                yield imported


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _running(node)
