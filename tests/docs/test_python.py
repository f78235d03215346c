"""Blocks of Python are code that runs."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from tests.docs.pages import Block, blocks, page

TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_block_compiles_and_what_it_imports_of_ours_is_there(block: Block) -> None:
    tree = ast.parse(block.text, str(block))
    compile(tree, str(block), "exec", flags=TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _ours(node.module):
            module = importlib.import_module(node.module)
            assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("name", ["README.md", "docs/agents.md"])
def test_the_agents_of_these_pages_pass_their_own_tests(name: str) -> None:
    space: dict[str, Any] = {}
    for block in page(name).blocks():
        if block.language == "python":
            exec(compile(block.text, str(block), "exec"), space)  # noqa: S102 - our own pages
    tests = [value for key, value in space.items() if key.startswith("test_")]
    assert tests
    for test in tests:
        _run(test)


def _run(test: Callable[[], object]) -> None:
    assert not inspect.iscoroutinefunction(test)
    test()


def _ours(module: str) -> bool:
    return module.startswith(("bridge", "connectors"))
