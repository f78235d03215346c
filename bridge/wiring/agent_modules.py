"""Imports agents' files, so that those of a folder can share code.

As pytest does it: a file of a folder with an `__init__.py` is a module of that package, another one a
module by its own name. Its folder, or the package's, stands at the end of Python's path, so that
`from helpers import limit` and `from .helpers import limit` find what stands beside it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from bridge.model.errors import ConfigurationError

_LOADED: dict[str, dict[str, ModuleType]] = {}
"""Modules that agents' files are or imported from beside them, by the folder on Python's path."""


def forget_agent_modules() -> None:
    """What was imported so far is imported again, as it is written now."""
    for modules in _LOADED.values():
        _hide(modules)
    sys.path[:] = [path for path in sys.path if path not in _LOADED]
    _LOADED.clear()


@contextmanager
def agent_folder(folder: Path) -> Iterator[None]:
    """Files of `folder` find what stands beside them, and nothing that only stands beside agents of
    other folders.
    """
    root = str(_root(folder))
    hidden = {
        name: module
        for other, modules in _LOADED.items()
        if other != root
        for name, module in modules.items()
    }
    _hide(hidden)
    others = [path for path in sys.path if path in _LOADED and path != root]
    sys.path[:] = [path for path in sys.path if path not in others]
    if root not in sys.path:
        sys.path.append(root)
    loaded = _LOADED.setdefault(root, {})
    before = set(sys.modules)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name in sys.modules.keys() - before:
            if _folder_of(sys.modules[name]) == root:
                loaded[name] = sys.modules[name]
        # For what handlers import when they run.
        sys.path.extend(others)
        for name, module in hidden.items():
            sys.modules.setdefault(name, module)


def _hide(modules: Mapping[str, ModuleType]) -> None:
    for name, module in modules.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def import_agent_file(path: Path) -> ModuleType:
    """The module of a file, inside of `agent_folder`. Raises what the file raises."""
    root = _root(path.parent)
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    if _is_at(name, path):
        return importlib.import_module(name)
    # Named as a module of Python's or of a package that is installed.
    name = f"bridge_agents_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path}: is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def imported_names(path: Path) -> set[str]:
    """The last parts of the modules that a file imports, as far as it can be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.rpartition(".")[2] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
            names.add((node.module or "").rpartition(".")[2])
    return names


def _root(folder: Path) -> Path:
    """The first folder upwards that is no package."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _is_at(name: str, path: Path) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin) == path


def _folder_of(module: object) -> str | None:
    file = getattr(module, "__file__", None)
    return str(_root(Path(file).parent)) if isinstance(file, str) else None
