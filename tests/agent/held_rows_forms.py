"""bridge.agent.held_rows in both of its forms."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from bridge.agent import held_rows as installed

PATH = Path(__file__).parents[2] / "bridge/agent/held_rows.py"


def _interpreted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("held_rows_interpreted", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INTERPRETED = _interpreted()
FORMS = [installed, INTERPRETED] if installed.COMPILED else [INTERPRETED]
IDS = ["compiled", "interpreted"] if installed.COMPILED else ["interpreted"]
