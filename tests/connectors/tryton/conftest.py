"""What a user of the ERP does in these tests."""

from __future__ import annotations

import pytest

from tests.connectors.tryton.erp import ErpUser
from tests.services.tryton import Tryton


@pytest.fixture
def erp_user(tryton: Tryton) -> ErpUser:
    return ErpUser(tryton)
