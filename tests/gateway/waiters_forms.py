"""bridge.gateway.waiters in both of its forms."""

from __future__ import annotations

from bridge.gateway import waiters as installed
from tests.module_forms import module_forms

INTERPRETED, FORMS, IDS = module_forms(installed)
