from __future__ import annotations

from tests.gateway.copy.conftest import journal, pg

__all__ = ["journal", "pg"]
