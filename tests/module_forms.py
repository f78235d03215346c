"""A module that may be compiled, in both of its forms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class ModuleForms(NamedTuple):
    """interpreted: the module's file, run as it stands.
    forms, ids: those that there are here, for `pytest.mark.parametrize`.
    """

    interpreted: ModuleType
    forms: list[ModuleType]
    ids: list[str]


def load_module(name: str, path: Path) -> ModuleType:
    """A module from a file, beside the one that is imported under that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def module_forms(installed: ModuleType) -> ModuleForms:
    """The forms of a module with `COMPILED`, which is imported as it was installed."""
    name = installed.__name__.rpartition(".")[2]
    path = Path(__file__).parents[1] / f"{installed.__name__.replace('.', '/')}.py"
    module = load_module(f"{name}_interpreted", path)
    if installed.COMPILED:
        return ModuleForms(module, [installed, module], ["compiled", "interpreted"])
    return ModuleForms(module, [module], ["interpreted"])
