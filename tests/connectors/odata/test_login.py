"""Ways to log in: tokens that expire, keys, certificates."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from bridge.model.errors import ConfigurationError, LoginRefused, RetryLater
from bridge.tls import TlsFiles
from connectors.odata.http.client import ODataClient
from connectors.odata.http.login import OAuth2, OAuth2Auth, ODataLogin
from tests.conftest import PrivateCap
from tests.connectors.odata.order_system import system
from tests.http_proxy import CUT, CannedResponse, ForwardedRequest, HttpProxy, Rule, alone
from tests.secret_scan import leak_in, secret
from tests.services.cap import PASSWORD, Cap

CLIENT = {"client_id": "client", "client_secret": secret("client")}


class TokenClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def client_of(
    url: str,
    clock: Callable[[], float] | None = None,
    tls: TlsFiles | None = None,
    **login: Any,
) -> ODataClient:
    of = system(url, login=ODataLogin.model_validate(login), tls=tls)
    return ODataClient(of) if clock is None else ODataClient(of, clock=clock)


def tokens(between: HttpProxy) -> int:
    return sum(request.path == "/-/token" for request in between.requests)


@pytest.mark.parametrize("send", ["header", "form"])
async def test_a_token_is_asked_for_once_and_again_before_it_expires(
    private_cap: PrivateCap, send: str
) -> None:
    cap = private_cap("oauth", token_seconds=100)
    clock, between = TokenClock(), HttpProxy(cap.address)
    async with between.serving():
        oauth2 = {**CLIENT, "token_url": f"{between.address}/-/token", "send": send}
        client = client_of(between.url(cap.bare), clock, oauth2=oauth2)
        await client.open()
        await client.page("Orders")
        assert tokens(between) == 1
        clock.now += 71
        await client.page("Orders")
        assert tokens(between) == 2
        await client.close()


async def test_a_token_that_is_refused_is_replaced_and_the_request_is_sent_again(
    private_cap: PrivateCap,
) -> None:
    cap = private_cap("oauth", token_seconds=100)
    client = client_of(cap.bare, oauth2={**CLIENT, "token_url": cap.token_url})
    await client.open()
    cap.forget()
    answer = await client.send("POST", "Customers", body={"ID": "1"})
    assert answer.status == 201
    await client.close()


async def test_a_client_that_the_token_server_refuses_is_told_without_its_secret(
    private_cap: PrivateCap,
) -> None:
    cap = private_cap("oauth", token_seconds=100)
    oauth2 = {"client_id": "client", "client_secret": "Wr0ng", "token_url": cap.token_url}
    client = client_of(cap.bare, oauth2=oauth2)
    with pytest.raises(
        ConfigurationError, match=r"issued no token \(401: invalid_client\)"
    ) as raised:
        await client.open()
    assert "Wr0ng" not in str(raised.value)
    await client.close()


@pytest.mark.parametrize("send", ["header", "form"])
async def test_a_token_server_that_repeats_the_secret_does_not_get_it_into_messages(
    send: str,
) -> None:
    def repeating(request: ForwardedRequest) -> CannedResponse:
        error_text = (
            f"no: {request.headers.get('authorization')} {unquote_plus(request.body.decode())}"
        )
        body = json.dumps({"error": error_text}).encode()
        return CannedResponse(400, body, {"Content-Type": "application/json"})

    between = alone(repeating)
    async with between.serving():
        oauth2 = {
            "client_id": "client",
            "client_secret": secret("s3cr&t"),
            "token_url": f"{between.address}/token",
            "send": send,
        }
        client = client_of(f"{between.address}/erp/", oauth2=oauth2)
        with pytest.raises(ConfigurationError, match="issued no token") as raised:
            await client.open()
        await client.close()
    error_text = str(raised.value)
    assert "***" in error_text
    assert "s3cr" not in error_text
    assert not leak_in(error_text)


async def test_a_token_server_that_is_away_leaves_no_write_in_doubt(
    private_cap: PrivateCap,
) -> None:
    cap = private_cap("oauth", token_seconds=100)

    def away(reaction: CannedResponse | str) -> Rule:
        return lambda request: reaction if request.path == "/-/token" else None

    between, clock = HttpProxy(cap.address), TokenClock()
    async with between.serving():
        oauth2 = {**CLIENT, "token_url": f"{between.address}/-/token"}
        client = client_of(between.url(cap.bare), clock, oauth2=oauth2)
        await client.open()
        clock.now += 10_000
        unreadable = CannedResponse(200, b"no gzip", {"Content-Encoding": "gzip"})
        for reaction in (CannedResponse(503), CUT, unreadable):
            between.rule = away(reaction)
            with pytest.raises(RetryLater):
                await client.send("POST", "Customers", body={"ID": "1"})
        await client.close()


async def test_an_api_key_goes_with_every_request(private_cap: PrivateCap) -> None:
    cap = private_cap("apikey")
    client = client_of(cap.bare, api_key={"header": "X-API-Key", "value": secret("api")})
    await client.page("Orders")
    await client.close()
    wrong = client_of(cap.bare, api_key={"value": "Wr0ng"})
    with pytest.raises(ConfigurationError, match="the login was refused") as raised:
        await wrong.open()
    assert "Wr0ng" not in str(raised.value)
    await wrong.close()


async def test_user_and_password_may_stand_under_login(cap: Cap) -> None:
    client = client_of(cap.bare, user="bridge", password=PASSWORD)
    await client.page("Orders")
    await client.close()


async def test_a_client_certificate_is_shown_where_it_is_wanted(cap: Cap, tmp_path: Path) -> None:
    ca, server, mine = certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    tls.load_cert_chain(server)
    tls.verify_mode = ssl.CERT_REQUIRED
    between = HttpProxy(cap.address)
    async with between.serving(tls):
        url = between.url(cap.url)
        trusted_client = client_of(url, tls=TlsFiles(str(ca), str(mine)))
        await trusted_client.page("Orders")
        await trusted_client.close()

        stranger = client_of(url, tls=TlsFiles(str(ca)))
        refused = (ConfigurationError, RetryLater)
        with pytest.raises(refused, match=r"client's certificate.*see `certificate` under `tls:`"):
            await stranger.open()
        await stranger.close()

        careful = client_of(url, tls=TlsFiles(certificate=str(mine)))
        with pytest.raises(ConfigurationError, match="certificate is not trusted"):
            await careful.open()
        await careful.close()


def test_certificates_that_cannot_be_read_are_told_with_their_files(tmp_path: Path) -> None:
    missing, wrong = tmp_path / "none.pem", tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for file in (missing, wrong):
        with pytest.raises(ConfigurationError, match=file.name):
            client_of("https://host/x/", tls=TlsFiles(certificate=str(file)))


@pytest.mark.parametrize(
    "login",
    [
        {"user": "a"},
        {"user": "a", "password": "b", "api_key": {"value": "c"}},
        {"ca": "a.pem"},
        {"oauth2": {"client_id": "a"}},
        {"pasword": "a"},
    ],
)
def test_logins_that_contradict_themselves_are_refused(login: Any) -> None:
    with pytest.raises(ValidationError):
        ODataLogin.model_validate(login)


def test_a_user_in_the_url_and_another_login_are_two_ways() -> None:
    with pytest.raises(ConfigurationError, match="are two ways: use one"):
        client_of("https://a:b@host/x/", api_key={"value": "k"})


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority, a server of 127.0.0.1 and a client that it vouches for, as PEM files."""
    root = ec.generate_private_key(ec.SECP256R1())
    names = {"ca": root, "server": ec.generate_private_key(ec.SECP256R1())}
    names["client"] = ec.generate_private_key(ec.SECP256R1())
    paths = []
    for name, key in names.items():
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
        start = datetime.now(UTC) - timedelta(days=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=3))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        certificate = builder.sign(root, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / f"{name}.pem"
        path.write_bytes(pem)
        paths.append(path)
    return paths[0], paths[1], paths[2]


@pytest.mark.parametrize(
    ("status", "error"), [(503, RetryLater), (400, LoginRefused), (None, RetryLater)]
)
async def test_a_token_server_that_fails_is_asked_once_by_all_who_wait(
    status: int | None, error: type[Exception]
) -> None:
    """Each of them waited for the one before and then asked again."""
    requests = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        assert request.url.path == "/token", "nothing is asked without a token"
        requests += 1
        await asyncio.sleep(0)
        if status is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, json={"error": "no"})

    login = OAuth2.model_validate({**CLIENT, "token_url": "https://login.example/token"})
    auth = OAuth2Auth(login, "system 'erp'", TokenClock())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=auth) as client:
        for rounds in (1, 2):
            results = await asyncio.gather(
                *(client.get("https://erp.example/") for _ in range(20)), return_exceptions=True
            )
            kinds = {type(each) for each in results}
            assert kinds <= {error, httpx.ConnectError}
            assert requests == rounds
