"""A service that repeats what it was sent doesn't get a secret into anything that the bridge says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge.connector import System
from bridge.model.errors import BridgeError
from bridge.model.secret_forms import base64_forms, plain_forms
from connectors.odata.capture.options import ODataOptions
from connectors.odata.http.bare_links import bare_link
from connectors.odata.http.client import ODataClient
from connectors.odata.http.login import OAuth2, ODataLogin
from tests.bad_input.echo import FORMS, Echo
from tests.bad_input.guarded_bridge import GuardedBridge
from tests.secret_scan import secret

PASSWORD = secret("Echo-p4ss/w0rd&<\"'>+é-6f2d")
API_KEY = secret("echo-Api=Key/+&-9b31c7")
TOKEN = secret('echo.t0ken/+=="<&>-e81f4a2c')
SESSION = secret("echo-s3ssion-0d77b5f1")
SECRETS = (PASSWORD, API_KEY, TOKEN, SESSION)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo(TOKEN, SESSION).serving() as service:
        yield service


@cache
def pieces() -> frozenset[str]:
    """Every ten characters of each form of each secret."""
    return frozenset(
        form[at : at + 10]
        for secret in SECRETS
        for form in plain_forms(secret) | base64_forms(secret)
        for at in range(max(1, len(form) - 9))
    )


def leaks(text: str) -> list[str]:
    """The secrets of which a text has more than a trace."""
    return [piece for piece in pieces() if piece in text]


async def test_no_error_repeats_a_secret_in_any_form_at_any_place(echo: Echo) -> None:
    basic = f"http://bridge:{_quoted(PASSWORD)}@{echo.address}/odata/?apikey={_quoted(API_KEY)}"
    bearer = f"http://{echo.address}/odata/?apikey={_quoted(API_KEY)}"
    oauth2 = ODataLogin(
        oauth2=OAuth2(
            token_url=f"http://{echo.address}/token",
            client_id="bridge",
            client_secret=SecretStr(PASSWORD),
            send="form",
        )
    )
    requests = 0
    for url, login in ((basic, None), (bearer, oauth2)):
        system = System("acme", "erp", url, "http://erp", ODataOptions(), (), login=login)
        client = ODataClient(system)
        try:
            for (name, form), status, padding in itertools.product(
                FORMS.items(), (400, 500), (0, 330, 360, 390)
            ):
                echo.form, echo.status, echo.padding = form, status, padding
                with pytest.raises(BridgeError) as caught:
                    await client.send("PATCH", "Orders('1')", body={"note": "n"})
                requests += 1
                assert leaks(str(caught.value)) == [], (name, status, padding, str(caught.value))
                if name == "json" and not padding:
                    assert "you sent" in str(caught.value)
                    assert "***" in str(caught.value)
        finally:
            await client.close()
    assert requests == len(echo.requests) - 3  # the metadata of both, and one token


def test_links_are_kept_without_the_query_of_the_url() -> None:
    query = "apikey=k%2Fey&sap-client=100"
    link = "https://h/Orders?sap-client=100&$deltatoken=7&apikey=k/ey"
    assert bare_link(link, query) == "https://h/Orders?$deltatoken=7"
    assert bare_link("Orders?$skiptoken=a%20b", query) == "Orders?$skiptoken=a%20b"
    assert bare_link("//[", query) == "//["


SYSTEM = """\
system: erp
connector: odata
url: http://{address}/odata/?apikey=${{env:ECHO_API_KEY}}
login:
  oauth2:
    token_url: http://{address}/token
    client_id: bridge
    client_secret: ${{env:ECHO_PASSWORD}}
capture: {{poll: 0.2}}
entities:
  order: {{from: Orders, key: id, fields: {{id: ID, note: note}}}}
commands:
  note:
    entity: order
    args: {{note: {{type: string}}}}
    run: "PATCH Orders(:key) note=:note"
    tier: outside_the_loop
"""


@pytest.mark.usefixtures("processes")
def test_no_log_status_receipt_or_file_has_a_secret_that_a_service_repeats(
    echo: Echo, tmp_path: Path
) -> None:
    bridge = GuardedBridge(tmp_path, {"ECHO_PASSWORD": PASSWORD, "ECHO_API_KEY": API_KEY})
    bridge.config.write_text("bridge: acme\nlog: sqlite:///var/bridge.db\nsystems: erp.yaml\n")
    (tmp_path / "erp.yaml").write_text(SYSTEM.format(address=echo.address))
    outputs = []
    for number, name in enumerate(("html", "json in json")):
        echo.form, echo.padding = FORMS[name], 350 * number
        json = ["--json"] * number
        send = ("commands", "send", "erp.note", "--key", str(number), "--arg", "note=n")
        assert bridge.call(*send).code == 0
        with bridge.running("-v", *json) as run:
            run.says("you sent|x{300}")
            run.says(r"command moved.*(state=failed|\"failed\")")
        outputs.append(bridge.run_logs[-1].read_text())
    for words in (
        ("check",), ("status",), ("status", "--json"), ("get", "order", "1"), ("commands", "--json"),
        ("dead", "--json"), ("tail", "audit", "--no-follow", "--from", "beginning", "--json"),
        ("setup", "erp", "--show"), ("snapshot", "order"),
    ):  # fmt: skip
        answer = bridge.inside(*words)
        outputs.append(answer.out + answer.err)
    assert leaks("\n".join(outputs)) == []
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert leaks(path.read_bytes().decode("latin-1")) == [], path
            assert leaks(path.read_bytes().decode(errors="replace")) == [], path


def _quoted(secret: str) -> str:
    from urllib.parse import quote

    return quote(secret, safe="")
