"""bridge.agent.held_rows in both of its forms."""

from __future__ import annotations

from bridge.agent import held_rows as installed
from tests.module_forms import module_forms

INTERPRETED, FORMS, IDS = module_forms(installed)
