"""Which modules run in their compiled form."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader, PathFinder
from importlib.util import find_spec
from pathlib import Path

#: Modules that may have a compiled form, by their function, with their dependencies.
COMPILED = {
    "plans": ("bridge.plan.execute", ()),
    "pgoutput frames": ("connectors.postgres.protocol.frames", ("psycopg",)),
    "Kafka batches": ("bridge.log.kafka.pack", ("aiokafka",)),
    "batched reads": ("bridge.gateway.waiters", ()),
    "held rows": ("bridge.agent.held_rows", ()),
    "cached rows": ("bridge.ports.held_entry", ()),
}
FORMS = {True: "compiled", False: "interpreted", None: "not installed"}


def implementations() -> dict[str, str]:
    """Function -> form in which its module runs."""
    return {what: FORMS[compiled(*module)] for what, module in COMPILED.items()}


def compiled(module: str, needs: Iterable[str] = ()) -> bool | None:
    """Whether a module has a compiled form, which is then used; None if it, or a dependency, isn't
    installed. Imports only the root package.
    """
    root, *inner, _ = module.split(".")
    folders = [str(Path(folder, *inner)) for folder in importlib.import_module(root).__path__]
    module_spec = PathFinder.find_spec(module, folders)
    if module_spec is None or not all(map(find_spec, needs)):
        return None
    return isinstance(module_spec.loader, ExtensionFileLoader)
