"""An ERP that repeats what it was sent doesn't get the password or the session into any message."""

from __future__ import annotations

import base64
import json

import pytest

from bridge.connector import System, TableUse
from bridge.model.errors import BridgeError
from connectors.tryton.http.client import TrytonClient
from tests.http_proxy import CannedResponse, ForwardedRequest, alone
from tests.secret_scan import leak_in, secret

PASSWORD, SESSION = secret("tryton/p+w"), secret("session")
JSON = {"Content-Type": "application/json"}


def answer(request: ForwardedRequest) -> CannedResponse:
    """As `tests.http_proxy.Rule`: it logs in, and refuses everything else with what it was sent."""
    call = json.loads(request.body)
    body = {"id": call["id"]}
    if call["method"] == "common.db.login":
        return CannedResponse(200, json.dumps({**body, "result": [1, SESSION]}).encode(), JSON)
    if call["method"] == "model.res.user.get_preferences":
        return CannedResponse(200, json.dumps({**body, "result": {}}).encode(), JSON)
    header = request.headers["authorization"]
    session = base64.b64decode(header.partition(" ")[2]).decode()
    words = f"{'x' * 380} {header} {session} {PASSWORD}"
    kinds = {
        "text": [words, "traceback"],
        "error": ["UserError", [words, ""]],
        "warning": ["UserWarning", ["name", words, ""]],
        "conflict": ["ConcurrencyException", words],
    }
    error = kinds[call["method"].rpartition(".")[2]]
    return CannedResponse(200, json.dumps({**body, "error": error}).encode(), JSON)


@pytest.mark.parametrize("kind", ["text", "error", "warning", "conflict"])
@pytest.mark.parametrize("masked", [True, False])
async def test_no_secret_that_the_erp_repeats_is_told(kind: str, masked: bool) -> None:
    between = alone(answer)
    async with between.serving():
        host = between.address.partition("://")[2]
        url = f"http://bridge:{PASSWORD.replace('/', '%2F').replace('+', '%2B')}@{host}/erp"
        names = frozenset({"party.party"}) if masked else frozenset()
        uses = (TableUse("party.party"), TableUse("sale.sale"))
        async with TrytonClient(
            System("acme", "erp", url, "erp", None, uses, masked=names)
        ) as client:
            with pytest.raises(BridgeError) as caught:
                await client.call(f"model.party.party.{kind}")
            with pytest.raises(BridgeError) as of_another:
                await client.call(f"model.sale.sale.{kind}")
    for text in (str(caught.value), str(of_another.value)):
        assert not leak_in(text)
    assert ("***" in str(caught.value)) is not masked
    assert ("withheld" in str(caught.value)) is masked
    assert "***" in str(of_another.value)
